//! Records between delimiters of the user's own.
//!
//! A record is exactly the bytes between two delimiters. Nothing between two is no record, and the last record
//! counts without its delimiter too, as it does with line feeds.

use std::fmt;
use std::str::FromStr;

use memchr::memmem;
use serde::{Deserialize, Serialize};

use super::spans::{SpanError, Spans};

/// The longest delimiter.
const DELIMITER_BYTES_MAX: usize = 16;

/// What stands between two records: 1 to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter {
    bytes: [u8; DELIMITER_BYTES_MAX],
    len: u8,
}

/// The text is no delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a delimiter has 1 to 16 bytes, as they are or as \\n, \\r, \\t, \\0, \\\\ and \\x1e for a byte in hexadecimal"
)]
pub struct DelimiterError;

impl Delimiter {
    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&self.bytes)
    }
}

impl FromStr for Delimiter {
    type Err = DelimiterError;

    fn from_str(text: &str) -> Result<Self, DelimiterError> {
        let mut found = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            found.push(match byte {
                b'\\' => match rest.next().ok_or(DelimiterError)? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    b'x' => {
                        let mut digit = || char::from(rest.next()?).to_digit(16);
                        let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                        value.and_then(|value| u8::try_from(value).ok()).ok_or(DelimiterError)?
                    }
                    _ => return Err(DelimiterError),
                },
                byte => byte,
            });
        }
        let mut bytes = [0; DELIMITER_BYTES_MAX];
        let place = bytes.get_mut(..found.len()).filter(|place| !place.is_empty()).ok_or(DelimiterError)?;
        place.copy_from_slice(&found);
        Ok(Self { bytes, len: u8::try_from(found.len()).map_err(|_| DelimiterError)? })
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|&byte| match byte {
            b'\n' => f.write_str("\\n"),
            b'\r' => f.write_str("\\r"),
            b'\t' => f.write_str("\\t"),
            0 => f.write_str("\\0"),
            b'\\' => f.write_str("\\\\"),
            0x20..=0x7e => write!(f, "{}", char::from(byte)),
            _ => write!(f, "\\x{byte:02x}"),
        })
    }
}

impl TryFrom<String> for Delimiter {
    type Error = DelimiterError;

    fn try_from(text: String) -> Result<Self, DelimiterError> {
        text.parse()
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        delimiter.to_string()
    }
}

pub(super) struct DelimiterFramer {
    finder: memmem::Finder<'static>,
    spans: Spans,
    position: u64,
    record_start: u64,
    /// The last bytes of what came before, one less than a delimiter has: it may have begun there.
    tail: Vec<u8>,
}

impl DelimiterFramer {
    pub(super) fn new(delimiter: Delimiter) -> Self {
        let finder = memmem::Finder::new(delimiter.as_bytes()).into_owned();
        Self { finder, spans: Spans::default(), position: 0, record_start: 0, tail: Vec::new() }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), SpanError> {
        let reach = self.finder.needle().len() - 1;
        let mut from = 0;
        // One that began before this chunk.
        let mut joint = std::mem::take(&mut self.tail);
        let before = self.position - joint.len() as u64;
        joint.extend(chunk.iter().take(reach));
        let taken = usize::try_from(self.record_start.saturating_sub(before)).unwrap_or(usize::MAX);
        if let Some(at) = self.find(&joint, taken)
            && before + (at as u64) < self.position
        {
            let start = before + at as u64;
            self.end_record(start)?;
            from = usize::try_from(self.record_start - self.position).unwrap_or_default();
        }
        while let Some(at) = self.find(chunk, from) {
            self.end_record(self.position + at as u64)?;
            from = at + self.finder.needle().len();
        }
        self.position += chunk.len() as u64;
        if chunk.len() >= reach {
            joint.clear();
            joint.extend(chunk.iter().skip(chunk.len() - reach));
        } else {
            joint.drain(..joint.len().saturating_sub(reach));
        }
        self.tail = joint;
        Ok(())
    }

    pub(super) fn finish(&mut self) -> Result<Spans, SpanError> {
        self.end_record(self.position)?;
        Ok(self.spans())
    }

    /// The records that have ended, taken.
    pub(super) fn spans(&mut self) -> Spans {
        std::mem::take(&mut self.spans)
    }

    fn find(&self, bytes: &[u8], from: usize) -> Option<usize> {
        self.finder.find(bytes.get(from..)?).map(|at| from + at)
    }

    fn end_record(&mut self, end: u64) -> Result<(), SpanError> {
        let start = std::mem::replace(&mut self.record_start, end + self.finder.needle().len() as u64);
        if end == start { Ok(()) } else { self.spans.push(start, end - start) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_written_as_it_is_read() {
        for (text, bytes) in [
            ("\\x1e", &b"\x1e"[..]),
            ("\\r\\n", b"\r\n"),
            ("\\0", b"\0"),
            ("||", b"||"),
            ("\\\\n", b"\\n"),
            ("\u{a7}", "\u{a7}".as_bytes()),
        ] {
            let delimiter: Delimiter = text.parse().unwrap();
            assert_eq!(delimiter.as_bytes(), bytes);
            assert_eq!(delimiter.to_string().parse(), Ok(delimiter));
        }
        for bad in ["", "\\", "\\q", "\\x1", "\\x1g", "12345678901234567"] {
            assert_eq!(bad.parse::<Delimiter>(), Err(DelimiterError), "{bad}");
        }
    }
}
