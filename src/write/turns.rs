//! Who comes next where all lanes share one budget.
//!
//! What bounds the whole run earns for many lanes. Whoever asks at the right moment would have it, and lanes that gather less, or
//! answer sooner, ask more often; so those that could send but for it stand in line, and only the first is served.

use std::collections::VecDeque;

/// Lanes that wait for what the whole run may send, the one that came first in front.
#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<usize>);

impl Turns {
    /// Whether nobody stands before the lane.
    pub(super) fn is_next(&self, lane: usize) -> bool {
        self.0.front().is_none_or(|&first| first == lane)
    }

    /// The lane stands in line, where it stood or at the end.
    pub(super) fn wait(&mut self, lane: usize) {
        if !self.0.contains(&lane) {
            self.0.push_back(lane);
        }
    }

    /// The lane does not wait any more. If it was the first, another may be now.
    pub(super) fn leave(&mut self, lane: usize) -> Option<usize> {
        let at = self.0.iter().position(|&other| other == lane)?;
        self.0.remove(at);
        self.0.front().copied().filter(|_| at == 0)
    }

    /// Lanes are counted anew: nobody waits.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_comes_next_and_who_leaves_loses_his_place() {
        let mut turns = Turns::default();
        assert!(turns.is_next(3), "nobody waits");
        for lane in [3, 1, 3, 2] {
            turns.wait(lane);
        }
        assert!(turns.is_next(3) && !turns.is_next(1) && !turns.is_next(7));
        assert_eq!(turns.leave(7), None);
        assert_eq!(turns.leave(1), None, "the first is still the first");
        assert_eq!(turns.leave(3), Some(2));
        turns.wait(3);
        assert_eq!(turns.leave(2), Some(3));
        assert_eq!(turns.leave(3), None);
    }
}
