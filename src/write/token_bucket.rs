//! How much may leave now, and when more may.
//!
//! A bucket fills at a steady rate up to its capacity and pays for what leaves. Whoever wants more than
//! it can ever hold waits until it is full and drives it into debt. What is paid for may leave later; until then it
//! takes its place in the bucket, so that nothing is earned beside it. So in any time `t` at most
//! `rate * t + capacity + one purchase above the capacity` leaves, however long the way to the door. Time is an
//! argument: nothing here reads a clock.

use std::time::Duration;

// A balance a billionth short of the price is rounding, not poverty.
const EPSILON: f64 = 1e-9;

/// How often to look whether something has left.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A bucket of tokens: records or bytes.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    rate: f64,
    capacity: f64,
    balance: f64,
    /// Paid for, and not gone yet.
    promised: f64,
    updated: Duration,
}

impl TokenBucket {
    /// An empty bucket that earns `rate` tokens a second and holds `rate * burst`, but at least one.
    /// It starts empty because others may just have used up what the shard takes this second.
    pub fn new(rate: f64, burst: Duration, now: Duration) -> Self {
        Self { rate, capacity: capacity(rate, burst), balance: 0.0, promised: 0.0, updated: now }
    }

    /// Changes what is earned and held from `now` on; what was earned before is kept.
    pub fn retune(&mut self, rate: f64, burst: Duration, now: Duration) {
        self.refill(now);
        self.rate = rate;
        self.capacity = capacity(rate, burst);
    }

    /// What could be bought at `now`; negative while in debt.
    pub fn balance(&mut self, now: Duration) -> f64 {
        self.refill(now);
        self.balance
    }

    /// The most that is ever held.
    pub fn capacity(&self) -> f64 {
        self.capacity
    }

    /// The earliest time from `now` on at which `price` can be paid; a price above the capacity can be
    /// paid when the bucket is full.
    pub fn affordable_at(&mut self, price: f64, now: Duration) -> Duration {
        self.refill(now);
        let missing = price.min(self.capacity) - self.balance;
        // Scaled: at 10^6 tokens a second a billionth of the price is the noise of f64.
        if missing <= EPSILON * price.max(1.0) {
            return now;
        }
        // Rounded up, so that a caller who wakes then finds the price there.
        let earned = Duration::from_secs_f64(missing / self.rate) + Duration::from_nanos(1);
        // As long as there is no room for it, time alone will not bring it: that is worth another look now and then.
        let crowded = self.room() < price.min(self.capacity);
        now + if crowded { earned.max(LOOK_INTERVAL) } else { earned }
    }

    /// Pays for what will leave soon. The caller has asked [`affordable_at`](Self::affordable_at) first.
    pub fn pay(&mut self, price: f64, now: Duration) {
        self.refill(now);
        self.balance -= price;
        self.promised += price;
    }

    /// What was paid for leaves now.
    pub fn depart(&mut self, price: f64, now: Duration) {
        self.refill(now);
        self.promised = (self.promised - price).max(0.0);
    }

    fn refill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.updated);
        self.updated = self.updated.max(now);
        let earned = elapsed.as_secs_f64() * self.rate;
        self.balance = (self.balance + earned).min(self.room().max(self.balance));
    }

    /// The most that can be earned as long as nothing more leaves.
    fn room(&self) -> f64 {
        self.capacity - self.promised
    }
}

fn capacity(rate: f64, burst: Duration) -> f64 {
    (rate * burst.as_secs_f64()).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BURST: Duration = Duration::from_millis(50);

    #[test]
    fn never_more_than_rate_times_time_and_one_burst() {
        let mut bucket = TokenBucket::new(1_000.0, BURST, Duration::ZERO);
        let (mut now, mut paid) = (Duration::ZERO, 0.0);
        for step in 0..10_000_u32 {
            let price = f64::from(step % 37 + 1);
            now = bucket.affordable_at(price, now);
            bucket.pay(price, now);
            bucket.depart(price, now);
            paid += price;
            assert!(paid <= 1_000.0 * now.as_secs_f64() + 50.0 + 1e-3, "{paid} at {now:?}");
        }
        // And hardly less: whoever always comes in time loses nothing.
        assert!(paid >= 1_000.0 * now.as_secs_f64() - 1e-3, "{paid} at {now:?}");
    }

    #[test]
    fn a_price_above_the_capacity_waits_for_a_full_bucket_and_leaves_a_debt() {
        let mut bucket = TokenBucket::new(1_000.0, BURST, Duration::ZERO);
        let full = bucket.affordable_at(500.0, Duration::ZERO);
        assert!((full.as_secs_f64() - 0.05).abs() < 1e-6, "{full:?}");
        bucket.pay(500.0, full);
        bucket.depart(500.0, full);
        let again = bucket.affordable_at(500.0, full).saturating_sub(full);
        assert!((again.as_secs_f64() - 0.5).abs() < 1e-6, "{again:?}");
    }

    #[test]
    fn what_waits_at_the_door_earns_nothing_beside_it() {
        let (mut bucket, mut left) = (TokenBucket::new(1_000.0, BURST, Duration::ZERO), 0.0);
        let mut at_the_door = std::collections::VecDeque::new();
        for milli in 0..100_000_u32 {
            let now = Duration::from_millis(milli.into());
            let price = f64::from(milli * 7 % 23 + 1);
            if bucket.affordable_at(price, now) == now {
                bucket.pay(price, now);
                at_the_door.push_back(price);
            }
            // It opens now and then, and then everything leaves at once.
            if milli % 180 < 20 {
                for price in at_the_door.drain(..) {
                    bucket.depart(price, now);
                    left += price;
                }
                assert!(left <= 1_000.0 * now.as_secs_f64() + 1e-3, "{left} at {now:?}");
            }
            if milli % 180 == 179 {
                let waits: f64 = at_the_door.iter().sum();
                assert!(waits <= 50.0 + 1e-3, "{waits} wait at {now:?}");
            }
        }
        assert!(left > 30_000.0, "{left}");
    }

    #[test]
    fn time_that_runs_backwards_earns_nothing() {
        let mut bucket = TokenBucket::new(10.0, BURST, Duration::from_secs(5));
        bucket.pay(1.0, Duration::from_secs(5));
        assert!(bucket.balance(Duration::from_secs(1)) <= 0.0);
    }

    #[test]
    fn what_was_earned_at_the_old_rate_is_kept() {
        let mut bucket = TokenBucket::new(1_000.0, BURST, Duration::ZERO);
        bucket.retune(10.0, Duration::from_secs(10), Duration::from_millis(20));
        assert!((bucket.balance(Duration::from_millis(20)) - 20.0).abs() < 1e-6);
    }
}
