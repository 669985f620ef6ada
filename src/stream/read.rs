//! Reading a stream back: all shards that are still known, and their records in order.

use bytes::Bytes;

use super::{BoxFuture, CallError, ShardDescription};
use crate::record::{PartitionKey, SequenceNumber, ShardId};

/// Where in a shard to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadFrom {
    /// The oldest record that is kept.
    Horizon,
    /// The first record that arrived at or after this, in milliseconds since 1970.
    Time(i64),
    /// Behind this record.
    After(SequenceNumber),
}

/// A record as it stands in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRecord {
    /// The string it was placed by; streams that place records themselves may have none.
    pub key: Option<PartitionKey>,
    /// Its bytes.
    pub data: Bytes,
    /// Its place in the shard.
    pub number: SequenceNumber,
    /// When it was stored, about, in milliseconds since 1970; 0 if that is not told.
    pub arrived_ms: i64,
}

/// What one read gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Records in the shard's order; possibly none although there are more.
    pub records: Vec<StoredRecord>,
    /// Where to go on; `None` at the end of a closed shard.
    pub next: Option<String>,
    /// How far behind the newest record this page ends, in milliseconds; `None` if that is not told.
    pub behind_ms: Option<i64>,
}

/// A stream that can be read.
pub trait StreamReader: Send + Sync {
    /// All shards, closed ones included, in any order.
    fn list_all_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>>;

    /// A position in a shard, good for five minutes.
    fn iterator(&self, shard: ShardId, from: ReadFrom) -> BoxFuture<'_, Result<String, CallError>>;

    /// The records from a position on. A position that is no longer good is an error of class
    /// [`Invalid`](super::CallErrorClass::Invalid).
    fn read(&self, iterator: String) -> BoxFuture<'_, Result<Page, CallError>>;
}
