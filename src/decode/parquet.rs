//! Parquet, with the feature of that name: each row becomes one line of JSON.
//!
//! A Parquet file has no bytes of the events any more: format conversion has taken them apart into columns. So what
//! comes out is *not* what went into the archive, byte for byte, but an object per row: columns in the order of the
//! schema, null where a row has none, times in RFC 3339, decimals as strings (a number would lose digits), binary
//! columns in base64. What JSON or a calendar has no word for stays a value and becomes a string: `"NaN"`, `"Infinity"`,
//! `"-Infinity"`, and a time outside of the years -9999 to 9999 as its number and unit, `"9223372036854775807ms"`. The same file gives the same bytes each time.
//!
//! The format is read from its end, so a body first goes to a file without a name. What the library panics about in a
//! broken file is a defect of the file.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use base64_simd::STANDARD;
use jiff::Timestamp;
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row};
use serde::ser::{Serialize, SerializeMap as _, Serializer};

use super::input::Input;
use super::output::Output;
use super::{BUFFER_BYTES, DecodeDefect, DecodeError};
use crate::shown::shown;

pub(super) fn decode(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let mut file = tempfile::tempfile().map_err(DecodeError::Input)?;
    loop {
        let piece = input.ready()?;
        if piece.is_empty() {
            break;
        }
        let len = piece.len();
        file.write_all(piece).map_err(DecodeError::Input)?;
        input.take(len);
    }
    file.rewind().map_err(DecodeError::Input)?;
    let stored = input.offset();
    catch_unwind(AssertUnwindSafe(|| rows(file, stored, output)))
        .unwrap_or_else(|_| Err(defect(stored, "its structure is broken")))
}

fn rows(file: File, stored: u64, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let reader = SerializedFileReader::new(file).map_err(|error| broken(stored, &error))?;
    let mut lines = Vec::with_capacity(BUFFER_BYTES);
    for row in reader.get_row_iter(None).map_err(|error| broken(stored, &error))? {
        let row = row.map_err(|error| broken(stored, &error))?;
        serde_json::to_writer(&mut lines, &Json(&row)).map_err(|error| defect(stored, &error.to_string()))?;
        lines.push(b'\n');
        if lines.len() >= BUFFER_BYTES {
            output.push(&lines, stored)?;
            lines.clear();
        }
    }
    output.push(&lines, stored)
}

fn defect(stored: u64, message: &str) -> DecodeError {
    DecodeError::defect(DecodeDefect::Corrupt, stored, format!("not to be read as Parquet: {message}"))
}

fn broken(stored: u64, error: &ParquetError) -> DecodeError {
    match error {
        ParquetError::NYI(what) => {
            let message = format!("Parquet that is not read: {}", shown(what));
            DecodeError::defect(DecodeDefect::UnknownFormat, stored, message)
        }
        ParquetError::External(error) if error.is::<io::Error>() => defect(stored, "it ends too early"),
        error => defect(stored, &shown(&error.to_string()).to_string()),
    }
}

/// A row or a field as JSON.
struct Json<'a, T>(&'a T);

impl Serialize for Json<'_, Row> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut object = to.serialize_map(Some(self.0.len()))?;
        for (name, field) in self.0.get_column_iter() {
            object.serialize_entry(name, &Json(field))?;
        }
        object.end()
    }
}

impl Serialize for Json<'_, Field> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let time = |time: Result<Timestamp, jiff::Error>, value: i64, unit: &str, to: S| match time {
            Ok(time) => to.collect_str(&time),
            Err(_) => to.collect_str(&format_args!("{value}{unit}")),
        };
        match self.0 {
            Field::Null => to.serialize_none(),
            Field::Bool(value) => to.serialize_bool(*value),
            Field::Byte(value) => to.serialize_i8(*value),
            Field::Short(value) => to.serialize_i16(*value),
            Field::Int(value) => to.serialize_i32(*value),
            Field::Long(value) => to.serialize_i64(*value),
            Field::UByte(value) => to.serialize_u8(*value),
            Field::UShort(value) => to.serialize_u16(*value),
            Field::UInt(value) => to.serialize_u32(*value),
            Field::ULong(value) => to.serialize_u64(*value),
            Field::Float16(value) => float(value.to_f32(), to),
            Field::Float(value) => float(*value, to),
            Field::Double(value) if value.is_finite() => to.serialize_f64(*value),
            Field::Double(value) => to.serialize_str(not_finite(*value)),
            Field::Str(text) => to.serialize_str(text),
            Field::Bytes(bytes) => to.serialize_str(&STANDARD.encode_to_string(bytes.data())),
            Field::TimestampMillis(value) => time(Timestamp::from_millisecond(*value), *value, "ms", to),
            Field::TimestampMicros(value) => time(Timestamp::from_microsecond(*value), *value, "us", to),
            Field::Decimal(_) | Field::Date(_) | Field::TimeMillis(_) | Field::TimeMicros(_) => {
                to.collect_str(&self.0.to_string().trim_matches('"'))
            }
            Field::Group(row) => Json(row).serialize(to),
            Field::ListInternal(list) => to.collect_seq(list.elements().iter().map(Json)),
            Field::MapInternal(map) => {
                to.collect_map(map.entries().iter().map(|(key, value)| (Key(key), Json(value))))
            }
        }
    }
}

fn float<S: Serializer>(value: f32, to: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { to.serialize_f32(value) } else { to.serialize_str(not_finite(value.into())) }
}

/// A number that JSON has no word for.
fn not_finite(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// The key of a map: in JSON always a string.
struct Key<'a>(&'a Field);

impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Field::Str(text) => to.serialize_str(text),
            other => to.collect_str(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::{Compression, DecodeConfig, FramingChoice, decode};
    use super::*;

    fn read(name: &str) -> Vec<u8> {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats").join(name)).unwrap()
    }

    #[test]
    fn rows_of_pyarrow_are_the_events_again() {
        let mut out = Vec::new();
        let stored = read("rows.parquet");
        let decoded = decode(&mut stored.as_slice(), None, &DecodeConfig::default(), &mut out).unwrap();
        assert_eq!((decoded.compression, decoded.spans.len()), (Compression::Parquet, 200));
        // pyarrow keeps the order of the fields; Python's separators are the only difference.
        let values = |text: &[u8]| -> Vec<serde_json::Value> {
            text.split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect()
        };
        assert_eq!(values(&out), values(&read("records.ndjson")));
        assert!(out.starts_with(b"{\"id\":0,\"user\":\"u0\",\"ts\":"));
    }

    #[test]
    fn what_json_has_no_word_for_is_not_lost() {
        let json = |field: Field| serde_json::to_string(&Json(&field)).unwrap();
        for (field, expected) in [
            (Field::Double(f64::NAN), "\"NaN\""),
            (Field::Double(f64::INFINITY), "\"Infinity\""),
            (Field::Float(f32::NEG_INFINITY), "\"-Infinity\""),
            (Field::Float(0.5), "0.5"),
            (Field::TimestampMillis(i64::MAX), "\"9223372036854775807ms\""),
            (Field::TimestampMicros(i64::MIN), "\"-9223372036854775808us\""),
            (Field::TimestampMillis(0), "\"1970-01-01T00:00:00Z\""),
        ] {
            assert_eq!(json(field), expected);
        }
    }

    #[test]
    fn a_broken_file_is_a_defect_at_every_byte() {
        let stored = read("rows.parquet");
        let config = DecodeConfig::default();
        for cut in (5..stored.len()).step_by(7) {
            let error = decode(&mut &stored[..cut], None, &config, &mut Vec::new()).unwrap_err();
            assert!(matches!(error, DecodeError::Defect { .. }), "cut at {cut}: {error}");
        }
        for at in (5..stored.len()).step_by(5) {
            let mut flipped = stored.clone();
            flipped[at] ^= 0x55;
            match decode(&mut flipped.as_slice(), None, &config, &mut Vec::new()) {
                Ok(_) | Err(DecodeError::Defect { .. }) => {}
                Err(error) => panic!("flipped at {at}: {error}"),
            }
        }
    }

    #[test]
    fn rows_have_no_framing_to_ask_for() {
        let config = DecodeConfig { framing: FramingChoice::JsonArray, ..DecodeConfig::default() };
        let error = decode(&mut read("rows.parquet").as_slice(), None, &config, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("bad_framing"), "{error}");
    }
}
