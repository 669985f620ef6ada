//! The client against a server of canned replies on a loopback port: what is asked, what an answer means.

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_kinesis::config::{Credentials, SharedCredentialsProvider};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;
use crate::record::{HashKey, PartitionKey, Payload};

/// What the server does with one request.
#[derive(Clone)]
enum Reply {
    Answer(u16, String),
    Hang,
    HangUp,
}

fn answer(status: u16, body: &Value) -> Reply {
    Reply::Answer(status, body.to_string())
}

/// Takes one connection after the other, gives one reply to each, and returns the requests' bodies.
async fn serve(replies: Vec<Reply>) -> (String, JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let mut bodies = Vec::new();
        for reply in replies {
            let (mut socket, _) = listener.accept().await.unwrap();
            bodies.push(read_body(&mut socket).await);
            match reply {
                Reply::Answer(status, body) => {
                    let head = format!(
                        "HTTP/1.1 {status} X\r\nx-amzn-requestid: r-1\r\ncontent-type: application/x-amz-json-1.1\r\n\
                         connection: close\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    socket.write_all(head.as_bytes()).await.unwrap();
                    socket.write_all(body.as_bytes()).await.unwrap();
                }
                // Until the client hangs up.
                Reply::Hang => while socket.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {},
                Reply::HangUp => {}
            }
        }
        bodies
    });
    (url, server)
}

async fn read_body(socket: &mut TcpStream) -> Value {
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let n = socket.read(&mut part).await.unwrap();
        request.extend_from_slice(&part[..n]);
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            if body.len() >= length.parse().unwrap() {
                return serde_json::from_str(body).unwrap();
            }
        }
        assert!(n > 0, "the client hung up: {text}");
    }
}

fn stream(name: &str, url: &str) -> KinesisStream {
    let key = Credentials::new("AKIDCANARY", "SECRETCANARY", None, None, "test");
    stream_of(name, url, SendPath::Direct, Some(SharedCredentialsProvider::new(key)))
}

fn stream_of(
    name: &str,
    url: &str,
    send: SendPath,
    credentials: Option<SharedCredentialsProvider>,
) -> KinesisStream {
    let mut sdk = SdkConfig::builder();
    sdk.set_behavior_version(Some(BehaviorVersion::latest()));
    sdk.set_region(Some(Region::new("eu-west-1"))).set_credentials_provider(credentials);
    let mut config = KinesisConfig::new(name.parse().unwrap());
    config.send = send;
    config.endpoint_url = Some(url.to_owned());
    config.put_timeout = Duration::from_millis(300);
    KinesisStream::new(config, &sdk.build(), "eu-west-1".to_owned())
}

fn entry(key: &str, explicit_hash_key: Option<HashKey>) -> Entry {
    let data = Payload(Bytes::from_static(b"PAYLOADCANARY"));
    Entry { data, key: PartitionKey::new(key).unwrap(), explicit_hash_key }
}

/// Sends two entries to a server that gives `reply`, by both ways, which must come to the same.
async fn put_two(reply: Reply) -> (Result<Vec<Outcome>, CallError>, Vec<Value>) {
    let direct = put_two_by(SendPath::Direct, reply.clone()).await;
    let sdk = put_two_by(SendPath::Sdk, reply).await;
    assert_eq!(direct.1, sdk.1);
    match (&direct.0, &sdk.0) {
        (Ok(direct), Ok(sdk)) => assert_eq!(direct, sdk),
        (Err(direct), Err(sdk)) => assert_eq!(direct.class, sdk.class, "{direct} / {sdk}"),
        different => panic!("{different:?}"),
    }
    direct
}

async fn put_two_by(send: SendPath, reply: Reply) -> (Result<Vec<Outcome>, CallError>, Vec<Value>) {
    let (url, server) = serve(vec![reply]).await;
    let entries = [entry("KEYCANARY", None), entry("b", Some(HashKey(u128::MAX)))];
    let key = Credentials::new("AKIDCANARY", "SECRETCANARY", None, None, "test");
    let stream = stream_of("orders", &url, send, Some(SharedCredentialsProvider::new(key)));
    let answer = stream.put(stream.batch_of(&entries)).await;
    assert!(!format!("{stream:?}").contains("SECRETCANARY"), "{stream:?}");
    (answer, server.await.unwrap())
}

async fn put_one(stream: &KinesisStream) -> Result<Vec<Outcome>, CallError> {
    stream.put(stream.batch_of(&[entry("a", None)])).await
}

#[tokio::test]
async fn each_entry_has_its_outcome_whatever_the_count_says() {
    let acked = json!({"SequenceNumber": "49590338271490256608559692538361571095921575989136588898",
        "ShardId": "shardId-000000000000"});
    let failed = |code: &str| json!({"ErrorCode": code, "ErrorMessage": "words"});
    let mut rows = vec![
        (failed("ProvisionedThroughputExceededException"), Outcome::Throttled),
        (failed("InternalFailure"), Outcome::Unknown { cause: UnknownCause::InternalFailure }),
    ];
    let number = SequenceNumber::new("49590338271490256608559692538361571095921575989136588898").unwrap();
    let shard = ShardId("shardId-000000000000".into());
    rows.push((acked, Outcome::Acked { shard, sequence_number: number }));
    for odd in [
        failed("NeverHeardOf"),
        json!({"SequenceNumber": null, "ShardId": "s"}),
        json!({"SequenceNumber": "x", "ShardId": "s"}),
        json!({"SequenceNumber": "1"}),
        json!({}),
    ] {
        rows.push((odd, Outcome::Unknown { cause: UnknownCause::BadAnswer }));
    }
    for (row, expected) in rows {
        let both = answer(200, &json!({"FailedRecordCount": 0, "Records": [row, row]}));
        let (outcomes, _) = put_two(both).await;
        assert_eq!(outcomes.unwrap(), [expected.clone(), expected]);
    }
}

#[tokio::test]
async fn a_request_says_what_it_was_given() {
    let (_, requests) = put_two(answer(200, &json!({}))).await;
    let data = "UEFZTE9BRENBTkFSWQ==";
    let expected = json!({"StreamName": "orders", "Records": [
        {"Data": data, "PartitionKey": "KEYCANARY"},
        {"Data": data, "PartitionKey": "b", "ExplicitHashKey": u128::MAX.to_string()},
    ]});
    assert_eq!(requests, [expected]);
}

#[tokio::test]
async fn a_failed_call_has_a_class_and_says_nothing_of_the_request() {
    let unknown = CallErrorClass::Unknown;
    let error = |code: &str| json!({"__type": code, "message": "why not"});
    let rows = [
        (answer(400, &error("ResourceNotFoundException")), CallErrorClass::NotFound),
        (answer(400, &error("ProvisionedThroughputExceededException")), CallErrorClass::Throttled),
        (answer(400, &error("com.amazon.coral.service#ExpiredTokenException")), CallErrorClass::Credentials),
        (answer(400, &error("KMSDisabledException")), CallErrorClass::Denied),
        (answer(400, &error("ValidationException")), CallErrorClass::Invalid),
        (answer(500, &error("InternalFailure")), unknown(UnknownCause::ServerError)),
        (Reply::Answer(502, "<html>".to_owned()), unknown(UnknownCause::ServerError)),
        (Reply::Answer(413, "<html>".to_owned()), CallErrorClass::Invalid),
        (Reply::Answer(200, "<html>".to_owned()), unknown(UnknownCause::BadAnswer)),
        (answer(200, &json!({"Records": [{}]})), unknown(UnknownCause::BadAnswer)),
        (Reply::Hang, unknown(UnknownCause::Timeout)),
        (Reply::HangUp, unknown(UnknownCause::Connection)),
    ];
    for (reply, class) in rows {
        // The server takes one connection only: a second try would end in another class.
        let (answer, requests) = put_two(reply).await;
        let error = answer.unwrap_err();
        assert_eq!((error.class, requests.len()), (class, 1), "{error}");
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
    }
}

#[tokio::test]
async fn the_message_is_code_words_and_request() {
    let body = json!({"__type": "ResourceNotFoundException", "message": "Stream orders not found."});
    let (answer, _) = put_two(answer(400, &body)).await;
    let expected = "ResourceNotFoundException: Stream orders not found. (request r-1)";
    assert_eq!(answer.unwrap_err().message, expected);
}

#[tokio::test]
async fn what_never_left_is_not_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for send in [SendPath::Direct, SendPath::Sdk] {
        let key = Credentials::new("AKIDCANARY", "SECRETCANARY", None, None, "test");
        let stream = stream_of("orders", &nobody, send, Some(SharedCredentialsProvider::new(key)));
        let refused = put_one(&stream).await.unwrap_err();
        assert_eq!(refused.class, CallErrorClass::Unreachable, "{send:?}: {refused}");
        assert!(refused.message.starts_with("Kinesis cannot be reached: "), "{refused}");
    }
}

/// Nobody who gives credentials, or somebody who fails as it is told.
#[derive(Debug)]
struct Fails(fn() -> CredentialsError);

impl ProvideCredentials for Fails {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err((self.0)()))
    }
}

#[tokio::test]
async fn credentials_that_could_not_be_fetched_are_not_called_missing() {
    let none: fn() -> CredentialsError = CredentialsError::not_loaded_no_source;
    let broken: fn() -> CredentialsError = || CredentialsError::provider_error("the endpoint is gone");
    for (fails, profile, said) in [
        (none, None, "no AWS credentials found: name a profile"),
        (none, Some("other"), "no AWS credentials found in the profile \"other\": "),
        (broken, None, "AWS credentials could not be fetched: the endpoint is gone; "),
        (
            broken,
            Some("other"),
            "AWS credentials could not be fetched for the profile \"other\": the endpoint",
        ),
    ] {
        for send in [SendPath::Direct, SendPath::Sdk] {
            let provider = SharedCredentialsProvider::new(Fails(fails));
            let mut stream = stream_of("orders", "http://127.0.0.1:9", send, Some(provider));
            stream.config.profile = profile.map(str::to_owned);
            let unsigned = put_one(&stream).await.unwrap_err();
            assert_eq!(unsigned.class, CallErrorClass::Credentials, "{send:?}: {unsigned}");
            assert!(unsigned.message.starts_with(said), "{send:?}: {unsigned}");
            let login = format!("`aws sso login --profile {}`", profile.unwrap_or("NAME"));
            assert!(unsigned.message.contains(&login), "{send:?}: {unsigned}");
        }
    }
    // Where nobody is to be asked at all, that is said, and nothing of credentials.
    let anonymous = stream_of("orders", "http://127.0.0.1:9", SendPath::Direct, None);
    let unsigned = put_one(&anonymous).await.unwrap_err();
    assert!(unsigned.message.starts_with("the call to Kinesis could not be signed"), "{unsigned}");
}

#[tokio::test]
async fn shards_are_listed_page_by_page_without_the_closed_ones() {
    let shard = |id: &str, first: u128, last: u128, ending: Value| {
        json!({"ShardId": id, "ParentShardId": "shardId-0",
            "HashKeyRange": {"StartingHashKey": first.to_string(), "EndingHashKey": last.to_string()},
            "SequenceNumberRange": {"StartingSequenceNumber": "1", "EndingSequenceNumber": ending}})
    };
    let pages = vec![
        answer(
            200,
            &json!({"NextToken": "more", "Shards": [
            shard("shardId-2", 10, u128::MAX, Value::Null), shard("shardId-0", 0, u128::MAX, json!("9"))]}),
        ),
        answer(200, &json!({"Shards": [shard("shardId-1", 0, 9, Value::Null)]})),
    ];
    let (url, server) = serve(pages).await;
    let shards = stream("orders", &url).list_open_shards().await.unwrap();
    let ids: Vec<_> = shards.iter().map(|shard| &*shard.id.0).collect();
    assert_eq!(ids, ["shardId-1", "shardId-2"]);
    assert_eq!(shards[0].range, HashKeyRange { first: HashKey(0), last: HashKey(9) });
    assert_eq!(shards[0].parent, Some(ShardId("shardId-0".into())));
    let first = json!({"StreamName": "orders", "MaxResults": 1000, "ShardFilter": {"Type": "AT_LATEST"}});
    assert_eq!(server.await.unwrap(), [first, json!({"NextToken": "more", "MaxResults": 1000})]);
}

#[tokio::test]
async fn a_description_has_everything_the_service_tells() {
    let summary = |extra: Value| {
        let mut summary = json!({"StreamName": "orders", "StreamStatus": "UPDATING", "OpenShardCount": 3,
            "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", "RetentionPeriodHours": 48,
            "StreamCreationTimestamp": 1_763_800_000.5, "EnhancedMonitoring": []});
        summary.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        answer(200, &json!({"StreamDescriptionSummary": summary}))
    };
    let auto = json!({"MaxRecordSizeInKiB": 2048, "RecordDistributionStrategy": "AUTO",
        "StreamModeDetails": {"StreamMode": "ON_DEMAND"}});
    let (url, _server) = serve(vec![summary(json!({})), summary(auto)]).await;
    let stream = stream("orders", &url);
    let plain = StreamDescription {
        name: "orders".to_owned(),
        arn: Some("arn:aws:kinesis:eu-west-1:123456789012:stream/orders".to_owned()),
        account: Some("123456789012".to_owned()),
        region: Some("eu-west-1".to_owned()),
        status: "UPDATING".to_owned(),
        created_ms: 1_763_800_000_500,
        retention_hours: 48,
        record_bytes_max: RECORD_BYTES_DEFAULT,
        open_shards: 3,
        ignores_keys: false,
        on_demand: false,
        harmless: true,
    };
    assert_eq!(stream.describe().await.unwrap(), plain);
    let auto = StreamDescription { record_bytes_max: 2 << 20, ignores_keys: true, on_demand: true, ..plain };
    assert_eq!(stream.describe().await.unwrap(), auto);
}

#[tokio::test]
async fn an_arn_of_another_region_than_the_one_given_is_refused() {
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    let mut config = KinesisConfig::new(arn.parse().unwrap());
    config.region = Some("us-east-1".to_owned());
    let error = KinesisStream::connect(config).await.unwrap_err();
    assert_eq!(error.class, CallErrorClass::Invalid);
    assert!(error.message.contains("eu-west-1") && error.message.contains("us-east-1"));
}

#[test]
fn an_arn_is_sent_to_aws_and_a_name_to_a_loopback_address() {
    let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    let far = stream(arn, "https://vpce-1.kinesis.eu-west-1.vpce.amazonaws.com");
    assert_eq!((far.name_for_call(), far.arn_for_call().as_deref()), (None, Some(arn)));
    let near = stream(arn, "http://127.0.0.1:1");
    assert_eq!((near.name_for_call().as_deref(), near.arn_for_call()), (Some("orders"), None));
    assert!(near.harmless && !far.harmless);
}

#[test]
fn a_record_limit_that_makes_no_sense_is_the_default() {
    for (kib, bytes) in [(None, 1 << 20), (Some(0), 1 << 20), (Some(-5), 1 << 20), (Some(2048), 2 << 20)] {
        assert_eq!(record_bytes_max(kib), bytes);
    }
    assert_eq!(record_bytes_max(Some(i32::MAX)), RECORD_BYTES_MAX);
}

#[tokio::test]
async fn a_dry_run_tells_what_is_missing_and_never_writes_by_itself() {
    use crate::stream::control::Permission;
    let refused = |code: &str| answer(400, &json!({ "__type": code, "message": "m" }));
    let (url, server) = serve(vec![
        refused("DryRunOperationException"),
        refused("AccessDeniedException"),
        refused("KMSAccessDeniedException"),
        answer(200, &json!({ "FailedRecordCount": 0, "Records": [] })),
        refused("DryRunOperationException"),
        answer(200, &json!({ "ShardIterator": "i" })),
    ])
    .await;
    let stream = stream("orders", &url);
    assert_eq!(stream.may_put().await, Permission::Granted);
    assert!(
        matches!(stream.may_put().await, Permission::Missing { message } if message.contains("AccessDenied"))
    );
    assert!(matches!(stream.may_put().await, Permission::KeyRefused { .. }));
    assert!(matches!(stream.may_put().await, Permission::Unknown { .. }));
    assert!(stream.knows_dry_run().await);
    assert!(!stream.knows_dry_run().await, "a server that does not know it answers as if nothing were said");
    let bodies = server.await.unwrap();
    assert!(bodies.iter().all(|body| body["DryRun"] == true), "{bodies:?}");
}

#[tokio::test]
async fn the_served_stream_is_tried_and_stays_empty() {
    use crate::sim::{ServeConfig, simulate};
    use crate::stream::control::Permission;
    use crate::stream::read::{ReadFrom, StreamReader};
    let config = ServeConfig::with_shards(std::num::NonZeroU32::MIN);
    let (address, server) = simulate(config, 0, std::future::pending()).await.unwrap();
    tokio::spawn(server);
    let stream = stream("demo", &format!("http://{address}"));
    assert!(stream.knows_dry_run().await);
    assert_eq!(stream.may_put().await, Permission::Granted);
    assert_eq!(stream.may_list_shards().await, Permission::Granted);
    let shard = stream.list_open_shards().await.unwrap().remove(0).id;
    let iterator = stream.iterator(shard, ReadFrom::Horizon).await.unwrap();
    assert!(stream.read(iterator).await.unwrap().records.is_empty());
}
