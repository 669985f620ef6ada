//! A stream's outer life, as its owner changes it: made, set, scaled, tagged, deleted.
//!
//! Every change is asked for and then takes its time; whoever asks waits until the stream is `ACTIVE`
//! again. These are values only; who carries them out is [`kinesis`](super::kinesis).

use std::collections::BTreeMap;

use super::{CallError, StreamDescription};

/// What a new stream shall be from its first moment on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewStream {
    /// Shards to begin with.
    pub shards: u32,
    /// Data and key of one record, at most, in KiB; the service's default if absent.
    pub record_kib: Option<u32>,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
}

/// What a stream is, beyond what a writer has to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamParticulars {
    /// What everyone has to know.
    pub description: StreamDescription,
    /// The key that its records are encrypted with.
    pub encryption_key: Option<String>,
    /// Registered consumers with enhanced fan-out.
    pub consumers: u32,
    /// Its labels.
    pub tags: BTreeMap<String, String>,
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct ControlError {
    /// What it means for the one who asked.
    pub kind: ControlRefusal,
    /// The call's failure.
    pub error: CallError,
}

/// The refusals that a change has to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlRefusal {
    /// It exists already, or is being changed just now.
    InUse,
    /// A limit of the account or of the stream: shards, streams, scalings in a day.
    Limit,
    /// The caller lacks a permission.
    Forbidden,
    /// Whatever else; the call's class says what.
    Other,
}

/// Whether a call would be let through, as the service itself tells it without doing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission {
    /// It would.
    Granted,
    /// It would not: a right of IAM is missing.
    Missing {
        /// The service's words.
        message: String,
    },
    /// The stream's encryption key cannot be used.
    KeyRefused {
        /// The service's words.
        message: String,
    },
    /// The service says something else, or does not know how to try.
    Unknown {
        /// Its words.
        message: String,
    },
}
