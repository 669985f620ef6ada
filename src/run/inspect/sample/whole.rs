//! From the records of a few objects to those of all, and how far that may be off.
//!
//! Records go with stored bytes, but a byte of a compressed object holds some ten times as many as one of a plain one:
//! both are carried to the whole apart. How much the sampled objects differ among themselves says how much the others may.

use crate::archive::ObjectEntry;
use crate::run::estimate::looks_compressed;

/// What one object held.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) compressed: bool,
    pub(super) stored: u64,
    pub(super) records: u32,
}

/// Records of `objects`, and two standard errors as a part of them; no error if too few were looked at.
pub(super) fn records(looks: &[Look], objects: &[ObjectEntry]) -> Option<(u64, Option<f64>)> {
    if looks.is_empty() {
        return None;
    }
    let (mut total, mut variance) = (0.0, Some(0.0));
    for compressed in [false, true] {
        let of_class = |object: &&ObjectEntry| looks_compressed(object) == compressed;
        let sizes: Vec<f64> = objects.iter().filter(of_class).map(|object| float(object.size.0)).collect();
        let seen: Vec<Look> = looks.iter().filter(|look| look.compressed == compressed).copied().collect();
        if sizes.iter().sum::<f64>() == 0.0 {
            continue;
        }
        // Of a kind that was not looked at there is nothing better than the others.
        let (part, squares) = carry(if seen.is_empty() { looks } else { &seen }, &sizes);
        total += part;
        variance = variance.zip(squares.filter(|_| !seen.is_empty())).map(|(sum, part)| sum + part);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate, and not negative"
    )]
    let records = total.round() as u64;
    Some((records, variance.map(|variance| if total > 0.0 { 2.0 * variance.sqrt() / total } else { 0.0 })))
}

/// The ratio estimate for objects of these `sizes`, and its variance.
fn carry(looks: &[Look], sizes: &[f64]) -> (f64, Option<f64>) {
    let whole: f64 = sizes.iter().sum();
    let stored: f64 = looks.iter().map(|look| float(look.stored)).sum();
    let ratio = looks.iter().map(|look| f64::from(look.records)).sum::<f64>() / stored.max(1.0);
    let total = ratio * whole;
    let (count, of) = (float(looks.len() as u64), float(sizes.len() as u64));
    if count >= of {
        return (total, Some(0.0));
    }
    if looks.len() < 2 {
        return (total, None);
    }
    let residual = |look: &Look| (f64::from(look.records) - ratio * float(look.stored)).powi(2);
    let spread = looks.iter().map(residual).sum::<f64>() / (count - 1.0);
    // By what the whole is to the sample's mean, with the correction for a sample that is a part of it.
    let scale = whole / (stored / count).max(1.0);
    (total, Some(scale * scale * spread / count * (1.0 - count / of)))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {

    use super::*;

    fn look(name: &str, stored: u64, records: u32) -> Look {
        Look { compressed: looks_compressed(&ObjectEntry::of(name, stored)), stored, records }
    }

    #[test]
    fn plain_and_compressed_objects_are_carried_to_the_whole_apart() {
        let mut objects: Vec<_> = (0..90).map(|n| ObjectEntry::of(&format!("{n}.gz"), 1_000)).collect();
        objects.extend((0..10).map(|n| ObjectEntry::of(&format!("{n}.json"), 10_000)));
        let looks = [
            look("a.gz", 1_000, 100),
            look("b.gz", 1_000, 100),
            look("a", 10_000, 100),
            look("b", 10_000, 100),
        ];
        assert_eq!(records(&looks, &objects), Some((100 * 100, Some(0.0))));
    }

    #[test]
    fn the_error_is_what_the_sample_differs_by() {
        let objects: Vec<_> = (0..100).map(|n| ObjectEntry::of(&format!("{n}.gz"), 1_000)).collect();
        let (total, error) = records(&[look("a.gz", 1_000, 50), look("b.gz", 1_000, 150)], &objects).unwrap();
        assert_eq!(total, 10_000);
        assert!((0.9..1.1).contains(&error.unwrap()), "{error:?}");
        assert_eq!(records(&[look("a.gz", 1_000, 50)], &objects), Some((5_000, None)), "one tells nothing");
        assert_eq!(records(&[], &objects), None);
        let all: Vec<_> = (0..100).map(|n| look("a.gz", 1_000, n)).collect();
        assert_eq!(records(&all, &objects), Some((4_950, Some(0.0))));
    }
}
