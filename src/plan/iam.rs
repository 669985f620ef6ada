//! The smallest IAM policy for a replay, to paste.
//!
//! What each call needs stands in [`permission`]. What is not known is a `*` in its place: an account, a region.
//!
//! Pure.

use serde_json::{Value, json};

use crate::config::{ArchiveAddress, IamConfig, PlannedStream, ProgressIn, RETENTION_HOURS_DEFAULT, Target};
use crate::run::permission;

/// The policy; `None` if nothing in AWS is asked for anything.
pub fn policy(config: &IamConfig) -> Option<Value> {
    let mut statements = archive(config);
    statements.extend(stream(config));
    (!statements.is_empty()).then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn allow(name: &str, actions: &[&str], resource: &str) -> Value {
    named(name, permission::allow(actions, resource))
}

fn named(name: &str, mut statement: Value) -> Value {
    if let Some(fields) = statement.as_object_mut() {
        fields.insert("Sid".to_owned(), name.into());
    }
    statement
}

fn archive(config: &IamConfig) -> Vec<Value> {
    let ArchiveAddress::S3 { bucket, prefix } = &config.archive else { return Vec::new() };
    // An account lies in one partition, with all that is its.
    let region = config.region.as_deref();
    let on_bucket = |name, action| named(name, permission::allow_on_bucket(action, bucket, prefix, region));
    let objects = permission::objects(bucket, prefix, region);
    let mut statements = vec![
        on_bucket("ListArchive", permission::LIST_ARCHIVE),
        allow("ReadArchive", &[permission::READ_ARCHIVE], &objects),
    ];
    if config.versions {
        statements.push(on_bucket("ListVersions", permission::LIST_VERSIONS));
        statements.push(allow("ReadVersions", &[permission::READ_VERSION], &objects));
    }
    if config.restore {
        statements.push(allow("RestoreArchive", &[permission::RESTORE_ARCHIVE], &objects));
    }
    statements
        .extend(config.archive_key.as_ref().map(|key| allow("DecryptArchive", &[permission::DECRYPT], key)));
    statements
}

fn stream(config: &IamConfig) -> Vec<Value> {
    let Target::Kinesis { stream } = &config.target else { return Vec::new() };
    let arn = permission::resource(stream, config.region.as_deref(), None);
    let region = stream.region().or(config.region.as_deref());
    let mut statements = vec![allow("WriteStream", &permission::WRITE_STREAM, &arn)];
    if let Some(wanted) = &config.create {
        statements.push(allow("CreateStream", &to_create(config, wanted), &arn));
    }
    if config.verify {
        statements.push(allow("VerifyStream", &permission::READ_STREAM, &arn));
    }
    if let Some(progress) = &config.backfill {
        statements.extend(backfill(config, &arn, region, progress));
    }
    if let Some(key) = &config.stream_key {
        let mut use_of_key = vec![permission::ENCRYPT];
        use_of_key.extend(config.create.map(|_| permission::LOOK_AT_KEY));
        use_of_key.extend(config.verify.then_some(permission::DECRYPT));
        statements.push(allow("EncryptStream", &use_of_key, key));
    }
    if matches!(config.archive, ArchiveAddress::S3 { .. }) {
        // Nothing fails without: a replay says then that it does not know whether it feeds its own archive.
        statements.push(allow("OptionalListDeliveries", &[permission::LIST_DELIVERIES], "*"));
        let deliveries = permission::full_name("firehose", region, "deliverystream/*");
        statements.push(allow("OptionalDescribeDeliveries", &[permission::DESCRIBE_DELIVERY], &deliveries));
    }
    statements
}

/// What it takes to make a stream as it is `wanted`, and to see that it is ours.
fn to_create(config: &IamConfig, wanted: &PlannedStream) -> Vec<&'static str> {
    let mut actions = permission::CREATE_STREAM.to_vec();
    actions.push(permission::LIST_TAGS);
    let longer = wanted.retention_hours.is_some_and(|hours| hours > RETENTION_HOURS_DEFAULT);
    actions.extend(longer.then_some(permission::RAISE_RETENTION));
    // CreateStream takes the record size; a stream of ours that is there already may have a smaller one.
    actions.extend(wanted.record_kib.map(|_| permission::RAISE_RECORD_SIZE));
    actions.extend(config.stream_key.as_ref().map(|_| permission::ENCRYPT_STREAM));
    actions
}

/// What scales, watches and deletes the stream.
fn backfill(config: &IamConfig, arn: &str, region: Option<&str>, progress: &ProgressIn) -> Vec<Value> {
    let mut actions = vec![permission::SCALE_STREAM, permission::DELETE_STREAM];
    if config.create.is_none() {
        actions.push(permission::LIST_TAGS);
    }
    let worker = match progress {
        ProgressIn::LeaseTable(table) => {
            let table = permission::full_name("dynamodb", region, &format!("table/{table}"));
            allow("WatchWorker", &[permission::READ_LEASES], &table)
        }
        // CloudWatch knows no narrower resource for it.
        ProgressIn::CloudWatch => allow("WatchWorker", &[permission::READ_AGES], "*"),
    };
    vec![allow("Backfill", &actions, arn), worker]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(archive: &str, target: &str) -> IamConfig {
        IamConfig {
            archive: archive.parse().unwrap(),
            target: target.parse().unwrap(),
            restore: false,
            verify: false,
            create: None,
            backfill: None,
            versions: false,
            stream_key: None,
            archive_key: None,
            region: None,
        }
    }

    #[test]
    fn it_asks_for_no_more_than_the_archive_and_the_stream() {
        let policy = policy(&config("s3://events/live/", "orders")).unwrap();
        let expected = json!({
            "Version": "2012-10-17",
            "Statement": [
                { "Sid": "ListArchive", "Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": "arn:aws:s3:::events",
                  "Condition": { "StringLike": { "s3:prefix": "live/*" } } },
                { "Sid": "ReadArchive", "Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::events/live/*" },
                { "Sid": "WriteStream", "Effect": "Allow",
                  "Action": ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:PutRecords"],
                  "Resource": "arn:aws:kinesis:*:*:stream/orders" },
                { "Sid": "OptionalListDeliveries", "Effect": "Allow", "Action": ["firehose:ListDeliveryStreams"], "Resource": "*" },
                { "Sid": "OptionalDescribeDeliveries", "Effect": "Allow", "Action": ["firehose:DescribeDeliveryStream"],
                  "Resource": "arn:aws:firehose:*:*:deliverystream/*" },
            ]
        });
        assert_eq!(policy, expected);
    }

    #[test]
    fn keys_verification_and_restores_are_asked_for_where_they_are_needed() {
        let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders";
        let config = IamConfig {
            restore: true,
            verify: true,
            stream_key: Some("arn:k1".into()),
            archive_key: Some("arn:k2".into()),
            ..config("s3://events", arn)
        };
        let policy = policy(&config).unwrap();
        let names: Vec<&str> =
            policy["Statement"].as_array().unwrap().iter().filter_map(|one| one["Sid"].as_str()).collect();
        let all = [
            "ListArchive",
            "ReadArchive",
            "RestoreArchive",
            "DecryptArchive",
            "WriteStream",
            "VerifyStream",
            "EncryptStream",
            "OptionalListDeliveries",
            "OptionalDescribeDeliveries",
        ];
        assert_eq!(names, all);
        assert_eq!(policy["Statement"][4]["Resource"], arn);
        assert_eq!(policy["Statement"][0]["Condition"], Value::Null);
    }

    /// The actions of the statement of that name.
    fn actions<'a>(policy: &'a Value, name: &str) -> Vec<&'a str> {
        let statements = policy["Statement"].as_array().unwrap();
        let found = statements.iter().find(|one| one["Sid"] == name);
        found.map_or_else(Vec::new, |found| {
            found["Action"].as_array().unwrap().iter().filter_map(Value::as_str).collect()
        })
    }

    #[test]
    fn a_stream_that_is_to_be_made_asks_for_what_makes_it_and_no_more() {
        let made = |hours, record_kib, key: Option<&str>| {
            let create =
                Some(PlannedStream { retention_hours: Some(hours), record_kib, ..PlannedStream::default() });
            let stream_key = key.map(str::to_owned);
            policy(&IamConfig { create, stream_key, ..config("s3://events", "orders") }).unwrap()
        };
        let least = ["kinesis:CreateStream", "kinesis:AddTagsToStream", "kinesis:ListTagsForStream"];
        assert_eq!(actions(&made(24, None, None), "CreateStream"), least);
        let all = made(48, Some(2_048), Some("arn:k1"));
        let more = [
            "kinesis:IncreaseStreamRetentionPeriod",
            "kinesis:UpdateMaxRecordSize",
            "kinesis:StartStreamEncryption",
        ];
        assert_eq!(actions(&all, "CreateStream"), [&least[..], &more[..]].concat());
        assert_eq!(actions(&all, "EncryptStream"), ["kms:GenerateDataKey", "kms:DescribeKey"]);
        assert!(actions(&policy(&config("s3://events", "orders")).unwrap(), "CreateStream").is_empty());
    }

    #[test]
    fn the_rest_of_a_backfill_is_asked_for_where_it_is_wanted() {
        let config = IamConfig {
            backfill: Some(ProgressIn::CloudWatch),
            region: Some("eu-west-1".into()),
            ..config("events", "orders")
        };
        let by_age = policy(&config).unwrap();
        let rest = ["kinesis:UpdateShardCount", "kinesis:DeleteStream", "kinesis:ListTagsForStream"];
        assert_eq!(actions(&by_age, "Backfill"), rest);
        assert_eq!(actions(&by_age, "WatchWorker"), ["cloudwatch:GetMetricData"]);
        assert!(actions(&by_age, "OptionalListDeliveries").is_empty(), "nothing delivers into a directory");
        let by_leases =
            policy(&IamConfig { backfill: Some(ProgressIn::LeaseTable("worker".into())), ..config }).unwrap();
        assert_eq!(actions(&by_leases, "WatchWorker"), ["dynamodb:Scan"]);
        assert_eq!(by_leases["Statement"][2]["Resource"], "arn:aws:dynamodb:eu-west-1:*:table/worker");
    }

    #[test]
    fn versions_are_asked_for_where_they_are_wanted() {
        let config = IamConfig { versions: true, ..config("s3://events/live/", "orders") };
        let policy = policy(&config).unwrap();
        assert_eq!(actions(&policy, "ListVersions"), ["s3:ListBucketVersions"]);
        assert_eq!(actions(&policy, "ReadVersions"), ["s3:GetObjectVersion"]);
        assert_eq!(policy["Statement"][2]["Condition"]["StringLike"]["s3:prefix"], "live/*");
    }

    #[test]
    fn a_directory_and_an_embedded_stream_need_nothing() {
        assert_eq!(policy(&config("events", "sim:4")), None);
    }
}
