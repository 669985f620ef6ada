//! Buckets that behave as few do: in another region, behind a gateway that decodes, under keys that nobody would choose.
//!
//! The server is a few lines of ours, because no other one can be made to behave so. What it says is what S3's
//! documentation says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;

use crate::credentials::write_keys;
use crate::events::gzip;
use crate::sandbox::{Sandbox, until};

/// What one request was: method, target, and headers in lower case.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    headers: String,
}

impl Request {
    fn range(&self) -> Option<(usize, usize)> {
        let range = self.headers.lines().find_map(|line| line.strip_prefix("range: bytes="))?;
        let (from, to) = range.split_once('-')?;
        Some((from.parse().ok()?, to.parse().unwrap_or(usize::MAX - 1)))
    }
}

type Answer = dyn Fn(&Request) -> Vec<u8> + Send + Sync;

/// A server that answers each request with `answer`; its address, and what was asked.
pub(crate) fn serve(
    answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (answer, log): (Arc<Answer>, _) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
    let asked = log.clone();
    // Lives as long as the process: nobody tells it that a test has ended.
    thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let (answer, log) = (answer.clone(), log.clone());
            thread::spawn(move || converse(&connection, &*answer, &log));
        }
    });
    (url, asked)
}

fn converse(mut connection: &TcpStream, answer: &Answer, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(connection);
    loop {
        let (mut first, mut headers) = (String::new(), String::new());
        if reader.read_line(&mut first).unwrap_or_default() == 0 {
            return;
        }
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
            headers.push_str(&line.to_ascii_lowercase().replace("\r\n", "\n"));
            line.clear();
        }
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let request = Request { method, target, headers };
        log.lock().unwrap().push(format!("{} {}\n{}", request.method, request.target, request.headers));
        if connection.write_all(&answer(&request)).is_err() {
            return;
        }
    }
}

pub(crate) fn response(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// One page that lists `objects`, by URL-encoded keys if that was asked for.
fn listing(objects: &BTreeMap<String, Vec<u8>>, target: &str) -> Vec<u8> {
    let encode = target.contains("encoding-type=url");
    let mut page = String::from("<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated>");
    if encode {
        page.push_str("<EncodingType>url</EncodingType>");
    }
    let query = target.split('?').nth(1).unwrap_or_default().split('&');
    let prefix = decode(query.clone().find_map(|word| word.strip_prefix("prefix=")).unwrap_or_default());
    for (key, bytes) in objects.iter().filter(|(key, _)| key.starts_with(&prefix)) {
        let key = if encode { percent(key) } else { key.clone() };
        write!(
            page,
            "<Contents><Key>{key}</Key><Size>{}</Size><ETag>&quot;e&quot;</ETag>\
             <LastModified>2026-07-01T06:00:00.000Z</LastModified></Contents>",
            bytes.len()
        )
        .unwrap();
    }
    page.push_str("</ListBucketResult>");
    response("200 OK", "content-type: application/xml\r\n", page.as_bytes())
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").unwrap();
        encoded
    })
}

pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| u8::try_from(char::from(byte.unwrap()).to_digit(16).unwrap()).unwrap();
        bytes.push(if byte == b'%' { digit(rest.next()) * 16 + digit(rest.next()) } else { byte });
    }
    String::from_utf8(bytes).unwrap()
}

/// A bucket of `objects`; a body is `sent` by its own rules.
fn bucket(
    objects: BTreeMap<String, Vec<u8>>,
    sent: impl Fn(&Request, &[u8]) -> Vec<u8> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<String>>>) {
    serve(move |request| {
        let path = request.target.split('?').next().unwrap_or_default();
        match path.trim_start_matches("/events").trim_start_matches('/') {
            "" if request.method == "HEAD" => response("200 OK", "", b""),
            "" => listing(&objects, &request.target),
            key => match objects.get(&decode(key)) {
                Some(bytes) => sent(request, bytes),
                None => response("404 Not Found", "", b"<Error><Code>NoSuchKey</Code></Error>"),
            },
        }
    })
}

pub(crate) fn whole(_: &Request, bytes: &[u8]) -> Vec<u8> {
    response("200 OK", "etag: \"e\"\r\n", bytes)
}

pub(crate) fn line(url: &str) -> String {
    format!("replay s3://events/ --into null: --partition-key /k --json --s3-endpoint-url {url}")
}

#[test]
fn a_bucket_in_another_region_is_followed() {
    let objects = BTreeMap::from([("2026/07/01/05/a".to_owned(), b"{\"k\":\"a\"}\n".to_vec())]);
    let (url, asked) = serve(move |request| {
        if !request.headers.contains("/eu-central-1/s3/") {
            let body: &[u8] =
                if request.method == "HEAD" { b"" } else { b"<Error><Code>PermanentRedirect</Code></Error>" };
            return response("301 Moved Permanently", "x-amz-bucket-region: eu-central-1\r\n", body);
        }
        if request.target.contains("list-type") {
            listing(&objects, &request.target)
        } else {
            whole(request, &objects["2026/07/01/05/a"])
        }
    });
    let report = Sandbox::new().run(&line(&url)).json(0);
    assert_eq!(report["records"]["delivered"], 1);
    let asked = asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|request| request.contains("/eu-west-1/s3/")).count(), 1, "{asked:?}");
}

#[test]
fn an_endpoint_of_a_services_section_is_part_of_where_the_archive_is() {
    let key = "2026/07/01/05/a";
    let (url, _) = bucket(BTreeMap::from([(key.to_owned(), b"{\"k\":\"a\"}\n".to_vec())]), whole);
    let sandbox = Sandbox::new();
    write_services(&sandbox, &url);
    let report = sandbox.run("replay s3://events/ --into null: --partition-key /k --json").json(0);
    assert_eq!(report["records"]["delivered"], 1);
    // Else a list that is noted of one server would be gone on with at another.
    let manifest = sandbox.path("state/respool/runs").join(report["run"].as_str().unwrap());
    let manifest = fs::read_to_string(manifest.join("manifest.jsonl")).unwrap();
    assert!(manifest.contains(&format!("\"endpoint\":\"{url}\"")), "{manifest}");
}

/// A profile whose services section names `url` for the archive and the stream.
fn write_services(sandbox: &Sandbox, url: &str) {
    fs::create_dir_all(sandbox.path(".aws")).unwrap();
    let services = ["s3", "kinesis"].map(|id| format!("{id} =\n  endpoint_url = {url}\n")).concat();
    let profile = format!("[default]\nservices = own\n\n[services own]\n{services}");
    fs::write(sandbox.path(".aws/config"), profile).unwrap();
}

#[test]
fn an_endpoint_in_clear_that_only_a_file_names_is_asked_nothing() {
    let (url, asked) = serve(|_| response("404 Not Found", "", b""));
    let sandbox = Sandbox::new();
    // Not on this machine by its address.
    write_services(&sandbox, &url.replace("127.0.0.1", "0.0.0.0"));
    fs::create_dir(sandbox.path("archive")).unwrap();
    fs::write(sandbox.path("archive/a"), "{\"k\":\"a\"}\n").unwrap();
    for line in [
        "inspect s3://events/",
        "cache warm s3://events/",
        "cache export s3://events/ --out events.ndjson",
        "bench s3://events/ --partition-key /k --null",
        "plan s3://events/ --partition-key /k --shards 1",
        "plan archive --partition-key /k --shards 1 --live-stream live",
        "plan archive --partition-key /k --into sim:1 --live-stream live",
    ] {
        let refused = sandbox.run(line);
        assert!(refused.sentence(2).contains("is reached over the network in clear"), "{line}: {refused:?}");
    }
    assert!(asked.lock().unwrap().is_empty(), "{asked:?}");
}

#[test]
fn what_is_warmed_by_an_endpoint_of_a_file_is_found_by_a_replay() {
    let key = "2026/07/01/05/a";
    let (url, asked) = bucket(BTreeMap::from([(key.to_owned(), b"{\"k\":\"a\"}\n".to_vec())]), whole);
    let sandbox = Sandbox::new();
    write_services(&sandbox, &format!("{url}/"));
    sandbox.run("cache warm s3://events/").ended_with(0);
    let report = sandbox.run("replay s3://events/ --into null: --partition-key /k --json").json(0);
    assert_eq!(report["records"]["delivered"], 1);
    let asked = asked.lock().unwrap();
    let fetches = asked.iter().filter(|request| request.starts_with("GET") && request.contains("/05/a"));
    assert_eq!(fetches.count(), 1, "{asked:?}");
}

#[test]
fn an_object_is_cached_once_by_whichever_prefix_it_is_named_and_what_a_prefix_takes_in_is_told() {
    let keys = ["live/2026/07/01/05/a", "live2/2026/07/01/05/b"];
    let objects = keys.map(|key| (key.to_owned(), b"{\"k\":\"a\"}\n".to_vec()));
    let (url, _) = bucket(BTreeMap::from(objects), whole);
    let sandbox = Sandbox::new();
    let replay = |archive: &str, flags: &str| {
        let line = format!("replay s3://events/{archive} --into null: --partition-key /k --json {flags}");
        sandbox.run(&format!("{line} --s3-endpoint-url {url} --yes"))
    };
    let counts =
        |report: serde_json::Value| ["hits", "fetched"].map(|count| report["cache"][count].as_u64().unwrap());
    let below = replay("live/", "");
    assert_eq!(counts(below.json(0)), [0, 1]);
    assert!(!below.stderr.contains("is a prefix"), "{}", below.stderr);
    let offline = replay("live", "--offline");
    assert!(
        offline.sentence(5).contains("(s3://events/live/ is another prefix, and was listed)"),
        "{offline:?}"
    );
    let all = replay("live", "");
    assert_eq!(counts(all.json(0)), [1, 1]);
    let told = "s3://events/live is a prefix, and takes in more than s3://events/live/: 1 other object, as live2/2026";
    assert!(all.stderr.contains(told), "{}", all.stderr);
    assert_eq!(counts(replay("", "").json(0)), [2, 0]);
}

#[test]
fn a_body_that_a_gateway_has_decoded_is_read() {
    let lines = b"{\"k\":\"a\"}\n".repeat(5_000);
    let (packed, plain) = (gzip(&lines), lines.clone());
    let objects = BTreeMap::from([("2026/07/01/05/a.gz".to_owned(), packed)]);
    let (url, _) = bucket(objects, move |_, _| {
        let head =
            "HTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut answer = head.as_bytes().to_vec();
        for piece in plain.chunks(10_000) {
            answer.extend(format!("{:x}\r\n", piece.len()).as_bytes());
            answer.extend(piece);
            answer.extend(b"\r\n");
        }
        answer.extend(b"0\r\n\r\n");
        answer
    });
    let report = Sandbox::new().run(&line(&url)).json(0);
    assert_eq!(report["records"]["delivered"], 5_000);
}

#[test]
fn a_large_object_comes_in_ranges_under_one_pin() {
    let lines =
        format!("{{\"k\":\"a\",\"text\":\"{}\"}}\n", "words ".repeat(800)).repeat(14_500).into_bytes();
    let size = lines.len();
    let objects = BTreeMap::from([("2026/07/01/05/a".to_owned(), lines)]);
    let (url, asked) = bucket(objects, |request, bytes| {
        let Some((from, to)) = request.range() else { return whole(request, bytes) };
        let to = to.min(bytes.len() - 1);
        // Some servers send the whole object's checksum with a range: it must not be held against the range.
        let headers = format!(
            "etag: \"e\"\r\ncontent-range: bytes {from}-{to}/{}\r\nx-amz-checksum-crc32: AAAAAA==\r\n",
            bytes.len()
        );
        response("206 Partial Content", &headers, &bytes[from..=to])
    });
    let report = Sandbox::new().run(&line(&url)).json(0);
    assert_eq!(report["records"]["delivered"], 14_500);
    let asked = asked.lock().unwrap();
    let ranges: Vec<_> = asked.iter().filter(|request| request.contains("\nrange: bytes=")).collect();
    assert_eq!(ranges.len(), size.div_ceil(16 << 20));
    assert!(ranges.iter().all(|request| request.contains("\nif-match: \"e\"")), "{ranges:?}");
}

#[test]
fn odd_keys_are_read_and_never_reach_a_terminal_or_a_path() {
    let keys = [
        "2026/07/01/05/../../../../etc/passwd".to_owned(),
        "2026/07/01/05/line\nfeed\u{1b}[2J".to_owned(),
        format!("2026/07/01/05/{}", "é".repeat(505)),
        "2026/07/01/05/a+b%20c".to_owned(),
    ];
    assert_eq!(keys[2].len(), 1_024);
    let mut objects: BTreeMap<_, _> =
        keys.iter().map(|key| (key.clone(), b"{\"k\":\"a\"}\n{\"k\":\"b\"}\n".to_vec())).collect();
    objects.insert("2026/07/01/05/broken\n\u{1b}[2J".to_owned(), b"{\"k\":\"a\"}{".to_vec());
    let (url, _) = bucket(objects, whole);
    let sandbox = Sandbox::new();
    let report = sandbox.run(&line(&url)).json(3);
    assert_eq!((&report["records"]["delivered"], &report["objects"]["quarantined"]), (&json!(8), &json!(1)));
    for command in ["cache ls --long", "quarantine ls", "runs show"] {
        let run = if command == "runs show" { report["run"].as_str().unwrap() } else { "" };
        let shown = sandbox.run(&format!("{command} {run}"));
        assert!(shown.code == 0 && !shown.stdout.contains('\u{1b}'), "{command}: {shown:?}");
    }
}

#[test]
fn credentials_that_are_renewed_by_hand_are_taken_for_the_archive_too() {
    let sandbox = Sandbox::new();
    write_keys(&sandbox, "AKIDOLD");
    let lines = b"{\"k\":\"a\"}\n".repeat(10);
    let objects = (0..4).map(|n| (format!("o{n}"), gzip(&lines))).collect();
    let (url, asked) = bucket(objects, |request, bytes| {
        if request.headers.contains("akidold") {
            let body =
                b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
            return response("400 Bad Request", "", body);
        }
        whole(request, bytes)
    });
    let mut command = sandbox.command(&line(&url));
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let process = sandbox.start_command(command);
    let refused =
        |asked: &Vec<String>| asked.iter().filter(|asked| asked.starts_with("GET /events/o")).count() >= 4;
    until("a refusal", || refused(&asked.lock().unwrap()).then_some(()));
    write_keys(&sandbox, "AKIDNEW");
    assert_eq!(process.wait().json(0)["records"]["delivered"], 40);
}
