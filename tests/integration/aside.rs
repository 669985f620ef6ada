//! What was set aside, when the stream that it belongs into is gone, or another of its name is there.

use serde_json::{Value, json};

use crate::events::{gzip, put};
use crate::foreign::tools;
use crate::lifecycle::{lease, moto, shard_and_last, worker};
use crate::reader::call;
use crate::sandbox::{Outcome, Process, Sandbox};

/// An archive with two records that have a key and one that has none, replayed into a stream of its own.
struct Stage {
    sandbox: Sandbox,
    url: String,
    _simulator: Process,
}

impl Stage {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        put(&sandbox.path("archive"), 0, &gzip(b"{\"k\":\"a\"}\n{\"k\":\"b\"}\n{\"x\":1}\n"));
        let (simulator, url) = sandbox.simulate("--unlimited");
        let stage = Self { sandbox, url, _simulator: simulator };
        stage.create();
        stage
    }

    fn run(&self, line: &str) -> Outcome {
        self.sandbox.run(&format!("{line} --kinesis-endpoint-url {}", self.url))
    }

    fn create(&self) {
        self.run("stream create backfill --shards 1").ended_with(0);
    }

    fn delete(&self) {
        self.run("stream delete backfill --yes --force").ended_with(0);
    }

    fn replay(&self, flags: &str) -> Value {
        self.run(&format!("replay archive --into backfill --json {flags}")).json(3)
    }

    /// As if a worker had been seen to have read so many records of the run.
    fn note_drained(&self, id: &str, delivered: u64) {
        let seen = json!({ "at": "2026-11-26T13:00:00Z", "by": "lease_table", "delivered": delivered });
        let path = self.sandbox.path(format!("state/respool/runs/{id}/drained.json"));
        std::fs::write(path, seen.to_string()).unwrap();
    }

    /// When the stream was made.
    fn made(&self) -> Value {
        let asked = json!({ "StreamName": "backfill" });
        call(&self.url, "DescribeStreamSummary", &asked).unwrap()["StreamDescriptionSummary"]["StreamCreationTimestamp"].clone()
    }

    /// Another stream of the same name: two of one millisecond look the same.
    fn make_anew(&self) {
        let before = self.made();
        while self.made() == before {
            self.delete();
            self.create();
        }
    }
}

fn id(report: &Value) -> &str {
    report["run"].as_str().unwrap()
}

#[test]
fn a_retry_into_another_stream_of_the_same_name_is_not_sent_unawares() {
    let stage = Stage::new();
    let report = stage.replay("--partition-key /k");
    let run = id(&report);
    stage.make_anew();
    let retry = format!("quarantine retry {run} --key-fallback hash --json");
    let refused = stage.sandbox.run(&retry);
    for said in
        ["deleted and this one made anew", "the 2 records of the run went with it", "--yes sends only"]
    {
        assert!(refused.sentence(5).contains(said), "{refused:?}");
    }
    let whole = format!(
        "`respool replay {} --into backfill --json --partition-key /k --kinesis-endpoint-url {} --no-plan --kinesis-region eu-west-1 \
         --new` \
         sends all of it",
        stage.sandbox.path("archive").display(),
        stage.url
    );
    assert!(refused.sentence(5).contains(&whole), "{refused:?}");
    let sent = stage.sandbox.run(&format!("{retry} --yes"));
    assert!(sent.stderr.contains("warning: the stream backfill is not the one that run"), "{sent:?}");
    let sent = sent.json(0);
    for (line, command) in [("verify", "verify"), ("stream drained", "stream drained")] {
        let refused = stage.sandbox.run(&format!("{line} {run}"));
        assert!(refused.sentence(5).contains(&format!("`respool {command} {}`", id(&sent))), "{refused:?}");
    }
    assert_eq!(stage.sandbox.run(&format!("verify {} --json", id(&sent))).json(0)["present"], 1);
}

#[test]
fn what_went_with_an_earlier_stream_unread_keeps_drained_from_calling_it_safe() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let (stage, moto) = (Stage::new(), moto(&python));
    let report = stage.replay("--partition-key /k");
    let run = id(&report);
    stage.make_anew();
    let sent = stage.sandbox.run(&format!("quarantine retry {run} --key-fallback hash --json --yes")).json(0);
    let ledger = stage.sandbox.run(&format!("runs show {} --json", id(&sent))).json(0);
    let (shard, last) = shard_and_last(&ledger["shards"][0]);
    worker(&python, &["leases", &moto.url, "worker"], &json!([lease(&shard, &last)]));
    let drained =
        format!("stream drained {} --lease-table worker --consumer-endpoint-url {}", id(&sent), moto.url);
    let refused = stage.sandbox.run(&drained).sentence(4).to_owned();
    for said in ["all that is in backfill has been read", &format!("2 records of {run} went"), "not safe"] {
        assert!(refused.contains(said), "{refused}");
    }
    stage.note_drained(run, 2);
    assert!(stage.sandbox.run(&drained).stdout.contains("it is safe to point the worker back"));
}

#[test]
fn what_a_worker_has_read_need_not_be_there_for_a_retry() {
    let stage = Stage::new();
    let report = stage.replay("--partition-key /k");
    let (run, retry) = (id(&report), format!("quarantine retry {} --key-fallback hash", id(&report)));
    stage.delete();
    let gone = stage.sandbox.run(&retry);
    for said in
        ["A new replay is needed", "If a worker had read them before", "respool stream create backfill"]
    {
        assert!(gone.sentence(5).contains(said), "{gone:?}");
    }
    stage.note_drained(run, 2);
    let gone = stage.sandbox.run(&retry);
    let create = format!(
        "`respool stream create backfill --shards N --kinesis-region eu-west-1 --kinesis-endpoint-url {}",
        stage.url
    );
    for said in [&create, &format!("`respool {retry}"), "a worker had read what run"] {
        assert!(gone.sentence(5).contains(said), "{gone:?}");
    }
    assert!(!gone.stderr.contains("new replay"), "{gone:?}");
    stage.create();
    let sent = stage.sandbox.run(&format!("{retry} --json"));
    assert!(sent.stderr.contains("a worker had read what the run had delivered, 2 records"), "{sent:?}");
    assert_eq!(sent.json(0)["records"]["delivered"], 1);
}

#[test]
fn where_nothing_was_sent_another_stream_will_do_and_the_key_is_another() {
    let stage = Stage::new();
    let report = stage.replay("--partition-key /kk");
    stage.delete();
    let gone = stage.sandbox.run(&format!("quarantine retry {} --partition-key /k", id(&report)));
    for said in ["had delivered nothing into it", "stream create backfill"] {
        assert!(gone.sentence(5).contains(said), "{gone:?}");
    }
    let verified = stage.sandbox.run(&format!("verify {}", id(&report)));
    assert!(verified.sentence(5).contains("--partition-key /k "), "the key that was meant: {verified:?}");
}

#[test]
fn whoever_names_what_is_in_quarantine_names_the_command_of_the_runs_own_report() {
    let stage = Stage::new();
    let report = stage.replay("--partition-key /k");
    let retry = report["next_steps"][1]["command"].as_str().unwrap();
    assert!(retry.contains("--key-fallback hash"), "{report}");
    let guide = stage.sandbox.run("guide").stdout;
    assert!(guide.contains(&format!("`{retry}` sends it")), "{guide}");
    stage.note_drained(id(&report), 2);
    let delete = stage.run("stream delete backfill");
    assert!(delete.sentence(5).contains(&format!("`{retry}` sends it")), "{delete:?}");
}

#[test]
fn what_is_broken_for_good_is_not_said_to_be_sent_by_another_try() {
    let stage = Stage::new();
    let whole = gzip(&b"{\"k\":\"a\"}\n".repeat(3));
    put(&stage.sandbox.path("archive"), 0, &[&whole[..], &whole[..whole.len() - 4]].concat());
    let run = id(&stage.replay("--partition-key /k")).to_owned();
    let salvage = format!("`respool quarantine retry {run} --salvage` sends what is whole of it");
    let guide = stage.sandbox.run("guide").stdout;
    assert!(guide.contains(&salvage) && guide.contains("says what can be done about the rest"), "{guide}");
    let salvaged = stage.sandbox.run(&format!("quarantine retry {run} --salvage --json")).json(3);
    let retry = id(&salvaged);
    stage.note_drained(&run, 0);
    stage.note_drained(retry, salvaged["records"]["delivered"].as_u64().unwrap());
    let left = format!("1 record of run {retry} is in quarantine and was not sent");
    let mended = format!(
        "`respool quarantine ls {retry}` says what has to be mended before `respool quarantine retry {retry}` can send it"
    );
    for told in [stage.sandbox.run("guide").stdout, stage.run("stream delete backfill").stderr] {
        assert!(told.contains(&left) && told.contains(&mended), "{told}");
    }
    let steps = salvaged["next_steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["why"], "try it again, once what its reason names is mended");
}

#[test]
fn what_a_retry_leaves_alone_is_still_in_quarantine() {
    let stage = Stage::new();
    let report = stage.replay("--partition-key /k");
    let run = id(&report);
    let list = stage.sandbox.path(format!("state/respool/runs/{run}/quarantine/list.jsonl"));
    let before = std::fs::read_to_string(&list).unwrap();
    let mut object: Value = serde_json::from_str(before.lines().next().unwrap()).unwrap();
    let fields = object.as_object_mut().unwrap();
    for field in ["record", "offset", "stored"] {
        fields.remove(field);
    }
    fields.insert("sent_in_part".into(), true.into());
    std::fs::write(&list, format!("{before}{object}\n")).unwrap();
    let retried = stage.sandbox.run(&format!("quarantine retry {run} --key-fallback hash"));
    assert!(
        retried.stderr.contains("1 object was sent in part before being set aside: left alone"),
        "{retried:?}"
    );
    let page = retried.stdout;
    assert!(page.contains("2 others in the same objects, no part of this retry"), "{page}");
    let headline = format!("Done, but 1 whole object stays in the quarantine of run {run}.");
    assert!(retried.code == 3 && page.starts_with(&headline) && !page.contains("as asked"), "{page}");
    assert!(page.contains(&format!("\nNext:\n  respool quarantine ls {run}\n")), "{page}");
    assert!(page.contains(&format!("  retry of     {run}\n")), "{page}");
    let again = stage.sandbox.run(&format!("quarantine retry {run}"));
    assert!(
        again.sentence(5).contains("nothing can be tried again: ") && !again.stderr.contains("--again"),
        "{again:?}"
    );
    assert!(again.stderr.contains("was sent in part before it was set aside"), "{again:?}");
    assert_eq!(stage.sandbox.run("quarantine retry").sentence(5), again.sentence(5));
    let shown = stage.sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    assert!(!stage.sandbox.run(&format!("runs show {shown}")).stdout.contains("as asked"));

    let left = "1 whole object of run";
    stage.note_drained(run, 2);
    stage.note_drained(&shown, 1);
    let delete = stage.run("stream delete backfill");
    let says = format!("`respool quarantine ls {run}` says what can be done");
    assert!(delete.sentence(5).contains(left) && delete.stderr.contains(&says), "{delete:?}");
    let deleted = stage.run("stream delete backfill --yes --json").json(0);
    assert_eq!(deleted["in_quarantine"], json!([{ "run": run, "records": 0, "objects": 1 }]));
    let again = format!("quarantine retry {run} --again --key-fallback hash");
    let gone = stage.sandbox.run(&again);
    assert!(
        gone.sentence(5).contains(&format!(", then `respool {again}")),
        "it sends, and lists nothing: {gone:?}"
    );
}
