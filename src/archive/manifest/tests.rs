use super::*;
use crate::archive::ObjectWindow;

fn entry(key: &str, time: Option<&str>) -> ObjectEntry {
    ObjectEntry {
        etag: "\"abc\"".into(),
        modified: "2026-11-02T00:00:00Z".parse().unwrap(),
        time: time.map(|time| time.parse().unwrap()),
        ..ObjectEntry::of(key, 10)
    }
}

fn manifest() -> Manifest {
    let at = |text: &str| Some(text.parse().unwrap());
    let window =
        ObjectWindow::new(at("2026-11-01T00:00:00Z"), None, jiff::SignedDuration::from_mins(15)).unwrap();
    let archive = ArchiveLocation::S3 { endpoint: None, bucket: "dumps".into(), prefix: "orders/".into() };
    let objects = vec![
        entry("s-9-b", Some("2026-11-01T02:00:00Z")),
        entry("s-10-a\n\u{1}é/../\"", Some("2026-11-01T02:00:00Z")),
        entry("z", Some("2026-10-31T23:50:00Z")),
        entry("untimed", None),
        entry("s-10-c", Some("2026-11-01T01:00:00Z")),
        entry("s-10-c", Some("2026-11-01T01:00:00Z")),
    ];
    Manifest::freeze(
        archive,
        window.into(),
        Listing { objects, skipped: 3, outside: 4, excluded: 5, archived: 6 },
    )
    .unwrap()
}

fn written() -> (tempfile::TempDir, PathBuf, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest");
    manifest().write(&path).unwrap();
    let bytes = fs::read(&path).unwrap();
    (dir, path, bytes)
}

#[test]
fn objects_are_sorted_by_time_then_key_and_each_stands_once() {
    let manifest = manifest();
    let keys: Vec<_> = manifest.objects.iter().map(|object| &*object.key).collect();
    assert_eq!(keys, ["untimed", "z", "s-10-c", "s-10-a\n\u{1}é/../\"", "s-9-b"]);
    assert_eq!((manifest.before_window(), manifest.bytes()), (1, ByteCount(50)));
    assert_eq!(&*manifest.object(1).unwrap().key, "z");
    assert_eq!(manifest.object(5), None);
}

#[test]
fn what_was_written_is_read_and_nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, path, bytes) = written();
    assert_eq!(Manifest::read(&path).unwrap(), manifest());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(bytes.split(|b| *b == b'\n').count(), 7);
    manifest().write(&path).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_manifest_cut_at_any_length_is_refused() {
    let (_dir, path, bytes) = written();
    // Without its last line feed it is still whole.
    for length in 0..bytes.len() - 1 {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(Manifest::read(&path).is_err(), "cut to {length}");
    }
}

#[test]
fn a_manifest_with_any_byte_flipped_is_refused_or_says_the_same() {
    let (_dir, path, bytes) = written();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        fs::write(&path, &damaged).unwrap();
        if let Ok(read) = Manifest::read(&path) {
            assert_eq!(read, manifest(), "byte {place}");
        }
    }
}

#[test]
fn each_defect_has_its_own_error() {
    let (_dir, path, bytes) = written();
    let text = String::from_utf8(bytes).unwrap();
    let (header, objects) = text.split_once('\n').unwrap();
    let read = |text: String| {
        fs::write(&path, text).unwrap();
        Manifest::read(&path).unwrap_err()
    };
    assert!(matches!(
        read(format!("{}\n{objects}", header.replace("\"version\":2", "\"version\":3,\"new\":0"))),
        ManifestError::Version { found: 3, .. }
    ));
    assert!(matches!(read(format!("{header}\n{objects}{{}}\n")), ManifestError::Line { line: 7, .. }));
    let first = objects.lines().next().unwrap();
    assert!(matches!(read(format!("{text}{first}\n")), ManifestError::Count { expected: 5, found: 6, .. }));
    assert!(matches!(read(text.replace("\"size\":10", "\"size\":11")), ManifestError::Digest { .. }));
    assert!(matches!(
        read(text.replace("\"size\":10", "\"size\":10,\"sized\":1")),
        ManifestError::Line { line: 2, .. }
    ));
    let long = "x".repeat(usize::try_from(LINE_BYTES_MAX).unwrap());
    assert!(matches!(read(format!("{header}\n{long}\n")), ManifestError::LineTooLong { line: 2, .. }));
    assert!(matches!(Manifest::read(Path::new("/nonexistent/manifest")), Err(ManifestError::Io { .. })));
}

#[test]
fn what_was_written_can_be_read_however_many_records_of_an_object_are_meant() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("manifest.jsonl");
    let mut many = manifest();
    many.objects[0].only = Some((0..40_000).map(|record| (2 * record, 2 * record)).collect());
    many.write(&path).unwrap();
    assert_eq!(Manifest::read(&path).unwrap(), many);
    many.objects[0].only = Some((0..4_000_000).map(|record| (1 << 31 | record, 1 << 31 | record)).collect());
    assert!(matches!(many.write(&path), Err(ManifestError::Io { .. })), "never what cannot be read");
}

#[test]
fn the_fuzz_target_begins_with_whole_manifests() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/manifest");
    assert_eq!(Manifest::read(&corpus.join("run")).unwrap().objects.len(), 5);
    let retry = Manifest::read(&corpus.join("retry")).unwrap();
    assert_eq!(retry.objects.first().and_then(|object| object.only.as_ref()).map(|only| only.len()), Some(2));
    // An edited one is sealed anew, and one with a count that lies is not read all the same.
    let edited = fs::read_to_string(corpus.join("run")).unwrap().replace("s-10-c", "s-10-d");
    assert_eq!(sealed(edited.as_bytes()).map(|(_, fits)| fits), Some(true));
    let lies = edited.replace("\"objects\":5", "\"objects\":6");
    assert_eq!(sealed(lies.as_bytes()).map(|(_, fits)| fits), Some(false));
}

#[test]
fn the_digest_tells_manifests_apart() {
    let (one, mut other) = (manifest(), manifest());
    assert_eq!(one.digest(), other.digest());
    other.objects[0].etag = "x".into();
    assert_ne!(one.digest(), other.digest());
}
