//! One process fills a segment, the others wait for it; but not for one that has stopped.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::cache_error;
use super::{Name, Spool, Spooled, blocking};
use crate::archive::ObjectEntry;
use crate::cache::Fill;
use crate::error::Error;
use crate::shown::shown;

/// How often it is asked whether another process has filled a segment.
const FILL_POLL: Duration = Duration::from_millis(50);
/// How long another process is waited for; then the segment is filled beside it.
const FILL_PATIENCE: Duration = Duration::from_mins(1);

/// Who fills a segment.
pub(super) enum Filling {
    /// This process does.
    Ours(Option<Fill>),
    /// Another one has.
    Done(Spooled),
}

impl Spool {
    /// Waits until nobody else fills the segment; perhaps it is there then.
    pub(super) async fn fill(&self, number: u32, name: Name, entry: &ObjectEntry) -> Result<Filling, Error> {
        if !self.config.keep {
            return Ok(Filling::Ours(None));
        }
        let since = Instant::now();
        loop {
            let (cache, id) = (self.cache.clone(), name.whole);
            let begun = blocking(move || cache.begin_fill(&id)).await?;
            let fill = begun.map_err(|error| cache_error(&entry.key, error))?;
            let waited = fill.is_none();
            // Somebody may have ended between the first look and this one.
            if let Some(found) = self.look_up(number, name, entry).await? {
                return Ok(Filling::Done(found));
            }
            if !waited {
                return Ok(Filling::Ours(fill));
            }
            if since.elapsed() >= FILL_PATIENCE {
                tracing::warn!(
                    "another process has been fetching {} for a minute: it is fetched beside it",
                    shown(&entry.key)
                );
                return Ok(Filling::Ours(None));
            }
            sleep(FILL_POLL).await;
        }
    }
}
