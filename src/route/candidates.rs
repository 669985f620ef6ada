//! Which fields of a record could be its partition key, to show to a user who has not chosen one.
//!
//! One record is looked at, in its own order, within bounds; what is listed is certain to give that
//! record a key. Of arrays only one at the top is entered, since an element's place elsewhere seldom
//! means anything.

use std::collections::HashSet;

use sonic_rs::{JsonType, JsonValueTrait, LazyValue};

use super::key::key_of;
use super::pointer::{JsonPointer, nests_too_deep, without_bom};

/// Pointers in one answer.
pub const CANDIDATES_MAX: usize = 24;

/// Levels of objects that are looked into.
pub const CANDIDATE_DEPTH_MAX: usize = 4;

/// Elements of an array at the top that are looked at.
const ELEMENTS_MAX: usize = 8;

/// A pointer that gives the record a key, and what it points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it stands.
    pub pointer: JsonPointer,
    /// What stands there. The value itself may be personal data and is not kept.
    pub kind: CandidateKind,
}

/// The types of values that can be keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// A string, used without its quotes.
    String,
    /// A number, used as it is written.
    Number,
    /// `true` or `false`: at most two keys.
    Boolean,
}

impl CandidateKind {
    /// The type's name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }
}

/// The pointers that would work as keys of `record`, in its order; none if it is not JSON. At most
/// [`CANDIDATES_MAX`], at most [`CANDIDATE_DEPTH_MAX`] levels down.
#[must_use]
pub fn candidates(record: &[u8]) -> Vec<Candidate> {
    let mut found = Vec::new();
    let Ok(text) = std::str::from_utf8(without_bom(record)) else { return found };
    if nests_too_deep(text.as_bytes()) {
        return found;
    }
    if text.trim_start().starts_with('[') {
        for (index, value) in sonic_rs::to_array_iter(text).take(ELEMENTS_MAX).enumerate() {
            let Ok(value) = value else { break };
            visit(&value, &mut vec![index.to_string()], &mut found);
        }
    } else {
        walk(text, &mut Vec::new(), &mut found);
    }
    found
}

/// Looks at the fields of the object `text`, to which `path` leads.
fn walk(text: &str, path: &mut Vec<String>, found: &mut Vec<Candidate>) {
    let mut seen = HashSet::new();
    for field in sonic_rs::to_object_iter(text) {
        if found.len() >= CANDIDATES_MAX {
            return;
        }
        let Ok((name, value)) = field else { return };
        // Of two fields of one name only the first can be pointed at.
        if seen.insert(name.to_string()) {
            path.push(name.to_string());
            visit(&value, path, found);
            path.pop();
        }
    }
}

/// Looks at one value, to which `path` leads.
fn visit(value: &LazyValue<'_>, path: &mut Vec<String>, found: &mut Vec<Candidate>) {
    let kind = match value.get_type() {
        JsonType::String => CandidateKind::String,
        JsonType::Number => CandidateKind::Number,
        JsonType::Boolean => CandidateKind::Boolean,
        JsonType::Object if path.len() < CANDIDATE_DEPTH_MAX => return walk(value.as_raw_str(), path, found),
        JsonType::Object | JsonType::Array | JsonType::Null => return,
    };
    if found.len() < CANDIDATES_MAX && key_of(value).is_ok() {
        found.push(Candidate { pointer: JsonPointer::from_names(path.iter().map(String::as_str)), kind });
    }
}
