//! Each stage by itself, on one core: how many bytes or records a second.
//!
//! `cargo bench --bench stages`. Compare ratios within one run, never figures of two machines.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed")]
#![expect(unreachable_pub, reason = "the workloads are shared with the tests")]

mod workloads;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use respool::cache::Placement;
use respool::config::Order;
use respool::decode::FramingChoice;

/// About as much as an object holds.
const OBJECT_BYTES: usize = 16 << 20;
/// Objects that are listed.
const NAMES: u32 = 2_000;
const EVENT_BYTES: [usize; 2] = [200, 1_000];

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

fn events(bytes: usize) -> Vec<Vec<u8>> {
    workloads::events((OBJECT_BYTES / bytes) as u64, bytes)
}

fn archive(criterion: &mut Criterion) {
    let mut group = group(criterion, "archive");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let archive = workloads::archive(&directory.path().join("names"), NAMES, b"{}");
    group.throughput(Throughput::Elements(NAMES.into()));
    group.bench_function("list a directory", |bencher| {
        bencher.iter(|| runtime.block_on(workloads::list(&archive)).len());
    });
    let object = events(1_000).join(&b'\n');
    let archive = workloads::archive(&directory.path().join("objects"), 1, &object);
    let objects = runtime.block_on(workloads::list(&archive));
    group.throughput(Throughput::Bytes(object.len() as u64));
    group.bench_function("fetch from a directory", |bencher| {
        bencher.iter(|| runtime.block_on(workloads::fetch(&archive, black_box(&objects))));
    });
}

fn encode(criterion: &mut Criterion) {
    let mut group = group(criterion, "encode");
    let directory = tempfile::tempdir().unwrap();
    let (cache, stream) = (workloads::cache(directory.path()), workloads::stream());
    for bytes in EVENT_BYTES {
        let segment = workloads::publish(&cache, &events(bytes).join(&b'\n'), bytes as u64);
        for entries in [50, 500] {
            let mut first = 0;
            group.throughput(Throughput::Elements(entries as u64));
            group.bench_function(format!("request of {entries}, {bytes} B"), |bencher| {
                bencher.iter(|| {
                    first += entries as u64;
                    workloads::encode(&stream, &segment, first, entries)
                });
            });
        }
    }
}

fn decode(criterion: &mut Criterion) {
    let mut group = group(criterion, "decode");
    for bytes in EVENT_BYTES {
        let events = events(bytes);
        let (lines, values) = (events.join(&b'\n'), events.concat());
        group.throughput(Throughput::Bytes(lines.len() as u64));
        for (name, object, framing) in [
            ("gzip lines", workloads::gzip(&lines), FramingChoice::Auto),
            ("gzip values", workloads::gzip(&values), FramingChoice::Auto),
            ("gzip lines, told", workloads::gzip(&lines), FramingChoice::Newline),
            ("zstd lines", workloads::zstd(&lines), FramingChoice::Auto),
            ("plain lines, told", lines.clone(), FramingChoice::Newline),
            ("plain lines, found", lines.clone(), FramingChoice::Auto),
            ("plain values, told", values.clone(), FramingChoice::ConcatenatedJson),
            ("plain values, found", values.clone(), FramingChoice::Auto),
        ] {
            let run = || workloads::decode_object(black_box(&object), framing).spans.len();
            group.bench_function(format!("{name}, {bytes} B"), |bencher| bencher.iter(run));
        }
    }
}

fn cache(criterion: &mut Criterion) {
    let mut group = group(criterion, "cache");
    let directory = tempfile::tempdir().unwrap();
    let cache = workloads::cache(directory.path());
    for bytes in EVENT_BYTES {
        let lines = events(bytes).join(&b'\n');
        group.throughput(Throughput::Bytes(lines.len() as u64));
        group.bench_function(format!("publish, {bytes} B"), |bencher| {
            bencher.iter(|| workloads::publish(&cache, black_box(&lines), bytes as u64));
        });
        let path = directory.path().join(format!("{bytes}.gz"));
        std::fs::write(&path, workloads::gzip(&lines)).unwrap();
        for (name, placement) in
            [("fill from gzip, synced", Placement::Kept), ("fill from gzip", Placement::Passing)]
        {
            group.bench_function(format!("{name}, {bytes} B"), |bencher| {
                bencher.iter(|| workloads::fill(&cache, black_box(&path), bytes as u64, placement));
            });
        }
        let id = *workloads::publish(&cache, &lines, bytes as u64).id();
        group.bench_function(format!("read, {bytes} B"), |bencher| {
            bencher.iter(|| workloads::read(&cache, black_box(&id)));
        });
    }
}

fn route(criterion: &mut Criterion) {
    let mut group = group(criterion, "route");
    let extractor = workloads::extractor();
    for bytes in EVENT_BYTES {
        let events = workloads::events(16_384, bytes);
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(format!("key by pointer, {bytes} B"), |bencher| {
            bencher.iter(|| workloads::extract_keys(&extractor, black_box(&events)));
        });
        group.bench_function(format!("chunk, {bytes} B"), |bencher| {
            bencher.iter(|| workloads::route(&extractor, black_box(&events)));
        });
    }
    let hashes = workloads::hashes(16_384);
    group.throughput(Throughput::Elements(hashes.len() as u64));
    for shards in [16, 1_000] {
        let map = workloads::shard_map(shards);
        group.bench_function(format!("shard among {shards}"), |bencher| {
            bencher.iter(|| workloads::look_up(&map, black_box(&hashes)));
        });
    }
}

fn engine(criterion: &mut Criterion) {
    let mut group = group(criterion, "engine");
    let chunks = workloads::route(&workloads::extractor(), &workloads::events(200_000, 200));
    group.throughput(Throughput::Elements(200_000));
    for (name, order) in [("order key", Order::Key), ("order none", Order::None)] {
        let run = |chunks| workloads::drive_engine(order, chunks);
        group.bench_function(name, |bencher| {
            bencher.iter_batched(|| chunks.clone(), run, BatchSize::LargeInput);
        });
    }
}

criterion_group!(stages, archive, decode, cache, route, engine, encode);
criterion_main!(stages);
