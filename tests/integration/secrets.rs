//! What is the user's is not repeated: neither records nor keys nor credentials reach the log, the report, or
//! any file of the run's directory but the quarantine's own, however much is logged and whatever goes wrong.

use std::fs;
use std::path::Path;

use crate::events::{gzip, put};
use crate::sandbox::Sandbox;

const DATA: &str = "canary-of-the-data";
const KEY: &str = "canary-of-the-key";
const CREDENTIAL: &str = "canary-of-the-credential";

/// Good records, one without the key, one that is broken, one too large, and an object that is cut short.
fn make_archive(archive: &Path) {
    let good = format!(r#"{{"k":"{KEY}","v":"{DATA}"}}"#);
    let without = format!(r#"{{"v":"{DATA}"}}"#);
    let broken = format!(r#"{{"k":"{KEY}","v":{DATA}"#);
    let large = format!(r#"{{"k":"{KEY}","v":"{}"}}"#, DATA.repeat(100_000));
    let lines =
        [&good, &without, &good, &broken, &good, &large, &good].map(|line| format!("{line}\n")).concat();
    let packed = gzip(lines.as_bytes());
    put(archive, 0, &packed);
    put(archive, 1, &packed[..packed.len() / 2]);
}

fn assert_clean(what: &str, text: &[u8]) {
    for canary in [DATA, KEY, CREDENTIAL] {
        let found = text.windows(canary.len()).any(|window| window == canary.as_bytes());
        assert!(!found, "{canary} stands in {what}");
    }
}

fn assert_files_clean(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What was set aside is kept for its owner; nothing else may repeat it.
        if path.ends_with("quarantine/records.bin") {
            continue;
        }
        if path.is_dir() {
            assert_files_clean(&path);
        } else {
            assert_clean(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

#[test]
fn records_keys_and_credentials_are_never_repeated() {
    let sandbox = Sandbox::new();
    make_archive(&sandbox.path("archive"));
    let (_simulator, url) = sandbox.simulate("--shards 1");
    for target in [url.as_str(), "http://127.0.0.1:9"] {
        let line =
            format!("replay archive --into demo --partition-key /k -vvv --json --endpoint-url {target}");
        let mut command = sandbox.command(&line);
        command
            .env("AWS_SECRET_ACCESS_KEY", CREDENTIAL)
            .env("AWS_SESSION_TOKEN", CREDENTIAL)
            .env("RUST_LOG", "trace");
        let outcome = sandbox.start_command(command).wait();
        assert_eq!(outcome.code, if target == url { 3 } else { 4 }, "{}", outcome.stderr);
        assert_clean("the log", outcome.stderr.as_bytes());
        assert_clean("the report", outcome.stdout.as_bytes());
    }
    assert_files_clean(&sandbox.path("state"));
}
