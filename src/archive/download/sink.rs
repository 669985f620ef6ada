//! Where what has arrived waits: in memory as long as the budget allows, in a file without a name, or in a range of one.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{MEMORY_OBJECT_BYTES_MAX, ranges};
use crate::archive::{ArchiveError, BodyBytes};

/// Bytes gathered before they are written to a file.
const SPILL_WRITE_BYTES: usize = 1024 * 1024;

const BUDGET_UNIT: u64 = 1024;

/// Where bodies go, and how much of memory they may take together.
#[derive(Debug, Clone)]
pub(in crate::archive) struct Spool {
    pub(super) budget: Arc<Semaphore>,
    budget_units: u32,
    pub(super) spill_dir: PathBuf,
}

impl Spool {
    /// A budget of `memory_bytes_max`, at least one object's worth; larger objects go to `spill_dir`.
    pub(in crate::archive) fn new(memory_bytes_max: u64, spill_dir: PathBuf) -> Self {
        let bytes = memory_bytes_max.clamp(MEMORY_OBJECT_BYTES_MAX, u64::from(u32::MAX));
        let budget_units = u32::try_from(bytes / BUDGET_UNIT).unwrap_or(u32::MAX);
        Self { budget: Arc::new(Semaphore::new(budget_units as usize)), budget_units, spill_dir }
    }

    /// Room for an object of `size`, once there is some.
    pub(super) async fn sink(&self, size: u64) -> Result<Sink, ArchiveError> {
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
pub(super) enum Sink {
    Memory {
        pieces: Vec<Bytes>,
        permit: Arc<OwnedSemaphorePermit>,
    },
    // The file is away while a write is under way.
    File {
        file: Option<File>,
        pending: Vec<u8>,
    },
    /// A range of a file that others write to as well.
    Range {
        file: Arc<File>,
        begin: u64,
        at: u64,
        pending: Vec<u8>,
    },
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

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

impl Sink {
    pub(super) async fn push(&mut self, piece: Bytes) -> io::Result<()> {
        match self {
            Self::Memory { pieces, permit } => {
                pieces.push(Bytes::from_owner(Budgeted { bytes: piece, _permit: Arc::clone(permit) }));
                Ok(())
            }
            Self::File { pending, .. } | Self::Range { pending, .. } => {
                pending.extend_from_slice(&piece);
                if pending.len() < SPILL_WRITE_BYTES { Ok(()) } else { self.flush().await }
            }
        }
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        let (place, pending) = match self {
            Self::Memory { .. } => return Ok(()),
            Self::Range { file, at, pending, .. } => return ranges::write(file, at, pending).await,
            Self::File { file, pending } => (file, pending),
        };
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

    pub(super) async fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Memory { pieces, .. } => pieces.clear(),
            Self::Range { begin, at, pending, .. } => {
                pending.clear();
                *at = *begin;
            }
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

    /// Makes room for more than was thought.
    pub(super) async fn spill(&mut self, dir: &Path) -> io::Result<()> {
        let Self::Memory { pieces, .. } = self else { return Ok(()) };
        let (dir, pending) = (dir.to_owned(), pieces.concat());
        let file = blocking(move || tempfile::tempfile_in(dir)).await?;
        *self = Self::File { file: Some(file), pending };
        Ok(())
    }

    pub(super) async fn finish(mut self) -> io::Result<BodyBytes> {
        self.flush().await?;
        match self {
            Self::Memory { pieces, .. } => Ok(BodyBytes::Memory(pieces)),
            Self::Range { .. } => Ok(BodyBytes::Memory(Vec::new())),
            Self::File { file, .. } => {
                file.map(BodyBytes::File).ok_or_else(|| io::Error::other("an earlier write failed"))
            }
        }
    }
}
