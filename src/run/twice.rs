//! The same once more: a run beside one that is not finished is refused, one after another that is finished is told.
//!
//! Streams are known by their identity, so one that was made anew has nothing of before. What an unfinished run will
//! have sent is not known yet, so its settings decide; of a finished one its ledger does: what it has only set aside it
//! has not sent.

mod sent;

use std::hash::{BuildHasher as _, RandomState};

use self::sent::objects_sent;
use super::console;
use super::directory::{self, Layout, RunGlance, StreamIdentity};
use super::forecast::what;
use super::report::number;
use crate::archive::manifest::Manifest;
use crate::archive::{ObjectEntry, ObjectWindow};
use crate::config::{ReplayConfig, RunFlags, Target};
use crate::error::Error;
use crate::record::many;
use crate::route::key::KeyRule;
use crate::shown::shown;

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
        Some(run) => Err(Error::refused(not_finished(run, config))),
        None => Ok(()),
    }
}

/// What to do instead of starting what `run` has begun, or a part of it; another key is another run.
fn not_finished(run: &RunGlance, config: &ReplayConfig) -> String {
    let (id, begun, wished) = (&run.id, &run.file.settings, &config.settings);
    let flags = RunFlags::new(&config.state_dir, &run.file.tuning).go;
    let (unfinished, asked, target) = (what(begun), what(wished), &wished.target);
    let another = |key: &&KeyRule| wished.partition_key.as_ref().is_some_and(|wished| wished != *key);
    let why = match begun.partition_key.as_ref().filter(another) {
        Some(key) => {
            format!(", and keeps its key, {}: another key takes a new run", shown(&key.to_string()))
        }
        None if unfinished != asked => format!(", and sends some of what is asked for now ({asked}) as well"),
        None => String::new(),
    };
    let anew = config.typed.anew();
    format!(
        "run {id} ({unfinished}) into {target} is not finished{why}. Go on with it as it is: `respool resume {id}{flags}`; or start \
         anew with --new: `{}`, and what both send is there twice",
        anew.as_deref().unwrap_or("respool replay … --new")
    )
}

/// What to say before anything is sent if a finished run has sent some of the objects in `manifest` into `stream`: a
/// replay may be repeated on purpose, but not unawares. The newest such run is told of; older lists are not read.
/// A retry that has stopped half-way has sent some, too. Blocks.
pub(super) fn sent_before(
    config: &ReplayConfig,
    stream: &StreamIdentity,
    manifest: &Manifest,
) -> Result<Option<String>, Error> {
    let Target::Kinesis { .. } = config.settings.target else { return Ok(None) };
    let mut runs = directory::glance_at_all(&config.state_dir)?;
    runs.retain(|run| (!run.is_unfinished() || run.is_retry()) && is_same(config, stream, run));
    runs.retain(|run| run.delivered() > 0);
    if config.settings.input.objects.is_none() {
        // Who replays a whole thinks of the runs that have sent a whole.
        runs.sort_by_key(|run| !run.is_retry());
    }
    if runs.is_empty() {
        return Ok(None);
    }
    // Both lists may have millions of lines. That two of them hash alike tells of one object too many.
    let state = RandomState::new();
    let hash = |object: &ObjectEntry| state.hash_one((&object.key, &object.etag));
    let mut wanted: Vec<(u64, u32)> = manifest.objects.iter().map(hash).zip(0..).collect();
    wanted.sort_unstable();
    while let Some(run) = runs.pop() {
        // Of a run whose list is gone nothing can be told.
        let Ok(before) = directory::read_manifest(&run.path) else { continue };
        let wanted_as = |object: &ObjectEntry| {
            let hash = hash(object);
            let at = wanted.partition_point(|(other, _)| *other < hash);
            let (_, number) = wanted.get(at).filter(|(other, _)| *other == hash)?;
            manifest.object(*number)
        };
        let common: Vec<_> = before.objects.iter().map(|object| Some((object, wanted_as(object)?))).collect();
        let again = objects_sent(&run, &common)?;
        if again > 0 {
            return Ok(Some(told(&run, config, again, wanted.len(), runs.len())));
        }
    }
    Ok(None)
}

/// That `run` has sent `again` of `wanted` objects, and so may have `others`.
fn told(run: &RunGlance, config: &ReplayConfig, again: usize, wanted: usize, others: usize) -> String {
    let RunFlags { look, go } = RunFlags::new(&config.state_dir, &run.file.tuning);
    let target = &config.settings.target;
    let others = match others {
        0 => String::new(),
        1 => ", and another run may have sent some, too".to_owned(),
        more => format!(", and {} may have sent some, too", many(more, "other run")),
    };
    format!(
        "run {id} has sent {} into {target}, {}, out of a list with {} of these {}{others}: what is sent \
         again is there twice. `respool runs show {id}{look}` tells of it, `respool verify {id}{go}` whether it is there",
        many(run.delivered(), "record"),
        run.file.started.strftime("%Y-%m-%d %H:%M UTC"),
        number(again as u64),
        many(wanted, "object"),
        id = run.id,
    )
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

/// Whether some time lies in both windows.
fn overlap(one: &ObjectWindow, other: &ObjectWindow) -> bool {
    let begins_before_the_end = |left: &ObjectWindow, right: &ObjectWindow| match (left.from(), right.until())
    {
        (Some(from), Some(until)) => from < until,
        _ => true,
    };
    begins_before_the_end(one, other) && begins_before_the_end(other, one)
}
