//! How processes come and go, and what is done to them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::scenario::Incident;
use super::world::{Happening, Process, World, rate};
use crate::write::checkpoint::Totals;
use crate::write::rate::ShardRate;
use crate::write::{End, Engine, EngineConfig, Event, Packed, StopReason};

impl World {
    pub(super) fn start(&mut self) {
        let map = self.shard_map();
        self.truth.process_started();
        self.truth.check_claims(&self.durable);
        let config = EngineConfig {
            order: self.scenario.order,
            aggregate: self.scenario.aggregate,
            updating: self.is_updating(),
            shard_rate: rate(&self.scenario),
            run_rate: self.scenario.run_rate.unwrap_or(ShardRate::UNBOUNDED),
            hash_places: true,
            window_records: self.scenario.window_records,
            requests_max: self.scenario.requests_max,
            seed: self.scenario.seed,
        };
        let engine = Engine::new(config, &map, &self.durable, self.now);
        let first = engine.restart_object();
        let fed = self.archive.partition_point(|fed| fed.object() < first);
        self.processes += 1;
        self.process = Some(Process {
            id: self.processes,
            engine,
            fed,
            input_ended: false,
            feed_at: self.now,
            in_flight: BTreeMap::new(),
            at_the_door: BTreeMap::new(),
            acked: Vec::new(),
            acked_since: None,
            noted: Vec::new(),
            under_way: None,
            tick: None,
            disk_broken: false,
        });
        self.tell(Event::Tick);
    }

    pub(super) fn incident(&mut self, incident: Incident) {
        match incident {
            Incident::Kill => self.kill(),
            Incident::Interrupt => self.tell(Event::Stop(StopReason::Interrupted)),
            Incident::Reshard => self.reshard(),
            Incident::Refuse => {
                self.refuses_until = self.now + Duration::from_millis(self.dice.u64(100..1_500));
            }
            Incident::Away => {
                let seconds = if self.dice.u8(0..10) == 0 { 5_000 } else { 20 };
                self.away_until = self.now + Duration::from_millis(self.dice.u64(100..seconds * 1_000));
            }
            Incident::BreakDisk => self.disk_breaks = true,
            Incident::StallDisk => self.disk_stalls = true,
        }
    }

    pub(super) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        self.tally.kills += 1;
        // A frame that was being written is whole, or torn and not there.
        if let Some((checkpoint, _)) = process.under_way.take()
            && !process.disk_broken
            && self.dice.bool()
        {
            self.durable = *checkpoint;
            process.noted.clear();
        }
        self.bury(&process);
    }

    pub(super) fn ended(&mut self, process: &Process, end: &End) {
        if *end == End::Done {
            let totals: Totals = *process.engine.totals();
            self.truth.check_claims(&self.durable);
            self.truth.check_done(&totals);
            if self.durable.totals != totals {
                self.truth.fail("the run is done before that is durable".into());
            }
            self.done = true;
            return;
        }
        if let End::Stopped(StopReason::Contradiction(sentence)) = end {
            self.truth.fail(sentence.clone());
        }
        self.tally.stops += 1;
        self.bury(process);
    }

    /// What a process leaves behind, nobody knows.
    pub(super) fn bury(&mut self, process: &Process) {
        let in_flight = process.in_flight.values().flat_map(Packed::records).map(|record| record.ordinal);
        let lost = process.acked.iter().chain(&process.noted).copied();
        in_flight.chain(lost).for_each(|ordinal| self.truth.uncertain(ordinal));
        let pause = Duration::from_millis(self.dice.u64(1..400));
        self.at(self.now + pause, Happening::Start);
    }
}
