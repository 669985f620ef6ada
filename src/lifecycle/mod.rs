//! Before and after a replay: the stream that it goes into, and the worker that reads it.
//!
//! ```text
//!  create ─► replay ─► the worker moves over ─► drained? ─► the worker moves back ─► delete
//!  create.rs  │         guide.rs says how,        lease.rs, drained.rs                delete.rs
//!             │         and until when            age.rs: the weaker way
//!             └ before.rs (preflight.rs, delivery.rs), and plan.rs for a plan: may we write, and do we feed what we read?
//! ```
//!
//! Decisions are pure and stand by themselves: which steps a scaling takes ([`steps`]), whether a stream is the one
//! that is wanted ([`shape`]), whether a worker is done ([`drained`], [`age`]), what was set aside and never sent ([`aside`]), whether what is not finished
//! goes on ([`unfinished`]), what is still
//! to be done ([`guide`]). Around them the
//! commands ask the services, wait and tell. A stream is known to be ours by a tag; nothing else is ever deleted.

pub mod age;
pub mod answer;
pub mod aside;
pub mod before;
pub mod command;
pub mod create;
pub mod delete;
pub mod delivery;
pub mod door;
pub mod drained;
#[cfg(test)]
mod fixtures;
pub mod guide;
pub mod lease;
pub mod lease_table;
pub mod metric;
pub mod plan;
pub mod preflight;
pub mod replay;
pub mod runs;
pub mod scale;
pub mod settle;
pub mod shape;
pub mod status;
pub mod steps;
pub mod unfinished;
mod unused;
pub mod watch;
