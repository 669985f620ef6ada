//! `respool resume`: from a run's directory to a session.
//!
//! What the run was begun with must still be so, and what others have sent since is said before anything is sent. Without
//! a name the last unfinished run is meant, unless another was begun in its place.

use std::sync::Arc;

use jiff::Timestamp;

use super::absent::{Seeker, Sent};
use super::begun;
use super::checkpoint_log;
use super::console;
use super::directory::{self, RunDirectory, RunFile, RunGlance};
use super::journal;
use super::loops::refuse_loop;
use super::open;
use super::replay::Sources;
use super::report::Report;
use super::session::Session;
use super::spool::blocking;
use super::twice;
use super::unchanged::{check_record_size, check_same_stream, check_unchanged};
use crate::archive::manifest::Manifest;
use crate::config::{ResumeConfig, RunFlags, StateDir, Target};
use crate::decode::DECODER_VERSION;
use crate::error::Error;
use crate::record::{HashKeyRange, agree, many};
use crate::route::ROUTE_VERSION;
use crate::route::key::KeyExtractor;
use crate::write::checkpoint::Checkpoint;

/// Goes on with a run.
pub async fn resume(config: &ResumeConfig, now: Timestamp) -> Result<Report, Error> {
    let (named, state_dir) = (config.run.clone(), config.state_dir.clone());
    let id =
        blocking(move || named.map_or_else(|| last_unfinished(&state_dir).map(|run| run.id), Ok)).await??;
    let directory = RunDirectory::open(&config.state_dir, &id)?;
    let file = directory::read_run_file(&directory)?;
    let about = begun::about(&id, &file);
    let gone_on = Box::pin(go_on(config, &directory, file, now)).await;
    gone_on.map_err(|error| error.about_run(|| about))
}

async fn go_on(
    config: &ResumeConfig,
    directory: &RunDirectory,
    mut file: RunFile,
    now: Timestamp,
) -> Result<Report, Error> {
    let id = directory.id();
    if directory.is_done() {
        return Err(Error::refused(format!("run {id} is done: there is nothing left to resume")));
    }
    file.tuning = config.changes.clone().apply(file.tuning);
    let (settings, tuning) = (&file.settings, &file.tuning);
    let manifest = directory.manifest()?;
    if !config.allow_loop && !file.allow_loop {
        refuse_loop(&settings.target, &manifest.objects)?;
    }
    let anew = || begun::anew_in(directory.path(), &file, &config.state_dir);
    check_fits(id, &file, &manifest).map_err(|other| {
        let anew = anew();
        let begins = anew.as_ref().map(|anew| format!(": `{anew}`")).unwrap_or_default();
        Error::refused(format!("{other}{begins}")).with_next(anew)
    })?;
    let seeker = Seeker::Resume(Sent::by(directory, &file));
    let target = open::stream(&settings.target, tuning, now, &seeker).await?;
    check_same_stream(id, &file, &target.description).map_err(|other| {
        let anew = anew();
        let begins = anew.as_ref().map(|anew| format!(": `{anew}` begins anew")).unwrap_or_default();
        Error::refused(format!("{other}, so there is nothing left to go on with{begins}")).with_next(anew)
    })?;
    check_record_size(id, &file, &target.description)?;
    open::check_order(&settings.target, settings.order, settings.aggregate, &target.description)?;
    let (manifest, since) = sent_since(&config.state_dir, id, &file, manifest).await?;
    let checkpoint = last_checkpoint(directory)?;
    let sources = Sources::open(settings, tuning).await?.recalling(&config.state_dir);
    let (spool, segments) = sources.spool(settings, tuning, Arc::new(manifest))?;
    let extractor = settings
        .key_config()
        .map(KeyExtractor::new)
        .ok_or_else(|| Error::refused(format!("run {id} has no partition key: its run.json was edited")))?;
    if !config.output.quiet {
        let before = checkpoint.totals.delivered;
        let (before, were) = (many(before, "record"), agree(before, "was", "were"));
        console::say(&format!("resuming run {id}: {before} {were} delivered before"));
        if let Target::Sim { .. } = settings.target {
            console::say("the embedded stream ended with its process: this one holds what is still to come");
        }
    }
    if !twice::confirm(&config.output, config.yes, since.as_deref())? {
        return Err(Error::refused("nothing was sent"));
    }
    let (output, typed) = (&config.output, directory::typed(directory.path()));
    let typed = begun::by_flags(typed, &file, &config.state_dir);
    let session = Session {
        directory,
        file: &file,
        checkpoint,
        target,
        spool,
        segments,
        extractor,
        output,
        typed: typed.as_ref(),
        resumed: true,
    };
    session.run().await
}

/// What is read and how it is routed must be what it was.
fn check_fits(id: &str, file: &RunFile, manifest: &Manifest) -> Result<(), Error> {
    check_unchanged(id, "manifest", &file.manifest_digest, &manifest.digest())?;
    check_unchanged(id, "decoder version", &file.decoder_version.to_string(), &DECODER_VERSION.to_string())?;
    check_unchanged(id, "route version", &file.route_version.to_string(), &ROUTE_VERSION.to_string())
}

/// Where the run stands. A run that has lost its checkpoints is not started over: that would send
/// everything twice and count nothing.
pub fn last_checkpoint(directory: &RunDirectory) -> Result<Checkpoint, Error> {
    let unreadable = |error| {
        Error::refused("the run's checkpoints cannot be read, perhaps another version of respool wrote them: resume with that one, or start a \
             new run")
            .with_source(error)
    };
    match checkpoint_log::newest(directory.path()).map_err(unreadable)? {
        Some(checkpoint) => Ok(checkpoint),
        None if journal::has_delivered(directory.path()).map_err(unreadable)? => Err(Error::refused(
            "the run has delivered records, but its checkpoints are gone: start a new run",
        )),
        None => Ok(Checkpoint::start([HashKeyRange::ALL])),
    }
}

/// The list, and what to say if others have sent the same since the run `id` began.
async fn sent_since(
    state_dir: &StateDir,
    id: &str,
    file: &RunFile,
    manifest: Manifest,
) -> Result<(Manifest, Option<String>), Error> {
    let (state_dir, id, file) = (state_dir.clone(), id.to_owned(), file.clone());
    let (since, manifest) =
        blocking(move || (twice::sent_since(&state_dir, &id, &file, &manifest), manifest)).await?;
    Ok((manifest, since?))
}

/// The run that is resumed if none is named. Blocks.
pub fn last_unfinished(state_dir: &StateDir) -> Result<RunGlance, Error> {
    let runs = directory::glance_at_all(state_dir)?.into_iter().rev();
    // Another try of a few records must not stand before the run that is meant.
    let (retries, others): (Vec<_>, Vec<_>) =
        runs.filter(RunGlance::is_unfinished).partition(RunGlance::is_retry);
    if let Some(retry) = retries.first().filter(|_| !others.is_empty()) {
        tracing::warn!(
            "a retry of a quarantine is not finished either: `respool resume {}{}` goes on with it",
            retry.id,
            RunFlags::new(state_dir, &retry.file.tuning).go
        );
    }
    let found = others.into_iter().chain(retries).next().ok_or_else(|| {
        let flag = state_dir.flag();
        Error::refused(format!("there is no unfinished run: `respool runs{flag}` lists all there are"))
    })?;
    twice::refuse_if_replaced(state_dir, &found)?;
    Ok(found)
}
