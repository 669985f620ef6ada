//! Why an object did not get into the cache.

use crate::archive::ArchiveError;
use crate::cache::CacheError;
use crate::decode::DecodeError;
use crate::error::Error;
use crate::shown::shown;

#[derive(Debug, thiserror::Error)]
pub(super) enum SpoolError {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the decoder panicked on object {0}")]
    Panicked(u32),
}

impl SpoolError {
    pub(super) fn is_disk_full(&self) -> bool {
        match self {
            Self::Archive(ArchiveError::Io(error)) | Self::Decode(DecodeError::Output(error)) => {
                matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
            }
            Self::Cache(error) => matches!(error, CacheError::NoSpace(_)),
            Self::Archive(_) | Self::Decode(_) | Self::Panicked(_) => false,
        }
    }
}

pub(super) fn cache_error(key: &str, error: CacheError) -> Error {
    let sentence = match &error {
        CacheError::NoSpace { .. } => {
            format!("the disk is full: no room in the cache for {}", shown(key))
        }
        error if error.is_not_writable() => format!(
            "the cache cannot be written to any more, at {}: make it writable, or resume with a --cache-dir that is",
            shown(key)
        ),
        _ => format!("the cache failed on {}", shown(key)),
    };
    Error::incomplete(sentence).with_source(error)
}
