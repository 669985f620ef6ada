//! A plan as one page for a browser: the archive over time with its gaps, record sizes, keys, and the forecast for
//! each number of shards.
//!
//! What stands on the terminal stands here too, but for the texts of keys: a file may be passed on, so keys have
//! their hashes only.

use jiff::Timestamp;

use super::model::BindingLimit;
use super::page::dollars;
use super::report::{Plan, VolumeBucket};
use crate::page::{
    Axis, Bars, Chart, Column, Figure, Guide, Page, Part, Scale, Series, short, unit_of_bytes,
};
use crate::record::{ByteCount, many};
use crate::run::report::{duration, number};

/// Gaps in the table.
const GAPS_SHOWN: usize = 20;

/// The page.
#[must_use]
pub fn page(plan: &Plan) -> String {
    let mut page = Page::new(&format!("Plan: {}", plan.archive));
    let about = if plan.sample.whole { "" } else { "About " };
    let limit = plan.binding_limit.map_or("nothing", BindingLimit::words);
    if let Some(why) = plan.in_vain() {
        page.paragraph(&why, false);
    }
    page.paragraph(
        &format!(
            "{about}{} ({}) in {} ({} stored). With {}: {}, limited by {limit}, {}.",
            many(plan.records, "record"),
            ByteCount(plan.bytes),
            many(plan.objects, "object"),
            ByteCount(plan.bytes_stored),
            many(plan.shards, "shard"),
            duration(plan.seconds),
            dollars(plan.cost_usd)
        ),
        false,
    );
    page.paragraph(&what(plan), true);
    for warning in &plan.warnings {
        page.paragraph(
            &format!("Warning ({}): {}. What to do: {}.", warning.code, warning.message, warning.action),
            false,
        );
    }
    let lines = [time(plan), cost(plan)].into_iter().flatten().map(Figure::Lines);
    let bars = [volume(plan), sizes(plan), keys(plan)].into_iter().flatten().map(Figure::Bars);
    page.figures(&lines.chain(bars).collect::<Vec<_>>());
    forecast(&mut page, plan);
    gaps(&mut page, plan);
    page.paragraph(&assumed(plan), true);
    page.html()
}

fn what(plan: &Plan) -> String {
    let key = plan.partition_key.as_deref().unwrap_or("still open");
    let target = plan.target.as_ref().map(|target| format!(" Into {target}.")).unwrap_or_default();
    let sample = if plan.sample.whole {
        "Everything was read.".to_owned()
    } else {
        format!(
            "{} and {:.2} % of the bytes were looked at.",
            many(plan.sample.objects, "object"),
            plan.sample.share * 100.0
        )
    };
    format!("Window: {}.{target} Key: {key}, order {}. {sample}", plan.window, plan.order)
}

fn assumed(plan: &Plan) -> String {
    let assumed = &plan.assumed;
    format!(
        "Taken for granted: {:.0} % of each shard's limits, {:.0} ms from a request to its answer, retention {:.0} h, {}, prices \
         of {} in {}.",
        plan.share * 100.0,
        assumed.round_trip_ms,
        assumed.retention_hours,
        many(assumed.cores, "core"),
        assumed.prices_date,
        assumed.prices_region
    )
}

fn series(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), colour, ideal: false, points }
}

fn time(plan: &Plan) -> Option<Chart> {
    let (unit, seconds) = unit_of(plan.by_shards.iter().map(|one| one.seconds).fold(0.0, f64::max));
    let points = |of: &dyn Fn(&super::report::ShardsReport) -> f64| -> Vec<(f64, f64)> {
        plan.by_shards.iter().map(|one| (f64::from(one.shards), of(one) / seconds)).collect()
    };
    let (single, packed) = (points(&|one| one.seconds), points(&|one| one.aggregated.seconds));
    let first = *single.first()?;
    let ideal = single.iter().map(|(shards, _)| (*shards, first.1 * first.0 / shards)).collect();
    let values = || single.iter().chain(&packed).map(|(_, value)| *value);
    let deadline = plan.deadline.as_ref().map(|deadline| Guide {
        at: deadline.seconds / seconds,
        label: format!("deadline, {}", duration(deadline.seconds)),
    });
    Some(Chart {
        title: format!("Time by shards, in {unit}"),
        description: "Where a line leaves the ideal one, something else than the number of shards limits."
            .to_owned(),
        x: Axis::steps("shards", single.iter().map(|(shards, _)| *shards)),
        y: Axis::log(unit, values().chain(deadline.iter().map(|guide| guide.at))),
        series: vec![
            Series {
                name: "twice the shards, half the time".to_owned(),
                colour: 2,
                ideal: true,
                points: ideal,
            },
            series("record by record", 0, single),
            series("aggregated", 1, packed),
        ],
        guides: deadline.into_iter().collect(),
        marks: Vec::new(),
    })
}

/// The unit in which so many seconds are told, and its length.
fn unit_of(seconds: f64) -> (&'static str, f64) {
    match seconds {
        s if s < 1.0 => ("milliseconds", 0.001),
        s if s < 180.0 => ("seconds", 1.0),
        s if s < 10_800.0 => ("minutes", 60.0),
        s if s < 259_200.0 => ("hours", 3_600.0),
        _ => ("days", 86_400.0),
    }
}

fn cost(plan: &Plan) -> Option<Chart> {
    let single: Vec<(f64, f64)> =
        plan.by_shards.iter().map(|one| (f64::from(one.shards), one.cost_usd)).collect();
    let packed: Vec<(f64, f64)> =
        plan.by_shards.iter().map(|one| (f64::from(one.shards), one.aggregated.cost_usd)).collect();
    let all = || single.iter().chain(&packed).map(|(_, cost)| *cost);
    all().find(|cost| *cost > 0.0)?;
    let demand = plan.on_demand.cost_usd;
    Some(Chart {
        title: "Cost by shards, in US dollars".to_owned(),
        description: "Shard hours that have begun, PUT payload units, requests to S3.".to_owned(),
        x: Axis::steps("shards", single.iter().map(|(shards, _)| *shards)),
        y: Axis::linear("US dollars", 0.0, all().chain([demand])),
        guides: vec![Guide { at: demand, label: format!("on demand, {}", dollars(demand)) }],
        marks: Vec::new(),
        series: vec![series("record by record", 0, single), series("aggregated", 1, packed)],
    })
}

fn seconds_of(bucket: &VolumeBucket) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a place in a drawing")]
    let seconds = |time: Timestamp| time.as_second() as f64;
    bucket.from.parse().ok().map(seconds)
}

fn part(name: &str, colour: usize) -> Vec<Part> {
    vec![Part { name: name.to_owned(), colour }]
}

#[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
fn volume(plan: &Plan) -> Option<Bars> {
    let most = plan.volume.iter().map(|bucket| bucket.bytes_stored).max()?;
    let (unit, size) = unit_of_bytes(most as f64);
    let column = |bucket: &VolumeBucket| {
        let from = seconds_of(bucket)?;
        let until = from + bucket.seconds as f64;
        Some(Column { from, until, heights: vec![bucket.bytes_stored as f64 / size] })
    };
    let columns: Vec<Column> = plan.volume.iter().filter_map(column).collect();
    let (first, last) = (columns.first()?.from, columns.last()?.until);
    if columns.len() < 2 || last <= first {
        return None;
    }
    let length = plan.volume.first().map_or(0, |bucket| bucket.seconds);
    let length = duration(length as f64);
    // A length is a whole number of one unit.
    let note = format!("{} a column", length.split(" 00 ").next().unwrap_or_default());
    let gaps = match plan.gaps.len() {
        0 => "no gaps".to_owned(),
        1 => "one gap".to_owned(),
        gaps => format!("{gaps} gaps"),
    };
    Some(Bars {
        title: format!("The archive over time, in {unit} as stored"),
        description: format!("By the names of its objects: {gaps}."),
        x: Axis::dates(&note, first, last),
        y: Axis::linear(unit, 0.0, columns.iter().flat_map(|column| column.heights.clone())),
        parts: part("stored", 0),
        columns,
        marks: Vec::new(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
fn sizes(plan: &Plan) -> Option<Bars> {
    let column = |bucket: &super::report::SizeBucket| {
        let until = bucket.up_to as f64;
        Column { from: until / 2.0, until, heights: vec![bucket.share * 100.0] }
    };
    let columns: Vec<Column> = plan.record_bytes.histogram.iter().map(column).collect();
    columns.first()?;
    // Nothing on either side, so that a single size does not fill the drawing.
    let ends =
        columns.iter().flat_map(|column| [column.from / 2.0, column.from, column.until, column.until * 2.0]);
    let size = &plan.record_bytes;
    Some(Bars {
        title: "Record sizes, in percent of the records".to_owned(),
        description: format!(
            "Data and key, up to each power of two. Half up to {}, 99 % up to {}, largest {}.",
            ByteCount(size.p50.into()),
            ByteCount(size.p99.into()),
            ByteCount(size.max.into())
        ),
        x: Axis::steps("bytes", ends),
        y: Axis::linear("percent", 0.0, columns.iter().flat_map(|column| column.heights.clone())),
        parts: part("records", 3),
        columns,
        marks: Vec::new(),
    })
}

#[expect(clippy::cast_precision_loss, reason = "places in a drawing")]
fn keys(plan: &Plan) -> Option<Bars> {
    let distinct = plan.keys.distinct?;
    let column = |(rank, key): (u32, &super::report::TopKey)| {
        let rank = f64::from(rank);
        Column { from: rank - 0.5, until: rank + 0.5, heights: vec![key.share * 100.0] }
    };
    let columns: Vec<Column> = (1..).zip(&plan.keys.top).map(column).collect();
    let ends = (columns.first()?.from, columns.last()?.until);
    let ticks = columns.iter().map(|column| column.from + 0.5).map(|rank| (rank, short(rank))).collect();
    let even = 100.0 / distinct.max(1) as f64;
    Some(Bars {
        title: "The most frequent keys, in percent of the records".to_owned(),
        description: format!(
            "Of about {}; if all were alike, each would have {} %. In strict order a key goes one record a round trip.",
            many(distinct, "key"),
            short(even)
        ),
        x: Axis { label: "rank".to_owned(), scale: Scale::Linear, ends, ticks },
        y: Axis::linear("percent", 0.0, columns.iter().flat_map(|column| column.heights.clone())),
        parts: part("records", 4),
        columns,
        marks: Vec::new(),
    })
}

fn forecast(page: &mut Page, plan: &Plan) {
    let rows: Vec<Vec<String>> = plan
        .by_shards
        .iter()
        .map(|one| {
            vec![
                number(one.shards.into()),
                duration(one.seconds),
                one.binding_limit.words().to_owned(),
                dollars(one.cost_usd),
                duration(one.aggregated.seconds),
                one.aggregated.binding_limit.words().to_owned(),
                dollars(one.aggregated.cost_usd),
            ]
        })
        .chain([vec![
            "on demand".to_owned(),
            duration(plan.on_demand.seconds),
            "a new one's growth".to_owned(),
            dollars(plan.on_demand.cost_usd),
            String::new(),
            String::new(),
            String::new(),
        ]])
        .collect();
    page.table(&["shards", "time", "limit", "cost", "aggregated", "limit", "cost"], &rows);
    if !plan.keys.top.is_empty() {
        let rows: Vec<Vec<String>> = plan
            .keys
            .top
            .iter()
            .map(|key| vec![key.hash.clone(), format!("{:.2} %", key.share * 100.0)])
            .collect();
        page.paragraph(
            "The most frequent keys, by a hash of this plan alone (the terminal names them):",
            true,
        );
        page.table(&["key's hash", "records"], &rows);
    }
}

fn gaps(page: &mut Page, plan: &Plan) {
    if plan.gaps.is_empty() {
        return;
    }
    page.paragraph("Times without an object, the longest first:", true);
    #[expect(clippy::cast_precision_loss, reason = "a length for people")]
    let row = |gap: &super::report::GapReport| {
        vec![gap.from.clone(), gap.until.clone(), duration(gap.seconds as f64)]
    };
    let rows: Vec<Vec<String>> = plan.gaps.iter().take(GAPS_SHOWN).map(row).collect();
    page.table(&["from", "until", "length"], &rows);
}
