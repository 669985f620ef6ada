//! Archives as they really are: written by others, laid out in other ways, damaged, put away.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::events::{gzip, put};
use crate::foreign::{self, KEYS, repository, tools};
use crate::s3::moto_server;
use crate::sandbox::Sandbox;

/// Every file of `tests/fixtures/formats` that holds the same events, and the flags that it needs.
const FORMATS: [(&str, &str); 19] = [
    ("records.ndjson", ""),
    ("gzip.gz", ""),
    ("gzip-members.gz", ""),
    ("zstd.zst", ""),
    ("bzip2.bz2", ""),
    ("zip.zip", ""),
    ("zip-streamed.zip", ""),
    ("snappy-xerial.snappy", ""),
    ("snappy-hadoop.snappy", ""),
    ("snappy-framed.sz", ""),
    ("kpl.bin", ""),
    ("kpl-u32be.bin", "--framing u32be"),
    ("u32be.bin", "--framing u32be"),
    ("u32le.bin", "--framing u32le"),
    ("delimited.rs", "--delimiter \\x1e"),
    ("cloudtrail.json.gz", "--framing json-array"),
    ("array.json", "--framing json-array"),
    ("cloudwatch-logs", "--framing cloudwatch-logs"),
    ("processing-failed", "--error-output"),
];

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn lines(numbers: std::ops::Range<u32>) -> Vec<u8> {
    let line = |n| format!("{{\"k\":\"key-{}\",\"n\":{n},\"ts\":{}}}\n", n % 7, 1_782_000_000 + n);
    numbers.map(line).collect::<String>().into_bytes()
}

fn quarantine(report: &Value) -> Vec<Value> {
    let list = fs::read_to_string(report["quarantine"]["path"].as_str().unwrap()).unwrap();
    list.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_format_of_others_comes_out_as_the_same_lines_and_inspect_finds_the_flags() {
    let sandbox = Sandbox::new();
    let formats = repository("tests/fixtures/formats");
    let expected = fs::read_to_string(formats.join("records.ndjson")).unwrap();
    for (name, flags) in FORMATS {
        // Where Firehose puts what it could not process.
        let folder = if name == "processing-failed" { "processing-failed/2026" } else { "2026" };
        let archive = sandbox.path(name);
        write(&archive.join(folder).join("07/01/05").join(name), &fs::read(formats.join(name)).unwrap());
        let export = sandbox.run(&format!("cache export {name} --out - {flags}"));
        assert_eq!(
            (export.code, export.stdout.as_str()),
            (0, expected.as_str()),
            "{name}: {}",
            export.stderr
        );
        if name == "processing-failed" {
            assert_eq!(sandbox.run(&format!("cache export {name} --out -")).code, 5, "not by default");
            continue;
        }
        let found = sandbox.run(&format!("inspect {name} --json {flags}")).json(0);
        assert_eq!(found["records_estimated"], 200, "{name}: {found}");
        let flag = flags.strip_prefix("--framing ");
        let found = sandbox.run(&format!("inspect {name} --json")).json(0);
        if let Some(framing) = flag {
            assert_eq!(found["framing"], framing, "{name}: {found}");
        }
    }
    // What was decoded differently never shares a segment.
    let twice = sandbox.run("cache warm u32be.bin --framing u32be --json").json(0);
    assert_eq!((&twice["hits"], &twice["fetched"]), (&json!(1), &json!(0)));
    let other = sandbox.run("cache warm u32be.bin --framing whole --json").json(0);
    assert_eq!((&other["hits"], &other["fetched"], &other["records"]), (&json!(0), &json!(1), &json!(1)));
}

#[test]
fn layouts_zones_and_patterns_select_what_they_say() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    for (key, numbers) in [
        ("customer=acme/dt=2026-07-01/hr=05/a", 0..1),
        ("customer=acme/dt=2026-07-01/hr=06/a", 1..3),
        ("customer=acme/dt=2026-07-02/hr=05/a", 3..6),
        ("customer=other/dt=2026-07-01/hr=05/a", 6..16),
        ("_SUCCESS", 16..17),
    ] {
        write(&archive.join(key), &lines(numbers));
    }
    let hive = "--layout dt={yyyy-MM-dd}/hr={HH} --slack 0s";
    for (flags, records) in [
        (hive, 16),
        (&*format!("{hive} --from 2026-07-01T06:00:00Z"), 5),
        (&*format!("{hive} --until 2026-07-01T06:00:00Z"), 11),
        (&*format!("{hive} --until 2026-07-01T06:00:00Z --include customer=acme/*"), 1),
        (&*format!("{hive} --include customer=* --exclude *=other/*"), 6),
        // Tokyo is nine hours ahead.
        (&*format!("{hive} --timezone Asia/Tokyo --until 2026-06-30T21:00:00Z"), 11),
        ("--layout customer=*/dt=%Y-%m-%d --until 2026-07-02 --slack 0s", 13),
        ("--layout all --from 2030-01-01", 16),
    ] {
        let found = sandbox.run(&format!("cache warm archive --json {flags}")).json(0);
        assert_eq!(found["records"], records, "{flags}: {found}");
    }
    for (flags, said) in [
        ("--layout {MM}", "a layout needs a year"),
        ("--timezone Mars/Olympus", "is no time zone"),
        ("--include [", "is no pattern"),
        ("--event-time /ts", "leaves nothing out"),
        ("--event-time-format s", "--event-time"),
        ("--delimiter", "a value is required"),
        ("--delimiter x --framing json", "cannot be used with"),
    ] {
        let outcome = sandbox.run(&format!("cache warm archive {flags}"));
        assert!(outcome.code == 2 && outcome.stderr.contains(said), "{flags}: {outcome:?}");
    }
    let found = sandbox.run("inspect archive --json").json(0);
    assert_eq!((&found["layout"], &found["skipped"]), (&json!("dt={yyyy-MM-dd}/hr={HH}"), &json!(1)));
    assert_eq!(found["time_fields"][0]["pointer"], "/ts");
    assert!(sandbox.run("cache warm archive --layout all --from 2030-01-01 --include x*").code == 5);
}

#[test]
fn the_time_of_events_selects_records_exactly() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    put(&archive, 0, &gzip(&lines(0..100)));
    put(&archive, 1, &gzip(&[lines(100..200), b"{\"k\":\"a\",\"n\":1}\n".to_vec()].concat()));
    let (_simulator, url) = sandbox.simulate("--shards 2");
    let (from, until) = ("2026-06-20T23:20:50Z", "2026-06-20T23:21:40Z");
    let line = format!(
        "replay archive --into demo --partition-key /k --endpoint-url {url} --yes --json --layout all \
         --event-time /ts --from {from} --until {until}"
    );
    let report = sandbox.run(&line).json(3);
    // 1,782,000,000 is 2026-06-21T00:00:00Z.
    assert_eq!(
        report["records"]["delivered"].as_u64().unwrap() + report["records"]["filtered"].as_u64().unwrap(),
        200
    );
    assert_eq!(report["quarantine"]["reasons"], json!({ "no_event_time": 1 }));
    let line = line.replace(from, "2026-06-21T00:00:50Z").replace(until, "2026-06-21T00:02:30Z");
    let report = sandbox.run(&line).json(3);
    assert_eq!(report["records"], json!({ "delivered": 100, "quarantined": 1, "filtered": 100 }));
    let verified = sandbox.run(&format!("verify --endpoint-url {url} --json")).json(0);
    assert_eq!((&verified["expected"], &verified["present"]), (&json!(100), &json!(100)));
}

#[test]
fn objects_can_be_named_by_a_file() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let keys: Vec<String> = (0..5)
        .map(|hour| {
            let path = put(&archive, hour, &gzip(&lines(0..10)));
            path.strip_prefix(&archive).unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    fs::write(sandbox.path("keys"), format!("{}\n{}\r\n", keys[3], keys[1])).unwrap();
    let line = "replay archive --into sim:1 --partition-key /k --json --objects";
    let report = sandbox.run(&format!("{line} keys")).json(0);
    assert_eq!((&report["objects"]["total"], &report["records"]["delivered"]), (&json!(2), &json!(20)));
    assert_eq!(report["late_objects"], Value::Null, "what is not listed is not late");
    let run = report["run"].as_str().unwrap();
    let manifest = format!("state/respool/runs/{run}/manifest.jsonl");
    let report = sandbox.run(&format!("{line} {manifest} --from 2026-07-01T03:00:00Z --slack 0s")).json(0);
    assert_eq!(report["objects"]["total"], 1);
    fs::write(sandbox.path("keys"), format!("{}\nnone\n", keys[3])).unwrap();
    let refused = sandbox.run(&format!("{line} keys"));
    assert!(refused.sentence(5).contains("1 of the objects"), "{refused:?}");
    assert!(sandbox.run(&format!("{line} nowhere")).sentence(5).contains("cannot be read"));
}

#[test]
fn what_is_salvaged_is_sent_and_the_rest_can_be_tried_again() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let whole = gzip(&lines(0..1_000));
    put(&archive, 0, &gzip(b"{\"k\":\"a\"}\n{\"x\":1}\n"));
    let cut = put(&archive, 1, &whole[..whole.len() / 2]);
    let line = "replay archive --into sim:1 --partition-key /k --json";
    let report = sandbox.run(line).json(3);
    assert_eq!(report["objects"], json!({ "total": 2, "settled": 1, "quarantined": 1, "skipped": 0 }));
    assert_eq!(sandbox.run("quarantine show 0:1").stdout, "{\"x\":1}");

    let report = sandbox.run(&format!("{line} --salvage")).json(3);
    // What is whole is the same with and without.
    assert_eq!((&report["cache"]["hits"], &report["cache"]["fetched"]), (&json!(1), &json!(1)), "{report}");
    let salvaged = report["records"]["delivered"].as_u64().unwrap() - 1;
    assert!((100..900).contains(&salvaged), "{report}");
    assert_eq!(report["quarantine"]["reasons"], json!({ "missing": 1, "salvaged": 1 }));
    let list = quarantine(&report);
    assert!(list.iter().any(|line| line["record"] == salvaged && line["reason"] == "salvaged"), "{list:?}");
    // From the cache it is as much.
    let again = sandbox.run(&format!("{line} --salvage")).json(3);
    assert_eq!((&again["records"], &again["cache"]["fetched"]), (&report["records"], &json!(0)));

    // Who has not asked for it never gets it.
    let without = sandbox.run(line).json(3);
    assert_eq!(without["quarantine"]["reasons"], json!({ "missing": 1, "truncated": 1 }));
    assert_eq!((&without["records"]["delivered"], &without["cache"]["hits"]), (&json!(1), &json!(1)));

    // The object is mended: only what is missing is sent.
    fs::write(cut, &whole).unwrap();
    let again_run = again["run"].as_str().unwrap();
    let retried =
        sandbox.run(&format!("quarantine retry {again_run} --key-fallback hash --json --yes")).json(0);
    assert_eq!(
        retried["records"],
        json!({ "delivered": 1_001 - salvaged, "quarantined": 0, "filtered": 1 + salvaged })
    );
    let list = sandbox.run("quarantine ls --json");
    assert_eq!(
        serde_json::from_str::<Vec<Value>>(&list.stdout).unwrap().len(),
        2,
        "the retry left nothing behind"
    );
    let first = report["run"].as_str().unwrap();
    let line = format!("quarantine retry {first} --key-fallback hash --json --yes");
    // Of the runs with this quarantine the last was tried again.
    let tried: Vec<_> = [first, again_run]
        .into_iter()
        .filter(|run| {
            let line = format!("quarantine retry {run} --key-fallback hash --json --yes");
            sandbox.run(&line).code == 5
        })
        .collect();
    assert_eq!(tried.len(), 1, "what was tried is not tried again without a word");
    assert!(sandbox.run(&line).stderr.contains("--again"));
    sandbox.run(&format!("{line} --again")).json(0);
}

#[test]
fn more_in_quarantine_than_may_be_ends_the_run_resumably() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    put(&archive, 0, &gzip(&b"{\"x\":1}\n".repeat(50)));
    put(&archive, 1, &gzip(&lines(0..50)));
    let line = "replay archive --into sim:1 --partition-key /k --json --max-quarantine 10";
    let report = sandbox.run(line).json(4);
    assert!(report["message"].as_str().unwrap().contains("--max-quarantine"), "{report}");
    assert_eq!(sandbox.run("resume --json").json(4)["state"], "incomplete", "nothing has changed");
    let report = sandbox.run("resume --json --max-quarantine 50").json(3);
    assert_eq!(report["records"]["quarantined"], 50);
}

#[test]
fn processes_that_share_a_cache_fetch_each_object_once() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    for hour in 0..40 {
        put(&archive, hour, &gzip(&lines(0..20_000)));
    }
    let both = [(); 2].map(|()| sandbox.start("cache warm archive --json"));
    let found = both.map(|process| process.wait().json(0));
    let sum = |field: &str| found.iter().map(|one| one[field].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("fetched"), sum("hits")), (40, 40), "{found:?}");
    assert_eq!(fs::read_dir(sandbox.path("cache/respool/tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(sandbox.path("cache/respool/pins")).unwrap().count(), 0);
    let days = sandbox.run("cache ls").stdout;
    assert!(
        days.contains("2026-07-01") && days.contains("2026-07-02") && days.contains("40 segments"),
        "{days}"
    );
}

#[test]
fn what_s3_has_put_away_is_left_out_or_restored() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("live/2026/07/01/05/a"), &lines(0..10));
    write(&folder.path().join("live/2026/07/01/06/glacier"), &lines(10..30));
    let server = moto_server(&python, folder.path());
    let sandbox = Sandbox::new();
    let replay = |flags: &str| {
        let flags = format!(
            "--into sim:1 --partition-key /k --s3-endpoint-url {} --region us-east-1 {flags}",
            server.url
        );
        foreign::replay(&sandbox, "s3://events/live/", &flags, Some(KEYS))
    };
    let report = replay("").json(3);
    assert_eq!(report["quarantine"]["reasons"], json!({ "archived": 1 }));
    let dry = replay("--dry-run").json(0);
    assert!(dry["warnings"][0].as_str().unwrap().contains("--skip-archived"), "{dry}");
    let report = replay("--skip-archived --request-payer").json(0);
    assert_eq!((&report["objects"]["total"], &report["records"]["delivered"]), (&json!(1), &json!(10)));
    assert_eq!(report["late_objects"]["late"], 0, "what was left out is not late: {report}");
    replay("--dry-run --restore expedited").json(0);
    assert_eq!(
        replay("--new").json(3)["quarantine"]["reasons"],
        json!({ "archived": 1 }),
        "a look restores nothing"
    );
    let report = replay("--restore expedited").json(0);
    assert_eq!((&report["objects"]["total"], &report["records"]["delivered"]), (&json!(2), &json!(30)));
}

#[test]
fn what_was_overwritten_or_deleted_since_it_was_listed_is_fetched_by_its_version() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (hour, numbers) in [("05", 0..10), ("06", 10..20), ("07", 20..30)] {
        write(&folder.path().join("live/2026/07/01").join(hour).join("a"), &lines(numbers));
    }
    let server = moto_server(&python, folder.path());
    let sandbox = Sandbox::new();
    let replay = |flags: &str| {
        let flags = format!(
            "--into sim:1 --partition-key /k --no-cache --s3-endpoint-url {} --region us-east-1 {flags}",
            server.url
        );
        foreign::replay(&sandbox, "s3://events/live/", &flags, Some(KEYS))
    };
    let run = replay("").json(0)["run"].as_str().unwrap().to_owned();
    request(&server.url, "PUT", "/events/live/2026/07/01/05/a", &lines(100..105));
    request(&server.url, "DELETE", "/events/live/2026/07/01/06/a", b"");
    let report = replay(&format!("--objects state/respool/runs/{run}/manifest.jsonl")).json(0);
    assert_eq!(report["records"]["delivered"], 30, "as they were listed");
    let report = replay("").json(0);
    assert_eq!(report["records"]["delivered"], 15, "as they are");
}

fn request(url: &str, method: &str, path: &str, body: &[u8]) {
    let mut connection = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    // moto wants to be told the service, and checks no signature.
    let who = "AWS4-HMAC-SHA256 Credential=AKID/20260701/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: {who}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
}
