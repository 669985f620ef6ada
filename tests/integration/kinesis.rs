//! Into a stream and back out by a foreign client: every record byte for byte, every key in order.
//!
//! Twice the same: into ferrokinesis, which enforces the limits of shards, and into `respool simulate`.
//! `RESPOOL_TEST_DATA` may name a folder with the full sets (`flights.ndjson.gz`, `github_webhooks.ndjson.gz`);
//! without it the shipped parts of them are replayed.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::foreign::{KEYS, Server, gzip, replay, repository, script, tools, variable, write_archive};
use crate::sandbox::Sandbox;

const STREAM_PY: &str = "tests/integration/stream.py";

#[test]
fn ferrokinesis_holds_every_record_in_order() {
    let Some([python, ferrokinesis]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_FERROKINESIS"]) else {
        return;
    };
    let server = Server::ferrokinesis(&ferrokinesis);
    check_server(&python, &server);
}

#[test]
fn the_served_simulator_holds_every_record_in_order() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    check_server(&python, &Server::simulate("--unlimited"));
}

#[test]
fn the_served_simulator_answers_a_foreign_client_as_kinesis_does() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let server = Server::simulate("");
    let said = script(&python, "scripts/check-simulate.py", &[&server.url]);
    assert_eq!(said, "as Kinesis does it\n");
}

#[test]
fn aggregates_are_unpacked_by_others_and_every_shard_is_in_order() {
    let Some([python, ferrokinesis]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_FERROKINESIS"]) else {
        return;
    };
    let made = tempfile::tempdir().unwrap();
    for server in [Server::ferrokinesis(&ferrokinesis), Server::simulate("")] {
        let (stream, archive) = ("together", flights(made.path()).unwrap());
        script(&python, STREAM_PY, &["create", &server.url, stream, "3"]);
        let flags = format!(
            "--into {stream} --kinesis-endpoint-url {} --partition-key /tailnum --aggregate",
            server.url
        );
        let report = replay(&Sandbox::new(), &archive, &flags, Some(KEYS)).json(0);
        let duplicates = report["possible_duplicates"].to_string();
        let arguments =
            ["compare-aggregates", &server.url, stream, &archive.to_string_lossy(), "/tailnum", &duplicates];
        let compared: Value = serde_json::from_str(&script(&python, STREAM_PY, &arguments)).unwrap();
        assert_eq!(report["records"]["delivered"], compared["records"], "{report}");
        let (entries, units) = (report["entries_acked"].as_u64(), report["put_units"].as_u64());
        assert!(entries < report["records"]["delivered"].as_u64() && entries <= units, "{report}");
        assert_eq!(report["order_violations"], 0, "{report}");
    }
}

/// Replays archives into streams of `server` and reads them back.
fn check_server(python: &Path, server: &Server) {
    let made = tempfile::tempdir().unwrap();
    let (webhooks, edges) = (made.path().join("webhooks"), made.path().join("edges"));
    write_archive(&webhooks, &webhook_records().unwrap(), 20).unwrap();
    write_edges(&edges).unwrap();
    for (stream, archive, key, shards, way) in [
        (
            "flights",
            flights(made.path()).unwrap(),
            "/tailnum",
            if full_sets().is_some() { 60 } else { 30 },
            "direct",
        ),
        ("webhooks", webhooks.clone(), "/event", 8, "direct"),
        ("webhooks-by-sdk", webhooks, "/event", 8, "sdk"),
        ("edges", edges.clone(), "hash", 3, "direct"),
        ("edges-by-sdk", edges, "hash", 3, "sdk"),
    ] {
        script(python, STREAM_PY, &["create", &server.url, stream, &shards.to_string()]);
        let flags = format!(
            "--into {stream} --kinesis-endpoint-url {} --partition-key {key} --send {way} --allow-loop",
            server.url
        );
        let report = replay(&Sandbox::new(), &archive, &flags, Some(KEYS)).json(0);
        let duplicates = report["possible_duplicates"].to_string();
        let arguments = ["compare", &server.url, stream, &archive.to_string_lossy(), key, &duplicates];
        let compared: Value = serde_json::from_str(&script(python, STREAM_PY, &arguments)).unwrap();
        assert_eq!(report["records"]["delivered"], compared["records"], "{stream}: {report}");
        assert_eq!(report["order_violations"], 0, "{stream}: {report}");
    }
}

/// Where the full sets are, if they are to be used.
fn full_sets() -> Option<PathBuf> {
    variable("RESPOOL_TEST_DATA")
}

/// The archive of flights: the shipped one, or all of them.
fn flights(made: &Path) -> io::Result<PathBuf> {
    let Some(folder) = full_sets() else { return Ok(repository("tests/fixtures/archive")) };
    // Cancelled flights have no aircraft, and `null` is no key.
    let known = |record: &Vec<u8>| !record.windows(14).any(|field| field == b"\"tailnum\":null");
    let records: Vec<_> = read_lines(&folder.join("flights.ndjson.gz"))?.into_iter().filter(known).collect();
    let archive = made.join("flights");
    write_archive(&archive, &records, 1_000)?;
    Ok(archive)
}

fn webhook_records() -> io::Result<Vec<Vec<u8>>> {
    match full_sets() {
        None => read_lines(&repository("tests/fixtures/webhooks.ndjson.gz")),
        Some(folder) => read_lines(&folder.join("github_webhooks.ndjson.gz")),
    }
}

fn read_lines(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(fs::File::open(path)?).read_to_end(&mut text)?;
    Ok(text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

/// Objects in which a record's bytes are easily lost. A name ending in `-bare-lines` says that they are lines.
fn write_edges(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root)?;
    for (name, text) in [
        ("01-braces", r#"{"a":"}{"}{"a":"\"}{\\"}{"a":"\\\"{"}{"a":["}",{"b":"]"}]}"#),
        (
            "02-unicode",
            "{\"a\":\"é👩‍🚀\"}{\"a\":\"\\ud83d\\ude00\"}\n{\"ключ\":\"\u{2028}\u{85}\u{a0}\"} {\"a\":\"\\u0000\"}",
        ),
        ("03-pretty", "{\n  \"a\": [\n    1,\n    {}\n  ]\n}\n{\n  \"a\": 2\n}\r\n"),
        ("04-twice", "{\"a\":1}{\"a\":1}{\"a\":2}{\"a\":1}"),
        ("05-crlf-bare-lines", "{\"a\":3}\r\n{\"a\":4}\r\n\r\n{\"a\":5}\r\n"),
        ("06-mark-bare-lines", "\u{feff}{\"a\":6}\n{\"a\":7}\n{\"a\":8}"),
        ("07-blanks-bare-lines", "  {\"a\":9} \n\t{\"a\":10}\n\n \n{\"a\": 11}\n"),
        ("08-text-bare-lines", "GET / 200\nGET /é 404\n}{ neither\n"),
        ("09-csv-bare-lines", "a,b\r\n1,\"{\"\r\n2,\"\u{fffd}\"\r\n"),
        ("10-one", "{\"a\":12}"),
    ] {
        fs::write(root.join(name), text)?;
        let (front, suffix) =
            name.split_once("-bare-lines").map_or((name, ""), |(front, _)| (front, "-bare-lines"));
        fs::write(root.join(format!("{front}-gz{suffix}")), gzip(text.as_bytes())?)?;
    }
    Ok(())
}
