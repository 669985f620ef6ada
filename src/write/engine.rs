//! The engine: what arrives, what is known, what to do next.
//!
//! [`Engine::handle`] takes one event and appends the commands that follow from it. The way of a record:
//! `Event::Input` puts it into its lane; a dispatch (see `dispatch.rs`) takes it into a
//! `Command::Put`; `Event::Answered` settles it or gives it back to its lane. Progress leaves as
//! `Command::Checkpoint`, preceded by everything that must be durable before it.
//!
//! What it promises: no record is dropped without a `SetAside`, no position passes a record that is not
//! settled, and no record is sent that the last durable checkpoint does not reach to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::FixedState;

use super::aggregate::Packed;
use super::allowance::Allowance;
use super::checkpoint::{Checkpoint, LanePosition, ObjectLedger, ShardLedger, Totals};
use super::dispatch::BURST_START;
use super::lane::{Lane, Order, Pushed};
use super::mutant::{Mutant, on};
use super::objects::{Objects, Settled};
use super::order::Discipline;
use super::progress::Progress;
use super::rate::{Load, RateControl, ShardRate};
use super::reshard::Reshard;
use super::stats::LaneTimes;
use super::stray::Stray;
use super::turns::Turns;
use crate::record::{HashKey, Ordinal, SequenceNumber, ShardId};
use crate::route::shard_map::ShardMap;
use crate::route::{RoutedChunk, SetAside};
use crate::stream::{CallError, Outcome, ShardDescription};

/// Objects of which only some records are settled; more are not read in, so that a checkpoint stays small.
const OPEN_OBJECTS_MAX: usize = 4_096;
/// How long a stop waits for requests in flight.
pub(super) const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// What the engine is told once.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// Which records may pass which.
    pub order: Order,
    /// The stream's limit for a record, in bytes, if records are packed into aggregates.
    pub aggregate: Option<usize>,
    /// Whether the stream's shards are changing just now.
    pub updating: bool,
    /// What each shard may be sent.
    pub shard_rate: ShardRate,
    /// What the whole run may send.
    pub run_rate: ShardRate,
    /// Whether a record's hash decides on its shard. A stream that distributes records itself ignores it.
    pub hash_places: bool,
    /// Records that may wait or be in flight.
    pub window_records: usize,
    /// Requests that all lanes together may have in flight at most.
    pub requests_max: usize,
    /// For the jitter of pauses; the same seed and events give the same commands.
    pub seed: u64,
}

impl EngineConfig {
    pub(super) fn discipline(&self) -> Discipline {
        Discipline { order: self.order, aggregate: self.aggregate }
    }
}

/// What a stream says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamState {
    /// Its shards are changing just now.
    pub updating: bool,
    /// It distributes records itself, whatever their keys.
    pub ignores_keys: bool,
}

/// Names one PutRecords call of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What the engine is told as it happens.
#[derive(Debug)]
pub enum Event {
    /// Records were routed, in the order of their ordinals.
    Input(RoutedChunk),
    /// This object has nothing to send: a former process settled it.
    ObjectSettledBefore(u32),
    /// This object was set aside whole.
    ObjectQuarantined(u32),
    /// There is no more input.
    InputEnded,
    /// Whether more input comes only when what there is has been settled, durably.
    InputWaits(bool),
    /// The request has left.
    Departed(RequestId),
    /// The request has ended.
    Answered(RequestId, Result<Vec<Outcome>, CallError>),
    /// The stream's open shards, as asked for.
    Shards {
        /// `None` if they could not be had.
        map: Option<ShardMap>,
        /// What the stream says of itself; `None` if it could not be asked.
        state: Option<StreamState>,
    },
    /// The checkpoint with this sequence is durable.
    CheckpointDurable(u64),
    /// No checkpoint can be made durable any more.
    CheckpointFailed(String),
    /// Come to an end: finish what is in flight, then a last checkpoint.
    Stop(StopReason),
    /// Time has passed.
    Tick,
}

/// What the engine wants done.
#[derive(Debug)]
pub enum Command {
    /// Send these records in one call.
    Put {
        /// To be named in the events about it.
        request: RequestId,
        /// The records, each once, and which of them share an entry.
        records: Arc<Packed>,
    },
    /// Ask for the stream's open shards.
    ListShards,
    /// Write these into the quarantine before the next checkpoint.
    SetAside(Vec<SetAside>),
    /// Every record of this object is settled: note it before the next checkpoint, then its segment is
    /// not needed any more.
    ObjectSettled(u32, ObjectLedger),
    /// What was left of this object is set aside: note what became of the rest before the next checkpoint,
    /// then its segment is not needed any more.
    ObjectSetAside(u32, ObjectLedger),
    /// Make this durable, then say so.
    Checkpoint(Box<Checkpoint>),
    /// All is said.
    Ended(End),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Everything is settled.
    Done,
    /// Something is left; a resume goes on.
    Stopped(StopReason),
}

/// Why a run stops early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The user said so.
    Interrupted,
    /// A right of IAM is missing.
    Forbidden(String),
    /// The service says that it will never work: no such stream, a key that cannot be used.
    Refused(String),
    /// The service could not be had for too long.
    ServiceAway(String),
    /// Our own side cannot go on: disk, archive.
    Failed(String),
    /// What was counted contradicts itself: a defect of ours.
    Contradiction(String),
}

pub(super) struct Shard {
    pub(super) id: ShardId,
    pub(super) rate: RateControl,
    /// From a request's departure to its answer …
    pub(super) round_trip: Duration,
    /// … and from the decision to send it, so with what it waited for a core.
    pub(super) turn: Duration,
    pub(super) acked: (u64, u64),
    /// The same as the shard counts it: entries and their bytes.
    pub(super) taken: Load,
    pub(super) sent: u64,
    pub(super) throttled: u64,
    /// What the lanes waited for that have left it.
    pub(super) left: LaneTimes,
}

pub(super) struct Request {
    pub(super) lane: usize,
    pub(super) records: Arc<Packed>,
    /// Entries of it that were stored, but perhaps not so that a consumer takes them.
    pub(super) strays: Vec<Stray>,
    /// Index of the shard that has paid for it.
    pub(super) shard: usize,
    pub(super) paid_at: Duration,
    /// When it left, once it has.
    pub(super) departed_at: Option<Duration>,
    /// The highest numbers acked on the lane before the request left.
    pub(super) floor: BTreeMap<ShardId, SequenceNumber>,
}

impl Shard {
    /// A shard that nothing was sent to yet.
    pub(super) fn new(shard: &ShardDescription, limit: ShardRate, now: Duration) -> Self {
        Self {
            id: shard.id.clone(),
            rate: RateControl::new(limit, BURST_START, now),
            round_trip: Duration::ZERO,
            turn: Duration::ZERO,
            acked: (0, 0),
            taken: Load::default(),
            sent: 0,
            throttled: 0,
            left: LaneTimes::default(),
        }
    }
}

/// The state machine.
pub struct Engine {
    pub(super) config: EngineConfig,
    pub(super) shards: Vec<Shard>,
    pub(super) lanes: Vec<Lane>,
    pub(super) times: Vec<LaneTimes>,
    pub(super) run_rate: RateControl,
    pub(super) requests: BTreeMap<RequestId, Request>,
    pub(super) next_request: u64,
    pub(super) allowance: Allowance,
    /// Requests in flight beyond their lanes' shares.
    pub(super) borrowed: usize,
    /// When which lane wants to be looked at. The count in the middle makes equals take turns.
    pub(super) agenda: BTreeSet<(Duration, u64, usize)>,
    pub(super) due: Vec<Option<(Duration, u64)>>,
    pub(super) turn: u64,
    pub(super) turns: Turns,
    pub(super) frontier: Ordinal,
    pub(super) inherited_frontier: Ordinal,
    pub(super) objects: Objects,
    pub(super) totals: Totals,
    pub(super) ledger: HashMap<ShardId, ShardLedger, FixedState>,
    pub(super) reshard: Reshard,
    pub(super) unsettled: usize,
    pub(super) input_ended: bool,
    pub(super) input_waits: bool,
    pub(super) stop: Option<(StopReason, Duration)>,
    pub(super) progress: Progress,
    pub(super) away_since: Option<Duration>,
    pub(super) random: u64,
}

impl Engine {
    /// An engine that goes on from `checkpoint` (or from [`Checkpoint::start`]) on the shards of `map`.
    /// The checkpoint is durable already.
    pub fn new(config: EngineConfig, map: &ShardMap, checkpoint: &Checkpoint, now: Duration) -> Self {
        let ranges: Vec<_> = map.shards().iter().map(|shard| shard.range).collect();
        let inherited = checkpoint.cut(&ranges);
        let lane = |position: LanePosition| {
            let shard = map.shard_of(position.range.first);
            Lane::new(position, shard, config.discipline())
        };
        let mut lanes: Vec<Lane> = inherited.lanes.into_iter().map(lane).collect();
        lanes.sort_by_key(|lane| lane.range.first);
        let restart_at = Ordinal::new(checkpoint.restart_at().object(), 0);
        Self {
            shards: map.shards().iter().map(|shard| Shard::new(shard, config.shard_rate, now)).collect(),
            times: vec![LaneTimes::default(); lanes.len()],
            due: vec![None; lanes.len()],
            lanes,
            run_rate: RateControl::new(config.run_rate, BURST_START, now),
            requests: BTreeMap::new(),
            next_request: 0,
            allowance: Allowance::new(config.requests_max),
            borrowed: 0,
            agenda: BTreeSet::new(),
            turn: 0,
            turns: Turns::default(),
            frontier: restart_at,
            inherited_frontier: checkpoint.frontier,
            objects: Objects::new(checkpoint),
            totals: checkpoint.totals,
            ledger: checkpoint.shards.clone().into_iter().collect(),
            reshard: Reshard::new(map, config.updating, now),
            unsettled: 0,
            input_ended: false,
            input_waits: false,
            stop: None,
            progress: Progress::new(checkpoint.sequence),
            away_since: None,
            random: config.seed,
            config,
        }
    }

    /// The first object that the input has to bring.
    pub fn restart_object(&self) -> u32 {
        self.frontier.object()
    }

    /// How many requests may be under way now; lanes that are more than these wait for each other.
    pub const fn requests_allowed(&self) -> usize {
        self.allowance.requests()
    }

    /// How many more records may be brought now.
    pub fn room(&self) -> usize {
        if self.stop.is_some() {
            return 0;
        }
        // While nothing waits to be settled, only input can move the run on.
        if self.objects.fed_count() > OPEN_OBJECTS_MAX && self.unsettled > 0 {
            return 0;
        }
        self.config.window_records.saturating_sub(self.unsettled)
    }

    /// What was counted over all processes of the run.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The shard that records of this hash are sent to.
    #[cfg(test)]
    pub(crate) fn shard_of_lane(&self, hash: HashKey) -> &ShardId {
        &self.shards[self.lanes[self.lane_of(hash)].shard].id
    }

    /// Records that wait or are in flight.
    pub(crate) const fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Takes one event at `now` and appends what follows from it. Time must not run backwards.
    pub fn handle(&mut self, now: Duration, event: Event, commands: &mut Vec<Command>) {
        match event {
            Event::Input(chunk) => self.input(chunk, now, commands),
            Event::ObjectSettledBefore(object) => self.frontier = Ordinal::new(object + 1, 0),
            Event::ObjectQuarantined(object) => self.object_quarantined(object, commands),
            Event::InputEnded => {
                self.input_ended = true;
                self.schedule_all(now);
            }
            Event::InputWaits(waits) => {
                self.input_waits = waits;
                if waits {
                    self.schedule_lingering(now);
                }
            }
            Event::Departed(request) => self.departed(request, now),
            Event::Answered(request, result) => self.answered(request, result, now, commands),
            Event::Shards { map, state } => self.shards_listed(map, state, now, commands),
            Event::CheckpointDurable(sequence) => self.checkpoint_durable(sequence, now),
            Event::CheckpointFailed(message) => self.checkpoint_failed(message, now),
            Event::Stop(reason) => self.stop_for(reason, now),
            Event::Tick => {}
        }
        if let Some(sentence) = self.objects.take_contradiction() {
            self.stop_for(StopReason::Contradiction(sentence), now);
        }
        self.drive(now, commands);
    }

    fn input(&mut self, chunk: RoutedChunk, now: Duration, commands: &mut Vec<Command>) {
        for record in chunk.records {
            self.objects.routed(record.ordinal.object());
            let lane = self.lane_of(record.hash);
            match self.lanes[lane].push(record) {
                Pushed::Settled => {
                    self.objects.settled_before(record.ordinal.object());
                    continue;
                }
                Pushed::Waits => {}
                Pushed::WaitsInDoubt => {
                    let counted = u64::from(!on(Mutant::EarlierProcessTrusted));
                    self.totals.possible_duplicates.earlier_process += counted;
                    // Of the request that it was in, only a later part may be stored.
                    self.totals.possible_inversions += u64::from(self.config.discipline().lets_pass());
                    self.send_only_once_counted(lane);
                }
            }
            self.unsettled += 1;
            if self.due[lane].is_none() || self.lanes[lane].has_enough() {
                self.schedule(lane, now);
            }
        }
        let mut set_aside = chunk.set_aside;
        set_aside.retain(|aside| {
            let object = aside.ordinal.object();
            self.objects.routed(object);
            let anew = aside.ordinal >= self.inherited_frontier;
            if !anew {
                self.objects.settled_before(object);
            }
            anew
        });
        self.note_set_aside(set_aside, commands);
        if chunk.filtered > 0 && chunk.end > self.inherited_frontier {
            self.totals.filtered += u64::from(chunk.filtered);
        }
        let (before, after) = (self.frontier.object(), chunk.end.object());
        self.objects.filtered(before, chunk.filtered, chunk.end > self.inherited_frontier);
        self.frontier = self.frontier.max(chunk.end);
        for settled in self.objects.complete(before, after) {
            self.object_settled(settled, commands);
        }
        self.progress.changed();
    }

    fn lane_of(&self, hash: HashKey) -> usize {
        self.lanes.partition_point(|lane| lane.range.last < hash)
    }

    /// The copy that may be stored has to be counted durably before the record is sent again: whatever
    /// stops this process, the count is never below what the stream holds.
    pub(super) fn send_only_once_counted(&mut self, lane: usize) {
        if !on(Mutant::SentBeforeCounted) {
            self.lanes[lane].counted_by = self.progress.next_sequence();
        }
        self.progress.wanted_at_once();
    }

    fn object_quarantined(&mut self, object: u32, commands: &mut Vec<Command>) {
        self.frontier = Ordinal::new(object + 1, 0);
        self.totals.objects_quarantined += 1;
        let ledger = self.objects.quarantined_whole(object);
        commands.push(Command::ObjectSetAside(object, ledger));
        self.progress.changed();
    }

    pub(super) fn object_settled(&mut self, (object, ledger): Settled, commands: &mut Vec<Command>) {
        self.totals.objects_settled += 1;
        commands.push(Command::ObjectSettled(object, ledger));
    }

    /// Counts records that were set aside and has them written, before their objects are said to be settled.
    pub(super) fn note_set_aside(&mut self, set_aside: Vec<SetAside>, commands: &mut Vec<Command>) {
        if set_aside.is_empty() {
            return;
        }
        self.totals.quarantined += set_aside.len() as u64;
        let objects = set_aside.iter().map(|aside| aside.ordinal.object());
        let settled: Vec<Settled> = objects.filter_map(|object| self.objects.quarantined(object)).collect();
        commands.push(Command::SetAside(set_aside));
        for settled in settled {
            self.object_settled(settled, commands);
        }
    }
}
