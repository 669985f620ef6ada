//! A run that is stopped loses nothing, however it is stopped, and says what may stand there twice.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::events::{self, by_key};
use crate::reader::{call, check_delivered, read_stream};
use crate::sandbox::{Process, Sandbox, until};

/// A stream of two shards, and an archive that takes some seconds to get into it.
struct Scene {
    sandbox: Sandbox,
    url: String,
    _simulator: Process,
}

const OBJECTS: usize = 12;
const RECORDS: usize = 500;

impl Scene {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        events::make_archive(&sandbox.path("archive"), OBJECTS, RECORDS);
        let (simulator, url) = sandbox.simulate("--shards 2");
        Self { sandbox, url, _simulator: simulator }
    }

    fn replay_line(&self) -> String {
        format!("replay archive --into demo --partition-key /k --endpoint-url {} --yes --json", self.url)
    }

    fn replay(&self) -> Process {
        self.sandbox.start(&self.replay_line())
    }

    fn replay_until_under_way(&self) -> Process {
        let process = self.replay();
        self.sandbox.wait_for_progress(0);
        process
    }

    /// Everything was delivered; gives the number of duplicates.
    fn check(&self) -> u64 {
        let expected = by_key(&self.sandbox.path("archive"), "/k");
        check_delivered(&expected, &read_stream(&self.url, "demo"))
    }

    fn last_run(&self) -> serde_json::Value {
        self.sandbox.runs().pop().unwrap()
    }
}

const ALL: u64 = (OBJECTS * RECORDS) as u64;

#[test]
fn killed_again_and_again_a_run_loses_nothing_and_counts_what_may_stand_twice() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 6");
    let archive = events::shipped();
    let expected = by_key(&archive, "/tailnum");
    let line = format!(
        "replay {} --into demo --partition-key /tailnum --kinesis-endpoint-url {url} --json",
        archive.display()
    );
    let mut process = sandbox.start(&line);
    for delivered in [0, 1_000, 8_000, 8_500, 20_000] {
        sandbox.wait_for_progress(delivered);
        process.kill();
        assert_eq!(sandbox.runs().pop().unwrap()["state"], "incomplete");
        process = sandbox.start("resume --json");
    }
    let report = process.wait().json(0);
    let records: usize = expected.values().map(Vec::len).sum();
    assert_eq!(report["state"], "done");
    assert_eq!(report["records"]["delivered"], records);
    assert_eq!(report["order_violations"], 0);
    let duplicates = check_delivered(&expected, &read_stream(&url, "demo"));
    let possible = report["possible_duplicates"].as_u64().unwrap();
    assert!(duplicates <= possible, "{duplicates} duplicates, {possible} reported as possible");
}

#[test]
fn killed_before_the_first_checkpoint_a_run_starts_from_nothing() {
    let scene = Scene::new();
    let process = scene.replay();
    until("the run", || (!scene.sandbox.runs().is_empty()).then_some(()));
    process.kill();
    let report = scene.sandbox.run("resume --json").json(0);
    assert!(scene.check() <= report["possible_duplicates"].as_u64().unwrap());
}

#[test]
fn one_signal_ends_in_order_and_leaves_no_duplicates() {
    for signal in [Signal::TERM, Signal::INT] {
        let scene = Scene::new();
        let process = scene.replay_until_under_way();
        process.signal(signal);
        let report = process.wait().json(4);
        assert_eq!(report["state"], "incomplete");
        let command = report["next_command"].as_str().unwrap();
        assert_eq!(command, format!("respool resume {}", report["run"].as_str().unwrap()));
        assert_eq!(scene.last_run()["state"], "incomplete");

        let words = command.strip_prefix("respool ").unwrap();
        let resumed = scene.sandbox.run(&format!("{words} --json"));
        assert!(!resumed.stderr.contains("warning"), "{}", resumed.stderr);
        let report = resumed.json(0);
        assert_eq!(report["records"]["delivered"], ALL);
        assert_eq!(report["possible_duplicates"], 0);
        assert_eq!(scene.check(), 0);
        assert_eq!(scene.last_run()["state"], "done");
    }
}

#[test]
fn a_run_that_another_has_replaced_is_resumed_by_name_only_and_with_a_warning() {
    let scene = Scene::new();
    let process = scene.replay_until_under_way();
    process.signal(Signal::INT);
    let report = process.wait().json(4);
    let (first, before) = (report["run"].as_str().unwrap(), &report["records"]["delivered"]);
    let anew = scene.sandbox.run(&format!("{} --new", scene.replay_line()));
    let told = format!("warning: run {first}, which is not finished, has sent ");
    let before = before.as_u64().unwrap();
    let digits: String = anew.stderr.split_once(&told).unwrap_or_else(|| panic!("{anew:?}")).1.to_owned();
    let digits = digits.split(' ').next().unwrap().replace(',', "");
    assert_eq!(digits.parse::<u64>().unwrap(), before);
    let later = anew.json(0)["run"].as_str().unwrap().to_owned();

    let refused = scene.sandbox.run("resume");
    for said in [first, &format!("run {later} was begun after it"), &format!("`respool resume {first}`")] {
        assert!(refused.sentence(5).contains(said), "{said}: {refused:?}");
    }
    assert_eq!(scene.check(), before, "nothing was sent");
    let named = scene.sandbox.run(&format!("resume {first} --json --quiet"));
    let told = format!("warning: run {later} has sent 6,000 records into demo, ");
    assert!(named.stderr.contains(&told), "{named:?}");
    named.json(0);
    assert_eq!(scene.check(), ALL, "each is there twice");
}

#[test]
fn two_signals_end_at_once_and_lose_nothing() {
    let scene = Scene::new();
    let process = scene.replay_until_under_way();
    process.signal(Signal::INT);
    process.signal(Signal::TERM);
    let outcome = process.wait();
    assert!(outcome.code == 4 && outcome.waited < Duration::from_secs(2), "{outcome:?}");
    let report = scene.sandbox.run("resume --json").json(0);
    assert!(scene.check() <= report["possible_duplicates"].as_u64().unwrap());
}

#[test]
fn a_run_has_one_owner_and_is_not_started_twice() {
    let scene = Scene::new();
    let process = scene.replay_until_under_way();
    let run = scene.last_run();
    let id = run["run"].as_str().unwrap();
    assert_eq!((&run["state"], &run["owner"]), (&json!("running"), &json!(process.pid().to_string())));
    let resumed = scene.sandbox.run(&format!("resume {id}"));
    assert!(resumed.sentence(5).contains(&format!("process {}", process.pid())), "{}", resumed.stderr);

    for under_way in [true, false] {
        if !under_way {
            process.signal(Signal::KILL);
            until("the end", || (scene.last_run()["state"] == "incomplete").then_some(()));
        }
        let again = scene.sandbox.run(&scene.replay_line());
        let archive = scene.sandbox.path("archive").display().to_string();
        let anew = scene.replay_line().replacen("archive", &archive, 1).replace(" --yes", "");
        let region = "--no-plan --kinesis-region eu-west-1";
        let both = [format!("`respool resume {id}`"), format!("`respool {anew} {region} --new`")];
        for said in &both {
            assert!(again.sentence(5).contains(said), "{said}: {}", again.stderr);
        }
        // A part of it is sent by the run that is not finished as well.
        for part in ["--limit 10", "--from 2026-07-01"] {
            let part = scene.sandbox.run(&format!("{} {part}", scene.replay_line()));
            let sentence = part.sentence(5);
            assert!(
                sentence.contains("sends some of what is asked for now (") && sentence.contains(&both[0])
            );
            assert!(sentence.contains("--new`, and what both send is there twice"), "{sentence}");
        }
    }
    scene.sandbox.run(&format!("{} --new --limit 10", scene.replay_line())).json(0);
    assert_eq!(scene.sandbox.run(&format!("resume {id} --json")).json(0)["run"], id);
    let states: Vec<_> = scene.sandbox.runs().iter().map(|run| run["state"].clone()).collect();
    assert_eq!(states, ["done", "done"]);
    let listed = scene.sandbox.run("runs");
    assert!(listed.stdout.contains(id) && listed.stdout.contains("done"), "{}", listed.stdout);
    assert!(scene.sandbox.run("resume").sentence(5).contains("no unfinished run"));
    assert!(scene.sandbox.run("resume 20200101-000000").sentence(5).contains("there is no run"));
}

#[test]
fn what_no_longer_fits_the_run_is_refused_with_the_difference() {
    let scene = Scene::new();
    scene.replay_until_under_way().kill();
    let id = scene.last_run()["run"].as_str().unwrap().to_owned();
    let folder = scene.sandbox.path("state/respool/runs").join(&id);

    let manifest = folder.join("manifest.jsonl");
    let whole = fs::read_to_string(&manifest).unwrap();
    let (without_last, _) = whole.trim_end().rsplit_once('\n').unwrap();
    for edited in [whole.replacen("2026-07-01-03", "2026-07-01-04", 1), format!("{without_last}\n")] {
        fs::write(&manifest, edited).unwrap();
        let refused = scene.sandbox.run("resume");
        assert!(refused.sentence(5).contains("manifest"), "{}", refused.stderr);
    }
    fs::write(&manifest, whole).unwrap();

    let stream = json!({ "StreamName": "demo", "ShardCount": 2 });
    let created = |url| {
        let summary = call(url, "DescribeStreamSummary", &json!({ "StreamName": "demo" })).unwrap();
        summary["StreamDescriptionSummary"]["StreamCreationTimestamp"].as_f64().unwrap()
    };
    let before = created(&scene.url);
    call(&scene.url, "DeleteStream", &json!({ "StreamName": "demo" })).unwrap();
    let gone = scene.sandbox.run("resume");
    assert!(gone.sentence(5).contains("demo"), "{}", gone.stderr);
    call(&scene.url, "CreateStream", &stream).unwrap();
    let refused = scene.sandbox.run("resume");
    let sentence = refused.sentence(5);
    // A fraction of a second in a float may lose a millisecond on the way.
    let near = |seconds: f64| {
        [0.0, 0.001].map(|less| jiff::Timestamp::UNIX_EPOCH + Duration::from_secs_f64(seconds - less))
    };
    let shown = |time: jiff::Timestamp| sentence.contains(&format!("{time:.3}"));
    for time in [before, created(&scene.url)] {
        assert!(near(time + 0.000_1).into_iter().any(shown), "{time} is missing: {sentence}");
    }
    assert!(read_stream(&scene.url, "demo").is_empty(), "nothing was sent");
    // A script is told which run and which stream, and what to type.
    for line in ["resume", "verify"] {
        let refused = scene.sandbox.run(&format!("{line} --json"));
        let sentence = refused.sentence(5);
        let told: serde_json::Value = serde_json::from_str(&refused.stdout).unwrap();
        assert_eq!((&told["run"], &told["target"]), (&json!(id), &json!("demo")), "{line}: {told}");
        let next = told["next_command"].as_str().unwrap();
        assert!(next.starts_with("respool replay ") && next.ends_with(" --new"), "{line}: {next}");
        for said in [&format!("the stream demo is not the one that run {id} went into"), next] {
            assert!(sentence.contains(said), "{line}: {sentence}");
        }
    }
    call(&scene.url, "DeleteStream", &json!({ "StreamName": "demo" })).unwrap();
    for line in ["resume", "verify"] {
        let told = scene.sandbox.run(&format!("{line} --json")).json(5);
        assert_eq!((&told["run"], &told["target"]), (&json!(id), &json!("demo")), "{line}: {told}");
        assert!(told["next_command"].as_str().unwrap().contains(" --create "), "{line}: {told}");
    }
}

#[test]
fn a_stream_that_is_made_anew_under_a_run_is_never_called_done() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 4, 1_500);
    let (first, url) = sandbox.simulate("--shards 1");
    let line = format!("replay archive --into demo --partition-key /k --endpoint-url {url} --yes --json");
    let run = sandbox.start(&line);
    sandbox.wait_for_progress(0);
    first.kill();
    // The service is away, and then back with another stream of that name.
    let port = url.rsplit(':').next().unwrap();
    let again = sandbox.start(&format!("simulate --port {port} --shards 1"));
    until("the stream's being back", || again.stdout().contains('\n').then_some(()));
    let report = run.wait().json(5);
    assert_eq!(report["state"], "refused");
    let message = report["message"].as_str().unwrap();
    let run = report["run"].as_str().unwrap();
    assert!(message.contains(&format!("demo is not the one that run {run} went into")), "{message}");
    let arrived = read_stream(&url, "demo").len() as u64;
    assert!(arrived < report["records"]["delivered"].as_u64().unwrap(), "some went with the first stream");
}

#[test]
fn a_limit_holds_for_all_attempts_together() {
    // Within an object, at the end of one, and at the end of all.
    for limit in [2_250, 3_000, 6_000] {
        let scene = Scene::new();
        let mut process = scene.sandbox.start(&format!("{} --limit {limit}", scene.replay_line()));
        for delivered in [0, 1_500] {
            scene.sandbox.wait_for_progress(delivered);
            process.kill();
            process = scene.sandbox.start("resume --json");
        }
        let report = process.wait().json(0);
        assert_eq!(report["records"]["delivered"], limit, "{report}");
        let records: usize = read_stream(&scene.url, "demo").values().map(Vec::len).sum();
        let possible = report["possible_duplicates"].as_u64().unwrap();
        assert!((limit..=limit + possible).contains(&(records as u64)), "{records} of {limit}");
    }
}

#[test]
fn the_page_of_a_run_tells_of_all_its_processes() {
    let scene = Scene::new();
    let process = scene.replay_until_under_way();
    process.signal(Signal::INT);
    let stopped = process.wait().json(4);
    let before = stopped["records"]["delivered"].as_u64().unwrap();
    let killed = scene.sandbox.start("resume --json");
    scene.sandbox.wait_for_progress(before);
    killed.kill();
    let report = scene.sandbox.run("resume --json").json(0);
    let run = scene.sandbox.path("state/respool/runs").join(report["run"].as_str().unwrap());
    let text = fs::read_to_string(run.join("timeline.json")).unwrap();
    let timeline: serde_json::Value = serde_json::from_str(&text).unwrap();
    let processes = timeline["processes"].as_array().unwrap();
    let delivered = |process: &serde_json::Value| process["delivered"].as_u64().unwrap();
    assert_eq!((processes.len(), delivered(&processes[0])), (2, before));
    // What the killed one did is known as far as a checkpoint has it, and named.
    let unseen = timeline["records_unseen"].as_u64().unwrap();
    assert!(unseen > 0);
    assert_eq!(processes.iter().map(delivered).sum::<u64>() + unseen, ALL);
    let drawn: f64 =
        timeline["bins"].as_array().unwrap().iter().map(|bin| bin["records"].as_f64().unwrap()).sum();
    let seen = u32::try_from(ALL - unseen).unwrap();
    assert!((drawn - f64::from(seen)).abs() < 1.0, "{drawn} instead of {seen}");
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("<h2>Processes</h2>") && page.contains("resumed"), "{page}");
    assert!(page.contains("processes which were killed"), "{page}");
}

#[test]
fn a_resumed_runs_report_tells_the_process_from_the_run() {
    let scene = Scene::new();
    let process = scene.replay_until_under_way();
    process.signal(Signal::INT);
    let stopped = process.wait().json(4);
    let before = stopped["records"]["delivered"].as_u64().unwrap();
    assert_eq!(stopped["resumed"], false);
    let resumed = scene.sandbox.run("resume");
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let (run, process) = resumed.stdout.split_once("\nIn this process:\n").unwrap();
    assert!(run.contains("\n  records      6,000 delivered; "), "{run}");
    for row in ["took", "cache", "S3", "PutRecords", "shards used"] {
        let row = format!("  {row:<13}");
        assert!(process.contains(&row) && !run.contains(&row), "{row} in {}", resumed.stdout);
    }
    let folder = scene.sandbox.path("state/respool/runs").join(stopped["run"].as_str().unwrap());
    let report = fs::read_to_string(folder.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let shards = report["shards"].as_array().unwrap();
    let sent: u64 = shards.iter().map(|shard| shard["records"].as_u64().unwrap()).sum();
    assert_eq!((&report["resumed"], &report["records"]["delivered"]), (&true.into(), &ALL.into()));
    assert_eq!(sent, ALL - before, "what is of the process is not the run's");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    assert!(page.contains("<h2>In this process</h2>"), "{page}");
}
