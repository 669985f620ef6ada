//! Objects that S3 has put away: which they are, and how they come back.
//!
//! A listing names Glacier and Deep Archive, but not whether an object there was restored, and of Intelligent-Tiering
//! it does not say which tier an object is in: only a look at the object itself tells.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How fast S3 brings back what it has put away. Source: S3 user guide, archive retrieval options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTier {
    /// Three to five hours, from Deep Archive twelve.
    Standard,
    /// Five to twelve hours, from Deep Archive two days.
    Bulk,
    /// One to five minutes; not from Deep Archive.
    Expedited,
}

impl RestoreTier {
    const ALL: [Self; 3] = [Self::Standard, Self::Bulk, Self::Expedited];

    /// The words on the command line.
    pub const WORDS: [&str; 3] = [Self::ALL[0].word(), Self::ALL[1].word(), Self::ALL[2].word()];

    const fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Bulk => "bulk",
            Self::Expedited => "expedited",
        }
    }
}

impl fmt::Display for RestoreTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for RestoreTier {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|tier| tier.word() == text);
        found.ok_or("a restore is standard, bulk or expedited")
    }
}

/// Whether an object can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// At once.
    Readable,
    /// After it was restored.
    Archived,
    /// Soon: it is being restored.
    Restoring,
}

/// Whether an object of this class may have to be restored before it can be read.
#[must_use]
pub fn may_be_archived(storage_class: Option<&str>) -> bool {
    matches!(storage_class, Some("GLACIER" | "DEEP_ARCHIVE" | "INTELLIGENT_TIERING"))
}

/// What S3 says of an object: its class, its tier where it has one, and the header about a restore.
#[must_use]
pub fn access(storage_class: Option<&str>, archive_status: Option<&str>, restore: Option<&str>) -> Access {
    let archived = match storage_class {
        Some("GLACIER" | "DEEP_ARCHIVE") => true,
        _ => archive_status.is_some(),
    };
    match restore {
        _ if !archived => Access::Readable,
        Some(restore) if restore.contains("ongoing-request=\"true\"") => Access::Restoring,
        Some(_) => Access::Readable,
        None => Access::Archived,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_s3_says_tells_whether_an_object_can_be_read() {
        let done = "ongoing-request=\"false\", expiry-date=\"Fri, 23 Dec 2026 00:00:00 GMT\"";
        let ongoing = "ongoing-request=\"true\"";
        for (class, status, restore, expected) in [
            (None, None, None, Access::Readable),
            (Some("STANDARD_IA"), None, None, Access::Readable),
            (Some("GLACIER_IR"), None, None, Access::Readable),
            (Some("GLACIER"), None, None, Access::Archived),
            (Some("DEEP_ARCHIVE"), None, Some(ongoing), Access::Restoring),
            (Some("GLACIER"), None, Some(done), Access::Readable),
            (Some("INTELLIGENT_TIERING"), None, None, Access::Readable),
            (Some("INTELLIGENT_TIERING"), Some("ARCHIVE_ACCESS"), None, Access::Archived),
            (Some("INTELLIGENT_TIERING"), Some("DEEP_ARCHIVE_ACCESS"), Some(ongoing), Access::Restoring),
        ] {
            assert_eq!(access(class, status, restore), expected, "{class:?} {status:?} {restore:?}");
        }
    }
}
