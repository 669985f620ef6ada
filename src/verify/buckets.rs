//! Both sides of the comparison on disk, cut by the hash of the key, so that a part at a time fits into memory.
//!
//! Each side is written once, front to back, into as many unnamed files as it takes; a key lies in one of them,
//! in the order in which its records came. What is held in memory at once is a bucket of both sides: about
//! 64 MB whatever the archive's size, unless a single key has more records than that. How many records others
//! have written is not known beforehand, so a bucket that turns out too large is cut again.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use super::walk::{Digest, Era, Expected, Form, Seen, Standing};
use crate::record::{HashKey, Ordinal};

/// Records of both sides that a bucket is made for, at some 150 bytes each during the walk.
const BUCKET_RECORDS: u64 = 400_000;
/// More files than this are not opened at once; buckets grow instead.
const BUCKETS_MAX: u64 = 256;
/// Parts that a bucket is cut into which is too large all the same.
const SPLIT_WAYS: usize = 16;
const BUFFER_BYTES: usize = 32 * 1024;
/// Forms of a record of the stream, which share a byte with its era.
const FORMS: u8 = 3;
/// Hash, digest, position, and what it is.
const ENTRY_BYTES: usize = 16 + 16 + 8 + 1;

/// The number of buckets for so many expected records; the stream has about as many.
pub fn bucket_count(records: u64) -> usize {
    usize::try_from((records * 2).div_ceil(BUCKET_RECORDS).clamp(1, BUCKETS_MAX)).unwrap_or(1)
}

/// One side.
pub struct Buckets {
    files: Vec<BufWriter<File>>,
}

impl Buckets {
    /// Empty ones, in unnamed files in `directory`.
    pub fn new(directory: &Path, count: usize) -> io::Result<Self> {
        let file = |_| Ok(BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(directory)?));
        Ok(Self { files: (0..count).map(file).collect::<io::Result<_>>()? })
    }

    /// Adds a record of the archive.
    pub fn expect(&mut self, record: &Expected) -> io::Result<()> {
        let position = (u64::from(record.ordinal.object()) << 32) | u64::from(record.ordinal.record());
        let standing = match record.standing {
            Standing::Open => 0,
            Standing::Due => 1,
            Standing::Retried => 2,
        };
        self.write(record.hash, record.digest, position, standing)
    }

    /// Adds a record of the stream.
    pub fn see(&mut self, record: &Seen) -> io::Result<()> {
        let form = match record.form {
            Form::Plain => 0,
            Form::Aggregate => 1,
            Form::Inner => 2,
        };
        let era = match record.era {
            Era::Own => 0,
            Era::Before => 1,
            Era::Since => 2,
            Era::Retry => 3,
        };
        self.write(record.hash, record.digest, u64::from(record.shard), form + FORMS * era)
    }

    fn write(&mut self, hash: HashKey, digest: Digest, position: u64, what: u8) -> io::Result<()> {
        let mut entry = [0; ENTRY_BYTES];
        entry[..16].copy_from_slice(&hash.0.to_le_bytes());
        entry[16..32].copy_from_slice(&digest.0);
        entry[32..40].copy_from_slice(&position.to_le_bytes());
        entry[40] = what;
        let bucket = self.bucket(hash);
        self.files[bucket].write_all(&entry)
    }

    /// MD5 spreads keys evenly, so any part of the hash will do.
    fn bucket(&self, hash: HashKey) -> usize {
        usize::try_from(hash.0 % self.files.len() as u128).unwrap_or(0)
    }

    /// The buckets, to be read in their order.
    pub fn finish(self) -> io::Result<Vec<File>> {
        let finish = |file: BufWriter<File>| {
            let mut file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.rewind()?;
            Ok(file)
        };
        self.files.into_iter().map(finish).collect()
    }
}

/// How many entries a bucket holds.
pub fn entries(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len() / ENTRY_BYTES as u64)
}

/// Cuts a bucket, which was made by `level` cuts before, into [`SPLIT_WAYS`]; a key lies in one of them, its records in their order.
pub fn split(file: File, directory: &Path, level: u32) -> io::Result<Vec<File>> {
    let count = entries(&file)?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut parts = Buckets::new(directory, SPLIT_WAYS)?;
    let mut entry = [0; ENTRY_BYTES];
    for _ in 0..count {
        reader.read_exact(&mut entry)?;
        // The last byte of the hash has chosen the bucket, together with others; each level has one of its own.
        let byte = entry.get(15_usize.saturating_sub(level as usize)).copied().unwrap_or_default();
        if let Some(part) = parts.files.get_mut(usize::from(byte) % SPLIT_WAYS) {
            part.write_all(&entry)?;
        }
    }
    parts.finish()
}

/// The records of the archive in a bucket.
pub fn read_expected(file: File) -> io::Result<Vec<Expected>> {
    read(file, |hash, digest, position, what| {
        let [object, record] =
            [position >> 32, position & 0xffff_ffff].map(|part| u32::try_from(part).unwrap_or(u32::MAX));
        let standing = match what {
            1 => Standing::Due,
            2 => Standing::Retried,
            _ => Standing::Open,
        };
        Expected { hash, digest, ordinal: Ordinal::new(object, record), standing }
    })
}

/// The records of the stream in a bucket.
pub fn read_seen(file: File) -> io::Result<Vec<Seen>> {
    read(file, |hash, digest, position, what| {
        let form = match what % FORMS {
            0 => Form::Plain,
            1 => Form::Aggregate,
            _ => Form::Inner,
        };
        let era = match what / FORMS {
            0 => Era::Own,
            1 => Era::Before,
            2 => Era::Since,
            _ => Era::Retry,
        };
        Seen { hash, digest, shard: u32::try_from(position).unwrap_or(u32::MAX), form, era }
    })
}

fn read<T>(file: File, make: impl Fn(HashKey, Digest, u64, u8) -> T) -> io::Result<Vec<T>> {
    let count = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX) / ENTRY_BYTES;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let (mut hash, mut digest, mut position, mut what) = ([0; 16], [0; 16], [0; 8], [0; 1]);
        reader.read_exact(&mut hash)?;
        reader.read_exact(&mut digest)?;
        reader.read_exact(&mut position)?;
        reader.read_exact(&mut what)?;
        let hash = HashKey(u128::from_le_bytes(hash));
        records.push(make(hash, Digest(digest), u64::from_le_bytes(position), what[0]));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_in_its_order_and_a_key_lies_in_one_bucket() {
        let directory = tempfile::tempdir().unwrap();
        let record = |number: u32| Expected {
            hash: HashKey::of(&format!("key {}", number % 50)),
            digest: Digest([7; 16]),
            ordinal: Ordinal::new(number, u32::MAX - number),
            standing: [Standing::Due, Standing::Open, Standing::Retried][number as usize % 3],
        };
        let all: Vec<Expected> = (0..1_000).map(record).collect();
        let mut buckets = Buckets::new(directory.path(), 7).unwrap();
        for record in &all {
            buckets.expect(record).unwrap();
        }
        let files = buckets.finish().unwrap();
        let parts: Vec<Vec<Expected>> = files.into_iter().map(|file| read_expected(file).unwrap()).collect();
        assert!(parts.iter().all(|part| part.len() > 50));
        for key in all.iter().take(50).map(|record| record.hash) {
            let of_key = |part: &Vec<Expected>| {
                part.iter().filter(|record| record.hash == key).copied().collect::<Vec<_>>()
            };
            let found: Vec<_> = parts.iter().map(of_key).filter(|found| !found.is_empty()).collect();
            assert_eq!(found, [of_key(&all)]);
        }
        let mut buckets = Buckets::new(directory.path(), 1).unwrap();
        for record in &all {
            buckets.expect(record).unwrap();
        }
        let whole = buckets.finish().unwrap().remove(0);
        assert_eq!(entries(&whole).unwrap(), 1_000);
        let cut = split(whole, directory.path(), 0).unwrap();
        let cut: Vec<Vec<Expected>> = cut
            .into_iter()
            .flat_map(|part| split(part, directory.path(), 1).unwrap())
            .map(|part| read_expected(part).unwrap())
            .collect();
        assert_eq!(cut.iter().map(Vec::len).sum::<usize>(), 1_000);
        for key in all.iter().take(50).map(|record| record.hash) {
            let of_key = |part: &Vec<Expected>| {
                part.iter().filter(|record| record.hash == key).copied().collect::<Vec<_>>()
            };
            let found: Vec<_> = cut.iter().map(of_key).filter(|found| !found.is_empty()).collect();
            assert_eq!(found, [of_key(&all)]);
        }
        assert_eq!((bucket_count(0), bucket_count(1_000_000), bucket_count(u64::MAX / 4)), (1, 5, 256));
    }
}
