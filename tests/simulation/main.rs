//! The whole of a run in virtual time: the real shell over a real directory, into the embedded stream.
//!
//! Tokio's clock is paused and jumps to whatever comes next, so minutes of a stream with real limits
//! pass in moments, at the same speed on any machine. Work for the CPU is done on the spot: it takes no
//! time in there.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(unreachable_pub, reason = "nothing outside reads a test")]

#[path = "../../benches/workloads.rs"]
mod workloads;

mod benchmarks;
mod company;
mod delivery;
mod faults;
mod interruption;
mod utilisation;
mod world;
