//! A file that names objects, instead of a listing: keys, an S3 Inventory, or an earlier run's manifest.
//!
//! | the file | what it is |
//! |---|---|
//! | begins with a JSON object that has `files` and `fileSchema` | the `manifest.json` of an S3 Inventory in CSV |
//! | begins with a JSON object that has `digest` | a run's `manifest.jsonl` |
//! | begins with a JSON object that has `what` | a run's `late.jsonl`, of which the objects are meant that came late |
//! | its first line begins with a quotation mark | a CSV of an S3 Inventory: bucket, key, … |
//! | anything else | keys, one a line, perhaps as `s3://BUCKET/KEY` |
//!
//! A CSV alone does not say what its columns mean but for the first two, so its objects are looked up one by one, as
//! those of a list of keys are. gzip is undone. Keys in a CSV are URL-encoded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use serde::Deserialize;

use super::layout::decode_key;
use super::manifest::{Manifest, ManifestError};
use super::{ArchiveLocation, ObjectEntry};
use crate::record::ByteCount;
use crate::shown::shown;

/// A key has 1,024 bytes at most, and its encoding three times as many.
const LINE_BYTES_MAX: u64 = 16 * 1024;
/// The same of a key as JSON writes it, which takes up to six characters for a byte, with all that is said of the object.
const JSON_LINE_BYTES_MAX: u64 = 64 * 1024;
/// The word for an object that was not there when the window was listed.
pub const WHAT_CAME_LATE: &str = "late";
/// No inventory's own manifest is larger.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An object that was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// All that a listing would tell is known.
    Entry(ObjectEntry),
    /// Only its key is.
    Key(String),
}

/// Why a file names no objects.
#[derive(Debug, thiserror::Error)]
pub enum ObjectsError {
    /// The disk.
    #[error("{} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line that makes no sense.
    #[error("{} makes no sense in line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: u64,
        /// Why.
        what: String,
    },
    /// Objects of another archive.
    #[error("{} names objects of {found}, the archive is {expected}", path.display())]
    OtherArchive {
        /// The file.
        path: PathBuf,
        /// What it names.
        found: String,
        /// What was meant.
        expected: String,
    },
    /// An inventory in a form that is not read.
    #[error("{} is an inventory in {format}: only CSV is read", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it says.
        format: String,
    },
    /// It says that a run made it, and is damaged.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// An inventory's own manifest. Source: S3 user guide, inventory manifest, read 2026-11-23.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inventory {
    source_bucket: String,
    file_format: String,
    file_schema: String,
    files: Vec<InventoryFile>,
}

#[derive(Deserialize)]
struct InventoryFile {
    key: String,
}

/// What each line of a `late.jsonl` says first.
#[derive(Deserialize)]
struct What {
    #[serde(rename = "what")]
    _what: String,
}

/// Such a line.
#[derive(Deserialize)]
struct Late {
    what: String,
    #[serde(flatten)]
    object: ObjectEntry,
}

/// Reads the objects that `path` names in the archive at `location`. Blocks.
///
/// # Errors
/// [`ObjectsError`], with the file and the line.
pub fn read(path: &Path, location: &ArchiveLocation) -> Result<Vec<Named>, ObjectsError> {
    let list = List { path, location };
    let mut lines = list.open()?;
    let mut first = Vec::new();
    lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut first).map_err(|source| list.io(source))?;
    match first.trim_ascii_start().first() {
        Some(b'{') => {
            if serde_json::from_slice::<What>(&first).is_ok() {
                return list.late();
            }
            if let Some(inventory) = list.inventory()? {
                return list.inventory_files(&inventory);
            }
            let manifest = Manifest::read(path)?;
            list.check(manifest.archive == *location, &manifest.archive.to_string())?;
            Ok(manifest.objects.into_iter().map(Named::Entry).collect())
        }
        Some(b'"') => {
            let mut named = Vec::new();
            list.csv(list.open()?, &["Bucket", "Key"], &mut named)?;
            Ok(named)
        }
        _ => list.keys(),
    }
}

struct List<'a> {
    path: &'a Path,
    location: &'a ArchiveLocation,
}

impl List<'_> {
    fn io(&self, source: io::Error) -> ObjectsError {
        ObjectsError::Io { path: self.path.to_owned(), source }
    }

    fn line(&self, line: u64, what: impl Into<String>) -> ObjectsError {
        ObjectsError::Line { path: self.path.to_owned(), line, what: what.into() }
    }

    fn check(&self, fits: bool, found: &str) -> Result<(), ObjectsError> {
        let (path, found, expected) = (self.path.to_owned(), found.to_owned(), self.location.to_string());
        if fits { Ok(()) } else { Err(ObjectsError::OtherArchive { path, found, expected }) }
    }

    fn check_bucket(&self, found: &str) -> Result<(), ObjectsError> {
        let fits = matches!(self.location, ArchiveLocation::S3 { bucket, .. } if bucket == found);
        self.check(fits, &format!("s3://{}", shown(found)))
    }

    /// The file, without its gzip.
    fn open(&self) -> Result<Box<dyn BufRead>, ObjectsError> {
        let file = File::open(self.path).map_err(|source| self.io(source))?;
        let mut reader = BufReader::new(file);
        let packed = reader.fill_buf().map_err(|source| self.io(source))?.starts_with(&[0x1f, 0x8b]);
        Ok(if packed { Box::new(BufReader::new(MultiGzDecoder::new(reader))) } else { Box::new(reader) })
    }

    fn keys(&self) -> Result<Vec<Named>, ObjectsError> {
        let mut named = Vec::new();
        let mut lines = self.open()?;
        for number in 1.. {
            let mut line = String::new();
            let read = lines.by_ref().take(LINE_BYTES_MAX).read_line(&mut line);
            if read.map_err(|error| self.line(number, error.to_string()))? == 0 {
                break;
            }
            let key = line.trim_end_matches(['\n', '\r']);
            if key.len() as u64 >= LINE_BYTES_MAX - 1 {
                return Err(self.line(number, "it is longer than any key"));
            }
            if key.is_empty() {
                continue;
            }
            let Some(rest) = key.strip_prefix("s3://") else {
                named.push(Named::Key(key.to_owned()));
                continue;
            };
            let (bucket, key) =
                rest.split_once('/').ok_or_else(|| self.line(number, "a bucket without a key"))?;
            self.check_bucket(bucket)?;
            named.push(Named::Key(key.to_owned()));
        }
        Ok(named)
    }

    /// The objects that came late; those that have changed were listed, and sent as they were.
    fn late(&self) -> Result<Vec<Named>, ObjectsError> {
        let (mut named, mut lines) = (Vec::new(), self.open()?);
        for number in 1.. {
            let mut line = Vec::new();
            let read = lines.by_ref().take(JSON_LINE_BYTES_MAX).read_until(b'\n', &mut line);
            if read.map_err(|source| self.io(source))? == 0 {
                break;
            }
            let late: Late =
                serde_json::from_slice(&line).map_err(|error| self.line(number, error.to_string()))?;
            if late.what == WHAT_CAME_LATE {
                named.push(Named::Entry(late.object));
            }
        }
        if named.is_empty() { Err(self.line(1, "no object in it has come late")) } else { Ok(named) }
    }

    /// The file as an inventory's manifest, if it is one.
    fn inventory(&self) -> Result<Option<Inventory>, ObjectsError> {
        let mut text = Vec::new();
        self.open()?.take(MANIFEST_BYTES_MAX).read_to_end(&mut text).map_err(|source| self.io(source))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    fn inventory_files(&self, inventory: &Inventory) -> Result<Vec<Named>, ObjectsError> {
        self.check_bucket(&inventory.source_bucket)?;
        if inventory.file_format != "CSV" {
            let format = inventory.file_format.chars().take(20).collect();
            return Err(ObjectsError::Format { path: self.path.to_owned(), format });
        }
        let columns: Vec<&str> = inventory.file_schema.split(',').map(str::trim).collect();
        let mut named = Vec::new();
        for file in &inventory.files {
            let path = self.beside(&file.key)?;
            let part = List { path: &path, location: self.location };
            part.csv(part.open()?, &columns, &mut named)?;
        }
        Ok(named)
    }

    /// Where a file of the inventory lies: `…/data/x.csv.gz`, a level above the dated directory of the manifest, or
    /// wherever it was downloaded beside it.
    fn beside(&self, key: &str) -> Result<PathBuf, ObjectsError> {
        let dir = self.path.parent().unwrap_or(Path::new("."));
        let name = key.rsplit('/').next().unwrap_or_default();
        let places = [dir.join(name), dir.join("data").join(name), dir.join("../data").join(name)];
        places.into_iter().find(|place| place.is_file()).ok_or_else(|| {
            let what = "is not beside the manifest, nor in data/ there or one level up: download it too";
            self.io(io::Error::new(io::ErrorKind::NotFound, format!("{} {what}", shown(name))))
        })
    }

    fn csv(&self, from: impl Read, columns: &[&str], named: &mut Vec<Named>) -> Result<(), ObjectsError> {
        let column = |name: &str| columns.iter().position(|column| *column == name);
        let (bucket, key) = (column("Bucket"), column("Key"));
        let (latest, deleted) = (column("IsLatest"), column("IsDeleteMarker"));
        let mut rows = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(from);
        for (row, number) in rows.records().zip(1..) {
            let row = row.map_err(|error| self.line(number, error.to_string()))?;
            let field = |at: Option<usize>| at.and_then(|at| row.get(at)).filter(|text| !text.is_empty());
            if field(latest) == Some("false") || field(deleted) == Some("true") {
                continue;
            }
            self.check_bucket(field(bucket).ok_or_else(|| self.line(number, "no bucket"))?)?;
            let key = field(key).and_then(decode_key).ok_or_else(|| self.line(number, "no key"))?;
            named.push(match entry(&key, &|name: &str| field(column(name))) {
                Some(entry) => Named::Entry(entry),
                None => Named::Key(key),
            });
        }
        Ok(())
    }
}

/// The entry of a row that says enough.
fn entry<'a>(key: &str, field: &dyn Fn(&str) -> Option<&'a str>) -> Option<ObjectEntry> {
    // The tier says more than the class.
    let tier = field("IntelligentTieringAccessTier").filter(|tier| tier.contains("ARCHIVE"));
    let class = tier.map(|_| "INTELLIGENT_TIERING").or_else(|| field("StorageClass"));
    Some(ObjectEntry {
        key: key.into(),
        size: ByteCount(field("Size")?.parse().ok()?),
        etag: format!("\"{}\"", field("ETag")?.trim_matches('"')).into(),
        version: None,
        modified: field("LastModifiedDate")?.parse::<Timestamp>().ok()?,
        time: None,
        storage_class: class.filter(|class| *class != "STANDARD").map(Box::from),
        only: None,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;

    fn location() -> ArchiveLocation {
        ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: String::new() }
    }

    fn keys(named: &[Named]) -> Vec<&str> {
        let key = |named: &'_ Named| match named {
            Named::Entry(entry) => entry.key.to_string(),
            Named::Key(key) => key.clone(),
        };
        named.iter().map(key).map(|key| &*key.leak()).collect()
    }

    #[test]
    fn keys_one_a_line_may_name_their_bucket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys");
        fs::write(&path, "a/b c\r\n\ns3://events/d/é\n../e").unwrap();
        assert_eq!(keys(&read(&path, &location()).unwrap()), ["a/b c", "d/é", "../e"]);
        fs::write(&path, "s3://others/d\n").unwrap();
        assert!(matches!(read(&path, &location()), Err(ObjectsError::OtherArchive { .. })));
        fs::write(&path, b"\xff\n").unwrap();
        assert!(matches!(read(&path, &location()), Err(ObjectsError::Line { line: 1, .. })));
        fs::write(&path, "x".repeat(20_000)).unwrap();
        assert!(matches!(read(&path, &location()), Err(ObjectsError::Line { line: 1, .. })));
    }

    #[test]
    fn an_inventory_is_read_as_its_manifest_says() {
        let dir = tempfile::tempdir().unwrap();
        let dated = dir.path().join("2026-11-01T00-00Z");
        fs::create_dir_all(dir.path().join("data")).unwrap();
        fs::create_dir(&dated).unwrap();
        let rows = "\"events\",\"a%2Bb.gz\",\"true\",\"false\",\"10\",\"2026-11-01T02:03:04.000Z\",\"abc\",\"GLACIER\"\n\
             \"events\",\"old\",\"false\",\"false\",\"10\",\"2026-11-01T02:03:04.000Z\",\"abc\",\"STANDARD\"\n\
             \"events\",\"gone\",\"true\",\"true\",\"\",\"2026-11-01T02:03:04.000Z\",\"\",\"\"\n\
             \"events\",\"c+d\",\"true\",\"false\",\"0\",\"2026-11-01T02:03:04.000Z\",\"def\",\"STANDARD\"\n";
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(rows.as_bytes()).unwrap();
        fs::write(dir.path().join("data/x.csv.gz"), packed.finish().unwrap()).unwrap();
        let manifest = |bucket: &str, format: &str| {
            let schema = "Bucket, Key, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag, StorageClass";
            format!(
                "{{\n \"sourceBucket\": \"{bucket}\", \"destinationBucket\": \"arn:aws:s3:::i\", \"version\": \"2016-11-30\",\n \
                 \"fileFormat\": \"{format}\", \"fileSchema\": \"{schema}\",\n \"files\": [{{\"key\": \"i/events/data/x.csv.gz\", \
                 \"size\": 1, \"MD5checksum\": \"\"}}]}}"
            )
        };
        let path = dated.join("manifest.json");
        fs::write(&path, manifest("events", "CSV")).unwrap();
        let named = read(&path, &location()).unwrap();
        assert_eq!(keys(&named), ["a+b.gz", "c d"]);
        let Named::Entry(first) = &named[0] else { panic!("{named:?}") };
        assert_eq!((first.size, first.etag.to_string().as_str()), (ByteCount(10), "\"abc\""));
        assert_eq!(first.storage_class.as_deref(), Some("GLACIER"));
        fs::write(&path, manifest("events", "ORC")).unwrap();
        assert!(matches!(read(&path, &location()), Err(ObjectsError::Format { .. })));
        fs::write(&path, manifest("others", "CSV")).unwrap();
        assert!(matches!(read(&path, &location()), Err(ObjectsError::OtherArchive { .. })));
        // The CSV alone: only bucket and key are sure.
        let csv = dir.path().join("inventory.csv");
        fs::write(&csv, "\"events\",\"a\",\"x\"\n\"events\",\"b\n\"\n").unwrap();
        assert_eq!(read(&csv, &location()).unwrap(), [Named::Key("a".into()), Named::Key("b\n".into())]);
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_read_without_panic(text in "[\"{},a\\\\n\\PC]{0,80}") {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            fs::write(&path, text).unwrap();
            let _ = read(&path, &location());
        }
    }
}
