//! What holds for any file that should be a segment: see [`crate::fuzz`].

#![expect(clippy::expect_used, reason = "what fails here is a finding")]

use std::io::Write as _;
use std::sync::OnceLock;

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

fn read(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut on_disk = tempfile::tempfile().expect("a file");
    on_disk.write_all(file).expect("room");
    match Segment::open(&on_disk, &ID).expect("the disk is well") {
        Opened::Faulty(_) => None,
        Opened::Whole(segment) => {
            (0..segment.records()).map(|record| segment.record(record).ok().map(<[u8]>::to_vec)).collect()
        }
    }
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
}
