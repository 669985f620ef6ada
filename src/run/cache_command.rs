//! `respool cache`: what lies in the cache, whether it is whole, and how to be rid of it.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use super::console;
use super::report::number;
use crate::cache::{Cache, Removed, SegmentCheck, SegmentInfo};
use crate::config::{CacheAction, CacheCommandConfig};
use crate::error::{Error, ExitCode};
use crate::record::ByteCount;

#[derive(Serialize)]
struct Line {
    segment: String,
    archive: String,
    key: String,
    bytes: u64,
    records: Option<u32>,
    last_used: String,
}

/// Carries out a cache command at `now`.
pub fn run(config: &CacheCommandConfig, now: Timestamp) -> Result<ExitCode, Error> {
    let failed = |error| {
        Error::refused(format!("cannot use the cache in {}", config.dir.display())).with_source(error)
    };
    let cache = Cache::open(&config.dir, ByteCount(u64::MAX)).map_err(failed)?;
    let json = config.output.json;
    match config.action {
        CacheAction::Ls => list(&cache.ls().map_err(failed)?, json),
        CacheAction::Verify => {
            let checks = cache.verify(true).map_err(failed)?;
            verified(&checks, json)
        }
        CacheAction::Prune { older_than, to_size } => {
            let before = older_than.and_then(|age| now.checked_sub(age).ok()).map(SystemTime::from);
            removed(cache.prune(before, to_size).map_err(failed)?, json)
        }
        CacheAction::Purge { yes } => {
            if !yes {
                let usage = cache.usage();
                let question = format!("Delete {} in {}? [y/N] ", usage.bytes, config.dir.display());
                if !config.output.can_ask {
                    return Err(Error::refused("purge deletes the whole cache: say --yes"));
                }
                if !console::ask(&question)? {
                    return Err(Error::refused("nothing was deleted"));
                }
            }
            removed(cache.purge().map_err(failed)?, json)
        }
    }
}

fn list(segments: &[SegmentInfo], json: bool) -> Result<ExitCode, Error> {
    let line = |info: &SegmentInfo| Line {
        segment: info.id.to_string(),
        archive: info.archive.clone(),
        key: info.key.clone(),
        bytes: info.bytes.0,
        records: info.records,
        last_used: Timestamp::try_from(info.last_used)
            .unwrap_or_default()
            .strftime("%Y-%m-%dT%H:%M:%SZ")
            .to_string(),
    };
    let lines: Vec<Line> = segments.iter().map(line).collect();
    if json {
        let text = serde_json::to_string_pretty(&lines).unwrap_or_default();
        return console::print(&format!("{text}\n")).map(|()| ExitCode::Done);
    }
    let mut text = String::new();
    for line in &lines {
        let size = ByteCount(line.bytes).to_string();
        let _ = writeln!(
            text,
            "{size:>10} {:>12}  {}  {} {}",
            line.records.map_or_else(|| "?".to_owned(), |records| number(u64::from(records))),
            line.last_used,
            line.archive,
            line.key
        );
    }
    let bytes = ByteCount(lines.iter().map(|line| line.bytes).sum());
    let records: u64 = lines.iter().filter_map(|line| line.records).map(u64::from).sum();
    let _ = writeln!(text, "{} segments, {bytes}, {} records", number(lines.len() as u64), number(records));
    console::print(&text).map(|()| ExitCode::Done)
}

fn verified(checks: &[SegmentCheck], json: bool) -> Result<ExitCode, Error> {
    let damaged: Vec<_> = checks.iter().filter_map(|check| Some((check.id, check.fault.as_ref()?))).collect();
    let text = if json {
        let damaged: Vec<_> = damaged
            .iter()
            .map(|(id, fault)| serde_json::json!({ "segment": id.to_string(), "fault": fault.to_string() }))
            .collect();
        format!("{}\n", serde_json::json!({ "segments": checks.len(), "damaged": damaged }))
    } else {
        let mut text = String::new();
        for (id, fault) in &damaged {
            let _ = writeln!(text, "{id}: {fault}");
        }
        let whole = number((checks.len() - damaged.len()) as u64);
        let _ = match damaged.len() {
            0 => writeln!(text, "{whole} segments, all whole"),
            count => writeln!(
                text,
                "{whole} segments are whole, {count} damaged: a run fetches their objects again"
            ),
        };
        text
    };
    console::print(&text)?;
    Ok(if damaged.is_empty() { ExitCode::Done } else { ExitCode::Differs })
}

fn removed(freed: Removed, json: bool) -> Result<ExitCode, Error> {
    let text = if json {
        format!("{}\n", serde_json::json!({ "segments": freed.segments, "bytes": freed.bytes.0 }))
    } else {
        format!("removed {} segments, {}\n", number(freed.segments as u64), freed.bytes)
    };
    console::print(&text).map(|()| ExitCode::Done)
}
