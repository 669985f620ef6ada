//! What a retry has taken of its run's quarantine: its own list of objects says so.
//!
//! A retry need not take everything: not what was sent in part, and with another framing only what is read anew. What one has
//! taken is its own from then on, and what it could not send lies in its own quarantine.

use std::collections::BTreeMap;

use super::super::directory::{self, RunGlance};
use super::super::journal::QuarantineLine;
use crate::archive::manifest::Manifest;
use crate::config::StateDir;
use crate::error::Error;

/// Records of an object, both ends included and in order; `None` for all of them.
type Ranges = Option<Box<[(u32, u32)]>>;

/// Objects and records by the objects' keys.
#[derive(Debug, Default)]
pub struct Taken {
    by_key: BTreeMap<Box<str>, Ranges>,
}

impl Taken {
    /// What the retry `run` has taken.
    pub fn by(run: &RunGlance) -> Result<Self, Error> {
        Ok(Self::of(directory::read_manifest(&run.path)?))
    }

    fn of(manifest: Manifest) -> Self {
        Self { by_key: manifest.objects.into_iter().map(|object| (object.key, object.only)).collect() }
    }

    /// Whether it has taken what `line` is about.
    #[must_use]
    pub fn has(&self, line: &QuarantineLine) -> bool {
        match (self.by_key.get(line.key.as_str()), line.record) {
            (None, _) | (Some(Some(_)), None) => false,
            (Some(None), _) => true,
            (Some(Some(ranges)), Some(record)) => meets(ranges, (record, record)),
        }
    }

    /// Whether some of it is in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.by_key.iter().any(|(key, ranges)| match (ranges, other.by_key.get(key)) {
            (_, None) => false,
            (None, Some(_)) | (Some(_), Some(None)) => true,
            (Some(one), Some(Some(other))) => one.iter().any(|range| meets(other, *range)),
        })
    }
}

/// Whether some of a range lies in `ranges`, which are in order.
fn meets(ranges: &[(u32, u32)], (first, last): (u32, u32)) -> bool {
    let behind = ranges.partition_point(|(_, to)| *to < first);
    ranges.get(behind).is_some_and(|(from, _)| *from <= last)
}

/// The retries of `run`, oldest first. Blocks.
pub fn retries_of(state_dir: &StateDir, run: &RunGlance) -> Result<Vec<RunGlance>, Error> {
    let mut runs = directory::glance_at_all(state_dir)?;
    runs.retain(|other| other.retried() == Some(&run.id));
    Ok(runs)
}

/// Those of `lines` that none of `retries` has taken.
pub fn untaken(retries: &[RunGlance], mut lines: Vec<QuarantineLine>) -> Result<Vec<QuarantineLine>, Error> {
    for retry in retries {
        let taken = Taken::by(retry)?;
        lines.retain(|line| !taken.has(line));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(objects: &[(&str, &[(u32, u32)])]) -> Taken {
        let of = |(key, only): &(&str, &[(u32, u32)])| {
            ((*key).into(), Some(*only).filter(|only| !only.is_empty()).map(Into::into))
        };
        Taken { by_key: objects.iter().map(of).collect() }
    }

    fn line(key: &str, record: Option<u32>) -> QuarantineLine {
        let (key, reason, detail) = (key.to_owned(), "missing".to_owned(), String::new());
        QuarantineLine {
            object: 0,
            record,
            key,
            reason,
            detail,
            offset: None,
            stored: None,
            sent_in_part: false,
        }
    }

    #[test]
    fn a_retry_has_what_its_list_names_and_nothing_else() {
        let taken = taken(&[("whole", &[]), ("part", &[(3, 4), (9, u32::MAX)])]);
        for (key, record, expected) in [
            ("whole", None, true),
            ("whole", Some(7), true),
            ("part", Some(4), true),
            ("part", Some(5), false),
            ("part", Some(12), true),
            ("part", None, false),
            ("other", Some(4), false),
        ] {
            assert_eq!(taken.has(&line(key, record)), expected, "{key} {record:?}");
        }
    }

    #[test]
    fn two_retries_overlap_where_both_have_taken_a_record() {
        let one = taken(&[("a", &[]), ("b", &[(3, 4)])]);
        for (other, expected) in [
            (taken(&[("b", &[(4, 9)])]), true),
            (taken(&[("b", &[(5, 9)]), ("c", &[])]), false),
            (taken(&[("a", &[(1, 1)])]), true),
        ] {
            assert_eq!((one.overlaps(&other), other.overlaps(&one)), (expected, expected), "{other:?}");
        }
    }
}
