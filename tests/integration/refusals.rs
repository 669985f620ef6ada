//! Bad input and bad places: each ends with one clear sentence and the code that stands for it, and what is
//! good among the bad is delivered all the same.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::events::{self, gzip, put};
use crate::gateway::{response, serve};
use crate::reader::read_stream;
use crate::sandbox::Sandbox;

/// A sandbox with a small good archive in `archive`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 3, 20);
    sandbox
}

#[test]
fn what_cannot_be_begun_is_refused_in_one_sentence() {
    let sandbox = sandbox();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let at = format!("--endpoint-url {url}");
    fs::create_dir(sandbox.path("nothing")).unwrap();
    fs::create_dir_all(sandbox.path("markers/2026/07/01/00")).unwrap();
    fs::write(sandbox.path("markers/2026/07/01/00/_SUCCESS"), "").unwrap();
    fs::write(sandbox.path("file"), "{}").unwrap();
    fs::create_dir(sandbox.path("exposed")).unwrap();
    fs::set_permissions(sandbox.path("exposed"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir_all(sandbox.path("open/runs")).unwrap();
    fs::set_permissions(sandbox.path("open/runs"), fs::Permissions::from_mode(0o777)).unwrap();
    let key = "--partition-key /k";
    for (line, code, said) in [
        (format!("replay archive --into nowhere {key} {at}"), 5, "nowhere"),
        (
            format!("replay archive --into demo {key} --endpoint-url http://127.0.0.1:9"),
            4,
            "http://127.0.0.1:9",
        ),
        (format!("replay archive --into sim:1 {key} --from 2026-07-02 --until 2026-07-01"), 2, "reversed"),
        (format!("replay archive --into sim:1 {key} --from 2026-07-01 --until 2026-07-01"), 2, "empty"),
        (format!("replay archive --into sim:1 {key} --from yesterday"), 2, "yesterday"),
        (format!("replay archive --into sim:1 {key} --until 2020-01-01"), 5, "nothing is selected"),
        (format!("replay nothing --into sim:1 {key}"), 5, "holds no objects at all"),
        (format!("replay markers --into sim:1 {key}"), 5, "nothing is selected"),
        (format!("replay file --into sim:1 {key}"), 2, "file is a file"),
        (format!("replay missing --into sim:1 {key}"), 2, "missing does not exist"),
        (format!("replay archive --into sim:1 {key} --cache-dir file"), 5, "not a directory"),
        (format!("replay archive --into sim:1 {key} --state-dir file"), 5, "state"),
        (format!("replay archive --into sim:1 {key} --cache-dir exposed"), 5, "exposed"),
        (format!("replay archive --into sim:1 {key} --state-dir open"), 5, "can be written by others"),
        (format!("replay archive --into sim:1 {key} --offline"), 5, "--offline needs"),
        (format!("replay archive --into demo {key} --endpoint-url http://192.0.2.1"), 2, "insecure"),
        ("resume".to_owned(), 5, "no unfinished run"),
        ("cache purge".to_owned(), 5, "--yes"),
    ] {
        let outcome = sandbox.run(&line);
        let sentence = outcome.sentence(code);
        assert!(sentence.contains(said), "{line}: {said} is missing in: {sentence}");
    }
    assert!(sandbox.runs().is_empty(), "nothing was begun");
    assert!(read_stream(&url, "demo").is_empty(), "nothing was sent");
}

#[test]
fn a_refusal_says_what_to_do_next() {
    let sandbox = sandbox();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let (at, away) = (format!("--endpoint-url {url}"), "--endpoint-url http://127.0.0.1:9");
    let key = "--partition-key /k";
    let away_from: &[&str] = &["http://127.0.0.1:9", "nothing was", "check the network", "try again"];
    for (line, code, all_said) in [
        (
            format!("replay archive --into nowhere {key} {at}"),
            5,
            &[
                "--create",
                &format!(
                    "`respool stream create nowhere --shards N --kinesis-region eu-west-1 --kinesis-endpoint-url {url}`"
                ),
                "--region, --profile or --endpoint-url",
                &url,
            ][..],
        ),
        (
            format!("stream status nowhere {at}"),
            5,
            &[
                &format!(
                    "`respool stream create nowhere --shards N --kinesis-region eu-west-1 --kinesis-endpoint-url {url}`"
                ),
                "--region, --profile or",
            ],
        ),
        (
            format!("stream scale nowhere --shards 7 {at}"),
            5,
            &[
                "`respool stream create nowhere --shards 7 --kinesis-region eu-west-1",
                "--region, --profile or",
            ],
        ),
        (
            format!("stream delete nowhere --yes {at}"),
            5,
            &["does not exist at http", ": there is nothing to delete; if it lives elsewhere, say --region"],
        ),
        (
            format!("plan archive --into demo --live-stream nowhere {key} {at}"),
            5,
            &["the live stream nowhere does not exist", "is its name right?"],
        ),
        (format!("replay archive --into demo {key} {away}"), 4, away_from),
        (format!("replay archive --into demo --create --shards 1 {key} {away}"), 4, away_from),
        (format!("stream status demo {away}"), 4, away_from),
        (format!("replay s3://bucket/live --into null: {key} {away}"), 4, away_from),
        (format!("inspect s3://bucket/live {away}"), 4, away_from),
        (format!("replay archive --into null: {key} --offline"), 5, &["run it once without --offline"]),
        (
            format!("replay archive --into null: {key} --until 2020-01-01"),
            5,
            &["name another window (--from, --until)"],
        ),
        ("verify".to_owned(), 5, &["`respool replay ARCHIVE --into STREAM --partition-key KEY` makes one"]),
        (
            format!("replay archive --into null: {key} --max-quarantine x"),
            2,
            &["a bound is a whole number, 0 or more"],
        ),
    ] {
        let outcome = sandbox.run(&line);
        let sentence = outcome.sentence(code);
        for said in all_said {
            assert!(sentence.contains(said), "{line}: {said} is missing in: {sentence}");
        }
        assert!(!sentence.contains("respool resume"), "{line}: there is no run to resume: {sentence}");
    }
    assert!(sandbox.runs().is_empty(), "nothing was begun");
}

#[test]
fn a_file_that_cannot_be_read_or_written_says_what_to_give_instead() {
    let sandbox = sandbox();
    fs::write(sandbox.path("file"), "").unwrap();
    let key = "--partition-key /k";
    for (line, code, all_said) in [
        ("replay --plan nowhere.json".to_owned(), 2, &["`respool plan … --save FILE` makes one"][..]),
        ("iam --plan nowhere.json".to_owned(), 2, &["`respool plan … --save FILE` makes one"]),
        (
            format!("plan archive --into sim:1 {key} --prices nowhere.toml"),
            2,
            &["a TOML file like src/plan/prices.toml", "without it"],
        ),
        (
            format!("plan archive --into sim:1 {key} --config nowhere.toml"),
            2,
            &["nowhere.toml", "`respool config` prints one"],
        ),
        (
            format!("plan archive --into sim:1 {key} --save nowhere/plan.json"),
            5,
            &["nowhere/plan.json (--save: ", "a directory that is there"],
        ),
        (
            format!("plan archive --into sim:1 {key} --html nowhere/plan.html"),
            5,
            &["nowhere/plan.html (--html: ", "a directory that is there"],
        ),
        ("man --dir file/pages".to_owned(), 2, &["name a directory that you may make or write to"]),
    ] {
        let outcome = sandbox.run(&line);
        let sentence = outcome.sentence(code);
        for said in all_said {
            assert!(sentence.contains(said), "{line}: {said} is missing in: {sentence}");
        }
    }
}

#[test]
fn a_run_whose_stream_is_gone_is_not_told_to_make_it() {
    let sandbox = sandbox();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let at = format!("--endpoint-url {url}");
    let run = |flags: &str, code| {
        let line = format!("replay archive --into gone --partition-key /nope {flags} {at} --json");
        sandbox.run(&line).json(code)["run"].as_str().unwrap().to_owned()
    };
    sandbox.run(&format!("stream create gone --shards 1 {at}")).ended_with(0);
    let (unfinished, done) = (run("--max-quarantine 0", 4), run("--new", 3));
    sandbox.run(&format!("stream delete gone --yes --force {at}")).ended_with(0);
    let anew = format!("`respool replay {} --into gone ", sandbox.path("archive").display());
    let key = format!(
        "--endpoint-url {url} --json --no-plan --kinesis-region eu-west-1 --create --partition-key KEY --new`"
    );
    for (line, id, so) in [
        (format!("resume {unfinished}"), &unfinished, "nothing left to go on with"),
        (format!("verify {done}"), &done, "there is nothing to compare"),
    ] {
        let outcome = sandbox.run(&line);
        let sentence = outcome.sentence(5);
        for said in [so, &format!("into which run {id} went"), "the run had delivered nothing", &anew, &key] {
            assert!(sentence.contains(said), "{line}: {said} is missing in: {sentence}");
        }
        assert!(!sentence.contains("stream create"), "{line}: {sentence}");
    }
    let guide = sandbox.run(&format!("guide {unfinished}")).stdout;
    assert!(guide.contains("a new replay is needed") && !guide.contains("respool resume"), "{guide}");
}

#[test]
fn a_run_that_was_drained_needs_nothing_more_when_its_stream_is_gone() {
    let sandbox = sandbox();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let line = format!(
        "replay archive --into gone --create --shards 1 --partition-key hash --endpoint-url {url} --from 2020-01-01 --until 2030-01-01"
    );
    let report = sandbox.run(&format!("{line} --json")).json(0);
    let (run, delivered) = (report["run"].as_str().unwrap(), &report["records"]["delivered"]);
    sandbox.run(&format!("stream delete gone --yes --force --endpoint-url {url}")).ended_with(0);
    let lost = sandbox.run("verify").sentence(5).to_owned();
    let whole = "--into gone --create --shards 1 --partition-key hash --endpoint-url ";
    let window = "--from 2020-01-01 --until 2030-01-01 --json --no-plan --kinesis-region eu-west-1 --new`";
    assert!(lost.contains(whole) && lost.contains(window), "{lost}");
    let note = |by: &str, delivered: &Value| {
        let drained = serde_json::json!({"at": "2026-11-20T10:00:00Z", "by": by, "delivered": delivered});
        let path = sandbox.path("state/respool/runs").join(run).join("drained.json");
        fs::write(path, drained.to_string()).unwrap();
        sandbox.run("verify").sentence(5).to_owned()
    };
    let read = note("lease_table", delivered);
    assert!(read.contains("by 2026-11-20 10:00 UTC the worker had read all that run"), "{read}");
    assert!(read.contains("so nothing is to be done (") && !read.contains("replay"), "{read}");
    let estimated = note("iterator_age", delivered);
    assert!(estimated.contains("CloudWatch's estimate: if the worker's own"), "{estimated}");
    // It has gone on since.
    assert!(note("lease_table", &1.into()).contains("A new replay is needed"));
    note("lease_table", delivered);
    sandbox.run(&format!("stream create gone --shards 1 --endpoint-url {url}")).ended_with(0);
    let anew = sandbox.run("verify");
    assert!(
        anew.sentence(5).contains("so nothing is to be done; what is called gone here is another"),
        "{anew:?}"
    );
    assert!(!anew.stderr.contains("start a new run"), "{anew:?}");
}

#[test]
fn without_credentials_nothing_is_begun() {
    let sandbox = sandbox();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let (metadata, _) = serve(|_| response("403 Forbidden", "connection: close\r\n", b""));
    let stream = format!("replay archive --into demo --partition-key /k --endpoint-url {url}");
    let bucket = format!("replay s3://bucket/events --into null: --partition-key /k --endpoint-url {url}");
    for line in [stream, bucket] {
        let mut command = sandbox.command(&line);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.env_remove(name);
        }
        let outcome = sandbox.start_command(command).wait();
        let sentence = outcome.sentence(5);
        assert!(sentence.contains("no AWS credentials found: name a profile with --profile"), "{sentence}");
        // An instance's own that are not given out are no way on either.
        let mut command = sandbox.command(&line);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"] {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata);
        let outcome = sandbox.start_command(command).wait();
        let sentence = outcome.sentence(5);
        for said in ["could not be fetched", "IMDS", "--profile or AWS_PROFILE", "`aws sso login"] {
            assert!(sentence.contains(said), "{said}: {sentence}");
        }
    }
    assert!(sandbox.runs().is_empty());
}

#[test]
fn without_a_key_the_first_record_and_what_would_work_is_shown() {
    let sandbox = Sandbox::new();
    let record = r#"{"user":{"id":7,"a/b":"x"},"at":null,"tags":[]}"#;
    put(&sandbox.path("archive"), 0, &gzip(format!("{record}\n").as_bytes()));
    let outcome = sandbox.run("replay archive --into sim:1");
    outcome.sentence(2);
    for said in [record, "--partition-key /user/id", "--partition-key /user/a~1b", "random", "hash"] {
        assert!(outcome.stderr.contains(said), "{said} is missing: {}", outcome.stderr);
    }
    assert!(!outcome.stderr.contains("--partition-key /at") && !outcome.stderr.contains("/tags"));
}

#[test]
fn a_record_without_the_key_is_set_aside_unless_it_may_have_another() {
    let sandbox = sandbox();
    put(
        &sandbox.path("archive"),
        7,
        &gzip(b"{\"k\":null}\n{\"k\":\"\"}\n{\"x\":1}\nno json\n{\"k\":\"good\"}\n"),
    );
    let report = sandbox.run("replay archive --into sim:1 --partition-key /k --json").json(3);
    assert_eq!((&report["state"], &report["exit_code"]), (&json!("done"), &json!(3)));
    assert_eq!(report["records"], json!({ "delivered": 61, "quarantined": 4, "filtered": 0 }));
    let reasons = report["quarantine"]["reasons"].as_object().unwrap();
    assert_eq!(reasons.values().filter_map(Value::as_u64).sum::<u64>(), 4, "{reasons:?}");
    let list = quarantine(&report);
    assert_eq!(list.iter().map(|line| line["record"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(list.iter().all(|line| line["key"].as_str().unwrap().starts_with("2026/07/01/07/events")));

    let page = sandbox.run("replay archive --into sim:1 --partition-key /k");
    assert_eq!(page.code, 3);
    let path = report["quarantine"]["path"].as_str().unwrap();
    assert!(
        page.stdout.contains("quarantine/list.jsonl") && Path::new(path).is_absolute(),
        "{}",
        page.stdout
    );

    for fallback in ["hash", "random"] {
        let line = format!("replay archive --into sim:1 --partition-key /k --key-fallback {fallback} --json");
        let report = sandbox.run(&line).json(0);
        assert_eq!(report["records"], json!({ "delivered": 65, "quarantined": 0, "filtered": 0 }));
    }
}

#[test]
fn bad_objects_are_set_aside_whole_and_the_others_arrive() {
    let sandbox = sandbox();
    let archive = sandbox.path("archive");
    let good = gzip("{\"k\":\"never\"}\n".repeat(5_000).as_bytes());
    let corrupt = [&good[..good.len() - 6], b"xxxxxx"].concat();
    put(&archive, 4, &good[..good.len() - 20]);
    put(&archive, 5, &[]);
    put(&archive, 6, &gzip(b""));
    put(&archive, 7, &corrupt);
    put(&archive, 8, &[&good[..], b"trailing"].concat());
    put(&archive, 9, b"\x00\x01\x02 of no known format");
    put(&archive, 10, &gzip(b"{\"k\":\"last\"}"));
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let line = format!("replay archive --into demo --partition-key /k --json --endpoint-url {url}");
    let report = sandbox.run(&line).json(3);
    assert_eq!(report["records"]["delivered"], 61);
    assert_eq!(report["objects"], json!({ "total": 10, "settled": 5, "quarantined": 5, "skipped": 0 }));
    let reasons = report["quarantine"]["reasons"].as_object().unwrap();
    let expected =
        ["corrupt", "empty", "trailing_data", "truncated", "unknown_format"].map(|reason| (reason, 1));
    let found: Vec<_> = reasons.iter().map(|(name, count)| (&name[..], count.as_u64().unwrap())).collect();
    assert_eq!(found, expected);
    let in_stream = read_stream(&url, "demo");
    assert!(!in_stream.contains_key("never"), "nothing of a bad object is sent");
    assert_eq!(in_stream.values().map(Vec::len).sum::<usize>(), 61);
}

#[test]
fn a_record_too_large_for_the_stream_is_set_aside_and_the_largest_that_fits_arrives() {
    let sandbox = sandbox();
    let record = |bytes: usize| format!("{{\"k\":\"big\",\"text\":\"{}\"}}\n", "x".repeat(bytes - 21));
    let limit = 1024 * 1024 - "big".len();
    let lines = [record(limit), record(limit + 1), record(1_500_000), record(12_000_000)].concat();
    put(&sandbox.path("archive"), 7, &gzip(lines.as_bytes()));
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let line = format!("replay archive --into demo --partition-key /k --json --endpoint-url {url}");
    let report = sandbox.run(&line).json(3);
    assert_eq!(report["records"]["delivered"], 61, "{report}");
    let list = quarantine(&report);
    assert_eq!(list.iter().map(|line| line["record"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3]);
    let big = &read_stream(&url, "demo")["big"];
    assert_eq!((big.len(), big[0].len()), (1, limit));
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let sandbox = sandbox();
    let line = "replay archive --into sim:1 --partition-key /k -vvv";
    assert!(sandbox.run(line).stderr.lines().count() > 3, "there is something to log");
    let mut child = sandbox.command(line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let sandbox = sandbox();
    for line in ["replay archive --into sim:1 --partition-key /k", "runs", "cache ls", "--help"] {
        let mut child = sandbox.command(line).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
    }
}

const FULL_DISK_LINE: &str = "replay archive --into null: --partition-key /k --json --limit 30000";

#[test]
fn a_cache_on_a_full_disk_ends_resumably_or_is_passed_through() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 6, 6_000);
    for (size, code) in [("2m", 0), ("128k", 4)] {
        let Some(_disk) = SmallDisk::mount(sandbox.path(size), size) else { return left_out() };
        let report = sandbox.run(&format!("{FULL_DISK_LINE} --cache-dir {size}/cache")).json(code);
        if code == 4 {
            assert!(report["message"].as_str().unwrap().starts_with("the disk is full"), "{report}");
            assert_eq!(report["state"], "incomplete");
        }
        let report = if code == 4 { sandbox.run("resume --json --cache-dir other").json(0) } else { report };
        assert_eq!(report["records"]["delivered"], 30_000);
    }
}

#[test]
fn a_state_directory_on_a_full_disk_ends_in_one_sentence_and_resumes_when_there_is_room() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 6, 6_000);
    let Some(_disk) = SmallDisk::mount(sandbox.path("disk"), "512k") else { return left_out() };
    let filler = sandbox.path("disk/filler");
    // From a disk without one free page to one that holds the run's files but not its report.
    for pages in 0..8 {
        fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
        let full = fs::metadata(&filler).unwrap().len();
        File::options().write(true).open(&filler).unwrap().set_len(full - pages * 4_096).unwrap();
        let outcome = sandbox.run(&format!("{FULL_DISK_LINE} --state-dir disk/state"));
        assert!([0, 4, 5].contains(&outcome.code), "{pages} pages: {outcome:?}");
        let said = [&outcome.stderr[..], &outcome.stdout].concat();
        assert!(outcome.code == 0 || said.contains("No space left"), "{pages} pages: {outcome:?}");
        assert!(!said.contains("panicked"), "{pages} pages: {outcome:?}");
        fs::remove_file(&filler).unwrap();
        if outcome.code == 4 && sandbox.path("disk/state/runs").read_dir().unwrap().next().is_some() {
            let resumed = sandbox.run("resume --json --state-dir disk/state");
            assert_eq!(resumed.json(0)["records"]["delivered"], 30_000);
        }
        fs::remove_dir_all(sandbox.path("disk/state")).unwrap();
    }
}

#[test]
fn a_cache_that_cannot_be_written_to_says_what_to_do() {
    let sandbox = sandbox();
    let Some(_disk) = SmallDisk::mount(sandbox.path("disk"), "2m") else { return left_out() };
    sandbox.run("cache warm archive --cache-dir disk/cache").ended_with(0);
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(sandbox.path("disk")).output();
    assert!(remounted.unwrap().status.success());
    for line in ["replay archive --into null: --partition-key /k", "cache ls"] {
        let outcome = sandbox.run(&format!("{line} --cache-dir disk/cache"));
        let sentence = outcome.sentence(5);
        for said in ["disk/cache cannot be written to", "--cache-dir", "Read-only file system"] {
            assert!(sentence.contains(said), "{said} is missing in: {sentence}");
        }
    }
}

fn left_out() {
    println!("left out: mounting a small file system is not permitted here");
}

/// A file system of a few pages; unmounted on drop.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: PathBuf, size: &str) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let options = format!("size={size},mode=0700");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

fn quarantine(report: &Value) -> Vec<Value> {
    let text = fs::read_to_string(report["quarantine"]["path"].as_str().unwrap()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
