//! A segment while it is written: what its file takes is accounted for before it takes it.
//!
//! The room that it was let in with is a guess. Where more comes than was guessed, more is reserved first; where there is
//! no more, the segment passes through from then on. It is not stopped: what lies before it is settled by itself, but
//! what has been decoded of it would have been in vain. When it is whole and its size is known, it is asked once more
//! whether it can stay.

use std::io::{self, Write};

use crate::cache::{CacheError, Placement, Segment, SegmentLabel, SegmentWriter};
use crate::decode::Spans;
use crate::run::space::{Room, Space};

/// A file that grows reserves a quarter more at once, and no more than this: else it would look for room with each line.
const STEP_BYTES_MAX: u64 = 1024 * 1024;

pub(super) struct Growing<'a> {
    writer: SegmentWriter,
    space: &'a Space,
    number: u32,
    room: Room,
    /// What was guessed that it would take.
    guess: u64,
    /// It was to be kept, and there was no room for what came.
    outgrown: bool,
}

impl<'a> Growing<'a> {
    /// Object `number` goes into `writer`, having been let into `room`.
    pub(super) fn new(writer: SegmentWriter, space: &'a Space, number: u32, room: Room) -> Self {
        let guess = room.bytes();
        Self { writer, space, number, room, guess, outgrown: false }
    }

    /// The writer, to be renamed.
    pub(super) fn writer(&mut self) -> &mut SegmentWriter {
        &mut self.writer
    }

    /// Finishes the file; where it lies then.
    pub(super) fn publish(
        mut self,
        spans: &Spans,
        label: &SegmentLabel,
    ) -> Result<(Segment, Placement), CacheError> {
        let bytes = self.writer.file_bytes(spans.len());
        self.account(bytes, false);
        if self.outgrown {
            match self.space.keep_whole(self.number, bytes) {
                Some(room) => self.room = room,
                None => self.writer.pass(),
            }
        }
        self.writer.place(spans, label)
    }

    /// The file will take `bytes`, and probably goes on to grow.
    fn account(&mut self, bytes: u64, grows: bool) {
        if bytes <= self.room.bytes() {
            return;
        }
        let more = if grows { (bytes / 4).min(STEP_BYTES_MAX) } else { 0 };
        let wanted = bytes.saturating_add(more);
        if let Room::Kept(reservation) = &mut self.room {
            let mut settle = |bytes| self.space.settle(reservation, self.guess, bytes);
            if settle(wanted) || more > 0 && settle(bytes) {
                return;
            }
            self.space.has_no_room(bytes);
            self.outgrown = true;
        }
        self.room = Room::Passing(wanted);
        self.space.passing(self.number, wanted);
    }
}

impl Write for Growing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.account(self.writer.data_bytes().saturating_add(bytes.len() as u64), true);
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::cache::{Cache, SegmentId};
    use crate::record::ByteCount;
    use crate::run::segments::Segments;

    const LIMIT: u64 = 1_000_000;

    #[tokio::test]
    async fn a_file_never_takes_more_than_is_accounted_for_and_passes_through_when_there_is_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(directory.path(), ByteCount(LIMIT)).unwrap());
        let segments = Arc::new(Segments::new(cache.clone()));
        let space = Space::new(cache.clone(), segments, true, Some(ByteCount(LIMIT)));
        let _in_work = space.begin(7);
        let room = space.keep(7, || 1_000).await.unwrap();
        assert_eq!(room.placement(), Placement::Kept);
        let writer = cache.create(&SegmentId([7; 32]), room.placement()).unwrap();
        let mut growing = Growing::new(writer, &space, 7, room);
        let mut kept = 0;
        for piece in 1..=2_000 {
            growing.write_all(&[b'x'; 1_000]).unwrap();
            assert!(growing.room.bytes() >= piece * 1_000, "{piece}");
            match growing.room {
                Room::Kept(_) => kept = piece * 1_000,
                // What was reserved in the cache is free at once.
                Room::Passing(_) => {
                    assert!(cache.make_room(ByteCount(LIMIT), &|_| false).unwrap().is_some());
                }
            }
        }
        assert!(kept > LIMIT / 2 && kept <= LIMIT, "{kept}");
        let (segment, placement) = growing.publish(&Spans::default(), &SegmentLabel::default()).unwrap();
        assert_eq!((placement, segment.data_bytes()), (Placement::Passing, 2_000_000));
        assert_eq!(cache.usage().segments, 0);
    }

    /// A cache of that limit in which sixty others of `bytes` lie.
    fn beside_others(directory: &std::path::Path, bytes: usize) -> (Arc<Cache>, Space) {
        let cache = Arc::new(Cache::open(directory, ByteCount(LIMIT)).unwrap());
        for other in 0..60 {
            let mut writer = cache.create(&SegmentId([other; 32]), Placement::Kept).unwrap();
            writer.write_all(&vec![b'x'; bytes]).unwrap();
            writer.publish(&Spans::default(), &SegmentLabel::default()).unwrap();
        }
        let segments = Arc::new(Segments::new(cache.clone()));
        let space = Space::new(cache.clone(), segments, true, Some(ByteCount(LIMIT)));
        (cache, space)
    }

    #[tokio::test]
    async fn one_that_outgrows_its_guess_by_far_takes_no_more_than_a_part_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, space) = beside_others(directory.path(), 15_000);
        let _in_work = space.begin(7);
        let room = space.keep(7, || 1_000).await.unwrap();
        let held = cache.usage().bytes.0;
        let writer = cache.create(&SegmentId([70; 32]), room.placement()).unwrap();
        let mut growing = Growing::new(writer, &space, 7, room);
        for _ in 0..2_000 {
            growing.write_all(&[b'x'; 1_000]).unwrap();
        }
        assert_eq!(growing.room.placement(), Placement::Passing);
        let evicted = held - cache.usage().bytes.0;
        assert!(evicted > 0 && evicted <= LIMIT / 5, "{evicted}");
    }

    #[tokio::test]
    async fn one_that_outgrew_its_guess_by_far_and_came_to_a_good_end_stays_where_others_can_go() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, space) = beside_others(directory.path(), 10_000);
        let _in_work = space.begin(7);
        let room = space.keep(7, || 1_000).await.unwrap();
        let mut growing =
            Growing::new(cache.create(&SegmentId([70; 32]), Placement::Kept).unwrap(), &space, 7, room);
        growing.write_all(&vec![b'x'; 800_000]).unwrap();
        assert_eq!(growing.room.placement(), Placement::Passing);
        let (_, placement) = growing.publish(&Spans::default(), &SegmentLabel::default()).unwrap();
        assert_eq!(placement, Placement::Kept);
        assert!(cache.holds(&SegmentId([70; 32])) && cache.usage().bytes <= ByteCount(LIMIT));
    }
}
