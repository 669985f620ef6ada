//! Fields that could be the partition key, as they are told: by `inspect`, by `plan`, and by a `replay` without a key.
//!
//! One ranking and one table for all three, so that none recommends what another one warns of. Values are not named.

use std::fmt::Write as _;

use serde::Serialize;

use super::report::number;
use crate::config::quoted;
use crate::decode::holds_records;
use crate::record::many;
use crate::route::fields::Fields;
use crate::shown::is_shown;

/// What is said of an object that is one record, if that [may hold the records](holds_the_records) that are meant.
pub const ARRAY: &str = "the object is one JSON value with an array in it: if the array's elements are the records, say \
                         --framing json-array";

/// Bytes of a record by which it is judged.
const BEGINNING_BYTES: usize = 64 * 1024;

/// Fields that are named to a person.
const SHOWN: usize = 10;

/// A field that could be the key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyField {
    /// A JSON pointer.
    pub pointer: String,
    /// The part of the records looked at that have it.
    pub present: f64,
    /// How many values it has in them.
    pub distinct: u64,
    /// The part of those that have it which its most frequent value has.
    pub hottest: f64,
}

/// Whether `record`, alone in its object, may itself hold the records that are meant.
#[must_use]
pub fn holds_the_records(record: &[u8]) -> bool {
    holds_records(record.get(..BEGINNING_BYTES).unwrap_or(record))
}

/// All of them, the likeliest key first.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "parts")]
pub fn key_fields(fields: &Fields) -> Vec<KeyField> {
    let part = |some: u64, of: u64| some as f64 / of.max(1) as f64;
    let told = |field: crate::route::fields::KeyField| KeyField {
        pointer: field.pointer.to_string(),
        present: part(field.present, field.records),
        distinct: field.distinct,
        hottest: part(field.hottest, field.present),
    };
    fields.ranked().into_iter().map(told).collect()
}

/// The best of them, each as the flag that would take it, and what was seen of it in `records`, which are all there are
/// if `whole`.
#[must_use]
pub fn table(fields: &[KeyField], records: u64, whole: bool) -> String {
    let seen = if whole { "all" } else { "a sample of" };
    let records = many(records, "record");
    let mut text =
        format!("{:<44}{:>9}{:>10}{:>10}\n", format!("In {seen} {records}:"), "values", "hottest", "present");
    for (flag, field) in
        fields.iter().filter_map(|field| Some((shell_word(&field.pointer)?, field))).take(SHOWN)
    {
        let flag = format!("--partition-key {flag}");
        let (hottest, present) = (percent(field.hottest), percent(field.present));
        let _ = writeln!(text, "  {flag:<42}{:>9}{hottest:>10}{present:>10}", number(field.distinct));
    }
    text.push_str("  --partition-key random    (spread evenly, no order)\n");
    text.push_str("  --partition-key hash      (of the record's bytes)\n");
    if fields.iter().take(SHOWN).any(|field| field.present < 1.0) {
        text.push_str("A record that lacks its key is set aside, unless --key-fallback gives it one.\n");
    }
    text
}

/// A part as people read it: `100 %` is only said of all.
#[must_use]
pub fn percent(part: f64) -> String {
    if part >= 1.0 {
        return "100 %".to_owned();
    }
    // What is almost all or almost nothing is neither.
    let tenths = (part * 1_000.0).round().clamp(if part > 0.0 { 1.0 } else { 0.0 }, 999.0);
    format!("{:.1} %", tenths / 10.0)
}

/// A pointer as it can be copied into a command line; `None` for one that a terminal might obey.
#[must_use]
pub fn shell_word(pointer: &str) -> Option<String> {
    pointer.chars().all(is_shown).then(|| quoted(pointer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_can_be_copied_and_drives_no_terminal() {
        assert_eq!(shell_word("/user/id").as_deref(), Some("/user/id"));
        assert_eq!(shell_word("/a $(id) b").as_deref(), Some("'/a $(id) b'"));
        assert_eq!(shell_word("/it's").as_deref(), Some("'/it'\\''s'"));
        assert_eq!(shell_word("/größe").as_deref(), Some("'/größe'"));
        assert_eq!(shell_word("/a\u{1b}]0;x\u{7}"), None);
        assert_eq!(shell_word("/a\u{202e}b"), None);
    }

    #[test]
    fn only_all_is_all() {
        for (part, text) in
            [(1.0, "100 %"), (0.999_9, "99.9 %"), (0.978, "97.8 %"), (0.000_1, "0.1 %"), (0.0, "0.0 %")]
        {
            assert_eq!(percent(part), text);
        }
    }

    #[test]
    fn a_table_says_of_how_many_records_it_speaks_and_what_some_lack() {
        let mut fields = Fields::default();
        for n in 0..100 {
            let late = if n == 3 { "null".into() } else { (n % 30).to_string() };
            fields.see(format!("{{\"late\":{late},\"id\":{}}}", n % 50).as_bytes());
        }
        let fields = key_fields(&fields);
        let sample = table(&fields, 100, false);
        assert!(sample.starts_with("In a sample of 100 records:"), "{sample}");
        let order: Vec<_> = ["/id", "/late", "random"].map(|key| sample.find(key).unwrap()).into();
        assert!(order.is_sorted(), "{sample}");
        assert!(sample.contains("99.0 %") && sample.contains("--key-fallback"), "{sample}");
        assert!(sample.lines().all(|line| line.chars().count() <= 80), "{sample}");
        assert!(table(&fields[..1], 1, true).starts_with("In all 1 record:"));
    }
}
