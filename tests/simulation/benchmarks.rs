//! The benchmarks' workloads, small: that they still do what they are said to.

use respool::config::Order;
use respool::decode::{Compression, Framing, FramingChoice};

use super::workloads;

#[test]
fn every_workload_does_its_work() {
    let events = workloads::events(300, 200);
    let (lines, values) = (events.join(&b'\n'), events.concat());
    for (object, compression, framing) in [
        (workloads::gzip(&lines), Compression::Gzip, Framing::Newline),
        (workloads::gzip(&values), Compression::Gzip, Framing::ConcatenatedJson),
        (workloads::zstd(&lines), Compression::Zstd, Framing::Newline),
    ] {
        let decoded = workloads::decode_object(&object, FramingChoice::Auto);
        assert_eq!((decoded.spans.len(), decoded.compression, decoded.framing), (300, compression, framing));
    }

    let directory = tempfile::tempdir().unwrap();
    let cache = workloads::cache(directory.path());
    let segment = workloads::publish(&cache, &lines, 1);
    assert_eq!(segment.records(), 300);
    assert_eq!(workloads::read(&cache, segment.id()), values.len());

    let extractor = workloads::extractor();
    assert!(workloads::extract_keys(&extractor, &events) >= 300 * "u-0".len());
    let chunks = workloads::route(&extractor, &events);
    assert_eq!(chunks.iter().map(|chunk| chunk.records.len()).sum::<usize>(), 300);
    assert!(workloads::look_up(&workloads::shard_map(16), &workloads::hashes(1_000)) > 1_000);
    for order in [Order::Key, Order::None] {
        assert_eq!(workloads::drive_engine(order, chunks.clone()), 300);
    }
}
