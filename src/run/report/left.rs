//! What a retry has left where it was: in the quarantine of the run that it retries, for another one or for nobody.

use serde::{Deserialize, Serialize};

use super::Report;
use crate::record::{agree, many};

/// Entries that no retry has taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftReport {
    /// Records.
    pub records: u64,
    /// Whole objects.
    pub objects: u64,
}

impl Report {
    /// `2 records and 1 whole object stay in the quarantine of run r1`, if anything does.
    pub(super) fn stays(&self) -> Option<String> {
        let LeftReport { records, objects } = self.left?;
        let parts = [(records, "record"), (objects, "whole object")];
        let parts: Vec<_> = parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| many(count, what))
            .collect();
        let run = self.retries.as_deref().unwrap_or_default();
        let stay = agree(records + objects, "stays", "stay");
        Some(format!("{} {stay} in the quarantine of run {run}", parts.join(" and ")))
    }
}
