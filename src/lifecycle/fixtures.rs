//! Streams and runs as the tests of this folder need them.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;

use super::door::Door;
use super::runs::RunInto;
use super::shape;
use crate::config::{ArchiveAddress, Order, OutputConfig, RunSettings, Target, Tuning};
use crate::run::directory::{RUN_FILE_VERSION, RunFile, RunGlance, StreamIdentity};
use crate::run::journal::QUARANTINE_FILE;
use crate::sim::{ServeConfig, simulate};
use crate::stream::StreamDescription;
use crate::stream::control::StreamParticulars;
use crate::stream::kinesis::KinesisConfig;

/// The embedded stream's server, and the way to a stream in it that is not there yet.
pub(super) async fn simulated(stream: &str) -> (tokio::task::JoinHandle<()>, Door) {
    let config = ServeConfig::with_shards(NonZeroU32::MIN);
    let (address, server) = simulate(config, 0, std::future::pending()).await.unwrap();
    let config = KinesisConfig {
        endpoint_url: Some(format!("http://{address}")),
        ..KinesisConfig::new(stream.parse().unwrap())
    };
    (tokio::spawn(server), Door::unchecked(config))
}

/// Nothing but errors.
pub(super) fn silent() -> OutputConfig {
    OutputConfig {
        json: false,
        quiet: true,
        verbosity: 0,
        color: false,
        width: 80,
        progress_bar: false,
        can_ask: false,
    }
}

pub(super) fn particulars(shards: u32) -> StreamParticulars {
    StreamParticulars {
        description: StreamDescription {
            name: "orders-backfill".into(),
            arn: Some("arn:aws:kinesis:eu-west-1:123456789012:stream/orders-backfill".into()),
            account: Some("123456789012".into()),
            region: Some("eu-west-1".into()),
            status: "ACTIVE".into(),
            created_ms: 1_795_000_000_000,
            retention_hours: 24,
            record_bytes_max: 1 << 20,
            open_shards: shards,
            ignores_keys: false,
            on_demand: false,
            channels: 0,
            harmless: false,
        },
        encryption_key: None,
        consumers: 0,
        tags: BTreeMap::new(),
    }
}

pub(super) fn ours(shards: u32) -> StreamParticulars {
    let tags = shape::tags(&BTreeMap::new(), jiff::Timestamp::UNIX_EPOCH);
    StreamParticulars { tags, ..particulars(shards) }
}

/// A run into that stream whose report says `state`.
pub(super) fn run_into(id: &str, state: &str, delivered: u64) -> RunInto {
    let description = particulars(1).description;
    let settings = RunSettings {
        archive: ArchiveAddress::S3 { bucket: "events".into(), prefix: "live/".into() },
        target: Target::Kinesis { stream: "orders-backfill".parse().unwrap() },
        input: crate::config::Input::default(),
        limit: None,
        partition_key: Some("/order/id".parse().unwrap()),
        key_fallback: None,
        order: Order::Key,
        aggregate: false,
        seed: 7,
    };
    let file = RunFile {
        version: RUN_FILE_VERSION,
        started: "2026-11-26T12:00:00Z".parse().unwrap(),
        settings,
        tuning: Tuning::new("/cache".into()),
        stream: StreamIdentity {
            name: description.name,
            arn: description.arn,
            created_ms: description.created_ms,
        },
        route_version: 1,
        record_bytes_max: None,
        decoder_version: 1,
        spread_over: Vec::new(),
        manifest_digest: String::new(),
        allow_loop: false,
    };
    RunInto {
        glance: RunGlance {
            id: id.into(),
            path: "/nowhere".into(),
            file,
            owner: None,
            report: Some(serde_json::json!({ "state": state })),
        },
        delivered,
        set_aside: (0, 0),
        untaken: (0, 0),
        covers: Vec::new(),
        shards: BTreeMap::new(),
    }
}

/// A run into that stream that sends what the run `of` has set aside.
pub(super) fn retry_into(of: &str, id: &str, state: &str, delivered: u64) -> RunInto {
    let mut run = run_into(id, state, delivered);
    run.glance.file.settings.input.objects = Some(Path::new("/runs").join(of).join(QUARANTINE_FILE));
    run
}

/// The same run with records and objects in quarantine.
pub(super) fn with_aside(run: RunInto, set_aside: (u64, u64)) -> RunInto {
    RunInto { set_aside, ..run }
}
