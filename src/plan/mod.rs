//! `respool plan`: how long a replay takes, what it costs, and which limit binds, before anything is sent.
//!
//! ```text
//!  list ─► sample ─► reading ─► estimate, keys ─► model ─┬─► deadline ─┐
//!                    (looks at      (carried to    (time) ├─► price ────┼─► Plan ─► page, html, JSON
//!                     objects)       the whole)           └─► warnings ─┘
//! ```
//!
//! It uses the path of a replay as far as the records: what it reads whole stays in the cache. Only `reading` and
//! this file do anything; all others judge what they are given.

mod cost;
pub mod deadline;
mod describe;
pub mod estimate;
mod figures;
pub mod html;
pub mod iam;
pub mod keys;
pub mod lane;
pub mod model;
mod page;
pub mod price;
pub mod reading;
pub mod report;
pub mod retention;
pub mod sample;
mod timeline;
pub mod warnings;

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use self::figures::{Figures, Ground};
use self::price::Prices;
use self::reading::{Reader, Readings};
use self::report::Plan;
use self::warnings::Facts;
use crate::archive::manifest::Manifest;
use crate::config::{
    AwsAccess, PlanConfig, PlanFigures, PlannedLive, PlannedStream, SAVED_PLAN_VERSION, SavedPlan, Target,
    TuningChanges, exposure_flag, quoted,
};
use crate::error::Error;
use crate::limits::{RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX};
use crate::route::RouteRules;
use crate::route::fields;
use crate::route::key::{KeyConfig, KeyExtractor, KeyRule};
use crate::run::absent::Seeker;
use crate::run::at_hand::{self, Service};
use crate::run::open::{self, OpenStream};
use crate::run::replay::{Sources, check_not_empty};
use crate::run::select::select;
use crate::run::spool::blocking;

/// No table of prices is larger.
const PRICES_BYTES_MAX: usize = 64 * 1024;

/// Makes a plan by doors that are settled (`run::at_hand`), and saves it where the user wants it.
pub async fn plan(config: &PlanConfig, now: Timestamp) -> Result<Plan, Error> {
    let began = Instant::now();
    let prices = prices(config.prices.as_deref())?;
    let target = match &config.what.target {
        Some(target) => open::stream_if_there(target, &config.tuning, now).await?,
        None => None,
    };
    let live_retention_seconds = live_retention(config, now).await?;
    let sources = Sources::open_at(&config.what.archive, &config.tuning).await?;
    let archive = sources.archive().ok_or_else(|| Error::usage("a plan looks at the archive"))?;
    let manifest = Arc::new(
        select(&archive, &config.what.input, None, &config.tuning.cache.dir, config.output.quiet).await?,
    );
    check_not_empty(&config.what.archive, &manifest)?;
    let readings = look(config, sources, archive, &manifest, target.as_ref()).await?;
    let seconds = began.elapsed().as_secs_f64();
    let region = target.as_ref().and_then(|target| target.description.region.clone());
    let figured = Ground { config: config.clone(), manifest: manifest.clone(), prices, target, seconds };
    let (mut plan, target) = blocking(move || {
        let plan = Figures::new(&figured, &readings).plan();
        (plan, figured.target)
    })
    .await?;
    plan.warnings = warnings::warnings(
        &plan,
        &Facts {
            what: &config.what,
            objects: &manifest.objects,
            stream: target.as_ref().map(|target| &target.description),
            live_retention_seconds,
            away_since: config.live.since.unwrap_or(now),
            now,
        },
    );
    // A plan of nothing is none: a replay would only set aside what it reads.
    if let Some(path) = config.save.as_ref().filter(|_| plan.in_vain().is_none()) {
        let live = planned_live(config, live_retention_seconds);
        let kept = SavedPlan { live, ..saved(config, &plan, region.as_deref(), now) };
        write("--save", path, &written(&kept)?)?;
        plan.saved = Some(path.display().to_string());
    }
    plan.next_command = next_command(config, &plan);
    Ok(plan)
}

/// Writes the page for a browser, if one is wanted.
pub fn write_page(config: &PlanConfig, plan: &Plan) -> Result<(), Error> {
    config.html.as_ref().map_or(Ok(()), |path| write("--html", path, html::page(plan).as_bytes()))
}

async fn look(
    config: &PlanConfig,
    sources: Sources,
    archive: Arc<dyn crate::archive::Archive>,
    manifest: &Arc<Manifest>,
    target: Option<&OpenStream>,
) -> Result<Readings, Error> {
    let decode = open::decoding(&config.what.input);
    let looks = sample::choose(&manifest.objects);
    let (spool, segments) = sources.spool_with(decode, &config.tuning, manifest.clone())?;
    // As long as the key is open, keys that spread evenly stand in for it.
    let open = KeyConfig { rule: KeyRule::Random, fallback: None, seed: config.seed };
    let rules = RouteRules {
        extractor: KeyExtractor::new(config.what.key_config(config.seed).unwrap_or(open)),
        // A stream that is still to be made can take the largest there are.
        record_bytes_max: target.map_or(RECORD_BYTES_MAX, |target| target.description.record_bytes_max),
        event_time: config.what.input.event_time.clone(),
        // What keys there are is asked for, even if they do not place records.
        spread: None,
    };
    let rules = Arc::new(rules);
    // A key that is open is to be chosen from them, and one that was mistyped to be found.
    let first = fields::records_of_each(looks.len());
    Reader { archive, spool, segments, decode, rules, first }.read(&looks).await
}

fn prices(path: Option<&Path>) -> Result<Prices, Error> {
    let Some(path) = path else { return Prices::built_in().map_err(Error::internal) };
    let wrong = |what: String| Error::usage(format!("--prices {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| {
        wrong(format!("{error}; it takes a TOML file like src/plan/prices.toml, and without it the prices that are built in count"))
    })?;
    if text.len() > PRICES_BYTES_MAX {
        return Err(wrong("it is larger than any table of prices".to_owned()));
    }
    Prices::parse(&text).map_err(wrong)
}

async fn live_retention(config: &PlanConfig, now: Timestamp) -> Result<Option<f64>, Error> {
    match (&config.live.retention, &config.live.stream) {
        (Some(retention), _) => Ok(Some(retention.as_secs_f64())),
        (None, Some(stream)) => {
            let mut tuning = config.tuning.clone();
            if let Target::Kinesis { stream: name } = stream {
                let access = &mut tuning.kinesis;
                access.region = name.region().map(str::to_owned).or_else(|| access.region.take());
                at_hand::settle(Service::Kinesis, access).await?;
            }
            let live = open::stream(stream, &tuning, now, &Seeker::Live).await?;
            Ok(Some(f64::from(live.description.retention_hours) * 3_600.0))
        }
        (None, None) => Ok(None),
    }
}

/// What the plan was made with. A door that only the environment knew counts as said: elsewhere it would lead elsewhere.
/// What overrules a refusal is typed again.
fn remembered(config: &PlanConfig, region: Option<&str>) -> TuningChanges {
    let PlanConfig { tuning, said, .. } = config;
    let kinesis = tuning.kinesis.clone();
    let region = kinesis.region.clone().or_else(|| region.map(str::to_owned));
    TuningChanges {
        share: Some(tuning.share),
        max_rate: Some(tuning.max_rate),
        accept_refusals: None,
        s3: tuning.s3.clone(),
        kinesis: AwsAccess { region, ..kinesis },
        ..said.clone()
    }
}

/// What is known of the stream that the worker leaves. What is less than an hour is not counted on.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn planned_live(config: &PlanConfig, retention_seconds: Option<f64>) -> PlannedLive {
    let stream = match &config.live.stream {
        Some(Target::Kinesis { stream }) => Some(stream.clone()),
        _ => None,
    };
    let retention_hours = retention_seconds.map(|seconds| (seconds / 3_600.0) as u32);
    PlannedLive { stream, retention_hours, away_since: config.live.since }
}

fn written(plan: &SavedPlan) -> Result<Vec<u8>, Error> {
    let mut text = serde_json::to_vec_pretty(plan)
        .map_err(|error| Error::internal("the plan cannot be written").with_source(error))?;
    text.push(b'\n');
    Ok(text)
}

fn saved(config: &PlanConfig, plan: &Plan, region: Option<&str>, now: Timestamp) -> SavedPlan {
    let cost = &plan.cost;
    let each = |usd: f64, count: f64| Some(usd / count).filter(|_| cost.put_units > 0.0 && count > 0.0);
    let figures = PlanFigures {
        objects: plan.objects,
        bytes_stored: plan.bytes_stored,
        records: plan.records,
        bytes: plan.bytes,
        shards: plan.shards,
        seconds: plan.seconds,
        binding_limit: plan.binding_limit.map_or("", model::BindingLimit::words).to_owned(),
        cost_usd: plan.cost_usd,
        shard_hour_usd: each(cost.hours_usd + cost.retention_usd, cost.hours),
        put_unit_usd: each(cost.payload_usd, cost.put_units),
    };
    let aggregates = config.what.aggregate;
    let of = |one: &report::ShardsReport| {
        let report::AggregatedReport { seconds, binding_limit, cost_usd } = one.aggregated;
        let (seconds, binding_limit, cost_usd) = if aggregates {
            (seconds, binding_limit, cost_usd)
        } else {
            (one.seconds, one.binding_limit, one.cost_usd)
        };
        let binding_limit = binding_limit.words().to_owned();
        PlanFigures { shards: one.shards, seconds, binding_limit, cost_usd, ..figures.clone() }
    };
    let others = plan.by_shards.iter().filter(|one| one.shards != plan.shards);
    SavedPlan {
        version: SAVED_PLAN_VERSION,
        created: now,
        what: config.what.clone(),
        tuning: remembered(config, region),
        others: others.map(of).collect(),
        figures,
        stream: PlannedStream {
            retention_hours: Some(warnings::retention_wanted(plan)),
            record_kib: record_kib(plan),
            is_absent: plan.target_exists == Some(false),
        },
        live: PlannedLive::default(),
    }
}

/// The record size that a new stream has to be made with, if Kinesis' usual one is not enough. What was not looked at may hold
/// larger ones than what was.
fn record_kib(plan: &Plan) -> Option<u32> {
    let largest = usize::try_from(plan.record_bytes.max).unwrap_or(usize::MAX);
    let wanted = if plan.sample.whole { largest } else { RECORD_BYTES_MAX };
    let kib = u32::try_from(wanted.div_ceil(1_024)).ok();
    kib.filter(|_| largest > RECORD_BYTES_DEFAULT)
}

fn write(flag: &str, path: &Path, text: &[u8]) -> Result<(), Error> {
    let open = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    open.and_then(|mut file| file.write_all(text)).map_err(|error| {
        let path = path.display();
        let next = "give it a file in a directory that is there and can be written to";
        Error::refused(format!("cannot write {path} ({flag}: {next})")).with_source(error)
    })
}

fn next_command(config: &PlanConfig, plan: &Plan) -> Option<String> {
    if plan.lacks_its_key() || config.what.partition_key.is_none() {
        return Some(match &plan.key_meant {
            Some(meant) => format!("plan it again with --partition-key {}", quoted(meant)),
            None => "plan it again with one of these as --partition-key".to_owned(),
        });
    }
    if plan.in_vain().is_some() {
        return None;
    }
    // A stream that is not there yet is made as planned.
    let into = match plan.target_exists {
        Some(true) => "",
        Some(false) => " --create",
        None => " --into STREAM --create",
    };
    let exposed = exposure_flag(&[&config.tuning.s3, &config.tuning.kinesis]);
    Some(match &plan.saved {
        Some(path) => format!("respool replay --plan {}{into}{exposed}", quoted(path)),
        None if matches!(config.what.target, Some(Target::Kinesis { .. }) | None) => {
            format!("the same with --save FILE, then: respool replay --plan FILE{into}{exposed}")
        }
        None => "the same as `respool replay`".to_owned(),
    })
}
