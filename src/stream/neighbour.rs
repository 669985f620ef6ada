//! Services beside Kinesis that know something of a stream: who reads it, how far, and where it is delivered to.

use serde_json::Value;

use super::CallError;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Neighbour {
    /// Where the Kinesis Client Library keeps its leases.
    DynamoDb,
    /// Where the services keep their metrics.
    CloudWatch,
    /// What delivers streams to S3.
    Firehose,
}

impl Neighbour {
    /// Its name in hosts and signatures. CloudWatch's is `monitoring`.
    #[must_use]
    pub const fn host(self) -> &'static str {
        match self {
            Self::DynamoDb => "dynamodb",
            Self::CloudWatch => "monitoring",
            Self::Firehose => "firehose",
        }
    }

    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::CloudWatch => "CloudWatch",
            Self::Firehose => "Firehose",
        }
    }
}

/// How to reach a service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NeighbourConfig {
    /// Where; else as the environment or the profile says.
    pub region: Option<String>,
    /// Whose credentials to use.
    pub profile: Option<String>,
    /// Where to call, if not AWS.
    pub endpoint_url: Option<String>,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NeighbourError {
    /// The service's code, where it gave one.
    pub code: Option<String>,
    /// The failure.
    pub error: CallError,
}

impl NeighbourError {
    /// Whether whoever answers there is another service, as a server of one's own may be.
    #[must_use]
    pub fn is_of_another_service(&self) -> bool {
        const UNKNOWN: [&str; 4] =
            ["UnknownOperation", "UnknownOperationException", "InvalidAction", "NotImplemented"];
        self.code.as_deref().is_some_and(|code| UNKNOWN.contains(&code))
    }
}

/// An answer's field, or nothing.
#[must_use]
pub fn text<'a>(answer: &'a Value, field: &str) -> Option<&'a str> {
    answer.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}
