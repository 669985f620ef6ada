//! What an answer means: who is settled, who goes back, who waits for how long.
//!
//! Each entry has one of four outcomes, and a call that failed as a whole has a class. Acked and rejected
//! entries are settled; all others return to their lane at their own ordinal, with a doubt if they may
//! have been stored. Throttling slows the shard down and never loses anything; a request that the service
//! calls invalid is halved until the one bad entry stands alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::aggregate::{Packed, Weight};
use super::checkpoint::ShardLedger;
use super::engine::{Command, Engine, Request, RequestId, STOP_PATIENCE, StopReason};
use super::lane::Order;
use super::mutant::{Mutant, on};
use super::rate::Load;
use super::stray::Stray;
use crate::limits::PUT_UNIT_BYTES;
use crate::record::{HashKey, SequenceNumber, ShardId};
use crate::route::{Routed, SetAside, SetAsideReason};
use crate::stream::{CallError, CallErrorClass, Outcome, UnknownCause};

/// How long the service may be away before the run ends, to be resumed: an outage of an hour is outlived.
const SERVICE_PATIENCE: Duration = Duration::from_mins(75);
/// A lane of which a quarter of a request, or more, was throttled …
const THROTTLED_SHARE_WHOLE: f64 = 0.25;
/// … pauses for 20 to 50 ms, for less in proportion, and twice as long each time that nothing at all was taken …
const THROTTLE_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(50));
/// … this often: then a second has passed, and with it whatever window the shard counts in.
const THROTTLE_DOUBLINGS_MAX: u32 = 3;
/// A lane whose call failed pauses up to this, doubled with each further failure …
const FAILURE_PAUSE: Duration = Duration::from_millis(100);
/// … up to this.
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn departed(&mut self, request: RequestId, now: Duration) {
        let Some(request) = self.requests.get_mut(&request) else { return };
        if request.departed_at.replace(now).is_some() {
            return;
        }
        self.allowance.departed();
        request.floor.clone_from(&self.lanes[request.lane].highest);
        let (shard, weight) = (request.shard, request.records.weight());
        self.gone(shard, weight, now);
    }

    /// What was paid for takes no more place in the budgets.
    pub(super) fn gone(&mut self, shard: usize, weight: Weight, now: Duration) {
        self.shards[shard].rate.depart(weight.for_shard(), now);
        self.run_rate.depart(weight.for_run(), now);
    }

    pub(super) fn answered(
        &mut self,
        id: RequestId,
        result: Result<Vec<Outcome>, CallError>,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        let id = if on(Mutant::AnswerByLane) { self.oldest_of_lane(id) } else { id };
        let Some(request) = self.requests.remove(&id) else { return };
        let lane = request.lane;
        self.gives_place(lane);
        self.request_ended(request.departed_at, result.is_ok(), now);
        if request.departed_at.is_none() {
            self.gone(request.shard, request.records.weight(), now);
        }
        match result {
            Ok(outcomes) if outcomes.len() == request.records.entry_count() => {
                self.away_since = None;
                self.measure_round_trip(&request, now);
                self.outcomes(id, request, outcomes, now, commands);
            }
            Ok(_) => self.call_failed(request, &bad_answer(), now, commands),
            Err(error) => self.call_failed(request, &error, now, commands),
        }
        self.progress.changed();
        self.schedule(lane, now);
        self.reshard_if_drained(now);
    }

    fn outcomes(
        &mut self,
        id: RequestId,
        mut request: Request,
        outcomes: Vec<Outcome>,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        if self.config.discipline().lets_pass() {
            self.count_inversions(request.records.records(), &outcomes);
        }
        let lane = request.lane;
        let shard = self.lanes[lane].shard;
        let (mut accepted, mut refused, mut unknown) = (Load::default(), 0_u32, false);
        let (mut for_its_size, held_at_most) = (0_u32, self.shards[shard].rate.capacity().bytes);
        let (mut rejected, mut strays) = (Vec::new(), Vec::new());
        for (entry, outcome) in request.records.entries().zip(outcomes) {
            let (records, cost) = entry;
            match outcome {
                Outcome::Throttled | Outcome::Unknown { .. } if on(Mutant::PartialFailureIgnored) => {
                    self.take_for_delivered(&request, entry, commands);
                }
                Outcome::Acked { shard, sequence_number } => {
                    accepted.records += 1.0;
                    accepted.bytes += f64::from(cost);
                    match self.is_taken(lane, &shard, records) {
                        Some(true) => self.entry_acked(&request, entry, (shard, sequence_number), commands),
                        Some(false) => self.misplaced(lane, records, now),
                        None => strays.push(Stray::new(entry, shard, sequence_number, now)),
                    }
                }
                Outcome::Throttled => {
                    refused += 1;
                    // The shard had been sent something just before: that says nothing of the rate.
                    for_its_size += u32::from(f64::from(cost) > held_at_most);
                    let count = if on(Mutant::AggregateLosesRest) { 1 } else { records.len() };
                    for record in records.iter().take(count) {
                        self.lanes[lane].give_back(*record, false);
                    }
                }
                Outcome::Rejected { reason } => match records {
                    [record] => rejected.push(self.reject(lane, record, reason)),
                    _ => self.halve(lane, records.to_vec()),
                },
                Outcome::Unknown { cause } => {
                    unknown = true;
                    for record in records {
                        self.doubt(lane, *record, cause);
                    }
                }
            }
        }
        request.strays = strays;
        self.strayed(id, request, now);
        self.note_set_aside(rejected, commands);
        self.totals.entries_throttled += u64::from(refused);
        self.shards[shard].throttled += u64::from(refused);
        self.shards[shard].rate.answered(accepted, (refused - for_its_size).into(), now);
        if accepted.records > 0.0 {
            self.lanes[lane].failures = 0;
        }
        if refused > 0 {
            self.pause_after_throttle(lane, accepted.records, refused.into(), now);
        } else if accepted.records > 0.0 {
            self.lanes[lane].throttles = 0;
        }
        if unknown {
            self.pause_after_failure(lane, now);
            self.give_up_if_stuck(lane, now);
        }
    }

    /// The service takes other records, and fails one without end.
    pub(super) fn give_up_if_stuck(&mut self, lane: usize, now: Duration) {
        if self.lanes[lane].stuck_for(now) > SERVICE_PATIENCE {
            let message = "it takes other records, but has failed one for more than an hour";
            self.stop_for(StopReason::ServiceAway(message.into()), now);
        }
    }

    /// The record goes back, and the copy that may be stored is counted before it is sent again.
    fn doubt(&mut self, lane: usize, record: Routed, cause: UnknownCause) {
        *self.totals.possible_duplicates.by_cause(cause) += u64::from(!on(Mutant::DoubtNotCounted));
        self.lanes[lane].give_back(record, true);
        self.send_only_once_counted(lane);
    }

    fn call_failed(
        &mut self,
        request: Request,
        error: &CallError,
        now: Duration,
        commands: &mut Vec<Command>,
    ) {
        let (lane, entries) = (request.lane, request.records.entry_count() as u64);
        let (refused, mut unknown) = (request.records.weight().for_shard().records, None);
        match error.class {
            CallErrorClass::Invalid if on(Mutant::InvalidRetried) => {}
            CallErrorClass::Invalid => {
                return self.bisect(lane, Arc::unwrap_or_clone(request.records), error, commands);
            }
            CallErrorClass::Forbidden => {
                self.stop_for(StopReason::Forbidden(error.message.clone()), now);
            }
            CallErrorClass::NotFound | CallErrorClass::Denied => {
                self.stop_for(StopReason::Refused(error.message.clone()), now);
            }
            CallErrorClass::Throttled => {
                self.totals.entries_throttled += entries;
                let shard = &mut self.shards[self.lanes[lane].shard];
                shard.throttled += entries;
                shard.rate.answered(Load::default(), refused, now);
                self.pause_after_failure(lane, now);
            }
            CallErrorClass::Credentials | CallErrorClass::Unreachable => self.service_away(lane, error, now),
            CallErrorClass::Unknown(cause) => {
                self.service_away(lane, error, now);
                self.count_possible_inversions(request.records.records());
                unknown = Some(cause);
            }
        }
        if unknown.is_some() && on(Mutant::TimeoutIsDelivered) {
            return request
                .records
                .entries()
                .for_each(|entry| self.take_for_delivered(&request, entry, commands));
        }
        for record in Arc::unwrap_or_clone(request.records).into_records() {
            match unknown {
                Some(cause) => self.doubt(lane, record, cause),
                None => self.lanes[lane].give_back(record, false),
            }
        }
    }

    fn service_away(&mut self, lane: usize, error: &CallError, now: Duration) {
        self.pause_after_failure(lane, now);
        let since = *self.away_since.get_or_insert(now);
        if now.saturating_sub(since) > SERVICE_PATIENCE {
            self.stop_for(StopReason::ServiceAway(error.message.clone()), now);
        }
    }

    /// The service calls a request invalid as a whole: halves of it go out alone until the one bad
    /// record is found.
    fn bisect(&mut self, lane: usize, records: Packed, error: &CallError, commands: &mut Vec<Command>) {
        match records.records() {
            [only] => {
                let rejected = self.reject(lane, only, error.message.clone());
                self.note_set_aside(vec![rejected], commands);
            }
            _ => self.halve(lane, records.into_records()),
        }
    }

    fn halve(&mut self, lane: usize, mut records: Vec<Routed>) {
        let second = records.split_off(records.len() / 2);
        if !on(Mutant::BisectLosesHalf) {
            self.lanes[lane].suspects.push_front(second);
        }
        self.lanes[lane].suspects.push_front(records);
    }

    fn reject(&mut self, lane: usize, record: &Routed, reason: String) -> SetAside {
        let possibly_delivered = self.lanes[lane].is_doubted(record);
        if !on(Mutant::RejectKeepsKey) {
            self.lanes[lane].settle(record);
        }
        self.unsettled -= 1;
        SetAside { ordinal: record.ordinal, reason: SetAsideReason::Rejected { reason, possibly_delivered } }
    }

    /// What two mutants make of a failure.
    fn take_for_delivered(
        &mut self,
        request: &Request,
        entry: (&[Routed], u32),
        commands: &mut Vec<Command>,
    ) {
        if let Some(number) = SequenceNumber::new("1") {
            let shard = self.shards[self.lanes[request.lane].shard].id.clone();
            self.entry_acked(request, entry, (shard, number), commands);
        }
    }

    /// What one mutant takes for the request that was answered.
    fn oldest_of_lane(&self, id: RequestId) -> RequestId {
        let Some(lane) = self.requests.get(&id).map(|request| request.lane) else { return id };
        self.requests.iter().find(|(_, request)| request.lane == lane).map_or(id, |(&oldest, _)| oldest)
    }

    /// A shard has stored the entry, and whoever reads it finds all of its records.
    pub(super) fn entry_acked(
        &mut self,
        request: &Request,
        (records, cost): (&[Routed], u32),
        (shard, number): (ShardId, SequenceNumber),
        commands: &mut Vec<Command>,
    ) {
        let lane = request.lane;
        self.check_place(lane, &request.floor, &shard, &number);
        self.totals.entries_acked += 1;
        self.totals.put_units += (cost as usize).div_ceil(PUT_UNIT_BYTES) as u64;
        let expected = &mut self.shards[self.lanes[lane].shard];
        expected.taken.records += 1.0;
        expected.taken.bytes += f64::from(cost);
        if expected.id != shard && self.config.hash_places {
            self.totals.elsewhere += records.len() as u64;
            self.reshard.unexpected(&shard);
        }
        for record in records {
            self.acked(lane, record, (&shard, &number), commands);
        }
    }

    fn acked(
        &mut self,
        lane: usize,
        record: &Routed,
        (shard, number): (&ShardId, &SequenceNumber),
        commands: &mut Vec<Command>,
    ) {
        self.lanes[lane].settle(record);
        self.unsettled -= 1;
        self.totals.delivered += 1;
        self.totals.delivered_bytes += u64::from(record.cost);
        let expected = &mut self.shards[self.lanes[lane].shard];
        expected.acked.0 += 1;
        expected.acked.1 += u64::from(record.cost);
        if let Some(ledger) = self.ledger.get_mut(shard) {
            ledger.add(record.cost, number);
        } else {
            self.ledger.insert(shard.clone(), ShardLedger::new(record.cost, number));
        }
        let object = record.ordinal.object();
        if let Some(settled) = self.objects.delivered(object) {
            self.object_settled(settled, commands);
        }
    }

    /// A number must exceed all that were acked on the same lane and shard before its request left, and no
    /// shard must answer after one that was made of it.
    fn check_place(
        &mut self,
        lane: usize,
        floor: &BTreeMap<ShardId, SequenceNumber>,
        shard: &ShardId,
        number: &SequenceNumber,
    ) {
        let behind = floor.get(shard).is_some_and(|floor| number <= floor);
        let later = |acked: &ShardId| acked != shard && self.reshard.descends_from(acked, shard);
        if self.config.order != Order::None && (behind || floor.keys().any(later)) {
            self.totals.order_violations += 1;
        }
        match self.lanes[lane].highest.get_mut(shard) {
            Some(highest) if number > highest => *highest = *number,
            Some(_) => {}
            None => {
                self.lanes[lane].highest.insert(shard.clone(), *number);
            }
        }
    }

    /// A record of a relaxed lane is passed if a later one of its key was stored before it: it failed and the
    /// other did not, or their sequence numbers say so.
    fn count_inversions(&mut self, entries: &[Routed], outcomes: &[Outcome]) {
        // From the end: by key, the lowest number stored so far, and whether it is certain that there is one.
        let mut later: BTreeMap<HashKey, Option<&SequenceNumber>> = BTreeMap::new();
        for (record, outcome) in entries.iter().zip(outcomes).rev() {
            let behind = later.get(&record.hash).copied();
            match (outcome, behind) {
                (Outcome::Acked { sequence_number, .. }, behind) => {
                    let lowest = behind.flatten();
                    self.totals.inversions +=
                        u64::from(lowest.is_some_and(|lowest| sequence_number > lowest));
                    let lowest = lowest.map_or(sequence_number, |lowest| lowest.min(sequence_number));
                    later.insert(record.hash, Some(lowest));
                }
                (Outcome::Throttled, Some(Some(_))) => self.totals.inversions += 1,
                (Outcome::Throttled, Some(None)) => self.totals.possible_inversions += 1,
                (Outcome::Unknown { .. }, behind) => {
                    self.totals.possible_inversions += u64::from(behind.is_some());
                    later.entry(record.hash).or_default();
                }
                (Outcome::Throttled, None) | (Outcome::Rejected { .. }, _) => {}
            }
        }
    }

    /// Of a relaxed request whose answer is lost: any of its records may have been passed by a later one of
    /// its key.
    fn count_possible_inversions(&mut self, entries: &[Routed]) {
        if self.config.discipline().lets_pass() {
            let mut later = std::collections::BTreeSet::new();
            let passed = entries.iter().rev().filter(|record| !later.insert(record.hash)).count();
            self.totals.possible_inversions += passed as u64;
        }
    }

    pub(super) fn stop_for(&mut self, reason: StopReason, now: Duration) {
        self.stop.get_or_insert((reason, now + STOP_PATIENCE));
        // The last checkpoint says that nothing is in flight, even if nothing else is new.
        self.progress.changed();
    }

    fn pause_after_throttle(&mut self, lane: usize, accepted: f64, refused: f64, now: Duration) {
        let (shortest, longest) = THROTTLE_PAUSE;
        let pause = shortest + longest.saturating_sub(shortest).mul_f64(self.draw());
        let lane = &mut self.lanes[lane];
        lane.throttles = if accepted > 0.0 { 0 } else { (lane.throttles + 1).min(THROTTLE_DOUBLINGS_MAX) };
        let share = refused / (accepted + refused);
        let pause = (pause * (1 << lane.throttles)).mul_f64((share / THROTTLED_SHARE_WHOLE).min(1.0));
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
