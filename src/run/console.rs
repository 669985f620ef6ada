//! What is said to the person at the terminal: results to stdout, everything else to stderr.
//!
//! While a progress bar is shown, lines go above it: it erases what it stands on when it is drawn anew.

use std::io::{self, BufRead, Write};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use crate::error::Error;

/// The bar at the foot of the terminal, if there is one.
static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From here on `bar` is at the foot of the terminal.
pub(super) fn stand_above(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}

/// stderr, above the bar.
#[derive(Debug, Clone, Copy)]
pub struct AboveTheBar;

impl Write for AboveTheBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let bar = BAR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let write = || io::stderr().lock().write_all(bytes).map(|()| bytes.len());
        bar.map_or_else(write, |bar| bar.suspend(write))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a result. A reader that has gone away wants no more of it, which is no error.
pub fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::incomplete("cannot write to stdout").with_source(error))
        }
        _ => Ok(()),
    }
}

/// Prints a line of news.
pub fn say(line: &str) {
    // Nobody is left to be told that stderr is closed.
    let _ = AboveTheBar.write_all(format!("{line}\n").as_bytes());
}

/// The same without waiting for a terminal that takes no more; what it gives comes to its end when it is said.
pub fn say_soon(line: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::task::spawn_blocking(move || say(line))
}

/// Asks a question that only `y` or `yes` answers with yes.
pub fn ask(question: &str) -> Result<bool, Error> {
    let cannot = |error| Error::refused("cannot ask on this terminal: say --yes").with_source(error);
    let mut stderr = io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(cannot)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(cannot)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
