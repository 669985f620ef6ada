//! What keeps processes that share a cache out of each other's way.
//!
//! ```text
//! <dir>/pins/…          the segments that a run needs, locked as long as it runs
//! <dir>/tmp/<id>.fill   locked while somebody fills segment <id>
//! ```
//! A lock ends with its process, however that ends, so nothing here can be left behind that would bind anybody.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::Cache;
use super::directory::{is_locked, locked_file, remove_file};
use super::error::CacheError;
use super::identity::SegmentId;
use crate::private;

const ID_BYTES: usize = 32;

/// The segments that a run needs stay in the cache as long as this lives, whoever wants their room.
#[derive(Debug)]
pub struct Pin {
    path: PathBuf,
    // Held for its lock.
    _file: File,
}

impl Drop for Pin {
    fn drop(&mut self) {
        // What cannot be removed now is removed by whoever opens the cache next.
        let _ = remove_file(&self.path);
    }
}

/// Leave to fill a segment: nobody else does as long as this lives.
#[derive(Debug)]
pub struct Fill {
    path: PathBuf,
    _file: File,
}

impl Drop for Fill {
    fn drop(&mut self) {
        let _ = remove_file(&self.path);
    }
}

impl Cache {
    /// Keeps the segments `ids` from being evicted by other processes, those that are not there yet included.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn pin(&self, ids: impl Iterator<Item = SegmentId>) -> Result<Pin, CacheError> {
        let folder = self.directory.pins();
        let mut file = locked_file(&folder, ".new")?;
        let mut out = BufWriter::new(file.as_file_mut());
        for id in ids {
            out.write_all(&id.0)?;
        }
        out.flush()?;
        drop(out);
        // Only a whole list has this name.
        let path = file.path().with_extension("pin");
        // In the middle of an eviction it would come too late for what has been chosen to go, and might be looked up still.
        let turn = self.directory.turn()?;
        let file = file.persist(&path).map_err(|error| error.error)?;
        drop(turn);
        self.own_pins().push(path.clone());
        Ok(Pin { path, _file: file })
    }

    /// What other processes need. It stays true as long as the caller holds a turn.
    pub(super) fn pinned_by_others(&self) -> io::Result<HashSet<SegmentId>> {
        let own = self.own_pins().clone();
        let mut pinned = HashSet::new();
        for entry in fs::read_dir(self.directory.pins())? {
            let path = entry?.path();
            if own.contains(&path) || path.extension().is_none_or(|extension| extension != "pin") {
                continue;
            }
            let Ok(mut file) = private::open_to_read(&path) else { continue };
            if !is_locked(&file)? {
                remove_file(&path)?;
                continue;
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let (ids, _) = bytes.as_chunks::<ID_BYTES>();
            pinned.extend(ids.iter().copied().map(SegmentId));
        }
        Ok(pinned)
    }

    /// Leave to fill segment `id`; `None` as long as somebody else has it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin_fill(&self, id: &SegmentId) -> Result<Option<Fill>, CacheError> {
        let path = self.directory.temporary().join(format!("{id}.fill"));
        loop {
            let file = private::open(&path)?;
            match file.try_lock() {
                // Whoever had it may have removed the name between our opening and our locking it.
                Ok(()) if file.metadata()?.nlink() > 0 => return Ok(Some(Fill { path, _file: file })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
    }
}
