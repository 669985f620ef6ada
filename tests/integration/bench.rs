//! `respool bench` from the outside: that it measures and shows. How fast this machine is, is no question of a test.

use std::fs;

use rustix::process::Signal;
use serde_json::json;

use crate::events::{gzip, make_archive, put};
use crate::loops::serve;
use crate::sandbox::{Sandbox, until};

/// One object of 500 records.
fn archive(sandbox: &Sandbox) {
    make_archive(&sandbox.path("archive"), 1, 500);
}

#[test]
fn a_sweep_is_a_table_a_spreadsheet_and_a_picture() {
    let sandbox = Sandbox::new();
    let found = sandbox.run("bench --shards 1,2 --record-size 200 --duration 2s --out result --json").json(0);
    assert_eq!(found["complete"], true);
    assert_eq!(found["steps"].as_array().unwrap().len(), 2);
    for (step, shards) in found["steps"].as_array().unwrap().iter().zip([1, 2]) {
        assert_eq!((&step["shards"], &step["record_size"]), (&shards.into(), &200.into()));
        for field in
            ["records_per_second", "mb_per_second", "utilisation", "cpu_seconds_per_gb", "rss_anon_mb"]
        {
            assert!(step[field].as_f64().unwrap() > 0.0, "{field}: {step}");
        }
        assert!(step["throttled_share"].as_f64().unwrap() < 1.0);
        let latency = &step["put_latency_ms"];
        assert!(latency["p50"].as_f64().unwrap() >= 20.0, "{latency}");
        assert!(latency["p999"].as_f64() >= latency["p50"].as_f64(), "{latency}");
    }
    let csv = fs::read_to_string(sandbox.path("result.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3);
    let html = fs::read_to_string(sandbox.path("result.html")).unwrap();
    assert_eq!(html.matches("<figure>").count(), 4);
    let left: Vec<_> = fs::read_dir(sandbox.path("cache/respool")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_archive_is_repeated_until_the_time_is_over() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let line = "bench archive --partition-key /k --shards 2 --burst-model tenth,windows --duration 2s --json";
    let found = sandbox.run(line).json(0);
    let models: Vec<&str> =
        found["steps"].as_array().unwrap().iter().map(|step| step["burst_model"].as_str().unwrap()).collect();
    assert_eq!(models, ["tenth", "windows"]);
    let rate = found["steps"][0]["records_per_second"].as_f64().unwrap();
    assert!(rate * 1.5 > 500.0, "{rate}: it ended with the archive");
}

#[test]
fn a_hot_key_is_named_though_the_others_do_not_wait_for_it_yet() {
    let sandbox = Sandbox::new();
    let line = |number: u32| format!("{{\"k\":{}}}\n", if number.is_multiple_of(8) { number } else { 0 });
    let records: String = (0..4_000).map(line).collect();
    put(&sandbox.path("archive"), 0, &gzip(records.as_bytes()));
    let found = sandbox.run("bench archive --partition-key /k --shards 2 --duration 4s --json").json(0);
    let step = &found["steps"][0];
    assert_eq!(step["limited_by"], "order", "{step}");
    let lasting = step["lasting_records_per_second"].as_f64().unwrap();
    // A call takes 20 ms, and seven of eight records have that key.
    assert!(lasting > 0.0 && lasting < 60.0, "{step}");
    let spread = "bench archive --partition-key /k --shards 2 --duration 2s --json --order none";
    assert!(sandbox.run(spread).json(0)["steps"][0]["lasting_records_per_second"].is_null());
}

#[test]
fn a_damaged_object_is_left_out_with_a_word() {
    let sandbox = Sandbox::new();
    let line = "bench archive --partition-key /k --json";
    archive(&sandbox);
    for flags in ["--null", "--shards 1 --duration 1s"] {
        let outcome = sandbox.run(&format!("{line} {flags}"));
        assert_eq!((outcome.code, outcome.stderr.contains("left out")), (0, false), "{}", outcome.stderr);
    }
    // Before the good one, or it would not be needed.
    let good = gzip(&b"{\"k\":1}\n".repeat(9_000));
    fs::rename(sandbox.path("archive/2026/07/01"), sandbox.path("archive/2026/07/02")).unwrap();
    put(&sandbox.path("archive"), 0, &good[..good.len() / 2]);
    for flags in ["--null", "--shards 1 --duration 1s"] {
        let outcome = sandbox.run(&format!("{line} {flags}"));
        assert_eq!(outcome.code, 0, "{flags}: {}", outcome.stderr);
        let told: Vec<&str> =
            outcome.stderr.lines().filter(|line| line.contains("1 damaged object of the archive")).collect();
        assert_eq!(told.len(), 1, "{flags}: {}", outcome.stderr);
        assert!(told[0].contains(".gz: "), "{flags}: {}", told[0]);
    }
}

#[test]
fn what_was_in_force_is_told_with_the_result() {
    let sandbox = Sandbox::new();
    let line =
        "bench --shards 2 --record-size 200 --duration 2s --aggregate --order none --max-rate 100rec/s";
    let found = sandbox.run(&format!("{line} --json")).json(0);
    assert_eq!((&found["aggregate"], &found["max_rate"]), (&json!(true), &json!("100rec/s")));
    assert_eq!((&found["order"], &found["send"]), (&json!("none"), &json!(null)));
    assert_eq!(found["steps"][0]["limit_records_per_second"], 100.0);
    let csv = fs::read_to_string(sandbox.path("respool-bench.csv")).unwrap();
    assert!(csv.ends_with(",none,0.98,true,100rec/s,,\n"), "{csv}");
}

#[test]
fn a_server_is_measured_as_it_is() {
    let sandbox = Sandbox::new();
    let (_server, url) = sandbox.simulate("--shards 3");
    let line = format!("bench --into demo --endpoint-url {url} --record-size 500 --duration 2s --json");
    let found = sandbox.run(&line).json(0);
    assert_eq!(found["steps"][0]["shards"], 3);
    assert!(found["steps"][0]["burst_model"].is_null());
    let table = sandbox.run("bench --into null: --record-size 500 --duration 2s").stdout;
    assert!(table.contains("records/s"), "{table}");
}

/// With --yes: a replay would not begin either.
#[test]
fn a_stream_that_distributes_records_itself_takes_neither_order_nor_aggregates() {
    let sandbox = Sandbox::new();
    let url = serve(|operation, _| match operation {
        "DescribeStreamSummary" => (
            200,
            json!({ "StreamDescriptionSummary": {
                "StreamName": "orders", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
                "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_795_000_000,
                "EnhancedMonitoring": [], "OpenShardCount": 1, "RecordDistributionStrategy": "AUTO",
            } }),
        ),
        "ListShards" => (
            200,
            json!({ "Shards": [{
                "ShardId": "shardId-0",
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() },
                "SequenceNumberRange": { "StartingSequenceNumber": "1" },
            }] }),
        ),
        _ => (400, json!({ "__type": "AccessDeniedException", "message": "the bench has begun" })),
    });
    for (flags, word) in [
        ("", "--order none"),
        ("--order shard", "--order none"),
        ("--order none --aggregate", "leave out --aggregate"),
        ("--order none", "the bench has begun"),
    ] {
        let line = format!("bench --into orders --yes --endpoint-url {url} --duration 1s {flags}");
        let outcome = sandbox.run(&line);
        assert_eq!(outcome.code, 5, "{flags}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(word), "{flags}: {}", outcome.stderr);
    }
}

/// As a replay is, before anything is sent.
#[test]
fn a_stream_that_seems_to_feed_the_archive_is_not_measured_unawares() {
    let sandbox = Sandbox::new();
    let (_server, url) = sandbox.simulate("--shards 1");
    make_archive(&sandbox.path("archive/demo"), 1, 2_000);
    let line =
        format!("bench archive --into demo --partition-key /k --endpoint-url {url} --duration 1s --json");
    let refused = sandbox.run(&line);
    assert!(refused.sentence(5).contains("would be archived once more"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--allow-loop"), "{}", refused.stderr);
    sandbox.run(&format!("{line} --allow-loop")).json(0);
}

#[test]
fn what_has_no_effect_on_a_stage_is_refused_there() {
    let sandbox = Sandbox::new();
    for flag in ["--yes", "--allow-loop", "--max-quarantine 5", "--accept-refusals", "--share 0.5"] {
        let refused = sandbox.run(&format!("bench --null {flag}"));
        assert_eq!(refused.code, 2, "{flag}: {}", refused.stderr);
        assert!(refused.stderr.contains("cannot be used with"), "{flag}: {}", refused.stderr);
    }
}

#[test]
fn variables_that_have_no_effect_on_a_stage_are_no_mistake() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("archive")).unwrap();
    let run = |line: &str| {
        let mut command = sandbox.command(line);
        for (name, value) in [
            ("YES", "1"),
            ("SHARDS", "auto"),
            ("INTO", "sim:1"),
            ("SHARE", "0.5"),
            ("OUT", "x"),
            ("NULL", "0"),
        ] {
            command.env(format!("RESPOOL_{name}"), value);
        }
        sandbox.start_command(command).wait()
    };
    // The command line is taken; there is nothing in the archive.
    for line in ["bench archive --partition-key /k --null", "bench archive --partition-key /k --into sim:1"] {
        assert_eq!(run(line).code, 5, "{line}: {:?}", run(line));
    }
    assert_eq!(run("bench archive --partition-key /k --null --share 0.5").code, 2, "typed it is one");
}

#[test]
fn the_stages_are_measured_one_by_one() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    let found = sandbox.run("bench archive --partition-key /k --null --json").json(0);
    let stages: Vec<&str> =
        found["stages"].as_array().unwrap().iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(
        stages,
        ["list", "fetch", "decode", "split", "publish", "key", "route", "engine", "encode", "send"]
    );
    for stage in found["stages"].as_array().unwrap() {
        assert!(stage["mb_per_second_per_core"].as_f64().unwrap() > 0.0, "{stage}");
    }
}

#[test]
fn what_is_interrupted_shows_what_it_has() {
    let sandbox = Sandbox::new();
    let process = sandbox.start("bench --shards 1,2,4 --record-size 200 --duration 2s --json");
    until("the first step", || process.stderr().contains("% of a core").then_some(()));
    process.signal(Signal::INT);
    let found = process.wait().json(4);
    assert_eq!(found["complete"], false);
    let steps = found["steps"].as_array().unwrap().len();
    assert!((1..3).contains(&steps), "{steps}");
}

#[test]
fn a_wrong_command_line_is_told_at_once() {
    let sandbox = Sandbox::new();
    archive(&sandbox);
    for (flags, word) in [
        ("--shards 0", "--shards"),
        ("--shards 1,many", "--shards"),
        ("--record-size 10", "--record-size"),
        ("--latency 20", "--latency"),
        ("--duration 0s", "--duration"),
        ("--burst-model none", "--burst-model"),
        ("--into sim:4 --shards 2", "--into"),
        ("--null --duration 5s", "--null"),
        ("--null --order none", "--order"),
        ("--null --aggregate", "--aggregate"),
        ("--null --share 0.5", "--share"),
        ("--null --max-rate 5MB/s", "--max-rate"),
        ("--out no/such/place", "--out"),
        ("--out .", "is a directory"),
        ("--offline", "--offline"),
        ("archive", "--partition-key"),
        ("archive --partition-key /k --record-size 200", "--record-size"),
    ] {
        let outcome = sandbox.run(&format!("bench {flags}"));
        assert_eq!(outcome.code, 2, "{flags}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(word), "{flags}: {}", outcome.stderr);
    }
}
