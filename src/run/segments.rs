//! The segments of this run: which object lies in which, and a bounded number of them mapped.
//!
//! Records that wait are ordinals. When they are sent, the route pool asks here for the segment, which is
//! mapped again if it was long ago that it was used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cache::{Cache, Segment, SegmentId};
use crate::error::Error;

/// Segments that are mapped at once; a lane that lags behind opens its old ones again.
const OPEN_MAX: usize = 256;

/// The segments of one run.
#[derive(Debug)]
pub struct Segments {
    cache: Arc<Cache>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    ids: BTreeMap<u32, SegmentId>,
    open: BTreeMap<u32, (u64, Segment)>,
    uses: u64,
}

impl Segments {
    /// None yet.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { cache, state: Mutex::new(State::default()) }
    }

    /// The records of `object` lie in the segment `id`.
    pub fn insert(&self, object: u32, id: SegmentId) {
        self.lock().ids.insert(object, id);
    }

    /// The records of `object` are settled. Gives the segment's name, once.
    pub fn remove(&self, object: u32) -> Option<SegmentId> {
        let mut state = self.lock();
        state.open.remove(&object);
        state.ids.remove(&object)
    }

    /// Whether some record of this run still lies in the segment `id`.
    pub fn contains(&self, id: &SegmentId) -> bool {
        self.lock().ids.values().any(|known| known == id)
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
            let known = state.ids.get(&object).copied();
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

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // No code path panics while it holds the lock with the maps half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost(object: u32) -> Error {
    Error::incomplete(format!(
        "the segment of object {object} was damaged or removed while the run needed it; resume to fetch it again"
    ))
}
