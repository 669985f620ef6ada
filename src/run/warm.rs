//! `respool cache warm` and `respool cache export`: an archive into the cache, and out of it into a file.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ahead::Ahead;
use super::open;
use super::replay::Sources;
use super::report::number;
use super::segments::Segments;
use super::select::select;
use super::spool::{Spool, Spooled, blocking};
use crate::archive::manifest::Manifest;
use crate::cache::{Segment, SegmentError};
use crate::config::{ExportFormat, FillConfig};
use crate::error::{Error, ExitCode};
use crate::record::{ByteCount, Ordinal};
use crate::route::event_time::EventTime;

/// A bound for what is kept to be named at the end.
const UNREAD_SHOWN: usize = 20;

/// What came of it.
#[derive(Default)]
struct Outcome {
    objects: u64,
    records: u64,
    bytes: u64,
    left_out: u64,
    not_lines: u64,
    unread: u64,
    /// The first of those that could not be read.
    named: Vec<String>,
}

/// Fills the cache with what `config` selects; writes its records out if that was asked for.
pub async fn run(config: &FillConfig) -> Result<ExitCode, Error> {
    let sources = Sources::open_at(&config.archive, &config.tuning).await?;
    let archive = sources.archive().ok_or_else(|| {
        Error::usage("--offline lists nothing: give --objects with an earlier run's manifest.jsonl to a replay instead")
    })?;
    let manifest = select(&archive, &config.input, config.output.quiet).await?;
    if manifest.objects.is_empty() {
        return Err(Error::refused(format!("nothing is selected in {}", config.archive)));
    }
    let decode = open::decoding(&config.input);
    let (spool, segments) = sources.spool_with(decode, &config.tuning, Arc::new(manifest))?;
    let mut out = match &config.export {
        Some(export) => Some(Export::open(&export.path, export.format)?),
        None => None,
    };
    let outcome = fill(config, &spool, &segments, &mut out).await?;
    if let Some(out) = out {
        blocking(move || out.finish()).await??;
    }
    tell(config, &spool, &outcome)
}

async fn fill(
    config: &FillConfig,
    spool: &Arc<Spool>,
    segments: &Arc<Segments>,
    out: &mut Option<Export>,
) -> Result<Outcome, Error> {
    let total = u32::try_from(spool.manifest().objects.len()).unwrap_or(u32::MAX);
    let mut ahead = Ahead::start(spool.clone(), (0..total).collect());
    let mut outcome = Outcome::default();
    for object in 0..total {
        let Some(spooled) = ahead.next().await else { break };
        match spooled? {
            Spooled::Segment { records, .. } => {
                outcome.objects += 1;
                let segment = segments.get(object)?;
                outcome.bytes += segment.data_bytes();
                if let Some(mut export) = out.take() {
                    let event_time = config.input.event_time.clone();
                    let written = blocking(move || {
                        let written = export.object(&segment, event_time.as_ref());
                        written.map(|counts| (export, counts))
                    });
                    let (export, counts) = written.await??;
                    outcome.records += counts.written;
                    outcome.left_out += counts.left_out;
                    outcome.not_lines += counts.not_lines;
                    *out = Some(export);
                } else {
                    outcome.records += u64::from(records);
                }
                spool.settled(object);
            }
            Spooled::Quarantined { reason, detail } => {
                outcome.unread += 1;
                if outcome.named.len() < UNREAD_SHOWN {
                    outcome.named.push(unread(spool.manifest(), object, &reason, &detail));
                }
            }
        }
    }
    Ok(outcome)
}

fn unread(manifest: &Manifest, object: u32, reason: &str, detail: &str) -> String {
    let key = manifest.object(object).map(|entry| entry.key.escape_debug().to_string()).unwrap_or_default();
    format!("{key}: {reason}: {detail}")
}

fn tell(config: &FillConfig, spool: &Spool, outcome: &Outcome) -> Result<ExitCode, Error> {
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let (hits, fetched) = (load(&spool.stats.hits), load(&spool.stats.fetched));
    let text = if config.output.json {
        let value = serde_json::json!({
            "objects": outcome.objects,
            "records": outcome.records,
            "bytes": outcome.bytes,
            "hits": hits,
            "fetched": fetched,
            "filtered": outcome.left_out,
            "not_lines": outcome.not_lines,
            "unread": outcome.unread,
            "unread_objects": outcome.named,
        });
        format!("{value}\n")
    } else {
        let mut text = format!(
            "{} objects, {} records, {}: {} were in the cache, {} were fetched\n",
            number(outcome.objects),
            number(outcome.records),
            ByteCount(outcome.bytes),
            number(hits),
            number(fetched)
        );
        for named in &outcome.named {
            let _ = writeln!(text, "not read: {named}");
        }
        if outcome.not_lines > 0 {
            let _ = writeln!(
                text,
                "{} records are no lines of text and were not written",
                number(outcome.not_lines)
            );
        }
        text
    };
    // Where the records go to stdout, nothing else does.
    if config.export.as_ref().is_some_and(|export| export.path == Path::new("-")) {
        text.lines().for_each(super::console::say);
    } else {
        super::console::print(&text)?;
    }
    Ok(if outcome.unread + outcome.not_lines > 0 { ExitCode::Quarantine } else { ExitCode::Done })
}

/// Where records are written, a line each.
struct Export {
    out: Box<dyn Finish>,
}

struct Counts {
    written: u64,
    left_out: u64,
    not_lines: u64,
}

/// A writer that has an end of its own.
trait Finish: Write + Send {
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl<W: Write + Send> Finish for BufWriter<W> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

impl<W: Write + Send> Finish for flate2::write::GzEncoder<W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.flush()
    }
}

impl<W: Write + Send> Finish for zstd::Encoder<'_, W> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.flush()
    }
}

impl Export {
    fn open(path: &Path, format: ExportFormat) -> Result<Self, Error> {
        let cannot = |error| Error::refused(format!("cannot write {}", path.display())).with_source(error);
        let to: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            // Never over something that is there, and for nobody else to read.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.map_err(cannot)?)
        };
        let to = BufWriter::with_capacity(1 << 20, to);
        let out: Box<dyn Finish> = match format {
            ExportFormat::Plain => Box::new(to),
            ExportFormat::Gzip => Box::new(flate2::write::GzEncoder::new(to, flate2::Compression::fast())),
            ExportFormat::Zstd => {
                let mut encoder = zstd::Encoder::new(to, 0).map_err(cannot)?;
                encoder.include_checksum(true).map_err(cannot)?;
                Box::new(encoder)
            }
        };
        Ok(Self { out })
    }

    fn object(&mut self, segment: &Segment, event_time: Option<&EventTime>) -> Result<Counts, Error> {
        let mut counts = Counts { written: 0, left_out: 0, not_lines: 0 };
        for number in 0..segment.records() {
            let record = segment.record(number).map_err(|error: SegmentError| {
                let ordinal = Ordinal::new(0, number);
                Error::incomplete(format!("record {} is damaged in the cache", ordinal.record()))
                    .with_source(error)
            })?;
            if event_time.is_some_and(|rule| rule.selects(record) == Ok(false)) {
                counts.left_out += 1;
                continue;
            }
            if self.record(record).map_err(|error| Error::incomplete("cannot write").with_source(error))? {
                counts.written += 1;
            } else {
                counts.not_lines += 1;
            }
        }
        Ok(counts)
    }

    /// Writes a record as a line. In JSON a line feed stands between values only, where a blank says the same; any
    /// other record with one cannot be a line. `false` for such.
    fn record(&mut self, record: &[u8]) -> io::Result<bool> {
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        if memchr::memchr(b'\n', record).is_none() {
            self.out.write_all(record)?;
        } else if serde_json::from_slice::<serde::de::IgnoredAny>(record).is_ok() {
            for part in record.split(|&byte| byte == b'\n') {
                self.out.write_all(part.strip_suffix(b"\r").unwrap_or(part))?;
                self.out.write_all(b" ")?;
            }
        } else {
            return Ok(false);
        }
        self.out.write_all(b"\n").map(|()| true)
    }

    fn finish(self) -> Result<(), Error> {
        self.out.finish().map_err(|error| Error::incomplete("cannot write").with_source(error))
    }
}
