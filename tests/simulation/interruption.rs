//! A run that is stopped at any moment, in order or not, and goes on: nothing is lost, and what may be
//! there twice is known.

use std::fs;
use std::path::Path;
use std::time::Duration;

use respool::cache::Cache;
use respool::config::Order;
use respool::record::{ByteCount, HashKey};
use respool::run::report::{Report, RunState};

use super::delivery::{check_all_there, check_first_occurrences};
use super::world::{Archive, Setup, Until, World, mix, record};

/// More attempts than any of these runs needs.
const ATTEMPTS_MAX: u64 = 200;

/// Some seconds of work on two shards, in many objects, over few keys.
fn archive() -> Archive {
    Archive::of(3_000, 200, 300, 90)
}

/// Attempts the run until it is done, each attempt as long as `until` says.
fn persist(world: &mut World<'_>, code: u8, until: impl Fn(u64) -> Until) -> Report {
    for attempt in 0..ATTEMPTS_MAX {
        if let Some(report) = world.attempt(until(attempt)) {
            match report.state {
                RunState::Done => {
                    assert_eq!(report.exit_code, code, "{:?}", report.message);
                    return report;
                }
                RunState::Incomplete => assert_eq!(report.exit_code, 4, "{:?}", report.message),
                RunState::Running | RunState::Refused => panic!("{:?}", report.message),
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
        let report = persist(&mut world, 0, |_| Until::Interrupted(Duration::from_millis(300 + step)));
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
        let report = persist(&mut world, 0, |attempt| Until::Killed(moment(attempt)));
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
        let report = persist(&mut world, 0, |attempt| match attempt % 3 {
            0 => Until::Interrupted(moment(attempt)),
            _ => Until::Killed(moment(attempt)),
        });
        check(&world, &archive, &report, &format!("seed {seed}"));
    }
}

#[test]
fn a_killed_run_without_an_order_loses_nothing() {
    let archive = archive();
    for split in [None, Some(4)] {
        let mut world = World::new(&archive, Setup { order: Order::None, split, ..Setup::PLAIN });
        let moment = |attempt| Duration::from_millis(mix(attempt) % 900);
        let report = persist(&mut world, 0, |attempt| Until::Killed(moment(attempt)));
        let surplus = check_all_there(&world, &archive);
        assert!(surplus <= report.possible_duplicates, "{split:?}");
    }
}

/// A slow lane's records, and in the object behind it those of a fast one: keys `slow` and `fast` lie in different
/// halves of the hash space.
fn slow_before_fast() -> Archive {
    let half = |key: &u64| HashKey::of(&format!("key {key}")).0 >> 127;
    let keys = |wanted: u128| (0..).filter(move |key| half(key) == wanted);
    let mut archive = Archive::new();
    for (lane, bytes) in [(0, 5_000), (1, 60)] {
        let records: Vec<_> = (0..3_000).zip(keys(lane)).map(|(n, key)| record(key, n, bytes)).collect();
        archive.add(&records.join(&b'\n'), records);
    }
    archive
}

#[test]
fn a_limit_is_shared_out_in_archive_order_whichever_object_is_settled_first() {
    let archive = slow_before_fast();
    let mut world = World::new(&archive, Setup { limit: Some(5_000), ..Setup::PLAIN });
    let report = world.attempt(Until::Interrupted(Duration::from_secs(7))).unwrap();
    assert_eq!((report.exit_code, report.objects.settled), (4, 1), "only the object behind is settled");
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!((report.exit_code, report.records.delivered), (0, 5_000), "{:?}", report.message);
    let mut stored = world.stored().concat();
    stored.sort();
    let mut expected = archive.records[..5_000].to_vec();
    expected.sort();
    assert!(stored == expected, "the first 5,000, once");
}

/// One object, two of its records larger than the stream takes.
fn two_too_large() -> (Archive, Vec<Vec<u8>>) {
    let size = |n| if n == 1_500 || n == 1_900 { 1_500_000 } else { 300 };
    let records: Vec<_> = (0..3_000).map(|n| record(n, n, size(n))).collect();
    let mut archive = Archive::new();
    archive.add(&records.join(&b'\n'), []);
    let small = records.into_iter().filter(|record| record.len() < 1_000_000).collect();
    (archive, small)
}

#[test]
fn what_was_too_large_stays_so_when_the_stream_takes_more() {
    let (archive, mut small) = two_too_large();
    let mut world = World::new(&archive, Setup { shards: 1, ..Setup::PLAIN });
    world.attempt(Until::Interrupted(Duration::from_millis(800)));
    world.set_record_bytes_max(4 << 20);
    let report = persist(&mut world, 3, |_| Until::Interrupted(Duration::from_millis(700)));
    assert_eq!((report.records.delivered, report.records.quarantined), (2_998, 2), "{:?}", report.message);
    let mut stored = world.stored().concat();
    stored.sort();
    small.sort();
    assert!(stored == small, "{} stored", stored.len());
}

#[test]
fn records_that_are_routed_in_another_way_end_the_run_before_its_sums_come_out_early() {
    let (archive, _) = two_too_large();
    let mut world = World::new(&archive, Setup { shards: 1, first_version: true, ..Setup::PLAIN });
    world.attempt(Until::Interrupted(Duration::from_millis(800)));
    world.set_record_bytes_max(4 << 20);
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!(report.exit_code, 70);
    let message = report.message.unwrap();
    assert!(message.contains("the sums of object 0 do not hold"), "{message}");
}

#[test]
fn a_damaged_segment_at_the_front_does_not_wait_for_those_behind_it() {
    let archive = Archive::of(40 * 50, 400, 900, 50);
    let mut world = World::new(&archive, Setup::PLAIN);
    assert_eq!(world.attempt(Until::Done).unwrap().exit_code, 0);
    // Of the cache there is left only what holds this record, and that is damaged. When its object's turn comes,
    // those behind it have all places and wait for room.
    assert_eq!(keep_only(&archive.cache(), br#""n":1020,"#), 1);
    let mut world = World::new(&archive, Setup { cache_bytes: (25_000, 1_000), ..Setup::PLAIN });
    let report = world.attempt(Until::Done).unwrap();
    check(&world, &archive, &report, "after the damage");
}

/// Removes the segments below `folder` that do not hold `text`, and flips a byte of it in the others.
fn keep_only(folder: &Path, text: &[u8]) -> u32 {
    let mut kept = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            kept += keep_only(&path, text);
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        match bytes.windows(text.len()).position(|window| window == text) {
            Some(at) => {
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
                kept += 1;
            }
            None if bytes.len() > 10_000 => fs::remove_file(&path).unwrap(),
            None => {}
        }
    }
    kept
}

#[test]
fn a_process_that_has_stopped_while_it_fills_a_segment_is_not_waited_for_without_end() {
    let archive = Archive::of(50, 300, 9, 50);
    let mut world = World::new(&archive, Setup::PLAIN);
    assert_eq!(world.attempt(Until::Done).unwrap().exit_code, 0);
    let cache = Cache::open(&archive.cache(), ByteCount(1 << 40)).unwrap();
    let segment = cache.ls().unwrap().remove(0).id;
    assert!(cache.remove(&segment).unwrap());
    let _another_one = cache.begin_fill(&segment).unwrap().unwrap();
    let mut world = World::new(&archive, Setup::PLAIN);
    let report = world.attempt(Until::Done).unwrap();
    check(&world, &archive, &report, "beside a filler that has stopped");
}
