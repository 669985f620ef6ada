//! The segment in `tests/fixtures/segment-v1`, made by `scripts/make-segment` from the documented format alone. Whatever
//! is changed here, it must be read as it is: caches out there hold segments of this format.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::format::{self, Counts};
use super::segment::Opened;
use super::*;
use crate::decode::Spans;

const RECORDS: u32 = 2_900;

fn identity() -> SegmentIdentity<'static> {
    SegmentIdentity {
        archive: r#"{"kind":"directory","path":"/archive"}"#,
        key: "2026/07/01/05/events-é",
        version: Some("v1"),
        etag: "\"e\"",
        size: ByteCount(12_345),
        decoding: r#"{"framing":"auto"}"#,
        decoder_version: 2,
    }
}

fn path() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/segment-v1");
    folder.join(format!("{}.seg", identity().id()))
}

fn record(number: u32) -> Vec<u8> {
    format!("{{\"n\":{number},\"text\":\"{}\"}}", ".".repeat(number as usize % 400)).into_bytes()
}

#[test]
fn format_1_is_read_for_ever() {
    let Opened::Whole(segment) = Segment::open(&File::open(path()).unwrap(), &identity().id()).unwrap()
    else {
        panic!("the fixture is not read any more")
    };
    assert_eq!(segment.records(), RECORDS);
    for number in 0..RECORDS {
        assert_eq!(segment.record(number).unwrap(), record(number), "{number}");
    }
    segment.verify().unwrap();
    let label = segment.label();
    assert_eq!((label.key.as_str(), label.decoding.as_str()), ("2026/07/01/05/events-é", "gzip, newline"));
    assert_eq!(label.defect, "truncated: it ends inside a member (at byte 9)");
}

#[test]
fn every_byte_of_the_fixture_is_covered_by_a_checksum() {
    let bytes = fs::read(path()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    for at in (0..bytes.len()).step_by(997).chain(bytes.len() - 60..bytes.len()).chain(0..80) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        OpenOptions::new().write(true).open(file.path()).unwrap().write_all(&changed).unwrap();
        let found = match Segment::open(&File::open(file.path()).unwrap(), &identity().id()).unwrap() {
            Opened::Whole(segment) => segment.verify().is_err(),
            Opened::Faulty(_) => true,
        };
        assert!(found, "byte {at}");
    }
}

#[test]
fn what_is_written_today_is_the_fixture_but_for_its_time() {
    let fixture = fs::read(path()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(dir.path(), ByteCount(1 << 30)).unwrap();
    let mut writer = cache.create(&identity().id(), Placement::Kept).unwrap();
    let (mut spans, mut at) = (Spans::default(), 0);
    for number in 0..RECORDS {
        let record = record(number);
        spans.push(at, record.len() as u64).unwrap();
        at += record.len() as u64 + 1;
        writer.write_all(&record).unwrap();
        writer.write_all(b"\n").unwrap();
    }
    let label = SegmentLabel {
        decoding: "gzip, newline".into(),
        defect: "truncated: it ends inside a member (at byte 9)".into(),
        ..identity().label()
    };
    writer.publish(&spans, &label).unwrap();
    let name = identity().id().to_string();
    let written = fs::read(dir.path().join("v1").join(&name[..2]).join(format!("{name}.seg"))).unwrap();
    let (time, header_crc) = (48..56, 4092..4096);
    let same = |(at, (a, b)): (usize, (&u8, &u8))| a == b || time.contains(&at) || header_crc.contains(&at);
    assert!(written.len() == fixture.len() && written.iter().zip(&fixture).enumerate().all(same));
}

#[test]
fn data_of_4_gib_and_more_have_wide_offsets() {
    for (data_bytes, width) in [(u64::from(u32::MAX), 4), (1 << 32, 8), (5 << 30, 8)] {
        let counts = Counts::new(1, data_bytes);
        let mut entry = Vec::new();
        format::encode_entry(&mut entry, &counts, data_bytes - 9, 9);
        assert_eq!((entry.len() as u64, counts.entry_bytes()), (width + 4, width + 4));
        assert_eq!(format::decode_entry(&entry, &counts), Ok((data_bytes - 9, 9)));
    }
}
