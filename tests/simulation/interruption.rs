//! A run that is stopped at any moment, in order or not, and goes on: nothing is lost, and what may be
//! there twice is known.

use std::time::Duration;

use respool::config::Order;
use respool::run::report::{Report, RunState};

use super::delivery::{check_all_there, check_first_occurrences};
use super::world::{Archive, Setup, Until, World, mix};

/// More attempts than any of these runs needs.
const ATTEMPTS_MAX: u64 = 200;

/// Some seconds of work on two shards, in many objects, over few keys.
fn archive() -> Archive {
    Archive::of(3_000, 200, 300, 90)
}

/// Attempts the run until it is done, each attempt as long as `until` says.
fn persist(world: &mut World<'_>, until: impl Fn(u64) -> Until) -> Report {
    for attempt in 0..ATTEMPTS_MAX {
        if let Some(report) = world.attempt(until(attempt)) {
            match report.state {
                RunState::Done => return report,
                RunState::Incomplete => assert_eq!(report.exit_code, 4, "{:?}", report.message),
                RunState::Refused => panic!("{:?}", report.message),
            }
        }
    }
    panic!("not done after {ATTEMPTS_MAX} attempts");
}

fn check(world: &World<'_>, archive: &Archive, report: &Report, situation: &str) -> u64 {
    let count = archive.records.len() as u64;
    assert_eq!((report.exit_code, report.records.delivered), (0, count), "{situation}: {:?}", report.message);
    assert_eq!(report.order_violations, 0, "{situation}");
    let duplicates = check_first_occurrences(world, archive);
    let possible = report.possible_duplicates;
    assert!(duplicates <= possible, "{situation}: {duplicates} duplicates, {possible} possible");
    duplicates
}

#[test]
fn an_interrupted_run_goes_on_where_it_stood() {
    let archive = archive();
    for step in [1, 37, 150, 400, 1_000] {
        let mut world = World::new(&archive, Setup::PLAIN);
        // The start of a run takes some time each time.
        let report = persist(&mut world, |_| Until::Interrupted(Duration::from_millis(300 + step)));
        let duplicates = check(&world, &archive, &report, &format!("every {step} ms"));
        assert_eq!((duplicates, report.possible_duplicates), (0, 0), "what is in flight is waited for");
    }
}

#[test]
fn a_killed_run_loses_nothing_and_knows_its_possible_duplicates() {
    let archive = archive();
    let mut duplicates = 0;
    for seed in 0..12 {
        let mut world = World::new(&archive, Setup::PLAIN);
        let moment = |attempt| Duration::from_millis(mix(seed * 1_000 + attempt) % 900);
        let report = persist(&mut world, |attempt| Until::Killed(moment(attempt)));
        duplicates += check(&world, &archive, &report, &format!("seed {seed}"));
    }
    assert!(duplicates > 0, "no kill came between a request and its checkpoint");
}

#[test]
fn kills_and_lost_answers_together() {
    let archive = archive();
    for seed in 20..26 {
        let setup = Setup { lost_answers: 3 + seed % 4, shards: 3, ..Setup::PLAIN };
        let mut world = World::new(&archive, setup);
        let moment = |attempt| Duration::from_micros(100_000 + mix(seed * 1_000 + attempt) % 1_500_000);
        let report = persist(&mut world, |attempt| match attempt % 3 {
            0 => Until::Interrupted(moment(attempt)),
            _ => Until::Killed(moment(attempt)),
        });
        check(&world, &archive, &report, &format!("seed {seed}"));
    }
}

#[test]
fn a_killed_run_without_an_order_loses_nothing() {
    let archive = archive();
    let mut world = World::new(&archive, Setup { order: Order::None, ..Setup::PLAIN });
    let moment = |attempt| Duration::from_millis(mix(attempt) % 900);
    let report = persist(&mut world, |attempt| Until::Killed(moment(attempt)));
    let surplus = check_all_there(&world, &archive);
    assert!(surplus <= report.possible_duplicates);
}
