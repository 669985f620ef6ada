//! Who takes how much room, and who goes first when there is too little.
//!
//! The ledger is this process' view of the directory: exact for what this process does, and read anew from
//! the disk before anything is evicted, because other processes fill and evict too. The least recently used
//! go first. A reservation holds room for a segment whose file is still growing.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::identity::SegmentId;
use crate::record::ByteCount;

#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<SegmentId, Entry>,
    bytes: u64,
    reserved: u64,
    /// All that was ever reserved since the disk was read.
    reserved_since_read: u64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) bytes: u64,
    pub(super) last_used: SystemTime,
}

/// What the cache holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the segments' files.
    pub bytes: ByteCount,
    /// How many there are.
    pub segments: usize,
}

/// Room that is kept free for a segment until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    ledger: Ledger,
    bytes: u64,
}

impl Reservation {
    /// How much is reserved.
    pub fn bytes(&self) -> ByteCount {
        ByteCount(self.bytes)
    }

    /// Takes in what another one has reserved.
    pub(super) fn absorb(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut books = self.ledger.books();
        books.reserved = books.reserved.saturating_sub(self.bytes);
    }
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        // Every change below is complete before it can panic, so a poisoned ledger is still right.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, id: SegmentId, bytes: u64, last_used: SystemTime) {
        let mut books = self.books();
        let before = books.entries.insert(id, Entry { bytes, last_used });
        books.bytes = books.bytes - before.map_or(0, |entry| entry.bytes) + bytes;
    }

    pub(super) fn forget(&self, id: &SegmentId) {
        let mut books = self.books();
        let before = books.entries.remove(id);
        books.bytes -= before.map_or(0, |entry| entry.bytes);
    }

    /// Takes what `read` finds on the disk for the truth. Nobody else writes to the ledger meanwhile, so a
    /// segment that is published during the reading is noted after it.
    pub(super) fn replace(
        &self,
        read: impl FnOnce() -> io::Result<HashMap<SegmentId, Entry>>,
    ) -> io::Result<()> {
        let mut books = self.books();
        let entries = read()?;
        books.bytes = entries.values().map(|entry| entry.bytes).sum();
        books.entries = entries;
        books.reserved_since_read = 0;
        Ok(())
    }

    /// How many bytes were reserved since [`replace`](Self::replace).
    pub(super) fn reserved_since_read(&self) -> u64 {
        self.books().reserved_since_read
    }

    pub(super) fn usage(&self) -> Usage {
        let books = self.books();
        Usage { bytes: ByteCount(books.bytes), segments: books.entries.len() }
    }

    /// Reserves `bytes` if they fit below `limit`.
    pub(super) fn reserve(&self, bytes: u64, limit: u64) -> Option<Reservation> {
        let mut books = self.books();
        let total = books.bytes.checked_add(books.reserved)?.checked_add(bytes)?;
        (total <= limit).then(|| {
            books.reserved += bytes;
            books.reserved_since_read += bytes;
            Reservation { ledger: self.clone(), bytes }
        })
    }

    /// How far `bytes` more would be above `limit`.
    pub(super) fn excess(&self, bytes: u64, limit: u64) -> u64 {
        let books = self.books();
        books.bytes.saturating_add(books.reserved).saturating_add(bytes).saturating_sub(limit)
    }

    /// All segments, the least recently used first.
    pub(super) fn by_age(&self) -> Vec<(SegmentId, Entry)> {
        let mut entries: Vec<_> = self.books().entries.iter().map(|(id, entry)| (*id, *entry)).collect();
        entries.sort_unstable_by_key(|(id, entry)| (entry.last_used, *id));
        entries
    }
}
