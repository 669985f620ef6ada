//! How `--limit` is shared out among the objects.
//!
//! Objects take their shares in the manifest's order. A share that was given once stays: it is written down
//! with the segment before a record of it is sent, so each process of a run wants the same records of an
//! object, whichever objects were settled before. What is set aside of a share is not made up for.

use std::collections::BTreeMap;

use super::journal::SegmentLine;

/// How many records of each object are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    left: u64,
    given: BTreeMap<u32, u32>,
}

impl Shares {
    /// Of `limit` records, those that earlier processes have given out, as `lines` say.
    pub fn new(limit: u64, lines: impl IntoIterator<Item = SegmentLine>) -> Self {
        let lines: BTreeMap<u32, SegmentLine> = lines.into_iter().map(|line| (line.object, line)).collect();
        let mut shares = Self { left: limit, given: BTreeMap::new() };
        for (object, line) in lines {
            // The first version did not write shares down, and gave them in the same order.
            let share = line.wanted.unwrap_or_else(|| shares.at_most(line.records));
            shares.give(object, share);
        }
        shares
    }

    /// The share of `object`, which has `records`: the one it got before, unless it begins `anew`.
    pub fn of(&mut self, object: u32, records: u32, anew: bool) -> u32 {
        if let Some(&share) = self.given.get(&object).filter(|_| !anew) {
            return share.min(records);
        }
        self.left += self.given.remove(&object).map_or(0, u64::from);
        let share = self.at_most(records);
        self.give(object, share);
        share
    }

    /// Whether neither `object` nor any behind it gets anything.
    pub fn are_used_up_before(&self, object: u32) -> bool {
        self.left == 0 && self.given.last_key_value().is_none_or(|(&last, _)| last < object)
    }

    fn at_most(&self, records: u32) -> u32 {
        records.min(u32::try_from(self.left).unwrap_or(u32::MAX))
    }

    fn give(&mut self, object: u32, share: u32) {
        self.left = self.left.saturating_sub(share.into());
        self.given.insert(object, share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: u32, records: u32, wanted: Option<u32>) -> SegmentLine {
        SegmentLine { object, records, checksum: 0, wanted }
    }

    #[test]
    fn a_share_depends_on_the_order_of_objects_and_on_nothing_that_was_settled() {
        let mut first = Shares::new(100, []);
        assert_eq!([first.of(0, 60, false), first.of(1, 60, false)], [60, 40]);
        assert!(!first.are_used_up_before(1) && first.are_used_up_before(2));
        for wanted in [[Some(60), Some(40)], [None, None], [None, Some(40)]] {
            let lines = [line(0, 60, wanted[0]), line(1, 60, wanted[1])];
            let mut second = Shares::new(100, lines);
            assert_eq!(second.of(0, 60, false), 60, "the object behind has kept to its own share");
            assert!(second.are_used_up_before(2));
        }
    }

    #[test]
    fn an_object_that_begins_anew_gives_its_share_back_first() {
        let mut shares = Shares::new(100, [line(0, 60, Some(60))]);
        assert_eq!([shares.of(0, 30, true), shares.of(1, 90, false)], [30, 70]);
    }

    #[test]
    fn of_lines_about_one_object_the_last_one_counts() {
        let mut shares = Shares::new(100, [line(0, 60, Some(60)), line(0, 10, Some(10))]);
        assert_eq!(shares.of(1, 200, false), 90);
    }
}
