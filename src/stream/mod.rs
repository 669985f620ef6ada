//! The outside service: where records go.
//!
//! [`Stream`] is one of the two edges of the world (the other is the archive). Behind it stand Kinesis,
//! the embedded stream and a sink that only says yes. An answer is never a boolean: each entry has one
//! of four [`Outcome`]s, and a call that failed as a whole says which class of failure it was, because
//! that decides whether the entries may have been stored.

pub mod batch;
mod buffers;
pub mod control;
pub mod endpoint;
mod failure;
pub mod kinesis;
pub mod name;
pub mod neighbour;
pub mod null;
pub mod read;
mod records;
mod signed;

use std::future::Future;
use std::pin::Pin;

use self::batch::{Batch, Draft, DraftSize, EntryRef};
use crate::record::{HashKey, HashKeyRange, PartitionKey, Payload, SequenceNumber, ShardId};

/// A future that owns what it needs to be sent between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One element of a PutRecords call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record's bytes.
    pub data: Payload,
    /// The string that places the record.
    pub key: PartitionKey,
    /// Overrides the place that `key` hashes to.
    pub explicit_hash_key: Option<HashKey>,
}

impl Entry {
    /// What the entry costs of a shard's byte limit: data and partition key, in bytes.
    #[must_use]
    pub fn cost(&self) -> usize {
        self.data.0.len() + self.key.as_str().len()
    }
}

/// What is known of one entry after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Acked {
        /// The shard that stored it, which need not be the predicted one.
        shard: ShardId,
        /// Its place there.
        sequence_number: SequenceNumber,
    },
    /// Not stored: the shard was over its limit.
    Throttled,
    /// Not stored, and never will be.
    Rejected {
        /// The service's words.
        reason: String,
    },
    /// It may have been stored: the answer was lost, or the service failed inside.
    Unknown {
        /// Which way, for the count of possible duplicates.
        cause: UnknownCause,
    },
}

/// How an outcome came to be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UnknownCause {
    /// No answer in time.
    Timeout,
    /// The connection broke.
    Connection,
    /// The service said 5xx.
    ServerError,
    /// The service said InternalFailure for this one entry.
    InternalFailure,
    /// The answer did not match the request: wrong count, unknown code, no sequence number.
    BadAnswer,
}

/// Why a whole call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What to do about it.
    pub class: CallErrorClass,
    /// The service's code and message, without anything of the request.
    pub message: String,
}

/// The classes of whole-call failures. Source: Kinesis API reference, PutRecords and Common Errors, read 2026-11-22.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallErrorClass {
    /// Nothing was stored; the stream or the account is over a limit.
    Throttled,
    /// Nothing was stored; credentials have expired or the clock is off; new ones may help.
    Credentials,
    /// Nothing was stored; the service cannot be reached (no connection was made).
    Unreachable,
    /// The entries may have been stored.
    Unknown(UnknownCause),
    /// Nothing was stored; the request itself is wrong and must not be sent again unchanged.
    Invalid,
    /// Nothing was stored; the stream does not exist.
    NotFound,
    /// Nothing was stored; a right of IAM is missing.
    Forbidden,
    /// Nothing was stored; it will never be, as where the encryption key cannot be used.
    Denied,
}

/// A shard as ListShards tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardDescription {
    /// Its name.
    pub id: ShardId,
    /// What it covers.
    pub range: HashKeyRange,
    /// The shard it was split off or merged from.
    pub parent: Option<ShardId>,
    /// The second parent, after a merge.
    pub adjacent_parent: Option<ShardId>,
    /// Whether it still takes records.
    pub open: bool,
    /// The number that it begins with, where it is told.
    pub starts: Option<SequenceNumber>,
}

/// What a stream is, before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamDescription {
    /// Its name.
    pub name: String,
    /// Its full name, where it has one.
    pub arn: Option<String>,
    /// The account that owns it, where there is one.
    pub account: Option<String>,
    /// Where it lives.
    pub region: Option<String>,
    /// `ACTIVE`, `UPDATING`, …
    pub status: String,
    /// When it was made, in milliseconds since 1970: the same name made anew has another.
    pub created_ms: i64,
    /// How long it keeps records, in hours.
    pub retention_hours: u32,
    /// Data and partition key of one record, at most, in bytes.
    pub record_bytes_max: usize,
    /// Open shards.
    pub open_shards: u32,
    /// Whether the service spreads records itself and ignores keys (`RecordDistributionStrategy=AUTO`).
    pub ignores_keys: bool,
    /// Whether it scales itself.
    pub on_demand: bool,
    /// Deliveries of the service's own to S3.
    pub channels: u32,
    /// Whether a write here can be taken back or costs nobody anything: an embedded stream, or a
    /// server on a loopback address.
    pub harmless: bool,
}

/// A destination of records.
pub trait Stream: Send + Sync {
    /// What the stream is.
    fn describe(&self) -> BoxFuture<'_, Result<StreamDescription, CallError>>;

    /// All open shards, in the order of their ranges.
    fn list_open_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>>;

    /// Begins a call. What is pushed into the draft must be `size` at most, or it costs more than it needs to.
    fn draft(&self, size: DraftSize) -> Draft;

    /// Sends one batch that was drafted here, and gives one outcome per entry, in the entries' order. The implementation
    /// checks that: an answer of another length is an error of class
    /// [`Unknown`](CallErrorClass::Unknown).
    ///
    /// Nothing is tried twice in here.
    fn put(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Outcome>, CallError>>;

    /// A batch of `entries`, for whoever has them in hand.
    fn batch_of(&self, entries: &[Entry]) -> Batch {
        let bytes = entries.iter().map(Entry::cost).sum();
        let mut draft = self.draft(DraftSize { entries: entries.len(), bytes });
        for entry in entries {
            draft.push(EntryRef {
                data: &entry.data.0,
                key: (&entry.key).into(),
                explicit_hash_key: entry.explicit_hash_key,
            });
        }
        draft.finish()
    }
}
