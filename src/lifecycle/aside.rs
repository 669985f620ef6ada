//! What the runs into a stream have set aside and nobody has sent since.
//!
//! A retry goes into the stream of the run that it retries, and into no other: when the stream is gone, or the worker has left
//! it, what lies in quarantine comes there no more. What a retry has taken is left only as far as it has
//! set it aside itself; what it has not taken (what was sent in part, what another framing does not read) is left where it was.
//! One that is not finished has taken nothing yet. A retry takes another one's place only if it has tried all that the other
//! has: else what is left of both is counted, rather twice than never. Of a run that was begun anew with the same choice of objects
//! the newer one tells what is missing, unless it has less.

use serde::Serialize;

use super::runs::{RunInto, records_and_objects};
use crate::config::StateDir;
use crate::record::{agree, many};
use crate::run::begun;
use crate::run::quarantine::again::Ways;

/// Runs that a sentence names.
const NAMED_MAX: usize = 3;

/// A run, and how many records and whole objects of its quarantine nobody has sent.
pub type Held<'a> = (&'a RunInto, (u64, u64));

/// What is left in quarantine of one replay and its retries, in one place.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a> {
    /// The run in whose quarantine it is.
    pub holder: &'a RunInto,
    /// Records and whole objects.
    pub count: (u64, u64),
    /// The replay that had it at first.
    root: &'a RunInto,
    /// Records that the replay and its retries have delivered.
    delivered: u64,
}

/// The same for a script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InQuarantine {
    /// The run in whose quarantine it is.
    pub run: String,
    /// Records.
    pub records: u64,
    /// Whole objects.
    pub objects: u64,
}

/// The retries of `run` itself among `runs`, oldest first. Each is younger than what it retries.
pub fn retries<'a>(run: &'a RunInto, runs: &'a [RunInto]) -> impl Iterator<Item = &'a RunInto> {
    let id = run.glance.id.as_str();
    let younger = runs.iter().skip_while(move |other| other.glance.id != id).skip(1);
    younger.filter(move |other| other.glance.retried() == Some(id))
}

/// `run`, its retries, and theirs.
#[must_use]
pub fn family<'a>(run: &'a RunInto, runs: &'a [RunInto]) -> Vec<&'a RunInto> {
    let theirs = retries(run, runs).flat_map(|retry| family(retry, runs));
    std::iter::once(run).chain(theirs).collect()
}

/// What the family of `run` has in quarantine and nobody of them has sent, each with the run that has it.
#[must_use]
pub fn holders<'a>(run: &'a RunInto, runs: &'a [RunInto]) -> Vec<Held<'a>> {
    let tried: Vec<_> = retries(run, runs)
        .filter(|retry| !retry.glance.is_unfinished())
        .map(|retry| (retry, holders(retry, runs)))
        .collect();
    let covers = |one: &RunInto, other: &RunInto| one.covers.contains(&other.glance.id);
    // Of those that have tried the same the better one counts, the older one if they are alike.
    let counts = |place: usize, retry: &RunInto, left: &[Held<'_>]| {
        !tried.iter().enumerate().any(|(at, (other, theirs))| {
            let (theirs, left) = (sum(theirs), sum(left));
            covers(other, retry) && (!covers(retry, other) || theirs < left || theirs == left && at < place)
        })
    };
    let own = if tried.is_empty() { run.set_aside } else { run.untaken };
    let theirs = tried.iter().enumerate().filter(|(at, (retry, left))| counts(*at, retry, left));
    let theirs = theirs.flat_map(|(_, (_, left))| left.iter().copied());
    let all = std::iter::once((run, own)).chain(theirs);
    all.filter(|(_, count)| *count != (0, 0)).collect()
}

/// What is left of each replay into the stream that is done; `runs` are all into it, oldest first.
#[must_use]
pub fn left(runs: &[RunInto]) -> Vec<Left<'_>> {
    let is_root = |run: &&RunInto| {
        let of = run.glance.retried();
        !run.glance.is_unfinished() && !runs.iter().any(|other| Some(other.glance.id.as_str()) == of)
    };
    let all: Vec<_> = runs.iter().filter(is_root).map(|root| (root, holders(root, runs))).collect();
    let mut open = Vec::new();
    for (place, (root, left)) in all.iter().enumerate() {
        let takes_its_place = |(later, theirs): &(&RunInto, Vec<Held<'_>>)| {
            root.glance.chooses_as(&later.glance) && sum(theirs) <= sum(left)
        };
        if !all.iter().skip(place + 1).any(takes_its_place) {
            let delivered = family(root, runs).iter().map(|run| run.delivered).sum();
            open.extend(left.iter().map(|&(holder, count)| Left { holder, count, root, delivered }));
        }
    }
    open
}

/// The newest replay of which nothing was delivered, because all of it was set aside. After another one that has
/// delivered something, it was given up.
#[must_use]
pub fn unsent(runs: &[RunInto]) -> Option<Left<'_>> {
    let sent = runs.iter().rposition(|run| !run.glance.is_unfinished() && run.delivered > 0);
    let since = runs.get(sent.map_or(0, |sent| sent + 1)..).unwrap_or_default();
    let begun_since = |left: &Left<'_>| since.iter().any(|run| run.glance.id == left.root.glance.id);
    left(runs).into_iter().rev().find(|left| left.delivered == 0 && begun_since(left))
}

impl Left<'_> {
    /// `12 records and 3 whole objects`.
    #[must_use]
    pub fn what(&self) -> String {
        records_and_objects(self.count).unwrap_or_default()
    }

    /// How it is sent after all.
    #[must_use]
    pub fn ways(&self, state: &StateDir) -> Ways {
        Ways::of(state, &self.holder.glance)
    }

    /// What begins the replay anew that had it at first.
    #[must_use]
    pub fn anew(&self, state: &StateDir) -> Option<String> {
        begun::anew(&self.root.glance, state)
    }

    fn entries(&self) -> u64 {
        self.count.0 + self.count.1
    }
}

impl From<&Left<'_>> for InQuarantine {
    fn from(left: &Left<'_>) -> Self {
        let (records, objects) = left.count;
        Self { run: left.holder.glance.id.clone(), records, objects }
    }
}

/// `12 records of run A and 1 record of run B were set aside and not sent`; `None` if nothing is left.
#[must_use]
pub fn sentence(left: &[Left<'_>]) -> Option<String> {
    let named =
        left.iter().take(NAMED_MAX).map(|left| format!("{} of run {}", left.what(), left.holder.glance.id));
    let more = left.len().checked_sub(NAMED_MAX).filter(|&more| more > 0);
    let parts: Vec<_> =
        named.chain(more.map(|more| format!("those of {}", many(more, "other run")))).collect();
    let all: u64 = left.iter().map(Left::entries).sum();
    let (are, were) = (agree(all, "is", "are"), agree(all, "was", "were"));
    (!parts.is_empty()).then(|| format!("{} {are} in quarantine and {were} not sent", parts.join(", ")))
}

/// `… sends them`, by the commands that do; what no command sends is listed by one that says what can be done.
#[must_use]
pub fn sends_them(left: &[Left<'_>], state: &StateDir) -> String {
    let ways: Vec<_> = left.iter().take(NAMED_MAX).map(|left| left.ways(state)).collect();
    let them = agree(left.iter().map(Left::entries).sum::<u64>(), "it", "them");
    told(ways, if left.len() > NAMED_MAX { "some of them" } else { them })
}

fn told(ways: Vec<Ways>, them: &str) -> String {
    let (mut mended, mut retries, mut anew, mut lists) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut only_in_part = true;
    for Ways { retries: some, anew: begins, list, left_alone, doubtful } in ways {
        if doubtful.is_all_mended() && !some.is_empty() {
            mended.push((list, some.join(", then ")));
            continue;
        }
        let nothing_does = some.is_empty() && begins.is_none();
        anew.extend(begins.filter(|_| some.is_empty()));
        if !some.is_empty() {
            only_in_part &= doubtful.is_all_in_part();
            retries.push(some);
        }
        if nothing_does || left_alone > 0 || doubtful.leaves_some() {
            lists.push(list);
        }
    }
    let kinds = [mended.is_empty(), retries.is_empty(), anew.is_empty(), lists.is_empty()];
    let all_of = them;
    let them = if kinds.into_iter().filter(|none| !none).count() > 1 { "some of them" } else { them };
    let mut parts = Vec::new();
    if !retries.is_empty() {
        let sends = agree(retries.iter().map(Vec::len).sum::<usize>(), "sends", "send");
        let commands: Vec<_> = retries.iter().map(|some| some.join(", then ")).collect();
        let them = if only_in_part { format!("what is whole of {all_of}") } else { them.to_owned() };
        parts.push(format!("{} {sends} {them}", commands.join(", ")));
    }
    if !anew.is_empty() {
        parts.push(format!("{} {} anew with {them}", anew.join(", "), agree(anew.len(), "begins", "begin")));
    }
    if !lists.is_empty() {
        let rest = if parts.is_empty() { "" } else { " about the rest" };
        parts.push(format!(
            "{} {} what can be done{rest}",
            lists.join(", "),
            agree(lists.len(), "says", "say")
        ));
    }
    let mended = mended.into_iter().map(|(list, retry)| {
        format!("{list} says what has to be mended before {retry} can send {them} (or leave {them} out)")
    });
    parts.into_iter().chain(mended).collect::<Vec<_>>().join(", ")
}

fn sum(left: &[Held<'_>]) -> u64 {
    left.iter().map(|(_, (records, objects))| records + objects).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{retry_into, run_into, with_aside};
    use crate::run::quarantine::again::Doubtful;

    fn told(runs: &[RunInto]) -> Vec<(&str, (u64, u64))> {
        left(runs).iter().map(|left| (left.holder.glance.id.as_str(), left.count)).collect()
    }

    fn covering(others: &[&str], run: RunInto) -> RunInto {
        RunInto { covers: others.iter().map(ToString::to_string).collect(), ..run }
    }

    #[test]
    fn what_a_retry_has_sent_is_not_left() {
        let first = || with_aside(run_into("r1", "done", 5), (45, 2));
        assert_eq!(told(&[first()]), [("r1", (45, 2))]);
        assert_eq!(told(&[first(), retry_into("r1", "r2", "done", 47)]), []);
        let some = || with_aside(retry_into("r1", "r2", "done", 44), (3, 0));
        assert_eq!(told(&[first(), some()]), [("r2", (3, 0))]);
        assert_eq!(told(&[first(), some(), retry_into("r2", "r3", "done", 3)]), []);
        let begun = retry_into("r1", "r2", "incomplete", 9);
        assert_eq!(told(&[first(), begun]), [("r1", (45, 2))], "it may never be finished");
    }

    #[test]
    fn the_better_of_two_retries_counts() {
        let first = with_aside(run_into("r1", "done", 0), (45, 0));
        let wrong = covering(&["r3"], with_aside(retry_into("r1", "r2", "done", 0), (45, 0)));
        let right = covering(&["r2"], retry_into("r1", "r3", "done", 45));
        let runs = [first, wrong, right];
        assert_eq!((told(&runs), unsent(&runs).is_some()), (vec![], false));
        assert_eq!(told(&runs[..2]), [("r2", (45, 0))]);
        assert!(unsent(&runs[..2]).is_some());
    }

    #[test]
    fn a_retry_of_more_is_not_taken_for_done_by_one_of_a_part() {
        let first = || with_aside(run_into("r1", "done", 9), (45, 2));
        let arrays = || retry_into("r1", "r2", "done", 40);
        let all_again = with_aside(retry_into("r1", "r3", "done", 40), (4, 1));
        assert_eq!(told(&[first(), arrays(), covering(&["r2"], all_again)]), [("r3", (4, 1))]);
        let all = || covering(&["r3"], with_aside(retry_into("r1", "r2", "done", 40), (4, 1)));
        assert_eq!(told(&[first(), all(), retry_into("r1", "r3", "done", 3)]), [("r2", (4, 1))]);
        let some = |id: &str| with_aside(retry_into("r1", id, "done", 5), (3, 0));
        assert_eq!(told(&[first(), some("r2"), some("r3")]), [("r2", (3, 0)), ("r3", (3, 0))]);
    }

    #[test]
    fn a_replay_of_the_same_takes_the_place_of_an_earlier_one_and_of_something_else_does_not() {
        let wrong_key = || with_aside(run_into("r1", "done", 0), (45, 0));
        let anew = || run_into("r2", "done", 45);
        assert_eq!(told(&[wrong_key(), anew()]), []);
        let mut other = anew();
        other.glance.file.settings.limit = Some(45);
        assert_eq!(told(&[wrong_key(), other]), [("r1", (45, 0))]);
        let worse = with_aside(anew(), (46, 0));
        assert_eq!(told(&[wrong_key(), worse]), [("r1", (45, 0)), ("r2", (46, 0))]);
    }

    #[test]
    fn only_the_last_of_the_replays_can_be_one_that_has_not_happened() {
        let nothing = |id: &str| with_aside(run_into(id, "done", 0), (45, 0));
        let mut sent = run_into("r2", "done", 7);
        sent.glance.file.settings.limit = Some(7);
        let runs = [nothing("r1"), sent, nothing("r3")];
        assert!(unsent(&runs[..2]).is_none(), "r1 was given up");
        assert_eq!(unsent(&runs).unwrap().holder.glance.id, "r3");
        assert!(unsent(&[run_into("r1", "done", 0)]).is_none(), "there was nothing to send");
    }

    #[test]
    fn each_command_is_said_to_do_what_it_does() {
        let doubtful = Doubtful::default();
        let none = || Ways { retries: Vec::new(), anew: None, list: "`ls`".into(), left_alone: 0, doubtful };
        let by =
            |retries: &[&str]| Ways { retries: retries.iter().map(ToString::to_string).collect(), ..none() };
        let anew = || Ways { anew: Some("`anew`".into()), ..none() };
        let doubted = |doubtful| Ways { doubtful, ..by(&["`a`"]) };
        let mended = || doubted(Doubtful { tried: 2, mended: 2, in_part: 0 });
        let in_part = || doubted(Doubtful { tried: 2, mended: 0, in_part: 2 });
        for (ways, expected) in [
            (vec![by(&["`a`"])], "`a` sends them"),
            (vec![by(&["`arrays`", "`rest`"]), by(&["`b`"])], "`arrays`, then `rest`, `b` send them"),
            (vec![anew()], "`anew` begins anew with them"),
            (vec![Ways { anew: anew().anew, ..by(&["`a`"]) }], "`a` sends them"),
            (vec![none()], "`ls` says what can be done"),
            (
                vec![Ways { left_alone: 1, ..by(&["`a`"]) }],
                "`a` sends some of them, `ls` says what can be done about the rest",
            ),
            (vec![by(&["`a`"]), anew()], "`a` sends some of them, `anew` begins anew with some of them"),
            (vec![in_part()], "`a` sends what is whole of them, `ls` says what can be done about the rest"),
            (vec![mended()], "`ls` says what has to be mended before `a` can send them (or leave them out)"),
            (
                vec![by(&["`b`"]), mended()],
                "`b` sends some of them, `ls` says what has to be mended before `a` can send some of them (or leave some of them out)",
            ),
        ] {
            assert_eq!(super::told(ways, "them"), expected);
        }
    }

    #[test]
    fn many_runs_are_counted_rather_than_named() {
        let of = |number: u64| with_aside(run_into(&format!("r{number}"), "done", 1), (number, 0));
        let mut runs: Vec<RunInto> = (1..=5).map(of).collect();
        for (limit, run) in (1..).zip(&mut runs) {
            run.glance.file.settings.limit = Some(limit);
        }
        let expected = "1 record of run r1, 2 records of run r2, 3 records of run r3, those of 2 other runs are in quarantine and were not sent";
        assert_eq!(sentence(&left(&runs)).as_deref(), Some(expected));
        assert_eq!(
            sentence(&left(&runs[..1])).unwrap(),
            "1 record of run r1 is in quarantine and was not sent"
        );
        assert_eq!(sentence(&[]), None);
    }
}
