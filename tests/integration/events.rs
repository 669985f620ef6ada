//! Archives made for a test, and what they hold: the oracle, which shares no code with the decoder.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use serde_json::value::RawValue;

/// The archive that ships with the repository.
pub(crate) fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/archive")
}

/// The records of one key, in archive order.
pub(crate) type ByKey = BTreeMap<String, Vec<Vec<u8>>>;

/// An archive of `objects` with `records` each, newline-delimited, keys `/k`; each record is unlike all
/// others.
pub(crate) fn make_archive(folder: &Path, objects: usize, records: usize) {
    for object in 0..objects {
        let mut lines = String::new();
        for record in 0..records {
            let number = object * records + record;
            writeln!(lines, r#"{{"k":"key-{}","n":{number},"text":"é {{}} \" }}{{"}}"#, number % 997)
                .unwrap();
        }
        put(folder, object, &gzip(lines.as_bytes()));
    }
}

/// Puts `bytes` into the archive under Firehose's name for hour `hour` of a day.
pub(crate) fn put(archive: &Path, hour: usize, bytes: &[u8]) -> PathBuf {
    let (day, hour) = (1 + hour / 24, hour % 24);
    let folder = archive.join(format!("2026/07/{day:02}/{hour:02}"));
    fs::create_dir_all(&folder).unwrap();
    let name =
        format!("events-1-2026-07-{day:02}-{hour:02}-00-00-0b6e93ee-6aaf-51e0-918c-6c9d94197{hour:03}.gz");
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The records below `archive` by the value at `pointer`. Objects are taken in the order of their names.
pub(crate) fn by_key(archive: &Path, pointer: &str) -> ByKey {
    let mut files = Vec::new();
    collect_files(archive, &mut files);
    files.sort();
    let mut keys = ByKey::new();
    for record in files.iter().flat_map(|file| records(file)) {
        let value: Value = serde_json::from_slice(&record).unwrap();
        let key = match value.pointer(pointer).unwrap() {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        keys.entry(key).or_default().push(record);
    }
    keys
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect_files(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The JSON values of a file, whatever is between them.
fn records(path: &Path) -> Vec<Vec<u8>> {
    let mut stored = Vec::new();
    File::open(path).unwrap().read_to_end(&mut stored).unwrap();
    let mut text = Vec::new();
    match stored.get(..4) {
        Some([0x1f, 0x8b, ..]) => drop(MultiGzDecoder::new(&stored[..]).read_to_end(&mut text).unwrap()),
        Some([0x28, 0xb5, 0x2f, 0xfd]) => text = zstd::stream::decode_all(&stored[..]).unwrap(),
        _ => text = stored,
    }
    let values = serde_json::Deserializer::from_slice(&text).into_iter::<Box<RawValue>>();
    values.map(|value| value.unwrap().get().as_bytes().to_vec()).collect()
}
