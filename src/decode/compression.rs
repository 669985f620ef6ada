//! How an object is compressed, told by its first bytes.
//!
//! Names and Content-Encoding lie: a gateway may have decompressed a body and left its label, a writer's
//! own extension replaces `.gz`. So magic numbers decide; what they name but we cannot read is refused by
//! name. Without any magic number an object is plain, unless its label names a format without one and the
//! bytes are no text either.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::input::Input;
use super::output::Output;
use super::{DecodeDefect, DecodeError, FramingChoice, aggregate, bzip2, gzip, snappy, zip, zstd};
use crate::shown::shown;

/// How an object's bytes are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they are.
    None,
    /// gzip, one member or many.
    Gzip,
    /// zstd, one frame or many.
    Zstd,
    /// bzip2, one stream or many.
    Bzip2,
    /// ZIP, with one entry.
    Zip,
    /// Snappy as snappy-java writes it, and Firehose.
    SnappyXerial,
    /// Snappy as Hadoop writes it, and Firehose.
    SnappyHadoop,
    /// Snappy in its framing format.
    SnappyFramed,
    /// Columns, which become a line of JSON for each row.
    #[cfg(feature = "parquet")]
    Parquet,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Zip => "zip",
            Self::SnappyXerial => "snappy (xerial)",
            Self::SnappyHadoop => "snappy (hadoop)",
            Self::SnappyFramed => "snappy (framed)",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        })
    }
}

impl Compression {
    /// How what it decompresses to is cut, if `asked` is what was asked for.
    #[cfg_attr(
        not(feature = "parquet"),
        expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "of Parquet")
    )]
    pub(super) fn framing(self, asked: FramingChoice) -> Result<FramingChoice, DecodeError> {
        #[cfg(feature = "parquet")]
        if self == Self::Parquet {
            return match asked {
                FramingChoice::Auto | FramingChoice::Newline | FramingChoice::ConcatenatedJson => {
                    Ok(FramingChoice::Newline)
                }
                _ => Err(DecodeError::defect(
                    DecodeDefect::BadFraming,
                    0,
                    format!("rows of Parquet are not framed, so not as {asked}"),
                )),
            };
        }
        Ok(asked)
    }
}

/// The magic, and the first byte of a page's header.
const PARQUET_MAGIC: &[u8] = b"PAR1\x15";

/// Formats that are recognised in order to be refused by name. None of these beginnings is text.
const UNREADABLE: [(&[u8], &str); 10] = [
    (b"PK\x05\x06", "an empty ZIP archive"),
    (PARQUET_MAGIC, "Parquet"),
    (b"ORC\x08", "ORC"),
    (b"ORC\x0a", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
];

/// Bytes of the head that are judged. Also what has to be text where the framing is to be found out.
pub(super) const HEAD_BYTES: usize = 4096;

/// What the head looks like, if it is a format that is not read.
pub(super) fn unreadable(head: &[u8]) -> Option<&'static str> {
    UNREADABLE.iter().find(|(magic, _)| head.starts_with(magic)).map(|&(_, name)| name)
}

/// Whether `head`, possibly cut in the middle of a character, is text.
pub(super) fn is_text(head: &[u8]) -> bool {
    let valid = std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    valid && memchr::memchr(0, head).is_none()
}

pub(super) fn detect(
    input: &mut Input<'_>,
    content_encoding: Option<&str>,
    framing: FramingChoice,
) -> Result<Compression, DecodeError> {
    let head = input.peek(HEAD_BYTES)?;
    let unknown = |message: String| Err(DecodeError::defect(DecodeDefect::UnknownFormat, 0, message));
    if head.is_empty() {
        return Err(DecodeError::defect(DecodeDefect::Empty, 0, "the object has no bytes"));
    }
    if let Some(compression) = by_magic(head) {
        return Ok(compression);
    }
    if cfg!(not(feature = "parquet")) && head.starts_with(PARQUET_MAGIC) {
        return unknown("it is Parquet, and this respool was built without the feature parquet".to_owned());
    }
    if let Some(name) = unreadable(head) {
        return unknown(format!("it looks like {name}, which is not read"));
    }
    if head.starts_with(&aggregate::MAGIC) {
        return Ok(Compression::None);
    }
    if is_text(head) && head != &gzip::MAGIC[..1] {
        return Ok(Compression::None);
    }
    if gzip::MAGIC.starts_with(head) || zstd::MAGIC.starts_with(head) {
        return Err(DecodeError::defect(DecodeDefect::Truncated, 0, "it ends inside its first four bytes"));
    }
    // It has no magic, so only what can be nothing else is taken for it: no text, and not what the user frames.
    let labelled = content_encoding.is_some_and(|label| label.trim().eq_ignore_ascii_case("hadoop-snappy"));
    if (labelled || framing.is_of_text()) && snappy::is_hadoop(head) {
        return Ok(Compression::SnappyHadoop);
    }
    if let Some(label) = content_encoding.and_then(foreign_label) {
        return unknown(format!("its Content-Encoding is {label}, which is not read"));
    }
    if framing == FramingChoice::Auto {
        return unknown("neither text nor a compression that is known".to_owned());
    }
    Ok(Compression::None)
}

/// The compression that these first bytes can only mean.
fn by_magic(head: &[u8]) -> Option<Compression> {
    let found = [
        (head.starts_with(&gzip::MAGIC), Compression::Gzip),
        (zstd::is_frame(head), Compression::Zstd),
        (bzip2::is_stream(head), Compression::Bzip2),
        (head.starts_with(&zip::MAGIC), Compression::Zip),
        (head.starts_with(&snappy::XERIAL_MAGIC), Compression::SnappyXerial),
        (head.starts_with(&snappy::FRAME_MAGIC), Compression::SnappyFramed),
        #[cfg(feature = "parquet")]
        (head.starts_with(PARQUET_MAGIC), Compression::Parquet),
    ];
    found.into_iter().find(|(fits, _)| *fits).map(|(_, compression)| compression)
}

/// The first encoding in the label that says more than "plain" or names what its bytes are not.
fn foreign_label(content_encoding: &str) -> Option<String> {
    let ours = [
        "identity",
        "aws-chunked",
        "utf-8",
        "gzip",
        "x-gzip",
        "zstd",
        "binary",
        "zip",
        "bzip2",
        "snappy-java",
        "snappy",
        "hadoop-snappy",
    ];
    let mut labels = content_encoding.split(',').map(|label| label.trim().to_ascii_lowercase());
    let label = labels.find(|label| !label.is_empty() && !ours.contains(&label.as_str()))?;
    Some(shown(&label.chars().take(40).collect::<String>()).to_string())
}

/// The next `N` bytes, taken; `None` if it ends before.
pub(super) fn array<const N: usize>(input: &mut Input<'_>) -> Result<Option<[u8; N]>, DecodeError> {
    let found = input.peek(N)?.first_chunk::<N>().copied();
    if found.is_some() {
        input.take(N);
    }
    Ok(found)
}

/// Passes a plain object through.
pub(super) fn copy(input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), DecodeError> {
    loop {
        let taken = input.offset();
        let piece = input.ready()?;
        if piece.is_empty() {
            return Ok(());
        }
        let len = piece.len();
        output.push(piece, taken + len as u64)?;
        input.take(len);
    }
}

/// What a decompressed head looks like, if it is compressed again or otherwise not to be read.
pub(super) fn nested(head: &[u8]) -> Option<String> {
    match by_magic(head) {
        Some(compression) => Some(format!("{compression} once more")),
        None => unreadable(head).map(str::to_owned),
    }
}
