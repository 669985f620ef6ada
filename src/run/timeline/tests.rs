//! What a timeline must hold: every sum stays what it was, however much is joined.

use super::*;
use crate::record::ShardId;
use crate::write::rate::{Load, ShardRate};

const LIMIT: ShardRate = ShardRate { records: 1_000.0, bytes: 1_000_000.0 };

/// A run of `shards` shards, each at `used` of its limit on records, `seconds` after its begin.
struct World {
    shards: u32,
    used: f64,
}

impl World {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
    fn at(&self, seconds: f64) -> EngineStats {
        let mut times = LaneTimes::default();
        times.wait_for(Waited::Shard, Duration::ZERO);
        times.bring_to(Duration::from_secs_f64(seconds * 0.75));
        times.wait_for(Waited::Input, Duration::from_secs_f64(seconds * 0.75));
        times.bring_to(Duration::from_secs_f64(seconds));
        let records = 1_000.0 * self.used * seconds;
        let shard = |number: u32| ShardStats {
            shard: ShardId(format!("shardId-{number:012}").into()),
            records: records as u64,
            bytes: records as u64 * 100,
            taken: Load { records, bytes: records * 100.0 },
            sent: records as u64,
            throttled: 0,
            limit: LIMIT,
            times: times.clone(),
        };
        let all = (records * f64::from(self.shards)) as u64;
        let totals = Totals {
            delivered: all,
            delivered_bytes: all * 100,
            entries_sent: all + all / 100,
            entries_throttled: all / 100,
            ..Totals::default()
        };
        let shards = (0..self.shards).map(shard).collect();
        EngineStats { totals, unsettled: 0, requests_in_flight: 0, shards, reshards: 0, times, away: None }
    }

    /// A timeline of one process that worked so long and was looked at in steps of `step`.
    fn record(&self, timeline: Timeline, seconds: u32, step: f64) -> Timeline {
        let mut recorder = Recorder::new(timeline, Timestamp::UNIX_EPOCH, &Totals::default());
        let mut at = step;
        while at <= f64::from(seconds) {
            recorder.add(&self.at(at), Duration::from_secs_f64(at), Some(Brake::Fetch));
            at += step;
        }
        recorder.finish(RunState::Done, &latencies(&[20_000, 21_000, 80_000]))
    }
}

fn latencies(micros: &[u64]) -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
    for one in micros {
        histogram.record(*one).unwrap();
    }
    histogram
}

fn sum(timeline: &Timeline, of: impl Fn(&Bin) -> f64) -> f64 {
    timeline.bins.iter().map(of).sum()
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= expected.abs() * 1e-6 + 1e-6, "{found} instead of {expected}");
}

#[test]
fn a_bin_says_what_was_delivered_taken_and_waited_for() {
    let timeline = World { shards: 4, used: 0.9 }.record(Timeline::default(), 10, 0.25);
    assert_eq!((timeline.bins.len(), timeline.shards.len()), (10, 4));
    for bin in &timeline.bins {
        near(bin.seconds, 1.0);
        near(bin.records, 3_600.0);
        near(bin.bytes, 360_000.0);
        near(bin.throttled, 36.0);
        near(bin.limit_records, 4_000.0);
        near(bin.limit_bytes, 4_000_000.0);
        assert_eq!(bin.rows.len(), 4);
        bin.rows.iter().for_each(|cell| near(cell.used().unwrap(), 0.9));
    }
    let place = |brake| Brake::ALL.into_iter().position(|one| one == brake).unwrap();
    let waited = |brake| sum(&timeline, |bin| bin.brakes[place(brake)]);
    near(waited(Brake::Shards), 7.5);
    near(waited(Brake::Fetch), 2.5);
    near(waited(Brake::Decode), 0.0);
}

#[test]
fn weeks_on_a_thousand_shards_are_bounded_and_lose_nothing() {
    let (weeks, shards) = (3 * 7 * 86_400, 1_000);
    let timeline = World { shards, used: 0.5 }.record(Timeline::default(), weeks, 1_800.0);
    assert!(timeline.is_sound());
    assert!((BINS_MAX / 2..=BINS_MAX).contains(&timeline.bins.len()), "{}", timeline.bins.len());
    assert_eq!((timeline.shards_per_row, timeline.rows().count()), (8, 125));
    let seconds = f64::from(weeks);
    near(sum(&timeline, |bin| bin.seconds), seconds);
    near(sum(&timeline, |bin| bin.records), seconds * 500.0 * 1_000.0);
    let cells = || timeline.bins.iter().flat_map(|bin| &bin.rows);
    near(cells().map(|cell| cell.open).sum(), seconds * 1_000.0);
    cells().for_each(|cell| near(cell.used().unwrap(), 0.5));
    let json = serde_json::to_string(&timeline.rounded()).unwrap();
    assert!(json.len() < 1_500_000, "{}", json.len());
}

#[test]
fn a_pause_is_seen_as_one_and_a_long_look_is_spread() {
    let mut recorder = Recorder::new(Timeline::default(), Timestamp::UNIX_EPOCH, &Totals::default());
    let busy = World { shards: 1, used: 1.0 };
    recorder.add(&busy.at(4.0), Duration::from_secs(4), Some(Brake::Fetch));
    recorder.add(&busy.at(4.0), Duration::from_secs(6), Some(Brake::Fetch));
    // A clock that stands still, or a look without news, changes nothing.
    recorder.add(&busy.at(4.0), Duration::from_secs(6), Some(Brake::Fetch));
    let timeline = recorder.finish(RunState::Incomplete, &latencies(&[]));
    let records: Vec<f64> = timeline.bins.iter().map(|bin| bin.records).collect();
    assert_eq!(records, [1_000.0, 1_000.0, 1_000.0, 1_000.0, 0.0, 0.0]);
    // Its lanes did not wait, so the shard has none any more: it was not written to.
    assert_eq!(timeline.bins[5].rows[0].used(), None);
    near(timeline.bins[5].limit_records, 0.0);
}

#[test]
fn a_resume_goes_on_and_what_a_killed_process_did_is_named() {
    let world = World { shards: 2, used: 1.0 };
    let first = world.record(Timeline::default(), 5, 0.5);
    let found: Timeline = serde_json::from_str(&serde_json::to_string(&first).unwrap()).unwrap();
    assert_eq!(found, first);
    // 10,000 were delivered when the first had ended, 7,000 more by one that was killed.
    let before = Totals { delivered: 17_000, ..Totals::default() };
    let mut recorder = Recorder::new(found, Timestamp::UNIX_EPOCH, &before);
    let mut stats = world.at(3.0);
    stats.totals.delivered += 17_000;
    recorder.add(&stats, Duration::from_secs(3), Some(Brake::Decode));
    let both = recorder.finish(RunState::Done, &latencies(&[20_000]));
    near(both.seconds, 8.0);
    near(sum(&both, |bin| bin.records), 16_000.0);
    assert_eq!((both.records_unseen, both.shards.len()), (7_000, 2));
    let told: Vec<(f64, u64, RunState)> =
        both.processes.iter().map(|one| (one.from, one.delivered, one.state)).collect();
    assert_eq!(told, [(0.0, 10_000, RunState::Done), (5.0, 6_000, RunState::Done)]);
    assert_eq!(both.latencies.iter().sum::<u64>(), 4);
}

#[test]
fn of_a_thousand_resumes_the_last_are_told() {
    let world = World { shards: 1, used: 1.0 };
    let timeline = (0..1_000).fold(Timeline::default(), |timeline, _| world.record(timeline, 2, 1.0));
    assert!(timeline.is_sound());
    assert_eq!((timeline.processes.len(), timeline.processes_before), (PROCESSES_MAX, 936));
    near(sum(&timeline, |bin| bin.records), 2_000_000.0);
}

#[test]
fn shards_that_come_later_get_rows_of_their_own() {
    let mut recorder = Recorder::new(Timeline::default(), Timestamp::UNIX_EPOCH, &Totals::default());
    let few = World { shards: 2, used: 1.0 }.at(1.0);
    recorder.add(&few, Duration::from_secs(1), Some(Brake::Fetch));
    recorder.add(&World { shards: 200, used: 1.0 }.at(2.0), Duration::from_secs(2), Some(Brake::Fetch));
    let timeline = recorder.finish(RunState::Done, &latencies(&[]));
    assert_eq!((timeline.shards_per_row, timeline.rows().count()), (2, 100));
    // The first two have become one row, in what was recorded before, too.
    assert_eq!(timeline.bins[0].rows.len(), 1);
    near(timeline.bins[0].rows[0].open, 2.0);
    near(timeline.bins[1].rows[0].open, 2.0);
}

#[test]
fn who_has_nothing_left_to_send_is_held_up_by_nothing() {
    let world = World { shards: 1, used: 1.0 };
    let mut recorder = Recorder::new(Timeline::default(), Timestamp::UNIX_EPOCH, &Totals::default());
    recorder.add(&world.at(1.0), Duration::from_secs(1), Some(Brake::Fetch));
    assert_eq!(recorder.main_brake(), Some(Brake::Shards));
    // All is in; from here on the lane waits for input nearly all of the time.
    let mut stats = world.at(1.0);
    stats.times.wait_for(Waited::Input, Duration::from_secs(1));
    stats.times.bring_to(Duration::from_secs(10));
    recorder.add(&stats, Duration::from_secs(10), None);
    assert_eq!(recorder.main_brake(), Some(Brake::Shards));
    let timeline = recorder.finish(RunState::Done, &latencies(&[]));
    near(sum(&timeline, |bin| bin.finished), 9.0);
    near(sum(&timeline, |bin| bin.brakes.iter().sum()), 1.0);
}

#[test]
fn a_stream_without_limits_has_no_rows_to_speak_of() {
    let mut stats = World { shards: 1, used: 1.0 }.at(1.0);
    stats.shards[0].limit = ShardRate { records: 1e9, bytes: 1e12 };
    let mut recorder = Recorder::new(Timeline::default(), Timestamp::UNIX_EPOCH, &Totals::default());
    recorder.add(&stats, Duration::from_secs(1), Some(Brake::Fetch));
    let timeline = recorder.finish(RunState::Done, &latencies(&[]));
    assert_eq!((timeline.bins[0].limit_records, timeline.bins[0].rows[0].used()), (0.0, None));
}

#[test]
fn what_is_not_ours_is_not_gone_on_with() {
    let sound = World { shards: 3, used: 1.0 }.record(Timeline::default(), 3, 1.0);
    assert!(sound.is_sound() && Timeline::default().is_sound());
    let with = |change: fn(&mut Timeline)| {
        let mut timeline = sound.clone();
        change(&mut timeline);
        timeline.is_sound()
    };
    assert!(!with(|timeline| timeline.version += 1));
    assert!(!with(|timeline| timeline.shards_per_row = 0));
    assert!(!with(|timeline| timeline.bin_seconds = f64::NAN));
    assert!(!with(|timeline| timeline.bin_seconds = 0.0));
    assert!(!with(|timeline| timeline.seconds = f64::INFINITY));
    assert!(!with(|timeline| timeline.bins.resize(BINS_MAX + 1, Bin::default())));
    assert!(!with(|timeline| timeline.bins[0].rows.resize(ROWS_MAX + 1, Cell::default())));
}

#[test]
fn latencies_are_counted_in_quarters_of_an_octave() {
    let mut steps = Vec::new();
    count_latencies(&mut steps, &latencies(&[50, 100, 200, 20_000, 600_000_000]));
    let counted: Vec<(usize, u64)> =
        steps.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect();
    // 0.1 ms is the end of the first step, 0.2 ms is one octave on; 20 ms are 7.64 octaves.
    assert_eq!(counted, [(0, 2), (4, 1), (31, 1), (91, 1)]);
}
