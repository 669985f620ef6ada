//! A stream that takes everything and keeps nothing: the whole path but the wire.
//!
//! It has shards of equal size and no limits, acknowledges each entry at once, and numbers them as a
//! real stream would, upwards in each shard.

use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};

use super::batch::{Batch, Draft, DraftSize, foreign};
use super::{BoxFuture, CallError, CallErrorClass, Outcome, ShardDescription, Stream, StreamDescription};
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{HashKey, HashKeyRange, SequenceNumber, ShardId};

/// The sink behind the target `null:`.
#[derive(Debug)]
pub struct NullStream {
    shards: Vec<ShardDescription>,
    next: AtomicU64,
}

impl NullStream {
    /// A sink of `shards` shards, at least one.
    #[must_use]
    pub fn new(shards: u32) -> Self {
        let count = u128::from(shards.max(1));
        let width = u128::MAX / count;
        let shards = (0..count)
            .map(|n| {
                let last = if n + 1 == count { u128::MAX } else { (n + 1) * width - 1 };
                ShardDescription {
                    id: ShardId(format!("shardId-{n:012}").into()),
                    range: HashKeyRange { first: HashKey(n * width), last: HashKey(last) },
                    parent: None,
                    adjacent_parent: None,
                    open: true,
                    starts: None,
                }
            })
            .collect();
        Self { shards, next: AtomicU64::new(1) }
    }

    fn take(&self, places: &[HashKey]) -> Result<Vec<Outcome>, CallError> {
        // Concurrent calls get disjoint runs of numbers, which all grow within a call.
        let first = self.next.fetch_add(places.len() as u64, Ordering::Relaxed);
        (first..).zip(places).map(|(number, &hash)| self.ack(number, hash)).collect()
    }

    fn ack(&self, number: u64, hash: HashKey) -> Result<Outcome, CallError> {
        let at = self.shards.partition_point(|shard| shard.range.last < hash);
        let defect = || CallError {
            class: CallErrorClass::Invalid,
            message: "the null stream has no shard for a hash key".to_owned(),
        };
        let shard = self.shards.get(at).ok_or_else(defect)?.id.clone();
        let sequence_number = SequenceNumber::new(&number.to_string()).ok_or_else(defect)?;
        Ok(Outcome::Acked { shard, sequence_number })
    }
}

impl Default for NullStream {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Stream for NullStream {
    fn describe(&self) -> BoxFuture<'_, Result<StreamDescription, CallError>> {
        Box::pin(ready(Ok(StreamDescription {
            name: "null".to_owned(),
            arn: None,
            account: None,
            region: None,
            status: "ACTIVE".to_owned(),
            created_ms: 0,
            retention_hours: 24,
            record_bytes_max: RECORD_BYTES_MAX,
            open_shards: u32::try_from(self.shards.len()).unwrap_or(u32::MAX),
            ignores_keys: false,
            on_demand: false,
            channels: 0,
            harmless: true,
        })))
    }

    fn list_open_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
        Box::pin(ready(Ok(self.shards.clone())))
    }

    fn draft(&self, size: DraftSize) -> Draft {
        Draft::Places(Vec::with_capacity(size.entries))
    }

    fn put(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Outcome>, CallError>> {
        Box::pin(ready(match batch {
            Batch::Places(places) => self.take(&places),
            _ => Err(foreign()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{PartitionKey, Payload};
    use crate::stream::Entry;

    fn entry(hash: u128) -> Entry {
        Entry {
            data: Payload(Bytes::new()),
            key: PartitionKey::new("k").unwrap(),
            explicit_hash_key: Some(HashKey(hash)),
        }
    }

    #[tokio::test]
    async fn every_entry_is_acked_in_its_shard_with_a_growing_number() {
        for count in [1, 3, 7] {
            let stream = NullStream::new(count);
            let shards = stream.list_open_shards().await.unwrap();
            let mut last = SequenceNumber::new("0").unwrap();
            for shard in &shards {
                let entries = [entry(shard.range.first.0), entry(shard.range.last.0)];
                for outcome in stream.put(stream.batch_of(&entries)).await.unwrap() {
                    let Outcome::Acked { shard: id, sequence_number } = outcome else {
                        panic!("{outcome:?}")
                    };
                    assert_eq!(id, shard.id);
                    assert!(sequence_number > last);
                    last = sequence_number;
                }
            }
            assert_eq!(shards.last().unwrap().range.last, HashKey(u128::MAX));
            assert!(stream.describe().await.unwrap().harmless);
        }
    }
}
