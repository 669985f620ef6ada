//! Where events lie and where they go, as the user names it.
//!
//! A Kinesis stream stands by its name or ARN. Everything else that can be written to has a colon, and a
//! colon that is not understood is an error, so that nothing ever goes to an embedded stream, or to none,
//! by a slip of the hand.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::shown::shown;
use crate::stream::name::{StreamName, StreamNameError};

/// Shards of an embedded stream, at most. Ours: each costs memory, and no laptop fills more.
pub const SIM_SHARDS_MAX: u32 = 4_096;

/// Why a text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Neither a bucket nor a directory.
    #[error("an archive is s3://BUCKET/PREFIX or a local directory, not a {scheme}: address")]
    ArchiveScheme {
        /// What stood before the colon.
        scheme: String,
    },
    /// An empty text.
    #[error("an archive is s3://BUCKET/PREFIX or a local directory; this is empty")]
    ArchiveEmpty,
    /// `s3://` and something that is no bucket.
    #[error("'{bucket}' is no bucket name: 3 to 255 letters, digits, dots, hyphens and underscores")]
    Bucket {
        /// What stood there.
        bucket: String,
    },
    /// A key longer than S3 allows.
    #[error("the prefix is longer than an S3 key can be (1,024 bytes)")]
    PrefixTooLong,
    /// A colon that is not understood.
    #[error("a target is a Kinesis stream's name or ARN, sim:SHARDS or null:")]
    TargetForm,
    /// An embedded stream without shards, or with too many.
    #[error("an embedded stream has 1 to {SIM_SHARDS_MAX} shards, as in sim:4")]
    SimShards,
    /// Neither a stream's name nor its ARN.
    #[error(transparent)]
    Stream(#[from] StreamNameError),
    /// Not a URL with a host.
    #[error("an endpoint is http://HOST[:PORT] or https://HOST[:PORT], without user, path or query")]
    Endpoint,
}

/// Where the events lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ArchiveAddress {
    /// A bucket and a prefix.
    S3 {
        /// The bucket.
        bucket: String,
        /// What every key begins with; may be empty.
        prefix: String,
    },
    /// A local directory.
    Directory {
        /// Its path; absolute once `cli` has resolved it.
        path: PathBuf,
    },
}

impl FromStr for ArchiveAddress {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if !(3..=255).contains(&bucket.len()) || !bucket.bytes().all(is_name_byte) {
                return Err(PlaceError::Bucket { bucket: shown(bucket).to_string() });
            }
            if prefix.len() > 1_024 {
                return Err(PlaceError::PrefixTooLong);
            }
            return Ok(Self::S3 { bucket: bucket.into(), prefix: prefix.into() });
        }
        match text.split_once(':') {
            // A path may hold a colon; an address begins with a word and one.
            Some((scheme, rest)) if rest.starts_with("//") || scheme == "s3" || scheme == "arn" => {
                Err(PlaceError::ArchiveScheme { scheme: shown(scheme).to_string() })
            }
            _ if text.is_empty() => Err(PlaceError::ArchiveEmpty),
            _ => Ok(Self::Directory { path: text.into() }),
        }
    }
}

impl ArchiveAddress {
    /// Whether some object could lie in both: one prefix begins with the other.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S3 { bucket: one, prefix: left }, Self::S3 { bucket: two, prefix: right }) => {
                one == two && (left.starts_with(right.as_str()) || right.starts_with(left.as_str()))
            }
            (Self::Directory { path: left }, Self::Directory { path: right }) => {
                left.starts_with(right) || right.starts_with(left)
            }
            _ => false,
        }
    }
}

impl fmt::Display for ArchiveAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{}", shown(prefix)),
            Self::Directory { path } => shown(&path.to_string_lossy()).fmt(f),
        }
    }
}

/// Where the records go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// A Kinesis stream.
    Kinesis {
        /// Which one.
        stream: StreamName,
    },
    /// An embedded stream that enforces the real limits.
    Sim {
        /// Its shards.
        shards: u32,
    },
    /// A stream that says yes to everything: all the work but the wire.
    Null,
}

impl FromStr for Target {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if text.starts_with("arn:") {
            return Ok(Self::Kinesis { stream: text.parse()? });
        }
        match text.split_once(':') {
            Some(("sim", shards)) => {
                let digits = !shards.is_empty() && shards.bytes().all(|b| b.is_ascii_digit());
                let shards = shards.parse().ok().filter(|n| digits && (1..=SIM_SHARDS_MAX).contains(n));
                Ok(Self::Sim { shards: shards.ok_or(PlaceError::SimShards)? })
            }
            Some(("null", "")) => Ok(Self::Null),
            Some(_) => Err(PlaceError::TargetForm),
            None => Ok(Self::Kinesis { stream: text.parse()? }),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kinesis { stream } => fmt::Display::fmt(stream, f),
            Self::Sim { shards } => write!(f, "sim:{shards}"),
            Self::Null => f.write_str("null:"),
        }
    }
}

/// A service's address that is not AWS' own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    url: String,
    insecure: bool,
    loopback: bool,
}

impl Endpoint {
    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether anyone on the way could read along: http to another machine.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.insecure && !self.loopback
    }

    /// Whether it is this very machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.loopback
    }
}

impl FromStr for Endpoint {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (insecure, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(PlaceError::Endpoint),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = split_port(authority).ok_or(PlaceError::Endpoint)?;
        if port.is_some_and(|port| port.parse::<u16>().is_err() || port.starts_with('+')) {
            return Err(PlaceError::Endpoint);
        }
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let loopback = match address {
            Some(v6) => v6.parse::<IpAddr>().map_err(|_| PlaceError::Endpoint)?.is_loopback(),
            None if host.is_empty() || !host.bytes().all(is_name_byte) => return Err(PlaceError::Endpoint),
            None => {
                host.eq_ignore_ascii_case("localhost")
                    || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        };
        let url = text.strip_suffix('/').unwrap_or(text).into();
        Ok(Self { url, insecure, loopback })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// Host and port; an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let end = authority.find(']')?.checked_add(1)?;
        let (host, rest) = authority.split_at_checked(end)?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}
