//! Large buffers that are used again.
//!
//! A fresh buffer of a megabyte costs more in page faults than in copying. So a body's buffer comes from
//! here, and comes back by itself when the last reference to the body is gone, wherever that is. What is kept
//! for the next body is bounded; the rest is given back to the system.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Capacity that is kept for later, in bytes: what 1,000 shards have in flight over 30 ms.
const KEPT_BYTES_MAX: usize = 48 << 20;
/// Buffers that are kept for later; searching them must stay cheap.
const KEPT_MAX: usize = 1_024;

/// Buffers at rest. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer that goes back when it is dropped.
#[derive(Debug)]
pub(super) struct Buffer {
    /// What is in it.
    pub(super) bytes: Vec<u8>,
    home: Buffers,
}

impl Buffers {
    /// An empty buffer with room for `capacity` bytes.
    pub(super) fn take(&self, capacity: usize) -> Buffer {
        let mut bytes = self.with(Kept::pop);
        bytes.reserve(capacity);
        Buffer { bytes, home: self.clone() }
    }

    fn with<T>(&self, action: impl FnOnce(&mut Kept) -> T) -> T {
        // A list of buffers is whole at any moment.
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    /// The one that was used last, which is warm.
    fn pop(&mut self) -> Vec<u8> {
        let buffer = self.buffers.pop().unwrap_or_default();
        self.bytes -= buffer.capacity();
        buffer
    }

    fn push(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < KEPT_MAX && self.bytes + buffer.capacity() <= KEPT_BYTES_MAX {
            self.bytes += buffer.capacity();
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} buffers of {} B", self.buffers.len(), self.bytes)
    }
}

impl Buffer {
    /// The content, to be shared. The buffer goes back when the last share is gone.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.home.with(|kept| kept.push(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_its_last_share_is_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(1_000);
        buffer.bytes.extend_from_slice(b"body");
        let address = buffer.bytes.as_ptr();
        let body = buffer.freeze();
        let share = body.slice(1..3);
        drop(body);
        assert_ne!(buffers.take(1_000).bytes.as_ptr(), address, "it is still in use");
        assert_eq!(&share[..], b"od");
        drop(share);
        let again = buffers.take(10);
        assert_eq!((again.bytes.as_ptr(), again.bytes.len()), (address, 0));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let buffers = Buffers::default();
        let many: Vec<Buffer> = (0..10).map(|_| buffers.take(10 << 20)).collect();
        drop(many);
        let kept = buffers.with(|kept| (kept.buffers.len(), kept.bytes));
        assert!(kept.0 == 4 && kept.1 <= KEPT_BYTES_MAX, "{kept:?}");
    }
}
