//! From values to places on an axis, and which of them get a number.

const DAY: f64 = 86_400.0;
/// Numbers on an axis of time, beside the first.
const ELAPSED_TICKS_MAX: f64 = 6.5;
/// Times that are round, in seconds.
const ELAPSED_STEPS: [f64; 19] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    DAY,
    2.0 * DAY,
];

/// How values spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far apart.
    Linear,
    /// Equal ratios are: for shard counts that double.
    Log,
}

/// An axis: what it shows, from where to where.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What is shown, with its unit.
    pub label: String,
    /// How values spread.
    pub scale: Scale,
    /// The values at its ends; the first is the smaller one.
    pub ends: (f64, f64),
    /// The values that get a number, with it.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// A linear axis that holds all of `values` and begins at `from` (or below it, if a value does), with about five
    /// round numbers.
    #[must_use]
    pub fn linear(label: &str, from: f64, values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let (low, high) = finite.fold((from, from), |(low, high), value| (low.min(value), high.max(value)));
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / 4.0);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let mut ticks = Vec::new();
        let mut at = first;
        while at <= last {
            ticks.push((at * step, short(at * step)));
            at += 1.0;
        }
        Self { label: label.into(), scale: Scale::Linear, ends: (first * step, last * step), ticks }
    }

    /// An axis of ratios that holds all of the positive `values`, with a number at each power of ten.
    #[must_use]
    pub fn log(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = positive_ends(values);
        let (first, last) = (low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0));
        let mut ticks = Vec::new();
        let mut power = first;
        while power <= last {
            let value = 10_f64.powf(power);
            ticks.push((value, short(value)));
            power += 1.0;
        }
        let ends = (10_f64.powf(first), 10_f64.powf(last));
        Self { label: label.into(), scale: Scale::Log, ends, ticks }
    }

    /// An axis of ratios with a number at each of `values`, which are those that were measured.
    #[must_use]
    pub fn steps(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|value| *value > 0.0).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let (low, high) = positive_ends(values.iter().copied());
        // A single value stands in the middle.
        let ends = if high > low { (low, high) } else { (low / 2.0, high * 2.0) };
        let ticks = values.into_iter().map(|value| (value, short(value))).collect();
        Self { label: label.into(), scale: Scale::Log, ends, ticks }
    }

    /// An axis of `seconds`, with at most about six round numbers in a unit that fits.
    #[must_use]
    pub fn elapsed(label: &str, seconds: f64) -> Self {
        let seconds = if seconds.is_finite() && seconds > 0.0 { seconds } else { 1.0 };
        let fits = |step: &f64| seconds / step <= ELAPSED_TICKS_MAX;
        let step = ELAPSED_STEPS.into_iter().find(fits).unwrap_or_else(|| {
            let days = (seconds / ELAPSED_TICKS_MAX / DAY).ceil();
            days * DAY
        });
        let (unit, length) = match step {
            step if step < 60.0 => ("seconds", 1.0),
            step if step < 3_600.0 => ("minutes", 60.0),
            step if step < DAY => ("hours", 3_600.0),
            _ => ("days", DAY),
        };
        let mut ticks = Vec::new();
        let mut at = 0.0;
        while at <= seconds {
            ticks.push((at, short(at / length)));
            at += step;
        }
        Self { label: format!("{label}, {unit}"), scale: Scale::Linear, ends: (0.0, seconds), ticks }
    }

    /// Where `value` lies: 0 at the beginning, 1 at the end; what lies outside is put at the nearer end.
    #[must_use]
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = self.ends;
        let part = match self.scale {
            Scale::Linear => (value - low) / (high - low),
            Scale::Log => (value.max(f64::MIN_POSITIVE) / low).ln() / (high / low).ln(),
        };
        if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 }
    }
}

fn positive_ends(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let positive = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
    let ends = positive.fold(None, |ends: Option<(f64, f64)>, value| {
        let (low, high) = ends.unwrap_or((value, value));
        Some((low.min(value), high.max(value)))
    });
    ends.unwrap_or((1.0, 10.0))
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().find(|factor| factor * power >= least * 0.999_999);
    factor.unwrap_or(10.0) * power
}

/// A number for an axis: `0.5`, `20`, `1,500`, `20 k`, `1.5 M`.
#[must_use]
pub fn short(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        size if size >= 999_999_500.0 => (value / 1e9, " G"),
        size if size >= 999_999.5 => (value / 1e6, " M"),
        size if size >= 9_999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let text = format!("{scaled:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = match text.len() {
        4 if scaled >= 1_000.0 => format!("{},{}", &text[..1], &text[1..]),
        _ => text.to_owned(),
    };
    format!("{}{unit}", if text == "-0" { "0" } else { &text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, text)| text.as_str()).collect()
    }

    #[test]
    fn a_linear_axis_has_round_numbers_and_room_for_every_value() {
        assert_eq!(numbers(&Axis::linear("x", 0.0, [3.0, 97.0])), ["0", "25", "50", "75", "100"]);
        assert_eq!(numbers(&Axis::linear("x", 0.0, [0.031])), ["0", "0.01", "0.02", "0.03", "0.04"]);
        assert_eq!(numbers(&Axis::linear("x", 90.0, [97.5, 100.0])), ["90", "92.5", "95", "97.5", "100"]);
        assert_eq!(numbers(&Axis::linear("x", 90.0, [71.0, 100.0])), ["70", "80", "90", "100"]);
        assert_eq!(numbers(&Axis::linear("x", 0.0, [])), ["0", "0.25", "0.5", "0.75", "1"]);
        let odd = Axis::linear("x", 0.0, [f64::NAN, f64::INFINITY, 2.0]);
        assert_eq!(odd.ends, (0.0, 2.0));
    }

    #[test]
    fn an_axis_of_ratios_has_powers_of_ten_or_what_was_measured() {
        assert_eq!(numbers(&Axis::log("x", [980.0, 125_000.0])), ["100", "1,000", "10 k", "100 k", "1 M"]);
        assert_eq!(numbers(&Axis::log("x", [10.0])), ["10", "100"]);
        let steps = Axis::steps("x", [4.0, 1.0, 2.0, 2.0]);
        assert_eq!(numbers(&steps), ["1", "2", "4"]);
        assert!((steps.place(2.0) - 0.5).abs() < 1e-9);
        assert!((Axis::steps("x", [7.0]).place(7.0) - 0.5).abs() < 1e-9);
        assert_eq!(numbers(&Axis::steps("x", [])), Vec::<&str>::new());
    }

    #[test]
    fn time_is_told_in_the_unit_that_fits() {
        let axis = |seconds| Axis::elapsed("running", seconds);
        assert_eq!(numbers(&axis(41.0)), ["0", "10", "20", "30", "40"]);
        assert_eq!(axis(41.0).label, "running, seconds");
        assert_eq!(numbers(&axis(1_000.0)), ["0", "5", "10", "15"]);
        assert_eq!(axis(1_000.0).label, "running, minutes");
        assert_eq!(numbers(&axis(86_400.0)), ["0", "6", "12", "18", "24"]);
        assert_eq!(numbers(&axis(21.0 * DAY)), ["0", "4", "8", "12", "16", "20"]);
        assert_eq!(axis(21.0 * DAY).label, "running, days");
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(numbers(&axis(odd)), ["0", "1"]);
        }
    }

    #[test]
    fn a_place_is_always_on_the_axis() {
        for axis in
            [Axis::linear("x", 0.0, [10.0]), Axis::log("x", [1.0, 100.0]), Axis::steps("x", [1.0, 8.0])]
        {
            for value in [f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 1.0, 1e300, f64::INFINITY] {
                assert!((0.0..=1.0).contains(&axis.place(value)), "{axis:?} {value}");
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.25, "0.25"),
            (7.0, "7"),
            (980.0, "980"),
            (1_500.0, "1,500"),
            (9_999.0, "9,999"),
            (20_000.0, "20 k"),
            (999_999.9, "1 M"),
            (1_500_000.0, "1.5 M"),
            (2e9, "2 G"),
            (-0.001, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text, "{value}");
        }
    }
}
