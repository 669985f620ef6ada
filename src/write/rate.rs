//! How fast one shard may be written, and how that follows what the shard says.
//!
//! A shard takes a bounded number of records and of bytes each second. Two token buckets hold us to our
//! share of both, and a batch leaves only when both can pay. If others write to the shard as well, it
//! throttles us below our share: then the rate steps back to just under what was accepted, holds still,
//! and creeps up again, slowly at first. A small step down and a slow way up keep the throttled share
//! small and cost little of what the others leave.
//!
//! A step back to what was accepted ends an overload. If five steps do not, and the rate has not found its way back in between,
//! entries are throttled whatever our rate is, and it creeps up in spite of them, until more and more are, or none.

use std::time::Duration;

use super::token_bucket::TokenBucket;

/// At most one step down in this time: one overload throttles many requests.
const STEP_DOWN_INTERVAL: Duration = Duration::from_millis(300);
/// One step down, from what was accepted.
const STEP_DOWN: f64 = 0.97;
/// One step never more than halves the rate: just after a start the last second says too little.
const STEP_DOWN_MIN: f64 = 0.5;
/// After a step down the rate holds this long.
const HOLD: Duration = Duration::from_secs(1);
/// The first second of growth, as a share of the limit; each quiet second doubles it …
const GROWTH_FIRST: f64 = 0.005;
/// … up to this.
const GROWTH_MAX: f64 = 0.10;
/// After so many steps down in a row, none of which the rate found its way back from, they are in vain: what is throttled has
/// another cause than our rate …
const STEPS_IN_VAIN_MAX: u32 = 5;
/// … unless the throttled share grows to twice the least since, and this …
const SHARE_GROWTH: f64 = 0.10;
/// … or is above this: then somebody else may be pushed aside …
const SHARE_MAX: f64 = 0.15;
/// … or falls below this: then it is over.
const SHARE_GONE: f64 = 0.01;
/// The share is that of about so many entries, the last ones: a second of a low rate has too few.
const SHARE_ENTRIES: f64 = 200.0;
/// The rate never falls below this share of the limit, so that it can find its way back.
const SCALE_MIN: f64 = 0.005;
/// What the shard says is counted in slots of this length over one second.
const SLOT: Duration = Duration::from_millis(100);
const SLOTS: usize = 10;

/// What a shard may be sent, per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShardRate {
    /// Records a second.
    pub records: f64,
    /// Bytes (data and partition key) a second.
    pub bytes: f64,
}

impl ShardRate {
    /// A rate that is no bound: what a stream without shards takes, and a run without `--max-rate`.
    pub const UNBOUNDED: Self = Self { records: 1e9, bytes: 1e12 };
}

/// A number of records and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Load {
    /// Records.
    pub records: f64,
    /// Data and partition keys, in bytes.
    pub bytes: f64,
}

impl Load {
    /// The smaller of each.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { records: self.records.min(other.records), bytes: self.bytes.min(other.bytes) }
    }

    /// The larger of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { records: self.records.max(other.records), bytes: self.bytes.max(other.bytes) }
    }
}

/// The two buckets of one shard and the feedback that tunes them.
#[derive(Debug, Clone)]
pub struct RateControl {
    limit: ShardRate,
    burst: Duration,
    scale: f64,
    records: TokenBucket,
    bytes: TokenBucket,
    /// What was accepted in each tenth of the last second.
    slots: [Load; SLOTS],
    slot: u128,
    started: Duration,
    quiet_since: Duration,
    grown_at: Duration,
    stepped_down_at: Option<Duration>,
    /// The throttled part of the last entries.
    throttled_share: f64,
    /// The scale before the last step down.
    stepped_from: f64,
    /// Steps down without finding the way back.
    steps_in_vain: u32,
    /// The least throttled share since the last of them.
    share_least: f64,
}

impl RateControl {
    /// Starts at the full `limit`, with buckets that hold `burst` of it.
    pub fn new(limit: ShardRate, burst: Duration, now: Duration) -> Self {
        Self {
            limit,
            burst,
            scale: 1.0,
            records: TokenBucket::new(limit.records, burst, now),
            bytes: TokenBucket::new(limit.bytes, burst, now),
            slots: [Load::default(); SLOTS],
            slot: 0,
            started: now,
            quiet_since: now,
            grown_at: now,
            stepped_down_at: None,
            throttled_share: 0.0,
            stepped_from: 0.0,
            steps_in_vain: 0,
            share_least: 1.0,
        }
    }

    /// The configured rate, before feedback.
    pub fn limit(&self) -> ShardRate {
        self.limit
    }

    /// The part of the configured rate that is used now: 1 unless the shard throttled us.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// How much time of the rate the buckets hold.
    pub fn burst(&self) -> Duration {
        self.burst
    }

    /// How much the buckets hold when full.
    pub fn capacity(&self) -> Load {
        Load { records: self.records.capacity(), bytes: self.bytes.capacity() }
    }

    /// What the rate allows in `time`, as long as that is no longer than the burst.
    pub fn worth_of(&self, time: Duration) -> Load {
        let (part, full) = (time.div_duration_f64(self.burst).min(1.0), self.capacity());
        Load { records: full.records * part, bytes: full.bytes * part }
    }

    /// What could leave at `now`.
    pub fn balance(&mut self, now: Duration) -> Load {
        self.grow(now);
        Load { records: self.records.balance(now), bytes: self.bytes.balance(now) }
    }

    /// The earliest time at which both buckets can pay for `load`.
    pub fn affordable_at(&mut self, load: Load, now: Duration) -> Duration {
        self.grow(now);
        self.records.affordable_at(load.records, now).max(self.bytes.affordable_at(load.bytes, now))
    }

    /// Pays for `load`, which leaves soon.
    pub fn pay(&mut self, load: Load, now: Duration) {
        self.records.pay(load.records, now);
        self.bytes.pay(load.bytes, now);
    }

    /// What was paid for leaves now.
    pub fn depart(&mut self, load: Load, now: Duration) {
        self.records.depart(load.records, now);
        self.bytes.depart(load.bytes, now);
    }

    /// The buckets hold `burst` from now on.
    pub fn set_burst(&mut self, burst: Duration, now: Duration) {
        if burst != self.burst {
            self.burst = burst;
            self.retune(now);
        }
    }

    /// An answer has come: the shard took `accepted`, and refused so many entries for being over its limit.
    pub fn answered(&mut self, accepted: Load, throttled: f64, now: Duration) {
        let taken = self.turn_to(now);
        taken.records += accepted.records;
        taken.bytes += accepted.bytes;
        let (entries, share_before) = (accepted.records + throttled, self.throttled_share);
        if entries > 0.0 {
            let weight = 1.0 - (-entries / SHARE_ENTRIES).exp();
            self.throttled_share += (throttled / entries - self.throttled_share) * weight;
        }
        if throttled > 0.0 {
            self.throttled(share_before, now);
        }
    }

    fn throttled(&mut self, share_before: f64, now: Duration) {
        let in_vain = self.steps_in_vain >= STEPS_IN_VAIN_MAX;
        self.share_least = self.share_least.min(self.throttled_share);
        let share_max = self.share_least.mul_add(2.0, SHARE_GROWTH).min(SHARE_MAX);
        let starts_anew = if in_vain {
            share_before < SHARE_GONE || self.throttled_share > share_max
        } else {
            self.scale >= self.stepped_from
        };
        if starts_anew {
            self.steps_in_vain = 0;
        } else if in_vain {
            return;
        }
        self.quiet_since = now;
        self.grown_at = now + HOLD;
        if self.stepped_down_at.is_some_and(|at| now < at + STEP_DOWN_INTERVAL) {
            return;
        }
        self.stepped_down_at = Some(now);
        self.stepped_from = self.scale;
        let (share, least) = (self.accepted_share(now), self.scale * STEP_DOWN_MIN);
        // A step that is cut short ends nothing.
        self.steps_in_vain += u32::from(share >= least);
        self.share_least = 1.0;
        let accepted = share.clamp(least, self.scale);
        self.scale = (STEP_DOWN * accepted).max(SCALE_MIN);
        self.retune(now);
    }

    /// What was accepted in the last second, as a share of the limit of whichever binds.
    fn accepted_share(&mut self, now: Duration) -> f64 {
        self.turn_to(now);
        let sum = self.slots.iter().fold(Load::default(), |sum, slot| Load {
            records: sum.records + slot.records,
            bytes: sum.bytes + slot.bytes,
        });
        // In the first second it is what was accepted so far that counts, not the part of a second.
        let seconds = now.saturating_sub(self.started).as_secs_f64().clamp(SLOT.as_secs_f64(), 1.0);
        (sum.records / self.limit.records).max(sum.bytes / self.limit.bytes) / seconds
    }

    fn grow(&mut self, now: Duration) {
        if self.scale >= 1.0 || now <= self.grown_at {
            return;
        }
        let quiet_seconds = now.saturating_sub(self.quiet_since).saturating_sub(HOLD).as_secs();
        let doublings = i32::try_from(quiet_seconds).unwrap_or(i32::MAX).min(8);
        let speed = (GROWTH_FIRST * f64::from(doublings).exp2()).min(GROWTH_MAX);
        self.scale = now.saturating_sub(self.grown_at).as_secs_f64().mul_add(speed, self.scale).min(1.0);
        self.grown_at = now;
        self.retune(now);
    }

    fn retune(&mut self, now: Duration) {
        self.records.retune(self.limit.records * self.scale, self.burst, now);
        self.bytes.retune(self.limit.bytes * self.scale, self.burst, now);
    }

    /// What was accepted in the tenth of `now`, with the tenths that have passed since the last call emptied.
    fn turn_to(&mut self, now: Duration) -> &mut Load {
        let target = now.as_millis() / SLOT.as_millis();
        let passed = target.saturating_sub(self.slot).min(SLOTS as u128);
        for step in 0..passed {
            self.slots[slot_index(target - step)] = Load::default();
        }
        self.slot = self.slot.max(target);
        &mut self.slots[slot_index(self.slot)]
    }
}

fn slot_index(slot: u128) -> usize {
    (slot % SLOTS as u128) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: ShardRate = ShardRate { records: 980.0, bytes: 980_000.0 };
    const BURST: Duration = Duration::from_millis(50);

    fn load(records: f64) -> Load {
        Load { records, bytes: records * 300.0 }
    }

    /// Offers the shard twenty times a second all that may be sent, `steps` times. It takes what `accepts` says of a step's
    /// entries and throttles the rest. Gives the entries sent and throttled at each step, with the scale after it.
    fn offer(rate: &mut RateControl, steps: u32, accepts: impl Fn(u32, f64) -> f64) -> Vec<(f64, f64, f64)> {
        let step = |step: u32| {
            let now = Duration::from_millis(50) * (step + 1);
            rate.balance(now);
            let sent = 49.0 * rate.scale();
            let taken = accepts(step, sent).min(sent);
            rate.answered(load(taken), sent - taken, now);
            (sent, sent - taken, rate.scale())
        };
        (0..steps).map(step).collect()
    }

    #[test]
    fn both_buckets_must_pay() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        let heavy = Load { records: 1.0, bytes: 49_000.0 };
        let next = rate.affordable_at(heavy, Duration::ZERO);
        assert!((next.as_secs_f64() - 0.05).abs() < 1e-6, "{next:?}");
    }

    #[test]
    fn a_throttled_shard_steps_down_once_holds_and_comes_back() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        let mut now = Duration::ZERO;
        for _ in 0..20 {
            now += Duration::from_millis(50);
            rate.answered(load(35.0), 0.0, now);
        }
        rate.answered(load(0.0), 15.0, now);
        rate.answered(load(0.0), 15.0, now + Duration::from_millis(10));
        let low = rate.scale();
        assert!((0.60..0.72).contains(&low), "700 of 980 records a second were accepted: {low}");

        let held = now + Duration::from_secs(1);
        rate.balance(held);
        assert!((rate.scale() - low).abs() < 1e-9, "it holds for a second");

        let mut time = held;
        while time < now + Duration::from_secs(12) {
            time += Duration::from_millis(25);
            rate.balance(time);
        }
        assert!((rate.scale() - 1.0).abs() < 1e-9, "it finds its way back: {}", rate.scale());
    }

    #[test]
    fn entries_that_are_throttled_at_any_rate_do_not_bring_it_down() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        let steps = offer(&mut rate, 1_200, |_, sent| sent * 0.95);
        let scales = || steps.iter().skip(200).map(|&(.., scale)| scale);
        let (lowest, sum) = (scales().fold(1.0, f64::min), scales().sum::<f64>());
        assert!(lowest > 0.6 && sum / 1_000.0 > 0.9, "{lowest} {}", sum / 1_000.0);
    }

    /// The part of a minute's limit that is taken from one minute on, of a shard that throttles calls of so many entries by
    /// chance: all of them for the first ten seconds, one in so many then.
    fn by_chance(entries: u32, one_in: u8) -> f64 {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        let mut dice = fastrand::Rng::with_seed(1);
        let (mut due, mut taken, call) = (0.0, 0.0, f64::from(entries));
        for step in 1..=2_600 {
            let now = Duration::from_millis(50) * step;
            rate.balance(now);
            due += 49.0 * rate.scale();
            while due >= call {
                due -= call;
                if step <= 200 || dice.u8(..one_in) == 0 {
                    rate.answered(load(0.0), call, now);
                } else {
                    rate.answered(load(call), 0.0, now);
                    taken += if step > 1_400 { call } else { 0.0 };
                }
            }
        }
        taken / (60.0 * LIMIT.records)
    }

    #[test]
    fn however_low_the_rate_is_what_is_throttled_by_chance_does_not_keep_it_there() {
        for (entries, least) in [(1, 0.75), (5, 0.35), (25, 0.1)] {
            for one_in in [20, 12] {
                let share = by_chance(entries, one_in);
                assert!(share > least, "one in {one_in}, {entries} entries together: {share}");
            }
        }
    }

    #[test]
    fn an_overload_is_followed_down_however_long_it_lasts() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        // What the others leave falls from all to a fifth, and stays there.
        let steps = offer(&mut rate, 1_200, |step, _| 49.0 * (1.0 - f64::from(step) / 500.0).max(0.2));
        let sent: f64 = steps.iter().map(|&(sent, ..)| sent).sum();
        let refused: f64 = steps.iter().map(|&(_, refused, _)| refused).sum();
        assert!(refused / sent < 0.02, "{}", refused / sent);
    }

    #[test]
    fn an_overload_that_takes_several_halvings_is_followed_to_its_end() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        offer(&mut rate, 60, |_, _| 49.0 * 0.108);
        assert!(rate.scale() < 0.11, "{}", rate.scale());
    }

    #[test]
    fn the_rate_never_falls_to_nothing() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        for second in 0..100 {
            rate.answered(load(0.0), 1.0, Duration::from_secs(second));
        }
        assert!(rate.scale() >= SCALE_MIN);
        let at = rate.affordable_at(load(1.0), Duration::from_secs(100));
        assert!(at < Duration::from_secs(102), "{at:?}");
    }
}
