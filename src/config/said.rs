//! A run as flags, where it was not typed as such: a plan has said what it is about.
//!
//! What is at its default is left out. Read by the command line again, the words give the same settings, whenever that is.

use jiff::Timestamp;

use super::{
    Addressing, ArchiveAddress, Decoding, EventTime, FramingChoice, Input, LayoutRule, Order, RateCap,
    RunSettings, SLACK_DEFAULT, Share, StateDir, Target, TimeFormat, Tuning, Typed,
};
use crate::archive::Selection;
use crate::archive::layout::Layout;
use crate::archive::selection::zone_name;
use crate::route::key::KeyFallback;

/// Flags, and their values behind them.
#[derive(Debug, Default)]
struct Words(Vec<String>);

impl Words {
    fn say(&mut self, flag: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.extend([format!("--{flag}"), value.to_string()]);
        }
    }

    fn switch(&mut self, flag: &str, is_on: bool) {
        if is_on {
            self.0.push(format!("--{flag}"));
        }
    }
}

impl Typed {
    /// The command that begins a run with `settings` by `tuning`, said by flags alone: no plan that a variable names has a say
    /// in it.
    #[must_use]
    pub fn by_flags(settings: &RunSettings, tuning: &Tuning, state_dir: &StateDir) -> Self {
        let mut words = Words(vec!["replay".to_owned(), settings.archive.to_string()]);
        words.say("into", Some(&settings.target));
        words.0.extend(settings.flags());
        words.say("objects", settings.input.objects.as_ref().map(|list| list.display()));
        words.0.extend(tuning.bucket_flags());
        words.say("share", Some(tuning.share).filter(|share| *share != Share::DEFAULT));
        words.say("max-rate", Some(tuning.max_rate).filter(|rate| *rate != RateCap::default()));
        words.say("max-quarantine", tuning.max_quarantine);
        let archive = matches!(settings.archive, ArchiveAddress::S3 { .. });
        let stream = matches!(settings.target, Target::Kinesis { .. });
        words.0.extend(tuning.unsaid_door_words(&[], archive, stream));
        words.0.extend(state_dir.words());
        words.switch("no-plan", true);
        Self { words: words.0, retries: false, follows_a_plan: false }
    }
}

impl RunSettings {
    /// The flags that select the same records and send them in the same way; a file that names the objects is not among them.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let Self { input, limit, partition_key, key_fallback, order, aggregate, .. } = self;
        let mut words = Words::default();
        words.say("partition-key", partition_key.as_ref());
        words.say("key-fallback", key_fallback.map(KeyFallback::word));
        words.say("order", Some(order.as_str()).filter(|_| *order != Order::Key));
        words.switch("aggregate", *aggregate);
        words.say("limit", *limit);
        input.say(&mut words);
        words.0
    }
}

impl Input {
    /// The window as it was asked for: by the records' own time the objects' window is a longer one.
    pub(super) fn asked_window(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        match &self.event_time {
            Some(EventTime { from, until, .. }) => (*from, *until),
            None => (self.selection.window.from(), self.selection.window.until()),
        }
    }

    fn say(&self, words: &mut Words) {
        let Self { selection, skip_archived, restore, event_time, decoding, .. } = self;
        let Selection { window, layout: Layout { rule, zone }, include, exclude, error_output } = selection;
        let (from, until) = self.asked_window();
        words.say("from", from);
        words.say("until", until);
        let slack = window.slack().as_secs();
        let is_usual = u64::try_from(slack).is_ok_and(|slack| slack == SLACK_DEFAULT.as_secs());
        words.say("slack", Some(format!("{slack}s")).filter(|_| !is_usual));
        words.say("layout", Some(rule).filter(|rule| **rule != LayoutRule::Auto));
        words.say("timezone", Some(zone_name(zone)).filter(|name| name != "UTC"));
        for pattern in include {
            words.say("include", Some(pattern));
        }
        for pattern in exclude {
            words.say("exclude", Some(pattern));
        }
        if let Some(EventTime { pointer, format, .. }) = event_time {
            words.say("event-time", Some(pointer));
            words.say("event-time-format", Some(format).filter(|format| **format != TimeFormat::Auto));
        }
        words.switch("error-output", *error_output);
        words.switch("skip-archived", *skip_archived);
        words.say("restore", restore.as_ref());
        let Decoding { framing, salvage } = decoding;
        match framing {
            FramingChoice::Auto | FramingChoice::ErrorOutput => {}
            FramingChoice::Delimiter(delimiter) => words.say("delimiter", Some(delimiter)),
            framing => words.say("framing", Some(framing)),
        }
        words.switch("salvage", *salvage);
    }
}

impl Tuning {
    /// The flags without which the bucket does not answer as before.
    #[must_use]
    pub fn bucket_flags(&self) -> Vec<String> {
        let mut words = Words::default();
        let addressing = Some(self.s3_addressing).filter(|addressing| *addressing != Addressing::Auto);
        words.say("s3-addressing", addressing);
        words.switch("anonymous", self.s3_anonymous);
        words.switch("request-payer", self.s3_request_payer);
        words.say("expected-bucket-owner", self.s3_bucket_owner.as_ref());
        words.0
    }
}
