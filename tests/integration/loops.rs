//! Does a replay feed the archive that it reads? Asked of a Firehose of a few lines, because one has to be denied,
//! to fail and to answer half; and asked by everything that sends: `replay`, `resume` and `quarantine retry`.

use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::credentials::read_message;
use crate::events::put;
use crate::sandbox::{Outcome, Sandbox};

const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
const DENIED: &str = "AccessDeniedException";

/// A server that answers each operation with a status and an object, or with a text as it stands.
pub(crate) fn serve(answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    // Lives as long as the process: nobody tells it that a test has ended.
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || {
                while let Some(request) = read_message(&mut client) {
                    let request = String::from_utf8_lossy(&request);
                    let target =
                        request.lines().find(|line| line.to_lowercase().starts_with("x-amz-target:"));
                    let operation = target.and_then(|line| line.rsplit('.').next()).unwrap_or_default();
                    let (status, body) = answer(operation.trim(), &request);
                    let body = match body {
                        Value::String(text) => text,
                        body => body.to_string(),
                    };
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                    if client.write_all((head + &body).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

fn refused(code: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": "no" }))
}

fn summary() -> (u16, Value) {
    let summary = json!({
        "StreamName": "orders", "StreamARN": ARN, "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1_795_000_000, "EnhancedMonitoring": [], "OpenShardCount": 1,
    });
    (200, json!({ "StreamDescriptionSummary": summary }))
}

fn names(names: &[&str]) -> (u16, Value) {
    (200, json!({ "DeliveryStreamNames": names, "HasMoreDeliveryStreams": false }))
}

/// A delivery stream from `stream` into the archive of these tests.
fn archiver(stream: &str) -> (u16, Value) {
    let described = json!({
        "DeliveryStreamName": "archiver",
        "Source": { "KinesisStreamSourceDescription": { "KinesisStreamARN": stream } },
        "Destinations": [{ "ExtendedS3DestinationDescription": { "BucketARN": "arn:aws:s3:::events", "Prefix": "" } }],
    });
    (200, json!({ "DeliveryStreamDescription": described }))
}

/// A replay against a server that is everything.
fn replay(answer: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static) -> Outcome {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command("replay s3://events/live/ --into orders --partition-key /id --dry-run");
    command.env("AWS_ENDPOINT_URL", serve(answer));
    sandbox.start_command(command).wait()
}

#[test]
fn a_look_that_is_denied_comes_with_the_statement_that_allows_it() {
    let outcome = replay(|operation, _| match operation {
        "DescribeStreamSummary" => refused(DENIED),
        _ => refused("UnknownOperationException"),
    });
    let warned = |outcome: &Outcome, action: &str| {
        let words = ["warning: whether a delivery stream takes orders back", "it may not be asked", action];
        for words in words {
            assert!(outcome.stderr.contains(words), "{words}: {}", outcome.stderr);
        }
    };
    warned(&outcome, "\"kinesis:DescribeStreamSummary\"");
    let outcome = replay(|operation, _| match operation {
        "DescribeStreamSummary" => summary(),
        "ListDeliveryStreams" => refused(DENIED),
        _ => refused("UnknownOperationException"),
    });
    warned(&outcome, "\"firehose:ListDeliveryStreams\"");
}

#[test]
fn a_look_that_fails_is_no_denial_and_is_told_as_well() {
    let outcome = replay(|operation, _| match operation {
        "DescribeStreamSummary" => refused("InvalidArgumentException"),
        _ => refused("UnknownOperationException"),
    });
    assert!(outcome.stderr.contains("it could not be asked"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("Statement"), "{}", outcome.stderr);
}

#[test]
fn one_delivery_stream_that_may_not_be_looked_at_does_not_hide_another() {
    let answer = |closes: bool| {
        move |operation: &str, request: &str| match operation {
            "DescribeStreamSummary" => summary(),
            "ListDeliveryStreams" => names(&["secret", "archiver"]),
            "DescribeDeliveryStream" if request.contains("secret") => refused(DENIED),
            "DescribeDeliveryStream" => archiver(if closes { ARN } else { "arn:other" }),
            _ => refused("UnknownOperationException"),
        }
    };
    let outcome = replay(answer(true));
    assert!(outcome.sentence(5).contains("the delivery stream archiver"), "{}", outcome.stderr);
    let outcome = replay(answer(false));
    assert!(outcome.stderr.contains("\"firehose:DescribeDeliveryStream\""), "{}", outcome.stderr);
}

#[test]
fn whatever_sends_asks_first() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    put(&sandbox.path("archive"), 0, b"{\"k\":1}\n{\"x\":2}\n");
    let line = format!("replay archive --into demo --partition-key /k --endpoint-url {url} --yes --json");
    let run = sandbox.run(&line).json(3)["run"].as_str().unwrap().to_owned();
    // The same run, out of a bucket: only a look at the archive would notice.
    let file = |name: &str| sandbox.path(format!("state/respool/runs/{run}/{name}"));
    let mut told: Value = serde_json::from_slice(&fs::read(file("run.json")).unwrap()).unwrap();
    told["settings"]["archive"] = json!({ "kind": "s3", "bucket": "events", "prefix": "live/" });
    fs::write(file("run.json"), told.to_string()).unwrap();
    let arn = told["stream"]["arn"].as_str().unwrap().to_owned();
    let firehose = serve(move |operation, _| match operation {
        "ListDeliveryStreams" => names(&["archiver"]),
        "DescribeDeliveryStream" => archiver(&arn),
        _ => refused("UnknownOperationException"),
    });
    let run = |line: &str| {
        let mut command = sandbox.command(line);
        command.env("AWS_ENDPOINT_URL_FIREHOSE", &firehose);
        sandbox.start_command(command).wait()
    };
    let closes = "the delivery stream archiver writes what arrives in demo";
    let retried = run("quarantine retry --key-fallback hash --yes");
    assert!(retried.sentence(5).contains(closes), "{}", retried.stderr);
    fs::remove_file(file("report.json")).unwrap();
    assert!(run("resume").sentence(5).contains(closes));
    // Who has said it once, or says it now, is not asked.
    let allowed = run("resume --allow-loop --s3-endpoint-url http://127.0.0.1:9");
    assert!(!allowed.stderr.contains(closes), "{}", allowed.stderr);
    told["allow_loop"] = true.into();
    fs::write(file("run.json"), told.to_string()).unwrap();
    let allowed = run("resume --s3-endpoint-url http://127.0.0.1:9");
    assert!(!allowed.stderr.contains(closes), "{}", allowed.stderr);
}

#[test]
fn what_was_sent_before_is_told_before_it_is_sent_again() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 2 --unlimited");
    let archive = sandbox.path("archive");
    put(&archive, 0, b"{\"k\":1}\n{\"k\":2}\n");
    put(&archive, 1, b"{\"k\":3}\n");
    let line = |flags: &str| {
        let line = format!(
            "replay archive --into demo --partition-key /k --endpoint-url {url} --layout all {flags}"
        );
        sandbox.run(&line)
    };
    let first = line("--json");
    assert!(!first.stderr.contains("warning"), "{}", first.stderr);
    let run = first.json(0)["run"].as_str().unwrap().to_owned();
    put(&archive, 2, b"{\"k\":4}\n");
    let told = [
        format!("warning: run {run} has sent 3 records into demo, "),
        "with 2 of these 3 objects".to_owned(),
    ];
    let tells = |text: &str| told.iter().all(|told| text.contains(told));
    let forecast = line("--dry-run");
    assert!(tells(&forecast.stdout), "{}", forecast.stdout);
    // Nobody can be asked here, and a stream on this machine asks for no --yes.
    let again = line("");
    assert!(
        tells(&again.stderr) && again.stderr.contains(&format!("respool verify {run}")),
        "{}",
        again.stderr
    );
    again.ended_with(0);
    let newest = line("--dry-run").stdout;
    assert!(
        newest.contains("has sent 4 records") && newest.contains("with 3 of these 3 objects"),
        "{newest}"
    );
    assert!(newest.contains("another run may have sent some, too"), "{newest}");
    // Other objects, another stream and a run that sent nothing are none of this.
    assert!(!line("--include nothing*").stderr.contains("warning"));
    put(&archive, 3, b"{\"k\":5}\n");
    let other = line("--include *197003* --dry-run");
    assert!(!other.stdout.contains("has sent"), "{}", other.stdout);
    // It is no progress.
    assert!(line("--quiet").stderr.contains("warning: run "));
}

#[test]
fn a_retry_of_what_another_run_has_sent_since_says_so() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    put(&sandbox.path("archive"), 0, b"{\"k\":1}\n{\"k\":2}\n");
    let replay = |key: &str| {
        sandbox.run(&format!("replay archive --into demo --partition-key {key} --endpoint-url {url} --json"))
    };
    let run = |outcome: &Outcome, code| outcome.json(code)["run"].as_str().unwrap().to_owned();
    let mistyped = run(&replay("/kk"), 3);
    let retry =
        |again: &str| sandbox.run(&format!("quarantine retry {mistyped} --partition-key /k --json{again}"));
    let alone = retry("");
    assert!(!alone.stderr.contains("has sent"), "{}", alone.stderr);
    let since = run(&replay("/k"), 0);
    let twice = retry(" --again");
    assert!(
        twice.stderr.contains(&format!("warning: run {since} has sent 2 records into demo, ")),
        "{twice:?}"
    );
    let guide = sandbox.run(&format!("guide {since} --live nosuch --endpoint-url {url}"));
    let told = format!("the live stream nosuch does not exist at {url}: is its name right");
    assert!(guide.sentence(5).contains(&told), "{guide:?}");
}

#[test]
fn a_retry_names_who_has_really_sent_and_nobody_who_has_set_aside_the_same() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    put(&sandbox.path("archive"), 0, b"{\"k\":1}\n{\"kk\":2}\n{\"k\":3}\n");
    let flags = format!("--into demo --partition-key /k --endpoint-url {url} --json");
    let run = |line: &str, code| {
        let outcome = sandbox.run(line);
        (outcome.json(code)["run"].as_str().unwrap().to_owned(), outcome.stderr)
    };
    let replay = format!("replay archive {flags}");
    let ((first, _), (other, _)) = (run(&replay, 3), run(&replay, 3));
    // Both have set the second record aside, and sent the others.
    let retry = format!("quarantine retry {first} --key-fallback hash --json");
    let (retried, said) = run(&retry, 0);
    assert!(!said.contains("has sent"), "{said}");
    let (_, said) = run(&format!("{retry} --again"), 0);
    assert!(said.contains(&format!("warning: run {retried} has sent 1 record into demo")), "{said}");
    assert!(!said.contains(&format!("run {other} has sent")), "{said}");
}
