//! How many requests may be under way together.
//!
//! Each is a connection. A server that has to accept more of them in one moment than its queue holds (often 128) leaves some
//! unanswered, and one that is slow because it is busy is not helped by more. So it begins with a part of what the process may
//! have, and becomes more, a little at a time, only where nearly all of it is used and answers take no longer than they must: then it
//! is the distance that makes them long. Calls that fail make it less, and after a pause, when connections are gone, it begins anew.

use std::time::Duration;

/// The part of all requests that may be under way from the start.
const AT_FIRST: usize = 4;
/// Answers for one request more: while all are under way, a sixteenth more in each round trip.
const ANSWERS_FOR_ONE_MORE: usize = 16;
/// A part of the allowance that may be free while it counts as used, and that a failed call takes from it: one in so many.
const SLACK: usize = 16;
const LESS_BY: usize = 64;
/// An answer that takes more than this many times the shortest is late for another reason than distance.
const LATE: u32 = 2;

/// What may be under way, and what is.
#[derive(Debug)]
pub(super) struct Allowance {
    max: usize,
    requests: usize,
    under_way: usize,
    /// Answers since it last became more.
    answers: usize,
    /// The shortest round trip of this process.
    distance: Duration,
}

impl Allowance {
    /// One that becomes `max` at most.
    pub(super) fn new(max: usize) -> Self {
        let mut allowance = Self { max, requests: 0, under_way: 0, answers: 0, distance: Duration::MAX };
        allowance.requests = allowance.at_first();
        allowance
    }

    fn at_first(&self) -> usize {
        (self.max / AT_FIRST).max(1)
    }

    /// Requests that may be under way now.
    pub(super) const fn requests(&self) -> usize {
        self.requests
    }

    /// A request has left.
    pub(super) const fn departed(&mut self) {
        self.under_way += 1;
    }

    /// One that had left was answered after `round_trip`; without one, its call has failed.
    pub(super) fn ended(&mut self, round_trip: Option<Duration>) {
        let is_used = self.under_way + self.requests / SLACK >= self.requests;
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            (self.requests, self.answers) = (self.at_first(), 0);
            return;
        }
        let Some(round_trip) = round_trip else {
            self.requests -= (self.requests - self.at_first()).min(self.requests.div_ceil(LESS_BY));
            return;
        };
        self.distance = self.distance.min(round_trip);
        if is_used && self.requests < self.max && round_trip <= self.distance * LATE {
            self.answers += 1;
            if self.answers >= ANSWERS_FOR_ONE_MORE {
                (self.requests, self.answers) = (self.requests + 1, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 2_048;
    const FIRST: usize = MAX / AT_FIRST;

    /// Lets `answers` requests be answered while `under_way` are, each after `round_trip`, and says what is allowed then.
    fn after(allowance: &mut Allowance, under_way: usize, answers: usize, round_trip: Option<u64>) -> usize {
        while allowance.under_way < under_way {
            allowance.departed();
        }
        for _ in 0..answers {
            allowance.ended(round_trip.map(Duration::from_millis));
            allowance.departed();
        }
        allowance.requests()
    }

    #[test]
    fn more_are_allowed_where_nearly_all_are_under_way_and_it_is_the_distance_that_takes_long() {
        let mut allowance = Allowance::new(MAX);
        assert_eq!(allowance.requests(), FIRST);
        assert_eq!(after(&mut allowance, FIRST / 2, 10_000, Some(100)), FIRST);
        assert_eq!(after(&mut allowance, FIRST - FIRST / SLACK, ANSWERS_FOR_ONE_MORE, Some(100)), FIRST + 1);
        assert_eq!(after(&mut allowance, FIRST + 1, 10_000, Some(201)), FIRST + 1);
        assert_eq!(after(&mut allowance, MAX, 100_000, Some(200)), MAX);
    }

    #[test]
    fn failed_calls_take_some_of_it_and_a_pause_all_that_was_added() {
        let mut allowance = Allowance::new(MAX);
        after(&mut allowance, MAX, 100_000, Some(100));
        assert_eq!(after(&mut allowance, MAX, 1, None), MAX - MAX / LESS_BY);
        assert_eq!(after(&mut allowance, MAX, 1_000, None), FIRST);
        after(&mut allowance, MAX, 100_000, Some(100));
        for _ in 0..MAX {
            allowance.ended(Some(Duration::from_millis(100)));
        }
        assert_eq!(allowance.requests(), FIRST);
    }

    #[test]
    fn a_process_that_may_have_little_has_one_at_least() {
        for max in [1, 2, 9] {
            let mut allowance = Allowance::new(max);
            assert_eq!(allowance.requests(), (max / AT_FIRST).max(1));
            assert_eq!(after(&mut allowance, max, 1_000, Some(9)), max);
            assert_eq!(after(&mut allowance, max, 1_000, None), (max / AT_FIRST).max(1));
        }
    }
}
