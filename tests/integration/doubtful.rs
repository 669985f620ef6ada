//! Objects that are not what they seem: bombs, what is compressed twice, arrays that auto takes for a record.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::events::{gzip, put};
use crate::sandbox::{Process, Sandbox};

/// What may be written of a bomb: the ratio is looked at beyond 64 MiB, and no buffer is larger than one.
const WRITTEN_MAX: u64 = 65 * 1024 * 1024;

/// gzip of so many times `line`.
fn repeated(line: &[u8], times: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    (0..times).for_each(|_| encoder.write_all(line).unwrap());
    encoder.finish().unwrap()
}

/// `respool` as a process that a signal ends as soon as one of its files grows beyond [`WRITTEN_MAX`].
fn start_bounded(sandbox: &Sandbox, line: &str) -> Process {
    let respool = sandbox.command(line);
    let mut command = Command::new("sh");
    // In blocks of 512 bytes; and what the signal leaves behind is not wanted.
    command.arg("-c").arg(format!("ulimit -c 0 && ulimit -f {} && exec \"$0\" \"$@\"", WRITTEN_MAX / 512));
    command.arg(respool.get_program()).args(respool.get_args());
    command.current_dir(respool.get_current_dir().unwrap()).env_clear();
    command.envs(respool.get_envs().filter_map(|(name, value)| Some((name, value?))));
    sandbox.start_command(command)
}

fn reasons(report: &Value) -> &Value {
    &report["quarantine"]["reasons"]
}

#[test]
fn a_bomb_is_set_aside_before_it_takes_the_disk() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let line = format!("{{\"k\":\"a\",\"text\":\"{}\"}}\n", "0".repeat(10_000));
    let bomb = repeated(line.as_bytes(), 20_000);
    assert!(200_000_000 / bomb.len() > 800, "it is none: {} B", bomb.len());
    put(&archive, 0, &bomb);
    // Two members, of which the first is honest, and a length at the end that lies.
    let mut two = [gzip(b"{\"k\":\"b\"}\n"), bomb].concat();
    let length = two.len() - 4;
    two[length..].copy_from_slice(&9_u32.to_le_bytes());
    put(&archive, 1, &two);
    put(&archive, 2, &gzip(b"{\"k\":\"c\"}\n"));
    let line = "replay archive --into sim:1 --partition-key /k --json";
    for flags in ["--cache-size 400MB", "--no-cache", "--salvage"] {
        let report = start_bounded(&sandbox, &format!("{line} {flags}")).wait().json(3);
        assert_eq!(reasons(&report), &json!({ "too_large": 2 }), "{flags}: {report}");
        assert_eq!(report["records"]["delivered"], 1);
    }
    let cache = sandbox.path("cache/respool");
    assert_eq!(fs::read_dir(cache.join("tmp")).unwrap().count(), 0, "nothing of it stays");
    let stored: Value = serde_json::from_str(&sandbox.run("cache ls --json").stdout).unwrap();
    assert!(!stored.to_string().contains("events-1-2026-07-01-00"), "{stored}");
    // Such a process is ended: an honest object that is larger than the bound does not pass below it.
    let line =
        |n: u64| format!("{{\"k\":\"a\",\"n\":\"{}\"}}\n", format!("{:08x}", n * 2_654_435_761).repeat(125));
    let honest: Vec<u8> = (0..70_000).flat_map(|n| line(n).into_bytes()).collect();
    assert!(honest.len() as u64 > WRITTEN_MAX);
    fs::remove_dir_all(&archive).unwrap();
    put(&archive, 3, &honest);
    assert!(start_bounded(&sandbox, "cache warm archive").wait_unless_killed().is_err());
}

#[test]
fn what_is_compressed_twice_is_no_record_whatever_framing_was_asked_for() {
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, &gzip(&gzip(b"{\"k\":\"a\"}\n")));
    for framing in ["auto", "newline", "json", "json-array", "cloudwatch-logs"] {
        let line =
            format!("replay archive --into null: --partition-key hash --new --json --framing {framing}");
        let report = sandbox.run(&line).json(3);
        assert_eq!(reasons(&report), &json!({ "unknown_format": 1 }), "{framing}: {report}");
    }
    let refused = sandbox.run("quarantine show 0");
    let sentence = refused.sentence(5);
    let run = sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    for said in [
        "object 0 (2026/07/01/00/events-1-",
        "/archive) was set aside whole",
        "unknown_format, ",
        "gzip once more",
    ] {
        assert!(sentence.contains(said), "{sentence}");
    }
    assert_eq!(sandbox.run(&format!("quarantine show 0:3 {run}")).sentence(5), sentence);
    assert!(sandbox.run("quarantine show 1").sentence(5).contains("only whole objects"));
}

#[test]
fn an_array_that_auto_takes_for_a_record_is_named_once() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    put(&archive, 0, &gzip(b"{\"k\":\"a\"}\n{\"k\":\"b\"}\n"));
    put(&archive, 1, &gzip(b"{\"Records\":[{\"k\":1},{\"k\":2}]}"));
    put(&archive, 2, b"[{\"k\":1},\n{\"k\":2}]\n");
    let line = "replay archive --into null: --partition-key hash --new --json";
    let said = "is one JSON value with an array of others in it";
    for (flags, times, records) in
        [("", 1, 4), ("", 1, 4), ("--framing json", 0, 4), ("--include *01/00*", 0, 2)]
    {
        let outcome = sandbox.run(&format!("{line} {flags}"));
        assert_eq!(outcome.json(0)["records"]["delivered"], records);
        assert_eq!(outcome.stderr.matches(said).count(), times, "{flags}: {}", outcome.stderr);
        assert_eq!(outcome.stderr.matches("--framing json-array").count(), times);
    }
    let exploded = sandbox.run(&format!("{line} --include *01/01* --include *01/02* --framing json-array"));
    assert_eq!(exploded.json(0)["records"]["delivered"], 4);
    // Who asks for a field of the elements is told where they are.
    let of_elements = "replay archive --into null: --partition-key /k --new --json";
    let list = sandbox.run(of_elements).json(3)["quarantine"]["path"].as_str().unwrap().to_owned();
    let list = fs::read_to_string(list).unwrap();
    assert_eq!((list.lines().count(), list.matches("--framing json-array").count()), (2, 2), "{list}");
    let arrays = "replay archive --into null: --include *01/01* --include *01/02*";
    let asked = sandbox.run(arrays);
    assert!(asked.code == 2 && asked.stderr.contains("say --framing json-array"), "{asked:?}");
    // With -v it says what each kind was taken for, and why.
    let told = sandbox.run(&format!("{line} --cache-dir another -v")).stderr;
    let newline = "is read as gzip, newline (each line is one JSON value)";
    assert!(told.contains(newline), "{told}");
    assert!(told.contains("is read as plain, json (JSON values span lines)"), "{told}");
    assert!(
        sandbox.run(&format!("{line} -v")).stderr.contains("is read as gzip, newline, and so are others")
    );
}
