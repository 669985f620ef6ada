//! Room below the limit, agreed between all processes that share the cache.
//!
//! ```text
//! <dir>/claims/…      how much a process may still add to the cache, locked as long as it runs
//! <dir>/claims.lock   held for a moment by whoever claims room, evicts, or pins
//! ```
//! What lies in the cache and what all have claimed is together never more than the limit. Within its claim a process
//! reserves without asking anybody; for more it takes the lock, counts anew, evicts if it has to, and claims some more
//! than it needs at once, so that this happens a bounded number of times while the whole limit is filled. A claim
//! shrinks without the lock, as what was claimed lies in the cache or is given up. Whoever claims reads the others'
//! claims first and the cache after that: what goes from one to the other meanwhile counts twice rather than not at all.
//!
//! Locks end with their process, so nobody waits for one that was killed, and what it had claimed is free.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use tempfile::NamedTempFile;

use super::Cache;
use super::directory::{is_locked, locked_file, remove_abandoned, remove_file};
use super::error::CacheError;
use super::identity::SegmentId;
use super::ledger::{Claimed, Reservation};
use crate::private;
use crate::record::ByteCount;

/// How often room is claimed while the whole limit is filled: so much of it a process claims beyond what it needs, and
/// so much is evicted at once.
const CLAIMS: u64 = 64;

/// How often a claim is read again that was changed while it was read.
const READS: usize = 1_000;

/// The file that tells others how much this process may add.
#[derive(Debug)]
pub(super) struct Claim(NamedTempFile);

impl Claim {
    /// Of nothing yet. To be made under the lock: until it is written it cannot be read.
    pub(super) fn new(folder: &Path) -> Result<Self, CacheError> {
        let claim = Self(locked_file(folder, "")?);
        claim.write(0)?;
        Ok(claim)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn write(&self, bytes: u64) -> io::Result<()> {
        let page = [bytes.to_le_bytes(), (!bytes).to_le_bytes()].concat();
        self.0.as_file().write_all_at(&page, 0)
    }

    fn read(file: &File) -> io::Result<u64> {
        for _ in 0..READS {
            let mut page = [[0; 8]; 2];
            file.read_exact_at(page.as_flattened_mut(), 0)?;
            let [bytes, inverse] = page.map(u64::from_le_bytes);
            if bytes == !inverse {
                return Ok(bytes);
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the claim of another process cannot be read"))
    }
}

impl Cache {
    /// Makes room for `bytes` and reserves it: the least recently used segments go, except for those that
    /// `pinned` holds or that another process has pinned. `None` if that would not be enough; then nothing is evicted in vain.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn make_room(
        &self,
        bytes: ByteCount,
        pinned: &dyn Fn(&SegmentId) -> bool,
    ) -> Result<Option<Reservation>, CacheError> {
        if let Some(reservation) = self.ledger.reserve(bytes.0) {
            return Ok(Some(reservation));
        }
        if bytes > self.limit {
            return Ok(None);
        }
        let _turn = self.directory.turn()?;
        // Another thread may have claimed while this one waited.
        if let Some(reservation) = self.ledger.reserve(bytes.0) {
            return Ok(Some(reservation));
        }
        let others = self.claimed_by_others()?;
        self.others.store(others, Ordering::Relaxed);
        self.rescan()?;
        self.ledger.join(|| Claim::new(&self.directory.claims()))?;
        let step = self.limit.0 / CLAIMS;
        loop {
            match self.ledger.claim(bytes.0, step, self.limit.0.saturating_sub(others))? {
                Claimed::Room(reservation) => return Ok(Some(reservation)),
                Claimed::Excess(excess) => {
                    if !self.evict_in_turn(excess, step, pinned)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Makes `reservation` one of at least `bytes`, as [`make_room`](Self::make_room) does. `false` if there is no room
    /// for the rest; then it stays what it was.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn grow(
        &self,
        reservation: &mut Reservation,
        bytes: ByteCount,
        pinned: &dyn Fn(&SegmentId) -> bool,
    ) -> Result<bool, CacheError> {
        let more = bytes.0.saturating_sub(reservation.bytes().0);
        if more == 0 {
            return Ok(true);
        }
        if bytes > self.limit {
            return Ok(false);
        }
        let rest = self.make_room(ByteCount(more), pinned)?;
        Ok(rest.map(|rest| reservation.absorb(rest)).is_some())
    }

    /// Evicts at least `bytes`, whatever the limit says, except for what `pinned` holds or another process has pinned.
    /// `false` if there is not so much; then nothing is evicted.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn evict(&self, bytes: ByteCount, pinned: &dyn Fn(&SegmentId) -> bool) -> Result<bool, CacheError> {
        let _turn = self.directory.turn()?;
        self.rescan()?;
        self.evict_in_turn(bytes.0, 0, pinned)
    }

    /// Removes segment `id`, unless another process has pinned it. Says whether it was removed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn give_up(&self, id: &SegmentId) -> Result<bool, CacheError> {
        let _turn = self.directory.turn()?;
        Ok(!self.pinned_by_others()?.contains(id) && self.remove(id)?)
    }

    fn evict_in_turn(
        &self,
        bytes: u64,
        more_at_once: u64,
        pinned: &dyn Fn(&SegmentId) -> bool,
    ) -> Result<bool, CacheError> {
        // What a killed process was writing counts for nobody, and takes its room all the same.
        remove_abandoned(&self.directory.temporary())?;
        let others = self.pinned_by_others()?;
        let mut freed = 0_u64;
        let mut chosen = Vec::new();
        let wanted = bytes.saturating_add(more_at_once);
        for (id, entry) in self.ledger.by_age() {
            let more = freed < bytes || freed + entry.bytes <= wanted;
            if more && !pinned(&id) && !others.contains(&id) {
                freed += entry.bytes;
                chosen.push(id);
            }
        }
        if freed < bytes {
            return Ok(false);
        }
        for id in chosen {
            self.remove(&id)?;
        }
        Ok(true)
    }

    /// What other processes may still add. Whoever finds that one was killed clears up after it.
    fn claimed_by_others(&self) -> Result<u64, CacheError> {
        let own = self.ledger.claim_path();
        let (mut claimed, mut killed) = (0_u64, false);
        for entry in fs::read_dir(self.directory.claims())? {
            let path = entry?.path();
            if own.as_ref() == Some(&path) {
                continue;
            }
            let file = match private::open_to_read(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            if is_locked(&file)? {
                claimed = claimed.saturating_add(Claim::read(&file)?);
            } else {
                remove_file(&path)?;
                killed = true;
            }
        }
        if killed {
            remove_abandoned(&self.directory.temporary())?;
        }
        Ok(claimed)
    }
}
