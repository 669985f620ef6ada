use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::sim::{BurstRule, Retention, Service, ServiceConfig};

fn world() -> World {
    World::new(Service::new(ServiceConfig {
        started: Timestamp::from_second(1_795_000_000).unwrap(),
        burst_rule: BurstRule::SECOND,
        retention: Retention::All,
        transition: Duration::ZERO,
    }))
}

fn ask(world: &World, operation: &str, body: &Value) -> Result<Value, ServiceError> {
    let body = body.to_string();
    let answer = handle(
        world,
        Request { operation, region: "eu-west-1", body: body.as_bytes(), faults: (&FaultPlan::NONE, 0) },
    )?;
    Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() })
}

fn with_stream(shards: u32) -> World {
    let world = world();
    ask(&world, "CreateStream", &json!({ "StreamName": "s", "ShardCount": shards })).unwrap();
    world
}

fn refusal(operation: &str, body: &Value) -> (&'static str, String) {
    let error = ask(&with_stream(1), operation, body).unwrap_err();
    (error.code, error.message)
}

#[tokio::test(start_paused = true)]
async fn what_is_put_is_got() {
    let world = with_stream(1);
    let records = json!([
        { "Data": "aGVsbG8=", "PartitionKey": "a\u{e9}\"" },
        { "Data": "", "PartitionKey": "b", "ExplicitHashKey": "340282366920938463463374607431768211455" },
    ]);
    let put = ask(&world, "PutRecords", &json!({ "StreamName": "s", "Records": records })).unwrap();
    assert_eq!(put["FailedRecordCount"], 0);
    let shard =
        json!({ "StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON" });
    let iterator = ask(&world, "GetShardIterator", &shard).unwrap();
    let got = ask(&world, "GetRecords", &iterator).unwrap();
    for (index, expected) in records.as_array().unwrap().iter().enumerate() {
        let record = &got["Records"][index];
        assert_eq!(
            (&record["Data"], &record["PartitionKey"]),
            (&expected["Data"], &expected["PartitionKey"])
        );
        assert_eq!(record["SequenceNumber"], put["Records"][index]["SequenceNumber"]);
        assert_eq!(record["ApproximateArrivalTimestamp"], 1_795_000_000.0);
    }
    assert_eq!(got["MillisBehindLatest"], 0);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_entry_is_told_in_its_place() {
    let world = with_stream(1);
    let records = vec![json!({ "Data": "eA==", "PartitionKey": "k" }); 500];
    let body = json!({ "StreamName": "s", "Records": records });
    let failed: Vec<Value> =
        (0..3).map(|_| ask(&world, "PutRecords", &body).unwrap()["FailedRecordCount"].clone()).collect();
    assert_eq!(failed, [0, 0, 500]);
    let answer = ask(&world, "PutRecords", &body).unwrap();
    assert_eq!(
        answer["Records"][499],
        json!({
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.",
        })
    );
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_writes_nothing() {
    let world = with_stream(1);
    let body =
        json!({ "StreamName": "s", "DryRun": true, "Records": [{ "Data": "eA==", "PartitionKey": "k" }] });
    assert_eq!(ask(&world, "PutRecords", &body).unwrap_err().code, "DryRunOperationException");
    let accepted = world.act(|service, now| service.stream(now, "s").unwrap().shard(0).stats.accepted);
    assert_eq!(accepted, 0);
}

#[tokio::test(start_paused = true)]
async fn an_arn_names_a_stream_as_its_name_does() {
    let world = with_stream(1);
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/s";
    let summary = ask(&world, "DescribeStreamSummary", &json!({ "StreamARN": arn })).unwrap();
    assert_eq!(summary["StreamDescriptionSummary"]["StreamARN"], arn);
    let (code, _) = refusal("DescribeStreamSummary", &json!({ "StreamARN": "arn:aws:s3:::s" }));
    assert_eq!(code, "ValidationException");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let (code, message) = refusal("PutRecords", &json!({ "Records": [{}] }));
    assert_eq!(code, "ValidationException");
    assert!(
        message.starts_with("3 validation errors detected: Value null at 'streamName' failed"),
        "{message}"
    );
    let (code, _) = refusal("PutRecords", &json!({ "StreamName": "s", "Records": "x" }));
    assert_eq!(code, "SerializationException");
    let bad = json!({ "StreamName": "s", "Records": [{ "Data": "*", "PartitionKey": "k" }] });
    assert_eq!(refusal("PutRecords", &bad).0, "SerializationException");
    assert_eq!(refusal("SubscribeToShard", &json!({})).0, "UnknownOperationException");
}
