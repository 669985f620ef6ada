//! Made-up events: orders as a shop would log them, the same every time.
//!
//! They are nested, have their key in the middle, and text that compresses as text does. Keys are drawn evenly from four
//! times as many as there are events in a set: most come back only when the set begins anew, as with many
//! users, so that order is not what is measured.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

/// Bytes of one object, decoded.
const OBJECT_BYTES: u64 = 8_000_000;
/// Bytes of a set, at least and at most: enough for caches not to help, little enough to be made quickly.
const SET_BYTES: (u64, u64) = (4_000_000, 256_000_000);
/// Keys to draw from, for each event of a set.
const KEYS_PER_EVENT: u64 = 4;
/// How long a set lasts at full speed, if that is possible.
const SET_SECONDS: u64 = 3;

/// How many events of `bytes` bytes a set for `shards` shards has.
pub(super) fn set_size(shards: u32, bytes: u32) -> u64 {
    let bytes = u64::from(bytes.max(1));
    let per_second = (1_000_000 / bytes).clamp(1, 1_000);
    let wanted = u64::from(shards) * per_second * SET_SECONDS * bytes;
    (wanted.clamp(SET_BYTES.0, SET_BYTES.1) / bytes).max(1)
}

/// Writes `count` events of `bytes` bytes each below `directory` as an archive, in several objects; `encode` may
/// compress them.
pub(super) fn write(
    directory: &Path,
    count: u64,
    bytes: u32,
    encode: impl Fn(&[u8]) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let per_object = (OBJECT_BYTES / u64::from(bytes.max(1))).clamp(1, count.div_ceil(4).max(1));
    let (mut object, mut first) = (0_u64, 0);
    while first < count {
        let last = (first + per_object).min(count);
        let hour = directory.join(format!("2026/07/01/{:02}", object / 60 % 24));
        fs::create_dir_all(&hour)?;
        let mut lines = Vec::new();
        for number in first..last {
            push_event(&mut lines, number, bytes, count.saturating_mul(KEYS_PER_EVENT));
        }
        let name = format!("bench-1-2026-07-01-{:02}-{:02}-00-{object:08}", object / 60 % 24, object % 60);
        let mut file = BufWriter::new(File::create(hour.join(name))?);
        file.write_all(&encode(&lines)?)?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        (object, first) = (object + 1, last);
    }
    Ok(())
}

/// Gives the objects below `directory` more names, `names` in all.
pub(super) fn multiply(directory: &Path, names: u64) -> io::Result<()> {
    let hour = directory.join("2026/07/01/00");
    let mut objects = Vec::new();
    for entry in fs::read_dir(&hour)? {
        objects.push(entry?.path());
    }
    objects.sort();
    for (number, object) in (objects.len() as u64..names).zip(objects.iter().cycle()) {
        let hour = directory.join(format!("2026/07/02/{:02}", number / 60 % 24));
        fs::create_dir_all(&hour)?;
        let (hours, minutes) = (number / 60 % 24, number % 60);
        fs::hard_link(
            object,
            hour.join(format!("bench-1-2026-07-02-{hours:02}-{minutes:02}-00-{number:08}")),
        )?;
    }
    Ok(())
}

fn push_event(out: &mut Vec<u8>, number: u64, bytes: u32, keys: u64) {
    let draw = |turn: u64| mix(number.wrapping_mul(31).wrapping_add(turn));
    let mut event = String::with_capacity(bytes as usize + 64);
    let _ = write!(
        event,
        r#"{{"id":"{:016x}","at":"2026-07-01T05:{:02}:{:02}Z","user":{{"id":"u-{}","tier":{}}},"cents":{},"note":""#,
        draw(1),
        number / 60 % 60,
        number % 60,
        draw(2) % keys,
        draw(3) % 4,
        draw(4) % 100_000,
    );
    let end = (bytes as usize).saturating_sub(2);
    let mut turn = 5;
    while event.len() < end {
        let words = ["order ", "shipped ", "to Rue ", "late {", "} item ", "gift, "];
        event.push_str(words.get((draw(turn) % 6) as usize).copied().unwrap_or_default());
        if draw(turn) % 3 == 0 {
            let _ = write!(event, "{:x} ", draw(turn) >> 32);
        }
        turn += 1;
    }
    // All of it is ASCII, so it may be cut anywhere in the text.
    event.truncate(end.max(event.find("\"note\":\"").map_or(end, |start| start + 8)));
    event.push_str("\"}\n");
    out.extend_from_slice(event.as_bytes());
}

/// A number that looks random and depends on nothing but `number`.
fn mix(number: u64) -> u64 {
    let bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_json_of_the_size_that_was_asked_for() {
        for bytes in [150, 200, 1_000, 10_000] {
            for number in [0, 1, 999_999_999] {
                let mut event = Vec::new();
                push_event(&mut event, number, bytes, u64::MAX);
                assert_eq!(event.pop(), Some(b'\n'));
                assert_eq!(event.len(), bytes as usize);
                let value: serde_json::Value = serde_json::from_slice(&event).unwrap();
                assert!(value["user"]["id"].as_str().unwrap().starts_with("u-"));
            }
        }
    }

    #[test]
    fn a_set_has_its_events_in_several_objects_and_is_the_same_every_time() {
        let read = || {
            let directory = tempfile::tempdir().unwrap();
            write(directory.path(), 1_000, 200, |lines| Ok(lines.to_vec())).unwrap();
            let hour = directory.path().join("2026/07/01/00");
            let mut names: Vec<_> = fs::read_dir(hour).unwrap().map(|entry| entry.unwrap().path()).collect();
            names.sort();
            names.into_iter().map(|name| fs::read_to_string(name).unwrap()).collect::<Vec<_>>()
        };
        let objects = read();
        assert_eq!(objects.len(), 4);
        assert_eq!(objects.iter().map(|object| object.lines().count()).sum::<usize>(), 1_000);
        assert_eq!(objects, read());
    }

    #[test]
    fn a_set_is_neither_tiny_nor_endless() {
        assert_eq!(set_size(1, 1_000), 4_000);
        assert_eq!(set_size(16, 1_000), 48_000);
        assert_eq!(set_size(1_000, 1_000), 256_000);
        assert_eq!(set_size(1, 1_000_000), 4);
    }
}
