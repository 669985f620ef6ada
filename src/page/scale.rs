//! From values to places on an axis, and which of them get a number.

use jiff::Timestamp;

const DAY: f64 = 86_400.0;
/// The shortest time between two numbers on an axis of dates: they are told to the minute.
const DATE_STEP_MIN: f64 = 60.0;
/// Numbers on an axis of dates, beside the first.
const DATE_TICKS_MAX: f64 = 4.5;
/// A span in which the day of a month is told; beyond it days of two years would look alike.
const DAYS_SPAN_MAX: f64 = 300.0 * DAY;
/// Digits behind the point, at most.
const DECIMALS_MAX: usize = 9;
/// Numbers on an axis of time, beside the first.
const ELAPSED_TICKS_MAX: f64 = 6.5;
/// Times that are round, in seconds.
const ELAPSED_STEPS: [f64; 25] = [
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
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
            ticks.push((at * step, tick(at * step, step)));
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
        let ticks = multiples(step, (0.0, seconds)).map(|at| (at, tick(at / length, step / length)));
        let label = format!("{label}, {unit}");
        Self { label, scale: Scale::Linear, ends: (0.0, seconds), ticks: ticks.collect() }
    }

    /// An axis of the time between two instants, in seconds since 1970, with at most about five round ones in UTC.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a time on a calendar")]
    pub fn dates(note: &str, from: f64, until: f64) -> Self {
        let span = (until - from).max(DATE_STEP_MIN);
        let fits = |step: &f64| *step >= DATE_STEP_MIN && *step <= DAY && span / step <= DATE_TICKS_MAX;
        let step = ELAPSED_STEPS
            .into_iter()
            .find(fits)
            .unwrap_or_else(|| round_step(span / DATE_TICKS_MAX / DAY).ceil() * DAY);
        let time = |at: f64| Timestamp::from_second(at as i64).unwrap_or(Timestamp::UNIX_EPOCH);
        let day = |at: f64| time(at).strftime("%Y-%m-%d").to_string();
        let one_day = day(from) == day(until - 1.0);
        let format = match step {
            step if step < DAY && one_day => "%H:%M",
            step if step < DAY => "%d %H:%M",
            _ if span < DAYS_SPAN_MAX => "%b %d",
            _ => "%b %Y",
        };
        let label = if one_day { format!("{} UTC, {note}", day(from)) } else { format!("UTC, {note}") };
        let ticks =
            multiples(step, (from, until)).map(|at| (at, time(at).strftime(format).to_string())).collect();
        Self { label, scale: Scale::Linear, ends: (from, until), ticks }
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

/// The multiples of `step` between two values.
fn multiples(step: f64, (low, high): (f64, f64)) -> impl Iterator<Item = f64> {
    let first = (low / step).ceil();
    let next = move |number: &f64| Some(number + 1.0);
    std::iter::successors(Some(first), next)
        .map(move |number| number * step)
        .take_while(move |at| *at <= high)
}

/// The unit in which so many bytes are told, and its size.
#[must_use]
pub fn unit_of_bytes(most: f64) -> (&'static str, f64) {
    match most {
        most if most >= 1e12 => ("TB", 1e12),
        most if most >= 1e9 => ("GB", 1e9),
        most if most >= 1e6 => ("MB", 1e6),
        most if most >= 1e3 => ("kB", 1e3),
        _ => ("bytes", 1.0),
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

/// A number for an axis: `0.5`, `20`, `1,500`, `20 k`, `1.5 M`; below a tenth its first two digits, `0.0025`.
#[must_use]
pub fn short(value: f64) -> String {
    let (scaled, unit) = scaled(value);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let decimals = match scaled.abs() {
        size if size > 0.0 && size < 0.1 => (1.0 - size.log10().floor()) as usize,
        _ => 2,
    };
    written(scaled, unit, decimals)
}

/// The number at `value` on an axis with one at each `step`: no two are written alike.
fn tick(value: f64, step: f64) -> String {
    let (scaled, unit) = scaled(value);
    let mut step = if value == 0.0 { step } else { step * scaled / value };
    let mut decimals = 0;
    while decimals < DECIMALS_MAX && (step - step.round()).abs() > 1e-6 * step {
        (step, decimals) = (step * 10.0, decimals + 1);
    }
    written(scaled, unit, decimals)
}

/// The value in thousands and the like, from five digits on.
fn scaled(value: f64) -> (f64, &'static str) {
    match value.abs() {
        size if size >= 999_999_500.0 => (value / 1e9, " G"),
        size if size >= 999_999.5 => (value / 1e6, " M"),
        size if size >= 9_999.5 => (value / 1e3, " k"),
        _ => (value, ""),
    }
}

fn written(scaled: f64, unit: &str, decimals: usize) -> String {
    let text = format!("{scaled:.*}", decimals.clamp(1, DECIMALS_MAX));
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
        assert_eq!(numbers(&axis(0.31)), ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3"]);
        for odd in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(numbers(&axis(odd)), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        }
    }

    #[test]
    fn no_number_stands_on_an_axis_twice() {
        for most in [1.58e-4, 0.0021, 0.0125, 0.031, 0.9, 3.0, 12.5, 9_990.0, 12_345.0, 1_234_567.0, 4e12] {
            let axis = Axis::linear("x", 0.0, [most]);
            let mut texts = numbers(&axis);
            assert!(texts.len() > 2, "{axis:?}");
            texts.dedup();
            assert_eq!(texts.len(), axis.ticks.len(), "{axis:?}");
        }
        assert_eq!(numbers(&Axis::linear("x", 0.0, [0.0125])), ["0", "0.005", "0.01", "0.015"]);
        assert_eq!(numbers(&Axis::log("x", [0.002])), ["0.001", "0.01"]);
    }

    #[test]
    fn dates_are_round_and_each_stands_there_once() {
        const AT: f64 = 1_782_882_000.0;
        let axis = |seconds| Axis::dates("1 min a column", AT, AT + seconds);
        assert_eq!(numbers(&axis(120.0)), ["05:00", "05:01", "05:02"]);
        assert_eq!(axis(120.0).label, "2026-07-01 UTC, 1 min a column");
        assert_eq!(numbers(&axis(DAY)), ["01 06:00", "01 12:00", "01 18:00", "02 00:00"]);
        assert_eq!(axis(DAY).label, "UTC, 1 min a column");
        assert_eq!(numbers(&axis(2.0 * DAY)), ["01 12:00", "02 00:00", "02 12:00", "03 00:00"]);
        assert_eq!(numbers(&axis(4.0 * DAY)), ["Jul 02", "Jul 03", "Jul 04", "Jul 05"]);
        assert_eq!(numbers(&axis(400.0 * DAY)), ["Sep 2026", "Dec 2026", "Mar 2027", "Jul 2027"]);
        for seconds in (0..4_000).map(|part| 60.0 * f64::from(part).powf(1.9)) {
            let axis = axis(seconds);
            let mut texts = numbers(&axis);
            assert!((1..6).contains(&texts.len()), "{axis:?}");
            texts.dedup();
            assert_eq!(texts.len(), axis.ticks.len(), "{axis:?}");
        }
    }

    #[test]
    fn bytes_are_told_in_a_unit_that_shows_them() {
        let units = [0.0, 158.0, 20_000.0, 3e6, 2e9, 7e13].map(|most| unit_of_bytes(most).0);
        assert_eq!(units, ["bytes", "bytes", "kB", "MB", "GB", "TB"]);
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
            (-0.001, "-0.001"),
            (0.0314, "0.031"),
            (1e-17, "0"),
            (-1e-17, "0"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text, "{value}");
        }
    }
}
