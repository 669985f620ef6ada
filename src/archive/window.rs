//! Which objects a run replays: a half-open range of time, and what it means for an object.
//!
//! An object named after the time T holds records that arrived from T on, until the buffer of whoever
//! wrote it was full. So an object from before the window may hold records of the window: `slack` says
//! how long before. An object from the end of the window on cannot. A name that tells only the hour
//! or the day stands for all of it. An object without a time in its name is judged by when it was
//! written, which is after its records arrived, up to `slack` later.
//!
//! Whole objects are selected, never records: some records of the first objects are older than the
//! window, and the report counts these objects. Nothing here reads a clock: `now` is an argument.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::layout::NamedTime;
use crate::shown::in_quotes;

/// One end of a window, as a user writes it: an instant, or how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeBound {
    /// An instant.
    At(Timestamp),
    /// So long before now.
    Ago(SignedDuration),
}

/// The text is neither a time nor a distance from now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is no time: expected one like 2026-11-01, 2026-11-01T06:00 (UTC), 2026-11-01T06:00:00+01:00, \
     or 90m, 6h, 3d, 2w for so long ago",
    in_quotes(text)
)]
pub struct TimeBoundError {
    /// What was written.
    pub text: String,
}

impl TimeBound {
    /// The instant that is meant, if it is `now`. One before all calendars is the beginning of time.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(time) => time,
            Self::Ago(distance) => earlier(now, distance),
        }
    }
}

impl FromStr for TimeBound {
    type Err = TimeBoundError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_ago(text)
            .map(Self::Ago)
            .or_else(|| parse_instant(text).map(Self::At))
            .ok_or_else(|| TimeBoundError { text: text.to_owned() })
    }
}

fn parse_ago(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().last()?;
    let seconds: i64 = match unit {
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return None,
    };
    let digits = text.get(..text.len() - 1)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: i64 = digits.parse().ok()?;
    Some(SignedDuration::from_secs(count.checked_mul(seconds)?))
}

fn parse_instant(text: &str) -> Option<Timestamp> {
    // A zone's name in brackets would be passed over below, and the time taken as UTC. To read it would need
    // a database of zones, which not every machine has.
    if text.contains('[') {
        return None;
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    let local: DateTime = text.parse().ok()?;
    local.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// `time` less `distance`, or the first instant there is.
pub(super) fn earlier(time: Timestamp, distance: SignedDuration) -> Timestamp {
    time.checked_sub(distance).unwrap_or(Timestamp::MIN)
}

/// `time` plus `distance`, or the last instant there is.
pub(super) fn later(time: Timestamp, distance: SignedDuration) -> Timestamp {
    time.checked_add(distance).unwrap_or(Timestamp::MAX)
}

/// A half-open range of time, `[from, until)`, open where a bound is missing, and the slack before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "WindowFields", into = "WindowFields")]
pub struct ObjectWindow {
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    slack: SignedDuration,
}

/// A window as it stands in a manifest, not yet validated.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowFields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Timestamp>,
    slack: SignedDuration,
}

impl TryFrom<WindowFields> for ObjectWindow {
    type Error = WindowError;

    fn try_from(fields: WindowFields) -> Result<Self, Self::Error> {
        Self::new(fields.from, fields.until, fields.slack)
    }
}

impl From<ObjectWindow> for WindowFields {
    fn from(window: ObjectWindow) -> Self {
        Self { from: window.from, until: window.until, slack: window.slack }
    }
}

/// Why two bounds make no window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Both bounds are the same instant, and the second does not belong to the window.
    #[error("the window is empty: it begins and ends at {at}")]
    Empty {
        /// The instant.
        at: Timestamp,
    },
    /// The bounds are the wrong way round.
    #[error("the window is reversed: it begins at {from}, after its end at {until}")]
    Reversed {
        /// Where it would begin.
        from: Timestamp,
        /// Where it would end.
        until: Timestamp,
    },
    /// Slack reaches back in time; forward it would lose records.
    #[error("the slack cannot be negative: {slack:#}")]
    NegativeSlack {
        /// What was asked for.
        slack: SignedDuration,
    },
}

impl ObjectWindow {
    /// The whole archive.
    pub const ALL: Self = Self { from: None, until: None, slack: SignedDuration::ZERO };

    /// The window `[from, until)`, in which objects up to `slack` before `from` count.
    ///
    /// # Errors
    /// [`WindowError`] if nothing can lie inside, or for a negative slack.
    pub fn new(
        from: Option<Timestamp>,
        until: Option<Timestamp>,
        slack: SignedDuration,
    ) -> Result<Self, WindowError> {
        if slack.is_negative() {
            return Err(WindowError::NegativeSlack { slack });
        }
        match (from, until) {
            (Some(from), Some(until)) if from > until => Err(WindowError::Reversed { from, until }),
            (Some(from), Some(until)) if from == until => Err(WindowError::Empty { at: from }),
            _ => Ok(Self { from, until, slack }),
        }
    }

    /// The first instant inside.
    #[must_use]
    pub fn from(&self) -> Option<Timestamp> {
        self.from
    }

    /// The first instant after it.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// How long before `from` an object may be named and still hold records of the window.
    #[must_use]
    pub fn slack(&self) -> SignedDuration {
        self.slack
    }

    /// Whether an object may hold records of the window: by the time in its name, or else by when it
    /// was written.
    #[must_use]
    pub fn selects(&self, named: Option<NamedTime>, modified: Timestamp) -> bool {
        match named {
            Some(named) => self.overlaps(named),
            None => {
                self.from.is_none_or(|from| modified >= from)
                    && self.until.is_none_or(|until| modified < later(until, self.slack))
            }
        }
    }

    /// Whether an object named after some instant of `named` may hold records of the window.
    #[must_use]
    pub fn overlaps(&self, named: NamedTime) -> bool {
        let reaches = self.from.is_none_or(|from| {
            let first = earlier(from, self.slack);
            named.start >= first || named.end() > first
        });
        reaches && self.until.is_none_or(|until| named.start < until)
    }

    /// Whether every instant of `named` lies inside, slack included.
    #[must_use]
    pub fn covers(&self, named: NamedTime) -> bool {
        self.from.is_none_or(|from| named.start >= earlier(from, self.slack))
            && self.until.is_none_or(|until| named.end() <= until)
    }

    /// Whether an object named after `time` was selected for the slack alone.
    #[must_use]
    pub fn outside(&self, time: Timestamp) -> bool {
        self.from.is_some_and(|from| time < from)
    }

    /// How long it is, slack included; nothing if it is open at one end.
    #[must_use]
    pub fn length(&self) -> Option<SignedDuration> {
        Some(self.until?.duration_since(earlier(self.from?, self.slack)))
    }
}

impl fmt::Display for ObjectWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from, self.until) {
            (None, None) => f.write_str("everything"),
            (Some(from), None) => write!(f, "from {from}"),
            (None, Some(until)) => write!(f, "until {until}"),
            (Some(from), Some(until)) => write!(f, "{from} to {until}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn window(from: &str, until: &str) -> ObjectWindow {
        ObjectWindow::new(Some(at(from)), Some(at(until)), SignedDuration::from_mins(15)).unwrap()
    }

    #[test]
    fn bounds_are_instants_dates_or_distances() {
        let now = at("2026-11-22T12:00:00Z");
        for (text, expected) in [
            ("2026-11-01T06:00:00Z", "2026-11-01T06:00:00Z"),
            ("2026-11-01T06:00:00.250+01:00", "2026-11-01T05:00:00.250Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T06:30", "2026-11-01T06:30:00Z"),
            ("2026-11-01 06:30:15", "2026-11-01T06:30:15Z"),
            ("90m", "2026-11-22T10:30:00Z"),
            ("6h", "2026-11-22T06:00:00Z"),
            ("3d", "2026-11-19T12:00:00Z"),
            ("2w", "2026-11-08T12:00:00Z"),
            ("0m", "2026-11-22T12:00:00Z"),
        ] {
            let bound: TimeBound = text.parse().unwrap();
            assert_eq!(bound.resolve(now), at(expected), "{text}");
        }
        assert_eq!("99999999w".parse::<TimeBound>().unwrap().resolve(now), Timestamp::MIN);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "d",
            "-3d",
            "+3d",
            "3",
            "3 d",
            "1.5h",
            "3y",
            "3D",
            "2026-13-01",
            "2026-02-30",
            "yesterday",
            "2026-11-01T25:00",
            "2026-11-01T06:00:00+99:00",
            "9223372036854775807w",
            "9223372036854775808m",
            "é",
            "2026-11-01T06:00:00+01:00[Europe/Berlin]",
            "2026-11-01T06:00:00[UTC]",
            "٣d",
            "20h\n",
        ] {
            assert!(text.parse::<TimeBound>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_empty_or_reversed_window_names_both_sides() {
        let (a, b) = (at("2026-11-01T00:00:00Z"), at("2026-11-02T00:00:00Z"));
        let reversed = ObjectWindow::new(Some(b), Some(a), SignedDuration::ZERO).unwrap_err().to_string();
        assert!(reversed.contains("2026-11-02T00:00:00Z") && reversed.contains("2026-11-01T00:00:00Z"));
        assert_eq!(
            ObjectWindow::new(Some(a), Some(a), SignedDuration::ZERO),
            Err(WindowError::Empty { at: a })
        );
        assert!(ObjectWindow::new(None, None, SignedDuration::from_secs(-1)).is_err());
    }

    #[test]
    fn the_edges_of_a_window_are_exact() {
        let window = window("2026-11-01T06:00:00Z", "2026-11-01T08:00:00Z");
        for (time, selected, outside) in [
            ("2026-11-01T05:44:59Z", false, true),
            ("2026-11-01T05:45:00Z", true, true),
            ("2026-11-01T05:59:59Z", true, true),
            ("2026-11-01T06:00:00Z", true, false),
            ("2026-11-01T07:59:59Z", true, false),
            ("2026-11-01T08:00:00Z", false, false),
        ] {
            let time = at(time);
            assert_eq!(window.selects(Some(NamedTime::exact(time)), Timestamp::MIN), selected, "{time}");
            assert_eq!(window.outside(time), outside, "{time}");
        }
    }

    #[test]
    fn a_name_that_tells_only_the_hour_stands_for_all_of_it() {
        let window = window("2026-11-01T06:30:00Z", "2026-11-01T08:00:00Z");
        for (hour, selected) in [(4, false), (5, false), (6, true), (7, true), (8, false)] {
            let start = at(&format!("2026-11-01T0{hour}:00:00Z"));
            let named = NamedTime { start, span: SignedDuration::from_hours(1) };
            assert_eq!(window.selects(Some(named), Timestamp::MIN), selected, "{hour}");
        }
    }

    #[test]
    fn without_a_name_the_time_of_writing_counts_up_to_slack_later() {
        let window = window("2026-11-01T06:00:00Z", "2026-11-01T08:00:00Z");
        for (modified, selected) in [
            ("2026-11-01T05:59:59Z", false),
            ("2026-11-01T06:00:00Z", true),
            ("2026-11-01T08:14:59Z", true),
            ("2026-11-01T08:15:00Z", false),
        ] {
            assert_eq!(window.selects(None, at(modified)), selected, "{modified}");
        }
        assert!(ObjectWindow::ALL.selects(None, Timestamp::MIN));
    }

    #[test]
    fn a_stored_window_is_validated_like_a_new_one() {
        let window = window("2026-11-01T06:00:00Z", "2026-11-01T08:00:00Z");
        let json = serde_json::to_string(&window).unwrap();
        assert_eq!(serde_json::from_str::<ObjectWindow>(&json).unwrap(), window);
        for bad in [
            r#"{"from":"2026-11-02T00:00:00Z","until":"2026-11-01T00:00:00Z","slack":"PT15M"}"#,
            r#"{"slack":"-PT15M"}"#,
            r#"{"slack":"PT15M","more":1}"#,
            "{}",
        ] {
            assert!(serde_json::from_str::<ObjectWindow>(bad).is_err(), "{bad}");
        }
    }
}
