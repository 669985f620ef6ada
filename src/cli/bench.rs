//! `respool bench`: how fast this machine fills how many shards.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{FalseyValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args};

use super::environment::Environment;
use super::options::{LoopArgs, TuningArgs, directory};
use super::replay::{KeyArgs, follow_arn, resolve_archive};
use super::saved_plan::Given;
use super::select::SelectArgs;
use super::whole::whole;
use super::{HEADING_BENCH, HEADING_INTO};
use crate::config::{
    ArchiveAddress, BenchConfig, BenchSource, BenchSubject, BurstModel, CacheMode, OutputConfig,
    SIM_SHARDS_MAX, Target, parse_duration, parse_latency,
};
use crate::error::Error;
use crate::route::key::KeyRule;

/// The generated events' smallest size, in which all their fields have room; the largest that any stream takes.
const RECORD_BYTES: std::ops::RangeInclusive<u64> = 150..=1_000_000;
/// Where a generated event has its key.
const GENERATED_KEY: &str = "/user/id";

/// What was typed after `respool bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[arg(
        help = "Where the events lie: s3://BUCKET/PREFIX or a local directory [default: events are made up]"
    )]
    #[arg(env = "RESPOOL_ARCHIVE", conflicts_with = "record_size")]
    archive: Option<ArchiveAddress>,
    #[command(flatten)]
    steps: StepArgs,
    #[command(flatten)]
    into: IntoArgs,
    #[command(flatten)]
    what: SelectArgs,
    #[command(flatten)]
    keys: KeyArgs,
    #[command(flatten)]
    tuning: TuningArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_BENCH)]
struct StepArgs {
    /// A step for each of these numbers of shards of an embedded stream with Kinesis' limits
    #[arg(long, value_name = "N,…", env = "RESPOOL_SHARDS", value_delimiter = ',')]
    #[arg(default_value = "1,2,4,8,16,32,64,128", allow_negative_numbers = true)]
    #[arg(value_parser = whole::<u32>("a number of shards", 1..=SIM_SHARDS_MAX.into()))]
    shards: Vec<u32>,
    /// Bytes of a made-up event, for each of which all steps are done
    #[arg(long, value_name = "BYTES,…", env = "RESPOOL_RECORD_SIZE", value_delimiter = ',')]
    #[arg(default_value = "1000", allow_negative_numbers = true)]
    #[arg(value_parser = whole::<u32>("a size in bytes", RECORD_BYTES))]
    record_size: Vec<u32>,
    /// How a shard measures its second, which Kinesis does not tell: a bucket of a second, a bucket of a tenth,
    /// or windows; all steps are done for each
    #[arg(long, value_name = "MODEL,…", env = "RESPOOL_BURST_MODEL", value_delimiter = ',')]
    #[arg(default_value = "second")]
    #[arg(value_parser = PossibleValuesParser::new(BurstModel::WORDS).try_map(|word| word.parse::<BurstModel>()))]
    burst_model: Vec<BurstModel>,
    /// How long a call to the embedded stream takes
    #[arg(long, value_name = "TIME", env = "RESPOOL_LATENCY", default_value = "20ms")]
    #[arg(value_parser = parse_latency)]
    latency: Duration,
    /// How long each step lasts; its first tenth, or 2 s if that is more, is not counted
    #[arg(long, value_name = "DURATION", env = "RESPOOL_DURATION", default_value = "20s")]
    #[arg(value_parser = parse_duration)]
    duration: Duration,
    /// Measure each stage by itself, on one core, instead
    #[arg(long, env = "RESPOOL_NULL", value_parser = FalseyValueParser::new())]
    #[arg(conflicts_with_all = ["shards", "burst_model", "latency", "into", "duration", "out"])]
    #[arg(conflicts_with_all = ["order", "aggregate", "share", "max_rate"])]
    #[arg(conflicts_with_all = ["objects", "event_time", "skip_archived", "restore"])]
    #[arg(conflicts_with_all = ["yes", "allow_loop", "max_quarantine", "accept_refusals"])]
    null: bool,
    /// Where the table and the picture go: PATH.csv and PATH.html
    #[arg(long, value_name = "PATH", env = "RESPOOL_OUT", default_value = "respool-bench")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_INTO)]
struct IntoArgs {
    /// Measure this stream, as it is, instead of embedded ones
    #[arg(long, value_name = "TARGET", env = "RESPOOL_INTO")]
    #[arg(conflicts_with_all = ["shards", "burst_model", "latency"])]
    into: Option<Target>,
    /// Do not ask before the first record goes to Kinesis (behind an endpoint on this machine nothing is asked)
    #[arg(long, short, env = "RESPOOL_YES", value_parser = FalseyValueParser::new())]
    yes: bool,
    #[command(flatten)]
    may: LoopArgs,
}

/// The flag of all commands that route records, as it is for this one.
pub(super) fn with_its_own_key(flag: Arg) -> Arg {
    flag.help(
        "Where a record's key is found: a JSON pointer (/user/id), hash (of the record's bytes) or random (spread \
         evenly, no order). ARCHIVE needs it, and `respool inspect` shows what would work [default for made-up \
         events: /user/id]",
    )
}

impl BenchArgs {
    pub(super) fn resolve(
        self,
        given: &Given,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<BenchConfig, Error> {
        let StepArgs { shards, record_size, burst_model, latency, duration, null, out } = self.steps;
        if duration.is_zero() {
            return Err(Error::usage("--duration must be 1s or more: nothing can be measured in no time"));
        }
        let out = directory("--out", &out)?;
        if out.is_dir() {
            return Err(Error::usage(format!(
                "--out: {} is a directory; what is needed is a name in it, without an ending",
                out.display()
            )));
        }
        if !out.parent().is_some_and(std::path::Path::is_dir) {
            return Err(Error::usage(format!("--out: the directory of {} does not exist", out.display())));
        }
        let region_of_stream = self.tuning.kinesis_region().map(str::to_owned);
        let mut tuning = self.tuning.resolve(environment)?;
        if tuning.cache.mode == CacheMode::Offline {
            return Err(Error::usage(
                "bench reads from the cache anyway, and has to list the archive once: leave --offline out",
            ));
        }
        let KeyArgs { partition_key: rule, key_fallback: fallback, order, aggregate } =
            self.keys.checked()?;
        let (source, rule) = match self.archive {
            None => {
                if let Some(flag) = given.typed_to_select() {
                    return Err(Error::usage(format!(
                        "{flag} says what of an archive is read, and without ARCHIVE events are made up: name one, or leave \
                         {flag} out"
                    )));
                }
                let pointer = GENERATED_KEY.parse().map_err(|_| Error::internal("no pointer"))?;
                (BenchSource::Generated { record_sizes: record_size }, rule.unwrap_or(pointer))
            }
            Some(address) => {
                let address = resolve_archive(address, tuning.cache.mode)?;
                let rule: KeyRule = rule.ok_or_else(|| {
                    Error::usage(
                        "--partition-key is missing: an archive does not keep the keys (`respool inspect` shows what \
                         would work)",
                    )
                })?;
                (BenchSource::Archive { address, input: Box::new(self.what.resolve(environment)?) }, rule)
            }
        };
        let IntoArgs { into, yes, may } = self.into;
        let subject = match into {
            _ if null => BenchSubject::Stages,
            Some(target) => {
                follow_arn(&target, region_of_stream.as_deref(), &mut tuning)?;
                BenchSubject::Stream { target, yes, allow_loop: may.allow_loop }
            }
            None => BenchSubject::Sweep { shards, burst_models: burst_model, latency },
        };
        let (keys, seed) = ((rule, fallback), environment.seed);
        Ok(BenchConfig { subject, source, keys, order, aggregate, seed, tuning, duration, out, output })
    }
}
