//! What a user writes to name an archive: `s3://bucket/prefix`, or the path of a directory.
//!
//! Only the text is looked at; whether the bucket or the directory exists is found out by opening it.
//! A prefix is taken as S3 takes it, character by character: `s3://b/orders` also names what lies under
//! `orders-old/`. A directory of that name is meant by `s3://b/orders/`.

use std::path::PathBuf;

/// An archive's name, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchiveAddress {
    /// A bucket and a prefix, possibly empty.
    S3 {
        /// The bucket.
        bucket: String,
        /// The prefix.
        prefix: String,
    },
    /// A directory.
    Directory(PathBuf),
}

/// Why a text names no archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing was written.
    #[error("the archive is empty: expected s3://BUCKET/PREFIX or a directory")]
    Empty,
    /// `s3://` without a bucket.
    #[error("{text:?} names no bucket: expected s3://BUCKET/PREFIX")]
    NoBucket {
        /// What was written.
        text: String,
    },
    /// A bucket's name has other characters than S3 allows.
    #[error("{bucket:?} cannot be a bucket: expected 3 to 63 letters, digits, dots, dashes")]
    BadBucket {
        /// What was written.
        bucket: String,
    },
    /// Another scheme than `s3`.
    #[error("archives of the kind {scheme}:// are not known: expected s3://BUCKET/PREFIX or a directory")]
    UnknownScheme {
        /// The scheme.
        scheme: String,
    },
}

/// Bucket names had up to 255 characters in the first region once. Source: S3 user guide, bucket naming rules.
const BUCKET_CHARS_MAX: usize = 255;

impl ArchiveAddress {
    /// Reads an address.
    ///
    /// ```
    /// # use respool::archive::ArchiveAddress;
    /// let address = ArchiveAddress::parse("s3://dumps/orders/").unwrap();
    /// assert_eq!(address, ArchiveAddress::S3 { bucket: "dumps".into(), prefix: "orders/".into() });
    /// ```
    ///
    /// # Errors
    /// [`AddressError`] for an empty text, an impossible bucket, or another scheme.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        if !scheme.eq_ignore_ascii_case("s3") {
            // A path may hold `://` too, but no scheme has a slash or a dot in front of it.
            if scheme.contains(['/', '.']) || scheme.is_empty() {
                return Ok(Self::Directory(PathBuf::from(text)));
            }
            return Err(AddressError::UnknownScheme { scheme: scheme.to_owned() });
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(AddressError::NoBucket { text: text.to_owned() });
        }
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if !(3..=BUCKET_CHARS_MAX).contains(&bucket.len()) || !bucket.bytes().all(known) {
            return Err(AddressError::BadBucket { bucket: bucket.to_owned() });
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(bucket: &str, prefix: &str) -> ArchiveAddress {
        ArchiveAddress::S3 { bucket: bucket.into(), prefix: prefix.into() }
    }

    #[test]
    fn buckets_and_directories_are_told_apart() {
        for (text, expected) in [
            ("s3://dumps", s3("dumps", "")),
            ("s3://dumps/", s3("dumps", "")),
            ("s3://dumps/a/b", s3("dumps", "a/b")),
            ("S3://dumps//a b+", s3("dumps", "/a b+")),
            ("dumps", ArchiveAddress::Directory("dumps".into())),
            ("/data/s3:/x", ArchiveAddress::Directory("/data/s3:/x".into())),
            ("./odd://dir", ArchiveAddress::Directory("./odd://dir".into())),
        ] {
            assert_eq!(ArchiveAddress::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_names_no_archive_is_refused() {
        assert_eq!(ArchiveAddress::parse(""), Err(AddressError::Empty));
        assert!(matches!(ArchiveAddress::parse("s3:///x"), Err(AddressError::NoBucket { .. })));
        assert!(matches!(ArchiveAddress::parse("s3://a b/x"), Err(AddressError::BadBucket { .. })));
        assert!(matches!(ArchiveAddress::parse("s3://ab"), Err(AddressError::BadBucket { .. })));
        assert!(matches!(ArchiveAddress::parse("gs://dumps/x"), Err(AddressError::UnknownScheme { .. })));
    }
}
