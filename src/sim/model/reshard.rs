//! Splitting, merging and scaling: which shards may become which.
//!
//! Scaling to N shards means N even ranges, reached as the service does it: split wherever a new border
//! falls inside a shard, then merge wherever an old border is not a new one. So a change by other
//! factors than two leaves short-lived shards in the lineage.

use crate::record::{HashKey, HashKeyRange};

use super::super::SimTime;
use super::super::service_error::{ACCOUNT, ServiceError};
use super::super::shard::Shard;
use super::Service;
use super::stream::{Capacity, Change, StreamState};

/// Cuts the hash space into `count` ranges as Kinesis does: equal, the last takes the remainder.
pub(super) fn even_ranges(count: u32) -> impl Iterator<Item = HashKeyRange> {
    let borders = even_borders(count);
    let lasts: Vec<u128> = borders.iter().skip(1).map(|first| first - 1).chain([u128::MAX]).collect();
    borders
        .into_iter()
        .zip(lasts)
        .map(|(first, last)| HashKeyRange { first: HashKey(first), last: HashKey(last) })
}

/// The first hash key of each of `count` even ranges.
fn even_borders(count: u32) -> Vec<u128> {
    assert!(count > 0, "a stream has a shard");
    let parts = u128::from(count);
    // 2^128 itself does not fit, so its quotient is put together from that of 2^128-1.
    let carry = u128::from(u128::MAX % parts == parts - 1 && parts > 1);
    let width = u128::MAX / parts + carry;
    (0..parts).map(|part| part * width).collect()
}

impl Service {
    /// Cuts a shard in two at `at`, the first hash key of the upper half.
    pub fn split_shard(
        &mut self,
        now: SimTime,
        name: &str,
        shard: &str,
        at: HashKey,
    ) -> Result<(), ServiceError> {
        let until = now.plus(self.config.transition);
        let stream = self.active(now, name)?;
        let (number, range) = {
            let shard = open_shard(stream, shard)?;
            (shard.number, shard.range)
        };
        // Kinesis leaves more than one hash key on each side.
        if at.0 <= range.first.0.saturating_add(1) || at >= range.last {
            return Err(ServiceError::invalid_argument(format!(
                "NewStartingHashKey {at} used in SplitShard() on shard {shard} in stream {name} under account {ACCOUNT} is \
                 not both greater than one plus the shard's StartingHashKey {} and less than the shard's EndingHashKey {}.",
                range.first, range.last
            )));
        }
        self.check_shard_quota(1)?;
        self.active(now, name)?.begin(Change::Split { shard: number, at }, until);
        self.settle(now);
        Ok(())
    }

    /// Makes one shard of two neighbours.
    pub fn merge_shards(
        &mut self,
        now: SimTime,
        name: &str,
        shard: &str,
        adjacent: &str,
    ) -> Result<(), ServiceError> {
        let until = now.plus(self.config.transition);
        let stream = self.active(now, name)?;
        let one = open_shard(stream, shard)?;
        let other = open_shard(stream, adjacent)?;
        if !touches(one.range, other.range) && !touches(other.range, one.range) {
            return Err(ServiceError::invalid_argument(format!(
                "Shards {shard} and {adjacent} in stream {name} under account {ACCOUNT} are not an adjacent pair of \
                 shards eligible for merging"
            )));
        }
        let change = Change::Merge { shard: one.number, adjacent: other.number };
        stream.begin(change, until);
        self.settle(now);
        Ok(())
    }

    /// Changes the number of shards; returns the number before.
    pub fn update_shard_count(&mut self, now: SimTime, name: &str, target: u32) -> Result<u32, ServiceError> {
        let until = now.plus(self.config.transition);
        let stream = self.active(now, name)?;
        if stream.capacity == Capacity::OnDemand {
            let message =
                format!("Request is invalid. Stream {name} under account {ACCOUNT} is in On-Demand mode.");
            return Err(ServiceError::client("ValidationException", message));
        }
        let current = u32::try_from(stream.open_shards().len()).unwrap_or(u32::MAX);
        let (bound, over) = if u64::from(target) > u64::from(current) * 2 {
            ("up over double", true)
        } else {
            ("down below half", u64::from(target) * 2 < u64::from(current))
        };
        if over || target == 0 {
            return Err(ServiceError::invalid_argument(format!(
                "UpdateShardCount cannot scale {bound} your current open shard count. Current open shard count: {current} \
                 Target shard count: {target}"
            )));
        }
        self.check_shard_quota(target.saturating_sub(current))?;
        self.active(now, name)?.begin(Change::Scale { shards: target }, until);
        self.settle(now);
        Ok(current)
    }
}

impl StreamState {
    /// Reaches `target` even ranges by splits, then merges.
    pub(super) fn scale(&mut self, target: u32, now: SimTime, now_s: u64) {
        let borders = even_borders(target);
        for &border in &borders {
            let shard = self.shard_of(HashKey(border));
            if shard.range.first.0 != border {
                self.split(shard.number, HashKey(border), now, now_s);
            }
        }
        for range in even_ranges(target) {
            loop {
                let first = self.shard_of(range.first);
                if first.range == range {
                    break;
                }
                let next = self.shard_of(HashKey(first.range.last.0 + 1));
                self.merge(first.number, next.number, now, now_s);
            }
        }
    }
}

/// Whether `upper` begins where `lower` ends.
fn touches(lower: HashKeyRange, upper: HashKeyRange) -> bool {
    lower.last.0.checked_add(1) == Some(upper.first.0)
}

/// The shard of that name if it can still be split or merged.
fn open_shard<'a>(stream: &'a StreamState, id: &str) -> Result<&'a Shard, ServiceError> {
    let name = &stream.name;
    let shard = stream.shard_by_id(id).ok_or_else(|| ServiceError::no_shard(name, id))?;
    if shard.is_open() {
        return Ok(shard);
    }
    let message = format!(
        "Shard {id} in stream {name} under account {ACCOUNT} has already been merged or split, and thus is not \
         eligible for merging or splitting."
    );
    Err(ServiceError::client("ResourceInUseException", message))
}
