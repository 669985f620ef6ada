//! What a run did: for a script as one JSON object, for a person as a page to be read with relief.
//!
//! The JSON fields are an interface, documented in `docs/report.md` (a test compares): fields are added,
//! never renamed, and every one is always there; what was not measured is `null`. Nothing here counts
//! anything. The shell fills a [`Report`] from the engine's counters and the closing sum.

mod html;
mod left;
mod page;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::next::NextStep;
use crate::config::{PlanFigures, Target};
use crate::record::many;
use crate::write::checkpoint::Doubts;

pub use html::Circumstances;
pub use left::LeftReport;
pub(in crate::run) use page::per_second;
pub(crate) use page::{duration, number};

/// A run's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run's name, as `respool runs` lists it.
    pub run: String,
    /// How it ended.
    pub state: RunState,
    /// The process' exit code.
    pub exit_code: u8,
    /// Why it is not done, in a sentence; `null` if it is.
    pub message: Option<String>,
    /// Whether a process before this one worked on the run: then what is said to be of this process is a part of it.
    #[serde(default)]
    pub resumed: bool,
    /// The run whose quarantine it tries again; `null` if it is no retry.
    #[serde(default)]
    pub retries: Option<String>,
    /// From start to end of this process, in seconds; an earlier attempt is not included.
    pub seconds: f64,
    /// The archive, as the user named it.
    pub archive: String,
    /// The target, as the user named it.
    pub target: String,
    /// What was asked for.
    pub window: WindowReport,
    /// Objects of the manifest.
    pub objects: ObjectCounts,
    /// Objects that were read because of `--slack` though their name lies outside the window.
    pub objects_outside_window: u64,
    /// Objects of the manifest that were not looked at, because `--limit` was reached before.
    pub objects_beyond_limit: u64,
    /// What became of the records.
    pub records: RecordCounts,
    /// Data and partition keys of the delivered records, in bytes.
    pub bytes_delivered: u64,
    /// Copies that may stand in the stream beside those that were acknowledged, at most.
    pub possible_duplicates: u64,
    /// The same by cause: `timeout`, `connection`, `server_error`, `internal_failure`, `bad_answer`,
    /// `earlier_process`, `misplaced`.
    pub possible_duplicates_by_cause: Doubts,
    /// Acknowledgements whose sequence number does not exceed one that the same lane and shard gave before.
    pub order_violations: u64,
    /// With `--order relaxed`: records that a later one of their key has passed.
    pub inversions: u64,
    /// With `--order relaxed`: records that a later one of their key may have passed, in a lost answer.
    pub possible_inversions: u64,
    /// Open shards of the stream when this process began.
    #[serde(default)]
    pub stream_shards: u32,
    /// How often the stream's shards changed under this process.
    pub reshards: u64,
    /// Records that another shard took than the one they were sent to: it was split or merged just then.
    pub records_elsewhere: u64,
    /// Entries that were acknowledged; with `--aggregate` many records share one.
    pub entries_acked: u64,
    /// What is billed for them: payload units of 25 KB, begun ones whole.
    pub put_units: u64,
    /// Entries that the service throttled, as a part of all entries sent: 0 to 1.
    pub throttled_share: f64,
    /// Requests for objects made to S3 (GET and HEAD) by this process.
    pub s3_object_requests: u64,
    /// Per shard, the part of its configured rate that was used while it had work, in this process.
    pub utilisation: Spread,
    /// From a PutRecords request to its answer, in this process.
    pub put_latency_ms: Latency,
    /// What the cache spared this process.
    pub cache: CacheReport,
    /// What was set aside.
    pub quarantine: QuarantineReport,
    /// What a retry has left in the quarantine of the run that it retries, if anything.
    #[serde(default)]
    pub left: Option<LeftReport>,
    /// What has come to the archive since; `null` unless the run is done and the archive was asked again.
    pub late_objects: Option<LateReport>,
    /// What limited the run for most of its time, all its processes together; `null` if nothing was measured.
    pub brake: Option<Brake>,
    /// Every shard that took records of this process.
    pub shards: Vec<ShardReport>,
    /// What the plan said that was carried out (`--plan FILE`), of as many shards as the stream has or the nearest number
    /// that it was made for; `null` if there was none.
    #[serde(default)]
    pub plan: Option<PlanFigures>,
    /// The same for a browser, with drawings; `null` if there was no run.
    #[serde(default)]
    pub page: Option<String>,
    /// The command to type next, if something is left to do.
    pub next_command: Option<String>,
    /// The same and what else may be typed instead or after it, each with its purpose.
    #[serde(default)]
    pub next_steps: Vec<NextStep>,
}

/// How a run stands: the same words wherever one is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// A process works on it now. No report says so, because it is written at the end.
    Running,
    /// Every record is delivered, quarantined or filtered.
    Done,
    /// It stopped before that, however it was stopped, and can be resumed.
    Incomplete,
    /// It was refused before anything was sent, or stopped by the service for good; when the cause is mended it can be
    /// resumed, too.
    Refused,
}

impl RunState {
    /// The word for it, as in the JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::Refused => "refused",
        }
    }
}

/// What limits a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Brake {
    /// The archive does not give objects fast enough.
    Fetch,
    /// The CPU does not decode fast enough.
    Decode,
    /// The CPU does not route records and make requests of them fast enough.
    Cpu,
    /// The shards' limits, at the share that was asked for: the best that can be.
    Shards,
    /// Few keys have most of the records, and each key goes one by one.
    Order,
    /// `--max-rate`.
    MaxRate,
    /// The service throttles below its limits or answers slowly.
    Service,
    /// The time that requests take: as many are in flight as the order allows.
    RoundTrip,
    /// The disk that holds the checkpoints.
    Disk,
    /// Room beside the cache: what passes through has to be settled before more comes.
    Room,
}

/// The window as instants in RFC 3339; `null` where it is open.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowReport {
    /// Its start.
    pub from: Option<String>,
    /// Its end, not included.
    pub until: Option<String>,
}

/// Objects of the manifest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectCounts {
    /// All of them.
    pub total: u64,
    /// Of which every record is settled, by all attempts of this run together.
    #[serde(alias = "decoded")]
    pub settled: u64,
    /// Set aside as a whole, or what an earlier attempt had left of them.
    pub quarantined: u64,
    /// Left out by their name, such as folder markers and `_SUCCESS`; not part of `total`.
    pub skipped: u64,
}

/// What became of the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordCounts {
    /// Acknowledged by the stream, all attempts of this run together.
    pub delivered: u64,
    /// Set aside, each with its reason.
    pub quarantined: u64,
    /// Left out because the user's flags say so, such as `--limit`.
    pub filtered: u64,
}

/// Smallest, median and largest; all `null` if nothing was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The smallest.
    pub min: Option<f64>,
    /// The one in the middle.
    pub median: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

impl Spread {
    /// Of these values; those that are not finite are left out.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
            (Some(low), Some(high)) if sorted.len().is_multiple_of(2) => Some(f64::midpoint(*low, *high)),
            (_, high) => high.copied(),
        };
        Self { min: sorted.first().copied(), median, max: sorted.last().copied() }
    }
}

/// Milliseconds; all `null` if no request was answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of the answers came sooner.
    pub p50: Option<f64>,
    /// 99 of 100 answers came sooner.
    pub p99: Option<f64>,
    /// 999 of 1,000 answers came sooner.
    #[serde(default)]
    pub p999: Option<f64>,
    /// The last one.
    pub max: Option<f64>,
}

impl Latency {
    /// Of a histogram in microseconds.
    #[must_use]
    pub fn of(histogram: &Histogram<u64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds below 2^53")]
        let millis = |micros: u64| (!histogram.is_empty()).then_some(micros as f64 / 1_000.0);
        let at = |quantile| millis(histogram.value_at_quantile(quantile));
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: millis(histogram.max()) }
    }
}

/// What the cache spared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheReport {
    /// Objects that were there.
    pub hits: u64,
    /// Objects that were fetched and decoded.
    pub fetched: u64,
    /// The decoded bytes of both.
    pub bytes: u64,
}

/// What was set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineReport {
    /// Objects and records by reason.
    pub reasons: BTreeMap<String, u64>,
    /// What can be done about each of them, in a sentence.
    #[serde(default)]
    pub remedies: BTreeMap<String, String>,
    /// The list, one JSON object a line; `null` if it is empty.
    pub path: Option<String>,
}

/// What has come to the archive since the list of objects was frozen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LateReport {
    /// Objects inside the window that were not there: another replay takes them in.
    pub late: u64,
    /// Objects of the manifest that are not what they were.
    pub changed: u64,
    /// The first keys of both.
    pub keys: Vec<String>,
    /// The list, one JSON object a line; `null` if it is empty.
    pub path: Option<String>,
    /// Why it is not known, in a sentence.
    pub error: Option<String>,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShardReport {
    /// Its name.
    pub shard: String,
    /// Records sent to it that were acknowledged, by itself or by what it was just split or merged into.
    pub records: u64,
    /// Their bytes, data and partition keys.
    pub bytes: u64,
    /// The part of its configured rate that was used while it had work; `null` if it never had any.
    pub utilisation: Option<f64>,
    /// The part of the time with work in which nothing could leave because of the order: each record that
    /// waited stood behind another of its key.
    pub held_by_order: Option<f64>,
    /// Entries it throttled.
    pub throttled: u64,
}

impl Report {
    /// An empty report of a run that has just begun; the shell fills it.
    #[must_use]
    pub fn new(run: impl Into<String>, archive: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            run: run.into(),
            state: RunState::Incomplete,
            exit_code: crate::error::ExitCode::Incomplete as u8,
            message: None,
            resumed: false,
            retries: None,
            seconds: 0.0,
            archive: archive.into(),
            target: target.into(),
            window: WindowReport::default(),
            objects: ObjectCounts::default(),
            objects_outside_window: 0,
            objects_beyond_limit: 0,
            records: RecordCounts::default(),
            bytes_delivered: 0,
            possible_duplicates: 0,
            possible_duplicates_by_cause: Doubts::default(),
            order_violations: 0,
            inversions: 0,
            possible_inversions: 0,
            stream_shards: 0,
            reshards: 0,
            records_elsewhere: 0,
            entries_acked: 0,
            put_units: 0,
            throttled_share: 0.0,
            s3_object_requests: 0,
            utilisation: Spread::default(),
            put_latency_ms: Latency::default(),
            cache: CacheReport::default(),
            quarantine: QuarantineReport::default(),
            left: None,
            late_objects: None,
            brake: None,
            shards: Vec::new(),
            plan: None,
            page: None,
            next_command: None,
            next_steps: Vec::new(),
        }
    }

    /// That the plan has no figures for the stream's own shards, if it has none.
    fn planned_for_others(&self) -> Option<String> {
        let plan = self.plan.as_ref().filter(|plan| ![0, plan.shards].contains(&self.stream_shards))?;
        let (planned, had) = (many(plan.shards, "shard"), number(self.stream_shards.into()));
        Some(format!("for {planned}, the nearest that the plan has to the stream's {had}"))
    }

    /// What was left out: by the user's own flags, or because it was not set aside.
    fn filtered_words(&self) -> &'static str {
        if self.retries.is_some() {
            "others in the same objects, no part of this retry"
        } else {
            "left out as asked"
        }
    }

    /// What may be billed beside the acknowledged entries: the service has stored what it was asked for once more as well.
    fn billed_beside(&self) -> String {
        match self.possible_duplicates {
            0 => String::new(),
            count => format!("; and {} more at most that may be there twice", many(count, "record")),
        }
    }

    /// One line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Every field is a number, a text or a map of texts: there is nothing that could fail.
        serde_json::to_string(self).unwrap_or_else(|error| format!(r#"{{"error":"{error}"}}"#))
    }

    /// The page for a person, at most about `width` columns wide; ends with a line feed.
    #[must_use]
    pub fn render(&self, width: usize, color: bool) -> String {
        page::render(self, width, color)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(100, false))
    }
}

impl Brake {
    /// What it is for a run into `target`: nowhere has no limits, and answers at once.
    #[must_use]
    pub fn of(self, target: &Target) -> Self {
        match self {
            Self::Shards | Self::Order | Self::RoundTrip if *target == Target::Null => Self::Cpu,
            other => other,
        }
    }

    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Shards,
        Self::Order,
        Self::RoundTrip,
        Self::MaxRate,
        Self::Service,
        Self::Fetch,
        Self::Decode,
        Self::Disk,
        Self::Room,
    ];

    /// What limits, as the end of a sentence that begins with "limited by".
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fetch => "fetching from the archive",
            Self::Decode => "decoding (CPU)",
            Self::Cpu => "routing and encoding (CPU)",
            Self::Shards => "the shards' limits",
            Self::Order => "order: few keys have most of the records",
            Self::MaxRate => "--max-rate",
            Self::Service => "the service: throttling, failures or slow answers",
            Self::RoundTrip => "round trips: all requests that may be are in flight",
            Self::Disk => "the disk: making progress durable",
            Self::Room => "the cache's size: more than fits passes through (--cache-size)",
        }
    }
}
