//! The tests of the whole, one module per subject, in one binary.

#![expect(clippy::unwrap_used, reason = "helpers of tests end with the first surprise, as tests do")]

mod cache;
mod events;
mod foreign;
mod kinesis;
mod memory;
mod reader;
mod refusals;
mod resume;
mod s3;
mod sandbox;
mod tidy;
mod usage;
