//! Where events come from: objects in S3 or in a local directory.
//!
//! An [`Archive`] lists and fetches; that is all it knows. What lies in an object is the decoder's
//! business. The list of one run is frozen in a [`manifest`], and what is fetched is pinned to it: an
//! object that has changed since is an error, not a surprise.

mod download;
mod etag;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod layout;
mod listing;
mod listing_log;
pub mod local;
pub mod manifest;
pub mod objects;
pub mod s3;
pub mod selection;
mod setbacks;
mod standing;
mod template;
pub mod tier;
mod walk;
pub mod window;

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek as _};
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use etag::Etag;
pub use listing_log::{Known, ListingLog};
pub use local::LocalArchive;
pub use manifest::{Manifest, ManifestError};
pub use s3::{S3Archive, S3Config};
pub use selection::Selection;
pub use window::{ObjectWindow, TimeBound, WindowError};

use crate::record::ByteCount;
use selection::Verdict;
use tier::{Access, RestoreTier};

/// A future that can be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Which archive, in a form that tells one from any other; part of each segment's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArchiveLocation {
    /// A bucket and a prefix.
    S3 {
        /// The endpoint, where it is not AWS'.
        endpoint: Option<String>,
        /// The bucket.
        bucket: String,
        /// The prefix, possibly empty.
        prefix: String,
    },
    /// A directory, absolute, links resolved.
    Directory {
        /// Its path.
        path: String,
    },
}

impl ArchiveLocation {
    /// What a key names an object in: the whole bucket, by whichever prefix it was listed; or the directory.
    #[must_use]
    pub fn of_keys(&self) -> Self {
        match self {
            Self::S3 { endpoint, bucket, .. } => {
                Self::S3 { endpoint: endpoint.clone(), bucket: bucket.clone(), prefix: String::new() }
            }
            directory @ Self::Directory { .. } => directory.clone(),
        }
    }
}

impl fmt::Display for ArchiveLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Directory { path } => f.write_str(path),
        }
    }
}

/// One object of the archive, as it was listed. Millions of them are held, so nothing in it has room to grow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectEntry {
    /// Its key in the bucket, or its path below the directory with `/` between the parts.
    pub key: Box<str>,
    /// Its size as stored.
    pub size: ByteCount,
    /// S3's `ETag`, opaque. A local file has its time of modification in nanoseconds and its size instead.
    pub etag: Etag,
    /// S3's version, where the bucket has versions and the listing tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Box<str>>,
    /// When it was written.
    pub modified: Timestamp,
    /// The time in its name: for Firehose, about the arrival of its oldest record. Where the name tells
    /// only the hour or the day, its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// S3's storage class, where it is not the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<Box<str>>,
    /// Only these of its records are meant, from the first to the last of each range, ascending: the rest was
    /// delivered before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Box<[(u32, u32)]>>,
}

#[cfg(test)]
impl ObjectEntry {
    /// One that has no more than a key and a size, for tests.
    pub(crate) fn of(key: &str, size: u64) -> Self {
        Self {
            key: key.into(),
            size: ByteCount(size),
            etag: "".into(),
            version: None,
            modified: Timestamp::UNIX_EPOCH,
            time: None,
            storage_class: None,
            only: None,
        }
    }
}

/// What a listing found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// The objects that are selected, in no particular order.
    pub objects: Vec<ObjectEntry>,
    /// Objects that hold no events by their name (folder markers, `_SUCCESS`, hidden files), and were left out.
    pub skipped: u64,
    /// Objects outside the window that were seen and left out.
    pub outside: u64,
    /// Objects that the user's patterns leave out, as far as they were seen.
    pub excluded: u64,
    /// Objects that were left out because they lie in an archive tier.
    pub archived: u64,
}

impl Listing {
    /// Takes in what another one has found.
    fn absorb(&mut self, mut other: Self) {
        // The longer list stays where it is: there may be millions in it.
        if self.objects.len() < other.objects.len() {
            std::mem::swap(&mut self.objects, &mut other.objects);
        }
        self.objects.append(&mut other.objects);
        self.skipped += other.skipped;
        self.outside += other.outside;
        self.excluded += other.excluded;
        self.archived += other.archived;
    }

    /// Takes in an object that was named by its whole key, if `selection` says so.
    pub fn take_in(&mut self, object: ObjectEntry, prefix: &str, selection: &Selection) {
        let Some(below) = object.key.strip_prefix(prefix).map(str::to_owned) else {
            self.excluded += 1;
            return;
        };
        self.sort_in(object, &below, selection);
    }

    /// Takes in an object that was seen, if `selection` says so.
    fn sort_in(&mut self, mut object: ObjectEntry, below: &str, selection: &Selection) {
        match selection.judge(&object.key, below, object.size.0, object.modified) {
            Verdict::Selected(time) => {
                object.time = time.map(|time| time.start);
                self.objects.push(object);
            }
            Verdict::Outside => self.outside += 1,
            Verdict::NoEvents => self.skipped += 1,
            Verdict::Excluded => self.excluded += 1,
        }
    }
}

/// The bytes of one object, whole and as stored.
#[derive(Debug)]
pub struct ObjectBody {
    /// S3's Content-Encoding: a hint only.
    pub content_encoding: Option<String>,
    /// The bytes.
    pub bytes: BodyBytes,
}

/// Where an object's bytes wait for the decoder.
#[derive(Debug)]
pub enum BodyBytes {
    /// In memory, in the pieces in which they came.
    Memory(Vec<Bytes>),
    /// In a file, read from its start: a local object, or a spilled download without a name.
    File(File),
}

impl ObjectBody {
    /// The bytes from the start. Blocks: not for async threads.
    ///
    /// # Errors
    /// Those of the file.
    pub fn reader(self) -> io::Result<Box<dyn Read + Send>> {
        match self.bytes {
            BodyBytes::Memory(pieces) => {
                Ok(Box::new(Pieces { left: pieces.into_iter(), current: Bytes::new() }))
            }
            BodyBytes::File(mut file) => {
                file.rewind()?;
                Ok(Box::new(file))
            }
        }
    }
}

/// Reads pieces one behind the other and lets go of each as soon as it is read.
struct Pieces {
    left: std::vec::IntoIter<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.left.next() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let mut slice: &[u8] = &self.current;
        let count = slice.read(into)?;
        self.current.advance(count);
        Ok(count)
    }
}

/// Why a listing or a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// No such bucket or directory.
    #[error("{what} does not exist")]
    NoSuchArchive {
        /// The bucket or the directory.
        what: String,
    },
    /// A directory was meant, and something else is there.
    #[error("{what} is not a directory")]
    NotADirectory {
        /// Its path.
        what: String,
    },
    /// Credentials are missing or refused, or the bucket lies elsewhere: nothing here will work.
    #[error("{what}: {message}")]
    Refused {
        /// What was asked for.
        what: String,
        /// The service's code and words.
        message: String,
    },
    /// A right is missing for a call that is not about one object alone.
    #[error("{what}: {message}")]
    Forbidden {
        /// What was asked for.
        what: String,
        /// The service's code and words.
        message: String,
        /// The call.
        call: ArchiveCall,
    },
    /// This one object cannot be had, now and later: it goes to quarantine with this reason.
    #[error("{reason}: {message}")]
    Defect {
        /// One of the quarantine's reasons: `changed`, `deleted`, `archived`, `denied`, `checksum`.
        reason: DefectReason,
        /// The service's code and words.
        message: String,
    },
    /// The service is in trouble; every retry was used.
    #[error("{what}: {message}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// The service's code and words.
        message: String,
    },
    /// Our own disk.
    #[error("cannot read or spill an object")]
    Io(#[from] io::Error),
}

/// A call that may be forbidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveCall {
    /// To list the archive.
    List,
    /// To look at or to read an object.
    Read,
    /// To ask an object back from an archive tier.
    Restore,
}

/// Why an object cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectReason {
    /// It is not what was listed.
    Changed,
    /// It is gone.
    Deleted,
    /// It lies in Glacier and must be restored first.
    Archived,
    /// Reading this one object is forbidden.
    Denied,
    /// What arrived is not what was stored, again and again.
    Checksum,
}

impl fmt::Display for DefectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Changed => "changed",
            Self::Deleted => "deleted",
            Self::Archived => "archived",
            Self::Denied => "denied",
            Self::Checksum => "checksum",
        })
    }
}

/// A source of objects.
pub trait Archive: Send + Sync {
    /// Which archive it is.
    fn location(&self) -> &ArchiveLocation;

    /// Lists what is selected.
    fn list<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Listing, ArchiveError>>;

    /// The same, noted in `log` as it comes in, and begun where what is noted there ends. What is listed in one go is
    /// not noted.
    fn list_noted<'a>(
        &'a self,
        selection: &'a Selection,
        log: Arc<ListingLog>,
    ) -> BoxFuture<'a, Result<Listing, ArchiveError>> {
        drop(log);
        self.list(selection)
    }

    /// Looks at one object by its key, below nothing: as it would be listed; `None` if it is not there.
    fn look_up<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<ObjectEntry>, ArchiveError>>;

    /// Whether an object can be read, or has to be restored first.
    fn access<'a>(&'a self, object: &'a ObjectEntry) -> BoxFuture<'a, Result<Access, ArchiveError>>;

    /// Asks for an object to be brought back from an archive tier. What is under way already is no error.
    fn restore<'a>(
        &'a self,
        object: &'a ObjectEntry,
        tier: RestoreTier,
    ) -> BoxFuture<'a, Result<(), ArchiveError>>;

    /// Fetches one object whole, pinned to what was listed. Retries inside; gives up with a reason.
    fn fetch<'a>(&'a self, object: &'a ObjectEntry) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>>;

    /// Fetches no more than the first `bytes` of an object, pinned likewise: enough for a look at it.
    fn fetch_beginning<'a>(
        &'a self,
        object: &'a ObjectEntry,
        bytes: u64,
    ) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>>;

    /// Requests for objects (GET and HEAD) made so far; a directory makes none.
    fn object_requests(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;

    fn read(bytes: BodyBytes) -> Vec<u8> {
        let mut all = Vec::new();
        let body = ObjectBody { content_encoding: None, bytes };
        body.reader().unwrap().read_to_end(&mut all).unwrap();
        all
    }

    #[test]
    fn pieces_are_read_one_behind_the_other() {
        let pieces = ["", "ab", "", "c", ""].map(|piece| Bytes::from_static(piece.as_bytes()));
        assert_eq!(read(BodyBytes::Memory(pieces.to_vec())), b"abc");
        assert_eq!(read(BodyBytes::Memory(Vec::new())), b"");
    }

    #[test]
    fn a_file_is_read_from_its_start() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.seek(SeekFrom::Start(2)).unwrap();
        assert_eq!(read(BodyBytes::File(file)), b"abc");
    }
}
