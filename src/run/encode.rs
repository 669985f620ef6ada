//! What a request holds: the bytes and keys of its records, found again in their segments.
//!
//! This waits for pages and takes the CPU, so it runs on the route pool. A record is read where it is mapped,
//! and goes into the stream's own [`Draft`] without a copy in between; those that share
//! an entry are packed on the way.

use super::segments::Segments;
use crate::cache::Segment;
use crate::error::Error;
use crate::record::{Ordinal, PartitionKey, PartitionKeyRef};
use crate::route::Routed;
use crate::route::key::KeyExtractor;
use crate::stream::Stream;
use crate::stream::batch::{Batch, Draft, DraftSize, EntryRef};
use crate::write::Packed;
use crate::write::aggregate::{OUTER_KEY, pack};

/// Where the records of a request come from, and how they are sent.
#[derive(Clone)]
pub(super) struct Encoder {
    /// Where they lie.
    pub(super) segments: std::sync::Arc<Segments>,
    /// Finds their keys again.
    pub(super) extractor: std::sync::Arc<KeyExtractor>,
    /// Whether each is sent with its place, because its key does not say it.
    pub(super) places_explicitly: bool,
}

impl Encoder {
    /// A batch for `stream` of `records`, in their order.
    pub(super) fn encode(&self, stream: &dyn Stream, records: &Packed) -> Result<Batch, Error> {
        let bytes = records.entries().map(|(_, cost)| cost as usize).sum();
        let mut draft = stream.draft(DraftSize { entries: records.entry_count(), bytes });
        let of_object = |left: &Routed, right: &Routed| left.ordinal.object() == right.ordinal.object();
        let segment = |records: &[Routed]| match records {
            [first, ..] => self.segments.get(first.ordinal.object()),
            [] => Err(Error::internal("a run of records is empty")),
        };
        let runs = records.records().chunk_by(of_object);
        let segments: Vec<Segment> = runs.clone().map(segment).collect::<Result<_, _>>()?;
        // They lie far apart. Found one right behind the other, the waits for memory overlap; encoded in between, they would add up.
        let mut found = Vec::with_capacity(records.records().len());
        for (segment, records) in segments.iter().zip(runs) {
            for record in records {
                found.push(self.read(segment, *record)?);
            }
        }
        let mut rest = found.as_slice();
        for (records, cost) in records.entries() {
            let (found, behind) = rest.split_at(records.len());
            rest = behind;
            match (records, found) {
                ([record], [(key, data)]) => {
                    let explicit_hash_key = self.places_explicitly.then_some(record.hash);
                    draft.push(EntryRef { data, key: key.by_ref(), explicit_hash_key });
                }
                _ => push_together(records, found, cost, &mut draft)?,
            }
        }
        Ok(draft.finish())
    }

    fn read<'a>(&self, segment: &'a Segment, record: Routed) -> Result<(Key<'a>, &'a [u8]), Error> {
        let ordinal = record.ordinal;
        let data = segment
            .record(ordinal.record())
            .map_err(|error| unreadable(ordinal, "its segment is damaged on disk").with_source(error))?;
        if let Some(key) = record.key_in(data) {
            return Ok((Key::InRecord(key), data));
        }
        let key = self
            .extractor
            .key(data, ordinal)
            .map_err(|fault| unreadable(ordinal, &format!("its partition key is gone ({fault})")))?;
        Ok((Key::Made(key), data))
    }
}

/// A record's partition key.
enum Key<'a> {
    /// As it stands in the record.
    InRecord(PartitionKeyRef<'a>),
    /// Made of it: without escapes, or by a rule that spreads.
    Made(PartitionKey),
}

impl Key<'_> {
    fn by_ref(&self) -> PartitionKeyRef<'_> {
        match self {
            Self::InRecord(key) => *key,
            Self::Made(key) => key.into(),
        }
    }
}

/// Records of one entry. Outside is the place of the first, inside only keys.
fn push_together(
    records: &[Routed],
    found: &[(Key<'_>, &[u8])],
    cost: u32,
    draft: &mut Draft,
) -> Result<(), Error> {
    let inside: Vec<(&str, &[u8])> = found.iter().map(|(key, data)| (key.by_ref().as_str(), *data)).collect();
    let whole = pack(&inside);
    if whole.len() + OUTER_KEY.len() != cost as usize {
        let found = whole.len() + OUTER_KEY.len();
        return Err(Error::internal(format!("an aggregate has {found} B and was to have {cost}")));
    }
    let key = PartitionKeyRef::new(OUTER_KEY).map_err(|_| Error::internal("the outer key is no key"))?;
    let explicit_hash_key = records.first().map(|first| first.hash);
    draft.push(EntryRef { data: &whole, key, explicit_hash_key });
    Ok(())
}

fn unreadable(ordinal: Ordinal, why: &str) -> Error {
    Error::incomplete(format!("record {ordinal} cannot be read again: {why}; resume to fetch it anew"))
}
