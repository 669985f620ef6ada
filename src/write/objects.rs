//! What became of each object: the ledger behind the closing sum.
//!
//! An object is open from its first record on until it was routed to its end and each of its records is
//! settled. Only open objects are held here; of the others only their numbers are.
//!
//! A resume routes an open object again, and what it then finds settled has to be what the earlier process
//! has counted. If it is not, records are not routed as they were: the sums could come out early, with some
//! of them neither sent nor set aside. Such a contradiction ends the run, and the object stays open.

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
    /// What cannot be, if it is.
    contradiction: Option<String>,
}

#[derive(Debug, Default)]
struct OpenObject {
    routed: u32,
    /// What an earlier process has settled: as it was counted then …
    inherited: u32,
    /// … and as far as it was met again.
    settled_before: u32,
    complete: bool,
    ledger: ObjectLedger,
}

/// An object of which every record is settled.
pub(super) type Settled = (u32, ObjectLedger);

impl Objects {
    /// What `checkpoint` knows of them. A resume routes open objects again from their first record, so
    /// what was routed starts at nothing.
    pub(super) fn new(checkpoint: &Checkpoint) -> Self {
        let open = |(&object, &ledger): (&u32, &ObjectLedger)| {
            (object, OpenObject { ledger, inherited: ledger.settled(), ..OpenObject::default() })
        };
        Self {
            open: checkpoint.open_objects.iter().map(open).collect(),
            settled: checkpoint.settled_objects.clone(),
            fed: 0,
            contradiction: None,
        }
    }

    /// What was found that cannot be, once.
    pub(super) fn take_contradiction(&mut self) -> Option<String> {
        self.contradiction.take()
    }

    fn contradict(&mut self, object: u32, what: &str) {
        self.contradiction.get_or_insert_with(|| {
            format!("the sums of object {object} do not hold: {what}; this is a defect in respool")
        });
    }

    /// Open objects that this process was fed records of; those that a resume has yet to be fed do not count.
    pub(super) fn fed_count(&self) -> usize {
        self.fed
    }

    /// A record of `object` was routed or set aside by the route.
    pub(super) fn routed(&mut self, object: u32) {
        self.feed(object, 1);
    }

    /// A record of `object` that was routed is settled already, by an earlier process.
    pub(super) fn settled_before(&mut self, object: u32) {
        self.open.entry(object).or_default().settled_before += 1;
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
            *if anew { &mut open.ledger.filtered } else { &mut open.settled_before } += count;
        }
    }

    /// The objects from `first` to before `end` were routed to their ends; gives those that are settled.
    pub(super) fn complete(&mut self, first: u32, end: u32) -> Vec<Settled> {
        let mut settled = Vec::new();
        for object in first..end {
            if interval_contains(&self.settled, object) {
                continue;
            }
            let open = self.open.entry(object).or_default();
            let (before, inherited) = (open.settled_before, open.inherited);
            if before == inherited {
                open.complete = true;
                settled.extend(self.close_if_settled(object));
            } else {
                let what =
                    format!("{inherited} of its records were settled before, {before} of those routed now");
                self.contradict(object, &what);
            }
        }
        settled
    }

    /// A record of `object` was delivered.
    pub(super) fn delivered(&mut self, object: u32) -> Option<Settled> {
        self.open_object(object).ledger.delivered += 1;
        self.close_if_settled(object)
    }

    /// A record of `object` was set aside.
    pub(super) fn quarantined(&mut self, object: u32) -> Option<Settled> {
        self.open_object(object).ledger.quarantined += 1;
        self.close_if_settled(object)
    }

    fn open_object(&mut self, object: u32) -> &mut OpenObject {
        if !self.open.contains_key(&object) {
            self.contradict(object, "a record of it was settled when all of them were");
        }
        self.open.entry(object).or_default()
    }

    /// `object` was set aside, whole or what an earlier process has left of it: there is nothing left to do
    /// for it. Gives what became of the rest.
    pub(super) fn quarantined_whole(&mut self, object: u32) -> ObjectLedger {
        interval_insert(&mut self.settled, object);
        self.open.remove(&object).map(|open| open.ledger).unwrap_or_default()
    }

    /// For a checkpoint: the numbers of the settled ones, and the ledgers of the open ones.
    pub(super) fn snapshot(&self) -> (Vec<(u32, u32)>, BTreeMap<u32, ObjectLedger>) {
        let ledgers = self.open.iter().map(|(&object, open)| (object, open.ledger));
        (self.settled.clone(), ledgers.filter(|(_, ledger)| ledger.settled() > 0).collect())
    }

    fn close_if_settled(&mut self, object: u32) -> Option<Settled> {
        let open = self.open.get(&object)?;
        let settled = open.ledger.settled() >= open.routed || on(Mutant::ObjectSettledEarly);
        if !open.complete || !settled {
            return None;
        }
        if open.ledger.settled() > open.routed {
            self.contradict(object, "more of its records are settled than it has");
            return None;
        }
        let ledger = open.ledger;
        self.fed -= usize::from(open.routed > 0);
        self.open.remove(&object);
        interval_insert(&mut self.settled, object);
        Some((object, ledger))
    }
}
