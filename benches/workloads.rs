//! What the benchmarks do, apart from measuring it: the tests do the same with less.
//!
//! Inputs depend on nothing but their size.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use respool::archive::{Archive as _, LocalArchive, ObjectEntry, Selection};
use respool::cache::{Cache, Placement, Segment, SegmentId, SegmentIdentity};
use respool::config::Order;
use respool::decode::{DecodeConfig, Decoded, FramingChoice, decode};
use respool::record::{ByteCount, HashKey, HashKeyRange, Ordinal, SequenceNumber, ShardId};
use respool::route::key::{KeyConfig, KeyExtractor};
use respool::route::shard_map::ShardMap;
use respool::route::{RouteRules, RoutedChunk, route_chunk};
use respool::stream::batch::{Batch, DraftSize, EntryRef};
use respool::stream::kinesis::{KinesisConfig, KinesisStream};
use respool::stream::{Outcome, ShardDescription, Stream};
use respool::write::checkpoint::Checkpoint;
use respool::write::rate::ShardRate;
use respool::write::{Command, Engine, EngineConfig, Event};

const RECORD_BYTES_MAX: usize = 1 << 20;
const RECORDS_PER_CHUNK: usize = 4_096;
const SHARDS: u128 = 16;
const UNBOUNDED: ShardRate = ShardRate { records: 1e9, bytes: 1e12 };

/// `count` events of about `bytes` bytes each, over a thousand users.
pub fn events(count: u64, bytes: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| event(number, bytes)).collect()
}

/// An order as a shop would log it: nested, with its key in the middle and text that compresses as text does.
fn event(number: u64, bytes: usize) -> Vec<u8> {
    let draw = |turn: u64| splitmix(number.wrapping_mul(31).wrapping_add(turn));
    let mut event = format!(
        r#"{{"id":"{:016x}","at":"2026-07-01T05:{:02}:{:02}Z","user":{{"id":"u-{}","tier":{}}},"cents":{},"note":""#,
        draw(1),
        number / 60 % 60,
        number % 60,
        draw(2) % 1_000,
        draw(3) % 4,
        draw(4) % 100_000,
    );
    let mut turn = 5;
    while event.len() + 2 < bytes {
        let word = ["order ", "shipped ", "to \\\"Rue\\\" ", "late {", "} item ", "gift, "]
            [(draw(turn) % 6) as usize];
        event.push_str(word);
        if turn % 3 == 0 {
            let _ = write!(event, "{:x} ", draw(turn) >> 32);
        }
        turn += 1;
    }
    event.push_str("\"}");
    event.into_bytes()
}

fn splitmix(number: u64) -> u64 {
    let bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// `bytes` as one gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `bytes` as one zstd frame.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, 3).unwrap()
}

/// An archive of `count` objects in `directory`, each of these bytes, under Firehose's names.
pub fn archive(directory: &Path, count: u32, object: &[u8]) -> LocalArchive {
    for number in 0..count {
        let (hour, minute) = (number / 60, number % 60);
        let folder = directory.join(format!("2026/07/{:02}/{:02}", 1 + hour / 24, hour % 24));
        std::fs::create_dir_all(&folder).unwrap();
        let day = 1 + hour / 24;
        let name = format!("events-1-2026-07-{day:02}-{:02}-{minute:02}-00-{number:08}", hour % 24);
        std::fs::write(folder.join(name), object).unwrap();
    }
    LocalArchive::open(directory).unwrap()
}

/// Lists all of `archive`.
pub async fn list(archive: &LocalArchive) -> Vec<ObjectEntry> {
    archive.list(&Selection::default()).await.unwrap().objects
}

/// Fetches every one of `objects`, and says how many bytes came.
pub async fn fetch(archive: &LocalArchive, objects: &[ObjectEntry]) -> u64 {
    let mut bytes = 0;
    for object in objects {
        let body = archive.fetch(object).await.unwrap();
        bytes += std::io::copy(&mut body.reader().unwrap(), &mut std::io::sink()).unwrap();
    }
    bytes
}

/// Decodes `object` and lets the bytes go.
pub fn decode_object(object: &[u8], framing: FramingChoice) -> Decoded {
    let config = DecodeConfig { framing, ..DecodeConfig::default() };
    decode(&mut &*object, None, &config, &mut std::io::sink()).unwrap()
}

/// Finds keys by pointer, in the middle of an event.
pub fn extractor() -> KeyExtractor {
    KeyExtractor::new(KeyConfig { rule: "/user/id".parse().unwrap(), fallback: None, seed: 7 })
}

/// Finds the key of every record, and says how long all keys are together.
pub fn extract_keys(extractor: &KeyExtractor, records: &[Vec<u8>]) -> usize {
    let length = |record: &Vec<u8>| extractor.key(record, Ordinal::START).unwrap().as_str().len();
    records.iter().map(length).sum()
}

/// Routes `records` as objects of a chunk each.
pub fn route(extractor: &KeyExtractor, records: &[Vec<u8>]) -> Vec<RoutedChunk> {
    let rules = RouteRules {
        extractor: extractor.clone(),
        record_bytes_max: RECORD_BYTES_MAX,
        event_time: None,
        spread: None,
    };
    let chunk = |(object, records): (usize, &[Vec<u8>])| {
        let object = u32::try_from(object).unwrap();
        let records = records.iter().map(Vec::as_slice);
        let mut chunk = route_chunk(&rules, None, Ordinal::new(object, 0), records);
        chunk.end = Ordinal::new(object + 1, 0);
        chunk
    };
    records.chunks(RECORDS_PER_CHUNK).enumerate().map(chunk).collect()
}

/// Shards of equal size.
pub fn shard_map(count: u128) -> ShardMap {
    let width = u128::MAX / count;
    let shard = |index: u128| ShardDescription {
        id: ShardId(format!("shardId-{index:012}").into()),
        range: HashKeyRange {
            first: HashKey(index * width + u128::from(index > 0)),
            last: HashKey(if index + 1 == count { u128::MAX } else { (index + 1) * width }),
        },
        parent: None,
        adjacent_parent: None,
        open: true,
        starts: None,
    };
    ShardMap::new((0..count).map(shard).collect()).unwrap()
}

/// `count` hash keys, spread.
pub fn hashes(count: u64) -> Vec<HashKey> {
    (0..count)
        .map(|number| HashKey(u128::from(splitmix(number)) << 64 | u128::from(splitmix(!number))))
        .collect()
}

/// Looks every hash key up, and sums what was found so that nothing is left out.
pub fn look_up(map: &ShardMap, hashes: &[HashKey]) -> usize {
    hashes.iter().map(|&hash| map.shard_of(hash)).sum()
}

/// A cache in `directory`, without a limit.
pub fn cache(directory: &Path) -> Cache {
    Cache::open(directory, ByteCount(u64::MAX / 2)).unwrap()
}

/// Decodes the lines of `object` into a segment named after `number`, and publishes it.
pub fn publish(cache: &Cache, object: &[u8], number: u64) -> Segment {
    let etag = number.to_string();
    let identity = SegmentIdentity {
        archive: "benchmark",
        key: "events",
        version: None,
        etag: &etag,
        size: ByteCount(object.len() as u64),
        decoding: "lines",
        decoder_version: 1,
    };
    let (id, label): (SegmentId, _) = (identity.id(), identity.label());
    let mut writer = cache.create(&id, Placement::Kept).unwrap();
    let config = DecodeConfig { framing: FramingChoice::Newline, ..DecodeConfig::default() };
    let decoded = decode(&mut &*object, None, &config, &mut writer).unwrap();
    writer.publish(&decoded.spans, &label).unwrap()
}

/// The whole way of an object into the cache: the gzip file at `path` is read, inflated, framed as is found, and
/// published as a segment named after `number`.
pub fn fill(cache: &Cache, path: &Path, number: u64, placement: Placement) -> Segment {
    let etag = number.to_string();
    let identity = SegmentIdentity {
        archive: "benchmark",
        key: "gzip",
        version: None,
        etag: &etag,
        size: ByteCount(0),
        decoding: "found",
        decoder_version: 1,
    };
    let (id, label): (SegmentId, _) = (identity.id(), identity.label());
    let mut writer = cache.create(&id, placement).unwrap();
    let mut file = std::fs::File::open(path).unwrap();
    let decoded = decode(&mut file, None, &DecodeConfig::default(), &mut writer).unwrap();
    writer.publish(&decoded.spans, &label).unwrap()
}

/// Looks the segment up anew, so that its checksums are checked, and reads every record.
pub fn read(cache: &Cache, id: &SegmentId) -> usize {
    let segment = cache.lookup(id).unwrap().unwrap();
    (0..segment.records()).map(|record| segment.record(record).unwrap().len()).sum()
}

/// A stream of Kinesis that nothing is sent to.
pub fn stream() -> KinesisStream {
    KinesisStream::unchecked(KinesisConfig::new("bench".parse().unwrap()))
}

/// A request of the segment's records from `first` on, round and round, and their bytes.
pub fn encode(stream: &dyn Stream, segment: &Segment, first: u64, entries: usize) -> (Batch, u64) {
    let extractor = extractor();
    let numbers =
        (first..).take(entries).map(|number| u32::try_from(number % u64::from(segment.records())).unwrap());
    let bytes: u64 = numbers.clone().map(|number| u64::from(segment.record_len(number).unwrap())).sum();
    let mut draft = stream.draft(DraftSize { entries, bytes: usize::try_from(bytes).unwrap() });
    for number in numbers {
        let data = segment.record(number).unwrap();
        let key = extractor.key(data, Ordinal::new(0, number)).unwrap();
        draft.push(EntryRef { data, key: (&key).into(), explicit_hash_key: None });
    }
    (draft.finish(), bytes)
}

/// Lets an engine write all of `chunks` to shards without a limit, and says how many were delivered.
/// Every request is answered after the next five.
pub fn drive_engine(order: Order, chunks: Vec<RoutedChunk>) -> u64 {
    let config = EngineConfig {
        order,
        aggregate: None,
        updating: false,
        shard_rate: UNBOUNDED,
        run_rate: UNBOUNDED,
        hash_places: true,
        window_records: 1 << 20,
        requests_max: 512,
        seed: 7,
    };
    let map = shard_map(SHARDS);
    let start = Checkpoint::start([HashKeyRange::ALL]);
    let shard = map.shards()[0].id.clone();
    let mut engine = Engine::new(config, &map, &start, Duration::ZERO);
    let (mut input, mut ended) = (VecDeque::from(chunks), false);
    let (mut now, mut number) = (Duration::ZERO, 0_u64);
    let (mut commands, mut answers) = (Vec::new(), VecDeque::new());
    loop {
        let event = if answers.len() > 5 || (input.is_empty() && ended && !answers.is_empty()) {
            answers.pop_front().unwrap_or(Event::Tick)
        } else if engine.room() > 0 && !input.is_empty() {
            input.pop_front().map_or(Event::Tick, Event::Input)
        } else if !ended {
            ended = true;
            Event::InputEnded
        } else {
            now = now.max(engine.next_wake().unwrap_or(now));
            Event::Tick
        };
        now += Duration::from_micros(10);
        engine.handle(now, event, &mut commands);
        for command in commands.drain(..) {
            match command {
                Command::Put { request, records } => {
                    let ack = |_| {
                        number += 1;
                        let sequence_number = SequenceNumber::new(&number.to_string()).unwrap();
                        Outcome::Acked { shard: shard.clone(), sequence_number }
                    };
                    answers.push_back(Event::Answered(request, Ok(records.entries().map(ack).collect())));
                }
                Command::Checkpoint(checkpoint) => {
                    answers.push_back(Event::CheckpointDurable(checkpoint.sequence));
                }
                Command::ListShards => answers.push_back(Event::Shards { map: None, state: None }),
                Command::SetAside(_) | Command::ObjectSettled(..) | Command::ObjectSetAside(..) => {}
                Command::Ended(_) => return engine.stats(now).totals.delivered,
            }
        }
    }
}
