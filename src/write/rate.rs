//! How fast one shard may be written, and how that follows what the shard says.
//!
//! A shard takes a bounded number of records and of bytes each second. Two token buckets hold us to our
//! share of both, and a batch leaves only when both can pay. If others write to the shard as well, it
//! throttles us below our share: then the rate steps back to just under what was accepted, holds still,
//! and creeps up again, slowly at first. A small step down and a slow way up keep the throttled share
//! small and cost little of what the others leave.
//!
//! A step back to what was accepted ends an overload, so a few entries that go on being throttled whatever the rate
//! are not for our rate: after five steps in vain the rate creeps up in spite of them.

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
/// After so many steps down in a row without a quiet moment …
const STEPS_IN_VAIN_MAX: u32 = 5;
/// … a throttled share below this has another cause than our rate.
const THROTTLED_SHARE_MAX: f64 = 0.10;
/// The share is that of about so many entries, the last ones: at the lowest rate a second has no more than five.
const SHARE_ENTRIES: f64 = 200.0;
/// A moment is quiet if it lasts for [`HOLD`], and for so many entries.
const QUIET_ENTRIES: f64 = 100.0;
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

/// Entries that a shard took and throttled; the further back, the less they count.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    accepted: f64,
    throttled: f64,
    /// How many it took since it last throttled one.
    accepted_since: f64,
}

impl Share {
    fn accepted(&mut self, entries: f64) {
        self.fade(entries);
        self.accepted += entries;
        self.accepted_since += entries;
    }

    fn throttled(&mut self, entries: f64) {
        self.fade(entries);
        self.throttled += entries;
        self.accepted_since = 0.0;
    }

    fn fade(&mut self, entries: f64) {
        let left = (-entries / SHARE_ENTRIES).exp();
        self.accepted *= left;
        self.throttled *= left;
    }

    fn of_throttled(&self) -> f64 {
        self.throttled / (self.throttled + self.accepted)
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
    throttled_at: Option<Duration>,
    share: Share,
    /// Steps down since the last quiet moment.
    steps_in_vain: u32,
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
            throttled_at: None,
            share: Share::default(),
            steps_in_vain: 0,
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

    /// The shard took `load`.
    pub fn accepted(&mut self, load: Load, now: Duration) {
        self.share.accepted(load.records);
        let accepted = self.turn_to(now);
        accepted.records += load.records;
        accepted.bytes += load.bytes;
    }

    /// The shard refused so many entries for being over its limit.
    pub fn throttled(&mut self, entries: f64, now: Duration) {
        let many = self.share.accepted_since >= QUIET_ENTRIES;
        if self.throttled_at.replace(now).is_none_or(|before| many && now > before + HOLD) {
            self.steps_in_vain = 0;
        }
        self.share.throttled(entries);
        if self.steps_in_vain >= STEPS_IN_VAIN_MAX && self.share.of_throttled() < THROTTLED_SHARE_MAX {
            return;
        }
        self.quiet_since = now;
        self.grown_at = now + HOLD;
        if self.stepped_down_at.is_some_and(|at| now < at + STEP_DOWN_INTERVAL) {
            return;
        }
        self.stepped_down_at = Some(now);
        let (share, least) = (self.accepted_share(now), self.scale * STEP_DOWN_MIN);
        // A step that is cut short ends nothing.
        self.steps_in_vain += u32::from(share >= least);
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
            rate.accepted(load(taken), now);
            if sent > taken {
                rate.throttled(sent - taken, now);
            }
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
            rate.accepted(load(35.0), now);
        }
        rate.throttled(15.0, now);
        rate.throttled(15.0, now + Duration::from_millis(10));
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

    #[test]
    fn however_low_the_rate_is_a_few_throttled_entries_do_not_keep_it_there() {
        let mut rate = RateControl::new(LIMIT, BURST, Duration::ZERO);
        let mut dice = fastrand::Rng::with_seed(1);
        let (mut due, mut accepted) = (0.0, 0.0);
        // Nothing is taken for ten seconds; then every twentieth entry is throttled, by chance.
        for step in 1..=2_600 {
            let now = Duration::from_millis(50) * step;
            rate.balance(now);
            due += 49.0 * rate.scale();
            while due >= 1.0 {
                due -= 1.0;
                if step <= 200 || dice.u8(..20) == 0 {
                    rate.throttled(1.0, now);
                } else {
                    rate.accepted(load(1.0), now);
                    accepted += f64::from(u8::from(step > 1_400));
                }
            }
        }
        let share = accepted / (60.0 * LIMIT.records);
        assert!(share > 0.8, "of a minute, one minute later: {share}");
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
            rate.throttled(1.0, Duration::from_secs(second));
        }
        assert!(rate.scale() >= SCALE_MIN);
        let at = rate.affordable_at(load(1.0), Duration::from_secs(100));
        assert!(at < Duration::from_secs(102), "{at:?}");
    }
}
