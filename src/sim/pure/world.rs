//! What stands between engine and service: a network, a disk, and a process that can die.
//!
//! Everything that takes time is a happening on one heap. Commands, timers and events are late and overtake
//! each other as they do in a real runtime. A process that is killed takes its engine with it; what it has
//! put on the wire still arrives, and a checkpoint under way may or may not be whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use jiff::Timestamp;

use super::scenario::{Fed, Incident, Scenario};
use super::truth::Truth;
use crate::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use crate::record::{HashKey, HashKeyRange, Ordinal, PartitionKey, Payload};
use crate::route::Routed;
use crate::route::shard_map::ShardMap;
use crate::sim::fault::{CallFault, EntryFault};
use crate::sim::model::{NewStream, PutResult, Retention, Service, ServiceConfig};
use crate::sim::{SimTime, embedded};
use crate::stream::{CallError, CallErrorClass, Entry, Outcome, UnknownCause};
use crate::write::checkpoint::{Checkpoint, Totals};
use crate::write::rate::ShardRate;
use crate::write::{Command, End, Engine, EngineConfig, Event, RequestId, StopReason};

const STREAM: &str = "pure";
const UNBOUNDED: ShardRate = ShardRate { records: 1e9, bytes: 1e12 };
/// No world takes so many steps.
const STEPS_MAX: u64 = 3_000_000;
/// An ack is in a checkpoint that is begun within this and what the disk and a late timer add.
const CHECKPOINT_WITHIN: Duration = Duration::from_millis(151);
static ZEROS: [u8; 65_536] = [0; 65_536];

/// What one world has been through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) records: u64,
    pub(super) kills: u64,
    pub(super) stops: u64,
    pub(super) unknown: u64,
    pub(super) throttled: u64,
    pub(super) reshards: u64,
    pub(super) duplicates: u64,
    pub(super) lasted: Duration,
}

/// What comes to pass at some moment.
enum Happening {
    Incident(Incident),
    Start,
    Look,
    Apply { process: u32, request: RequestId, call: u64, records: Vec<Routed>, answer: Option<Answer> },
    Tell { process: u32, event: Event },
    List { process: u32, answered_at: Duration },
    Durable { process: u32, checkpoint: Box<Checkpoint> },
    Neighbour,
}

/// How the answer of an applied call comes.
#[derive(Clone, Copy)]
struct Answer {
    at: Duration,
    /// It lacks an entry.
    short: bool,
}

struct Process {
    id: u32,
    engine: Engine,
    fed: usize,
    input_ended: bool,
    feed_at: Duration,
    in_flight: BTreeMap<RequestId, Vec<Routed>>,
    /// Acks that no checkpoint knows of yet, and when the first of them came.
    acked: Vec<Ordinal>,
    acked_since: Option<Duration>,
    /// Acks that are in the checkpoint under way.
    noted: Vec<Ordinal>,
    under_way: Option<(Box<Checkpoint>, Duration)>,
    /// The engine's wish, and when the timer really comes.
    tick: Option<(Duration, Duration)>,
    disk_broken: bool,
}

/// One world.
pub(super) struct World {
    scenario: Scenario,
    archive: Vec<Fed>,
    now: Duration,
    heap: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    next_id: u64,
    dice: Rng,
    service: Service,
    process: Option<Process>,
    processes: u32,
    durable: Checkpoint,
    calls: u64,
    refuses_until: Duration,
    away_until: Duration,
    disk_stalls: bool,
    disk_breaks: bool,
    done: bool,
    truth: Truth,
    tally: Tally,
    /// Every command, if anybody wants to see them.
    trace: Option<Vec<String>>,
}

/// Lives through the world of `seed`. Gives what happened, or the first broken promise.
pub(super) fn run(seed: u64) -> Result<Tally, String> {
    let scenario = Scenario::draw(seed);
    let shown = scenario.to_string();
    let mut world = World::new(scenario, false);
    world.live().map_err(|broken| {
        format!(
            "{broken}\nseed {seed}, repeat it with\n  RESPOOL_SIM_SEED={seed} cargo test --lib sim::pure::tests::one_seed -- \
             --ignored --nocapture\n{shown}"
        )
    })
}

impl World {
    /// The world of `scenario`, at its beginning.
    pub(super) fn new(scenario: Scenario, traced: bool) -> Self {
        let archive = scenario.archive();
        let mut service = Service::new(ServiceConfig {
            started: Timestamp::UNIX_EPOCH,
            burst_rule: scenario.burst_rule,
            retention: Retention::Nothing,
            transition: Duration::ZERO,
        });
        service.create_stream(SimTime::START, STREAM, NewStream::with_shards(scenario.shards)).unwrap();
        let mut world = Self {
            truth: Truth::new(&scenario, &archive, rate(&scenario)),
            dice: Rng::with_seed(scenario.seed ^ 0x5eed),
            archive,
            now: Duration::ZERO,
            heap: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            next_id: 0,
            service,
            process: None,
            processes: 0,
            durable: Checkpoint::start([HashKeyRange::ALL]),
            calls: 0,
            refuses_until: Duration::ZERO,
            away_until: Duration::ZERO,
            disk_stalls: false,
            disk_breaks: false,
            done: false,
            tally: Tally::default(),
            trace: traced.then(Vec::new),
            scenario,
        };
        world.at(Duration::ZERO, Happening::Start);
        for (at, incident) in world.scenario.incidents.clone() {
            world.at(at, Happening::Incident(incident));
        }
        if world.scenario.neighbour > 0 {
            world.at(Duration::ZERO, Happening::Neighbour);
        }
        world
    }

    /// Until the run is done, or a promise is broken.
    pub(super) fn live(&mut self) -> Result<Tally, String> {
        let mut steps = 0;
        while !self.done && self.truth.broken.is_none() {
            self.step();
            steps += 1;
            if self.now > self.deadline() || steps > STEPS_MAX {
                let sentence = format!("the run does not end: {:?}, {steps} steps", self.now);
                self.truth.fail(sentence);
            }
        }
        self.tally.records = self.truth.record_count() as u64;
        self.tally.duplicates = self.truth.duplicates();
        self.tally.lasted = self.now;
        match self.truth.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(self.tally),
        }
    }

    /// Every command that was given.
    pub(super) fn trace(&self) -> &[String] {
        self.trace.as_deref().unwrap_or_default()
    }

    /// When the run must have come to its end: faults have an end, and work has a rate.
    fn deadline(&self) -> Duration {
        let calm = self.scenario.faults_end.max(self.refuses_until).max(self.away_until);
        let records = f64::from(self.scenario.records) * 4.0 + 1_000.0;
        let by_rate = records * (1.0 + f64::from(self.scenario.cost_max) / 1_000.0) / (900.0 * self.scenario.share);
        let round_trip = (self.scenario.latency.as_secs_f64() * 3.0 + 0.1) * f64::from(self.scenario.slow);
        calm + Duration::from_secs_f64(by_rate * 2.0 + records * round_trip + 300.0)
    }

    fn at(&mut self, time: Duration, happening: Happening) {
        self.happenings.insert(self.next_id, happening);
        self.heap.push(Reverse((time.max(self.now), self.next_id)));
        self.next_id += 1;
    }

    fn step(&mut self) {
        let next = self.heap.peek().map(|&Reverse((at, _))| at);
        let tick = self.process.as_ref().and_then(|process| process.tick).map(|(_, at)| at);
        match (next, tick) {
            (next, Some(tick)) if next.is_none_or(|next| tick < next) => {
                self.now = self.now.max(tick);
                self.tell(Event::Tick);
            }
            (Some(_), _) => {
                let Some(Reverse((at, id))) = self.heap.pop() else { return };
                self.now = self.now.max(at);
                if let Some(happening) = self.happenings.remove(&id) {
                    self.happen(happening);
                }
            }
            (None, _) => self.truth.fail("nothing will ever happen again".into()),
        }
    }

    fn is_alive(&self, id: u32) -> bool {
        self.process.as_ref().is_some_and(|process| process.id == id)
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Incident(incident) => self.incident(incident),
            Happening::Start => self.start(),
            Happening::Look => self.tell(Event::Tick),
            Happening::Apply { process, request, call, records, answer } => {
                let outcomes = self.apply(call, &records);
                if let Some(answer) = answer {
                    let mut outcomes = outcomes;
                    if answer.short {
                        outcomes.as_mut().map(Vec::pop).ok();
                    }
                    self.at(answer.at, Happening::Tell { process, event: Event::Answered(request, outcomes) });
                }
            }
            Happening::Tell { process, event } if self.is_alive(process) => self.tell(event),
            Happening::List { process, answered_at } => {
                let fails = self.now < self.scenario.faults_end && self.dice.u8(0..10) == 0;
                let map = (!fails).then(|| self.shard_map());
                self.at(answered_at, Happening::Tell { process, event: Event::Shards(map) });
            }
            Happening::Durable { process, checkpoint } if self.is_alive(process) => self.made_durable(checkpoint),
            Happening::Tell { .. } | Happening::Durable { .. } => {}
            Happening::Neighbour => self.neighbour(),
        }
    }

    fn start(&mut self) {
        let map = self.shard_map();
        self.truth.process_started();
        self.truth.check_claims(&self.durable);
        let config = EngineConfig {
            order: self.scenario.order,
            shard_rate: rate(&self.scenario),
            run_rate: UNBOUNDED,
            hash_places: true,
            window_records: self.scenario.window_records,
            seed: self.scenario.seed,
        };
        let engine = Engine::new(config, &map, &self.durable, self.now);
        let first = engine.restart_object();
        let fed = self.archive.partition_point(|fed| fed.object() < first);
        self.processes += 1;
        self.process = Some(Process {
            id: self.processes,
            engine,
            fed,
            input_ended: false,
            feed_at: self.now,
            in_flight: BTreeMap::new(),
            acked: Vec::new(),
            acked_since: None,
            noted: Vec::new(),
            under_way: None,
            tick: None,
            disk_broken: false,
        });
        self.tell(Event::Tick);
    }

    /// The engine hears of `event`, and what it wants is done.
    fn tell(&mut self, event: Event) {
        let Some(mut process) = self.process.take() else { return };
        if let Event::Answered(request, result) = &event {
            self.learn(&mut process, *request, result);
        }
        let mut commands = Vec::new();
        process.engine.handle(self.now, event, &mut commands);
        self.feed(&mut process, &mut commands);
        let mut ended = None;
        for command in commands {
            if let Some(trace) = &mut self.trace {
                trace.push(format!("{:?} {command:?}", self.now));
            }
            match command {
                Command::Ended(end) => ended = Some(end),
                command if ended.is_none() => self.carry_out(&mut process, command),
                command => self.truth.fail(format!("{command:?} after the end")),
            }
        }
        self.check_waits(&process);
        let wish = process.engine.next_wake();
        if wish != process.tick.map(|(wish, _)| wish) {
            process.tick = wish.map(|wish| (wish, wish.max(self.now) + self.late()));
        } else if let Some((wish, at)) = &mut process.tick {
            // The timer has come and the engine still wants it: that would never end.
            *at = (*at).max(self.now + if *wish <= self.now { Duration::from_micros(10) } else { Duration::ZERO });
        }
        match ended {
            Some(end) => self.ended(process, end),
            None => self.process = Some(process),
        }
    }

    fn late(&mut self) -> Duration {
        self.scenario.sloth.mul_f64(self.dice.f64())
    }

    /// What an answer means for the truth.
    fn learn(&mut self, process: &mut Process, request: RequestId, result: &Result<Vec<Outcome>, CallError>) {
        let Some(records) = process.in_flight.remove(&request) else { return };
        let unknown = match result {
            Ok(outcomes) if outcomes.len() == records.len() => {
                for (record, outcome) in records.iter().zip(outcomes) {
                    match outcome {
                        Outcome::Acked { .. } => process.acked.push(record.ordinal),
                        Outcome::Unknown { .. } => {
                            self.tally.unknown += 1;
                            self.truth.uncertain(record.ordinal);
                        }
                        Outcome::Throttled => self.tally.throttled += 1,
                        Outcome::Rejected { .. } => {}
                    }
                }
                false
            }
            Ok(_) => true,
            Err(error) => matches!(error.class, CallErrorClass::Unknown(_)),
        };
        if unknown {
            self.tally.unknown += records.len() as u64;
            records.iter().for_each(|record| self.truth.uncertain(record.ordinal));
        }
        if !process.acked.is_empty() {
            process.acked_since.get_or_insert(self.now);
        }
    }

    fn feed(&mut self, process: &mut Process, commands: &mut Vec<Command>) {
        while process.engine.room() > 0 && !process.input_ended && process.feed_at <= self.now {
            let event = match self.archive.get(process.fed) {
                None => {
                    process.input_ended = true;
                    Event::InputEnded
                }
                Some(fed) if self.durable.is_settled(fed.object()) => Event::ObjectSettledBefore(fed.object()),
                Some(Fed::Quarantined(object)) => Event::ObjectQuarantined(*object),
                Some(Fed::Chunk(chunk)) => Event::Input(chunk.clone()),
            };
            process.fed += 1;
            if let Event::ObjectSettledBefore(object) = event {
                process.fed = self.archive.partition_point(|fed| fed.object() <= object);
            }
            process.engine.handle(self.now, event, commands);
            if self.dice.u8(0..4) == 0 {
                process.feed_at = self.now + Duration::from_millis(self.dice.u64(0..60));
                self.at(process.feed_at, Happening::Look);
            }
        }
    }

    fn carry_out(&mut self, process: &mut Process, command: Command) {
        match command {
            Command::Put { request, records } => self.put(process, request, records),
            Command::ListShards => {
                let half = self.scenario.latency / 2 + self.late();
                let answered_at = self.now + half * 2;
                self.at(self.now + half, Happening::List { process: process.id, answered_at });
            }
            Command::SetAside(set_aside) => self.truth.set_aside(&set_aside),
            Command::ObjectSettled(object, ledger) => self.truth.object_settled(object, ledger),
            Command::Checkpoint(checkpoint) => {
                process.noted.append(&mut process.acked);
                process.acked_since = None;
                process.under_way = Some((checkpoint.clone(), self.now));
                let mut takes = self.scenario.disk.mul_f64(self.dice.f64());
                if std::mem::take(&mut self.disk_stalls) {
                    takes += Duration::from_secs(2);
                }
                if std::mem::take(&mut self.disk_breaks) {
                    process.disk_broken = true;
                    let event = Event::CheckpointFailed("the disk is full".into());
                    return self.at(self.now + takes, Happening::Tell { process: process.id, event });
                }
                self.at(self.now + takes, Happening::Durable { process: process.id, checkpoint });
            }
            Command::Ended(_) => {}
        }
    }

    fn made_durable(&mut self, checkpoint: Box<Checkpoint>) {
        let Some(process) = &mut self.process else { return };
        process.noted.clear();
        process.under_way = None;
        let (id, sequence) = (process.id, checkpoint.sequence);
        if self.dice.u8(0..8) == 0 {
            self.truth.check_claims(&checkpoint);
        }
        self.durable = *checkpoint;
        let event = Event::CheckpointDurable(sequence);
        self.at(self.now, Happening::Tell { process: id, event });
    }

    fn put(&mut self, process: &mut Process, request: RequestId, records: Vec<Routed>) {
        if let Some((_, since)) = &process.under_way
            && self.now.saturating_sub(*since) > Duration::from_millis(1_001)
        {
            self.truth.fail(format!("something is sent while a checkpoint is under way since {since:?}"));
        }
        let shard = process.engine.shard_of_lane(records[0].hash).clone();
        if !records.iter().all(|record| *process.engine.shard_of_lane(record.hash) == shard) {
            self.truth.fail("a request goes to two shards".into());
        }
        self.truth.sent(self.now, &shard, &records, process.in_flight.values().flatten(), &self.durable);
        process.in_flight.insert(request, records.clone());
        let departs = self.now + self.late();
        self.at(departs, Happening::Tell { process: process.id, event: Event::Departed(request) });
        let call = self.calls;
        self.calls += 1;
        let slow = if records[0].hash < HashKey(u128::MAX / 4) { self.scenario.slow } else { 1 };
        let travels = self.scenario.latency.mul_f64(self.dice.f64() + 0.5) * slow;
        let (arrives, answered) = (departs + travels / 2, departs + travels);
        let fault = if self.now < self.scenario.faults_end { self.scenario.faults.call(call) } else { None };
        let id = process.id;
        let fail = |class| Happening::Tell { process: id, event: Event::Answered(request, Err(failed(class))) };
        let timeout = CallErrorClass::Unknown(UnknownCause::Timeout);
        let broken = CallErrorClass::Unknown(UnknownCause::Connection);
        let apply = |answer| Happening::Apply { process: id, request, call, records: records.clone(), answer };
        if self.now < self.refuses_until {
            return self.at(answered, fail(CallErrorClass::Denied));
        }
        if self.now < self.away_until {
            return self.at(answered, fail(CallErrorClass::Unreachable));
        }
        if records.iter().any(|record| self.scenario.is_bad(record)) {
            return self.at(answered, fail(CallErrorClass::Invalid));
        }
        let whole = Answer { at: answered, short: false };
        match fault {
            None => self.at(arrives, apply(Some(whole))),
            Some(CallFault::Throttle) => self.at(answered, fail(CallErrorClass::Throttled)),
            Some(CallFault::Disconnect) if call % 2 == 0 => self.at(answered, fail(CallErrorClass::Unreachable)),
            Some(CallFault::Disconnect) => self.at(answered, fail(broken)),
            Some(CallFault::ServerError) => {
                self.at(answered, fail(CallErrorClass::Unknown(UnknownCause::ServerError)));
            }
            Some(CallFault::Expire) => self.at(answered, fail(CallErrorClass::Credentials)),
            Some(CallFault::LoseAnswer) => {
                self.at(arrives, apply(None));
                self.at(answered, fail(broken));
            }
            Some(CallFault::ApplyLate) => {
                let late = Duration::from_secs_f64(5.0 * self.scenario.faults.fraction(call));
                self.at(answered, fail(timeout));
                self.at(answered + late, apply(None));
            }
            Some(CallFault::Stall) => {
                let late = Duration::from_secs_f64(5.0 * self.scenario.faults.fraction(call));
                self.at(arrives, apply(Some(Answer { at: answered + late, short: false })));
            }
            Some(CallFault::Drip) => {
                self.at(arrives, apply(Some(Answer { at: answered + Duration::from_secs(1), short: false })));
            }
            Some(CallFault::Miscount) => self.at(arrives, apply(Some(Answer { at: answered, short: true }))),
        }
    }

    /// The service has the request.
    fn apply(&mut self, call: u64, records: &[Routed]) -> Result<Vec<Outcome>, CallError> {
        let faulty = self.now < self.scenario.faults_end;
        let mut outcomes = Vec::with_capacity(records.len());
        for (place, record) in records.iter().enumerate() {
            let fault = if faulty { self.scenario.faults.entry(call, place) } else { None };
            let unknown = |cause| Outcome::Unknown { cause };
            outcomes.push(match fault {
                Some(EntryFault::Throttle) => Outcome::Throttled,
                Some(EntryFault::Fail) => unknown(UnknownCause::InternalFailure),
                Some(EntryFault::FailStored) => {
                    self.store(record)?;
                    unknown(UnknownCause::InternalFailure)
                }
                Some(EntryFault::Garble) => {
                    self.store(record)?;
                    unknown(UnknownCause::BadAnswer)
                }
                None => self.store(record)?,
            });
        }
        Ok(outcomes)
    }

    fn store(&mut self, record: &Routed) -> Result<Outcome, CallError> {
        let now = SimTime::after(self.now);
        let result = self.service.put(now, STREAM, vec![entry(record)]);
        match result.map_err(|_| failed(CallErrorClass::Invalid))?.pop() {
            Some(PutResult::Stored { shard, sequence }) => {
                self.truth.stored(record);
                Ok(Outcome::Acked { shard, sequence_number: sequence.into() })
            }
            _ => Ok(Outcome::Throttled),
        }
    }

    fn incident(&mut self, incident: Incident) {
        match incident {
            Incident::Kill => self.kill(),
            Incident::Interrupt => self.tell(Event::Stop(StopReason::Interrupted)),
            Incident::Reshard => self.reshard(),
            Incident::Refuse => {
                self.refuses_until = self.now + Duration::from_millis(self.dice.u64(100..1_500));
            }
            Incident::Away => {
                let seconds = if self.dice.u8(0..10) == 0 { 5_000 } else { 20 };
                self.away_until = self.now + Duration::from_millis(self.dice.u64(100..seconds * 1_000));
            }
            Incident::BreakDisk => self.disk_breaks = true,
            Incident::StallDisk => self.disk_stalls = true,
        }
    }

    fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        self.tally.kills += 1;
        // A frame that was being written is whole, or torn and not there.
        if let Some((checkpoint, _)) = process.under_way.take()
            && !process.disk_broken
            && self.dice.bool()
        {
            self.durable = *checkpoint;
            process.noted.clear();
        }
        self.bury(&process);
    }

    fn ended(&mut self, process: Process, end: End) {
        if end == End::Done {
            let totals: Totals = *process.engine.totals();
            self.truth.check_claims(&self.durable);
            self.truth.check_done(&totals);
            if self.durable.totals != totals {
                self.truth.fail("the run is done before that is durable".into());
            }
            self.done = true;
            return;
        }
        self.tally.stops += 1;
        self.bury(&process);
    }

    /// What a process leaves behind, nobody knows.
    fn bury(&mut self, process: &Process) {
        let in_flight = process.in_flight.values().flatten().map(|record| record.ordinal);
        let lost = process.acked.iter().chain(&process.noted).copied();
        in_flight.chain(lost).for_each(|ordinal| self.truth.uncertain(ordinal));
        let pause = Duration::from_millis(self.dice.u64(1..400));
        self.at(self.now + pause, Happening::Start);
    }

    /// What must be true at any moment.
    fn check_waits(&mut self, process: &Process) {
        let unsettled = process.engine.unsettled();
        // A chunk is taken whole if there is room for one record.
        if unsettled > self.scenario.window_records + 400 {
            self.truth.fail(format!("{unsettled} records wait or are in flight"));
        }
        let slack = self.scenario.sloth + self.scenario.disk;
        let late = |since: &Duration| self.now.saturating_sub(*since) > CHECKPOINT_WITHIN + slack;
        if process.acked_since.as_ref().is_some_and(late) && process.under_way.is_none() && !process.disk_broken {
            self.truth.fail(format!("acks since {:?} are in no checkpoint at {:?}", process.acked_since, self.now));
        }
    }

    fn shard_map(&mut self) -> ShardMap {
        let stream = self.service.stream(SimTime::after(self.now), STREAM).unwrap();
        let shards = stream.open_shards().map(|shard| embedded::shard_description(stream, shard));
        ShardMap::new(shards.collect()).unwrap()
    }

    fn reshard(&mut self) {
        let now = SimTime::after(self.now);
        let stream = self.service.stream(now, STREAM).unwrap();
        let open: Vec<_> = stream.open_shards().map(|shard| (shard.id.to_string(), shard.range)).collect();
        let at = self.dice.usize(0..open.len());
        let (id, range) = &open[at];
        let changed = match self.dice.u8(0..4) {
            0 | 1 if open.len() < 16 => {
                let middle = range.first.0 + (range.last.0 - range.first.0) / 2;
                self.service.split_shard(now, STREAM, id, HashKey(middle))
            }
            2 if at + 1 < open.len() => self.service.merge_shards(now, STREAM, id, &open[at + 1].0),
            _ => {
                let target = if self.dice.bool() { open.len() * 2 } else { open.len().div_ceil(2) };
                self.service.update_shard_count(now, STREAM, target.min(16) as u32).map(drop)
            }
        };
        self.tally.reshards += u64::from(changed.is_ok());
    }

    fn neighbour(&mut self) {
        let now = SimTime::after(self.now);
        let firsts: Vec<HashKey> = {
            let stream = self.service.stream(now, STREAM).unwrap();
            stream.open_shards().map(|shard| shard.range.first).collect()
        };
        for hash in firsts {
            let entry = entry(&Routed { ordinal: Ordinal::START, hash, cost: 100 });
            let _ = self.service.put(now, STREAM, vec![entry; self.scenario.neighbour as usize / 10]);
        }
        if self.now < self.scenario.faults_end {
            self.at(self.now + Duration::from_millis(100), Happening::Neighbour);
        }
    }
}

fn rate(scenario: &Scenario) -> ShardRate {
    ShardRate {
        records: scenario.share * f64::from(SHARD_RECORDS_PER_SECOND),
        bytes: scenario.share * f64::from(SHARD_BYTES_PER_SECOND),
    }
}

/// A record on the wire: only its size and its place count.
fn entry(record: &Routed) -> Entry {
    let bytes = (record.cost as usize - 1).min(ZEROS.len());
    Entry {
        data: Payload(Bytes::from_static(&ZEROS[..bytes])),
        key: PartitionKey::new("k").unwrap(),
        explicit_hash_key: Some(record.hash),
    }
}

fn failed(class: CallErrorClass) -> CallError {
    CallError { class, message: "no".into() }
}
