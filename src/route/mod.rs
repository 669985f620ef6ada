//! From a record to its place: key, then hash, then shard.
//!
//! [`route_chunk`] does the CPU's share for a run of records of one object, on a thread that may be slow.
//! What comes out is small: a record that can be sent is a [`Routed`] of 32 bytes, in the order of
//! ordinals, and the bytes stay in their segment. What cannot be sent is set aside with its reason.
//! Every ordinal of the chunk is in exactly one of the two lists, or counted as left out by the user's own flags.
//!
//! Nothing here knows of shards' rates, lanes or requests.

pub mod candidates;
pub mod event_time;
pub mod fields;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod key;
pub mod pointer;
pub mod shard_map;
pub mod spread;

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::event_time::{EventTime, NoEventTime};
use self::key::{KeyExtractor, KeyFault};
use self::spread::Spread;
use crate::record::{ByteCount, HashKey, Ordinal, PartitionKeyRef};

/// The rules by which a record gets its key, its place and its time. A run is routed by one version of them: a
/// resume by another would not meet what was settled again.
pub const ROUTE_VERSION: u32 = 1;

/// A record on its way. The key itself is not kept: it lies in the record, or follows from it again when it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    /// Where the record stands in the run.
    pub ordinal: Ordinal,
    /// Where it is placed: by its key, or by [`spread`].
    pub hash: HashKey,
    /// What it costs of a shard's byte limit: data and key, in bytes.
    pub cost: u32,
    /// What its key has of that.
    pub key_bytes: u16,
    /// Where in the record its key stands, letter by letter; 0 if it does not, or too far behind.
    pub key_at: u16,
}

impl Routed {
    /// Its data alone, in bytes.
    #[must_use]
    pub const fn data_bytes(&self) -> u32 {
        self.cost.saturating_sub(self.key_bytes as u32)
    }

    /// Its key, if that stands in `data`, which is the record.
    #[must_use]
    pub fn key_in<'a>(&self, data: &'a [u8]) -> Option<PartitionKeyRef<'a>> {
        let start = usize::from(self.key_at);
        let text = data.get(start..start + usize::from(self.key_bytes)).filter(|_| start > 0)?;
        PartitionKeyRef::new(std::str::from_utf8(text).ok()?).ok()
    }
}

// Millions of these wait in queues.
const _: () = assert!(size_of::<Routed>() <= 32);

/// A record that is not sent, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetAside {
    /// Where the record stands in the run.
    pub ordinal: Ordinal,
    /// Why it is not sent.
    pub reason: SetAsideReason,
}

/// Why a record is not sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SetAsideReason {
    /// It has no partition key.
    KeyFault(KeyFault),
    /// It has no time where `--event-time` says, so it cannot be told whether it belongs to the window.
    NoEventTime,
    /// It stands for what is lost of its object, of which the records before it were salvaged.
    Salvaged {
        /// What is wrong with the object.
        defect: String,
    },
    /// The stream takes no record of this size.
    TooLarge {
        /// What it has: its data, and its key if the data alone would fit.
        found: ByteCount,
        /// What the stream takes.
        max: ByteCount,
    },
    /// The stream refused it.
    Rejected {
        /// The service's words.
        reason: String,
        /// Whether an earlier attempt may have stored it all the same.
        possibly_delivered: bool,
    },
}

impl SetAsideReason {
    /// The name of this reason in reports.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::KeyFault(fault) => fault.as_str(),
            Self::NoEventTime => "no_event_time",
            Self::Salvaged { .. } => "salvaged",
            Self::TooLarge { .. } => "too_large",
            Self::Rejected { .. } => "rejected",
        }
    }
}

impl fmt::Display for SetAsideReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The records of a chunk, told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutedChunk {
    /// Those to be sent, in the order of their ordinals.
    pub records: Vec<Routed>,
    /// The others, in the order of their ordinals.
    pub set_aside: Vec<SetAside>,
    /// The ordinal behind the chunk's last record; at the end of an object, the next object's first.
    pub end: Ordinal,
    /// Records that the user's own flags left out: among these, and behind the last one in the same object.
    pub filtered: u32,
}

/// How records are routed.
#[derive(Debug, Clone)]
pub struct RouteRules {
    /// Finds a record's key.
    pub extractor: KeyExtractor,
    /// The stream's limit for a record with its key, in bytes.
    pub record_bytes_max: usize,
    /// Which records the run is about, if not all.
    pub event_time: Option<EventTime>,
    /// Places a record by its ordinal, whatever its key; without it, its key places it.
    pub spread: Option<Spread>,
}

/// Routes `records`, which stand one behind the other in one object, the first of them at `first`. Of an object of
/// which only some records are wanted, `only` are the ranges of
/// their numbers, ascending, both ends included.
pub fn route_chunk<'a>(
    rules: &RouteRules,
    only: Option<&[(u32, u32)]>,
    first: Ordinal,
    records: impl Iterator<Item = &'a [u8]>,
) -> RoutedChunk {
    let mut chunk = RoutedChunk {
        records: Vec::with_capacity(records.size_hint().0),
        set_aside: Vec::new(),
        end: first,
        filtered: 0,
    };
    for record in records {
        let ordinal = chunk.end;
        match rules.route(only, ordinal, record) {
            Ok(Some(routed)) => chunk.records.push(routed),
            Ok(None) => chunk.filtered += 1,
            Err(reason) => chunk.set_aside.push(SetAside { ordinal, reason }),
        }
        chunk.end = ordinal.next();
    }
    chunk
}

fn is_in(ranges: &[(u32, u32)], record: u32) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= record);
    behind.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| record <= *last)
}

impl RouteRules {
    /// Where `record` goes; `None` if the user left it out.
    ///
    /// # Errors
    /// Why it cannot go anywhere.
    pub fn route(
        &self,
        only: Option<&[(u32, u32)]>,
        ordinal: Ordinal,
        record: &[u8],
    ) -> Result<Option<Routed>, SetAsideReason> {
        if only.is_some_and(|only| !is_in(only, ordinal.record())) {
            return Ok(None);
        }
        if let Some(event_time) = &self.event_time
            && !event_time.selects(record).map_err(|NoEventTime| SetAsideReason::NoEventTime)?
        {
            return Ok(None);
        }
        let too_large = |found: usize| SetAsideReason::TooLarge {
            found: ByteCount(found as u64),
            max: ByteCount(self.record_bytes_max as u64),
        };
        if record.len() > self.record_bytes_max {
            return Err(too_large(record.len()));
        }
        let key = self.extractor.place(record, ordinal).map_err(SetAsideReason::KeyFault)?;
        let found = record.len() + key.bytes;
        match (u32::try_from(found), u16::try_from(key.bytes)) {
            (Ok(cost), Ok(key_bytes)) if found <= self.record_bytes_max => {
                let hash = self.spread.as_ref().map_or(key.hash, |spread| spread.place(ordinal));
                Ok(Some(Routed { ordinal, hash, cost, key_bytes, key_at: key.at.unwrap_or(0) }))
            }
            _ => Err(too_large(found)),
        }
    }
}
