//! gzip: every member, every checksum, and nothing after the end.
//!
//! Objects often consist of many members (writers that compress each record, or append). A decoder that
//! stops after the first loses the rest without a word, so the members are walked here, over flate2's raw
//! inflate: that way a file cut short, a damaged one and one with something behind its end are told apart
//! at the byte where it shows, and what a hostile header may make us read is bounded. Where an object fits into
//! memory, its members are inflated at once (see [`whole`](super::whole)). Format: RFC 1952.

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::input::Input;
use super::output::Output;
use super::whole::Whole;
use super::{BUFFER_BYTES, DecodeDefect, DecodeError};

pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Members in one object. An object of Firehose's largest size with a member per tiny record has some millions.
const MEMBERS_MAX: u32 = 1 << 23;

/// Bytes of one member's header; the format itself bounds only the extra field (64 KiB).
const HEADER_BYTES_MAX: u64 = 256 * 1024;

const DEFLATE: u8 = 8;
const HAS_HEADER_CRC: u8 = 0b0000_0010;
const HAS_EXTRA: u8 = 0b0000_0100;
const HAS_NAME: u8 = 0b0000_1000;
const HAS_COMMENT: u8 = 0b0001_0000;
const RESERVED: u8 = 0b1110_0000;

pub(super) fn decode(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let whole = Whole::new(input)?;
    decode_members(input, output, whole)
}

/// Piece by piece, unless there is a way to do it at once.
pub(super) fn decode_members(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
    mut whole: Option<Whole>,
) -> Result<(), DecodeError> {
    let mut in_pieces: Option<(Decompress, Vec<u8>)> = None;
    for _ in 0..MEMBERS_MAX {
        let start = input.offset();
        Header { input, crc: Crc::new(), start }.parse()?;
        let at_once = whole.as_mut().map_or(Ok(None), |whole| whole.inflate(input, output))?;
        let crc = if let Some(crc) = at_once {
            crc
        } else {
            let new = || (Decompress::new(false), vec![0; BUFFER_BYTES]);
            let (decompress, buffer) = in_pieces.get_or_insert_with(new);
            decompress.reset(false);
            inflate(input, output, decompress, buffer)?
        };
        trailer(input, &crc)?;
        output.verified();
        if at_end(input)? {
            return Ok(());
        }
    }
    Err(defect(DecodeDefect::TooLarge, input, format!("it has more than {MEMBERS_MAX} gzip members")))
}

fn defect(reason: DecodeDefect, input: &Input<'_>, message: impl Into<String>) -> DecodeError {
    DecodeError::defect(reason, input.offset(), message)
}

/// After a member: the end, or another one.
fn at_end(input: &mut Input<'_>) -> Result<bool, DecodeError> {
    let next = input.peek(MAGIC.len())?;
    if next.is_empty() {
        return Ok(true);
    }
    if MAGIC.starts_with(next) {
        return Ok(false);
    }
    let what = if next.iter().all(|&byte| byte == 0) { "zeros" } else { "something that is not gzip" };
    Err(defect(DecodeDefect::TrailingData, input, format!("{what} after the last gzip member")))
}

struct Header<'i, 'r> {
    input: &'i mut Input<'r>,
    crc: Crc,
    start: u64,
}

impl Header<'_, '_> {
    fn parse(mut self) -> Result<(), DecodeError> {
        for expected in MAGIC {
            if self.byte()? != expected {
                return Err(self.corrupt("no gzip member where one should begin"));
            }
        }
        if self.byte()? != DEFLATE {
            return Err(self.corrupt("a compression method that gzip does not have"));
        }
        let flags = self.byte()?;
        if flags & RESERVED != 0 {
            return Err(self.corrupt("reserved flags are set in a gzip header"));
        }
        self.skip(6)?; // time, extra flags, system
        if flags & HAS_EXTRA != 0 {
            let len = u16::from_le_bytes([self.byte()?, self.byte()?]);
            self.skip(len)?;
        }
        if flags & HAS_NAME != 0 {
            while self.byte()? != 0 {}
        }
        if flags & HAS_COMMENT != 0 {
            while self.byte()? != 0 {}
        }
        if flags & HAS_HEADER_CRC != 0 {
            let expected = self.crc.sum() & 0xffff;
            let found = u16::from_le_bytes([self.byte()?, self.byte()?]);
            if u32::from(found) != expected {
                return Err(self.corrupt("a gzip header's checksum does not match"));
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        if self.input.offset() - self.start >= HEADER_BYTES_MAX {
            let message = format!("a gzip header of more than {HEADER_BYTES_MAX} B");
            return Err(defect(DecodeDefect::TooLarge, self.input, message));
        }
        let byte = self.input.byte()?.ok_or_else(|| truncated(self.input, "a gzip header"))?;
        self.crc.update(&[byte]);
        Ok(byte)
    }

    fn skip(&mut self, count: u16) -> Result<(), DecodeError> {
        for _ in 0..count {
            self.byte()?;
        }
        Ok(())
    }

    fn corrupt(&self, message: &str) -> DecodeError {
        defect(DecodeDefect::Corrupt, self.input, message)
    }
}

fn truncated(input: &Input<'_>, inside: &str) -> DecodeError {
    defect(DecodeDefect::Truncated, input, format!("it ends inside {inside}"))
}

/// Inflates up to the end of the deflate data; the checksum of what came out.
pub(super) fn inflate(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
    inflate: &mut Decompress,
    buffer: &mut [u8],
) -> Result<Crc, DecodeError> {
    let mut crc = Crc::new();
    loop {
        let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
        let ready = input.ready()?;
        let ended = ready.is_empty();
        let status = inflate.decompress(ready, buffer, FlushDecompress::None);
        // Both differences are bounded by the buffers' lengths.
        let taken = usize::try_from(inflate.total_in() - in_before).unwrap_or(usize::MAX);
        let made = usize::try_from(inflate.total_out() - out_before).unwrap_or(usize::MAX);
        input.take(taken);
        let status =
            status.map_err(|_| defect(DecodeDefect::Corrupt, input, "its deflate data makes no sense"))?;
        let piece = buffer.get(..made).unwrap_or_default();
        crc.update(piece);
        if !piece.is_empty() {
            output.push(piece, input.offset())?;
        }
        match status {
            Status::StreamEnd => return Ok(crc),
            Status::Ok | Status::BufError if ended && made == 0 => {
                return Err(truncated(input, "compressed data"));
            }
            Status::Ok | Status::BufError => {}
        }
    }
}

fn trailer(input: &mut Input<'_>, crc: &Crc) -> Result<(), DecodeError> {
    let mut words = [0u32; 2];
    for word in &mut words {
        let mut bytes = [0; 4];
        for byte in &mut bytes {
            *byte = input.byte()?.ok_or_else(|| truncated(input, "a gzip trailer"))?;
        }
        *word = u32::from_le_bytes(bytes);
    }
    let [sum, len] = words;
    if sum != crc.sum() {
        return Err(defect(DecodeDefect::Corrupt, input, "the checksum of a gzip member does not match"));
    }
    if len != crc.amount() {
        return Err(defect(DecodeDefect::Corrupt, input, "the length of a gzip member does not match"));
    }
    Ok(())
}
