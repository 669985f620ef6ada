//! `respool runs`: what was started, and how far it got.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand};

use super::environment::Environment;
use super::options::StateArgs;
use crate::config::{OutputConfig, RunsConfig};
use crate::error::Error;

/// What was typed after `respool runs`.
#[derive(Debug, Args)]
pub(super) struct RunsArgs {
    #[command(subcommand)]
    action: Option<RunsAction>,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, Subcommand)]
enum RunsAction {
    /// Show one run in full: settings, progress, report
    Show {
        /// The run, as `respool runs` names it
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        run: String,
        #[command(flatten)]
        state: StateArgs,
    },
}

impl RunsArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<RunsConfig, Error> {
        let (show, state) = match self.action {
            Some(RunsAction::Show { run, state }) => (Some(run), state),
            None => (None, self.state),
        };
        Ok(RunsConfig { show, state_dir: state.resolve(environment)?, output })
    }
}
