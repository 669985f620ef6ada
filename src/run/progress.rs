//! What a run shows while it works.
//!
//! On a terminal one bar: records, rates, the time that is left, and below it what limits now. Otherwise
//! a plain line every ten seconds, for a log. With `--quiet` nothing. Everything goes to stderr.
//!
//! The shell passes a [`ProgressSnapshot`] a few times a second; time is part of it, and the rates are
//! those of the last seconds, so that a pause is seen as one.

use std::collections::VecDeque;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console;
use super::report::{Brake, duration, number, per_second};
use crate::config::OutputConfig;
use crate::record::{ByteCount, many};

/// Between two lines in a log.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How far back the rates look.
const RATE_WINDOW: Duration = Duration::from_secs(15);

/// Between two samples of the rates.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Where a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// Time since the process began to replay.
    pub elapsed: Duration,
    /// Records that are settled, earlier attempts included.
    pub records_done: u64,
    /// All records of the run, as far as can be told.
    pub records_total: Option<u64>,
    /// Whether they are counted, not estimated.
    pub is_exact: bool,
    /// Bytes that are delivered, earlier attempts included.
    pub bytes_done: u64,
    /// Objects that are decoded.
    pub objects_done: u64,
    /// Objects of the manifest.
    pub objects_total: u64,
    /// What limits at this moment.
    pub brake: Option<Brake>,
    /// For how long no call has succeeded, if the service is away: then nothing else limits.
    pub away: Option<Duration>,
}

/// Shows snapshots.
#[derive(Debug)]
pub struct Progress {
    display: Display,
    meter: Meter,
}

#[derive(Debug)]
enum Display {
    Silent,
    Bar(ProgressBar),
    Lines { next: Duration },
}

impl Progress {
    /// The display that fits the output.
    #[must_use]
    pub fn new(output: &OutputConfig) -> Self {
        let display = if output.quiet {
            Display::Silent
        } else if output.progress_bar {
            // Ten times a second is as fast as anyone reads.
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr_with_hz(10));
            console::stand_above(Some(bar.clone()));
            Display::Bar(bar)
        } else {
            Display::Lines { next: LINE_INTERVAL }
        };
        Self { display, meter: Meter::default() }
    }

    /// Shows where the run stands.
    pub fn update(&mut self, snapshot: &ProgressSnapshot) {
        self.meter.add(snapshot);
        match &mut self.display {
            Display::Silent => {}
            Display::Bar(bar) => draw(bar, snapshot, &self.meter),
            Display::Lines { next } => {
                if snapshot.elapsed >= *next {
                    *next = snapshot.elapsed + LINE_INTERVAL;
                    console::say(&line(snapshot, &self.meter));
                }
            }
        }
    }

    /// Takes the bar away, so that the report stands on clean ground.
    pub fn finish(self) {
        if let Display::Bar(bar) = self.display {
            console::stand_above(None);
            bar.finish_and_clear();
        }
    }
}

fn draw(bar: &ProgressBar, snapshot: &ProgressSnapshot, meter: &Meter) {
    // An archive tells how many objects it has long before it tells how many records.
    let (done, total) = match total(snapshot) {
        Some(total) => (snapshot.records_done, total),
        None => (snapshot.objects_done, snapshot.objects_total),
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:28.green} {percent:>3} %  {msg}\n{prefix}") {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar.set_length(total);
    bar.set_position(done.min(total));
    bar.set_message(line(&ProgressSnapshot { brake: None, away: None, ..*snapshot }, meter));
    bar.set_prefix(held_up(snapshot).unwrap_or_default());
}

/// What the run waits for.
fn held_up(snapshot: &ProgressSnapshot) -> Option<String> {
    match (snapshot.away, snapshot.brake) {
        (Some(away), _) => {
            let time = duration(away.as_secs_f64());
            Some(format!("the service fails: no call has succeeded for {time}; it is tried again"))
        }
        (None, brake) => brake.map(|brake| format!("limited by {}", brake.words())),
    }
}

/// `12,345 of 60,000 records, 3,920/s, 1.2 MB/s, 12.0 s left; limited by …`.
fn line(snapshot: &ProgressSnapshot, meter: &Meter) -> String {
    let mut parts = Vec::new();
    let done = number(snapshot.records_done);
    let total = total(snapshot);
    match total {
        Some(total) => {
            let about = if snapshot.is_exact { "" } else { "about " };
            parts.push(format!("{done} of {about}{}", many(total, "record")));
        }
        None => parts.push(format!(
            "{}, {} of {}",
            many(snapshot.records_done, "record"),
            number(snapshot.objects_done),
            many(snapshot.objects_total, "object")
        )),
    }
    if let Some(rate) = meter.rate() {
        parts.push(format!("{}/s", number(rate.records)));
        parts.push(format!("{}/s", ByteCount(rate.bytes)));
        let left = total.map(|total| total.saturating_sub(snapshot.records_done));
        if let Some(left) = left.filter(|&left| left > 0 && rate.records > 0) {
            parts.push(format!("{} left", duration(seconds_for(left, rate.records))));
        }
    }
    let line = parts.join(", ");
    match held_up(snapshot) {
        Some(held_up) => format!("{line}; {held_up}"),
        None => line,
    }
}

/// All records. An estimate that was passed is made anew from the objects that are left.
fn total(snapshot: &ProgressSnapshot) -> Option<u64> {
    let (total, done) = (snapshot.records_total?, snapshot.records_done);
    if total > done || snapshot.is_exact {
        return Some(total.max(done));
    }
    let objects_left = snapshot.objects_total.saturating_sub(snapshot.objects_done);
    Some(done.saturating_add((done / snapshot.objects_done.max(1)).saturating_mul(objects_left)))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate for a person")]
fn seconds_for(records: u64, per_second: u64) -> f64 {
    records as f64 / per_second as f64
}

/// What was reached in the last seconds.
#[derive(Debug, Default)]
struct Meter {
    samples: VecDeque<ProgressSnapshot>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rate {
    records: u64,
    bytes: u64,
}

impl Meter {
    fn add(&mut self, snapshot: &ProgressSnapshot) {
        let since = |sample: &ProgressSnapshot| snapshot.elapsed.saturating_sub(sample.elapsed);
        // The last sample moves along until it is one interval away from the one before.
        if let [.., before, last] = self.samples.make_contiguous()
            && last.elapsed.saturating_sub(before.elapsed) < SAMPLE_INTERVAL
        {
            *last = *snapshot;
        } else {
            self.samples.push_back(*snapshot);
        }
        // One sample older than the window stays, to measure from.
        while self.samples.get(1).is_some_and(|second| since(second) >= RATE_WINDOW) {
            self.samples.pop_front();
        }
    }

    fn rate(&self) -> Option<Rate> {
        let (first, last) = (self.samples.front()?, self.samples.back()?);
        let span = last.elapsed.checked_sub(first.elapsed).filter(|&span| span >= SAMPLE_INTERVAL)?;
        let per = |now: u64, then: u64| per_second(now.saturating_sub(then), span.as_secs_f64());
        let records = per(last.records_done, first.records_done);
        Some(Rate { records, bytes: per(last.bytes_done, first.bytes_done) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of 1,000 records and 300 kB a second.
    fn at(seconds: u64) -> ProgressSnapshot {
        ProgressSnapshot {
            elapsed: Duration::from_secs(seconds),
            records_done: seconds * 1_000,
            records_total: Some(60_000),
            is_exact: true,
            bytes_done: seconds * 300_000,
            objects_done: seconds,
            objects_total: 60,
            brake: Some(Brake::Shards),
            away: None,
        }
    }

    #[test]
    fn a_line_says_how_far_how_fast_how_long_and_what_limits() {
        let mut meter = Meter::default();
        (0..=10).for_each(|second| meter.add(&at(second)));
        let expected =
            "10,000 of 60,000 records, 1,000/s, 300.0 kB/s, 50.0 s left; limited by the shards' limits";
        assert_eq!(line(&at(10), &meter), expected);
        let unknown = ProgressSnapshot { records_total: None, brake: None, ..at(10) };
        assert_eq!(line(&unknown, &meter), "10,000 records, 10 of 60 objects, 1,000/s, 300.0 kB/s");
    }

    #[test]
    fn a_service_that_is_away_is_not_called_a_brake() {
        let meter = Meter::default();
        let away = Some(Duration::from_secs(12));
        let dead = ProgressSnapshot { brake: Some(Brake::Service), away, ..at(10) };
        let expected = "10,000 of 60,000 records; the service fails: no call has succeeded for 12.0 s; it is tried again";
        assert_eq!(line(&dead, &meter), expected);
    }

    #[test]
    fn an_estimate_is_said_to_be_one_and_never_passed() {
        let mut meter = Meter::default();
        (0..=10).for_each(|second| meter.add(&at(second)));
        let about = ProgressSnapshot { is_exact: false, brake: None, ..at(10) };
        let guessed = |total| line(&ProgressSnapshot { records_total: Some(total), ..about }, &meter);
        let end = "1,000/s, 300.0 kB/s, 50.0 s left";
        assert_eq!(guessed(60_000), format!("10,000 of about 60,000 records, {end}"));
        assert_eq!(
            guessed(9_970),
            format!("10,000 of about 60,000 records, {end}"),
            "60 objects like those 10"
        );
        let all = ProgressSnapshot { records_total: Some(9_970), objects_done: 60, ..about };
        assert_eq!(line(&all, &meter), "10,000 of about 10,000 records, 1,000/s, 300.0 kB/s");
        assert_eq!(total(&ProgressSnapshot { objects_done: 0, ..all }), Some(610_000), "nothing is certain");
    }

    #[test]
    fn nothing_is_guessed_before_there_is_a_rate() {
        let mut meter = Meter::default();
        meter.add(&at(0));
        assert_eq!(line(&ProgressSnapshot { brake: None, ..at(0) }, &meter), "0 of 60,000 records");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds_and_its_memory_is_bounded() {
        let mut meter = Meter::default();
        (0..=20).for_each(|second| meter.add(&at(second)));
        // Everything stands still for a minute, seen a hundred times a second.
        for tick in 0..6_000 {
            let elapsed = Duration::from_secs(20) + Duration::from_millis(tick * 10);
            meter.add(&ProgressSnapshot { elapsed, ..at(20) });
        }
        assert_eq!(meter.rate(), Some(Rate { records: 0, bytes: 0 }));
        assert!(meter.samples.len() <= 32, "{}", meter.samples.len());
    }

    #[test]
    fn quiet_shows_nothing_and_a_log_gets_a_line_now_and_then() {
        let output = OutputConfig {
            json: false,
            quiet: true,
            verbosity: 0,
            color: false,
            width: 80,
            progress_bar: true,
            can_ask: false,
        };
        assert!(matches!(Progress::new(&output).display, Display::Silent));
        let mut log = Progress::new(&OutputConfig { quiet: false, progress_bar: false, ..output });
        log.update(&at(9));
        assert!(matches!(log.display, Display::Lines { next } if next == LINE_INTERVAL));
        log.update(&at(12));
        assert!(matches!(log.display, Display::Lines { next } if next == Duration::from_secs(22)));
        log.finish();
    }
}
