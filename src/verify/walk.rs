//! Does a stream hold what an archive holds? The records of each key, walked side by side.
//!
//! Both sides are reduced to a place (the hash of the key), a digest (of key and bytes) and a position, so that
//! records of any size compare in the same small space. A record that is seen is taken for the next one
//! expected if it is that; for a copy if it equals one that was seen; for late if it equals one that was passed;
//! else it is foreign. What was never seen is missing. So records that are equal in the archive are counted
//! right: as often as the archive has them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};

use sha2::{Digest as _, Sha256};

use crate::record::{HashKey, Ordinal, PartitionKey};

/// 128 bits of SHA-256 over a record's key and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 16]);

impl Digest {
    /// Of this record.
    pub fn of(key: &PartitionKey, data: &[u8]) -> Self {
        let key = key.as_str().as_bytes();
        let sha = Sha256::new().chain_update((key.len() as u64).to_le_bytes()).chain_update(key);
        let sum: [u8; 32] = sha.chain_update(data).finalize().into();
        let mut digest = [0; 16];
        digest.copy_from_slice(&sum[..16]);
        Self(digest)
    }
}

/// A record of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Where its key is placed.
    pub hash: HashKey,
    /// What it is.
    pub digest: Digest,
    /// Its place in the run.
    pub ordinal: Ordinal,
    /// Whether it must be there.
    pub standing: Standing,
}

/// What a record of the archive is to the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It must be there.
    Due,
    /// It may be there: it is set aside, or the run has not come to it.
    Open,
    /// It must be there, behind all that the run itself has sent: a retry of the run has sent it.
    Retried,
}

/// What stands in the stream under one sequence number, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Where its key is placed.
    pub hash: HashKey,
    /// What it is.
    pub digest: Digest,
    /// The shard, by the number it has in this reading.
    pub shard: u32,
    /// What it is a part of.
    pub form: Form,
    /// When it came to its shard, as the run sees it.
    pub era: Era,
}

/// Whose time a place in a shard lies in. Only what came in the run's own can be what it has delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// Before the run began.
    Before,
    /// From the first record of the shard that was acknowledged to the run until the last.
    Own,
    /// The same of a retry of the run.
    Retry,
    /// Since the run began, but beside that: of others, or of a request of its own whose answer was lost.
    Since,
}

/// How a record stands in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// By itself.
    Plain,
    /// As an aggregate, taken whole: it may be a record of the archive as it is.
    Aggregate,
    /// Inside of an aggregate.
    Inner,
}

/// What the walk goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether the order of a key's records counts.
    pub ordered: bool,
    /// Whether the stream may have dropped its oldest records since the run began.
    pub expired: bool,
}

/// What is wrong with one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// It is not there.
    Missing,
    /// A later record of its key came first.
    Late,
    /// It is not there, but retention may have taken it.
    NotProvable,
}

/// What was found of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShardCount {
    /// Records of the archive, seen for the first time.
    pub ours: u64,
    /// Further copies of them.
    pub duplicates: u64,
    /// Copies of them that were there before the run began.
    pub before: u64,
    /// Others.
    pub foreign: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Records that are due.
    pub expected: u64,
    /// Those of them that are there.
    pub present: u64,
    /// Those of the due ones that retries have sent.
    pub retried: u64,
    /// By the number of the shard.
    pub shards: BTreeMap<u32, ShardCount>,
    /// What is wrong, by record.
    pub differences: Vec<(Ordinal, Difference)>,
}

/// Walks all keys of `expected` (in archive order) and `seen` (each key in the order of the stream).
pub fn walk(mut expected: Vec<Expected>, mut seen: Vec<Seen>, rules: Rules, findings: &mut Findings) {
    // Both sorts are stable: within a key the order stays.
    expected.sort_by_key(|record| record.hash);
    seen.sort_by_key(|record| record.hash);
    let (mut expected, mut seen) = (&expected[..], &seen[..]);
    while let Some(hash) = expected
        .first()
        .map(|record| record.hash)
        .into_iter()
        .chain(seen.first().map(|record| record.hash))
        .min()
    {
        let (ours, expected_rest) =
            expected.split_at(expected.iter().take_while(|record| record.hash == hash).count());
        let (theirs, seen_rest) = seen.split_at(seen.iter().take_while(|record| record.hash == hash).count());
        Key::new(ours, rules).walk(theirs, findings);
        (expected, seen) = (expected_rest, seen_rest);
    }
}

/// The walk through one key.
struct Key<'a> {
    expected: &'a [Expected],
    rules: Rules,
    /// By digest, the places that were not seen, and how many copies were seen beyond.
    places: HashMap<Digest, Places>,
    was_seen: Vec<bool>,
    /// Behind the furthest record that was seen.
    next: usize,
    first: Option<usize>,
}

#[derive(Default)]
struct Places {
    unseen: VecDeque<usize>,
    seen_any: bool,
    copies: u64,
}

impl Places {
    /// The first unseen one that what came in `era` can be: a retry sends what its run has set aside, and nothing else.
    fn next(&self, expected: &[Expected], era: Era) -> Option<usize> {
        let standing = |place: &usize| expected.get(*place).map(|record| record.standing);
        let first = |fits: &dyn Fn(Standing) -> bool| {
            self.unseen.iter().position(|place| standing(place).is_some_and(fits))
        };
        match era {
            Era::Retry => first(&|standing| standing == Standing::Retried)
                .or_else(|| first(&|standing| standing == Standing::Open)),
            _ => first(&|standing| standing != Standing::Retried),
        }
    }
}

impl<'a> Key<'a> {
    fn new(expected: &'a [Expected], rules: Rules) -> Self {
        let mut places: HashMap<Digest, Places> = HashMap::new();
        for (place, record) in expected.iter().enumerate() {
            places.entry(record.digest).or_default().unseen.push_back(place);
        }
        Self { expected, rules, places, was_seen: vec![false; expected.len()], next: 0, first: None }
    }

    fn walk(mut self, seen: &[Seen], findings: &mut Findings) {
        for record in seen {
            self.meet(record, findings);
        }
        for (place, record) in self.expected.iter().enumerate() {
            let (due, own) = (record.standing != Standing::Open, record.standing == Standing::Due);
            findings.expected += u64::from(due);
            findings.retried += u64::from(record.standing == Standing::Retried);
            if self.was_seen[place] {
                findings.present += u64::from(due);
            } else if due {
                let copies = self.places.get_mut(&record.digest).map(|places| &mut places.copies);
                let copies = copies.filter(|_| own);
                let difference = match copies {
                    // What was taken for a copy of an equal record was this one, out of its turn.
                    Some(copies) if *copies > 0 => {
                        *copies -= 1;
                        findings.present += 1;
                        Difference::Late
                    }
                    _ if self.rules.expired && self.first.is_none_or(|first| place < first) => {
                        Difference::NotProvable
                    }
                    _ => Difference::Missing,
                };
                if difference != Difference::Late || self.rules.ordered {
                    findings.differences.push((record.ordinal, difference));
                }
            }
        }
    }

    fn meet(&mut self, record: &Seen, findings: &mut Findings) {
        let shard = findings.shards.entry(record.shard).or_default();
        let Some(places) = self.places.get_mut(&record.digest) else {
            // The parts of an aggregate speak for it.
            shard.foreign += u64::from(record.form != Form::Aggregate);
            return;
        };
        let at = places.next(self.expected, record.era);
        let found = at.and_then(|at| Some((at, *places.unseen.get(at)?)));
        // What the run has not come to may lie behind the last that was acknowledged to it.
        let not_due = found.is_some_and(|(_, place)| self.expected[place].standing == Standing::Open);
        match record.era {
            Era::Before => return shard.before += 1,
            Era::Since if !not_due => return shard.duplicates += 1,
            Era::Since | Era::Own | Era::Retry => {}
        }
        let own = record.era != Era::Retry;
        let Some((at, place)) = found.filter(|&(_, place)| {
            let passed = place < self.next;
            let skipped = self.expected.get(self.next..place).unwrap_or_default();
            let in_turn = passed || skipped.iter().all(|skipped| skipped.standing != Standing::Due);
            // Ahead of its turn it is more likely the copy of an equal record.
            in_turn || !places.seen_any || !self.rules.ordered || !own
        }) else {
            places.copies += u64::from(own);
            shard.duplicates += 1;
            return;
        };
        places.unseen.remove(at);
        places.seen_any = true;
        shard.ours += 1;
        self.was_seen[place] = true;
        self.first = Some(self.first.map_or(place, |first| first.min(place)));
        let due = self.expected[place].standing == Standing::Due;
        if place < self.next && self.rules.ordered && due {
            findings.differences.push((self.expected[place].ordinal, Difference::Late));
        }
        if own {
            self.next = self.next.max(place + 1);
        }
    }
}
