//! Credentials that expire in the middle of a run: it pauses, asks for new ones, and goes on.
//!
//! Between the binary and the simulator stands a door that takes one access key until it is told to take
//! another; with the wrong one a PutRecords is answered as AWS answers an expired token.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::events::{self, by_key};
use crate::gateway::{response, serve};
use crate::reader::{check_delivered, read_stream};
use crate::sandbox::{Sandbox, until};

const OLD: &str = "AKIDOLD";
const NEW: &str = "AKIDNEW";

#[derive(Default)]
struct Door {
    old_has_expired: AtomicBool,
    refused: AtomicU64,
}

impl Door {
    /// A door in front of the server at `url`; gives its own address.
    fn open(self: &Arc<Self>, url: &str) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let own = format!("http://{}", listener.local_addr().unwrap());
        let (door, server) = (self.clone(), url.strip_prefix("http://").unwrap().to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (door, server) = (door.clone(), server.clone());
                thread::spawn(move || door.pass(client, &server));
            }
        });
        own
    }

    /// Passes one request after the other, each over a connection of its own.
    fn pass(&self, mut client: TcpStream, server: &str) -> Option<()> {
        loop {
            let request = read_message(&mut client)?;
            let head = String::from_utf8_lossy(&request).into_owned();
            let expired = self.old_has_expired.load(Ordering::SeqCst) && head.contains(OLD);
            if expired && head.contains("Kinesis_20131202.PutRecords") {
                self.refused.fetch_add(1, Ordering::SeqCst);
                let body = r#"{"__type":"ExpiredTokenException","message":"The security token is expired"}"#;
                let head = format!("HTTP/1.1 400 Bad\r\ncontent-length: {}\r\n\r\n", body.len());
                client.write_all((head + body).as_bytes()).ok()?;
                continue;
            }
            let mut behind = TcpStream::connect(server).ok()?;
            behind.write_all(&request).ok()?;
            client.write_all(&read_message(&mut behind)?).ok()?;
        }
    }
}

/// A head and as much as it announces.
pub(crate) fn read_message(socket: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut message, mut part) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some(end) = message.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&message[..end]).to_lowercase();
            let announced =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            if message.len() >= end + 4 + announced.unwrap_or(0) {
                return Some(message);
            }
        }
        match socket.read(&mut part).ok()? {
            0 => return None,
            count => message.extend_from_slice(&part[..count]),
        }
    }
}

pub(crate) fn write_keys(sandbox: &Sandbox, id: &str) {
    let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = nothing\n");
    fs::create_dir_all(sandbox.path(".aws")).unwrap();
    fs::write(sandbox.path(".aws/credentials"), text).unwrap();
}

#[test]
fn a_run_waits_for_new_credentials_and_goes_on_with_them() {
    let sandbox = Sandbox::new();
    events::make_archive(&sandbox.path("archive"), 4, 400);
    write_keys(&sandbox, OLD);
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let door = Arc::new(Door::default());
    let own = door.open(&url);
    let mut command = sandbox.command(&format!(
        "replay archive --into demo --partition-key /k --share 0.5 --endpoint-url {own} --yes --json"
    ));
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    let process = sandbox.start_command(command);
    sandbox.wait_for_progress(0);
    door.old_has_expired.store(true, Ordering::SeqCst);
    until("a refusal", || (door.refused.load(Ordering::SeqCst) >= 2).then_some(()));
    write_keys(&sandbox, NEW);
    let report = process.wait().json(0);
    assert_eq!((&report["records"]["delivered"], &report["possible_duplicates"]), (&json!(1_600), &json!(0)));
    assert_eq!(check_delivered(&by_key(&sandbox.path("archive"), "/k"), &read_stream(&url, "demo")), 0);
}

#[test]
fn a_profile_that_only_a_variable_names_is_in_what_is_printed_and_kept() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    events::put(&sandbox.path("archive"), 0, &events::gzip(b"{\"k\":1}\n"));
    let config = sandbox.path("aws.ini");
    fs::write(&config, "[profile live]\naws_access_key_id = a\naws_secret_access_key = b\n").unwrap();
    let run = |line: &str| {
        let mut command = sandbox.command(line);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_CONFIG_FILE", &config).env("AWS_PROFILE", "live");
        sandbox.start_command(command).wait()
    };
    let at = format!("--endpoint-url {url}");
    let flags = format!("--kinesis-region eu-west-1 --kinesis-profile live --kinesis-endpoint-url {url}`");
    for line in [format!("stream status nowhere {at}"), format!("replay archive --into nowhere {at}")] {
        let outcome = run(&line);
        assert!(outcome.sentence(5).contains(&flags), "{outcome:?}");
    }
    let report = run(&format!("replay archive --into demo --partition-key /k {at} --json")).json(0);
    let kept = sandbox.path("state/respool/runs").join(report["run"].as_str().unwrap()).join("run.json");
    let kept: serde_json::Value = serde_json::from_slice(&fs::read(kept).unwrap()).unwrap();
    assert_eq!(
        kept["tuning"]["kinesis"]["profile"], "live",
        "whoever goes on with it has another environment"
    );
}

#[test]
fn the_endpoints_of_a_services_section_are_taken_for_every_service_and_shown() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    events::put(&sandbox.path("archive"), 0, &events::gzip(b"{\"k\":1}\n"));
    fs::create_dir_all(sandbox.path(".aws")).unwrap();
    let write = |services: [(&str, &str); 3]| {
        let services = services.map(|(id, url)| format!("{id} =\n  endpoint_url = {url}\n")).concat();
        fs::write(
            sandbox.path(".aws/config"),
            format!("[default]\nservices = own\n\n[services own]\n{services}"),
        )
        .unwrap();
    };
    write([("kinesis", &url), ("dynamodb", &url), ("cloudwatch", &url)]);
    let replay = "replay archive --into demo --partition-key /k --json";
    let forecast = sandbox.run(&format!("{replay} --dry-run")).json(0);
    assert_eq!(forecast["target_endpoint"], json!(url));
    let status = sandbox.run("stream status demo").stdout;
    assert!(status.contains(&format!("at {url}")), "{status}");
    sandbox.run(replay).json(0);
    for (line, service) in
        [("stream drained --lease-table worker", "DynamoDB"), ("stream drained", "CloudWatch")]
    {
        let asked = sandbox.run(line);
        let asked = asked.sentence(5);
        assert!(asked.contains(&format!("{url} does not answer for {service}")), "{asked}");
    }
    write([("kinesis", &url), ("dynamodb", "http://192.0.2.1"), ("cloudwatch", "http://192.0.2.1")]);
    let asked = sandbox.run("stream drained");
    let asked = asked.sentence(2);
    assert!(asked.contains("for CloudWatch, is reached over the network in clear"), "{asked}");
}

#[test]
fn the_workers_table_is_looked_for_where_the_profile_says_and_nobody_is_asked_for_that_again() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let (dynamodb, _) = serve(|_| {
        let body =
            br#"{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no"}"#;
        response("400 Bad Request", "connection: close\r\n", body)
    });
    events::put(&sandbox.path("archive"), 0, &events::gzip(b"{\"k\":1}\n"));
    fs::create_dir_all(sandbox.path(".aws")).unwrap();
    let services = [("kinesis", &url), ("dynamodb", &dynamodb)]
        .map(|(id, url)| format!("{id} =\n  endpoint_url = {url}\n"))
        .concat();
    let profile = format!("[default]\nservices = own\n\n[services own]\n{services}");
    fs::write(sandbox.path(".aws/config"), profile).unwrap();
    sandbox.run("stream create backfill --shards 1").ended_with(0);
    sandbox.run("replay archive --into backfill --partition-key /k --json").json(0);
    let known = format!(" --consumer-endpoint-url {dynamodb}");
    let guide = sandbox.run("guide").stdout;
    assert!(guide.contains(&known) && !guide.contains("-url URL"), "{guide}");
    let refused = sandbox.run("stream delete backfill --yes");
    let refused = refused.sentence(5);
    assert!(refused.contains(&known) && !refused.contains("-url URL"), "{refused}");
    let missing = sandbox.run("stream drained --lease-table worker");
    let missing = missing.sentence(5);
    for said in [
        "the table worker does not exist in eu-west-1",
        &dynamodb,
        "--consumer-region",
        "--consumer-endpoint-url",
    ] {
        assert!(missing.contains(said), "{said}: {missing}");
    }
}
