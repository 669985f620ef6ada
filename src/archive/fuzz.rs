//! What holds for any manifest and any text about time: see [`crate::fuzz`].

#![expect(clippy::expect_used, reason = "what fails here is a finding")]

use std::fs;

use jiff::Timestamp;

use super::layout::{Layout, LayoutRule};
use super::manifest::Manifest;
use super::selection::{KeyPattern, Selection};
use super::window::TimeBound;
use super::{ArchiveLocation, objects};

/// Any file is read as a manifest, or as a list of objects, without a panic; what is read is written as it was.
pub fn manifest(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("manifest");
    fs::write(&path, data).expect("room");
    let location = ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: String::new() };
    let _ = objects::read(&path, &location);
    if let Ok(manifest) = Manifest::read(&path) {
        manifest.write(&path).expect("room");
        assert_eq!(Manifest::read(&path).expect("it was just written"), manifest);
    }
}

/// Any text is read as a time, a layout or a pattern without a panic, and what is written of it is read as the same.
pub fn times(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (rule, key) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(bound) = rule.parse::<TimeBound>() {
        let _ = bound.resolve(Timestamp::UNIX_EPOCH);
    }
    if let Ok(rule) = rule.parse::<LayoutRule>() {
        assert_eq!(rule.to_string().parse(), Ok(rule.clone()));
        let layout = Layout { rule, ..Layout::default() };
        let _ = (layout.key_time(key), layout.calendar_dir(key));
    }
    let _ = (
        Layout::default().key_time(key),
        Layout::default().calendar_dir(key),
        super::layout::decode_key(key),
    );
    if let Ok(pattern) = rule.parse::<KeyPattern>() {
        let selection = Selection { include: vec![pattern], ..Selection::default() };
        let selected = selection.judge(key, key, 1, Timestamp::UNIX_EPOCH);
        // A directory that may hold nothing selected must hold nothing selected.
        let dir = key.rfind('/').map_or("", |slash| key.get(..=slash).unwrap_or_default());
        assert!(!matches!(selected, super::selection::Verdict::Selected(_)) || selection.may_hold(dir));
    }
}
