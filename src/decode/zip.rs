//! ZIP as Firehose writes it: one deflated entry, its length and checksum behind it.
//!
//! Read from front to back, as it comes: the local header, the entry, the descriptor behind it if the header
//! left the lengths open, then the central directory up to its end. An archive of several files is no object
//! of a stream and is refused. Format: PKWARE APPNOTE 6.3.10, 4.3 and 4.4; ZIP64 for entries of 4 GiB and more.

use flate2::{Crc, Decompress};

use super::input::Input;
use super::output::Output;
use super::{BUFFER_BYTES, DecodeDefect, DecodeError, compression, gzip};

pub(super) const MAGIC: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";

const ENCRYPTED: u16 = 1;
const LENGTHS_FOLLOW: u16 = 1 << 3;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The header's field for "see the ZIP64 extra field".
const IN_EXTRA: u32 = u32::MAX;
const EXTRA_64: u16 = 1;

struct Entry {
    flags: u16,
    method: u16,
    crc: u32,
    packed: u64,
    unpacked: u64,
    zip64: bool,
}

pub(super) fn decode(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let entry = local_header(input)?;
    if entry.flags & ENCRYPTED != 0 {
        return Err(defect(DecodeDefect::UnknownFormat, input, "an encrypted ZIP archive is not read"));
    }
    let open = entry.flags & LENGTHS_FOLLOW != 0;
    let start = input.offset();
    let crc = match entry.method {
        DEFLATED => {
            let mut inflate = Decompress::new(false);
            gzip::inflate(input, output, &mut inflate, &mut vec![0; BUFFER_BYTES])?
        }
        STORED if !open => stored(input, output, entry.packed)?,
        STORED => {
            return Err(defect(DecodeDefect::UnknownFormat, input, "a stored ZIP entry of unknown length"));
        }
        method => {
            let message = format!("a ZIP entry of method {method}, which is not read");
            return Err(DecodeError::defect(DecodeDefect::UnknownFormat, input.offset(), message));
        }
    };
    let packed = input.offset() - start;
    let expected = if open { descriptor(input, packed)? } else { (entry.crc, entry.packed, entry.unpacked) };
    if expected.0 != crc.sum() {
        return Err(defect(DecodeDefect::Corrupt, input, "the checksum of a ZIP entry does not match"));
    }
    // What flate2's sum counts wraps at 4 GiB, as the fields without ZIP64 do.
    let unpacked = expected.2 & u64::from(u32::MAX);
    if expected.1 != packed || unpacked != u64::from(crc.amount()) {
        return Err(defect(DecodeDefect::Corrupt, input, "the length of a ZIP entry does not match"));
    }
    output.verified();
    directory(input)
}

fn defect(reason: DecodeDefect, input: &Input<'_>, message: &str) -> DecodeError {
    DecodeError::defect(reason, input.offset(), message)
}

fn local_header(input: &mut Input<'_>) -> Result<Entry, DecodeError> {
    expect(input, MAGIC)?;
    let _version = u16_le(input)?;
    let (flags, method) = (u16_le(input)?, u16_le(input)?);
    let _time = u32_le(input)?;
    let crc = u32_le(input)?;
    let (packed, unpacked) = (u32_le(input)?, u32_le(input)?);
    let (name, extra) = (u16_le(input)?, u16_le(input)?);
    skip(input, u64::from(name))?;
    let mut entry =
        Entry { flags, method, crc, packed: packed.into(), unpacked: unpacked.into(), zip64: false };
    let mut left = u64::from(extra);
    while left >= 4 {
        let (tag, len) = (u16_le(input)?, u16_le(input)?);
        left -= 4;
        let len = u64::from(len).min(left);
        left -= len;
        if tag == EXTRA_64 && len >= 16 && (packed == IN_EXTRA || unpacked == IN_EXTRA) {
            (entry.unpacked, entry.packed) = (u64_le(input)?, u64_le(input)?);
            entry.zip64 = true;
            skip(input, len - 16)?;
        } else {
            skip(input, len)?;
        }
    }
    skip(input, left)?;
    Ok(entry)
}

fn stored(input: &mut Input<'_>, output: &mut Output<'_>, len: u64) -> Result<Crc, DecodeError> {
    let (mut left, mut crc) = (len, Crc::new());
    while left > 0 {
        let taken = input.offset();
        let ready = input.ready()?;
        let piece = ready.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(ready);
        if piece.is_empty() {
            return Err(truncated(input));
        }
        let count = piece.len();
        crc.update(piece);
        output.push(piece, taken + count as u64)?;
        input.take(count);
        left -= count as u64;
    }
    Ok(crc)
}

/// Checksum and lengths behind the entry. The signature is optional, and the lengths have four or eight bytes:
/// what fits the entry's own length decides.
fn descriptor(input: &mut Input<'_>, packed: u64) -> Result<(u32, u64, u64), DecodeError> {
    if input.peek(4)? == DESCRIPTOR {
        skip(input, 4)?;
    }
    let crc = u32_le(input)?;
    let wide: Vec<u8> = input.peek(20)?.to_vec();
    let narrow = wide.first_chunk::<4>().is_some_and(|len| u64::from(u32::from_le_bytes(*len)) == packed);
    let follows = |at: usize| wide.get(at..at + 4).is_some_and(|next| next == CENTRAL);
    if narrow && (follows(8) || !follows(16)) {
        return Ok((crc, u32_le(input)?.into(), u32_le(input)?.into()));
    }
    Ok((crc, u64_le(input)?, u64_le(input)?))
}

/// What is behind the only entry: its line in the central directory, and the directory's end.
fn directory(input: &mut Input<'_>) -> Result<(), DecodeError> {
    if input.peek(4)? == MAGIC {
        let message = "a ZIP archive of several files is not read";
        return Err(defect(DecodeDefect::UnknownFormat, input, message));
    }
    expect(input, CENTRAL)?;
    skip(input, 24)?;
    let variable = [u16_le(input)?, u16_le(input)?, u16_le(input)?];
    skip(input, 12)?;
    skip(input, variable.into_iter().map(u64::from).sum())?;
    if input.peek(4)? == END_64 {
        skip(input, 4)?;
        let len = u64_le(input)?;
        skip(input, len)?;
        expect(input, LOCATOR_64)?;
        skip(input, 16)?;
    }
    expect(input, END)?;
    skip(input, 16)?;
    let comment = u16_le(input)?;
    skip(input, comment.into())?;
    if input.peek(1)?.is_empty() {
        return Ok(());
    }
    Err(defect(DecodeDefect::TrailingData, input, "something after the end of a ZIP archive"))
}

fn expect(input: &mut Input<'_>, signature: [u8; 4]) -> Result<(), DecodeError> {
    if u32_le(input)?.to_le_bytes() == signature {
        return Ok(());
    }
    Err(defect(DecodeDefect::Corrupt, input, "the structure of a ZIP archive is broken"))
}

fn truncated(input: &Input<'_>) -> DecodeError {
    defect(DecodeDefect::Truncated, input, "it ends inside a ZIP archive")
}

fn array<const N: usize>(input: &mut Input<'_>) -> Result<[u8; N], DecodeError> {
    compression::array(input)?.ok_or_else(|| truncated(input))
}

fn u16_le(input: &mut Input<'_>) -> Result<u16, DecodeError> {
    array(input).map(u16::from_le_bytes)
}

fn u32_le(input: &mut Input<'_>) -> Result<u32, DecodeError> {
    array(input).map(u32::from_le_bytes)
}

fn u64_le(input: &mut Input<'_>) -> Result<u64, DecodeError> {
    array(input).map(u64::from_le_bytes)
}

fn skip(input: &mut Input<'_>, count: u64) -> Result<(), DecodeError> {
    let mut left = count;
    while left > 0 {
        let ready = input.ready()?.len();
        if ready == 0 {
            return Err(truncated(input));
        }
        let step = ready.min(usize::try_from(left).unwrap_or(usize::MAX));
        input.take(step);
        left -= step as u64;
    }
    Ok(())
}
