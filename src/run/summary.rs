//! From what was counted to the report.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::directory::{self, RunDirectory, RunFile};
use super::flood::Flood;
use super::forbidden;
use super::journal::{QUARANTINE_FILE, quarantine_lines};
use super::next::{self, Keyless, NextStep};
use super::quarantine::again;
use super::remedy::{self, Outlook, Remedies};
use super::report::{
    Brake as Limits, CacheReport, Latency, ObjectCounts, QuarantineReport, RecordCounts, Report, RunState,
    ShardReport, Spread, WindowReport, number,
};
use super::shell::Ended;
use super::spool::Spool;
use crate::config::{CacheMode, Target, Typed};
use crate::error::{Error, ExitCode};
use crate::record::{agree, many};
use crate::write::checkpoint::Totals;
use crate::write::{Brake, End, EngineStats, StopReason};

/// The report of a session that has ended.
pub fn report(
    directory: &RunDirectory,
    file: &RunFile,
    spool: &Spool,
    ended: &Ended,
    lasted: Duration,
    typed: Option<&Typed>,
) -> Result<Report, Error> {
    let settings = &file.settings;
    // Nowhere has no shards, and answers at once.
    let somewhere = settings.target != Target::Null;
    let (stats, totals, manifest) = (&ended.engine, ended.engine.totals, spool.manifest());
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for shard in &stats.shards {
        tracing::debug!(shard = %shard.shard, times = ?shard.times, "what its lanes waited for");
    }
    let aside = SetAside::read(directory, file, totals)?;
    let (outcome, mut code, message) = verdict(file, ended, spool, aside.keyless.as_ref());
    let offline_lacks = load(&spool.stats.forbidden) > 0;
    let mut next_steps = next_steps(directory, file, ended, code, &aside, offline_lacks, typed);
    let left = match directory::retried(settings).filter(|_| outcome == RunState::Done) {
        // What is done is done, whether or not another run's list can be read.
        Some(retried) => again::left_behind(directory.state_dir(), retried).unwrap_or_else(|error| {
            tracing::warn!("what is left in the quarantine of run {retried} is not known: {error}");
            None
        }),
        None => None,
    };
    let left = left.map(|(left, steps)| {
        next_steps.extend(steps);
        if code == ExitCode::Done {
            code = ExitCode::Quarantine;
        }
        left
    });
    let shards = || stats.shards.iter().filter(|shard| somewhere && shard.sent > 0);
    let sent = totals.entries_sent.max(1);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people, of counts below 2^53")]
    let throttled_share = totals.entries_throttled as f64 / sent as f64;
    Ok(Report {
        state: outcome,
        exit_code: code as u8,
        message,
        retries: directory::retried(settings).map(str::to_owned),
        left,
        seconds: lasted.as_secs_f64(),
        window: WindowReport {
            from: manifest.selection.window.from().map(|time| time.to_string()),
            until: manifest.selection.window.until().map(|time| time.to_string()),
        },
        objects: ObjectCounts {
            total: manifest.objects.len() as u64,
            settled: totals.objects_settled,
            quarantined: totals.objects_quarantined,
            skipped: manifest.skipped,
        },
        objects_outside_window: manifest.before_window() as u64,
        objects_beyond_limit: ended.shell.objects_beyond_limit,
        records: RecordCounts {
            delivered: totals.delivered,
            quarantined: totals.quarantined,
            filtered: totals.filtered,
        },
        bytes_delivered: totals.delivered_bytes,
        possible_duplicates: totals.possible_duplicates.total(),
        possible_duplicates_by_cause: totals.possible_duplicates,
        order_violations: totals.order_violations,
        inversions: totals.inversions,
        possible_inversions: totals.possible_inversions,
        reshards: stats.reshards,
        records_elsewhere: totals.elsewhere,
        entries_acked: totals.entries_acked,
        put_units: totals.put_units,
        throttled_share,
        s3_object_requests: spool.object_requests(),
        utilisation: Spread::of(shards().filter_map(crate::write::ShardStats::utilisation)),
        put_latency_ms: if somewhere { Latency::of(&ended.shell.put_latency) } else { Latency::default() },
        cache: CacheReport {
            hits: load(&spool.stats.hits),
            fetched: load(&spool.stats.fetched),
            bytes: spool.estimate.decoded_so_far(),
        },
        quarantine: QuarantineReport {
            reasons: aside.reasons,
            remedies: aside.remedies,
            path: (aside.count > 0).then(|| directory.path().join(QUARANTINE_FILE).display().to_string()),
        },
        brake: main_brake(stats).map(|brake| limits(brake, spool)).filter(|_| totals.entries_sent > 0),
        shards: shards().map(shard_report).collect(),
        page: Some(directory.page().display().to_string()),
        next_command: next_steps.first().map(|step| step.command.clone()),
        next_steps,
        ..Report::new(directory.id(), settings.archive.to_string(), settings.target.to_string())
    })
}

fn next_steps(
    directory: &RunDirectory,
    file: &RunFile,
    ended: &Ended,
    code: ExitCode,
    aside: &SetAside,
    forbidden: bool,
    typed: Option<&Typed>,
) -> Vec<NextStep> {
    let (settings, totals) = (&file.settings, ended.engine.totals);
    let is_done = matches!(code, ExitCode::Done | ExitCode::Differs | ExitCode::Quarantine);
    next::steps(&next::Outcome {
        id: directory.id(),
        flags: &directory.flags(&file.tuning),
        online: forbidden || is_done && file.tuning.cache.mode == CacheMode::Offline,
        code,
        done: is_done,
        delivered: totals.delivered,
        routed: totals.delivered + totals.quarantined,
        set_aside: aside.count,
        salvageable: aside.salvageable,
        misframed: aside.misframed,
        mended: aside.mended,
        readable: matches!(settings.target, Target::Kinesis { .. }),
        flood: ended.flood.filter(|_| code == ExitCode::Incomplete),
        keyless: aside.keyless.as_ref(),
        typed,
    })
}

/// What lies in a run's quarantine.
struct SetAside {
    count: u64,
    reasons: BTreeMap<String, u64>,
    remedies: BTreeMap<String, String>,
    salvageable: u64,
    misframed: u64,
    mended: u64,
    keyless: Option<Keyless>,
}

impl SetAside {
    fn read(directory: &RunDirectory, file: &RunFile, totals: Totals) -> Result<Self, Error> {
        let path = directory.path();
        let unreadable = |error| Error::incomplete("cannot read the quarantine's list").with_source(error);
        let count = totals.quarantined + totals.objects_quarantined;
        let decoding = file.settings.input.decoding;
        let (mut reasons, mut remedies) = (BTreeMap::new(), Remedies::default());
        let (mut salvageable, mut misframed, mut mended) = (0, 0, 0);
        let lines = quarantine_lines(path).map_err(unreadable)?;
        let lines = lines.inspect(|line| {
            *reasons.entry(line.reason.clone()).or_default() += 1;
            salvageable += u64::from(remedy::wants_salvage(line, decoding));
            misframed += u64::from(remedy::is_misframed(line, decoding));
            mended += u64::from(remedy::outlook(line, decoding) == Outlook::Mended);
            remedies.add(line, decoding);
        });
        let keyless = Keyless::among(lines, &file.settings, path).filter(|_| count > 0);
        let remedies = remedies.told();
        Ok(Self { count, reasons, remedies, salvageable, misframed, mended, keyless })
    }
}

fn shard_report(shard: &crate::write::ShardStats) -> ShardReport {
    ShardReport {
        shard: shard.shard.to_string(),
        records: shard.records,
        bytes: shard.bytes,
        utilisation: shard.utilisation(),
        held_by_order: shard.held_by_order(),
        throttled: shard.throttled,
    }
}

/// What the lanes waited for most of the time in which there was something to send.
fn main_brake(stats: &EngineStats) -> Option<Brake> {
    let waited = |brake: &Brake| stats.times.waited_for(*brake);
    Brake::ALL.into_iter().filter(|brake| !waited(brake).is_zero()).max_by_key(waited)
}

fn verdict(
    file: &RunFile,
    ended: &Ended,
    spool: &Spool,
    keyless: Option<&Keyless>,
) -> (RunState, ExitCode, Option<String>) {
    let totals = ended.engine.totals;
    if let Some(error) = &ended.error {
        let state =
            if error.exit_code() == ExitCode::Refused { RunState::Refused } else { RunState::Incomplete };
        return (state, error.exit_code(), Some(chain(error)));
    }
    match &ended.end {
        End::Stopped(StopReason::Interrupted) => {
            (RunState::Incomplete, ExitCode::Incomplete, Some("it was stopped by Ctrl-C or a signal".into()))
        }
        End::Stopped(StopReason::Forbidden(message)) => {
            let (arn, region) = (file.stream.arn.as_deref(), file.tuning.kinesis.region.as_deref());
            let sentence = match &file.settings.target {
                Target::Kinesis { stream } => forbidden::while_sending(arn, stream, region, message),
                _ => format!("the service refuses: {message}"),
            };
            (RunState::Refused, ExitCode::Refused, Some(sentence))
        }
        End::Stopped(StopReason::Refused(message)) => {
            (RunState::Refused, ExitCode::Refused, Some(format!("the service refuses: {message}")))
        }
        End::Stopped(StopReason::ServiceAway(message)) => {
            let sentence = format!("the service could not be reached for too long: {message}");
            (RunState::Incomplete, ExitCode::Incomplete, Some(sentence))
        }
        End::Stopped(StopReason::Failed(message)) => {
            let sentence = ended.flood.map_or_else(|| message.clone(), |flood| too_much(flood, keyless));
            (RunState::Incomplete, ExitCode::Incomplete, Some(sentence))
        }
        End::Stopped(StopReason::Contradiction(message)) => {
            (RunState::Incomplete, ExitCode::Internal, Some(message.clone()))
        }
        End::Done => {
            let objects =
                totals.objects_settled + totals.objects_quarantined + ended.shell.objects_beyond_limit;
            let expected = spool.manifest().objects.len() as u64;
            if objects != expected {
                let sentence = format!(
                    "the closing sum does not hold: {} of {} {} accounted for; this is a defect in respool",
                    number(objects),
                    many(expected, "object"),
                    agree(objects, "is", "are")
                );
                return (RunState::Incomplete, ExitCode::Internal, Some(sentence));
            }
            let code = if totals.order_violations > 0 {
                ExitCode::Differs
            } else if totals.quarantined + totals.objects_quarantined > 0 {
                ExitCode::Quarantine
            } else {
                ExitCode::Done
            };
            (RunState::Done, code, None)
        }
    }
}

/// Why a run was stopped that set aside too much: the key, if that is it.
fn too_much(flood: Flood, keyless: Option<&Keyless>) -> String {
    let (Flood::Most { set_aside, of } | Flood::Bound { set_aside, max: of }) = flood;
    match (flood, keyless.filter(|keyless| keyless.are_most_of(set_aside))) {
        (Flood::Most { .. }, Some(keyless)) => {
            format!("{}; stopped before the rest goes to quarantine too", keyless.sentence(of))
        }
        (Flood::Bound { .. }, Some(keyless)) => format!("{flood}: {}", keyless.of_them()),
        (_, None) => flood.to_string(),
    }
}

/// The engine's word for a brake in the user's terms: input is either being fetched or being decoded.
pub fn limits(brake: Brake, spool: &Spool) -> Limits {
    let input = spool.brake();
    named(brake, Some(input)).unwrap_or(input)
}

/// The same where it is known what holds up the input, if anything does.
pub(super) fn named(brake: Brake, input: Option<Limits>) -> Option<Limits> {
    Some(match brake {
        Brake::Input => return input,
        Brake::Shard => Limits::Shards,
        Brake::RunRate => Limits::MaxRate,
        Brake::Order => Limits::Order,
        Brake::RoundTrip => Limits::RoundTrip,
        Brake::Failure => Limits::Service,
        // Progress is made durable so often because room waits for it.
        Brake::Checkpoint if input == Some(Limits::Room) => Limits::Room,
        Brake::Checkpoint => Limits::Disk,
    })
}

/// An error and its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some causes only repeat what their parent has said.
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}
