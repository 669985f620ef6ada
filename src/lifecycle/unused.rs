//! A stream of ours into which nothing was ever sent, as far as it still holds anything: whoever has made it by mistake deletes it
//! like anything else of his own.
//!
//! Runs on other machines leave no trace here, so the stream itself is asked: each shard from its oldest record on. What
//! cannot be looked at counts as used.

use super::runs::RunsInto;
use super::shape::is_ours;
use crate::stream::CallError;
use crate::stream::control::StreamParticulars;
use crate::stream::read::{ReadFrom, StreamReader};

/// More shards are not looked at.
const SHARDS_MAX: usize = 256;
/// Empty pages of a shard that are read before it is given up. Kinesis may give some although records follow.
const PAGES_MAX: u32 = 5;

/// Whether the stream is ours, no run into it is known, and it holds no record.
pub(super) async fn is_unused(
    reader: &dyn StreamReader,
    found: &StreamParticulars,
    RunsInto { runs, unread }: &RunsInto,
) -> bool {
    let no_run = runs.is_empty() && unread.is_empty();
    is_ours(found) && no_run && holds_nothing(reader).await.unwrap_or_default()
}

async fn holds_nothing(reader: &dyn StreamReader) -> Result<bool, CallError> {
    let shards = reader.list_all_shards().await?;
    if shards.len() > SHARDS_MAX {
        return Ok(false);
    }
    'shards: for shard in shards {
        let mut position = reader.iterator(shard.id, ReadFrom::Horizon).await?;
        for _ in 0..PAGES_MAX {
            let page = reader.read(position).await?;
            if !page.records.is_empty() {
                return Ok(false);
            }
            match page.next {
                Some(next) if page.behind_ms > 0 => position = next,
                _ => continue 'shards,
            }
        }
        return Ok(false);
    }
    Ok(true)
}
