//! The benchmarks' workloads, small: that they still do what they are said to.

use respool::cache::Placement;
use respool::config::Order;
use respool::decode::{Compression, Framing, FramingChoice};
use respool::stream::batch::Batch;
use respool::stream::null::NullStream;

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

    let path = directory.path().join("lines.gz");
    std::fs::write(&path, workloads::gzip(&lines)).unwrap();
    for placement in [Placement::Kept, Placement::Passing] {
        let filled = workloads::fill(&cache, &path, 1, placement);
        assert_eq!((filled.records(), filled.checksum()), (300, segment.checksum()));
    }

    let (encoded, bytes) = workloads::encode(&workloads::stream(), &segment, 290, 20);
    assert!(matches!(encoded, Batch::Body(_)));
    let (batch, _) = workloads::encode(&NullStream::default(), &segment, 290, 20);
    assert!(matches!(batch, Batch::Places(places) if places.len() == 20));
    let around = events[290..].iter().chain(&events[..10]);
    assert_eq!(bytes, around.map(|event| event.len() as u64).sum::<u64>());

    let extractor = workloads::extractor();
    assert!(workloads::extract_keys(&extractor, &events) >= 300 * "u-0".len());
    let chunks = workloads::route(&extractor, &events);
    assert_eq!(chunks.iter().map(|chunk| chunk.records.len()).sum::<usize>(), 300);
    assert!(workloads::look_up(&workloads::shard_map(16), &workloads::hashes(1_000)) > 1_000);
    for order in [Order::Key, Order::None] {
        assert_eq!(workloads::drive_engine(order, chunks.clone()), 300);
    }
}

#[tokio::test]
async fn an_archive_is_listed_and_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let archive = workloads::archive(directory.path(), 70, b"{}\n{}");
    let objects = workloads::list(&archive).await;
    assert_eq!(objects.len(), 70);
    assert_eq!(workloads::fetch(&archive, &objects).await, 70 * 5);
}

/// Cargo unifies features: a dependency may put another inflate under flate2 for all.
#[test]
fn flate2_inflates_with_zlib_rs() {
    let mut inflate = flate2::Decompress::new(false);
    let error = inflate.decompress(&[0x07], &mut [0; 8], flate2::FlushDecompress::None).unwrap_err();
    assert_eq!(error.message(), Some("invalid block type"), "miniz_oxide gives no reasons");
    let lock = include_str!("../../Cargo.lock");
    assert!(lock.contains("name = \"zlib-rs\""));
    for other in ["libz-sys", "libz-ng-sys", "cloudflare-zlib-sys"] {
        assert!(!lock.contains(&format!("name = \"{other}\"")), "{other} would go before zlib-rs");
    }
}
