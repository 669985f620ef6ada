//! How long a backfill stream has to keep its records, so that the worker loses none.
//!
//! The worker may begin only when all is written: so what counts is the replay *and* the reading, one after the other.
//!
//! Pure.

use crate::config::RateCap;

/// So much of a retention may be used before it is tight.
pub const PART: f64 = 0.8;
/// Without the worker's rate: it needs about as long again as the replay, and may lag.
pub const PART_UNKNOWN: f64 = 0.5;
/// Hours that a stream can keep records. Source: Kinesis quotas page, read 2026-11-22.
const HOURS: (f64, f64) = (24.0, 8_760.0);

/// How long a worker needs to read so much, if its rate is known.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
#[must_use]
pub fn reading_seconds(records: f64, bytes: f64, worker: RateCap) -> Option<f64> {
    let by_records = worker.records_per_second.map(|rate| records / rate as f64);
    let by_bytes = worker.bytes_per_second.map(|rate| bytes / rate as f64);
    by_records.into_iter().chain(by_bytes).reduce(f64::max)
}

/// Hours that a stream has to keep records that take `seconds` to write: `planned`, or longer where that is not enough;
/// within what Kinesis offers.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within bounds of four digits")]
#[must_use]
pub fn hours_wanted(planned: f64, seconds: f64, reading: Option<f64>) -> u32 {
    let seconds = reading.map_or(seconds / PART_UNKNOWN, |reading| (seconds + reading) / PART);
    planned.max((seconds / 3_600.0).ceil()).clamp(HOURS.0, HOURS.1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3_600.0;

    #[test]
    fn a_stream_keeps_records_for_the_replay_and_the_reading_behind_it() {
        for (planned, seconds, reading, hours) in [
            (24.0, HOUR, None, 24),
            (24.0, 13.0 * HOUR, None, 26),
            (24.0, 13.0 * HOUR, Some(HOUR), 24),
            (24.0, 22.6 * HOUR, Some(40.0 * HOUR), 79),
            (24.0, 33.9 * HOUR, Some(10.0), 43),
            (48.0, HOUR, Some(HOUR), 48),
            (24.0, 1e9, None, 8_760),
        ] {
            assert_eq!(hours_wanted(planned, seconds, reading), hours, "{planned} {seconds} {reading:?}");
        }
    }

    #[test]
    fn what_a_worker_reads_is_bounded_by_records_and_by_bytes() {
        let reading = |rate: &str| reading_seconds(1e6, 1e9, rate.parse().unwrap());
        assert_eq!(reading("10rec/s"), Some(1e5));
        assert_eq!(reading("1000rec/s,1kB/s"), Some(1e6));
        assert_eq!(reading_seconds(1e6, 1e9, RateCap::default()), None);
    }
}
