//! The proof for the user: what is in the stream is told, and what is not.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::events;
use crate::foreign::{KEYS, Server, replay, script, tools};
use crate::reader::{call, read_stream};
use crate::sandbox::{Outcome, Sandbox};

const KEYS_COUNT: usize = 5;
const RECORDS: usize = 120;

/// 120 records over five keys in three objects; some are equal to each other.
fn make_archive(folder: &Path) {
    for object in 0..3 {
        let mut lines = String::new();
        for number in object * 40..object * 40 + 40 {
            writeln!(lines, r#"{{"k":"key-{}","n":{}}}"#, number % KEYS_COUNT, number / 15).unwrap();
        }
        events::put(folder, object, &events::gzip(lines.as_bytes()));
    }
}

/// A run that has delivered the archive into `stream`.
fn delivered(server: &Server, stream: &str) -> Sandbox {
    delivered_with(server, stream, "")
}

/// The same with more flags.
fn delivered_with(server: &Server, stream: &str, flags: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    make_archive(&sandbox.path("archive"));
    let flags = format!("--into {stream} --kinesis-endpoint-url {} --partition-key /k {flags}", server.url);
    replay(&sandbox, sandbox.path("archive"), &flags, Some(KEYS)).json(0);
    sandbox
}

fn verify(sandbox: &Sandbox, flags: &str) -> Outcome {
    sandbox.run(&format!("verify --json --read-share 1 {flags}"))
}

fn put(server: &Server, stream: &str, key: &str, data: &[u8]) {
    let data = base64_simd::STANDARD.encode_to_string(data);
    let record = json!({ "StreamName": stream, "PartitionKey": key, "Data": data });
    call(&server.url, "PutRecord", &record).unwrap();
}

#[test]
fn without_a_name_the_last_run_that_can_be_read_back_is_verified() {
    let server = Server::simulate("--shards 1");
    let sandbox = delivered(&server, "demo");
    let run = sandbox.runs()[0]["run"].clone();
    sandbox.run("replay archive --into null: --partition-key /k --json").json(0);
    assert_eq!(verify(&sandbox, "").json(0)["run"], run);
    let named = sandbox.runs()[1]["run"].as_str().unwrap().to_owned();
    assert!(
        sandbox.run(&format!("verify {named}")).sentence(5).contains("verify a run into a Kinesis stream")
    );

    let sandbox = Sandbox::new();
    make_archive(&sandbox.path("archive"));
    sandbox.run("replay archive --into sim:1 --partition-key /k --json").json(0);
    assert!(
        sandbox.run("verify").sentence(5).contains("`respool simulate` serves an embedded stream that can")
    );
}

#[test]
fn a_run_that_is_not_done_is_not_called_verified() {
    let server = Server::simulate("--shards 1");
    let sandbox = Sandbox::new();
    make_archive(&sandbox.path("archive"));
    let flags = format!(
        "--into demo --kinesis-endpoint-url {} --partition-key /k --max-rate 20rec/s --yes --json",
        server.url
    );
    let mut command = sandbox.command(&format!("replay archive {flags}"));
    command.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    let process = sandbox.start_command(command);
    sandbox.wait_for_progress(10);
    process.signal(rustix::process::Signal::TERM);
    process.wait().json(4);
    let report = verify(&sandbox, "").json(4);
    assert_eq!((&report["finished"], &report["missing"]), (&json!(false), &json!(0)), "{report}");
    let (present, not_due) = (report["present"].as_u64().unwrap(), report["not_due"].as_u64().unwrap());
    assert_eq!(present + not_due, RECORDS as u64, "{report}");
    assert!(not_due > 0, "{report}");
}

#[test]
fn aggregates_are_verified_by_what_is_inside_and_spread_records_by_their_keys() {
    let server = Server::simulate("--shards 3");
    let sandbox = delivered_with(&server, "demo", "--aggregate");
    let report = verify(&sandbox, "").json(0);
    let counts =
        |report: &Value| ["expected", "present", "foreign"].map(|field| report[field].as_u64().unwrap());
    assert_eq!(counts(&report), [RECORDS as u64, RECORDS as u64, 0], "{report}");
    let entries: u64 =
        report["shards"].as_array().unwrap().iter().map(|shard| shard["records"].as_u64().unwrap()).sum();
    assert!(entries < RECORDS as u64 / 3, "{report}");

    let server = Server::simulate("--shards 3");
    let sandbox = delivered_with(&server, "demo", "--order none");
    let report = verify(&sandbox, "").json(0);
    assert_eq!(counts(&report), [RECORDS as u64, RECORDS as u64, 0], "{report}");
    // Five keys, but every shard has its part.
    let of_shards = report["shards"].as_array().unwrap();
    assert!(of_shards.iter().all(|shard| shard["ours"].as_u64().unwrap() > 20), "{report}");
    let [expected, present, foreign] = counts(&verify(&sandbox, "--sample 10").json(0));
    assert!(
        expected == present && (20..90).contains(&present) && foreign == 0,
        "{present} of {expected}, {foreign}"
    );
}

#[test]
fn what_arrived_is_verified_and_copies_and_strangers_are_counted() {
    let server = Server::simulate("--shards 3");
    let sandbox = delivered(&server, "demo");
    let report = verify(&sandbox, "").json(0);
    let counts = |report: &Value| {
        ["expected", "present", "missing", "order_violations", "duplicates", "foreign"]
            .map(|field| report[field].as_u64().unwrap())
    };
    assert_eq!(counts(&report), [RECORDS as u64, RECORDS as u64, 0, 0, 0, 0], "{report}");

    put(&server, "demo", "key-1", b"{\"k\":\"key-1\",\"n\":0}");
    put(&server, "demo", "key-1", b"somebody else's");
    let report = verify(&sandbox, "").json(0);
    assert_eq!(counts(&report), [RECORDS as u64, RECORDS as u64, 0, 0, 1, 1], "{report}");
    let sampled = verify(&sandbox, "--sample 10").json(0);
    let of_shards = sampled["shards"].as_array().unwrap();
    assert!(of_shards.len() == 1 && sampled["present"].as_u64().unwrap() < RECORDS as u64, "{sampled}");

    // Split in mid-life: children are read behind their parents.
    let split = json!({ "StreamName": "demo", "TargetShardCount": 6, "ScalingType": "UNIFORM_SCALING" });
    call(&server.url, "UpdateShardCount", &split).unwrap();
    put(&server, "demo", "key-2", b"{\"k\":\"key-2\",\"n\":0}");
    let report = verify(&sandbox, "").json(0);
    assert_eq!(counts(&report), [RECORDS as u64, RECORDS as u64, 0, 0, 2, 1], "{report}");
    assert!(report["shards"].as_array().unwrap().len() > 6);

    // From the archive again, if the cache is gone.
    sandbox.run("cache purge --yes");
    assert_eq!(counts(&verify(&sandbox, "").json(0))[..2], [RECORDS as u64; 2]);
    assert!(verify(&sandbox, "20200101-000000").stderr.contains("there is no run"));
}

#[test]
fn what_is_missing_or_late_is_named_with_its_object() {
    let server = Server::simulate("--shards 2");
    let sandbox = delivered(&server, "demo");
    // The same records in another stream, but for one that is left out and two that change places.
    call(&server.url, "CreateStream", &json!({ "StreamName": "other", "ShardCount": 2 })).unwrap();
    for (key, mut records) in read_stream(&server.url, "demo") {
        match key.as_str() {
            "key-3" => drop(records.remove(records.len() - 1)),
            "key-4" => records.swap(0, RECORDS / KEYS_COUNT - 1),
            _ => {}
        }
        for record in records {
            put(&server, "other", &key, &record);
        }
    }
    // A fraction of a second in a float may lose a millisecond on the way.
    pretend_it_went_into(&sandbox, &server, 0);
    let mut outcome = verify(&sandbox, "");
    if outcome.code == 5 {
        pretend_it_went_into(&sandbox, &server, 1);
        outcome = verify(&sandbox, "");
    }
    let report = outcome.json(1);
    assert_eq!((&report["missing"], &report["foreign"]), (&json!(1), &json!(0)), "{report}");
    assert!(report["order_violations"].as_u64().unwrap() > 0, "{report}");
    let missing =
        report["differences"].as_array().unwrap().iter().find(|line| line["what"] == "missing").unwrap();
    assert_eq!((&missing["object"], &missing["record"]), (&json!(2), &json!(38)), "the last of key-3");
    assert!(missing["key"].as_str().unwrap().starts_with("2026/07/01/02/"), "{missing}");
    let listed = fs::read_to_string(report["path"].as_str().unwrap()).unwrap();
    assert_eq!(listed.lines().count(), report["differences"].as_array().unwrap().len());
    let page = sandbox.run("verify --read-share 1");
    assert!(page.stdout.contains("The stream differs: 1 record is missing"), "{}", page.stdout);
}

/// Makes the run's own file say that it wrote to the stream `other`, made so many milliseconds sooner than told.
fn pretend_it_went_into(sandbox: &Sandbox, server: &Server, sooner: u64) {
    let summary = call(&server.url, "DescribeStreamSummary", &json!({ "StreamName": "other" })).unwrap();
    let created = summary["StreamDescriptionSummary"]["StreamCreationTimestamp"].as_f64().unwrap();
    let run = sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let path = sandbox.path("state/respool/runs").join(run).join("run.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"demo\"", "\"other\"");
    let text = text.replace("stream/demo", "stream/other");
    let mut file: Value = serde_json::from_str(&text).unwrap();
    let seconds = std::time::Duration::from_secs_f64(created + 0.000_1);
    file["stream"]["created_ms"] = json!(u64::try_from(seconds.as_millis()).unwrap() - sooner);
    fs::write(&path, file.to_string()).unwrap();
    // The numbers of the other stream are others.
    acknowledged(path.parent().unwrap(), "1", &"9".repeat(60));
}

/// Makes the last checkpoint of the run in `directory` say that its shards gave the numbers from `first` to `last`.
fn acknowledged(directory: &Path, first: &str, last: &str) {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let is_log = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "log");
    for path in files.filter(is_log) {
        let log = fs::read(&path).unwrap();
        let (magic, log) = log.split_at(8);
        let (mut at, mut newest) = (0, None);
        while let Some(header) = log.get(at..at + 8) {
            let length = u32::from_le_bytes(header[..4].try_into().unwrap()) as usize;
            newest = log.get(at + 8..at + 8 + length);
            at += 8 + length;
        }
        let mut checkpoint: Value = serde_json::from_slice(newest.unwrap()).unwrap();
        for (_, shard) in checkpoint["shards"].as_object_mut().unwrap() {
            (shard["first"], shard["last"]) = (json!(first), json!(last));
        }
        let payload = checkpoint.to_string().into_bytes();
        let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
        let mut frame = [magic, &length].concat();
        frame.extend(crc32c::crc32c(&payload).to_le_bytes());
        frame.extend(payload);
        fs::write(path, frame).unwrap();
    }
}

#[test]
fn what_other_runs_have_left_in_the_stream_proves_nothing() {
    let server = Server::simulate("--shards 2");
    let sandbox = delivered(&server, "demo");
    let flags = format!("--into demo --kinesis-endpoint-url {} --partition-key /k --new", server.url);
    replay(&sandbox, sandbox.path("archive"), &flags, Some(KEYS)).json(0);
    let runs: Vec<String> =
        sandbox.runs().iter().map(|run| run["run"].as_str().unwrap().to_owned()).collect();
    let found = |run: &str, code: i32| {
        let report = verify(&sandbox, run).json(code);
        ["present", "missing", "duplicates", "copies_before"].map(|field| report[field].as_u64().unwrap())
    };
    let all = RECORDS as u64;
    assert_eq!(found(&runs[0], 0), [all, 0, all, 0], "what came later");
    assert_eq!(found(&runs[1], 0), [all, 0, 0, all], "what was there before");
    // As if what it was told to be stored had never been.
    acknowledged(&sandbox.path("state/respool/runs").join(&runs[1]), "1", "2");
    assert_eq!(found(&runs[1], 1)[..2], [0, all]);
}

#[test]
fn a_stream_that_is_gone_is_not_verified() {
    let sandbox = Sandbox::new();
    make_archive(&sandbox.path("archive"));
    sandbox.run("replay archive --into sim:2 --partition-key /k --json").json(0);
    assert!(sandbox.run("verify").sentence(5).contains("ended with its process"));
    assert!(Sandbox::new().run("verify").sentence(5).contains("there is no run"));
    assert!(sandbox.run("verify --sample 0").sentence(2).contains("percentage"));
    assert!(sandbox.run("verify --read-share 2").stderr.contains("--read-share"));
}

#[test]
fn a_kinesis_of_others_is_verified() {
    let Some([python, ferrokinesis]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_FERROKINESIS"]) else {
        return;
    };
    let server = Server::ferrokinesis(&ferrokinesis);
    script(&python, "tests/integration/stream.py", &["create", &server.url, "orders", "3"]);
    let sandbox = delivered(&server, "orders");
    let report = verify(&sandbox, "").json(0);
    assert_eq!((&report["present"], &report["missing"]), (&json!(RECORDS), &json!(0)), "{report}");
}

#[test]
fn what_retries_of_the_quarantine_have_sent_is_the_runs_own() {
    let server = Server::simulate("--shards 2");
    let sandbox = Sandbox::new();
    make_archive(&sandbox.path("archive"));
    let (mut keyless, mut broken) = (String::new(), String::new());
    (0..9).for_each(|number| writeln!(keyless, r#"{{"kk":"x","n":{number}}}"#).unwrap());
    (0..5_000).for_each(|number| writeln!(broken, r#"{{"k":"key-1","m":{}}}"#, number * number).unwrap());
    events::put(&sandbox.path("archive"), 3, &events::gzip(keyless.as_bytes()));
    let broken = events::gzip(broken.as_bytes());
    events::put(&sandbox.path("archive"), 4, &broken[..broken.len() * 3 / 4]);
    let flags = format!("--into demo --kinesis-endpoint-url {} --partition-key /k", server.url);
    let name = |report: &Value| report["run"].as_str().unwrap().to_owned();
    let run = name(&replay(&sandbox, sandbox.path("archive"), &flags, Some(KEYS)).json(3));
    let foreign = |report: &Value| {
        ["expected", "present", "retried", "duplicates", "foreign"]
            .map(|field| report[field].as_u64().unwrap())
    };
    let all = RECORDS as u64;
    assert_eq!(foreign(&verify(&sandbox, &run).json(0)), [all, all, 0, 0, 0]);

    // First what has no key; then, out of what that retry has set aside in turn, what is whole.
    let retry =
        |of: &str, flags: &str| sandbox.run(&format!("quarantine retry {of} {flags} --yes --json")).json(3);
    let keyed = name(&retry(&run, "--key-fallback hash"));
    assert_eq!(foreign(&verify(&sandbox, &run).json(0)), [all + 9, all + 9, 9, 0, 0]);
    let salvaged = retry(&keyed, "--salvage");
    let whole = salvaged["records"]["delivered"].as_u64().unwrap();
    let report = verify(&sandbox, &run).json(0);
    assert!(whole > 1_000, "{salvaged}");
    assert_eq!(foreign(&report), [all + 9 + whole, all + 9 + whole, 9 + whole, 0, 0], "{report}");
    assert_eq!(report["retries"], json!([keyed, name(&salvaged)]));
    assert_eq!(name(&verify(&sandbox, "").json(0)), run, "the last run is a retry of it");
    for retry in [&keyed, &name(&salvaged)] {
        let asked = verify(&sandbox, retry);
        assert!(
            asked.stderr.contains(&format!("run {retry} tries again what run {run} has set aside")),
            "{asked:?}"
        );
        assert_eq!(
            foreign(&asked.json(0)),
            foreign(&report),
            "what the replay itself has sent is not foreign"
        );
    }
    let page = sandbox.run(&format!("verify {run} --read-share 1")).stdout;
    let sentence = "Verified: all 120 records are in the stream, in order, and so are the";
    assert!(page.starts_with(sentence) && page.contains("that retries of the run have sent"), "{page}");
    // What is lost of them is named with the retry that has sent it.
    let path = sandbox.path("state/respool/runs").join(&keyed);
    acknowledged(&path, "1", "2");
    let report = verify(&sandbox, &run).json(1);
    assert_eq!(
        (&report["missing"], &report["differences"][0]["run"]),
        (&json!(9), &json!(keyed)),
        "{report}"
    );
}
