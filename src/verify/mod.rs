//! `respool verify`: did all of it arrive, and in order?
pub mod aggregate;
pub mod buckets;
pub mod walk;
