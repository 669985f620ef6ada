//! The tests of the whole, one module per subject, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on fails where it stands"
)]

mod archives;
mod arrays;
mod aside;
mod bench;
mod browser;
mod cache;
mod costs;
mod credentials;
mod doubtful;
mod events;
mod foreign;
mod gateway;
mod inspect;
mod kinesis;
mod late;
mod lifecycle;
mod listing;
mod loops;
mod memory;
mod plan;
mod quarantine;
mod reader;
mod refusals;
mod resume;
mod rounds;
mod s3;
mod sandbox;
mod secrets;
mod send;
mod terminal;
mod tidy;
mod usage;
mod verify;
