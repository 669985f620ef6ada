//! The engine by itself: lanes, buckets, positions, and a stream that takes whatever comes.
//!
//! Nothing is sent and no clock is read: every request is answered after a few others, and time passes when the engine
//! waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use super::stages::CHUNK_RECORDS;
use super::usage;
use crate::config::Order;
use crate::error::Error;
use crate::record::{HashKey, HashKeyRange, Ordinal, SequenceNumber, ShardId};
use crate::route::shard_map::ShardMap;
use crate::route::{RouteRules, RoutedChunk, route_chunk};
use crate::stream::{Outcome, ShardDescription};
use crate::write::checkpoint::Checkpoint;
use crate::write::rate::ShardRate;
use crate::write::{Command, Engine, EngineConfig, Event};

/// Shards of the stream.
const SHARDS: u128 = 16;
/// Requests that are under way.
const IN_FLIGHT: usize = 16;
/// Time between two events.
const STEP: Duration = Duration::from_micros(10);

/// How often a core delivers `records` in a second, found by doing it for `time`; that they are routed before, and
/// copied for each turn, is not counted.
pub(super) fn per_second<'a>(
    order: Order,
    rules: &RouteRules,
    records: impl Iterator<Item = &'a [u8]>,
    time: Duration,
) -> Result<f64, Error> {
    let chunks = routed(rules, records);
    let count: usize = chunks.iter().map(|chunk| chunk.records.len()).sum();
    let (mut spent, mut times) = (Duration::ZERO, 0_u32);
    while spent < time {
        let turn = chunks.clone();
        let before = usage::process_cpu();
        let delivered = deliver(order, turn);
        spent += usage::process_cpu().saturating_sub(before);
        if delivered != Some(count as u64) {
            return Err(Error::internal("the engine has not delivered everything"));
        }
        times += 1;
    }
    Ok(f64::from(times) / spent.as_secs_f64())
}

/// The records, a chunk of them as an object.
fn routed<'a>(rules: &RouteRules, records: impl Iterator<Item = &'a [u8]>) -> Vec<RoutedChunk> {
    let records: Vec<&[u8]> = records.collect();
    let chunk = |(object, records): (u32, &[&[u8]])| {
        let mut chunk = route_chunk(rules, None, Ordinal::new(object, 0), records.iter().copied());
        chunk.end = Ordinal::new(object + 1, 0);
        chunk
    };
    (0..).zip(records.chunks(CHUNK_RECORDS)).map(chunk).collect()
}

/// Lets an engine deliver `chunks`, and says how many records that were.
fn deliver(order: Order, chunks: Vec<RoutedChunk>) -> Option<u64> {
    let map = shards()?;
    let config = EngineConfig {
        order,
        aggregate: None,
        updating: false,
        shard_rate: ShardRate::UNBOUNDED,
        run_rate: ShardRate::UNBOUNDED,
        hash_places: true,
        window_records: 1 << 20,
        requests_max: 512,
        seed: 0,
    };
    let mut number = 0_u64;
    let mut acked = |shard: &ShardId| {
        number += 1;
        let sequence_number = SequenceNumber::new(&format!("496456789012345678901234567890{number:026}"))?;
        Some(Outcome::Acked { shard: shard.clone(), sequence_number })
    };
    let mut engine = Engine::new(config, &map, &Checkpoint::start([HashKeyRange::ALL]), Duration::ZERO);
    let (mut input, mut answers) = (VecDeque::from(chunks), VecDeque::new());
    let (mut now, mut ended, mut commands) = (Duration::ZERO, false, Vec::new());
    loop {
        let full = answers.len() > IN_FLIGHT || (ended && !answers.is_empty());
        let event = if full {
            answers.pop_front().unwrap_or(Event::Tick)
        } else if engine.room() > 0 && !ended {
            input.pop_front().map_or_else(
                || {
                    ended = true;
                    Event::InputEnded
                },
                Event::Input,
            )
        } else {
            now = now.max(engine.next_wake().unwrap_or(now));
            answers.pop_front().unwrap_or(Event::Tick)
        };
        now += STEP;
        engine.handle(now, event, &mut commands);
        for command in commands.drain(..) {
            match command {
                Command::Put { request, records } => {
                    let shard = &map.shards().get(map.shard_of(records.records().first()?.hash))?.id;
                    let outcomes = (0..records.entry_count()).map(|_| acked(shard)).collect::<Option<_>>()?;
                    answers.push_back(Event::Departed(request));
                    answers.push_back(Event::Answered(request, Ok(outcomes)));
                }
                Command::Checkpoint(checkpoint) => {
                    answers.push_back(Event::CheckpointDurable(checkpoint.sequence));
                }
                Command::ListShards => answers.push_back(Event::Shards { map: None, state: None }),
                Command::SetAside(_) | Command::ObjectSettled(..) | Command::ObjectSetAside(..) => {}
                Command::Ended(_) => return Some(engine.stats(now).totals.delivered),
            }
        }
    }
}

/// Shards of equal size.
fn shards() -> Option<ShardMap> {
    let width = u128::MAX / SHARDS + 1;
    let shard = |index: u128| ShardDescription {
        id: ShardId(format!("shardId-{index:012}").into()),
        range: HashKeyRange { first: HashKey(index * width), last: HashKey(index * width + (width - 1)) },
        parent: None,
        adjacent_parent: None,
        open: true,
        starts: None,
    };
    ShardMap::new((0..SHARDS).map(shard).collect()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::RECORD_BYTES_MAX;
    use crate::route::key::{KeyConfig, KeyExtractor};

    #[test]
    fn all_that_has_a_key_is_delivered_in_every_order() {
        let key = KeyConfig { rule: "/k".parse().unwrap(), fallback: None, seed: 7 };
        let extractor = KeyExtractor::new(key);
        let rules =
            RouteRules { extractor, record_bytes_max: RECORD_BYTES_MAX, event_time: None, spread: None };
        let mut records: Vec<Vec<u8>> =
            (0..9_000).map(|number| format!(r#"{{"k":"{}"}}"#, number % 50).into_bytes()).collect();
        records[4_500] = b"{}".to_vec();
        for order in [Order::Key, Order::Relaxed, Order::Shard, Order::None] {
            let chunks = routed(&rules, records.iter().map(Vec::as_slice));
            assert_eq!(chunks.len(), 3);
            assert_eq!(deliver(order, chunks), Some(8_999), "{order:?}");
        }
    }
}
