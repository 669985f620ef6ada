//! Which objects are looked at, and how much of each.
//!
//! One object out of each equal part of the archive's time, at a place in it that only looks like chance: a fixed
//! step would meet the same hour of every day. Objects are taken with equal chances and their sizes are known, so
//! what is counted in them is carried to the whole by size (see [`estimate`](super::estimate)). Of a large object
//! only the beginning is read. A small archive is read whole, and nothing of it is estimated.
//!
//! The beginning of a zstd object is less dense than the rest, because its window is as large as the object: of those
//! fewer are looked at, but whole.
//!
//! Pure: it judges a list.

use std::path::Path;

use crate::archive::ObjectEntry;
use crate::archive::tier::may_be_archived;

/// Objects that are looked at, at most: each costs a round trip to the archive.
const OBJECTS_MAX: usize = 256;
/// An archive of no more objects than [`OBJECTS_MAX`] and no more bytes than this is read whole.
const WHOLE_BYTES_MAX: u64 = 8 << 20;
/// Of a larger archive no more than this part is read …
const PART_MAX: f64 = 0.009;
/// … but at least so much, unless it has very many objects.
const BYTES_MIN: u64 = 8 << 20;
/// Above this many objects the part is kept to, however small they are.
const OBJECTS_MANY: usize = 10_000;
/// Nobody wants to wait for more.
const BYTES_MAX: u64 = 96 << 20;
/// The least beginning that is read of an object.
const BEGINNING_MIN: u64 = 512 << 10;
/// The largest.
const BEGINNING_MAX: u64 = 4 << 20;

/// An object to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Its number in the manifest.
    pub number: u32,
    /// How many of its bytes; all of them if absent.
    pub beginning: Option<u64>,
}

/// What to look at of `objects`, which stand in the order of time.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a budget"
)]
pub fn choose(objects: &[ObjectEntry]) -> Vec<Look> {
    let readable = |object: &ObjectEntry| {
        let archived = object.storage_class.as_deref() != Some("INTELLIGENT_TIERING")
            && may_be_archived(object.storage_class.as_deref());
        object.size.0 > 0 && !archived
    };
    let candidates: Vec<(u32, &ObjectEntry)> =
        (0..).zip(objects).filter(|(_, object)| readable(object)).collect();
    let bytes: u64 = candidates.iter().map(|(_, object)| object.size.0).sum();
    if candidates.is_empty() {
        return Vec::new();
    }
    if candidates.len() <= OBJECTS_MAX && bytes <= WHOLE_BYTES_MAX {
        return candidates.into_iter().map(|(number, _)| Look { number, beginning: None }).collect();
    }
    let least = if candidates.len() > OBJECTS_MANY { 0 } else { BYTES_MIN };
    let budget = ((bytes as f64 * PART_MAX) as u64).clamp(least, BYTES_MAX);
    let whole = |object: &ObjectEntry| is_zstd(&object.key) && object.size.0 <= budget / 4;
    let least = |object: &ObjectEntry| {
        if whole(object) { object.size.0 } else { object.size.0.min(BEGINNING_MIN) }
    };
    let each = candidates.iter().map(|(_, object)| least(object)).sum::<u64>() / candidates.len() as u64;
    let affordable = usize::try_from(budget / each.max(1)).unwrap_or(usize::MAX);
    let count = affordable.clamp(1, OBJECTS_MAX.min(candidates.len()));
    let beginning = (budget / count as u64).clamp(BEGINNING_MIN, BEGINNING_MAX);
    let look = |part: usize| {
        let (from, to) = (part * candidates.len() / count, (part + 1) * candidates.len() / count);
        let place = from + scatter(part as u64) as usize % (to - from).max(1);
        let &(number, object) = candidates.get(place)?;
        // What hardly exceeds it is read whole, and stays in the cache.
        let large = object.size.0 > beginning + beginning / 4 && !whole(object);
        let beginning = large.then_some(beginning);
        Some(Look { number, beginning })
    };
    (0..count).filter_map(look).collect()
}

fn is_zstd(key: &str) -> bool {
    Path::new(key).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zst"))
}

/// A number that looks like chance and is always the same.
fn scatter(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) >> 16
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    fn objects(count: usize, size: u64) -> Vec<ObjectEntry> {
        (0..count).map(|number| ObjectEntry::of(&format!("{number}.gz"), size)).collect()
    }

    fn read(looks: &[Look], size: u64) -> u64 {
        looks.iter().map(|look| look.beginning.unwrap_or(size).min(size)).sum()
    }

    #[test]
    fn a_small_archive_is_read_whole() {
        let looks = choose(&objects(36, 50_000));
        assert_eq!(looks.len(), 36);
        assert!(looks.iter().all(|look| look.beginning.is_none()));
        assert!(choose(&[]).is_empty() && choose(&objects(3, 0)).is_empty());
    }

    #[test]
    fn of_a_large_archive_less_than_a_hundredth_is_read() {
        for (count, size) in [(100_000, 1_000), (100_000, 30_000), (100_000, 5 << 20), (3_000, 64 << 20)] {
            let objects = objects(count, size);
            let looks = choose(&objects);
            let part = read(&looks, size) as f64 / (count as f64 * size as f64);
            assert!(part < 0.01, "{count} x {size}: {part}");
            assert!(looks.len() >= 100, "{count} x {size}: {}", looks.len());
        }
    }

    #[test]
    fn all_of_the_time_is_looked_at_and_never_the_same_hour_of_each_day() {
        let looks = choose(&objects(240_000, 1 << 20));
        assert!(looks.windows(2).all(|pair| pair[0].number < pair[1].number));
        assert!(looks[0].number < 1_000 && looks[looks.len() - 1].number > 239_000);
        let hours: std::collections::BTreeSet<u32> = looks.iter().map(|look| look.number % 24).collect();
        assert!(hours.len() > 20, "{hours:?}");
    }

    #[test]
    fn of_few_large_objects_the_beginnings_are_read() {
        let looks = choose(&objects(5, 64 << 20));
        assert_eq!(looks.len(), 5);
        assert!(looks.iter().all(|look| look.beginning.is_some_and(|bytes| bytes >= BEGINNING_MIN)));
    }

    #[test]
    fn of_zstd_objects_fewer_are_read_but_whole() {
        let mut objects = objects(24, 1_250_000);
        for object in &mut objects {
            object.key = format!("{}.zst", object.key).into();
        }
        let looks = choose(&objects);
        assert_eq!(looks.len(), 6);
        assert!(looks.iter().all(|look| look.beginning.is_none()));
    }

    #[test]
    fn what_lies_in_glacier_is_not_asked_for() {
        let mut objects = objects(4, 1_000);
        objects[1].storage_class = Some("GLACIER".into());
        let numbers: Vec<u32> = choose(&objects).iter().map(|look| look.number).collect();
        assert_eq!(numbers, [0, 2, 3]);
    }
}
