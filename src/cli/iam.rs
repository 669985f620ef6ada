//! `respool iam`: the smallest policy.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{FalseyValueParser, NonEmptyStringValueParser};

use super::replay::resolve_archive;
use super::saved_plan::{self, Given, choose};
use super::stream::parse_retention;
use super::{HEADING_AWS, HEADING_INTO, HEADING_WHAT};
use crate::config::{ArchiveAddress, CacheMode, IamConfig, Planned, PlannedStream, ProgressIn, Target};
use crate::error::Error;

/// What was typed after `respool iam`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
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
    /// With what it takes to make the stream, as `respool replay --create` does [default: where the plan was made for none that is there]
    #[arg(long, env = "RESPOOL_CREATE", value_parser = FalseyValueParser::new(), help_heading = HEADING_INTO)]
    create: bool,
    /// How long the new stream keeps records, as in 48h [default: the plan's, else 24h]
    #[arg(long, value_name = "TIME", env = "RESPOOL_RETENTION", value_parser = parse_retention, help_heading = HEADING_INTO)]
    retention: Option<u32>,
    /// With what the rest of a backfill needs: `respool stream scale`, `status`, `drained` and `delete`
    #[arg(long, env = "RESPOOL_BACKFILL", value_parser = FalseyValueParser::new(), help_heading = HEADING_INTO)]
    backfill: bool,
    /// The worker's table in DynamoDB, from which `drained` learns [default: it asks CloudWatch]
    #[arg(long, value_name = "TABLE", env = "RESPOOL_LEASE_TABLE", value_parser = NonEmptyStringValueParser::new())]
    #[arg(help_heading = HEADING_INTO)]
    lease_table: Option<String>,
    /// With what it takes to fetch an object that is overwritten meanwhile as it was listed, from a bucket with versions
    #[arg(long, env = "RESPOOL_WITH_VERSIONS", value_parser = FalseyValueParser::new(), help_heading = HEADING_WHAT)]
    with_versions: bool,
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
    pub(super) fn resolve(self, given: &Given) -> Result<IamConfig, Error> {
        if self.lease_table.is_some() && !self.backfill {
            return Err(Error::usage("--lease-table is for the rest of a backfill: say --backfill"));
        }
        // Whoever types both means no plan that a variable or a file names.
        let stands_alone = given.is_typed("archive") && given.is_typed("into") && !given.is_typed("plan");
        let plan = self.plan.as_deref().filter(|_| !stands_alone);
        let plan = plan.map(saved_plan::read).transpose().map_err(|error| given.blame_plan(error))?;
        let region = plan.as_ref().and_then(|plan| plan.tuning.kinesis.region.clone());
        let wanted = plan.as_ref().map(|plan| plan.stream).unwrap_or_default();
        // A plan for numbers of shards is one for a stream that is not there yet, and one may be named that is not.
        let anew = plan.as_ref().is_some_and(|plan| plan.what.target.is_none() || wanted.is_absent);
        let plan = plan.map(|plan| plan.what);
        let restore = plan.as_ref().is_some_and(|plan| plan.input.restore.is_some());
        let (archive, target) = match plan {
            None => (self.archive, self.into),
            Some(plan) => {
                around(plan, self.archive, self.into, given).map_err(|error| given.blame_plan(error))?
            }
        };
        let create = self.create || anew;
        if !create && given.is_typed("retention") {
            return Err(Error::usage("--retention is for a new stream: say --create"));
        }
        let wanted = PlannedStream { retention_hours: self.retention.or(wanted.retention_hours), ..wanted };
        Ok(IamConfig {
            archive: archive.ok_or_else(|| Error::usage("ARCHIVE is missing"))?,
            target: target.ok_or_else(|| {
                Error::usage(
                    "the plan was made for no stream: say with --into STREAM what the one is called, or will be, that is made for it",
                )
            })?,
            restore: restore || self.with_restore,
            verify: self.verify,
            create: create.then_some(wanted),
            backfill: self
                .backfill
                .then(|| self.lease_table.map_or(ProgressIn::CloudWatch, ProgressIn::LeaseTable)),
            versions: self.with_versions,
            stream_key: self.stream_key,
            archive_key: self.archive_key,
            region: self.region.or(region),
        })
    }
}

/// The planned archive and stream, which what was said may not contradict; but a variable has no say beside a plan that was typed.
fn around(
    plan: Planned,
    archive: Option<ArchiveAddress>,
    into: Option<Target>,
    given: &Given,
) -> Result<(Option<ArchiveAddress>, Option<Target>), Error> {
    let counts = |id| given.is_typed(id) || !given.is_typed("plan");
    let archive = archive.filter(|_| counts("archive"));
    let archive = archive.map(|archive| resolve_archive(archive, CacheMode::Keep)).transpose()?;
    let archive = choose("ARCHIVE", archive, Some(&plan.archive))?;
    let target = match plan.target {
        Some(planned) => choose("--into", into.filter(|_| counts("into")), Some(&planned))?,
        None => into,
    };
    Ok((archive, target))
}
