//! A service that errs as a [`FaultPlan`] says, for the stream in this process and the one behind a port.

use super::SimTime;
use super::fault::{EntryFault, FaultPlan};
use super::model::{PutResult, Service, hash_of};
use super::service_error::ServiceError;
use crate::stream::Entry;

/// What the caller is told of one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// The truth.
    Truth(PutResult),
    /// `InternalFailure`, whether or not it was stored.
    Failed,
    /// A code that nobody knows; it was stored.
    Garbled,
}

/// Stores the entries of call `call` that the plan lets through; what is told stands in the entries' order.
pub fn put(
    service: &mut Service,
    now: SimTime,
    stream: &str,
    entries: Vec<Entry>,
    (plan, call): (&FaultPlan, u64),
) -> Result<Vec<Told>, ServiceError> {
    let faults: Vec<Option<EntryFault>> = (0..entries.len()).map(|entry| plan.entry(call, entry)).collect();
    let mut told = Vec::with_capacity(entries.len());
    let mut stored = Vec::with_capacity(entries.len());
    for (entry, fault) in entries.into_iter().zip(&faults) {
        match fault {
            Some(EntryFault::Throttle) => {
                let shard = service.serving_stream(now, stream)?.shard_of(hash_of(&entry)).id.clone();
                told.push(Some(Told::Truth(PutResult::Throttled { shard })));
            }
            Some(EntryFault::Fail) => told.push(Some(Told::Failed)),
            Some(EntryFault::FailStored | EntryFault::Garble) | None => {
                told.push(None);
                stored.push(entry);
            }
        }
    }
    // An entry that is too large spoils the whole call, and so it does here.
    let mut results = service.put(now, stream, stored)?.into_iter();
    let finish = |(told, fault): (Option<Told>, &Option<EntryFault>)| {
        told.or_else(|| {
            let truth = results.next()?;
            Some(match (fault, truth) {
                (Some(EntryFault::FailStored), PutResult::Stored { .. }) => Told::Failed,
                (Some(EntryFault::Garble), PutResult::Stored { .. }) => Told::Garbled,
                (_, truth) => Told::Truth(truth),
            })
        })
    };
    Ok(told.into_iter().zip(&faults).filter_map(finish).collect())
}
