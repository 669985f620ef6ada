//! The requests that all lanes together may have in flight, and how they are shared.
//!
//! Half of them are shared out. The rest is lent to whoever needs more than a share, but never a share: so no lane whose service
//! stalls holds up another. Where there are more lanes than requests, the shell has them wait.

use std::time::Duration;

use super::dispatch::{HELD_MANY, SCALE_FULL, SLACK};
use super::engine::Engine;
use super::lane::Order;
use super::rate::Load;
use super::stats::Brake;

impl Engine {
    /// Requests of one lane that may be in flight in any case.
    pub(super) fn in_flight_share(&self) -> u32 {
        let share = self.config.requests_max / 2 / self.lanes.len();
        self.config.discipline().in_flight_max().min(u32::try_from(share).unwrap_or(u32::MAX)).max(1)
    }

    /// Requests of one lane that may be in flight now.
    pub(super) fn in_flight_max(&self) -> u32 {
        let share = self.in_flight_share();
        let to_lend = self.config.requests_max.saturating_sub(self.lanes.len() * share as usize);
        if self.borrowed < to_lend { self.config.discipline().in_flight_max() } else { share }
    }

    /// One more request of the lane is in flight.
    pub(super) fn takes_place(&mut self, lane: usize) {
        let share = self.in_flight_share();
        let in_flight = &mut self.lanes[lane].in_flight;
        self.borrowed += usize::from(*in_flight >= share);
        *in_flight += 1;
    }

    /// One of them is not any more.
    pub(super) fn gives_place(&mut self, lane: usize) {
        let share = self.in_flight_share();
        let in_flight = &mut self.lanes[lane].in_flight;
        *in_flight -= 1;
        self.borrowed -= usize::from(*in_flight >= share);
    }

    /// There are other lanes, and so other shares.
    pub(super) fn share_out_anew(&mut self) {
        let share = self.in_flight_share();
        let beyond = |in_flight: u32| in_flight.saturating_sub(share) as usize;
        self.borrowed = self.lanes.iter().map(|lane| beyond(lane.in_flight)).sum();
    }

    /// What holds up a lane that has in flight what it may: the answer, unless nothing could leave before it comes. Then
    /// also until when that is so, for an answer that does not come.
    pub(super) fn behind_an_answer(&mut self, index: usize, now: Duration) -> (Brake, Option<Duration>) {
        let lane = &self.lanes[index];
        if lane.held_records() >= HELD_MANY && lane.ready().next().is_none() {
            return (Brake::Order, None);
        }
        let shard = &mut self.shards[lane.shard];
        let (answer, gathering) = (lane.departed_at + shard.turn, shard.rate.burst().saturating_sub(SLACK));
        let alone = self.config.order == Order::Shard && self.config.aggregate.is_none();
        let mut next = shard.rate.worth_of(gathering);
        if alone {
            next = Load { records: 1.0, bytes: next.bytes / next.records.max(1.0) };
        }
        let is_late = |at: &Duration| *at > now && *at >= answer;
        let by_shard = Some(shard.rate.affordable_at(next, now)).filter(is_late);
        let part_of_run = next.min(self.run_rate.worth_of(gathering));
        let by_run = Some(self.run_rate.affordable_at(part_of_run, now)).filter(is_late);
        match (by_shard, by_run) {
            (Some(_), _) if shard.rate.scale() < SCALE_FULL => (Brake::Failure, by_shard),
            (Some(_), _) => (Brake::Shard, by_shard),
            (None, Some(_)) => (Brake::RunRate, by_run),
            (None, None) => (Brake::RoundTrip, None),
        }
    }
}
