//! The bytes of a segment file, format version 1.
//!
//! ```text
//! header  4096 B   magic, version, block size, identity, time of making, counts, label, zeros, CRC32C
//! data             the object's decoded bytes
//! index            a record each: offset in the data (u32, or u64 if the data is longer), length u32
//!                  then a block each: CRC32C
//! footer  52 B     counts, the index' place and CRC32C, the content checksum, CRC32C, magic reversed
//! ```
//! Little-endian, without padding; every byte is covered by a checksum or compared. The file is written from
//! front to back, the header last, so that a torn file has no header, no footer, or a checksum that fails. All
//! of it is untrusted when it is read: parsing returns what is wrong and never panics.
#![warn(clippy::indexing_slicing)]

use super::error::{Damage, SegmentError};
use super::identity::{LABEL_BYTES_MAX, SegmentId, SegmentLabel};

pub(super) const FORMAT_VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 4096;
pub(super) const FOOTER_BYTES: usize = 52;

/// What one checksum of the data covers.
pub(super) const BLOCK_BYTES: usize = BLOCK_BYTES_WRITTEN as usize;
const BLOCK_BYTES_WRITTEN: u32 = 256 * 1024;

const MAGIC: [u8; 8] = *b"\x89RSPLSEG";
const CRC_BYTES: usize = 4;

/// How the object was decoded, and what was wrong with it.
const DECODING_BYTES_MAX: usize = 128;
const DEFECT_BYTES_MAX: usize = 768;

const TEXT_BYTES_MAX: usize = 2 * LABEL_BYTES_MAX + DECODING_BYTES_MAX + DEFECT_BYTES_MAX;
const _: () = assert!(76 + 4 * 2 + TEXT_BYTES_MAX + CRC_BYTES <= HEADER_BYTES);

/// How many of everything. Header and footer both say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) records: u32,
    /// Bytes of an offset in the index: 4 or 8.
    pub(super) offset_bytes: u32,
    pub(super) data_bytes: u64,
}

impl Counts {
    pub(super) fn new(records: u32, data_bytes: u64) -> Self {
        let offset_bytes = if data_bytes > u64::from(u32::MAX) { 8 } else { 4 };
        Self { records, offset_bytes, data_bytes }
    }

    pub(super) fn blocks(&self) -> u64 {
        self.data_bytes.div_ceil(BLOCK_BYTES as u64)
    }

    pub(super) fn entry_bytes(&self) -> u64 {
        u64::from(self.offset_bytes) + 4
    }

    /// Where in the index the block checksums begin.
    pub(super) fn entries_bytes(&self) -> u64 {
        u64::from(self.records) * self.entry_bytes()
    }

    pub(super) fn index_bytes(&self) -> u64 {
        self.entries_bytes() + self.blocks() * CRC_BYTES as u64
    }

    pub(super) fn index_offset(&self) -> u64 {
        HEADER_BYTES as u64 + self.data_bytes
    }

    /// The file's length; `None` if no file can be so long.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.data_bytes.checked_add(self.index_bytes())?.checked_add((HEADER_BYTES + FOOTER_BYTES) as u64)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) id: SegmentId,
    /// Seconds since 1970.
    pub(super) created: u64,
    pub(super) counts: Counts,
    pub(super) label: SegmentLabel,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) counts: Counts,
    pub(super) index_crc: u32,
    /// CRC32C over the block checksums: stands for all of the data.
    pub(super) checksum: u32,
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(HEADER_BYTES);
        page.extend(MAGIC);
        page.extend(FORMAT_VERSION.to_le_bytes());
        page.extend(BLOCK_BYTES_WRITTEN.to_le_bytes());
        page.extend(self.id.0);
        page.extend(self.created.to_le_bytes());
        encode_counts(&mut page, &self.counts);
        let SegmentLabel { archive, key, decoding, defect } = &self.label;
        for (text, bytes_max) in [
            (archive, LABEL_BYTES_MAX),
            (key, LABEL_BYTES_MAX),
            (decoding, DECODING_BYTES_MAX),
            (defect, DEFECT_BYTES_MAX),
        ] {
            let text = text.get(..text.floor_char_boundary(bytes_max)).unwrap_or_default();
            page.extend(u16::try_from(text.len()).unwrap_or_default().to_le_bytes());
            page.extend(text.as_bytes());
        }
        page.resize(HEADER_BYTES - CRC_BYTES, 0);
        page.extend(crc32c::crc32c(&page).to_le_bytes());
        page
    }

    /// Reads the first [`HEADER_BYTES`] of a file.
    pub(super) fn decode(page: &[u8]) -> Result<Self, SegmentError> {
        let part = "header";
        let mut reader = Reader { rest: page, part };
        if reader.array::<8>()? != MAGIC {
            return Err(Damage::Structure { part }.into());
        }
        let version = reader.u32()?;
        if version != FORMAT_VERSION {
            return Err(SegmentError::OtherVersion { expected: FORMAT_VERSION, found: version });
        }
        check_crc(page, part)?;
        let block_bytes = reader.u32()?;
        let id = SegmentId(reader.array()?);
        let created = reader.u64()?;
        let counts = reader.counts()?;
        let (archive, key) = (reader.text()?, reader.text()?);
        let label = SegmentLabel { archive, key, decoding: reader.text()?, defect: reader.text()? };
        if block_bytes != BLOCK_BYTES_WRITTEN {
            return Err(Damage::Structure { part }.into());
        }
        Ok(Self { id, created, counts, label })
    }
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        encode_counts(&mut bytes, &self.counts);
        bytes.extend(self.counts.index_offset().to_le_bytes());
        bytes.extend(self.counts.index_bytes().to_le_bytes());
        bytes.extend(self.index_crc.to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        bytes.extend(MAGIC.iter().rev());
        bytes
    }

    /// Reads the last [`FOOTER_BYTES`] of a file.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let part = "footer";
        let structure = Damage::Structure { part };
        let (body, magic) = bytes.split_last_chunk::<8>().ok_or(structure.clone())?;
        if !magic.iter().rev().eq(&MAGIC) {
            return Err(structure);
        }
        check_crc(body, part)?;
        let mut reader = Reader { rest: body, part };
        let counts = reader.counts()?;
        if reader.u64()? != counts.index_offset() || reader.u64()? != counts.index_bytes() {
            return Err(structure);
        }
        Ok(Self { counts, index_crc: reader.u32()?, checksum: reader.u32()? })
    }
}

fn encode_counts(bytes: &mut Vec<u8>, counts: &Counts) {
    bytes.extend(counts.records.to_le_bytes());
    bytes.extend(counts.offset_bytes.to_le_bytes());
    bytes.extend(counts.data_bytes.to_le_bytes());
}

/// Appends one record's place to the index.
pub(super) fn encode_entry(bytes: &mut Vec<u8>, counts: &Counts, offset: u64, len: u32) {
    let width = counts.offset_bytes as usize;
    bytes.extend(offset.to_le_bytes().iter().take(width));
    bytes.extend(len.to_le_bytes());
}

/// Reads one record's place from its bytes in the index.
pub(super) fn decode_entry(bytes: &[u8], counts: &Counts) -> Result<(u64, u32), Damage> {
    let mut reader = Reader { rest: bytes, part: "index" };
    let offset = if counts.offset_bytes == 4 { u64::from(reader.u32()?) } else { reader.u64()? };
    Ok((offset, reader.u32()?))
}

/// Checks bytes whose last four are the checksum of the rest.
fn check_crc(bytes: &[u8], part: &'static str) -> Result<(), Damage> {
    let (body, crc) = bytes.split_last_chunk::<CRC_BYTES>().ok_or(Damage::Structure { part })?;
    compare(part, u32::from_le_bytes(*crc), crc32c::crc32c(body))
}

pub(super) fn compare(part: &'static str, expected: u32, found: u32) -> Result<(), Damage> {
    if expected == found { Ok(()) } else { Err(Damage::Checksum { part, expected, found }) }
}

struct Reader<'a> {
    rest: &'a [u8],
    part: &'static str,
}

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Damage::Structure { part: self.part })?;
        self.rest = rest;
        Ok(*array)
    }

    fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, Damage> {
        let structure = Damage::Structure { part: self.part };
        let len = usize::from(u16::from_le_bytes(self.array()?));
        let (text, rest) = self.rest.split_at_checked(len).ok_or(structure.clone())?;
        self.rest = rest;
        String::from_utf8(text.to_vec()).map_err(|_| structure)
    }

    fn counts(&mut self) -> Result<Counts, Damage> {
        let counts = Counts { records: self.u32()?, offset_bytes: self.u32()?, data_bytes: self.u64()? };
        let sound = counts == Counts::new(counts.records, counts.data_bytes) && counts.file_bytes().is_some();
        if sound { Ok(counts) } else { Err(Damage::Structure { part: self.part }) }
    }
}
