//! What `report` must hold.

use super::page::{duration, number};
use super::*;

pub(super) fn finished() -> Report {
    Report {
        state: RunState::Done,
        exit_code: 0,
        seconds: 15.62,
        objects: ObjectCounts { total: 32, settled: 32, quarantined: 0, skipped: 1 },
        records: RecordCounts { delivered: 60_000, quarantined: 0, filtered: 0 },
        bytes_delivered: 18_345_678,
        utilisation: Spread { min: Some(0.979), median: Some(0.98), max: Some(0.9812) },
        put_latency_ms: Latency { p50: Some(11.8), p99: Some(40.2), p999: Some(61.5), max: Some(87.6) },
        cache: CacheReport { hits: 32, fetched: 0, bytes: 18_900_000 },
        brake: Some(Brake::Shards),
        shards: vec![shard(0, 15_012, Some(0.98)), shard(1, 44_988, Some(0.5)), shard(2, 0, None)],
        page: Some("/state/respool/runs/flights-1/report.html".into()),
        ..Report::new("flights-1", "tests/fixtures/archive", "sim:3")
    }
}

fn shard(n: u32, records: u64, utilisation: Option<f64>) -> ShardReport {
    let shard = format!("shardId-{n:012}");
    ShardReport { shard, records, bytes: records * 300, utilisation, held_by_order: None, throttled: 0 }
}

pub(super) fn planned() -> PlanFigures {
    PlanFigures {
        objects: 32,
        bytes_stored: 2_000_000,
        records: 61_000,
        bytes: 18_000_000,
        shards: 3,
        seconds: 15.0,
        binding_limit: "records/s".into(),
        cost_usd: 0.05,
        shard_hour_usd: Some(0.015),
        put_unit_usd: Some(1.4e-8),
    }
}

#[test]
fn a_clean_run_is_short_and_aligned() {
    let expected = "\
Done: every record is delivered.

  run          flights-1
  from         tests/fixtures/archive
  into         sim:3
  objects      32 of 32 done, 1 skipped by name
  records      60,000 delivered; 18.3 MB
  duplicates   none
  limited by   the shards' limits
  throttled    0 % of the entries sent
  took         15.6 s; 3,841 records/s, 1.2 MB/s
  cache        32 objects were there, 0 fetched; 18.9 MB decoded
  S3           0 requests for objects
  PutRecords   12 ms median, 40 ms p99, 88 ms max
  shards used  98.0 % of the configured rate (least 97.9 %, most 98.1 %)

  shardId-000000000000   15,012 records    4.5 MB   98.0 %   ████████████████████
  shardId-000000000001   44,988 records   13.5 MB   50.0 %   ██████████
  shardId-000000000002        0 records       0 B     idle

  report       /state/respool/runs/flights-1/report.html
";
    assert_eq!(finished().render(100, false), expected);
}

#[test]
fn what_was_set_aside_is_named_and_the_next_command_stands_last() {
    let mut report = finished();
    report.state = RunState::Incomplete;
    report.exit_code = 4;
    report.message = Some("it was interrupted".into());
    report.window = WindowReport { from: Some("2013-01-01T00:00:00Z".into()), until: None };
    report.objects.quarantined = 2;
    report.records = RecordCounts { delivered: 12_345, quarantined: 1_005, filtered: 3 };
    report.objects_outside_window = 4;
    report.possible_duplicates = 500;
    report.possible_duplicates_by_cause.earlier_process = 480;
    report.possible_duplicates_by_cause.timeout = 20;
    report.throttled_share = 0.000_1;
    report.shards.clear();
    report.quarantine.reasons = [("truncated".into(), 2), ("no_key".into(), 1_005)].into();
    report.quarantine.path = Some("/state/respool/runs/flights-1/quarantine.ndjson".into());
    report.next_steps = vec![step("respool resume flights-1", "go on")];
    let page = report.to_string();
    for line in [
        "Incomplete: it was interrupted. Nothing is lost; the run can go on.",
        "  window       since 2013-01-01T00:00:00Z",
        "  objects      32 of 32 done, 2 in quarantine, 1 skipped by name, 4 from before the window (--slack)",
        "  records      12,345 delivered, 1,005 in quarantine, 3 left out as asked; 18.3 MB",
        "  duplicates   500 at most: 480 sent by a process that was stopped, 20 without an answer in time",
        "  throttled    <0.1 % of the entries sent",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} in {page}");
    }
    let end = "
Quarantine:
  1,005  no_key
      2  truncated
  listed in /state/respool/runs/flights-1/quarantine.ndjson

Next:
  respool resume flights-1
";
    assert!(page.ends_with(end), "{page}");
}

#[test]
fn of_a_resumed_run_no_row_mixes_the_run_and_the_process() {
    let mut report = finished();
    (report.resumed, report.reshards, report.records_elsewhere) = (true, 2, 7);
    report.plan = Some(planned());
    let page = report.to_string();
    let (run, process) = page.split_once("\nIn this process:\n").unwrap();
    let process = process.split_once("\n\n").unwrap().0;
    let labels = |text: &str| -> Vec<String> {
        let rows = text.lines().filter_map(|line| line.strip_prefix("  "));
        rows.map(|row| row.get(..12).unwrap_or(row).trim().to_owned()).collect()
    };
    let of_the_run = [
        "run",
        "from",
        "into",
        "objects",
        "records",
        "duplicates",
        "elsewhere",
        "limited by",
        "throttled",
        "planned",
    ];
    assert_eq!(labels(run), of_the_run, "{page}");
    let of_the_process = ["took", "cache", "S3", "resharded", "PutRecords", "shards used"];
    assert_eq!(labels(process), of_the_process, "{page}");
    assert!(run.contains("7 records were taken by another shard") && process.contains("2 times"), "{page}");
}

#[test]
fn each_field_says_whose_it_is() {
    let rows = include_str!("../../../docs/report.md").lines().filter(|line| line.starts_with("| `"));
    let of_the_process: Vec<&str> = rows
        .filter_map(|row| {
            let mut cells = row.split(" | ");
            let field = cells.next()?.trim_start_matches("| `").split(['.', '[', '`']).next()?;
            match cells.next()? {
                "process" => Some(field),
                whose => {
                    assert_eq!(whose, "run", "{row}");
                    None
                }
            }
        })
        .collect();
    let mut found = of_the_process;
    found.dedup();
    let expected = [
        "exit_code",
        "resumed",
        "seconds",
        "stream_shards",
        "reshards",
        "s3_object_requests",
        "utilisation",
        "put_latency_ms",
        "cache",
        "shards",
    ];
    assert_eq!(found, expected);
}

fn step(command: &str, why: &str) -> NextStep {
    NextStep { command: command.into(), why: why.into() }
}

#[test]
fn of_several_commands_each_says_what_it_is_for() {
    let mut report = finished();
    report.state = RunState::Incomplete;
    report.message = Some("no record of 12,288 has /tailnm".into());
    report.next_steps =
        vec![step("respool quarantine show 0:0 7", "see one"), step("respool resume 7", "or go on")];
    let page = report.to_string();
    assert!(page.starts_with("Incomplete: no record of 12,288 has /tailnm. Nothing is lost.\n"), "{page}");
    let end = "
Next:
  see one:
    respool quarantine show 0:0 7
  or go on:
    respool resume 7
";
    assert!(page.ends_with(end), "{page}");
}

#[test]
fn the_headline_never_flatters() {
    let headline = |change: fn(&mut Report)| {
        let mut report = finished();
        change(&mut report);
        report.to_string().lines().next().unwrap().to_owned()
    };
    let refused = headline(|r| {
        r.state = RunState::Refused;
        r.message = Some("the stream orders does not exist".into());
    });
    assert_eq!(refused, "Refused: the stream orders does not exist.");
    let disorder = headline(|r| {
        r.exit_code = 1;
        r.order_violations = 7;
    });
    assert_eq!(disorder, "Done, but 7 records arrived out of order.");
    let nothing = headline(|r| (r.objects.quarantined, r.records.delivered) = (1, 0));
    assert_eq!(nothing, "Done, but nothing was sent: see quarantine.");
    let aside = headline(|r| r.objects.quarantined = 1);
    assert_eq!(aside, "Done, but not everything could be sent: see quarantine.");
    let left = headline(|r| {
        r.retries = Some("r1".into());
        r.left = Some(LeftReport { records: 1, objects: 2 });
    });
    assert_eq!(left, "Done, but 1 record and 2 whole objects stay in the quarantine of run r1.");
}

#[test]
fn colour_changes_nothing_but_colour() {
    let mut plain = finished().render(100, true);
    assert!(plain.starts_with("\x1b[1;32mDone"));
    for style in ["\x1b[1;32m", "\x1b[2m", "\x1b[0m", "\x1b[1m"] {
        plain = plain.replace(style, "");
    }
    assert_eq!(plain, finished().render(100, false));
}

#[test]
fn an_answer_within_a_millisecond_is_not_called_none() {
    let mut report = finished();
    report.put_latency_ms = Latency { p50: Some(0.4), p99: Some(1.0), p999: None, max: Some(1_234.5) };
    assert!(report.to_string().contains("  PutRecords   <1 ms median, 1 ms p99, 1,235 ms max\n"), "{report}");
}

#[test]
fn many_shards_are_three_numbers() {
    let mut report = finished();
    report.shards = (0..17).map(|n| shard(n, 1, Some(0.9))).collect();
    assert!(!report.to_string().contains("shardId"));
}

#[test]
fn json_has_the_promised_fields_and_reads_back() {
    let report = finished();
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["state"], "done");
    assert_eq!(json["objects"], serde_json::json!({"total":32,"settled":32,"quarantined":0,"skipped":1}));
    assert_eq!(json["records"], serde_json::json!({"delivered":60_000,"quarantined":0,"filtered":0}));
    assert_eq!(json["utilisation"], serde_json::json!({"min":0.979,"median":0.98,"max":0.9812}));
    assert_eq!(json["put_latency_ms"], serde_json::json!({"p50":11.8,"p99":40.2,"p999":61.5,"max":87.6}));
    assert_eq!(json["brake"], "shards");
    for field in ["run", "exit_code", "seconds", "bytes_delivered", "possible_duplicates", "throttled_share"]
    {
        assert!(!json[field].is_null(), "{field}");
    }
    assert_eq!(json["s3_object_requests"], 0);
    assert_eq!(serde_json::from_str::<Report>(&report.to_json()).unwrap(), report);
    assert!(!report.to_json().contains('\n'));
}

#[test]
fn every_field_is_documented() {
    let documents = include_str!("../../../docs/report.md");
    let mut report = finished();
    report.next_steps = vec![step("respool resume", "go on")];
    report.late_objects = Some(LateReport::default());
    report.left = Some(LeftReport::default());
    report.plan = Some(planned());
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let mut paths = Vec::new();
    collect("", &json, &mut paths);
    for path in &paths {
        assert!(documents.contains(&format!("| `{path}` |")), "{path} is missing in docs/report.md");
    }
    let rows = documents.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(rows, paths.len(), "docs/report.md has rows for fields that are none");
}

/// The paths of all leaves; a list of objects is told by its first element.
fn collect(path: &str, value: &serde_json::Value, paths: &mut Vec<String>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        serde_json::Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| collect(&below(name), value, paths));
        }
        serde_json::Value::Array(list) if !list.is_empty() => collect(&format!("{path}[]"), &list[0], paths),
        _ => paths.push(path.to_owned()),
    }
}

#[test]
fn spreads_are_of_finite_values() {
    let spread = |values: &[f64]| Spread::of(values.iter().copied());
    assert_eq!(spread(&[]), Spread::default());
    assert_eq!(
        spread(&[3.0, f64::NAN, 1.0, 2.0]),
        Spread { min: Some(1.0), median: Some(2.0), max: Some(3.0) }
    );
    assert_eq!(spread(&[1.0, 2.0]).median, Some(1.5));
    assert_eq!(spread(&[4.0]), Spread { min: Some(4.0), median: Some(4.0), max: Some(4.0) });
}

#[test]
fn numbers_and_durations_are_for_people() {
    for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(number(n), text);
    }
    for (seconds, text) in [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (125.0, "2 min 05 s"),
        (11_220.0, "3 h 07 min"),
        (187_200.0, "2 d 04 h"),
        (f64::INFINITY, "213503982334601 d 07 h"),
    ] {
        assert_eq!(duration(seconds), text);
    }
}

#[test]
fn a_state_has_one_word() {
    for state in [RunState::Running, RunState::Done, RunState::Incomplete, RunState::Refused] {
        assert_eq!(serde_json::to_value(state).unwrap(), state.word());
    }
}
