//! `respool bench`: how fast this machine fills how many shards.
//!
//! ```text
//!  source   made-up events or an archive, brought into the cache once
//!    │
//!  step     a session as any other, stopped after a while: for each number of shards, size, burst model
//!    │        meter: what the engine counts and what the process takes, start-up and tail left out
//!  table, picture      with what lasts, where a hot key would hold the others up later on
//! ```
//!
//! Every step has a stream, an engine and a run's directory of its own, and goes through the very code that a replay
//! goes through; only its manifest names the same few objects again and again, so that no gigabytes are needed. The
//! embedded stream keeps real limits in real time. What it takes of the CPU is measured apart, so that the figures are
//! respool's. `--null` measures each stage by itself instead (`stages`).

mod ceilings;
mod engine;
mod filling;
mod generate;
mod lasting;
mod latency;
mod meter;
mod picture;
mod sink;
mod source;
mod spreadsheet;
mod stages;
mod step;
mod table;
mod usage;

use std::fs;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{ArchiveAddress, BenchConfig, BenchSource, BenchSubject, BurstModel, Target};
use crate::error::{Error, ExitCode};
use crate::record::many;
use crate::run::absent::Seeker;
use crate::run::at_hand::{self, Service};
use crate::run::open::{self, OpenStream};
use crate::run::{console, now, signals};
use crate::sim::{BurstRule, EmbeddedConfig, EmbeddedStream};
use crate::stream::Stream;
use crate::write::StopReason;
use meter::Metered;
use source::Scratch;
use step::Plan;
use table::{Bench, Step};

/// Measures what `config` says, and shows it.
pub async fn run(config: &BenchConfig) -> Result<ExitCode, Error> {
    let mut stop = signals::stop_signals(signals::OF_A_BENCH, config.output.quiet)?;
    let scratch = Scratch::new(&config.tuning.cache.dir)?;
    let config = &settled(config).await?;
    if config.subject == BenchSubject::Stages {
        return stages::run(config, &scratch, &mut stop).await;
    }
    let mut bench = Bench::new(config);
    bench.complete = Box::pin(sweep(config, &scratch, &mut bench.steps, &mut stop)).await?;
    show(config, &bench)
}

/// With the doors that only the AWS configuration knows.
async fn settled(config: &BenchConfig) -> Result<BenchConfig, Error> {
    let mut settled = config.clone();
    if let BenchSource::Archive { address: ArchiveAddress::S3 { .. }, .. } = &config.source {
        at_hand::settle(Service::S3, &mut settled.tuning.s3).await?;
    }
    if let BenchSubject::Stream { target: Target::Kinesis { .. }, .. } = &config.subject {
        at_hand::settle(Service::Kinesis, &mut settled.tuning.kinesis).await?;
    }
    Ok(settled)
}

/// Does every step; `false` if the user has stopped it before the last.
async fn sweep(
    config: &BenchConfig,
    scratch: &Scratch,
    steps: &mut Vec<Step>,
    stop: &mut mpsc::Receiver<StopReason>,
) -> Result<bool, Error> {
    let sizes = match &config.source {
        BenchSource::Generated { record_sizes } => record_sizes.iter().copied().map(Some).collect(),
        BenchSource::Archive { .. } => vec![None],
    };
    let subjects = subjects(config);
    let total = sizes.len() * subjects.len();
    let real = match &config.subject {
        BenchSubject::Stream { target, yes, .. } => Some(open_real(config, target, *yes).await?),
        _ => None,
    };
    let shards_max = real.unwrap_or_else(|| subjects.iter().map(|(shards, _)| *shards).max().unwrap_or(1));
    for size in sizes {
        let source = tokio::select! {
            source = source::prepare(config, scratch, size, shards_max) => source?,
            Some(_) = stop.recv() => return Ok(false),
        };
        for (shards, burst) in &subjects {
            if !config.output.quiet {
                console::say(&format!(
                    "step {} of {total}: {}",
                    steps.len() + 1,
                    named(*shards, size, *burst, config)
                ));
            }
            let (target, stream) = open_target(config, *shards, *burst).await?;
            let plan =
                Plan { config, source: &source, shards: target.description.open_shards, burst: *burst, size };
            let Some(found) = plan.run(scratch, target, stream, stop).await? else { return Ok(false) };
            if !config.output.quiet {
                console::say(&format!("  {}", found.sentence()));
            }
            steps.push(found);
        }
    }
    Ok(true)
}

/// Shards and burst model of each step; of a stream that is there it has its own.
fn subjects(config: &BenchConfig) -> Vec<(u32, Option<BurstModel>)> {
    match &config.subject {
        BenchSubject::Sweep { shards, burst_models, .. } => burst_models
            .iter()
            .flat_map(|model| shards.iter().map(|shards| (*shards, Some(*model))))
            .collect(),
        BenchSubject::Stream { .. } | BenchSubject::Stages => vec![(0, None)],
    }
}

fn named(shards: u32, size: Option<u32>, burst: Option<BurstModel>, config: &BenchConfig) -> String {
    let seconds = config.duration.as_secs();
    let size = size.map(|size| format!(" of {size} B")).unwrap_or_default();
    match (burst, &config.subject) {
        (None, BenchSubject::Stream { target, .. }) => format!("records{size} into {target}, {seconds} s"),
        (Some(burst), BenchSubject::Sweep { burst_models, .. }) if burst_models.len() > 1 => {
            format!("{}, records{size}, {burst}, {seconds} s", many(shards, "shard"))
        }
        _ => format!("{}, records{size}, {seconds} s", many(shards, "shard")),
    }
}

/// The open shards of a stream that is there, once the user has agreed to write to it; refused is what a replay would
/// be refused.
async fn open_real(config: &BenchConfig, target: &Target, yes: bool) -> Result<u32, Error> {
    let found = open::stream(target, &config.tuning, now(), &Seeker::Replay).await?;
    open::check_order(target, config.order, config.aggregate, &found.description)?;
    if !found.description.harmless && !yes {
        if !config.output.can_ask {
            return Err(Error::refused(
                "records cannot be taken back once they are sent: say --yes to send them",
            ));
        }
        let (shards, seconds) = (many(found.description.open_shards, "shard"), config.duration.as_secs());
        let at = config.tuning.kinesis.endpoint_url.as_ref().map(|url| format!(" at {url}"));
        let question = format!(
            "Write to {target}{} ({shards}) as fast as it takes, {seconds} s a step? [y/N] ",
            at.unwrap_or_default()
        );
        if !console::ask(&question)? {
            return Err(Error::refused("nothing was sent"));
        }
    }
    Ok(found.description.open_shards)
}

/// A stream for one step, and what measures the CPU time that it takes itself.
async fn open_target(
    config: &BenchConfig,
    shards: u32,
    burst: Option<BurstModel>,
) -> Result<(OpenStream, Option<Arc<Metered>>), Error> {
    let latency = match &config.subject {
        BenchSubject::Stream { target, .. } => {
            return Ok((open::stream(target, &config.tuning, now(), &Seeker::Replay).await?, None));
        }
        BenchSubject::Sweep { latency, .. } => *latency,
        BenchSubject::Stages => return Err(Error::internal("stages have no stream")),
    };
    let count = NonZeroU32::new(shards).ok_or_else(|| Error::usage("--shards must be 1 or more"))?;
    let burst_rule = match burst {
        None | Some(BurstModel::Second) => BurstRule::SECOND,
        Some(BurstModel::Tenth) => BurstRule::TENTH,
        Some(BurstModel::Windows) => BurstRule::FixedWindows,
    };
    let embedded = EmbeddedConfig { burst_rule, latency, ..EmbeddedConfig::with_shards(count) };
    let embedded = EmbeddedStream::new(&embedded, now())
        .map_err(|error| Error::refused("cannot make the embedded stream").with_source(error))?;
    let metered = Arc::new(Metered::new(Arc::new(embedded)));
    let stream: Arc<dyn Stream> = metered.clone();
    let opened = open::look_at(stream, &Target::Sim { shards }, &config.tuning, &Seeker::Replay).await?;
    Ok((opened, Some(metered)))
}

fn show(config: &BenchConfig, bench: &Bench) -> Result<ExitCode, Error> {
    let code = if bench.complete { ExitCode::Done } else { ExitCode::Incomplete };
    let files = [("csv", bench.csv()), ("html", picture::draw(bench))];
    let mut written = Vec::new();
    if !bench.steps.is_empty() {
        for (extension, text) in files {
            let mut name = config.out.clone().into_os_string();
            name.push(format!(".{extension}"));
            fs::write(&name, text).map_err(|error| {
                Error::incomplete(format!("cannot write {}", Path::new(&name).display())).with_source(error)
            })?;
            written.push(Path::new(&name).display().to_string());
        }
    }
    if config.output.json {
        console::print(&format!("{}\n", bench.to_json()))?;
    } else {
        console::print(&bench.render())?;
    }
    if !config.output.quiet && !written.is_empty() {
        console::say(&format!("written: {}", written.join(", ")));
    }
    if !bench.complete && !config.output.quiet {
        console::say("interrupted: the steps that were not finished are missing");
    }
    Ok(code)
}
