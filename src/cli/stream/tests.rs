//! What must hold of the commands about a stream.

use super::super::{Stop, parse};
use super::*;

fn run(line: &str) -> Result<Invocation, Stop> {
    let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
    parse(std::iter::once("respool").chain(line.split_whitespace()), &environment)
}

#[test]
fn a_streams_wishes_arrive() {
    let line = "stream create orders --shards 4 --retention 2d --record-size 2MiB --encryption alias/k --tag a=1,b=2";
    let Ok(Invocation::Stream(config)) = run(line) else { panic!() };
    let StreamAction::Create { shards, shape, .. } = config.action else { panic!() };
    assert_eq!((shards, shape.retention_hours, shape.record_kib), (4, Some(48), Some(2_048)));
    assert_eq!((shape.encryption_key.as_deref(), shape.tags.len()), (Some("alias/k"), 2));
    let replay = "replay s3://events --into orders --partition-key /id";
    let Ok(Invocation::Replay(config)) = run(&format!("{replay} --create")) else { panic!() };
    assert_eq!(config.create.map(|wish| wish.shards), Some(ShardsWish::Auto));
    let Ok(Invocation::Replay(config)) = run(replay) else { panic!() };
    assert!(config.create.is_none() && !config.allow_loop);
    let arn = "stream status arn:aws:kinesis:us-east-2:123456789012:stream/orders --region eu-west-1";
    let Ok(Invocation::Stream(config)) = run(arn) else { panic!() };
    assert_eq!(config.access.region.as_deref(), Some("us-east-2"));
}

#[test]
fn the_runs_own_door_goes_before_the_configuration_file_and_behind_what_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, "region = \"eu-west-1\"\nkinesis-profile = \"kept\"\n").unwrap();
    let own = || AwsAccess { region: Some("us-east-2".into()), ..AwsAccess::default() };
    let orders: StreamName = "orders".parse().unwrap();
    for command in ["stream drained", "guide"] {
        let door = |flags: &str| match run(&format!("{command} --config {} {flags}", file.display())) {
            Ok(Invocation::Drained(config)) => config.door,
            Ok(Invocation::Guide(config)) => config.door,
            other => panic!("{other:?}"),
        };
        let found = door("").around(own(), &orders);
        assert_eq!((found.region.as_deref(), found.profile.as_deref()), (Some("us-east-2"), Some("kept")));
        let typed = door("--region ap-south-1").around(own(), &orders);
        assert_eq!(typed.region.as_deref(), Some("ap-south-1"));
        let without = door("").around(AwsAccess::default(), &orders);
        assert_eq!(without.region.as_deref(), Some("eu-west-1"));
        let arn = "arn:aws:kinesis:us-east-2:123456789012:stream/orders".parse().unwrap();
        let of_arn = door("").around(AwsAccess::default(), &arn);
        assert_eq!(of_arn.region.as_deref(), Some("us-east-2"), "an ARN says where it lies");
    }
}

#[test]
fn a_guide_takes_the_workers_door_along() {
    let line = "guide --consumer-endpoint-url http://127.0.0.1:2 --consumer-region us-east-2";
    let Ok(Invocation::Guide(config)) = run(line) else { panic!() };
    assert_eq!(config.consumer.endpoint_url.as_ref().map(Endpoint::as_str), Some("http://127.0.0.1:2"));
    assert_eq!(config.consumer.region.as_deref(), Some("us-east-2"));
}

#[test]
fn the_workers_door_is_the_general_one_unless_it_is_said() {
    let line = "stream drained --endpoint-url http://127.0.0.1:1 --consumer-profile worker";
    let Ok(Invocation::Drained(config)) = run(line) else { panic!() };
    let url = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(Endpoint::to_string);
    assert_eq!(url(&config.consumer.dynamodb).as_deref(), Some("http://127.0.0.1:1"));
    assert_eq!(config.consumer.aws.profile.as_deref(), Some("worker"));
    let line = "stream drained --kinesis-endpoint-url http://127.0.0.1:1";
    let Ok(Invocation::Drained(config)) = run(line) else { panic!() };
    assert_eq!(url(&config.consumer.dynamodb), None, "a Kinesis on this machine has no DynamoDB beside it");
}

#[test]
fn what_no_stream_can_be_ends_with_2() {
    for (line, said) in [
        ("stream create orders", "--shards"),
        ("stream create orders --shards 0", "1 to 10,000"),
        ("stream create sim:4 --shards 4", "is no stream name"),
        ("stream create orders --shards 1 --retention 3h", "24h to 365d"),
        ("stream create orders --shards 1 --record-size 1KB", "1MiB to 10MiB"),
        ("stream create orders --shards 1 --tag team", "KEY=VALUE"),
        ("stream create orders --shards 1 --tag respool/x=1", "not yours"),
        ("stream create orders --shards 1 --tag a=b:c", "a tag has letters"),
        ("stream status orders --endpoint-url http://10.0.0.1", "in clear"),
        ("stream", "Usage"),
        ("replay s3://events --into orders --shards 4", "--create"),
        ("replay s3://events --into orders --retention 48h", "say --create"),
        ("replay s3://events --into sim:4 --create", "makes a Kinesis stream"),
        ("guide --away-since yesterday", "invalid value"),
    ] {
        let message = run(line).err().map(|stop| stop.to_string()).unwrap_or_default();
        assert!(message.contains(said), "{line}: {message}");
    }
}

#[test]
fn what_only_the_environment_says_is_refused_in_clear_as_what_is_typed() {
    let exposed = || Some("http://10.0.0.1".to_owned());
    let kinesis = Environment { aws_endpoint_kinesis: exposed(), ..Environment::default() };
    let dynamodb = Environment { aws_endpoint_dynamodb: exposed(), ..Environment::default() };
    let firehose = Environment { aws_endpoint_firehose: exposed(), ..Environment::default() };
    let replay = "replay s3://events --into orders --partition-key /id";
    for (environment, line) in [
        (&kinesis, "stream drained"),
        (&kinesis, "guide"),
        (&kinesis, "stream status orders"),
        (&kinesis, replay),
        (&dynamodb, "stream drained"),
        (&dynamodb, "guide"),
        (&firehose, replay),
        (&firehose, "resume"),
        (&firehose, "quarantine retry"),
    ] {
        let environment = Environment { home: Some("/home/ada".into()), ..environment.clone() };
        let run = |line: &str| parse(["respool"].into_iter().chain(line.split(' ')), &environment);
        let said = run(line).unwrap_err().to_string();
        let expected = "http://10.0.0.1 is reached over the network in clear, with records and signatures: use https, or \
                        give --allow-insecure-endpoint";
        assert_eq!(said, expected, "{line}");
        assert!(run(&format!("{line} --allow-insecure-endpoint")).is_ok(), "{line}");
    }
}

#[test]
fn a_guide_takes_the_environments_dynamodb_along() {
    let environment = Environment {
        home: Some("/home/ada".into()),
        aws_endpoint_dynamodb: Some("http://127.0.0.1:3".into()),
        ..Environment::default()
    };
    let Ok(Invocation::Guide(config)) = parse(["respool", "guide"], &environment) else { panic!() };
    assert_eq!(config.consumer.endpoint_url.as_ref().map(Endpoint::as_str), Some("http://127.0.0.1:3"));
}
