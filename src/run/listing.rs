//! `respool runs`: what was started, and how it stands.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::checkpoint_log;
use super::directory::{self, RunGlance};
use super::forecast::what;
use super::ledger::Ledger;
use super::report::{RunState, number};
use crate::config::RunsConfig;
use crate::error::Error;
use crate::record::{ByteCount, many};
use crate::write::checkpoint::Checkpoint;

/// A run as the list shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunLine {
    /// Its name.
    pub run: String,
    /// How it stands.
    pub state: RunState,
    /// When it began.
    pub started: Timestamp,
    /// Where from.
    pub archive: String,
    /// Where to.
    pub target: String,
    /// Objects that are settled.
    pub objects_done: u64,
    /// Records that were delivered.
    pub records_delivered: u64,
    /// Records that were set aside.
    pub records_quarantined: u64,
    /// Data and keys that were delivered, in bytes.
    pub bytes_delivered: u64,
    /// The mean rate of the last attempt that left a report.
    pub records_per_second: Option<f64>,
    /// The process that works on it now.
    pub owner: Option<String>,
}

/// Lists the runs, or shows one.
pub fn runs(config: &RunsConfig) -> Result<String, Error> {
    let runs = directory::glance_at_all(&config.state_dir)?;
    if let Some(id) = &config.show {
        let run = runs.iter().find(|run| &run.id == id);
        let run = run.ok_or_else(|| directory::no_such_run(&config.state_dir, id))?;
        return show(run, config.output.json);
    }
    let lines = runs.iter().map(line).collect::<Result<Vec<_>, _>>()?;
    if config.output.json {
        return Ok(json(&lines));
    }
    for (id, layout) in directory::unreadable_runs(&config.state_dir)? {
        tracing::warn!(
            "run {id} is not finished and has layout {}, which this respool does not read",
            layout.version
        );
    }
    if lines.is_empty() {
        return Ok("There are no runs yet.\n".to_owned());
    }
    let mut text = format!(
        "{:<20} {:<20} {:<12} {:>14} {:>10}  {}\n",
        "run", "started", "state", "records", "bytes", "from -> into"
    );
    for line in &lines {
        let started = line.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let _ = writeln!(
            text,
            "{:<20} {started:<20} {:<12} {:>14} {:>10}  {} -> {}",
            line.run,
            line.state.word(),
            number(line.records_delivered),
            ByteCount(line.bytes_delivered).to_string(),
            line.archive,
            line.target
        );
    }
    Ok(text)
}

fn show(run: &RunGlance, as_json: bool) -> Result<String, Error> {
    let line = line(run)?;
    let checkpoint = checkpoint_of(run)?;
    let manifest = directory::read_manifest(&run.path)?;
    let ledger = Ledger::read(&run.path, &manifest, checkpoint.as_ref()).map_err(|error| {
        Error::refused(format!("cannot read the ledger of {}", run.id)).with_source(error)
    })?;
    if as_json {
        return Ok(json(&serde_json::json!({
            "run": line,
            "settings": run.file,
            "report": run.report,
            "objects": ledger.objects,
            "shards": ledger.shards,
        })));
    }
    let mut text = String::new();
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    row("run", &line.run);
    row("state", line.state.word());
    row("started", &format!("{:.0}", line.started));
    row("from", &format!("{}, {}", line.archive, what(&run.file.settings)));
    row("into", &line.target);
    row("objects", &number(line.objects_done));
    row(
        "delivered",
        &format!("{}, {}", many(line.records_delivered, "record"), ByteCount(line.bytes_delivered)),
    );
    row("quarantined", &many(line.records_quarantined, "record"));
    if let Some(rate) = line.records_per_second {
        row("rate", &format!("{rate:.0} records/s in the last attempt"));
    }
    row("files", &run.path.display().to_string());
    text.push('\n');
    text.push_str(&ledger.render(run.is_retry()));
    Ok(text)
}

fn checkpoint_of(run: &RunGlance) -> Result<Option<Checkpoint>, Error> {
    checkpoint_log::newest(&run.path).map_err(|error| {
        Error::refused(format!("cannot read the checkpoints of {}", run.id)).with_source(error)
    })
}

fn line(run: &RunGlance) -> Result<RunLine, Error> {
    let totals = checkpoint_of(run)?.map(|checkpoint| checkpoint.totals).unwrap_or_default();
    let reported = |field: &str| run.report.as_ref()?.get(field).cloned();
    let of_attempt = |shards: &serde_json::Value| {
        let counts = shards.as_array()?.iter().map(|shard| shard.get("records")?.as_f64());
        // The sum of none is -0.
        counts.sum::<Option<f64>>().map(|sum| sum + 0.0)
    };
    let records = reported("shards").and_then(|shards| of_attempt(&shards));
    let seconds = reported("seconds").and_then(|seconds| seconds.as_f64());
    let rate = records
        .zip(seconds)
        .filter(|&(_, seconds)| seconds > 0.0)
        .map(|(records, seconds)| records / seconds);
    Ok(RunLine {
        run: run.id.clone(),
        state: run.state(),
        started: run.file.started,
        archive: run.file.settings.archive.to_string(),
        target: run.file.settings.target.to_string(),
        objects_done: totals.objects_settled + totals.objects_quarantined,
        records_delivered: totals.delivered,
        records_quarantined: totals.quarantined,
        bytes_delivered: totals.delivered_bytes,
        records_per_second: rate,
        owner: run.owner.clone(),
    })
}

fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}
