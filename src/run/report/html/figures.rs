//! The drawings of a report's page.

use super::super::{Brake, Report, duration, page::percent};
use super::{Circumstances, latency_words};
use crate::page::{
    Axis, Bars, Chart, Column, Figure, Guide, HeatMap, HeatRow, Mark, Part, Scale, Series, short,
    unit_of_bytes,
};
use crate::record::many;
use crate::run::timeline::{Bin, Cell, LATENCY_FIRST_MS, LATENCY_STEPS_PER_OCTAVE, Process, Timeline};

/// Vertical lines where a process took over; more would hide what they divide.
const MARKS_MAX: usize = 8;

/// All of them.
pub(super) fn figures(report: &Report, timeline: &Timeline, circumstances: &Circumstances) -> Vec<Figure> {
    if timeline.bins.is_empty() {
        return Vec::new();
    }
    let (records, bytes) = rates(timeline, circumstances);
    let mut figures = vec![Figure::Lines(records), Figure::Lines(bytes)];
    figures.extend(heat(timeline).map(Figure::Heat));
    figures.push(Figure::Bars(brakes_over_time(timeline)));
    figures.extend(throttled(timeline).map(Figure::Bars));
    figures.extend(latencies(report, timeline).map(Figure::Bars));
    figures
}

fn time_axis(timeline: &Timeline) -> Axis {
    Axis::elapsed("time at work", timeline.seconds)
}

/// Where a process took over from the one before.
fn marks(timeline: &Timeline) -> Vec<Mark> {
    let later: Vec<&Process> = timeline.processes.iter().filter(|process| process.from > 0.0).collect();
    if later.len() > MARKS_MAX {
        return Vec::new();
    }
    let label = |place: usize| if place == 0 { "resumed".to_owned() } else { String::new() };
    later.iter().enumerate().map(|(place, process)| Mark { at: process.from, label: label(place) }).collect()
}

/// The places of the bins on the axis of time, with what they hold.
fn placed(timeline: &Timeline) -> impl Iterator<Item = (f64, f64, &Bin)> {
    let (length, end) = (timeline.bin_seconds, timeline.seconds);
    let mut from = 0.0;
    timeline.bins.iter().map(move |bin| {
        let begin = from;
        from += length;
        (begin, from.min(end), bin)
    })
}

fn rates(timeline: &Timeline, circumstances: &Circumstances) -> (Chart, Chart) {
    let per_second = |of: fn(&Bin) -> f64, scale: f64| -> Vec<(f64, f64)> {
        let with_time = placed(timeline).filter(|(.., bin)| bin.seconds > 0.0);
        with_time
            .map(|(from, until, bin)| (f64::midpoint(from, until), of(bin) / bin.seconds / scale))
            .collect()
    };
    let max = &circumstances.max_rate;
    #[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
    let cap = |cap: Option<u64>, scale: f64| cap.map(|cap| cap as f64 / scale);
    let limit = if circumstances.aggregates { Vec::new() } else { per_second(|bin| bin.limit_records, 1.0) };
    let records = rate(
        "Records each second",
        "records/s",
        timeline,
        [per_second(|bin| bin.records, 1.0), limit],
        cap(max.records_per_second, 1.0),
    );
    let most = per_second(|bin| bin.bytes.max(bin.limit_bytes), 1.0);
    let (unit, size) = unit_of_bytes(most.iter().map(|(_, rate)| *rate).fold(0.0, f64::max));
    let bytes = [per_second(|bin| bin.bytes, size), per_second(|bin| bin.limit_bytes, size)];
    let title = format!("{unit} each second");
    let bytes = rate(&title, &format!("{unit}/s"), timeline, bytes, cap(max.bytes_per_second, size));
    (records, bytes)
}

fn rate(
    title: &str,
    unit: &str,
    timeline: &Timeline,
    [points, limit]: [Vec<(f64, f64)>; 2],
    cap: Option<f64>,
) -> Chart {
    // Where the shards would take more than may be sent, they are no limit.
    let capped = cap.is_some_and(|cap| limit.iter().all(|(_, limit)| cap <= *limit));
    let limited = !capped && limit.iter().any(|(_, limit)| *limit > 0.0);
    let values = points.iter().chain(limit.iter().filter(|_| limited)).map(|(_, value)| *value);
    let y = Axis::linear(unit, 0.0, values.chain(cap));
    let mut series = vec![Series { name: "delivered".to_owned(), colour: 0, ideal: false, points }];
    if limited {
        series.push(Series {
            name: "what the shards take".to_owned(),
            colour: 0,
            ideal: true,
            points: limit,
        });
    }
    let against = if limited { "; dashed what the configured share of the open shards takes" } else { "" };
    Chart {
        title: title.to_owned(),
        description: format!("Delivered, {} a point{against}.", duration(timeline.bin_seconds)),
        x: time_axis(timeline),
        y,
        series,
        guides: cap.map(|at| Guide { at, label: "--max-rate".to_owned() }).into_iter().collect(),
        marks: marks(timeline),
    }
}

/// `None` without limits: then there is nothing to have a share of.
fn heat(timeline: &Timeline) -> Option<HeatMap> {
    timeline.bins.iter().find(|bin| bin.limit_records > 0.0)?;
    let row = |(place, names): (usize, &[String])| HeatRow {
        label: row_name(names),
        cells: timeline.bins.iter().map(|bin| bin.rows.get(place).and_then(Cell::used)).collect(),
    };
    let rows: Vec<HeatRow> = timeline.rows().enumerate().map(row).collect();
    let together = match timeline.shards_per_row {
        1 => String::new(),
        several => format!(", {several} neighbours a row"),
    };
    Some(HeatMap {
        title: "Shards, by the share of their limit that was used".to_owned(),
        description: format!(
            "{}{together}, {} a column; the limit is the configured share. Blank: not written to.",
            many(timeline.shards.len(), "shard"),
            duration(timeline.bin_seconds)
        ),
        x: time_axis(timeline),
        column: timeline.bin_seconds,
        rows_label: "shard".to_owned(),
        rows,
        ends: ("0 %".to_owned(), "100 %".to_owned()),
        marks: marks(timeline),
    })
}

/// `12`, or `16–31` for neighbours: the number in the name of a shard, or its end.
fn row_name(names: &[String]) -> String {
    let number = |name: &String| {
        let digits = name.strip_prefix("shardId-").unwrap_or(name).trim_start_matches('0');
        let tail: Vec<char> = digits.chars().rev().take(6).collect();
        if tail.is_empty() { "0".to_owned() } else { tail.into_iter().rev().collect() }
    };
    match names {
        [] => String::new(),
        [one] => number(one),
        [first, ..] => format!("{}+", number(first)),
    }
}

const fn colour(brake: Brake) -> usize {
    match brake {
        Brake::Fetch => 0,
        Brake::Decode | Brake::Cpu => 1,
        Brake::Shards => 2,
        Brake::Order => 3,
        Brake::Service => 4,
        Brake::Disk => 5,
        Brake::Room => 6,
        Brake::MaxRate => 8,
        Brake::RoundTrip => 9,
    }
}

fn brakes_over_time(timeline: &Timeline) -> Bars {
    let brakes = timeline.waited();
    let column = |(from, until, bin): (f64, f64, &Bin)| {
        let all = bin.brakes.iter().sum::<f64>() + bin.finished;
        let part =
            |(place, ..): &(usize, Brake, f64)| bin.brakes.get(*place).map_or(0.0, |time| time / all * 100.0);
        (all > 0.0).then(|| Column { from, until, heights: brakes.iter().map(part).collect() })
    };
    Bars {
        title: "What held it up, in percent of the time".to_owned(),
        description: "What the lanes waited for before their next request could leave; the shards' limits are the best that can be. Blank: nothing left to send.".to_owned(),
        x: time_axis(timeline),
        y: Axis::linear("percent", 0.0, [100.0]),
        parts: brakes.iter().map(|(_, brake, _)| Part { name: brake_name(*brake).to_owned(), colour: colour(*brake) }).collect(),
        columns: placed(timeline).filter_map(column).collect(),
        marks: marks(timeline),
    }
}

/// A brake in two words, for a legend.
const fn brake_name(brake: Brake) -> &'static str {
    match brake {
        Brake::Fetch => "fetching",
        Brake::Decode => "decoding",
        Brake::Cpu => "encoding",
        Brake::Shards => "shards' limits",
        Brake::Order => "order",
        Brake::MaxRate => "--max-rate",
        Brake::Service => "the service",
        Brake::RoundTrip => "round trips",
        Brake::Disk => "the disk",
        Brake::Room => "the cache's size",
    }
}

/// `None` if nothing was throttled: the facts say so.
fn throttled(timeline: &Timeline) -> Option<Bars> {
    let column = |(from, until, bin): (f64, f64, &Bin)| {
        (bin.seconds > 0.0).then(|| Column { from, until, heights: vec![bin.throttled / bin.seconds] })
    };
    let columns: Vec<Column> = placed(timeline).filter_map(column).collect();
    let sum = |of: fn(&Bin) -> f64| timeline.bins.iter().map(of).sum::<f64>();
    let (throttled, entries) = (sum(|bin| bin.throttled), sum(|bin| bin.entries));
    (throttled > 0.0).then(|| Bars {
        title: "Throttled entries each second".to_owned(),
        description: format!(
            "{} of {} entries sent ({}); each goes again behind its own key.",
            short(throttled.round()),
            short(entries.round()),
            percent(throttled / entries.max(1.0))
        ),
        x: time_axis(timeline),
        y: Axis::linear("entries/s", 0.0, columns.iter().flat_map(|column| column.heights.clone())),
        parts: vec![Part { name: "throttled".to_owned(), colour: 4 }],
        columns,
        marks: marks(timeline),
    })
}

fn latencies(report: &Report, timeline: &Timeline) -> Option<Bars> {
    let all: u64 = timeline.latencies.iter().sum();
    let first = timeline.latencies.iter().position(|count| *count > 0)?;
    let last = timeline.latencies.iter().rposition(|count| *count > 0)?;
    let end = |step: usize| {
        let octaves =
            f64::from(u32::try_from(step).unwrap_or(u32::MAX)) / f64::from(LATENCY_STEPS_PER_OCTAVE);
        LATENCY_FIRST_MS * octaves.exp2()
    };
    let ratio = f64::from(LATENCY_STEPS_PER_OCTAVE).recip().exp2();
    #[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
    let column = |(step, count): (usize, &u64)| Column {
        from: end(step) / ratio,
        until: end(step),
        heights: vec![*count as f64 / all as f64 * 100.0],
    };
    let columns: Vec<Column> =
        timeline.latencies.iter().enumerate().take(last + 1).skip(first).map(column).collect();
    let ends = (end(first) / ratio.powi(2), end(last) * ratio);
    let label = "milliseconds from a request to its answer".to_owned();
    let whose = if timeline.processes.len() > 1 { " in the last process" } else { "" };
    Some(Bars {
        title: "Latency of PutRecords, in percent of the requests".to_owned(),
        description: format!("{};{whose} {}.", many(all, "request"), latency_words(&report.put_latency_ms)),
        x: Axis { label, scale: Scale::Log, ends, ticks: round_values(ends) },
        y: Axis::linear("percent", 0.0, columns.iter().flat_map(|column| column.heights.clone())),
        parts: vec![Part { name: "requests".to_owned(), colour: 1 }],
        columns,
        marks: Vec::new(),
    })
}

/// Round values between two others: 1, 2 and 5 times the powers of ten, or all digits if these are too few.
fn round_values((low, high): (f64, f64)) -> Vec<(f64, String)> {
    let round = |factors: &[f64]| {
        let mut values = Vec::new();
        let mut power = 0.01;
        while power <= high && values.len() < 64 {
            let fits =
                factors.iter().map(|factor| factor * power).filter(|value| (low..=high).contains(value));
            values.extend(fits.map(|value| (value, short(value))));
            power *= 10.0;
        }
        values
    };
    let few = round(&[1.0, 2.0, 5.0]);
    if few.len() > 2 { few } else { round(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]) }
}
