//! `respool cache`: what lies in the cache, whether it is whole, and how to be rid of it.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};

use super::environment::Environment;
use super::options::directory;
use super::{HEADING_CACHE, HEADING_OUTPUT};
use crate::config::{CacheAction, CacheCommandConfig, OutputConfig, parse_duration, parse_size};
use crate::error::Error;
use crate::record::ByteCount;

/// What was typed after `respool cache`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    action: Action,
    /// The cache's directory [default: ~/.cache/respool]
    #[arg(long, global = true, value_name = "DIR", env = "RESPOOL_CACHE_DIR", help_heading = HEADING_CACHE)]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what lies in the cache: object, records, size, age
    Ls,
    /// Read everything and check every block; what is damaged is named and deleted
    Verify,
    /// Delete the segments that were not used for longest and that no run needs
    Prune {
        /// Those unused for this long, as in 30d
        #[arg(long, value_name = "DURATION", value_parser = parse_duration, required_unless_present = "to_size")]
        older_than: Option<Duration>,
        /// Until no more than this is left, as in 20GB
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        to_size: Option<ByteCount>,
    },
    /// Delete the whole cache
    Purge {
        /// Do not ask
        #[arg(long, short, env = "RESPOOL_YES", value_parser = FalseyValueParser::new())]
        #[arg(help_heading = HEADING_OUTPUT)]
        yes: bool,
    },
}

impl CacheArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<CacheCommandConfig, Error> {
        let dir = match self.cache_dir {
            Some(dir) => directory("--cache-dir", &dir)?,
            None => environment.cache_dir()?,
        };
        let action = match self.action {
            Action::Ls => CacheAction::Ls,
            Action::Verify => CacheAction::Verify,
            Action::Prune { older_than, to_size } => CacheAction::Prune { older_than, to_size },
            Action::Purge { yes } => CacheAction::Purge { yes },
        };
        Ok(CacheCommandConfig { action, dir, output })
    }
}
