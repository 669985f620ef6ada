//! What only the user's AWS configuration knows of the way to a service, made part of the way itself.
//!
//! Whatever keeps or prints such a door then leads to the same place elsewhere, and shows where it leads. An endpoint that
//! stands in a file is judged as one that was typed: nothing is sent in clear to another machine unless that was said here.

use crate::config::{ArchiveAddress, AwsAccess, Endpoint, Target, Tuning};
use crate::error::Error;
use crate::stream::kinesis::{endpoint_at_hand, profile_at_hand, region_at_hand};
use crate::stream::neighbour::Neighbour;

/// A service that a command asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Where the archive lies.
    S3,
    /// Where the stream is.
    Kinesis,
    /// One that knows something of the stream.
    Neighbour(Neighbour),
}

impl Service {
    /// Its name, which is also its id in an AWS configuration.
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "S3",
            Self::Kinesis => "Kinesis",
            Self::Neighbour(neighbour) => neighbour.name(),
        }
    }

    /// By what its endpoint is said instead.
    fn given_by(self) -> &'static str {
        match self {
            Self::S3 => "--s3-endpoint-url",
            Self::Kinesis => "--kinesis-endpoint-url",
            Self::Neighbour(Neighbour::DynamoDb | Neighbour::CloudWatch) => "--consumer-endpoint-url",
            Self::Neighbour(Neighbour::Firehose) => "AWS_ENDPOINT_URL_FIREHOSE",
        }
    }
}

/// `tuning` with the regions, profiles and endpoints that only the environment knows, for those services that are asked; for a
/// target that is still open the stream's too.
///
/// # Errors
/// An endpoint in the AWS configuration cannot be used.
pub async fn settled(
    tuning: &Tuning,
    archive: &ArchiveAddress,
    target: Option<&Target>,
) -> Result<Tuning, Error> {
    let mut settled = settled_for_archive(tuning, archive).await?;
    match target {
        Some(Target::Kinesis { .. }) => settle(Service::Kinesis, &mut settled.kinesis).await?,
        // Nobody is asked there yet: an endpoint that cannot be used is refused when somebody is.
        None => _ = settle(Service::Kinesis, &mut settled.kinesis).await,
        Some(_) => {}
    }
    Ok(settled)
}

/// The same for who asks the archive alone.
///
/// # Errors
/// The endpoint in the AWS configuration cannot be used.
pub async fn settled_for_archive(tuning: &Tuning, archive: &ArchiveAddress) -> Result<Tuning, Error> {
    let mut settled = tuning.clone();
    if matches!(archive, ArchiveAddress::S3 { .. }) {
        settle(Service::S3, &mut settled.s3).await?;
    }
    Ok(settled)
}

/// Takes from the environment what nothing else has named of the way to `service`.
///
/// # Errors
/// The endpoint in the AWS configuration cannot be used.
pub async fn settle(service: Service, access: &mut AwsAccess) -> Result<(), Error> {
    if access.profile.is_none() {
        access.profile = profile_at_hand().await;
    }
    if access.region.is_none() {
        access.region = region_at_hand(access.profile.as_deref()).await;
    }
    if access.endpoint_url.is_none() {
        access.endpoint_url = endpoint(service, access.profile.as_deref()).await?;
    }
    Ok(())
}

/// The endpoint that the AWS configuration names for `service`, if it names one.
///
/// # Errors
/// It is none, or leads to another machine in clear.
pub async fn endpoint(service: Service, profile: Option<&str>) -> Result<Option<Endpoint>, Error> {
    let found = endpoint_at_hand(service.name(), profile).await;
    found.map(|url| usable(service, &url)).transpose()
}

fn usable(service: Service, url: &str) -> Result<Endpoint, Error> {
    let (name, flag) = (service.name(), service.given_by());
    let endpoint: Endpoint = url.parse().map_err(|error| {
        Error::usage(format!(
            "the AWS configuration's endpoint for {name} cannot be used: {error}; {flag} names another"
        ))
    })?;
    if endpoint.is_exposed() {
        return Err(Error::usage(format!(
            "{endpoint}, the AWS configuration's endpoint for {name}, is reached over the network in clear, with records and \
             signatures: use https, or say it here, by {flag} and --allow-insecure-endpoint"
        )));
    }
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_from_a_file_is_judged_as_one_that_was_typed() {
        let dynamodb = Service::Neighbour(Neighbour::DynamoDb);
        assert!(usable(dynamodb, "http://127.0.0.1:8000").is_ok());
        for (url, words) in [
            ("http://10.0.0.1:8000", "for DynamoDB, is reached over the network in clear"),
            ("ftp://10.0.0.1", "cannot be used"),
        ] {
            let refused = usable(dynamodb, url).unwrap_err().to_string();
            assert!(refused.contains(words) && refused.contains("--consumer-endpoint-url"), "{refused}");
        }
    }
}
