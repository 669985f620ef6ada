//! What a request holds: the bytes and keys of its records, found again in their segments.
//!
//! This waits for pages and takes the CPU, so it runs on the route pool. A record is read where it is mapped,
//! and goes into the stream's own [`Draft`] without a copy in between; those that share
//! an entry are packed on the way.

use std::hint::black_box;

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

/// Objects of which records are encoded at once: their segments are mapped as long.
const OBJECTS_AT_ONCE: usize = 64;

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
        let entries: Vec<_> = records.entries().collect();
        self.encode_all(&entries, &mut draft)?;
        Ok(draft.finish())
    }

    fn encode_all(&self, entries: &[(&[Routed], u32)], draft: &mut Draft) -> Result<(), Error> {
        let mut rest = entries;
        while !rest.is_empty() {
            let (group, behind) = rest.split_at(group_end(rest));
            self.encode_group(group, draft)?;
            rest = behind;
        }
        Ok(())
    }

    /// Puts these entries, each its records and what it costs, into `draft`. Their segments stay mapped meanwhile.
    fn encode_group(&self, entries: &[(&[Routed], u32)], draft: &mut Draft) -> Result<(), Error> {
        let records: Vec<Routed> = entries.iter().flat_map(|(records, _)| *records).copied().collect();
        let runs = records.chunk_by(|left, right| left.ordinal.object() == right.ordinal.object());
        let objects = runs.clone().filter_map(<[Routed]>::first).map(|first| first.ordinal.object());
        let segments: Vec<Segment> =
            objects.map(|object| self.segments.get(object)).collect::<Result<_, _>>()?;
        // They lie far apart in memory. What is looked at in one narrow loop comes to the core together; looked at in between,
        // the waits would add up.
        let mut data = Vec::with_capacity(records.len());
        for (segment, run) in segments.iter().zip(runs) {
            for record in run {
                data.push(bytes_of(segment, record.ordinal)?);
            }
        }
        black_box(
            records.iter().zip(&data).fold(0, |seen, (record, data)| seen ^ first_of_key(record, data)),
        );
        let found = records.iter().zip(&data).map(|(record, data)| Ok((self.key(*record, data)?, *data)));
        let found = found.collect::<Result<Vec<_>, Error>>()?;
        let mut rest = found.as_slice();
        for &(records, cost) in entries {
            let (found, behind) = rest.split_at(records.len());
            rest = behind;
            match (records, found) {
                ([record], [(key, data)]) => {
                    let explicit_hash_key = self.places_explicitly.then_some(record.hash);
                    draft.push(EntryRef { data, key: key.by_ref(), explicit_hash_key });
                }
                _ => push_together(records, found, cost, draft)?,
            }
        }
        Ok(())
    }

    fn key<'a>(&self, record: Routed, data: &'a [u8]) -> Result<Key<'a>, Error> {
        if let Some(key) = record.key_in(data) {
            return Ok(Key::InRecord(key));
        }
        let gone = |fault| unreadable(record.ordinal, &format!("its partition key is gone ({fault})"));
        self.extractor.key(data, record.ordinal).map(Key::Made).map_err(gone)
    }
}

fn bytes_of(segment: &Segment, ordinal: Ordinal) -> Result<&[u8], Error> {
    segment
        .record(ordinal.record())
        .map_err(|error| unreadable(ordinal, "its segment is damaged on disk").with_source(error))
}

/// The byte that its key begins with, or 0.
fn first_of_key(record: &Routed, data: &[u8]) -> u8 {
    data.get(record.key_at as usize).copied().unwrap_or_default()
}

/// How many of these entries are encoded at once: those of so many objects, and one at least.
fn group_end(entries: &[(&[Routed], u32)]) -> usize {
    let (mut objects, mut last) = (0, None);
    let too_many = entries.iter().position(|(records, _)| {
        for record in *records {
            let object = Some(record.ordinal.object());
            objects += usize::from(object != last);
            last = object;
        }
        objects > OBJECTS_AT_ONCE
    });
    too_many.map_or(entries.len(), |end| end.max(1))
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::cache::{Cache, Placement, SegmentIdentity};
    use crate::decode::Spans;
    use crate::record::{ByteCount, HashKey};
    use crate::route::key::{KeyConfig, KeyRule};

    fn routed(object: u32) -> Routed {
        Routed { ordinal: Ordinal::new(object, 0), hash: HashKey::of("k"), cost: 1, key_bytes: 1, key_at: 0 }
    }

    #[test]
    fn no_more_segments_are_mapped_at_once_than_a_group_has() {
        let records: Vec<Routed> = (0..200).flat_map(|object| [routed(object), routed(object)]).collect();
        let apart: Vec<(&[Routed], u32)> = records.chunks(1).map(|record| (record, 1)).collect();
        let mut ends = Vec::new();
        let mut rest = apart.as_slice();
        while !rest.is_empty() {
            let end = group_end(rest);
            ends.push(end);
            rest = rest.split_at(end).1;
        }
        assert_eq!(ends, [128, 128, 128, 16]);
    }

    #[test]
    fn an_entry_is_not_divided_however_many_objects_it_is_of() {
        let records: Vec<Routed> = (0..200).map(routed).collect();
        let (first, others) = records.split_at(150);
        let mut entries = vec![(first, 150)];
        entries.extend(others.chunks(1).map(|record| (record, 1)));
        assert_eq!(group_end(&entries), 1);
        assert_eq!(group_end(entries.split_at(1).1), 50);
        assert_eq!(group_end(&[]), 0);
    }

    /// The one record of `object`, with its key between the quotes.
    fn data(object: u32) -> String {
        format!("\"k{object:03}\"")
    }

    fn segments(folder: &std::path::Path, objects: u32) -> Segments {
        let cache = Arc::new(Cache::open(folder, ByteCount(1 << 30)).unwrap());
        let segments = Segments::new(cache.clone());
        for object in 0..objects {
            let (key, data) = (object.to_string(), data(object));
            let identity = SegmentIdentity {
                archive: "{}",
                key: &key,
                version: None,
                etag: "e",
                size: ByteCount(1),
                decoding: "{}",
                decoder_version: 1,
            };
            let mut writer = cache.create(&identity.id(), Placement::Kept).unwrap();
            writer.write_all(data.as_bytes()).unwrap();
            let mut spans = Spans::default();
            spans.push(0, data.len() as u64).unwrap();
            segments.insert(object, writer.publish(&spans, &identity.label()).unwrap(), false);
        }
        segments
    }

    #[test]
    fn across_groups_every_record_is_sent_once_in_its_order() {
        const OBJECTS: u32 = 170;
        let folder = tempfile::tempdir().unwrap();
        let config = KeyConfig { rule: KeyRule::Random, fallback: None, seed: 1 };
        let encoder = Encoder {
            segments: Arc::new(segments(folder.path(), OBJECTS)),
            extractor: Arc::new(KeyExtractor::new(config)),
            places_explicitly: false,
        };
        let found: Vec<String> = (0..OBJECTS).map(data).collect();
        let found: Vec<(&str, &[u8])> =
            found.iter().map(|data| (data.trim_matches('"'), data.as_bytes())).collect();
        let routed = |object| Routed { key_bytes: 4, key_at: 1, ..routed(object) };
        let records: Vec<Routed> = (0..OBJECTS).map(routed).collect();
        // Between single ones an entry of more objects than a group has.
        let together = 40..110;
        let whole = pack(&found[together.clone()]);
        let cost = u32::try_from(whole.len() + OUTER_KEY.len()).unwrap();
        let mut entries: Vec<(&[Routed], u32)> = records.chunks(1).map(|record| (record, 10)).collect();
        entries.splice(together.clone(), [(&records[together.clone()], cost)]);
        let mut draft = Draft::Entries(Vec::new());
        encoder.encode_all(&entries, &mut draft).unwrap();
        let sent = draft.finish().into_entries().unwrap();
        let sent: Vec<(&str, &[u8])> =
            sent.iter().map(|entry| (entry.key.as_str(), &entry.data.0[..])).collect();
        let mut expected = found;
        expected.splice(together, [(OUTER_KEY, whole.as_slice())]);
        assert!(sent == expected, "{} entries", sent.len());
    }
}
