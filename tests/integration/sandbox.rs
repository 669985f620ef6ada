//! The real binary in a folder of its own: no machine's configuration, no network but loopback.
//!
//! Everything that a test starts is killed when the test ends, however it ends, and no wait is without a
//! bound. Output goes into files, so that no pipe is ever full.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No command of these tests may take longer.
const COMMAND_TIME_MAX: Duration = Duration::from_mins(10);
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A folder that is home, cache and state of every process started in it.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("sandbox").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
        Self { folder: folder.unwrap() }
    }

    /// A path in it; command lines name the same relatively.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(below)
    }

    /// `respool` with the words of `line`, with credentials that are good enough for loopback.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_respool"));
        command
            .args(line.split_whitespace())
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_STATE_HOME", self.path("state"))
            .env("AWS_ACCESS_KEY_ID", "nobody")
            .env("AWS_SECRET_ACCESS_KEY", "nothing")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    pub(crate) fn start(&self, line: &str) -> Process {
        self.start_command(self.command(line))
    }

    pub(crate) fn start_command(&self, mut command: Command) -> Process {
        let output = tempfile::Builder::new().prefix("output").tempdir_in(self.folder.path()).unwrap().keep();
        let file = |name| File::create(output.join(name)).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Process { child, output }
    }

    pub(crate) fn run(&self, line: &str) -> Outcome {
        self.start(line).wait()
    }

    /// `respool simulate`, and where it listens.
    pub(crate) fn simulate(&self, flags: &str) -> (Process, String) {
        let process = self.start(&format!("simulate --port 0 {flags}"));
        let url = until("the simulator's address", || {
            let text = process.stdout();
            text.split_once('\n').map(|(url, _)| url.to_owned())
        });
        (process, url)
    }

    /// What `respool runs --json` says.
    pub(crate) fn runs(&self) -> Vec<Value> {
        let outcome = self.run("runs --json");
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        serde_json::from_str(&outcome.stdout).unwrap()
    }

    /// Waits until a checkpoint of the last run shows more than `delivered` records.
    pub(crate) fn wait_for_progress(&self, delivered: u64) {
        until("progress", || {
            let run = self.runs().pop()?;
            (run["records_delivered"].as_u64()? > delivered).then_some(())
        });
    }
}

/// A process under way; killed on drop.
pub(crate) struct Process {
    child: Child,
    output: PathBuf,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.output.join("stdout")).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.output.join("stderr")).unwrap()
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn wait(self) -> Outcome {
        self.wait_unless_killed().unwrap_or_else(|stderr| panic!("ended by a signal\n{stderr}"))
    }

    /// What it said on stderr, if a signal has ended it.
    pub(crate) fn wait_unless_killed(mut self) -> Result<Outcome, String> {
        let started = Instant::now();
        let status = until("the end of a command", || self.child.try_wait().unwrap());
        let (stdout, stderr) = (self.stdout(), self.stderr());
        let Some(code) = status.code() else { return Err(stderr) };
        Ok(Outcome { code, stdout, stderr, waited: started.elapsed() })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From the call of [`Process::wait`] on.
    pub(crate) waited: Duration,
}

impl Outcome {
    /// The JSON object on stdout, of a command that ended with `code`.
    pub(crate) fn json(&self, code: i32) -> Value {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, self.stdout);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// A command that ended with `code`, whatever it said.
    pub(crate) fn ended_with(&self, code: i32) {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, self.stdout);
    }

    /// The one sentence on stderr of a command that ended with `code` and has no result.
    pub(crate) fn sentence(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{}\n{}", self.stderr, self.stdout);
        // With --json the refusal is an object as well.
        if !self.stdout.is_empty() {
            let report: Value = serde_json::from_str(&self.stdout).unwrap();
            assert_eq!(report["exit_code"], code);
            let run = report.get("run").and_then(Value::as_str).unwrap_or_default();
            assert!(self.stderr.contains(run), "the run that it is about is named: {report}");
        }
        let errors: Vec<&str> = self.stderr.lines().filter(|line| line.starts_with("error: ")).collect();
        assert!(errors.len() == 1, "one sentence: {}", self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        errors[0]
    }
}

/// Asks again and again, within the bound that every wait has.
#[expect(clippy::disallowed_methods, reason = "another process is waited for, which has no channel to us")]
pub(crate) fn until<T>(what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(started.elapsed() < COMMAND_TIME_MAX, "waited in vain for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}
