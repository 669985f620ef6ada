//! What is to be typed next, when a run has ended and something is left to do.
//!
//! Most of what goes wrong is a key: records that have none where it is looked for are set aside, a run that sets
//! aside most of what it reads is stopped, and to resume it would set aside the rest. So the records in quarantine
//! are asked what they have instead.

mod another_try;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub(super) use self::another_try::{AnotherTry, Does, Place, Try};
use super::flood::Flood;
use super::journal::QuarantineLine;
use super::quarantine;
use super::remedy;
use super::report::number;
use crate::config::{RunFlags, RunSettings, Typed};
use crate::error::ExitCode;
use crate::record::{agree, many};
use crate::route::candidates::candidates;
use crate::route::key::KeyFault;
use crate::shown::shown;

/// A key that stands for the right one where nobody can guess it.
const ANY_KEY: &str = "/POINTER";
/// Reasons of records that lie in what `--partition-key` says.
pub(crate) const KEY_FAULTS: [KeyFault; 6] = [
    KeyFault::Missing,
    KeyFault::Null,
    KeyFault::Empty,
    KeyFault::Container,
    KeyFault::TooLong,
    KeyFault::InvalidJson,
];

/// A command, and what it is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NextStep {
    /// What to type.
    pub command: String,
    /// What for.
    pub why: String,
}

impl NextStep {
    fn new(why: impl Into<String>, command: String) -> Self {
        Self { command, why: why.into() }
    }
}

/// The records in quarantine that have no key where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyless {
    /// How many.
    pub records: u64,
    /// How many of them have no such field.
    missing: u64,
    first: QuarantineLine,
    key: String,
    meant: Option<String>,
    /// How many of them are objects of their own that may hold the records in an array.
    arrays: u64,
}

impl Keyless {
    /// Those among `lines`, of the run in `directory`; `None` if there are none.
    pub fn among(
        lines: impl IntoIterator<Item = QuarantineLine>,
        settings: &RunSettings,
        directory: &Path,
    ) -> Option<Self> {
        let fault = |line: &QuarantineLine| {
            line.record?;
            KEY_FAULTS.into_iter().find(|fault| fault.as_str() == line.reason)
        };
        let (mut records, mut missing, mut arrays) = (0, 0, 0);
        let (mut first, mut first_array) = (None, None);
        for line in lines {
            let Some(fault) = fault(&line) else { continue };
            let is_array = remedy::is_array(&line, settings.input.decoding);
            records += 1;
            missing += u64::from(fault == KeyFault::Missing);
            arrays += u64::from(is_array);
            if is_array { &mut first_array } else { &mut first }.get_or_insert(line);
        }
        let key = settings.partition_key.as_ref()?.to_string();
        let record = first.as_ref().and_then(|first| quarantine::bytes(directory, first).ok());
        let fields = candidates(&record.unwrap_or_default());
        let meant = meant(&key, fields.iter().map(|candidate| candidate.pointer.to_string()));
        Some(Self { records, missing, first: first.or(first_array)?, key, meant, arrays })
    }

    /// Whether each of them may hold the records in an array.
    pub(super) fn are_arrays(&self) -> bool {
        self.arrays == self.records
    }

    /// Whether they are most of what was set aside, so that their key is the cause.
    pub fn are_most_of(&self, set_aside: u64) -> bool {
        self.records * 2 > set_aside
    }

    /// `no record of 12,288 has /tailnm (is /tailnum meant?)`, if `of` so many records these have no key.
    pub fn sentence(&self, of: u64) -> String {
        let (records, key, meant) = (number(self.records), shown(&self.key), self.question());
        if self.records == of && self.missing == self.records {
            format!("no record of {} has {key}{meant}", number(of))
        } else {
            let have = agree(self.records, "has", "have");
            format!("{records} of {} {have} no key at {key}{meant}", many(of, "record"))
        }
    }

    /// `100 of them have no key at /tailnm (is /tailnum meant?)`, behind the number of those that were set aside.
    pub fn of_them(&self) -> String {
        let (records, key) = (number(self.records), shown(&self.key));
        let have = agree(self.records, "has", "have");
        format!("{records} of them {have} no key at {key}{}", self.question())
    }

    fn question(&self) -> String {
        if self.are_arrays() {
            return " (are the records the elements of an array? Then --framing json-array takes them apart)"
                .to_owned();
        }
        self.meant.as_ref().map(|meant| format!(" (is {meant} meant?)")).unwrap_or_default()
    }

    /// The key that was meant, as it seems.
    pub fn meant(&self) -> Option<&str> {
        self.meant.as_deref()
    }

    /// The same, or what stands for it.
    pub fn another(&self) -> &str {
        self.meant.as_deref().unwrap_or(ANY_KEY)
    }

    fn show(&self, Outcome { id, flags, .. }: &Outcome<'_>, why: String) -> NextStep {
        let record = self.first.record.unwrap_or_default();
        let command = format!("respool quarantine show {}:{record} {id}{}", self.first.object, flags.look);
        NextStep::new(why, command)
    }
}

/// The pointer that was mistyped as `key`, as it seems: another spelling, or another depth.
pub fn meant(key: &str, pointers: impl Iterator<Item = String>) -> Option<String> {
    let spelt = |pointer: &str| {
        let (key, pointer) = (key.to_lowercase(), pointer.to_lowercase());
        if pointer.ends_with(&key) || key.ends_with(&pointer) { 0 } else { distance(&key, &pointer) }
    };
    let plain = |pointer: &String| pointer.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.~".contains(c));
    let nearest = pointers.filter(plain).min_by_key(|pointer| spelt(pointer))?;
    (spelt(&nearest) <= key.len() / 3).then_some(nearest)
}

/// Letters to be put in, left out, changed or swapped with the next until one text is the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    let (mut before, mut previous) = (row.clone(), None);
    for (above, letter) in one.chars().enumerate() {
        let mut next = vec![above + 1];
        for (at, wanted) in other.iter().enumerate() {
            let of = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let changed = of(&row, at) + usize::from(letter != *wanted);
            let mut least = changed.min(of(&next, at) + 1).min(of(&row, at + 1) + 1);
            let swapped = at
                .checked_sub(1)
                .filter(|&left| previous == Some(*wanted) && other.get(left) == Some(&letter));
            if let Some(left) = swapped {
                least = least.min(of(&before, left) + 1);
            }
            next.push(least);
        }
        (before, row, previous) = (row, next, Some(letter));
    }
    row.last().copied().unwrap_or_default()
}

/// How a run has ended.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// Its name.
    pub id: &'a str,
    /// What a command about it has to say beside.
    pub flags: &'a RunFlags,
    /// Whether what comes next needs the archive, which the run was told not to ask.
    pub online: bool,
    /// As the process tells it.
    pub code: ExitCode,
    /// Whether everything is settled.
    pub done: bool,
    /// Records that are in the stream.
    pub delivered: u64,
    /// Records that were asked for their key.
    pub routed: u64,
    /// What was set aside, records and objects.
    pub set_aside: u64,
    /// Broken objects among it, of which the whole records before the damage can still be sent.
    pub salvageable: u64,
    /// Whole objects among it that are not the arrays that they were taken for.
    pub misframed: u64,
    /// Entries among it for which something has to be mended first.
    pub mended: u64,
    /// Whether what was delivered can be read again.
    pub readable: bool,
    /// Why it was stopped, if it set aside too much.
    pub flood: Option<Flood>,
    /// The records without a key.
    pub keyless: Option<&'a Keyless>,
    /// The command that began it, by flags that can be said otherwise.
    pub typed: Option<&'a Typed>,
}

impl Outcome<'_> {
    /// What a command says beside that asks the archive.
    fn flags_to_archive(&self) -> String {
        let online = if self.online { " --online" } else { "" };
        format!("{online}{}", self.flags.go)
    }

    fn another_try(&self) -> AnotherTry<'_> {
        let Self { id, online, delivered, set_aside, salvageable, misframed, mended, keyless, typed, .. } =
            *self;
        let go = &self.flags.go;
        AnotherTry { id, go, online, delivered, set_aside, salvageable, misframed, mended, keyless, typed }
    }
}

/// What to type, in this order.
pub fn steps(outcome: &Outcome<'_>) -> Vec<NextStep> {
    let Outcome { id, flags, code, done, set_aside, readable, flood, .. } = *outcome;
    let RunFlags { look, go } = flags;
    let keyless = outcome.keyless.filter(|keyless| keyless.are_most_of(set_aside));
    let mut steps = Vec::new();
    if done && code == ExitCode::Differs && readable {
        steps.push(NextStep::new("see what differs", format!("respool verify {id}{go}")));
    }
    if set_aside == 0 || !done && flood.is_none() {
        if !done {
            steps.push(NextStep::new("go on", format!("respool resume {id}{}", outcome.flags_to_archive())));
        }
        return steps;
    }
    let Some(keyless) = keyless else {
        steps.push(NextStep::new("see what was set aside", format!("respool quarantine ls {id}{look}")));
        match flood {
            None => steps.extend(outcome.another_try().tries().into_iter().map(NextStep::from)),
            Some(flood) => steps.push(go_on(outcome, flood)),
        }
        return steps;
    };
    match flood {
        None => {
            steps.push(keyless.show(outcome, format!("{}; see one", keyless.sentence(outcome.routed))));
            steps.extend(outcome.another_try().tries().into_iter().map(NextStep::from));
        }
        // The reason why it was stopped says the same already.
        Some(flood) => {
            steps.push(keyless.show(outcome, "see a record that has no key there".to_owned()));
            steps.extend(outcome.another_try().anew().map(NextStep::from));
            steps.push(go_on(outcome, flood));
        }
    }
    steps
}

/// Whoever resumes means it.
fn go_on(Outcome { id, flags, .. }: &Outcome<'_>, flood: Flood) -> NextStep {
    let bound = if matches!(flood, Flood::Bound { .. }) { " --max-quarantine COUNT" } else { "" };
    let command = format!("respool resume {id}{bound}{}", flags.go);
    NextStep::new("or go on, and set aside all that are like it", command)
}

#[cfg(test)]
mod tests;
