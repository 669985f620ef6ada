//! Which objects of an archive a run is about: by time, by name, and by what they are.
//!
//! Pure: it judges one key at a time, for a listing, a list of keys and a second look alike.

use std::fmt;
use std::str::FromStr;

use glob::Pattern;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::layout::{CalendarDir, Layout, LayoutRule, NamedTime, holds_no_events, is_error_output};
use super::window::ObjectWindow;
use crate::shown::in_quotes;

/// A pattern for keys below the archive's prefix: `*` is any text, slashes included, `?` any character, `[…]` one of
/// these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPattern(Pattern);

/// The text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no pattern for keys: {why}", in_quotes(text))]
pub struct KeyPatternError {
    text: String,
    why: &'static str,
}

impl KeyPattern {
    fn matches(&self, below: &str) -> bool {
        self.0.matches(below)
    }

    /// What every key begins with that it matches.
    fn beginning(&self) -> &str {
        let text = self.0.as_str();
        text.split(['*', '?', '[']).next().unwrap_or_default()
    }
}

impl FromStr for KeyPattern {
    type Err = KeyPatternError;

    fn from_str(text: &str) -> Result<Self, KeyPatternError> {
        let error = |why| KeyPatternError { text: text.to_owned(), why };
        if text.is_empty() {
            return Err(error("it is empty"));
        }
        Pattern::new(text).map(Self).map_err(|found| error(found.msg))
    }
}

impl fmt::Display for KeyPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for KeyPattern {
    type Error = KeyPatternError;

    fn try_from(text: String) -> Result<Self, KeyPatternError> {
        text.parse()
    }
}

impl From<KeyPattern> for String {
    fn from(pattern: KeyPattern) -> Self {
        pattern.0.as_str().to_owned()
    }
}

/// Which objects are meant.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Fields", into = "Fields")]
pub struct Selection {
    /// When their records arrived.
    pub window: ObjectWindow,
    /// How their keys tell that.
    pub layout: Layout,
    /// Only keys that one of these matches, if there are any.
    pub include: Vec<KeyPattern>,
    /// No keys that one of these matches.
    pub exclude: Vec<KeyPattern>,
    /// What Firehose could not deliver, instead of what it could.
    pub error_output: bool,
}

/// A selection as it stands in files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    window: ObjectWindow,
    #[serde(default)]
    layout: LayoutRule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    include: Vec<KeyPattern>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<KeyPattern>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    error_output: bool,
}

impl From<Selection> for Fields {
    fn from(selection: Selection) -> Self {
        let Selection { window, layout: Layout { rule: layout, zone }, include, exclude, error_output } =
            selection;
        let timezone = (zone != TimeZone::UTC).then(|| zone_name(&zone));
        Self { window, layout, timezone, include, exclude, error_output }
    }
}

impl TryFrom<Fields> for Selection {
    type Error = ZoneError;

    fn try_from(fields: Fields) -> Result<Self, ZoneError> {
        let Fields { window, layout: rule, timezone, include, exclude, error_output } = fields;
        let zone = timezone.map_or(Ok(TimeZone::UTC), |name| parse_zone(&name))?;
        Ok(Self { window, layout: Layout { rule, zone }, include, exclude, error_output })
    }
}

/// The text names no time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} is no time zone: give a name such as Asia/Tokyo, or UTC", in_quotes(name))]
pub struct ZoneError {
    name: String,
}

/// Reads a time zone by its name in the IANA's database.
///
/// # Errors
/// [`ZoneError`] if there is none of this name.
pub fn parse_zone(name: &str) -> Result<TimeZone, ZoneError> {
    TimeZone::get(name).map_err(|_| ZoneError { name: name.to_owned() })
}

/// Its name among the zones that are known; UTC for one that has none.
#[must_use]
pub fn zone_name(zone: &TimeZone) -> String {
    zone.iana_name().unwrap_or("UTC").to_owned()
}

/// What a selection says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is one of them; the time in its name, if there is one.
    Selected(Option<NamedTime>),
    /// It lies outside of the window.
    Outside,
    /// It holds no events, by its name.
    NoEvents,
    /// The user's patterns leave it out.
    Excluded,
}

impl From<ObjectWindow> for Selection {
    fn from(window: ObjectWindow) -> Self {
        Self { window, ..Self::default() }
    }
}

impl Selection {
    /// Judges the object of this key, of which `below` is what follows the archive's prefix.
    pub(super) fn judge(&self, key: &str, below: &str, size: u64, modified: Timestamp) -> Verdict {
        let no_events = if self.error_output { !is_error_output(key) } else { holds_no_events(below, size) };
        if no_events {
            return Verdict::NoEvents;
        }
        let included = self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(below));
        if !included || self.exclude.iter().any(|pattern| pattern.matches(below)) {
            return Verdict::Excluded;
        }
        let time = self.layout.key_time(key);
        if self.layout.rule == LayoutRule::All || self.window.selects(time, modified) {
            Verdict::Selected(time)
        } else {
            Verdict::Outside
        }
    }

    /// Whether a key that begins with `below` may be one of those that are included.
    pub(super) fn may_hold(&self, below: &str) -> bool {
        let fits = |pattern: &KeyPattern| {
            let beginning = pattern.beginning();
            beginning.starts_with(below) || below.starts_with(beginning)
        };
        self.include.is_empty() || self.include.iter().any(fits)
    }

    /// See [`Layout::calendar_dir`].
    pub(super) fn calendar_dir(&self, dir: &str) -> Option<CalendarDir> {
        self.layout.calendar_dir(dir)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.window.fmt(f)?;
        for (word, patterns) in [("include", &self.include), ("exclude", &self.exclude)] {
            patterns.iter().try_for_each(|pattern| write!(f, ", {word} {pattern}"))?;
        }
        if self.error_output {
            f.write_str(", error output")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn judge(selection: &Selection, key: &str) -> Verdict {
        selection.judge(key, key, 9, at("2026-07-01T05:00:00Z"))
    }

    #[test]
    fn patterns_leave_out_by_name_and_cross_slashes() {
        let selection = Selection {
            include: vec!["customer=acme/*".parse().unwrap(), "*.json".parse().unwrap()],
            exclude: vec!["*/test-*".parse().unwrap()],
            ..Selection::default()
        };
        assert_eq!(judge(&selection, "customer=acme/2026/x"), Verdict::Selected(None));
        assert_eq!(judge(&selection, "b/c/d.json"), Verdict::Selected(None));
        assert_eq!(judge(&selection, "customer=other/x"), Verdict::Excluded);
        assert_eq!(judge(&selection, "customer=acme/a/test-1"), Verdict::Excluded);
        let acme = Selection { include: vec!["customer=acme/*".parse().unwrap()], ..Selection::default() };
        for (dir, may) in [("", true), ("cust", true), ("customer=acme/2026/", true), ("customer=b/", false)]
        {
            assert_eq!(acme.may_hold(dir), may, "{dir}");
        }
        assert!("".parse::<KeyPattern>().is_err() && "a[".parse::<KeyPattern>().is_err());
    }

    #[test]
    fn error_outputs_are_left_out_or_meant() {
        let failed = "processing-failed/2026/07/01/05/x";
        assert_eq!(judge(&Selection::default(), failed), Verdict::NoEvents);
        let errors = Selection { error_output: true, ..Selection::default() };
        assert!(matches!(judge(&errors, failed), Verdict::Selected(Some(_))));
        assert_eq!(judge(&errors, "2026/07/01/05/x"), Verdict::NoEvents);
    }

    #[test]
    fn without_times_all_or_the_time_of_writing_decides() {
        let until = Some(at("2026-07-01T00:00:00Z"));
        let window = ObjectWindow::new(None, until, jiff::SignedDuration::ZERO).unwrap();
        let selection =
            |rule| Selection { window, layout: Layout { rule, ..Layout::default() }, ..Selection::default() };
        let key = "2026/06/01/05/x";
        assert!(matches!(judge(&selection(LayoutRule::Auto), key), Verdict::Selected(Some(_))));
        assert_eq!(judge(&selection(LayoutRule::Modified), key), Verdict::Outside);
        assert_eq!(judge(&selection(LayoutRule::All), key), Verdict::Selected(None));
    }

    #[test]
    fn a_selection_comes_back_from_its_file() {
        let selection = Selection {
            layout: Layout {
                rule: "dt={yyyy-MM-dd}/hr={HH}".parse().unwrap(),
                zone: parse_zone("Asia/Tokyo").unwrap(),
            },
            include: vec!["a*".parse().unwrap()],
            error_output: true,
            ..Selection::default()
        };
        let text = serde_json::to_string(&selection).unwrap();
        assert_eq!(serde_json::from_str::<Selection>(&text).unwrap(), selection);
        assert!(parse_zone("Mars/Olympus").is_err());
    }
}
