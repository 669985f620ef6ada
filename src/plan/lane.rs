//! How long one lane needs for some records: the engine's rules in a few lines.
//!
//! A lane sends its records in archive order as its two buckets allow. In strict order a record leaves only when its
//! key's previous one is acknowledged; the lane looks past those that wait, but holds back no more than so many. So a
//! hot key, a few keys, or keys that come in bunches slow it down, each in its own way. Nothing is known here of
//! requests, answers that are lost or throttling.
//!
//! Pure, and in seconds.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use crate::record::HashKey;
use crate::write::rate::ShardRate;

/// Records of a lane that are held back behind their key, at most; as in `write::lane`.
const HELD_MAX: usize = 4_096;
/// Records that are ready before the lane looks no further: more than one batch.
const READY_WANTED: usize = 64;

/// How a lane writes.
#[derive(Debug, Clone, Copy)]
pub struct LaneRules {
    /// What its shard may be sent.
    pub rate: ShardRate,
    /// Seconds of the rate that a bucket holds.
    pub burst: f64,
    /// Seconds from a record of a key to its next one, if keys keep strict order.
    pub key_seconds: Option<f64>,
}

struct Bucket {
    rate: f64,
    capacity: f64,
    balance: f64,
    at: f64,
}

impl Bucket {
    fn new(rate: f64, burst: f64) -> Self {
        Self { rate, capacity: (rate * burst).max(1.0), balance: 0.0, at: 0.0 }
    }

    /// When `price` can be paid; it is paid then.
    fn affordable_at(&mut self, price: f64, now: f64) -> f64 {
        self.balance = self.rate.mul_add((now - self.at).max(0.0), self.balance).min(self.capacity);
        self.at = self.at.max(now);
        now + (price.min(self.capacity) - self.balance).max(0.0) / self.rate
    }

    fn pay(&mut self, price: f64, at: f64) {
        self.affordable_at(0.0, at);
        self.balance -= price;
    }
}

/// Seconds until the last of `records` (hash and cost, in archive order) has left.
pub fn seconds(rules: &LaneRules, records: &[(HashKey, u32)]) -> f64 {
    let mut lane = Lane { records, ready: BinaryHeap::new(), held: HashMap::new(), held_records: 0, next: 0 };
    let mut counts = Bucket::new(rules.rate.records, rules.burst);
    let mut bytes = Bucket::new(rules.rate.bytes, rules.burst);
    // Acknowledgements come in the order of the departures.
    let mut answers: VecDeque<(f64, HashKey)> = VecDeque::new();
    let (mut now, mut last) = (0.0_f64, 0.0);
    loop {
        while let Some((_, hash)) = answers.pop_front_if(|(at, _)| *at <= now) {
            lane.release(hash);
        }
        lane.look_ahead(rules.key_seconds.is_some());
        if let Some(Reverse(index)) = lane.ready.pop() {
            let Some(&(hash, cost)) = records.get(index) else { continue };
            let cost = f64::from(cost);
            now = counts.affordable_at(1.0, now).max(bytes.affordable_at(cost, now));
            counts.pay(1.0, now);
            bytes.pay(cost, now);
            last = now;
            answers.extend(rules.key_seconds.map(|wait| (now + wait, hash)));
        } else if let Some(&(at, _)) = answers.front() {
            now = at;
        } else {
            return last;
        }
    }
}

struct Lane<'a> {
    records: &'a [(HashKey, u32)],
    ready: BinaryHeap<Reverse<usize>>,
    /// By key with a record that is ready or in flight: those behind it.
    held: HashMap<HashKey, VecDeque<usize>>,
    held_records: usize,
    next: usize,
}

impl Lane<'_> {
    fn look_ahead(&mut self, ordered: bool) {
        while self.ready.len() < READY_WANTED && self.held_records < HELD_MAX {
            let Some((hash, _)) = self.records.get(self.next) else { return };
            let index = self.next;
            self.next += 1;
            if ordered {
                if let Some(waiting) = self.held.get_mut(hash) {
                    waiting.push_back(index);
                    self.held_records += 1;
                    continue;
                }
                self.held.insert(*hash, VecDeque::new());
            }
            self.ready.push(Reverse(index));
        }
    }

    fn release(&mut self, hash: HashKey) {
        match self.held.get_mut(&hash).and_then(VecDeque::pop_front) {
            Some(next) => {
                self.held_records -= 1;
                self.ready.push(Reverse(next));
            }
            None => drop(self.held.remove(&hash)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LaneRules =
        LaneRules { rate: ShardRate { records: 1_000.0, bytes: 1e6 }, burst: 0.05, key_seconds: Some(0.01) };

    fn records(keys: impl Iterator<Item = u32>) -> Vec<(HashKey, u32)> {
        keys.map(|key| (HashKey(key.into()), 100)).collect()
    }

    fn near(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.02, "{found} instead of {expected}");
    }

    #[test]
    fn many_keys_leave_at_the_rate_of_whichever_limit_binds() {
        near(seconds(&RULES, &records(0..10_000)), 10.0);
        let large: Vec<_> = (0..1_000).map(|key| (HashKey(key), 5_000)).collect();
        near(seconds(&RULES, &large), 5.0);
        assert!(seconds(&RULES, &[]).abs() < 1e-9);
    }

    #[test]
    fn a_hot_key_goes_one_record_a_round_trip_unless_order_is_given_up() {
        let half_hot = records((0..20_000).map(|n| if n % 2 == 0 { 0 } else { n }));
        near(seconds(&RULES, &half_hot), 100.0);
        near(seconds(&LaneRules { key_seconds: None, ..RULES }, &half_hot), 20.0);
        // A twentieth of the records: half of what its order allows.
        near(seconds(&RULES, &records((0..20_000).map(|n| if n % 20 == 0 { 0 } else { n }))), 20.0);
    }

    #[test]
    fn few_keys_share_their_round_trips() {
        near(seconds(&RULES, &records((0..10_000).map(|n| n % 5))), 20.0);
    }

    #[test]
    fn keys_in_bunches_are_slow_where_no_more_can_be_held_back() {
        // 5,000 of a key in a row: never more than two keys are in sight.
        let bunched = records((0..50_000).map(|n| n / 5_000));
        let spread = records((0..50_000).map(|n| n % 10));
        near(seconds(&RULES, &spread), 50.0);
        assert!(seconds(&RULES, &bunched) > 200.0);
    }
}
