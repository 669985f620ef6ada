//! A retry into a stream that has the name of the one that its run went into, and is another.
//!
//! Where nothing was delivered, or a worker had read all of it, what was set aside is all that is missing, and the new stream
//! is as good as the old one. Else what was delivered is gone, and whoever sends only the rest has to know.

use std::collections::BTreeSet;

use super::begun;
use super::console;
use super::directory::{self, RunGlance, StreamIdentity};
use super::quarantine::taken::retries_of;
use super::twice;
use super::unchanged::{check_same_stream, identity};
use crate::config::{ReplayConfig, RunFlags, StateDir};
use crate::error::Error;
use crate::record::{agree, many};
use crate::stream::StreamDescription;

/// The retry of the run `id` that went into `stream` instead of the one that the run went into; as the end of a sentence that
/// says that it is gone. Blocks.
pub fn gone_on(state_dir: &StateDir, id: &str, stream: &StreamDescription, command: &str) -> Option<String> {
    let stream = identity(stream);
    let runs = directory::glance_at_all(state_dir).ok()?;
    let retry = runs.iter().rfind(|run| run.retried() == Some(id) && run.file.stream == stream)?;
    let go = RunFlags::new(state_dir, &retry.file.tuning).go;
    Some(format!(
        "; what it had set aside went into this one by run {0}: `respool {command} {0}{go}`",
        retry.id
    ))
}

/// What was delivered of the replays whose records went into `stream`, but into an earlier one of its name, and was not seen to be read:
/// the runs, and the number of records.
#[must_use]
pub fn lost_before(runs: &[RunGlance], stream: &StreamIdentity) -> (Vec<String>, u64) {
    let here: BTreeSet<&str> =
        runs.iter().filter(|run| run.file.stream == *stream).map(|run| root(runs, run)).collect();
    let mut lost = (Vec::new(), 0);
    for run in runs {
        let was = &run.file.stream;
        let another = was != stream && (&was.name, &was.arn) == (&stream.name, &stream.arn);
        if another && is_unread(run) && here.contains(root(runs, run)) {
            lost.0.push(run.id.clone());
            lost.1 += run.delivered_so_far();
        }
    }
    lost
}

/// Whether the run has delivered something which no worker's leases have shown to be read.
pub fn is_unread(run: &RunGlance) -> bool {
    let delivered = run.delivered_so_far();
    delivered > 0 && !run.drained().is_some_and(|seen| seen.is_proven() && seen.delivered == delivered)
}

/// The replay that `run` is a retry of, over all retries in between; itself, if it is none.
fn root<'a>(runs: &'a [RunGlance], run: &'a RunGlance) -> &'a str {
    let mut id = run.retried().unwrap_or(&run.id);
    // A retry is younger than what it retries, so there is no circle; a bound all the same, for what a file may say.
    for _ in 0..runs.len() {
        match runs.iter().find(|other| other.id == id).and_then(RunGlance::retried) {
            Some(before) => id = before,
            None => break,
        }
    }
    id
}

/// Says so, and asks where something may be lost; an error if the user has second thoughts, or cannot be asked.
pub(super) fn confirm(
    config: &ReplayConfig,
    run: &RunGlance,
    found: &StreamDescription,
) -> Result<(), Error> {
    let Err(other) = check_same_stream(&run.id, &run.file, found) else { return Ok(()) };
    let (id, before, now) = (&run.id, &run.file.stream, identity(found));
    if (&before.name, &before.arn) != (&now.name, &now.arn) {
        return Err(other);
    }
    let anew = format!(
        "the stream {} is not the one that run {id} went into: that one was deleted and this one made anew",
        now.name
    );
    // What its retries have delivered there is gone as well.
    let mut retries = retries_of(&config.state_dir, run)?;
    retries.retain(|retry| retry.file.stream == *before);
    let own = run.delivered_so_far();
    let delivered = own + retries.iter().map(RunGlance::delivered_so_far).sum::<u64>();
    let drained = run.drained().filter(|seen| seen.delivered == own && !retries.iter().any(is_unread));
    let (records, were) = (many(delivered, "record"), agree(delivered, "was", "were"));
    let gone = match drained {
        _ if delivered == 0 => {
            twice::warn(&format!("{anew}; the run had delivered nothing"));
            return Ok(());
        }
        Some(seen) if seen.is_proven() => {
            twice::warn(&format!("{anew}; a worker had read what the run had delivered, {records}"));
            return Ok(());
        }
        Some(_) => format!("that the {records} of the run {were} read before is an estimate"),
        None => format!("the {records} of the run went with it, unless a worker had read them"),
    };
    if config.yes || config.dry_run {
        twice::warn(&format!("{anew}; {gone}"));
        return Ok(());
    }
    if !config.output.can_ask {
        let runs = directory::glance_at_all(&config.state_dir)?;
        let root = root(&runs, run);
        let replay =
            runs.iter().find(|run| run.id == root).and_then(|run| begun::anew(run, &config.state_dir));
        let replay = replay.map_or_else(|| "a new replay".to_owned(), |replay| format!("`{replay}`"));
        return Err(Error::refused(format!(
            "{anew}; {gone}: {replay} sends all of it, --yes sends only what was set aside"
        )));
    }
    twice::warn(&format!("{anew}; {gone}"));
    if console::ask("Send only what was set aside? [y/N] ")? {
        return Ok(());
    }
    Err(Error::refused("nothing was sent"))
}
