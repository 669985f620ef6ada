//! The send path by itself: how many records a second of one core's time, from mapped segments to parsed answers.
//!
//! `cargo bench --bench send`. The server is a process of its own that only answers, so that only the client's
//! CPU is counted; so is each client, because its credentials are variables. `cargo bench --bench send -- sink SHARDS` serves
//! alone, for a replay of the whole: it prints its address, and its stream has any name.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on has failed")]
#![expect(unreachable_pub, reason = "the workloads are shared with the tests")]
#![expect(clippy::print_stdout, reason = "its parts are told apart by arguments, and it reports")]

#[expect(dead_code, reason = "the stages' workloads stand there too")]
mod workloads;

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use respool::cache::Segment;
use respool::stream::kinesis::{KinesisConfig, KinesisStream, SendPath};
use respool::stream::{Outcome, Stream};
use serde_json::json;
use tokio::net::TcpListener;

/// How long one figure is measured.
const MEASURED: Duration = Duration::from_secs(3);
/// Requests in flight.
const IN_FLIGHT: u64 = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sink", shards] => sink(shards.parse().unwrap()),
        ["client", url, way, entries, bytes] => {
            client(url, way.parse().unwrap(), entries.parse().unwrap(), bytes.parse().unwrap());
        }
        _ => all(),
    }
}

/// Every figure, each from a new process.
fn all() {
    let (sink, url) = start_sink();
    println!("| way | entries | bytes | records per CPU-second | MB per CPU-second | CPU-seconds per GB |");
    println!("|---|---:|---:|---:|---:|---:|");
    for bytes in [1_000, 200] {
        for entries in [20, 50, 500] {
            for way in SendPath::WORDS {
                let status =
                    own().args(["client", &url, way]).args([entries.to_string(), bytes.to_string()]).status();
                assert!(status.unwrap().success());
            }
        }
    }
    drop(sink);
}

/// This program again, with keys for the client.
fn own() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("AWS_ACCESS_KEY_ID", "AKIDBENCHMARK").env("AWS_SECRET_ACCESS_KEY", "none");
    command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// Ends with its owner.
struct Sink(Child);

impl Drop for Sink {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_sink() -> (Sink, String) {
    let mut child = own().args(["sink", "16"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut url).unwrap();
    (Sink(child), url.trim().to_owned())
}

fn client(url: &str, way: SendPath, entries: usize, bytes: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cache = workloads::cache(directory.path());
    let records = workloads::events((16 << 20) / bytes as u64, bytes);
    let segment = workloads::publish(&cache, &records.join(&b'\n'), 1);
    let mut config = KinesisConfig::new("bench".parse().unwrap());
    config.endpoint_url = Some(url.to_owned());
    config.send = way;
    let measured = runtime.block_on(async move {
        let stream = Arc::new(KinesisStream::connect(config).await.unwrap());
        // Connections, credentials, pages and buffers are there when the clock starts.
        send(&stream, &segment, entries, Duration::from_millis(500)).await;
        let before = cpu_seconds();
        let sent = send(&stream, &segment, entries, MEASURED).await;
        (sent, cpu_seconds() - before)
    });
    let ((records, bytes_sent), seconds) = measured;
    #[expect(clippy::cast_precision_loss, reason = "a figure to look at")]
    let (records, megabytes) = (records as f64, bytes_sent as f64 / 1e6);
    let way = SendPath::WORDS[usize::from(way == SendPath::Sdk)];
    println!(
        "| {way} | {entries} | {bytes} | {:.0} | {:.0} | {:.2} |",
        records / seconds,
        megabytes / seconds,
        seconds / megabytes * 1e3
    );
}

/// Sends for as long as `time`, and says how many records and bytes.
async fn send(stream: &Arc<KinesisStream>, segment: &Segment, entries: usize, time: Duration) -> (u64, u64) {
    let (next, end) = (Arc::new(AtomicU64::new(0)), Instant::now() + time);
    let senders = (0..IN_FLIGHT).map(|_| {
        let (stream, segment, next) = (stream.clone(), segment.clone(), next.clone());
        tokio::spawn(async move {
            let mut sent = (0, 0);
            while Instant::now() < end {
                let first = next.fetch_add(entries as u64, Ordering::Relaxed);
                let (batch, bytes) = workloads::encode(&*stream, &segment, first, entries);
                let outcomes = stream.put(batch).await.unwrap();
                assert_eq!(outcomes.len(), entries);
                assert!(matches!(outcomes[0], Outcome::Acked { .. }));
                sent = (sent.0 + entries as u64, sent.1 + bytes);
            }
            sent
        })
    });
    let mut sum = (0, 0);
    for sender in senders.collect::<Vec<_>>() {
        let sent = sender.await.unwrap();
        sum = (sum.0 + sent.0, sum.1 + sent.1);
    }
    sum
}

/// User and system time of this process. Source: proc(5), `/proc/pid/stat`, fields 14 and 15.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<f64>().unwrap();
    (ticks(14) + ticks(15)) / 100.0
}

/// A stream of `shards` shards that acknowledges everything and looks at nothing.
fn sink(shards: u128) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        println!("http://{}", listener.local_addr().unwrap());
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let _ = socket.set_nodelay(true);
            tokio::spawn(async move {
                let service = service_fn(move |request| respond(request, shards));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
}

async fn respond(request: Request<Incoming>, shards: u128) -> Result<Response<Full<Bytes>>, Infallible> {
    let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let (mut body, mut names) = (request.into_body(), Names::default());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.unwrap().into_data() {
            names.read(&data);
        }
    }
    let answer = match target.rsplit('.').next().unwrap() {
        "PutRecords" => acknowledge(names.count),
        "ListShards" => list(shards),
        _ => describe(shards),
    };
    Ok(Response::new(Full::new(answer)))
}

/// Counts entries by a name that each has, also where a frame's end cuts it.
#[derive(Default)]
struct Names {
    count: usize,
    tail: Vec<u8>,
}

impl Names {
    const NAME: &[u8] = b"\"PartitionKey\":";

    fn read(&mut self, data: &[u8]) {
        let across = Self::NAME.len() - 1;
        self.tail.extend_from_slice(&data[..data.len().min(across)]);
        self.count += memchr::memmem::find_iter(&self.tail, Self::NAME).count();
        self.count += memchr::memmem::find_iter(data, Self::NAME).count();
        if data.len() >= across {
            self.tail.clear();
            self.tail.extend_from_slice(&data[data.len() - across..]);
        } else {
            self.tail.drain(..self.tail.len().saturating_sub(across));
        }
    }
}

/// All of `entries` are stored, each with a number as long as Kinesis' own.
fn acknowledge(entries: usize) -> Bytes {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let first = NEXT.fetch_add(entries as u64, Ordering::Relaxed);
    let mut answer = Vec::with_capacity(entries * 130 + 64);
    answer.extend_from_slice(br#"{"FailedRecordCount":0,"Records":["#);
    for number in first..first + entries as u64 {
        let comma = if number > first { "," } else { "" };
        let _ = write!(
            answer,
            r#"{comma}{{"SequenceNumber":"4959033827149025660855969253836157{number:022}","ShardId":"shardId-000000000000"}}"#
        );
    }
    answer.extend_from_slice(b"]}");
    answer.into()
}

fn list(shards: u128) -> Bytes {
    let described = (0..shards).map(|index| {
        let shard = workloads::shard_map(shards).shards()[usize::try_from(index).unwrap()].clone();
        json!({"ShardId": &*shard.id.0, "SequenceNumberRange": {"StartingSequenceNumber": "1"},
            "HashKeyRange": {"StartingHashKey": shard.range.first.to_string(), "EndingHashKey": shard.range.last.to_string()}})
    });
    json!({"Shards": described.collect::<Vec<_>>()}).to_string().into()
}

fn describe(shards: u128) -> Bytes {
    let summary = json!({"StreamName": "bench", "StreamStatus": "ACTIVE", "OpenShardCount": u64::try_from(shards).unwrap(),
        "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/bench", "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1_795_000_000.0, "EnhancedMonitoring": []});
    json!({ "StreamDescriptionSummary": summary }).to_string().into()
}
