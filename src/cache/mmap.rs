//! The only unsafe code: a finished segment, mapped to be read.
//!
//! A map shows the file as it is, so it is sound only while nobody changes the file. Nobody does: a segment
//! is mapped after its last write, is never opened for writing again, lies in a directory that only its owner
//! may write to (checked when the cache is opened), and is evicted by unlinking, which leaves maps whole. Should its
//! owner truncate one all the same, pages are brought in before they are first touched, where that is an error.
#![expect(unsafe_code, reason = "mapping a file cannot be expressed in safe code")]

use std::fs::File;
use std::io;

use memmap2::{Mmap, MmapOptions};

/// A file's bytes. The file may be closed and unlinked.
#[derive(Debug)]
pub(super) struct Map(Mmap);

impl Map {
    /// Maps all of `file`, whose length is read here and only here.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        // SAFETY: the file is a segment after its last write, in a directory that is private to this user, and
        // respool truncates or rewrites no segment. `len` is the file's length, so no page lies beyond its end.
        let map = unsafe { MmapOptions::new().len(len).map(file) }?;
        Ok(Self(map))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Has the disk begin to read this range, if it has to. Only advice: nothing waits, and failure is no matter.
    pub(super) fn read_ahead(&self, start: usize, len: usize) {
        let len = len.min(self.0.len().saturating_sub(start));
        let _ = self.0.advise_range(memmap2::Advice::WillNeed, start, len);
    }

    /// Has the pages of this range brought in. `false` if one of them is gone, because somebody has truncated the
    /// file: to touch it would end the process. A kernel that does not know how (before Linux 5.14) is trusted.
    #[cfg(target_os = "linux")]
    pub(super) fn bring_in(&self, start: usize, len: usize) -> bool {
        let populated = self.0.advise_range(memmap2::Advice::PopulateRead, start, len);
        populated.err().and_then(|error| error.raw_os_error())
            != Some(rustix::io::Errno::FAULT.raw_os_error())
    }

    /// Elsewhere the owner of the cache is trusted not to truncate what lies in it.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn bring_in(&self, _: usize, _: usize) -> bool {
        true
    }
}
