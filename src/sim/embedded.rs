//! The target `sim:SHARDS`: a stream in this very process.
//!
//! The same model that stands behind `respool simulate`, asked directly: no sockets and no encoding, but
//! the real limits, on tokio's clock (which tests can pause). A call takes a configurable time, half of it
//! before the records are stored and half after, as on a network.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep, sleep_until};

use crate::limits::{BATCH_ENTRIES_MAX, REQUEST_BYTES_MAX};
use crate::record::ShardId;
use crate::stream::batch::{Batch, Draft, DraftSize};
use crate::stream::{
    BoxFuture, CallError, CallErrorClass, Entry, Outcome, ShardDescription, Stream, StreamDescription,
    UnknownCause,
};

use super::SimTime;
use super::fault::{CallFault, FaultPlan};
use super::faulty::{self, Told};
use super::limit::BurstRule;
use super::model::{Capacity, NewStream, PutResult, Retention, Service, ServiceConfig, StreamState};
use super::service_error::ServiceError;
use super::shard::{Shard, ShardStats, StoredRecord};
use super::world::World;

/// The name of the only stream.
const NAME: &str = "sim";
/// What is late is late by less than this.
const FAULT_SECONDS_MAX: f64 = 3.0;

/// How an embedded stream behaves.
#[derive(Debug, Clone)]
pub struct EmbeddedConfig {
    /// Shards to begin with.
    pub shards: NonZeroU32,
    /// How shards measure their limits.
    pub burst_rule: BurstRule,
    /// What can be read back.
    pub retention: Retention,
    /// How long a call takes.
    pub latency: Duration,
    /// What goes wrong.
    pub faults: FaultPlan,
}

impl EmbeddedConfig {
    /// Real limits, a call takes 5 ms, nothing is kept of the records but their counts.
    pub const fn with_shards(shards: NonZeroU32) -> Self {
        Self {
            shards,
            burst_rule: BurstRule::SECOND,
            retention: Retention::Nothing,
            latency: Duration::from_millis(5),
            faults: FaultPlan::NONE,
        }
    }
}

/// A stream in this process. Clones share it.
#[derive(Debug, Clone)]
pub struct EmbeddedStream {
    world: Arc<World>,
    latency: Duration,
    faults: FaultPlan,
    calls: Arc<AtomicU64>,
}

impl EmbeddedStream {
    /// Makes the stream; `started` is the instant it says it was created.
    ///
    /// Must be called within a tokio runtime if its clock is paused, else anywhere.
    pub fn new(config: &EmbeddedConfig, started: Timestamp) -> Result<Self, ServiceError> {
        let mut service = Service::new(ServiceConfig {
            started,
            burst_rule: config.burst_rule,
            retention: config.retention,
            transition: Duration::ZERO,
        });
        service.create_stream(SimTime::START, NAME, NewStream::with_shards(config.shards.get()))?;
        let (latency, faults) = (config.latency, config.faults);
        Ok(Self { world: Arc::new(World::new(service)), latency, faults, calls: Arc::default() })
    }

    /// Asks or changes the model itself, for instance to reshard in mid-run; the stream's name is `sim`.
    pub fn with_service<T>(&self, action: impl FnOnce(&mut Service, SimTime) -> T) -> T {
        self.world.act(action)
    }

    /// Everything that is kept, per shard in its order. Closed shards are included.
    pub fn records(&self) -> Vec<(ShardId, Vec<StoredRecord>)> {
        self.of_shards(|shard| shard.records().cloned().collect())
    }

    /// What happened to each shard so far. Closed shards are included.
    pub fn stats(&self) -> Vec<(ShardId, ShardStats)> {
        self.of_shards(|shard| shard.stats)
    }

    fn of_shards<T>(&self, part: impl Fn(&Shard) -> T) -> Vec<(ShardId, T)> {
        let pick = |stream: &StreamState| {
            stream.shards.iter().map(|shard| (shard.id.clone(), part(shard))).collect()
        };
        self.with_service(|service, now| service.stream(now, NAME).map(pick)).unwrap_or_default()
    }

    fn put_now(&self, call: u64, entries: Vec<Entry>) -> Result<Vec<Outcome>, CallError> {
        let size: usize = entries.iter().map(Entry::cost).sum();
        if entries.is_empty() || entries.len() > BATCH_ENTRIES_MAX || size > REQUEST_BYTES_MAX {
            let message = format!("a call of {} entries and {size} B", entries.len());
            return Err(CallError { class: CallErrorClass::Invalid, message });
        }
        let results = self
            .with_service(|service, now| faulty::put(service, now, NAME, entries, (&self.faults, call)))
            .map_err(|error| call_error(&error))?;
        Ok(results.into_iter().map(outcome).collect())
    }

    /// One call and what goes wrong with it, but for the time that it takes in any case.
    async fn put_faulty(&self, call: u64, entries: Vec<Entry>) -> Result<Vec<Outcome>, CallError> {
        let failed = |class| Err(CallError { class, message: "the plan of faults says so".into() });
        let unknown = |cause| failed(CallErrorClass::Unknown(cause));
        let long = Duration::from_secs_f64(FAULT_SECONDS_MAX * self.faults.fraction(call));
        match self.faults.call(call) {
            None => self.put_now(call, entries),
            Some(CallFault::Throttle) => failed(CallErrorClass::Throttled),
            Some(CallFault::Disconnect) => unknown(UnknownCause::Connection),
            Some(CallFault::ServerError) => unknown(UnknownCause::ServerError),
            Some(CallFault::Expire) => failed(CallErrorClass::Credentials),
            Some(CallFault::LoseAnswer) => {
                self.put_now(call, entries)?;
                unknown(UnknownCause::Connection)
            }
            Some(CallFault::ApplyLate) => {
                let stream = self.clone();
                tokio::spawn(async move {
                    sleep(long).await;
                    // Nobody waits for it any more.
                    let _ = stream.put_now(call, entries);
                });
                unknown(UnknownCause::Timeout)
            }
            Some(CallFault::Stall | CallFault::Drip) => {
                let outcomes = self.put_now(call, entries);
                sleep(long).await;
                outcomes
            }
            Some(CallFault::Miscount) => {
                self.put_now(call, entries)?;
                unknown(UnknownCause::BadAnswer)
            }
        }
    }
}

fn outcome(told: Told) -> Outcome {
    match told {
        Told::Truth(PutResult::Stored { shard, sequence }) => {
            Outcome::Acked { shard, sequence_number: sequence.into() }
        }
        Told::Truth(PutResult::Throttled { .. }) => Outcome::Throttled,
        Told::Failed => Outcome::Unknown { cause: UnknownCause::InternalFailure },
        Told::Garbled => Outcome::Unknown { cause: UnknownCause::BadAnswer },
    }
}

fn call_error(error: &ServiceError) -> CallError {
    let class = match error.code {
        "ResourceNotFoundException" => CallErrorClass::NotFound,
        "ProvisionedThroughputExceededException" | "LimitExceededException" => CallErrorClass::Throttled,
        _ => CallErrorClass::Invalid,
    };
    CallError { class, message: error.to_string() }
}

/// A stream's state as the edge trait tells it.
fn description(stream: &StreamState, created_ms: i64) -> StreamDescription {
    StreamDescription {
        name: stream.name.clone(),
        arn: None,
        account: None,
        region: None,
        status: stream.status().as_str().to_owned(),
        created_ms,
        retention_hours: stream.retention_hours,
        record_bytes_max: stream.record_bytes_max,
        open_shards: u32::try_from(stream.open_shards().len()).unwrap_or(u32::MAX),
        ignores_keys: false,
        on_demand: stream.capacity == Capacity::OnDemand,
        channels: 0,
        harmless: true,
    }
}

pub(super) fn shard_description(stream: &StreamState, shard: &Shard) -> ShardDescription {
    let id_of = |number: u32| stream.shard(number).id.clone();
    ShardDescription {
        id: shard.id.clone(),
        range: shard.range,
        parent: shard.parent.map(id_of),
        adjacent_parent: shard.adjacent_parent.map(id_of),
        open: shard.is_open(),
        starts: Some(shard.starting().into()),
    }
}

impl Stream for EmbeddedStream {
    fn describe(&self) -> BoxFuture<'_, Result<StreamDescription, CallError>> {
        Box::pin(async {
            sleep(self.latency).await;
            self.with_service(|service, now| {
                let created_ms = service
                    .stream(now, NAME)
                    .map(|stream| stream.created)
                    .map_err(|error| call_error(&error))?;
                let created_ms = service.epoch_ms(created_ms);
                let stream = service.stream(now, NAME).map_err(|error| call_error(&error))?;
                Ok(description(stream, created_ms))
            })
        })
    }

    fn list_open_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
        Box::pin(async {
            sleep(self.latency).await;
            self.with_service(|service, now| {
                let stream = service.stream(now, NAME).map_err(|error| call_error(&error))?;
                Ok(stream.open_shards().map(|shard| shard_description(stream, shard)).collect())
            })
        })
    }

    fn draft(&self, size: DraftSize) -> Draft {
        Draft::Entries(Vec::with_capacity(size.entries))
    }

    fn put(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Outcome>, CallError>> {
        Box::pin(async {
            let entries = batch.into_entries()?;
            let began = Instant::now();
            sleep(self.latency / 2).await;
            let call = self.calls.fetch_add(1, Ordering::Relaxed);
            let outcomes = self.put_faulty(call, entries).await;
            sleep_until(began + self.latency).await;
            outcomes
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::record::{HashKey, PartitionKey, Payload};

    fn stream(retention: Retention) -> EmbeddedStream {
        let two = NonZeroU32::new(2).unwrap();
        let config = EmbeddedConfig { retention, ..EmbeddedConfig::with_shards(two) };
        EmbeddedStream::new(&config, Timestamp::from_second(1_795_000_000).unwrap()).unwrap()
    }

    async fn put(stream: &EmbeddedStream, count: usize) -> Result<Vec<Outcome>, CallError> {
        stream.put(stream.batch_of(&entries(count))).await
    }

    fn entries(count: usize) -> Vec<Entry> {
        let key = PartitionKey::new("k").unwrap();
        let entry =
            Entry { data: Payload(Bytes::from_static(b"x")), key, explicit_hash_key: Some(HashKey(0)) };
        vec![entry; count]
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_takes_its_latency_and_a_second_call_meets_the_limit() {
        let stream = stream(Retention::All);
        let began = Instant::now();
        for _ in 0..2 {
            let outcomes = put(&stream, 500).await.unwrap();
            assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Acked { .. })));
        }
        assert_eq!(began.elapsed(), Duration::from_millis(10));
        let outcomes = put(&stream, 500).await.unwrap();
        let throttled = outcomes.iter().filter(|outcome| **outcome == Outcome::Throttled).count() as u64;
        assert!(throttled > 480, "{throttled}");
        let (_, first) = &stream.stats()[0];
        assert_eq!((first.accepted, first.throttled), (1_500 - throttled, throttled));
        assert_eq!(stream.records()[0].1.len() as u64, first.accepted);
    }

    #[tokio::test(start_paused = true)]
    async fn it_says_what_it_is_and_what_it_cannot_take() {
        let stream = stream(Retention::Nothing);
        let description = stream.describe().await.unwrap();
        assert!(description.harmless);
        assert_eq!((description.open_shards, description.created_ms), (2, 1_795_000_000_000));
        stream.with_service(|service, now| service.update_shard_count(now, NAME, 4)).unwrap();
        let shards = stream.list_open_shards().await.unwrap();
        assert_eq!(shards.len(), 4);
        assert_eq!(
            shards[0].parent.as_ref().map(ToString::to_string).as_deref(),
            Some("shardId-000000000000")
        );
        let refused = put(&stream, 501).await.unwrap_err();
        assert_eq!(refused.class, CallErrorClass::Invalid);
        put(&stream, 3).await.unwrap();
        assert!(stream.records().iter().all(|(_, records)| records.is_empty()));
        stream.with_service(|service, now| service.delete_stream(now, NAME)).unwrap();
        assert_eq!(put(&stream, 1).await.unwrap_err().class, CallErrorClass::NotFound);
    }
}
