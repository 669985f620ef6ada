//! What an object's key says: when its records arrived, and whether it holds records at all.
//!
//! Firehose names an object `<prefix>yyyy/MM/dd/HH/<stream>-<version>-yyyy-MM-dd-HH-mm-ss-<uuid>`, in
//! UTC or a zone of the user's. The static prefix is joined without a slash (`legacy2026/07/…`). The directories tell the hour in
//! which the oldest record arrived, and the name refines it; what instant the name means is not
//! documented, so where both disagree the directories win. Archives of other tools often have the same
//! directories, down to the day or the month only, or only the name's suffix: these are read as well,
//! for what they are worth ([`NamedTime::span`]).
//!
//! Where that is not how keys are written, the user says how ([`LayoutRule`]).
//!
//! Nothing is guessed about an archive as a whole: each key is judged for itself, so a mixed archive
//! loses nothing.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};

use super::template::Found;
pub use super::template::{Template, TemplateError};
use super::window::later;

/// The time in a name: `span` long, as exactly as the name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedTime {
    /// The earliest instant the name can mean.
    pub start: Timestamp,
    /// How long after it the name can also mean: zero for a name that tells the second.
    pub span: SignedDuration,
}

impl NamedTime {
    /// A name that tells the instant.
    #[must_use]
    pub fn exact(time: Timestamp) -> Self {
        Self { start: time, span: SignedDuration::ZERO }
    }

    /// The first instant that the name does not mean.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        later(self.start, self.span)
    }
}

/// How far down the calendar a directory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum CalendarLevel {
    Year,
    Month,
    Day,
    Hour,
    Minute,
}

/// A directory `…yyyy/`, `…yyyy/MM/`, `…yyyy/MM/dd/` or `…yyyy/MM/dd/HH/`, and the time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CalendarDir {
    pub(super) level: CalendarLevel,
    pub(super) time: NamedTime,
}

/// Years that a directory can mean. Others are numbers of something else.
const YEARS: std::ops::RangeInclusive<i16> = 1990..=2199;

/// How keys tell when their records arrived.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum LayoutRule {
    /// `yyyy/MM/dd/HH/` in the directories and Firehose's stamp in the name, each key judged for itself.
    #[default]
    Auto,
    /// Directories and names of the user's own.
    Template(Template),
    /// They do not: an object is judged by when it was written.
    Modified,
    /// They do not, and neither does when it was written: every object is selected.
    All,
}

impl FromStr for LayoutRule {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        Ok(match text {
            "auto" => Self::Auto,
            "modified" => Self::Modified,
            "all" => Self::All,
            template => Self::Template(template.parse()?),
        })
    }
}

impl fmt::Display for LayoutRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Modified => f.write_str("modified"),
            Self::All => f.write_str("all"),
            Self::Template(template) => template.fmt(f),
        }
    }
}

impl TryFrom<String> for LayoutRule {
    type Error = TemplateError;

    fn try_from(text: String) -> Result<Self, TemplateError> {
        text.parse()
    }
}

impl From<LayoutRule> for String {
    fn from(rule: LayoutRule) -> Self {
        rule.to_string()
    }
}

/// How keys tell time, and the zone that their directories and names are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// How.
    pub rule: LayoutRule,
    /// Firehose's `CustomTimeZone`; UTC by default.
    pub zone: TimeZone,
}

impl Default for Layout {
    fn default() -> Self {
        Self { rule: LayoutRule::Auto, zone: TimeZone::UTC }
    }
}

impl Layout {
    /// Reads the end of a directory's key, its `/` at the end included.
    pub(super) fn calendar_dir(&self, dir: &str) -> Option<CalendarDir> {
        let path = dir.strip_suffix('/')?;
        match &self.rule {
            LayoutRule::Auto => self.by_default(path),
            LayoutRule::Template(template) => {
                let last: Vec<&str> = path.rsplit('/').take(template.len()).collect();
                (1..=last.len()).rev().find_map(|count| {
                    let dirs: Vec<&str> = last.get(..count)?.iter().rev().copied().collect();
                    self.template_time(&template.find_dirs(&dirs)?)
                })
            }
            LayoutRule::Modified | LayoutRule::All => None,
        }
    }

    fn by_default(&self, path: &str) -> Option<CalendarDir> {
        let mut below = Vec::with_capacity(3);
        for part in path.rsplit('/').take(4) {
            if let Some(number) = two_digits(part) {
                below.push(i16::from(number));
                continue;
            }
            below.push(year_at_end(part)?);
            below.reverse();
            return self.calendar_time(&below);
        }
        None
    }

    fn template_time(&self, found: &Found) -> Option<CalendarDir> {
        match found.instant() {
            Some(time) => {
                let year = time.to_zoned(TimeZone::UTC).year();
                let dir = CalendarDir { level: CalendarLevel::Minute, time: NamedTime::exact(time) };
                YEARS.contains(&year).then_some(dir)
            }
            None => self.calendar_time(&found.known()),
        }
    }

    /// The time that `fields` stand for, from the year on.
    fn calendar_time(&self, fields: &[i16]) -> Option<CalendarDir> {
        let field = |at: usize, missing: i16| {
            let value = fields.get(at).copied().unwrap_or(missing);
            i8::try_from(value).ok()
        };
        let level = match fields.len() {
            0 => return None,
            1 => CalendarLevel::Year,
            2 => CalendarLevel::Month,
            3 => CalendarLevel::Day,
            4 => CalendarLevel::Hour,
            _ => CalendarLevel::Minute,
        };
        let year = fields.first().copied().filter(|year| YEARS.contains(year))?;
        let date = jiff::civil::Date::new(year, field(1, 1)?, field(2, 1)?).ok()?;
        let time = jiff::civil::Time::new(field(3, 0)?, field(4, 0)?, field(5, 0)?, 0).ok()?;
        let start = date.to_datetime(time);
        let end = match fields.len() {
            1 => start.checked_add(1.year()),
            2 => start.checked_add(1.month()),
            3 => start.checked_add(1.day()),
            4 => start.checked_add(1.hour()),
            5 => start.checked_add(1.minute()),
            // A second tells the instant.
            _ => Ok(start),
        };
        Some(CalendarDir { level, time: self.between(start, end.ok()?)? })
    }

    /// From the first instant that `start` can mean to the last that `end` can: where clocks are put back, an hour
    /// comes twice.
    fn between(&self, start: DateTime, end: DateTime) -> Option<NamedTime> {
        let first = self.zone.to_ambiguous_timestamp(start).earlier().ok()?;
        let last = self.zone.to_ambiguous_timestamp(end).later().ok()?;
        Some(NamedTime { start: first, span: last.duration_since(first) })
    }

    /// The time in a key, by its directories and by the end of its name.
    #[must_use]
    pub fn key_time(&self, key: &str) -> Option<NamedTime> {
        if matches!(self.rule, LayoutRule::Modified | LayoutRule::All) {
            return None;
        }
        let name_start = key.rfind('/').map_or(0, |slash| slash + 1);
        let (dirs, name) = key.split_at_checked(name_start)?;
        let by_name = self.template_name_time(dirs, name).or_else(|| self.name_time(name));
        let Some(by_dir) = self.deepest_calendar_dir(dirs) else { return by_name };
        let inside = |time: &NamedTime| by_dir.start <= time.start && time.start < by_dir.end();
        Some(by_name.filter(inside).unwrap_or(by_dir))
    }

    /// The end of the first chain `yyyy/MM/…` of calendar directories in `dirs`. The first, because a walk
    /// that leaves out what lies outside a window meets it first. A year alone says too little: many numbers
    /// look like one.
    fn deepest_calendar_dir(&self, dirs: &str) -> Option<NamedTime> {
        let mut chain: Option<CalendarDir> = None;
        for (slash, _) in dirs.match_indices('/') {
            let found = self.calendar_dir(dirs.get(..=slash)?).filter(|dir| dir.level > CalendarLevel::Year);
            match (chain, found) {
                (None, _) => chain = found,
                (Some(before), Some(found)) if found.level > before.level => chain = Some(found),
                (Some(_), _) => break,
            }
        }
        chain.map(|dir| dir.time)
    }

    /// The last part of a template may be a file's name.
    fn template_name_time(&self, dirs: &str, name: &str) -> Option<NamedTime> {
        let LayoutRule::Template(template) = &self.rule else { return None };
        let last: Vec<&str> = dirs.trim_end_matches('/').rsplit('/').take(template.len()).collect();
        (0..template.len()).rev().find_map(|count| {
            let dirs: Vec<&str> = last.get(..count)?.iter().rev().copied().collect();
            let found = template.find_name(template.find_dirs(&dirs)?, count, name)?;
            Some(self.template_time(&found)?.time)
        })
    }

    /// Reads `…-<version>-yyyy-MM-dd-HH-mm-ss-<uuid>`, the last such place in the name. What follows the
    /// seconds is not looked at beyond its first character: writers other than Firehose have no UUID there.
    fn name_time(&self, name: &str) -> Option<NamedTime> {
        name.rmatch_indices('-').find_map(|(dash, _)| {
            let version = name.get(..dash)?.rsplit('-').next()?;
            if version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let stamp = second_stamp(name.get(dash + 1..)?)?;
            self.between(stamp, stamp)
        })
    }
}

fn two_digits(part: &str) -> Option<i8> {
    (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok()).flatten()
}

/// The last four characters of `part`, if they are a year: `2026`, or `legacy2026` as Firehose joins them.
fn year_at_end(part: &str) -> Option<i16> {
    let digits = part.get(part.len().checked_sub(4)?..)?;
    let year = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    YEARS.contains(&year).then_some(year)
}

fn second_stamp(text: &str) -> Option<DateTime> {
    const SHAPE: &[u8] = b"dddd-dd-dd-dd-dd-dd";
    let stamp = text.get(..SHAPE.len())?;
    let fits = |(b, shape): (u8, &u8)| if *shape == b'd' { b.is_ascii_digit() } else { b == *shape };
    let follows = text.as_bytes().get(SHAPE.len());
    if !stamp.bytes().zip(SHAPE).all(fits) || !follows.is_none_or(|b| matches!(b, b'-' | b'.')) {
        return None;
    }
    let year: i16 = stamp.get(..4)?.parse().ok()?;
    let mut rest = stamp.split('-').skip(1).filter_map(two_digits);
    let (month, day, hour, minute, second) =
        (rest.next()?, rest.next()?, rest.next()?, rest.next()?, rest.next()?);
    let time = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    Some(time)
}

/// Directories that hold what could not be delivered, not events: Firehose's error outputs.
/// Source: Firehose developer guide, custom prefixes, read 2026-11-22.
const ERROR_DIRS: [&str; 7] = [
    "processing-failed",
    "format-conversion-failed",
    "http-endpoint-failed",
    "splunk-failed",
    "elasticsearch-failed",
    "AmazonOpenSearchService-failed",
    "opensearch-failed",
];

/// Whether an object holds no events, by its name below what the user asked for: a folder's marker, a
/// writer's `_SUCCESS`, Redshift's manifests (in `errors/` too), or what Firehose or a channel could not process. A user who names such a
/// directory himself gets what lies in it, because only `below` is looked at.
#[must_use]
pub fn holds_no_events(below: &str, size: u64) -> bool {
    let mut dirs = below.split('/');
    let name = dirs.next_back().unwrap_or_default();
    let marker = size == 0 && (name.is_empty() || name.ends_with("_$folder$"));
    let channel_errors =
        below.starts_with("kinesis-channel/errors/") || below.contains("/kinesis-channel/errors/");
    let error_dir = dirs.any(|dir| dir == "manifests" || ERROR_DIRS.contains(&dir));
    marker || name == "_SUCCESS" || channel_errors || error_dir
}

/// Whether an object is what Firehose or a channel could not deliver, by its key.
pub(super) fn is_error_output(key: &str) -> bool {
    key.contains("kinesis-channel/errors/") || key.rsplit('/').skip(1).any(|dir| ERROR_DIRS.contains(&dir))
}

/// Undoes S3's `encoding-type=url`: percent signs, and plus for a space. `None` if that is not what it is.
pub(super) fn decode_key(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut key = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        key.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(key).ok()
}

#[cfg(test)]
mod tests;
