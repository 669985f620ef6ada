//! Aggregates that another shard took than the one they were made for.
//!
//! A shard splits or merges between a prediction and the arrival. A record by itself may lie anywhere, but a consumer
//! drops an aggregate whole if one of its records is placed outside of the shard. So what such an acknowledgement is
//! worth depends on the range of the shard that gave it. If that is not known yet, the aggregate stays in flight until
//! the shards were listed: then all of its records are delivered, or none is, and all go back to be packed anew,
//! counted as possible duplicates for those consumers that look into an aggregate without that rule.
//!
//! From the first such sign, and as long as the stream says that its shards are changing, nothing new is packed.

use std::time::Duration;

use super::engine::{Command, Engine, Request, RequestId};
use super::mutant::{Mutant, on};
use crate::record::{SequenceNumber, ShardId};
use crate::route::Routed;

/// Whoever cannot list the shards for so long takes the aggregate for misplaced.
const STRAY_PATIENCE: Duration = Duration::from_secs(30);

/// An aggregate in a shard of which the range is not known.
pub(super) struct Stray {
    records: Vec<Routed>,
    cost: u32,
    shard: ShardId,
    number: SequenceNumber,
    since: Duration,
    /// The shards were asked for since.
    asked: bool,
}

impl Stray {
    pub(super) fn new(
        (records, cost): (&[Routed], u32),
        shard: ShardId,
        number: SequenceNumber,
        now: Duration,
    ) -> Self {
        Self { records: records.to_vec(), cost, shard, number, since: now, asked: false }
    }
}

impl Engine {
    /// Whether a consumer takes what `shard` has stored as one entry; `None` as long as nobody knows.
    pub(super) fn is_taken(&self, lane: usize, shard: &ShardId, records: &[Routed]) -> Option<bool> {
        if records.len() == 1
            || self.shards[self.lanes[lane].shard].id == *shard
            || on(Mutant::StrayIsDelivered)
        {
            return Some(true);
        }
        let range = self.reshard.range_of(shard)?;
        Some(records.iter().all(|record| range.contains(record.hash)))
    }

    /// What of a request is not settled by its answer alone goes on being in flight.
    pub(super) fn strayed(&mut self, id: RequestId, mut request: Request, now: Duration) {
        if request.strays.is_empty() {
            return;
        }
        for stray in &request.strays {
            self.reshard.unexpected(&stray.shard);
        }
        self.reshard.wanted_soon(now);
        if !on(Mutant::StrayIsPassed) {
            self.takes_place(request.lane);
        }
        request.departed_at.get_or_insert(now);
        self.requests.insert(id, request);
    }

    pub(super) fn has_strays(&self) -> bool {
        self.requests.values().any(|request| !request.strays.is_empty())
    }

    /// The shards are being listed.
    pub(super) fn strays_are_asked_for(&mut self) {
        for stray in self.requests.values_mut().flat_map(|request| &mut request.strays) {
            stray.asked = true;
        }
    }

    /// The shards were `listed`, or they could not be.
    pub(super) fn judge_strays(&mut self, listed: bool, now: Duration, commands: &mut Vec<Command>) {
        let strayed = self.requests.iter().filter(|(_, request)| !request.strays.is_empty());
        for id in strayed.map(|(&id, _)| id).collect::<Vec<_>>() {
            let Some(mut request) = self.requests.remove(&id) else { continue };
            let lane = request.lane;
            for stray in std::mem::take(&mut request.strays) {
                // A shard that is not among the open ones has been closed again: nobody will say what it was.
                let in_vain = stray.asked && listed || now.saturating_sub(stray.since) > STRAY_PATIENCE;
                match self.is_taken(lane, &stray.shard, &stray.records) {
                    Some(true) => {
                        let place = (stray.shard, stray.number);
                        self.entry_acked(&request, (&stray.records, stray.cost), place, commands);
                    }
                    None if !in_vain => request.strays.push(stray),
                    Some(false) | None => self.misplaced(lane, &stray.records, now),
                }
            }
            self.progress.changed();
            if request.strays.is_empty() {
                if !on(Mutant::StrayIsPassed) {
                    self.gives_place(lane);
                }
                self.schedule(lane, now);
            } else {
                self.requests.insert(id, request);
                self.reshard.wanted_soon(now);
            }
        }
        self.reshard_if_drained(now);
    }

    /// A consumer will drop them: all are sent again, and each may be seen twice by one that does not. Why a shard
    /// took what lies outside of it, the stream has to say.
    pub(super) fn misplaced(&mut self, lane: usize, records: &[Routed], now: Duration) {
        self.reshard.wanted_soon(now);
        self.give_up_if_stuck(lane, now);
        self.totals.possible_duplicates.misplaced += records.len() as u64;
        for record in records {
            self.lanes[lane].give_back(*record, true);
        }
        self.send_only_once_counted(lane);
    }
}
