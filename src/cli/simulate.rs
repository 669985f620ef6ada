//! `respool simulate`: the embedded stream behind a loopback port.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::whole::whole;
use crate::config::{OutputConfig, SIM_SHARDS_MAX, SimulateConfig, parse_duration};

const FAULTS_HELP: &str = "Let PutRecords fail, with chances in a thousand: seed=7,lose_answer=20,throttle_entry=50. \
    Per call: throttle_call, disconnect, server_error, expire, lose_answer, apply_late, stall, drip, miscount; per \
    record: throttle_entry, fail_entry, fail_stored_entry, garble_entry";

/// What was typed after `respool simulate`.
#[derive(Debug, Args)]
pub(super) struct SimulateArgs {
    /// Shards of the stream `demo`, which is there from the start
    #[arg(
        long,
        value_name = "N",
        env = "RESPOOL_SHARDS",
        default_value_t = 4,
        allow_negative_numbers = true
    )]
    #[arg(value_parser = whole::<u32>("a number of shards", 1..=SIM_SHARDS_MAX.into()))]
    shards: u32,
    /// Port on 127.0.0.1; 0 takes any free one. The first line on stdout is the URL
    #[arg(long, value_name = "P", env = "RESPOOL_PORT", default_value_t = 0, allow_negative_numbers = true)]
    #[arg(value_parser = whole::<u16>("a port", 0..=65_535))]
    port: u16,
    /// How long a stream is being made, changed or deleted, as in 3s; Kinesis takes 10 s to minutes
    #[arg(
        long,
        value_name = "TIME",
        env = "RESPOOL_TRANSITION",
        default_value = "0s",
        hide_default_value = true
    )]
    #[arg(value_parser = parse_duration)]
    transition: Duration,
    /// Enforce no limits, for tests of other things
    #[arg(long, env = "RESPOOL_UNLIMITED", value_parser = FalseyValueParser::new())]
    unlimited: bool,
    /// What goes wrong with `PutRecords`.
    #[arg(long, value_name = "PLAN", env = "RESPOOL_FAULTS", default_value = "", hide_default_value = true)]
    #[arg(help = FAULTS_HELP)]
    faults: String,
}

impl SimulateArgs {
    pub(super) fn resolve(self, output: OutputConfig) -> SimulateConfig {
        let Self { shards, port, transition, unlimited, faults } = self;
        SimulateConfig { shards, port, transition, unlimited, faults, output }
    }
}
