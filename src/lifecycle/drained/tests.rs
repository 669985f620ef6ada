//! What must hold of the judgement.

use super::*;
use crate::sim::sequence::SequenceBase;

const MADE: u64 = 1_795_000_000;

fn number(shard: u32, index: u64) -> SequenceNumber {
    SequenceBase { created_s: MADE, shard }.number(index, MADE + index).into()
}

fn lease(shard: &str, checkpoint: LeaseCheckpoint, parents: &[&str]) -> Lease {
    Lease {
        shard: shard.into(),
        stream: None,
        checkpoint,
        sub_sequence_number: 0,
        owner: Some("w".into()),
        parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
    }
}

/// What was put into shard `s0`: a hundred records, the last with number 99.
fn replayed() -> BTreeMap<String, Replayed> {
    [("s0".to_owned(), Replayed { records: 100, last: number(0, 99), last_records: Some(1) })].into()
}

fn listed(shard: u32, open: bool, parents: &[&str]) -> (String, Listed) {
    let parents = parents.iter().map(|&parent| parent.to_owned()).collect();
    (format!("s{shard}"), Listed { open, parents, starts: Some(number(shard, 0)) })
}

fn state_in(listing: &[(String, Listed)], leases: Vec<Lease>) -> ShardState {
    let leases = leases.into_iter().map(|lease| (lease.shard.clone(), lease)).collect();
    judge(&replayed(), &listing.iter().cloned().collect(), &leases, false)[0].state
}

/// The state of `s0` in a stream of that one open shard.
fn state(leases: Vec<Lease>) -> ShardState {
    state_in(&[listed(0, true, &[])], leases)
}

/// `s0` was split into `s1` and `s2`.
fn family() -> Vec<(String, Listed)> {
    vec![listed(0, false, &[]), listed(1, true, &["s0"]), listed(2, true, &["s0"])]
}

fn at(shard: u32, index: u64) -> Lease {
    let parents: &[&str] = if shard == 0 { &[] } else { &["s0"] };
    lease(&format!("s{shard}"), LeaseCheckpoint::Number(number(shard, index)), parents)
}

fn ended(shard: &str) -> Lease {
    lease(shard, LeaseCheckpoint::ShardEnd, &[])
}

/// The live stream's shard of that number, which was made later: its numbers exceed all of ours.
fn theirs(shard: u32) -> Lease {
    let live = SequenceBase { created_s: MADE + 86_400, shard }.number(5, MADE + 86_500);
    lease(&format!("s{shard}"), LeaseCheckpoint::Number(live.into()), &["s0"])
}

#[test]
fn a_shard_is_drained_from_its_last_replayed_record_on() {
    assert_eq!(state(vec![at(0, 98)]), ShardState::Behind);
    assert_eq!(state(vec![at(0, 99)]), ShardState::Drained);
    assert_eq!(state(vec![at(0, 7_000)]), ShardState::Drained);
}

#[test]
fn a_lease_inside_the_last_aggregate_has_not_read_all_of_it() {
    let judged = |index: u64, sub_sequence_number: u64, last_records: Option<u32>| {
        let replayed = [("s0".to_owned(), Replayed { last_records, ..replayed()["s0"].clone() })].into();
        let lease = Lease { sub_sequence_number, ..at(0, index) };
        let leases = [("s0".to_owned(), lease)].into();
        judge(&replayed, &[listed(0, true, &[])].into(), &leases, false).remove(0)
    };
    for (index, sub, records, expected) in [
        (99, 0, Some(40), ShardState::Behind),
        (99, 38, Some(40), ShardState::Behind),
        (99, 39, Some(40), ShardState::Drained),
        (99, 39, None, ShardState::Behind),
        (100, 0, None, ShardState::Drained),
        (98, 900, Some(40), ShardState::Behind),
    ] {
        assert_eq!(judged(index, sub, records).state, expected, "{index} {sub} {records:?}");
    }
    assert!(judged(99, 38, Some(40)).is_inside_the_last());
    assert!(!judged(98, 38, Some(40)).is_inside_the_last());
}

#[test]
fn a_shard_without_a_lease_has_not_begun() {
    assert_eq!(state(vec![]), ShardState::NotBegun);
    assert_eq!(state(vec![ended("s1")]), ShardState::NotBegun);
    for waiting in [LeaseCheckpoint::TrimHorizon, LeaseCheckpoint::AtTimestamp] {
        assert_eq!(state(vec![lease("s0", waiting, &[])]), ShardState::NotBegun);
    }
}

#[test]
fn a_lease_that_begins_at_the_tip_skips_what_was_replayed() {
    assert_eq!(state(vec![lease("s0", LeaseCheckpoint::Latest, &[])]), ShardState::SkipsIt);
}

#[test]
fn another_streams_lease_of_the_same_shard_name_is_not_taken_for_ours() {
    assert_eq!(state(vec![theirs(0)]), ShardState::OtherStream);
    let odd = lease("s0", LeaseCheckpoint::Number(SequenceNumber::new("9").unwrap()), &[]);
    assert_eq!(state(vec![odd]), ShardState::OtherStream, "no shard of Kinesis gives such a number");
}

#[test]
fn an_open_shard_has_not_ended_whatever_a_lease_says() {
    assert_eq!(state(vec![ended("s0")]), ShardState::OtherStream);
    assert_eq!(state(vec![ended("s0"), at(1, 3)]), ShardState::OtherStream);
}

#[test]
fn the_end_of_a_closed_shard_counts_where_its_children_bear_it_out() {
    assert_eq!(state_in(&family(), vec![ended("s0"), at(1, 3), at(2, 3)]), ShardState::Drained);
    let waits = lease("s2", LeaseCheckpoint::TrimHorizon, &["s0"]);
    assert_eq!(state_in(&family(), vec![ended("s0"), at(1, 3), waits.clone()]), ShardState::Drained);
    // A worker of ours would have a lease of every child.
    assert_eq!(state_in(&family(), vec![ended("s0"), at(1, 3)]), ShardState::Unproven);
    assert_eq!(state_in(&family(), vec![ended("s0")]), ShardState::Unproven);
    assert_eq!(state_in(&family()[..1], vec![ended("s0"), at(1, 3)]), ShardState::Unproven);
    // Nothing in the table has a number: it could be anybody's.
    let other = lease("s1", LeaseCheckpoint::TrimHorizon, &["s0"]);
    assert_eq!(state_in(&family(), vec![ended("s0"), other, waits]), ShardState::Unproven);
    // The live stream was split likewise.
    assert_eq!(state_in(&family(), vec![ended("s0"), theirs(1), theirs(2)]), ShardState::OtherStream);
    assert_eq!(state_in(&family(), vec![ended("s0"), at(1, 3), theirs(2)]), ShardState::OtherStream);
}

#[test]
fn the_end_of_a_shard_that_is_not_the_one_that_was_written_to_proves_nothing() {
    let mut listing = family();
    listing[0].1.starts = Some(SequenceBase { created_s: MADE + 5, shard: 0 }.number(0, MADE + 5).into());
    assert_eq!(state_in(&listing, vec![ended("s0"), at(1, 3), at(2, 3)]), ShardState::Unproven);
}

#[test]
fn a_parents_lease_that_is_gone_counts_as_read_once_all_children_have_begun() {
    assert_eq!(state_in(&family(), vec![at(1, 3), at(2, 3)]), ShardState::Drained);
    // One child is not in the table, or waits.
    assert_eq!(state_in(&family(), vec![at(1, 3)]), ShardState::NotBegun);
    let waits = lease("s2", LeaseCheckpoint::TrimHorizon, &["s0"]);
    assert_eq!(state_in(&family(), vec![at(1, 3), waits]), ShardState::NotBegun);
    // A parent that is still there speaks for itself.
    assert_eq!(state_in(&family(), vec![at(0, 3), at(1, 3), at(2, 3)]), ShardState::Behind);
    // The children are another stream's.
    assert_eq!(state_in(&family(), vec![theirs(1), theirs(2)]), ShardState::OtherStream);
}

#[test]
fn a_child_that_is_gone_itself_counts_as_begun_once_its_own_children_have() {
    let listing = [
        listed(0, false, &[]),
        listed(1, false, &["s0"]),
        listed(3, true, &["s1"]),
        listed(4, true, &["s1"]),
    ];
    assert_eq!(state_in(&listing, vec![at(3, 1), at(4, 1)]), ShardState::Drained);
    assert_eq!(state_in(&listing, vec![at(3, 1)]), ShardState::NotBegun);
    // A lineage that leads back into itself comes to an end.
    let circle = [listed(0, false, &["s1"]), listed(1, false, &["s0"])];
    assert_eq!(state_in(&circle, vec![]), ShardState::NotBegun);
}

#[test]
fn the_leases_word_on_parents_counts_only_for_what_the_stream_does_not_list_any_more() {
    // The stream has forgotten the parent, the leases know it.
    let forgotten = [listed(1, true, &[]), listed(2, true, &[])];
    assert_eq!(state_in(&forgotten, vec![at(1, 3), at(2, 3)]), ShardState::Drained);
    assert_eq!(state_in(&forgotten, vec![ended("s0"), at(1, 3)]), ShardState::Drained);
    // The stream lists it: open, or closed and with other children than the leases say.
    let open = [listed(0, true, &[]), listed(1, true, &[]), listed(2, true, &[])];
    assert_eq!(state_in(&open, vec![at(1, 3), at(2, 3)]), ShardState::NotBegun);
    let childless = [listed(0, false, &[]), listed(1, true, &[]), listed(2, true, &[])];
    assert_eq!(state_in(&childless, vec![at(1, 3), at(2, 3)]), ShardState::NotBegun);
}

#[test]
fn a_lease_that_names_its_stream_shows_whose_it_is() {
    let named = |lease: Lease| Lease {
        stream: Some(super::super::lease::LeaseStream {
            account: "123456789012".into(),
            name: "orders".into(),
            created: MADE.to_string(),
        }),
        ..lease
    };
    let waiting = |shard| named(lease(shard, LeaseCheckpoint::TrimHorizon, &["s0"]));
    let leases = vec![named(ended("s0")), waiting("s1"), waiting("s2")];
    assert_eq!(state_in(&family(), leases), ShardState::Drained);
}

#[test]
fn numbers_that_kinesis_did_not_make_are_compared_as_numbers() {
    let small = |n: &str| SequenceNumber::new(n).unwrap();
    let replayed =
        [("s0".to_owned(), Replayed { records: 9, last: small("99"), last_records: Some(1) })].into();
    let judged = |n: &str| {
        let lease = lease("s0", LeaseCheckpoint::Number(small(n)), &[]);
        judge(&replayed, &BTreeMap::new(), &[("s0".to_owned(), lease)].into(), false)[0].state
    };
    assert_eq!(judged("100"), ShardState::Drained);
    assert_eq!(judged("98"), ShardState::Behind);
}

#[test]
fn a_table_of_several_streams_is_read_for_one() {
    let stream = StreamKey {
        name: "orders".into(),
        account: Some("123456789012".into()),
        created_ms: 1_795_000_000_123,
    };
    let of = |account: &str, name: &str, created: &str| Lease {
        stream: Some(super::super::lease::LeaseStream {
            account: account.into(),
            name: name.into(),
            created: created.into(),
        }),
        ..lease("s0", LeaseCheckpoint::ShardEnd, &[])
    };
    for (lease, taken) in [
        (of("123456789012", "orders", "1795000000"), true),
        (of("123456789012", "orders", "1794000000"), false),
        (of("999999999999", "orders", "1795000000"), false),
        (of("123456789012", "orders-live", "1795000000"), false),
    ] {
        assert_eq!(!leases_of(&stream, vec![lease.clone()]).is_empty(), taken, "{lease:?}");
    }
}

#[test]
fn times_are_read_off_the_numbers() {
    let leases = [("s0".to_owned(), at(0, 40))].into();
    let verdict = &judge(&replayed(), &BTreeMap::new(), &leases, false)[0];
    assert_eq!((verdict.read_until, verdict.replayed_until), (Some(MADE + 40), Some(MADE + 99)));
}

#[test]
fn a_table_that_was_shown_to_be_ours_is_believed_when_all_in_it_is_at_its_end() {
    let begins = |shard: &str| lease(shard, LeaseCheckpoint::TrimHorizon, &["s0"]);
    // The shard was split behind its last record, and nothing came since.
    let leases: BTreeMap<String, Lease> = [ended("s0"), begins("s1"), begins("s2")]
        .into_iter()
        .map(|lease| (lease.shard.clone(), lease))
        .collect();
    let listing: BTreeMap<String, Listed> = family().into_iter().collect();
    let state = |leases: &BTreeMap<String, Lease>, seen| judge(&replayed(), &listing, leases, seen)[0].state;
    assert!(!show_ours(&replayed(), &listing, &leases));
    assert_eq!(state(&leases, false), ShardState::Unproven);
    assert_eq!(state(&leases, true), ShardState::Drained);
    // What was seen does not count against what is seen.
    let mut others = leases.clone();
    others.insert("s1".to_owned(), theirs(1));
    assert_eq!(state(&others, true), ShardState::OtherStream);
    let mut unborn = leases;
    unborn.remove("s2");
    assert_eq!(
        state(&unborn, true),
        ShardState::Unproven,
        "a worker knows the children before it is at the end"
    );
    let reading = [("s0".to_owned(), at(0, 7))].into();
    assert!(show_ours(&replayed(), &listing, &reading));
}
