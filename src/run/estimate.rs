//! How much is still to come, from what was seen so far.
//!
//! The listing tells each object's size as stored; what that is in records is known of the objects that
//! were spooled. Compressed and plain objects are counted apart, because a byte of one is worth ten of the
//! other.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::archive::ObjectEntry;
use crate::archive::manifest::Manifest;

/// Compressed events grow about this much; used until the first objects say better.
const GROWTH_GUESS: u64 = 10;

/// What was seen, and what the whole must then be.
#[derive(Debug)]
pub struct Estimate {
    plain: Class,
    compressed: Class,
}

#[derive(Debug, Default)]
struct Class {
    /// Bytes as stored of all objects.
    total: u64,
    /// The same of those that were seen.
    stored: AtomicU64,
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
        }
    }

    /// An object was seen.
    pub fn saw(&self, entry: &ObjectEntry, decoded: u64, records: u32) {
        let class = self.class(entry);
        class.stored.fetch_add(entry.size.0, Ordering::Relaxed);
        class.decoded.fetch_add(decoded, Ordering::Relaxed);
        class.records.fetch_add(u64::from(records), Ordering::Relaxed);
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

    /// What `entry` will be when decoded.
    pub fn decoded_size(&self, entry: &ObjectEntry) -> u64 {
        let class = self.class(entry);
        let guess = if looks_compressed(entry) { GROWTH_GUESS } else { 1 };
        match load(&class.stored) {
            0 => entry.size.0.saturating_mul(guess),
            stored => share(load(&class.decoded), entry.size.0, stored),
        }
    }

    fn class(&self, entry: &ObjectEntry) -> &Class {
        if looks_compressed(entry) { &self.compressed } else { &self.plain }
    }
}

impl Class {
    fn whole(&self, seen: &AtomicU64) -> Option<u64> {
        match (self.total, load(&self.stored)) {
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
