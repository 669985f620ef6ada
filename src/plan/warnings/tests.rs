//! What warnings must hold.

use super::*;
use crate::config::{ArchiveAddress, Input};
use crate::limits::{RECORD_BYTES_DEFAULT, RECORD_BYTES_MAX};
use crate::plan::report::{Assumed, LimitReport, TopKey};
use crate::stream::Stream as _;
use crate::stream::null::NullStream;

const HOUR: f64 = 3_600.0;

fn planned(target: &str) -> Planned {
    Planned {
        archive: "s3://events/live/".parse::<ArchiveAddress>().unwrap(),
        target: Some(target.parse().unwrap()),
        input: Input::default(),
        limit: None,
        partition_key: None,
        key_fallback: None,
        order: Order::Key,
        aggregate: false,
    }
}

fn object(key: &str) -> ObjectEntry {
    ObjectEntry::of(key, 10)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn facts<'a>(what: &'a Planned, objects: &'a [ObjectEntry]) -> Facts<'a> {
    let now = at("2026-11-22T12:00:00Z");
    Facts { what, objects, stream: None, live_retention_seconds: None, away_since: now, now }
}

fn plan(seconds: f64) -> Plan {
    Plan {
        records: 1_000_000,
        bytes: 1_000_000_000,
        seconds,
        shards: 4,
        assumed: Assumed { retention_hours: 24.0, ..Assumed::default() },
        ..Plan::default()
    }
}

fn codes(plan: &Plan, facts: &Facts<'_>) -> Vec<&'static str> {
    warnings(plan, facts).iter().map(|warning| warning.code).collect()
}

#[test]
fn a_plan_without_trouble_has_no_warnings() {
    let what = planned("orders-backfill");
    let objects = [object("live/2026/11/02/06/orders-1-2026-11-02-06-00-00-uuid.gz")];
    assert_eq!(codes(&plan(HOUR), &facts(&what, &objects)), [""; 0]);
}

#[test]
fn a_stream_that_feeds_the_archive_is_warned_of() {
    let firehose = [object("live/2026/11/02/06/orders-1-2026-11-02-06-00-00-uuid.gz")];
    let what = planned("orders");
    assert_eq!(codes(&plan(HOUR), &facts(&what, &firehose)), ["loop"]);
}

#[test]
fn a_stream_that_forgets_before_the_worker_has_read_is_warned_of() {
    let what = planned("orders-backfill");
    let facts = facts(&what, &[]);
    assert!(codes(&plan(11.0 * HOUR), &facts).is_empty());
    assert_eq!(codes(&plan(13.0 * HOUR), &facts), ["retention"]);
    let read_in = |hours: f64, seconds| Plan { reading_seconds: Some(hours * HOUR), ..plan(seconds) };
    let found = warnings(&read_in(28.0, HOUR), &facts);
    assert_eq!(found[0].code, "retention");
    assert!(found[0].action.contains("37 hours"), "{}", found[0].action);
    assert!(codes(&read_in(1.0, 13.0 * HOUR), &facts).is_empty());
    // However fast the worker is: it may begin when the first records are forgotten already.
    assert_eq!(codes(&read_in(0.1, 33.9 * HOUR), &facts), ["retention"]);
    assert_eq!(codes(&read_in(12.0, 12.0 * HOUR), &facts), ["retention"]);
}

#[test]
fn a_worker_that_is_away_for_too_long_is_told_until_when_it_has_to_be_back() {
    let what = planned("orders-backfill");
    let objects = [];
    let live = Facts {
        live_retention_seconds: Some(24.0 * HOUR),
        away_since: at("2026-11-22T02:00:00Z"),
        ..facts(&what, &objects)
    };
    assert!(codes(&plan(9.0 * HOUR), &live).is_empty());
    let found = warnings(&plan(10.0 * HOUR), &live);
    assert_eq!(found[0].code, "live_retention");
    assert!(found[0].action.contains("by 2026-11-22 21:12 UTC"), "{}", found[0].action);
}

#[test]
fn a_live_stream_that_has_forgotten_or_is_about_to_gets_no_date_in_the_past() {
    let what = planned("orders-backfill");
    let away_for = |since: &str| {
        let live =
            Facts { live_retention_seconds: Some(24.0 * HOUR), away_since: at(since), ..facts(&what, &[]) };
        let found = warnings(&plan(HOUR), &live);
        format!("{}; {}", found[0].message, found[0].action)
    };
    let told = away_for("2026-11-21T06:00:00Z");
    assert!(
        told.contains("has forgotten already what came in the first 6 h 00 min of the 1 d 06 h"),
        "{told}"
    );
    assert!(told.contains("retention now") && !told.contains(" by 2026"), "{told}");
    let told = away_for("2026-11-21T14:00:00Z");
    assert!(told.contains("it begins to forget in 2 h 00 min") && !told.contains(" by 2026"), "{told}");
    assert!(told.contains("at best the worker is back 1 h 00 min before"), "{told}");
}

#[test]
fn hot_keys_few_keys_and_records_without_one_are_named_with_what_helps() {
    let what = planned("orders-backfill");
    let facts = facts(&what, &[]);
    let hot = |limit, seconds| LimitReport { limit, seconds };
    let mut hot_key = Plan {
        limits: vec![hot(BindingLimit::HotKey, 7_200.0), hot(BindingLimit::Records, 600.0)],
        binding_limit: Some(BindingLimit::HotKey),
        ..plan(7_200.0)
    };
    hot_key.keys.top = vec![TopKey { hash: String::new(), share: 0.372 }];
    let found = warnings(&hot_key, &facts);
    assert_eq!(found[0].code, "hot_key");
    assert!(
        found[0].message.contains("37.2 %") && found[0].message.contains("10 min"),
        "{}",
        found[0].message
    );
    let mut few = plan(HOUR);
    few.keys.distinct = Some(12);
    assert_eq!(codes(&few, &facts), ["few_keys"]);
    let aside = Plan { records_set_aside: [("missing".to_owned(), 50_000)].into(), ..plan(HOUR) };
    let found = warnings(&aside, &facts);
    assert!(found[0].message.contains("4.8 %") && found[0].message.contains("missing"), "{found:?}");
    let same = Plan { duplicates_share: 0.2, ..plan(HOUR) };
    assert_eq!(codes(&same, &facts), ["duplicates"]);
    let mut broken = plan(HOUR);
    broken.sample.unread = [("truncated".to_owned(), 2)].into();
    assert_eq!(codes(&broken, &facts), ["unread"]);
}

#[test]
fn what_lies_in_glacier_is_counted() {
    let what = planned("orders-backfill");
    let put_away = ObjectEntry { storage_class: Some("DEEP_ARCHIVE".into()), ..object("x") };
    let objects = [put_away, object("y")];
    let found = warnings(&plan(HOUR), &facts(&what, &objects));
    assert_eq!(found[0].code, "archived");
    assert!(found[0].message.starts_with("1 object (10 B)"), "{}", found[0].message);
}

#[test]
fn who_is_late_is_told_what_would_be_faster() {
    let what = planned("orders-backfill");
    let live = Facts {
        live_retention_seconds: Some(24.0 * HOUR),
        away_since: at("2026-11-22T02:00:00Z"),
        ..facts(&what, &[])
    };
    let limited = |limit| Plan { binding_limit: Some(limit), ..plan(12.0 * HOUR) };
    let slow_worker = Plan { reading_seconds: Some(13.0 * HOUR), ..limited(BindingLimit::Records) };
    for (plan, way) in [
        (limited(BindingLimit::Records), "take more shards"),
        (limited(BindingLimit::HotKey), "spread the keys"),
        (limited(BindingLimit::MaxRate), "raise --max-rate"),
        (slow_worker, "let more workers read it"),
    ] {
        let found =
            warnings(&plan, &live).into_iter().find(|warning| warning.code == "live_retention").unwrap();
        assert!(found.action.contains(&format!(", or {way}")), "{}", found.action);
    }
    let found = warnings(&limited(BindingLimit::Fetch), &live);
    assert!(found[0].action.starts_with("raise the live stream's retention first: "), "{}", found[0].action);
}

#[tokio::test]
async fn records_that_the_stream_does_not_take_are_not_looked_for_among_keys() {
    let what = planned("orders-backfill");
    let described = NullStream::default().describe().await.unwrap();
    let usual = StreamDescription { record_bytes_max: RECORD_BYTES_DEFAULT, ..described };
    let aside = |stream, reasons: &[&str]| {
        let counted = reasons.iter().map(|reason| ((*reason).to_owned(), 50_000)).collect();
        let plan = Plan { records_set_aside: counted, ..plan(HOUR) };
        warnings(&plan, &Facts { stream, ..facts(&what, &[]) }).remove(0).action
    };
    assert!(!aside(Some(&usual), &["missing"]).contains("record-size"));
    let large = aside(Some(&usual), &["too_large"]);
    assert!(large.contains("--record-size 10MiB") && !large.contains("--partition-key"), "{large}");
    let both = aside(Some(&usual), &["missing", "too_large"]);
    assert!(both.contains("--record-size 10MiB") && both.contains("--partition-key"), "{both}");
    // What a new stream would not take either has to be cut.
    let largest = StreamDescription { record_bytes_max: RECORD_BYTES_MAX, ..usual.clone() };
    for stream in [None, Some(&largest)] {
        let larger = aside(stream, &["too_large"]);
        assert!(larger.contains("no stream takes") && !larger.contains("--create"), "{larger}");
    }
}
