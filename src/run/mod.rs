//! The shell: what a run tells its user while it works, and when it is over.

pub mod progress;
pub mod report;
