//! Decoded objects on the local disk, so that nothing is fetched or decoded twice.
//!
//! One object, one segment: an immutable file that is written once, renamed into its place when it is whole,
//! and only then mapped to be read. Its name is a hash over what the records depend on, so a look-up needs
//! neither network nor index, and a change of any of it is simply another name. A damaged segment is as
//! good as none: it is removed, counted, and the object is fetched again.
//!
//! The cache does not know where objects come from, and it reads no clock: times are the file system's.
//! Data lies unencrypted in a directory that only its owner can read.

mod directory;
mod error;
#[cfg(test)]
mod fixture_tests;
mod format;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod identity;
mod ledger;
mod mmap;
mod pins;
mod segment;
#[cfg(test)]
mod tests;
mod upkeep;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

pub use directory::check_private;
pub use error::{CacheError, Damage, SegmentError};
pub use identity::{LABEL_BYTES_MAX, SegmentId, SegmentIdentity, SegmentLabel};
pub use ledger::{Reservation, Usage};
pub use pins::{Fill, Pin};
pub use segment::{READ_AHEAD_BYTES, Segment};
pub use upkeep::{Removed, SegmentCheck, SegmentInfo};
pub use writer::{Placement, SegmentWriter};

use crate::record::ByteCount;
use directory::Directory;
use ledger::Ledger;
use segment::Opened;

/// How often the directory is read while the whole limit is filled: by so much of it several processes together
/// may be above it for a while, and so much is evicted at once.
const LOOKS: u64 = 64;

/// The segments in one directory. Processes may share it.
#[derive(Debug)]
pub struct Cache {
    directory: Directory,
    limit: ByteCount,
    ledger: Ledger,
    damaged: AtomicU64,
    /// The lists of what this process needs.
    own_pins: Mutex<Vec<PathBuf>>,
    version_warned: AtomicBool,
}

impl Cache {
    /// Opens the cache in `dir`, which is made if it is not there, and removes what crashed processes left.
    ///
    /// # Errors
    /// If the directory is not ours alone, not local, or being cleared.
    pub fn open(dir: &Path, limit: ByteCount) -> Result<Self, CacheError> {
        let directory = Directory::open(dir)?;
        writer::remove_abandoned(&directory.temporary())?;
        writer::remove_abandoned(&directory.pins())?;
        let cache = Self {
            directory,
            limit,
            ledger: Ledger::default(),
            damaged: AtomicU64::new(0),
            own_pins: Mutex::default(),
            version_warned: AtomicBool::new(false),
        };
        cache.rescan()?;
        Ok(cache)
    }

    /// Segment `id`, if it is there and whole as far as two pages tell. It counts as used now.
    ///
    /// # Errors
    /// Those of the file system. A damaged segment is none: it is removed and the answer is `None`.
    pub fn lookup(&self, id: &SegmentId) -> Result<Option<Segment>, CacheError> {
        let file = match directory::open_file(&self.directory.path_of(id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        match Segment::open(&file, id)? {
            Opened::Whole(segment) => {
                let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
                let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
                let times = Timestamps { last_access: omit, last_modification: now };
                rustix::fs::futimens(&file, &times).map_err(io::Error::from)?;
                let metadata = file.metadata()?;
                self.ledger.note(*id, metadata.len(), metadata.modified()?);
                Ok(Some(segment))
            }
            Opened::Faulty(SegmentError::OtherVersion { expected, found }) => {
                if !self.version_warned.swap(true, Ordering::Relaxed) {
                    tracing::warn!(expected, found, "segments of another format version are left alone");
                }
                Ok(None)
            }
            Opened::Faulty(error) => {
                self.discard(id, &error)?;
                Ok(None)
            }
        }
    }

    /// Whether a file is there for segment `id`; what it holds shows when it is looked up.
    pub fn holds(&self, id: &SegmentId) -> bool {
        self.directory.path_of(id).is_file()
    }

    /// Begins segment `id`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(&self, id: &SegmentId, placement: Placement) -> Result<SegmentWriter, CacheError> {
        let target = match placement {
            Placement::Kept => Some((self.directory.path_of(id), self.ledger.clone())),
            Placement::Passing => None,
        };
        SegmentWriter::new(&self.directory.temporary(), *id, target)
    }

    /// What `writer` holds turned out to be segment `id`: it is published under that name.
    pub fn rename(&self, writer: &mut SegmentWriter, id: &SegmentId) {
        writer.rename(*id, self.directory.path_of(id));
    }

    /// Removes segment `id` because `error` showed while it was read; it is counted as damaged.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn discard(&self, id: &SegmentId, error: &SegmentError) -> Result<(), CacheError> {
        tracing::warn!(segment = %id, %error, "a segment is removed, its object has to be fetched again");
        self.damaged.fetch_add(1, Ordering::Relaxed);
        self.remove(id).map(|_| ())
    }

    /// Removes segment `id`; says whether it was there. Those who hold it can go on reading.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self, id: &SegmentId) -> Result<bool, CacheError> {
        let removed = directory::remove_file(&self.directory.path_of(id))?;
        self.ledger.forget(id);
        Ok(removed)
    }

    /// What the cache holds, as far as this process knows.
    pub fn usage(&self) -> Usage {
        self.ledger.usage()
    }

    /// The most it may hold.
    pub fn limit(&self) -> ByteCount {
        self.limit
    }

    /// Segments found damaged and removed so far.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    fn own_pins(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.own_pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

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
        // Another thread may take the room that was made here: then there is less to evict, and it ends.
        loop {
            // Other processes fill it too: what they have put there is looked for before much more is.
            if self.ledger.reserved_since_read() > self.limit.0 / LOOKS {
                self.rescan()?;
            }
            if let Some(reservation) = self.ledger.reserve(bytes.0, self.limit.0) {
                return Ok(Some(reservation));
            }
            self.rescan()?;
            let excess = self.ledger.excess(bytes.0, self.limit.0);
            let others = self.pinned_by_others()?;
            let mut freed = 0_u64;
            let mut chosen = Vec::new();
            // Room for some more at once: to look for it takes a walk through the whole cache.
            let wanted = excess.saturating_add(self.limit.0 / LOOKS);
            for (id, entry) in self.ledger.by_age() {
                let more = freed < excess || freed + entry.bytes <= wanted;
                if more && !pinned(&id) && !others.contains(&id) {
                    freed += entry.bytes;
                    chosen.push(id);
                }
            }
            if freed < excess {
                return Ok(None);
            }
            for id in chosen {
                self.remove(&id)?;
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
        let rest = self.make_room(ByteCount(more), pinned)?;
        Ok(rest.map(|rest| reservation.absorb(rest)).is_some())
    }
}
