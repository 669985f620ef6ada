use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::archive::{ArchiveLocation, Manifest, ObjectWindow};
use crate::frame;

const PAGE: usize = 7;

/// A bucket that gives pages of a few names.
struct Store {
    keys: Vec<String>,
    /// After so many pages it answers no more.
    pages_max: usize,
    refuses_tokens: bool,
    asked: Mutex<Vec<(Walk, Option<String>)>>,
}

impl Store {
    fn new() -> Self {
        let mut keys = Vec::new();
        for (day, hour) in (9..13).flat_map(|day| (0..24).map(move |hour| (day, hour))) {
            for part in 0..(day * hour) % 11 {
                keys.push(format!(
                    "live/2026/07/{day:02}/{hour:02}/s-1-2026-07-{day:02}-{hour:02}-{part:02}-00-u"
                ));
            }
        }
        // Side by side with directories, more directories than are looked into, and what holds no events.
        keys.extend((0..40).map(|number| format!("live/flat-{number:03}")));
        keys.extend((0..220).map(|number| format!("live/many/{:03}/x", number * 37 % 220)));
        keys.extend((6..9).map(|number| format!("live/2026/07/10/0{number}/_SUCCESS")));
        keys.sort();
        Self { keys, pages_max: usize::MAX, refuses_tokens: false, asked: Mutex::default() }
    }

    fn answer(&self, step: &Walk, token: Option<&str>) -> Result<Page, ServiceFault> {
        let mut asked = self.asked.lock().unwrap();
        if asked.len() >= self.pages_max {
            return Err(ServiceFault::connection("it is gone"));
        }
        asked.push((step.clone(), token.map(str::to_owned)));
        if self.refuses_tokens && token.is_some() {
            let code = Some("InvalidArgument".to_owned());
            return Err(ServiceFault { status: Some(400), code, ..ServiceFault::default() });
        }
        let names: BTreeSet<&str> = self
            .keys
            .iter()
            .filter_map(|key| {
                let below = key.strip_prefix(&step.prefix)?;
                let slash = below.find('/').filter(|_| step.depth != Depth::Whole);
                Some(slash.map_or(&**key, |slash| &key[..=step.prefix.len() + slash]))
            })
            .collect();
        let from: usize = token.map_or(0, |token| token.parse().unwrap());
        let page = names.iter().skip(from).take(PAGE);
        let (dirs, keys): (Vec<&str>, Vec<&str>) = page.partition(|name| name.ends_with('/'));
        Ok(Page {
            objects: keys.into_iter().map(object).collect(),
            dirs: dirs.into_iter().map(str::to_owned).collect(),
            next: (from + PAGE < names.len()).then(|| (from + PAGE).to_string()),
        })
    }
}

fn object(key: &str) -> ObjectEntry {
    ObjectEntry {
        etag: "\"0123456789abcdef0123456789abcdef\"".into(),
        modified: at("2026-07-11T00:00:00Z"),
        ..ObjectEntry::of(key, key.len() as u64)
    }
}

impl Pages for Store {
    fn page<'a>(
        &'a self,
        step: &'a Walk,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, ServiceFault>> {
        Box::pin(async move { self.answer(step, token) })
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    Timestamp::now()
}

fn location() -> ArchiveLocation {
    ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: "live/".into() }
}

fn selection() -> Selection {
    let (from, until) = (at("2026-07-10T06:00:00Z"), at("2026-07-12T06:00:00Z"));
    ObjectWindow::new(Some(from), Some(until), SignedDuration::from_mins(15)).unwrap().into()
}

/// Lists `store` as one process does; the frozen list, or that it broke off.
async fn list(store: &Arc<Store>, log: Option<ListingLog>) -> Result<Manifest, ArchiveError> {
    let lister = Lister {
        pages: store.clone(),
        prefix: "live/".into(),
        selection: Arc::new(selection()),
        log: log.map(Arc::new),
        what: "s3://events".into(),
    };
    let listing = lister.list().await?;
    Ok(Manifest::freeze(location(), selection(), listing).unwrap())
}

fn open(dir: &Path) -> ListingLog {
    ListingLog::open(dir, &location(), &selection(), now()).unwrap().unwrap()
}

fn file_in(dir: &Path) -> PathBuf {
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// What a process that was killed with `bytes` of its file written leaves to the next one.
fn left_behind(name: &Path, bytes: &[u8]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name.file_name().unwrap()), bytes).unwrap();
    dir
}

/// Pages that are noted in `bytes` and count.
fn pages_in(mut bytes: &[u8]) -> usize {
    std::iter::from_fn(|| frame::read(&mut bytes, 1 << 20).unwrap()).count().saturating_sub(1)
}

/// The list without any trouble, how many pages it took, and the file that it would have left.
async fn undisturbed() -> (Manifest, usize, PathBuf, Vec<u8>) {
    let (store, dir) = (Arc::new(Store::new()), tempfile::tempdir().unwrap());
    let noted = list(&store, Some(open(dir.path()))).await.unwrap();
    let plain = list(&Arc::new(Store::new()), None).await.unwrap();
    assert_eq!(noted.digest(), plain.digest());
    let counts = (plain.outside > 0, plain.skipped, plain.objects.len() > 300);
    assert_eq!(counts, (true, 3, true), "{}", plain.objects.len());
    let (path, asked) = (file_in(dir.path()), store.asked.lock().unwrap().len());
    let bytes = fs::read(&path).unwrap();
    (noted, asked, path, bytes)
}

#[tokio::test]
async fn killed_after_any_page_a_listing_goes_on_and_asks_for_nothing_twice() {
    let (expected, total, ..) = undisturbed().await;
    for pages_max in 0..total {
        let (store, dir) = (Arc::new(Store { pages_max, ..Store::new() }), tempfile::tempdir().unwrap());
        let broken = list(&store, Some(open(dir.path()))).await;
        assert!(matches!(broken, Err(ArchiveError::Unavailable { .. })), "{broken:?}");
        // The process may still be writing: whatever it has written until now is what a kill leaves.
        let path = file_in(dir.path());
        let bytes = fs::read(&path).unwrap();
        let next = left_behind(&path, &bytes);
        let store = Arc::new(Store::new());
        let found = list(&store, Some(open(next.path()))).await.unwrap();
        assert_eq!(found.digest(), expected.digest(), "killed after {pages_max} pages");
        assert_eq!(store.asked.lock().unwrap().len(), total - pages_in(&bytes), "{pages_max}");
    }
}

#[tokio::test]
async fn a_log_that_is_cut_or_damaged_anywhere_only_has_more_asked_for() {
    let (expected, total, path, whole) = undisturbed().await;
    for at in (0..whole.len()).step_by(1_499) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x10;
        for bytes in [&whole[..at], &flipped] {
            let dir = left_behind(&path, bytes);
            let store = Arc::new(Store::new());
            let found = list(&store, Some(open(dir.path()))).await.unwrap();
            assert_eq!(found.digest(), expected.digest(), "at {at}");
            assert_eq!(store.asked.lock().unwrap().len(), total - pages_in(bytes), "at {at}");
            // What was asked for again is noted behind what counts, and can be gone on with.
            assert_eq!(pages_in(&fs::read(file_in(dir.path())).unwrap()), total, "at {at}");
        }
    }
}

#[tokio::test]
async fn what_is_known_is_told_and_a_listing_that_was_complete_asks_for_nothing() {
    let (expected, _, path, whole) = undisturbed().await;
    let dir = left_behind(&path, &whole);
    let (store, log) = (Arc::new(Store { pages_max: 0, ..Store::new() }), open(dir.path()));
    let known = log.known().unwrap();
    assert_eq!(known.objects, expected.objects.len() as u64);
    assert!(known.prefixes > 20, "{known:?}");
    assert_eq!(list(&store, Some(log)).await.unwrap().digest(), expected.digest());
}

#[tokio::test]
async fn a_prefix_whose_token_is_refused_later_is_listed_from_its_beginning() {
    let (expected, ..) = undisturbed().await;
    for status in [400, 404, 410, 412, 416] {
        let (listed, left) = gone_on_with(status).await;
        let found = Manifest::freeze(location(), selection(), listed.unwrap()).unwrap();
        assert_eq!(found.digest(), expected.digest(), "{status}");
        assert_eq!(left, 0, "every old token was tried once");
    }
}

#[tokio::test]
async fn trouble_that_no_token_causes_keeps_what_is_known() {
    for status in [401, 403, 429, 500, 503] {
        let (listed, _) = gone_on_with(status).await;
        assert!(listed.is_err(), "{status}");
    }
}

/// What a process lists that goes on in the midst of the first prefix, whose old token is answered with `status`; and how many old
/// tokens were not tried.
async fn gone_on_with(status: u16) -> (Result<Listing, ArchiveError>, usize) {
    let (store, dir) = (Arc::new(Store { pages_max: 3, ..Store::new() }), tempfile::tempdir().unwrap());
    list(&store, Some(open(dir.path()))).await.unwrap_err();
    let path = file_in(dir.path());
    let next = left_behind(&path, &fs::read(&path).unwrap());
    let log = open(next.path());
    let standing = log.take_known().unwrap();
    let old: BTreeSet<_> = standing
        .left()
        .into_iter()
        .filter_map(|step| standing.begun(&step).0.map(|old| (step, old)))
        .collect();
    assert!(!old.is_empty());
    drop(log);
    // Tokens of its own making it takes.
    let store = Arc::new(Forgetful { store: Store::new(), old: Mutex::new(old), status });
    let lister = Lister {
        pages: store.clone(),
        prefix: "live/".into(),
        selection: Arc::new(selection()),
        log: Some(Arc::new(open(next.path()))),
        what: "s3://events".into(),
    };
    let ended = lister.list().await;
    let left = store.old.lock().unwrap().len();
    (ended, left)
}

/// A bucket that has forgotten the tokens it once gave.
struct Forgetful {
    store: Store,
    old: Mutex<BTreeSet<(Walk, String)>>,
    status: u16,
}

impl Pages for Forgetful {
    fn page<'a>(
        &'a self,
        step: &'a Walk,
        token: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Page, ServiceFault>> {
        let forgotten =
            token.is_some_and(|token| self.old.lock().unwrap().remove(&(step.clone(), token.to_owned())));
        let refusal = ServiceFault { status: Some(self.status), ..ServiceFault::default() };
        Box::pin(async move { if forgotten { Err(refusal) } else { self.store.answer(step, token) } })
    }
}

#[tokio::test]
async fn a_token_of_this_process_that_is_refused_ends_the_listing() {
    let store = Arc::new(Store { refuses_tokens: true, ..Store::new() });
    assert!(list(&store, None).await.is_err());
}

#[tokio::test]
async fn a_listing_is_begun_anew_when_it_is_old_or_another() {
    let (_, _, path, whole) = undisturbed().await;
    let known = |archive: &ArchiveLocation, selection: &Selection, now| {
        let dir = left_behind(&path, &whole);
        let log = ListingLog::open(dir.path(), archive, selection, now).unwrap().unwrap();
        log.known().is_some()
    };
    let after = |minutes| now() + SignedDuration::from_mins(minutes);
    assert!(known(&location(), &selection(), after(119)));
    assert!(!known(&location(), &selection(), after(121)));
    assert!(!known(&location(), &selection(), after(-10)), "a clock that was set back tells no age");
    assert!(!known(&location(), &Selection::default(), after(1)));
    let other = ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: "li".into() };
    assert!(!known(&other, &selection(), after(1)));
}

#[test]
fn a_log_belongs_to_one_process_and_is_removed_when_the_list_is_frozen_or_old() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let second = ListingLog::open(dir.path(), &location(), &selection(), now()).unwrap();
    assert!(second.is_none());
    log.remove();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    drop(open(dir.path()));
    let later = now() + SignedDuration::from_hours(3);
    let other = ListingLog::open(dir.path(), &location(), &Selection::default(), later).unwrap().unwrap();
    file_in(dir.path());
    assert!(other.known().is_none());
}
