//! A run is what it was: what a resume compares before it goes on.

use jiff::Timestamp;

use super::directory::{RUN_FILE_VERSION, RunFile, StreamIdentity};
use super::open::OpenStream;
use crate::archive::manifest::Manifest;
use crate::config::{RunSettings, Target, Tuning};
use crate::decode::DECODER_VERSION;
use crate::error::Error;
use crate::route::ROUTE_VERSION;
use crate::route::spread::Spread;
use crate::stream::{CallErrorClass, Stream, StreamDescription};

/// What a run is defined by that begins now: all that the checks below hold a resume against.
pub fn begin(
    started: Timestamp,
    settings: RunSettings,
    mut tuning: Tuning,
    target: &OpenStream,
    manifest: &Manifest,
) -> RunFile {
    let stream = &target.description;
    if let (Target::Kinesis { .. }, None) = (&settings.target, &tuning.kinesis.region) {
        // Whoever goes on with it elsewhere has another environment.
        tuning.kinesis.region.clone_from(&stream.region);
    }
    let spread_over = if settings.spreads() { Spread::firsts(&target.map) } else { Vec::new() };
    RunFile {
        version: RUN_FILE_VERSION,
        started,
        settings,
        tuning,
        stream: identity(stream),
        decoder_version: DECODER_VERSION,
        route_version: ROUTE_VERSION,
        record_bytes_max: Some(stream.record_bytes_max),
        spread_over,
        manifest_digest: manifest.digest(),
        allow_loop: false,
    }
}

/// What tells a stream from all others.
pub fn identity(description: &StreamDescription) -> StreamIdentity {
    StreamIdentity {
        name: description.name.clone(),
        arn: description.arn.clone(),
        created_ms: description.created_ms,
    }
}

/// A stream that was deleted and made anew has lost what was delivered. An embedded one ends with its
/// process, as everybody knows who uses one.
pub fn check_same_stream(id: &str, file: &RunFile, stream: &StreamDescription) -> Result<(), Error> {
    let Target::Kinesis { .. } = file.settings.target else { return Ok(()) };
    let (expected, found) = (&file.stream, identity(stream));
    check_unchanged(id, "stream", &expected.name, &found.name)?;
    if let (Some(expected), Some(found)) = (&expected.arn, &found.arn) {
        let region = |arn: &str| arn.split(':').nth(3).unwrap_or_default().to_owned();
        let (there, here) = (region(expected), region(found));
        if there != here {
            return Err(Error::refused(format!(
                "run {id} writes into {} in {there}, and this is the one in {here}: say --kinesis-region {there}",
                file.stream.name
            )));
        }
        check_unchanged(id, "stream's ARN", expected, found)?;
    }
    if expected.created_ms == found.created_ms {
        return Ok(());
    }
    let time =
        |ms| Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"));
    Err(Error::refused(format!(
        "the stream {} is not the one that run {id} went into: that one, made {}, was deleted, and this one, made {}, has nothing \
         of it",
        found.name,
        time(expected.created_ms),
        time(found.created_ms)
    )))
}

/// What is wrong if the stream that a run ends with is not the one that it began with: what was acknowledged before is not
/// there. A service that was away for a while may come back with another stream of the same name.
pub async fn made_anew(id: &str, file: &RunFile, stream: &dyn Stream) -> Option<Error> {
    let Target::Kinesis { .. } = file.settings.target else { return None };
    match stream.describe().await {
        Ok(found) => check_same_stream(id, file, &found).err(),
        Err(error) if error.class == CallErrorClass::NotFound => {
            let gone = format!("the stream {} is gone, and with it what it had taken", file.settings.target);
            Some(Error::refused(gone))
        }
        Err(error) => {
            tracing::warn!("whether {} is still the same stream is not known: {error}", file.settings.target);
            None
        }
    }
}

/// The run's own largest record decides on what is set aside for its size. A stream that takes more by now
/// changes nothing; one that takes less would refuse records that are on their way.
pub fn check_record_size(id: &str, file: &RunFile, stream: &StreamDescription) -> Result<(), Error> {
    match file.record_bytes_max {
        Some(expected) if stream.record_bytes_max < expected => Err(Error::refused(format!(
            "run {id} does not fit any more: its stream took records of {expected} B when it began, now it takes {} B; \
             raise its limit again, or start a new run",
            stream.record_bytes_max
        ))),
        Some(_) | None => Ok(()),
    }
}

/// Refuses with the difference.
pub fn check_unchanged(id: &str, what: &str, expected: &str, found: &str) -> Result<(), Error> {
    if expected == found {
        return Ok(());
    }
    Err(Error::refused(format!(
        "run {id} does not fit any more: its {what} has changed from {expected} to {found}; start a new run"
    )))
}
