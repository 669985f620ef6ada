//! When a run should not go on because it sets aside too much.
//!
//! As a rule the key was mistyped, and every record would follow. Whoever resumes means it, and is only stopped by a
//! bound of their own.

use std::fmt;

use super::report::number;
use crate::record::many;
use crate::write::checkpoint::Totals;

/// When this many records are set aside, and they are most of all, a run stops before it sets aside everything.
const FLOOD_RECORDS: u64 = 10_000;

/// So much was set aside that the run does not go on unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// More than the user has bounded it to, records and objects.
    Bound {
        /// What is in quarantine.
        set_aside: u64,
        /// The bound.
        max: u64,
    },
    /// Most of the first records.
    Most {
        /// Records in quarantine.
        set_aside: u64,
        /// Records that were looked at.
        of: u64,
    },
}

impl Flood {
    /// Whether `totals` are one, of a run whose bound is `max`. What is set aside is so at once, the others are `unsettled` as long as
    /// shards take them.
    pub fn of(totals: &Totals, unsettled: u64, max: Option<u64>, resumed: bool) -> Option<Self> {
        let set_aside = totals.quarantined + totals.objects_quarantined;
        if let Some(max) = max.filter(|max| set_aside > *max) {
            return Some(Self::Bound { set_aside, max });
        }
        let settled = totals.delivered + totals.quarantined + totals.filtered;
        let (set_aside, of) = (totals.quarantined, settled + unsettled);
        let most = set_aside >= FLOOD_RECORDS && set_aside * 2 > of;
        (most && !resumed).then_some(Self::Most { set_aside, of })
    }
}

impl fmt::Display for Flood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bound { set_aside, max } => write!(
                f,
                "{} in quarantine, more than the {} of --max-quarantine",
                match set_aside {
                    1 => "a record or object is".to_owned(),
                    more => format!("{} and objects are", many(*more, "record")),
                },
                number(*max)
            ),
            Self::Most { set_aside, of } => {
                write!(f, "{} of the first {} went to quarantine", number(*set_aside), many(*of, "record"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_sets_aside_most_is_stopped_once() {
        let totals = |delivered, quarantined| Totals { delivered, quarantined, ..Totals::default() };
        let most = Flood::of(&totals(9_000, 10_000), 999, None, false);
        assert_eq!(most, Some(Flood::Most { set_aside: 10_000, of: 19_999 }));
        assert_eq!(most.unwrap().to_string(), "10,000 of the first 19,999 records went to quarantine");
        assert_eq!(Flood::of(&totals(0, 9_999), 0, None, false), None, "too few to tell");
        assert_eq!(Flood::of(&totals(10_000, 10_000), 0, None, false), None, "not most");
        assert_eq!(
            Flood::of(&totals(0, 10_000), 190_000, None, false),
            None,
            "the others wait for the shards"
        );
        assert_eq!(Flood::of(&totals(0, 10_000), 0, None, true), None, "it was resumed");
    }

    #[test]
    fn a_bound_counts_in_a_resumed_run_too() {
        let totals = Totals { quarantined: 2, objects_quarantined: 1, ..Totals::default() };
        let bound = Some(Flood::Bound { set_aside: 3, max: 2 });
        assert_eq!(Flood::of(&totals, 0, Some(2), true), bound);
        assert_eq!(Flood::of(&totals, 0, Some(3), true), None);
    }
}
