//! The same events in every format, each written by software that is not ours (`scripts/make-formats`).

use std::fs;
use std::path::PathBuf;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats");
    fs::read(folder.join(name)).unwrap()
}

fn expected() -> Vec<String> {
    String::from_utf8(fixture("records.ndjson")).unwrap().lines().map(str::to_owned).collect()
}

fn records(object: &[u8], config: &DecodeConfig) -> Result<(Decoded, Vec<String>), DecodeError> {
    let mut out = Vec::new();
    let decoded = decode(&mut &*object, None, config, &mut out)?;
    let cut = |span: Span| {
        let start = usize::try_from(span.offset).unwrap();
        String::from_utf8_lossy(&out[start..start + span.len as usize]).into_owned()
    };
    let records = decoded.spans.iter().map(cut).collect();
    Ok((decoded, records))
}

/// Every file, how it is asked for, and what it turns out to be.
fn files() -> Vec<(&'static str, FramingChoice, Compression, Framing)> {
    use Compression::{Bzip2, Gzip, SnappyFramed, SnappyHadoop, SnappyXerial, Zip, Zstd};
    use FramingChoice::Auto;
    let plain = Compression::None;
    let delimiter = FramingChoice::Delimiter("\\x1e".parse().unwrap());
    let by = FramingChoice::LengthPrefixed;
    vec![
        ("records.ndjson", Auto, plain, Framing::Newline),
        ("gzip.gz", Auto, Gzip, Framing::Newline),
        ("gzip-members.gz", Auto, Gzip, Framing::ConcatenatedJson),
        ("zstd.zst", Auto, Zstd, Framing::Newline),
        ("bzip2.bz2", Auto, Bzip2, Framing::Newline),
        ("zip.zip", Auto, Zip, Framing::Newline),
        ("zip-streamed.zip", Auto, Zip, Framing::Newline),
        ("snappy-xerial.snappy", Auto, SnappyXerial, Framing::Newline),
        ("snappy-hadoop.snappy", Auto, SnappyHadoop, Framing::Newline),
        ("snappy-framed.sz", Auto, SnappyFramed, Framing::Newline),
        ("kpl.bin", Auto, plain, Framing::Kpl),
        ("kpl.bin", FramingChoice::Kpl, plain, Framing::Kpl),
        ("kpl-u32be.bin", by(LengthPrefix::U32Be), plain, Framing::LengthPrefixed),
        ("u32be.bin", by(LengthPrefix::U32Be), plain, Framing::LengthPrefixed),
        ("u32le.bin", by(LengthPrefix::U32Le), plain, Framing::LengthPrefixed),
        ("delimited.rs", delimiter, plain, Framing::Delimiter),
        ("cloudtrail.json.gz", FramingChoice::JsonArray, Gzip, Framing::JsonArray),
        ("array.json", FramingChoice::JsonArray, plain, Framing::JsonArray),
        ("cloudwatch-logs", FramingChoice::CloudwatchLogs, Gzip, Framing::CloudwatchLogs),
        ("processing-failed", FramingChoice::ErrorOutput, plain, Framing::ErrorOutput),
    ]
}

#[test]
fn every_format_of_others_gives_the_same_records() {
    let expected = expected();
    assert_eq!(expected.len(), 200);
    for (name, framing, compression, found) in files() {
        let config = DecodeConfig { framing, ..DecodeConfig::default() };
        let (decoded, records) =
            records(&fixture(name), &config).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((decoded.compression, decoded.framing), (compression, found), "{name}");
        assert_eq!(records, expected, "{name}");
    }
}

/// A piece at a time, as a slow network brings it: the formats' own states carry over.
#[test]
fn how_the_bytes_arrive_makes_no_difference() {
    struct Drip<'a>(&'a [u8]);
    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = into.len().min(self.0.len()).min(7);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }
    for (name, framing, ..) in files() {
        let config = DecodeConfig { framing, ..DecodeConfig::default() };
        let object = fixture(name);
        let (whole, _) = records(&object, &config).unwrap();
        let drip = decode(&mut Drip(&object), None, &config, &mut io::sink()).unwrap();
        assert_eq!(whole.spans, drip.spans, "{name}");
    }
}

/// Wherever an object ends too early, it is a defect, or its format has no end and the records are the first ones.
/// Salvaged, its records are the first ones too.
#[test]
fn an_object_cut_short_gives_a_reason_or_its_first_records() {
    let expected = expected();
    for (name, framing, compression, _) in files() {
        let object = fixture(name);
        // These may end between any two of their blocks or members.
        let endless = name == "gzip-members.gz"
            || name == "cloudwatch-logs"
            || matches!(
                compression,
                Compression::SnappyXerial | Compression::SnappyHadoop | Compression::SnappyFramed
            );
        let lines = compression == Compression::None
            && matches!(
                framing,
                FramingChoice::Auto | FramingChoice::Delimiter(_) | FramingChoice::ErrorOutput
            );
        for len in (10..object.len()).step_by(object.len() / 97) {
            let config = DecodeConfig { framing, ..DecodeConfig::default() };
            match records(&object[..len], &config) {
                Ok((decoded, records)) => {
                    // The last line may be cut; all others are whole.
                    let whole = records.len().saturating_sub(1);
                    assert!(endless || lines || whole == 199 || name == "kpl.bin", "{name} at {len}");
                    assert_eq!(records[..whole], expected[..whole], "{name} at {len}");
                    assert!(decoded.salvaged.is_none());
                }
                Err(DecodeError::Defect { .. }) => {}
                Err(other) => panic!("{name} at {len}: {other}"),
            }
            let salvage = DecodeConfig { salvage: true, ..config };
            if let Ok((decoded, records)) = records(&object[..len], &salvage)
                && decoded.salvaged.is_some()
            {
                assert_eq!(records, expected[..records.len()], "{name} at {len}");
            }
        }
    }
}

/// A changed byte is a defect or changes nothing that counts; it never panics. What has no checksum can change.
#[test]
fn a_changed_byte_is_found_by_whatever_has_a_checksum() {
    let expected = expected();
    let summed = [
        "gzip.gz",
        "gzip-members.gz",
        "zstd.zst",
        "bzip2.bz2",
        "zip.zip",
        "zip-streamed.zip",
        "snappy-framed.sz",
    ];
    for (name, framing, ..) in files() {
        let object = fixture(name);
        for at in (0..object.len()).step_by(object.len() / 97) {
            let mut changed = object.clone();
            changed[at] ^= 0x10;
            let config = DecodeConfig { framing, ..DecodeConfig::default() };
            if let Ok((_, records)) = records(&changed, &config)
                && summed.contains(&name)
            {
                assert_eq!(records, expected, "{name} at {at}");
            }
        }
    }
}

#[test]
fn a_truncated_gzip_is_salvaged_up_to_its_last_whole_record() {
    let object = fixture("gzip.gz");
    let salvage = DecodeConfig { salvage: true, ..DecodeConfig::default() };
    let (decoded, records) = records(&object[..object.len() / 2], &salvage).unwrap();
    let lost = decoded.salvaged.unwrap();
    assert_eq!(lost.reason, DecodeDefect::Truncated);
    assert!(records.len() > 50 && records.len() < 150, "{}", records.len());
    assert_eq!(records, expected()[..records.len()]);
}

#[test]
fn of_a_damaged_object_only_what_was_vouched_for_is_salvaged() {
    let mut object = fixture("gzip-members.gz");
    let at = object.len() / 2;
    object[at] ^= 0xff;
    let salvage = DecodeConfig { salvage: true, ..DecodeConfig::default() };
    let (decoded, records) = records(&object, &salvage).unwrap();
    assert_eq!(decoded.salvaged.unwrap().reason, DecodeDefect::Corrupt);
    assert!(records.len() > 50 && records.len() < 150, "{}", records.len());
    assert_eq!(records, expected()[..records.len()]);
}
