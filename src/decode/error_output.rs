//! The records that Firehose could not deliver, unwrapped.
//!
//! What it fails to process or convert it writes to an error prefix, a line of JSON for each record: the record's
//! bytes in base64 as `rawData`, and why, when and how often it was tried. Here `rawData` becomes the record again.
//! Source: Firehose developer guide, data delivery failure handling, read 2026-11-23.

use std::io::Write;

use base64_simd::STANDARD;
use serde::Deserialize;

use super::spans::{SpanError, Spans};
use super::{DecodeDefect, DecodeError, compression};
use crate::limits::RECORD_BYTES_MAX;

/// A line holds a record in base64, and some hundred bytes beside.
const LINE_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "rawData", borrow)]
    raw_data: std::borrow::Cow<'a, str>,
}

#[derive(Default)]
pub(super) struct ErrorOutput {
    line: Vec<u8>,
    /// Bytes of the lines before.
    position: u64,
    spans: Spans,
    written: u64,
}

impl ErrorOutput {
    pub(super) fn push(&mut self, piece: &[u8], out: &mut dyn Write) -> Result<(), DecodeError> {
        let mut rest = piece;
        while let Some(at) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(at);
            rest = behind.get(1..).unwrap_or_default();
            self.line.extend_from_slice(line);
            self.end_line(out)?;
            self.position += 1;
        }
        if self.line.len() + rest.len() > LINE_BYTES_MAX {
            return Err(self.bad("a line that is longer than any record"));
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    pub(super) fn finish(&mut self, out: &mut dyn Write) -> Result<(Spans, u64), DecodeError> {
        let start = self.position;
        self.end_line(out).map_err(|error| match error {
            // Firehose ends each line.
            DecodeError::Defect { reason: DecodeDefect::BadFraming, message, .. } => {
                let message = format!("it ends inside a line: {message}");
                DecodeError::defect(DecodeDefect::Truncated, start, message)
            }
            other => other,
        })?;
        Ok(self.salvage())
    }

    /// The records of whole lines, taken, and the bytes that were written.
    pub(super) fn salvage(&mut self) -> (Spans, u64) {
        (std::mem::take(&mut self.spans), self.written)
    }

    fn end_line(&mut self, out: &mut dyn Write) -> Result<(), DecodeError> {
        let line = self.line.trim_ascii();
        if !line.is_empty() {
            let parsed: Line<'_> = serde_json::from_slice(line)
                .map_err(|_| self.bad("a line that is no JSON object with rawData"))?;
            let raw = STANDARD.decode_to_vec(parsed.raw_data.as_bytes());
            let raw = raw.map_err(|_| self.bad("rawData that is no base64"))?;
            out.write_all(&raw).map_err(DecodeError::Output)?;
            self.spans.push(self.written, raw.len() as u64).map_err(|error: SpanError| {
                DecodeError::defect(DecodeDefect::TooLarge, self.position, error.to_string())
            })?;
            self.written += raw.len() as u64;
        }
        self.position += self.line.len() as u64;
        self.line.clear();
        Ok(())
    }

    fn bad(&self, what: &str) -> DecodeError {
        if let Some(name) = compression::nested(&self.line).filter(|_| self.position == 0) {
            return super::framing::not_read(&name);
        }
        let message = format!("not an error output of Firehose: {what}");
        DecodeError::defect(DecodeDefect::BadFraming, self.position, message)
    }
}
