//! An `ETag`, which pins an object to what was listed.
//!
//! It is opaque: nothing is concluded from what it holds. But S3's are mostly an MD5 in hexadecimal, in quotation marks,
//! perhaps with a number of parts; such a one takes no memory beside its place in a list of millions.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An `ETag`, as it was listed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Etag(Form);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Form {
    /// `"<32 digits>"`, or with a number that is not 0 `"<32 digits>-<parts>"`.
    Sum {
        sum: [u8; 16],
        parts: u16,
    },
    Text(Box<str>),
}

impl Etag {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(&self.0, Form::Text(text) if text.is_empty())
    }
}

impl From<String> for Etag {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&str> for Etag {
    fn from(text: &str) -> Self {
        let sum = compact(text).filter(|sum| sum.to_string() == text);
        sum.unwrap_or_else(|| Self(Form::Text(text.into())))
    }
}

fn compact(text: &str) -> Option<Etag> {
    let inside = text.strip_prefix('"')?.strip_suffix('"')?;
    let (digits, parts) = match inside.split_once('-') {
        Some((digits, parts)) => (digits, parts.parse().ok().filter(|parts| *parts > 0)?),
        None => (inside, 0),
    };
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let mut sum = [0; 16];
    if pairs.len() != sum.len() || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    for (byte, [high, low]) in sum.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(Etag(Form::Sum { sum, parts }))
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Text(text) => f.write_str(text),
            Form::Sum { sum, parts } => {
                f.write_str("\"")?;
                sum.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                if *parts > 0 {
                    write!(f, "-{parts}")?;
                }
                f.write_str("\"")
            }
        }
    }
}

impl fmt::Debug for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Etag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Etag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Ok(Self::from(&*text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_was_listed_comes_back_as_it_was() {
        let sum = "0123456789abcdef0123456789abcdef";
        for (text, compact) in [
            (format!("\"{sum}\""), true),
            (format!("\"{sum}-10000\""), true),
            (format!("\"{sum}-0\""), false),
            (format!("\"{sum}-007\""), false),
            (format!("\"{sum}-70000\""), false),
            (format!("\"{}\"", sum.to_uppercase()), false),
            (format!("\"{sum}0\""), false),
            (sum.to_owned(), false),
            (format!("W/\"{sum}\""), false),
            ("1751328000000000000-10".to_owned(), false),
            (String::new(), false),
        ] {
            let etag = Etag::from(text.as_str());
            assert_eq!((etag.to_string(), matches!(etag.0, Form::Sum { .. })), (text.clone(), compact));
            let json = serde_json::to_string(&etag).unwrap();
            assert_eq!(
                (serde_json::to_string(&text).unwrap(), serde_json::from_str(&json).unwrap()),
                (json, etag)
            );
        }
        assert!(Etag::from("").is_empty());
        assert_eq!(size_of::<Etag>(), 24);
    }
}
