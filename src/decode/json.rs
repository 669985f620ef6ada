//! Finds the ends of top-level JSON objects and arrays, and notices how they lie on lines.
//!
//! It does not validate JSON. It follows strings, escapes and brackets, refuses bytes that cannot stand
//! where they stand, and in a value that runs over a line feed it checks that JSON may be broken there:
//! `{"a":1` and `{"b":2}` on the next line are a broken line and a good one, never one value. After
//! something that does not fit it starts afresh, at the next line feed or, if the line before was the
//! broken one, at once. So one pass yields the evidence for every framing (see [`Evidence`]).
//!
//! It is a state machine over chunks, and cutting the input elsewhere changes nothing. Inside of values it goes
//! from one bracket or line feed to the next: strings and what is foreign are found for 64 bytes at once, from the
//! bits in which [`blocks`] has sorted them.

use super::blocks::{self, BLOCK_BYTES, Block};
use super::spans::{SpanError, Spans};

/// Bytes that are sorted ahead of the state machine: their blocks stay in the processor's nearest cache.
const SORTED_BYTES: usize = 16 * 1024;

/// Deeper nesting does not fit. It bounds the bracket stack; real events have less than 100.
const DEPTH_MAX: usize = 1024;

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What was seen. Lines with nothing but white space count nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Evidence {
    /// Lines in all.
    pub(super) lines: u64,
    /// Lines that hold one whole value.
    pub(super) single: u64,
    /// Lines on which more than one value begins.
    pub(super) several: u64,
    /// Values that end on a later line than they began.
    pub(super) spanning: u64,
    /// Lines that do not fit.
    pub(super) bad: u64,
    /// The first thing that did not fit.
    pub(super) misfit: Option<Misfit>,
    /// It is no more than that the last value does not end.
    pub(super) cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit {
    pub(super) offset: u64,
    pub(super) what: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside of any value.
    Between,
    /// In a value, in a string of it or outside.
    Value,
    /// Behind a line feed in a value, before the next byte that is not white space.
    Joint,
    /// Behind something that does not fit, until the line ends.
    Skip,
}

pub(super) struct Scanner {
    state: State,
    position: u64,
    depth: usize,
    /// One bit per open bracket: set for an object.
    objects: [u64; DEPTH_MAX / 64],
    value_start: u64,
    /// The chunk's bytes, sorted.
    blocks: Vec<Block>,
    /// The last byte of the value before a joint or the chunk's end that is not white space.
    last: u8,
    /// Whether what comes next in the value stands in a string, and there behind a backslash.
    text: Text,
    /// Line feeds inside the current value.
    crossed: u64,
    line_starts: u32,
    line_bad: bool,
    bom_seen: usize,
    evidence: Evidence,
    /// The values: complete up to the first misfit, and of no use behind it.
    pub(super) spans: Spans,
    /// The values before the first misfit may be asked for.
    keeps: bool,
    span_error: Option<SpanError>,
}

/// Where strings are, from block to block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Text {
    /// All bits if a string goes on.
    inside: u64,
    /// The lowest bit if the next byte is escaped.
    escaped: u64,
}

impl Text {
    /// The bytes of a block of `len` bytes that stand in strings, their opening quotes among them. Bits of `live` that
    /// are not set stand for bytes before the value.
    fn pass(&mut self, block: &Block, live: u64, len: usize) -> u64 {
        let escaped = self.escapes(block.backslashes & live, len);
        let quotes = block.quotes & live & !escaped;
        // Each bit becomes the parity of the quotes up to it.
        let mut inside = quotes;
        for shift in [1, 2, 4, 8, 16, 32] {
            inside ^= inside << shift;
        }
        inside ^= self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> 63);
        inside
    }

    /// The bytes behind every other backslash of a run.
    fn escapes(&mut self, backslashes: u64, len: usize) -> u64 {
        const EVEN: u64 = 0x5555_5555_5555_5555;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let escaping = backslashes & !self.escaped;
        let behind = escaping << 1 | self.escaped;
        // Adding to where a run begins carries to behind its end: even or odd says how long it is.
        let odd_starts = escaping & !EVEN & !behind;
        let (ends, beyond) = odd_starts.overflowing_add(escaping);
        let escaped = (EVEN ^ (ends << 1)) & behind;
        self.escaped = if len < BLOCK_BYTES { escaped >> len & 1 } else { u64::from(beyond) };
        escaped
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Whether JSON may have `next` after `last`, with only white space between.
fn may_follow(last: u8, next: u8, in_object: bool) -> bool {
    let value_begins = matches!(next, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n');
    match last {
        b'{' => matches!(next, b'"' | b'}'),
        b'[' => value_begins || next == b']',
        b',' if in_object => next == b'"',
        b',' | b':' => value_begins,
        _ => matches!(next, b',' | b'}' | b']') || (in_object && next == b':'),
    }
}

impl Scanner {
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            keeps,
            state: State::Between,
            position: 0,
            depth: 0,
            objects: [0; DEPTH_MAX / 64],
            value_start: 0,
            blocks: Vec::new(),
            last: 0,
            text: Text::default(),
            crossed: 0,
            line_starts: 0,
            line_bad: false,
            bom_seen: 0,
            evidence: Evidence::default(),
            spans: Spans::default(),
            span_error: None,
        }
    }

    pub(super) fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The evidence, with that of a line that has not ended.
    pub(super) fn evidence_so_far(&self) -> Evidence {
        Evidence { several: self.evidence.several + u64::from(self.line_starts > 1), ..self.evidence }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), SpanError> {
        let mut blocks = std::mem::take(&mut self.blocks);
        for piece in chunk.chunks(SORTED_BYTES) {
            blocks::classify(piece, &mut blocks);
            self.piece(piece, &blocks);
        }
        self.blocks = blocks;
        self.span_error.map_or(Ok(()), Err)
    }

    fn piece(&mut self, piece: &[u8], blocks: &[Block]) {
        let mut at = 0;
        while at < piece.len() {
            at = match self.state {
                State::Between => self.between(piece, at),
                State::Value => self.value(piece, blocks, at),
                State::Joint => self.joint(piece, at),
                State::Skip => self.skip(piece, at),
            };
        }
        if self.state == State::Value && self.text.inside == 0 {
            self.note_last(piece);
        }
        self.position += piece.len() as u64;
    }

    pub(super) fn finish(&mut self) -> Result<Evidence, SpanError> {
        match self.state {
            State::Between if self.bom_seen > 0 => self.misfit(self.position, "half of a byte-order mark"),
            State::Between | State::Skip => {}
            _ => {
                self.evidence.cut = self.evidence.misfit.is_none();
                self.misfit(self.value_start, "a JSON value that does not end");
            }
        }
        self.end_line();
        self.span_error.map_or(Ok(self.evidence), Err)
    }

    /// The values before the first misfit, if they were kept.
    pub(super) fn take_spans(&mut self) -> Spans {
        std::mem::take(&mut self.spans)
    }

    fn between(&mut self, chunk: &[u8], from: usize) -> usize {
        for (at, &byte) in chunk.iter().enumerate().skip(from) {
            if BOM.get(self.bom_seen) == Some(&byte) {
                self.bom_seen = (self.bom_seen + 1) % BOM.len();
                continue;
            }
            let offset = self.position + at as u64;
            match byte {
                _ if self.bom_seen > 0 => self.misfit(offset, "half of a byte-order mark"),
                b'\n' => self.end_line(),
                _ if is_blank(byte) => {}
                b'{' | b'[' => {
                    self.line_starts = self.line_starts.saturating_add(1);
                    self.value_start = offset;
                    self.crossed = 0;
                    self.state = State::Value;
                }
                _ => self.misfit(offset, "something that is no JSON object or array"),
            }
            if self.state != State::Between {
                return at;
            }
        }
        chunk.len()
    }

    /// The inner loop, from a byte in a value to the value's end, a line feed or a misfit.
    fn value(&mut self, chunk: &[u8], blocks: &[Block], from: usize) -> usize {
        let mut live = u64::MAX << (from % BLOCK_BYTES);
        for (number, block) in blocks.iter().enumerate().skip(from / BLOCK_BYTES) {
            let start = number * BLOCK_BYTES;
            let inside = self.text.pass(block, live, chunk.len() - start);
            let mut marks = ((block.brackets | block.foreign) & !inside | block.line_feeds) & live;
            while marks != 0 {
                let bit = marks & marks.wrapping_neg();
                let at = start + marks.trailing_zeros() as usize;
                marks ^= bit;
                if let Some(behind) = self.mark(chunk, at, bit, block, inside) {
                    // What follows is no part of this value, and its quotes are not those of strings in it.
                    self.text = Text::default();
                    return behind;
                }
            }
            live = u64::MAX;
        }
        chunk.len()
    }

    /// One byte that means something: if it ends the inner loop, where to go on.
    fn mark(&mut self, chunk: &[u8], at: usize, bit: u64, block: &Block, inside: u64) -> Option<usize> {
        let offset = self.position + at as u64;
        if block.line_feeds & bit != 0 {
            if inside & bit != 0 {
                self.misfit(offset, "a line feed in a JSON string");
                return Some(at);
            }
            self.note_last(chunk.get(..at).unwrap_or_default());
            self.end_line_in_value();
            self.state = State::Joint;
            return Some(at + 1);
        }
        match chunk.get(at) {
            Some(b'{' | b'[') => {
                if !self.open(chunk.get(at) == Some(&b'{')) {
                    self.misfit(offset, "JSON nested too deeply");
                    return Some(at);
                }
            }
            Some(b'}' | b']') => {
                if !self.close(chunk.get(at) == Some(&b'}')) {
                    self.misfit(offset, "a bracket closed by one of another kind");
                    return Some(at);
                }
                if self.depth == 0 {
                    self.complete(offset + 1);
                    return Some(at + 1);
                }
            }
            _ => {
                self.misfit(offset, "a byte that JSON does not have outside of strings");
                return Some(at);
            }
        }
        None
    }

    fn joint(&mut self, chunk: &[u8], from: usize) -> usize {
        for (at, &byte) in chunk.iter().enumerate().skip(from) {
            if byte == b'\n' {
                self.end_line_in_value();
            } else if !is_blank(byte) {
                if may_follow(self.last, byte, self.in_object()) {
                    self.state = State::Value;
                } else {
                    self.misfit(self.value_start, "a JSON value that does not end on its line");
                    // It was the lines before that did not fit. This one has its chance.
                    self.line_bad = false;
                    self.state = State::Between;
                }
                return at;
            }
        }
        chunk.len()
    }

    fn skip(&mut self, chunk: &[u8], from: usize) -> usize {
        let rest = chunk.get(from..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(chunk.len(), |skipped| {
            self.state = State::Between;
            from + skipped
        })
    }

    fn note_last(&mut self, before: &[u8]) {
        if let Some(&byte) = before.iter().rev().find(|&&byte| !is_blank(byte)) {
            self.last = byte;
        }
    }

    fn in_object(&self) -> bool {
        let top = self.depth.saturating_sub(1);
        self.objects.get(top / 64).is_some_and(|word| word >> (top % 64) & 1 == 1)
    }

    fn open(&mut self, object: bool) -> bool {
        let Some(word) = self.objects.get_mut(self.depth / 64) else { return false };
        let bit = 1 << (self.depth % 64);
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        true
    }

    fn close(&mut self, object: bool) -> bool {
        let fits = self.depth > 0 && self.in_object() == object;
        self.depth = self.depth.saturating_sub(1);
        fits
    }

    fn complete(&mut self, end: u64) {
        self.state = State::Between;
        if self.crossed > 0 {
            self.evidence.spanning += 1;
            self.crossed = 0;
        }
        if self.evidence.misfit.is_none() {
            let pushed = self.spans.push(self.value_start, end - self.value_start);
            self.span_error = self.span_error.or(pushed.err());
        }
    }

    fn misfit(&mut self, offset: u64, what: &'static str) {
        if self.evidence.misfit.is_none() {
            self.evidence.misfit = Some(Misfit { offset, what });
            if !self.keeps {
                self.spans = Spans::default();
            }
        }
        self.evidence.bad += self.crossed;
        self.crossed = 0;
        self.depth = 0;
        self.bom_seen = 0;
        self.line_bad = true;
        self.state = State::Skip;
    }

    fn end_line(&mut self) {
        self.evidence.lines += u64::from(self.line_starts > 0 || self.line_bad);
        self.evidence.several += u64::from(self.line_starts > 1);
        self.evidence.bad += u64::from(self.line_bad);
        self.evidence.single += u64::from(self.line_starts == 1 && !self.line_bad);
        self.line_starts = 0;
        self.line_bad = false;
    }

    fn end_line_in_value(&mut self) {
        self.evidence.lines += 1;
        self.evidence.several += u64::from(self.line_starts > 1);
        self.line_starts = 0;
        self.crossed += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scanned(text: &[u8], size: usize) -> (Spans, Evidence) {
        let mut scanner = Scanner::new(true);
        for piece in text.chunks(size) {
            scanner.push(piece).unwrap();
        }
        let evidence = scanner.finish().unwrap();
        (scanner.take_spans(), evidence)
    }

    proptest! {
        /// A piece of one byte leaves nothing to bits: it is the byte machine that the blocks must equal.
        #[test]
        fn blocks_find_what_single_bytes_do(
            lead in "[ \n]{0,70}",
            text in r#"(\{|\}|\[|\]|"|"\\{0,5}"|\\{1,70}|\n|[ :,a-z1]{1,40}|é){0,60}"#,
        ) {
            for text in [format!("{lead}{text}"), format!(r#"{lead}{{"a":"{text}","b":[{text}]}}"#)] {
                let single = scanned(text.as_bytes(), 1);
                for size in [3, 63, 64, 65, 4_096] {
                    prop_assert_eq!(scanned(text.as_bytes(), size), single.clone(), "{}", size);
                }
            }
        }
    }

    #[test]
    fn a_run_of_backslashes_may_end_anywhere_in_a_block() {
        for len in 0..140 {
            for place in 0..70 {
                let run = "\\".repeat(len);
                let text = format!("{}{{\"{run}\"}}{{}}", " ".repeat(place));
                let (spans, evidence) = scanned(text.as_bytes(), text.len());
                // An odd run escapes the quote behind it.
                assert_eq!(
                    (spans.len(), evidence.misfit.is_some()),
                    if len % 2 == 0 { (2, false) } else { (0, true) }
                );
            }
        }
    }
}
