//! What happens between two looks at a run: after its start-up, before its tail.
//!
//! The first look that counts is the one at which the read-ahead is filled. A step that is too short for that is
//! measured in its last quarter all the same, and says so.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use super::filling::Filling;
use super::usage;
use crate::record::ShardId;
use crate::stream::batch::{Batch, Draft, DraftSize};
use crate::stream::{BoxFuture, CallError, Outcome, ShardDescription, Stream, StreamDescription};
use crate::write::rate::Load;
use crate::write::{Brake, EngineStats, LaneTimes};

/// A look closer to the end than this may be taken when the run is being stopped already.
const TAIL: Duration = Duration::from_millis(100);
/// Of what went out, the part that may have come from disk where all is said to have lain in memory: one in so many.
const FROM_DISK_PART: u64 = 100;
/// The start-up that is left out of a step of usual length.
const START_UP: Duration = Duration::from_secs(2);

/// How much of a step that lasts `duration` is start-up at least: 2 s, a tenth of a long step, a quarter of a short one.
pub(super) fn start_up(duration: Duration) -> Duration {
    (duration / 10).max(START_UP.min(duration / 4))
}

/// What one shard has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Taken {
    records: u64,
    bytes: u64,
    sent: u64,
    throttled: u64,
    /// What the shard has counted of it: entries, and their bytes.
    counted: Load,
    /// Seconds that this takes at the configured rate.
    work: f64,
}

/// How things stand at a moment.
#[derive(Debug, Clone, Default)]
struct Look {
    at: Duration,
    cpu: Duration,
    stream_cpu: Duration,
    disk_reads: Option<u64>,
    shards: BTreeMap<ShardId, Taken>,
    times: LaneTimes,
}

/// Looks at a run a few times a second, and keeps the first and the last look that count.
pub(super) struct Meter {
    from: Duration,
    /// From here on it is measured whether the read-ahead is filled or not.
    from_max: Duration,
    until: Duration,
    stream: Option<Arc<Metered>>,
    filling: Filling,
    /// Whether the read-ahead was filled at the first look.
    filled: bool,
    /// The look before the first.
    before: Option<Look>,
    first: Option<Look>,
    last: Option<Look>,
    memory_max: Option<u64>,
    /// Records in a second and bytes in a second that one shard may be sent.
    limit: Option<(f64, f64)>,
}

/// What happened between the two looks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sustained {
    pub(super) seconds: f64,
    /// Whether the read-ahead was filled before.
    pub(super) filled: bool,
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) sent: u64,
    pub(super) throttled: u64,
    /// What the shards have counted of the records: entries, and their bytes.
    pub(super) counted: Load,
    /// Of each shard that took anything, the part of its configured rate; a little above 1 where what was saved up before
    /// went, too.
    pub(super) used: Vec<f64>,
    /// CPU time without the stream's own.
    pub(super) cpu: Duration,
    pub(super) stream_cpu: Duration,
    /// Whether nearly nothing of it had to be read from disk, as far as the system tells.
    pub(super) from_memory: bool,
    /// What the lanes waited for most.
    pub(super) brake: Option<Brake>,
    pub(super) memory_max: Option<u64>,
    pub(super) limit: Option<(f64, f64)>,
}

impl Meter {
    /// Of a step that lasts `duration` into a stream whose own CPU time is known, if it is one of ours.
    pub(super) fn new(duration: Duration, stream: Option<Arc<Metered>>) -> Self {
        Self {
            from: start_up(duration),
            from_max: duration * 3 / 4,
            until: duration.saturating_sub(TAIL),
            stream,
            filling: Filling::default(),
            filled: false,
            before: None,
            first: None,
            last: None,
            memory_max: None,
            limit: None,
        }
    }

    /// Takes a look, `elapsed` after the run has begun.
    pub(super) fn look(&mut self, stats: &EngineStats, elapsed: Duration) {
        self.memory_max = self.memory_max.max(usage::anonymous_memory());
        let filled = self.filling.is_over(stats, elapsed);
        if elapsed < self.from || elapsed > self.until {
            return;
        }
        let shards = stats.shards.iter().map(|shard| {
            let work = (shard.taken.records / shard.limit.records).max(shard.taken.bytes / shard.limit.bytes);
            let (records, bytes, sent, throttled) = (shard.records, shard.bytes, shard.sent, shard.throttled);
            (shard.shard.clone(), Taken { records, bytes, sent, throttled, counted: shard.taken, work })
        });
        self.limit = stats.shards.first().map(|shard| (shard.limit.records, shard.limit.bytes));
        let stream_cpu = self.stream.as_ref().map(|stream| stream.cpu()).unwrap_or_default();
        let cpu = usage::process_cpu().saturating_sub(stream_cpu);
        let (shards, times) = (shards.collect(), stats.times.clone());
        let look = Look { at: elapsed, cpu, stream_cpu, disk_reads: usage::disk_reads(), shards, times };
        let waiting = !self.filled && self.last.is_none();
        if self.first.is_none() || (waiting && elapsed <= self.from_max) {
            self.before = self.first.replace(look);
            self.filled = filled;
        } else {
            self.last = Some(look);
        }
    }

    /// What happened; `None` if there were no two looks.
    pub(super) fn sustained(self) -> Option<Sustained> {
        let (first, last, filled) = match (self.before, self.first?, self.last) {
            (_, first, Some(last)) => (first, last, self.filled),
            (before, first, None) => (before?, first, false),
        };
        let seconds = last.at.saturating_sub(first.at).as_secs_f64();
        if seconds <= 0.0 {
            return None;
        }
        let mut found = Sustained {
            seconds,
            filled,
            records: 0,
            bytes: 0,
            sent: 0,
            throttled: 0,
            counted: Load::default(),
            used: Vec::with_capacity(last.shards.len()),
            cpu: last.cpu.saturating_sub(first.cpu),
            stream_cpu: last.stream_cpu.saturating_sub(first.stream_cpu),
            from_memory: false,
            brake: main_brake(&first.times, &last.times),
            memory_max: self.memory_max,
            limit: self.limit,
        };
        for (shard, taken) in &last.shards {
            let before = first.shards.get(shard).copied().unwrap_or_default();
            found.records += taken.records.saturating_sub(before.records);
            found.bytes += taken.bytes.saturating_sub(before.bytes);
            found.sent += taken.sent.saturating_sub(before.sent);
            found.throttled += taken.throttled.saturating_sub(before.throttled);
            found.counted.records += taken.counted.records - before.counted.records;
            found.counted.bytes += taken.counted.bytes - before.counted.bytes;
            found.used.push((taken.work - before.work) / seconds);
        }
        let from_disk = last.disk_reads.zip(first.disk_reads).map(|(last, first)| last.saturating_sub(first));
        found.from_memory = from_disk.is_some_and(|bytes| bytes <= found.bytes / FROM_DISK_PART);
        Some(found)
    }
}

impl Sustained {
    /// Entries and bytes that the shards have counted for a record: those of aggregates have others in them, and framing.
    pub(super) fn counted_for_each(&self) -> Load {
        if self.records == 0 {
            return Load { records: 1.0, bytes: 1.0 };
        }
        #[expect(clippy::cast_precision_loss, reason = "a count of records")]
        let records = self.records as f64;
        Load { records: self.counted.records / records, bytes: (self.counted.bytes / records).max(1.0) }
    }
}

fn main_brake(before: &LaneTimes, after: &LaneTimes) -> Option<Brake> {
    let waited = |brake: &Brake| after.waited_for(*brake).saturating_sub(before.waited_for(*brake));
    Brake::ALL.into_iter().filter(|brake| !waited(brake).is_zero()).max_by_key(waited)
}

/// A stream in this process, and the CPU time that its own work takes.
pub(super) struct Metered {
    stream: Arc<dyn Stream>,
    cpu_nanos: AtomicU64,
}

impl Metered {
    /// Nothing yet.
    pub(super) fn new(stream: Arc<dyn Stream>) -> Self {
        Self { stream, cpu_nanos: AtomicU64::new(0) }
    }

    /// So far.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.cpu_nanos.load(Ordering::Relaxed))
    }
}

impl Stream for Metered {
    fn describe(&self) -> BoxFuture<'_, Result<StreamDescription, CallError>> {
        self.stream.describe()
    }

    fn list_open_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
        self.stream.list_open_shards()
    }

    fn draft(&self, size: DraftSize) -> Draft {
        self.stream.draft(size)
    }

    fn put(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Outcome>, CallError>> {
        Box::pin(Timed { work: self.stream.put(batch), cpu_nanos: &self.cpu_nanos })
    }
}

/// Work that waits now and then, and is measured while it does not: between waits it stays on its thread.
struct Timed<'a, T> {
    work: BoxFuture<'a, T>,
    cpu_nanos: &'a AtomicU64,
}

impl<T> Future for Timed<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let before = usage::thread_cpu();
        let polled = self.work.as_mut().poll(context);
        let nanos = usage::thread_cpu().saturating_sub(before).as_nanos();
        self.cpu_nanos.fetch_add(u64::try_from(nanos).unwrap_or(0), Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::write::ShardStats;
    use crate::write::checkpoint::Totals;
    use crate::write::rate::ShardRate;

    /// Of one shard that has taken so much.
    pub(in crate::bench) fn stats(records: u64, bytes: u64) -> EngineStats {
        let limit = ShardRate { records: 980.0, bytes: 980_000.0 };
        let times = LaneTimes::default();
        let shard = ShardId("shardId-0".into());
        #[expect(clippy::cast_precision_loss, reason = "small counts")]
        let taken = Load { records: records as f64, bytes: bytes as f64 };
        let throttled = records / 100;
        let shard = ShardStats { shard, records, bytes, taken, sent: records, throttled, limit, times };
        EngineStats {
            totals: Totals::default(),
            unsettled: 0,
            requests_in_flight: 0,
            shards: vec![shard],
            reshards: 0,
            times: LaneTimes::default(),
            away: None,
        }
    }

    #[test]
    fn start_up_and_tail_do_not_count() {
        let mut meter = Meter::new(Duration::from_secs(20), None);
        // Slow in the first two seconds, full for ten, and nothing after the end.
        for (millis, records) in
            [(200, 1), (1_900, 10), (2_000, 100), (7_000, 5_000), (12_000, 9_900), (19_950, 9_900)]
        {
            meter.look(&stats(records, records * 100), Duration::from_millis(millis));
        }
        let found = meter.sustained().unwrap();
        assert_eq!((found.records, found.bytes), (9_800, 980_000));
        assert!((found.seconds - 10.0).abs() < 1e-9);
        assert!((found.used[0] - 1.0).abs() < 1e-9, "{:?}", found.used);
        assert_eq!(found.throttled, 98);
    }

    /// A step of 4 s: 1,000 records are read anew in each look for as long as `filling` lasts, 100 are acknowledged.
    fn step_that_fills_for(filling: u64) -> Sustained {
        let mut meter = Meter::new(Duration::from_secs(4), None);
        for millis in (0..4_000).step_by(200) {
            let records = millis / 2;
            let mut stats = stats(records, records * 100);
            stats.totals.delivered = records;
            stats.unsettled = usize::try_from(millis.min(filling) * 5).unwrap();
            meter.look(&stats, Duration::from_millis(millis));
        }
        meter.sustained().unwrap()
    }

    #[test]
    fn nothing_is_measured_before_the_read_ahead_is_filled() {
        // Looks: 0.2 s apart; two of them after the filling tell that it is over.
        for (filling, seconds) in [(0, 2.8), (600, 2.8), (1_000, 2.4), (2_000, 1.4)] {
            let found = step_that_fills_for(filling);
            assert!(found.filled, "{filling}");
            assert!((found.seconds - seconds).abs() < 1e-9, "{filling}: {}", found.seconds);
        }
    }

    #[test]
    fn a_step_that_only_fills_is_measured_at_its_end_and_says_so() {
        for filling in [2_900, 4_000] {
            let found = step_that_fills_for(filling);
            assert!(!found.filled, "{filling}");
            assert!((found.seconds - 0.8).abs() < 1e-9, "{filling}: {}", found.seconds);
        }
    }

    #[test]
    fn if_looks_are_few_the_last_two_count() {
        let mut meter = Meter::new(Duration::from_secs(4), None);
        let mut look = |millis, unsettled| {
            let stats = EngineStats { unsettled, ..stats(millis, millis) };
            meter.look(&stats, Duration::from_millis(millis));
        };
        look(1_000, 1_000);
        look(2_900, 2_000);
        let found = meter.sustained().unwrap();
        assert_eq!((found.records, found.filled), (1_900, false));
    }

    #[test]
    fn bytes_fill_a_shard_as_records_do() {
        let mut meter = Meter::new(Duration::from_secs(10), None);
        meter.look(&stats(0, 0), Duration::from_secs(2));
        meter.look(&stats(98, 4_900_000), Duration::from_secs(7));
        assert!((meter.sustained().unwrap().used[0] - 1.0).abs() < 1e-9);
    }

    /// What was used and what could be are of one truth, with aggregates too: used = records / limit.
    #[test]
    fn what_is_used_is_what_shards_count_and_not_bounded() {
        let mut meter = Meter::new(Duration::from_secs(10), None);
        let aggregates = |records: u64, bytes: u64, entries: f64, counted: f64| {
            let mut stats = stats(records, bytes);
            stats.shards[0].taken = Load { records: entries, bytes: counted };
            stats
        };
        meter.look(&aggregates(0, 0, 0.0, 0.0), Duration::from_secs(2));
        // 2 % above what the shard takes in five seconds, a 25th of it framing.
        meter.look(&aggregates(20_000, 4_798_080, 200.0, 4_998_000.0), Duration::from_secs(7));
        let found = meter.sustained().unwrap();
        let each = found.counted_for_each();
        assert!((each.records - 0.01).abs() < 1e-9 && (each.bytes - 249.9).abs() < 1e-9, "{each:?}");
        let limit = 980_000.0 / each.bytes;
        assert!((found.used[0] - 20_000.0 / 5.0 / limit).abs() < 1e-9, "{:?}", found.used);
        assert!((found.used[0] - 1.02).abs() < 1e-9, "{:?}", found.used);
    }

    #[test]
    fn a_single_look_tells_nothing() {
        let mut meter = Meter::new(Duration::from_secs(10), None);
        meter.look(&stats(1, 1), Duration::from_secs(3));
        assert_eq!(meter.sustained(), None);
    }

    #[test]
    fn short_steps_have_a_short_start_up() {
        let cases = [(2, 500), (8, 2_000), (10, 2_000), (20, 2_000), (60, 6_000)];
        for (seconds, millis) in cases {
            assert_eq!(start_up(Duration::from_secs(seconds)), Duration::from_millis(millis), "{seconds}");
        }
    }
}
