//! Aggregates of the Kinesis Producer Library, one behind the other.
//!
//! They have no length in front: an aggregate ends where, at the end of a field of its message, the next sixteen
//! bytes are the message's MD5. One aggregate is in memory at a time.

use md5::{Digest as _, Md5};

use super::aggregate::{self, MAGIC, MD5_BYTES};
use super::json::Misfit;
use super::spans::{SpanError, Spans};

#[derive(Default)]
pub(super) struct KplFramer {
    spans: Spans,
    /// Where `held` begins.
    start: u64,
    held: Vec<u8>,
    /// Bytes of `held` that were taken already. They go once a piece, not once an aggregate: an object may hold one every
    /// twenty bytes.
    taken: usize,
    /// Bytes behind these whose fields are whole and in `sum`.
    checked: usize,
    sum: Md5,
}

impl KplFramer {
    /// What does not fit, if something does not, and where.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Result<(), Misfit>, SpanError> {
        let mut rest = chunk;
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at_checked(aggregate::BYTES_MAX).unwrap_or((rest, &[]));
            rest = behind;
            self.held.extend_from_slice(piece);
            loop {
                if !aggregate::may_begin(self.rest()) {
                    let what = "something that is no aggregate of the Kinesis Producer Library";
                    return Ok(Err(Misfit { offset: self.start, what }));
                }
                match self.end_of_first() {
                    Some(end) => self.take(end)?,
                    None if self.rest().len() > aggregate::BYTES_MAX => {
                        let what = "an aggregate whose checksum does not come";
                        return Ok(Err(Misfit { offset: self.start, what }));
                    }
                    None => break,
                }
            }
            self.held.drain(..self.taken);
            self.taken = 0;
        }
        Ok(Ok(()))
    }

    /// The records, and whether the last aggregate is whole.
    pub(super) fn finish(self) -> (Spans, bool) {
        let is_whole = self.rest().is_empty();
        (self.spans, is_whole)
    }

    /// What is held and not taken.
    fn rest(&self) -> &[u8] {
        self.held.get(self.taken..).unwrap_or_default()
    }

    /// Where the first aggregate in the rest ends, once all of it is there.
    fn end_of_first(&mut self) -> Option<usize> {
        self.checked = self.checked.max(MAGIC.len());
        loop {
            let rest = self.held.get(self.taken + self.checked..)?;
            let found: [u8; MD5_BYTES] = self.sum.clone().finalize().into();
            if *rest.first_chunk::<MD5_BYTES>()? == found {
                return Some(self.checked + MD5_BYTES);
            }
            let field = aggregate::field_bytes(rest)?;
            self.sum.update(rest.get(..field)?);
            self.checked += field;
        }
    }

    fn take(&mut self, end: usize) -> Result<(), SpanError> {
        let Self { spans, start, held, taken, .. } = self;
        let whole = held.get(*taken..*taken + end).unwrap_or_default();
        // What is no aggregate for all its checksum is a record of its own, as it is for a consumer.
        match aggregate::unpack(whole) {
            Some(records) => {
                for record in records {
                    spans.push(*start + record.offset, record.data.len() as u64)?;
                }
            }
            None => spans.push(*start, whole.len() as u64)?,
        }
        *start += end as u64;
        *taken += end;
        (self.checked, self.sum) = (0, Md5::new());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With every aggregate moving all that is behind it, this would move four hundred gigabytes.
    #[test]
    fn an_object_of_the_smallest_aggregates_is_read_once() {
        let sum: [u8; MD5_BYTES] = Md5::digest([]).into();
        let smallest = [&MAGIC[..], &sum].concat();
        let object = smallest.repeat(200_000);
        for chunk in [object.len(), 64 * 1024 + 1] {
            let mut framer = KplFramer::default();
            for chunk in object.chunks(chunk) {
                assert!(matches!(framer.push(chunk), Ok(Ok(()))));
            }
            assert_eq!(framer.start, object.len() as u64);
            assert!(framer.finish().1, "the last one is whole");
        }
    }
}
