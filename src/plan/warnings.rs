//! What has cost others their records, told before anything is sent: each with a name, a sentence, and what to do.
//!
//! Pure: it judges figures.

use jiff::{SignedDuration, Timestamp};

use super::model::BindingLimit;
use super::report::{Plan, Warning};
use super::retention;
use crate::archive::ObjectEntry;
use crate::config::{Order, Planned};
use crate::limits::{RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX};
use crate::record::{ByteCount, agree, many};
use crate::run::loops::loop_sign;
use crate::run::report::{duration, number};
use crate::stream::StreamDescription;

/// Nobody minds the order in a shorter run.
const LONG_SECONDS: f64 = 60.0;
/// Records that are set aside, or the same as others, are worth a word from this part on.
const PART_MIN: f64 = 0.01;
/// Strict order wants more keys than this for each shard.
const KEYS_PER_SHARD: f64 = 8.0;
/// What helps records without a key, and those that the stream, or no stream, takes.
const KEYS: &str = "check --partition-key, or give such records a key with --key-fallback hash";
const LARGER: &str = "for those too_large: a new stream takes larger ones (--create --record-size 10MiB)";
const TOO_LARGE: &str =
    "those too_large have more than 10 MiB, which no stream takes: what wrote them has to cut them";
/// What a new stream on demand takes. Source: Kinesis quotas page, read 2026-11-22.
const ON_DEMAND_BYTES: f64 = 4e6;

/// What warnings are drawn from, beside the plan itself.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is planned.
    pub what: &'a Planned,
    /// The objects.
    pub objects: &'a [ObjectEntry],
    /// The stream, if there is one.
    pub stream: Option<&'a StreamDescription>,
    /// How long the live stream keeps records, if that is known.
    pub live_retention_seconds: Option<f64>,
    /// Since when the worker has not read it.
    pub away_since: Timestamp,
    /// What time it is.
    pub now: Timestamp,
}

/// All that apply to `plan`.
pub fn warnings(plan: &Plan, facts: &Facts<'_>) -> Vec<Warning> {
    let all = [
        feeds_itself(facts),
        live_retention(plan, facts),
        retention(plan),
        on_demand(plan, facts),
        archived(facts),
        hot_key(plan, facts),
        hot_shard(plan),
        few_keys(plan, facts),
        set_aside(plan, facts),
        unread(plan),
        large(plan, facts),
        same(plan),
    ];
    all.into_iter().flatten().collect()
}

fn warning(code: &'static str, message: String, action: impl Into<String>) -> Warning {
    Warning { code, message, action: action.into() }
}

fn feeds_itself(facts: &Facts<'_>) -> Option<Warning> {
    let sign = loop_sign(facts.what.target.as_ref()?, facts.objects)?;
    let action =
        "replay into a stream of its own, as orders-backfill; if nothing archives this one, say --allow-loop";
    Some(warning("loop", sign, action))
}

fn live_retention(plan: &Plan, facts: &Facts<'_>) -> Option<Warning> {
    let kept = facts.live_retention_seconds?;
    let away = facts.now.duration_since(facts.away_since).as_secs_f64();
    let back = away + plan.seconds.max(plan.reading_seconds.unwrap_or(0.0));
    if back < kept * retention::PART {
        return None;
    }
    if away >= kept {
        let message = format!(
            "the live stream has forgotten already what came in the first {} of the {} for which the worker has been away: it \
             keeps records for {}, and goes on forgetting",
            duration(away - kept),
            duration(away),
            duration(kept)
        );
        let action = "raise the live stream's retention now for what is still there, and replay from the archive what it has \
                      forgotten, too";
        return Some(warning("live_retention", message, action));
    }
    let left = kept * retention::PART - away;
    let until = SignedDuration::try_from_secs_f64(left).ok().filter(SignedDuration::is_positive);
    let until = until.and_then(|left| facts.now.checked_add(left).ok());
    let message = format!(
        "the worker is away from the live stream for {} in all, which keeps its records for {}: what it does not read in \
         time is lost",
        duration(back),
        duration(kept)
    );
    let faster = faster(plan).map_or_else(String::new, |way| format!(", or {way}"));
    let action = if let Some(until) = until {
        let until = until.strftime("%Y-%m-%d %H:%M UTC");
        format!("raise the live stream's retention first{faster}: the worker has to be back by {until}")
    } else {
        let left = duration(kept - away);
        let best = if back < kept {
            format!("at best the worker is back {} before", duration(kept - back))
        } else {
            "nothing else is in time".to_owned()
        };
        format!("raise the live stream's retention now: it begins to forget in {left}, and {best}")
    };
    Some(warning("live_retention", message, action))
}

/// What would bring the worker back sooner, if that is in the user's hands.
fn faster(plan: &Plan) -> Option<&'static str> {
    use BindingLimit::{Bytes, HotKey, HotShard, MaxRate, Records, RoundTrip};
    if plan.reading_seconds.is_some_and(|reading| reading > plan.seconds) {
        return Some("let more workers read it");
    }
    match plan.binding_limit? {
        Records | Bytes | RoundTrip => Some("take more shards"),
        MaxRate => Some("raise --max-rate"),
        HotKey | HotShard => Some("spread the keys (a finer --partition-key, or --order none)"),
        BindingLimit::Fetch | BindingLimit::Cpu => None,
    }
}

/// Hours that a stream has to keep records for this plan.
#[must_use]
pub fn retention_wanted(plan: &Plan) -> u32 {
    retention::hours_wanted(plan.assumed.retention_hours, plan.seconds, plan.reading_seconds)
}

fn retention(plan: &Plan) -> Option<Warning> {
    let kept = plan.assumed.retention_hours * 3_600.0;
    let hours = retention_wanted(plan);
    if let Some(reading) = plan.reading_seconds {
        return (plan.seconds + reading > kept * retention::PART).then(|| {
            let message = format!(
                "the replay takes {} and the worker {} to read it: a stream that keeps records for {} forgets the first ones \
                 before a worker that begins late has read them",
                duration(plan.seconds),
                duration(reading),
                duration(kept)
            );
            let action = format!(
                "raise the stream's retention to {hours} hours: what is written and not yet read is lost when that is over"
            );
            warning("retention", message, action)
        });
    }
    (plan.seconds > kept * retention::PART_UNKNOWN).then(|| {
        let message = format!(
            "the replay takes {}, more than half of the {} for which the stream keeps records: a worker that lags loses some",
            duration(plan.seconds),
            duration(kept)
        );
        let action = format!(
            "raise the stream's retention to {hours} hours, and say what the worker reads (--worker-rate)"
        );
        warning("retention", message, action)
    })
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn on_demand(plan: &Plan, facts: &Facts<'_>) -> Option<Warning> {
    let stream = facts.stream.filter(|stream| stream.on_demand)?;
    let message = format!(
        "{} is on demand: it begins with what it took before ({} a second if it is new), and takes twice as much every \
         quarter of an hour at most; until then it throttles",
        stream.name,
        ByteCount(4_000_000)
    );
    let ready = plan.bytes as f64 / ON_DEMAND_BYTES < plan.seconds;
    let action = if ready {
        "nothing: what a new one takes is enough"
    } else {
        "switch it to provisioned for the replay, or warm it up; nothing is lost either way"
    };
    Some(warning("on_demand", message, action))
}

fn archived(facts: &Facts<'_>) -> Option<Warning> {
    // Of Intelligent-Tiering only a look at an object tells; those that were met stand among the unread.
    let put_away =
        |object: &&ObjectEntry| matches!(object.storage_class.as_deref(), Some("GLACIER" | "DEEP_ARCHIVE"));
    let (mut count, mut bytes) = (0, 0);
    for object in facts.objects.iter().filter(put_away) {
        (count, bytes) = (count + 1, bytes + object.size.0);
    }
    (count > 0 && facts.what.input.restore.is_none()).then(|| {
        let message = format!(
            "{} ({}) in Glacier cannot be read as {}, and {} not looked at",
            many(count, "object"),
            ByteCount(bytes),
            agree(count, "it is", "they are"),
            agree(count, "was", "were")
        );
        warning(
            "archived",
            message,
            "--restore standard has them brought back, --skip-archived leaves them out",
        )
    })
}

fn hot_key(plan: &Plan, facts: &Facts<'_>) -> Option<Warning> {
    let found = plan.limits.iter().find(|limit| limit.limit == BindingLimit::HotKey)?;
    let others = plan.limits.iter().filter(|limit| limit.limit != BindingLimit::HotKey);
    let next = others.map(|limit| limit.seconds).fold(0.0, f64::max);
    let binds = plan.binding_limit == Some(BindingLimit::HotKey) && plan.seconds > LONG_SECONDS;
    (binds && facts.what.order == Order::Key).then(|| {
        let top = plan.keys.top.first().map_or(0.0, |key| key.share);
        let message = format!(
            "keys in strict order go one record a round trip each; the most frequent has {:.1} % of the records: {} where \
             {} would do",
            top * 100.0,
            duration(found.seconds),
            duration(next)
        );
        let action = "--order relaxed sends it at full speed (a record that is throttled may be passed); a finer \
                      --partition-key spreads it; aggregation packs a key's records into one entry";
        warning("hot_key", message, action)
    })
}

fn hot_shard(plan: &Plan) -> Option<Warning> {
    (plan.binding_limit == Some(BindingLimit::HotShard) && plan.seconds > LONG_SECONDS).then(|| {
        let chosen = plan.by_shards.iter().find(|one| one.shards == plan.shards);
        let message = format!(
            "one shard gets {:.1} times an equal part of the records, and all the others wait for it",
            chosen.map_or(1.0, |one| one.hottest_shard)
        );
        warning("hot_shard", message, "a finer --partition-key spreads the records; more shards help little")
    })
}

#[expect(clippy::cast_precision_loss, reason = "a number of keys")]
fn few_keys(plan: &Plan, facts: &Facts<'_>) -> Option<Warning> {
    let keys = plan.keys.distinct?;
    let few = (keys as f64) < f64::from(plan.shards) * KEYS_PER_SHARD && plan.shards > 1;
    (few && facts.what.order != Order::None).then(|| {
        let message = format!(
            "there are only about {} for {}: some shards get little or nothing, and strict order waits for each key",
            many(keys, "key"),
            many(plan.shards, "shard")
        );
        warning("few_keys", message, "take fewer shards, or a field with more values as --partition-key")
    })
}

#[expect(clippy::cast_precision_loss, reason = "parts")]
fn set_aside(plan: &Plan, facts: &Facts<'_>) -> Option<Warning> {
    let aside: u64 = plan.records_set_aside.values().sum();
    let all = (aside + plan.records + plan.records_filtered) as f64;
    let part = aside as f64 / all.max(1.0);
    (part > PART_MIN).then(|| {
        let reasons: Vec<_> = plan.records_set_aside.keys().map(String::as_str).collect();
        let has = |is: bool| reasons.iter().any(|reason| (*reason == "too_large") == is);
        let takes_most = facts.stream.is_none_or(|stream| stream.record_bytes_max >= RECORD_BYTES_MAX);
        let larger = if takes_most { TOO_LARGE } else { LARGER };
        let ways: Vec<&str> =
            [has(false).then_some(KEYS), has(true).then_some(larger)].into_iter().flatten().collect();
        let message = format!(
            "{:.1} % of the records would be set aside ({}) and not sent",
            part * 100.0,
            reasons.join(", ")
        );
        warning("set_aside", message, ways.join("; "))
    })
}

fn large(plan: &Plan, facts: &Facts<'_>) -> Option<Warning> {
    let usual = ByteCount(RECORD_BYTES_DEFAULT as u64);
    let largest = ByteCount(plan.record_bytes.max.into());
    (largest > usual && facts.stream.is_none()).then(|| {
        let message = format!(
            "the largest record has {largest}, and a stream takes {usual} unless it is made for more"
        );
        let action =
            "let this plan make the stream (--save, then --create), or say --record-size where it is made";
        warning("large_records", message, action)
    })
}

fn unread(plan: &Plan) -> Option<Warning> {
    let count: u64 = plan.sample.unread.values().sum();
    (count > 0).then(|| {
        let reasons: Vec<_> = plan.sample.unread.keys().map(String::as_str).collect();
        let message = format!(
            "{} of {} cannot be read: {}",
            number(count),
            many(count + plan.sample.objects, "sampled object"),
            reasons.join(", ")
        );
        let action = "respool inspect shows what they are; a --framing or --salvage may help; what stays broken goes to quarantine";
        warning("unread", message, action)
    })
}

fn same(plan: &Plan) -> Option<Warning> {
    (plan.duplicates_share > PART_MIN).then(|| {
        let message = format!(
            "{:.1} % of the sampled records are the same, byte for byte, as another one",
            plan.duplicates_share * 100.0
        );
        warning(
            "duplicates",
            message,
            "they are all sent: the worker has to cope with duplicates as with live events",
        )
    })
}

#[cfg(test)]
mod tests;
