//! What has come to the archive since the list of objects was frozen.
//!
//! A delivery stream may take a day to write an object. So when a run is done, its window is listed once more:
//! objects that were not there are named, and so are those that have changed since. Nothing of them is sent;
//! a replay of the list that is left sends what came late, and nothing else.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::next::NextStep;
use super::report::LateReport;
use super::select::archived;
use crate::archive::manifest::Manifest;
use crate::archive::objects::WHAT_CAME_LATE;
use crate::archive::{Archive, Listing, ObjectEntry};
use crate::config::Typed;

/// The list, one JSON object a line.
const LATE_FILE: &str = "late.jsonl";
/// Keys that stand in the report itself.
const KEYS_SHOWN: usize = 20;

#[derive(Serialize)]
struct Line<'a> {
    what: &'static str,
    #[serde(flatten)]
    object: &'a ObjectEntry,
}

/// Lists the window of `manifest` again and leaves what differs in `directory`.
pub async fn look_again(
    archive: &Arc<dyn Archive>,
    manifest: &Manifest,
    skip_archived: bool,
    started: Timestamp,
    directory: &Path,
) -> LateReport {
    let failed = |error: &dyn std::error::Error| LateReport {
        error: Some(error.to_string()),
        ..LateReport::default()
    };
    let listing = match archive.list(&manifest.selection).await {
        Ok(listing) => listing,
        Err(error) => return failed(&error),
    };
    let (mut late, changed) = compare(manifest, &listing, started);
    if skip_archived {
        // They were there, and left out.
        let doubtful: Vec<ObjectEntry> = late.iter().copied().cloned().collect();
        match archived(archive, &doubtful).await {
            Ok(archived) => late.retain(|object| !archived.contains(object)),
            Err(error) => return failed(&error),
        }
    }
    let mut report = LateReport {
        late: late.len() as u64,
        changed: changed.len() as u64,
        keys: late.iter().chain(&changed).take(KEYS_SHOWN).map(|object| object.key.to_string()).collect(),
        ..LateReport::default()
    };
    if !report.keys.is_empty() {
        let path = directory.join(LATE_FILE);
        match write(&path, &late, &changed) {
            Ok(()) => report.path = Some(path.display().to_string()),
            Err(error) => report.error = Some(format!("cannot write {}: {error}", path.display())),
        }
    }
    report
}

/// The command that sends what came late, if anything did.
pub fn next_step(late: &LateReport, typed: &Typed) -> Option<NextStep> {
    let list = late.path.as_deref().filter(|_| late.late > 0)?;
    let command = typed.with_objects(list)?;
    Some(NextStep { command, why: "send what came late, and nothing else".to_owned() })
}

/// The objects that are new, and those that are not what they were. What was written only after the run began, by its
/// name or else by its time of writing, is not late: it is what comes next.
fn compare<'a>(
    manifest: &Manifest,
    listing: &'a Listing,
    started: Timestamp,
) -> (Vec<&'a ObjectEntry>, Vec<&'a ObjectEntry>) {
    let known: BTreeMap<&str, &ObjectEntry> =
        manifest.objects.iter().map(|object| (&*object.key, object)).collect();
    let (mut late, mut changed) = (Vec::new(), Vec::new());
    for object in &listing.objects {
        match known.get(&*object.key) {
            Some(before) if (&before.etag, before.size) == (&object.etag, object.size) => {}
            Some(_) => changed.push(object),
            None if object.time.unwrap_or(object.modified) < started => late.push(object),
            None => {}
        }
    }
    late.sort_unstable_by(|left, right| left.key.cmp(&right.key));
    changed.sort_unstable_by(|left, right| left.key.cmp(&right.key));
    (late, changed)
}

fn write(path: &Path, late: &[&ObjectEntry], changed: &[&ObjectEntry]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let mut list = BufWriter::new(file);
    for (what, objects) in [(WHAT_CAME_LATE, late), ("changed", changed)] {
        for object in objects {
            serde_json::to_writer(&mut list, &Line { what, object })?;
            list.write_all(b"\n")?;
        }
    }
    list.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FramingChoice, Input, Order, RunSettings, StateDir, Tuning};

    #[test]
    fn what_a_plan_has_said_is_said_by_flags() {
        let mut input = Input::default();
        input.decoding.framing = FramingChoice::JsonArray;
        let settings = RunSettings {
            archive: "s3://events/live".parse().unwrap(),
            target: "orders".parse().unwrap(),
            input,
            limit: None,
            partition_key: Some("/order id".parse().unwrap()),
            key_fallback: None,
            order: Order::Shard,
            aggregate: true,
            seed: 7,
        };
        let mut tuning = Tuning::new("/cache".into());
        (tuning.s3_anonymous, tuning.kinesis.region) = (true, Some("eu-west-1".into()));
        (tuning.share, tuning.max_quarantine) = ("0.5".parse().unwrap(), Some(9));
        let typed = Typed::by_flags(&settings, &tuning, &StateDir::other("/s"));
        let (late, path) = (1, Some("/runs/r1/late.jsonl".to_owned()));
        let report = LateReport { late, path, ..LateReport::default() };
        assert_eq!(
            next_step(&report, &typed).unwrap().command,
            "respool replay s3://events/live --into orders --partition-key '/order id' --order shard --aggregate --slack 0s \
             --framing json-array --anonymous --share 0.5 --max-quarantine 9 --kinesis-region eu-west-1 --state-dir /s \
             --no-plan --objects /runs/r1/late.jsonl"
        );
        assert_eq!(next_step(&LateReport { late: 0, ..report }, &typed), None);
    }
}
