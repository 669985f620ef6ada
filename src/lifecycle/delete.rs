//! `respool stream delete`: the end of a backfill's stream. What was not read is lost with it, so it is asked for
//! in every way: it must carry our tag, no run may be writing or unfinished, and a worker's leases must have shown that it
//! has read everything. `--force` answers where a run is unfinished or where that proof is missing: because nobody
//! has looked, because it was only estimated, because a run cannot be read, because no run is known here at all and the stream
//! holds something. It answers for nothing else.
//!
//! A question takes its time, so everything is looked at again after the answer.

use serde_json::json;

use super::aside::{self, InQuarantine};
use super::door::Door;
use super::runs::{BY_AGE, RunsInto, identity, names, runs_into, unfinished};
use super::settle::{Look, until};
use super::shape::{CREATED_BY, is_ours};
use super::unfinished::comes_to_an_end;
use super::unused::is_unused;
use crate::config::{AwsAccess, OutputConfig, StateDir, quoted};
use crate::error::Error;
use crate::record::{agree, many};
use crate::run::at_hand::{self, Service};
use crate::run::console;
use crate::run::next::NextStep;
use crate::run::permission;
use crate::stream::control::StreamParticulars;
use crate::stream::neighbour::Neighbour;

/// The user's answers, given beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// Do not ask.
    pub yes: bool,
    /// Although it is not proven that it was read, or a run into it is unfinished.
    pub force: bool,
    /// Although consumers are registered.
    pub with_consumers: bool,
}

/// Deletes the stream behind `door` and waits until it is gone.
pub async fn delete(door: &Door, answers: Answers, output: &OutputConfig) -> Result<(), Error> {
    delete_if(door, answers, output, async |found| confirmed(found, &door.at(), output)).await
}

async fn delete_if(
    door: &Door,
    answers: Answers,
    output: &OutputConfig,
    confirmed: impl AsyncFnOnce(&Doomed) -> Result<bool, Error>,
) -> Result<(), Error> {
    let found = unobjected(door, answers).await?;
    if !answers.yes {
        if !confirmed(&found).await? {
            return Err(Error::refused("nothing was deleted"));
        }
        let now = unobjected(door, answers).await?;
        if identity(&now.stream.description) != identity(&found.stream.description) {
            return Err(Error::refused(format!(
                "the stream {} is not the one that was asked about any more: that one was deleted and this one made anew; nothing \
                 was deleted",
                door.name
            )));
        }
    }
    let asked = door.stream.delete(answers.with_consumers).await;
    asked.map_err(|error| door.error("cannot delete", &[permission::DELETE_STREAM], &error))?;
    until(door, &format!("deleting {}", door.name), output, |look| *look == Look::Gone).await?;
    if output.json {
        let told =
            json!({ "stream": door.name.name(), "deleted": true, "in_quarantine": found.in_quarantine });
        return console::print(&format!("{told:#}\n"));
    }
    let lost = found.lost.map(|lost| format!("{lost}: now only a new replay can send that.\n"));
    console::print(&format!("The stream {} is deleted.\n{}", door.name, lost.unwrap_or_default()))
}

/// What is to be deleted, and what never came into it.
struct Doomed {
    stream: StreamParticulars,
    in_quarantine: Vec<InQuarantine>,
    /// The same as a sentence.
    lost: Option<String>,
    /// What still sends it, as a sentence.
    retries: String,
}

/// The stream as it is now, if nothing speaks against deleting it.
async fn unobjected(door: &Door, answers: Answers) -> Result<Doomed, Error> {
    let found = door.look().await?.ok_or_else(|| door.not_there_so("there is nothing to delete"))?;
    let runs = runs_into(&door.state, &identity(&found.description))?;
    let force = answers.force || is_unused(&door.stream, &found, &runs).await;
    let way = ToTheWorker { flags: leases_flag(door).await, access: &door.access, state: &door.state };
    match objection(&found, &runs, Answers { force, ..answers }, &way) {
        Some(objection) => Err(Error::refused(format!("the stream {}: {objection}", door.name))),
        None => Ok(doomed(found, &runs, &door.state)),
    }
}

/// What `drained` has to say to find the worker's leases.
struct ToTheWorker<'a> {
    /// Where they are, if that is not AWS' own.
    flags: String,
    access: &'a AwsAccess,
    state: &'a StateDir,
}

/// AWS' own is not asked about a stream on this machine, and one that the AWS configuration names is known.
async fn leases_flag(door: &Door) -> String {
    let dynamodb = Service::Neighbour(Neighbour::DynamoDb);
    match at_hand::endpoint(dynamodb, door.profile.as_deref()).await {
        Ok(Some(known)) => format!(" --consumer-endpoint-url {}", quoted(known.as_str())),
        _ if door.access.is_local() => " --consumer-endpoint-url URL".to_owned(),
        _ => String::new(),
    }
}

fn doomed(stream: StreamParticulars, runs: &RunsInto, state: &StateDir) -> Doomed {
    let left = aside::left(&runs.runs);
    Doomed {
        stream,
        in_quarantine: left.iter().map(InQuarantine::from).collect(),
        lost: aside::sentence(&left),
        retries: aside::sends_them(&left, state),
    }
}

/// Why it is not to be deleted, and what to do instead.
fn objection(
    found: &StreamParticulars,
    runs: &RunsInto,
    answers: Answers,
    way: &ToTheWorker<'_>,
) -> Option<String> {
    let name = &found.description.name;
    if !is_ours(found) {
        return Some(format!(
            "it was not made by respool (it lacks the tag {CREATED_BY}), so respool does not delete it; `aws kinesis \
             delete-stream --stream-name {name}{}` does",
            way.access.flags("")
        ));
    }
    let unread = runs.unread.iter().filter(|run| run.owner.is_some()).map(|run| &run.id);
    let mut running = runs.runs.iter().filter(|run| run.is_running()).map(|run| &run.glance.id).chain(unread);
    if let Some(run) = running.next() {
        return Some(format!("run {run} is writing into it: end that first (Ctrl-C there)"));
    }
    if let Some(doubt) = doubt(runs, way).filter(|_| !answers.force) {
        return Some(doubt);
    }
    if found.consumers > 0 && !answers.with_consumers {
        return Some(format!(
            "{} {} registered with it, perhaps a worker that still reads: deregister {}, or say \
             --with-consumers",
            many(found.consumers, "consumer"),
            agree(found.consumers, "is", "are"),
            agree(found.consumers, "it", "them")
        ));
    }
    None
}

/// Why it is not certain that everything in it was read.
fn doubt(RunsInto { runs, unread }: &RunsInto, way: &ToTheWorker<'_>) -> Option<String> {
    const LOST: &str = "--force deletes it all the same, and what was not read is lost";
    let ToTheWorker { flags, access, state } = way;
    if !unread.is_empty() {
        return Some(format!(
            "these runs cannot be read and may have written into it: {}; finish and drain them with the respool that began \
             them; {LOST}",
            names(unread)
        ));
    }
    if runs.is_empty() {
        return Some(format!(
            "no run into it is known here, so nothing shows what is in it and whether that was read: delete it where the runs \
             are (--state-dir names another directory); {LOST}"
        ));
    }
    if let Some(run) = unfinished(runs).next() {
        let NextStep { command, why } = comes_to_an_end(state, run);
        return Some(format!(
            "run {} into it is not finished: `{command}` {why}; --force deletes it all the same, and the run cannot be resumed \
             any more",
            run.glance.id
        ));
    }
    if let Some(unsent) = aside::unsent(runs) {
        let ways = unsent.ways(state);
        let sends = match &ways.anew {
            Some(anew) => format!("{anew} begins anew; --force deletes it all the same"),
            None if ways.retries.is_empty() => {
                format!("{} says what can be done; --force deletes it all the same", ways.list)
            }
            None if ways.doubtful.is_all_mended() => format!(
                "{} says what has to be mended before {} can send them, as long as the stream is there; --force deletes it all \
                 the same, and then only a new replay does",
                ways.list,
                ways.commands()
            ),
            None => format!(
                "{} sends them as long as the stream is there; --force deletes it all the same, and then only a new replay does",
                ways.commands()
            ),
        };
        return Some(format!(
            "nothing of run {} was delivered into it, all of it was set aside: {}; {sends}",
            unsent.holder.glance.id,
            unsent.what(),
        ));
    }
    let run = runs.iter().find(|run| !run.is_drained())?;
    let id = &run.glance.id;
    let seen = match run.seen_drained().filter(|seen| seen.by == BY_AGE) {
        Some(seen) => format!(
            "that the worker has read what run {id} delivered was estimated by CloudWatch at {:.0}, and is not proven",
            seen.at
        ),
        None => format!("nobody has seen yet that the worker has read what run {id} delivered"),
    };
    Some(format!(
        "{seen}: `respool stream drained {id} --lease-table TABLE{flags}{}{}` looks; {LOST}",
        access.own_flags("kinesis"),
        state.flag()
    ))
}

fn confirmed(doomed: &Doomed, at: &str, output: &OutputConfig) -> Result<bool, Error> {
    if !output.can_ask {
        let lost = doomed.lost.as_ref().map(|lost| format!("; {lost} ({})", doomed.retries));
        return Err(Error::refused(format!(
            "a stream that is deleted is gone with everything in it: say --yes (RESPOOL_YES does not) to delete it{}",
            lost.unwrap_or_default()
        )));
    }
    console::ask(&question(doomed, at))
}

fn question(Doomed { stream, lost, retries, .. }: &Doomed, at: &str) -> String {
    let stream = &stream.description;
    let lost = lost.as_ref().map(|lost| {
        format!(
            "{lost}: {retries}, as long as the stream is there; after that only a new replay can send that.\n"
        )
    });
    format!(
        "{}Delete the stream {}{at} ({}{}) and everything in it? [y/N] ",
        lost.unwrap_or_default(),
        stream.name,
        many(stream.open_shards, "shard"),
        stream.account.as_ref().map(|account| format!(", account {account}")).unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{
        ours, particulars, retry_into, run_into, silent, simulated, with_aside,
    };
    use crate::lifecycle::runs::{BY_LEASES, RunInto};
    use crate::run::directory::{Drained, UnreadRun};
    use crate::stream::control::NewStream;

    const NO: Answers = Answers { yes: true, force: false, with_consumers: false };
    const ASKED: Answers = Answers { yes: false, force: true, with_consumers: false };
    const FORCE: Answers = Answers { yes: true, force: true, with_consumers: false };

    fn said(found: &StreamParticulars, runs: &RunsInto, answers: Answers) -> String {
        let access = AwsAccess { region: Some("us-east-2".into()), ..AwsAccess::default() };
        let state = StateDir::other("/s");
        let way = ToTheWorker { flags: String::new(), access: &access, state: &state };
        objection(found, runs, answers, &way).unwrap_or_default()
    }

    fn runs<const N: usize>(runs: [RunInto; N]) -> RunsInto {
        RunsInto { runs: runs.into(), unread: Vec::new() }
    }

    fn unread(owner: Option<&str>) -> RunsInto {
        let run = UnreadRun {
            id: "r9".into(),
            path: "/nowhere".into(),
            stream: None,
            owner: owner.map(str::to_owned),
            why: "it has layout 9".into(),
        };
        RunsInto { runs: vec![run_into("r1", "done", 0)], unread: vec![run] }
    }

    #[test]
    fn only_what_carries_our_tag_is_deleted_whatever_is_said() {
        let said_of_others = said(&particulars(1), &runs([]), FORCE);
        assert!(said_of_others.contains("not made by respool"), "{said_of_others}");
        assert!(said_of_others.contains(" --region us-east-2` does"), "{said_of_others}");
        assert_eq!(said(&ours(1), &runs([run_into("r1", "done", 0)]), NO), "", "nothing was delivered");
    }

    #[test]
    fn what_was_not_seen_drained_stays_unless_it_is_forced() {
        let undrained = || runs([run_into("r1", "done", 7)]);
        let looks =
            "`respool stream drained r1 --lease-table TABLE --kinesis-region us-east-2 --state-dir /s` looks";
        assert!(said(&ours(1), &undrained(), NO).contains(looks));
        assert_eq!(said(&ours(1), &undrained(), FORCE), "");
        let unfinished = runs([run_into("r1", "incomplete", 7)]);
        assert!(said(&ours(1), &unfinished, NO).contains("respool resume r1 --state-dir /s"));
        let given_up = runs([run_into("r1", "incomplete", 0), run_into("r2", "done", 7)]);
        assert!(!said(&ours(1), &given_up, NO).contains("respool resume r1 --state-dir /s"));
        let both_count = runs([run_into("r1", "incomplete", 1), run_into("r2", "done", 7)]);
        assert!(said(&ours(1), &both_count, NO).contains("respool resume r1 --state-dir /s"));
        let begun_later = runs([run_into("r1", "done", 7), run_into("r2", "incomplete", 0)]);
        assert!(said(&ours(1), &begun_later, NO).contains("respool resume r2"));
    }

    #[test]
    fn where_no_run_is_known_nothing_shows_what_was_read() {
        assert!(said(&ours(1), &runs([]), NO).contains("no run into it is known here"));
        assert_eq!(said(&ours(1), &runs([]), FORCE), "");
    }

    #[test]
    fn a_run_that_cannot_be_read_is_named_and_wants_force() {
        assert!(said(&ours(1), &unread(None), NO).contains("r9 (it has layout 9)"));
        assert_eq!(said(&ours(1), &unread(None), FORCE), "");
        assert!(said(&ours(1), &unread(Some("42")), FORCE).contains("run r9 is writing"));
    }

    #[test]
    fn a_replay_of_which_nothing_was_sent_wants_force() {
        let nothing = || with_aside(run_into("r1", "done", 0), (1_800, 0));
        let refused = said(&ours(1), &runs([nothing()]), NO);
        for words in ["1,800 records", "`respool quarantine retry r1 --state-dir /s`", "--force deletes it"] {
            assert!(refused.contains(words), "{refused}");
        }
        assert_eq!(said(&ours(1), &runs([nothing()]), FORCE), "");
        let retried = said(&ours(1), &runs([nothing(), retry_into("r1", "r2", "done", 1_800)]), NO);
        assert!(retried.contains("has read what run r2 delivered"), "{retried}");
    }

    #[test]
    fn what_is_in_quarantine_is_said_in_the_question() {
        let state = StateDir::other("/s");
        let asked = |run| question(&doomed(ours(1), &runs([run]), &state), " at http://127.0.0.1:1");
        let some = asked(with_aside(run_into("r1", "done", 7), (45, 2)));
        let words = "45 records and 2 whole objects of run r1 are in quarantine and were not sent: `respool quarantine retry r1 \
                     --state-dir /s` sends them, as long as the stream is there; after that only a new replay can send that.\nDelete the stream";
        assert!(some.starts_with(words), "{some}");
        assert!(
            asked(run_into("r1", "done", 7))
                .starts_with("Delete the stream orders-backfill at http://127.0.0.1:1 (1 shard")
        );
    }

    #[test]
    fn an_estimate_unlocks_nothing_and_the_leases_do() {
        let directory = tempfile::tempdir().unwrap();
        let seen_by = |by: &str| {
            let mut run = run_into("r1", "done", 7);
            run.glance.path = directory.path().into();
            let at = "2026-11-26T13:00:00Z".parse().unwrap();
            run.glance.note_drained(&Drained { at, by: by.into(), delivered: 7 }).unwrap();
            said(&ours(1), &runs([run]), NO)
        };
        assert!(seen_by(BY_AGE).contains("estimated by CloudWatch at 2026-11-26T13:00:00Z"));
        assert_eq!(seen_by(BY_LEASES), "");
    }

    #[test]
    fn nobody_pulls_a_stream_away_from_under_a_run() {
        let mut run = run_into("r1", "incomplete", 7);
        run.glance.owner = Some("42".into());
        assert!(said(&ours(1), &runs([run]), FORCE).contains("run r1 is writing"));
    }

    #[tokio::test]
    async fn after_the_answer_the_stream_must_still_be_the_one_that_was_asked_about() {
        let (server, door) = simulated("orders-backfill").await;
        let state = tempfile::tempdir().unwrap();
        let door = door.with_runs_in(&StateDir::usual(state.path()));
        let tags = ours(1).tags;
        let new = NewStream { shards: 1, record_kib: None, tags };
        let output = silent();
        let ask_and = async |meanwhile: bool| {
            delete_if(&door, ASKED, &output, async |asked: &Doomed| {
                // Two streams of one millisecond look the same.
                while meanwhile
                    && door.must_look().await?.description.created_ms == asked.stream.description.created_ms
                {
                    door.stream.delete(false).await.unwrap();
                    door.stream.create(&new).await.unwrap();
                }
                Ok(true)
            })
            .await
        };
        door.stream.create(&new).await.unwrap();
        let refused = ask_and(true).await.unwrap_err().to_string();
        assert!(refused.contains("not the one that was asked about"), "{refused}");
        assert!(door.look().await.unwrap().is_some(), "the new one stays");
        ask_and(false).await.unwrap();
        assert!(door.look().await.unwrap().is_none());
        server.abort();
    }

    #[test]
    fn registered_consumers_want_a_word_of_their_own() {
        let found = StreamParticulars { consumers: 2, ..ours(1) };
        assert!(said(&found, &runs([]), FORCE).contains("--with-consumers"));
        assert_eq!(said(&found, &runs([]), Answers { with_consumers: true, ..FORCE }), "");
    }
}
