//! What the journal has written, read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use super::{LEDGER_FILE, LedgerLine, QUARANTINE_FILE, QuarantineLine, SEGMENTS_FILE, SegmentLine};
use crate::record::Ordinal;
use crate::write::checkpoint::Checkpoint;

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
    let lines = segment_lines(directory)?;
    Ok(lines.filter(|line| !done.is_settled(line.object)).map(|line| (line.object, line)).collect())
}

/// All segments that records were sent from, in the order in which they were begun.
pub fn segment_lines(directory: &Path) -> io::Result<impl Iterator<Item = SegmentLine> + use<>> {
    read_lines::<SegmentLine>(&directory.join(SEGMENTS_FILE))
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
