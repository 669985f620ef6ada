//! What a benchmark found, as a table and as JSON.
//!
//! The JSON fields are an interface, described in `docs/benchmarks.md`; they are added to, never renamed.

use std::fmt::Write as _;

use serde::Serialize;

use super::latency::PutLatency;
use super::meter::start_up;
use super::usage;
use crate::config::{BenchConfig, BenchSource, BenchSubject, RateCap, Target};
use crate::run::report::number;

/// A benchmark's result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Bench {
    /// respool's version.
    pub(super) version: &'static str,
    /// On what it ran.
    pub(super) machine: String,
    /// Cores that were there.
    pub(super) cores: usize,
    /// When it began, in RFC 3339.
    pub(super) started: String,
    /// Where the records came from: `generated` or the archive's address.
    pub(super) source: String,
    /// Where they went: `sim` or the stream.
    pub(super) target: String,
    /// What was kept in order.
    pub(super) order: &'static str,
    /// The part of each shard's limits that was taken.
    pub(super) share: f64,
    /// Whether records were packed into aggregates.
    pub(super) aggregate: bool,
    /// The bound of the whole run, as `--max-rate` takes it; `null` without one.
    pub(super) max_rate: Option<String>,
    /// How requests were made; `null` where none are, in this process and without a stream.
    pub(super) send: Option<&'static str>,
    /// How long a call to the embedded stream takes; `null` for a stream that is there.
    pub(super) latency_ms: Option<f64>,
    /// How long a step lasts.
    pub(super) duration_seconds: f64,
    /// What of that is not counted at its beginning, at least: nor is what it takes to fill the read-ahead.
    pub(super) start_up_seconds: f64,
    /// Whether all steps were done.
    pub(super) complete: bool,
    /// The steps.
    pub(super) steps: Vec<Step>,
}

/// What one step found, sustained: without start-up and tail.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Step {
    /// Open shards.
    pub(super) shards: u32,
    /// Bytes of a record; of an archive's the average.
    pub(super) record_size: u32,
    /// How the shards measure their second; `null` for a stream that is there.
    pub(super) burst_model: Option<&'static str>,
    /// How long was measured.
    pub(super) seconds: f64,
    /// Records that were acknowledged.
    pub(super) records_per_second: f64,
    /// What that comes down to once a million records wait for a hot key or a hot shard; `null` where it lasts.
    pub(super) lasting_records_per_second: Option<f64>,
    /// Their data and keys.
    pub(super) mb_per_second: f64,
    /// What the configured share of all shards takes of such records, and no more than `--max-rate`; `null` without limits.
    pub(super) limit_records_per_second: Option<f64>,
    /// The part of the configured rate that was used, of all shards.
    pub(super) utilisation: Option<f64>,
    /// Of the shard that used least.
    pub(super) utilisation_min: Option<f64>,
    /// Entries that were throttled, as a part of all that were sent.
    pub(super) throttled_share: f64,
    /// From a request's departure to its answer, in the whole step.
    pub(super) put_latency_ms: PutLatency,
    /// CPU time a second, without the embedded stream's own: 1 is one core.
    pub(super) cpu_share: f64,
    /// The embedded stream's own.
    pub(super) stream_cpu_share: f64,
    /// CPU time per 10^9 bytes, without the embedded stream's own.
    pub(super) cpu_seconds_per_gb: Option<f64>,
    /// Anonymous memory, the most that was seen.
    pub(super) rss_anon_mb: Option<f64>,
    /// What the step was limited by: `shards` is what one wants to see.
    pub(super) limited_by: &'static str,
    /// Whether the read-ahead was filled before anything was measured; if not, the CPU time has it in it.
    pub(super) read_ahead_filled: bool,
}

/// What marks the CPU time of a step that could not wait for its read-ahead.
const UNFILLED: &str = "*";

const HEAD: [&str; 15] = [
    "shards",
    "bytes",
    "burst",
    "records/s",
    "lasting",
    "MB/s",
    "used",
    "lowest",
    "throttled",
    "p50 ms",
    "p99 ms",
    "p99.9 ms",
    "CPU",
    "CPU s/GB",
    "memory",
];

impl Bench {
    /// Nothing measured yet.
    pub(super) fn new(config: &BenchConfig) -> Self {
        let latency_ms = match &config.subject {
            BenchSubject::Sweep { latency, .. } => Some(latency.as_secs_f64() * 1_000.0),
            BenchSubject::Stream { .. } | BenchSubject::Stages => None,
        };
        let send = match &config.subject {
            BenchSubject::Stream { target: Target::Kinesis { .. }, .. } => Some(config.tuning.send.word()),
            _ => None,
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            machine: usage::machine(),
            cores: usage::cores(),
            started: format!("{:.0}", crate::run::now()),
            source: match &config.source {
                BenchSource::Generated { .. } => "generated".into(),
                BenchSource::Archive { address, .. } => address.to_string(),
            },
            target: match &config.subject {
                BenchSubject::Stream { target, .. } => target.to_string(),
                BenchSubject::Sweep { .. } | BenchSubject::Stages => "sim".into(),
            },
            order: config.order.as_str(),
            share: config.tuning.share.get(),
            aggregate: config.aggregate,
            max_rate: (config.tuning.max_rate != RateCap::default())
                .then(|| config.tuning.max_rate.to_string()),
            send,
            latency_ms,
            duration_seconds: config.duration.as_secs_f64(),
            start_up_seconds: start_up(config.duration).as_secs_f64(),
            complete: false,
            steps: Vec::new(),
        }
    }

    /// As one JSON object.
    pub(super) fn to_json(&self) -> String {
        // Finite numbers and strings always are JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What was measured, in a sentence.
    pub(super) fn subtitle(&self) -> String {
        let latency = self.latency_ms.map(|ms| format!(", a call takes {ms} ms")).unwrap_or_default();
        let aggregate = if self.aggregate { ", records aggregated" } else { "" };
        let max_rate = self.max_rate.as_ref().map(|rate| format!(", at most {rate}")).unwrap_or_default();
        let send = self.send.map(|send| format!(", requests {send}")).unwrap_or_default();
        format!(
            "order {}, share {}{aggregate}{max_rate}{send}{latency}; each step {} s, of which the first {} s or more do not count",
            self.order, self.share, self.duration_seconds, self.start_up_seconds
        )
    }

    /// The table's head and rows, as text.
    pub(super) fn rows(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let burst =
            self.steps.iter().any(|step| step.burst_model != self.steps.first().and_then(|s| s.burst_model));
        let lasting = self.has_less_in_the_end();
        let keep = |name: &&str| match *name {
            "burst" => burst,
            "lasting" => lasting,
            _ => true,
        };
        let head: Vec<&str> = HEAD.iter().copied().filter(|name| keep(name)).chain(["limit"]).collect();
        let rows = self.steps.iter().map(|step| {
            let cells = HEAD.iter().copied().zip(step.cells()).filter(|(name, _)| keep(name));
            cells.map(|(_, cell)| cell).chain([step.limited_by.to_owned()]).collect()
        });
        (head, rows.collect())
    }

    /// The table, for a person.
    pub(super) fn render(&self) -> String {
        let (head, rows) = self.rows();
        let mut text = format!("{}\n{}\n\n", self.machine, self.subtitle());
        let head = head.iter().map(|cell| (*cell).to_owned()).collect();
        let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        let columns = lines.first().map_or(0, Vec::len);
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
            let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for note in self.notes() {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }

    fn has_less_in_the_end(&self) -> bool {
        self.steps.iter().any(|step| step.lasting_records_per_second.is_some())
    }

    /// What is to be said of rows that do not tell everything.
    pub(super) fn notes(&self) -> Vec<String> {
        let short = self.steps.iter().any(|step| !step.read_ahead_filled);
        let short = short.then(|| {
            format!(
                "{UNFILLED} the step was too short to fill what a run reads ahead, so that the CPU time is higher than that \
                 of a long run: give a longer --duration"
            )
        });
        let lasting = self.has_less_in_the_end().then(|| {
            "lasting: what is left of it over a long archive, by the model of `respool plan`. Few keys or one shard have more \
             than their part, and the others wait for them once a million records do; a step is over before"
                .to_owned()
        });
        short.into_iter().chain(lasting).collect()
    }
}

impl Step {
    fn mark(&self) -> &'static str {
        if self.read_ahead_filled { "" } else { UNFILLED }
    }

    fn cells(&self) -> [String; HEAD.len()] {
        let percent = |part: Option<f64>, decimals: usize| {
            part.map_or_else(|| "–".to_owned(), |part| format!("{:.decimals$} %", part * 100.0))
        };
        let decimal = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let put = self.put_latency_ms;
        [
            number(u64::from(self.shards)),
            number(u64::from(self.record_size)),
            self.burst_model.unwrap_or("–").to_owned(),
            whole(self.records_per_second),
            whole(self.lasting_records_per_second.unwrap_or(self.records_per_second)),
            format!("{:.2}", self.mb_per_second),
            percent(self.utilisation, 1),
            percent(self.utilisation_min, 1),
            percent(Some(self.throttled_share), 3),
            decimal(put.p50, 1),
            decimal(put.p99, 1),
            decimal(put.p999, 1),
            format!("{}{}", percent(Some(self.cpu_share), 1), self.mark()),
            decimal(self.cpu_seconds_per_gb, 1),
            self.rss_anon_mb.map_or_else(|| "–".to_owned(), |mb| format!("{mb:.0} MB")),
        ]
    }

    /// The step in one line, while others are still to come.
    pub(super) fn sentence(&self) -> String {
        let used = self
            .utilisation
            .map(|used| format!(", {:.1} % of the configured rate", used * 100.0))
            .unwrap_or_default();
        let lasting = self.lasting_records_per_second;
        let lasting = lasting.map(|rate| format!("; {} records/s over a long archive", whole(rate)));
        let lasting = lasting.unwrap_or_default();
        format!(
            "{} records/s{used}, {:.1} % of a core{}",
            whole(self.records_per_second),
            self.cpu_share * 100.0,
            if self.read_ahead_filled { "" } else { " while it still reads ahead" }
        ) + &lasting
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate: positive and far below 2^53"
)]
pub(super) fn whole(value: f64) -> String {
    number(value.round().max(0.0) as u64)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// Two steps of a sweep.
    pub(in crate::bench) fn bench() -> Bench {
        let step = |shards: u32, model| Step {
            shards,
            record_size: 1_000,
            burst_model: Some(model),
            seconds: 8.0,
            records_per_second: 970.4 * f64::from(shards),
            lasting_records_per_second: None,
            mb_per_second: 0.98 * f64::from(shards),
            limit_records_per_second: Some(971.0 * f64::from(shards)),
            utilisation: Some(0.9994),
            utilisation_min: Some(0.998),
            throttled_share: 0.0,
            put_latency_ms: PutLatency {
                p50: Some(20.1),
                p99: Some(21.0),
                p999: Some(30.0),
                max: Some(31.0),
            },
            cpu_share: 0.012 * f64::from(shards),
            stream_cpu_share: 0.001,
            cpu_seconds_per_gb: Some(12.25),
            rss_anon_mb: Some(60.4),
            limited_by: "shards",
            read_ahead_filled: true,
        };
        Bench {
            version: "0.0.0",
            machine: "2 cores, <a \"machine\">".into(),
            cores: 2,
            started: "2026-11-26T22:00:00Z".into(),
            source: "generated".into(),
            target: "sim".into(),
            order: "key",
            share: 0.98,
            aggregate: false,
            max_rate: None,
            send: None,
            latency_ms: Some(20.0),
            duration_seconds: 10.0,
            start_up_seconds: 2.0,
            complete: true,
            steps: vec![step(1, "second"), step(128, "second")],
        }
    }

    #[test]
    fn the_table_stands_in_columns() {
        let text = bench().render();
        let lines: Vec<&str> = text.lines().skip(3).collect();
        let [head, one, many] = lines[..] else { panic!("{text}") };
        assert!(head.trim_start().starts_with("shards  bytes  records/s"), "{text}");
        assert!(one.contains("99.9 %") && many.contains("124,211"), "{text}");
        let ends = |line: &str, word: &str| line.find(word).unwrap() + word.len();
        assert_eq!(ends(head, "records/s"), ends(one, "  970"), "{text}");
        assert_eq!(ends(head, "records/s"), ends(many, "124,211"), "{text}");
    }

    #[test]
    fn a_step_that_still_read_ahead_is_marked() {
        let mut bench = bench();
        assert!(!bench.render().contains(UNFILLED));
        bench.steps[0].read_ahead_filled = false;
        let text = bench.render();
        assert!(text.contains("1.2 %*") && text.contains("\n\n* the step was too short"), "{text}");
        assert!(bench.csv().contains(",shards,false,"), "{}", bench.csv());
        assert!(bench.steps[0].sentence().ends_with("1.2 % of a core while it still reads ahead"));
    }

    #[test]
    fn a_rate_that_does_not_last_has_what_does_beside_it() {
        let mut bench = bench();
        assert!(!bench.render().contains("lasting"));
        let hot = &mut bench.steps[1];
        (hot.lasting_records_per_second, hot.limited_by) = (Some(9_000.4), "order");
        assert!(hot.sentence().ends_with("; 9,000 records/s over a long archive"), "{}", hot.sentence());
        let text = bench.render();
        assert!(text.contains("124,211    9,000  ") && text.contains("\n\nlasting: "), "{text}");
        assert!(super::super::picture::draw(&bench).contains("by the model of"));
        assert!(bench.csv().ends_with(",9000.400000\n"), "{}", bench.csv());
    }

    #[test]
    fn the_burst_model_is_shown_where_it_differs() {
        let mut bench = bench();
        assert!(!bench.render().contains("burst"));
        bench.steps[1].burst_model = Some("tenth");
        assert!(bench.render().contains("tenth"));
    }

    /// A picture or a spreadsheet that is passed on has no command line beside it.
    #[test]
    fn everything_that_shapes_a_run_is_told_everywhere() {
        let mut told = bench();
        assert!(
            told.subtitle().starts_with("order key, share 0.98, a call takes 20 ms;"),
            "{}",
            told.subtitle()
        );
        (told.aggregate, told.send, told.latency_ms) = (true, Some("sdk"), None);
        told.max_rate = Some("5000000B/s,700rec/s".into());
        let head =
            "order key, share 0.98, records aggregated, at most 5000000B/s,700rec/s, requests sdk; each";
        assert!(told.subtitle().starts_with(head), "{}", told.subtitle());
        assert!(told.render().contains(head));
        assert!(super::super::picture::draw(&told).contains(head));
        assert!(told.csv().contains(",key,0.98,true,5000000B/s 700rec/s,sdk,\n"), "{}", told.csv());
        assert_eq!(told.csv().lines().map(|line| line.split(',').count()).max(), Some(25));
        let value: serde_json::Value = serde_json::from_str(&told.to_json()).unwrap();
        let found = ["aggregate", "max_rate", "send"].map(|field| value[field].clone());
        assert_eq!(found, [json!(true), json!("5000000B/s,700rec/s"), json!("sdk")]);
    }

    #[test]
    fn json_has_the_promised_fields() {
        let value: serde_json::Value = serde_json::from_str(&bench().to_json()).unwrap();
        let step = &value["steps"][1];
        for field in [
            "shards",
            "record_size",
            "records_per_second",
            "mb_per_second",
            "utilisation",
            "throttled_share",
            "put_latency_ms",
            "cpu_seconds_per_gb",
            "rss_anon_mb",
        ] {
            assert!(!step[field].is_null(), "{field}: {step}");
        }
    }
}
