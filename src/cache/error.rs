//! What can go wrong with the cache as a whole, and with one segment.

use std::io;
use std::path::{Path, PathBuf};

use super::SegmentId;

/// Why the cache, or a write to it, failed.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The disk or the quota is full. What was being written is gone again.
    #[error("no space left for the cache")]
    NoSpace(#[source] io::Error),
    /// The directory belongs to somebody else.
    #[error("{} belongs to user {found}, expected {expected}", path.display())]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Us.
        expected: u32,
        /// Its owner.
        found: u32,
    },
    /// Others may write to the directory.
    #[error("{} can be written by others (mode {found:o}, expected {expected:o}): chmod go-w it", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
        /// A mode that would do.
        expected: u32,
        /// Its mode.
        found: u32,
    },
    /// The directory lies on a network file system, where neither maps nor locks can be relied on.
    #[error("{} lies on a network file system ({found}): a local directory is needed", path.display())]
    NetworkFileSystem {
        /// The directory.
        path: PathBuf,
        /// Its file system.
        found: &'static str,
    },
    /// Something that is no directory stands in its place.
    #[error("{} is not a directory", path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// Nothing can be made or changed in the directory.
    #[error(
        "{} cannot be written to: make it writable, or name another directory with --cache-dir (--no-cache needs one as \
         well, for what passes through)", path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process uses the cache, or is clearing it.
    #[error("another respool process uses the cache in {}: try again when it has ended", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
    },
    /// What was just written does not read back.
    #[error("a new segment does not read back")]
    Segment(#[from] SegmentError),
    /// Anything else the system says.
    #[error("the cache cannot be read or written")]
    Io(#[source] io::Error),
}

impl CacheError {
    /// Whether the system forbids to write.
    pub fn is_not_writable(&self) -> bool {
        let (Self::Io(error) | Self::NotWritable { source: error, .. }) = self else { return false };
        matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    }

    /// The same where directory `path` was about to be opened.
    pub(super) fn when_opening(self, path: &Path) -> Self {
        match self {
            Self::Io(source) if Self::Io(source.kind().into()).is_not_writable() => {
                Self::NotWritable { path: path.to_owned(), source }
            }
            other => other,
        }
    }
}

impl From<io::Error> for CacheError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace(error),
            _ => Self::Io(error),
        }
    }
}

/// Why a segment, or a record in it, cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentError {
    /// The file is not what was written: fetch the object again.
    #[error("the segment is damaged: {0}")]
    Damaged(#[from] Damage),
    /// Written by another version of respool: as good as not there.
    #[error("the segment has format version {found}, expected {expected}")]
    OtherVersion {
        /// Ours.
        expected: u32,
        /// The file's.
        found: u32,
    },
    /// No such record.
    #[error("the segment has {records} records, none is number {record}")]
    NoSuchRecord {
        /// What was asked for.
        record: u32,
        /// How many there are.
        records: u32,
    },
}

/// In what way a segment is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A part's bytes have changed.
    #[error("the checksum of its {part} is {found:08x}, expected {expected:08x}")]
    Checksum {
        /// Which part.
        part: &'static str,
        /// As written.
        expected: u32,
        /// As computed now.
        found: u32,
    },
    /// A part is not there, or says what cannot be.
    #[error("its {part} makes no sense")]
    Structure {
        /// Which part.
        part: &'static str,
    },
    /// The file has another length than its parts add up to.
    #[error("it has {found} B, expected {expected} B")]
    Length {
        /// The sum of its parts.
        expected: u64,
        /// The file's length.
        found: u64,
    },
    /// It is another object's segment under this name.
    #[error("it is segment {found}, expected {expected}")]
    Identity {
        /// The one that was asked for.
        expected: SegmentId,
        /// The one it says it is.
        found: SegmentId,
    },
}
