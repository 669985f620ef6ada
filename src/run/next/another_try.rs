//! The one command that tries again what was set aside, and what is better where nothing was sent yet.
//!
//! What a retry has taken it takes no second time, so two commands for two reasons would exclude each other: whatever can be
//! done for any of them stands in the same one.

use super::{Keyless, NextStep};
use crate::config::Typed;
use crate::record::many;

/// What there is to try again, and what a command has to say for it.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) struct AnotherTry<'a> {
    /// The run.
    pub id: &'a str,
    /// What a command about it says beside that asks its services.
    pub go: &'a str,
    /// Whether the run was told not to ask the archive, which a retry does.
    pub online: bool,
    /// Records that the run has delivered.
    pub delivered: u64,
    /// What it has set aside, records and objects.
    pub set_aside: u64,
    /// Broken objects among it, of which the whole records before the damage can still be sent.
    pub salvageable: u64,
    /// The records without a key.
    pub keyless: Option<&'a Keyless>,
    /// The command that began the run.
    pub typed: Option<&'a Typed>,
}

impl AnotherTry<'_> {
    /// What to type, in this order: all of it tries the same, so one of them will do.
    pub(in crate::run) fn steps(&self) -> Vec<NextStep> {
        let Some(anew) = self.anew() else { return vec![self.retry(self.why())] };
        // To send an array by another key is never what was meant.
        if self.keyless.is_some_and(|keyless| keyless.array) {
            return vec![anew];
        }
        vec![anew, self.retry(format!("or {}", self.why()))]
    }

    /// The command that begins anew what had no key where it was looked for, as long as nothing of it would be there twice.
    pub(in crate::run) fn anew(&self) -> Option<NextStep> {
        let typed = self.typed.filter(|_| self.delivered == 0)?;
        let keyless = self.keyless.filter(|keyless| keyless.are_most_of(self.set_aside))?;
        Some(if keyless.array {
            NextStep::new("begin anew, each element of an array a record", typed.with_arrays()?)
        } else {
            NextStep::new("begin anew with another key", typed.with_key(keyless.another())?)
        })
    }

    /// The command that tries again, and what it does.
    fn retry(&self, why: String) -> NextStep {
        let (id, go) = (self.id, self.go);
        let online = if self.online { " --online" } else { "" };
        let salvage = if self.salvageable > 0 { " --salvage" } else { "" };
        let key = match (self.keyless, self.another_key()) {
            (None, _) => String::new(),
            (Some(_), Some(key)) => format!(" --partition-key {key}"),
            (Some(_), None) => " --key-fallback hash".to_owned(),
        };
        NextStep::new(why, format!("respool quarantine retry {id}{key}{salvage}{online}{go}"))
    }

    /// The key that was meant, if it is the key of all that is tried again: else what has one already would lose it.
    fn another_key(&self) -> Option<&str> {
        let keyless = self.keyless?;
        let all =
            keyless.records == self.set_aside || self.delivered == 0 && keyless.are_most_of(self.set_aside);
        keyless.meant.as_deref().filter(|_| all)
    }

    fn why(&self) -> String {
        let most = self.keyless.is_some_and(|keyless| keyless.are_most_of(self.set_aside));
        let again = match (self.keyless, self.another_key()) {
            (None, _) => "try it again",
            (Some(_), Some(_)) => "send them by another key",
            (Some(_), None) if most => "send them all the same, by a hash of their bytes",
            (Some(_), None) => "try it again, and send what has no key by a hash of its bytes",
        };
        match self.salvageable {
            0 => again.to_owned(),
            broken => {
                format!("{again}; of {} what is whole, up to the damage", many(broken, "broken object"))
            }
        }
    }
}
