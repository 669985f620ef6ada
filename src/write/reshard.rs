//! Shards that split and merge while we write.
//!
//! An acknowledgement from a shard that was not expected, or a timer, asks for the open shards anew. A lane
//! that the new borders cut takes in what it has in flight and is then cut into parts that inherit its
//! position, its records and what it knows of sequence numbers; every other lane only changes its shard. So
//! a key stays in order, and nothing that was acknowledged is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::engine::{Command, Engine, Shard, StopReason, StreamState};
use super::lane::Lane;
use super::mutant::{Mutant, on};
use super::order::Order;
use super::stats::LaneTimes;
use crate::record::{HashKeyRange, ShardId};
use crate::route::shard_map::ShardMap;

/// Shards are listed this often in any case: one that is idle for us answers nothing.
const LIST_INTERVAL: Duration = Duration::from_mins(1);
/// While the stream says that its shards are changing, this often.
const LIST_INTERVAL_UPDATING: Duration = Duration::from_secs(2);
/// After an unexpected answer, at most this often; doubled with each list that brings nothing new …
const LIST_PAUSE: Duration = Duration::from_secs(1);
/// … up to this.
const LIST_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What is known of the stream's shards, and what is about to change.
pub(super) struct Reshard {
    /// How often lanes were given to other shards.
    pub(super) count: u64,
    /// The shards that each shard was made of, as far as they were listed.
    parents: BTreeMap<ShardId, Vec<ShardId>>,
    /// What each shard covers, as far as they were listed: that never changes.
    ranges: BTreeMap<ShardId, HashKeyRange>,
    /// The shards are changing, by what the stream says …
    updating: bool,
    /// … or by what it does.
    suspected: bool,
    /// The ids in the map that the lanes follow.
    current: BTreeSet<ShardId>,
    /// The map that is to be followed once the lanes that it cuts are drained.
    pending: Option<ShardMap>,
    listing: bool,
    listed_at: Duration,
    next: Duration,
    pause: Duration,
}

impl Reshard {
    pub(super) fn new(map: &ShardMap, updating: bool, now: Duration) -> Self {
        let interval = if updating { LIST_INTERVAL_UPDATING } else { LIST_INTERVAL };
        let mut reshard = Self {
            count: 0,
            parents: BTreeMap::new(),
            ranges: BTreeMap::new(),
            updating,
            suspected: false,
            current: BTreeSet::new(),
            pending: None,
            listing: false,
            listed_at: now,
            next: now + interval,
            pause: LIST_PAUSE,
        };
        reshard.follow(map);
        reshard.learn(map);
        reshard
    }

    fn follow(&mut self, map: &ShardMap) {
        self.current = map.shards().iter().map(|shard| shard.id.clone()).collect();
        for shard in map.shards() {
            let parents = [&shard.parent, &shard.adjacent_parent].into_iter().flatten().cloned();
            self.parents.insert(shard.id.clone(), parents.collect());
        }
    }

    fn learn(&mut self, map: &ShardMap) {
        self.ranges.extend(map.shards().iter().map(|shard| (shard.id.clone(), shard.range)));
    }

    /// What the shard covers, if it was ever listed.
    pub(super) fn range_of(&self, shard: &ShardId) -> Option<HashKeyRange> {
        self.ranges.get(shard).copied()
    }

    /// Whether the shards are changing, or seem to.
    pub(super) fn is_restless(&self) -> bool {
        self.updating || self.suspected || self.pending.is_some()
    }

    /// A lane waits for the shards to be listed.
    pub(super) fn wanted_soon(&mut self, now: Duration) {
        self.next = self.next.min(now.max(self.listed_at + LIST_PAUSE));
    }

    /// Whether `shard` was made of `ancestor`, in however many steps.
    pub(super) fn descends_from(&self, shard: &ShardId, ancestor: &ShardId) -> bool {
        let mut generation: Vec<&ShardId> = vec![shard];
        let mut seen = BTreeSet::new();
        while let Some(shard) = generation.pop() {
            for parent in self.parents.get(shard).into_iter().flatten() {
                if parent == ancestor {
                    return true;
                }
                if seen.insert(parent) {
                    generation.push(parent);
                }
            }
        }
        false
    }

    /// A shard has answered that no lane expects.
    pub(super) fn unexpected(&mut self, shard: &ShardId) {
        if self.current.contains(shard) {
            // It took what was on its way when lanes moved, or the stream has begun to distribute records itself.
            self.next = self.next.min(self.listed_at + LIST_INTERVAL_UPDATING);
        } else {
            self.next = self.next.min(self.listed_at + self.pause);
            self.suspected = true;
        }
    }
}

impl Engine {
    /// When the shards are to be listed next, if they are.
    pub(super) fn list_shards_at(&self) -> Option<Duration> {
        let stopped = self.stop.is_some() && !self.has_strays();
        let idle = stopped || self.reshard.listing || !self.config.hash_places || self.unsettled == 0;
        (!idle).then_some(self.reshard.next)
    }

    pub(super) fn list_shards_if_due(&mut self, now: Duration, commands: &mut Vec<Command>) {
        if self.list_shards_at().is_some_and(|at| at <= now) {
            self.reshard.listing = true;
            self.strays_are_asked_for();
            commands.push(Command::ListShards);
        }
    }

    pub(super) fn shards_listed(
        &mut self,
        map: Option<ShardMap>,
        state: Option<StreamState>,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        if state.is_some_and(|state| state.ignores_keys) {
            self.stop_if_keys_count(now);
        }
        let reshard = &mut self.reshard;
        let updating = state.map_or(reshard.updating, |state| state.updating);
        let interval = if updating { LIST_INTERVAL_UPDATING } else { LIST_INTERVAL };
        (reshard.listing, reshard.listed_at, reshard.next) = (false, now, now + interval);
        reshard.updating = updating;
        if let Some(map) = &map {
            reshard.learn(map);
            reshard.suspected = false;
        }
        self.judge_strays(map.is_some(), now, commands);
        let reshard = &mut self.reshard;
        let known: BTreeSet<&ShardId> = match &reshard.pending {
            Some(pending) => pending.shards().iter().map(|shard| &shard.id).collect(),
            None => reshard.current.iter().collect(),
        };
        // The ids say it all: a shard never changes its range.
        let news = map.filter(|map| !map.shards().iter().map(|shard| &shard.id).eq(known));
        let Some(map) = news else {
            reshard.pause = (reshard.pause * 2).min(LIST_PAUSE_MAX);
            return;
        };
        reshard.pause = LIST_PAUSE;
        for lane in &mut self.lanes {
            let shard = &map.shards()[map.shard_of(lane.range.first)];
            lane.draining = shard.range.last < lane.range.last;
        }
        self.reshard.pending = Some(map);
        self.reshard_if_drained(now);
    }

    /// The stream has begun to distribute records itself.
    fn stop_if_keys_count(&mut self, now: Duration) {
        if self.config.order != Order::None || self.config.aggregate.is_some() {
            let sentence = "the stream has begun to distribute records itself (RecordDistributionStrategy AUTO): no key \
                            keeps its order there, and no aggregate is taken by its consumers; set it back and resume";
            self.stop_for(StopReason::Refused(sentence.into()), now);
        }
    }

    /// Follows the new map if no lane that it cuts has anything in flight.
    pub(super) fn reshard_if_drained(&mut self, now: Duration) {
        let drains = |lane: &Lane| lane.draining && lane.in_flight > 0;
        if self.lanes.iter().any(drains) && !on(Mutant::ReshardWithoutDrain) {
            return;
        }
        let Some(map) = self.reshard.pending.take() else { return };
        self.reshard.count += 1;
        self.reshard.follow(&map);
        let shards = self.shards_of(&map, now);
        let mut moved_to = Vec::with_capacity(self.lanes.len());
        let mut lanes = Vec::with_capacity(map.shards().len());
        let mut times = Vec::with_capacity(map.shards().len());
        let olds = std::mem::take(&mut self.lanes).into_iter().zip(std::mem::take(&mut self.times));
        for (mut lane, mut waited) in olds {
            moved_to.push(lanes.len());
            if lane.draining || lane.shard != shards[map.shard_of(lane.range.first)] {
                self.shards[lane.shard].left.add(&waited.take(now));
            }
            times.push(waited);
            if lane.draining {
                let parts: Vec<(HashKeyRange, usize)> = map
                    .shards()
                    .iter()
                    .zip(&shards)
                    .filter_map(|(shard, &index)| Some((lane.range.intersection(&shard.range)?, index)))
                    .collect();
                lanes.extend(lane.cut(&parts, self.frontier));
                times.resize(lanes.len(), LaneTimes::default());
            } else {
                lane.shard = shards[map.shard_of(lane.range.first)];
                lanes.push(lane);
            }
        }
        for request in self.requests.values_mut() {
            request.lane = moved_to[request.lane];
        }
        self.due = vec![None; lanes.len()];
        self.agenda.clear();
        self.turns.clear();
        (self.lanes, self.times) = (lanes, times);
        self.share_out_anew();
        self.progress.changed();
        self.schedule_all(now);
    }

    /// The index of each of the map's shards among all that were ever known; new ones take over what is
    /// known of round trips.
    fn shards_of(&mut self, map: &ShardMap, now: Duration) -> Vec<usize> {
        let mut indices = Vec::with_capacity(map.shards().len());
        for description in map.shards() {
            let known = self.shards.iter().position(|shard| shard.id == description.id);
            indices.push(known.unwrap_or_else(|| {
                let covering = self.lanes.partition_point(|lane| lane.range.last < description.range.first);
                let Shard { round_trip, turn, .. } = self.shards[self.lanes[covering].shard];
                let new = Shard::new(description, self.config.shard_rate, now);
                self.shards.push(Shard { round_trip, turn, ..new });
                self.shards.len() - 1
            }));
        }
        indices
    }
}
