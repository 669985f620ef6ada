//! Snappy in its three dialects: as snappy-java writes it (xerial), as Hadoop does, and in the framing format.
//!
//! Firehose's `Snappy` is the first and its `HADOOP_SNAPPY` the second, under the same extension. The raw
//! blocks and the framing format are the `snap` crate's; what lies around the blocks of the others is read here.
//! Neither of these two has a checksum, and none of the three has an end: a file cut between two blocks cannot
//! be told from a whole one.
//!
//! ```text
//! xerial   82 "SNAPPY" 00, version u32, compatible u32, then ( length u32, block )…     all big-endian
//! Hadoop   ( decoded length u32, ( length u32, block )… until that much is decoded )…   all big-endian
//! ```

use std::io::{self, Read};

use snap::raw::{Decoder, decompress_len};

use super::input::Input;
use super::output::Output;
use super::{BUFFER_BYTES, DecodeDefect, DecodeError, compression};

pub(super) const XERIAL_MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
pub(super) const FRAME_MAGIC: [u8; 10] = *b"\xff\x06\0\0sNaPpY";

/// The largest block, packed or not. snappy-java's have 32 KiB, Hadoop's 256 KiB by default.
const BLOCK_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Whether these may be the first bytes of Hadoop's dialect, which has no magic: lengths that fit each other,
/// and a block that says it decodes to no more than they allow.
pub(super) fn is_hadoop(head: &[u8]) -> bool {
    let Some((lengths, block)) = head.split_first_chunk::<8>() else { return false };
    let (decoded, packed) = lengths.split_at(4);
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (decoded, packed) = (number(decoded), number(packed));
    let sizes = (1..=BLOCK_BYTES_MAX).contains(&decoded) && (2..=BLOCK_BYTES_MAX).contains(&packed);
    sizes && decompress_len(block).is_ok_and(|len| len > 0 && len <= decoded && packed <= most_packed(len))
}

/// What a block of `len` bytes packs to at most: `snap::raw::max_compress_len`, which has an upper bound.
fn most_packed(len: usize) -> usize {
    32 + len + len / 6
}

pub(super) fn decode_xerial(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let mut blocks = Blocks::default();
    while !input.peek(1)?.is_empty() {
        // Appended files have a header in their middle.
        if input.peek(XERIAL_MAGIC.len())? == XERIAL_MAGIC {
            compression::array::<16>(input)?.ok_or_else(|| truncated(input))?;
            continue;
        }
        let len = u32_be(input)?;
        blocks.decode(input, output, len, BLOCK_BYTES_MAX)?;
        output.verified();
    }
    Ok(())
}

pub(super) fn decode_hadoop(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let mut blocks = Blocks::default();
    while !input.peek(1)?.is_empty() {
        let mut left = u32_be(input)?;
        while left > 0 {
            let len = u32_be(input)?;
            let decoded = blocks.decode(input, output, len, left)?;
            left -= decoded;
        }
        output.verified();
    }
    Ok(())
}

pub(super) fn decode_framed(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let mut frames = snap::read::FrameDecoder::new(Taken { input, failed: None });
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match frames.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(made) => {
                let taken = frames.get_ref().input.offset();
                output.push(buffer.get(..made).unwrap_or_default(), taken)?;
                output.verified();
            }
            Err(error) => {
                let taken = frames.into_inner();
                if let Some(error) = taken.failed {
                    return Err(error);
                }
                if error.kind() == io::ErrorKind::UnexpectedEof {
                    return Err(truncated(taken.input));
                }
                return Err(defect(DecodeDefect::Corrupt, taken.input, format!("Snappy: {error}")));
            }
        }
    }
}

/// The input as a reader, for `snap`.
struct Taken<'i, 'r> {
    input: &'i mut Input<'r>,
    failed: Option<DecodeError>,
}

impl Read for Taken<'_, '_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = match self.input.ready() {
            Ok(ready) => ready,
            Err(error) => {
                self.failed = Some(error);
                return Err(io::Error::other("the object's bytes cannot be read"));
            }
        };
        let count = ready.len().min(into.len());
        into.iter_mut().zip(ready).for_each(|(to, from)| *to = *from);
        self.input.take(count);
        Ok(count)
    }
}

/// Raw blocks, one at a time in memory.
#[derive(Default)]
struct Blocks {
    decoder: Decoder,
    packed: Vec<u8>,
    decoded: Vec<u8>,
}

impl Blocks {
    /// Decodes the next `len` bytes, which are one block of at most `decoded_max`. Gives its decoded length.
    fn decode(
        &mut self,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        len: usize,
        decoded_max: usize,
    ) -> Result<usize, DecodeError> {
        if len > BLOCK_BYTES_MAX {
            return Err(defect(DecodeDefect::TooLarge, input, format!("a Snappy block of {len} B")));
        }
        self.packed.clear();
        while self.packed.len() < len {
            let ready = input.ready()?;
            let piece = ready.get(..len - self.packed.len()).unwrap_or(ready);
            if piece.is_empty() {
                return Err(truncated(input));
            }
            self.packed.extend_from_slice(piece);
            let count = piece.len();
            input.take(count);
        }
        let corrupt =
            |error: snap::Error| defect(DecodeDefect::Corrupt, input, format!("a Snappy block: {error}"));
        let decoded = decompress_len(&self.packed).map_err(corrupt)?;
        if decoded > decoded_max {
            let message = format!("a Snappy block of {decoded} B where {decoded_max} B are left");
            return Err(defect(DecodeDefect::Corrupt, input, message));
        }
        self.decoded.resize(decoded, 0);
        let made = self.decoder.decompress(&self.packed, &mut self.decoded).map_err(corrupt)?;
        output.push(self.decoded.get(..made).unwrap_or_default(), input.offset())?;
        if made == 0 {
            return Err(defect(DecodeDefect::Corrupt, input, "a Snappy block of nothing"));
        }
        Ok(made)
    }
}

fn u32_be(input: &mut Input<'_>) -> Result<usize, DecodeError> {
    let bytes = compression::array(input)?.ok_or_else(|| truncated(input))?;
    Ok(usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX))
}

fn truncated(input: &Input<'_>) -> DecodeError {
    defect(DecodeDefect::Truncated, input, "it ends inside a Snappy block")
}

fn defect(reason: DecodeDefect, input: &Input<'_>, message: impl Into<String>) -> DecodeError {
    DecodeError::defect(reason, input.offset(), message)
}
