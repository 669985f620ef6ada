use std::io::Write as _;
use std::os::unix::fs::symlink;

use jiff::SignedDuration;

use super::*;
use crate::archive::ObjectWindow;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        for (key, content) in files {
            dir.write(key, content);
        }
        dir
    }

    fn path(&self, key: &str) -> PathBuf {
        self.0.path().join(key)
    }

    fn write(&self, key: &str, content: &str) {
        let path = self.path(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn open(&self) -> LocalArchive {
        LocalArchive::open(self.0.path()).unwrap()
    }
}

fn keys(listing: &Listing) -> Vec<&str> {
    let mut keys: Vec<_> = listing.objects.iter().map(|object| &*object.key).collect();
    keys.sort_unstable();
    keys
}

fn reason(result: Result<ObjectBody, ArchiveError>) -> DefectReason {
    match result {
        Err(ArchiveError::Defect { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_directory_is_listed_with_what_was_left_out() {
    let dir = Dir::new(&[
        ("2026/11/01/05/s-1-2026-11-01-05-10-00-u.gz", "a"),
        ("2026/11/01/05/s-1-2026-11-01-05-50-00-u.gz", "b"),
        ("2026/11/01/06/s-1-2026-11-01-06-10-00-u.gz", "c"),
        ("2026/11/01/07/s-1-2026-11-01-07-00-00-u.gz", "d"),
        ("2026/11/01/06/_SUCCESS", ""),
        ("2026/11/01/06/.part", "x"),
        (".git/2026/11/01/06/x", "x"),
        ("processing-failed/2026/11/01/06/x", "x"),
        ("manifests/x", "x"),
    ]);
    let outer = Dir::new(&[("linked", "e"), ("dir/2026/11/01/06/x", "f")]);
    symlink(outer.path("dir"), dir.path("link-to-dir")).unwrap();
    symlink(outer.path("nothing"), dir.path("link-to-nothing")).unwrap();
    symlink(dir.path("2026"), dir.path("2026/11/loop")).unwrap();
    symlink(outer.path("linked"), dir.path("2026/11/01/06/link")).unwrap();
    let bound = |text: &str| Some(text.parse().unwrap());
    let window = ObjectWindow::new(
        bound("2026-11-01T06:00:00Z"),
        bound("2026-11-01T07:00:00Z"),
        SignedDuration::from_mins(15),
    )
    .unwrap();
    let listing = dir.open().list(&window.into()).await.unwrap();
    assert_eq!(
        keys(&listing),
        [
            "2026/11/01/05/s-1-2026-11-01-05-50-00-u.gz",
            "2026/11/01/06/link",
            "2026/11/01/06/s-1-2026-11-01-06-10-00-u.gz",
        ]
    );
    assert_eq!((listing.skipped, listing.outside), (8, 2));
    assert_eq!(keys(&dir.open().list(&Selection::default()).await.unwrap()).len(), 5);
}

#[tokio::test]
async fn an_object_is_read_as_it_was_listed_or_not_at_all() {
    let dir = Dir::new(&[("a", "first"), ("b/é \n+%20", "odd"), ("c", "gone"), ("d", "grows"), ("e", "")]);
    let archive = dir.open();
    let listing = archive.list(&Selection::default()).await.unwrap();
    let object = |key: &str| listing.objects.iter().find(|object| *object.key == *key).unwrap();
    for (key, content) in [("a", "first"), ("b/é \n+%20", "odd"), ("e", "")] {
        let body = archive.fetch(object(key)).await.unwrap();
        assert_eq!(io::read_to_string(body.reader().unwrap()).unwrap(), content);
    }
    fs::remove_file(dir.path("c")).unwrap();
    assert_eq!(reason(archive.fetch(object("c")).await), DefectReason::Deleted);
    File::options().append(true).open(dir.path("d")).unwrap().write_all(b"!").unwrap();
    assert_eq!(reason(archive.fetch(object("d")).await), DefectReason::Changed);
    // The same size, written later.
    let later = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(7);
    File::options().write(true).open(dir.path("a")).unwrap().set_modified(later).unwrap();
    assert_eq!(reason(archive.fetch(object("a")).await), DefectReason::Changed);
    fs::remove_file(dir.path("e")).unwrap();
    fs::create_dir(dir.path("e")).unwrap();
    assert_eq!(reason(archive.fetch(object("e")).await), DefectReason::Changed);
    assert_eq!(archive.object_requests(), 0);
}

#[tokio::test]
async fn a_key_cannot_lead_out_of_the_archive() {
    let dir = Dir::new(&[("inside/a", "a"), ("secret", "s")]);
    let archive = LocalArchive::open(&dir.path("inside")).unwrap();
    let listing = archive.list(&Selection::default()).await.unwrap();
    let absolute = dir.path("secret").to_str().unwrap().to_owned();
    for key in ["../secret".to_owned(), "a/../../secret".to_owned(), absolute, "./a".to_owned()] {
        let object = ObjectEntry { key: key.into(), ..listing.objects[0].clone() };
        assert_eq!(reason(archive.fetch(&object).await), DefectReason::Denied, "{}", object.key);
    }
}

#[tokio::test]
async fn what_is_no_archive_is_told_apart() {
    use std::os::unix::ffi::OsStrExt as _;
    let dir = Dir::new(&[("file", "x")]);
    assert!(matches!(LocalArchive::open(&dir.path("none")), Err(ArchiveError::NoSuchArchive { .. })));
    assert!(matches!(LocalArchive::open(&dir.path("file")), Err(ArchiveError::NotADirectory { .. })));
    assert!(matches!(LocalArchive::open(&dir.path("file/x")), Err(ArchiveError::NotADirectory { .. })));
    fs::write(dir.0.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "x").unwrap();
    let error = dir.open().list(&Selection::default()).await.unwrap_err();
    assert!(matches!(&error, ArchiveError::Refused { .. }) && error.to_string().contains("UTF-8"), "{error}");
}
