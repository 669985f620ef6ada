//! Streams as wholes: made, described, listed, set, tagged, deleted.

use serde_json::{Value, json};

use crate::limits::RECORD_BYTES_DEFAULT;

use super::super::model::{Capacity, NewStream, StreamState};
use super::super::service_error::ServiceError;
use super::super::world::World;
use super::check::{Check, Input, ModeInput};
use super::{arn, epoch_seconds};

/// Shards of a new on-demand stream. Source: Kinesis developer guide, on-demand mode, read 2026-11-22.
const ON_DEMAND_SHARDS: i64 = 4;
const TAGS_MAX: usize = 50;

fn named(input: &Input) -> Result<String, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    check.done().map(|()| name)
}

pub(super) fn create_stream(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.required(input.stream_name.clone(), "streamName");
    check.name(&name);
    let mode = input.stream_mode_details.as_ref().and_then(|ModeInput { stream_mode }| stream_mode.clone());
    let mode = mode.unwrap_or_else(|| "PROVISIONED".to_owned());
    check.one_of(&mode, "streamModeDetails.streamMode", &["PROVISIONED", "ON_DEMAND"]);
    let on_demand = mode == "ON_DEMAND";
    let shards = if on_demand {
        input.shard_count.unwrap_or(ON_DEMAND_SHARDS)
    } else {
        check.required(input.shard_count, "shardCount")
    };
    check.range(shards, "shardCount", 1..=100_000);
    let default_kib = (RECORD_BYTES_DEFAULT / 1024).try_into().unwrap_or(1_024);
    let record_kib = input.max_record_size_kib.unwrap_or(default_kib);
    check.range(record_kib, "maxRecordSizeInKiB", 1_024..=10_240);
    check.done()?;
    let new = NewStream {
        shards: u32::try_from(shards).unwrap_or(1),
        record_bytes_max: usize::try_from(record_kib).unwrap_or(1_024) * 1024,
        capacity: if on_demand { Capacity::OnDemand } else { Capacity::Provisioned },
    };
    world.act(|service, now| {
        service.create_stream(now, &name, new)?;
        *service.tags_mut(now, &name)? = input.tags.clone().unwrap_or_default();
        Ok(Value::Null)
    })
}

pub(super) fn delete_stream(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let name = named(input)?;
    world.act(|service, now| service.delete_stream(now, &name)).map(|()| Value::Null)
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all operations")]
pub(super) fn describe_limits(world: &World, _: &Input, _: &str) -> Result<Value, ServiceError> {
    Ok(world.act(|service, now| {
        let on_demand = service.streams(now).filter(|stream| stream.capacity == Capacity::OnDemand).count();
        let (open, max) = service.shard_quota(now);
        json!({
            "ShardLimit": max,
            "OpenShardCount": open,
            "OnDemandStreamCount": on_demand,
            "OnDemandStreamCountLimit": 50,
        })
    }))
}

pub(super) fn describe_stream_summary(
    world: &World,
    input: &Input,
    region: &str,
) -> Result<Value, ServiceError> {
    let name = named(input)?;
    world.act(|service, now| {
        let created = service.stream(now, &name)?.created;
        let created_ms = service.epoch_ms(created);
        let stream = service.stream(now, &name)?;
        let mut description = description(stream, created_ms, region);
        if let Some(fields) = description.as_object_mut() {
            fields.insert("OpenShardCount".to_owned(), stream.open_shards().len().into());
            fields.insert("ConsumerCount".to_owned(), 0.into());
            fields.insert("MaxRecordSizeInKiB".to_owned(), (stream.record_bytes_max / 1024).into());
        }
        Ok(json!({ "StreamDescriptionSummary": description }))
    })
}

/// What `DescribeStream` and `DescribeStreamSummary` have in common.
pub(super) fn description(stream: &StreamState, created_ms: i64, region: &str) -> Value {
    json!({
        "StreamName": stream.name,
        "StreamARN": arn(region, &stream.name),
        "StreamStatus": stream.status().as_str(),
        "StreamModeDetails": { "StreamMode": stream.capacity.as_str() },
        "RetentionPeriodHours": stream.retention_hours,
        "StreamCreationTimestamp": epoch_seconds(created_ms),
        "EnhancedMonitoring": [{ "ShardLevelMetrics": [] }],
        "EncryptionType": if stream.encryption_key.is_some() { "KMS" } else { "NONE" },
        "KeyId": stream.encryption_key,
    })
}

pub(super) fn list_streams(world: &World, input: &Input, region: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let limit = input.limit.unwrap_or(100);
    check.range(limit, "limit", 1..=10_000);
    check.done()?;
    let after = input.next_token.clone().or(input.exclusive_start_stream_name.clone()).unwrap_or_default();
    let streams = world.act(|service, now| {
        let rows: Vec<_> = service
            .streams(now)
            .filter(|stream| stream.name > after)
            .map(|stream| (stream.name.clone(), stream.status(), stream.capacity, stream.created))
            .collect();
        rows.into_iter()
            .map(|(name, status, capacity, created)| (name, status, capacity, service.epoch_ms(created)))
            .collect::<Vec<_>>()
    });
    let page = streams.get(..usize::try_from(limit).unwrap_or(1).min(streams.len())).unwrap_or_default();
    let more = page.len() < streams.len();
    let summaries: Vec<Value> = page
        .iter()
        .map(|(name, status, capacity, created_ms)| {
            json!({
                "StreamName": name,
                "StreamARN": arn(region, name),
                "StreamStatus": status.as_str(),
                "StreamModeDetails": { "StreamMode": capacity.as_str() },
                "StreamCreationTimestamp": epoch_seconds(*created_ms),
            })
        })
        .collect();
    let names: Vec<&str> = page.iter().map(|(name, ..)| name.as_str()).collect();
    let mut answer = json!({ "StreamNames": names, "HasMoreStreams": more, "StreamSummaries": summaries });
    if let (true, Some(last), Some(fields)) = (more, names.last(), answer.as_object_mut()) {
        fields.insert("NextToken".to_owned(), (*last).into());
    }
    Ok(answer)
}

pub(super) fn increase_retention(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    set_retention(world, input, true)
}

pub(super) fn decrease_retention(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    set_retention(world, input, false)
}

fn set_retention(world: &World, input: &Input, raise: bool) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let hours = check.required(input.retention_period_hours, "retentionPeriodHours");
    check.range(hours, "retentionPeriodHours", 1..=i64::from(u32::MAX));
    check.done()?;
    let hours = u32::try_from(hours).unwrap_or(u32::MAX);
    world.act(|service, now| service.set_retention(now, &name, hours, raise)).map(|()| Value::Null)
}

pub(super) fn update_max_record_size(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let kib = check.required(input.max_record_size_kib, "maxRecordSizeInKiB");
    check.range(kib, "maxRecordSizeInKiB", 1_024..=10_240);
    check.done()?;
    let bytes = usize::try_from(kib).unwrap_or(1_024) * 1024;
    world.act(|service, now| service.set_record_bytes_max(now, &name, bytes)).map(|()| Value::Null)
}

pub(super) fn start_encryption(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let (name, key) = encryption(input)?;
    world.act(|service, now| service.set_encryption(now, &name, Some(key))).map(|()| Value::Null)
}

pub(super) fn stop_encryption(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let (name, _) = encryption(input)?;
    world.act(|service, now| service.set_encryption(now, &name, None)).map(|()| Value::Null)
}

fn encryption(input: &Input) -> Result<(String, String), ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let kind = check.required(input.encryption_type.clone(), "encryptionType");
    check.one_of(&kind, "encryptionType", &["KMS"]);
    let key = check.required(input.key_id.clone(), "keyId");
    check.done().map(|()| (name, key))
}

/// Nobody can register here: a worker with enhanced fan-out needs another server.
pub(super) fn list_consumers(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let name = named(input)?;
    world.act(|service, now| service.stream(now, &name).map(|_| json!({ "Consumers": [] })))
}

pub(super) fn add_tags(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let added = check.required(input.tags.clone(), "tags");
    check.done()?;
    world.act(|service, now| {
        let tags = service.tags_mut(now, &name)?;
        let new = added.keys().filter(|key| !tags.contains_key(*key)).count();
        if tags.len() + new > TAGS_MAX {
            let message = format!("Failed to add tags to stream {name}: more than {TAGS_MAX} tags.");
            return Err(ServiceError::client("LimitExceededException", message));
        }
        tags.extend(added);
        Ok(Value::Null)
    })
}

pub(super) fn remove_tags(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let keys = check.required(input.tag_keys.clone(), "tagKeys");
    check.done()?;
    world.act(|service, now| {
        service.tags_mut(now, &name)?.retain(|key, _| !keys.contains(key));
        Ok(Value::Null)
    })
}

pub(super) fn list_tags(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let limit = input.limit.unwrap_or(50);
    check.range(limit, "limit", 1..=50);
    check.done()?;
    let after = input.exclusive_start_tag_key.as_ref();
    world.act(|service, now| {
        let tags = service.tags_mut(now, &name)?;
        let mut rest = tags.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        let page: Vec<Value> = rest
            .by_ref()
            .take(usize::try_from(limit).unwrap_or(1))
            .map(|(key, value)| json!({ "Key": key, "Value": value }))
            .collect();
        Ok(json!({ "Tags": page, "HasMoreTags": rest.next().is_some() }))
    })
}
