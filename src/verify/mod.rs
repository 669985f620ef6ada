//! `respool verify`: did all of it arrive, and in order?
//!
//! The stream is read from where the run began, and the archive from the run's segments. Both are reduced to
//! small entries, cut by key and [walked](walk) side by side. Only what stands in the stretch of a shard that
//! was acknowledged to the run can be what it has delivered.

mod both_sides;
pub mod buckets;
pub mod read;
pub mod report;
mod retries;
pub mod walk;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use self::both_sides::{Deliverer, Progress, Sides};
use self::report::{DIFFERENCES_SHOWN, DifferenceLine, ShardLine, VerifyReport};
use self::retries::Retry;
use self::walk::{Difference, Findings, Rules, Standing};
use crate::archive::manifest::Manifest;
use crate::config::{Order, Target, VerifyConfig};
use crate::error::{Error, ExitCode};
use crate::record::HashKeyRange;
use crate::run::absent::{Seeker, Sent};
use crate::run::anew;
use crate::run::begun;
use crate::run::directory::{self, RunDirectory, RunFile};
use crate::run::replay::{self, Sources};
use crate::run::spool::blocking;
use crate::run::{console, open};
use crate::stream::{ShardDescription, StreamDescription};

/// The clocks of two machines differ by less: with more, the service refuses every signature.
/// Source: AWS' common errors, `RequestExpired`, read 2026-11-22.
const CLOCK_SLACK: Duration = Duration::from_mins(15);
/// Entries of both sides that are walked at once, at some 150 bytes each; a fuller bucket is cut again, as others may
/// have written any number of records …
const BUCKET_ENTRIES_MAX: u64 = 1_000_000;
/// … unless so many cuts have not helped: then it is a single key.
const LEVELS_MAX: u32 = 4;
/// How often the user is told how far it is.
const NEWS_INTERVAL: Duration = Duration::from_secs(5);
/// Every difference of the last verification, in the run's directory.
const DIFFERENCES_FILE: &str = "verify.jsonl";

/// Verifies a run.
pub async fn verify(config: &VerifyConfig, now: Timestamp) -> Result<VerifyReport, Error> {
    let began = Instant::now();
    let id = meant(config)?;
    let directory = RunDirectory::open(&config.state_dir, &id)?;
    let file = directory::read_run_file(&directory)?;
    let about = begun::about(&id, &file);
    let verified = Box::pin(verify_run(config, directory, file, (began, now))).await;
    verified.map_err(|error| error.about_run(|| about))
}

async fn verify_run(
    config: &VerifyConfig,
    directory: RunDirectory,
    mut file: RunFile,
    (began, now): (Instant, Timestamp),
) -> Result<VerifyReport, Error> {
    let id = directory.id().to_owned();
    let Target::Kinesis { .. } = file.settings.target else {
        return Err(Error::refused(format!(
            "run {id} went into {}, which ended with its process, so there is nothing left to read: verify a run into a Kinesis \
             stream (`respool runs{}` lists them)",
            file.settings.target,
            config.state_dir.flag()
        )));
    };
    file.tuning = config.changes.clone().apply(file.tuning);
    let manifest = Arc::new(directory.manifest()?);
    replay::check_unchanged(&id, "manifest", &file.manifest_digest, &manifest.digest())?;
    let checkpoint = replay::last_checkpoint(&directory)?;
    let drained = directory.drained().filter(|seen| seen.delivered == checkpoint.totals.delivered);
    let sent = Sent::by(&directory, &file).and_drained(drained);
    let was_read = sent.was_read();
    let seeker = Seeker::Verify(sent);
    let (reader, description) = open::reader(&file.settings.target, &file.tuning, &seeker).await?;
    check_same_stream(config, &directory, &file, &description, was_read)?;
    let shards = reader.list_all_shards().await;
    let shards =
        shards.map_err(|error| open::stream_error(&file.settings.target, &file.tuning, &seeker, &error))?;
    let (ranges, sample) = sample(&shards, config.sample);
    let shards = read::choose(shards, &ranges);
    let sources = Sources::open(&file.settings, &file.tuning).await?.untold();
    let (spool, segments) = sources.spool(&file.settings, &file.tuning, manifest.clone())?;
    let due_in_all = directory.is_done();
    let run = Deliverer {
        path: directory.path().to_owned(),
        settings: file.settings.clone(),
        spread: file.spread(),
        checkpoint,
        due_in_all,
        due: Standing::Due,
        first_object: 0,
        spool,
        segments,
        record_bytes_max: file.record_bytes_max.unwrap_or(description.record_bytes_max),
    };
    let objects = Objects::new(id.clone(), manifest, retries::of(config, &id, &file)?);
    let sides = Sides {
        run,
        retries: objects.retries(config, description.record_bytes_max).await?,
        began_ms: file.started.as_millisecond(),
        ranges,
        progress: Arc::new(Progress::default()),
    };
    let reading = read::Reading {
        reader,
        share: config.read_share.get(),
        since_ms: (file.started - CLOCK_SLACK).as_millisecond(),
        until_ms: (now + CLOCK_SLACK).as_millisecond(),
    };
    let news = (!config.output.quiet).then(|| tell_news(sides.progress.clone()));
    let compared = sides.bring_together(&reading, &shards).await;
    drop(news);
    let both = compared?;
    let rules =
        Rules { ordered: file.settings.order != Order::None, expired: expired(&file, &description, now) };
    let path = directory.path().join(DIFFERENCES_FILE);
    let mut report = VerifyReport {
        run: id,
        retries: objects.retries.iter().map(|(_, retry)| retry.id.clone()).collect(),
        look: directory.flags(&file.tuning).look,
        target: file.settings.target.to_string(),
        sample,
        finished: due_in_all,
        not_due: both.not_due,
        objects_lost: both.objects_lost,
        set_aside: both.set_aside.0,
        objects_set_aside: both.set_aside.1,
        shards: both.shards,
        ..VerifyReport::default()
    };
    let buckets = (both.expected, both.seen);
    let strict = matches!(file.settings.order, Order::Key | Order::Shard);
    report = blocking(move || compare(report, buckets, rules, &objects, &path)).await??;
    let differs = report.missing > 0 || (strict && report.order_violations > 0);
    report.exit_code = match (differs, due_in_all && report.objects_lost == 0) {
        (true, _) => ExitCode::Differs,
        (false, false) => ExitCode::Incomplete,
        (false, true) => ExitCode::Done,
    } as u8;
    report.in_order = rules.ordered && report.order_violations == 0;
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

/// The run that is to be verified: the replay, if one of its retries is named.
fn meant(config: &VerifyConfig) -> Result<String, Error> {
    let id = match &config.run {
        Some(id) => id.clone(),
        None => last_run(config)?,
    };
    let Some(replay) = retries::replay_of(&config.state_dir, &id)? else { return Ok(id) };
    if !config.output.quiet {
        console::say(&format!(
            "run {id} tries again what run {replay} has set aside: all that both have sent is verified"
        ));
    }
    Ok(replay)
}

/// Refuses a stream that was made anew, with what had been read of the one before, and what went into this one instead.
fn check_same_stream(
    config: &VerifyConfig,
    directory: &RunDirectory,
    file: &RunFile,
    found: &StreamDescription,
    was_read: Option<String>,
) -> Result<(), Error> {
    let id = directory.id();
    replay::check_same_stream(id, file, found).map_err(|other| {
        let gone_on = anew::gone_on(&config.state_dir, id, found, "verify").unwrap_or_default();
        if let Some(read) = was_read {
            return Error::refused(format!(
                "{read}; what is called {} here is another stream, so there is nothing left to compare{gone_on}",
                file.stream.name
            ));
        }
        let anew = begun::anew_in(directory.path(), file, &config.state_dir);
        let begins = anew.as_ref().map(|anew| format!(": `{anew}` begins anew")).unwrap_or_default();
        Error::refused(format!("{other}, so there is nothing left to compare{begins}{gone_on}")).with_next(anew)
    })
}

/// The objects of a run and behind them those of its retries, numbered through.
struct Objects {
    run: (String, Arc<Manifest>),
    /// Each with the number of its first object.
    retries: Vec<(u32, Retry)>,
}

impl Objects {
    fn new(id: String, manifest: Arc<Manifest>, retries: Vec<Retry>) -> Self {
        let count = |manifest: &Manifest| u32::try_from(manifest.objects.len()).unwrap_or(u32::MAX);
        let mut next = count(&manifest);
        let placed = retries.into_iter().map(|retry| {
            let first = next;
            next = next.saturating_add(count(&retry.manifest));
            (first, retry)
        });
        Self { retries: placed.collect(), run: (id, manifest) }
    }

    async fn retries(&self, config: &VerifyConfig, record_bytes_max: usize) -> Result<Vec<Deliverer>, Error> {
        let mut retries = Vec::new();
        for (first, retry) in &self.retries {
            retries.push(retry.deliverer(&config.changes, *first, record_bytes_max).await?);
        }
        Ok(retries)
    }

    /// Of which run object `number` is, its number there, and its key.
    fn name(&self, number: u32) -> (String, u32, String) {
        let retry = self.retries.iter().rev().find(|(first, _)| *first <= number);
        let (first, id, manifest) = retry
            .map_or((0, &self.run.0, &self.run.1), |(first, retry)| (*first, &retry.id, &retry.manifest));
        let number = number - first;
        let key = manifest.object(number).map(|entry| entry.key.to_string()).unwrap_or_default();
        (id.clone(), number, key)
    }
}

/// The last replay that is done, or else the last run, of those that can be read back.
fn last_run(config: &VerifyConfig) -> Result<String, Error> {
    let mut runs = directory::glance_at_all(&config.state_dir)?;
    let any = !runs.is_empty();
    runs.retain(|run| matches!(run.file.settings.target, Target::Kinesis { .. }));
    // A retry is verified with the run that it retries.
    let done = |retry: bool| runs.iter().rev().find(|run| !run.is_unfinished() && run.is_retry() == retry);
    let run = done(false).or_else(|| done(true)).or(runs.last()).ok_or_else(|| {
        Error::refused(if any {
            "no run went into a Kinesis stream; what went into sim: or null: ended with its process: `respool simulate` serves an \
             embedded stream that can"
        } else {
            "there is no run to verify yet: `respool replay ARCHIVE --into STREAM --partition-key KEY` makes one"
        })
    })?;
    Ok(run.id.clone())
}

/// Whether the stream may have dropped records since the run began.
fn expired(file: &RunFile, stream: &StreamDescription, now: Timestamp) -> bool {
    let kept = Duration::from_hours(u64::from(stream.retention_hours));
    file.started.as_millisecond() < now.as_millisecond() - i64::try_from(kept.as_millis()).unwrap_or(i64::MAX)
}

/// The ranges of every n-th open shard, and the part of the hash space that they cover.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a count, and a part for people"
)]
fn sample(shards: &[ShardDescription], part: f64) -> (Vec<HashKeyRange>, f64) {
    if part >= 1.0 {
        return (vec![HashKeyRange::ALL], 1.0);
    }
    let mut open: Vec<HashKeyRange> =
        shards.iter().filter(|shard| shard.open).map(|shard| shard.range).collect();
    open.sort_unstable();
    let count = ((open.len() as f64 * part).ceil() as usize).clamp(1, open.len().max(1));
    let step = open.len().div_ceil(count).max(1);
    let ranges: Vec<HashKeyRange> = open.into_iter().step_by(step).collect();
    let covered = ranges.iter().map(|range| (range.last.0 - range.first.0) as f64).sum::<f64>();
    (ranges, covered / u128::MAX as f64)
}

/// Says from time to time how far it is, until it is dropped.
fn tell_news(progress: Arc<Progress>) -> crate::run::work::AbortOnDrop<()> {
    crate::run::work::AbortOnDrop(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(NEWS_INTERVAL);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            console::say(&progress.to_string());
        }
    }))
}

/// Walks bucket after bucket.
fn compare(
    mut report: VerifyReport,
    (expected, seen): (Vec<File>, Vec<File>),
    rules: Rules,
    objects: &Objects,
    path: &Path,
) -> Result<VerifyReport, Error> {
    let failed = |error: std::io::Error| Error::incomplete("cannot compare on disk").with_source(error);
    let mut list = None;
    // What an earlier verification found is not what this one finds.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let directory = path.parent().unwrap_or(path);
    let mut waiting: Vec<_> =
        expected.into_iter().zip(seen).map(|(expected, seen)| (expected, seen, 0)).collect();
    while let Some((expected, seen, level)) = waiting.pop() {
        if level < LEVELS_MAX
            && buckets::entries(&expected).map_err(failed)? + buckets::entries(&seen).map_err(failed)?
                > BUCKET_ENTRIES_MAX
        {
            let parts = |side| buckets::split(side, directory, level).map_err(failed);
            waiting.extend(
                parts(expected)?
                    .into_iter()
                    .zip(parts(seen)?)
                    .map(|(expected, seen)| (expected, seen, level + 1)),
            );
            continue;
        }
        let mut findings = Findings::default();
        let expected = buckets::read_expected(expected).map_err(failed)?;
        walk::walk(expected, buckets::read_seen(seen).map_err(failed)?, rules, &mut findings);
        note(&mut report, &findings);
        for (ordinal, difference) in findings.differences {
            let (run, object, key) = objects.name(ordinal.object());
            let line = DifferenceLine {
                what: match difference {
                    Difference::Missing => "missing",
                    Difference::Late => "late",
                    Difference::NotProvable => "not_provable",
                },
                run,
                object,
                record: ordinal.record(),
                key,
            };
            let list = match &mut list {
                Some(list) => list,
                None => list.insert(BufWriter::new(private_file(path).map_err(failed)?)),
            };
            serde_json::to_writer(&mut *list, &line).map_err(|error| failed(error.into()))?;
            list.write_all(b"\n").map_err(failed)?;
            if report.differences.len() < DIFFERENCES_SHOWN {
                report.differences.push(line);
            }
        }
    }
    if let Some(mut list) = list {
        list.flush().map_err(failed)?;
        report.path = Some(path.display().to_string());
    }
    Ok(report)
}

fn note(report: &mut VerifyReport, findings: &Findings) {
    let count = |wanted| findings.differences.iter().filter(|(_, found)| *found == wanted).count() as u64;
    report.expected += findings.expected;
    report.present += findings.present;
    report.retried += findings.retried;
    report.missing += count(Difference::Missing);
    report.not_provable += count(Difference::NotProvable);
    report.order_violations += count(Difference::Late);
    for (&number, found) in &findings.shards {
        report.duplicates += found.duplicates;
        report.copies_before += found.before;
        report.foreign += found.foreign;
        let line: &mut ShardLine = &mut report.shards[number as usize];
        line.ours += found.ours;
        line.duplicates += found.duplicates;
        line.before += found.before;
        line.foreign += found.foreign;
    }
}

fn private_file(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
