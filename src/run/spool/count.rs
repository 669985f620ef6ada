//! What is in the cache already need not be estimated: its segments say how many records they hold.

use std::sync::Arc;

use super::{Spool, blocking};
use crate::error::Error;

/// Segments that are opened for their counts: a forecast is waited for.
const COUNTED_MAX: usize = 20_000;

impl Spool {
    /// Counts what is in the cache, so that the estimate stands on it; of a list so long that this would take its time,
    /// nothing.
    pub async fn count_cached(self: &Arc<Self>) -> Result<(), Error> {
        if self.manifest.objects.len() > COUNTED_MAX || self.estimate.is_exact() {
            return Ok(());
        }
        let spool = self.clone();
        blocking(move || {
            for (number, entry) in (0..).zip(&spool.manifest.objects) {
                let name = spool.names.of(entry);
                // What cannot be opened is found when it is needed.
                if let Ok(Some(segment)) = spool.cache.lookup(&name.whole) {
                    spool.estimate.saw(number, entry, segment.data_bytes(), segment.records());
                }
            }
        })
        .await
    }
}
