//! A retry into a stream that has the name of the one that its run went into, and is another.
//!
//! Where nothing was delivered, or a worker had read all of it, what was set aside is all that is missing, and the new stream
//! is as good as the old one. Else what was delivered is gone, and whoever sends only the rest has to know.

use super::console;
use super::directory::{self, RunGlance};
use super::twice;
use super::unchanged::{check_same_stream, identity};
use crate::config::{ReplayConfig, RunFlags, StateDir};
use crate::error::Error;
use crate::record::{agree, many};
use crate::stream::StreamDescription;

/// The retry of the run `id` that went into `stream` instead of the one that the run went into; as the end of a sentence that
/// says that it is gone. Blocks.
pub fn gone_on(state_dir: &StateDir, id: &str, stream: &StreamDescription, command: &str) -> Option<String> {
    let stream = identity(stream);
    let runs = directory::glance_at_all(state_dir).ok()?;
    let retry = runs.iter().rfind(|run| run.retried() == Some(id) && run.file.stream == stream)?;
    let go = RunFlags::new(state_dir, &retry.file.tuning).go;
    Some(format!(
        "; what it had set aside went into this one by run {0}: `respool {command} {0}{go}`",
        retry.id
    ))
}

/// Says so, and asks where something may be lost; an error if the user has second thoughts, or cannot be asked.
pub(super) fn confirm(
    config: &ReplayConfig,
    run: &RunGlance,
    found: &StreamDescription,
) -> Result<(), Error> {
    let Err(other) = check_same_stream(&run.file, found) else { return Ok(()) };
    let (id, before, now) = (&run.id, &run.file.stream, identity(found));
    if (&before.name, &before.arn) != (&now.name, &now.arn) {
        return Err(other);
    }
    let anew = format!(
        "the stream {} is not the one that run {id} went into: that one was deleted and this one made anew",
        now.name
    );
    let delivered = run.delivered_so_far();
    let drained = run.drained().filter(|seen| seen.delivered == delivered);
    let (records, were) = (many(delivered, "record"), agree(delivered, "was", "were"));
    let gone = match drained {
        _ if delivered == 0 => {
            twice::warn(&format!("{anew}; the run had delivered nothing"));
            return Ok(());
        }
        Some(seen) if seen.is_proven() => {
            twice::warn(&format!("{anew}; a worker had read what the run had delivered, {records}"));
            return Ok(());
        }
        Some(_) => format!("that the {records} of the run {were} read before is an estimate"),
        None => format!("the {records} of the run went with it, unless a worker had read them"),
    };
    if config.yes || config.dry_run {
        twice::warn(&format!("{anew}; {gone}"));
        return Ok(());
    }
    if !config.output.can_ask {
        return Err(Error::refused(format!(
            "{anew}; {gone}: `respool replay` sends all of it, --yes sends only what was set aside"
        )));
    }
    twice::warn(&format!("{anew}; {gone}"));
    if console::ask("Send only what was set aside? [y/N] ")? {
        return Ok(());
    }
    Err(Error::refused("nothing was sent"))
}
