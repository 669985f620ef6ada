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
            match (page.next, page.behind_ms) {
                (None, _) | (Some(_), Some(..=0)) => continue 'shards,
                (Some(next), Some(_)) => position = next,
                // Whether anything follows is not told.
                (Some(_), None) => return Ok(false),
            }
        }
        return Ok(false);
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::lifecycle::fixtures::ours;
    use crate::record::ShardId;
    use crate::stream::null::NullStream;
    use crate::stream::read::Page;
    use crate::stream::{BoxFuture, ShardDescription, Stream as _};

    /// A shard that gives no records, and of each page whether another follows and how far behind it ends.
    struct Empty(Mutex<Vec<(bool, Option<i64>)>>);

    impl StreamReader for Empty {
        fn list_all_shards(&self) -> BoxFuture<'_, Result<Vec<ShardDescription>, CallError>> {
            Box::pin(async { NullStream::default().list_open_shards().await })
        }

        fn iterator(&self, _: ShardId, _: ReadFrom) -> BoxFuture<'_, Result<String, CallError>> {
            Box::pin(async { Ok("position".to_owned()) })
        }

        fn read(&self, position: String) -> BoxFuture<'_, Result<Page, CallError>> {
            let (goes_on, behind_ms) = self.0.lock().unwrap().pop().unwrap();
            let page = Page { records: Vec::new(), next: goes_on.then_some(position), behind_ms };
            Box::pin(async { Ok(page) })
        }
    }

    #[tokio::test]
    async fn a_stream_whose_server_does_not_say_how_far_a_page_reaches_counts_as_used() {
        let none = RunsInto::default();
        for (pages, expected) in [
            (vec![(true, Some(0))], true),
            (vec![(true, Some(9)), (true, Some(0))], true),
            (vec![(false, None)], true),
            (vec![(true, None)], false),
            (vec![(true, Some(9)), (true, None)], false),
            (vec![(true, Some(9)); 5], false),
        ] {
            let reader = Empty(Mutex::new(pages.iter().copied().rev().collect()));
            assert_eq!(is_unused(&reader, &ours(1), &none).await, expected, "{pages:?}");
        }
    }
}
