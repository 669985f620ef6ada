//! A run's directory: everything that a resume needs, and the lock that makes one process its owner.
//!
//! ```text
//! runs/20261122-231500-7f3a/
//!   run.json          what defines the run, and the stream it writes to
//!   manifest.jsonl    the frozen list of objects
//!   checkpoint-*.log  progress
//!   quarantine/       what was set aside: list.jsonl, and the records' bytes in records.bin
//!   ledger.jsonl      what became of each object
//!   segments.jsonl    what the segments were that records were sent from
//!   late.jsonl        what came to the archive while the run went on
//!   verify.jsonl      what the last `respool verify` found wrong
//!   report.json       the last report
//!   report.html       the same for a browser, with drawings
//!   timeline.json     what they are drawn from: the run over time
//!   typed.json        the command that has begun it
//!   plan.json         the plan that is carried out, if one is
//!   drained.json      that a worker was seen to have read everything
//!   lock              locked, and holding the process id, while a process owns the run
//! ```

mod glance;
mod page;
#[cfg(test)]
mod tests;
mod unread;

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::glance::says_done;
pub use self::glance::{RunGlance, SeenTable, retried, typed};
pub use self::unread::{UnreadRun, look_at_all, no_such_run};
use crate::archive::manifest::Manifest;
use crate::cache::check_private;
use crate::config::{RunFlags, RunSettings, SavedPlan, StateDir, Tuning, Typed};
use crate::error::Error;
use crate::private;
use crate::record::HashKey;
use crate::route::spread::Spread;

const RUN_FILE: &str = "run.json";
const MANIFEST_FILE: &str = "manifest.jsonl";
const REPORT_FILE: &str = "report.json";
const TYPED_FILE: &str = "typed.json";
const PLAN_FILE: &str = "plan.json";
const DRAINED_FILE: &str = "drained.json";
const TABLE_FILE: &str = "lease-table.json";
const LOCK_FILE: &str = "lock";
/// How often, and how long apart, it is tried to own a run.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// No file of settings or reports that we wrote is larger.
const JSON_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What defines a run; written once, compared by a resume.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The layout of this file.
    pub version: u32,
    /// When the run began.
    pub started: Timestamp,
    /// What the user asked for.
    pub settings: RunSettings,
    /// How it was to be done; a resume may change it.
    pub tuning: Tuning,
    /// The stream, so that one that was deleted and made anew is recognised.
    pub stream: StreamIdentity,
    /// How bytes became records.
    pub decoder_version: u32,
    /// How records got their places.
    #[serde(default = "first_route_version")]
    pub route_version: u32,
    /// The largest record that is sent, with its key, in bytes: what the stream took when the run began.
    #[serde(default)]
    pub record_bytes_max: Option<usize>,
    /// Where the shards begin over which records are spread, if those were unequal when the run began.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spread_over: Vec<HashKey>,
    /// The manifest's SHA-256.
    pub manifest_digest: String,
    /// The user has said that the stream may feed the archive that is read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_loop: bool,
}

impl RunFile {
    /// Where the run's records go, if their keys do not say so.
    #[must_use]
    pub fn spread(&self) -> Option<Spread> {
        self.settings.spreads().then(|| Spread::new(self.settings.seed, &self.spread_over))
    }
}

/// Which stream a run writes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamIdentity {
    /// Its name.
    pub name: String,
    /// Its full name, where it has one.
    pub arn: Option<String>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
}

/// What runs have that were begun before it was written down.
const fn first_route_version() -> u32 {
    1
}

/// That a worker was seen to have read everything that the run has delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// When.
    pub at: Timestamp,
    /// By what it was seen: a table of leases, or the age of what is read.
    pub by: String,
    /// Records that the run had delivered by then.
    pub delivered: u64,
}

impl Drained {
    /// How a worker's own leases are called in `by`.
    pub const BY_LEASES: &str = "lease_table";
    /// The same of the age of what is read, which is no proof.
    pub const BY_AGE: &str = "iterator_age";

    /// Whether the worker's own leases have shown it.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.by == Self::BY_LEASES
    }
}

/// The version of [`RunFile`] that this build writes and reads.
pub const RUN_FILE_VERSION: u32 = 3;

/// A run's directory, owned by this process.
#[derive(Debug)]
pub struct RunDirectory {
    id: String,
    path: PathBuf,
    state: StateDir,
    // Held for its lock.
    _lock: File,
}

/// The directory of runs below the state directory.
pub fn runs_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("runs")
}

impl RunDirectory {
    /// Makes the directory of a new run that starts at `now`, and owns it.
    pub fn create(state_dir: &StateDir, now: Timestamp) -> Result<Self, Error> {
        let runs = runs_dir(state_dir);
        DirBuilder::new().recursive(true).mode(0o700).create(&runs).map_err(|error| {
            Error::refused(format!("cannot make the state directory {}", runs.display())).with_source(error)
        })?;
        check(&runs)?;
        let stamp = now.strftime("%Y%m%d-%H%M%S");
        for attempt in 0..1_000_u32 {
            let id = if attempt == 0 { stamp.to_string() } else { format!("{stamp}-{attempt}") };
            let path = runs.join(&id);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {
                    let synced = File::open(&runs).and_then(|runs| runs.sync_all());
                    return synced
                        .map_err(|error| io_error("cannot sync", &runs, error))
                        .and_then(|()| Self::own(id, path.clone(), state_dir))
                        .inspect_err(|_| drop(fs::remove_dir_all(&path)));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("cannot make", &path, error)),
            }
        }
        Err(Error::refused(format!("too many runs were started at {stamp}")))
    }

    /// Owns the directory of an existing run.
    pub fn open(state_dir: &StateDir, id: &str) -> Result<Self, Error> {
        let path = runs_dir(state_dir).join(id);
        if path.is_dir() {
            check(&runs_dir(state_dir))?;
            check(&path)?;
        }
        if !is_run_id(id) || !path.join(RUN_FILE).is_file() {
            return Err(no_such_run(state_dir, id));
        }
        Self::own(id.to_owned(), path, state_dir)
    }

    fn own(id: String, path: PathBuf, state: &StateDir) -> Result<Self, Error> {
        let lock_path = path.join(LOCK_FILE);
        let mut lock =
            private::open(&lock_path).map_err(|error| io_error("cannot open", &lock_path, error))?;
        match lock_soon(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = lock.take(32).read_to_string(&mut holder);
                return Err(Error::refused(format!(
                    "run {id} is owned by process {}: wait for its end, or stop it (kill -INT {0}), and try again",
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(io_error("cannot lock", &lock_path, error)),
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(|error| io_error("cannot write", &lock_path, error))?;
        Ok(Self { id, path, state: state.clone(), _lock: lock })
    }

    /// What a command about the run has to say, if it has `tuning`.
    pub fn flags(&self, tuning: &Tuning) -> RunFlags {
        RunFlags::new(&self.state, tuning)
    }

    /// Where all runs are.
    pub fn state_dir(&self) -> &StateDir {
        &self.state
    }

    /// The run's name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Where its files lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what defines the run: from here on it can be resumed. If that fails, there is no run.
    pub fn define(&self, file: &RunFile, manifest: &Manifest) -> Result<(), Error> {
        let path = self.path.join(MANIFEST_FILE);
        let written = manifest
            .write(&path)
            .map_err(|error| Error::refused("cannot keep the list of its objects").with_source(error))
            .and_then(|()| write_json(&self.path.join(RUN_FILE), file));
        written.map_err(|error| {
            let _ = fs::remove_dir_all(&self.path);
            Error::refused("the run cannot be begun").with_source(error)
        })
    }

    /// The frozen list of objects.
    pub fn manifest(&self) -> Result<Manifest, Error> {
        read_manifest(&self.path)
    }

    /// That a worker has read everything, if that was seen.
    pub fn drained(&self) -> Option<Drained> {
        drained(&self.path)
    }

    /// Whether the last report says that nothing is left to do.
    pub fn is_done(&self) -> bool {
        read_json(&self.path.join(REPORT_FILE)).unwrap_or_default().is_some_and(|report| says_done(&report))
    }

    /// Keeps the command that has begun it, to be shown with another key.
    pub fn write_typed(&self, typed: &Typed) -> Result<(), Error> {
        write_json(&self.path.join(TYPED_FILE), typed)
    }

    /// Keeps the plan that is carried out, to be held against what happens.
    pub fn write_plan(&self, plan: &SavedPlan) -> Result<(), Error> {
        write_json(&self.path.join(PLAN_FILE), plan)
    }

    /// Leaves the report behind.
    pub fn write_report(&self, report: &impl Serialize) -> Result<(), Error> {
        write_json(&self.path.join(REPORT_FILE), report)
    }
}

/// Whoever only looks whether a run is owned holds its lock for a moment.
#[expect(
    clippy::disallowed_methods,
    reason = "a lock of the file system tells nobody when it is free, and a tenth of a second is no wait"
)]
fn lock_soon(lock: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            other => return other,
        }
    }
    lock.try_lock()
}

/// All runs below `state_dir` that can be read, oldest first. Directories that are no runs are passed over.
pub fn glance_at_all(state_dir: &Path) -> Result<Vec<RunGlance>, Error> {
    look_at_all(state_dir).map(|(runs, _)| runs)
}

fn drained(path: &Path) -> Option<Drained> {
    read_json(&path.join(DRAINED_FILE)).unwrap_or_default()
}

fn run_ids(state_dir: &Path) -> Result<Vec<String>, Error> {
    let runs = runs_dir(state_dir);
    let entries = match fs::read_dir(&runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("cannot read", &runs, error)),
    };
    let mut ids = Vec::new();
    for entry in entries {
        let name = entry.map_err(|error| io_error("cannot read", &runs, error))?.file_name();
        ids.extend(name.into_string().ok().filter(|id| is_run_id(id)));
    }
    ids.sort_unstable();
    Ok(ids)
}

fn glance(state_dir: &Path, id: String) -> Result<Option<RunGlance>, Error> {
    let path = runs_dir(state_dir).join(&id);
    let Some(file) = read_json(&path.join(RUN_FILE))? else { return Ok(None) };
    let report = read_json(&path.join(REPORT_FILE)).unwrap_or_default();
    let owner = owner(&path.join(LOCK_FILE));
    Ok(Some(RunGlance { id, path, file, owner, report }))
}

/// The frozen list of objects of the run in `directory`.
pub fn read_manifest(directory: &Path) -> Result<Manifest, Error> {
    let path = directory.join(MANIFEST_FILE);
    Manifest::read(&path)
        .map_err(|error| Error::refused(format!("cannot read {}", path.display())).with_source(error))
}

/// Reads what defines the run.
pub fn read_run_file(directory: &RunDirectory) -> Result<RunFile, Error> {
    let path = directory.path().join(RUN_FILE);
    let other = other_layout(&path)?;
    if let Some(Layout { version, .. }) = other {
        return Err(Error::refused(format!(
            "run {} has layout {version}, this respool reads {RUN_FILE_VERSION}",
            directory.id()
        )));
    }
    read_json(&path)?.ok_or_else(|| Error::refused(format!("{} does not exist", path.display())))
}

/// What can be told of a run file whatever its layout.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Layout {
    /// Its version.
    pub version: u32,
    /// The stream, if that is written as here.
    #[serde(default, deserialize_with = "if_understood")]
    pub stream: Option<StreamIdentity>,
}

fn if_understood<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<StreamIdentity>, D::Error> {
    let stream = serde_json::Value::deserialize(from)?;
    Ok(StreamIdentity::deserialize(stream).ok())
}

/// The layout of the run file at `path`, if it is not ours.
fn other_layout(path: &Path) -> Result<Option<Layout>, Error> {
    let layout: Option<Layout> = read_json(path)?;
    Ok(layout.filter(|layout| layout.version != RUN_FILE_VERSION))
}

/// Unfinished runs below `state_dir` that only another version of respool can read.
pub fn unreadable_runs(state_dir: &Path) -> Result<Vec<(String, Layout)>, Error> {
    let look = |id: String| {
        let path = runs_dir(state_dir).join(&id);
        let layout = other_layout(&path.join(RUN_FILE)).ok().flatten()?;
        let report: Option<serde_json::Value> = read_json(&path.join(REPORT_FILE)).unwrap_or_default();
        (!report.is_some_and(|report| says_done(&report))).then_some((id, layout))
    };
    Ok(run_ids(state_dir)?.into_iter().filter_map(look).collect())
}

/// Whoever may write here decides what a resume sends, and where.
fn check(directory: &Path) -> Result<(), Error> {
    check_private(directory).map_err(|error| {
        Error::refused(format!("cannot use the runs in {} (--state-dir names others)", directory.display()))
            .with_source(error)
    })
}

/// The process that has the lock; one without a name if it cannot be told whether there is one.
fn owner(lock_path: &Path) -> Option<String> {
    let mut holder = Vec::new();
    match File::open(lock_path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Ok(lock) if lock.try_lock_shared().is_ok() => return None,
        Ok(lock) => drop(lock.take(32).read_to_end(&mut holder)),
        Err(_) => {}
    }
    let holder = String::from_utf8_lossy(&holder).trim().to_owned();
    Some(if holder.is_empty() { "?".to_owned() } else { holder })
}

/// Letters, digits and dashes: never a path.
fn is_run_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    write_file(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

fn write_file(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
    let write = || -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        write(&mut file)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|error| Error::incomplete(format!("cannot write {}", path.display())).with_source(error))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("cannot read", path, error)),
    };
    let mut text = Vec::new();
    file.take(JSON_BYTES_MAX).read_to_end(&mut text).map_err(|error| io_error("cannot read", path, error))?;
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| Error::refused(format!("{} is damaged", path.display())).with_source(error))
}

fn io_error(what: &str, path: &Path, error: io::Error) -> Error {
    Error::refused(format!("{what} {}", path.display())).with_source(error)
}
