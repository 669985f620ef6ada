//! The commands that try again what was set aside, and what is better where nothing was sent yet.
//!
//! What a retry has taken it takes no second time, so two commands for two reasons would exclude each other: whatever can be
//! done for any of them stands in the same one. Only another framing takes nothing but what it reads anew, and leaves the rest
//! to the next.

use super::{Keyless, NextStep};
use crate::config::Typed;
use crate::record::{agree, many};

/// What a command does about what was set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Does {
    /// It begins the run anew.
    Anew,
    /// It tries again what is in quarantine, into the same stream.
    Retry,
}

/// How a command stands to the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) enum Place {
    First,
    /// Instead of the one before.
    Or,
    /// For the rest, after the one before.
    Then,
}

/// A command, and what it does about what was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::run) struct Try {
    pub does: Does,
    pub place: Place,
    pub why: String,
    pub command: String,
}

impl From<Try> for NextStep {
    fn from(Try { place, why, command, .. }: Try) -> Self {
        let link = match place {
            Place::First => "",
            Place::Or => "or ",
            Place::Then => "then ",
        };
        Self::new(format!("{link}{why}"), command)
    }
}

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
    /// Whole objects among it that are not the arrays that they were taken for.
    pub misframed: u64,
    /// Entries among it for which something has to be mended first.
    pub mended: u64,
    /// The records without a key.
    pub keyless: Option<&'a Keyless>,
    /// The command that began the run, by flags that can be said otherwise.
    pub typed: Option<&'a Typed>,
}

impl AnotherTry<'_> {
    /// What to type, in this order.
    pub(in crate::run) fn tries(&self) -> Vec<Try> {
        let anew = self.anew();
        // To send an array by another key is never what was meant.
        if anew.is_some() && self.keyless.is_some_and(Keyless::are_arrays) {
            return anew.into_iter().collect();
        }
        let place = if anew.is_some() { Place::Or } else { Place::First };
        let reframed = self.reframed(place);
        let rest = || match reframed {
            Some(_) => self.retry(Place::Then, self.why_the_rest().to_owned()),
            None => self.retry(place, self.why()),
        };
        let rest = (self.others() > 0).then(rest);
        anew.into_iter().chain(reframed).chain(rest).collect()
    }

    /// The command that begins anew what had no key where it was looked for, as long as nothing of it would be there twice.
    pub(in crate::run) fn anew(&self) -> Option<Try> {
        let typed = self.typed.filter(|_| self.delivered == 0)?;
        let keyless = self.keyless.filter(|keyless| keyless.are_most_of(self.set_aside))?;
        let (why, command) = if keyless.are_arrays() {
            ("begin anew, each element of an array a record", typed.with_arrays()?)
        } else {
            ("begin anew with another key", typed.with_key(keyless.another())?)
        };
        Some(Try { does: Does::Anew, place: Place::First, why: why.to_owned(), command })
    }

    fn arrays(&self) -> u64 {
        self.keyless.map_or(0, |keyless| keyless.arrays)
    }

    /// What is set aside beside that which another framing takes.
    fn others(&self) -> u64 {
        let reframed = if self.arrays() > 0 { self.arrays() } else { self.misframed };
        self.set_aside.saturating_sub(reframed).max(u64::from(self.set_aside == 0))
    }

    /// The command that reads once more, in another way, what was taken for one record or for an array.
    fn reframed(&self, place: Place) -> Option<Try> {
        let (framing, objects) =
            if self.arrays() > 0 { ("json-array", self.arrays()) } else { ("auto", self.misframed) };
        let why = match framing {
            "json-array" => {
                let are = agree(objects, "is an array", "are arrays");
                format!("send the elements of the {} that {are}", many(objects, "object"))
            }
            _ => format!(
                "read the {} anew that {} no array",
                many(objects, "object"),
                agree(objects, "is", "are")
            ),
        };
        (objects > 0).then(|| self.retry_with(place, why, &format!(" --framing {framing}")))
    }

    /// The command that tries again, and what it does.
    fn retry(&self, place: Place, why: String) -> Try {
        let salvage = if self.salvageable > 0 { " --salvage" } else { "" };
        let key = match (self.without_key(), self.another_key()) {
            (None, _) => String::new(),
            (Some(_), Some(key)) => format!(" --partition-key {key}"),
            (Some(_), None) => " --key-fallback hash".to_owned(),
        };
        self.retry_with(place, why, &format!("{key}{salvage}"))
    }

    fn retry_with(&self, place: Place, why: String, flags: &str) -> Try {
        let (id, go) = (self.id, self.go);
        let online = if self.online { " --online" } else { "" };
        let command = format!("respool quarantine retry {id}{flags}{online}{go}");
        Try { does: Does::Retry, place, why, command }
    }

    /// The records without a key, if some are no arrays.
    fn without_key(&self) -> Option<&Keyless> {
        self.keyless.filter(|keyless| !keyless.are_arrays())
    }

    /// The key that was meant, if it is the key of all that is tried again: else what has one already would lose it.
    fn another_key(&self) -> Option<&str> {
        let keyless = self.without_key()?;
        let all =
            keyless.records == self.set_aside || self.delivered == 0 && keyless.are_most_of(self.set_aside);
        keyless.meant.as_deref().filter(|_| all)
    }

    fn why_the_rest(&self) -> &'static str {
        match (self.without_key(), self.another_key()) {
            (None, _) => "try the rest again",
            (Some(_), Some(_)) => "send the rest by another key",
            (Some(_), None) => "try the rest again, and send what has no key by a hash of its bytes",
        }
    }

    fn why(&self) -> String {
        if self.mended > 0 && self.mended == self.set_aside {
            return "try it again, once what its reason names is mended".to_owned();
        }
        let most = self.keyless.is_some_and(|keyless| keyless.are_most_of(self.set_aside));
        let again = match (self.without_key(), self.another_key()) {
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
