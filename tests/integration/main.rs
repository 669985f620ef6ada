//! The tests of the whole, one module per subject, in one binary.

mod cache;
mod events;
mod memory;
mod reader;
mod refusals;
mod resume;
mod sandbox;
mod tidy;
mod usage;
