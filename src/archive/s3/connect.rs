//! Finding region and credentials, as the SDK does, and saying in one sentence what was not found.

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::ProvideCredentials as _;
use aws_types::service_config::ServiceConfigKey;

use super::S3Config;
use crate::archive::ArchiveError;
use crate::renewed::how_to_have_credentials;
use crate::shown::in_quotes;

/// The SDK's configuration for `config`, with a region and with credentials that were found.
pub(super) async fn load(config: &S3Config) -> Result<aws_config::SdkConfig, ArchiveError> {
    let what = format!("s3://{}", config.bucket);
    let mut loader = aws_config::defaults(BehaviorVersion::latest());
    if let Some(profile) = &config.profile {
        // A profile that was asked for by name goes before keys that happen to stand in the environment.
        let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
        loader = loader.profile_name(profile).credentials_provider(credentials);
    }
    if let Some(region) = &config.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(url) = &config.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if config.anonymous {
        loader = loader.no_credentials();
    }
    let mut shared = loader.load().await;
    if shared.region().is_none() {
        if endpoint(config, &shared).is_none() {
            let message =
                "no region is known: use --s3-region, AWS_REGION or a profile that has one".to_owned();
            return Err(ArchiveError::Refused { what, message });
        }
        // Servers other than AWS' want some region in the signature; this is the one they expect.
        shared = shared.into_builder().region(Region::from_static("us-east-1")).build();
    }
    if let Some(provider) = shared.credentials_provider()
        && let Err(error) = provider.provide_credentials().await
    {
        let mut advice = how_to_have_credentials(config.profile.as_deref());
        if config.profile.is_none() {
            advice += ", or read a public bucket with --anonymous";
        }
        let cause = chain(&error);
        let cause = cause.trim_end_matches('.');
        let of = config.profile.as_ref().map(|profile| format!(" the profile {}", in_quotes(profile)));
        // The SDK's words for "none found" list where it looked, which helps nobody; others tell what failed.
        let message = match (&error, of) {
            (CredentialsError::CredentialsNotLoaded(_), None) => {
                format!("no AWS credentials found: {advice}")
            }
            (CredentialsError::CredentialsNotLoaded(_), Some(profile)) => {
                format!("no AWS credentials found in{profile}: {cause}; {advice}")
            }
            (_, of) => {
                let of = of.map(|profile| format!(" for{profile}")).unwrap_or_default();
                format!("AWS credentials could not be fetched{of}: {cause}; {advice}")
            }
        };
        return Err(ArchiveError::Refused { what, message });
    }
    Ok(shared)
}

/// Where `shared` leads the client for `config`, if not to AWS': what was asked for by name, else what a profile's services
/// section or `AWS_ENDPOINT_URL_S3` says, else what is said for all services. The SDK's own order.
pub(super) fn endpoint(config: &S3Config, shared: &aws_config::SdkConfig) -> Option<String> {
    let of_s3 = || {
        let key =
            ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url");
        shared.service_config()?.load_config(key.build().ok()?)
    };
    config.endpoint_url.clone().or_else(of_s3).or_else(|| shared.endpoint_url().map(str::to_owned))
}

/// An error and what caused it, the innermost cause last.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// An error and its causes, in their own words, on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let text = causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
