//! What one seed stands for: an archive, a stream, and everything that happens to them.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use crate::record::{ByteCount, HashKey, Ordinal};
use crate::route::{Routed, RoutedChunk, SetAside, SetAsideReason};
use crate::sim::{BurstRule, FaultPlan};
use crate::write::lane::Order;
use crate::write::rate::ShardRate;

/// What the archive gives, in its order.
#[derive(Debug, Clone)]
pub(super) enum Fed {
    /// Records of one object.
    Chunk(RoutedChunk),
    /// An object that is set aside whole.
    Quarantined(u32),
}

impl Fed {
    /// The object it is of.
    pub(super) fn object(&self) -> u32 {
        match self {
            Self::Quarantined(object) => *object,
            Self::Chunk(chunk) => {
                let first = chunk.records.first().map(|record| record.ordinal);
                let aside = chunk.set_aside.first().map(|aside| aside.ordinal);
                // An empty chunk ends its object.
                first.or(aside).map_or(chunk.end.object().saturating_sub(1), Ordinal::object)
            }
        }
    }
}

/// Something that is done to the run or to the stream, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incident {
    /// The process is gone at once.
    Kill,
    /// The user interrupts it.
    Interrupt,
    /// Some shard splits, or two merge, or all are scaled, as the dice say.
    Reshard,
    /// The service refuses everything for a while.
    Refuse,
    /// Nothing reaches the service for a while.
    Away,
    /// The next checkpoint cannot be written.
    BreakDisk,
    /// The next checkpoint takes two seconds.
    StallDisk,
}

/// What a run may be bound to beside its shards: nothing, for the most part.
const RUN_RATES: [Option<ShardRate>; 6] = [
    None,
    None,
    None,
    None,
    Some(ShardRate { records: 150.0, bytes: 1e12 }),
    Some(ShardRate { records: 1e9, bytes: 150_000.0 }),
];

/// One world.
#[derive(Debug, Clone)]
pub(super) struct Scenario {
    pub(super) seed: u64,
    pub(super) order: Order,
    /// The largest record of the stream, if records are packed.
    pub(super) aggregate: Option<usize>,
    /// How long the stream is `UPDATING` for a change of shards.
    pub(super) transition: Duration,
    pub(super) shards: u32,
    pub(super) burst_rule: BurstRule,
    pub(super) share: f64,
    /// What all shards together may be sent, if that is bounded.
    pub(super) run_rate: Option<ShardRate>,
    pub(super) latency: Duration,
    pub(super) window_records: usize,
    /// Requests that may be in flight together.
    pub(super) requests_max: usize,
    pub(super) keys: u64,
    /// One record in so many has the same key; 0 for none.
    pub(super) hot: u64,
    pub(super) cost_max: u32,
    pub(super) objects: u32,
    pub(super) records: u32,
    /// One record in so many is refused by the service for good; 0 for none.
    pub(super) bad: u64,
    pub(super) faults: FaultPlan,
    /// Nothing goes wrong any more after this.
    pub(super) faults_end: Duration,
    pub(super) incidents: Vec<(Duration, Incident)>,
    /// Timers and events may come so late.
    pub(super) sloth: Duration,
    /// A checkpoint takes up to this.
    pub(super) disk: Duration,
    /// From the decision to send until a request leaves, up to this.
    pub(super) encode: Duration,
    /// The first of the hash space's quarters answers so many times slower.
    pub(super) slow: u32,
    /// Records a second that somebody else writes to each shard.
    pub(super) neighbour: u32,
}

impl Scenario {
    /// Whether what passes through has no room now: in a third of all worlds it comes and goes.
    pub(super) fn input_waits(&self, now: Duration) -> bool {
        self.seed.is_multiple_of(3) && now.as_micros() % 7 < 3
    }

    /// The world of `seed`, with its own mix of everything.
    pub(super) fn draw(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let faults_end = Duration::from_millis(dice.u64(500..6_000));
        let order = [Order::Key, Order::Key, Order::Key, Order::Relaxed, Order::Shard, Order::None];
        let order = order[dice.usize(0..order.len())];
        let records = match order {
            Order::Shard => dice.u32(20..200),
            _ => dice.u32(50..900),
        };
        let rule = [BurstRule::SECOND, BurstRule::TENTH, BurstRule::FixedWindows][dice.usize(0..3)];
        let mut scenario = Self {
            seed,
            order,
            aggregate: None,
            transition: Duration::ZERO,
            shards: dice.u32(1..=5),
            burst_rule: rule,
            share: [0.98, 0.98, 0.5, 0.1][dice.usize(0..4)],
            run_rate: RUN_RATES[Rng::with_seed(seed ^ 0x001e_a11e).usize(0..RUN_RATES.len())],
            latency: Duration::from_micros([500, 5_000, 20_000, 100_000][dice.usize(0..4)]),
            window_records: [64, 1_000, 100_000][dice.usize(0..3)],
            requests_max: [512, 512, 9][Rng::with_seed(seed ^ 0xf11e).usize(0..3)],
            keys: [1, 7, 60, 100_000][dice.usize(0..4)],
            hot: [0, 0, 2, 9][dice.usize(0..4)],
            cost_max: [200, 200, 3_000, 60_000][dice.usize(0..4)],
            objects: dice.u32(1..12),
            records,
            bad: [0, 0, 0, 150][dice.usize(0..4)],
            faults: if dice.u8(0..8) == 0 { FaultPlan::NONE } else { FaultPlan::draw(dice.u64(..)) },
            faults_end,
            incidents: Vec::new(),
            sloth: Duration::from_millis([0, 1, 15][dice.usize(0..3)]),
            disk: Duration::from_millis([1, 5, 40, 400][dice.usize(0..4)]),
            slow: if dice.u8(0..6) == 0 { 40 } else { 1 },
            neighbour: [0, 0, 0, 300][dice.usize(0..4)],
            encode: Duration::from_millis([0, 0, 2, 300][Rng::with_seed(seed ^ 0xd0_0a).usize(0..4)]),
        };
        let mut dice_together = Rng::with_seed(seed ^ 0x0006_2e9a);
        if dice_together.u8(0..3) == 0 {
            scenario.aggregate = Some([1 << 20, 70_000, 70_000][dice_together.usize(0..3)]);
            scenario.transition = Duration::from_millis([0, 0, 30, 800][dice_together.usize(0..4)]);
        }
        // A slow lane or a hot key needs a round trip for each record.
        if scenario.slow > 1 || (scenario.keys < 7 && order == Order::Key) {
            scenario.latency = scenario.latency.min(Duration::from_millis(5));
        }
        scenario.incidents = incidents(&mut dice, faults_end);
        if scenario.aggregate.is_some() {
            let reshards = (0..6).map(|_| (faults_end.mul_f64(dice_together.f64()), Incident::Reshard));
            scenario.incidents.extend(reshards);
        }
        // Some worlds are nothing but lost answers and kills.
        if dice.u8(0..10) == 0 {
            scenario.faults = FaultPlan::LOSING;
            let kills = (0..20).map(|_| (faults_end.mul_f64(dice.f64()), Incident::Kill));
            scenario.incidents.extend(kills);
        }
        scenario
    }

    /// Four shards, nothing that goes wrong, and the first of them so many times slower than the others.
    pub(super) fn calm(slow: u32) -> Self {
        Self {
            order: Order::Key,
            aggregate: None,
            transition: Duration::ZERO,
            shards: 4,
            burst_rule: BurstRule::SECOND,
            share: 0.98,
            run_rate: None,
            latency: Duration::from_millis(20),
            window_records: 100_000,
            requests_max: 512,
            keys: 100_000,
            hot: 0,
            cost_max: 200,
            objects: 12,
            records: 12_000,
            bad: 0,
            faults: FaultPlan::NONE,
            incidents: Vec::new(),
            sloth: Duration::ZERO,
            disk: Duration::from_millis(1),
            encode: Duration::ZERO,
            slow,
            neighbour: 0,
            ..Self::draw(7)
        }
    }

    /// Everything the archive gives.
    pub(super) fn archive(&self) -> Vec<Fed> {
        let mut dice = Rng::with_seed(self.seed ^ 0x00a7_c41e);
        let per_object = self.records.div_ceil(self.objects);
        let mut fed = Vec::new();
        for object in 0..self.objects {
            if dice.u8(0..20) == 0 {
                fed.push(Fed::Quarantined(object));
                continue;
            }
            let mut rest = dice.u32(0..=per_object * 2);
            let mut next = 0;
            loop {
                let size = rest.min(dice.u32(1..400));
                rest -= size;
                let mut chunk = self.chunk(&mut dice, object, next..next + size);
                next += size;
                if rest == 0 {
                    chunk.end = Ordinal::new(object + 1, 0);
                    // What --limit leaves out.
                    chunk.filtered = if object + 1 == self.objects { dice.u32(0..3) } else { 0 };
                }
                fed.push(Fed::Chunk(chunk));
                if rest == 0 {
                    break;
                }
            }
        }
        fed
    }

    fn chunk(&self, dice: &mut Rng, object: u32, numbers: std::ops::Range<u32>) -> RoutedChunk {
        let (mut records, mut set_aside) = (Vec::new(), Vec::new());
        let end = Ordinal::new(object, numbers.end);
        for number in numbers {
            let ordinal = Ordinal::new(object, number);
            if dice.u16(0..200) == 0 {
                let (found, max) = (ByteCount(2), ByteCount(1));
                set_aside.push(SetAside { ordinal, reason: SetAsideReason::TooLarge { found, max } });
                continue;
            }
            let hot = self.hot > 0 && dice.u64(0..self.hot) == 0;
            let key = if hot { 0 } else { dice.u64(0..self.keys) };
            let cost = if dice.u8(0..4) == 0 { dice.u32(50..=self.cost_max) } else { dice.u32(50..=200) };
            records.push(Routed {
                ordinal,
                hash: place(key),
                cost,
                key_bytes: 1 + (key % 16) as u16,
                key_at: 0,
            });
        }
        RoutedChunk { records, set_aside, end, filtered: 0 }
    }

    /// Whether the service refuses the record for good.
    pub(super) fn is_bad(&self, record: &Routed) -> bool {
        self.bad > 0
            && (record.hash.0 ^ u128::from(record.ordinal.record())).is_multiple_of(u128::from(self.bad))
    }
}

/// Whether a slow shard, if there is one, stands in the way.
pub(super) fn is_slow(hash: HashKey) -> bool {
    hash < HashKey(u128::MAX / 4)
}

/// Where the key of that number is placed.
fn place(key: u64) -> HashKey {
    let mut dice = Rng::with_seed(key);
    HashKey(dice.u128(..))
}

fn incidents(dice: &mut Rng, faults_end: Duration) -> Vec<(Duration, Incident)> {
    let kinds = [
        (Incident::Kill, 6),
        (Incident::Interrupt, 2),
        (Incident::Reshard, 3),
        (Incident::Refuse, 1),
        (Incident::Away, 1),
        (Incident::BreakDisk, 1),
        (Incident::StallDisk, 1),
    ];
    let mut incidents = Vec::new();
    for (kind, often) in kinds {
        let count = if dice.bool() { dice.u64(0..=often) } else { 0 };
        incidents.extend((0..count).map(|_| (faults_end.mul_f64(dice.f64()), kind)));
    }
    incidents.sort_by_key(|&(at, _)| at);
    incidents
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "faults until {:?}: {}", self.faults_end, self.faults)?;
        for (at, incident) in &self.incidents {
            writeln!(f, "  {at:?} {incident:?}")?;
        }
        if let Some(rate) = self.run_rate {
            writeln!(f, "{} records and {} B a second for all", rate.records, rate.bytes)?;
        }
        let Self { order, shards, burst_rule, share, latency, window_records, .. } = self;
        writeln!(
            f,
            "order {}, {shards} shards, {burst_rule:?}, share {share}, {latency:?}, window {window_records}",
            order.as_str()
        )?;
        if let Self { aggregate: Some(max), transition, .. } = self {
            writeln!(f, "aggregates up to {max} B, changes of shards take {transition:?}")?;
        }
        let Self { keys, hot, cost_max, objects, records, bad, sloth, disk, encode, slow, neighbour, .. } =
            self;
        write!(
            f,
            "{records} records in {objects} objects, {keys} keys, hot {hot}, up to {cost_max} B, bad {bad}, sloth \
             {sloth:?}, disk {disk:?}, encode {encode:?}, slow {slow}, neighbour {neighbour}"
        )
    }
}
