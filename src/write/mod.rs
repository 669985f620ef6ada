//! Every decision of writing, without any I/O.
//!
//! Records that were routed arrive here as small handles and leave as batches for single shards. A
//! [`Lane`](lane::Lane) keeps the order of one part of the hash space, two
//! [token buckets](token_bucket) per shard say [how fast](rate), and the [`Engine`] joins them: it is a
//! state machine that takes an [`Event`] at a given time and answers with [`Command`]s. It never waits,
//! reads a clock, draws a random number or touches a file, so that the same engine runs under a
//! simulator that does to it whatever a network and an operating system may do.

pub mod aggregate;
mod allowance;
mod answers;
pub mod checkpoint;
mod dispatch;
mod engine;
pub mod lane;
pub(crate) mod mutant;
mod objects;
mod order;
mod places;
mod progress;
pub mod rate;
mod ready;
mod reshard;
mod stats;
mod stray;
pub mod token_bucket;
mod turns;

#[cfg(test)]
mod tests;

pub use aggregate::Packed;
pub use engine::{Command, End, Engine, EngineConfig, Event, RequestId, StopReason, StreamState};
pub use stats::{Brake, EngineStats, LaneTimes, ShardStats};
