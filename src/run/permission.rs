//! What IAM has to allow for each thing that we do: one table, for the policy that is asked for beforehand and for the
//! statement that a refusal names. And the names of what it is allowed on, with a star for each part that is not known.
//!
//! Source: AWS' service authorization reference, read 2026-11-22.
//!
//! Pure.

use serde_json::{Value, json};

use crate::stream::StreamDescription;
use crate::stream::name::StreamName;

/// To list an archive.
pub const LIST_ARCHIVE: &str = "s3:ListBucket";
/// To read its objects.
pub const READ_ARCHIVE: &str = "s3:GetObject";
/// To find the version of an object that was listed, where it was overwritten since.
pub const LIST_VERSIONS: &str = "s3:ListBucketVersions";
/// To read that.
pub const READ_VERSION: &str = "s3:GetObjectVersion";
/// To bring objects back from an archive tier.
pub const RESTORE_ARCHIVE: &str = "s3:RestoreObject";
/// To describe a stream.
pub const DESCRIBE: &str = "kinesis:DescribeStreamSummary";
/// To list its shards.
pub const LIST_SHARDS: &str = "kinesis:ListShards";
/// To put records into it.
pub const PUT: &str = "kinesis:PutRecords";
/// All that a replay needs of its stream.
pub const WRITE_STREAM: [&str; 3] = [DESCRIBE, LIST_SHARDS, PUT];
/// What `respool verify` needs besides.
pub const READ_STREAM: [&str; 2] = ["kinesis:GetRecords", "kinesis:GetShardIterator"];
/// To see a stream's tags.
pub const LIST_TAGS: &str = "kinesis:ListTagsForStream";
/// To see a stream with its tags.
pub const LOOK_AT_STREAM: [&str; 2] = [DESCRIBE, LIST_TAGS];
/// To make one that carries tags.
pub const CREATE_STREAM: [&str; 2] = ["kinesis:CreateStream", TAG_STREAM];
/// To give it tags.
pub const TAG_STREAM: &str = "kinesis:AddTagsToStream";
/// To have it keep records for longer.
pub const RAISE_RETENTION: &str = "kinesis:IncreaseStreamRetentionPeriod";
/// To have it take larger records.
pub const RAISE_RECORD_SIZE: &str = "kinesis:UpdateMaxRecordSize";
/// To have it encrypted.
pub const ENCRYPT_STREAM: &str = "kinesis:StartStreamEncryption";
/// To give it other shards.
pub const SCALE_STREAM: &str = "kinesis:UpdateShardCount";
/// To delete it.
pub const DELETE_STREAM: &str = "kinesis:DeleteStream";
/// To have a stream encrypted with a key of KMS.
pub const LOOK_AT_KEY: &str = "kms:DescribeKey";
/// To write with one.
pub const ENCRYPT: &str = "kms:GenerateDataKey";
/// To read with one.
pub const DECRYPT: &str = "kms:Decrypt";
/// To read a worker's leases.
pub const READ_LEASES: &str = "dynamodb:Scan";
/// To read how old the records are that are read.
pub const READ_AGES: &str = "cloudwatch:GetMetricData";
/// To list what is delivered.
pub const LIST_DELIVERIES: &str = "firehose:ListDeliveryStreams";
/// To see from where and to where.
pub const DESCRIBE_DELIVERY: &str = "firehose:DescribeDeliveryStream";

/// The statement that allows `actions` on `resource`.
#[must_use]
pub fn allow(actions: &[&str], resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
}

/// The same as text to paste.
#[must_use]
pub fn statement(actions: &[&str], resource: &str) -> String {
    format!("{:#}", allow(actions, resource))
}

/// A statement as one line, with blanks at which it may be broken and still be pasted.
#[must_use]
pub fn in_one_line(statement: &Value) -> String {
    format!("{statement:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The statement that allows `action` on a bucket, for what lies below a prefix.
#[must_use]
pub fn allow_on_bucket(action: &str, bucket: &str, prefix: &str, region: Option<&str>) -> Value {
    let mut statement = allow(&[action], &bucket_name(bucket, region));
    if !prefix.is_empty()
        && let Some(statement) = statement.as_object_mut()
    {
        let below = json!({ "StringLike": { "s3:prefix": format!("{prefix}*") } });
        statement.insert("Condition".to_owned(), below);
    }
    statement
}

/// The full name of the objects below a prefix.
#[must_use]
pub fn objects(bucket: &str, prefix: &str, region: Option<&str>) -> String {
    format!("{}/{prefix}*", bucket_name(bucket, region))
}

/// The ARN of an access point or a bucket stands for itself.
fn bucket_name(bucket: &str, region: Option<&str>) -> String {
    if bucket.starts_with("arn:") {
        return bucket.to_owned();
    }
    format!("arn:{}:s3:::{bucket}", partition(region))
}

/// Which of AWS' partitions a region lies in.
fn partition(region: Option<&str>) -> &'static str {
    match region {
        Some(region) if region.starts_with("cn-") => "aws-cn",
        Some(region) if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The stream's full name as far as it is known.
#[must_use]
pub fn resource(stream: &StreamName, region: Option<&str>, found: Option<&StreamDescription>) -> String {
    if let Some(arn) = found.and_then(|found| found.arn.clone()) {
        return arn;
    }
    match stream {
        StreamName::Arn(arn) => arn.as_str().to_owned(),
        StreamName::Name(name) => full_name("kinesis", region, &format!("stream/{name}")),
    }
}

/// The full name of something of whatever account.
#[must_use]
pub fn full_name(service: &str, region: Option<&str>, what: &str) -> String {
    format!("arn:{}:{service}:{}:*:{what}", partition(region), region.unwrap_or("*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_can_be_pasted() {
        let stream: StreamName = "orders".parse().unwrap();
        let resource = resource(&stream, Some("eu-west-1"), None);
        assert_eq!(resource, "arn:aws:kinesis:eu-west-1:*:stream/orders");
        let statement: Value = serde_json::from_str(&statement(&[PUT], &resource)).unwrap();
        assert_eq!(statement["Action"][0], "kinesis:PutRecords");
        assert_eq!(statement["Effect"], "Allow");
    }

    #[test]
    fn a_statement_in_one_line_can_be_pasted_wherever_it_is_broken() {
        let statement = allow_on_bucket(LIST_ARCHIVE, "events", "live/", None);
        let line = in_one_line(&statement);
        for text in [line.clone(), line.replace(' ', "\n  ")] {
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), statement, "{text}");
        }
        assert_eq!(statement["Condition"]["StringLike"]["s3:prefix"], "live/*");
        assert_eq!(allow_on_bucket(LIST_ARCHIVE, "events", "", None)["Condition"], Value::Null);
    }

    #[test]
    fn each_partition_has_its_own_name() {
        for (region, name) in [
            (None, "arn:aws:dynamodb:*:*:table/t"),
            (Some("cn-north-1"), "arn:aws-cn:dynamodb:cn-north-1:*:table/t"),
            (Some("us-gov-west-1"), "arn:aws-us-gov:dynamodb:us-gov-west-1:*:table/t"),
        ] {
            assert_eq!(full_name("dynamodb", region, "table/t"), name);
        }
        assert_eq!(objects("events", "live/", Some("cn-north-1")), "arn:aws-cn:s3:::events/live/*");
        let statement = allow_on_bucket(LIST_ARCHIVE, "events", "", Some("us-gov-west-1"));
        assert_eq!(statement["Resource"], "arn:aws-us-gov:s3:::events");
        assert_eq!(objects("arn:aws:s3:::events", "", None), "arn:aws:s3:::events/*");
    }
}
