//! A reader of streams that knows nothing of respool: Kinesis' JSON protocol over a plain socket.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::events::ByKey;
use crate::sandbox::until;

/// Calls `operation`; the error is what the service answered instead.
pub(crate) fn call(url: &str, operation: &str, request: &Value) -> Result<Value, Value> {
    let address = url.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let body = request.to_string();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=nobody/20261122/eu-west-1/kinesis/aws4_request\r\nX-Amz-Target: Kinesis_20131202.{operation}\r\n\
         Content-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body.as_bytes()).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let json = serde_json::from_slice(&answer[split + 4..]).unwrap_or(Value::Null);
    if answer.starts_with(b"HTTP/1.1 200 ") { Ok(json) } else { Err(json) }
}

/// Everything that stands in the stream, by key, in the order of each shard.
pub(crate) fn read_stream(url: &str, stream: &str) -> ByKey {
    let shards = call(url, "ListShards", &json!({ "StreamName": stream })).unwrap();
    let mut keys = ByKey::new();
    for shard in shards["Shards"].as_array().unwrap() {
        read_shard(url, stream, &shard["ShardId"], &mut keys);
    }
    keys
}

fn read_shard(url: &str, stream: &str, shard: &Value, keys: &mut ByKey) {
    let request = json!({ "StreamName": stream, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON" });
    let mut iterator = call(url, "GetShardIterator", &request).unwrap()["ShardIterator"].take();
    loop {
        // Reading is limited as well: what is throttled is asked for again.
        let mut page = until("a page of records", || {
            call(url, "GetRecords", &json!({ "ShardIterator": iterator })).ok()
        });
        let records = page["Records"].as_array().unwrap();
        if records.is_empty() && page["MillisBehindLatest"] == 0 {
            return;
        }
        for record in records {
            let data = base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().unwrap()).unwrap();
            keys.entry(record["PartitionKey"].as_str().unwrap().to_owned()).or_default().push(data);
        }
        iterator = page["NextShardIterator"].take();
    }
}

/// Checks that `found` holds all of `expected` and nothing else, the first occurrences of each key's
/// records in order, and gives the number of duplicates. Records of a key must be unlike each other.
pub(crate) fn check_delivered(expected: &ByKey, found: &ByKey) -> u64 {
    let mut duplicates = 0;
    for (key, records) in found {
        let expected = expected.get(key).unwrap_or_else(|| panic!("the key {key} is not in the archive"));
        let places: BTreeMap<&[u8], usize> =
            expected.iter().enumerate().map(|(place, record)| (&record[..], place)).collect();
        assert_eq!(places.len(), expected.len(), "{key}: the archive's records repeat");
        let mut next = 0;
        for record in records {
            let place = places.get(&record[..]).unwrap_or_else(|| panic!("{key}: a record nobody has sent"));
            assert!(*place <= next, "{key}: record {place} stands before {next}");
            duplicates += u64::from(*place < next);
            next = next.max(place + 1);
        }
        assert_eq!(next, expected.len(), "{key}: records are missing");
    }
    let missing: Vec<_> = expected.keys().filter(|key| !found.contains_key(*key)).collect();
    assert!(missing.is_empty(), "keys without a record: {missing:?}");
    duplicates
}
