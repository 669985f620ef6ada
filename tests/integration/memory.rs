//! However large an archive is, a replay stays within its bound of anonymous memory.
//!
//! The archive is one object under many names: what counts is how much passes, not that it differs.

#![cfg(target_os = "linux")]

use std::fmt::Write as _;
use std::fs;

use crate::events::{gzip, put};
use crate::foreign::variable;
use crate::sandbox::{Outcome, Process, Sandbox, until};

/// The promise, in kB as `/proc` counts. `RssAnon`: what the page cache holds of segments is not ours.
const RSS_ANON_MAX: u64 = 256 * 1024;
const OBJECT_BYTES: usize = 64_000_000;

/// `objects` objects of 64 MB each; gives the number of their records.
fn make_large_archive(sandbox: &Sandbox, objects: usize) -> usize {
    let mut random = 1_u64;
    let mut lines = String::with_capacity(OBJECT_BYTES + 2_000);
    let mut records = 0;
    while lines.len() < OBJECT_BYTES {
        let mut noise = String::new();
        for _ in 0..8 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            write!(noise, "{:016x}", random >> 8).unwrap();
        }
        let text = "the same words in every record, as events have them ".repeat(15);
        writeln!(lines, r#"{{"k":"{}","noise":"{noise}","text":"{text}"}}"#, random % 50_000).unwrap();
        records += 1;
    }
    let archive = sandbox.path("archive");
    let first = put(&archive, 0, &gzip(lines.as_bytes()));
    for hour in 1..objects {
        let name = put(&archive, hour, b"");
        fs::remove_file(&name).unwrap();
        fs::hard_link(&first, name).unwrap();
    }
    records * objects
}

/// The most anonymous memory that the replay has, in kB.
fn peak(sandbox: &Sandbox, flags: &str, records: usize) -> u64 {
    let line = format!("replay archive --into null: --partition-key /k --json {flags}");
    let (peak, outcome) = peak_of(sandbox.start(&line));
    let report = outcome.json(0);
    assert_eq!(report["records"]["delivered"], records);
    println!("{flags}: {records} records in {} s, RssAnon at most {peak} kB", report["seconds"]);
    peak
}

/// The most anonymous memory that a process has until it ends, in kB.
pub(crate) fn peak_of(mut process: Process) -> (u64, Outcome) {
    let status = format!("/proc/{}/status", process.pid());
    let mut peak = 0;
    until("the end of the replay", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        process.has_ended().then_some(())
    });
    assert!(peak > 0);
    (peak, process.wait())
}

/// By default 320 MB pass; `scripts/memory-check` has ten gigabytes pass.
#[test]
fn what_passes_through_does_not_stay() {
    let objects = variable("RESPOOL_TEST_MEMORY_OBJECTS")
        .map_or(5, |objects| objects.to_str().unwrap().parse().unwrap());
    let sandbox = Sandbox::new();
    let records = make_large_archive(&sandbox, objects);
    for flags in ["--no-cache", "--cache-size 100MB"] {
        assert!(peak(&sandbox, flags, records) < RSS_ANON_MAX);
    }
}
