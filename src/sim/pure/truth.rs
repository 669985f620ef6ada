//! What was really stored, and everything that is promised held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::scenario::{Fed, Scenario, is_slow};
use crate::limits::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX};
use crate::record::{HashKey, Ordinal, ShardId};
use crate::route::{Routed, RoutedChunk, SetAside, SetAsideReason};
use crate::write::Packed;
use crate::write::checkpoint::{Checkpoint, ObjectLedger, Totals};
use crate::write::lane::Order;
use crate::write::rate::{Load, ShardRate};

/// The longest burst that any round trip calls for.
const BURST_MAX: f64 = 0.2;

/// What is known of one record.
#[derive(Debug, Clone, Copy)]
struct Record {
    hash: HashKey,
    /// Copies in the stream.
    copies: u32,
    /// Sendings of which no process knows durably what came of them: each may have left a copy.
    uncertain: u32,
    /// Those of them that it was sent again after.
    repeated: u32,
}

/// What was sent beyond a rate: a shard's, or the run's.
#[derive(Debug, Clone, Copy, Default)]
struct Meter {
    records: f64,
    bytes: f64,
    /// The largest record since nothing was last sent beyond the rate.
    largest: f64,
    at: Duration,
}

impl Meter {
    /// So much leaves, of which the largest costs `largest`. Says how much is beyond the rate if that is more than may be: the
    /// burst, one record more, and what f64 rounds.
    fn departed(&mut self, now: Duration, rate: ShardRate, load: Load, largest: f64) -> Option<String> {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.records = (self.records - passed * rate.records).max(0.0);
        self.bytes = (self.bytes - passed * rate.bytes).max(0.0);
        if self.bytes == 0.0 {
            self.largest = 0.0;
        }
        self.records += load.records;
        self.bytes += load.bytes;
        (self.largest, self.at) = (self.largest.max(largest), now);
        let Self { records, bytes, largest, .. } = *self;
        let beyond =
            records > rate.records * BURST_MAX + 1.01 || bytes > rate.bytes * BURST_MAX + largest + 1.0;
        beyond.then(|| format!("{records:.1} records and {bytes:.0} B beyond its rate at {now:?}"))
    }
}

/// The world as nobody in it can see it.
pub(super) struct Truth {
    order: Order,
    aggregate: Option<usize>,
    rate: ShardRate,
    records: BTreeMap<Ordinal, Record>,
    /// Set aside by the route.
    routed_aside: BTreeSet<Ordinal>,
    /// Set aside because the service refuses them.
    rejected: BTreeSet<Ordinal>,
    filtered: u64,
    quarantined_objects: BTreeSet<u32>,
    objects: u64,
    /// By key, the last record that was stored for the first time.
    newest: BTreeMap<HashKey, Ordinal>,
    inversions: u64,
    /// Sendings after one of which nobody knows durably what came of it.
    repeats: u64,
    meters: BTreeMap<ShardId, Meter>,
    run_rate: Option<ShardRate>,
    run_meter: Meter,
    /// When the last record was stored that no slow shard is in the way of.
    pub(super) fast_until: Duration,
    /// The first promise that was broken.
    pub(super) broken: Option<String>,
}

impl Truth {
    /// Nothing is stored yet.
    pub(super) fn new(scenario: &Scenario, archive: &[Fed], rate: ShardRate) -> Self {
        let mut truth = Self {
            order: scenario.order,
            aggregate: scenario.aggregate,
            rate,
            records: BTreeMap::new(),
            routed_aside: BTreeSet::new(),
            rejected: BTreeSet::new(),
            filtered: 0,
            quarantined_objects: BTreeSet::new(),
            objects: u64::from(scenario.objects),
            newest: BTreeMap::new(),
            inversions: 0,
            repeats: 0,
            meters: BTreeMap::new(),
            run_rate: scenario.run_rate,
            run_meter: Meter::default(),
            fast_until: Duration::ZERO,
            broken: None,
        };
        for fed in archive {
            match fed {
                Fed::Quarantined(object) => drop(truth.quarantined_objects.insert(*object)),
                Fed::Chunk(chunk) => truth.learn(chunk),
            }
        }
        truth
    }

    fn learn(&mut self, chunk: &RoutedChunk) {
        for record in &chunk.records {
            self.records
                .insert(record.ordinal, Record { hash: record.hash, copies: 0, uncertain: 0, repeated: 0 });
        }
        self.routed_aside.extend(chunk.set_aside.iter().map(|aside| aside.ordinal));
        self.filtered += u64::from(chunk.filtered);
    }

    /// Notes that a promise is broken.
    pub(super) fn fail(&mut self, sentence: String) {
        self.broken.get_or_insert(sentence);
    }

    /// Records that are to be delivered or refused.
    pub(super) fn record_count(&self) -> usize {
        self.records.len()
    }

    /// The rate is kept by each process for itself: what one that was killed owed, nobody knows.
    pub(super) fn process_started(&mut self) {
        self.meters.clear();
        self.run_meter = Meter::default();
    }

    /// Copies beyond the first.
    pub(super) fn duplicates(&self) -> u64 {
        self.records.values().map(|record| u64::from(record.copies.saturating_sub(1))).sum()
    }

    /// The stream has stored a copy.
    pub(super) fn stored(&mut self, now: Duration, record: &Routed) {
        if !is_slow(record.hash) {
            self.fast_until = now;
        }
        let Some(known) = self.records.get_mut(&record.ordinal) else {
            return self.fail(format!("{} was never in the archive", record.ordinal));
        };
        known.copies += 1;
        if known.copies > 1 {
            return;
        }
        let newest = self.newest.entry(record.hash).or_insert(record.ordinal);
        if *newest > record.ordinal {
            let newest = *newest;
            match self.order {
                Order::Key | Order::Shard => {
                    self.fail(format!("{} is stored behind {newest} of its key", record.ordinal));
                }
                Order::Relaxed => self.inversions += 1,
                Order::None => {}
            }
            return;
        }
        *newest = record.ordinal;
    }

    /// Nobody knows durably what came of a sending.
    pub(super) fn uncertain(&mut self, ordinal: Ordinal) {
        if let Some(record) = self.records.get_mut(&ordinal) {
            record.uncertain += 1;
        }
    }

    /// The engine sends a request of one lane; `others` are in flight already.
    pub(super) fn sent<'a>(
        &mut self,
        request: &'a Packed,
        others: impl Iterator<Item = &'a Packed> + Clone,
        durable: &Checkpoint,
    ) {
        let bytes: usize = request.entries().map(|(_, cost)| cost as usize).sum();
        let entries = request.entry_count();
        if entries == 0 || entries > BATCH_ENTRIES_MAX || (entries > 1 && bytes > BATCH_BYTES_MAX) {
            self.fail(format!("a request of {entries} entries and {bytes} B"));
        }
        let longest = request.entries().map(|(records, _)| records.len()).max();
        if longest > Some(1) && self.aggregate.is_none_or(|max| bytes > max * entries) {
            self.fail(format!("{longest:?} records in an entry of {bytes} B"));
        }
        if self.order == Order::Shard && entries > 1 {
            self.fail("a request of order `shard` has more than one entry".into());
        }
        if request.entries().any(|(records, _)| !records.is_sorted_by_key(|record| record.ordinal)) {
            self.fail("the records of an entry are not in order".into());
        }
        if self.order == Order::Key {
            let mut keys = BTreeSet::new();
            for (records, _) in others.clone().chain([request]).flat_map(Packed::entries) {
                let of_entry: BTreeSet<HashKey> = records.iter().map(|record| record.hash).collect();
                if !of_entry.into_iter().all(|key| keys.insert(key)) {
                    self.fail("a key is in flight twice".into());
                }
            }
        }
        let others = others.flat_map(Packed::records);
        let mut ordinals: BTreeSet<Ordinal> = others.map(|record| record.ordinal).collect();
        if !request.records().iter().all(|record| ordinals.insert(record.ordinal)) {
            self.fail("a record is in flight twice".into());
        }
        for record in request.records() {
            let lane = durable.lanes.partition_point(|lane| lane.range.last < record.hash);
            if record.ordinal >= durable.lanes[lane].reach {
                self.fail(format!(
                    "{} is sent beyond the durable reach {}",
                    record.ordinal, durable.lanes[lane].reach
                ));
            }
            if let Some(known) = self.records.get_mut(&record.ordinal) {
                self.repeats += u64::from(known.uncertain - known.repeated);
                known.repeated = known.uncertain;
            }
        }
        let counted = durable.totals.possible_duplicates.total();
        if self.repeats > counted {
            self.fail(format!(
                "{} copies are possible, but only {counted} are durably counted",
                self.repeats
            ));
        }
    }

    /// A request of one lane leaves for `shard`.
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    pub(super) fn departed(&mut self, now: Duration, shard: &ShardId, request: &Packed) {
        let bytes: u64 = request.entries().map(|(_, cost)| u64::from(cost)).sum();
        let largest = request.entries().map(|(_, cost)| f64::from(cost)).fold(0.0, f64::max);
        let entries = Load { records: request.entry_count() as f64, bytes: bytes as f64 };
        let meter = self.meters.entry(shard.clone()).or_default();
        if let Some(beyond) = meter.departed(now, self.rate, entries, largest) {
            self.fail(format!("{shard} is sent {beyond}"));
        }
        let records = Load { records: request.records().len() as f64, ..entries };
        let run_rate = self.run_rate;
        if let Some(beyond) = run_rate.and_then(|rate| self.run_meter.departed(now, rate, records, largest)) {
            self.fail(format!("all shards together are sent {beyond}"));
        }
    }

    /// Records are set aside.
    pub(super) fn set_aside(&mut self, set_aside: &[SetAside]) {
        for aside in set_aside {
            match &aside.reason {
                SetAsideReason::Rejected { possibly_delivered, .. } => {
                    let copies = self.records.get(&aside.ordinal).map_or(0, |record| record.copies);
                    if copies > 0 && !possibly_delivered {
                        self.fail(format!("{} is refused and stored {copies} times", aside.ordinal));
                    }
                    self.rejected.insert(aside.ordinal);
                }
                _ if !self.routed_aside.contains(&aside.ordinal) => {
                    self.fail(format!("{} is set aside without a reason", aside.ordinal));
                }
                _ => {}
            }
        }
    }

    /// The engine says that every record of an object is settled.
    pub(super) fn object_settled(&mut self, object: u32, ledger: ObjectLedger) {
        let range = Ordinal::new(object, 0)..Ordinal::new(object + 1, 0);
        let records = self.records.range(range.clone());
        let (mut stored, mut rejected) = (0, 0);
        for (ordinal, record) in records {
            if self.rejected.contains(ordinal) {
                rejected += 1;
            } else if record.copies > 0 {
                stored += 1;
            } else {
                return self.fail(format!("object {object} is settled without {ordinal}"));
            }
        }
        let aside = self.routed_aside.range(range).count() + rejected;
        if (ledger.delivered as usize, ledger.quarantined as usize) != (stored, aside) {
            self.fail(format!("object {object}: {ledger:?}, but {stored} are stored and {aside} set aside"));
        }
    }

    /// What is claimed as progress has happened, and the counters count exactly that.
    pub(super) fn check_claims(&mut self, checkpoint: &Checkpoint) {
        let (mut delivered, mut aside) = (0, 0);
        let mut broken = None;
        for (&ordinal, record) in &self.records {
            let lane = checkpoint.lanes.partition_point(|lane| lane.range.last < record.hash);
            if !checkpoint.lanes[lane].is_settled(ordinal) || checkpoint.frontier <= ordinal {
                continue;
            }
            if self.rejected.contains(&ordinal) {
                aside += 1;
                continue;
            }
            delivered += 1;
            if record.copies == 0 {
                broken =
                    Some(format!("checkpoint {} claims {ordinal}, which is not stored", checkpoint.sequence));
            }
        }
        aside += self.routed_aside.iter().filter(|&&ordinal| ordinal < checkpoint.frontier).count() as u64;
        let totals = &checkpoint.totals;
        if broken.is_none() && (totals.delivered, totals.quarantined) != (delivered, aside) {
            broken = Some(format!(
                "checkpoint {} claims {delivered} delivered and {aside} set aside, but counts {} and {}",
                checkpoint.sequence, totals.delivered, totals.quarantined
            ));
        }
        if let Some(sentence) = broken {
            self.fail(sentence);
        }
    }

    /// The run says that it is done.
    pub(super) fn check_done(&mut self, totals: &Totals) {
        let missing = self
            .records
            .iter()
            .find(|(ordinal, record)| record.copies == 0 && !self.rejected.contains(ordinal));
        if let Some((ordinal, _)) = missing {
            return self.fail(format!("the run is done without {ordinal}"));
        }
        let baseless = self.records.iter().find(|(_, record)| record.copies > 1 + record.uncertain);
        if let Some((ordinal, record)) = baseless {
            return self.fail(format!(
                "{ordinal} is stored {} times, {} for a cause",
                record.copies, record.uncertain
            ));
        }
        let (duplicates, counted) = (self.duplicates(), totals.possible_duplicates.total());
        if duplicates > counted {
            self.fail(format!("{duplicates} duplicates, but {counted} are counted as possible"));
        }
        if self.inversions > totals.inversions + totals.possible_inversions {
            let Totals { inversions, possible_inversions, .. } = totals;
            self.fail(format!(
                "{} inversions, counted {inversions} and {possible_inversions}",
                self.inversions
            ));
        }
        if totals.order_violations > 0 {
            self.fail(format!("{} violations of an order that was kept", totals.order_violations));
        }
        let rejected = self.rejected.len();
        let sums = (totals.delivered, totals.quarantined, totals.filtered, totals.objects_quarantined);
        let quarantined_objects = self.quarantined_objects.len() as u64;
        let expected = (
            (self.records.len() - rejected) as u64,
            (self.routed_aside.len() + rejected) as u64,
            self.filtered,
            quarantined_objects,
        );
        if sums != expected || totals.objects_settled + quarantined_objects != self.objects {
            self.fail(format!("the sums are {sums:?} and should be {expected:?}: {totals:?}"));
        }
    }
}
