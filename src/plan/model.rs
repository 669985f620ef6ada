//! How long a replay takes, and which limit binds.
//!
//! Every shard works by itself, so the last one decides. A shard needs as long as its records, its bytes, or the
//! order of its keys need: which records it gets follows from their keys, so the sampled ones are dealt out to the
//! shards as the stream would, and [`lane`] says how long each needs. Beside the shards stand what
//! bounds the whole: `--max-rate`, the archive, the CPU.
//!
//! A sample makes shards look less even than they are, the more the fewer records each gets. What two halves of the
//! sample agree about is real, the rest is chance, and only the real part is kept.
//!
//! Pure.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::lane::{self, LaneRules};
use crate::config::Order;
use crate::record::{HashKey, Ordinal};
use crate::route::shard_map::ShardMap;
use crate::route::spread::Spread;
use crate::write::rate::ShardRate;

/// From the start to the first record, and from the last one to the report.
const START_AND_END_SECONDS: f64 = 0.1;
/// What a lane gathers before it sends, as in `write::dispatch`: at least, per round trip, at most.
const GATHER: (f64, f64, f64) = (0.025, 0.3, 0.175);
/// The same where one request is in flight.
const GATHER_ALONE: (f64, f64) = (0.025, 0.070);
/// A bucket holds this much more.
const SLACK: f64 = 0.025;
/// Order, or one hot shard, is named as the limit only if it costs more than this over what the shards would need
/// otherwise.
const NOTICEABLE: f64 = 1.1;

/// A record that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampledRecord {
    /// Where its key places it.
    pub hash: HashKey,
    /// Its data and its key, in bytes.
    pub cost: u32,
    /// Which half of the sample it belongs to.
    pub second_half: bool,
}

/// What is to be written.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// Records.
    pub records: f64,
    /// Their data and keys, in bytes.
    pub bytes: f64,
    /// Some of them, in archive order.
    pub sample: &'a [SampledRecord],
    /// Whether these are all.
    pub whole: bool,
    /// How long the archive needs to give it all; `None` if that was not measured.
    pub fetch_seconds: Option<f64>,
    /// How long the CPU needs.
    pub cpu_seconds: f64,
}

/// How it is written.
#[derive(Debug, Clone, Copy)]
pub struct Writing {
    /// What a shard may be sent.
    pub shard_rate: ShardRate,
    /// What the whole stream may be sent.
    pub run_rate: ShardRate,
    /// What is kept in order.
    pub order: Order,
    /// Seconds from a request to its answer.
    pub round_trip: f64,
    /// Whether records go to all shards alike, whatever their keys.
    pub spread: bool,
}

/// Where it is written to.
#[derive(Debug, Clone, Copy)]
pub enum Shards<'a> {
    /// So many shards with equal parts of the hash space.
    Even(u32),
    /// These.
    Map(&'a ShardMap),
}

/// What limits a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingLimit {
    /// Records a second, evenly over the shards.
    Records,
    /// Bytes a second, evenly over the shards.
    Bytes,
    /// The order of one key's records, or of few keys'.
    HotKey,
    /// The keys of one shard have more than its part.
    HotShard,
    /// One request at a time, as the order asks for.
    RoundTrip,
    /// `--max-rate`.
    MaxRate,
    /// The archive.
    Fetch,
    /// The processor.
    Cpu,
}

/// How a replay goes with some number of shards.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// How many shards.
    pub shards: u32,
    /// How long it takes.
    pub seconds: f64,
    /// Why no less.
    pub binding: BindingLimit,
    /// How long each limit alone would make it.
    pub limits: Vec<(BindingLimit, f64)>,
    /// What the fullest shard gets, as a multiple of an equal part.
    pub hottest_shard: f64,
}

impl Writing {
    /// The same with records packed into entries: these are so few that only their bytes count, and a key's records go together.
    #[must_use]
    pub fn aggregated(self) -> Self {
        let shard_rate = ShardRate { records: ShardRate::UNBOUNDED.records, ..self.shard_rate };
        Self { shard_rate, order: Order::None, spread: false, ..self }
    }
}

impl Shards<'_> {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Even(count) => *count as usize,
            Self::Map(map) => map.shards().len(),
        }
    }

    fn of(&self, hash: HashKey) -> usize {
        match self {
            // Equal parts: the upper half of the hash decides, as exactly as anyone could tell.
            Self::Even(count) => usize::try_from(((hash.0 >> 64) * u128::from(*count)) >> 64).unwrap_or(0),
            Self::Map(map) => map.shard_of(hash),
        }
    }

    /// Where they begin, for who spreads records over them.
    fn firsts(&self) -> Vec<HashKey> {
        match self {
            Self::Even(_) => Vec::new(),
            Self::Map(map) => Spread::firsts(map),
        }
    }

    /// The part of the hash space that each covers.
    #[expect(clippy::cast_precision_loss, reason = "parts")]
    fn parts(&self) -> Vec<f64> {
        match self {
            Self::Even(count) => vec![1.0 / f64::from(*count); self.count()],
            Self::Map(map) => {
                let part = |first: u128, last: u128| (last - first) as f64 / u128::MAX as f64;
                map.shards().iter().map(|shard| part(shard.range.first.0, shard.range.last.0)).collect()
            }
        }
    }
}

/// Predicts a replay of `work` into `shards`.
pub fn predict(work: &Work<'_>, writing: &Writing, shards: Shards<'_>) -> Prediction {
    #[expect(clippy::cast_precision_loss, reason = "a number of shards")]
    let count = shards.count() as f64;
    let parts = if writing.spread { vec![1.0 / count; shards.count()] } else { shards.parts() };
    let dealt = deal(work, writing.spread, shards, &parts);
    let rate = writing.shard_rate;
    let mut limits = Vec::new();
    let even = [
        (BindingLimit::Records, work.records / count / rate.records),
        (BindingLimit::Bytes, work.bytes / count / rate.bytes),
    ];
    limits.extend(even);
    let even = even[0].1.max(even[1].1);
    let full = dealt.iter().map(|shard| shard.seconds(work, rate)).fold(0.0, f64::max);
    limits.extend((full > even * NOTICEABLE).then_some((BindingLimit::HotShard, full)));
    let rules = rules(writing);
    let slowed: Vec<f64> = dealt
        .par_iter()
        .map(|shard| {
            // How much longer the sampled records of this shard need than their number and size alone say.
            let plain = ratio_of(&shard.sampled, rate);
            let factor = if plain > 0.0 { lane::seconds(&rules, &shard.sampled) / plain } else { 1.0 };
            shard.seconds(work, rate) * factor.max(1.0)
        })
        .collect();
    let mut shards_seconds = slowed.into_iter().fold(full, f64::max);
    limits.extend((shards_seconds > full * NOTICEABLE).then_some((BindingLimit::HotKey, shards_seconds)));
    if let Some(alone) = one_by_one(writing, &dealt, work) {
        limits.push((BindingLimit::RoundTrip, alone));
        shards_seconds = shards_seconds.max(alone);
    }
    let capped = (work.records / writing.run_rate.records).max(work.bytes / writing.run_rate.bytes);
    limits.push((BindingLimit::MaxRate, capped));
    limits.extend(work.fetch_seconds.map(|seconds| (BindingLimit::Fetch, seconds)));
    limits.push((BindingLimit::Cpu, work.cpu_seconds));
    limits.sort_by(|left, right| right.1.total_cmp(&left.1));
    let (binding, longest) = limits.first().copied().unwrap_or((BindingLimit::Records, 0.0));
    let above = dealt.iter().zip(&parts).map(|(shard, part)| shard.records.max(shard.bytes) / part);
    Prediction {
        shards: u32::try_from(shards.count()).unwrap_or(u32::MAX),
        seconds: longest.max(shards_seconds) + START_AND_END_SECONDS,
        binding,
        limits,
        hottest_shard: above.fold(1.0, f64::max),
    }
}

/// What one shard gets.
struct Dealt {
    /// The part of the records.
    records: f64,
    /// The part of the bytes.
    bytes: f64,
    sampled: Vec<(HashKey, u32)>,
}

impl Dealt {
    fn seconds(&self, work: &Work<'_>, rate: ShardRate) -> f64 {
        (work.records * self.records / rate.records).max(work.bytes * self.bytes / rate.bytes)
    }
}

/// Deals the sample out to the shards, of which `expected` are the parts if all goes evenly.
fn deal(work: &Work<'_>, spread: bool, shards: Shards<'_>, expected: &[f64]) -> Vec<Dealt> {
    let spread = spread.then(|| Spread::new(0, &shards.firsts()));
    let count = shards.count();
    let mut sampled = vec![Vec::new(); count];
    let (mut records, mut bytes) = (vec![[0.0; 2]; count], vec![[0.0; 2]; count]);
    for (number, record) in (0..).zip(work.sample) {
        let place = spread.as_ref().map_or(record.hash, |spread| spread.place(Ordinal::new(0, number)));
        let (shard, half) = (shards.of(place), usize::from(record.second_half));
        if let (Some(sampled), Some(records), Some(bytes)) =
            (sampled.get_mut(shard), records.get_mut(shard), bytes.get_mut(shard))
        {
            sampled.push((record.hash, record.cost));
            records[half] += 1.0;
            bytes[half] += f64::from(record.cost);
        }
    }
    let [records, bytes] = [records, bytes].map(|counted| {
        if spread.is_some() { expected.to_vec() } else { real_shares(expected, &counted, work.whole) }
    });
    let dealt = sampled.into_iter().zip(records).zip(bytes);
    dealt.map(|((sampled, records), bytes)| Dealt { records, bytes, sampled }).collect()
}

/// The part of the whole that each shard gets, from what two halves of a sample say: `expected` if keys were spread
/// evenly, and as far away from that as both halves agree.
#[expect(clippy::cast_precision_loss, reason = "a number of shards")]
fn real_shares(expected: &[f64], counted: &[[f64; 2]], whole: bool) -> Vec<f64> {
    let sum = |of: fn(&[f64; 2]) -> f64| counted.iter().map(of).sum::<f64>();
    let (first, second) = (sum(|halves| halves[0]), sum(|halves| halves[1]));
    let all = first + second;
    if all <= 0.0 {
        return expected.to_vec();
    }
    let stray = |counted: f64, of: f64, expected: f64| counted / of - expected;
    let pairs = || counted.iter().zip(expected);
    let total: f64 = pairs().map(|(halves, part)| stray(halves[0] + halves[1], all, *part).powi(2)).sum();
    let agreed: f64 = if first > 0.0 && second > 0.0 {
        pairs().map(|(halves, part)| stray(halves[0], first, *part) * stray(halves[1], second, *part)).sum()
    } else {
        total
    };
    // What chance alone may let them agree about is taken off, too.
    let agreed = if total > 0.0 { (agreed / total).clamp(0.0, 1.0) } else { 1.0 };
    let chance = 4.0 * (1.0 - agreed) / (expected.len() as f64).sqrt();
    let real = if whole { 1.0 } else { (agreed - chance).max(0.0).sqrt() };
    let share =
        |(halves, part): (&[f64; 2], &f64)| (part + real * stray(halves[0] + halves[1], all, *part)).max(0.0);
    pairs().map(share).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a sample")]
fn ratio_of(sampled: &[(HashKey, u32)], rate: ShardRate) -> f64 {
    let bytes: f64 = sampled.iter().map(|(_, cost)| f64::from(*cost)).sum();
    (sampled.len() as f64 / rate.records).max(bytes / rate.bytes)
}

fn rules(writing: &Writing) -> LaneRules {
    let (least, part, most) = GATHER;
    let gathering = match writing.order {
        Order::Key | Order::None => (writing.round_trip * part).clamp(least, most),
        Order::Relaxed | Order::Shard => writing.round_trip.clamp(GATHER_ALONE.0, GATHER_ALONE.1),
    };
    let strict = writing.order == Order::Key && writing.round_trip > 0.0;
    LaneRules {
        rate: writing.shard_rate,
        burst: gathering + SLACK,
        key_seconds: strict.then_some(writing.round_trip),
    }
}

/// Where one request of a shard is in flight: as long as the requests of the fullest shard take.
fn one_by_one(writing: &Writing, dealt: &[Dealt], work: &Work<'_>) -> Option<f64> {
    let rate = writing.shard_rate;
    match writing.order {
        Order::Key | Order::None => None,
        Order::Shard => {
            let most = dealt.iter().map(|shard| work.records * shard.records).fold(0.0, f64::max);
            Some(most * writing.round_trip)
        }
        Order::Relaxed => {
            let carried = rules(writing).burst;
            let full = dealt.iter().map(|shard| shard.seconds(work, rate)).fold(0.0, f64::max);
            (writing.round_trip > carried).then(|| full * writing.round_trip / carried)
        }
    }
}

#[cfg(test)]
mod tests;
