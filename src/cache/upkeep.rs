//! What a person does with the cache: look at it, check it, shrink it, clear it.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::error::{CacheError, SegmentError};
use super::format::{HEADER_BYTES, Header};
use super::identity::SegmentId;
use super::ledger::Entry;
use super::segment::{Opened, Segment};
use super::{Cache, directory};
use crate::private;
use crate::record::ByteCount;
use crate::shown::shown;

/// One segment, for `cache ls`. Without a header that can be read only its name, size and times are known.
#[derive(Debug, Clone)]
pub struct SegmentInfo {
    /// Its name.
    pub id: SegmentId,
    /// Which archive, as JSON; empty if unknown.
    pub archive: String,
    /// The object's key, control characters escaped; empty if unknown.
    pub key: String,
    /// Bytes of its file.
    pub bytes: ByteCount,
    /// How the object was compressed and framed; empty if unknown.
    pub decoding: String,
    /// Its records, if known.
    pub records: Option<u32>,
    /// When it was made, if known.
    pub created: Option<SystemTime>,
    /// When a look-up last found it.
    pub last_used: SystemTime,
}

/// Whether one segment is whole.
#[derive(Debug, Clone)]
pub struct SegmentCheck {
    /// Its name.
    pub id: SegmentId,
    /// What is wrong with it, if anything.
    pub fault: Option<SegmentError>,
}

/// What a check of the cache has found.
#[derive(Debug, Clone, Default)]
pub struct Verified {
    /// Of each segment that was checked.
    pub checks: Vec<SegmentCheck>,
    /// Segments of another format version: only another version of respool can tell, so they are left alone.
    pub other_version: usize,
}

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Bytes of the files.
    pub bytes: ByteCount,
    /// How many they were.
    pub segments: usize,
}

impl Cache {
    /// Reads the directory anew.
    pub(super) fn rescan(&self) -> Result<(), CacheError> {
        let read = || {
            let mut entries = HashMap::new();
            self.directory.walk(|id, _, metadata| {
                let last_used = metadata.modified().unwrap_or(UNIX_EPOCH);
                entries.insert(id, Entry { bytes: metadata.len(), last_used });
            })?;
            Ok(entries)
        };
        Ok(self.ledger.replace(read)?)
    }

    /// Every segment, the least recently used first. Reads one page of each.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn ls(&self) -> Result<Vec<SegmentInfo>, CacheError> {
        let mut list = Vec::new();
        self.directory.walk(|id, path, metadata| {
            let header = private::open_to_read(path).ok().and_then(read_header);
            let escape = |text: &str| shown(text).to_string();
            list.push(SegmentInfo {
                id,
                archive: header.as_ref().map(|header| escape(&header.label.archive)).unwrap_or_default(),
                key: header.as_ref().map(|header| escape(&header.label.key)).unwrap_or_default(),
                decoding: header.as_ref().map(|header| escape(&header.label.decoding)).unwrap_or_default(),
                bytes: ByteCount(metadata.len()),
                records: header.as_ref().map(|header| header.counts.records),
                created: header.and_then(|h| UNIX_EPOCH.checked_add(Duration::from_secs(h.created))),
                last_used: metadata.modified().unwrap_or(UNIX_EPOCH),
            });
        })?;
        list.sort_unstable_by_key(|info| (info.last_used, info.id));
        Ok(list)
    }

    /// Checks the segments that `chosen` holds: header, footer and length, or with `full` every byte. Removes
    /// nothing.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn verify(&self, full: bool, chosen: impl Fn(&SegmentId) -> bool) -> Result<Verified, CacheError> {
        let mut paths = Vec::new();
        self.directory.walk(|id, path, _| {
            if chosen(&id) {
                paths.push((id, path.to_owned()));
            }
        })?;
        let mut verified = Verified::default();
        for (id, path) in paths {
            let file = match private::open_to_read(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            let fault = match Segment::open(&file, &id)? {
                Opened::Faulty(SegmentError::OtherVersion { .. }) => {
                    verified.other_version += 1;
                    continue;
                }
                Opened::Faulty(error) => Some(error),
                Opened::Whole(segment) if full => segment.verify().err(),
                Opened::Whole(_) => None,
            };
            verified.checks.push(SegmentCheck { id, fault });
        }
        verified.checks.sort_unstable_by_key(|check| check.id);
        Ok(verified)
    }

    /// Removes what was last used before `unused_since`, and then the least recently used until the rest
    /// is at most `size`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prune(
        &self,
        unused_since: Option<SystemTime>,
        size: Option<ByteCount>,
    ) -> Result<Removed, CacheError> {
        let _turn = self.directory.turn()?;
        self.rescan()?;
        let needed = self.pinned_by_others()?;
        let mut removed = Removed::default();
        for (id, entry) in self.ledger.by_age().into_iter().filter(|(id, _)| !needed.contains(id)) {
            let old = unused_since.is_some_and(|time| entry.last_used < time);
            let above = size.is_some_and(|size| self.usage().bytes > size);
            if !old && !above {
                break;
            }
            if self.remove(&id)? {
                removed.bytes.0 += entry.bytes;
                removed.segments += 1;
            }
        }
        Ok(removed)
    }

    /// Removes every segment, those of other format versions included.
    ///
    /// # Errors
    /// [`CacheError::Busy`] if another process uses the cache.
    pub fn purge(&self) -> Result<Removed, CacheError> {
        self.directory.alone(|| {
            self.rescan().map_err(io::Error::other)?;
            let before = self.usage();
            for entry in fs::read_dir(&self.directory.root)? {
                let entry = entry?;
                let name = entry.file_name();
                let versioned = name.to_str().and_then(|name| name.strip_prefix('v')?.parse::<u32>().ok());
                if versioned.is_some() && entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                }
            }
            directory::remove_abandoned(&self.directory.temporary())?;
            directory::make_private_folder(&self.directory.segments())?;
            self.ledger.replace(|| Ok(HashMap::new()))?;
            Ok(Removed { bytes: before.bytes, segments: before.segments })
        })
    }
}

fn read_header(mut file: impl Read) -> Option<Header> {
    let mut page = vec![0; HEADER_BYTES];
    file.read_exact(&mut page).ok()?;
    Header::decode(&page).ok()
}
