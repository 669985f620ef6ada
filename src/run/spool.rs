//! From the archive into the cache: one object at a time, whole or not at all.
//!
//! A segment that is there already is taken as it is. Otherwise the object is fetched at full speed,
//! decoded completely on a thread of its own pool, and published; so a fetch never waits for Kinesis. A
//! permanent defect of the object sets it aside whole; trouble with the archive ends the run, to be
//! resumed.

mod count;
mod error;
mod fill;
mod growing;
mod known;
mod names;
mod reach;
mod stats;
mod told;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use error::{SpoolError, cache_error};
use fill::Filling;
use growing::Growing;
use known::KnownDefect;
pub use known::KnownDefects;
use names::{Name, Names};
pub use stats::{Counted, SpoolStats};
use told::Told;

use super::estimate::Estimate;
use super::pace::{Pace, Place};
use super::report::Brake;
use super::segments::Segments;
use super::space::{Room, Space};
use super::work::Work;
use crate::archive::manifest::Manifest;
use crate::archive::{Archive, ArchiveError, ArchiveLocation, ObjectBody, ObjectEntry};
use crate::cache::{Cache, Placement, Segment, SegmentError, SegmentLabel};
use crate::decode::{self, DecodeConfig, DecodeError};
use crate::error::Error;
use crate::record::ByteCount;
use crate::shown::shown;

/// Where an object's records are, or why they are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spooled {
    /// In this segment.
    Segment {
        /// Its records.
        records: u32,
        /// Whether the archive was asked for it, this time.
        fetched: bool,
    },
    /// Nowhere: the object was set aside whole.
    Quarantined {
        /// Why, in one word.
        reason: String,
        /// Why, in the words of whoever said no.
        detail: String,
    },
    /// In the archive still: the cache has no room for it, and nothing may pass through.
    NoRoom,
}

/// How objects are spooled.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// How bytes become records.
    pub decode: DecodeConfig,
    /// Whether segments stay for the next run.
    pub keep: bool,
    /// Whether what objects show to be is told.
    pub tells: bool,
    /// The most that segments may take that only pass through; if absent, what cannot be kept is not fetched.
    pub passing_bytes_max: Option<ByteCount>,
    /// Where objects are decoded.
    pub work: Work,
    /// What is known to be broken, if the archive cannot be asked.
    pub known: KnownDefects,
}

/// Brings objects into the cache.
pub struct Spool {
    config: SpoolConfig,
    archive: Option<Arc<dyn Archive>>,
    cache: Arc<Cache>,
    manifest: Arc<Manifest>,
    names: Names,
    segments: Arc<Segments>,
    pace: Arc<Pace>,
    space: Space,
    told: Arc<Told>,
    /// What was done.
    pub stats: SpoolStats,
    /// What is to come.
    pub estimate: Estimate,
}

impl Spool {
    /// A spool of the objects of `manifest`. Without an archive only the cache is read.
    pub fn new(
        config: SpoolConfig,
        archive: Option<Arc<dyn Archive>>,
        cache: Arc<Cache>,
        manifest: Arc<Manifest>,
        segments: Arc<Segments>,
    ) -> Self {
        let estimate = Estimate::new(&manifest);
        let names = Names::new(&manifest, &config.decode);
        segments.pin(names.all(&manifest));
        let pace = Arc::new(Pace::new(config.work.threads()));
        let space = Space::new(cache.clone(), segments.clone(), config.keep, config.passing_bytes_max);
        let told = Told::new(config.tells);
        Self {
            config,
            archive,
            cache,
            manifest,
            names,
            segments,
            pace,
            space,
            told: Arc::new(told),
            stats: SpoolStats::default(),
            estimate,
        }
    }

    /// Where objects come from, if they may be asked for.
    pub fn location(&self) -> Option<&ArchiveLocation> {
        self.archive.as_ref().map(|archive| archive.location())
    }

    /// The frozen list.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where objects come from, unless only the cache is read.
    pub fn archive(&self) -> Option<&Arc<dyn Archive>> {
        self.archive.as_ref()
    }

    /// What the cache keeps free for what other processes fetch.
    pub fn kept_for_others(&self) -> ByteCount {
        self.cache.kept_for_others()
    }

    /// Requests for objects made so far.
    pub fn object_requests(&self) -> u64 {
        self.archive.as_ref().map_or(0, |archive| archive.object_requests())
    }

    /// Looks at object `number` for an estimate only: nothing of it takes room afterwards, unless it is kept.
    pub async fn look_at(self: &Arc<Self>, number: u32) -> Result<(), Error> {
        self.object(number).await?;
        if self.segments.forget_passing(number) {
            self.space.release(number);
        }
        Ok(())
    }

    /// Waits until one more object may be in work.
    pub async fn place(&self) -> Result<Place, Error> {
        self.pace.place().await
    }

    /// Brings object `number` into the cache, or finds it there.
    pub async fn object(self: &Arc<Self>, number: u32) -> Result<Spooled, Error> {
        let place = self.place().await?;
        self.object_in(place, number).await
    }

    /// The same in a place that the caller has got; it is given back at the end.
    pub async fn object_in(self: &Arc<Self>, _place: Place, number: u32) -> Result<Spooled, Error> {
        self.object_at_front(number).await
    }

    /// The same without a place: for an object that the caller cannot go on without. Those behind it may have
    /// all places, and wait for room that only it can make.
    pub async fn object_at_front(self: &Arc<Self>, number: u32) -> Result<Spooled, Error> {
        if let Some(records) = self.segments.records(number) {
            return Ok(Spooled::Segment { records, fetched: false });
        }
        let (entry, name) = self.entry(number)?;
        if let Some(found) = self.look_up(number, name, entry).await? {
            return Ok(found);
        }
        let Some(archive) = self.archive.clone() else {
            if let Some(KnownDefect { reason, detail }) = self.config.known.of(number).cloned() {
                self.estimate.lost(number, entry);
                self.stats.quarantined.fetch_add(1, Ordering::Relaxed);
                return Ok(Spooled::Quarantined { reason, detail });
            }
            self.stats.forbidden.fetch_add(1, Ordering::Relaxed);
            return Err(Error::refused(format!(
                "{} is not in the cache or was damaged there, and --offline forbids to fetch it: --online does, as in `respool \
                 resume --online`",
                shown(&entry.key)
            )));
        };
        self.fetch(number, name, entry, archive.as_ref()).await
    }

    /// Every record of object `number` is settled: a segment that only passed through goes.
    pub fn settled(&self, number: u32) {
        self.segments.settle(number);
        self.space.release(number);
    }

    /// What the input waits for.
    pub fn brake(&self) -> Brake {
        let (fetching, decoding) =
            (self.stats.fetching.load(Ordering::Relaxed), self.stats.decoding.load(Ordering::Relaxed));
        match (fetching > decoding, fetching + decoding, self.space.is_waited_for()) {
            // The others could be in work as well.
            (_, 0 | 1, true) => Brake::Room,
            (true, ..) => Brake::Fetch,
            (false, ..) => Brake::Decode,
        }
    }

    /// Whether nothing comes before some of what passes through is settled.
    pub fn waits_for_room(&self) -> bool {
        self.brake() == Brake::Room
    }

    /// Until one begins to wait.
    pub async fn room_is_wanted(&self) {
        self.space.wanted().await;
    }

    /// The same as long as there is input to wait for.
    pub fn brake_of_input(&self) -> Option<Brake> {
        (!self.stats.ended.load(Ordering::Relaxed)).then(|| self.brake())
    }

    /// A damaged segment goes, so that its object is fetched again.
    pub fn discard(&self, number: u32, error: &SegmentError) {
        if let Some(id) = self.segments.remove(number)
            && let Err(error) = self.cache.discard(&id, error)
        {
            tracing::warn!("cannot remove a damaged segment: {error}");
        }
    }

    fn entry(&self, number: u32) -> Result<(&ObjectEntry, Name), Error> {
        let found = self.manifest.object(number).map(|entry| (entry, self.names.of(entry)));
        found.ok_or_else(|| Error::internal(format!("the manifest has no object {number}")))
    }

    async fn look_up(&self, number: u32, name: Name, entry: &ObjectEntry) -> Result<Option<Spooled>, Error> {
        let (cache, told, config) = (self.cache.clone(), self.told.clone(), self.config.decode);
        let look = move || Ok(name.look_up(&cache)?.inspect(|segment| told.segment(segment, &config)));
        let found = blocking(look).await?.map_err(|error| cache_error(&entry.key, error))?;
        Ok(found.map(|segment| {
            self.stats.hits.fetch_add(1, Ordering::Relaxed);
            self.published(number, entry, segment, Source::Cache)
        }))
    }

    async fn fetch(
        self: &Arc<Self>,
        number: u32,
        name: Name,
        entry: &ObjectEntry,
        archive: &dyn Archive,
    ) -> Result<Spooled, Error> {
        let _in_work = self.space.begin(number);
        let mut fetched_again = false;
        loop {
            // Who waits for somebody else to fill it has reserved nothing.
            let fill = match self.fill(number, name, entry).await? {
                Filling::Ours(fill) => fill,
                Filling::Done(found) => return Ok(found),
            };
            let guess = || self.estimate.segment_bytes(entry);
            let kept = self.space.keep(number, guess).await;
            // What passes through is nobody else's, and may wait long.
            let fill = fill.filter(|_| kept.is_some());
            let room = match kept {
                None => self.space.pass(number, guess()).await,
                kept => kept,
            };
            let Some(room) = room else { return Ok(Spooled::NoRoom) };
            let bytes = room.bytes();
            let result = match self.fetch_body(entry, archive).await {
                Ok(body) => self.decode(number, name, entry, body, room, fetched_again).await,
                Err(error) => Err(SpoolError::Archive(error)),
            };
            drop(fill);
            match result {
                Ok((segment, placement)) => {
                    let passing = placement == Placement::Passing;
                    self.stats.fetched.fetch_add(1, Ordering::Relaxed);
                    return Ok(self.published(number, entry, segment, Source::Archive { passing }));
                }
                // What arrived broken may have been broken on the way: once more.
                Err(SpoolError::Decode(DecodeError::Defect { reason, .. }))
                    if !fetched_again && reason.is_damage() =>
                {
                    tracing::info!("{} is damaged ({reason}), fetched once more", shown(&entry.key));
                    fetched_again = true;
                    self.space.release(number);
                }
                Err(error) if error.is_disk_full() && self.space.disk_is_full(number, bytes).await => {
                    self.space.release(number);
                }
                Err(error) => {
                    self.space.release(number);
                    self.estimate.lost(number, entry);
                    return self.set_aside(entry, error);
                }
            }
        }
    }

    async fn fetch_body(
        &self,
        entry: &ObjectEntry,
        archive: &dyn Archive,
    ) -> Result<ObjectBody, ArchiveError> {
        let _under_way = Counted::new(&self.stats.fetching);
        tracing::debug!("fetching {} ({})", shown(&entry.key), entry.size);
        archive.fetch(entry).await
    }

    async fn decode(
        self: &Arc<Self>,
        number: u32,
        name: Name,
        entry: &ObjectEntry,
        body: ObjectBody,
        room: Room,
        fetched_again: bool,
    ) -> Result<(Segment, Placement), SpoolError> {
        let spool = self.clone();
        let arrived = self.pace.arrived();
        let archive = self.manifest.archive.to_string();
        let label = SegmentLabel { archive, key: entry.key.to_string(), ..SegmentLabel::default() };
        // What arrived broken is not salvaged before it arrived broken once more.
        let config = DecodeConfig { salvage: name.salvaged.is_some() && fetched_again, ..self.config.decode };
        let decoded = self.config.work.run(move || {
            let _under_way = (Counted::new(&spool.stats.decoding), arrived);
            spool.decode_now(number, name, body, room, &config, label)
        });
        decoded.await.unwrap_or(Err(SpoolError::Panicked(number)))
    }

    /// On a thread of the decoder's pool: bytes in, segment out.
    fn decode_now(
        &self,
        number: u32,
        name: Name,
        body: ObjectBody,
        room: Room,
        config: &DecodeConfig,
        mut label: SegmentLabel,
    ) -> Result<(Segment, Placement), SpoolError> {
        let writer = self.cache.create(&name.whole, room.placement())?;
        let mut segment = Growing::new(writer, &self.space, number, room);
        let encoding = body.content_encoding.clone();
        let mut reader = body.reader().map_err(ArchiveError::Io)?;
        let decoded = decode::decode(&mut reader, encoding.as_deref(), config, &mut segment)?;
        self.told.decoded(&label.key, &decoded);
        label.decoding = format!("{}, {}", decoded.compression, decoded.framing);
        if let Some((salvaged, id)) = decoded.salvaged.zip(name.salvaged) {
            self.cache.rename(segment.writer(), &id);
            label.defect = format!("{}: {}", salvaged.reason, salvaged.message);
        }
        let (segment, placement) = segment.publish(&decoded.spans, &label)?;
        self.told.segment(&segment, config);
        Ok((segment, placement))
    }

    fn published(&self, number: u32, entry: &ObjectEntry, segment: Segment, source: Source) -> Spooled {
        self.estimate.saw(number, entry, segment.data_bytes(), segment.records());
        let records = segment.records();
        let passing = matches!(source, Source::Archive { passing: true });
        if passing {
            self.space.passing(number, segment.file_bytes());
        }
        self.segments.insert(number, segment, passing);
        Spooled::Segment { records, fetched: matches!(source, Source::Archive { .. }) }
    }

    /// A permanent defect of the object sets it aside; anything else ends the run.
    fn set_aside(&self, entry: &ObjectEntry, error: SpoolError) -> Result<Spooled, Error> {
        let key = shown(&entry.key);
        let (reason, detail) = match error {
            SpoolError::Archive(ArchiveError::Defect { reason, message }) => (reason.to_string(), message),
            SpoolError::Decode(DecodeError::Defect { reason, offset, message }) => {
                (reason.to_string(), format!("{message} (at byte {offset})"))
            }
            SpoolError::Archive(
                error @ (ArchiveError::Refused { .. } | ArchiveError::NoSuchArchive { .. }),
            ) => {
                return Err(Error::refused(format!("cannot fetch {key}")).with_source(error));
            }
            SpoolError::Archive(error) => {
                return Err(Error::incomplete(format!("cannot fetch {key}")).with_source(error));
            }
            SpoolError::Decode(DecodeError::Output(error)) => {
                return Err(cache_error(&entry.key, error.into()));
            }
            SpoolError::Decode(error) => {
                return Err(
                    Error::incomplete(format!("cannot decode {key} into the cache")).with_source(error)
                );
            }
            SpoolError::Cache(error) => return Err(cache_error(&entry.key, error)),
            SpoolError::Panicked(_) => {
                let sentence = format!("the decoder failed on {key}: a defect in respool");
                return Err(Error::internal(sentence));
            }
        };
        self.stats.quarantined.fetch_add(1, Ordering::Relaxed);
        Ok(Spooled::Quarantined { reason, detail })
    }
}

/// Where a segment came from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Cache,
    Archive { passing: bool },
}

/// Runs `work` where blocking is allowed.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("a thread of respool failed").with_source(error))
}
