//! Where checkpoints survive: a log of frames that says of itself where it ends.
//!
//! A file opens with a magic and is then a sequence of frames: length, CRC32C, a checkpoint as JSON. A
//! frame counts only if it is whole, so a write that was torn or lost costs what is behind the last
//! whole one, and nothing is ever appended behind a tear: each process, and each process whose file has
//! grown large, begins a new file with its newest checkpoint. The file before stays until the new one is
//! durable. What is read back is the checkpoint with the highest sequence in any file.
//!
//! A tear is at the end. What is not whole and has a whole frame behind it was damaged later: reading goes on
//! behind it, because an older checkpoint would count less than was sent. A file gets its name when its first
//! frame is durable, so one without any frame is damaged too, and an error. So is a frame that is whole
//! and cannot be understood: another version wrote it. Neither is ever taken for "no checkpoint".

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::frame;
use crate::write::checkpoint::Checkpoint;

const MAGIC: &[u8; 8] = b"rspckpt1";
/// How often the files are listed at most, while they are replaced under the eyes of who reads them.
const LISTINGS_MAX: u32 = 10;
/// A checkpoint is some kilobytes; no length above this is believed.
const FRAME_BYTES_MAX: usize = if cfg!(test) { 64 * 1024 } else { 256 * 1024 * 1024 };
/// A log above this is begun anew.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The log of one run, open for writing.
#[derive(Debug)]
pub struct CheckpointLog {
    directory: PathBuf,
    number: u64,
    file: Option<File>,
    length: u64,
}

impl CheckpointLog {
    /// Takes over the log in `directory`: what follows goes into a file of its own.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let newest = log_files(directory)?.last().map_or(0, |&(number, _)| number);
        Ok(Self { directory: directory.to_owned(), number: newest, file: None, length: 0 })
    }

    /// Appends `checkpoint`; it is durable when this returns.
    pub fn append(&mut self, checkpoint: &Checkpoint) -> io::Result<()> {
        let frame = frame::encode(checkpoint, FRAME_BYTES_MAX)?;
        match &mut self.file {
            Some(file) if self.length < LOG_BYTES_MAX => {
                file.write_all(&frame)?;
                file.sync_data()?;
                self.length += frame.len() as u64;
                Ok(())
            }
            _ => self.begin(&frame),
        }
    }

    fn begin(&mut self, frame: &[u8]) -> io::Result<()> {
        self.number += 1;
        let path = self.directory.join(format!("checkpoint-{:08}.log", self.number));
        let unnamed = path.with_extension("tmp");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unnamed)?;
        file.write_all(MAGIC)?;
        file.write_all(frame)?;
        file.sync_all()?;
        fs::rename(unnamed, path)?;
        File::open(&self.directory)?.sync_all()?;
        self.length = (MAGIC.len() + frame.len()) as u64;
        self.file = Some(file);
        for (number, path) in log_files(&self.directory)? {
            if number + 1 < self.number {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// The newest checkpoint that is whole; `None` if there is none.
///
/// # Errors
/// Those of the file system, and `InvalidData` for a whole frame that cannot be understood or a file without one.
pub fn newest(directory: &Path) -> io::Result<Option<Checkpoint>> {
    // A file that is gone by now was replaced by its run, if that goes on; a newer one is there then.
    for _ in 1..LISTINGS_MAX {
        match newest_listed(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
    }
    newest_listed(directory)
}

fn newest_listed(directory: &Path) -> io::Result<Option<Checkpoint>> {
    let mut newest: Option<Checkpoint> = None;
    for (_, path) in log_files(directory)? {
        let last = last_frame(&fs::read(&path)?)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        if newest.as_ref().is_none_or(|newest| newest.sequence <= last.sequence) {
            newest = Some(last);
        }
    }
    Ok(newest)
}

/// When a checkpoint was written last, if one was.
pub fn last_written(directory: &Path) -> Option<Timestamp> {
    let written = |(_, path): (u64, PathBuf)| path.metadata().ok()?.modified().ok()?.try_into().ok();
    log_files(directory).ok()?.into_iter().filter_map(written).max()
}

/// Whether there is a checkpoint, be it whole or not.
///
/// # Errors
/// Those of the file system.
pub fn is_begun(directory: &Path) -> io::Result<bool> {
    match log_files(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        files => files.map(|files| !files.is_empty()),
    }
}

fn log_files(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("checkpoint-")?.strip_suffix(".log")?.parse().ok());
        if let Some(number) = number {
            files.push((number, entry.path()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// The last whole frame. Checkpoints are text, and four letters are no length that is believed; so a
/// frame's beginning is found again behind what is damaged.
fn last_frame(bytes: &[u8]) -> io::Result<Checkpoint> {
    let (mut last, mut rest, mut damaged) = (None, bytes.strip_prefix(MAGIC).unwrap_or(bytes), false);
    while let Some(next) = rest.get(1..) {
        if let Some((payload, behind)) = frame::split(rest, FRAME_BYTES_MAX) {
            if damaged {
                tracing::warn!(
                    "a log of checkpoints is damaged; what follows behind the damage is whole and counts"
                );
            }
            (last, rest, damaged) = (Some(payload), behind, false);
        } else {
            (rest, damaged) = (next, true);
        }
    }
    let Some(payload) = last else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no whole checkpoint"));
    };
    serde_json::from_slice(payload).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HashKeyRange;

    fn checkpoint(sequence: u64) -> Checkpoint {
        Checkpoint { sequence, ..Checkpoint::start([HashKeyRange::ALL]) }
    }

    fn log_with(count: u64) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let mut log = CheckpointLog::open(directory.path()).unwrap();
        for sequence in 1..=count {
            log.append(&checkpoint(sequence)).unwrap();
        }
        let path = directory.path().join("checkpoint-00000001.log");
        (directory, path)
    }

    fn is_refused(directory: &Path) -> bool {
        newest(directory).is_err_and(|error| error.kind() == io::ErrorKind::InvalidData)
    }

    fn newest_sequence(directory: &Path) -> Option<u64> {
        newest(directory).unwrap().map(|checkpoint| checkpoint.sequence)
    }

    #[test]
    fn cut_at_any_length_the_last_whole_frame_counts() {
        let (directory, path) = log_with(3);
        let whole = fs::read(&path).unwrap();
        let frame = frame::encode(&checkpoint(1), FRAME_BYTES_MAX).unwrap().len();
        for length in 0..=whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let expected = length.saturating_sub(MAGIC.len()) / frame;
            match expected {
                0 => assert!(is_refused(directory.path()), "cut at {length}"),
                _ => assert_eq!(newest_sequence(directory.path()), Some(expected as u64), "cut at {length}"),
            }
        }
    }

    #[test]
    fn any_flipped_byte_costs_only_the_frame_that_it_is_in() {
        let (directory, path) = log_with(3);
        let whole = fs::read(&path).unwrap();
        let frame = frame::encode(&checkpoint(1), FRAME_BYTES_MAX).unwrap().len();
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0x40;
            fs::write(&path, &broken).unwrap();
            let in_last = at >= MAGIC.len() + 2 * frame;
            let expected = if in_last { 2 } else { 3 };
            assert_eq!(newest_sequence(directory.path()), Some(expected), "flipped at {at}");
        }
    }

    #[test]
    fn a_log_without_a_whole_checkpoint_is_not_a_run_that_has_sent_nothing() {
        let (directory, path) = log_with(1);
        let mut whole = fs::read(&path).unwrap();
        whole[40] ^= 1;
        fs::write(&path, whole).unwrap();
        assert!(is_refused(directory.path()));
    }

    #[test]
    fn a_file_that_was_never_durable_has_no_name_and_is_no_damage() {
        let (directory, _) = log_with(2);
        fs::write(directory.path().join("checkpoint-00000002.tmp"), MAGIC).unwrap();
        assert_eq!(newest_sequence(directory.path()), Some(2));
        let mut log = CheckpointLog::open(directory.path()).unwrap();
        log.append(&checkpoint(3)).unwrap();
        assert_eq!(newest_sequence(directory.path()), Some(3));
    }

    #[test]
    fn a_checkpoint_that_could_not_be_read_back_is_not_written() {
        let (directory, _) = log_with(1);
        let mut log = CheckpointLog::open(directory.path()).unwrap();
        let lane = checkpoint(2).lanes.remove(0);
        let large = Checkpoint { lanes: vec![lane; 1_000], ..checkpoint(2) };
        assert!(log.append(&large).is_err());
        assert_eq!(newest_sequence(directory.path()), Some(1));
    }

    #[test]
    fn a_new_process_never_appends_to_an_old_file() {
        let (directory, path) = log_with(2);
        let torn = [&fs::read(&path).unwrap()[..], b"torn"].concat();
        fs::write(&path, &torn).unwrap();
        let mut log = CheckpointLog::open(directory.path()).unwrap();
        log.append(&checkpoint(3)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), torn);
        assert_eq!(newest_sequence(directory.path()), Some(3));
        let mut log = CheckpointLog::open(directory.path()).unwrap();
        log.append(&checkpoint(4)).unwrap();
        assert!(!path.exists(), "the file before the last is gone");
        assert_eq!(newest_sequence(directory.path()), Some(4));
    }

    #[test]
    fn a_whole_frame_of_another_version_is_an_error() {
        let (directory, path) = log_with(1);
        let payload = br#"{"sequence":2,"something":"new"}"#;
        let mut frame = fs::read(&path).unwrap();
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        frame.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        frame.extend_from_slice(payload);
        fs::write(&path, frame).unwrap();
        assert_eq!(newest(directory.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_directory_without_a_log_has_no_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(newest_sequence(directory.path()), None);
    }
}
