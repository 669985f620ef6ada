//! How much is on its way at once, whatever the number of shards.
//!
//! A request holds its body in memory and a connection until it is answered. The engine gives each lane its share of
//! the requests, but more lanes than requests, or a few hundred records of ten megabytes, are more than a machine should
//! hold. Who finds no room waits before it encodes anything, and keeps its place in its shard's budget as long.

use std::sync::Arc;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::write::REQUESTS_MAX;

/// Data and keys of the requests that are under way together. In base64 they are a third more.
const BYTES_MAX: u32 = 96 << 20;
/// Bytes are counted in this unit, since a semaphore counts no further than 2^29 on small machines.
const UNIT: u32 = 1 << 10;

/// Room for requests. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    bytes: Arc<Semaphore>,
    requests: Arc<Semaphore>,
}

/// A request's room, until it is dropped.
#[derive(Debug)]
pub(super) struct Room(#[expect(dead_code, reason = "held until it is dropped")] [OwnedSemaphorePermit; 2]);

impl InFlight {
    pub(super) fn new() -> Self {
        let units = usize::try_from(BYTES_MAX / UNIT).unwrap_or(Semaphore::MAX_PERMITS);
        Self { bytes: Arc::new(Semaphore::new(units)), requests: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }

    /// Waits for room for a request of `bytes`, in the order of asking. One that is larger than all the room takes all of it.
    pub(super) async fn enter(&self, bytes: u64) -> Result<Room, AcquireError> {
        let units = u32::try_from(bytes.div_ceil(UNIT.into())).unwrap_or(u32::MAX).min(BYTES_MAX / UNIT);
        let request = self.requests.clone().acquire_owned().await?;
        Ok(Room([request, self.bytes.clone().acquire_many_owned(units).await?]))
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
        let in_flight = InFlight::new();
        let enter = |bytes| poll(in_flight.enter(bytes)).map(Result::unwrap);
        let small: Vec<_> = (0..REQUESTS_MAX).map(|_| enter(100).unwrap()).collect();
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
}
