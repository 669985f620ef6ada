//! From the cache to the engine: the objects in the manifest's order, cut into chunks, routed.
//!
//! Objects are spooled far ahead and many at a time; chunks are routed a few ahead and in parallel, on a
//! pool of their own, because that is where pages of a segment are first touched. What comes out is one
//! sequence in archive order.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot};

use super::ahead::Ahead;
use super::journal::{QuarantineLine, SegmentLine};
use super::refused::Refused;
use super::segments::Segments;
use super::shares::Shares;
use super::spool::{Spool, Spooled, blocking};
use super::work::Work;
use crate::cache::SegmentError;
use crate::error::Error;
use crate::record::{HashKey, Ordinal, agree};
use crate::route::fields::{self, Fields};
use crate::route::key::KeyExtractor;
use crate::route::{RouteRules, RoutedChunk, SetAside, SetAsideReason, route_chunk};
use crate::write::checkpoint::Checkpoint;

/// Objects that an estimate looks at.
const SAMPLE_OBJECTS: u32 = 8;
/// Records of each of them whose keys are counted.
const SAMPLE_RECORDS: u32 = 50_000;
/// Records of one chunk.
const CHUNK_RECORDS: u32 = 4_096;
/// Chunks that are routed ahead of the one that is handed over.
const CHUNKS_AHEAD: usize = 8;

/// What the feed hands over, in archive order.
#[derive(Debug)]
pub enum Fed {
    /// The records of this segment follow.
    Segment(SegmentLine),
    /// Records; the end of the chunk may be the end of its object.
    Chunk(RoutedChunk),
    /// An earlier process settled this object.
    SettledBefore(u32),
    /// This object is set aside whole.
    Quarantined(QuarantineLine),
    /// There is nothing more; this many objects were left out because of `--limit`.
    End {
        /// Objects that were not looked at.
        beyond_limit: u64,
    },
}

/// How records are routed.
pub struct Feed {
    /// Brings objects into the cache.
    pub spool: Arc<Spool>,
    /// Where they lie then.
    pub segments: Arc<Segments>,
    /// Where each record goes, if anywhere.
    pub rules: Arc<RouteRules>,
    /// The segments that an earlier process has sent records from, by object.
    pub sent_from: BTreeMap<u32, SegmentLine>,
    /// What is wanted of each object, if not all of it.
    pub shares: Option<Shares>,
    /// Whatever the archive refuses is set aside, however much it is.
    pub accept_refusals: bool,
    /// Where routing happens.
    pub work: Work,
}

impl Feed {
    /// Feeds `sink` from object `first` on, passing over what `done` has settled. Ends early, without
    /// an error, when nobody listens any more.
    pub async fn run(mut self, first: u32, done: Checkpoint, sink: mpsc::Sender<Fed>) -> Result<(), Error> {
        let total = u32::try_from(self.spool.manifest().objects.len()).unwrap_or(u32::MAX);
        let mut shares = self.shares.take();
        let last_settled = done.settled_objects.last().map(|&(_, last)| last);
        let unsettled: Vec<u32> = (first..total).filter(|&number| !done.is_settled(number)).collect();
        let wanted = unsettled.len();
        let mut refused = Refused::new(self.accept_refusals, self.spool.location());
        let mut ahead = Ahead::start(self.spool.clone(), unsettled);
        for number in first..total {
            let used_up = shares.as_ref().is_some_and(|shares| shares.are_used_up_before(number));
            if used_up && last_settled.is_none_or(|last| number > last) {
                let beyond_limit = u64::from(total - number);
                refused.hand_over(&sink).await;
                self.end(beyond_limit, &sink).await;
                return Ok(());
            }
            if done.is_settled(number) {
                if !refused.hand_over(&sink).await || sink.send(Fed::SettledBefore(number)).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            let Some(spooled) = ahead.next().await else { break };
            let fed = match spooled? {
                Spooled::Quarantined { reason, detail } => {
                    let line = self.quarantine_line(number, reason, detail, &done);
                    let settles = refused.push(line, wanted)?;
                    !settles || refused.hand_over(&sink).await
                }
                Spooled::Segment { records, fetched } => {
                    if fetched {
                        refused.end_row();
                    }
                    refused.hand_over(&sink).await
                        && match self.begin(number, &done, &mut shares, &sink).await? {
                            Begun::Feed { wanted } => self.object(number, records, wanted, &sink).await?,
                            Begun::SetAside => true,
                            Begun::NobodyListens => false,
                        }
                }
                Spooled::NoRoom => return Err(Error::internal("what a run sends always has room")),
            };
            if !fed {
                return Ok(());
            }
        }
        refused.hand_over(&sink).await;
        self.end(0, &sink).await;
        Ok(())
    }

    async fn end(&self, beyond_limit: u64, sink: &mpsc::Sender<Fed>) {
        self.spool.stats.ended.store(true, Ordering::Relaxed);
        let _ = sink.send(Fed::End { beyond_limit }).await;
    }

    /// Says which segment the records of object `number` come from. If they are not those that a part was sent
    /// of before, what is left of the object is set aside.
    async fn begin(
        &self,
        number: u32,
        done: &Checkpoint,
        shares: &mut Option<Shares>,
        sink: &mpsc::Sender<Fed>,
    ) -> Result<Begun, Error> {
        let segments = self.segments.clone();
        let segment = self.work.run(move || segments.get(number));
        let segments = self.segments.clone();
        drop(self.work.run(move || segments.read_ahead(number.saturating_add(1))));
        let segment = segment.await.unwrap_or_else(|_| Err(panicked(number)))?;
        let (records, checksum) = (segment.records(), segment.checksum());
        let before = self.sent_from.get(&number);
        let same = before.is_some_and(|before| (before.records, before.checksum) == (records, checksum));
        if before.is_some() && !same && done.sent_of(number).is_some() {
            let detail = "its records are not those of which a part was sent".to_owned();
            let line = self.quarantine_line(number, "changed".to_owned(), detail, done);
            return Ok(if sink.send(Fed::Quarantined(line)).await.is_ok() {
                Begun::SetAside
            } else {
                Begun::NobodyListens
            });
        }
        let share = shares.as_mut().map(|shares| shares.of(number, records, before.is_some() && !same));
        let wanted = share.unwrap_or(records);
        let lost_behind = wanted == records && !segment.label().defect.is_empty();
        self.segments.expect(number, records + u32::from(lost_behind));
        let line = SegmentLine { object: number, records, checksum, wanted: share };
        if same || sink.send(Fed::Segment(line)).await.is_ok() {
            return Ok(Begun::Feed { wanted });
        }
        Ok(Begun::NobodyListens)
    }

    fn quarantine_line(
        &self,
        object: u32,
        reason: String,
        mut detail: String,
        done: &Checkpoint,
    ) -> QuarantineLine {
        if let Some((delivered, doubtful)) = done.sent_of(object) {
            let doubt = if doubtful { ", and more of them may have been" } else { "" };
            let were = agree(delivered, "was", "were");
            let _ = write!(
                detail,
                "; only what was left of it: {delivered} of its records {were} delivered before{doubt}"
            );
        }
        let key = self.spool.manifest().object(object).map(|entry| entry.key.to_string()).unwrap_or_default();
        QuarantineLine {
            object,
            record: None,
            key,
            reason,
            detail,
            offset: None,
            stored: None,
            sent_in_part: done.sent_of(object).is_some(),
        }
    }

    /// Routes the first `wanted` records of one object. `false` if nobody listens any more.
    async fn object(
        &self,
        number: u32,
        records: u32,
        wanted: u32,
        sink: &mpsc::Sender<Fed>,
    ) -> Result<bool, Error> {
        let mut routing: VecDeque<(Range<u32>, Routing)> = VecDeque::new();
        let mut next = 0;
        let (mut ended, mut fetched_again) = (false, false);
        while !(ended && routing.is_empty()) {
            while !ended && routing.len() < CHUNKS_AHEAD {
                let end = wanted.min(next + CHUNK_RECORDS);
                routing.push_back((next..end, self.route(number, next..end)));
                next = end;
                ended = end == wanted;
            }
            let Some((range, chunk)) = routing.pop_front() else { break };
            let mut chunk = match chunk.await.unwrap_or_else(|_| Err(panicked(number)))? {
                Ok(chunk) => chunk,
                Err(damage) => {
                    if !std::mem::replace(&mut fetched_again, true) {
                        self.fetch_again(number, records, &damage).await?;
                    }
                    let chunk = self.route(number, range).await.unwrap_or_else(|_| Err(panicked(number)))?;
                    chunk.map_err(|damage| damaged(&self.spool, number, damage))?
                }
            };
            if ended && routing.is_empty() {
                chunk.end = Ordinal::new(number + 1, 0);
                chunk.filtered += records - wanted;
                if let (true, Some(defect)) = (wanted == records, self.segments.defect(number)?) {
                    let ordinal = Ordinal::new(number, records);
                    chunk.set_aside.push(SetAside { ordinal, reason: SetAsideReason::Salvaged { defect } });
                }
            }
            if sink.send(Fed::Chunk(chunk)).await.is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Nothing of a damaged block is sent: the object is brought into the cache anew.
    async fn fetch_again(&self, number: u32, records: u32, damage: &SegmentError) -> Result<(), Error> {
        self.spool.discard(number, damage);
        match self.spool.object_at_front(number).await? {
            Spooled::Segment { records: found, .. } if found == records => return Ok(()),
            Spooled::Segment { .. } | Spooled::Quarantined { .. } | Spooled::NoRoom => {}
        }
        Err(Error::incomplete(format!(
            "the segment of object {number} was damaged on disk, and the object is not what it was any more"
        )))
    }

    fn route(&self, number: u32, range: Range<u32>) -> Routing {
        let (segments, rules, spool) = (self.segments.clone(), self.rules.clone(), self.spool.clone());
        self.work.run(move || {
            let segment = segments.get(number)?;
            let first = Ordinal::new(number, range.start);
            let records = range.map(|record| segment.record(record)).collect::<Result<Vec<_>, _>>();
            let only = spool.manifest().object(number).and_then(|entry| entry.only.as_deref());
            Ok(records.map(|records| route_chunk(&rules, only, first, records.into_iter())))
        })
    }
}

/// Whether the records of an object are to be fed.
enum Begun {
    Feed { wanted: u32 },
    SetAside,
    NobodyListens,
}

/// A chunk on its way, or what is wrong with the segment that it lies in.
type Routing = oneshot::Receiver<Result<Result<RoutedChunk, SegmentError>, Error>>;

fn panicked(number: u32) -> Error {
    Error::internal(format!("a thread of respool failed on object {number}"))
}

/// The segment is damaged: it goes, so that a resume fetches the object again.
fn damaged(spool: &Spool, number: u32, error: SegmentError) -> Error {
    spool.discard(number, &error);
    let sentence =
        format!("the segment of object {number} is damaged on disk; resume to fetch the object again");
    Error::incomplete(sentence).with_source(error)
}

/// The first record, and the fields of those in a few objects from all over the archive; `None` if there is no record.
pub async fn look_at_fields(spool: &Arc<Spool>, segments: &Arc<Segments>) -> Result<Option<Sample>, Error> {
    let Some((record, alone)) = first_record(spool, segments).await? else { return Ok(None) };
    let total = u32::try_from(spool.manifest().objects.len()).unwrap_or(u32::MAX);
    let step = total.div_ceil(SAMPLE_OBJECTS).max(1) as usize;
    let most = fields::records_of_each(total.min(SAMPLE_OBJECTS) as usize);
    let mut sample = Sample { record, alone, fields: Fields::default(), whole: step == 1 };
    for number in (0..total).step_by(step) {
        if let Spooled::Segment { records, .. } = spool.object(number).await? {
            sample.whole &= records as usize <= most;
            let segments = segments.clone();
            let seen = move || -> Result<Fields, Error> {
                let (segment, mut fields) = (segments.get(number)?, Fields::default());
                // A damaged block ends the look; it is found again when the object is fed.
                let records = (0..records).map_while(|record| segment.record(record).ok());
                records.take(most).for_each(|record| fields.see(record));
                Ok(fields)
            };
            sample.fields.join(blocking(seen).await??);
        }
        spool.look_at(number).await?;
    }
    Ok(Some(sample))
}

/// The first record of the first object that has one, and whether that has no other.
async fn first_record(
    spool: &Arc<Spool>,
    segments: &Arc<Segments>,
) -> Result<Option<(Vec<u8>, bool)>, Error> {
    let total = u32::try_from(spool.manifest().objects.len()).unwrap_or(u32::MAX);
    for number in 0..total {
        let mut fetched_again = false;
        while let Spooled::Segment { records: records @ 1.., .. } = spool.object(number).await? {
            let segments = segments.clone();
            let first = move || -> Result<Result<Vec<u8>, SegmentError>, Error> {
                Ok(segments.get(number)?.record(0).map(<[u8]>::to_vec))
            };
            match blocking(first).await?? {
                Ok(record) => return Ok(Some((record, records == 1))),
                Err(damage) if fetched_again => return Err(damaged(spool, number, damage)),
                Err(damage) => spool.discard(number, &damage),
            }
            fetched_again = true;
        }
    }
    Ok(None)
}

/// Spools a few objects from all over the archive, so that estimates stand on more than the first one. Gives the
/// part of their records that the most frequent key has.
#[expect(clippy::cast_precision_loss, reason = "a part of a sample")]
pub async fn sample(
    spool: &Arc<Spool>,
    segments: &Arc<Segments>,
    extractor: &Arc<KeyExtractor>,
) -> Result<Option<f64>, Error> {
    let total = u32::try_from(spool.manifest().objects.len()).unwrap_or(u32::MAX);
    let step = total.div_ceil(SAMPLE_OBJECTS).max(1);
    let mut keys: HashMap<HashKey, u64> = HashMap::new();
    for number in (0..total).step_by(step as usize) {
        if let Spooled::Segment { .. } = spool.object(number).await? {
            let (segments, extractor) = (segments.clone(), extractor.clone());
            keys = blocking(move || count_keys(keys, &segments, &extractor, number)).await??;
        }
        spool.look_at(number).await?;
    }
    spool.count_cached().await?;
    let records: u64 = keys.values().sum();
    let hottest = keys.values().max().copied();
    Ok(hottest.map(|hottest| hottest as f64 / records as f64))
}

/// Adds the keys of one object. A damaged block ends the count; it is found again when the object is fed.
fn count_keys(
    mut keys: HashMap<HashKey, u64>,
    segments: &Segments,
    extractor: &KeyExtractor,
    number: u32,
) -> Result<HashMap<HashKey, u64>, Error> {
    let segment = segments.get(number)?;
    for record in 0..segment.records().min(SAMPLE_RECORDS) {
        let Ok(data) = segment.record(record) else { break };
        if let Ok(key) = extractor.key(data, Ordinal::new(number, record)) {
            *keys.entry(HashKey::of(key.as_str())).or_default() += 1;
        }
    }
    Ok(keys)
}

/// A look into an archive.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The bytes of its first record.
    pub record: Vec<u8>,
    /// Whether its object has no other.
    pub alone: bool,
    /// What the records looked at say of their fields.
    pub fields: Fields,
    /// Whether they are all there are.
    pub whole: bool,
}
