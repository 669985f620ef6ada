//! Where runs are kept, and what a printed command has to say so that it finds them there and is let through their doors.
//!
//! What is printed is pasted: into another shell, without the variables of this one, in another directory.

use std::fmt::Write as _;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use super::access::exposure_flag;
use super::{Tuning, quoted};

/// The directory of all runs of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir {
    path: PathBuf,
    is_usual: bool,
}

impl StateDir {
    /// The one in which every command looks by itself.
    #[must_use]
    pub fn usual(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_usual: true }
    }

    /// One that a command has to name.
    #[must_use]
    pub fn other(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_usual: false }
    }

    /// The flag by which a command looks there too, with a blank before it.
    #[must_use]
    pub fn flag(&self) -> String {
        self.words().iter().fold(String::new(), |mut flag, word| {
            let _ = write!(flag, " {}", quoted(word));
            flag
        })
    }

    /// The same as words.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        if self.is_usual {
            return Vec::new();
        }
        vec!["--state-dir".to_owned(), self.path.to_string_lossy().into_owned()]
    }
}

impl Deref for StateDir {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// What a command about a run says behind the run's name. The run's own doors are known by its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFlags {
    /// For what only reads the run's files.
    pub look: String,
    /// For what asks its services.
    pub go: String,
}

impl RunFlags {
    /// For a run with `tuning`.
    #[must_use]
    pub fn new(state: &StateDir, tuning: &Tuning) -> Self {
        let look = state.flag();
        let go = [look.as_str(), exposure_flag(&[&tuning.s3, &tuning.kinesis])].concat();
        Self { look, go }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_command_does_not_find_by_itself_is_said() {
        let mut tuning = Tuning::new("/cache".into());
        let usual = RunFlags::new(&StateDir::usual("/state"), &tuning);
        assert_eq!(usual, RunFlags::default());
        tuning.kinesis.endpoint_url = "http://10.0.0.1:4566".parse().ok();
        let other = RunFlags::new(&StateDir::other("/my state"), &tuning);
        assert_eq!(other.look, " --state-dir '/my state'");
        assert_eq!(other.go, " --state-dir '/my state' --allow-insecure-endpoint");
    }
}
