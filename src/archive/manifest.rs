//! The frozen list of one run: which objects, in which order, exactly as they were listed.
//!
//! An object's number is its place here, so the order is part of every ordinal and never changes: by the
//! time in the name, then by key; objects without a time come first. On disk it is a line of JSON for the
//! header and one for each object. The header holds the digest of everything else, so that an edited
//! or a cut manifest is not taken for the one a checkpoint belongs to. What is read is not trusted: every
//! line has a bound, and unknown fields are an error.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{ArchiveLocation, Listing, ObjectEntry, Selection};
use crate::record::ByteCount;
use crate::shown::shown;

/// The version that this program writes, and the only one it reads.
pub const MANIFEST_VERSION: u32 = 2;

/// One line of the file. A key has at most 1,024 bytes in S3 and 4,096 in a path, and JSON writes up to
/// six characters for one byte; what makes a line long are the ranges of an object of which some records are meant,
/// at most 23 bytes each.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The objects of one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`].
    pub version: u32,
    /// Where the objects lie.
    pub archive: ArchiveLocation,
    /// What was asked for.
    pub selection: Selection,
    /// The objects; their index is their number.
    pub objects: Vec<ObjectEntry>,
    /// Objects that hold no events by their name.
    pub skipped: u64,
    /// Objects outside the window that were seen.
    pub outside: u64,
    /// Objects that the user's patterns leave out, as far as they were seen.
    pub excluded: u64,
    /// Objects that were left out because they lie in an archive tier.
    pub archived: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    archive: ArchiveLocation,
    selection: Selection,
    objects: u64,
    skipped: u64,
    outside: u64,
    excluded: u64,
    archived: u64,
    /// Of the header without this field, and of all other lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

/// Only what every version of a header has.
#[derive(Deserialize)]
struct AnyHeader {
    version: u32,
}

/// Why a manifest cannot be made, written or read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// An ordinal has no room for their numbers.
    #[error("{found} objects are selected; one run takes {} at most: choose a shorter window", u32::MAX)]
    TooManyObjects {
        /// How many there are.
        found: usize,
    },
    /// The disk.
    #[error("the manifest {} cannot be read or written", path.display())]
    Io {
        /// The manifest.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("the manifest {} is damaged in line {line}", path.display())]
    Line {
        /// The manifest.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is longer than any that was ever written.
    #[error("the manifest {} is damaged: line {line} has more than {LINE_BYTES_MAX} bytes", path.display())]
    LineTooLong {
        /// The manifest.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
    },
    /// Another version of this program wrote it.
    #[error("the manifest {} has version {found}; this program reads version {MANIFEST_VERSION}", path.display())]
    Version {
        /// The manifest.
        path: PathBuf,
        /// The version it has.
        found: u32,
    },
    /// It is cut off, or something was added.
    #[error("the manifest {} is damaged: {expected} objects expected, {found} found", path.display())]
    Count {
        /// The manifest.
        path: PathBuf,
        /// What the header says.
        expected: u64,
        /// What is there; for a longer one, where reading stopped.
        found: u64,
    },
    /// It was edited, or the disk lost some of it.
    #[error("the manifest {} was changed: digest {expected} expected, {found} found", path.display())]
    Digest {
        /// The manifest.
        path: PathBuf,
        /// What the header says.
        expected: String,
        /// What its content gives.
        found: String,
    },
}

impl Manifest {
    /// Freezes what was listed: sorted, each key once.
    ///
    /// # Errors
    /// [`ManifestError::TooManyObjects`] above `u32::MAX`.
    pub fn freeze(
        archive: ArchiveLocation,
        selection: Selection,
        listing: Listing,
    ) -> Result<Self, ManifestError> {
        let Listing { mut objects, skipped, outside, excluded, archived } = listing;
        objects.sort_unstable_by(|a, b| (a.time, &a.key).cmp(&(b.time, &b.key)));
        objects.dedup_by(|a, b| a.key == b.key);
        if u32::try_from(objects.len()).is_err() {
            return Err(ManifestError::TooManyObjects { found: objects.len() });
        }
        Ok(Self {
            version: MANIFEST_VERSION,
            archive,
            selection,
            objects,
            skipped,
            outside,
            excluded,
            archived,
        })
    }

    /// The object of number `index`.
    #[must_use]
    pub fn object(&self, index: u32) -> Option<&ObjectEntry> {
        self.objects.get(usize::try_from(index).ok()?)
    }

    /// The objects' size as stored, together.
    #[must_use]
    pub fn bytes(&self) -> ByteCount {
        ByteCount(self.objects.iter().map(|object| object.size.0).sum())
    }

    /// How many objects are named after a time before the window, and were selected for the slack alone.
    #[must_use]
    pub fn before_window(&self) -> usize {
        let before =
            |object: &&ObjectEntry| object.time.is_some_and(|time| self.selection.window.outside(time));
        self.objects.iter().filter(before).count()
    }

    /// SHA-256 over the content, in hex: equal for equal manifests, whoever wrote them.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(line_of(&self.header(None)));
        for object in &self.objects {
            hash.update(line_of(object));
        }
        hex(&hash.finalize())
    }

    fn header(&self, digest: Option<String>) -> Header {
        Header {
            version: self.version,
            archive: self.archive.clone(),
            selection: self.selection.clone(),
            objects: self.objects.len() as u64,
            skipped: self.skipped,
            outside: self.outside,
            excluded: self.excluded,
            archived: self.archived,
            digest,
        }
    }

    /// Writes it to `path` so that either all of it is there, on disk, or nothing. Blocks.
    ///
    /// # Errors
    /// [`ManifestError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), ManifestError> {
        self.publish(path).map_err(|source| ManifestError::Io { path: path.to_owned(), source })
    }

    fn publish(&self, path: &Path) -> io::Result<()> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // The file of this crate is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        let mut out = BufWriter::new(file.as_file_mut());
        out.write_all(&line_of(&self.header(Some(self.digest()))))?;
        for object in &self.objects {
            let line = line_of(object);
            if line.len() as u64 > LINE_BYTES_MAX {
                let key = shown(&object.key);
                return Err(io::Error::other(format!(
                    "too many single records of {key} are meant for one list: replay that object by itself, with \
                     --include and its key (what it has delivered is there twice then)"
                )));
            }
            out.write_all(&line)?;
        }
        out.flush()?;
        drop(out);
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(dir)?.sync_all()
    }

    /// Reads the manifest at `path`. Blocks.
    ///
    /// # Errors
    /// [`ManifestError`] for anything but a whole, unchanged manifest of this version.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let failed = |source| ManifestError::Io { path: path.to_owned(), source };
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(failed(io::Error::other("not a file")));
        }
        let file = File::open(path).map_err(failed)?;
        let mut lines = Lines { path, reader: BufReader::new(file), number: 0, buffer: Vec::new() };
        let mut header = lines.header()?;
        let expected = header.digest.take().unwrap_or_default();
        let mut objects = Vec::new();
        while let Some(object) = lines.object()? {
            objects.push(object);
            if objects.len() as u64 > header.objects {
                break;
            }
        }
        let found = objects.len() as u64;
        if found != header.objects || u32::try_from(found).is_err() {
            return Err(ManifestError::Count { path: path.to_owned(), expected: header.objects, found });
        }
        let Header { version, archive, selection, skipped, outside, excluded, archived, .. } = header;
        let manifest = Self { version, archive, selection, objects, skipped, outside, excluded, archived };
        let found = manifest.digest();
        if found != expected {
            return Err(ManifestError::Digest { path: path.to_owned(), expected, found });
        }
        Ok(manifest)
    }
}

/// `lines` under the digest that makes a manifest of them, if each of them may stand in one; its counts are left as they
/// are. Also whether that many objects follow.
#[cfg(any(test, fuzzing))]
pub(super) fn sealed(lines: &[u8]) -> Option<(Vec<u8>, bool)> {
    let (first, rest) = lines.split_at(memchr::memchr(b'\n', lines)? + 1);
    let mut header: Header = serde_json::from_slice(first).ok()?;
    let mut hash = Sha256::new();
    header.digest = None;
    hash.update(line_of(&header));
    let mut objects = 0;
    for line in rest.split_inclusive(|byte| *byte == b'\n') {
        hash.update(line_of(&serde_json::from_slice::<ObjectEntry>(line).ok()?));
        objects += 1;
    }
    let fits = header.version == MANIFEST_VERSION && header.objects == objects;
    header.digest = Some(hex(&hash.finalize()));
    Some(([&line_of(&header), rest].concat(), fits))
}

/// A value as one line of JSON. Ours always can be: they hold strings, numbers and times.
fn line_of(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The lines of a manifest, each of bounded length.
struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    number: u64,
    buffer: Vec<u8>,
}

impl Lines<'_> {
    /// Reads the next line into the buffer; whether there was one.
    fn advance(&mut self) -> Result<bool, ManifestError> {
        self.number += 1;
        self.buffer.clear();
        let limited = self.reader.by_ref().take(LINE_BYTES_MAX + 1);
        let read = { limited }.read_until(b'\n', &mut self.buffer);
        read.map_err(|source| ManifestError::Io { path: self.path.to_owned(), source })?;
        if self.buffer.len() as u64 > LINE_BYTES_MAX {
            return Err(ManifestError::LineTooLong { path: self.path.to_owned(), line: self.number });
        }
        Ok(!self.buffer.is_empty())
    }

    fn parse<'b, T: Deserialize<'b>>(&'b self) -> Result<T, ManifestError> {
        serde_json::from_slice(&self.buffer).map_err(|source| ManifestError::Line {
            path: self.path.to_owned(),
            line: self.number,
            source,
        })
    }

    fn header(&mut self) -> Result<Header, ManifestError> {
        self.advance()?;
        let AnyHeader { version } = self.parse()?;
        if version != MANIFEST_VERSION {
            return Err(ManifestError::Version { path: self.path.to_owned(), found: version });
        }
        self.parse()
    }

    fn object(&mut self) -> Result<Option<ObjectEntry>, ManifestError> {
        if self.advance()? { self.parse().map(Some) } else { Ok(None) }
    }
}

#[cfg(test)]
mod tests;
