//! One shard: what it covers, where it comes from, and the records it holds.
//!
//! Records are numbered without gaps from 1, so that a sequence number finds its record by subtraction.
//! The oldest may be trimmed away; what was stored stays counted. A closed shard takes nothing more.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::record::{HashKeyRange, PartitionKey, Payload, ShardId};
use crate::stream::Entry;

use super::SimTime;
use super::limit::{BurstRule, ReadLimit, WriteLimit};
use super::sequence::{Sequence, SequenceBase};

/// What a kept record takes in memory beside its data and key, in bytes, roughly.
const RECORD_OVERHEAD: usize = 128;
/// The number of a shard's first record.
const INDEX_FIRST: u64 = 1;

/// A record as a shard keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// Its place in the shard.
    pub sequence: Sequence,
    /// When it was stored.
    pub arrival: SimTime,
    /// The string it was placed by.
    pub key: PartitionKey,
    /// Its bytes.
    pub data: Payload,
}

impl StoredRecord {
    /// Data and key, in bytes.
    pub fn cost(&self) -> usize {
        self.data.0.len() + self.key.as_str().len()
    }

    /// What keeping it takes.
    pub(super) fn weight(&self) -> usize {
        self.cost() + RECORD_OVERHEAD
    }
}

/// What happened to a shard so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardStats {
    /// Records stored, trimmed ones included.
    pub accepted: u64,
    /// Their data and keys, in bytes.
    pub accepted_bytes: u64,
    /// Entries refused because the shard was over its limit.
    pub throttled: u64,
}

/// The end of a shard that was split or merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closing {
    /// When.
    pub at: SimTime,
    /// Above every record of the shard.
    pub ending: Sequence,
}

/// One shard of a stream.
#[derive(Debug)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// Its number in the stream.
    pub number: u32,
    /// What it covers.
    pub range: HashKeyRange,
    /// The shard it was split off or merged from.
    pub parent: Option<u32>,
    /// The second parent, after a merge.
    pub adjacent_parent: Option<u32>,
    /// What it was split or merged into.
    pub children: Vec<u32>,
    /// When it was made.
    pub opened: SimTime,
    /// Set once it takes no more records.
    pub closing: Option<Closing>,
    /// What happened so far.
    pub stats: ShardStats,
    pub(super) base: SequenceBase,
    pub(super) read_limit: ReadLimit,
    write_limit: WriteLimit,
    kept: VecDeque<StoredRecord>,
    next_index: u64,
}

impl Shard {
    pub(super) fn new(
        base: SequenceBase,
        range: HashKeyRange,
        (parent, adjacent_parent): (Option<u32>, Option<u32>),
        rule: BurstRule,
        now: SimTime,
    ) -> Self {
        Self {
            id: ShardId(Arc::from(format!("shardId-{:012}", base.shard))),
            number: base.shard,
            range,
            parent,
            adjacent_parent,
            children: Vec::new(),
            opened: now,
            closing: None,
            stats: ShardStats::default(),
            base,
            read_limit: ReadLimit::new(rule, now),
            write_limit: WriteLimit::new(rule, now),
            kept: VecDeque::new(),
            next_index: INDEX_FIRST,
        }
    }

    /// Whether it takes records.
    pub fn is_open(&self) -> bool {
        self.closing.is_none()
    }

    /// Below every record of the shard.
    pub fn starting(&self) -> Sequence {
        self.base.first()
    }

    /// The records still kept, oldest first.
    pub fn records(&self) -> impl ExactSizeIterator<Item = &StoredRecord> {
        self.kept.iter()
    }

    /// The index below which everything has been trimmed.
    pub(super) fn oldest_index(&self) -> u64 {
        self.kept.front().map_or(self.next_index, |record| record.sequence.index())
    }

    /// The index that the next record will get.
    pub(super) fn next_index(&self) -> u64 {
        self.next_index
    }

    /// The kept records from `index` on.
    pub(super) fn records_from(&self, index: u64) -> impl Iterator<Item = &StoredRecord> {
        let skipped = index.saturating_sub(self.oldest_index());
        let start = usize::try_from(skipped).unwrap_or(usize::MAX).min(self.kept.len());
        self.kept.range(start..)
    }

    /// The index of the first kept record that arrived at `time` or later.
    pub(super) fn index_at(&self, time: SimTime) -> u64 {
        let before = self.kept.partition_point(|record| record.arrival < time);
        self.oldest_index() + before as u64
    }

    pub(super) fn oldest(&self) -> Option<&StoredRecord> {
        self.kept.front()
    }

    /// Gives `entry` its number and pays for it, or refuses it. The caller keeps the record, or not.
    pub(super) fn accept(&mut self, now: SimTime, now_s: u64, cost: usize) -> Option<Sequence> {
        if !self.write_limit.admit(now, cost) {
            self.stats.throttled += 1;
            return None;
        }
        self.stats.accepted += 1;
        self.stats.accepted_bytes += cost as u64;
        let sequence = self.base.number(self.next_index, now_s);
        self.next_index += 1;
        Some(sequence)
    }

    /// Keeps the record that was accepted last; returns what that takes in bytes.
    pub(super) fn keep(&mut self, now: SimTime, sequence: Sequence, entry: Entry) -> usize {
        let record = StoredRecord { sequence, arrival: now, key: entry.key, data: entry.data };
        let weight = record.weight();
        self.kept.push_back(record);
        weight
    }

    /// Drops the oldest record; returns what that frees in bytes.
    pub(super) fn trim_oldest(&mut self) -> usize {
        self.kept.pop_front().map_or(0, |record| record.weight())
    }

    pub(super) fn close(&mut self, now: SimTime, now_s: u64) {
        self.closing = Some(Closing { at: now, ending: self.base.last(now_s) });
    }
}
