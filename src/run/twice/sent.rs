//! What a run has really sent of objects that are wanted once more: neither what it has set aside, nor what it was not to look at.

use std::collections::BTreeMap;

use crate::archive::ObjectEntry;
use crate::error::Error;
use crate::run::checkpoint_log;
use crate::run::directory::RunGlance;
use crate::run::journal::{ledger_lines, quarantine_lines};

/// Records, both ends included.
type Range = (u32, u32);

/// An object as the run had it, and as it is wanted once more.
type Common<'a> = Option<(&'a ObjectEntry, &'a ObjectEntry)>;

/// How many of the objects of `run`, in its order, have a record that is wanted and that it has sent. Blocks.
pub(super) fn objects_sent(run: &RunGlance, common: &[Common<'_>]) -> Result<usize, Error> {
    let unreadable =
        |error| Error::refused(format!("cannot read what run {} has sent", run.id)).with_source(error);
    let mut delivered = vec![false; common.len()];
    let mut note = |object: u32, count: u32| {
        if let Some(delivered) = delivered.get_mut(object as usize) {
            *delivered = count > 0;
        }
    };
    for line in ledger_lines(&run.path).map_err(unreadable)? {
        note(line.object, line.ledger.delivered);
    }
    let checkpoint = checkpoint_log::newest(&run.path).map_err(unreadable)?;
    for (object, ledger) in checkpoint.iter().flat_map(|checkpoint| &checkpoint.open_objects) {
        note(*object, ledger.delivered);
    }
    let wanted = |object: u32| common.get(object as usize).copied().flatten();
    let mut set_aside: BTreeMap<u32, Vec<Range>> = BTreeMap::new();
    for line in quarantine_lines(&run.path).map_err(unreadable)? {
        let in_part = wanted(line.object).is_some_and(|(_, wanted)| wanted.only.is_some());
        if let Some(record) = line.record.filter(|_| in_part) {
            let last = if line.reason == "salvaged" { u32::MAX } else { record };
            set_aside.entry(line.object).or_default().push((record, last));
        }
    }
    let sent = |(object, delivered): (u32, bool)| {
        let Some((had, wanted)) = wanted(object).filter(|_| delivered) else { return false };
        let Some(wanted) = wanted.only.as_deref() else { return true };
        let mut set_aside = set_aside.get(&object).cloned().unwrap_or_default();
        set_aside.sort_unstable();
        let all = [(0, u32::MAX)];
        let had = had.only.as_deref().unwrap_or(&all);
        common_to(wanted, had).any(|range| !covers(&set_aside, range))
    };
    Ok((0..).zip(delivered).filter(|&object| sent(object)).count())
}

/// What is in both, which are sorted.
fn common_to<'a>(mut one: &'a [Range], mut other: &'a [Range]) -> impl Iterator<Item = Range> + 'a {
    std::iter::from_fn(move || {
        loop {
            let ((left, left_rest), (right, right_rest)) = (one.split_first()?, other.split_first()?);
            let (first, last) = (left.0.max(right.0), left.1.min(right.1));
            if left.1 <= right.1 {
                one = left_rest;
            } else {
                other = right_rest;
            }
            if first <= last {
                return Some((first, last));
            }
        }
    })
}

/// Whether all of a range lies in `ranges`, which are sorted.
fn covers(ranges: &[Range], (first, last): Range) -> bool {
    let mut next = first;
    let behind = ranges.partition_point(|(_, to)| *to < first);
    for &(from, to) in ranges.iter().skip(behind) {
        if from > next {
            break;
        }
        if to >= last {
            return true;
        }
        next = next.max(to.saturating_add(1));
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_both_and_is_not_covered_was_sent() {
        let all = [(0, u32::MAX)];
        let found = |one: &[Range], other: &[Range]| common_to(one, other).collect::<Vec<_>>();
        assert_eq!(found(&[(3, 5), (9, 9)], &all), [(3, 5), (9, 9)]);
        assert_eq!(found(&[(3, 5), (9, u32::MAX)], &[(0, 3), (5, 10)]), [(3, 3), (5, 5), (9, 10)]);
        assert!(found(&[(3, 5)], &[(6, 7)]).is_empty());
        for (ranges, range, expected) in [
            (&[(3, 3), (4, 5)][..], (3, 5), true),
            (&[(3, 3), (5, 5)], (3, 5), false),
            (&[(3, 3), (5, 5)], (5, 5), true),
            (&[(3, u32::MAX)], (7, u32::MAX), true),
            (&[(3, 9)], (7, u32::MAX), false),
            (&[], (0, 0), false),
        ] {
            assert_eq!(covers(ranges, range), expected, "{ranges:?} {range:?}");
        }
    }
}
