//! Reading a stream back from Kinesis.

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{Record, ShardFilter, ShardIteratorType};

use super::super::read::{Page, ReadFrom, StoredRecord, StreamReader};
use super::super::{BoxFuture, CallError, ShardDescription};
use super::{KinesisStream, LIST_SHARDS_PAGES_MAX, SentMark, bad_answer, shard_description};
use crate::limits::{LIST_SHARDS_PAGE_MAX, READ_RECORDS_MAX};
use crate::record::{PartitionKey, SequenceNumber, ShardId};

impl KinesisStream {
    /// The shards that `filter` lets through, or all that are still known, page by page.
    pub(super) async fn list_shards(
        &self,
        filter: Option<ShardFilter>,
    ) -> Result<Vec<ShardDescription>, CallError> {
        let mut page = self
            .clients()
            .describe
            .list_shards()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .set_shard_filter(filter);
        let mut shards = Vec::new();
        for _ in 0..LIST_SHARDS_PAGES_MAX {
            let sent = SentMark::default();
            let answer = page
                .max_results(i32::try_from(LIST_SHARDS_PAGE_MAX).unwrap_or(i32::MAX))
                .customize()
                .interceptor(sent.clone())
                .send()
                .await
                .map_err(|error| self.call_error(&error, &sent))?;
            for shard in answer.shards() {
                shards.push(shard_description(shard)?);
            }
            match answer.next_token {
                // The token stands for stream and filter; the API refuses them beside it.
                Some(token) if !token.is_empty() => {
                    page = self.clients().describe.list_shards().next_token(token);
                }
                _ => return Ok(shards),
            }
        }
        Err(bad_answer("ListShards does not come to an end"))
    }

    async fn shard_iterator(&self, shard: ShardId, from: ReadFrom) -> Result<String, CallError> {
        let sent = SentMark::default();
        let call = self
            .clients()
            .describe
            .get_shard_iterator()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .shard_id(&*shard.0);
        let call = match from {
            ReadFrom::Horizon => call.shard_iterator_type(ShardIteratorType::TrimHorizon),
            ReadFrom::Time(ms) => {
                call.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_millis(ms))
            }
            ReadFrom::After(number) => call
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number.to_string()),
        };
        let answer = call.customize().interceptor(sent.clone()).send().await;
        let answer = answer.map_err(|error| self.call_error(&error, &sent))?;
        answer.shard_iterator.ok_or_else(|| bad_answer("GetShardIterator was answered without an iterator"))
    }

    async fn get_records(&self, iterator: String) -> Result<Page, CallError> {
        let sent = SentMark::default();
        let answer = self
            .clients()
            .describe
            .get_records()
            .set_stream_arn(self.arn_for_call())
            .shard_iterator(iterator)
            .limit(i32::try_from(READ_RECORDS_MAX).unwrap_or(i32::MAX))
            .customize()
            .interceptor(sent.clone())
            .send()
            .await
            .map_err(|error| self.call_error(&error, &sent))?;
        let records = answer.records.into_iter().map(stored).collect::<Result<Vec<_>, _>>()?;
        Ok(Page {
            records,
            next: answer.next_shard_iterator.filter(|next| !next.is_empty()),
            behind_ms: answer.millis_behind_latest,
        })
    }
}

fn stored(record: Record) -> Result<StoredRecord, CallError> {
    let number = SequenceNumber::new(&record.sequence_number);
    let arrived = record.approximate_arrival_timestamp.and_then(|time| time.to_millis().ok());
    Ok(StoredRecord {
        key: record.partition_key.and_then(|key| PartitionKey::new(key).ok()),
        data: Blob::into_inner(record.data).into(),
        arrived_ms: arrived.unwrap_or_default(),
        number: number.ok_or_else(|| bad_answer("GetRecords names a record without its number"))?,
    })
}

impl StreamReader for KinesisStream {
    fn list_all_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
        Box::pin(async { self.renew_after(self.list_shards(None).await).await })
    }

    fn iterator(&self, shard: ShardId, from: ReadFrom) -> BoxFuture<'_, Result<String, CallError>> {
        Box::pin(async { self.renew_after(self.shard_iterator(shard, from).await).await })
    }

    fn read(&self, iterator: String) -> BoxFuture<'_, Result<Page, CallError>> {
        Box::pin(async { self.renew_after(self.get_records(iterator).await).await })
    }
}
