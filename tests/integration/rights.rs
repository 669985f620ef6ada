//! A right that is missing: whoever is told no is told the statement that allows it, and a plan is told before a replay is.
//!
//! Asked of servers of a few lines, because one has to deny.

use serde_json::{Value, json};

use crate::events::put;
use crate::loops::serve;
use crate::sandbox::{Outcome, Sandbox};

const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
const S3_DENIES: &str = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";

/// What a stream of one shard, which delivers by itself, answers to everything but `PutRecords`.
pub(crate) fn stream(operation: &str) -> (u16, Value) {
    match operation {
        "DescribeStreamSummary" => {
            let summary = json!({
                "StreamName": "orders", "StreamARN": ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
                "StreamCreationTimestamp": 1_795_000_000, "EnhancedMonitoring": [], "OpenShardCount": 1, "ChannelCount": 1,
            });
            (200, json!({ "StreamDescriptionSummary": summary }))
        }
        "ListShards" => {
            let range = json!({ "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() });
            let shard = json!({
                "ShardId": "shardId-000000000000", "HashKeyRange": range, "SequenceNumberRange": { "StartingSequenceNumber": "1" },
            });
            (200, json!({ "Shards": [shard] }))
        }
        "ListTagsForStream" => (200, json!({ "Tags": [], "HasMoreTags": false })),
        _ => no("UnknownOperationException"),
    }
}

fn no(code: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": "no" }))
}

/// A sandbox with two records in `archive`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, b"{\"k\":1}\n{\"k\":2}\n");
    sandbox
}

fn warning<'a>(plan: &'a Value, code: &str) -> &'a Value {
    let warnings = plan["warnings"].as_array().unwrap();
    warnings.iter().find(|warning| warning["code"] == code).unwrap_or_else(|| panic!("no {code}: {plan}"))
}

#[test]
fn a_plan_is_told_of_a_right_that_a_replay_would_be_refused_for() {
    let sandbox = sandbox();
    let url = serve(|operation, _| match operation {
        "GetShardIterator" => no("DryRunOperationException"),
        "PutRecords" => no("AccessDeniedException"),
        _ => stream(operation),
    });
    let line = format!("archive --into orders --partition-key /k --kinesis-endpoint-url {url}");
    let plan = sandbox.run(&format!("plan {line} --html plan.html --json")).json(0);
    let missing = warning(&plan, "permission");
    assert!(missing["message"].as_str().unwrap().contains("AccessDenied"), "{missing}");
    let (_, statement) = missing["action"].as_str().unwrap().split_once('{').unwrap();
    let (statement, _) = statement.rsplit_once('}').unwrap();
    let statement: Value = serde_json::from_str(&format!("{{{statement}}}")).unwrap();
    assert_eq!(statement["Action"], json!(["kinesis:PutRecords"]));
    assert_eq!(statement["Resource"], "arn:aws:kinesis:eu-west-1:*:stream/orders");
    let delivers = warning(&plan, "channels")["message"].as_str().unwrap();
    assert!(delivers.contains("the stream orders has 1 channel"), "{delivers}");
    let page = std::fs::read_to_string(sandbox.path("plan.html")).unwrap();
    assert!(page.contains("Warning (permission)"), "what is known late is in the page too");
    let refused = sandbox.run(&format!("replay {line}"));
    assert!(refused.sentence(5).contains("replaying into orders is not allowed"), "{refused:?}");
    assert!(refused.stderr.contains("\"kinesis:PutRecords\""), "{refused:?}");
}

#[test]
fn a_write_that_is_denied_later_names_the_statement_and_is_not_said_to_be_tried_again() {
    let sandbox = sandbox();
    // It knows no DryRun, so only the first write tells.
    let url = serve(|operation, _| match operation {
        "PutRecords" => no("AccessDeniedException"),
        _ => stream(operation),
    });
    let line = format!("replay archive --into orders --partition-key /k --kinesis-endpoint-url {url} --json");
    let outcome = sandbox.run(&line);
    assert!(
        outcome.stderr.contains("warning: the stream orders has 1 channel of its own, which delivers to S3"),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("denied: AccessDeniedException: no; the run ends"), "{outcome:?}");
    assert!(!outcome.stderr.contains("tried again"), "{outcome:?}");
    let report = outcome.json(5);
    let message = report["message"].as_str().unwrap();
    for words in ["the service refuses: AccessDeniedException", "\"kinesis:PutRecords\"", ARN, "resume"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    assert!(report["next_command"].as_str().unwrap().starts_with("respool resume"), "{report}");
}

#[test]
fn a_stream_that_may_not_be_looked_at_comes_with_the_statement_and_with_what_a_plan_can_do() {
    let sandbox = sandbox();
    let url = serve(|_, _| no("AccessDeniedException"));
    let line = format!("archive --into orders --partition-key /k --kinesis-endpoint-url {url}");
    let plan = sandbox.run(&format!("plan {line}"));
    assert!(plan.sentence(5).contains("the stream orders: AccessDeniedException"), "{plan:?}");
    for words in ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "leave out --into"] {
        assert!(plan.stderr.contains(words), "{words}: {plan:?}");
    }
    let replay = sandbox.run(&format!("replay {line}"));
    assert!(replay.code == 5 && replay.stderr.contains("kinesis:PutRecords"), "{replay:?}");
}

/// `line` against an S3 that lists two objects, or not even these, and gives none.
fn denied_by_s3(line: &str, lists: bool) -> Outcome {
    let url = denying_s3(if lists { &[1, 2] } else { &[] });
    Sandbox::new().run(&format!("{line} --s3-endpoint-url {url}"))
}

/// The endpoint of an S3 that lists these objects, or nothing where there are none, and gives none.
fn denying_s3(objects: &'static [u32]) -> String {
    serve(move |_, request| {
        let first = request.lines().next().unwrap_or_default();
        if objects.is_empty() || !(first.contains("list-type=2")) {
            return (403, Value::String(S3_DENIES.to_owned()));
        }
        let object = |number: &u32| {
            format!(
                "<Contents><Key>live/2026/07/01/00/e-1-2026-07-01-00-0{number}-00-a</Key><Size>9</Size><ETag>\"e\"</ETag>\
                 <LastModified>2026-07-01T00:00:00Z</LastModified></Contents>"
            )
        };
        let objects: String = objects.iter().map(object).collect();
        let list = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{objects}</ListBucketResult>");
        (200, Value::String(list))
    })
}

#[test]
fn a_retry_of_what_may_still_not_be_read_names_the_statement_and_itself() {
    let (sandbox, url) = (Sandbox::new(), denying_s3(&[1]));
    let line = "replay s3://events/live/ --into sim:1 --partition-key /k --layout all --json";
    let report = sandbox.run(&format!("{line} --s3-endpoint-url {url}")).json(3);
    assert_eq!(report["objects"]["quarantined"], 1, "{report}");
    for line in ["quarantine retry --key-fallback hash", "quarantine retry --again"] {
        let retry = sandbox.run(line);
        assert!(retry.sentence(5).contains("HTTP status 403"), "{retry:?}");
        let next = format!("Once it is allowed: respool {line} {}", report["run"].as_str().unwrap());
        for words in ["\"s3:GetObject\"", "arn:aws:s3:::events/live/*", "Nothing was sent", &next] {
            assert!(retry.stderr.contains(words), "{words}: {retry:?}");
        }
    }
}

#[test]
fn a_bucket_that_may_not_be_listed_comes_with_the_statement_that_allows_it() {
    for line in [
        "inspect s3://events/live/",
        "plan s3://events/live/ --shards 1",
        "replay s3://events/live/ --into sim:1 --partition-key /k",
    ] {
        let outcome = denied_by_s3(line, false);
        assert!(outcome.sentence(5).contains("AccessDenied: Access Denied"), "{outcome:?}");
        for words in ["\"s3:ListBucket\"", "\"arn:aws:s3:::events\"", "\"live/*\"", "another account"] {
            assert!(outcome.stderr.contains(words), "{line}: {words}: {outcome:?}");
        }
    }
}

#[test]
fn objects_that_may_not_be_read_come_with_the_statement_that_allows_it() {
    let replay =
        denied_by_s3("replay s3://events/live/ --into sim:1 --partition-key /k --layout all --json", true);
    let report = replay.json(4);
    let message = report["message"].as_str().unwrap();
    for words in ["2 objects in a row", "s3:GetObject", "arn:aws:s3:::events/live/*", "another account"] {
        assert!(message.contains(words), "{words}: {message}");
    }
    let inspected = denied_by_s3("inspect s3://events/live/ --layout all", true);
    assert!(inspected.code == 0 && inspected.stdout.contains("\"s3:GetObject\""), "{inspected:?}");
    assert!(!inspected.stdout.contains("--framing"), "{inspected:?}");
    let plan = denied_by_s3("plan s3://events/live/ --shards 1 --partition-key /k --layout all --json", true);
    let plan: Value = serde_json::from_str(&plan.stdout).unwrap_or_else(|_| panic!("{plan:?}"));
    let denied = warning(&plan, "denied");
    assert!(denied["action"].as_str().unwrap().contains("\"s3:GetObject\""), "{denied}");
}

#[test]
fn the_policy_of_a_plan_makes_the_stream_that_the_plan_asks_for() {
    let sandbox = sandbox();
    sandbox.run("plan archive --partition-key /k --shards 2 --retention 48h --save p.json").ended_with(0);
    let actions = |line: &str| {
        let policy = sandbox.run(line).json(0);
        let statements = policy["Statement"].as_array().unwrap().clone();
        let actions = statements.iter().flat_map(|one| one["Action"].as_array().unwrap().clone());
        actions.map(|action| action.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let planned = actions("iam --plan p.json --into orders-backfill");
    for action in ["CreateStream", "AddTagsToStream", "ListTagsForStream", "IncreaseStreamRetentionPeriod"] {
        assert!(planned.contains(&format!("kinesis:{action}")), "{action}: {planned:?}");
    }
    assert!(
        !planned.iter().any(|action| action.contains("Delete") || action.contains("Encryption")),
        "{planned:?}"
    );
    let there = actions("iam archive --into orders");
    assert_eq!(there, ["kinesis:DescribeStreamSummary", "kinesis:ListShards", "kinesis:PutRecords"]);
    let all = actions("iam archive --into orders --create --backfill --lease-table worker");
    for action in
        ["kinesis:CreateStream", "kinesis:DeleteStream", "kinesis:UpdateShardCount", "dynamodb:Scan"]
    {
        assert!(all.iter().any(|one| one == action), "{action}: {all:?}");
    }
    let by_variable = |line: &str| {
        let mut command = sandbox.command(line);
        command.env("RESPOOL_PLAN", sandbox.path("p.json"));
        sandbox.start_command(command).wait()
    };
    let alone = "iam archive --into orders --create";
    assert_eq!(by_variable(alone).json(0), sandbox.run(alone).json(0), "the plan has no say");
    assert_eq!(
        by_variable("iam --into orders-backfill").json(0),
        sandbox.run("iam --plan p.json --into orders-backfill").json(0)
    );
    let other = by_variable("iam s3://other");
    for said in ["ARCHIVE is s3://other", "RESPOOL_PLAN names the plan", "type ARCHIVE and --into,"] {
        assert!(other.sentence(2).contains(said), "{other:?}");
    }
    let open = sandbox.run("iam --plan p.json");
    assert!(open.sentence(2).contains("--into STREAM"), "{open:?}");
}
