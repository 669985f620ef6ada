//! The archive on one side, the stream on the other: both brought into buckets, side by side in time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::buckets::{Buckets, bucket_count};
use super::read::{Read, Reading, read_all};
use super::report::ShardLine;
use super::walk::{Digest, Era, Expected, Form, Seen, Standing};
use crate::cache::{Segment, SegmentError};
use crate::config::RunSettings;
use crate::decode::aggregate;
use crate::error::Error;
use crate::record::{HashKey, HashKeyRange, Ordinal, SequenceNumber, many};
use crate::route::key::KeyExtractor;
use crate::route::spread::Spread;
use crate::route::{RouteRules, Routed};
use crate::run::ahead::Ahead;
use crate::run::journal::{quarantine_lines, segment_lines};
use crate::run::report::number;
use crate::run::segments::Segments;
use crate::run::shares::Shares;
use crate::run::spool::{Spool, Spooled, blocking};
use crate::stream::ShardDescription;
use crate::stream::read::StoredRecord;
use crate::write::checkpoint::Checkpoint;

/// Pages that wait to be written.
const PAGES: usize = 8;

/// How far both sides are.
#[derive(Debug, Default)]
pub(super) struct Progress {
    of_archive: AtomicU64,
    of_stream: AtomicU64,
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [archive, stream] =
            [&self.of_archive, &self.of_stream].map(|count| count.load(Ordering::Relaxed));
        write!(f, "read {} of the stream and {} of the archive", many(stream, "record"), number(archive))
    }
}

/// Both sides in buckets.
pub(super) struct Both {
    pub(super) expected: Vec<File>,
    pub(super) seen: Vec<File>,
    pub(super) shards: Vec<ShardLine>,
    pub(super) objects_lost: u64,
    /// Records and whole objects in quarantine.
    pub(super) set_aside: (u64, u64),
    /// Records that the run has not come to yet.
    pub(super) not_due: u64,
}

/// What is compared.
pub(super) struct Sides {
    /// The run.
    pub(super) run: Deliverer,
    /// Its retries, whose records are its own.
    pub(super) retries: Vec<Deliverer>,
    /// When the run began, in milliseconds since 1970.
    pub(super) began_ms: i64,
    pub(super) ranges: Vec<HashKeyRange>,
    pub(super) progress: Arc<Progress>,
}

/// What has sent records, and out of what.
pub(super) struct Deliverer {
    pub(super) path: PathBuf,
    pub(super) settings: RunSettings,
    /// Where its records go, if their keys do not say so.
    pub(super) spread: Option<Spread>,
    pub(super) checkpoint: Checkpoint,
    /// Whether it is done, so that every record is due that is not set aside.
    pub(super) due_in_all: bool,
    /// What a record of it is that is due.
    pub(super) due: Standing,
    /// The number that its first object has here.
    pub(super) first_object: u32,
    pub(super) spool: Arc<Spool>,
    pub(super) segments: Arc<Segments>,
    pub(super) record_bytes_max: usize,
}

impl Sides {
    /// Reads both sides to their ends.
    pub(super) async fn bring_together(
        self,
        reading: &Reading,
        shards: &[ShardDescription],
    ) -> Result<Both, Error> {
        let count = bucket_count(self.all().map(|run| run.checkpoint.totals.delivered).sum());
        let buckets = || Buckets::new(&self.run.path, count).map_err(on_disk);
        let (expected, seen) = (buckets()?, buckets()?);
        let (sink, pages) = mpsc::channel(PAGES);
        let collector = Collector {
            buckets: seen,
            // What was placed without regard to its key may lie in any shard.
            ranges: if self.all().any(|run| run.settings.spreads()) {
                vec![HashKeyRange::ALL]
            } else {
                self.ranges.clone()
            },
            of_shards: shards.iter().map(|shard| shard.range).collect(),
            stretches: shards
                .iter()
                .map(|shard| Stretch {
                    own: self.run.stretch(shard),
                    retries: self.retries.iter().filter_map(|retry| retry.stretch(shard)).collect(),
                    began_ms: self.began_ms,
                })
                .collect(),
            lines: shards
                .iter()
                .map(|shard| ShardLine { shard: shard.id.to_string(), ..ShardLine::default() })
                .collect(),
            progress: self.progress.clone(),
        };
        let (archive, stream, collected) = tokio::join!(
            self.expect(expected),
            read_all(reading, shards, sink),
            blocking(move || collector.collect(pages))
        );
        stream?;
        let (seen, shards) = collected??;
        let Archived { buckets, objects_lost, not_due, set_aside } = archive?;
        let expected = buckets.finish().map_err(on_disk)?;
        Ok(Both { expected, seen, shards, objects_lost, set_aside, not_due })
    }

    fn all(&self) -> impl Iterator<Item = &Deliverer> {
        std::iter::once(&self.run).chain(&self.retries)
    }

    /// Brings every record that the run and its retries were to deliver, the run's first.
    async fn expect(&self, buckets: Buckets) -> Result<Archived, Error> {
        let archived = Archived { buckets, objects_lost: 0, not_due: 0, set_aside: (0, 0) };
        let mut archived = self.run.expect(self, archived).await?;
        let (not_due, set_aside) = (archived.not_due, archived.set_aside);
        for retry in &self.retries {
            archived = retry.expect(self, archived).await?;
        }
        // What a retry has not sent is no more than what the run has set aside.
        Ok(Archived { set_aside, not_due, ..archived })
    }
}

impl Deliverer {
    /// The first and the last number that a shard has acknowledged to it.
    fn stretch(&self, shard: &ShardDescription) -> Option<RangeInclusive<SequenceNumber>> {
        self.checkpoint.shards.get(&shard.id).map(|of| of.first..=of.last)
    }

    /// Brings every record that it was to deliver.
    async fn expect(&self, sides: &Sides, mut archived: Archived) -> Result<Archived, Error> {
        let unreadable = |error| Error::refused("cannot read the quarantine's list").with_source(error);
        let (mut whole, mut set_aside) = (BTreeSet::new(), BTreeSet::new());
        for line in quarantine_lines(&self.path).map_err(unreadable)? {
            match line.record {
                Some(record) => drop(set_aside.insert(Ordinal::new(line.object, record))),
                None => drop(whole.insert(line.object)),
            }
        }
        let extractor = self.settings.key_config().map(KeyExtractor::new);
        let rules = Arc::new(RouteRules {
            extractor: extractor.ok_or_else(|| Error::refused("the run has no partition key"))?,
            record_bytes_max: self.record_bytes_max,
            event_time: self.settings.input.event_time.clone(),
            spread: self.spread.clone(),
        });
        archived.set_aside = (set_aside.len() as u64, whole.len() as u64);
        let (set_aside, checkpoint) = (Arc::new(set_aside), Arc::new(self.checkpoint.clone()));
        let total = u32::try_from(self.spool.manifest().objects.len()).unwrap_or(u32::MAX);
        let numbers: Vec<u32> = (0..total).filter(|number| !whole.contains(number)).collect();
        let lines = segment_lines(&self.path).map_err(|error| {
            Error::refused("cannot read which segments the run has sent from").with_source(error)
        })?;
        let mut shares = self.settings.limit.map(|limit| Shares::new(limit, lines));
        let mut ahead = Ahead::start(self.spool.clone(), numbers.clone());
        for number in numbers {
            if shares.as_ref().is_some_and(|shares| shares.are_used_up_before(number)) {
                break;
            }
            let Some(spooled) = ahead.next().await else { break };
            let Spooled::Segment { records, .. } = spooled? else {
                archived.objects_lost += 1;
                continue;
            };
            let wanted = shares.as_mut().map_or(records, |shares| shares.of(number, records, false));
            let part = Part {
                object: number,
                wanted,
                rules: rules.clone(),
                only: self
                    .spool
                    .manifest()
                    .object(number)
                    .and_then(|entry| entry.only.as_deref().map(<[_]>::to_vec)),
                set_aside: set_aside.clone(),
                checkpoint: (!self.due_in_all).then(|| checkpoint.clone()),
                due: self.due,
                first_object: self.first_object,
                ranges: sides.ranges.clone(),
            };
            archived = self.object(part, archived).await?;
            sides.progress.of_archive.fetch_add(u64::from(wanted), Ordering::Relaxed);
            self.spool.settled(number);
        }
        Ok(archived)
    }

    /// The records of one object. A segment that is damaged is fetched once more.
    async fn object(&self, part: Part, archived: Archived) -> Result<Archived, Error> {
        let (segments, number) = (self.segments.clone(), part.object);
        for last in [false, true] {
            let segments = segments.clone();
            // Whole before any of it counts: what was written into the buckets cannot be taken back.
            let checked = blocking(move || segments.get(number).map(|segment| segment.verify())).await??;
            match checked {
                Ok(()) => break,
                Err(damage) if last => return Err(damaged(number, damage)),
                Err(damage) => {
                    self.spool.discard(number, &damage);
                    self.spool.object_at_front(number).await?;
                }
            }
        }
        blocking(move || part.bring(&segments.get(number)?, archived)).await?
    }
}

fn damaged(object: u32, damage: SegmentError) -> Error {
    Error::incomplete(format!(
        "the segment of object {object} is damaged on disk: verify once more to fetch it anew"
    ))
    .with_source(damage)
}

/// What has come of the archive's side.
struct Archived {
    buckets: Buckets,
    set_aside: (u64, u64),
    objects_lost: u64,
    not_due: u64,
}

/// One object of the archive.
struct Part {
    object: u32,
    wanted: u32,
    rules: Arc<RouteRules>,
    /// Its only records, if it is not about all of them.
    only: Option<Vec<(u32, u32)>>,
    set_aside: Arc<BTreeSet<Ordinal>>,
    /// Where the run stands, if it is not done.
    checkpoint: Option<Arc<Checkpoint>>,
    due: Standing,
    first_object: u32,
    ranges: Vec<HashKeyRange>,
}

impl Part {
    fn bring(&self, segment: &Segment, mut archived: Archived) -> Result<Archived, Error> {
        for number in 0..self.wanted {
            let data = segment.record(number).map_err(|damage| damaged(self.object, damage))?;
            let ordinal = Ordinal::new(self.object, number);
            // The route has set aside what has no key or is too large, and left out what was not asked for.
            let Ok(Some(Routed { hash: place, .. })) = self.rules.route(self.only.as_deref(), ordinal, data)
            else {
                continue;
            };
            let Ok(key) = self.rules.extractor.key(data, ordinal) else { continue };
            if !covers(&self.ranges, place) {
                continue;
            }
            let settled = self.is_settled(place, ordinal);
            archived.not_due += u64::from(!settled);
            let due = settled && !self.set_aside.contains(&ordinal);
            let standing = if due { self.due } else { Standing::Open };
            let (hash, digest) = (HashKey::of(key.as_str()), Digest::of(&key, data));
            let ordinal = Ordinal::new(self.first_object.saturating_add(self.object), number);
            let record = Expected { hash, digest, ordinal, standing };
            archived.buckets.expect(&record).map_err(on_disk)?;
        }
        Ok(archived)
    }

    fn is_settled(&self, hash: HashKey, ordinal: Ordinal) -> bool {
        self.checkpoint.as_ref().is_none_or(|checkpoint| {
            let at = checkpoint.lanes.partition_point(|lane| lane.range.last < hash);
            ordinal < checkpoint.frontier
                && checkpoint.lanes.get(at).is_some_and(|lane| lane.is_settled(ordinal))
        })
    }
}

/// Writes what is read of the stream into buckets.
struct Collector {
    buckets: Buckets,
    ranges: Vec<HashKeyRange>,
    of_shards: Vec<HashKeyRange>,
    stretches: Vec<Stretch>,
    lines: Vec<ShardLine>,
    progress: Arc<Progress>,
}

/// The part of a shard that is the run's own. Numbers tell it, so clocks do not matter; they only tell what was there before
/// from what came since.
struct Stretch {
    own: Option<RangeInclusive<SequenceNumber>>,
    retries: Vec<RangeInclusive<SequenceNumber>>,
    began_ms: i64,
}

impl Stretch {
    fn era(&self, record: &StoredRecord) -> Era {
        let own = self.own.as_ref();
        match () {
            () if own.is_some_and(|own| own.contains(&record.number)) => Era::Own,
            () if self.retries.iter().any(|retry| retry.contains(&record.number)) => Era::Retry,
            () if own.is_some_and(|own| record.number > *own.end()) => Era::Since,
            () if record.arrived_ms < self.began_ms => Era::Before,
            () => Era::Since,
        }
    }
}

impl Collector {
    fn collect(mut self, mut pages: mpsc::Receiver<Read>) -> Result<(Vec<File>, Vec<ShardLine>), Error> {
        let mut foreign: BTreeMap<u32, u64> = BTreeMap::new();
        while let Some(Read { shard, records }) = pages.blocking_recv() {
            self.progress.of_stream.fetch_add(records.len() as u64, Ordering::Relaxed);
            let line = &mut self.lines[shard as usize];
            line.records += records.len() as u64;
            line.bytes += records.iter().map(|record| record.data.len() as u64).sum::<u64>();
            for record in records {
                let era = self.stretches[shard as usize].era(&record);
                // Ours all have a key.
                let Some(key) = record.key else {
                    *foreign.entry(shard).or_default() += 1;
                    continue;
                };
                let digest = Digest::of(&key, &record.data);
                let hash = HashKey::of(key.as_str());
                let inner = aggregate::unpack(&record.data);
                let form = if inner.is_some() { Form::Aggregate } else { Form::Plain };
                self.see(Seen { hash, digest, shard, form, era })?;
                // A consumer drops the whole if one of its records belongs elsewhere.
                let range = self.of_shards[shard as usize];
                let inner = inner.unwrap_or_default();
                if inner.iter().all(|record| range.contains(record.hash)) {
                    for record in inner {
                        let digest = Digest::of(&record.key, record.data);
                        self.see(Seen { hash: record.hash, digest, shard, form: Form::Inner, era })?;
                    }
                }
            }
        }
        for (shard, count) in foreign {
            self.lines[shard as usize].foreign += count;
        }
        Ok((self.buckets.finish().map_err(on_disk)?, self.lines))
    }

    fn see(&mut self, seen: Seen) -> Result<(), Error> {
        if covers(&self.ranges, seen.hash) { self.buckets.see(&seen).map_err(on_disk) } else { Ok(()) }
    }
}

fn covers(ranges: &[HashKeyRange], hash: HashKey) -> bool {
    ranges.iter().any(|range| range.contains(hash))
}

fn on_disk(error: std::io::Error) -> Error {
    Error::incomplete("cannot write into the run's directory").with_source(error)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_shard_has_a_stretch_that_is_the_runs_own_whatever_the_clocks_say() {
        let number = |text: &str| SequenceNumber::new(text).unwrap();
        let era = |stretch: &Stretch, text: &str, arrived_ms: i64| {
            let (key, data) = (None, Bytes::new());
            stretch.era(&StoredRecord { key, data, number: number(text), arrived_ms })
        };
        let (own, retries) = (Some(number("50")..=number("100")), vec![number("120")..=number("130")]);
        let stretch = Stretch { own, retries, began_ms: 1_000 };
        for (text, arrived, expected) in [
            ("50", 1_000, Era::Own),
            ("100", 900, Era::Own),
            ("9", 900, Era::Before),
            ("9", 1_000, Era::Since),
            ("101", 900, Era::Since),
            ("120", 900, Era::Retry),
            ("131", 900, Era::Since),
        ] {
            assert_eq!(era(&stretch, text, arrived), expected, "{text} {arrived}");
        }
        let none = Stretch { own: None, ..stretch };
        assert_eq!((era(&none, "60", 999), era(&none, "60", 1_000)), (Era::Before, Era::Since));
    }
}
