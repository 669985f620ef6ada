//! Every limit of the services we speak to, with its source and the day it was read.
//!
//! Kinesis' own documents disagree on MB and MiB; where they do, the smaller reading stands here.

use std::time::Duration;

/// Entries in one PutRecords call. Source: Kinesis API reference, PutRecords, read 2026-11-22.
pub const BATCH_ENTRIES_MAX: usize = 500;

/// Data and partition keys of one PutRecords call, before base64: 10 MiB.
/// Source: Kinesis API reference, PutRecords, read 2026-11-22 (5 MiB until October 2025).
pub const REQUEST_BYTES_MAX: usize = 10 * 1024 * 1024;

/// What we put into one call: a caller was refused 108 B below the limit, so some headroom is left.
/// Source: amazon-kinesis-streams-for-fluent-bit issue 21.
pub const BATCH_BYTES_MAX: usize = REQUEST_BYTES_MAX - 64 * 1024;

/// Data and partition key of one record where the stream does not say otherwise: 1 MiB.
/// Source: Kinesis quotas page, read 2026-11-22.
pub const RECORD_BYTES_DEFAULT: usize = 1024 * 1024;

/// The most a stream can be configured to take as one record (`MaxRecordSizeInKiB` = 10240).
/// Source: Kinesis API reference, `UpdateMaxRecordSize`, read 2026-11-22.
pub const RECORD_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Characters of a partition key. Source: Kinesis API reference, `PutRecordsRequestEntry`, read 2026-11-22.
pub const PARTITION_KEY_CHARS_MAX: usize = 256;

/// Digits of 2^128-1, the highest hash key. Source: arithmetic.
pub const HASH_KEY_DIGITS_MAX: usize = 39;

/// Records a shard takes each second. Source: Kinesis quotas page, read 2026-11-22.
pub const SHARD_RECORDS_PER_SECOND: u32 = 1_000;

/// Bytes (data and partition key) a shard takes each second. The documents say both 1 MB and 1 MiB.
/// Source: Kinesis quotas page, read 2026-11-22.
pub const SHARD_BYTES_PER_SECOND: u32 = 1_000_000;

/// Bytes (data and partition key) a shard takes each second by the generous reading: 1 MiB, as the
/// Kinesis Producer Library counts. The embedded stream enforces this one, as the service seems to.
pub const SHARD_BYTES_PER_SECOND_ENFORCED: u32 = 1024 * 1024;

/// What is billed as one: a record counts as so many bytes, begun ones whole. Source: Kinesis pricing page ("25 KB"),
/// read as KiB as the Kinesis Producer Library does, 2026-11-22.
pub const PUT_UNIT_BYTES: usize = 25 * 1024;

/// Shards on one page of ListShards. Source: Kinesis API reference, ListShards, read 2026-11-22.
pub const LIST_SHARDS_PAGE_MAX: usize = 1_000;

/// Calls of GetRecords on one shard each second. Source: Kinesis quotas page, read 2026-11-22.
pub const SHARD_READS_PER_SECOND: u32 = 5;

/// Records in one answer of GetRecords. Source: Kinesis API reference, GetRecords, read 2026-11-22.
pub const READ_RECORDS_MAX: usize = 10_000;

/// Bytes in one answer of GetRecords: 10 MiB. Source: Kinesis API reference, GetRecords, read 2026-11-22.
pub const READ_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Life of a shard iterator. Source: Kinesis API reference, `GetShardIterator`, read 2026-11-22.
pub const SHARD_ITERATOR_LIFE: Duration = Duration::from_mins(5);

/// Keys on one page of `ListObjectsV2`. Source: S3 API reference, `ListObjectsV2`, read 2026-11-22.
pub const LIST_OBJECTS_PAGE_MAX: i32 = 1_000;

/// How long Firehose may gather records before it writes an object. Source: Firehose API reference,
/// `BufferingHints`, read 2026-11-22. When it falls behind it may take longer: hence the default slack.
pub const FIREHOSE_BUFFER_MAX: Duration = Duration::from_mins(15);

const _: () = assert!(BATCH_BYTES_MAX < REQUEST_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_DEFAULT <= RECORD_BYTES_MAX && RECORD_BYTES_MAX <= REQUEST_BYTES_MAX);
const _: () = assert!(SHARD_BYTES_PER_SECOND <= SHARD_BYTES_PER_SECOND_ENFORCED);
