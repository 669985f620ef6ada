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

use super::encode::encode;
use super::feed::Fed;
use super::journal::{Entry as JournalEntry, Journal, LedgerLine, QuarantineLine, Quarantined};
use super::segments::Segments;
use super::spool::Spool;
use super::work::{AbortOnDrop, Work};
use crate::error::Error;
use crate::route::key::KeyExtractor;
use crate::route::shard_map::ShardMap;
use crate::route::{Routed, SetAside, SetAsideReason};
use crate::stream::{CallError, CallErrorClass, Outcome, Stream};
use crate::write::checkpoint::Totals;
use crate::write::{Command, End, Engine, EngineStats, Event, RequestId, StopReason};

/// When this many records are set aside, and they are most of all, a run stops before it sets aside everything:
/// as a rule the key was mistyped.
const FLOOD_RECORDS: u64 = 10_000;
/// How often the user is told.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);
/// The longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_mins(10);

/// What the tasks around the engine tell it.
enum Told {
    Departed(RequestId),
    Answered { request: RequestId, latency: Duration, result: Result<Vec<Outcome>, CallError> },
    Shards(Option<ShardMap>),
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
}

/// The parts that a run is made of.
pub struct Shell {
    /// Where records go.
    pub stream: Arc<dyn Stream>,
    /// Where they lie.
    pub segments: Arc<Segments>,
    /// Where they come from.
    pub spool: Arc<Spool>,
    /// Finds their keys again.
    pub extractor: Arc<KeyExtractor>,
    /// Where requests are encoded.
    pub work: Work,
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
        let mut session = State::new(journal, tell)?;
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        while session.end.is_none() {
            let wake = engine.next_wake().map(|wake| start + wake);
            let has_room = engine.room() > 0 && session.input_open;
            let event = tokio::select! {
                biased;
                durable = made_durable.recv(), if session.journal_answers => Some(session.durable(durable)),
                Some(told) = told.recv() => Some(session.told(told)),
                Some(reason) = stop.recv() => Some(Event::Stop(reason)),
                () = sleep_until(wake.unwrap_or(start)), if wake.is_some() => Some(Event::Tick),
                _ = ticks.tick() => {
                    let now = start.elapsed();
                    progress(&engine.stats(now), now);
                    None
                }
                next = input.recv(), if has_room => Self::fed(next, &mut session),
            };
            let Some(event) = event else { continue };
            engine.handle(start.elapsed(), event, &mut commands);
            if !session.flooded
                && let Some(reason) = self.flood(engine.totals())
            {
                session.flooded = true;
                engine.handle(start.elapsed(), Event::Stop(reason), &mut commands);
            }
            for command in commands.drain(..) {
                self.carry_out(command, &mut session);
            }
        }
        drop(input);
        feed_watch.abort();
        let journal = session.journal;
        super::spool::blocking(move || journal.close()).await?;
        let now = start.elapsed();
        let end = session.end.unwrap_or(End::Stopped(StopReason::Interrupted));
        Ok(Ended { end, engine: engine.stats(now), shell: session.stats, error: session.error })
    }

    /// Why a run should not go on that sets aside most of what it reads.
    fn flood(&self, totals: &Totals) -> Option<StopReason> {
        let set_aside = totals.quarantined + totals.objects_quarantined;
        if let Some(max) = self.max_quarantine.filter(|max| set_aside > *max) {
            return Some(StopReason::Failed(format!(
                "{set_aside} records and objects are in quarantine, more than the {max} of --max-quarantine: see why \
                 there, and resume with another bound"
            )));
        }
        let settled = totals.delivered + totals.quarantined + totals.filtered;
        let flood = totals.quarantined >= FLOOD_RECORDS && totals.quarantined * 2 > settled;
        (flood && !self.resumed).then(|| {
            StopReason::Failed(format!(
                "{} of the first {settled} records went to quarantine, see why there: start anew with other flags, or \
                 resume to go on all the same",
                totals.quarantined
            ))
        })
    }

    fn journal(&self, tell: mpsc::Sender<std::io::Result<u64>>) -> Result<Journal, Error> {
        let durable = move |sequence| {
            // The shell listens as long as a checkpoint is under way.
            let _ = tell.try_send(sequence);
        };
        let journal = match self.work {
            Work::Pool(_) => Journal::start(&self.directory, durable),
            Work::Inline => Journal::inline(&self.directory, durable),
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
                state.journal.write(JournalEntry::Quarantine(vec![Quarantined { line, bytes: None }]));
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

    fn carry_out(&self, command: Command, state: &mut State) {
        match command {
            Command::Put { request, records } => self.put(request, records, state.tell.clone()),
            Command::ListShards => self.list_shards(state.tell.clone()),
            Command::SetAside(set_aside) => {
                let entries = set_aside.into_iter().map(|aside| self.quarantined(&aside)).collect();
                state.journal.write(JournalEntry::Quarantine(entries));
            }
            Command::ObjectSettled(object, ledger) => {
                state.journal.write(JournalEntry::Ledger(LedgerLine { object, ledger }));
                self.spool.settled(object);
            }
            Command::Checkpoint(checkpoint) => state.journal.write(JournalEntry::Checkpoint(checkpoint)),
            Command::Ended(end) => state.end = Some(end),
        }
    }

    fn put(&self, request: RequestId, records: Vec<Routed>, tell: mpsc::Sender<Told>) {
        let (segments, extractor) = (self.segments.clone(), self.extractor.clone());
        let (stream, told) = (self.stream.clone(), tell.clone());
        let drafts = stream.clone();
        let encoded = self.work.run(move || encode(&*drafts, &segments, &extractor, &records));
        let put = tokio::spawn(async move {
            let batch = match encoded.await {
                Ok(Ok(batch)) => batch,
                Ok(Err(error)) => return told.send(Told::CannotEncode(error)).await,
                Err(_) => return told.send(Told::CannotEncode(Error::internal("the encoder failed"))).await,
            };
            told.send(Told::Departed(request)).await?;
            let start = Instant::now();
            let result = stream.put(batch).await;
            told.send(Told::Answered { request, latency: start.elapsed(), result }).await
        });
        tokio::spawn(async move {
            // A request without an answer would be waited for without end.
            if put.await.is_err_and(|error| error.is_panic()) {
                let _ = tell.send(Told::CannotEncode(Error::internal("a task that sends has failed"))).await;
            }
        });
    }

    fn list_shards(&self, tell: mpsc::Sender<Told>) {
        let stream = self.stream.clone();
        tokio::spawn(async move {
            let listed = stream.list_open_shards().await.map_err(|error| error.to_string());
            let map = listed.and_then(|shards| ShardMap::new(shards).map_err(|error| error.to_string()));
            // In the middle of a reshard the list may not add up; the engine asks again.
            let map = map.inspect_err(|error| tracing::warn!("the shards cannot be listed: {error}")).ok();
            let _ = tell.send(Told::Shards(map)).await;
        });
    }

    /// The line about a record, and its bytes; of one that is damaged on disk there are none.
    fn quarantined(&self, aside: &SetAside) -> Quarantined {
        let (object, record) = (aside.ordinal.object(), aside.ordinal.record());
        let segment = self.segments.get(object).ok().filter(|segment| record < segment.records());
        let bytes = segment.as_ref().and_then(|segment| segment.record(record).ok());
        let offset = segment.as_ref().and_then(|segment| segment.record_offset(record).ok());
        let line = QuarantineLine { offset, ..self.quarantine_line(aside) };
        Quarantined { line, bytes: bytes.map(<[u8]>::to_vec) }
    }

    fn quarantine_line(&self, aside: &SetAside) -> QuarantineLine {
        let object = aside.ordinal.object();
        let detail = match &aside.reason {
            SetAsideReason::KeyFault(_) => "the record has no partition key".to_owned(),
            SetAsideReason::NoEventTime => "the record has no time where --event-time says".to_owned(),
            SetAsideReason::Salvaged { defect } => {
                let before = aside.ordinal.record();
                format!("{defect}: the {before} records before were taken (--salvage), what follows is lost")
            }
            SetAsideReason::TooLarge { found, max } => {
                format!("{} B with its key, the stream takes {} B", found.0, max.0)
            }
            SetAsideReason::Rejected { reason, possibly_delivered: false } => reason.clone(),
            SetAsideReason::Rejected { reason, possibly_delivered: true } => {
                format!("{reason} (an earlier attempt may have delivered it)")
            }
        };
        let key = self.spool.manifest().object(object).map(|entry| entry.key.clone()).unwrap_or_default();
        QuarantineLine {
            object,
            record: Some(aside.ordinal.record()),
            key,
            reason: aside.reason.to_string(),
            detail,
            offset: None,
            stored: None,
            sent_in_part: false,
        }
    }
}

struct State {
    end: Option<End>,
    error: Option<Error>,
    stats: ShellStats,
    journal: Journal,
    tell: mpsc::Sender<Told>,
    input_open: bool,
    journal_answers: bool,
    /// The run was told to stop because it sets aside too much.
    flooded: bool,
}

impl State {
    fn new(journal: Journal, tell: mpsc::Sender<Told>) -> Result<Self, Error> {
        let stats = ShellStats::new()?;
        Ok(Self {
            end: None,
            error: None,
            stats,
            journal,
            tell,
            input_open: true,
            journal_answers: true,
            flooded: false,
        })
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

    fn told(&mut self, told: Told) -> Event {
        match told {
            Told::Departed(request) => Event::Departed(request),
            Told::Answered { request, latency, result } => {
                let micros = u64::try_from(latency.min(LATENCY_MAX).as_micros()).unwrap_or(u64::MAX);
                self.stats.put_latency.saturating_record(micros);
                match &result {
                    Ok(outcomes) => {
                        tracing::debug!(
                            request = request.0,
                            entries = outcomes.len(),
                            ?latency,
                            "PutRecords answered"
                        );
                    }
                    Err(error) => {
                        tracing::warn!("PutRecords failed: {}: {}", class_name(error.class), error.message);
                    }
                }
                Event::Answered(request, result)
            }
            Told::Shards(map) => Event::Shards(map),
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

fn class_name(class: CallErrorClass) -> &'static str {
    match class {
        CallErrorClass::Throttled => "throttled",
        CallErrorClass::Credentials => "credentials",
        CallErrorClass::Unreachable => "unreachable",
        CallErrorClass::Unknown(_) => "outcome unknown",
        CallErrorClass::Invalid => "invalid",
        CallErrorClass::NotFound => "not found",
        CallErrorClass::Denied => "denied",
    }
}
