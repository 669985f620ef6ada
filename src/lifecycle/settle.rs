//! Waiting for a change of a stream to be over, with a word now and then about how it stands.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::door::Door;
use crate::config::OutputConfig;
use crate::error::Error;
use crate::run::console;
use crate::run::report::duration;
use crate::stream::{CallErrorClass, Stream, StreamDescription};

/// Between two looks, at first and at most. `DescribeStreamSummary` takes 20 calls a second of a whole account.
const POLL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// The same on this machine.
const POLL_HERE: Duration = Duration::from_millis(50);
/// A change in which nothing moves for so long is not waited for any more.
const STANDSTILL_MAX: Duration = Duration::from_mins(30);
/// Between two words about a wait in which nothing moves.
const WORD_INTERVAL: Duration = Duration::from_secs(15);

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The stream.
    There(Box<StreamDescription>),
    /// It does not exist, or not yet.
    Gone,
}

/// Looks until `is_over`, and gives what was found then. `doing` is what the user is told meanwhile.
pub async fn until(
    door: &Door,
    doing: &str,
    output: &OutputConfig,
    is_over: impl Fn(&Look) -> bool,
) -> Result<Look, Error> {
    let began = Instant::now();
    let (mut moved, mut told, mut seen) = (began, began, String::new());
    let mut pause = POLL.0;
    loop {
        let look = look(door).await?;
        if is_over(&look) {
            return Ok(look);
        }
        let state = state(&look);
        let now = Instant::now();
        if state != seen {
            moved = now;
            pause = POLL.0;
        }
        if now - moved > STANDSTILL_MAX {
            return Err(Error::incomplete(format!(
                "{doing}: still {state} after {}; `respool stream status {}` tells how it goes on",
                duration((now - began).as_secs_f64()),
                door.name
            )));
        }
        if !output.quiet && (state != seen || now - told >= WORD_INTERVAL) {
            let waited = (now - began).as_secs_f64();
            let waited = if waited < 1.0 { String::new() } else { format!(", {}", duration(waited)) };
            console::say(&format!("{doing}: {state}{waited}"));
            told = now;
        }
        seen = state;
        sleep(if door.stream.is_harmless() { POLL_HERE } else { pause }).await;
        pause = (pause * 3 / 2).min(POLL.1);
    }
}

/// Waits until the stream is `ACTIVE`.
pub async fn until_active(
    door: &Door,
    doing: &str,
    output: &OutputConfig,
) -> Result<StreamDescription, Error> {
    let active = |look: &Look| match look {
        Look::There(stream) => stream.status == "ACTIVE" || stream.status == "DELETING",
        Look::Gone => false,
    };
    match until(door, doing, output, active).await? {
        Look::There(stream) if stream.status == "ACTIVE" => Ok(*stream),
        Look::There(_) | Look::Gone => {
            Err(Error::refused(format!("{doing}: it is being deleted; once it is gone it can be made anew")))
        }
    }
}

async fn look(door: &Door) -> Result<Look, Error> {
    match door.stream.describe().await {
        Ok(stream) => Ok(Look::There(Box::new(stream))),
        Err(error) if error.class == CallErrorClass::NotFound => Ok(Look::Gone),
        Err(error) => Err(Error::incomplete(format!(
            "the stream {} cannot be looked at: {}; `respool stream status {0}` tells how it stands",
            door.name, error.message
        ))),
    }
}

fn state(look: &Look) -> String {
    match look {
        Look::Gone => "not there".to_owned(),
        Look::There(stream) => format!("{}, {} shards", stream.status, stream.open_shards),
    }
}
