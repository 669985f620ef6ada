//! Does a stream hold what an archive holds? The records of each key, walked side by side.
//!
//! Both sides are reduced to a place (the hash of the key), a digest (of key and bytes) and a position, so that
//! records of any size compare in the same small space. A record that is seen is taken for the next one
//! expected if it is that; for a copy if it equals one that was seen; for late if it equals one that was passed;
//! else it is foreign. What was never seen is missing. So records that are equal in the archive are counted
//! right: as often as the archive has them.

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
    /// Whether it must be there; others may be: they are set aside, or the run has not come to them.
    pub due: bool,
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
            findings.expected += u64::from(record.due);
            if self.was_seen[place] {
                findings.present += u64::from(record.due);
            } else if record.due {
                let copies = self.places.get_mut(&record.digest).map(|places| &mut places.copies);
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
        let place = places.unseen.front().copied();
        // What the run has not come to may lie behind the last that was acknowledged to it.
        let not_due = place.is_some_and(|place| !self.expected[place].due);
        match record.era {
            Era::Before => return shard.before += 1,
            Era::Since if !not_due => return shard.duplicates += 1,
            Era::Since | Era::Own => {}
        }
        let Some(place) = place.filter(|&place| {
            let passed = place < self.next;
            let in_turn = passed || self.expected[self.next..place].iter().all(|skipped| !skipped.due);
            // Ahead of its turn it is more likely the copy of an equal record.
            in_turn || !places.seen_any || !self.rules.ordered
        }) else {
            places.copies += 1;
            shard.duplicates += 1;
            return;
        };
        places.unseen.pop_front();
        places.seen_any = true;
        shard.ours += 1;
        self.was_seen[place] = true;
        self.first = Some(self.first.map_or(place, |first| first.min(place)));
        if place < self.next && self.rules.ordered && self.expected[place].due {
            findings.differences.push((self.expected[place].ordinal, Difference::Late));
        }
        self.next = self.next.max(place + 1);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORDERED: Rules = Rules { ordered: true, expired: false };

    fn digest(content: u8) -> Digest {
        Digest([content; 16])
    }

    /// A key's records by content; those above 200 are not due.
    fn expected(contents: &[u8]) -> Vec<Expected> {
        let record = |(number, &content): (usize, &u8)| Expected {
            hash: HashKey(7),
            digest: digest(content),
            ordinal: Ordinal::new(0, u32::try_from(number).unwrap()),
            due: content <= 200,
        };
        contents.iter().enumerate().map(record).collect()
    }

    fn seen(contents: &[u8]) -> Vec<Seen> {
        let record = |&content| Seen {
            hash: HashKey(7),
            digest: digest(content),
            shard: 0,
            form: Form::Plain,
            era: Era::Own,
        };
        contents.iter().map(record).collect()
    }

    /// Differences, then copies, then foreign records.
    fn find(archive: &[u8], stream: &[u8], rules: Rules) -> (Vec<(u32, Difference)>, u64, u64) {
        let mut findings = Findings::default();
        walk(expected(archive), seen(stream), rules, &mut findings);
        let count = findings.shards.get(&0).copied().unwrap_or_default();
        let mut differences: Vec<_> = findings
            .differences
            .iter()
            .map(|&(ordinal, difference)| (ordinal.record(), difference))
            .collect();
        differences.sort_unstable();
        (differences, count.duplicates, count.foreign)
    }

    #[test]
    fn copies_and_strangers_are_no_differences() {
        assert_eq!(find(&[1, 2, 3], &[1, 2, 3], ORDERED), (vec![], 0, 0));
        assert_eq!(find(&[1, 2, 3], &[1, 2, 1, 2, 3, 1], ORDERED), (vec![], 3, 0));
        assert_eq!(find(&[1, 2, 3], &[9, 1, 2, 8, 3], ORDERED), (vec![], 0, 2));
        assert_eq!(find(&[1, 201, 3], &[1, 3], ORDERED), (vec![], 0, 0));
        assert_eq!(find(&[1, 201, 3], &[1, 201, 3], ORDERED), (vec![], 0, 0));
    }

    #[test]
    fn what_is_missing_or_late_is_named() {
        assert_eq!(find(&[1, 2, 3], &[1, 3], ORDERED).0, [(1, Difference::Missing)]);
        assert_eq!(find(&[1, 2, 3], &[1, 3, 2], ORDERED).0, [(1, Difference::Late)]);
        assert_eq!(find(&[1, 2, 3], &[3, 2, 1], ORDERED).0, [(0, Difference::Late), (1, Difference::Late)]);
        assert_eq!(find(&[1, 2], &[], ORDERED).0, [(0, Difference::Missing), (1, Difference::Missing)]);
        let any = Rules { ordered: false, ..ORDERED };
        assert_eq!(find(&[1, 2, 3], &[3, 2, 1], any), (vec![], 0, 0));
        assert_eq!(find(&[1, 2, 3], &[3, 2, 2], any), (vec![(0, Difference::Missing)], 1, 0));
    }

    #[test]
    fn equal_records_count_as_often_as_the_archive_has_them() {
        assert_eq!(find(&[1, 1, 2, 1], &[1, 1, 2, 1], ORDERED), (vec![], 0, 0));
        assert_eq!(find(&[1, 1, 2, 1], &[1, 1, 2], ORDERED).0, [(3, Difference::Missing)]);
        assert_eq!(find(&[1, 2, 1], &[1, 1, 2, 1], ORDERED), (vec![], 1, 0));
        assert_eq!(find(&[1, 2, 1], &[1, 1, 2], ORDERED).0, [(2, Difference::Late)]);
    }

    #[test]
    fn what_retention_may_have_taken_is_not_called_missing() {
        let rules = Rules { expired: true, ..ORDERED };
        let unprovable = Difference::NotProvable;
        assert_eq!(find(&[1, 2, 3, 4], &[3, 4], rules).0, [(0, unprovable), (1, unprovable)]);
        assert_eq!(find(&[1, 2, 3, 4], &[2, 4], rules).0, [(0, unprovable), (2, Difference::Missing)]);
        assert_eq!(find(&[1, 2], &[], rules).0, [(0, unprovable), (1, unprovable)]);
    }

    #[test]
    fn what_others_have_brought_proves_nothing() {
        let find = |era: Era| {
            let mut stream = seen(&[1, 2]);
            for record in &mut stream {
                record.era = era;
            }
            stream.extend(seen(&[2]));
            let mut findings = Findings::default();
            walk(expected(&[1, 2]), stream, ORDERED, &mut findings);
            let count = findings.shards[&0];
            (findings.differences, count.ours, count.duplicates, count.before)
        };
        let missing = vec![(Ordinal::new(0, 0), Difference::Missing)];
        assert_eq!(find(Era::Before), (missing.clone(), 1, 0, 2));
        assert_eq!(find(Era::Since), (missing, 1, 2, 0));
        assert_eq!(find(Era::Own), (vec![], 2, 1, 0));
    }

    #[test]
    fn keys_are_walked_each_for_itself() {
        let mut archive = expected(&[1, 2]);
        archive.push(Expected { hash: HashKey(9), ..archive[0] });
        let mut stream = seen(&[1, 2]);
        stream.insert(0, Seen { hash: HashKey(8), shard: 3, ..stream[0] });
        let mut findings = Findings::default();
        walk(archive, stream, ORDERED, &mut findings);
        assert_eq!((findings.expected, findings.present, findings.differences.len()), (3, 2, 1));
        assert_eq!(findings.shards[&3].foreign, 1);
    }

    proptest! {
        #[test]
        fn stale_copies_never_hide_or_fake_anything(
            count in 1..40_usize,
            copies in proptest::collection::vec((0..40_usize, 0..40_usize), 0..20),
            dropped in proptest::option::of(0..40_usize),
        ) {
            let archive: Vec<u8> = (0..u8::try_from(count).unwrap()).collect();
            let mut stream: Vec<u8> =
                archive.iter().copied().filter(|&content| Some(usize::from(content)) != dropped).collect();
            for (what, whereto) in copies {
                // A copy comes after its first occurrence.
                let what = u8::try_from(what % count).unwrap();
                if let Some(at) = stream.iter().position(|&content| content == what) {
                    stream.insert((at + 1 + whereto).min(stream.len()), what);
                }
            }
            let missing = dropped.filter(|&dropped| dropped < count);
            let (differences, duplicates, foreign) = find(&archive, &stream, ORDERED);
            let expected: Vec<_> = missing.iter().map(|&at| (u32::try_from(at).unwrap(), Difference::Missing)).collect();
            prop_assert_eq!(differences, expected);
            prop_assert_eq!(duplicates, (stream.len() + missing.iter().count() - count) as u64);
            prop_assert_eq!(foreign, 0);
        }

        #[test]
        fn whatever_is_in_the_stream_the_counts_add_up(
            archive in proptest::collection::vec(0..6_u8, 0..30),
            stream in proptest::collection::vec(0..8_u8, 0..40),
        ) {
            let mut findings = Findings::default();
            walk(expected(&archive), seen(&stream), ORDERED, &mut findings);
            let count = findings.shards.get(&0).copied().unwrap_or_default();
            prop_assert_eq!(count.ours + count.duplicates + count.foreign, stream.len() as u64);
            // Whatever the order, a record is missing if the stream has it too seldom.
            let few = |content: u8| {
                let times = |records: &[u8]| records.iter().map(|&other| usize::from(other == content)).sum::<usize>();
                times(&archive).saturating_sub(times(&stream))
            };
            let missing: usize = (0..8).map(few).sum();
            let found = findings.differences.iter().filter(|(_, what)| *what == Difference::Missing).count();
            prop_assert_eq!(found, missing);
        }
    }
}
