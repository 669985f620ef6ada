//! The flags that select what was inspected and read it in the same way: what was asked for once more, and what was found.
//!
//! Whoever copies them must get the same objects. So what was typed (or set by a variable, or in the configuration file)
//! comes again, and a window that was only found is offered if no object falls out of it.

use std::fmt::Display;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{GAP_MIN, Inspection};
use crate::archive::layout::{Layout, LayoutRule};
use crate::archive::manifest::Manifest;
use crate::archive::window::ObjectWindow;
use crate::config::{Addressing, FramingChoice, Input, SLACK_DEFAULT, TimeFormat, Tuning, quoted};
use crate::shown::is_shown;

/// A window: its first instant, and the first behind it.
type Bounds = (Option<Timestamp>, Option<Timestamp>);

/// None at all if one of them cannot be shown as it was given.
pub(super) fn flags(found: &Inspection, manifest: &Manifest, input: &Input, tuning: &Tuning) -> Vec<String> {
    let mut flags = Flags { words: Vec::new(), shown: true };
    let doors = tuning.door_flags();
    flags.objects(found, manifest, input);
    flags.records(found, input);
    flags.switch("anonymous", tuning.s3_anonymous);
    flags.switch("request-payer", tuning.s3_request_payer);
    flags.value("expected-bucket-owner", tuning.s3_bucket_owner.as_ref());
    flags.value("s3-addressing", Some(tuning.s3_addressing).filter(|how| *how != Addressing::Auto));
    flags.words.extend(Some(doors.trim_start().to_owned()).filter(|doors| !doors.is_empty()));
    if flags.shown { flags.words } else { Vec::new() }
}

/// Whether no window was asked for.
pub(super) fn window_is_open(input: &Input) -> bool {
    asked(input) == (None, None)
}

/// The window that was asked for.
fn asked(input: &Input) -> Bounds {
    let window = input.selection.window;
    input.event_time.as_ref().map_or((window.from(), window.until()), |event| (event.from, event.until))
}

struct Flags {
    words: Vec<String>,
    shown: bool,
}

impl Flags {
    fn value(&mut self, name: &str, value: Option<impl Display>) {
        let Some(value) = value.map(|value| value.to_string()) else { return };
        self.shown &= value.chars().all(is_shown);
        // What begins as a flag does is none.
        let joint = if value.starts_with('-') { '=' } else { ' ' };
        self.words.push(format!("--{name}{joint}{}", quoted(&value)));
    }

    fn switch(&mut self, name: &str, on: bool) {
        self.words.extend(on.then(|| format!("--{name}")));
    }

    /// Which objects.
    fn objects(&mut self, found: &Inspection, manifest: &Manifest, input: &Input) {
        let selection = &input.selection;
        let zone = &selection.layout.zone;
        let rule = match &selection.layout.rule {
            // In a window of the user's it was tried, and selects nothing.
            LayoutRule::Auto if window_is_open(input) => {
                found.layout.as_deref().and_then(|text| text.parse().ok())
            }
            rule => Some(rule.clone()),
        };
        let layout = Layout { rule: rule.unwrap_or_default(), zone: zone.clone() };
        self.value("layout", Some(&layout.rule).filter(|rule| **rule != LayoutRule::Auto));
        self.value(
            "timezone",
            Some(zone).filter(|zone| **zone != TimeZone::UTC).and_then(TimeZone::iana_name),
        );
        let (from, until) =
            if window_is_open(input) { own_window(found, manifest, input, &layout) } else { asked(input) };
        self.value("from", from);
        self.value("until", until);
        let slack = selection.window.slack().as_secs();
        let usual = i128::from(slack) == i128::from(SLACK_DEFAULT.as_secs());
        self.value("slack", Some(format!("{slack}s")).filter(|_| !usual));
        selection.include.iter().for_each(|pattern| self.value("include", Some(pattern)));
        selection.exclude.iter().for_each(|pattern| self.value("exclude", Some(pattern)));
        self.value("objects", input.objects.as_ref().map(|file| file.display()));
        self.switch("error-output", selection.error_output);
        self.switch("skip-archived", input.skip_archived);
        self.value("restore", input.restore);
    }

    /// Which records, and how they are read.
    fn records(&mut self, found: &Inspection, input: &Input) {
        if let Some(event) = &input.event_time {
            self.value("event-time", Some(&event.pointer));
            self.value(
                "event-time-format",
                Some(&event.format).filter(|format| **format != TimeFormat::default()),
            );
        }
        match input.decoding.framing {
            FramingChoice::Auto => self.value("framing", found.framing.as_ref()),
            FramingChoice::ErrorOutput => {}
            FramingChoice::Delimiter(delimiter) => self.value("delimiter", Some(delimiter)),
            framing => self.value("framing", Some(framing)),
        }
        self.switch("salvage", input.decoding.salvage);
        let key = found.partition_keys.iter().find(|field| field.pointer.chars().all(is_shown));
        self.value("partition-key", key.map(|field| &field.pointer));
    }
}

/// From the first object to behind the last, unless that leaves out one whose key tells no time.
fn own_window(found: &Inspection, manifest: &Manifest, input: &Input, layout: &Layout) -> Bounds {
    let parsed = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let from = parsed(&found.from);
    let until = parsed(&found.until).and_then(|until| until.checked_add(GAP_MIN).ok());
    let Ok(window) = ObjectWindow::new(from, until, input.selection.window.slack()) else {
        return (None, None);
    };
    let all =
        manifest.objects.iter().all(|object| window.selects(layout.key_time(&object.key), object.modified));
    if all { (from, until) } else { (None, None) }
}
