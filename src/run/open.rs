//! Opens what a run stands on: the archive, the stream, the cache, the window.
//!
//! Every failure here comes before anything is sent, and is one sentence.

use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::absent::Seeker;
use super::forbidden;
use crate::archive::local::LocalArchive;
use crate::archive::s3::{S3Archive, S3Config};
use crate::archive::{Archive, ArchiveError};
use crate::cache::Cache;
use crate::config::{
    Addressing, ArchiveAddress, CACHE_BYTES_DEFAULT, CacheConfig, Decoding, Input, Order, RunSettings,
    Target, Tuning,
};
use crate::decode::DecodeConfig;
use crate::error::Error;
use crate::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use crate::record::ByteCount;
use crate::route::shard_map::ShardMap;
use crate::sim::embedded::{EmbeddedConfig, EmbeddedStream};
use crate::stream::kinesis::{KinesisConfig, KinesisStream};
use crate::stream::name::StreamName;
use crate::stream::null::NullStream;
use crate::stream::read::StreamReader;
use crate::stream::{CallError, CallErrorClass, Stream, StreamDescription};
use crate::write;
use crate::write::StreamState;
use crate::write::rate::ShardRate;

/// The part of the cache's limit that is for segments which only pass through: one over this.
pub(super) const PASSING_PART: u64 = 8;
/// What a stream says of itself while its shards split or merge.
pub const UPDATING: &str = "UPDATING";
/// Records that may wait or be in flight: one hot shard stops the others only when this many wait for it.
const WINDOW_RECORDS: usize = 1 << 20;

/// How bytes become records.
pub fn decoding(input: &Input) -> DecodeConfig {
    let Decoding { framing, salvage } = input.decoding;
    DecodeConfig { framing, salvage, ..DecodeConfig::default() }
}

/// The cache, and how much may lie beside it of what only passes through.
pub fn cache(config: &CacheConfig) -> Result<(Arc<Cache>, ByteCount), Error> {
    let failed = |error| {
        Error::refused(format!(
            "cannot use the cache in {} (--cache-dir names another)",
            config.dir.display()
        ))
        .with_source(error)
    };
    // Opened once to see what it holds already: that counts as free, since it is there to be used again.
    let held = Cache::open(&config.dir, ByteCount(u64::MAX)).map_err(failed)?.usage().bytes.0;
    let size = if let Some(size) = config.size {
        size.0
    } else {
        let free = free_bytes(&config.dir).map_err(|error| {
            Error::refused(format!("cannot measure {}", config.dir.display())).with_source(error)
        })?;
        u64::midpoint(free, held).min(CACHE_BYTES_DEFAULT.0)
    };
    let passing = size / PASSING_PART;
    let cache = Cache::open(&config.dir, ByteCount(size - passing)).map_err(failed)?;
    Ok((Arc::new(cache), ByteCount(passing)))
}

fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let status = rustix::fs::statvfs(path)?;
    Ok(status.f_bavail * status.f_frsize)
}

/// The archive at `address`.
pub async fn archive_at(address: &ArchiveAddress, tuning: &Tuning) -> Result<Arc<dyn Archive>, Error> {
    match address {
        ArchiveAddress::Directory { path } => {
            let archive = LocalArchive::open(path).map_err(archive_error)?;
            Ok(Arc::new(archive))
        }
        ArchiveAddress::S3 { bucket, prefix } => {
            let config = S3Config {
                region: tuning.s3.region.clone(),
                profile: tuning.s3.profile.clone(),
                endpoint_url: tuning.s3.endpoint_url.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
                path_style: match tuning.s3_addressing {
                    Addressing::Auto => None,
                    Addressing::Path => Some(true),
                    Addressing::Host => Some(false),
                },
                anonymous: tuning.s3_anonymous,
                request_payer: tuning.s3_request_payer,
                bucket_owner: tuning.s3_bucket_owner.clone(),
                ..S3Config::new(bucket, prefix, &tuning.cache.dir)
            };
            Ok(Arc::new(S3Archive::connect(config).await.map_err(archive_error)?))
        }
    }
}

/// What a failure of the archive means for the command.
pub fn archive_error(error: ArchiveError) -> Error {
    let sentence = error.to_string();
    match error {
        ArchiveError::Unavailable { .. } => Error::incomplete(format!(
            "{sentence}; nothing was begun: check the network and the address (--s3-endpoint-url, --s3-region), and try again"
        ))
        .with_source(error),
        ArchiveError::Io(_) => Error::incomplete(sentence).with_source(error),
        ArchiveError::NoSuchArchive { .. } => Error::refused(format!(
            "{sentence}: check its name; a bucket may also lie behind another endpoint (--s3-endpoint-url)"
        )),
        _ => Error::refused(sentence),
    }
}

/// The stream, what it is, and its open shards.
pub struct OpenStream {
    /// The way to it.
    pub stream: Arc<dyn Stream>,
    /// What it is.
    pub description: StreamDescription,
    /// Its open shards.
    pub map: ShardMap,
}

/// Opens the target and looks at it.
pub async fn stream(
    target: &Target,
    tuning: &Tuning,
    now: Timestamp,
    seeker: &Seeker<'_>,
) -> Result<OpenStream, Error> {
    look_at(connect(target, tuning, now).await?, target, tuning, seeker).await
}

/// The same for who can do without: `None` of a stream that is not there.
pub async fn stream_if_there(
    target: &Target,
    tuning: &Tuning,
    now: Timestamp,
) -> Result<Option<OpenStream>, Error> {
    let stream = connect(target, tuning, now).await?;
    match stream.describe().await {
        Err(error) if error.class == CallErrorClass::NotFound => Ok(None),
        described => looked_at(stream, described, target, tuning, &Seeker::Plan).await.map(Some),
    }
}

async fn connect(target: &Target, tuning: &Tuning, now: Timestamp) -> Result<Arc<dyn Stream>, Error> {
    Ok(match target {
        Target::Null => Arc::new(NullStream::default()),
        Target::Sim { shards } => {
            let shards = NonZeroU32::new(*shards).ok_or_else(|| Error::usage("sim:SHARDS needs a shard"))?;
            let config = EmbeddedConfig::with_shards(shards);
            let stream = EmbeddedStream::new(&config, now)
                .map_err(|error| Error::refused("cannot make the embedded stream").with_source(error))?;
            Arc::new(stream)
        }
        Target::Kinesis { stream } => Arc::new(kinesis(target, stream, tuning).await?),
    })
}

/// Looks at the target behind `stream`.
pub async fn look_at(
    stream: Arc<dyn Stream>,
    target: &Target,
    tuning: &Tuning,
    seeker: &Seeker<'_>,
) -> Result<OpenStream, Error> {
    let described = stream.describe().await;
    looked_at(stream, described, target, tuning, seeker).await
}

async fn looked_at(
    stream: Arc<dyn Stream>,
    described: Result<StreamDescription, CallError>,
    target: &Target,
    tuning: &Tuning,
    seeker: &Seeker<'_>,
) -> Result<OpenStream, Error> {
    let failed = |error: CallError| stream_error(target, tuning, seeker, &error);
    let description = described.map_err(failed)?;
    if !matches!(description.status.as_str(), "ACTIVE" | UPDATING) {
        let status = &description.status;
        return Err(Error::refused(format!(
            "the stream {target} is {status}, and must be ACTIVE or UPDATING: try again when `respool stream status {target}{}` says so",
            tuning.kinesis.own_flags("kinesis")
        )));
    }
    let shards = stream.list_open_shards().await.map_err(failed)?;
    let map = ShardMap::new(shards).map_err(|error| {
        Error::refused(format!("the shards of {target} do not add up")).with_source(error)
    })?;
    Ok(OpenStream { stream, description, map })
}

async fn kinesis(target: &Target, stream: &StreamName, tuning: &Tuning) -> Result<KinesisStream, Error> {
    let access = &tuning.kinesis;
    let config = KinesisConfig {
        region: access.region.clone(),
        profile: access.profile.clone(),
        endpoint_url: access.endpoint_url.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        send: tuning.send,
        ..KinesisConfig::new(stream.clone())
    };
    KinesisStream::connect(config)
        .await
        .map_err(|error| stream_error(target, tuning, &Seeker::Replay, &error))
}

/// Opens the target to be read, and looks at it.
pub async fn reader(
    target: &Target,
    tuning: &Tuning,
    seeker: &Seeker<'_>,
) -> Result<(Arc<dyn StreamReader>, StreamDescription), Error> {
    let Target::Kinesis { stream } = target else {
        return Err(Error::refused(format!("{target} keeps nothing that could be read")));
    };
    let stream = kinesis(target, stream, tuning).await?;
    let failed = |error: CallError| stream_error(target, tuning, seeker, &error);
    let description = stream.describe().await.map_err(failed)?;
    Ok((Arc::new(stream), description))
}

/// What a failed call before the first record means for the command.
pub fn stream_error(target: &Target, tuning: &Tuning, seeker: &Seeker<'_>, error: &CallError) -> Error {
    let at = place(tuning);
    match error.class {
        CallErrorClass::NotFound => {
            let sentence = format!("{} ({})", seeker.told(target, &at, tuning), error.message);
            Error::refused(sentence).with_next(seeker.next_command(tuning))
        }
        CallErrorClass::Forbidden if let Target::Kinesis { stream } = target => {
            forbidden::by_stream(stream, tuning.kinesis.region.as_deref(), seeker, &error.message)
        }
        CallErrorClass::Invalid
        | CallErrorClass::Forbidden
        | CallErrorClass::Denied
        | CallErrorClass::Credentials => Error::refused(format!("the stream {target}: {}", error.message)),
        CallErrorClass::Throttled | CallErrorClass::Unreachable | CallErrorClass::Unknown(_) => {
            Error::incomplete(format!(
                "the stream {target}{at}: {}; nothing was begun: check the network and the address \
                 (--kinesis-endpoint-url, --region), and try again",
                error.message
            ))
        }
    }
}

/// Where a stream was looked for, as far as flags, variables and the file say it.
fn place(tuning: &Tuning) -> String {
    match (&tuning.kinesis.endpoint_url, &tuning.kinesis.region) {
        (Some(endpoint), _) => format!(" at {}", endpoint.as_str()),
        (None, Some(region)) => format!(" in {region}"),
        (None, None) => String::new(),
    }
}

/// A stream that spreads records itself keeps no key's order, and takes no aggregates; the user has to know.
pub fn check_order(
    target: &Target,
    order: Order,
    aggregate: bool,
    stream: &StreamDescription,
) -> Result<(), Error> {
    if stream.ignores_keys && aggregate {
        return Err(Error::refused(format!(
            "the stream {target} distributes records itself (RecordDistributionStrategy AUTO): consumers would drop every \
             aggregate that lies in another shard than its keys say, so leave out --aggregate"
        )));
    }
    if stream.ignores_keys && order != Order::None {
        return Err(Error::refused(format!(
            "the stream {target} distributes records itself (RecordDistributionStrategy AUTO) and keeps no order per key: \
             say --order none if that will do"
        )));
    }
    Ok(())
}

/// What the engine has to know of a stream, again and again.
pub fn state_of(stream: &StreamDescription) -> StreamState {
    StreamState { updating: stream.status == UPDATING, ignores_keys: stream.ignores_keys }
}

/// How fast each shard may be written and the whole run may go, into the target or, without one, into a stream of
/// Kinesis.
pub fn rates(target: Option<&Target>, tuning: &Tuning) -> (ShardRate, ShardRate) {
    let part = tuning.share.get();
    let shard = match target {
        Some(Target::Null) => ShardRate::UNBOUNDED,
        Some(Target::Sim { .. } | Target::Kinesis { .. }) | None => ShardRate {
            records: part * f64::from(SHARD_RECORDS_PER_SECOND),
            bytes: part * f64::from(SHARD_BYTES_PER_SECOND),
        },
    };
    #[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^53 is no bound")]
    let rate = |cap: Option<u64>, unbounded| cap.map_or(unbounded, |cap| cap as f64);
    let run = ShardRate {
        records: rate(tuning.max_rate.records_per_second, ShardRate::UNBOUNDED.records),
        bytes: rate(tuning.max_rate.bytes_per_second, ShardRate::UNBOUNDED.bytes),
    };
    (shard, run)
}

/// How the engine is to write.
pub fn engine_config(
    settings: &RunSettings,
    tuning: &Tuning,
    stream: &StreamDescription,
    requests_max: usize,
) -> write::EngineConfig {
    let (shard_rate, run_rate) = rates(Some(&settings.target), tuning);
    write::EngineConfig {
        order: settings.order,
        aggregate: settings.aggregate.then_some(stream.record_bytes_max),
        updating: state_of(stream).updating,
        shard_rate,
        run_rate,
        hash_places: !stream.ignores_keys,
        window_records: WINDOW_RECORDS,
        requests_max,
        seed: settings.seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_that_distributes_records_itself_takes_neither_order_nor_aggregates() {
        let mut stream = NullStream::default().describe().await.unwrap();
        let check = |order, aggregate, stream: &StreamDescription| {
            check_order(&Target::Null, order, aggregate, stream)
        };
        assert!(check(Order::Key, true, &stream).is_ok());
        stream.ignores_keys = true;
        let refused = check(Order::None, true, &stream).unwrap_err();
        assert_eq!(refused.exit_code(), crate::error::ExitCode::Refused);
        assert!(refused.to_string().contains("leave out --aggregate"), "{refused}");
        assert!(check(Order::None, false, &stream).is_ok());
        for order in [Order::Key, Order::Relaxed, Order::Shard] {
            assert!(check(order, false, &stream).unwrap_err().to_string().contains("--order none"));
        }
    }
}
