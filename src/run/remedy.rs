//! What can be done about what was set aside, by its reason.

use std::collections::{BTreeMap, BTreeSet};

use super::journal::QuarantineLine;
use super::key_fields::ARRAY;
use crate::config::{Decoding, FramingChoice};
use crate::decode::NO_ARRAY;

const DAMAGED: &str = "retry --salvage fetches it once more, and if it is broken for good sends the whole records before the damage";
const SALVAGED_IN_VAIN: &str = "retry fetches it once more; no whole record stands before the damage";
const SENT_IN_PART: &str = "a part of it was sent before, so retry leaves it alone: replay it by itself, and that part is there twice";
const KEYLESS: &str =
    "retry --partition-key names another field, retry --key-fallback hash gives the record a key";
const AN_ARRAY: &str = "retry --framing json-array takes the array's elements for the records";
const MISFRAMED: &str = "retry --framing auto finds out how it is framed: it is no array of records";
const TRIED_AGAIN: &str = "retry tries it once more";

/// Whether the whole records before the damage of this object could be sent.
pub(super) fn can_be_salvaged(line: &QuarantineLine) -> bool {
    let damage = matches!(
        line.reason.as_str(),
        "corrupt" | "truncated" | "trailing_data" | "bad_framing" | "mixed_framing"
    );
    line.record.is_none() && damage && !line.sent_in_part
}

/// Whether the object is not the array of records that it was taken for, and not a damaged one either.
pub(super) fn is_misframed(line: &QuarantineLine, decoding: Decoding) -> bool {
    let whole = line.record.is_none() && !line.sent_in_part;
    whole && line.detail.contains(NO_ARRAY) && decoding.framing == FramingChoice::JsonArray
}

/// Whether salvaging is what may help this object.
pub(super) fn wants_salvage(line: &QuarantineLine, decoding: Decoding) -> bool {
    !decoding.salvage && can_be_salvaged(line) && !is_misframed(line, decoding)
}

/// Whether the record is an object of its own that may hold the records in an array. Of what was cut out of an array
/// already it says nothing.
pub(super) fn is_array(line: &QuarantineLine, decoding: Decoding) -> bool {
    line.record.is_some() && line.detail.ends_with(ARRAY) && decoding.framing != FramingChoice::JsonArray
}

/// Whether this object was set aside for its bytes: it would be again, by whoever reads the same in the same way.
pub(super) fn is_in_its_bytes(line: &QuarantineLine) -> bool {
    let unreadable = matches!(line.reason.as_str(), "empty" | "unknown_format" | "too_large");
    can_be_salvaged(line) || line.record.is_none() && unreadable && !line.sent_in_part
}

/// What comes of another try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outlook {
    /// It may be sent.
    Sent,
    /// Of a damaged object what is whole is sent.
    InPart,
    /// It would be set aside again: first what its reason names has to be mended.
    Mended,
}

/// What comes of another try of `line`, of a run that has read its objects by `decoding`, by the flags that are told.
pub(super) fn outlook(line: &QuarantineLine, decoding: Decoding) -> Outlook {
    let needs_mending = match line.reason.as_str() {
        _ if line.sent_in_part => true,
        "no_event_time" | "salvaged" | "too_large" | "rejected" if line.record.is_some() => true,
        _ if line.record.is_some() || is_misframed(line, decoding) => false,
        "empty" | "unknown_format" | "too_large" | "deleted" | "archived" | "denied" => true,
        _ => can_be_salvaged(line) && decoding.salvage,
    };
    if needs_mending {
        Outlook::Mended
    } else if wants_salvage(line, decoding) {
        Outlook::InPart
    } else {
        Outlook::Sent
    }
}

/// What can be done about `line`, of a run that has read its objects by `decoding`; `retry` is `respool quarantine retry`.
pub(super) fn remedy(line: &QuarantineLine, decoding: Decoding) -> &'static str {
    let salvaged = decoding.salvage;
    if is_array(line, decoding) {
        return AN_ARRAY;
    }
    if line.record.is_some() {
        return of_a_record(&line.reason);
    }
    match line.reason.as_str() {
        _ if line.sent_in_part => SENT_IN_PART,
        _ if is_misframed(line, decoding) => MISFRAMED,
        _ if can_be_salvaged(line) && salvaged => SALVAGED_IN_VAIN,
        _ if can_be_salvaged(line) => DAMAGED,
        "empty" => {
            "it has no bytes: put a whole copy in its place, then retry; if there was never more in it, nothing is lost"
        }
        "unknown_format" => "its compression or encoding is not read: replay a copy that is decoded",
        "too_large" => "it decompresses to more than one object may: replay a copy that is cut into pieces",
        "changed" => "it was replaced after it was listed: retry takes it as it is now",
        "deleted" => "it is gone: put it back, then retry",
        "archived" => "restore it from its archive tier, then retry",
        "denied" => "allow s3:GetObject on it (and kms:Decrypt, if it is encrypted), then retry",
        "checksum" => "what arrived is not what was stored: retry fetches it once more",
        _ => TRIED_AGAIN,
    }
}

/// What can be done about each reason: of one reason there may be entries of several kinds.
#[derive(Debug, Default)]
pub(super) struct Remedies(BTreeMap<String, BTreeSet<&'static str>>);

impl Remedies {
    /// Counts in a line of a run that has read its objects by `decoding`.
    pub(super) fn add(&mut self, line: &QuarantineLine, decoding: Decoding) {
        self.0.entry(line.reason.clone()).or_default().insert(remedy(line, decoding));
    }

    /// For each reason all of it, in a sentence.
    pub(super) fn told(self) -> BTreeMap<String, String> {
        let sentence = |remedies: BTreeSet<&str>| remedies.into_iter().collect::<Vec<_>>().join("; ");
        self.0.into_iter().map(|(reason, remedies)| (reason, sentence(remedies))).collect()
    }
}

fn of_a_record(reason: &str) -> &'static str {
    match reason {
        "missing" | "null" | "empty" | "container" | "too_long" | "invalid_json" => KEYLESS,
        "no_event_time" => {
            "replay it anew with another --event-time, or without one: retry looks in the same place"
        }
        "salvaged" => {
            "what follows the damage is lost with it: put a whole copy in its place, and retry sends what follows"
        }
        "too_large" => "let the stream take larger records (aws kinesis update-max-record-size), then retry",
        "rejected" => "the stream has refused it: mend what it says (quarantine ls), then retry",
        _ => TRIED_AGAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::DefectReason;
    use crate::decode::DecodeDefect;
    use crate::record::ByteCount;
    use crate::route::SetAsideReason;
    use crate::run::next::KEY_FAULTS;

    const AS_IT_IS: Decoding = Decoding { framing: FramingChoice::Auto, salvage: false };
    const SALVAGED: Decoding = Decoding { salvage: true, ..AS_IT_IS };

    fn line(record: Option<u32>, reason: &str) -> QuarantineLine {
        QuarantineLine::of(0, record, "x.gz", reason)
    }

    #[test]
    fn every_reason_says_what_can_be_done() {
        use DecodeDefect::{
            BadFraming, Corrupt, Empty, MixedFraming, TooLarge, TrailingData, Truncated, UnknownFormat,
        };
        use DefectReason::{Archived, Changed, Checksum, Deleted, Denied};
        for defect in
            [Corrupt, Truncated, TrailingData, Empty, UnknownFormat, TooLarge, BadFraming, MixedFraming]
        {
            let line = line(None, &defect.to_string());
            assert_eq!(can_be_salvaged(&line), defect.is_damage(), "{defect}");
            assert!(is_in_its_bytes(&line), "{defect}");
            assert_ne!(remedy(&line, AS_IT_IS), TRIED_AGAIN, "{defect}");
            assert_eq!(remedy(&line, AS_IT_IS).contains("--salvage"), defect.is_damage(), "{defect}");
            assert!(!remedy(&line, SALVAGED).contains("--salvage"), "{defect}");
        }
        for reason in [Changed, Deleted, Archived, Denied, Checksum] {
            let line = line(None, &reason.to_string());
            assert_ne!(remedy(&line, AS_IT_IS), TRIED_AGAIN, "{reason}");
            assert!(!is_in_its_bytes(&line), "{reason}");
        }
        let reasons = [
            SetAsideReason::NoEventTime,
            SetAsideReason::Salvaged { defect: String::new() },
            SetAsideReason::TooLarge { found: ByteCount(2), max: ByteCount(1) },
            SetAsideReason::Rejected { reason: String::new(), possibly_delivered: false },
        ];
        let faults = KEY_FAULTS.into_iter().map(SetAsideReason::KeyFault);
        for reason in faults.chain(reasons) {
            assert_ne!(remedy(&line(Some(3), &reason.to_string()), AS_IT_IS), TRIED_AGAIN, "{reason}");
        }
    }

    #[test]
    fn another_try_sends_only_what_nothing_has_to_be_mended_for() {
        for (line, before, salvaged) in [
            (line(Some(3), "missing"), Outlook::Sent, Outlook::Sent),
            (line(Some(3), "salvaged"), Outlook::Mended, Outlook::Mended),
            (line(Some(3), "too_large"), Outlook::Mended, Outlook::Mended),
            (line(None, "truncated"), Outlook::InPart, Outlook::Mended),
            (line(None, "empty"), Outlook::Mended, Outlook::Mended),
            (line(None, "deleted"), Outlook::Mended, Outlook::Mended),
            (line(None, "changed"), Outlook::Sent, Outlook::Sent),
        ] {
            let found = [AS_IT_IS, SALVAGED].map(|decoding| outlook(&line, decoding));
            assert_eq!(found, [before, salvaged], "{line:?}");
        }
    }

    #[test]
    fn of_what_was_sent_in_part_nothing_is_promised() {
        let line = QuarantineLine { sent_in_part: true, ..line(None, "corrupt") };
        assert_eq!((remedy(&line, AS_IT_IS), can_be_salvaged(&line)), (SENT_IN_PART, false));
        assert!(!is_in_its_bytes(&line), "it was whole once");
    }

    #[test]
    fn what_is_framed_in_another_way_is_not_salvaged() {
        let arrays = Decoding { framing: FramingChoice::JsonArray, ..AS_IT_IS };
        let damaged = line(None, "bad_framing");
        assert_eq!((remedy(&damaged, arrays), wants_salvage(&damaged, arrays)), (DAMAGED, true));
        let object = QuarantineLine { detail: format!("found {NO_ARRAY}"), ..damaged };
        assert_eq!((remedy(&object, arrays), wants_salvage(&object, arrays)), (MISFRAMED, false));
        assert_eq!((remedy(&object, AS_IT_IS), wants_salvage(&object, AS_IT_IS)), (DAMAGED, true));
        let array = QuarantineLine { detail: format!("no key; {ARRAY}"), ..line(Some(0), "missing") };
        assert_eq!((remedy(&array, AS_IT_IS), is_array(&object, AS_IT_IS)), (AN_ARRAY, false));
        assert!(!is_array(&array, arrays), "it was cut out of one");
    }
}
