//! From one number of shards to another, by steps that Kinesis takes.
//!
//! One `UpdateShardCount` may at most double the open shards and at most halve them, and a stream may be
//! scaled ten times within 24 hours. So the fewest steps are the right ones.

/// Calls of `UpdateShardCount` on one stream within 24 hours.
/// Source: Kinesis API reference, `UpdateShardCount`, read 2026-11-22.
pub const SCALINGS_PER_DAY: usize = 10;

/// The numbers of shards to ask for, one after the other; none if `current` is `target` already.
///
/// ```
/// # use respool::lifecycle::steps::steps;
/// assert_eq!(steps(3, 20), [6, 12, 20]);
/// assert_eq!(steps(9, 2), [5, 3, 2]);
/// ```
#[must_use]
pub fn steps(current: u32, target: u32) -> Vec<u32> {
    let (mut at, target) = (current.max(1), target.max(1));
    let mut steps = Vec::new();
    while at != target {
        at = if target > at { target.min(at.saturating_mul(2)) } else { target.max(at.div_ceil(2)) };
        steps.push(at);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_one_that_kinesis_takes_and_the_last_is_the_target() {
        for (current, target) in [
            (1, 1),
            (1, 2),
            (1, 10_000),
            (10_000, 1),
            (7, 6),
            (6, 7),
            (5, 2),
            (3, 1),
            (48, 49),
            (u32::MAX, 1),
        ] {
            let steps = steps(current, target);
            let mut at = current;
            for &step in &steps {
                assert!(u64::from(step) <= 2 * u64::from(at), "{at} to {step}");
                assert!(2 * u64::from(step) >= u64::from(at), "{at} to {step}");
                assert_ne!(step, at);
                at = step;
            }
            assert_eq!(at, target);
        }
        assert!(steps(4, 4).is_empty());
        assert_eq!(steps(4, 8), [8]);
        assert_eq!(steps(1, 1_000).len(), SCALINGS_PER_DAY);
    }
}
