//! Objects that an earlier run has found broken, for a run that may not look at them.
//!
//! A broken object has no segment, so without the archive it could neither be sent nor found broken again. What was found
//! in its bytes is still true as long as it is the same object, read in the same way: such an object is set aside again,
//! for the reason that was found, and the run that has found it is named.

use std::collections::HashMap;
use std::path::Path;

use crate::archive::manifest::Manifest;
use crate::archive::{Etag, ObjectEntry};
use crate::config::Decoding;
use crate::decode::DECODER_VERSION;
use crate::error::Error;
use crate::record::ByteCount;
use crate::run::directory::{self, RunGlance};
use crate::run::journal::quarantine_lines;
use crate::run::remedy::is_in_its_bytes;

/// Stands before the run's name; what was known before has it already.
const KNOWN_FROM: &str = "; known from run ";

/// The objects of one manifest that are known to be broken, by their numbers.
#[derive(Debug, Clone, Default)]
pub struct KnownDefects(HashMap<u32, KnownDefect>);

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownDefect {
    pub(super) reason: String,
    pub(super) detail: String,
}

/// Tells an object from the one that was there before it.
type Identity = (Box<str>, Etag, Option<Box<str>>, ByteCount);

impl KnownDefects {
    /// What the runs below `state_dir` have found in objects of `manifest` that they read as `decoding` says. Of several
    /// runs the oldest is named, which has looked. Blocks.
    pub fn recall(state_dir: &Path, manifest: &Manifest, decoding: Decoding) -> Result<Self, Error> {
        let mut found = HashMap::new();
        for run in directory::glance_at_all(state_dir)? {
            let before = run.file.settings.input.decoding;
            // Who has tried to salvage in vain has found the same as who has not tried.
            let same = before.framing == decoding.framing && (before.salvage || !decoding.salvage);
            if same && run.file.decoder_version == DECODER_VERSION {
                for (identity, defect) in found_by(&run, manifest) {
                    found.entry(identity).or_insert(defect);
                }
            }
        }
        let known = (0..).zip(&manifest.objects).filter_map(|(number, entry)| {
            let defect = found.get(&identity(entry))?;
            Some((number, KnownDefect::clone(defect)))
        });
        Ok(Self(if found.is_empty() { HashMap::new() } else { known.collect() }))
    }

    pub(super) fn of(&self, number: u32) -> Option<&KnownDefect> {
        self.0.get(&number)
    }
}

/// What one run has found in objects of the archive of `manifest`. One that cannot be read any more has found nothing.
fn found_by(run: &RunGlance, manifest: &Manifest) -> Vec<(Identity, KnownDefect)> {
    let lines = quarantine_lines(&run.path).map(|lines| lines.filter(is_in_its_bytes).collect::<Vec<_>>());
    let lines = lines.unwrap_or_default();
    if lines.is_empty() {
        return Vec::new();
    }
    let listed = match directory::read_manifest(&run.path) {
        Ok(listed) if listed.archive.of_keys() == manifest.archive.of_keys() => listed,
        Ok(_) => return Vec::new(),
        Err(error) => {
            tracing::warn!("what run {} has found broken is not known: {error}", run.id);
            return Vec::new();
        }
    };
    let found = lines.into_iter().filter_map(|line| {
        let mut detail = line.detail;
        if !detail.contains(KNOWN_FROM) {
            detail = format!("{detail}{KNOWN_FROM}{} (--offline forbids to look again)", run.id);
        }
        Some((identity(listed.object(line.object)?), KnownDefect { reason: line.reason, detail }))
    });
    found.collect()
}

fn identity(entry: &ObjectEntry) -> Identity {
    (entry.key.clone(), entry.etag.clone(), entry.version.clone(), entry.size)
}
