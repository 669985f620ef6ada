//! What a run did, over the time in which it worked.
//!
//! A [`Recorder`] looks at the engine's counters a few times a second and adds what is new to bins of time, and within a
//! bin to rows of shards. Both are bounded: where there would be too many, neighbours are joined in pairs, so a day on a
//! thousand shards costs no more memory than a minute, and every sum stays what it was.
//!
//! Time is that in which processes of the run worked, put end to end: a night between a stop and its resume takes no
//! room. Each process leaves the [`Timeline`] in the run's directory at its end, and the next one goes on with it. A
//! process that was killed has left nothing; what it delivered is known from the checkpoint that the next one
//! finds, and is named as unseen.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::report::{Brake, Latency, RunState};
use crate::write::checkpoint::Totals;
use crate::write::rate::ShardRate;
use crate::write::{Brake as Waited, EngineStats, LaneTimes, ShardStats};

/// Bins of time, at most.
pub const BINS_MAX: usize = 240;
/// Rows of shards, at most.
pub const ROWS_MAX: usize = 128;
/// Processes that are told one by one; of earlier ones only their number is known.
pub const PROCESSES_MAX: usize = 64;
/// How long a bin is at first.
const BIN_SECONDS: f64 = 1.0;
/// Latencies are counted in steps of a quarter of an octave, from 0.1 ms on.
pub const LATENCY_STEPS_PER_OCTAVE: u32 = 4;
/// Where the first step ends, in milliseconds.
pub const LATENCY_FIRST_MS: f64 = 0.1;
/// Steps, up to some half an hour.
const LATENCY_STEPS: usize = 96;
/// The version of [`Timeline`] that this build writes and reads.
const VERSION: u32 = 1;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeline {
    version: u32,
    /// How long a bin is.
    pub bin_seconds: f64,
    /// All time that is recorded.
    pub seconds: f64,
    /// The bins, oldest first.
    pub bins: Vec<Bin>,
    /// The shards, in the order in which they came to be known.
    pub shards: Vec<String>,
    /// How many neighbours share a row.
    pub shards_per_row: usize,
    /// Requests by how long their answer took, in steps of a quarter of an octave.
    pub latencies: Vec<u64>,
    /// The processes that worked on the run and left a report, oldest first.
    pub processes: Vec<Process>,
    /// Earlier ones that are not told any more.
    pub processes_before: u64,
    /// Records that were delivered by processes that left no report.
    pub records_unseen: u64,
}

/// Some time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// How much of it is recorded.
    pub seconds: f64,
    /// Records that were delivered.
    pub records: f64,
    /// Their data and keys.
    pub bytes: f64,
    /// Entries that were sent.
    pub entries: f64,
    /// Entries that were throttled.
    pub throttled: f64,
    /// Records that the open shards would have taken at the configured share; 0 without limits.
    pub limit_records: f64,
    /// The same in bytes.
    pub limit_bytes: f64,
    /// Seconds that the lanes waited, all together, for each of [`Brake::ALL`].
    pub brakes: [f64; Brake::ALL.len()],
    /// Seconds in which lanes had nothing left to send.
    pub finished: f64,
    /// What the shards did.
    pub rows: Vec<Cell>,
}

/// What neighbouring shards did in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f64; 3]", into = "[f64; 3]")]
pub struct Cell {
    /// Entries that were taken, in seconds of the limit on records.
    pub records: f64,
    /// Bytes that were taken, in seconds of the limit on bytes.
    pub bytes: f64,
    /// Seconds in which the shards were written to, all together.
    pub open: f64,
}

/// One process' work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Process {
    /// When it began.
    pub began: Timestamp,
    /// Where it stands in the recorded time.
    pub from: f64,
    /// How long it worked.
    pub seconds: f64,
    /// Records that it delivered.
    pub delivered: u64,
    /// Records that were delivered when it had ended, by all.
    pub delivered_in_all: u64,
    /// How it ended.
    pub state: RunState,
    /// From a request to its answer.
    pub put_latency_ms: Latency,
}

impl Default for Timeline {
    fn default() -> Self {
        Self {
            version: VERSION,
            bin_seconds: BIN_SECONDS,
            seconds: 0.0,
            bins: Vec::new(),
            shards: Vec::new(),
            shards_per_row: 1,
            latencies: Vec::new(),
            processes: Vec::new(),
            processes_before: 0,
            records_unseen: 0,
        }
    }
}

impl From<[f64; 3]> for Cell {
    fn from([records, bytes, open]: [f64; 3]) -> Self {
        Self { records, bytes, open }
    }
}

impl From<Cell> for [f64; 3] {
    fn from(cell: Cell) -> Self {
        [cell.records, cell.bytes, cell.open]
    }
}

impl Cell {
    /// The part of the limit that was used; `None` if no shard was written to.
    #[must_use]
    pub fn used(&self) -> Option<f64> {
        (self.open > 0.0).then(|| (self.records.max(self.bytes) / self.open).min(1.0))
    }

    fn add(&mut self, other: &Self, part: f64) {
        self.records += other.records * part;
        self.bytes += other.bytes * part;
        self.open += other.open * part;
    }
}

impl Bin {
    /// Adds a part of another one.
    fn add(&mut self, other: &Self, part: f64) {
        for (own, more) in self.numbers().into_iter().zip(other.clone().numbers()) {
            *own += *more * part;
        }
        if self.rows.len() < other.rows.len() {
            self.rows.resize(other.rows.len(), Cell::default());
        }
        self.rows.iter_mut().zip(&other.rows).for_each(|(own, more)| own.add(more, part));
    }

    fn numbers(&mut self) -> impl IntoIterator<Item = &mut f64> {
        let Self { seconds, records, bytes, entries, throttled, limit_records, limit_bytes, .. } = self;
        let single = [seconds, records, bytes, entries, throttled, limit_records, limit_bytes];
        single.into_iter().chain(&mut self.brakes).chain([&mut self.finished])
    }

    /// Joins each two neighbouring rows.
    fn join_rows(&mut self) {
        self.rows = join(&self.rows, |one, other| one.add(other, 1.0));
    }

    /// To thousandths: what is written down has no use for more.
    fn round(&mut self) {
        let round = |value: &mut f64| *value = (*value * 1_000.0).round() / 1_000.0;
        self.numbers().into_iter().for_each(round);
        for Cell { records, bytes, open } in &mut self.rows {
            [records, bytes, open].into_iter().for_each(round);
        }
    }
}

/// Each two neighbours as one.
fn join<T: Clone>(list: &[T], mut add: impl FnMut(&mut T, &T)) -> Vec<T> {
    let pair = |pair: &[T]| {
        let mut first = pair.first().cloned()?;
        pair.iter().skip(1).for_each(|second| add(&mut first, second));
        Some(first)
    };
    list.chunks(2).filter_map(pair).collect()
}

impl Timeline {
    /// Whether it is one that this build has written, so that it can be gone on with.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let bins = self.bins.len() <= BINS_MAX && self.bins.iter().all(|bin| bin.rows.len() <= ROWS_MAX);
        let rows = self.shards_per_row > 0 && self.shards.len().div_ceil(self.shards_per_row) <= ROWS_MAX;
        let time = self.bin_seconds >= BIN_SECONDS && self.seconds >= 0.0;
        let fits = self.seconds <= self.bin_seconds * f64::from(u32::try_from(BINS_MAX).unwrap_or(u32::MAX));
        self.version == VERSION && bins && rows && time && fits
    }

    /// How long lanes waited for each brake, with its place in [`Brake::ALL`]; those that did not matter are left out.
    #[must_use]
    pub fn waited(&self) -> Vec<(usize, Brake, f64)> {
        let sum = |place: usize| self.bins.iter().filter_map(|bin| bin.brakes.get(place)).sum::<f64>();
        let all = Brake::ALL.into_iter().enumerate().map(|(place, brake)| (place, brake, sum(place)));
        all.filter(|(.., time)| *time > 0.0).collect()
    }

    /// The names of the shards of a row.
    pub fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.shards.chunks(self.shards_per_row.max(1))
    }

    /// The same, as it is written down.
    #[must_use]
    pub fn rounded(mut self) -> Self {
        self.bins.iter_mut().for_each(Bin::round);
        self
    }

    /// Adds what happened from `from` to `until`.
    fn add(&mut self, from: f64, until: f64, what: &Bin) {
        let most = f64::from(u32::try_from(BINS_MAX).unwrap_or(u32::MAX));
        while until > self.bin_seconds * most {
            self.bins = join(&self.bins, |one, other| one.add(other, 1.0));
            self.bin_seconds *= 2.0;
        }
        self.seconds = self.seconds.max(until);
        let mut begin = 0.0;
        for number in 0..BINS_MAX {
            let end = begin + self.bin_seconds;
            if self.bins.len() <= number {
                self.bins.push(Bin::default());
            }
            let overlap = until.min(end) - from.max(begin);
            if let Some(bin) = self.bins.get_mut(number).filter(|_| overlap > 0.0) {
                bin.add(what, overlap / (until - from));
            }
            if until <= end {
                return;
            }
            begin = end;
        }
    }

    /// The place of a new shard.
    fn new_shard(&mut self, name: String) -> usize {
        self.shards.push(name);
        while self.shards.len().div_ceil(self.shards_per_row) > ROWS_MAX {
            self.bins.iter_mut().for_each(Bin::join_rows);
            self.shards_per_row *= 2;
        }
        self.shards.len() - 1
    }
}

/// Adds one process' work to a timeline.
#[derive(Debug)]
pub struct Recorder {
    timeline: Timeline,
    began: Timestamp,
    /// Where this process begins in the recorded time.
    from: f64,
    delivered_before: u64,
    before: Before,
}

/// What was seen last.
#[derive(Debug, Default)]
struct Before {
    elapsed: f64,
    totals: Totals,
    times: LaneTimes,
    shards: Vec<ShardBefore>,
}

/// A shard, when it was seen last.
#[derive(Debug, Clone, Copy)]
struct ShardBefore {
    /// Its place among the timeline's shards.
    place: usize,
    records: f64,
    bytes: f64,
    lasted: Duration,
}

impl Recorder {
    /// Goes on with `timeline`, at `began`, with what earlier processes had counted.
    #[must_use]
    pub fn new(mut timeline: Timeline, began: Timestamp, totals: &Totals) -> Self {
        let seen = timeline.processes.last().map_or(0, |process| process.delivered_in_all);
        timeline.records_unseen += totals.delivered.saturating_sub(seen);
        let from = timeline.seconds;
        let before = Before { totals: *totals, ..Before::default() };
        Self { timeline, began, from, delivered_before: totals.delivered, before }
    }

    /// Adds what is new in `stats`, `elapsed` after the process began; lanes without input wait for `input`, or have
    /// nothing left to send.
    pub fn add(&mut self, stats: &EngineStats, elapsed: Duration, input: Option<Brake>) {
        let elapsed = elapsed.as_secs_f64();
        if elapsed <= self.before.elapsed {
            return;
        }
        let mut bin = Bin { seconds: elapsed - self.before.elapsed, ..Bin::default() };
        self.count(&mut bin, stats);
        self.wait(&mut bin, &stats.times, input);
        self.shards(&mut bin, &stats.shards);
        let (from, until) = (self.from + self.before.elapsed, self.from + elapsed);
        self.timeline.add(from, until, &bin);
        self.before.elapsed = elapsed;
    }

    /// What the run's lanes waited for most of the time in which there was something to send, in all processes.
    #[must_use]
    pub fn main_brake(&self) -> Option<Brake> {
        let waited = self.timeline.waited().into_iter();
        waited.max_by(|(.., one), (.., other)| one.total_cmp(other)).map(|(_, brake, _)| brake)
    }

    /// The timeline, when the process has ended.
    #[must_use]
    pub fn finish(mut self, state: RunState, put_latency: &Histogram<u64>) -> Timeline {
        let timeline = &mut self.timeline;
        count_latencies(&mut timeline.latencies, put_latency);
        timeline.processes.push(Process {
            began: self.began,
            from: self.from,
            seconds: timeline.seconds - self.from,
            delivered: self.before.totals.delivered.saturating_sub(self.delivered_before),
            delivered_in_all: self.before.totals.delivered,
            state,
            put_latency_ms: Latency::of(put_latency),
        });
        if timeline.processes.len() > PROCESSES_MAX {
            timeline.processes.remove(0);
            timeline.processes_before += 1;
        }
        self.timeline
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of some moments")]
    fn count(&mut self, bin: &mut Bin, stats: &EngineStats) {
        let (now, before) = (stats.totals, std::mem::replace(&mut self.before.totals, stats.totals));
        let new = |now: u64, before: u64| now.saturating_sub(before) as f64;
        bin.records = new(now.delivered, before.delivered);
        bin.bytes = new(now.delivered_bytes, before.delivered_bytes);
        bin.entries = new(now.entries_sent, before.entries_sent);
        bin.throttled = new(now.entries_throttled, before.entries_throttled);
    }

    fn wait(&mut self, bin: &mut Bin, times: &LaneTimes, input: Option<Brake>) {
        let before = std::mem::replace(&mut self.before.times, times.clone());
        for waited in Waited::ALL {
            let time = times.waited_for(waited).saturating_sub(before.waited_for(waited)).as_secs_f64();
            let Some(brake) = super::summary::named(waited, input) else {
                bin.finished += time;
                continue;
            };
            for (one, sum) in Brake::ALL.into_iter().zip(&mut bin.brakes) {
                if one == brake {
                    *sum += time;
                }
            }
        }
    }

    fn shards(&mut self, bin: &mut Bin, shards: &[ShardStats]) {
        self.meet(shards);
        let width = self.timeline.shards_per_row;
        bin.rows.resize(self.timeline.shards.len().div_ceil(width), Cell::default());
        for (stats, before) in shards.iter().zip(&mut self.before.shards) {
            if stats.limit.records >= ShardRate::UNBOUNDED.records {
                continue;
            }
            let lasted = Waited::ALL.into_iter().map(|brake| stats.times.waited_for(brake)).sum::<Duration>();
            // A shard that was split has no lanes: they went on to others.
            let open = if lasted == before.lasted { 0.0 } else { bin.seconds };
            let cell = Cell {
                records: (stats.taken.records - before.records) / stats.limit.records,
                bytes: (stats.taken.bytes - before.bytes) / stats.limit.bytes,
                open,
            };
            (before.records, before.bytes) = (stats.taken.records, stats.taken.bytes);
            before.lasted = lasted;
            bin.limit_records += stats.limit.records * open;
            bin.limit_bytes += stats.limit.bytes * open;
            if let Some(row) = bin.rows.get_mut(before.place / width) {
                row.add(&cell, 1.0);
            }
        }
    }

    /// Finds the places of shards that this process has not met.
    fn meet(&mut self, shards: &[ShardStats]) {
        let Some(new) = shards.get(self.before.shards.len()..).filter(|new| !new.is_empty()) else { return };
        let known = self.timeline.shards.iter().enumerate().map(|(place, name)| (name.clone(), place));
        let known: HashMap<String, usize> = known.collect();
        for stats in new {
            let name = stats.shard.to_string();
            let place = known.get(&name).copied().unwrap_or_else(|| self.timeline.new_shard(name));
            let lasted = Duration::ZERO;
            self.before.shards.push(ShardBefore { place, records: 0.0, bytes: 0.0, lasted });
        }
    }
}

fn count_latencies(steps: &mut Vec<u64>, put_latency: &Histogram<u64>) {
    steps.resize(LATENCY_STEPS, 0);
    for value in put_latency.iter_recorded() {
        #[expect(clippy::cast_precision_loss, reason = "microseconds below 2^53")]
        let millis = value.value_iterated_to() as f64 / 1_000.0;
        let octaves = (millis / LATENCY_FIRST_MS).max(1.0).log2() * f64::from(LATENCY_STEPS_PER_OCTAVE);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number above 0")]
        let step = (octaves.ceil() as usize).min(LATENCY_STEPS - 1);
        if let Some(count) = steps.get_mut(step) {
            *count += value.count_since_last_iteration();
        }
    }
}
