//! When there is nothing to try again, or nothing that would come out otherwise, and what to do instead.

use super::super::begun;
use super::super::directory::{self, RunGlance};
use super::super::journal::QuarantineLine;
use super::super::next::Keyless;
use super::super::report::number;
use super::again::left_of;
use crate::config::{CacheMode, RunFlags, RunSettings, StateDir};
use crate::error::Error;
use crate::record::many;

/// What to do instead of trying again what is still being tried.
pub(super) fn not_finished(state_dir: &StateDir, run: &RunGlance, lines: Vec<QuarantineLine>) -> String {
    let (id, all) = (&run.id, lines.len() as u64);
    let flags = RunFlags::new(state_dir, &run.file.tuning).go;
    let keyless = Keyless::among(lines, &run.file.settings, &run.path);
    let Some(keyless) = keyless.filter(|keyless| keyless.are_most_of(all)) else {
        return format!("run {id} is not finished: `respool resume {id}{flags}` first");
    };
    let (flag, value) = if keyless.are_arrays() {
        ("--framing", "json-array")
    } else {
        ("--partition-key", keyless.another())
    };
    let what = if keyless.are_arrays() { "the elements of its arrays" } else { "another key" };
    let another = if let Some(retried) = run.retried() {
        format!("`respool quarantine retry {retried} {flag} {value} --again{flags}` takes {what}")
    } else {
        let typed = begun::by_flags(directory::typed(&run.path), &run.file, state_dir).unwrap_or_default();
        let anew = if keyless.are_arrays() { typed.with_arrays() } else { typed.with_key(keyless.another()) };
        let anew = anew.unwrap_or_else(|| format!("respool replay … {flag} {value} --new"));
        format!("`{anew}` begins anew with {what}")
    };
    format!(
        "run {id} is not finished, has {} in quarantine, and {}: {another}, or `respool resume {id}{flags}` first",
        number(all),
        keyless.of_them()
    )
}

/// Records that have no key where it is looked for have none there the next time either.
pub(super) fn refuse_the_same_key(
    state_dir: &StateDir,
    wished: &RunSettings,
    run: &RunGlance,
    lines: Vec<QuarantineLine>,
) -> Result<(), Error> {
    let before = &run.file.settings;
    let how = |settings: &RunSettings| {
        (settings.partition_key.clone(), settings.key_fallback, settings.input.decoding.framing)
    };
    if how(wished) != how(before) {
        return Ok(());
    }
    let all = lines.len() as u64;
    let Some(keyless) = Keyless::among(lines, before, &run.path).filter(|found| found.records == all) else {
        return Ok(());
    };
    let online = if run.file.tuning.cache.mode == CacheMode::Offline { " --online" } else { "" };
    let (id, go) = (&run.id, RunFlags::new(state_dir, &run.file.tuning).go);
    let instead = if keyless.are_arrays() {
        format!("say how they are framed: `respool quarantine retry {id} --framing json-array{online}{go}`")
    } else {
        let key = keyless.another();
        format!(
            "name another one: `respool quarantine retry {id} --partition-key {key}{online}{go}`, or --key-fallback hash"
        )
    };
    Err(Error::refused(format!(
        "all {} were set aside because of their partition key, and would be again: {}; {instead}",
        many(all, "record"),
        keyless.of_them(),
    )))
}

/// What was tried again already would be set aside once more: whoever has mended it names `run`.
pub(super) fn tried_in_vain(state_dir: &StateDir, run: &RunGlance) -> Error {
    let (id, RunFlags { look, go }) = (&run.id, RunFlags::new(state_dir, &run.file.tuning));
    Error::refused(format!(
        "run {id} has tried again what is left in quarantine, and it would be set aside once more: `respool quarantine ls {id}{look}` \
         says what has to be mended; then `respool quarantine retry {id}{go}` sends it"
    ))
}

/// What was tried again once would be sent twice, and counted by nobody: `earlier` has taken the last of it.
pub(super) fn nothing_left(state_dir: &StateDir, earlier: &RunGlance) -> Error {
    let id = &earlier.id;
    let flags = RunFlags::new(state_dir, &earlier.file.tuning).go;
    Error::refused(if earlier.is_unfinished() {
        format!("run {id} tries that already: `respool resume {id}{flags}` goes on with it")
    } else if left_of(state_dir, earlier).is_ok_and(|left| left.is_empty()) {
        format!("run {id} has tried that, and nothing of it is left. --again sends all of it once more")
    } else {
        format!(
            "run {id} has tried that; what it could not send is in its own quarantine (`respool quarantine retry {id}{flags}`). \
             --again sends all of it once more"
        )
    })
}
