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
    /// Bytes of `held` whose fields are whole and in `sum`.
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
                if !aggregate::may_begin(&self.held) {
                    let what = "something that is no aggregate of the Kinesis Producer Library";
                    return Ok(Err(Misfit { offset: self.start, what }));
                }
                match self.end_of_first() {
                    Some(end) => self.take(end)?,
                    None if self.held.len() > aggregate::BYTES_MAX => {
                        let what = "an aggregate whose checksum does not come";
                        return Ok(Err(Misfit { offset: self.start, what }));
                    }
                    None => break,
                }
            }
        }
        Ok(Ok(()))
    }

    /// The records, and whether the last aggregate is whole.
    pub(super) fn finish(self) -> (Spans, bool) {
        (self.spans, self.held.is_empty())
    }

    /// Where the first aggregate in `held` ends, once all of it is there.
    fn end_of_first(&mut self) -> Option<usize> {
        self.checked = self.checked.max(MAGIC.len());
        loop {
            let rest = self.held.get(self.checked..)?;
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
        let behind = self.held.split_off(end);
        let whole = std::mem::replace(&mut self.held, behind);
        // What is no aggregate for all its checksum is a record of its own, as it is for a consumer.
        match aggregate::unpack(&whole) {
            Some(records) => {
                for record in records {
                    self.spans.push(self.start + record.offset, record.data.len() as u64)?;
                }
            }
            None => self.spans.push(self.start, whole.len() as u64)?,
        }
        self.start += end as u64;
        (self.checked, self.sum) = (0, Md5::new());
        Ok(())
    }
}
