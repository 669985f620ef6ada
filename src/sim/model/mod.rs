//! The service: streams by name, and what can be done to them.
//!
//! A pure value. Each operation takes the time and first brings the stream up to it (a change that was
//! under way is completed, records past their retention are dropped), then acts or says no as Kinesis
//! would. What is kept of the records has a bound that holds for all streams together: beyond it the
//! oldest go first, and a reader at the trim horizon begins behind them.

mod read;
mod reshard;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use crate::limits::RECORD_BYTES_MAX;
use crate::record::{HashKey, ShardId};
use crate::stream::Entry;

pub use read::{IteratorStart, ReadAnswer};
pub use stream::{Capacity, NewStream, Status, StreamState};

use super::SimTime;
use super::limit::BurstRule;
use super::sequence::Sequence;
use super::service_error::{ACCOUNT, ServiceError};
use stream::Change;

/// Shards that all streams together may have. Source: Kinesis quotas page (us-east-1), read 2026-11-22.
const ACCOUNT_SHARDS_MAX: usize = 20_000;
/// Hours that records can be kept, at least and at most. Source: Kinesis quotas page, read 2026-11-22.
const RETENTION_HOURS: (u32, u32) = (24, 8_760);

/// How much of what was written can be read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: records are counted and dropped at once.
    Nothing,
    /// The newest records that fit into so many bytes of memory, all streams together.
    Bytes(usize),
    /// Everything, for as long as the stream's own retention says.
    All,
}

/// How a simulated service behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceConfig {
    /// The instant that [`SimTime::START`] stands for.
    pub started: Timestamp,
    /// How shards measure their limits.
    pub burst_rule: BurstRule,
    /// What can be read back.
    pub retention: Retention,
    /// How long a stream is `CREATING`, `UPDATING` or `DELETING`.
    pub transition: Duration,
}

/// What became of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutResult {
    /// Stored.
    Stored {
        /// Where.
        shard: ShardId,
        /// Its number there.
        sequence: Sequence,
    },
    /// Not stored: the shard is over its limit.
    Throttled {
        /// Which.
        shard: ShardId,
    },
}

/// A simulated Kinesis service.
#[derive(Debug)]
pub struct Service {
    config: ServiceConfig,
    streams: BTreeMap<String, StreamState>,
    streams_made: u64,
}

impl Service {
    /// A service without streams.
    pub fn new(config: ServiceConfig) -> Self {
        Self { config, streams: BTreeMap::new(), streams_made: 0 }
    }

    /// From now on changes take this long.
    pub fn set_transition(&mut self, transition: Duration) {
        self.config.transition = transition;
    }

    /// The instant that `time` stands for, in milliseconds since 1970.
    pub fn epoch_ms(&self, time: SimTime) -> i64 {
        let since_start = i64::try_from(time.since_start().as_millis()).unwrap_or(i64::MAX);
        self.config.started.as_millisecond().saturating_add(since_start)
    }

    /// The simulated moment of an instant given in milliseconds since 1970; the start for all before it.
    pub fn time_of_epoch_ms(&self, epoch_ms: i64) -> SimTime {
        let since_start = epoch_ms.saturating_sub(self.config.started.as_millisecond());
        SimTime::after(Duration::from_millis(u64::try_from(since_start).unwrap_or(0)))
    }

    fn epoch_s(&self, time: SimTime) -> u64 {
        u64::try_from(self.epoch_ms(time) / 1_000).unwrap_or(0)
    }

    /// Makes a stream.
    pub fn create_stream(&mut self, now: SimTime, name: &str, new: NewStream) -> Result<(), ServiceError> {
        self.settle(now);
        if self.streams.contains_key(name) {
            let message = format!("Stream {name} under account {ACCOUNT} already exists.");
            return Err(ServiceError::client("ResourceInUseException", message));
        }
        self.check_shard_quota(new.shards)?;
        self.streams_made += 1;
        let mut stream = StreamState::new(name, self.streams_made, new, now, self.config.burst_rule);
        stream.begin(Change::Create { shards: new.shards }, now.plus(self.config.transition));
        self.streams.insert(name.to_owned(), stream);
        self.settle(now);
        Ok(())
    }

    /// Deletes a stream and everything in it.
    pub fn delete_stream(&mut self, now: SimTime, name: &str) -> Result<(), ServiceError> {
        let until = now.plus(self.config.transition);
        self.existing(now, name)?.begin(Change::Delete, until);
        self.settle(now);
        Ok(())
    }

    /// The streams that exist at `now`, by name.
    pub fn streams(&mut self, now: SimTime) -> impl Iterator<Item = &StreamState> {
        self.settle(now);
        self.streams.values()
    }

    /// The stream of that name, in whatever state.
    pub fn stream(&mut self, now: SimTime, name: &str) -> Result<&StreamState, ServiceError> {
        self.existing(now, name).map(|stream| &*stream)
    }

    /// The stream of that name if it takes and gives records.
    pub fn serving_stream(&mut self, now: SimTime, name: &str) -> Result<&StreamState, ServiceError> {
        self.serving(now, name).map(|stream| &*stream)
    }

    /// Stores entries, each for itself; the results stand in the entries' order.
    ///
    /// # Errors
    /// The stream does not exist, or an entry is larger than the stream takes: then none is stored.
    pub fn put(
        &mut self,
        now: SimTime,
        name: &str,
        entries: Vec<Entry>,
    ) -> Result<Vec<PutResult>, ServiceError> {
        let now_s = self.epoch_s(now);
        let retention = self.config.retention;
        let stream = self.serving(now, name)?;
        stream.check_sizes(&entries)?;
        let results = entries
            .into_iter()
            .map(|entry| stream.put_entry(now, now_s, entry, retention != Retention::Nothing))
            .collect();
        if let Retention::Bytes(bytes_max) = retention {
            self.trim_to(bytes_max);
        }
        Ok(results)
    }

    /// Sets how long records are kept, upwards (`raise`) or downwards.
    pub fn set_retention(
        &mut self,
        now: SimTime,
        name: &str,
        hours: u32,
        raise: bool,
    ) -> Result<(), ServiceError> {
        let until = now.plus(self.config.transition);
        let stream = self.active(now, name)?;
        let current = stream.retention_hours;
        let (hours_min, hours_max) = RETENTION_HOURS;
        let refusal = if raise && hours > hours_max {
            format!(
                "Maximum allowed retention period is {hours_max} hours. Requested retention period ({hours} hours) is too long."
            )
        } else if !raise && hours < hours_min {
            format!(
                "Minimum allowed retention period is {hours_min} hours. Requested retention period ({hours} hours) is too short."
            )
        } else if raise && hours < current {
            format!(
                "Requested retention period ({hours} hours) for stream {name} can not be shorter than existing retention period ({current} hours). Use DecreaseRetentionPeriod API."
            )
        } else if !raise && hours > current {
            format!(
                "Requested retention period ({hours} hours) for stream {name} can not be longer than existing retention period ({current} hours). Use IncreaseRetentionPeriod API."
            )
        } else {
            stream.retention_hours = hours;
            stream.begin(Change::Setting, until);
            return Ok(());
        };
        Err(ServiceError::invalid_argument(refusal))
    }

    /// Sets what one record of the stream may weigh, data and key, in bytes.
    pub fn set_record_bytes_max(
        &mut self,
        now: SimTime,
        name: &str,
        bytes: usize,
    ) -> Result<(), ServiceError> {
        assert!(bytes <= RECORD_BYTES_MAX, "the protocol checks the range");
        let until = now.plus(self.config.transition);
        let stream = self.active(now, name)?;
        stream.record_bytes_max = bytes;
        stream.begin(Change::Setting, until);
        Ok(())
    }

    /// Says with which key records are encrypted from now on, or that they are not.
    pub fn set_encryption(
        &mut self,
        now: SimTime,
        name: &str,
        key: Option<String>,
    ) -> Result<(), ServiceError> {
        let until = now.plus(self.config.transition);
        let stream = self.active(now, name)?;
        stream.encryption_key = key;
        stream.begin(Change::Setting, until);
        Ok(())
    }

    /// The tags of a stream, to be read or changed.
    pub fn tags_mut(
        &mut self,
        now: SimTime,
        name: &str,
    ) -> Result<&mut BTreeMap<String, String>, ServiceError> {
        self.existing(now, name).map(|stream| &mut stream.tags)
    }

    /// Open shards of all streams, and how many there may be.
    pub fn shard_quota(&mut self, now: SimTime) -> (usize, usize) {
        self.settle(now);
        (self.open_shards(), ACCOUNT_SHARDS_MAX)
    }

    fn open_shards(&self) -> usize {
        self.streams.values().map(StreamState::planned_shards).sum()
    }

    fn check_shard_quota(&self, added: u32) -> Result<(), ServiceError> {
        let current = self.open_shards();
        if current + added as usize <= ACCOUNT_SHARDS_MAX {
            return Ok(());
        }
        let message = format!(
            "This request would exceed the shard limit for the account {ACCOUNT}. Current shard count for the account: \
             {current}. Limit: {ACCOUNT_SHARDS_MAX}. Number of additional shards that would have resulted from this \
             request: {added}. Refer to the AWS Service Limits page \
             (http://docs.aws.amazon.com/general/latest/gr/aws_service_limits.html) for current limits and how to \
             request higher limits."
        );
        Err(ServiceError::client("LimitExceededException", message))
    }

    /// Completes what has come due by `now`, in every stream.
    fn settle(&mut self, now: SimTime) {
        let started_s = self.epoch_s(SimTime::START);
        for stream in self.streams.values_mut() {
            stream.settle(now, started_s);
        }
        self.streams.retain(|_, stream| !stream.is_deleted());
    }

    fn existing(&mut self, now: SimTime, name: &str) -> Result<&mut StreamState, ServiceError> {
        let started_s = self.epoch_s(SimTime::START);
        let deleted = self.streams.get_mut(name).is_some_and(|stream| {
            stream.settle(now, started_s);
            stream.is_deleted()
        });
        if deleted {
            self.streams.remove(name);
        }
        self.streams.get_mut(name).ok_or_else(|| ServiceError::no_stream(name))
    }

    fn serving(&mut self, now: SimTime, name: &str) -> Result<&mut StreamState, ServiceError> {
        let stream = self.existing(now, name)?;
        match stream.status() {
            Status::Active | Status::Updating => Ok(stream),
            Status::Creating | Status::Deleting => Err(ServiceError::no_stream(name)),
        }
    }

    fn active(&mut self, now: SimTime, name: &str) -> Result<&mut StreamState, ServiceError> {
        let stream = self.existing(now, name)?;
        match stream.status() {
            Status::Active => Ok(stream),
            other => Err(ServiceError::not_active(name, other.as_str())),
        }
    }

    fn trim_to(&mut self, bytes_max: usize) {
        let mut kept: usize = self.streams.values().map(|stream| stream.kept_bytes).sum();
        while kept > bytes_max {
            let oldest = self
                .streams
                .values_mut()
                .filter_map(|stream| stream.oldest_arrival().map(|arrival| (arrival, stream)))
                .min_by_key(|(arrival, _)| *arrival);
            let Some((_, stream)) = oldest else { return };
            kept -= stream.trim_oldest();
        }
    }
}

/// Where an entry is placed: by its explicit hash key, or by its partition key.
pub(in crate::sim) fn hash_of(entry: &Entry) -> HashKey {
    entry.explicit_hash_key.unwrap_or_else(|| HashKey::of(entry.key.as_str()))
}
