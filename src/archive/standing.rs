//! Where a listing stands: what was found, and what is still to be asked.
//!
//! A process that goes on with what another one has left puts the same parts into the same [`Standing`], so it stands
//! exactly where the other one stood.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Listing;
use super::walk::Walk;

/// What one page has brought.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part {
    pub(super) step: Walk,
    pub(super) found: Listing,
    pub(super) dirs: Vec<String>,
    pub(super) then: Then,
}

/// What follows on a page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Then {
    /// The page that this token is for.
    Page(String),
    /// Nothing more of this prefix; these are to be listed.
    Below(Vec<Walk>),
    /// What was found of this prefix is void; this is to be listed instead.
    Instead(Walk),
}

/// Where a listing stands.
#[derive(Debug)]
pub(super) struct Standing {
    listing: Listing,
    finished: u64,
    open: BTreeMap<Walk, Begun>,
}

/// What is known of a prefix whose end has not come. Its objects lie among all others: held apart, they would be copied.
#[derive(Debug, Default)]
struct Begun {
    objects: usize,
    skipped: u64,
    outside: u64,
    excluded: u64,
    dirs: Vec<String>,
    token: Option<String>,
}

impl Standing {
    /// Nothing was asked yet.
    pub(super) fn at_the_beginning(prefix: &str) -> Self {
        let open = BTreeMap::from([(Walk::root(prefix), Begun::default())]);
        Self { listing: Listing::default(), finished: 0, open }
    }

    /// Takes in a page; what is to be listed because of it. `None` if it does not follow on what came before.
    pub(super) fn take(&mut self, part: Part) -> Option<Vec<Walk>> {
        let begun = self.open.get_mut(&part.step)?;
        begun.objects += part.found.objects.len();
        begun.skipped += part.found.skipped;
        begun.outside += part.found.outside;
        begun.excluded += part.found.excluded;
        self.listing.absorb(part.found);
        let next = match part.then {
            Then::Page(token) => {
                begun.dirs.extend(part.dirs);
                begun.token = Some(token);
                return Some(Vec::new());
            }
            Then::Below(next) => {
                self.open.remove(&part.step);
                self.finished += 1;
                next
            }
            Then::Instead(step) => {
                self.forget(&part.step);
                vec![step]
            }
        };
        self.open.extend(next.iter().map(|step| (step.clone(), Begun::default())));
        Some(next)
    }

    /// Takes back what was found of `step`. As long as it is open nothing below it is listed, and nothing above it finds
    /// a key that begins like it.
    fn forget(&mut self, step: &Walk) {
        let Some(begun) = self.open.remove(step) else { return };
        self.listing.skipped -= begun.skipped;
        self.listing.outside -= begun.outside;
        self.listing.excluded -= begun.excluded;
        if begun.objects > 0 {
            self.listing.objects.retain(|object| !object.key.starts_with(&step.prefix));
        }
    }

    /// How many objects are known, and of how many prefixes.
    pub(super) fn known(&self) -> (u64, u64) {
        let begun = self.open.values().filter(|begun| begun.token.is_some()).count();
        (self.listing.objects.len() as u64, self.finished + begun as u64)
    }

    /// What was found.
    pub(super) fn into_listing(self) -> Listing {
        self.listing
    }

    /// What is to be listed.
    pub(super) fn left(&self) -> Vec<Walk> {
        self.open.keys().cloned().collect()
    }

    /// Where `step` goes on, and the directories that were seen there before.
    pub(super) fn begun(&self, step: &Walk) -> (Option<String>, Vec<String>) {
        self.open.get(step).map(|begun| (begun.token.clone(), begun.dirs.clone())).unwrap_or_default()
    }
}
