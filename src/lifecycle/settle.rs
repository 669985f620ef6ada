//! Waiting for a change of a stream to be over, with a word now and then about how it stands.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::door::Door;
use crate::config::OutputConfig;
use crate::error::Error;
use crate::record::many;
use crate::run::console;
use crate::run::report::duration;
use crate::stream::control::StreamParticulars;

/// Between two looks, at first and at most. `DescribeStreamSummary` takes 20 calls a second of a whole account.
const POLL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// The same on this machine.
const POLL_HERE: Duration = Duration::from_millis(50);
/// A change in which nothing moves for so long is not waited for any more.
const STANDSTILL_MAX: Duration = Duration::from_mins(30);
/// How long a description may lag behind a change.
const LAG: Duration = Duration::from_mins(1);
/// The same on this machine.
const LAG_HERE: Duration = Duration::from_secs(1);
/// Between two words about a wait in which nothing moves.
const WORD_INTERVAL: Duration = Duration::from_secs(15);

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The stream.
    There(Box<StreamParticulars>),
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
                "{doing}: still {state} after {}; `respool stream status {}{}` tells how it goes on",
                duration((now - began).as_secs_f64()),
                door.name,
                door.flags
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

/// Waits until the stream is `ACTIVE` and as it was asked to be. A description may lag behind a change that was just asked
/// for, so `ACTIVE` alone says nothing for a while; after that the stream is given as it is.
pub async fn until_set(
    door: &Door,
    doing: &str,
    output: &OutputConfig,
    is_set: impl Fn(&StreamParticulars) -> bool,
) -> Result<StreamParticulars, Error> {
    let lag = if door.stream.is_harmless() { LAG_HERE } else { LAG };
    let active_since: Cell<Option<Instant>> = Cell::new(None);
    let is_over = |look: &Look| {
        let Look::There(stream) = look else { return false };
        if stream.description.status != "ACTIVE" {
            active_since.set(None);
            return stream.description.status == "DELETING";
        }
        let since = active_since.get().unwrap_or_else(Instant::now);
        active_since.set(Some(since));
        is_set(stream) || since.elapsed() > lag
    };
    match until(door, doing, output, is_over).await? {
        Look::There(stream) if stream.description.status == "ACTIVE" => Ok(*stream),
        Look::There(_) | Look::Gone => {
            Err(Error::refused(format!("{doing}: it is being deleted; once it is gone it can be made anew")))
        }
    }
}

/// Waits until the stream is `ACTIVE`.
pub async fn until_active(
    door: &Door,
    doing: &str,
    output: &OutputConfig,
) -> Result<StreamParticulars, Error> {
    until_set(door, doing, output, |_| true).await
}

async fn look(door: &Door) -> Result<Look, Error> {
    Ok(door.look().await?.map_or(Look::Gone, |stream| Look::There(Box::new(stream))))
}

fn state(look: &Look) -> String {
    match look {
        Look::Gone => "not there".to_owned(),
        Look::There(stream) => {
            let stream = &stream.description;
            format!("{}, {}", stream.status, many(stream.open_shards, "shard"))
        }
    }
}
