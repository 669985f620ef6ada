//! `respool cache warm` and `respool cache export`: an archive into the cache, and out of it into a file.
//!
//! An export needs the cache only on the way. A warm-up is for what stays there: what has no room is not fetched, and told.

mod missing;

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use missing::{Missing, Room};

use super::ahead::Ahead;
use super::replay::{Sources, check_not_empty};
use super::report::number;
use super::segments::Segments;
use super::select::select;
use super::spool::{Spool, Spooled, blocking};
use super::{at_hand, open};
use crate::archive::manifest::Manifest;
use crate::cache::Segment;
use crate::config::{ExportFormat, FillConfig};
use crate::error::{Error, ExitCode};
use crate::record::{ByteCount, agree, many};
use crate::route::event_time::{EventTime, NoEventTime};
use crate::shown::shown;

/// A bound for what is kept to be named at the end.
const UNREAD_SHOWN: usize = 20;

/// What came of it.
#[derive(Default)]
struct Outcome {
    objects: u64,
    records: u64,
    bytes: u64,
    left_out: u64,
    /// Records of several lines that were written as one.
    joined: u64,
    not_lines: u64,
    no_time: u64,
    unread: u64,
    /// The first of those that could not be read.
    named: Vec<String>,
    room: Room,
}

/// Fills the cache with what `config` selects; writes its records out if that was asked for.
pub async fn run(config: &FillConfig) -> Result<ExitCode, Error> {
    let tuning = at_hand::settled_for_archive(&config.tuning, &config.archive).await?;
    let config = &FillConfig { tuning, ..config.clone() };
    let sources = Sources::open_at(&config.archive, &config.tuning).await?;
    let sources = if config.export.is_none() { sources.without_passing() } else { sources };
    let archive = sources.archive().ok_or_else(|| Error::internal("the cache is filled from no archive"))?;
    let manifest =
        select(&archive, &config.input, config.input.restore, &config.tuning.cache.dir, config.output.quiet)
            .await?;
    check_not_empty(&config.archive, &manifest)?;
    let decode = open::decoding(&config.input);
    let (spool, segments) = sources.spool_with(decode, &config.tuning, Arc::new(manifest))?;
    let mut out = match &config.export {
        Some(export) => Some(Export::open(&export.path, export.format)?),
        None => None,
    };
    let mut outcome = fill(config, &spool, &segments, &mut out).await?;
    if let Some(out) = out {
        blocking(move || out.finish()).await??;
    }
    let missing = std::mem::take(&mut outcome.room).missing(&spool).await?;
    let code = tell(config, &spool, &outcome, missing.as_ref())?;
    missing.map_or(Ok(code), |missing| Err(missing.error(spool.manifest().objects.len())))
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
            Spooled::Segment { .. } if out.is_none() && segments.is_passing(object) => {
                outcome.room.without.push((object, Some(segments.get(object)?.file_bytes())));
                spool.settled(object);
            }
            Spooled::NoRoom => outcome.room.without.push((object, None)),
            Spooled::Segment { records, .. } => {
                outcome.objects += 1;
                if let Some(mut export) = out.take() {
                    let segment = whole(spool, segments, object).await?;
                    outcome.bytes += segment.data_bytes();
                    let event_time = config.input.event_time.clone();
                    let written = blocking(move || {
                        let written = export.object(&segment, event_time.as_ref());
                        written.map(|counts| (export, counts))
                    });
                    let (export, counts) = match written.await? {
                        Ok(written) => written,
                        Err(NotWritten::ReaderGone) => return Ok(outcome),
                        Err(NotWritten::Failed(error)) => return Err(error),
                    };
                    outcome.records += counts.written;
                    outcome.left_out += counts.left_out;
                    outcome.joined += counts.joined;
                    outcome.not_lines += counts.not_lines;
                    outcome.no_time += counts.no_time;
                    *out = Some(export);
                } else {
                    let segment = segments.get(object)?;
                    outcome.bytes += segment.data_bytes();
                    outcome.room.kept_bytes += segment.file_bytes();
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

/// The segment of an object, checked to its end before any of it is written out. One that is damaged is fetched once more.
async fn whole(spool: &Arc<Spool>, segments: &Arc<Segments>, object: u32) -> Result<Segment, Error> {
    for last in [false, true] {
        let segment = segments.get(object)?;
        let checked = segment.clone();
        match blocking(move || checked.verify()).await? {
            Ok(()) => return Ok(segment),
            Err(damage) if last => {
                let key = spool.manifest().object(object).map(|entry| shown(&entry.key).to_string());
                let sentence =
                    format!("{} is damaged in the cache again: check the disk", key.unwrap_or_default());
                return Err(Error::incomplete(sentence).with_source(damage));
            }
            Err(damage) => {
                spool.discard(object, &damage);
                spool.object(object).await?;
            }
        }
    }
    Err(Error::internal("two tries have neither failed nor succeeded"))
}

fn unread(manifest: &Manifest, object: u32, reason: &str, detail: &str) -> String {
    let key = manifest.object(object).map(|entry| shown(&entry.key).to_string()).unwrap_or_default();
    format!("{key}: {reason}: {detail}")
}

fn tell(
    config: &FillConfig,
    spool: &Spool,
    outcome: &Outcome,
    missing: Option<&Missing>,
) -> Result<ExitCode, Error> {
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
            "joined": outcome.joined,
            "not_lines": outcome.not_lines,
            "no_event_time": outcome.no_time,
            "unread": outcome.unread,
            "unread_objects": outcome.named,
            "missing": missing.map_or(0, |missing| missing.objects),
            "missing_bytes": missing.map_or(0, |missing| missing.bytes.0),
            "cache_size_needed": missing.map(|missing| &missing.size),
        });
        format!("{value}\n")
    } else {
        let mut text = format!(
            "{}, {}, {}: {} {} in the cache, {} {} fetched\n",
            many(outcome.objects, "object"),
            many(outcome.records, "record"),
            ByteCount(outcome.bytes),
            number(hits),
            agree(hits, "was", "were"),
            number(fetched),
            agree(fetched, "was", "were")
        );
        for named in &outcome.named {
            let _ = writeln!(text, "not read: {named}");
        }
        if outcome.joined > 0 {
            let _ = writeln!(
                text,
                "{} of several lines {} written as one, with a blank for each line feed between JSON's values",
                many(outcome.joined, "record"),
                agree(outcome.joined, "was", "were")
            );
        }
        if outcome.not_lines > 0 {
            let _ = writeln!(
                text,
                "{} {} of text and {} not written",
                many(outcome.not_lines, "record"),
                agree(outcome.not_lines, "is no line", "are no lines"),
                agree(outcome.not_lines, "was", "were")
            );
        }
        if outcome.no_time > 0 {
            let _ = writeln!(
                text,
                "{} {} no time where --event-time says and {} not written",
                many(outcome.no_time, "record"),
                agree(outcome.no_time, "has", "have"),
                agree(outcome.no_time, "was", "were")
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
    Ok(if outcome.unread + outcome.not_lines + outcome.no_time > 0 {
        ExitCode::Quarantine
    } else {
        ExitCode::Done
    })
}

/// Where records are written, a line each.
struct Export {
    out: Box<dyn Finish>,
}

/// What became of a record.
enum Line {
    /// It was written as it is.
    Exact,
    /// It is one line now.
    Joined,
    /// It was not written.
    None,
}

#[derive(Default)]
struct Counts {
    written: u64,
    joined: u64,
    left_out: u64,
    not_lines: u64,
    no_time: u64,
}

/// Why records were not written out.
enum NotWritten {
    /// Whoever read them has seen enough.
    ReaderGone,
    Failed(Error),
}

impl From<io::Error> for NotWritten {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        Self::Failed(Error::incomplete("cannot write").with_source(error))
    }
}

/// A file that is there under its name only when it is whole.
struct OnceWhole {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

/// A writer that has an end of its own.
trait Finish: Write + Send {
    fn finish(self: Box<Self>) -> io::Result<()>;
}

impl Finish for io::Stdout {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()
    }
}

impl Write for OnceWhole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Finish for OnceWhole {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.file.persist_noclobber(&self.path)?;
        Ok(())
    }
}

type Target = BufWriter<Box<dyn Finish>>;

impl Finish for Target {
    fn finish(self: Box<Self>) -> io::Result<()> {
        self.into_inner().map_err(io::IntoInnerError::into_error)?.finish()
    }
}

impl Finish for flate2::write::GzEncoder<Target> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Box::new((*self).finish()?).finish()
    }
}

impl Finish for zstd::Encoder<'_, Target> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        Box::new((*self).finish()?).finish()
    }
}

impl Export {
    fn open(path: &Path, format: ExportFormat) -> Result<Self, Error> {
        let cannot = |error| Error::refused(format!("cannot write {}", path.display())).with_source(error);
        let to: Box<dyn Finish> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            // Never over something that is there, and for nobody else to read.
            if path.symlink_metadata().is_ok() {
                let sentence = format!("{} is there already, and nothing is written over it", path.display());
                return Err(Error::refused(sentence));
            }
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let file = tempfile::Builder::new().prefix(".respool-").tempfile_in(folder).map_err(cannot)?;
            Box::new(OnceWhole { file, path: path.to_owned() })
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

    fn object(&mut self, segment: &Segment, event_time: Option<&EventTime>) -> Result<Counts, NotWritten> {
        let mut counts = Counts::default();
        for number in 0..segment.records() {
            let record = segment.record(number).map_err(|error| {
                NotWritten::Failed(Error::incomplete("a segment was damaged meanwhile").with_source(error))
            })?;
            match event_time.map(|rule| rule.selects(record)) {
                None | Some(Ok(true)) => {}
                Some(Ok(false)) => {
                    counts.left_out += 1;
                    continue;
                }
                Some(Err(NoEventTime)) => {
                    counts.no_time += 1;
                    continue;
                }
            }
            match self.record(record)? {
                Line::Exact => counts.written += 1,
                Line::Joined => {
                    counts.written += 1;
                    counts.joined += 1;
                }
                Line::None => counts.not_lines += 1,
            }
        }
        Ok(counts)
    }

    /// Writes a record as a line, every byte as it is. In JSON a line feed stands between values only, where a blank says
    /// the same: such a record is joined. Any other with one cannot be a line.
    fn record(&mut self, record: &[u8]) -> io::Result<Line> {
        let line = if memchr::memchr(b'\n', record).is_none() {
            self.out.write_all(record)?;
            Line::Exact
        } else if serde_json::from_slice::<serde::de::IgnoredAny>(record).is_ok() {
            let blank = |&byte: &u8| if byte == b'\n' { b' ' } else { byte };
            self.out.write_all(&record.iter().map(blank).collect::<Vec<_>>())?;
            Line::Joined
        } else {
            return Ok(Line::None);
        };
        self.out.write_all(b"\n").map(|()| line)
    }

    fn finish(self) -> Result<(), Error> {
        match self.out.finish() {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::incomplete("cannot write").with_source(error))
            }
            _ => Ok(()),
        }
    }
}
