//! The whole of a run under everything at once: the pure layer proves the engine, this one the shell around it.
//!
//! Cancellation, orderly and sudden; lost wake-ups and deadlocks (a run that does not end fails its test);
//! back-pressure; shards that split and merge under the run.

use std::time::Duration;

use respool::config::Order;
use respool::run::report::RunState;
use respool::sim::{BurstRule, FaultPlan, Retention};

use super::delivery::{check_all_there, check_first_occurrences};
use super::world::{Archive, Setup, Until, World, mix};

/// Seeds of this layer; the pure one has thousands.
const SEEDS: u64 = 320;
/// A run that needs more attempts than this does not get on.
const ATTEMPTS_MAX: u64 = 60;

#[test]
fn the_shell_keeps_every_promise_under_every_fault() {
    let archives = [
        Archive::of(400, 200, 40, 60),
        Archive::of(900, 150, 5_000, 200),
        Archive::of(120, 9_000, 9, 7),
        Archive::of(300, 300, 1, 300),
    ];
    let (mut duplicates, mut reshards, mut attempts) = (0, 0, 0);
    for seed in 0..SEEDS {
        let die = |what: u64| mix(seed * 1_000 + what);
        let archive = &archives[(die(0) % 4) as usize];
        let setup = Setup {
            shards: 1 + (die(1) % 4) as u32,
            burst_rule: [BurstRule::SECOND, BurstRule::TENTH, BurstRule::FixedWindows][(die(2) % 3) as usize],
            latency: Duration::from_millis([1, 8, 40][(die(3) % 3) as usize]),
            retention: Retention::All,
            order: if die(4) % 6 == 0 { Order::None } else { Order::Key },
            aggregate: die(8) % 3 == 0,
            faults: FaultPlan::draw(die(5)),
            reshard_after: (die(6) % 3 == 0).then(|| Duration::from_millis(die(7) % 1_500)),
            ..Setup::PLAIN
        };
        let mut world = World::new(archive, setup);
        let until = |attempt: u64| match die(10 + attempt) % 5 {
            _ if attempt > 5 => Until::Done,
            0 => Until::Done,
            1 => Until::Interrupted(Duration::from_micros(die(100 + attempt) % 900_000)),
            _ => Until::Killed(Duration::from_micros(die(100 + attempt) % 900_000)),
        };
        let report = (0..ATTEMPTS_MAX).find_map(|attempt| {
            attempts += 1;
            world.attempt(until(attempt)).filter(|report| report.state == RunState::Done)
        });
        let report = report.unwrap_or_else(|| panic!("seed {seed} does not end: {}", setup.faults));
        let situation = format!("seed {seed}: {} {report:?}", setup.faults);
        assert_eq!((report.exit_code, report.order_violations), (0, 0), "{situation}");
        assert_eq!(report.records.delivered, archive.records.len() as u64, "{situation}");
        let surplus = match setup.order {
            Order::None => check_all_there(&world, archive),
            _ => check_first_occurrences(&world, archive),
        };
        assert!(surplus <= report.possible_duplicates, "{surplus} duplicates, {situation}");
        duplicates += surplus;
        reshards += report.reshards;
    }
    assert!(duplicates > 100 && reshards > 10 && attempts > SEEDS, "{duplicates} {reshards} {attempts}");
}
