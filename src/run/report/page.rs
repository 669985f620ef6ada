//! The report as a page: one line per fact, aligned, the next command last.
//!
//! A line stands only where it says something: nothing in quarantine is said in the headline, not by a
//! row of zeros. What is of the last process only stands below all that is of the run, of a run that was resumed under a
//! heading; so no row mixes them. Numbers have thousands separators and units, and a part of a whole is a percentage.

use std::fmt::Write as _;

use super::{Report, RunState, ShardReport};
pub(crate) use crate::record::number;
use crate::record::{ByteCount, agree, many};
use crate::shown::shown;
use crate::write::checkpoint::Doubts;

/// Shards that are listed one by one; more are a line of three numbers.
const SHARDS_LISTED_MAX: usize = 16;

/// A shard is named if order was its brake for so much of its time.
const HELD_MENTIONED: f64 = 0.05;
/// Columns of a label.
const LABEL: usize = 13;

const BOLD_GREEN: &str = "\x1b[1;32m";
const BOLD_YELLOW: &str = "\x1b[1;33m";
const BOLD_RED: &str = "\x1b[1;31m";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

pub(super) fn render(report: &Report, width: usize, color: bool) -> String {
    let mut page = Page { text: String::new(), color };
    page.headline(report);
    page.what(report);
    page.counts(report);
    page.course(report);
    page.process(report);
    page.shards(&report.shards, width);
    page.order(&report.shards);
    if let Some(path) = &report.page {
        page.line("");
        page.row("report", path);
    }
    page.late(report);
    page.quarantine(report);
    page.next(report);
    page.text
}

struct Page {
    text: String,
    color: bool,
}

impl Page {
    fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn row(&mut self, label: &str, value: &str) {
        let label = self.paint(DIM, &format!("{label:<LABEL$}"));
        self.line(&format!("  {label}{value}"));
    }

    fn headline(&mut self, report: &Report) {
        let (style, text) = headline(report);
        let text = self.paint(style, &text);
        self.line(&format!("{text}\n"));
    }

    fn what(&mut self, report: &Report) {
        self.row("run", &report.run);
        if let Some(run) = &report.retries {
            self.row("retry of", run);
        }
        self.row("from", &report.archive);
        self.row("into", &report.target);
        let window = match (&report.window.from, &report.window.until) {
            (None, None) => return,
            (Some(from), None) => format!("since {from}"),
            (None, Some(until)) => format!("until {until}"),
            (Some(from), Some(until)) => format!("{from} to {until}"),
        };
        self.row("window", &window);
    }

    fn counts(&mut self, report: &Report) {
        let objects = &report.objects;
        let mut text = format!("{} of {} done", number(objects.settled), number(objects.total));
        let mut more = |count: u64, what: &str| {
            if count > 0 {
                let _ = write!(text, ", {} {what}", number(count));
            }
        };
        more(objects.quarantined, "in quarantine");
        more(report.objects_beyond_limit, "beyond --limit");
        more(objects.skipped, "skipped by name");
        more(report.objects_outside_window, "from before the window (--slack)");
        self.row("objects", &text);

        let records = &report.records;
        let mut text = format!("{} delivered", number(records.delivered));
        let mut more = |count: u64, what: &str| {
            if count > 0 {
                let _ = write!(text, ", {} {what}", number(count));
            }
        };
        more(records.quarantined, "in quarantine");
        more(records.filtered, report.filtered_words());
        let _ = write!(text, "; {}", ByteCount(report.bytes_delivered));
        self.row("records", &text);
        if let Some(left) = report.stays() {
            self.row("not tried", &left);
        }

        if report.entries_acked > 0 && report.entries_acked < records.delivered {
            let (entries, units) =
                (many(report.entries_acked, "entry"), many(report.put_units, "payload unit"));
            self.row("aggregates", &format!("{entries}, billed as {units}{}", report.billed_beside()));
        }

        let duplicates = match report.possible_duplicates {
            0 => "none".into(),
            count => format!("{} at most: {}", number(count), causes(&report.possible_duplicates_by_cause)),
        };
        self.row("duplicates", &duplicates);
        if report.order_violations > 0 {
            self.row("order", &format!("{}, by sequence number", many(report.order_violations, "violation")));
        }
        if report.inversions + report.possible_inversions > 0 {
            let (sure, possible) = (many(report.inversions, "record"), number(report.possible_inversions));
            self.row(
                "order",
                &format!("{sure} passed by a later one of their key, {possible} more possibly"),
            );
        }
        if report.records_elsewhere > 0 {
            let records = many(report.records_elsewhere, "record");
            let were = agree(report.records_elsewhere, "was", "were");
            let text = format!("{records} {were} taken by another shard than meant, just split or merged");
            self.row("elsewhere", &text);
        }
    }

    /// What held the run up, and what was expected of it.
    fn course(&mut self, report: &Report) {
        if let Some(brake) = report.brake {
            self.row("limited by", brake.words());
        }
        if report.put_latency_ms.p50.is_some() || report.throttled_share > 0.0 {
            self.row("throttled", &format!("{} of the entries sent", percent(report.throttled_share)));
        }
        if let Some(plan) = &report.plan {
            let (records, seconds) = (many(plan.records, "record"), duration(plan.seconds));
            let limit = &plan.binding_limit;
            let others = report.planned_for_others().map(|others| format!("; {others}")).unwrap_or_default();
            self.row("planned", &format!("{records} in {seconds}, limited by {limit}{others}"));
        }
    }

    /// What this process did.
    fn process(&mut self, report: &Report) {
        if report.resumed {
            self.line("\nIn this process:");
        }
        self.speed(report);
        let cache = &report.cache;
        if cache.hits + cache.fetched > 0 {
            let (hits, fetched) = (many(cache.hits, "object"), number(cache.fetched));
            let (size, were) = (ByteCount(cache.bytes), agree(cache.hits, "was", "were"));
            self.row("cache", &format!("{hits} {were} there, {fetched} fetched; {size} decoded"));
        }
        self.row("S3", &format!("{} for objects", many(report.s3_object_requests, "request")));
        if report.reshards > 0 {
            self.row("resharded", &many(report.reshards, "time"));
        }
        self.requests(report);
    }

    fn speed(&mut self, report: &Report) {
        let mut text = duration(report.seconds);
        let records: u64 = report.shards.iter().map(|shard| shard.records).sum();
        let bytes: u64 = report.shards.iter().map(|shard| shard.bytes).sum();
        if report.seconds > 0.0 && records > 0 {
            let records = per_second(records, report.seconds);
            let bytes = per_second(bytes, report.seconds);
            let _ = write!(text, "; {} records/s, {}/s", number(records), ByteCount(bytes));
        }
        self.row("took", &text);
    }

    fn requests(&mut self, report: &Report) {
        let latency = &report.put_latency_ms;
        if let (Some(p50), Some(p99), Some(max)) = (latency.p50, latency.p99, latency.max) {
            self.row(
                "PutRecords",
                &format!("{} median, {} p99, {} max", millis(p50), millis(p99), millis(max)),
            );
        }
        let used = &report.utilisation;
        if let (Some(min), Some(median), Some(max)) = (used.min, used.median, used.max) {
            let (min, median, max) = (percent(min), percent(median), percent(max));
            self.row("shards used", &format!("{median} of the configured rate (least {min}, most {max})"));
        }
    }

    fn shards(&mut self, shards: &[ShardReport], width: usize) {
        if shards.is_empty() || shards.len() > SHARDS_LISTED_MAX {
            return;
        }
        let cells: Vec<[String; 5]> = shards
            .iter()
            .map(|shard| {
                let used = shard.utilisation.map_or_else(|| "idle".into(), percent);
                let throttled = match shard.throttled {
                    0 => String::new(),
                    count => format!("{} throttled", number(count)),
                };
                let records = many(shard.records, "record");
                [shard.shard.clone(), records, ByteCount(shard.bytes).to_string(), used, throttled]
            })
            .collect();
        let widest = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let columns = [widest(0), widest(1), widest(2), widest(3)];
        let room = width.saturating_sub(columns.iter().sum::<usize>() + 2 + 4 * 3 + widest(4)).min(20);
        self.line("");
        for (row, shard) in cells.iter().zip(shards) {
            let [name, records, bytes, used, throttled] = row;
            let [c0, c1, c2, c3] = columns;
            let bar = bar(shard.utilisation.unwrap_or(0.0), room);
            let line =
                format!("  {name:<c0$}   {records:>c1$}   {bytes:>c2$}   {used:>c3$}   {bar}   {throttled}");
            self.line(line.trim_end());
        }
    }

    /// The shards on which order itself was the brake, the worst first.
    fn order(&mut self, shards: &[ShardReport]) {
        let held = |shard: &ShardReport| shard.held_by_order.unwrap_or(0.0);
        let mut hot: Vec<&ShardReport> =
            shards.iter().filter(|shard| held(shard) >= HELD_MENTIONED).collect();
        if hot.is_empty() {
            return;
        }
        hot.sort_by(|left, right| held(right).total_cmp(&held(left)));
        self.line("\nHeld by the order of few keys, which go one record a round trip:");
        for shard in hot.iter().take(SHARDS_LISTED_MAX) {
            self.line(&format!("  {}   {} of its time", shard.shard, percent(held(shard))));
        }
        if let Some(more) = hot.len().checked_sub(SHARDS_LISTED_MAX).filter(|&more| more > 0) {
            self.line(&format!("  and {}", many(more, "more shard")));
        }
        self.line(
            "  --order relaxed sends them at full speed; a record that is throttled may then be passed",
        );
    }

    fn late(&mut self, report: &Report) {
        let Some(late) = &report.late_objects else { return };
        let (come, changed) = (many(late.late, "object"), many(late.changed, "object"));
        if late.late > 0 {
            let have = agree(late.late, "has", "have");
            self.line(&format!("\nLate: {come} {have} come into the window since it was listed."));
        }
        if late.changed > 0 {
            let (are, they) = (agree(late.changed, "is", "are"), agree(late.changed, "it was", "they were"));
            self.line(&format!(
                "\nChanged: {changed} {are} not as {they} when the window was listed; a new replay would send again what is the same."
            ));
        }
        for key in &late.keys {
            self.line(&format!("  {}", shown(key)));
        }
        if let Some(path) = &late.path {
            self.line(&format!("  listed in {path}"));
        }
        if let Some(error) = &late.error {
            self.line(&format!("\nWhether anything has come late is not known: {error}"));
        }
    }

    fn next(&mut self, report: &Report) {
        let command = |page: &Self, command: &str| page.paint(BOLD, command);
        match report.next_steps.as_slice() {
            [] => {}
            [step] => {
                let command = command(self, &step.command);
                self.line(&format!("\nNext:\n  {command}"));
            }
            steps => {
                self.line("\nNext:");
                for step in steps {
                    let command = command(self, &step.command);
                    self.line(&format!("  {}:\n    {command}", step.why));
                }
            }
        }
    }

    fn quarantine(&mut self, report: &Report) {
        let quarantine = &report.quarantine;
        if quarantine.reasons.is_empty() && quarantine.path.is_none() {
            return;
        }
        self.line("\nQuarantine:");
        let counts: Vec<String> = quarantine.reasons.values().map(|&count| number(count)).collect();
        let widest = counts.iter().map(String::len).max().unwrap_or(0);
        for (reason, count) in quarantine.reasons.keys().zip(&counts) {
            self.line(&format!("  {count:>widest$}  {reason}"));
            if let Some(remedy) = quarantine.remedies.get(reason) {
                self.line(&format!("  {:>widest$}  {remedy}", ""));
            }
        }
        if let Some(path) = &quarantine.path {
            self.line(&format!("  listed in {path}"));
        }
    }
}

/// How it ended, in a sentence, and its colour.
pub(super) fn headline(report: &Report) -> (&'static str, String) {
    let aside = report.objects.quarantined + report.records.quarantined;
    let message = report.message.as_deref().unwrap_or("it was stopped");
    match report.state {
        RunState::Done if report.exit_code == 1 => {
            (BOLD_RED, format!("Done, but {} arrived out of order.", many(report.order_violations, "record")))
        }
        RunState::Done if aside > 0 && report.records.delivered == 0 => {
            (BOLD_YELLOW, "Done, but nothing was sent: see quarantine.".into())
        }
        RunState::Done if aside > 0 => {
            (BOLD_YELLOW, "Done, but not everything could be sent: see quarantine.".into())
        }
        RunState::Done if report.left.is_some() => {
            (BOLD_YELLOW, format!("Done, but {}.", report.stays().unwrap_or_default()))
        }
        RunState::Done => (BOLD_GREEN, "Done: every record is delivered.".into()),
        RunState::Running | RunState::Incomplete => {
            let first = report.next_steps.first();
            let goes_on = first.is_none_or(|step| step.command.starts_with("respool resume"));
            let goes_on = if goes_on { "; the run can go on" } else { "" };
            (BOLD_YELLOW, format!("Incomplete: {message}. Nothing is lost{goes_on}."))
        }
        RunState::Refused => (BOLD_RED, format!("Refused: {message}.")),
    }
}

/// `12 after a time-out, 3 after a stop`.
pub(super) fn causes(doubts: &Doubts) -> String {
    let causes = [
        (doubts.earlier_process, "sent by a process that was stopped"),
        (doubts.timeout, "without an answer in time"),
        (doubts.connection, "cut off with their connection"),
        (doubts.server_error, "answered with a server error"),
        (doubts.internal_failure, "answered with InternalFailure"),
        (doubts.bad_answer, "answered with nonsense"),
        (doubts.misplaced, "in aggregates that met a change of shards"),
    ];
    let counted = causes.iter().filter(|(count, _)| *count > 0);
    counted.map(|(count, what)| format!("{} {what}", number(*count))).collect::<Vec<_>>().join(", ")
}

/// `98.1 %`; a trace is `<0.1 %`, so that only nothing looks like nothing.
pub(super) fn percent(part: f64) -> String {
    match part * 100.0 {
        0.0 => "0 %".into(),
        percent if percent < 0.1 => "<0.1 %".into(),
        percent => format!("{percent:.1} %"),
    }
}

/// `12 ms`; what rounds to nothing is still something.
fn millis(value: f64) -> String {
    if value < 1.0 { "<1 ms".into() } else { format!("{} ms", number(whole(value))) }
}

/// `0.4 s`, `2 min 05 s`, `3 h 07 min`, `2 d 04 h`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = whole(seconds);
    match whole {
        0..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for a person, of four digits")]
pub(in crate::run) fn per_second(count: u64, seconds: f64) -> u64 {
    whole(count as f64 / seconds)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, NaN becomes 0")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

fn bar(part: f64, columns: usize) -> String {
    let columns = u32::try_from(columns).unwrap_or(0);
    let filled = whole(part.clamp(0.0, 1.0) * f64::from(columns));
    "█".repeat(usize::try_from(filled).unwrap_or(0))
}
