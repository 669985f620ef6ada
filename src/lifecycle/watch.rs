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
use crate::config::{DrainedConfig, Endpoint};
use crate::error::{Error, ExitCode};
use crate::run::at_hand::{self, Service};
use crate::run::directory::{self, Drained, RunGlance, StreamIdentity};
use crate::run::{console, now};
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
    let run = choose(&config.state_dir, config.run.as_deref(), runs)?;
    let run = run.ok_or_else(|| match unread.as_slice() {
        [] => Error::refused("there is no run into a Kinesis stream yet: `respool replay` makes one"),
        unread => Error::refused(format!("the only runs there are cannot be read: {}", names(unread))),
    })?;
    let stream = target(&run)?;
    let access = config.door.around(run.file.tuning.kinesis.clone(), &stream);
    let door = Door::open(&stream, &access).await?.with_runs_in(&config.state_dir);
    let Some(found) = door.look().await? else { return Err(gone(&run)) };
    let found = found.description;
    check_same(&run.id, &run.file.stream, &found)?;
    let (service, endpoint) = service(config, &door).await?;
    let is_here = endpoint.as_ref().is_some_and(Endpoint::is_loopback);
    let watch = Watch { config, door, service, endpoint, stream: run.file.stream, found };
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
        let shards = drained::judge(&replayed(runs), &self.listing().await?, &leases);
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
    let seen = match run.drained() {
        Some(seen) => format!("it was seen drained at {:.0}", seen.at),
        None => "it was never seen drained: what was not read is lost".to_owned(),
    };
    Error::refused(format!(
        "the stream {}, into which run {} went, is not there any more; {seen}",
        run.file.stream.name, run.id
    ))
}

/// A stream that was deleted and made anew has lost what was delivered.
fn check_same(run: &str, expected: &StreamIdentity, found: &StreamDescription) -> Result<(), Error> {
    if expected.created_ms == found.created_ms {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the stream {} is not the one that run {run} wrote to: that one was deleted and this one made anew, so there is \
         nothing left to drain",
        found.name
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
