//! Calls that fail, told without a flood: the first of a kind at once, then a line now and then with how many there were.
//!
//! Time is an argument: nothing here reads a clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::report::{duration, number};
use crate::stream::{CallError, CallErrorClass};

/// Between two lines about failures of one kind.
const INTERVAL: Duration = Duration::from_secs(30);

/// What comes of most failures.
const AGAIN: &str = "it is tried again, and more of the kind are counted";

/// What is known of each kind.
#[derive(Debug, Default)]
pub(super) struct Failures {
    kinds: BTreeMap<&'static str, Kind>,
}

#[derive(Debug)]
struct Kind {
    told_at: Duration,
    untold: u64,
    last: String,
}

impl Failures {
    /// `count` failures of a kind, with the words of the last one. Gives what is to be said now.
    pub(super) fn failed(
        &mut self,
        kind: &'static str,
        count: u64,
        words: &str,
        now: Duration,
    ) -> Option<String> {
        self.tell(kind, count, words, AGAIN, now)
    }

    /// A call has failed as a whole.
    pub(super) fn call_failed(&mut self, error: &CallError, now: Duration) -> Option<String> {
        let next = match error.class {
            CallErrorClass::NotFound | CallErrorClass::Forbidden | CallErrorClass::Denied => "the run ends",
            CallErrorClass::Invalid => {
                "its records go again in smaller requests, and more of the kind are counted"
            }
            CallErrorClass::Throttled
            | CallErrorClass::Credentials
            | CallErrorClass::Unreachable
            | CallErrorClass::Unknown(_) => AGAIN,
        };
        self.tell(kind(error.class), 1, &error.message, next, now)
    }

    fn tell(
        &mut self,
        kind: &'static str,
        count: u64,
        words: &str,
        next: &str,
        now: Duration,
    ) -> Option<String> {
        if let Some(known) = self.kinds.get_mut(kind) {
            known.untold += count;
            words.clone_into(&mut known.last);
            return None;
        }
        self.kinds
            .insert(kind, Kind { told_at: now, untold: count.saturating_sub(1), last: words.to_owned() });
        Some(format!("{kind}: {words}; {next}"))
    }

    /// What is to be said by now of kinds that were told before. One that has not come again for as long is forgotten.
    pub(super) fn due(&mut self, now: Duration) -> Vec<String> {
        let is_due = |kind: &Kind| now.saturating_sub(kind.told_at) >= INTERVAL;
        let lines = self.kinds.iter().filter(|(_, kind)| is_due(kind) && kind.untold > 0);
        let lines = lines.map(|(name, kind)| kind.line(name, now)).collect();
        self.kinds.retain(|_, kind| !is_due(kind) || kind.untold > 0);
        for kind in self.kinds.values_mut().filter(|kind| is_due(kind)) {
            (kind.told_at, kind.untold) = (now, 0);
        }
        lines
    }

    /// What was never said.
    pub(super) fn rest(&self, now: Duration) -> Vec<String> {
        let untold = self.kinds.iter().filter(|(_, kind)| kind.untold > 0);
        untold.map(|(name, kind)| kind.line(name, now)).collect()
    }
}

impl Kind {
    fn line(&self, name: &str, now: Duration) -> String {
        let (count, time) = (number(self.untold), duration(now.saturating_sub(self.told_at).as_secs_f64()));
        format!("{name}: {count} more in {time}, the last: {}", self.last)
    }
}

const fn kind(class: CallErrorClass) -> &'static str {
    match class {
        CallErrorClass::Throttled => "PutRecords failed, throttled",
        CallErrorClass::Credentials => "PutRecords failed, credentials",
        CallErrorClass::Unreachable => "PutRecords failed, unreachable",
        CallErrorClass::Unknown(_) => "PutRecords failed, outcome unknown",
        CallErrorClass::Invalid => "PutRecords failed, invalid",
        CallErrorClass::NotFound => "PutRecords failed, not found",
        CallErrorClass::Forbidden | CallErrorClass::Denied => "PutRecords failed, denied",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::UnknownCause;

    #[test]
    fn a_thousand_failures_are_a_few_lines_and_none_is_left_out() {
        let mut failures = Failures::default();
        let unreachable = |number: u64| CallError {
            class: CallErrorClass::Unreachable,
            message: format!("connection refused ({number})"),
        };
        let lost = CallError {
            class: CallErrorClass::Unknown(UnknownCause::Timeout),
            message: "no answer".to_owned(),
        };
        let mut said = Vec::new();
        for tick in 0..1_000 {
            let now = Duration::from_millis(tick * 100);
            said.extend(failures.call_failed(&unreachable(tick), now));
            said.extend((tick == 500).then(|| failures.call_failed(&lost, now)).flatten());
            said.extend(failures.due(now));
        }
        said.extend(failures.rest(Duration::from_secs(100)));
        assert_eq!(
            said,
            [
                "PutRecords failed, unreachable: connection refused (0); it is tried again, and more of the kind are counted",
                "PutRecords failed, unreachable: 300 more in 30.0 s, the last: connection refused (300)",
                "PutRecords failed, outcome unknown: no answer; it is tried again, and more of the kind are counted",
                "PutRecords failed, unreachable: 300 more in 30.0 s, the last: connection refused (600)",
                "PutRecords failed, unreachable: 300 more in 30.0 s, the last: connection refused (900)",
                "PutRecords failed, unreachable: 99 more in 10.0 s, the last: connection refused (999)",
            ]
        );
    }

    #[test]
    fn of_what_ends_the_run_nobody_says_that_it_is_tried_again() {
        for (class, next) in [
            (CallErrorClass::Forbidden, "denied: no; the run ends"),
            (CallErrorClass::Denied, "denied: no; the run ends"),
            (CallErrorClass::NotFound, "not found: no; the run ends"),
            (CallErrorClass::Invalid, "invalid: no; its records go again in smaller requests"),
            (CallErrorClass::Throttled, "throttled: no; it is tried again"),
        ] {
            let error = CallError { class, message: "no".to_owned() };
            let said = Failures::default().call_failed(&error, Duration::ZERO).unwrap();
            assert!(said.starts_with(&format!("PutRecords failed, {next}")), "{said}");
        }
    }

    #[test]
    fn what_comes_again_after_a_quiet_time_is_told_at_once() {
        let mut failures = Failures::default();
        let at = Duration::from_secs;
        assert!(failures.failed("it failed", 3, "no", at(0)).is_some());
        assert_eq!(failures.due(at(30)), ["it failed: 2 more in 30.0 s, the last: no"]);
        assert!(failures.due(at(61)).is_empty() && failures.rest(at(61)).is_empty());
        assert!(failures.failed("it failed", 1, "no", at(62)).is_some());
    }
}
