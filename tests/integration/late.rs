//! What changes behind a run's back: objects that come late, objects that change, segments that are not what
//! they were.

use std::fs;

use serde_json::{Value, json};

use crate::events;
use crate::reader::read_stream;
use crate::sandbox::{Process, Sandbox};

const OBJECTS: usize = 6;
const RECORDS: usize = 300;

fn start() -> (Sandbox, Process, String) {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), OBJECTS, RECORDS);
    let (simulator, url) = sandbox.simulate("--shards 1");
    (sandbox, simulator, url)
}

fn replay(url: &str) -> String {
    format!("replay archive --into demo --partition-key /k --share 0.5 --endpoint-url {url} --yes --json")
}

#[test]
fn objects_that_come_late_or_change_are_named_at_the_end() {
    let (sandbox, _simulator, url) = start();
    let process = sandbox.start(&replay(&url));
    sandbox.wait_for_progress(0);
    events::put(&sandbox.path("archive"), 4, &events::gzip(b"{\"k\":\"x\",\"n\":-1}\n"));
    events::put(&sandbox.path("archive"), 20, &events::gzip(b"{\"k\":\"x\",\"n\":-2}\n"));
    let report = process.wait();
    let report: Value = serde_json::from_str(&report.stdout).unwrap();
    let late = &report["late_objects"];
    assert_eq!(
        (&late["late"], &late["changed"], &late["error"]),
        (&json!(1), &json!(1), &Value::Null),
        "{report}"
    );
    assert!(late["keys"][0].as_str().unwrap().starts_with("2026/07/01/20/"), "{late}");
    let listed = fs::read_to_string(late["path"].as_str().unwrap()).unwrap();
    assert_eq!(listed.lines().count(), 2, "{listed}");

    let next = report["next_steps"].as_array().unwrap().last().unwrap();
    assert_eq!(next["why"], "send what came late, and nothing else");
    let command = next["command"].as_str().unwrap().strip_prefix("respool ").unwrap();
    let sent = sandbox.run(command).json(0);
    assert_eq!((&sent["records"]["delivered"], &sent["objects"]["total"]), (&json!(1), &json!(1)), "{sent}");

    let ledger: Value = serde_json::from_str(
        &sandbox.run(&format!("runs show {} --json", report["run"].as_str().unwrap())).stdout,
    )
    .unwrap();
    let objects = ledger["objects"].as_array().unwrap();
    assert_eq!(objects.len(), OBJECTS);
    let delivered: u64 = objects.iter().map(|line| line["delivered"].as_u64().unwrap()).sum();
    assert_eq!(report["records"]["delivered"], delivered, "{ledger}");
    let shard = &ledger["shards"][0];
    assert_eq!((&shard["shard"], &shard["records"]), (&json!("shardId-000000000000"), &json!(delivered)));
    assert!(shard["first_sequence_number"].as_str() < shard["last_sequence_number"].as_str(), "{shard}");
    let page = sandbox.run(&format!("runs show {}", report["run"].as_str().unwrap()));
    assert!(page.stdout.contains("shardId-000000000000  "), "{}", page.stdout);
}

#[test]
fn what_came_late_is_sent_by_the_printed_command_where_a_variable_names_the_plan() {
    let (sandbox, _simulator, url) = start();
    let plan = format!("plan archive --into demo --partition-key /k --endpoint-url {url} --save plan.json");
    sandbox.run(&plan).ended_with(0);
    let planned = |line: &str| {
        let mut command = sandbox.command(line);
        command.env("RESPOOL_PLAN", sandbox.path("plan.json"));
        sandbox.start_command(command)
    };
    let process = planned("replay --share 0.5 --yes --json");
    sandbox.wait_for_progress(0);
    events::put(&sandbox.path("archive"), 20, &events::gzip(b"{\"k\":\"x\",\"n\":-2}\n"));
    let report = process.wait().json(0);
    let next = report["next_command"].as_str().unwrap().strip_prefix("respool ").unwrap();
    assert!(next.contains("--objects") && next.contains("--share 0.5"), "{next}");
    assert_eq!(planned(&format!("{next} --json")).wait().json(0)["records"]["delivered"], 1);
    // What only looks like the same is told by what is not.
    let typed = planned(&next.replace(" --no-plan", "")).wait();
    for said in ["--objects", "not what the plan has", "RESPOOL_PLAN names the plan: unset RESPOOL_PLAN"] {
        assert!(typed.sentence(2).contains(said), "{typed:?}");
    }
    let other = planned("replay state").wait();
    assert!(
        other.sentence(2).contains("ARCHIVE is ") && other.stderr.contains("unset RESPOOL_PLAN"),
        "{other:?}"
    );
    let kept = format!("[replay]\nplan = \"{}\"", sandbox.path("plan.json").display());
    fs::write(sandbox.path("c.toml"), kept).unwrap();
    let kept = sandbox.run("replay state --config c.toml").sentence(2).to_owned();
    assert!(
        kept.ends_with("the configuration file names the plan: say --no-plan to do without it"),
        "{kept}"
    );
    assert!(
        sandbox.run("replay state --config c.toml --no-plan").sentence(2).contains("--into is missing: give")
    );
}

#[test]
fn what_is_left_of_an_object_is_set_aside_if_its_records_are_not_the_same_any_more() {
    let (sandbox, _simulator, url) = start();
    let process = sandbox.start(&replay(&url));
    sandbox.wait_for_progress(350);
    process.kill();
    let run = sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let path = sandbox.path("state/respool/runs").join(run).join("segments.jsonl");
    let noted = fs::read_to_string(&path).unwrap();
    assert!(noted.lines().count() >= 2, "{noted}");
    // As if another version of the decoder had made other records of the second object.
    let changed = noted.replace("\"object\":1,\"records\":300", "\"object\":1,\"records\":301");
    fs::write(&path, changed).unwrap();
    let report = sandbox.run("resume --json").json(3);
    assert_eq!(report["quarantine"]["reasons"], json!({ "changed": 1 }), "{report}");
    let found: usize = read_stream(&url, "demo").values().map(Vec::len).sum();
    let delivered = usize::try_from(report["records"]["delivered"].as_u64().unwrap()).unwrap();
    assert!(delivered < OBJECTS * RECORDS && found >= delivered, "{found} {report}");
}
