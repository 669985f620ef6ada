//! The thread that makes progress durable.
//!
//! It takes what the engine wants written in the engine's order: quarantine entries and object ledgers
//! first, then the checkpoint that counts them. A checkpoint is reported as durable only when all of that
//! is. The thread blocks on the disk so that nothing else has to; one checkpoint is under way at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use super::checkpoint_log::CheckpointLog;
use crate::record::Ordinal;
use crate::write::checkpoint::{Checkpoint, ObjectLedger};

/// Writes may wait here while the disk is busy; the engine sends one checkpoint at a time, so few do.
const QUEUE: usize = 1_024;

/// Below the run's directory: what was set aside.
const QUARANTINE_DIR: &str = "quarantine";
/// The list of it, one JSON object per line.
pub const QUARANTINE_FILE: &str = "quarantine/list.jsonl";
/// The bytes of the records on the list, one behind the other.
pub const RECORDS_FILE: &str = "quarantine/records.bin";
/// The file of bytes does not grow beyond this; what comes later is still in the archive.
const RECORDS_FILE_BYTES_MAX: u64 = 1 << 30;
/// What became of each object, one JSON object per line.
pub const LEDGER_FILE: &str = "ledger.jsonl";

/// What the segments were that records were sent from, one JSON object per line.
const SEGMENTS_FILE: &str = "segments.jsonl";

/// A line of the quarantine: a record, or a whole object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuarantineLine {
    /// The object's number in the manifest.
    pub object: u32,
    /// The record's number in the object; absent for a whole object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<u32>,
    /// The object's key.
    pub key: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in the words of whoever said no.
    pub detail: String,
    /// Where the record begins in the decoded object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// Where its bytes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<Stored>,
    /// Of a whole object: whether some of its records were, or may have been, delivered before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sent_in_part: bool,
}

/// A part of [`RECORDS_FILE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its first byte.
    pub at: u64,
    /// Its length.
    pub len: u64,
}

/// What is set aside, and its bytes if it is a record.
#[derive(Debug)]
pub struct Quarantined {
    /// The line about it.
    pub line: QuarantineLine,
    /// The record.
    pub bytes: Option<Vec<u8>>,
}

/// A line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// The object's number in the manifest.
    pub object: u32,
    /// What became of its records.
    #[serde(flatten)]
    pub ledger: ObjectLedger,
}

/// A line about a segment that records were sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLine {
    /// The object's number in the manifest.
    pub object: u32,
    /// Its records.
    pub records: u32,
    /// Stands for their bytes: see the cache's format.
    pub checksum: u32,
}

/// What the thread is asked to write.
#[derive(Debug)]
pub enum Entry {
    /// Records of it are about to be sent.
    Segment(SegmentLine),
    /// Set aside.
    Quarantine(Vec<Quarantined>),
    /// Settled.
    Ledger(LedgerLine),
    /// Durable, with everything before it.
    Checkpoint(Box<Checkpoint>),
}

/// The way to the thread.
pub struct Journal(Way);

enum Way {
    Thread { entries: Sender<Entry>, thread: thread::JoinHandle<()> },
    Inline(Option<Writer>),
}

/// The files, and who is told what has become durable.
struct Writer {
    files: Files,
    durable: Box<dyn Fn(io::Result<u64>) + Send>,
}

impl Writer {
    fn open(directory: &Path, durable: impl Fn(io::Result<u64>) + Send + 'static) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory.join(QUARANTINE_DIR))?;
        let records =
            OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(RECORDS_FILE))?;
        let files = Files {
            log: CheckpointLog::open(directory)?,
            records_bytes: records.metadata()?.len(),
            records,
            quarantine: open_for_append(&directory.join(QUARANTINE_FILE))?,
            ledger: open_for_append(&directory.join(LEDGER_FILE))?,
            segments: open_for_append(&directory.join(SEGMENTS_FILE))?,
            unsynced: Unsynced::default(),
        };
        Ok(Self { files, durable: Box::new(durable) })
    }

    /// Gives itself back unless the disk has failed.
    fn write(mut self, entry: Entry) -> Option<Self> {
        match self.files.write(entry) {
            Ok(None) => {}
            Ok(Some(sequence)) => (self.durable)(Ok(sequence)),
            Err(error) => {
                (self.durable)(Err(error));
                return None;
            }
        }
        Some(self)
    }
}

impl Journal {
    /// Opens the files in `directory` and starts the thread. `durable` is called there with each
    /// checkpoint's sequence, or with the failure after which nothing is written any more.
    pub fn start(directory: &Path, durable: impl Fn(io::Result<u64>) + Send + 'static) -> io::Result<Self> {
        let writer = Writer::open(directory, durable)?;
        let (entries, queue): (Sender<Entry>, Receiver<Entry>) = bounded(QUEUE);
        let work = move || {
            let _ = queue.into_iter().try_fold(writer, Writer::write);
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(work)?;
        Ok(Self(Way::Thread { entries, thread }))
    }

    /// The same without a thread, for virtual time: [`write`](Self::write) returns when it is done.
    pub fn inline(directory: &Path, durable: impl Fn(io::Result<u64>) + Send + 'static) -> io::Result<Self> {
        Ok(Self(Way::Inline(Some(Writer::open(directory, durable)?))))
    }

    /// Hands over `entry`. After a failure of the disk it is dropped: the failure was reported, and no
    /// progress is claimed any more.
    pub fn write(&mut self, entry: Entry) {
        match &mut self.0 {
            Way::Thread { entries, .. } => drop(entries.send(entry)),
            Way::Inline(writer) => *writer = writer.take().and_then(|writer| writer.write(entry)),
        }
    }

    /// Waits until everything is written.
    pub fn close(self) {
        if let Way::Thread { entries, thread } = self.0 {
            drop(entries);
            let _ = thread.join();
        }
    }
}

struct Files {
    log: CheckpointLog,
    quarantine: File,
    records: File,
    records_bytes: u64,
    ledger: File,
    segments: File,
    unsynced: Unsynced,
}

/// Files that hold more than the last checkpoint counts.
#[derive(Default)]
struct Unsynced {
    quarantine: bool,
    ledger: bool,
    segments: bool,
}

impl Files {
    fn write(&mut self, entry: Entry) -> io::Result<Option<u64>> {
        match entry {
            Entry::Segment(line) => {
                write_lines(&mut self.segments, &[line])?;
                self.unsynced.segments = true;
            }
            Entry::Quarantine(entries) => {
                let lines =
                    entries.into_iter().map(|entry| self.store(entry)).collect::<io::Result<Vec<_>>>()?;
                write_lines(&mut self.quarantine, &lines)?;
                self.unsynced.quarantine = true;
            }
            Entry::Ledger(line) => {
                write_lines(&mut self.ledger, &[line])?;
                self.unsynced.ledger = true;
            }
            Entry::Checkpoint(checkpoint) => {
                let Unsynced { quarantine, ledger, segments } = std::mem::take(&mut self.unsynced);
                for (unsynced, file) in [
                    (quarantine, &self.records),
                    (quarantine, &self.quarantine),
                    (ledger, &self.ledger),
                    (segments, &self.segments),
                ] {
                    if unsynced {
                        file.sync_data()?;
                    }
                }
                self.log.append(&checkpoint)?;
                return Ok(Some(checkpoint.sequence));
            }
        }
        Ok(None)
    }
}

impl Files {
    /// Writes the bytes of a record, if there are any and there is room, and says where they are.
    fn store(&mut self, entry: Quarantined) -> io::Result<QuarantineLine> {
        let Quarantined { mut line, bytes } = entry;
        if let Some(bytes) =
            bytes.filter(|bytes| self.records_bytes + bytes.len() as u64 <= RECORDS_FILE_BYTES_MAX)
        {
            self.records.write_all(&bytes)?;
            line.stored = Some(Stored { at: self.records_bytes, len: bytes.len() as u64 });
            self.records_bytes += bytes.len() as u64;
        }
        Ok(line)
    }
}

/// What the quarantine holds, each record and object once: a crash may have written an entry twice.
pub fn quarantine_lines(directory: &Path) -> io::Result<impl Iterator<Item = QuarantineLine> + use<>> {
    let mut seen = BTreeSet::new();
    let lines = read_lines::<QuarantineLine>(&directory.join(QUARANTINE_FILE))?;
    Ok(lines.filter(move |line| match line.record {
        Some(record) => seen.insert(Ordinal::new(line.object, record)),
        None => seen.insert(Ordinal::new(line.object, u32::MAX)),
    }))
}

/// How often each reason occurs in the quarantine: of whole objects, and of records.
pub fn quarantine_reasons(directory: &Path) -> io::Result<BTreeMap<String, u64>> {
    let mut reasons = BTreeMap::new();
    for line in quarantine_lines(directory)? {
        *reasons.entry(line.reason).or_default() += 1;
    }
    Ok(reasons)
}

/// The segments that records of unsettled objects were sent from, by object.
pub fn segments_sent_from(directory: &Path, done: &Checkpoint) -> io::Result<BTreeMap<u32, SegmentLine>> {
    let lines = read_lines::<SegmentLine>(&directory.join(SEGMENTS_FILE))?;
    Ok(lines.filter(|line| !done.is_settled(line.object)).map(|line| (line.object, line)).collect())
}

/// What the ledger holds; the last line about an object counts.
pub fn ledger_lines(directory: &Path) -> io::Result<impl Iterator<Item = LedgerLine> + use<>> {
    read_lines::<LedgerLine>(&directory.join(LEDGER_FILE))
}

/// Whether the ledger knows of a delivered record, so that there must have been a checkpoint.
pub fn has_delivered(directory: &Path) -> io::Result<bool> {
    Ok(ledger_lines(directory)?.any(|line| line.ledger.delivered > 0))
}

fn read_lines<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<impl Iterator<Item = T> + use<T>> {
    let file: Box<dyn io::Read> = match File::open(path) {
        Ok(file) => Box::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Box::new(io::empty()),
        Err(error) => return Err(error),
    };
    // A line torn by a crash was not durable, so no checkpoint counts it.
    let lines = BufReader::new(file).lines().map_while(Result::ok);
    Ok(lines.filter_map(|line| serde_json::from_str(&line).ok()))
}

fn write_lines(file: &mut File, lines: &[impl Serialize]) -> io::Result<()> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    file.write_all(&text)
}

/// Opens for appending; a line that a crash has torn is ended first.
fn open_for_append(path: &Path) -> io::Result<File> {
    let torn = fs::read(path).is_ok_and(|bytes| bytes.last().is_some_and(|&last| last != b'\n'));
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    if torn {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HashKeyRange;

    fn line(record: u32) -> QuarantineLine {
        QuarantineLine {
            object: 1,
            record: Some(record),
            key: "a\nb.gz".into(),
            reason: "missing".into(),
            detail: String::new(),
            offset: None,
            stored: None,
            sent_in_part: false,
        }
    }

    fn entry(record: u32) -> Quarantined {
        Quarantined { line: line(record), bytes: Some(format!("record {record}").into_bytes()) }
    }

    #[test]
    fn a_checkpoint_is_reported_after_what_it_counts_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let (sender, durable) = crossbeam_channel::unbounded();
        let path = directory.path().to_owned();
        let report = move |sequence: io::Result<u64>| {
            let lines = quarantine_lines(&path).unwrap().count();
            sender.send((sequence.unwrap(), lines)).unwrap();
        };
        let mut journal = Journal::start(directory.path(), report).unwrap();
        journal.write(Entry::Quarantine(vec![entry(1), entry(2)]));
        journal.write(Entry::Checkpoint(Box::new(Checkpoint {
            sequence: 5,
            ..Checkpoint::start([HashKeyRange::ALL])
        })));
        journal.close();
        assert_eq!(durable.iter().collect::<Vec<_>>(), [(5, 2)]);
        let stored = quarantine_lines(directory.path()).unwrap().last().unwrap().stored.unwrap();
        let bytes = fs::read(directory.path().join(RECORDS_FILE)).unwrap();
        assert_eq!((stored.at, stored.len, bytes.as_slice()), (8, 8, &b"record 1record 2"[..]));
    }

    #[test]
    fn entries_written_twice_count_once_and_a_torn_line_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(QUARANTINE_FILE);
        fs::create_dir(directory.path().join(QUARANTINE_DIR)).unwrap();
        let mut file = open_for_append(&path).unwrap();
        write_lines(&mut file, &[line(1), line(2), line(1)]).unwrap();
        file.write_all(b"{\"object\":").unwrap();
        let mut again = open_for_append(&path).unwrap();
        write_lines(&mut again, &[line(3)]).unwrap();
        let reasons = quarantine_reasons(directory.path()).unwrap();
        assert_eq!(reasons, BTreeMap::from([("missing".to_owned(), 3)]));
    }
}
