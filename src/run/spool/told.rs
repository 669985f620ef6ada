//! What objects showed to be, told once for all of them.
//!
//! Which framing was chosen and why is the same for most objects of an archive: the first of each kind is named in the
//! log. An object that auto takes for one record although it may hold many is named once, where everyone sees it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cache::Segment;
use crate::decode::{DecodeConfig, Decoded, FramingChoice};
use crate::run::key_fields::holds_the_records;
use crate::shown::shown;

/// What was told.
pub(super) struct Told {
    /// Whether anything is.
    tells: bool,
    kinds: Mutex<BTreeSet<String>>,
    /// An object that may hold records in its one record.
    alone: AtomicBool,
}

impl Told {
    /// Nothing yet; nothing ever, unless it `tells`.
    pub(super) fn new(tells: bool) -> Self {
        Self { tells, kinds: Mutex::default(), alone: AtomicBool::new(false) }
    }

    /// The object `key` showed to be this.
    pub(super) fn decoded(&self, key: &str, decoded: &Decoded) {
        let kind = format!("{}, {}", decoded.compression, decoded.framing);
        self.once(kind, key, &decoded.told());
    }

    fn once(&self, kind: String, key: &str, what: &str) {
        // Nothing is left half changed in it.
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        if self.tells && kinds.insert(kind) {
            tracing::info!("{} is read as {what}, and so are others of its kind", shown(key));
        }
    }

    /// Looks at a segment, and at its record if it has only one. Blocks on the disk.
    pub(super) fn segment(&self, segment: &Segment, config: &DecodeConfig) {
        let label = segment.label();
        self.once(label.decoding.clone(), &label.key, &label.decoding);
        if !self.tells
            || config.framing != FramingChoice::Auto
            || segment.records() != 1
            || self.alone.load(Ordering::Relaxed)
        {
            return;
        }
        // What is wrong with it shows when it is routed.
        let Ok(record) = segment.record(0) else { return };
        if holds_the_records(record) && !self.alone.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} is one JSON value with an array of others in it, and is taken for one record, as are others like it: \
                 if the array's elements are the records, begin with --framing json-array; --framing json says that \
                 they are not",
                shown(&label.key)
            );
        }
    }
}
