//! A command as it was typed, to be shown once more with another key.
//!
//! What a run was asked for could be written as flags again, but not as the user knows it. The words as they came can,
//! and behind them stands what the environment has added, so that they mean the same in another shell.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::access::quoted;
use super::{ArchiveAddress, RunSettings, Target, Tuning};
use crate::archive::TimeBound;

/// The flag whose value is replaced.
const KEY_FLAG: &str = "--partition-key";

/// The flag without which a plan that a variable names would have a say.
const ALONE_FLAG: &str = "--no-plan";

/// What is said of a stream that is made.
const OF_A_NEW_STREAM: [&str; 5] = ["--shards", "--retention", "--record-size", "--encryption", "--tag"];

/// The words of a command line that begins a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Typed {
    /// The words behind the program's name.
    pub words: Vec<String>,
    /// Whether it tries again what another run has set aside.
    pub retries: bool,
    /// Whether a saved plan is carried out, which says the key.
    pub follows_a_plan: bool,
}

impl Typed {
    /// The same with the doors of `tuning` that only the environment has named, and with instants where something was said to
    /// be so long ago. A plan and the run that is tried again remember theirs.
    #[must_use]
    pub fn through(&self, tuning: &Tuning, settings: &RunSettings) -> Self {
        let mut typed = self.clone();
        if !(self.words.is_empty() || self.retries || self.follows_a_plan) {
            let archive = matches!(settings.archive, ArchiveAddress::S3 { .. });
            let stream = matches!(settings.target, Target::Kinesis { .. });
            typed.add(tuning.unsaid_door_words(&self.words, archive, stream));
            let (from, until) = settings.input.asked_window();
            typed.fix_time("--from", from);
            typed.fix_time("--until", until);
        }
        typed
    }

    /// Says `instant` where `flag` says how long ago it was, which is another one on another day; and where it is not among
    /// the words, because a file has said it.
    fn fix_time(&mut self, flag: &str, instant: Option<Timestamp>) {
        let Some(instant) = instant.map(|instant| instant.to_string()) else { return };
        let is_ago = |value: &str| matches!(value.parse(), Ok(TimeBound::Ago(_)));
        let end = self.flags_end();
        let (mut is_said, mut is_value) = (false, false);
        for word in self.words.iter_mut().take(end) {
            let joined = word.strip_prefix(flag).and_then(|rest| rest.strip_prefix('='));
            let is_ago = joined.or(Some(&**word).filter(|_| is_value)).is_some_and(is_ago);
            is_said |= is_value || joined.is_some();
            let is_joined = joined.is_some();
            is_value = word == flag;
            if is_ago {
                *word = if is_joined { format!("{flag}={instant}") } else { instant.clone() };
            }
        }
        if !is_said {
            self.add(vec![flag.to_owned(), instant]);
        }
    }

    /// Says that no plan is carried out, wherever the words are pasted.
    pub fn stands_alone(&mut self) {
        let end = self.flags_end();
        if !self.words.iter().take(end).any(|word| word == ALONE_FLAG) {
            self.add(vec![ALONE_FLAG.to_owned()]);
        }
    }

    /// Adds flags and their values.
    pub fn add(&mut self, words: Vec<String>) {
        let end = self.flags_end();
        self.words.splice(end..end, words);
    }

    /// Behind `--` nothing is a flag.
    fn flags_end(&self) -> usize {
        self.words.iter().position(|word| word == "--").unwrap_or(self.words.len())
    }

    /// The flag by which the same is begun once more.
    fn anew_flag(&self) -> &'static str {
        if self.retries { "--again" } else { "--new" }
    }

    /// The command that begins the same anew with `key`; `None` if it is not known what was typed, or if a plan
    /// says the key.
    #[must_use]
    pub fn with_key(&self, key: &str) -> Option<String> {
        if self.follows_a_plan { None } else { self.anew_with(Some((KEY_FLAG, key))) }
    }

    /// The command that begins the same anew and takes each element of an array for a record; `None` if it is not known
    /// what was typed, or if a plan says how records are framed.
    #[must_use]
    pub fn with_arrays(&self) -> Option<String> {
        if self.follows_a_plan { None } else { self.anew_with(Some(("--framing", "json-array"))) }
    }

    /// The command that does the same with the objects that `file` names; `None` if it is not known what was typed, or if it
    /// names objects in another way.
    #[must_use]
    pub fn with_objects(&self, file: &str) -> Option<String> {
        if self.retries || self.follows_a_plan {
            return None;
        }
        // The stream is there, perhaps with other shards by now, so nothing makes it.
        self.without(&["--create", self.anew_flag()], &OF_A_NEW_STREAM).with(Some(("--objects", file)), None)
    }

    /// The command as it was typed; `None` if that is not known.
    #[must_use]
    pub fn same(&self) -> Option<String> {
        self.with(None, None)
    }

    /// The command that begins the same anew; `None` if it is not known what was typed.
    #[must_use]
    pub fn anew(&self) -> Option<String> {
        self.anew_with(None)
    }

    /// The same command once more; `None` if it is not known what was typed.
    #[must_use]
    pub fn once_more(&self) -> Option<String> {
        (!self.words.is_empty()).then(|| self.shown())
    }

    fn shown(&self) -> String {
        let words = std::iter::once("respool").chain(self.words.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }

    fn anew_with(&self, another: Option<(&str, &str)>) -> Option<String> {
        self.with(another, Some(self.anew_flag()))
    }

    /// With this flag and its value in place of what was said of it, and with `anew_flag` once.
    fn with(&self, another: Option<(&str, &str)>, anew_flag: Option<&str>) -> Option<String> {
        if self.words.is_empty() {
            return None;
        }
        let replaced: Vec<&str> = another.iter().map(|(flag, _)| *flag).collect();
        let switches: Vec<&str> = anew_flag.into_iter().collect();
        let mut anew = self.without(&switches, &replaced);
        let another = another.into_iter().flat_map(|(flag, value)| [flag, value]);
        anew.add(another.chain(anew_flag).map(str::to_owned).collect());
        Some(anew.shown())
    }

    /// The same that makes its stream first.
    #[must_use]
    pub fn with_create(mut self) -> Self {
        if !self.words.iter().any(|word| word == "--create") {
            self.add(vec!["--create".to_owned()]);
        }
        self
    }

    /// The same without these switches, and without these flags and their values.
    fn without(&self, switches: &[&str], flags: &[&str]) -> Self {
        let mut rest = Self { words: Vec::new(), ..*self };
        let mut typed = self.words.iter();
        while let Some(word) = typed.next() {
            match word.split_once('=') {
                None if flags.contains(&word.as_str()) => drop(typed.next()),
                Some((flag, _)) if flags.contains(&flag) => {}
                _ if switches.contains(&word.as_str()) => {}
                _ => rest.words.push(word.clone()),
            }
        }
        rest
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::archive::ObjectWindow;
    use crate::config::{EventTime, Input, Order, TimeFormat};

    fn settings(archive: &str) -> RunSettings {
        RunSettings {
            archive: archive.parse().unwrap(),
            target: "orders".parse().unwrap(),
            input: Input::default(),
            limit: None,
            partition_key: None,
            key_fallback: None,
            order: Order::Key,
            aggregate: false,
            seed: 7,
        }
    }

    #[test]
    fn what_was_said_to_be_ago_is_said_by_its_instant() {
        let bounds = ["2026-11-06T12:00:00Z", "2026-11-09T00:00:00Z"].map(|at| Some(at.parse().unwrap()));
        let window = |[from, until]: [Option<Timestamp>; 2]| {
            ObjectWindow::new(from, until, SignedDuration::ZERO).unwrap()
        };
        let mut plain = settings("/a");
        plain.input.selection.window = window(bounds);
        let mut by_event_time = plain.clone();
        let [from, until] = bounds;
        by_event_time.input.selection.window = window([from, Some("2026-11-10T00:00:00Z".parse().unwrap())]);
        let (pointer, format) = ("/ts".parse().unwrap(), TimeFormat::Auto);
        by_event_time.input.event_time = Some(EventTime { pointer, format, from, until });
        let unbounded = settings("/a");
        let both = "replay /a --from 2026-11-06T12:00:00Z --until=2026-11-09T00:00:00Z --new";
        for (line, settings, expected) in [
            ("replay /a --from 3d --until=12h", &plain, both),
            ("replay /a --from 3d --until=12h", &by_event_time, both),
            (
                "replay /a --from 2026-11-06T12 --until 2026-11-09",
                &plain,
                "replay /a --from 2026-11-06T12 --until 2026-11-09 --new",
            ),
            // A configuration file may have said it.
            (
                "replay --from=3d -- 12h",
                &plain,
                "replay --from=2026-11-06T12:00:00Z --until 2026-11-09T00:00:00Z --new -- 12h",
            ),
            ("replay /a --limit 3d", &unbounded, "replay /a --limit 3d --new"),
        ] {
            let words = line.split(' ').map(str::to_owned).collect();
            let typed = Typed { words, retries: false, follows_a_plan: false };
            let shown = typed.through(&Tuning::new("/cache".into()), settings).anew().unwrap();
            assert_eq!(shown, format!("respool {expected}"));
        }
    }

    #[test]
    fn the_same_command_with_another_key() {
        for (line, expected) in [
            (
                "replay s3://b --into x --partition-key /tailnm --yes",
                "replay s3://b --into x --yes --partition-key /tailnum --new",
            ),
            ("replay s3://b --partition-key=/a --new", "replay s3://b --partition-key /tailnum --new"),
            ("replay -- s3://b", "replay --partition-key /tailnum --new -- s3://b"),
            ("replay s3://b", "replay s3://b --partition-key /tailnum --new"),
        ] {
            let words = line.split(' ').map(str::to_owned).collect();
            let shown = Typed { words, retries: false, follows_a_plan: false }.with_key("/tailnum");
            assert_eq!(shown.unwrap(), format!("respool {expected}"));
        }
        assert_eq!(Typed::default().with_key("/k"), None);
        let words = ["replay", "s3://b", "--new", "--partition-key", "/k"].map(str::to_owned).to_vec();
        let late = Typed { words, retries: false, follows_a_plan: false }.with_objects("/r/late.jsonl");
        assert_eq!(late.unwrap(), "respool replay s3://b --partition-key /k --objects /r/late.jsonl");
        let words = "replay /a --create --shards 2 --retention=2d --tag a=b --record-size 4MiB --into x";
        let words = words.split(' ').map(str::to_owned).collect();
        let late = Typed { words, retries: false, follows_a_plan: false }.with_objects("/l");
        assert_eq!(late.unwrap(), "respool replay /a --into x --objects /l", "the stream is there");
        let words = ["replay", "a", "--framing=auto", "--partition-key", "/k"].map(str::to_owned).to_vec();
        let arrays = Typed { words, retries: false, follows_a_plan: false }.with_arrays();
        assert_eq!(arrays.as_deref(), Some("respool replay a --partition-key /k --framing json-array --new"));
        let planned = ["replay", "--plan", "x.plan"].map(str::to_owned).to_vec();
        assert_eq!(Typed { words: planned, retries: false, follows_a_plan: true }.with_key("/k"), None);
    }

    #[test]
    fn the_same_command_begins_anew() {
        for (line, expected) in [
            (
                "replay s3://b --partition-key /k --limit 9",
                "replay s3://b --partition-key /k --limit 9 --new",
            ),
            ("replay --partition-key=/k --new -- s3://b", "replay --partition-key=/k --new -- s3://b"),
        ] {
            let words = line.split(' ').map(str::to_owned).collect();
            let shown = Typed { words, retries: false, follows_a_plan: true }.anew();
            assert_eq!(shown.unwrap(), format!("respool {expected}"));
        }
        assert_eq!(Typed::default().anew(), None);
    }

    #[test]
    fn what_only_the_environment_has_named_is_said() {
        let mut tuning = Tuning::new("/cache".into());
        tuning.s3.region = Some("eu-west-1".into());
        tuning.s3.profile = Some("archive".into());
        tuning.kinesis.region = Some("eu-west-1".into());
        tuning.kinesis.endpoint_url = "http://10.0.0.1:4566".parse().ok();
        let endpoint = "--kinesis-endpoint-url http://10.0.0.1:4566 --allow-insecure-endpoint";
        for (line, archive, expected) in [
            (
                "replay s3://bucket",
                "s3://bucket",
                format!("replay s3://bucket --region eu-west-1 --s3-profile archive {endpoint} --new"),
            ),
            (
                "replay --region=eu-west-1 --profile p -- s3://bucket",
                "s3://bucket",
                format!("replay --region=eu-west-1 --profile p {endpoint} --new -- s3://bucket"),
            ),
            (
                "replay s3://bucket --s3-region eu-west-1 --s3-profile archive --endpoint-url x",
                "s3://bucket",
                "replay s3://bucket --s3-region eu-west-1 --s3-profile archive --endpoint-url x \
                 --kinesis-region eu-west-1 --new"
                    .to_owned(),
            ),
            // Nobody asks S3.
            ("replay /a", "/a", format!("replay /a --kinesis-region eu-west-1 {endpoint} --new")),
        ] {
            let words = line.split(' ').map(str::to_owned).collect();
            let typed = Typed { words, retries: false, follows_a_plan: false };
            let shown = typed.through(&tuning, &settings(archive)).anew().unwrap();
            assert_eq!(shown, format!("respool {expected}"));
            let planned = Typed { follows_a_plan: true, ..typed.clone() };
            assert_eq!(planned.through(&tuning, &settings(archive)), planned);
        }
    }

    #[test]
    fn a_word_of_several_is_quoted() {
        let words = vec!["replay".to_owned(), "it's a place".to_owned()];
        let shown = Typed { words, retries: false, follows_a_plan: false }.with_key("/k").unwrap();
        assert_eq!(shown, "respool replay 'it'\\''s a place' --partition-key /k --new");
    }
}
