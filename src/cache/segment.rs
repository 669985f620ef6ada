//! One object's records, finished and mapped.
//!
//! Opening checks header, footer and length: two pages. The index is checked when the first record is asked
//! for, a block of the data when the first record in it is. So ten thousand segments open at once in a
//! moment, and no byte is handed out unchecked.
#![warn(clippy::indexing_slicing)]

use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{CacheError, Damage, SegmentError};
use super::format::{self, BLOCK_BYTES, Counts, FOOTER_BYTES, Footer, HEADER_BYTES, Header};
use super::identity::{SegmentId, SegmentLabel};
use super::mmap::Map;

/// Bytes that the disk reads ahead of the block that is needed.
pub const READ_AHEAD_BYTES: u64 = 8 * 1024 * 1024;

/// Blocks after which it is told so again.
const READ_AHEAD_BLOCKS: u64 = READ_AHEAD_BYTES / (2 * BLOCK_BYTES as u64);

/// A finished segment. Clones share one map; it outlives the segment's eviction.
#[derive(Clone)]
pub struct Segment(Arc<Mapped>);

struct Mapped {
    map: Map,
    id: SegmentId,
    footer: Footer,
    label: SegmentLabel,
    index_checked: OnceLock<Result<(), Damage>>,
    /// One bit per block whose checksum was found right.
    blocks_checked: Box<[AtomicU64]>,
}

/// What opening found: a segment, or what is wrong with it.
pub(super) enum Opened {
    Whole(Segment),
    Faulty(SegmentError),
}

impl Segment {
    /// Opens a file that should be segment `id`.
    pub(super) fn open(file: &File, id: &SegmentId) -> Result<Opened, CacheError> {
        if file.metadata()?.len() < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            let found = file.metadata()?.len();
            let expected = (HEADER_BYTES + FOOTER_BYTES) as u64;
            return Ok(Opened::Faulty(Damage::Length { expected, found }.into()));
        }
        let map = Map::new(file)?;
        Ok(match check(map.bytes(), id) {
            Ok((footer, label)) => Opened::Whole(Self::new(map, *id, footer, label)),
            Err(error) => Opened::Faulty(error),
        })
    }

    fn new(map: Map, id: SegmentId, footer: Footer, label: SegmentLabel) -> Self {
        let words = usize::try_from(footer.counts.blocks().div_ceil(64)).unwrap_or(usize::MAX);
        let blocks_checked = (0..words).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Mapped { map, id, footer, label, index_checked: OnceLock::new(), blocks_checked }))
    }

    /// Its name.
    pub fn id(&self) -> &SegmentId {
        &self.0.id
    }

    /// What it holds, for people, and what it lacks.
    pub fn label(&self) -> &SegmentLabel {
        &self.0.label
    }

    /// How many records it has.
    pub fn records(&self) -> u32 {
        self.counts().records
    }

    /// Bytes of the decoded object.
    pub fn data_bytes(&self) -> u64 {
        self.counts().data_bytes
    }

    /// Bytes of the file.
    pub fn file_bytes(&self) -> u64 {
        self.0.map.bytes().len() as u64
    }

    /// Stands for all of the data: equal data, equal checksum.
    pub fn checksum(&self) -> u32 {
        self.0.footer.checksum
    }

    /// Where record `record` begins in the decoded object.
    ///
    /// # Errors
    /// As for [`record`](Self::record).
    pub fn record_offset(&self, record: u32) -> Result<u64, SegmentError> {
        self.place(record).map(|(offset, _)| offset)
    }

    /// The bytes of record `record`, counted from 0.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] if the index or a block that the record touches is not as it was written.
    pub fn record(&self, record: u32) -> Result<&[u8], SegmentError> {
        let (offset, len) = self.place(record)?;
        let bounds = || Damage::Structure { part: "index" };
        let end =
            offset.checked_add(u64::from(len)).filter(|&end| end <= self.data_bytes()).ok_or_else(bounds)?;
        let block = BLOCK_BYTES as u64;
        for number in offset / block..end.div_ceil(block) {
            self.check_block(number)?;
        }
        Ok(slice(self.data()?, offset, u64::from(len)).ok_or_else(bounds)?)
    }

    /// The length of record `record`, without touching the data.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] if the index is not as it was written.
    pub fn record_len(&self, record: u32) -> Result<u32, SegmentError> {
        Ok(self.place(record)?.1)
    }

    /// Has the disk begin to read the index and the first data: this segment is needed soon.
    pub fn read_ahead(&self) {
        self.advise(self.counts().index_offset(), self.counts().index_bytes());
        self.advise(HEADER_BYTES as u64, self.data_bytes().min(READ_AHEAD_BYTES));
    }

    fn advise(&self, offset: u64, len: u64) {
        if let Some((offset, len)) = usize::try_from(offset).ok().zip(usize::try_from(len).ok()) {
            self.0.map.read_ahead(offset, len);
        }
    }

    /// Checks all of it, whatever was checked before.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] at the first thing that is not as it was written.
    pub fn verify(&self) -> Result<(), SegmentError> {
        check(self.0.map.bytes(), &self.0.id)?;
        self.check_index()?;
        for number in 0..self.counts().blocks() {
            self.compute_block(number)?;
        }
        for record in 0..self.records() {
            let (offset, len) = self.place(record)?;
            if offset.checked_add(u64::from(len)).is_none_or(|end| end > self.data_bytes()) {
                return Err(Damage::Structure { part: "index" }.into());
            }
        }
        Ok(())
    }

    fn counts(&self) -> &Counts {
        &self.0.footer.counts
    }

    fn data(&self) -> Result<&[u8], Damage> {
        let data = slice(self.0.map.bytes(), HEADER_BYTES as u64, self.data_bytes());
        data.ok_or(Damage::Structure { part: "data" })
    }

    /// The index, unchecked.
    fn index(&self) -> Result<&[u8], Damage> {
        let index = slice(self.0.map.bytes(), self.counts().index_offset(), self.counts().index_bytes());
        index.ok_or(Damage::Structure { part: "index" })
    }

    /// Pages that are gone are damage, not a signal.
    fn bring_in(&self, part: &'static str, offset: u64, len: u64) -> Result<(), Damage> {
        let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
        let brought_in = range.is_some_and(|(offset, len)| self.0.map.bring_in(offset, len));
        if brought_in { Ok(()) } else { Err(Damage::Structure { part }) }
    }

    fn check_index(&self) -> Result<(), Damage> {
        self.bring_in("index", self.counts().index_offset(), self.counts().index_bytes())?;
        let index = self.index()?;
        format::compare("index", self.0.footer.index_crc, crc32c::crc32c(index))?;
        let entries = self.counts().entries_bytes();
        let blocks = slice(index, entries, self.counts().index_bytes() - entries);
        let blocks = blocks.ok_or(Damage::Structure { part: "index" })?;
        format::compare("block checksums", self.0.footer.checksum, crc32c::crc32c(blocks))
    }

    fn place(&self, record: u32) -> Result<(u64, u32), SegmentError> {
        self.0.index_checked.get_or_init(|| self.check_index()).clone()?;
        if record >= self.records() {
            return Err(SegmentError::NoSuchRecord { record, records: self.records() });
        }
        let size = self.counts().entry_bytes();
        let entry = slice(self.index()?, u64::from(record) * size, size);
        let entry = entry.ok_or(Damage::Structure { part: "index" })?;
        Ok(format::decode_entry(entry, self.counts())?)
    }

    fn check_block(&self, number: u64) -> Result<(), Damage> {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.0.blocks_checked.get(word));
        let word = word.ok_or(Damage::Structure { part: "index" })?;
        let bit = 1 << (number % 64);
        // Two threads may both compute a block's checksum, and find the same.
        if word.load(Ordering::Relaxed) & bit == 0 {
            self.compute_block(number)?;
            word.fetch_or(bit, Ordering::Relaxed);
        }
        Ok(())
    }

    fn compute_block(&self, number: u64) -> Result<(), Damage> {
        let part = "data";
        let structure = || Damage::Structure { part };
        let start = number * BLOCK_BYTES as u64;
        let len = self.data_bytes().saturating_sub(start).min(BLOCK_BYTES as u64);
        if number.is_multiple_of(READ_AHEAD_BLOCKS) {
            self.advise(HEADER_BYTES as u64 + start, (self.data_bytes() - start).min(READ_AHEAD_BYTES));
        }
        self.bring_in(part, HEADER_BYTES as u64 + start, len)?;
        let block = slice(self.data()?, start, len).ok_or_else(structure)?;
        let expected = slice(self.index()?, self.counts().entries_bytes() + number * 4, 4);
        let expected = expected.and_then(|bytes| bytes.first_chunk::<4>()).ok_or_else(structure)?;
        format::compare(part, u32::from_le_bytes(*expected), crc32c::crc32c(block))
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({}, {} records, {} B)", self.id(), self.records(), self.data_bytes())
    }
}

fn slice(bytes: &[u8], offset: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}

/// Checks everything but index and data.
fn check(file: &[u8], id: &SegmentId) -> Result<(Footer, SegmentLabel), SegmentError> {
    let header = Header::decode(file.get(..HEADER_BYTES).unwrap_or_default())?;
    if header.id != *id {
        return Err(Damage::Identity { expected: *id, found: header.id }.into());
    }
    let footer = file.len().checked_sub(FOOTER_BYTES).and_then(|at| file.get(at..)).unwrap_or_default();
    let footer = Footer::decode(footer)?;
    let found = file.len() as u64;
    let expected = header.counts.file_bytes().unwrap_or(u64::MAX);
    if found != expected {
        return Err(Damage::Length { expected, found }.into());
    }
    if footer.counts != header.counts {
        return Err(Damage::Structure { part: "footer" }.into());
    }
    Ok((footer, header.label))
}
