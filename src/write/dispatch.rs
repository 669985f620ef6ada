//! When a lane sends, and how much.
//!
//! A lane gathers almost a burst's worth of records before it sends; the rest of its bucket is there to
//! catch late timers. It sends less only when nothing more will come, or when it has lingered for a while: small
//! requests cost the CPU that the input needs. The last record of a batch may go on credit, so that large records
//! need not wait for a bucket that is full to the brim. Lanes stand on an agenda with the time at which
//! they want to be looked at, so an event costs the lanes that it concerns and no others.
//!
//! Progress is made durable on the side: at most one checkpoint is under way, the next follows when
//! something has changed and the interval has passed, or at once when a lane has nothing left that it is
//! permitted to send.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::aggregate::{Packed, Packing, Room, stow};
use super::checkpoint::Checkpoint;
use super::engine::{Command, End, Engine, Request, RequestId, StopReason};
use super::lane::Lane;
use super::mutant::{Mutant, on};
use super::stats::Brake;

/// A lane gathers records for this long …
const GATHER_MIN: Duration = Duration::from_millis(25);
/// … or so much of a round trip, divided by the requests that may be in flight, so that they carry the full rate with
/// room to spare …
const GATHER_PER_ROUND_TRIP: f64 = 1.2;
/// … but never longer than this: a record that may leave waits no longer for company, however little comes.
pub(super) const GATHER_MAX: Duration = Duration::from_millis(175);
/// For so long, at least, a lane that has less waits for more.
const LINGER: Duration = Duration::from_millis(50);
/// When this many records of a lane wait behind their keys, some key is hot: it gets on by one record per
/// request, so the lane sends sooner and less at a time …
pub(super) const HELD_MANY: usize = 8;
/// … after this long, or after the same part of a round trip.
const GATHER_HELD_MIN: Duration = Duration::from_millis(5);
/// A shard that is sent less than this part of its rate, because it throttles, is not what one wants to see.
pub(super) const SCALE_FULL: f64 = 0.95;
/// A bucket holds this much more than what is gathered: so late may a timer be, and nothing is lost.
pub(super) const SLACK: Duration = Duration::from_millis(25);
/// What a bucket holds as long as the round trip is not known: enough for long round trips, and less than the
/// tenth of a second that the strictest shard takes at once.
pub(super) const BURST_START: Duration = Duration::from_millis(95);
/// Aggregates are gathered for at least this long: then, at the default rate, one has what it is meant to have.
const GATHER_TOGETHER_MIN: Duration = Duration::from_micros(52_250);
/// Where only one request is in flight it carries a whole round trip's worth, up to this: more at once is
/// throttled by the strictest shards, and a throttled record can be passed.
const GATHER_ALONE_MAX: Duration = Duration::from_millis(70);
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
    durable: u64,
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

    fn is_late(&self, now: Duration) -> bool {
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

/// What a lane may do now.
enum Step {
    Send { packing: Packing, room: Room },
    Wait { until: Duration, brake: Brake },
    Sleep { brake: Brake },
}

impl Engine {
    /// When [`Event::Tick`](super::Event::Tick) is wanted next, if nothing else happens.
    pub fn next_wake(&self) -> Option<Duration> {
        let lanes = self.agenda.first().map(|&(due, ..)| due);
        let stop = self.stop.as_ref().map(|&(_, patience)| patience).filter(|_| !self.requests.is_empty());
        [lanes, self.checkpoint_due(), stop, self.list_shards_at()].into_iter().flatten().min()
    }

    /// When the next checkpoint may start. Where nothing is left to send and input waits for it, there is no use in waiting.
    fn checkpoint_due(&self) -> Option<Duration> {
        self.progress.due(self.input_waits && self.unsettled == 0)
    }

    /// Does whatever is due.
    pub(super) fn drive(&mut self, now: Duration, commands: &mut Vec<Command>) {
        while let Some(&(due, sent, lane)) = self.agenda.first() {
            if due > now {
                break;
            }
            self.agenda.remove(&(due, sent, lane));
            self.due[lane] = None;
            self.dispatch(lane, now, commands);
        }
        self.abandon_if_stopped(now);
        self.list_shards_if_due(now, commands);
        self.checkpoint_if_due(now, commands);
        self.end_if_over(commands);
    }

    /// The lane wants to be looked at, at `due`. Of several the one comes first that has not sent for the longest time: what they
    /// share, they take in turns.
    pub(super) fn schedule(&mut self, lane: usize, due: Duration) {
        if let Some((before, sent)) = self.due[lane] {
            self.agenda.remove(&(before, sent, lane));
        }
        let sent = self.lanes[lane].departed_at;
        self.due[lane] = Some((due, sent));
        self.agenda.insert((due, sent, lane));
    }

    pub(super) fn schedule_all(&mut self, now: Duration) {
        for lane in 0..self.lanes.len() {
            self.schedule(lane, now);
        }
    }

    /// The same for the lanes that wait for more records.
    pub(super) fn schedule_lingering(&mut self, now: Duration) {
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].lingers_since.is_some() {
                self.schedule(lane, now);
            }
        }
    }

    fn dispatch(&mut self, index: usize, now: Duration, commands: &mut Vec<Command>) {
        loop {
            match self.next_step(index, now) {
                Step::Send { packing, room } => {
                    let lane = &mut self.lanes[index];
                    let batch =
                        lane.take_suspects(packing, room).unwrap_or_else(|| lane.take_batch(packing, room));
                    self.send(index, batch, now, commands);
                }
                Step::Wait { until, brake } => {
                    self.times[index].wait_for(brake, now);
                    return self.schedule(index, until);
                }
                Step::Sleep { brake } => return self.times[index].wait_for(brake, now),
            }
        }
    }

    /// What keeps a lane from sending, whatever it has.
    fn held_up(&mut self, index: usize, now: Duration) -> Option<Step> {
        let in_flight_max = self.in_flight_max();
        let lane = &mut self.lanes[index];
        lane.enough = None;
        let brake = match () {
            () if self.stop.is_some() || !lane.has_work() => Brake::Input,
            // Its arrival wakes all lanes.
            () if self.progress.is_late(now) => Brake::Checkpoint,
            // The last answer wakes what the lane is cut into.
            () if lane.draining => Brake::Failure,
            () if lane.counted_by > self.progress.durable => Brake::Checkpoint,
            () if lane.in_flight >= in_flight_max => {
                lane.lingers_since.get_or_insert(now);
                return Some(match self.behind_an_answer(index, now) {
                    (brake, Some(until)) => Step::Wait { until, brake },
                    (brake, None) => Step::Sleep { brake },
                });
            }
            () if lane.paused_until > now => {
                return Some(Step::Wait { until: lane.paused_until, brake: Brake::Failure });
            }
            () => return None,
        };
        Some(Step::Sleep { brake })
    }

    fn next_step(&mut self, index: usize, now: Duration) -> Step {
        if let Some(step) = self.held_up(index, now) {
            return step;
        }
        let in_flight_share = self.in_flight_share();
        let lane = &mut self.lanes[index];
        let shard = &mut self.shards[lane.shard];
        let together = !self.reshard.is_restless();
        let packing = self.config.discipline().packing(together, shard.round_trip > GATHER_TOGETHER_MIN);
        let mut gathering = shard.rate.burst().saturating_sub(SLACK);
        let hot = lane.held_records() >= HELD_MANY;
        if hot {
            gathering = gathering.min(part_of(shard.round_trip, in_flight_share).max(GATHER_HELD_MIN));
        }
        let rate = &mut shard.rate;
        let goal = Room { shard: rate.worth_of(gathering), run: self.run_rate.worth_of(gathering) };
        let capacity = rate.capacity();
        let stowed = if let Some(suspects) = lane.suspects.front() {
            stow(packing, suspects.iter(), |before, _| !goal.is_filled_by(before))
        } else {
            if lane.look_ahead(packing, capacity) {
                self.progress.wanted_at_once();
            }
            stow(packing, lane.ready(), |before, _| !goal.is_filled_by(before))
        };
        let weight = stowed.weight;
        if weight.records < 1.0 {
            let brake = if lane.is_at_its_reach() { Brake::Checkpoint } else { Brake::Order };
            return Step::Sleep { brake };
        }
        let shard_at = rate.affordable_at(weight.for_shard().min(goal.shard), now);
        let run_at = self.run_rate.affordable_at(weight.for_run().min(goal.run), now);
        // In steps, so that those who wait for the same wait equally long, whatever the last digits say.
        let run_at = if run_at > now { up_to_the_millisecond(run_at) } else { run_at };
        if shard_at.max(run_at) > now && !on(Mutant::RateIgnored) {
            let brake = match () {
                () if run_at > shard_at => Brake::RunRate,
                // It takes less than it should.
                () if rate.scale() < SCALE_FULL => Brake::Failure,
                () => Brake::Shard,
            };
            return Step::Wait { until: shard_at.max(run_at), brake };
        }
        let nothing_comes =
            (self.input_ended || self.input_waits) && lane.is_looked_through() && lane.in_flight == 0;
        let full = stowed.full || goal.is_filled_by(weight) || !lane.suspects.is_empty();
        let since = *lane.lingers_since.get_or_insert(now);
        // Of a hot key the next record is ready with each answer.
        let linger = match () {
            () if hot && lane.in_flight == 0 => now,
            () if hot => lane.departed_at + gathering,
            () => (lane.departed_at + gathering).max(since + LINGER),
        };
        if !full && !nothing_comes && (hot || lane.may_grow()) && now < linger {
            let missing = whole(goal.shard.records - weight.for_shard().records).min(packing.records_max());
            return Step::Wait { until: linger, brake: lane.linger(missing) };
        }
        let room = Room { shard: rate.balance(now), run: self.run_rate.balance(now) };
        Step::Send { packing, room: room.at_least(weight) }
    }

    fn send(&mut self, index: usize, records: Packed, now: Duration, commands: &mut Vec<Command>) {
        let weight = records.weight();
        self.takes_place(index);
        let lane = &mut self.lanes[index];
        lane.departed_at = now;
        lane.lingers_since = None;
        lane.enough = None;
        let shard = &mut self.shards[lane.shard];
        shard.rate.pay(weight.for_shard(), now);
        shard.sent += records.entry_count() as u64;
        self.run_rate.pay(weight.for_run(), now);
        let paid_by = lane.shard;
        if on(Mutant::GoneWhenPaid) {
            self.gone(paid_by, weight, now);
        }
        self.totals.entries_sent += records.entry_count() as u64;
        let id = RequestId(self.next_request);
        self.next_request += 1;
        // Taken when it leaves.
        let floor = BTreeMap::new();
        let records = Arc::new(records);
        let sent = Arc::clone(&records);
        let (strays, shard) = (Vec::new(), paid_by);
        let request =
            Request { lane: index, shard, records: sent, strays, paid_at: now, departed_at: None, floor };
        self.requests.insert(id, request);
        commands.push(Command::Put { request: id, records });
    }

    /// Long round trips need larger bursts, or four requests could not carry the full rate.
    pub(super) fn measure_round_trip(&mut self, request: &Request, now: Duration) {
        let in_flight_share = self.in_flight_share();
        let shard = &mut self.shards[self.lanes[request.lane].shard];
        let Some(departed_at) = request.departed_at else { return };
        shard.round_trip = smooth(shard.round_trip, now.saturating_sub(departed_at));
        shard.turn = smooth(shard.turn, now.saturating_sub(request.paid_at));
        let together = self.config.aggregate.is_some();
        let shortest = if together { GATHER_TOGETHER_MIN } else { GATHER_MIN };
        // An aggregate alone is throttled whole or not at all, and so cannot be passed.
        let alone = in_flight_share == 1;
        let longest = if alone && !together { GATHER_ALONE_MAX } else { GATHER_MAX };
        // Who waits for a core may as well make more of each request, as long as the strictest shard takes it at once.
        let crowded = part_of(shard.turn, in_flight_share).min(GATHER_ALONE_MAX);
        let part = part_of(shard.round_trip, in_flight_share).max(crowded);
        let burst = part.clamp(shortest, longest) + SLACK;
        if burst.abs_diff(shard.rate.burst()) > shard.rate.burst() / if together { 10 } else { 5 } {
            shard.rate.set_burst(burst, now);
        }
    }

    fn checkpoint_if_due(&mut self, now: Duration, commands: &mut Vec<Command>) {
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
            self.lanes.iter_mut().zip(&checkpoint.lanes).for_each(|(lane, begun)| lane.grant(begun.reach));
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
            lane.grant(checkpoint.lanes[at].reach);
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
    fn abandon_if_stopped(&mut self, now: Duration) {
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

    fn end_if_over(&mut self, commands: &mut Vec<Command>) {
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

/// The mean of what was measured, the latest the most.
fn smooth(mean: Duration, sample: Duration) -> Duration {
    if mean.is_zero() { sample } else { (mean * 7 + sample) / 8 }
}

fn up_to_the_millisecond(time: Duration) -> Duration {
    let beyond = Duration::from_nanos((time.subsec_nanos() % 1_000_000).into());
    if beyond.is_zero() { time } else { time + Duration::from_millis(1) - beyond }
}

/// What is to be gathered so that so many requests in flight carry the full rate; one alone carries it just so.
fn part_of(round_trip: Duration, in_flight_max: u32) -> Duration {
    round_trip.mul_f64((GATHER_PER_ROUND_TRIP / f64::from(in_flight_max)).min(1.0))
}

/// Rounded up, at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before the cast")]
pub(super) fn whole(count: f64) -> usize {
    count.ceil().clamp(1.0, 1e9) as usize
}
