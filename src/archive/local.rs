//! An archive in a local directory: a copy of a bucket, or what some other tool wrote.
//!
//! A file's key is its path below the directory. Links to files are read; links to directories are not
//! followed, so that a walk ends and stays inside. What was listed is pinned by size and time of
//! modification, as a bucket pins by `ETag`.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::{Component, Path, PathBuf};

use jiff::Timestamp;

use super::tier::{Access, RestoreTier};
use super::{
    Archive, ArchiveError, ArchiveLocation, BodyBytes, BoxFuture, DefectReason, Etag, Listing, ObjectBody,
    ObjectEntry, Selection,
};
use crate::record::ByteCount;
use crate::shown::shown;

/// A directory and everything below it.
#[derive(Debug, Clone)]
pub struct LocalArchive {
    root: PathBuf,
    location: ArchiveLocation,
}

impl LocalArchive {
    /// Opens the archive in `directory`. Blocks for a moment.
    ///
    /// # Errors
    /// [`ArchiveError::NoSuchArchive`], [`ArchiveError::NotADirectory`], or [`ArchiveError::Refused`] for a path
    /// that may not be read or is not UTF-8.
    pub fn open(directory: &Path) -> Result<Self, ArchiveError> {
        let root = directory.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ArchiveError::NoSuchArchive { what: show(directory) },
            io::ErrorKind::NotADirectory => ArchiveError::NotADirectory { what: show(directory) },
            _ => refused(directory, &error.to_string()),
        })?;
        if !root.is_dir() {
            return Err(ArchiveError::NotADirectory { what: show(directory) });
        }
        let Some(path) = root.to_str() else { return Err(refused(&root, "the path is not UTF-8")) };
        let location = ArchiveLocation::Directory { path: path.to_owned() };
        Ok(Self { root, location })
    }
}

fn show(path: &Path) -> String {
    shown(&path.to_string_lossy()).to_string()
}

fn refused(path: &Path, message: &str) -> ArchiveError {
    ArchiveError::Refused { what: show(path), message: message.to_owned() }
}

fn list(root: &Path, selection: &Selection) -> Result<Listing, ArchiveError> {
    let mut listing = Listing::default();
    let mut waiting = vec![(root.to_path_buf(), String::new())];
    while let Some((dir, prefix)) = waiting.pop() {
        let failed = |error: io::Error| refused(&dir, &error.to_string());
        for child in fs::read_dir(&dir).map_err(failed)? {
            let child = child.map_err(failed)?;
            let path = child.path();
            let Ok(name) = child.file_name().into_string() else {
                return Err(refused(&path, "the name is not UTF-8"));
            };
            let kind = child.file_type().map_err(failed)?;
            if name.starts_with('.') {
                listing.skipped += 1;
            } else if kind.is_dir() {
                waiting.push((path, format!("{prefix}{name}/")));
            } else {
                sort_in(&path, format!("{prefix}{name}"), selection, &mut listing)?;
            }
        }
    }
    Ok(listing)
}

fn sort_in(
    path: &Path,
    key: String,
    selection: &Selection,
    listing: &mut Listing,
) -> Result<(), ArchiveError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => {
            tracing::warn!(path = show(path), "left out: a link to a directory, or no file at all");
            listing.skipped += 1;
            return Ok(());
        }
        // A link to nothing, or a file that was deleted just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::warn!(path = show(path), "left out: nothing is there");
            listing.skipped += 1;
            return Ok(());
        }
        Err(error) => return Err(refused(path, &error.to_string())),
    };
    let object = entry(key, &metadata).map_err(|error| refused(path, &error.to_string()))?;
    let below = object.key.clone();
    listing.sort_in(object, &below, selection);
    Ok(())
}

fn entry(key: String, metadata: &Metadata) -> io::Result<ObjectEntry> {
    let modified = modified(metadata)?;
    Ok(ObjectEntry {
        key: key.into(),
        size: ByteCount(metadata.len()),
        etag: etag(modified, metadata.len()).into(),
        version: None,
        modified,
        time: None,
        storage_class: None,
        only: None,
    })
}

/// The file of this key, if there is one and it lies in the archive.
fn look_up(root: &Path, key: &str) -> Result<Option<ObjectEntry>, ArchiveError> {
    let relative = Path::new(key);
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(refused(relative, "the path leads out of the archive"));
    }
    let path = root.join(relative);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {
            entry(key.to_owned(), &metadata).map(Some).map_err(|error| refused(&path, &error.to_string()))
        }
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(refused(&path, &error.to_string())),
    }
}

fn modified(metadata: &Metadata) -> io::Result<Timestamp> {
    Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)
}

fn etag(modified: Timestamp, size: u64) -> String {
    format!("{}-{size}", modified.as_nanosecond())
}

fn open(root: &Path, object: &ObjectEntry) -> Result<File, ArchiveError> {
    let defect = |reason, message: &str| ArchiveError::Defect { reason, message: message.to_owned() };
    let relative = Path::new(&*object.key);
    // A manifest is read from disk: its keys must not lead out of the archive.
    if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(defect(DefectReason::Denied, "the path leads out of the archive"));
    }
    let path = root.join(relative);
    let trouble = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            defect(DefectReason::Deleted, &error.to_string())
        }
        io::ErrorKind::PermissionDenied => defect(DefectReason::Denied, &error.to_string()),
        _ => ArchiveError::Io(error),
    };
    // Looked at before it is opened: opening a pipe would wait for its writer.
    if !fs::metadata(&path).map_err(trouble)?.is_file() {
        return Err(defect(DefectReason::Changed, "it is no longer a file"));
    }
    let file = File::open(&path).map_err(trouble)?;
    let metadata = file.metadata().map_err(trouble)?;
    let found = etag(modified(&metadata).map_err(trouble)?, metadata.len());
    if Etag::from(found.as_str()) != object.etag || metadata.len() != object.size.0 {
        let message = format!("listed with {}, found {found}", shown(&object.etag.to_string()));
        return Err(defect(DefectReason::Changed, &message));
    }
    Ok(file)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArchiveError> + Send + 'static,
) -> Result<T, ArchiveError> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Archive for LocalArchive {
    fn location(&self) -> &ArchiveLocation {
        &self.location
    }

    fn list<'a>(&'a self, selection: &'a Selection) -> BoxFuture<'a, Result<Listing, ArchiveError>> {
        let (root, selection) = (self.root.clone(), selection.clone());
        Box::pin(blocking(move || list(&root, &selection)))
    }

    fn look_up<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<ObjectEntry>, ArchiveError>> {
        let (root, key) = (self.root.clone(), key.to_owned());
        Box::pin(blocking(move || look_up(&root, &key)))
    }

    fn access<'a>(&'a self, _: &'a ObjectEntry) -> BoxFuture<'a, Result<Access, ArchiveError>> {
        Box::pin(async { Ok(Access::Readable) })
    }

    fn restore<'a>(&'a self, _: &'a ObjectEntry, _: RestoreTier) -> BoxFuture<'a, Result<(), ArchiveError>> {
        Box::pin(async { Ok(()) })
    }

    fn fetch<'a>(&'a self, object: &'a ObjectEntry) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>> {
        let (root, object) = (self.root.clone(), object.clone());
        Box::pin(async move {
            let file = blocking(move || open(&root, &object)).await?;
            Ok(ObjectBody { content_encoding: None, bytes: BodyBytes::File(file) })
        })
    }

    fn fetch_beginning<'a>(
        &'a self,
        object: &'a ObjectEntry,
        bytes: u64,
    ) -> BoxFuture<'a, Result<ObjectBody, ArchiveError>> {
        let (root, object) = (self.root.clone(), object.clone());
        Box::pin(blocking(move || {
            let mut beginning = Vec::new();
            open(&root, &object)?.take(bytes).read_to_end(&mut beginning)?;
            Ok(ObjectBody { content_encoding: None, bytes: BodyBytes::Memory(vec![beginning.into()]) })
        }))
    }

    fn object_requests(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests;
