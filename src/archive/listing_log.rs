//! What a listing has found so far, on disk, so that another process can go on with it.
//!
//! One file for each archive and selection: [frames](crate::frame), the first of which says what is listed and since
//! when; each other one is a page. A page follows on those before it, so what stands behind a frame that is not whole
//! does not count, and is cut off before anything is written behind. Nothing is synced: a killed process loses nothing
//! by that, and what a lost machine loses is listed again.
//!
//! A process has the file for itself, by a lock; another one that lists the same notes nothing. An old file is not
//! gone on with: since its pages came, objects may have been added. When the list is frozen, the file is removed.

use std::borrow::Cow;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::manifest::hex;
use super::standing::{Part, Standing};
use super::{ArchiveLocation, Selection};
use crate::{frame, private};

/// The version that this program writes, and the only one that it goes on with.
const VERSION: u32 = 1;

/// A page names 1,000 keys of at most 1,024 bytes, and JSON writes up to six characters for one.
const FRAME_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A listing that began longer ago is begun anew. Sixteen prefixes at once bring more in this time than a run can hold.
const AGE_MAX: SignedDuration = SignedDuration::from_hours(2);
/// The same where the window was open when it began.
const OPEN_AGE_MAX: SignedDuration = SignedDuration::from_mins(15);

/// The first frame.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    /// The program's: what it makes of a key may change.
    program: Cow<'static, str>,
    archive: ArchiveLocation,
    selection: Selection,
    begun: Timestamp,
}

impl Header {
    fn new(archive: ArchiveLocation, selection: Selection, begun: Timestamp) -> Self {
        Self { version: VERSION, program: env!("CARGO_PKG_VERSION").into(), archive, selection, begun }
    }
}

/// How far an earlier process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Objects that are selected.
    pub objects: u64,
    /// Prefixes that were listed, wholly or in part.
    pub prefixes: u64,
    /// When the listing was begun.
    pub begun: Timestamp,
}

/// The file of one listing, for this process alone.
#[derive(Debug)]
pub struct ListingLog {
    path: PathBuf,
    begun: Timestamp,
    /// Absent once it cannot be written to.
    output: Mutex<Option<Output>>,
    /// What an earlier process has found.
    standing: Mutex<Option<Standing>>,
}

/// The file, and a buffer for what is written next: one for all, because a page is large and comes from any thread.
#[derive(Debug)]
struct Output {
    file: File,
    frame: Vec<u8>,
}

impl ListingLog {
    /// Opens the file in `dir` for a listing of `selection`. `None` if another process is at it. Blocks.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(
        dir: &Path,
        archive: &ArchiveLocation,
        selection: &Selection,
        now: Timestamp,
    ) -> io::Result<Option<Self>> {
        remove_old(dir, now)?;
        let header = Header::new(archive.clone(), selection.clone(), now);
        let path = dir.join(name(&header)?);
        let mut file = private::open(&path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Ok(None),
            locked => locked?,
        }
        // Removed just now by the process that had it.
        if file.metadata()?.nlink() == 0 {
            return Ok(None);
        }
        let before = read(&file, &header)?;
        let (begun, standing) = if let Some((begun, standing, length)) = before {
            file.set_len(length)?;
            file.seek(SeekFrom::End(0))?;
            (begun, Some(standing))
        } else {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(&frame::encode(&header, FRAME_BYTES_MAX)?)?;
            (now, None)
        };
        let output = Mutex::new(Some(Output { file, frame: Vec::new() }));
        Ok(Some(Self { path, begun, output, standing: Mutex::new(standing) }))
    }

    /// How far an earlier process has come; `None` if this listing begins at its beginning.
    pub fn known(&self) -> Option<Known> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let (objects, prefixes) = standing.as_ref().map(Standing::known)?;
        (prefixes > 0).then_some(Known { objects, prefixes, begun: self.begun })
    }

    pub(super) fn take_known(&self) -> Option<Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Notes one page. If that fails, no more are noted: the listing itself has no use for them. Blocks.
    pub(super) fn note(&self, part: &Part) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Output { file, frame }) = output.as_mut() else { return };
        let noted = frame::encode_into(frame, part, FRAME_BYTES_MAX).and_then(|()| file.write_all(frame));
        if let Err(error) = noted {
            tracing::warn!(%error, "how far the listing has come is not noted any more");
            *output = None;
        }
    }

    /// The list is frozen: nobody has to go on with it. Blocks.
    pub fn remove(&self) {
        // One that stays is too old soon.
        let _ = fs::remove_file(&self.path);
    }
}

/// A name that tells one archive and selection from any other.
fn name(header: &Header) -> io::Result<String> {
    let what = serde_json::to_vec(&(header.version, &header.program, &header.archive, &header.selection))?;
    Ok(hex(&Sha256::digest(what)) + ".log")
}

/// How old a listing may be that is gone on with: into a window that was open when it began, more comes all the time.
fn age_max(header: &Header) -> SignedDuration {
    let is_over = header.selection.window.until().is_some_and(|until| until <= header.begun);
    if is_over { AGE_MAX } else { OPEN_AGE_MAX }
}

/// What stands in `file`, if it is of the same listing and not too old: since when, how far, and the bytes that count.
fn read(file: &File, wanted: &Header) -> io::Result<Option<(Timestamp, Standing, u64)>> {
    let mut reader = BufReader::new(file);
    let Some(first) = frame::read(&mut reader, FRAME_BYTES_MAX)? else { return Ok(None) };
    let Ok(header) = serde_json::from_slice::<Header>(&first) else { return Ok(None) };
    let same = name(&header)? == name(wanted)?;
    let age = wanted.begun.duration_since(header.begun);
    if !same || age > age_max(&header) || age.is_negative() {
        return Ok(None);
    }
    let prefix = match &header.archive {
        ArchiveLocation::S3 { prefix, .. } => prefix,
        ArchiveLocation::Directory { .. } => "",
    };
    let (mut standing, mut length) = (Standing::at_the_beginning(prefix), frame::bytes(&first));
    while let Some(page) = frame::read(&mut reader, FRAME_BYTES_MAX)? {
        let Ok(part) = serde_json::from_slice(&page) else { break };
        if standing.take(part).is_none() {
            break;
        }
        length += frame::bytes(&page);
    }
    Ok(Some((header.begun, standing, length)))
}

/// Removes what nobody will go on with: of windows that end now, each command asks for another one.
fn remove_old(dir: &Path, now: Timestamp) -> io::Result<()> {
    let oldest = now.checked_sub(AGE_MAX).map_or(SystemTime::UNIX_EPOCH, SystemTime::from);
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_old = |metadata: fs::Metadata| metadata.modified().is_ok_and(|modified| modified < oldest);
        if path.extension().is_some_and(|extension| extension == "log")
            && fs::symlink_metadata(&path).is_ok_and(is_old)
        {
            // Another process may have been faster.
            let _ = fs::remove_file(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::ObjectWindow;

    #[test]
    fn a_window_into_which_more_comes_is_listed_anew_sooner() {
        let header = |selection| {
            let (archive, begun) = (ArchiveLocation::Directory { path: "/a".into() }, "2026-07-12T00:00:00Z");
            Header::new(archive, selection, begun.parse().unwrap())
        };
        let until = |text: &str| {
            let until = Some(text.parse().unwrap());
            header(ObjectWindow::new(None, until, SignedDuration::ZERO).unwrap().into())
        };
        assert_eq!(age_max(&until("2026-07-12T00:00:00Z")), AGE_MAX);
        assert_eq!(age_max(&until("2026-07-12T00:00:01Z")), OPEN_AGE_MAX);
        assert_eq!(age_max(&header(Selection::default())), OPEN_AGE_MAX);
    }
}
