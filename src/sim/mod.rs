//! One world that we control: a model of Kinesis, and two ways to reach it.
//!
//! [`model`] is the service itself as a pure value: streams of shards that split and merge, limits under
//! three burst rules, sequence numbers, iterators. Every operation takes the time as an argument, and
//! nothing rolls dice or iterates a randomly seeded map, so one history gives one result. Around it stand
//!
//! - [`embedded`]: the target `sim:SHARDS`, in this process, on tokio's clock;
//! - [`server`]: the same behind a loopback port, in Kinesis' own protocol ([`protocol`]), so that
//!   foreign clients take it for the real thing.
//!
//! Nothing outside this folder depends on it except the commands that start it, and `lifecycle`, which
//! reads sequence numbers as [`sequence`] does.

mod drip;
pub mod embedded;
pub mod fault;
pub mod faulty;
pub mod limit;
pub mod model;
pub mod protocol;
#[cfg(test)]
mod pure;
pub mod sequence;
pub mod server;
pub mod service_error;
pub mod shard;
pub mod world;

use std::time::Duration;

pub use embedded::{EmbeddedConfig, EmbeddedStream};
pub use fault::FaultPlan;
pub use limit::BurstRule;
pub use model::{Retention, Service, ServiceConfig};
pub use server::{ServeConfig, serve, simulate};
pub use service_error::ServiceError;

/// A moment in a simulated world, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SimTime {
    nanos: u64,
}

impl SimTime {
    /// The beginning.
    pub const START: Self = Self { nanos: 0 };

    /// The moment `since_start` after the beginning (at most 584 years).
    pub fn after(since_start: Duration) -> Self {
        Self { nanos: u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX) }
    }

    /// Nanoseconds since the beginning.
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// Time since the beginning.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.nanos)
    }

    /// The moment `wait` later.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self { nanos: self.nanos.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)) }
    }
}
