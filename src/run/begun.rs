//! The command that began a run, whole: what begins the same once more, as it was or with something said otherwise.
//!
//! What a plan says cannot be said otherwise beside it. So where something is to be another, all of it is said by flags.

use std::path::Path;

use super::directory::{self, RunFile, RunGlance};
use crate::config::{StateDir, Typed};
use crate::error::About;

/// The command that began the run of `file`, in words that can be said otherwise: those that were `typed`, unless a plan was named
/// by them. `None` of a retry whose words are not known.
#[must_use]
pub fn by_flags(typed: Option<Typed>, file: &RunFile, state_dir: &StateDir) -> Option<Typed> {
    match typed.filter(|typed| !typed.words.is_empty() && !typed.follows_a_plan) {
        None if directory::retried(&file.settings).is_some() => None,
        None => Some(Typed::by_flags(&file.settings, &file.tuning, state_dir)),
        typed => typed,
    }
}

/// What begins the same as `run` once more; of a retry, the same retry.
#[must_use]
pub fn anew(run: &RunGlance, state_dir: &StateDir) -> Option<String> {
    anew_in(&run.path, &run.file, state_dir)
}

/// The same as the run of `file` in `directory`.
#[must_use]
pub fn anew_in(directory: &Path, file: &RunFile, state_dir: &StateDir) -> Option<String> {
    let typed = directory::typed(directory).filter(|typed| !typed.words.is_empty());
    typed.or_else(|| by_flags(None, file, state_dir))?.anew()
}

/// Which run that is, for a script.
#[must_use]
pub fn about(id: &str, file: &RunFile) -> About {
    let settings = &file.settings;
    About { run: id.to_owned(), archive: settings.archive.to_string(), target: settings.target.to_string() }
}
