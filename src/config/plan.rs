//! What is to be planned, and a plan that was saved.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    ArchiveAddress, AwsAccess, Endpoint, Input, Order, OutputConfig, RateCap, RunSettings, Target, Tuning,
    TuningChanges,
};
use crate::route::key::{KeyConfig, KeyFallback, KeyRule};
use crate::stream::name::StreamName;

/// The version of [`SavedPlan`] that this build writes and reads.
pub const SAVED_PLAN_VERSION: u32 = 2;

/// `respool plan`.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanConfig {
    /// What would be replayed, how.
    pub what: Planned,
    /// By which door, and how fast.
    pub tuning: Tuning,
    /// What of that the user has said, for the plan to remember.
    pub said: TuningChanges,
    /// Numbers of shards to compare; a few usual ones if empty.
    pub shards: Vec<u32>,
    /// When it has to be done: how many shards does that take?
    pub deadline: Option<Duration>,
    /// A request's time to its answer, where the user knows it.
    pub round_trip: Option<Duration>,
    /// How long the stream keeps records, where it is not there yet.
    pub retention: Option<Duration>,
    /// What the worker reads each second at most.
    pub worker_rate: RateCap,
    /// The live stream that the worker leaves meanwhile.
    pub live: LiveStream,
    /// Firehose, where it is not AWS' own.
    pub firehose: Option<Endpoint>,
    /// Other prices.
    pub prices: Option<PathBuf>,
    /// Where the plan is kept, to be run.
    pub save: Option<PathBuf>,
    /// Where the page for a browser goes.
    pub html: Option<PathBuf>,
    /// From what random keys are drawn.
    pub seed: u64,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// The stream that the worker usually reads.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveStream {
    /// Which one, to be asked for its retention.
    pub stream: Option<Target>,
    /// How long it keeps records, as far as the user says.
    pub retention: Option<Duration>,
    /// Since when the worker has not read it; from now on if absent.
    pub since: Option<Timestamp>,
}

/// What of a replay is planned: all that a run is defined by, but for what may still be open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// Where the events lie.
    pub archive: ArchiveAddress,
    /// Where they go, if that is known.
    pub target: Option<Target>,
    /// Which objects and records.
    pub input: Input,
    /// Stop after this many records.
    pub limit: Option<u64>,
    /// Where a record's key is found.
    pub partition_key: Option<KeyRule>,
    /// What a record without the key gets, if not quarantine.
    pub key_fallback: Option<KeyFallback>,
    /// What is kept in order.
    pub order: Order,
    /// Whether records are packed into aggregates.
    pub aggregate: bool,
}

impl Planned {
    /// All that a record's key depends on; `None` as long as the user has not chosen.
    #[must_use]
    pub fn key_config(&self, seed: u64) -> Option<KeyConfig> {
        let rule = self.partition_key.clone()?;
        Some(KeyConfig { rule, fallback: self.key_fallback, seed })
    }

    /// What defines the run that carries this out, into `target`.
    #[must_use]
    pub fn into_run(self, target: Target, seed: u64) -> RunSettings {
        let Self { archive, target: _, input, limit, partition_key, key_fallback, order, aggregate } = self;
        RunSettings { archive, target, input, limit, partition_key, key_fallback, order, aggregate, seed }
    }
}

/// A plan in a file, for `respool replay --plan`. It holds no record and no key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    /// The layout of this file.
    pub version: u32,
    /// When it was made.
    pub created: Timestamp,
    /// What would be replayed, how.
    pub what: Planned,
    /// By which doors, and how fast: what was planned with, and what else the user has said.
    pub tuning: TuningChanges,
    /// What came out, for the number of shards that it is about.
    pub figures: PlanFigures,
    /// The same for each of the others that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<PlanFigures>,
    /// What a stream that is made for it has to be, beside its number of shards.
    #[serde(default)]
    pub stream: PlannedStream,
    /// What was said of the live stream that the worker leaves meanwhile.
    #[serde(default, skip_serializing_if = "PlannedLive::is_nothing")]
    pub live: PlannedLive,
}

impl SavedPlan {
    /// The door of the stream, if the plan knows of one.
    #[must_use]
    pub fn stream_door(&self) -> Option<&AwsAccess> {
        let door = &self.tuning.kinesis;
        let knows = matches!(self.what.target, Some(Target::Kinesis { .. })) || *door != AwsAccess::default();
        knows.then_some(door)
    }
}

/// What a stream has to be, so that a plan can be carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedStream {
    /// How long it has to keep records, in hours.
    pub retention_hours: Option<u32>,
    /// The largest record, data and key, in KiB, where that is more than a new stream takes.
    pub record_kib: Option<u32>,
    /// Whether the plan names a stream that was not there yet.
    #[serde(default)]
    pub is_absent: bool,
}

/// The stream that the worker leaves, as far as the plan knows it: the checklist counts with the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedLive {
    /// Which one.
    #[serde(default)]
    pub stream: Option<StreamName>,
    /// For how many whole hours it keeps records.
    #[serde(default)]
    pub retention_hours: Option<u32>,
    /// When the worker left it.
    #[serde(default)]
    pub away_since: Option<Timestamp>,
}

impl PlannedLive {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What a plan says, to be held against what happens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFigures {
    /// Objects.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes_stored: u64,
    /// Records that would be sent.
    pub records: u64,
    /// Their data and keys, in bytes.
    pub bytes: u64,
    /// With so many shards …
    pub shards: u32,
    /// … it takes so long …
    pub seconds: f64,
    /// … because of this.
    pub binding_limit: String,
    /// And costs so much, in dollars …
    pub cost_usd: f64,
    /// … of which an hour of a shard is this, with what it costs to keep records for more than a day …
    #[serde(default)]
    pub shard_hour_usd: Option<f64>,
    /// … and a PUT payload unit this. Neither where the stream is on demand, or not paid for.
    #[serde(default)]
    pub put_unit_usd: Option<f64>,
}

/// Where a worker's progress is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgressIn {
    /// In CloudWatch.
    CloudWatch,
    /// In this table of DynamoDB.
    LeaseTable(String),
}

/// `respool iam`.
#[derive(Debug, Clone, PartialEq)]
pub struct IamConfig {
    /// Where the events lie.
    pub archive: ArchiveAddress,
    /// Where they go.
    pub target: Target,
    /// Whether objects are restored from an archive tier.
    pub restore: bool,
    /// Whether the stream is read back.
    pub verify: bool,
    /// What the stream that is made for it shall be, if one is.
    pub create: Option<PlannedStream>,
    /// Whether the stream is scaled, watched and deleted, and where the worker's progress is known.
    pub backfill: Option<ProgressIn>,
    /// Whether an object that was overwritten since it was listed is fetched as it was.
    pub versions: bool,
    /// The key that the stream is encrypted with.
    pub stream_key: Option<String>,
    /// The key that the archive is encrypted with.
    pub archive_key: Option<String>,
    /// The stream's region, where its ARN does not say.
    pub region: Option<String>,
}
