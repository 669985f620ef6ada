//! How one object comes over the network whole, although connections break.
//!
//! A download goes on where the last attempt ended: what has arrived is kept, and the next request asks
//! for the rest, pinned to the same `ETag`. Each answer is checked against what was listed before a byte of
//! it is taken, because some servers ignore the pin. Small objects stay in memory, in the pieces in which
//! they came, and weigh on a budget until the last piece is let go; large ones go to a file without a
//! name. The body is read as fast as it comes; nothing here waits for a decoder or for Kinesis.
//!
//! An attempt that brought something forward does not count; an hour of them that did not end the download.
//! A body that is whole by its length and still fails did not have the checksum it was sent with: it
//! is fetched anew from the start, three times. A resumed download has no checksum of its own; there the
//! format's own (gzip's CRC) must do.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time;

use super::fault::{ServiceFault, Verdict};
use super::{ArchiveError, BodyBytes, BoxFuture, DefectReason, ObjectBody, ObjectEntry};

/// Objects above this size go to a file instead of memory.
pub(super) const MEMORY_OBJECT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Attempts in a row that bring nothing forward: an hour of a network that fails at once.
const ATTEMPTS_MAX: u32 = 480;

/// Attempts in a row with credentials that the service does not take: new ones come soon or not at all.
const CREDENTIAL_ATTEMPTS_MAX: u32 = 8;

/// Whole bodies that may arrive damaged, one after the other.
const DAMAGED_MAX: u32 = 3;

/// So much must arrive for an attempt to count as progress.
const PROGRESS_BYTES_MIN: u64 = 64 * 1024;

const BACKOFF_FIRST: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);

/// The longest silence in a body.
const PIECE_WAIT_MAX: Duration = Duration::from_secs(20);

/// A body may take this long, and a second more for every 64 KiB: a trickle ends as well.
const BODY_WAIT_BASE: Duration = Duration::from_secs(30);
const BODY_BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

/// Bytes gathered before they are written to a file.
const SPILL_WRITE_BYTES: usize = 1024 * 1024;

const BUDGET_UNIT: u64 = 1024;

/// Where bodies are asked for: S3, or a test.
pub(super) trait Source: Sync {
    /// Asks for the object from byte `start` on.
    fn open(&self, start: u64) -> BoxFuture<'_, Result<Part, ServiceFault>>;
}

/// An answer: what the server says it is, and the body.
pub(super) struct Part {
    pub(super) etag: Option<String>,
    /// The first byte's place in the object: 0 if the server ignored the range.
    pub(super) start: u64,
    /// The whole object's size, if the server says so.
    pub(super) total: Option<u64>,
    pub(super) content_encoding: Option<String>,
    pub(super) body: Box<dyn Body>,
}

/// A body, piece by piece.
pub(super) trait Body: Send {
    /// The next piece; `None` at the end.
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Bytes, ServiceFault>>>;
}

/// Where bodies go, and how much of memory they may take together.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    budget: Arc<Semaphore>,
    budget_units: u32,
    spill_dir: PathBuf,
}

impl Spool {
    /// A budget of `memory_bytes_max`, at least one object's worth; larger objects go to `spill_dir`.
    pub(super) fn new(memory_bytes_max: u64, spill_dir: PathBuf) -> Self {
        let bytes = memory_bytes_max.clamp(MEMORY_OBJECT_BYTES_MAX, u64::from(u32::MAX));
        let budget_units = u32::try_from(bytes / BUDGET_UNIT).unwrap_or(u32::MAX);
        Self { budget: Arc::new(Semaphore::new(budget_units as usize)), budget_units, spill_dir }
    }

    /// Room for an object of `size`, once there is some.
    async fn sink(&self, size: u64) -> Result<Sink, ArchiveError> {
        if size > MEMORY_OBJECT_BYTES_MAX {
            let dir = self.spill_dir.clone();
            let file = blocking(move || tempfile::tempfile_in(dir)).await?;
            return Ok(Sink::File { file: Some(file), pending: Vec::new() });
        }
        let units = u32::try_from(size.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX).min(self.budget_units);
        let closed = |_| io::Error::other("the budget of bodies in memory is closed");
        let permit = Arc::clone(&self.budget).acquire_many_owned(units).await.map_err(closed)?;
        Ok(Sink::Memory { pieces: Vec::new(), permit: Arc::new(permit) })
    }
}

/// What has arrived.
enum Sink {
    Memory { pieces: Vec<Bytes>, permit: Arc<OwnedSemaphorePermit> },
    // The file is away while a write is under way.
    File { file: Option<File>, pending: Vec<u8> },
}

/// A piece that gives its object's share of the budget back when all pieces are gone.
struct Budgeted {
    bytes: Bytes,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Budgeted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Sink {
    async fn push(&mut self, piece: Bytes) -> io::Result<()> {
        match self {
            Self::Memory { pieces, permit } => {
                pieces.push(Bytes::from_owner(Budgeted { bytes: piece, _permit: Arc::clone(permit) }));
                Ok(())
            }
            Self::File { pending, .. } => {
                pending.extend_from_slice(&piece);
                if pending.len() < SPILL_WRITE_BYTES { Ok(()) } else { self.flush().await }
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let Self::File { file: place, pending } = self else { return Ok(()) };
        let Some(mut file) = place.take() else { return Err(io::Error::other("an earlier write failed")) };
        let mut buffer = std::mem::take(pending);
        let (file, buffer) = blocking(move || {
            file.write_all(&buffer)?;
            buffer.clear();
            Ok((file, buffer))
        })
        .await?;
        (*place, *pending) = (Some(file), buffer);
        Ok(())
    }

    async fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Memory { pieces, .. } => pieces.clear(),
            Self::File { file: place, pending } => {
                pending.clear();
                if let Some(mut file) = place.take() {
                    let emptied = blocking(move || {
                        file.set_len(0)?;
                        io::Seek::rewind(&mut file)?;
                        Ok(file)
                    });
                    *place = Some(emptied.await?);
                }
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> io::Result<BodyBytes> {
        self.flush().await?;
        match self {
            Self::Memory { pieces, .. } => Ok(BodyBytes::Memory(pieces)),
            Self::File { file, .. } => {
                file.map(BodyBytes::File).ok_or_else(|| io::Error::other("an earlier write failed"))
            }
        }
    }
}

/// How one attempt ended short of a whole object.
enum Setback {
    /// The connection or the service failed; what has arrived is good.
    Fault(ServiceFault),
    /// The body is not what its own checksum or length says.
    Damaged(String),
    /// The server answered with another object than the one listed.
    Changed(String),
    Io(io::Error),
}

impl From<io::Error> for Setback {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Download<'a> {
    object: &'a ObjectEntry,
    sink: Sink,
    arrived: u64,
    content_encoding: Option<String>,
}

/// Fetches `object` whole. `what` names it in errors.
pub(super) async fn download(
    source: &dyn Source,
    object: &ObjectEntry,
    spool: &Spool,
    what: &str,
) -> Result<ObjectBody, ArchiveError> {
    let sink = spool.sink(object.size.0).await?;
    let mut download = Download { object, sink, arrived: 0, content_encoding: None };
    let (mut failed, mut damaged, mut farthest) = (0, 0, 0_u64);
    loop {
        let setback = match download.attempt(source).await {
            Ok(()) => {
                let bytes = download.sink.finish().await?;
                return Ok(ObjectBody { content_encoding: download.content_encoding, bytes });
            }
            Err(setback) => setback,
        };
        if download.arrived >= farthest.saturating_add(PROGRESS_BYTES_MIN) {
            (failed, farthest) = (0, download.arrived);
        }
        failed += 1;
        match setback {
            Setback::Io(error) => return Err(error.into()),
            Setback::Changed(message) => {
                return Err(ArchiveError::Defect { reason: DefectReason::Changed, message });
            }
            Setback::Damaged(message) => {
                damaged += 1;
                if damaged >= DAMAGED_MAX {
                    return Err(ArchiveError::Defect { reason: DefectReason::Checksum, message });
                }
                download.restart().await?;
                farthest = 0;
            }
            Setback::Fault(fault) => {
                let attempts_max = match fault.verdict() {
                    Verdict::Retry => ATTEMPTS_MAX,
                    Verdict::RetryCredentials => CREDENTIAL_ATTEMPTS_MAX,
                    _ => 0,
                };
                if failed >= attempts_max {
                    return Err(fault.of_object(what));
                }
                tracing::debug!(attempt = failed, arrived = download.arrived, %fault, "fetching goes on");
            }
        }
        time::sleep(backoff(failed)).await;
    }
}

impl Download<'_> {
    async fn restart(&mut self) -> io::Result<()> {
        self.arrived = 0;
        self.sink.clear().await
    }

    /// One request: everything that is still missing.
    async fn attempt(&mut self, source: &dyn Source) -> Result<(), Setback> {
        let size = self.object.size.0;
        // All bytes are here, but the answer never ended: its checksum was not compared.
        if self.arrived == size {
            self.restart().await?;
        }
        let mut part = source.open(self.arrived).await.map_err(Setback::Fault)?;
        self.check_identity(&part)?;
        if part.start != self.arrived {
            self.restart().await?;
            if part.start != 0 {
                return Err(Setback::Damaged(format!(
                    "a range from {} was answered from {}",
                    self.arrived, part.start
                )));
            }
        }
        if self.content_encoding.is_none() {
            self.content_encoding = part.content_encoding.take();
        }
        let seconds = size.saturating_sub(self.arrived) / BODY_BYTES_PER_SECOND_MIN;
        let limit = BODY_WAIT_BASE + Duration::from_secs(seconds);
        match time::timeout(limit, self.receive(part.body.as_mut())).await {
            Ok(received) => received,
            Err(_) => Err(Setback::Fault(ServiceFault::connection("the body came too slowly"))),
        }
    }

    fn check_identity(&self, part: &Part) -> Result<(), Setback> {
        let bare = |etag: &str| etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let listed = bare(&self.object.etag);
        let found = part.etag.as_deref().map(bare).filter(|_| !listed.is_empty());
        if let Some(found) = found.as_deref().filter(|found| *found != listed) {
            let message =
                format!("listed with etag {}, found {}", listed.escape_debug(), found.escape_debug());
            return Err(Setback::Changed(message));
        }
        let Some(total) = part.total.filter(|total| *total != self.object.size.0) else { return Ok(()) };
        let message = format!("listed with {:?}, found {total} B", self.object.size);
        Err(if found.is_some() { Setback::Damaged(message) } else { Setback::Changed(message) })
    }

    async fn receive(&mut self, body: &mut dyn Body) -> Result<(), Setback> {
        let size = self.object.size.0;
        loop {
            let silent = |_| Setback::Fault(ServiceFault::connection("the body stalled"));
            let piece = match time::timeout(PIECE_WAIT_MAX, body.next()).await.map_err(silent)? {
                None => break,
                Some(Ok(piece)) => piece,
                // The checksum is compared after the last byte.
                Some(Err(fault)) if self.arrived == size => {
                    return Err(Setback::Damaged(format!("whole by its length, but: {fault}")));
                }
                Some(Err(fault)) => return Err(Setback::Fault(fault)),
            };
            self.arrived += piece.len() as u64;
            if self.arrived > size {
                return Err(Setback::Damaged(format!("more bytes than the {size} that were listed")));
            }
            if !piece.is_empty() {
                self.sink.push(piece).await?;
            }
        }
        if self.arrived < size {
            return Err(Setback::Fault(ServiceFault::connection(format!(
                "the body ended after {} of {size} bytes",
                self.arrived
            ))));
        }
        Ok(())
    }
}

/// Reads `bytes 5-9/10`: the first byte's place, and the whole's size unless it is `*`.
pub(super) fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()))
}

/// How long to wait after `failed` attempts: between half and all of a time that doubles up to its cap.
fn backoff(failed: u32) -> Duration {
    let full = BACKOFF_FIRST.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    // A fresh hasher is seeded by the system: enough to keep many clients from knocking in step.
    let dice = u32::try_from(RandomState::new().hash_one(failed) % 1024).unwrap_or_default();
    full / 2 + full / 2 / 1024 * dice
}

#[cfg(test)]
mod tests;
