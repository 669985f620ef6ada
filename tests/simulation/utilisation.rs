//! Every shard full from start-up to the tail, and nothing throttled.
//!
//! What is measured here is not what the report says but what the stream's caller sees: what a shard has
//! taken up to a moment before its last records, against the configured rate over all the time since the
//! run began.

use std::time::Duration;

use respool::config::Order;
use respool::sim::{BurstRule, Retention};

use super::world::{Archive, Setup, Taken, Until, World, mix, record};

/// The default share of 1,000 records and 1,000,000 bytes a second.
const RECORDS_PER_SECOND: f64 = 980.0;
const BYTES_PER_SECOND: f64 = 980_000.0;
const UTILISATION_MIN: f64 = 0.975;
/// At the end some keys have more than one record left, and each waits for the one before it.
const TAIL_SECONDS: f64 = 0.25;
const RULES: [BurstRule; 3] = [BurstRule::SECOND, BurstRule::TENTH, BurstRule::FixedWindows];

/// Each shard's part of the configured rate, the lowest and the highest, and the throttled share.
#[derive(Debug)]
struct Measured {
    lowest: f64,
    highest: f64,
    throttled: f64,
}

/// The seconds that `taken` takes at the configured rate.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn work(taken: &Taken) -> f64 {
    (taken.records as f64 / RECORDS_PER_SECOND).max(taken.bytes as f64 / BYTES_PER_SECOND)
}

/// The part of the configured rate that a shard was given, up to the tail.
fn used(log: &[Taken]) -> f64 {
    let all = work(log.last().unwrap());
    let before_tail = log.iter().rev().find(|taken| work(taken) <= all - TAIL_SECONDS).unwrap();
    work(before_tail) / before_tail.at.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn measure(archive: &Archive, setup: Setup) -> Measured {
    let mut world = World::new(archive, setup);
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!(report.exit_code, 0, "{:?}", report.message);
    let seen = world.seen.lock().unwrap();
    assert_eq!(seen.shards.len(), setup.shards as usize);
    let used: Vec<f64> = seen.shards.values().map(|log| used(log)).collect();
    Measured {
        lowest: used.iter().copied().fold(f64::INFINITY, f64::min),
        highest: used.iter().copied().fold(0.0, f64::max),
        throttled: world.throttled() as f64 / archive.records.len() as f64,
    }
}

/// Records of `bytes` for `seconds` of work on each of `shards` shards, under every rule and round trip.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of a test"
)]
fn full(bytes: usize, shards: u32, seconds: f64, round_trips_ms: &[u64]) {
    let per_second = RECORDS_PER_SECOND.min(BYTES_PER_SECOND / (bytes + 9) as f64);
    let count = (per_second * seconds * f64::from(shards)) as u64;
    let archive = Archive::of(count, bytes, 3_000 * u64::from(shards), 3_000_000 / bytes);
    full_with(&archive, Setup { shards, ..Setup::PLAIN }, round_trips_ms);
}

/// The same of any archive and run.
fn full_with(archive: &Archive, setup: Setup, round_trips_ms: &[u64]) {
    let mut failed = Vec::new();
    for burst_rule in RULES {
        for &round_trip in round_trips_ms {
            let latency = Duration::from_millis(round_trip);
            let setup = Setup { burst_rule, latency, retention: Retention::Nothing, ..setup };
            let measured = measure(archive, setup);
            // Windows that begin when they like may see the end of one burst and the start of another.
            let throttled_max = if burst_rule == BurstRule::FixedWindows { 0.001 } else { 0.0 };
            let good = measured.lowest >= UTILISATION_MIN
                && measured.highest <= 1.01
                && measured.throttled <= throttled_max;
            let Setup { shards, order, .. } = setup;
            let line = format!("{shards} shards, {order:?}, {round_trip} ms, {burst_rule:?}: {measured:?}");
            if !good {
                failed.push(line);
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn one_shard_stays_full_of_small_records() {
    full(200, 1, 4.0, &[2, 20, 100]);
    full(1_000, 1, 4.0, &[2, 20, 100]);
}

#[test]
fn one_shard_stays_full_of_large_records() {
    full(10_000, 1, 5.0, &[2, 20, 100]);
    full(27_000, 1, 5.0, &[2, 20, 100]);
}

#[test]
fn four_shards_stay_full_of_small_records() {
    full(200, 4, 3.0, &[2, 100]);
    full(1_000, 4, 3.0, &[20]);
}

#[test]
fn four_shards_stay_full_of_large_records() {
    full(10_000, 4, 5.0, &[2, 100]);
    full(27_000, 4, 5.0, &[20]);
}

#[test]
fn sixteen_shards_stay_full() {
    full(200, 16, 2.0, &[20]);
    full(10_000, 16, 4.0, &[2, 100]);
    full(27_000, 16, 4.0, &[20]);
}

#[test]
fn without_an_order_one_key_fills_every_shard() {
    fills_every_shard(15_680, Setup { shards: 8, ..Setup::PLAIN });
}

#[test]
fn without_an_order_shards_of_unequal_ranges_end_together() {
    fills_every_shard(3_920, Setup { shards: 1, split: Some(4), ..Setup::PLAIN });
}

/// Sends `count` records, nine tenths of them of one key, which take all shards of `setup` together two seconds.
fn fills_every_shard(count: u64, setup: Setup) {
    const SECONDS: f64 = 2.0;
    let mut archive = Archive::new();
    let keys = |number| if mix(number).is_multiple_of(10) { 1 + mix(number) % 5_000 } else { 0 };
    let records: Vec<_> = (0..count).map(|number| record(keys(number), number, 200)).collect();
    for records in records.chunks(4_000) {
        archive.add(&records.join(&b'\n'), records.iter().cloned());
    }
    let setup = Setup { order: Order::None, retention: Retention::Nothing, ..setup };
    let mut world = World::new(&archive, setup);
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!((report.exit_code, report.records.delivered), (0, count), "{:?}", report.message);
    // As many seconds as all shards together take; the fullest has some records more than the others.
    let seen = world.seen.lock().unwrap();
    let ends = seen.shards.values().filter_map(|log| log.last()).map(|taken| taken.at.as_secs_f64());
    let end = ends.fold(0.0, f64::max);
    assert!((SECONDS..SECONDS * 1.1).contains(&end), "{end} s for {SECONDS} s of work");
}

#[test]
fn shards_stay_full_of_aggregates() {
    let archive = Archive::of(35_000, 200, 9_000, 10_000);
    for order in [Order::Key, Order::None] {
        full_with(&archive, Setup { shards: 2, aggregate: true, order, ..Setup::PLAIN }, &[2, 20, 70]);
    }
}

/// Records of 200 B, with keys of up to 16 B that are all different.
#[test]
fn aggregates_carry_more_than_four_times_as_many_small_records() {
    let archive = Archive::of(30_000, 200, 1_000_000_000_000, 10_000);
    let rate = |aggregate| {
        let setup = Setup { shards: 1, aggregate, retention: Retention::Nothing, ..Setup::PLAIN };
        let mut world = World::new(&archive, setup);
        let report = world.attempt(Until::Done).unwrap();
        assert_eq!(report.exit_code, 0, "{:?}", report.message);
        let end = world
            .seen
            .lock()
            .unwrap()
            .shards
            .values()
            .filter_map(|log| log.last())
            .map(|taken| taken.at)
            .max();
        30_000.0 / end.unwrap().as_secs_f64()
    };
    let (packed, alone) = (rate(true), rate(false));
    println!("{packed:.0} records a second, {alone:.0} without");
    assert!(packed / alone >= 4.3, "{packed} records a second, {alone} without");
}

/// Among small records, those that the tenth of a second that the strictest rule looks at does not hold.
#[test]
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn large_records_among_small_ones_take_little_more_than_their_bytes_time() {
    let mut wrong = Vec::new();
    for bytes in [60_000, 150_000, 900_000, 1_040_000] {
        let mut archive = Archive::new();
        let large_each = (2_000_000 / bytes as u64).max(2) * 60;
        let count = large_each * 6;
        let size = |number: u64| if number % large_each == large_each / 2 { bytes } else { 200 };
        let records: Vec<_> =
            (0..count).map(|number| record(mix(number) % 900, number, size(number))).collect();
        for records in records.chunks(2_000) {
            archive.add(&records.join(&b'\n'), records.iter().cloned());
        }
        let by_bytes: usize = records.iter().map(|record| record.len() + 9).sum();
        let needed = (count as f64 / RECORDS_PER_SECOND).max(by_bytes as f64 / BYTES_PER_SECOND);
        for burst_rule in RULES {
            let setup = Setup { shards: 1, burst_rule, retention: Retention::Nothing, ..Setup::PLAIN };
            let mut world = World::new(&archive, setup);
            let report = world.attempt(Until::Done).unwrap();
            assert_eq!((report.exit_code, report.records.delivered), (0, count), "{:?}", report.message);
            let throttled = world.throttled();
            let seen = world.seen.lock().unwrap();
            let ends = seen.shards.values().filter_map(|log| log.last()).map(|taken| taken.at.as_secs_f64());
            let end = ends.fold(0.0, f64::max);
            // What is nearly all that a second takes has to meet one that nothing was sent in before.
            let (slower, throttled_max) =
                if burst_rule == BurstRule::FixedWindows { (2.2, 6) } else { (1.2, 1) };
            if end > needed * slower || throttled > throttled_max {
                wrong.push(format!(
                    "{bytes} B, {burst_rule:?}: {end:.2} s for {needed:.2} s, {throttled} throttled"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
