//! A segment on its way: bytes in, checksums on the fly, published in one step or not at all.
//!
//! The file lies among the temporary ones, under a random name and an exclusive lock, until it is whole and
//! synced; then it is renamed to its name. A crash leaves a temporary file whose lock can be had: the next
//! [`Cache::open`](super::Cache::open) removes it. What is dropped unpublished removes its file itself.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use tempfile::NamedTempFile;

use super::Ledger;
use super::directory::{locked_file, make_private_folder};
use super::error::{CacheError, SegmentError};
use super::format::{self, BLOCK_BYTES, Counts, Footer, HEADER_BYTES, Header};
use super::identity::{SegmentId, SegmentLabel};
use super::segment::{Opened, Segment};
use crate::decode::Spans;
use crate::private;

const WRITE_BYTES: usize = 1024 * 1024;

/// What comes in pieces of this size is not gathered first: it would be copied for nothing.
const DIRECT_BYTES: usize = 128 * 1024;

/// How long a segment lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// In the cache, until it is evicted.
    Kept,
    /// As long as it is held: it never gets a name, and its room is free when the last clone is dropped.
    Passing,
}

/// A segment that is being written. Takes the decoded object through [`Write`].
#[derive(Debug)]
pub struct SegmentWriter {
    file: NamedTempFile,
    target: Option<(PathBuf, Ledger)>,
    id: SegmentId,
    buffer: Vec<u8>,
    data_bytes: u64,
    block_crc: u32,
    block_fill: usize,
    block_crcs: Vec<u8>,
}

impl SegmentWriter {
    /// Begins a file in `temporary`. A target is where it will lie, and who is told.
    pub(super) fn new(
        temporary: &Path,
        id: SegmentId,
        target: Option<(PathBuf, Ledger)>,
    ) -> Result<Self, CacheError> {
        let file = locked_file(temporary, "")?;
        let mut buffer = Vec::with_capacity(WRITE_BYTES);
        // Where the header will be. Until then the file is no segment.
        buffer.resize(HEADER_BYTES, 0);
        let (data_bytes, block_crc, block_fill, block_crcs) = (0, 0, 0, Vec::new());
        Ok(Self { file, target, id, buffer, data_bytes, block_crc, block_fill, block_crcs })
    }

    /// It will have another name.
    pub(super) fn rename(&mut self, id: SegmentId, path: PathBuf) {
        self.id = id;
        if let Some((target, _)) = &mut self.target {
            *target = path;
        }
    }

    /// What its file will take with `records` records.
    pub fn file_bytes(&self, records: u32) -> u64 {
        segment_bytes(records, self.data_bytes)
    }

    /// It will not stay: there is no room for it.
    pub fn pass(&mut self) {
        self.target = None;
    }

    /// Bytes of data taken so far.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Finishes the file and, if it is to be kept, puts it in its place.
    ///
    /// # Errors
    /// [`CacheError::NoSpace`] and [`CacheError::Io`]; the file is gone then.
    ///
    /// # Panics
    /// If `spans` reaches beyond the bytes that were written.
    pub fn publish(self, spans: &Spans, label: &SegmentLabel) -> Result<Segment, CacheError> {
        self.place(spans, label).map(|(segment, _)| segment)
    }

    /// The same, and where it lies: it only passes through where a segment of another format version has its name.
    ///
    /// # Errors
    /// As for [`publish`](Self::publish).
    ///
    /// # Panics
    /// As for [`publish`](Self::publish).
    pub fn place(mut self, spans: &Spans, label: &SegmentLabel) -> Result<(Segment, Placement), CacheError> {
        assert!(spans.end() <= self.data_bytes, "records lie beyond the data");
        if self.block_fill > 0 {
            self.end_block();
        }
        let counts = Counts::new(spans.len(), self.data_bytes);
        let index_crc = self.write_index(spans, &counts)?;
        let footer = Footer { counts, index_crc, checksum: crc32c::crc32c(&self.block_crcs) };
        self.append(&footer.encode())?;
        self.flush_buffer()?;
        let modified = self.file.as_file().metadata()?.modified()?;
        let created = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        let header = Header { id: self.id, created, counts, label: label.clone() };
        self.file.as_file().write_all_at(&header.encode(), 0)?;
        self.settle()
    }

    fn settle(self) -> Result<(Segment, Placement), CacheError> {
        let mut target = self.target;
        if let Some((path, _)) = &target
            && is_of_another_version(path)?
        {
            target = None;
        }
        let placement = if target.is_some() { Placement::Kept } else { Placement::Passing };
        let file = match target {
            // The map keeps an unlinked file alive, and a crash leaves nothing.
            None => self.file.into_file(),
            Some((path, ledger)) => {
                self.file.as_file().sync_data()?;
                let folder = path.parent().unwrap_or(&path);
                make_private_folder(folder)?;
                let file = self.file.persist(&path).map_err(|error| error.error)?;
                File::open(folder)?.sync_all()?;
                let metadata = file.metadata()?;
                ledger.note(self.id, metadata.len(), metadata.modified()?);
                file
            }
        };
        match Segment::open(&file, &self.id)? {
            Opened::Whole(segment) => Ok((segment, placement)),
            Opened::Faulty(error) => Err(CacheError::Segment(error)),
        }
    }

    fn write_index(&mut self, spans: &Spans, counts: &Counts) -> Result<u32, CacheError> {
        let mut crc = 0;
        let mut piece = Vec::with_capacity(WRITE_BYTES / 16);
        for span in spans {
            format::encode_entry(&mut piece, counts, span.offset, span.len);
            if piece.len() >= WRITE_BYTES / 16 - 12 {
                crc = crc32c::crc32c_append(crc, &piece);
                self.append(&piece)?;
                piece.clear();
            }
        }
        piece.extend(&self.block_crcs);
        self.append(&piece)?;
        Ok(crc32c::crc32c_append(crc, &piece))
    }

    /// Takes `bytes` of data into the checksums.
    fn sum(&mut self, bytes: &[u8]) {
        self.data_bytes += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = BLOCK_BYTES - self.block_fill;
            let (piece, behind) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            self.block_crc = crc32c::crc32c_append(self.block_crc, piece);
            self.block_fill += piece.len();
            if self.block_fill == BLOCK_BYTES {
                self.end_block();
            }
            rest = behind;
        }
    }

    fn end_block(&mut self) {
        self.block_crcs.extend(self.block_crc.to_le_bytes());
        self.block_crc = 0;
        self.block_fill = 0;
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_BYTES { self.flush_buffer() } else { Ok(()) }
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            self.file.as_file_mut().write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// What the file of a segment takes that holds `records` records in `data_bytes`.
#[must_use]
pub fn segment_bytes(records: u32, data_bytes: u64) -> u64 {
    Counts::new(records, data_bytes).file_bytes().unwrap_or(u64::MAX)
}

impl Write for SegmentWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() >= DIRECT_BYTES {
            self.flush_buffer()?;
            self.file.as_file_mut().write_all(bytes)?;
            self.sum(bytes);
            return Ok(bytes.len());
        }
        // Not more than fits, so that the buffer never grows beyond its size.
        let room = WRITE_BYTES - self.buffer.len();
        let piece = bytes.get(..room).unwrap_or(bytes);
        self.append(piece)?;
        self.sum(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a segment lies there that only another version of respool can read.
fn is_of_another_version(path: &Path) -> io::Result<bool> {
    let mut beginning = Vec::new();
    match private::open_to_read(path) {
        Ok(file) => file.take(HEADER_BYTES as u64).read_to_end(&mut beginning)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(matches!(Header::decode(&beginning), Err(SegmentError::OtherVersion { .. })))
}
