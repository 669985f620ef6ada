//! The decoded bytes on their way out: capped, written, framed.
//!
//! Both caps are checked before a piece is written, so a bomb never takes more of the disk than the
//! cap and one buffer. The ratio is not asked below 64 MiB, where honest objects reach any ratio.

use std::io::Write;

use super::error_output::ErrorOutput;
use super::framing::Framer;
use super::{DecodeConfig, DecodeDefect, DecodeError, Framing, FramingChoice, Spans};

/// Below this much output the ratio says nothing.
const RATIO_CHECKED_FROM: u64 = 64 * 1024 * 1024;

pub(super) struct Output<'a> {
    out: &'a mut dyn Write,
    config: &'a DecodeConfig,
    stage: Stage,
    written: u64,
    /// Bytes that some checksum or structure of the format has vouched for.
    verified: u64,
    /// What does not fit in an object that is to be salvaged. It is decompressed to its end all the same: whether
    /// what lies before is as it was stored may show only there.
    misfit: Option<DecodeError>,
}

/// What becomes of the decompressed bytes.
enum Stage {
    /// They are the segment's data, and records lie in them.
    Verbatim(Framer),
    /// Records are unwrapped from them.
    Unwrapped(ErrorOutput),
}

impl<'a> Output<'a> {
    pub(super) fn new(out: &'a mut dyn Write, config: &'a DecodeConfig) -> Self {
        let stage = match config.framing {
            FramingChoice::ErrorOutput => Stage::Unwrapped(ErrorOutput::default()),
            framing => Stage::Verbatim(Framer::new(framing, config.salvage)),
        };
        Self { out, config, stage, written: 0, verified: 0, misfit: None }
    }

    /// So many bytes more touch no cap, whatever they are made of.
    pub(super) fn room_below_caps(&self) -> u64 {
        self.config.output_bytes_max.min(RATIO_CHECKED_FROM).saturating_sub(self.written)
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
        let taken_in = match &mut self.stage {
            Stage::Verbatim(framer) => {
                let pushed = if self.misfit.is_none() { framer.push(piece) } else { Ok(()) };
                self.out.write_all(piece).map_err(DecodeError::Output)?;
                pushed
            }
            Stage::Unwrapped(unwrapper) if self.misfit.is_none() => unwrapper.push(piece, self.out),
            Stage::Unwrapped(_) => Ok(()),
        };
        self.written = written;
        match taken_in {
            Err(error) if self.config.salvage && error.is_damage() => self.misfit = Some(error),
            taken_in => taken_in?,
        }
        Ok(())
    }

    /// What was pushed so far is as it was stored.
    pub(super) fn verified(&mut self) {
        self.verified = self.written;
    }

    /// See [`super::Decoded::why`].
    pub(super) fn why(&self) -> &'static str {
        match &self.stage {
            Stage::Verbatim(framer) => framer.why(),
            Stage::Unwrapped(_) => "",
        }
    }

    pub(super) fn finish(&mut self) -> Result<(Spans, Framing, u64), DecodeError> {
        if let Some(misfit) = self.misfit.take() {
            return Err(misfit);
        }
        match &mut self.stage {
            Stage::Verbatim(framer) => {
                let (spans, framing) = framer.finish()?;
                Ok((spans, framing, self.written))
            }
            Stage::Unwrapped(unwrapper) => {
                let (spans, bytes) = unwrapper.finish(self.out)?;
                Ok((spans, Framing::ErrorOutput, bytes))
            }
        }
    }

    /// The whole records of an object with this defect, and the bytes that went to `out`: for a damaged object what was
    /// vouched for; for any other all that came, up to what does not fit.
    pub(super) fn salvage(mut self, reason: DecodeDefect) -> Option<(Spans, Framing, u64)> {
        let sound = if reason == DecodeDefect::Corrupt { self.verified } else { self.written };
        let (spans, framing, bytes) = match &mut self.stage {
            Stage::Verbatim(framer) => {
                let (spans, framing) = framer.salvage(reason, sound)?;
                (spans, framing, self.written)
            }
            // Its records do not lie where the verified bytes lay.
            Stage::Unwrapped(_) if reason == DecodeDefect::Corrupt => return None,
            Stage::Unwrapped(unwrapper) => {
                let (spans, bytes) = unwrapper.salvage();
                (spans, Framing::ErrorOutput, bytes)
            }
        };
        let mut whole = Spans::default();
        for span in spans.iter().take_while(|span| span.offset + u64::from(span.len) <= sound) {
            whole.push(span.offset, u64::from(span.len)).ok()?;
        }
        (!whole.is_empty()).then_some((whole, framing, bytes))
    }
}
