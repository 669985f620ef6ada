//! Whose quarantine is meant, where no run is named: the newest of which something is left.
//!
//! What a retry has taken is its own from then on, and a run that was begun anew has sent the same in another one's place: of such
//! a run nothing is left, so nobody is sent there.

use super::super::directory::{self, RunGlance};
use super::super::journal::QuarantineLine;
use super::again::begun_anew;
use super::lines;
use super::taken::untaken;
use crate::config::{RunFlags, StateDir};
use crate::error::Error;

/// The run of that name.
pub(super) fn named(state_dir: &StateDir, id: &str) -> Result<RunGlance, Error> {
    let runs = directory::glance_at_all(state_dir)?;
    runs.into_iter().find(|run| run.id == id).ok_or_else(|| directory::no_such_run(state_dir, id))
}

/// The last run with something in quarantine, whatever became of it since; if something is left anywhere, that one.
pub(super) fn last(state_dir: &StateDir) -> Result<Option<RunGlance>, Error> {
    if let Some(run) = last_with_something_left(state_dir, |_, left| !left.is_empty())? {
        return Ok(Some(run));
    }
    let mut runs = directory::glance_at_all(state_dir)?.into_iter().rev();
    Ok(runs.find(|run| lines(run).is_ok_and(|lines| !lines.is_empty())))
}

/// The last run of whose quarantine nobody has taken something that `will_do`.
pub(super) fn last_with_something_left(
    state_dir: &StateDir,
    will_do: impl Fn(&RunGlance, &[QuarantineLine]) -> bool,
) -> Result<Option<RunGlance>, Error> {
    let mut runs = directory::glance_at_all(state_dir)?;
    for at in (0..runs.len()).rev() {
        let Some(run) = runs.get(at) else { break };
        // Of a list that cannot be read is told by whoever names its run.
        let Ok(lines) = lines(run) else { continue };
        let retries = runs.iter().filter(|other| other.retried() == Some(&run.id));
        let all = lines.len();
        if all > 0 && will_do(run, &untaken(retries, lines)?) && begun_anew(state_dir, run, all)?.is_none() {
            return Ok(Some(runs.swap_remove(at)));
        }
    }
    Ok(None)
}

/// That there is no such run, and what to do instead.
pub(super) fn none_left(state_dir: &StateDir) -> Error {
    let runs = directory::glance_at_all(state_dir).unwrap_or_default();
    let tries = runs.iter().rev().find(|run| run.is_retry() && run.is_unfinished());
    let all = || runs.iter().any(|run| lines(run).is_ok_and(|lines| !lines.is_empty()));
    Error::refused(match tries {
        Some(run) => format!(
            "nothing is left in quarantine but what run {0} tries again: `respool resume {0}{1}` goes on with it",
            run.id,
            RunFlags::new(state_dir, &run.file.tuning).go
        ),
        None if all() => "nothing is left in quarantine: all of it was tried again, or begun anew, and nothing was set aside then".to_owned(),
        None => "no run has anything in quarantine".to_owned(),
    })
}
