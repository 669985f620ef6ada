//! Records between line feeds.
//!
//! A record is exactly the bytes between two line feeds: a carriage return, a byte-order mark or blanks at
//! its ends are the user's and stay. A line of nothing, or of a carriage return alone, is no record. The
//! last line counts without its line feed too.

use super::spans::{SpanError, Spans};

#[derive(Default)]
pub(super) struct NewlineFramer {
    spans: Spans,
    position: u64,
    line_start: u64,
    line_first: u8,
}

impl NewlineFramer {
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), SpanError> {
        let mut from = 0;
        for at in memchr::memchr_iter(b'\n', chunk) {
            self.note_first(chunk, from);
            self.end_line(self.position + at as u64)?;
            from = at + 1;
            self.line_start = self.position + from as u64;
        }
        self.note_first(chunk, from);
        self.position += chunk.len() as u64;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Spans, SpanError> {
        self.end_line(self.position)?;
        Ok(self.spans())
    }

    /// The lines that have ended, taken.
    pub(super) fn spans(&mut self) -> Spans {
        std::mem::take(&mut self.spans)
    }

    /// Remembers the line's first byte if it begins at `from` in this chunk.
    fn note_first(&mut self, chunk: &[u8], from: usize) {
        if self.line_start == self.position + from as u64 {
            self.line_first = chunk.get(from).copied().unwrap_or_default();
        }
    }

    fn end_line(&mut self, end: u64) -> Result<(), SpanError> {
        let len = end - self.line_start;
        if len == 0 || (len == 1 && self.line_first == b'\r') {
            return Ok(());
        }
        self.spans.push(self.line_start, len)
    }
}
