//! What the checklist must say.

use super::*;
use crate::lifecycle::fixtures::{ours, particulars, retry_into, run_into, with_aside};
use crate::lifecycle::runs::{BY_AGE, BY_LEASES};
use crate::run::directory::Drained;

const NOW: &str = "2026-11-26T20:00:00Z";

static STATE: std::sync::LazyLock<StateDir> = std::sync::LazyLock::new(|| StateDir::usual("/state"));

fn facts(access: &AwsAccess) -> Facts<'_> {
    Facts {
        run: None,
        runs: &[],
        plan: None,
        stream: None,
        gone: false,
        anew: None,
        live: None,
        live_hours: None,
        away_since: None,
        lease_table: None,
        access,
        state: &STATE,
        consumer: const { &AwsAccess { region: None, profile: None, endpoint_url: None } },
        now: NOW.parse().unwrap(),
    }
}

/// The run that the checklist is about is one of those into the stream.
fn all<'a>(facts: &Facts<'a>) -> Facts<'a> {
    let runs = facts.run.map(std::slice::from_ref).filter(|_| facts.runs.is_empty());
    Facts { runs: runs.unwrap_or(facts.runs), ..*facts }
}

fn text(facts: &Facts<'_>) -> String {
    render(&steps(facts), facts.now)
}

fn steps(facts: &Facts<'_>) -> Vec<Step> {
    super::steps(&all(facts))
}

#[test]
fn a_live_stream_that_has_forgotten_already_is_said_to_have() {
    let access = AwsAccess::default();
    let left = |since: &str, hours| {
        let facts = Facts {
            live: Some("orders"),
            live_hours: hours,
            away_since: Some(since.parse().unwrap()),
            ..facts(&access)
        };
        text(&facts)
    };
    let late = left("2026-11-25T06:00:00Z", Some(24));
    assert!(
        late.contains("(TOO LATE)") && late.contains("orders has forgotten already what came up to"),
        "{late}"
    );
    let in_time = left("2026-11-25T06:00:00Z", Some(72));
    assert!(!in_time.contains("TOO LATE") && !in_time.contains("forgotten already"), "{in_time}");
}

#[test]
fn what_is_only_assumed_of_the_live_stream_is_not_told_as_what_it_has_done() {
    let access = AwsAccess::default();
    let away_since = Some("2026-11-25T06:00:00Z".parse().unwrap());
    let assumed = Facts { away_since, ..facts(&access) };
    let told = text(&assumed);
    assert!(!told.contains("forgotten already") && !told.contains("TOO LATE"), "{told}");
    assert!(told.contains("by 2026-11-26 06:00 UTC (too late, if what is assumed is right)"), "{told}");
    assert!(told.contains("assumed that it keeps records for 24 h (--live STREAM asks)"), "{told}");
    assert!(steps(&assumed)[5].until_is_assumed);
    let early = Facts { away_since: Some("2026-11-26T06:00:00Z".parse().unwrap()), ..facts(&access) };
    assert!(text(&early).contains("(in 10 h 00 min)"), "{}", text(&early));
}

#[test]
fn after_the_end_nobody_is_late() {
    let access = AwsAccess::default();
    let run = run_into("r1", "done", 5);
    let away_since = Some("2026-11-25T06:00:00Z".parse().unwrap());
    for live_hours in [Some(24), None] {
        let facts = Facts { run: Some(&run), gone: true, live_hours, away_since, ..facts(&access) };
        assert_eq!(steps(&facts)[5].until, None);
        let told = text(&facts);
        for words in ["TOO LATE", "too late", "forgotten already", "assumed"] {
            assert!(!told.contains(words), "{words}: {told}");
        }
    }
}

#[test]
fn a_run_under_way_has_its_names_commands_and_times() {
    let access = AwsAccess { profile: Some("live account".into()), ..AwsAccess::default() };
    let (run, stream) = (run_into("20261126-120000", "incomplete", 1_234_567), ours(4));
    let consumer = AwsAccess { region: Some("us-east-2".into()), ..AwsAccess::default() };
    let facts = Facts {
        consumer: &consumer,
        run: Some(&run),
        stream: Some(&stream),
        live: Some("orders"),
        live_hours: Some(48),
        away_since: Some("2026-11-26T12:30:00Z".parse().unwrap()),
        lease_table: Some("orders-backfill-worker"),
        ..facts(&access)
    };
    let text = text(&facts);
    for words in [
        "[x] 1. Make the backfill stream orders-backfill",
        "[ ] 2. Replay s3://events/live/",
        "respool resume 20261126-120000",
        "1,234,567 records delivered",
        "[x] 3. Restart the worker on orders-backfill",
        "TRIM_HORIZON",
        "respool stream drained 20261126-120000 --lease-table orders-backfill-worker --wait --kinesis-profile 'live account' --consumer-region us-east-2",
        "by 2026-11-27 12:00 UTC (in 16 h 00 min)",
        "6. Point the worker back at orders",
        "by 2026-11-28 12:30 UTC",
        "respool stream delete orders-backfill",
        "delete-table --table-name orders-backfill-worker --region us-east-2 --profile 'live account'",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn nobody_reads_a_stream_that_nothing_was_sent_into() {
    let access = AwsAccess::default();
    let run = run_into("r1", "incomplete", 0);
    let away_since = Some("2026-11-26T12:30:00Z".parse().unwrap());
    let there = |run| steps(&Facts { run, away_since, ..facts(&access) })[2].clone();
    assert_eq!(there(None).done, None);
    assert!(there(None).notes.iter().any(|note| note.contains("it left the live stream at")));
    assert_eq!(there(Some(&run)).done, Some(true));
}

#[test]
fn an_estimate_ticks_nothing_off() {
    let access = AwsAccess::default();
    let directory = tempfile::tempdir().unwrap();
    let mut run = run_into("r1", "done", 5);
    run.glance.path = directory.path().into();
    let ticked = |by: &str| {
        let at = NOW.parse().unwrap();
        run.glance.note_drained(&Drained { at, by: by.into(), delivered: 5 }).unwrap();
        let steps = steps(&Facts { run: Some(&run), ..facts(&access) });
        let drained = steps.into_iter().find(|step| step.step == "drained").unwrap();
        (drained.done, drained.notes.join(" ").contains("an estimate"))
    };
    assert_eq!(ticked(BY_AGE), (Some(false), true));
    assert_eq!(ticked(BY_LEASES), (Some(true), false));
}

#[test]
fn a_time_that_has_passed_is_shouted() {
    let access = AwsAccess::default();
    let (run, stream) = (run_into("r1", "done", 5), ours(1));
    let late = "2026-11-27T12:00:01Z".parse().unwrap();
    let facts = Facts { run: Some(&run), stream: Some(&stream), now: late, ..facts(&access) };
    assert!(text(&facts).contains("by 2026-11-27 12:00 UTC (TOO LATE)"));
    let drained = steps(&facts).into_iter().find(|step| step.step == "drained").unwrap();
    assert_eq!(drained.done, Some(false));
}

#[test]
fn a_door_in_clear_and_another_state_directory_are_said_once_in_each_command() {
    let access = AwsAccess { endpoint_url: "http://10.0.0.1".parse().ok(), ..AwsAccess::default() };
    let mut run = run_into("r1", "incomplete", 5);
    run.glance.file.tuning.kinesis = access.clone();
    let (state, stream) = (StateDir::other("/my state"), ours(1));
    let facts =
        Facts { run: Some(&run), stream: Some(&stream), state: &state, consumer: &access, ..facts(&access) };
    let commands: Vec<String> = steps(&facts).into_iter().filter_map(|step| step.command).collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    for command in commands {
        for flag in [" --allow-insecure-endpoint", " --state-dir '/my state'"] {
            assert_eq!(command.matches(flag).count(), 1, "{command}");
        }
    }
}

#[test]
fn before_there_is_a_run_the_guide_has_blanks_to_fill_in() {
    let access = AwsAccess::default();
    let text = text(&facts(&access));
    for words in [
        "respool stream create NAME --shards N",
        "respool replay s3://BUCKET/PREFIX",
        "assumed that it keeps records for 24 h",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("[x]"), "{text}");
}

#[test]
fn a_stream_that_is_not_ours_is_left_to_its_owner() {
    let access = AwsAccess { region: Some("us-east-2".into()), ..AwsAccess::default() };
    let (run, stream) = (run_into("r1", "done", 5), particulars(1));
    let steps = steps(&Facts { run: Some(&run), stream: Some(&stream), ..facts(&access) });
    assert_eq!(
        steps.last().unwrap().command.as_deref(),
        Some("aws kinesis delete-stream --stream-name orders-backfill --region us-east-2")
    );
}

#[test]
fn a_stream_that_is_gone_is_not_made_again() {
    let access = AwsAccess::default();
    let run = run_into("r1", "done", 5);
    let steps = steps(&Facts { run: Some(&run), gone: true, ..facts(&access) });
    assert_eq!((steps[0].done, steps[0].command.as_deref()), (Some(true), None));
    assert_eq!((steps[6].done, steps[6].command.as_deref()), (Some(true), None));
}

#[test]
fn a_stream_that_was_made_anew_is_not_called_gone() {
    let access = AwsAccess::default();
    let (run, other) = (run_into("r1", "done", 5), ours(2));
    let facts = Facts { run: Some(&run), gone: true, anew: Some(&other), ..facts(&access) };
    let text = text(&facts);
    assert!(text.contains("orders-backfill as it is now, made "), "{text}");
    assert!(text.contains("is another and has nothing of it") && text.contains("costs, too"), "{text}");
    assert!(!text.contains("it is not there any more") && !text.contains("stream delete"), "{text}");
}

#[test]
fn where_the_leases_are_is_not_guessed_from_a_stream_of_ones_own() {
    let at = |url: &str| AwsAccess { endpoint_url: Some(url.parse().unwrap()), ..AwsAccess::default() };
    let (simulator, dynamodb) = (at("http://127.0.0.1:4567"), at("http://127.0.0.1:8000"));
    let run = run_into("r1", "done", 5);
    let note = |access: &AwsAccess, consumer: &AwsAccess| {
        text(&Facts { run: Some(&run), access, consumer, ..facts(access) })
    };
    assert!(
        note(&simulator, &simulator)
            .contains("4567 has to answer for DynamoDB, which `respool simulate` does not")
    );
    let nowhere = note(&simulator, &AwsAccess::default());
    assert!(
        nowhere.contains("--wait --kinesis-endpoint-url http://127.0.0.1:4567 --consumer-endpoint-url URL\n")
    );
    let elsewhere = note(&at("https://streams.example"), &AwsAccess::default());
    assert!(elsewhere.contains("looked for in AWS: --consumer-endpoint-url names another"), "{elsewhere}");
    assert!(!note(&simulator, &dynamodb).contains("answer for DynamoDB"));
    let aws = AwsAccess::default();
    assert!(!note(&aws, &aws).contains("DynamoDB:"));
    let theirs = particulars(1);
    let steps = steps(&Facts { run: Some(&run), stream: Some(&theirs), ..facts(&simulator) });
    let delete =
        "aws kinesis delete-stream --stream-name orders-backfill --endpoint-url http://127.0.0.1:4567";
    assert_eq!(steps.last().unwrap().command.as_deref(), Some(delete));
}

#[test]
fn a_run_that_has_set_aside_everything_is_not_ticked_off() {
    let access = AwsAccess::default();
    let nothing = RunInto { set_aside: (7, 1), ..run_into("r1", "done", 0) };
    let replay = |run: &RunInto| steps(&Facts { run: Some(run), ..facts(&access) }).swap_remove(1);
    let step = replay(&nothing);
    assert_eq!((step.done, step.command.as_deref()), (Some(false), Some("respool quarantine ls r1")));
    assert!(step.notes[1].contains("7 records and 1 whole object in quarantine, nothing in"), "{step:?}");
    let some = RunInto { set_aside: (7, 0), ..run_into("r1", "done", 5) };
    let step = replay(&some);
    assert_eq!((step.done, step.command.as_deref()), (Some(true), None));
    assert!(step.notes[1].contains("7 records were set aside: `respool quarantine ls r1`"), "{step:?}");
    let one = RunInto { set_aside: (0, 1), ..run_into("r1", "done", 5) };
    assert!(replay(&one).notes[1].contains("1 whole object was set aside: "));
    assert_eq!(replay(&run_into("r1", "done", 0)).done, Some(true), "there was nothing to send");
}

#[test]
fn the_earliest_record_that_was_not_read_sets_the_time() {
    let access = AwsAccess::default();
    let directory = tempfile::tempdir().unwrap();
    let at = |id: &str, started: &str| {
        let mut run = run_into(id, "done", 5);
        run.glance.file.started = started.parse().unwrap();
        run
    };
    let stream = ours(1);
    let mut runs = vec![
        at("r1", "2026-11-26T03:00:00Z"),
        at("r2", "2026-11-26T06:00:00Z"),
        at("r3", "2026-11-26T19:00:00Z"),
        RunInto { delivered: 0, ..at("r0", "2026-11-26T01:00:00Z") },
    ];
    let drained = |runs: &[RunInto]| {
        let facts = Facts { run: runs.get(2), runs, stream: Some(&stream), ..facts(&access) };
        steps(&facts).into_iter().find(|step| step.step == "drained").unwrap()
    };
    let step = drained(&runs);
    assert_eq!(step.until.unwrap().to_string(), "2026-11-27T03:00:00Z");
    assert!(step.notes.iter().any(|note| note.contains("run r1, the oldest of 3")), "{step:?}");
    // What was read may be forgotten.
    runs[0].glance.path = directory.path().into();
    let seen = Drained { at: NOW.parse().unwrap(), by: BY_LEASES.into(), delivered: 5 };
    runs[0].glance.note_drained(&seen).unwrap();
    assert_eq!(drained(&runs).until.unwrap().to_string(), "2026-11-27T06:00:00Z");
    runs[2].glance.path = directory.path().into();
    assert_eq!(drained(&runs).done, Some(false), "r2 was not read");
}

#[test]
fn what_retries_have_sent_counts_as_the_runs_own() {
    let access = AwsAccess::default();
    let directory = tempfile::tempdir().unwrap();
    let first = || with_aside(run_into("r1", "done", 0), (1_800, 0));
    let told = |runs: &[RunInto]| steps(&Facts { run: runs.first(), runs, ..facts(&access) });
    let mut sent = [first(), retry_into("r1", "r2", "done", 1_800)];
    let step = told(&sent).swap_remove(1);
    assert_eq!((step.done, &step.command), (Some(true), &None));
    let notes = step.notes.join("\n");
    assert!(
        notes.contains("run r2 has tried again what was set aside, done: 1,800 records delivered"),
        "{notes}"
    );
    assert!(notes.ends_with("nothing is left in quarantine"), "{notes}");
    assert!(told(&sent)[3].notes.iter().any(|note| note.contains("`respool verify r1`")));

    sent[1].glance.path = directory.path().into();
    let seen = Drained { at: NOW.parse().unwrap(), by: BY_LEASES.into(), delivered: 1_800 };
    sent[1].glance.note_drained(&seen).unwrap();
    assert_eq!(told(&sent)[4].done, Some(true), "what the retry has sent was read");

    let begun = [first(), retry_into("r1", "r2", "incomplete", 9)];
    let step = told(&begun).swap_remove(1);
    assert_eq!((step.done, step.command.as_deref()), (Some(false), Some("respool resume r2")));
    let some = [first(), with_aside(retry_into("r1", "r2", "done", 1_799), (1, 0))];
    let step = told(&some).swap_remove(1);
    assert_eq!(step.done, Some(true));
    assert!(step.notes[2].contains("1 record was set aside: `respool quarantine ls r2`"), "{step:?}");
}

#[test]
fn what_is_in_quarantine_stands_before_the_way_back() {
    let access = AwsAccess::default();
    let run = with_aside(run_into("r1", "done", 5), (45, 2));
    let told = |gone| {
        let steps = steps(&Facts { run: Some(&run), gone, ..facts(&access) });
        [5, 6].map(|step: usize| steps[step].notes.join("\n"))
    };
    let left = "45 records and 2 whole objects of run r1 are in quarantine and were not sent";
    let [back, delete] = told(false);
    assert!(back.contains(&format!("before that: {left}; `respool quarantine retry r1` sends")), "{back}");
    assert!(delete.contains(&format!("{left}: once the stream is deleted")), "{delete}");
    assert!(told(true).iter().all(|notes| !notes.contains("quarantine")), "it is too late");
}

#[test]
fn after_the_end_what_is_known_is_ticked_and_what_is_not_is_no_task() {
    let access = AwsAccess::default();
    let directory = tempfile::tempdir().unwrap();
    let mut run = run_into("r1", "done", 5);
    run.glance.path = directory.path().into();
    run.glance
        .note_drained(&Drained { at: NOW.parse().unwrap(), by: BY_LEASES.into(), delivered: 5 })
        .unwrap();
    let runs = [run];
    let text = text(&Facts { run: runs.first(), runs: &runs, gone: true, ..facts(&access) });
    for words in [
        "[x] 1.",
        "[x] 2.",
        "[x] 3.",
        "[x] 4.",
        "[x] 5.",
        "[?] 6.",
        "whether the worker is back is not known",
        "[x] 7.",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

#[test]
fn what_nobody_has_seen_read_is_not_waited_for_when_the_stream_is_gone() {
    let access = AwsAccess::default();
    let runs = [run_into("r1", "done", 5)];
    let text = text(&Facts { run: runs.first(), runs: &runs, gone: true, ..facts(&access) });
    for words in ["[?] 3.", "[?] 5.", "what was not read went with the stream"] {
        assert!(text.contains(words), "{words}\n{text}");
    }
    assert!(!text.contains("[ ]") && !text.contains("TRIM_HORIZON"), "{text}");
}
