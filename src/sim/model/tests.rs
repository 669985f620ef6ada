use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::*;
use crate::record::{HashKeyRange, PartitionKey, Payload};

const NAME: &str = "orders";

fn at(millis: u64) -> SimTime {
    SimTime::after(Duration::from_millis(millis))
}

fn service(burst_rule: BurstRule, retention: Retention, shards: u32) -> Service {
    let started = Timestamp::from_second(1_795_000_000).unwrap();
    let config = ServiceConfig { started, burst_rule, retention, transition: Duration::ZERO };
    let mut service = Service::new(config);
    service.create_stream(at(0), NAME, NewStream::with_shards(shards)).unwrap();
    service
}

fn unlimited(shards: u32) -> Service {
    service(BurstRule::Unlimited, Retention::All, shards)
}

fn entry(hash: u128, data: &'static [u8]) -> Entry {
    Entry {
        data: Payload(Bytes::from_static(data)),
        key: PartitionKey::new("k").unwrap(),
        explicit_hash_key: Some(HashKey(hash)),
    }
}

fn put_one(service: &mut Service, now: SimTime, hash: u128, data: &'static [u8]) -> (String, Sequence) {
    match service.put(now, NAME, vec![entry(hash, data)]).unwrap().remove(0) {
        PutResult::Stored { shard, sequence } => (shard.to_string(), sequence),
        PutResult::Throttled { shard } => panic!("{shard} throttled"),
    }
}

fn open_ranges(service: &mut Service, now: SimTime) -> Vec<HashKeyRange> {
    service.stream(now, NAME).unwrap().open_shards().map(|shard| shard.range).collect()
}

fn assert_whole(ranges: &[HashKeyRange]) {
    assert_eq!(ranges[0].first.0, 0);
    assert_eq!(ranges[ranges.len() - 1].last.0, u128::MAX);
    for pair in ranges.windows(2) {
        assert_eq!(pair[0].last.0 + 1, pair[1].first.0);
    }
}

fn read(service: &mut Service, now: SimTime, start: IteratorStart<'_>) -> Vec<Bytes> {
    let iterator = service.shard_iterator(now, NAME, "shardId-000000000000", start).unwrap();
    let answer = service.read(now, &iterator, 10_000).unwrap();
    answer.records.into_iter().map(|record| record.data.0).collect()
}

#[test]
fn ranges_are_cut_as_kinesis_cuts_them() {
    for shards in [1, 2, 3, 4, 7, 1_000] {
        let ranges = open_ranges(&mut unlimited(shards), at(0));
        assert_eq!(ranges.len(), shards as usize);
        assert_whole(&ranges);
    }
    let ranges = open_ranges(&mut unlimited(4), at(0));
    assert_eq!(ranges[1].first.to_string(), "85070591730234615865843651857942052864");
    let ranges = open_ranges(&mut unlimited(3), at(0));
    assert_eq!(ranges[0].last.to_string(), "113427455640312821154458202477256070484");
}

#[test]
fn records_go_to_the_shard_whose_range_holds_them_at_its_edges_too() {
    let mut service = unlimited(3);
    for (number, range) in open_ranges(&mut service, at(0)).into_iter().enumerate() {
        for edge in [range.first.0, range.last.0] {
            assert_eq!(put_one(&mut service, at(0), edge, b"x").0, format!("shardId-{number:012}"));
        }
    }
}

#[test]
fn each_shard_has_a_budget_of_its_own() {
    for (rule, accepted) in
        [(BurstRule::FixedWindows, 1_000), (BurstRule::SECOND, 1_000), (BurstRule::TENTH, 100)]
    {
        let mut service = service(rule, Retention::Nothing, 2);
        let entries = (0..3_000).map(|i| entry(if i % 3 == 0 { u128::MAX } else { 0 }, b"x")).collect();
        let results = service.put(at(0), NAME, entries).unwrap();
        let stored = results.iter().filter(|result| matches!(result, PutResult::Stored { .. })).count();
        assert_eq!(stored, 2 * accepted, "{rule:?}");
        let stats: Vec<_> = service.stream(at(0), NAME).unwrap().shards.iter().map(|s| s.stats).collect();
        assert_eq!((stats[0].accepted, stats[0].throttled), (accepted as u64, 2_000 - accepted as u64));
        assert_eq!(stats[0].accepted_bytes, 2 * accepted as u64);
    }
}

#[test]
fn one_record_too_large_fails_the_call_and_stores_nothing() {
    let mut service = unlimited(1);
    let large = Entry { data: Payload(Bytes::from(vec![0; 1 << 20])), ..entry(0, b"") };
    let error = service.put(at(0), NAME, vec![entry(0, b"x"), large.clone()]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ValidationException: 1 validation error detected: Value at 'records.2.member.data' failed to satisfy \
         constraint: Member must have length less than or equal to 1048576"
    );
    assert!(read(&mut service, at(0), IteratorStart::TrimHorizon).is_empty());
    service.set_record_bytes_max(at(0), NAME, 2 << 20).unwrap();
    assert_eq!(service.put(at(0), NAME, vec![large]).unwrap().len(), 1);
}

#[test]
fn a_childs_numbers_exceed_its_parents_within_one_second() {
    let mut service = unlimited(1);
    let (_, of_parent) = put_one(&mut service, at(0), 0, b"parent");
    service.split_shard(at(0), NAME, "shardId-000000000000", HashKey(1 << 127)).unwrap();
    let (shard, of_child) = put_one(&mut service, at(0), 0, b"child");
    assert_eq!(shard, "shardId-000000000001");
    service.merge_shards(at(0), NAME, "shardId-000000000001", "shardId-000000000002").unwrap();
    let (shard, of_grandchild) = put_one(&mut service, at(0), 0, b"grandchild");
    assert_eq!(shard, "shardId-000000000003");
    assert!(of_parent < of_child && of_child < of_grandchild);
    let stream = service.stream(at(0), NAME).unwrap();
    let closing = stream.shard(0).closing.unwrap();
    assert!(of_parent < closing.ending && closing.ending < of_child);
    let merged = stream.shard(3);
    assert_eq!((merged.parent, merged.adjacent_parent), (Some(1), Some(2)));
}

#[test]
fn scaling_ends_in_even_ranges_whatever_the_factor() {
    for (from, to) in [(4, 8), (4, 2), (4, 6), (6, 4), (3, 5), (5, 5), (7, 4), (2, 1), (1, 2)] {
        let mut service = unlimited(from);
        assert_eq!(service.update_shard_count(at(0), NAME, to).unwrap(), from);
        let expected: Vec<_> = reshard::even_ranges(to).collect();
        assert_eq!(open_ranges(&mut service, at(0)), expected, "{from} to {to}");
    }
    let mut service = unlimited(4);
    assert_eq!(service.update_shard_count(at(0), NAME, 9).unwrap_err().code, "InvalidArgumentException");
    assert_eq!(service.update_shard_count(at(0), NAME, 1).unwrap_err().code, "InvalidArgumentException");
}

#[test]
fn a_change_takes_effect_when_its_time_has_come() {
    let mut service = unlimited(1);
    service.config.transition = Duration::from_secs(30);
    service.split_shard(at(0), NAME, "shardId-000000000000", HashKey(1 << 127)).unwrap();
    assert_eq!(service.stream(at(29_999), NAME).unwrap().status(), Status::Updating);
    assert_eq!(put_one(&mut service, at(29_999), 0, b"x").0, "shardId-000000000000");
    let again = service.update_shard_count(at(29_999), NAME, 2).unwrap_err();
    assert_eq!(again.code, "ResourceInUseException");
    assert_eq!(put_one(&mut service, at(30_000), 0, b"x").0, "shardId-000000000001");
    service.delete_stream(at(40_000), NAME).unwrap();
    assert_eq!(service.stream(at(40_000), NAME).unwrap().status(), Status::Deleting);
    assert_eq!(service.stream(at(70_000), NAME).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn iterators_begin_where_they_say() {
    let mut service = unlimited(1);
    let numbers: Vec<String> = [(0, &b"a"[..]), (1_000, b"b"), (2_000, b"c")]
        .map(|(time, data)| put_one(&mut service, at(time), 0, data).1.to_string())
        .to_vec();
    let now = at(3_000);
    assert_eq!(read(&mut service, now, IteratorStart::TrimHorizon), ["a", "b", "c"]);
    assert_eq!(read(&mut service, now, IteratorStart::At(&numbers[1])), ["b", "c"]);
    assert_eq!(read(&mut service, now, IteratorStart::After(&numbers[1])), ["c"]);
    assert_eq!(read(&mut service, now, IteratorStart::Time(at(1_000))), ["b", "c"]);
    assert_eq!(read(&mut service, now, IteratorStart::Time(at(1_001))), ["c"]);
    assert!(read(&mut service, now, IteratorStart::Latest).is_empty());
}

#[test]
fn a_reader_learns_how_far_behind_it_is_and_where_a_closed_shard_went() {
    let mut service = unlimited(1);
    put_one(&mut service, at(0), 0, b"a");
    put_one(&mut service, at(1_000), 0, b"b");
    service.split_shard(at(1_000), NAME, "shardId-000000000000", HashKey(1 << 127)).unwrap();
    let start = IteratorStart::TrimHorizon;
    let iterator = service.shard_iterator(at(5_000), NAME, "shardId-000000000000", start).unwrap();
    let first = service.read(at(5_000), &iterator, 1).unwrap();
    assert_eq!((first.records.len(), first.behind), (1, Duration::from_secs(4)));
    let next = first.next_iterator.unwrap();
    let last = service.read(at(5_000), &next, 1).unwrap();
    assert_eq!((last.behind, last.next_iterator, last.children.len()), (Duration::ZERO, None, 2));
}

#[test]
fn iterators_expire_and_do_not_outlive_their_stream() {
    let mut service = unlimited(1);
    let start = IteratorStart::Latest;
    let iterator = service.shard_iterator(at(0), NAME, "shardId-000000000000", start).unwrap();
    assert!(service.read(at(300_000), &iterator, 1).is_ok());
    let expired = service.read(at(300_001), &iterator, 1).unwrap_err();
    assert_eq!(expired.code, "ExpiredIteratorException");
    service.delete_stream(at(1), NAME).unwrap();
    service.create_stream(at(1), NAME, NewStream::with_shards(1)).unwrap();
    assert_eq!(service.read(at(2), &iterator, 1).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn beyond_its_bound_the_oldest_goes_first() {
    let mut service = service(BurstRule::Unlimited, Retention::Bytes(3 * 130), 1);
    let old = put_one(&mut service, at(0), 0, b"a").1.to_string();
    for data in [&b"b"[..], b"c", b"d"] {
        put_one(&mut service, at(0), 0, data);
    }
    assert_eq!(read(&mut service, at(0), IteratorStart::TrimHorizon), ["b", "c", "d"]);
    assert_eq!(read(&mut service, at(0), IteratorStart::At(&old)), ["b", "c", "d"]);
    assert_eq!(service.stream(at(0), NAME).unwrap().shard(0).stats.accepted, 4);
}

#[test]
fn records_leave_after_their_retention() {
    let mut service = unlimited(2);
    put_one(&mut service, at(0), 0, b"a");
    put_one(&mut service, at(1_000), 0, b"b");
    let a_day = 24 * 3_600 * 1_000;
    assert_eq!(read(&mut service, at(a_day + 500), IteratorStart::TrimHorizon), ["b"]);
}
