//! How to reach a Kinesis stream: what was resolved from the command line and the environment.

use std::time::Duration;

use crate::stream::name::StreamName;

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
            connect_timeout: Duration::from_millis(3_100),
            put_timeout: Duration::from_secs(10),
            describe_timeout: Duration::from_secs(10),
        }
    }
}
