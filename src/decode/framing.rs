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
//! An object that begins with the magic of the Kinesis Producer Library's aggregates is told by that. Where a framing of
//! text was asked for, the first bytes are judged all the same: what is compressed once more is no text.
//!
//! Wrongly cut, two records become one or one becomes two, and nobody notices: so doubt is a defect.

use super::aggregate;
use super::compression::{self, HEAD_BYTES};
use super::delimiter::DelimiterFramer;
use super::elements::{ElementError, Elements, Wanted};
use super::json::{Evidence, Misfit, Scanner};
use super::kpl::KplFramer;
use super::newline::NewlineFramer;
use super::prefix::PrefixFramer;
use super::spans::{SpanError, Spans};
use super::{DecodeDefect, DecodeError, Framing, FramingChoice};

/// The first value is parsed for good before an object counts as concatenated JSON, if it ends within this.
const FIRST_VALUE_BYTES: usize = 64 * 1024;

/// What is held back to be judged: no magic is longer.
const HELD_BYTES: usize = 16;

/// The bytes that were looked at so far, and what they are looked at with.
pub(super) struct Framer {
    rule: Rule,
    position: u64,
    /// The whole records of a broken object may be asked for.
    salvage: bool,
    /// Why it is framed so, in a few words; nothing where that was asked for.
    why: &'static str,
}

enum Rule {
    Newline(NewlineFramer),
    ConcatenatedJson(Box<Scanner>),
    Elements(Box<Elements>, Framing),
    Delimiter(Box<DelimiterFramer>),
    LengthPrefixed(PrefixFramer),
    Kpl(Box<KplFramer>),
    Whole,
    /// Too little has come to tell text from what is none.
    Undecided(Vec<u8>, FramingChoice),
    Auto(Box<Auto>),
}

impl Rule {
    fn new(choice: FramingChoice, salvage: bool) -> Self {
        let elements = |wanted, framing| Self::Elements(Box::new(Elements::new(wanted)), framing);
        match choice {
            FramingChoice::Auto => Self::Auto(Box::new(Auto::new(salvage))),
            FramingChoice::Newline => Self::Newline(NewlineFramer::default()),
            FramingChoice::ConcatenatedJson => Self::ConcatenatedJson(Box::new(Scanner::new(salvage))),
            FramingChoice::JsonArray => elements(Wanted::Array, Framing::JsonArray),
            FramingChoice::CloudwatchLogs => elements(Wanted::LogEvents, Framing::CloudwatchLogs),
            FramingChoice::Delimiter(delimiter) => Self::Delimiter(Box::new(DelimiterFramer::new(delimiter))),
            FramingChoice::LengthPrefixed(prefix) => Self::LengthPrefixed(PrefixFramer::new(prefix)),
            FramingChoice::Kpl => Self::Kpl(Box::default()),
            FramingChoice::Whole => Self::Whole,
            FramingChoice::ErrorOutput => panic!("an error output is rewritten, not framed"),
        }
    }
}

impl Framer {
    /// # Panics
    /// For a choice that rewrites what it reads: that is no framing of the bytes themselves.
    pub(super) fn new(choice: FramingChoice, salvage: bool) -> Self {
        let rule = if choice.is_of_text() {
            Rule::Undecided(Vec::new(), choice)
        } else {
            Rule::new(choice, salvage)
        };
        Self { rule, position: 0, salvage, why: "" }
    }

    /// Why it is framed so, in a few words; nothing where that was asked for.
    pub(super) fn why(&self) -> &'static str {
        self.why
    }

    /// Takes the next piece of the decoded object. How the object is cut into pieces makes no difference.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), DecodeError> {
        let position = self.position;
        let counting = |error| beyond_counting(error, position);
        let fits = |misfit: Misfit| bad_framing(misfit.offset, misfit.what);
        match &mut self.rule {
            Rule::Newline(framer) => framer.push(piece).map_err(counting)?,
            Rule::ConcatenatedJson(scanner) => {
                scanner.push(piece).map_err(counting)?;
                scanner.evidence().misfit.map_or(Ok(()), |misfit| Err(not_json(misfit)))?;
            }
            Rule::Elements(elements, _) => elements.push(piece).map_err(|error| match error {
                ElementError::Span(error) => counting(error),
                ElementError::Misfit(misfit) => fits(misfit),
            })?,
            Rule::Delimiter(framer) => framer.push(piece).map_err(counting)?,
            Rule::LengthPrefixed(framer) => framer.push(piece).map_err(counting)?.map_err(fits)?,
            Rule::Kpl(framer) => framer.push(piece).map_err(counting)?.map_err(fits)?,
            Rule::Whole => {}
            Rule::Undecided(held, _) => {
                held.extend_from_slice(piece);
                return if held.len() < HELD_BYTES { Ok(()) } else { self.decide() };
            }
            Rule::Auto(auto) => auto.push(piece)?,
        }
        self.position += piece.len() as u64;
        Ok(())
    }

    /// Judges what was held back, and takes it.
    fn decide(&mut self) -> Result<(), DecodeError> {
        let Rule::Undecided(held, choice) = &mut self.rule else { return Ok(()) };
        let (held, choice) = (std::mem::take(held), *choice);
        let auto = choice == FramingChoice::Auto;
        // For itself Auto judges more of it, as a whole.
        if let Some(name) = compression::nested(&held).filter(|_| !auto) {
            return Err(not_read(&name));
        }
        self.rule = if auto && held.starts_with(&aggregate::MAGIC) {
            self.why = "it begins with the magic of the Kinesis Producer Library";
            Rule::new(FramingChoice::Kpl, self.salvage)
        } else {
            Rule::new(choice, self.salvage)
        };
        self.push(&held)
    }

    /// Ends the last record. The spans are taken, unless something does not fit.
    pub(super) fn finish(&mut self) -> Result<(Spans, Framing), DecodeError> {
        self.decide()?;
        let position = self.position;
        let counting = |error| beyond_counting(error, position);
        match &mut self.rule {
            Rule::Newline(framer) => Ok((framer.finish().map_err(counting)?, Framing::Newline)),
            Rule::ConcatenatedJson(scanner) => {
                let evidence = scanner.finish().map_err(counting)?;
                match evidence.misfit {
                    None => Ok((scanner.take_spans(), Framing::ConcatenatedJson)),
                    Some(misfit) if evidence.cut => Err(cut(misfit.offset)),
                    Some(misfit) => Err(not_json(misfit)),
                }
            }
            Rule::Elements(elements, framing) if elements.is_whole() => Ok((elements.spans(), *framing)),
            Rule::Delimiter(framer) => Ok((framer.finish().map_err(counting)?, Framing::Delimiter)),
            Rule::LengthPrefixed(framer) if framer.is_whole() => {
                Ok((framer.spans(), Framing::LengthPrefixed))
            }
            Rule::Kpl(framer) if framer.is_whole() => Ok((framer.spans(), Framing::Kpl)),
            Rule::Elements(..) | Rule::LengthPrefixed(_) | Rule::Kpl(_) => Err(cut(position)),
            Rule::Whole => Ok((all_of(position).map_err(counting)?, Framing::Whole)),
            Rule::Undecided(..) => Ok((Spans::default(), Framing::Newline)),
            Rule::Auto(auto) => {
                let (spans, framing, why) = auto.finish()?;
                self.why = why;
                Ok((spans, framing))
            }
        }
    }

    /// The records that are whole although the object has this defect; its first `sound` bytes are right.
    pub(super) fn salvage(&mut self, reason: DecodeDefect, sound: u64) -> Option<(Spans, Framing)> {
        // Of very little all may still be held back.
        self.decide().ok()?;
        Some(match &mut self.rule {
            Rule::Newline(framer) => (framer.spans(), Framing::Newline),
            Rule::ConcatenatedJson(scanner) => (scanner.take_spans(), Framing::ConcatenatedJson),
            Rule::Elements(elements, framing) => (elements.spans(), *framing),
            Rule::Delimiter(framer) => (framer.spans(), Framing::Delimiter),
            Rule::LengthPrefixed(framer) => (framer.spans(), Framing::LengthPrefixed),
            Rule::Kpl(framer) => (framer.spans(), Framing::Kpl),
            // Which framing it is was in doubt.
            Rule::Auto(_) if matches!(reason, DecodeDefect::BadFraming | DecodeDefect::MixedFraming) => {
                return None;
            }
            Rule::Auto(auto) => return auto.salvage(sound),
            Rule::Whole | Rule::Undecided(..) => return None,
        })
    }
}

fn all_of(bytes: u64) -> Result<Spans, SpanError> {
    let mut spans = Spans::default();
    if bytes > 0 {
        spans.push(0, bytes)?;
    }
    Ok(spans)
}

fn bad_framing(offset: u64, what: &str) -> DecodeError {
    DecodeError::defect(DecodeDefect::BadFraming, offset, format!("not framed as was asked for: {what}"))
}

fn beyond_counting(error: SpanError, offset: u64) -> DecodeError {
    DecodeError::defect(DecodeDefect::TooLarge, offset, error.to_string())
}

pub(super) fn not_read(name: &str) -> DecodeError {
    let message = format!("decompressed, it looks like {name}, which is not read");
    DecodeError::defect(DecodeDefect::UnknownFormat, 0, message)
}

fn cut(offset: u64) -> DecodeError {
    DecodeError::defect(DecodeDefect::Truncated, offset, "it ends inside a record")
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
    fn new(salvage: bool) -> Self {
        Self {
            head: Vec::new(),
            head_judged: false,
            lead_seen: false,
            position: 0,
            newline: Some(NewlineFramer::default()),
            json: Some(Scanner::new(salvage)),
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
        let message = "not text, so its framing cannot be told (a framing can be asked for)";
        let not_text = || DecodeError::defect(DecodeDefect::UnknownFormat, 0, message);
        Err(compression::nested(head).map_or_else(not_text, |name| not_read(&name)))
    }

    /// The records, how they were cut, and why so.
    fn finish(&mut self) -> Result<(Spans, Framing, &'static str), DecodeError> {
        if !self.head_judged {
            self.judge_head()?;
        }
        let position = self.position;
        let counting = |error| beyond_counting(error, position);
        let mut why = "it does not begin as JSON";
        if let Some(json) = &mut self.json {
            let evidence = json.finish().map_err(counting)?;
            let framing = judge(&evidence)?;
            why = reason(&evidence);
            if framing == Framing::ConcatenatedJson {
                first_value_parses(&self.head, &json.spans)?;
                return Ok((json.take_spans(), framing, why));
            }
        }
        let lines = self.newline.as_mut().map(NewlineFramer::finish).transpose().map_err(counting)?;
        Ok((lines.unwrap_or_default(), Framing::Newline, why))
    }
}

impl Auto {
    /// By what has come so far; a value or line that has not ended says nothing, and neither does what was damaged.
    fn salvage(&mut self, sound: u64) -> Option<(Spans, Framing)> {
        let evidence = self.json.as_ref().map(|scanner| {
            let evidence = scanner.evidence_so_far();
            let counts = |misfit: &Misfit| misfit.offset < sound && !evidence.cut;
            Evidence { misfit: evidence.misfit.filter(counts), ..evidence }
        });
        match evidence.map_or(Ok(Framing::Newline), |evidence| judge(&evidence)).ok()? {
            Framing::ConcatenatedJson => {
                let json = self.json.as_mut()?;
                first_value_parses(&self.head, &json.spans).ok()?;
                Some((json.take_spans(), Framing::ConcatenatedJson))
            }
            _ => Some((self.newline.as_mut()?.spans(), Framing::Newline)),
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
    if evidence.cut && !by_lines {
        return Err(cut(misfit.offset));
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

/// What the evidence is, in a few words.
fn reason(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence { several: 1.., spanning: 1.., .. } => "JSON values share lines and span lines",
        Evidence { several: 1.., .. } => "JSON values share lines",
        Evidence { spanning: 1.., .. } => "JSON values span lines",
        Evidence { bad: 1.., .. } => "at least half of the lines are one JSON value each",
        Evidence { single: 0, .. } => "there is nothing in it",
        _ => "each line is one JSON value",
    }
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
