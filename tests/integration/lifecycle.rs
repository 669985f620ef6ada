//! Before and after a replay: the stream made, scaled, watched and deleted, and the worker's progress read where
//! the Kinesis Client Library and CloudWatch keep it (at moto).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use respool::sim::sequence::SequenceBase;

use crate::foreign::{KEYS, Server, repository, tools};
use crate::loops::serve;
use crate::reader::call;
use crate::rights;
use crate::sandbox::{Outcome, Sandbox, until};

const ARCHIVE: &str = "tests/fixtures/archive";

/// A sandbox, the embedded stream's server, and the flags that lead there.
struct Stage {
    sandbox: Sandbox,
    server: Server,
}

impl Stage {
    fn new(flags: &str) -> Self {
        Self { sandbox: Sandbox::new(), server: Server::simulate(flags) }
    }

    fn run(&self, line: &str) -> Outcome {
        self.sandbox.run(&format!("{line} --kinesis-endpoint-url {}", self.server.url))
    }

    /// `replay` of some of the flights into `backfill`.
    fn replay(&self, flags: &str) -> Outcome {
        let archive = repository(ARCHIVE);
        self.run(&format!(
            "replay {} --into backfill --partition-key /tailnum --json {flags}",
            archive.display()
        ))
    }
}

#[test]
fn a_stream_is_made_as_wished_and_asking_again_changes_nothing() {
    let stage = Stage::new("--transition 1s --unlimited");
    let line = "stream create backfill --shards 2 --retention 48h --record-size 2MiB --encryption alias/k --tag team=flights \
                --json";
    let made = stage.run(line);
    assert!(made.stderr.contains("creating backfill: "), "progress: {}", made.stderr);
    let told = made.json(0);
    assert_eq!((&told["shards"], &told["retention_hours"]), (&json!(2), &json!(48)));
    assert_eq!((&told["record_bytes_max"], &told["was_there"]), (&json!(2 << 20), &json!(false)));
    assert_eq!(stage.run(line).json(0)["was_there"], true);
    let status = stage.run("stream status backfill --json").json(0);
    assert_eq!((&status["encryption_key"], &status["tags"]["team"]), (&json!("alias/k"), &json!("flights")));
    assert_eq!((&status["created_by_respool"], &status["status"]), (&json!(true), &json!("ACTIVE")));
    let other = stage.run("stream create backfill --shards 3");
    assert!(other.sentence(5).contains("it has 2 shards, not 3"), "{}", other.stderr);
    let foreign = stage.run("stream create demo --shards 4");
    assert!(foreign.sentence(5).contains("was not made by respool"), "{}", foreign.stderr);
}

#[test]
fn a_stream_is_scaled_by_steps_that_kinesis_takes() {
    let stage = Stage::new("");
    stage.run("stream create backfill --shards 3").ended_with(0);
    let scaled = stage.run("stream scale backfill --shards 20 --json").json(0);
    assert_eq!((&scaled["shards_before"], &scaled["shards"]), (&json!(3), &json!(20)));
    assert_eq!(scaled["steps"], json!([6, 12, 20]));
    assert_eq!(stage.run("stream scale backfill --shards 4 --json").json(0)["steps"], json!([10, 5, 4]));
    let nowhere = stage.run("stream scale nowhere --shards 2");
    assert!(nowhere.sentence(5).contains("respool stream create nowhere"), "{}", nowhere.stderr);
}

#[test]
fn a_stream_is_deleted_only_if_it_is_ours_and_drained_or_forced() {
    let stage = Stage::new("--unlimited");
    let foreign = stage.run("stream delete demo --yes --force");
    assert!(foreign.sentence(5).contains("not made by respool"), "{}", foreign.stderr);
    stage.run("stream create backfill --shards 1").ended_with(0);
    // Nothing was ever sent into it.
    assert!(stage.run("stream delete backfill").sentence(5).contains("say --yes"));
    // What a variable answers for other commands deletes and scales nothing.
    let url = &stage.server.url;
    stage.sandbox.run(&format!("cache warm {}", repository(ARCHIVE).display())).ended_with(0);
    for line in ["stream delete backfill", "stream scale demo --shards 2", "cache purge"] {
        let door = if line.starts_with("stream") { format!(" --endpoint-url {url}") } else { String::new() };
        let mut asked = stage.sandbox.command(&format!("{line}{door}"));
        asked.env("RESPOOL_YES", "1");
        assert!(stage.sandbox.start_command(asked).wait().sentence(5).contains("say --yes"), "{line}");
    }
    stage.run("stream delete backfill --yes").ended_with(0);
    stage.run("stream create backfill --shards 1").ended_with(0);
    let record = json!({ "StreamName": "backfill", "PartitionKey": "k", "Data": "eA==" });
    call(&stage.server.url, "PutRecord", &record).unwrap();
    let unknown = stage.run("stream delete backfill --yes");
    assert!(unknown.sentence(5).contains("no run into it is known here"), "{}", unknown.stderr);
    let unasked = stage.run("stream delete backfill --force");
    assert!(unasked.sentence(5).contains("--yes"), "{}", unasked.stderr);
    stage.replay("--limit 500").json(0);
    let undrained = stage.run("stream delete backfill --yes");
    assert!(undrained.sentence(5).contains("respool stream drained"), "{}", undrained.stderr);
    // A run that cannot be read has written as well as any other.
    let run = stage.sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let file = stage.sandbox.path(format!("state/respool/runs/{run}/run.json"));
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("\"version\"", "\"versions\"", 1)).unwrap();
    let unread = stage.run("stream delete backfill --yes");
    assert!(unread.sentence(5).contains(&format!("cannot be read and may have written into it: {run}")));
    assert_eq!(stage.run("stream status backfill --json").json(0)["unread_runs"][0]["run"], run);
    assert!(stage.run("stream drained --lease-table t").sentence(5).contains(&run));
    assert!(stage.run("guide").stderr.contains(&format!("cannot be read: {run}")));
    let deleted = stage.run("stream delete backfill --yes --force --json").json(0);
    assert_eq!(deleted["deleted"], true);
    assert!(stage.run("stream status backfill").sentence(5).contains("does not exist"));
}

#[test]
fn a_replay_makes_its_stream_on_the_way_and_takes_its_own_again() {
    let stage = Stage::new("");
    let forecast = stage.replay("--create --limit 500 --dry-run").json(0);
    assert_eq!((&forecast["target"], &forecast["shards"]), (&json!("backfill"), &json!(1)));
    assert!(
        stage.run("stream status backfill").sentence(5).contains("does not exist"),
        "--dry-run makes nothing"
    );
    let report = stage.replay("--create --shards 3 --retention 48h --limit 500");
    assert!(report.stderr.contains("the stream backfill is made: 3 shards"), "{}", report.stderr);
    assert_eq!(report.json(0)["records"]["delivered"], 500);
    let again = stage.replay("--create --retention 48h --limit 500 --new");
    assert!(again.stderr.contains("is there already, made by respool, with 3 shards"), "{}", again.stderr);
    again.json(0);
    let status = stage.run("stream status backfill --json").json(0);
    assert_eq!(status["runs"].as_array().unwrap().len(), 2);
    let other = stage.replay("--create --shards 4 --retention 48h --limit 500");
    assert!(other.sentence(5).contains("it has 3 shards, not 4"), "{}", other.stderr);
}

#[test]
fn a_run_goes_on_while_its_stream_is_scaled() {
    let stage = Stage::new("");
    stage.run("stream create backfill --shards 2").ended_with(0);
    let line = format!(
        "replay {} --into backfill --partition-key /tailnum --json --limit 12000 --kinesis-endpoint-url {}",
        repository(ARCHIVE).display(),
        stage.server.url
    );
    let run = stage.sandbox.start(&line);
    stage.sandbox.wait_for_progress(1_000);
    stage.run("stream scale backfill --shards 4").ended_with(0);
    let report = run.wait().json(0);
    assert_eq!((&report["records"]["delivered"], &report["order_violations"]), (&json!(12_000), &json!(0)));
}

#[test]
fn a_server_that_is_only_a_stream_is_not_taken_for_the_workers_services() {
    let stage = Stage::new("--shards 2");
    let archive = repository(ARCHIVE);
    let limit = "--partition-key /tailnum --limit 500 --json";
    stage.run(&format!("replay {} --into demo {limit}", archive.display())).json(0);
    let consumer = format!("--consumer-endpoint-url {}", stage.server.url);
    let asked = stage.run(&format!("stream drained {consumer}"));
    for said in
        [&stage.server.url[..], "does not answer for CloudWatch", "--consumer-endpoint-url", "--lease-table"]
    {
        assert!(asked.sentence(5).contains(said), "{asked:?}");
    }
    let asked = stage.run(&format!("stream drained --lease-table worker {consumer}"));
    for said in ["does not answer for DynamoDB", "the table worker", "--consumer-endpoint-url"] {
        assert!(asked.sentence(5).contains(said), "{asked:?}");
    }
    for (line, service, variable) in [
        ("stream drained --lease-table worker", "DynamoDB", "AWS_ENDPOINT_URL_DYNAMODB"),
        ("stream drained", "CloudWatch", "AWS_ENDPOINT_URL_CLOUDWATCH"),
    ] {
        let asked = stage.sandbox.run(line);
        for said in [&format!("AWS' {service} knows nothing of it")[..], "--consumer-endpoint-url", variable]
        {
            assert!(asked.sentence(5).contains(said), "{asked:?}");
        }
    }
    let guide = stage.sandbox.run("guide").stdout;
    assert!(guide.contains("--consumer-endpoint-url URL\n"), "{guide}");
    let guide = stage.sandbox.run(&format!("guide --endpoint-url {}", stage.server.url)).stdout;
    assert!(guide.contains("no more than 500 records"), "{guide}");
    assert!(guide.contains("has to answer for DynamoDB, which `respool simulate` does not"), "{guide}");
}

#[test]
fn a_stream_that_is_gone_is_passed_over_only_if_it_was_read() {
    let stage = Stage::new("--unlimited");
    let archive = repository(ARCHIVE);
    let run = |stream: &str| {
        stage.run(&format!("stream create {stream} --shards 1")).ended_with(0);
        let line = format!("replay {} --into {stream} --partition-key /tailnum", archive.display());
        stage.run(&format!("{line} --limit 500 --json")).json(0)["run"].as_str().unwrap().to_owned()
    };
    let (older, later) = (run("older"), run("later"));
    stage.run("stream delete later --yes --force").ended_with(0);
    let asked = stage.run("stream drained --lease-table t --quiet");
    let expected = format!(
        "the stream later, into which run {later} went, is not there any more; it was never seen drained: what was not read is lost; \
         `respool stream drained {older}` asks about older"
    );
    assert!(asked.sentence(5).contains(&expected), "{asked:?}");
    let note = json!({ "at": "2026-11-27T00:00:00Z", "by": "lease_table", "delivered": 500 });
    let path = stage.sandbox.path(format!("state/respool/runs/{later}/drained.json"));
    std::fs::write(path, note.to_string()).unwrap();
    let asked = stage.run("stream drained --lease-table t");
    assert!(asked.stderr.contains(&format!("about older, into which run {older} went")), "{asked:?}");
}

#[test]
fn nobody_waits_for_a_run_that_was_stopped_over_its_key_and_it_is_begun_anew() {
    let stage = Stage::new("--unlimited");
    stage.run("stream create backfill --shards 1").ended_with(0);
    let line =
        format!("replay {} --into backfill --partition-key /tailnm --json", repository(ARCHIVE).display());
    let report = stage.run(&line).json(4);
    let run = report["run"].as_str().unwrap();
    let steps = report["next_steps"].as_array().unwrap();
    let anew = steps.iter().find(|step| step["why"] == "begin anew with another key").unwrap();
    let anew = anew["command"].as_str().unwrap();
    let guide = stage.sandbox.run("guide --json").json(0);
    assert_eq!(guide["steps"][1]["command"], anew, "{guide}");
    let note = guide["steps"][1]["notes"].to_string();
    assert!(note.contains(&format!("`respool resume {run}` goes on, and sets aside all")), "{note}");
    let dynamodb = serve(|_, _| (200, json!({ "Items": [] })));
    let waiting = stage.sandbox.run(&format!(
        "stream drained --wait --json --lease-table worker --consumer-endpoint-url {dynamodb}"
    ));
    let told = waiting.json(4);
    let message = told["message"].as_str().unwrap();
    for words in [
        &format!("no process works on run {run}, which is incomplete and has sent nothing")[..],
        &format!("(`{anew}` begins anew with another key)"),
        "Nothing was sent into backfill yet",
    ] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(!message.contains("resume") && !message.contains("has been read"), "{message}");
    let delete = stage.run("stream delete backfill --yes");
    assert!(delete.sentence(5).contains(&format!("`{anew}` begins anew")), "{delete:?}");
    let again = stage.sandbox.run(&format!("{} --limit 500", anew.strip_prefix("respool ").unwrap()));
    assert_eq!(again.json(0)["records"]["delivered"], 500);
}

#[test]
fn a_guide_has_the_runs_own_names_and_ticks_what_is_done() {
    let stage = Stage::new("--unlimited");
    let before = stage.sandbox.run("guide");
    assert!(before.stdout.contains("respool stream create NAME --shards N"), "{}", before.stdout);
    stage.run("stream create backfill --shards 1 --retention 48h").ended_with(0);
    let report = stage.replay("--limit 500").json(0);
    let run = report["run"].as_str().unwrap();
    let guide = stage.sandbox.run("guide --lease-table backfill-worker --json").json(0);
    let steps = guide["steps"].as_array().unwrap();
    let step = |name: &str| steps.iter().find(|step| step["step"] == name).unwrap();
    assert_eq!((&guide["run"], &step("create")["done"]), (&json!(run), &json!(true)));
    assert_eq!((&step("replay")["done"], &step("drained")["done"]), (&json!(true), &json!(false)));
    let command = step("drained")["command"].as_str().unwrap();
    let expected = format!("respool stream drained {run} --lease-table backfill-worker --wait");
    assert!(command.starts_with(&expected), "{command}");
    let page = stage.sandbox.run("guide");
    assert!(page.stdout.contains("[x] 1. Make the backfill stream backfill"), "{}", page.stdout);
}

#[test]
fn a_script_is_told_of_a_failure_on_stdout_too() {
    let stage = Stage::new("");
    for line in [
        "stream create demo --shards 9",
        "stream scale nowhere --shards 2",
        "stream status nowhere",
        "stream delete demo --yes",
        "stream drained",
        "guide never",
    ] {
        let outcome = stage.run(&format!("{line} --json"));
        let told = outcome.json(5);
        assert_eq!(told["exit_code"], 5, "{line}");
        let message = told["message"].as_str().unwrap();
        assert!(!message.is_empty() && outcome.stderr.contains(message), "{line}: {message}");
    }
}

#[test]
fn a_script_is_told_of_every_failure_on_stdout() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.path("archive")).unwrap();
    for line in
        ["inspect archive", "verify", "runs show never", "quarantine ls never", "plan archive --shards 1"]
    {
        let outcome = sandbox.run(&format!("{line} --json"));
        let told = outcome.json(5);
        let message = told["message"].as_str().unwrap();
        assert!(told["exit_code"] == 5 && outcome.stderr.contains(message), "{line}: {message}");
    }
}

#[test]
fn what_is_about_to_be_made_and_sent_is_said_once() {
    let stage = Stage::new("--unlimited");
    // Not on this machine by its address, so it is asked about as a stream elsewhere would be.
    let url = stage.server.url.replace("127.0.0.1", "0.0.0.0");
    let archive = repository(ARCHIVE);
    let line = format!(
        "replay {} --into backfill --partition-key /tailnum --limit 500 --create --shards 1 --yes --json --kinesis-endpoint-url {url} \
         --allow-insecure-endpoint",
        archive.display()
    );
    let sent = stage.sandbox.run(&line);
    assert_eq!(sent.stderr.matches("  from       ").count(), 1, "{sent:?}");
    assert_eq!(sent.json(0)["records"]["delivered"], 500);
}

#[test]
fn ferrokinesis_is_a_stream_like_any_other() {
    let Some([ferrokinesis]) = tools(["RESPOOL_TEST_FERROKINESIS"]) else { return };
    let (sandbox, server) = (Sandbox::new(), Server::ferrokinesis(&ferrokinesis));
    let run = |line: &str| sandbox.run(&format!("{line} --kinesis-endpoint-url {}", server.url));
    let made = run("stream create backfill --shards 2 --retention 48h --json").json(0);
    assert_eq!((&made["shards"], &made["retention_hours"]), (&json!(2), &json!(48)));
    assert_eq!(run("stream status backfill --json").json(0)["created_by_respool"], true);
    assert_eq!(run("stream scale backfill --shards 5 --json").json(0)["shards"], 5);
    // It knows no DryRun, and must not be written to by way of trying.
    let archive = repository(ARCHIVE);
    let report = run(&format!(
        "replay {} --into backfill --partition-key /tailnum --limit 700 --json",
        archive.display()
    ));
    assert_eq!(report.json(0)["records"]["delivered"], 700);
    let verified = run("verify --json").json(0);
    assert_eq!((&verified["present"], &verified["foreign"]), (&json!(700), &json!(0)), "{verified}");
    run("stream delete backfill --yes --force").ended_with(0);
    assert!(run("stream status backfill").sentence(5).contains("does not exist"));
}

/// moto, with everything.
pub(crate) fn moto(python: &Path) -> Server {
    Server::start(|port, _| {
        let mut command = Command::new(python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        command
    })
}

/// Runs `worker.py` with `input`.
pub(crate) fn worker(python: &Path, arguments: &[&str], input: &Value) {
    let mut command = Command::new(python);
    command.arg(repository("tests/integration/worker.py")).args(arguments);
    command.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    command.env("AWS_DEFAULT_REGION", "eu-west-1").stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{arguments:?}");
}

/// A lease as version 2 of the library writes it.
pub(crate) fn lease(shard: &str, checkpoint: &str) -> Value {
    json!({
        "leaseKey": { "S": shard },
        "leaseOwner": { "S": "worker-1" },
        "leaseCounter": { "N": "17" },
        "ownerSwitchesSinceCheckpoint": { "N": "0" },
        "checkpoint": { "S": checkpoint },
        "checkpointSubSequenceNumber": { "N": "0" },
    })
}

#[test]
fn a_worker_is_seen_to_be_done_by_its_leases() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (stage, moto) = (Stage::new("--unlimited"), moto(&python));
    stage.run("stream create backfill --shards 2").ended_with(0);
    stage.replay("--limit 2000").json(0);
    let run = stage.sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let ledger = stage.sandbox.run(&format!("runs show {run} --json")).json(0);
    let shards: Vec<(String, String)> =
        ledger["shards"].as_array().unwrap().iter().map(shard_and_last).collect();
    assert_eq!(shards.len(), 2);
    let consumer = format!("--consumer-endpoint-url {}", moto.url);
    let line = format!("stream drained --lease-table worker --json {consumer}");

    let missing = stage.sandbox.run(&line.replace("--json ", ""));
    assert!(missing.sentence(5).contains("the table worker does not exist"), "{}", missing.stderr);

    // A run of another version may have written there, too.
    let other = stage.sandbox.path("state/respool/runs/20200101-000000");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("run.json"), r#"{"version":9}"#).unwrap();
    let unread = stage.sandbox.run(&line).json(5);
    assert!(unread["message"].as_str().unwrap().contains("20200101-000000 (it has layout 9"), "{unread}");
    std::fs::remove_dir_all(&other).unwrap();

    // One shard waits, the other is done. Between them lie more than a page of rows that are no leases.
    let mut rows = vec![lease(&shards[0].0, "TRIM_HORIZON"), lease(&shards[1].0, &shards[1].1)];
    let padding = "x".repeat(100_000);
    rows.extend((0..12).map(|number| {
        json!({
            "leaseKey": { "S": format!("worker-{number}") },
            "entityType": { "S": "WORKER_METRIC_STATS" },
            "padding": { "S": padding },
        })
    }));
    worker(&python, &["leases", &moto.url, "worker"], &rows.into());
    let told = stage.sandbox.run(&line).json(4);
    assert_eq!((&told["drained"], &told["method"]), (&json!(false), &json!("lease_table")));
    let states: Vec<&Value> =
        told["shards"].as_array().unwrap().iter().map(|shard| &shard["state"]).collect();
    assert_eq!(states, ["not_begun", "drained"]);

    let waiting =
        stage.sandbox.start(&format!("stream drained {run} --lease-table worker --wait {consumer}"));
    until("news of the worker", || waiting.stderr().contains("1 of 2 shards is drained").then_some(()));
    worker(&python, &["leases", &moto.url, "worker"], &json!([lease(&shards[0].0, &shards[0].1)]));
    let done = waiting.wait();
    assert_eq!(done.code, 0, "{}", done.stderr);
    let sentence = "it is safe to point the worker back at the live stream";
    assert!(done.stdout.contains(sentence), "{}", done.stdout);

    let noted = stage.run("stream status backfill --json").json(0);
    assert_eq!(noted["runs"][0]["drained"], true);
    stage.run("stream delete backfill --yes").ended_with(0);
}

#[test]
fn of_a_worker_that_reads_several_streams_only_this_ones_leases_count() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (stage, moto) = (Stage::new("--unlimited"), moto(&python));
    stage.run("stream create backfill --shards 1").ended_with(0);
    stage.replay("--limit 500").json(0);
    let status = stage.run("stream status backfill --json").json(0);
    let created: jiff::Timestamp = status["created"].as_str().unwrap().parse().unwrap();
    let account = status["account"].as_str().unwrap();
    let run = stage.sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let ledger = stage.sandbox.run(&format!("runs show {run} --json")).json(0);
    let (shard, last) = shard_and_last(&ledger["shards"][0]);
    let line = format!("stream drained --lease-table worker --json --consumer-endpoint-url {}", moto.url);
    let of = |stream: &str, created: i64, checkpoint: &str| {
        let mut lease = lease(&format!("{account}:{stream}:{created}:{shard}"), checkpoint);
        lease["streamName"] = json!({ "S": format!("{account}:{stream}:{created}") });
        lease["shardId"] = json!({ "S": shard });
        lease
    };
    let seconds = created.as_second();
    // Another stream's shard of the same name, and the same stream's before it was made anew.
    let others = json!([of("orders", seconds, &last), of("backfill", seconds - 3_600, &last)]);
    worker(&python, &["leases", &moto.url, "worker"], &others);
    assert_eq!(stage.sandbox.run(&line).json(4)["drained"], false);
    let waits = json!([of("backfill", seconds, "TRIM_HORIZON")]);
    worker(&python, &["leases", &moto.url, "worker"], &waits);
    let told = stage.sandbox.run(&line).json(4);
    assert_eq!(told["shards"][0]["state"], "not_begun", "{told}");
    worker(&python, &["leases", &moto.url, "worker"], &json!([of("backfill", seconds, &last)]));
    let told = stage.sandbox.run(&line).json(0);
    assert_eq!((&told["drained"], &told["shards"][0]["state"]), (&json!(true), &json!("drained")));
}

#[test]
fn a_worker_inside_the_last_aggregate_is_not_done() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (stage, moto) = (Stage::new("--unlimited"), moto(&python));
    stage.run("stream create backfill --shards 1").ended_with(0);
    stage.replay("--limit 500 --aggregate").json(0);
    let run = stage.sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let ledger = stage.sandbox.run(&format!("runs show {run} --json")).json(0);
    let (shard, last) = shard_and_last(&ledger["shards"][0]);
    let line = format!("stream drained --lease-table worker --json --consumer-endpoint-url {}", moto.url);
    let asked_at = |place: &str, code| {
        let mut lease = lease(&shard, &last);
        lease["checkpointSubSequenceNumber"] = json!({ "N": place });
        worker(&python, &["leases", &moto.url, "worker"], &json!([lease]));
        stage.sandbox.run(&line).json(code)
    };
    let inside = asked_at("0", 4);
    assert_eq!(inside["shards"][0]["state"], "behind");
    assert!(inside["message"].as_str().unwrap().contains("inside their last aggregate"), "{inside}");
    assert_eq!(asked_at("499", 0)["drained"], true);
}

pub(crate) fn shard_and_last(shard: &Value) -> (String, String) {
    let text = |field: &str| shard[field].as_str().unwrap().to_owned();
    (text("shard"), text("last_sequence_number"))
}

#[test]
fn without_a_table_the_age_of_what_is_read_is_asked_for() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (stage, moto) = (Stage::new("--unlimited"), moto(&python));
    stage.run("stream create backfill --shards 1").ended_with(0);
    stage.replay("--limit 500").json(0);
    let line = format!("stream drained --json --consumer-endpoint-url {}", moto.url);
    let nobody = stage.sandbox.run(&line).json(4);
    assert_eq!((&nobody["method"], &nobody["state"]), (&json!("iterator_age"), &json!("nobody_reads")));
    // The replay has ended just now, so no minute began behind its end.
    worker(&python, &["ages", &moto.url, "backfill", "0", "90000", "61000"], &Value::Null);
    let early = stage.sandbox.run(&line).json(4);
    assert_eq!((&early["state"], &early["minutes"]), (&json!("not_long_enough"), &json!(0)));
}

#[test]
fn records_that_are_younger_than_the_replay_say_that_it_is_read() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (sandbox, moto) = (Sandbox::new(), moto(&python));
    // A stream that has stored everything ten minutes ago.
    let stored_s = u64::try_from(jiff::Timestamp::now().as_second() - 600).unwrap();
    let base = SequenceBase { created_s: stored_s - 60, shard: 0 };
    let records = AtomicU64::new(0);
    let url = serve(move |operation, request| match operation {
        "PutRecords" => {
            let count = request.matches("\"PartitionKey\"").count() as u64;
            let first = records.fetch_add(count, Ordering::Relaxed);
            let stored = |index| {
                let number = base.number(index, stored_s).to_string();
                json!({ "ShardId": "shardId-000000000000", "SequenceNumber": number })
            };
            let stored: Vec<Value> = (first..first + count).map(stored).collect();
            (200, json!({ "FailedRecordCount": 0, "Records": stored }))
        }
        _ => rights::stream(operation),
    });
    let archive = repository(ARCHIVE);
    let line = format!("replay {} --into orders --partition-key /tailnum", archive.display());
    let report = sandbox.run(&format!("{line} --limit 300 --json --kinesis-endpoint-url {url}")).json(0);
    assert_eq!(report["records"]["delivered"], 300);
    let line = format!("stream drained --consumer-endpoint-url {}", moto.url);
    worker(&python, &["ages", &moto.url, "orders", "1000", "0", "2000", "1000", "0"], &Value::Null);
    let read = sandbox.run(&format!("{line} --json")).json(0);
    assert_eq!((&read["drained"], &read["method"]), (&json!(true), &json!("iterator_age")), "{read}");
    assert_eq!(read["state"], "past", "{read}");
    let page = sandbox.run(&line);
    assert!(page.stdout.contains("Probably drained: whoever reads orders has read nothing"), "{page:?}");
    assert!(page.stdout.contains("estimate, not a proof"), "{page:?}");
    // One that reads what had been there when the replay ended is not past it.
    worker(&python, &["ages", &moto.url, "orders", "900000"], &Value::Null);
    let behind = sandbox.run(&format!("{line} --json")).json(4);
    assert_eq!(behind["state"], "behind", "{behind}");
}

#[test]
fn a_replay_that_would_feed_its_own_archive_is_refused() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (sandbox, moto) = (Sandbox::new(), moto(&python));
    worker(&python, &["delivery", &moto.url, "orders", "events", "live/"], &Value::Null);
    let run = |archive: &str, flags: &str| {
        let line = format!("replay {archive} --into orders --partition-key /id --dry-run {flags}");
        let mut command = sandbox.command(&line);
        command.env("AWS_ENDPOINT_URL", &moto.url);
        sandbox.start_command(command).wait()
    };
    let refused = run("s3://events/live/", "");
    let words = "the delivery stream archiver writes what arrives in orders to s3://events/live/";
    assert!(refused.sentence(5).contains(words), "{}", refused.stderr);
    assert_eq!(run("s3://events/live/", "--allow-loop").code, 0);
    assert_eq!(run("s3://events/live/2026/07/", "").code, 5);
    // A plan knows it, too, and is refused by nothing.
    let plan = |firehose: &str| {
        let mut command = sandbox.command("plan s3://events/live/ --into orders --partition-key /id --json");
        command.env("AWS_ENDPOINT_URL", &moto.url).env("AWS_ENDPOINT_URL_FIREHOSE", firehose);
        let plan = sandbox.start_command(command).wait().json(0);
        plan["warnings"][0].clone()
    };
    let closes = plan(&moto.url);
    assert!(closes["code"] == "loop" && closes["message"].as_str().unwrap().contains(words), "{closes}");
    let denies = serve(|_, _| (400, json!({ "__type": "AccessDeniedException", "message": "no" })));
    let unknown = plan(&denies);
    assert_eq!(unknown["code"], "loop_unknown");
    let message = unknown["message"].as_str().unwrap();
    assert!(message.starts_with("whether a delivery stream takes orders back into the archive"), "{unknown}");
    assert!(unknown["action"].as_str().unwrap().contains("\"firehose:ListDeliveryStreams\""), "{unknown}");
    // Somewhere else in the bucket there is nothing to loop, and nothing to read either.
    assert!(run("s3://events/other/", "").sentence(5).contains("nothing is selected"));
}
