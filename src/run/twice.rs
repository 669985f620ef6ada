//! The same once more: a run beside one that is not finished is refused, one after another that is finished is told.
//!
//! Streams are known by their identity, so one that was made anew has nothing of before. What an unfinished run will
//! have sent is not known yet, so its settings decide; of a finished one its list of objects does.

use std::collections::HashSet;

use super::console;
use super::directory::{self, Layout, RunGlance, StreamIdentity};
use super::forecast::what;
use super::report::number;
use crate::archive::manifest::Manifest;
use crate::archive::{ObjectEntry, ObjectWindow};
use crate::config::{ReplayConfig, RunSettings, Target};
use crate::error::Error;
use crate::route::key::KeyRule;

/// Refuses to start beside an unfinished run of the same: both together would send everything twice.
pub(super) fn refuse_to_start(config: &ReplayConfig, stream: &StreamIdentity) -> Result<(), Error> {
    let Target::Kinesis { .. } = config.settings.target else { return Ok(()) };
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
    match runs.iter().rev().find(|run| run.is_unfinished() && is_same(config, stream, run)) {
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

/// What to say before anything is sent if finished runs have sent some of the objects in `manifest` into `stream`: a
/// replay may be repeated on purpose, but not unawares.
pub(super) fn sent_before(
    config: &ReplayConfig,
    stream: &StreamIdentity,
    manifest: &Manifest,
) -> Result<Option<String>, Error> {
    let Target::Kinesis { .. } = config.settings.target else { return Ok(None) };
    let mut runs = directory::glance_at_all(&config.state_dir)?;
    // A retry sends what was set aside, so none of that was there before.
    runs.retain(|run| !run.is_unfinished() && !run.is_retry() && is_same(config, stream, run));
    runs.retain(|run| delivered(run) > 0);
    if runs.is_empty() {
        return Ok(None);
    }
    let named = |object: &ObjectEntry| (object.key.clone(), object.etag.clone());
    let wanted: HashSet<_> = manifest.objects.iter().map(named).collect();
    let mut sent = HashSet::new();
    runs.retain(|run| {
        // Of a run whose list is gone nothing can be told.
        let Ok(manifest) = directory::read_manifest(&run.path) else { return false };
        let common: Vec<_> =
            manifest.objects.iter().map(named).filter(|object| wanted.contains(object)).collect();
        let any = !common.is_empty();
        sent.extend(common);
        any
    });
    let others = match runs.len() {
        0 | 1 => String::new(),
        2 => " (and another one)".to_owned(),
        more => format!(" (and {} others)", more - 1),
    };
    Ok(runs.last().map(|run| {
        format!(
            "run {id}{others} has sent {} records into {}, {}, out of a list with {} of these {} objects: what is sent again is \
             there twice. `respool runs show {id}` tells of it, `respool verify {id}` whether it is there",
            number(delivered(run)),
            config.settings.target,
            run.file.started.strftime("%Y-%m-%d %H:%M UTC"),
            number(sent.len() as u64),
            number(wanted.len() as u64),
            id = run.id,
        )
    }))
}

/// Says it where nothing else is asked, into a stream on this machine; `false` if the user has second thoughts.
pub(super) fn confirm(config: &ReplayConfig, before: Option<&str>) -> Result<bool, Error> {
    let Some(before) = before else { return Ok(true) };
    let asks = config.output.can_ask && !config.yes;
    if asks || !config.output.quiet {
        console::say(&format!("warning: {before}"));
    }
    if asks { console::ask("Send them once more? [y/N] ") } else { Ok(true) }
}

/// Whether `run` is about the same stream and, as far as its settings tell, about some of the same records.
fn is_same(config: &ReplayConfig, stream: &StreamIdentity, run: &RunGlance) -> bool {
    let (one, other) = (&run.file.settings, &config.settings);
    one.archive.overlaps(&other.archive)
        && run.file.stream == *stream
        && overlap(&one.input.selection.window, &other.input.selection.window)
}

/// Records that the run's report says were delivered.
fn delivered(run: &RunGlance) -> u64 {
    let records = run.report.as_ref().and_then(|report| report.get("records"));
    records
        .and_then(|records| records.get("delivered"))
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_default()
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
