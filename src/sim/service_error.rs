//! What Kinesis says when it says no: a code, a message, an HTTP status.
//!
//! The texts follow the service's own as far as they are known, because users and clients match on
//! them. The account is always [`ACCOUNT`].

use crate::record::ShardId;

/// The account that owns every simulated stream.
pub const ACCOUNT: &str = "123456789012";

/// A whole-call error in the service's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ServiceError {
    /// The exception's name, `ResourceNotFoundException`.
    pub code: &'static str,
    /// The sentence for a person.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl ServiceError {
    /// An error that the caller made (status 400).
    pub fn client(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: 400 }
    }

    /// `InvalidArgumentException`.
    pub fn invalid_argument(message: impl Into<String>) -> Self {
        Self::client("InvalidArgumentException", message)
    }

    /// `ValidationException` for what was found wrong, one text per finding.
    pub fn validation(findings: &[String]) -> Self {
        let plural = if findings.len() == 1 { "error" } else { "errors" };
        let message = format!("{} validation {plural} detected: {}", findings.len(), findings.join("; "));
        Self::client("ValidationException", message)
    }

    /// The stream does not exist, or not yet.
    pub fn no_stream(stream: &str) -> Self {
        Self::client(
            "ResourceNotFoundException",
            format!("Stream {stream} under account {ACCOUNT} not found."),
        )
    }

    /// The stream has no such shard.
    pub fn no_shard(stream: &str, shard: &str) -> Self {
        let message = format!("Could not find shard {shard} in stream {stream} under account {ACCOUNT}.");
        Self::client("ResourceNotFoundException", message)
    }

    /// The stream is being changed already.
    pub fn not_active(stream: &str, status: &str) -> Self {
        let message =
            format!("Stream {stream} under account {ACCOUNT} not ACTIVE, instead in state {status}");
        Self::client("ResourceInUseException", message)
    }

    /// Both the whole call's and one entry's way to say that a shard is over its limit.
    pub fn throttled(stream: &str, shard: &ShardId) -> Self {
        Self::client("ProvisionedThroughputExceededException", rate_exceeded(stream, shard))
    }
}

/// The text beside `ProvisionedThroughputExceededException`.
pub fn rate_exceeded(stream: &str, shard: &ShardId) -> String {
    format!("Rate exceeded for shard {shard} in stream {stream} under account {ACCOUNT}.")
}
