//! The runs of this machine that have written into a stream: what each put where, and whether it was read.
//!
//! A run that cannot be read has written as well as any other, so it is named and never passed over.

use std::collections::BTreeMap;
use std::path::Path;

use super::drained::Replayed;
use crate::error::Error;
use crate::record::many;
use crate::run::directory::{self, Drained, RunGlance, StreamIdentity, UnreadRun};
use crate::run::quarantine::taken::Taken;
use crate::run::report::RunState;
use crate::run::{checkpoint_log, journal};
use crate::stream::StreamDescription;

/// How a worker's own leases are called where it is noted by what a run was seen drained.
pub(super) const BY_LEASES: &str = Drained::BY_LEASES;
/// The same of the age of what is read.
pub(super) const BY_AGE: &str = Drained::BY_AGE;

/// The runs into one stream.
#[derive(Debug, Default)]
pub struct RunsInto {
    /// Those that can be read, oldest first.
    pub runs: Vec<RunInto>,
    /// Those that cannot, and may be into it.
    pub unread: Vec<UnreadRun>,
}

/// Those of `runs`, oldest first, that have something left to do. One that has delivered nothing, and after which another one
/// was begun and finished, was given up.
pub fn unfinished(runs: &[RunInto]) -> impl Iterator<Item = &RunInto> {
    let last_done = runs.iter().rposition(|run| !run.glance.is_unfinished() && run.delivered > 0);
    let given_up = move |place: usize, run: &RunInto| {
        run.delivered == 0 && !run.is_running() && last_done.is_some_and(|done| place < done)
    };
    let left = move |&(place, run): &(usize, &RunInto)| run.glance.is_unfinished() && !given_up(place, run);
    runs.iter().enumerate().filter(left).map(|(_, run)| run)
}

/// A run and what it has put into the stream.
#[derive(Debug)]
pub struct RunInto {
    /// The run.
    pub glance: RunGlance,
    /// Records that it has delivered.
    pub delivered: u64,
    /// Records and whole objects that it has set aside.
    pub set_aside: (u64, u64),
    /// Those of them that no retry of it that is done has taken: none if nobody has tried.
    pub untaken: (u64, u64),
    /// Of other retries of the same run those that are done and of which it has taken everything too.
    pub covers: Vec<String>,
    /// What it has put into each shard.
    pub shards: BTreeMap<String, Replayed>,
}

impl RunInto {
    /// A look at what the run has left on the disk.
    pub fn of(glance: RunGlance) -> Result<Self, Error> {
        let Put { delivered, set_aside, shards } = put(&glance)?;
        Ok(Self { glance, delivered, set_aside, untaken: (0, 0), covers: Vec::new(), shards })
    }

    /// Whether a process works on it now.
    pub fn is_running(&self) -> bool {
        self.glance.owner.is_some()
    }

    /// `12 records and 3 whole objects`; `None` if nothing was set aside.
    pub fn set_aside(&self) -> Option<String> {
        records_and_objects(self.set_aside)
    }

    /// Whether a worker's leases have shown that it has read all that the run has delivered by now.
    pub fn is_drained(&self) -> bool {
        self.delivered == 0 || self.seen_drained().is_some_and(|drained| drained.by == BY_LEASES)
    }

    /// When and by what it was seen that all that the run has delivered by now was read; not each way is a proof.
    pub fn seen_drained(&self) -> Option<Drained> {
        self.glance.drained().filter(|drained| drained.delivered == self.delivered)
    }

    /// How it stands.
    pub fn state(&self) -> RunState {
        self.glance.state()
    }
}

/// `12 records and 3 whole objects`; `None` if there are none.
pub(super) fn records_and_objects((records, objects): (u64, u64)) -> Option<String> {
    let part = |count: u64, what: &str| (count > 0).then(|| many(count, what));
    let parts: Vec<String> =
        part(records, "record").into_iter().chain(part(objects, "whole object")).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

/// What a run has done so far.
struct Put {
    delivered: u64,
    set_aside: (u64, u64),
    shards: BTreeMap<String, Replayed>,
}

/// The records that a run has delivered, and what went into which shard.
fn put(glance: &RunGlance) -> Result<Put, Error> {
    let unreadable =
        |error| Error::refused(format!("cannot read the checkpoints of {}", glance.id)).with_source(error);
    let checkpoint = checkpoint_log::newest(&glance.path).map_err(unreadable)?;
    if checkpoint.is_none() && journal::has_delivered(&glance.path).map_err(unreadable)? {
        return Err(Error::refused(format!(
            "the run {} has delivered records, but its checkpoints are gone",
            glance.id
        )));
    }
    let totals = checkpoint.as_ref().map(|checkpoint| checkpoint.totals).unwrap_or_default();
    let shards = checkpoint.into_iter().flat_map(|checkpoint| checkpoint.shards);
    let shards = shards.map(|(shard, ledger)| {
        let last_records = match ledger.last_records {
            // Without aggregates each record has a number of its own.
            0 if !glance.file.settings.aggregate => Some(1),
            0 => None,
            count => Some(count),
        };
        (shard.to_string(), Replayed { records: ledger.records, last: ledger.last, last_records })
    });
    let set_aside = (totals.quarantined, totals.objects_quarantined);
    Ok(Put { delivered: totals.delivered, set_aside, shards: shards.collect() })
}

/// All runs into the stream.
pub fn runs_into(state_dir: &Path, stream: &StreamIdentity) -> Result<RunsInto, Error> {
    let (runs, mut unread) = directory::look_at_all(state_dir)?;
    unread.retain(|run| run.may_be_into(stream));
    let mut into = RunsInto { runs: Vec::new(), unread };
    for glance in runs.into_iter().filter(|run| run.file.stream == *stream) {
        match put(&glance) {
            Ok(Put { delivered, set_aside, shards }) => {
                into.runs.push(RunInto {
                    glance,
                    delivered,
                    set_aside,
                    untaken: (0, 0),
                    covers: Vec::new(),
                    shards,
                });
            }
            Err(error) => into.unread.push(UnreadRun::of(glance, &error)),
        }
    }
    (0..into.runs.len()).try_for_each(|at| share_out(&mut into.runs, at))?;
    Ok(into)
}

/// Finds what the retries of the run at `at` have taken of its quarantine, and which of them have taken what others have. What
/// cannot be read is taken for all of it.
fn share_out(runs: &mut [RunInto], at: usize) -> Result<(), Error> {
    let Some((run, younger)) = runs.get_mut(at..).and_then(<[RunInto]>::split_first_mut) else {
        return Ok(());
    };
    let id = run.glance.id.as_str();
    let done = |other: &&mut RunInto| other.glance.retried() == Some(id) && !other.glance.is_unfinished();
    let mut retries: Vec<_> = younger.iter_mut().filter(done).collect();
    let taken: Result<Vec<_>, Error> =
        retries.iter().map(|retry| Ok((retry.glance.id.clone(), Taken::by(&retry.glance)?))).collect();
    let Ok(taken) = taken else { return Ok(()) };
    for (retry, (own, all)) in retries.iter_mut().zip(&taken) {
        let covered = taken.iter().filter(|(id, other)| id != own && all.covers(other));
        retry.covers = covered.map(|(id, _)| id.clone()).collect();
    }
    if taken.is_empty() || run.set_aside == (0, 0) {
        return Ok(());
    }
    let unreadable =
        |error| Error::refused(format!("cannot read the quarantine of {}", run.glance.id)).with_source(error);
    for line in journal::quarantine_lines(&run.glance.path).map_err(unreadable)? {
        if !taken.iter().any(|(_, taken)| taken.has(&line)) {
            let count = if line.record.is_some() { &mut run.untaken.0 } else { &mut run.untaken.1 };
            *count += 1;
        }
    }
    Ok(())
}

/// The runs as a sentence names them, with the reason of the first.
pub(super) fn names(unread: &[UnreadRun]) -> String {
    let names = unread.iter().map(|run| run.id.as_str()).collect::<Vec<_>>().join(", ");
    let why = unread.first().map(|run| run.why.as_str()).unwrap_or_default();
    format!("{names} ({why})")
}

/// By what a run knows a stream again.
#[must_use]
pub fn identity(stream: &StreamDescription) -> StreamIdentity {
    StreamIdentity { name: stream.name.clone(), arn: stream.arn.clone(), created_ms: stream.created_ms }
}

/// What all of them together have put into each shard.
#[must_use]
pub fn replayed(runs: &[RunInto]) -> BTreeMap<String, Replayed> {
    let mut all: BTreeMap<String, Replayed> = BTreeMap::new();
    for (shard, replayed) in runs.iter().flat_map(|run| &run.shards) {
        let Some(known) = all.get_mut(shard) else {
            all.insert(shard.clone(), replayed.clone());
            continue;
        };
        let records = known.records + replayed.records;
        if replayed.last > known.last {
            known.clone_from(replayed);
        }
        known.records = records;
    }
    all
}
