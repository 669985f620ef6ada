//! What a plan says of money, and of how long a stream is needed: by the real binary.

use std::fs;

use serde_json::{Value, json};

use crate::foreign::{Server, repository};
use crate::reader::call;
use crate::sandbox::Sandbox;

const ARCHIVE: &str = "tests/fixtures/archive";

fn plan(sandbox: &Sandbox, flags: &str) -> Value {
    let archive = repository(ARCHIVE);
    sandbox.run(&format!("plan {} --partition-key /tailnum --json {flags}", archive.display())).json(0)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn codes(plan: &Value) -> Vec<&str> {
    plan["warnings"].as_array().unwrap().iter().filter_map(|warning| warning["code"].as_str()).collect()
}

#[test]
fn a_stream_on_demand_grows_only_where_shards_are_the_limit() {
    let sandbox = Sandbox::new();
    // 39,999 records at 10 a second, whatever the stream takes.
    let capped = plan(&sandbox, "--shards 4 --max-rate 10rec/s");
    assert!(number(&capped["on_demand"]["seconds"]) > 3_990.0, "{}", capped["on_demand"]);
    // One key, in strict order, two seconds for each of its records.
    let hot = plan(&sandbox, "--shards 4,256 --round-trip 2000");
    let with = |shards: usize| number(&hot["by_shards"][shards]["seconds"]);
    assert!(number(&hot["on_demand"]["seconds"]) >= 0.9 * with(1).min(with(0)), "{hot}");
    // Packed records are paid, and take as long, as packed ones.
    let (single, packed) = (plan(&sandbox, "--shards 4"), plan(&sandbox, "--shards 4 --aggregate"));
    for figure in ["seconds", "cost_usd"] {
        let of = |plan: &Value| number(&plan["on_demand"][figure]);
        assert!(of(&packed) < of(&single), "{figure}: {} and {}", packed["on_demand"], single["on_demand"]);
    }
}

#[test]
fn a_stream_is_paid_for_as_long_as_it_is_read_and_the_parts_make_the_whole() {
    let sandbox = Sandbox::new();
    let sent = plan(&sandbox, "--shards 16");
    let read = plan(&sandbox, "--shards 16 --worker-rate 1rec/s");
    assert_eq!((&sent["cost"]["hours"], &read["cost"]["hours"]), (&json!(16.0), &json!(192.0)));
    assert_eq!((&sent["reading_seconds"], &read["reading_seconds"]), (&Value::Null, &json!(39_999.0)));
    for plan in [&sent, &read] {
        let parts = ["hours_usd", "payload_usd", "retention_usd", "requests_usd"];
        let sum: f64 = parts.iter().map(|part| number(&plan["cost"][*part])).sum();
        assert!((sum - number(&plan["cost_usd"])).abs() < 1e-9, "{plan}");
        assert_eq!(plan["cost"]["put_units"], 39_999.0);
    }
    let archive = repository(ARCHIVE);
    let page = sandbox.run(&format!(
        "plan {} --partition-key /tailnum --shards 16 --worker-rate 1rec/s",
        archive.display()
    ));
    assert!(page.stdout.contains("192 shard-hours $2.88"), "{}", page.stdout);
}

#[test]
fn a_target_on_demand_is_priced_as_one() {
    let server = Server::simulate("--unlimited");
    let stream = json!({ "StreamName": "elastic", "StreamModeDetails": { "StreamMode": "ON_DEMAND" } });
    call(&server.url, "CreateStream", &stream).unwrap();
    let sandbox = Sandbox::new();
    let found = plan(&sandbox, &format!("--into elastic --kinesis-endpoint-url {}", server.url));
    assert_eq!((&found["cost"]["hours"], &found["cost"]["put_units"]), (&json!(1.0), &json!(0.0)));
    assert!(number(&found["cost"]["payload_usd"]) > 0.0, "{}", found["cost"]);
    assert!(codes(&found).contains(&"on_demand"), "{found}");
    // It has no other number of shards unless it is switched to provisioned: 8 for an hour, and 39,999 units.
    let by_shards = found["by_shards"].as_array().unwrap();
    let cost = |shards: u64| {
        let row = by_shards.iter().find(|row| row["shards"] == shards).unwrap();
        number(&row["cost_usd"])
    };
    assert!((cost(8) - 0.120_56).abs() < 1e-5 && cost(4) < 0.06, "{by_shards:?}");
}

#[test]
fn a_worker_however_fast_may_begin_too_late() {
    let sandbox = Sandbox::new();
    // 34 hours of replay into a stream that keeps records for 24.
    let slow = plan(&sandbox, "--shards 1 --max-rate 100B/s --worker-rate 10000rec/s");
    assert_eq!(codes(&slow), ["retention"]);
    let kept = "plan --retention 1h";
    let refused = sandbox.run(&format!("{kept} {} --partition-key /tailnum", repository(ARCHIVE).display()));
    assert!(refused.sentence(2).contains("24h to 365d"), "{}", refused.stderr);
}

#[test]
fn large_records_are_planned_for_and_the_plan_makes_a_stream_that_takes_them() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("large");
    fs::create_dir_all(&archive).unwrap();
    let line = |id: u32| format!("{{\"id\":\"{id}\",\"text\":\"{}\"}}\n", "x".repeat(1_500_000));
    fs::write(archive.join("one.json"), (0..4).map(line).collect::<String>()).unwrap();
    let server = Server::simulate("--unlimited");
    let door = format!("--kinesis-endpoint-url {}", server.url);
    let line = format!("plan {} --partition-key /id --shards 1 --save large.json --json", archive.display());
    let found = sandbox.run(&line).json(0);
    assert_eq!((&found["records"], codes(&found)), (&json!(4), vec!["large_records"]));
    let sent = format!("replay --plan large.json --into large --create --json {door}");
    assert_eq!(sandbox.run(&sent).json(0)["records"]["delivered"], 4);
    // A stream that is there takes what it takes, and its records have their keys.
    call(&server.url, "CreateStream", &json!({ "StreamName": "usual", "ShardCount": 1 })).unwrap();
    let usual =
        sandbox.run(&format!("plan {} --partition-key /id --into usual {door} --json", archive.display()));
    let action = usual.json(3)["warnings"][0]["action"].to_string();
    assert!(action.contains("--record-size") && !action.contains("--partition-key"), "{action}");
}
