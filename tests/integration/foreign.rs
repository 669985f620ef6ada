//! Programs of others around the real binary.
//!
//! Servers listen on free ports, are waited for by connecting, and die with the test. `.ci/run` says where
//! the programs are; a test whose programs are missing says so and passes, except in CI, where it fails.
//! What must have arrived is always told by Python over the archive's files, never by our own decoder.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::sandbox::{Outcome, Process, Sandbox, until};

/// What every server here accepts; the one that checks signatures wants an id of some length.
pub(crate) const KEYS: (&str, &str) = ("AKIDRESPOOLTESTS", "not-a-secret-only-a-test");
/// A server whose port was taken by another process dies, and gets another port.
const STARTS_MAX: u32 = 3;

/// The programs of others that a test needs, by the variables that name them. `None`: the test is left out.
pub(crate) fn tools<const N: usize>(variables: [&str; N]) -> Option<[PathBuf; N]> {
    let found = variables.map(variable);
    for (name, path) in variables.iter().zip(&found) {
        if path.is_none() {
            // Not `println`, which is shown for failed tests only; one write, since tests run side by side.
            let line = format!("\nLEFT OUT: a test that needs {name} (.ci/run tools test)\n");
            let _ = io::stderr().write_all(line.as_bytes());
            assert!(variable("CI").is_none(), "{name} is not set: nothing may be left out in CI");
            return None;
        }
    }
    Some(found.map(Option::unwrap_or_default))
}

#[expect(clippy::disallowed_methods, reason = "what .ci/run tells the tests")]
pub(crate) fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// `respool replay ARCHIVE` with the flags in `line`, by someone with `keys` or without any.
pub(crate) fn replay(
    sandbox: &Sandbox,
    archive: impl AsRef<OsStr>,
    line: &str,
    keys: Option<(&str, &str)>,
) -> Outcome {
    let mut command = sandbox.command("replay --json --yes");
    command.arg(archive).args(line.split_whitespace());
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    if let Some((id, secret)) = keys {
        command.env("AWS_ACCESS_KEY_ID", id).env("AWS_SECRET_ACCESS_KEY", secret);
    }
    sandbox.start_command(command).wait()
}

/// A server of ours or of others.
pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
    _home: Sandbox,
}

impl Server {
    /// Starts what `command` makes of a free port and a folder for its own use, and waits until it answers.
    pub(crate) fn start(command: impl Fn(u16, &Path) -> Command) -> Self {
        let mut log = String::new();
        for _ in 0..STARTS_MAX {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            drop(listener);
            let home = Sandbox::new();
            let mut process = home.start_command(command(port, &home.path("")));
            let answers = until("a server", || {
                let ended = process.has_ended();
                let answers = !ended && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok();
                (ended || answers).then_some(answers)
            });
            if answers {
                return Self { process, url: format!("http://127.0.0.1:{port}"), _home: home };
            }
            log = process.stderr();
        }
        panic!("the server does not start: {log}")
    }

    /// `respool simulate` with the flags in `line`.
    pub(crate) fn simulate(line: &str) -> Self {
        let home = Sandbox::new();
        let (process, url) = home.simulate(line);
        Self { process, url, _home: home }
    }

    /// ferrokinesis with the limits that Kinesis has.
    pub(crate) fn ferrokinesis(program: &Path) -> Self {
        Self::start(|port, _| {
            let mut command = Command::new(program);
            let flags = "--enforce-limits --create-stream-ms 0 --shard-limit 5000 --log-level warn";
            command.args(flags.split_whitespace()).arg("--port").arg(port.to_string());
            command
        })
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }
}

/// Runs one of our Python scripts and gives what it prints.
pub(crate) fn script(python: &Path, path: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(python);
    command.arg(repository(path)).args(arguments).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    command.env("AWS_DEFAULT_REGION", "us-east-1");
    let sandbox = Sandbox::new();
    let outcome = sandbox.start_command(command).wait();
    assert_eq!(outcome.code, 0, "{path}: {}{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

type Compress = fn(&[u8]) -> io::Result<Vec<u8>>;

/// Made of these records, an archive as Firehose leaves it: every framing in every compression in turn.
pub(crate) fn write_archive(root: &Path, records: &[Vec<u8>], records_per_object: usize) -> io::Result<()> {
    const FRAMINGS: [(&str, &str); 3] = [("lines", "\n"), ("touching", ""), ("blanks", " \t")];
    const COMPRESSIONS: [Compress; 5] =
        [|data| Ok(data.to_vec()), gzip, gzip_members, zstd_frame, zstd_frames];
    for (number, chunk) in records.chunks(records_per_object).enumerate() {
        let (name, after) = FRAMINGS[number % FRAMINGS.len()];
        let compress = COMPRESSIONS[number % COMPRESSIONS.len()];
        let data = chunk.iter().flat_map(|record| [record, after.as_bytes()].concat()).collect::<Vec<u8>>();
        let (hour, second) = (number / 3_600, number % 3_600);
        let stamp = format!("2026-07-01-{hour:02}-{:02}-{:02}", second / 60, second % 60);
        let folder = root.join(format!("2026/07/01/{hour:02}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("made-1-{stamp}-{name}")), compress(&data)?)?;
    }
    Ok(())
}

pub(crate) fn gzip(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data)?;
    encoder.finish()
}

/// Three members, which meet in the middle of records; the second is empty.
fn gzip_members(data: &[u8]) -> io::Result<Vec<u8>> {
    let (front, back) = data.split_at(data.len() / 2);
    Ok([gzip(front)?, gzip(b"")?, gzip(back)?].concat())
}

fn zstd_frame(data: &[u8]) -> io::Result<Vec<u8>> {
    zstd::encode_all(data, 1)
}

fn zstd_frames(data: &[u8]) -> io::Result<Vec<u8>> {
    let (front, back) = data.split_at(data.len() / 2);
    Ok([zstd_frame(front)?, zstd_frame(back)?].concat())
}
