//! The directory: ours alone, local, and shared between processes by locks.
//!
//! ```text
//! <dir>/lock                a shared lock per process at work; exclusive to clear everything
//! <dir>/tmp/…               segments being written, each under its own lock
//! <dir>/pins/…              what runs need, each list under its own lock
//! <dir>/claims/…            how much each process may add, under its own lock; claims.lock to claim, evict or pin
//! <dir>/v1/ab/<id>.seg      finished segments; ab are the first digits of the id
//! ```
//! A link is resolved once, when the cache is opened, and what it leads to is checked; from then on no link is
//! followed. Whoever may write to the directory could change a mapped file, so others may not.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::error::CacheError;
use super::identity::SegmentId;
use crate::private;

/// The file that every cache has.
const LOCK: &str = "lock";
/// Write permission of group and others.
const EXPOSED: u32 = 0o022;

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) root: PathBuf,
    lock: File,
    turns: Mutex<File>,
}

/// Nobody else claims, evicts or pins as long as this lives.
pub(super) struct Turn<'a>(MutexGuard<'a, File>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // What fails here ends with the process.
        let _ = self.0.unlock();
    }
}

impl Directory {
    pub(super) fn open(dir: &Path) -> Result<Self, CacheError> {
        Self::open_in(dir).map_err(|error| error.when_opening(dir))
    }

    fn open_in(dir: &Path) -> Result<Self, CacheError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                CacheError::NotADirectory { path: dir.to_owned() }
            }
            _ => error.into(),
        })?;
        let root = dir.canonicalize()?;
        check_private(&root)?;
        check_local(&root)?;
        let lock = private::open(&root.join(LOCK))?;
        let turns = Mutex::new(private::open(&root.join("claims.lock"))?);
        let this = Self { root, lock, turns };
        this.lock.try_lock_shared().map_err(|error| this.lock_error(error))?;
        for folder in [this.temporary(), this.pins(), this.claims(), this.segments()] {
            make_private_folder(&folder)?;
            check_private(&folder)?;
        }
        Ok(this)
    }

    pub(super) fn temporary(&self) -> PathBuf {
        self.root.join("tmp")
    }

    pub(super) fn pins(&self) -> PathBuf {
        self.root.join("pins")
    }

    pub(super) fn claims(&self) -> PathBuf {
        self.root.join("claims")
    }

    pub(super) fn segments(&self) -> PathBuf {
        self.root.join("v1")
    }

    pub(super) fn path_of(&self, id: &SegmentId) -> PathBuf {
        let name = id.to_string();
        self.segments().join(&name[..2]).join(name + ".seg")
    }

    /// Runs `action` while no other process uses the cache.
    pub(super) fn alone<T>(&self, action: impl FnOnce() -> io::Result<T>) -> Result<T, CacheError> {
        // Turning one lock into another may lose the first, so it is taken again either way.
        let result = match self.lock.try_lock() {
            Ok(()) => action().map_err(CacheError::from),
            Err(error) => Err(self.lock_error(error)),
        };
        // Who has won it meanwhile clears up and shares it again: that is waited for.
        until_locked(|| self.lock.lock_shared())?;
        result
    }

    #[cfg(test)]
    pub(super) fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    /// Waits until nobody else claims, evicts or pins.
    pub(super) fn turn(&self) -> io::Result<Turn<'_>> {
        let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        until_locked(|| turns.lock())?;
        Ok(Turn(turns))
    }

    fn lock_error(&self, error: TryLockError) -> CacheError {
        match error {
            TryLockError::WouldBlock => CacheError::Busy { path: self.root.clone() },
            TryLockError::Error(error) => error.into(),
        }
    }

    /// Calls `each` for every segment file. What vanishes meanwhile is no error.
    pub(super) fn walk(&self, mut each: impl FnMut(SegmentId, &Path, &fs::Metadata)) -> io::Result<()> {
        for folder in fs::read_dir(self.segments())? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let path = file?.path();
                let id = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".seg"));
                let Some(id) = id.and_then(SegmentId::from_hex) else { continue };
                match fs::symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_file() => each(id, &path, &metadata),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}

/// Whether `dir` was opened as a cache once.
pub(super) fn is_at(dir: &Path) -> bool {
    let lock = dir.join(LOCK).metadata();
    !lock.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn until_locked(lock: impl Fn() -> io::Result<()>) -> io::Result<()> {
    loop {
        match lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked,
        }
    }
}

pub(super) fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A new temporary file, locked. Between its making and its locking a cleaner may have taken it for an
/// abandoned one: then it has no name any more, and another is made.
pub(super) fn locked_file(folder: &Path, suffix: &str) -> Result<NamedTempFile, CacheError> {
    loop {
        let file = tempfile::Builder::new().suffix(suffix).tempfile_in(folder)?;
        match file.as_file().try_lock() {
            Ok(()) if file.as_file().metadata()?.nlink() > 0 => return Ok(file),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Removes a file that may be gone already; says whether it was there.
pub(super) fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what crashed writers left behind. Those at work hold their locks.
pub(super) fn remove_abandoned(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Ok(file) = private::open_to_read(&path) else { continue };
        // Another cleaner may have removed it; its name may be somebody else's by now.
        if file.try_lock().is_ok() && file.metadata()?.nlink() > 0 {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes `folder` inside of one that exists, for its owner only.
pub(super) fn make_private_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the directory is ours, and nobody else may write to it. A link is not followed.
///
/// # Errors
/// If it is not, with what was expected and found.
pub fn check_private(path: &Path) -> Result<(), CacheError> {
    let metadata = fs::symlink_metadata(path)?;
    let path = path.to_owned();
    if !metadata.is_dir() {
        return Err(CacheError::NotADirectory { path });
    }
    let expected = rustix::process::geteuid().as_raw();
    if metadata.uid() != expected {
        return Err(CacheError::ForeignOwner { path, expected, found: metadata.uid() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & EXPOSED != 0 {
        return Err(CacheError::Exposed { path, expected: mode & !EXPOSED, found: mode });
    }
    Ok(())
}

/// Magic numbers of file systems whose files lie elsewhere. Sources: statfs(2) and `linux/magic.h`, read 2026-11-22;
/// GPFS: stat.c of GNU coreutils, `BeeGFS`: `BEEGFS_MAGIC` of its own client, read 2026-11-27. 9p is not
/// among them: sandboxes such as gVisor call local files that too.
#[cfg(target_os = "linux")]
const NETWORK: [(i128, &str); 11] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x4750_4653, "GPFS"),
    (0x1983_0326, "BeeGFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];

#[cfg(target_os = "linux")]
fn check_local(path: &Path) -> Result<(), CacheError> {
    let kind = rustix::fs::statfs(path).map_err(io::Error::from)?.f_type;
    let found = network(i128::from(kind));
    found.map_or(Ok(()), |found| Err(CacheError::NetworkFileSystem { path: path.to_owned(), found }))
}

/// The name of a file system whose files lie elsewhere.
#[cfg(target_os = "linux")]
pub(super) fn network(kind: i128) -> Option<&'static str> {
    // The word's width and sign differ between systems, and only its lower 32 bits say something.
    NETWORK.iter().find(|(magic, _)| *magic == kind & 0xffff_ffff).map(|(_, name)| *name)
}

/// Elsewhere nothing is checked: a local directory is the user's care.
#[cfg(not(target_os = "linux"))]
fn check_local(_: &Path) -> Result<(), CacheError> {
    Ok(())
}
