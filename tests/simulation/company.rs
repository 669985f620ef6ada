//! Others write to the stream too: what they leave is used, and they are not pushed aside.
//!
//! Steady company is a promise; the figures for company that comes and goes are shown
//! (`cargo test company -- --nocapture`), because no rule about what others do next can be right.

use std::time::Duration;

use respool::sim::{BurstRule, Retention};

use super::world::{Archive, Setup, Until, World};

const RULES: [BurstRule; 3] = [BurstRule::SECOND, BurstRule::TENTH, BurstRule::FixedWindows];
/// What a shard takes in a second.
const SHARD_RECORDS: f64 = 1_000.0;
/// What others write of it.
const OTHERS: u32 = 300;

/// The part of what others leave that we get, and our throttled share, after the first seconds.
#[expect(clippy::cast_precision_loss, reason = "counts of a test")]
fn measure(burst_rule: BurstRule, latency: Duration, (others, restless): (u32, bool)) -> (f64, f64) {
    let archive = Archive::of(40_000, 150, 20_000, 5_000);
    let setup = Setup {
        shards: 1,
        burst_rule,
        latency,
        retention: Retention::Nothing,
        neighbour: others,
        restless,
        ..Setup::PLAIN
    };
    let mut world = World::new(&archive, setup);
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!(report.exit_code, 0, "{:?}", report.message);
    let seen = world.seen.lock().unwrap();
    let log = seen.shards.values().next().unwrap();
    let at = |second: u64| log.iter().rfind(|taken| taken.at <= Duration::from_secs(second)).unwrap();
    let (first, last) = (at(5), at(50));
    let seconds = last.at.saturating_sub(first.at).as_secs_f64();
    let rate = (last.records - first.records) as f64 / seconds;
    let left = SHARD_RECORDS - f64::from(others);
    (rate / left, seen.throttled as f64 / archive.records.len() as f64)
}

#[test]
fn beside_steady_company_what_it_leaves_is_used_and_little_is_throttled() {
    let mut failed = Vec::new();
    for burst_rule in RULES {
        for millis in [5, 20, 80] {
            let (used, throttled) = measure(burst_rule, Duration::from_millis(millis), (OTHERS, false));
            let line = format!(
                "{burst_rule:?}, {millis} ms: {:.1} % of the rest, {:.2} % throttled",
                used * 100.0,
                throttled * 100.0
            );
            println!("{line}");
            if used < 0.95 || throttled >= 0.01 {
                failed.push(line);
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn company_that_comes_and_goes_slows_us_down_and_no_more() {
    for burst_rule in RULES {
        let (used, throttled) = measure(burst_rule, Duration::from_millis(20), (OTHERS, true));
        println!(
            "{burst_rule:?}, restless: {:.1} % of the rest, {:.2} % throttled",
            used * 100.0,
            throttled * 100.0
        );
        assert!(used > 0.3 && throttled < 0.1, "{burst_rule:?}: {used} {throttled}");
    }
}

/// The more others write, the less a throttle says of our rate. What they leave is used, and little more.
#[test]
fn company_that_leaves_little_is_not_pushed_aside() {
    for burst_rule in RULES {
        for (others, throttled_max) in [(600, 0.015), (800, 0.025), (950, 0.15)] {
            let (used, throttled) = measure(burst_rule, Duration::from_millis(20), (others, false));
            let line = format!(
                "{burst_rule:?}, {others} of others: {:.1} % of the rest, {:.2} % throttled",
                used * 100.0,
                throttled * 100.0
            );
            println!("{line}");
            assert!(used > 0.95 && throttled < throttled_max, "{line}");
        }
    }
}
