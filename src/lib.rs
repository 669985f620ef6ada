//! respool replays archived events into a stream.
//!
//! ```text
//!  archive ──list──► Manifest ──fetch──► object bytes ──decode──► records ──publish──► Segment (cache, mmap)
//!                                                                                         │
//!                                                                             route: key ► hash ► lane
//!                                                                                         ▼
//!  stream ◄──PutRecords── Batch ◄── Lane (one per hash-key range) ◄── two TokenBuckets per shard
//!     │                                                                                   ▲
//!     └──per-entry outcomes──► Engine ──► Checkpoint ──► Report            (rate feedback)┘
//! ```
//!
//! The modules read in that order.

pub mod error;
mod frame;
pub mod limits;
mod private;
pub mod record;
mod renewed;
mod shown;

pub mod archive;
pub mod cache;
pub mod decode;
pub mod plan;
pub mod route;
pub mod stream;
pub mod verify;
pub mod write;

pub mod bench;
pub mod lifecycle;
pub mod page;
pub mod run;
pub mod sim;

#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub mod cli;
pub mod config;
