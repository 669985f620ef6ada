//! The words every stage shares: what a record is called, where it belongs, what it weighs.
//!
//! Plain values without behaviour of their own. A record's bytes never stand here: they lie in a
//! segment, and what travels through the queues is an [`Ordinal`] that finds them again.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{HASH_KEY_DIGITS_MAX, PARTITION_KEY_CHARS_MAX};

/// A record's place in a run: object number, then record number in the object. Both count from 0,
/// objects in the manifest's order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ordinal(u64);

impl Ordinal {
    /// The first record of the first object.
    pub const START: Self = Self(0);

    /// The place of record `record` in object `object`.
    #[must_use]
    pub const fn new(object: u32, record: u32) -> Self {
        Self(((object as u64) << 32) | record as u64)
    }

    /// The object's number in the manifest.
    #[must_use]
    pub const fn object(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The record's number in its object.
    #[must_use]
    pub const fn record(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// The smallest ordinal above this one (which need not name a record that exists).
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object(), self.record())
    }
}

impl fmt::Debug for Ordinal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The string that places a record: 1 to 256 Unicode characters.
///
/// It may be personal data, so `Debug` tells only its length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey(Box<str>);

impl PartitionKey {
    /// Takes `key` if Kinesis would.
    ///
    /// # Errors
    /// [`KeyError`] for an empty key or one above 256 characters.
    pub fn new(key: impl Into<Box<str>>) -> Result<Self, KeyError> {
        let key = key.into();
        check_key(&key)?;
        Ok(Self(key))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionKey({} B)", self.0.len())
    }
}

/// A partition key where it lies.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PartitionKeyRef<'a>(&'a str);

impl<'a> PartitionKeyRef<'a> {
    /// Takes `key` if Kinesis would.
    ///
    /// # Errors
    /// As for [`PartitionKey::new`].
    pub fn new(key: &'a str) -> Result<Self, KeyError> {
        check_key(key)?;
        Ok(Self(key))
    }

    /// The key as text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Debug for PartitionKeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionKey({} B)", self.0.len())
    }
}

impl<'a> From<&'a PartitionKey> for PartitionKeyRef<'a> {
    fn from(key: &'a PartitionKey) -> Self {
        Self(&key.0)
    }
}

impl From<PartitionKeyRef<'_>> for PartitionKey {
    fn from(key: PartitionKeyRef<'_>) -> Self {
        Self(key.0.into())
    }
}

fn check_key(key: &str) -> Result<(), KeyError> {
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    // Characters, not bytes, so the cheap bound comes first: no string has more characters than bytes.
    if key.len() > PARTITION_KEY_CHARS_MAX && key.chars().count() > PARTITION_KEY_CHARS_MAX {
        return Err(KeyError::TooLong);
    }
    Ok(())
}

/// Why a string is no partition key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Kinesis takes no empty key.
    #[error("the partition key is empty")]
    Empty,
    /// Kinesis takes at most 256 characters.
    #[error("the partition key has more than {PARTITION_KEY_CHARS_MAX} characters")]
    TooLong,
}

/// A place in the stream's 128-bit hash space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HashKey(pub u128);

impl HashKey {
    /// Where Kinesis puts a partition key: MD5 of its UTF-8 bytes, read big-endian.
    ///
    /// ```
    /// # use respool::record::HashKey;
    /// assert_eq!(HashKey::of("").0, 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
    /// ```
    #[must_use]
    pub fn of(partition_key: &str) -> Self {
        let digest: [u8; 16] = Md5::digest(partition_key.as_bytes()).into();
        Self(u128::from_be_bytes(digest))
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#034x}", self.0)
    }
}

/// The text is not a hash key: a decimal number below 2^128 without sign or leading zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash key is a decimal number from 0 to 2^128-1, without leading zeros")]
pub struct HashKeyParseError;

impl FromStr for HashKey {
    type Err = HashKeyParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let canonical = text == "0" || !text.starts_with('0');
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !canonical || !digits || text.len() > HASH_KEY_DIGITS_MAX {
            return Err(HashKeyParseError);
        }
        text.parse().map(Self).map_err(|_| HashKeyParseError)
    }
}

// In JSON a hash key is a decimal string, as Kinesis writes it: numbers there end at 2^53.
impl Serialize for HashKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HashKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A contiguous part of the hash space, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashKeyRange {
    /// The lowest hash key inside.
    pub first: HashKey,
    /// The highest hash key inside.
    pub last: HashKey,
}

impl HashKeyRange {
    /// The whole space.
    pub const ALL: Self = Self { first: HashKey(0), last: HashKey(u128::MAX) };

    /// Whether `hash` lies inside.
    #[must_use]
    pub fn contains(&self, hash: HashKey) -> bool {
        self.first <= hash && hash <= self.last
    }

    /// The part that both ranges cover.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let first = self.first.max(other.first);
        let last = self.last.min(other.last);
        (first <= last).then_some(Self { first, last })
    }
}

/// A shard's name, `shardId-000000000000`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShardId(pub Arc<str>);

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Digits of one part of a sequence number: what an `u64` holds of any.
const PART_DIGITS: usize = 19;

/// A stored record's number in its shard: a decimal that exceeds 128 bits, ordered by value. Kinesis writes 56 digits, and
/// may write 129 (API reference, `SequenceNumber`, read 2026-11-27); there is room for 133. One comes with each record, so
/// it owns no memory: the parts are its digits by nineteen, the highest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SequenceNumber([u64; 7]);

impl SequenceNumber {
    /// Takes a decimal without leading zeros; `None` for anything else.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let canonical = text == "0" || !text.starts_with('0');
        let mut parts = [0; 7];
        if text.is_empty() || !canonical || text.len() > parts.len() * PART_DIGITS {
            return None;
        }
        for (part, digits) in parts.iter_mut().rev().zip(text.as_bytes().rchunks(PART_DIGITS)) {
            for digit in digits {
                *part = *part * 10 + u64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
            }
        }
        Some(Self(parts))
    }
}

impl TryFrom<String> for SequenceNumber {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("not a sequence number")
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.to_string()
    }
}

impl fmt::Display for SequenceNumber {
    /// The number as Kinesis wrote it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.iter().position(|part| *part > 0).unwrap_or(self.0.len() - 1);
        let mut parts = self.0.iter().skip(first);
        parts.next().map_or(Ok(()), |first| write!(f, "{first}"))?;
        parts.try_for_each(|part| write!(f, "{part:0PART_DIGITS$}"))
    }
}

impl fmt::Debug for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A record's bytes on their way out. They are the user's, so `Debug` tells only how many.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} B)", self.0.len())
    }
}

/// A number of bytes; printed in decimal units (`1.5 MB` = 1,500,000 B).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&bytesize::ByteSize::b(self.0).display().si(), f)
    }
}

impl fmt::Debug for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} B", self.0)
    }
}

/// `12,345,678`: how a person is told a count.
#[must_use]
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 record`, `1,200 records`: so many of what a single one is called `one`.
#[must_use]
pub fn many(count: impl TryInto<u64>, one: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    let (stem, ending) = match (count, one.strip_suffix("ry")) {
        (1, _) => (one, ""),
        (_, Some(stem)) => (stem, "ries"),
        (_, None) => (one, "s"),
    };
    format!("{} {stem}{ending}", number(count))
}

/// The word that agrees with so many: `was` or `were`.
#[must_use]
pub fn agree(count: impl TryInto<u64>, one: &'static str, more: &'static str) -> &'static str {
    if matches!(count.try_into(), Ok(1)) { one } else { more }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_called_otherwise_than_more() {
        for (count, one, said) in [
            (0, "record", "0 records"),
            (1, "record", "1 record"),
            (1_200, "older run", "1,200 older runs"),
            (1, "entry", "1 entry"),
            (2, "entry", "2 entries"),
            (2, "key", "2 keys"),
        ] {
            assert_eq!(many(count, one), said);
        }
        assert_eq!((agree(1_u32, "is", "are"), agree(0_u32, "is", "are")), ("is", "are"));
        assert_eq!(agree(2_usize, "is", "are"), "are");
    }

    #[test]
    fn ordinals_sort_by_object_then_record() {
        assert!(Ordinal::new(0, u32::MAX) < Ordinal::new(1, 0));
        let ordinal = Ordinal::new(7, 9);
        assert_eq!((ordinal.object(), ordinal.record()), (7, 9));
    }

    #[test]
    fn partition_keys_are_counted_in_characters() {
        assert!(PartitionKey::new("é".repeat(256)).is_ok());
        assert_eq!(PartitionKey::new("é".repeat(257)), Err(KeyError::TooLong));
        assert_eq!(PartitionKey::new(""), Err(KeyError::Empty));
    }

    #[test]
    fn hash_keys_are_canonical_decimals() {
        let max = u128::MAX.to_string();
        assert_eq!(max.parse(), Ok(HashKey(u128::MAX)));
        for bad in ["", "00", "01", "-1", "+1", "340282366920938463463374607431768211456", "1a"] {
            assert!(bad.parse::<HashKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn sequence_numbers_compare_by_value_beyond_128_bits() {
        let nine = SequenceNumber::new("9").unwrap();
        let long = SequenceNumber::new("49590338271490256608559692538361571095921575989136588898").unwrap();
        let longer = SequenceNumber::new("49590338271490256608559692538361571095921575989136588899").unwrap();
        assert!(nine < long && long < longer);
        assert!(SequenceNumber::new("007").is_none());
        let longest = "9".repeat(133);
        for whole in ["0", "9", "10000000000000000000", "100000000000000000000000000000000000000", &longest] {
            let number = SequenceNumber::new(whole).unwrap();
            assert_eq!(number.to_string(), whole);
            let written = serde_json::to_string(&number).unwrap();
            assert_eq!(
                (written.as_str(), serde_json::from_str(&written).unwrap()),
                (&*format!("\"{whole}\""), number)
            );
        }
        for bad in ["", "-1", "1x", "+1", "1 ", "\u{663}", &format!("1{longest}")] {
            assert!(SequenceNumber::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn what_belongs_to_the_user_is_not_printed() {
        let key = PartitionKey::new("alice@example.com").unwrap();
        let payload = Payload(Bytes::from_static(b"secret"));
        assert_eq!(format!("{key:?} {payload:?}"), "PartitionKey(17 B) Payload(6 B)");
    }
}
