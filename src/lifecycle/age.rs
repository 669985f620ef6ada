//! Has the worker read everything? The weaker answer, from how old the records are that it reads.
//!
//! Where there is no table of leases, CloudWatch knows the age of the last record of each GetRecords call, as the highest of a
//! minute. A minute that began longer after the replay's end than the oldest record read in it
//! is old has read nothing of the replay any more. So several such minutes in a row, the newest ones, say
//! that the readers are past it. What this cannot see: a shard that nobody reads, and which reader it is.

use serde::Serialize;

/// Minutes in a row that must agree.
const MINUTES_NEEDED: usize = 3;
/// CloudWatch has a minute's figures some minutes later.
const FRESH_SECONDS: i64 = 10 * 60;

/// The highest age of a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinuteAge {
    /// When the minute began, in seconds since 1970.
    pub at: i64,
    /// In milliseconds.
    pub age_ms: f64,
}

/// What the minutes say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AgeVerdict {
    /// Nobody has read lately.
    NobodyReads,
    /// What is read is older than the replay's end.
    Behind {
        /// The newest minute's, in milliseconds.
        age_ms: f64,
    },
    /// It looks so, but not for long enough.
    NotLongEnough {
        /// Minutes so far.
        minutes: usize,
    },
    /// Every reader is past the replay.
    Past,
}

/// Judges the minutes that ended by `now`, for a replay that ended at `ended` (seconds since 1970).
#[must_use]
pub fn judge(minutes: &[MinuteAge], ended: i64, now: i64) -> AgeVerdict {
    let mut fresh: Vec<MinuteAge> =
        minutes.iter().filter(|minute| now.saturating_sub(minute.at) <= FRESH_SECONDS).copied().collect();
    fresh.sort_by_key(|minute| std::cmp::Reverse(minute.at));
    let Some(newest) = fresh.first() else { return AgeVerdict::NobodyReads };
    if newest.at <= ended {
        return AgeVerdict::NotLongEnough { minutes: 0 };
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds below 2^53")]
    let is_past = |minute: &&MinuteAge| {
        let since_end_ms = minute.at.saturating_sub(ended).saturating_mul(1_000);
        since_end_ms > 0 && minute.age_ms < since_end_ms as f64
    };
    match fresh.iter().take_while(is_past).count() {
        0 => AgeVerdict::Behind { age_ms: newest.age_ms },
        minutes if minutes < MINUTES_NEEDED => AgeVerdict::NotLongEnough { minutes },
        _ => AgeVerdict::Past,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDED: i64 = 1_795_000_000;

    fn verdict(ages: &[(i64, f64)], now: i64) -> AgeVerdict {
        let minutes: Vec<_> = ages.iter().map(|&(at, age_ms)| MinuteAge { at: ENDED + at, age_ms }).collect();
        judge(&minutes, ENDED, ENDED + now)
    }

    #[test]
    fn three_minutes_that_read_nothing_of_the_replay_are_enough() {
        let caught_up = [(60, 0.0), (120, 0.0), (180, 0.0)];
        assert_eq!(verdict(&caught_up, 240), AgeVerdict::Past);
        assert_eq!(verdict(&caught_up[..2], 240), AgeVerdict::NotLongEnough { minutes: 2 });
        // Others write to it, and their records are read a few seconds late.
        assert_eq!(verdict(&[(60, 5_000.0), (120, 7_000.0), (180, 9_000.0)], 240), AgeVerdict::Past);
    }

    #[test]
    fn an_age_that_reaches_back_into_the_replay_is_behind() {
        assert_eq!(
            verdict(&[(60, 0.0), (120, 0.0), (180, 200_000.0)], 240),
            AgeVerdict::Behind { age_ms: 200_000.0 }
        );
        // A minute that began before the replay's end says nothing.
        assert_eq!(verdict(&[(-30, 0.0), (-90, 0.0)], 60), AgeVerdict::NotLongEnough { minutes: 0 });
    }

    #[test]
    fn silence_is_no_proof() {
        assert_eq!(verdict(&[], 600), AgeVerdict::NobodyReads);
        assert_eq!(verdict(&[(60, 0.0), (120, 0.0), (180, 0.0)], 3_600), AgeVerdict::NobodyReads);
    }
}
