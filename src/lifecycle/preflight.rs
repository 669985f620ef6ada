//! May we do what we are about to do? The service itself tells, by calls that do nothing (`DryRun`).
//!
//! A server that does not know `DryRun` would carry the call out. So at AWS it is trusted, and anywhere else it is first
//! tried with a call that writes nothing in any case.

use super::door::Door;
use crate::config::{AwsAccess, Endpoint, Target};
use crate::error::Error;
use crate::plan::permission::{DESCRIBE, ENCRYPT, LIST_SHARDS, PUT, resource, statement};
use crate::stream::control::Permission;
use crate::stream::name::StreamName;

/// Refuses a replay that the service would not let through, with the statement that is missing.
pub async fn check(target: &Target, access: &AwsAccess) -> Result<(), Error> {
    let Target::Kinesis { stream } = target else { return Ok(()) };
    let door = Door::open(stream, access).await?;
    if !access.endpoint_url.as_ref().is_none_or(is_aws) && !door.stream.knows_dry_run().await {
        return Ok(());
    }
    let stream = &door.stream;
    let (describe, list, put) =
        tokio::join!(stream.may_describe(), stream.may_list_shards(), stream.may_put());
    let asked = [(DESCRIBE, describe), (LIST_SHARDS, list), (PUT, put)];
    refusal(&door.name, stream.region(), &asked).map_or(Ok(()), Err)
}

fn is_aws(endpoint: &Endpoint) -> bool {
    let host = endpoint.as_str().split("://").nth(1).unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    host.starts_with("kinesis.")
        && [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end))
}

fn refusal(name: &StreamName, region: &str, asked: &[(&'static str, Permission)]) -> Option<Error> {
    let mut words = None;
    let mut actions = Vec::new();
    for (action, permission) in asked {
        match permission {
            Permission::Granted => {}
            Permission::Missing { message } => {
                words.get_or_insert(message);
                actions.push(*action);
            }
            Permission::KeyRefused { message } => {
                return Some(Error::refused(format!(
                    "the stream {} is encrypted, and its key cannot be used: {message}\nIf a right is missing, this statement allows \
                     it (and the key's own policy has to, too):\n{}",
                    name,
                    statement(&[ENCRYPT], "THE KEY'S ARN")
                )));
            }
            // The replay itself finds out, and says it better.
            Permission::Unknown { message } => tracing::debug!("{action} was not tried: {message}"),
        }
    }
    let message = words?;
    let arn = resource(name, Some(region), None);
    Some(Error::refused(format!(
        "replaying into {} is not allowed: {message}\nThis statement in a policy of yours allows it:\n{}",
        name,
        statement(&actions, &arn)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_as_one_statement() {
        let missing = |message: &str| Permission::Missing { message: message.into() };
        let refused = |asked: &[(&'static str, Permission)]| {
            refusal(&"orders".parse().unwrap(), "eu-west-1", asked).map(|error| error.to_string())
        };
        let all = ("kinesis:DescribeStreamSummary", Permission::Granted);
        assert_eq!(
            refused(&[all.clone(), ("kinesis:PutRecords", Permission::Unknown { message: "?".into() })]),
            None
        );
        let said =
            refused(&[all, ("kinesis:ListShards", missing("no")), ("kinesis:PutRecords", missing("no"))]);
        let said = said.unwrap();
        for words in [
            "not allowed: no",
            "kinesis:ListShards",
            "kinesis:PutRecords",
            "arn:aws:kinesis:eu-west-1:*:stream/orders",
        ] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(!said.contains("Describe"), "{said}");
        let key =
            refused(&[("kinesis:PutRecords", Permission::KeyRefused { message: "no".into() })]).unwrap();
        assert!(key.contains("kms:GenerateDataKey"), "{key}");
    }

    #[test]
    fn only_the_real_one_is_trusted_to_know_a_dry_run() {
        for (url, real) in [
            ("https://kinesis.eu-west-1.amazonaws.com", true),
            ("https://kinesis.cn-north-1.amazonaws.com.cn:443", true),
            ("http://127.0.0.1:4567", false),
            ("https://kinesis.amazonaws.com.example.com", false),
            ("https://example.amazonaws.com", false),
        ] {
            assert_eq!(is_aws(&url.parse().unwrap()), real, "{url}");
        }
    }
}
