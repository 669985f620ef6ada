//! What holds for any file that should be a segment: see [`crate::fuzz`].

#![expect(clippy::expect_used, reason = "what fails here is a finding")]

use std::io::Write as _;
use std::sync::OnceLock;

use super::format::{BLOCK_BYTES, Counts, Footer, HEADER_BYTES, Header};
use super::segment::{Opened, Segment};
use super::{Cache, Placement, SegmentId, SegmentLabel};
use crate::decode::Spans;
use crate::record::ByteCount;

const ID: SegmentId = SegmentId([7; 32]);
const RECORDS: [&[u8]; 4] = [b"{\"a\":1}", b"", b"two words", &[0xff; 300]];

/// The bytes of a whole segment.
fn whole() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::open(folder.path(), ByteCount(1 << 30)).expect("a cache");
        let mut writer = cache.create(&ID, Placement::Kept).expect("a writer");
        let mut spans = Spans::default();
        for record in RECORDS {
            spans.push(writer.data_bytes(), record.len() as u64).expect("few records");
            writer.write_all(record).expect("room");
        }
        let label = SegmentLabel { key: "k".into(), decoding: "plain".into(), ..SegmentLabel::default() };
        writer.publish(&spans, &label).expect("room");
        std::fs::read(cache.directory.path_of(&ID)).expect("it was just written")
    })
}

fn open(file: &[u8]) -> Option<Segment> {
    let mut on_disk = tempfile::tempfile().expect("a file");
    on_disk.write_all(file).expect("room");
    match Segment::open(&on_disk, &ID).expect("the disk is well") {
        Opened::Faulty(_) => None,
        Opened::Whole(segment) => Some(segment),
    }
}

fn read(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let segment = open(file)?;
    (0..segment.records()).map(|record| segment.record(record).ok().map(<[u8]>::to_vec)).collect()
}

/// Any file at all is read without a panic; a segment with some bytes changed is an error, or says what it said.
pub fn segment(data: &[u8]) {
    let _ = read(data);
    let mut changed = whole().to_vec();
    let (edits, rest) = data.as_chunks::<3>();
    for [high, low, with] in edits.iter().take(16) {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % changed.len();
        if let Some(byte) = changed.get_mut(at) {
            *byte ^= with;
        }
    }
    if let [cut] = rest {
        changed.truncate(changed.len() - usize::from(*cut));
    }
    if let Some(records) = read(&changed) {
        assert_eq!(records, RECORDS);
    }
    hostile(data);
}

/// What a file of this input's own making is: every checksum right, or all but those of the blocks.
fn hostile(data: &[u8]) {
    let Some(([how, input @ ..], body)) = data.split_first_chunk::<13>() else { return };
    let [r0, r1, r2, r3, bytes @ ..] = *input;
    let (mut records, mut data_bytes) = (u32::from_le_bytes([r0, r1, r2, r3]), u64::from_le_bytes(bytes));
    let as_they_come = how & 1 != 0;
    if !as_they_come {
        // A few records in what may be several blocks.
        let bytes_max = if how & 2 == 0 { 4096 } else { 2 * BLOCK_BYTES as u64 + 9 };
        (records, data_bytes) = (records % 64, data_bytes % bytes_max);
    }
    let counts = Counts::new(records, data_bytes);
    let of_header = if how & 4 == 0 { counts } else { Counts::new(records ^ 1, data_bytes) };
    let sealed = how & 8 == 0;

    let mut body = body.to_vec();
    let small = usize::try_from(data_bytes).ok().filter(|_| !as_they_come);
    if let Some(data_bytes) = small {
        body.resize(data_bytes + usize::try_from(counts.index_bytes()).expect("it is small"), 0);
        let (data, index) = body.split_at_mut(data_bytes);
        let sums = index.split_at_mut(usize::try_from(counts.entries_bytes()).expect("it is small")).1;
        for (block, sum) in data.chunks(BLOCK_BYTES).zip(sums.as_chunks_mut::<4>().0).filter(|_| sealed) {
            *sum = crc32c::crc32c(block).to_le_bytes();
        }
    }
    let index = body.get(small.unwrap_or(0)..).unwrap_or_default();
    let entries = usize::try_from(counts.entries_bytes()).unwrap_or(usize::MAX);
    let checksum = crc32c::crc32c(index.get(entries..).unwrap_or_default());
    let footer = footer(counts, crc32c::crc32c(index), checksum);
    let header = Header { id: ID, created: 0, counts: of_header, label: SegmentLabel::default() };
    let file = [header.encode(), body.clone(), footer].concat();

    let segment = open(&file);
    assert!(segment.is_some() || as_they_come || how & 4 != 0);
    let Some(segment) = segment else { return };
    assert_eq!(segment.file_bytes(), file.len() as u64);
    assert_eq!(Some(file.len() as u64), counts.file_bytes());
    let data = file.get(HEADER_BYTES..).unwrap_or_default();
    let data = data.get(..usize::try_from(segment.data_bytes()).expect("it is there")).unwrap_or_default();
    let mut all = true;
    for record in 0..segment.records() {
        let found = segment.record(record).ok();
        let expected =
            entry(index, record).and_then(|(offset, len)| data.get(offset..offset.checked_add(len)?));
        // No byte is handed out that is not the record's, and none is held back of what is right.
        assert!(found.is_none() || found == expected);
        assert!(found == expected || !sealed || as_they_come);
        all &= found.is_some();
    }
    assert!(segment.verify().is_err() || all);
    assert!(segment.verify().is_ok() || !all || !sealed || as_they_come);
}

/// A footer with all of its checksums right, of a file that may be longer than any.
fn footer(counts: Counts, index_crc: u32, checksum: u32) -> Vec<u8> {
    if counts.file_bytes().is_some() {
        return Footer { counts, index_crc, checksum }.encode();
    }
    let honest = Footer { counts: Counts::new(0, 0), index_crc, checksum }.encode();
    let mut bytes = counts.records.to_le_bytes().to_vec();
    bytes.extend(counts.offset_bytes.to_le_bytes());
    bytes.extend(counts.data_bytes.to_le_bytes());
    bytes.extend(counts.data_bytes.wrapping_add(HEADER_BYTES as u64).to_le_bytes());
    bytes.extend(counts.index_bytes().to_le_bytes());
    bytes.extend([index_crc, checksum].iter().flat_map(|sum| sum.to_le_bytes()));
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    bytes.extend(honest.last_chunk::<8>().expect("a footer is longer"));
    bytes
}

/// Where the index, whose offsets are short, says that a record lies.
fn entry(index: &[u8], record: u32) -> Option<(usize, usize)> {
    let [o0, o1, o2, o3, l0, l1, l2, l3] = *index.as_chunks::<8>().0.get(record as usize)?;
    let number = |bytes| usize::try_from(u32::from_le_bytes(bytes)).ok();
    number([o0, o1, o2, o3]).zip(number([l0, l1, l2, l3]))
}
