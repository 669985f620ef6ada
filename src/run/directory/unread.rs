//! Runs that are there and cannot be read: another version's, damaged ones, somebody else's.
//!
//! A list for a person may leave them out. Whoever asks what is in a stream may not: what such a run has sent
//! lies there all the same.

use std::path::{Path, PathBuf};

use super::{
    LOCK_FILE, RUN_FILE, RUN_FILE_VERSION, RunGlance, StreamIdentity, glance, other_layout, owner, run_ids,
    runs_dir,
};
use crate::config::StateDir;
use crate::error::Error;
use crate::run::checkpoint_log;
use crate::run::summary::chain;

/// A run that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadRun {
    /// Its name.
    pub id: String,
    /// Where its files lie.
    pub path: PathBuf,
    /// The stream that it writes to, if that can be told.
    pub stream: Option<StreamIdentity>,
    /// The process that owns it now.
    pub owner: Option<String>,
    /// Why it cannot be read.
    pub why: String,
}

impl UnreadRun {
    /// A run of which something else cannot be read.
    #[must_use]
    pub fn of(glance: RunGlance, error: &Error) -> Self {
        let RunGlance { id, path, file, owner, .. } = glance;
        Self { id, path, stream: Some(file.stream), owner, why: chain(error) }
    }

    /// Whether it may be into `stream`.
    #[must_use]
    pub fn may_be_into(&self, stream: &StreamIdentity) -> bool {
        self.stream.as_ref().is_none_or(|own| own == stream)
    }
}

/// Nobody knows a run of this name.
#[must_use]
pub fn no_such_run(state_dir: &StateDir, id: &str) -> Error {
    Error::refused(format!("there is no run {id}; `respool runs{}` lists them", state_dir.flag()))
}

/// All runs below `state_dir`, oldest first: those that can be read, and the others.
///
/// # Errors
/// The directory of runs itself cannot be read.
pub fn look_at_all(state_dir: &Path) -> Result<(Vec<RunGlance>, Vec<UnreadRun>), Error> {
    let (mut runs, mut unread) = (Vec::new(), Vec::new());
    for id in run_ids(state_dir)? {
        let path = runs_dir(state_dir).join(&id);
        match glance(state_dir, id.clone()) {
            Ok(Some(run)) => runs.push(run),
            // What has no checkpoint has sent nothing: a run that was never begun, or no run at all.
            Ok(None) if matches!(checkpoint_log::is_begun(&path), Ok(false)) => {}
            Ok(None) => unread.push(unreadable(id, path, format!("its {RUN_FILE} is missing"))),
            Err(error) => unread.push(unreadable(id, path, chain(&error))),
        }
    }
    Ok((runs, unread))
}

fn unreadable(id: String, path: PathBuf, why: String) -> UnreadRun {
    let layout = other_layout(&path.join(RUN_FILE)).ok().flatten();
    let why = layout.as_ref().map_or(why, |layout| {
        format!("it has layout {}, this respool reads {RUN_FILE_VERSION}", layout.version)
    });
    let owner = owner(&path.join(LOCK_FILE));
    UnreadRun { id, path, stream: layout.and_then(|layout| layout.stream), owner, why }
}
