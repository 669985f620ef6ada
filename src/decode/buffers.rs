//! Buffers that an object fits into as a whole: lent, and kept for the next one.
//!
//! A fresh buffer of some megabytes costs a fault for each of its pages, which is half of what decoding as a whole
//! gains. So they are kept. All of them together, lent or not, stay below a bound, however many threads decode;
//! who gets none decodes piece by piece.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// All buffers of the process together.
const ALL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Smaller ones are not worth keeping apart.
const BYTES_MIN: usize = 1024 * 1024;

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { kept: Vec::new(), bytes: 0 });

struct Shelf {
    kept: Vec<Vec<u8>>,
    /// Of those that are kept and those that are lent.
    bytes: usize,
}

/// A buffer; what it holds is what somebody left in it.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    lent: bool,
}

impl Buffer {
    /// One of `bytes`, whatever else is lent: for what cannot do without.
    pub(super) fn own(bytes: usize) -> Self {
        Self { bytes: vec![0; bytes], lent: false }
    }

    /// One of at least `bytes`, if there is room for it.
    pub(super) fn lend(bytes: usize) -> Option<Self> {
        let size = bytes.max(BYTES_MIN).checked_next_power_of_two()?;
        let mut shelf = shelf();
        let fits = |buffer: &Vec<u8>| buffer.len() == size;
        if let Some(at) = shelf.kept.iter().position(fits) {
            return Some(Self { bytes: shelf.kept.swap_remove(at), lent: true });
        }
        while shelf.bytes + size > ALL_BYTES_MAX {
            let given_up = shelf.kept.pop()?;
            shelf.bytes -= given_up.len();
        }
        shelf.bytes += size;
        drop(shelf);
        Some(Self { bytes: vec![0; size], lent: true })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.lent {
            shelf().kept.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

fn shelf() -> MutexGuard<'static, Shelf> {
    // Every change is whole before it could panic.
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_buffers_together_have_a_bound() {
        assert!(Buffer::lend(ALL_BYTES_MAX + 1).is_none());
        assert!(Buffer::lend(usize::MAX).is_none());
        let lent: Vec<_> = (0..=ALL_BYTES_MAX / BYTES_MIN).map_while(|_| Buffer::lend(1)).collect();
        assert!(
            lent.len() <= ALL_BYTES_MAX / BYTES_MIN && lent.iter().all(|buffer| buffer.len() == BYTES_MIN)
        );
        assert!(shelf().bytes <= ALL_BYTES_MAX);
        drop(lent);
        assert!(shelf().bytes <= ALL_BYTES_MAX);
    }
}
