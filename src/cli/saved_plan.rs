//! A saved plan beside what was typed: flags may add to it, and may not contradict it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use clap::ArgMatches;
use clap::parser::ValueSource;
use serde::Deserialize;

use super::options::whole_path;
use crate::config::{Planned, SAVED_PLAN_VERSION, SavedPlan};
use crate::error::Error;
use crate::record::agree as numbered;

/// No plan that we wrote is larger.
const PLAN_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Flags that say which objects and records, and how they are told apart.
const SELECT_FLAGS: [&str; 16] = [
    "from",
    "until",
    "slack",
    "layout",
    "timezone",
    "include",
    "exclude",
    "objects",
    "event_time",
    "event_time_format",
    "error_output",
    "skip_archived",
    "restore",
    "framing",
    "delimiter",
    "salvage",
];

/// The flags that were given, by the command line or by a variable.
#[derive(Debug, Default)]
pub(super) struct Given {
    all: BTreeSet<String>,
    typed: BTreeSet<String>,
    /// What names the plan, if nobody has typed it, and what is to be done to do without it.
    untyped_plan: Option<(&'static str, &'static str)>,
}

impl Given {
    pub(super) fn of(matches: Option<&ArgMatches>) -> Self {
        let Some(matches) = matches else { return Self::default() };
        let by = |source: ValueSource| {
            let ids = matches.ids().map(clap::Id::as_str);
            ids.filter(move |id| matches.value_source(id) == Some(source)).map(str::to_owned)
        };
        let plan = matches.ids().map(clap::Id::as_str).find(|id| *id == "plan");
        let has_no_plan = matches.try_contains_id("no_plan").is_ok();
        let untyped_plan = match plan.and_then(|id| matches.value_source(id)) {
            Some(ValueSource::EnvVariable) if has_no_plan => {
                Some(("RESPOOL_PLAN", "unset RESPOOL_PLAN, or say --no-plan,"))
            }
            Some(ValueSource::EnvVariable) => {
                Some(("RESPOOL_PLAN", "unset RESPOOL_PLAN, or type ARCHIVE and --into,"))
            }
            Some(ValueSource::DefaultValue) if has_no_plan => {
                Some(("the configuration file", "say --no-plan"))
            }
            Some(ValueSource::DefaultValue) => Some(("the configuration file", "type ARCHIVE and --into")),
            _ => None,
        };
        let typed: BTreeSet<String> = by(ValueSource::CommandLine).collect();
        let all = by(ValueSource::EnvVariable).chain(typed.iter().cloned()).collect();
        Self { all, typed, untyped_plan }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.all.contains(id)
    }

    pub(super) fn is_typed(&self, id: &str) -> bool {
        self.typed.contains(id)
    }

    /// Says of what a plan has made of a command line that nobody has typed the plan.
    pub(super) fn blame_plan(&self, error: Error) -> Error {
        let Some((named_by, instead)) = self.untyped_plan else { return error };
        Error::usage(format!("{error}; {named_by} names the plan: {instead} to do without it"))
    }

    /// The flags among them that select objects and records.
    fn selecting(&self) -> Vec<String> {
        SELECT_FLAGS.iter().filter(|flag| self.has(flag)).map(|flag| spelled(flag)).collect()
    }

    /// The first flag on the command line that says which objects and records: a variable is set for other commands too.
    pub(super) fn typed_to_select(&self) -> Option<String> {
        SELECT_FLAGS.iter().find(|flag| self.typed.contains(**flag)).map(|flag| spelled(flag))
    }
}

fn spelled(id: &str) -> String {
    format!("--{}", id.replace('_', "-"))
}

/// Reads a plan that `respool plan --save` wrote.
pub(super) fn read(path: &Path) -> Result<SavedPlan, Error> {
    read_as("--plan", path)
}

/// The plan in the file of this name, with its whole path, unless it names a run: that is no path, and a file that is there is meant.
pub(super) fn if_named(name: &str) -> Result<Option<(String, SavedPlan)>, Error> {
    let path = Path::new(name);
    let names_run = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if names_run && !path.is_file() {
        return Ok(None);
    }
    Ok(Some((whole(path), read_as("PLAN", path)?)))
}

/// A plan that `respool plan --save` wrote, with its whole path.
pub(super) fn with_whole_path(path: &Path) -> Result<(String, SavedPlan), Error> {
    Ok((whole(path), read(path)?))
}

fn whole(path: &Path) -> String {
    whole_path(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn read_as(flag: &str, path: &Path) -> Result<SavedPlan, Error> {
    let wrong = |what: String| Error::usage(format!("{flag} {}: {what}", path.display()));
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(PLAN_BYTES_MAX).read_to_end(&mut text))
        .map_err(|error| wrong(format!("{error}; `respool plan … --save FILE` makes one")))?;
    let no_plan = |error| wrong(format!("this is no plan that `respool plan --save` wrote: {error}"));
    let Layout { version } = serde_json::from_slice(&text).map_err(no_plan)?;
    if version != SAVED_PLAN_VERSION {
        return Err(wrong(format!(
            "it has version {version}, this respool reads {SAVED_PLAN_VERSION}: make it anew with `respool plan --save`"
        )));
    }
    serde_json::from_slice(&text).map_err(no_plan)
}

/// What can be told of a plan whatever its version.
#[derive(Deserialize)]
struct Layout {
    version: u32,
}

/// What is to be done: what was planned, and what was typed where the plan leaves it open.
pub(super) fn merge(plan: &Planned, typed: Planned, given: &Given) -> Result<Planned, Error> {
    agree("ARCHIVE", given.has("archive"), &typed.archive, &plan.archive)?;
    agree("--order", given.has("order"), &typed.order.as_str(), &plan.order.as_str())?;
    if typed.aggregate && !plan.aggregate {
        return Err(Error::usage("--aggregate is not what the plan has: make a new plan, or leave it out"));
    }
    let target = choose("--into", typed.target, plan.target.as_ref())?;
    let partition_key = choose("--partition-key", typed.partition_key, plan.partition_key.as_ref())?;
    let limit = choose("--limit", typed.limit, plan.limit.as_ref())?;
    if typed.key_fallback.is_some() && typed.key_fallback != plan.key_fallback {
        return Err(Error::usage(
            "--key-fallback is not what the plan has: make a new plan, or leave it out",
        ));
    }
    let flags = given.selecting();
    if !flags.is_empty() && typed.input != plan.input {
        let [selects, planned] = [&typed.input, &plan.input].map(|input| input.selection.to_string());
        let how = if selects == planned {
            format!("{} {} not what the plan has", flags.join(", "), numbered(flags.len(), "is", "are"))
        } else {
            format!("the flags select {selects}, the plan {planned}")
        };
        return Err(Error::usage(format!("{how}: make a new plan, or leave them out")));
    }
    Ok(Planned { target, limit, partition_key, ..plan.clone() })
}

fn agree<T: PartialEq + Display>(flag: &str, given: bool, typed: &T, planned: &T) -> Result<(), Error> {
    if given && typed != planned { Err(contradiction(flag, typed, planned)) } else { Ok(()) }
}

/// Either, or both if they are the same.
pub(super) fn choose<T: PartialEq + Display + Clone>(
    flag: &str,
    typed: Option<T>,
    planned: Option<&T>,
) -> Result<Option<T>, Error> {
    match (typed, planned) {
        (Some(typed), Some(planned)) if typed != *planned => Err(contradiction(flag, &typed, planned)),
        (typed, planned) => Ok(typed.or_else(|| planned.cloned())),
    }
}

fn contradiction(flag: &str, typed: &impl Display, planned: &impl Display) -> Error {
    Error::usage(format!("{flag} is {typed}, the plan says {planned}: make a new plan, or leave it out"))
}
