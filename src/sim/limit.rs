//! How fast one shard may be written and read.
//!
//! Kinesis publishes what a shard takes in a second (1,000 records and 1 MiB of data and keys) but not
//! how a second is measured, so there are three plausible rules, and a writer must do well under each.
//! An entry is let in if both budgets can pay for it; one that is refused costs nothing. An entry that
//! is larger than a whole budget is let in when that is full, and leaves a debt behind.
//!
//! Time is an argument. Balances are whole numbers of billionths, so nothing drifts.

use std::time::Duration;

use crate::limits::{SHARD_BYTES_PER_SECOND_ENFORCED, SHARD_READS_PER_SECOND, SHARD_RECORDS_PER_SECOND};

use super::SimTime;

/// Bytes a shard gives to readers each second: 2 MiB. Source: Kinesis quotas page (2 MB), read 2026-11-22.
const SHARD_READ_BYTES_PER_SECOND: u32 = 2 * 1024 * 1024;
const NANOS: i64 = 1_000_000_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// More idle time than this fills every budget, whatever its debt; it keeps the products in range.
const REFILL_MAX_NANOS: u64 = 3_600 * NANOS_PER_SECOND;

/// How a shard measures its second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BurstRule {
    /// Windows of one second that begin with the service's own seconds.
    FixedWindows,
    /// A bucket that holds so much time's worth and refills continuously.
    Bucket(Duration),
    /// No limit at all, neither for writers nor for readers.
    Unlimited,
}

impl BurstRule {
    /// A bucket that holds one second's worth: the rule the Kinesis Producer Library assumes.
    pub const SECOND: Self = Self::Bucket(Duration::from_secs(1));
    /// A bucket that holds a tenth of a second's worth: the harshest plausible rule.
    pub const TENTH: Self = Self::Bucket(Duration::from_millis(100));
}

impl Default for BurstRule {
    fn default() -> Self {
        Self::SECOND
    }
}

/// What may still be spent: a quantity that refills at `rate` a second up to `cap`. Billionths.
#[derive(Debug, Clone, Copy)]
struct Budget {
    rate: i64,
    cap: i64,
    balance: i64,
}

impl Budget {
    fn new(rate: u32, burst: Duration) -> Self {
        let burst_nanos = i64::try_from(burst.as_nanos()).unwrap_or(NANOS).min(3_600 * NANOS);
        let cap = i64::from(rate).saturating_mul(burst_nanos);
        Self { rate: i64::from(rate), cap, balance: cap }
    }

    fn refill(&mut self, nanos: u64) {
        let nanos = i64::try_from(nanos.min(REFILL_MAX_NANOS)).unwrap_or(0);
        self.balance = self.balance.saturating_add(self.rate.saturating_mul(nanos)).min(self.cap);
    }

    fn affords(&self, cost: i64) -> bool {
        self.balance >= cost.min(self.cap)
    }

    fn pay(&mut self, cost: i64) {
        self.balance = self.balance.saturating_sub(cost);
    }
}

fn billionths(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(NANOS)
}

/// The write limit of one shard.
#[derive(Debug, Clone)]
pub struct WriteLimit {
    rule: BurstRule,
    records: Budget,
    bytes: Budget,
    refilled: SimTime,
}

impl WriteLimit {
    /// A limit whose budgets are full at `now`.
    pub fn new(rule: BurstRule, now: SimTime) -> Self {
        let burst = match rule {
            BurstRule::Bucket(burst) => burst,
            BurstRule::FixedWindows | BurstRule::Unlimited => Duration::from_secs(1),
        };
        Self {
            rule,
            records: Budget::new(SHARD_RECORDS_PER_SECOND, burst),
            bytes: Budget::new(SHARD_BYTES_PER_SECOND_ENFORCED, burst),
            refilled: now,
        }
    }

    /// Whether a record of `cost` bytes (data and key) gets in at `now`; if so, it has been paid for.
    pub fn admit(&mut self, now: SimTime, cost: usize) -> bool {
        let elapsed = match self.rule {
            BurstRule::Unlimited => return true,
            BurstRule::Bucket(_) => now.nanos().saturating_sub(self.refilled.nanos()),
            BurstRule::FixedWindows => {
                let windows =
                    (now.nanos() / NANOS_PER_SECOND).saturating_sub(self.refilled.nanos() / NANOS_PER_SECOND);
                windows.saturating_mul(NANOS_PER_SECOND)
            }
        };
        self.refilled = self.refilled.max(now);
        self.records.refill(elapsed);
        self.bytes.refill(elapsed);
        let cost = billionths(cost);
        let admitted = self.records.affords(NANOS) && self.bytes.affords(cost);
        if admitted {
            self.records.pay(NANOS);
            self.bytes.pay(cost);
        }
        admitted
    }
}

/// The read limit of one shard: five calls and 2 MiB a second.
///
/// An answer's size is known only afterwards, so it is a call in debt that is refused; after a full
/// answer of 10 MiB that takes five seconds, as documented.
#[derive(Debug, Clone)]
pub struct ReadLimit {
    calls: Option<(Budget, Budget)>,
    refilled: SimTime,
}

impl ReadLimit {
    /// A limit whose budgets are full at `now`; `rule` matters only if it is [`BurstRule::Unlimited`].
    pub fn new(rule: BurstRule, now: SimTime) -> Self {
        let second = Duration::from_secs(1);
        let budgets = || {
            (Budget::new(SHARD_READS_PER_SECOND, second), Budget::new(SHARD_READ_BYTES_PER_SECOND, second))
        };
        Self { calls: (rule != BurstRule::Unlimited).then(budgets), refilled: now }
    }

    /// Whether a call may read at `now`; if so, the call has been paid for, its answer not yet.
    pub fn admit(&mut self, now: SimTime) -> bool {
        let elapsed = now.nanos().saturating_sub(self.refilled.nanos());
        self.refilled = self.refilled.max(now);
        let Some((calls, bytes)) = &mut self.calls else { return true };
        calls.refill(elapsed);
        bytes.refill(elapsed);
        let admitted = calls.affords(NANOS) && bytes.balance >= 0;
        if admitted {
            calls.pay(NANOS);
        }
        admitted
    }

    /// Pays for an answer of `size` bytes.
    pub fn pay(&mut self, size: usize) {
        let Some((_, bytes)) = &mut self.calls else { return };
        let cost = billionths(size);
        // An answer above a second's worth has to be waited out whole, whatever was saved up.
        if cost > bytes.cap {
            bytes.balance = bytes.balance.min(0);
        }
        bytes.pay(cost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> SimTime {
        SimTime::after(Duration::from_millis(millis))
    }

    fn admitted(limit: &mut WriteLimit, now: SimTime, count: usize, cost: usize) -> usize {
        (0..count).filter(|_| limit.admit(now, cost)).count()
    }

    #[test]
    fn fixed_windows_fill_anew_at_each_full_second() {
        let mut limit = WriteLimit::new(BurstRule::FixedWindows, at(0));
        assert_eq!(admitted(&mut limit, at(900), 2_000, 10), 1_000);
        assert_eq!(admitted(&mut limit, at(999), 10, 10), 0);
        assert_eq!(admitted(&mut limit, at(1_000), 2_000, 10), 1_000);
        assert_eq!(admitted(&mut limit, at(9_500), 2_000, 10), 1_000);
    }

    #[test]
    fn a_bucket_of_a_second_takes_its_burst_and_then_the_rate() {
        let mut limit = WriteLimit::new(BurstRule::SECOND, at(0));
        assert_eq!(admitted(&mut limit, at(0), 2_000, 10), 1_000);
        assert_eq!(admitted(&mut limit, at(500), 2_000, 10), 500);
        assert_eq!(admitted(&mut limit, at(60_000), 2_000, 10), 1_000);
    }

    #[test]
    fn a_bucket_of_a_tenth_takes_a_hundred_records_at_once() {
        let mut limit = WriteLimit::new(BurstRule::TENTH, at(0));
        assert_eq!(admitted(&mut limit, at(0), 500, 10), 100);
        let in_ten_seconds: usize = (1..=1_000).map(|i| admitted(&mut limit, at(i * 10), 50, 10)).sum();
        assert_eq!(in_ten_seconds, 10_000);
    }

    #[test]
    fn bytes_count_as_records_do() {
        let mut limit = WriteLimit::new(BurstRule::SECOND, at(0));
        assert_eq!(admitted(&mut limit, at(0), 100, 100 * 1024), 10);
        assert_eq!(admitted(&mut limit, at(1_000), 100, 100 * 1024), 10);
    }

    #[test]
    fn a_record_above_the_burst_enters_a_full_budget_and_leaves_a_debt() {
        for rule in [BurstRule::FixedWindows, BurstRule::SECOND, BurstRule::TENTH] {
            let mut limit = WriteLimit::new(rule, at(0));
            assert!(limit.admit(at(0), 4 * 1024 * 1024), "{rule:?}");
            assert!(!limit.admit(at(2_900), 1024), "{rule:?}");
            assert!(limit.admit(at(4_200), 1024), "{rule:?}");
        }
    }

    #[test]
    fn time_that_steps_back_refills_nothing() {
        let mut limit = WriteLimit::new(BurstRule::SECOND, at(0));
        assert_eq!(admitted(&mut limit, at(5_000), 2_000, 10), 1_000);
        assert_eq!(admitted(&mut limit, at(1_000), 10, 10), 0);
        assert_eq!(admitted(&mut limit, at(5_000), 10, 10), 0);
    }

    #[test]
    fn without_limit_everything_gets_in() {
        let mut limit = WriteLimit::new(BurstRule::Unlimited, at(0));
        assert_eq!(admitted(&mut limit, at(0), 100_000, 1 << 20), 100_000);
    }

    #[test]
    fn readers_have_five_calls_a_second_and_wait_out_a_full_answer() {
        let mut limit = ReadLimit::new(BurstRule::SECOND, at(0));
        assert_eq!((0..10).filter(|_| limit.admit(at(0))).count(), 5);
        assert!(!limit.admit(at(100)));
        assert!(limit.admit(at(200)));
        limit.pay(10 * 1024 * 1024);
        assert!(!limit.admit(at(5_100)));
        assert!(limit.admit(at(5_200)));
    }
}
