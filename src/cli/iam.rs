//! `respool iam`: the smallest policy.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{FalseyValueParser, NonEmptyStringValueParser};

use super::environment::Environment;
use super::saved_plan;
use super::{HEADING_AWS, HEADING_INTO, HEADING_WHAT};
use crate::config::{ArchiveAddress, IamConfig, Target};
use crate::error::Error;

/// What was typed after `respool iam`.
#[derive(Debug, Args)]
pub(super) struct IamArgs {
    #[arg(help = "Where the events lie: s3://BUCKET/PREFIX or a local directory", env = "RESPOOL_ARCHIVE")]
    #[arg(required_unless_present = "plan")]
    archive: Option<ArchiveAddress>,
    /// A plan that `respool plan --save` wrote, instead of the archive and the stream
    #[arg(long, value_name = "FILE", env = "RESPOOL_PLAN", help_heading = HEADING_WHAT)]
    plan: Option<PathBuf>,
    /// The stream
    #[arg(long, value_name = "TARGET", env = "RESPOOL_INTO", help_heading = HEADING_INTO)]
    #[arg(required_unless_present = "plan")]
    into: Option<Target>,
    /// With what `respool verify` needs as well
    #[arg(long, env = "RESPOOL_VERIFY", value_parser = FalseyValueParser::new(), help_heading = HEADING_WHAT)]
    verify: bool,
    /// With what --restore needs as well
    #[arg(long, env = "RESPOOL_WITH_RESTORE", value_parser = FalseyValueParser::new(), help_heading = HEADING_WHAT)]
    with_restore: bool,
    /// The key that the stream is encrypted with, by its ARN
    #[arg(long, value_name = "ARN", env = "RESPOOL_STREAM_KEY", value_parser = NonEmptyStringValueParser::new())]
    #[arg(help_heading = HEADING_AWS)]
    stream_key: Option<String>,
    /// The key that the archive is encrypted with, by its ARN
    #[arg(long, value_name = "ARN", env = "RESPOOL_ARCHIVE_KEY", value_parser = NonEmptyStringValueParser::new())]
    #[arg(help_heading = HEADING_AWS)]
    archive_key: Option<String>,
    /// The stream's region [default: as its ARN says, or any]
    #[arg(long, value_name = "REGION", env = "RESPOOL_REGION", value_parser = super::options::parse_region)]
    #[arg(help_heading = HEADING_AWS)]
    region: Option<String>,
}

impl IamArgs {
    pub(super) fn resolve(self, _: &Environment) -> Result<IamConfig, Error> {
        let plan = self.plan.as_deref().map(saved_plan::read).transpose()?;
        let region = plan.as_ref().and_then(|plan| plan.tuning.kinesis.region.clone());
        let plan = plan.map(|plan| plan.what);
        let restore = plan.as_ref().is_some_and(|plan| plan.input.restore.is_some());
        let (archive, target) = plan.map(|plan| (plan.archive, plan.target)).unzip();
        let archive = self.archive.or(archive);
        let target = self.into.or(target.flatten());
        Ok(IamConfig {
            archive: archive.ok_or_else(|| Error::usage("ARCHIVE is missing"))?,
            target: target.ok_or_else(|| Error::usage("--into is missing, and the plan names no stream"))?,
            restore: restore || self.with_restore,
            verify: self.verify,
            stream_key: self.stream_key,
            archive_key: self.archive_key,
            region: self.region.or(region),
        })
    }
}
