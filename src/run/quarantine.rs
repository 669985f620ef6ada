//! `respool quarantine`: what a run has set aside, the bytes of it, and another try.
//!
//! Another try is a run of its own, into the same stream, of nothing but what was set aside: whole objects as they
//! are in the archive now, single records out of the objects as they were.

mod refusal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use self::refusal::{not_finished, refuse_the_same_key, refuse_to_retry_twice, retry_of};
use super::directory::{self, RunGlance};
use super::journal::{QUARANTINE_FILE, QuarantineLine, RECORDS_FILE, quarantine_lines};
use super::next::{AnotherTry, Keyless, NextStep};
use super::open::archive_error;
use super::remedy::{can_be_salvaged, remedy};
use super::replay::{Replayed, Sources, replay_listed};
use super::report::number;
use crate::archive::manifest::Manifest;
use crate::archive::{Archive, Listing, ObjectEntry};
use crate::config::{
    CacheMode, Input, QuarantineAction, QuarantineConfig, ReplayConfig, RetryConfig, RunFlags, RunSettings,
    StateDir, Tuning,
};
use crate::error::{Error, ExitCode};
use crate::record::{agree, many};
use crate::shown::shown;

/// Names that a message holds.
const NAMES_SHOWN: usize = 10;

/// Lists what a run has set aside, or shows the bytes of one record.
pub fn run(config: &QuarantineConfig) -> Result<ExitCode, Error> {
    let run = find(&config.state_dir, config.run.as_deref())?;
    match &config.action {
        QuarantineAction::Ls { limit } => {
            let (lines, limit) = (lines(&run)?, limit.unwrap_or(usize::MAX));
            let shown = lines.get(..limit).unwrap_or(&lines);
            super::console::print(&if config.output.json {
                json(&run, shown)
            } else {
                table(&run, &lines, limit) + &what_to_do(&config.state_dir, &run, &lines)?
            })?;
        }
        QuarantineAction::Show { object, record } => {
            let lines = lines(&run)?;
            let line = record_named(&lines, *object, *record)
                .ok_or_else(|| not_there(config, &run, &lines, *object))?;
            let bytes = bytes(&run.path, line)?;
            match io::stdout().lock().write_all(&bytes) {
                // Whoever read it has seen enough.
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(Error::incomplete("cannot write to stdout").with_source(error));
                }
                _ => {}
            }
        }
    }
    Ok(ExitCode::Done)
}

/// The run of that name, or the last one with something in quarantine.
fn find(state_dir: &StateDir, id: Option<&str>) -> Result<RunGlance, Error> {
    let mut runs = directory::glance_at_all(state_dir)?.into_iter().rev();
    let found = match id {
        Some(id) => runs.find(|run| run.id == id),
        None => runs.find(|run| lines(run).is_ok_and(|lines| !lines.is_empty())),
    };
    found.ok_or_else(|| {
        id.map_or_else(
            || Error::refused("no run has anything in quarantine"),
            |id| directory::no_such_run(state_dir, id),
        )
    })
}

fn lines(run: &RunGlance) -> Result<Vec<QuarantineLine>, Error> {
    let lines = quarantine_lines(&run.path).map_err(|error| {
        Error::refused(format!("cannot read {}", run.path.join(QUARANTINE_FILE).display())).with_source(error)
    })?;
    Ok(lines.collect())
}

/// A line, and what can be done about it.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    line: &'a QuarantineLine,
    remedy: &'static str,
}

fn json(run: &RunGlance, lines: &[QuarantineLine]) -> String {
    let listed = |line| Listed { line, remedy: remedy_of(run, line) };
    let lines: Vec<_> = lines.iter().map(listed).collect();
    serde_json::to_string_pretty(&lines).unwrap_or_default() + "\n"
}

fn remedy_of(run: &RunGlance, line: &QuarantineLine) -> &'static str {
    remedy(line, run.file.settings.input.decoding.salvage)
}

/// The record that is meant; without its number, the only one of its object.
fn record_named(lines: &[QuarantineLine], object: u32, record: Option<u32>) -> Option<&QuarantineLine> {
    let fits = |line: &&QuarantineLine| {
        line.object == object && line.record.is_some() && (record.is_none() || line.record == record)
    };
    let mut found = lines.iter().filter(fits);
    found.next().filter(|_| record.is_some() || found.next().is_none())
}

fn not_there(config: &QuarantineConfig, run: &RunGlance, lines: &[QuarantineLine], object: u32) -> Error {
    if let Some(whole) = lines.iter().find(|line| line.object == object && line.record.is_none()) {
        return Error::refused(format!(
            "object {object} ({} in {}) was set aside whole, so there are no bytes to show: {}, {}; {}",
            shown(&whole.key),
            run.file.settings.archive,
            whole.reason,
            shown(&whole.detail),
            remedy_of(run, whole)
        ));
    }
    let records: Vec<_> = lines.iter().filter(|line| line.record.is_some()).map(name).collect();
    let shown = records.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    Error::refused(match records.len().checked_sub(NAMES_SHOWN) {
        _ if records.is_empty() => {
            format!(
                "run {} has no records in quarantine, only whole objects: they are in the archive",
                run.id
            )
        }
        Some(more @ 1..) => format!(
            "that names no record in quarantine of run {}; there are {shown} and {} more (`respool quarantine ls {0}{}`)",
            run.id,
            number(more as u64),
            config.state_dir.flag()
        ),
        _ => format!("that names no record in quarantine of run {}; there are {shown}", run.id),
    })
}

/// How an entry is named: object, or object:record.
fn name(line: &QuarantineLine) -> String {
    line.record.map_or_else(|| line.object.to_string(), |record| format!("{}:{record}", line.object))
}

/// By reason, the most frequent first, of each no more than `limit` entries.
fn table(run: &RunGlance, lines: &[QuarantineLine], limit: usize) -> String {
    let mut reasons: BTreeMap<&str, Vec<&QuarantineLine>> = BTreeMap::new();
    for line in lines {
        reasons.entry(&line.reason).or_default().push(line);
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, lines)| std::cmp::Reverse(lines.len()));
    let mut text = String::new();
    for (reason, lines) in reasons {
        let _ = writeln!(text, "{reason}: {}", number(lines.len() as u64));
        let remedies: BTreeSet<&str> = lines.iter().map(|line| remedy_of(run, line)).collect();
        for remedy in remedies {
            let _ = writeln!(text, "  {remedy}");
        }
        for line in lines.iter().take(limit) {
            let (key, detail) = (shown(&line.key), shown(&line.detail));
            let _ = writeln!(text, "{:>12}  {key}  {detail}", name(line));
        }
        if let Some(more @ 1..) = lines.len().checked_sub(limit) {
            let _ = writeln!(text, "{:>12}  {} more (--limit 0 names all)", "…", number(more as u64));
        }
    }
    let objects = lines.iter().filter(|line| line.record.is_none()).count() as u64;
    let records = lines.len() as u64 - objects;
    let _ = writeln!(
        text,
        "run {}: {} and {} in quarantine",
        run.id,
        many(objects, "object"),
        many(records, "record")
    );
    text
}

/// What to type next, about all of it.
fn what_to_do(state_dir: &StateDir, run: &RunGlance, lines: &[QuarantineLine]) -> Result<String, Error> {
    let (id, flags) = (&run.id, RunFlags::new(state_dir, &run.file.tuning));
    let settings = &run.file.settings;
    let salvageable = |line: &&QuarantineLine| !settings.input.decoding.salvage && can_be_salvaged(line);
    let keyless = Keyless::among(lines.iter().cloned(), settings, &run.path);
    let typed = directory::typed(&run.path);
    let another_try = AnotherTry {
        id,
        go: &flags.go,
        online: run.file.tuning.cache.mode == CacheMode::Offline,
        delivered: run.delivered_so_far(),
        set_aside: lines.len() as u64,
        salvageable: lines.iter().filter(salvageable).count() as u64,
        keyless: keyless.as_ref(),
        typed: typed.as_ref(),
    };
    if run.is_unfinished() {
        let anew = told(another_try.anew());
        return Ok(format!(
            "{anew}Before it is tried again, the run goes on: respool resume {id}{}\n",
            flags.go
        ));
    }
    if let Some(retry) = retry_of(state_dir, run)? {
        let RunFlags { look, go } = RunFlags::new(state_dir, &retry.file.tuning);
        let (retry, unfinished) = (&retry.id, retry.is_unfinished());
        return Ok(if unfinished {
            format!("Run {retry} tries it again, and goes on by: respool resume {retry}{go}\n")
        } else {
            format!(
                "Run {retry} has tried it again; what it could not send: respool quarantine ls {retry}{look}\n"
            )
        });
    }
    if wanted(lines).0.is_empty() {
        return Ok(String::new());
    }
    Ok(told(another_try.steps()))
}

/// Each of `steps`, for a person.
fn told(steps: impl IntoIterator<Item = NextStep>) -> String {
    steps.into_iter().fold(String::new(), |mut text, NextStep { command, why }| {
        let _ = match why.strip_prefix("or ") {
            Some(why) => writeln!(text, "Or to {why}:\n  {command}"),
            None => writeln!(text, "To {why}:\n  {command}"),
        };
        text
    })
}

/// The record that `line` is about, as far as its bytes were kept.
pub(super) fn bytes(run: &Path, line: &QuarantineLine) -> Result<Vec<u8>, Error> {
    let Some(stored) = line.stored else {
        return Err(Error::refused("the bytes of this record were not kept: they are in the archive only"));
    };
    let path = run.join(RECORDS_FILE);
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(&path)?;
        file.seek(SeekFrom::Start(stored.at))?;
        let mut bytes = Vec::new();
        file.take(stored.len).read_to_end(&mut bytes)?;
        if bytes.len() as u64 == stored.len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    };
    read().map_err(|error| Error::refused(format!("cannot read {}", path.display())).with_source(error))
}

/// What is to be sent once more.
pub struct Retry {
    /// The run that it will be.
    pub replay: ReplayConfig,
    run: RunGlance,
    wanted: Wanted,
    left_alone: usize,
}

/// Looks what `config` names.
pub fn prepare(config: &RetryConfig) -> Result<Retry, Error> {
    let run = find(&config.state_dir, config.run.as_deref())?;
    let lines = lines(&run)?;
    if run.is_unfinished() {
        return Err(Error::refused(not_finished(&config.state_dir, &run, lines)));
    }
    let (wanted, left_alone) = wanted(&lines);
    let left_alone_count = left_alone.len();
    if let (true, Some(line)) = (wanted.is_empty(), left_alone.first()) {
        return Err(Error::refused(format!(
            "nothing can be tried again: {} was sent in part before it was set aside, so all of it would be sent twice",
            shown(&line.key)
        )));
    }
    if wanted.is_empty() {
        return Err(Error::refused(format!("run {} has nothing in quarantine", run.id)));
    }
    let replay = replay_config(config, &run);
    refuse_the_same_key(&config.state_dir, &replay.settings, &run, lines)?;
    if !config.again && !config.dry_run {
        refuse_to_retry_twice(&config.state_dir, &run)?;
    }
    Ok(Retry { replay, run, wanted, left_alone: left_alone_count })
}

/// Sends it, as a run of its own.
pub async fn retry(retry: Retry, now: Timestamp) -> Result<(ReplayConfig, Replayed), Error> {
    let Retry { replay, run, wanted, left_alone } = retry;
    let sources = Sources::open(&replay.settings, &replay.tuning).await?;
    let archive = sources.archive().ok_or_else(|| {
        Error::usage("a retry asks the archive, and the run was begun with --offline: say --online")
    })?;
    let before = directory::read_manifest(&run.path)?;
    let mut listing = Listing::default();
    for (object, only) in wanted {
        let known =
            before.object(object).ok_or_else(|| Error::refused("the quarantine names an unknown object"))?;
        listing.objects.push(entry(&archive, known, only).await?);
    }
    if left_alone > 0 && !replay.output.quiet {
        let (objects, were) = (many(left_alone, "object"), agree(left_alone, "was", "were"));
        super::console::say(&format!("{objects} {were} sent in part before being set aside: left alone"));
    }
    let manifest = Manifest::freeze(before.archive.clone(), before.selection.clone(), listing)
        .map_err(|error| Error::refused(error.to_string()))?;
    let replayed = replay_listed(&replay, now, sources, manifest, Some(&run)).await?;
    Ok((replay, replayed))
}

/// A whole object as it is now; single records of it as it was.
async fn entry(
    archive: &Arc<dyn Archive>,
    known: &ObjectEntry,
    only: Option<Vec<(u32, u32)>>,
) -> Result<ObjectEntry, Error> {
    if only.as_ref().is_some_and(|only| only.iter().all(|(_, last)| *last != u32::MAX)) {
        return Ok(ObjectEntry { only: only.map(Vec::into_boxed_slice), ..known.clone() });
    }
    // What is not there any more is asked for as it was, and named in quarantine again.
    let now = archive.look_up(&known.key).await.map_err(archive_error)?.unwrap_or_else(|| known.clone());
    Ok(ObjectEntry { time: known.time, only: only.map(Vec::into_boxed_slice), ..now })
}

type Wanted = BTreeMap<u32, Option<Vec<(u32, u32)>>>;

/// By object what is to be sent, and the objects of which a part was sent before.
fn wanted(lines: &[QuarantineLine]) -> (Wanted, Vec<&QuarantineLine>) {
    let (mut wanted, mut left_alone): (Wanted, _) = (BTreeMap::new(), Vec::new());
    for line in lines {
        match line.record {
            None if line.sent_in_part => left_alone.push(line),
            None => drop(wanted.insert(line.object, None)),
            Some(record) => {
                let last = if line.reason == "salvaged" { u32::MAX } else { record };
                if let Some(only) = wanted.entry(line.object).or_insert_with(|| Some(Vec::new())) {
                    only.push((record, last));
                }
            }
        }
    }
    for only in wanted.values_mut().flatten() {
        only.sort_unstable();
        // One behind the other they are one range; one without an end stays apart, since it asks for the object anew.
        only.dedup_by(|next, before| {
            let joins = next.0 <= before.1.saturating_add(1) && next.1 != u32::MAX && before.1 != u32::MAX;
            if joins {
                before.1 = before.1.max(next.1);
            }
            joins || next == before
        });
    }
    (wanted, left_alone)
}

fn replay_config(config: &RetryConfig, run: &RunGlance) -> ReplayConfig {
    let RunSettings { input, partition_key, key_fallback, .. } = run.file.settings.clone();
    let mut decoding = input.decoding;
    decoding.salvage |= config.salvage;
    let settings = RunSettings {
        input: Input { objects: Some(run.path.join(QUARANTINE_FILE)), decoding, ..input },
        partition_key: config.partition_key.clone().or(partition_key),
        key_fallback: config.key_fallback.or(key_fallback),
        limit: None,
        ..run.file.settings.clone()
    };
    let mut typed = config.typed.clone();
    if config.run.is_none() {
        // The last run with something in quarantine may be another one by then.
        typed.words.push(run.id.clone());
    }
    let tuning: Tuning = config.changes.clone().apply(run.file.tuning.clone());
    ReplayConfig {
        settings,
        tuning,
        state_dir: config.state_dir.clone(),
        create: None,
        firehose: config.firehose.clone(),
        dry_run: config.dry_run,
        new_run: true,
        yes: config.yes,
        output: config.output,
        allow_loop: config.allow_loop || run.file.allow_loop,
        plan: None,
        typed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(object: u32, record: Option<u32>, reason: &str, sent_in_part: bool) -> QuarantineLine {
        let (key, detail) = (format!("{object}.gz"), String::new());
        let reason = reason.to_owned();
        QuarantineLine { object, record, key, reason, detail, offset: None, stored: None, sent_in_part }
    }

    #[test]
    fn another_try_takes_what_was_set_aside_and_nothing_that_was_sent() {
        let lines = [
            line(0, None, "corrupt", false),
            line(1, Some(7), "missing", false),
            line(1, Some(3), "too_large", false),
            line(1, Some(4), "null", false),
            line(1, Some(3), "too_large", false),
            line(2, Some(8), "missing", false),
            line(2, Some(9), "salvaged", false),
            line(3, None, "changed", true),
        ];
        let (wanted, left_alone) = wanted(&lines);
        let expected: Wanted = BTreeMap::from([
            (0, None),
            (1, Some(vec![(3, 4), (7, 7)])),
            (2, Some(vec![(8, 8), (9, u32::MAX)])),
        ]);
        assert_eq!((wanted, left_alone.len()), (expected, 1));
    }
}
