//! From a sample of objects to the whole, with the error of it.
//!
//! An object's size as stored is known from the listing, and what it holds goes with its size. So the estimate is a
//! ratio: what was counted over the size of the objects it was counted in, times the size of all. Its error is how
//! far single objects stray from that ratio, as the theory of sampling has it (Cochran, Sampling Techniques, chapter
//! 6). Compressed and plain objects have ratios of their own. What was read whole has no error.
//!
//! Pure.

use std::path::Path;

use crate::archive::ObjectEntry;

/// How far the beginnings of objects are from the rest of them, as measured: `scripts/plan-check`.
const BEGINNING_BIAS: f64 = 0.005;

/// A quantity and how far off it may be, with 95 % confidence. No error is known of a sample of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The quantity.
    pub value: f64,
    /// It lies so far below or above, 19 times out of 20.
    pub error: Option<f64>,
}

/// Objects of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Population {
    /// How many there are.
    pub objects: f64,
    /// Their size as stored.
    pub stored: f64,
}

/// One object that was looked at: its kind, its size, and what it holds of whatever is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Whether it is compressed, by its name.
    pub compressed: bool,
    /// Its size as stored.
    pub stored: f64,
    /// What was counted; scaled up if only a part was read.
    pub counted: f64,
    /// Whether it was read to its end.
    pub whole: bool,
}

/// The plain and the compressed objects of an archive.
#[expect(clippy::cast_precision_loss, reason = "estimates")]
pub fn populations<'a>(objects: impl Iterator<Item = &'a ObjectEntry>) -> [Population; 2] {
    let mut kinds = [Population::default(); 2];
    for object in objects {
        let kind = &mut kinds[usize::from(looks_compressed(&object.key))];
        kind.objects += 1.0;
        kind.stored += object.size.0 as f64;
    }
    kinds
}

/// By its name only, which is all that is known of an object that was not read.
pub fn looks_compressed(key: &str) -> bool {
    let known = ["gz", "zst", "zip", "bz2", "snappy", "hsnappy", "parquet"];
    let extension = Path::new(key).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| known.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// What all objects hold; `None` if nothing was looked at.
pub fn total(kinds: [Population; 2], sample: &[Observation]) -> Option<Estimate> {
    if sample.is_empty() {
        return None;
    }
    let mut sum = Estimate { value: 0.0, error: Some(0.0) };
    for (kind, compressed) in kinds.into_iter().zip([false, true]) {
        if kind.objects < 1.0 {
            continue;
        }
        let own: Vec<Observation> =
            sample.iter().filter(|seen| seen.compressed == compressed).copied().collect();
        // Nothing of this kind was looked at: the others must do.
        let part = ratio(kind, if own.is_empty() { sample } else { &own });
        sum.value += part.value;
        sum.error = sum.error.zip(part.error).map(|(left, right)| left.hypot(right));
    }
    Some(sum)
}

#[expect(clippy::cast_precision_loss, reason = "a sample has few objects")]
fn ratio(kind: Population, sample: &[Observation]) -> Estimate {
    let stored: f64 = sample.iter().map(|seen| seen.stored).sum();
    let counted: f64 = sample.iter().map(|seen| seen.counted).sum();
    let ratio = counted / stored.max(1.0);
    let value = ratio * kind.stored;
    let size = sample.len() as f64;
    if size >= kind.objects && sample.iter().all(|seen| seen.whole) {
        return Estimate { value, error: Some(0.0) };
    }
    if sample.len() < 2 {
        return Estimate { value, error: None };
    }
    let strays: f64 = sample.iter().map(|seen| (seen.counted - ratio * seen.stored).powi(2)).sum();
    let variance = strays / (size - 1.0);
    // Beginnings stand for objects of which the rest was not seen: as if there were many more of them.
    let left = if sample.iter().all(|seen| seen.whole) { (1.0 - size / kind.objects).max(0.0) } else { 1.0 };
    // If larger objects than usual were met, their strays are larger than usual as well.
    let met = (stored / size) / (kind.stored / kind.objects).max(1e-9);
    let error = student(sample.len() - 1) * kind.objects * (left * variance / size).sqrt() / met.max(1e-9);
    // A beginning stands for its object only so well, however much they agree.
    let bias = if sample.iter().all(|seen| seen.whole) { 0.0 } else { BEGINNING_BIAS * value };
    Estimate { value, error: Some(error.hypot(bias)) }
}

/// The two-sided 95 % quantile of Student's distribution, to a hundredth from three degrees of freedom on.
#[expect(clippy::cast_precision_loss, reason = "few degrees of freedom")]
fn student(freedom: usize) -> f64 {
    match freedom {
        0 | 1 => 12.71,
        2 => 4.303,
        _ => {
            let freedom = freedom as f64;
            1.96 + 2.372 / freedom
                + 2.823 / freedom.powi(2)
                + 2.556 / freedom.powi(3)
                + 1.59 / freedom.powi(4)
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    fn seen(stored: f64, counted: f64) -> Observation {
        Observation { compressed: true, stored, counted, whole: true }
    }

    fn gz(objects: f64, stored: f64) -> [Population; 2] {
        [Population::default(), Population { objects, stored }]
    }

    #[test]
    fn a_constant_ratio_is_exact_whatever_the_sizes() {
        let sample = [seen(100.0, 1_000.0), seen(300.0, 3_000.0), seen(50.0, 500.0)];
        let found = total(gz(1_000.0, 1e6), &sample).unwrap();
        assert!((found.value - 1e7).abs() < 1e-3);
        assert!(found.error.unwrap() < 1e-3);
    }

    #[test]
    fn what_was_read_whole_has_no_error_and_one_object_has_none_that_is_known() {
        let found = total(gz(2.0, 400.0), &[seen(100.0, 10.0), seen(300.0, 90.0)]).unwrap();
        assert_eq!(found, Estimate { value: 100.0, error: Some(0.0) });
        assert_eq!(total(gz(2.0, 400.0), &[seen(100.0, 10.0)]).unwrap().error, None);
        assert_eq!(total(gz(2.0, 400.0), &[]), None);
    }

    #[test]
    fn the_interval_holds_the_truth_nineteen_times_of_twenty() {
        // 5,000 objects, whose records stray from their size by a third.
        let mut dice = fastrand::Rng::with_seed(7);
        let all: Vec<Observation> = (0..5_000)
            .map(|_| {
                let stored = 1_000.0 * (0.2 + dice.f64() * 3.0);
                seen(stored, stored * (2.0 + 2.0 * (dice.f64() - 0.5)))
            })
            .collect();
        let truth: f64 = all.iter().map(|object| object.counted).sum();
        let stored: f64 = all.iter().map(|object| object.stored).sum();
        let trials = 1_000;
        let holds = (0..trials).filter(|_| {
            let sample: Vec<_> = (0..24).map(|_| all[dice.usize(0..all.len())]).collect();
            let found = total(gz(5_000.0, stored), &sample).unwrap();
            (found.value - truth).abs() <= found.error.unwrap()
        });
        let part = holds.count() as f64 / f64::from(trials);
        assert!((0.91..0.98).contains(&part), "{part}");
    }

    #[test]
    fn plain_and_compressed_objects_are_counted_apart() {
        let kinds =
            [Population { objects: 10.0, stored: 1_000.0 }, Population { objects: 10.0, stored: 1_000.0 }];
        let plain = Observation { compressed: false, ..seen(100.0, 10.0) };
        let found = total(kinds, &[plain, seen(100.0, 100.0)]).unwrap();
        assert!((found.value - 1_100.0).abs() < 1e-9);
        // Of one kind nothing was seen: the other stands in for it.
        let found = total(kinds, &[plain, plain]).unwrap();
        assert!((found.value - 200.0).abs() < 1e-9);
    }

    #[test]
    fn students_quantiles_are_those_of_the_tables() {
        for (freedom, expected) in [(3, 3.182), (5, 2.571), (10, 2.228), (30, 2.042), (1_000, 1.962)] {
            assert!((student(freedom) - expected).abs() < 0.01, "{freedom}: {}", student(freedom));
        }
    }
}
