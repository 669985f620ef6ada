//! Where records go whose keys do not place them: drawn, but the same in every attempt of a run.

use std::sync::Arc;

use super::shard_map::ShardMap;
use crate::record::{HashKey, HashKeyRange, Ordinal};

/// Shards whose ranges differ by less than this part of the average count as equal.
const EQUAL: f64 = 0.01;

/// A place for each record by its ordinal: every part of the hash space gets as many, however large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    seed: u64,
    /// Without gaps, the whole space.
    parts: Arc<[HashKeyRange]>,
}

impl Spread {
    /// Places drawn from `seed`, among the parts that begin at `firsts`: ascending, from 0 on. Without any, the whole space is one part.
    #[must_use]
    pub fn new(seed: u64, firsts: &[HashKey]) -> Self {
        let firsts = if firsts.is_empty() { &[HashKey(0)] } else { firsts };
        let behind = firsts.iter().skip(1).map(|first| HashKey(first.0.saturating_sub(1)));
        let lasts = behind.chain([HashKeyRange::ALL.last]);
        let parts = firsts.iter().zip(lasts).map(|(&first, last)| HashKeyRange { first, last }).collect();
        Self { seed, parts }
    }

    /// What [`new`](Self::new) needs to know of a stream's shards: where each begins, unless all have equal ranges.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "parts of the hash space, to be compared")]
    pub fn firsts(map: &ShardMap) -> Vec<HashKey> {
        let ranges = || map.shards().iter().map(|shard| shard.range);
        let average = u128::MAX as f64 / map.shards().len() as f64;
        let is_equal =
            |range: HashKeyRange| ((range.last.0 - range.first.0) as f64 - average).abs() < average * EQUAL;
        if ranges().all(is_equal) { Vec::new() } else { ranges().map(|range| range.first).collect() }
    }

    /// The place of the record at `ordinal`, by the splitmix64 generator (Steele, Lea, Flood 2014).
    #[must_use]
    pub fn place(&self, ordinal: Ordinal) -> HashKey {
        let place = u64::from(ordinal.object()) << 32 | u64::from(ordinal.record());
        let high = mix(mix(self.seed).wrapping_add(place));
        let low = mix(high);
        let drawn = u128::from(high) << 64 | u128::from(low);
        let part = (u128::from(mix(low)) * self.parts.len() as u128) >> 64;
        let part = usize::try_from(part).ok().and_then(|part| self.parts.get(part));
        let HashKeyRange { first, last } = part.copied().unwrap_or(HashKeyRange::ALL);
        match (last.0 - first.0).checked_add(1) {
            Some(width) => HashKey(first.0 + drawn % width),
            None => HashKey(drawn),
        }
    }
}

const fn mix(number: u64) -> u64 {
    let bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::ShardId;
    use crate::stream::ShardDescription;

    /// The map of shards that begin at `firsts`.
    fn map(firsts: &[u128]) -> ShardMap {
        let lasts = firsts.iter().skip(1).map(|first| first - 1).chain([u128::MAX]);
        let shard = |(first, last): (&u128, u128)| ShardDescription {
            id: ShardId(format!("shardId-{first}").into()),
            range: HashKeyRange { first: HashKey(*first), last: HashKey(last) },
            parent: None,
            adjacent_parent: None,
            open: true,
            starts: None,
        };
        ShardMap::new(firsts.iter().zip(lasts).map(shard).collect()).unwrap()
    }

    fn counts(spread: &Spread, map: &ShardMap) -> Vec<u32> {
        let mut counts = vec![0; map.shards().len()];
        for record in 0..8_000 {
            counts[map.shard_of(spread.place(Ordinal::new(3, record)))] += 1;
        }
        counts
    }

    #[test]
    fn equal_shards_share_the_space_and_unequal_ones_get_as_many_each() {
        let quarter = 1 << 126;
        for firsts in [vec![0, quarter, 2 * quarter, 3 * quarter], vec![0, 5, quarter, quarter + quarter / 9]]
        {
            let map = map(&firsts);
            let spread = Spread::new(7, &Spread::firsts(&map));
            let counts = counts(&spread, &map);
            assert!(counts.iter().all(|count| (1_850..2_150).contains(count)), "{counts:?} of {firsts:?}");
        }
        assert_eq!(Spread::firsts(&map(&[0])), []);
        assert_eq!(Spread::firsts(&map(&[0, u128::MAX / 2])), []);
        assert_eq!(Spread::firsts(&map(&[0, quarter])), [HashKey(0), HashKey(quarter)]);
    }

    #[test]
    fn a_place_is_the_same_in_every_attempt_and_another_for_each_record_and_run() {
        let spread = Spread::new(7, &[]);
        let at = Ordinal::new(3, 5);
        assert_eq!(spread.place(at), Spread::new(7, &[]).place(at));
        assert_ne!(spread.place(at), spread.place(at.next()));
        assert_ne!(spread.place(at), Spread::new(8, &[]).place(at));
        // Runs that were begun long ago go on with these.
        assert_eq!(spread.place(at).0, 0x43d7_2879_5105_e858_6ec9_2019_e73c_33ba);
    }
}
