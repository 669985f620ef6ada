//! What `respool stream drained` says: a table per shard, and a sentence that says what to do.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::age::AgeVerdict;
use super::aside::{self, InQuarantine, Left};
use super::drained::{ShardState, ShardVerdict};
use super::runs::RunInto;
use super::unfinished;
use crate::config::{Endpoint, OutputConfig, StateDir};
use crate::error::{Error, ExitCode};
use crate::record::{agree, many};
use crate::run::console;
use crate::run::report::{duration, number};
use crate::shown::shown;
use crate::stream::StreamDescription;

/// Shards that are listed for a person.
const SHARDS_LISTED_MAX: usize = 40;

/// By what it is seen, and what is seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    /// The worker's own table.
    LeaseTable {
        /// Its name.
        table: String,
        /// Every shard that was written to.
        shards: Vec<ShardVerdict>,
        /// It has leases, but none of this stream.
        #[serde(skip)]
        of_others_only: bool,
    },
    /// The age of what is read, over all shards and readers.
    IteratorAge {
        /// What it says.
        #[serde(flatten)]
        verdict: AgeVerdict,
    },
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// The worker's own word for each shard.
    Proof,
    /// What CloudWatch makes likely.
    Estimate,
}

impl Method {
    /// How sure it is.
    #[must_use]
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::LeaseTable { .. } => Certainty::Proof,
            Self::IteratorAge { .. } => Certainty::Estimate,
        }
    }
}

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Answer {
    /// The stream.
    pub stream: String,
    /// Whether everything was read.
    pub drained: bool,
    /// What the process exits with.
    pub exit_code: u8,
    /// The sentence.
    pub message: String,
    /// Records that each run has delivered into it.
    #[serde(rename = "runs")]
    pub delivered: BTreeMap<String, u64>,
    /// The runs that are not done.
    pub unfinished_runs: Vec<String>,
    /// Whether no process works on any of them.
    #[serde(skip)]
    pub idle: bool,
    /// What was set aside and not sent since.
    pub in_quarantine: Vec<InQuarantine>,
    /// Whether asking again changes nothing: what is missing has to be sent first.
    #[serde(skip)]
    pub in_vain: bool,
    /// How far `drained` can be trusted.
    pub certainty: Certainty,
    /// The endpoint of the service that was asked about the worker, where it is not AWS' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked_at: Option<String>,
    /// By what it is seen.
    #[serde(flatten)]
    pub method: Method,
}

impl Answer {
    /// Puts together what was seen of a stream, to which the flags in `door` lead, and of its runs in `state`.
    #[must_use]
    pub fn new(
        stream: &StreamDescription,
        (door, state): (&str, &StateDir),
        runs: &[RunInto],
        unfinished: &[&RunInto],
        method: Method,
    ) -> Self {
        let read = unfinished.is_empty() && method.says_drained();
        let anything = runs.iter().any(|run| run.delivered > 0);
        let (left, unsent) = (aside::left(runs), aside::unsent(runs));
        let unsent = unsent.filter(|_| unfinished.is_empty() && (read || !anything));
        let drained = read && unsent.is_none();
        // What earlier runs have sent a worker may still read.
        let idle = unfinished::wait_in_vain(unfinished) && (!anything || method.says_drained());
        let in_vain = unsent.is_some() || idle;
        let message = match unsent {
            Some(unsent) => not_happened(&stream.name, state, &unsent, anything),
            None if drained && !anything => {
                format!("Nothing was delivered into {}: there is nothing to read.", stream.name)
            }
            None if drained => safe(&stream.name, &by(runs), (door, state), &left, &method),
            None => not_yet(&stream.name, state, unfinished, anything, &method),
        };
        Self {
            stream: stream.name.clone(),
            drained,
            exit_code: if drained { ExitCode::Done } else { ExitCode::Incomplete } as u8,
            message,
            delivered: runs.iter().map(|run| (run.glance.id.clone(), run.delivered)).collect(),
            idle: unfinished::are_idle(unfinished),
            unfinished_runs: unfinished.iter().map(|run| run.glance.id.clone()).collect(),
            in_quarantine: left.iter().map(InQuarantine::from).collect(),
            in_vain,
            certainty: method.certainty(),
            asked_at: None,
            method,
        }
    }

    /// The same, asked at `endpoint`.
    #[must_use]
    pub fn asked_at(self, endpoint: Option<&Endpoint>) -> Self {
        Self { asked_at: endpoint.map(ToString::to_string), ..self }
    }

    /// One line of news while it is waited for.
    #[must_use]
    pub fn progress(&self) -> String {
        match &self.method {
            Method::LeaseTable { shards, .. } => {
                let done = shards.iter().filter(|shard| shard.state == ShardState::Drained).count();
                let behind = shards.iter().filter(|shard| shard.state != ShardState::Drained);
                let oldest = behind.filter_map(|shard| shard.read_until).min();
                let until = shards.iter().filter_map(|shard| shard.replayed_until).max();
                let times = oldest.zip(until).map(|(read, until)| {
                    format!(", the slowest is at {}, the replay ended at {}", clock(read), clock(until))
                });
                let runs = match self.unfinished_runs.as_slice() {
                    [] => String::new(),
                    runs if self.idle => {
                        format!(", {} not finished, and no process works on it", runs.join(", "))
                    }
                    runs => format!(", {} not finished", runs.join(", ")),
                };
                let times = times.unwrap_or_default();
                format!(
                    "{done} of {} {} drained{times}{runs}",
                    many(shards.len(), "shard"),
                    agree(done, "is", "are")
                )
            }
            Method::IteratorAge { .. } => self.message.clone(),
        }
    }

    /// Prints it, the sentence last.
    pub fn print(&self, output: &OutputConfig) -> Result<(), Error> {
        if output.json {
            let text = serde_json::to_string_pretty(self).unwrap_or_default();
            return console::print(&format!("{text}\n"));
        }
        console::print(&self.render())
    }

    fn render(&self) -> String {
        let mut text = String::new();
        if let Method::LeaseTable { shards, .. } = &self.method {
            let _ = writeln!(
                text,
                "{:<22} {:<12} {:>13}  {:<20} {:<20} worker",
                "shard", "state", "records", "replayed until", "read until"
            );
            // What is not drained is what the user wants to see.
            let mut rows: Vec<_> = shards.iter().collect();
            rows.sort_by_key(|shard| shard.state == ShardState::Drained);
            for shard in rows.iter().take(SHARDS_LISTED_MAX) {
                let _ = writeln!(
                    text,
                    "{:<22} {:<12} {:>13}  {:<20} {:<20} {}",
                    shard.shard,
                    word(shard.state),
                    number(shard.records),
                    shard.replayed_until.map_or_else(|| "-".into(), clock),
                    shard
                        .read_until
                        .map_or_else(|| shard.checkpoint.clone().unwrap_or_else(|| "-".into()), clock),
                    shown(shard.owner.as_deref().unwrap_or("-")),
                );
            }
            if let Some(more) = rows.len().checked_sub(SHARDS_LISTED_MAX).filter(|&more| more > 0) {
                let _ = writeln!(text, "and {more} more: --json lists all of them");
            }
            text.push('\n');
        }
        if let Some(endpoint) = &self.asked_at {
            let service = match &self.method {
                Method::LeaseTable { .. } => "DynamoDB",
                Method::IteratorAge { .. } => "CloudWatch",
            };
            let _ = writeln!(text, "{service} was asked at {endpoint}.");
        }
        text.push_str(&self.message);
        text.push('\n');
        text
    }
}

/// ` by run r1`: those of `runs` that have delivered something, a blank before it.
fn by(runs: &[RunInto]) -> String {
    let mut sent = runs.iter().filter(|run| run.delivered > 0).map(|run| run.glance.id.as_str());
    match (sent.next(), sent.next_back(), sent.count()) {
        (None, ..) => String::new(),
        (Some(only), None, _) => format!(" by run {only}"),
        (Some(first), Some(last), 0) => format!(" by the runs {first} and {last}"),
        (Some(first), Some(last), more) => format!(" by {}, {first} to {last},", many(more + 2, "run")),
    }
}

fn safe(
    stream: &str,
    by: &str,
    (door, state): (&str, &StateDir),
    left: &[Left<'_>],
    method: &Method,
) -> String {
    let delete = format!("`respool stream delete {stream}{door}`");
    let left = aside::sentence(left).map(|sentence| {
        format!(
            "\n{sentence}: {}, before the worker goes back and the stream is deleted.",
            aside::sends_them(left, state)
        )
    });
    let left = left.unwrap_or_default();
    match method {
        Method::LeaseTable { .. } => format!(
            "Everything that was replayed into {stream}{by} has been read: it is safe to point the worker back at the live \
             stream.{left}\nThen {delete} ends what it costs."
        ),
        Method::IteratorAge { .. } => format!(
            "Probably drained: whoever reads {stream} has read nothing of what was replayed{by} for three minutes, only what is newer or \
             nothing. This is CloudWatch's estimate, not a proof: it does not see a shard that nobody reads, nor who the reader \
             is. Look at the worker's own figures before it goes back to the live stream; --lease-table is the proof, and without \
             it {delete} wants --force.{left}"
        ),
    }
}

/// A replay is done of which nothing was sent, whatever became of others.
fn not_happened(stream: &str, state: &StateDir, unsent: &Left<'_>, anything: bool) -> String {
    let others = if anything { " What other runs have delivered has been read." } else { "" };
    let ways = unsent.ways(state);
    let again =
        unsent.anew(state).map_or_else(|| "a new replay".to_owned(), |command| format!("`{command}`"));
    let next = match &ways.anew {
        Some(anew) => format!("{anew} begins anew"),
        None if ways.retries.is_empty() => format!("{again} begins anew"),
        None if ways.doubtful.is_all_mended() => {
            format!("{} tries it again when it is mended; or {again} begins anew", ways.commands())
        }
        None => format!("{} tries it again; or {again} begins anew", ways.commands()),
    };
    format!(
        "Not yet: nothing of run {} was delivered into {stream}, all of it was set aside: {}. {} says why, {next}.{others}",
        unsent.holder.glance.id,
        unsent.what(),
        ways.list,
    )
}

fn not_yet(
    stream: &str,
    state: &StateDir,
    unfinished: &[&RunInto],
    anything: bool,
    method: &Method,
) -> String {
    let why = match method {
        Method::LeaseTable { table, of_others_only: true, .. } => format!(
            "The table {table} has leases, but none of {stream} as it is now: is it the right worker's?"
        ),
        Method::LeaseTable { table, shards, .. } => of_shards(table, stream, shards),
        Method::IteratorAge { verdict } => of_age(stream, *verdict),
    };
    match unfinished::sentence(state, unfinished) {
        None => why,
        Some(sentence) if anything => format!("{sentence} {why}"),
        Some(sentence) => format!("{sentence} Nothing was sent into {stream} yet: there is nothing to read."),
    }
}

fn of_shards(table: &str, stream: &str, shards: &[ShardVerdict]) -> String {
    let count = |state| shards.iter().filter(|shard| shard.state == state).count();
    if count(ShardState::OtherStream) > 0 {
        return format!(
            "The table {table} holds the leases of another stream, whose shards have the same names: the worker on {stream} needs \
             an application name, and so a table, of its own."
        );
    }
    if count(ShardState::SkipsIt) > 0 {
        return format!(
            "The worker begins {} at the newest record (LATEST) and skips what was replayed there: stop it, delete the \
             table {table}, and start it from TRIM_HORIZON.",
            many(count(ShardState::SkipsIt), "shard")
        );
    }
    let unproven = count(ShardState::Unproven);
    if unproven > 0 && unproven + count(ShardState::Drained) == shards.len() {
        return format!(
            "The table {table} says that {} {} read to the end, but nothing in it shows that it means {stream}'s own, \
             whose children it would have to know and be reading: is it the right worker's? It shows while the worker reads, \
             and is remembered then (ask sooner, or with --wait); afterwards once the worker has read one more record of \
             {stream}, whoever puts it there.",
            many(unproven, "shard"),
            agree(unproven, "is", "are")
        );
    }
    let (behind, waiting) = (count(ShardState::Behind), count(ShardState::NotBegun));
    let parts = [(behind, "behind"), (waiting, "not begun"), (unproven, "not certain")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0);
    let parts =
        parts.map(|(count, word)| format!("{} {} {word}", number(count as u64), agree(count, "is", "are")));
    let unowned =
        shards.iter().filter(|shard| shard.state == ShardState::Behind && shard.owner.is_none()).count();
    let inside = shards.iter().filter(|shard| shard.is_inside_the_last()).count();
    let hint = match (unowned, waiting == shards.len()) {
        (_, true) => " No shard was begun: does the worker run, and on this stream?",
        _ if inside > 0 && inside == behind => {
            " They stand inside their last aggregate: a worker has to checkpoint with the sub-sequence number of the last \
             record (the library's checkpoint() without a number does)."
        }
        (0, _) => "",
        _ => " Some of them no worker holds: does it still run?",
    };
    let parts = parts.collect::<Vec<_>>().join(", ");
    if parts.is_empty() {
        return "Everything that was sent so far has been read.".to_owned();
    }
    let shards = many(shards.len(), "shard");
    format!("Not yet: of {shards} of {stream}, {parts}.{hint} --wait asks until it is done.")
}

fn of_age(stream: &str, verdict: AgeVerdict) -> String {
    match verdict {
        AgeVerdict::NobodyReads => format!(
            "Not known: CloudWatch has seen nobody read {stream} in the last ten minutes. Does the worker run? One with enhanced \
             fan-out is not seen there at all: give --lease-table."
        ),
        AgeVerdict::Behind { age_ms } => format!(
            "Not yet: records of {stream} are read that are {} old. --wait asks until it is done.",
            duration(age_ms / 1_000.0)
        ),
        AgeVerdict::NotLongEnough { minutes: 0 } => {
            "Too early to tell: three whole minutes after the replay's end are asked for. --wait waits for them."
                .to_owned()
        }
        AgeVerdict::NotLongEnough { minutes } => {
            format!(
                "Nearly: it has looked drained for {}, and three are asked for. --wait waits for them.",
                many(minutes, "minute")
            )
        }
        AgeVerdict::Past => "Everything that was sent so far has been read.".to_owned(),
    }
}

fn word(state: ShardState) -> &'static str {
    match state {
        ShardState::Drained => "drained",
        ShardState::Behind => "behind",
        ShardState::NotBegun => "not begun",
        ShardState::SkipsIt => "SKIPS IT",
        ShardState::OtherStream => "OTHER STREAM",
        ShardState::Unproven => "not certain",
    }
}

/// To the second, with date and zone.
fn clock(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests;
