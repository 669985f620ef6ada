//! What an object's key says: when its records arrived, and whether it holds records at all.
//!
//! Firehose names an object `<prefix>yyyy/MM/dd/HH/<stream>-<version>-yyyy-MM-dd-HH-mm-ss-<uuid>`, in
//! UTC. The static prefix is joined without a slash (`legacy2026/07/…`). The directories tell the hour in
//! which the oldest record arrived, and the name refines it; what instant the name means is not
//! documented, so where both disagree the directories win. Archives of other tools often have the same
//! directories, down to the day or the month only, or only the name's suffix: these are read as well,
//! for what they are worth ([`NamedTime::span`]).
//!
//! Nothing is guessed about an archive as a whole: each key is judged for itself, so a mixed archive
//! loses nothing.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

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
}

/// A directory `…yyyy/`, `…yyyy/MM/`, `…yyyy/MM/dd/` or `…yyyy/MM/dd/HH/`, and the time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CalendarDir {
    pub(super) level: CalendarLevel,
    pub(super) time: NamedTime,
}

/// Years that a directory can mean. Others are numbers of something else.
const YEARS: std::ops::RangeInclusive<i16> = 1990..=2199;

/// Reads the end of a directory's key, its `/` at the end included.
pub(super) fn calendar_dir(dir: &str) -> Option<CalendarDir> {
    let mut below = Vec::with_capacity(3);
    for part in dir.strip_suffix('/')?.rsplit('/').take(4) {
        if let Some(number) = two_digits(part) {
            below.push(number);
            continue;
        }
        below.reverse();
        return calendar_time(year_at_end(part)?, &below);
    }
    None
}

fn calendar_time(year: i16, below: &[i8]) -> Option<CalendarDir> {
    let (level, month, day, hour) = match *below {
        [] => (CalendarLevel::Year, 1, 1, 0),
        [month] => (CalendarLevel::Month, month, 1, 0),
        [month, day] => (CalendarLevel::Day, month, day, 0),
        [month, day, hour] => (CalendarLevel::Hour, month, day, hour),
        _ => return None,
    };
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(0..=23).contains(&hour) {
        return None;
    }
    let start = jiff::civil::Date::new(year, month, day).ok()?.at(hour, 0, 0, 0);
    let end = start
        .checked_add(match level {
            CalendarLevel::Year => 1.year(),
            CalendarLevel::Month => 1.month(),
            CalendarLevel::Day => 1.day(),
            CalendarLevel::Hour => 1.hour(),
        })
        .ok()?;
    let start = TimeZone::UTC.to_timestamp(start).ok()?;
    let span = TimeZone::UTC.to_timestamp(end).ok()?.duration_since(start);
    Some(CalendarDir { level, time: NamedTime { start, span } })
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

/// The time in a key, by its directories and by the end of its name.
#[must_use]
pub fn key_time(key: &str) -> Option<NamedTime> {
    let name_start = key.rfind('/').map_or(0, |slash| slash + 1);
    let by_name = key.get(name_start..).and_then(name_time);
    let Some(by_dir) = deepest_calendar_dir(key.get(..name_start)?) else {
        return by_name.map(NamedTime::exact);
    };
    match by_name {
        Some(time) if by_dir.start <= time && time < by_dir.end() => Some(NamedTime::exact(time)),
        _ => Some(by_dir),
    }
}

/// The end of the first chain `yyyy/MM/…` of calendar directories in `dirs`. The first, because a walk
/// that leaves out what lies outside a window meets it first. A year alone says too little: many numbers
/// look like one.
fn deepest_calendar_dir(dirs: &str) -> Option<NamedTime> {
    let mut chain: Option<CalendarDir> = None;
    for (slash, _) in dirs.match_indices('/') {
        let found = calendar_dir(dirs.get(..=slash)?).filter(|dir| dir.level > CalendarLevel::Year);
        match (chain, found) {
            (None, _) => chain = found,
            (Some(before), Some(found)) if found.level > before.level => chain = Some(found),
            (Some(_), _) => break,
        }
    }
    chain.map(|dir| dir.time)
}

/// Reads `…-<version>-yyyy-MM-dd-HH-mm-ss-<uuid>`, the last such place in the name. What follows the
/// seconds is not looked at beyond its first character: writers other than Firehose have no UUID there.
fn name_time(name: &str) -> Option<Timestamp> {
    name.rmatch_indices('-').find_map(|(dash, _)| {
        let version = name.get(..dash)?.rsplit('-').next()?;
        if version.is_empty() || !version.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        second_stamp(name.get(dash + 1..)?)
    })
}

fn second_stamp(text: &str) -> Option<Timestamp> {
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
    let time = jiff::civil::DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    TimeZone::UTC.to_timestamp(time).ok()
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
/// writer's `_SUCCESS`, Redshift's manifests, or what Firehose or a channel could not process. A user who names such a
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
mod tests {
    use super::*;

    const UUID: &str = "0f5e3b1c-7a44-4c0e-9d2f-2b1a6c9d8e7f";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_tells_its_time_as_exactly_as_it_can() {
        for (key, start, seconds) in [
            ("2026/07/01/05/orders-1-2026-07-01-05-12-34-UUID.gz", "2026-07-01T05:12:34Z", 0),
            ("legacy2026/07/01/05/orders-1-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
            ("v12026/07/01/05/a-b-10-2026-07-01-05-59-59-UUID.x.log", "2026-07-01T05:59:59Z", 0),
            ("a/2026/07/01/05/region=eu/orders-1-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
            // The directories win where the name disagrees or tells nothing.
            ("2026/07/01/05/orders-1-2026-07-01-06-00-01-UUID.gz", "2026-07-01T05:00:00Z", 3_600),
            ("2026/07/01/05/part-0001.gz", "2026-07-01T05:00:00Z", 3_600),
            ("2026/07/01/part-0001.gz", "2026-07-01T00:00:00Z", 86_400),
            ("2026/02/part-0001.gz", "2026-02-01T00:00:00Z", 28 * 86_400),
            ("2020/01/01/00/2026/07/01/05/x", "2020-01-01T00:00:00Z", 3_600),
            ("2026/07/01/05/2020/01/x", "2026-07-01T05:00:00Z", 3_600),
            // The name alone.
            ("orders-1-2026-07-01-05-12-34-UUID.gz", "2026-07-01T05:12:34Z", 0),
            ("year=2026/month=07/orders-1-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
            ("2026/orders-3-2026-07-01-05-12-34.gz", "2026-07-01T05:12:34Z", 0),
            ("1-1-2020-01-01-00-00-00-x-2-2026-07-01-05-12-34-UUID", "2026-07-01T05:12:34Z", 0),
        ] {
            let key = key.replace("UUID", UUID);
            let expected = NamedTime { start: at(start), span: SignedDuration::from_secs(seconds) };
            assert_eq!(key_time(&key), Some(expected), "{key}");
        }
    }

    #[test]
    fn a_key_without_a_time_tells_none() {
        for key in [
            "",
            "/",
            "2026/x",
            "part-0001.gz",
            "2026/13/01/05x",
            "1234/07/01/05/x",
            "orders-2026-07-01-05-12-34-u",
            "orders-1-2026-02-30-05-12-34-u",
            "orders-1-2026-07-01-25-12-34-u",
            "orders-1-2026-07-01-05-12-345",
            "a-1-2026-07-01-05-12-é",
            "é2026",
            "٢٠٢٦/07/01/05/x",
        ] {
            assert_eq!(key_time(key), None, "{key}");
        }
        // A day that does not exist is no day, but its month is one.
        assert_eq!(key_time("2026/02/30/05/x").unwrap().start, at("2026-02-01T00:00:00Z"));
    }

    #[test]
    fn directories_are_placed_in_the_calendar() {
        use CalendarLevel::{Day, Hour, Month, Year};
        for (dir, level, start, hours) in [
            ("2026/", Year, "2026-01-01T00:00:00Z", 365 * 24),
            ("a/legacy2026/", Year, "2026-01-01T00:00:00Z", 365 * 24),
            ("2024/02/", Month, "2024-02-01T00:00:00Z", 29 * 24),
            ("x/2026/12/31/", Day, "2026-12-31T00:00:00Z", 24),
            ("x/2026/12/31/23/", Hour, "2026-12-31T23:00:00Z", 1),
        ] {
            let time = NamedTime { start: at(start), span: SignedDuration::from_hours(hours) };
            assert_eq!(calendar_dir(dir), Some(CalendarDir { level, time }), "{dir}");
        }
        for dir in [
            "",
            "/",
            "07/",
            "2026",
            "2026/13/",
            "2026/00/",
            "2026/02/30/",
            "2026/07/01/24/",
            "2026/1/",
            "9999/",
        ] {
            assert_eq!(calendar_dir(dir), None, "{dir}");
        }
        assert_eq!(calendar_dir("2026/07/01/05/59/"), None);
    }

    #[test]
    fn what_holds_no_events_is_known_by_its_name_below_the_prefix() {
        for (below, size) in [
            ("", 0),
            ("2026/", 0),
            ("a/_SUCCESS", 0),
            ("_SUCCESS", 9),
            ("2026_$folder$", 0),
            ("processing-failed/2026/07/01/05/x", 9),
            ("a/format-conversion-failed/x", 9),
            ("manifests/x", 9),
            ("kinesis-channel/errors/x", 9),
        ] {
            assert!(holds_no_events(below, size), "{below}");
        }
        for (below, size) in [
            ("2026/", 9),
            ("a", 0),
            ("errors/2026/x", 9),
            ("payment-failed/x", 9),
            ("manifests", 9),
            ("a/../b", 9),
            (".hidden", 9),
        ] {
            assert!(!holds_no_events(below, size), "{below}");
        }
    }

    #[test]
    fn an_encoded_key_is_decoded_once() {
        for (text, key) in [("a%2Bb%2520.gz", "a+b%20.gz"), ("a+b/%C3%A9%0A", "a b/é\n"), ("", "")] {
            assert_eq!(decode_key(text).as_deref(), Some(key));
        }
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(decode_key(bad), None, "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,60}", stamp in "[0-9/é-]{0,40}") {
            for text in [&text, &stamp, &format!("2026/07/01/05/{stamp}"), &format!("a-1-{stamp}/")] {
                let _ = (key_time(text), calendar_dir(text), decode_key(text), holds_no_events(text, 0));
                let _ = text.parse::<crate::archive::TimeBound>();
            }
        }
    }
}
