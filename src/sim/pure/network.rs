//! The network and the service behind it: what a request meets, and what comes back when.

use std::time::Duration;

use bytes::Bytes;

use super::scenario::is_slow;
use super::world::{Answer, Happening, Process, STREAM, World};
use crate::record::{HashKey, PartitionKey, Payload};
use crate::route::Routed;
use crate::route::shard_map::ShardMap;
use crate::sim::fault::{CallFault, EntryFault};
use crate::sim::model::PutResult;
use crate::sim::{SimTime, embedded};
use crate::stream::{CallError, CallErrorClass, Entry, Outcome, UnknownCause};
use crate::write::{Event, Packed, RequestId, StreamState};

static ZEROS: [u8; 1 << 19] = [0; 1 << 19];

impl World {
    pub(super) fn put(&mut self, process: &mut Process, request: RequestId, packed: &Packed) {
        let records = packed.records();
        if let Some((_, since)) = &process.under_way
            && self.now.saturating_sub(*since) > Duration::from_millis(1_001)
        {
            self.truth.fail(format!("something is sent while a checkpoint is under way since {since:?}"));
        }
        let shard = process.engine.shard_of_lane(records[0].hash).clone();
        if !records.iter().all(|record| *process.engine.shard_of_lane(record.hash) == shard) {
            self.truth.fail("a request goes to two shards".into());
        }
        self.truth.sent(packed, process.in_flight.values(), &self.durable);
        process.in_flight.insert(request, packed.clone());
        process.at_the_door.insert(request, shard);
        let departs = self.now + self.late() + self.scenario.encode.mul_f64(self.dice.f64());
        self.at(departs, Happening::Tell { process: process.id, event: Event::Departed(request) });
        let call = self.calls;
        self.calls += 1;
        let slow = if is_slow(records[0].hash) { self.scenario.slow } else { 1 };
        let travels = self.scenario.latency.mul_f64(self.dice.f64() + 0.5) * slow;
        let (arrives, answered) = (departs + travels / 2, departs + travels);
        let fault = if self.now < self.scenario.faults_end { self.scenario.faults.call(call) } else { None };
        let id = process.id;
        let fail =
            |class| Happening::Tell { process: id, event: Event::Answered(request, Err(failed(class))) };
        let timeout = CallErrorClass::Unknown(UnknownCause::Timeout);
        let broken = CallErrorClass::Unknown(UnknownCause::Connection);
        let apply = |answer| Happening::Apply { process: id, request, call, records: packed.clone(), answer };
        if self.now < self.refuses_until {
            return self.at(answered, fail(CallErrorClass::Denied));
        }
        if self.now < self.away_until {
            return self.at(answered, fail(CallErrorClass::Unreachable));
        }
        let halts = self.scenario.aggregate.is_none() || call.is_multiple_of(2);
        if halts && records.iter().any(|record| self.scenario.is_bad(record)) {
            return self.at(answered, fail(CallErrorClass::Invalid));
        }
        let whole = Answer { at: answered, short: false };
        match fault {
            None => self.at(arrives, apply(Some(whole))),
            Some(CallFault::Throttle) => self.at(answered, fail(CallErrorClass::Throttled)),
            Some(CallFault::Disconnect) if call.is_multiple_of(2) => {
                self.at(answered, fail(CallErrorClass::Unreachable));
            }
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
    pub(super) fn apply(&mut self, call: u64, packed: &Packed) -> Result<Vec<Outcome>, CallError> {
        let faulty = self.now < self.scenario.faults_end;
        let mut outcomes = Vec::with_capacity(packed.entry_count());
        for (place, record) in packed.entries().enumerate() {
            if record.0.iter().any(|record| self.scenario.is_bad(record)) {
                outcomes.push(Outcome::Rejected { reason: "no".into() });
                continue;
            }
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

    pub(super) fn store(&mut self, (records, cost): (&[Routed], u32)) -> Result<Outcome, CallError> {
        let now = SimTime::after(self.now);
        let result = self.service.put(now, STREAM, vec![entry(records[0].hash, cost)]);
        match result.map_err(|_| failed(CallErrorClass::Invalid))?.pop() {
            Some(PutResult::Stored { shard, sequence }) => {
                let stream = self.service.stream(now, STREAM).unwrap();
                let range =
                    stream.open_shards().find(|other| other.id.to_string() == *shard.0).unwrap().range;
                // What a consumer does that follows the Kinesis Client Library.
                if records.len() > 1 && !records.iter().all(|record| range.contains(record.hash)) {
                    self.tally.dropped += records.len() as u64;
                } else {
                    for record in records {
                        self.truth.stored(self.now, record);
                    }
                }
                Ok(Outcome::Acked { shard, sequence_number: sequence.into() })
            }
            _ => Ok(Outcome::Throttled),
        }
    }

    /// What a list of the shards brings, if it succeeds.
    pub(super) fn list(&mut self) -> Event {
        if self.now < self.scenario.faults_end && self.dice.u8(0..10) == 0 {
            return Event::Shards { map: None, state: None };
        }
        let state = StreamState { updating: self.is_updating(), ignores_keys: false };
        Event::Shards { map: Some(self.shard_map()), state: Some(state) }
    }

    pub(super) fn shard_map(&mut self) -> ShardMap {
        let stream = self.service.stream(SimTime::after(self.now), STREAM).unwrap();
        let shards = stream.open_shards().map(|shard| embedded::shard_description(stream, shard));
        ShardMap::new(shards.collect()).unwrap()
    }

    pub(super) fn is_updating(&mut self) -> bool {
        let stream = self.service.stream(SimTime::after(self.now), STREAM).unwrap();
        stream.status().as_str() == "UPDATING"
    }

    pub(super) fn reshard(&mut self) {
        let now = SimTime::after(self.now);
        let stream = self.service.stream(now, STREAM).unwrap();
        let open: Vec<_> = stream.open_shards().map(|shard| (shard.id.to_string(), shard.range)).collect();
        if open.is_empty() {
            return;
        }
        let at = self.dice.usize(0..open.len());
        let (id, range) = &open[at];
        let changed = match self.dice.u8(0..4) {
            0 | 1 if open.len() < 16 => {
                let middle = range.first.0 + (range.last.0 - range.first.0) / 2;
                self.service.split_shard(now, STREAM, id, HashKey(middle))
            }
            2 if at + 1 < open.len() => self.service.merge_shards(now, STREAM, id, &open[at + 1].0),
            _ => {
                let count = u32::try_from(open.len()).unwrap();
                let target = if self.dice.bool() { count * 2 } else { count.div_ceil(2) };
                self.service.update_shard_count(now, STREAM, target.min(16)).map(drop)
            }
        };
        self.tally.reshards += u64::from(changed.is_ok());
    }

    pub(super) fn neighbour(&mut self) {
        let now = SimTime::after(self.now);
        let firsts: Vec<HashKey> = {
            let stream = self.service.stream(now, STREAM).unwrap();
            stream.open_shards().map(|shard| shard.range.first).collect()
        };
        for hash in firsts {
            let entry = entry(hash, 100);
            let _ = self.service.put(now, STREAM, vec![entry; self.scenario.neighbour as usize / 10]);
        }
        if self.now < self.scenario.faults_end {
            self.at(self.now + Duration::from_millis(100), Happening::Neighbour);
        }
    }
}

/// A record on the wire: only its size and its place count.
fn entry(place: HashKey, cost: u32) -> Entry {
    let bytes = (cost as usize - 1).min(ZEROS.len());
    Entry {
        data: Payload(Bytes::from_static(&ZEROS[..bytes])),
        key: PartitionKey::new("k").unwrap(),
        explicit_hash_key: Some(place),
    }
}

fn failed(class: CallErrorClass) -> CallError {
    CallError { class, message: "no".into() }
}
