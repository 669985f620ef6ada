//! From what was seen to the plan: estimates, predictions, prices, put together.
//!
//! Pure, though it may take a second of the CPU.

use std::sync::Arc;

use super::deadline::{self, Needed};
use super::estimate::{self, Estimate, Observation, Population};
use super::model::{Prediction, SampledRecord, Shards, Work, Writing, predict};
use super::price::Prices;
use super::reading::{Reading, Readings};
use super::report::{AggregatedReport, DeadlineReport, LimitReport, Plan, ShardsReport};
use crate::archive::manifest::Manifest;
use crate::config::{Order, PlanConfig, Target};
use crate::run::open::{self, OpenStream};

/// Compared if the user names no numbers.
const SHARDS_USUAL: [u32; 4] = [1, 4, 16, 64];
/// A round trip within a region, with what Kinesis takes to store.
const ROUND_TRIP_ASSUMED: f64 = 0.020;
/// The embedded stream's, which takes 5 ms, and what timers and threads add to that.
const ROUND_TRIP_EMBEDDED: f64 = 0.0064;
/// One core, gzip, framing found: docs/benchmarks.md.
const DECODE_BYTES_PER_SECOND: f64 = 460e6;
/// One core, from the cache to the socket: routing, engine, encoding, signing: docs/benchmarks.md.
const SEND_SECONDS_PER_RECORD: f64 = 1.3e-6;
const SEND_SECONDS_PER_BYTE: f64 = 3.5e-9;
/// What a record costs inside of an aggregate: its place in the tables, tags and lengths.
const AGGREGATED_OVERHEAD: u32 = 12;
/// Objects in work at once, as in a replay.
const OBJECTS_AT_ONCE: f64 = 16.0;
/// A key that random rules draw has so many bytes.
const RANDOM_KEY_BYTES: u32 = 32;

/// What a plan stands on.
pub(super) struct Ground {
    pub(super) config: PlanConfig,
    pub(super) manifest: Arc<Manifest>,
    pub(super) prices: Prices,
    pub(super) target: Option<OpenStream>,
    pub(super) seconds: f64,
}

/// What follows from it.
pub(super) struct Figures<'a> {
    pub(super) ground: &'a Ground,
    pub(super) readings: &'a Readings,
    kinds: [Population; 2],
    pub(super) sample: Vec<SampledRecord>,
    packed: Vec<SampledRecord>,
    /// Whether every object, and every record of it, was looked at.
    pub(super) whole: bool,
    /// The part of the records that `--limit` leaves.
    pub(super) part: f64,
}

impl<'a> Figures<'a> {
    pub(super) fn new(ground: &'a Ground, readings: &'a Readings) -> Self {
        let objects = &readings.objects;
        // As long as the key is open, nobody knows its length.
        let unknown = if ground.config.what.partition_key.is_none() { RANDOM_KEY_BYTES } else { 0 };
        let sample: Vec<SampledRecord> = objects
            .iter()
            .flat_map(|object| &object.sample)
            .map(|record| SampledRecord { cost: record.cost.saturating_sub(unknown), ..*record })
            .collect();
        let packed = sample
            .iter()
            .map(|record| SampledRecord { cost: record.cost + AGGREGATED_OVERHEAD, ..*record })
            .collect();
        let sent: f64 = objects.iter().map(|object| object.sent).sum();
        #[expect(clippy::cast_precision_loss, reason = "a sample")]
        let all_asked = (sent - sample.len() as f64).abs() < 0.5;
        let all_read = objects.iter().all(|object| object.whole)
            && objects.len() + readings.unread.len() == ground.manifest.objects.len();
        let mut figures = Self {
            ground,
            readings,
            kinds: estimate::populations(ground.manifest.objects.iter()),
            sample,
            packed,
            whole: all_asked && all_read,
            part: 1.0,
        };
        let records = figures.total(|object| object.sent).value;
        #[expect(clippy::cast_precision_loss, reason = "a count of records")]
        let limit = ground.config.what.limit.map_or(f64::INFINITY, |limit| limit as f64);
        figures.part = (limit / records.max(1.0)).min(1.0);
        figures
    }

    pub(super) fn total(&self, counted: impl Fn(&Reading) -> f64) -> Estimate {
        let seen = |object: &Reading| Observation {
            compressed: object.compressed,
            stored: object.stored,
            counted: counted(object),
            whole: object.whole,
        };
        let mut sample: Vec<Observation> = self.readings.objects.iter().map(seen).collect();
        // What cannot be read brings no records, and neither does what it stands for.
        sample.extend(self.readings.unread.iter().map(|unread| Observation {
            compressed: unread.compressed,
            stored: unread.stored,
            counted: 0.0,
            whole: true,
        }));
        estimate::total(self.kinds, &sample).unwrap_or(Estimate { value: 0.0, error: None })
    }

    pub(super) fn work(&self) -> Work<'_> {
        let records = self.total(|object| object.sent).value * self.part;
        let bytes = self.total(|object| object.sent_bytes).value * self.part;
        let decoded = self.total(|object| object.decoded).value * self.part;
        let wire = match self.ground.config.what.target {
            Some(Target::Sim { .. } | Target::Null) => 0.0,
            Some(Target::Kinesis { .. }) | None => bytes * SEND_SECONDS_PER_BYTE,
        };
        let cpu = decoded / DECODE_BYTES_PER_SECOND + records * SEND_SECONDS_PER_RECORD + wire;
        Work {
            records,
            bytes: bytes
                - if self.ground.config.what.partition_key.is_none() {
                    records * f64::from(RANDOM_KEY_BYTES)
                } else {
                    0.0
                },
            sample: &self.sample,
            whole: self.whole && self.part >= 1.0,
            fetch_seconds: self.fetch_seconds(),
            cpu_seconds: cpu / f64::from(cores()),
        }
    }

    /// The same with records packed into entries: only bytes count then, and a key's records go together.
    fn packed(&self) -> (Work<'_>, Writing) {
        let work = self.work();
        let overhead = work.records * f64::from(AGGREGATED_OVERHEAD);
        let work = Work { bytes: work.bytes + overhead, sample: &self.packed, ..work };
        (work, self.writing().aggregated())
    }

    /// As fast as the archive gave the sample, unless that lay in the cache.
    #[expect(clippy::cast_precision_loss, reason = "a count of objects")]
    fn fetch_seconds(&self) -> Option<f64> {
        let objects = &self.readings.objects;
        if self.readings.cached * 2 > objects.len() as u64 {
            return None;
        }
        let took: f64 = objects.iter().map(|object| object.took.as_secs_f64()).sum();
        let read: f64 = objects.iter().map(|object| object.read).sum();
        let stored: f64 = self.kinds.iter().map(|kind| kind.stored).sum();
        let at_once = OBJECTS_AT_ONCE.min(objects.len() as f64).max(1.0);
        Some(took / at_once * stored / read.max(1.0) * self.part)
    }

    fn writing(&self) -> Writing {
        let config = &self.ground.config;
        let (shard_rate, run_rate) = open::rates(config.what.target.as_ref(), &config.tuning);
        let (round_trip, _) = self.round_trip();
        Writing {
            shard_rate,
            run_rate,
            // Without a key there is no order to keep.
            order: if self.ground.config.what.partition_key.is_some() {
                self.ground.config.what.order
            } else {
                Order::None
            },
            round_trip,
            spread: self.ground.config.what.order == Order::None,
        }
    }

    pub(super) fn round_trip(&self) -> (f64, &'static str) {
        match (&self.ground.config.round_trip, &self.ground.config.what.target) {
            (Some(given), _) => (given.as_secs_f64(), "given"),
            (None, Some(Target::Sim { .. })) => (ROUND_TRIP_EMBEDDED, "embedded"),
            (None, Some(Target::Null)) => (0.0, "embedded"),
            (None, Some(Target::Kinesis { .. }) | None) => (ROUND_TRIP_ASSUMED, "assumed"),
        }
    }

    pub(super) fn retention_hours(&self) -> f64 {
        let given = self.ground.config.retention.map(|retention| retention.as_secs_f64() / 3_600.0);
        let found = self.ground.target.as_ref().map(|target| f64::from(target.description.retention_hours));
        given.or(found).unwrap_or(24.0)
    }

    /// The shards of the target, if it has as many.
    fn shards(&self, count: u32) -> Shards<'_> {
        match &self.ground.target {
            Some(target) if target.map.shards().len() == count as usize => Shards::Map(&target.map),
            _ => Shards::Even(count),
        }
    }

    /// What is written and how: records, or entries of many.
    pub(super) fn job(&self, packed: bool) -> (Work<'_>, Writing) {
        if packed { self.packed() } else { (self.work(), self.writing()) }
    }

    fn predict(&self, count: u32) -> Prediction {
        let (work, writing) = self.job(self.ground.config.what.aggregate);
        predict(&work, &writing, self.shards(count))
    }

    fn counts(&self) -> Vec<u32> {
        let own = self.ground.target.as_ref().map(|target| target.map.shards().len());
        let own = own.and_then(|count| u32::try_from(count).ok());
        let config = &self.ground.config;
        let mut counts = match (config.shards.is_empty(), own) {
            (true, None) => SHARDS_USUAL.to_vec(),
            (true, Some(own)) if config.what.target == Some(Target::Null) => vec![own],
            (true, Some(own)) => vec![own.div_ceil(2), own, own * 2, own * 4],
            (false, own) => config.shards.iter().copied().chain(own).collect(),
        };
        counts.sort_unstable();
        counts.dedup();
        counts
    }

    fn shards_report(&self, count: u32) -> ShardsReport {
        let found = self.predict(count);
        let (work, writing) = self.packed();
        let packed = predict(&work, &writing, self.shards(count));
        ShardsReport {
            shards: count,
            seconds: found.seconds,
            binding_limit: found.binding,
            cost_usd: self.cost(count, found.seconds, self.ground.config.what.aggregate).total(),
            hottest_shard: found.hottest_shard,
            aggregated: AggregatedReport {
                seconds: packed.seconds,
                binding_limit: packed.binding,
                cost_usd: self.cost(count, packed.seconds, true).total(),
            },
        }
    }

    /// The plan, but for its warnings.
    pub(super) fn plan(&self) -> Plan {
        let deadline = self.ground.config.deadline.map(|deadline| deadline.as_secs_f64());
        let needed = deadline.map(|seconds| deadline::needed(seconds, |count| self.predict(count)));
        let mut counts = self.counts();
        let mut chosen = match &self.ground.target {
            Some(target) => u32::try_from(target.map.shards().len()).unwrap_or(u32::MAX),
            None => self.ground.config.shards.first().or(counts.first()).copied().unwrap_or(1),
        };
        if let Some(Needed::Shards(found)) = &needed {
            counts.push(found.shards);
            if self.ground.target.is_none() {
                chosen = found.shards;
            }
        }
        counts.push(chosen);
        counts.sort_unstable();
        counts.dedup();
        let by_shards: Vec<ShardsReport> =
            counts.into_iter().map(|count| self.shards_report(count)).collect();
        let found = self.predict(chosen);
        let cost = self.cost(chosen, found.seconds, self.ground.config.what.aggregate);
        let limits = found.limits.iter().map(|&(limit, seconds)| LimitReport { limit, seconds }).collect();
        Plan {
            shards: chosen,
            seconds: found.seconds,
            binding_limit: Some(found.binding),
            cost_usd: cost.total(),
            cost,
            reading_seconds: self.reading_seconds(),
            limits,
            by_shards,
            on_demand: self.on_demand(),
            deadline: deadline.zip(needed).map(|(seconds, needed)| deadline_report(seconds, needed)),
            ..self.describe()
        }
    }
}

fn deadline_report(seconds: f64, needed: Needed) -> DeadlineReport {
    match needed {
        Needed::Shards(found) => DeadlineReport {
            seconds,
            shards: Some(found.shards),
            binding_limit: None,
            best_seconds: found.seconds,
        },
        Needed::Never { binding, seconds: best } => {
            DeadlineReport { seconds, shards: None, binding_limit: Some(binding), best_seconds: best }
        }
    }
}

/// Processors that this process may use.
pub(super) fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}
