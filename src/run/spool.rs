//! From the archive into the cache: one object at a time, whole or not at all.
//!
//! A segment that is there already is taken as it is. Otherwise the object is fetched at full speed,
//! decoded completely on a thread of its own pool, and published; so a fetch never waits for Kinesis. A
//! permanent defect of the object sets it aside whole; trouble with the archive ends the run, to be
//! resumed.
//!
//! Objects that fit stay in the cache for the next run; the last eighth of its limit is for those that
//! only pass through and are deleted once they are settled. The lowest object that is not yet published
//! is always let in, so waiting for room always ends.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, Semaphore, oneshot};

use super::report::Brake;
use super::segments::Segments;
use crate::archive::manifest::Manifest;
use crate::archive::{Archive, ArchiveError, ObjectBody, ObjectEntry};
use crate::cache::{Cache, CacheError, Placement, SegmentId, SegmentIdentity};
use crate::decode::{self, DECODER_VERSION, DecodeConfig, DecodeDefect, DecodeError};
use crate::error::Error;
use crate::record::ByteCount;

/// Objects in work at once: fetches, mostly, so the network's latency decides and not the cores.
const OBJECTS_AT_ONCE: usize = 16;
/// Compressed events grow about this much; used until the first objects say better.
const GROWTH_GUESS: u64 = 10;
/// The part of the cache for segments that only pass through: one over this.
const PASSING_PART: u64 = 8;

/// Where an object's records are, or why they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spooled {
    /// In this segment.
    Segment {
        /// Its name.
        id: SegmentId,
        /// Its records.
        records: u32,
    },
    /// Nowhere: the object was set aside whole.
    Quarantined {
        /// Why, in one word.
        reason: String,
        /// Why, in the words of whoever said no.
        detail: String,
    },
}

/// What was done, for the report and for estimates.
#[derive(Debug, Default)]
pub struct SpoolStats {
    /// Objects whose segment was there already.
    pub hits: AtomicU64,
    /// Objects that were fetched and published.
    pub fetched: AtomicU64,
    /// Objects that were set aside.
    pub quarantined: AtomicU64,
    /// Bytes of published or found objects, as stored in the archive.
    pub bytes_stored: AtomicU64,
    /// The same, decoded.
    pub bytes_decoded: AtomicU64,
    /// Their records.
    pub records: AtomicU64,
    /// Fetches under way.
    pub fetching: AtomicU64,
    /// Decodes under way.
    pub decoding: AtomicU64,
    /// Segments that were damaged and fetched again.
    pub damaged: AtomicU64,
}

/// How objects are spooled.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// How bytes become records.
    pub decode: DecodeConfig,
    /// Whether segments stay for the next run.
    pub keep: bool,
    /// Whether only the cache is read.
    pub offline: bool,
    /// The most that the cache may hold.
    pub limit: ByteCount,
}

/// Brings objects into the cache.
pub struct Spool {
    config: SpoolConfig,
    archive: Option<Arc<dyn Archive>>,
    cache: Arc<Cache>,
    manifest: Arc<Manifest>,
    segments: Arc<Segments>,
    pool: rayon::ThreadPool,
    at_once: Semaphore,
    space: Mutex<Space>,
    freed: Notify,
    /// What was done.
    pub stats: SpoolStats,
}

#[derive(Debug, Default)]
struct Space {
    /// Objects that are in work.
    unpublished: BTreeSet<u32>,
    /// Room that they are expected to take.
    reserved: u64,
    /// Segments that are deleted when they are settled, with their size.
    passing: std::collections::BTreeMap<u32, u64>,
    announced: bool,
}

struct Reservation {
    bytes: u64,
    placement: Placement,
}

impl Spool {
    /// A spool of the objects of `manifest`. Without an archive only the cache is read.
    pub fn new(
        config: SpoolConfig,
        archive: Option<Arc<dyn Archive>>,
        cache: Arc<Cache>,
        manifest: Arc<Manifest>,
        segments: Arc<Segments>,
    ) -> Result<Self, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .thread_name(|index| format!("decode-{index}"))
            .build()
            .map_err(|error| Error::incomplete("cannot start the decoder's threads").with_source(error))?;
        Ok(Self {
            config,
            archive,
            cache,
            manifest,
            segments,
            pool,
            at_once: Semaphore::new(OBJECTS_AT_ONCE),
            space: Mutex::default(),
            freed: Notify::new(),
            stats: SpoolStats::default(),
        })
    }

    /// The frozen list.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Requests for objects made so far.
    pub fn object_requests(&self) -> u64 {
        self.archive.as_ref().map_or(0, |archive| archive.object_requests())
    }

    /// Brings object `number` into the cache, or finds it there.
    pub async fn object(self: &Arc<Self>, number: u32) -> Result<Spooled, Error> {
        let Ok(_permit) = self.at_once.acquire().await else {
            return Err(Error::incomplete("the spool was closed"));
        };
        let entry = self.entry(number)?.clone();
        let id = self.identify(&entry);
        if let Some(found) = self.look_up(number, id, &entry).await? {
            return Ok(found);
        }
        let Some(archive) = self.archive.clone() else {
            return Err(Error::refused(format!(
                "{} is not in the cache, and --offline forbids to fetch it",
                entry.key.escape_debug()
            )));
        };
        self.fetch(number, id, &entry, archive.as_ref()).await
    }

    /// Every record of object `number` is settled: a segment that only passed through goes.
    pub fn settled(&self, number: u32) {
        let id = self.segments.remove(number);
        let passed = self.space().passing.remove(&number).is_some();
        if let (Some(id), true) = (id, passed) {
            if let Err(error) = self.cache.remove(&id) {
                tracing::warn!("cannot remove a segment that has passed through: {error}");
            }
        }
        self.freed.notify_waiters();
    }

    /// What the input waits for.
    pub fn brake(&self) -> Brake {
        let fetching = self.stats.fetching.load(Ordering::Relaxed);
        if fetching > self.stats.decoding.load(Ordering::Relaxed) { Brake::Fetch } else { Brake::Decode }
    }

    /// A damaged segment goes, so that its object is fetched again.
    pub fn discard(&self, number: u32) {
        self.stats.damaged.fetch_add(1, Ordering::Relaxed);
        if let Some(id) = self.segments.remove(number)
            && let Err(error) = self.cache.remove(&id)
        {
            tracing::warn!("cannot remove a damaged segment: {error}");
        }
    }

    /// All records of the run, as far as they are counted, and a guess for the rest.
    pub fn records_estimate(&self) -> Option<u64> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (stored, records) = (load(&self.stats.bytes_stored), load(&self.stats.records));
        let total = self.manifest.bytes().0;
        (stored > 0).then(|| {
            u64::try_from(u128::from(records) * u128::from(total) / u128::from(stored)).unwrap_or(u64::MAX)
        })
    }

    fn entry(&self, number: u32) -> Result<&ObjectEntry, Error> {
        self.manifest.object(number).ok_or_else(|| {
            Error::new(crate::error::ExitCode::Internal, format!("the manifest has no object {number}"))
        })
    }

    fn identify(&self, entry: &ObjectEntry) -> SegmentId {
        let location = serde_json::to_string(&self.manifest.archive).unwrap_or_default();
        let decode = serde_json::to_string(&self.config.decode).unwrap_or_default();
        SegmentIdentity {
            archive: &location,
            key: &entry.key,
            version: entry.version.as_deref(),
            etag: &entry.etag,
            size: entry.size,
            decode: &decode,
            decoder_version: DECODER_VERSION,
        }
        .id()
    }

    async fn look_up(
        self: &Arc<Self>,
        number: u32,
        id: SegmentId,
        entry: &ObjectEntry,
    ) -> Result<Option<Spooled>, Error> {
        let cache = self.cache.clone();
        let found = blocking(move || cache.lookup(&id)).await?;
        let found = found.map_err(|error| cache_error(&entry.key, error))?;
        Ok(found.map(|segment| {
            if self.config.keep {
                self.stats.hits.fetch_add(1, Ordering::Relaxed);
            }
            self.published(number, id, entry, segment.records(), segment.data_bytes())
        }))
    }

    async fn fetch(
        self: &Arc<Self>,
        number: u32,
        id: SegmentId,
        entry: &ObjectEntry,
        archive: &dyn Archive,
    ) -> Result<Spooled, Error> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            let reservation = self.reserve(number, entry).await;
            let _under_way = Counted::new(&self.stats.fetching);
            let body = archive.fetch(entry).await;
            drop(_under_way);
            let result = match body {
                Ok(body) => self.decode(number, id, entry, body, reservation.placement).await,
                Err(error) => Err(SpoolError::Archive(error)),
            };
            self.unreserve(number, &reservation);
            match result {
                Ok(segment) => {
                    self.stats.fetched.fetch_add(1, Ordering::Relaxed);
                    if reservation.placement == Placement::Passing {
                        self.space().passing.insert(number, segment.1);
                    }
                    return Ok(self.published(number, id, entry, segment.0, segment.1));
                }
                // What arrived broken may have been broken on the way: once more.
                Err(SpoolError::Decode(DecodeError::Defect { reason, .. }))
                    if attempts == 1 && reason.may_be_transfer() =>
                {
                    tracing::warn!("{} arrived damaged, fetched again", entry.key.escape_debug());
                }
                Err(error) => {
                    if error.is_disk_full() && self.wait_for_room(number).await {
                        attempts -= 1;
                        continue;
                    }
                    return self.set_aside(entry, error);
                }
            }
        }
    }

    async fn decode(
        self: &Arc<Self>,
        number: u32,
        id: SegmentId,
        entry: &ObjectEntry,
        body: ObjectBody,
        placement: Placement,
    ) -> Result<(u32, u64), SpoolError> {
        let (sender, receiver) = oneshot::channel();
        let spool = self.clone();
        let label = format!("{} {}", self.manifest.archive, entry.key);
        self.pool.spawn(move || {
            let _under_way = Counted::new(&spool.stats.decoding);
            let _ = sender.send(spool.decode_now(id, body, placement, &label));
        });
        let decoded = receiver.await;
        decoded.unwrap_or_else(|_| Err(SpoolError::Panicked(number)))
    }

    /// On a thread of the decoder's pool: bytes in, segment out.
    fn decode_now(
        &self,
        id: SegmentId,
        body: ObjectBody,
        placement: Placement,
        label: &str,
    ) -> Result<(u32, u64), SpoolError> {
        let mut writer = self.cache.create(&id, placement, label)?;
        let encoding = body.content_encoding.clone();
        let mut reader = body.reader().map_err(ArchiveError::Io)?;
        let decoded = decode::decode(&mut reader, encoding.as_deref(), &self.config.decode, &mut writer)?;
        let segment = writer.publish(&decoded.spans)?;
        Ok((segment.records(), segment.data_bytes()))
    }

    fn published(
        &self,
        number: u32,
        id: SegmentId,
        entry: &ObjectEntry,
        records: u32,
        bytes: u64,
    ) -> Spooled {
        self.stats.bytes_stored.fetch_add(entry.size.0, Ordering::Relaxed);
        self.stats.bytes_decoded.fetch_add(bytes, Ordering::Relaxed);
        self.stats.records.fetch_add(u64::from(records), Ordering::Relaxed);
        if !self.config.keep {
            self.space().passing.entry(number).or_insert(bytes);
        }
        self.segments.insert(number, id);
        Spooled::Segment { id, records }
    }

    /// A permanent defect of the object sets it aside; anything else ends the run.
    fn set_aside(&self, entry: &ObjectEntry, error: SpoolError) -> Result<Spooled, Error> {
        let key = entry.key.escape_debug();
        let (reason, detail) = match error {
            SpoolError::Archive(ArchiveError::Defect { reason, message }) => (reason.to_string(), message),
            SpoolError::Decode(DecodeError::Defect { reason, offset, message }) => {
                (reason.to_string(), format!("{message} (at byte {offset})"))
            }
            SpoolError::Archive(error) => {
                return Err(Error::incomplete(format!("cannot fetch {key}")).with_source(error));
            }
            SpoolError::Decode(error) => {
                return Err(
                    Error::incomplete(format!("cannot decode {key} into the cache")).with_source(error)
                );
            }
            SpoolError::Cache(error) => return Err(cache_error(&entry.key, error)),
            SpoolError::Panicked(_) => {
                let sentence = format!("the decoder failed on {key}: a defect in respool");
                return Err(Error::new(crate::error::ExitCode::Internal, sentence));
            }
        };
        self.stats.quarantined.fetch_add(1, Ordering::Relaxed);
        Ok(Spooled::Quarantined { reason, detail })
    }

    /// Waits until there is room for object `number`, or until it is the lowest one that waits.
    async fn reserve(&self, number: u32, entry: &ObjectEntry) -> Reservation {
        let bytes = self.expected_bytes(entry);
        self.space().unpublished.insert(number);
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(placement) = self.admit(number, bytes) {
                return Reservation { bytes, placement };
            }
            freed.await;
        }
    }

    fn admit(&self, number: u32, bytes: u64) -> Option<Placement> {
        let limit = self.config.limit.0;
        let used = self.cache.usage().bytes.0;
        let mut space = self.space();
        let expected = used + space.reserved + bytes;
        let kept_limit = limit - limit / PASSING_PART;
        let lowest = space.unpublished.first() == Some(&number);
        let placement = if !self.config.keep {
            (expected <= limit || lowest).then_some(Placement::Passing)
        } else if expected <= kept_limit || self.evict(expected - kept_limit) {
            Some(Placement::Kept)
        } else {
            (expected <= limit || lowest).then_some(Placement::Passing)
        };
        if placement == Some(Placement::Passing)
            && self.config.keep
            && !std::mem::replace(&mut space.announced, true)
        {
            tracing::warn!(
                "the cache is full ({}): the rest of this run passes through it and is fetched anew next time",
                self.config.limit
            );
        }
        if placement.is_some() {
            space.reserved += bytes;
        }
        placement
    }

    /// Makes `bytes` of room from segments that this run does not need.
    fn evict(&self, bytes: u64) -> bool {
        self.cache
            .make_room(ByteCount(bytes), &|id| self.segments.contains(id))
            .is_ok_and(|freed| freed.0 >= bytes)
    }

    fn unreserve(&self, number: u32, reservation: &Reservation) {
        let mut space = self.space();
        space.reserved -= reservation.bytes;
        space.unpublished.remove(&number);
        drop(space);
        self.freed.notify_waiters();
    }

    /// The disk is full. `true` once something was freed; `false` if nothing is there to be freed.
    async fn wait_for_room(&self, number: u32) -> bool {
        if self.evict(1) {
            return true;
        }
        let freed = self.freed.notified();
        let waits_for_someone = {
            let space = self.space();
            !space.passing.is_empty() || space.unpublished.first().is_some_and(|&first| first < number)
        };
        if waits_for_someone {
            freed.await;
        }
        waits_for_someone
    }

    fn expected_bytes(&self, entry: &ObjectEntry) -> u64 {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (stored, decoded) = (load(&self.stats.bytes_stored), load(&self.stats.bytes_decoded));
        let compressed = Path::new(&entry.key).extension().is_some_and(|extension| {
            extension.eq_ignore_ascii_case("gz") || extension.eq_ignore_ascii_case("zst")
        });
        match (stored, compressed) {
            (0, false) => entry.size.0,
            (0, true) => entry.size.0.saturating_mul(GROWTH_GUESS),
            _ => u64::try_from(u128::from(entry.size.0) * u128::from(decoded) / u128::from(stored))
                .unwrap_or(u64::MAX),
        }
    }

    fn space(&self) -> MutexGuard<'_, Space> {
        self.space.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, thiserror::Error)]
enum SpoolError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the decoder panicked on object {0}")]
    Panicked(u32),
}

impl SpoolError {
    fn is_disk_full(&self) -> bool {
        match self {
            Self::Decode(DecodeError::Output(error)) => crate::cache::is_disk_full(error),
            Self::Cache(error) => matches!(error, CacheError::NoSpace { .. }),
            Self::Archive(_) | Self::Decode(_) | Self::Panicked(_) => false,
        }
    }
}

/// One more as long as it lives.
struct Counted<'a>(&'a AtomicU64);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn cache_error(key: &str, error: CacheError) -> Error {
    let sentence = match &error {
        CacheError::NoSpace { .. } => {
            format!("the disk is full: no room in the cache for {}", key.escape_debug())
        }
        _ => format!("the cache failed on {}", key.escape_debug()),
    };
    Error::incomplete(sentence).with_source(error)
}

/// Runs `work` where blocking is allowed.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        Error::new(crate::error::ExitCode::Internal, "a thread of respool failed").with_source(error)
    })
}
