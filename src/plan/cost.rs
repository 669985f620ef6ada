//! What a number of shards, or a stream on demand, costs for a plan.
//!
//! A stream is paid for as long as it is there: while it is written, or while the worker reads if that takes longer and
//! is known. One that is still to be made keeps its records for as long as the worker needs.
//!
//! Pure.

use super::figures::Figures;
use super::model::{BindingLimit, Shards, predict};
use super::price::{Cost, Payload, Stay};
use super::report::OnDemandReport;
use super::retention;
use crate::config::{ArchiveAddress, Target};
use crate::run::open::OpenStream;

/// A new stream on demand takes as much as four shards, and twice as much after each of these.
/// Source: Kinesis quotas page, read 2026-11-22.
const DOUBLING_SECONDS: f64 = 900.0;
const SHARDS_AT_FIRST: u32 = 4;
/// Nobody waits for more doublings: a day has 96.
const DOUBLINGS_MAX: u32 = 12;
/// What a lane gathers for one entry.
const AGGREGATE_BYTES: f64 = 24_500.0;

impl Figures<'_> {
    /// What `shards` cost, or the target if it is on demand, for a replay of `seconds`.
    pub(super) fn cost(&self, shards: u32, seconds: f64, packed: bool) -> Cost {
        let config = &self.ground.config;
        let nothing = matches!(config.what.target, Some(Target::Sim { .. } | Target::Null));
        // With another number of shards it would be provisioned.
        let is_own = |target: &OpenStream| target.map.shards().len() == shards as usize;
        let target = self.ground.target.as_ref();
        let on_demand = target.is_some_and(|target| target.description.on_demand && is_own(target));
        let (payload, prices, stay) = (self.payload(packed), &self.ground.prices, self.stay(seconds));
        let stream = match () {
            () if nothing && config.shards.is_empty() => Cost::default(),
            () if on_demand => prices.on_demand(&payload, stay),
            () => prices.provisioned(&payload, shards, stay),
        };
        self.with_requests(stream)
    }

    /// A new stream on demand: how long it takes, and what it costs.
    pub(super) fn on_demand(&self) -> OnDemandReport {
        let packed = self.ground.config.what.aggregate;
        let (work, writing) = self.job(packed);
        let on = |shards: u32| predict(&work, &writing, Shards::Even(shards));
        // The n-th quarter of an hour brings 2^n times what a new one takes, and more of it helps only where shards bind.
        let grows = |limit: BindingLimit| {
            use BindingLimit::{Bytes, HotShard, Records, RoundTrip};
            matches!(limit, Records | Bytes | HotShard | RoundTrip)
        };
        let longest = |shards: u32, of: &dyn Fn(BindingLimit) -> bool| {
            let found = on(shards).limits.into_iter();
            found.filter(|(limit, _)| of(*limit)).map(|(_, seconds)| seconds).fold(0.0, f64::max)
        };
        let first = on(SHARDS_AT_FIRST);
        let mut left = if grows(first.binding) { first.seconds } else { longest(SHARDS_AT_FIRST, &grows) };
        let (mut seconds, mut doublings) = (0.0, 0);
        while left > DOUBLING_SECONDS * f64::from(1 << doublings) && doublings < DOUBLINGS_MAX {
            left -= DOUBLING_SECONDS * f64::from(1 << doublings);
            seconds += DOUBLING_SECONDS;
            doublings += 1;
        }
        seconds += left / f64::from(1 << doublings);
        let seconds = seconds.max(longest(SHARDS_AT_FIRST << doublings, &|limit| !grows(limit)));
        let cost = self.ground.prices.on_demand(&self.payload(packed), self.stay(seconds));
        OnDemandReport { seconds, cost_usd: self.with_requests(cost).total() }
    }

    /// How long the worker needs to read it all, if that is known.
    pub(super) fn reading_seconds(&self) -> Option<f64> {
        let work = self.work();
        retention::reading_seconds(work.records, work.bytes, self.ground.config.worker_rate)
    }

    /// One that is there already stays; one that is made for this is deleted when all is read.
    fn stay(&self, replay_seconds: f64) -> Stay {
        let reading = self.reading_seconds();
        let seconds = replay_seconds.max(reading.unwrap_or(0.0));
        let wanted = || retention::hours_wanted(self.retention_hours(), replay_seconds, reading);
        let found = self.ground.target.as_ref().map(|target| target.description.retention_hours);
        let retention_hours = f64::from(found.unwrap_or_else(wanted));
        let kept_hours =
            if found.is_some() { retention_hours } else { retention_hours.min(seconds / 3_600.0) };
        Stay { seconds, retention_hours, kept_hours }
    }

    fn payload(&self, packed: bool) -> Payload {
        let (work, _) = self.job(packed);
        if packed {
            return Payload::aggregated(work.bytes, AGGREGATE_BYTES);
        }
        Payload::of(self.sample.iter().map(|record| record.cost), work.records)
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of objects")]
    fn with_requests(&self, stream: Cost) -> Cost {
        let ArchiveAddress::S3 { .. } = self.ground.config.what.archive else { return stream };
        let Cost { requests, requests_usd, .. } =
            self.ground.prices.requests(self.ground.manifest.objects.len() as f64);
        Cost { requests, requests_usd, ..stream }
    }
}
