//! Do we feed what we read? A delivery stream of Firehose that takes the target stream as its source and writes below the
//! archive's prefix would archive every replayed record again, and the next replay would send it twice.
//!
//! Firehose is asked within bounds of time and number. Where it cannot be told, the replay goes on, and says so: what may not
//! be asked comes with the statement that allows it, what did not answer with the advice to try again.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::door::Door;
use crate::config::{ArchiveAddress, Endpoint, Tuning};
use crate::error::Error;
use crate::plan::report::Warning;
use crate::run::at_hand::{self, Service};
use crate::run::permission::{
    DESCRIBE, DESCRIBE_DELIVERY, LIST_DELIVERIES, allow, full_name, in_one_line, resource,
};
use crate::shown::shown;
use crate::stream::kinesis::{NeighbourClient, is_forbidden};
use crate::stream::neighbour::{Neighbour, NeighbourConfig, NeighbourError, text};
use crate::stream::{CallError, CallErrorClass, StreamDescription};

/// The whole look takes no longer.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Delivery streams that are looked at; Firehose answers some five a second.
const LOOKED_AT_MAX: usize = 100;
const PAGES_MAX: usize = 100;

/// A delivery stream that closes the loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loop {
    /// Its name.
    pub delivery_stream: String,
    /// Where it writes, as `s3://BUCKET/PREFIX`.
    pub into: String,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Where the records come from.
    pub archive: &'a ArchiveAddress,
    /// By which doors.
    pub tuning: &'a Tuning,
    /// Firehose, where it is not AWS' own.
    pub firehose: Option<&'a Endpoint>,
}

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// The replay would feed its own archive.
    Loop(String),
    /// It is not known whether it would.
    Unknown(Unknown),
}

/// Why it is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    what: String,
    /// What allows to ask.
    statement: Option<Value>,
}

/// Why it is not known whether there is a loop.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Doubt {
    /// What went wrong.
    message: String,
    /// The action that is not allowed, and on what.
    missing: Option<(&'static str, String)>,
    /// Whether it is about Firehose, which a server on this machine often does not have.
    of_firehose: bool,
}

impl Finding {
    /// Refuses a replay that would feed its own archive; else what is to be said of it.
    pub fn or_refuse(&self) -> Result<String, Error> {
        match self {
            Self::Loop(what) => Err(Error::refused(format!(
                "{what}. Replay into another stream (--create makes one), or say --allow-loop"
            ))),
            Self::Unknown(unknown) => Ok(unknown.sentence()),
        }
    }

    /// What it means for a plan.
    pub fn warning(&self) -> Warning {
        match self {
            Self::Loop(what) => {
                let action = "replay into another stream (--create makes one), or say --allow-loop";
                Warning { code: "loop", message: what.clone(), action: action.to_owned() }
            }
            Self::Unknown(unknown) => unknown.warning(),
        }
    }
}

impl Unknown {
    fn sentence(&self) -> String {
        let next = match &self.statement {
            Some(statement) => {
                format!(" This statement in a policy of yours allows it:\n{statement:#}\n")
            }
            None => "; to be sure, stop here and try again. ".to_owned(),
        };
        let end = if self.statement.is_some() { "." } else { "" };
        format!("warning: {}{end}{next}--allow-loop does not ask", self.what)
    }

    fn warning(&self) -> Warning {
        let action = match &self.statement {
            Some(statement) => format!(
                "put this statement into a policy of yours, {} and plan again; a replay asks, too, unless it is told --allow-loop",
                in_one_line(statement)
            ),
            None => "plan again, to be sure; a replay asks, too, unless it is told --allow-loop".to_owned(),
        };
        Warning { code: "loop_unknown", message: self.what.clone(), action }
    }
}

/// Whether a replay into the stream behind `door`, which was `described`, would feed its own archive.
pub async fn ask(
    door: &Door,
    described: Result<StreamDescription, CallError>,
    question: &Question<'_>,
) -> Result<Option<Finding>, Error> {
    let Question { archive, tuning, .. } = question;
    let ArchiveAddress::S3 { bucket, prefix } = archive else { return Ok(None) };
    let of_firehose = Service::Neighbour(Neighbour::Firehose);
    let firehose = match question.firehose {
        Some(endpoint) => Some(endpoint.clone()),
        None => at_hand::endpoint(of_firehose, tuning.kinesis.profile.as_deref()).await?,
    };
    let firehose = firehose.as_ref();
    let at = firehose.map(|endpoint| format!(" (Firehose at {endpoint})")).unwrap_or_default();
    let at_aws = tuning.kinesis.endpoint_url.is_none() && tuning.s3.endpoint_url.is_none();
    if !(at_aws || firehose.is_some()) {
        return Ok(None);
    }
    let stream = &door.name;
    let doubt = match timeout(TIME_MAX, look(door, described, firehose, (bucket, prefix))).await {
        Ok(Ok(None)) => return Ok(None),
        Ok(Ok(Some(found))) => {
            return Ok(Some(Finding::Loop(format!(
                "the delivery stream {} writes what arrives in {stream} to {}, into the very archive that is read{at}: everything that is \
                 replayed would be archived again",
                found.delivery_stream, found.into
            ))));
        }
        Ok(Err(doubt)) => doubt,
        Err(_) => Doubt::about_firehose(format!("it takes longer than {} s", TIME_MAX.as_secs())),
    };
    let nobody_there = firehose.is_some_and(Endpoint::is_loopback);
    let expected = nobody_there && doubt.of_firehose && doubt.missing.is_none();
    let unknown = doubt.unknown(&stream.to_string(), &at);
    if expected {
        tracing::debug!("{}", unknown.what);
        return Ok(None);
    }
    Ok(Some(Finding::Unknown(unknown)))
}

impl Doubt {
    fn about_firehose(message: impl Into<String>) -> Self {
        Self { message: message.into(), missing: None, of_firehose: true }
    }

    /// What a call for `action` on `resource` failed by.
    fn of_call(action: &'static str, resource: &str, error: &NeighbourError) -> Self {
        let missing = is_forbidden(error.code.as_deref()).then(|| (action, resource.to_owned()));
        Self { missing, ..Self::about_firehose(error.to_string()) }
    }

    fn unknown(self, stream: &str, at: &str) -> Unknown {
        let asked = if self.missing.is_some() { "it may not be asked" } else { "it could not be asked" };
        Unknown {
            what: format!(
                "whether a delivery stream takes {stream} back into the archive is not known{at}: {}: {asked}",
                self.message
            ),
            statement: self.missing.map(|(action, resource)| allow(&[action], &resource)),
        }
    }
}

async fn look(
    door: &Door,
    described: Result<StreamDescription, CallError>,
    firehose: Option<&Endpoint>,
    archive: (&str, &str),
) -> Result<Option<Loop>, Doubt> {
    let stream = match described {
        Ok(stream) => stream,
        // A stream that is not there is told of by the replay itself.
        Err(error) if error.class == CallErrorClass::NotFound => return Ok(None),
        Err(error) => {
            let denied = error.class == CallErrorClass::Forbidden;
            let missing = denied.then(|| (DESCRIBE, resource(&door.name, Some(door.stream.region()), None)));
            return Err(Doubt { message: error.message, missing, of_firehose: false });
        }
    };
    let Some(arn) = stream.arn else {
        let message = "the server does not tell the stream's ARN".to_owned();
        return Err(Doubt { message, missing: None, of_firehose: false });
    };
    let firehose = NeighbourConfig {
        region: Some(door.stream.region().to_owned()),
        profile: door.profile.clone(),
        endpoint_url: firehose.map(|endpoint| endpoint.as_str().to_owned()),
    };
    let firehose = NeighbourClient::connect(Neighbour::Firehose, &firehose).await;
    let firehose = firehose.map_err(|error| Doubt::about_firehose(error.message))?;
    let names = names(&firehose).await?;
    let mut doubt = None;
    for name in names.iter().take(LOOKED_AT_MAX) {
        let body = json!({ "DeliveryStreamName": name });
        match firehose.call("DescribeDeliveryStream", &body).await {
            Ok(answer) => {
                let found = answer.get("DeliveryStreamDescription");
                if let Some(found) = found.and_then(|found| loop_of(found, &arn, archive)) {
                    return Ok(Some(found));
                }
            }
            // It was deleted since.
            Err(error) if error.error.class == CallErrorClass::NotFound => {}
            // Another one may close the loop all the same.
            Err(error) => {
                let resource = full_name("firehose", Some(firehose.region()), "deliverystream/*");
                doubt = doubt.or(Some(Doubt::of_call(DESCRIBE_DELIVERY, &resource, &error)));
            }
        }
    }
    if names.len() > LOOKED_AT_MAX {
        return Err(Doubt::about_firehose(format!(
            "there are {} delivery streams, of which {LOOKED_AT_MAX} were looked at",
            names.len()
        )));
    }
    doubt.map_or(Ok(None), Err)
}

/// The delivery streams that read a Kinesis stream.
async fn names(firehose: &NeighbourClient) -> Result<Vec<String>, Doubt> {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..PAGES_MAX {
        let mut body = json!({ "DeliveryStreamType": "KinesisStreamAsSource", "Limit": 1_000 });
        if let (Some(last), Some(body)) = (names.last(), body.as_object_mut()) {
            body.insert("ExclusiveStartDeliveryStreamName".to_owned(), last.clone().into());
        }
        let answer = firehose.call("ListDeliveryStreams", &body).await;
        let answer = answer.map_err(|error| Doubt::of_call(LIST_DELIVERIES, "*", &error))?;
        let page = answer.get("DeliveryStreamNames").and_then(Value::as_array).map(Vec::as_slice);
        let before = names.len();
        names.extend(page.unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned));
        let more = answer.get("HasMoreDeliveryStreams").and_then(Value::as_bool) == Some(true);
        if !more {
            return Ok(names);
        }
        if names.len() == before {
            break;
        }
    }
    Err(Doubt::about_firehose("the list of delivery streams does not come to an end"))
}

/// The loop that a described delivery stream closes, if its source is `stream` and some destination lies where the
/// archive does.
#[must_use]
pub fn loop_of(described: &Value, stream: &str, archive: (&str, &str)) -> Option<Loop> {
    let source = described.get("Source")?.get("KinesisStreamSourceDescription")?;
    if text(source, "KinesisStreamARN") != Some(stream) {
        return None;
    }
    let into = destination(described.get("Destinations")?, archive)?;
    Some(Loop {
        delivery_stream: shown(text(described, "DeliveryStreamName").unwrap_or("?")).to_string(),
        into: shown(&into).to_string(),
    })
}

/// The first bucket and prefix at any depth that objects of the archive can lie in: backups count as well.
fn destination(value: &Value, archive: (&str, &str)) -> Option<String> {
    match value {
        Value::Array(values) => values.iter().find_map(|value| destination(value, archive)),
        Value::Object(fields) => {
            let own = text(value, "BucketARN").and_then(|bucket| {
                let bucket = bucket.rsplit(':').next().unwrap_or_default();
                let prefix = fields.get("Prefix").and_then(Value::as_str).unwrap_or_default();
                overlaps((bucket, prefix), archive).then(|| format!("s3://{bucket}/{prefix}"))
            });
            own.or_else(|| fields.values().find_map(|value| destination(value, archive)))
        }
        _ => None,
    }
}

/// Whether an object can lie below both; of a prefix with expressions what stands before the first is known.
fn overlaps((bucket, prefix): (&str, &str), (archive_bucket, archive_prefix): (&str, &str)) -> bool {
    let known = prefix.split("!{").next().unwrap_or_default();
    bucket == archive_bucket && (known.starts_with(archive_prefix) || archive_prefix.starts_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders";

    fn described(source: &str, bucket: &str, prefix: &str) -> Value {
        json!({
            "DeliveryStreamName": "archiver",
            "Source": { "KinesisStreamSourceDescription": { "KinesisStreamARN": source } },
            "Destinations": [{
                "DestinationId": "1",
                "ExtendedS3DestinationDescription": { "BucketARN": format!("arn:aws:s3:::{bucket}"), "Prefix": prefix },
            }],
        })
    }

    #[test]
    fn a_delivery_stream_from_the_target_into_the_archive_is_a_loop() {
        for (source, bucket, prefix, archive, is_loop) in [
            (ARN, "events", "live/", "live/", true),
            (ARN, "events", "", "live/2026/", true),
            (ARN, "events", "live/", "", true),
            (ARN, "events", "live/!{timestamp:yyyy}/", "live/2026/11/", true),
            (ARN, "events", "!{timestamp:yyyy}/", "live/", true),
            (ARN, "events", "other/", "live/", false),
            (ARN, "elsewhere", "live/", "live/", false),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/orders-live", "events", "live/", "live/", false),
        ] {
            let found = loop_of(&described(source, bucket, prefix), ARN, ("events", archive));
            assert_eq!(found.is_some(), is_loop, "{source} {bucket} {prefix} {archive}");
        }
    }

    #[test]
    fn a_backup_into_the_archive_is_one_too_and_a_stream_without_a_source_is_none() {
        let mut with_backup = described(ARN, "warehouse", "x/");
        with_backup["Destinations"][0]["RedshiftDestinationDescription"] = json!({
            "S3BackupDescription": { "BucketARN": "arn:aws:s3:::events", "Prefix": "live/" }
        });
        let found = loop_of(&with_backup, ARN, ("events", "live/")).unwrap();
        assert_eq!((found.delivery_stream.as_str(), found.into.as_str()), ("archiver", "s3://events/live/"));
        let mut direct = described(ARN, "events", "live/");
        direct["Source"] = Value::Null;
        assert_eq!(loop_of(&direct, ARN, ("events", "live/")), None);
    }
}
