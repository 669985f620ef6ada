//! A command as it was typed, to be shown once more with another key.
//!
//! What a run was asked for could be written as flags again, but not as the user knows it. The words as they came can,
//! and behind them stands what the environment has added, so that they mean the same in another shell.

use serde::{Deserialize, Serialize};

use super::access::quoted;
use super::{ArchiveAddress, RunSettings, Target, Tuning};

/// The flag whose value is replaced.
const KEY_FLAG: &str = "--partition-key";

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
    /// The same with the doors of `tuning` that only the environment has named. A plan and the run that is tried again
    /// remember theirs.
    #[must_use]
    pub fn through(&self, tuning: &Tuning, settings: &RunSettings) -> Self {
        let mut typed = self.clone();
        if !(self.words.is_empty() || self.retries || self.follows_a_plan) {
            let archive = matches!(settings.archive, ArchiveAddress::S3 { .. });
            let stream = matches!(settings.target, Target::Kinesis { .. });
            typed.add(tuning.unsaid_door_words(&self.words, archive, stream));
        }
        typed
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
        let names_none = self.retries || self.follows_a_plan;
        if names_none { None } else { self.with(Some(("--objects", file)), None) }
    }

    /// The command that begins the same anew; `None` if it is not known what was typed.
    #[must_use]
    pub fn anew(&self) -> Option<String> {
        self.anew_with(None)
    }

    fn anew_with(&self, another: Option<(&str, &str)>) -> Option<String> {
        self.with(another, Some(self.anew_flag()))
    }

    /// With this flag and its value in place of what was said of it; only with `anew` it begins anew what was begun.
    fn with(&self, another: Option<(&str, &str)>, anew_flag: Option<&str>) -> Option<String> {
        if self.words.is_empty() {
            return None;
        }
        let mut anew = Self { words: Vec::new(), ..*self };
        let mut typed = self.words.iter();
        while let Some(word) = typed.next() {
            match another.and_then(|(flag, _)| word.strip_prefix(flag)) {
                Some("") => drop(typed.next()),
                Some(rest) if rest.starts_with('=') => {}
                _ if word == self.anew_flag() => {}
                _ => anew.words.push(word.clone()),
            }
        }
        let another = another.into_iter().flat_map(|(flag, value)| [flag, value]);
        anew.add(another.chain(anew_flag).map(str::to_owned).collect());
        let words = std::iter::once("respool").chain(anew.words.iter().map(String::as_str));
        Some(words.map(quoted).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Input, Order};

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
        let settings = |archive: &str| RunSettings {
            archive: archive.parse().unwrap(),
            target: "orders".parse().unwrap(),
            input: Input::default(),
            limit: None,
            partition_key: None,
            key_fallback: None,
            order: Order::Key,
            aggregate: false,
            seed: 7,
        };
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
