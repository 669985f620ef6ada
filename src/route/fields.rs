//! Which fields could be the partition key, by a sample of records: the likeliest first.
//!
//! A key has to be there, has to differ, and has to come again: a record without it is set aside, few keys keep few
//! shards busy, and an order within one record is none. Nobody's order is that of a time. Among fields that pass, the one
//! is best whose records are spread as over the most equal keys ([`KeyField::effective`]): that counts a hot key for
//! what it costs, and rare keys for what they bring.
//!
//! Values are kept as hashes, fields and records within bounds. What comes late in an object and nowhere else is not met.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use jiff::Timestamp;

use super::candidates::{CANDIDATES_MAX, candidates};
use super::event_time::{EventTime, TimeFormat};
use super::key::key_of;
use super::pointer::JsonPointer;

/// Records of each sample in which fields are looked for.
const RECORDS_SEARCHED: u64 = 100;
/// Fields that are followed, at most.
const FIELDS_MAX: usize = 2 * CANDIDATES_MAX;
/// Larger records are not looked at, in bytes.
const RECORD_BYTES_MAX: usize = 16 * 1024;
/// Records of all objects together that are worth a look.
const RECORDS_WORTH: usize = 10_000;
/// As many equal keys keep a usual stream busy.
const KEYS_ENOUGH: f64 = 16.0;
/// Seconds since 1970 that may be meant as a time: a smaller number is a number.
const PLAUSIBLE_SECONDS: std::ops::Range<i64> = 1_000_000_000..4_102_444_800;

/// How many records of each of so many objects are worth a look.
#[must_use]
pub fn records_of_each(objects: usize) -> usize {
    (RECORDS_WORTH / objects.max(1)).clamp(100, 2_000)
}

/// What a sample of records says of their fields.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    records: u64,
    fields: Vec<Field>,
}

#[derive(Debug, Clone)]
struct Field {
    rule: EventTime,
    present: u64,
    counts: HashMap<u64, u64>,
    span: Option<(Timestamp, Timestamp)>,
    /// A value was seen that is no time.
    is_no_time: bool,
}

/// A field that could be the key.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyField {
    /// Where it stands.
    pub pointer: JsonPointer,
    /// Records of the sample that get a key by it.
    pub present: u64,
    /// Records of the sample.
    pub records: u64,
    /// How many values it has there.
    pub distinct: u64,
    /// How often the most frequent of them is met.
    pub hottest: u64,
    /// The number of equal keys over which records would be spread likewise.
    pub effective: f64,
    /// The earliest and the latest value, where every value is a time.
    pub span: Option<(Timestamp, Timestamp)>,
}

impl Fields {
    /// Records that were looked at.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Looks at a record.
    pub fn see(&mut self, record: &[u8]) {
        if record.len() > RECORD_BYTES_MAX {
            return;
        }
        if self.records < RECORDS_SEARCHED {
            for candidate in candidates(record) {
                let known = self.fields.iter().any(|field| field.rule.pointer == candidate.pointer);
                if !known && self.fields.len() < FIELDS_MAX {
                    self.fields.push(Field::new(candidate.pointer));
                }
            }
        }
        self.records += 1;
        self.fields.iter_mut().for_each(|field| field.see(record));
    }

    /// Takes in what another sample says.
    pub fn join(&mut self, other: Self) {
        self.records += other.records;
        for field in other.fields {
            let has_room = self.fields.len() < FIELDS_MAX;
            match self.fields.iter_mut().find(|known| known.rule.pointer == field.rule.pointer) {
                Some(known) => known.join(field),
                None if has_room => self.fields.push(field),
                None => {}
            }
        }
    }

    /// The fields, the likeliest key first.
    #[must_use]
    pub fn ranked(&self) -> Vec<KeyField> {
        let mut fields: Vec<KeyField> = self.fields.iter().map(|field| field.rank(self.records)).collect();
        // What is equal stays in the records' own order.
        fields.sort_by(|left, right| {
            right.merits().cmp(&left.merits()).then(right.effective.total_cmp(&left.effective))
        });
        fields
    }
}

impl Field {
    fn new(pointer: JsonPointer) -> Self {
        let rule = EventTime { pointer, format: TimeFormat::Auto, from: None, until: None };
        Self { rule, present: 0, counts: HashMap::new(), span: None, is_no_time: false }
    }

    fn see(&mut self, record: &[u8]) {
        let Ok(value) = self.rule.pointer.find(record) else { return };
        let Ok(key) = key_of(&value) else { return };
        self.present += 1;
        let mut hasher = DefaultHasher::new();
        hasher.write(key.as_str().as_bytes());
        *self.counts.entry(hasher.finish()).or_default() += 1;
        if self.is_no_time {
            return;
        }
        match self.rule.time(record).filter(|time| PLAUSIBLE_SECONDS.contains(&time.as_second())) {
            Some(time) => self.widen((time, time)),
            None => self.is_no_time = true,
        }
    }

    fn widen(&mut self, (from, until): (Timestamp, Timestamp)) {
        let (first, last) = self.span.unwrap_or((from, until));
        self.span = Some((first.min(from), last.max(until)));
    }

    fn join(&mut self, other: Self) {
        self.present += other.present;
        for (value, count) in other.counts {
            *self.counts.entry(value).or_default() += count;
        }
        self.is_no_time |= other.is_no_time;
        other.span.into_iter().for_each(|span| self.widen(span));
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a sample")]
    fn rank(&self, records: u64) -> KeyField {
        let squares: f64 = self.counts.values().map(|&count| (count as f64).powi(2)).sum();
        KeyField {
            pointer: self.rule.pointer.clone(),
            present: self.present,
            records,
            distinct: self.counts.len() as u64,
            hottest: self.counts.values().max().copied().unwrap_or_default(),
            effective: (self.present as f64).powi(2) / squares.max(1.0),
            span: self.span.filter(|_| !self.is_no_time),
        }
    }
}

impl KeyField {
    /// Whether every record of the sample gets a key by it.
    #[must_use]
    pub fn is_always_there(&self) -> bool {
        self.present == self.records
    }

    /// What speaks for it as a key, the weightiest first.
    #[expect(clippy::cast_precision_loss, reason = "counts of a sample")]
    fn merits(&self) -> (bool, bool, bool, bool) {
        // Of a handful of records nobody can ask for many keys.
        let enough = self.effective >= KEYS_ENOUGH.min(self.records as f64 / 4.0) && self.distinct > 1;
        let comes_again = self.distinct * 10 <= 9 * self.present;
        let is_likely = enough && comes_again && self.span.is_none();
        (is_likely && self.is_always_there(), is_likely, self.is_always_there(), self.distinct > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand flights, as they are: a constant, few values, an id, a time, and something that is missing now and then.
    fn flights() -> Fields {
        let mut fields = Fields::default();
        for n in 0..1_000_u32 {
            let arrival = if n % 40 == 7 { "null".to_owned() } else { (n * 7 % 300).to_string() };
            let record = format!(
                "{{\"year\":2013,\"origin\":\"{}\",\"arr_time\":{arrival},\"tailnum\":\"N{}\",\"uuid\":\"u{n}\",\
                 \"at\":\"2013-01-{:02}T00:00:00Z\"}}",
                n % 3,
                n * n % 499,
                n % 28 + 1,
            );
            fields.see(record.as_bytes());
        }
        fields
    }

    fn pointers(fields: &Fields) -> Vec<String> {
        fields.ranked().iter().map(|field| field.pointer.to_string()).collect()
    }

    #[test]
    fn what_every_record_has_in_many_values_stands_before_what_some_lack_and_what_hardly_differs() {
        let fields = flights();
        // It is there, differs and comes again; some lack it; then what is no key, the constant last.
        assert_eq!(pointers(&fields), ["/tailnum", "/arr_time", "/uuid", "/at", "/origin", "/year"]);
        let arrival = &fields.ranked()[1];
        assert_eq!((arrival.present, arrival.records), (975, 1_000), "null is no key");
        assert!(!arrival.is_always_there());
        assert!(fields.ranked()[3].span.is_some_and(|(first, last)| last > first));
    }

    #[test]
    fn two_samples_are_as_good_as_one() {
        let (mut fields, whole) = (Fields::default(), flights());
        fields.join(whole.clone());
        fields.join(whole.clone());
        assert_eq!(fields.records(), 2_000);
        let mut without = Fields::default();
        without.see(b"{\"tailnum\":\"N1\"}");
        fields.join(without);
        assert_eq!(fields.ranked()[0].pointer.to_string(), "/tailnum");
        assert_eq!(fields.ranked()[0].present, 2_001);
    }

    #[test]
    fn a_field_that_the_first_record_lacks_is_met_as_well() {
        let mut fields = Fields::default();
        for n in 0..50 {
            let record =
                if n == 0 { "{\"a\":1}".to_owned() } else { format!("{{\"a\":1,\"user\":{}}}", n % 20) };
            fields.see(record.as_bytes());
        }
        assert_eq!(pointers(&fields), ["/user", "/a"]);
        fields.see(b"no JSON at all");
        assert_eq!(fields.records(), 51);
    }

    #[test]
    fn of_a_handful_of_records_something_is_said_too() {
        let mut fields = Fields::default();
        for k in ["a", "b", "a"] {
            fields.see(format!("{{\"one\":1,\"k\":\"{k}\"}}").as_bytes());
        }
        assert_eq!(pointers(&fields), ["/k", "/one"]);
        assert!(Fields::default().ranked().is_empty());
    }
}
