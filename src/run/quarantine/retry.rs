//! Another try: what of a quarantine is taken, by which flags, and into which stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::super::console;
use super::super::directory::{self, RunGlance};
use super::super::forbidden::by_archive;
use super::super::journal::{QUARANTINE_FILE, QuarantineLine};
use super::super::remedy::{self, Outlook};
use super::super::replay::{Listed, Replayed, Sources, replay_listed};
use super::choose::{last, last_with_something_left, named, none_left};
use super::lines;
use super::refusal::{not_finished, nothing_left, refuse_the_same_key, tried_in_vain};
use super::taken::{retries_of, untaken};
use crate::archive::manifest::Manifest;
use crate::archive::{Archive, ArchiveError, ArchiveLocation, Listing, ObjectEntry};
use crate::config::{Decoding, Input, ReplayConfig, RetryConfig, RunSettings, Tuning, Typed};
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
    /// What is no matter of another framing.
    others: usize,
}

/// Looks what `config` names.
pub fn prepare(config: &RetryConfig) -> Result<Retry, Error> {
    let run = meant(config)?;
    let mut lines = lines(&run)?;
    if run.is_unfinished() {
        return Err(Error::refused(not_finished(&config.state_dir, &run, lines)));
    }
    if !config.again {
        let retries = retries_of(&config.state_dir, &run)?;
        let left = untaken(&retries, lines.clone())?;
        match retries.last() {
            Some(retry) if left.is_empty() && !config.dry_run => {
                return Err(nothing_left(&config.state_dir, retry));
            }
            _ if left.is_empty() => {}
            _ => lines = left,
        }
    }
    let framing = config.framing.filter(|framing| *framing != run.file.settings.input.decoding.framing);
    let (lines, others) = match framing {
        Some(_) => read_anew(lines, run.file.settings.input.decoding),
        None => (lines, Vec::new()),
    };
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
    if config.run.is_none() && !config.again && !config.dry_run && in_vain(config, &run, &lines) {
        return Err(tried_in_vain(&config.state_dir, &run));
    }
    let replay = replay_config(config, &run);
    refuse_the_same_key(&config.state_dir, &replay.settings, &run, lines)?;
    Ok(Retry { replay, run, wanted, left_alone: left_alone_count, others: others.len() })
}

/// The run that is named; or else the last one of which a retry would take something, or could at least say why not.
fn meant(config: &RetryConfig) -> Result<RunGlance, Error> {
    let state_dir = &config.state_dir;
    let found = match &config.run {
        Some(id) => return named(state_dir, id),
        None if config.again => last(state_dir)?,
        None => {
            let takes_some = |left: &[QuarantineLine]| !wanted(left).0.is_empty();
            let mut found = last_with_something_left(state_dir, |run, left| {
                takes_some(left) && !in_vain(config, run, left)
            })?;
            if found.is_none() {
                found = last_with_something_left(state_dir, |_, left| takes_some(left))?;
            }
            match found {
                None => last_with_something_left(state_dir, |_, left| !left.is_empty())?,
                found => found,
            }
        }
    };
    found.ok_or_else(|| none_left(state_dir))
}

/// Whether `run` has tried `left` again already, and it would be set aside once more, unless somebody has mended it: who has names
/// the run.
fn in_vain(config: &RetryConfig, run: &RunGlance, left: &[QuarantineLine]) -> bool {
    let decoding = run.file.settings.input.decoding;
    let reads_otherwise = config.framing.is_some_and(|framing| framing != decoding.framing)
        || config.salvage && !decoding.salvage;
    let would_be_again = |line: &QuarantineLine| remedy::outlook(line, decoding) == Outlook::Mended;
    run.is_retry() && !reads_otherwise && left.iter().all(would_be_again)
}

/// What another framing reads anew, and the rest: objects that are seen to be framed otherwise, or else any whole object.
fn read_anew(lines: Vec<QuarantineLine>, decoding: Decoding) -> (Vec<QuarantineLine>, Vec<QuarantineLine>) {
    let is_framed_otherwise =
        |line: &QuarantineLine| remedy::is_array(line, decoding) || remedy::is_misframed(line, decoding);
    let some_are = lines.iter().any(is_framed_otherwise);
    lines
        .into_iter()
        .partition(|line| if some_are { is_framed_otherwise(line) } else { line.record.is_none() })
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
        let entry = entry(&archive, known, only).await;
        listing.objects.push(entry.map_err(|error| not_begun(archive.location(), error, &replay.typed))?);
    }
    if left_alone > 0 && !replay.output.quiet {
        let (objects, were) = (many(left_alone, "object"), agree(left_alone, "was", "were"));
        console::say(&format!("{objects} {were} sent in part before being set aside: left alone"));
    }
    if others > 0 && !replay.output.quiet {
        let (entries, wait) = (many(others, "other entry"), agree(others, "waits", "wait"));
        console::say(&format!("{entries} in quarantine {wait} for a retry without --framing"));
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
) -> Result<ObjectEntry, ArchiveError> {
    if only.as_ref().is_some_and(|only| only.iter().all(|(_, last)| *last != u32::MAX)) {
        return Ok(ObjectEntry { only: only.map(Vec::into_boxed_slice), ..known.clone() });
    }
    // What is not there any more is asked for as it was, and named in quarantine again.
    let now = archive.look_up(&known.key).await?.unwrap_or_else(|| known.clone());
    Ok(ObjectEntry { time: known.time, only: only.map(Vec::into_boxed_slice), ..now })
}

/// The archive has said no before anything was sent: where a right is missing, the same is typed once more when it is given.
fn not_begun(location: &ArchiveLocation, error: ArchiveError, typed: &Typed) -> Error {
    let is_forbidden = matches!(error, ArchiveError::Forbidden { .. });
    let (error, again) = (by_archive(location, error), typed.once_more().filter(|_| is_forbidden));
    let Some(command) = &again else { return error };
    Error::refused(format!("{error}\nNothing was sent. Once it is allowed: {command}")).with_next(again)
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
    use crate::config::FramingChoice;
    use crate::decode::NO_ARRAY;
    use crate::run::key_fields::ARRAY;

    fn line(object: u32, record: Option<u32>, reason: &str, sent_in_part: bool) -> QuarantineLine {
        let line = QuarantineLine::of(object, record, &format!("{object}.gz"), reason);
        QuarantineLine { sent_in_part, ..line }
    }

    #[test]
    fn another_framing_is_for_what_is_framed_otherwise_and_else_for_any_object() {
        let (auto, arrays) =
            (Decoding::default(), Decoding { framing: FramingChoice::JsonArray, salvage: false });
        let array =
            QuarantineLine { detail: format!("no key; {ARRAY}"), ..line(0, Some(0), "missing", false) };
        let misframed = QuarantineLine { detail: NO_ARRAY.into(), ..line(1, None, "bad_framing", false) };
        let (corrupt, keyless) = (line(2, None, "corrupt", false), line(3, Some(4), "missing", false));
        let objects = |lines: &[QuarantineLine]| lines.iter().map(|line| line.object).collect::<Vec<_>>();
        for (lines, decoding, expected, others) in [
            (vec![&array, &corrupt, &keyless], auto, vec![0], vec![2, 3]),
            (vec![&misframed, &corrupt, &keyless], arrays, vec![1], vec![2, 3]),
            (vec![&misframed, &corrupt, &keyless], auto, vec![1, 2], vec![3]),
            (vec![&keyless], auto, vec![], vec![3]),
        ] {
            let (taken, left) = read_anew(lines.into_iter().cloned().collect(), decoding);
            assert_eq!((objects(&taken), objects(&left)), (expected, others), "{decoding:?}");
        }
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
