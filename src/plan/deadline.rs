//! How many shards are needed to be done in time.
//!
//! More shards help as long as it is shards that bind. Where a key's order, the archive or the CPU needs longer than
//! there is, no number of them will do, and that is said instead.
//!
//! Pure.

use super::model::{BindingLimit, Prediction};

/// No stream has more by default. Source: Kinesis API reference, `UpdateShardCount`, read 2026-11-22.
pub const SHARDS_MAX: u32 = 10_000;

/// What a deadline asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Needed {
    /// So many shards, with this prediction.
    Shards(Prediction),
    /// It cannot be met: what binds then, and how long that takes.
    Never {
        /// What binds with as many shards as could help.
        binding: BindingLimit,
        /// How long it takes then.
        seconds: f64,
    },
}

/// The fewest shards with which `predict` stays within `seconds`.
pub fn needed(seconds: f64, predict: impl Fn(u32) -> Prediction) -> Needed {
    let mut too_few = 0;
    let mut shards = 1;
    // Doubled until it is enough, then halved in between: a dozen predictions for any number.
    let mut enough = loop {
        let found = predict(shards);
        if found.seconds <= seconds {
            break found;
        }
        let helps = matches!(
            found.binding,
            BindingLimit::Records
                | BindingLimit::Bytes
                | BindingLimit::HotShard
                | BindingLimit::HotKey
                | BindingLimit::RoundTrip
        );
        // Shards that double and change nothing will not.
        let same = |before: &Prediction| found.seconds > before.seconds * 0.98;
        let stuck = shards > 1 && same(&predict(shards / 2)) && same(&predict((shards / 4).max(1)));
        if !helps || stuck || shards >= SHARDS_MAX {
            return Needed::Never { binding: found.binding, seconds: found.seconds };
        }
        too_few = shards;
        shards = (shards * 2).min(SHARDS_MAX);
    };
    while enough.shards - too_few > 1 {
        let middle = u32::midpoint(too_few, enough.shards);
        let found = predict(middle);
        if found.seconds <= seconds { enough = found } else { too_few = middle }
    }
    Needed::Shards(enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prediction(shards: u32, seconds: f64, binding: BindingLimit) -> Prediction {
        Prediction { shards, seconds, binding, limits: Vec::new(), hottest_shard: 1.0 }
    }

    #[test]
    fn the_fewest_shards_that_do_are_found() {
        let even = |shards| prediction(shards, 1_000.0 / f64::from(shards), BindingLimit::Records);
        for (seconds, expected) in [(2_000.0, 1), (1_000.0, 1), (999.0, 2), (100.0, 10), (3.0, 334)] {
            let Needed::Shards(found) = needed(seconds, even) else { panic!("{seconds}") };
            assert_eq!(found.shards, expected, "{seconds}");
        }
    }

    #[test]
    fn what_shards_do_not_help_is_said() {
        let hot = |shards| {
            let even = 1_000.0 / f64::from(shards);
            let binding = if even > 200.0 { BindingLimit::Records } else { BindingLimit::HotKey };
            prediction(shards, even.max(200.0), binding)
        };
        assert_eq!(needed(100.0, hot), Needed::Never { binding: BindingLimit::HotKey, seconds: 200.0 });
        assert!(matches!(needed(250.0, hot), Needed::Shards(found) if found.shards == 4));
        let slow = |shards| prediction(shards, 500.0, BindingLimit::Fetch);
        assert_eq!(needed(100.0, slow), Needed::Never { binding: BindingLimit::Fetch, seconds: 500.0 });
    }
}
