//! `respool inspect`: what an archive turns out to be.

use clap::Args;

use super::environment::Environment;
use super::options::AccessArgs;
use super::replay::resolve_archive;
use super::select::SelectArgs;
use crate::config::{ArchiveAddress, InspectConfig, OutputConfig};
use crate::error::Error;

/// What was typed after `respool inspect`.
#[derive(Debug, Args)]
pub(super) struct InspectArgs {
    #[arg(help = "Where the events lie: s3://BUCKET/PREFIX or a local directory", env = "RESPOOL_ARCHIVE")]
    archive: ArchiveAddress,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    access: AccessArgs,
}

impl InspectArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<InspectConfig, Error> {
        let tuning = self.access.resolve(environment)?;
        Ok(InspectConfig {
            archive: resolve_archive(self.archive, tuning.cache.mode)?,
            input: self.select.resolve(environment)?,
            tuning,
            output,
        })
    }
}
