//! What the page must hold.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::super::tests::{finished, planned};
use super::*;
use crate::record::ShardId;
use crate::run::next::NextStep;
use crate::run::timeline::Recorder;
use crate::write::checkpoint::Totals;
use crate::write::rate::{Load, ShardRate};
use crate::write::{Brake as Waited, EngineStats, LaneTimes, ShardStats};

fn circumstances() -> Circumstances {
    Circumstances {
        began: Timestamp::UNIX_EPOCH,
        aggregates: false,
        share: Share::new(0.98).unwrap(),
        max_rate: RateCap::default(),
    }
}

/// Two processes on 12 shards, `delivered` before them, with a throttle.
fn timeline(delivered: u64) -> Timeline {
    let mut latency = Histogram::new_with_bounds(1, 600_000_000, 3).unwrap();
    latency.record(20_000).unwrap();
    let mut timeline = Timeline::default();
    let mut totals = Totals { delivered, ..Totals::default() };
    for _ in 0..2 {
        let mut recorder = Recorder::new(timeline, Timestamp::UNIX_EPOCH, &totals);
        let mut times = LaneTimes::default();
        for second in 1..=8_u32 {
            let now = Duration::from_secs(second.into());
            times.wait_for(
                if second < 6 { Waited::Shard } else { Waited::Input },
                Duration::from_secs(u64::from(second) - 1),
            );
            times.bring_to(now);
            totals.delivered += 9_000;
            totals.delivered_bytes += 2_700_000;
            totals.entries_sent += 9_100;
            totals.entries_throttled += 100;
            let shard = |number: u32| ShardStats {
                shard: ShardId(format!("shardId-{number:012}").into()),
                records: 0,
                bytes: 0,
                taken: Load { records: 750.0 * f64::from(second), bytes: 225_000.0 * f64::from(second) },
                sent: 1,
                throttled: 0,
                limit: ShardRate { records: 980.0, bytes: 1e6 },
                times: times.clone(),
            };
            let shards = (0..12).map(shard).collect();
            let (unsettled, requests_in_flight, reshards) = (0, 0, 0);
            let times = times.clone();
            let stats =
                EngineStats { totals, unsettled, requests_in_flight, shards, reshards, times, away: None };
            recorder.add(&stats, now, Some(Brake::Decode));
        }
        timeline = recorder.finish(RunState::Incomplete, &latency);
    }
    timeline
}

#[test]
fn the_page_tells_and_draws_what_happened() {
    let html = finished().html(&timeline(0), &circumstances());
    for text in [
        "<h1>Run flights-1</h1>",
        "Done: every record is delivered.",
        "Records each second",
        "MB each second",
        "what the shards take",
        "Shards, by the share of their limit that was used",
        "What held it up, in percent of the time",
        "Throttled entries each second",
        "1,600 of 145.6 k entries sent (1.1 %)",
        "Latency of PutRecords",
        "p50 11.8 ms, p99 40.2 ms, p99.9 61.5 ms, slowest 87.6 ms",
        "decoding (CPU)",
        "Nothing was set aside.",
        "shardId-000000000001",
        "resumed",
    ] {
        assert!(html.contains(text), "{text}");
    }
    assert_eq!(html.matches("<figure").count(), 6);
    assert!(!html.contains("The plan beside"), "there was none");
    assert!(!html.contains("which were killed"));
}

#[test]
fn the_plan_stands_beside_what_happened() {
    let mut report = finished();
    report.plan = Some(planned());
    let html = report.html(&timeline(0), &circumstances());
    let row =
        "<tr><td class=\"text\">records delivered</td><td>61,000</td><td>60,000</td><td>-1.6 %</td></tr>";
    assert!(
        html.contains(row) && !html.contains(">set aside</td>") && !html.contains("the nearest"),
        "{html}"
    );
    assert!(
        html.contains("<td class=\"text\">time</td><td>15.0 s</td><td>16.0 s</td><td>+6.7 %</td>"),
        "{html}"
    );
    // What was set aside was not delivered, and what may be there twice is billed twice.
    (report.records.quarantined, report.objects.quarantined) = (7, 1);
    (report.possible_duplicates, report.stream_shards) = (12, 8);
    let html = report.html(&timeline(0), &circumstances());
    let aside =
        "<tr><td class=\"text\">set aside</td><td></td><td>7 records, 1 whole object</td><td></td></tr>";
    assert!(html.contains(row) && html.contains(aside), "{html}");
    assert!(html.contains("<td class=\"text\">shards</td><td>3</td><td>8</td>"), "{html}");
    assert!(
        html.contains("for 3 shards, the nearest that the plan has to the stream&#39;s 8.")
            || html.contains("for 3 shards, the nearest that the plan has to the stream's 8."),
        "{html}"
    );
    assert!(html.contains("; and 12 records more at most that may be there twice"), "{html}");
    assert!(
        report.to_string().contains("; for 3 shards, the nearest that the plan has to the stream's 8\n"),
        "{report}"
    );
    report.state = RunState::Incomplete;
    let html = report.html(&timeline(0), &circumstances());
    assert!(html.contains("so far") && !html.contains("+6.7 %"), "what is not done is not compared");
}

#[test]
fn what_is_of_the_last_process_stands_under_a_heading_if_there_were_others() {
    let mut report = finished();
    let heading = "<h2>In this process</h2>";
    let page = report.html(&timeline(0), &circumstances());
    assert!(!page.contains(heading) && page.contains("<h2>Shards</h2>"), "{page}");
    report.resumed = true;
    (report.reshards, report.records_elsewhere, report.s3_object_requests) = (3, 8, 9);
    let page = report.html(&timeline(0), &circumstances());
    let (run, process) = page.split_once(heading).unwrap();
    for label in ["took", "resharded", "S3", "PutRecords"] {
        let row = format!("<tr><th scope=\"row\">{label}</th>");
        assert!(process.contains(&row) && !run.contains(&row), "{label} in {page}");
    }
    for label in ["objects", "elsewhere", "billed", "throttled"] {
        let row = format!("<tr><th scope=\"row\">{label}</th>");
        assert!(run.contains(&row) && !process.contains(&row), "{label} in {page}");
    }
    assert!(process.contains("<h2>Shards, in this process</h2>"), "{page}");
}

#[test]
fn what_is_not_shown_is_said() {
    let mut report = finished();
    report.plan = Some(planned());
    let html = report.html(&timeline(5_000), &circumstances());
    assert!(html.contains("They lack 5,000 records delivered by processes which were killed"));
    assert!(html.contains("more than 16.0 s"), "{html}");
}

#[test]
fn what_limits_otherwise_is_drawn_otherwise() {
    let max_rate = RateCap { records_per_second: Some(5_000), bytes_per_second: None };
    let page = |change: fn(&mut Circumstances)| {
        let mut circumstances = Circumstances { max_rate, ..circumstances() };
        change(&mut circumstances);
        finished().html(&timeline(0), &circumstances)
    };
    let lines = |page: String| {
        (page.matches(">--max-rate</text>").count(), page.matches("line c0 ideal").count() / 2)
    };
    assert_eq!(lines(page(|all| all.max_rate = RateCap::default())), (0, 2));
    // The cap is on records, and below what the shards take.
    assert_eq!(lines(page(|_| {})), (1, 1));
    assert_eq!(lines(page(|all| all.max_rate.records_per_second = Some(20_000))), (1, 2));
    // A limit on entries is none on records that share them.
    assert_eq!(lines(page(|all| (all.aggregates, all.max_rate) = (true, RateCap::default()))), (0, 1));
}

#[test]
fn hostile_names_stay_text_and_an_empty_run_is_a_page_too() {
    let nasty = "<script>alert(1)</script>\"'&";
    let mut report = Report::new(nasty, nasty, nasty);
    report.message = Some(nasty.into());
    report.next_steps = vec![NextStep { command: nasty.into(), why: nasty.into() }];
    report.quarantine.reasons = [(nasty.to_owned(), 3)].into();
    report.quarantine.path = Some(nasty.into());
    let html = report.html(&Timeline::default(), &circumstances());
    assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
    assert!(html.ends_with("</html>\n") && !html.contains("<figure"), "{html}");
}

#[test]
fn many_shards_are_named_by_those_that_used_least() {
    let mut report = finished();
    let template = report.shards[0].clone();
    report.shards = (0..300_u32)
        .map(|number| ShardReport {
            shard: format!("shard-{number}"),
            utilisation: Some(f64::from(number) / 300.0),
            ..template.clone()
        })
        .collect();
    let html = report.html(&timeline(0), &circumstances());
    assert!(html.contains("The 24 of 300 shards that used least"));
    assert!(html.contains("shard-23<") && !html.contains("shard-24<"));
}

#[test]
fn what_shards_have_cost_stands_beside_what_they_were_to_cost() {
    let report = |hour| Report {
        stream_shards: 3,
        put_units: 11_000_000,
        plan: Some(PlanFigures { shard_hour_usd: hour, ..planned() }),
        ..finished()
    };
    let mut lasted = timeline(0);
    let html = report(Some(0.015)).html(&lasted, &circumstances());
    assert!(html.contains("$0.20 while it ran"), "3 shard-hours and 11 million units");
    // A stop of two hours is paid for, too.
    lasted.processes.last_mut().unwrap().began += jiff::SignedDuration::from_hours(2);
    let html = report(Some(0.015)).html(&lasted, &circumstances());
    assert!(html.contains("$0.29 while it ran"), "9 shard-hours");
    assert!(report(None).html(&lasted, &circumstances()).contains("see the bill"));
}
