//! Finds the ends of top-level JSON objects and arrays, and notices how they lie on lines.
//!
//! It does not validate JSON. It follows strings, escapes and brackets, refuses bytes that cannot stand
//! where they stand, and in a value that runs over a line feed it checks that JSON may be broken there:
//! `{"a":1` and `{"b":2}` on the next line are a broken line and a good one, never one value. After
//! something that does not fit it starts afresh, at the next line feed or, if the line before was the
//! broken one, at once. So one pass yields the evidence for every framing (see [`Evidence`]).
//!
//! It is a state machine over chunks, and cutting the input elsewhere changes nothing. A vectorised scanner
//! may replace [`Scanner::value`] alone: everything else runs once per value or per line.

use super::spans::{SpanError, Spans};

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
    /// In a value, outside of strings.
    Value,
    /// In a string.
    Text,
    /// Behind a backslash.
    Escape,
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
    /// The last byte of the value before a joint or the chunk's end that is not white space.
    last: u8,
    /// Line feeds inside the current value.
    crossed: u64,
    line_starts: u32,
    line_bad: bool,
    bom_seen: usize,
    evidence: Evidence,
    /// Complete up to the first misfit, and of no use behind it.
    spans: Spans,
    /// The values before the first misfit may be asked for.
    keeps: bool,
    span_error: Option<SpanError>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Inert,
    Quote,
    Open,
    Close,
    LineFeed,
    Foreign,
}

/// What a byte means in a value, outside of strings.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Foreign; 256];
    let inert = b" \t\r,:0123456789+-.eEtrufalsn";
    let mut at = 0;
    while at < inert.len() {
        classes[inert[at] as usize] = Class::Inert;
        at += 1;
    }
    classes[b'"' as usize] = Class::Quote;
    classes[b'{' as usize] = Class::Open;
    classes[b'[' as usize] = Class::Open;
    classes[b'}' as usize] = Class::Close;
    classes[b']' as usize] = Class::Close;
    classes[b'\n' as usize] = Class::LineFeed;
    classes
};

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
            last: 0,
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
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Between => self.between(chunk, at),
                State::Value => self.value(chunk, at),
                State::Text => self.text(chunk, at),
                State::Escape => {
                    self.state = State::Text;
                    // A line feed ends the string for the worse, escaped or not.
                    if chunk.get(at) == Some(&b'\n') { at } else { at + 1 }
                }
                State::Joint => self.joint(chunk, at),
                State::Skip => self.skip(chunk, at),
            };
        }
        if self.state == State::Value {
            self.note_last(chunk);
        }
        self.position += chunk.len() as u64;
        self.span_error.map_or(Ok(()), Err)
    }

    pub(super) fn finish(mut self) -> Result<(Spans, Evidence), SpanError> {
        match self.state {
            State::Between if self.bom_seen > 0 => self.misfit(self.position, "half of a byte-order mark"),
            State::Between | State::Skip => {}
            _ => self.misfit(self.value_start, "a JSON value that does not end"),
        }
        self.end_line();
        self.span_error.map_or(Ok((self.spans, self.evidence)), Err)
    }

    /// The values before the first misfit, if they were kept.
    pub(super) fn spans(self) -> Spans {
        self.spans
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

    /// The inner loop, from a byte outside of strings to the value's end, a line feed or a misfit.
    fn value(&mut self, chunk: &[u8], from: usize) -> usize {
        let mut at = from;
        while let Some(&byte) = chunk.get(at) {
            match CLASSES[usize::from(byte)] {
                Class::Inert => at += 1,
                Class::Quote => {
                    at = self.text(chunk, at + 1);
                    if self.state != State::Value {
                        return at;
                    }
                }
                Class::Open => {
                    if !self.open(byte == b'{') {
                        self.misfit(self.position + at as u64, "JSON nested too deeply");
                        return at;
                    }
                    at += 1;
                }
                Class::Close => {
                    if !self.close(byte == b'}') {
                        self.misfit(self.position + at as u64, "a bracket closed by one of another kind");
                        return at;
                    }
                    at += 1;
                    if self.depth == 0 {
                        self.complete(self.position + at as u64);
                        return at;
                    }
                }
                Class::LineFeed => {
                    self.note_last(chunk.get(..at).unwrap_or_default());
                    self.end_line_in_value();
                    self.state = State::Joint;
                    return at + 1;
                }
                Class::Foreign => {
                    self.misfit(
                        self.position + at as u64,
                        "a byte that JSON does not have outside of strings",
                    );
                    return at;
                }
            }
        }
        at
    }

    /// From inside a string to behind its end.
    fn text(&mut self, chunk: &[u8], from: usize) -> usize {
        let mut at = from;
        self.state = State::Text;
        while let Some(skipped) = chunk.get(at..).and_then(|rest| memchr::memchr3(b'"', b'\\', b'\n', rest)) {
            at += skipped;
            match chunk.get(at) {
                Some(b'"') => {
                    self.state = State::Value;
                    return at + 1;
                }
                Some(b'\\') if at + 1 == chunk.len() => {
                    self.state = State::Escape;
                    return at + 1;
                }
                Some(b'\\') => at += if chunk.get(at + 1) == Some(&b'\n') { 1 } else { 2 },
                _ => {
                    self.misfit(self.position + at as u64, "a line feed in a JSON string");
                    return at;
                }
            }
        }
        chunk.len()
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
