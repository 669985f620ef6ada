//! A PutRecords call as it goes over the wire: JSON, written by hand, straight from where the records lie.
//!
//! Each entry is appended to a buffer that was used before, in base64, and nothing of it is copied on the way.
//! The body's digest, which the signature needs, is made here too, because it costs as much as all the rest
//! and belongs on the same thread.

use std::fmt;
use std::io::Write as _;

use base64_simd::STANDARD;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::batch::{DraftSize, EntryRef};
use super::buffers::{Buffer, Buffers};
use super::signed::hex;

pub(super) mod answer;

/// JSON around one entry: names, quotes, an explicit hash key.
const ENTRY_OVERHEAD: usize = 96;

/// A body in the making.
pub struct BodyDraft {
    buffer: Buffer,
    entries: usize,
}

/// A body with its digest.
pub struct Body {
    /// The JSON.
    pub(super) bytes: Bytes,
    /// Its SHA-256 in hexadecimal.
    pub(super) sha256: String,
    /// How many entries it has.
    pub(super) entries: usize,
}

impl BodyDraft {
    /// A call to the stream that `member` names: `("StreamName", "orders")`.
    pub(super) fn new(buffers: &Buffers, member: (&str, &str), size: DraftSize) -> Self {
        let capacity = size.bytes / 3 * 4 + size.entries * ENTRY_OVERHEAD + 256;
        let mut buffer = buffers.take(capacity);
        let bytes = &mut buffer.bytes;
        bytes.extend_from_slice(b"{\"");
        bytes.extend_from_slice(member.0.as_bytes());
        bytes.extend_from_slice(b"\":");
        write_string(bytes, member.1);
        bytes.extend_from_slice(b",\"Records\":[");
        Self { buffer, entries: 0 }
    }

    pub(super) fn push(&mut self, entry: EntryRef<'_>) {
        let bytes = &mut self.buffer.bytes;
        if self.entries > 0 {
            bytes.push(b',');
        }
        bytes.extend_from_slice(b"{\"Data\":\"");
        STANDARD.encode_append(entry.data, bytes);
        bytes.extend_from_slice(b"\",\"PartitionKey\":");
        write_string(bytes, entry.key.as_str());
        if let Some(hash) = entry.explicit_hash_key {
            // Writing to a `Vec` cannot fail.
            let _ = write!(bytes, ",\"ExplicitHashKey\":\"{hash}\"");
        }
        bytes.push(b'}');
        self.entries += 1;
    }

    pub(super) fn finish(mut self) -> Body {
        self.buffer.bytes.extend_from_slice(b"]}");
        let sha256 = hex(&Sha256::digest(&self.buffer.bytes));
        Body { bytes: self.buffer.freeze(), sha256, entries: self.entries }
    }
}

/// `text` in quotes.
fn write_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(b'"');
    if text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => bytes.extend_from_slice(&[b'\\', byte]),
                0..0x20 => {
                    let _ = write!(bytes, "\\u{byte:04x}");
                }
                _ => bytes.push(byte),
            }
        }
    } else {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.push(b'"');
}

// The content is the user's.
impl fmt::Debug for BodyDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyDraft({} entries, {} B)", self.entries, self.buffer.bytes.len())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({} entries, {} B)", self.entries, self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::{HashKey, PartitionKeyRef};

    fn body(entries: &[(Vec<u8>, String, Option<u128>)]) -> Body {
        let member = ("StreamName", "orders \"a\"");
        let mut draft = BodyDraft::new(&Buffers::default(), member, DraftSize::default());
        for (data, key, hash) in entries {
            let key = PartitionKeyRef::new(key).unwrap();
            draft.push(EntryRef { data, key, explicit_hash_key: hash.map(HashKey) });
        }
        draft.finish()
    }

    proptest! {
        #[test]
        fn another_parser_reads_what_was_given(
            entries in vec((vec(any::<u8>(), 0..100), "\\PC{1,20}|[\\x00-\\x7f]{1,9}", any::<Option<u128>>()), 1..5)
        ) {
            let body = body(&entries);
            let read: Value = serde_json::from_slice(&body.bytes).unwrap();
            prop_assert_eq!(&read["StreamName"], "orders \"a\"");
            let records: Vec<Value> = entries.iter().map(|(data, key, hash)| {
                let mut record = json!({"Data": STANDARD.encode_to_string(data), "PartitionKey": key});
                if let Some(hash) = hash {
                    record["ExplicitHashKey"] = hash.to_string().into();
                }
                record
            }).collect();
            prop_assert_eq!(&read["Records"], &Value::from(records));
            prop_assert_eq!(body.entries, entries.len());
        }
    }

    #[test]
    fn the_digest_is_that_of_the_body_and_nothing_is_printed() {
        let body = body(&[(b"PAYLOADCANARY".to_vec(), "KEYCANARY".to_owned(), None)]);
        let digest: Vec<String> =
            Sha256::digest(&body.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(body.sha256, digest.concat());
        assert_eq!(format!("{body:?}"), format!("Body(1 entries, {} B)", body.bytes.len()));
    }
}
