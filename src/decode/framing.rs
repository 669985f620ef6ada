//! Where one record ends and the next begins.
//!
//! Firehose joins records as they come: with a line feed between, with nothing, and where a producer
//! sends pretty-printed JSON, with line feeds inside. Nothing in the object says which. So where the
//! choice is [`FramingChoice::Auto`], the object is read both ways at once and judged at its end, on all of
//! the evidence:
//!
//! | the object | its framing |
//! |---|---|
//! | begins with neither `{` nor `[` | newline |
//! | has one JSON value per line; less than half of its lines may be broken | newline, broken lines are records of their own |
//! | is JSON values throughout, some sharing a line or spanning lines | concatenated JSON |
//! | has values that share or span lines, and something that does not fit | a defect: `mixed_framing` |
//! | anything else | a defect: `bad_framing` |
//!
//! Wrongly cut, two records become one or one becomes two, and nobody notices: so doubt is a defect.

use super::compression::{self, HEAD_BYTES};
use super::json::{Evidence, Misfit, Scanner};
use super::newline::NewlineFramer;
use super::spans::{SpanError, Spans};
use super::{DecodeDefect, DecodeError, Framing, FramingChoice};

/// The first value is parsed for good before an object counts as concatenated JSON, if it ends within this.
const FIRST_VALUE_BYTES: usize = 64 * 1024;

pub(super) enum Framer {
    Newline(NewlineFramer, u64),
    ConcatenatedJson(Box<Scanner>, u64),
    Auto(Box<Auto>),
}

impl Framer {
    pub(super) fn new(choice: FramingChoice) -> Self {
        match choice {
            FramingChoice::Newline => Self::Newline(NewlineFramer::default(), 0),
            FramingChoice::ConcatenatedJson => Self::ConcatenatedJson(Box::new(Scanner::new()), 0),
            FramingChoice::Auto => Self::Auto(Box::new(Auto::new())),
        }
    }

    /// Takes the next piece of the decoded object. How the object is cut into pieces makes no difference.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        match self {
            Self::Newline(framer, position) => {
                framer.push(piece).map_err(|error| beyond_counting(error, *position))?;
                *position += piece.len() as u64;
                Ok(())
            }
            Self::ConcatenatedJson(scanner, position) => {
                scanner.push(piece).map_err(|error| beyond_counting(error, *position))?;
                *position += piece.len() as u64;
                scanner.evidence().misfit.map_or(Ok(()), |misfit| Err(not_json(misfit)))
            }
            Self::Auto(auto) => auto.push(piece),
        }
    }

    pub(super) fn finish(self) -> Result<(Spans, Framing), DecodeError> {
        match self {
            Self::Newline(framer, position) => {
                let spans = framer.finish().map_err(|error| beyond_counting(error, position))?;
                Ok((spans, Framing::Newline))
            }
            Self::ConcatenatedJson(scanner, position) => {
                let (spans, evidence) = scanner.finish().map_err(|error| beyond_counting(error, position))?;
                evidence.misfit.map_or(Ok((spans, Framing::ConcatenatedJson)), |misfit| Err(not_json(misfit)))
            }
            Self::Auto(auto) => auto.finish(),
        }
    }
}

fn beyond_counting(error: SpanError, offset: u64) -> DecodeError {
    DecodeError::defect(DecodeDefect::TooLarge, offset, error.to_string())
}

fn not_json(misfit: Misfit) -> DecodeError {
    let message = format!("not one JSON value after another: {}", misfit.what);
    DecodeError::defect(DecodeDefect::BadFraming, misfit.offset, message)
}

pub(super) struct Auto {
    head: Vec<u8>,
    head_judged: bool,
    lead_seen: bool,
    position: u64,
    /// Gone once line feeds cannot be what separates records.
    newline: Option<NewlineFramer>,
    /// Gone once it is known that this is not JSON.
    json: Option<Scanner>,
}

impl Auto {
    fn new() -> Self {
        Self {
            head: Vec::new(),
            head_judged: false,
            lead_seen: false,
            position: 0,
            newline: Some(NewlineFramer::default()),
            json: Some(Scanner::new()),
        }
    }

    fn push(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let room = FIRST_VALUE_BYTES - self.head.len();
        self.head.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if !self.head_judged && self.head.len() >= HEAD_BYTES {
            self.judge_head()?;
        }
        if !self.lead_seen {
            self.look_for_lead(piece);
        }
        let position = self.position;
        if let Some(newline) = &mut self.newline {
            newline.push(piece).map_err(|error| beyond_counting(error, position))?;
        }
        if let Some(json) = &mut self.json {
            json.push(piece).map_err(|error| beyond_counting(error, position))?;
            if json.evidence().several > 0 || json.evidence().spanning > 0 {
                self.newline = None;
            }
        }
        self.position += piece.len() as u64;
        Ok(())
    }

    /// The first byte that is neither white space nor a byte-order mark says whether JSON is possible.
    fn look_for_lead(&mut self, piece: &[u8]) {
        let blank = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
        if let Some(lead) = piece.iter().find(|byte| !blank(byte)) {
            self.lead_seen = true;
            if !matches!(lead, b'{' | b'[') {
                self.json = None;
            }
        }
    }

    fn judge_head(&mut self) -> Result<(), DecodeError> {
        self.head_judged = true;
        let head = self.head.get(..HEAD_BYTES).unwrap_or(&self.head);
        if compression::is_text(head) {
            return Ok(());
        }
        let message = compression::nested(head).map_or_else(
            || "not text, so its framing cannot be told (a framing can be asked for)".to_owned(),
            |name| format!("decompressed, it looks like {name}, which is not read"),
        );
        Err(DecodeError::defect(DecodeDefect::UnknownFormat, 0, message))
    }

    fn finish(mut self) -> Result<(Spans, Framing), DecodeError> {
        if !self.head_judged {
            self.judge_head()?;
        }
        let counting = |error| beyond_counting(error, self.position);
        let lines = self.newline.map(NewlineFramer::finish).transpose().map_err(counting)?;
        let json = self.json.map(Scanner::finish).transpose().map_err(counting)?;
        let verdict = json.as_ref().map_or(Ok(Framing::Newline), |(_, evidence)| judge(evidence))?;
        match (verdict, lines, json) {
            (Framing::ConcatenatedJson, _, Some((values, _))) => {
                first_value_parses(&self.head, &values)?;
                Ok((values, verdict))
            }
            (_, lines, _) => Ok((lines.unwrap_or_default(), Framing::Newline)),
        }
    }
}

fn judge(evidence: &Evidence) -> Result<Framing, DecodeError> {
    let by_lines = evidence.several == 0 && evidence.spanning == 0;
    let Some(misfit) = evidence.misfit else {
        return Ok(if by_lines { Framing::Newline } else { Framing::ConcatenatedJson });
    };
    if by_lines && evidence.single >= evidence.bad {
        return Ok(Framing::Newline);
    }
    // Nothing says that an object of one single line is framed by lines.
    let one_line = evidence.lines <= 1;
    let (reason, message) = if by_lines || one_line {
        (DecodeDefect::BadFraming, "neither JSON by lines nor one JSON value after another")
    } else {
        (DecodeDefect::MixedFraming, "some JSON values share or span lines, and not all of it is JSON")
    };
    Err(DecodeError::defect(reason, misfit.offset, format!("{message}: {}", misfit.what)))
}

/// Brackets alone do not make JSON: `[12:00:01] [3] up` on each line must not be taken for arrays.
fn first_value_parses(head: &[u8], values: &Spans) -> Result<(), DecodeError> {
    let Some(first) = values.iter().next() else { return Ok(()) };
    let range = usize::try_from(first.offset).ok().zip(usize::try_from(first.len).ok());
    let bytes = range.and_then(|(offset, len)| head.get(offset..offset.checked_add(len)?));
    match bytes.map(serde_json::from_slice::<serde::de::IgnoredAny>) {
        Some(Err(_)) => Err(DecodeError::defect(
            DecodeDefect::BadFraming,
            first.offset,
            "brackets that are not JSON (a framing can be asked for)",
        )),
        Some(Ok(_)) | None => Ok(()),
    }
}
