//! `respool guide`: the whole switch-over of one backfill as a checklist, with its own names, commands and times.
//!
//! Two clocks run. The backfill stream forgets what was replayed first, counted from the run's start; the live
//! stream forgets what the worker has not read there, counted from the moment in which it left. What is known
//! to be done is ticked; what is not known is left to the reader.

mod open;
mod page;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::open::{ANY_NAME, lacks_the_workers_place, leases_elsewhere};
pub use self::page::render;
use super::aside::{self, family, holders};
use super::runs::{RunInto, records_and_objects};
use super::unfinished;
use crate::config::{
    AwsAccess, RETENTION_HOURS_DEFAULT, RunFlags, SavedPlan, StateDir, Target, exposure_flag, quoted,
};
use crate::record::{agree, many};
use crate::run::forecast::what;
use crate::run::next::NextStep;
use crate::run::report::{RunState, duration, number};
use crate::stream::control::StreamParticulars;

/// What the checklist is made of.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The run, if there is one.
    pub run: Option<&'a RunInto>,
    /// All runs into its stream that can be read, this one among them, oldest first.
    pub runs: &'a [RunInto],
    /// The plan that is to become one, with the name of its file.
    pub plan: Option<(&'a str, &'a SavedPlan)>,
    /// Its stream, if it is there and can be looked at.
    pub stream: Option<&'a StreamParticulars>,
    /// Whether it was looked for and is not there.
    pub gone: bool,
    /// Another one of its name that is there instead, made since.
    pub anew: Option<&'a StreamParticulars>,
    /// The stream that the worker reads otherwise.
    pub live: Option<&'a str>,
    /// For how many hours it keeps records.
    pub live_hours: Option<u32>,
    /// When the worker left it.
    pub away_since: Option<Timestamp>,
    /// The worker's table of leases on the backfill stream.
    pub lease_table: Option<&'a str>,
    /// The streams' door.
    pub access: &'a AwsAccess,
    /// Where the run is kept.
    pub state: &'a StateDir,
    /// The worker's door, as far as it is another.
    pub consumer: &'a AwsAccess,
    /// What time it is.
    pub now: Timestamp,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// `create`, `replay`, `switch_over`, `watch`, `drained`, `switch_back` or `delete`.
    pub step: &'static str,
    /// What.
    pub what: String,
    /// Whether it is done, where that is known.
    pub done: Option<bool>,
    /// What to type.
    pub command: Option<String>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// Whether that rests on a retention that is only assumed.
    pub until_is_assumed: bool,
    /// What to mind.
    pub notes: Vec<String>,
}

impl Step {
    fn new(step: &'static str, what: String) -> Self {
        let (until, until_is_assumed) = (None, false);
        Self { step, what, done: None, command: None, until, until_is_assumed, notes: Vec::new() }
    }
}

/// The checklist.
#[must_use]
pub fn steps(facts: &Facts<'_>) -> Vec<Step> {
    let planned = facts.plan.and_then(|(_, plan)| match &plan.what.target {
        Some(Target::Kinesis { stream }) => Some(stream.name()),
        _ => None,
    });
    let stream = facts.run.map(|run| run.glance.file.stream.name.as_str()).or(planned).unwrap_or(ANY_NAME);
    let state = facts.state.flag();
    let door = [facts.access.own_flags("kinesis"), state.clone()].concat();
    let exposed = exposure_flag(&[facts.access, facts.consumer]);
    let (own, theirs) = (facts.access.flags("kinesis"), facts.consumer.flags("consumer"));
    let both = [&own, &theirs, exposed, &state].concat();
    vec![
        create(facts, stream, &door),
        replay(facts, stream, &door),
        switch_over(facts, stream),
        watch(facts, stream, &door),
        drained(facts, stream, &both),
        switch_back(facts),
        delete(facts, stream, &door),
    ]
}

fn create(facts: &Facts<'_>, stream: &str, door: &str) -> Step {
    let mut step = Step::new("create", format!("Make the backfill stream {stream}"));
    // A run has been writing into it.
    step.done = facts.run.map(|_| true);
    if let Some(found) = facts.anew {
        let made = Timestamp::from_millisecond(found.description.created_ms);
        let made = made.map(|made| format!(", made {},", clock(made))).unwrap_or_default();
        step.notes.push(format!(
            "the one that the run wrote into is not there any more: {stream} as it is now{made} is another and has nothing of it"
        ));
    } else if facts.gone {
        step.notes.push("it is not there any more".into());
    } else if let Some(found) = facts.stream {
        let description = &found.description;
        step.notes.push(format!(
            "{}, records kept for {} h",
            many(description.open_shards, "shard"),
            number(description.retention_hours.into())
        ));
        step.done = Some(true);
    } else if let Some((path, plan)) = facts.plan {
        let (name, shards) = (quoted(stream), many(plan.figures.shards, "shard"));
        step.done = Some(false);
        step.command = Some(format!("respool stream create {name} --plan {}{door}", quoted(path)));
        step.notes.push(match plan.stream.retention_hours {
            Some(hours) => format!("{shards}, records kept for {} h", number(hours.into())),
            None => shards,
        });
    } else if facts.run.is_none() {
        step.command = Some(format!("respool stream create {stream} --shards N --retention 48h{door}"));
        step.notes.push("or the next command with --create --shards auto, which does it on the way".into());
    }
    if stream == ANY_NAME {
        step.notes.push(format!("put the stream's name for {ANY_NAME}, here and below"));
    }
    step
}

fn replay(facts: &Facts<'_>, stream: &str, door: &str) -> Step {
    if let Some((path, plan)) = facts.plan {
        return planned_replay(facts, path, plan, stream);
    }
    let Some(run) = facts.run else {
        let mut step = Step::new("replay", "Start the replay".into());
        step.done = Some(false);
        step.command = Some(format!(
            "respool replay s3://BUCKET/PREFIX --into NAME --partition-key /POINTER --from TIME --until TIME{door}"
        ));
        step.notes.push("with --dry-run first: it says how much and how long".into());
        return step;
    };
    let settings = &run.glance.file.settings;
    let mut step = Step::new("replay", format!("Replay {}, {}", settings.archive, what(settings)));
    let (all, left) = (family(run, facts.runs), holders(run, facts.runs));
    let delivered: u64 = all.iter().map(|run| run.delivered).sum();
    let pending = all.iter().skip(1).rfind(|retry| retry.glance.is_unfinished());
    let sent_nothing = run.state() == RunState::Done && delivered == 0 && !left.is_empty();
    step.done = Some(run.state() == RunState::Done && pending.is_none() && !sent_nothing);
    step.notes.push(format!(
        "run {}, started {}, {}: {} delivered",
        run.glance.id,
        clock(run.glance.file.started),
        run.state().word(),
        many(run.delivered, "record")
    ));
    if facts.gone && run.state() != RunState::Done {
        step.notes.push(
            "it cannot go on: what it had delivered went with the stream, so a new replay is needed".into(),
        );
    } else if matches!(run.state(), RunState::Incomplete | RunState::Refused) {
        come_to_an_end(&mut step, facts, run);
    }
    for retry in all.iter().skip(1).filter(|retry| retry.delivered > 0) {
        step.notes.push(format!(
            "run {} has tried again what was set aside, {}: {} delivered",
            retry.glance.id,
            retry.state().word(),
            many(retry.delivered, "record")
        ));
    }
    for (holder, count) in &left {
        let set_aside = records_and_objects(*count).unwrap_or_default();
        let flags = RunFlags::new(facts.state, &holder.glance.file.tuning).look;
        let ls = format!("respool quarantine ls {}{flags}", holder.glance.id);
        if sent_nothing {
            step.notes
                .push(format!("all of it was set aside: {set_aside} in quarantine, nothing in {stream}"));
            step.command = Some(ls);
        } else {
            let were = agree(count.0 + count.1, "was", "were");
            step.notes.push(format!("{set_aside} {were} set aside: `{ls}`"));
        }
    }
    if left.is_empty() && run.set_aside().is_some() {
        step.notes.push("nothing is left in quarantine".into());
    }
    if let Some(pending) = pending.filter(|_| !facts.gone) {
        come_to_an_end(&mut step, facts, pending);
    }
    step
}

/// Says what brings `run` to its end.
fn come_to_an_end(step: &mut Step, facts: &Facts<'_>, run: &RunInto) {
    let NextStep { command, why } = unfinished::comes_to_an_end(facts.state, run);
    let resume = unfinished::resume(facts.state, run);
    if command != resume {
        step.notes
            .push(format!("this {why}; `{resume}` goes on, and sets aside all that are like those before"));
    }
    step.command = Some(command);
}

fn planned_replay(facts: &Facts<'_>, path: &str, plan: &SavedPlan, stream: &str) -> Step {
    let (what, figures) = (&plan.what, &plan.figures);
    let mut step = Step::new("replay", format!("Replay {}, {}", what.archive, what.input.selection));
    step.done = Some(false);
    let into = if what.target.is_some() { String::new() } else { format!(" --into {}", quoted(stream)) };
    let door = [
        &facts.access.flags("kinesis"),
        exposure_flag(&[facts.access, &plan.tuning.s3]),
        &facts.state.flag(),
    ]
    .concat();
    let key = if what.partition_key.is_some() { "" } else { " --partition-key /POINTER" };
    step.command = Some(format!("respool replay --plan {}{into}{key}{door}", quoted(path)));
    step.notes.push(format!(
        "planned {}: {} in about {}, limited by {}, for ${:.2}",
        clock(plan.created),
        many(figures.records, "record"),
        duration(figures.seconds),
        figures.binding_limit,
        figures.cost_usd
    ));
    step
}

fn switch_over(facts: &Facts<'_>, stream: &str) -> Step {
    let mut step = Step::new("switch_over", format!("Restart the worker on {stream}"));
    // Whoever has read it has been there. Where nothing was begun, nobody can be there who has only left the live stream.
    step.done = facts.run.filter(|_| facts.away_since.is_some() || is_read(facts)).map(|_| true);
    if facts.gone {
        return step;
    }
    let table = facts.lease_table.map_or_else(
        || "an application name of its own".into(),
        |table| format!("{table} as its application name"),
    );
    step.notes
        .push(format!("with {table}, not its old one: the live stream's leases have to stay as they are"));
    step.notes
        .push("from the oldest record on: TRIM_HORIZON (with LATEST it skips what is there already)".into());
    let live = facts.live.unwrap_or("the live stream");
    step.notes.push(match (facts.away_since, live_retention(facts)) {
        (Some(since), _) => format!("it left {live} at {}", clock(since)),
        (None, (hours, true)) => {
            format!("note the time: from here on {live} waits for {hours} h and not longer")
        }
        (None, (hours, false)) => format!(
            "note the time: from here on {live} waits for as long as it keeps records ({hours} h are assumed) and not longer"
        ),
    });
    step
}

fn watch(facts: &Facts<'_>, stream: &str, door: &str) -> Step {
    let mut step = Step::new("watch", "Watch both sides".into());
    if facts.gone {
        step.done = Some(true);
        return step;
    }
    step.command = Some(format!("respool stream status {stream}{door}"));
    step.notes.push("too slow? `respool stream scale` works while a run is writing".into());
    let sent = |run: &RunInto| family(run, facts.runs).iter().any(|run| run.delivered > 0);
    if let Some(run) = facts.run.filter(|run| run.state() == RunState::Done && sent(run)) {
        step.notes.push(format!(
            "did all of it arrive? `respool verify {}{}`",
            run.glance.id,
            RunFlags::new(facts.state, &run.glance.file.tuning).go
        ));
    }
    step
}

fn drained(facts: &Facts<'_>, stream: &str, door: &str) -> Step {
    let mut step = Step::new("drained", format!("Wait until the worker has read everything from {stream}"));
    let run = facts.run.map_or("RUN", |run| run.glance.id.as_str());
    let table = facts.lease_table.unwrap_or("TABLE");
    if let Some(run) = facts.run {
        let sent = family(run, facts.runs).into_iter().rfind(|run| run.delivered > 0);
        let seen = sent.and_then(RunInto::seen_drained);
        let proven = sent.is_some_and(RunInto::is_drained);
        step.done = Some(is_read(facts)).filter(|read| *read || !facts.gone);
        if step.done.is_none() {
            step.notes.push("nobody has seen that it had: what was not read went with the stream".into());
        }
        step.notes.extend(seen.map(|seen| {
            let estimate = if proven { "" } else { ", which is an estimate: --lease-table proves it" };
            format!("seen {} by {}{estimate}", clock(seen.at), seen.by)
        }));
    }
    if step.done != Some(true) && !facts.gone {
        step.notes.extend(leases_elsewhere(facts));
        let url = if lacks_the_workers_place(facts) { " --consumer-endpoint-url URL" } else { "" };
        step.command = Some(format!("respool stream drained {run} --lease-table {table} --wait{door}{url}"));
        step.notes.extend(open::words_of_drained(facts));
        step.notes.extend(open::until_once_begun(facts, stream));
    }
    if let Some(found) = facts.stream {
        let hours = found.description.retention_hours;
        let unread = unread(facts);
        if let Some(first) = unread.iter().min_by_key(|run| run.glance.file.started) {
            step.until = after(first.glance.file.started, hours);
            let (id, others) = (&first.glance.id, unread.len() - 1);
            step.notes.push(match others {
                0 => format!("{stream} forgets the first records {hours} h after the start of run {id}"),
                _ => format!(
                    "{stream} forgets the first records {hours} h after the start of run {id}, the oldest of {} into it that are \
                     not known to be read",
                    unread.len()
                ),
            });
        }
    }
    step
}

/// Whether a worker's leases have shown that it has read all that is in the stream. Whoever else has written into it must have
/// been read, too.
fn is_read(facts: &Facts<'_>) -> bool {
    let sent = facts.run.and_then(|run| family(run, facts.runs).into_iter().rfind(|run| run.delivered > 0));
    sent.is_some_and(|run| run.is_drained() && unread(facts).is_empty())
}

/// The runs whose records are in the stream, or will be, and were not seen to be read.
fn unread<'a>(facts: &Facts<'a>) -> Vec<&'a RunInto> {
    let unread = |run: &&RunInto| {
        let writes = run.delivered > 0 || run.state() != RunState::Done;
        writes && (run.seen_drained().is_none() || !run.is_drained())
    };
    facts.runs.iter().filter(unread).collect()
}

fn switch_back(facts: &Facts<'_>) -> Step {
    let live = facts.live.unwrap_or("the live stream");
    let mut step = Step::new("switch_back", format!("Point the worker back at {live}"));
    let (hours, known) = live_retention(facts);
    let left = if facts.gone { Vec::new() } else { aside::left(facts.runs) };
    step.notes.extend(
        aside::sentence(&left)
            .map(|sentence| format!("before that: {sentence}; {}", aside::sends_them(&left, facts.state))),
    );
    step.notes.push("with its old application name: it goes on where it stopped".into());
    if facts.gone {
        step.notes.push(format!("{live} is not looked at here, so whether the worker is back is not known"));
    }
    // Whoever went back when the stream was deleted is not late now.
    step.until = facts.away_since.filter(|_| !facts.gone).and_then(|since| after(since, hours));
    step.until_is_assumed = step.until.is_some() && !known;
    step.notes.extend(match (known, facts.away_since) {
        (true, Some(_)) => Some(format!("{live} keeps records for {hours} h")),
        (true, None) => Some(format!(
            "{live} keeps records for {hours} h: be back before that (--away-since TIME counts)"
        )),
        (false, _) if facts.gone => None,
        (false, _) => Some(format!("assumed that it keeps records for {hours} h (--live STREAM asks)")),
    });
    if known && step.until.is_some_and(|until| until <= facts.now) {
        step.notes.push(format!(
            "{live} has forgotten already what came up to {}, and goes on: raise its retention now, and replay that time from the \
             archive, too",
            facts.now.checked_sub(SignedDuration::from_hours(hours.into())).map(clock).unwrap_or_default()
        ));
    }
    step
}

fn delete(facts: &Facts<'_>, stream: &str, door: &str) -> Step {
    let mut step = Step::new("delete", format!("Delete {stream}: it costs money as long as it is there"));
    step.done = facts.run.map(|_| facts.gone);
    if !facts.gone {
        step.command = Some(format!("respool stream delete {stream}{door}"));
        let left = aside::sentence(&aside::left(facts.runs));
        step.notes.extend(
            left.map(|left| format!("{left}: once the stream is deleted only a new replay can send that")),
        );
    }
    if facts.anew.is_some() {
        step.notes
            .push(format!("that one is deleted; what is called {stream} now is another and costs, too"));
    }
    if facts.stream.is_some_and(|found| !super::shape::is_ours(found)) {
        step.notes.push("respool has not made it and will not delete it: use the AWS console or CLI".into());
        let door = facts.access.flags("");
        step.command = Some(format!("aws kinesis delete-stream --stream-name {stream}{door}"));
    }
    if let Some(table) = facts.lease_table {
        let streams = AwsAccess { endpoint_url: None, ..facts.access.clone() };
        let mut door = facts.consumer.clone().or(streams).flags("");
        if lacks_the_workers_place(facts) {
            // A table of that name in AWS would be another one.
            door.push_str(" --endpoint-url URL");
        }
        step.notes
            .push(format!("and the worker's table: aws dynamodb delete-table --table-name {table}{door}"));
    }
    step
}

/// Hours that the live stream keeps records, and whether that is known.
fn live_retention(facts: &Facts<'_>) -> (u32, bool) {
    facts.live_hours.map_or((RETENTION_HOURS_DEFAULT, false), |hours| (hours, true))
}

fn after(start: Timestamp, hours: u32) -> Option<Timestamp> {
    start.checked_add(SignedDuration::from_hours(hours.into())).ok()
}

/// To the minute, in UTC.
fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests;
