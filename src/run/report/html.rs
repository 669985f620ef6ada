//! The report as one page for a browser: what happened, over the time in which it happened.
//!
//! It says what the report says, draws what the timeline holds, and puts the plan beside it. It may be passed on: no
//! partition key stands in it, and it asks no network for anything.

mod figures;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use jiff::Timestamp;

use super::page::{causes, headline, percent};
use super::{Brake, Latency, Report, RunState, ShardReport, duration, number};
use crate::config::{PlanFigures, RateCap, Share};
use crate::page::{Bar, Page, short};
use crate::record::{ByteCount, many};
use crate::run::timeline::{Process, Timeline};

/// Shards in the table; of more, those that used least.
const SHARDS_SHOWN: usize = 24;

/// What the report itself does not say.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
    /// When the run began.
    pub began: Timestamp,
    /// Whether records shared entries, so that the limit on records is not one on records.
    pub aggregates: bool,
    /// The part of each shard's limits that was taken.
    pub share: Share,
    /// Bounds of the whole run.
    pub max_rate: RateCap,
}

impl Report {
    /// The page for a browser.
    #[must_use]
    pub fn html(&self, timeline: &Timeline, circumstances: &Circumstances) -> String {
        let mut page = Page::new(&format!("Run {}", self.run));
        page.paragraph(&headline(self).1, false);
        page.paragraph(&in_short(self, timeline), false);
        let mut facts = facts(self, circumstances);
        if !self.resumed {
            facts.extend(facts_of_the_process(self));
        }
        facts.extend(self.next_steps.iter().map(|step| ("next", format!("{}: {}", step.why, step.command))));
        page.facts(&facts);
        if let Some(plan) = &self.plan {
            planned(&mut page, plan, self, timeline);
        }
        page.figures(&figures::figures(self, timeline, circumstances));
        if self.brake.is_some() {
            brakes(&mut page, timeline);
        }
        quarantine(&mut page, self);
        if self.resumed {
            page.heading("In this process");
            page.facts(&facts_of_the_process(self));
        }
        shards(&mut page, self);
        processes(&mut page, timeline);
        page.paragraph(&recorded(timeline), true);
        page.html()
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for a person")]
fn in_short(report: &Report, timeline: &Timeline) -> String {
    let (records, bytes) = (report.records.delivered, report.bytes_delivered);
    let mut text = format!("{} ({}) delivered", many(records, "record"), ByteCount(bytes));
    let seen = records.saturating_sub(timeline.records_unseen);
    if timeline.seconds > 0.0 && seen > 0 {
        let whole = timeline.records_unseen == 0;
        let these = if whole { String::new() } else { format!(", of these {}", number(seen)) };
        let rate = short((seen as f64 / timeline.seconds).round());
        let _ = write!(text, "{these} in {}: {rate} records/s", duration(timeline.seconds));
    }
    if let Some(brake) = report.brake {
        let _ = write!(text, ", limited by {}", brake.words());
    }
    text + "."
}

fn facts(report: &Report, circumstances: &Circumstances) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("from", report.archive.clone()),
        ("into", report.target.clone()),
        ("began", clock(circumstances.began)),
        ("share", format!("{} of each shard's limits", percent(circumstances.share.get()))),
    ];
    let window = (report.window.from.as_deref(), report.window.until.as_deref());
    if window != (None, None) {
        let (from, until) = (window.0.unwrap_or("the beginning"), window.1.unwrap_or("the end"));
        facts.push(("window", format!("{from} to {until}")));
    }
    let (objects, records) = (&report.objects, &report.records);
    facts.push((
        "objects",
        format!(
            "{} of {} done, {} in quarantine",
            number(objects.settled),
            number(objects.total),
            number(objects.quarantined)
        ),
    ));
    facts.push((
        "records",
        format!(
            "{} delivered, {} in quarantine, {} {}",
            number(records.delivered),
            number(records.quarantined),
            number(records.filtered),
            report.filtered_words()
        ),
    ));
    facts.extend(report.stays().map(|left| ("not tried", left)));
    let duplicates = match report.possible_duplicates {
        0 => "none".to_owned(),
        count => format!("{} at most: {}", number(count), causes(&report.possible_duplicates_by_cause)),
    };
    facts.push(("duplicates", duplicates));
    if report.order_violations > 0 {
        facts.push(("order", format!("{}, by sequence number", many(report.order_violations, "violation"))));
    }
    if report.inversions + report.possible_inversions > 0 {
        let (sure, possible) = (many(report.inversions, "record"), number(report.possible_inversions));
        facts.push(("passed", format!("{sure} by a later one of their key, {possible} more possibly")));
    }
    if report.records_elsewhere > 0 {
        let records = many(report.records_elsewhere, "record");
        facts.push(("elsewhere", format!("{records}, by shards that were just split or merged")));
    }
    let (entries, units) = (many(report.entries_acked, "entry"), many(report.put_units, "payload unit"));
    facts.push(("billed", format!("{entries}, {units}{}", report.billed_beside())));
    facts.push(("throttled", format!("{} of the entries sent", percent(report.throttled_share))));
    facts
}

/// What is known of the last process only.
fn facts_of_the_process(report: &Report) -> Vec<(&'static str, String)> {
    let mut facts = vec![("took", duration(report.seconds))];
    if report.reshards > 0 {
        facts.push(("resharded", many(report.reshards, "time")));
    }
    facts.push(("S3", format!("{} for objects", many(report.s3_object_requests, "request"))));
    facts.push(("PutRecords", latency_words(&report.put_latency_ms)));
    facts
}

/// `p50 21.3 ms, p99 40 ms, p99.9 61 ms, slowest 88 ms`.
fn latency_words(latency: &Latency) -> String {
    let (Some(p50), Some(p99), Some(max)) = (latency.p50, latency.p99, latency.max) else {
        return "no request was answered".to_owned();
    };
    let p999 = latency.p999.map(|p999| format!(", p99.9 {} ms", millis(p999))).unwrap_or_default();
    format!("p50 {} ms, p99 {} ms{p999}, slowest {} ms", millis(p50), millis(p99), millis(max))
}

fn millis(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { short(value.round()) }
}

/// The plan's figures beside what came of them.
fn planned(page: &mut Page, plan: &PlanFigures, report: &Report, timeline: &Timeline) {
    let done = report.state == RunState::Done;
    let row = |what: &str, planned: String, happened: String, off: Option<f64>| {
        let off = off.map(|off| format!("{:+.1} %", off * 100.0)).unwrap_or_default();
        vec![what.to_owned(), planned, happened, off]
    };
    let off = |planned: f64, happened: f64| (done && planned > 0.0).then(|| happened / planned - 1.0);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let count = |what: &str, planned: u64, happened: u64, show: fn(u64) -> String| {
        row(what, show(planned), show(happened), off(planned as f64, happened as f64))
    };
    let (records, objects) = (&report.records, &report.objects);
    let limit = report.brake.map_or_else(String::new, |brake| brake.words().to_owned());
    let time = duration(timeline.seconds);
    let whole_time = if timeline.records_unseen == 0 { time } else { format!("more than {time}") };
    let time_off = off(plan.seconds, timeline.seconds).filter(|_| timeline.records_unseen == 0);
    let mut rows = vec![
        count("objects done", plan.objects, objects.settled, number),
        count("records delivered", plan.records, records.delivered, number),
        count("bytes delivered", plan.bytes, report.bytes_delivered, |bytes| ByteCount(bytes).to_string()),
        row("shards", number(plan.shards.into()), number(report.stream_shards.into()), None),
        row("time", duration(plan.seconds), whole_time, time_off),
        row("limited by", plan.binding_limit.clone(), limit, None),
        row("cost", format!("${:.2}", plan.cost_usd), spent(plan, report, timeline), None),
    ];
    if records.quarantined + objects.quarantined > 0 {
        let aside = [many(records.quarantined, "record"), many(objects.quarantined, "whole object")];
        rows.insert(3, row("set aside", String::new(), aside.join(", "), None));
    }
    page.heading("The plan beside what happened");
    page.table(&["", "planned", if done { "happened" } else { "so far" }, "off by"], &rows);
    if let Some(others) = report.planned_for_others() {
        page.paragraph(&format!("What was planned is {others}."), true);
    }
}

/// What shards and PUT units have cost as long as the run lasted, at the plan's prices: neither the time before and after, nor
/// requests to S3.
#[expect(clippy::cast_precision_loss, reason = "money for people")]
fn spent(plan: &PlanFigures, report: &Report, timeline: &Timeline) -> String {
    let ends = timeline.processes.first().zip(timeline.processes.last());
    let (Some(shard_hour), Some(put_unit), Some((first, last))) =
        (plan.shard_hour_usd, plan.put_unit_usd, ends)
    else {
        return "see the bill".to_owned();
    };
    let lasted = last.began.duration_since(first.began).as_secs_f64() + last.seconds;
    let hours = (lasted / 3_600.0).ceil().max(1.0) * f64::from(report.stream_shards);
    let usd = hours.mul_add(shard_hour, report.put_units as f64 * put_unit);
    format!("${usd:.2} while it ran")
}

fn brakes(page: &mut Page, timeline: &Timeline) {
    let brakes = timeline.waited();
    let all: f64 = brakes.iter().map(|(.., time)| time).sum();
    if all <= 0.0 {
        return;
    }
    let bar = |(_, brake, time): &(usize, Brake, f64)| {
        let part = time / all;
        Bar { label: brake.words().to_owned(), part, value: percent(part) }
    };
    page.heading("What was the brake, of all the time that lanes waited");
    let mut bars: Vec<Bar> = brakes.iter().map(bar).collect();
    bars.sort_by(|one, other| other.part.total_cmp(&one.part));
    page.bars(&bars);
}

fn quarantine(page: &mut Page, report: &Report) {
    let reasons = &report.quarantine.reasons;
    page.heading("Quarantine");
    if reasons.is_empty() {
        page.paragraph("Nothing was set aside.", false);
        return;
    }
    let most = reasons.values().copied().max().unwrap_or(1).max(1);
    #[expect(clippy::cast_precision_loss, reason = "the length of a bar")]
    let bar = |(reason, count): (&String, &u64)| Bar {
        label: reason.clone(),
        part: *count as f64 / most as f64,
        value: number(*count),
    };
    page.bars(&reasons.iter().map(bar).collect::<Vec<_>>());
    let remedies = report.quarantine.remedies.iter();
    let rows: Vec<Vec<String>> =
        remedies.map(|(reason, remedy)| vec![reason.clone(), remedy.clone()]).collect();
    if !rows.is_empty() {
        page.table(&["reason", "what can be done (retry is `respool quarantine retry`)"], &rows);
    }
    if let Some(path) = &report.quarantine.path {
        page.paragraph(&format!("Records and objects, by reason. Listed in {path}"), true);
    }
}

fn shards(page: &mut Page, report: &Report) {
    let (shards, whose) = (&report.shards, if report.resumed { ", in this process" } else { "" });
    if shards.is_empty() {
        return;
    }
    let mut shown: Vec<&ShardReport> = shards.iter().collect();
    let mut heading = format!("Shards{whose}");
    if shown.len() > SHARDS_SHOWN {
        heading = format!("The {SHARDS_SHOWN} of {} that used least{whose}", many(shards.len(), "shard"));
        shown.sort_by(|one, other| {
            one.utilisation.unwrap_or(0.0).total_cmp(&other.utilisation.unwrap_or(0.0))
        });
        shown.truncate(SHARDS_SHOWN);
    }
    let row = |shard: &ShardReport| {
        vec![
            shard.shard.clone(),
            number(shard.records),
            ByteCount(shard.bytes).to_string(),
            shard.utilisation.map_or_else(|| "idle".to_owned(), percent),
            shard.held_by_order.map_or_else(String::new, percent),
            number(shard.throttled),
        ]
    };
    page.heading(&heading);
    let rows: Vec<Vec<String>> = shown.into_iter().map(row).collect();
    page.table(&["shard", "records", "bytes", "used", "held by order", "throttled"], &rows);
}

fn processes(page: &mut Page, timeline: &Timeline) {
    if timeline.processes.len() < 2 {
        return;
    }
    let millis = |value: Option<f64>| value.map_or_else(String::new, millis);
    let row = |process: &Process| {
        let latency = &process.put_latency_ms;
        vec![
            clock(process.began),
            duration(process.seconds),
            number(process.delivered),
            process.state.word().to_owned(),
            millis(latency.p50),
            millis(latency.p99),
            millis(latency.p999),
        ]
    };
    page.heading("Processes");
    let rows: Vec<Vec<String>> = timeline.processes.iter().map(row).collect();
    page.table(&["began", "worked", "delivered", "ended", "p50 ms", "p99 ms", "p99.9 ms"], &rows);
    if timeline.processes_before > 0 {
        let text = format!("{} earlier ones are in the drawings only.", number(timeline.processes_before));
        page.paragraph(&text, true);
    }
}

/// What the drawings do not show.
fn recorded(timeline: &Timeline) -> String {
    let mut text = format!(
        "The drawings show {} of work, without the time between a stop and its resume.",
        duration(timeline.seconds)
    );
    if timeline.records_unseen > 0 {
        let _ = write!(
            text,
            " They lack {} delivered by processes which were killed before they could leave a report.",
            many(timeline.records_unseen, "record")
        );
    }
    text + &format!(" respool {}.", env!("CARGO_PKG_VERSION"))
}

fn clock(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
