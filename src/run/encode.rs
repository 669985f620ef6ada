//! What a request holds: the bytes and keys of its records, found again in their segments.
//!
//! This waits for pages and takes the CPU, so it runs on the route pool. A record is read where it is mapped,
//! and goes into the stream's own [`Draft`](crate::stream::batch::Draft) without a copy in between.

use super::segments::Segments;
use crate::error::Error;
use crate::record::Ordinal;
use crate::route::Routed;
use crate::route::key::KeyExtractor;
use crate::stream::Stream;
use crate::stream::batch::{Batch, DraftSize, EntryRef};

/// A batch for `stream` of `records`, in their order.
pub(super) fn encode(
    stream: &dyn Stream,
    segments: &Segments,
    extractor: &KeyExtractor,
    records: &[Routed],
) -> Result<Batch, Error> {
    let bytes = records.iter().map(|record| record.cost as usize).sum();
    let mut draft = stream.draft(DraftSize { entries: records.len(), bytes });
    for records in records.chunk_by(|left, right| left.ordinal.object() == right.ordinal.object()) {
        let [first, ..] = records else { continue };
        let segment = segments.get(first.ordinal.object())?;
        for record in records {
            let data = segment.record(record.ordinal.record()).map_err(|error| {
                unreadable(record.ordinal, "its segment is damaged on disk").with_source(error)
            })?;
            let key = extractor.key(data, record.ordinal).map_err(|fault| {
                unreadable(record.ordinal, &format!("its partition key is gone ({fault})"))
            })?;
            draft.push(EntryRef { data, key: (&key).into(), explicit_hash_key: None });
        }
    }
    Ok(draft.finish())
}

fn unreadable(ordinal: Ordinal, why: &str) -> Error {
    Error::incomplete(format!("record {ordinal} cannot be read again: {why}; resume to fetch it anew"))
}
