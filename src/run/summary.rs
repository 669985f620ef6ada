//! From what was counted to the report.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::directory::{RunDirectory, RunFile};
use super::journal::{QUARANTINE_FILE, quarantine_reasons};
use super::report::{
    Brake as Limits, CacheReport, Latency, ObjectCounts, QuarantineReport, RecordCounts, Report, RunState,
    ShardReport, Spread, WindowReport,
};
use super::shell::Ended;
use super::spool::Spool;
use crate::config::Target;
use crate::error::{Error, ExitCode};
use crate::write::{Brake, End, EngineStats, StopReason};

/// The report of a session that has ended.
pub fn report(
    directory: &RunDirectory,
    file: &RunFile,
    spool: &Spool,
    ended: &Ended,
    lasted: Duration,
) -> Result<Report, Error> {
    let settings = &file.settings;
    // Nowhere has no shards, and answers at once.
    let somewhere = settings.target != Target::Null;
    let (stats, totals, manifest) = (&ended.engine, ended.engine.totals, spool.manifest());
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    for shard in &stats.shards {
        tracing::debug!(shard = %shard.shard, times = ?shard.times, "what its lanes waited for");
    }
    let reasons = quarantine_reasons(directory.path())
        .map_err(|error| Error::incomplete("cannot read the quarantine's list").with_source(error))?;
    let (outcome, code, message) = verdict(ended, spool);
    let shards = || stats.shards.iter().filter(|shard| somewhere && shard.sent > 0);
    let sent = totals.entries_sent.max(1);
    let quarantined_any = totals.quarantined + totals.objects_quarantined > 0;
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people, of counts below 2^53")]
    let throttled_share = totals.entries_throttled as f64 / sent as f64;
    Ok(Report {
        state: outcome,
        exit_code: code as u8,
        message,
        seconds: lasted.as_secs_f64(),
        window: WindowReport {
            from: manifest.selection.window.from().map(|time| time.to_string()),
            until: manifest.selection.window.until().map(|time| time.to_string()),
        },
        objects: ObjectCounts {
            total: manifest.objects.len() as u64,
            decoded: totals.objects_settled,
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
            reasons,
            path: quarantined_any.then(|| directory.path().join(QUARANTINE_FILE).display().to_string()),
        },
        brake: main_brake(stats).map(|brake| limits(brake, spool)),
        shards: shards().map(shard_report).collect(),
        plan: directory.planned(stats.shards.len()),
        next_command: (outcome != RunState::Done).then(|| resume(directory.id(), spool)),
        ..Report::new(directory.id(), settings.archive.to_string(), settings.target.to_string())
    })
}

/// What goes on with the run: with the archive, if the cache alone has let it down.
fn resume(run: &str, spool: &Spool) -> String {
    let online = if spool.stats.forbidden.load(Ordering::Relaxed) > 0 { " --online" } else { "" };
    format!("respool resume {run}{online}")
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

fn verdict(ended: &Ended, spool: &Spool) -> (RunState, ExitCode, Option<String>) {
    let totals = ended.engine.totals;
    if let Some(error) = &ended.error {
        let state =
            if error.exit_code() == ExitCode::Refused { RunState::Refused } else { RunState::Incomplete };
        return (state, error.exit_code(), Some(chain(error)));
    }
    match &ended.end {
        End::Stopped(StopReason::Interrupted) => {
            (RunState::Incomplete, ExitCode::Incomplete, Some("interrupted".into()))
        }
        End::Stopped(StopReason::Refused(message)) => {
            (RunState::Refused, ExitCode::Refused, Some(format!("the service refuses: {message}")))
        }
        End::Stopped(StopReason::ServiceAway(message)) => {
            let sentence = format!("the service could not be reached for too long: {message}");
            (RunState::Incomplete, ExitCode::Incomplete, Some(sentence))
        }
        End::Stopped(StopReason::Failed(message)) => {
            (RunState::Incomplete, ExitCode::Incomplete, Some(message.clone()))
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
                    "the closing sum does not hold: {objects} of {expected} objects are accounted for; this is a defect in respool"
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

/// The engine's word for a brake in the user's terms: input is either being fetched or being decoded.
pub fn limits(brake: Brake, spool: &Spool) -> Limits {
    named(brake, None).unwrap_or_else(|| spool.brake())
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
