//! What `model` must hold.

use super::*;

const RATE: ShardRate = ShardRate { records: 980.0, bytes: 980_000.0 };
fn writing(order: Order) -> Writing {
    Writing { shard_rate: RATE, run_rate: ShardRate::UNBOUNDED, order, round_trip: 0.02, spread: false }
}

/// `count` records of `cost` bytes, with these keys.
fn sample(count: u32, cost: u32, key: impl Fn(u32) -> u32) -> Vec<SampledRecord> {
    let record = |number: u32| SampledRecord {
        hash: HashKey::of(&key(number).to_string()),
        cost,
        second_half: number % 2 == 1,
    };
    (0..count).map(record).collect()
}

fn work(sample: &[SampledRecord], records: f64, cost: f64) -> Work<'_> {
    Work { records, bytes: records * cost, sample, whole: false, fetch_seconds: None, cpu_seconds: 1.0 }
}

fn check(found: &Prediction, binding: BindingLimit, seconds: f64) {
    assert_eq!(found.binding, binding, "{found:?}");
    assert!((found.seconds / seconds - 1.0).abs() < 0.03, "{} instead of {seconds}", found.seconds);
}

#[test]
fn without_an_order_every_shard_gets_its_part_whatever_the_keys() {
    let hot = sample(4_000, 200, |number| if number % 10 < 9 { 0 } else { number });
    let by_key = predict(&work(&hot, 1e6, 200.0), &writing(Order::None), Shards::Even(8));
    let spread = Writing { spread: true, ..writing(Order::None) };
    let spread = predict(&work(&hot, 1e6, 200.0), &spread, Shards::Even(8));
    assert!(
        (spread.hottest_shard - 1.0).abs() < 1e-9 && spread.seconds * 5.0 < by_key.seconds,
        "{spread:?} {by_key:?}"
    );
}

#[test]
fn small_records_are_limited_by_their_number_and_large_ones_by_their_bytes() {
    let small = sample(50_000, 200, |number| number);
    let found = predict(&work(&small, 1e6, 200.0), &writing(Order::Key), Shards::Even(4));
    check(&found, BindingLimit::Records, 1e6 / 980.0 / 4.0);
    let large = sample(50_000, 4_000, |number| number);
    let found = predict(&work(&large, 1e6, 4_000.0), &writing(Order::Key), Shards::Even(4));
    check(&found, BindingLimit::Bytes, 4e9 / 980_000.0 / 4.0);
}

#[test]
fn a_hot_key_binds_by_its_order_or_by_its_shard() {
    let hot = sample(50_000, 200, |number| if number % 10 < 6 { 0 } else { number });
    let strict = predict(&work(&hot, 1e6, 200.0), &writing(Order::Key), Shards::Even(16));
    check(&strict, BindingLimit::HotKey, 0.6e6 * 0.02);
    let none = predict(&work(&hot, 1e6, 200.0), &writing(Order::None), Shards::Even(16));
    check(&none, BindingLimit::HotShard, 0.625e6 / 980.0);
    assert!((none.hottest_shard - 10.0).abs() < 0.3, "{}", none.hottest_shard);
}

#[test]
fn many_shards_do_not_look_uneven_because_the_sample_is_small() {
    // Forty records for each of 1,000 shards: by chance one has half as many again.
    let even = sample(40_000, 200, |number| number);
    let found = predict(&work(&even, 1e9, 200.0), &writing(Order::Key), Shards::Even(1_000));
    assert_eq!(found.binding, BindingLimit::Records);
    assert!((found.seconds / (1e9 / 980.0 / 1_000.0) - 1.0).abs() < 0.08, "{}", found.seconds);
    // But if the whole archive is those, it is no chance.
    let all = Work { whole: true, cpu_seconds: 0.0, ..work(&even, 40_000.0, 200.0) };
    let found = predict(&all, &writing(Order::Key), Shards::Even(1_000));
    assert_eq!(found.binding, BindingLimit::HotShard);
}

#[test]
fn what_is_outside_of_the_shards_binds_too() {
    let even = sample(20_000, 200, |number| number);
    let work = work(&even, 1e6, 200.0);
    let capped = Writing { run_rate: ShardRate { records: 500.0, bytes: 1e12 }, ..writing(Order::Key) };
    check(&predict(&work, &capped, Shards::Even(4)), BindingLimit::MaxRate, 2_000.0);
    let slow = Work { fetch_seconds: Some(9_000.0), ..work };
    check(&predict(&slow, &capped, Shards::Even(4)), BindingLimit::Fetch, 9_000.0);
    let busy = Work { cpu_seconds: 9_999.0, ..slow };
    check(&predict(&busy, &capped, Shards::Even(4)), BindingLimit::Cpu, 9_999.0);
    let shard = predict(&work, &writing(Order::Shard), Shards::Even(4));
    check(&shard, BindingLimit::RoundTrip, 250_000.0 * 0.02);
    let far = Writing { round_trip: 0.2, ..writing(Order::Relaxed) };
    check(&predict(&work, &far, Shards::Even(4)), BindingLimit::RoundTrip, 1e6 / 980.0 / 4.0 * 0.2 / 0.095);
}

#[test]
fn a_map_with_unequal_shards_is_taken_as_it_is() {
    use crate::record::{HashKeyRange, ShardId};
    use crate::stream::ShardDescription;
    let quarter = u128::MAX / 4;
    let shard = |id: &str, first, last| ShardDescription {
        id: ShardId(id.into()),
        range: HashKeyRange { first: HashKey(first), last: HashKey(last) },
        parent: None,
        adjacent_parent: None,
        open: true,
        starts: None,
    };
    let map = ShardMap::new(vec![shard("a", 0, quarter), shard("b", quarter + 1, u128::MAX)]).unwrap();
    let even = sample(20_000, 200, |number| number);
    let found = predict(&work(&even, 1e6, 200.0), &writing(Order::None), Shards::Map(&map));
    check(&found, BindingLimit::HotShard, 0.75e6 / 980.0);
    let spread = Writing { spread: true, ..writing(Order::None) };
    let found = predict(&work(&even, 1e6, 200.0), &spread, Shards::Map(&map));
    check(&found, BindingLimit::Records, 1e6 / 980.0 / 2.0);
}

#[test]
fn nothing_sampled_is_spread_evenly_and_nothing_to_do_takes_no_time() {
    let found = predict(&work(&[], 1e6, 200.0), &writing(Order::Key), Shards::Even(4));
    check(&found, BindingLimit::Records, 1e6 / 980.0 / 4.0);
    assert!(predict(&work(&[], 0.0, 0.0), &writing(Order::Key), Shards::Even(4)).seconds < 2.0);
}
