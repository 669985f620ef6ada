//! What became of every object and in every shard: the run's ledger, put together from what it keeps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::journal::{ledger_lines, quarantine_lines};
use super::report::number;
use crate::archive::manifest::Manifest;
use crate::record::{ByteCount, many};
use crate::shown::shown;
use crate::write::checkpoint::{Checkpoint, ObjectLedger};

/// Objects that are listed for a person; the rest is told as a number.
const OBJECTS_LISTED_MAX: usize = 20;

/// Where an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectState {
    /// Every record is delivered, set aside or filtered.
    Settled,
    /// It was set aside as a whole, or what was left of it.
    Quarantined,
    /// Some of its records are not settled.
    Open,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectLine {
    /// Its number in the manifest.
    pub object: u32,
    /// Its key.
    pub key: String,
    /// Where it is.
    pub state: ObjectState,
    /// Records: delivered, set aside, left out by the user's flags.
    #[serde(flatten)]
    pub ledger: ObjectLedger,
    /// Why records, or the object, were set aside, and how many.
    pub reasons: BTreeMap<String, u64>,
}

/// What one shard has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardLine {
    /// Its name.
    pub shard: String,
    /// Records.
    pub records: u64,
    /// Their data and partition keys, in bytes.
    pub bytes: u64,
    /// The lowest sequence number.
    pub first_sequence_number: String,
    /// The highest sequence number.
    pub last_sequence_number: String,
}

/// The ledger of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Every object of the manifest, in its order.
    pub objects: Vec<ObjectLine>,
    /// Every shard that has acknowledged a record, all attempts together.
    pub shards: Vec<ShardLine>,
}

impl Ledger {
    /// What the files in `directory` say.
    pub fn read(directory: &Path, manifest: &Manifest, checkpoint: Option<&Checkpoint>) -> io::Result<Self> {
        let mut settled: BTreeMap<u32, ObjectLedger> =
            ledger_lines(directory)?.map(|line| (line.object, line.ledger)).collect();
        let mut quarantined: BTreeMap<u32, (bool, BTreeMap<String, u64>)> = BTreeMap::new();
        for line in quarantine_lines(directory)? {
            let (whole, reasons) = quarantined.entry(line.object).or_default();
            *whole |= line.record.is_none();
            *reasons.entry(line.reason).or_default() += 1;
        }
        let open = checkpoint.map(|checkpoint| checkpoint.open_objects.clone()).unwrap_or_default();
        let line = |(object, entry): (u32, &crate::archive::ObjectEntry)| {
            let (whole, reasons) = quarantined.remove(&object).unwrap_or_default();
            let ledger = settled.remove(&object);
            let state = match ledger {
                _ if whole => ObjectState::Quarantined,
                Some(_) => ObjectState::Settled,
                None => ObjectState::Open,
            };
            let ledger = ledger.or(open.get(&object).copied()).unwrap_or_default();
            ObjectLine { object, key: entry.key.to_string(), state, ledger, reasons }
        };
        let shards = checkpoint.into_iter().flat_map(|checkpoint| &checkpoint.shards);
        Ok(Self {
            objects: (0..).zip(&manifest.objects).map(line).collect(),
            shards: shards
                .map(|(shard, ledger)| ShardLine {
                    shard: shard.to_string(),
                    records: ledger.records,
                    bytes: ledger.bytes,
                    first_sequence_number: ledger.first.to_string(),
                    last_sequence_number: ledger.last.to_string(),
                })
                .collect(),
        })
    }

    /// For a person: every shard, and the objects that are not simply delivered; of a retry, what it was not to send is no news.
    pub fn render(&self, of_a_retry: bool) -> String {
        let mut text = String::new();
        for shard in &self.shards {
            let (records, bytes) = (many(shard.records, "record"), ByteCount(shard.bytes));
            let (first, last) = (&shard.first_sequence_number, &shard.last_sequence_number);
            let _ = writeln!(text, "{}  {records}, {bytes}, {first} to {last}", shard.shard);
        }
        let plain = |line: &&ObjectLine| {
            let filtered = if of_a_retry { 0 } else { line.ledger.filtered };
            line.state != ObjectState::Settled || line.ledger.quarantined + filtered > 0
        };
        let odd: Vec<&ObjectLine> = self.objects.iter().filter(plain).collect();
        if !odd.is_empty() {
            text.push_str("\nObjects that are not delivered as a whole:\n");
        }
        for line in odd.iter().take(OBJECTS_LISTED_MAX) {
            let ObjectLedger { delivered, quarantined, filtered } = line.ledger;
            let state = match line.state {
                ObjectState::Settled => "settled",
                ObjectState::Quarantined => "quarantined",
                ObjectState::Open => "open",
            };
            let mut counts = format!("{} delivered", number(delivered.into()));
            let filtered = if of_a_retry { 0 } else { filtered };
            for (count, what) in [(quarantined, "in quarantine"), (filtered, "left out as asked")] {
                if count > 0 {
                    let _ = write!(counts, ", {} {what}", number(count.into()));
                }
            }
            let reasons = line.reasons.keys().cloned().collect::<Vec<_>>().join(", ");
            let key = shown(&line.key);
            let _ = writeln!(text, "  {:>6} {state:<12} {counts:<30} {reasons:<12} {key}", line.object);
        }
        if let Some(more) = odd.len().checked_sub(OBJECTS_LISTED_MAX).filter(|&more| more > 0) {
            let _ = writeln!(text, "  and {} more: --json lists all of them", number(more as u64));
        }
        text
    }
}
