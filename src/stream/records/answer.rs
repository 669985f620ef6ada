//! The answer to a PutRecords call, read without building a tree.
//!
//! One pass over the bytes: of each entry three members count, everything else is skipped, whatever it may
//! be. Nothing is looked at outside of the bytes, nesting has a bound, and bytes that are not such an answer are
//! an error: then it is unknown what was stored. `FailedRecordCount` is not asked, only the entries are.
#![warn(clippy::indexing_slicing)]

use std::borrow::Cow;

use crate::record::{SequenceNumber, ShardId};
use crate::stream::{Outcome, UnknownCause};

/// Arrays and objects in one another, in what is skipped.
const DEPTH_MAX: usize = 64;

/// The bytes are no answer to PutRecords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::stream) struct NoAnswer;

/// One outcome for each entry of the answer.
///
/// # Errors
/// [`NoAnswer`] if it is not JSON of the right shape.
pub(in crate::stream) fn outcomes(answer: &[u8], expected: usize) -> Result<Vec<Outcome>, NoAnswer> {
    let mut reader = Reader { rest: answer };
    let mut outcomes = Vec::new();
    let mut last_shard = None;
    reader.object(|reader, name| {
        if name != "Records" {
            return reader.skip(DEPTH_MAX);
        }
        outcomes.clear();
        outcomes.reserve(expected);
        if reader.null() {
            return Ok(());
        }
        reader.array(|reader| {
            outcomes.push(entry(reader, &mut last_shard)?);
            Ok(())
        })
    })?;
    reader.blanks();
    if reader.rest.is_empty() { Ok(outcomes) } else { Err(NoAnswer) }
}

fn entry(reader: &mut Reader<'_>, last_shard: &mut Option<ShardId>) -> Result<Outcome, NoAnswer> {
    let (mut code, mut number, mut shard) = (None, None, None);
    reader.object(|reader, name| {
        match name {
            "ErrorCode" => code = reader.text_or_null()?,
            "SequenceNumber" => number = reader.text_or_null()?,
            "ShardId" => shard = reader.text_or_null()?,
            _ => reader.skip(DEPTH_MAX)?,
        }
        Ok(())
    })?;
    let unknown = |cause| Outcome::Unknown { cause };
    Ok(match code.as_deref().filter(|code| !code.is_empty()) {
        Some("ProvisionedThroughputExceededException") => Outcome::Throttled,
        Some("InternalFailure") => unknown(UnknownCause::InternalFailure),
        Some(_) => unknown(UnknownCause::BadAnswer),
        None => {
            let shard = shard.filter(|shard| !shard.is_empty());
            match (number.as_deref().and_then(SequenceNumber::new), shard) {
                (Some(sequence_number), Some(shard)) => {
                    Outcome::Acked { shard: shared(&shard, last_shard), sequence_number }
                }
                _ => unknown(UnknownCause::BadAnswer),
            }
        }
    })
}

/// The shard's name; as a rule all entries of an answer share one.
fn shared(shard: &str, last: &mut Option<ShardId>) -> ShardId {
    match last {
        Some(last) if &*last.0 == shard => last.clone(),
        _ => last.insert(ShardId(shard.into())).clone(),
    }
}

/// What is not read yet.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn blanks(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Whether `byte` comes next, behind blanks; then it is behind us.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), NoAnswer> {
        if self.take(byte) { Ok(()) } else { Err(NoAnswer) }
    }

    fn word(&mut self, word: &[u8]) -> bool {
        self.blanks();
        match self.rest.strip_prefix(word) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn null(&mut self) -> bool {
        self.word(b"null")
    }

    /// An object, each of its members by `member`, which must read the value.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), NoAnswer>,
    ) -> Result<(), NoAnswer> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.text()?;
            self.expect(b':')?;
            member(self, &name)?;
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// An array, each of its values by `element`.
    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), NoAnswer>) -> Result<(), NoAnswer> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn text_or_null(&mut self) -> Result<Option<Cow<'a, str>>, NoAnswer> {
        if self.null() { Ok(None) } else { self.text().map(Some) }
    }

    /// A string without its escapes.
    fn text(&mut self) -> Result<Cow<'a, str>, NoAnswer> {
        self.expect(b'"')?;
        let plain = memchr::memchr2(b'"', b'\\', self.rest);
        let (text, rest) = plain.and_then(|at| self.rest.split_at_checked(at)).ok_or(NoAnswer)?;
        if text.iter().any(|byte| *byte < 0x20) {
            return Err(NoAnswer);
        }
        if let [b'"', rest @ ..] = rest {
            self.rest = rest;
            return std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| NoAnswer);
        }
        self.escaped().map(Cow::Owned)
    }

    /// A string with escapes, behind its first quote. Rare, so another parser may do it.
    fn escaped(&mut self) -> Result<String, NoAnswer> {
        let mut end = 0;
        loop {
            match self.rest.get(end).ok_or(NoAnswer)? {
                b'"' => break,
                b'\\' => end += 2,
                _ => end += 1,
            }
        }
        let (text, rest) = self.rest.split_at_checked(end).ok_or(NoAnswer)?;
        self.rest = rest.get(1..).unwrap_or_default();
        serde_json::from_slice(&[b"\"", text, b"\""].concat()).map_err(|_| NoAnswer)
    }

    /// One value, whatever it is.
    fn skip(&mut self, depth: usize) -> Result<(), NoAnswer> {
        let depth = depth.checked_sub(1).ok_or(NoAnswer)?;
        self.blanks();
        match self.rest.first().ok_or(NoAnswer)? {
            b'{' => self.object(|reader, _| reader.skip(depth)),
            b'[' => self.array(|reader| reader.skip(depth)),
            b'"' => self.text().map(drop),
            _ if self.word(b"null") || self.word(b"true") || self.word(b"false") => Ok(()),
            _ => {
                let number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
                let end = self.rest.iter().position(|byte| !number(byte)).unwrap_or(self.rest.len());
                match self.rest.split_at_checked(end) {
                    Some((number, rest)) if !number.is_empty() => {
                        self.rest = rest;
                        Ok(())
                    }
                    _ => Err(NoAnswer),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The same by another parser, which builds a tree.
    fn by_tree(answer: &[u8]) -> Option<Vec<Outcome>> {
        let tree: Value = serde_json::from_slice(answer).ok()?;
        let records = match tree.as_object()?.get("Records") {
            None | Some(Value::Null) => return Some(Vec::new()),
            Some(records) => records.as_array()?,
        };
        records.iter().map(outcome_of_tree).collect()
    }

    fn outcome_of_tree(record: &Value) -> Option<Outcome> {
        record.as_object()?;
        let text = |name| match &record[name] {
            Value::Null => Some(""),
            value => value.as_str(),
        };
        let (code, number, shard) = (text("ErrorCode")?, text("SequenceNumber")?, text("ShardId")?);
        let unknown = |cause| Some(Outcome::Unknown { cause });
        match code {
            "ProvisionedThroughputExceededException" => Some(Outcome::Throttled),
            "InternalFailure" => unknown(UnknownCause::InternalFailure),
            "" if !shard.is_empty() => match SequenceNumber::new(number) {
                Some(sequence_number) => {
                    Some(Outcome::Acked { shard: ShardId(shard.into()), sequence_number })
                }
                None => unknown(UnknownCause::BadAnswer),
            },
            _ => unknown(UnknownCause::BadAnswer),
        }
    }

    fn check(answer: &[u8]) {
        let ours = outcomes(answer, 2);
        if let Some(theirs) = by_tree(answer) {
            assert_eq!(ours, Ok(theirs), "{}", String::from_utf8_lossy(answer));
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}|[\\x00-\\x7f]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::hash_map("[a-z\\\\\"]{0,3}", inner, 0..3)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    fn record() -> impl Strategy<Value = Value> {
        let codes = ["", "ProvisionedThroughputExceededException", "InternalFailure", "Other"];
        let texts =
            ["", "1", "0", "07", "49590338271490256608559692538361571095921575989136588898", "s\"\\é\n"];
        let text = |texts: &'static [&'static str]| prop::option::of(prop::sample::select(texts));
        let codes: &'static [&str] = Vec::from(codes).leak();
        let texts: &'static [&str] = Vec::from(texts).leak();
        (text(codes), text(texts), text(texts), value()).prop_map(|(code, number, shard, other)| {
            json!({"ErrorCode": code, "SequenceNumber": number, "ShardId": shard, "Other": other})
        })
    }

    proptest! {
        #[test]
        fn both_parsers_agree(records in prop::collection::vec(record(), 0..4), other in value(), pretty: bool) {
            let answer = json!({"FailedRecordCount": 0, "Zzz": other, "Records": records, "EncryptionType": "KMS"});
            let text = if pretty { serde_json::to_vec_pretty(&answer) } else { serde_json::to_vec(&answer) }.unwrap();
            prop_assert_eq!(outcomes(&text, records.len()).map(|outcomes| outcomes.len()), Ok(records.len()));
            check(&text);
        }

        #[test]
        fn damaged_bytes_are_an_error_at_most(
            records in prop::collection::vec(record(), 1..3), at: prop::sample::Index, byte: u8, cut: prop::sample::Index
        ) {
            let mut text = json!({ "Records": records }).to_string().into_bytes();
            check(&text[..cut.index(text.len())]);
            let at = at.index(text.len());
            text[at] = byte;
            check(&text);
        }

        #[test]
        fn any_bytes_are_an_error_at_most(bytes: Vec<u8>) {
            check(&bytes);
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let deep = ["{\"a\":", &"[".repeat(100_000), &"]".repeat(100_000), "}"].concat();
        for bad in [
            "",
            "[]",
            "null",
            "<html>",
            "{",
            "{}x",
            r#"{"Records":[{}}"#,
            r#"{"Records":{}}"#,
            r#"{"Records":[1]}"#,
            r#"{"Records":[{"ShardId":1}]}"#,
            r#"{"Records":[],}"#,
            r#"{"a":"\"#,
            r#"{"a":"\u12"}"#,
            &deep,
        ] {
            assert_eq!(outcomes(bad.as_bytes(), 1), Err(NoAnswer), "{}", bad.get(..40).unwrap_or(bad));
        }
        assert_eq!(outcomes(br#" {"Records": null} "#, 1), Ok(Vec::new()));
    }
}
