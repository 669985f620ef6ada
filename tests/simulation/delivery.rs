//! Everything arrives, byte for byte, each key in archive order.

use std::collections::BTreeMap;

use respool::config::Order;
use respool::run::journal::quarantine_reasons;
use respool::sim::BurstRule;
use serde_json::Value;

use super::workloads;
use super::world::{Archive, Setup, Until, World, mix, record};

/// The records of each key, in their order.
pub fn by_key<'a>(records: impl IntoIterator<Item = &'a Vec<u8>>) -> BTreeMap<String, Vec<&'a Vec<u8>>> {
    let mut keys: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in records {
        let value: Value = serde_json::from_slice(record).unwrap();
        keys.entry(value["key"].to_string()).or_default().push(record);
    }
    keys
}

/// Records that make framing hard.
fn odd(number: u64) -> Vec<u8> {
    let key = mix(number) % 40;
    match number % 5 {
        0 => format!(r#"{{"n":{number},"key":"k{key}","text":"}}{{ \"\\\" ]["}}"#),
        1 => format!(r#"{{"n":{number},"key":{key},"deep":[[{{"a":[]}}],"é😀\u2028"]}}"#),
        2 => format!(r#"{{"key":"k{key}","n":{number}}}"#),
        3 => format!(r#"{{"n":{number},"key":true,"empty":{{}}}}"#),
        _ => return record(key, number, 27_000),
    }
    .into_bytes()
}

/// Every way to compress and to join records, one object each, some of them twice.
fn odd_archive() -> Archive {
    let mut archive = Archive::new();
    let mut numbers = 0..;
    for way in 0..12 {
        let records: Vec<_> = numbers.by_ref().take(60).map(odd).collect();
        let joined = if way % 2 == 0 { records.join(&b'\n') } else { records.concat() };
        let body = match way / 2 % 4 {
            0 => joined,
            1 => workloads::gzip(&joined),
            2 => workloads::zstd(&joined),
            _ => {
                let (left, right) = joined.split_at(joined.len() / 3);
                [workloads::gzip(left), workloads::gzip(right)].concat()
            }
        };
        archive.add(&body, records);
    }
    archive
}

#[test]
fn every_byte_arrives_and_every_key_in_order() {
    let archive = odd_archive();
    for shards in [1, 3] {
        let mut world = World::new(&archive, Setup { shards, ..Setup::PLAIN });
        let report = world.attempt(Until::Done).unwrap();
        assert_eq!((report.exit_code, report.order_violations), (0, 0), "{:?}", report.message);
        let stored = world.stored();
        assert_eq!(by_key(stored.iter().flatten()), by_key(&archive.records));
    }
}

#[test]
fn without_an_order_every_byte_arrives_all_the_same() {
    let archive = odd_archive();
    let mut world = World::new(&archive, Setup { order: Order::None, ..Setup::PLAIN });
    assert_eq!(world.attempt(Until::Done).unwrap().exit_code, 0);
    let (mut stored, mut expected) = (world.stored().concat(), archive.records.clone());
    stored.sort();
    expected.sort();
    assert_eq!(stored, expected);
}

#[test]
fn order_survives_a_neighbour_that_throttles_us_and_answers_that_are_lost() {
    let archive = Archive::of(6_000, 300, 200, 700);
    let setup = Setup { neighbour: 600, lost_answers: 7, burst_rule: BurstRule::TENTH, ..Setup::PLAIN };
    let mut world = World::new(&archive, setup);
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!((report.exit_code, report.order_violations), (0, 0), "{:?}", report.message);
    assert!(world.throttled() > 0, "the neighbour was not in the way");
    let duplicates = check_first_occurrences(&world, &archive);
    assert!((1..=report.possible_duplicates).contains(&duplicates), "{duplicates}");
}

#[test]
fn aggregates_keep_every_byte_and_every_shard_in_order() {
    let archive = Archive::of(20_000, 150, 300, 2_500);
    let places: BTreeMap<&Vec<u8>, usize> = archive.records.iter().zip(0..).collect();
    for (order, lost_answers) in [(Order::Key, 0), (Order::Key, 5), (Order::Shard, 5), (Order::None, 5)] {
        let mut world = World::new(&archive, Setup { aggregate: true, order, lost_answers, ..Setup::PLAIN });
        let report = world.attempt(Until::Done).unwrap();
        assert_eq!((report.exit_code, report.order_violations), (0, 0), "{:?}", report.message);
        assert!(report.entries_acked * 50 < report.records.delivered, "{} entries", report.entries_acked);
        let copies = check_all_there(&world, &archive);
        assert_eq!(copies > 0, lost_answers > 0, "{copies} copies");
        assert!(copies <= report.possible_duplicates, "{copies} copies");
        for shard in world.stored().into_iter().filter(|_| order != Order::None) {
            let mut firsts = std::collections::BTreeSet::new();
            let firsts = shard.iter().map(|record| places[record]).filter(|&place| firsts.insert(place));
            assert!(firsts.is_sorted(), "{order:?}");
        }
    }
}

#[test]
fn what_cannot_be_sent_is_named_and_the_rest_arrives() {
    let mut archive = Archive::new();
    let good: Vec<_> = (0..500).map(|number| record(number % 9, number, 400)).collect();
    let mut lines = good.clone();
    lines.insert(250, br#"{"n":1,"key":null}"#.to_vec());
    lines.insert(90, br#"{"n":2}"#.to_vec());
    archive.add(&lines.join(&b'\n'), good);
    archive.add(&workloads::gzip(b"{\"key\":1}\n")[..20], []);
    archive.add(b"{\"key\":\"last\"}", [b"{\"key\":\"last\"}".to_vec()]);
    let mut world = World::new(&archive, Setup::PLAIN);
    let report = world.attempt(Until::Done).unwrap();
    assert_eq!((report.exit_code, report.objects.quarantined, report.records.quarantined), (3, 1, 2));
    assert_eq!(by_key(world.stored().iter().flatten()), by_key(&archive.records));
    let reasons = quarantine_reasons(&world.run_directory()).unwrap();
    assert_eq!(reasons.into_values().sum::<u64>(), 3);
}

/// Nothing is missing and nothing foreign is there, and what arrived first of each key is in order.
/// Gives the number of records that are there more than once.
pub fn check_first_occurrences(world: &World<'_>, archive: &Archive) -> u64 {
    let stored = world.stored();
    let stored = by_key(stored.iter().flatten());
    let expected = by_key(&archive.records);
    assert_eq!(stored.len(), expected.len(), "keys");
    let mut repeated = 0;
    for (key, records) in stored {
        let mut copies: BTreeMap<&Vec<u8>, u64> = BTreeMap::new();
        let mut firsts = Vec::new();
        for record in records {
            let count = copies.entry(record).or_default();
            *count += 1;
            match count {
                1 => firsts.push(record),
                2 => repeated += 1,
                _ => {}
            }
        }
        assert_eq!(firsts, expected[&key], "{key}");
    }
    repeated
}

/// Every record is there, in whatever order; gives how many more there are.
pub fn check_all_there(world: &World<'_>, archive: &Archive) -> u64 {
    let mut stored = world.stored().concat();
    let count = stored.len();
    stored.sort();
    stored.dedup();
    let mut expected = archive.records.clone();
    expected.sort();
    assert_eq!(stored, expected);
    (count - stored.len()) as u64
}
