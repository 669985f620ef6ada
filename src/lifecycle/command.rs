//! The commands of this folder, each from its configuration to what is printed.

use jiff::Timestamp;
use serde_json::json;

use super::door::Door;
use super::runs::{RunInto, names, runs_into};
use super::{create, delete, guide, scale, status};
use crate::config::{
    AwsAccess, GuideConfig, PlannedLive, SavedPlan, StateDir, StreamAction, StreamConfig, Target,
};
use crate::error::Error;
use crate::record::many;
use crate::run::at_hand::{self, Service};
use crate::run::console;
use crate::run::directory::{self, RunGlance};
use crate::stream::control::StreamParticulars;
use crate::stream::name::StreamName;
use crate::stream::neighbour::Neighbour;

/// `respool stream create`, `scale`, `status` and `delete`.
pub async fn stream(config: &StreamConfig, now: Timestamp) -> Result<(), Error> {
    let door = Door::open(&config.stream, &config.access).await?.with_runs_in(&config.state_dir);
    let output = &config.output;
    match &config.action {
        StreamAction::Create { shards, shape, planned } => {
            let other = planned.as_ref().and_then(|planned| config.access.other_than(planned));
            if let Some(other) = other.filter(|_| !output.quiet) {
                console::say(&format!("unlike the plan, the stream {} is elsewhere: {other}", config.stream));
            }
            let created = create::create(&door, *shards, shape, now, output).await?;
            create::tell(&created, output)
        }
        &StreamAction::Scale { shards, yes } => scale::scale(&door, shards, yes, output).await,
        StreamAction::Status => status::status(&door, output).await,
        &StreamAction::Delete { yes, force, with_consumers } => {
            let answers = delete::Answers { yes, force, with_consumers };
            delete::delete(&door, answers, output).await
        }
    }
}

/// `respool guide`.
pub async fn guide(config: &GuideConfig, now: Timestamp) -> Result<(), Error> {
    let (runs, unread) = directory::look_at_all(&config.state_dir)?;
    if !unread.is_empty() && !config.output.quiet {
        console::say(&format!("warning: these runs cannot be read: {}", names(&unread)));
    }
    let plan = config.plan.as_deref().map(|(path, plan)| (path.as_str(), plan));
    let begun = plan.and_then(|(_, plan)| begun(plan, &runs));
    // What was begun of a plan says more than the plan.
    let plan = plan.filter(|_| begun.is_none());
    let run = match (&plan, begun) {
        (Some(_), _) => None,
        (None, Some(begun)) => runs.into_iter().nth(begun),
        (None, None) => choose(&config.state_dir, config.run.as_deref(), runs)?,
    };
    let mut run = run.map(RunInto::of).transpose()?;
    let runs = match &run {
        Some(run) => runs_into(&config.state_dir, &run.glance.file.stream)?.runs,
        None => Vec::new(),
    };
    if let Some(run) = &mut run {
        // What its retries have left is known among the others only.
        let same = runs.iter().find(|other| other.glance.id == run.glance.id);
        run.untaken = same.map_or(run.untaken, |same| same.untaken);
    }
    let name = match &run {
        Some(run) => Some(target(&run.glance)?),
        None => plan.map(|(_, plan)| planned_target(plan)).transpose()?.flatten(),
    };
    let planned = match (&run, &name) {
        (Some(run), Some(backfill)) => other_than(backfill, planned_live(run, &runs)),
        _ => plan.map(|(_, plan)| plan.live.clone()).unwrap_or_default(),
    };
    let live = config.live.clone().or_else(|| planned.stream.clone());
    if let (Some(backfill), Some(live)) = (&name, &live) {
        refuse_the_same(backfill, live)?;
    }
    let own = run.as_ref().map(|run| run.glance.file.tuning.kinesis.clone());
    let own = own.or_else(|| Some(plan?.1.tuning.kinesis.clone())).unwrap_or_default();
    let mut access = match &name {
        Some(name) => config.door.around(own, name),
        None => config.door.without_a_stream(own),
    };
    at_hand::settle(Service::Kinesis, &mut access).await?;
    let consumer = consumer(config.consumer.clone(), access.profile.as_deref()).await?;
    let looked = match &name {
        Some(name) => look(name, &access, config.output.quiet).await,
        None => Looked::Unknown,
    };
    let (stream, gone, anew) = match (looked, &run) {
        (Looked::Found(found), Some(run)) => {
            // Its name may have been given to another one since.
            let same = found.description.created_ms == run.glance.file.stream.created_ms;
            if same { (Some(*found), false, None) } else { (None, true, Some(*found)) }
        }
        (Looked::Found(found), None) => (Some(*found), false, None),
        // What is not there yet is no loss.
        (Looked::Gone, run) => (None, run.is_some(), None),
        (Looked::Unknown, _) => (None, false, None),
    };
    // What the plan says of the stream that it was made for holds for no other.
    let same = planned.stream.is_none() || live == planned.stream;
    let live_hours = match (&live, config.live_retention_hours) {
        (Some(name), None) => live_hours(name, &access, config).await?,
        (_, said) => said,
    };
    let live_hours = live_hours.or(planned.retention_hours.filter(|_| same));
    let facts = guide::Facts {
        run: run.as_ref(),
        runs: &runs,
        plan,
        stream: stream.as_ref(),
        gone,
        anew: anew.as_ref(),
        live: live.as_ref().map(StreamName::name),
        live_hours,
        away_since: config.away_since.or(planned.away_since.filter(|_| same)),
        lease_table: config.lease_table.as_deref(),
        access: &access,
        state: &config.state_dir,
        consumer: &consumer,
        now,
    };
    let steps = guide::steps(&facts);
    if config.output.json {
        let run = run.as_ref().map(|run| &run.glance.id);
        return console::print(&format!("{:#}\n", json!({ "run": run, "steps": steps })));
    }
    console::print(&guide::render(&steps, now))
}

/// The worker's door, with the DynamoDB that the AWS configuration names where nothing else does.
async fn consumer(mut given: AwsAccess, stream_profile: Option<&str>) -> Result<AwsAccess, Error> {
    if given.endpoint_url.is_none() {
        let profile = given.profile.as_deref().or(stream_profile);
        given.endpoint_url = at_hand::endpoint(Service::Neighbour(Neighbour::DynamoDb), profile).await?;
    }
    Ok(given)
}

/// For how many hours the live stream keeps records, if it can be asked.
async fn live_hours(
    name: &StreamName,
    access: &AwsAccess,
    config: &GuideConfig,
) -> Result<Option<u32>, Error> {
    match look(name, access, config.output.quiet).await {
        Looked::Found(found) => Ok(Some(found.description.retention_hours)),
        Looked::Unknown => Ok(None),
        // What a plan was told once is no reason to say nothing now.
        Looked::Gone if config.live.is_none() => Ok(None),
        Looked::Gone => {
            let endpoint = access.endpoint_url.as_ref().map(|endpoint| format!(" at {endpoint}"));
            let region = access.region.as_ref().map(|region| format!(" in {region}"));
            Err(Error::refused(format!(
                "the live stream {} does not exist{}: is its name right, and its region?",
                name.name(),
                endpoint.or(region).unwrap_or_default()
            )))
        }
    }
}

/// Who goes back to the stream that is deleted then has lost the way.
fn refuse_the_same(backfill: &StreamName, live: &StreamName) -> Result<(), Error> {
    let differ =
        |one: Option<&str>, other: Option<&str>| one.zip(other).is_some_and(|(one, other)| one != other);
    let elsewhere = differ(backfill.region(), live.region()) || differ(backfill.account(), live.account());
    if backfill.name() != live.name() || elsewhere {
        return Ok(());
    }
    Err(Error::usage(format!(
        "--live {live} is the backfill stream itself: name the stream that the worker reads otherwise"
    )))
}

/// What the plan of `run` knows of the live stream; of a retry, the plan of what it retries.
fn planned_live(run: &RunInto, runs: &[RunInto]) -> PlannedLive {
    let older = |run: &RunInto| {
        let retried = run.glance.retried()?;
        runs.iter().find(|other| other.glance.id == retried && other.glance.id != run.glance.id)
    };
    let mut known = run.glance.planned_live();
    let mut next = older(run);
    // A retry is younger than what it retries, so there are no more steps than runs.
    for _ in runs {
        let Some(run) = next.filter(|_| known == PlannedLive::default()) else { break };
        (known, next) = (run.glance.planned_live(), older(run));
    }
    known
}

/// What holds for a stream that the worker can go back to.
fn other_than(backfill: &StreamName, live: PlannedLive) -> PlannedLive {
    let is_other = live.stream.as_ref().is_none_or(|live| refuse_the_same(backfill, live).is_ok());
    if is_other { live } else { PlannedLive::default() }
}

/// The place among `runs` of the last replay that was begun of `plan`.
fn begun(plan: &SavedPlan, runs: &[RunGlance]) -> Option<usize> {
    runs.iter().rposition(|run| run.planned() == Some(plan.created))
}

/// The stream that a plan was made for, if it was made for one.
fn planned_target(plan: &SavedPlan) -> Result<Option<StreamName>, Error> {
    match &plan.what.target {
        Some(Target::Kinesis { stream }) => Ok(Some(stream.clone())),
        None => Ok(None),
        Some(other) => Err(Error::refused(format!("the plan goes into {other}, which no worker reads"))),
    }
}

/// What a look at a stream gives that need not succeed.
enum Looked {
    Found(Box<StreamParticulars>),
    Gone,
    Unknown,
}

/// The stream, if it can be looked at: a guide is of use without, too.
async fn look(name: &StreamName, access: &AwsAccess, quiet: bool) -> Looked {
    let found = match Door::open(name, access).await {
        Ok(door) => door.look().await,
        Err(error) => Err(error),
    };
    match found {
        Ok(Some(found)) => Looked::Found(Box::new(found)),
        Ok(None) => Looked::Gone,
        Err(error) => {
            if !quiet {
                console::say(&format!("warning: {error}"));
            }
            Looked::Unknown
        }
    }
}

/// The run of that name; the last replay into Kinesis without a name.
pub(super) fn choose(
    state_dir: &StateDir,
    id: Option<&str>,
    runs: Vec<RunGlance>,
) -> Result<Option<RunGlance>, Error> {
    let Some(id) = id else {
        let mut found = runs;
        found.retain(|run| matches!(run.file.settings.target, Target::Kinesis { .. }));
        // What sends once more what a replay has set aside does not stand for that.
        let at = found.iter().rposition(|run| !run.is_retry()).or(found.len().checked_sub(1));
        return Ok(at.map(|at| found.swap_remove(at)));
    };
    if let Some(run) = runs.iter().rposition(|run| run.id == id) {
        let mut runs = runs;
        let run = runs.swap_remove(run);
        target(&run)?;
        return Ok(Some(run));
    }
    Err(named_like_a_stream(&runs, id).unwrap_or_else(|| directory::no_such_run(state_dir, id)))
}

/// A run is wanted where a stream was named.
fn named_like_a_stream(runs: &[RunGlance], name: &str) -> Option<Error> {
    let name = name.parse::<StreamName>().ok()?;
    let into = |run: &&RunGlance| run.file.stream.name == name.name();
    let last = runs.iter().rfind(|run| into(run) && !run.is_retry()).or_else(|| runs.iter().rfind(into))?;
    let (id, runs) = (&last.id, runs.iter().filter(into).count());
    let which = if runs == 1 { format!("run {id}") } else { format!("{}, the last {id}", many(runs, "run")) };
    Some(Error::refused(format!(
        "there is no run {0}, but a stream of that name, into which went {which}: name a run here, as {id}",
        name.name()
    )))
}

/// The stream that the run writes to.
pub(super) fn target(run: &RunGlance) -> Result<StreamName, Error> {
    match &run.file.settings.target {
        Target::Kinesis { stream } => Ok(stream.clone()),
        other => Err(Error::refused(format!("run {} went into {other}, which no worker reads", run.id))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{retry_into, run_into};

    #[test]
    fn the_stream_of_the_backfill_is_not_the_live_one() {
        let of = |region: &str| format!("arn:aws:kinesis:{region}:123456789012:stream/orders");
        let refused = |one: &str, other: &str| {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            refuse_the_same(&one, &other).err().map(|error| error.exit_code())
        };
        let (here, there) = (of("us-east-2"), of("eu-west-1"));
        let usage = Some(crate::error::ExitCode::Usage);
        assert_eq!(refused("orders", "orders"), usage);
        assert_eq!(refused("orders", &here), usage, "it may well be");
        assert_eq!(refused(&here, &here), usage);
        assert_eq!((refused("orders", "orders-live"), refused(&here, &there)), (None, None));
    }

    #[test]
    fn what_a_plan_knew_of_the_live_stream_its_run_knows_too() {
        let directory = tempfile::tempdir().unwrap();
        let mut run = run_into("r1", "done", 1);
        run.glance.path = directory.path().into();
        let runs = |run| [run, retry_into("r1", "r2", "done", 1), retry_into("r2", "r3", "done", 1)];
        assert_eq!(planned_live(&run, &[]), PlannedLive::default());
        let live = PlannedLive {
            stream: Some("orders".parse().unwrap()),
            retention_hours: Some(48),
            away_since: "2026-11-26T20:44:00Z".parse().ok(),
        };
        let plan = json!({ "version": 1, "live": live });
        std::fs::write(directory.path().join("plan.json"), plan.to_string()).unwrap();
        let runs = runs(run);
        for run in &runs {
            assert_eq!(planned_live(run, &runs), live, "{}", run.glance.id);
        }
    }

    #[test]
    fn whoever_names_a_stream_is_told_its_run() {
        let state = StateDir::usual("/s");
        let said = |ids: &[&str], name: &str| {
            let mut runs: Vec<RunGlance> = ids.iter().map(|id| run_into(id, "done", 1).glance).collect();
            runs.push(retry_into("r1", "r9", "done", 1).glance);
            choose(&state, Some(name), runs).unwrap_err().to_string()
        };
        let expected = "there is no run orders-backfill, but a stream of that name, into which went 3 runs, the last r2: name a run \
                        here, as r2";
        assert_eq!(said(&["r1", "r2"], "orders-backfill"), expected);
        assert!(said(&[], "orders-backfill").contains("into which went run r9:"));
        assert!(said(&["r1"], "orders").contains("`respool runs` lists them"));
    }
}
