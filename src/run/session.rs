//! One process' work on a run, from the checkpoint it finds to the report it leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::cpu;
use super::directory::{RunDirectory, RunFile};
use super::encode::Encoder;
use super::feed::{Fed, Feed};
use super::in_flight::InFlight;
use super::journal::{segment_lines, segments_sent_from};
use super::late;
use super::open::{self, OpenStream};
use super::progress::{Progress, ProgressSnapshot};
use super::report::{Brake as Limits, Circumstances, LateReport, Report};
use super::segments::Segments;
use super::shares::Shares;
use super::shell::{Ended, Shell};
use super::signals;
use super::spool::Spool;
use super::summary::{self, limits};
use super::timeline::{Recorder, Timeline};
use super::unchanged;
use super::work::Work;
use crate::config::{OutputConfig, Typed};
use crate::error::Error;
use crate::route::RouteRules;
use crate::route::key::KeyExtractor;
use crate::write::checkpoint::Checkpoint;
use crate::write::{Brake, End, Engine, EngineStats, LaneTimes, StopReason};

/// Chunks that wait for the engine: routed, not yet taken.
const INPUT_QUEUE: usize = 4;

/// A service of which no call has succeeded for so long is told to be away: before, it may just be throttling.
const AWAY_SHOWN: Duration = Duration::from_secs(3);

/// What a session works with.
pub struct Session<'a> {
    /// The run's directory, owned.
    pub directory: &'a RunDirectory,
    /// What defines the run.
    pub file: &'a RunFile,
    /// Where it stood.
    pub checkpoint: Checkpoint,
    /// Where it writes to.
    pub target: OpenStream,
    /// Brings objects into the cache.
    pub spool: Arc<Spool>,
    /// Where they lie.
    pub segments: Arc<Segments>,
    /// Finds keys.
    pub extractor: KeyExtractor,
    /// How the user is spoken to.
    pub output: &'a OutputConfig,
    /// The command that began the run, by flags that can be said otherwise, if it is known.
    pub typed: Option<&'a Typed>,
    /// Whether another process has begun it.
    pub resumed: bool,
}

impl Session<'_> {
    /// Works until everything is settled or a signal stops it, and leaves a report.
    pub async fn run(self) -> Result<Report, Error> {
        let stop = signals::stop_signals(signals::OF_A_RUN, self.output.quiet)?;
        self.run_until(stop, Work::pool("route")?).await
    }

    /// Works until everything is settled or `stop` tells why not; chunks are routed and requests encoded
    /// by `work`.
    pub async fn run_until(self, mut stop: mpsc::Receiver<StopReason>, work: Work) -> Result<Report, Error> {
        let (started, cpu_before) = (tokio::time::Instant::now(), cpu::process_cpu());
        let (directory, file, spool) = (self.directory, self.file, self.spool.clone());
        let mut display = Progress::new(self.output);
        let mut brakes = BrakeMeter::default();
        let mut recorder = Recorder::new(directory.timeline(), super::now(), &self.checkpoint.totals);
        let show = |stats: &EngineStats, elapsed: Duration| {
            recorder.add(stats, elapsed, spool.brake_of_input());
            display.update(&snapshot(stats, &spool, &mut brakes, elapsed, file.settings.limit));
        };
        let (typed, resumed) = (self.typed, self.resumed);
        let stream = self.target.stream.clone();
        let shards = u32::try_from(self.target.map.shards().len()).unwrap_or(u32::MAX);
        let ended = self.write(&mut stop, work, show).await;
        display.finish();
        let mut ended = ended?;
        if let Some(error) = unchanged::made_anew(directory.id(), file, &*stream).await {
            ended.error = Some(error);
        }
        let time = started.elapsed();
        let mut report = summary::report(directory, file, &spool, &ended, time, typed)?;
        report.resumed = resumed;
        (report.stream_shards, report.plan) = (shards, directory.planned(shards));
        recorder.add(&ended.engine, time, spool.brake_of_input());
        // What has sent nothing was held up by nothing.
        report.brake =
            report.brake.map(|last| recorder.main_brake().unwrap_or(last).of(&file.settings.target));
        let cpu = cpu::process_cpu().saturating_sub(cpu_before);
        let is_full = cpu::is_full(cpu, time, cpu::cores());
        report.brake = report.brake.map(|brake| match brake {
            // Requests that wait for a core are under way too, and so does the journal.
            Limits::RoundTrip | Limits::Disk if is_full => Limits::Cpu,
            // All of it lay in the cache, decoded.
            Limits::Decode if !resumed && spool.stats.fetched.load(Ordering::Relaxed) == 0 => Limits::Cpu,
            other => other,
        });
        let timeline = recorder.finish(report.state, &ended.shell.put_latency).rounded();
        let listed = file.settings.input.objects.is_none();
        if let (End::Done, Some(archive), true) = (&ended.end, spool.archive(), listed) {
            let (manifest, path) = (spool.manifest(), directory.path());
            let skip_archived = file.settings.input.skip_archived;
            // What is done is done, whatever becomes of this.
            leave(directory, file, &report, &timeline)?;
            report.late_objects = Some(tokio::select! {
                late = late::look_again(archive, manifest, skip_archived, file.started, path) => late,
                Some(_) = stop.recv() => LateReport { error: Some("it was interrupted".into()), ..LateReport::default() },
            });
            let late = report.late_objects.as_ref().zip(typed);
            report.next_steps.extend(late.and_then(|(late, typed)| late::next_step(late, typed)));
            report.next_command = report.next_steps.first().map(|step| step.command.clone());
            if let Err(error) = leave(directory, file, &report, &timeline) {
                tracing::warn!("the report on disk lacks what came late: {error}");
            }
            return Ok(report);
        }
        leave(directory, file, &report, &timeline)?;
        Ok(report)
    }

    /// The same without a report: what was counted, for whoever wants to look closer. `show` is called a few
    /// times a second.
    pub async fn write(
        self,
        stop: &mut mpsc::Receiver<StopReason>,
        work: Work,
        show: impl FnMut(&EngineStats, Duration),
    ) -> Result<Ended, Error> {
        let extractor = Arc::new(self.extractor);
        let in_flight = InFlight::of_this_process(self.target.map.shards().len());
        let (settings, tuning) = (&self.file.settings, &self.file.tuning);
        let config =
            open::engine_config(settings, tuning, &self.target.description, in_flight.requests_max());
        let engine = Engine::new(config, &self.target.map, &self.checkpoint, Duration::ZERO);
        let unreadable =
            |error| Error::refused("cannot read which segments the run has sent from").with_source(error);
        let path = self.directory.path();
        let sent_from = segments_sent_from(path, &self.checkpoint).map_err(unreadable)?;
        let shares = |limit| Ok(Shares::new(limit, segment_lines(path).map_err(unreadable)?));
        let record_bytes_max = self.file.record_bytes_max.unwrap_or(self.target.description.record_bytes_max);
        let feed = Feed {
            spool: self.spool.clone(),
            segments: self.segments.clone(),
            rules: Arc::new(RouteRules {
                extractor: KeyExtractor::clone(&extractor),
                record_bytes_max,
                event_time: self.file.settings.input.event_time.clone(),
                spread: self.file.spread(),
            }),
            sent_from,
            shares: self.file.settings.limit.map(shares).transpose()?,
            accept_refusals: self.file.tuning.accept_refusals,
            work: work.clone(),
        };
        let (sink, input): (mpsc::Sender<Fed>, _) = mpsc::channel(INPUT_QUEUE);
        let resumed = self.checkpoint.sequence > 0;
        let feed = tokio::spawn(feed.run(engine.restart_object(), self.checkpoint, sink));
        let places_explicitly = self.file.settings.spreads() && !self.target.description.ignores_keys;
        let encoder = Encoder { segments: self.segments.clone(), extractor, places_explicitly };
        let shell = Shell {
            stream: self.target.stream,
            segments: self.segments.clone(),
            spool: self.spool.clone(),
            encoder,
            work,
            in_flight,
            directory: self.directory.path().to_owned(),
            max_quarantine: self.file.tuning.max_quarantine,
            resumed,
        };
        shell.run(engine, input, feed, stop, show).await
    }
}

/// Writes the report, and the page beside it.
fn leave(
    directory: &RunDirectory,
    file: &RunFile,
    report: &Report,
    timeline: &Timeline,
) -> Result<(), Error> {
    directory.write_report(report)?;
    let circumstances = Circumstances {
        began: file.started,
        aggregates: file.settings.aggregate,
        share: file.tuning.share,
        max_rate: file.tuning.max_rate,
    };
    // It shows what the report says; a run does not fail for a picture.
    if let Err(error) = directory.write_page(timeline, &report.html(timeline, &circumstances)) {
        tracing::warn!("the report has no page: {error}");
    }
    Ok(())
}

fn snapshot(
    stats: &EngineStats,
    spool: &Spool,
    brakes: &mut BrakeMeter,
    elapsed: Duration,
    limit: Option<u64>,
) -> ProgressSnapshot {
    let totals = stats.totals;
    let limit = limit.unwrap_or(u64::MAX);
    let done = totals.delivered + totals.quarantined + totals.filtered;
    ProgressSnapshot {
        elapsed,
        // What lies behind the limit is left out at one stroke.
        records_done: done.min(limit),
        records_total: spool.estimate.records().map(|records| records.min(limit)),
        is_exact: spool.estimate.is_exact(),
        bytes_done: totals.delivered_bytes,
        objects_done: totals.objects_settled + totals.objects_quarantined,
        objects_total: spool.manifest().objects.len() as u64,
        away: stats.away.filter(|away| *away >= AWAY_SHOWN),
        brake: brakes
            .update(&stats.times, spool.brake_of_input().is_none())
            .map(|brake| limits(brake, spool)),
    }
}

/// What the lanes waited for most since the last look.
#[derive(Default)]
struct BrakeMeter {
    before: LaneTimes,
}

impl BrakeMeter {
    /// The brake now; once all input is in, lanes that have nothing left to send do not count.
    fn update(&mut self, times: &LaneTimes, all_in: bool) -> Option<Brake> {
        let before = std::mem::replace(&mut self.before, times.clone());
        Brake::ALL
            .into_iter()
            .map(|brake| (times.waited_for(brake).saturating_sub(before.waited_for(brake)), brake))
            .filter(|(time, brake)| !(time.is_zero() || all_in && *brake == Brake::Input))
            .max()
            .map(|(_, brake)| brake)
    }
}
