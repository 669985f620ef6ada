//! Room for segments: in the cache as long as it lasts, then beside it.
//!
//! A segment that fits below the cache's limit, after others that nobody pins were evicted, is kept for
//! the next run. A run never evicts what it has itself put there: once nothing more fits, the rest passes
//! through, in a bounded room that is freed as records are settled. An object below which nothing passes
//! through or is in work is always let in: what lies below is settled by itself, so waiting always ends. Only a full disk makes a run give up segments of
//! its own, and only those that are settled. Where nothing may pass through, the cache is all the room there is.
//!
//! What a segment will take is a guess when it is let in. Where it takes more, the guess is made good before that is
//! written: if the rest has no room either, the segment passes through after all. So the cache stays below its limit
//! however wrong guesses are. Eviction reads the cache's directory, so it happens where blocking is allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::segments::Segments;
use super::spool::{Counted, blocking};
use crate::cache::{Cache, Placement, Reservation, SegmentId};
use crate::record::ByteCount;

/// What one segment may take from others beyond its guess, as a divisor of the cache's limit.
const OUTGROWN_SHARE: u64 = 8;

/// Who may write how much where.
pub struct Space {
    cache: Arc<Cache>,
    segments: Arc<Segments>,
    /// Whether segments stay for the next run.
    keep: bool,
    /// Absent if nothing may pass through.
    passing_bytes_max: Option<ByteCount>,
    state: Mutex<State>,
    freed: Notify,
    /// Objects that wait for what passes through to be settled.
    waiting: AtomicU64,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Objects that are in work.
    unpublished: BTreeSet<u32>,
    /// Those of them that ask for room or were let in, and have not failed since.
    writing: BTreeSet<u32>,
    /// Room for segments that only pass through, by object: expected, then taken.
    passing: BTreeMap<u32, u64>,
    /// The cache holds nothing but what is needed, up to its limit.
    full: bool,
    /// It was said that an object is larger than the limit.
    told_of_size: bool,
}

impl State {
    /// Whether nothing below `number` is in work or passes through.
    fn is_lowest(&self, number: u32) -> bool {
        let below = |first: Option<&u32>| first.is_some_and(|&first| first < number);
        !below(self.unpublished.first()) && !below(self.passing.keys().next())
    }
}

/// Leave to write a segment.
pub enum Room {
    /// In the cache; the room is reserved until this is dropped.
    Kept(Reservation),
    /// Beside it, with so many bytes.
    Passing(u64),
}

impl Room {
    /// How much it is.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Kept(reservation) => reservation.bytes().0,
            Self::Passing(bytes) => *bytes,
        }
    }

    /// How long what is written there stays.
    pub fn placement(&self) -> Placement {
        match self {
            Self::Kept(_) => Placement::Kept,
            Self::Passing(_) => Placement::Passing,
        }
    }
}

impl Space {
    /// Room in `cache` if segments are to be kept, and beside it up to `passing_bytes_max`, if anything may pass through.
    pub fn new(
        cache: Arc<Cache>,
        segments: Arc<Segments>,
        keep: bool,
        passing_bytes_max: Option<ByteCount>,
    ) -> Self {
        let (state, freed, wanted) = (Mutex::default(), Notify::new(), Notify::new());
        let waiting = AtomicU64::new(0);
        Self { cache, segments, keep, passing_bytes_max, state, freed, waiting, wanted }
    }

    /// Object `number` is in work until the answer is dropped.
    pub fn begin(&self, number: u32) -> InWork<'_> {
        self.state().unpublished.insert(number);
        InWork { space: self, number }
    }

    /// Room in the cache for what `guess` says of object `number`, if there is any to be had. What is being written has
    /// reserved a guess; what it really takes shows soon, so that is waited for.
    pub async fn keep(&self, number: u32, guess: impl Fn() -> u64) -> Option<Room> {
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            let bytes = guess();
            if !self.may_keep(bytes) {
                return None;
            }
            // Before it is asked: of two that get nothing, one has to know of the other.
            self.state().writing.insert(number);
            if let Some(reservation) = self.make_room(bytes).await {
                return Some(Room::Kept(reservation));
            }
            let (others_write, freed_meanwhile) = {
                let mut state = self.state();
                state.writing.remove(&number);
                (!state.writing.is_empty(), freed.as_mut().enable())
            };
            if !others_write && !freed_meanwhile {
                self.cache_is_full();
                // Somebody may wait for that nobody is left who writes.
                self.freed.notify_waiters();
                return None;
            }
            freed.await;
        }
    }

    /// Waits until there is room beside the cache for `bytes` of object `number`, or until it is the lowest one in work;
    /// `None` if nothing may pass through.
    pub async fn pass(&self, number: u32, bytes: u64) -> Option<Room> {
        let room = self.passing_bytes_max?.0;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.admit(number, bytes, room) {
                return Some(Room::Passing(bytes));
            }
            let _waiting = Counted::new(&self.waiting);
            self.wanted.notify_one();
            freed.await;
        }
    }

    /// Whether somebody waits for what passes through to be settled.
    pub fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// Until somebody begins to wait for that.
    pub async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// The segment of object `number` passes through and takes `bytes`.
    pub fn passing(&self, number: u32, bytes: u64) {
        self.state().passing.insert(number, bytes);
    }

    /// Nothing of object `number` takes room any more, beside the cache.
    pub fn release(&self, number: u32) {
        let mut state = self.state();
        state.passing.remove(&number);
        state.writing.remove(&number);
        self.freed.notify_waiters();
    }

    /// The disk is full, whatever the cache's limit says. Makes room for `bytes` of object `number`, if
    /// need be by waiting for it. `false` if there is nothing to be freed.
    pub async fn disk_is_full(&self, number: u32, bytes: u64) -> bool {
        self.cache_is_full();
        let bytes = bytes.max(1);
        if self.evict(bytes).await || self.give_up_settled(bytes).await {
            return true;
        }
        // What was written of it is gone, which may be the room that a lower one waits for. Only the lowest
        // one tries again: of two that both tried, neither might ever find enough.
        self.release(number);
        let mut something_was_freed = false;
        loop {
            let freed = self.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            {
                let state = self.state();
                let lowest_in_work = state.unpublished.first() == Some(&number);
                let alone = state.writing.is_empty() && state.is_lowest(number);
                if lowest_in_work && (something_was_freed || alone) {
                    return something_was_freed;
                }
            }
            freed.await;
            something_was_freed = true;
        }
    }

    fn may_keep(&self, bytes: u64) -> bool {
        let larger_than_all = ByteCount(bytes) > self.cache.limit();
        if self.keep && larger_than_all {
            self.tell_of_size("is expected to take", bytes);
        }
        self.keep && !larger_than_all && !self.state().full
    }

    /// Lets object `number` into the `room` beside the cache, if it has its turn.
    fn admit(&self, number: u32, bytes: u64, room: u64) -> bool {
        let mut state = self.state();
        // One that is larger than the room leaves half of it to those behind, which would stand still otherwise.
        let taken: u64 =
            state.passing.values().map(|&bytes| if bytes > room { room / 2 } else { bytes }).sum();
        if taken.saturating_add(bytes) > room && !state.is_lowest(number) {
            return false;
        }
        state.passing.insert(number, bytes);
        state.writing.insert(number);
        true
    }

    fn cache_is_full(&self) {
        let told = std::mem::replace(&mut self.state().full, true) || !self.keep;
        let Some(passing) = self.passing_bytes_max.filter(|_| !told) else { return };
        let (used, limit) = (self.cache.usage().bytes, self.cache.limit());
        let others = match self.cache.kept_for_others() {
            ByteCount(0) => String::new(),
            bytes => format!(", and {bytes} are kept for what other runs fetch"),
        };
        let before = if used > limit { " from when it could be larger" } else { "" };
        tracing::warn!(
            "the cache is full: it holds {used}{before}{others}; --cache-size {} leaves it {limit} beside what passes through. The \
             rest of this run passes through, to be fetched anew next time",
            ByteCount(limit.0.saturating_add(passing.0))
        );
    }

    /// An object that takes `bytes` or more passes through, because the cache has no room for it.
    pub fn has_no_room(&self, bytes: u64) {
        if ByteCount(bytes) > self.cache.limit() {
            self.tell_of_size("takes at least", bytes);
        }
    }

    /// An object could not be kept in the emptiest of caches: that is said once.
    fn tell_of_size(&self, takes: &str, bytes: u64) {
        if self.passing_bytes_max.is_some() && !std::mem::replace(&mut self.state().told_of_size, true) {
            tracing::warn!(
                "an object {takes} {}, more than the cache's limit of {} (--cache-size sets it): such an object passes \
                 through the cache, to be fetched anew next time",
                ByteCount(bytes),
                self.cache.limit()
            );
        }
    }

    /// The segment of a kept object will take `bytes`, where `guess` was guessed. `false` if there is no room for the rest of
    /// them: nobody knows how far it goes on to grow, or whether it comes to a good end, so others are evicted for
    /// [a part](OUTGROWN_SHARE) of the cache at most. Blocks on the disk.
    pub fn settle(&self, reservation: &mut Reservation, guess: u64, bytes: u64) -> bool {
        let may_evict = bytes.saturating_sub(guess) <= self.cache.limit().0 / OUTGROWN_SHARE;
        let stays = |id: &SegmentId| !may_evict || self.segments.is_pinned(id);
        let grown = self.cache.grow(reservation, ByteCount(bytes), &stays);
        grown.unwrap_or_else(|error| {
            tracing::warn!("cannot make room in the cache: {error}");
            false
        })
    }

    /// The same for a segment that is whole, and was to pass through: its size is known, so others may go for all of it.
    /// Blocks on the disk.
    pub fn keep_whole(&self, number: u32, bytes: u64) -> Option<Room> {
        let made = self.cache.make_room(ByteCount(bytes), &|id| self.segments.is_pinned(id));
        let reservation = made.unwrap_or_else(|error| {
            tracing::warn!("cannot make room in the cache: {error}");
            None
        })?;
        self.release(number);
        Some(Room::Kept(reservation))
    }

    async fn make_room(&self, bytes: u64) -> Option<Reservation> {
        let (cache, segments) = (self.cache.clone(), self.segments.clone());
        let made = blocking(move || cache.make_room(ByteCount(bytes), &|id| segments.is_pinned(id))).await;
        let made = made.map(|made| {
            made.unwrap_or_else(|error| {
                tracing::warn!("cannot make room in the cache: {error}");
                None
            })
        });
        made.unwrap_or_default()
    }

    /// Evicts `bytes` that nobody pins although the limit is not reached.
    async fn evict(&self, bytes: u64) -> bool {
        let (cache, segments) = (self.cache.clone(), self.segments.clone());
        let evicted = blocking(move || cache.evict(ByteCount(bytes), &|id| segments.is_pinned(id))).await;
        evicted.is_ok_and(|evicted| {
            evicted.unwrap_or_else(|error| {
                tracing::warn!("cannot evict from the cache: {error}");
                false
            })
        })
    }

    async fn give_up_settled(&self, bytes: u64) -> bool {
        let (cache, segments) = (self.cache.clone(), self.segments.clone());
        let given_up = blocking(move || {
            let before = cache.usage().bytes.0;
            while before.saturating_sub(cache.usage().bytes.0) < bytes {
                let Some(id) = segments.pop_settled() else { break };
                // What another run needs as well stays.
                if let Err(error) = cache.give_up(&id) {
                    tracing::warn!("cannot remove a settled segment: {error}");
                }
            }
            cache.usage().bytes.0 < before
        });
        given_up.await.unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is whole before it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An object in work, as long as it lives.
pub struct InWork<'a> {
    space: &'a Space,
    number: u32,
}

impl Drop for InWork<'_> {
    fn drop(&mut self) {
        let mut state = self.space.state();
        state.unpublished.remove(&self.number);
        state.writing.remove(&self.number);
        // Whoever sees that it is gone sees that it was told.
        self.space.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn space(passing_bytes_max: u64) -> (tempfile::TempDir, Space) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(directory.path(), ByteCount(1)).unwrap());
        let segments = Arc::new(Segments::new(cache.clone()));
        (directory, Space::new(cache, segments, false, Some(ByteCount(passing_bytes_max))))
    }

    #[test]
    fn what_passes_through_is_bounded_however_slowly_it_is_settled() {
        let (_directory, space) = space(100);
        let admitted = |number: u32, bytes| {
            let _in_work = space.begin(number);
            space.admit(number, bytes, 100)
        };
        assert!(admitted(0, 60) && admitted(1, 40));
        assert!(!admitted(2, 1), "0 and 1 are published, not settled");
        space.release(1);
        assert!(admitted(2, 40) && !admitted(3, 1));
        space.release(0);
        space.release(2);
        assert!(admitted(3, 500), "nothing lies below it, so it is let in whatever its size");
        assert!(admitted(4, 50) && !admitted(5, 1), "and leaves half of the room to others");
    }

    #[test]
    fn what_passes_above_does_not_keep_the_lowest_out() {
        let (_directory, space) = space(100);
        let _fourth = space.begin(4);
        assert!(space.admit(4, 100, 100));
        let _third = space.begin(3);
        assert!(space.admit(3, 100, 100));
    }

    fn small_cache() -> (tempfile::TempDir, Space) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Arc::new(Cache::open(directory.path(), ByteCount(1_000)).unwrap());
        let segments = Arc::new(Segments::new(cache.clone()));
        (directory, Space::new(cache, segments, true, None))
    }

    #[tokio::test]
    async fn what_turns_out_to_be_small_lets_others_in_and_what_does_not_is_not_passed_through() {
        let (_directory, space) = small_cache();
        // What is guessed to take three quarters takes nothing, as it turns out.
        let keep = async |number: u32| {
            let _in_work = space.begin(number);
            space.keep(number, || 750).await.is_some()
        };
        assert_eq!(tokio::join!(keep(0), keep(1), keep(2), keep(3)), (true, true, true, true));
        let _in_work = space.begin(4);
        assert!(space.keep(4, || 1_001).await.is_none() && space.pass(4, 1).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_got_room_and_does_not_know_yet_is_waited_for() {
        let (_directory, space) = small_cache();
        let _in_work = (space.begin(0), space.begin(1));
        let mut first = std::pin::pin!(space.keep(0, || 750));
        let polled = std::future::poll_fn(|context| std::task::Poll::Ready(first.as_mut().poll(context)));
        assert!(polled.await.is_pending());
        // The clock stands as long as a thread works: behind this the room is reserved.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = tokio::time::timeout(Duration::from_secs(1), space.keep(1, || 750));
        assert!(second.await.is_err(), "the cache is not full, it is being filled");
        assert!(first.await.is_some());
    }

    #[tokio::test]
    async fn a_full_disk_with_nothing_below_to_wait_for_is_the_end() {
        let (_directory, space) = space(100);
        space.passing(7, 50);
        let _in_work = space.begin(5);
        assert!(!space.disk_is_full(5, 10).await);
    }
}
