//! A command as it was typed, to be shown once more with another key.
//!
//! What a run was asked for could be written as flags again, but not with what a variable or the configuration file
//! has added, and not as the user knows it. The words as they came can.

use super::access::quoted;

/// The flag whose value is replaced.
const KEY_FLAG: &str = "--partition-key";

/// The words of a command line that begins a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed {
    /// The words behind the program's name.
    pub words: Vec<String>,
    /// The flag by which the same is begun once more.
    pub anew: &'static str,
    /// Whether a saved plan is carried out, which says the key.
    pub follows_a_plan: bool,
}

impl Typed {
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

    /// The command that begins the same anew; `None` if it is not known what was typed.
    #[must_use]
    pub fn anew(&self) -> Option<String> {
        self.anew_with(None)
    }

    /// With this flag and its value in place of what was said of it.
    fn anew_with(&self, another: Option<(&str, &str)>) -> Option<String> {
        if self.words.is_empty() {
            return None;
        }
        let mut words = vec!["respool"];
        let mut typed = self.words.iter().map(String::as_str);
        while let Some(word) = typed.next() {
            match another.and_then(|(flag, _)| word.strip_prefix(flag)) {
                Some("") => drop(typed.next()),
                Some(rest) if rest.starts_with('=') => {}
                _ if word == self.anew => {}
                _ => words.push(word),
            }
        }
        // Behind `--` nothing is a flag.
        let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
        let another = another.into_iter().flat_map(|(flag, value)| [flag, value]);
        words.splice(end..end, another.chain([self.anew]));
        Some(words.into_iter().map(quoted).collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let shown = Typed { words, anew: "--new", follows_a_plan: false }.with_key("/tailnum");
            assert_eq!(shown.unwrap(), format!("respool {expected}"));
        }
        assert_eq!(Typed::default().with_key("/k"), None);
        let words = ["replay", "a", "--framing=auto", "--partition-key", "/k"].map(str::to_owned).to_vec();
        let arrays = Typed { words, anew: "--new", follows_a_plan: false }.with_arrays();
        assert_eq!(arrays.as_deref(), Some("respool replay a --partition-key /k --framing json-array --new"));
        let planned = ["replay", "--plan", "x.plan"].map(str::to_owned).to_vec();
        assert_eq!(Typed { words: planned, anew: "--new", follows_a_plan: true }.with_key("/k"), None);
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
            let shown = Typed { words, anew: "--new", follows_a_plan: true }.anew();
            assert_eq!(shown.unwrap(), format!("respool {expected}"));
        }
        assert_eq!(Typed::default().anew(), None);
    }

    #[test]
    fn a_word_of_several_is_quoted() {
        let words = vec!["replay".to_owned(), "it's a place".to_owned()];
        let shown = Typed { words, anew: "--new", follows_a_plan: false }.with_key("/k").unwrap();
        assert_eq!(shown, "respool replay 'it'\\''s a place' --partition-key /k --new");
    }
}
