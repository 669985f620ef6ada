//! The object's bytes on their way in: buffered, counted, and to be looked at before they are taken.
//!
//! The decompressors need three things that a plain reader does not give: how far they are (for the
//! offset in an error), a look at a few bytes ahead (magic numbers), and one kind of end of input
//! that is not an error until somebody needed more.

use std::io::{self, Read};

use super::buffers::Buffer;
use super::{BUFFER_BYTES, DecodeError};

pub(super) struct Input<'a> {
    reader: &'a mut dyn Read,
    buffer: Buffer,
    start: usize,
    end: usize,
    taken: u64,
    ended: bool,
}

impl<'a> Input<'a> {
    pub(super) fn new(reader: &'a mut dyn Read) -> Self {
        Self { reader, buffer: Buffer::own(BUFFER_BYTES), start: 0, end: 0, taken: 0, ended: false }
    }

    /// Bytes taken so far: the offset of the next one.
    pub(super) fn offset(&self) -> u64 {
        self.taken
    }

    /// What lies ready; reads if nothing does. Empty only at the end.
    pub(super) fn ready(&mut self) -> Result<&[u8], DecodeError> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            self.read_more()?;
        }
        Ok(self.waiting())
    }

    /// The next `count` bytes (at most the buffer's size), fewer only at the end.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8], DecodeError> {
        if self.end - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            while self.end < count.min(self.buffer.len()) && self.read_more()? {}
        }
        let waiting = self.waiting();
        Ok(waiting.get(..count).unwrap_or(waiting))
    }

    /// All that is left, if it is no more than `bytes_max` and there is memory for it. It is not taken.
    pub(super) fn rest(&mut self, bytes_max: usize) -> Result<Option<&[u8]>, DecodeError> {
        while !self.ended {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.end == self.buffer.len() {
                let larger = self.end.saturating_mul(4).min(bytes_max + 1);
                let larger = (larger > self.end).then(|| Buffer::lend(larger)).flatten();
                let Some(mut larger) = larger else { return Ok(None) };
                let Some(front) = larger.get_mut(..self.end) else { return Ok(None) };
                front.copy_from_slice(self.waiting());
                self.buffer = larger;
            }
            self.read_more()?;
        }
        Ok((self.end - self.start <= bytes_max).then(|| self.waiting()))
    }

    /// The next byte, taken.
    pub(super) fn byte(&mut self) -> Result<Option<u8>, DecodeError> {
        let byte = self.ready()?.first().copied();
        if byte.is_some() {
            self.take(1);
        }
        Ok(byte)
    }

    /// Marks `count` bytes of what lay ready as used.
    pub(super) fn take(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "more bytes taken than were ready");
        self.start += count;
        self.taken += count as u64;
    }

    fn waiting(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn read_more(&mut self) -> Result<bool, DecodeError> {
        while !self.ended {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.reader.read(room) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.end += count;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DecodeError::Input(error)),
            }
        }
        Ok(false)
    }
}
