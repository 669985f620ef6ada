//! One JSON call to DynamoDB, CloudWatch or Firehose, by whoever would call Kinesis.
//!
//! No SDK of theirs is linked. Who calls and over which connections is learned from a call of the Kinesis SDK that is stopped
//! before anything leaves; host and service are then those of the neighbour. Only questions are asked, so a call
//! that failed for no reason of its own is tried again.

use std::time::Duration;

use aws_config::SdkConfig;
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::super::failure::{Details, Failure};
use super::super::name::StreamName;
use super::super::neighbour::{Neighbour, NeighbourConfig, NeighbourError};
use super::super::signed::{Dialect, Door, Fault, Patience, SignedClient, Skew, hex};
use super::super::{CallError, CallErrorClass};
use super::failed::{details_of, failure_of};
use super::{Clients, KinesisConfig, SentMark, bad_answer, load};

/// Tries of one call, and the wait before the second; it doubles.
const TRIES: u32 = 4;
const RETRY_WAIT: Duration = Duration::from_millis(300);

/// A service that can be asked.
#[derive(Debug)]
pub struct NeighbourClient {
    service: Neighbour,
    region: String,
    endpoint: String,
    client: SignedClient,
}

impl NeighbourClient {
    /// Finds out region and credentials; nothing is asked yet.
    ///
    /// # Errors
    /// No region or no credentials are found.
    pub async fn connect(service: Neighbour, config: &NeighbourConfig) -> Result<Self, CallError> {
        let kinesis = KinesisConfig {
            region: config.region.clone(),
            profile: config.profile.clone(),
            ..KinesisConfig::new(StreamName::Name("neighbour".into()))
        };
        let (sdk, region) = load(&kinesis).await?;
        let url = config.endpoint_url.clone().unwrap_or_else(|| endpoint(service, &region));
        Self::at(service, KinesisConfig { endpoint_url: Some(url), ..kinesis }, &sdk, region).await
    }

    async fn at(
        service: Neighbour,
        kinesis: KinesisConfig,
        sdk: &SdkConfig,
        region: String,
    ) -> Result<Self, CallError> {
        let door = Door::default();
        let clients = Clients::new(&kinesis, sdk);
        let stopped = clients.put.list_streams().customize().interceptor(door.clone()).send().await;
        let patience = Patience { connect: kinesis.connect_timeout, call: kinesis.describe_timeout };
        match (SignedClient::behind(&door, dialect(service), patience, Skew::default()), stopped) {
            (Some(client), _) => {
                let (client, endpoint) = (client.signing_for(service.host()), kinesis.endpoint_url);
                Ok(Self { service, region, endpoint: endpoint.unwrap_or_default(), client })
            }
            (None, Err(error)) => {
                let unsent = SentMark::default();
                let failure = failure_of(&error, &unsent);
                let message = message(service, &failure, &details_of(&error, &unsent));
                Err(CallError { class: failure.class(), message })
            }
            (None, Ok(_)) => Err(bad_answer("the SDK does not stop where it is told to")),
        }
    }

    /// The region.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where it is asked.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Calls `operation`, which must be a question, with `body`.
    pub async fn call(&self, operation: &str, body: &Value) -> Result<Value, NeighbourError> {
        let body = Bytes::from(body.to_string());
        let sha256 = hex(&Sha256::digest(&body));
        let mut wait = RETRY_WAIT;
        for attempt in 1.. {
            match self.client.call(operation, body.clone(), &sha256).await {
                Ok(answer) => return self.read(&answer),
                Err(fault) => {
                    let error = self.error(&fault);
                    let passing = matches!(
                        error.error.class,
                        CallErrorClass::Throttled | CallErrorClass::Unreachable | CallErrorClass::Unknown(_)
                    );
                    if attempt == TRIES || !passing {
                        return Err(error);
                    }
                }
            }
            sleep(wait).await;
            wait *= 2;
        }
        Err(NeighbourError { code: None, error: bad_answer("nothing was tried") })
    }

    fn read(&self, answer: &[u8]) -> Result<Value, NeighbourError> {
        serde_json::from_slice(answer).map_err(|_| {
            let message = format!("{} gave an answer that cannot be read", self.service.name());
            NeighbourError { code: None, error: bad_answer(&message) }
        })
    }

    fn error(&self, fault: &Fault) -> NeighbourError {
        let code = match &fault.failure {
            Failure::Refused { code, .. } => code.as_deref().map(str::to_owned),
            _ => None,
        };
        let error = CallError {
            class: fault.failure.class(),
            message: message(self.service, &fault.failure, &fault.details),
        };
        NeighbourError { code, error }
    }
}

/// Where AWS has it.
fn endpoint(service: Neighbour, region: &str) -> String {
    let end = if region.starts_with("cn-") { ".cn" } else { "" };
    format!("https://{}.{region}.amazonaws.com{end}", service.host())
}

fn dialect(service: Neighbour) -> Dialect {
    let (content_type, target_prefix) = match service {
        Neighbour::DynamoDb => ("application/x-amz-json-1.0", "DynamoDB_20120810."),
        Neighbour::CloudWatch => ("application/x-amz-json-1.0", "GraniteServiceVersion20100801."),
        Neighbour::Firehose => ("application/x-amz-json-1.1", "Firehose_20150804."),
    };
    Dialect { content_type, target_prefix }
}

/// A failure in one sentence.
fn message(service: Neighbour, failure: &Failure<'_>, details: &Details) -> String {
    let (name, cause) = (service.name(), &details.cause);
    match failure {
        Failure::NotBuilt => format!("the request to {name} could not be built: {cause}"),
        Failure::NotSigned => details.unsigned(name, None),
        Failure::NotConnected => format!("{name} cannot be reached: {cause}"),
        Failure::TimedOut => format!("{name} did not answer in time"),
        Failure::Disconnected => format!("the connection to {name} broke: {cause}"),
        Failure::Unreadable { status } => {
            format!("{name} gave an answer that cannot be read (HTTP {status})")
        }
        Failure::Refused { code, status } => {
            let code = code.as_deref().map_or_else(|| format!("HTTP {status}"), str::to_owned);
            let words = details.words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
            let request = details.request.as_ref().map(|id| format!(" (request {id})")).unwrap_or_default();
            [code, words, request].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_question_is_signed_for_the_neighbour_and_its_refusal_keeps_the_code() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.contains("TableName") {
                let mut part = [0; 4096];
                let n = socket.read(&mut part).await.unwrap();
                assert!(n > 0, "{request}");
                request.push_str(&String::from_utf8_lossy(&part[..n]));
            }
            let body =
                r#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"m"}"#;
            let head =
                format!("HTTP/1.1 400 X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(body.as_bytes()).await.unwrap();
            request.to_ascii_lowercase()
        });
        let key = Credentials::new("AKIDCANARY", "SECRETCANARY", None, None, "test");
        let mut sdk = SdkConfig::builder();
        sdk.set_behavior_version(Some(BehaviorVersion::latest())).set_region(Some(Region::new("eu-west-1")));
        sdk.set_credentials_provider(Some(SharedCredentialsProvider::new(key)));
        let mut config = KinesisConfig::new("x".parse().unwrap());
        config.endpoint_url = Some(url);
        let sdk = sdk.build();
        let client =
            NeighbourClient::at(Neighbour::DynamoDb, config, &sdk, "eu-west-1".into()).await.unwrap();
        let refused = client.call("Scan", &json!({ "TableName": "t" })).await.unwrap_err();
        assert_eq!(refused.code.as_deref(), Some("ResourceNotFoundException"));
        assert_eq!(refused.error.class, CallErrorClass::NotFound);
        let request = server.await.unwrap();
        for words in [
            "/eu-west-1/dynamodb/aws4_request",
            "x-amz-target: dynamodb_20120810.scan",
            "content-type: application/x-amz-json-1.0",
        ] {
            assert!(request.contains(words), "{words} in {request}");
        }
    }

    #[test]
    fn services_are_where_aws_has_them() {
        assert_eq!(
            endpoint(Neighbour::CloudWatch, "eu-west-1"),
            "https://monitoring.eu-west-1.amazonaws.com"
        );
        assert_eq!(
            endpoint(Neighbour::DynamoDb, "cn-north-1"),
            "https://dynamodb.cn-north-1.amazonaws.com.cn"
        );
    }
}
