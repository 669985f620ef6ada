//! Reads the shards of a stream, parents before children, at a part of what their readers may have.
//!
//! Shards are read side by side, but none before the shards it was made of: so the records of a key come in the
//! order of the stream, whatever was split or merged. Where a server does not name those, they are known by what
//! they cover: of two shards that share a key the one that is closed and began earlier comes first. What goes wrong on
//! the way is tried again with a pause that grows; what never will go right ends the reading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::error::Error;
use crate::limits::SHARD_READS_PER_SECOND;
use crate::record::{HashKeyRange, SequenceNumber, ShardId};
use crate::run::permission::READ_STREAM;
use crate::stream::read::{Page, ReadFrom, StoredRecord, StreamReader};
use crate::stream::{CallError, CallErrorClass, ShardDescription};
use crate::write::token_bucket::TokenBucket;

/// Bytes a shard gives to all its readers each second. Source: Kinesis quotas page (2 MB), read 2026-11-22.
const SHARD_READ_BYTES_PER_SECOND: f64 = 2_000_000.0;
/// Shards that are read at once.
const SHARDS_AT_ONCE: usize = 64;
/// The first pause after a failure …
const PAUSE: Duration = Duration::from_millis(200);
/// … doubled with each further one up to this.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The service may be away this long.
const PATIENCE: Duration = Duration::from_mins(15);

/// What is read of which stream, and how fast.
#[derive(Clone)]
pub struct Reading {
    /// The way to it.
    pub reader: Arc<dyn StreamReader>,
    /// The part of the shards' read limits that is used: above 0, at most 1.
    pub share: f64,
    /// Records that arrived before this, in milliseconds since 1970, are not ours.
    pub since_ms: i64,
    /// Nor those that arrived after this: others may write to the stream for ever.
    pub until_ms: i64,
}

/// A page, and the number that its shard has in this reading.
pub struct Read {
    /// The shard.
    pub shard: u32,
    /// Its records.
    pub records: Vec<StoredRecord>,
}

/// The shards that are to be read: those that cover a part of `ranges`, by number.
pub fn choose(shards: Vec<ShardDescription>, ranges: &[HashKeyRange]) -> Vec<ShardDescription> {
    let wanted =
        |shard: &ShardDescription| ranges.iter().any(|range| range.intersection(&shard.range).is_some());
    shards.into_iter().filter(wanted).collect()
}

/// Reads all of `shards` into `sink`.
pub async fn read_all(
    reading: &Reading,
    shards: &[ShardDescription],
    sink: mpsc::Sender<Read>,
) -> Result<(), Error> {
    let mut waiting: BTreeMap<u32, &ShardDescription> = (0..).zip(shards).collect();
    let mut unread: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    let before = read_before(shards);
    let mut under_way: JoinSet<Result<u32, Error>> = JoinSet::new();
    loop {
        let is_ready = |number: &u32| before.get(number).is_none_or(|before| before.is_disjoint(&unread));
        let ready: Vec<u32> = waiting.keys().filter(|number| is_ready(number)).copied().collect();
        for number in ready {
            if under_way.len() < SHARDS_AT_ONCE
                && let Some(shard) = waiting.remove(&number)
            {
                let (reading, shard, sink) = (reading.clone(), shard.id.clone(), sink.clone());
                under_way
                    .spawn(async move { read_shard(reading, number, shard, sink).await.map(|()| number) });
            }
        }
        let Some(ended) = under_way.join_next().await else { break };
        let number = ended.map_err(|_| Error::internal("a task that reads has failed"))??;
        unread.remove(&shards[number as usize].id);
    }
    if waiting.is_empty() {
        return Ok(());
    }
    Err(Error::refused("the stream's shards name each other as parents in a circle"))
}

/// By a shard's number, those that have to be read before it, if any.
fn read_before(shards: &[ShardDescription]) -> BTreeMap<u32, BTreeSet<&ShardId>> {
    // A server that names parents is taken at its word: what its numbers say beside that may contradict it.
    let names_parents = shards.iter().any(has_parent);
    let closed: Vec<&ShardDescription> =
        shards.iter().filter(|shard| !shard.open && !names_parents).collect();
    let ids: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    let before = |shard: &ShardDescription| {
        let parents = [&shard.parent, &shard.adjacent_parent].into_iter().flatten();
        let parents = parents.filter_map(|parent| ids.get(parent).copied());
        let others = closed.iter().filter(|other| comes_before(other, shard)).map(|other| &other.id);
        parents.chain(others).collect::<BTreeSet<_>>()
    };
    (0..)
        .zip(shards)
        .map(|(number, shard)| (number, before(shard)))
        .filter(|(_, ids)| !ids.is_empty())
        .collect()
}

/// Whether `shard`, of which no parent is told, must have taken what `other` took before.
fn comes_before(other: &ShardDescription, shard: &ShardDescription) -> bool {
    let age = |shard: &ShardDescription| (shard.starts, shard.id.clone());
    !has_parent(shard)
        && !other.open
        && other.range.intersection(&shard.range).is_some()
        && age(other) < age(shard)
}

fn has_parent(shard: &ShardDescription) -> bool {
    shard.parent.is_some() || shard.adjacent_parent.is_some()
}

async fn read_shard(
    reading: Reading,
    number: u32,
    shard: ShardId,
    sink: mpsc::Sender<Read>,
) -> Result<(), Error> {
    let mut budget = Pace::new(reading.share);
    let mut last: Option<SequenceNumber> = None;
    let mut trouble = Trouble::default();
    let mut iterator = None;
    loop {
        let position = match iterator.take() {
            Some(position) => position,
            None => match begin(&reading, &shard, last.as_ref()).await {
                Ok(position) => position,
                Err(error) => {
                    trouble.wait_out(&shard, error).await?;
                    continue;
                }
            },
        };
        budget.wait().await;
        let page = match reading.reader.read(position).await {
            Ok(page) => page,
            Err(error) => {
                // A position that has grown old is asked for anew; if the new one is no better, that is it.
                let old = error.class == CallErrorClass::Invalid && trouble.is_new();
                let class = if old { CallErrorClass::Throttled } else { error.class };
                trouble.wait_out(&shard, CallError { class, ..error }).await?;
                continue;
            }
        };
        trouble = Trouble::default();
        let Page { records, next, behind_ms } = page;
        budget.pay(&records);
        if let Some(record) = records.last() {
            last = Some(record.number);
        }
        let empty = records.is_empty();
        let beyond = records.last().is_some_and(|record| record.arrived_ms > reading.until_ms);
        if !empty && sink.send(Read { shard: number, records }).await.is_err() {
            return Ok(());
        }
        // Of a server that does not tell, an empty page is taken for the end: else the reading would have none.
        let caught_up = beyond || (empty && behind_ms.unwrap_or_default() == 0);
        match next {
            Some(next) if !caught_up => iterator = Some(next),
            _ => return Ok(()),
        }
    }
}

async fn begin(
    reading: &Reading,
    shard: &ShardId,
    last: Option<&SequenceNumber>,
) -> Result<String, CallError> {
    let from = match last {
        Some(last) => ReadFrom::After(*last),
        None => ReadFrom::Time(reading.since_ms),
    };
    match reading.reader.iterator(shard.clone(), from).await {
        // Some servers know no time before the stream's own.
        Err(error) if error.class == CallErrorClass::Invalid && last.is_none() => {
            reading.reader.iterator(shard.clone(), ReadFrom::Horizon).await
        }
        begun => begun,
    }
}

/// Failures in a row.
#[derive(Default)]
struct Trouble {
    since: Option<Instant>,
    count: u32,
}

impl Trouble {
    fn is_new(&self) -> bool {
        self.count == 0
    }

    /// Pauses if it may go better then.
    async fn wait_out(&mut self, shard: &ShardId, error: CallError) -> Result<(), Error> {
        let since = *self.since.get_or_insert_with(Instant::now);
        match error.class {
            CallErrorClass::Forbidden => {
                return Err(Error::refused(format!(
                    "{shard} cannot be read: {}; a policy of yours has to allow {} on the stream (`respool iam … --verify` prints it)",
                    error.message,
                    READ_STREAM.join(" and ")
                )));
            }
            CallErrorClass::NotFound | CallErrorClass::Denied | CallErrorClass::Invalid => {
                return Err(Error::refused(format!("{shard} cannot be read: {}", error.message)));
            }
            _ if since.elapsed() > PATIENCE => {
                return Err(Error::incomplete(format!(
                    "{shard} could not be read for too long: {}",
                    error.message
                )));
            }
            _ => {}
        }
        let pause = (PAUSE * (1 << self.count.min(8))).min(PAUSE_MAX);
        self.count += 1;
        sleep(pause).await;
        Ok(())
    }
}

/// Keeps a reader within its part of a shard.
struct Pace {
    start: Instant,
    calls: TokenBucket,
    bytes: TokenBucket,
}

impl Pace {
    fn new(share: f64) -> Self {
        let second = Duration::from_secs(1);
        Self {
            start: Instant::now(),
            calls: TokenBucket::new(share * f64::from(SHARD_READS_PER_SECOND), second, Duration::ZERO),
            bytes: TokenBucket::new(share * SHARD_READ_BYTES_PER_SECOND, second, Duration::ZERO),
        }
    }

    /// Until a call may be made, with what was read before paid off.
    async fn wait(&mut self) {
        let now = self.start.elapsed();
        let at = self.calls.affordable_at(1.0, now).max(self.bytes.affordable_at(1.0, now));
        sleep_until(self.start + at).await;
        self.calls.pay(1.0, at);
    }

    #[expect(clippy::cast_precision_loss, reason = "10 MiB at most")]
    fn pay(&mut self, records: &[StoredRecord]) {
        let bytes: usize = records.iter().map(|record| record.data.len()).sum();
        self.bytes.pay(bytes as f64, self.start.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HashKey;

    #[test]
    fn shards_without_parents_come_behind_the_closed_ones_that_they_share_keys_with() {
        let shard = |id: &str, (first, last), open, starts: &str| ShardDescription {
            id: ShardId(id.into()),
            range: HashKeyRange { first: HashKey(first), last: HashKey(last) },
            parent: None,
            adjacent_parent: None,
            open,
            starts: SequenceNumber::new(starts),
        };
        // One was split, and a half of it once more.
        let (root, left) = (shard("0", (0, 99), false, "100"), shard("1", (0, 49), false, "200"));
        let (right, leaf) = (shard("2", (50, 99), true, "201"), shard("3", (0, 24), true, "300"));
        for (other, one, before) in [
            (&root, &left, true),
            (&root, &right, true),
            (&root, &leaf, true),
            (&left, &leaf, true),
            (&left, &right, false),
            (&left, &root, false),
            (&leaf, &left, false),
            (&right, &leaf, false),
            (&root, &root, false),
        ] {
            assert_eq!(comes_before(other, one), before, "{} {}", other.id, one.id);
        }
        // Who names its parents is believed.
        let child = ShardDescription { parent: Some(left.id.clone()), ..leaf };
        assert!(!comes_before(&root, &child));
        // And so is a server that does, whatever its numbers say.
        let odd = ShardDescription {
            parent: Some(root.id.clone()),
            starts: SequenceNumber::new("0"),
            ..left.clone()
        };
        for second in [odd, left] {
            assert_eq!(read_before(&[root.clone(), second]), [(1, [&root.id].into())].into());
        }
    }
}
