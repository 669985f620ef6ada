//! The commands of this folder, each from its configuration to what is printed.

use jiff::Timestamp;
use serde_json::json;

use super::door::Door;
use super::runs::RunInto;
use super::{create, delete, guide, scale, status};
use crate::config::{AwsAccess, GuideConfig, StreamAction, StreamConfig, Target};
use crate::error::Error;
use crate::run::console;
use crate::run::directory::{self, RunGlance};
use crate::stream::control::StreamParticulars;
use crate::stream::name::StreamName;

/// `respool stream create`, `scale`, `status` and `delete`.
pub async fn stream(config: &StreamConfig, now: Timestamp) -> Result<(), Error> {
    let door = Door::open(&config.stream, &config.access).await?;
    let output = &config.output;
    match &config.action {
        StreamAction::Create { shards, shape } => {
            let created = create::create(&door, *shards, shape, now, output).await?;
            create::tell(&created, output)
        }
        StreamAction::Scale { shards } => scale::scale(&door, *shards, output).await,
        StreamAction::Status => status::status(&door, &config.state_dir, output).await,
        &StreamAction::Delete { yes, force, with_consumers } => {
            let answers = delete::Answers { yes, force, with_consumers };
            delete::delete(&door, answers, &config.state_dir, output).await
        }
    }
}

/// `respool guide`.
pub async fn guide(config: &GuideConfig, now: Timestamp) -> Result<(), Error> {
    let run = choose(config.run.as_deref(), directory::glance_at_all(&config.state_dir)?)?;
    let run = run.map(RunInto::of).transpose()?;
    let access = match &run {
        Some(run) => config.access.clone().or(run.glance.file.tuning.kinesis.clone()),
        None => config.access.clone(),
    };
    let stream = match &run {
        Some(run) => look(&target(&run.glance)?, &access, config.output.quiet).await,
        None => None,
    };
    let live = match &config.live {
        Some(name) => {
            let found = look(name, &access, config.output.quiet).await;
            Some((name.name(), found.map(|found| found.description.retention_hours)))
        }
        None => None,
    };
    let facts = guide::Facts {
        run: run.as_ref(),
        stream: stream.as_ref(),
        live,
        away_since: config.away_since,
        lease_table: config.lease_table.as_deref(),
        access: &access,
        now,
    };
    let steps = guide::steps(&facts);
    if config.output.json {
        let run = run.as_ref().map(|run| &run.glance.id);
        return console::print(&format!("{:#}\n", json!({ "run": run, "steps": steps })));
    }
    console::print(&guide::render(&steps, now))
}

/// The stream, if it can be looked at: a guide is of use without, too.
async fn look(name: &StreamName, access: &AwsAccess, quiet: bool) -> Option<StreamParticulars> {
    let found = match Door::open(name, access).await {
        Ok(door) => door.look().await,
        Err(error) => Err(error),
    };
    found.unwrap_or_else(|error| {
        if !quiet {
            console::say(&format!("warning: {error}"));
        }
        None
    })
}

/// The run of that name; the last one into Kinesis without a name.
pub(super) fn choose(id: Option<&str>, runs: Vec<RunGlance>) -> Result<Option<RunGlance>, Error> {
    let mut newest_first = runs.into_iter().rev();
    let Some(id) = id else {
        return Ok(newest_first.find(|run| matches!(run.file.settings.target, Target::Kinesis { .. })));
    };
    let run = newest_first.find(|run| run.id == id);
    let run =
        run.ok_or_else(|| Error::refused(format!("there is no run {id}; `respool runs` lists them")))?;
    target(&run)?;
    Ok(Some(run))
}

/// The stream that the run writes to.
pub(super) fn target(run: &RunGlance) -> Result<StreamName, Error> {
    match &run.file.settings.target {
        Target::Kinesis { stream } => Ok(stream.clone()),
        other => Err(Error::refused(format!("run {} went into {other}, which no worker reads", run.id))),
    }
}
