//! The pages that we write, opened in a browser: on a phone and on a desk, in light and in dark.
//!
//! The page is shown in frames of a page of ours (`measure.html`), which notes what a reader would stumble over: a page wider than its
//! screen, text too small, too pale, cut off or on top of other text, anything loaded from elsewhere. The browser has
//! no network, and whatever it complains about is a finding too.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::foreign::{repository, tools};
use crate::sandbox::Sandbox;

/// What the browser and the page that measures have to say about the page in `path`.
fn findings(browser: &Path, sandbox: &Sandbox, path: &Path) -> Vec<String> {
    let measure = sandbox.path("measure.html");
    fs::copy(repository("tests/integration/measure.html"), &measure).unwrap();
    fs::copy(path, sandbox.path("page.html")).unwrap();
    let mut command = Command::new(browser);
    command.env("HOME", sandbox.path("")).current_dir(sandbox.path(""));
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"]);
    command.args(["--allow-file-access-from-files", "--host-resolver-rules=MAP * ~NOTFOUND"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    // A container may have no more than a few megabytes of shared memory.
    command.args(["--disable-dev-shm-usage", "--enable-logging=stderr", "--virtual-time-budget=30000"]);
    command.arg(format!("--user-data-dir={}", sandbox.path("profile").display()));
    command.args(["--window-size=1500,1000", "--dump-dom"]);
    command.arg(format!("file://{}?page=page.html", measure.display()));
    let outcome = sandbox.start_command(command).wait();
    let found =
        outcome.stdout.split_once("<pre id=\"found\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((found, _)) = found else {
        panic!("nothing was measured: {}\n{}", outcome.stdout, outcome.stderr)
    };
    let found: Value = serde_json::from_str(&decoded(found)).unwrap();
    let seen = found["seen"].as_u64().unwrap();
    let mut findings: Vec<String> = serde_json::from_value(found["findings"].clone()).unwrap();
    if seen == 0 {
        findings.push("nothing was seen".into());
    }
    findings.extend(outcome.stderr.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned));
    findings
}

/// What `encodeURIComponent` has made of a text.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = [rest.clone().next(), rest.clone().nth(1)].map(Option::unwrap_or_default);
        let value = str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value.filter(|_| byte == b'%') {
            Some(value) => {
                bytes.push(value);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn fixture() -> String {
    repository("tests/fixtures/archive").display().to_string()
}

fn legible(browser: &Path, sandbox: &Sandbox, path: &Path) {
    let found = findings(browser, sandbox, path);
    assert!(found.is_empty(), "{}: {found:#?}", path.display());
}

#[test]
fn a_plan_can_be_read_everywhere() {
    let Some([browser]) = tools(["RESPOOL_TEST_BROWSER"]) else { return };
    let sandbox = Sandbox::new();
    let line = format!(
        "plan {} --partition-key /tailnum --shards 1,4,16,64,256,1000 --deadline 10s --html plan.html --json",
        fixture()
    );
    sandbox.run(&line).json(0);
    legible(&browser, &sandbox, &sandbox.path("plan.html"));
    // Seven records within a minute and a half.
    fs::create_dir(sandbox.path("tiny")).unwrap();
    for (name, events) in [("05-00-00-a", "{\"k\":1}\n".repeat(3)), ("05-01-30-b", "{\"k\":2}\n".repeat(4))] {
        fs::write(sandbox.path(format!("tiny/events-1-2026-07-01-{name}")), events).unwrap();
    }
    sandbox.run("plan tiny --partition-key /k --html tiny.html --json").json(0);
    let html = fs::read_to_string(sandbox.path("tiny.html")).unwrap();
    assert!(html.contains("in bytes as stored") && html.contains("2026-07-01 UTC"), "{html}");
    legible(&browser, &sandbox, &sandbox.path("tiny.html"));
}

#[test]
fn a_benchmark_can_be_read_everywhere() {
    let Some([browser]) = tools(["RESPOOL_TEST_BROWSER"]) else { return };
    let sandbox = Sandbox::new();
    sandbox.run("bench --shards 1,2 --record-size 200 --duration 2s --out result --json").json(0);
    legible(&browser, &sandbox, &sandbox.path("result.html"));
    // The one that is shipped has eight numbers of shards and three ways to measure a second.
    legible(&browser, &sandbox, &repository("docs/bench.html"));
}

#[test]
fn a_report_can_be_read_everywhere() {
    let Some([browser]) = tools(["RESPOOL_TEST_BROWSER"]) else { return };
    let sandbox = Sandbox::new();
    let (_server, url) = sandbox.simulate("--shards 40 --faults seed=7,throttle_entry=20,lose_answer=5");
    fs::create_dir(sandbox.path("broken")).unwrap();
    let mut events = String::from("{\"no\":\"key\"}\n");
    for n in 0..20_000 {
        let _ = writeln!(events, "{{\"k\":\"key-{}\",\"n\":{n}}}", n % 977);
    }
    fs::write(sandbox.path("broken/events.ndjson"), events).unwrap();
    sandbox.run("plan broken --partition-key /k --shards 40 --save plan.json --json").json(0);
    let line = format!("replay --plan plan.json --into demo --kinesis-endpoint-url {url} --yes --json");
    let report = sandbox.run(&line).json(3);
    assert_eq!(report["plan"]["records"], 20_000);
    let run = sandbox.path("state/respool/runs").join(report["run"].as_str().unwrap());
    let html = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(!html.contains("key-1"), "no partition key in the clear");
    for text in
        ["Throttled entries", "The plan beside what happened", "<span>missing</span>", "share of their limit"]
    {
        assert!(html.contains(text), "{text}");
    }
    legible(&browser, &sandbox, &run.join("report.html"));
}

#[test]
fn a_page_that_cannot_be_read_is_found() {
    let Some([browser]) = tools(["RESPOOL_TEST_BROWSER"]) else { return };
    let sandbox = Sandbox::new();
    let planted = [
        ("<div style=\"width:900px\">wide</div>", "wide"),
        ("<p style=\"font-size:7px\">small</p>", "px high"),
        ("<p style=\"color:#ddd\">pale</p>", "contrast"),
        ("<img src=\"http://elsewhere.example/x.png\">", "loads"),
        ("<script>console.error('it broke')</script>", "it broke"),
        ("<style>body{background:#fff}</style>", "the paper is"),
        (
            "<figure><svg viewBox=\"0 0 400 200\"><text class=\"tick\" x=\"9\" y=\"50\">0</text><text class=\"tick\" x=\"9\" \
             y=\"90\">0</text></svg></figure>",
            "twice",
        ),
        (
            "<div class=\"scroll\" style=\"overflow-x:auto\"><div style=\"width:900px\">wide</div></div>",
            "that there is more",
        ),
        (
            "<figure><svg viewBox=\"0 0 400 200\"><text x=\"390\" y=\"50\">cut off</text></svg></figure>",
            "stands out",
        ),
        (
            "<figure><svg viewBox=\"0 0 400 200\"><text x=\"9\" y=\"50\">one</text><text x=\"12\" y=\"52\">two</text></svg></figure>",
            "overlap",
        ),
    ];
    let begin = "<!doctype html><style>:root{color-scheme:light dark}body{background:light-dark(#fff,#111);color:light-dark(#111,#fff)}\
                 text{fill:light-dark(#111,#fff)}</style><p>text</p>";
    let path = sandbox.path("planted.html");
    fs::write(&path, begin).unwrap();
    legible(&browser, &sandbox, &path);
    for (fault, word) in planted {
        fs::write(&path, format!("{begin}{fault}")).unwrap();
        let found = findings(&browser, &sandbox, &path);
        assert!(found.iter().any(|finding| finding.contains(word)), "{fault}: {found:#?}");
    }
}
