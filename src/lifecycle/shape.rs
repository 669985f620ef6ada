//! What a stream of ours carries, and whether one that is there is the one that is wanted.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::{RETENTION_HOURS_DEFAULT, StreamShape};
use crate::record::{many, number};
use crate::stream::control::StreamParticulars;

/// The tag by which a stream is known to be made by respool: only such a one is ever deleted.
/// Kinesis' documents allow no colon in a key.
pub const CREATED_BY: &str = "respool/created-by";
/// The tag that says when.
pub const CREATED_AT: &str = "respool/created-at";

/// The labels of a new stream: ours and the user's.
#[must_use]
pub fn tags(own: &BTreeMap<String, String>, now: Timestamp) -> BTreeMap<String, String> {
    let ours = [
        (CREATED_BY.to_owned(), format!("respool {}", env!("CARGO_PKG_VERSION"))),
        (CREATED_AT.to_owned(), now.strftime("%Y%m%dT%H%M%SZ").to_string()),
    ];
    own.clone().into_iter().chain(ours).collect()
}

/// Whether respool has made it.
#[must_use]
pub fn is_ours(stream: &StreamParticulars) -> bool {
    stream.tags.contains_key(CREATED_BY)
}

/// In what the stream is not as it is wanted, one sentence's part for each; `shards` only where they matter.
#[must_use]
pub fn differences(wanted: &StreamShape, shards: Option<u32>, found: &StreamParticulars) -> Vec<String> {
    let description = &found.description;
    let mut differences = Vec::new();
    if let Some(shards) = shards.filter(|&shards| shards != description.open_shards) {
        differences.push(format!(
            "it has {}, not {}",
            many(description.open_shards, "shard"),
            number(shards.into())
        ));
    }
    let hours = wanted.retention_hours.unwrap_or(RETENTION_HOURS_DEFAULT);
    if hours != description.retention_hours {
        differences.push(format!("it keeps records for {} h, not {hours} h", description.retention_hours));
    }
    if let Some(kib) = wanted.record_kib {
        let found = description.record_bytes_max / 1024;
        if usize::try_from(kib).ok() != Some(found) {
            let (found, wanted) = (record_size(found as u64), record_size(kib.into()));
            differences.push(format!("it takes records of {found}, not {wanted}"));
        }
    }
    // A key has several names, so only whether there is one can be compared.
    if let (Some(key), None) = (&wanted.encryption_key, &found.encryption_key) {
        differences.push(format!("it is not encrypted with {key}"));
    }
    for (key, value) in &wanted.tags {
        if found.tags.get(key) != Some(value) {
            differences.push(format!("it lacks the tag {key}={value}"));
        }
    }
    differences
}

/// So many KiB as `--record-size` takes them: `2 MiB`.
pub fn record_size(kib: u64) -> String {
    match kib % 1_024 {
        0 => format!("{} MiB", number(kib / 1_024)),
        _ => format!("{} KiB", number(kib)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::particulars;

    #[test]
    fn what_differs_is_said_and_what_was_left_open_is_not() {
        let mut found = particulars(4);
        assert_eq!(differences(&StreamShape::default(), Some(4), &found), Vec::<String>::new());
        found.description.retention_hours = 48;
        let wanted = StreamShape {
            retention_hours: Some(72),
            record_kib: Some(2_048),
            encryption_key: Some("alias/k".into()),
            tags: [("team".to_owned(), "orders".to_owned())].into(),
        };
        assert_eq!(
            differences(&wanted, Some(8), &found),
            [
                "it has 4 shards, not 8",
                "it keeps records for 48 h, not 72 h",
                "it takes records of 1 MiB, not 2 MiB",
                "it is not encrypted with alias/k",
                "it lacks the tag team=orders",
            ]
        );
        assert_eq!(
            differences(&StreamShape { retention_hours: Some(48), ..StreamShape::default() }, None, &found),
            Vec::<String>::new()
        );
    }

    #[test]
    fn our_tags_hold_what_kinesis_allows() {
        let tags = tags(&BTreeMap::new(), "2026-11-26T23:15:00Z".parse().unwrap());
        let allowed = |c: char| c.is_ascii_alphanumeric() || " _./=+-%@".contains(c);
        assert!(tags.iter().all(|(key, value)| key.chars().chain(value.chars()).all(allowed)), "{tags:?}");
        assert!(is_ours(&StreamParticulars { tags, ..particulars(1) }));
        assert!(!is_ours(&particulars(1)));
    }
}
