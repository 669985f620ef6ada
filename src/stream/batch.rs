//! A call's content: drawn up on a thread that may be slow, sent afterwards.
//!
//! Records lie in mapped segments. A [`Draft`] takes each of them by reference, in order, and makes of it at
//! once whatever its stream sends, so that nothing is copied that need not be. What comes out is a [`Batch`],
//! which owns itself and can wait for its turn. An entry need not be one record: whoever drafts may have
//! joined several.

use bytes::Bytes;

use super::records::{Body, BodyDraft};
use super::{CallError, CallErrorClass, Entry};
use crate::record::{HashKey, PartitionKeyRef, Payload};

/// One element of a PutRecords call, where it lies.
#[derive(Debug, Clone, Copy)]
pub struct EntryRef<'a> {
    /// The record's bytes.
    pub data: &'a [u8],
    /// The string that places the record.
    pub key: PartitionKeyRef<'a>,
    /// Overrides the place that `key` hashes to.
    pub explicit_hash_key: Option<HashKey>,
}

impl EntryRef<'_> {
    /// Where the entry belongs in the hash space.
    #[must_use]
    pub fn hash(&self) -> HashKey {
        self.explicit_hash_key.unwrap_or_else(|| HashKey::of(self.key.as_str()))
    }
}

/// How much a draft is about to take, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DraftSize {
    /// Entries.
    pub entries: usize,
    /// Data and keys, in bytes.
    pub bytes: usize,
}

/// A call in the making, of the kind that its stream takes.
#[derive(Debug)]
pub enum Draft {
    /// Copies, one by one.
    Entries(Vec<Entry>),
    /// Only where each entry belongs.
    Places(Vec<HashKey>),
    /// The call's body.
    Body(BodyDraft),
}

/// A call's content, whole.
#[derive(Debug)]
pub enum Batch {
    /// Its entries.
    Entries(Vec<Entry>),
    /// Where each entry belongs.
    Places(Vec<HashKey>),
    /// The call's body.
    Body(Body),
}

impl Draft {
    /// Takes one more entry, behind all before.
    pub fn push(&mut self, entry: EntryRef<'_>) {
        match self {
            Self::Entries(entries) => entries.push(Entry {
                data: Payload(Bytes::copy_from_slice(entry.data)),
                key: entry.key.into(),
                explicit_hash_key: entry.explicit_hash_key,
            }),
            Self::Places(places) => places.push(entry.hash()),
            Self::Body(body) => body.push(entry),
        }
    }

    /// Nothing more comes.
    #[must_use]
    pub fn finish(self) -> Batch {
        match self {
            Self::Entries(entries) => Batch::Entries(entries),
            Self::Places(places) => Batch::Places(places),
            Self::Body(body) => Batch::Body(body.finish()),
        }
    }
}

impl Batch {
    /// The content as entries.
    ///
    /// # Errors
    /// Class [`Invalid`](CallErrorClass::Invalid) if it was drafted for a stream of another kind.
    pub fn into_entries(self) -> Result<Vec<Entry>, CallError> {
        match self {
            Self::Entries(entries) => Ok(entries),
            Self::Places(_) | Self::Body(_) => Err(foreign()),
        }
    }
}

/// A batch went to another stream than the one that it was drafted for.
pub(super) fn foreign() -> CallError {
    CallError {
        class: CallErrorClass::Invalid,
        message: "the batch was drafted for a stream of another kind".to_owned(),
    }
}
