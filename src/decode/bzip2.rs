//! bzip2: every stream, every checksum, and nothing after the end.
//!
//! `pbzip2` and appended files have several streams one behind the other; all of them are decoded.

use bzip2::{Decompress, Error, Status};

use super::input::Input;
use super::output::Output;
use super::{BUFFER_BYTES, DecodeDefect, DecodeError};

const MAGIC: [u8; 3] = *b"BZh";

/// bzip2's magic has a digit in its middle, followed by the digits of pi, or by those of its square root if
/// the stream holds nothing.
pub(super) fn is_stream(head: &[u8]) -> bool {
    matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, ..])
        || matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, ..])
}

pub(super) fn decode(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        stream(input, output, &mut buffer)?;
        output.verified();
        let next = input.peek(MAGIC.len())?;
        if next.is_empty() {
            return Ok(());
        }
        if !MAGIC.starts_with(next) {
            let message = "something that is not bzip2 after a stream";
            return Err(DecodeError::defect(DecodeDefect::TrailingData, input.offset(), message));
        }
    }
}

fn stream(input: &mut Input<'_>, output: &mut Output<'_>, buffer: &mut [u8]) -> Result<(), DecodeError> {
    let mut decompress = Decompress::new(false);
    loop {
        let ready = input.ready()?;
        let ended = ready.is_empty();
        let (in_before, out_before) = (decompress.total_in(), decompress.total_out());
        let status = decompress.decompress(ready, buffer);
        let taken = usize::try_from(decompress.total_in() - in_before).unwrap_or_default();
        let made = usize::try_from(decompress.total_out() - out_before).unwrap_or_default();
        input.take(taken);
        let status = status.map_err(|error| broken(error, input.offset()))?;
        let piece = buffer.get(..made).unwrap_or_default();
        if !piece.is_empty() {
            output.push(piece, input.offset())?;
        }
        if status == Status::StreamEnd {
            return Ok(());
        }
        if ended && made == 0 {
            let message = "it ends inside a bzip2 stream";
            return Err(DecodeError::defect(DecodeDefect::Truncated, input.offset(), message));
        }
    }
}

fn broken(error: Error, offset: u64) -> DecodeError {
    DecodeError::defect(DecodeDefect::Corrupt, offset, format!("bzip2: {error}"))
}
