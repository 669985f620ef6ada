//! `respool replay` and `respool resume`: from the wish to a session.
//!
//! Everything that can go wrong without a record being sent goes wrong here, in this order: the command
//! line, the cache, the archive, the stream, the user's own second thoughts.

use std::sync::Arc;

use jiff::Timestamp;

use super::absent::{Seeker, Sent};
use super::checkpoint_log;
use super::directory::{self, RunDirectory, RunFile, RunGlance};
use super::feed::{self, Sample};
use super::forecast::Forecast;
use super::journal;
use super::key_fields::{ARRAY, holds_the_records, key_fields, table};
use super::open::{self, OpenStream};
use super::report::{Report, number};
use super::segments::Segments;
use super::select::select;
use super::session::Session;
use super::spool::{KnownDefects, Spool, SpoolConfig, blocking};
use super::twice;
use super::unchanged::{self, check_record_size, identity};
pub use super::unchanged::{check_same_stream, check_unchanged};
use super::work::Work;
use crate::archive::Archive;
use crate::archive::manifest::Manifest;
use crate::cache::Cache;
use crate::config::{
    ArchiveAddress, CacheMode, ReplayConfig, ResumeConfig, RunFlags, RunSettings, StateDir, Target, Tuning,
};
use crate::decode::{DECODER_VERSION, DecodeConfig};
use crate::error::Error;
use crate::plan::warnings::refuse_loop;
use crate::record::{ByteCount, HashKeyRange, agree, many};
use crate::route::ROUTE_VERSION;
use crate::route::key::KeyExtractor;
use crate::shown::shown;
use crate::write::checkpoint::Checkpoint;

/// What came of a replay.
pub enum Replayed {
    /// It ran; the report says how far.
    Report(Box<Report>),
    /// `--dry-run`: what it would have been.
    Forecast(Box<Forecast>),
}

/// Starts a run.
pub async fn replay(config: &ReplayConfig, now: Timestamp) -> Result<Replayed, Error> {
    let ReplayConfig { settings, tuning, .. } = config;
    // First the stream, which is asked one question; then the archive, which may be asked thousands.
    let target = open::stream(&settings.target, tuning, now, &Seeker::Replay).await?;
    open::check_order(&settings.target, settings.order, settings.aggregate, &target.description)?;
    if !config.new_run && !config.dry_run {
        twice::refuse_to_start(config, &identity(&target.description))?;
    }
    let sources = Sources::open(settings, tuning).await?;
    let manifest = sources.manifest(config).await?;
    if !config.allow_loop && !config.dry_run {
        refuse_loop(&settings.target, &manifest.objects)?;
    }
    let listed = sent_before(config, &target, manifest).await?;
    begin(config, now, target, sources, listed).await
}

/// What is listed, and what to say if it was sent before.
async fn sent_before(
    config: &ReplayConfig,
    target: &OpenStream,
    manifest: Manifest,
) -> Result<(Manifest, Option<String>), Error> {
    let (wished, stream) = (config.clone(), identity(&target.description));
    let (before, manifest) =
        blocking(move || (twice::sent_before(&wished, &stream, &manifest), manifest)).await?;
    Ok((manifest, before?))
}

/// Starts a run of the objects in `manifest`, whatever else the archive holds. A retry names the
/// run that has set aside what it sends.
pub async fn replay_listed(
    config: &ReplayConfig,
    now: Timestamp,
    sources: Sources,
    manifest: Manifest,
    retried: Option<&RunGlance>,
) -> Result<Replayed, Error> {
    let settings = &config.settings;
    let seeker = retried.map_or(Seeker::Replay, |run| {
        let flags = RunFlags::new(&config.state_dir, &run.file.tuning);
        Seeker::Retry(Sent::new(&run.id, &run.file.settings, flags))
    });
    let target = open::stream(&settings.target, &config.tuning, now, &seeker).await?;
    open::check_order(&settings.target, settings.order, settings.aggregate, &target.description)?;
    if !config.allow_loop && !config.dry_run {
        refuse_loop(&settings.target, &manifest.objects)?;
    }
    let listed = sent_before(config, &target, manifest).await?;
    begin(config, now, target, sources, listed).await
}

/// Begins a run of what is listed, of which some may have been sent before.
async fn begin(
    config: &ReplayConfig,
    now: Timestamp,
    target: OpenStream,
    sources: Sources,
    (manifest, before): (Manifest, Option<String>),
) -> Result<Replayed, Error> {
    let ReplayConfig { settings, tuning, .. } = config;
    let extractor = settings.key_config().map(KeyExtractor::new);
    let manifest = Arc::new(manifest);
    let sources = sources.recalling(&config.state_dir);
    let (spool, segments) = sources.spool(settings, tuning, manifest.clone())?;
    spool.check_in_reach().await?;
    let Some(extractor) = extractor else {
        return Err(ask_for_a_key(feed::look_at_fields(&spool, &segments).await?));
    };
    if config.dry_run || !target.description.harmless {
        let extractor = Arc::new(extractor.clone());
        let hottest = feed::sample(&spool, &segments, &extractor).await?;
        let mut forecast = Forecast::new(settings, tuning, &target, &spool, hottest);
        forecast.warnings.splice(0..0, before);
        if config.dry_run {
            return Ok(Replayed::Forecast(Box::new(forecast)));
        }
        if !confirm(config, &forecast)? {
            return Err(Error::refused("nothing was sent"));
        }
    } else if !twice::confirm(config, before.as_deref())? {
        return Err(Error::refused("nothing was sent"));
    }
    let directory = RunDirectory::create(&config.state_dir, now)?;
    let file = unchanged::begin(now, settings.clone(), tuning.clone(), &target.description, &manifest);
    let file = RunFile { allow_loop: config.allow_loop, ..file };
    directory.define(&file, &manifest)?;
    if let Some(plan) = &config.plan {
        directory.write_plan(plan)?;
    }
    let objects = many(manifest.objects.len(), "object");
    tracing::info!("run {}: {objects} into {}", directory.id(), settings.target);
    let checkpoint = Checkpoint::start([HashKeyRange::ALL]);
    let output = &config.output;
    let session = Session {
        directory: &directory,
        file: &file,
        checkpoint,
        target,
        spool,
        segments,
        extractor,
        output,
        typed: Some(&config.typed),
    };
    Ok(Replayed::Report(Box::new(session.run().await?)))
}

/// Goes on with a run.
pub async fn resume(config: &ResumeConfig, now: Timestamp) -> Result<Report, Error> {
    let id = match &config.run {
        Some(id) => id.clone(),
        None => last_unfinished(&config.state_dir)?.id,
    };
    let directory = RunDirectory::open(&config.state_dir, &id)?;
    let mut file = directory::read_run_file(&directory)?;
    if directory.is_done() {
        return Err(Error::refused(format!("run {id} is done: there is nothing left to resume")));
    }
    file.tuning = config.changes.clone().apply(file.tuning);
    let (settings, tuning) = (&file.settings, &file.tuning);
    let manifest = directory.manifest()?;
    if !config.allow_loop && !file.allow_loop {
        refuse_loop(&settings.target, &manifest.objects)?;
    }
    check_unchanged("manifest", &file.manifest_digest, &manifest.digest())?;
    check_unchanged("decoder version", &file.decoder_version.to_string(), &DECODER_VERSION.to_string())?;
    check_unchanged("route version", &file.route_version.to_string(), &ROUTE_VERSION.to_string())?;
    let seeker = Seeker::Resume(Sent::by(&directory, &file));
    let target = open::stream(&settings.target, tuning, now, &seeker).await?;
    check_same_stream(&file, &target.description)?;
    check_record_size(&file, &target.description)?;
    open::check_order(&settings.target, settings.order, settings.aggregate, &target.description)?;
    let checkpoint = last_checkpoint(&directory)?;
    let sources = Sources::open(settings, tuning).await?.recalling(&config.state_dir);
    let (spool, segments) = sources.spool(settings, tuning, Arc::new(manifest))?;
    let extractor = settings
        .key_config()
        .map(KeyExtractor::new)
        .ok_or_else(|| Error::refused(format!("run {id} has no partition key: its run.json was edited")))?;
    if !config.output.quiet {
        let before = checkpoint.totals.delivered;
        let (before, were) = (many(before, "record"), agree(before, "was", "were"));
        super::console::say(&format!("resuming run {id}: {before} {were} delivered before"));
        if let Target::Sim { .. } = settings.target {
            super::console::say(
                "the embedded stream ended with its process: this one holds what is still to come",
            );
        }
    }
    let output = &config.output;
    let session = Session {
        directory: &directory,
        file: &file,
        checkpoint,
        target,
        spool,
        segments,
        extractor,
        output,
        typed: None,
    };
    session.run().await
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

/// Where records come from.
pub struct Sources {
    cache: Arc<Cache>,
    passing_bytes_max: Option<ByteCount>,
    /// Absent with `--offline`.
    archive: Option<Arc<dyn Archive>>,
    /// Where the runs are that have looked at the objects before.
    runs: Option<StateDir>,
}

impl Sources {
    /// Opens the cache, and the archive if it may be asked.
    pub async fn open(settings: &RunSettings, tuning: &Tuning) -> Result<Self, Error> {
        Self::open_at(&settings.archive, tuning).await
    }

    /// The same for an archive without a run.
    pub async fn open_at(address: &ArchiveAddress, tuning: &Tuning) -> Result<Self, Error> {
        let (cache, passing_bytes_max) = open::cache(&tuning.cache)?;
        let archive = match tuning.cache.mode {
            CacheMode::Offline => None,
            CacheMode::Keep | CacheMode::Discard => Some(open::archive_at(address, tuning).await?),
        };
        Ok(Self { cache, passing_bytes_max: Some(passing_bytes_max), archive, runs: None })
    }

    /// The same; without the archive the runs in `state_dir` tell which objects are broken.
    #[must_use]
    pub fn recalling(self, state_dir: &StateDir) -> Self {
        Self { runs: Some(state_dir.clone()), ..self }
    }

    /// The same; what has no room in the cache is not fetched.
    #[must_use]
    pub fn without_passing(self) -> Self {
        Self { passing_bytes_max: None, ..self }
    }

    /// The archive, unless only the cache is read.
    pub fn archive(&self) -> Option<Arc<dyn Archive>> {
        self.archive.clone()
    }

    /// The frozen list of what is to be replayed, which is not empty.
    pub async fn manifest(&self, config: &ReplayConfig) -> Result<Manifest, Error> {
        let manifest = match &self.archive {
            Some(archive) => {
                let input = &config.settings.input;
                let restore = input.restore.filter(|_| !config.dry_run);
                select(archive, input, restore, &config.tuning.cache.dir, config.output.quiet).await?
            }
            None => earlier_manifest(config)?,
        };
        check_not_empty(&config.settings.archive, &manifest)?;
        Ok(manifest)
    }

    /// The spool of the objects of `manifest`, and where their segments are.
    pub fn spool(
        self,
        settings: &RunSettings,
        tuning: &Tuning,
        manifest: Arc<Manifest>,
    ) -> Result<(Arc<Spool>, Arc<Segments>), Error> {
        let known = match (&self.archive, &self.runs) {
            (None, Some(runs)) => KnownDefects::recall(runs, &manifest, settings.input.decoding)?,
            _ => KnownDefects::default(),
        };
        self.spool_knowing(known, open::decoding(&settings.input), tuning, manifest)
    }

    /// The same for objects without a run.
    pub fn spool_with(
        self,
        decode: DecodeConfig,
        tuning: &Tuning,
        manifest: Arc<Manifest>,
    ) -> Result<(Arc<Spool>, Arc<Segments>), Error> {
        self.spool_knowing(KnownDefects::default(), decode, tuning, manifest)
    }

    fn spool_knowing(
        self,
        known: KnownDefects,
        decode: DecodeConfig,
        tuning: &Tuning,
        manifest: Arc<Manifest>,
    ) -> Result<(Arc<Spool>, Arc<Segments>), Error> {
        let config = SpoolConfig {
            known,
            decode,
            keep: tuning.cache.mode != CacheMode::Discard,
            passing_bytes_max: self.passing_bytes_max,
            work: Work::pool("decode")?,
        };
        let segments = Arc::new(Segments::new(self.cache.clone()));
        let spool = Spool::new(config, self.archive, self.cache, manifest, segments.clone());
        Ok((Arc::new(spool), segments))
    }
}

/// Refuses a window in which nothing lies, and says what lies beside it.
pub fn check_not_empty(archive: &ArchiveAddress, manifest: &Manifest) -> Result<(), Error> {
    if !manifest.objects.is_empty() {
        return Ok(());
    }
    Err(Error::refused(format!(
        "nothing is selected: {} holds no objects with events in this window ({} lie outside of it, {} hold no events \
         by their name, {} are left out by patterns, {} lie in an archive tier): name another window (--from, --until) or another place",
        archive,
        number(manifest.outside),
        number(manifest.skipped),
        number(manifest.excluded),
        number(manifest.archived)
    )))
}

/// Without the archive, the list of the last run that asked for the same.
fn earlier_manifest(config: &ReplayConfig) -> Result<Manifest, Error> {
    let wanted = &config.settings;
    let same = |run: &RunGlance| {
        let found = &run.file.settings;
        found.archive == wanted.archive && found.input == wanted.input
    };
    let runs = directory::glance_at_all(&config.state_dir)?;
    let run = runs.iter().rev().find(|run| same(run)).ok_or_else(|| {
        Error::refused(
            "--offline needs the list of objects of an earlier run over the same archive, window and format, and there is none: run \
             it once without --offline, which lists the archive and fills the cache",
        )
    })?;
    directory::read_manifest(&run.path)
}

/// What to say instead of a key: the first record, and the fields that would do.
pub fn ask_for_a_key(sample: Option<Sample>) -> Error {
    let Some(Sample { record, alone, fields, whole }) = sample else {
        return Error::usage("--partition-key is missing, and the archive has no record to look at");
    };
    let beginning: String = String::from_utf8_lossy(&record).chars().take(2_000).collect();
    let shown = shown(&beginning);
    let mut told = table(&key_fields(&fields), fields.records(), whole);
    if alone && holds_the_records(&record) {
        told = format!("{told}\n{ARRAY}");
    }
    Error::usage(format!(
        "--partition-key is missing: an archive does not keep the keys, so you have to choose.\n\n\
         The first record is\n  {shown}\n\n{}",
        told.trim_end()
    ))
}

/// The run that is resumed if none is named.
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
    let found = others.into_iter().chain(retries).next();
    found.ok_or_else(|| {
        let flag = state_dir.flag();
        Error::refused(format!("there is no unfinished run: `respool runs{flag}` lists all there are"))
    })
}

/// A write cannot be taken back: the user sees what it will be, and says yes.
fn confirm(config: &ReplayConfig, forecast: &Forecast) -> Result<bool, Error> {
    if !config.output.quiet || !config.yes {
        super::console::say(&forecast.render());
    }
    if config.yes {
        return Ok(true);
    }
    if !config.output.can_ask {
        return Err(Error::refused(
            "records cannot be taken back once they are sent: say --yes to send them",
        ));
    }
    super::console::ask("Send them? [y/N] ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Environment, Invocation, parse};

    #[test]
    fn without_a_terminal_and_without_yes_nothing_is_sent() {
        let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
        let confirmed = |flags: &str| {
            let line = format!("respool replay s3://events/live/ --into orders --partition-key /k {flags}");
            let Ok(Invocation::Replay(config)) = parse(line.split_whitespace(), &environment) else {
                panic!("{line}");
            };
            confirm(&config, &Forecast::default())
        };
        let refused = confirmed("--quiet").unwrap_err();
        assert!(refused.to_string().contains("--yes"), "{refused}");
        assert!(confirmed("--quiet --yes").unwrap());
    }
}
