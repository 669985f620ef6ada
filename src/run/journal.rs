//! The thread that makes progress durable.
//!
//! It takes what the engine wants written in the engine's order: quarantine entries and object ledgers
//! first, then the checkpoint that counts them. A checkpoint is reported as durable only when all of that
//! is. The thread blocks on the disk so that nothing else has to; one checkpoint is under way at a time.
//!
//! Nobody waits for the thread. What its queue does not hold waits in front of it, and as long as much does,
//! no more input is taken; what is still answered then is bounded by what is in flight.

mod read;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use serde::{Deserialize, Serialize};

pub use read::{
    has_delivered, ledger_lines, quarantine_lines, quarantine_reasons, segment_lines, segments_sent_from,
};

use super::checkpoint_log::CheckpointLog;
use crate::route::SetAside;
use crate::write::checkpoint::{Checkpoint, ObjectLedger};

/// Writes may wait here while the disk is busy; the engine sends one checkpoint at a time, so few do.
const QUEUE: usize = 1_024;
/// While so many wait, no more input is taken: each may be about a chunk of records that are set aside.
const QUEUE_FOR_INPUT: usize = 64;

/// Below the run's directory: what was set aside.
const QUARANTINE_DIR: &str = "quarantine";
/// The list of it, one JSON object per line.
pub const QUARANTINE_FILE: &str = "quarantine/list.jsonl";
/// The bytes of the records on the list, one behind the other.
pub const RECORDS_FILE: &str = "quarantine/records.bin";
/// The file of bytes does not grow beyond this; what comes later is still in the archive.
const RECORDS_FILE_BYTES_MAX: u64 = if cfg!(test) { 64 } else { 1 << 30 };
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

#[cfg(test)]
impl QuarantineLine {
    /// One without details, for tests.
    pub(crate) fn of(object: u32, record: Option<u32>, key: &str, reason: &str) -> Self {
        let (key, reason, detail) = (key.to_owned(), reason.to_owned(), String::new());
        Self { object, record, key, reason, detail, offset: None, stored: None, sent_in_part: false }
    }
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
    /// How many of them are wanted, with `--limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u32>,
}

/// What the thread is asked to write.
#[derive(Debug)]
pub enum Entry {
    /// Records of it are about to be sent.
    Segment(SegmentLine),
    /// These records are set aside.
    SetAside(Vec<SetAside>),
    /// This object is set aside whole.
    Quarantine(QuarantineLine),
    /// Settled, or set aside whole after so much was settled.
    Ledger(LedgerLine),
    /// Durable, with everything before it.
    Checkpoint(Box<Checkpoint>),
}

/// Finds a record that is set aside, with its bytes if they are wanted.
pub type LookUp = dyn Fn(&SetAside, bool) -> Quarantined + Send;

/// What the thread asks, and whom it tells.
pub struct Ends {
    /// A record that is set aside, with its bytes if they are wanted.
    pub look_up: Box<LookUp>,
    /// The ledger of this object is written: its segment is not needed any more.
    pub settled: Box<dyn Fn(u32) + Send>,
    /// The checkpoint of this sequence is durable; or nothing is written any more, and why.
    pub durable: Box<dyn Fn(io::Result<u64>) + Send>,
}

/// The way to the thread.
pub struct Journal(Way);

enum Way {
    Thread { entries: Sender<Entry>, waiting: VecDeque<Entry>, thread: thread::JoinHandle<()> },
    Inline(Option<Writer>),
}

/// The files, and who is told what has become of them.
struct Writer {
    files: Files,
    ends: Ends,
}

impl Writer {
    fn open(directory: &Path, ends: Ends) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory.join(QUARANTINE_DIR))?;
        let records =
            OpenOptions::new().append(true).create(true).mode(0o600).open(directory.join(RECORDS_FILE))?;
        let files = Files {
            log: CheckpointLog::open(directory)?,
            records_bytes: records.metadata()?.len(),
            records_full: false,
            records,
            quarantine: open_for_append(&directory.join(QUARANTINE_FILE))?,
            ledger: open_for_append(&directory.join(LEDGER_FILE))?,
            segments: open_for_append(&directory.join(SEGMENTS_FILE))?,
            unsynced: Unsynced::default(),
        };
        // The log syncs the run's own directory when it begins.
        File::open(directory.join(QUARANTINE_DIR))?.sync_all()?;
        Ok(Self { files, ends })
    }

    /// Gives itself back unless the disk has failed.
    fn write(mut self, entry: Entry) -> Option<Self> {
        match self.files.write(entry, &self.ends) {
            Ok(None) => {}
            Ok(Some(sequence)) => (self.ends.durable)(Ok(sequence)),
            Err(error) => {
                (self.ends.durable)(Err(error));
                return None;
            }
        }
        Some(self)
    }
}

impl Journal {
    /// Opens the files in `directory` and starts the thread, which has all calls to `ends`.
    pub fn start(directory: &Path, ends: Ends) -> io::Result<Self> {
        let writer = Writer::open(directory, ends)?;
        let (entries, queue): (Sender<Entry>, Receiver<Entry>) = bounded(QUEUE);
        let work = move || {
            let _ = queue.into_iter().try_fold(writer, Writer::write);
        };
        let thread = thread::Builder::new().name("journal".into()).spawn(work)?;
        Ok(Self(Way::Thread { entries, waiting: VecDeque::new(), thread }))
    }

    /// The same without a thread, for virtual time: [`write`](Self::write) returns when it is done.
    pub fn inline(directory: &Path, ends: Ends) -> io::Result<Self> {
        Ok(Self(Way::Inline(Some(Writer::open(directory, ends)?))))
    }

    /// Hands over `entry`, without waiting. After a failure of the disk it is dropped: the failure was reported,
    /// and no progress is claimed any more.
    pub fn write(&mut self, entry: Entry) {
        match &mut self.0 {
            Way::Thread { entries, waiting, .. } => {
                waiting.push_back(entry);
                pass_on(waiting, entries);
            }
            Way::Inline(writer) => *writer = writer.take().and_then(|writer| writer.write(entry)),
        }
    }

    /// Whether more input may be taken.
    pub fn has_room(&mut self) -> bool {
        match &mut self.0 {
            Way::Thread { entries, waiting, .. } => {
                pass_on(waiting, entries);
                waiting.len() + entries.len() < QUEUE_FOR_INPUT
            }
            Way::Inline(_) => true,
        }
    }

    /// Waits until everything is written.
    pub fn close(self) {
        if let Way::Thread { entries, waiting, thread } = self.0 {
            for entry in waiting {
                if entries.send(entry).is_err() {
                    break;
                }
            }
            drop(entries);
            let _ = thread.join();
        }
    }
}

/// Passes on what there is room for.
fn pass_on(waiting: &mut VecDeque<Entry>, entries: &Sender<Entry>) {
    while let Some(entry) = waiting.pop_front() {
        match entries.try_send(entry) {
            Ok(()) => {}
            Err(TrySendError::Full(entry)) => return waiting.push_front(entry),
            Err(TrySendError::Disconnected(_)) => waiting.clear(),
        }
    }
}

struct Files {
    log: CheckpointLog,
    quarantine: File,
    records: File,
    records_bytes: u64,
    /// A record has found no room.
    records_full: bool,
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
    fn write(&mut self, entry: Entry, ends: &Ends) -> io::Result<Option<u64>> {
        match entry {
            Entry::Segment(line) => {
                write_lines(&mut self.segments, &[line])?;
                self.unsynced.segments = true;
            }
            Entry::SetAside(entries) => {
                let store = |aside: &SetAside| {
                    let with_bytes = !self.records_full;
                    self.store((ends.look_up)(aside, with_bytes))
                };
                let lines = entries.iter().map(store).collect::<io::Result<Vec<_>>>()?;
                write_lines(&mut self.quarantine, &lines)?;
                self.unsynced.quarantine = true;
            }
            Entry::Quarantine(line) => {
                write_lines(&mut self.quarantine, &[line])?;
                self.unsynced.quarantine = true;
            }
            Entry::Ledger(line) => {
                let object = line.object;
                write_lines(&mut self.ledger, &[line])?;
                self.unsynced.ledger = true;
                (ends.settled)(object);
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
        let Some(bytes) = bytes else { return Ok(line) };
        let len = bytes.len() as u64;
        if self.records_bytes + len > RECORDS_FILE_BYTES_MAX {
            self.records_full = true;
            return Ok(line);
        }
        self.records.write_all(&bytes)?;
        line.stored = Some(Stored { at: self.records_bytes, len });
        self.records_bytes += len;
        Ok(line)
    }
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
