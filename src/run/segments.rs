//! The segments of this run: which object lies in which, and a bounded number of them mapped.
//!
//! Records that wait are ordinals. When they are sent, the route pool asks here for the segment, which is
//! mapped again if it was long ago that it was used. A segment that only passes through has no name in the
//! cache, so it stays mapped until it is settled.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{Cache, Pin, READ_AHEAD_BYTES, Segment, SegmentId};
use crate::error::Error;

/// Segments that are mapped at once; a lane that lags behind opens its old ones again.
const OPEN_MAX: usize = 256;

/// Objects that are read from the disk ahead of the one that is routed.
const READ_AHEAD_OBJECTS: u32 = 8;

/// The segments of one run.
#[derive(Debug)]
pub struct Segments {
    cache: Arc<Cache>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<u32, (SegmentId, u32)>,
    /// What each object's closing sum has to be.
    expected: BTreeMap<u32, u32>,
    /// All that this run may need, whether or not it is there, by the first bytes of its name: sorted. That two names
    /// begin alike keeps no more than one segment too many.
    pinned: Vec<u64>,
    /// Tells other processes so; held until the run ends.
    pin: Option<Pin>,
    passing: BTreeMap<u32, Segment>,
    settled: VecDeque<SegmentId>,
    open: BTreeMap<u32, (u64, Segment)>,
    uses: u64,
    /// What lies below was read ahead.
    read_ahead_to: u32,
}

impl Segments {
    /// None yet.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, state: Mutex::new(State::default()) }
    }

    /// This run may need these segments. Whatever of them is in the cache must stay there, other processes
    /// included.
    pub fn pin(&self, ids: impl Iterator<Item = SegmentId>) {
        let mut pinned = Vec::new();
        let pin = self.cache.pin(ids.inspect(|id| pinned.push(beginning(id))));
        pinned.sort_unstable();
        let mut state = self.lock();
        state.pinned = pinned;
        state.pin =
            pin.inspect_err(|error| tracing::warn!("cannot pin the segments in the cache: {error}")).ok();
    }

    /// The records of `object` lie in `segment`, which only passes through or can be looked up again.
    pub fn insert(&self, object: u32, segment: Segment, passing: bool) {
        let mut state = self.lock();
        state.known.insert(object, (*segment.id(), segment.records()));
        // If there is an older one, it was damaged.
        state.open.remove(&object);
        state.passing.remove(&object);
        if passing {
            state.passing.insert(object, segment);
        }
    }

    /// Whether the segment of `object` only passes through.
    pub fn is_passing(&self, object: u32) -> bool {
        self.lock().passing.contains_key(&object)
    }

    /// The segment of `object` was only looked at. `true` if it passed through, and is gone now.
    pub fn forget_passing(&self, object: u32) -> bool {
        let mut state = self.lock();
        let passing = state.passing.remove(&object).is_some();
        if passing {
            state.known.remove(&object);
        }
        passing
    }

    /// The segment of `object` is damaged. Gives its name, once. While it is mapped its whole blocks, which
    /// are all that was routed from it, can still be read.
    pub fn remove(&self, object: u32) -> Option<SegmentId> {
        self.lock().known.remove(&object).map(|(id, _)| id)
    }

    /// The records of `object`, if its segment is known and not settled.
    pub fn records(&self, object: u32) -> Option<u32> {
        self.lock().known.get(&object).map(|&(_, records)| records)
    }

    /// The closing sum of `object` has to be `sum`: its records, and one for what is lost behind them.
    pub fn expect(&self, object: u32, sum: u32) {
        self.lock().expected.insert(object, sum);
    }

    /// What the closing sum of `object` has to be, once it is fed.
    pub fn expected(&self, object: u32) -> Option<u32> {
        self.lock().expected.get(&object).copied()
    }

    /// What is wrong with `object` behind its last record, if it was salvaged. Blocks on the disk.
    pub fn defect(&self, object: u32) -> Result<Option<String>, Error> {
        let segment = self.get(object)?;
        let defect = &segment.label().defect;
        Ok((!defect.is_empty()).then(|| defect.clone()))
    }

    /// The records of `object` are settled: its segment is not needed any more.
    pub fn settle(&self, object: u32) {
        let mut state = self.lock();
        state.open.remove(&object);
        state.expected.remove(&object);
        let passing = state.passing.remove(&object).is_some();
        if let (Some((id, _)), false) = (state.known.remove(&object), passing) {
            state.settled.push_back(id);
        }
    }

    /// The segment in the cache that was settled first and not given up yet.
    pub fn pop_settled(&self) -> Option<SegmentId> {
        self.lock().settled.pop_front()
    }

    /// Whether this run may need the segment `id`: the run itself never evicts it.
    pub fn is_pinned(&self, id: &SegmentId) -> bool {
        self.lock().pinned.binary_search(&beginning(id)).is_ok()
    }

    /// The segment that holds the records of `object`, mapped. Blocks on the disk.
    pub fn get(&self, object: u32) -> Result<Segment, Error> {
        let id = {
            let mut state = self.lock();
            state.uses += 1;
            let uses = state.uses;
            if let Some((used, segment)) = state.open.get_mut(&object) {
                *used = uses;
                return Ok(segment.clone());
            }
            if let Some(segment) = state.passing.get(&object) {
                return Ok(segment.clone());
            }
            let known = state.known.get(&object).map(|&(id, _)| id);
            known.ok_or_else(|| lost(object))?
        };
        let found = self.cache.lookup(&id).map_err(|error| {
            Error::incomplete(format!("cannot open the segment of object {object}")).with_source(error)
        })?;
        let segment = found.ok_or_else(|| lost(object))?;
        let mut state = self.lock();
        if state.open.len() >= OPEN_MAX {
            let oldest = state.open.iter().min_by_key(|&(_, &(used, _))| used).map(|(&object, _)| object);
            oldest.map(|oldest| state.open.remove(&oldest));
        }
        let uses = state.uses;
        state.open.insert(object, (uses, segment.clone()));
        Ok(segment)
    }

    /// Has the disk begin to read what is routed next: objects from `number` on, as far as they lie in the cache, a few
    /// and no more than a bound of bytes. Blocks on the disk.
    pub fn read_ahead(&self, number: u32) {
        let mut left = READ_AHEAD_BYTES;
        for object in number..number.saturating_add(READ_AHEAD_OBJECTS) {
            let known = self.lock().known.contains_key(&object);
            // What is wrong with it shows when it is needed.
            let Some(segment) = known.then(|| self.get(object).ok()).flatten() else { return };
            let first_time = {
                let mut state = self.lock();
                let first_time = object >= state.read_ahead_to;
                state.read_ahead_to = state.read_ahead_to.max(object + 1);
                first_time
            };
            if first_time {
                segment.read_ahead();
            }
            left = left.saturating_sub(segment.file_bytes());
            if left == 0 {
                return;
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // No code path panics while it holds the lock with the maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn beginning(id: &SegmentId) -> u64 {
    id.0.first_chunk().map_or(0, |first| u64::from_le_bytes(*first))
}

fn lost(object: u32) -> Error {
    Error::incomplete(format!(
        "the segment of object {object} was damaged or removed while the run needed it; resume to fetch it again"
    ))
}
