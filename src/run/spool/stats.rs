//! What a spool has done, and what it has under way.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What was done, for the report and for estimates.
#[derive(Debug, Default)]
pub struct SpoolStats {
    /// Objects whose segment was there already.
    pub hits: AtomicU64,
    /// Objects that were fetched and published.
    pub fetched: AtomicU64,
    /// Objects that were set aside.
    pub quarantined: AtomicU64,
    /// Fetches under way.
    pub fetching: AtomicU64,
    /// Decodes under way.
    pub decoding: AtomicU64,
    /// Objects that were wanted and that `--offline` forbade to fetch.
    pub forbidden: AtomicU64,
    /// Whether every record has been handed on: who waits for input now waits for nothing.
    pub ended: AtomicBool,
}

/// One more as long as it lives.
pub struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    /// Counts one more in `counter`.
    pub fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
