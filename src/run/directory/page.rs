//! What lies beside the report: the run over time, the page that is drawn from it, and the plan to hold them against.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use serde::Deserialize;

use super::{PLAN_FILE, RunDirectory, read_json, write_file};
use crate::config::PlanFigures;
use crate::error::Error;
use crate::run::timeline::Timeline;

const PAGE_FILE: &str = "report.html";
const TIMELINE_FILE: &str = "timeline.json";

/// What the report wants of the plan, whatever version of it the run has kept.
#[derive(Deserialize)]
struct Planned {
    figures: PlanFigures,
    #[serde(default)]
    others: Vec<PlanFigures>,
}

impl RunDirectory {
    /// What the plan that is carried out says of so many shards, or of the number nearest to it that it has looked at; if
    /// there is a plan.
    pub fn planned(&self, shards: u32) -> Option<PlanFigures> {
        let Planned { figures, others } = read_json(&self.path.join(PLAN_FILE)).unwrap_or_default()?;
        // Twice as many are as far as half.
        let distance =
            |other: &PlanFigures| (f64::from(other.shards.max(1)) / f64::from(shards.max(1))).ln().abs();
        let all = std::iter::once(figures).chain(others);
        all.min_by(|one, other| distance(one).total_cmp(&distance(other)))
    }

    /// Where the report for a browser is, or will be.
    pub fn page(&self) -> PathBuf {
        self.path.join(PAGE_FILE)
    }

    /// Leaves what belongs to the report: the run over time, and the page for a browser.
    pub fn write_page(&self, timeline: &Timeline, page: &str) -> Result<(), Error> {
        let lines = |file: &mut File| Ok(serde_json::to_writer(file, timeline)?);
        write_file(&self.path.join(TIMELINE_FILE), lines)?;
        write_file(&self.page(), |file| file.write_all(page.as_bytes()))
    }

    /// The run over time, as earlier processes have left it; an empty one if it cannot be read.
    pub fn timeline(&self) -> Timeline {
        let found = read_json::<Timeline>(&self.path.join(TIMELINE_FILE)).unwrap_or_else(|error| {
            tracing::warn!("the report will not show what happened before: {error}");
            None
        });
        found.filter(Timeline::is_sound).unwrap_or_default()
    }
}
