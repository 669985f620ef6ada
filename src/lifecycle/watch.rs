//! `respool stream drained`: asks, tells, asks again, and ends with the sentence that is waited for.
//!
//! What counts is everything that runs of this machine have put into the stream, not one run alone. That it was
//! read is noted in each run's directory, where `stream delete` and `guide` find it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::sleep;

use super::age::{self, AgeVerdict};
use super::answer::{Answer, Method};
use super::command::{choose, target};
use super::door::Door;
use super::drained::{self, Listed, StreamKey, stored_at};
use super::runs::{BY_AGE, BY_LEASES, RunInto, RunsInto, names, replayed, runs_into, unfinished};
use super::{lease_table, metric};
use crate::config::{DrainedConfig, Endpoint, StateDir, Target};
use crate::error::{Error, ExitCode};
use crate::record::many;
use crate::run::at_hand::{self, Service};
use crate::run::directory::{self, Drained, RunGlance, SeenTable, StreamIdentity};
use crate::run::{anew, console, now};
use crate::stream::kinesis::NeighbourClient;
use crate::stream::name::StreamName;
use crate::stream::neighbour::{Neighbour, NeighbourConfig};
use crate::stream::read::StreamReader;
use crate::stream::{CallError, StreamDescription};

/// Between two questions, at first and at most. A scan of a table costs its owner something.
const POLL: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(1));
/// The same on this machine.
const POLL_HERE: Duration = Duration::from_millis(100);

/// Finds out whether everything was read, and tells.
pub async fn drained(config: &DrainedConfig, started: Timestamp) -> Result<ExitCode, Error> {
    let (runs, unread) = directory::look_at_all(&config.state_dir)?;
    if let Some(run) = unread.iter().find(|run| config.run.as_ref() == Some(&run.id)) {
        return Err(Error::refused(format!("run {} cannot be read: {}", run.id, run.why)));
    }
    let candidates = match &config.run {
        Some(id) => choose(&config.state_dir, Some(id), runs)?.into_iter().collect(),
        None => by_urgency(runs),
    };
    if candidates.is_empty() {
        return Err(match unread.as_slice() {
            [] => Error::refused(
                "there is no run into a Kinesis stream yet: `respool replay ARCHIVE --into STREAM --partition-key KEY` makes one",
            ),
            unread => Error::refused(format!("the only runs there are cannot be read: {}", names(unread))),
        });
    }
    let (run, door, found) = first_there(config, &candidates).await?;
    if config.run.is_none() && !config.output.quiet {
        console::say(&meant(run, &candidates));
    }
    let (service, endpoint) = service(config, &door).await?;
    let is_here = endpoint.as_ref().is_some_and(Endpoint::is_loopback);
    let watch = Watch { config, door, service, endpoint, stream: run.file.stream.clone(), found };
    let mut pause = POLL.0;
    let mut told = String::new();
    loop {
        let answer = watch.ask().await?;
        if answer.drained {
            return watch.end(&answer);
        }
        if !config.wait || answer.in_vain {
            answer.print(&config.output)?;
            return Ok(ExitCode::Incomplete);
        }
        let line = answer.progress();
        if !config.output.quiet && line != told {
            console::say(&line);
            told = line;
            pause = POLL.0;
        }
        watch.check_time(started, &answer)?;
        sleep(if is_here { POLL_HERE } else { pause }).await;
        pause = (pause * 3 / 2).min(POLL.1);
    }
}

/// The runs that may be meant where none is named, one for each stream, the likeliest first: the last that has delivered something
/// which nobody was seen to have read; of none the last that has delivered something, and else the last. A retry does
/// not stand for its replay.
fn by_urgency(mut runs: Vec<RunGlance>) -> Vec<RunGlance> {
    runs.retain(|run| matches!(run.file.settings.target, Target::Kinesis { .. }));
    runs.reverse();
    runs.sort_by_cached_key(|run| {
        std::cmp::Reverse((anew::is_unread(run), run.delivered_so_far() > 0, !run.is_retry()))
    });
    let mut streams: Vec<StreamIdentity> = Vec::new();
    runs.retain(|run| {
        let is_new = !streams.contains(&run.file.stream);
        streams.extend(is_new.then(|| run.file.stream.clone()));
        is_new
    });
    runs
}

/// The first of `runs` whose stream is still there, and the way to it; if none is, what is wrong with the first. Where something
/// was lost with a stream, no other one is taken for it.
async fn first_there<'a>(
    config: &DrainedConfig,
    runs: &'a [RunGlance],
) -> Result<(&'a RunGlance, Door, StreamDescription), Error> {
    let mut wrong = None;
    for run in runs {
        let stream = target(run)?;
        let access = config.door.around(run.file.tuning.kinesis.clone(), &stream);
        let door = Door::open(&stream, &access).await?.with_runs_in(&config.state_dir);
        let there = match door.look().await? {
            None => Err(gone(run)),
            Some(found) => {
                let found = found.description;
                check_same(&config.state_dir, &run.id, &run.file.stream, &found).map(|()| found)
            }
        };
        match there {
            Ok(found) => return Ok((run, door, found)),
            Err(error) if anew::is_unread(run) => return Err(and_others(error, run, runs)),
            Err(error) => drop(wrong.get_or_insert(error)),
        }
    }
    Err(wrong.unwrap_or_else(|| Error::internal("no run was asked about")))
}

/// What is wrong with the stream of `run`, and how the others are asked about.
fn and_others(wrong: Error, run: &RunGlance, all: &[RunGlance]) -> Error {
    match all.iter().find(|other| other.id != run.id) {
        Some(other) => Error::refused(format!(
            "{wrong}; `respool stream drained {}` asks about {}, into which that run went",
            other.id, other.file.stream.name
        )),
        None => wrong,
    }
}

/// Which run is meant, and which it is not.
fn meant(run: &RunGlance, all: &[RunGlance]) -> String {
    let about = format!("about {}, into which run {} went", run.file.stream.name, run.id);
    let mut others = all.iter().filter(|other| other.id != run.id);
    match (others.next(), all.len() - 1) {
        (Some(other), count) => format!(
            "{about}; runs went into {} as well, run {} into {}: name a run to ask about its stream",
            many(count, "other stream"),
            other.id,
            other.file.stream.name
        ),
        (None, _) => about,
    }
}

struct Watch<'a> {
    config: &'a DrainedConfig,
    door: Door,
    service: NeighbourClient,
    endpoint: Option<Endpoint>,
    stream: StreamIdentity,
    found: StreamDescription,
}

impl Watch<'_> {
    /// One question: how far are the runs, and how far is the worker?
    async fn ask(&self) -> Result<Answer, Error> {
        let RunsInto { runs, unread } = runs_into(&self.config.state_dir, &self.stream)?;
        if !unread.is_empty() {
            return Err(Error::refused(format!(
                "it cannot be told whether {} is drained: these runs cannot be read and may have written into it: {}; ask with the \
                 respool that began them, or move what is no run of this stream out of {}",
                self.door.name,
                names(&unread),
                directory::runs_dir(&self.config.state_dir).display()
            )));
        }
        let open: Vec<&RunInto> = unfinished(&runs).collect();
        let method = match &self.config.lease_table {
            Some(table) => self.by_leases(table, &runs).await?,
            None => self.by_age(&runs).await?,
        };
        let answer = Answer::new(&self.found, (&self.door.flags, &self.door.state), &runs, &open, method);
        Ok(answer.asked_at(self.endpoint.as_ref()))
    }

    async fn by_leases(&self, table: &str, runs: &[RunInto]) -> Result<Method, Error> {
        let leases = lease_table::leases(&self.service, table).await?;
        let any = !leases.is_empty();
        let key = StreamKey {
            name: self.found.name.clone(),
            account: self.found.account.clone(),
            created_ms: self.found.created_ms,
        };
        let leases = drained::leases_of(&key, leases);
        let (replayed, listing) = (replayed(runs), self.listing().await?);
        let seen = SeenTable { table: table.to_owned(), at: self.service.endpoint().to_owned() };
        let seen_ours = runs.iter().any(|run| run.glance.seen_table().as_ref() == Some(&seen));
        if !seen_ours && drained::show_ours(&replayed, &listing, &leases) {
            runs.iter().try_for_each(|run| run.glance.note_table(&seen))?;
        }
        let shards = drained::judge(&replayed, &listing, &leases, seen_ours);
        Ok(Method::LeaseTable { table: table.to_owned(), shards, of_others_only: any && leases.is_empty() })
    }

    async fn by_age(&self, runs: &[RunInto]) -> Result<Method, Error> {
        let minutes = metric::minutes(&self.service, &self.found.name, now()).await?;
        let ended = replayed(runs).values().filter_map(|shard| stored_at(&shard.last)).max();
        let ended = ended.and_then(|ended| i64::try_from(ended).ok());
        let verdict = age::judge(&minutes, ended.unwrap_or_else(|| last_report(runs)), now().as_second());
        Ok(Method::IteratorAge { verdict })
    }

    /// The stream's shards as it lists them.
    async fn listing(&self) -> Result<BTreeMap<String, Listed>, Error> {
        let shards = self.door.stream.list_all_shards().await.map_err(|error: CallError| {
            Error::incomplete(format!("the shards of {} cannot be listed: {}", self.door.name, error.message))
        })?;
        let listed = shards.into_iter().map(|shard| {
            let parents = [shard.parent, shard.adjacent_parent].into_iter().flatten();
            let parents = parents.map(|parent| parent.to_string()).collect();
            (shard.id.to_string(), Listed { open: shard.open, parents, starts: shard.starts })
        });
        Ok(listed.collect())
    }

    fn end(&self, answer: &Answer) -> Result<ExitCode, Error> {
        let by = answer.method.name().to_owned();
        for run in runs_into(&self.config.state_dir, &self.stream)?.runs {
            // A run that was begun in between has not been asked about.
            let asked = answer.delivered.get(&run.glance.id) == Some(&run.delivered);
            if asked {
                run.glance.note_drained(&Drained { at: now(), by: by.clone(), delivered: run.delivered })?;
            }
        }
        let (lost, records) =
            anew::lost_before(&directory::glance_at_all(&self.config.state_dir)?, &self.stream);
        if let Some(first) = lost.first() {
            return Err(Error::incomplete(format!(
                "all that is in {} has been read, but {} of {} went into the stream of this name before it, and nobody was seen to \
                 read them there: unless a worker has, it is not safe to point it back; `respool runs show {first}{}` says what they were",
                self.door.name,
                many(records, "record"),
                lost.join(" and "),
                self.config.state_dir.flag()
            )));
        }
        answer.print(&self.config.output)?;
        Ok(ExitCode::Done)
    }

    /// What was not read by then is gone, and waiting does not bring it back.
    fn check_time(&self, started: Timestamp, answer: &Answer) -> Result<(), Error> {
        let kept = SignedDuration::from_hours(self.found.retention_hours.into());
        let Ok(until) = started.checked_add(kept) else { return Ok(()) };
        if now() < until {
            return Ok(());
        }
        Err(Error::incomplete(format!(
            "waited for {} h, as long as the stream {} keeps records: what was not read by now is gone; {}",
            self.found.retention_hours,
            self.door.name,
            answer.progress()
        )))
    }
}

/// The service that knows the worker's progress, and its endpoint where that is not AWS' own.
async fn service(config: &DrainedConfig, door: &Door) -> Result<(NeighbourClient, Option<Endpoint>), Error> {
    let consumer = &config.consumer;
    let aws = consumer.aws.clone();
    let profile = aws.profile.or_else(|| door.profile.clone());
    let (service, given) = match config.lease_table {
        Some(_) => (Neighbour::DynamoDb, &consumer.dynamodb),
        None => (Neighbour::CloudWatch, &consumer.cloudwatch),
    };
    let endpoint = match given {
        Some(endpoint) => Some(endpoint.clone()),
        None => at_hand::endpoint(Service::Neighbour(service), profile.as_deref()).await?,
    };
    if endpoint.is_none() && door.stream.is_harmless() {
        return Err(nowhere(service, config, &door.name));
    }
    let neighbour = NeighbourConfig {
        region: aws.region.or_else(|| Some(door.stream.region().to_owned())),
        profile,
        endpoint_url: endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
    };
    let client = NeighbourClient::connect(service, &neighbour).await;
    let client = client.map_err(|error| Error::refused(format!("{}: {}", service.name(), error.message)))?;
    Ok((client, endpoint))
}

/// Nobody has said where the worker's progress is known, and AWS does not know what is read on this machine.
fn nowhere(service: Neighbour, config: &DrainedConfig, stream: &StreamName) -> Error {
    let name = service.name();
    let variable = match service {
        Neighbour::CloudWatch => "AWS_ENDPOINT_URL_CLOUDWATCH",
        _ => "AWS_ENDPOINT_URL_DYNAMODB",
    };
    let other = if config.lease_table.is_none() { ", or --lease-table for the worker's leases" } else { "" };
    Error::refused(format!(
        "the stream {stream} is on this machine, and AWS' {name} knows nothing of it: say where {name} is that the worker uses, \
         with --consumer-endpoint-url or {variable}{other}"
    ))
}

/// The stream is not there any more.
fn gone(run: &RunGlance) -> Error {
    let seen = match run.drained().filter(|seen| seen.delivered == run.delivered_so_far()) {
        Some(seen) if seen.is_proven() => format!("it was seen drained at {:.0}", seen.at),
        Some(seen) => format!("it was probably drained at {:.0}, which is an estimate", seen.at),
        None => "it was never seen drained: what was not read is lost".to_owned(),
    };
    Error::refused(format!(
        "the stream {}, into which run {} went, is not there any more; {seen}",
        run.file.stream.name, run.id
    ))
}

/// A stream that was deleted and made anew has lost what was delivered.
fn check_same(
    state_dir: &StateDir,
    run: &str,
    expected: &StreamIdentity,
    found: &StreamDescription,
) -> Result<(), Error> {
    if expected.created_ms == found.created_ms {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the stream {} is not the one that run {run} wrote to: that one was deleted and this one made anew, so there is \
         nothing left to drain{}",
        found.name,
        anew::gone_on(state_dir, run, found, "stream drained").unwrap_or_default()
    )))
}

/// When the last run left its report, in seconds since 1970.
fn last_report(runs: &[RunInto]) -> i64 {
    let ended = runs.iter().map(|run| {
        let seconds = run.glance.report.as_ref().and_then(|report| report.get("seconds")?.as_f64());
        #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
        let seconds = seconds.unwrap_or_default() as i64;
        run.glance.file.started.as_second().saturating_add(seconds)
    });
    ended.max().unwrap_or_default()
}

impl Method {
    /// As a run's note and a script have it.
    fn name(&self) -> &'static str {
        match self {
            Self::LeaseTable { .. } => BY_LEASES,
            Self::IteratorAge { .. } => BY_AGE,
        }
    }

    /// Whether it says that everything was read.
    pub(super) fn says_drained(&self) -> bool {
        match self {
            Self::LeaseTable { shards, .. } => {
                shards.iter().all(|shard| shard.state == drained::ShardState::Drained)
            }
            Self::IteratorAge { verdict } => *verdict == AgeVerdict::Past,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{retry_into, run_into};
    use crate::run::directory::RunFile;

    #[test]
    fn what_was_not_read_is_asked_about_before_what_was_begun_last() {
        let directory = tempfile::tempdir().unwrap();
        let into = |id: &str, made: i64, delivered: u64| {
            let mut run = run_into(id, "done", delivered).glance;
            run.path = directory.path().join(id);
            std::fs::create_dir(&run.path).unwrap();
            run.file.stream.created_ms = made;
            run.report = Some(serde_json::json!({ "state": "done", "records": { "delivered": delivered } }));
            run
        };
        let read = into("r3", 3, 9);
        read.note_drained(&Drained { at: now(), by: BY_LEASES.into(), delivered: 9 }).unwrap();
        let retry = retry_into("r2", "r5", "done", 1).glance;
        let of_r2 =
            RunGlance { file: RunFile { stream: into("x", 2, 0).file.stream, ..retry.file }, ..retry };
        let runs = vec![into("r1", 1, 5), into("r2", 2, 7), read, into("r4", 4, 0), of_r2];
        let order = by_urgency(runs);
        let ids: Vec<_> = order.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(ids, ["r2", "r1", "r3", "r4"]);
        let said = meant(&order[0], &order);
        assert!(said.contains("run r2 went; runs went into 3 other streams as well, run r1"), "{said}");
        assert!(!meant(&order[0], &order[..1]).contains("other"));
    }
}
