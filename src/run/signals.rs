//! Ctrl-C and SIGTERM: the first ends in order, the second at once, and each is answered by a sentence.
//!
//! Whoever types Ctrl-C waits for a sign that it was heard. A terminal that takes no more output must not keep the second
//! one from ending the process, so its sentence has a moment, and no longer.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use super::console;
use crate::error::{Error, ExitCode};
use crate::write::StopReason;

/// How long the last sentence may take.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is said.
#[derive(Debug, Clone, Copy)]
pub struct Answers {
    /// To the first signal; with `--quiet` it is not said.
    pub first: &'static str,
    /// To the second one.
    pub second: &'static str,
}

/// Of a run.
pub const OF_A_RUN: Answers = Answers {
    first: "stopping: what is in flight is finished and saved; once more to stop at once",
    second: "stopped at once: what is saved is safe, `respool resume` goes on, and what was in flight is sent again",
};
/// Of a measurement.
pub const OF_A_BENCH: Answers = Answers {
    first: "stopping: the steps that are finished are shown; once more to stop at once",
    second: "stopped at once: nothing is shown",
};

/// Comes when the process is told to end.
pub fn first_signal() -> Result<impl Future<Output = ()> + Send, Error> {
    let (mut interrupt, mut terminate) = listen()?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// The first signal ends the run in order, the second at once: what is durable then is still safe.
pub fn stop_signals(answers: Answers, quiet: bool) -> Result<mpsc::Receiver<StopReason>, Error> {
    let (mut interrupt, mut terminate) = listen()?;
    let (tell, stop) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut signals = 0;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = tell.closed() => return,
            }
            signals += 1;
            if signals == 1 {
                let _ = tell.try_send(StopReason::Interrupted);
                if !quiet {
                    console::say_soon(answers.first);
                }
            } else {
                let said = console::say_soon(answers.second);
                let _ = tokio::time::timeout(LAST_WORDS, said).await;
                std::process::exit(i32::from(ExitCode::Incomplete as u8));
            }
        }
    });
    Ok(stop)
}

fn listen() -> Result<(Signal, Signal), Error> {
    let cannot = |error| Error::incomplete("cannot listen for signals").with_source(error);
    let listen = |kind| signal(kind).map_err(cannot);
    Ok((listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?))
}
