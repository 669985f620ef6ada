//! Inflating at once what is in memory as a whole, for half of the price.
//!
//! libdeflate wants all of the input and room for all of the output, and then takes half of the time. So an object
//! of usual size is read to its end first, and each of its gzip members is inflated at once. What does not work out
//! (too little room, no sense, a cap that might be touched) has had no effect: the member is inflated piece by piece,
//! as if nothing had been tried, and it is that path which finds a defect and says where. A lie in the length that
//! the object gives of itself costs time, and nothing else. Both decoders refuse the same data, but for Huffman codes
//! that no compressor makes; there the member's checksum decides.

use flate2::Crc;

use super::DecodeError;
use super::buffers::Buffer;
use super::input::Input;
use super::native::{Inflater, NotInflated};
use super::output::Output;

/// What an object may take in memory as it is stored: a buffer, less the byte that would show that there is more.
const STORED_BYTES_MAX: usize = 16 * 1024 * 1024 - 1;

/// What a member may take in memory decoded.
const MEMBER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Room to begin with where the length that the object gives is that of one small member of many.
const ROOM_BYTES_MIN: usize = 1024 * 1024;

/// Members that did not work out, until no more is tried.
const FAILED_MAX: u32 = 2;

/// Pieces in which the decoded bytes go on.
const PIECE_BYTES: usize = 1024 * 1024;

pub(super) struct Whole {
    inflater: Inflater,
    buffer: Buffer,
    failed: u32,
}

impl Whole {
    /// Reads `input` to its end. `None`, and nothing is lost, if that is too much or memory is short.
    pub(super) fn new(input: &mut Input<'_>) -> Result<Option<Self>, DecodeError> {
        let Some(stored) = input.rest(STORED_BYTES_MAX)? else { return Ok(None) };
        // Of the last member, and modulo 2^32.
        let length = stored.last_chunk().map_or(0, |length| u32::from_le_bytes(*length));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        // More than deflate can make of it: that is no length.
        let length = if length / 1_040 > stored.len() { 0 } else { length };
        if length > MEMBER_BYTES_MAX {
            return Ok(None);
        }
        let buffer = Buffer::lend(length.max(ROOM_BYTES_MIN));
        Ok(buffer.zip(Inflater::new()).map(|(buffer, inflater)| Self { inflater, buffer, failed: 0 }))
    }

    /// Inflates a member behind its header. `None` if it has to be done piece by piece: then nothing has happened.
    pub(super) fn inflate(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Option<Crc>, DecodeError> {
        if self.failed >= FAILED_MAX {
            return Ok(None);
        }
        let below_caps = usize::try_from(output.room_below_caps()).unwrap_or(usize::MAX);
        let inflated = loop {
            let room = below_caps.min(self.buffer.len());
            let into = self.buffer.get_mut(..room).unwrap_or_default();
            match self.inflater.inflate(input.ready()?, into) {
                Ok(inflated) => break inflated,
                Err(NotInflated::NoRoom) if room < below_caps && self.grow() => {}
                Err(_) => {
                    self.failed += 1;
                    return Ok(None);
                }
            }
        };
        input.take(inflated.taken);
        let mut crc = Crc::new();
        for piece in self.buffer.get(..inflated.made).unwrap_or_default().chunks(PIECE_BYTES) {
            crc.update(piece);
            output.push(piece, input.offset())?;
        }
        Ok(Some(crc))
    }

    /// Takes a larger buffer for this member and all behind it, if there is one.
    fn grow(&mut self) -> bool {
        let bytes = self.buffer.len().saturating_mul(4).min(MEMBER_BYTES_MAX);
        let larger = (bytes > self.buffer.len()).then(|| Buffer::lend(bytes)).flatten();
        larger.is_some_and(|larger| {
            self.buffer = larger;
            true
        })
    }
}
