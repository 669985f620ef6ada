//! Records inside of JSON: the elements of an array.
//!
//! `CloudTrail` and others write an object as one JSON value that holds its events in an array; a subscription of
//! `CloudWatch` Logs sends payloads with an array of log events each. The elements become records, byte for byte;
//! what lies around them is left out. A payload that is a `CONTROL_MESSAGE` has no events, only a check of health.
//!
//! Like the scanner beside it, this follows strings and brackets and does not validate JSON.

use super::json::Misfit;
use super::spans::{SpanError, Spans};

/// Deeper nesting does not fit; as for JSON values one after the other.
const DEPTH_MAX: usize = 1024;
/// Longer names and words are none that are looked for.
const WORD_BYTES_MAX: usize = 32;
/// What is found in place of an array where an object is a record, or holds many one after the other.
pub const NO_ARRAY: &str = "a JSON object without an array of the name Records";
const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Which elements are records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Those of an array, or of the array `Records` in an object.
    Array,
    /// Those of `logEvents`, in payloads whose `messageType` is `DATA_MESSAGE`.
    LogEvents,
}

impl Wanted {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Array => b"Records",
            Self::LogEvents => b"logEvents",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    /// Not in a string.
    Outside,
    Inside,
    Escape,
}

pub(super) struct Elements {
    wanted: Wanted,
    position: u64,
    /// Open brackets: whether each is an object.
    open: Vec<bool>,
    text: Text,
    /// The last string of the outermost level: a name, until a colon follows.
    word: Vec<u8>,
    /// The name of the value that follows.
    name: Vec<u8>,
    /// Whether the message is of data, if that was said.
    data: Option<bool>,
    /// The depth inside of the array of elements.
    inside: Option<usize>,
    found: bool,
    element: Option<u64>,
    last: u64,
    bom_seen: usize,
    /// The elements of the value under way.
    pending: Spans,
    spans: Spans,
}

/// Why a chunk is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ElementError {
    Misfit(Misfit),
    Span(SpanError),
}

impl From<SpanError> for ElementError {
    fn from(error: SpanError) -> Self {
        Self::Span(error)
    }
}

impl Elements {
    pub(super) fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            position: 0,
            open: Vec::new(),
            text: Text::Outside,
            word: Vec::new(),
            name: Vec::new(),
            data: None,
            inside: None,
            found: false,
            element: None,
            last: 0,
            bom_seen: 0,
            pending: Spans::default(),
            spans: Spans::default(),
        }
    }

    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), ElementError> {
        let mut at = 0;
        while let Some(&byte) = chunk.get(at) {
            let offset = self.position + at as u64;
            match self.text {
                Text::Outside => self.outside(byte, offset)?,
                Text::Escape => {
                    self.text = Text::Inside;
                    self.letter(byte);
                }
                Text::Inside => {
                    // Words matter on the outermost level only.
                    let rest = chunk.get(at..).unwrap_or_default();
                    let plain = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    if self.open.len() == 1 {
                        rest.iter().take(plain.min(WORD_BYTES_MAX + 1)).for_each(|&byte| self.letter(byte));
                    }
                    at += plain;
                    match chunk.get(at) {
                        Some(b'"') => {
                            self.text = Text::Outside;
                            self.last = self.position + at as u64;
                        }
                        Some(_) => self.text = Text::Escape,
                        None => break,
                    }
                }
            }
            at += 1;
        }
        self.position += chunk.len() as u64;
        Ok(())
    }

    /// Whether an element begins in `beginning`.
    pub(super) fn begins_in(mut self, beginning: &[u8]) -> bool {
        // What does not fit has no elements.
        let _ = self.push(beginning);
        self.element.is_some() || !self.pending.is_empty() || !self.spans.is_empty()
    }

    /// Whether the last value has ended.
    pub(super) fn is_whole(&self) -> bool {
        self.open.is_empty() && self.bom_seen == 0
    }

    /// The elements that have ended, taken, except for those of a payload of which it is not known what it is.
    pub(super) fn spans(&mut self) -> Spans {
        if self.wanted == Wanted::Array {
            let pending = std::mem::take(&mut self.pending);
            // What was counted once can be counted again.
            let _ = self.keep(&pending);
        }
        std::mem::take(&mut self.spans)
    }

    fn keep(&mut self, pending: &Spans) -> Result<(), SpanError> {
        pending.iter().try_for_each(|span| self.spans.push(span.offset, u64::from(span.len)))
    }

    fn letter(&mut self, byte: u8) {
        if self.open.len() == 1 && self.word.len() <= WORD_BYTES_MAX {
            self.word.push(byte);
        }
    }

    fn outside(&mut self, byte: u8, offset: u64) -> Result<(), ElementError> {
        let misfit = |what| Err(ElementError::Misfit(Misfit { offset, what }));
        if self.open.is_empty() {
            if BOM.get(self.bom_seen) == Some(&byte) {
                self.bom_seen = (self.bom_seen + 1) % BOM.len();
                return Ok(());
            }
            if self.bom_seen > 0 {
                return misfit("half of a byte-order mark");
            }
        }
        let here = self.inside == Some(self.open.len());
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Ok(()),
            b']' if here => {
                self.end_element()?;
                self.inside = None;
            }
            b',' if here => return Ok(self.end_element()?),
            _ if here && self.element.is_none() => self.element = Some(offset),
            _ => {}
        }
        self.last = offset;
        match byte {
            b'{' | b'[' => return self.open(byte == b'{', offset),
            b'}' | b']' => {
                if self.open.pop() != Some(byte == b'}') {
                    return misfit("a bracket closed by one of another kind");
                }
                if self.open.is_empty() {
                    return self.end_value(offset);
                }
            }
            _ if self.open.is_empty() => return misfit("something that is no JSON object or array"),
            b'"' => {
                self.text = Text::Inside;
                if self.open.len() == 1 {
                    self.word.clear();
                }
            }
            b':' if self.open.len() == 1 => self.name = std::mem::take(&mut self.word),
            b',' if self.open.len() == 1 => self.end_member(),
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, object: bool, offset: u64) -> Result<(), ElementError> {
        if self.open.len() == DEPTH_MAX {
            let what = "JSON nested too deeply";
            return Err(ElementError::Misfit(Misfit { offset, what }));
        }
        let of_array = self.wanted == Wanted::Array && self.open.is_empty();
        let of_member = self.open == [true] && self.name == self.wanted.name();
        self.open.push(object);
        if !object && (of_array || of_member) {
            self.found = true;
            self.inside = Some(self.open.len());
        }
        Ok(())
    }

    /// A member of the outermost object has ended.
    fn end_member(&mut self) {
        if self.wanted == Wanted::LogEvents && self.name == b"messageType" {
            self.data = match self.word.as_slice() {
                b"DATA_MESSAGE" => Some(true),
                b"CONTROL_MESSAGE" => Some(false),
                _ => None,
            };
        }
        self.name.clear();
        self.word.clear();
    }

    fn end_element(&mut self) -> Result<(), SpanError> {
        match self.element.take() {
            Some(start) => self.pending.push(start, self.last + 1 - start),
            None => Ok(()),
        }
    }

    /// A value of the outermost level has ended: its elements count, or it does not fit.
    fn end_value(&mut self, offset: u64) -> Result<(), ElementError> {
        self.end_member();
        let pending = std::mem::take(&mut self.pending);
        let (found, data) = (std::mem::take(&mut self.found), self.data.take());
        let misfit = |what| Err(ElementError::Misfit(Misfit { offset, what }));
        let counts = match (self.wanted, found, data) {
            (Wanted::Array, true, _) | (Wanted::LogEvents, true, Some(true)) => true,
            (Wanted::LogEvents, _, Some(false)) => false,
            (Wanted::Array, false, _) => return misfit(NO_ARRAY),
            (Wanted::LogEvents, ..) => return misfit("a JSON value that is no payload of CloudWatch Logs"),
        };
        if counts { Ok(self.keep(&pending)?) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(text: &str, wanted: Wanted, piece: usize) -> Result<Vec<String>, &'static str> {
        let mut elements = Elements::new(wanted);
        for piece in text.as_bytes().chunks(piece) {
            match elements.push(piece) {
                Ok(()) => {}
                Err(ElementError::Misfit(misfit)) => return Err(misfit.what),
                Err(ElementError::Span(_)) => return Err("span"),
            }
        }
        let spans = if elements.is_whole() { elements.spans() } else { return Err("cut") };
        let cut = |span: super::super::Span| {
            let start = usize::try_from(span.offset).unwrap();
            text[start..start + span.len as usize].to_owned()
        };
        Ok(spans.iter().map(cut).collect())
    }

    #[test]
    fn the_elements_of_arrays_are_records_however_the_text_is_cut() {
        let nested = r#"{"a":[1,{"Records":[9]}],"b":"]},\"{"}"#;
        for (text, expected) in [
            (format!("[ {nested} ,\n {nested}\n]"), vec![nested, nested]),
            (format!("\u{feff}{{\"x\":[{nested}],\"Records\" : [{nested} , 12 , \"a,b\"]}}\n[]"), {
                vec![nested, "12", "\"a,b\""]
            }),
            (r#"{"Records":[],"y":"Records"}[null]"#.to_owned(), vec!["null"]),
            (String::new(), vec![]),
        ] {
            for piece in [1, 2, 3, 1000] {
                assert_eq!(
                    elements(&text, Wanted::Array, piece),
                    Ok(expected.iter().map(ToString::to_string).collect())
                );
            }
        }
        for text in ["{\"a\":1}", "[1", "[1}", "1", "{\"Records\":{}}", "[1]x", "\u{feff}\u{feff}["] {
            assert!(elements(text, Wanted::Array, 3).is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_hold_records_is_told_by_its_beginning() {
        for text in ["[1", " [ {\"a\"", "{\"x\":[1],\"Records\":[{}]}", "\u{feff}{\"Records\":[{\"a\":1"] {
            assert!(super::super::holds_records(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            "[",
            "[]",
            "{\"Records\":[]}",
            "{\"Records\":1}",
            "{\"a\":{\"Records\":[1]}}",
            "12",
            "{\"a\":[1]}",
        ] {
            assert!(!super::super::holds_records(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn log_events_of_data_messages_are_records() {
        let payload = |kind: &str, events: &str| {
            format!(r#"{{"messageType":"{kind}","owner":"1","logEvents":[{events}]}}"#)
        };
        let late = r#"{"logEvents":[{"id":"3"}],"messageType":"DATA_MESSAGE"}"#;
        let text = [
            payload("CONTROL_MESSAGE", r#"{"id":""}"#),
            payload("DATA_MESSAGE", r#"{"id":"1","message":"a [b"},{"id":"2"}"#),
            late.to_owned(),
        ];
        let expected = [r#"{"id":"1","message":"a [b"}"#, r#"{"id":"2"}"#, r#"{"id":"3"}"#];
        for piece in [1, 7, 1000] {
            let found = elements(&text.concat(), Wanted::LogEvents, piece).unwrap();
            assert_eq!(found, expected);
        }
        for text in [payload("OTHER", ""), r#"{"a":1}"#.to_owned(), "[1]".to_owned()] {
            assert!(elements(&text, Wanted::LogEvents, 9).is_err(), "{text}");
        }
    }
}
