//! What is typed next about a run's quarantine: one source for the run's own report, for `quarantine ls`, and for whatever names
//! a run with something in quarantine.

use std::fmt::Write as _;

use super::super::begun;
use super::super::directory::{self, RunGlance};
use super::super::journal::{QuarantineLine, quarantine_lines};
use super::super::next::{AnotherTry, Does, Keyless, NextStep, Place, Try};
use super::super::remedy::{self, Outlook};
use super::super::report::LeftReport;
use super::retry::wanted;
use super::taken::{retries_of, untaken};
use crate::config::{CacheMode, Decoding, RunFlags, StateDir, Typed};
use crate::error::Error;
use crate::record::many;

/// How what a run has set aside comes into a stream after all. Commands are to be printed in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// What tries it again, one after the other: each takes what the one before has left.
    pub retries: Vec<String>,
    /// What begins the run anew, where nothing of it was sent and that would do.
    pub anew: Option<String>,
    /// What lists it, and says what can be done.
    pub list: String,
    /// Entries that no retry takes.
    pub left_alone: u64,
    /// What becomes of those that one takes.
    pub doubtful: Doubtful,
}

/// What of a quarantine another try does not simply send, as numbers of entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Doubtful {
    /// All that a retry takes.
    pub tried: usize,
    /// Those among them that would be set aside again if nothing is mended before.
    pub mended: usize,
    /// Damaged objects, of which only what is whole is sent.
    pub in_part: usize,
}

impl Doubtful {
    fn of(lines: &[QuarantineLine], decoding: Decoding) -> Self {
        let tried: Vec<_> = lines.iter().filter(|line| !line.sent_in_part).collect();
        let are = |outlook| tried.iter().filter(|line| remedy::outlook(line, decoding) == outlook).count();
        Self { tried: tried.len(), mended: are(Outlook::Mended), in_part: are(Outlook::InPart) }
    }

    /// Whether all of it has to be mended first.
    #[must_use]
    pub const fn is_all_mended(&self) -> bool {
        self.mended > 0 && self.mended == self.tried
    }

    /// Whether it is damaged objects and nothing else.
    #[must_use]
    pub const fn is_all_in_part(&self) -> bool {
        self.in_part > 0 && self.in_part == self.tried
    }

    /// Whether some of it will be left.
    #[must_use]
    pub const fn leaves_some(&self) -> bool {
        self.mended + self.in_part > 0
    }
}

impl Ways {
    /// Those for what `run` has set aside and no retry has taken; the plain retry where its quarantine cannot be read. Blocks.
    #[must_use]
    pub fn of(state_dir: &StateDir, run: &RunGlance) -> Self {
        let left = || {
            let lines = quarantine_lines(&run.path).ok()?.collect();
            untaken(&retries_of(state_dir, run).ok()?, lines).ok()
        };
        let left = left().unwrap_or_default();
        let (wanted, left_alone) = wanted(&left);
        let tries = if wanted.is_empty() && !left.is_empty() {
            Vec::new()
        } else {
            Known::of(state_dir, run, &left).another_try().tries()
        };
        let that = |does: Does| {
            tries.iter().filter(move |step| step.does == does).map(|step| format!("`{}`", step.command))
        };
        let look = RunFlags::new(state_dir, &run.file.tuning).look;
        Self {
            retries: that(Does::Retry).collect(),
            anew: that(Does::Anew).next(),
            list: format!("`respool quarantine ls {}{look}`", run.id),
            left_alone: left_alone.len() as u64,
            doubtful: Doubtful::of(&left, run.file.settings.input.decoding),
        }
    }

    /// What sends it into the same stream; what begins anew, or else what lists it, where no retry does.
    #[must_use]
    pub fn commands(&self) -> String {
        let other = || self.anew.as_ref().unwrap_or(&self.list).clone();
        if self.retries.is_empty() { other() } else { self.retries.join(", then ") }
    }
}

/// What `run` has set aside and no retry of it has taken. Blocks.
pub(in crate::run) fn left_of(state_dir: &StateDir, run: &RunGlance) -> Result<Vec<QuarantineLine>, Error> {
    untaken(&retries_of(state_dir, run)?, super::lines(run)?)
}

/// What retries have left of the quarantine of the run `id`, and what to type next about it; `None` if nothing is left. Blocks.
pub(in crate::run) fn left_behind(
    state_dir: &StateDir,
    id: &str,
) -> Result<Option<(LeftReport, Vec<NextStep>)>, Error> {
    let runs = directory::glance_at_all(state_dir)?;
    let Some(run) = runs.into_iter().find(|run| run.id == id) else { return Ok(None) };
    let left = left_of(state_dir, &run)?;
    if left.is_empty() {
        return Ok(None);
    }
    let records = left.iter().filter(|line| line.record.is_some()).count() as u64;
    let counts = LeftReport { records, objects: left.len() as u64 - records };
    let tries = if wanted(&left).0.is_empty() {
        Vec::new()
    } else {
        Known::of(state_dir, &run, &left).another_try().tries()
    };
    let of = |why: &str| format!("of what is left of run {id}: {why}");
    let mut steps: Vec<_> = tries
        .into_iter()
        .filter(|step| step.does == Does::Retry)
        .map(NextStep::from)
        .map(|step| NextStep { why: of(&step.why), ..step })
        .collect();
    if steps.is_empty() {
        let look = RunFlags::new(state_dir, &run.file.tuning).look;
        steps.push(NextStep {
            command: format!("respool quarantine ls {id}{look}"),
            why: of("see what can be done"),
        });
    }
    Ok(Some((counts, steps)))
}

/// What to type next about `lines`, all that `run` has set aside.
pub(super) fn what_to_do(
    state_dir: &StateDir,
    run: &RunGlance,
    lines: Vec<QuarantineLine>,
) -> Result<String, Error> {
    let in_its_place = begun_anew(state_dir, run, lines.len())?;
    if let (true, Some(told)) = (run.is_unfinished(), &in_its_place) {
        return Ok(told.clone());
    }
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
        } else if left_of(state_dir, retry).is_ok_and(|left| left.is_empty()) {
            writeln!(text, "Run {id} has tried {what} again, and nothing of that is left")
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
    if let Some(told) = in_its_place {
        text += &told;
    } else if !wanted(&left).0.is_empty() {
        text += &told(Known::of(state_dir, run, &left).another_try().tries());
    }
    Ok(text)
}

/// What is typed instead of going on with `run`, which is not finished: what begins it anew, where it has sent nothing and what it
/// has set aside has no key where it is looked for. Blocks.
#[must_use]
pub fn instead_of_going_on(state_dir: &StateDir, run: &RunGlance) -> Option<NextStep> {
    let lines: Vec<_> = quarantine_lines(&run.path).ok()?.collect();
    Known::of(state_dir, run, &lines).another_try().anew().map(NextStep::from)
}

/// That a later run has sent the same in the place of `run`, which has sent nothing and set aside `all`, and has set aside no
/// more than that.
pub(super) fn begun_anew(state_dir: &StateDir, run: &RunGlance, all: usize) -> Result<Option<String>, Error> {
    if run.is_retry() || run.delivered_so_far() > 0 {
        return Ok(None);
    }
    let in_its_place = |other: &RunGlance| {
        other.file.started > run.file.started
            && other.file.stream == run.file.stream
            && run.chooses_as(other)
            && !other.is_unfinished()
            && other.delivered() > 0
    };
    let aside = |other: RunGlance| {
        let aside = quarantine_lines(&other.path).ok()?.take(all + 1).count();
        (aside <= all).then_some((other, aside))
    };
    let runs = directory::glance_at_all(state_dir)?;
    let newest = runs.into_iter().rev().filter(in_its_place).find_map(aside);
    Ok(newest.map(|(other, aside)| {
        let (id, look) = (&other.id, RunFlags::new(state_dir, &other.file.tuning).look);
        let rest = match aside {
            0 => String::new(),
            _ => format!("; what it could not send: respool quarantine ls {id}{look}"),
        };
        format!(
            "Run {id} was begun anew in its place and has delivered {}, so nothing is to be done about this one{rest}\n",
            many(other.delivered(), "record")
        )
    }))
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
        let typed = begun::by_flags(directory::typed(&run.path), &run.file, state_dir);
        Self { run, go, lines, keyless, typed }
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
            mended: count(&|line| remedy::outlook(line, decoding) == Outlook::Mended),
            keyless: self.keyless.as_ref(),
            typed: self.typed.as_ref(),
        }
    }
}

/// Each of `tries`, for a person.
fn told(tries: impl IntoIterator<Item = Try>) -> String {
    tries.into_iter().fold(String::new(), |mut text, Try { place, why, command, .. }| {
        let link = match place {
            Place::First => "To",
            Place::Or => "Or to",
            Place::Then => "Then to",
        };
        let _ = writeln!(text, "{link} {why}:\n  {command}");
        text
    })
}
