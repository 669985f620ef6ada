//! `respool replay` from its very beginning: the stream made on the way (`--create`), and the two questions that are
//! asked before anything is sent, by `resume` and `quarantine retry` as well.
//!
//! How many shards a new stream is worth follows from the estimate that a replay makes anyway; so the archive is
//! listed and sampled first, and that list is the one that is replayed.

use std::sync::Arc;

use jiff::Timestamp;

use super::create::{self, create};
use super::delivery::{self, Question};
use super::door::Door;
use super::preflight;
use super::shape::{differences, is_ours};
use crate::archive::Manifest;
use crate::config::{
    ArchiveAddress, CreateWish, RETENTION_HOURS_DEFAULT, ReplayConfig, ResumeConfig, RetryConfig, ShardsWish,
    Target,
};
use crate::error::Error;
use crate::limits::{RECORD_BYTES_DEFAULT, SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use crate::record::{many, number};
use crate::route::key::KeyExtractor;
use crate::route::shard_map::ShardMap;
use crate::run::at_hand;
use crate::run::begun;
use crate::run::directory::{self, RunGlance};
use crate::run::forecast::Forecast;
use crate::run::open::OpenStream;
use crate::run::replay::{self, Listed, Replayed, Sources};
use crate::run::report::Report;
use crate::run::{console, feed, quarantine};
use crate::stream::null::NullStream;
use crate::stream::{Stream, StreamDescription};

/// With `--shards auto` a replay is to take about so long: an hour, since a shard is paid by the hour.
const AUTO_SECONDS: f64 = 3_600.0;
/// With `--shards auto` no more are made than this: more are asked for by number.
const AUTO_SHARDS_MAX: u32 = 256;

/// Starts a run, into a new stream if that is wished.
pub async fn replay(config: &ReplayConfig, now: Timestamp) -> Result<Replayed, Error> {
    tell_other_doors(config);
    let (archive, target) = (&config.settings.archive, &config.settings.target);
    let tuning = at_hand::settled(&config.tuning, archive, Some(target)).await?;
    let config = &ReplayConfig { tuning, ..config.clone() };
    let (Some(wish), Target::Kinesis { stream }) = (&config.create, &config.settings.target) else {
        ask_first(config).await?;
        return replay::replay(config, now).await;
    };
    let door = Door::open(stream, &config.tuning.kinesis).await?.with_runs_in(&config.state_dir);
    match door.look().await? {
        Some(found) if is_ours(&found) => {
            let shards = match wish.shards {
                ShardsWish::Auto => None,
                ShardsWish::Exactly(shards) => Some(shards),
            };
            let differences = differences(&wish.shape, shards, &found);
            if !differences.is_empty() {
                return Err(Error::refused(format!(
                    "the stream {stream} is there already, made by respool, but {}: say what it is, leave --create out, or take another \
                     name",
                    differences.join("; ")
                )));
            }
            if !config.output.quiet {
                let shards = many(found.description.open_shards, "shard");
                console::say(&format!(
                    "the stream {stream} is there already, made by respool, with {shards}"
                ));
            }
            ask_first(config).await?;
            replay::replay(config, now).await
        }
        Some(found) => Err(create::not_ours(&door, &found)),
        None => into_new(config, wish, &door, now).await,
    }
}

/// A plan is carried out by the doors that it was made with, unless it was said otherwise: then that is told.
fn tell_other_doors(config: &ReplayConfig) {
    let ReplayConfig { settings, tuning, plan: Some(plan), output, .. } = config else { return };
    let stream = match &settings.target {
        Target::Kinesis { .. } => plan.stream_door().and_then(|planned| tuning.kinesis.other_than(planned)),
        Target::Sim { .. } | Target::Null => None,
    };
    let archive = match &settings.archive {
        ArchiveAddress::S3 { .. } => tuning.s3.other_than(&plan.tuning.s3),
        ArchiveAddress::Directory { .. } => None,
    };
    for (what, other) in [("stream", stream), ("archive", archive)] {
        if let Some(other) = other.filter(|_| !output.quiet) {
            console::say(&format!("unlike the plan, the {what} is elsewhere: {other}"));
        }
    }
}

/// Goes on with a run.
pub async fn resume(config: &ResumeConfig, now: Timestamp) -> Result<Report, Error> {
    let run = match &config.run {
        Some(id) => directory::glance_at_all(&config.state_dir)?.into_iter().find(|run| run.id == *id),
        None => Some(replay::last_unfinished(&config.state_dir)?),
    };
    // What is not there, not readable or done is told of by the resume itself.
    let Some(run) = run.filter(RunGlance::is_unfinished) else { return replay::resume(config, now).await };
    ask_to_resume(config, &run)
        .await
        .map_err(|error| error.about_run(|| begun::about(&run.id, &run.file)))?;
    replay::resume(&ResumeConfig { run: Some(run.id), ..config.clone() }, now).await
}

async fn ask_to_resume(config: &ResumeConfig, run: &RunGlance) -> Result<(), Error> {
    let tuning = config.changes.clone().apply(run.file.tuning.clone());
    preflight::check(&run.file.settings.target, &tuning.kinesis).await?;
    let question = Question {
        settings: &run.file.settings,
        tuning: &tuning,
        firehose: config.firehose.as_ref(),
        allow_loop: config.allow_loop || run.file.allow_loop,
        output: &config.output,
    };
    delivery::check(&question).await
}

/// Sends what a run has set aside once more, as a run of its own.
pub async fn retry(config: &RetryConfig, now: Timestamp) -> Result<(ReplayConfig, Replayed), Error> {
    let retry = quarantine::prepare(config)?;
    ask_first(&retry.replay).await?;
    Box::pin(quarantine::retry(retry, now)).await
}

/// What is asked before anything is sent.
async fn ask_first(config: &ReplayConfig) -> Result<(), Error> {
    let ReplayConfig { settings, tuning, allow_loop, output, .. } = config;
    preflight::check(&settings.target, &tuning.kinesis).await?;
    let firehose = config.firehose.as_ref();
    delivery::check(&Question { settings, tuning, firehose, allow_loop: *allow_loop, output }).await
}

async fn into_new(
    config: &ReplayConfig,
    wish: &CreateWish,
    door: &Door,
    now: Timestamp,
) -> Result<Replayed, Error> {
    let ReplayConfig { settings, tuning, output, .. } = config;
    let sources = Sources::open(settings, tuning).await?;
    let manifest = sources.manifest(config).await?;
    let harmless = door.stream.is_harmless();
    let must_look =
        wish.shards == ShardsWish::Auto || config.dry_run || !harmless || settings.partition_key.is_none();
    let forecast = if must_look { Some(survey(config, wish, door, manifest.clone()).await?) } else { None };
    if let (Some(forecast), true) = (&forecast, config.dry_run) {
        if !output.quiet {
            let name = &door.name;
            console::say(&format!(
                "the stream {name} is not there yet: it would be made with {}",
                many(forecast.shards, "shard")
            ));
        }
        return Ok(Replayed::Forecast(Box::new(forecast.clone())));
    }
    let shards = match (wish.shards, &forecast) {
        (ShardsWish::Exactly(shards), _) => shards,
        (ShardsWish::Auto, forecast) => forecast.as_ref().map_or(1, |forecast| forecast.shards),
    };
    if let (Some(forecast), false) = (&forecast, harmless)
        && !confirmed(config, forecast, shards)?
    {
        return Err(Error::refused("nothing was made or sent"));
    }
    let created = create(door, shards, &wish.shape, now, output).await?;
    if !output.quiet {
        let stream = &created.stream;
        console::say(&format!(
            "the stream {} is made: {}, records kept for {} h; `respool stream delete {0}{3}` ends it",
            stream.name,
            many(stream.open_shards, "shard"),
            number(stream.retention_hours.into()),
            door.flags
        ));
    }
    let config = ReplayConfig { yes: true, ..config.clone() };
    ask_first(&config).await?;
    replay::replay_listed(&config, now, sources, manifest, Listed::Confirmed).await
}

/// What the replay would be into the stream that is to be made.
async fn survey(
    config: &ReplayConfig,
    wish: &CreateWish,
    door: &Door,
    manifest: Manifest,
) -> Result<Forecast, Error> {
    let ReplayConfig { settings, tuning, .. } = config;
    let sources = Sources::open(settings, tuning).await?.recalling(&config.state_dir);
    // The run itself tells of it.
    let sources = if config.dry_run { sources } else { sources.untold() };
    let (spool, segments) = sources.spool(settings, tuning, Arc::new(manifest))?;
    let Some(extractor) = settings.key_config().map(KeyExtractor::new) else {
        return Err(replay::ask_for_a_key(feed::look_at_fields(&spool, &segments).await?));
    };
    let hottest = feed::sample(&spool, &segments, &Arc::new(extractor)).await?;
    let of = |shards| async move { imaginary(door, wish, shards).await };
    let shards = match wish.shards {
        ShardsWish::Exactly(shards) => shards,
        ShardsWish::Auto => {
            let one = Forecast::new(settings, tuning, &of(1).await?, &spool, hottest);
            auto_shards(one.records.unwrap_or(0), one.bytes.unwrap_or(0), tuning.share.get())
        }
    };
    Ok(Forecast::new(settings, tuning, &of(shards).await?, &spool, hottest))
}

/// As many shards as let a replay of so many records and bytes take about an hour.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, at least 0"
)]
fn auto_shards(records: u64, bytes: u64, share: f64) -> u32 {
    let by_records = records as f64 / (share * f64::from(SHARD_RECORDS_PER_SECOND));
    let by_bytes = bytes as f64 / (share * f64::from(SHARD_BYTES_PER_SECOND));
    let shards = (by_records.max(by_bytes) / AUTO_SECONDS).ceil() as u32;
    shards.clamp(1, AUTO_SHARDS_MAX)
}

/// The stream as it would be.
async fn imaginary(door: &Door, wish: &CreateWish, shards: u32) -> Result<OpenStream, Error> {
    let stream = NullStream::new(shards);
    let listed = stream.list_open_shards().await.map_err(|error| Error::internal(error.message))?;
    let map = ShardMap::new(listed).map_err(|error| Error::internal(error.to_string()))?;
    let kib = wish.shape.record_kib.and_then(|kib| usize::try_from(kib).ok());
    let description = StreamDescription {
        name: door.name.name().to_owned(),
        arn: None,
        account: None,
        region: Some(door.stream.region().to_owned()),
        status: "to be made".to_owned(),
        created_ms: 0,
        retention_hours: wish.shape.retention_hours.unwrap_or(RETENTION_HOURS_DEFAULT),
        record_bytes_max: kib.map_or(RECORD_BYTES_DEFAULT, |kib| kib * 1_024),
        open_shards: shards,
        ignores_keys: false,
        on_demand: false,
        harmless: door.stream.is_harmless(),
    };
    Ok(OpenStream { stream: Arc::new(stream), description, map })
}

/// A stream costs money, and a write cannot be taken back.
fn confirmed(config: &ReplayConfig, forecast: &Forecast, shards: u32) -> Result<bool, Error> {
    if !config.output.quiet || !config.yes {
        console::say(&forecast.render());
    }
    if config.yes {
        return Ok(true);
    }
    if !config.output.can_ask {
        return Err(Error::refused(
            "a stream costs money, and records cannot be taken back once they are sent: say --yes to make it and send them",
        ));
    }
    console::ask(&format!(
        "Make the stream {} with {} and send them? [y/N] ",
        config.settings.target,
        many(shards, "shard")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_gets_the_shards_that_let_it_take_about_an_hour() {
        for (records, bytes, shards) in [
            (0, 0, 1),
            (3_600_000, 1_000_000, 1),
            (3_600_001, 0, 2),
            (1_000, 36_000_000_000, 10),
            (u64::MAX, u64::MAX, AUTO_SHARDS_MAX),
        ] {
            assert_eq!(auto_shards(records, bytes, 1.0), shards, "{records} {bytes}");
        }
        assert_eq!(auto_shards(3_600_000, 0, 0.5), 2);
    }
}
