//! A few objects of an archive, read as whichever format fits them.

mod whole;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Inspection, TimeField};
use crate::archive::manifest::Manifest;
use crate::archive::{Archive, ArchiveError, DefectReason, ObjectBody, ObjectEntry};
use crate::config::{FramingChoice, Input};
use crate::decode::{DecodeConfig, DecodeError, Decoded, Span, decode};
use crate::error::Error;
use crate::route::fields::Fields;
use crate::run::estimate::looks_compressed;
use crate::run::forbidden;
use crate::run::key_fields::key_fields;
use crate::run::spool::blocking;
use crate::shown::shown;
use whole::Look;

/// Objects that are read, and more of them if they are small.
const SAMPLES_MIN: usize = 8;
const SAMPLES_MAX: usize = 32;
/// What is read of small ones together, about.
const SAMPLES_BYTES: u64 = 16 * 1024 * 1024;
/// Larger objects are not read, and larger ones are not decoded to their end.
const SAMPLE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Records of each that are looked at.
const SAMPLE_RECORDS: usize = 2_000;
/// Characters of the first record that are shown.
const RECORD_CHARS_MAX: usize = 1_000;
/// Framings that are tried where none can be told, the strictest first, and what it means that they fit.
const FRAMINGS: [(&str, &str); 7] = [
    ("cloudwatch-logs", "payloads of CloudWatch Logs"),
    ("json-array", "one JSON value with an array of others"),
    ("kpl", "aggregates one after the other"),
    ("u32be", "lengths lead from record to record"),
    ("u32le", "lengths lead from record to record"),
    ("varint", "lengths lead from record to record"),
    ("newline", "lines, of which too few are JSON"),
];

/// An object as it was read.
struct Seen {
    /// How it has to be read; nothing if more than one framing makes the same of it, or one was asked for.
    framing: Option<FramingChoice>,
    decoded: Decoded,
    data: Vec<u8>,
}

/// What the sampled objects hold.
#[derive(Default)]
struct Sampled {
    looks: Vec<Look>,
    records: u64,
    bytes: u64,
    first: Option<Vec<u8>>,
    fields: Fields,
}

pub(super) async fn sample(
    found: &mut Inspection,
    archive: &Arc<dyn Archive>,
    manifest: &Manifest,
    input: &Input,
) -> Result<(), Error> {
    let readable: Vec<&ObjectEntry> =
        manifest.objects.iter().filter(|object| (1..=SAMPLE_BYTES_MAX).contains(&object.size.0)).collect();
    let (mut sampled, mut framings) = (Sampled::default(), BTreeSet::new());
    for object in spread(&readable) {
        let body = match archive.fetch(object).await {
            Ok(body) => body,
            Err(error @ ArchiveError::Defect { reason, .. }) => {
                if reason == DefectReason::Denied {
                    found.denied = forbidden::to_read_at(archive.location());
                }
                found.unread.push(format!("{}: {error}", shown(&object.key)));
                continue;
            }
            Err(error) => return Err(forbidden::by_archive(archive.location(), error)),
        };
        let asked = input.decoding.framing;
        match blocking(move || read(body, asked)).await? {
            Ok(Seen { framing, decoded, data }) => {
                framings.extend(framing.map(|framing| framing.to_string()));
                *found.decodings.entry(decoded.told()).or_default() += 1;
                sampled.take(object, &decoded, &data);
            }
            Err(error) => found.unread.push(format!("{}: {error}", shown(&object.key))),
        }
    }
    // One that all of the sample agrees about.
    if framings.len() > 1 {
        found.framings = framings.into_iter().collect();
    } else {
        found.framing = framings.pop_first().filter(|framing| *framing != FramingChoice::Auto.to_string());
    }
    if let Some((records, error)) = whole::records(&sampled.looks, &manifest.objects) {
        (found.records_estimated, found.records_error) = (Some(records), error);
    }
    sampled.tell(found);
    Ok(())
}

/// Objects from the first to the last, evenly far from each other.
fn spread<'a>(objects: &[&'a ObjectEntry]) -> Vec<&'a ObjectEntry> {
    let bytes: u64 = objects.iter().map(|object| object.size.0).sum();
    let mean = (bytes / objects.len().max(1) as u64).max(1);
    let affordable = usize::try_from(SAMPLES_BYTES / mean).unwrap_or(usize::MAX);
    let count = affordable.clamp(SAMPLES_MIN, SAMPLES_MAX).min(objects.len());
    let last = objects.len().saturating_sub(1);
    let place = |number: usize| number * last / count.saturating_sub(1).max(1);
    (0..count).filter_map(|number| objects.get(place(number)).copied()).collect()
}

/// Reads an object as it was asked for; if it shows no framing, as whichever fits.
fn read(body: ObjectBody, asked: FramingChoice) -> Result<Seen, DecodeError> {
    let encoding = body.content_encoding.clone();
    let mut stored = Vec::new();
    let mut reader = body.reader().map_err(DecodeError::Input)?;
    io_read(&mut reader, &mut stored)?;
    let try_as = |framing| {
        let config =
            DecodeConfig { framing, output_bytes_max: 4 * SAMPLE_BYTES_MAX, ..DecodeConfig::default() };
        let mut data = Vec::new();
        let decoded = decode(&mut stored.as_slice(), encoding.as_deref(), &config, &mut data)?;
        Ok((decoded, data))
    };
    let first: Result<_, DecodeError> = try_as(asked);
    if asked != FramingChoice::Auto {
        return first.map(|(decoded, data)| Seen { framing: None, decoded, data });
    }
    // An object that is one value may be a record, or hold them; and payloads of logs hold them.
    let alone = first.as_ref().is_ok_and(|(decoded, _)| decoded.spans.len() == 1);
    let none = first.is_err();
    let data = first.as_ref().map_or(&[][..], |(_, data)| data);
    let logs = memchr::memmem::find(data, b"\"logEvents\"").is_some();
    let fits = |(word, _): &(&str, &str)| match *word {
        "cloudwatch-logs" => none || logs,
        "json-array" => none || alone,
        _ => none,
    };
    let mut sure = true;
    for (word, why) in FRAMINGS.into_iter().filter(fits) {
        let Ok(framing) = word.parse::<FramingChoice>() else { continue };
        let Ok((decoded, data)) = try_as(framing) else { continue };
        if decoded.spans.len() > 1 && is_likely(word, &decoded, &data) {
            return Ok(Seen { framing: Some(framing), decoded: Decoded { why, ..decoded }, data });
        }
        sure &= decoded.spans.len() > 1;
    }
    let framing = sure.then_some(FramingChoice::Auto);
    first.map(|(decoded, data)| Seen { framing, decoded, data })
}

/// Whether a framing that bytes fit into is more than an accident: of junk some always fit. The strict ones check what
/// they read; lines are text; and what lies behind lengths is alike, as text or by how it begins, and seldom nothing.
fn is_likely(word: &str, decoded: &Decoded, data: &[u8]) -> bool {
    let cut = |span: Span| {
        let start = usize::try_from(span.offset).ok()?;
        data.get(start..start.checked_add(span.len as usize)?)
    };
    let records: Vec<&[u8]> = decoded.spans.iter().take(SAMPLE_RECORDS).filter_map(cut).collect();
    let most =
        |holds: &dyn Fn(&&&[u8]) -> bool| records.iter().filter(holds).count() * 10 >= records.len() * 9;
    let text = || most(&|record| is_text(record));
    let begins = || records.iter().find_map(|record| record.get(..2));
    match word {
        "newline" => text(),
        "u32be" | "u32le" | "varint" => {
            let filled = most(&|record| !record.is_empty());
            filled && (text() || begins().is_some_and(|begins| most(&|record| record.starts_with(begins))))
        }
        _ => true,
    }
}

/// Whether so few of the bytes are control characters that a person may have written it, in whatever alphabet.
fn is_text(record: &[u8]) -> bool {
    let odd = record.iter().filter(|byte| byte.is_ascii_control() && !b"\t\r\n".contains(byte)).count();
    odd * 100 <= record.len()
}

fn io_read(reader: &mut dyn std::io::Read, into: &mut Vec<u8>) -> Result<(), DecodeError> {
    reader.read_to_end(into).map(drop).map_err(DecodeError::Input)
}

impl Sampled {
    fn take(&mut self, object: &ObjectEntry, decoded: &Decoded, data: &[u8]) {
        let (stored, records) = (object.size.0, decoded.spans.len());
        self.looks.push(Look { compressed: looks_compressed(object), stored, records });
        self.records += u64::from(decoded.spans.len());
        let cut = |span: Span| {
            let start = usize::try_from(span.offset).ok()?;
            data.get(start..start.checked_add(span.len as usize)?)
        };
        self.bytes += decoded.spans.iter().map(|span| u64::from(span.len)).sum::<u64>();
        for record in decoded.spans.iter().take(SAMPLE_RECORDS).filter_map(cut) {
            if self.first.is_none() {
                self.first = Some(record.to_vec());
            }
            self.fields.see(record);
        }
    }

    fn tell(self, found: &mut Inspection) {
        if let Some(mean) = self.bytes.checked_div(self.records) {
            found.record_bytes = Some(mean);
        }
        found.sample_record = self.first.map(|record| {
            let beginning: String = String::from_utf8_lossy(&record).chars().take(RECORD_CHARS_MAX).collect();
            shown(&beginning).to_string()
        });
        for field in self.fields.ranked() {
            let times = field.span.map(|(first, last)| [first.to_string(), last.to_string()]);
            let pointer = field.pointer.to_string();
            found.time_fields.extend(times.map(|span| TimeField { pointer, span }));
        }
        found.partition_keys = key_fields(&self.fields);
        found.fields_records = self.fields.records();
        let all_objects = found.objects == self.looks.len() as u64;
        found.fields_whole = all_objects && self.fields.records() == self.records;
    }
}
