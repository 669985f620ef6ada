//! From what the user asked for to the frozen list of objects.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::console;
use super::open::archive_error;
use super::report::number;
use super::spool::blocking;
use crate::archive::manifest::Manifest;
use crate::archive::objects::{self, Named};
use crate::archive::tier::{Access, RestoreTier, may_be_archived};
use crate::archive::{
    Archive, ArchiveError, ArchiveLocation, Known, Listing, ListingLog, ObjectEntry, Selection,
};
use crate::cache::{CacheError, check_private};
use crate::config::Input;
use crate::error::Error;
use crate::record::{agree, many};
use crate::shown::shown;

/// Objects that are looked up at the same time.
const LOOK_UPS_AT_ONCE: usize = 32;
/// How often S3 is asked whether an object was restored.
const RESTORE_POLL: Duration = Duration::from_mins(1);
/// Keys that are named in a message.
const KEYS_SHOWN: usize = 3;

/// Where listings under way are noted, below the cache's directory.
const LISTINGS_DIR: &str = "listings";

/// Lists what `input` selects, sees to what lies in archive tiers, and freezes it. Only what is asked of `restore` is
/// restored: that costs money and takes hours, so whoever only looks asks for nothing.
pub async fn select(
    archive: &Arc<dyn Archive>,
    input: &Input,
    restore: Option<RestoreTier>,
    cache_dir: &Path,
    quiet: bool,
) -> Result<Manifest, Error> {
    let log =
        if input.objects.is_none() { log(archive, &input.selection, cache_dir, quiet).await } else { None };
    let mut listing = match (&input.objects, &log) {
        (Some(file), _) => named(archive, input, file).await?,
        (None, Some(log)) => {
            archive.list_noted(&input.selection, log.clone()).await.map_err(archive_error)?
        }
        (None, None) => archive.list(&input.selection).await.map_err(archive_error)?,
    };
    if input.skip_archived || restore.is_some() {
        let archived = archived(archive, &listing.objects).await?;
        if let Some(tier) = restore {
            bring_back(archive, archived, tier, quiet).await?;
        } else {
            let keys: BTreeSet<Box<str>> = archived.into_iter().map(|object| object.key).collect();
            listing.archived = keys.len() as u64;
            listing.objects.retain(|object| !keys.contains(&object.key));
        }
    }
    let manifest = Manifest::freeze(archive.location().clone(), input.selection.clone(), listing)
        .map_err(|error| Error::refused(error.to_string()))?;
    if let Some(log) = log {
        blocking(move || log.remove()).await?;
    }
    if let Some(note) = neighbours(&manifest).filter(|_| !quiet) {
        console::say(&note);
    }
    Ok(manifest)
}

/// A prefix is the beginning of keys, not a folder: what it takes in beside the folder that it may be meant for is told.
fn neighbours(manifest: &Manifest) -> Option<String> {
    let ArchiveLocation::S3 { prefix, .. } = &manifest.archive else { return None };
    if prefix.is_empty() || prefix.ends_with('/') {
        return None;
    }
    let is_below = |object: &&ObjectEntry| {
        object.key.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
    };
    let below = manifest.objects.iter().filter(is_below).count();
    let other = manifest.objects.iter().find(|object| !is_below(object)).filter(|_| below > 0)?;
    Some(format!(
        "{archive} is a prefix, and takes in more than {archive}/: {}, as {}; with a slash at its end only what lies below it is meant",
        many(manifest.objects.len() - below, "other object"),
        shown(&other.key),
        archive = manifest.archive
    ))
}

/// Where a bucket's listing is noted, so that another process can go on with it. That is a help and no more: where it
/// cannot be done, the listing goes without.
async fn log(
    archive: &Arc<dyn Archive>,
    selection: &Selection,
    cache_dir: &Path,
    quiet: bool,
) -> Option<Arc<ListingLog>> {
    let (location, selection) = (archive.location().clone(), selection.clone());
    let ArchiveLocation::S3 { .. } = location else { return None };
    let dir = cache_dir.join(LISTINGS_DIR);
    let opened = blocking(move || open_log(&dir, &location, &selection)).await.ok()?;
    let log = opened.inspect_err(|error| tracing::warn!(%error, "the listing is not noted")).ok()??;
    if let Some(Known { objects, prefixes, begun }) = log.known().filter(|_| !quiet) {
        console::say(&format!(
            "listing goes on: {} in {} {} known already, since {}",
            many(objects, "object"),
            match prefixes {
                1 => "1 prefix".to_owned(),
                more => format!("{} prefixes", number(more)),
            },
            agree(objects, "is", "are"),
            begun.strftime("%H:%M:%S UTC")
        ));
    }
    Some(Arc::new(log))
}

fn open_log(
    dir: &Path,
    location: &ArchiveLocation,
    selection: &Selection,
) -> Result<Option<ListingLog>, CacheError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // Whoever may write here decides what is sent.
    check_private(dir)?;
    Ok(ListingLog::open(dir, location, selection, super::now())?)
}

/// Whether notes of listings are kept in `cache_dir`.
pub fn has_listings(cache_dir: &Path) -> bool {
    cache_dir.join(LISTINGS_DIR).exists()
}

/// Nothing is left of listings that were not brought to their end. For who has the whole cache to himself.
pub fn forget_listings(cache_dir: &Path) -> Result<(), Error> {
    let dir = cache_dir.join(LISTINGS_DIR);
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::refused(format!("cannot remove {}", dir.display())).with_source(error))
        }
        _ => Ok(()),
    }
}

/// The objects that a file names; those of which it says too little are looked up.
async fn named(archive: &Arc<dyn Archive>, input: &Input, file: &Path) -> Result<Listing, Error> {
    let (path, location) = (file.to_owned(), archive.location().clone());
    let named = blocking(move || objects::read(&path, &location)).await?;
    let named = named.map_err(|error| Error::refused("--objects cannot be used").with_source(error))?;
    let prefix = match archive.location() {
        ArchiveLocation::S3 { prefix, .. } => prefix.clone(),
        ArchiveLocation::Directory { .. } => String::new(),
    };
    let mut listing = Listing::default();
    let mut keys = Vec::new();
    for named in named {
        match named {
            Named::Entry(entry) => listing.take_in(entry, &prefix, &input.selection),
            Named::Key(key) => keys.push(key),
        }
    }
    let mut missing = Vec::new();
    let found = each(archive, keys, |archive, key| async move {
        let found = archive.look_up(&key).await?;
        Ok((key, found))
    });
    for (key, found) in found.await? {
        match found {
            Some(entry) => listing.take_in(entry, &prefix, &input.selection),
            None => missing.push(key),
        }
    }
    if missing.is_empty() {
        return Ok(listing);
    }
    let shown: Vec<_> = missing.iter().take(KEYS_SHOWN).map(|key| shown(key).to_string()).collect();
    Err(Error::refused(format!(
        "{} of the objects in {} {} not in {}: {}{}",
        number(missing.len() as u64),
        file.display(),
        agree(missing.len(), "is", "are"),
        archive.location(),
        shown.join(", "),
        if missing.len() > KEYS_SHOWN { ", …" } else { "" }
    )))
}

/// Those of `objects` that have to be restored before they can be read. Of one that is gone or forbidden the fetch tells.
pub(super) async fn archived(
    archive: &Arc<dyn Archive>,
    objects: &[ObjectEntry],
) -> Result<Vec<ObjectEntry>, Error> {
    let doubtful: Vec<_> =
        objects.iter().filter(|object| may_be_archived(object.storage_class.as_deref())).cloned().collect();
    let looked_at = each(archive, doubtful, |archive, object| async move {
        let access = match archive.access(&object).await {
            Err(ArchiveError::Defect { .. }) => Access::Readable,
            access => access?,
        };
        Ok((object, access))
    });
    let looked_at = looked_at.await?.into_iter();
    Ok(looked_at.filter(|(_, access)| *access != Access::Readable).map(|(object, _)| object).collect())
}

/// Has `objects` restored, and waits until all of them can be read.
async fn bring_back(
    archive: &Arc<dyn Archive>,
    objects: Vec<ObjectEntry>,
    tier: RestoreTier,
    quiet: bool,
) -> Result<(), Error> {
    if objects.is_empty() {
        return Ok(());
    }
    let total = many(objects.len(), "object");
    let asked = each(archive, objects, move |archive, object| async move {
        archive.restore(&object, tier).await?;
        Ok(object)
    });
    let mut waiting = asked.await?;
    loop {
        waiting = archived(archive, &waiting).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        if !quiet {
            let (left, are) = (number(waiting.len() as u64), agree(waiting.len(), "is", "are"));
            console::say(&format!(
                "S3 restores {total} ({tier}), {left} {are} still to come; Ctrl-C ends the wait, not the restore"
            ));
        }
        tokio::time::sleep(RESTORE_POLL).await;
    }
}

/// Does `work` for each of `items`, many at a time; the results in no particular order.
async fn each<T, R, F>(
    archive: &Arc<dyn Archive>,
    items: Vec<T>,
    work: impl Fn(Arc<dyn Archive>, T) -> F,
) -> Result<Vec<R>, Error>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, ArchiveError>> + Send + 'static,
{
    let (mut running, mut done) = (JoinSet::new(), Vec::with_capacity(items.len()));
    let mut items = items.into_iter();
    loop {
        while running.len() < LOOK_UPS_AT_ONCE
            && let Some(item) = items.next()
        {
            running.spawn(work(archive.clone(), item));
        }
        let Some(ended) = running.join_next().await else { return Ok(done) };
        let ended =
            ended.map_err(|error| Error::internal("a look at an object failed").with_source(error))?;
        done.push(ended.map_err(archive_error)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_leaves_nothing_of_listings_and_needs_none() {
        let cache = tempfile::tempdir().unwrap();
        let bucket = ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: String::new() };
        let log = open_log(&cache.path().join(LISTINGS_DIR), &bucket, &Selection::default()).unwrap();
        assert!(log.is_some());
        forget_listings(cache.path()).unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
        forget_listings(cache.path()).unwrap();
    }

    #[test]
    fn notes_that_others_may_write_are_not_gone_on_with() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let bucket = ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: String::new() };
        let opened = open_log(dir.path(), &bucket, &Selection::default());
        assert!(matches!(opened, Err(CacheError::Exposed { .. })), "{opened:?}");
    }
}
