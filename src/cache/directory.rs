//! The directory: ours alone, local, and shared between processes by locks.
//!
//! ```text
//! <dir>/lock                a shared lock per process at work; exclusive to clear everything
//! <dir>/tmp/…               segments being written, each under its own lock
//! <dir>/pins/…              what runs need, each list under its own lock
//! <dir>/v1/ab/<id>.seg      finished segments; ab are the first digits of the id
//! ```
//! A link is resolved once, when the cache is opened, and what it leads to is checked; from then on no link is
//! followed. Whoever may write to the directory could change a mapped file, so others may not.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::error::CacheError;
use super::identity::SegmentId;

/// Write permission of group and others.
const EXPOSED: u32 = 0o022;

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) root: PathBuf,
    lock: File,
}

impl Directory {
    pub(super) fn open(dir: &Path) -> Result<Self, CacheError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                CacheError::NotADirectory { path: dir.to_owned() }
            }
            _ => error.into(),
        })?;
        let root = dir.canonicalize()?;
        check_private(&root)?;
        check_local(&root)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(no_follow())
            .open(root.join("lock"))?;
        let this = Self { root, lock };
        this.share()?;
        for folder in [this.temporary(), this.pins(), this.segments()] {
            super::writer::make_private_folder(&folder)?;
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
        self.share()?;
        result
    }

    fn share(&self) -> Result<(), CacheError> {
        self.lock.try_lock_shared().map_err(|error| self.lock_error(error))
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

pub(super) fn no_follow() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Opens a file to be read, unless it is a link.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(no_follow()).open(path)
}

/// Removes a file that may be gone already; says whether it was there.
pub(super) fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
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

/// Magic numbers of file systems whose files lie elsewhere. Source: statfs(2), read 2026-11-22.
#[cfg(target_os = "linux")]
const NETWORK: [(i128, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x6573_5546, "FUSE"),
    (0x5346_414f, "AFS"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];

#[cfg(target_os = "linux")]
fn check_local(path: &Path) -> Result<(), CacheError> {
    let kind = rustix::fs::statfs(path).map_err(io::Error::from)?.f_type;
    // The word's width and sign differ between systems, and only its lower 32 bits say something.
    let kind = i128::from(kind) & 0xffff_ffff;
    let found = NETWORK.iter().find(|(magic, _)| *magic == kind);
    found.map_or(Ok(()), |&(_, found)| Err(CacheError::NetworkFileSystem { path: path.to_owned(), found }))
}

#[cfg(not(target_os = "linux"))]
fn check_local(_: &Path) -> Result<(), CacheError> {
    Ok(())
}
