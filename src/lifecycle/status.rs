//! `respool stream status`: what a stream is, whose it is, and who writes into it.

use std::fmt::Write as _;

use serde_json::json;

use super::door::Door;
use super::runs::{RunsInto, identity, runs_into};
use super::shape::{CREATED_AT, CREATED_BY, is_ours, record_size};
use crate::config::{Endpoint, OutputConfig};
use crate::error::Error;
use crate::limits::{SHARD_BYTES_PER_SECOND, SHARD_RECORDS_PER_SECOND};
use crate::record::{ByteCount, agree, many};
use crate::run::console;
use crate::run::report::number;
use crate::shown::shown;
use crate::stream::control::StreamParticulars;

/// Looks at the stream behind `door` and tells.
pub async fn status(door: &Door, output: &OutputConfig) -> Result<(), Error> {
    let found = door.must_look().await?;
    let runs = runs_into(&door.state, &identity(&found.description))?;
    let at = door.access.endpoint_url.as_ref().map(Endpoint::as_str);
    console::print(&if output.json { to_json(&found, at, &runs) } else { render(&found, at, &runs) })
}

fn to_json(
    found: &StreamParticulars,
    endpoint: Option<&str>,
    RunsInto { runs, unread }: &RunsInto,
) -> String {
    let stream = &found.description;
    let unread: Vec<_> = unread.iter().map(|run| json!({ "run": run.id, "why": run.why })).collect();
    let runs: Vec<_> = runs
        .iter()
        .map(|run| {
            json!({
                "run": run.glance.id,
                "state": run.state(),
                "records_delivered": run.delivered,
                "drained": run.delivered > 0 && run.is_drained(),
                "seen_drained_by": run.seen_drained().map(|seen| seen.by),
            })
        })
        .collect();
    let told = json!({
        "stream": stream.name,
        "arn": stream.arn,
        "account": stream.account,
        "region": stream.region,
        "endpoint": endpoint,
        "status": stream.status,
        "created": jiff::Timestamp::from_millisecond(stream.created_ms).ok(),
        "mode": mode(found),
        "shards": stream.open_shards,
        "retention_hours": stream.retention_hours,
        "record_bytes_max": stream.record_bytes_max,
        "encryption_key": found.encryption_key,
        "ignores_keys": stream.ignores_keys,
        "consumers": found.consumers,
        "channels": stream.channels,
        "created_by_respool": is_ours(found),
        "tags": found.tags,
        "runs": runs,
        "unread_runs": unread,
    });
    format!("{told:#}\n")
}

fn mode(found: &StreamParticulars) -> &'static str {
    if found.description.on_demand { "on_demand" } else { "provisioned" }
}

fn render(found: &StreamParticulars, endpoint: Option<&str>, RunsInto { runs, unread }: &RunsInto) -> String {
    let stream = &found.description;
    let mut text = String::new();
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<11} {value}");
    };
    let place = [
        stream.account.as_ref().map(|account| format!("account {account}")),
        stream.region.clone(),
        endpoint.map(|endpoint| format!("at {endpoint}")),
    ];
    let place = place.into_iter().flatten().collect::<Vec<_>>().join(", ");
    row("stream", format!("{} ({place})", stream.name));
    row("status", stream.status.clone());
    let (shards, open) = (u64::from(stream.open_shards), number(stream.open_shards.into()));
    if stream.on_demand {
        row("shards", format!("{open} open, on demand: the service scales them"));
    } else {
        let take = agree(shards, "takes", "take");
        let records = many(shards * u64::from(SHARD_RECORDS_PER_SECOND), "record");
        let bytes = ByteCount(shards * u64::from(SHARD_BYTES_PER_SECOND));
        row("shards", format!("{open} open, which {take} {records} and {bytes} a second"));
    }
    row("retention", format!("{} h", number(stream.retention_hours.into())));
    row("records", format!("up to {} each", record_size(stream.record_bytes_max as u64 / 1_024)));
    row("encryption", found.encryption_key.clone().unwrap_or_else(|| "none".into()));
    if stream.ignores_keys {
        row("keys", "ignored: the stream distributes records itself".into());
    }
    row(
        "readers",
        format!("{}, {}", many(found.consumers, "registered consumer"), many(stream.channels, "channel")),
    );
    row(
        "made by",
        match (found.tags.get(CREATED_BY), found.tags.get(CREATED_AT)) {
            (Some(by), at) => format!("{by}, {}", at.map_or("", String::as_str)),
            (None, _) => "not respool: it will never delete it".into(),
        },
    );
    let own = found.tags.iter().filter(|(key, _)| *key != CREATED_BY && *key != CREATED_AT);
    for (key, value) in own {
        row("tag", format!("{}={}", shown(key), shown(value)));
    }
    for run in runs {
        let read = match (run.is_drained(), run.seen_drained()) {
            _ if run.delivered == 0 => "",
            (true, _) => ", drained",
            (false, Some(_)) => ", perhaps drained (an estimate)",
            (false, None) => ", not seen drained",
        };
        let records = many(run.delivered, "record");
        row("run", format!("{} {}, {records}{read}", run.glance.id, run.state().word()));
    }
    for run in unread {
        row("run", format!("{} cannot be read: {}", run.id, run.why));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::fixtures::{ours, run_into};

    #[test]
    fn a_run_that_has_delivered_nothing_is_not_called_drained() {
        let runs = vec![run_into("r1", "incomplete", 0), run_into("r2", "done", 7)];
        let runs = RunsInto { runs, unread: Vec::new() };
        let text = render(&ours(1), None, &runs);
        assert!(text.contains(" r1 incomplete, 0 records\n"), "{text}");
        assert!(text.contains(" r2 done, 7 records, not seen drained\n"), "{text}");
        let told: serde_json::Value = serde_json::from_str(&to_json(&ours(1), None, &runs)).unwrap();
        assert_eq!(
            (&told["runs"][0]["drained"], &told["runs"][1]["drained"]),
            (&json!(false), &json!(false))
        );
    }
}
