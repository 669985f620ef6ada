//! `respool resume`: goes on with an interrupted run.
//!
//! What defines a run cannot be given here; how fast and by which door can.

use clap::Args;
use clap::builder::{FalseyValueParser, NonEmptyStringValueParser};

use super::HEADING_OUTPUT;
use super::environment::Environment;
use super::options::{LoopArgs, StateArgs, TuningArgs};
use crate::config::{OutputConfig, ResumeConfig};
use crate::error::Error;

/// What was typed after `respool resume`.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// The run, as `respool runs` names it [default: the last unfinished one]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    run: Option<String>,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    may: LoopArgs,
    /// Do not ask, although another run has sent some of the same since
    #[arg(long, short, env = "RESPOOL_YES", value_parser = FalseyValueParser::new(), help_heading = HEADING_OUTPUT)]
    yes: bool,
}

impl ResumeArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<ResumeConfig, Error> {
        Ok(ResumeConfig {
            run: self.run,
            firehose: self.tuning.firehose(environment)?,
            changes: self.tuning.changes(environment)?,
            allow_loop: self.may.allow_loop,
            yes: self.yes,
            state_dir: self.state.resolve(environment)?,
            output,
        })
    }
}
