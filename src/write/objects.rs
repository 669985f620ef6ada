//! What became of each object: the ledger behind the closing sum.
//!
//! An object is open from its first record on until it was routed to its end and each of its records is
//! settled. Only open objects are held here; of the others only their numbers are.

use std::collections::BTreeMap;

use super::checkpoint::{Checkpoint, ObjectLedger, interval_contains, interval_insert};
use super::mutant::{Mutant, on};

/// The objects of a run, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Objects {
    open: BTreeMap<u32, OpenObject>,
    settled: Vec<(u32, u32)>,
    /// Open objects of which some records were routed.
    fed: usize,
}

#[derive(Debug, Default)]
struct OpenObject {
    routed: u32,
    complete: bool,
    ledger: ObjectLedger,
}

/// An object of which every record is settled.
pub(super) type Settled = (u32, ObjectLedger);

impl Objects {
    /// What `checkpoint` knows of them. A resume routes open objects again from their first record, so
    /// what was routed starts at nothing.
    pub(super) fn new(checkpoint: &Checkpoint) -> Self {
        let open = |(&object, &ledger)| (object, OpenObject { ledger, ..OpenObject::default() });
        Self {
            open: checkpoint.open_objects.iter().map(open).collect(),
            settled: checkpoint.settled_objects.clone(),
            fed: 0,
        }
    }

    /// Open objects that this process was fed records of; those that a resume has yet to be fed do not count.
    pub(super) fn fed_count(&self) -> usize {
        self.fed
    }

    /// A record of `object` was routed or set aside by the route.
    pub(super) fn routed(&mut self, object: u32) {
        self.feed(object, 1);
    }

    fn feed(&mut self, object: u32, records: u32) -> &mut OpenObject {
        let open = self.open.entry(object).or_default();
        self.fed += usize::from(open.routed == 0);
        open.routed += records;
        open
    }

    /// `count` records of `object` were left out by the user's flags; `anew` if no earlier process has
    /// counted them.
    pub(super) fn filtered(&mut self, object: u32, count: u32, anew: bool) {
        if count > 0 {
            let open = self.feed(object, count);
            open.ledger.filtered += if anew { count } else { 0 };
        }
    }

    /// The objects from `first` to before `end` were routed to their ends; gives those that are settled.
    pub(super) fn complete(&mut self, first: u32, end: u32) -> Vec<Settled> {
        let mut settled = Vec::new();
        for object in first..end {
            if !interval_contains(&self.settled, object) {
                self.open.entry(object).or_default().complete = true;
                settled.extend(self.close_if_settled(object));
            }
        }
        settled
    }

    /// A record of `object` was delivered.
    pub(super) fn delivered(&mut self, object: u32) -> Option<Settled> {
        self.open.entry(object).or_default().ledger.delivered += 1;
        self.close_if_settled(object)
    }

    /// A record of `object` was set aside.
    pub(super) fn quarantined(&mut self, object: u32) -> Option<Settled> {
        self.open.entry(object).or_default().ledger.quarantined += 1;
        self.close_if_settled(object)
    }

    /// `object` was set aside, whole or what an earlier process has left of it: there is nothing left to do
    /// for it.
    pub(super) fn quarantined_whole(&mut self, object: u32) {
        self.open.remove(&object);
        interval_insert(&mut self.settled, object);
    }

    /// For a checkpoint: the numbers of the settled ones, and the ledgers of the open ones.
    pub(super) fn snapshot(&self) -> (Vec<(u32, u32)>, BTreeMap<u32, ObjectLedger>) {
        let ledgers = self.open.iter().map(|(&object, open)| (object, open.ledger));
        (self.settled.clone(), ledgers.filter(|(_, ledger)| ledger.settled() > 0).collect())
    }

    fn close_if_settled(&mut self, object: u32) -> Option<Settled> {
        let open = self.open.get(&object)?;
        let settled = open.ledger.settled() == open.routed || on(Mutant::ObjectSettledEarly);
        if !open.complete || !settled {
            return None;
        }
        let ledger = open.ledger;
        self.fed -= usize::from(open.routed > 0);
        self.open.remove(&object);
        interval_insert(&mut self.settled, object);
        Some((object, ledger))
    }
}
