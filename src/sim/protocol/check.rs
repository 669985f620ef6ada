//! Input as Kinesis takes it: what must be there, how long, in which range.
//!
//! All findings of a request are gathered and reported in one `ValidationException`, in the service's
//! words. Parsing never panics; a body of the wrong shape is a `SerializationException`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use serde::Deserialize;

use super::super::service_error::{ACCOUNT, ServiceError};

/// The fields of every operation but the writing ones, each optional.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Input {
    pub stream_name: Option<String>,
    #[serde(rename = "StreamARN")]
    pub stream_arn: Option<String>,
    pub shard_count: Option<i64>,
    pub target_shard_count: Option<i64>,
    pub scaling_type: Option<String>,
    pub shard_to_split: Option<String>,
    pub new_starting_hash_key: Option<String>,
    pub shard_to_merge: Option<String>,
    pub adjacent_shard_to_merge: Option<String>,
    pub retention_period_hours: Option<i64>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    pub max_record_size_kib: Option<i64>,
    pub stream_mode_details: Option<ModeInput>,
    pub encryption_type: Option<String>,
    pub key_id: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub tag_keys: Option<Vec<String>>,
    pub limit: Option<i64>,
    pub max_results: Option<i64>,
    pub next_token: Option<String>,
    pub exclusive_start_stream_name: Option<String>,
    pub exclusive_start_shard_id: Option<String>,
    pub exclusive_start_tag_key: Option<String>,
    pub shard_filter: Option<FilterInput>,
    pub shard_id: Option<String>,
    pub shard_iterator_type: Option<String>,
    pub starting_sequence_number: Option<String>,
    pub timestamp: Option<f64>,
    pub shard_iterator: Option<String>,
    pub dry_run: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ModeInput {
    pub stream_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FilterInput {
    pub r#type: Option<String>,
    pub shard_id: Option<String>,
    pub timestamp: Option<f64>,
}

/// Reads a body; an empty one is an empty object.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ServiceError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| ServiceError::client("SerializationException", error.to_string()))
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Check {
    findings: Vec<String>,
}

impl Check {
    pub(super) fn finding(&mut self, value: impl Display, member: &str, constraint: impl Display) {
        self.findings.push(format!(
            "Value {value} at '{member}' failed to satisfy constraint: Member must {constraint}"
        ));
    }

    /// The value, or a finding and the default.
    pub(super) fn required<T: Default>(&mut self, value: Option<T>, member: &str) -> T {
        value.unwrap_or_else(|| {
            self.finding("null", member, "not be null");
            T::default()
        })
    }

    pub(super) fn range(&mut self, value: i64, member: &str, range: RangeInclusive<i64>) {
        if value < *range.start() {
            let constraint = format!("have value greater than or equal to {}", range.start());
            self.finding(format!("'{value}'"), member, constraint);
        } else if value > *range.end() {
            let constraint = format!("have value less than or equal to {}", range.end());
            self.finding(format!("'{value}'"), member, constraint);
        }
    }

    pub(super) fn one_of(&mut self, value: &str, member: &str, allowed: &[&str]) {
        if !allowed.contains(&value) {
            let constraint = format!("satisfy enum value set: [{}]", allowed.join(", "));
            self.finding(format!("'{value}'"), member, constraint);
        }
    }

    /// A partition key of 1 to 256 characters.
    pub(super) fn partition_key(&mut self, key: &str, member: impl FnOnce() -> String) {
        if key.is_empty() {
            self.finding("''", &member(), "have length greater than or equal to 1");
        } else if key.len() > 256 && key.chars().count() > 256 {
            self.finding(format!("'{key}'"), &member(), "have length less than or equal to 256");
        }
    }

    /// A decimal without leading zeros.
    pub(super) fn decimal(&mut self, text: &str, member: impl FnOnce() -> String, digits_max: usize) {
        let canonical = text == "0" || (!text.is_empty() && !text.starts_with('0'));
        if !canonical || text.len() > digits_max || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            let pattern = format!("satisfy regular expression pattern: 0|([1-9]\\d{{0,{}}})", digits_max - 1);
            self.finding(format!("'{text}'"), &member(), pattern);
        }
    }

    pub(super) fn name(&mut self, name: &str) {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if name.is_empty() {
            self.finding("''", "streamName", "have length greater than or equal to 1");
        } else if name.len() > 128 {
            self.finding(format!("'{name}'"), "streamName", "have length less than or equal to 128");
        }
        if !name.bytes().all(letter) {
            let pattern = "satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
            self.finding(format!("'{name}'"), "streamName", pattern);
        }
    }

    /// The stream's name, from itself or from its ARN.
    pub(super) fn stream(&mut self, name: Option<&str>, arn: Option<&str>) -> String {
        let from_arn = arn.map(|arn| {
            let fields: Vec<&str> = arn.splitn(6, ':').collect();
            match fields.as_slice() {
                ["arn", _, "kinesis", _, ACCOUNT, resource] => resource.strip_prefix("stream/"),
                _ => None,
            }
        });
        match (name, from_arn) {
            (_, Some(None)) => {
                let pattern = "satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+";
                self.finding(format!("'{}'", arn.unwrap_or_default()), "streamARN", pattern);
                String::new()
            }
            (Some(name), from_arn) => {
                self.name(name);
                if from_arn.flatten().is_some_and(|other| other != name) {
                    self.finding(format!("'{name}'"), "streamName", "name the same stream as streamARN");
                }
                name.to_owned()
            }
            (None, Some(Some(name))) => {
                self.name(name);
                name.to_owned()
            }
            (None, None) => self.required(None, "streamName"),
        }
    }

    /// Ends the check.
    pub(super) fn done(self) -> Result<(), ServiceError> {
        if self.findings.is_empty() { Ok(()) } else { Err(ServiceError::validation(&self.findings)) }
    }
}
