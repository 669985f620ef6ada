//! The records of a lane that may leave now, in their order.
//!
//! Nearly all come in order and leave from the front; one that failed, or was held back, finds its place between them.

use std::collections::VecDeque;

use crate::record::Ordinal;
use crate::route::Routed;

/// Records by their ordinals, each once.
#[derive(Debug, Default)]
pub(super) struct Ready(VecDeque<Routed>);

impl Ready {
    pub(super) fn insert(&mut self, record: Routed) {
        if self.0.back().is_none_or(|last| last.ordinal < record.ordinal) {
            return self.0.push_back(record);
        }
        match self.0.binary_search_by_key(&record.ordinal, |other: &Routed| -> Ordinal { other.ordinal }) {
            Ok(at) => self.0[at] = record,
            Err(at) => self.0.insert(at, record),
        }
    }

    /// The first `count`, which are gone then.
    pub(super) fn take(&mut self, count: usize) -> Vec<Routed> {
        self.0.drain(..count).collect()
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Routed> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HashKey;

    #[test]
    fn whatever_the_order_in_which_they_come_they_leave_in_their_own() {
        let routed = |record, cost| Routed {
            ordinal: Ordinal::new(0, record),
            hash: HashKey(0),
            cost,
            key_bytes: 1,
            key_at: 0,
        };
        let mut ready = Ready::default();
        for record in [5, 9, 2, 7, 0, 9] {
            ready.insert(routed(record, 1));
        }
        ready.insert(routed(7, 8));
        let took: Vec<_> =
            ready.take(4).iter().map(|record| (record.ordinal.record(), record.cost)).collect();
        assert_eq!(took, [(0, 1), (2, 1), (5, 1), (7, 8)]);
        ready.insert(routed(1, 1));
        assert_eq!(ready.iter().map(|record| record.ordinal.record()).collect::<Vec<_>>(), [1, 9]);
        assert_eq!((ready.len(), ready.is_empty()), (2, false));
    }
}
