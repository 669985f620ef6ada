//! PutRecords without the SDK in between: a body that is written already, signed and sent.
//!
//! Who calls, where and over which connections is still the SDK's say. A set of credentials brings a client of
//! its own, made when it first sends. If that fails, those who wait for it are not made to fail one after the other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::records::Body;
use super::super::records::answer;
use super::super::signed::{Dialect, Door, Fault, Patience, SignedClient};
use super::super::{CallError, Outcome};
use super::failed::message;
use super::{KinesisStream, SentMark, bad_answer, miscounted};

const DIALECT: Dialect =
    Dialect { content_type: "application/x-amz-json-1.1", target_prefix: "Kinesis_20131202." };
/// A failure to begin is told to all who ask within this.
const FAILURE_LASTS: Duration = Duration::from_millis(500);

/// The client that sends, once there is one.
#[derive(Debug, Default)]
pub(super) struct Sender {
    ready: OnceLock<Arc<SignedClient>>,
    failed: Mutex<Option<(Instant, CallError)>>,
}

impl KinesisStream {
    /// Which member of a call names the stream, and how.
    pub(super) fn member_for_call(&self) -> (&'static str, String) {
        match self.arn_for_call() {
            Some(arn) => ("StreamARN", arn),
            None => ("StreamName", self.config.stream.name().to_owned()),
        }
    }

    pub(super) async fn put_body(&self, body: Body) -> Result<Vec<Outcome>, CallError> {
        let clients = self.clients();
        let client = self.sender(&clients.direct, &clients.put).await?;
        let answered = client.call("PutRecords", body.bytes, &body.sha256).await;
        let answer = answered.map_err(|fault| self.fault(&fault))?;
        let outcomes = answer::outcomes(&answer, body.entries)
            .map_err(|_| bad_answer("PutRecords was answered with something that cannot be read"))?;
        miscounted(body.entries, outcomes.len()).map_or(Ok(outcomes), Err)
    }

    async fn sender(&self, sender: &Sender, put: &Client) -> Result<Arc<SignedClient>, CallError> {
        if let Some(client) = sender.ready.get() {
            return Ok(client.clone());
        }
        let mut failed = sender.failed.lock().await;
        if let Some(client) = sender.ready.get() {
            return Ok(client.clone());
        }
        if let Some((at, error)) = failed.as_ref().filter(|(at, _)| at.elapsed() < FAILURE_LASTS) {
            tracing::debug!(since = ?at.elapsed(), "the last failure still holds");
            return Err(error.clone());
        }
        match self.ask_sdk(put).await {
            Ok(client) => Ok(sender.ready.get_or_init(|| Arc::new(client)).clone()),
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Has the SDK build, address and sign a call, and lets none of it leave.
    async fn ask_sdk(&self, put: &Client) -> Result<SignedClient, CallError> {
        let entry = PutRecordsRequestEntry::builder().data(Blob::new([])).partition_key("-").build();
        let door = Door::default();
        let stopped = put
            .put_records()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .set_records(entry.ok().map(|entry| vec![entry]))
            .customize()
            .interceptor(door.clone())
            .send()
            .await;
        let patience = Patience { connect: self.config.connect_timeout, call: self.config.put_timeout };
        match (SignedClient::behind(&door, DIALECT, patience, self.skew.clone()), stopped) {
            (Some(client), _) => Ok(client),
            // Nothing was sent, whatever the SDK says.
            (None, Err(error)) => Err(self.call_error(&error, &SentMark::default())),
            (None, Ok(_)) => Err(bad_answer("the SDK does not stop where it is told to")),
        }
    }

    fn fault(&self, fault: &Fault) -> CallError {
        CallError {
            class: fault.failure.class(),
            message: message(&fault.failure, &fault.details, self.config.profile.as_deref()),
        }
    }
}
