//! `respool stream create`: the stream of a backfill, with everything it shall be, waited for.
//!
//! The tags go with the very first call, so that a stream that is only half made is known as ours, and
//! asking again goes on where the last attempt stopped: retention, record size and encryption are raised to
//! what is wanted. A stream of ours that is as it is wanted is taken as it is; anybody else's, or one that is
//! otherwise, is refused.

use serde_json::json;

use super::door::Door;
use super::settle::{until_active, until_set};
use super::shape::{self, differences, is_ours, record_size};
use crate::config::{OutputConfig, StreamShape};
use crate::error::Error;
use crate::record::{many, number};
use crate::run::console;
use crate::run::permission;
use crate::stream::StreamDescription;
use crate::stream::control::{ControlError, ControlRefusal, NewStream, StreamParticulars};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The stream.
    pub stream: StreamDescription,
    /// Whether it was there already, made by respool.
    pub was_there: bool,
}

/// Makes the stream behind `door`, or finds that it is there already.
pub async fn create(
    door: &Door,
    shards: u32,
    shape: &StreamShape,
    now: jiff::Timestamp,
    output: &OutputConfig,
) -> Result<Created, Error> {
    let doing = format!("creating {}", door.name);
    let tags = shape::tags(&shape.tags, now);
    let found = door.look().await?;
    let was_there = found.is_some();
    let mut made = false;
    if let Some(found) = found {
        check_ours(door, &found)?;
    } else {
        let new = NewStream { shards, record_kib: shape.record_kib, tags: tags.clone() };
        made = match door.stream.create(&new).await {
            Ok(()) => true,
            // Our own call, repeated after its answer was lost; or somebody was faster, which the tags tell.
            Err(ControlError { kind: ControlRefusal::InUse, .. }) => false,
            Err(error) => {
                return Err(door.error("cannot create", &permission::CREATE_STREAM, &error));
            }
        };
    }
    let mut found = until_active(door, &doing, output).await?;
    if made && found.tags.is_empty() {
        // Some servers take no tags at the creation.
        let tagged = door.stream.add_tags(&tags).await;
        tagged.map_err(|error| door.error("cannot tag", &[permission::TAG_STREAM], &error))?;
        found.tags = tags;
    }
    check_ours(door, &found)?;
    // Shards are not set here: a stream that has others is left as it is.
    if found.description.open_shards == shards {
        found = set(door, shape, found, output).await?;
    }
    let differences = differences(shape, Some(shards), &found);
    if differences.is_empty() {
        return Ok(Created { stream: found.description, was_there });
    }
    let list = differences.join("; ");
    Err(Error::refused(if was_there {
        format!(
            "the stream {0} is there already, made by respool, but {list}. `respool stream scale {0} --shards N{1}` changes \
             its shards; for the rest take another name, or delete it first",
            door.name, door.flags
        )
    } else {
        format!("the stream {} was made, but the service has left something out: {list}", door.name)
    }))
}

fn check_ours(door: &Door, found: &StreamParticulars) -> Result<(), Error> {
    if is_ours(found) {
        return Ok(());
    }
    Err(not_ours(door, found))
}

/// A stream that somebody else has made is not taken for ours.
pub fn not_ours(door: &Door, found: &StreamParticulars) -> Error {
    Error::refused(format!(
        "the stream {0} is there already ({1}) and was not made by respool (it lacks the tag {2}): take another name, or \
         replay into it as it is with --into {0} and without --create",
        door.name,
        many(found.description.open_shards, "shard"),
        shape::CREATED_BY
    ))
}

/// What `CreateStream` does not take, one change after the other.
async fn set(
    door: &Door,
    shape: &StreamShape,
    mut found: StreamParticulars,
    output: &OutputConfig,
) -> Result<StreamParticulars, Error> {
    if let Some(hours) = shape.retention_hours.filter(|&hours| hours > found.description.retention_hours) {
        let asked = door.stream.raise_retention(hours).await;
        asked.map_err(|error| {
            door.error("cannot set the retention of", &[permission::RAISE_RETENTION], &error)
        })?;
        let doing = format!("setting the retention of {} to {hours} h", door.name);
        found = until_set(door, &doing, output, |now| now.description.retention_hours == hours).await?;
    }
    let bytes = |kib: u32| usize::try_from(kib).map_or(usize::MAX, |kib| kib * 1_024);
    let kib = shape.record_kib.filter(|&kib| bytes(kib) > found.description.record_bytes_max);
    if let (Some(kib), Some(arn)) = (kib, found.description.arn.clone()) {
        let asked = door.stream.set_record_kib(&arn, kib).await;
        asked.map_err(|error| {
            door.error("cannot set the record size of", &[permission::RAISE_RECORD_SIZE], &error)
        })?;
        let doing = format!("setting the record size of {} to {}", door.name, record_size(kib.into()));
        found = until_set(door, &doing, output, |now| now.description.record_bytes_max == bytes(kib)).await?;
    }
    if let (Some(key), None) = (&shape.encryption_key, &found.encryption_key) {
        let asked = door.stream.encrypt(key).await;
        asked.map_err(|error| door.error("cannot encrypt", &[permission::ENCRYPT_STREAM], &error))?;
        let doing = format!("encrypting {}", door.name);
        found = until_set(door, &doing, output, |now| now.encryption_key.is_some()).await?;
    }
    Ok(found)
}

/// Tells what came of it.
pub fn tell(created: &Created, output: &OutputConfig) -> Result<(), Error> {
    let stream = &created.stream;
    if output.json {
        let told = json!({
            "stream": stream.name,
            "arn": stream.arn,
            "region": stream.region,
            "status": stream.status,
            "shards": stream.open_shards,
            "retention_hours": stream.retention_hours,
            "record_bytes_max": stream.record_bytes_max,
            "was_there": created.was_there,
        });
        return console::print(&format!("{told:#}\n"));
    }
    let how = if created.was_there {
        "is there already, made by respool and as it is wanted"
    } else {
        "is made and active"
    };
    console::print(&format!(
        "The stream {} {how}: {}, records kept for {} h.\n",
        stream.name,
        many(stream.open_shards, "shard"),
        number(stream.retention_hours.into())
    ))
}
