//! The only unsafe code besides the map: what the processor or a C library has to do for us.
//!
//! Two things are worth it: AVX2, which a processor may lack, and libdeflate's inflate, which no safe crate offers
//! together with the number of bytes it read. Neither knows of objects, members or records.
#![expect(unsafe_code, reason = "a processor's feature and a C function cannot be called in safe code")]

use std::ptr::NonNull;

use libdeflate_sys as c;

use super::blocks::{BLOCK_BYTES, Block};

/// Sorts `texts` by vectors; `false` if the processor has none that we use.
#[cfg(target_arch = "x86_64")]
pub(super) fn sort(texts: &[[u8; BLOCK_BYTES]], blocks: &mut [Block]) -> bool {
    if !std::arch::is_x86_feature_detected!("avx2") {
        return false;
    }
    // SAFETY: all that makes the function unsafe is that it needs AVX2, which is there.
    unsafe { super::blocks::avx2(texts, blocks) };
    true
}

/// There is no such way here.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn sort(_: &[[u8; BLOCK_BYTES]], _: &mut [Block]) -> bool {
    false
}

/// libdeflate's memory for one inflate at a time.
pub(super) struct Inflater(NonNull<c::libdeflate_decompressor>);

/// What an inflate took and made, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inflated {
    pub(super) taken: usize,
    pub(super) made: usize,
}

/// Why nothing was inflated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotInflated {
    /// It is more than fits.
    NoRoom,
    /// It makes no sense, or does not end.
    Bad,
}

impl Inflater {
    /// `None` if there is no memory.
    pub(super) fn new() -> Option<Self> {
        // SAFETY: the function has no conditions; null, which says that there is no memory, is told apart.
        NonNull::new(unsafe { c::libdeflate_alloc_decompressor() }).map(Self)
    }

    /// Inflates the deflate data that `from` begins with into `into`.
    pub(super) fn inflate(&mut self, from: &[u8], into: &mut [u8]) -> Result<Inflated, NotInflated> {
        let (mut taken, mut made) = (0, 0);
        // SAFETY: the decompressor is ours alone; both buffers are given with their own lengths, beyond which
        // libdeflate neither reads nor writes, whatever the data is; both counters outlive the call.
        let result = unsafe {
            c::libdeflate_deflate_decompress_ex(
                self.0.as_ptr(),
                from.as_ptr().cast(),
                from.len(),
                into.as_mut_ptr().cast(),
                into.len(),
                &raw mut taken,
                &raw mut made,
            )
        };
        match result {
            c::libdeflate_result_LIBDEFLATE_SUCCESS => Ok(Inflated { taken, made }),
            c::libdeflate_result_LIBDEFLATE_INSUFFICIENT_SPACE => Err(NotInflated::NoRoom),
            _ => Err(NotInflated::Bad),
        }
    }
}

impl Drop for Inflater {
    fn drop(&mut self) {
        // SAFETY: it was allocated by `new`, and nothing uses it any more.
        unsafe { c::libdeflate_free_decompressor(self.0.as_ptr()) };
    }
}
