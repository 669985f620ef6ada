//! The runs of this machine that have written into a stream: what each put where, and whether it was read.

use std::collections::BTreeMap;
use std::path::Path;

use super::drained::Replayed;
use crate::error::Error;
use crate::run::checkpoint_log;
use crate::run::directory::{self, RunGlance, StreamIdentity};
use crate::stream::StreamDescription;

/// A run and what it has put into the stream.
#[derive(Debug)]
pub struct RunInto {
    /// The run.
    pub glance: RunGlance,
    /// Records that it has delivered.
    pub delivered: u64,
    /// What it has put into each shard.
    pub shards: BTreeMap<String, Replayed>,
}

impl RunInto {
    /// A look at what the run has left on the disk.
    pub fn of(glance: RunGlance) -> Result<Self, Error> {
        let checkpoint = checkpoint_log::newest(&glance.path).map_err(|error| {
            Error::refused(format!("cannot read the checkpoints of {}", glance.id)).with_source(error)
        })?;
        let delivered = checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.totals.delivered);
        let shards = checkpoint.into_iter().flat_map(|checkpoint| checkpoint.shards);
        let shards = shards.map(|(shard, ledger)| {
            let last_records = match ledger.last_records {
                // Without aggregates each record has a number of its own.
                0 if !glance.file.settings.aggregate => Some(1),
                0 => None,
                count => Some(count),
            };
            (shard.to_string(), Replayed { records: ledger.records, last: ledger.last, last_records })
        });
        let shards = shards.collect();
        Ok(Self { delivered, shards, glance })
    }

    /// Whether a process works on it now.
    pub fn is_running(&self) -> bool {
        self.glance.owner.is_some()
    }

    /// Whether a worker was seen to have read all that the run has delivered by now.
    pub fn is_drained(&self) -> bool {
        self.delivered == 0
            || self.glance.drained().is_some_and(|drained| drained.delivered == self.delivered)
    }

    /// `running`, `done`, or what else is to be said of it.
    pub fn state(&self) -> &'static str {
        match (self.is_running(), self.glance.is_unfinished()) {
            (true, _) => "running",
            (false, true) => "unfinished",
            (false, false) => "done",
        }
    }
}

/// All runs into the stream, oldest first.
pub fn runs_into(state_dir: &Path, stream: &StreamIdentity) -> Result<Vec<RunInto>, Error> {
    let runs = directory::glance_at_all(state_dir)?;
    runs.into_iter().filter(|run| run.file.stream == *stream).map(RunInto::of).collect()
}

/// By what a run knows a stream again.
#[must_use]
pub fn identity(stream: &StreamDescription) -> StreamIdentity {
    StreamIdentity { name: stream.name.clone(), arn: stream.arn.clone(), created_ms: stream.created_ms }
}

/// What all of them together have put into each shard.
#[must_use]
pub fn replayed(runs: &[RunInto]) -> BTreeMap<String, Replayed> {
    let mut all: BTreeMap<String, Replayed> = BTreeMap::new();
    for (shard, replayed) in runs.iter().flat_map(|run| &run.shards) {
        let Some(known) = all.get_mut(shard) else {
            all.insert(shard.clone(), replayed.clone());
            continue;
        };
        let records = known.records + replayed.records;
        if replayed.last > known.last {
            known.clone_from(replayed);
        }
        known.records = records;
    }
    all
}
