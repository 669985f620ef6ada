//! What a replay would be, before the first record: where from, where to, how much, how long.
//!
//! The objects' sizes are known from the listing; how many records they hold is known of those that are
//! spooled already, at least of one, and guessed for the rest.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::open::{self, OpenStream};
use super::report::{duration, number};
use super::spool::Spool;
use crate::archive::{Manifest, ObjectEntry};
use crate::config::{ArchiveAddress, AwsAccess, Order, RunSettings, Target, Tuning};
use crate::record::{ByteCount, agree, many};
use crate::stream::StreamDescription;

/// A round trip within a region, with what Kinesis takes to store: the estimate for keys that go one by one.
const ROUND_TRIP_SECONDS: f64 = 0.020;
/// What a record has in an aggregate beside its data: some lengths, and its part of the keys.
const AGGREGATED_BYTES: f64 = 20.0;
/// Nobody minds the order in a shorter run.
const LONG_SECONDS: f64 = 60.0;

/// The forecast of a replay. Estimates are `null` where nothing could be decoded yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Forecast {
    /// The archive, as the user named it.
    pub archive: String,
    /// The window of time.
    pub window: String,
    /// Objects that are selected.
    pub objects: u64,
    /// Their size as stored, in bytes.
    pub bytes_stored: u64,
    /// Objects that lie before the window and are selected for the slack alone.
    pub objects_outside_window: u64,
    /// The target, as the user named it.
    pub target: String,
    /// The account that owns the stream.
    pub account: Option<String>,
    /// Where the stream lives.
    pub region: Option<String>,
    /// Where it is asked for, if not at AWS' own endpoint.
    pub target_endpoint: Option<String>,
    /// The same of the archive.
    pub archive_endpoint: Option<String>,
    /// Its open shards.
    pub shards: u32,
    /// How long it keeps records.
    pub retention_hours: u32,
    /// Records, estimated.
    pub records: Option<u64>,
    /// Decoded bytes, estimated.
    pub bytes: Option<u64>,
    /// Whether records and bytes are counted, because every object was decoded, and not estimated.
    pub is_exact: bool,
    /// How long it takes if every shard gets its share, estimated.
    pub seconds: Option<f64>,
    /// The part of the sampled records that the most frequent key has.
    pub hottest_key_share: Option<f64>,
    /// What the user should know before saying yes.
    pub warnings: Vec<String>,
}

impl Forecast {
    /// Looks at what is known.
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    pub fn new(
        settings: &RunSettings,
        tuning: &Tuning,
        target: &OpenStream,
        spool: &Spool,
        hottest: Option<f64>,
    ) -> Self {
        let (manifest, description) = (spool.manifest(), &target.description);
        let (all_records, all_bytes) = (spool.estimate.records(), spool.estimate.bytes());
        let records = all_records.map(|records| records.min(settings.limit.unwrap_or(u64::MAX)));
        let part = records.zip(all_records).map(|(some, all)| some as f64 / (all as f64).max(1.0));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate, at least 0"
        )]
        let bytes = all_bytes.zip(part).map(|(bytes, part)| (bytes as f64 * part) as u64);
        let (shard_rate, run_rate) = open::rates(Some(&settings.target), tuning);
        let shards = target.map.shards().len() as f64;
        let rate = |shard: f64, run: f64| (shard * shards).min(run);
        let seconds = records.zip(bytes).map(|(records, bytes)| {
            let by_records = records as f64 / rate(shard_rate.records, run_rate.records);
            let by_bytes = |bytes: f64| bytes / rate(shard_rate.bytes, run_rate.bytes);
            if settings.aggregate {
                // Only a bound of the whole run counts the records inside.
                let by_run = records as f64 / run_rate.records;
                return by_bytes(bytes as f64 + records as f64 * AGGREGATED_BYTES).max(by_run);
            }
            by_records.max(by_bytes(bytes as f64))
        });
        let by_order = records.zip(hottest).map(|(records, part)| records as f64 * part * ROUND_TRIP_SECONDS);
        let by_order = by_order.filter(|_| settings.order == Order::Key && !settings.aggregate);
        let mut warnings = warnings(seconds.into_iter().chain(by_order).reduce(f64::max), description);
        warnings.extend(archived_warning(manifest));
        warnings.extend(order_warning(by_order, seconds, hottest));
        let seconds = seconds.into_iter().chain(by_order).reduce(f64::max);
        Self {
            archive: settings.archive.to_string(),
            window: what(settings),
            objects: manifest.objects.len() as u64,
            bytes_stored: manifest.bytes().0,
            objects_outside_window: manifest.before_window() as u64,
            target: settings.target.to_string(),
            account: description.account.clone(),
            region: description.region.clone(),
            target_endpoint: endpoint(matches!(settings.target, Target::Kinesis { .. }), &tuning.kinesis),
            archive_endpoint: endpoint(matches!(settings.archive, ArchiveAddress::S3 { .. }), &tuning.s3),
            shards: description.open_shards,
            retention_hours: description.retention_hours,
            records,
            bytes,
            is_exact: spool.estimate.is_exact(),
            seconds,
            hottest_key_share: hottest,
            warnings,
        }
    }

    /// One JSON object.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }

    /// For a person.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut row = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<10} {value}");
        };
        let at =
            |endpoint: &Option<String>| endpoint.as_ref().map_or_else(String::new, |at| format!(", at {at}"));
        row("from", format!("{}, {}{}", self.archive, self.window, at(&self.archive_endpoint)));
        let slack = match self.objects_outside_window {
            0 => String::new(),
            count => format!("; {} of them before the window, for the slack", number(count)),
        };
        row("objects", format!("{} ({} stored{slack})", number(self.objects), ByteCount(self.bytes_stored)));
        if let (Some(records), Some(bytes)) = (self.records, self.bytes) {
            let about = if self.is_exact { "" } else { "about " };
            row("records", format!("{about}{} ({})", number(records), ByteCount(bytes)));
        }
        let mut place = self.target.clone();
        if let Some(account) = &self.account {
            let _ = write!(place, ", account {account}");
        }
        if let Some(region) = &self.region {
            let _ = write!(place, ", {region}");
        }
        row("into", place + &at(&self.target_endpoint));
        let (shards, hours) = (number(self.shards.into()), number(self.retention_hours.into()));
        let keep = agree(self.shards, "which keeps records", "which keep records");
        row("shards", format!("{shards}, {keep} for {hours} h"));
        if let Some(seconds) = self.seconds {
            row("time", format!("about {}", duration(seconds)));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {warning}");
        }
        text
    }
}

/// The endpoint that is asked, if any is.
fn endpoint(is_asked: bool, access: &AwsAccess) -> Option<String> {
    access.endpoint_url.as_ref().filter(|_| is_asked).map(|endpoint| endpoint.as_str().to_owned())
}

/// What of the archive is meant: window, patterns and limit.
pub fn what(settings: &RunSettings) -> String {
    let selection = &settings.input.selection;
    match settings.limit {
        None => selection.to_string(),
        Some(limit) => format!("{selection}, no more than {}", many(limit, "record")),
    }
}

/// Objects that S3 will not hand out as they are.
fn archived_warning(manifest: &Manifest) -> Option<String> {
    let put_away =
        |object: &&ObjectEntry| matches!(object.storage_class.as_deref(), Some("GLACIER" | "DEEP_ARCHIVE"));
    let (mut count, mut bytes) = (0, 0);
    for object in manifest.objects.iter().filter(put_away) {
        (count, bytes) = (count + 1, bytes + object.size.0);
    }
    (count > 0).then(|| {
        format!(
            "{objects} ({}) {lie} in Glacier: unless restored {they} to quarantine. --restore has {them} restored, \
             --skip-archived leaves {them} out",
            ByteCount(bytes),
            objects = many(count, "object"),
            lie = agree(count, "lies", "lie"),
            they = agree(count, "it goes", "they go"),
            them = agree(count, "it", "them")
        )
    })
}

/// A key that goes on longer than the shards need for everything.
fn order_warning(by_order: Option<f64>, by_rate: Option<f64>, hottest: Option<f64>) -> Option<String> {
    let (by_order, by_rate, part) = (by_order?, by_rate?, hottest?);
    (by_order > by_rate && by_order > LONG_SECONDS).then(|| {
        format!(
            "one key has {:.1} % of the records; in strict order it goes one record a round trip, some {} where the shards \
             need {}. --order relaxed sends it at full speed (a record that is throttled may be passed); a finer \
             --partition-key spreads it",
            part * 100.0,
            duration(by_order),
            duration(by_rate)
        )
    })
}

/// What has cost others their records.
fn warnings(seconds: Option<f64>, stream: &StreamDescription) -> Vec<String> {
    let mut warnings = Vec::new();
    let retention = Duration::from_hours(u64::from(stream.retention_hours));
    if seconds.is_some_and(|seconds| seconds > retention.as_secs_f64() / 2.0) {
        warnings.push(format!(
            "the replay takes more than half of the stream's retention of {} h: what is not read in time is lost",
            stream.retention_hours
        ));
    }
    if stream.ignores_keys {
        warnings.push("the stream distributes records itself: no key keeps its order".to_owned());
    }
    if stream.on_demand {
        warnings.push(
            "the stream is on demand: it throttles at first, and grows while it is written to".to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hot_key_is_warned_of_with_the_alternatives() {
        let warning = order_warning(Some(7_200.0), Some(600.0), Some(0.372)).unwrap();
        for words in ["37.2 %", "2 h 00 min", "10 min", "--order relaxed", "--partition-key"] {
            assert!(warning.contains(words), "{warning}");
        }
        assert_eq!(order_warning(Some(7_200.0), Some(8_000.0), Some(0.3)), None);
        assert_eq!(order_warning(Some(30.0), Some(1.0), Some(1.0)), None);
        assert_eq!(order_warning(None, Some(1.0), Some(1.0)), None);
    }

    #[test]
    fn a_replay_of_more_than_half_the_retention_is_warned_of() {
        let stream = StreamDescription {
            name: "orders".into(),
            arn: None,
            account: None,
            region: None,
            status: "ACTIVE".into(),
            created_ms: 0,
            retention_hours: 24,
            record_bytes_max: 1 << 20,
            open_shards: 1,
            ignores_keys: false,
            on_demand: false,
            channels: 0,
            harmless: false,
        };
        let hours = |hours: f64| Some(hours * 3_600.0);
        assert!(warnings(hours(11.9), &stream).is_empty());
        assert!(warnings(hours(12.1), &stream)[0].contains("retention of 24 h"));
        assert!(warnings(None, &stream).is_empty());
        let strange = StreamDescription { ignores_keys: true, on_demand: true, ..stream };
        assert_eq!(warnings(None, &strange).len(), 2);
    }
}
