//! Which shards came of which, and whether a table of leases speaks of this stream at all.
//!
//! A lease at a shard's end says nothing else, and a worker removes it once it reads all of the shard's children. Both
//! would be taken for our own shard's if the table is another stream's. So what the stream itself lists goes first: an
//! open shard has not ended, whoever says so, and a closed one has the children that the stream names. The leases' own
//! word on parents counts only for shards that the stream does not list any more.
//!
//! And the table must be shown to be this stream's: some lease's number has to come of one of its shards (or the leases
//! name their stream), and none may come of another's; what it has shown once counts from then on, because a worker that has
//! read all of a stream whose shards were changed behind the last record has no number left in it. Only where the numbers are
//! not laid out as Kinesis does it is there nothing to show.

use std::collections::{BTreeMap, BTreeSet};

use super::{Listed, Replayed, ShardState};
use crate::lifecycle::lease::{Lease, LeaseCheckpoint};
use crate::record::SequenceNumber;
use crate::sim::sequence::Sequence;

/// Generations that are looked through for a descendant that was begun.
const GENERATIONS_MAX: usize = 32;

pub(super) struct Lineage<'a> {
    replayed: &'a BTreeMap<String, Replayed>,
    listing: &'a BTreeMap<String, Listed>,
    leases: &'a BTreeMap<String, Lease>,
    children: BTreeMap<&'a str, BTreeSet<&'a str>>,
    origin: Origin,
}

/// Whose leases they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// This stream's.
    Ours,
    /// Another's, at least some.
    Others,
    /// Nothing tells.
    Unknown,
}

impl<'a> Lineage<'a> {
    pub(super) fn new(
        replayed: &'a BTreeMap<String, Replayed>,
        listing: &'a BTreeMap<String, Listed>,
        leases: &'a BTreeMap<String, Lease>,
        seen_ours: bool,
    ) -> Self {
        let mut children: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (shard, listed) in listing {
            for parent in &listed.parents {
                children.entry(parent).or_default().insert(shard);
            }
        }
        for (shard, lease) in leases {
            for parent in lease.parents.iter().filter(|&parent| !listing.contains_key(parent)) {
                children.entry(parent).or_default().insert(shard);
            }
        }
        let origin = match origin(replayed, listing, leases) {
            Origin::Unknown if seen_ours => Origin::Ours,
            origin => origin,
        };
        Self { replayed, listing, leases, children, origin }
    }

    /// What a lease at the end of `shard` says.
    pub(super) fn at_its_end(&self, shard: &str) -> ShardState {
        let Some(listed) = self.listing.get(shard) else { return self.drained_if_ours() };
        if listed.open {
            return ShardState::OtherStream;
        }
        let starts = listed.starts.as_ref();
        let replayed = self.replayed.get(shard);
        let ours = starts
            .zip(replayed)
            .is_none_or(|(starts, replayed)| same_shard(starts, &replayed.last) != Some(false));
        // A worker makes the children's leases before it says that it is at the end.
        let known = |child: &&str| self.leases.contains_key(*child) || self.has_begun(child, 0);
        let children = self.children_of(shard);
        if self.origin != Origin::Others && !(ours && !children.is_empty() && children.iter().all(known)) {
            return ShardState::Unproven;
        }
        self.drained_if_ours()
    }

    /// What it says that `shard` has no lease.
    pub(super) fn without_a_lease(&self, shard: &str) -> ShardState {
        let is_open = self.listing.get(shard).is_some_and(|listed| listed.open);
        if is_open || !self.has_begun_behind(shard, 0) {
            return ShardState::NotBegun;
        }
        self.drained_if_ours()
    }

    fn drained_if_ours(&self) -> ShardState {
        match self.origin {
            Origin::Ours => ShardState::Drained,
            Origin::Others => ShardState::OtherStream,
            Origin::Unknown => ShardState::Unproven,
        }
    }

    fn children_of(&self, shard: &str) -> Vec<&'a str> {
        self.children.get(shard).into_iter().flatten().copied().collect()
    }

    /// Whether the worker has read something of `shard`, or all of it and gone on.
    fn has_begun(&self, shard: &str, generation: usize) -> bool {
        match self.leases.get(shard).map(|lease| &lease.checkpoint) {
            Some(LeaseCheckpoint::Number(_) | LeaseCheckpoint::ShardEnd) => true,
            Some(_) => false,
            None => self.has_begun_behind(shard, generation + 1),
        }
    }

    fn has_begun_behind(&self, shard: &str, generation: usize) -> bool {
        let children = self.children_of(shard);
        generation < GENERATIONS_MAX
            && !children.is_empty()
            && children.iter().all(|child| self.has_begun(child, generation))
    }
}

pub(super) fn origin(
    replayed: &BTreeMap<String, Replayed>,
    listing: &BTreeMap<String, Listed>,
    leases: &BTreeMap<String, Lease>,
) -> Origin {
    // Numbers without Kinesis' layout cannot show anything.
    let no_layout = replayed.values().all(|shard| Sequence::parse(&shard.last.to_string()).is_none());
    let mut origin = if no_layout { Origin::Ours } else { Origin::Unknown };
    for (shard, lease) in leases {
        // Those of other streams were left out.
        let named = lease.stream.is_some();
        let known = replayed.get(shard).map(|shard| &shard.last);
        let known = known.or_else(|| listing.get(shard)?.starts.as_ref());
        let same = match (&lease.checkpoint, known) {
            (LeaseCheckpoint::Number(number), Some(known)) => same_shard(number, known),
            _ => None,
        };
        match same {
            Some(false) => return Origin::Others,
            Some(true) => origin = Origin::Ours,
            None if named => origin = Origin::Ours,
            None => {}
        }
    }
    origin
}

/// Whether two numbers come of one shard. Two that are not laid out as Kinesis does it tell nothing.
pub(super) fn same_shard(one: &SequenceNumber, other: &SequenceNumber) -> Option<bool> {
    match (Sequence::parse(&one.to_string()), Sequence::parse(&other.to_string())) {
        (Some(one), Some(other)) => Some(one.base() == other.base()),
        (None, None) => None,
        _ => Some(false),
    }
}
