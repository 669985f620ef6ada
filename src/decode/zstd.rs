//! zstd: every frame, every checksum, a bounded window, and nothing after the end.
//!
//! Driven at the level of libzstd's streaming call, because only there an error has a code: a window above
//! the limit is not damage. Skippable frames (RFC 8878, 3.1.2) are skipped, as libzstd does by itself.

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx, DParameter, InBuffer, OutBuffer};

use super::input::Input;
use super::output::Output;
use super::{BUFFER_BYTES, DecodeDefect, DecodeError};

pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The window is memory, held while an object is decoded: 128 MiB, what the reference decoder takes
/// without being asked. What the common levels write needs 8 MiB.
const WINDOW_LOG_MAX: u32 = 27;

/// Whether a frame begins here, skippable ones included.
pub(super) fn is_frame(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]) || head.starts_with(&MAGIC)
}

pub(super) fn decode(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    let out_of_memory =
        || DecodeError::Input(std::io::Error::new(std::io::ErrorKind::OutOfMemory, "no zstd decoder"));
    let mut context = DCtx::try_create().ok_or_else(out_of_memory)?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX)).map_err(|_| out_of_memory())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        frame(input, output, &mut context, &mut buffer)?;
        output.verified();
        let next = input.peek(MAGIC.len())?;
        if next.is_empty() {
            return Ok(());
        }
        if !is_frame(next) && !MAGIC.starts_with(next) {
            return Err(defect(
                DecodeDefect::TrailingData,
                input,
                "something that is not zstd after a frame",
            ));
        }
    }
}

fn frame(
    input: &mut Input<'_>,
    output: &mut Output<'_>,
    context: &mut DCtx<'_>,
    buffer: &mut [u8],
) -> Result<(), DecodeError> {
    loop {
        let ready = input.ready()?;
        let ended = ready.is_empty();
        let mut source = InBuffer::around(ready);
        let mut target = OutBuffer::around(buffer);
        let result = context.decompress_stream(&mut target, &mut source);
        let (taken, made) = (source.pos(), target.pos());
        input.take(taken);
        let hint = result.map_err(|code| broken(input, code))?;
        let piece = buffer.get(..made).unwrap_or_default();
        if !piece.is_empty() {
            output.push(piece, input.offset())?;
        }
        if hint == 0 {
            return Ok(());
        }
        if ended && made == 0 {
            return Err(defect(DecodeDefect::Truncated, input, "it ends inside a zstd frame"));
        }
    }
}

fn defect(reason: DecodeDefect, input: &Input<'_>, message: impl Into<String>) -> DecodeError {
    DecodeError::defect(reason, input.offset(), message)
}

fn broken(input: &Input<'_>, code: usize) -> DecodeError {
    use ZSTD_ErrorCode::{
        ZSTD_error_dictionary_wrong, ZSTD_error_frameParameter_windowTooLarge, ZSTD_error_memory_allocation,
    };
    let is = |kind| zstd_safe::is_error_kind(code, kind);
    let name = zstd_safe::get_error_name(code);
    if is(ZSTD_error_memory_allocation) {
        return DecodeError::Input(std::io::Error::new(std::io::ErrorKind::OutOfMemory, name));
    }
    let reason = if is(ZSTD_error_frameParameter_windowTooLarge) {
        DecodeDefect::TooLarge
    } else if is(ZSTD_error_dictionary_wrong) {
        DecodeDefect::UnknownFormat
    } else {
        DecodeDefect::Corrupt
    };
    defect(reason, input, format!("zstd: {name}"))
}
