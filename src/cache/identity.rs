//! Which object, decoded how: the name of a segment.
//!
//! The name is a hash over everything that could change a record's bytes or number, so a segment can be
//! found without asking S3, and can never be taken for another object's, another version's, or one that was
//! decoded under other rules. No part of an object's key ever becomes part of a path.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::record::ByteCount;

/// Goes into each hash: the list of fields below is part of the name too.
const IDENTITY_FORMAT: &[u8] = b"respool segment identity 1";

/// A segment's name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub [u8; 32]);

impl SegmentId {
    /// Reads 64 hexadecimal digits in lower case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digit = |byte: &u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut id = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != id.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Some(Self(id))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// All that tells one segment from another.
#[derive(Debug, Clone, Copy)]
pub struct SegmentIdentity<'a> {
    /// Which archive, as JSON.
    pub archive: &'a str,
    /// The object's key.
    pub key: &'a str,
    /// Its version, where there is one.
    pub version: Option<&'a str>,
    /// Its `ETag`.
    pub etag: &'a str,
    /// Its size as stored.
    pub size: ByteCount,
    /// The decoder's settings, as JSON.
    pub decoding: &'a str,
    /// The decoder's version.
    pub decoder_version: u32,
}

impl SegmentIdentity<'_> {
    /// The segment's name.
    pub fn id(&self) -> SegmentId {
        let mut hash = Sha256::new();
        let version = self.version.map(|version| format!("={version}")).unwrap_or_default();
        let fields: [&[u8]; 8] = [
            IDENTITY_FORMAT,
            self.archive.as_bytes(),
            self.key.as_bytes(),
            version.as_bytes(),
            self.etag.as_bytes(),
            &self.size.0.to_le_bytes(),
            self.decoding.as_bytes(),
            &self.decoder_version.to_le_bytes(),
        ];
        for field in fields {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        SegmentId(hash.finalize().into())
    }

    /// What `cache ls` shows for the segment.
    pub fn label(&self) -> SegmentLabel {
        SegmentLabel { archive: self.archive.to_owned(), key: self.key.to_owned(), ..SegmentLabel::default() }
    }
}

/// What a segment holds, for people, and what it lacks. Each part is cut at [`LABEL_BYTES_MAX`] when it is written;
/// the last two together have some 900 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentLabel {
    /// Which archive, as JSON.
    pub archive: String,
    /// The object's key. Not to be printed as it is: it may hold control characters.
    pub key: String,
    /// How it was compressed and framed.
    pub decoding: String,
    /// What is wrong behind the last record, if the object was salvaged: a word, a colon, a sentence.
    pub defect: String,
}

/// Bytes of each part of a label. S3's keys have at most 1,024.
pub const LABEL_BYTES_MAX: usize = 1024;
