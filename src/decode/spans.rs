//! Where the records of an object lie, in about three bytes each.
//!
//! Records come in order and do not overlap, so a span is two small numbers: how many bytes lie between
//! it and its predecessor (a line feed, mostly) and how long it is. Both are written as LEB128. An
//! object may hold tens of millions of records, and two decoders run at once: offsets as plain
//! integers would take half of the memory we allow ourselves.

/// Where one record lies in the decoded bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// The records of one object, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    packed: Vec<u8>,
    count: u32,
    end: u64,
}

/// A record longer than `u32` can say, or more records than it can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a record of 4 GiB or more, or more than 4,294,967,295 records")]
pub struct SpanError;

impl Spans {
    /// Appends the record at `offset`.
    ///
    /// # Errors
    /// [`SpanError`] if lengths or counts go beyond `u32`.
    ///
    /// # Panics
    /// If the record begins before the end of the one before it.
    pub fn push(&mut self, offset: u64, len: u64) -> Result<(), SpanError> {
        assert!(offset >= self.end, "records overlap");
        if len > u64::from(u32::MAX) || self.count == u32::MAX {
            return Err(SpanError);
        }
        self.write(offset - self.end);
        self.write(len);
        self.end = offset + len;
        self.count += 1;
        Ok(())
    }

    /// How many records there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The end of the last record.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The records in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { packed: self.packed.iter(), end: 0 }
    }

    fn write(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.packed.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.packed.push((value & 0x7f) as u8);
    }
}

impl<'a> IntoIterator for &'a Spans {
    type Item = Span;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// The records of [`Spans`] in order.
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    packed: std::slice::Iter<'a, u8>,
    end: u64,
}

impl Iter<'_> {
    fn read(&mut self) -> Option<u64> {
        let mut value = 0;
        let mut shift = 0;
        loop {
            let byte = *self.packed.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return Some(value);
            }
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let gap = self.read()?;
        let len = self.read()?;
        let offset = self.end + gap;
        self.end = offset + len;
        u32::try_from(len).ok().map(|len| Span { offset, len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_come_back_as_they_went_in() {
        let given = [(0, 0), (0, 127), (128, 128), (1 << 40, u64::from(u32::MAX)), (1 << 41, 1)];
        let mut spans = Spans::default();
        for (offset, len) in given {
            spans.push(offset, len).unwrap();
        }
        let back: Vec<_> = spans.iter().map(|span| (span.offset, u64::from(span.len))).collect();
        assert_eq!(back, given);
        assert_eq!((spans.len(), spans.end()), (5, (1 << 41) + 1));
    }

    #[test]
    fn a_usual_record_costs_three_bytes() {
        let mut spans = Spans::default();
        for n in 0..100 {
            spans.push(n * 1_000, 999).unwrap();
        }
        assert_eq!(spans.packed.len(), 300);
    }

    #[test]
    fn a_record_of_4_gib_is_refused() {
        assert_eq!(Spans::default().push(0, 1 << 32), Err(SpanError));
    }
}
