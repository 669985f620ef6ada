//! A large object in ranges, several at a time.
//!
//! One connection to S3 brings some 90 MB a second at most. So an object above 64 MiB comes in ranges of 16 MiB, four at
//! a time, into one file; each is a download of its own, with its own retries, and each is pinned to the `ETag` that
//! was listed. A server that does not know ranges is asked for the whole.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::sink::{Sink, Spool, blocking};
use super::{Download, Ended, Source};
use crate::archive::{ArchiveError, BodyBytes, ObjectBody, ObjectEntry};

/// Objects above this size come in ranges.
pub(super) const RANGED_OBJECT_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// One range. Source: S3 performance guidelines (8 to 16 MB), read 2026-11-22.
pub(super) const RANGE_BYTES: u64 = 16 * 1024 * 1024;

/// `None`: the server knows no ranges.
pub(super) async fn download(
    source: &dyn Source,
    object: &ObjectEntry,
    spool: &Spool,
    what: &str,
) -> Result<Option<ObjectBody>, ArchiveError> {
    let (dir, size) = (spool.spill_dir.clone(), object.size.0);
    let file = blocking(move || {
        let file = tempfile::tempfile_in(dir)?;
        file.set_len(size)?;
        Ok(Arc::new(file))
    });
    let ranges = Ranges { source, object, spool, what, file: file.await?, next: AtomicU64::new(0) };
    let (a, b, c, d) = tokio::try_join!(ranges.fetch(), ranges.fetch(), ranges.fetch(), ranges.fetch())?;
    let [Some(a), Some(b), Some(c), Some(d)] = [a, b, c, d] else { return Ok(None) };
    let content_encoding = a.or(b).or(c).or(d);
    let file =
        Arc::into_inner(ranges.file).ok_or_else(|| io::Error::other("a range is still being written"))?;
    Ok(Some(ObjectBody { content_encoding, bytes: BodyBytes::File(file) }))
}

struct Ranges<'a> {
    source: &'a dyn Source,
    object: &'a ObjectEntry,
    spool: &'a Spool,
    what: &'a str,
    file: Arc<File>,
    /// Where the next range begins.
    next: AtomicU64,
}

impl Ranges<'_> {
    /// One range after the other, as long as there are any. `None`: there are no ranges.
    async fn fetch(&self) -> Result<Option<Option<String>>, ArchiveError> {
        let mut encoding = None;
        loop {
            let from = self.next.fetch_add(RANGE_BYTES, Ordering::Relaxed);
            if from >= self.object.size.0 {
                return Ok(Some(encoding));
            }
            let until = self.object.size.0.min(from + RANGE_BYTES);
            let sink = Sink::Range { file: self.file.clone(), begin: from, at: from, pending: Vec::new() };
            let range = Download::new(self.object, sink, from, until, self.spool);
            match range.run(self.source, self.what).await? {
                Ended::Whole(found, _) => encoding = encoding.or(found),
                Ended::Unranged => return Ok(None),
            }
        }
    }
}

/// Writes what is `pending` to its place.
pub(super) async fn write(file: &Arc<File>, at: &mut u64, pending: &mut Vec<u8>) -> io::Result<()> {
    let (file, begin, mut buffer) = (file.clone(), *at, std::mem::take(pending));
    *at += buffer.len() as u64;
    *pending = blocking(move || {
        file.write_all_at(&buffer, begin)?;
        buffer.clear();
        Ok(buffer)
    })
    .await?;
    Ok(())
}
