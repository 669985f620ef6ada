//! What each command is to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    ArchiveAddress, CreateWish, Endpoint, FramingChoice, Input, Order, RunSettings, SavedPlan, Share,
    StateDir, Target, Tuning, TuningChanges, Typed,
};
use crate::record::ByteCount;
use crate::route::key::{KeyFallback, KeyRule};

/// How the user wants to be spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each from its own flag or terminal")]
pub struct OutputConfig {
    /// The result as one JSON object on stdout.
    pub json: bool,
    /// Nothing but the result, warnings of what is about to be sent, and errors.
    pub quiet: bool,
    /// 0, or the number of `-v`.
    pub verbosity: u8,
    /// Whether colours are wanted.
    pub color: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// Whether stderr is a terminal, so that a bar may be drawn there.
    pub progress_bar: bool,
    /// Whether stdin is a terminal, so that a question can be asked there.
    pub can_ask: bool,
}

/// `respool replay`.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "flags, independent of each other")]
pub struct ReplayConfig {
    /// What defines the run.
    pub settings: RunSettings,
    /// How it is carried out.
    pub tuning: Tuning,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// Make the stream first.
    pub create: Option<CreateWish>,
    /// Firehose, where it is not AWS' own.
    pub firehose: Option<Endpoint>,
    /// Say what would be done, and stop.
    pub dry_run: bool,
    /// Start although an unfinished run does the same.
    pub new_run: bool,
    /// Do not ask before the first record.
    pub yes: bool,
    /// Write to a stream that seems to feed the archive that is read.
    pub allow_loop: bool,
    /// The plan that is carried out, if one is.
    pub plan: Option<Box<SavedPlan>>,
    /// As it was typed.
    pub typed: Typed,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool resume`.
#[derive(Debug, Clone, PartialEq)]
pub struct ResumeConfig {
    /// Which run; the last unfinished one if absent.
    pub run: Option<String>,
    /// What to do otherwise than before.
    pub changes: TuningChanges,
    /// Firehose, where it is not AWS' own.
    pub firehose: Option<Endpoint>,
    /// Write to a stream that seems to feed the archive that is read.
    pub allow_loop: bool,
    /// Do not ask, although another run has sent some of the same since.
    pub yes: bool,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool verify`.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifyConfig {
    /// Which run; the last one that is done if absent.
    pub run: Option<String>,
    /// The part of the hash space that is verified: above 0, at most 1.
    pub sample: f64,
    /// The part of each shard's read limits to take.
    pub read_share: Share,
    /// Which doors to use otherwise than before.
    pub changes: TuningChanges,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsConfig {
    /// One run in full; a list of all if absent.
    pub show: Option<String>,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool inspect`.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectConfig {
    /// Where the events lie.
    pub archive: ArchiveAddress,
    /// Which of them.
    pub input: Input,
    /// By which door.
    pub tuning: Tuning,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool quarantine ls` and `show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineConfig {
    /// What to do.
    pub action: QuarantineAction,
    /// Which run; the last one with something in quarantine if absent.
    pub run: Option<String>,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// What to do with a quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuarantineAction {
    /// Say what lies in it, by reason.
    Ls {
        /// The most entries that are named: of each reason, as JSON in all.
        limit: Option<usize>,
    },
    /// Print a record.
    Show {
        /// The object's number in the manifest.
        object: u32,
        /// The record's number in the object; may be absent where only one of it is in quarantine.
        record: Option<u32>,
    },
}

/// `respool quarantine retry`.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each a flag of its own")]
pub struct RetryConfig {
    /// Which run; the last one with something in quarantine if absent.
    pub run: Option<String>,
    /// Another rule for keys.
    pub partition_key: Option<KeyRule>,
    /// What a record without the key gets.
    pub key_fallback: Option<KeyFallback>,
    /// Another way to cut objects into records: then only what was not one record of many is tried.
    pub framing: Option<FramingChoice>,
    /// Whether the whole records of a damaged object are taken.
    pub salvage: bool,
    /// Although another run has tried it.
    pub again: bool,
    /// As it was typed.
    pub typed: Typed,
    /// What to do otherwise than before.
    pub changes: TuningChanges,
    /// Firehose, where it is not AWS' own.
    pub firehose: Option<Endpoint>,
    /// Write to a stream that seems to feed the archive that is read.
    pub allow_loop: bool,
    /// Where runs are kept.
    pub state_dir: StateDir,
    /// Say what would be done, and stop.
    pub dry_run: bool,
    /// Do not ask before the first record.
    pub yes: bool,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

choice! {
    /// How exported records are compressed.
    ExportFormat {
        /// Not at all.
        Plain = "plain",
        /// With gzip.
        Gzip = "gzip",
        /// With zstd.
        Zstd = "zstd",
    }
}

impl ExportFormat {
    /// As the ending of a file's name has it, which is what whoever reads it goes by.
    #[must_use]
    pub fn of_name(path: &Path) -> Self {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::Plain,
        }
    }
}

/// Where records are exported to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportConfig {
    /// A file that is not there yet, or `-` for stdout.
    pub path: PathBuf,
    /// How they are compressed.
    pub format: ExportFormat,
}

/// `respool cache warm` and `respool cache export`.
#[derive(Debug, Clone, PartialEq)]
pub struct FillConfig {
    /// Where the events lie.
    pub archive: ArchiveAddress,
    /// Which of them.
    pub input: Input,
    /// By which door.
    pub tuning: Tuning,
    /// Where the records go beside the cache, if anywhere.
    pub export: Option<ExportConfig>,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// `respool cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheCommandConfig {
    /// What to do with it.
    pub action: CacheAction,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether somebody has named it, so that it has to be there.
    pub named: bool,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// What to do with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheAction {
    /// Say what lies in it.
    Ls {
        /// Each segment by itself, instead of archives and days.
        long: bool,
    },
    /// Read it and check it.
    Verify {
        /// Every block, not only headers, footers and lengths.
        full: bool,
        /// Only one of so many parts: which, counted from 1, and how many there are.
        part: (u32, u32),
    },
    /// Delete the oldest segments that no run needs.
    Prune {
        /// Only those unused for this long.
        older_than: Option<Duration>,
        /// Only until no more than this is left.
        to_size: Option<ByteCount>,
    },
    /// Delete everything.
    Purge {
        /// Do not ask.
        yes: bool,
    },
}

/// `respool simulate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulateConfig {
    /// Shards of the stream `demo`.
    pub shards: u32,
    /// The loopback port; 0 for any free one.
    pub port: u16,
    /// How long a stream is `CREATING`, `UPDATING` or `DELETING`.
    pub transition: Duration,
    /// No limits are enforced.
    pub unlimited: bool,
    /// What goes wrong with PutRecords, as `sim` understands it; empty for nothing.
    pub faults: String,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

choice! {
    /// How the shards of an embedded stream measure their second.
    BurstModel {
        /// A bucket that holds a second's worth.
        Second = "second",
        /// A bucket that holds a tenth of a second's worth.
        Tenth = "tenth",
        /// Windows of one second.
        Windows = "windows",
    }
}

/// `respool bench`.
#[derive(Debug, Clone, PartialEq)]
pub struct BenchConfig {
    /// What is measured.
    pub subject: BenchSubject,
    /// Where the records come from.
    pub source: BenchSource,
    /// Where a record's key is found, and what one without it gets.
    pub keys: (KeyRule, Option<KeyFallback>),
    /// What is kept in order.
    pub order: Order,
    /// Whether records are packed into aggregates.
    pub aggregate: bool,
    /// From what random keys are drawn.
    pub seed: u64,
    /// How fast, and by which doors.
    pub tuning: Tuning,
    /// How long each step lasts.
    pub duration: Duration,
    /// Where the table and the picture go: `.csv` and `.html` are added to it.
    pub out: PathBuf,
    /// How the user is spoken to.
    pub output: OutputConfig,
}

/// What a benchmark measures.
#[derive(Debug, Clone, PartialEq)]
pub enum BenchSubject {
    /// Embedded streams, one after the other.
    Sweep {
        /// Their shards.
        shards: Vec<u32>,
        /// How those measure their second.
        burst_models: Vec<BurstModel>,
        /// How long a call takes.
        latency: Duration,
    },
    /// One stream, as it is.
    Stream {
        /// Which one.
        target: Target,
        /// Do not ask before the first record.
        yes: bool,
        /// It may seem to feed the archive that is read.
        allow_loop: bool,
    },
    /// Each stage by itself, on one core.
    Stages,
}

/// Where a benchmark's records come from.
#[derive(Debug, Clone, PartialEq)]
pub enum BenchSource {
    /// They are made up.
    Generated {
        /// Their sizes; each is a series of steps.
        record_sizes: Vec<u32>,
    },
    /// An archive, again and again if it is small.
    Archive {
        /// Where it lies.
        address: ArchiveAddress,
        /// Which records of it.
        input: Box<Input>,
    },
}
