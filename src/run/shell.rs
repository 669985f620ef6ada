//! The shell around the engine: carries out its commands, tells it what happens.
//!
//! One task owns the engine. Requests are encoded on the route pool, because that is where a page may
//! have to come from disk, and sent by a task each; their outcomes come back as events. Input is taken
//! only while the engine has room. The journal's thread makes progress durable. Whoever wants the run to
//! stop says so once, and the engine brings it to an end.

use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::encode::Encoder;
use super::failures::Failures;
use super::feed::Fed;
use super::flood::Flood;
use super::in_flight::InFlight;
use super::journal::{Ends, Entry as JournalEntry, Journal, LedgerLine};
use super::open::state_of;
use super::segments::Segments;
use super::set_aside;
use super::spool::Spool;
use super::work::{AbortOnDrop, Work};
use crate::error::Error;
use crate::route::shard_map::ShardMap;
use crate::stream::{CallError, Outcome, Stream};
use crate::write::Packed;
use crate::write::checkpoint::ObjectLedger;
use crate::write::{Command, End, Engine, EngineStats, Event, RequestId, StopReason, StreamState};

/// How often the user is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// The longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_mins(10);

/// What the tasks around the engine tell it.
enum Told {
    Departed(RequestId),
    Answered { request: RequestId, latency: Duration, result: Result<Vec<Outcome>, CallError> },
    Shards { map: Option<ShardMap>, state: Option<StreamState>, troubles: Vec<(&'static str, String)> },
    CannotEncode(Error),
    FeedFailed(Error),
}

/// What was measured beside the engine.
#[derive(Debug)]
pub struct ShellStats {
    /// From a request's departure to its answer, in microseconds.
    pub put_latency: Histogram<u64>,
    /// Objects that were left out because of `--limit`.
    pub objects_beyond_limit: u64,
}

/// How a run ended.
pub struct Ended {
    /// What the engine said.
    pub end: End,
    /// What it counted.
    pub engine: EngineStats,
    /// What was measured around it.
    pub shell: ShellStats,
    /// What brought it to an end, if that was an error of ours.
    pub error: Option<Error>,
    /// That it was told to stop because it set aside too much.
    pub flood: Option<Flood>,
}

/// The parts that a run is made of.
pub struct Shell {
    /// Where records go.
    pub stream: Arc<dyn Stream>,
    /// Where they lie.
    pub segments: Arc<Segments>,
    /// Where they come from.
    pub spool: Arc<Spool>,
    /// Makes requests of them.
    pub(super) encoder: Encoder,
    /// Where requests are encoded.
    pub work: Work,
    /// Room for those that are under way.
    pub(super) in_flight: InFlight,
    /// The run's directory.
    pub directory: std::path::PathBuf,
    /// What may be set aside before the run ends, to be resumed: records and objects.
    pub max_quarantine: Option<u64>,
    /// Whether an earlier process has worked on the run.
    pub resumed: bool,
}

impl Shell {
    /// Runs `engine` to its end. `feed` writes into `input`; `stop` ends the run early; `progress` is
    /// called a few times a second.
    pub async fn run(
        self,
        mut engine: Engine,
        mut input: mpsc::Receiver<Fed>,
        feed: tokio::task::JoinHandle<Result<(), Error>>,
        stop: &mut mpsc::Receiver<StopReason>,
        mut progress: impl FnMut(&EngineStats, Duration),
    ) -> Result<Ended, Error> {
        let (tell, mut told) = mpsc::channel(4_096);
        // One checkpoint is under way at a time, and after a failure nothing follows.
        let (durable, mut made_durable) = mpsc::channel(2);
        let journal = self.journal(durable)?;
        let feed_watch = watch(feed, tell.clone());
        let (start, mut commands) = (Instant::now(), Vec::new());
        let mut session = State::new(journal, tell, start)?;
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while session.end.is_none() {
            if session.input_waits != self.spool.waits_for_room() {
                session.input_waits = !session.input_waits;
                engine.handle(start.elapsed(), Event::InputWaits(session.input_waits), &mut commands);
                self.carry_out_all(&mut commands, &mut session);
            }
            let wake = engine.next_wake().map(|wake| start + wake);
            let has_room = engine.room() > 0 && session.input_open && session.journal.has_room();
            let event = tokio::select! {
                biased;
                durable = made_durable.recv(), if session.journal_answers => Some(session.durable(durable)),
                Some(told) = told.recv() => Some(session.told(told)),
                Some(reason) = stop.recv() => Some(Event::Stop(reason)),
                () = sleep_until(wake.unwrap_or(start)), if wake.is_some() => Some(Event::Tick),
                () = self.spool.room_is_wanted() => None,
                _ = ticks.tick() => {
                    let now = start.elapsed();
                    progress(&engine.stats(now), now);
                    session.failures.due(now).into_iter().for_each(warn);
                    None
                }
                next = input.recv(), if has_room => Self::fed(next, &mut session),
            };
            let Some(event) = event else { continue };
            engine.handle(start.elapsed(), event, &mut commands);
            self.in_flight.allow(engine.requests_allowed());
            if session.flooded.is_none()
                && let Some(flood) =
                    Flood::of(engine.totals(), engine.unsettled() as u64, self.max_quarantine, self.resumed)
            {
                session.flooded = Some(flood);
                let reason = StopReason::Failed(flood.to_string());
                engine.handle(start.elapsed(), Event::Stop(reason), &mut commands);
            }
            self.carry_out_all(&mut commands, &mut session);
            if let Some(sentence) = session.contradiction.take() {
                engine.handle(start.elapsed(), Event::CheckpointFailed(sentence), &mut commands);
                self.carry_out_all(&mut commands, &mut session);
            }
        }
        drop(input);
        feed_watch.abort();
        let journal = session.journal;
        super::spool::blocking(move || journal.close()).await?;
        let now = start.elapsed();
        session.failures.rest(now).into_iter().for_each(warn);
        let end = session.end.unwrap_or(End::Stopped(StopReason::Interrupted));
        Ok(Ended {
            end,
            engine: engine.stats(now),
            shell: session.stats,
            error: session.error,
            flood: session.flooded,
        })
    }

    fn journal(&self, tell: mpsc::Sender<std::io::Result<u64>>) -> Result<Journal, Error> {
        let (segments, spool, of_settled) = (self.segments.clone(), self.spool.clone(), self.spool.clone());
        let ends = Ends {
            look_up: Box::new(move |aside, with_bytes| {
                set_aside::quarantined(&segments, spool.manifest(), aside, with_bytes)
            }),
            settled: Box::new(move |object| of_settled.settled(object)),
            durable: Box::new(move |sequence| {
                // The shell listens as long as a checkpoint is under way.
                let _ = tell.try_send(sequence);
            }),
        };
        let journal = match self.work {
            Work::Pool(_) => Journal::start(&self.directory, ends),
            Work::Inline => Journal::inline(&self.directory, ends),
        };
        journal.map_err(|error| {
            Error::incomplete(format!("cannot write into {}", self.directory.display())).with_source(error)
        })
    }

    fn fed(fed: Option<Fed>, state: &mut State) -> Option<Event> {
        match fed {
            Some(Fed::Segment(line)) => {
                state.journal.write(JournalEntry::Segment(line));
                None
            }
            Some(Fed::Chunk(chunk)) => Some(Event::Input(chunk)),
            Some(Fed::SettledBefore(object)) => Some(Event::ObjectSettledBefore(object)),
            Some(Fed::Quarantined(line)) => {
                let object = line.object;
                state.journal.write(JournalEntry::Quarantine(line));
                Some(Event::ObjectQuarantined(object))
            }
            Some(Fed::End { beyond_limit }) => {
                state.input_open = false;
                state.stats.objects_beyond_limit = beyond_limit;
                Some(Event::InputEnded)
            }
            None => {
                // The feed has failed; its error comes another way.
                state.input_open = false;
                None
            }
        }
    }

    fn carry_out_all(&self, commands: &mut Vec<Command>, state: &mut State) {
        for command in commands.drain(..) {
            self.carry_out(command, state);
        }
    }

    fn carry_out(&self, command: Command, state: &mut State) {
        match command {
            Command::Put { request, records } => self.put(request, records, state.tell.clone()),
            Command::ListShards => self.list_shards(state.tell.clone()),
            Command::SetAside(set_aside) => state.journal.write(JournalEntry::SetAside(set_aside)),
            Command::ObjectSettled(object, ledger) => {
                match self.segments.expected(object) {
                    Some(sum) if sum == ledger.settled() => {}
                    expected => state.contradict(object, ledger, expected),
                }
                state.journal.write(JournalEntry::Ledger(LedgerLine { object, ledger }));
            }
            Command::ObjectSetAside(object, ledger) => {
                state.journal.write(JournalEntry::Ledger(LedgerLine { object, ledger }));
            }
            // It would say that the object is settled.
            Command::Checkpoint(_) if state.contradiction.is_some() => {}
            Command::Checkpoint(checkpoint) => state.journal.write(JournalEntry::Checkpoint(checkpoint)),
            Command::Ended(end) => state.end = Some(end),
        }
    }

    fn put(&self, request: RequestId, records: Arc<Packed>, tell: mpsc::Sender<Told>) {
        let (encoder, work, in_flight) = (self.encoder.clone(), self.work.clone(), self.in_flight.clone());
        let (stream, told) = (self.stream.clone(), tell.clone());
        let drafts = stream.clone();
        let put = tokio::spawn(async move {
            let bytes = records.records().iter().map(|record| u64::from(record.cost)).sum();
            let Ok(_room) = in_flight.enter(bytes).await else {
                let closed = Error::internal("the room for requests was closed");
                return told.send(Told::CannotEncode(closed)).await;
            };
            let batch = match work.run(move || encoder.encode(&*drafts, &records)).await {
                Ok(Ok(batch)) => batch,
                Ok(Err(error)) => return told.send(Told::CannotEncode(error)).await,
                Err(_) => return told.send(Told::CannotEncode(Error::internal("the encoder failed"))).await,
            };
            told.send(Told::Departed(request)).await?;
            let start = Instant::now();
            let result = stream.put(batch).await;
            let latency = start.elapsed();
            told.send(Told::Answered { request, latency, result }).await
        });
        tell_if_it_fails(put, tell, || Told::CannotEncode(Error::internal("a task that sends has failed")));
    }

    fn list_shards(&self, tell: mpsc::Sender<Told>) {
        let (stream, told) = (self.stream.clone(), tell.clone());
        let list = tokio::spawn(async move {
            let mut troubles = Vec::new();
            let mut note = |what, error: String| troubles.push((what, error));
            let described = stream.describe().await;
            let described =
                described.map_err(|error| note("the stream cannot be described", error.to_string()));
            let state = described.ok().map(|stream| state_of(&stream));
            let listed = stream.list_open_shards().await.map_err(|error| error.to_string());
            let map = listed.and_then(|shards| ShardMap::new(shards).map_err(|error| error.to_string()));
            // In the middle of a reshard the list may not add up; the engine asks again.
            let map = map.map_err(|error| note("the shards cannot be listed", error)).ok();
            let _ = told.send(Told::Shards { map, state, troubles }).await;
        });
        tell_if_it_fails(list, tell, || Told::Shards { map: None, state: None, troubles: Vec::new() });
    }
}

struct State {
    end: Option<End>,
    error: Option<Error>,
    stats: ShellStats,
    journal: Journal,
    tell: mpsc::Sender<Told>,
    input_open: bool,
    /// Whether the engine was told that input waits for room.
    input_waits: bool,
    journal_answers: bool,
    /// The run was told to stop because it sets aside too much.
    flooded: Option<Flood>,
    /// A closing sum does not hold: no checkpoint may say that it does.
    contradiction: Option<String>,
    /// What the user is told of calls that fail.
    failures: Failures,
    start: Instant,
}

impl State {
    fn new(journal: Journal, tell: mpsc::Sender<Told>, start: Instant) -> Result<Self, Error> {
        let stats = ShellStats::new()?;
        Ok(Self {
            end: None,
            error: None,
            stats,
            journal,
            tell,
            input_open: true,
            input_waits: false,
            journal_answers: true,
            flooded: None,
            contradiction: None,
            failures: Failures::default(),
            start,
        })
    }

    fn contradict(&mut self, object: u32, ledger: ObjectLedger, expected: Option<u32>) {
        let ObjectLedger { delivered, quarantined, filtered } = ledger;
        let sentence = format!(
            "the closing sum of object {object} does not hold: {delivered} delivered, {quarantined} in quarantine and \
             {filtered} left out are not {}; this is a defect in respool",
            expected.unwrap_or_default()
        );
        self.error.get_or_insert(Error::internal(sentence.clone()));
        self.contradiction.get_or_insert(sentence);
    }

    fn durable(&mut self, durable: Option<std::io::Result<u64>>) -> Event {
        let gone = || std::io::Error::other("the journal's thread has ended");
        match durable.unwrap_or_else(|| Err(gone())) {
            Ok(sequence) => Event::CheckpointDurable(sequence),
            Err(error) => {
                self.journal_answers = false;
                let sentence =
                    "cannot write the checkpoint; what was sent since the last one is sent again by a resume";
                let message = format!("{sentence}: {error}");
                self.error.get_or_insert(Error::incomplete(sentence).with_source(error));
                Event::CheckpointFailed(message)
            }
        }
    }

    fn warn_of_failures(&mut self, result: &Result<Vec<Outcome>, CallError>) {
        let now = self.start.elapsed();
        let line = match result {
            Ok(outcomes) => {
                let failed =
                    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Unknown { .. })).count();
                let (kind, words) = ("the service has failed records of a call", "it may have stored them");
                (failed > 0).then(|| self.failures.failed(kind, failed as u64, words, now)).flatten()
            }
            Err(error) => self.failures.call_failed(error, now),
        };
        line.into_iter().for_each(warn);
    }

    fn told(&mut self, told: Told) -> Event {
        match told {
            Told::Departed(request) => Event::Departed(request),
            Told::Answered { request, latency, result } => {
                let micros = u64::try_from(latency.min(LATENCY_MAX).as_micros()).unwrap_or(u64::MAX);
                self.stats.put_latency.saturating_record(micros);
                self.warn_of_failures(&result);
                if let Ok(outcomes) = &result {
                    tracing::debug!(
                        request = request.0,
                        entries = outcomes.len(),
                        ?latency,
                        "PutRecords answered"
                    );
                }
                Event::Answered(request, result)
            }
            Told::Shards { map, state, troubles } => {
                let now = self.start.elapsed();
                let lines =
                    troubles.iter().filter_map(|(what, error)| self.failures.failed(what, 1, error, now));
                lines.for_each(warn);
                Event::Shards { map, state }
            }
            Told::CannotEncode(error) | Told::FeedFailed(error) => {
                let reason = StopReason::Failed(error.to_string());
                self.error.get_or_insert(error);
                Event::Stop(reason)
            }
        }
    }
}

impl ShellStats {
    fn new() -> Result<Self, Error> {
        let latency_max = u64::try_from(LATENCY_MAX.as_micros()).unwrap_or(u64::MAX);
        let put_latency = Histogram::new_with_bounds(1, latency_max, 3)
            .map_err(|error| Error::internal("cannot make the histogram").with_source(error))?;
        Ok(Self { put_latency, objects_beyond_limit: 0 })
    }
}

/// What a task does not tell because it has panicked would be waited for without end.
fn tell_if_it_fails<T: Send + 'static>(
    task: tokio::task::JoinHandle<T>,
    tell: mpsc::Sender<Told>,
    told: impl FnOnce() -> Told + Send + 'static,
) {
    tokio::spawn(async move {
        if task.await.is_err_and(|error| error.is_panic()) {
            let _ = tell.send(told()).await;
        }
    });
}

/// Passes the feed's failure on.
fn watch(
    feed: tokio::task::JoinHandle<Result<(), Error>>,
    tell: mpsc::Sender<Told>,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut feed = AbortOnDrop(feed);
        let error = match (&mut feed.0).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => Error::internal("the feed failed"),
        };
        let _ = tell.send(Told::FeedFailed(error)).await;
    })
}

#[expect(clippy::needless_pass_by_value, reason = "lines are made to be said")]
fn warn(line: String) {
    tracing::warn!("{line}");
}
