//! The retries of a run: what they have sent of its quarantine is the run's own.
//!
//! A retry is a run of its own, with its own list of objects, key and checkpoints, and so may be one of what a retry has set
//! aside in turn. Nothing of it is owned here: one that is sending just now counts as far as its last checkpoint.

use std::path::PathBuf;
use std::sync::Arc;

use super::both_sides::Deliverer;
use super::walk::Standing;
use crate::archive::manifest::Manifest;
use crate::config::{StateDir, TuningChanges, VerifyConfig};
use crate::error::Error;
use crate::run::checkpoint_log;
use crate::run::directory::{self, RunFile};
use crate::run::replay::{Sources, check_unchanged};
use crate::write::checkpoint::Checkpoint;

/// A retry that has sent something.
pub(super) struct Retry {
    pub(super) id: String,
    pub(super) manifest: Arc<Manifest>,
    path: PathBuf,
    file: RunFile,
    checkpoint: Checkpoint,
    is_done: bool,
}

/// The replay that the run `id` belongs to, if it is a retry that is done, into the same stream: what the others of the family
/// have sent is not foreign. Blocks.
pub(super) fn replay_of(state_dir: &StateDir, id: &str) -> Result<Option<String>, Error> {
    let runs = directory::glance_at_all(state_dir)?;
    let of = |id: &str| runs.iter().find(|run| run.id == id);
    let Some(asked) = of(id).filter(|run| !run.is_unfinished()) else { return Ok(None) };
    let mut replay = asked;
    while let Some(retried) = replay.retried().and_then(of) {
        // Each is older than its retries.
        if retried.file.stream != asked.file.stream || retried.file.started > replay.file.started {
            break;
        }
        replay = retried;
    }
    Ok((replay.id != asked.id).then(|| replay.id.clone()))
}

/// The retries of the run `id` into the same stream, and theirs, oldest first. Blocks.
pub(super) fn of(config: &VerifyConfig, id: &str, file: &RunFile) -> Result<Vec<Retry>, Error> {
    let mut family = vec![id.to_owned()];
    let mut retries = Vec::new();
    for run in directory::glance_at_all(&config.state_dir)? {
        let of_family = run.retried().is_some_and(|retried| family.iter().any(|id| id == retried));
        if !of_family || run.file.stream != file.stream {
            continue;
        }
        family.push(run.id.clone());
        let unreadable =
            |error| Error::refused(format!("cannot read the checkpoints of {}", run.id)).with_source(error);
        let Some(checkpoint) = checkpoint_log::newest(&run.path).map_err(unreadable)? else { continue };
        if checkpoint.totals.delivered == 0 {
            continue;
        }
        let manifest = Arc::new(directory::read_manifest(&run.path)?);
        check_unchanged(&run.id, "manifest", &run.file.manifest_digest, &manifest.digest())?;
        let is_done = !run.is_unfinished();
        retries.push(Retry { id: run.id, manifest, path: run.path, file: run.file, checkpoint, is_done });
    }
    Ok(retries)
}

impl Retry {
    /// As one side of the comparison; its objects have numbers from `first_object` on.
    pub(super) async fn deliverer(
        &self,
        changes: &TuningChanges,
        first_object: u32,
        record_bytes_max: usize,
    ) -> Result<Deliverer, Error> {
        let RunFile { settings, tuning, .. } = self.file.clone();
        let tuning = changes.clone().apply(tuning);
        let sources = Sources::open(&settings, &tuning).await?.untold();
        let (spool, segments) = sources.spool(&settings, &tuning, self.manifest.clone())?;
        Ok(Deliverer {
            path: self.path.clone(),
            settings,
            spread: self.file.spread(),
            checkpoint: self.checkpoint.clone(),
            due_in_all: self.is_done,
            due: Standing::Retried,
            first_object,
            spool,
            segments,
            record_bytes_max: self.file.record_bytes_max.unwrap_or(record_bytes_max),
        })
    }
}
