//! What is typed next about a run's quarantine: one source for the run's own report, for `quarantine ls`, and for whatever names
//! a run with something in quarantine.

use std::fmt::Write as _;

use super::super::directory::{self, RunGlance};
use super::super::journal::{QuarantineLine, quarantine_lines};
use super::super::next::{AnotherTry, Keyless, NextStep};
use super::super::remedy;
use super::retry::wanted;
use super::taken::{retries_of, untaken};
use crate::config::{CacheMode, RunFlags, StateDir, Typed};
use crate::error::Error;
use crate::record::many;

/// What tries again what `run` has set aside and no retry has taken, the best first; the plain command where its quarantine
/// cannot be read. Blocks.
#[must_use]
pub fn steps(state_dir: &StateDir, run: &RunGlance) -> Vec<NextStep> {
    let left = || {
        let lines = quarantine_lines(&run.path).ok()?.collect();
        untaken(&retries_of(state_dir, run).ok()?, lines).ok()
    };
    let left = left().unwrap_or_default();
    if !left.is_empty() && wanted(&left).0.is_empty() {
        return Vec::new();
    }
    Known::of(state_dir, run, &left).another_try().steps()
}

/// The first of the [`steps`] that sends it into the same stream and begins nothing anew, to be printed in a sentence. What no
/// retry takes is listed instead.
#[must_use]
pub fn retry_command(state_dir: &StateDir, run: &RunGlance) -> String {
    let steps = steps(state_dir, run);
    let retry = steps.iter().find(|step| step.command.contains("quarantine retry ")).or(steps.first());
    let list =
        || format!("respool quarantine ls {}{}", run.id, RunFlags::new(state_dir, &run.file.tuning).look);
    format!("`{}`", retry.map_or_else(list, |step| step.command.clone()))
}

/// The command that begins the run anew, where nothing of it was sent and that would do; to be printed in a sentence.
#[must_use]
pub fn anew_command(state_dir: &StateDir, run: &RunGlance) -> Option<String> {
    let steps = steps(state_dir, run);
    let anew = steps.iter().find(|step| !step.command.contains("quarantine retry "))?;
    Some(format!("`{}`", anew.command))
}

/// What to type next about `lines`, all that `run` has set aside.
pub(super) fn what_to_do(
    state_dir: &StateDir,
    run: &RunGlance,
    lines: Vec<QuarantineLine>,
) -> Result<String, Error> {
    if run.is_unfinished() {
        let anew = told(Known::of(state_dir, run, &lines).another_try().anew());
        let (id, go) = (&run.id, RunFlags::new(state_dir, &run.file.tuning).go);
        return Ok(format!("{anew}Before it is tried again, the run goes on: respool resume {id}{go}\n"));
    }
    let (retries, all) = (retries_of(state_dir, run)?, lines.len());
    let left = untaken(&retries, lines)?;
    let mut text = String::new();
    for retry in &retries {
        let RunFlags { look, go } = RunFlags::new(state_dir, &retry.file.tuning);
        let (id, what) = (&retry.id, if left.is_empty() { "it" } else { "some of it" });
        let _ = if retry.is_unfinished() {
            writeln!(text, "Run {id} tries {what} again, and goes on by: respool resume {id}{go}")
        } else {
            writeln!(
                text,
                "Run {id} has tried {what} again; what it could not send: respool quarantine ls {id}{look}"
            )
        };
    }
    if !text.is_empty() && !left.is_empty() {
        let _ = writeln!(text, "Not tried again yet: {} of {}.", left.len(), many(all, "entry"));
    }
    if !wanted(&left).0.is_empty() {
        text += &told(Known::of(state_dir, run, &left).another_try().steps());
    }
    Ok(text)
}

/// What is known of lines that may be tried again.
struct Known<'a> {
    run: &'a RunGlance,
    go: String,
    lines: &'a [QuarantineLine],
    keyless: Option<Keyless>,
    typed: Option<Typed>,
}

impl<'a> Known<'a> {
    fn of(state_dir: &StateDir, run: &'a RunGlance, lines: &'a [QuarantineLine]) -> Self {
        let keyless = Keyless::among(lines.iter().cloned(), &run.file.settings, &run.path);
        let go = RunFlags::new(state_dir, &run.file.tuning).go;
        Self { run, go, lines, keyless, typed: directory::typed(&run.path) }
    }

    fn another_try(&self) -> AnotherTry<'_> {
        let (file, decoding) = (&self.run.file, self.run.file.settings.input.decoding);
        let count = |fits: &dyn Fn(&QuarantineLine) -> bool| {
            self.lines.iter().filter(|line| fits(line)).count() as u64
        };
        AnotherTry {
            id: &self.run.id,
            go: &self.go,
            online: file.tuning.cache.mode == CacheMode::Offline,
            delivered: self.run.delivered_so_far(),
            set_aside: self.lines.len() as u64,
            salvageable: count(&|line| remedy::wants_salvage(line, decoding)),
            misframed: count(&|line| remedy::is_misframed(line, decoding)),
            keyless: self.keyless.as_ref(),
            typed: self.typed.as_ref(),
        }
    }
}

/// Each of `steps`, for a person.
fn told(steps: impl IntoIterator<Item = NextStep>) -> String {
    steps.into_iter().fold(String::new(), |mut text, NextStep { command, why }| {
        let _ = match (why.strip_prefix("or "), why.strip_prefix("then ")) {
            (Some(why), _) => writeln!(text, "Or to {why}:\n  {command}"),
            (_, Some(why)) => writeln!(text, "Then to {why}:\n  {command}"),
            _ => writeln!(text, "To {why}:\n  {command}"),
        };
        text
    })
}
