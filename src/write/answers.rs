//! What an answer means: who is settled, who goes back, who waits for how long.
//!
//! Each entry has one of four outcomes, and a call that failed as a whole has a class. Acked and rejected
//! entries are settled; all others return to their lane at their own ordinal, with a doubt if they may
//! have been stored. Throttling slows the shard down and never loses anything; a request that the service
//! calls invalid is halved until the one bad entry stands alone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::engine::{Command, Engine, Request, RequestId, STOP_PATIENCE, StopReason};
use super::lane::{Doubt, Order, Pending};
use super::rate::Load;
use crate::record::{SequenceNumber, ShardId};
use crate::route::{SetAside, SetAsideReason};
use crate::stream::{CallError, CallErrorClass, Outcome, UnknownCause};

/// How long the service may be away before the run ends, to be resumed.
const SERVICE_PATIENCE: Duration = Duration::from_mins(15);
/// A throttled lane pauses for 20 to 50 ms.
const THROTTLE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(50));
/// A lane whose call failed pauses up to this, doubled with each further failure …
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// … up to this.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn departed(&mut self, request: RequestId, now: Duration) {
        if let Some(request) = self.requests.get_mut(&request) {
            request.departed_at = now;
            request.floor.clone_from(&self.lanes[request.lane].highest);
        }
    }

    pub(super) fn answered(
        &mut self,
        id: RequestId,
        result: Result<Vec<Outcome>, CallError>,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        let Some(request) = self.requests.remove(&id) else { return };
        let lane = request.lane;
        self.lanes[lane].in_flight -= 1;
        match result {
            Ok(outcomes) if outcomes.len() == request.entries.len() => {
                self.away_since = None;
                self.measure_round_trip(&request, now);
                self.outcomes(request, outcomes, now, commands);
            }
            Ok(_) => self.call_failed(request, &bad_answer(), now, commands),
            Err(error) => self.call_failed(request, &error, now, commands),
        }
        self.progress.changed();
        self.schedule(lane, now);
    }

    fn outcomes(
        &mut self,
        request: Request,
        outcomes: Vec<Outcome>,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        let lane = request.lane;
        let shard = self.lanes[lane].shard;
        let (mut accepted, mut throttled, mut unknown) = (Load::default(), 0_u64, false);
        let mut rejected = Vec::new();
        for (mut pending, outcome) in request.entries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Acked { shard, sequence_number } => {
                    accepted.records += 1.0;
                    accepted.bytes += f64::from(pending.record.cost);
                    self.check_order(lane, &request.floor, shard, sequence_number);
                    self.acked(lane, &pending, commands);
                }
                Outcome::Throttled => {
                    throttled += 1;
                    self.lanes[lane].give_back(pending);
                }
                Outcome::Rejected { reason } => {
                    rejected.push(self.reject(lane, &pending, reason));
                }
                Outcome::Unknown { cause } => {
                    unknown = true;
                    pending.doubt = Some(Doubt::Unknown(cause));
                    self.lanes[lane].give_back(pending);
                }
            }
        }
        self.note_set_aside(rejected, commands);
        self.totals.entries_throttled += throttled;
        self.shards[shard].throttled += throttled;
        self.shards[shard].rate.accepted(accepted, now);
        if accepted.records > 0.0 {
            self.lanes[lane].failures = 0;
        }
        if throttled > 0 {
            self.shards[shard].rate.throttled(now);
            self.pause_after_throttle(lane, now);
        }
        if unknown {
            self.pause_after_failure(lane, now);
        }
    }

    fn call_failed(
        &mut self,
        request: Request,
        error: &CallError,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        let lane = request.lane;
        let doubt = match error.class {
            CallErrorClass::Unknown(cause) => Some(Doubt::Unknown(cause)),
            _ => None,
        };
        let mut entries = request.entries;
        for pending in &mut entries {
            pending.doubt = doubt.or(pending.doubt);
        }
        match error.class {
            CallErrorClass::Invalid => return self.bisect(lane, entries, error, commands),
            CallErrorClass::NotFound | CallErrorClass::Denied => {
                self.stop_for(StopReason::Refused(error.message.clone()), now);
            }
            CallErrorClass::Throttled => {
                self.totals.entries_throttled += entries.len() as u64;
                let shard = &mut self.shards[self.lanes[lane].shard];
                shard.throttled += entries.len() as u64;
                shard.rate.throttled(now);
                self.pause_after_failure(lane, now);
            }
            CallErrorClass::Credentials | CallErrorClass::Unreachable | CallErrorClass::Unknown(_) => {
                self.pause_after_failure(lane, now);
                let since = *self.away_since.get_or_insert(now);
                if now.saturating_sub(since) > SERVICE_PATIENCE {
                    self.stop_for(StopReason::ServiceAway(error.message.clone()), now);
                }
            }
        }
        for pending in entries {
            self.lanes[lane].give_back(pending);
        }
    }

    /// The service calls a request invalid as a whole: halves of it go out alone until the one bad
    /// entry is found.
    fn bisect(
        &mut self,
        lane: usize,
        mut entries: Vec<Pending>,
        error: &CallError,
        commands: &mut Vec<Command>,
    ) {
        if let [only] = entries.as_slice() {
            let rejected = self.reject(lane, only, error.message.clone());
            self.note_set_aside(vec![rejected], commands);
            return;
        }
        let second = entries.split_off(entries.len() / 2);
        self.lanes[lane].suspects.push_front(second);
        self.lanes[lane].suspects.push_front(entries);
    }

    fn reject(&mut self, lane: usize, pending: &Pending, reason: String) -> SetAside {
        self.lanes[lane].settle(&pending.record);
        self.unsettled -= 1;
        let possibly_delivered = pending.doubt.is_some();
        SetAside {
            ordinal: pending.record.ordinal,
            reason: SetAsideReason::Rejected { reason, possibly_delivered },
        }
    }

    fn acked(&mut self, lane: usize, pending: &Pending, commands: &mut Vec<Command>) {
        let record = &pending.record;
        self.lanes[lane].settle(record);
        self.unsettled -= 1;
        self.totals.delivered += 1;
        self.totals.delivered_bytes += u64::from(record.cost);
        let shard = &mut self.shards[self.lanes[lane].shard];
        shard.acked.0 += 1;
        shard.acked.1 += u64::from(record.cost);
        if let Some(doubt) = pending.doubt {
            self.totals.possible_duplicates += 1;
            *self.doubts.entry(doubt).or_default() += 1;
        }
        let object = record.ordinal.object();
        if let Some(settled) = self.objects.delivered(object) {
            self.object_settled(settled, commands);
        }
    }

    /// A number must exceed all that were acked on the same lane and shard before its request left.
    fn check_order(
        &mut self,
        lane: usize,
        floor: &BTreeMap<ShardId, SequenceNumber>,
        shard: ShardId,
        number: SequenceNumber,
    ) {
        if self.config.order == Order::Key && floor.get(&shard).is_some_and(|floor| number <= *floor) {
            self.totals.order_violations += 1;
        }
        let highest = self.lanes[lane].highest.entry(shard).or_insert_with(|| number.clone());
        if number > *highest {
            *highest = number;
        }
    }

    pub(super) fn stop_for(&mut self, reason: StopReason, now: Duration) {
        self.stop.get_or_insert((reason, now + STOP_PATIENCE));
        // The last checkpoint says that nothing is in flight, even if nothing else is new.
        self.progress.changed();
    }

    fn pause_after_throttle(&mut self, lane: usize, now: Duration) {
        let (shortest, longest) = THROTTLE_PAUSE;
        let pause = shortest + longest.saturating_sub(shortest).mul_f64(self.draw());
        let lane = &mut self.lanes[lane];
        lane.paused_until = lane.paused_until.max(now + pause);
    }

    fn pause_after_failure(&mut self, lane: usize, now: Duration) {
        let failures = self.lanes[lane].failures.min(16);
        let longest = (FAILURE_PAUSE * (1 << failures)).min(FAILURE_PAUSE_MAX);
        let pause = longest.mul_f64(0.5f64.mul_add(self.draw(), 0.5));
        let lane = &mut self.lanes[lane];
        lane.failures += 1;
        lane.paused_until = lane.paused_until.max(now + pause);
    }

    /// A number from 0 to 1, by the splitmix64 generator (Steele, Lea, Flood 2014).
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit into an f64")]
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.random;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 32) as f64 / f64::from(u32::MAX)
    }
}

fn bad_answer() -> CallError {
    CallError {
        class: CallErrorClass::Unknown(UnknownCause::BadAnswer),
        message: "the answer has another number of entries than the request".into(),
    }
}
