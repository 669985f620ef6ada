//! `respool bench --null`: what one core does of each stage, with nothing in its way.
//!
//! Each stage goes over the same few objects, alone, until it has had its time, and is charged with the CPU time that the
//! process took meanwhile; so a disk or a network that is slow does not count. All bytes are those of decoded records,
//! so that the stages can be compared, and added up: what a run needs of a core is the sum of what its stages need.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::ceilings::{Found, Stage};
use super::engine;
use super::sink::Sink;
use super::source::{LeftOut, Scratch, settings};
use super::{generate, usage};
use crate::archive::{Archive, ObjectEntry, Selection};
use crate::cache::{Cache, Placement, SegmentId, SegmentIdentity};
use crate::config::{ArchiveAddress, BenchConfig, BenchSource, Input, RunSettings};
use crate::decode::{DecodeConfig, FramingChoice, Spans, decode};
use crate::error::{Error, ExitCode};
use crate::limits::RECORD_BYTES_MAX;
use crate::record::{ByteCount, Ordinal};
use crate::route::key::KeyExtractor;
use crate::route::{RouteRules, route_chunk};
use crate::run::open::{archive_at, archive_error, decoding};
use crate::run::{console, spool::blocking};
use crate::stream::batch::{Batch, DraftSize, EntryRef};
use crate::stream::kinesis::{KinesisConfig, KinesisStream, SendPath};
use crate::stream::{Outcome, Stream};
use crate::write::StopReason;

/// CPU time that each stage gets.
const STAGE_TIME: Duration = Duration::from_millis(400);
/// Bytes of decoded records that a stage goes over, about.
const INPUT_BYTES: u64 = 32_000_000;
/// Names under which a made-up archive has its objects, so that there is something to list.
const NAMES: u64 = 2_000;
/// Records that are routed together.
pub(super) const CHUNK_RECORDS: usize = 4_096;
/// Records and bytes of a request, as lanes make them where the CPU is the limit.
const REQUEST_RECORDS: usize = 250;
const REQUEST_BYTES: usize = 1_000_000;

/// Objects that every stage goes over, in each of its shapes.
struct Inputs {
    settings: RunSettings,
    archive: Arc<dyn Archive>,
    objects: Vec<Object>,
    /// Of all objects of the archive, decoded, as far as one can tell.
    archive_bytes: f64,
    records: u64,
    bytes: u64,
}

struct Object {
    entry: ObjectEntry,
    stored: Vec<u8>,
    decoded: Vec<u8>,
    spans: Spans,
}

/// Measures every stage, for each size of record.
pub(super) async fn run(
    config: &BenchConfig,
    scratch: &Scratch,
    stop: &mut mpsc::Receiver<StopReason>,
) -> Result<ExitCode, Error> {
    let sizes = match &config.source {
        BenchSource::Generated { record_sizes } => record_sizes.iter().copied().map(Some).collect(),
        BenchSource::Archive { .. } => vec![None],
    };
    let mut stages = Vec::new();
    let mut complete = true;
    for size in sizes {
        let measured = tokio::select! {
            measured = measure_all(config, scratch, size, &mut stages) => measured,
            Some(_) = stop.recv() => {
                complete = false;
                Ok(())
            }
        };
        measured?;
        if !complete {
            break;
        }
    }
    let found = Found { version: env!("CARGO_PKG_VERSION"), machine: usage::machine(), complete, stages };
    let text = if config.output.json {
        // Finite numbers and strings always are JSON.
        serde_json::to_string(&found).unwrap_or_default() + "\n"
    } else {
        found.render()
    };
    console::print(&text)?;
    Ok(if complete { ExitCode::Done } else { ExitCode::Incomplete })
}

async fn measure_all(
    config: &BenchConfig,
    scratch: &Scratch,
    size: Option<u32>,
    stages: &mut Vec<Stage>,
) -> Result<(), Error> {
    let inputs = Inputs::prepare(config, scratch, size).await?;
    let key = inputs.settings.key_config().ok_or_else(|| Error::internal("a benchmark without keys"))?;
    let extractor = KeyExtractor::new(key);
    let mut take = |stage: &'static str, what: &'static str, per_second: f64| {
        #[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
        let (records, bytes) = (inputs.records as f64, inputs.bytes as f64);
        stages.push(Stage {
            name: stage,
            what,
            record_size: size.map_or_else(|| inputs.bytes / inputs.records.max(1), u64::from),
            mb_per_second_per_core: per_second * bytes / 1e6,
            records_per_second_per_core: per_second * records,
        });
    };
    take("list", "the archive's names, each as many bytes as an object", inputs.list().await?);
    tokio::task::yield_now().await;
    take("fetch", "an object's bytes", inputs.fetch().await?);
    tokio::task::yield_now().await;
    take("decode", "decompress and check", inputs.decode(FramingChoice::Whole)?);
    tokio::task::yield_now().await;
    take("split", "cut into records", inputs.split()?);
    tokio::task::yield_now().await;
    take("publish", "a segment: checksums, write, sync", inputs.publish(scratch)?);
    tokio::task::yield_now().await;
    take("key", "find the partition key", inputs.keys(&extractor)?);
    tokio::task::yield_now().await;
    take("route", "key, MD5, size", inputs.route(&extractor));
    tokio::task::yield_now().await;
    take(
        "engine",
        "lanes, buckets, positions",
        engine::per_second(config.order, &rules(&extractor), inputs.records(), STAGE_TIME)?,
    );
    tokio::task::yield_now().await;
    let requests = inputs.requests(&extractor)?;
    let (stream, sink) = open_sink(config.tuning.send)?;
    let encode_all = || {
        for request in &requests {
            std::hint::black_box(encode(&stream, &extractor, request));
        }
        Ok(())
    };
    take("encode", "records and keys into a request, and its digest", per_second(encode_all, alone)?);
    tokio::task::yield_now().await;
    take(
        "send",
        "sign the header, send, read the answer",
        inputs.send(&stream, &sink, &extractor, &requests).await?,
    );
    Ok(())
}

/// How often a core does `work` in a second; `others` is CPU time of the process that is not the work's.
fn per_second(
    mut work: impl FnMut() -> Result<(), Error>,
    others: impl Fn() -> Duration,
) -> Result<f64, Error> {
    // Once for the caches and the allocator.
    work()?;
    let taken = || usage::process_cpu().saturating_sub(others());
    let (start, mut times) = (taken(), 0_u32);
    loop {
        work()?;
        times += 1;
        let spent = taken().saturating_sub(start);
        if spent >= STAGE_TIME {
            return Ok(f64::from(times) / spent.as_secs_f64());
        }
    }
}

fn alone() -> Duration {
    Duration::ZERO
}

impl Inputs {
    async fn prepare(config: &BenchConfig, scratch: &Scratch, size: Option<u32>) -> Result<Self, Error> {
        let (address, input) = match &config.source {
            BenchSource::Archive { address, input } => (address.clone(), Input::clone(input)),
            BenchSource::Generated { .. } => {
                let bytes = size.unwrap_or(1_000);
                let path = scratch.path(&format!("stages-{bytes}"));
                let directory = path.clone();
                let write = move || {
                    let count = (INPUT_BYTES / u64::from(bytes)).max(1);
                    generate::write(&directory, count, bytes, gzip)?;
                    generate::multiply(&directory, NAMES)
                };
                let written = blocking(write).await?;
                written.map_err(|error| Error::incomplete("cannot write the events").with_source(error))?;
                (ArchiveAddress::Directory { path }, Input::default())
            }
        };
        let settings = settings(config, address, input);
        let archive = archive_at(&settings.archive, &config.tuning).await?;
        let listing = archive.list(&settings.input.selection).await.map_err(archive_error)?;
        let mut inputs =
            Self { settings, archive, objects: Vec::new(), archive_bytes: 0.0, records: 0, bytes: 0 };
        let (mut stored_bytes, mut left_out) = (0_u64, LeftOut::default());
        for entry in &listing.objects {
            let stored = inputs.fetched(entry).await?;
            let mut decoded = Vec::new();
            let config = decoding(&inputs.settings.input);
            let found = match decode(&mut &*stored, None, &config, &mut decoded) {
                Ok(found) => found,
                Err(error) => {
                    left_out.add(&entry.key, &error.to_string());
                    continue;
                }
            };
            inputs.records += u64::from(found.spans.len());
            inputs.bytes += decoded.len() as u64;
            stored_bytes += stored.len() as u64;
            inputs.objects.push(Object { entry: entry.clone(), stored, decoded, spans: found.spans });
            if inputs.bytes >= INPUT_BYTES {
                break;
            }
        }
        left_out.warn();
        if inputs.records == 0 {
            return Err(Error::refused(format!(
                "{} holds no records that could be read",
                inputs.settings.archive
            )));
        }
        let listed: u64 = listing.objects.iter().map(|object| object.size.0).sum();
        #[expect(clippy::cast_precision_loss, reason = "bytes below 2^53")]
        let archive_bytes = listed as f64 / stored_bytes.max(1) as f64;
        inputs.archive_bytes = archive_bytes;
        Ok(inputs)
    }

    async fn fetched(&self, entry: &ObjectEntry) -> Result<Vec<u8>, Error> {
        let body = self.archive.fetch(entry).await.map_err(archive_error)?;
        let cannot = |error| Error::incomplete("cannot read an object").with_source(error);
        let mut bytes = Vec::new();
        body.reader().map_err(cannot)?.read_to_end(&mut bytes).map_err(cannot)?;
        Ok(bytes)
    }

    fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.objects.iter().flat_map(Object::records)
    }

    /// How many times a second the archive's names are listed that stand for as many bytes as the inputs have.
    async fn list(&self) -> Result<f64, Error> {
        let selection: &Selection = &self.settings.input.selection;
        let (start, mut times) = (usage::process_cpu(), 0_u32);
        loop {
            self.archive.list(selection).await.map_err(archive_error)?;
            times += 1;
            let spent = usage::process_cpu().saturating_sub(start);
            if spent >= STAGE_TIME {
                return Ok(f64::from(times) * self.archive_bytes / spent.as_secs_f64());
            }
        }
    }

    async fn fetch(&self) -> Result<f64, Error> {
        let (start, mut times) = (usage::process_cpu(), 0_u32);
        loop {
            for object in &self.objects {
                std::hint::black_box(self.fetched(&object.entry).await?);
            }
            times += 1;
            let spent = usage::process_cpu().saturating_sub(start);
            if spent >= STAGE_TIME {
                return Ok(f64::from(times) / spent.as_secs_f64());
            }
        }
    }

    fn decode(&self, framing: FramingChoice) -> Result<f64, Error> {
        self.decode_each(|object| &object.stored, &DecodeConfig { framing, ..DecodeConfig::default() })
    }

    fn split(&self) -> Result<f64, Error> {
        self.decode_each(|object| &object.decoded, &decoding(&self.settings.input))
    }

    fn decode_each(&self, bytes: impl Fn(&Object) -> &Vec<u8>, config: &DecodeConfig) -> Result<f64, Error> {
        let work = || {
            for object in &self.objects {
                let decoded = decode(&mut bytes(object).as_slice(), None, config, &mut std::io::sink());
                let decoded = decoded.map_err(|error| {
                    Error::refused("an object cannot be decoded twice").with_source(error)
                })?;
                std::hint::black_box(decoded.spans.len());
            }
            Ok(())
        };
        per_second(work, alone)
    }

    fn publish(&self, scratch: &Scratch) -> Result<f64, Error> {
        let cannot = |error| Error::incomplete("cannot write a segment").with_source(error);
        let cache = Cache::open(&scratch.path("stages-cache"), ByteCount(u64::MAX / 2)).map_err(cannot)?;
        let identity = |object: &Object| -> SegmentId {
            let etag = &*object.entry.etag.to_string();
            let size = object.entry.size;
            let (archive, key, decoding) = ("bench", &*object.entry.key, "");
            SegmentIdentity { archive, key, version: None, etag, size, decoding, decoder_version: 0 }.id()
        };
        let work = || {
            for object in &self.objects {
                let mut writer = cache.create(&identity(object), Placement::Passing).map_err(cannot)?;
                writer
                    .write_all(&object.decoded)
                    .map_err(|error| Error::incomplete("cannot write a segment").with_source(error))?;
                writer.publish(&object.spans, &crate::cache::SegmentLabel::default()).map_err(cannot)?;
            }
            Ok(())
        };
        per_second(work, alone)
    }

    fn keys(&self, extractor: &KeyExtractor) -> Result<f64, Error> {
        let work = || {
            for record in self.records() {
                // One without a key costs time as well.
                let _ = std::hint::black_box(extractor.key(record, Ordinal::START));
            }
            Ok(())
        };
        per_second(work, alone)
    }

    fn route(&self, extractor: &KeyExtractor) -> f64 {
        let rules = rules(extractor);
        let records: Vec<&[u8]> = self.records().collect();
        let work = || {
            for chunk in records.chunks(CHUNK_RECORDS) {
                std::hint::black_box(route_chunk(&rules, None, Ordinal::START, chunk.iter().copied()));
            }
            Ok(())
        };
        per_second(work, alone).unwrap_or_default()
    }

    /// The records that have a key, as many together as a request takes.
    fn requests(&self, extractor: &KeyExtractor) -> Result<Vec<Vec<&[u8]>>, Error> {
        let (mut requests, mut request, mut bytes) = (Vec::new(), Vec::new(), 0);
        for record in self.records() {
            let Ok(key) = extractor.key(record, Ordinal::START) else { continue };
            let cost = record.len() + key.as_str().len();
            if request.len() >= REQUEST_RECORDS || (bytes + cost > REQUEST_BYTES && !request.is_empty()) {
                requests.push(std::mem::take(&mut request));
                bytes = 0;
            }
            bytes += cost;
            request.push(record);
        }
        if request.is_empty() {
            return Err(Error::refused("no record has a key: see --partition-key"));
        }
        requests.push(request);
        Ok(requests)
    }

    /// Sends every request to a server that only answers, and leaves out its CPU time and the encoder's.
    async fn send(
        &self,
        stream: &KinesisStream,
        sink: &Sink,
        extractor: &KeyExtractor,
        requests: &[Vec<&[u8]>],
    ) -> Result<f64, Error> {
        let (mut spent, mut times) = (Duration::ZERO, 0_u32);
        while spent < STAGE_TIME {
            for request in requests {
                let batch = encode(stream, extractor, request);
                let (sink_before, before) = (sink.cpu(), usage::process_cpu());
                let outcomes = stream.put(batch).await;
                let all = usage::process_cpu().saturating_sub(before);
                // Its time before the first answer is its start.
                let sinks = if sink_before.is_zero() {
                    Duration::ZERO
                } else {
                    sink.cpu().saturating_sub(sink_before)
                };
                spent += all.saturating_sub(sinks);
                let outcomes = outcomes.map_err(|error| {
                    Error::internal("the server that only answers did not").with_source(error)
                })?;
                if !outcomes.iter().all(|outcome| matches!(outcome, Outcome::Acked { .. })) {
                    return Err(Error::internal("the server that only answers said no"));
                }
            }
            times += 1;
        }
        Ok(f64::from(times) / spent.as_secs_f64())
    }
}

fn rules(extractor: &KeyExtractor) -> RouteRules {
    let extractor = extractor.clone();
    RouteRules { extractor, record_bytes_max: RECORD_BYTES_MAX, event_time: None, spread: None }
}

/// A request as the shell makes one: keys are found again, records go into the stream's own form.
fn encode(stream: &dyn Stream, extractor: &KeyExtractor, records: &[&[u8]]) -> Batch {
    let bytes = records.iter().map(|record| record.len()).sum();
    let mut draft = stream.draft(DraftSize { entries: records.len(), bytes });
    for data in records {
        if let Ok(key) = extractor.key(data, Ordinal::START) {
            draft.push(EntryRef { data, key: (&key).into(), explicit_hash_key: None });
        }
    }
    draft.finish()
}

/// A stream behind a server that only answers.
fn open_sink(send: SendPath) -> Result<(KinesisStream, Sink), Error> {
    let sink = Sink::start()?;
    let name = "bench".parse().map_err(|_| Error::internal("no stream's name"))?;
    let endpoint_url = Some(format!("http://{}", sink.address));
    Ok((KinesisStream::unchecked(KinesisConfig { endpoint_url, send, ..KinesisConfig::new(name) }), sink))
}

impl Object {
    fn records(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().filter_map(|span| {
            let start = usize::try_from(span.offset).ok()?;
            self.decoded.get(start..start.checked_add(usize::try_from(span.len).ok()?)?)
        })
    }
}

fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    encoder.write_all(bytes)?;
    encoder.finish()
}
