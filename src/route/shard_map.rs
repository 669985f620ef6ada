//! Which shard a hash key belongs to.
//!
//! The open shards of a stream cover the hash space without gap or overlap; a map exists only if they
//! do. A record's shard is found by the top 12 bits of its hash in a table; only where several
//! shards share such a slot, the few candidates are searched.

use crate::record::{HashKey, ShardId};
use crate::stream::ShardDescription;

const SLOT_BITS: u32 = 12;
const SLOTS: usize = 1 << SLOT_BITS;

/// The open shards of a stream, in the order of their ranges.
#[derive(Debug, Clone)]
pub struct ShardMap {
    shards: Vec<ShardDescription>,
    /// The last hash key of each shard.
    lasts: Vec<u128>,
    /// The shard of each slot's first hash key, and at the end the last shard.
    slots: Vec<usize>,
}

/// The shards do not cover the hash space exactly once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShardMapError {
    /// There are none.
    #[error("the stream has no open shards")]
    Empty,
    /// A part of the space belongs to no shard. `None` stands for the space's own ends.
    #[error("no shard covers the hash keys after {} and before {}", end(.after.as_ref()), end(.before.as_ref()))]
    Gap {
        /// The shard below the gap.
        after: Option<ShardId>,
        /// The shard above the gap.
        before: Option<ShardId>,
    },
    /// A part of the space belongs to two shards, as it may appear in the middle of a reshard.
    #[error("shards {first} and {second} overlap")]
    Overlap {
        /// The one that begins first.
        first: ShardId,
        /// The one that begins before the first has ended.
        second: ShardId,
    },
    /// Two shards have one name.
    #[error("shard {0} is listed twice")]
    Duplicate(ShardId),
    /// A shard's range ends before it begins.
    #[error("the range of shard {0} ends before it begins")]
    Reversed(ShardId),
}

fn end(shard: Option<&ShardId>) -> &str {
    shard.map_or("the end of the hash space", |shard| &shard.0)
}

impl ShardMap {
    /// The map of these open shards, in whatever order they come.
    ///
    /// # Errors
    /// [`ShardMapError`] if they do not cover the hash space exactly once.
    pub fn new(mut shards: Vec<ShardDescription>) -> Result<Self, ShardMapError> {
        shards.sort_by(|a, b| (a.range, &a.id).cmp(&(b.range, &b.id)));
        check(&shards)?;
        let lasts: Vec<u128> = shards.iter().map(|shard| shard.range.last.0).collect();
        let slots = (0..SLOTS as u128)
            .map(|slot| lasts.partition_point(|last| *last < slot << (u128::BITS - SLOT_BITS)))
            .chain([lasts.len() - 1])
            .collect();
        Ok(Self { shards, lasts, slots })
    }

    /// The index in [`shards`](Self::shards) of the shard that covers `hash`.
    #[must_use]
    pub fn shard_of(&self, hash: HashKey) -> usize {
        let slot = (hash.0 >> (u128::BITS - SLOT_BITS)) as usize;
        let (from, to) = (self.slots[slot], self.slots[slot + 1]);
        from + self.lasts[from..to].partition_point(|last| *last < hash.0)
    }

    /// The shards in the order of their ranges.
    #[must_use]
    pub fn shards(&self) -> &[ShardDescription] {
        &self.shards
    }
}

fn check(shards: &[ShardDescription]) -> Result<(), ShardMapError> {
    let (Some(lowest), Some(highest)) = (shards.first(), shards.last()) else {
        return Err(ShardMapError::Empty);
    };
    let mut ids: Vec<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    ids.sort();
    if let Some(twin) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ShardMapError::Duplicate(twin[0].clone()));
    }
    if let Some(shard) = shards.iter().find(|shard| shard.range.first > shard.range.last) {
        return Err(ShardMapError::Reversed(shard.id.clone()));
    }
    if lowest.range.first.0 != 0 {
        return Err(ShardMapError::Gap { after: None, before: Some(lowest.id.clone()) });
    }
    for pair in shards.windows(2) {
        let (below, above) = (&pair[0], &pair[1]);
        if above.range.first <= below.range.last {
            return Err(ShardMapError::Overlap { first: below.id.clone(), second: above.id.clone() });
        }
        if above.range.first.0 - below.range.last.0 > 1 {
            return Err(ShardMapError::Gap { after: Some(below.id.clone()), before: Some(above.id.clone()) });
        }
    }
    if highest.range.last.0 != u128::MAX {
        return Err(ShardMapError::Gap { after: Some(highest.id.clone()), before: None });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::HashKeyRange;

    fn shard(name: &str, first: u128, last: u128) -> ShardDescription {
        ShardDescription {
            id: id(name),
            range: HashKeyRange { first: HashKey(first), last: HashKey(last) },
            parent: None,
            adjacent_parent: None,
            open: true,
            starts: None,
        }
    }

    fn id(name: &str) -> ShardId {
        ShardId(name.into())
    }

    /// Shards that begin at 0 and at each of `cuts`.
    fn cut_at(cuts: &std::collections::BTreeSet<u128>) -> Vec<ShardDescription> {
        let firsts: Vec<u128> =
            std::iter::once(0).chain(cuts.iter().copied().filter(|cut| *cut > 0)).collect();
        let lasts = firsts.iter().skip(1).map(|first| first - 1).chain([u128::MAX]);
        firsts
            .iter()
            .zip(lasts)
            .enumerate()
            .map(|(i, (first, last))| shard(&i.to_string(), *first, last))
            .collect()
    }

    #[test]
    fn what_does_not_cover_the_space_once_is_named() {
        const MAX: u128 = u128::MAX;
        let new = |shards: &[ShardDescription]| ShardMap::new(shards.to_vec()).map(|_| ());
        assert_eq!(new(&[]), Err(ShardMapError::Empty));
        assert_eq!(new(&[shard("a", 0, MAX)]), Ok(()));
        assert_eq!(new(&[shard("b", 8, MAX), shard("a", 0, 7)]), Ok(()));
        let gap = |after: Option<&str>, before: Option<&str>| {
            Err(ShardMapError::Gap { after: after.map(id), before: before.map(id) })
        };
        assert_eq!(new(&[shard("a", 1, MAX)]), gap(None, Some("a")));
        assert_eq!(new(&[shard("a", 0, MAX - 1)]), gap(Some("a"), None));
        assert_eq!(new(&[shard("a", 0, 7), shard("b", 9, MAX)]), gap(Some("a"), Some("b")));
        let overlap = Err(ShardMapError::Overlap { first: id("a"), second: id("b") });
        assert_eq!(new(&[shard("b", 7, MAX), shard("a", 0, 7)]), overlap);
        assert_eq!(new(&[shard("a", 0, MAX), shard("b", 0, MAX)]), overlap);
        assert_eq!(new(&[shard("a", 0, MAX), shard("a", 0, MAX)]), Err(ShardMapError::Duplicate(id("a"))));
        let reversed = [shard("a", 0, 7), shard("b", 8, 7), shard("c", 8, MAX)];
        assert_eq!(new(&reversed), Err(ShardMapError::Reversed(id("b"))));
    }

    #[test]
    fn a_gap_reads_as_a_sentence() {
        let error = ShardMap::new(vec![shard("a", 0, 9)]).unwrap_err();
        let sentence = "no shard covers the hash keys after a and before the end of the hash space";
        assert_eq!(error.to_string(), sentence);
    }

    proptest! {
        #[test]
        fn the_table_finds_what_a_search_of_the_ranges_finds(
            wide in prop::collection::btree_set(any::<u128>(), 0..60),
            near in prop::collection::btree_set(0..2_000_u128, 0..60),
            base in any::<u128>(),
            hashes in prop::collection::vec(any::<u128>(), 0..60),
        ) {
            let cuts = near.iter().map(|offset| base.wrapping_add(*offset)).chain(wide).collect();
            let map = ShardMap::new(cut_at(&cuts)).unwrap();
            let edges = cuts.iter().flat_map(|cut| [cut.wrapping_sub(1), *cut, cut.wrapping_add(1)]);
            for hash in edges.chain(hashes).chain([0, u128::MAX]).map(HashKey) {
                let found = map.shard_of(hash);
                prop_assert!(map.shards()[found].range.contains(hash));
                let searched = map.shards().binary_search_by(|shard| {
                    use std::cmp::Ordering::{Equal, Greater, Less};
                    if shard.range.last < hash { Less } else if shard.range.first > hash { Greater } else { Equal }
                });
                prop_assert_eq!(searched, Ok(found));
            }
        }
    }
}
