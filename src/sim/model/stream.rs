//! One stream: its shards, its state, and the change that is under way.
//!
//! At most one change is under way at a time; it is completed when its time has come, not when it was
//! asked for, and until then the old shards take the records, as in the real service.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::limits::RECORD_BYTES_DEFAULT;
use crate::record::{HashKey, HashKeyRange};
use crate::stream::Entry;

use super::super::SimTime;
use super::super::limit::BurstRule;
use super::super::sequence::SequenceBase;
use super::super::service_error::ServiceError;
use super::super::shard::Shard;
use super::{PutResult, hash_of, reshard};

/// Where a stream is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not there yet: takes nothing.
    Creating,
    /// Idle.
    Active,
    /// Being changed; takes and gives records.
    Updating,
    /// On its way out: takes nothing.
    Deleting,
}

impl Status {
    /// Kinesis' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

/// Who decides on the number of shards. The model does not scale by itself in either mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// The owner.
    Provisioned,
    /// The service.
    OnDemand,
}

impl Capacity {
    /// Kinesis' word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "PROVISIONED",
            Self::OnDemand => "ON_DEMAND",
        }
    }
}

/// What a new stream shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewStream {
    /// Shards to begin with, at least one.
    pub shards: u32,
    /// Data and key of one record, at most, in bytes.
    pub record_bytes_max: usize,
    /// Who decides on the number of shards.
    pub capacity: Capacity,
}

impl NewStream {
    /// A provisioned stream with the default record limit.
    pub const fn with_shards(shards: u32) -> Self {
        Self { shards, record_bytes_max: RECORD_BYTES_DEFAULT, capacity: Capacity::Provisioned }
    }
}

/// A change that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Create { shards: u32 },
    Delete,
    Split { shard: u32, at: HashKey },
    Merge { shard: u32, adjacent: u32 },
    Scale { shards: u32 },
    Setting,
}

/// A stream and everything in it.
#[derive(Debug)]
pub struct StreamState {
    /// Its name.
    pub name: String,
    /// When it was asked for.
    pub created: SimTime,
    /// How long it keeps records.
    pub retention_hours: u32,
    /// Data and key of one record, at most, in bytes.
    pub record_bytes_max: usize,
    /// Who decides on the number of shards.
    pub capacity: Capacity,
    /// The key that its records are encrypted with; nothing is encrypted here.
    pub encryption_key: Option<String>,
    /// Labels.
    pub tags: BTreeMap<String, String>,
    /// Every shard ever made, by number.
    pub shards: Vec<Shard>,
    /// Tells this stream from others that had or will have its name.
    pub(super) number: u64,
    pub(super) kept_bytes: usize,
    /// The open shards in the order of their ranges, which cover the hash space without gaps.
    open: Vec<u32>,
    /// The shard of each kept record, in the order of arrival.
    arrivals: VecDeque<u32>,
    change: Option<(Change, SimTime)>,
    deleted: bool,
    rule: BurstRule,
}

impl StreamState {
    pub(super) fn new(name: &str, number: u64, new: NewStream, now: SimTime, rule: BurstRule) -> Self {
        Self {
            name: name.to_owned(),
            created: now,
            retention_hours: 24,
            record_bytes_max: new.record_bytes_max,
            capacity: new.capacity,
            encryption_key: None,
            tags: BTreeMap::new(),
            shards: Vec::new(),
            number,
            kept_bytes: 0,
            open: Vec::new(),
            arrivals: VecDeque::new(),
            change: None,
            deleted: false,
            rule,
        }
    }

    /// Where the stream is in its life.
    pub fn status(&self) -> Status {
        match self.change {
            None => Status::Active,
            Some((Change::Create { .. }, _)) => Status::Creating,
            Some((Change::Delete, _)) => Status::Deleting,
            Some(_) => Status::Updating,
        }
    }

    /// The shards that take records, in the order of their ranges.
    pub fn open_shards(&self) -> impl ExactSizeIterator<Item = &Shard> {
        self.open.iter().map(|&number| self.shard(number))
    }

    /// The shard of that name.
    pub fn shard_by_id(&self, id: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| &*shard.id.0 == id)
    }

    /// The shard of that number, which must exist.
    pub fn shard(&self, number: u32) -> &Shard {
        &self.shards[number as usize]
    }

    /// The moment before which records are gone.
    pub fn horizon(&self, now: SimTime) -> SimTime {
        let kept_for = Duration::from_hours(u64::from(self.retention_hours));
        SimTime::after(now.since_start().saturating_sub(kept_for))
    }

    pub(super) fn shard_mut(&mut self, number: u32) -> &mut Shard {
        &mut self.shards[number as usize]
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted
    }

    /// Open shards, counting those of a stream that is still being made.
    pub(super) fn planned_shards(&self) -> usize {
        match self.change {
            Some((Change::Create { shards }, _)) => shards as usize,
            _ => self.open.len(),
        }
    }

    pub(super) fn begin(&mut self, change: Change, until: SimTime) {
        self.change = Some((change, until));
    }

    /// Completes the change if its time has come, and drops what is older than the retention.
    pub(super) fn settle(&mut self, now: SimTime, started_s: u64) {
        if let Some((change, until)) = self.change
            && until <= now
        {
            self.change = None;
            self.apply(change, until, started_s + until.since_start().as_secs());
        }
        let horizon = self.horizon(now);
        while self.oldest_arrival().is_some_and(|arrival| arrival < horizon) {
            self.trim_oldest();
        }
    }

    fn apply(&mut self, change: Change, now: SimTime, now_s: u64) {
        match change {
            Change::Create { shards } => {
                for range in reshard::even_ranges(shards) {
                    self.open_shard(range, (None, None), now, now_s);
                }
            }
            Change::Delete => self.deleted = true,
            Change::Split { shard, at } => self.split(shard, at, now, now_s),
            Change::Merge { shard, adjacent } => self.merge(shard, adjacent, now, now_s),
            Change::Scale { shards } => self.scale(shards, now, now_s),
            Change::Setting => {}
        }
    }

    fn open_shard(
        &mut self,
        range: HashKeyRange,
        parents: (Option<u32>, Option<u32>),
        now: SimTime,
        now_s: u64,
    ) {
        let number = u32::try_from(self.shards.len()).unwrap_or(u32::MAX);
        let above_parents =
            [parents.0, parents.1].into_iter().flatten().map(|parent| self.shard(parent).base.created_s + 1);
        let created_s = above_parents.fold(now_s, u64::max);
        let base = SequenceBase { created_s, shard: number };
        self.shards.push(Shard::new(base, range, parents, self.rule, now));
        for parent in [parents.0, parents.1].into_iter().flatten() {
            self.shard_mut(parent).children.push(number);
        }
        let place = self.open.partition_point(|&open| self.shard(open).range.first < range.first);
        self.open.insert(place, number);
    }

    fn close_shard(&mut self, number: u32, now: SimTime, now_s: u64) {
        self.open.retain(|&open| open != number);
        self.shard_mut(number).close(now, now_s);
    }

    pub(super) fn split(&mut self, number: u32, at: HashKey, now: SimTime, now_s: u64) {
        let range = self.shard(number).range;
        assert!(range.first < at && at <= range.last, "a split leaves two shards");
        self.close_shard(number, now, now_s);
        let below = HashKeyRange { first: range.first, last: HashKey(at.0 - 1) };
        let above = HashKeyRange { first: at, last: range.last };
        self.open_shard(below, (Some(number), None), now, now_s);
        self.open_shard(above, (Some(number), None), now, now_s);
    }

    pub(super) fn merge(&mut self, number: u32, adjacent: u32, now: SimTime, now_s: u64) {
        let (one, other) = (self.shard(number).range, self.shard(adjacent).range);
        self.close_shard(number, now, now_s);
        self.close_shard(adjacent, now, now_s);
        let range = HashKeyRange { first: one.first.min(other.first), last: one.last.max(other.last) };
        self.open_shard(range, (Some(number), Some(adjacent)), now, now_s);
    }

    /// The open shard that covers `hash`.
    pub fn shard_of(&self, hash: HashKey) -> &Shard {
        let place = self.open.partition_point(|&open| self.shard(open).range.last < hash);
        self.shard(self.open[place])
    }

    pub(in crate::sim) fn check_sizes(&self, entries: &[Entry]) -> Result<(), ServiceError> {
        let bytes_max = self.record_bytes_max;
        let findings: Vec<String> = entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.cost() > bytes_max)
            .map(|(place, _)| {
                let member = place + 1;
                format!(
                    "Value at 'records.{member}.member.data' failed to satisfy constraint: \
                     Member must have length less than or equal to {bytes_max}"
                )
            })
            .collect();
        if findings.is_empty() { Ok(()) } else { Err(ServiceError::validation(&findings)) }
    }

    pub(super) fn put_entry(&mut self, now: SimTime, now_s: u64, entry: Entry, keep: bool) -> PutResult {
        let number = self.shard_of(hash_of(&entry)).number;
        let shard = &mut self.shards[number as usize];
        let id = shard.id.clone();
        let Some(sequence) = shard.accept(now, now_s, entry.cost()) else {
            return PutResult::Throttled { shard: id };
        };
        if keep {
            self.kept_bytes += shard.keep(now, sequence, entry);
            self.arrivals.push_back(number);
        }
        PutResult::Stored { shard: id, sequence }
    }

    pub(super) fn oldest_arrival(&self) -> Option<SimTime> {
        let number = *self.arrivals.front()?;
        self.shard(number).oldest().map(|record| record.arrival)
    }

    /// Drops the oldest record of all shards; returns what that frees in bytes.
    pub(super) fn trim_oldest(&mut self) -> usize {
        let Some(number) = self.arrivals.pop_front() else { return 0 };
        let freed = self.shard_mut(number).trim_oldest();
        self.kept_bytes -= freed;
        freed
    }
}
