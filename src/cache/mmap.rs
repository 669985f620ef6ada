//! The only unsafe code: a finished segment, mapped to be read.
//!
//! A map shows the file as it is, so it is sound only while nobody changes the file. Nobody does: a segment
//! is mapped after its last write, is never opened for writing again, lies in a directory that only its owner
//! may write to (checked when the cache is opened), and is evicted by unlinking, which leaves maps whole.
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
}
