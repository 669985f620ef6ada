//! Many records in one entry, as the Kinesis Producer Library packs them.
//!
//! An aggregate is four bytes of magic, a protobuf message, and the MD5 of it. The message has a table of partition
//! keys (1), each once, and then the records (3), each with the index of its key (1) and its data (3). Source:
//! `aggregation-format.md` of the KPL. Outside it has the partition key [`OUTER_KEY`] and as an explicit hash key the
//! place of its first record. A reader that follows the Kinesis Client Library drops the whole if a single record
//! inside is placed outside of the shard, so a record gets no place of its own in there: its key says it.
//!
//! What a request will be is decided from sizes alone: [`stow`] fills entries and knows to the byte what each will
//! cost, long before anything is encoded. A record that shares its entry with no other goes as it is.

use std::collections::BTreeMap;

use md5::{Digest as _, Md5};

use super::rate::Load;
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, PUT_UNIT_BYTES};
use crate::record::HashKey;
use crate::route::Routed;

/// The partition key of every aggregate; its explicit hash key places it.
pub const OUTER_KEY: &str = "a";
/// What the largest aggregates are meant to have, key included: two payload units, as the KPL's.
pub const AIM_BYTES: usize = 2 * PUT_UNIT_BYTES;
/// The least that a record adds to its data: three tags, an index and two lengths.
pub(super) const RECORD_OVERHEAD_MIN: u32 = 6;

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const MD5_BYTES: usize = 16;
const KEY_TAG: u8 = 1 << 3 | 2;
const RECORD_TAG: u8 = 3 << 3 | 2;
const INDEX_TAG: u8 = 1 << 3;
const DATA_TAG: u8 = 3 << 3 | 2;

/// The records, each with its key, as one.
pub fn pack(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut indices: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut keys, mut bodies) = (Vec::new(), Vec::new());
    for &(key, data) in records {
        let next = indices.len();
        let index = *indices.entry(key).or_insert(next);
        if index == next {
            keys.push(KEY_TAG);
            put_varint(&mut keys, key.len());
            keys.extend_from_slice(key.as_bytes());
        }
        bodies.push(RECORD_TAG);
        put_varint(&mut bodies, body_bytes(index, data.len()));
        bodies.push(INDEX_TAG);
        put_varint(&mut bodies, index);
        bodies.push(DATA_TAG);
        put_varint(&mut bodies, data.len());
        bodies.extend_from_slice(data);
    }
    let sum: [u8; MD5_BYTES] = Md5::new().chain_update(&keys).chain_update(&bodies).finalize().into();
    [&MAGIC[..], &keys, &bodies, &sum].concat()
}

fn body_bytes(index: usize, data: usize) -> usize {
    2 + varint_bytes(index) + varint_bytes(data) + data
}

fn put_varint(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        let more = if number > 0 { 0x80 } else { 0 };
        bytes.push(low & 0x7f | more);
        if number == 0 {
            return;
        }
    }
}

const fn varint_bytes(number: usize) -> usize {
    let bits = usize::BITS - (number | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// What an entry costs with the records that it has so far.
#[derive(Debug, Default)]
struct Size {
    /// Equal keys have equal places, and no others.
    keys: BTreeMap<HashKey, usize>,
    message: usize,
    records: usize,
    cost: usize,
}

impl Size {
    /// The message with one more record.
    fn message_with(&self, record: &Routed) -> usize {
        let (data, key) = (record.data_bytes() as usize, usize::from(record.key_bytes));
        let (index, table) = match self.keys.get(&record.hash) {
            Some(&index) => (index, 0),
            None => (self.keys.len(), 1 + varint_bytes(key) + key),
        };
        let body = body_bytes(index, data);
        self.message + table + 1 + varint_bytes(body) + body
    }

    /// The cost with one more record.
    fn with(&self, record: &Routed) -> usize {
        match self.records {
            0 => record.cost as usize,
            _ => OUTER_KEY.len() + MAGIC.len() + self.message_with(record) + MD5_BYTES,
        }
    }

    fn add(&mut self, record: &Routed) {
        (self.cost, self.message) = (self.with(record), self.message_with(record));
        let next = self.keys.len();
        self.keys.entry(record.hash).or_insert(next);
        self.records += 1;
    }
}

/// How records become entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// Each is an entry, up to so many.
    Each(usize),
    /// The same up to the first whose key is among them already: whatever of them fails, no key loses its order.
    EachKeyOnce(usize),
    /// As many as fit share an entry.
    Together {
        /// Entries, at most.
        entries: usize,
        /// What an entry may cost.
        bytes: usize,
    },
}

/// What leaves, in everything that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Weight {
    pub(super) entries: f64,
    pub(super) records: f64,
    pub(super) bytes: f64,
}

impl Weight {
    /// What a shard counts.
    pub(super) fn for_shard(self) -> Load {
        Load { records: self.entries, bytes: self.bytes }
    }

    /// What the user's bound of the whole run counts.
    pub(super) fn for_run(self) -> Load {
        Load { records: self.records, bytes: self.bytes }
    }
}

/// Room for what leaves: of a shard, and of the whole run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) shard: Load,
    pub(super) run: Load,
}

impl Room {
    /// At least enough for `weight`.
    pub(super) fn at_least(self, weight: Weight) -> Self {
        Self { shard: self.shard.max(weight.for_shard()), run: self.run.max(weight.for_run()) }
    }

    /// Whether `weight` fits.
    pub(super) fn holds(&self, weight: Weight) -> bool {
        let within = |load: Load, room: Load| load.records <= room.records && load.bytes <= room.bytes;
        within(weight.for_shard(), self.shard) && within(weight.for_run(), self.run)
    }

    /// Whether `weight` is all that one of them has room for.
    pub(super) fn is_filled_by(&self, weight: Weight) -> bool {
        let fills = |load: Load, room: Load| load.records >= room.records || load.bytes >= room.bytes;
        fills(weight.for_shard(), self.shard) || fills(weight.for_run(), self.run)
    }
}

/// The first records of a queue as entries.
#[derive(Debug, Default)]
pub(super) struct Stowed {
    entries: Vec<PackedEntry>,
    pub(super) weight: Weight,
    /// There was no place for the next one.
    pub(super) full: bool,
}

impl Packing {
    /// Records that one request can have, if nothing else bounds it.
    pub(super) fn records_max(self) -> usize {
        match self {
            Self::Each(entries) | Self::EachKeyOnce(entries) => entries,
            Self::Together { .. } => usize::MAX,
        }
    }
}

impl Stowed {
    /// How many records they are.
    pub(super) fn records(&self) -> usize {
        self.entries.last().map_or(0, |entry| entry.end)
    }
}

/// Room for so many entries is made at once: a shard's gathering time holds no more of small records.
const ENTRIES_EXPECTED: usize = 32;

/// Makes entries of `records`, in their order, as long as the packing allows for one more and `takes` says so of
/// what there is and of what there would be.
pub(super) fn stow<'a>(
    packing: Packing,
    records: impl Iterator<Item = &'a Routed>,
    mut takes: impl FnMut(Weight, Weight) -> bool,
) -> Stowed {
    let (mut stowed, mut size, mut closed) = (Stowed::default(), Size::default(), 0.0);
    stowed.entries.reserve(records.size_hint().1.map_or(0, |records| records.min(ENTRIES_EXPECTED)));
    let mut keys = std::collections::BTreeSet::new();
    for (number, record) in records.enumerate() {
        let cost = size.with(record);
        let (entries, joins) = match packing {
            Packing::Each(entries) => (entries, false),
            Packing::EachKeyOnce(entries) if keys.insert(record.hash) => (entries, false),
            Packing::EachKeyOnce(_) => (0, false),
            Packing::Together { entries, bytes } => (entries, number > 0 && cost <= bytes),
        };
        let room = joins || stowed.entries.len() < entries.min(BATCH_ENTRIES_MAX);
        let mut after = stowed.weight;
        after.records += 1.0;
        if joins {
            after.bytes = closed + weight_of(cost);
        } else {
            after.entries += 1.0;
            after.bytes += f64::from(record.cost);
        }
        let within_call = number == 0 || after.bytes <= weight_of(BATCH_BYTES_MAX);
        stowed.full = !room || !within_call;
        if stowed.full || !takes(stowed.weight, after) {
            break;
        }
        if !joins {
            closed = stowed.weight.bytes;
            size = Size::default();
            stowed.entries.push(PackedEntry { end: number, cost: 0 });
        }
        if let Packing::Together { .. } = packing {
            size.add(record);
        } else {
            size.cost = record.cost as usize;
        }
        if let Some(entry) = stowed.entries.last_mut() {
            *entry = PackedEntry { end: number + 1, cost: u32::try_from(size.cost).unwrap_or(u32::MAX) };
        }
        stowed.weight = after;
    }
    stowed
}

#[expect(clippy::cast_precision_loss, reason = "sizes of a request, far below 2^53")]
fn weight_of(bytes: usize) -> f64 {
    bytes as f64
}

/// The end of an entry among its request's records, and what it costs a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PackedEntry {
    end: usize,
    cost: u32,
}

/// The records of a request, and which of them share an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Packed {
    records: Vec<Routed>,
    entries: Vec<PackedEntry>,
}

impl Packed {
    /// What [`stow`] has made of these records, which are as many as it has stowed.
    pub(super) fn new(records: Vec<Routed>, stowed: Stowed) -> Self {
        assert_eq!(records.len(), stowed.records(), "an entry has records that are not there");
        Self { records, entries: stowed.entries }
    }

    /// All records, in the order in which they are sent.
    pub fn records(&self) -> &[Routed] {
        &self.records
    }

    /// All records.
    pub fn into_records(self) -> Vec<Routed> {
        self.records
    }

    /// The records of each entry, and what it costs a shard: data and partition key, in bytes.
    pub fn entries(&self) -> impl Iterator<Item = (&[Routed], u32)> {
        let mut begin = 0;
        self.entries.iter().map(move |entry| {
            let records = self.records.get(begin..entry.end).unwrap_or_default();
            begin = entry.end;
            (records, entry.cost)
        })
    }

    /// All of it, in everything that is counted.
    pub(super) fn weight(&self) -> Weight {
        let bytes = self.entries.iter().map(|entry| f64::from(entry.cost)).sum();
        Weight { entries: weight_of(self.entries.len()), records: weight_of(self.records.len()), bytes }
    }

    /// How many entries there are.
    pub fn entry_count(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::aggregate::unpack;
    use crate::record::Ordinal;

    fn routed(number: u32, key: &str, data: &[u8]) -> Routed {
        Routed {
            ordinal: Ordinal::new(0, number),
            hash: HashKey::of(key),
            cost: u32::try_from(key.len() + data.len()).unwrap(),
            key_bytes: u16::try_from(key.len()).unwrap(),
            key_at: 0,
        }
    }

    #[test]
    fn one_record_is_packed_to_the_byte_as_others_do() {
        let expected = [
            &[0xf3, 0x89, 0x9a, 0xc2, 0x0a, 0x0d][..],
            b"partition_key",
            &[0x1a, 0x08, 0x08, 0x00, 0x1a, 0x04],
            b"data",
            &[0xd0, 0x36, 0x99, 0xda, 0x5a, 0x22, 0x2f, 0xa3],
            &[0x21, 0x08, 0xad, 0x1b, 0xd9, 0x55, 0xa1, 0x4e],
        ];
        assert_eq!(pack(&[("partition_key", b"data")]), expected.concat());
    }

    #[test]
    fn a_record_alone_goes_as_it_is_and_one_that_does_not_fit_begins_an_entry() {
        let records = [routed(0, "a", &[0; 40]), routed(1, "a", &[0; 40]), routed(2, "b", &[0; 400])];
        let stowed = stow(Packing::Together { entries: 9, bytes: 200 }, records.iter(), |_, _| true);
        let packed = Packed::new(records.to_vec(), stowed);
        let entries: Vec<_> = packed.entries().map(|(records, cost)| (records.len(), cost)).collect();
        // Magic, sum and outer key; one key; two records.
        assert_eq!(entries, [(2, 21 + 3 + 2 * 46), (1, 401)]);
        let one = stow(Packing::Together { entries: 1, bytes: 200 }, records.iter(), |_, _| true);
        assert_eq!((one.records(), one.full), (2, true));
    }

    #[test]
    fn each_by_itself_may_stop_at_a_key_that_comes_again() {
        let records = [routed(0, "a", b"1"), routed(1, "b", b"2"), routed(2, "a", b"3")];
        let count = |packing| stow(packing, records.iter(), |_, _| true).records();
        assert_eq!([Packing::Each(9), Packing::Each(1), Packing::EachKeyOnce(9)].map(count), [3, 1, 2]);
    }

    proptest! {
        #[test]
        fn what_is_packed_has_the_size_that_was_foreseen_and_comes_out_again(
            records in prop::collection::vec(("[a-zé]{1,40}|[ab]|x{128}", prop::collection::vec(any::<u8>(), 0..300)), 2..300),
            bytes in 60_usize..20_000,
        ) {
            let routed: Vec<_> = (0..).zip(&records).map(|(n, (key, data))| routed(n, key, data)).collect();
            let stowed = stow(Packing::Together { entries: 500, bytes }, routed.iter(), |_, _| true);
            let weight = stowed.weight;
            let packed = Packed::new(routed[..stowed.records()].to_vec(), stowed);
            let (mut begin, mut sum) = (0, 0);
            for (inside, cost) in packed.entries() {
                let of_entry = &records[begin..begin + inside.len()];
                begin += inside.len();
                sum += cost;
                if let [(key, data)] = of_entry {
                    prop_assert_eq!(cost as usize, key.len() + data.len());
                    continue;
                }
                let pairs: Vec<_> = of_entry.iter().map(|(key, data)| (key.as_str(), data.as_slice())).collect();
                let whole = pack(&pairs);
                prop_assert_eq!(cost as usize, whole.len() + OUTER_KEY.len());
                prop_assert!(cost as usize <= bytes);
                let found = unpack(&whole).unwrap();
                let found: Vec<_> = found.iter().map(|inner| (inner.key.as_str(), inner.data)).collect();
                prop_assert_eq!(found, pairs);
            }
            prop_assert_eq!(begin, packed.records().len());
            prop_assert!((weight.bytes - f64::from(sum)).abs() < 0.5);
        }
    }
}
