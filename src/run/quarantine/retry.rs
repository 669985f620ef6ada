//! Another try: what of a quarantine is taken, by which flags, and into which stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::console;
use super::super::directory::{self, RunGlance};
use super::super::journal::{QUARANTINE_FILE, QuarantineLine};
use super::super::open::archive_error;
use super::super::remedy;
use super::super::replay::{Listed, Replayed, Sources, replay_listed};
use super::refusal::{not_finished, nothing_left, refuse_the_same_key};
use super::taken::{retries_of, untaken};
use super::{find, lines};
use crate::archive::manifest::Manifest;
use crate::archive::{Archive, Listing, ObjectEntry};
use crate::config::{Input, ReplayConfig, RetryConfig, RunSettings, Tuning};
use crate::error::Error;
use crate::record::{agree, many};
use crate::shown::shown;

/// What is to be sent once more.
pub struct Retry {
    /// The run that it will be.
    pub replay: ReplayConfig,
    run: RunGlance,
    wanted: Wanted,
    /// Objects that were sent in part.
    left_alone: usize,
    /// What another framing does not read.
    others: usize,
}

/// Looks what `config` names.
pub fn prepare(config: &RetryConfig) -> Result<Retry, Error> {
    let run = find(&config.state_dir, config.run.as_deref())?;
    let mut lines = lines(&run)?;
    if run.is_unfinished() {
        return Err(Error::refused(not_finished(&config.state_dir, &run, lines)));
    }
    if !config.again {
        let retries = retries_of(&config.state_dir, &run)?;
        let left = untaken(&retries, lines.clone())?;
        match retries.last() {
            Some(retry) if wanted(&left).0.is_empty() && !config.dry_run => {
                return Err(nothing_left(&config.state_dir, retry));
            }
            _ if left.is_empty() => {}
            _ => lines = left,
        }
    }
    let framing = config.framing.filter(|framing| *framing != run.file.settings.input.decoding.framing);
    let (others, lines): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| framing.is_some() && !is_read_anew(line));
    let (wanted, left_alone) = if framing.is_some() { wanted_whole(&lines) } else { wanted(&lines) };
    let left_alone_count = left_alone.len();
    if let (true, Some(line)) = (wanted.is_empty(), left_alone.first()) {
        return Err(Error::refused(format!(
            "nothing can be tried again: {} was sent in part before it was set aside, so all of it would be sent twice",
            shown(&line.key)
        )));
    }
    if wanted.is_empty() && !others.is_empty() {
        return Err(Error::refused(format!(
            "run {} has set aside no whole object and no array that another framing could read: leave out --framing",
            run.id
        )));
    }
    if wanted.is_empty() {
        return Err(Error::refused(format!("run {} has nothing in quarantine", run.id)));
    }
    let replay = replay_config(config, &run);
    refuse_the_same_key(&config.state_dir, &replay.settings, &run, lines)?;
    Ok(Retry { replay, run, wanted, left_alone: left_alone_count, others: others.len() })
}

/// Whether another framing reads anew what `line` is about: an object without a record that counts.
fn is_read_anew(line: &QuarantineLine) -> bool {
    line.record.is_none() || remedy::is_array(line)
}

/// Sends it, as a run of its own.
pub async fn retry(retry: Retry, now: Timestamp) -> Result<(ReplayConfig, Replayed), Error> {
    let Retry { replay, run, wanted, left_alone, others } = retry;
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
        console::say(&format!("{objects} {were} sent in part before being set aside: left alone"));
    }
    if others > 0 && !replay.output.quiet {
        let (entries, wait) = (many(others, "record"), agree(others, "waits", "wait"));
        console::say(&format!("{entries} that another framing does not read {wait} for another retry"));
    }
    let manifest = Manifest::freeze(before.archive.clone(), before.selection.clone(), listing)
        .map_err(|error| Error::refused(error.to_string()))?;
    let replayed = replay_listed(&replay, now, sources, manifest, Listed::Retry(&run)).await?;
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

/// The same where another framing reads all of each object anew.
fn wanted_whole(lines: &[QuarantineLine]) -> (Wanted, Vec<&QuarantineLine>) {
    let (mut wanted, left_alone) = wanted(lines);
    for only in wanted.values_mut() {
        *only = None;
    }
    (wanted, left_alone)
}

/// By object what is to be sent, and the objects of which a part was sent before.
pub(super) fn wanted(lines: &[QuarantineLine]) -> (Wanted, Vec<&QuarantineLine>) {
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
    decoding.framing = config.framing.unwrap_or(decoding.framing);
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
