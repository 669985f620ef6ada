//! JSON pointers (RFC 6901), and finding what they point at without building a tree.
//!
//! A record is searched lazily: what stands before the value is skipped and checked, what stands after
//! it is never looked at. So damage behind the key goes unnoticed here, as does rubbish between the
//! opening brace of an object on the path and its first name (sonic-rs skips it). Of two fields of the
//! same name the first one counts. A part such as `0` is an index where it meets an array, and a name where
//! it meets an object.
//!
//! Skipping recurses once per level of nesting, so a record that nests deeper than [`DEPTH_MAX`] is
//! turned away before it can exhaust the stack.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use memchr::memchr2;
use sonic_rs::{JsonType, JsonValueTrait as _, LazyValue, PointerNode};

/// Levels of arrays and objects in a record whose fields are looked at. The same as `serde_json`'s.
pub const DEPTH_MAX: usize = 128;

/// A path to a value in a JSON text: `/user/id`, `/items/0`; `~1` stands for `/`, `~0` for `~`.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonPointer {
    text: Box<str>,
    /// Each part as a name, and where it could be one, as an index.
    parts: Vec<(PointerNode, Option<PointerNode>)>,
}

/// The text is no pointer to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonPointerError {
    /// It does not begin with a slash.
    #[error("a JSON pointer begins with a slash, as in /user/id")]
    NoSlash,
    /// A tilde is followed by something else than 0 or 1.
    #[error("in a JSON pointer ~ is written ~0 and a slash in a name ~1")]
    BadEscape,
}

/// Why a pointer led nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FindFault {
    /// The record is not JSON, at least up to the place where the search ended.
    InvalidJson,
    /// There is no such value.
    Missing,
}

impl JsonPointer {
    /// The pointer as RFC 6901 writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pointer to what these names lead to; an array's elements are named by their index.
    #[must_use]
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut text = String::new();
        let mut parts = Vec::new();
        for name in names {
            text.push('/');
            text.push_str(&name.replace('~', "~0").replace('/', "~1"));
            parts.push(part(name));
        }
        Self { text: text.into(), parts }
    }

    /// What this points at as text, if it is a string, a number or a boolean.
    #[must_use]
    pub fn text_in(&self, record: &[u8]) -> Option<String> {
        let value = self.find(record).ok()?;
        match value.get_type() {
            JsonType::String => value.as_str().map(str::to_owned),
            JsonType::Number | JsonType::Boolean => Some(value.as_raw_str().to_owned()),
            _ => None,
        }
    }

    /// The value this points at, the first one if a name stands twice.
    pub(super) fn find<'a>(&self, record: &'a [u8]) -> Result<LazyValue<'a>, FindFault> {
        let mut text = without_bom(record);
        if nests_too_deep(text) {
            return Err(FindFault::InvalidJson);
        }
        let mut parts = self.parts.as_slice();
        loop {
            // Up to the next part that may be an index all are names and can be followed at once.
            let names = parts.iter().skip(1).take_while(|(_, index)| index.is_none()).count() + 1;
            let (run, rest) = parts.split_at_checked(names).unwrap_or((parts, &[]));
            let in_array = text.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
            let path = run.iter().enumerate().map(|(i, (name, index))| match index {
                Some(index) if i == 0 && in_array => index,
                _ => name,
            });
            let value = sonic_rs::get(text, path).map_err(|error| fault_of(&error))?;
            if rest.is_empty() {
                return Ok(value);
            }
            let Cow::Borrowed(inner) = value.as_raw_cow() else {
                return Err(FindFault::InvalidJson);
            };
            text = inner.as_bytes();
            parts = rest;
        }
    }
}

fn part(name: &str) -> (PointerNode, Option<PointerNode>) {
    let canonical = name == "0" || !name.starts_with('0');
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let index = if canonical && digits { name.parse::<usize>().ok() } else { None };
    (PointerNode::from(name), index.map(PointerNode::from))
}

fn fault_of(error: &sonic_rs::Error) -> FindFault {
    if error.is_not_found() || error.is_unmatched_type() {
        FindFault::Missing
    } else {
        FindFault::InvalidJson
    }
}

/// Some writers put a byte order mark in front of the first record of a file.
pub(super) fn without_bom(record: &[u8]) -> &[u8] {
    record.strip_prefix(b"\xef\xbb\xbf").unwrap_or(record)
}

/// Whether arrays and objects nest deeper than [`DEPTH_MAX`]. Most records are cleared by a count of
/// the opening brackets, which costs next to nothing.
pub(super) fn nests_too_deep(text: &[u8]) -> bool {
    if text.len() <= DEPTH_MAX || opening_brackets(text) <= DEPTH_MAX {
        return false;
    }
    let mut depth = 0_usize;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match byte {
            b'"' => rest = after_string(tail),
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn opening_brackets(text: &[u8]) -> usize {
    // `{` and `[` differ in this one bit. Sums of up to 255 fit a byte, which lets the compiler use
    // whole vectors, as long as it need not ask after each whether they do.
    let one_more = |sum: u8, byte: &u8| sum.wrapping_add(u8::from(byte | 0x20 == b'{'));
    let count = |block: &[u8]| block.iter().fold(0, one_more);
    text.chunks(255).map(|block| usize::from(count(block))).sum()
}

/// What follows a string of which the opening quote is already gone.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr2(b'"', b'\\', rest) {
        let closed = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if closed { 1 } else { 2 }..).unwrap_or_default();
        if closed {
            return rest;
        }
    }
    &[]
}

impl FromStr for JsonPointer {
    type Err = JsonPointerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = text.strip_prefix('/').ok_or(JsonPointerError::NoSlash)?;
        let mut parts = Vec::new();
        for name in names.split('/') {
            let bad = name.split('~').skip(1).any(|after| !after.starts_with(['0', '1']));
            if bad {
                return Err(JsonPointerError::BadEscape);
            }
            parts.push(part(&name.replace("~1", "/").replace("~0", "~")));
        }
        Ok(Self { text: text.into(), parts })
    }
}

impl fmt::Display for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPointer({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_unescaped_in_the_order_that_rfc_6901_demands() {
        let pointer: JsonPointer = "/a~1b/~01/".parse().unwrap();
        assert_eq!(
            pointer,
            JsonPointer { text: "/a~1b/~01/".into(), ..JsonPointer::from_names(["a/b", "~1", ""]) }
        );
        assert_eq!(JsonPointer::from_names(["a/b", "~1", ""]).as_str(), "/a~1b/~01/");
    }

    #[test]
    fn what_is_no_pointer_is_refused() {
        assert_eq!("user".parse::<JsonPointer>(), Err(JsonPointerError::NoSlash));
        assert_eq!("".parse::<JsonPointer>(), Err(JsonPointerError::NoSlash));
        for bad in ["/~", "/a~2", "/a~", "/~~0"] {
            assert_eq!(bad.parse::<JsonPointer>(), Err(JsonPointerError::BadEscape), "{bad}");
        }
    }

    #[test]
    fn a_number_is_an_index_in_an_array_and_a_name_in_an_object() {
        let record = br#" {"0":{"1":[10,[20,{"2":"x"}]]}} "#;
        let found = |pointer: &str| {
            let pointer: JsonPointer = pointer.parse().unwrap();
            pointer.find(record).map(|value| value.as_raw_str().to_owned())
        };
        assert_eq!(found("/0/1/0"), Ok("10".into()));
        assert_eq!(found("/0/1/1/1/2"), Ok("\"x\"".into()));
        assert_eq!(found("/0/1/01"), Err(FindFault::Missing));
        assert_eq!(found("/0/1/2"), Err(FindFault::Missing));
        assert_eq!(found("/0/1/-"), Err(FindFault::Missing));
        assert_eq!(found("/0/1/99999999999999999999999"), Err(FindFault::Missing));
    }

    #[test]
    fn depth_counts_brackets_outside_of_strings_only() {
        let deep = |levels: usize| [vec![b'['; levels], vec![b']'; levels]].concat();
        assert!(!nests_too_deep(&deep(DEPTH_MAX)));
        assert!(nests_too_deep(&deep(DEPTH_MAX + 1)));
        let in_string = format!(r#"{{"a":"\"{}"}}"#, "[".repeat(1_000));
        assert!(!nests_too_deep(in_string.as_bytes()));
        assert!(!nests_too_deep("[],".repeat(1_000).as_bytes()));
        assert_eq!(opening_brackets(&[b'{'; 1_000]), 1_000);
    }

    #[test]
    fn a_megabyte_of_brackets_is_turned_away() {
        let pointer: JsonPointer = "/a".parse().unwrap();
        for bracket in ["[", "{\"a\":", "{\"b\":["] {
            let record = bracket.repeat(1 << 20);
            assert_eq!(pointer.find(record.as_bytes()).map(|_| ()), Err(FindFault::InvalidJson));
        }
    }
}
