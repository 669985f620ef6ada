//! The engine against a small world in virtual time: one heap of events, shards that keep what they get.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use super::checkpoint::{Checkpoint, ObjectLedger};
use super::lane::{LOOKED_AT_MAX, Order};
use super::rate::ShardRate;
use super::stats::Brake;
use super::{Command, End, Engine, EngineConfig, EngineStats, Event, RequestId, StopReason, StreamState};
use crate::record::{HashKey, HashKeyRange, Ordinal, SequenceNumber, ShardId};
use crate::route::shard_map::ShardMap;
use crate::route::{Routed, RoutedChunk};
use crate::stream::{CallError, CallErrorClass, Outcome, ShardDescription, UnknownCause};

const UNLIMITED: ShardRate = ShardRate { records: 1e9, bytes: 1e12 };
const SHARE: ShardRate = ShardRate { records: 980.0, bytes: 980_000.0 };

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn shards(count: u128) -> ShardMap {
    let width = u128::MAX / count;
    let shard = |index: u128| ShardDescription {
        id: ShardId(format!("shardId-{index:012}").into()),
        range: HashKeyRange {
            first: HashKey(index * width + u128::from(index > 0)),
            last: HashKey(if index + 1 == count { u128::MAX } else { (index + 1) * width }),
        },
        parent: None,
        adjacent_parent: None,
        open: true,
        starts: None,
    };
    ShardMap::new((0..count).map(shard).collect()).unwrap()
}

/// `objects` objects of `records` records each, over `keys` keys, `cost` bytes apiece.
fn input(objects: u32, records: u32, keys: u32, cost: u32) -> Vec<RoutedChunk> {
    let hash = |n: u32| HashKey::of(&format!("key {}", n.wrapping_mul(2_654_435_761) % keys));
    let chunk = |object| RoutedChunk {
        records: (0..records)
            .map(|record| Routed {
                ordinal: Ordinal::new(object, record),
                hash: hash(object * records + record),
                cost,
                key_bytes: 8,
                key_at: 0,
            })
            .collect(),
        set_aside: Vec::new(),
        end: Ordinal::new(object + 1, 0),
        filtered: 0,
    };
    (0..objects).map(chunk).collect()
}

/// Requests that the lanes of these tests may have in flight at first.
const REQUESTS: usize = 512;

fn config(order: Order, shard_rate: ShardRate) -> EngineConfig {
    EngineConfig {
        order,
        aggregate: None,
        updating: false,
        shard_rate,
        run_rate: UNLIMITED,
        hash_places: true,
        window_records: 100_000,
        requests_max: 4 * REQUESTS,
        seed: 7,
    }
}

/// What the service does with the n-th request. What it stores is stored whether or not it says so.
type Service<'a> = dyn FnMut(u64, &[Routed]) -> Result<Vec<Answer>, CallError> + 'a;

#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Ack,
    Throttle,
    StoreThenFail,
}

/// What came of a run.
struct Outcomes {
    stored: Vec<Routed>,
    stats: EngineStats,
    end: Option<End>,
    checkpoint: Checkpoint,
    lasted: Duration,
    settled_objects: Vec<u32>,
}

struct World<'a> {
    engine: Engine,
    input: std::collections::VecDeque<RoutedChunk>,
    input_ended: bool,
    round_trip: Duration,
    service: &'a mut Service<'a>,
    heap: BinaryHeap<Reverse<(Duration, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
    stored: Vec<Routed>,
    durable: Checkpoint,
    settled_objects: Vec<u32>,
    end: Option<End>,
}

impl World<'_> {
    fn at(&mut self, time: Duration, event: Event) {
        let id = self.next_event;
        self.next_event += 1;
        self.events.insert(id, event);
        self.heap.push(Reverse((time, id)));
    }

    fn carry_out(&mut self, now: Duration, command: Command) {
        match command {
            Command::Put { request, records } => self.put(now, request, records.records()),
            Command::Checkpoint(checkpoint) => {
                let sequence = checkpoint.sequence;
                self.durable = *checkpoint;
                self.at(now + millis(3), Event::CheckpointDurable(sequence));
            }
            Command::ObjectSettled(object, _) => self.settled_objects.push(object),
            Command::SetAside(_) | Command::ObjectSetAside(..) => {}
            Command::ListShards => self.at(now + millis(1), Event::Shards { map: None, state: None }),
            Command::Ended(end) => self.end = Some(end),
        }
    }

    fn put(&mut self, now: Duration, request: RequestId, records: &[Routed]) {
        let result = (self.service)(request.0, records).map(|answers| {
            let store = |(record, answer): (&Routed, Answer)| {
                if answer != Answer::Throttle {
                    self.stored.push(*record);
                }
                match answer {
                    Answer::Throttle => Outcome::Throttled,
                    Answer::StoreThenFail => Outcome::Unknown { cause: UnknownCause::InternalFailure },
                    Answer::Ack => Outcome::Acked {
                        shard: self.engine.shard_of_lane(record.hash).clone(),
                        sequence_number: SequenceNumber::new(&self.stored.len().to_string()).unwrap(),
                    },
                }
            };
            records.iter().zip(answers).map(store).collect()
        });
        self.at(now, Event::Departed(request));
        self.at(now + self.round_trip, Event::Answered(request, result));
    }

    fn feed(&mut self, now: Duration, commands: &mut Vec<Command>) {
        while self.engine.room() > 0 && self.end.is_none() {
            let Some(chunk) = self.input.pop_front() else { break };
            self.engine.handle(now, Event::Input(chunk), commands);
        }
        if self.input.is_empty() && !self.input_ended {
            self.input_ended = true;
            self.engine.handle(now, Event::InputEnded, commands);
        }
    }
}

/// Runs until the engine has ended, or up to `until`.
fn run(
    config: EngineConfig,
    map: &ShardMap,
    start: &Checkpoint,
    chunks: Vec<RoutedChunk>,
    round_trip: Duration,
    until: Duration,
    service: &mut Service<'_>,
) -> Outcomes {
    let engine = Engine::new(config, map, start, Duration::ZERO);
    let restart = engine.restart_object() as usize;
    let mut world = World {
        input: chunks.into_iter().skip(restart).collect(),
        engine,
        input_ended: false,
        round_trip,
        // The world lives as long as this call.
        service: &mut |request, records| service(request, records),
        heap: BinaryHeap::new(),
        events: BTreeMap::new(),
        next_event: 0,
        stored: Vec::new(),
        durable: start.clone(),
        settled_objects: Vec::new(),
        end: None,
    };
    let (mut now, mut commands) = (Duration::ZERO, Vec::new());
    while world.end.is_none() && now < until {
        world.feed(now, &mut commands);
        for command in std::mem::take(&mut commands) {
            world.carry_out(now, command);
        }
        let event = world.heap.peek().map(|&Reverse((time, _))| time);
        let wake = world.engine.next_wake();
        now = match (event, wake) {
            (Some(event), Some(wake)) if wake < event => wake,
            (Some(event), _) => event,
            (None, Some(wake)) => wake,
            (None, None) => break,
        }
        .max(now);
        let due = match event {
            Some(time) if time <= now => {
                let Reverse((_, id)) = world.heap.pop().unwrap();
                world.events.remove(&id).unwrap()
            }
            _ => Event::Tick,
        };
        world.engine.handle(now, due, &mut commands);
    }
    for command in commands {
        world.carry_out(now, command);
    }
    Outcomes {
        stored: world.stored,
        stats: world.engine.stats(now),
        end: world.end,
        checkpoint: world.durable,
        lasted: now,
        settled_objects: world.settled_objects,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a service as the others are")]
fn always(_: u64, records: &[Routed]) -> Result<Vec<Answer>, CallError> {
    Ok(vec![Answer::Ack; records.len()])
}

fn failed(class: CallErrorClass) -> CallError {
    CallError { class, message: "no".into() }
}

/// Each record at least once, and the first occurrences of each key in the order of their ordinals.
fn assert_delivered_in_order(stored: &[Routed], count: usize) {
    let mut seen = std::collections::BTreeSet::new();
    let mut last: BTreeMap<HashKey, Ordinal> = BTreeMap::new();
    for record in stored.iter().filter(|record| seen.insert(record.ordinal)) {
        let before = last.insert(record.hash, record.ordinal);
        assert!(before.is_none_or(|before| before < record.ordinal), "{before:?} then {:?}", record.ordinal);
    }
    assert_eq!(seen.len(), count);
}

const FOREVER: Duration = Duration::from_secs(100_000);

#[test]
fn every_shard_is_kept_full_at_round_trips_from_2_to_250_ms() {
    for round_trip in [2, 20, 100, 250] {
        for cost in [200, 1_000, 9_000, 27_000] {
            let chunks = input(10, 24_000_000 / 10 / cost.max(1_000), 50_000, cost);
            let map = shards(4);
            let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
            let done = run(
                config(Order::Key, SHARE),
                &map,
                &start,
                chunks,
                millis(round_trip),
                FOREVER,
                &mut always,
            );
            assert_eq!(done.end, Some(End::Done));
            for shard in &done.stats.shards {
                let utilisation = shard.utilisation().unwrap();
                assert!(
                    (0.975..1.005).contains(&utilisation),
                    "{} at {round_trip} ms, {cost} B: {utilisation} {:?}",
                    shard.shard,
                    shard.times
                );
            }
        }
    }
}

#[test]
fn order_and_completeness_hold_when_half_of_everything_fails() {
    for seed in 0..20_u64 {
        let mut dice = seed;
        let mut roll = move || {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            dice >> 33
        };
        let mut service = |_: u64, records: &[Routed]| {
            if roll() % 10 == 0 {
                return Err(failed(CallErrorClass::Unreachable));
            }
            let answer = |_| match roll() % 4 {
                0 => Answer::Throttle,
                1 => Answer::StoreThenFail,
                _ => Answer::Ack,
            };
            Ok(records.iter().map(answer).collect())
        };
        let map = shards(3);
        let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
        let rate = ShardRate { records: 5_000.0, bytes: 5e6 };
        let chunks = input(7, 300, 40, 250);
        let done = run(config(Order::Key, rate), &map, &start, chunks, millis(15), FOREVER, &mut service);
        assert_eq!(done.end, Some(End::Done), "seed {seed}");
        assert_delivered_in_order(&done.stored, 2_100);
        let totals = done.stats.totals;
        assert_eq!((totals.delivered, totals.objects_settled), (2_100, 7));
        assert_eq!(done.settled_objects.len(), 7);
        assert!(done.stored.len() as u64 <= 2_100 + totals.possible_duplicates.total());
        assert!(totals.possible_duplicates.total() > 0 && totals.entries_throttled > 0);
    }
}

#[test]
fn a_resume_from_any_moment_loses_nothing_and_knows_its_duplicates() {
    for moment in (0..2_000).step_by(37) {
        let map = || shards(3);
        let start = Checkpoint::start(map().shards().iter().map(|shard| shard.range));
        let chunks = || input(9, 200, 25, 300);
        let rate = ShardRate { records: 400.0, bytes: 4e6 };
        let first =
            run(config(Order::Key, rate), &map(), &start, chunks(), millis(30), millis(moment), &mut always);
        let second = run(
            config(Order::Key, rate),
            &shards(5),
            &first.checkpoint,
            chunks(),
            millis(30),
            FOREVER,
            &mut always,
        );
        assert_eq!(second.end, Some(End::Done), "stopped at {moment} ms");
        let totals = second.stats.totals;
        assert_eq!((totals.delivered, totals.objects_settled), (1_800, 9), "stopped at {moment} ms");
        let both: Vec<Routed> = first.stored.iter().chain(&second.stored).copied().collect();
        assert_delivered_in_order(&both, 1_800);
        let duplicates = both.len() as u64 - 1_800;
        assert!(duplicates <= totals.possible_duplicates.total(), "{duplicates} at {moment} ms: {totals:?}");
    }
}

#[test]
fn one_invalid_record_is_found_and_set_aside_and_the_others_arrive() {
    let bad = Ordinal::new(1, 17);
    let mut service = |_: u64, records: &[Routed]| {
        if records.iter().any(|record| record.ordinal == bad) {
            return Err(failed(CallErrorClass::Invalid));
        }
        always(0, records)
    };
    let map = shards(2);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let done = run(
        config(Order::Key, SHARE),
        &map,
        &start,
        input(3, 100, 100, 300),
        millis(5),
        FOREVER,
        &mut service,
    );
    assert_eq!(done.end, Some(End::Done));
    assert_delivered_in_order(&done.stored, 299);
    assert_eq!((done.stats.totals.delivered, done.stats.totals.quarantined), (299, 1));
}

#[test]
fn a_refusal_stops_the_run_and_keeps_what_was_done() {
    let mut calls = 0;
    let mut service = |_: u64, records: &[Routed]| {
        calls += 1;
        if calls > 20 { Err(failed(CallErrorClass::Denied)) } else { always(0, records) }
    };
    let map = shards(2);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let chunks = input(10, 1_000, 1_000, 300);
    let done = run(config(Order::Key, SHARE), &map, &start, chunks, millis(5), FOREVER, &mut service);
    assert_eq!(done.end, Some(End::Stopped(StopReason::Refused("no".into()))));
    assert_eq!(done.checkpoint.totals.delivered, done.stored.len() as u64);
}

#[test]
fn a_resume_after_an_orderly_stop_doubts_nothing() {
    for calls_before in [1, 5, 20] {
        let mut calls = 0;
        let mut service = |_: u64, records: &[Routed]| {
            calls += 1;
            if calls > calls_before { Err(failed(CallErrorClass::Denied)) } else { always(0, records) }
        };
        let map = || shards(3);
        let start = Checkpoint::start(map().shards().iter().map(|shard| shard.range));
        let rate = ShardRate { records: 400.0, bytes: 4e6 };
        let (chunks, wait) = (|| input(9, 200, 25, 300), millis(30));
        let first = run(config(Order::Key, rate), &map(), &start, chunks(), wait, FOREVER, &mut service);
        assert!(matches!(first.end, Some(End::Stopped(_))));
        let resumed = &first.checkpoint;
        let second = run(config(Order::Key, rate), &map(), resumed, chunks(), wait, FOREVER, &mut always);
        assert_eq!(first.stored.len() + second.stored.len(), 1_800);
        assert_eq!(
            (second.stats.totals.delivered, second.stats.totals.possible_duplicates.total()),
            (1_800, 0)
        );
    }
}

#[test]
fn a_service_that_stays_away_ends_the_run_resumably() {
    let mut service = |_: u64, _: &[Routed]| Err(failed(CallErrorClass::Unreachable));
    let map = shards(2);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let done =
        run(config(Order::Key, SHARE), &map, &start, input(1, 100, 9, 300), millis(5), FOREVER, &mut service);
    assert!(matches!(done.end, Some(End::Stopped(StopReason::ServiceAway(_)))));
    assert!(done.lasted > Duration::from_mins(14));
}

#[test]
fn one_hot_key_pays_one_round_trip_per_record_and_none_does_not() {
    let lasted = |order| {
        let map = shards(1);
        let start = Checkpoint::start([HashKeyRange::ALL]);
        run(config(order, SHARE), &map, &start, input(1, 500, 1, 300), millis(20), FOREVER, &mut always)
            .lasted
    };
    assert!(lasted(Order::Key) >= millis(500 * 20));
    assert!(lasted(Order::None) < millis(700));
}

#[test]
fn the_same_seed_gives_the_same_commands() {
    let trace = || {
        let mut trace = Vec::new();
        let mut service = |request: u64, records: &[Routed]| {
            trace.push((request, records.to_vec()));
            let throttled = |record: &Routed| u64::from(record.ordinal.record()) % 7 == request % 7;
            let answer = |record| if throttled(record) { Answer::Throttle } else { Answer::Ack };
            Ok(records.iter().map(answer).collect())
        };
        let map = shards(3);
        let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
        run(
            config(Order::Key, SHARE),
            &map,
            &start,
            input(3, 500, 40, 300),
            millis(9),
            FOREVER,
            &mut service,
        );
        trace
    };
    assert_eq!(trace(), trace());
}

/// Two records an object, one for each of two shards; the second shard takes two or three of its records a second.
fn lagging_input(objects: u32) -> Vec<RoutedChunk> {
    let chunk = |object| RoutedChunk {
        records: vec![
            Routed {
                ordinal: Ordinal::new(object, 0),
                hash: HashKey(u128::from(object)),
                cost: 200,
                key_bytes: 8,
                key_at: 0,
            },
            Routed {
                ordinal: Ordinal::new(object, 1),
                hash: HashKey(u128::MAX - u128::from(object)),
                cost: 400_000,
                key_bytes: 8,
                key_at: 0,
            },
        ],
        set_aside: Vec::new(),
        end: Ordinal::new(object + 1, 0),
        filtered: 0,
    };
    (0..objects).map(chunk).collect()
}

#[test]
fn a_resume_with_as_many_open_objects_as_there_may_be_goes_on() {
    let (map, objects) = (shards(2), 4_600);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let wait = millis(10);
    let run = |from: &Checkpoint, until| {
        run(config(Order::Key, SHARE), &map, from, lagging_input(objects), wait, until, &mut always)
    };
    let first = run(&start, Duration::from_secs(30));
    assert!(first.checkpoint.open_objects.len() > 4_000, "the slow shard holds them open");
    let second = run(&first.checkpoint, FOREVER);
    assert_eq!(second.end, Some(End::Done));
    assert_eq!(second.stats.totals.delivered, 2 * u64::from(objects));
}

#[test]
fn what_is_left_of_an_object_that_was_sent_in_part_can_be_set_aside() {
    let map = shards(1);
    let start = Checkpoint::start([HashKeyRange::ALL]);
    let chunks = || input(1, 1_000, 1_000, 300);
    let first = run(config(Order::Key, SHARE), &map, &start, chunks(), millis(5), millis(600), &mut always);
    let delivered = first.checkpoint.totals.delivered;
    assert!(delivered > 0 && first.checkpoint.sent_of(0).is_some());

    let (mut engine, mut commands) =
        (Engine::new(config(Order::Key, SHARE), &map, &first.checkpoint, Duration::ZERO), Vec::new());
    engine.handle(millis(1), Event::ObjectQuarantined(0), &mut commands);
    engine.handle(millis(300), Event::InputEnded, &mut commands);
    let Some(Command::Checkpoint(last)) = commands.pop() else { panic!("{commands:?}") };
    assert_eq!((last.settled_objects, last.open_objects.len()), (vec![(0, 0)], 0));
    assert_eq!((last.totals.delivered, last.totals.objects_quarantined), (delivered, 1));
}

/// An engine on two shards that a third was made of, with one request of each of three records answered in turn.
fn violations(answers: &[(&str, &str)]) -> u64 {
    let mut descriptions = shards(2).shards().to_vec();
    descriptions[0].parent = Some(ShardId("shardId-parent".into()));
    descriptions[1].parent = Some(ShardId("shardId-parent".into()));
    let map = ShardMap::new(descriptions).unwrap();
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let mut engine = Engine::new(config(Order::Key, UNLIMITED), &map, &start, Duration::ZERO);
    let mut commands = Vec::new();
    let records = |count: u32| {
        (0..count)
            .map(|record| Routed {
                ordinal: Ordinal::new(0, record),
                hash: HashKey(5),
                cost: 100,
                key_bytes: 8,
                key_at: 0,
            })
            .collect()
    };
    let count = u32::try_from(answers.len()).unwrap();
    let chunk =
        RoutedChunk { records: records(count), set_aside: Vec::new(), end: Ordinal::new(1, 0), filtered: 0 };
    engine.handle(millis(1), Event::Input(chunk), &mut commands);
    engine.handle(millis(1), Event::InputEnded, &mut commands);
    let (mut now, mut answers) = (1, answers.iter());
    while let Some(command) = (!commands.is_empty()).then(|| commands.remove(0)) {
        now += 200;
        match command {
            Command::Checkpoint(checkpoint) => {
                engine.handle(millis(now), Event::CheckpointDurable(checkpoint.sequence), &mut commands);
            }
            Command::Put { request, records } => {
                assert_eq!(records.records().len(), 1, "one key, one record at a time");
                let &(shard, number) = answers.next().unwrap();
                let sequence_number = SequenceNumber::new(number).unwrap();
                let outcome = Outcome::Acked { shard: ShardId(shard.into()), sequence_number };
                engine.handle(millis(now), Event::Departed(request), &mut commands);
                engine.handle(millis(now), Event::Answered(request, Ok(vec![outcome])), &mut commands);
            }
            _ => {}
        }
    }
    assert_eq!(engine.totals().delivered, u64::from(count));
    engine.totals().order_violations
}

#[test]
fn sequence_numbers_are_held_against_the_order() {
    let child = "shardId-000000000000";
    assert_eq!(violations(&[(child, "7"), (child, "8"), (child, "30")]), 0);
    assert_eq!(violations(&[(child, "7"), (child, "6"), (child, "8")]), 1);
    assert_eq!(violations(&[(child, "7"), (child, "7")]), 1);
    // Another shard's numbers say nothing; but a parent never answers after its child.
    assert_eq!(violations(&[("shardId-parent", "900"), (child, "7")]), 0);
    assert_eq!(violations(&[("shardId-elsewhere", "900"), (child, "7")]), 0);
    assert_eq!(violations(&[(child, "7"), ("shardId-parent", "900")]), 1);
}

#[test]
fn a_record_that_always_fails_ends_the_run_and_does_not_let_the_rest_pass_without_bound() {
    let stuck = Ordinal::new(0, 7);
    let mut service = |_: u64, records: &[Routed]| {
        let answer = |record: &Routed| {
            if record.ordinal == stuck { Answer::StoreThenFail } else { Answer::Ack }
        };
        Ok(records.iter().map(answer).collect())
    };
    let rate = ShardRate { records: 100_000.0, bytes: 1e9 };
    let outcomes = run(
        config(Order::Key, rate),
        &shards(1),
        &Checkpoint::start([HashKeyRange::ALL]),
        input(40, 4_000, 160_000, 100),
        millis(20),
        Duration::from_hours(2),
        &mut service,
    );
    let Some(End::Stopped(StopReason::ServiceAway(message))) = outcomes.end else {
        panic!("{:?} after {:?}", outcomes.end, outcomes.lasted)
    };
    assert!(message.contains("failed one"), "{message}");
    let delivered = outcomes.stats.totals.delivered;
    assert!((100_000..=LOOKED_AT_MAX as u64 + 7).contains(&delivered), "{delivered}");
}

#[test]
fn what_was_delivered_of_an_object_is_told_when_the_rest_of_it_is_set_aside() {
    let mut start = Checkpoint::start([HashKeyRange::ALL]);
    let ledger = ObjectLedger { delivered: 5, quarantined: 1, filtered: 0 };
    start.open_objects.insert(0, ledger);
    let mut engine = Engine::new(config(Order::Key, SHARE), &shards(1), &start, Duration::ZERO);
    let mut commands = Vec::new();
    engine.handle(Duration::ZERO, Event::ObjectQuarantined(0), &mut commands);
    let told =
        commands.iter().any(|command| matches!(command, Command::ObjectSetAside(0, told) if *told == ledger));
    assert!(told, "{commands:?}");
}

/// The longest that a record waits of 400 that come one by one, `every` so often, each with a key of its own.
fn longest_wait(config: EngineConfig, every: Duration, round_trip: Duration) -> Duration {
    let map = shards(1);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let mut engine = Engine::new(config, &map, &start, Duration::ZERO);
    let (mut events, mut came, mut longest) = (BTreeMap::new(), BTreeMap::new(), Duration::ZERO);
    for number in 0..400_u32 {
        let ordinal = Ordinal::new(0, number);
        let record =
            Routed { ordinal, hash: HashKey::of(&number.to_string()), cost: 200, key_bytes: 8, key_at: 0 };
        let chunk =
            RoutedChunk { records: vec![record], set_aside: Vec::new(), end: ordinal.next(), filtered: 0 };
        came.insert(ordinal, every * number);
        events.insert((every * number, number), Event::Input(chunk));
    }
    let (mut next, mut commands) = (1_000, Vec::new());
    while !came.is_empty() {
        let wake = engine.next_wake();
        let event = events.first_key_value().map(|(&(at, _), _)| at);
        let now = event.into_iter().chain(wake).min().unwrap();
        let due = event.filter(|at| *at <= now).and_then(|_| events.pop_first());
        engine.handle(now, due.map_or(Event::Tick, |(_, event)| event), &mut commands);
        for command in commands.drain(..) {
            next += 1;
            match command {
                Command::Put { request, records } => {
                    for record in records.records() {
                        longest = longest.max(now.saturating_sub(came.remove(&record.ordinal).unwrap()));
                    }
                    let ack = |number: usize| Outcome::Acked {
                        shard: map.shards()[0].id.clone(),
                        sequence_number: SequenceNumber::new(&(next as usize * 1_000 + number).to_string())
                            .unwrap(),
                    };
                    let outcomes = (0..records.entry_count()).map(ack).collect();
                    events.insert((now, next), Event::Departed(request));
                    events.insert((now + round_trip, next), Event::Answered(request, Ok(outcomes)));
                }
                Command::Checkpoint(checkpoint) => {
                    events.insert((now + millis(3), next), Event::CheckpointDurable(checkpoint.sequence));
                }
                _ => {}
            }
        }
    }
    longest
}

/// How long it takes to bring twenty small objects one by one, each when a checkpoint says that the last is settled.
fn one_by_one(told: bool) -> Duration {
    let map = shards(1);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let mut chunks = input(20, 30, 600, 200).into_iter();
    let mut world = World {
        engine: Engine::new(config(Order::Key, SHARE), &map, &start, Duration::ZERO),
        input: chunks.next().into_iter().collect(),
        input_ended: true,
        round_trip: millis(20),
        service: &mut always,
        heap: BinaryHeap::new(),
        events: BTreeMap::new(),
        next_event: 0,
        stored: Vec::new(),
        durable: start,
        settled_objects: Vec::new(),
        end: None,
    };
    let (mut now, mut commands, mut next) = (Duration::ZERO, Vec::new(), 1);
    world.engine.handle(now, Event::InputWaits(told), &mut commands);
    while world.stored.len() < 600 || world.engine.unsettled() > 0 {
        world.feed(now, &mut commands);
        commands.drain(..).for_each(|command| world.carry_out(now, command));
        let event = world.heap.peek().map(|&Reverse((time, _))| time);
        now = event.into_iter().chain(world.engine.next_wake()).min().unwrap().max(now);
        let due = event.filter(|at| *at <= now).and_then(|_| world.heap.pop());
        let event = due.map_or(Event::Tick, |Reverse((_, id))| world.events.remove(&id).unwrap());
        if matches!(event, Event::CheckpointDurable(_)) && world.durable.is_settled(next - 1) {
            world.input.extend(chunks.next());
            next += 1;
        }
        world.engine.handle(now, event, &mut commands);
    }
    now
}

#[test]
fn input_that_waits_for_room_does_not_wait_for_the_usual_checkpoint() {
    let (told, untold) = (one_by_one(true), one_by_one(false));
    // A round trip, and two checkpoints: one lets the object be sent, one says that it is settled.
    assert!(told <= millis(20) * (20 + 2 * 25), "{told:?}");
    assert!(untold > told * 2, "{untold:?} {told:?}");
}

#[test]
fn a_trickle_leaves_within_a_bounded_time() {
    for (order, aggregate) in
        [(Order::Key, None), (Order::None, None), (Order::Key, Some(1 << 20)), (Order::None, Some(1 << 20))]
    {
        for round_trip in [2, 20, 100].map(millis) {
            for every in [1, 7, 60].map(millis) {
                let config = EngineConfig { aggregate, ..config(order, SHARE) };
                let longest = longest_wait(config, every, round_trip);
                // A longer reach may have to become durable first; who sends one by one waits for an answer.
                let most = super::dispatch::GATHER_MAX.min(round_trip + millis(95)) + millis(25);
                assert!(longest <= most, "{order:?} {aggregate:?} {round_trip:?} {every:?}: {longest:?}");
            }
        }
    }
}

#[test]
fn an_aggregate_with_one_invalid_record_is_halved_until_that_stands_alone() {
    let bad = Ordinal::new(1, 17);
    let mut largest = 0;
    let mut service = |_: u64, records: &[Routed]| {
        largest = largest.max(records.len());
        if records.iter().any(|record| record.ordinal == bad) {
            return Err(failed(CallErrorClass::Invalid));
        }
        Ok(vec![Answer::Ack])
    };
    let map = shards(1);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let config = EngineConfig { aggregate: Some(1 << 20), ..config(Order::Key, SHARE) };
    let done = run(config, &map, &start, input(3, 100, 10, 300), millis(5), FOREVER, &mut service);
    assert_eq!(done.end, Some(End::Done));
    assert!(largest > 50, "{largest} records together");
    assert_eq!((done.stats.totals.delivered, done.stats.totals.quarantined), (299, 1));
    assert!(done.stats.totals.entries_acked < 20, "{:?}", done.stats.totals);
}

#[test]
fn a_stream_that_begins_to_distribute_records_itself_ends_a_run_that_keeps_an_order() {
    let ends = |order, aggregate| {
        let map = shards(2);
        let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
        let config = EngineConfig { aggregate, ..config(order, SHARE) };
        let mut engine = Engine::new(config, &map, &start, Duration::ZERO);
        let mut commands = Vec::new();
        engine.handle(millis(1), Event::Input(input(1, 10, 10, 100).remove(0)), &mut commands);
        let state = Some(StreamState { updating: false, ignores_keys: true });
        engine.handle(millis(2), Event::Shards { map: Some(map), state }, &mut commands);
        engine.room() == 0
    };
    assert!(ends(Order::Key, None) && ends(Order::None, Some(1 << 20)));
    assert!(!ends(Order::None, None));
}

/// How many requests each of `count` lanes gets off when none is ever answered: the first lanes have their records
/// before the others have any. With the engine, and the entries of each request.
fn unanswered(count: u128) -> (Engine, Vec<u32>, Vec<(RequestId, usize)>) {
    let map = shards(count);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let mut engine = Engine::new(config(Order::Key, UNLIMITED), &map, &start, Duration::ZERO);
    let mut chunk = input(1, 120 * u32::try_from(count).unwrap(), 1 << 24, 100).remove(0);
    let end = chunk.end;
    let (early, late): (Vec<_>, Vec<_>) = std::mem::take(&mut chunk.records)
        .into_iter()
        .partition(|record| record.hash < HashKey(u128::MAX / 4 * 3));
    let (mut commands, mut by_lane) = (Vec::new(), vec![0; map.shards().len()]);
    let (mut now, mut requests) = (Duration::ZERO, Vec::new());
    let size = 4 * map.shards().len();
    for records in early.chunks(size).chain(late.chunks(size)) {
        let mut records = records.to_vec();
        // The order of ordinals does not matter here, only that each lane has its own ascending.
        records.sort_unstable_by_key(|record| record.ordinal);
        let chunk = RoutedChunk { records, set_aside: Vec::new(), end, filtered: 0 };
        engine.handle(now, Event::Input(chunk), &mut commands);
        for _ in 0..40 {
            now += millis(10);
            engine.handle(now, Event::Tick, &mut commands);
            while let Some(command) = commands.pop() {
                match command {
                    Command::Put { request, records } => {
                        by_lane[map.shard_of(records.records()[0].hash)] += 1;
                        requests.push((request, records.entry_count()));
                        engine.handle(now, Event::Departed(request), &mut commands);
                    }
                    Command::Checkpoint(checkpoint) => {
                        engine.handle(now, Event::CheckpointDurable(checkpoint.sequence), &mut commands);
                    }
                    _ => {}
                }
            }
        }
    }
    (engine, by_lane, requests)
}

#[test]
fn what_is_lent_comes_back_with_each_answer() {
    for count in [100, 170, 400] {
        let (mut engine, _, requests) = unanswered(count);
        let beyond = |engine: &Engine| {
            let share = engine.in_flight_share();
            engine.lanes.iter().map(|lane| lane.in_flight.saturating_sub(share) as usize).sum::<usize>()
        };
        assert!(engine.borrowed > 0 && engine.borrowed == beyond(&engine), "{count}: {}", engine.borrowed);
        for (number, &(request, entries)) in requests.iter().enumerate() {
            let now = Duration::from_secs(100) + millis(number as u64);
            let answer = Event::Answered(request, Ok(vec![Outcome::Throttled; entries]));
            engine.handle(now, answer, &mut Vec::new());
            assert_eq!(engine.borrowed, beyond(&engine), "{count} lanes, {request:?}");
        }
        let before = engine.borrowed;
        engine.share_out_anew();
        assert_eq!(engine.borrowed, before);
    }
}

#[test]
fn a_lane_waits_for_its_answer_only_if_it_could_send_before() {
    let slow = ShardRate { records: 100.0, bytes: 100_000.0 };
    let brake = |run_rate, turn, later| {
        let map = shards(1);
        let start = Checkpoint::start([HashKeyRange::ALL]);
        let config = EngineConfig { run_rate, ..config(Order::Relaxed, SHARE) };
        let mut engine = Engine::new(config, &map, &start, Duration::ZERO);
        let (mut commands, mut now) = (Vec::new(), Duration::ZERO);
        engine.handle(now, Event::Input(input(1, 5_000, 5_000, 300).remove(0)), &mut commands);
        while engine.lanes[0].in_flight == 0 {
            now += millis(5);
            let durable = commands.drain(..).find_map(|command| match command {
                Command::Checkpoint(checkpoint) => Some(Event::CheckpointDurable(checkpoint.sequence)),
                _ => None,
            });
            engine.handle(now, durable.unwrap_or(Event::Tick), &mut commands);
        }
        engine.handle(now, Event::Departed(RequestId(0)), &mut commands);
        engine.shards[0].turn = turn;
        engine.behind_an_answer(0, now + later)
    };
    let soon = Duration::from_secs(10);
    assert_eq!(brake(UNLIMITED, soon, Duration::ZERO), (Brake::RoundTrip, None));
    let (by_shard, until) = brake(UNLIMITED, millis(1), Duration::ZERO);
    assert!(by_shard == Brake::Shard && until.is_some(), "{by_shard:?}");
    assert_eq!(brake(UNLIMITED, millis(1), soon), (Brake::RoundTrip, None), "the answer is late");
    assert_eq!(brake(slow, millis(40), Duration::ZERO).0, Brake::RunRate);
}

#[test]
fn a_lane_whose_reach_has_all_that_had_come_waits_for_input() {
    let mut engine = Engine::new(
        config(Order::None, SHARE),
        &shards(1),
        &Checkpoint::start([HashKeyRange::ALL]),
        Duration::ZERO,
    );
    let lane = &mut engine.lanes[0];
    let chunk = input(1, 100, 100, 300).remove(0);
    for record in &chunk.records {
        let _ = lane.push(*record);
    }
    let mut waits_for = |allowance, input_ended| {
        let reach = lane.position(chunk.end, Some(allowance)).reach;
        lane.grant(reach, chunk.end);
        lane.beyond_reach(input_ended)
    };
    assert_eq!(waits_for(64, false), Brake::Checkpoint, "36 may not be sent yet");
    assert_eq!(waits_for(200, false), Brake::Input);
    assert_eq!(waits_for(200, true), Brake::Checkpoint, "no more will come");
}

#[test]
fn lanes_that_never_get_an_answer_leave_the_others_their_share() {
    for count in [8, 100, 170, 256, 400, 900] {
        let (_, by_lane, _) = unanswered(count);
        let (lanes, sum) = (by_lane.len(), by_lane.iter().sum::<u32>() as usize);
        let share = u32::try_from(REQUESTS / 2 / lanes).unwrap().clamp(1, 4);
        assert!(by_lane.iter().all(|requests| (share..=4).contains(requests)), "{count} lanes: {by_lane:?}");
        assert_eq!(sum, (4 * lanes).min(REQUESTS.max(lanes)), "{count} lanes");
    }
}

/// How long it takes to send all of `chunks` to one shard that takes everything.
fn lasted(config: EngineConfig, chunks: Vec<RoutedChunk>, round_trip: Duration) -> Duration {
    let map = shards(1);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let mut service = |_: u64, records: &[Routed]| Ok(vec![Answer::Ack; records.len()]);
    run(config, &map, &start, chunks, round_trip, FOREVER, &mut service).lasted
}

#[test]
fn an_order_that_sends_one_by_one_waits_for_answers_only() {
    for round_trip in [2, 20].map(millis) {
        let lasted = lasted(config(Order::Shard, SHARE), input(1, 100, 10, 300), round_trip);
        assert!(lasted < round_trip * 100 + millis(700), "{round_trip:?}: {lasted:?}");
    }
}

#[test]
fn without_a_limit_nobody_lingers() {
    let lasted = lasted(config(Order::Key, UNLIMITED), input(10, 10_000, 1 << 20, 300), millis(1));
    assert!(lasted < millis(1_000), "{lasted:?}");
}

#[test]
fn a_listed_shard_that_nobody_expected_has_the_stream_asked() {
    let map = shards(2);
    let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
    let mut engine = Engine::new(config(Order::Key, SHARE), &map, &start, Duration::ZERO);
    let (mut commands, mut asked, mut now) = (Vec::new(), None, Duration::ZERO);
    engine.handle(now, Event::Input(input(1, 12_000, 12_000, 300).remove(0)), &mut commands);
    let mut number = 0;
    while asked.is_none() && now < Duration::from_secs(30) {
        now += millis(5);
        engine.handle(now, Event::Tick, &mut commands);
        for command in std::mem::take(&mut commands) {
            match command {
                Command::Put { request, records } => {
                    // It comes from the first shard, whatever the hash says.
                    let mut ack = || {
                        number += 1;
                        let sequence_number = SequenceNumber::new(&number.to_string()).unwrap();
                        Outcome::Acked { shard: map.shards()[0].id.clone(), sequence_number }
                    };
                    let outcomes = (0..records.entry_count()).map(|_| ack()).collect();
                    engine.handle(now, Event::Departed(request), &mut commands);
                    engine.handle(now, Event::Answered(request, Ok(outcomes)), &mut commands);
                }
                Command::Checkpoint(checkpoint) => {
                    engine.handle(now, Event::CheckpointDurable(checkpoint.sequence), &mut commands);
                }
                Command::ListShards => asked = Some(now),
                _ => {}
            }
        }
    }
    assert!(asked.is_some_and(|at| at < Duration::from_secs(4)), "{asked:?}");
}

#[test]
fn a_hot_key_waits_for_answers_only() {
    for round_trip in [1, 20].map(millis) {
        let lasted = lasted(config(Order::Key, SHARE), input(1, 300, 1, 300), round_trip);
        assert!(lasted < round_trip * 300 + millis(400), "{round_trip:?}: {lasted:?}");
    }
}

#[test]
fn what_bounds_the_whole_run_is_shared_by_all_shards() {
    for (shards_count, records, order) in
        [(8, 500.0, Order::None), (16, 1_000.0, Order::Key), (64, 900.0, Order::Relaxed)]
    {
        let run_rate = ShardRate { records, ..UNLIMITED };
        let config = EngineConfig { run_rate, ..config(order, SHARE) };
        let map = shards(shards_count);
        let start = Checkpoint::start(map.shards().iter().map(|shard| shard.range));
        let until = Duration::from_secs(6);
        let outcomes =
            run(config, &map, &start, input(1, 30_000, 30_000, 200), millis(20), until, &mut always);
        let mut by_shard = vec![0; map.shards().len()];
        for record in &outcomes.stored {
            by_shard[map.shard_of(record.hash)] += 1;
        }
        let fair = outcomes.stored.len() / by_shard.len();
        assert!(by_shard.iter().all(|count| (fair / 2..=fair * 2).contains(count)), "{by_shard:?}");
        let used = f64::from(u32::try_from(outcomes.stored.len()).unwrap()) / (records * until.as_secs_f64());
        assert!((0.97..=1.02).contains(&used), "{used} of what the run may send");
    }
}
