//! What the engine counts: for the progress line, the report, and the question what was the brake.

use std::collections::BTreeMap;
use std::time::Duration;

use super::checkpoint::Totals;
use super::engine::{Engine, Shard};
use super::rate::{Load, ShardRate};
use crate::record::ShardId;

/// What a lane was waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Brake {
    /// Nothing to send: the input is slower, or all is sent.
    Input,
    /// The shard's limit: what one wants to see.
    Shard,
    /// The cap on the whole run.
    RunRate,
    /// Strict order: every waiting record stands behind another of its key.
    Order,
    /// The most requests in flight.
    RoundTrip,
    /// A pause after a failure or a throttle, a shard that takes clearly less than its rate, or the last answers before
    /// the lane is cut.
    Failure,
    /// Progress must be made durable first.
    Checkpoint,
}

impl Brake {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Input,
        Self::Shard,
        Self::RunRate,
        Self::Order,
        Self::RoundTrip,
        Self::Failure,
        Self::Checkpoint,
    ];
}

/// How long a lane waited for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaneTimes {
    times: BTreeMap<Brake, Duration>,
    current: Option<(Brake, Duration)>,
}

impl LaneTimes {
    /// From `now` on the lane waits for `brake`.
    pub fn wait_for(&mut self, brake: Brake, now: Duration) {
        self.bring_to(now);
        self.current = Some((brake, now));
    }

    /// The times up to `now`; from here on it is counted anew.
    pub(super) fn take(&mut self, now: Duration) -> Self {
        self.bring_to(now);
        let times = std::mem::take(&mut self.times);
        Self { times, current: None }
    }

    /// Counts the current wait up to `now`.
    pub fn bring_to(&mut self, now: Duration) {
        if let Some((brake, since)) = &mut self.current {
            *self.times.entry(*brake).or_default() += now.saturating_sub(*since);
            *since = now.max(*since);
        }
    }

    /// Time spent waiting for `brake`, up to the last change.
    pub fn waited_for(&self, brake: Brake) -> Duration {
        self.times.get(&brake).copied().unwrap_or_default()
    }

    /// Time in which there was something to send.
    pub fn with_work(&self) -> Duration {
        self.times.iter().filter(|&(&brake, _)| brake != Brake::Input).map(|(_, &time)| time).sum()
    }

    /// Adds the times of another lane.
    pub fn add(&mut self, other: &Self) {
        for (&brake, &time) in &other.times {
            *self.times.entry(brake).or_default() += time;
        }
    }
}

/// What happened on one shard.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardStats {
    /// The shard.
    pub shard: ShardId,
    /// Records that were acked from its lanes.
    pub records: u64,
    /// Their data and partition keys, in bytes.
    pub bytes: u64,
    /// What the shard has counted of them: entries, and their bytes.
    pub taken: Load,
    /// Entries that were sent.
    pub sent: u64,
    /// Entries that it refused for being over its limit.
    pub throttled: u64,
    /// The configured rate.
    pub limit: ShardRate,
    /// What its lanes waited for.
    pub times: LaneTimes,
}

impl ShardStats {
    /// The part of the time with work in which only the order kept records back; `None` if there was none.
    pub fn held_by_order(&self) -> Option<f64> {
        let with_work = self.times.with_work();
        (!with_work.is_zero()).then(|| self.times.waited_for(Brake::Order).div_duration_f64(with_work))
    }

    /// The share of the configured rate that was used while there was work, at most 1 (what was saved up
    /// before the work came does not count); `None` if there was none.
    pub fn utilisation(&self) -> Option<f64> {
        let seconds = self.times.with_work().as_secs_f64();
        let records = self.taken.records / self.limit.records;
        let bytes = self.taken.bytes / self.limit.bytes;
        (seconds > 0.0).then(|| (records.max(bytes) / seconds).min(1.0))
    }
}

/// A look at the engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineStats {
    /// What was counted over all processes of the run.
    pub totals: Totals,
    /// Records that wait or are in flight.
    pub unsettled: usize,
    /// Requests in flight.
    pub requests_in_flight: usize,
    /// Per shard, in the order in which they came to be known, this process only.
    pub shards: Vec<ShardStats>,
    /// How often the stream's shards changed under this process.
    pub reshards: u64,
    /// What all lanes together waited for.
    pub times: LaneTimes,
    /// For how long no call has succeeded, since one failed other than by throttling.
    pub away: Option<Duration>,
}

impl Engine {
    /// What was counted up to `now`.
    pub fn stats(&mut self, now: Duration) -> EngineStats {
        for lane in 0..self.lanes.len() {
            self.times[lane].bring_to(now);
        }
        let mut times = LaneTimes::default();
        self.times.iter().chain(self.shards.iter().map(|shard| &shard.left)).for_each(|lane| times.add(lane));
        let shard_stats = |(index, shard): (usize, &Shard)| {
            let mut times = shard.left.clone();
            // Lanes of one shard wait side by side; the busiest of them stands for the shard.
            let of_shard = self.lanes.iter().zip(&self.times).filter(|(lane, _)| lane.shard == index);
            if let Some((_, busiest)) = of_shard.max_by_key(|(_, times)| times.with_work()) {
                times.add(busiest);
            }
            ShardStats {
                shard: shard.id.clone(),
                records: shard.acked.0,
                bytes: shard.acked.1,
                taken: shard.taken,
                sent: shard.sent,
                throttled: shard.throttled,
                limit: self.config.shard_rate,
                times,
            }
        };
        EngineStats {
            totals: self.totals,
            unsettled: self.unsettled,
            requests_in_flight: self.requests.len(),
            shards: self.shards.iter().enumerate().map(shard_stats).collect(),
            reshards: self.reshard.count,
            times,
            away: self.away_since.map(|since| now.saturating_sub(since)),
        }
    }
}
