//! Who takes how much room, and who goes first when there is too little.
//!
//! The ledger is this process' view of the directory: exact for what this process does, and read anew from
//! the disk before room is claimed or made, because other processes fill and evict too. The least recently used
//! go first. A reservation holds room for a segment whose file is still growing; all of them lie within what this
//! process has claimed (see `room.rs`).

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::error::CacheError;
use super::identity::SegmentId;
use super::room::Claim;
use crate::record::ByteCount;

#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    entries: HashMap<SegmentId, Entry>,
    bytes: u64,
    /// What is claimed is the sum of the three: reserved,
    reserved: u64,
    /// not reserved yet,
    free: u64,
    /// and reserved once: it lies in the cache now, or was given up.
    spent: u64,
    /// How much may be spent before others are told.
    spent_max: u64,
    claim: Option<Claim>,
}

impl Books {
    /// What is claimed from now on is what is reserved, `bytes` and what is free.
    fn write_claim(&mut self, bytes: u64, free: u64) -> io::Result<()> {
        if let Some(claim) = &self.claim {
            claim.write(self.reserved.saturating_add(bytes).saturating_add(free))?;
        }
        (self.free, self.spent) = (free, 0);
        Ok(())
    }
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
        books.spent = books.spent.saturating_add(self.bytes);
        if books.spent > books.spent_max {
            let free = books.free;
            // If it cannot be written, others leave more room than they must.
            let _ = books.write_claim(0, free);
        }
    }
}

/// What came of claiming room.
pub(super) enum Claimed {
    Room(Reservation),
    /// It would be too much by so many bytes.
    Excess(u64),
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
        Ok(())
    }

    pub(super) fn usage(&self) -> Usage {
        let books = self.books();
        Usage { bytes: ByteCount(books.bytes), segments: books.entries.len() }
    }

    /// Reserves `bytes` if they lie within what is claimed.
    pub(super) fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let mut books = self.books();
        books.free = books.free.checked_sub(bytes)?;
        books.reserved += bytes;
        Some(Reservation { ledger: self.clone(), bytes })
    }

    /// Others are told what is claimed in a file that `make` makes, if there is none yet.
    pub(super) fn join(&self, make: impl FnOnce() -> Result<Claim, CacheError>) -> Result<(), CacheError> {
        let mut books = self.books();
        if books.claim.is_none() {
            books.claim = Some(make()?);
        }
        Ok(())
    }

    /// Claims `bytes` anew and reserves them, if they fit below `limit` together with what is here; and with them, as
    /// far as it fits, `step` more. What the claim before has left is given up either way.
    pub(super) fn claim(&self, bytes: u64, step: u64, limit: u64) -> io::Result<Claimed> {
        let mut books = self.books();
        let taken = books.bytes.saturating_add(books.reserved).saturating_add(bytes);
        if taken > limit {
            books.write_claim(0, 0)?;
            return Ok(Claimed::Excess(taken - limit));
        }
        books.write_claim(bytes, step.min(limit - taken))?;
        books.reserved += bytes;
        books.spent_max = step;
        Ok(Claimed::Room(Reservation { ledger: self.clone(), bytes }))
    }

    /// The file of this process' claim.
    pub(super) fn claim_path(&self) -> Option<PathBuf> {
        self.books().claim.as_ref().map(Claim::path).map(Path::to_owned)
    }

    /// All segments, the least recently used first.
    pub(super) fn by_age(&self) -> Vec<(SegmentId, Entry)> {
        let mut entries: Vec<_> = self.books().entries.iter().map(|(id, entry)| (*id, *entry)).collect();
        entries.sort_unstable_by_key(|(id, entry)| (entry.last_used, *id));
        entries
    }
}
