//! The smallest IAM policy for a replay, to paste.
//!
//! What each call needs stands in [`permission`]. What is not known is a `*` in its place: an account, a region.
//!
//! Pure.

use serde_json::{Value, json};

use super::permission;
use crate::config::{ArchiveAddress, IamConfig, Target};

/// The policy; `None` if nothing in AWS is asked for anything.
pub fn policy(config: &IamConfig) -> Option<Value> {
    let mut statements = archive(config);
    statements.extend(stream(config));
    (!statements.is_empty()).then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
}

fn allow(name: &str, actions: &[&str], resource: &str) -> Value {
    json!({ "Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource })
}

fn archive(config: &IamConfig) -> Vec<Value> {
    let ArchiveAddress::S3 { bucket, prefix } = &config.archive else { return Vec::new() };
    // The ARN of an access point or a bucket stands for itself.
    let bucket = if bucket.starts_with("arn:") { bucket.clone() } else { format!("arn:aws:s3:::{bucket}") };
    let mut list = allow("ListArchive", &[permission::LIST_ARCHIVE], &bucket);
    if !prefix.is_empty()
        && let Some(list) = list.as_object_mut()
    {
        list.insert("Condition".into(), json!({ "StringLike": { "s3:prefix": format!("{prefix}*") } }));
    }
    let objects = format!("{bucket}/{prefix}*");
    let mut statements = vec![list, allow("ReadArchive", &[permission::READ_ARCHIVE], &objects)];
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
    let mut statements = vec![allow("WriteStream", &permission::WRITE_STREAM, &arn)];
    if config.verify {
        statements.push(allow("VerifyStream", &permission::READ_STREAM, &arn));
    }
    if let Some(key) = &config.stream_key {
        let read: &[&str] =
            if config.verify { &[permission::ENCRYPT, permission::DECRYPT] } else { &[permission::ENCRYPT] };
        statements.push(allow("EncryptStream", read, key));
    }
    statements
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
        ];
        assert_eq!(names, all);
        assert_eq!(policy["Statement"][4]["Resource"], arn);
        assert_eq!(policy["Statement"][0]["Condition"], Value::Null);
    }

    #[test]
    fn a_directory_and_an_embedded_stream_need_nothing() {
        assert_eq!(policy(&config("events", "sim:4")), None);
    }
}
