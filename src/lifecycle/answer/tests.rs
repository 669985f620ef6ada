//! What the answer must say.

use super::*;
use crate::lifecycle::fixtures::{particulars, retry_into, run_into, with_aside};

fn shard(state: ShardState, owner: Option<&str>) -> ShardVerdict {
    ShardVerdict {
        shard: "shardId-000000000000".into(),
        state,
        records: 1_234,
        last_sequence_number: "9".into(),
        checkpoint: Some("7".into()),
        sub_sequence_number: Some(0),
        owner: owner.map(str::to_owned),
        replayed_until: Some(1_795_000_000),
        read_until: Some(1_794_999_000),
    }
}

fn ways() -> (&'static str, &'static StateDir) {
    static STATE: std::sync::LazyLock<StateDir> = std::sync::LazyLock::new(|| StateDir::other("/s"));
    (" --kinesis-region us-east-2 --state-dir /s", &STATE)
}

fn answer(shards: Vec<ShardVerdict>, unfinished: &[&str]) -> Answer {
    let method = Method::LeaseTable { table: "t".into(), shards, of_others_only: false };
    let unfinished: Vec<_> = unfinished.iter().map(|run| run_into(run, "incomplete", 7)).collect();
    let (unfinished, runs): (Vec<_>, _) = (unfinished.iter().collect(), [run_into("r1", "done", 1_234)]);
    Answer::new(&particulars(1).description, ways(), &runs, &unfinished, method)
}

#[test]
fn the_sentence_that_is_waited_for_comes_only_when_all_is_read_and_the_runs_are_done() {
    let drained = || vec![shard(ShardState::Drained, Some("w"))];
    let done = answer(drained(), &[]);
    assert!(done.drained && done.exit_code == 0);
    assert!(
        done.render().contains("it is safe to point the worker back at the live stream")
            && done
                .render()
                .contains("stream delete orders-backfill --kinesis-region us-east-2 --state-dir /s`"),
        "{}",
        done.render()
    );
    let still_sending = answer(drained(), &["r1"]);
    assert_eq!((still_sending.drained, still_sending.exit_code), (false, 4));
    assert!(
        still_sending.message.contains("`respool resume r1 --state-dir /s`"),
        "{}",
        still_sending.message
    );
    assert!(!still_sending.message.contains("safe"));
    // The worker may still read what was sent.
    assert!(!still_sending.in_vain && still_sending.message.contains("no process works on run r1"));
    assert!(still_sending.progress().ends_with("r1 not finished, and no process works on it"));
}

#[test]
fn the_sentence_names_the_runs_that_were_read() {
    let said = |runs: &[(&str, u64)]| {
        let method = Method::LeaseTable { table: "t".into(), shards: Vec::new(), of_others_only: false };
        let runs: Vec<_> = runs.iter().map(|(run, sent)| run_into(run, "done", *sent)).collect();
        Answer::new(&particulars(1).description, ways(), &runs, &[], method).message
    };
    for (runs, words) in [
        (&[("r1", 7)][..], "into orders-backfill by run r1 has been read"),
        (&[("r0", 0), ("r1", 7), ("r2", 9)], "by the runs r1 and r2 has been read"),
        (&[("r1", 7), ("r2", 1), ("r3", 2)], "by 3 runs, r1 to r3, has been read"),
    ] {
        assert!(said(runs).contains(words), "{}", said(runs));
    }
}

#[test]
fn what_keeps_it_from_being_drained_is_said_with_what_to_do() {
    for (shards, words) in [
        (
            vec![shard(ShardState::Behind, Some("w")), shard(ShardState::Drained, None)],
            "Not yet: of 2 shards of orders-backfill, 1 is behind.",
        ),
        (vec![shard(ShardState::Behind, None)], "no worker holds"),
        (vec![shard(ShardState::NotBegun, None)], "does the worker run"),
        (vec![shard(ShardState::SkipsIt, None)], "TRIM_HORIZON"),
        (vec![shard(ShardState::OtherStream, None)], "a table, of its own"),
        (vec![shard(ShardState::Unproven, None), shard(ShardState::Drained, None)], "nothing in it shows"),
        (
            vec![ShardVerdict { checkpoint: Some("9".into()), ..shard(ShardState::Behind, None) }],
            "inside their last aggregate",
        ),
    ] {
        let answer = answer(shards, &[]);
        assert_eq!(answer.exit_code, 4);
        assert!(answer.message.contains(words), "{}", answer.message);
    }
}

#[test]
fn a_script_finds_method_shards_and_runs() {
    let told = serde_json::to_value(answer(vec![shard(ShardState::Behind, Some("w"))], &[])).unwrap();
    assert_eq!((&told["method"], &told["runs"]["r1"]), (&"lease_table".into(), &1_234.into()));
    assert_eq!(told["shards"][0]["state"], "behind");
    let age = Method::IteratorAge { verdict: AgeVerdict::Behind { age_ms: 61_000.0 } };
    let told = Answer::new(&particulars(1).description, ways(), &[], &[], age);
    assert!(told.message.contains("1 min 01 s old"), "{}", told.message);
    let told = serde_json::to_value(told).unwrap();
    assert_eq!((&told["method"], &told["state"]), (&"iterator_age".into(), &"behind".into()));
}

#[test]
fn an_estimate_is_never_told_as_a_proof() {
    let age = Method::IteratorAge { verdict: AgeVerdict::Past };
    let likely = Answer::new(&particulars(1).description, ways(), &[run_into("r1", "done", 7)], &[], age);
    assert!(likely.drained && !likely.message.contains("safe"), "{}", likely.message);
    assert!(likely.message.contains("estimate, not a proof"), "{}", likely.message);
    assert_eq!(serde_json::to_value(likely).unwrap()["certainty"], "estimate");
    let proven = serde_json::to_value(answer(vec![shard(ShardState::Drained, Some("w"))], &[]));
    assert_eq!(proven.unwrap()["certainty"], "proof");
}

#[test]
fn where_nothing_was_delivered_nothing_is_called_safe() {
    let method = Method::LeaseTable { table: "t".into(), shards: Vec::new(), of_others_only: false };
    let nothing = Answer::new(&particulars(1).description, ways(), &[run_into("r1", "done", 0)], &[], method);
    assert!(nothing.message.contains("Nothing was delivered"), "{}", nothing.message);
}

#[test]
fn a_replay_that_has_set_everything_aside_has_not_happened() {
    let leases = |shards| Method::LeaseTable { table: "t".into(), shards, of_others_only: false };
    let nothing = || with_aside(run_into("r2", "done", 0), (1_800, 1));
    let told = |runs: &[RunInto], method| Answer::new(&particulars(1).description, ways(), runs, &[], method);
    let drained = || leases(vec![shard(ShardState::Drained, None)]);
    for method in [leases(Vec::new()), Method::IteratorAge { verdict: AgeVerdict::NobodyReads }] {
        let answer = told(&[nothing()], method);
        assert_eq!((answer.drained, answer.exit_code, answer.in_vain), (false, 4, true));
        for words in [
            "Not yet: nothing of run r2 was delivered into orders-backfill, all of it was set aside: 1,800 records and 1 whole object.",
            "`respool quarantine ls r2 --state-dir /s`",
            "`respool quarantine retry r2 --state-dir /s` tries it again; or `respool replay s3://events/live/ --into orders-backfill ",
            " --new` begins anew",
        ] {
            assert!(answer.message.contains(words), "{words}: {}", answer.message);
        }
    }
    let mut sent = run_into("r1", "done", 7);
    sent.glance.file.settings.limit = Some(7);
    let runs = [sent, nothing()];
    let answer = told(&runs, drained());
    assert_eq!((answer.exit_code, answer.in_vain), (4, true), "{}", answer.message);
    assert!(answer.message.ends_with("What other runs have delivered has been read."));
    let behind = told(&runs, leases(vec![shard(ShardState::Behind, None)]));
    assert!(!behind.in_vain && behind.message.contains("behind"), "{}", behind.message);
    let retried = told(&[nothing(), retry_into("r2", "r3", "done", 1_801)], drained());
    assert_eq!((retried.exit_code, retried.in_quarantine.len()), (0, 0), "{}", retried.message);
}

#[test]
fn what_is_in_quarantine_is_said_beside_safe() {
    let runs = [with_aside(run_into("r1", "done", 7), (45, 2))];
    for method in [
        Method::LeaseTable { table: "t".into(), shards: Vec::new(), of_others_only: false },
        Method::IteratorAge { verdict: AgeVerdict::Past },
    ] {
        let answer = Answer::new(&particulars(1).description, ways(), &runs, &[], method);
        assert_eq!(answer.exit_code, 0);
        for words in [
            "45 records and 2 whole objects of run r1 are in quarantine and were not sent",
            "`respool quarantine retry r1 --state-dir /s` sends them, before the worker goes back and the stream is deleted",
        ] {
            assert!(answer.message.contains(words), "{}", answer.message);
        }
        let told = serde_json::to_value(answer).unwrap();
        assert_eq!(told["in_quarantine"][0]["objects"], 2);
    }
}

#[test]
fn news_name_the_slowest() {
    let news =
        answer(vec![shard(ShardState::Behind, None), shard(ShardState::Drained, None)], &[]).progress();
    assert!(news.starts_with("1 of 2 shards is drained, the slowest is at 2026-11-18T"), "{news}");
}
