//! How many objects are in work at once: as many as keep the decoders busy, and no more.
//!
//! An object in work waits for the network first and for a core then. Which of the two limits differs from machine
//! to machine and from hour to hour, so it is looked at each time a body has arrived: where no decoder would have had
//! to be waited for, the network is what limits, and one more object may be in work; where a few bodies lie before
//! each decoder, one object less. Nothing is configured, and nothing depends on a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;

/// To begin with: what hides the latency of a bucket nearby from one core or two.
const AT_ONCE_FIRST: usize = 16;

/// Each has up to three files or sockets open, of the 1,024 that a process usually gets.
const AT_ONCE_MAX: usize = 128;

/// Objects that are with a decoder or wait for one, per decoder, above which there are enough.
const BACKLOG: usize = 3;

/// Leaves for objects to be in work.
#[derive(Debug)]
pub struct Pace {
    places: Arc<Semaphore>,
    decoders: usize,
    /// Places that there are, taken or not.
    at_once: AtomicUsize,
    /// Bodies that were fetched and are not decoded yet.
    backlog: AtomicUsize,
    /// Places that go when they are given back.
    surplus: AtomicUsize,
}

/// Leave to have an object in work.
#[derive(Debug)]
pub struct Place {
    permit: Option<OwnedSemaphorePermit>,
    pace: Arc<Pace>,
}

/// A body that has arrived, as long as it is not decoded.
#[derive(Debug)]
pub struct Arrived(Arc<Pace>);

impl Pace {
    /// A pace for so many decoders.
    pub fn new(decoders: usize) -> Self {
        let at_once = AT_ONCE_FIRST.max(2 * decoders).min(AT_ONCE_MAX);
        Self {
            places: Arc::new(Semaphore::new(at_once)),
            decoders,
            at_once: AtomicUsize::new(at_once),
            backlog: AtomicUsize::new(0),
            surplus: AtomicUsize::new(0),
        }
    }

    /// Waits until one more object may be in work.
    pub async fn place(self: &Arc<Self>) -> Result<Place, Error> {
        let permit = self.places.clone().acquire_owned().await;
        let permit = Some(permit.map_err(|_| Error::internal("the spool was closed"))?);
        Ok(Place { permit, pace: self.clone() })
    }

    /// A body has arrived.
    pub fn arrived(self: &Arc<Self>) -> Arrived {
        let before = self.backlog.fetch_add(1, Ordering::Relaxed);
        if before < self.decoders {
            self.widen();
        } else if before >= BACKLOG * self.decoders {
            self.narrow();
        }
        Arrived(self.clone())
    }

    /// How many objects may be in work.
    pub fn at_once(&self) -> usize {
        self.at_once.load(Ordering::Relaxed)
    }

    fn widen(&self) {
        let more = |at_once| (at_once < AT_ONCE_MAX).then_some(at_once + 1);
        if self.at_once.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok() && !self.spare() {
            self.places.add_permits(1);
        }
    }

    fn narrow(&self) {
        // So many must be in work that each decoder has one and its next.
        let fewer = |at_once| (at_once > 2 * self.decoders.min(AT_ONCE_MAX / 2)).then(|| at_once - 1);
        if self.at_once.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            self.surplus.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes one from the surplus, if there is one.
    fn spare(&self) -> bool {
        let one = |surplus: usize| surplus.checked_sub(1);
        self.surplus.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one).is_ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && self.pace.spare()
        {
            permit.forget();
        }
    }
}

impl Drop for Arrived {
    fn drop(&mut self) {
        self.0.backlog.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bodies that arrive while `decoding` others are decoded, until the pace does not change.
    fn settled_at(decoders: usize, decoding: usize) -> usize {
        let pace = Arc::new(Pace::new(decoders));
        let _decoding: Vec<_> = (0..decoding).map(|_| Arrived(pace.clone())).collect();
        pace.backlog.store(decoding, Ordering::Relaxed);
        for _ in 0..2 * AT_ONCE_MAX {
            drop(pace.arrived());
        }
        pace.at_once()
    }

    #[test]
    fn idle_decoders_have_more_fetched_and_a_backlog_less() {
        for decoders in [1, 2, 64] {
            assert_eq!(settled_at(decoders, 0), AT_ONCE_MAX);
            assert_eq!(settled_at(decoders, decoders), AT_ONCE_FIRST.max(2 * decoders));
            assert_eq!(settled_at(decoders, BACKLOG * decoders), 2 * decoders);
        }
    }

    #[tokio::test]
    async fn what_is_given_back_of_a_surplus_is_gone() {
        let pace = Arc::new(Pace::new(1));
        let mut places = Vec::new();
        for _ in 0..AT_ONCE_FIRST {
            places.push(pace.place().await.unwrap());
        }
        let backlog: Vec<_> = (0..BACKLOG + 2).map(|_| pace.arrived()).collect();
        // One more for the first, one less for each of the last two.
        assert_eq!(pace.at_once(), AT_ONCE_FIRST - 1);
        drop((places, backlog));
        assert_eq!(pace.places.available_permits(), AT_ONCE_FIRST - 1);
    }
}
