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
mod room;
#[cfg(test)]
mod room_tests;
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
pub use upkeep::{Removed, SegmentCheck, SegmentInfo, Verified};
pub use writer::{Placement, SegmentWriter, segment_bytes};

use crate::private;
use crate::record::ByteCount;
use directory::Directory;
use ledger::Ledger;
use segment::Opened;

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
    /// What other processes may still add, as this one has seen it last.
    others: AtomicU64,
}

impl Cache {
    /// Whether there is a cache in `dir`. Where that cannot be told the answer is yes, and to open it says why.
    pub fn is_at(dir: &Path) -> bool {
        directory::is_at(dir)
    }

    /// Opens the cache in `dir`, which is made if it is not there, and removes what crashed processes left.
    ///
    /// # Errors
    /// If the directory is not ours alone, not local, or being cleared.
    pub fn open(dir: &Path, limit: ByteCount) -> Result<Self, CacheError> {
        let directory = Directory::open(dir)?;
        directory::remove_abandoned(&directory.temporary())?;
        directory::remove_abandoned(&directory.pins())?;
        directory::remove_abandoned(&directory.claims())?;
        let cache = Self {
            directory,
            limit,
            ledger: Ledger::default(),
            damaged: AtomicU64::new(0),
            own_pins: Mutex::default(),
            version_warned: AtomicBool::new(false),
            others: AtomicU64::new(0),
        };
        cache.rescan()?;
        Ok(cache)
    }

    /// Segment `id`, if it is there and whole as far as two pages tell. It counts as used now.
    ///
    /// # Errors
    /// Those of the file system. A damaged segment is none: it is removed and the answer is `None`.
    pub fn lookup(&self, id: &SegmentId) -> Result<Option<Segment>, CacheError> {
        let file = match private::open_to_read(&self.directory.path_of(id)) {
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

    /// What is kept free below the limit for what other processes fetch, as far as this process knows.
    pub fn kept_for_others(&self) -> ByteCount {
        ByteCount(self.others.load(Ordering::Relaxed))
    }

    /// Segments found damaged and removed so far.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    fn own_pins(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.own_pins.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
