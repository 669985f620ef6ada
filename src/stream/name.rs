//! How a user names a Kinesis stream: by its name, or by its ARN when it belongs to another account.

use std::fmt;
use std::str::FromStr;

use crate::shown::in_quotes;
use serde::{Deserialize, Serialize};

/// Characters of a stream's name. Source: Kinesis API reference, `CreateStream`, read 2026-11-22.
const NAME_CHARS_MAX: usize = 128;

/// A stream as the user named it.
///
/// ```
/// # use respool::stream::name::StreamName;
/// let arn: StreamName = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders".parse().unwrap();
/// assert_eq!((arn.name(), arn.region(), arn.account()), ("orders", Some("eu-west-1"), Some("123456789012")));
/// assert_eq!("orders".parse::<StreamName>().unwrap().region(), None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StreamName {
    /// A stream of the caller's own account, in the region of the call.
    Name(Box<str>),
    /// A stream of any account.
    Arn(StreamArn),
}

/// `arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamArn {
    text: Box<str>,
    region: Box<str>,
    account: Box<str>,
    name: Box<str>,
}

/// The text names no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamNameError {
    /// A name with characters that Kinesis does not allow, or too many, or none.
    #[error(
        "{} is no stream name: 1 to {NAME_CHARS_MAX} letters, digits, dots, dashes and underscores",
        in_quotes(found)
    )]
    BadName {
        /// What was given.
        found: String,
    },
    /// Something that begins like an ARN and is not a stream's.
    #[error("{} is no stream's ARN: arn:aws:kinesis:REGION:ACCOUNT:stream/NAME", in_quotes(found))]
    BadArn {
        /// What was given.
        found: String,
    },
}

impl StreamName {
    /// The bare name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Arn(arn) => &arn.name,
        }
    }

    /// The region that an ARN tells.
    #[must_use]
    pub fn region(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn(arn) => Some(&arn.region),
        }
    }

    /// The account that an ARN tells.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        match self {
            Self::Name(_) => None,
            Self::Arn(arn) => Some(&arn.account),
        }
    }
}

impl FromStr for StreamName {
    type Err = StreamNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("arn:") {
            return parse_arn(text)
                .map(Self::Arn)
                .ok_or_else(|| StreamNameError::BadArn { found: text.to_owned() });
        }
        if is_name(text) {
            Ok(Self::Name(text.into()))
        } else {
            Err(StreamNameError::BadName { found: text.to_owned() })
        }
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn parse_arn(text: &str) -> Option<StreamArn> {
    let mut fields = text.splitn(6, ':');
    let (_, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let name = resource.strip_prefix("stream/")?;
    let dashed = |text: &str| {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !text.is_empty() && text.bytes().all(allowed)
    };
    let whole = partition.starts_with("aws")
        && dashed(partition)
        && service == "kinesis"
        && dashed(region)
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && is_name(name);
    whole.then(|| StreamArn {
        text: text.into(),
        region: region.into(),
        account: account.into(),
        name: name.into(),
    })
}

impl StreamArn {
    /// The ARN as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Arn(arn) => f.write_str(&arn.text),
        }
    }
}

impl TryFrom<String> for StreamName {
    type Error = StreamNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<StreamName> for String {
    fn from(name: StreamName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arns_are_kept_as_typed() {
        for text in
            ["a", "Orders_v2.backfill-1", "arn:aws-us-gov:kinesis:us-gov-west-1:000000000000:stream/x"]
        {
            let name: StreamName = text.parse().unwrap();
            assert_eq!(name.to_string(), text);
            assert_eq!(serde_json::to_value(&name).unwrap(), text);
        }
        assert!("x".repeat(128).parse::<StreamName>().is_ok());
    }

    #[test]
    fn what_names_no_stream_is_refused() {
        for bad in ["", "a b", "sim:4", "s/x", "é", &"x".repeat(129)] {
            assert!(matches!(bad.parse::<StreamName>(), Err(StreamNameError::BadName { .. })), "{bad}");
        }
        for bad in [
            "arn:",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/a:b",
            "arn:aws:kinesis:eu-west-1:123456789012:stream/a/consumer/b:1",
            "arn:aws:kinesis:eu-west-1:12345678901:stream/a",
            "arn:aws:kinesis::123456789012:stream/a",
            "arn:aws:firehose:eu-west-1:123456789012:deliverystream/a",
            "arn:other:kinesis:eu-west-1:123456789012:stream/a",
        ] {
            assert!(matches!(bad.parse::<StreamName>(), Err(StreamNameError::BadArn { .. })), "{bad}");
        }
    }
}
