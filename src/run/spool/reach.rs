//! Which objects lie in the cache, asked without opening any.

use std::sync::Arc;

use super::{Name, Spool, blocking};
use crate::archive::ObjectEntry;
use crate::error::Error;
use crate::record::{agree, many, number};
use crate::shown::shown;

impl Spool {
    /// Refuses objects that are not in the cache if only the cache is read: a run of them could not come to its end.
    pub async fn check_in_reach(self: &Arc<Self>) -> Result<(), Error> {
        if self.archive.is_some() {
            return Ok(());
        }
        let spool = self.clone();
        let missing = blocking(move || {
            let known = |number| spool.config.known.of(number).is_some();
            let missing = (0..).zip(&spool.manifest.objects);
            let missing = missing.filter(|(number, entry)| !known(*number) && !spool.holds(entry));
            let mut missing = missing.map(|(_, entry)| entry);
            let first = missing.next().map(|entry| shown(&entry.key).to_string());
            first.map(|first| (first, missing.count() + 1))
        });
        match missing.await? {
            None => Ok(()),
            Some((first, missing)) => Err(Error::refused(format!(
                "{} of {} {} not in the cache, such as {first}, and --offline forbids to fetch {}: without it only what is missing \
                 is fetched",
                number(missing as u64),
                many(self.manifest.objects.len(), "object"),
                agree(missing, "is", "are"),
                agree(missing, "it", "them")
            ))),
        }
    }

    /// Those of `numbers` whose objects are not in the cache.
    pub async fn absent(self: &Arc<Self>, mut numbers: Vec<u32>) -> Result<Vec<u32>, Error> {
        let spool = self.clone();
        let absent = move || {
            numbers.retain(|&number| !spool.manifest.object(number).is_some_and(|entry| spool.holds(entry)));
            numbers
        };
        blocking(absent).await
    }

    /// Whether a file is there for the segment of `entry`. Blocks on the disk.
    fn holds(&self, entry: &ObjectEntry) -> bool {
        let Name { whole, salvaged } = self.names.of(entry);
        self.cache.holds(&whole) || salvaged.is_some_and(|name| self.cache.holds(&name))
    }
}
