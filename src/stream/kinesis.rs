//! Kinesis Data Streams, or a server that speaks its protocol. Only this file and its folder name the SDK.
//!
//! Two clients share one set of credentials. The one for PutRecords tries nothing twice: what is sent
//! again, and when, is the engine's decision, and a repetition in here would reorder records behind its
//! back. The other one, which only asks questions, retries as the SDK does by default.
//!
//! Whether a failed call may have stored something depends on how far it came. So each call carries a
//! mark that is set when the signed request is handed to the connection: without the mark, nothing left.
//! Of an answer only the entries count, never `FailedRecordCount`.
//!
//! Records go out by one of two ways. By default their request is written, signed and read [here](self::direct),
//! without the trees and copies of the SDK's own way, which stays as the other. Either gives the same outcomes.
//!
//! Messages carry the service's code, words and request id. The SDK's own error values hold whole
//! requests and are never printed.

use std::sync::Arc;
use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_kinesis::config::{StalledStreamProtectionConfig, http::HttpResponse};
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, PutRecordsResultEntry, RecordDistributionStrategy, Shard, ShardFilter,
    ShardFilterType, StreamDescriptionSummary, StreamMode,
};
use aws_smithy_http_client::{Builder as HttpClientBuilder, tls};

use super::batch::{Batch, Draft, DraftSize};
use super::buffers::Buffers;
use super::endpoint::is_loopback;
use super::failure::printable;
use super::name::StreamName;
use super::records::BodyDraft;
use super::signed::Skew;
use super::{
    BoxFuture, CallError, CallErrorClass, Entry, Outcome, ShardDescription, Stream, StreamDescription,
    UnknownCause,
};
use crate::limits::{RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX};
use crate::record::{HashKeyRange, SequenceNumber, ShardId};
use crate::renewed::Renewed;

mod config;
mod control;
mod direct;
mod failed;
mod neighbour;
mod read;
mod region;
#[cfg(test)]
mod tests;

pub use self::config::{KinesisConfig, SendPath, SendPathError};
pub(crate) use self::control::is_forbidden;
use self::direct::Sender;
use self::failed::{SentMark, details_of, failure_of, message};
pub use self::neighbour::NeighbourClient;
pub use self::region::{endpoint_at_hand, profile_at_hand, region_at_hand};

/// How long an unused connection is kept. The service hangs up on idle ones without a word (aws-sdk-rust
/// issue 1106), and a request that meets a dead connection has an unknown outcome.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// Pages of ListShards before we call it a loop; a stream has at most 20,000 shards by default.
const LIST_SHARDS_PAGES_MAX: usize = 1_000;

/// A stream behind the Kinesis API.
#[derive(Debug, Clone)]
pub struct KinesisStream {
    config: KinesisConfig,
    region: String,
    harmless: bool,
    clients: Arc<Renewed<Clients>>,
    buffers: Buffers,
    skew: Skew,
}

/// One set of credentials, and the ways to use it.
#[derive(Debug, Clone)]
struct Clients {
    put: Client,
    describe: Client,
    direct: Arc<Sender>,
}

impl KinesisStream {
    /// Finds out region and credentials' source. No call is made to the stream: the first one,
    /// [`describe`](Stream::describe), tells whether all this is right.
    ///
    /// # Errors
    /// Class [`Invalid`](CallErrorClass::Invalid) if no region is known, or two different ones.
    pub async fn connect(config: KinesisConfig) -> Result<Self, CallError> {
        let (sdk, region) = load(&config).await?;
        Ok(Self::new(config, &sdk, region))
    }

    /// A stream behind a server that checks no signature, with credentials that are made up: nobody has to have
    /// any in order to measure.
    #[must_use]
    pub fn unchecked(config: KinesisConfig) -> Self {
        let region = config.region.clone().unwrap_or_else(|| "us-east-1".into());
        let credentials = Credentials::new("nobody", "nothing", None, None, "made up");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.clone()))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Self::new(config, &sdk, region)
    }

    fn new(config: KinesisConfig, sdk: &SdkConfig, region: String) -> Self {
        let clients = Clients::new(&config, sdk);
        Self {
            harmless: config.endpoint_url.as_deref().is_some_and(is_loopback),
            region,
            clients: Arc::new(Renewed::new(clients)),
            buffers: Buffers::default(),
            skew: Skew::default(),
            config,
        }
    }

    /// Where the stream lives.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Whether it is on this machine.
    pub fn is_harmless(&self) -> bool {
        self.harmless
    }

    fn clients(&self) -> Clients {
        self.clients.now()
    }

    /// Asks for credentials anew if `result` says that those we hold are not taken any more: the user may have
    /// logged in again, or a file may have been rewritten.
    async fn renew_after<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        if result.as_ref().is_err_and(|error| error.class == CallErrorClass::Credentials) {
            let load = async { load(&self.config).await.map(|(sdk, _)| Clients::new(&self.config, &sdk)) };
            self.clients.renew(Box::pin(load)).await;
        }
        result
    }
}

/// Region and credentials' source as the environment has them now.
async fn load(config: &KinesisConfig) -> Result<(SdkConfig, String), CallError> {
    let invalid = |message: String| CallError { class: CallErrorClass::Invalid, message };
    if let (Some(given), Some(of_arn)) = (config.region.as_deref(), config.stream.region())
        && given != of_arn
    {
        return Err(invalid(format!("the stream is in {of_arn}, but {given} is given as its region")));
    }
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(region) = config.region.as_deref().or(config.stream.region()) {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Some(profile) = &config.profile {
        loader = loader.profile_name(profile);
    }
    let mut sdk = loader.load().await;
    let Some(region) = sdk.region().cloned() else {
        return Err(invalid("no AWS region found: give --region, or set AWS_REGION".to_owned()));
    };
    if let Some(profile) = &config.profile {
        // The SDK's default chain asks the environment first. Whoever names a profile means that one.
        let provider_config = ProviderConfig::default().with_region(Some(region.clone()));
        let provider =
            ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&provider_config);
        let provider = SharedCredentialsProvider::new(provider.build());
        sdk = sdk.into_builder().credentials_provider(provider).build();
    }
    Ok((sdk, region.to_string()))
}

impl Clients {
    fn new(config: &KinesisConfig, sdk: &SdkConfig) -> Self {
        let timeouts = |attempt: Duration| {
            TimeoutConfig::builder()
                .connect_timeout(config.connect_timeout)
                .operation_attempt_timeout(attempt)
                .disable_read_timeout()
                .build()
        };
        let http = HttpClientBuilder::new()
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .build_https();
        let builder = |attempt| {
            let mut builder = aws_sdk_kinesis::config::Builder::from(sdk)
                .http_client(http.clone())
                .timeout_config(timeouts(attempt));
            if let Some(url) = &config.endpoint_url {
                builder = builder.endpoint_url(url);
            }
            builder
        };
        // An answer that takes its time is no stalled download; the attempt's time-out covers it.
        let put = builder(config.put_timeout)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let describe = builder(config.describe_timeout).retry_config(RetryConfig::standard());
        Self {
            put: Client::from_conf(put.build()),
            describe: Client::from_conf(describe.build()),
            direct: Arc::default(),
        }
    }
}

impl KinesisStream {
    /// The stream's name for a call, or `None` if the call goes by ARN. Servers by others often know
    /// names only, and on a loopback address there is no second account.
    fn name_for_call(&self) -> Option<String> {
        self.arn_for_call().is_none().then(|| self.config.stream.name().to_owned())
    }

    fn arn_for_call(&self) -> Option<String> {
        match &self.config.stream {
            StreamName::Arn(arn) if !self.harmless => Some(arn.as_str().to_owned()),
            _ => None,
        }
    }

    async fn describe_summary(&self) -> Result<StreamDescription, CallError> {
        let sent = SentMark::default();
        let answer = self
            .clients()
            .describe
            .describe_stream_summary()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .customize()
            .interceptor(sent.clone())
            .send()
            .await
            .map_err(|error| self.call_error(&error, &sent))?;
        let summary = answer
            .stream_description_summary
            .ok_or_else(|| bad_answer("DescribeStreamSummary was answered without a description"))?;
        Ok(self.description(&summary))
    }

    fn description(&self, summary: &StreamDescriptionSummary) -> StreamDescription {
        let arn = Some(summary.stream_arn().to_owned()).filter(|arn| !arn.is_empty());
        let told = arn.as_deref().and_then(|arn| arn.parse::<StreamName>().ok());
        let account = told.as_ref().unwrap_or(&self.config.stream).account().map(str::to_owned);
        let on_demand =
            summary.stream_mode_details().is_some_and(|mode| *mode.stream_mode() == StreamMode::OnDemand);
        StreamDescription {
            name: self.config.stream.name().to_owned(),
            arn,
            account,
            region: Some(self.region.clone()),
            status: printable(summary.stream_status().as_str()),
            created_ms: summary.stream_creation_timestamp().to_millis().unwrap_or_default(),
            retention_hours: u32::try_from(summary.retention_period_hours()).unwrap_or_default(),
            record_bytes_max: record_bytes_max(summary.max_record_size_in_kib()),
            open_shards: u32::try_from(summary.open_shard_count()).unwrap_or_default(),
            ignores_keys: summary.record_distribution_strategy() == Some(&RecordDistributionStrategy::Auto),
            on_demand,
            channels: summary.channel_count().and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
            harmless: self.harmless,
        }
    }

    async fn list_all_open_shards(&self) -> Result<Vec<ShardDescription>, CallError> {
        let open_now = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build();
        let open_now = open_now.map_err(|_| bad_answer("the SDK refuses our shard filter"))?;
        let mut shards = self.list_shards(Some(open_now)).await?;
        // Some servers know no filter.
        shards.retain(|shard| shard.open);
        shards.sort_by_key(|shard| shard.range);
        Ok(shards)
    }

    async fn put_records(&self, entries: Vec<Entry>) -> Result<Vec<Outcome>, CallError> {
        let count = entries.len();
        let records = entries
            .into_iter()
            .map(|entry| {
                PutRecordsRequestEntry::builder()
                    .data(Blob::new(Vec::from(entry.data.0)))
                    .partition_key(entry.key.as_str())
                    .set_explicit_hash_key(entry.explicit_hash_key.map(|hash| hash.to_string()))
                    .build()
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CallError {
                class: CallErrorClass::Invalid,
                message: "an entry lacks its data".to_owned(),
            })?;
        let sent = SentMark::default();
        let answer = self
            .clients()
            .put
            .put_records()
            .set_stream_name(self.name_for_call())
            .set_stream_arn(self.arn_for_call())
            .set_records(Some(records))
            .customize()
            .interceptor(sent.clone())
            .send()
            .await
            .map_err(|error| self.call_error(&error, &sent))?;
        outcomes(count, answer.records())
    }
}

impl KinesisStream {
    fn call_error<E>(&self, error: &SdkError<E, HttpResponse>, sent: &SentMark) -> CallError
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let failure = failure_of(error, sent);
        CallError {
            class: failure.class(),
            message: message(&failure, &details_of(error, sent), self.config.profile.as_deref()),
        }
    }
}

impl Stream for KinesisStream {
    fn describe(&self) -> BoxFuture<'_, Result<StreamDescription, CallError>> {
        Box::pin(async { self.renew_after(self.describe_summary().await).await })
    }

    fn list_open_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
        Box::pin(async { self.renew_after(self.list_all_open_shards().await).await })
    }

    fn draft(&self, size: DraftSize) -> Draft {
        match self.config.send {
            SendPath::Direct => {
                let (name, value) = self.member_for_call();
                Draft::Body(BodyDraft::new(&self.buffers, (name, &value), size))
            }
            SendPath::Sdk => Draft::Entries(Vec::with_capacity(size.entries)),
        }
    }

    fn put(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Outcome>, CallError>> {
        Box::pin(async {
            let result = match batch {
                Batch::Body(body) => self.put_body(body).await,
                batch => self.put_records(batch.into_entries()?).await,
            };
            self.renew_after(result).await
        })
    }
}

fn record_bytes_max(kib: Option<i32>) -> usize {
    let bytes = kib.and_then(|kib| usize::try_from(kib).ok()).map(|kib| kib.saturating_mul(1024));
    bytes.filter(|bytes| *bytes > 0).unwrap_or(RECORD_BYTES_DEFAULT).min(RECORD_BYTES_MAX)
}

fn shard_description(shard: &Shard) -> Result<ShardDescription, CallError> {
    let numbers = shard.sequence_number_range();
    let ending = numbers.and_then(|range| range.ending_sequence_number());
    let starts = numbers.and_then(|range| SequenceNumber::new(range.starting_sequence_number()));
    let id = |text: &str| ShardId(text.into());
    let range = shard.hash_key_range().and_then(|range| {
        let first = range.starting_hash_key().parse().ok()?;
        let last = range.ending_hash_key().parse().ok()?;
        Some(HashKeyRange { first, last })
    });
    Ok(ShardDescription {
        id: id(shard.shard_id()),
        range: range.ok_or_else(|| bad_answer("ListShards names a shard without its range"))?,
        parent: shard.parent_shard_id().map(id),
        adjacent_parent: shard.adjacent_parent_shard_id().map(id),
        open: ending.is_none_or(str::is_empty),
        starts,
    })
}

fn outcomes(sent: usize, answered: &[PutRecordsResultEntry]) -> Result<Vec<Outcome>, CallError> {
    miscounted(sent, answered.len()).map_or_else(|| Ok(answered.iter().map(outcome).collect()), Err)
}

/// Why an answer for `answered` entries is none.
fn miscounted(sent: usize, answered: usize) -> Option<CallError> {
    let message = || format!("PutRecords with {sent} entries was answered with {answered}");
    (sent != answered).then(|| bad_answer(&message()))
}

fn outcome(entry: &PutRecordsResultEntry) -> Outcome {
    let unknown = |cause| Outcome::Unknown { cause };
    match entry.error_code().filter(|code| !code.is_empty()) {
        Some("ProvisionedThroughputExceededException") => Outcome::Throttled,
        Some("InternalFailure") => unknown(UnknownCause::InternalFailure),
        Some(_) => unknown(UnknownCause::BadAnswer),
        None => {
            let number = entry.sequence_number().and_then(SequenceNumber::new);
            let shard = entry.shard_id().filter(|shard| !shard.is_empty());
            match (number, shard) {
                (Some(sequence_number), Some(shard)) => {
                    Outcome::Acked { shard: ShardId(shard.into()), sequence_number }
                }
                _ => unknown(UnknownCause::BadAnswer),
            }
        }
    }
}

fn bad_answer(message: &str) -> CallError {
    CallError { class: CallErrorClass::Unknown(UnknownCause::BadAnswer), message: message.to_owned() }
}
