//! What is asked of the target before anything is sent, and for a plan: may we write, do we feed what we read, and does
//! the stream deliver to S3 by itself?
//!
//! A replay is refused by the answers, a plan is not: what would refuse it stands among its warnings.

use super::delivery::{self, Question};
use super::door::Door;
use super::preflight;
use crate::config::{ArchiveAddress, Endpoint, OutputConfig, RunSettings, Target, Tuning};
use crate::error::Error;
use crate::plan::report::Warning;
use crate::record::{agree, many};
use crate::run::console;
use crate::stream::{Stream, StreamDescription};

/// How a replay is begun, or gone on with.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// Where from and where to.
    pub settings: &'a RunSettings,
    /// By which doors.
    pub tuning: &'a Tuning,
    /// Firehose, where it is not AWS' own.
    pub firehose: Option<&'a Endpoint>,
    /// It is not to be asked.
    pub allow_loop: bool,
    /// How the user is spoken to.
    pub output: &'a OutputConfig,
}

/// Refuses what the service would not let through, and what would feed its own archive.
pub async fn check(begun: &Begun<'_>) -> Result<(), Error> {
    let Begun { settings, tuning, firehose, allow_loop, output } = *begun;
    let Target::Kinesis { stream } = &settings.target else { return Ok(()) };
    let door = Door::open(stream, &tuning.kinesis).await?;
    if let Some(missing) = preflight::ask(&door).await {
        return Err(missing.refusal());
    }
    let described = door.stream.describe().await;
    let mut said: Vec<String> = Vec::new();
    let delivers = described.as_ref().ok().and_then(channels);
    said.extend(delivers.map(|delivers| format!("warning: {delivers}")));
    if !allow_loop {
        let question = Question { archive: &settings.archive, tuning, firehose };
        let found = delivery::ask(&door, described, &question).await?;
        said.extend(found.map(|found| found.or_refuse()).transpose()?);
    }
    for warning in said.iter().filter(|_| !output.quiet) {
        console::say(warning);
    }
    Ok(())
}

/// The same for a plan. What cannot be asked at all, the plan itself tells of.
pub async fn warnings(
    archive: &ArchiveAddress,
    target: Option<&Target>,
    tuning: &Tuning,
    firehose: Option<&Endpoint>,
) -> Vec<Warning> {
    let Some(Target::Kinesis { stream }) = target else { return Vec::new() };
    let Ok(door) = Door::open(stream, &tuning.kinesis).await else { return Vec::new() };
    let missing = preflight::ask(&door).await;
    let described = door.stream.describe().await;
    let delivers = described.as_ref().ok().and_then(channels);
    let found = delivery::ask(&door, described, &Question { archive, tuning, firehose }).await;
    let action = "replay into a stream of its own, as orders-backfill; or see that nobody takes what is delivered for new events";
    let warnings = [
        missing.map(|missing| missing.warning()),
        found.ok().flatten().map(|found| found.warning()),
        delivers.map(|message| Warning { code: "channels", message, action: action.to_owned() }),
    ];
    warnings.into_iter().flatten().collect()
}

/// Channels know no records that were there before.
fn channels(stream: &StreamDescription) -> Option<String> {
    (stream.channels > 0).then(|| {
        format!(
            "the stream {} has {} of its own, which {} to S3 once more what is replayed into it",
            stream.name,
            many(stream.channels, "channel"),
            agree(stream.channels, "delivers", "deliver")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::particulars;

    #[test]
    fn a_stream_that_delivers_by_itself_is_told_of_in_one_line() {
        let stream = particulars(1).description;
        assert_eq!(channels(&stream), None);
        let said = |channels| super::channels(&StreamDescription { channels, ..stream.clone() }).unwrap();
        assert!(said(1).contains("has 1 channel of its own, which delivers to S3 once more"), "{}", said(1));
        assert!(said(2).contains("2 channels") && said(2).contains("which deliver to"), "{}", said(2));
    }
}
