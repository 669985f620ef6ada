//! `respool cache`: what lies in the cache, whether it is whole, and how to be rid of it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::console;
use super::report::number;
use crate::cache::{Cache, SegmentInfo};
use crate::config::{CacheAction, CacheCommandConfig};
use crate::error::{Error, ExitCode};
use crate::record::ByteCount;

#[derive(Serialize)]
struct Line {
    segment: String,
    archive: String,
    key: String,
    bytes: u64,
    records: u32,
    last_used: String,
}

/// Carries out a cache command at `now`.
pub fn run(config: &CacheCommandConfig, now: Timestamp) -> Result<ExitCode, Error> {
    let failed = |error| {
        Error::refused(format!("cannot use the cache in {}", config.dir.display())).with_source(error)
    };
    let cache = Cache::open(&config.dir).map_err(failed)?;
    let json = config.output.json;
    match config.action {
        CacheAction::Ls => list(&cache.ls().map_err(failed)?, json),
        CacheAction::Verify => {
            let result = cache.verify().map_err(failed)?;
            let text = if json {
                format!("{}\n", serde_json::json!({ "whole": result.whole, "damaged": result.damaged }))
            } else {
                format!(
                    "{} segments are whole, {} were damaged and are removed: they are fetched again when needed\n",
                    number(result.whole),
                    number(result.damaged)
                )
            };
            console::print(&text)?;
            Ok(if result.damaged == 0 { ExitCode::Done } else { ExitCode::Differs })
        }
        CacheAction::Prune { older_than, to_size } => {
            let before = older_than.and_then(|age| now.checked_sub(age).ok());
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
        archive: info.label.archive.clone(),
        key: info.label.key.clone(),
        bytes: info.bytes.0,
        records: info.records,
        last_used: info.last_used.to_string(),
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
            "{size:>10} {:>12}  {:<20.20}  {} {}",
            number(u64::from(line.records)),
            line.last_used,
            line.archive.escape_debug(),
            line.key.escape_debug()
        );
    }
    let bytes = ByteCount(lines.iter().map(|line| line.bytes).sum());
    let records: u64 = lines.iter().map(|line| u64::from(line.records)).sum();
    let _ = writeln!(text, "{} segments, {bytes}, {} records", number(lines.len() as u64), number(records));
    console::print(&text).map(|()| ExitCode::Done)
}

fn removed(freed: crate::cache::Freed, json: bool) -> Result<ExitCode, Error> {
    let text = if json {
        format!("{}\n", serde_json::json!({ "segments": freed.segments, "bytes": freed.bytes.0 }))
    } else {
        format!("removed {} segments, {}\n", number(freed.segments), freed.bytes)
    };
    console::print(&text).map(|()| ExitCode::Done)
}
