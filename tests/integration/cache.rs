//! What is in the cache is not fetched again, what is damaged there is never sent, and it stays within its
//! bounds.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::events::{self, by_key};
use crate::reader::{check_delivered, read_stream};
use crate::sandbox::Sandbox;

const REPLAY: &str = "replay archive --into null: --partition-key /k --json";
const OBJECTS: usize = 8;
const RECORDS: usize = 3_000;
const ALL: usize = OBJECTS * RECORDS;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), OBJECTS, RECORDS);
    sandbox
}

/// Hits and fetches, of a run that has delivered everything.
fn replay(sandbox: &Sandbox, flags: &str) -> (u64, u64) {
    let report = sandbox.run(&format!("{REPLAY} {flags}")).json(0);
    assert_eq!(report["records"]["delivered"], ALL);
    (report["cache"]["hits"].as_u64().unwrap(), report["cache"]["fetched"].as_u64().unwrap())
}

fn segments(sandbox: &Sandbox) -> Vec<PathBuf> {
    let folders = fs::read_dir(sandbox.path("cache/respool/v1")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).collect()
}

fn list(sandbox: &Sandbox) -> Vec<Value> {
    serde_json::from_value(sandbox.run("cache ls --json").json(0)).unwrap()
}

fn flip_a_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn what_lies_in_the_cache_is_counted_and_the_rest_is_estimated() {
    let sandbox = Sandbox::new();
    // More objects than an estimate looks at, of different density.
    for (object, records) in [900, 30, 500, 40, 800, 20, 700, 10, 600, 333].into_iter().enumerate() {
        let lines = (0..records).map(|n| format!("{{\"k\":\"{n}\",\"x\":\"{}\"}}\n", "x".repeat(1 + n % 7)));
        events::put(&sandbox.path("archive"), object, &events::gzip(lines.collect::<String>().as_bytes()));
    }
    let dry = || sandbox.run("replay archive --into null: --partition-key /k --dry-run");
    let records = |text: &str| text.lines().find(|line| line.contains("  records ")).unwrap().to_owned();
    let guessed = records(&dry().stdout);
    assert!(guessed.contains("about "), "{guessed}");
    sandbox.run("cache warm archive").ended_with(0);
    let counted = records(&dry().stdout);
    assert!(counted.contains(" 3,933 (") && !counted.contains("about"), "{counted}");
    assert_eq!(
        sandbox.run("replay archive --into null: --partition-key /k --dry-run --json").json(0)["is_exact"],
        true
    );
}

#[test]
fn the_second_run_fetches_nothing_and_needs_no_archive() {
    let sandbox = sandbox();
    assert_eq!(replay(&sandbox, ""), (0, 8));
    assert_eq!(replay(&sandbox, ""), (8, 0));
    fs::rename(sandbox.path("archive"), sandbox.path("gone")).unwrap();
    assert_eq!(replay(&sandbox, "--offline"), (8, 0));
    fs::remove_file(&segments(&sandbox)[0]).unwrap();
    let runs = sandbox.runs().len();
    let refused = sandbox.run(&format!("{REPLAY} --offline"));
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!([refused.stdout, refused.stderr].concat().contains("1 of 8 objects is not in the cache"));
    assert_eq!(sandbox.runs().len(), runs, "nothing is left that could not be resumed");
}

#[test]
fn what_is_known_to_be_broken_keeps_no_run_from_going_without_the_archive() {
    let sandbox = sandbox();
    let archive = sandbox.path("archive");
    let mut paths = Vec::new();
    for object in [2, 5] {
        let lines = format!("{{\"k\":\"{object}\"}}\n").repeat(RECORDS);
        let whole = events::gzip(lines.as_bytes());
        paths.push((events::put(&archive, object, &whole[..whole.len() - 5]), whole));
    }
    fs::write(&paths[1].0, "").unwrap();
    let first = sandbox.run(REPLAY).json(3);
    let reasons = json!({"truncated": 1, "empty": 1});
    assert_eq!(first["quarantine"]["reasons"], reasons);
    let gone = sandbox.path("gone");
    fs::rename(&archive, &gone).unwrap();
    sandbox.run(&format!("{REPLAY} --offline --dry-run")).json(0);
    // What only was told by an earlier run is told on, and whoever has looked is named.
    let found_by = format!("known from run {} ", first["run"].as_str().unwrap());
    for _ in 0..2 {
        let offline = sandbox.run(&format!("{REPLAY} --offline")).json(3);
        assert_eq!(offline["state"], "done");
        let retry =
            format!("respool quarantine retry {} --salvage --online", offline["run"].as_str().unwrap());
        assert_eq!(offline["next_steps"][1]["command"], retry);
        assert_eq!(offline["objects"], json!({"total": 8, "settled": 6, "quarantined": 2, "skipped": 0}));
        assert_eq!(offline["records"]["delivered"], 6 * RECORDS);
        assert_eq!((&offline["cache"]["hits"], &offline["cache"]["fetched"]), (&json!(6), &json!(0)));
        assert_eq!(
            (&offline["s3_object_requests"], &offline["quarantine"]["reasons"]),
            (&json!(0), &reasons)
        );
        let list = fs::read_to_string(offline["quarantine"]["path"].as_str().unwrap()).unwrap();
        assert!(list.lines().all(|line| line.matches("known from run ").count() == 1), "{list}");
        assert_eq!(list.matches(&found_by).count(), 2, "{list}");
    }

    // What was put in its place is another object, of which nothing is known.
    fs::rename(&gone, &archive).unwrap();
    let before = segments(&sandbox);
    for (path, whole) in &paths {
        fs::write(path, whole).unwrap();
    }
    sandbox.run(REPLAY).ended_with(0);
    let new = segments(&sandbox).into_iter().find(|segment| !before.contains(segment)).unwrap();
    fs::remove_file(new).unwrap();
    let refused = sandbox.run(&format!("{REPLAY} --offline"));
    assert!(refused.sentence(5).contains("1 of 8 objects is not in the cache"), "{refused:?}");
}

#[test]
fn an_object_that_has_changed_is_fetched_again() {
    let sandbox = sandbox();
    replay(&sandbox, "");
    let changed = "{\"k\":\"new\"}\n".repeat(RECORDS);
    events::put(&sandbox.path("archive"), 3, &events::gzip(changed.as_bytes()));
    assert_eq!(replay(&sandbox, ""), (7, 1));
}

#[test]
fn without_a_cache_nothing_is_left_behind() {
    let sandbox = sandbox();
    assert_eq!(replay(&sandbox, "--no-cache"), (0, 8));
    assert!(segments(&sandbox).is_empty());
    assert_eq!(fs::read_dir(sandbox.path("cache/respool/tmp")).unwrap().count(), 0);
    assert_eq!(replay(&sandbox, "--no-cache"), (0, 8));
}

#[test]
fn a_cache_with_room_for_nothing_is_named_as_what_holds_up_the_run() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 30, 100);
    let report = sandbox.run(&format!("{REPLAY} --cache-size 1kB")).json(0);
    assert_eq!(report["brake"], "room", "{report}");
}

#[test]
fn what_does_not_fit_passes_through() {
    let sandbox = sandbox();
    let size = 600_000;
    let first = sandbox.run(&format!("{} --cache-size {size}B", REPLAY.replace("--json", "")));
    assert_eq!(first.code, 0, "{first:?}");
    assert!(first.stderr.contains("pass"), "it is announced: {}", first.stderr);
    let kept = segments(&sandbox);
    let bytes: u64 = kept.iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(!kept.is_empty() && kept.len() < OBJECTS && bytes <= size, "{} in {bytes} B", kept.len());
    let kept = kept.len() as u64;
    assert_eq!(replay(&sandbox, &format!("--cache-size {size}B")), (kept, 8 - kept));
    let kept = segments(&sandbox).len() as u64;
    assert_eq!(replay(&sandbox, "--cache-size 1kB").0, kept, "what is there is used all the same");
}

/// Names that promise nothing: each object becomes a hundred times what is stored of it.
#[test]
fn the_limit_holds_although_every_guess_is_far_too_low() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    fs::create_dir_all(&archive).unwrap();
    let line = |n: usize| format!("{{\"k\":\"{n}\",\"pad\":\"{}\"}}\n", "0".repeat(400));
    let object = events::gzip((0..700).map(line).collect::<String>().as_bytes());
    for number in 0..OBJECTS {
        fs::write(archive.join(format!("object-{number}")), &object).unwrap();
    }
    let report = sandbox.run(&format!("{REPLAY} --cache-size 1MB")).json(0);
    assert_eq!(report["records"]["delivered"], 700 * OBJECTS);
    let bytes: u64 = segments(&sandbox).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!((250_000..=1_000_000).contains(&bytes), "{bytes} B");
}

/// Each of them alone would fill most of the cache.
#[test]
fn the_limit_holds_for_all_runs_that_share_the_cache() {
    const LIMIT: u64 = 20_000_000;
    let sandbox = Sandbox::new();
    let line = |n: usize| format!("{{\"k\":\"{n}\",\"pad\":\"{}\"}}\n", "0".repeat(1_000));
    let object = events::gzip((0..12_500).map(line).collect::<String>().as_bytes());
    for archive in 0..4 {
        events::put(&sandbox.path(format!("archive-{archive}")), 0, &object);
    }
    let warm = |archive| sandbox.start(&format!("cache warm archive-{archive} --cache-size {LIMIT}B --json"));
    for process in [0, 1, 2, 3].map(warm) {
        let outcome = process.wait();
        assert!([0, 4].contains(&outcome.code), "{outcome:?}");
        assert_eq!(outcome.json(outcome.code)["fetched"], 1);
    }
    let bytes: u64 = segments(&sandbox).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= LIMIT, "{bytes} B");
    for left in ["tmp", "pins", "claims"] {
        assert_eq!(fs::read_dir(sandbox.path("cache/respool").join(left)).unwrap().count(), 0, "{left}");
    }
    let again = sandbox.run(&format!("cache warm archive-0 --cache-size {LIMIT}B --json")).json(0);
    assert_eq!(again["records"], 12_500, "{again}");
    assert_eq!(segments(&sandbox).len(), 1, "there is room for one");
}

#[test]
fn an_object_that_is_larger_than_the_limit_is_called_so_and_the_others_are_kept() {
    let sandbox = Sandbox::new();
    let large = "{\"k\":\"1\"}\n".repeat(200_000);
    events::put(&sandbox.path("archive"), 0, large.as_bytes());
    for hour in 1..4 {
        events::put(&sandbox.path("archive"), hour, b"{\"k\":\"1\"}\n");
    }
    let warm = sandbox.run("cache warm archive --cache-size 1MB --json");
    assert_eq!((&warm.json(4)["objects"], &warm.json(4)["missing"]), (&json!(3), &json!(1)));
    assert_eq!(segments(&sandbox).len(), 3);
    let export = sandbox.run("cache export archive -o lines --cache-size 1MB");
    assert_eq!(export.code, 0, "{export:?}");
    let said = "more than the cache's limit of 875.0 kB";
    assert!(export.stderr.contains(said) && !export.stderr.contains("is full"), "{export:?}");
}

#[test]
fn what_is_exported_is_exact_and_what_had_to_be_joined_is_counted() {
    let sandbox = Sandbox::new();
    events::put(&sandbox.path("archive"), 0, b"{\"k\":1}\r\n{\"k\":2} \n");
    events::put(&sandbox.path("archive"), 1, b"{\n  \"k\": \"a\\nb\"\r\n}\n{\"k\":4}\n");
    let json = sandbox.run("cache export archive -o lines --json").json(0);
    assert_eq!((&json["records"], &json["joined"], &json["not_lines"]), (&json!(4), &json!(1), &json!(0)));
    // No byte of a record is added, left out or changed, but for its line feeds.
    let expected = "{\"k\":1}\r\n{\"k\":2} \n{   \"k\": \"a\\nb\"\r }\n{\"k\":4}\n";
    assert_eq!(fs::read_to_string(sandbox.path("lines")).unwrap(), expected);
    let told = sandbox.run("cache export archive -o again").stdout;
    assert!(told.contains("1 record of several lines was written as one, with a blank"), "{told}");
}

#[test]
fn a_full_cache_is_told_in_numbers_that_agree() {
    let sandbox = sandbox();
    sandbox.run("cache warm archive").ended_with(0);
    let more = "{\"k\":\"new\"}\n".repeat(RECORDS);
    events::put(&sandbox.path("archive"), OBJECTS, &events::gzip(more.as_bytes()));
    let shrunk = sandbox.run("replay archive --into null: --partition-key /k --cache-size 800kB");
    shrunk.ended_with(0);
    let said =
        "from when it could be larger; --cache-size 800.0 kB leaves it 700.0 kB beside what passes through";
    assert!(shrunk.stderr.contains(said), "{shrunk:?}");
}

#[test]
fn a_cache_that_is_too_small_to_be_warmed_is_called_so_and_the_size_that_it_names_is_enough() {
    let sandbox = sandbox();
    let quiet = sandbox.run("cache warm archive --cache-size 600kB -q");
    let kept = segments(&sandbox).len();
    assert!(kept > 0 && kept < OBJECTS, "{kept}");
    let said = format!("{} of {OBJECTS} objects are not in the cache", OBJECTS - kept);
    assert!(quiet.code == 4 && quiet.stderr.contains(&said), "{quiet:?}");
    sandbox.run("replay archive --into null: --partition-key random").ended_with(0);
    sandbox.run("cache purge --yes").ended_with(0);

    let short = sandbox.run("cache warm archive --cache-size 600kB --json").json(4);
    let count = |field: &str| short[field].as_u64().unwrap();
    assert_eq!(count("objects") + count("missing"), OBJECTS as u64, "{short}");
    assert!(count("missing_bytes") > 0 && count("fetched") < OBJECTS as u64, "{short}");
    let size = short["cache_size_needed"].as_str().unwrap();
    let whole = sandbox.run(&format!("cache warm archive --cache-size {size} --json")).json(0);
    assert_eq!((&whole["objects"], &whole["missing"]), (&json!(OBJECTS), &json!(0)), "{whole}");
    assert_eq!(whole["cache_size_needed"], Value::Null);
    assert_eq!(replay(&sandbox, &format!("--offline --cache-size {size}")), (8, 0));
}

#[test]
fn of_many_that_warm_a_cache_that_is_too_small_none_fetches_what_another_one_has() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 30, 1_000);
    let warm = || sandbox.start("cache warm archive --cache-size 900kB --json");
    let processes = [(); 4].map(|()| warm());
    let fetched = processes.map(|process| process.wait().json(4)["fetched"].as_u64().unwrap());
    let kept = segments(&sandbox).len() as u64;
    let sum: u64 = fetched.iter().sum();
    // One that turns out not to fit was fetched in vain; so each of them ends with at most the objects it had in work.
    assert!(kept > 5 && kept < 30 && sum < 30, "{kept} kept, {fetched:?} fetched");
}

#[test]
fn a_command_that_fills_the_cache_offers_no_flag_that_it_refuses() {
    let sandbox = sandbox();
    for (line, flag) in [("warm archive --no-cache", "--no-cache"), ("warm archive --offline", "--offline")] {
        let refused = sandbox.run(&format!("cache {line}"));
        assert!(refused.sentence(2).contains(&format!("{flag} ")), "{refused:?}");
    }
    let usage = sandbox.run("cache export archive --offline").stderr;
    assert!(usage.contains("--out <FILE>") && !usage.contains("--offline"), "{usage}");
}

#[test]
fn a_damaged_segment_is_never_sent() {
    let sandbox = sandbox();
    let (_simulator, url) = sandbox.simulate("--shards 24");
    replay(&sandbox, "");
    // A byte of the index, a byte of the header, the end cut off, and a byte of a record.
    let files = segments(&sandbox);
    let length = fs::read(&files[1]).unwrap().len();
    flip_a_byte(&files[1], length - 500);
    flip_a_byte(&files[2], 20);
    fs::write(&files[3], &fs::read(&files[3]).unwrap()[..length / 2]).unwrap();
    for data in [0, 4, 5, 6, 7] {
        flip_a_byte(&files[data], 5_000);
    }
    let line = format!("replay archive --into demo --partition-key /k --json --endpoint-url {url}");
    let report = sandbox.run(&line).json(0);
    assert_eq!(
        (&report["cache"]["hits"], &report["possible_duplicates"]),
        (&json!(6), &json!(0)),
        "{report}"
    );
    assert_eq!(report["records"]["delivered"], ALL);
    let expected = by_key(&sandbox.path("archive"), "/k");
    assert_eq!(check_delivered(&expected, &read_stream(&url, "demo")), 0);
    assert_eq!(sandbox.run("cache verify").code, 0, "all is whole again");
}

#[test]
fn the_cache_is_listed_verified_pruned_and_purged() {
    let sandbox = sandbox();
    assert!(list(&sandbox).is_empty());
    replay(&sandbox, "");
    let listed = list(&sandbox);
    assert_eq!(listed.len(), OBJECTS);
    for segment in &listed {
        assert_eq!(segment["records"], RECORDS);
        assert!(segment["key"].as_str().unwrap().starts_with("2026/07/01/"), "{segment}");
    }
    assert!(sandbox.run("cache ls").stdout.contains("8 segments"));
    assert_eq!(
        sandbox.run("cache verify --json").json(0),
        json!({ "segments": 8, "damaged": [], "other_version": 0 })
    );

    let files = segments(&sandbox);
    flip_a_byte(&files[0], 5_000);
    let report = sandbox.run("cache verify --json").json(1);
    let damaged = report["damaged"].as_array().unwrap();
    assert_eq!(damaged.len(), 1);
    let name = damaged[0]["segment"].as_str().unwrap();
    assert!(files[0].ends_with(format!("{name}.seg")), "{report}");
    let verified = sandbox.run("cache verify");
    assert!(verified.code <= 1, "{verified:?}");
    // One of another version is left alone.
    let another = segments(&sandbox).pop().unwrap();
    let whole = fs::read(&another).unwrap();
    flip_a_byte(&another, 8);
    let report = sandbox.run("cache verify --json").json(0);
    assert_eq!(report["other_version"], 1, "{report}");
    assert!(sandbox.run("cache verify").stdout.contains("1 segment of another format version is left alone"));
    fs::write(another, whole).unwrap();

    assert_eq!(sandbox.run("cache prune --older-than 1d --json").json(0)["segments"], 0);
    let left = list(&sandbox);
    let bytes: u64 = left.iter().map(|segment| segment["bytes"].as_u64().unwrap()).sum();
    sandbox.run(&format!("cache prune --to-size {}B --json", bytes / 2)).json(0);
    let pruned = list(&sandbox);
    assert!(!pruned.is_empty() && pruned.len() <= left.len() / 2 + 1);
    assert!(sandbox.run("cache purge").sentence(5).contains("--yes"));
    assert_eq!(list(&sandbox), pruned);
    assert_eq!(sandbox.run("cache purge --yes --json").json(0)["segments"], pruned.len());
    assert!(list(&sandbox).is_empty() && segments(&sandbox).is_empty());
}

#[test]
fn a_cache_that_is_not_there_is_not_made_by_who_looks_at_it() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("papers")).unwrap();
    for command in ["ls", "verify", "prune --to-size 1GB", "purge --yes", "purge"] {
        for dir in ["nope", "papers"] {
            let outcome = sandbox.run(&format!("cache {command} --cache-dir {dir}"));
            let sentence = outcome.sentence(2);
            assert!(sentence.contains(&format!("no cache in {}", sandbox.path(dir).display())), "{sentence}");
            assert!(sentence.contains("cache warm"), "{sentence}");
        }
        // In its usual place it is not missed before the first run.
        let said = sandbox.run(&format!("cache {command}"));
        assert!(said.code == 0 && said.stdout.contains("makes it"), "{said:?}");
    }
    assert_eq!(sandbox.run("cache purge --json").json(0)["segments"], 0);
    assert_eq!(fs::read_dir(sandbox.path("papers")).unwrap().count(), 0);
    assert!(!sandbox.path("nope").exists() && !sandbox.path("cache").exists());
}

/// What `--offline` cannot read has a way out that works, before a run and in the middle of one.
#[test]
fn a_run_that_the_cache_lets_down_goes_on_with_the_archive() {
    let sandbox = sandbox();
    replay(&sandbox, "");
    fs::remove_file(&segments(&sandbox)[0]).unwrap();
    let refused = sandbox.run(&format!("{REPLAY} --offline"));
    assert!(refused.stderr.contains("without it only what is missing is fetched"), "{}", refused.stderr);
    assert_eq!(replay(&sandbox, ""), (7, 1));
    // That one is damaged is seen when it is read.
    let segment = &segments(&sandbox)[0];
    flip_a_byte(segment, usize::try_from(fs::metadata(segment).unwrap().len()).unwrap() / 2);
    let stopped = sandbox.run(&format!("{REPLAY} --offline")).json(5);
    let run = stopped["run"].as_str().unwrap();
    let way_out = format!("respool resume {run} --online");
    assert_eq!(stopped["next_command"], way_out.as_str());
    let again = sandbox.run(&format!("resume {run} --json")).json(5);
    assert_eq!(again["next_command"], way_out.as_str(), "it is still offline");
    let report = sandbox.run(&format!("{} --json", &way_out["respool ".len()..])).json(0);
    assert_eq!(report["records"]["delivered"], ALL);
}
