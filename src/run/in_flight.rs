//! How much is on its way at once, whatever the number of shards.
//!
//! A request holds its body in memory and a connection until it is answered. The engine gives each lane its share of
//! the requests, but more lanes than requests, or a few hundred records of ten megabytes, are more than a machine should
//! hold. Who finds no room waits before it encodes anything, and keeps its place in its shard's budget as long.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use super::report::number;
use crate::record::many;

/// Data and keys of the requests that are under way together. In base64 they are a third more.
const BYTES_MAX: u32 = 96 << 20;
/// Bytes are counted in this unit, since a semaphore counts no further than 2^29 on small machines.
const UNIT: u32 = 1 << 10;
/// Requests, and so connections, that are under way together: two for each of a thousand shards.
pub(super) const REQUESTS_MAX: usize = 2_048;
/// A shard that takes its records in portions of 70 ms needs no more requests, up to a round trip of 140 ms.
const REQUESTS_OF_A_SHARD: usize = 2;

/// Room for requests. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    requests_max: usize,
    /// Requests that may be under way.
    allowed: Arc<AtomicUsize>,
    /// Rooms beyond those, which nobody else gets when they are left.
    surplus: Arc<AtomicUsize>,
}

/// A request's room, until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    request: Option<OwnedSemaphorePermit>,
    surplus: Arc<AtomicUsize>,
    #[expect(dead_code, reason = "held until it is dropped")]
    bytes: OwnedSemaphorePermit,
}

impl Drop for Room {
    fn drop(&mut self) {
        let is_surplus = take(&self.surplus, 1) > 0;
        if let Some(request) = self.request.take().filter(|_| is_surplus) {
            request.forget();
        }
    }
}

/// Takes up to `wanted` from `count`, and says how many those were.
fn take(count: &AtomicUsize, wanted: usize) -> usize {
    let less = |count: usize| Some(count - count.min(wanted));
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).map_or(0, |before| before.min(wanted))
}

fn requests_for(files: usize) -> usize {
    (files / 2).clamp(1, REQUESTS_MAX)
}

/// What is to be said where `files` do not suffice for the requests that `shards` need, wherever they are.
fn too_few(files: usize, shards: usize) -> Option<String> {
    let needed = shards.saturating_mul(REQUESTS_OF_A_SHARD).min(REQUESTS_MAX);
    let requests = requests_for(files);
    (requests < needed).then(|| {
        let needed = number(needed as u64);
        format!(
            "this process may open {}, so {} may be under way; {} may need {needed} if they are far away: raise the hard limit \
             (`ulimit -Hn`)",
            many(files, "file"),
            many(requests, "request"),
            many(shards, "shard")
        )
    })
}

impl InFlight {
    /// What this process may have: for half of the files that it may open, connections. A word is said if that is less than
    /// `shards` may need.
    pub(super) fn of_this_process(shards: usize) -> Self {
        let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
        let files = files.unwrap_or(usize::MAX);
        if let Some(sentence) = too_few(files, shards) {
            tracing::warn!("{sentence}");
        }
        Self::new(requests_for(files))
    }

    fn new(requests_max: usize) -> Self {
        let units = usize::try_from(BYTES_MAX / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            bytes: Arc::new(Semaphore::new(units)),
            requests: Arc::new(Semaphore::new(0)),
            requests_max,
            allowed: Arc::default(),
            surplus: Arc::default(),
        }
    }

    /// Requests that may ever be under way together.
    pub(super) fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// Waits for room for a request of `bytes`, in the order of asking. One that is larger than all the room takes all of it.
    pub(super) async fn enter(&self, bytes: u64) -> Result<Room, AcquireError> {
        let units = u32::try_from(bytes.div_ceil(UNIT.into())).unwrap_or(u32::MAX).min(BYTES_MAX / UNIT);
        let request = self.requests.clone().acquire_owned().await?;
        let bytes = self.bytes.clone().acquire_many_owned(units).await?;
        Ok(Room { request: Some(request), surplus: self.surplus.clone(), bytes })
    }

    /// So many `requests` may be under way from now on. What is beyond them goes on to its end.
    pub(super) fn allow(&self, requests: usize) {
        let allowed = self.allowed.swap(requests, Ordering::Relaxed);
        if let Some(more) = requests.checked_sub(allowed).filter(|more| *more > 0) {
            self.requests.add_permits(more - take(&self.surplus, more));
        } else if requests < allowed {
            let less = allowed - requests;
            self.surplus.fetch_add(less - self.requests.forget_permits(less), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What a future that is ready at once gives.
    fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn too_few_files_are_a_matter_of_the_shards() {
        for (files, shards) in [(1_024, 256), (64, 16), (8_192, 100_000), (4_096, 5_000), (usize::MAX, 1)] {
            assert_eq!(too_few(files, shards), None, "{files} {shards}");
        }
        for (files, shards) in [(1_024, 257), (1_024, 1_000), (4_095, 1_024), (64, 17), (1, 1)] {
            assert!(too_few(files, shards).is_some(), "{files} {shards}");
        }
        let sentence = too_few(1_024, 1_000).unwrap();
        assert!(
            sentence.contains("512 requests") && sentence.contains("1,000 shards may need 2,000"),
            "{sentence}"
        );
    }

    #[test]
    fn bytes_and_requests_are_bounded_and_the_largest_request_comes_alone() {
        let in_flight = InFlight::new(300);
        in_flight.allow(300);
        let enter = |bytes| poll(in_flight.enter(bytes)).map(Result::unwrap);
        let small: Vec<_> = (0..300).map(|_| enter(100).unwrap()).collect();
        assert!(enter(100).is_none());
        drop(small);
        let half = enter(u64::from(BYTES_MAX) / 2).unwrap();
        assert!(enter(u64::from(BYTES_MAX) / 2 + 1).is_none());
        drop(half);
        let alone = enter(u64::MAX).unwrap();
        assert!(enter(1).is_none());
        drop(alone);
        assert!(enter(1).is_some());
    }

    #[test]
    fn what_is_allowed_becomes_more_at_once_and_less_as_rooms_are_left() {
        let in_flight = InFlight::new(9);
        let enter = || poll(in_flight.enter(1)).map(Result::unwrap);
        let mut under_way = Vec::new();
        for (allowed, expected) in [(3, 3), (5, 5), (2, 5), (4, 5), (2, 5)] {
            in_flight.allow(allowed);
            under_way.extend(std::iter::from_fn(enter));
            assert_eq!(under_way.len(), expected);
        }
        // Somebody waits, and still gets none of the rooms that are too many.
        let mut waits = pin!(in_flight.enter(1));
        let mut look = || waits.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
        assert!(!look());
        under_way.truncate(2);
        assert!(!look());
        under_way.truncate(1);
        assert!(look());
    }
}
