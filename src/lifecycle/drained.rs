//! Has the worker read everything that was replayed? The decision, from the run's ledger, the shards'
//! lineage and the worker's leases.
//!
//! A shard is drained when its lease stands at or behind the last sequence number that the replay got
//! from it, or at the shard's end. Two traps are told apart, because either would make the switch back
//! lose records: a lease that begins at the tip and so skips what lies in the shard, and a lease that belongs to another
//! stream whose shards have the same names (one worker's table used for two streams). The second shows in the numbers:
//! all that one shard gives begin with the second in which it was made.
//!
//! A worker removes the lease of a closed shard once it reads the shard's children, so a lease that
//! is gone counts as read if every child's has begun. What no table tells is where a worker began:
//! it must have been at the oldest record (`TRIM_HORIZON`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::lease::{Lease, LeaseCheckpoint};
use crate::record::SequenceNumber;
use crate::sim::sequence::Sequence;

/// Which stream is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamKey {
    /// Its name.
    pub name: String,
    /// Its account, where it is known.
    pub account: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// What the replay has put into one shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Records.
    pub records: u64,
    /// The highest sequence number.
    pub last: SequenceNumber,
}

/// Where the worker is in one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardState {
    /// Everything that was replayed is read.
    Drained,
    /// A part of it is.
    Behind,
    /// There is no lease, or it has not begun.
    NotBegun,
    /// It begins at the newest record: what was replayed is skipped.
    SkipsIt,
    /// The lease is that of another stream's shard of the same name.
    OtherStream,
}

/// One shard, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardVerdict {
    /// Its name.
    pub shard: String,
    /// Where the worker is.
    pub state: ShardState,
    /// Records that were replayed into it.
    pub records: u64,
    /// The sequence number of the last of them.
    pub last_sequence_number: String,
    /// What the lease says; `null` without one.
    pub checkpoint: Option<String>,
    /// The worker that holds the lease.
    pub owner: Option<String>,
    /// When the last replayed record was stored, in seconds since 1970, if its number tells.
    pub replayed_until: Option<u64>,
    /// When the last record that was read was stored, likewise.
    pub read_until: Option<u64>,
}

/// The leases of the shards of `stream`, by shard. Those of other streams, and of an earlier one with its name, are left out.
#[must_use]
pub fn leases_of(stream: &StreamKey, leases: Vec<Lease>) -> BTreeMap<String, Lease> {
    let created = [stream.created_ms / 1_000, stream.created_ms].map(|time| time.to_string());
    let belongs = |lease: &Lease| {
        lease.stream.as_ref().is_none_or(|of| {
            of.name == stream.name
                && stream.account.as_ref().is_none_or(|account| *account == of.account)
                && created.contains(&of.created)
        })
    };
    leases.into_iter().filter(belongs).map(|lease| (lease.shard.clone(), lease)).collect()
}

/// Judges every shard that the replay has written to. `parents` has the shards that each known shard came of.
#[must_use]
pub fn judge(
    replayed: &BTreeMap<String, Replayed>,
    parents: &BTreeMap<String, Vec<String>>,
    leases: &BTreeMap<String, Lease>,
) -> Vec<ShardVerdict> {
    let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let told_by_leases = leases.values().map(|lease| (&lease.shard, &lease.parents));
    for (shard, parents) in parents.iter().chain(told_by_leases) {
        for parent in parents {
            children.entry(parent).or_default().insert(shard);
        }
    }
    let judge_one = |(shard, replayed): (&String, &Replayed)| {
        let lease = leases.get(shard);
        let state = match lease {
            Some(lease) => of_lease(&lease.checkpoint, &replayed.last),
            None if children_have_begun(children.get(shard.as_str()), leases) => ShardState::Drained,
            None => ShardState::NotBegun,
        };
        let number = lease.and_then(|lease| match &lease.checkpoint {
            LeaseCheckpoint::Number(number) if state != ShardState::OtherStream => Some(number),
            _ => None,
        });
        ShardVerdict {
            shard: shard.clone(),
            state,
            records: replayed.records,
            last_sequence_number: replayed.last.to_string(),
            checkpoint: lease.map(|lease| word(&lease.checkpoint)),
            owner: lease.and_then(|lease| lease.owner.clone()),
            replayed_until: stored_at(&replayed.last),
            read_until: number.and_then(stored_at),
        }
    };
    replayed.iter().map(judge_one).collect()
}

fn of_lease(checkpoint: &LeaseCheckpoint, last: &SequenceNumber) -> ShardState {
    match checkpoint {
        LeaseCheckpoint::ShardEnd => ShardState::Drained,
        LeaseCheckpoint::Latest => ShardState::SkipsIt,
        LeaseCheckpoint::TrimHorizon | LeaseCheckpoint::AtTimestamp => ShardState::NotBegun,
        LeaseCheckpoint::Number(number) if !same_shard(number, last) => ShardState::OtherStream,
        LeaseCheckpoint::Number(number) if number >= last => ShardState::Drained,
        LeaseCheckpoint::Number(_) => ShardState::Behind,
    }
}

/// Whether two numbers come of one shard. What is not laid out as Kinesis does it tells nothing.
fn same_shard(one: &SequenceNumber, other: &SequenceNumber) -> bool {
    match (Sequence::parse(one.as_str()), Sequence::parse(other.as_str())) {
        (Some(one), Some(other)) => one.base() == other.base(),
        _ => true,
    }
}

fn children_have_begun(children: Option<&BTreeSet<&str>>, leases: &BTreeMap<String, Lease>) -> bool {
    let Some(children) = children else { return false };
    children.iter().all(|child| {
        leases.get(*child).is_some_and(|lease| {
            matches!(lease.checkpoint, LeaseCheckpoint::Number(_) | LeaseCheckpoint::ShardEnd)
        })
    })
}

/// The second in which the record of this number was stored.
#[must_use]
pub fn stored_at(number: &SequenceNumber) -> Option<u64> {
    Sequence::parse(number.as_str()).map(Sequence::arrival_s)
}

fn word(checkpoint: &LeaseCheckpoint) -> String {
    match checkpoint {
        LeaseCheckpoint::TrimHorizon => "TRIM_HORIZON".to_owned(),
        LeaseCheckpoint::Latest => "LATEST".to_owned(),
        LeaseCheckpoint::AtTimestamp => "AT_TIMESTAMP".to_owned(),
        LeaseCheckpoint::ShardEnd => "SHARD_END".to_owned(),
        LeaseCheckpoint::Number(number) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
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
            owner: Some("w".into()),
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
        }
    }

    /// The state of shard `s0`, into which a hundred records went, the last with number 99.
    fn state(leases: Vec<Lease>, parents: &[(&str, &str)]) -> ShardState {
        let replayed = [("s0".to_owned(), Replayed { records: 100, last: number(0, 99) })].into();
        let parents = parents.iter().map(|(child, parent)| ((*child).to_owned(), vec![(*parent).to_owned()]));
        let leases = leases.into_iter().map(|lease| (lease.shard.clone(), lease)).collect();
        judge(&replayed, &parents.collect(), &leases)[0].state
    }

    #[test]
    fn a_shard_is_drained_from_its_last_replayed_record_on() {
        let at = |number| vec![lease("s0", LeaseCheckpoint::Number(number), &[])];
        assert_eq!(state(at(number(0, 98)), &[]), ShardState::Behind);
        assert_eq!(state(at(number(0, 99)), &[]), ShardState::Drained);
        assert_eq!(state(at(number(0, 7_000)), &[]), ShardState::Drained);
        assert_eq!(state(vec![lease("s0", LeaseCheckpoint::ShardEnd, &[])], &[]), ShardState::Drained);
    }

    #[test]
    fn a_shard_without_a_lease_has_not_begun() {
        assert_eq!(state(vec![], &[]), ShardState::NotBegun);
        assert_eq!(state(vec![lease("s1", LeaseCheckpoint::ShardEnd, &[])], &[]), ShardState::NotBegun);
        for waiting in [LeaseCheckpoint::TrimHorizon, LeaseCheckpoint::AtTimestamp] {
            assert_eq!(state(vec![lease("s0", waiting, &[])], &[]), ShardState::NotBegun);
        }
    }

    #[test]
    fn a_lease_that_begins_at_the_tip_skips_what_was_replayed() {
        assert_eq!(state(vec![lease("s0", LeaseCheckpoint::Latest, &[])], &[]), ShardState::SkipsIt);
    }

    #[test]
    fn another_streams_lease_of_the_same_shard_name_is_not_taken_for_ours() {
        // The live stream's shard was made later, so its numbers exceed all of ours.
        let live = SequenceBase { created_s: MADE + 86_400, shard: 0 }.number(5, MADE + 86_500);
        let theirs = vec![lease("s0", LeaseCheckpoint::Number(live.into()), &[])];
        assert_eq!(state(theirs, &[]), ShardState::OtherStream);
    }

    #[test]
    fn numbers_that_kinesis_did_not_make_are_compared_as_numbers() {
        let small = |n: &str| SequenceNumber::new(n).unwrap();
        assert_eq!(of_lease(&LeaseCheckpoint::Number(small("100")), &small("99")), ShardState::Drained);
        assert_eq!(of_lease(&LeaseCheckpoint::Number(small("98")), &small("99")), ShardState::Behind);
    }

    #[test]
    fn a_parents_lease_that_is_gone_counts_as_read_once_all_children_have_begun() {
        let family = [("s1", "s0"), ("s2", "s0")];
        let child = |shard, checkpoint| lease(shard, checkpoint, &["s0"]);
        let begun = |shard: u32| LeaseCheckpoint::Number(number(shard, 3));
        assert_eq!(state(vec![child("s1", begun(1)), child("s2", begun(2))], &family), ShardState::Drained);
        // One child is not in the table, or waits.
        assert_eq!(state(vec![child("s1", begun(1))], &family), ShardState::NotBegun);
        let waits = child("s2", LeaseCheckpoint::TrimHorizon);
        assert_eq!(state(vec![child("s1", begun(1)), waits], &family), ShardState::NotBegun);
        // The stream has forgotten the parent, the leases know it.
        assert_eq!(state(vec![child("s1", begun(1)), child("s2", begun(2))], &[]), ShardState::Drained);
        // A parent that is still there speaks for itself.
        let parent = lease("s0", LeaseCheckpoint::Number(number(0, 3)), &[]);
        assert_eq!(
            state(vec![parent, child("s1", begun(1)), child("s2", begun(2))], &family),
            ShardState::Behind
        );
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
        let replayed = [("s0".to_owned(), Replayed { records: 100, last: number(0, 99) })].into();
        let leases = [("s0".to_owned(), lease("s0", LeaseCheckpoint::Number(number(0, 40)), &[]))].into();
        let verdict = &judge(&replayed, &BTreeMap::new(), &leases)[0];
        assert_eq!((verdict.read_until, verdict.replayed_until), (Some(MADE + 40), Some(MADE + 99)));
    }
}
