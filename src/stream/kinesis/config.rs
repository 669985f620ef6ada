//! How to reach a Kinesis stream: what was resolved from the command line and the environment.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::shown::in_quotes;
use crate::stream::name::StreamName;

/// By which way records are sent. What arrives is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SendPath {
    /// Requests are written and signed here, straight from the cache; the SDK gives credentials, endpoint and
    /// connections.
    #[default]
    Direct,
    /// Each request is built by the SDK.
    Sdk,
}

impl SendPath {
    /// What a user may write.
    pub const WORDS: [&str; 2] = ["direct", "sdk"];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Sdk => "sdk",
        }
    }
}

/// The text names no way to send.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no way to send: `direct` or `sdk`", in_quotes(found))]
pub struct SendPathError {
    /// What was typed.
    pub found: String,
}

impl FromStr for SendPath {
    type Err = SendPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "direct" => Ok(Self::Direct),
            "sdk" => Ok(Self::Sdk),
            _ => Err(SendPathError { found: text.to_owned() }),
        }
    }
}

/// How to reach a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KinesisConfig {
    /// Which one.
    pub stream: StreamName,
    /// Where it lives; else as an ARN says; else as the environment or the profile says.
    pub region: Option<String>,
    /// Whose credentials to use; they win over those in the environment.
    pub profile: Option<String>,
    /// Where to call, if not AWS.
    pub endpoint_url: Option<String>,
    /// How records are sent there.
    pub send: SendPath,
    /// For a connection to be made.
    pub connect_timeout: Duration,
    /// For one PutRecords, from signing to the end of the answer.
    pub put_timeout: Duration,
    /// For one try of any other call.
    pub describe_timeout: Duration,
}

impl KinesisConfig {
    /// The stream as the environment reaches it. 3.1 s is the SDK's own time to connect. 10 s are enough
    /// for a request of 10 MiB at 10 Mbit/s, and few enough to notice a connection that died in silence.
    #[must_use]
    pub fn new(stream: StreamName) -> Self {
        Self {
            stream,
            region: None,
            profile: None,
            endpoint_url: None,
            send: SendPath::default(),
            connect_timeout: Duration::from_millis(3_100),
            put_timeout: Duration::from_secs(10),
            describe_timeout: Duration::from_secs(10),
        }
    }
}
