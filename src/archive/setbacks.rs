//! Requests that fail while a service is waited for, told without a flood: the first at once, then a line now and then
//! with how many there were.
//!
//! Time is an argument: nothing here reads a clock.

use std::time::Duration;

/// Between two lines.
const INTERVAL: Duration = Duration::from_secs(30);

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Setbacks {
    told_at: Option<Duration>,
    untold: u64,
}

impl Setbacks {
    /// One more has failed. If that is to be told now, gives how many were not told before it.
    pub(super) fn failed(&mut self, now: Duration) -> Option<u64> {
        if self.told_at.is_some_and(|told_at| now.saturating_sub(told_at) < INTERVAL) {
            self.untold += 1;
            return None;
        }
        self.told_at = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_failures_are_a_few_lines_and_each_is_counted() {
        let mut setbacks = Setbacks::default();
        let told: Vec<u64> =
            (0..1_000).filter_map(|tick| setbacks.failed(Duration::from_millis(tick * 100))).collect();
        assert_eq!(told, [0, 299, 299, 299]);
        assert_eq!(setbacks.failed(Duration::from_mins(10)), Some(99));
    }
}
