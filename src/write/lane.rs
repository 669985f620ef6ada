//! A lane: one contiguous part of the hash space, its records in archive order, and what became of them.
//!
//! Records arrive at the `tail` and are looked at only as far as the next batches need. What was looked
//! at is either `ready` to be sent, or held back behind an earlier record of the same key: in a strict
//! order at most one record of a key is ready or in flight, and its settlement releases the next. What
//! failed returns to `ready` at its own ordinal, so only other keys can pass it.
//!
//! `looked_at` remembers, in archive order, which of the records above the position are settled. The
//! front of it is the position. When shards split, a lane is cut in two that inherit all of this.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use foldhash::fast::FixedState;

use super::aggregate::{Packed, Packing, RECORD_OVERHEAD_MIN, Room, stow};
use super::checkpoint::LanePosition;
use super::dispatch::whole;
use super::mutant::{Mutant, on};
use super::order::Discipline;
use super::rate::Load;
use super::ready::Ready;
use super::stats::Brake;
use crate::record::{HashKey, HashKeyRange, Ordinal, SequenceNumber, ShardId};
use crate::route::Routed;

/// Records of a lane that may be held back behind their key; then the lane looks no further.
pub const HELD_MAX: usize = 4_096;
/// Records above the position that a lane may have looked at; then it looks no further. So much has to be
/// gone through for a checkpoint while one record keeps the position where it is.
pub const LOOKED_AT_MAX: usize = 1 << 17;
pub use super::order::Order;

/// What became of a record that was brought to its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// An earlier process has settled it.
    Settled,
    /// It waits to be sent.
    Waits,
    /// It waits to be sent, and an earlier process may have stored it.
    WaitsInDoubt,
}

/// One lane.
#[derive(Debug)]
pub struct Lane {
    /// The part of the hash space it owns.
    pub range: HashKeyRange,
    /// Index of the shard that covers it.
    pub shard: usize,
    /// Requests in flight.
    pub in_flight: u32,
    /// Nothing leaves before this.
    pub paused_until: Duration,
    /// Nothing leaves before the checkpoint of this sequence is durable: it counts possible duplicates.
    pub counted_by: u64,
    /// Nothing leaves any more: the lane waits for its last answer, then it is cut.
    pub draining: bool,
    /// Answers in a row that took nothing because the shard was over its limit.
    pub throttles: u32,
    /// Calls that failed since the last acknowledgement.
    pub failures: u32,
    /// When the last request left the lane.
    pub departed_at: Duration,
    /// Since when it has had something to send, and too little.
    pub lingers_since: Option<Duration>,
    /// As long as it lingers: so many records that wait to be looked at end that.
    pub enough: Option<usize>,
    /// The highest sequence number acked, by shard.
    pub highest: BTreeMap<ShardId, SequenceNumber>,
    /// Parts of a request that the service called invalid, to be sent by themselves.
    pub suspects: VecDeque<Vec<Routed>>,
    discipline: Discipline,
    inherited: LanePosition,
    reach: Ordinal,
    /// Whether all that had come when it was asked for lies within it.
    reach_is_all: bool,
    tail: VecDeque<Routed>,
    ready: Ready,
    held: HashMap<HashKey, VecDeque<Routed>, FixedState>,
    held_records: usize,
    looked_at: VecDeque<(Ordinal, bool)>,
    /// The record that the position stands at, and since when answers say that something failed.
    stuck: Option<(Ordinal, Duration)>,
    /// Those that are not settled but may be stored.
    doubted: BTreeSet<Ordinal>,
}

impl Lane {
    /// A lane that goes on where `inherited` stood.
    pub fn new(inherited: LanePosition, shard: usize, discipline: Discipline) -> Self {
        Self {
            range: inherited.range,
            shard,
            in_flight: 0,
            paused_until: Duration::ZERO,
            counted_by: 0,
            draining: false,
            throttles: 0,
            failures: 0,
            departed_at: Duration::ZERO,
            lingers_since: None,
            enough: None,
            highest: BTreeMap::new(),
            suspects: VecDeque::new(),
            discipline,
            reach: inherited.reach,
            reach_is_all: false,
            inherited,
            tail: VecDeque::new(),
            ready: Ready::default(),
            held: HashMap::default(),
            held_records: 0,
            looked_at: VecDeque::new(),
            stuck: None,
            doubted: BTreeSet::new(),
        }
    }

    /// Takes a record that was routed here.
    pub(super) fn push(&mut self, record: Routed) -> Pushed {
        if self.inherited.is_settled(record.ordinal) {
            return Pushed::Settled;
        }
        self.tail.push_back(record);
        if self.inherited.may_have_been_sent(record.ordinal) {
            self.doubted.insert(record.ordinal);
            return Pushed::WaitsInDoubt;
        }
        Pushed::Waits
    }

    /// Whether any record waits to be sent; what is in flight does not wait.
    pub fn has_work(&self) -> bool {
        !(self.tail.is_empty() && self.ready.is_empty() && self.held_records == 0 && self.suspects.is_empty())
    }

    /// Records held back behind their key.
    pub fn held_records(&self) -> usize {
        self.held_records
    }

    /// Whether more may become ready without an answer: there may be more input, or a longer reach.
    pub fn may_grow(&self) -> bool {
        self.tail.front().is_none_or(|record| record.ordinal >= self.reach)
    }

    /// It waits until `missing` more have come. Gives what for.
    pub(super) fn linger(&mut self, missing: usize, input_ended: bool) -> Brake {
        self.enough = Some(self.tail.len() + missing);
        match () {
            () if self.held_records > self.ready.len() => Brake::Order,
            () if self.tail.is_empty() => Brake::Input,
            () => self.beyond_reach(input_ended),
        }
    }

    /// What it waits for whose next record lies beyond the reach. If the reach has all that had come, more would have been
    /// sent had more come by then.
    pub(super) const fn beyond_reach(&self, input_ended: bool) -> Brake {
        if self.reach_is_all && !input_ended { Brake::Input } else { Brake::Checkpoint }
    }

    /// Whether it need not linger any more.
    pub fn has_enough(&self) -> bool {
        self.enough.is_some_and(|enough| self.tail.len() >= enough)
    }

    /// Whether all that has come is ready or waits behind its key.
    pub fn is_looked_through(&self) -> bool {
        self.tail.is_empty()
    }

    /// Whether the next record waits for a longer reach.
    pub fn is_at_its_reach(&self) -> bool {
        self.ready.is_empty() && self.tail.front().is_some_and(|record| record.ordinal >= self.reach)
    }

    /// Whether the reach ends within the next `records` records of the tail.
    fn reach_ends_within(&self, records: usize) -> bool {
        self.tail
            .get(records.saturating_sub(1))
            .or(self.tail.back())
            .is_some_and(|record| record.ordinal >= self.reach)
    }

    /// Looks at the tail until what is ready makes a request as large as `capacity` allows, or it may look no further.
    /// Says whether a longer reach will be needed soon.
    pub(super) fn look_ahead(&mut self, packing: Packing, capacity: Load) -> bool {
        let (records, bytes) = match packing {
            Packing::Together { .. } => (usize::MAX, capacity.bytes),
            _ => (whole(capacity.records).min(packing.records_max()), f64::INFINITY),
        };
        let mut ready = 0.0;
        if bytes.is_finite() {
            ready = self.ready.iter().map(bytes_together).sum();
        }
        while self.ready.len() < records
            && ready < bytes
            && self.held_records < HELD_MAX
            && self.looked_at.len() < LOOKED_AT_MAX
        {
            let within = |record: &mut Routed| record.ordinal < self.reach || on(Mutant::ReachIgnored);
            let Some(record) = self.tail.pop_front_if(within) else { break };
            self.looked_at.push_back((record.ordinal, false));
            if self.discipline.holds_back() && !on(Mutant::SameKeyTwice) {
                match self.held.entry(record.hash) {
                    Entry::Occupied(mut waiting) => {
                        waiting.get_mut().push_back(record);
                        self.held_records += 1;
                        continue;
                    }
                    Entry::Vacant(first) => drop(first.insert(VecDeque::new())),
                }
            }
            ready += bytes_together(&record);
            self.ready.insert(record);
        }
        self.reach_ends_within(if records == usize::MAX { self.ready.len().max(1) } else { records })
    }

    /// How many of the next records of the tail can make `bytes`.
    pub fn tail_records(&self, bytes: f64) -> usize {
        let mut sum = 0.0;
        let within = |record: &&Routed| {
            sum += bytes_together(record);
            sum <= bytes
        };
        self.tail.iter().take_while(within).count()
    }

    /// The records that may leave now, first one first.
    pub fn ready(&self) -> impl Iterator<Item = &Routed> {
        self.ready.iter()
    }

    /// Takes the first ready records as long as there is `room`, but at least one.
    pub(super) fn take_batch(&mut self, packing: Packing, room: Room) -> Packed {
        let stowed =
            stow(packing, self.ready.iter(), |before, after| before.records < 1.0 || room.holds(after));
        Packed::new(self.ready.take(stowed.records()), stowed)
    }

    /// Takes what is to be sent by itself, if there is something: as much of its first part as one request may have.
    pub(super) fn take_suspects(&mut self, packing: Packing, room: Room) -> Option<Packed> {
        let mut records = self.suspects.pop_front()?;
        let stowed = stow(packing, records.iter(), |before, after| before.records < 1.0 || room.holds(after));
        let rest = records.split_off(stowed.records());
        if !rest.is_empty() {
            self.suspects.push_front(rest);
        }
        Some(Packed::new(records, stowed))
    }

    /// The record goes back to its place, to be sent again; it may be stored already if in `doubt`.
    pub fn give_back(&mut self, record: Routed, doubt: bool) {
        if on(Mutant::RetryAtTail) {
            self.release(record.hash);
            return self.tail.push_back(record);
        }
        if doubt {
            self.doubted.insert(record.ordinal);
        }
        // It has waited for company before.
        self.lingers_since = Some(Duration::ZERO);
        self.ready.insert(record);
        if self.discipline.in_flight_max() == 1 {
            // They stand behind the record and must not leave before it.
            let behind = std::mem::take(&mut self.suspects).into_iter().flatten();
            behind.for_each(|record| self.ready.insert(record));
        }
    }

    /// Whether the record may be stored already.
    pub fn is_doubted(&self, record: &Routed) -> bool {
        self.doubted.contains(&record.ordinal)
    }

    /// The record's fate is known: its key's next record may leave, and the position may advance.
    pub fn settle(&mut self, record: &Routed) {
        self.doubted.remove(&record.ordinal);
        // As a rule they are settled in the order in which they were looked at.
        let at = match self.looked_at.front() {
            Some(&(first, _)) if first == record.ordinal => Ok(0),
            _ => self.looked_at.binary_search_by_key(&record.ordinal, |&(ordinal, _)| ordinal),
        };
        if let Ok(at) = at {
            self.looked_at[at].1 = true;
        }
        while self.looked_at.pop_front_if(|&mut (_, settled)| settled).is_some() {}
        self.release(record.hash);
    }

    /// The next record of this key may leave.
    fn release(&mut self, hash: HashKey) {
        if !self.discipline.holds_back() {
            return;
        }
        let Entry::Occupied(mut waiting) = self.held.entry(hash) else { return };
        match waiting.get_mut().pop_front() {
            Some(next) => {
                self.held_records -= 1;
                self.ready.insert(next);
            }
            None => drop(waiting.remove()),
        }
    }

    /// Some record has failed. Gives for how long that has been so without the position getting on.
    pub fn stuck_for(&mut self, now: Duration) -> Duration {
        let front = self.looked_at.front().map(|&(ordinal, _)| ordinal);
        if let Some((_, since)) = self.stuck.filter(|&(ordinal, _)| Some(ordinal) == front) {
            return now.saturating_sub(since);
        }
        self.stuck = front.map(|front| (front, now));
        Duration::ZERO
    }

    /// The progress to be made durable; `frontier` is where an idle lane stands. The reach covers the
    /// next `allowance` records of the tail; without one nothing more is sent by this process, and the
    /// reach says what may be stored unseen.
    pub fn position(&self, frontier: Ordinal, allowance: Option<usize>) -> LanePosition {
        let first = match () {
            () if on(Mutant::HighestAckIsPosition) => {
                self.looked_at.iter().rfind(|(_, settled)| *settled).map(|(ordinal, _)| ordinal.next())
            }
            () if on(Mutant::PositionOfSent) => self.ready.iter().next().map(|record| record.ordinal),
            () => self.looked_at.front().map(|&(ordinal, _)| ordinal),
        };
        let waiting = first.or(self.tail.front().map(|record| record.ordinal));
        // A resume routes again from below the inherited position, so the frontier may lie below it.
        let position = waiting.unwrap_or(frontier).max(self.inherited.position);
        // What was inherited as settled above the position stays settled until the position has passed it.
        let inherited = self.inherited.settled_above.iter().filter(|&&(_, last)| last >= position).copied();
        let mut settled_above = merge_intervals(inherited.collect(), self.settled_intervals());
        if on(Mutant::SettledAboveForgotten) {
            settled_above.clear();
        }
        let reach = match allowance {
            Some(records) => self.tail.get(records).map_or(frontier, |record| record.ordinal).max(self.reach),
            None => self.doubtful_end(frontier),
        };
        LanePosition { range: self.range, position, settled_above, reach }
    }

    /// Behind the last record that waits to be sent again and may be in the stream already.
    fn doubtful_end(&self, frontier: Ordinal) -> Ordinal {
        let brought = self.doubted.last().map_or(Ordinal::START, |last| last.next());
        // What an earlier process may have sent and was not brought again yet is still in doubt.
        if frontier < self.inherited.reach { self.inherited.reach } else { brought }
    }

    /// A checkpoint with this reach is durable; `frontier` is how much had come.
    pub fn grant(&mut self, reach: Ordinal, frontier: Ordinal) {
        self.reach = self.reach.max(reach);
        self.reach_is_all = self.reach >= frontier;
    }

    /// The same progress and records in a lane for each of `parts`, which are ranges of this lane and the
    /// shards that cover them. Nothing may be in flight.
    pub(super) fn cut(mut self, parts: &[(HashKeyRange, usize)], frontier: Ordinal) -> Vec<Self> {
        debug_assert!(
            self.in_flight == 0 || on(Mutant::ReshardWithoutDrain),
            "a lane is cut only when it is drained"
        );
        let position = self.position(frontier, Some(0));
        let mut records = self.ready.take(self.ready.len());
        let held = std::mem::take(&mut self.held).into_values().flatten();
        records.extend(held.filter(|_| !on(Mutant::CutForgetsHeld)));
        records.extend(std::mem::take(&mut self.suspects).into_iter().flatten());
        records.extend(std::mem::take(&mut self.tail));
        records.sort_unstable_by_key(|record| record.ordinal);
        let part = |&(range, shard): &(HashKeyRange, usize)| {
            let inherited = LanePosition { range, reach: self.inherited.reach, ..position.clone() };
            let tail: VecDeque<Routed> =
                records.iter().filter(|record| range.contains(record.hash)).copied().collect();
            let doubted = tail.iter().map(|record| record.ordinal);
            let doubted = doubted.filter(|ordinal| self.doubted.contains(ordinal)).collect();
            Self {
                reach: self.reach,
                reach_is_all: self.reach_is_all,
                paused_until: self.paused_until,
                counted_by: self.counted_by,
                departed_at: self.departed_at,
                highest: self.highest.clone(),
                tail,
                doubted,
                ..Self::new(inherited, shard, self.discipline)
            }
        };
        parts.iter().map(part).collect()
    }

    fn settled_intervals(&self) -> Vec<(Ordinal, Ordinal)> {
        self.looked_at
            .iter()
            .collect::<Vec<_>>()
            .chunk_by(|left, right| left.1 == right.1)
            .filter(|run| run[0].1)
            .map(|run| (run[0].0, run[run.len() - 1].0))
            .collect()
    }
}

/// The least that the record takes in an aggregate.
fn bytes_together(record: &Routed) -> f64 {
    f64::from(record.data_bytes() + RECORD_OVERHEAD_MIN)
}

/// Both sets of closed intervals as one, ascending; those that overlap are joined.
fn merge_intervals(
    mut left: Vec<(Ordinal, Ordinal)>,
    right: Vec<(Ordinal, Ordinal)>,
) -> Vec<(Ordinal, Ordinal)> {
    if left.is_empty() {
        return right;
    }
    left.extend(right);
    left.sort_unstable();
    left.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    left
}
