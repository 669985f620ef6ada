//! When a lane sends, and how much.
//!
//! A lane gathers almost a burst's worth of records before it sends; the rest of its bucket is there to
//! catch late timers. It sends less only when nothing more will come, or when it has lingered for a while: small
//! requests cost the CPU that the input needs. The last record of a batch may go on credit, so that large records
//! need not wait for a bucket that is full to the brim. Lanes stand on an agenda with the time at which
//! they want to be looked at, so an event costs the lanes that it concerns and no others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::aggregate::{Packed, Packing, Room, Weight, stow};
use super::engine::{Command, Engine, Request, RequestId};
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

/// What a lane may do now.
enum Step {
    Send {
        packing: Packing,
        room: Room,
    },
    Wait {
        until: Duration,
        brake: Brake,
    },
    Sleep {
        brake: Brake,
    },
    /// Stand in line for what the whole run may send; who is first comes at that time.
    StandInLine {
        until: Option<Duration>,
    },
}

impl Engine {
    /// When [`Event::Tick`](super::Event::Tick) is wanted next, if nothing else happens.
    pub fn next_wake(&self) -> Option<Duration> {
        let lanes = self.agenda.first().map(|&(due, ..)| due);
        let stop = self.stop.as_ref().map(|&(_, patience)| patience).filter(|_| !self.requests.is_empty());
        [lanes, self.checkpoint_due(), stop, self.list_shards_at()].into_iter().flatten().min()
    }

    /// Does whatever is due.
    pub(super) fn drive(&mut self, now: Duration, commands: &mut Vec<Command>) {
        while let Some(&(due, turn, lane)) = self.agenda.first() {
            if due > now {
                break;
            }
            self.agenda.remove(&(due, turn, lane));
            self.due[lane] = None;
            self.dispatch(lane, now, commands);
        }
        self.abandon_if_stopped(now);
        self.list_shards_if_due(now, commands);
        self.checkpoint_if_due(now, commands);
        self.end_if_over(commands);
    }

    /// The lane wants to be looked at, at `due`.
    pub(super) fn schedule(&mut self, lane: usize, due: Duration) {
        if let Some((before, turn)) = self.due[lane] {
            self.agenda.remove(&(before, turn, lane));
        }
        self.turn += 1;
        self.due[lane] = Some((due, self.turn));
        self.agenda.insert((due, self.turn, lane));
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
            let step = self.next_step(index, now);
            if !matches!(step, Step::StandInLine { .. })
                && let Some(next) = self.turns.leave(index)
            {
                self.schedule(next, now);
            }
            match step {
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
                Step::StandInLine { until } => {
                    self.turns.wait(index);
                    self.times[index].wait_for(Brake::RunRate, now);
                    return until.into_iter().for_each(|until| self.schedule(index, until));
                }
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
        // What a full bucket does not pay for leaves by itself, and when it is full: a shard whose second is measured more strictly
        // than ours takes such a record only when it was sent nothing just before.
        let is_large = |bytes: f64| bytes > capacity.bytes;
        let fits = |before: Weight, after: Weight| {
            let joins_others = before.records > 0.0 && is_large(after.bytes - before.bytes);
            !goal.is_filled_by(before) && !joins_others
        };
        let stowed = if let Some(suspects) = lane.suspects.front() {
            stow(packing, suspects.iter(), fits)
        } else {
            if lane.look_ahead(packing, capacity) {
                self.progress.wanted_at_once();
            }
            stow(packing, lane.ready(), fits)
        };
        let weight = stowed.weight;
        if weight.records < 1.0 {
            let at_its_reach = lane.is_at_its_reach();
            let brake = if at_its_reach { lane.beyond_reach(self.input_ended) } else { Brake::Order };
            return Step::Sleep { brake };
        }
        let alone = weight.records < 2.0 && is_large(weight.bytes);
        let enough = if alone { capacity } else { goal.shard };
        let shard_at = rate.affordable_at(weight.for_shard().min(enough), now);
        if shard_at > now && !on(Mutant::RateIgnored) {
            // It takes less than it should.
            let brake = if rate.scale() < SCALE_FULL { Brake::Failure } else { Brake::Shard };
            return Step::Wait { until: shard_at, brake };
        }
        let nothing_comes =
            (self.input_ended || self.input_waits) && lane.is_looked_through() && lane.in_flight == 0;
        let before_a_large_one =
            lane.ready().nth(stowed.records()).is_some_and(|next| is_large(f64::from(next.cost)));
        let full =
            stowed.full || goal.is_filled_by(weight) || before_a_large_one || !lane.suspects.is_empty();
        let since = *lane.lingers_since.get_or_insert(now);
        // Of a hot key the next record is ready with each answer.
        let linger = match () {
            () if hot && lane.in_flight == 0 => now,
            () if hot => lane.departed_at + gathering,
            () => (lane.departed_at + gathering).max(since + LINGER),
        };
        if !full && !nothing_comes && (hot || lane.may_grow()) && now < linger {
            let missing = whole(goal.shard.records - weight.for_shard().records).min(packing.records_max());
            return Step::Wait { until: linger, brake: lane.linger(missing, self.input_ended) };
        }
        let run_at = self.run_rate.affordable_at(weight.for_run().min(goal.run), now);
        let is_next = self.turns.is_next(index);
        if (run_at > now || !is_next) && !on(Mutant::RateIgnored) {
            return Step::StandInLine { until: is_next.then_some(run_at) };
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
}

/// The mean of what was measured, the latest the most.
fn smooth(mean: Duration, sample: Duration) -> Duration {
    if mean.is_zero() { sample } else { (mean * 7 + sample) / 8 }
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
