//! What the commands around a backfill's stream are to do.

use std::collections::BTreeMap;

use super::{AwsAccess, Endpoint, OutputConfig, SavedPlan, StateDir};
use crate::stream::name::StreamName;

/// Hours that a stream keeps records where nobody says otherwise.
/// Source: Kinesis API reference, `CreateStream`, read 2026-11-22.
pub const RETENTION_HOURS_DEFAULT: u32 = 24;

/// What a stream shall be; what is absent is left to the service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamShape {
    /// How long it keeps records, in hours.
    pub retention_hours: Option<u32>,
    /// Data and key of one record, at most, in KiB.
    pub record_kib: Option<u32>,
    /// The key of KMS that records are encrypted with.
    pub encryption_key: Option<String>,
    /// The user's own labels.
    pub tags: BTreeMap<String, String>,
}

impl StreamShape {
    /// What is left open here, as `plan` has it.
    #[must_use]
    pub fn or_planned(self, plan: &SavedPlan) -> Self {
        Self {
            retention_hours: self.retention_hours.or(plan.stream.retention_hours),
            record_kib: self.record_kib.or(plan.stream.record_kib),
            ..self
        }
    }
}

/// How many shards a new stream gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardsWish {
    /// As many as the replay is worth.
    Auto,
    /// So many.
    Exactly(u32),
}

/// The stream that `replay --create` makes on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateWish {
    /// Its shards.
    pub shards: ShardsWish,
    /// What else it shall be.
    pub shape: StreamShape,
}

/// `respool stream create`, `scale`, `status` and `delete`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamConfig {
    /// Which stream.
    pub stream: StreamName,
    /// What to do with it.
    pub action: StreamAction,
    /// By which door.
    pub access: AwsAccess,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// What to do with a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamAction {
    /// Make it.
    Create {
        /// Its shards.
        shards: u32,
        /// What else it shall be.
        shape: StreamShape,
        /// The door of the plan that asks for it, if one does.
        planned: Option<AwsAccess>,
    },
    /// Give it another number of shards.
    Scale {
        /// How many.
        shards: u32,
        /// Do not ask, whoever made it.
        yes: bool,
    },
    /// Say what it is.
    Status,
    /// Delete it.
    Delete {
        /// Do not ask.
        yes: bool,
        /// Although nobody has seen it drained, or a run into it is unfinished.
        force: bool,
        /// Although consumers are registered.
        with_consumers: bool,
    },
}

/// What is said about the door of a run's or a plan's stream, beside what the run or the plan itself knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DoorWish {
    /// Typed, or by a variable: goes before the run's own.
    pub given: AwsAccess,
    /// Kept in the configuration file for whatever stream: goes behind the run's own.
    pub kept: AwsAccess,
}

impl DoorWish {
    /// The door of a run into `stream`, whose own is `own`.
    #[must_use]
    pub fn around(&self, own: AwsAccess, stream: &StreamName) -> AwsAccess {
        let region = own.region.or_else(|| stream.region().map(str::to_owned));
        self.without_a_stream(AwsAccess { region, ..own })
    }

    /// The door where no stream is known yet, around a plan's `own`.
    #[must_use]
    pub fn without_a_stream(&self, own: AwsAccess) -> AwsAccess {
        self.given.clone().or(own).or(self.kept.clone())
    }
}

/// Where the worker's progress is looked up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerAccess {
    /// Region and profile; the stream's own where absent.
    pub aws: AwsAccess,
    /// DynamoDB, where it is not AWS' own.
    pub dynamodb: Option<Endpoint>,
    /// CloudWatch, where it is not AWS' own.
    pub cloudwatch: Option<Endpoint>,
}

/// `respool stream drained`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainedConfig {
    /// Which run's stream; the last run into Kinesis if absent.
    pub run: Option<String>,
    /// The worker's table of leases; its reading age if absent.
    pub lease_table: Option<String>,
    /// Ask again until it is.
    pub wait: bool,
    /// The stream's door, around the run's own.
    pub door: DoorWish,
    /// The worker's door.
    pub consumer: ConsumerAccess,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool guide`.
#[derive(Debug, Clone, PartialEq)]
pub struct GuideConfig {
    /// Which run; the last one into Kinesis if absent.
    pub run: Option<String>,
    /// A plan instead, with the name of its file.
    pub plan: Option<Box<(String, SavedPlan)>>,
    /// The stream that the worker reads otherwise.
    pub live: Option<StreamName>,
    /// For how many hours it keeps records, where it is not to be asked.
    pub live_retention_hours: Option<u32>,
    /// When the worker left it.
    pub away_since: Option<jiff::Timestamp>,
    /// The worker's table of leases.
    pub lease_table: Option<String>,
    /// The streams' door, around the run's own.
    pub door: DoorWish,
    /// The worker's door, as far as it was given.
    pub consumer: AwsAccess,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}
