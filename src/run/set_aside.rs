//! What is written of a record that is set aside: the line about it, and its bytes.
//!
//! It is looked up where it is written, on the journal's thread, one record after the other: of what a whole
//! chunk sets aside nothing waits in memory but ordinals and reasons.

use super::journal::{QuarantineLine, Quarantined};
use super::key_fields::{ARRAY, holds_the_records};
use super::segments::Segments;
use crate::archive::manifest::Manifest;
use crate::record::{agree, many};
use crate::route::{SetAside, SetAsideReason};

/// The line about a record, and its bytes if they are wanted; of one that is damaged on disk there are none.
/// Blocks on the disk.
pub fn quarantined(
    segments: &Segments,
    manifest: &Manifest,
    aside: &SetAside,
    with_bytes: bool,
) -> Quarantined {
    let (object, record) = (aside.ordinal.object(), aside.ordinal.record());
    let segment = segments.get(object).ok().filter(|segment| record < segment.records());
    let found = segment.as_ref().and_then(|segment| segment.record(record).ok());
    let alone = segment.as_ref().is_some_and(|segment| segment.records() == 1);
    let array = alone && found.is_some_and(holds_the_records);
    let offset = segment.as_ref().and_then(|segment| segment.record_offset(record).ok());
    let key = manifest.object(object).map(|entry| entry.key.to_string()).unwrap_or_default();
    let line = QuarantineLine {
        object,
        record: Some(record),
        key,
        reason: aside.reason.to_string(),
        detail: detail(aside, array),
        offset,
        stored: None,
        sent_in_part: false,
    };
    Quarantined { line, bytes: found.filter(|_| with_bytes).map(<[u8]>::to_vec) }
}

/// Of an object that is one record, `array` says whether that may hold the records that are meant.
fn detail(aside: &SetAside, array: bool) -> String {
    match &aside.reason {
        SetAsideReason::KeyFault(fault) if array => format!("{}; {ARRAY}", fault.sentence()),
        SetAsideReason::KeyFault(fault) => fault.sentence().to_owned(),
        SetAsideReason::NoEventTime => "the record has no time where --event-time says".to_owned(),
        SetAsideReason::Salvaged { defect } => {
            let before = aside.ordinal.record();
            let (before, were) = (many(before, "record"), agree(before, "was", "were"));
            format!("{defect}: the {before} before {were} taken (--salvage), what follows is lost")
        }
        SetAsideReason::TooLarge { found, max } => {
            format!("{} B with its key, the stream takes {} B", found.0, max.0)
        }
        SetAsideReason::Rejected { reason, possibly_delivered: false } => reason.clone(),
        SetAsideReason::Rejected { reason, possibly_delivered: true } => {
            format!("{reason} (an earlier attempt may have delivered it)")
        }
    }
}
