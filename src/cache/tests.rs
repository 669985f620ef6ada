use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;

use super::*;
use crate::decode::Spans;

const LIMIT: ByteCount = ByteCount(1 << 30);

pub(super) fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(super) fn open(dir: &TempDir) -> Cache {
    Cache::open(dir.path(), LIMIT).unwrap()
}

pub(super) fn identity(key: &str) -> SegmentIdentity<'_> {
    SegmentIdentity {
        archive: "{}",
        key,
        version: None,
        etag: "e",
        size: ByteCount(1),
        decoding: "{}",
        decoder_version: 1,
    }
}

pub(super) fn fill(cache: &Cache, key: &str, data: &[u8], spans: &Spans, placement: Placement) -> Segment {
    let mut writer = cache.create(&identity(key).id(), placement).unwrap();
    writer.write_all(data).unwrap();
    writer.publish(spans, &identity(key).label()).unwrap()
}

/// Lines of `len` bytes each, and where they lie.
pub(super) fn lines(count: u32, len: usize) -> (Vec<u8>, Spans) {
    let (mut data, mut spans) = (Vec::new(), Spans::default());
    for n in 0..count {
        spans.push(data.len() as u64, len as u64).unwrap();
        data.extend(format!("{n:0len$}\n").bytes());
    }
    (data, spans)
}

pub(super) fn path(dir: &TempDir, key: &str) -> PathBuf {
    let name = identity(key).id().to_string();
    dir.path().join("v1").join(&name[..2]).join(name + ".seg")
}

fn used_at(dir: &TempDir, key: &str, seconds: u64) {
    let file = OpenOptions::new().append(true).open(path(dir, key)).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

pub(super) fn temporaries(dir: &TempDir) -> usize {
    fs::read_dir(dir.path().join("tmp")).unwrap().count()
}

fn assert_holds(segment: &Segment, data: &[u8], spans: &Spans) {
    assert_eq!((segment.records(), segment.data_bytes()), (spans.len(), data.len() as u64));
    for (n, span) in (0..).zip(spans) {
        let start = usize::try_from(span.offset).unwrap();
        assert_eq!(segment.record(n).unwrap(), &data[start..start + span.len as usize]);
        assert_eq!(segment.record_len(n), Ok(span.len));
    }
}

#[test]
fn what_was_published_is_found_by_another_process() {
    let dir = scratch();
    let (data, spans) = lines(3_000, 400); // several blocks, and writes larger than the buffer
    let written = fill(&open(&dir), "a", &data, &spans, Placement::Kept);
    let cache = open(&dir);
    let found = cache.lookup(&identity("a").id()).unwrap().unwrap();
    for segment in [&written, &found] {
        assert_holds(segment, &data, &spans);
        segment.verify().unwrap();
    }
    assert_eq!(written.checksum(), found.checksum());
    assert_eq!(cache.usage(), Usage { bytes: ByteCount(found.file_bytes()), segments: 1 });
    assert_eq!(temporaries(&dir), 0);
    let missing = found.record(3_000);
    assert_eq!(missing, Err(SegmentError::NoSuchRecord { record: 3_000, records: 3_000 }));
    assert!(cache.lookup(&identity("b").id()).unwrap().is_none());
}

#[test]
fn an_object_without_records_is_a_segment_too() {
    let dir = scratch();
    let cache = open(&dir);
    fill(&cache, "a", b"", &Spans::default(), Placement::Kept).verify().unwrap();
    assert_eq!(cache.lookup(&identity("a").id()).unwrap().unwrap().records(), 0);
}

#[test]
fn each_part_of_the_identity_gives_another_name() {
    let base = identity("a");
    let names = [
        base.id(),
        SegmentIdentity { archive: "{1}", ..base }.id(),
        SegmentIdentity { key: "b", ..base }.id(),
        SegmentIdentity { version: Some(""), ..base }.id(),
        SegmentIdentity { etag: "f", ..base }.id(),
        SegmentIdentity { size: ByteCount(2), ..base }.id(),
        SegmentIdentity { decoding: "{1}", ..base }.id(),
        SegmentIdentity { decoder_version: 2, ..base }.id(),
        SegmentIdentity { key: "ae", etag: "", ..base }.id(),
    ];
    let distinct: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len());
    assert_eq!(SegmentId::from_hex(&names[0].to_string()), Some(names[0]));
    assert_eq!(SegmentId::from_hex("../../etc/passwd"), None);
}

/// Opens what lies under the name of "a" and reads all of it.
fn read_back(cache: &Cache) -> Option<Result<Vec<u8>, SegmentError>> {
    let segment = cache.lookup(&identity("a").id()).unwrap()?;
    let records = (0..segment.records()).map(|n| segment.record(n).map(<[u8]>::to_vec));
    Some(records.collect::<Result<Vec<_>, _>>().map(|records| records.concat()))
}

#[test]
fn a_flipped_byte_anywhere_is_never_read() {
    let dir = scratch();
    let (data, spans) = lines(5, 9);
    let segment = fill(&open(&dir), "a", &data, &spans, Placement::Kept);
    let whole = fs::read(path(&dir, "a")).unwrap();
    let cache = open(&dir);
    let right = read_back(&cache).unwrap();
    drop(segment);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        // As a new file: no one ever writes to a segment that may be mapped.
        fs::remove_file(path(&dir, "a")).unwrap_or_default();
        fs::write(path(&dir, "a"), damaged).unwrap();
        assert!(read_back(&cache).is_none_or(|read| read.is_err()), "byte {at}");
    }
    fs::remove_file(path(&dir, "a")).unwrap_or_default();
    fs::write(path(&dir, "a"), &whole).unwrap();
    assert_eq!(read_back(&cache), Some(right));
}

/// A mapped page behind the end of its file ends a process that touches it.
#[cfg(target_os = "linux")]
#[test]
fn a_segment_that_is_cut_while_it_is_mapped_is_damaged() {
    let dir = scratch();
    let (data, spans) = lines(20, 40_000);
    fill(&open(&dir), "a", &data, &spans, Placement::Kept);
    let segment = open(&dir).lookup(&identity("a").id()).unwrap().unwrap();
    OpenOptions::new().write(true).open(path(&dir, "a")).unwrap().set_len(300_000).unwrap();
    assert!(matches!(segment.record(0), Err(SegmentError::Damaged(_))));
}

#[test]
fn a_segment_cut_at_any_length_is_removed() {
    let dir = scratch();
    let (data, spans) = lines(5, 9);
    fill(&open(&dir), "a", &data, &spans, Placement::Kept);
    let whole = fs::read(path(&dir, "a")).unwrap();
    let cache = open(&dir);
    for len in 0..whole.len() {
        fs::write(path(&dir, "a"), &whole[..len]).unwrap();
        assert!(cache.lookup(&identity("a").id()).unwrap().is_none(), "{len}");
        assert!(!path(&dir, "a").exists(), "{len}");
    }
    assert_eq!((cache.damaged(), cache.usage().segments), (whole.len() as u64, 0));
    fs::write(path(&dir, "a"), [&whole[..], b"\0"].concat()).unwrap();
    assert!(cache.lookup(&identity("a").id()).unwrap().is_none());
}

#[test]
fn only_the_touched_blocks_are_checked_when_reading_and_all_when_verifying() {
    let dir = scratch();
    let (data, spans) = lines(60, 10 * 1024);
    fill(&open(&dir), "a", &data, &spans, Placement::Kept);
    let mut file = fs::read(path(&dir, "a")).unwrap();
    file[4096 + data.len() - 2] ^= 1;
    fs::remove_file(path(&dir, "a")).unwrap();
    fs::write(path(&dir, "a"), file).unwrap();
    let cache = open(&dir);
    let segment = cache.lookup(&identity("a").id()).unwrap().unwrap();
    assert!(segment.record(0).is_ok() && segment.record(59).is_err());
    let faults = |full| {
        cache.verify(full, |_| true).unwrap().checks.into_iter().filter(|check| check.fault.is_some()).count()
    };
    assert_eq!((faults(false), faults(true)), (0, 1));
}

#[test]
fn a_segment_under_anothers_name_is_a_miss() {
    let dir = scratch();
    let cache = open(&dir);
    let (data, spans) = lines(2, 5);
    fill(&cache, "a", &data, &spans, Placement::Kept);
    fs::create_dir_all(path(&dir, "b").parent().unwrap()).unwrap();
    fs::rename(path(&dir, "a"), path(&dir, "b")).unwrap();
    assert!(cache.lookup(&identity("b").id()).unwrap().is_none());
    assert_eq!(cache.damaged(), 1);
}

#[test]
fn another_format_version_is_a_miss_and_stays() {
    let dir = scratch();
    let cache = open(&dir);
    let (data, spans) = lines(2, 5);
    fill(&cache, "a", &data, &spans, Placement::Kept);
    let mut file = fs::read(path(&dir, "a")).unwrap();
    file[8] = 2;
    fs::remove_file(path(&dir, "a")).unwrap();
    fs::write(path(&dir, "a"), file).unwrap();
    assert!(cache.lookup(&identity("a").id()).unwrap().is_none());
    assert!(path(&dir, "a").exists());
    assert_eq!(cache.damaged(), 0);
    fill(&cache, "b", &data, &spans, Placement::Kept);
    let verified = cache.verify(true, |_| true).unwrap();
    let found: Vec<_> = verified.checks.iter().map(|check| (check.id, check.fault.is_some())).collect();
    assert_eq!((found, verified.other_version), (vec![(identity("b").id(), false)], 1));
    // Nor is it written over.
    let before = fs::read(path(&dir, "a")).unwrap();
    let mut writer = cache.create(&identity("a").id(), Placement::Kept).unwrap();
    writer.write_all(&data).unwrap();
    let (segment, placement) = writer.place(&spans, &identity("a").label()).unwrap();
    assert_eq!(placement, Placement::Passing);
    assert_holds(&segment, &data, &spans);
    assert!(fs::read(path(&dir, "a")).unwrap() == before);
}

#[test]
fn what_is_not_published_leaves_nothing() {
    let dir = scratch();
    let cache = open(&dir);
    let mut writer = cache.create(&identity("a").id(), Placement::Kept).unwrap();
    writer.write_all(&vec![0; 3 << 20]).unwrap();
    assert_eq!((temporaries(&dir), writer.data_bytes()), (1, 3 << 20));
    // A second process does not take it for abandoned.
    drop(open(&dir));
    assert_eq!(temporaries(&dir), 1);
    drop(writer);
    assert_eq!(temporaries(&dir), 0);
    // What a crash leaves has no lock.
    File::create(dir.path().join("tmp/abandoned")).unwrap();
    drop(open(&dir));
    assert_eq!((temporaries(&dir), cache.usage().segments), (0, 0));
}

#[test]
fn a_passing_segment_has_no_name() {
    let dir = scratch();
    let cache = open(&dir);
    let (data, spans) = lines(10, 5);
    let segment = fill(&cache, "a", &data, &spans, Placement::Passing);
    assert_holds(&segment.clone(), &data, &spans);
    assert_eq!((temporaries(&dir), cache.usage().segments), (0, 0));
    assert!(cache.lookup(&identity("a").id()).unwrap().is_none());
}

#[test]
fn the_least_recently_used_unpinned_segments_make_room() {
    let dir = scratch();
    let (data, spans) = lines(100, 99);
    let keys = ["a", "b", "c"];
    let filler = open(&dir);
    let segments = keys.map(|key| fill(&filler, key, &data, &spans, Placement::Kept));
    let size = segments[0].file_bytes();
    keys.iter().zip(1..).for_each(|(key, second)| used_at(&dir, key, second));
    let cache = Cache::open(dir.path(), ByteCount(4 * size)).unwrap();
    cache.lookup(&identity("a").id()).unwrap().unwrap();
    let first = cache.make_room(ByteCount(size), &|_| false).unwrap().unwrap();
    assert_eq!((first.bytes(), cache.usage().segments), (ByteCount(size), 3));
    // "a" was used last and "b" is pinned, so "c" goes; its reader goes on.
    let pinned = |id: &SegmentId| *id == identity("b").id();
    let second = cache.make_room(ByteCount(size), &pinned).unwrap().unwrap();
    assert_eq!(keys.map(|key| path(&dir, key).exists()), [true, true, false]);
    assert_holds(&segments[2], &data, &spans);
    // More than could be freed: nothing goes.
    assert!(cache.make_room(ByteCount(4 * size), &pinned).unwrap().is_none());
    assert_eq!(cache.usage().segments, 2);
    drop((first, second));
    let mut guessed = cache.make_room(ByteCount(size), &|_| true).unwrap().unwrap();
    assert!(!cache.grow(&mut guessed, ByteCount(3 * size), &|_| true).unwrap());
    assert_eq!(guessed.bytes().0, size, "what has no room stays what it was");
    assert!(cache.grow(&mut guessed, ByteCount(1), &|_| true).unwrap(), "less than was guessed fits");
    assert!(cache.grow(&mut guessed, ByteCount(2 * size), &|_| true).unwrap());
    assert!(cache.make_room(ByteCount(1), &|_| true).unwrap().is_none(), "it holds all that was left");
    drop(guessed);
    assert!(cache.make_room(ByteCount(2 * size), &|_| true).unwrap().is_some());
}

#[test]
fn ls_says_what_a_segment_is_and_prune_takes_the_oldest() {
    let dir = scratch();
    let cache = open(&dir);
    let (data, spans) = lines(4, 5);
    let keys = ["old", "odd\u{1b}[31m/../ключ", "new"];
    for (key, second) in keys.iter().zip([10, 20, 30]) {
        fill(&cache, key, &data, &spans, Placement::Kept);
        used_at(&dir, key, second);
    }
    let list = cache.ls().unwrap();
    let shown: Vec<_> = list.iter().map(|info| (info.key.as_str(), info.records)).collect();
    assert_eq!(shown, [("old", Some(4)), ("odd\\u{1b}[31m/../ключ", Some(4)), ("new", Some(4))]);
    assert!(list.iter().all(|info| info.created.is_some() && info.bytes.0 > 4096));
    let removed = cache.prune(Some(UNIX_EPOCH + Duration::from_secs(20)), None).unwrap();
    assert_eq!((removed.segments, cache.usage().segments), (1, 2));
    cache.prune(None, Some(list[0].bytes)).unwrap();
    assert!(path(&dir, "new").exists() && cache.usage().segments == 1);
}

#[test]
fn a_long_label_is_cut_between_characters() {
    let dir = scratch();
    let cache = open(&dir);
    let key = "é".repeat(2_000);
    fill(&cache, &key, b"", &Spans::default(), Placement::Kept);
    assert_eq!(cache.ls().unwrap()[0].key, "é".repeat(LABEL_BYTES_MAX / 2));
}

#[test]
fn purge_needs_the_cache_for_itself() {
    let dir = scratch();
    let cache = open(&dir);
    fill(&cache, "a", b"", &Spans::default(), Placement::Kept);
    let other = open(&dir);
    assert!(matches!(cache.purge(), Err(CacheError::Busy { .. })));
    assert!(cache.lookup(&identity("a").id()).unwrap().is_some());
    drop(other);
    assert_eq!(cache.purge().unwrap().segments, 1);
    assert!(cache.lookup(&identity("a").id()).unwrap().is_none());
    fill(&cache, "a", b"", &Spans::default(), Placement::Kept);
    assert_eq!(cache.usage().segments, 1);
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused() {
    let dir = scratch();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    for mode in [0o777, 0o720, 0o702, 0o1777] {
        fs::set_permissions(&shared, Permissions::from_mode(mode)).unwrap();
        let error = Cache::open(&shared, LIMIT).unwrap_err();
        assert!(matches!(error, CacheError::Exposed { found, .. } if found == mode), "{error}");
    }
    let link = dir.path().join("link");
    symlink(&shared, &link).unwrap();
    assert!(matches!(Cache::open(&link, LIMIT), Err(CacheError::Exposed { .. })));
    fs::set_permissions(&shared, Permissions::from_mode(0o755)).unwrap();
    assert!(Cache::open(&link, LIMIT).is_ok());
    let file = dir.path().join("file");
    File::create(&file).unwrap();
    assert!(matches!(Cache::open(&file, LIMIT), Err(CacheError::NotADirectory { .. })));
}

#[test]
fn files_and_folders_are_private() {
    let dir = scratch();
    let root = dir.path().join("deep/cache");
    let cache = Cache::open(&root, LIMIT).unwrap();
    fill(&cache, "a", b"", &Spans::default(), Placement::Kept);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let id = identity("a").id().to_string();
    let folder = root.join("v1").join(&id[..2]);
    let folders = [mode(&root), mode(&root.join("v1")), mode(&root.join("tmp")), mode(&folder)];
    assert_eq!(folders, [0o700; 4]);
    drop(cache.make_room(ByteCount(1), &|_| false).unwrap());
    let claims: Vec<_> =
        fs::read_dir(root.join("claims")).unwrap().map(|claim| mode(&claim.unwrap().path())).collect();
    assert_eq!((claims, mode(&root.join("claims.lock"))), (vec![0o600], 0o600));
    assert_eq!([mode(&root.join("lock")), mode(&folder.join(id + ".seg"))], [0o600; 2]);
}

#[test]
fn a_link_in_place_of_a_segment_is_not_followed() {
    let dir = scratch();
    let cache = open(&dir);
    fill(&cache, "a", b"", &Spans::default(), Placement::Kept);
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(path(&dir, "a"), &elsewhere).unwrap();
    symlink(&elsewhere, path(&dir, "a")).unwrap();
    assert!(cache.lookup(&identity("a").id()).is_err());
}

#[test]
fn a_full_disk_has_its_own_name() {
    let full = CacheError::from(io::Error::from(io::ErrorKind::StorageFull));
    let quota = CacheError::from(io::Error::from(io::ErrorKind::QuotaExceeded));
    assert!(matches!((full, quota), (CacheError::NoSpace(_), CacheError::NoSpace(_))));
}

#[test]
fn a_directory_that_cannot_be_written_to_says_what_to_do() {
    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem] {
        let error = CacheError::from(io::Error::from(kind)).when_opening(Path::new("/the/cache"));
        let said = error.to_string();
        assert!(
            error.is_not_writable() && said.contains("/the/cache") && said.contains("--cache-dir"),
            "{said}"
        );
    }
    let other = CacheError::from(io::Error::from(io::ErrorKind::InvalidInput)).when_opening(Path::new("/"));
    assert!(matches!(other, CacheError::Io(_)));
}

#[cfg(target_os = "linux")]
#[test]
fn network_file_systems_are_known_by_their_numbers() {
    // As `stat -f` of GNU coreutils 9 names them, and as a 32-bit system gives the two whose highest bit is set.
    for (kind, name) in [
        (0x6969, "NFS"),
        (0x517b, "SMB"),
        (0xff53_4d42, "CIFS"),
        (i128::from(0xff53_4d42_u32.cast_signed()), "CIFS"),
        (i128::from(0xfe53_4d42_u32.cast_signed()), "SMB2"),
        (0x6573_5546, "FUSE"),
        (0x6b41_4653, "AFS"),
        (0x00c3_6400, "Ceph"),
        (0x0bd0_0bd0, "Lustre"),
        (0x4750_4653, "GPFS"),
        (0x1983_0326, "BeeGFS"),
    ] {
        assert_eq!(directory::network(kind), Some(name), "{kind:x}");
    }
    // ext, XFS, Btrfs, tmpfs, ZFS, overlayfs, F2FS, and 9p as sandboxes use it.
    for local in
        [0x0102_1997, 0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x2fc1_2fc1, 0x794c_7630, 0xf2f5_2010]
    {
        assert_eq!(directory::network(local), None, "{local:x}");
    }
}

#[test]
fn what_another_process_needs_stays_until_it_ends() {
    let directory = scratch();
    let (ours, theirs) = (open(&directory), open(&directory));
    let (data, spans) = lines(1, 9);
    let put = |cache, key| fill(cache, key, &data, &spans, Placement::Kept);
    let (one, other) = (put(&theirs, "a"), put(&ours, "b"));
    let pin = theirs.pin([*one.id()].into_iter()).unwrap();
    let _own = ours.pin([*other.id()].into_iter()).unwrap();
    let all = ours.limit();
    let none = |_: &SegmentId| false;
    assert!(ours.make_room(all, &none).unwrap().is_none(), "a is needed");
    assert_eq!(ours.prune(None, Some(ByteCount(0))).unwrap().segments, 1, "b was only ours to keep");
    drop(pin);
    assert!(ours.make_room(all, &none).unwrap().is_some());
    assert_eq!(ours.usage().segments, 0);
}

#[test]
fn a_segment_is_filled_by_one_at_a_time() {
    let directory = scratch();
    let (ours, theirs) = (open(&directory), open(&directory));
    let id = identity("a").id();
    let held = theirs.begin_fill(&id).unwrap().unwrap();
    assert!(ours.begin_fill(&id).unwrap().is_none());
    assert!(ours.begin_fill(&identity("b").id()).unwrap().is_some());
    // Opening the cache once more takes nothing from those at work.
    let third = open(&directory);
    assert!(third.begin_fill(&id).unwrap().is_none());
    drop(held);
    assert!(ours.begin_fill(&id).unwrap().is_some());
}
