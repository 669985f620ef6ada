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
//! is fetched anew from the start, three times. A gateway that decodes a body on its way sends the listed `ETag` and no
//! length: such a body is taken to its end, whatever its length, and never resumed. A resumed download has no checksum of its own; there the
//! format's own (gzip's CRC) must do. So it is for objects above 64 MiB, which come in [`ranges`], several at a time.

mod ranges;
mod sink;

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::time;

use sink::Sink;
pub(super) use sink::Spool;

use super::fault::{ServiceFault, Verdict};
use super::{ArchiveError, BodyBytes, BoxFuture, DefectReason, ObjectBody, ObjectEntry};
use crate::shown::shown;

/// Objects above this size go to a file instead of memory.
pub(super) const MEMORY_OBJECT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Attempts in a row that bring nothing forward: an hour of a network that fails at once.
const ATTEMPTS_MAX: u32 = 480;

/// Attempts in a row with credentials that have expired: for a quarter of an hour somebody may renew them.
pub(super) const CREDENTIAL_ATTEMPTS_MAX: u32 = 96;

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

/// What a body may become that is decoded on its way: as many times what is stored, and so much in any case.
const DECODED_RATIO_MAX: u64 = 200;
const DECODED_BYTES_FREE: u64 = 64 * 1024 * 1024;

/// Where bodies are asked for: S3, or a test.
pub(super) trait Source: Sync {
    /// Asks for the object from byte `start` on, to its end or up to byte `until`.
    fn open(&self, start: u64, until: Option<u64>) -> BoxFuture<'_, Result<Part, ServiceFault>>;
}

/// An answer: what the server says it is, and the body.
pub(super) struct Part {
    pub(super) etag: Option<String>,
    /// The first byte's place in the object: 0 if the server ignored the range.
    pub(super) start: u64,
    /// Whether it is the answer to a range.
    pub(super) ranged: bool,
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

/// How one attempt ended short of a whole object.
enum Setback {
    /// The connection or the service failed; what has arrived is good.
    Fault(ServiceFault),
    /// The body is not what its own checksum or length says.
    Damaged(String),
    /// The server answered with another object than the one listed.
    Changed(String),
    /// The server knows no ranges.
    Unranged,
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
    /// The bytes that are meant.
    from: u64,
    until: u64,
    /// Where the next byte belongs.
    arrived: u64,
    /// The answer has the right `ETag` and no length.
    open_ended: bool,
    spill_dir: &'a Path,
    content_encoding: Option<String>,
}

/// How a download ended.
enum Ended {
    Whole(Option<String>, BodyBytes),
    /// Nothing of it can be used: the server knows no ranges.
    Unranged,
}

/// Fetches `object` whole. `what` names it in errors.
pub(super) async fn download(
    source: &dyn Source,
    object: &ObjectEntry,
    spool: &Spool,
    what: &str,
) -> Result<ObjectBody, ArchiveError> {
    if object.size.0 > ranges::RANGED_OBJECT_BYTES_MIN
        && let Some(body) = ranges::download(source, object, spool, what).await?
    {
        return Ok(body);
    }
    let sink = spool.sink(object.size.0).await?;
    let whole = Download::new(object, sink, 0, object.size.0, spool);
    match whole.run(source, what).await? {
        Ended::Whole(content_encoding, bytes) => Ok(ObjectBody { content_encoding, bytes }),
        Ended::Unranged => Err(io::Error::other("a whole object was asked for as a range").into()),
    }
}

impl<'a> Download<'a> {
    fn new(object: &'a ObjectEntry, sink: Sink, from: u64, until: u64, spool: &'a Spool) -> Self {
        let spill_dir = spool.spill_dir.as_path();
        Self {
            object,
            sink,
            from,
            until,
            arrived: from,
            open_ended: false,
            spill_dir,
            content_encoding: None,
        }
    }

    /// Attempt after attempt, until all of it is there or nothing helps.
    async fn run(mut self, source: &dyn Source, what: &str) -> Result<Ended, ArchiveError> {
        let (mut failed, mut damaged, mut farthest) = (0, 0, self.from);
        loop {
            let setback = match self.attempt(source).await {
                Ok(()) => return Ok(Ended::Whole(self.content_encoding, self.sink.finish().await?)),
                Err(setback) => setback,
            };
            if self.arrived >= farthest.saturating_add(PROGRESS_BYTES_MIN) {
                (failed, farthest) = (0, self.arrived);
            }
            failed += 1;
            match setback {
                Setback::Io(error) => return Err(error.into()),
                Setback::Unranged => return Ok(Ended::Unranged),
                Setback::Changed(message) => {
                    return Err(ArchiveError::Defect { reason: DefectReason::Changed, message });
                }
                Setback::Damaged(message) => {
                    damaged += 1;
                    if damaged >= DAMAGED_MAX {
                        return Err(ArchiveError::Defect { reason: DefectReason::Checksum, message });
                    }
                    self.restart().await?;
                    farthest = self.from;
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
                    tracing::debug!(attempt = failed, arrived = self.arrived, %fault, "fetching goes on");
                }
            }
            time::sleep(backoff(failed)).await;
        }
    }

    /// Whether less than the whole object is meant.
    fn is_range(&self) -> bool {
        (self.from, self.until) != (0, self.object.size.0)
    }

    async fn restart(&mut self) -> io::Result<()> {
        self.arrived = self.from;
        self.sink.clear().await
    }

    /// One request: everything that is still missing.
    async fn attempt(&mut self, source: &dyn Source) -> Result<(), Setback> {
        // All bytes are here, but the answer never ended: its checksum was not compared.
        if self.arrived >= self.until || self.open_ended {
            self.restart().await?;
        }
        let until = self.is_range().then_some(self.until);
        let mut part = source.open(self.arrived, until).await.map_err(Setback::Fault)?;
        self.check_identity(&part)?;
        if self.is_range() && !part.ranged {
            return Err(Setback::Unranged);
        }
        self.open_ended =
            !part.ranged && part.total.is_none() && part.etag.is_some() && !self.object.etag.is_empty();
        if part.start != self.arrived {
            self.restart().await?;
            if part.start != self.from {
                return Err(Setback::Damaged(format!(
                    "a range from {} was answered from {}",
                    self.arrived, part.start
                )));
            }
        }
        if self.content_encoding.is_none() {
            self.content_encoding = part.content_encoding.take();
        }
        let seconds = self.until.saturating_sub(self.arrived) / BODY_BYTES_PER_SECOND_MIN;
        let limit = BODY_WAIT_BASE + Duration::from_secs(seconds);
        match time::timeout(limit, self.receive(part.body.as_mut())).await {
            Ok(received) => received,
            Err(_) => Err(Setback::Fault(ServiceFault::connection("the body came too slowly"))),
        }
    }

    fn check_identity(&self, part: &Part) -> Result<(), Setback> {
        let bare = |etag: &str| etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let listed = bare(&self.object.etag.to_string());
        let found = part.etag.as_deref().map(bare).filter(|_| !listed.is_empty());
        if let Some(found) = found.as_deref().filter(|found| *found != listed) {
            let message = format!("listed with etag {}, found {}", shown(&listed), shown(found));
            return Err(Setback::Changed(message));
        }
        let Some(total) = part.total.filter(|total| *total != self.object.size.0) else { return Ok(()) };
        let message = format!("listed with {:?}, found {total} B", self.object.size);
        Err(if found.is_some() { Setback::Damaged(message) } else { Setback::Changed(message) })
    }

    async fn receive(&mut self, body: &mut dyn Body) -> Result<(), Setback> {
        let until = self.until;
        loop {
            let silent = |_| Setback::Fault(ServiceFault::connection("the body stalled"));
            let piece = match time::timeout(PIECE_WAIT_MAX, body.next()).await.map_err(silent)? {
                None => break,
                Some(Ok(piece)) => piece,
                // The checksum is compared after the last byte.
                Some(Err(fault)) if self.arrived == until => {
                    return Err(Setback::Damaged(format!("whole by its length, but: {fault}")));
                }
                Some(Err(fault)) => return Err(Setback::Fault(fault)),
            };
            self.arrived += piece.len() as u64;
            if self.arrived > until {
                let most = until.saturating_mul(DECODED_RATIO_MAX).saturating_add(DECODED_BYTES_FREE);
                if !self.open_ended || self.arrived > most {
                    let message = format!("more bytes than the {until} that were listed");
                    return Err(Setback::Damaged(message));
                }
                self.sink.spill(self.spill_dir).await?;
            }
            if !piece.is_empty() {
                self.sink.push(piece).await?;
            }
        }
        if self.arrived < until && !(self.open_ended && self.content_encoding.is_some()) {
            return Err(Setback::Fault(ServiceFault::connection(format!(
                "the body ended after {} of {until} bytes",
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
pub(super) fn backoff(failed: u32) -> Duration {
    let full = BACKOFF_FIRST.saturating_mul(1 << failed.saturating_sub(1).min(16)).min(BACKOFF_MAX);
    // A fresh hasher is seeded by the system: enough to keep many clients from knocking in step.
    let dice = u32::try_from(RandomState::new().hash_one(failed) % 1024).unwrap_or_default();
    full / 2 + full / 2 / 1024 * dice
}

#[cfg(test)]
mod tests;
