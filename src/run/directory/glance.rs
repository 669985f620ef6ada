//! A look at a run from outside: nothing is owned, and nothing but what a worker has read is noted.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{DRAINED_FILE, Drained, PLAN_FILE, RunFile, TABLE_FILE, TYPED_FILE, read_json, write_json};
use crate::config::{PlannedLive, RunSettings, Typed};
use crate::error::Error;
use crate::run::checkpoint_log;
use crate::run::journal::QUARANTINE_FILE;
use crate::run::report::RunState;

/// What a look at a run's directory shows, without owning it.
#[derive(Debug)]
pub struct RunGlance {
    /// The run's name.
    pub id: String,
    /// Where its files lie.
    pub path: PathBuf,
    /// What defines it.
    pub file: RunFile,
    /// The process that owns it now.
    pub owner: Option<String>,
    /// The last report, as JSON.
    pub report: Option<serde_json::Value>,
}

impl RunGlance {
    /// That a worker has read everything, if that was seen.
    pub fn drained(&self) -> Option<Drained> {
        super::drained(&self.path)
    }

    /// Notes that a worker has read everything.
    pub fn note_drained(&self, drained: &Drained) -> Result<(), Error> {
        write_json(&self.path.join(DRAINED_FILE), drained)
    }

    /// The worker's table that has shown to be about the run's stream.
    pub fn seen_table(&self) -> Option<SeenTable> {
        read_json(&self.path.join(TABLE_FILE)).unwrap_or_default()
    }

    /// Notes that a table has shown to be.
    pub fn note_table(&self, table: &SeenTable) -> Result<(), Error> {
        write_json(&self.path.join(TABLE_FILE), table)
    }

    /// Whether something is left to do: no report says `done`.
    pub fn is_unfinished(&self) -> bool {
        !self.report.as_ref().is_some_and(says_done)
    }

    /// How it stands. One that was killed has left no report, or an earlier one.
    pub fn state(&self) -> RunState {
        match (&self.owner, self.report.as_ref().and_then(state_in)) {
            (Some(_), _) => RunState::Running,
            (None, state) => state.unwrap_or(RunState::Incomplete),
        }
    }

    /// Records that its report says were delivered.
    pub fn delivered(&self) -> u64 {
        let records = self.report.as_ref().and_then(|report| report.get("records"));
        records
            .and_then(|records| records.get("delivered"))
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_default()
    }

    /// Records that were delivered, by its last checkpoint: a run that was killed has left no report, and one under way
    /// none yet.
    pub fn delivered_so_far(&self) -> u64 {
        let checkpoint = checkpoint_log::newest(&self.path).ok().flatten();
        checkpoint.map_or(0, |checkpoint| checkpoint.totals.delivered).max(self.delivered())
    }

    /// Whether `other` is about the same records of the same archive, by what both were told.
    pub fn chooses_as(&self, other: &Self) -> bool {
        let (one, other) = (&self.file.settings, &other.file.settings);
        one.archive == other.archive
            && one.limit == other.limit
            && one.input.selection == other.input.selection
            && one.input.objects == other.input.objects
            && one.input.event_time == other.input.event_time
    }

    /// Whether it sends what another run has set aside.
    pub fn is_retry(&self) -> bool {
        quarantine_in(&self.file.settings).is_some()
    }

    /// When the plan was made that it carries out, if it carries out one.
    pub fn planned(&self) -> Option<Timestamp> {
        let plan: Option<Plan> = read_json(&self.path.join(PLAN_FILE)).unwrap_or_default();
        plan.map(|plan| plan.created)
    }

    /// What the plan that it carries out knows of the stream that the worker leaves meanwhile, whatever version of it was kept.
    pub fn planned_live(&self) -> PlannedLive {
        let plan: Option<LiveInPlan> = read_json(&self.path.join(PLAN_FILE)).unwrap_or_default();
        plan.map(|plan| plan.live).unwrap_or_default()
    }

    /// The run whose quarantine it sends.
    pub fn retried(&self) -> Option<&str> {
        retried(&self.file.settings)
    }
}

/// The command that has begun the run in `directory`, if it is known.
pub fn typed(directory: &Path) -> Option<Typed> {
    read_json(&directory.join(TYPED_FILE)).unwrap_or_default()
}

/// A worker's table of leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTable {
    /// Its name.
    pub table: String,
    /// The endpoint at which it was seen.
    pub at: String,
}

#[derive(Deserialize)]
struct Plan {
    created: Timestamp,
}

#[derive(Deserialize)]
struct LiveInPlan {
    #[serde(default)]
    live: PlannedLive,
}

/// The run whose quarantine a run with `settings` sends.
pub fn retried(settings: &RunSettings) -> Option<&str> {
    let list = quarantine_in(settings)?;
    list.ancestors().nth(Path::new(QUARANTINE_FILE).components().count())?.file_name()?.to_str()
}

fn quarantine_in(settings: &RunSettings) -> Option<&Path> {
    settings.input.objects.as_deref().filter(|objects| objects.ends_with(QUARANTINE_FILE))
}

pub(super) fn says_done(report: &serde_json::Value) -> bool {
    state_in(report) == Some(RunState::Done)
}

fn state_in(report: &serde_json::Value) -> Option<RunState> {
    RunState::deserialize(report.get("state")?).ok()
}
