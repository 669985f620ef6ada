//! A worker's progress as the Kinesis Client Library keeps it: one row of its DynamoDB table.
//!
//! The table holds a lease a shard, and since version 3.5 rows of other kinds as well, told apart by
//! `entityType`; a row of an older version has none and is a lease. The key is the shard's name, or
//! `ACCOUNT:STREAM:CREATED:SHARD` where one worker reads several streams. `checkpoint` is a word or a
//! sequence number, and `checkpointSubSequenceNumber` the place inside the aggregate of that number. Source: amazon-kinesis-client 3.5.1, `DynamoDBLeaseSerializer`, `Lease`,
//! `MultiStreamLease` and its FAQ, read 2026-11-22.
//!
//! What cannot be understood is an error: a worker whose progress is guessed may lose records.

use serde_json::{Map, Value};

use crate::record::SequenceNumber;

/// The only kind of row that matters here.
const LEASE: &str = "LEASE";

/// How far a worker is in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseCheckpoint {
    /// It begins at the oldest record, and has not begun.
    TrimHorizon,
    /// It begins behind the newest record of the moment in which it begins.
    Latest,
    /// It begins at a time that the table does not tell.
    AtTimestamp,
    /// It has read a closed shard to its end.
    ShardEnd,
    /// It is done with everything up to this record, or up to one of those inside it.
    Number(SequenceNumber),
}

/// One shard's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard.
    pub shard: String,
    /// Which stream's, where the table says so.
    pub stream: Option<LeaseStream>,
    /// How far it is.
    pub checkpoint: LeaseCheckpoint,
    /// Up to which record of an aggregate that has the checkpoint's number, from 0.
    pub sub_sequence_number: u64,
    /// The worker that holds it.
    pub owner: Option<String>,
    /// The shards that it came of.
    pub parents: Vec<String>,
}

/// The stream that a multi-stream lease belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStream {
    /// The account.
    pub account: String,
    /// Its name.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: String,
}

/// Why a row is no lease that can be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// No key, or not a text.
    #[error("a row has no leaseKey: it is no table of the Kinesis Client Library")]
    NoKey,
    /// A lease without the one thing that counts.
    #[error("the lease {key} has no checkpoint: it is no table of the Kinesis Client Library")]
    NoCheckpoint {
        /// Which.
        key: String,
    },
    /// A checkpoint that is neither a known word nor a number.
    #[error("the lease {key} has the checkpoint {found:?}, which this version of respool does not know")]
    Checkpoint {
        /// Which.
        key: String,
        /// What stands there.
        found: String,
    },
    /// A place inside an aggregate that is no number.
    #[error(
        "the lease {key} has no number as its checkpointSubSequenceNumber, which this version of respool does not know"
    )]
    SubSequence {
        /// Which.
        key: String,
    },
}

impl Lease {
    /// The lease in a row as DynamoDB's JSON has it (`{"leaseKey": {"S": "shardId-…"}, …}`); `None` for a
    /// row of another kind.
    pub fn of_row(row: &Map<String, Value>) -> Result<Option<Self>, LeaseError> {
        if text(row, "entityType").is_some_and(|kind| kind != LEASE) {
            return Ok(None);
        }
        let key = text(row, "leaseKey").ok_or(LeaseError::NoKey)?;
        let checkpoint =
            text(row, "checkpoint").ok_or_else(|| LeaseError::NoCheckpoint { key: key.to_owned() })?;
        let checkpoint = match checkpoint {
            "TRIM_HORIZON" => LeaseCheckpoint::TrimHorizon,
            "LATEST" => LeaseCheckpoint::Latest,
            "AT_TIMESTAMP" => LeaseCheckpoint::AtTimestamp,
            "SHARD_END" => LeaseCheckpoint::ShardEnd,
            number => SequenceNumber::new(number)
                .map(LeaseCheckpoint::Number)
                .ok_or_else(|| LeaseError::Checkpoint { key: key.to_owned(), found: number.to_owned() })?,
        };
        // The library reads a place that is not there as 0, too.
        let sub_sequence_number = match row.get("checkpointSubSequenceNumber") {
            None => 0,
            Some(value) => value
                .get("N")
                .and_then(Value::as_str)
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| LeaseError::SubSequence { key: key.to_owned() })?,
        };
        let (stream, shard) = match key.splitn(4, ':').collect::<Vec<_>>().as_slice() {
            [account, name, created, shard] => {
                let [account, name, created] = [account, name, created].map(|part| (*part).to_owned());
                (Some(LeaseStream { account, name, created }), (*shard).to_owned())
            }
            _ => (None, key.to_owned()),
        };
        let parents = row.get("parentShardId").and_then(|value| value.get("SS")).and_then(Value::as_array);
        let parents = parents.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let owner = text(row, "leaseOwner").map(str::to_owned);
        Ok(Some(Self { shard, stream, checkpoint, sub_sequence_number, owner, parents: parents.collect() }))
    }
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    row.get(name)?.get("S")?.as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NUMBER: &str = "49590338271490256608559692538361571095921575989136588898";

    fn lease(row: &Value) -> Result<Option<Lease>, LeaseError> {
        Lease::of_row(row.as_object().unwrap())
    }

    #[test]
    fn a_row_of_version_2_is_a_lease() {
        let found = lease(&json!({
            "leaseKey": { "S": "shardId-000000000003" },
            "leaseOwner": { "S": "worker-1" },
            "leaseCounter": { "N": "812" },
            "ownerSwitchesSinceCheckpoint": { "N": "0" },
            "checkpoint": { "S": NUMBER },
            "checkpointSubSequenceNumber": { "N": "4" },
            "parentShardId": { "SS": ["shardId-000000000001", "shardId-000000000002"] },
            "startingHashKey": { "S": "0" },
            "endingHashKey": { "S": "340282366920938463463374607431768211455" },
        }));
        let lease = found.unwrap().unwrap();
        assert_eq!(
            (lease.shard.as_str(), lease.owner.as_deref()),
            ("shardId-000000000003", Some("worker-1"))
        );
        assert_eq!(lease.checkpoint, LeaseCheckpoint::Number(SequenceNumber::new(NUMBER).unwrap()));
        assert_eq!((lease.parents.len(), lease.sub_sequence_number), (2, 4));
        assert_eq!(lease.stream, None);
    }

    #[test]
    fn a_row_of_version_3_may_name_its_stream_and_be_something_else() {
        let found = lease(&json!({
            "leaseKey": { "S": "123456789012:orders-backfill:1795000000:shardId-000000000000" },
            "streamName": { "S": "123456789012:orders-backfill:1795000000" },
            "shardId": { "S": "shardId-000000000000" },
            "entityType": { "S": "LEASE" },
            "checkpoint": { "S": "SHARD_END" },
            "throughputKBps": { "N": "12.5" },
            "checkpointOwner": { "S": "worker-2" },
        }));
        let lease_found = found.unwrap().unwrap();
        assert_eq!((lease_found.shard.as_str(), lease_found.owner), ("shardId-000000000000", None));
        let stream = lease_found.stream.unwrap();
        assert_eq!((stream.name.as_str(), stream.created.as_str()), ("orders-backfill", "1795000000"));
        for kind in ["STREAM", "LEADER", "CLIENT_VERSION_MIGRATION", "TABLE_MIGRATION", "WORKER_METRIC_STATS"]
        {
            let other = json!({ "leaseKey": { "S": "x" }, "entityType": { "S": kind } });
            assert_eq!(lease(&other), Ok(None), "{kind}");
        }
    }

    #[test]
    fn what_is_no_lease_is_not_guessed() {
        assert_eq!(lease(&json!({ "id": { "S": "7" } })), Err(LeaseError::NoKey));
        let without = lease(&json!({ "leaseKey": { "S": "shardId-000000000000" } })).unwrap_err();
        assert!(without.to_string().contains("no checkpoint"), "{without}");
        for odd in ["", "FORTY_TWO", "-1", "007", "4.2"] {
            let row = json!({ "leaseKey": { "S": "s" }, "checkpoint": { "S": odd } });
            assert!(matches!(lease(&row), Err(LeaseError::Checkpoint { .. })), "{odd}");
        }
        for odd in [json!({ "N": "-1" }), json!({ "N": "x" }), json!({ "S": "0" }), json!(0)] {
            let row = json!({
                "leaseKey": { "S": "s" },
                "checkpoint": { "S": NUMBER },
                "checkpointSubSequenceNumber": odd,
            });
            assert!(matches!(lease(&row), Err(LeaseError::SubSequence { .. })), "{odd}");
        }
        for (word, checkpoint) in [
            ("TRIM_HORIZON", LeaseCheckpoint::TrimHorizon),
            ("LATEST", LeaseCheckpoint::Latest),
            ("AT_TIMESTAMP", LeaseCheckpoint::AtTimestamp),
        ] {
            let row = json!({ "leaseKey": { "S": "s" }, "checkpoint": { "S": word } });
            assert_eq!(lease(&row).unwrap().unwrap().checkpoint, checkpoint);
        }
    }
}
