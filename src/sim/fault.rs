//! What goes wrong, and how often: one plan for the pure, the asynchronous and the served layer.
//!
//! A plan is a list of chances in a thousand. What happens to the n-th call is a pure function of the seed and
//! `n`, so the same plan does the same to the same calls however they overlap. A plan reads and prints as
//! `lose_answer=20,throttle_entry=50`, which is what a failing test shows and what a user can type.

use std::fmt;
use std::str::FromStr;

use fastrand::Rng;

/// What happens to a whole call. The chances exclude each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallFault {
    /// Refused for being over a limit; nothing is stored.
    Throttle,
    /// The connection breaks before the service has the request; nothing is stored.
    Disconnect,
    /// The service says 500; nothing is stored.
    ServerError,
    /// The credentials have expired; nothing is stored.
    Expire,
    /// Everything is stored, then the connection breaks.
    LoseAnswer,
    /// The connection breaks; everything is stored later, when the client has long tried again.
    ApplyLate,
    /// Everything is stored; the answer takes long.
    Stall,
    /// Everything is stored; the answer comes byte by byte.
    Drip,
    /// Everything is stored; the answer has an entry less than the request.
    Miscount,
}

/// What happens to one entry of a call that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryFault {
    /// Refused for being over the shard's limit; not stored.
    Throttle,
    /// `InternalFailure`; not stored.
    Fail,
    /// `InternalFailure`; stored all the same.
    FailStored,
    /// Stored; the answer has a code that nobody knows.
    Garble,
}

/// The chances of a plan, each with its name.
const NAMES: [&str; 13] = [
    "throttle_call",
    "disconnect",
    "server_error",
    "expire",
    "lose_answer",
    "apply_late",
    "stall",
    "drip",
    "miscount",
    "throttle_entry",
    "fail_entry",
    "fail_stored_entry",
    "garble_entry",
];
const CALL_FAULTS: [CallFault; 9] = [
    CallFault::Throttle,
    CallFault::Disconnect,
    CallFault::ServerError,
    CallFault::Expire,
    CallFault::LoseAnswer,
    CallFault::ApplyLate,
    CallFault::Stall,
    CallFault::Drip,
    CallFault::Miscount,
];
const ENTRY_FAULTS: [EntryFault; 4] =
    [EntryFault::Throttle, EntryFault::Fail, EntryFault::FailStored, EntryFault::Garble];
const _: () = assert!(CALL_FAULTS.len() + ENTRY_FAULTS.len() == NAMES.len());

/// All chances together never exceed this, so that what is tried again comes through.
const PER_MILLE_MAX: u32 = 900;

/// What goes wrong, in thousandths of the calls or of the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// Another seed, other calls.
    pub seed: u64,
    per_mille: [u16; NAMES.len()],
}

impl FaultPlan {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { seed: 0, per_mille: [0; NAMES.len()] };

    /// Of each three answers one is lost.
    #[cfg(test)]
    pub(super) const LOSING: Self = {
        let mut per_mille = [0; NAMES.len()];
        per_mille[4] = 333;
        Self { seed: 0, per_mille }
    };

    /// A plan with its own mix: some faults often, some seldom, some never.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut dice = Rng::with_seed(seed);
        let mut chance = || match dice.u8(0..6) {
            0 => dice.u16(20..=60),
            1 | 2 => dice.u16(1..=15),
            _ => 0,
        };
        Self { seed, per_mille: [(); NAMES.len()].map(|()| chance()) }
    }

    /// Whether nothing ever goes wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.per_mille.iter().all(|&chance| chance == 0)
    }

    /// What happens to call `call`.
    #[must_use]
    pub fn call(&self, call: u64) -> Option<CallFault> {
        pick(&self.per_mille[..CALL_FAULTS.len()], &CALL_FAULTS, &mut self.dice(call, 0))
    }

    /// What happens to entry `entry` of call `call`.
    #[must_use]
    pub fn entry(&self, call: u64, entry: usize) -> Option<EntryFault> {
        let chances = &self.per_mille[CALL_FAULTS.len()..];
        if chances.iter().all(|&chance| chance == 0) {
            return None;
        }
        pick(chances, &ENTRY_FAULTS, &mut self.dice(call, entry as u64 + 1))
    }

    /// A number for whatever else call `call` needs, from 0 to 1.
    #[must_use]
    pub fn fraction(&self, call: u64) -> f64 {
        self.dice(call, u64::MAX).f64()
    }

    fn dice(&self, call: u64, part: u64) -> Rng {
        let mixed = call.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part.wrapping_mul(0xd1b5_4a32_d192_ed03);
        Rng::with_seed(self.seed ^ mixed)
    }
}

/// The one of `faults` that the dice choose, by its chance in a thousand.
fn pick<T: Copy>(chances: &[u16], faults: &[T], dice: &mut Rng) -> Option<T> {
    let mut drawn = dice.u16(0..1_000);
    for (&chance, &fault) in chances.iter().zip(faults) {
        if drawn < chance {
            return Some(fault);
        }
        drawn -= chance;
    }
    None
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chances = NAMES.iter().zip(&self.per_mille).filter(|&(_, &chance)| chance > 0);
        write!(f, "seed={}", self.seed)?;
        chances.into_iter().try_for_each(|(name, chance)| write!(f, ",{name}={chance}"))
    }
}

/// The text is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultPlanError {
    /// A part is not `NAME=NUMBER`, or the number is none.
    #[error("`{0}` is not NAME=CHANCE with a chance in a thousand")]
    NotAChance(String),
    /// No fault has that name.
    #[error("there is no fault {0}; the faults are {all}", all = NAMES.join(", "))]
    NoSuchFault(String),
    /// Too much goes wrong.
    #[error("the chances of {0} add up to more than {PER_MILLE_MAX} in a thousand")]
    TooMuch(&'static str),
}

impl FromStr for FaultPlan {
    type Err = FaultPlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut plan = Self::NONE;
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let not_a_chance = || FaultPlanError::NotAChance(part.to_owned());
            let (name, number) = part.split_once('=').ok_or_else(not_a_chance)?;
            if name == "seed" {
                plan.seed = number.parse().map_err(|_| not_a_chance())?;
                continue;
            }
            let at = NAMES.iter().position(|&known| known == name);
            let at = at.ok_or_else(|| FaultPlanError::NoSuchFault(name.to_owned()))?;
            plan.per_mille[at] = number.parse().map_err(|_| not_a_chance())?;
        }
        let (calls, entries) = plan.per_mille.split_at(CALL_FAULTS.len());
        for (what, chances) in [("calls", calls), ("entries", entries)] {
            if chances.iter().map(|&chance| u32::from(chance)).sum::<u32>() > PER_MILLE_MAX {
                return Err(FaultPlanError::TooMuch(what));
            }
        }
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_prints_as_it_is_read() {
        let text = "seed=7,lose_answer=20,throttle_entry=50";
        let plan: FaultPlan = text.parse().unwrap();
        assert_eq!(plan.to_string(), text);
        for seed in 0..100 {
            let drawn = FaultPlan::draw(seed);
            assert_eq!(drawn.to_string().parse(), Ok(drawn));
        }
        assert!("seed=3".parse::<FaultPlan>().unwrap().is_empty());
    }

    #[test]
    fn what_is_no_plan_is_named() {
        let error = |text: &str| text.parse::<FaultPlan>().unwrap_err().to_string();
        assert!(error("lose_answer").contains("NAME=CHANCE"));
        assert!(error("lose_answer=-1").contains("NAME=CHANCE"));
        assert!(error("lost=3").contains("apply_late"));
        assert!(error("stall=500,drip=500").contains("900"));
    }

    #[test]
    fn faults_come_as_often_as_the_plan_says_and_at_the_same_calls() {
        let plan: FaultPlan = "seed=1,lose_answer=100,fail_entry=50".parse().unwrap();
        let lost = |plan: FaultPlan| (0..10_000).filter(move |&call| plan.call(call).is_some()).count();
        assert!((900..1_100).contains(&lost(plan)), "{}", lost(plan));
        let failed = (0..10_000).filter(|&call| plan.entry(call, 3) == Some(EntryFault::Fail)).count();
        assert!((400..600).contains(&failed), "{failed}");
        assert_eq!(plan.call(77), plan.call(77));
        assert_eq!((0..1_000).find_map(|call| FaultPlan::NONE.call(call)), None);
    }
}
