//! `respool cache`: what lies in the cache, whether it is whole, and how to be rid of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use super::report::number;
use super::{console, select};
use crate::archive::layout::Layout;
use crate::cache::{Cache, Removed, SegmentCheck, SegmentId, SegmentInfo, Verified};
use crate::config::{CacheAction, CacheCommandConfig};
use crate::error::{Error, ExitCode};
use crate::record::{ByteCount, agree, many};

#[derive(Serialize)]
struct Line {
    segment: String,
    archive: String,
    key: String,
    /// By its key; empty if that tells none.
    day: String,
    decoding: String,
    bytes: u64,
    records: Option<u32>,
    last_used: String,
}

/// Carries out a cache command at `now`.
pub fn run(config: &CacheCommandConfig, now: Timestamp) -> Result<ExitCode, Error> {
    let failed = |error| {
        Error::refused(format!("cannot use the cache in {}", config.dir.display())).with_source(error)
    };
    if !Cache::is_at(&config.dir) && !select::has_listings(&config.dir) {
        return nothing_there(config);
    }
    let cache = Cache::open(&config.dir, ByteCount(u64::MAX)).map_err(failed)?;
    let json = config.output.json;
    match config.action {
        CacheAction::Ls { long } => list(&cache.ls().map_err(failed)?, json, long),
        CacheAction::Verify { full, part: (part, parts) } => {
            // The names are hashes: any four of their bytes are as good as a die.
            let die = |id: &SegmentId| u32::from_le_bytes(id.0.first_chunk().copied().unwrap_or_default());
            let verified = cache.verify(full, |id| die(id) % parts == part - 1).map_err(failed)?;
            for SegmentCheck { id, fault } in &verified.checks {
                if let Some(fault) = fault {
                    cache.discard(id, fault).map_err(failed)?;
                }
            }
            checked(&verified, json)
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
                    return Err(Error::refused(
                        "purge deletes the whole cache: say --yes (RESPOOL_YES does not)",
                    ));
                }
                if !console::ask(&question)? {
                    return Err(Error::refused("nothing was deleted"));
                }
            }
            let purged = cache.purge().map_err(failed)?;
            select::forget_listings(&config.dir)?;
            removed(purged, json)
        }
    }
}

/// What is only looked at or emptied is not made for it. Where it lies by itself it is not missed before the first run.
fn nothing_there(config: &CacheCommandConfig) -> Result<ExitCode, Error> {
    let dir = config.dir.display();
    if config.named {
        return Err(Error::usage(format!(
            "there is no cache in {dir}: name its directory with --cache-dir (a replay and `respool cache warm` make one)"
        )));
    }
    if !config.output.json {
        let text =
            format!("there is no cache in {dir} yet: the first replay, or `respool cache warm`, makes it\n");
        return console::print(&text).map(|()| ExitCode::Done);
    }
    match config.action {
        CacheAction::Ls { long } => list(&[], true, long),
        CacheAction::Verify { .. } => checked(&Verified::default(), true),
        CacheAction::Prune { .. } | CacheAction::Purge { .. } => removed(Removed::default(), true),
    }
}

fn list(segments: &[SegmentInfo], json: bool, long: bool) -> Result<ExitCode, Error> {
    let line = |info: &SegmentInfo| Line {
        segment: info.id.to_string(),
        archive: info.archive.clone(),
        key: info.key.clone(),
        day: Layout::default()
            .key_time(&info.key)
            .map(|time| time.start.strftime("%Y-%m-%d").to_string())
            .unwrap_or_default(),
        decoding: info.decoding.clone(),
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
    if !long {
        text.push_str(&by_day(&lines));
    }
    for line in lines.iter().filter(|_| long) {
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
    let _ = writeln!(text, "{}, {bytes}, {}", many(lines.len(), "segment"), many(records, "record"));
    console::print(&text).map(|()| ExitCode::Done)
}

/// A line for each archive and day.
fn by_day(lines: &[Line]) -> String {
    let mut days: BTreeMap<(&str, &str), (u64, u64, u64)> = BTreeMap::new();
    for line in lines {
        let (segments, bytes, records) = days.entry((&line.archive, &line.day)).or_default();
        *segments += 1;
        *bytes += line.bytes;
        *records += line.records.map_or(0, u64::from);
    }
    let mut text = String::new();
    for ((archive, day), (segments, bytes, records)) in days {
        let _ = writeln!(
            text,
            "{:>10} {:>12} {:>6}  {:<10}  {archive}",
            ByteCount(bytes).to_string(),
            number(records),
            number(segments),
            if day.is_empty() { "no date" } else { day }
        );
    }
    text
}

fn checked(Verified { checks, other_version }: &Verified, json: bool) -> Result<ExitCode, Error> {
    let damaged: Vec<_> = checks.iter().filter_map(|check| Some((check.id, check.fault.as_ref()?))).collect();
    let text = if json {
        let damaged: Vec<_> = damaged
            .iter()
            .map(|(id, fault)| serde_json::json!({ "segment": id.to_string(), "fault": fault.to_string() }))
            .collect();
        let found = serde_json::json!({ "segments": checks.len(), "damaged": damaged, "other_version": other_version });
        format!("{found}\n")
    } else {
        let mut text = String::new();
        for (id, fault) in &damaged {
            let _ = writeln!(text, "{id}: {fault}");
        }
        let whole = checks.len() - damaged.len();
        let _ = match damaged.len() {
            0 => writeln!(text, "{}, all whole", many(whole, "segment")),
            count => writeln!(
                text,
                "{} {} whole, {} {} damaged and removed: whoever needs {them} fetches {them} again",
                many(whole, "segment"),
                agree(whole, "is", "are"),
                number(count as u64),
                agree(count, "was", "were"),
                them = agree(count, "it", "them")
            ),
        };
        if *other_version > 0 {
            let _ = writeln!(
                text,
                "{} of another format version {} left alone: another version of respool can read {}",
                many(*other_version, "segment"),
                agree(*other_version, "is", "are"),
                agree(*other_version, "it", "them")
            );
        }
        text
    };
    console::print(&text)?;
    Ok(if damaged.is_empty() { ExitCode::Done } else { ExitCode::Differs })
}

fn removed(freed: Removed, json: bool) -> Result<ExitCode, Error> {
    let text = if json {
        format!("{}\n", serde_json::json!({ "segments": freed.segments, "bytes": freed.bytes.0 }))
    } else {
        format!("removed {}, {}\n", many(freed.segments, "segment"), freed.bytes)
    };
    console::print(&text).map(|()| ExitCode::Done)
}
