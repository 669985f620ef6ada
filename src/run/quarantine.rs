//! `respool quarantine`: what a run has set aside, the bytes of it, and another try.
//!
//! Another try ([`mod@retry`]) is a run of its own, into the same stream, of nothing but what was set aside: whole objects as they
//! are in the archive now, single records out of the objects as they were. What one retry has taken no other takes a second
//! time ([`taken`]).

pub mod again;
mod choose;
mod refusal;
mod retry;
pub mod taken;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde::Serialize;

use self::again::what_to_do;
use self::choose::{last, last_with_something_left, named, none_left};
pub use self::retry::{Retry, prepare, retry};
use super::directory::RunGlance;
use super::journal::{QUARANTINE_FILE, QuarantineLine, RECORDS_FILE, quarantine_lines};
use super::remedy::remedy;
use super::report::number;
use crate::config::{QuarantineAction, QuarantineConfig};
use crate::error::{Error, ExitCode};
use crate::record::many;
use crate::shown::shown;

/// Names that a message holds.
const NAMES_SHOWN: usize = 10;

/// Lists what a run has set aside, or shows the bytes of one record.
pub fn run(config: &QuarantineConfig) -> Result<ExitCode, Error> {
    let state_dir = &config.state_dir;
    let run = match (&config.run, &config.action) {
        (Some(id), _) => named(state_dir, id)?,
        (None, QuarantineAction::Show { .. }) => last(state_dir)?.ok_or_else(|| none_left(state_dir))?,
        (None, QuarantineAction::Ls { .. }) => {
            match last_with_something_left(state_dir, |_, left| !left.is_empty())? {
                Some(run) => run,
                None => return nothing_to_list(config),
            }
        }
    };
    match &config.action {
        QuarantineAction::Ls { limit } => {
            let (lines, limit) = (lines(&run)?, limit.unwrap_or(usize::MAX));
            let shown = lines.get(..limit).unwrap_or(&lines);
            let text = if config.output.json { json(&run, shown) } else { table(&run, &lines, limit) };
            let next =
                if config.output.json { String::new() } else { what_to_do(&config.state_dir, &run, lines)? };
            super::console::print(&(text + &next))?;
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

/// What has nothing in it is no failure.
fn nothing_to_list(config: &QuarantineConfig) -> Result<ExitCode, Error> {
    let text = if config.output.json { "[]".to_owned() } else { none_left(&config.state_dir).to_string() };
    super::console::print(&(text + "\n")).map(|()| ExitCode::Done)
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
    remedy(line, run.file.settings.input.decoding)
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
