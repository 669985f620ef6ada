//! What the sampled records say about keys: how many there are, and how much the most frequent ones have.
//!
//! The sample is bounded, so its counts are exact. How many keys there are in all is estimated from how many were
//! seen once and how many twice (Chao's estimator, a lower bound), unless everything was read.
//!
//! Pure.

use std::collections::HashMap;

use super::model::SampledRecord;
use crate::record::HashKey;

/// Keys that are named.
const TOP: usize = 10;

/// The keys of a sample.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyCounts {
    /// Different keys that were seen.
    pub seen: u64,
    /// How many there are at least.
    pub distinct: f64,
    /// The most frequent ones, and the part of the records that each has.
    pub top: Vec<(HashKey, f64)>,
}

/// Counts the keys of `sample`, which is all there is if `whole`; `records` are in the archive.
#[expect(clippy::cast_precision_loss, reason = "parts and estimates")]
pub fn count(sample: &[SampledRecord], records: f64, whole: bool) -> KeyCounts {
    let mut counts: HashMap<HashKey, u64> = HashMap::new();
    for record in sample {
        *counts.entry(record.hash).or_default() += 1;
    }
    let seen = counts.len() as u64;
    let times = |wanted: u64| counts.values().filter(|count| **count == wanted).count() as f64;
    let (once, twice) = (times(1), times(2));
    // The form that also holds if none was seen twice.
    let unseen = once * (once - 1.0).max(0.0) / (2.0 * (twice + 1.0));
    let distinct = if whole { seen as f64 } else { (seen as f64 + unseen).min(records.max(seen as f64)) };
    let mut top: Vec<(HashKey, u64)> = counts.into_iter().collect();
    top.sort_unstable_by(|left, right| right.1.cmp(&left.1).then(left.0.cmp(&right.0)));
    top.truncate(TOP);
    let part = |count: u64| count as f64 / sample.len().max(1) as f64;
    KeyCounts { seen, distinct, top: top.into_iter().map(|(hash, count)| (hash, part(count))).collect() }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    fn sample(keys: impl Iterator<Item = u32>) -> Vec<SampledRecord> {
        let record =
            |key: u32| SampledRecord { hash: HashKey::of(&key.to_string()), cost: 100, second_half: false };
        keys.map(record).collect()
    }

    #[test]
    fn the_hottest_keys_are_named_with_their_parts() {
        let found = count(&sample((0..1_000).map(|n| if n % 10 < 6 { 7 } else { n })), 1e6, false);
        assert_eq!(found.top[0].0, HashKey::of("7"));
        assert!((found.top[0].1 - 0.6).abs() < 0.01, "{:?}", found.top[0]);
        assert_eq!(found.top.len(), TOP);
        assert_eq!(count(&[], 0.0, true), KeyCounts::default());
    }

    #[test]
    fn the_number_of_keys_is_estimated_from_those_seen_once_and_twice() {
        let mut dice = fastrand::Rng::with_seed(3);
        let drawn = sample((0..10_000).map(|_| dice.u32(0..20_000)));
        let found = count(&drawn, 1e7, false);
        assert!(found.seen < 9_000, "{}", found.seen);
        assert!((found.distinct / 20_000.0 - 1.0).abs() < 0.1, "{}", found.distinct);
        assert!((count(&drawn, 1e7, true).distinct - found.seen as f64).abs() < 0.5);
        let few = count(&sample((0..10_000).map(|n| n % 16)), 1e7, false);
        assert!((few.distinct - 16.0).abs() < 0.5);
    }
}
