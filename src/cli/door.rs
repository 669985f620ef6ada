//! By which door a stream is reached: the flags of the commands about streams, around what a run or a plan knows.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::HEADING_AWS;
use super::environment::Environment;
use super::exposure::ExposureArgs;
use super::options::parse_region;
use super::saved_plan::Given;
use crate::config::{AwsAccess, DoorWish, Endpoint, StreamName};
use crate::error::Error;

/// By which door a stream is reached; what goes for all services goes after what goes for Kinesis.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_AWS)]
pub(super) struct DoorArgs {
    /// Region [default: from the AWS configuration, or as the run has it; an ARN's own goes first]
    #[arg(long, value_name = "REGION", env = "RESPOOL_REGION", value_parser = parse_region)]
    region: Option<String>,
    /// Profile [default: from the AWS configuration, or as the run has it]
    #[arg(long, value_name = "NAME", env = "RESPOOL_PROFILE", value_parser = NonEmptyStringValueParser::new())]
    profile: Option<String>,
    #[arg(help = "Endpoint, as in http://127.0.0.1:4566")]
    #[arg(long, value_name = "URL", env = "RESPOOL_ENDPOINT_URL")]
    pub(super) endpoint_url: Option<Endpoint>,
    /// Region of the stream
    #[arg(long, value_name = "REGION", env = "RESPOOL_KINESIS_REGION", value_parser = parse_region)]
    kinesis_region: Option<String>,
    /// Profile for the stream
    #[arg(long, value_name = "NAME", env = "RESPOOL_KINESIS_PROFILE", value_parser = NonEmptyStringValueParser::new())]
    kinesis_profile: Option<String>,
    /// Endpoint of the stream
    #[arg(long, value_name = "URL", env = "RESPOOL_KINESIS_ENDPOINT_URL")]
    kinesis_endpoint_url: Option<Endpoint>,
    #[command(flatten)]
    pub(super) exposure: ExposureArgs,
}

impl DoorArgs {
    /// What was given for `stream`, around what a plan has `planned`; the environment's endpoint behind it.
    pub(super) fn resolve(
        &self,
        planned: Option<&AwsAccess>,
        given: &Given,
        environment: &Environment,
        stream: &StreamName,
    ) -> Result<AwsAccess, Error> {
        let mut access = match planned {
            Some(own) => self.around_a_run(given, environment)?.without_a_stream(own.clone()),
            None => self.access(|_| true),
        };
        if access.endpoint_url.is_none() {
            access.endpoint_url = environment.endpoint_kinesis()?;
        }
        if let Some(region) = stream.region() {
            access.region = Some(region.to_owned());
        }
        self.exposure.refuse([access.endpoint_url.as_ref()])?;
        Ok(access)
    }

    /// What was given for a run's stream, apart from what only stands in the configuration file: the run knows better.
    pub(super) fn around_a_run(&self, given: &Given, environment: &Environment) -> Result<DoorWish, Error> {
        let wish =
            DoorWish { given: self.access(|id| given.has(id)), kept: self.access(|id| !given.has(id)) };
        self.exposure.refuse([&wish.given, &wish.kept].map(|access| access.endpoint_url.as_ref()))?;
        // A run that has no endpoint of its own is looked for where the environment says.
        self.exposure.refuse([environment.endpoint_kinesis()?.as_ref()])?;
        Ok(wish)
    }

    /// Of the flags with these names those for Kinesis, and behind them those for all services.
    fn access(&self, counts: impl Fn(&str) -> bool) -> AwsAccess {
        let text = |id, value: &Option<String>| value.clone().filter(|_| counts(id));
        let url = |id, value: &Option<Endpoint>| value.clone().filter(|_| counts(id));
        let general = AwsAccess {
            region: text("region", &self.region),
            profile: text("profile", &self.profile),
            endpoint_url: url("endpoint_url", &self.endpoint_url),
        };
        let kinesis = AwsAccess {
            region: text("kinesis_region", &self.kinesis_region),
            profile: text("kinesis_profile", &self.kinesis_profile),
            endpoint_url: url("kinesis_endpoint_url", &self.kinesis_endpoint_url),
        };
        kinesis.or(general)
    }
}
