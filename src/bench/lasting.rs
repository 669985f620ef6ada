//! What a step's rate is over the whole of a long archive, where that is less.
//!
//! Where one key or one shard has more than its part, the others wait for it only when a million records do. That may take
//! longer than a step lasts, and until then all shards are as full as they can be. So what the records' keys lead to is
//! asked of the model by which a plan is made.

use crate::plan::model::{BindingLimit, SampledRecord, Shards, Work, Writing, predict};
use crate::record::Ordinal;
use crate::route::shard_map::ShardMap;
use crate::route::{RouteRules, route_chunk};

/// Records that are looked at, in all: some megabytes of memory, which the steps' figures have in them.
const RECORDS_MAX: usize = 131_072;
/// Of one object.
const RECORDS_OF_OBJECT_MAX: usize = 2_048;
/// So many records make a long archive.
const LONG: f64 = 1e9;
/// As in a plan, it is said only if it costs more than this.
const NOTICEABLE: f64 = 1.1;

/// Where the records' keys place them.
#[derive(Debug, Default)]
pub(super) struct Keys {
    sample: Vec<SampledRecord>,
    objects: u32,
    /// Whether some were not looked at.
    cut: bool,
}

/// What holds up all others in the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lasting {
    pub(super) records_per_second: f64,
    /// In the words of `limited_by`.
    pub(super) limited_by: &'static str,
}

impl Keys {
    /// Looks at an object.
    pub(super) fn see<'a>(&mut self, rules: &RouteRules, records: impl Iterator<Item = &'a [u8]>) {
        let mut records = records.peekable();
        let room = RECORDS_OF_OBJECT_MAX.min(RECORDS_MAX - self.sample.len());
        let routed =
            route_chunk(rules, None, Ordinal::new(self.objects, 0), records.by_ref().take(room)).records;
        let second_half = self.objects % 2 == 1;
        self.sample.extend(routed.iter().map(|record| SampledRecord {
            hash: record.hash,
            cost: record.cost,
            second_half,
        }));
        self.objects += 1;
        self.cut |= records.peek().is_some();
    }

    /// What a step that got `measured` records a second would come down to, if it went on.
    pub(super) fn lasting(&self, writing: &Writing, map: &ShardMap, measured: f64) -> Option<Lasting> {
        if self.sample.is_empty() {
            return None;
        }
        let costs: f64 = self.sample.iter().map(|record| f64::from(record.cost)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a sample")]
        let bytes = LONG * costs / self.sample.len() as f64;
        let work = Work {
            records: LONG,
            bytes,
            sample: &self.sample,
            whole: !self.cut,
            fetch_seconds: None,
            cpu_seconds: 0.0,
        };
        let found = predict(&work, writing, Shards::Map(map));
        let limited_by = match found.binding {
            BindingLimit::HotKey => "order",
            BindingLimit::HotShard => "shards",
            BindingLimit::RoundTrip => "round_trip",
            _ => return None,
        };
        let records_per_second = LONG / found.seconds;
        (records_per_second * NOTICEABLE < measured).then_some(Lasting { records_per_second, limited_by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Order;
    use crate::record::{HashKeyRange, ShardId};
    use crate::route::key::{KeyConfig, KeyExtractor};
    use crate::stream::ShardDescription;
    use crate::write::rate::ShardRate;

    fn map(count: u128) -> ShardMap {
        let width = u128::MAX / count;
        let shard = |index: u128| ShardDescription {
            id: ShardId(format!("shardId-{index}").into()),
            range: HashKeyRange {
                first: crate::record::HashKey(index * width + u128::from(index > 0)),
                last: crate::record::HashKey(if index + 1 == count {
                    u128::MAX
                } else {
                    (index + 1) * width
                }),
            },
            parent: None,
            adjacent_parent: None,
            open: true,
            starts: None,
        };
        ShardMap::new((0..count).map(shard).collect()).unwrap()
    }

    /// Of 40,000 records in 20 objects, one in `hot` has the one key.
    fn lasting(hot: u32, order: Order, measured: f64) -> Option<Lasting> {
        let rules = RouteRules {
            extractor: KeyExtractor::new(KeyConfig { rule: "/k".parse().unwrap(), fallback: None, seed: 1 }),
            record_bytes_max: 1_000_000,
            event_time: None,
            spread: None,
        };
        let mut keys = Keys::default();
        for object in 0..20_u32 {
            let record =
                |number: u32| format!("{{\"k\":{}}}", if number.is_multiple_of(hot) { 0 } else { number });
            let records: Vec<String> = (0..2_000).map(|at| record(object * 2_000 + at)).collect();
            keys.see(&rules, records.iter().map(String::as_bytes));
        }
        let writing = Writing {
            shard_rate: ShardRate { records: 980.0, bytes: 980_000.0 },
            run_rate: ShardRate::UNBOUNDED,
            order,
            round_trip: 0.025,
            spread: order == Order::None,
        };
        keys.lasting(&writing, &map(8), measured)
    }

    #[test]
    fn a_hot_key_holds_up_all_others_in_the_end() {
        // A key that goes 40 times a second has a quarter of all.
        let found = lasting(4, Order::Key, 7_000.0).unwrap();
        assert_eq!(found.limited_by, "order");
        assert!((found.records_per_second - 160.0).abs() < 8.0, "{found:?}");
        assert_eq!(lasting(4, Order::Key, 160.0), None, "that is what was measured");
        assert_eq!(lasting(4, Order::None, 7_800.0), None);
    }

    #[test]
    fn a_shard_that_gets_more_than_its_part_does_so_too() {
        let found = lasting(4, Order::Relaxed, 7_000.0).unwrap();
        assert_eq!(found.limited_by, "shards");
        // An eighth of what is left, and the quarter.
        assert!((found.records_per_second - 980.0 / 0.344).abs() < 100.0, "{found:?}");
        assert_eq!(lasting(10_000, Order::Key, 7_800.0), None);
    }
}
