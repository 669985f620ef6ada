//! `respool verify`: reads the stream back and compares it with the archive.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::environment::Environment;
use super::options::{AccessArgs, StateArgs};
use super::{HEADING_SPEED, HEADING_WHAT};
use crate::config::{OutputConfig, Share, VerifyConfig};
use crate::error::Error;

/// What was typed after `respool verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The run, as `respool runs` names it [default: the last one that is done]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    run: Option<String>,
    /// Part of the hash space to verify, in percent: whole shards, at least one
    #[arg(long, value_name = "PERCENT", env = "RESPOOL_SAMPLE", default_value = "100", help_heading = HEADING_WHAT)]
    #[arg(allow_negative_numbers = true)]
    sample: f64,
    /// Part of each shard's read limits (5 calls/s and 2 MB/s) to take; the worker needs the rest
    #[arg(long, value_name = "SHARE", env = "RESPOOL_READ_SHARE", default_value = "0.5", help_heading = HEADING_SPEED)]
    #[arg(allow_negative_numbers = true)]
    read_share: Share,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    state: StateArgs,
}

impl VerifyArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<VerifyConfig, Error> {
        if !(f64::MIN_POSITIVE..=100.0).contains(&self.sample) {
            return Err(Error::usage("--sample takes a percentage above 0 and up to 100"));
        }
        Ok(VerifyConfig {
            run: self.run,
            sample: self.sample / 100.0,
            read_share: self.read_share,
            changes: self.access.changes(environment)?,
            state_dir: self.state.resolve(environment)?,
            output,
        })
    }
}
