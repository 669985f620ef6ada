//! What stands between engine and service: a network, a disk, and a process that can die.
//!
//! Everything that takes time is a happening on one heap. Commands, timers and events are late and overtake
//! each other as they do in a real runtime. A process that is killed takes its engine with it; what it has
//! put on the wire still arrives, and a checkpoint under way may or may not be whole.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fastrand::Rng;
use jiff::Timestamp;

use super::scenario::{Fed, Incident, Scenario};
use super::truth::Truth;
use crate::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use crate::record::{HashKeyRange, Ordinal, ShardId};
use crate::sim::SimTime;
use crate::sim::model::{NewStream, Retention, Service, ServiceConfig};
use crate::stream::{CallError, CallErrorClass, Outcome};
use crate::write::checkpoint::Checkpoint;
use crate::write::rate::ShardRate;
use crate::write::{Command, Engine, Event, Packed, RequestId};

pub(super) const STREAM: &str = "pure";
/// No world takes so many steps.
const STEPS_MAX: u64 = 3_000_000;
/// An ack is in a checkpoint that is begun within this and what the disk and a late timer add.
const CHECKPOINT_WITHIN: Duration = Duration::from_millis(151);

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
    /// Records of aggregates that another shard took.
    pub(super) strays: u64,
    /// Records that a consumer drops with the aggregate they are in.
    pub(super) dropped: u64,
    pub(super) lasted: Duration,
}

/// What comes to pass at some moment.
pub(super) enum Happening {
    Incident(Incident),
    Start,
    Look,
    Apply { process: u32, request: RequestId, call: u64, records: Packed, answer: Option<Answer> },
    Tell { process: u32, event: Event },
    List { process: u32, answered_at: Duration },
    Durable { process: u32, checkpoint: Box<Checkpoint> },
    Neighbour,
}

/// How the answer of an applied call comes.
#[derive(Clone, Copy)]
pub(super) struct Answer {
    pub(super) at: Duration,
    /// It lacks an entry.
    pub(super) short: bool,
}

pub(super) struct Process {
    pub(super) id: u32,
    pub(super) engine: Engine,
    pub(super) fed: usize,
    pub(super) input_ended: bool,
    pub(super) feed_at: Duration,
    pub(super) in_flight: BTreeMap<RequestId, Packed>,
    /// Those of them that have not left yet, and the shards that have paid for them.
    pub(super) at_the_door: BTreeMap<RequestId, ShardId>,
    /// Acks that no checkpoint knows of yet, and when the first of them came.
    pub(super) acked: Vec<Ordinal>,
    pub(super) acked_since: Option<Duration>,
    /// Acks that are in the checkpoint under way.
    pub(super) noted: Vec<Ordinal>,
    pub(super) under_way: Option<(Box<Checkpoint>, Duration)>,
    /// The engine's wish, and when the timer really comes.
    pub(super) tick: Option<(Duration, Duration)>,
    pub(super) disk_broken: bool,
}

/// One world.
pub(super) struct World {
    pub(super) scenario: Scenario,
    pub(super) archive: Vec<Fed>,
    pub(super) now: Duration,
    pub(super) heap: BinaryHeap<Reverse<(Duration, u64)>>,
    pub(super) happenings: BTreeMap<u64, Happening>,
    pub(super) next_id: u64,
    pub(super) dice: Rng,
    pub(super) service: Service,
    pub(super) process: Option<Process>,
    pub(super) processes: u32,
    pub(super) durable: Checkpoint,
    pub(super) calls: u64,
    pub(super) refuses_until: Duration,
    pub(super) away_until: Duration,
    pub(super) disk_stalls: bool,
    pub(super) disk_breaks: bool,
    pub(super) done: bool,
    pub(super) truth: Truth,
    pub(super) tally: Tally,
    /// Every command, if anybody wants to see them.
    pub(super) trace: Option<Vec<String>>,
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
            transition: scenario.transition,
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
        // Until then the stream is being made.
        world.at(world.scenario.transition, Happening::Start);
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

    /// When the last record was stored that no slow shard is in the way of.
    pub(super) fn fast_until(&self) -> Duration {
        self.truth.fast_until
    }

    /// When the run must have come to its end: faults have an end, and work has a rate.
    fn deadline(&self) -> Duration {
        let calm = self.scenario.faults_end.max(self.refuses_until).max(self.away_until);
        let records = f64::from(self.scenario.records) * 4.0 + 1_000.0;
        let by_rate =
            records * (1.0 + f64::from(self.scenario.cost_max) / 1_000.0) / (900.0 * self.scenario.share);
        let latency = self.scenario.latency.as_secs_f64() * 3.0 + self.scenario.encode.as_secs_f64() + 0.1;
        let round_trip = latency * f64::from(self.scenario.slow);
        calm + Duration::from_secs_f64(by_rate * 2.0 + records * round_trip + 300.0)
    }

    pub(super) fn at(&mut self, time: Duration, happening: Happening) {
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
            Happening::Look => self.tell(Event::InputWaits(self.scenario.input_waits(self.now))),
            Happening::Apply { process, request, call, records, answer } => {
                let outcomes = self.apply(call, &records);
                if let Some(answer) = answer {
                    let mut outcomes = outcomes;
                    if answer.short {
                        outcomes.as_mut().map(Vec::pop).ok();
                    }
                    self.at(
                        answer.at,
                        Happening::Tell { process, event: Event::Answered(request, outcomes) },
                    );
                }
            }
            Happening::Tell { process, event } if self.is_alive(process) => self.tell(event),
            Happening::List { process, answered_at } => {
                let event = self.list();
                self.at(answered_at, Happening::Tell { process, event });
            }
            Happening::Durable { process, checkpoint } if self.is_alive(process) => {
                self.made_durable(checkpoint);
            }
            Happening::Tell { .. } | Happening::Durable { .. } => {}
            Happening::Neighbour => self.neighbour(),
        }
    }

    /// The engine hears of `event`, and what it wants is done.
    pub(super) fn tell(&mut self, event: Event) {
        let Some(mut process) = self.process.take() else { return };
        match &event {
            Event::Answered(request, result) => self.learn(&mut process, *request, result),
            Event::Departed(request) => {
                let shard = process.at_the_door.remove(request);
                if let Some((shard, records)) = shard.zip(process.in_flight.get(request)) {
                    self.truth.departed(self.now, &shard, records);
                }
            }
            _ => {}
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
            *at = (*at)
                .max(self.now + if *wish <= self.now { Duration::from_micros(10) } else { Duration::ZERO });
        }
        match ended {
            Some(end) => self.ended(&process, &end),
            None => self.process = Some(process),
        }
    }

    pub(super) fn late(&mut self) -> Duration {
        self.scenario.sloth.mul_f64(self.dice.f64())
    }

    /// What an answer means for the truth.
    fn learn(&mut self, process: &mut Process, request: RequestId, result: &Result<Vec<Outcome>, CallError>) {
        let Some(records) = process.in_flight.remove(&request) else { return };
        let unknown = match result {
            Ok(outcomes) if outcomes.len() == records.entry_count() => {
                let by_record = records.entries().zip(outcomes).flat_map(|((inside, _), outcome)| {
                    inside.iter().map(move |record| (record, outcome, inside.len() > 1))
                });
                for (record, outcome, shares) in by_record {
                    match outcome {
                        // Nobody may ever know whether a consumer takes it.
                        Outcome::Acked { shard, .. }
                            if shares && process.engine.shard_of_lane(record.hash) != shard =>
                        {
                            self.tally.strays += 1;
                            self.truth.uncertain(record.ordinal);
                        }
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
            self.tally.unknown += records.records().len() as u64;
            for record in records.records() {
                self.truth.uncertain(record.ordinal);
            }
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
                Some(fed) if self.durable.is_settled(fed.object()) => {
                    Event::ObjectSettledBefore(fed.object())
                }
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
            Command::Put { request, records } => self.put(process, request, &records),
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
            Command::ObjectSetAside(..) | Command::Ended(_) => {}
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

    /// What must be true at any moment.
    fn check_waits(&mut self, process: &Process) {
        let unsettled = process.engine.unsettled();
        // A chunk is taken whole if there is room for one record.
        if unsettled > self.scenario.window_records + 400 {
            self.truth.fail(format!("{unsettled} records wait or are in flight"));
        }
        let slack = self.scenario.sloth + self.scenario.disk;
        let late = |since: &Duration| self.now.saturating_sub(*since) > CHECKPOINT_WITHIN + slack;
        if process.acked_since.as_ref().is_some_and(late)
            && process.under_way.is_none()
            && !process.disk_broken
        {
            self.truth
                .fail(format!("acks since {:?} are in no checkpoint at {:?}", process.acked_since, self.now));
        }
    }
}

pub(super) fn rate(scenario: &Scenario) -> ShardRate {
    ShardRate {
        records: scenario.share * f64::from(SHARD_RECORDS_PER_SECOND),
        bytes: scenario.share * f64::from(SHARD_BYTES_PER_SECOND),
    }
}
