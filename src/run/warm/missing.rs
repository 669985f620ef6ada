//! What did not get into the cache for want of room, and how large the cache would have to be.

use std::sync::Arc;

use crate::error::Error;
use crate::record::{ByteCount, agree, many, number};
use crate::run::open::PASSING_PART;
use crate::run::spool::Spool;

/// Sizes are estimated from what was seen: so much is added to them, as a divisor.
const MARGIN_PART: u64 = 10;

/// What is in the cache, and what is not.
#[derive(Default)]
pub(super) struct Room {
    /// Bytes of the segments that are there.
    pub(super) kept_bytes: u64,
    /// Objects that had no room, and what their segments take where that was seen.
    pub(super) without: Vec<(u32, Option<u64>)>,
}

/// What is missing.
pub(super) struct Missing {
    pub(super) objects: u64,
    /// About so much they would take.
    pub(super) bytes: ByteCount,
    /// A `--cache-size` that would hold everything.
    pub(super) size: String,
    others: bool,
}

impl Room {
    /// What is missing now: another process may have brought in some of it. `None` if nothing is.
    pub(super) async fn missing(self, spool: &Arc<Spool>) -> Result<Option<Missing>, Error> {
        let numbers = self.without.iter().map(|(number, _)| *number).collect();
        let absent = spool.absent(numbers).await?;
        let taken = |(number, seen): &(u32, Option<u64>)| {
            let guess = || spool.manifest().object(*number).map(|entry| spool.estimate.segment_bytes(entry));
            seen.or_else(guess).unwrap_or_default()
        };
        let (missing, come): (Vec<_>, Vec<_>) =
            self.without.iter().partition(|(number, _)| absent.binary_search(number).is_ok());
        if missing.is_empty() {
            return Ok(None);
        }
        let bytes: u64 = missing.into_iter().map(taken).fold(0, u64::saturating_add);
        let others = spool.kept_for_others().0;
        let kept = come.into_iter().map(taken).fold(self.kept_bytes, u64::saturating_add);
        let all = kept.saturating_add(bytes).saturating_add(others);
        let all = all.saturating_add(all / MARGIN_PART);
        Ok(Some(Missing {
            objects: absent.len() as u64,
            bytes: ByteCount(bytes),
            size: rounded_up(all.saturating_add(all / (PASSING_PART - 1))),
            others: others > 0,
        }))
    }
}

impl Missing {
    /// Not all of `total` objects are in the cache.
    pub(super) fn error(&self, total: usize) -> Error {
        Error::incomplete(format!(
            "{} of {} {} not in the cache, which has no room for {them} (about {}{}): the same command with --cache-size {} keeps \
             {them} too",
            number(self.objects),
            many(total, "object"),
            agree(self.objects, "is", "are"),
            self.bytes,
            if self.others { ", and other runs keep some for what they fetch" } else { "" },
            self.size,
            them = agree(self.objects, "it", "them")
        ))
    }
}

/// At least `bytes`, as a flag takes a size.
fn rounded_up(bytes: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let (scale, unit) = units.into_iter().find(|(scale, _)| bytes >= *scale).unwrap_or((1_000, "kB"));
    let tenths = bytes.div_ceil(scale / 10);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole}{unit}"),
        (whole, tenth) => format!("{whole}.{tenth}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_size;

    #[test]
    fn a_size_that_is_offered_is_enough_and_can_be_typed() {
        for (bytes, text) in
            [(0, "0kB"), (1, "0.1kB"), (999_999, "1000kB"), (5_612_345, "5.7MB"), (40_000_000_000, "40GB")]
        {
            assert_eq!(rounded_up(bytes), text);
            assert!(bytes == 0 || parse_size(text).unwrap().0 >= bytes);
        }
    }
}
