//! What was seen, as the plan tells it: counts, sizes, keys, time.
//!
//! Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};

use super::figures::Figures;
use super::report::{Assumed, KeyReport, Plan, SampleReport, SizeBucket, SizeReport, TopKey};
use super::{keys, timeline};
use crate::config::{ArchiveAddress, AwsAccess, Target};
use crate::record::HashKey;
use crate::route::fields::Fields;
use crate::run::key_fields::key_fields;
use crate::run::next::meant;
use crate::shown::shown;

/// Shortest hash that tells keys apart for people.
const HASH_DIGITS: usize = 12;
/// Characters of the first record that are shown.
const RECORD_CHARS_MAX: usize = 400;
/// Characters of a reason why an object could not be read.
const REASON_CHARS_MAX: usize = 80;

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate, at least 0: `as` saturates"
)]
fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

impl Figures<'_> {
    /// What does not depend on shards.
    pub(super) fn describe(&self) -> Plan {
        let (config, manifest) = (&self.ground.config, &self.ground.manifest);
        let work = self.work();
        let sent = self.total(|object| object.sent);
        let sent_bytes = self.total(|object| object.sent_bytes);
        let mut aside: BTreeMap<String, u64> = BTreeMap::new();
        for reason in self.readings.objects.iter().flat_map(|object| object.set_aside.keys()) {
            let count = self.total(|object| object.set_aside.get(reason).copied().unwrap_or(0.0)).value;
            aside.insert((*reason).to_owned(), whole(count * self.part));
        }
        let mut decodings: BTreeMap<String, u64> = BTreeMap::new();
        for object in &self.readings.objects {
            *decodings.entry(object.decoding.clone()).or_default() += 1;
        }
        let error = |of: Option<f64>| of.map(|error| whole(error * self.part));
        let (round_trip, round_trip_from) = self.round_trip();
        let (keys, key_texts) = self.keys();
        let mut fields = Fields::default();
        self.readings.objects.iter().for_each(|object| fields.join(object.fields.clone()));
        let endpoint = |access: &AwsAccess| access.endpoint_url.as_ref().map(ToString::to_string);
        let in_s3 = matches!(config.what.archive, ArchiveAddress::S3 { .. });
        let in_kinesis = matches!(config.what.target, Some(Target::Kinesis { .. }));
        let objects_read = self.readings.objects.len() as u64;
        let mut plan = Plan {
            archive: config.what.archive.to_string(),
            window: config.what.input.selection.to_string(),
            target: config.what.target.as_ref().map(ToString::to_string),
            archive_endpoint: endpoint(&config.tuning.s3).filter(|_| in_s3),
            target_exists: config.what.target.as_ref().map(|_| self.ground.target.is_some()),
            target_endpoint: endpoint(&config.tuning.kinesis).filter(|_| in_kinesis),
            partition_key: config.what.partition_key.as_ref().map(ToString::to_string),
            order: config.what.order.as_str().to_owned(),
            share: config.tuning.share.get(),
            objects: manifest.objects.len() as u64,
            objects_outside_window: manifest.before_window() as u64,
            objects_skipped: manifest.skipped,
            bytes_stored: manifest.bytes().0,
            bytes_decoded: whole(self.total(|object| object.decoded).value),
            records: whole(work.records),
            records_error: error(sent.error),
            bytes: whole(work.bytes),
            bytes_error: error(sent_bytes.error),
            records_filtered: whole(self.total(|object| object.filtered).value),
            records_set_aside: aside,
            sample: self.sample_report(objects_read),
            record_bytes: self.sizes(),
            keys,
            duplicates_share: self.duplicates(),
            candidates: key_fields(&fields),
            candidates_records: fields.records(),
            candidates_whole: self.whole && fields.records() == self.sample.len() as u64,
            decodings,
            volume: timeline::volume(&manifest.objects),
            gaps: timeline::gaps(&manifest.objects),
            assumed: Assumed {
                round_trip_ms: round_trip * 1_000.0,
                round_trip_from: round_trip_from.to_owned(),
                cores: super::figures::cores(),
                retention_hours: self.retention_hours(),
                prices_date: self.ground.prices.date.clone(),
                prices_region: self.ground.prices.region.clone(),
            },
            key_texts,
            first_record: self.first_record(),
            ..Plan::default()
        };
        match plan.partition_key.as_ref().filter(|_| plan.lacks_its_key()) {
            Some(key) => {
                let pointers = plan.candidates.iter().map(|field| field.pointer.clone());
                plan.key_meant = meant(key, pointers);
            }
            // Who has a key needs no other.
            None if plan.partition_key.is_some() => {
                (plan.candidates, plan.candidates_records) = (Vec::new(), 0);
                (plan.candidates_whole, plan.first_record) = (false, None);
            }
            None => {}
        }
        plan
    }

    #[expect(clippy::cast_precision_loss, reason = "parts")]
    fn sample_report(&self, objects: u64) -> SampleReport {
        let read: f64 = self.readings.objects.iter().map(|object| object.read).sum();
        let mut unread: BTreeMap<String, u64> = BTreeMap::new();
        for object in &self.readings.unread {
            let reason: String = object.reason.chars().take(REASON_CHARS_MAX).collect();
            *unread.entry(reason).or_default() += 1;
        }
        SampleReport {
            objects,
            bytes: whole(read),
            share: read / (self.ground.manifest.bytes().0 as f64).max(1.0),
            records: self.sample.len() as u64,
            whole: self.whole,
            seconds: self.ground.seconds,
            unread,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "parts")]
    fn sizes(&self) -> SizeReport {
        let mut costs: Vec<u32> = self.sample.iter().map(|record| record.cost).collect();
        costs.sort_unstable();
        let count = costs.len();
        let quantile = |per_mille: usize| {
            let place = (count * per_mille).div_ceil(1_000).saturating_sub(1);
            costs.get(place).copied().unwrap_or(0)
        };
        let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
        for cost in &costs {
            *buckets.entry(u64::from((*cost).max(1)).next_power_of_two()).or_default() += 1;
        }
        let share = |records: u64| records as f64 / count.max(1) as f64;
        // No bucket is left out between two others.
        let first = buckets.keys().next().copied().unwrap_or(1);
        let last = buckets.keys().next_back().copied().unwrap_or(0);
        let all =
            std::iter::successors(Some(first), |size| size.checked_mul(2)).take_while(|size| *size <= last);
        let bucket = |up_to| SizeBucket { up_to, share: share(buckets.get(&up_to).copied().unwrap_or(0)) };
        SizeReport {
            mean: costs.iter().map(|cost| f64::from(*cost)).sum::<f64>() / count.max(1) as f64,
            p50: quantile(500),
            p90: quantile(900),
            p99: quantile(990),
            max: costs.last().copied().unwrap_or(0),
            histogram: all.map(bucket).collect(),
        }
    }

    fn keys(&self) -> (KeyReport, BTreeMap<String, String>) {
        if self.ground.config.what.partition_key.is_none() {
            return (KeyReport::default(), BTreeMap::new());
        }
        let found = keys::count(&self.sample, self.work().records, self.whole);
        // A plan may be passed on: from the stream's own hash, which is MD5, a key could be guessed.
        let secret = RandomState::new();
        let texts: HashMap<HashKey, &String> = self
            .readings
            .objects
            .iter()
            .flat_map(|object| &object.keys)
            .map(|(hash, text)| (*hash, text))
            .collect();
        let mut key_texts = BTreeMap::new();
        let mut top = Vec::with_capacity(found.top.len());
        for (hash, share) in found.top {
            let name: String =
                format!("{:016x}", secret.hash_one(hash.0)).chars().take(HASH_DIGITS).collect();
            if let Some(text) = texts.get(&hash) {
                key_texts.insert(name.clone(), shown(text).to_string());
            }
            top.push(TopKey { hash: name, share });
        }
        (KeyReport { seen: found.seen, distinct: Some(whole(found.distinct)), top }, key_texts)
    }

    /// Records that are not the first with their bytes.
    #[expect(clippy::cast_precision_loss, reason = "parts")]
    fn duplicates(&self) -> f64 {
        let mut prints: Vec<u64> =
            self.readings.objects.iter().flat_map(|object| object.prints.iter().copied()).collect();
        let all = prints.len();
        prints.sort_unstable();
        prints.dedup();
        (all - prints.len()) as f64 / all.max(1) as f64
    }

    fn first_record(&self) -> Option<String> {
        let first = self.readings.objects.iter().find_map(|object| object.first.as_ref())?;
        let text: String = String::from_utf8_lossy(first).chars().take(RECORD_CHARS_MAX).collect();
        Some(shown(&text).to_string())
    }
}
