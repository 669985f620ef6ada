//! The tests of the whole, one module per subject, in one binary.

mod tidy;
mod usage;
