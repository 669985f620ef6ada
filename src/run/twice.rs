//! What was begun is resumed, not begun once more: that would send everything twice.

use super::directory::{self, Layout, RunGlance, StreamIdentity};
use super::forecast::what;
use crate::archive::ObjectWindow;
use crate::config::{ReplayConfig, RunSettings, Target};
use crate::error::Error;
use crate::route::key::KeyRule;

/// Two runs of the same window into the same stream would send everything twice.
pub(super) fn refuse_to_start_twice(config: &ReplayConfig, stream: &StreamIdentity) -> Result<(), Error> {
    let Target::Kinesis { .. } = config.settings.target else { return Ok(()) };
    let same = |run: &RunGlance| {
        let (one, other) = (&run.file.settings, &config.settings);
        one.archive.overlaps(&other.archive)
            && run.file.stream == *stream
            && overlap(&one.input.selection.window, &other.input.selection.window)
    };
    // What it is about cannot be told, but where it writes to.
    let may_be_same = |layout: &Layout| layout.stream.as_ref().is_none_or(|found| found == stream);
    let unreadable = directory::unreadable_runs(&config.state_dir)?;
    if let Some((id, layout)) = unreadable.iter().rev().find(|(_, layout)| may_be_same(layout)) {
        return Err(Error::refused(format!(
            "run {id} is not finished and may be about the same, but has layout {}, which this respool does not read: \
             finish it with the version that began it, or start anew with --new",
            layout.version
        )));
    }
    let runs = directory::glance_at_all(&config.state_dir)?;
    match runs.iter().rev().find(|run| run.is_unfinished() && same(run)) {
        Some(run) => Err(Error::refused(not_finished(run, &config.settings))),
        None => Ok(()),
    }
}

/// What to do instead of starting what `run` has begun; another key is another run.
fn not_finished(run: &RunGlance, wished: &RunSettings) -> String {
    let (id, begun) = (&run.id, &run.file.settings);
    let (what, target) = (what(begun), &wished.target);
    let another = |key: &&KeyRule| wished.partition_key.as_ref().is_some_and(|wished| wished != *key);
    let Some(key) = begun.partition_key.as_ref().filter(another) else {
        return format!(
            "run {id} ({what}) into {target} is not finished: go on with `respool resume {id}`, or start anew with \
             --new"
        );
    };
    format!(
        "run {id} ({what}) into {target} is not finished, and keeps its key, {}: another key takes a new run, so start \
         anew with --new, or go on as it is with `respool resume {id}`",
        key.to_string().escape_debug()
    )
}

/// Whether some time lies in both windows.
fn overlap(one: &ObjectWindow, other: &ObjectWindow) -> bool {
    let begins_before_the_end = |left: &ObjectWindow, right: &ObjectWindow| match (left.from(), right.until())
    {
        (Some(from), Some(until)) => from < until,
        _ => true,
    };
    begins_before_the_end(one, other) && begins_before_the_end(other, one)
}
