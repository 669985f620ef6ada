//! May we do what we are about to do? The service itself tells, by calls that do nothing (`DryRun`).
//!
//! A server that does not know `DryRun` would carry the call out. So at AWS it is trusted, and anywhere else it is first
//! tried with a call that writes nothing in any case.

use serde_json::Value;

use super::door::Door;
use crate::config::Endpoint;
use crate::error::Error;
use crate::plan::report::Warning;
use crate::run::permission::{DESCRIBE, ENCRYPT, LIST_SHARDS, PUT, allow, in_one_line, resource};
use crate::stream::control::Permission;
use crate::stream::name::StreamName;

/// What the service would not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    what: String,
    statement: Value,
    /// Whether the stream's key is the reason, which has a policy of its own.
    of_key: bool,
}

impl Missing {
    /// What it means for whoever is about to write.
    pub fn refusal(&self) -> Error {
        let allows = if self.of_key {
            "If a right is missing, this statement allows it (and the key's own policy has to, too)"
        } else {
            "This statement in a policy of yours allows it"
        };
        Error::refused(format!("{}\n{allows}:\n{:#}", self.what, self.statement))
    }

    /// What it means for a plan.
    pub fn warning(&self) -> Warning {
        let statement = in_one_line(&self.statement);
        let action = if self.of_key {
            format!(
                "if a right is missing, put this statement into a policy of yours, {statement} and see that the key's own policy \
                 allows it, too"
            )
        } else {
            format!("put this statement into a policy of yours, {statement} or a replay refuses to begin")
        };
        Warning { code: "permission", message: self.what.clone(), action }
    }
}

/// What of a replay through `door` the service would not let through, if anything.
pub async fn ask(door: &Door) -> Option<Missing> {
    let stream = &door.stream;
    if !door.access.endpoint_url.as_ref().is_none_or(is_aws) && !stream.knows_dry_run().await {
        return None;
    }
    let (describe, list, put) =
        tokio::join!(stream.may_describe(), stream.may_list_shards(), stream.may_put());
    missing(&door.name, stream.region(), &[(DESCRIBE, describe), (LIST_SHARDS, list), (PUT, put)])
}

fn is_aws(endpoint: &Endpoint) -> bool {
    let host = endpoint.as_str().split("://").nth(1).unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default();
    host.starts_with("kinesis.")
        && [".amazonaws.com", ".amazonaws.com.cn"].iter().any(|end| host.ends_with(end))
}

fn missing(name: &StreamName, region: &str, asked: &[(&'static str, Permission)]) -> Option<Missing> {
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
                let what = format!("the stream {name} is encrypted, and its key cannot be used: {message}");
                return Some(Missing { what, statement: allow(&[ENCRYPT], "THE KEY'S ARN"), of_key: true });
            }
            // The replay itself finds out, and says it better.
            Permission::Unknown { message } => tracing::debug!("{action} was not tried: {message}"),
        }
    }
    let what = format!("replaying into {name} is not allowed: {}", words?);
    let statement = allow(&actions, &resource(name, Some(region), None));
    Some(Missing { what, statement, of_key: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_as_one_statement() {
        let no = || Permission::Missing { message: "no".into() };
        let refused = |asked: &[(&'static str, Permission)]| {
            let missing = missing(&"orders".parse().unwrap(), "eu-west-1", asked);
            missing.map(|missing| missing.refusal().to_string())
        };
        let all = ("kinesis:DescribeStreamSummary", Permission::Granted);
        assert_eq!(
            refused(&[all.clone(), ("kinesis:PutRecords", Permission::Unknown { message: "?".into() })]),
            None
        );
        let said = refused(&[all, ("kinesis:ListShards", no()), ("kinesis:PutRecords", no())]);
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
