//! Kinesis' JSON protocol: an operation's name and a body in, a body or an error out.
//!
//! AWS JSON 1.1 as boto3, the AWS CLI and the Rust SDK speak it: bytes in base64, timestamps as seconds
//! since 1970, errors as an object with `__type` and `message`. Nothing here knows of HTTP. The writing
//! path borrows from the request's body and holds the lock only while the model acts.

mod check;
mod control;
mod records;
mod shards;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use super::fault::FaultPlan;
use super::service_error::{ACCOUNT, ServiceError};
use super::world::World;
use check::{Input, parse};

/// One request, stripped of its transport.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The operation, without the version prefix: `PutRecords`.
    pub operation: &'a str,
    /// The region of the request's credential scope.
    pub region: &'a str,
    /// The JSON body.
    pub body: &'a [u8],
    /// What goes wrong with the entries of this PutRecords call, and its number.
    pub faults: (&'a FaultPlan, u64),
}

/// Carries out a request; the answer is a JSON body, possibly empty.
pub fn handle(world: &World, request: Request<'_>) -> Result<Vec<u8>, ServiceError> {
    match request.operation {
        "PutRecords" => return records::put_records(world, request.body, request.faults),
        "PutRecord" => return records::put_record(world, request.body),
        "GetRecords" => return records::get_records(world, &parse(request.body)?),
        _ => {}
    }
    let Some(operation) = operation(request.operation) else {
        return Err(ServiceError::client("UnknownOperationException", "Unknown operation"));
    };
    let input: Input = parse(request.body)?;
    match operation(world, &input, request.region)? {
        Value::Null => Ok(Vec::new()),
        answer => Ok(answer.to_string().into_bytes()),
    }
}

type Operation = fn(&World, &Input, &str) -> Result<Value, ServiceError>;

fn operation(name: &str) -> Option<Operation> {
    let operation: Operation = match name {
        "CreateStream" => control::create_stream,
        "DeleteStream" => control::delete_stream,
        "DescribeLimits" => control::describe_limits,
        "DescribeStream" => shards::describe_stream,
        "DescribeStreamSummary" => control::describe_stream_summary,
        "ListStreams" => control::list_streams,
        "ListShards" => shards::list_shards,
        "SplitShard" => shards::split_shard,
        "MergeShards" => shards::merge_shards,
        "UpdateShardCount" => shards::update_shard_count,
        "GetShardIterator" => records::get_shard_iterator,
        "IncreaseStreamRetentionPeriod" => control::increase_retention,
        "DecreaseStreamRetentionPeriod" => control::decrease_retention,
        "UpdateMaxRecordSize" => control::update_max_record_size,
        "StartStreamEncryption" => control::start_encryption,
        "StopStreamEncryption" => control::stop_encryption,
        "ListStreamConsumers" => control::list_consumers,
        "AddTagsToStream" => control::add_tags,
        "RemoveTagsFromStream" => control::remove_tags,
        "ListTagsForStream" => control::list_tags,
        _ => return None,
    };
    Some(operation)
}

/// An error as it stands in a response.
pub fn error_body(error: &ServiceError) -> Vec<u8> {
    json!({ "__type": error.code, "message": error.message }).to_string().into_bytes()
}

fn arn(region: &str, name: &str) -> String {
    format!("arn:aws:kinesis:{region}:{ACCOUNT}:stream/{name}")
}

/// Milliseconds since 1970 as the protocol writes instants.
fn epoch_seconds(epoch_ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this millennium fit into 53 bits")]
    let millis = epoch_ms as f64;
    millis / 1_000.0
}

/// The protocol's instant in milliseconds since 1970.
fn epoch_millis(seconds: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and so shall the instant")]
    let millis = (seconds * 1_000.0).round() as i64;
    millis
}

fn dry_run_succeeded() -> ServiceError {
    ServiceError::client(
        "DryRunOperationException",
        "Request would have succeeded, but DryRun parameter is set.",
    )
}
