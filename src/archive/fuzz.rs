//! What holds for any manifest and any text about time: see [`crate::fuzz`].

#![expect(clippy::expect_used, reason = "what fails here is a finding")]

use std::fs;

use jiff::Timestamp;

use super::layout::{Layout, LayoutRule};
use super::manifest::Manifest;
use super::objects::Named;
use super::selection::{KeyPattern, Selection};
use super::window::TimeBound;
use super::{ArchiveLocation, objects};

/// Any file is read as a manifest, or as a list of objects, without a panic; what is read is written as it was. So is what
/// stands under a digest of its own.
pub fn manifest(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("manifest");
    let read = |data: &[u8]| {
        fs::write(&path, data).expect("room");
        let found = Manifest::read(&path);
        let of_a_bucket =
            || ArchiveLocation::S3 { endpoint: None, bucket: "events".into(), prefix: String::new() };
        let location = found.as_ref().map_or_else(|_| of_a_bucket(), |manifest| manifest.archive.clone());
        let named = objects::read(&path, &location);
        let manifest = found.ok()?;
        let entries = manifest.objects.iter().cloned().map(Named::Entry);
        assert!(entries.eq(named.expect("it is a manifest of that archive")));
        manifest.write(&path).expect("room");
        assert_eq!(Manifest::read(&path).expect("it was just written"), manifest);
        Some(manifest)
    };
    let _ = read(data);
    if let Some((sealed, fits)) = super::manifest::sealed(data) {
        assert_eq!(read(&sealed).is_some(), fits);
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
