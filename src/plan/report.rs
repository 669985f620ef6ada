//! A plan as it is told: for a script as one JSON object, whose fields are an interface (`docs/plan.md`, a test
//! compares).
//!
//! Fields are added, never renamed; what is not known is `null`. Keys stand here by their hash only; their texts are
//! for the terminal.

use std::collections::BTreeMap;

use serde::Serialize;

use super::model::BindingLimit;
use super::price::Cost;
use crate::record::many;
use crate::run::key_fields::KeyField;
use crate::run::next::KEY_FAULTS;

/// A plan.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// The archive, as the user named it.
    pub archive: String,
    /// What is selected of it.
    pub window: String,
    /// The target, as the user named it; `null` if only numbers of shards are compared.
    pub target: Option<String>,
    /// Whether it is there; a stream that is not is to be made. `null` without a target.
    pub target_exists: Option<bool>,
    /// Where the archive is asked for, if that is not AWS' own endpoint.
    pub archive_endpoint: Option<String>,
    /// The same of the target.
    pub target_endpoint: Option<String>,
    /// Where keys are found; `null` as long as that is open.
    pub partition_key: Option<String>,
    /// What is kept in order.
    pub order: String,
    /// The part of each shard's limits that is taken.
    pub share: f64,
    /// Objects that are selected.
    pub objects: u64,
    /// Objects that are selected for the slack alone.
    pub objects_outside_window: u64,
    /// Objects that hold no events by their name.
    pub objects_skipped: u64,
    /// Their size as stored.
    pub bytes_stored: u64,
    /// The same decoded.
    pub bytes_decoded: u64,
    /// Records that would be sent.
    pub records: u64,
    /// That is right to this many, 19 times out of 20; `null` if it is not known.
    pub records_error: Option<u64>,
    /// Data and keys of the records that would be sent.
    pub bytes: u64,
    /// That is right to this many.
    pub bytes_error: Option<u64>,
    /// Records that the user's flags leave out.
    pub records_filtered: u64,
    /// Records that would be set aside, by reason.
    pub records_set_aside: BTreeMap<String, u64>,
    /// What was looked at.
    pub sample: SampleReport,
    /// Sizes of the sampled records.
    pub record_bytes: SizeReport,
    /// Keys of the sampled records.
    pub keys: KeyReport,
    /// The part of the sampled records that are the same, byte for byte, as another one.
    pub duplicates_share: f64,
    /// Fields that could be the key, where it is still open, the likeliest first.
    pub candidates: Vec<KeyField>,
    /// Records whose fields were looked at.
    pub candidates_records: u64,
    /// Whether they are all there are.
    pub candidates_whole: bool,
    /// How objects are stored, and how many of those that were looked at.
    pub decodings: BTreeMap<String, u64>,
    /// The archive over time.
    pub volume: Vec<VolumeBucket>,
    /// Times without objects, the longest first.
    pub gaps: Vec<GapReport>,
    /// What the plan is about: with so many shards …
    pub shards: u32,
    /// … the replay takes so long …
    pub seconds: f64,
    /// … because of this limit …
    pub binding_limit: Option<BindingLimit>,
    /// … and costs so much …
    pub cost_usd: f64,
    /// … for these.
    pub cost: Cost,
    /// How long the worker needs to read it all; `null` as long as its rate is not given.
    pub reading_seconds: Option<f64>,
    /// How long each limit alone would make it, the longest first.
    pub limits: Vec<LimitReport>,
    /// The same for several numbers of shards.
    pub by_shards: Vec<ShardsReport>,
    /// The same for a stream on demand that begins with what a new one takes; `null` if the target has shards.
    pub on_demand: OnDemandReport,
    /// What the deadline asks for; `null` if none was given.
    pub deadline: Option<DeadlineReport>,
    /// What the plan takes for granted.
    pub assumed: Assumed,
    /// What has cost others their records, or their night.
    pub warnings: Vec<Warning>,
    /// Where the saved plan lies.
    pub saved: Option<String>,
    /// What to type next.
    pub next_command: Option<String>,
    /// The texts of the most frequent keys, for the terminal only.
    #[serde(skip)]
    pub key_texts: BTreeMap<String, String>,
    /// The field that was meant, where no record has the key, as it seems; for the terminal only.
    #[serde(skip)]
    pub key_meant: Option<String>,
    /// The first record, where a key is still to be chosen; for the terminal only.
    #[serde(skip)]
    pub first_record: Option<String>,
}

impl Plan {
    /// Whether every record that was looked at is without the key.
    #[must_use]
    pub fn lacks_its_key(&self) -> bool {
        let of_key = |reason: &String| KEY_FAULTS.iter().any(|fault| fault.as_str() == reason);
        self.sets_all_aside() && self.records_set_aside.keys().all(of_key)
    }

    fn sets_all_aside(&self) -> bool {
        self.records == 0 && self.records_set_aside.values().any(|count| *count > 0)
    }

    /// Why nothing would be sent, if all of it would be set aside: a replay would end in the same way.
    #[must_use]
    pub fn in_vain(&self) -> Option<String> {
        if !self.sets_all_aside() {
            return None;
        }
        let all = many(self.records_set_aside.values().sum::<u64>(), "record");
        let of = if self.sample.whole { all } else { format!("about {all}") };
        let reasons: Vec<&str> = self.records_set_aside.keys().map(String::as_str).collect();
        let reasons = reasons.join(", ");
        let key = self.partition_key.as_ref().filter(|_| self.lacks_its_key());
        Some(match (key, &self.key_meant) {
            (Some(key), Some(meant)) => {
                format!("none of {of} has its key at {key} ({reasons}): is {meant} meant?")
            }
            (Some(key), None) => {
                format!("none of {of} has its key at {key} ({reasons}): is that where they have it?")
            }
            (None, _) => format!("of {of} every one would be set aside ({reasons})"),
        })
    }
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SampleReport {
    /// Objects.
    pub objects: u64,
    /// Of their bytes as stored.
    pub bytes: u64,
    /// As a part of the archive's.
    pub share: f64,
    /// Records that were asked where they would go.
    pub records: u64,
    /// Whether it is the whole archive, so that nothing is estimated.
    pub whole: bool,
    /// How long that took, listing included.
    pub seconds: f64,
    /// Objects that could not be read, by reason.
    pub unread: BTreeMap<String, u64>,
}

/// Sizes of records, data and key, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SizeReport {
    /// The mean.
    pub mean: f64,
    /// Half of the records are no larger.
    pub p50: u32,
    /// Nine of ten are no larger.
    pub p90: u32,
    /// 99 of 100 are no larger.
    pub p99: u32,
    /// The largest that was seen.
    pub max: u32,
    /// The part of the records up to each power of two.
    pub histogram: Vec<SizeBucket>,
}

/// Records of some size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct SizeBucket {
    /// Up to so many bytes, and more than half of it.
    pub up_to: u64,
    /// The part of the records.
    pub share: f64,
}

/// Keys.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KeyReport {
    /// Different keys in the sample.
    pub seen: u64,
    /// How many there are in the archive at least, estimated; `null` as long as the key is open.
    pub distinct: Option<u64>,
    /// The most frequent ones.
    pub top: Vec<TopKey>,
}

/// A frequent key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TopKey {
    /// A hash that tells it apart from the others of this plan, in hexadecimal digits: its key is drawn for each plan.
    pub hash: String,
    /// The part of the records that it has.
    pub share: f64,
}

/// Objects of some time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VolumeBucket {
    /// From when on.
    pub from: String,
    /// How long.
    pub seconds: u64,
    /// How many objects are named after it.
    pub objects: u64,
    /// Their size as stored.
    pub bytes_stored: u64,
}

/// A time without objects.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GapReport {
    /// The last object before it.
    pub from: String,
    /// The first behind it.
    pub until: String,
    /// How long.
    pub seconds: u64,
}

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimitReport {
    /// Which.
    pub limit: BindingLimit,
    /// How long the replay would take if there were no other.
    pub seconds: f64,
}

/// A number of shards.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShardsReport {
    /// How many.
    pub shards: u32,
    /// How long the replay takes.
    pub seconds: f64,
    /// Why no less.
    pub binding_limit: BindingLimit,
    /// What it costs.
    pub cost_usd: f64,
    /// What the fullest shard gets, as a multiple of an equal part.
    pub hottest_shard: f64,
    /// The same with records packed into entries, as `--aggregate` does.
    pub aggregated: AggregatedReport,
}

/// A number of shards, with aggregation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AggregatedReport {
    /// How long the replay takes.
    pub seconds: f64,
    /// Why no less.
    pub binding_limit: BindingLimit,
    /// What it costs.
    pub cost_usd: f64,
}

/// A stream on demand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct OnDemandReport {
    /// How long the replay takes into a new one.
    pub seconds: f64,
    /// What it costs, one worker's reading included.
    pub cost_usd: f64,
}

/// What a deadline asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeadlineReport {
    /// How long there is.
    pub seconds: f64,
    /// How many shards it takes; `null` if no number will do.
    pub shards: Option<u32>,
    /// What is in the way then.
    pub binding_limit: Option<BindingLimit>,
    /// How long it takes with as many shards as help.
    pub best_seconds: f64,
}

/// What a plan takes for granted.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Assumed {
    /// From a request to its answer.
    pub round_trip_ms: f64,
    /// Where that comes from: `given`, `embedded`, `assumed`.
    pub round_trip_from: String,
    /// Processors that decode and send.
    pub cores: u32,
    /// How long the stream keeps records, in hours.
    pub retention_hours: f64,
    /// The day of the prices.
    pub prices_date: String,
    /// Their region.
    pub prices_region: String,
}

/// Something to know before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Its name, for scripts.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub action: String,
}

impl Plan {
    /// One JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl BindingLimit {
    /// What limits, in a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Records => "records/s",
            Self::Bytes => "bytes/s",
            Self::HotKey => "a hot key",
            Self::HotShard => "a hot shard",
            Self::RoundTrip => "round trips",
            Self::MaxRate => "--max-rate",
            Self::Fetch => "the archive",
            Self::Cpu => "the CPU",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field, as `docs/plan.md` names it: `a.b`, `list[].c`.
    fn paths(prefix: &str, value: &serde_json::Value, into: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(fields) if !fields.is_empty() => {
                for (name, value) in fields {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    paths(&format!("{prefix}{dot}{name}"), value, into);
                }
            }
            serde_json::Value::Array(items) if items.first().is_some_and(serde_json::Value::is_object) => {
                items.iter().take(1).for_each(|item| paths(&format!("{prefix}[]"), item, into));
            }
            _ => into.push(prefix.to_owned()),
        }
    }

    #[test]
    fn every_field_is_documented() {
        let (limit, text) = (BindingLimit::HotKey, String::new);
        let aggregated = AggregatedReport { seconds: 1.0, binding_limit: limit, cost_usd: 1.0 };
        let plan = Plan {
            record_bytes: SizeReport {
                histogram: vec![SizeBucket { up_to: 1, share: 1.0 }],
                ..SizeReport::default()
            },
            keys: KeyReport { top: vec![TopKey { hash: text(), share: 1.0 }], ..KeyReport::default() },
            candidates: vec![KeyField { pointer: text(), present: 1.0, distinct: 1, hottest: 1.0 }],
            volume: vec![VolumeBucket { from: text(), seconds: 1, objects: 1, bytes_stored: 1 }],
            gaps: vec![GapReport { from: text(), until: text(), seconds: 1 }],
            limits: vec![LimitReport { limit, seconds: 1.0 }],
            by_shards: vec![ShardsReport {
                shards: 1,
                seconds: 1.0,
                binding_limit: limit,
                cost_usd: 1.0,
                hottest_shard: 1.0,
                aggregated,
            }],
            deadline: Some(DeadlineReport {
                seconds: 1.0,
                shards: None,
                binding_limit: None,
                best_seconds: 1.0,
            }),
            warnings: vec![Warning { code: "loop", message: text(), action: text() }],
            key_texts: BTreeMap::from([("k".to_owned(), "alice".to_owned())]),
            ..Plan::default()
        };
        let json = plan.to_json();
        assert!(!json.contains("alice"), "keys are told by their hash only");
        let mut found = Vec::new();
        paths("", &serde_json::from_str(&json).unwrap(), &mut found);
        let docs = include_str!("../../docs/plan.md");
        let missing: Vec<_> = found.iter().filter(|path| !docs.contains(&format!("`{path}`"))).collect();
        assert!(missing.is_empty(), "docs/plan.md lacks {missing:#?}");
    }
}
