//! `respool plan`: how long, how much, which limit binds.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::environment::Environment;
use super::options::{TuningArgs, directory, tuning_of};
use super::replay::{KeyArgs, LimitArgs, follow_arn, resolve_archive};
use super::select::SelectArgs;
use super::stream::parse_retention;
use super::whole::whole;
use super::{HEADING_INTO, HEADING_OUTPUT, HEADING_SPEED};
use crate::archive::window::TimeBound;
use crate::config::{
    ArchiveAddress, CacheMode, LiveStream, OutputConfig, PlanConfig, Planned, RateCap, Target, parse_duration,
};
use crate::error::Error;

/// The most shards that can be planned with: what a stream has by default at most.
const SHARDS_MAX: u32 = 10_000;

/// What was typed after `respool plan`.
#[derive(Debug, Args)]
pub(super) struct PlanArgs {
    #[arg(help = "Where the events lie: s3://BUCKET/PREFIX or a local directory", env = "RESPOOL_ARCHIVE")]
    archive: ArchiveAddress,
    #[command(flatten)]
    what: SelectArgs,
    #[command(flatten)]
    limit: LimitArgs,
    #[command(flatten)]
    into: IntoArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    live: LiveArgs,
    #[command(flatten)]
    files: FileArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_INTO)]
struct IntoArgs {
    /// The stream that is meant, as `respool replay` takes it; its shards and retention are asked for
    #[arg(long, value_name = "TARGET", env = "RESPOOL_INTO")]
    into: Option<Target>,
    /// Numbers of shards to compare, as in 1,4,16 [default: around what the stream has, or 1,4,16,64]
    #[arg(long, value_name = "COUNTS", env = "RESPOOL_SHARDS", value_delimiter = ',')]
    #[arg(value_parser = whole::<u32>("a number of shards", 1..=SHARDS_MAX.into()), allow_negative_numbers = true)]
    shards: Vec<u32>,
    /// When it has to be done, as in 20h: how many shards does that take?
    #[arg(long, value_name = "DURATION", env = "RESPOOL_DEADLINE", value_parser = parse_length)]
    deadline: Option<Duration>,
    /// How long the stream will keep records [default: as it says, or 24h]
    #[arg(long, value_name = "DURATION", env = "RESPOOL_RETENTION", value_parser = parse_kept)]
    retention: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_SPEED)]
struct LiveArgs {
    /// From a request to its answer, in milliseconds: it decides how fast a single key goes in order [default: 20; 6
    /// for the embedded stream]
    #[arg(long, value_name = "MS", env = "RESPOOL_ROUND_TRIP")]
    #[arg(value_parser = whole::<u32>("a time in milliseconds", 1..=60_000), allow_negative_numbers = true)]
    round_trip: Option<u32>,
    /// What the worker reads at most, as in 5000rec/s or 20MB/s: whether it keeps up before the stream forgets
    #[arg(long, value_name = "RATE", env = "RESPOOL_WORKER_RATE", allow_hyphen_values = true)]
    worker_rate: Option<RateCap>,
    /// The live stream that the worker leaves meanwhile; its retention is asked for
    #[arg(long, value_name = "STREAM", env = "RESPOOL_LIVE_STREAM", value_parser = NonEmptyStringValueParser::new())]
    live_stream: Option<String>,
    /// How long the live stream keeps records, as in 24h, where it is not to be asked
    #[arg(long, value_name = "DURATION", env = "RESPOOL_LIVE_RETENTION", value_parser = parse_kept)]
    live_retention: Option<Duration>,
    /// Since when the worker has not read the live stream: a time, or ago as in 6h [default: from now on]
    #[arg(long, value_name = "TIME", env = "RESPOOL_SINCE", allow_hyphen_values = true)]
    since: Option<TimeBound>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_OUTPUT)]
struct FileArgs {
    /// Keep the plan, to be run by `respool replay --plan FILE`
    #[arg(long, value_name = "FILE", env = "RESPOOL_SAVE")]
    save: Option<PathBuf>,
    /// Write the plan as one page for a browser: the archive over time, sizes, keys, shards
    #[arg(long, value_name = "FILE", env = "RESPOOL_HTML")]
    html: Option<PathBuf>,
    /// Prices of another region or contract, a TOML file like src/plan/prices.toml
    #[arg(long, value_name = "FILE", env = "RESPOOL_PRICES")]
    prices: Option<PathBuf>,
}

impl PlanArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<PlanConfig, Error> {
        let region_of_stream = self.tuning.kinesis_region().map(str::to_owned);
        let said = self.tuning.changes(environment)?;
        let mut tuning = tuning_of(said.clone(), environment)?;
        if tuning.cache.mode == CacheMode::Offline {
            return Err(Error::usage("a plan looks at the archive: leave out --offline"));
        }
        if let Some(target) = &self.into.into {
            follow_arn(target, region_of_stream.as_deref(), &mut tuning)?;
        }
        let KeyArgs { partition_key, key_fallback, order, aggregate } = self.keys.checked()?;
        let live = |name: String| {
            name.parse::<Target>().map_err(|error| Error::usage(format!("--live-stream: {error}")))
        };
        let LiveArgs { round_trip, worker_rate, live_stream, live_retention, since } = self.live;
        let live = LiveStream {
            stream: live_stream.map(live).transpose()?,
            retention: live_retention,
            since: since.map(|bound| bound.resolve(environment.now)),
        };
        if live.since.is_some() && live.stream.is_none() && live.retention.is_none() {
            return Err(Error::usage(
                "--since is about the live stream: give --live-stream or --live-retention",
            ));
        }
        if live.since.is_some_and(|since| since > environment.now) {
            return Err(Error::usage("--since lies in the future"));
        }
        let file = |flag: &str, path: Option<PathBuf>| path.map(|path| directory(flag, &path)).transpose();
        Ok(PlanConfig {
            what: Planned {
                archive: resolve_archive(self.archive, tuning.cache.mode)?,
                target: self.into.into,
                input: self.what.resolve(environment)?,
                limit: self.limit.limit,
                partition_key,
                key_fallback,
                order,
                aggregate,
            },
            tuning,
            said,
            shards: self.into.shards,
            deadline: self.into.deadline,
            round_trip: round_trip.map(|ms| Duration::from_millis(ms.into())),
            retention: self.into.retention,
            worker_rate: worker_rate.unwrap_or_default(),
            live,
            prices: file("--prices", self.files.prices)?,
            save: file("--save", self.files.save)?,
            html: file("--html", self.files.html)?,
            seed: environment.seed,
            output,
        })
    }
}

fn parse_length(text: &str) -> Result<Duration, String> {
    match parse_duration(text).map_err(|error| error.to_string())? {
        Duration::ZERO => Err("a duration of 0 makes no sense here".to_owned()),
        length => Ok(length),
    }
}

/// How long a stream keeps records: what Kinesis offers, in whole hours.
fn parse_kept(text: &str) -> Result<Duration, String> {
    parse_retention(text).map(|hours| Duration::from_secs(u64::from(hours) * 3_600))
}
