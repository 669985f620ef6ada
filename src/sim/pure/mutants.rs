//! The simulator is not blind: it finds every bug that was put in on purpose.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::world::run;
use crate::write::mutant::{Mutant, activate};

/// Each bug is found by one of so many seeds.
const SEEDS_MAX: u64 = 200;

/// The first seed that finds the bug, and how it shows.
fn hunt(mutant: Mutant) -> Option<(u64, String)> {
    activate(Some(mutant));
    // A panic is a find as well: the engine holds its own asserts.
    let found = (0..SEEDS_MAX).find_map(|seed| {
        let shown = match catch_unwind(AssertUnwindSafe(|| run(seed))) {
            Ok(Ok(_)) => return None,
            Ok(Err(broken)) => broken.lines().next().unwrap_or_default().to_owned(),
            Err(_) => "a panic".to_owned(),
        };
        Some((seed, shown))
    });
    activate(None);
    found
}

#[test]
fn every_mutant_is_caught() {
    let mut missed = Vec::new();
    for mutant in Mutant::ALL {
        match hunt(mutant) {
            Some((seed, shown)) => println!("{mutant:?}: seed {seed}: {shown}"),
            None => missed.push(mutant),
        }
    }
    assert!(missed.is_empty(), "not caught within {SEEDS_MAX} seeds: {missed:?}");
}
