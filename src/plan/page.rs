//! A plan as one page for a terminal of 80 columns.
//!
//! What a person wants to know stands in the order in which they ask: how much is it, how long does it take with how
//! many shards, what is in the way, what do I type. A line stands only where it says something.

use std::fmt::Write as _;

use super::report::{Plan, ShardsReport};
use crate::record::{ByteCount, many};
use crate::run::key_fields::table;
use crate::run::report::{duration, number};

/// Columns of a label.
const LABEL: usize = 12;
/// Columns of the page, at most.
const WIDTH_MAX: usize = 80;
/// Keys that are named.
const KEYS_SHOWN: usize = 3;
/// A key with less of the records is nothing to be named for.
const SHARE_NAMED: f64 = 0.002;
/// Gaps that are named.
const GAPS_SHOWN: usize = 3;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[1;33m";
const PLAIN: &str = "\x1b[0m";

impl Plan {
    /// The page for a person; ends with a line feed.
    #[must_use]
    pub fn render(&self, width: usize, color: bool) -> String {
        let mut page = Page { text: String::new(), width: width.min(WIDTH_MAX), color };
        page.headline(self);
        page.what(self);
        if self.in_vain().is_some() {
            // How long nothing takes is nothing to know.
            page.candidates(self);
            page.next(self);
            return page.text;
        }
        page.records(self);
        page.shards(self);
        page.deadline(self);
        page.warnings(self);
        page.candidates(self);
        page.assumed(self);
        page.next(self);
        page.text
    }
}

struct Page {
    text: String,
    width: usize,
    color: bool,
}

impl Page {
    fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("{style}{text}{PLAIN}") } else { text.to_owned() }
    }

    /// A label and what it says, over as many lines as that takes.
    fn row(&mut self, label: &str, value: &str) {
        for (place, line) in wrap(value, self.width - LABEL - 2).into_iter().enumerate() {
            let label = self.paint(DIM, &format!("{:<LABEL$}", if place == 0 { label } else { "" }));
            let _ = writeln!(self.text, "  {label}{line}");
        }
    }

    fn headline(&mut self, plan: &Plan) {
        let exact = if plan.sample.whole { "" } else { "about " };
        let limit = plan.binding_limit.map_or("nothing", super::model::BindingLimit::words);
        let shards = if plan.shards == 1 { "one shard".to_owned() } else { many(plan.shards, "shard") };
        let text = plan.in_vain().unwrap_or_else(|| {
            format!(
                "{exact}{}: {} with {shards}, limited by {limit}.",
                many(plan.records, "record"),
                duration(plan.seconds)
            )
        });
        let mut letters = text.chars();
        let text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
        for line in wrap(&text, self.width) {
            let line = self.paint(BOLD, &line);
            let _ = writeln!(self.text, "{line}");
        }
        self.text.push('\n');
    }

    fn what(&mut self, plan: &Plan) {
        let at =
            |endpoint: &Option<String>| endpoint.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
        self.row("from", &format!("{}{}, {}", plan.archive, at(&plan.archive_endpoint), plan.window));
        if let Some(target) = &plan.target {
            let missing = if plan.target_exists == Some(false) { ", which is not there yet" } else { "" };
            self.row("into", &format!("{target}{}{missing}", at(&plan.target_endpoint)));
        }
        let key = plan.partition_key.as_deref().unwrap_or("still open");
        self.row("key", &format!("{key}, order {}", plan.order));
        let mut objects = format!(
            "{} ({} stored, {} decoded)",
            number(plan.objects),
            ByteCount(plan.bytes_stored),
            ByteCount(plan.bytes_decoded)
        );
        if plan.objects_outside_window > 0 {
            let _ =
                write!(objects, ", {} before the window for the slack", number(plan.objects_outside_window));
        }
        self.row("objects", &objects);
        let sample = &plan.sample;
        let looked = if sample.whole {
            "all of it was read".to_owned()
        } else {
            format!(
                "{}, {:.2} % of the bytes, {}, in {:.1} s",
                many(sample.objects, "object"),
                sample.share * 100.0,
                many(sample.records, "record"),
                sample.seconds
            )
        };
        self.row("looked at", &looked);
        for gap in plan.gaps.iter().take(GAPS_SHOWN) {
            #[expect(clippy::cast_precision_loss, reason = "a length for people")]
            let length = duration(gap.seconds as f64);
            self.row("gap", &format!("{length} from {} to {}", gap.from, gap.until));
        }
        if let Some(more) = plan.gaps.len().checked_sub(GAPS_SHOWN).filter(|more| *more > 0) {
            self.row("", &format!("and {more} shorter ones"));
        }
    }

    fn records(&mut self, plan: &Plan) {
        let records = with_error(&number(plan.records), plan.records, plan.records_error);
        let bytes = with_error(&ByteCount(plan.bytes).to_string(), plan.bytes, plan.bytes_error);
        self.row("records", &format!("{records} of {bytes} with their keys"));
        let size = &plan.record_bytes;
        let bytes = |bytes: u32| ByteCount(bytes.into()).to_string();
        self.row(
            "sizes",
            &format!(
                "half up to {}, 99 % up to {}, largest {}",
                bytes(size.p50),
                bytes(size.p99),
                bytes(size.max)
            ),
        );
        if let Some(distinct) = plan.keys.distinct {
            let about = if plan.sample.whole { "" } else { "about " };
            self.row("keys", &format!("{about}{}; {}", number(distinct), top_keys(plan)));
        }
        for (reason, count) in &plan.records_set_aside {
            self.row("set aside", &format!("{} {reason}", number(*count)));
        }
        if plan.records_filtered > 0 {
            self.row("left out", &format!("{} by your flags", number(plan.records_filtered)));
        }
        if plan.duplicates_share > 0.0 {
            let share = plan.duplicates_share * 100.0;
            self.row("same bytes", &format!("{share:.2} % of the records looked at repeat another one"));
        }
    }

    fn shards(&mut self, plan: &Plan) {
        let heading = format!(
            "{:>8}  {:<12} {:<12} {:>9}    {:<12} {:>9}",
            "shards", "time", "limit", "cost", "aggregated", "cost"
        );
        let heading = self.paint(DIM, heading.trim_end());
        let _ = writeln!(self.text, "\n{heading}");
        for one in &plan.by_shards {
            let line = shards_line(one);
            let line = if one.shards == plan.shards { self.paint(BOLD, &line) } else { line };
            let _ = writeln!(self.text, "{line}");
        }
        let line = format!(
            "{:>8}  {:<12} {:<12} {:>9}",
            "demand",
            duration(plan.on_demand.seconds),
            "a new one",
            dollars(plan.on_demand.cost_usd)
        );
        let _ = writeln!(self.text, "{line}");
        let text = cost_line(plan);
        if !text.is_empty() {
            self.text.push('\n');
            self.paragraph("", &text);
        }
    }

    fn deadline(&mut self, plan: &Plan) {
        let Some(deadline) = &plan.deadline else { return };
        let within = duration(deadline.seconds);
        let best = duration(deadline.best_seconds);
        let text = match (deadline.shards, deadline.binding_limit) {
            (Some(shards), _) => {
                format!("To be done within {within} it takes {} ({best}).", many(shards, "shard"))
            }
            (None, limit) => format!(
                "No number of shards is done within {within}: {} alone takes {best}.",
                limit.map_or("what binds", super::model::BindingLimit::words)
            ),
        };
        self.text.push('\n');
        self.paragraph("", &text);
    }

    fn warnings(&mut self, plan: &Plan) {
        for warning in &plan.warnings {
            self.text.push('\n');
            let label = format!("Warning ({}): ", warning.code);
            let text = format!("{label}{}.", warning.message);
            for (place, line) in wrap(&text, self.width).into_iter().enumerate() {
                let head = self.paint(YELLOW, label.trim_end());
                let line = if place == 0 { line.replacen(label.trim_end(), &head, 1) } else { line };
                let _ = writeln!(self.text, "{line}");
            }
            self.paragraph("  ", &format!("What to do: {}.", warning.action));
        }
    }

    fn candidates(&mut self, plan: &Plan) {
        let text = match plan.partition_key {
            Some(_) if plan.candidates.is_empty() => return,
            Some(_) => "What the records have instead:",
            None => {
                "An archive does not keep the partition keys: choose where they are found. Until then the \
                 plan takes for granted that they spread evenly, and that no order is kept."
            }
        };
        self.text.push('\n');
        self.paragraph("", text);
        if let Some(record) = &plan.first_record {
            self.text.push('\n');
            self.paragraph("  ", record);
            self.text.push('\n');
        }
        self.text.push_str(&table(&plan.candidates, plan.candidates_records, plan.candidates_whole));
    }

    fn assumed(&mut self, plan: &Plan) {
        let assumed = &plan.assumed;
        let round_trip = match assumed.round_trip_from.as_str() {
            "assumed" => " (assumed: --round-trip says better)",
            "embedded" => " (the embedded stream's)",
            _ => "",
        };
        let text = format!(
            "Taken for granted: {:.0} % of each shard's limits, {:.0} ms from a request to its answer{round_trip}, \
             retention {:.0} h, {}, prices of {} in {} (--prices).",
            plan.share * 100.0,
            assumed.round_trip_ms,
            assumed.retention_hours,
            many(assumed.cores, "core"),
            assumed.prices_date,
            assumed.prices_region
        );
        self.text.push('\n');
        self.paragraph("", &text);
    }

    fn next(&mut self, plan: &Plan) {
        let Some(command) = &plan.next_command else { return };
        let painted = self.paint(BOLD, command);
        let _ = writeln!(self.text, "\nNext:\n  {painted}");
        let open = [("FILE", "the plan's file"), ("STREAM", "the new stream's name")];
        let open: Vec<String> = open
            .iter()
            .filter(|(word, _)| command.split(' ').any(|other| other == *word))
            .map(|(word, what)| format!("{what} for {word}"))
            .collect();
        if !open.is_empty() {
            self.paragraph("  ", &format!("(put {})", open.join(", and ")));
        }
    }

    fn paragraph(&mut self, indent: &str, text: &str) {
        for line in wrap(text, self.width - indent.len()) {
            let _ = writeln!(self.text, "{indent}{line}");
        }
    }
}

/// Keys that stand out by their names, or that none does.
fn top_keys(plan: &Plan) -> String {
    let named = |key: &super::report::TopKey| {
        let text: String = plan.key_texts.get(&key.hash)?.chars().take(24).collect();
        (key.share >= SHARE_NAMED).then(|| format!("{text} {:.1} %", key.share * 100.0))
    };
    let top: Vec<String> = plan.keys.top.iter().take(KEYS_SHOWN).filter_map(named).collect();
    if top.is_empty() {
        let most = plan.keys.top.first().map_or(0.0, |key| key.share * 100.0);
        return format!("none has more than {most:.2} % of the records");
    }
    format!("most frequent: {}", top.join(", "))
}

fn shards_line(one: &ShardsReport) -> String {
    format!(
        "{:>8}  {:<12} {:<12} {:>9}    {:<12} {:>9}",
        number(one.shards.into()),
        duration(one.seconds),
        one.binding_limit.words(),
        dollars(one.cost_usd),
        duration(one.aggregated.seconds),
        dollars(one.aggregated.cost_usd)
    )
}

/// What the cost of the plan is made of; nothing where nothing is paid.
fn cost_line(plan: &Plan) -> String {
    let cost = &plan.cost;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, at least 0")]
    let counted = |count: f64, what: &str| many(count.round() as u64, what);
    let (hour, payload) = if cost.put_units > 0.0 {
        ("shard-hour", counted(cost.put_units, "PUT unit") + " of 25 KB")
    } else {
        ("stream-hour", "bytes in and out".to_owned())
    };
    let parts = [
        (cost.hours_usd, counted(cost.hours, hour)),
        (cost.payload_usd, payload),
        (cost.retention_usd, "keeping them for more than a day".to_owned()),
        (cost.requests_usd, counted(cost.requests, "S3 request")),
    ];
    let part = |(usd, what): (f64, String)| match usd {
        nothing if nothing <= 0.0 => None,
        small if small < 0.000_5 => Some(format!("{what} <$0.001")),
        small if small < 1.0 => Some(format!("{what} ${small:.3}")),
        _ => Some(format!("{what} {}", dollars(usd))),
    };
    let parts: Vec<String> = parts.into_iter().filter_map(part).collect();
    if parts.is_empty() {
        return String::new();
    }
    let reading = plan.reading_seconds.filter(|reading| *reading > plan.seconds);
    let reading = reading.map(|reading| format!(" (the worker reads for {})", duration(reading)));
    format!("Cost: {}{}.", parts.join(", "), reading.unwrap_or_default())
}

/// `$0.42`, `$1,234`; less than a cent is not nothing.
pub(super) fn dollars(amount: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an amount of money, at least 0"
    )]
    let whole = amount.max(0.0).round() as u64;
    match amount {
        0.0 => "-".to_owned(),
        small if small < 0.005 => "<$0.01".to_owned(),
        small if small < 100.0 => format!("${small:.2}"),
        _ => format!("${}", number(whole)),
    }
}

/// `12,345 ± 2 %`; nothing is said of what is exact.
#[expect(clippy::cast_precision_loss, reason = "a part for people")]
fn with_error(text: &str, value: u64, error: Option<u64>) -> String {
    match error {
        Some(0) => text.to_owned(),
        Some(error) => format!("{text} ± {:.1} %", error as f64 / (value as f64).max(1.0) * 100.0),
        None => format!("{text} (from a single object: how far off is not known)"),
    }
}

/// Lines of at most `width` characters, broken at spaces; a longer word is cut.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(20);
    let mut lines = vec![String::new()];
    let mut columns = 0;
    for word in text.split(' ') {
        let letters: Vec<char> = word.chars().collect();
        for (place, piece) in letters.chunks(width).enumerate() {
            if columns > 0 && (place > 0 || columns + 1 + piece.len() > width) {
                lines.push(String::new());
                columns = 0;
            }
            let Some(line) = lines.last_mut() else { continue };
            if columns > 0 {
                line.push(' ');
                columns += 1;
            }
            line.extend(piece);
            columns += piece.len();
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_and_long_words_anywhere() {
        assert_eq!(wrap("one two three four five six", 20), ["one two three four", "five six"]);
        let lines = wrap(&"x".repeat(50), 20);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [20, 20, 10]);
        assert_eq!(wrap("", 20), [""]);
    }

    #[test]
    fn money_is_told_to_the_cent_as_long_as_that_matters() {
        for (amount, text) in
            [(0.0, "-"), (0.0004, "<$0.01"), (0.4249, "$0.42"), (12.0, "$12.00"), (1_234.4, "$1,234")]
        {
            assert_eq!(dollars(amount), text);
        }
    }

    #[test]
    fn the_error_of_an_estimate_is_a_part_of_it() {
        assert_eq!(with_error("1,000", 1_000, Some(25)), "1,000 ± 2.5 %");
        assert_eq!(with_error("1,000", 1_000, Some(0)), "1,000");
    }
}
