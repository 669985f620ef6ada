//! What objects showed to be, told once for all of them.
//!
//! Which framing was chosen and why is the same for most objects of an archive: the first of each kind is named in the
//! log. An object that auto takes for one record although it may hold many is named once, where everyone sees it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cache::Segment;
use crate::decode::{DecodeConfig, Decoded, FramingChoice, holds_records};

/// Bytes of a record by which it is judged.
const BEGINNING_BYTES: usize = 64 * 1024;

/// What was told.
#[derive(Default)]
pub(super) struct Told {
    decodings: Mutex<BTreeSet<String>>,
    /// An object that may hold records in its one record.
    alone: AtomicBool,
}

impl Told {
    /// The object `key` showed to be this.
    pub(super) fn decoded(&self, key: &str, decoded: &Decoded) {
        let what = decoded.told();
        // Nothing is left half changed in it.
        let mut decodings = self.decodings.lock().unwrap_or_else(PoisonError::into_inner);
        if !decodings.contains(&what) {
            tracing::info!("{} is read as {what}, and so are others of its kind", key.escape_debug());
            decodings.insert(what);
        }
    }

    /// Looks at a segment's record if it is the only one. Blocks on the disk.
    pub(super) fn segment(&self, segment: &Segment, config: &DecodeConfig) {
        if config.framing != FramingChoice::Auto
            || segment.records() != 1
            || self.alone.load(Ordering::Relaxed)
        {
            return;
        }
        // What is wrong with it shows when it is routed.
        let Ok(record) = segment.record(0) else { return };
        let beginning = record.get(..BEGINNING_BYTES).unwrap_or(record);
        if holds_records(beginning) && !self.alone.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} is one JSON value with an array of others in it, and is taken for one record, as are others like it: \
                 if the array's elements are the records, begin with --framing json-array; --framing json says that \
                 they are not",
                segment.label().key.escape_debug()
            );
        }
    }
}
