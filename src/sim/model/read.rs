//! Reading back: shard iterators and what they give.
//!
//! An iterator is a position in one shard of one stream and the moment it was given out; it is opaque to
//! the caller, and anything not of this service's making is refused. It outlives neither five minutes nor
//! the stream. A position that has been trimmed away stands for the oldest record that is left.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;

use crate::limits::{READ_BYTES_MAX, READ_RECORDS_MAX, SHARD_ITERATOR_LIFE};
use crate::record::{HashKeyRange, ShardId};

use super::super::SimTime;
use super::super::sequence::Sequence;
use super::super::service_error::{ACCOUNT, ServiceError};
use super::super::shard::{Shard, StoredRecord};
use super::{Service, StreamState};

/// Where an iterator begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IteratorStart<'a> {
    /// The oldest record that is kept.
    TrimHorizon,
    /// Behind the newest.
    Latest,
    /// This record.
    At(&'a str),
    /// The record behind this one.
    After(&'a str),
    /// The first record that arrived then or later.
    Time(SimTime),
}

/// A shard that an exhausted one was split or merged into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildShard {
    /// Its name.
    pub id: ShardId,
    /// What it was made from.
    pub parents: Vec<ShardId>,
    /// What it covers.
    pub range: HashKeyRange,
}

/// What one read gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadAnswer {
    /// Records in the shard's order; their bytes are shared with the store.
    pub records: Vec<StoredRecord>,
    /// Where to go on; `None` at the end of a closed shard.
    pub next_iterator: Option<String>,
    /// How far behind the newest record the reader is.
    pub behind: Duration,
    /// What the closed shard became, at its end.
    pub children: Vec<ChildShard>,
}

/// A position that was given out.
struct Cursor {
    stream_number: u64,
    shard: u32,
    index: u64,
    issued: SimTime,
    stream: String,
}

impl Cursor {
    fn encode(&self) -> String {
        let Self { stream_number, shard, index, issued, stream } = self;
        let plain = format!("respool:{stream_number}:{shard}:{index}:{}:{stream}", issued.nanos());
        URL_SAFE_NO_PAD.encode_to_string(plain)
    }

    fn decode(text: &str) -> Option<Self> {
        let plain = String::from_utf8(URL_SAFE_NO_PAD.decode_to_vec(text).ok()?).ok()?;
        let mut fields = plain.strip_prefix("respool:")?.splitn(5, ':');
        Some(Self {
            stream_number: fields.next()?.parse().ok()?,
            shard: fields.next()?.parse().ok()?,
            index: fields.next()?.parse().ok()?,
            issued: SimTime::after(Duration::from_nanos(fields.next()?.parse().ok()?)),
            stream: fields.next()?.to_owned(),
        })
    }
}

impl Service {
    /// Gives out a position in a shard.
    pub fn shard_iterator(
        &mut self,
        now: SimTime,
        name: &str,
        shard: &str,
        start: IteratorStart<'_>,
    ) -> Result<String, ServiceError> {
        let stream = self.serving(now, name)?;
        let shard = stream.shard_by_id(shard).ok_or_else(|| {
            let message = format!("Shard {shard} in stream {name} under account {ACCOUNT} does not exist");
            ServiceError::client("ResourceNotFoundException", message)
        })?;
        let index = match start {
            IteratorStart::TrimHorizon => shard.oldest_index(),
            IteratorStart::Latest => shard.next_index(),
            IteratorStart::At(number) => index_of(stream, shard, number)?,
            IteratorStart::After(number) => index_of(stream, shard, number)?.saturating_add(1),
            IteratorStart::Time(time) => shard.index_at(time),
        };
        let cursor = Cursor {
            stream_number: stream.number,
            shard: shard.number,
            index,
            issued: now,
            stream: name.to_owned(),
        };
        Ok(cursor.encode())
    }

    /// The stream that an iterator belongs to, if it could be read with at `now`.
    pub fn check_iterator(&mut self, now: SimTime, iterator: &str) -> Result<String, ServiceError> {
        self.cursor(now, iterator).map(|cursor| cursor.stream)
    }

    fn cursor(&mut self, now: SimTime, iterator: &str) -> Result<Cursor, ServiceError> {
        let cursor = Cursor::decode(iterator)
            .ok_or_else(|| ServiceError::invalid_argument("Invalid ShardIterator."))?;
        let expires = cursor.issued.plus(SHARD_ITERATOR_LIFE);
        if now > expires {
            let (issued_ms, now_ms) = (self.epoch_ms(cursor.issued), self.epoch_ms(now));
            let message = format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the \
                 future than the tolerated delay of {} milliseconds.",
                instant(issued_ms),
                instant(now_ms),
                SHARD_ITERATOR_LIFE.as_millis()
            );
            return Err(ServiceError::client("ExpiredIteratorException", message));
        }
        let stream = self.serving(now, &cursor.stream)?;
        if stream.number != cursor.stream_number || stream.shards.len() <= cursor.shard as usize {
            return Err(ServiceError::no_stream(&cursor.stream));
        }
        Ok(cursor)
    }

    /// Reads up to `records_max` records (and 10 MiB) on from an iterator.
    pub fn read(
        &mut self,
        now: SimTime,
        iterator: &str,
        records_max: usize,
    ) -> Result<ReadAnswer, ServiceError> {
        let mut cursor = self.cursor(now, iterator)?;
        let stream = self.serving(now, &cursor.stream)?;
        let shard = stream.shard_mut(cursor.shard);
        if !shard.read_limit.admit(now) {
            return Err(ServiceError::throttled(&cursor.stream, &shard.id));
        }
        let (records, size) = take(shard, cursor.index, records_max.min(READ_RECORDS_MAX));
        shard.read_limit.pay(size);
        // LATEST of a moment ago may lie beyond everything kept, a trimmed position before it.
        cursor.index =
            records.last().map_or(cursor.index.max(shard.oldest_index()), |last| last.sequence.index() + 1);
        cursor.issued = now;
        let unread = shard.records_from(cursor.index).next().map(|record| record.arrival);
        let since = |arrival: SimTime| now.since_start().saturating_sub(arrival.since_start());
        let behind = unread.map_or(Duration::ZERO, since);
        let exhausted = !shard.is_open() && cursor.index >= shard.next_index();
        let children = if exhausted { children(stream, cursor.shard) } else { Vec::new() };
        let next_iterator = (!exhausted).then(|| cursor.encode());
        Ok(ReadAnswer { records, next_iterator, behind, children })
    }
}

/// Up to `records_max` records from `index` on, within 10 MiB; and what they weigh.
fn take(shard: &Shard, index: u64, records_max: usize) -> (Vec<StoredRecord>, usize) {
    let mut size = 0;
    let mut records = Vec::new();
    for record in shard.records_from(index).take(records_max) {
        if size + record.cost() > READ_BYTES_MAX {
            break;
        }
        size += record.cost();
        records.push(record.clone());
    }
    (records, size)
}

fn children(stream: &StreamState, parent: u32) -> Vec<ChildShard> {
    let describe = |&number: &u32| {
        let child = stream.shard(number);
        let parents = [child.parent, child.adjacent_parent].into_iter().flatten();
        ChildShard {
            id: child.id.clone(),
            parents: parents.map(|parent| stream.shard(parent).id.clone()).collect(),
            range: child.range,
        }
    };
    stream.shard(parent).children.iter().map(describe).collect()
}

fn index_of(stream: &StreamState, shard: &Shard, number: &str) -> Result<u64, ServiceError> {
    Sequence::parse(number)
        .filter(|sequence| sequence.base() == shard.base)
        .map(Sequence::index)
        .ok_or_else(|| {
            ServiceError::invalid_argument(format!(
                "StartingSequenceNumber {number} used in GetShardIterator on shard {} in stream {} under account \
                 {ACCOUNT} is invalid.",
                shard.id, stream.name
            ))
        })
}

fn instant(epoch_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(epoch_ms).map_or_else(|_| epoch_ms.to_string(), |time| time.to_string())
}
