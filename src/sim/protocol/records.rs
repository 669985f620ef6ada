//! Writing and reading records: the hot path.
//!
//! A request's data is decoded into one buffer that its records share; keys are the only other copies.

use std::borrow::Cow;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::limits::{BATCH_ENTRIES_MAX, HASH_KEY_DIGITS_MAX, RECORD_BYTES_MAX, REQUEST_BYTES_MAX};
use crate::record::{HashKey, PartitionKey, Payload};
use crate::stream::Entry;

use super::super::fault::{CallFault, FaultPlan};
use super::super::faulty::{self, Told};
use super::super::model::{IteratorStart, PutResult};
use super::super::sequence::Sequence;
use super::super::service_error::{ACCOUNT, ServiceError, rate_exceeded};
use super::super::world::World;
use super::check::{Check, Input, parse};
use super::{dry_run_succeeded, epoch_millis, epoch_seconds};

/// A string of the request, borrowed unless it holds escapes.
#[derive(Debug, Default, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EntryInput<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsInput<'a> {
    #[serde(borrow)]
    records: Option<Vec<EntryInput<'a>>>,
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordInput<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    partition_key: Option<Text<'a>>,
    #[serde(borrow)]
    explicit_hash_key: Option<Text<'a>>,
    sequence_number_for_ordering: Option<String>,
    stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    stream_arn: Option<String>,
    dry_run: Option<bool>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct PutRecordsAnswer {
    failed_record_count: usize,
    records: Vec<EntryAnswer>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase", untagged)]
enum EntryAnswer {
    #[serde(rename_all = "PascalCase")]
    Stored { sequence_number: String, shard_id: String },
    #[serde(rename_all = "PascalCase")]
    Failed { error_code: &'static str, error_message: String },
}

/// The entries' data, decoded into one buffer: its end in it for each.
fn decode(inputs: &[EntryInput<'_>], check: &mut Check) -> Result<(Bytes, Vec<usize>), ServiceError> {
    let text = |input: &EntryInput<'_>| input.data.as_ref().map_or(0, |data| data.0.len());
    let mut buffer = Vec::with_capacity(inputs.iter().map(text).sum::<usize>() / 4 * 3);
    let mut ends = Vec::with_capacity(inputs.len());
    for (place, input) in inputs.iter().enumerate() {
        let start = buffer.len();
        match &input.data {
            Some(data) => STANDARD
                .decode_append(data.0.as_bytes(), &mut buffer)
                .map_err(|_| ServiceError::client("SerializationException", "Data is not base64"))?,
            None => check.finding("null", &format!("records.{}.member.data", place + 1), "not be null"),
        }
        if buffer.len() - start > RECORD_BYTES_MAX {
            let constraint = format!("have length less than or equal to {RECORD_BYTES_MAX}");
            check.finding("[bytes]", &format!("records.{}.member.data", place + 1), constraint);
        }
        ends.push(buffer.len());
    }
    Ok((Bytes::from(buffer), ends))
}

/// The entries as the model takes them.
fn entries(
    inputs: Vec<EntryInput<'_>>,
    mut check: Check,
    member: impl Fn(usize, &str) -> String,
) -> Result<Vec<Entry>, ServiceError> {
    let (buffer, ends) = decode(&inputs, &mut check)?;
    for (place, input) in inputs.iter().enumerate() {
        match &input.partition_key {
            Some(key) => check.partition_key(&key.0, || member(place, "partitionKey")),
            None => check.finding("null", &member(place, "partitionKey"), "not be null"),
        }
        if let Some(hash) = &input.explicit_hash_key {
            check.decimal(&hash.0, || member(place, "explicitHashKey"), HASH_KEY_DIGITS_MAX);
        }
    }
    check.done()?;
    let mut start = 0;
    let mut entries = Vec::with_capacity(inputs.len());
    for (input, end) in inputs.into_iter().zip(ends) {
        let data = Payload(buffer.slice(start..end));
        start = end;
        let key = PartitionKey::new(input.partition_key.unwrap_or_default().0)
            .map_err(|error| ServiceError::validation(&[error.to_string()]))?;
        let explicit_hash_key =
            input.explicit_hash_key.map(|hash| hash_key(&hash.0, "ExplicitHashKey")).transpose()?;
        entries.push(Entry { data, key, explicit_hash_key });
    }
    Ok(entries)
}

/// A hash key below 2^128.
pub(super) fn hash_key(text: &str, member: &str) -> Result<HashKey, ServiceError> {
    text.parse().map_err(|_| {
        ServiceError::invalid_argument(format!(
            "Invalid {member}. {member} must be in the range: [0, 2^128-1]. Specified value was {text}"
        ))
    })
}

pub(super) fn put_records(
    world: &World,
    body: &[u8],
    (plan, call): (&FaultPlan, u64),
) -> Result<Vec<u8>, ServiceError> {
    let input: PutRecordsInput<'_> = parse(body)?;
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let inputs = check.required(input.records, "records");
    if inputs.len() > BATCH_ENTRIES_MAX {
        check.finding(
            "'[records]'",
            "records",
            format!("have length less than or equal to {BATCH_ENTRIES_MAX}"),
        );
        return check.done().map(|()| Vec::new());
    }
    if inputs.is_empty() {
        check.finding("'[]'", "records", "have length greater than or equal to 1");
    }
    let entries = entries(inputs, check, |place, field| format!("records.{}.member.{field}", place + 1))?;
    if entries.iter().map(Entry::cost).sum::<usize>() > REQUEST_BYTES_MAX {
        return Err(ServiceError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    let results = world.act(|service, now| {
        if input.dry_run == Some(true) {
            service.serving_stream(now, &name)?.check_sizes(&entries)?;
            return Err(dry_run_succeeded());
        }
        faulty::put(service, now, &name, entries, (plan, call))
    })?;
    let mut records: Vec<EntryAnswer> = results.into_iter().map(|told| told_answer(&name, told)).collect();
    if plan.call(call) == Some(CallFault::Miscount) {
        records.pop();
    }
    let failed = records.iter().filter(|record| matches!(record, EntryAnswer::Failed { .. })).count();
    written(&PutRecordsAnswer { failed_record_count: failed, records })
}

fn told_answer(stream: &str, told: Told) -> EntryAnswer {
    let failed =
        |error_code, message: &str| EntryAnswer::Failed { error_code, error_message: message.into() };
    match told {
        Told::Truth(result) => entry_answer(stream, result),
        Told::Failed => failed("InternalFailure", "Internal Service Failure"),
        Told::Garbled => failed("SomethingNew", "Nobody knows this code"),
    }
}

fn entry_answer(stream: &str, result: PutResult) -> EntryAnswer {
    match result {
        PutResult::Stored { shard, sequence } => {
            EntryAnswer::Stored { sequence_number: sequence.to_string(), shard_id: shard.to_string() }
        }
        PutResult::Throttled { shard } => EntryAnswer::Failed {
            error_code: "ProvisionedThroughputExceededException",
            error_message: rate_exceeded(stream, &shard),
        },
    }
}

pub(super) fn put_record(world: &World, body: &[u8]) -> Result<Vec<u8>, ServiceError> {
    let input: PutRecordInput<'_> = parse(body)?;
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    if let Some(number) = input.sequence_number_for_ordering.as_deref()
        && Sequence::parse(number).is_none()
    {
        let message = format!(
            "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {ACCOUNT} is invalid."
        );
        return Err(ServiceError::invalid_argument(message));
    }
    let one = EntryInput {
        data: input.data,
        partition_key: input.partition_key,
        explicit_hash_key: input.explicit_hash_key,
    };
    let entries = entries(vec![one], check, |_, field| field.to_owned())?;
    let results = world.act(|service, now| {
        if input.dry_run == Some(true) {
            service.serving_stream(now, &name)?.check_sizes(&entries)?;
            return Err(dry_run_succeeded());
        }
        service.put(now, &name, entries)
    });
    let results = results.map_err(|mut error| {
        error.message = error.message.replace("records.1.member.data", "data");
        error
    })?;
    match results.into_iter().next() {
        Some(PutResult::Throttled { shard }) => Err(ServiceError::throttled(&name, &shard)),
        Some(stored) => written(&entry_answer(&name, stored)),
        None => unreachable!("one result per entry"),
    }
}

pub(super) fn get_shard_iterator(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let shard = check.required(input.shard_id.clone(), "shardId");
    let kind = check.required(input.shard_iterator_type.clone(), "shardIteratorType");
    let kinds = ["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];
    check.one_of(&kind, "shardIteratorType", &kinds);
    check.done()?;
    let number = || {
        input.starting_sequence_number.as_deref().ok_or_else(|| {
            ServiceError::invalid_argument(format!(
                "Must either specify (1) {kind} and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no \
                 StartingSequenceNumber. Request specified {kind} and no StartingSequenceNumber."
            ))
        })
    };
    world.act(|service, now| {
        let start = match kind.as_str() {
            "TRIM_HORIZON" => IteratorStart::TrimHorizon,
            "AT_SEQUENCE_NUMBER" => IteratorStart::At(number()?),
            "AFTER_SEQUENCE_NUMBER" => IteratorStart::After(number()?),
            "AT_TIMESTAMP" => {
                let seconds = input.timestamp.ok_or_else(|| {
                    ServiceError::invalid_argument("Must specify timestamp for AT_TIMESTAMP iterator.")
                })?;
                let wanted_ms = epoch_millis(seconds);
                if wanted_ms > service.epoch_ms(now) {
                    let message = "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis.";
                    return Err(ServiceError::invalid_argument(message));
                }
                IteratorStart::Time(service.time_of_epoch_ms(wanted_ms))
            }
            _ => IteratorStart::Latest,
        };
        let iterator = service.shard_iterator(now, &name, &shard, start)?;
        if input.dry_run == Some(true) {
            return Err(dry_run_succeeded());
        }
        Ok(json!({ "ShardIterator": iterator }))
    })
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecordsAnswer {
    records: Vec<RecordAnswer>,
    next_shard_iterator: Option<String>,
    millis_behind_latest: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    child_shards: Vec<Value>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RecordAnswer {
    sequence_number: String,
    approximate_arrival_timestamp: f64,
    data: String,
    partition_key: String,
}

pub(super) fn get_records(world: &World, input: &Input) -> Result<Vec<u8>, ServiceError> {
    let mut check = Check::default();
    let iterator = check.required(input.shard_iterator.clone(), "shardIterator");
    let limit = input.limit.unwrap_or(10_000);
    check.range(limit, "limit", 1..=10_000);
    check.done()?;
    let (answer, start_ms) = world.act(|service, now| {
        if input.dry_run == Some(true) {
            service.check_iterator(now, &iterator)?;
            return Err(dry_run_succeeded());
        }
        let answer = service.read(now, &iterator, usize::try_from(limit).unwrap_or(1))?;
        Ok((answer, service.epoch_ms(super::super::SimTime::START)))
    })?;
    let records = answer.records.iter().map(|record| {
        let since_start = i64::try_from(record.arrival.since_start().as_millis()).unwrap_or(i64::MAX);
        RecordAnswer {
            sequence_number: record.sequence.to_string(),
            approximate_arrival_timestamp: epoch_seconds(start_ms.saturating_add(since_start)),
            data: STANDARD.encode_to_string(&record.data.0),
            partition_key: record.key.as_str().to_owned(),
        }
    });
    let children = answer.children.iter().map(|child| {
        json!({
            "ShardId": child.id,
            "ParentShards": child.parents,
            "HashKeyRange": { "StartingHashKey": child.range.first, "EndingHashKey": child.range.last },
        })
    });
    written(&GetRecordsAnswer {
        records: records.collect(),
        next_shard_iterator: answer.next_iterator,
        millis_behind_latest: u64::try_from(answer.behind.as_millis()).unwrap_or(u64::MAX),
        child_shards: children.collect(),
    })
}

fn written(answer: &impl Serialize) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(answer).map_err(|error| ServiceError {
        code: "InternalFailure",
        message: error.to_string(),
        status: 500,
    })
}
