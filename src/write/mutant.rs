//! Design bugs on purpose.
//!
//! A simulator that finds nothing may be blind. Each mutant breaks one decision of the engine the way a
//! plausible design would, and the simulator has to notice. They exist in test builds only: everywhere else
//! [`on`] is a constant `false`, and nothing of them is left.

/// One deliberate bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// What failed goes behind everything else, and its key's next record may leave.
    RetryAtTail,
    /// A request without an answer is taken for delivered.
    TimeoutIsDelivered,
    /// Entries that failed in an answered request are taken for delivered.
    PartialFailureIgnored,
    /// The position is behind the highest record that is settled, not before the lowest that is not.
    HighestAckIsPosition,
    /// The position passes what was only sent.
    PositionOfSent,
    /// A key may stand in a request twice.
    SameKeyTwice,
    /// A lane is cut while requests of it are in flight.
    ReshardWithoutDrain,
    /// A cut lane forgets what it has held back.
    CutForgetsHeld,
    /// An answer is taken for that of the lane's oldest request.
    AnswerByLane,
    /// Copies that may be stored are not counted.
    DoubtNotCounted,
    /// Copies that an earlier process may have stored are not counted.
    EarlierProcessTrusted,
    /// What may be stored is sent again before it is counted durably.
    SentBeforeCounted,
    /// Records are sent beyond the durable reach.
    ReachIgnored,
    /// A checkpoint counts as durable when it is begun.
    DurableWhenBegun,
    /// Tokens are paid for but never waited for.
    RateIgnored,
    /// What is settled above the position is forgotten by the checkpoint.
    SettledAboveForgotten,
    /// What the service calls invalid is sent again unchanged.
    InvalidRetried,
    /// Of a request that the service calls invalid, only one half is sent again.
    BisectLosesHalf,
    /// A refused record does not release its key.
    RejectKeepsKey,
    /// A stop does not wait for what is in flight, and says that there is nothing.
    StopForgetsInFlight,
    /// An object is settled when its last record has come, whatever became of the others.
    ObjectSettledEarly,
    /// An aggregate that another shard has stored is taken for delivered.
    StrayIsDelivered,
    /// The lane goes on while nobody knows whether an aggregate of it is delivered.
    StrayIsPassed,
    /// Of an aggregate that was throttled only the first record is sent again.
    AggregateLosesRest,
    /// What is paid for takes no place in the budget until it leaves.
    GoneWhenPaid,
}

impl Mutant {
    /// All of them.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 25] = [
        Self::RetryAtTail,
        Self::TimeoutIsDelivered,
        Self::PartialFailureIgnored,
        Self::HighestAckIsPosition,
        Self::PositionOfSent,
        Self::SameKeyTwice,
        Self::ReshardWithoutDrain,
        Self::CutForgetsHeld,
        Self::AnswerByLane,
        Self::DoubtNotCounted,
        Self::EarlierProcessTrusted,
        Self::SentBeforeCounted,
        Self::ReachIgnored,
        Self::DurableWhenBegun,
        Self::RateIgnored,
        Self::SettledAboveForgotten,
        Self::InvalidRetried,
        Self::BisectLosesHalf,
        Self::RejectKeepsKey,
        Self::StopForgetsInFlight,
        Self::ObjectSettledEarly,
        Self::StrayIsDelivered,
        Self::StrayIsPassed,
        Self::AggregateLosesRest,
        Self::GoneWhenPaid,
    ];
}

#[cfg(test)]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Mutant>> = const { std::cell::Cell::new(None) };
}

/// From now on this thread's engines have the bug, or none.
#[cfg(test)]
pub(crate) fn activate(mutant: Option<Mutant>) {
    ACTIVE.set(mutant);
}

/// Whether the engine has this bug.
#[cfg(test)]
pub(super) fn on(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}

/// Whether the engine has this bug: never.
#[cfg(not(test))]
pub(super) const fn on(_: Mutant) -> bool {
    false
}
