//! What we will do: resolved, validated, plain data.
//!
//! `cli` turns what was typed into these types once, and nothing behind it asks the environment or
//! checks a flag again. What defines a run ([`RunSettings`]) is kept apart from what may change when the
//! run is resumed ([`Tuning`]): the first decides which records go where and in which order, the second
//! only how fast, and by which door.
//!
//! Nothing here reads a file, a clock or the environment.

/// Declares a choice that has one lower-case word per variant, on the command line and in files alike.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every word, in the order in which help lists them.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::config::ChoiceError;

            fn from_str(text: &str) -> Result<Self, $crate::config::ChoiceError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::config::ChoiceError { words: Self::WORDS }),
                }
            }
        }
    };
}

mod access;
mod amount;
mod changes;
mod commands;
mod place;
mod plan;
mod said;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod typed;

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::archive::layout::LayoutRule;
pub use crate::archive::tier::RestoreTier;
pub use crate::decode::{Delimiter, FramingChoice};
pub use crate::route::event_time::{EventTime, TimeFormat};
pub use crate::stream::kinesis::SendPath;
pub use crate::stream::name::StreamName;
pub use crate::write::lane::Order;
pub use access::{AwsAccess, exposure_flag, quoted};
pub use amount::{AmountError, RateCap, Share, parse_duration, parse_latency, parse_size};
pub use changes::TuningChanges;
pub use commands::{
    BenchConfig, BenchSource, BenchSubject, BurstModel, CacheAction, CacheCommandConfig, ExportConfig,
    ExportFormat, FillConfig, InspectConfig, OutputConfig, QuarantineAction, QuarantineConfig, ReplayConfig,
    ResumeConfig, RetryConfig, RunsConfig, SimulateConfig, VerifyConfig,
};
pub use place::{ArchiveAddress, Endpoint, PlaceError, SIM_SHARDS_MAX, Target};
pub use plan::{
    IamConfig, LiveStream, PlanConfig, PlanFigures, Planned, PlannedLive, PlannedStream, ProgressIn,
    SAVED_PLAN_VERSION, SavedPlan,
};
pub use state::{RunFlags, StateDir};
pub use stream::{
    ConsumerAccess, CreateWish, DoorWish, DrainedConfig, GuideConfig, RETENTION_HOURS_DEFAULT, ShardsWish,
    StreamAction, StreamConfig, StreamShape,
};
pub use typed::Typed;

use crate::archive::Selection;
use crate::record::ByteCount;
use crate::route::key::{KeyConfig, KeyFallback, KeyRule};

/// How far before the window's start an object may be named and still hold records of the window, where
/// the user does not say: as long as Firehose gathers at most when all is well.
pub const SLACK_DEFAULT: Duration = crate::limits::FIREHOSE_BUFFER_MAX;

/// The most that `--cache-size` grows to by itself. The other bound is half of the free disk.
pub const CACHE_BYTES_DEFAULT: ByteCount = ByteCount(50_000_000_000);

/// The text is none of the words that a choice has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of: {}", words.join(", "))]
pub struct ChoiceError {
    words: &'static [&'static str],
}

choice! {
    /// How a bucket is named in a request to S3.
    Addressing {
        /// In the path where the endpoint is one's own, in the host name at AWS.
        Auto = "auto",
        /// `https://host/bucket/key`.
        Path = "path",
        /// `https://bucket.host/key`.
        Host = "host",
    }
}

/// Which objects and records of an archive are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Which objects.
    pub selection: Selection,
    /// The file that names the objects, instead of a listing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objects: Option<PathBuf>,
    /// Leave out what lies in an archive tier.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_archived: bool,
    /// Have what lies in an archive tier restored first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreTier>,
    /// Which records, by their own time; all of them if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<EventTime>,
    /// How bytes become records.
    pub decoding: Decoding,
}

/// How objects become records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decoding {
    /// How they are cut.
    pub framing: FramingChoice,
    /// Whether the whole records of a damaged object are taken.
    pub salvage: bool,
}

/// What defines a run. It is written to the run's directory, and a resume that would change any of it
/// is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// Where the events lie.
    pub archive: ArchiveAddress,
    /// Where they go.
    pub target: Target,
    /// Which objects and records, and how they are told apart; `3d` ago has become an instant.
    pub input: Input,
    /// Stop after this many records.
    pub limit: Option<u64>,
    /// Where a record's key is found. Absent where the user has not chosen yet: then the first record is
    /// shown, and nothing is sent.
    pub partition_key: Option<KeyRule>,
    /// What a record without the key gets, if not quarantine.
    pub key_fallback: Option<KeyFallback>,
    /// What is kept in order.
    pub order: Order,
    /// Whether records are packed into aggregates.
    pub aggregate: bool,
    /// From what random keys are drawn, so that a resume draws the same.
    pub seed: u64,
}

impl RunSettings {
    /// All that a record's key depends on; `None` as long as the user has not chosen.
    #[must_use]
    pub fn key_config(&self) -> Option<KeyConfig> {
        let rule = self.partition_key.clone()?;
        Some(KeyConfig { rule, fallback: self.key_fallback, seed: self.seed })
    }

    /// Whether keys do not place records: nobody minds the order, so every shard gets its part, however skewed the keys
    /// are. In an aggregate a consumer places a record by its key.
    #[must_use]
    pub const fn spreads(&self) -> bool {
        matches!(self.order, Order::None) && !self.aggregate
    }
}

/// What may change when a run is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// How much of each shard's limits the run takes.
    pub share: Share,
    /// Bounds of the whole run.
    pub max_rate: RateCap,
    /// The run ends, to be resumed, when more than this is in quarantine: records and objects.
    pub max_quarantine: Option<u64>,
    /// Whatever the archive refuses is set aside, even if it refuses everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_refusals: bool,
    /// Where and how much is cached.
    pub cache: CacheConfig,
    /// How S3 is reached.
    pub s3: AwsAccess,
    /// Whether requests to S3 go out unsigned.
    pub s3_anonymous: bool,
    /// Whether the requester pays for requests to S3.
    pub s3_request_payer: bool,
    /// The account that the bucket must belong to.
    pub s3_bucket_owner: Option<String>,
    /// How buckets are named in requests.
    pub s3_addressing: Addressing,
    /// How Kinesis is reached.
    pub kinesis: AwsAccess,
    /// By which way records are sent.
    #[serde(default)]
    pub send: SendPath,
}

impl Tuning {
    /// The defaults, with a cache in `cache_dir`.
    #[must_use]
    pub fn new(cache_dir: PathBuf) -> Self {
        Self {
            share: Share::DEFAULT,
            max_rate: RateCap::default(),
            cache: CacheConfig { dir: cache_dir, size: None, mode: CacheMode::Keep },
            s3: AwsAccess::default(),
            s3_anonymous: false,
            s3_request_payer: false,
            s3_bucket_owner: None,
            max_quarantine: None,
            accept_refusals: false,
            s3_addressing: Addressing::Auto,
            kinesis: AwsAccess::default(),
            send: SendPath::default(),
        }
    }
}

/// The segment cache.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// Its bound; without it [`CACHE_BYTES_DEFAULT`] or half of the free disk, whichever is less.
    pub size: Option<ByteCount>,
    /// What it is used for.
    pub mode: CacheMode,
}

/// What the cache is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    /// Segments are kept for the next run.
    Keep,
    /// Segments are deleted as soon as they are settled (`--no-cache`).
    Discard,
    /// Only what is cached is read; the archive is not asked for anything (`--offline`).
    Offline,
}
