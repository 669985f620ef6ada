//! Out of buckets that others serve: rclone, which checks signatures, and moto, which is complete.
//!
//! 2,000 objects as Firehose writes them over two days, one every 86 seconds, so that objects lie exactly on
//! the edges of the windows. What a window selects is told by arithmetic on their numbers; what arrived,
//! by a foreign client of the stream; how many objects were asked for, by the server's own log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::foreign::{self, KEYS, Server, gzip, repository, script, tools};
use crate::sandbox::{Outcome, Sandbox};

const OBJECTS: u32 = 2_000;
const EVERY_SECONDS: u32 = 86;
const RECORDS_PER_OBJECT: u32 = 3;
/// 30 objects long, so that its end lies on an object too.
const SLACK_SECONDS: u32 = 30 * EVERY_SECONDS;

#[test]
fn a_bucket_behind_signatures_is_replayed_once_and_then_from_the_cache() {
    let Some([python, rclone]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_RCLONE"]) else { return };
    let buckets = tempfile::tempdir().unwrap();
    write_objects(&buckets.path().join("events"), 0..OBJECTS).unwrap();
    let server = rclone_server(&rclone, buckets.path());
    check_windows_and_cache(&python, server, "GET OBJECT Bucket: events");
}

#[test]
fn a_bucket_of_moto_is_replayed_once_and_then_from_the_cache() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write_objects(folder.path(), 0..OBJECTS).unwrap();
    let server = moto_server(&python, folder.path());
    check_windows_and_cache(&python, server, "\"GET /events/live/");
}

#[test]
fn what_a_bucket_refuses_is_one_sentence() {
    let Some([python, rclone]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_RCLONE"]) else { return };
    let buckets = tempfile::tempdir().unwrap();
    write_objects(&buckets.path().join("events"), 0..1).unwrap();
    let moto = moto_server(&python, &buckets.path().join("events"));
    let rclone = rclone_server(&rclone, buckets.path());
    let (wrong_secret, wrong_id) = ((KEYS.0, "wrong"), ("AKIDOFSOMEONEELSE", KEYS.1));
    for (keys, server, bucket, said) in [
        (Some(wrong_secret), &rclone, "events", "s3://events{at}: SignatureDoesNotMatch"),
        (Some(wrong_id), &rclone, "events", "s3://events{at}: InvalidAccessKeyId"),
        (Some(KEYS), &rclone, "none", "s3://none{at} does not exist"),
        (Some(KEYS), &moto, "none", "s3://none{at} does not exist"),
        (None, &rclone, "events", "s3://events: no AWS credentials found: name a profile"),
        (None, &moto, "events", "s3://events: no AWS credentials found: name a profile"),
    ] {
        let outcome = replay(&Sandbox::new(), server, bucket, "--into null:", keys);
        let sentence = outcome.sentence(5);
        let said = said.replace("{at}", &format!(" at {}", server.url));
        assert!(sentence.starts_with(&format!("error: {said}")) && sentence.len() <= 250, "{sentence}");
        assert!(!outcome.stderr.contains(KEYS.1), "{}", outcome.stderr);
    }
}

#[test]
fn a_truncated_object_is_set_aside_and_the_others_are_delivered() {
    let Some([python, rclone]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_RCLONE"]) else { return };
    let buckets = tempfile::tempdir().unwrap();
    let folder = buckets.path().join("events");
    write_objects(&folder, 0..21).unwrap();
    let broken = folder.join(object_key(13));
    let whole = fs::read(&broken).unwrap();
    fs::write(&broken, &whole[..whole.len() - 5]).unwrap();
    let server = rclone_server(&rclone, buckets.path());
    let (stream, sandbox) = (Server::simulate(""), Sandbox::new());
    let report = replay(&sandbox, &server, "events", &into(&stream), Some(KEYS)).json(3);
    assert_eq!(report["objects"], json!({"total": 21, "settled": 20, "quarantined": 1, "skipped": 1}));
    assert_eq!(report["quarantine"]["reasons"], json!({"truncated": 1}));
    let list = fs::read_to_string(report["quarantine"]["path"].as_str().unwrap()).unwrap();
    assert!(list.contains(&object_key(13)), "{list}");
    let good = tempfile::tempdir().unwrap();
    write_objects(good.path(), (0..13).chain(14..21)).unwrap();
    assert_eq!(compare(&python, &stream, good.path())["records"], 20 * RECORDS_PER_OBJECT);
}

/// A window by its edges, then everything, then everything again without a request, then without the server.
fn check_windows_and_cache(python: &Path, server: Server, logged: &str) {
    let sandbox = Sandbox::new();
    let stream = Server::simulate("");
    let requests = |server: &Server| server.log().matches(logged).count();
    let window = |from: u32, until: u32| {
        format!("--from {} --until {} --slack {SLACK_SECONDS}s", stamp(from), stamp(until))
    };

    let (first, last) = (700 * EVERY_SECONDS, 1_500 * EVERY_SECONDS);
    let flags = format!("{} {}", window(first, last), into(&stream));
    let report = replay(&sandbox, &server, "events", &flags, Some(KEYS)).json(0);
    let selected = tempfile::tempdir().unwrap();
    write_objects(selected.path(), 670..1_500).unwrap();
    assert_eq!(compare(python, &stream, selected.path())["records"], 830 * RECORDS_PER_OBJECT);
    assert_eq!(report["objects"]["total"], 830);
    assert_eq!(report["objects_outside_window"], 30);
    assert_eq!((&report["s3_object_requests"], requests(&server)), (&json!(830), 830));

    let everything = replay(&sandbox, &server, "events", "--into null:", Some(KEYS)).json(0);
    assert_eq!(
        everything["objects"],
        json!({"total": 2_000, "settled": 2_000, "quarantined": 0, "skipped": 1})
    );
    assert_eq!(everything["records"]["delivered"], OBJECTS * RECORDS_PER_OBJECT);
    assert_eq!((&everything["cache"]["hits"], &everything["cache"]["fetched"]), (&json!(830), &json!(1_170)));
    assert_eq!((&everything["s3_object_requests"], requests(&server)), (&json!(1_170), 2_000));

    let again = replay(&sandbox, &server, "events", "--into null:", Some(KEYS)).json(0);
    check_all_from_the_cache(&again);
    for (from, until) in [
        (first + 1, last + 1),
        (first - 1, last - 1),
        (0, 1),
        (86_400, 2 * 86_400),
        (1_999 * EVERY_SECONDS, 2 * 86_400),
    ] {
        let flags = format!("{} --into null:", window(from, until));
        let report = replay(&sandbox, &server, "events", &flags, Some(KEYS)).json(0);
        let times = || (0..OBJECTS).map(|number| number * EVERY_SECONDS);
        let selected = times().filter(|time| time + SLACK_SECONDS >= from && *time < until).count();
        let outside = times().filter(|time| time + SLACK_SECONDS >= from && *time < from).count();
        assert_eq!(
            (&report["objects"]["total"], &report["objects_outside_window"]),
            (&json!(selected), &json!(outside))
        );
        assert_eq!(report["s3_object_requests"], 0);
    }
    assert_eq!(requests(&server), 2_000, "an object was asked for again");

    let url = server.url.clone();
    drop(server);
    let offline = format!("--offline --into null: --s3-endpoint-url {url} --partition-key /order");
    let report = foreign::replay(&sandbox, "s3://events/live/", &offline, None).json(0);
    check_all_from_the_cache(&report);
}

fn check_all_from_the_cache(report: &Value) {
    assert_eq!(report["records"]["delivered"], OBJECTS * RECORDS_PER_OBJECT);
    assert_eq!((&report["cache"]["hits"], &report["cache"]["fetched"]), (&json!(2_000), &json!(0)));
    assert_eq!(report["s3_object_requests"], 0);
}

fn replay(
    sandbox: &Sandbox,
    server: &Server,
    bucket: &str,
    flags: &str,
    keys: Option<(&str, &str)>,
) -> Outcome {
    let access = format!("--s3-endpoint-url {} --partition-key /order", server.url);
    foreign::replay(sandbox, format!("s3://{bucket}/live/"), &format!("{access} {flags}"), keys)
}

fn into(stream: &Server) -> String {
    format!("--into demo --kinesis-endpoint-url {}", stream.url)
}

fn compare(python: &Path, stream: &Server, archive: &Path) -> Value {
    let arguments = ["compare", &stream.url, "demo", &archive.to_string_lossy(), "/order", "0"];
    serde_json::from_str(&script(python, "tests/integration/stream.py", &arguments)).unwrap()
}

/// A real server over the folders below `buckets`.
pub(crate) fn rclone_server(rclone: &Path, buckets: &Path) -> Server {
    Server::start(|port, home| {
        let mut command = Command::new(rclone);
        command.args(["serve", "s3", "-vv", "--config", "/dev/null", "--vfs-cache-mode", "off"]);
        command.args(["--auth-key", &format!("{},{}", KEYS.0, KEYS.1)]).arg("--cache-dir").arg(home);
        command.args(["--addr", &format!("127.0.0.1:{port}")]).arg(buckets);
        command
    })
}

/// A complete server with the bucket `events`, which holds `folder`.
pub(crate) fn moto_server(python: &Path, folder: &Path) -> Server {
    Server::start(|port, _| {
        let mut command = Command::new(python);
        command.arg(repository("tests/integration/moto_bucket.py"));
        command.args([&port.to_string(), "events"]).arg(folder);
        command
    })
}

/// The objects with these numbers, and a marker that is none.
fn write_objects(root: &Path, numbers: impl IntoIterator<Item = u32>) -> io::Result<()> {
    for number in numbers {
        let record =
            |part| format!("{{\"order\":{},\"part\":{part},\"of\":\"{number} }}{{ é\"}}\n", number % 97);
        let text: String = (0..RECORDS_PER_OBJECT).map(record).collect();
        let path: PathBuf = root.join(object_key(number));
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, gzip(text.as_bytes())?)?;
    }
    fs::write(root.join("live/_SUCCESS"), "")
}

fn object_key(number: u32) -> String {
    let stamp = stamp(number * EVERY_SECONDS).replace(['T', ':'], "-");
    let folder = stamp.get(..13).unwrap_or_default().replace('-', "/");
    format!(
        "live/{folder}/orders-1-{}-{number:08x}-7a44-4c0e-9d2f-2b1a6c9d8e7f.gz",
        stamp.trim_end_matches('Z')
    )
}

/// The time so many seconds after the archive's first.
fn stamp(seconds: u32) -> String {
    let (day, hour, minute) = (1 + seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    format!("2026-07-{day:02}T{hour:02}:{minute:02}:{:02}Z", seconds % 60)
}
