//! How much is on its way at once, whatever the number of shards.
//!
//! A request holds its body in memory and a connection until it is answered. The engine gives each lane its share of
//! the requests, but more lanes than requests, or a few hundred records of ten megabytes, are more than a machine should
//! hold. Who finds no room waits before it encodes anything, and keeps its place in its shard's budget as long.
//!
//! A server that has to accept more connections in one moment than its queue holds (often 128) leaves some of them
//! unanswered, and one that is slow because it is busy is not helped by more. So a process begins with a part of its requests,
//! and has more, a few at a time, only where all of them are under way and it is the distance that makes them long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Data and keys of the requests that are under way together. In base64 they are a third more.
const BYTES_MAX: u32 = 96 << 20;
/// Bytes are counted in this unit, since a semaphore counts no further than 2^29 on small machines.
const UNIT: u32 = 1 << 10;
/// Requests, and so connections, that are under way together: two for each of a thousand shards. A shard that takes its records in
/// portions of 70 ms needs no more, up to a round trip of 140 ms.
const REQUESTS_MAX: usize = 2_048;
/// Requests that a process begins with.
const REQUESTS_AT_FIRST: usize = 512;
/// Answers that a full house has to wait for before one more request may be under way: a sixteenth more in each round trip.
const ANSWERS_FOR_ONE_MORE: usize = 16;

/// Room for requests. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
    requests_max: usize,
    /// Answers to come until all requests are allowed.
    answers_to_come: Arc<AtomicUsize>,
    /// The shortest round trip, in microseconds.
    distance: Arc<AtomicU64>,
}

/// A request's room, until it is dropped.
#[derive(Debug)]
pub(super) struct Room(#[expect(dead_code, reason = "held until it is dropped")] [OwnedSemaphorePermit; 2]);

impl InFlight {
    /// What this process may have: for half of the files that it may open, connections.
    pub(super) fn of_this_process() -> Self {
        let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
        Self::new((files.unwrap_or(usize::MAX) / 2).clamp(1, REQUESTS_MAX))
    }

    fn new(requests_max: usize) -> Self {
        let units = usize::try_from(BYTES_MAX / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        let at_first = requests_max.min(REQUESTS_AT_FIRST);
        Self {
            bytes: Arc::new(Semaphore::new(units)),
            requests: Arc::new(Semaphore::new(at_first)),
            requests_max,
            answers_to_come: Arc::new(AtomicUsize::new((requests_max - at_first) * ANSWERS_FOR_ONE_MORE)),
            distance: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// Requests that may be under way together, once enough were answered.
    pub(super) fn requests_max(&self) -> usize {
        self.requests_max
    }

    /// Waits for room for a request of `bytes`, in the order of asking. One that is larger than all the room takes all of it.
    pub(super) async fn enter(&self, bytes: u64) -> Result<Room, AcquireError> {
        let units = u32::try_from(bytes.div_ceil(UNIT.into())).unwrap_or(u32::MAX).min(BYTES_MAX / UNIT);
        let request = self.requests.clone().acquire_owned().await?;
        Ok(Room([request, self.bytes.clone().acquire_many_owned(units).await?]))
    }

    /// A request was answered after a round trip of `latency`, and has its room still.
    pub(super) fn answered(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let distance = self.distance.fetch_min(latency, Ordering::Relaxed).min(latency);
        if self.requests.available_permits() > 0 || latency / 2 > distance {
            return;
        }
        let one_less = |to_come: usize| to_come.checked_sub(1);
        let to_come = self.answers_to_come.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        if to_come.is_ok_and(|before| before % ANSWERS_FOR_ONE_MORE == 1) {
            self.requests.add_permits(1);
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
    fn bytes_and_requests_are_bounded_and_the_largest_request_comes_alone() {
        let in_flight = InFlight::new(300);
        let enter = |bytes| poll(in_flight.enter(bytes)).map(Result::unwrap);
        let small: Vec<_> = (0..300).map(|_| enter(100).unwrap()).collect();
        in_flight.answered(Duration::from_millis(9));
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
    fn requests_become_more_where_all_are_under_way_and_answers_come_from_far() {
        let max = REQUESTS_AT_FIRST + 2;
        let in_flight = InFlight::new(max);
        let mut under_way = Vec::new();
        for (expected, latency) in
            [(REQUESTS_AT_FIRST, 99), (max - 1, 250), (max - 1, 198), (max, 100), (max, 100)]
        {
            under_way.extend(std::iter::from_fn(|| poll(in_flight.enter(1)).map(Result::unwrap)));
            assert_eq!(under_way.len(), expected);
            (0..ANSWERS_FOR_ONE_MORE).for_each(|_| in_flight.answered(Duration::from_millis(latency)));
        }
    }
}
