//! When a record's event happened, by a field of the record.
//!
//! Objects are selected by when their records arrived, and only as exactly as a name tells. A field of the record
//! itself tells each record's time: those outside of the window are left out and counted, those that have no time
//! are set aside with the reason, never guessed into the window or out of it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sonic_rs::{JsonType, JsonValueTrait, LazyValue};

use super::pointer::JsonPointer;

/// How a field writes a time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeFormat {
    /// A string by RFC 3339; a number by its size: seconds below 10^11, milliseconds below 10^14, microseconds
    /// below 10^17, else nanoseconds. So numbers are told apart from the year 1973 to 5138.
    #[default]
    Auto,
    /// A string by RFC 3339, as `2026-11-02T06:00:00Z`.
    Rfc3339,
    /// Since 1970, in units of which a second has so many.
    Epoch(EpochUnit),
    /// As strptime reads it; UTC unless the format has an offset.
    Strptime(String),
}

/// Units of time since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochUnit {
    /// 1
    Seconds,
    /// 1,000
    Millis,
    /// 1,000,000
    Micros,
    /// 1,000,000,000
    Nanos,
}

impl EpochUnit {
    const ALL: [(&'static str, Self); 4] =
        [("s", Self::Seconds), ("ms", Self::Millis), ("us", Self::Micros), ("ns", Self::Nanos)];

    fn nanos(self) -> i128 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Millis => 1_000_000,
            Self::Micros => 1_000,
            Self::Nanos => 1,
        }
    }
}

/// The text is no format of a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as auto, rfc3339, s, ms, us, ns, or a strptime format such as %Y-%m-%d %H:%M:%S")]
pub struct TimeFormatError;

impl FromStr for TimeFormat {
    type Err = TimeFormatError;

    fn from_str(text: &str) -> Result<Self, TimeFormatError> {
        if let Some((_, unit)) = EpochUnit::ALL.into_iter().find(|(word, _)| *word == text) {
            return Ok(Self::Epoch(unit));
        }
        match text {
            "auto" => Ok(Self::Auto),
            "rfc3339" => Ok(Self::Rfc3339),
            // A format that jiff cannot write a time with, it cannot read one with.
            _ if text.contains('%') => {
                let sample = BrokenDownTime::from(&Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC));
                sample.to_string(text).map_err(|_| TimeFormatError)?;
                Ok(Self::Strptime(text.to_owned()))
            }
            _ => Err(TimeFormatError),
        }
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Rfc3339 => "rfc3339",
            Self::Epoch(unit) => {
                EpochUnit::ALL.iter().find(|(_, other)| other == unit).map_or("", |(word, _)| word)
            }
            Self::Strptime(format) => format,
        })
    }
}

impl TryFrom<String> for TimeFormat {
    type Error = TimeFormatError;

    fn try_from(text: String) -> Result<Self, TimeFormatError> {
        text.parse()
    }
}

impl From<TimeFormat> for String {
    fn from(format: TimeFormat) -> Self {
        format.to_string()
    }
}

/// Which records a run is about: those whose event lies in `[from, until)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    /// Where the time stands.
    #[serde(with = "pointer_text")]
    pub pointer: JsonPointer,
    /// How it is written.
    pub format: TimeFormat,
    /// The first instant of the window.
    pub from: Option<Timestamp>,
    /// The first instant behind it.
    pub until: Option<Timestamp>,
}

mod pointer_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::JsonPointer;

    pub(super) fn serialize<S: Serializer>(pointer: &JsonPointer, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(pointer.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<JsonPointer, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The record has no time where one should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEventTime;

impl EventTime {
    /// Whether `record` is one that the run is about.
    ///
    /// # Errors
    /// [`NoEventTime`] if it cannot be told.
    pub fn selects(&self, record: &[u8]) -> Result<bool, NoEventTime> {
        let time = self.time(record).ok_or(NoEventTime)?;
        Ok(self.from.is_none_or(|from| from <= time) && self.until.is_none_or(|until| time < until))
    }

    /// The time of `record`.
    pub fn time(&self, record: &[u8]) -> Option<Timestamp> {
        let value = self.pointer.find(record).ok()?;
        let Cow::Borrowed(raw) = value.as_raw_cow() else { return None };
        match value.get_type() {
            JsonType::Number => self.format.of_number(raw),
            JsonType::String => self.format.of_text(&text_of(&value)?),
            _ => None,
        }
    }
}

fn text_of(value: &LazyValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

impl TimeFormat {
    fn of_number(&self, raw: &str) -> Option<Timestamp> {
        match self {
            Self::Auto => {
                let whole = raw.split(['.', 'e', 'E']).next()?.trim_start_matches('-');
                let unit = match whole.len() {
                    0..=11 => EpochUnit::Seconds,
                    12..=14 => EpochUnit::Millis,
                    15..=17 => EpochUnit::Micros,
                    _ => EpochUnit::Nanos,
                };
                epoch(raw, unit)
            }
            Self::Epoch(unit) => epoch(raw, *unit),
            Self::Strptime(format) => strptime(format, raw),
            Self::Rfc3339 => None,
        }
    }

    fn of_text(&self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Auto | Self::Rfc3339 => text.parse().ok(),
            Self::Epoch(unit) => epoch(text, *unit),
            Self::Strptime(format) => strptime(format, text),
        }
    }
}

/// A decimal number, exactly: what a float would round could cross the window's edge.
fn epoch(text: &str, unit: EpochUnit) -> Option<Timestamp> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let unit = unit.nanos();
    // What is finer than a nanosecond falls away.
    let fraction = fraction.bytes().fold((0, unit), |(sum, place), digit| {
        let place = place / 10;
        (sum + place * i128::from(digit - b'0'), place)
    });
    let nanos = whole.parse::<i128>().ok()?.checked_mul(unit)?.checked_add(fraction.0)?;
    Timestamp::from_nanosecond(sign * nanos).ok()
}

fn strptime(format: &str, text: &str) -> Option<Timestamp> {
    let time = BrokenDownTime::parse(format, text).ok()?;
    if time.offset().is_some() || time.timestamp().is_some() {
        return time.to_timestamp().ok();
    }
    let date = time.to_date().ok()?;
    let clock = time.to_time().unwrap_or_default();
    TimeZone::UTC.to_timestamp(date.to_datetime(clock)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(format: &str) -> EventTime {
        EventTime {
            pointer: "/a/ts".parse().unwrap(),
            format: format.parse().unwrap(),
            from: Some("2026-11-02T00:00:00Z".parse().unwrap()),
            until: Some("2026-11-03T00:00:00Z".parse().unwrap()),
        }
    }

    fn time(format: &str, value: &str) -> Option<String> {
        let record = format!("{{\"a\":{{\"ts\":{value}}}}}");
        rule(format).time(record.as_bytes()).map(|time| time.to_string())
    }

    #[test]
    fn a_number_at_the_end_of_all_numbers_is_no_time() {
        assert_eq!(time("s", "170141183460469231731687303715.9"), None);
        assert_eq!(time("ns", "170141183460469231731687303715884105727.9"), None);
    }

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let noon = "2026-11-02T12:00:00Z";
        for (format, value) in [
            ("auto", "\"2026-11-02T12:00:00Z\""),
            ("auto", "\"2026-11-02T13:00:00+01:00\""),
            ("rfc3339", "\"2026-11-02 12:00:00Z\""),
            ("auto", "1793620800"),
            ("auto", "1793620800000"),
            ("auto", "1793620800000000"),
            ("auto", "1793620800000000000"),
            ("s", "\"1793620800\""),
            ("s", "1793620800.000"),
            ("ms", "1793620800000"),
            ("us", "1793620800000000"),
            ("ns", "1793620800000000000"),
            ("%Y-%m-%d %H:%M:%S", "\"2026-11-02 12:00:00\""),
            ("%d/%b/%Y:%H:%M:%S %z", "\"02/Nov/2026:14:00:00 +0200\""),
            ("%Y%m%d%H%M%S", "20261102120000"),
            ("%s", "1793620800"),
        ] {
            assert_eq!(time(format, value).as_deref(), Some(noon), "{format} {value}");
        }
        assert_eq!(time("auto", "1793620800.5").as_deref(), Some("2026-11-02T12:00:00.5Z"));
        assert_eq!(time("%Y-%m-%d", "\"2026-11-02\"").as_deref(), Some("2026-11-02T00:00:00Z"));
        assert_eq!(time("s", "-1").as_deref(), Some("1969-12-31T23:59:59Z"));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for (format, value) in [
            ("auto", "null"),
            ("auto", "\"yesterday\""),
            ("auto", "\"2026-11-02\""),
            ("auto", "{}"),
            ("rfc3339", "1793620800"),
            ("s", "1e9"),
            ("s", "\"\""),
            ("ms", "99999999999999999999999"),
            ("%Y", "\"2026\""),
        ] {
            assert_eq!(time(format, value), None, "{format} {value}");
        }
        assert_eq!(rule("auto").selects(b"{}"), Err(NoEventTime));
        assert_eq!(rule("auto").selects(b"no json"), Err(NoEventTime));
    }

    #[test]
    fn the_window_holds_its_first_instant_and_not_its_last() {
        let selects =
            |time: &str| rule("auto").selects(format!("{{\"a\":{{\"ts\":\"{time}\"}}}}").as_bytes());
        assert_eq!(selects("2026-11-01T23:59:59.999999999Z"), Ok(false));
        assert_eq!(selects("2026-11-02T00:00:00Z"), Ok(true));
        assert_eq!(selects("2026-11-02T23:59:59.999999999Z"), Ok(true));
        assert_eq!(selects("2026-11-03T00:00:00Z"), Ok(false));
    }

    #[test]
    fn a_format_is_written_as_it_is_read() {
        for text in ["auto", "rfc3339", "s", "ms", "us", "ns", "%Y-%m-%d"] {
            assert_eq!(text.parse::<TimeFormat>().unwrap().to_string(), text);
        }
        for bad in ["", "iso", "%!", "seconds"] {
            assert!(bad.parse::<TimeFormat>().is_err(), "{bad}");
        }
    }
}
