//! Bytes to records: what an archive's object holds, decompressed and cut into records.
//!
//! ```text
//!  body ──► input ──► gzip | zstd | … | plain ──► 256 KiB pieces ──┬──► out, byte for byte
//!                                                              └──► framing ──► Spans
//! ```
//!
//! One pass: each decompressed piece goes to `out` as it is and past the framer, which notes where
//! records lie. All or nothing: an object that breaks any rule yields a [`DecodeError::Defect`] and
//! what was written to `out` must be thrown away. A record's own content is not judged here: a line
//! that is not JSON, or a record too large for the stream, is a record still, and is set aside by
//! name when it is routed.
//!
//! Nothing here holds more than a few buffers and the spans in memory, whatever the object does. The large ones,
//! into which a usual gzip object fits as a whole, have a bound for all threads together.

pub mod aggregate;
mod blocks;
mod buffers;
mod bzip2;
mod compression;
mod delimiter;
mod elements;
mod error_output;
#[cfg(test)]
mod foreign_tests;
mod framing;
#[cfg(test)]
mod framing_tests;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod gzip;
mod input;
mod json;
mod kpl;
mod native;
mod newline;
mod output;
#[cfg(feature = "parquet")]
mod parquet;
mod prefix;
#[cfg(test)]
mod salvage_tests;
mod snappy;
mod spans;
#[cfg(test)]
mod tests;
mod whole;
mod zip;
mod zstd;

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use compression::Compression;
pub use delimiter::{Delimiter, DelimiterError};
pub use elements::NO_ARRAY;
pub use prefix::LengthPrefix;
pub use spans::{Span, Spans};

use input::Input;
use output::Output;

/// Part of each segment's identity: goes up whenever the same object would decode to something else.
pub const DECODER_VERSION: u32 = 3;

/// Input and output move in pieces of this size: 8 KiB would cost a quarter of the speed.
const BUFFER_BYTES: usize = 256 * 1024;

/// How an object is cut into records, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FramingChoice {
    /// Each object shows how it is framed; one that does not is a defect.
    #[default]
    Auto,
    /// A record is what lies between line feeds, whatever it is.
    Newline,
    /// A record is one JSON object or array, with nothing but white space between.
    ConcatenatedJson,
    /// A record is one element of a JSON array, or of the array `Records` in an object, as `CloudTrail` writes.
    JsonArray,
    /// A record is one log event of a `CloudWatch` Logs subscription's payload.
    CloudwatchLogs,
    /// A record is what lies between delimiters.
    Delimiter(Delimiter),
    /// A record is what comes behind its length; aggregates are unpacked.
    LengthPrefixed(LengthPrefix),
    /// The object is aggregates of the Kinesis Producer Library; a record is what lies inside of them.
    Kpl,
    /// The object is one record.
    Whole,
    /// The object is an error output of Firehose; a record is what it wraps.
    ErrorOutput,
}

/// The text names no framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a framing is one of {}", FramingChoice::WORDS.join(", "))]
pub struct FramingParseError;

impl FramingChoice {
    /// The words on the command line. A delimiter and an error output have flags of their own.
    pub const WORDS: [&str; 10] = [
        "auto",
        "newline",
        "json",
        "json-array",
        "cloudwatch-logs",
        "u32be",
        "u32le",
        "varint",
        "kpl",
        "whole",
    ];

    /// Whether it makes sense of text only.
    fn is_of_text(self) -> bool {
        match self {
            Self::Auto
            | Self::Newline
            | Self::ConcatenatedJson
            | Self::JsonArray
            | Self::CloudwatchLogs
            | Self::ErrorOutput => true,
            Self::Delimiter(_) | Self::LengthPrefixed(_) | Self::Kpl | Self::Whole => false,
        }
    }
}

impl FromStr for FramingChoice {
    type Err = FramingParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "newline" => Self::Newline,
            "json" => Self::ConcatenatedJson,
            "json-array" => Self::JsonArray,
            "cloudwatch-logs" => Self::CloudwatchLogs,
            "kpl" => Self::Kpl,
            "whole" => Self::Whole,
            prefix => Self::LengthPrefixed(prefix.parse().map_err(|()| FramingParseError)?),
        })
    }
}

impl fmt::Display for FramingChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Newline => "newline",
            Self::ConcatenatedJson => "json",
            Self::JsonArray => "json-array",
            Self::CloudwatchLogs => "cloudwatch-logs",
            Self::Kpl => "kpl",
            Self::Whole => "whole",
            Self::ErrorOutput => "error-output",
            Self::LengthPrefixed(prefix) => prefix.word(),
            Self::Delimiter(delimiter) => return write!(f, "delimiter {delimiter}"),
        })
    }
}

/// How an object was cut into records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// At line feeds.
    Newline,
    /// At the ends of JSON values.
    ConcatenatedJson,
    /// Into the elements of a JSON array.
    JsonArray,
    /// Into log events.
    CloudwatchLogs,
    /// At delimiters.
    Delimiter,
    /// By lengths.
    LengthPrefixed,
    /// Out of aggregates.
    Kpl,
    /// Not at all.
    Whole,
    /// Out of Firehose's error lines.
    ErrorOutput,
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newline => "newline",
            Self::ConcatenatedJson => "json",
            Self::JsonArray => "json-array",
            Self::CloudwatchLogs => "cloudwatch-logs",
            Self::Delimiter => "delimiter",
            Self::LengthPrefixed => "length-prefixed",
            Self::Kpl => "kpl",
            Self::Whole => "whole",
            Self::ErrorOutput => "error-output",
        })
    }
}

/// How to decode. Part of each segment's identity, so it holds nothing that does not change records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeConfig {
    /// How records are told apart.
    pub framing: FramingChoice,
    /// The most one object may decompress to. Above it the object is taken for a bomb.
    pub output_bytes_max: u64,
    /// The most bytes one stored byte may become, once there are 64 MiB of them.
    pub ratio_max: u64,
    /// Whether the whole records of an object that ends early or is damaged are taken all the same.
    pub salvage: bool,
}

impl Default for DecodeConfig {
    fn default() -> Self {
        Self { framing: FramingChoice::Auto, output_bytes_max: 20 << 30, ratio_max: 200, salvage: false }
    }
}

/// What an object turned out to hold.
#[derive(Debug)]
pub struct Decoded {
    /// Where each record lies in the bytes that went to `out`.
    pub spans: Spans,
    /// How the object was compressed.
    pub compression: Compression,
    /// How it was cut into records.
    pub framing: Framing,
    /// Why so, in a few words, where the object itself showed it; nothing where it was asked for.
    pub why: &'static str,
    /// Bytes that went to `out`.
    pub bytes: u64,
    /// What is wrong behind the last record, where the object was salvaged.
    pub salvaged: Option<Salvaged>,
}

impl Decoded {
    /// How it was read, and why so.
    #[must_use]
    pub fn told(&self) -> String {
        let (compression, framing) = (self.compression, self.framing);
        match self.why {
            "" => format!("{compression}, {framing}"),
            why => format!("{compression}, {framing} ({why})"),
        }
    }
}

/// What an object lacks of which the whole records were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvaged {
    /// What is wrong.
    pub reason: DecodeDefect,
    /// Where and how, in a sentence without the object's content.
    pub message: String,
}

/// What is wrong with an object; the words of the quarantine list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecodeDefect {
    /// Its own checksums or structure do not hold.
    Corrupt,
    /// It ends too early.
    Truncated,
    /// Something follows its end.
    TrailingData,
    /// It has no bytes at all.
    Empty,
    /// It is compressed or encoded in a way that is not read.
    UnknownFormat,
    /// It decompresses to more than it may.
    TooLarge,
    /// It is not framed as was asked for, or in any way that is known.
    BadFraming,
    /// It is framed in two ways at once.
    MixedFraming,
}

impl DecodeDefect {
    /// Whether bytes may have been lost or changed, perhaps on their way only: such an object is fetched once more
    /// before it is given up, and the records before the damage can be salvaged.
    #[must_use]
    pub const fn is_damage(self) -> bool {
        match self {
            Self::Corrupt | Self::Truncated | Self::TrailingData | Self::BadFraming | Self::MixedFraming => {
                true
            }
            Self::Empty | Self::UnknownFormat | Self::TooLarge => false,
        }
    }
}

impl fmt::Display for DecodeDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::TrailingData => "trailing_data",
            Self::Empty => "empty",
            Self::UnknownFormat => "unknown_format",
            Self::TooLarge => "too_large",
            Self::BadFraming => "bad_framing",
            Self::MixedFraming => "mixed_framing",
        })
    }
}

/// Why an object was not decoded.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The object itself is at fault: it goes to quarantine.
    #[error("{reason} at byte {offset}: {message}")]
    Defect {
        /// What is wrong.
        reason: DecodeDefect,
        /// Where: in the object as stored, for `bad_framing` and `mixed_framing` in the decoded bytes.
        offset: u64,
        /// A sentence without the object's content.
        message: String,
    },
    /// The object's bytes could not be read.
    #[error("cannot read the object's bytes")]
    Input(#[source] io::Error),
    /// `out` does not take the decoded bytes; a full disk shows here.
    #[error("cannot write the decoded bytes")]
    Output(#[source] io::Error),
}

impl DecodeError {
    fn defect(reason: DecodeDefect, offset: u64, message: impl Into<String>) -> Self {
        Self::Defect { reason, offset, message: message.into() }
    }

    fn is_damage(&self) -> bool {
        matches!(self, Self::Defect { reason, .. } if reason.is_damage())
    }
}

/// Decodes one object: `body` is read to its end, the decoded bytes go to `out` unchanged.
///
/// The compression is told by the first bytes; `content_encoding` only helps to name what is not known.
///
/// ```
/// use respool::decode::{DecodeConfig, decode};
///
/// let mut out = Vec::new();
/// let decoded = decode(&mut &b"{\"n\":1}{\"n\":2}"[..], None, &DecodeConfig::default(), &mut out)?;
/// assert_eq!(decoded.spans.len(), 2);
/// # Ok::<(), respool::decode::DecodeError>(())
/// ```
///
/// # Errors
/// [`DecodeError::Defect`] if the object is at fault, the others if reading or writing is. In either
/// case `out` holds part of the object, to be thrown away.
pub fn decode(
    body: &mut dyn Read,
    content_encoding: Option<&str>,
    config: &DecodeConfig,
    out: &mut dyn Write,
) -> Result<Decoded, DecodeError> {
    let mut input = Input::new(body);
    let compression = compression::detect(&mut input, content_encoding, config.framing)?;
    let config = &DecodeConfig { framing: compression.framing(config.framing)?, ..*config };
    let mut output = Output::new(out, config);
    let decompressed = match compression {
        Compression::Gzip => gzip::decode(&mut input, &mut output),
        Compression::Zstd => zstd::decode(&mut input, &mut output),
        Compression::Bzip2 => bzip2::decode(&mut input, &mut output),
        Compression::Zip => zip::decode(&mut input, &mut output),
        Compression::SnappyXerial => snappy::decode_xerial(&mut input, &mut output),
        Compression::SnappyHadoop => snappy::decode_hadoop(&mut input, &mut output),
        Compression::SnappyFramed => snappy::decode_framed(&mut input, &mut output),
        #[cfg(feature = "parquet")]
        Compression::Parquet => parquet::decode(&mut input, &mut output),
        Compression::None => compression::copy(&mut input, &mut output),
    };
    let found = match decompressed.and_then(|()| output.finish()) {
        Ok(found) => Ok((found, output.why(), None)),
        Err(DecodeError::Defect { reason, offset, message }) if config.salvage && reason.is_damage() => {
            let salvaged = Salvaged { reason, message: format!("{message} (at byte {offset})") };
            let found = output.salvage(reason).map(|found| (found, "", Some(salvaged)));
            found.ok_or(DecodeError::Defect { reason, offset, message })
        }
        Err(error) => Err(error),
    };
    let ((spans, framing, bytes), why, salvaged) = found?;
    Ok(Decoded { spans, compression, framing, why, bytes, salvaged })
}

/// Whether a record, of which these are the first bytes, may itself hold records: it is a JSON array with something in
/// it, or an object that has one of the name `Records`.
#[must_use]
pub fn holds_records(beginning: &[u8]) -> bool {
    elements::Elements::new(elements::Wanted::Array).begins_in(beginning)
}
