//! Has the worker read everything that was replayed? The decision, from the run's ledger, the shards as the stream
//! lists them, and the worker's leases.
//!
//! A shard is drained when its lease stands at or behind the last sequence number that the replay got
//! from it, or at the shard's end. Traps are told apart, because each would make the switch back lose records:
//!
//! - A lease that begins at the tip, and so skips what lies in the shard.
//! - A lease of another stream whose shards have the same names (one worker's table used for two streams). It shows in
//!   the numbers: all that one shard gives begin with the second in which it was made. A lease at a shard's end has no
//!   number, so it counts only where the `lineage` bears it out.
//! - A lease inside the last record: the records of an aggregate share one number, and a worker may stop between them.
//!   At that number it has read all of them only if its sub-sequence number is that of the last one.
//!
//! What no table tells is where a worker began: it must have been at the oldest record (`TRIM_HORIZON`).

mod lineage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use self::lineage::{Lineage, Origin, same_shard};
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
    /// Records that have that number, where it is known.
    pub last_records: Option<u32>,
}

/// A shard that the stream lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Whether it still takes records.
    pub open: bool,
    /// The shards that it came of.
    pub parents: Vec<String>,
    /// The number that it begins with, where it is told.
    pub starts: Option<SequenceNumber>,
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
    /// The table says that it is read to its end, and nothing bears out that this stream's shard is meant.
    Unproven,
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
    /// The place in the aggregate of that number, from 0; `null` without a lease.
    pub sub_sequence_number: Option<u64>,
    /// The worker that holds the lease.
    pub owner: Option<String>,
    /// When the last replayed record was stored, in seconds since 1970, if its number tells.
    pub replayed_until: Option<u64>,
    /// When the last record that was read was stored, likewise.
    pub read_until: Option<u64>,
}

impl ShardVerdict {
    /// Whether the worker stands at the last number, but not at the last record that has it.
    #[must_use]
    pub fn is_inside_the_last(&self) -> bool {
        self.state == ShardState::Behind && self.checkpoint.as_ref() == Some(&self.last_sequence_number)
    }
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

/// Whether the leases show that they are this stream's. Once all that they speak of is at its end, they do not any more.
#[must_use]
pub fn show_ours(
    replayed: &BTreeMap<String, Replayed>,
    listing: &BTreeMap<String, Listed>,
    leases: &BTreeMap<String, Lease>,
) -> bool {
    lineage::origin(replayed, listing, leases) == Origin::Ours
}

/// Judges every shard that the replay has written to, in a stream that lists the shards of `listing`. `seen_ours` is whether the
/// table was shown to be this stream's before.
#[must_use]
pub fn judge(
    replayed: &BTreeMap<String, Replayed>,
    listing: &BTreeMap<String, Listed>,
    leases: &BTreeMap<String, Lease>,
    seen_ours: bool,
) -> Vec<ShardVerdict> {
    let lineage = Lineage::new(replayed, listing, leases, seen_ours);
    let judge_one = |(shard, replayed): (&String, &Replayed)| {
        let lease = leases.get(shard);
        let state = match lease {
            Some(lease) => of_lease(lease, replayed, &lineage),
            None => lineage.without_a_lease(shard),
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
            sub_sequence_number: lease.map(|lease| lease.sub_sequence_number),
            owner: lease.and_then(|lease| lease.owner.clone()),
            replayed_until: stored_at(&replayed.last),
            read_until: number.and_then(stored_at),
        }
    };
    replayed.iter().map(judge_one).collect()
}

fn of_lease(lease: &Lease, replayed: &Replayed, lineage: &Lineage<'_>) -> ShardState {
    let number = match &lease.checkpoint {
        LeaseCheckpoint::ShardEnd => return lineage.at_its_end(&lease.shard),
        LeaseCheckpoint::Latest => return ShardState::SkipsIt,
        LeaseCheckpoint::TrimHorizon | LeaseCheckpoint::AtTimestamp => return ShardState::NotBegun,
        LeaseCheckpoint::Number(number) => number,
    };
    if same_shard(number, &replayed.last) == Some(false) {
        return ShardState::OtherStream;
    }
    let whole = |count: u32| lease.sub_sequence_number >= u64::from(count.saturating_sub(1));
    match number.cmp(&replayed.last) {
        std::cmp::Ordering::Greater => ShardState::Drained,
        std::cmp::Ordering::Equal if replayed.last_records.is_some_and(whole) => ShardState::Drained,
        std::cmp::Ordering::Equal | std::cmp::Ordering::Less => ShardState::Behind,
    }
}

/// The second in which the record of this number was stored.
#[must_use]
pub fn stored_at(number: &SequenceNumber) -> Option<u64> {
    Sequence::parse(&number.to_string()).map(Sequence::arrival_s)
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
