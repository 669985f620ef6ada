//! Records that the Kinesis Producer Library has packed into one.
//!
//! Four bytes of magic, a protobuf message, and the MD5 of it. The message has a table of partition keys (1), one
//! of explicit hash keys (2), and records (3), each with the index of its key (1), perhaps that of its hash key
//! (2), and its data (3). Source: `aggregation-format.md` of the KPL. A reader that follows the Kinesis Client
//! Library drops the whole if one record inside is placed outside of the shard.

use md5::{Digest as _, Md5};

use crate::record::{HashKey, PartitionKey};

pub(super) const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
pub(super) const MD5_BYTES: usize = 16;

/// The largest aggregate that is looked for: the largest record of any stream.
pub(super) const BYTES_MAX: usize = crate::limits::RECORD_BYTES_MAX;

/// A record inside of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inner<'a> {
    /// Its partition key.
    pub key: PartitionKey,
    /// Where it is placed.
    pub hash: HashKey,
    /// Its bytes.
    pub data: &'a [u8],
    /// Where they begin in the aggregate.
    pub offset: u64,
}

/// Whether an aggregate may begin with these bytes, possibly fewer than its magic has.
pub(super) fn may_begin(bytes: &[u8]) -> bool {
    let magic = MAGIC.get(..bytes.len()).unwrap_or(&MAGIC);
    bytes.starts_with(magic)
}

/// Bytes of the field of a message that `bytes` begin with, if all of it is there.
pub(super) fn field_bytes(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    field(&mut rest)?;
    Some(bytes.len() - rest.len())
}

/// The records inside of `data`; `None` if it is no aggregate.
pub fn unpack(data: &[u8]) -> Option<Vec<Inner<'_>>> {
    let (message, sum) = data.strip_prefix(&MAGIC)?.split_last_chunk::<MD5_BYTES>()?;
    let found: [u8; MD5_BYTES] = Md5::digest(message).into();
    if found != *sum {
        return None;
    }
    let (mut keys, mut hashes, mut records) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = message;
    while !rest.is_empty() {
        match field(&mut rest)? {
            (1, Value::Bytes(key)) => keys.push(std::str::from_utf8(key).ok()?),
            (2, Value::Bytes(hash)) => hashes.push(std::str::from_utf8(hash).ok()?.parse::<HashKey>().ok()?),
            (3, Value::Bytes(record)) => records.push(record),
            _ => {}
        }
    }
    records.into_iter().map(|record| inner(data, record, &keys, &hashes)).collect()
}

fn inner<'a>(whole: &[u8], mut record: &'a [u8], keys: &[&str], hashes: &[HashKey]) -> Option<Inner<'a>> {
    let (mut key, mut hash, mut data) = (None, None, None);
    while !record.is_empty() {
        match field(&mut record)? {
            (1, Value::Number(index)) => key = Some(*keys.get(usize::try_from(index).ok()?)?),
            (2, Value::Number(index)) => hash = Some(*hashes.get(usize::try_from(index).ok()?)?),
            (3, Value::Bytes(bytes)) => data = Some(bytes),
            _ => {}
        }
    }
    let (key, data) = (key?, data?);
    Some(Inner {
        key: PartitionKey::new(key).ok()?,
        hash: hash.unwrap_or_else(|| HashKey::of(key)),
        data,
        // A part of the same slice, behind its beginning.
        offset: (data.as_ptr().addr() - whole.as_ptr().addr()) as u64,
    })
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The next field of a protobuf message: its number and value.
fn field<'a>(rest: &mut &'a [u8]) -> Option<(u64, Value<'a>)> {
    let tag = varint(rest)?;
    let value = match tag & 7 {
        0 => Value::Number(varint(rest)?),
        1 => Value::Bytes(take(rest, 8)?),
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => Value::Bytes(take(rest, 4)?),
        _ => return None,
    };
    Some((tag >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(length)?;
    *rest = behind;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(number: u8, bytes: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn packed(message: &[u8]) -> Vec<u8> {
        let sum: [u8; 16] = Md5::digest(message).into();
        [&MAGIC[..], message, &sum].concat()
    }

    #[test]
    fn records_find_their_keys_and_places() {
        let plain = [&[1 << 3, 0][..], &part(3, b"one")].concat();
        let placed = [&[1 << 3, 1, 2 << 3, 0][..], &part(3, b"two"), &part(4, b"tag")].concat();
        let message =
            [part(1, b"a"), part(1, "é".as_bytes()), part(2, b"42"), part(3, &plain), part(3, &placed)];
        let data = packed(&message.concat());
        let records = unpack(&data).unwrap();
        assert_eq!(
            (records[0].key.as_str(), records[0].hash, records[0].data),
            ("a", HashKey::of("a"), &b"one"[..])
        );
        assert_eq!(
            (records[1].key.as_str(), records[1].hash, records[1].data),
            ("é", HashKey(42), &b"two"[..])
        );
        for cut in 0..data.len() {
            assert_eq!(unpack(&data[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_aggregate_is_none() {
        assert_eq!(unpack(b"{\"a\":1}"), None);
        assert_eq!(unpack(&packed(&part(3, &[1 << 3, 9]))), None, "a key that is not in the table");
        assert_eq!(unpack(&packed(&[0x1f, 0xff])), None);
        assert_eq!(unpack(&packed(b"")), Some(Vec::new()));
    }
}
