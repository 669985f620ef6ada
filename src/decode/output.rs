//! The decoded bytes on their way out: capped, written, framed.
//!
//! Both caps are checked before a piece is written, so a bomb never takes more of the disk than the
//! cap and one buffer. The ratio is not asked below 64 MiB, where honest objects reach any ratio.

use std::io::Write;

use super::framing::Framer;
use super::{DecodeConfig, DecodeDefect, DecodeError, Framing, Spans};

/// Below this much output the ratio says nothing.
const RATIO_CHECKED_FROM: u64 = 64 * 1024 * 1024;

pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    config: &'a DecodeConfig,
    framer: Framer,
    written: u64,
}

impl<'a> Output<'a> {
    pub(super) fn new(out: &'a mut dyn Write, config: &'a DecodeConfig) -> Self {
        Self { out, config, framer: Framer::new(config.framing), written: 0 }
    }

    /// Takes the next piece, made of the object's first `taken` bytes.
    pub(super) fn push(&mut self, piece: &[u8], taken: u64) -> Result<(), DecodeError> {
        let written = self.written + piece.len() as u64;
        if written > self.config.output_bytes_max {
            let message = format!("it decodes to more than {} B", self.config.output_bytes_max);
            return Err(DecodeError::defect(DecodeDefect::TooLarge, taken, message));
        }
        if written > RATIO_CHECKED_FROM && written / taken.max(1) >= self.config.ratio_max {
            let message =
                format!("{taken} B of it decode to {written} B, over {} : 1", self.config.ratio_max);
            return Err(DecodeError::defect(DecodeDefect::TooLarge, taken, message));
        }
        self.framer.push(piece)?;
        self.out.write_all(piece).map_err(DecodeError::Output)?;
        self.written = written;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(Spans, Framing, u64), DecodeError> {
        let (spans, framing) = self.framer.finish()?;
        Ok((spans, framing, self.written))
    }
}
