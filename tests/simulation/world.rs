//! An archive, a stream, and runs between them that can be stopped at any moment.
//!
//! Each attempt at a run has a runtime of its own, as a process has: when it is cut off, everything that
//! was under way in it is gone at that instant. The stream outlives it, and so does the disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use respool::archive::manifest::Manifest;
use respool::archive::{Archive as _, LocalArchive, Selection};
use respool::cache::Cache;
use respool::config::{ArchiveAddress, Input, Order, OutputConfig, RunSettings, StateDir, Target, Tuning};
use respool::decode::aggregate::unpack;
use respool::decode::{DECODER_VERSION, DecodeConfig};
use respool::record::{ByteCount, HashKey, HashKeyRange, ShardId};
use respool::route::ROUTE_VERSION;
use respool::route::key::KeyExtractor;
use respool::route::shard_map::ShardMap;
use respool::route::spread::Spread;
use respool::run::checkpoint_log;
use respool::run::directory::{RUN_FILE_VERSION, RunDirectory, RunFile, StreamIdentity, read_run_file};
use respool::run::open::OpenStream;
use respool::run::report::Report;
use respool::run::segments::Segments;
use respool::run::session::Session;
use respool::run::spool::{KnownDefects, Spool, SpoolConfig};
use respool::run::work::Work;
use respool::sim::{BurstRule, EmbeddedConfig, EmbeddedStream, FaultPlan, Retention};
use respool::stream::batch::{Batch, Draft, DraftSize};
use respool::stream::{
    BoxFuture, CallError, CallErrorClass, Entry, Outcome, ShardDescription, Stream, StreamDescription,
    UnknownCause,
};
use respool::write::StopReason;
use respool::write::checkpoint::Checkpoint;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, advance, sleep, timeout};

const QUIET: OutputConfig = OutputConfig {
    json: false,
    quiet: true,
    verbosity: 0,
    color: false,
    width: 80,
    progress_bar: false,
    can_ask: false,
};

/// A record whose key is `key`, with `number` and filled up to `bytes`.
pub fn record(key: u64, number: u64, bytes: usize) -> Vec<u8> {
    let mut record = format!(r#"{{"n":{number},"key":"key {key}","fill":""#).into_bytes();
    record.resize(bytes.max(record.len() + 2) - 2, b'.');
    record.extend_from_slice(b"\"}");
    record
}

/// An archive in a directory, and the records that are in it, in archive order.
pub struct Archive {
    directory: TempDir,
    /// Every record, in order.
    pub records: Vec<Vec<u8>>,
    objects: u32,
}

impl Archive {
    /// An empty one, with a cache beside it.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir_all(directory.path().join("archive/2026/07/01/05")).unwrap();
        Self { directory, records: Vec::new(), objects: 0 }
    }

    /// `count` records of `bytes` each over `keys` keys, in plain objects of up to `per_object`.
    pub fn of(count: u64, bytes: usize, keys: u64, per_object: usize) -> Self {
        let mut archive = Self::new();
        let all: Vec<_> = (0..count).map(|number| record(mix(number) % keys, number, bytes)).collect();
        for records in all.chunks(per_object) {
            archive.add(records.join(&b'\n').as_slice(), records.iter().cloned());
        }
        archive
    }

    /// Adds an object that holds `body`, which decodes to `records`.
    pub fn add(&mut self, body: &[u8], records: impl IntoIterator<Item = Vec<u8>>) {
        let (minute, second) = (self.objects / 60, self.objects % 60);
        let name =
            format!("2026/07/01/05/live-1-2026-07-01-05-{minute:02}-{second:02}-{:032x}", self.objects);
        fs::File::create(self.root().join(name)).unwrap().write_all(body).unwrap();
        self.objects += 1;
        self.records.extend(records);
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("archive")
    }

    /// Where its segments lie.
    pub fn cache(&self) -> PathBuf {
        self.directory.path().join("cache")
    }
}

/// A number that looks random and depends on nothing but `number`.
pub fn mix(number: u64) -> u64 {
    let bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// How the stream behaves and what the run is told.
#[derive(Clone, Copy)]
pub struct Setup {
    /// Shards of the stream.
    pub shards: u32,
    /// The first of them was split, so that its lower part is one of so many.
    pub split: Option<u32>,
    /// How they measure their limits.
    pub burst_rule: BurstRule,
    /// How long a call takes.
    pub latency: Duration,
    /// What the stream keeps.
    pub retention: Retention,
    /// What the run keeps in order.
    pub order: Order,
    /// Whether records are packed into aggregates.
    pub aggregate: bool,
    /// Every so many calls the answer is lost after the records were stored; 0 for never.
    pub lost_answers: u64,
    /// Records a second that somebody else writes to each shard.
    pub neighbour: u32,
    /// Whether that one comes and goes.
    pub restless: bool,
    /// What goes wrong with calls.
    pub faults: FaultPlan,
    /// Each attempt finds its shards doubled or halved after so long.
    pub reshard_after: Option<Duration>,
    /// Records that the run is to send, if not all.
    pub limit: Option<u64>,
    /// Whether the run file is one of the first version, which lacks the size of records.
    pub first_version: bool,
    /// What the cache may hold, and what may pass through beside it, in bytes.
    pub cache_bytes: (u64, u64),
}

impl Setup {
    /// Two shards, 20 ms, everything kept, nothing in the way.
    pub const PLAIN: Self = Self {
        shards: 2,
        split: None,
        burst_rule: BurstRule::SECOND,
        latency: Duration::from_millis(20),
        retention: Retention::All,
        order: Order::Key,
        aggregate: false,
        lost_answers: 0,
        neighbour: 0,
        restless: false,
        faults: FaultPlan::NONE,
        reshard_after: None,
        limit: None,
        first_version: false,
        cache_bytes: (1 << 40, 1 << 30),
    };
}

/// When an attempt ends if not by itself.
#[derive(Clone, Copy)]
pub enum Until {
    /// It goes on to its end.
    Done,
    /// The user interrupts it after so long.
    Interrupted(Duration),
    /// After so long it is gone, as by `kill -9`.
    Killed(Duration),
}

/// A run into a stream.
pub struct World<'a> {
    archive: &'a Archive,
    setup: Setup,
    state: TempDir,
    run: Option<String>,
    stream: Option<EmbeddedStream>,
    /// The age of the stream when the last attempt ended.
    lived: Duration,
    /// What was acked to whom and when, by this attempt's clock.
    pub seen: Arc<Mutex<Seen>>,
}

/// What the stream's caller saw.
#[derive(Default)]
pub struct Seen {
    calls: u64,
    /// Entries of ours that were throttled.
    pub throttled: u64,
    /// Per shard what it had taken after each call.
    pub shards: BTreeMap<ShardId, Vec<Taken>>,
}

/// What a shard has taken by some moment.
#[derive(Clone, Copy, Default)]
pub struct Taken {
    /// The moment, counted from the attempt's start.
    pub at: Duration,
    /// Records.
    pub records: u64,
    /// Their data and keys, in bytes.
    pub bytes: u64,
}

impl<'a> World<'a> {
    /// A stream that nothing was written to yet.
    pub fn new(archive: &'a Archive, setup: Setup) -> Self {
        // A checkpoint is synced every few virtual milliseconds: where there is a file system in memory, that
        // is free.
        let state = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { archive, setup, state, run: None, stream: None, lived: Duration::ZERO, seen: Arc::default() }
    }

    /// One process' work on the run. `None` if it was killed.
    pub fn attempt(&mut self, until: Until) -> Option<Report> {
        let runtime = runtime();
        runtime.block_on(async {
            let stream = self.stream().await;
            let (tell, stop) = mpsc::channel(1);
            if let Until::Interrupted(after) = until {
                tokio::spawn(async move {
                    sleep(after).await;
                    let _ = tell.send(StopReason::Interrupted).await;
                });
            } else {
                // Open for ever: who drops the sender says nothing.
                std::mem::forget(tell);
            }
            if self.setup.neighbour > 0 {
                let Setup { neighbour: records_per_second, restless, .. } = self.setup;
                tokio::spawn(neighbour(stream.clone(), records_per_second, restless));
            }
            if let Some(after) = self.setup.reshard_after {
                tokio::spawn(reshard(stream.clone(), after));
            }
            let patience = match until {
                Until::Killed(after) => after,
                Until::Done | Until::Interrupted(_) => Duration::from_hours(1),
            };
            let report = timeout(patience, self.work(stream.clone(), stop)).await.ok();
            let killed = matches!(until, Until::Killed(_));
            assert!(killed || report.is_some(), "the run does not end");
            self.lived = stream.with_service(|_, now| now.since_start());
            report
        })
    }

    async fn work(&mut self, stream: EmbeddedStream, stop: mpsc::Receiver<StopReason>) -> Report {
        let description = stream.describe().await.unwrap();
        let map = ShardMap::new(stream.list_open_shards().await.unwrap()).unwrap();
        let (directory, file, manifest) = self.directory(&description, &map).await;
        let cache =
            Arc::new(Cache::open(&self.archive.cache(), ByteCount(self.setup.cache_bytes.0)).unwrap());
        let segments = Arc::new(Segments::new(cache.clone()));
        let config = SpoolConfig {
            decode: DecodeConfig::default(),
            keep: true,
            passing_bytes_max: Some(ByteCount(self.setup.cache_bytes.1)),
            work: Work::Inline,
            known: KnownDefects::default(),
        };
        let archive = Arc::new(LocalArchive::open(&self.archive.root()).unwrap());
        let spool = Spool::new(config, Some(archive), cache, Arc::new(manifest), segments.clone());
        let checkpoint = checkpoint_log::newest(directory.path()).unwrap();
        let (start, seen) = (Instant::now(), self.seen.clone());
        let observed = Arc::new(Observed { stream, setup: self.setup, start, seen });
        let session = Session {
            directory: &directory,
            file: &file,
            checkpoint: checkpoint.unwrap_or_else(|| Checkpoint::start([HashKeyRange::ALL])),
            target: OpenStream { stream: observed, description, map },
            spool: Arc::new(spool),
            segments,
            extractor: KeyExtractor::new(file.settings.key_config().unwrap()),
            output: &QUIET,
            typed: None,
        };
        session.run_until(stop, Work::Inline).await.unwrap()
    }

    /// The run's directory: made by the first attempt, opened by all others.
    async fn directory(
        &mut self,
        stream: &StreamDescription,
        map: &ShardMap,
    ) -> (RunDirectory, RunFile, Manifest) {
        if let Some(run) = &self.run {
            let directory = RunDirectory::open(&StateDir::usual(self.state.path()), run).unwrap();
            let (file, manifest) = (read_run_file(&directory).unwrap(), directory.manifest().unwrap());
            return (directory, file, manifest);
        }
        let archive = LocalArchive::open(&self.archive.root()).unwrap();
        let listing = archive.list(&Selection::default()).await.unwrap();
        let manifest = Manifest::freeze(archive.location().clone(), Selection::default(), listing).unwrap();
        let mut file = self.file(stream, manifest.digest());
        if file.settings.spreads() {
            file.spread_over = Spread::firsts(map);
        }
        let directory = RunDirectory::create(&StateDir::usual(self.state.path()), file.started).unwrap();
        directory.define(&file, &manifest).unwrap();
        self.run = Some(directory.id().to_owned());
        (directory, file, manifest)
    }

    fn file(&self, stream: &StreamDescription, manifest_digest: String) -> RunFile {
        RunFile {
            version: RUN_FILE_VERSION,
            started: started(),
            settings: RunSettings {
                archive: ArchiveAddress::Directory { path: self.archive.root() },
                target: Target::Sim { shards: self.setup.shards },
                input: Input::default(),
                limit: self.setup.limit,
                partition_key: Some("/key".parse().unwrap()),
                key_fallback: None,
                order: self.setup.order,
                aggregate: self.setup.aggregate,
                seed: 7,
            },
            tuning: Tuning::new(self.archive.cache()),
            stream: StreamIdentity { name: stream.name.clone(), arn: None, created_ms: stream.created_ms },
            decoder_version: DECODER_VERSION,
            route_version: ROUTE_VERSION,
            record_bytes_max: (!self.setup.first_version).then_some(stream.record_bytes_max),
            spread_over: Vec::new(),
            manifest_digest,
            allow_loop: false,
        }
    }

    /// The stream, made at the first call. A new runtime's clock starts at the real time, which is behind
    /// what the stream has lived through.
    async fn stream(&mut self) -> EmbeddedStream {
        if let Some(stream) = &self.stream {
            advance(self.lived).await;
            assert!(stream.with_service(|_, now| now.since_start()) >= self.lived, "time runs backwards");
            return stream.clone();
        }
        let config = EmbeddedConfig {
            burst_rule: self.setup.burst_rule,
            retention: self.setup.retention,
            latency: self.setup.latency,
            faults: self.setup.faults,
            ..EmbeddedConfig::with_shards(NonZeroU32::new(self.setup.shards).unwrap())
        };
        let stream = EmbeddedStream::new(&config, started()).unwrap();
        if let Some(parts) = self.setup.split {
            let at = HashKey(u128::MAX / u128::from(self.setup.shards) / u128::from(parts));
            stream.with_service(|service, now| {
                service.split_shard(now, "sim", "shardId-000000000000", at).unwrap();
            });
        }
        self.stream.insert(stream).clone()
    }

    /// Every record in the stream as a consumer unpacks it, per shard in its order, but those of a neighbour.
    pub fn stored(&self) -> Vec<Vec<Vec<u8>>> {
        let stream = self.stream.as_ref().unwrap();
        let runtime = runtime();
        let _inside = runtime.enter();
        let range = |id: &ShardId| {
            stream.with_service(|service, now| {
                service.stream(now, "sim").unwrap().shard_by_id(&id.0).unwrap().range
            })
        };
        let ours = |(id, shard): (ShardId, Vec<respool::sim::shard::StoredRecord>)| {
            let range = range(&id);
            let seen = shard.into_iter().flat_map(|record| match unpack(&record.data.0) {
                Some(inside) if inside.iter().all(|record| range.contains(record.hash)) => {
                    inside.into_iter().map(|record| record.data.to_vec()).collect()
                }
                Some(_) => Vec::new(),
                None => vec![record.data.0.to_vec()],
            });
            seen.filter(|data| data != NEIGHBOUR).collect()
        };
        stream.records().into_iter().map(ours).collect()
    }

    /// From now on the stream takes records up to `bytes`.
    pub fn set_record_bytes_max(&self, bytes: usize) {
        let runtime = runtime();
        let _inside = runtime.enter();
        let stream = self.stream.as_ref().unwrap();
        stream.with_service(|service, now| service.set_record_bytes_max(now, "sim", bytes)).unwrap();
    }

    /// Records that the stream has throttled.
    pub fn throttled(&self) -> u64 {
        let runtime = runtime();
        let _inside = runtime.enter();
        self.stream.as_ref().unwrap().stats().iter().map(|(_, stats)| stats.throttled).sum()
    }

    /// Where the run's files lie.
    pub fn run_directory(&self) -> PathBuf {
        Path::new(self.state.path()).join("runs").join(self.run.as_deref().unwrap())
    }
}

const NEIGHBOUR: &[u8] = b"another producer's";

/// Writes to every shard, a few records at a time, whatever comes of it. A restless one writes twice as much every
/// other second, and nothing in between.
async fn neighbour(stream: EmbeddedStream, records_per_second: u32, restless: bool) {
    const EVERY: Duration = Duration::from_millis(20);
    let entry = |hash| Entry {
        data: respool::record::Payload(bytes::Bytes::from_static(NEIGHBOUR)),
        key: respool::record::PartitionKey::new("another").unwrap(),
        explicit_hash_key: Some(hash),
    };
    for tick in 0_u64.. {
        let factor = match (restless, tick / 50 % 2) {
            (false, _) => 1,
            (true, 0) => 2,
            (true, _) => 0,
        };
        let count = (records_per_second * factor / 50) as usize;
        stream.with_service(|service, now| {
            let open = service.stream(now, "sim").unwrap().open_shards().map(|shard| shard.range.first);
            for hash in open.collect::<Vec<_>>() {
                let _ = service.put(now, "sim", vec![entry(hash); count]);
            }
        });
        sleep(EVERY).await;
    }
}

/// Doubles the shards while they are few, and halves them again.
async fn reshard(stream: EmbeddedStream, after: Duration) {
    sleep(after).await;
    stream.with_service(|service, now| {
        let open = service.stream(now, "sim").unwrap().open_shards().len();
        let count = u32::try_from(open).unwrap();
        service.update_shard_count(now, "sim", if count < 6 { count * 2 } else { count / 2 }).unwrap();
    });
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn started() -> Timestamp {
    "2026-07-02T00:00:00Z".parse().unwrap()
}

/// The stream as its caller sees it.
struct Observed {
    stream: EmbeddedStream,
    setup: Setup,
    start: Instant,
    seen: Arc<Mutex<Seen>>,
}

impl Observed {
    fn note(&self, costs: &[usize], outcomes: &[Outcome]) -> bool {
        let mut seen = self.seen.lock().unwrap();
        let stored_at = self.start.elapsed().saturating_sub(self.setup.latency / 2);
        for (cost, outcome) in costs.iter().zip(outcomes) {
            if let Outcome::Acked { shard, .. } = outcome {
                let log = seen.shards.entry(shard.clone()).or_default();
                let last = log.last().copied().unwrap_or_default();
                if last.at != stored_at {
                    log.push(Taken { at: stored_at, ..last });
                }
                if let Some(taken) = log.last_mut() {
                    taken.records += 1;
                    taken.bytes += *cost as u64;
                }
            }
        }
        seen.calls += 1;
        seen.throttled += outcomes.iter().filter(|outcome| **outcome == Outcome::Throttled).count() as u64;
        self.setup.lost_answers > 0 && seen.calls.is_multiple_of(self.setup.lost_answers)
    }
}

impl Stream for Observed {
    fn describe(&self) -> BoxFuture<'_, Result<StreamDescription, CallError>> {
        self.stream.describe()
    }

    fn list_open_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
        self.stream.list_open_shards()
    }

    fn draft(&self, size: DraftSize) -> Draft {
        self.stream.draft(size)
    }

    fn put(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Outcome>, CallError>> {
        Box::pin(async {
            let entries = batch.into_entries()?;
            let costs: Vec<usize> = entries.iter().map(Entry::cost).collect();
            let outcomes = self.stream.put(Batch::Entries(entries)).await?;
            if self.note(&costs, &outcomes) {
                let class = CallErrorClass::Unknown(UnknownCause::Timeout);
                return Err(CallError { class, message: "the answer was lost".into() });
            }
            Ok(outcomes)
        })
    }
}
