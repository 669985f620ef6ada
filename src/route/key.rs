//! Which partition key a record has.
//!
//! A Firehose dump keeps the records and loses their keys, so the user names a rule: a field of the
//! record, or a way to spread records without one. The key is a pure function of the record's bytes,
//! its ordinal and the settings; a run that is resumed routes each record exactly as the first attempt
//! did.
//!
//! A field is taken as it is written: a string without its escapes, a number or boolean by its
//! letters, so `1` and `1.0` are two keys. What is no key (see [`KeyFault`]) is set aside with its
//! reason, never replaced in silence: only a fallback that the user asked for replaces it.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use sonic_rs::{JsonType, JsonValueTrait, LazyValue};

use super::pointer::{FindFault, JsonPointer, JsonPointerError};
use crate::limits::PARTITION_KEY_CHARS_MAX;
use crate::record::{HashKey, KeyError, Ordinal, PartitionKey, PartitionKeyRef};

/// Where keys come from, as typed behind `--partition-key`.
///
/// ```
/// # use respool::route::key::KeyRule;
/// assert!(matches!("/user/id".parse(), Ok(KeyRule::Pointer(_))));
/// assert_eq!("hash".parse(), Ok(KeyRule::Hash));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyRule {
    /// The field that a JSON pointer leads to.
    Pointer(JsonPointer),
    /// The record's place in the run decides; equal records spread.
    Random,
    /// The record's bytes decide; equal records meet.
    Hash,
}

/// The text names no rule for keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{found:?} is no partition key: give a JSON pointer to a field (/user/id), `random` or `hash`{}",
    .pointer.as_ref().map(|error| format!(" ({error})")).unwrap_or_default()
)]
pub struct KeyRuleError {
    /// What was typed.
    pub found: String,
    /// What is wrong with the pointer, if it was meant to be one.
    pub pointer: Option<JsonPointerError>,
}

impl FromStr for KeyRule {
    type Err = KeyRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |pointer| KeyRuleError { found: text.to_owned(), pointer };
        match text {
            "random" => Ok(Self::Random),
            "hash" => Ok(Self::Hash),
            _ => match text.parse() {
                Ok(pointer) => Ok(Self::Pointer(pointer)),
                Err(JsonPointerError::NoSlash) => Err(error(None)),
                Err(reason) => Err(error(Some(reason))),
            },
        }
    }
}

impl fmt::Display for KeyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(pointer) => pointer.fmt(f),
            Self::Random => f.write_str("random"),
            Self::Hash => f.write_str("hash"),
        }
    }
}

impl TryFrom<String> for KeyRule {
    type Error = KeyRuleError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeyRule> for String {
    fn from(rule: KeyRule) -> Self {
        rule.to_string()
    }
}

/// What a record gets that has no key by the rule, where the user asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFallback {
    /// As [`KeyRule::Random`].
    Random,
    /// As [`KeyRule::Hash`].
    Hash,
}

impl KeyFallback {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Hash => "hash",
        }
    }
}

/// The text names no fallback.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no fallback for a missing key: `random` or `hash`")]
pub struct KeyFallbackError {
    /// What was typed.
    pub found: String,
}

impl FromStr for KeyFallback {
    type Err = KeyFallbackError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "random" => Ok(Self::Random),
            "hash" => Ok(Self::Hash),
            _ => Err(KeyFallbackError { found: text.to_owned() }),
        }
    }
}

/// Everything that a record's key depends on besides the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyConfig {
    /// Where the key comes from.
    pub rule: KeyRule,
    /// What replaces a key that is not there, for whichever [`KeyFault`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<KeyFallback>,
    /// Makes `random` differ from run to run, and stay the same within one.
    pub seed: u64,
}

/// Why a record has no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyFault {
    /// The record is not JSON on the way to the key, or nests too deep to be searched.
    InvalidJson,
    /// It has no such field.
    Missing,
    /// The field is null.
    Null,
    /// The field is the empty string.
    Empty,
    /// The field is an object or an array.
    Container,
    /// The field has more characters than a partition key may have.
    TooLong,
}

impl KeyFault {
    /// The name of this reason in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::Missing => "missing",
            Self::Null => "null",
            Self::Empty => "empty",
            Self::Container => "container",
            Self::TooLong => "too_long",
        }
    }

    /// The same in a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::InvalidJson => "no key: the record is not JSON",
            Self::Missing => "no key: the record has no such field",
            Self::Null => "no key: the field is null",
            Self::Empty => "no key: the field is empty",
            Self::Container => "no key: the field is an object or a list",
            Self::TooLong => "no key: the field has more than 256 characters",
        }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<FindFault> for KeyFault {
    fn from(fault: FindFault) -> Self {
        match fault {
            FindFault::InvalidJson => Self::InvalidJson,
            FindFault::Missing => Self::Missing,
        }
    }
}

impl From<KeyError> for KeyFault {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Empty => Self::Empty,
            KeyError::TooLong => Self::TooLong,
        }
    }
}

/// What routing needs of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyPlace {
    /// Where it places its record.
    pub hash: HashKey,
    /// Its length.
    pub bytes: usize,
    /// Where in the record it stands as it is, if it does, and not too far behind to be noted.
    pub at: Option<u16>,
}

/// Gives each record its key.
#[derive(Debug, Clone)]
pub struct KeyExtractor {
    config: KeyConfig,
}

impl KeyExtractor {
    /// An extractor that follows `config`.
    #[must_use]
    pub fn new(config: KeyConfig) -> Self {
        Self { config }
    }

    /// What it follows.
    #[must_use]
    pub fn config(&self) -> &KeyConfig {
        &self.config
    }

    /// The key of `record`, which stands at `ordinal`.
    ///
    /// # Errors
    /// [`KeyFault`] if the rule gives none and no fallback was asked for.
    pub fn key(&self, record: &[u8], ordinal: Ordinal) -> Result<PartitionKey, KeyFault> {
        let spread = |fallback| match fallback {
            KeyFallback::Random => self.random_key(ordinal),
            KeyFallback::Hash => hex_key(Md5::digest(record).into()),
        };
        match &self.config.rule {
            KeyRule::Random => spread(KeyFallback::Random),
            KeyRule::Hash => spread(KeyFallback::Hash),
            KeyRule::Pointer(pointer) => {
                let key = pointer.find(record).map_err(KeyFault::from).and_then(|value| key_of(&value));
                match (key, self.config.fallback) {
                    (Err(_), Some(fallback)) => spread(fallback),
                    (key, _) => key,
                }
            }
        }
    }

    /// What routing needs of the key of `record`, without a copy.
    ///
    /// # Errors
    /// As for [`key`](Self::key).
    pub fn place(&self, record: &[u8], ordinal: Ordinal) -> Result<KeyPlace, KeyFault> {
        let placed = |key: &str| KeyPlace {
            hash: HashKey::of(key),
            bytes: key.len(),
            at: offset(record, key).and_then(|at| u16::try_from(at).ok()),
        };
        if let (KeyRule::Pointer(pointer), None) = (&self.config.rule, self.config.fallback) {
            let value = pointer.find(record)?;
            let text = key_text(&value)?;
            PartitionKeyRef::new(text)?;
            return Ok(placed(text));
        }
        self.key(record, ordinal).map(|key| placed(key.as_str()))
    }

    fn random_key(&self, ordinal: Ordinal) -> Result<PartitionKey, KeyFault> {
        let mut hasher = Md5::new();
        hasher.update(self.config.seed.to_be_bytes());
        hasher.update(ordinal.object().to_be_bytes());
        hasher.update(ordinal.record().to_be_bytes());
        hex_key(hasher.finalize().into())
    }
}

/// Where `part` lies in `whole`, if it is a part of it and not a copy.
fn offset(whole: &[u8], part: &str) -> Option<usize> {
    let at = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    (at + part.len() <= whole.len()).then_some(at)
}

fn hex_key(digest: [u8; 16]) -> Result<PartitionKey, KeyFault> {
    Ok(PartitionKey::new(format!("{:032x}", u128::from_be_bytes(digest)))?)
}

/// A value as a key, or why it is none.
pub(super) fn key_of(value: &LazyValue<'_>) -> Result<PartitionKey, KeyFault> {
    Ok(PartitionKey::new(key_text(value)?)?)
}

/// A value as it is written in a key, or why it is none; how long it may be is not asked to the end.
fn key_text<'v>(value: &'v LazyValue<'_>) -> Result<&'v str, KeyFault> {
    let text = match value.get_type() {
        JsonType::Null => return Err(KeyFault::Null),
        JsonType::Object | JsonType::Array => return Err(KeyFault::Container),
        JsonType::String => value.as_str().ok_or(KeyFault::InvalidJson)?,
        JsonType::Number | JsonType::Boolean => value.as_raw_str(),
    };
    // A character has at most 4 bytes: what is too long beyond doubt is not copied first.
    if text.len() > 4 * PARTITION_KEY_CHARS_MAX {
        return Err(KeyFault::TooLong);
    }
    Ok(text)
}
