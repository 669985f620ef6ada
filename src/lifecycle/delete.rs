//! `respool stream delete`: the end of a backfill's stream. What was not read is lost with it, so it is asked for
//! in every way: it must carry our tag, no run may be writing or unfinished, and a worker must have been seen to have
//! read everything; `--force` answers for the last two only.

use std::path::Path;

use serde_json::json;

use super::door::Door;
use super::runs::{RunInto, identity, runs_into};
use super::settle::{Look, until};
use super::shape::{CREATED_BY, is_ours};
use crate::config::OutputConfig;
use crate::error::Error;
use crate::run::console;
use crate::run::report::number;
use crate::stream::control::StreamParticulars;

/// The user's answers, given beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// Do not ask.
    pub yes: bool,
    /// Although nobody has seen it drained, or a run into it is unfinished.
    pub force: bool,
    /// Although consumers are registered.
    pub with_consumers: bool,
}

/// Deletes the stream behind `door` and waits until it is gone.
pub async fn delete(
    door: &Door,
    answers: Answers,
    state_dir: &Path,
    output: &OutputConfig,
) -> Result<(), Error> {
    let found = door.must_look().await?;
    let runs = runs_into(state_dir, &identity(&found.description))?;
    if let Some(objection) = objection(&found, &runs, answers) {
        return Err(Error::refused(format!("the stream {}: {objection}", door.name)));
    }
    if !answers.yes && !confirmed(&found, output)? {
        return Err(Error::refused("nothing was deleted"));
    }
    let asked = door.stream.delete(answers.with_consumers).await;
    asked.map_err(|error| door.error("cannot delete", &["kinesis:DeleteStream"], &error))?;
    until(door, &format!("deleting {}", door.name), output, |look| *look == Look::Gone).await?;
    if output.json {
        return console::print(&format!("{:#}\n", json!({ "stream": door.name.name(), "deleted": true })));
    }
    console::print(&format!("The stream {} is deleted.\n", door.name))
}

/// Why it is not to be deleted, and what to do instead.
fn objection(found: &StreamParticulars, runs: &[RunInto], answers: Answers) -> Option<String> {
    let name = &found.description.name;
    if !is_ours(found) {
        return Some(format!(
            "it was not made by respool (it lacks the tag {CREATED_BY}), so respool does not delete it; `aws kinesis \
             delete-stream --stream-name {name}` does"
        ));
    }
    if let Some(run) = runs.iter().find(|run| run.is_running()) {
        return Some(format!("run {} is writing into it: end that first (Ctrl-C there)", run.glance.id));
    }
    if !answers.force {
        if let Some(run) = runs.iter().find(|run| run.glance.is_unfinished()) {
            return Some(format!(
                "run {0} into it is not finished: `respool resume {0}` goes on; --force deletes it all the same, and the run \
                 cannot be resumed any more",
                run.glance.id
            ));
        }
        if let Some(run) = runs.iter().find(|run| !run.is_drained()) {
            return Some(format!(
                "nobody has seen yet that the worker has read what run {0} delivered: `respool stream drained {0} \
                 --lease-table TABLE` looks; --force deletes it all the same, and what was not read is lost",
                run.glance.id
            ));
        }
    }
    if found.consumers > 0 && !answers.with_consumers {
        return Some(format!(
            "{} consumers are registered with it, perhaps a worker that still reads: deregister them, or say \
             --with-consumers",
            found.consumers
        ));
    }
    None
}

fn confirmed(found: &StreamParticulars, output: &OutputConfig) -> Result<bool, Error> {
    if !output.can_ask {
        return Err(Error::refused(
            "a stream that is deleted is gone with everything in it: say --yes to delete it",
        ));
    }
    let stream = &found.description;
    console::ask(&format!(
        "Delete the stream {} ({} shards{}) and everything in it? [y/N] ",
        stream.name,
        number(stream.open_shards.into()),
        stream.account.as_ref().map(|account| format!(", account {account}")).unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{ours, particulars, run_into};

    const NO: Answers = Answers { yes: true, force: false, with_consumers: false };
    const FORCE: Answers = Answers { yes: true, force: true, with_consumers: false };

    fn said(found: &StreamParticulars, runs: &[RunInto], answers: Answers) -> String {
        objection(found, runs, answers).unwrap_or_default()
    }

    #[test]
    fn only_what_carries_our_tag_is_deleted_whatever_is_said() {
        assert!(said(&particulars(1), &[], FORCE).contains("not made by respool"));
        assert_eq!(said(&ours(1), &[], NO), "");
    }

    #[test]
    fn what_was_not_seen_drained_stays_unless_it_is_forced() {
        let runs = [run_into("r1", "done", 7)];
        assert!(said(&ours(1), &runs, NO).contains("stream drained r1"));
        assert_eq!(said(&ours(1), &runs, FORCE), "");
        assert_eq!(said(&ours(1), &[run_into("r1", "done", 0)], NO), "", "nothing was delivered");
        assert!(said(&ours(1), &[run_into("r1", "incomplete", 7)], NO).contains("respool resume r1"));
    }

    #[test]
    fn nobody_pulls_a_stream_away_from_under_a_run() {
        let mut run = run_into("r1", "incomplete", 7);
        run.glance.owner = Some("42".into());
        assert!(said(&ours(1), &[run], FORCE).contains("run r1 is writing"));
    }

    #[test]
    fn registered_consumers_want_a_word_of_their_own() {
        let found = StreamParticulars { consumers: 2, ..ours(1) };
        assert!(said(&found, &[], FORCE).contains("--with-consumers"));
        assert_eq!(said(&found, &[], Answers { with_consumers: true, ..NO }), "");
    }
}
