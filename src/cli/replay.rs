//! `respool replay`: an archive into a stream.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser};

use super::environment::Environment;
use super::options::{LoopArgs, StateArgs, TuningArgs, directory};
use super::saved_plan::{self, Given};
use super::select::SelectArgs;
use super::stream::CreateOnTheWayArgs;
use super::{HEADING_INTO, HEADING_ORDER, HEADING_OUTPUT, HEADING_WHAT};
use crate::config::{
    ArchiveAddress, CacheMode, Order, OutputConfig, Planned, ReplayConfig, Target, Tuning, Typed,
};
use crate::error::Error;
use crate::route::key::{KeyFallback, KeyRule};
use crate::shown::shown;

/// What was typed after `respool replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[arg(help = "Where the events lie: s3://BUCKET/PREFIX or a local directory", env = "RESPOOL_ARCHIVE")]
    archive: Option<ArchiveAddress>,
    /// Carry out a plan that `respool plan --save` wrote: its archive, window, keys, order and target
    #[arg(long, value_name = "FILE", env = "RESPOOL_PLAN", help_heading = HEADING_WHAT)]
    plan: Option<PathBuf>,
    /// Carry out no plan, although a variable or the configuration file names one
    // No variable: it is what a printed command says that stands for itself.
    #[arg(long, conflicts_with = "plan", help_heading = HEADING_WHAT)]
    no_plan: bool,
    #[command(flatten)]
    what: SelectArgs,
    #[command(flatten)]
    limit: LimitArgs,
    /// Where they go: a Kinesis stream's name or ARN; sim:SHARDS (an embedded stream with Kinesis' limits);
    /// null: (all the work but the wire)
    #[arg(long, value_name = "TARGET", env = "RESPOOL_INTO", help_heading = HEADING_INTO)]
    into: Option<Target>,
    #[command(flatten)]
    create: CreateOnTheWayArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    safety: SafetyArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_WHAT)]
pub(super) struct LimitArgs {
    /// Stop after this many records: for a first try
    #[arg(long, value_name = "RECORDS", env = "RESPOOL_LIMIT", allow_negative_numbers = true)]
    #[arg(value_parser = parse_limit)]
    pub(super) limit: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_ORDER)]
pub(super) struct KeyArgs {
    /// Where a record's key is found, since archives have lost it: a JSON pointer (/user/id), hash (of the
    /// record's bytes) or random (spread evenly, no order). Without it the first record is shown, with the
    /// pointers that would work
    #[arg(long, value_name = "KEY", env = "RESPOOL_PARTITION_KEY")]
    pub(super) partition_key: Option<KeyRule>,
    /// Give a record without the key one of these instead of setting it aside in quarantine
    #[arg(long, value_name = "KEY", env = "RESPOOL_KEY_FALLBACK")]
    #[arg(value_parser = PossibleValuesParser::new(["random", "hash"]).try_map(|word| word.parse::<KeyFallback>()))]
    pub(super) key_fallback: Option<KeyFallback>,
    /// Keep the records of each key in archive order; or relaxed: the same, but a record that is throttled
    /// may be passed, so that hot keys run at full speed; or shard: all records of a shard, one by one; or
    /// none
    #[arg(long, value_name = "ORDER", env = "RESPOOL_ORDER", default_value = "key")]
    #[arg(value_parser = PossibleValuesParser::new(Order::WORDS).try_map(|word| word.parse::<Order>()))]
    pub(super) order: Order,
    /// Pack small records into aggregates of the Kinesis Producer Library: several times as many records a second, at a
    /// fraction of the cost. Consumers must unpack them: the Kinesis Client Library and Firehose do, Lambda does not
    #[arg(long, env = "RESPOOL_AGGREGATE", value_parser = FalseyValueParser::new())]
    pub(super) aggregate: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_OUTPUT)]
struct SafetyArgs {
    /// Say what would be sent, where, and how long it takes; send nothing
    #[arg(long, env = "RESPOOL_DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,
    /// Do not ask before the first record goes to Kinesis (behind an endpoint on this machine only what was sent before
    /// is asked about)
    #[arg(long, short, env = "RESPOOL_YES", value_parser = FalseyValueParser::new())]
    yes: bool,
    /// Start anew although an unfinished run of the same window into the same stream could be resumed
    #[arg(long, env = "RESPOOL_NEW", value_parser = FalseyValueParser::new())]
    new: bool,
    #[command(flatten)]
    may: LoopArgs,
}

impl ReplayArgs {
    pub(super) fn resolve(
        self,
        given: &Given,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<ReplayConfig, Error> {
        let plan = self.plan.as_deref().filter(|_| !self.no_plan);
        let plan = plan.map(saved_plan::read).transpose().map_err(|error| given.blame_plan(error))?;
        let firehose = self.tuning.firehose(environment)?;
        let region_of_stream = self.tuning.kinesis_region().map(str::to_owned);
        let mut tuning = match &plan {
            Some(plan) => self.tuning.resolve_around(&plan.tuning, given, environment)?,
            None => self.tuning.resolve(environment)?,
        };
        let missing = || {
            Error::usage(
                "ARCHIVE is missing: say s3://BUCKET/PREFIX, a local directory, or --plan FILE with a plan that was saved",
            )
        };
        let archive = self.archive.or_else(|| plan.as_ref().map(|plan| plan.what.archive.clone()));
        let KeyArgs { partition_key, key_fallback, order, aggregate } = self.keys.checked()?;
        let mut what = Planned {
            archive: resolve_archive(archive.ok_or_else(missing)?, tuning.cache.mode)?,
            target: self.into,
            input: self.what.resolve(environment)?,
            limit: self.limit.limit,
            partition_key,
            key_fallback,
            order,
            aggregate,
        };
        if let Some(plan) = &plan {
            what = saved_plan::merge(&plan.what, what, given).map_err(|error| given.blame_plan(error))?;
        }
        let target = what.target.clone().ok_or_else(|| {
            Error::usage(if plan.is_some() {
                "--into is missing: the plan was made for numbers of shards, not for a stream"
            } else {
                "--into is missing: give a stream's name or ARN, sim:SHARDS or null:"
            })
        })?;
        follow_arn(&target, region_of_stream.as_deref(), &mut tuning)?;
        let create = self.create.resolve(plan.as_ref())?;
        if create.is_some() && !matches!(target, Target::Kinesis { .. }) {
            return Err(Error::usage("--create makes a Kinesis stream: give its name with --into"));
        }
        Ok(ReplayConfig {
            create,
            firehose,
            settings: what.into_run(target, environment.seed),
            tuning,
            state_dir: self.state.resolve(environment)?,
            dry_run: self.safety.dry_run,
            new_run: self.safety.new,
            yes: self.safety.yes,
            allow_loop: self.safety.may.allow_loop,
            plan: plan.map(Box::new),
            typed: Typed::default(),
            output,
        })
    }
}

impl KeyArgs {
    pub(super) fn checked(self) -> Result<Self, Error> {
        if self.key_fallback.is_some() && matches!(self.partition_key, Some(KeyRule::Random | KeyRule::Hash))
        {
            return Err(Error::usage(
                "--key-fallback is for records without the field that --partition-key points to; random and hash \
                 never miss",
            ));
        }
        Ok(self)
    }
}

/// An ARN says where its stream lives. `--region` alone may mean the archive, `--kinesis-region` may not.
pub(super) fn follow_arn(
    target: &Target,
    region_of_stream: Option<&str>,
    tuning: &mut Tuning,
) -> Result<(), Error> {
    let Target::Kinesis { stream } = target else { return Ok(()) };
    let Some(region) = stream.region() else { return Ok(()) };
    if let Some(other) = region_of_stream.filter(|&other| other != region) {
        return Err(Error::usage(format!(
            "the stream's ARN lies in {region}, --kinesis-region says {other}"
        )));
    }
    tuning.kinesis.region = Some(region.into());
    Ok(())
}

/// The archive with a directory made absolute, and looked for unless only the cache is read.
pub(super) fn resolve_archive(archive: ArchiveAddress, mode: CacheMode) -> Result<ArchiveAddress, Error> {
    match archive {
        ArchiveAddress::Directory { path } => resolve_directory(&path, mode),
        s3 @ ArchiveAddress::S3 { .. } => Ok(s3),
    }
}

fn resolve_directory(path: &Path, mode: CacheMode) -> Result<ArchiveAddress, Error> {
    if mode == CacheMode::Offline {
        return Ok(ArchiveAddress::Directory { path: directory("ARCHIVE", path)? });
    }
    let shown = shown(&path.display().to_string()).to_string();
    match path.canonicalize() {
        Ok(path) if path.is_dir() => Ok(ArchiveAddress::Directory { path }),
        Ok(_) => Err(Error::usage(format!("{shown} is a file: give the directory that holds the archive"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::usage(format!(
            "the directory {shown} does not exist (a bucket is written s3://BUCKET/PREFIX)"
        ))),
        Err(error) => {
            Err(Error::usage(format!("the directory {shown} cannot be opened: {error}")).with_source(error))
        }
    }
}

fn parse_limit(text: &str) -> Result<u64, &'static str> {
    const WRONG: &str = "a limit is a whole number of records, 1 or more";
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let fits = |&records: &u64| digits && records > 0 && i64::try_from(records).is_ok();
    text.parse().ok().filter(fits).ok_or(WRONG)
}
