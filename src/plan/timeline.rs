//! The archive over time, by the names of its objects: how much there is when, and when there is nothing.
//!
//! Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::report::{GapReport, VolumeBucket};
use crate::archive::ObjectEntry;
use crate::run::inspect;

/// Bars of a chart, at most.
const BUCKETS_MAX: i64 = 120;
/// Of an archive of few objects.
const BUCKETS_MIN: i64 = 12;
/// How long a bar may be, in seconds: what people call a unit of time.
const LENGTHS: [i64; 14] = [
    60, 300, 900, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 259_200, 604_800, 2_592_000, 7_776_000,
    31_536_000,
];

/// How much lies in each equal part of the time. Empty if names tell no time.
pub(super) fn volume(objects: &[ObjectEntry]) -> Vec<VolumeBucket> {
    let timed = || objects.iter().filter_map(|object| Some((object.time?.as_second(), object.size.0)));
    let (first, last) = (timed().map(|(at, _)| at).min(), timed().map(|(at, _)| at).max());
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    // Bars that most objects miss would only show how rarely there is one.
    let most = i64::try_from(objects.len()).unwrap_or(BUCKETS_MAX).clamp(BUCKETS_MIN, BUCKETS_MAX);
    let fits = |length: &&i64| (last.div_euclid(**length) - first.div_euclid(**length)) < most;
    let length = LENGTHS.iter().find(fits).copied().unwrap_or(31_536_000);
    let mut buckets: BTreeMap<i64, (u64, u64)> =
        (first.div_euclid(length)..=last.div_euclid(length)).map(|bucket| (bucket, (0, 0))).collect();
    for (at, size) in timed() {
        let bucket = buckets.entry(at.div_euclid(length)).or_default();
        *bucket = (bucket.0 + 1, bucket.1 + size);
    }
    let bucket = |(number, (objects, bytes_stored)): (i64, (u64, u64))| {
        let from = Timestamp::from_second(number * length).unwrap_or(Timestamp::UNIX_EPOCH);
        VolumeBucket { from: from.to_string(), seconds: length.unsigned_abs(), objects, bytes_stored }
    };
    buckets.into_iter().map(bucket).collect()
}

/// Times without an object that are much longer than usual.
pub(super) fn gaps(objects: &[ObjectEntry]) -> Vec<GapReport> {
    let mut times: Vec<Timestamp> = objects.iter().filter_map(|object| object.time).collect();
    times.sort_unstable();
    let gap = |gap: inspect::Gap| GapReport {
        from: gap.from,
        until: gap.until,
        seconds: u64::try_from(SignedDuration::from_secs(gap.seconds).as_secs()).unwrap_or(0),
    };
    inspect::gaps(&times).into_iter().map(gap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(hour: i64) -> ObjectEntry {
        let time = Timestamp::from_second(1_782_864_000 + hour * 3_600).unwrap();
        ObjectEntry { modified: time, time: Some(time), ..ObjectEntry::of(&hour.to_string(), 10) }
    }

    #[test]
    fn an_archive_with_a_hole_has_empty_buckets_and_a_gap() {
        let objects: Vec<_> = (0..24).chain(60..72).map(object).collect();
        let volume = volume(&objects);
        assert_eq!((volume.len(), volume[0].seconds), (24, 10_800));
        assert_eq!(volume[0].from, "2026-07-01T00:00:00Z");
        assert_eq!(volume.iter().map(|bucket| bucket.bytes_stored).sum::<u64>(), 360);
        assert_eq!(volume.iter().filter(|bucket| bucket.objects == 0).count(), 12);
        let gaps = gaps(&objects);
        assert_eq!((gaps.len(), gaps[0].seconds), (1, 37 * 3_600));
    }

    #[test]
    fn a_long_archive_has_long_buckets_and_one_without_times_has_none() {
        let objects: Vec<_> = (0..24 * 365).map(object).collect();
        let volume = volume(&objects);
        assert_eq!(volume[0].seconds, 604_800);
        let timeless = ObjectEntry { time: None, ..object(0) };
        assert!(super::volume(&[timeless]).is_empty());
    }
}
