//! How far progress has been made durable.
//!
//! That is done on the side: at most one checkpoint is under way, the next follows when something has changed and the interval
//! has passed, or at once when a lane has nothing left that it is permitted to send.

use std::time::Duration;

use super::checkpoint::Checkpoint;
use super::dispatch::whole;
use super::engine::{Command, End, Engine, StopReason};
use super::lane::Lane;
use super::mutant::{Mutant, on};

/// Progress is made durable this often while there is any.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(150);
/// When a lane waits for a longer reach, this often.
const CHECKPOINT_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// A checkpoint that takes longer than this stops the sending.
const CHECKPOINT_PATIENCE: Duration = Duration::from_secs(1);
/// The reach covers what a lane can send in this time.
const REACH: Duration = Duration::from_millis(350);
/// No reach covers more records than this, whatever the rate.
const REACH_RECORDS_MAX: usize = 65_536;
/// Nor fewer, however slow.
const REACH_RECORDS_MIN: usize = 64;

/// How far progress has been made durable.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, not a state machine in disguise")]
pub(super) struct Progress {
    sequence: u64,
    pub(super) durable: u64,
    changed: bool,
    wanted_at_once: bool,
    under_way: Option<(Box<Checkpoint>, Duration)>,
    last: Option<Duration>,
    /// The store has failed: no progress can be claimed any more.
    broken: bool,
    ended: bool,
}

impl Progress {
    /// The checkpoint `sequence` is durable.
    pub(super) fn new(sequence: u64) -> Self {
        Self {
            sequence,
            durable: sequence,
            changed: false,
            wanted_at_once: false,
            under_way: None,
            last: None,
            broken: false,
            ended: false,
        }
    }

    /// Something has happened that the last checkpoint does not know.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// As [`changed`](Self::changed), and somebody waits for it.
    pub(super) fn wanted_at_once(&mut self) {
        self.changed = true;
        self.wanted_at_once = true;
    }

    /// The sequence of the checkpoint that will know of what happens now.
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence + 1
    }

    pub(super) fn is_late(&self, now: Duration) -> bool {
        self.under_way.as_ref().is_some_and(|&(_, since)| now.saturating_sub(since) > CHECKPOINT_PATIENCE)
    }

    /// When the next checkpoint may start; `None` while one is under way or nothing has changed. Soon, if `somebody_waits`.
    fn due(&self, somebody_waits: bool) -> Option<Duration> {
        if self.under_way.is_some() || self.broken || !self.changed {
            return None;
        }
        let interval =
            if self.wanted_at_once || somebody_waits { CHECKPOINT_INTERVAL_MIN } else { CHECKPOINT_INTERVAL };
        Some(self.last.map_or(Duration::ZERO, |last| last + interval))
    }
}

impl Engine {
    /// When the next checkpoint may start. Where nothing is left to send and input waits for it, there is no use in waiting.
    pub(super) fn checkpoint_due(&self) -> Option<Duration> {
        self.progress.due(self.input_waits && self.unsettled == 0)
    }

    pub(super) fn checkpoint_if_due(&mut self, now: Duration, commands: &mut Vec<Command>) {
        let Some(due) = self.checkpoint_due() else { return };
        if due > now && !self.is_quiet() {
            return;
        }
        self.progress.sequence += 1;
        self.progress.changed = false;
        self.progress.wanted_at_once = false;
        self.progress.last = Some(now);
        let checkpoint = Box::new(self.checkpoint());
        self.progress.under_way = Some((checkpoint.clone(), now));
        if on(Mutant::DurableWhenBegun) {
            self.lanes
                .iter_mut()
                .zip(&checkpoint.lanes)
                .for_each(|(lane, begun)| lane.grant(begun.reach, checkpoint.frontier));
        }
        commands.push(Command::Checkpoint(checkpoint));
    }

    fn checkpoint(&self) -> Checkpoint {
        let seconds = REACH.as_secs_f64();
        let by_records = whole(self.config.shard_rate.records * seconds);
        let by_bytes = self.config.shard_rate.bytes * seconds;
        let lane = |lane: &Lane| {
            let in_flight = lane.in_flight > 0 && !on(Mutant::StopForgetsInFlight);
            let may_send = self.stop.is_none() || in_flight;
            let together = self.config.aggregate.map(|_| lane.tail_records(by_bytes));
            let allowance = together.unwrap_or(by_records).clamp(REACH_RECORDS_MIN, REACH_RECORDS_MAX);
            lane.position(self.frontier, may_send.then_some(allowance))
        };
        let (settled_objects, open_objects) = self.objects.snapshot();
        Checkpoint {
            sequence: self.progress.sequence,
            frontier: self.frontier.max(self.inherited_frontier),
            lanes: self.lanes.iter().map(lane).collect(),
            settled_objects,
            open_objects,
            shards: self.ledger.iter().map(|(shard, ledger)| (shard.clone(), *ledger)).collect(),
            totals: self.totals,
        }
    }

    pub(super) fn checkpoint_durable(&mut self, sequence: u64, now: Duration) {
        let Some((checkpoint, _)) = self.progress.under_way.take_if(|(c, _)| c.sequence == sequence) else {
            return;
        };
        self.progress.durable = sequence;
        // Both stand in the order of their ranges; a lane may have been cut since.
        for lane in &mut self.lanes {
            let at = checkpoint.lanes.partition_point(|durable| durable.range.last < lane.range.first);
            lane.grant(checkpoint.lanes[at].reach, checkpoint.frontier);
        }
        for lane in 0..self.lanes.len() {
            let waits = self.due[lane].is_none() || self.lanes[lane].enough.is_some();
            if waits && self.lanes[lane].has_work() {
                self.schedule(lane, now);
            }
        }
    }

    /// Nothing more can be made durable: what is in flight is still answered, but progress ends here.
    pub(super) fn checkpoint_failed(&mut self, message: String, now: Duration) {
        self.progress.broken = true;
        self.progress.under_way = None;
        self.stop_for(StopReason::Failed(message), now);
    }

    /// After the patience of a stop, requests without an answer are left to the next process.
    pub(super) fn abandon_if_stopped(&mut self, now: Duration) {
        let at_once = on(Mutant::StopForgetsInFlight);
        if self.stop.as_ref().is_some_and(|&(_, patience)| now >= patience || at_once) {
            self.requests.clear();
        }
    }

    /// Whether nothing is left to do but to note it.
    fn is_quiet(&self) -> bool {
        let stopped = self.stop.is_some();
        (stopped || (self.input_ended && self.unsettled == 0)) && self.requests.is_empty()
    }

    pub(super) fn end_if_over(&mut self, commands: &mut Vec<Command>) {
        let progress = &mut self.progress;
        let noted = progress.broken || !(progress.changed || progress.under_way.is_some());
        if progress.ended || !noted || !self.is_quiet() {
            return;
        }
        self.progress.ended = true;
        commands.push(Command::Ended(match &self.stop {
            Some((reason, _)) => End::Stopped(reason.clone()),
            None => End::Done,
        }));
    }
}
