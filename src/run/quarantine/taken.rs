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

    /// Whether it has taken all that `other` has.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.by_key.iter().all(|(key, ranges)| match (self.by_key.get(key), ranges) {
            (Some(None), _) => true,
            (None, _) | (Some(Some(_)), None) => false,
            (Some(Some(own)), Some(ranges)) => ranges.iter().all(|range| is_within(own, *range)),
        })
    }
}

/// Whether some of a range lies in `ranges`, which are in order.
fn meets(ranges: &[(u32, u32)], (first, last): (u32, u32)) -> bool {
    let behind = ranges.partition_point(|(_, to)| *to < first);
    ranges.get(behind).is_some_and(|(from, _)| *from <= last)
}

/// Whether all of a range lies in `ranges`, which are in order and may follow close upon each other.
fn is_within(ranges: &[(u32, u32)], (first, last): (u32, u32)) -> bool {
    let mut missing = first;
    for &(from, to) in ranges.iter().filter(|(_, to)| *to >= first) {
        if from > missing || to >= last {
            return from <= missing;
        }
        missing = to + 1;
    }
    false
}

/// The retries of `run`, oldest first. Blocks.
pub fn retries_of(state_dir: &StateDir, run: &RunGlance) -> Result<Vec<RunGlance>, Error> {
    let mut runs = directory::glance_at_all(state_dir)?;
    runs.retain(|other| other.retried() == Some(&run.id));
    Ok(runs)
}

/// Those of `lines` that none of `retries` has taken.
pub fn untaken<'a>(
    retries: impl IntoIterator<Item = &'a RunGlance>,
    mut lines: Vec<QuarantineLine>,
) -> Result<Vec<QuarantineLine>, Error> {
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
        QuarantineLine::of(0, record, key, "missing")
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
    fn a_retry_covers_another_whose_every_record_it_has_taken() {
        let one = taken(&[("a", &[]), ("b", &[(3, 4), (5, 9), (12, u32::MAX)])]);
        for (other, expected) in [
            (taken(&[("b", &[(4, 8)])]), true),
            (taken(&[("b", &[(3, 3), (14, u32::MAX)]), ("a", &[(1, 1)])]), true),
            (taken(&[("b", &[(8, 12)])]), false),
            (taken(&[("b", &[(1, 3)])]), false),
            (taken(&[("b", &[])]), false),
            (taken(&[("a", &[]), ("c", &[(1, 1)])]), false),
            (taken(&[]), true),
        ] {
            assert_eq!(one.covers(&other), expected, "{other:?}");
        }
        assert!(one.covers(&one));
    }
}
