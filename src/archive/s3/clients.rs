//! The SDK's clients, and [new ones](crate::renewed) when the credentials that they hold are not taken any more.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{ResponseChecksumValidation, StalledStreamProtectionConfig};

use super::S3Config;
use super::connect::{endpoint, load};
use crate::archive::ArchiveError;
use crate::archive::fault::{ServiceFault, Verdict};
use crate::renewed::Renewed;

/// Attempts of one page of a listing, by the SDK.
const LIST_ATTEMPTS_MAX: u32 = 5;

/// One set of credentials, and the ways to use it.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// For everything but objects' bytes: the SDK retries.
    pub(super) list: Client,
    /// For GETs of whole objects: no retries.
    pub(super) whole: Client,
    /// For GETs of ranges: no retries, no checksums.
    pub(super) range: Client,
}

impl Clients {
    fn new(config: &S3Config, shared: &SdkConfig) -> Self {
        let builder = aws_sdk_s3::config::Builder::from(shared)
            .force_path_style(config.path_style.unwrap_or(endpoint(config, shared).is_some()))
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .connect_timeout(Duration::from_secs(5))
                    .read_timeout(Duration::from_secs(20))
                    .operation_attempt_timeout(Duration::from_secs(30))
                    .build(),
            );
        let list = builder.clone().retry_config(RetryConfig::standard().with_max_attempts(LIST_ATTEMPTS_MAX));
        let once = builder.retry_config(RetryConfig::disabled());
        let whole = once.clone().response_checksum_validation(ResponseChecksumValidation::WhenSupported);
        let range = once.response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        Self {
            list: Client::from_conf(list.build()),
            whole: Client::from_conf(whole.build()),
            range: Client::from_conf(range.build()),
        }
    }
}

/// The clients of the moment, and where new ones come from.
pub(super) struct ClientAccess {
    config: S3Config,
    clients: Renewed<Clients>,
}

impl ClientAccess {
    /// Clients for `config`, and the endpoint that they speak to, where it is not AWS'.
    pub(super) async fn load(config: S3Config) -> Result<(Self, Option<String>), ArchiveError> {
        let shared = load(&config).await?;
        let clients = Renewed::new(Clients::new(&config, &shared));
        let endpoint = endpoint(&config, &shared);
        Ok((Self { config, clients }, endpoint))
    }

    pub(super) fn now(&self) -> Clients {
        self.clients.now()
    }

    /// `result`; before it is given, credentials are asked for anew if it says that those we hold are not taken.
    pub(super) async fn after<T>(&self, result: Result<T, ServiceFault>) -> Result<T, ServiceFault> {
        if result.as_ref().is_err_and(|fault| fault.verdict() == Verdict::RetryCredentials) {
            let load = async { load(&self.config).await.map(|shared| Clients::new(&self.config, &shared)) };
            self.clients.renew(Box::pin(load)).await;
        }
        result
    }
}
