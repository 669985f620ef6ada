//! `respool stream` and `respool guide`: the stream of a backfill, and the way there and back.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use clap::builder::{FalseyValueParser, NonEmptyStringValueParser};
use clap::{Args, Subcommand};

use super::door::DoorArgs;
use super::environment::Environment;
use super::options::{StateArgs, parse_region};
use super::saved_plan::{self, Given};
use super::whole::whole;
use super::{HEADING_AWS, HEADING_INTO, HEADING_OUTPUT, Invocation};
use crate::archive::window::TimeBound;
use crate::config::{
    AwsAccess, ConsumerAccess, CreateWish, DrainedConfig, Endpoint, GuideConfig, OutputConfig, SavedPlan,
    ShardsWish, StreamAction, StreamConfig, StreamName, StreamShape, Target, parse_duration, parse_size,
};
use crate::error::Error;

/// Hours that a stream can keep records. Source: Kinesis quotas page, read 2026-11-22.
const RETENTION_HOURS: std::ops::RangeInclusive<u64> = 24..=8_760;
/// KiB of a record that a stream can be set to take. Source: Kinesis API reference, `CreateStream`, read 2026-11-22.
const RECORD_KIB: std::ops::RangeInclusive<u64> = 1_024..=10_240;
/// Shards of a stream. Source: Kinesis API reference, `UpdateShardCount`, read 2026-11-22.
const SHARDS_MAX: u64 = 10_000;

/// What was typed after `respool stream`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct StreamArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make the stream of a backfill, and wait until it is there
    Create(Box<CreateArgs>),
    /// Give a stream another number of shards, step by step; a run may be writing meanwhile
    Scale(Box<ScaleArgs>),
    /// Say what a stream is, who made it, and which runs write into it
    Status(Box<NamedArgs>),
    /// Find out whether the worker has read everything that was replayed
    Drained(Box<DrainedArgs>),
    /// Delete a stream that respool has made
    Delete(Box<DeleteArgs>),
}

#[derive(Debug, Args)]
struct NamedArgs {
    /// The stream's name or ARN
    stream: StreamName,
    #[command(flatten)]
    door: DoorArgs,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// The stream's name or ARN [default: the plan's]
    #[arg(required_unless_present = "plan")]
    stream: Option<StreamName>,
    /// Make the stream that a saved plan asks for: its shards, retention and record size
    #[arg(long, value_name = "FILE", env = "RESPOOL_PLAN", value_parser = clap::value_parser!(PathBuf))]
    plan: Option<PathBuf>,
    /// Its shards: each takes 1,000 records and 1 MB a second [default: the plan's]
    #[arg(
        long,
        value_name = "N",
        env = "RESPOOL_SHARDS",
        allow_negative_numbers = true,
        required_unless_present = "plan"
    )]
    #[arg(value_parser = whole::<u32>("a number of shards", 1..=SHARDS_MAX))]
    shards: Option<u32>,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    door: DoorArgs,
    #[command(flatten)]
    state: StateArgs,
}

impl CreateArgs {
    /// What was typed; what was not, as planned.
    fn resolve(self) -> Result<(NamedArgs, StreamAction), Error> {
        let plan = self.plan.as_deref().map(saved_plan::read).transpose()?;
        let planned = plan.as_ref().and_then(|plan| match &plan.what.target {
            Some(Target::Kinesis { stream }) => Some(stream.clone()),
            _ => None,
        });
        let stream = self.stream.or(planned);
        let stream =
            stream.ok_or_else(|| Error::usage("STREAM is missing: the plan was not made for one"))?;
        let mut shape = self.shape.resolve();
        let mut shards = self.shards;
        if let Some(plan) = &plan {
            shape = shape.or_planned(plan);
            shards = shards.or(Some(plan.figures.shards));
        }
        let fits = shards.filter(|shards| (1..=SHARDS_MAX).contains(&u64::from(*shards)));
        let shards = fits.ok_or_else(|| Error::usage("--shards is missing, and the plan has none"))?;
        let named = NamedArgs { stream, door: self.door, state: self.state };
        let planned = plan.as_ref().and_then(SavedPlan::stream_door).cloned();
        Ok((named, StreamAction::Create { shards, shape, planned }))
    }
}

/// What a new stream shall be; `replay --create` has these too.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_INTO)]
pub(super) struct ShapeArgs {
    /// How long the new stream keeps records, as in 48h or 7d: longer than replaying and reading take [default: 24h]
    #[arg(long, value_name = "TIME", env = "RESPOOL_RETENTION", value_parser = parse_retention)]
    retention: Option<u32>,
    /// The largest record it takes, data and key, as in 4MiB [default: 1MiB]
    #[arg(long, value_name = "SIZE", env = "RESPOOL_RECORD_SIZE", value_parser = parse_record_kib)]
    record_size: Option<u32>,
    /// Encrypt it with this key of KMS: alias/aws/kinesis, a key's id or its ARN
    #[arg(long, value_name = "KEY", env = "RESPOOL_ENCRYPTION", value_parser = NonEmptyStringValueParser::new())]
    encryption: Option<String>,
    /// Label it, as in team=orders; may be repeated
    #[arg(long, value_name = "KEY=VALUE", env = "RESPOOL_TAG", value_delimiter = ',', value_parser = parse_tag)]
    tag: Vec<(String, String)>,
}

impl ShapeArgs {
    fn resolve(self) -> StreamShape {
        StreamShape {
            retention_hours: self.retention,
            record_kib: self.record_size,
            encryption_key: self.encryption,
            tags: self.tag.into_iter().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { retention, record_size, encryption, tag } = self;
        retention.is_none() && record_size.is_none() && encryption.is_none() && tag.is_empty()
    }
}

/// `replay --create`.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_INTO)]
pub(super) struct CreateOnTheWayArgs {
    /// Make the stream first, and wait until it is there
    #[arg(long, env = "RESPOOL_CREATE", value_parser = FalseyValueParser::new())]
    create: bool,
    /// Shards of the new stream, or auto: as many as the replay is worth [default: the plan's, else auto]
    #[arg(long, value_name = "N", env = "RESPOOL_SHARDS", value_parser = parse_shards)]
    shards: Option<ShardsWish>,
    #[command(flatten)]
    shape: ShapeArgs,
}

impl CreateOnTheWayArgs {
    /// What was typed; what was not, as planned.
    pub(super) fn resolve(self, plan: Option<&SavedPlan>) -> Result<Option<CreateWish>, Error> {
        if !self.create {
            if self.shards.is_some() || !self.shape.is_empty() {
                return Err(Error::usage(
                    "--shards, --retention, --record-size, --encryption and --tag are for a new stream: say --create",
                ));
            }
            return Ok(None);
        }
        let mut shape = self.shape.resolve();
        if let Some(plan) = plan {
            shape = shape.or_planned(plan);
        }
        let planned = plan.map(|plan| plan.figures.shards);
        let planned = planned.filter(|shards| (1..=SHARDS_MAX).contains(&u64::from(*shards)));
        let shards = self.shards.or(planned.map(ShardsWish::Exactly)).unwrap_or(ShardsWish::Auto);
        Ok(Some(CreateWish { shards, shape }))
    }
}

#[derive(Debug, Args)]
struct ScaleArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// The shards that it shall have
    #[arg(long, value_name = "N", env = "RESPOOL_SHARDS", allow_negative_numbers = true)]
    #[arg(value_parser = whole::<u32>("a number of shards", 1..=SHARDS_MAX))]
    shards: u32,
    /// Do not ask before a stream is scaled that respool has not made
    // No variable, and none below: an answer that was given for other commands is none about this stream.
    #[arg(long, short, help_heading = HEADING_OUTPUT)]
    yes: bool,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    named: NamedArgs,
    /// Do not ask
    #[arg(long, short, help_heading = HEADING_OUTPUT)]
    yes: bool,
    /// Although nobody has seen it drained, or a run into it is unfinished
    #[arg(long, help_heading = HEADING_OUTPUT)]
    force: bool,
    /// Although consumers are registered with it: they go too
    #[arg(long, help_heading = HEADING_OUTPUT)]
    with_consumers: bool,
}

#[derive(Debug, Args)]
struct DrainedArgs {
    /// The run, as `respool runs` names it; all runs into its stream count [default: the last one into Kinesis]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    run: Option<String>,
    /// The worker's table in DynamoDB (the application name of the Kinesis Client Library). Without it CloudWatch
    /// is asked how old the records are that are read: weaker, see docs/backfill.md
    #[arg(long, value_name = "TABLE", env = "RESPOOL_LEASE_TABLE", value_parser = NonEmptyStringValueParser::new())]
    lease_table: Option<String>,
    /// Ask again until everything is read
    #[arg(long, env = "RESPOOL_WAIT", value_parser = FalseyValueParser::new())]
    wait: bool,
    #[command(flatten)]
    door: DoorArgs,
    #[command(flatten)]
    consumer: ConsumerArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// What was typed after `respool guide`.
#[derive(Debug, Args)]
pub(super) struct GuideArgs {
    /// The run, as `respool runs` names it, or the file of a saved plan [default: the last run into Kinesis]
    #[arg(value_name = "RUN|PLAN", value_parser = NonEmptyStringValueParser::new())]
    run: Option<String>,
    /// The checklist of a saved plan, as where it is named instead of a run
    #[arg(long, value_name = "FILE", env = "RESPOOL_PLAN", conflicts_with = "run")]
    plan: Option<PathBuf>,
    /// The stream that the worker reads otherwise: its retention is the time that there is
    #[arg(long, value_name = "STREAM", env = "RESPOOL_LIVE")]
    live: Option<StreamName>,
    /// How long it keeps records, as in 48h, where it is not to be asked
    #[arg(long, value_name = "TIME", env = "RESPOOL_LIVE_RETENTION", value_parser = parse_retention)]
    live_retention: Option<u32>,
    /// When the worker left it: a time, as in 2026-11-26T14:00:00Z, or ago, as in 6h [default: the plan's --since]
    #[arg(long, value_name = "TIME", env = "RESPOOL_AWAY_SINCE", allow_hyphen_values = true)]
    away_since: Option<TimeBound>,
    /// The worker's table in DynamoDB (the application name of the Kinesis Client Library)
    #[arg(long, value_name = "TABLE", env = "RESPOOL_LEASE_TABLE", value_parser = NonEmptyStringValueParser::new())]
    lease_table: Option<String>,
    #[command(flatten)]
    door: DoorArgs,
    #[command(flatten)]
    consumer: ConsumerArgs,
    #[command(flatten)]
    state: StateArgs,
}

/// Where the worker's progress is looked up, if not where the stream is.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING_AWS)]
#[expect(clippy::struct_field_names, reason = "a field is named as its flag")]
struct ConsumerArgs {
    /// Region of the worker's table and metrics [default: the stream's]
    #[arg(long, value_name = "REGION", env = "RESPOOL_CONSUMER_REGION", value_parser = parse_region)]
    consumer_region: Option<String>,
    /// Profile for the worker's table and metrics [default: the stream's]
    #[arg(long, value_name = "NAME", env = "RESPOOL_CONSUMER_PROFILE", value_parser = NonEmptyStringValueParser::new())]
    consumer_profile: Option<String>,
    /// Endpoint of DynamoDB and CloudWatch
    #[arg(long, value_name = "URL", env = "RESPOOL_CONSUMER_ENDPOINT_URL")]
    consumer_endpoint_url: Option<Endpoint>,
}

impl ConsumerArgs {
    fn resolve(self, environment: &Environment, door: &DoorArgs) -> Result<ConsumerAccess, Error> {
        let given = self.consumer_endpoint_url.or_else(|| door.endpoint_url.clone());
        let dynamodb = given.clone().map_or_else(|| environment.endpoint_dynamodb(), |url| Ok(Some(url)))?;
        let cloudwatch = given.map_or_else(|| environment.endpoint_cloudwatch(), |url| Ok(Some(url)))?;
        door.exposure.refuse([dynamodb.as_ref(), cloudwatch.as_ref()])?;
        let aws =
            AwsAccess { region: self.consumer_region, profile: self.consumer_profile, endpoint_url: None };
        Ok(ConsumerAccess { aws, dynamodb, cloudwatch })
    }

    /// What was given, to be given again.
    fn given(self, environment: &Environment, door: &DoorArgs) -> Result<AwsAccess, Error> {
        let given = self.consumer_endpoint_url.or_else(|| door.endpoint_url.clone());
        // What only the environment says is not there where the command is pasted.
        let endpoint_url = given.map_or_else(|| environment.endpoint_dynamodb(), |url| Ok(Some(url)))?;
        door.exposure.refuse([endpoint_url.as_ref()])?;
        Ok(AwsAccess { region: self.consumer_region, profile: self.consumer_profile, endpoint_url })
    }
}

impl StreamArgs {
    pub(super) fn resolve(
        self,
        given: &Given,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<Invocation, Error> {
        let of = |named: NamedArgs, action| {
            let planned = match &action {
                StreamAction::Create { planned, .. } => planned.as_ref(),
                _ => None,
            };
            let access = named.door.resolve(planned, given, environment, &named.stream)?;
            let state_dir = named.state.resolve(environment)?;
            let config = StreamConfig { stream: named.stream, action, access, state_dir, output };
            Ok(Invocation::Stream(Box::new(config)))
        };
        match self.action {
            Action::Create(args) => {
                let (named, action) = args.resolve()?;
                of(named, action)
            }
            Action::Scale(args) => {
                let ScaleArgs { named, shards, yes } = *args;
                of(named, StreamAction::Scale { shards, yes })
            }
            Action::Status(named) => of(*named, StreamAction::Status),
            Action::Delete(args) => {
                let DeleteArgs { named, yes, force, with_consumers } = *args;
                of(named, StreamAction::Delete { yes, force, with_consumers })
            }
            Action::Drained(args) => Ok(Invocation::Drained(Box::new(DrainedConfig {
                door: args.door.around_a_run(given, environment)?,
                consumer: args.consumer.resolve(environment, &args.door)?,
                run: args.run,
                lease_table: args.lease_table,
                wait: args.wait,
                state_dir: args.state.resolve(environment)?,
                output,
            }))),
        }
    }
}

impl GuideArgs {
    pub(super) fn resolve(
        self,
        given: &Given,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<GuideConfig, Error> {
        let plan = match (self.run.as_deref(), self.plan.as_deref()) {
            (Some(name), _) => saved_plan::if_named(name)?,
            (None, Some(path)) => Some(saved_plan::with_whole_path(path)?),
            (None, None) => None,
        };
        let plan = plan.map(Box::new);
        let door = self.door.around_a_run(given, environment)?;
        if let Some((_, plan)) = plan.as_deref() {
            // Whoever wrote it, nobody has allowed its endpoint here; who began a run has.
            let access = door.without_a_stream(plan.tuning.kinesis.clone());
            self.door.exposure.refuse([access.endpoint_url.as_ref()])?;
        }
        let away_since = self.away_since.map(|bound| bound.resolve(environment.now));
        if away_since.is_some_and(|since| since > environment.now) {
            return Err(Error::usage("--away-since lies in the future"));
        }
        Ok(GuideConfig {
            plan,
            door,
            consumer: self.consumer.given(environment, &self.door)?,
            run: self.run,
            live: self.live,
            live_retention_hours: self.live_retention,
            away_since,
            lease_table: self.lease_table,
            state_dir: self.state.resolve(environment)?,
            output,
        })
    }
}

pub(super) fn parse_retention(text: &str) -> Result<u32, String> {
    let seconds = parse_duration(text).map_err(|error| error.to_string())?.as_secs();
    let hours = seconds.div_ceil(3_600);
    let fits = u32::try_from(hours).ok().filter(|_| RETENTION_HOURS.contains(&hours));
    fits.ok_or_else(|| "Kinesis keeps records for 24h to 365d".to_owned())
}

fn parse_record_kib(text: &str) -> Result<u32, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?.0;
    let kib = bytes.div_ceil(1_024);
    let fits = u32::try_from(kib).ok().filter(|_| RECORD_KIB.contains(&kib));
    fits.ok_or_else(|| "a stream takes records of up to 1MiB to 10MiB".to_owned())
}

fn parse_tag(text: &str) -> Result<(String, String), &'static str> {
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_./=+-%@".contains(c);
    let (key, value) = text.split_once('=').ok_or("a tag is KEY=VALUE")?;
    if key.is_empty() || key.chars().count() > 128 || value.chars().count() > 256 {
        return Err("a tag's key has 1 to 128 characters, its value up to 256");
    }
    if !key.chars().chain(value.chars()).all(allowed) {
        return Err("a tag has letters, digits, blanks and _ . / = + - % @");
    }
    if key.starts_with("respool/") || key.starts_with("aws") {
        return Err("tags that begin with respool/ or aws are not yours to set");
    }
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_shards(text: &str) -> Result<ShardsWish, String> {
    if text == "auto" {
        return Ok(ShardsWish::Auto);
    }
    let shards = text.parse().ok().filter(|shards| (1..=SHARDS_MAX).contains(&u64::from(*shards)));
    shards
        .map(ShardsWish::Exactly)
        .ok_or_else(|| format!("auto, or a number of shards, 1 to {}", crate::record::number(SHARDS_MAX)))
}
