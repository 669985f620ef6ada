//! The same once more: a run beside one that is not finished is refused, one after another that has sent some is told,
//! and so is a resume of what another run has sent since.
//!
//! Streams are known by their identity, so one that was made anew has nothing of before. What an unfinished run will
//! have sent is not known yet, so its settings decide; what a run has sent so far its ledger tells: what it has only set
//! aside it has not sent.

mod sent;

use std::hash::{BuildHasher as _, RandomState};

use self::sent::objects_sent;
use super::checkpoint_log;
use super::console;
use super::directory::{self, Layout, RunFile, RunGlance, StreamIdentity};
use super::forecast::what;
use super::report::number;
use crate::archive::manifest::Manifest;
use crate::archive::{ObjectEntry, ObjectWindow};
use crate::config::{OutputConfig, ReplayConfig, RunFlags, RunSettings, StateDir, Target};
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
    match runs.iter().rev().find(|run| run.is_unfinished() && is_same(&config.settings, stream, run)) {
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
    let anew = config.typed.through(&config.tuning, wished).anew();
    format!(
        "run {id} ({unfinished}) into {target} is not finished{why}. Go on with it as it is: `respool resume {id}{flags}`; or start \
         anew with --new: `{}`, and what both send is there twice",
        anew.as_deref().unwrap_or("respool replay … --new")
    )
}

/// What to say before anything is sent if another run has sent some of the objects in `manifest` into `stream`: a
/// replay may be repeated on purpose, but not unawares. The newest such run is told of; older lists are not read. One
/// that has stopped half-way has sent some, too. Blocks.
pub(super) fn sent_before(
    config: &ReplayConfig,
    stream: &StreamIdentity,
    manifest: &Manifest,
) -> Result<Option<String>, Error> {
    let ReplayConfig { settings, state_dir, .. } = config;
    let mut runs = others(state_dir, settings, stream)?;
    if settings.input.objects.is_none() {
        // Who replays a whole thinks of the runs that have sent a whole.
        runs.sort_by_key(|run| !run.is_retry());
    }
    Ok(newest_sender(runs, manifest)?.map(|sender| sender.told(settings, state_dir)))
}

/// The same of a run that is gone on with: only what was sent since it began, for all else was told of then. Blocks.
pub(super) fn sent_since(
    state_dir: &StateDir,
    id: &str,
    file: &RunFile,
    manifest: &Manifest,
) -> Result<Option<String>, Error> {
    let runs = others_since(state_dir, id, file)?;
    Ok(newest_sender(runs, manifest)?.map(|sender| sender.told(&file.settings, state_dir)))
}

/// Refuses to go on with `run`, which nobody has named, if one that was begun later has sent some of the same: it was
/// begun in its place. Blocks.
pub(super) fn refuse_if_replaced(state_dir: &StateDir, run: &RunGlance) -> Result<(), Error> {
    let mut runs = others_since(state_dir, &run.id, &run.file)?;
    runs.retain(|other| other.file.started >= run.file.started && !other.is_retry());
    if runs.is_empty() {
        return Ok(());
    }
    let manifest = directory::read_manifest(&run.path)?;
    let Some(Sender { run: later, delivered, .. }) = newest_sender(runs, &manifest)? else { return Ok(()) };
    let RunFlags { look, go } = RunFlags::new(state_dir, &run.file.tuning);
    Err(Error::refused(format!(
        "run {id} is the last that is not finished, but run {later} was begun after it and has sent {} of the same into {}: what {id} \
         still sends is there twice then; `respool resume {id}{go}` goes on with it all the same, `respool runs{look}` lists all",
        many(delivered, "record"),
        run.file.settings.target,
        id = run.id,
        later = later.id,
    )))
}

/// The runs that are about some of the same, oldest first.
fn others(
    state_dir: &StateDir,
    settings: &RunSettings,
    stream: &StreamIdentity,
) -> Result<Vec<RunGlance>, Error> {
    let Target::Kinesis { .. } = settings.target else { return Ok(Vec::new()) };
    let mut runs = directory::glance_at_all(state_dir)?;
    runs.retain(|run| is_same(settings, stream, run));
    Ok(runs)
}

/// Those of them that have worked since the run `id` began.
fn others_since(state_dir: &StateDir, id: &str, file: &RunFile) -> Result<Vec<RunGlance>, Error> {
    let mut runs = others(state_dir, &file.settings, &file.stream)?;
    runs.retain(|run| {
        let worked = checkpoint_log::last_written(&run.path);
        run.id != id && (run.file.started >= file.started || worked.is_some_and(|at| at > file.started))
    });
    Ok(runs)
}

/// A run that has sent what is wanted once more.
struct Sender {
    run: RunGlance,
    /// Records that it has delivered in all.
    delivered: u64,
    /// Objects of the list of which it has sent some.
    again: usize,
    wanted: usize,
    /// Older runs that were not looked at.
    others: usize,
}

/// The last of `runs` that has sent some of `manifest`.
fn newest_sender(mut runs: Vec<RunGlance>, manifest: &Manifest) -> Result<Option<Sender>, Error> {
    runs.retain(|run| run.delivered_so_far() > 0);
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
            let (delivered, wanted, others) = (run.delivered_so_far(), wanted.len(), runs.len());
            return Ok(Some(Sender { run, delivered, again, wanted, others }));
        }
    }
    Ok(None)
}

impl Sender {
    /// That it has sent some of what `settings` want, and so may have others.
    fn told(&self, settings: &RunSettings, state_dir: &StateDir) -> String {
        let Self { run, delivered, again, wanted, others } = self;
        let RunFlags { look, go } = RunFlags::new(state_dir, &run.file.tuning);
        let (id, target) = (&run.id, &settings.target);
        let others = match *others {
            0 => String::new(),
            1 => ", and another run may have sent some, too".to_owned(),
            more => format!(", and {} may have sent some, too", many(more, "other run")),
        };
        let (unfinished, instead) = if run.is_unfinished() {
            (", which is not finished,", format!("`respool resume {id}{go}` goes on with it"))
        } else {
            ("", format!("`respool verify {id}{go}` whether it is there"))
        };
        format!(
            "run {id}{unfinished} has sent {} into {target}, {}, out of a list with {} of these {}{others}: what is sent \
             again is there twice. `respool runs show {id}{look}` tells of it, {instead}",
            many(*delivered, "record"),
            run.file.started.strftime("%Y-%m-%d %H:%M UTC"),
            number(*again as u64),
            many(*wanted, "object"),
        )
    }
}

/// Says it, whatever else is not to be said: it is no news of progress.
pub(super) fn warn(before: &str) {
    console::say(&format!("warning: {before}"));
}

/// Says it where nothing else is asked, into a stream on this machine or by a run that goes on; `false` if the user has
/// second thoughts.
pub(super) fn confirm(output: &OutputConfig, yes: bool, before: Option<&str>) -> Result<bool, Error> {
    let Some(before) = before else { return Ok(true) };
    warn(before);
    if output.can_ask && !yes { console::ask("Send them once more? [y/N] ") } else { Ok(true) }
}

/// Whether `run` is about the same stream and, as far as its settings tell, about some of the same records.
fn is_same(wished: &RunSettings, stream: &StreamIdentity, run: &RunGlance) -> bool {
    let (one, other) = (&run.file.settings, wished);
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
