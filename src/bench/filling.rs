//! Whether a run still fills its read-ahead.
//!
//! At its start a run reads much faster than it sends, until as many records wait as it keeps ready. What that
//! costs is paid once, so nothing that is to be called sustained may be measured before. From outside it is seen by how
//! the number of waiting records grows: once they are ready, only what was acknowledged is read anew.

use std::collections::VecDeque;
use std::time::Duration;

use crate::write::EngineStats;

/// Records come in chunks, so what lies nearer together says nothing.
const SPAN: Duration = Duration::from_millis(300);
/// Of what was acknowledged meanwhile, the part by which the waiting may grow: one in so many.
const GROWTH_PART: usize = 10;

/// What was seen of the read-ahead.
#[derive(Debug, Default)]
pub(super) struct Filling {
    looks: VecDeque<Look>,
    filled: bool,
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Duration,
    waiting: usize,
    acknowledged: u64,
}

impl Filling {
    /// Takes a look; `true` once the read-ahead is filled, or there is nothing left to fill it with.
    pub(super) fn is_over(&mut self, stats: &EngineStats, at: Duration) -> bool {
        let now = Look { at, waiting: stats.unsettled, acknowledged: stats.totals.delivered };
        self.looks.push_back(now);
        let old = |look: &Look| at.saturating_sub(look.at) >= SPAN;
        while self.looks.get(1).is_some_and(old) {
            self.looks.pop_front();
        }
        if let Some(before) = self.looks.front().filter(|look| old(look)) {
            let acknowledged = now.acknowledged.saturating_sub(before.acknowledged);
            let growth = now.waiting.saturating_sub(before.waiting);
            self.filled |= growth.saturating_mul(GROWTH_PART) as u64 <= acknowledged;
        }
        self.filled
    }
}

#[cfg(test)]
mod tests {
    use super::super::meter::tests::stats;
    use super::*;

    /// At which of the looks, given as milliseconds, waiting and acknowledged records, it was over.
    fn over(looks: &[(u64, usize, u64)]) -> Vec<bool> {
        let mut filling = Filling::default();
        let look = |&(millis, unsettled, delivered): &(u64, usize, u64)| {
            let mut stats = stats(0, 0);
            (stats.unsettled, stats.totals.delivered) = (unsettled, delivered);
            filling.is_over(&stats, Duration::from_millis(millis))
        };
        looks.iter().map(look).collect()
    }

    #[test]
    fn it_is_over_when_no_more_is_read_than_is_sent_and_stays_so() {
        let found = over(&[
            (0, 0, 0),
            (200, 60_000, 80),
            (400, 120_000, 160),
            (600, 180_000, 240),
            (800, 181_000, 320),
            (1_000, 181_000, 400),
            (1_200, 180_920, 480),
            // A chunk.
            (1_400, 184_936, 560),
        ]);
        assert_eq!(found, [false, false, false, false, false, false, true, true]);
    }

    #[test]
    fn looks_at_one_moment_tell_nothing() {
        assert_eq!(over(&[(0, 5, 0), (1, 5, 0), (299, 5, 0), (300, 5, 0)]), [false, false, false, true]);
    }

    #[test]
    fn reading_only_as_fast_again_as_is_sent_is_filling_too() {
        assert_eq!(over(&[(0, 0, 0), (400, 400, 400), (800, 440, 800)]), [false, false, true]);
    }

    #[test]
    fn input_that_has_ended_fills_nothing() {
        assert_eq!(over(&[(0, 9_000, 0), (400, 8_900, 100)]), [false, true]);
    }
}
