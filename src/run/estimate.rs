//! How much is still to come, from what was seen so far.
//!
//! The listing tells each object's size as stored; what that is in records is known of the objects that
//! were spooled. Compressed and plain objects are counted apart, because a byte of one is worth ten of the
//! other.

use std::path::Path;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::archive::ObjectEntry;
use crate::archive::manifest::Manifest;
use crate::cache::segment_bytes;

/// Compressed events grow about this much; used until the first objects say better.
const GROWTH_GUESS: u64 = 10;

/// What was seen, and what the whole must then be.
#[derive(Debug)]
pub struct Estimate {
    plain: Class,
    compressed: Class,
    /// What is known of each object, so that none counts twice.
    objects: Box<[AtomicU8]>,
}

const UNSEEN: u8 = 0;
const SEEN: u8 = 1;
const LOST: u8 = 2;

#[derive(Debug, Default)]
struct Class {
    /// Bytes as stored of all objects.
    total: u64,
    /// The same of those that were seen.
    stored: AtomicU64,
    /// The same of those that give nothing.
    lost: AtomicU64,
    decoded: AtomicU64,
    records: AtomicU64,
}

impl Estimate {
    /// Nothing seen yet.
    pub fn new(manifest: &Manifest) -> Self {
        let total = |compressed| {
            let sizes = manifest.objects.iter().filter(|entry| looks_compressed(entry) == compressed);
            sizes.map(|entry| entry.size.0).sum()
        };
        Self {
            plain: Class { total: total(false), ..Class::default() },
            compressed: Class { total: total(true), ..Class::default() },
            objects: manifest.objects.iter().map(|_| AtomicU8::new(UNSEEN)).collect(),
        }
    }

    /// Object `number` was seen.
    pub fn saw(&self, number: u32, entry: &ObjectEntry, decoded: u64, records: u32) {
        let class = self.class(entry);
        match self.becomes(number, SEEN) {
            SEEN => return,
            LOST => drop(class.lost.fetch_sub(entry.size.0, Ordering::Relaxed)),
            _ => {}
        }
        class.stored.fetch_add(entry.size.0, Ordering::Relaxed);
        class.decoded.fetch_add(decoded, Ordering::Relaxed);
        class.records.fetch_add(u64::from(records), Ordering::Relaxed);
    }

    /// Object `number` is set aside: it says nothing about the others.
    pub fn lost(&self, number: u32, entry: &ObjectEntry) {
        let unseen = |state| (state == UNSEEN).then_some(LOST);
        let object = self.objects.get(number as usize);
        if object
            .is_some_and(|state| state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, unseen).is_ok())
        {
            self.class(entry).lost.fetch_add(entry.size.0, Ordering::Relaxed);
        }
    }

    /// What object `number` was before.
    fn becomes(&self, number: u32, state: u8) -> u8 {
        self.objects.get(number as usize).map_or(UNSEEN, |object| object.swap(state, Ordering::Relaxed))
    }

    /// Whether every object was seen: then the numbers are counts.
    pub fn is_exact(&self) -> bool {
        [&self.plain, &self.compressed]
            .iter()
            .all(|class| load(&class.stored) + load(&class.lost) == class.total)
    }

    /// Decoded bytes that were seen.
    pub fn decoded_so_far(&self) -> u64 {
        load(&self.plain.decoded) + load(&self.compressed.decoded)
    }

    /// Records of the whole; `None` if nothing like it was seen.
    pub fn records(&self) -> Option<u64> {
        Some(self.plain.whole(&self.plain.records)? + self.compressed.whole(&self.compressed.records)?)
    }

    /// Decoded bytes of the whole; `None` if nothing like it was seen.
    pub fn bytes(&self) -> Option<u64> {
        Some(self.plain.whole(&self.plain.decoded)? + self.compressed.whole(&self.compressed.decoded)?)
    }

    /// What the segment of `entry` will take.
    pub fn segment_bytes(&self, entry: &ObjectEntry) -> u64 {
        let class = self.class(entry);
        let guess = if looks_compressed(entry) { GROWTH_GUESS } else { 1 };
        let (records, decoded) = match load(&class.stored) {
            0 => (0, entry.size.0.saturating_mul(guess)),
            stored => {
                let own = |seen| share(load(seen), entry.size.0, stored);
                (own(&class.records), own(&class.decoded))
            }
        };
        segment_bytes(u32::try_from(records).unwrap_or(u32::MAX), decoded)
    }

    fn class(&self, entry: &ObjectEntry) -> &Class {
        if looks_compressed(entry) { &self.compressed } else { &self.plain }
    }
}

impl Class {
    fn whole(&self, seen: &AtomicU64) -> Option<u64> {
        match (self.total.saturating_sub(load(&self.lost)), load(&self.stored)) {
            (0, _) => Some(0),
            (_, 0) => None,
            (total, stored) => Some(share(load(seen), total, stored)),
        }
    }
}

/// `seen * total / stored`.
fn share(seen: u64, total: u64, stored: u64) -> u64 {
    u64::try_from(u128::from(seen) * u128::from(total) / u128::from(stored)).unwrap_or(u64::MAX)
}

/// By its name only: what it really is shows when it is decoded.
pub(super) fn looks_compressed(entry: &ObjectEntry) -> bool {
    const COMPRESSED: [&str; 7] = ["gz", "zst", "bz2", "zip", "snappy", "hsnappy", "sz"];
    let compressed =
        |extension: &std::ffi::OsStr| COMPRESSED.iter().any(|known| extension.eq_ignore_ascii_case(known));
    Path::new(&*entry.key).extension().is_some_and(compressed)
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::archive::{ArchiveLocation, Listing, Selection};

    #[test]
    fn an_object_counts_once_and_one_that_is_lost_says_nothing_of_the_others() {
        let objects =
            vec![ObjectEntry::of("a.gz", 100), ObjectEntry::of("b.gz", 100), ObjectEntry::of("c.gz", 200)];
        let archive = ArchiveLocation::Directory { path: "/archive".into() };
        let listing = Listing { objects: objects.clone(), ..Listing::default() };
        let estimate = Estimate::new(&Manifest::freeze(archive, Selection::default(), listing).unwrap());
        assert_eq!((estimate.records(), estimate.is_exact()), (None, false));
        for _ in 0..2 {
            estimate.saw(0, &objects[0], 1_000, 10);
            assert_eq!((estimate.records(), estimate.bytes()), (Some(40), Some(4_000)));
        }
        estimate.lost(2, &objects[2]);
        estimate.lost(0, &objects[0]);
        assert_eq!((estimate.records(), estimate.is_exact()), (Some(20), false));
        estimate.saw(1, &objects[1], 1_300, 13);
        assert_eq!((estimate.records(), estimate.is_exact()), (Some(23), true));
        estimate.saw(2, &objects[2], 1_000, 7);
        assert_eq!((estimate.records(), estimate.bytes()), (Some(30), Some(3_300)), "it was had after all");
    }
}
