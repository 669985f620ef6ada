//! Flags that several commands share: speed, cache, access to AWS, output.

use std::path::{Component, Path, PathBuf};

use clap::builder::{FalseyValueParser, NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args};

use super::environment::Environment;
use super::exposure::ExposureArgs;
use super::saved_plan::Given;
use super::whole::whole;
use super::{HEADING_AWS, HEADING_CACHE, HEADING_OUTPUT, HEADING_SPEED};
use crate::config::{
    Addressing, AwsAccess, CacheMode, Endpoint, OutputConfig, RateCap, SendPath, Share, StateDir, Tuning,
    TuningChanges, parse_size,
};
use crate::error::Error;
use crate::record::ByteCount;

/// How the user wants to be spoken to; every command has these.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_OUTPUT)]
pub(super) struct OutputArgs {
    /// Print the result as one JSON object on stdout (fields: docs/report.md)
    #[arg(long, global = true, env = "RESPOOL_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
    /// Print the result, warnings about what is sent, and errors only: no progress, no log
    #[arg(long, short, global = true, env = "RESPOOL_QUIET", value_parser = FalseyValueParser::new())]
    quiet: bool,
    /// Log more to stderr; -vv for every request (never data, keys or credentials)
    #[arg(long, short, global = true, env = "RESPOOL_VERBOSE", action = ArgAction::Count)]
    verbose: u8,
    /// The configuration file, read before all else: defaults for flags [default: ~/.config/respool/config.toml, if there]
    #[arg(long, global = true, value_name = "FILE", env = "RESPOOL_CONFIG")]
    config: Option<PathBuf>,
}

impl OutputArgs {
    pub(super) fn resolve(&self, environment: &Environment) -> Result<OutputConfig, Error> {
        if self.quiet && self.verbose > 0 {
            return Err(Error::usage("--quiet and --verbose contradict each other: give one of them"));
        }
        Ok(OutputConfig {
            json: self.json,
            quiet: self.quiet,
            verbosity: self.verbose,
            color: environment.stdout_is_terminal && !environment.no_color,
            width: environment.width(),
            progress_bar: environment.stderr_is_terminal,
            can_ask: environment.stdin_is_terminal && environment.stderr_is_terminal,
        })
    }
}

/// Where runs are kept.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_CACHE)]
pub(super) struct StateArgs {
    /// Where runs are kept: manifest, checkpoint, quarantine [default: ~/.local/state/respool]
    #[arg(long, value_name = "DIR", env = "RESPOOL_STATE_DIR")]
    state_dir: Option<PathBuf>,
}

impl StateArgs {
    pub(super) fn resolve(self, environment: &Environment) -> Result<StateDir, Error> {
        let usual = environment.state_dir();
        let Some(given) = &self.state_dir else { return usual.map(StateDir::usual) };
        let given = directory("--state-dir", given)?;
        let is_usual = usual.is_ok_and(|usual| usual == given);
        Ok(if is_usual { StateDir::usual(given) } else { StateDir::other(given) })
    }
}

/// What is meant although it looks like a mistake.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_OUTPUT)]
pub(super) struct LoopArgs {
    /// Write to a stream that feeds, or seems to feed, the archive that is read: everything is archived once more
    #[arg(long, env = "RESPOOL_ALLOW_LOOP", value_parser = FalseyValueParser::new())]
    pub(super) allow_loop: bool,
}

/// Everything that may change when a run is resumed.
#[derive(Debug, Clone, Args)]
pub(super) struct TuningArgs {
    /// Part of each shard's limits (1,000 records/s and 1 MB/s) to take; 0.5 leaves half to live
    /// producers [default: 0.98]
    #[arg(long, value_name = "SHARE", env = "RESPOOL_SHARE", help_heading = HEADING_SPEED)]
    #[arg(allow_negative_numbers = true)]
    share: Option<Share>,
    /// Bound the whole run: 20MB/s, 5000rec/s, or both as in 20MB/s,5000rec/s [default: the shards' limits]
    #[arg(long, value_name = "RATE", env = "RESPOOL_MAX_RATE", help_heading = HEADING_SPEED)]
    #[arg(allow_hyphen_values = true)]
    max_rate: Vec<RateCap>,
    /// How requests with records are made: direct, written straight from the cache; or sdk, by the AWS SDK
    /// [default: direct]
    #[arg(long, value_name = "HOW", env = "RESPOOL_SEND", help_heading = HEADING_SPEED)]
    #[arg(value_parser = PossibleValuesParser::new(SendPath::WORDS).try_map(|word| word.parse::<SendPath>()))]
    send: Option<SendPath>,
    /// End the run, to be resumed, when more records and objects than this are in quarantine [default: no bound]
    #[arg(long, value_name = "COUNT", env = "RESPOOL_MAX_QUARANTINE", help_heading = HEADING_OUTPUT)]
    #[arg(value_parser = whole::<u64>("a bound", 0..=u64::MAX), allow_negative_numbers = true)]
    max_quarantine: Option<u64>,
    /// Set aside whatever the archive refuses (denied, deleted, archived), even if that is everything: by itself
    /// a run ends at fifty refusals in a row
    #[arg(long, env = "RESPOOL_ACCEPT_REFUSALS", help_heading = HEADING_OUTPUT)]
    #[arg(value_parser = FalseyValueParser::new())]
    accept_refusals: bool,

    #[command(flatten)]
    access: AccessArgs,
}

/// Where things are, and by which door.
#[derive(Debug, Clone, Args)]
pub(super) struct AccessArgs {
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    aws: AwsArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING_CACHE)]
struct CacheArgs {
    /// Where decoded objects are kept for the next run, unencrypted [default: ~/.cache/respool]
    #[arg(long, value_name = "DIR", env = "RESPOOL_CACHE_DIR")]
    cache_dir: Option<PathBuf>,
    /// Bound of the cache, as in 20GB or 500MiB [default: 50GB or half of the free disk, if less]
    #[arg(long, value_name = "SIZE", env = "RESPOOL_CACHE_SIZE", value_parser = parse_size)]
    #[arg(allow_hyphen_values = true)]
    cache_size: Option<ByteCount>,
    /// Keep nothing: delete what is delivered (it still passes through the cache directory)
    #[arg(long, env = "RESPOOL_NO_CACHE", value_parser = FalseyValueParser::new())]
    no_cache: bool,
    /// Replay from an earlier manifest and the cache alone, without asking the archive for anything
    #[arg(long, env = "RESPOOL_OFFLINE", value_parser = FalseyValueParser::new())]
    offline: bool,
    /// Ask the archive for what is not in the cache, although the run was begun with --offline
    #[arg(long, env = "RESPOOL_ONLINE", value_parser = FalseyValueParser::new())]
    online: bool,
}

/// Two accounts are normal: the archive in one, the stream in another.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = HEADING_AWS)]
struct AwsArgs {
    /// Region of both services [default: from the AWS configuration; an ARN's own goes first]
    #[arg(long, value_name = "REGION", env = "RESPOOL_REGION", value_parser = parse_region)]
    region: Option<String>,
    /// Profile for both services [default: from the AWS configuration]
    #[arg(long, value_name = "NAME", env = "RESPOOL_PROFILE", value_parser = NonEmptyStringValueParser::new())]
    profile: Option<String>,
    #[arg(
        help = "Endpoint of both services, as in http://127.0.0.1:4566",
        long,
        value_name = "URL",
        env = "RESPOOL_ENDPOINT_URL"
    )]
    endpoint_url: Option<Endpoint>,

    /// Region of the archive
    #[arg(long, value_name = "REGION", env = "RESPOOL_S3_REGION", value_parser = parse_region)]
    s3_region: Option<String>,
    /// Profile for the archive
    #[arg(long, value_name = "NAME", env = "RESPOOL_S3_PROFILE", value_parser = NonEmptyStringValueParser::new())]
    s3_profile: Option<String>,
    /// Endpoint of the archive
    #[arg(long, value_name = "URL", env = "RESPOOL_S3_ENDPOINT_URL")]
    s3_endpoint_url: Option<Endpoint>,
    /// Where a request names the bucket [default: auto, the path if there is an endpoint, else the host]
    #[arg(long, value_name = "HOW", env = "RESPOOL_S3_ADDRESSING")]
    #[arg(value_parser = PossibleValuesParser::new(Addressing::WORDS).try_map(|word| word.parse::<Addressing>()))]
    s3_addressing: Option<Addressing>,
    /// Read a public bucket without credentials: requests to S3 are not signed
    #[arg(long, env = "RESPOOL_ANONYMOUS", value_parser = FalseyValueParser::new())]
    anonymous: bool,

    /// Pay for the requests and the transfer of a bucket whose owner does not
    #[arg(long, env = "RESPOOL_REQUEST_PAYER", value_parser = FalseyValueParser::new())]
    request_payer: bool,
    /// Refuse a bucket that does not belong to this account
    #[arg(long, value_name = "ACCOUNT", env = "RESPOOL_EXPECTED_BUCKET_OWNER", value_parser = parse_account)]
    expected_bucket_owner: Option<String>,

    /// Region of the stream
    #[arg(long, value_name = "REGION", env = "RESPOOL_KINESIS_REGION", value_parser = parse_region)]
    kinesis_region: Option<String>,
    /// Profile for the stream
    #[arg(long, value_name = "NAME", env = "RESPOOL_KINESIS_PROFILE", value_parser = NonEmptyStringValueParser::new())]
    kinesis_profile: Option<String>,
    /// Endpoint of the stream
    #[arg(long, value_name = "URL", env = "RESPOOL_KINESIS_ENDPOINT_URL")]
    kinesis_endpoint_url: Option<Endpoint>,

    #[command(flatten)]
    exposure: ExposureArgs,
}

impl TuningArgs {
    /// What was given, and nothing else.
    pub(super) fn changes(self, environment: &Environment) -> Result<TuningChanges, Error> {
        let caps = self.max_rate.into_iter().map(Ok).reduce(|a, b| a?.and(b?));
        let max_rate = caps.transpose().map_err(|error| Error::usage(format!("--max-rate: {error}")))?;
        let max_quarantine = self.max_quarantine;
        let (share, send) = (self.share, self.send);
        let accept_refusals = self.accept_refusals.then_some(true);
        let access = self.access.changes(environment)?;
        Ok(TuningChanges { share, max_rate, max_quarantine, accept_refusals, send, ..access })
    }

    /// What was given, on top of the defaults.
    pub(super) fn resolve(self, environment: &Environment) -> Result<Tuning, Error> {
        tuning_of(self.changes(environment)?, environment)
    }

    /// What was typed or set by a variable, behind it what a plan remembers, and behind that what only stands in the
    /// configuration file; on top of the defaults.
    pub(super) fn resolve_around(
        self,
        plan: &TuningChanges,
        given: &Given,
        environment: &Environment,
    ) -> Result<Tuning, Error> {
        let exposure = self.access.aws.exposure;
        let kept = self.clone().only(|id| !given.has(id)).changes(environment)?;
        let changes = self.only(|id| given.has(id)).changes(environment)?.or(plan.clone()).or(kept);
        exposure.refuse([changes.s3.endpoint_url.as_ref(), changes.kinesis.endpoint_url.as_ref()])?;
        tuning_of(changes, environment)
    }

    /// Of the flags those with these names.
    fn only(self, counts: impl Fn(&str) -> bool) -> Self {
        fn of<T>(value: Option<T>, counts: bool) -> Option<T> {
            value.filter(|_| counts)
        }
        let AccessArgs { cache, aws } = self.access;
        Self {
            share: of(self.share, counts("share")),
            max_rate: if counts("max_rate") { self.max_rate } else { Vec::new() },
            send: of(self.send, counts("send")),
            max_quarantine: of(self.max_quarantine, counts("max_quarantine")),
            accept_refusals: self.accept_refusals && counts("accept_refusals"),
            access: AccessArgs {
                cache: CacheArgs {
                    cache_dir: of(cache.cache_dir, counts("cache_dir")),
                    cache_size: of(cache.cache_size, counts("cache_size")),
                    no_cache: cache.no_cache && counts("no_cache"),
                    offline: cache.offline && counts("offline"),
                    online: cache.online && counts("online"),
                },
                aws: AwsArgs {
                    region: of(aws.region, counts("region")),
                    profile: of(aws.profile, counts("profile")),
                    endpoint_url: of(aws.endpoint_url, counts("endpoint_url")),
                    s3_region: of(aws.s3_region, counts("s3_region")),
                    s3_profile: of(aws.s3_profile, counts("s3_profile")),
                    s3_endpoint_url: of(aws.s3_endpoint_url, counts("s3_endpoint_url")),
                    s3_addressing: of(aws.s3_addressing, counts("s3_addressing")),
                    anonymous: aws.anonymous && counts("anonymous"),
                    request_payer: aws.request_payer && counts("request_payer"),
                    expected_bucket_owner: of(aws.expected_bucket_owner, counts("expected_bucket_owner")),
                    kinesis_region: of(aws.kinesis_region, counts("kinesis_region")),
                    kinesis_profile: of(aws.kinesis_profile, counts("kinesis_profile")),
                    kinesis_endpoint_url: of(aws.kinesis_endpoint_url, counts("kinesis_endpoint_url")),
                    exposure: aws.exposure,
                },
            },
        }
    }

    /// The endpoint for Firehose, which only the environment can name.
    pub(super) fn firehose(&self, environment: &Environment) -> Result<Option<Endpoint>, Error> {
        let firehose = environment.endpoint_firehose()?;
        self.access.aws.exposure.refuse([firehose.as_ref()])?;
        Ok(firehose)
    }

    /// The stream's region, if it was given for the stream alone.
    pub(super) fn kinesis_region(&self) -> Option<&str> {
        self.access.aws.kinesis_region.as_deref()
    }
}

/// `changes` on top of the defaults.
pub(super) fn tuning_of(changes: TuningChanges, environment: &Environment) -> Result<Tuning, Error> {
    let cache_dir = match &changes.cache_dir {
        Some(dir) => dir.clone(),
        None => environment.cache_dir()?,
    };
    let mut tuning = changes.apply(Tuning::new(cache_dir));
    if tuning.s3.endpoint_url.is_none() {
        tuning.s3.endpoint_url = environment.endpoint_s3()?;
    }
    if tuning.kinesis.endpoint_url.is_none() {
        tuning.kinesis.endpoint_url = environment.endpoint_kinesis()?;
    }
    Ok(tuning)
}

impl AccessArgs {
    /// What was given, on top of the defaults.
    pub(super) fn resolve(self, environment: &Environment) -> Result<Tuning, Error> {
        tuning_of(self.changes(environment)?, environment)
    }

    /// What was given, and nothing else.
    pub(super) fn changes(self, environment: &Environment) -> Result<TuningChanges, Error> {
        let cache_mode = match (self.cache.offline && !self.cache.online, self.cache.no_cache) {
            (true, true) => {
                return Err(Error::usage(
                    "--offline reads from the cache and --no-cache keeps none: give one of them",
                ));
            }
            (true, false) => Some(CacheMode::Offline),
            (false, true) => Some(CacheMode::Discard),
            (false, false) => None,
        };
        let aws = self.aws;
        aws.refuse_exposed(environment)?;
        let general = AwsAccess { region: aws.region, profile: aws.profile, endpoint_url: aws.endpoint_url };
        let s3 =
            AwsAccess { region: aws.s3_region, profile: aws.s3_profile, endpoint_url: aws.s3_endpoint_url };
        let kinesis = AwsAccess {
            region: aws.kinesis_region,
            profile: aws.kinesis_profile,
            endpoint_url: aws.kinesis_endpoint_url,
        };
        Ok(TuningChanges {
            share: None,
            max_rate: None,
            max_quarantine: None,
            send: None,
            accept_refusals: None,
            cache_dir: self.cache.cache_dir.map(|dir| directory("--cache-dir", &dir)).transpose()?,
            cache_size: self.cache.cache_size,
            cache_mode,
            online: self.cache.online,
            s3: s3.or(general.clone()),
            s3_anonymous: aws.anonymous.then_some(true),
            s3_request_payer: aws.request_payer.then_some(true),
            s3_bucket_owner: aws.expected_bucket_owner,
            s3_addressing: aws.s3_addressing,
            kinesis: kinesis.or(general),
        })
    }
}

impl AwsArgs {
    fn refuse_exposed(&self, environment: &Environment) -> Result<(), Error> {
        let Self { endpoint_url, s3_endpoint_url, kinesis_endpoint_url, exposure, .. } = self;
        exposure.refuse([endpoint_url, s3_endpoint_url, kinesis_endpoint_url].map(Option::as_ref))?;
        exposure.refuse([environment.endpoint_s3()?.as_ref(), environment.endpoint_kinesis()?.as_ref()])
    }
}

/// An absolute path, so that a resume from elsewhere means the same directory.
pub(super) fn directory(flag: &str, dir: &Path) -> Result<PathBuf, Error> {
    if dir.as_os_str().is_empty() {
        return Err(Error::usage(format!("{flag} is empty: give a directory")));
    }
    whole_path(dir).map_err(|error| {
        Error::usage(format!("{flag}: {} has no absolute path", dir.display())).with_source(error)
    })
}

/// `path` from the root on, without steps back, as far as what they step back from is there.
pub(super) fn whole_path(path: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    if !absolute.components().any(|part| part == Component::ParentDir) {
        return Ok(absolute);
    }
    // Through a link a step back leads elsewhere than the text says.
    let in_parent = || Some(absolute.parent()?.canonicalize().ok()?.join(absolute.file_name()?));
    Ok(absolute.canonicalize().ok().or_else(in_parent).unwrap_or(absolute))
}

fn parse_account(text: &str) -> Result<String, &'static str> {
    let digits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if digits { Ok(text.into()) } else { Err("an account has twelve digits") }
}

pub(super) fn parse_region(text: &str) -> Result<String, &'static str> {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if (2..=63).contains(&text.len()) && text.bytes().all(word) && !text.starts_with('-') {
        return Ok(text.into());
    }
    Err("a region looks like eu-west-1")
}
