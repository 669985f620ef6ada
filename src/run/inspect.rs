//! `respool inspect`: what an archive turns out to be, and the flags that would select it.
//!
//! Everything is listed, a few objects are read, nothing is written. Layouts and framings that nobody asked for are
//! tried here, and only here: a replay takes what it was told.

mod flags;
mod sample;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::key_fields::{KeyField, table};
use super::replay::check_not_empty;
use super::report::number;
use super::select::select;
use super::{at_hand, open};
use crate::archive::layout::{Layout, LayoutRule};
use crate::archive::manifest::Manifest;
use crate::config::{ArchiveAddress, AwsAccess, InspectConfig, quoted};
use crate::error::Error;
use crate::record::{ByteCount, many};

/// Gaps that are named.
const GAPS_SHOWN: usize = 5;
/// Without an object for so long an archive has a gap, if it has one every few minutes otherwise.
const GAP_MIN: SignedDuration = SignedDuration::from_hours(1);
/// A layout counts if it tells the time of so many keys, in percent.
const LAYOUT_PERCENT_MIN: usize = 90;
/// Layouts that are tried, the usual ones first.
const LAYOUTS: [&str; 9] = [
    "auto",
    "dt={yyyy-MM-dd}/hr={HH}",
    "dt={yyyy-MM-dd}/hour={HH}",
    "date={yyyy-MM-dd}/hour={HH}",
    "year={yyyy}/month={MM}/day={dd}/hour={HH}",
    "{yyyy-MM-dd}/{HH}",
    "{yyyy}{MM}{dd}/{HH}",
    "*{yyyy-MM-dd}*",
    "*{yyyy}{MM}{dd}*",
];

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inspection {
    /// The archive, as the user named it.
    pub archive: String,
    /// Objects with events.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes_stored: u64,
    /// Those of them that are empty: there is nothing in them to replay.
    pub objects_empty: u64,
    /// Objects that hold no events by their name.
    pub skipped: u64,
    /// By storage class, other than the standard one, how many.
    pub storage_classes: BTreeMap<String, u64>,
    /// How keys tell the time, as `--layout` takes it; `null` if they do not.
    pub layout: Option<String>,
    /// The first time in a key.
    pub from: Option<String>,
    /// The last one.
    pub until: Option<String>,
    /// Times without objects, the longest first.
    pub gaps: Vec<Gap>,
    /// How many sampled objects had each compression and framing.
    pub decodings: BTreeMap<String, u64>,
    /// What could not be read of the sample, and why.
    pub unread: Vec<String>,
    /// What allows to read them, where that was denied.
    #[serde(skip)]
    pub denied: Option<String>,
    /// The framing to ask for, where it cannot be told by itself.
    pub framing: Option<String>,
    /// The framings that the sampled objects have, if no one of them reads all.
    pub framings: Vec<String>,
    /// Mean bytes of a record.
    pub record_bytes: Option<u64>,
    /// Records, estimated from the sample.
    pub records_estimated: Option<u64>,
    /// How far that may be off, as a part of it: two standard errors. `null` where the sample is too small to tell.
    pub records_error: Option<f64>,
    /// The first record, cut.
    pub sample_record: Option<String>,
    /// Fields that could be the partition key, the likeliest first.
    pub partition_keys: Vec<KeyField>,
    /// Records whose fields were looked at.
    pub fields_records: u64,
    /// Whether they are all there are.
    pub fields_whole: bool,
    /// Fields that hold a time, as `--event-time` takes them.
    pub time_fields: Vec<TimeField>,
    /// The flags that select the same objects and read them so, by the doors that were used.
    pub flags: Vec<String>,
}

/// A time without objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The last object before it.
    pub from: String,
    /// The first behind it.
    pub until: String,
    /// How long.
    pub seconds: i64,
}

/// A field that holds a time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TimeField {
    /// A JSON pointer.
    pub pointer: String,
    /// The earliest and the latest in the sample.
    pub span: [String; 2],
}

/// Looks at an archive.
pub async fn inspect(config: &InspectConfig) -> Result<Inspection, Error> {
    let mut tuning = at_hand::settled(&config.tuning, &config.archive, None).await?;
    let archive = open::archive_at(&config.archive, &tuning).await?;
    let mut input = config.input.clone();
    let list =
        async |input| select(&archive, input, None, &config.tuning.cache.dir, config.output.quiet).await;
    let mut manifest = list(&input).await?;
    check_not_empty(&config.archive, &manifest)?;
    let mut found = Inspection { archive: config.archive.to_string(), ..Inspection::default() };
    find_times(&mut found, &manifest, &input.selection.layout);
    if let Some(layout) = found.layout.as_deref().and_then(|layout| layout.parse().ok()) {
        // Whether an object lies in a window depends on how its key is read.
        if layout != input.selection.layout.rule && !flags::window_is_open(&input) {
            let mut by_layout = input.clone();
            by_layout.selection.layout.rule = layout;
            let listed = list(&by_layout).await?;
            if !listed.objects.is_empty() {
                (input, manifest) = (by_layout, listed);
                find_times(&mut found, &manifest, &input.selection.layout);
            }
        }
    }
    found.objects = manifest.objects.len() as u64;
    found.bytes_stored = manifest.bytes().0;
    found.objects_empty = manifest.objects.iter().filter(|object| object.size.0 == 0).count() as u64;
    found.skipped = manifest.skipped;
    for class in manifest.objects.iter().filter_map(|object| object.storage_class.as_deref()) {
        *found.storage_classes.entry(class.to_owned()).or_default() += 1;
    }
    sample::sample(&mut found, &archive, &manifest, &input).await?;
    if matches!(config.archive, ArchiveAddress::Directory { .. }) {
        // S3 is not asked for it, whatever the environment says of S3.
        tuning.s3 = AwsAccess::default();
    }
    found.flags = flags::flags(&found, &manifest, &input, &tuning);
    Ok(found)
}

/// The layout that tells most, and what it tells.
fn find_times(found: &mut Inspection, manifest: &Manifest, given: &Layout) {
    let rules = match &given.rule {
        LayoutRule::Auto => LAYOUTS.iter().filter_map(|layout| layout.parse().ok()).collect(),
        rule => vec![rule.clone()],
    };
    for layout in rules.into_iter().map(|rule| Layout { rule, zone: given.zone.clone() }) {
        let times = manifest.objects.iter().filter_map(|object| layout.key_time(&object.key));
        let mut times: Vec<Timestamp> = times.map(|time| time.start).collect();
        if times.is_empty() || times.len() * 100 < manifest.objects.len() * LAYOUT_PERCENT_MIN {
            continue;
        }
        times.sort_unstable();
        found.layout = Some(layout.rule.to_string());
        found.from = times.first().map(ToString::to_string);
        found.until = times.last().map(ToString::to_string);
        found.gaps = gaps(&times);
        return;
    }
}

/// Longer than an hour and than ten times the usual distance of two objects; `times` ascend.
pub(crate) fn gaps(times: &[Timestamp]) -> Vec<Gap> {
    let steps = || times.windows(2).filter_map(|pair| pair.first().zip(pair.last()));
    let mut lengths: Vec<_> = steps().map(|(from, until)| until.duration_since(*from)).collect();
    lengths.sort_unstable();
    let usual = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
    let least = GAP_MIN.max(usual * 10);
    let mut gaps: Vec<Gap> = steps()
        .map(|(from, until)| (from, until, until.duration_since(*from)))
        .filter(|(_, _, length)| *length > least)
        .map(|(from, until, length)| Gap {
            from: from.to_string(),
            until: until.to_string(),
            seconds: length.as_secs(),
        })
        .collect();
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.seconds));
    gaps
}

impl Inspection {
    /// One JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Whether a replay sends the lines and sets the arrays aside for want of a key, so that a retry can take them apart.
    fn arrays_are_retried(&self) -> bool {
        let mixed = self.framings.iter().map(String::as_str).eq(["auto", "json-array"]);
        mixed && !self.partition_keys.is_empty()
    }

    /// For a person.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: &str| {
            let _ = writeln!(text, "  {name:<12} {value}");
        };
        row("archive", &self.archive);
        let skipped = match self.skipped {
            0 => String::new(),
            count => format!("; {} hold no events by their name", number(count)),
        };
        let empty = match self.objects_empty {
            0 => String::new(),
            count => format!("; {} of them empty", number(count)),
        };
        row(
            "objects",
            &format!("{} ({} stored){empty}{skipped}", number(self.objects), ByteCount(self.bytes_stored)),
        );
        for (class, count) in &self.storage_classes {
            row("class", &format!("{} in {class}", number(*count)));
        }
        row("layout", self.layout.as_deref().unwrap_or("keys tell no time that is known here"));
        if let (Some(from), Some(until)) = (&self.from, &self.until) {
            row("time", &format!("{from} to {until}, by the keys"));
        }
        for gap in self.gaps.iter().take(GAPS_SHOWN) {
            #[expect(clippy::cast_precision_loss, reason = "a length for people")]
            let length = super::report::duration(gap.seconds as f64);
            row("gap", &format!("{length} from {} to {}", gap.from, gap.until));
        }
        if let Some(more) = self.gaps.len().checked_sub(GAPS_SHOWN).filter(|more| *more > 0) {
            row("", &format!("and {}", many(more, "shorter one")));
        }
        for (decoding, count) in &self.decodings {
            row("format", &format!("{decoding}: {} of the sampled objects", number(*count)));
        }
        for unread in &self.unread {
            row("unread", unread);
        }
        if !self.framings.is_empty() {
            let framings = self.framings.join(" and ");
            let then = if self.arrays_are_retried() {
                "the replay sends the lines, and a retry the arrays that it sets aside"
            } else {
                "replay each kind with its own --include"
            };
            row("framing", &format!("{framings}: no one --framing reads all of it; {then}"));
        }
        if let (Some(bytes), Some(records)) = (self.record_bytes, self.records_estimated) {
            let error = match self.records_error {
                Some(0.0) => String::new(),
                Some(error) => format!(" (± {:.0} %)", (100.0 * error).ceil()),
                None => " (how far that is off cannot be told)".to_owned(),
            };
            let sampled: u64 = self.decodings.values().sum();
            let from = format!("from {} of {}", number(sampled), many(self.objects, "object"));
            row("records", &format!("about {}{error} of {} B, {from}", number(records), number(bytes)));
        }
        if let Some(record) = &self.sample_record {
            row("first", record);
        }
        for field in &self.time_fields {
            row("event time", &format!("{:<24} {} to {}", field.pointer, field.span[0], field.span[1]));
        }
        if !self.partition_keys.is_empty() {
            let _ = write!(text, "\n{}", table(&self.partition_keys, self.fields_records, self.fields_whole));
        }
        if let Some(allows) = &self.denied {
            let _ = writeln!(text, "\nSome of it may not be read; {allows}");
        }
        if self.decodings.is_empty() && self.unread.is_empty() && self.objects_empty == self.objects {
            text.push_str("\nThere is nothing to replay: all of it is empty.\n");
        } else if self.decodings.is_empty() && !self.unread.is_empty() && self.denied.is_none() {
            text.push_str("\nNothing of the sample could be read as it is: try --framing or --delimiter.\n");
        } else if !self.flags.is_empty() {
            let _ = writeln!(
                text,
                "\nTo replay it:\n  respool replay {} --into STREAM \\\n    {} \\\n    --no-plan",
                quoted(&self.archive),
                self.flags.join(" \\\n    ")
            );
            if self.arrays_are_retried() {
                text.push_str(
                    "Then the arrays, with the name of that run:\n  respool quarantine retry RUN --framing json-array\n",
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_much_longer_than_what_is_usual() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let times: Vec<_> = (0..60).chain(600..660).chain(700..710).map(at).collect();
        let lengths: Vec<_> = gaps(&times).iter().map(|gap| gap.seconds / 60).collect();
        assert_eq!(lengths, [541]);
        let daily: Vec<_> = (0..9).map(|day| at(day * 24 * 60)).collect();
        assert!(gaps(&daily).is_empty());
        assert!(gaps(&[]).is_empty());
    }
}
