//! What a person at a terminal sees: a real one, with a progress bar that is drawn anew all the time.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::events::{gzip, put};
use crate::sandbox::{Sandbox, until};

/// A command at a terminal of its own; killed on drop.
struct Terminal {
    child: Child,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let path = std::ffi::OsStr::from_bytes(name.to_bytes());
        let side = rustix::fs::open(path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let side = File::from(side);
        let end = || Stdio::from(side.try_clone().unwrap());
        command.env("TERM", "xterm").stdin(Stdio::null()).stdout(end()).stderr(end());
        let child = command.spawn().unwrap();
        // Where it still has its own end open, nobody sees the other's end.
        drop((command, side));
        let screen = Arc::new(Mutex::new(Vec::new()));
        let (seen, mut terminal) = (screen.clone(), File::from(terminal));
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok(read @ 1..) = terminal.read(&mut buffer) {
                seen.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { child, screen }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    fn shows(&self, words: &str) {
        until(words, || self.text().contains(words).then_some(()));
    }

    fn times_drawn(&self) -> usize {
        self.text().matches("records").count()
    }

    fn press_ctrl_c(&self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
    }

    fn code(&mut self) -> Option<i32> {
        until("the end", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn replay(sandbox: &Sandbox, url: &str) -> Terminal {
    for object in 0..4 {
        let lines: Vec<String> = (0..50).map(|n| format!("{{\"k\":\"{}\"}}\n", n % 25)).collect();
        put(&sandbox.path("archive"), object, &gzip(lines.concat().as_bytes()));
    }
    let line =
        format!("replay archive --into demo --endpoint-url {url} --partition-key /k --max-rate 5rec/s");
    Terminal::start(sandbox.command(&line))
}

#[test]
fn each_ctrl_c_is_answered_also_when_the_service_is_not() {
    let sandbox = Sandbox::new();
    let (simulator, url) = sandbox.simulate("--shards 1");
    let mut terminal = replay(&sandbox, &url);
    sandbox.wait_for_progress(1);
    simulator.signal(Signal::STOP);
    // By then a request is under way, and without an answer the first one does not end the run.
    let drawn = terminal.times_drawn() + 10;
    until("the bar, drawn anew", || (terminal.times_drawn() >= drawn).then_some(()));
    terminal.press_ctrl_c();
    terminal.shows("stopping: what is in flight is finished and saved; once more to stop at once");
    terminal.press_ctrl_c();
    assert_eq!(terminal.code(), Some(4));
    terminal.shows("stopped at once: what is saved is safe, `respool resume` goes on");
}

#[test]
fn a_service_that_is_away_is_called_that_and_fills_no_screen() {
    let sandbox = Sandbox::new();
    let (simulator, url) = sandbox.simulate("--shards 1");
    let mut terminal = replay(&sandbox, &url);
    sandbox.wait_for_progress(1);
    simulator.kill();
    terminal.shows("the service fails: no call has succeeded for 5.");
    terminal.press_ctrl_c();
    terminal.shows("stopping: ");
    assert_eq!(terminal.code(), Some(4));
    terminal.shows("respool resume");
    let text = terminal.text();
    let warnings = text.matches("PutRecords failed, ").count();
    assert!((1..=4).contains(&warnings), "{warnings}\n{text}");
}
