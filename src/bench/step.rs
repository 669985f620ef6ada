//! One step: a session as any other, with a run's directory, checkpoints and all, stopped when its time is over.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::lasting::Lasting;
use super::latency::PutLatency;
use super::meter::{Meter, Metered, Sustained};
use super::source::{Scratch, Source};
use super::table::Step;
use super::usage;
use crate::config::{BenchConfig, BurstModel, OutputConfig, RateCap, RunSettings, StateDir, Target};
use crate::error::Error;
use crate::plan::model::Writing;
use crate::record::HashKeyRange;
use crate::route::key::KeyExtractor;
use crate::route::shard_map::ShardMap;
use crate::run::cpu::is_full;
use crate::run::directory::RunDirectory;
use crate::run::now;
use crate::run::open::{self, OpenStream};
use crate::run::replay::Sources;
use crate::run::session::Session;
use crate::run::spool::blocking;
use crate::run::unchanged;
use crate::run::work::Work;
use crate::write::checkpoint::Checkpoint;
use crate::write::rate::Load;
use crate::write::{Brake, End, StopReason};

/// A step before it is done.
pub(super) struct Plan<'a> {
    /// What all steps have in common.
    pub(super) config: &'a BenchConfig,
    /// Where the records come from.
    pub(super) source: &'a Source,
    /// The stream's open shards.
    pub(super) shards: u32,
    /// How they measure their second, as far as we know.
    pub(super) burst: Option<BurstModel>,
    /// The size of made-up events.
    pub(super) size: Option<u32>,
}

impl Plan<'_> {
    /// Does it; `None` if the user stopped it. `metered` is what `target` writes to, if it is one of ours.
    pub(super) async fn run(
        &self,
        scratch: &Scratch,
        target: OpenStream,
        metered: Option<Arc<Metered>>,
        interrupted: &mut mpsc::Receiver<StopReason>,
    ) -> Result<Option<Step>, Error> {
        let Self { config, source, .. } = self;
        let to = match &config.subject {
            crate::config::BenchSubject::Stream { target, .. } => target.clone(),
            _ => Target::Sim { shards: self.shards },
        };
        let bounded = to != Target::Null;
        let settings = RunSettings { target: to, ..source.settings.clone() };
        let manifest = Arc::new(source.manifest(bounded.then_some(self.shards), config.duration));
        let directory = RunDirectory::create(&StateDir::usual(scratch.path("state")), now())?;
        let (tuning, map) = (source.tuning.clone(), target.map.clone());
        let file = unchanged::begin(now(), settings, tuning, &target, &manifest);
        directory.define(&file, &manifest)?;
        let key = file.settings.key_config().ok_or_else(|| Error::internal("a benchmark without keys"))?;
        let (spool, segments) = Sources::open(&file.settings, &file.tuning).await?.spool(
            &file.settings,
            &file.tuning,
            manifest,
        )?;
        let output = OutputConfig { quiet: true, ..config.output };
        let session = Session {
            directory: &directory,
            file: &file,
            checkpoint: Checkpoint::start([HashKeyRange::ALL]),
            target,
            spool,
            segments,
            extractor: KeyExtractor::new(key),
            output: &output,
            typed: None,
            resumed: false,
        };
        let mut meter = Meter::new(config.duration, metered);
        let Some((latency, error)) = write_for(session, config.duration, &mut meter, interrupted).await?
        else {
            return Ok(None);
        };
        if let Some(error) = error {
            return Err(error);
        }
        let sustained = meter.sustained().ok_or_else(|| {
            Error::incomplete("the step was over before anything could be measured: give a longer --duration")
        })?;
        let step = self.step(&sustained, &latency, bounded);
        Ok(Some(if bounded {
            self.in_the_long_run(step, &file.settings, map, &latency).await?
        } else {
            step
        }))
    }

    /// `step` with what lasts, if that is less than what was measured.
    async fn in_the_long_run(
        &self,
        step: Step,
        settings: &RunSettings,
        map: ShardMap,
        latency: &Histogram<u64>,
    ) -> Result<Step, Error> {
        let Some(keys) = self.source.keys.clone() else { return Ok(step) };
        let (shard_rate, run_rate) = open::rates(Some(&settings.target), &self.source.tuning);
        let (order, round_trip, spread) = (settings.order, latency.mean() / 1e6, settings.spreads());
        let writing = Writing { shard_rate, run_rate, order, round_trip, spread };
        let writing = if settings.aggregate { writing.aggregated() } else { writing };
        let measured = step.records_per_second;
        Ok(match blocking(move || keys.lasting(&writing, &map, measured)).await? {
            Some(Lasting { records_per_second, limited_by }) => {
                Step { lasting_records_per_second: Some(records_per_second), limited_by, ..step }
            }
            None => step,
        })
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts and ratios for people"
    )]
    fn step(&self, found: &Sustained, latency: &Histogram<u64>, bounded: bool) -> Step {
        let seconds = found.seconds;
        let (cpu, stream_cpu) = (found.cpu.as_secs_f64() / seconds, found.stream_cpu.as_secs_f64() / seconds);
        let gigabytes = found.bytes as f64 / 1e9;
        let shards = f64::from(self.shards.max(1));
        let of_shards =
            found.limit.filter(|_| bounded).map(|(records, bytes)| (shards * records, shards * bytes));
        let limit = records_max(of_shards, self.config.tuning.max_rate, found.counted_for_each());
        // A shard that took nothing is in no list, and counts all the same.
        let missing = found.used.len() < self.shards as usize;
        let lowest = found.used.iter().copied().fold(if missing { 0.0 } else { f64::INFINITY }, f64::min);
        let all = found.cpu + found.stream_cpu;
        let full = is_full(all, Duration::from_secs_f64(seconds), usage::cores());
        let limited_by = if full { "cpu" } else { word(found.brake.unwrap_or(Brake::Input), found, bounded) };
        Step {
            shards: self.shards,
            record_size: self.size.unwrap_or(self.source.mean_bytes.round() as u32),
            burst_model: self.burst.map(BurstModel::word),
            seconds,
            records_per_second: found.records as f64 / seconds,
            lasting_records_per_second: None,
            mb_per_second: found.bytes as f64 / seconds / 1e6,
            limit_records_per_second: limit,
            utilisation: bounded.then(|| found.used.iter().sum::<f64>() / shards),
            utilisation_min: (bounded && lowest.is_finite()).then_some(lowest),
            throttled_share: found.throttled as f64 / found.sent.max(1) as f64,
            put_latency_ms: PutLatency::of(latency),
            cpu_share: cpu,
            stream_cpu_share: stream_cpu,
            cpu_seconds_per_gb: (gigabytes > 0.0).then(|| found.cpu.as_secs_f64() / gigabytes),
            rss_anon_mb: found.memory_max.map(|bytes| bytes as f64 / 1e6),
            limited_by,
            read_ahead_filled: found.filled,
        }
    }
}

/// Records a second that all shards take, given as entries and bytes of which each record counts for `each`, within the
/// bound of the whole run; `None` if nothing is a bound.
#[expect(clippy::cast_precision_loss, reason = "a rate of more than 2^53 is no bound")]
fn records_max(of_shards: Option<(f64, f64)>, max_rate: RateCap, each: Load) -> Option<f64> {
    let cap = |cap: Option<u64>| cap.map(|cap| cap as f64);
    let (entries, bytes) = of_shards.unzip();
    let records = [entries.map(|entries| entries / each.records), cap(max_rate.records_per_second)];
    let bytes = [bytes, cap(max_rate.bytes_per_second)].map(|bytes| Some(bytes? / each.bytes));
    records.into_iter().chain(bytes).flatten().reduce(f64::min)
}

/// Lets `session` write for `duration`. `None` if the user stopped it before.
async fn write_for(
    session: Session<'_>,
    duration: Duration,
    meter: &mut Meter,
    interrupted: &mut mpsc::Receiver<StopReason>,
) -> Result<Option<(Histogram<u64>, Option<Error>)>, Error> {
    let (tell, mut stop) = mpsc::channel(1);
    let writing = session.write(&mut stop, Work::pool("route")?, |stats, elapsed| meter.look(stats, elapsed));
    tokio::pin!(writing);
    let over = sleep(duration);
    tokio::pin!(over);
    let (mut told, mut early) = (false, false);
    let ended = loop {
        tokio::select! {
            ended = &mut writing => break ended?,
            () = &mut over, if !told => told = true,
            Some(_) = interrupted.recv(), if !early => (told, early) = (true, true),
        }
        // There is room for one word, and one is enough.
        let _ = tell.try_send(StopReason::Interrupted);
    };
    if early {
        return Ok(None);
    }
    let refused = match ended.end {
        End::Stopped(StopReason::Refused(message) | StopReason::Forbidden(message)) => {
            Some(Error::refused(format!("the service refuses: {message}")))
        }
        End::Stopped(StopReason::ServiceAway(message)) => {
            Some(Error::incomplete(format!("the service could not be reached for too long: {message}")))
        }
        End::Stopped(StopReason::Failed(message)) => Some(Error::incomplete(message)),
        End::Stopped(StopReason::Contradiction(message)) => Some(Error::internal(message)),
        End::Stopped(StopReason::Interrupted) | End::Done => None,
    };
    Ok(Some((ended.shell.put_latency, ended.error.or(refused))))
}

/// What the engine waited for, in the report's words. Nowhere has no limits and answers at once, and what lies in memory is
/// only to be routed.
fn word(brake: Brake, found: &Sustained, bounded: bool) -> &'static str {
    match brake {
        Brake::Input if found.from_memory => "cpu",
        Brake::Input => "input",
        Brake::Shard | Brake::Order | Brake::RoundTrip if !bounded => "cpu",
        Brake::Shard => "shards",
        Brake::RunRate => "max_rate",
        Brake::Order => "order",
        Brake::RoundTrip => "round_trip",
        Brake::Failure => "service",
        Brake::Checkpoint => "disk",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_lowest_of_all_bounds() {
        let cap = |text: &str| text.parse::<RateCap>().unwrap();
        let shards = Some((3_920.0, 3_920_000.0));
        let each = |records, bytes| Load { records, bytes };
        for (of_shards, max_rate, each, limit) in [
            (shards, RateCap::default(), each(1.0, 500.0), Some(3_920.0)),
            (shards, RateCap::default(), each(1.0, 2_000.0), Some(1_960.0)),
            (shards, cap("700rec/s"), each(1.0, 500.0), Some(700.0)),
            (shards, cap("9000rec/s"), each(1.0, 500.0), Some(3_920.0)),
            (shards, cap("1MB/s"), each(1.0, 500.0), Some(2_000.0)),
            (shards, cap("1MB/s,700rec/s"), each(1.0, 500.0), Some(700.0)),
            // Aggregates: a hundred records to an entry, and their framing in the bytes.
            (shards, RateCap::default(), each(0.01, 245.0), Some(16_000.0)),
            (shards, cap("7000rec/s"), each(0.01, 245.0), Some(7_000.0)),
            (None, cap("1MB/s"), each(1.0, 500.0), Some(2_000.0)),
            (None, RateCap::default(), each(1.0, 500.0), None),
        ] {
            assert_eq!(records_max(of_shards, max_rate, each), limit, "{of_shards:?} {max_rate}");
        }
    }
}
