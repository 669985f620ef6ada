//! Records behind their length.
//!
//! A record that is an aggregate of the Kinesis Producer Library is unpacked: what a consumer sees of it are the
//! records inside.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::aggregate;
use super::json::Misfit;
use super::spans::{SpanError, Spans};

/// How a length is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthPrefix {
    /// Four bytes, the highest first.
    U32Be,
    /// Four bytes, the lowest first.
    U32Le,
    /// As protobuf writes delimited messages.
    Varint,
}

impl LengthPrefix {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::U32Be, Self::U32Le, Self::Varint];

    /// The word for it on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::U32Be => "u32be",
            Self::U32Le => "u32le",
            Self::Varint => "varint",
        }
    }

    /// The length at the front of `bytes`, and its own length; `None` if it goes on.
    fn read(self, bytes: &[u8]) -> Result<Option<u64>, &'static str> {
        if self == Self::Varint {
            return match bytes {
                [.., last] if *last < 0x80 => {
                    let number = bytes.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
                    Ok(Some(number))
                }
                _ if bytes.len() < 5 => Ok(None),
                _ => Err("a length of more than 32 bits"),
            };
        }
        let number = |order: fn([u8; 4]) -> u32| bytes.first_chunk().map(|four| u64::from(order(*four)));
        Ok(if self == Self::U32Be { number(u32::from_be_bytes) } else { number(u32::from_le_bytes) })
    }
}

impl fmt::Display for LengthPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for LengthPrefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|prefix| prefix.word() == text).ok_or(())
    }
}

pub(super) struct PrefixFramer {
    prefix: LengthPrefix,
    spans: Spans,
    position: u64,
    length: Vec<u8>,
    /// Where the record ends that is under way.
    end: Option<u64>,
    start: u64,
    /// The record under way, as long as it may be an aggregate.
    held: Option<Vec<u8>>,
}

impl PrefixFramer {
    pub(super) fn new(prefix: LengthPrefix) -> Self {
        let (length, held) = (Vec::new(), None);
        Self { prefix, spans: Spans::default(), position: 0, length, end: None, start: 0, held }
    }

    /// What does not fit, if something does not, and where.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<Result<(), Misfit>, SpanError> {
        let mut rest = chunk;
        loop {
            let Some(end) = self.end else {
                let Some((byte, behind)) = rest.split_first() else { return Ok(Ok(())) };
                rest = behind;
                self.position += 1;
                self.length.push(*byte);
                match self.prefix.read(&self.length) {
                    Ok(Some(length)) => self.begin(length)?,
                    Ok(None) => {}
                    Err(what) => return Ok(Err(Misfit { offset: self.position, what })),
                }
                continue;
            };
            let left = usize::try_from(end - self.position).unwrap_or(usize::MAX);
            let (piece, behind) = rest.split_at_checked(left).unwrap_or((rest, &[]));
            self.hold(piece);
            self.position += piece.len() as u64;
            rest = behind;
            if self.position < end {
                return Ok(Ok(()));
            }
            self.complete()?;
        }
    }

    /// Whether the last record is whole.
    pub(super) fn is_whole(&self) -> bool {
        self.end.is_none() && self.length.is_empty()
    }

    /// The whole records, taken.
    pub(super) fn spans(&mut self) -> Spans {
        std::mem::take(&mut self.spans)
    }

    fn begin(&mut self, length: u64) -> Result<(), SpanError> {
        self.length.clear();
        self.start = self.position;
        self.end = Some(self.position + length);
        self.held = (length <= aggregate::BYTES_MAX as u64).then(Vec::new);
        if length == 0 { self.complete() } else { Ok(()) }
    }

    fn hold(&mut self, piece: &[u8]) {
        let Some(held) = &mut self.held else { return };
        held.extend_from_slice(piece);
        if !aggregate::may_begin(held) {
            self.held = None;
        }
    }

    fn complete(&mut self) -> Result<(), SpanError> {
        self.end = None;
        let inner = self.held.take().filter(|held| !held.is_empty());
        match inner.as_deref().and_then(aggregate::unpack) {
            Some(records) => records
                .iter()
                .try_for_each(|record| self.spans.push(self.start + record.offset, record.data.len() as u64)),
            None => self.spans.push(self.start, self.position - self.start),
        }
    }
}
