//! The checklist for a person: what is known to be done is ticked, and after the end what nobody can know any more is no task.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{Step, clock};
use crate::run::report::duration;

/// For a person.
#[must_use]
pub fn render(steps: &[Step], now: Timestamp) -> String {
    let mut text = String::new();
    let over = steps.iter().any(|step| step.step == "delete" && step.done == Some(true));
    for (number, step) in (1..).zip(steps) {
        let tick = match step.done {
            Some(true) => "x",
            // What is not known by now nobody can find out here.
            None if over => "?",
            _ => " ",
        };
        let _ = writeln!(text, "[{tick}] {number}. {}", step.what);
        if let Some(command) = &step.command {
            let _ = writeln!(text, "         {command}");
        }
        if let Some(until) = step.until.filter(|_| step.done != Some(true)) {
            let left = until.duration_since(now).as_secs_f64();
            let left = match step.until_is_assumed {
                _ if left > 0.0 => format!("in {}", duration(left)),
                true => "too late, if what is assumed is right".into(),
                false => "TOO LATE".into(),
            };
            let _ = writeln!(text, "       by {} ({left})", clock(until));
        }
        for note in &step.notes {
            let _ = writeln!(text, "       {note}");
        }
    }
    text
}
