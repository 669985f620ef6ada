//! What is kept in order, and what that leaves of parallelism.
//!
//! Without aggregates, keys are kept apart: several requests of a lane may be in flight, but no key in two of them.
//! An aggregate is as many records as a shard takes in a round trip, so there one entry in flight is enough, and
//! everything in a lane stays in order, whatever the user asked for; only without an order are there more.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::aggregate::{AIM_BYTES, Packing};
use crate::limits::BATCH_ENTRIES_MAX;

/// Requests of one lane in flight, where the order allows for more than one.
const IN_FLIGHT_MAX: u32 = 4;

/// Which records may pass which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A record leaves only after the acknowledgement of its key's previous record.
    Key,
    /// A lane is sent in order, one request at a time; only behind a partial failure can a record pass an
    /// earlier one of its key.
    Relaxed,
    /// A lane is sent in order, one record at a time.
    Shard,
    /// Any record may pass any other.
    None,
}

impl Order {
    /// The words for all of them, the strictest per key first.
    pub const WORDS: [&str; 4] = ["key", "relaxed", "shard", "none"];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Relaxed => "relaxed",
            Self::Shard => "shard",
            Self::None => "none",
        }
    }
}

/// The text names no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order is one of key, relaxed, shard, none")]
pub struct OrderParseError;

impl FromStr for Order {
    type Err = OrderParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Key, Self::Relaxed, Self::Shard, Self::None];
        all.into_iter().find(|order| order.as_str() == text).ok_or(OrderParseError)
    }
}

/// How a lane keeps its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Discipline {
    /// What the user wants.
    pub order: Order,
    /// The stream's limit for a record, if records are packed into aggregates.
    pub aggregate: Option<usize>,
}

impl Discipline {
    /// Requests of one lane that may be in flight.
    pub(super) const fn in_flight_max(self) -> u32 {
        match (self.order, self.aggregate) {
            (Order::None, _) | (Order::Key, None) => IN_FLIGHT_MAX,
            (Order::Key, Some(_)) | (Order::Relaxed | Order::Shard, _) => 1,
        }
    }

    /// Whether a record is held back as long as an earlier one of its key is not settled.
    pub(super) const fn holds_back(self) -> bool {
        matches!((self.order, self.aggregate), (Order::Key, None))
    }

    /// Whether a record that fails may be passed by a later one of its key.
    pub(super) const fn lets_pass(self) -> bool {
        matches!((self.order, self.aggregate), (Order::Relaxed, None))
    }

    /// How records become entries; `together` if now is a time for aggregates. Where a single one is in flight and
    /// round trips are `long`, it carries whatever a round trip is worth.
    pub(super) fn packing(self, together: bool, long: bool) -> Packing {
        match (self.order, self.aggregate) {
            (Order::None, Some(max)) if together => {
                Packing::Together { entries: BATCH_ENTRIES_MAX, bytes: AIM_BYTES.min(max) }
            }
            (_, Some(max)) if together => {
                Packing::Together { entries: 1, bytes: if long { max } else { AIM_BYTES.min(max) } }
            }
            (Order::Shard, _) => Packing::Each(1),
            (Order::Key | Order::Relaxed, Some(_)) => Packing::EachKeyOnce(BATCH_ENTRIES_MAX),
            (_, None) | (Order::None, Some(_)) => Packing::Each(BATCH_ENTRIES_MAX),
        }
    }
}
