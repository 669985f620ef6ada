//! Runs that are not finished: whether a process works on them, what is typed so that they come to an end, and what waiting for
//! a worker is good for meanwhile.

use super::runs::RunInto;
use crate::config::{RunFlags, StateDir};
use crate::run::next::NextStep;
use crate::run::quarantine::again::instead_of_going_on;

/// What brings `run` to its end: most often to resume it; but one that was stopped over a key that no record has, and has sent
/// nothing, would set aside the rest. Its `why` goes behind the command.
#[must_use]
pub fn comes_to_an_end(state: &StateDir, run: &RunInto) -> NextStep {
    let anew = if run.delivered == 0 && run.set_aside != (0, 0) {
        instead_of_going_on(state, &run.glance)
    } else {
        None
    };
    anew.map_or_else(
        || NextStep { command: resume(state, run), why: "goes on".into() },
        |anew| NextStep { why: anew.why.replacen("begin", "begins", 1), ..anew },
    )
}

/// What goes on with it.
#[must_use]
pub fn resume(state: &StateDir, run: &RunInto) -> String {
    let flags = RunFlags::new(state, &run.glance.file.tuning).go;
    format!("respool resume {}{flags}", run.glance.id)
}

/// Whether there are some, and no process works on any of them.
#[must_use]
pub fn are_idle(unfinished: &[&RunInto]) -> bool {
    !unfinished.is_empty() && !unfinished.iter().any(|run| run.is_running())
}

/// Whether nobody can read on until somebody types something: no process works on them, and they have sent nothing.
#[must_use]
pub fn wait_in_vain(unfinished: &[&RunInto]) -> bool {
    are_idle(unfinished) && unfinished.iter().all(|run| run.delivered == 0)
}

/// Why a stream is not drained as long as they are not finished; `None` if there are none.
#[must_use]
pub fn sentence(state: &StateDir, unfinished: &[&RunInto]) -> Option<String> {
    let run = unfinished.iter().find(|run| !run.is_running()).or(unfinished.first())?;
    let id = &run.glance.id;
    let sent = if run.delivered == 0 { " and has sent nothing" } else { "" };
    if run.is_running() {
        return Some(format!("The replay itself is not finished: run {id} is under way{sent}."));
    }
    let NextStep { command, why } = comes_to_an_end(state, run);
    Some(format!(
        "The replay itself is not finished: no process works on run {id}, which is {}{sent} (`{command}` {why}).",
        run.state().word()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{run_into, with_aside};
    use crate::run::journal::{QUARANTINE_FILE, QuarantineLine};

    /// A run that has delivered so much and set aside a record without a key.
    fn stopped(directory: &std::path::Path, delivered: u64) -> RunInto {
        let mut run = with_aside(run_into("r1", "incomplete", delivered), (1, 0));
        run.glance.path = directory.into();
        run.glance.report =
            Some(serde_json::json!({ "state": "incomplete", "records": { "delivered": delivered } }));
        let list = directory.join(QUARANTINE_FILE);
        std::fs::create_dir_all(list.parent().unwrap()).unwrap();
        let line = serde_json::to_string(&QuarantineLine::of(0, Some(0), "a.gz", "missing")).unwrap();
        std::fs::write(list, format!("{line}\n")).unwrap();
        run
    }

    #[test]
    fn a_run_that_was_stopped_over_its_key_is_begun_anew_as_long_as_it_has_sent_nothing() {
        let (directory, state) = (tempfile::tempdir().unwrap(), StateDir::usual("/state"));
        let NextStep { command, why } = comes_to_an_end(&state, &stopped(directory.path(), 0));
        assert!(command.contains("--partition-key /POINTER") && command.contains("--new"), "{command}");
        assert_eq!(why, "begins anew with another key");
        let said = sentence(&state, &[&stopped(directory.path(), 0)]).unwrap();
        assert!(
            said.contains("no process works on run r1, which is incomplete and has sent nothing"),
            "{said}"
        );
        assert!(said.contains(&command) && !said.contains("resume"), "{said}");
        let some = comes_to_an_end(&state, &stopped(directory.path(), 1));
        assert_eq!((some.command.as_str(), some.why.as_str()), ("respool resume r1", "goes on"));
    }

    #[test]
    fn whoever_waits_for_a_run_on_which_nobody_works_and_that_has_sent_nothing_waits_in_vain() {
        let (unsent, sent) = (run_into("r1", "incomplete", 0), run_into("r2", "incomplete", 1));
        let mut running = run_into("r3", "incomplete", 0);
        running.glance.owner = Some("process 1".into());
        for (runs, idle, in_vain) in [
            (vec![&unsent], true, true),
            (vec![&unsent, &sent], true, false),
            (vec![&unsent, &running], false, false),
            (vec![], false, false),
        ] {
            assert_eq!((are_idle(&runs), wait_in_vain(&runs)), (idle, in_vain), "{runs:?}");
        }
        let said = sentence(&StateDir::usual("/state"), &[&running]).unwrap();
        assert!(said.contains("run r3 is under way and has sent nothing"), "{said}");
    }
}
