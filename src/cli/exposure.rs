//! Endpoints at which anyone on the way could read along: one refusal for whatever would be asked there, whether a flag,
//! a variable, the configuration file or a plan has named it.

use clap::Args;
use clap::builder::FalseyValueParser;

use super::HEADING_AWS;
use crate::config::Endpoint;
use crate::error::Error;

/// Whether http to other machines will do.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = HEADING_AWS)]
pub(super) struct ExposureArgs {
    /// Allow http:// to other machines: records and signatures can be read on the way
    #[arg(long, env = "RESPOOL_ALLOW_INSECURE_ENDPOINT", value_parser = FalseyValueParser::new())]
    allow_insecure_endpoint: bool,
}

impl ExposureArgs {
    /// Refuses the first of `endpoints` that is exposed, unless that is allowed.
    pub(super) fn refuse<const N: usize>(self, endpoints: [Option<&Endpoint>; N]) -> Result<(), Error> {
        let exposed = endpoints.into_iter().flatten().find(|endpoint| endpoint.is_exposed());
        match exposed.filter(|_| !self.allow_insecure_endpoint) {
            None => Ok(()),
            Some(endpoint) => Err(Error::usage(format!(
                "{endpoint} is reached over the network in clear, with records and signatures: use https, or give \
                 --allow-insecure-endpoint"
            ))),
        }
    }
}
