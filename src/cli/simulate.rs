//! `respool simulate`: the embedded stream behind a loopback port.

use clap::Args;
use clap::builder::FalseyValueParser;

use crate::config::{OutputConfig, SIM_SHARDS_MAX, SimulateConfig};

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
    #[arg(value_parser = clap::value_parser!(u32).range(1..=i64::from(SIM_SHARDS_MAX)))]
    shards: u32,
    /// Port on 127.0.0.1; 0 takes any free one. The first line on stdout is the URL
    #[arg(long, value_name = "P", env = "RESPOOL_PORT", default_value_t = 0, allow_negative_numbers = true)]
    port: u16,
    /// Enforce no limits, for tests of other things
    #[arg(long, env = "RESPOOL_UNLIMITED", value_parser = FalseyValueParser::new())]
    unlimited: bool,
}

impl SimulateArgs {
    pub(super) fn resolve(&self, output: OutputConfig) -> SimulateConfig {
        SimulateConfig { shards: self.shards, port: self.port, unlimited: self.unlimited, output }
    }
}
