//! Where a benchmark's records come from: the cache, which is filled once before anything is measured.
//!
//! What a step needs may be many gigabytes, of which only few have to exist: its manifest names the objects that are
//! there again and again. Everything that a benchmark writes for itself lies in one folder that goes with it.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::generate;
use super::lasting::Keys;
use crate::archive::ObjectEntry;
use crate::archive::manifest::Manifest;
use crate::config::{
    ArchiveAddress, BenchConfig, BenchSource, BenchSubject, CacheMode, Input, RunSettings, Target, Tuning,
};
use crate::error::Error;
use crate::limits::{RECORD_BYTES_MAX, SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use crate::record::{agree, many};
use crate::route::RouteRules;
use crate::route::key::KeyExtractor;
use crate::run::ahead::Ahead;
use crate::run::loops::refuse_loop;
use crate::run::replay::{Sources, check_not_empty};
use crate::run::select::select;
use crate::run::spool::{Spooled, blocking};
use crate::shown::shown;

const SCRATCH_PREFIX: &str = "bench-";
const SCRATCH_LOCK: &str = "lock";
/// What a run reads ahead of what it sends, with room to spare.
const AHEAD_RECORDS: f64 = 1_300_000.0;
/// More than any machine sends, where nothing but the machine is the limit.
const UNBOUNDED_PER_SECOND: f64 = 3_000_000.0;

/// A folder for what only this benchmark needs.
pub(super) struct Scratch {
    folder: TempDir,
    // Held for its lock.
    _lock: File,
}

impl Scratch {
    /// Makes one below the cache's directory, where there is room; those that killed processes left go.
    pub(super) fn new(cache_dir: &Path) -> Result<Self, Error> {
        let cannot = |error| {
            let dir = cache_dir.display();
            Error::refused(format!("cannot use the directory {dir} (--cache-dir names another)"))
                .with_source(error)
        };
        DirBuilder::new().recursive(true).mode(0o700).create(cache_dir).map_err(cannot)?;
        for entry in fs::read_dir(cache_dir).map_err(cannot)?.flatten() {
            let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(SCRATCH_PREFIX));
            let lock = if ours { File::open(entry.path().join(SCRATCH_LOCK)).ok() } else { None };
            if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::Builder::new().prefix(SCRATCH_PREFIX).tempdir_in(cache_dir).map_err(cannot)?;
        let lock = File::create(folder.path().join(SCRATCH_LOCK)).map_err(cannot)?;
        lock.lock().map_err(cannot)?;
        Ok(Self { folder, _lock: lock })
    }

    /// A path in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Records that lie in the cache.
pub(super) struct Source {
    /// How a run over them is defined, but for its target.
    pub(super) settings: RunSettings,
    /// How it is carried out.
    pub(super) tuning: Tuning,
    /// The list that the objects stand in.
    manifest: Manifest,
    /// Those in the cache, with their records.
    objects: Vec<(ObjectEntry, u32)>,
    /// Bytes of a record, on average.
    pub(super) mean_bytes: f64,
    /// An archive's keys; those of made-up events spread evenly.
    pub(super) keys: Option<Arc<Keys>>,
}

/// Objects that hold nothing to measure with, because they are damaged.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    count: u64,
    first: Option<String>,
}

impl LeftOut {
    /// Leaves out the object with this key, and `why`.
    pub(super) fn add(&mut self, key: &str, why: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| format!("{}: {}", shown(key), shown(why)));
    }

    /// All of them in one sentence, if there are any.
    pub(super) fn sentence(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let (objects, are) = (many(self.count, "damaged object"), agree(self.count, "is", "are"));
        let which = agree(self.count, "", "the first is ");
        Some(format!("{objects} of the archive {are} left out: {which}{first}"))
    }

    /// Says so.
    pub(super) fn warn(&self) {
        if let Some(sentence) = self.sentence() {
            tracing::warn!("{sentence}");
        }
    }
}

/// Brings into the cache what steps of up to `shards` shards need: events of `size` bytes, or the archive's own.
pub(super) async fn prepare(
    config: &BenchConfig,
    scratch: &Scratch,
    size: Option<u32>,
    shards: u32,
) -> Result<Source, Error> {
    let mut tuning = config.tuning.clone();
    let (address, input) = match (&config.source, size) {
        (BenchSource::Archive { address, input }, _) => {
            if tuning.cache.mode == CacheMode::Discard {
                tuning.cache.dir = scratch.path("cache");
            }
            (address.clone(), Input::clone(input))
        }
        (BenchSource::Generated { .. }, size) => {
            let bytes = size.unwrap_or(1_000);
            let path = scratch.path(&format!("events-{bytes}"));
            tuning.cache.dir = scratch.path("cache");
            let (directory, count) = (path.clone(), generate::set_size(shards, bytes));
            blocking(move || generate::write(&directory, count, bytes, |lines| Ok(lines.to_vec())))
                .await?
                .map_err(|error| Error::incomplete("cannot write the events").with_source(error))?;
            (ArchiveAddress::Directory { path }, Input::default())
        }
    };
    tuning.cache.mode = CacheMode::Keep;
    let settings = settings(config, address, input);
    let seconds = config.duration.as_secs_f64() + 1.0;
    let unbounded = matches!(&config.subject, BenchSubject::Stream { target: Target::Null, .. });
    let per_shard = if unbounded { UNBOUNDED_PER_SECOND } else { f64::from(SHARD_RECORDS_PER_SECOND) };
    let wanted = (f64::from(shards) * per_shard * seconds, f64::from(shards) * seconds);
    let source = Source::fill(config, settings, tuning, wanted).await?;
    if let (BenchSource::Generated { .. }, ArchiveAddress::Directory { path }) =
        (&config.source, &source.settings.archive)
    {
        // From here on they are read from the cache.
        let _ = fs::remove_dir_all(path);
    }
    Ok(source)
}

/// What defines the runs of `config` over an archive.
pub(super) fn settings(config: &BenchConfig, archive: ArchiveAddress, input: Input) -> RunSettings {
    let (rule, fallback) = config.keys.clone();
    RunSettings {
        archive,
        target: Target::Null,
        input,
        limit: None,
        partition_key: Some(rule),
        key_fallback: fallback,
        order: config.order,
        aggregate: config.aggregate,
        seed: config.seed,
    }
}

/// How keys are found, as in a plan.
fn rules(settings: &RunSettings) -> Result<RouteRules, Error> {
    let key = settings.key_config().ok_or_else(|| Error::internal("a benchmark without keys"))?;
    Ok(RouteRules {
        extractor: KeyExtractor::new(key),
        record_bytes_max: RECORD_BYTES_MAX,
        event_time: settings.input.event_time.clone(),
        spread: None,
    })
}

impl Source {
    /// Spools objects until there are enough for `wanted` records, or as many shards' seconds of bytes.
    async fn fill(
        config: &BenchConfig,
        settings: RunSettings,
        mut tuning: Tuning,
        wanted: (f64, f64),
    ) -> Result<Self, Error> {
        let sources = Sources::open(&settings, &tuning).await?;
        let archive = sources.archive().ok_or_else(|| Error::internal("the archive is not open"))?;
        let manifest = select(
            &archive,
            &settings.input,
            settings.input.restore,
            &config.tuning.cache.dir,
            config.output.quiet,
        )
        .await?;
        check_not_empty(&settings.archive, &manifest)?;
        if let BenchSubject::Stream { target, allow_loop: false, .. } = &config.subject {
            refuse_loop(target, &manifest.objects)?;
        }
        let (spool, segments) = sources.spool(&settings, &tuning, Arc::new(manifest.clone()))?;
        let total = u32::try_from(manifest.objects.len()).unwrap_or(u32::MAX);
        let mut ahead = Ahead::start(spool.clone(), (0..total).collect());
        let (mut objects, mut records, mut bytes) = (Vec::new(), 0.0, 0.0);
        let mut left_out = LeftOut::default();
        let mut keys = match &config.source {
            BenchSource::Archive { .. } => Some(Keys::default()),
            BenchSource::Generated { .. } => None,
        };
        let rules = Arc::new(rules(&settings)?);
        let (wanted_records, shard_seconds) = wanted;
        let wanted_bytes = shard_seconds * f64::from(SHARD_BYTES_PER_SECOND);
        for number in 0..total {
            let Some(spooled) = ahead.next().await else { break };
            let Some(entry) = manifest.object(number) else { continue };
            let count = match spooled? {
                Spooled::Segment { records, .. } => records,
                Spooled::Quarantined { reason, detail } => {
                    left_out.add(&entry.key, &format!("{reason}: {detail}"));
                    continue;
                }
                Spooled::NoRoom => continue,
            };
            if count > 0 {
                objects.push((entry.clone(), count));
                records += f64::from(count);
                #[expect(clippy::cast_precision_loss, reason = "bytes of a segment, below 2^53")]
                let size = segments.get(number)?.data_bytes() as f64;
                bytes += size;
                if let Some(mut seen) = keys.take() {
                    let (segments, rules) = (segments.clone(), rules.clone());
                    keys = blocking(move || -> Result<_, Error> {
                        let segment = segments.get(number)?;
                        // A damaged block ends the look; it is found again by the steps.
                        seen.see(&rules, (0..count).map_while(|record| segment.record(record).ok()));
                        Ok(Some(seen))
                    })
                    .await??;
                }
            }
            spool.settled(number);
            if records >= wanted_records || bytes >= wanted_bytes {
                break;
            }
        }
        left_out.warn();
        if objects.is_empty() {
            return Err(Error::refused(format!("{} holds no records that could be sent", settings.archive)));
        }
        tuning.cache.mode = CacheMode::Offline;
        Ok(Self {
            settings,
            tuning,
            manifest,
            objects,
            mean_bytes: bytes / records,
            keys: keys.map(Arc::new),
        })
    }

    /// A list that is long enough for `shards` shards and `duration`; without shards' limits for anything.
    pub(super) fn manifest(&self, shards: Option<u32>, duration: Duration) -> Manifest {
        let per_second = shards.map_or(UNBOUNDED_PER_SECOND, |shards| {
            let bytes = f64::from(SHARD_BYTES_PER_SECOND) / self.mean_bytes;
            f64::from(shards) * bytes.min(f64::from(SHARD_RECORDS_PER_SECOND)) * 1.1
        });
        let wanted = AHEAD_RECORDS + per_second * duration.as_secs_f64();
        let mut objects = Vec::new();
        let mut records = 0.0;
        for (entry, count) in self.objects.iter().cycle() {
            objects.push(entry.clone());
            records += f64::from(*count);
            if records >= wanted {
                break;
            }
        }
        Manifest { objects, ..self.manifest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_one_sentence() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.sentence(), None);
        left_out.add("a.gz", "truncated");
        let one = left_out.sentence().unwrap();
        assert_eq!(one, "1 damaged object of the archive is left out: a.gz: truncated");
        left_out.add("b.gz", "checksum");
        let two = left_out.sentence().unwrap();
        assert_eq!(two, "2 damaged objects of the archive are left out: the first is a.gz: truncated");
    }
}
