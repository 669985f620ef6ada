//! What `inspect` offers: copied as it stands, it selects what was inspected and reads it in the same way.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::events::{gzip, put};
use crate::sandbox::Sandbox;

/// Eight lines of each hour, in an archive of 30 hours, and what lies beside it.
fn make_archive(sandbox: &Sandbox) -> Vec<String> {
    let archive = sandbox.path("archive");
    let line = |hour: usize, n: usize| {
        // 2026-07-01T00:00:00Z is 1,782,864,000.
        format!("{{\"user\":\"u{}\",\"ts\":{}}}\n", n % 3, 1_782_864_000 + hour * 3_600 + n * 60)
    };
    let keys = (0..30).map(|hour| {
        let lines: String = (0..8).map(|n| line(hour, n)).collect();
        let path = put(&archive, hour, &gzip(lines.as_bytes()));
        path.strip_prefix(&archive).unwrap().to_str().unwrap().to_owned()
    });
    let keys = keys.collect();
    let failed = archive.join("processing-failed/2026/07/01/05/x");
    fs::create_dir_all(failed.parent().unwrap()).unwrap();
    fs::write(failed, b"{\"rawData\":\"eyJ1c2VyIjoiYSJ9\"}\n").unwrap();
    keys
}

/// The words that a shell makes of the offered flags.
fn words(flags: &Value) -> Vec<String> {
    let flags: Vec<&str> = flags.as_array().unwrap().iter().map(|flag| flag.as_str().unwrap()).collect();
    let printed = format!("printf '%s\\0' {}", flags.join(" "));
    let output = Command::new("sh").arg("-c").arg(printed).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The objects of a replay's manifest, and how many records of them it delivered.
fn replayed<'a>(
    sandbox: &Sandbox,
    archive: &str,
    flags: impl IntoIterator<Item = &'a str>,
) -> (Vec<(Value, Value)>, Value) {
    let line = format!("replay {archive} --into null: --new --yes --json");
    let mut command = sandbox.command(&line);
    command.args(flags);
    let report = sandbox.start_command(command).wait().json(0);
    let run = report["run"].as_str().unwrap();
    let manifest = sandbox.path(Path::new("state/respool/runs").join(run).join("manifest.jsonl"));
    let manifest = fs::read_to_string(manifest).unwrap();
    let objects = manifest.lines().skip(1).map(|line| {
        let object: Value = serde_json::from_str(line).unwrap();
        (object["key"].clone(), object["etag"].clone())
    });
    let mut objects: Vec<_> = objects.collect();
    // Their order is that of the times that a layout reads.
    objects.sort_by_key(|(key, _)| key.to_string());
    (objects, report["records"]["delivered"].clone())
}

/// The same objects and records by the flags that were typed and by those that are offered for them; how many.
fn offers_the_same(sandbox: &Sandbox, archive: &str, typed: &[&str]) -> (usize, Value) {
    let mut inspect = sandbox.command(&format!("inspect {archive} --json"));
    inspect.args(typed);
    let found = sandbox.start_command(inspect).wait().json(0);
    let mut offered = words(&found["flags"]);
    let keyed = offered.iter().any(|word| word == "--partition-key");
    offered.extend([if keyed { "--key-fallback" } else { "--partition-key" }, "hash"].map(str::to_owned));
    let by_offer = replayed(sandbox, archive, offered.iter().map(String::as_str));
    let by_typed = replayed(sandbox, archive, typed.iter().copied().chain(["--partition-key", "hash"]));
    assert_eq!(by_offer, by_typed, "{typed:?}: {offered:?}");
    assert_eq!(found["objects"], by_offer.0.len(), "{typed:?}: {found}");
    (by_offer.0.len(), by_offer.1)
}

#[test]
fn what_is_offered_selects_what_was_inspected() {
    let sandbox = Sandbox::new();
    let keys = make_archive(&sandbox);
    fs::write(sandbox.path("some keys"), format!("{}\n{}\n", keys[3], keys[9])).unwrap();
    let (from, until) = ("2026-07-01T03:00:00Z", "2026-07-01T09:00:00Z");
    for (typed, objects, records) in [
        (&[][..], 30, 240),
        (&["--timezone", "Asia/Tokyo", "--include", "*01/0*"], 10, 80),
        (&["--timezone", "Asia/Tokyo", "--from", "2026-06-30T18:00:00Z"], 27, 216),
        (&["--exclude", "*01/0*", "--exclude", "*it's*"], 20, 160),
        (&["--include=-*", "--include", "*/1?/*"], 10, 80),
        (&["--objects", "some keys"], 2, 16),
        (&["--error-output"], 1, 1),
        (&["--from", from, "--until", until], 6, 48),
        (&["--from", from, "--until", until, "--slack", "2h"], 8, 64),
        (&["--slack", "0s"], 30, 240),
        (&["--layout", "all"], 30, 240),
        (&["--layout", "modified"], 30, 240),
        (&["--layout", "%Y/%m/%d/%H", "--until", until], 9, 72),
        (&["--delimiter", "}\\n"], 30, 240),
        (&["--framing", "whole"], 30, 30),
        (&["--framing", "newline", "--salvage", "--skip-archived"], 30, 240),
        (
            &[
                "--event-time",
                "/ts",
                "--event-time-format",
                "s",
                "--from",
                "2026-07-01T03:04:00Z",
                "--until",
                until,
            ],
            7,
            44,
        ),
    ] {
        assert_eq!(offers_the_same(&sandbox, "archive", typed), (objects, json!(records)), "{typed:?}");
    }
}

#[test]
fn a_window_is_one_of_the_layout_that_is_found() {
    let sandbox = Sandbox::new();
    for (hour, key) in
        ["dt=2026-07-01/hr=05/a", "dt=2026-07-01/hr=06/a", "dt=2026-07-02/hr=00/a"].iter().enumerate()
    {
        let path = sandbox.path("hive").join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{{\"user\":{hour}}}\n{{\"user\":{hour}}}\n")).unwrap();
    }
    let from = "--from 2026-07-01T06:00:00Z --slack 0s";
    let found = sandbox.run(&format!("inspect hive --json {from}")).json(0);
    assert_eq!(
        (&found["objects"], &found["layout"]),
        (&json!(2), &json!("dt={yyyy-MM-dd}/hr={HH}")),
        "{found}"
    );
    let (objects, records) = replayed(&sandbox, "hive", words(&found["flags"]).iter().map(String::as_str));
    assert_eq!((objects.len(), records), (2, json!(4)));
    // One object whose key tells nothing does not fall out of what is offered.
    fs::write(sandbox.path("hive").join("stray"), "{\"user\":9}\n").unwrap();
    for day in 3..20 {
        let path = sandbox.path("hive").join(format!("dt=2026-07-{day:02}/hr=00/a"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "{\"user\":1}\n{\"user\":2}\n").unwrap();
    }
    assert_eq!(offers_the_same(&sandbox, "hive", &[]), (21, json!(41)));
}

#[test]
fn a_door_that_needs_a_flag_is_offered_with_it() {
    let sandbox = Sandbox::new();
    make_archive(&sandbox);
    let flags = "--anonymous --request-payer --expected-bucket-owner 123456789012 --s3-addressing path";
    let found = sandbox.run(&format!("inspect archive --json {flags}")).json(0);
    let offered = words(&found["flags"]).join(" ");
    assert!(offered.contains(flags), "{offered}");
}

#[test]
fn a_sample_that_is_framed_in_two_ways_is_offered_neither() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    put(&archive, 0, b"[{\"user\":1},{\"user\":2}]");
    put(&archive, 1, b"{\"Records\":[{\"user\":3}]}");
    let found = sandbox.run("inspect archive --json").json(0);
    assert_eq!((&found["framing"], &found["framings"]), (&json!("json-array"), &json!([])), "{found}");
    put(&archive, 2, b"{\"user\":1}\n{\"user\":2}\n");
    let found = sandbox.run("inspect archive --json").json(0);
    assert_eq!((&found["framing"], &found["framings"]), (&Value::Null, &json!(["auto", "json-array"])));
    assert!(!words(&found["flags"]).contains(&"--framing".to_owned()), "{found}");
    let told = sandbox.run("inspect archive").stdout;
    assert!(told.contains("auto and json-array: no one --framing reads all of it"), "{told}");
    let then = "\nThen the arrays, with the name of that run:\n  respool quarantine retry RUN --framing json-array\n";
    assert!(told.contains("a retry the arrays that it sets aside") && told.ends_with(then), "{told}");
    assert!(told.contains("plain, newline (each line is one JSON value): 2 of"), "{told}");
    assert!(told.contains("plain, json-array (one JSON value with an array of others): 1 of"), "{told}");
    // What it says is done.
    let report = sandbox.run("replay archive --into null: --partition-key /user --json").json(3);
    let retry = format!("quarantine retry {} --framing json-array --json", report["run"].as_str().unwrap());
    assert_eq!(report["records"]["delivered"], 2);
    assert_eq!(sandbox.run(&retry).json(0)["records"]["delivered"], 3);
    // Lengths are no lines: neither does a retry take the one for the other, nor is it offered.
    put(&archive, 3, &[&b"\0\0\0\x0a"[..], b"{\"user\":1}", b"\0\0\0\x0a", b"{\"user\":2}"].concat());
    let told = sandbox.run("inspect archive").stdout;
    assert!(
        told.contains("each kind with its own --include") && !told.contains("quarantine retry"),
        "{told}"
    );
}

#[test]
fn binary_junk_is_no_records_and_empty_objects_are_named() {
    let sandbox = Sandbox::new();
    // The high bits of a linear congruence: as good as random, and the same every time.
    let mut state = 7_u64;
    let mut junk = |length: usize| -> Vec<u8> {
        let mut byte = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| byte()).collect()
    };
    for hour in 0..12 {
        // Lengths of one byte that happen to add up.
        let pieces = (0..20).flat_map(|length| [vec![length], junk(length.into())].concat());
        put(&sandbox.path("chance"), hour, &pieces.collect::<Vec<u8>>());
        put(&sandbox.path("junk"), hour, &junk(3_000));
    }
    put(&sandbox.path("junk"), 12, b"");
    for archive in ["junk", "chance"] {
        let found = sandbox.run(&format!("inspect {archive} --json")).json(0);
        assert_eq!((&found["framing"], &found["decodings"]), (&Value::Null, &json!({})), "{found}");
        assert_eq!(found["unread"].as_array().unwrap().len(), 12, "{found}");
    }
    assert!(sandbox.run("inspect junk").stdout.contains("; 1 of them empty"));
    // What is alike behind its lengths is taken for records: here it begins as messages of one kind do.
    let messages = (1..40_u8).flat_map(|length| [vec![length + 2, 0x0a, 0x24], junk(length.into())].concat());
    let messages: Vec<u8> = messages.collect();
    put(&sandbox.path("messages"), 0, &messages);
    let found = sandbox.run("inspect messages --json").json(0);
    assert_eq!(found["framing"], "varint", "{found}");
}

#[test]
fn what_only_s3_needs_is_not_offered_for_a_directory() {
    let sandbox = Sandbox::new();
    make_archive(&sandbox);
    let mut inspect = sandbox.command("inspect archive --json");
    inspect.env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    let found = sandbox.start_command(inspect).wait().json(0);
    assert!(!found["flags"].to_string().contains("--s3-"), "{found}");
}
