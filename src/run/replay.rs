//! `respool replay`: from the wish to a session.
//!
//! Everything that can go wrong without a record being sent goes wrong here, in this order: the command
//! line, the cache, the archive, the stream, the user's own second thoughts.

use std::sync::Arc;

use jiff::Timestamp;

use super::absent::{Seeker, Sent};
use super::anew;
use super::begun;
use super::directory::{self, RunDirectory, RunFile, RunGlance};
use super::feed::{self, Sample};
use super::forecast::Forecast;
use super::key_fields::{ARRAY, holds_the_records, key_fields, table};
use super::loops::refuse_loop;
use super::open::{self, OpenStream};
use super::report::{Report, number};
pub use super::resume::{last_checkpoint, last_unfinished, resume};
use super::segments::Segments;
use super::select::select;
use super::session::Session;
use super::spool::{KnownDefects, Spool, SpoolConfig, blocking};
use super::twice;
use super::unchanged::{self, identity};
pub use super::unchanged::{check_same_stream, check_unchanged};
use super::work::Work;
use crate::archive::Archive;
use crate::archive::manifest::Manifest;
use crate::cache::Cache;
use crate::config::{ArchiveAddress, CacheMode, ReplayConfig, RunSettings, StateDir, Tuning};
use crate::decode::DecodeConfig;
use crate::error::Error;
use crate::record::{ByteCount, HashKeyRange, many};
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
    let (manifest, before) = sent_before(config, &target, manifest).await?;
    begin(config, now, target, sources, Wanted { manifest, before, confirmed: false }).await
}

/// What a run is to send.
struct Wanted {
    manifest: Manifest,
    /// What to say if some of it was sent before.
    before: Option<String>,
    /// Whether the user has seen what it will be, and said yes.
    confirmed: bool,
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

/// Why a list of objects is replayed that is known already.
pub enum Listed<'a> {
    /// It was listed before the stream was made, and the user has seen what it will be, and said yes.
    Confirmed,
    /// It is what this run has set aside.
    Retry(&'a RunGlance),
}

/// Starts a run of the objects in `manifest`, whatever else the archive holds.
pub async fn replay_listed(
    config: &ReplayConfig,
    now: Timestamp,
    sources: Sources,
    manifest: Manifest,
    listed: Listed<'_>,
) -> Result<Replayed, Error> {
    let settings = &config.settings;
    let (seeker, retried) = match listed {
        Listed::Confirmed => (Seeker::Replay, None),
        Listed::Retry(run) => (Seeker::Retry(Sent::to_retry(run, config)), Some(run)),
    };
    let target = open::stream(&settings.target, &config.tuning, now, &seeker).await?;
    if let Some(run) = retried {
        anew::confirm(config, run, &target.description)?;
    }
    open::check_order(&settings.target, settings.order, settings.aggregate, &target.description)?;
    if !config.allow_loop && !config.dry_run {
        refuse_loop(&settings.target, &manifest.objects)?;
    }
    let confirmed = retried.is_none();
    let (manifest, before) = sent_before(config, &target, manifest).await?;
    begin(config, now, target, sources, Wanted { manifest, before, confirmed }).await
}

/// Begins a run of what is wanted.
async fn begin(
    config: &ReplayConfig,
    now: Timestamp,
    target: OpenStream,
    sources: Sources,
    Wanted { manifest, before, confirmed }: Wanted,
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
    if config.dry_run || !target.description.harmless && !confirmed {
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
    } else if !twice::confirm(&config.output, config.yes, before.as_deref())? {
        return Err(Error::refused("nothing was sent"));
    }
    let directory = RunDirectory::create(&config.state_dir, now)?;
    let file = unchanged::begin(now, settings.clone(), tuning.clone(), &target, &manifest);
    let file = RunFile { allow_loop: config.allow_loop, ..file };
    directory.define(&file, &manifest)?;
    if let Some(plan) = &config.plan {
        directory.write_plan(plan)?;
    }
    let typed = config.typed.through(tuning, settings);
    directory.write_typed(&typed)?;
    let typed = begun::by_flags(Some(typed), &file, &config.state_dir);
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
        typed: typed.as_ref(),
        resumed: false,
    };
    Ok(Replayed::Report(Box::new(session.run().await?)))
}

/// Where records come from.
pub struct Sources {
    cache: Arc<Cache>,
    passing_bytes_max: Option<ByteCount>,
    /// Absent with `--offline`.
    archive: Option<Arc<dyn Archive>>,
    /// Where the runs are that have looked at the objects before.
    runs: Option<StateDir>,
    /// Whether what objects show to be is news.
    tells: bool,
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
        Ok(Self { cache, passing_bytes_max: Some(passing_bytes_max), archive, runs: None, tells: true })
    }

    /// The same; without the archive the runs in `state_dir` tell which objects are broken.
    #[must_use]
    pub fn recalling(self, state_dir: &StateDir) -> Self {
        Self { runs: Some(state_dir.clone()), ..self }
    }

    /// The same for who reads what is told of elsewhere.
    #[must_use]
    pub fn untold(self) -> Self {
        Self { tells: false, ..self }
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
            tells: self.tells,
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
    Err(Error::refused(nothing_selected(archive, manifest)))
}

/// What lies there instead, each with what would bring it in.
fn nothing_selected(archive: &ArchiveAddress, manifest: &Manifest) -> String {
    let beside = [
        (manifest.outside, "outside of the window", "name another window (--from, --until)"),
        (manifest.excluded, "left out by patterns", "name other patterns (--include, --exclude)"),
        (manifest.archived, "in an archive tier", "have them brought back (--restore)"),
        (manifest.skipped, "without events by their name", "name another place"),
    ];
    let found = || beside.iter().filter(|(count, ..)| *count > 0);
    if found().next().is_none() {
        return format!("nothing is selected: {archive} holds no objects at all; check its name");
    }
    let lies = found().map(|(count, where_to, _)| format!("{} {where_to}", number(*count)));
    let ways = found().map(|(.., way)| *way).collect::<Vec<_>>().join(", or ");
    let lies = lies.collect::<Vec<_>>().join(", ");
    format!("nothing is selected: of the objects in {archive} there are {lies}: {ways}")
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
        let slash = runs.iter().rev().map(|run| &run.file.settings.archive).find(|archive| {
            let (found, wanted) = (archive.to_string(), wanted.archive.to_string());
            found != wanted && found.trim_end_matches('/') == wanted.trim_end_matches('/')
        });
        let slash = slash.map(|archive| format!(" ({archive} is another prefix, and was listed)"));
        Error::refused(format!(
            "--offline needs the list of objects of an earlier run over the same archive, window and format, and there is none{}: run \
             it once without --offline, which lists the archive and fills the cache",
            slash.unwrap_or_default()
        ))
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

/// A write cannot be taken back: the user sees what it will be, and says yes.
fn confirm(config: &ReplayConfig, forecast: &Forecast) -> Result<bool, Error> {
    if !config.output.quiet || !config.yes {
        super::console::say(&forecast.render());
    } else {
        forecast.warnings.iter().for_each(|warning| twice::warn(warning));
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
