//! What holds for the key of any record: see [`crate::fuzz`].

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::event_time::{EventTime, TimeFormat};
use super::key::{KeyConfig, KeyExtractor, KeyFault, KeyPlace, KeyRule};
use super::pointer::JsonPointer;
use crate::limits::PARTITION_KEY_CHARS_MAX;
use crate::record::{HashKey, Ordinal};

/// Succeeds for JSON in which no object has two members of one name.
struct NamesOnce;

impl<'de> DeserializeSeed<'de> for NamesOnce {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NamesOnce {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !names.insert(name) {
                return Err(A::Error::custom("twice"));
            }
            map.next_value_seed(NamesOnce)?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(NamesOnce)?.is_some() {}
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The key of a record that is JSON is what `serde_json` finds where the pointer points. First a line with the
/// pointer, then the record.
pub fn key(data: &[u8]) {
    let at = memchr::memchr(b'\n', data).unwrap_or(data.len());
    let (pointer, record) = (data.get(..at).unwrap_or_default(), data.get(at + 1..).unwrap_or_default());
    let Some(pointer) = std::str::from_utf8(pointer).ok().and_then(|text| text.parse::<JsonPointer>().ok())
    else {
        return;
    };
    let event_time =
        EventTime { pointer: pointer.clone(), format: TimeFormat::Auto, from: None, until: None };
    let _ = event_time.time(record);
    let config = KeyConfig { rule: KeyRule::Pointer(pointer.clone()), fallback: None, seed: 0 };
    let extractor = KeyExtractor::new(config);
    let found = extractor.key(record, Ordinal::START);
    let place = extractor.place(record, Ordinal::START);
    assert_eq!(
        place.map(|place| (place.hash, place.bytes)),
        found.clone().map(|key| (HashKey::of(key.as_str()), key.as_str().len()))
    );
    if let (Ok(KeyPlace { at: Some(at), bytes, .. }), Ok(key)) = (place, &found) {
        let at = usize::from(at);
        assert_eq!(record.get(at..at + bytes), Some(key.as_str().as_bytes()), "what stands there is the key");
    }
    let once = NamesOnce.deserialize(&mut serde_json::Deserializer::from_slice(record)).is_ok();
    let Ok(value) = serde_json::from_slice::<Value>(record) else { return };
    if !once || serde_json::from_slice::<IgnoredAny>(record).is_err() {
        return;
    }
    let expected = match value.pointer(pointer.as_str()) {
        None => Err(KeyFault::Missing),
        Some(Value::Null) => Err(KeyFault::Null),
        Some(Value::Object(_) | Value::Array(_)) => Err(KeyFault::Container),
        Some(Value::Bool(flag)) => Ok(flag.to_string()),
        // As it is written, which is not kept.
        Some(Value::Number(_)) => return,
        Some(Value::String(text)) if text.is_empty() => Err(KeyFault::Empty),
        Some(Value::String(text)) if text.chars().count() > PARTITION_KEY_CHARS_MAX => Err(KeyFault::TooLong),
        Some(Value::String(text)) => Ok(text.clone()),
    };
    assert_eq!(found.map(|key| key.as_str().to_owned()), expected);
}
