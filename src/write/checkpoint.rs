//! What is known to be settled, in a form that survives us.
//!
//! A lane's position is the ordinal below which each of its records is settled: acked, set aside or
//! filtered. Above it stand a few intervals of settled ordinals, because requests overlap. With them
//! go the counters, so that a number is never ahead of the progress it describes.
//!
//! A lane also has a *reach*: the ordinal below which records may have been sent. It is made durable
//! before anything above the old one leaves, so after a crash the records between are known to be
//! possible duplicates, and none of the others can be one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::record::{HashKeyRange, Ordinal, SequenceNumber, ShardId};
use crate::stream::UnknownCause;

/// A durable moment of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Counts the checkpoints of a run, over all its resumes.
    pub sequence: u64,
    /// Records below this were routed: those without a lane are settled up to here.
    pub frontier: Ordinal,
    /// One position per lane; together the lanes cover the hash space.
    pub lanes: Vec<LanePosition>,
    /// Objects of which every record is settled, as closed intervals in ascending order.
    pub settled_objects: Vec<(u32, u32)>,
    /// Objects of which some records are settled.
    pub open_objects: BTreeMap<u32, ObjectLedger>,
    /// What each shard has acknowledged.
    pub shards: BTreeMap<ShardId, ShardLedger>,
    /// What was counted so far.
    pub totals: Totals,
}

impl Checkpoint {
    /// The beginning of a run whose lanes cover `ranges`.
    pub fn start(ranges: impl IntoIterator<Item = HashKeyRange>) -> Self {
        let lane = |range| LanePosition {
            range,
            position: Ordinal::START,
            settled_above: Vec::new(),
            reach: Ordinal::START,
        };
        Self {
            sequence: 0,
            frontier: Ordinal::START,
            lanes: ranges.into_iter().map(lane).collect(),
            settled_objects: Vec::new(),
            open_objects: BTreeMap::new(),
            shards: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    /// Where a resume starts to read: everything below is settled in every lane.
    pub fn restart_at(&self) -> Ordinal {
        self.lanes.iter().map(|lane| lane.position).min().unwrap_or(self.frontier).min(self.frontier)
    }

    /// Whether every record of `object` is settled, so that a resume need not look at it.
    pub fn is_settled(&self, object: u32) -> bool {
        interval_contains(&self.settled_objects, object)
    }

    /// Records of `object` that were delivered, and whether others of it may have been sent; `None` if it is
    /// certain that none was.
    pub fn sent_of(&self, object: u32) -> Option<(u32, bool)> {
        let delivered = self.open_objects.get(&object).map_or(0, |ledger| ledger.delivered);
        let doubtful = self.lanes.iter().any(|lane| lane.reach > Ordinal::new(object, 0));
        (delivered > 0 || doubtful).then_some((delivered, doubtful))
    }

    /// The same progress with each lane cut at the borders of `ranges`; both sides of a cut inherit
    /// its position. This is how a run meets a stream that was resharded while it was away.
    #[must_use]
    pub fn cut(&self, ranges: &[HashKeyRange]) -> Self {
        let lanes = self.lanes.iter().flat_map(|lane| {
            ranges.iter().filter_map(|range| {
                let range = lane.range.intersection(range)?;
                Some(LanePosition { range, ..lane.clone() })
            })
        });
        Self { lanes: lanes.collect(), ..self.clone() }
    }
}

/// Progress of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanePosition {
    /// The part of the hash space that the lane owns.
    pub range: HashKeyRange,
    /// Every record of the lane below this is settled.
    pub position: Ordinal,
    /// Closed intervals, ascending, above the position: every record of the lane inside is settled.
    pub settled_above: Vec<(Ordinal, Ordinal)>,
    /// No record of the lane at or above this was ever sent.
    pub reach: Ordinal,
}

impl LanePosition {
    /// Whether the record of this lane at `ordinal` is settled.
    pub fn is_settled(&self, ordinal: Ordinal) -> bool {
        ordinal < self.position || interval_contains(&self.settled_above, ordinal)
    }

    /// Whether the record at `ordinal` is not settled but may have been sent.
    pub fn may_have_been_sent(&self, ordinal: Ordinal) -> bool {
        ordinal < self.reach && !self.is_settled(ordinal)
    }
}

/// What became of one object's records so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLedger {
    /// Records that the stream acknowledged.
    pub delivered: u32,
    /// Records that were set aside.
    pub quarantined: u32,
    /// Records that the user's own flags left out.
    pub filtered: u32,
}

impl ObjectLedger {
    /// Records of which the fate is known.
    pub fn settled(&self) -> u32 {
        self.delivered + self.quarantined + self.filtered
    }
}

/// What one shard has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardLedger {
    /// Records.
    pub records: u64,
    /// Their data and partition keys, in bytes.
    pub bytes: u64,
    /// The lowest sequence number.
    pub first: SequenceNumber,
    /// The highest sequence number.
    pub last: SequenceNumber,
    /// Records that have it: those of one aggregate share theirs. 0 if an earlier version has not counted them.
    #[serde(default)]
    pub last_records: u32,
}

impl ShardLedger {
    /// The first record.
    pub fn new(bytes: u32, number: &SequenceNumber) -> Self {
        let (first, last) = (*number, *number);
        Self { records: 1, bytes: bytes.into(), first, last, last_records: 1 }
    }

    /// One more record; those of an aggregate come one behind the other.
    pub fn add(&mut self, bytes: u32, number: &SequenceNumber) {
        self.records += 1;
        self.bytes += u64::from(bytes);
        if *number > self.last {
            self.last = *number;
            self.last_records = 1;
        } else if *number == self.last {
            // What was not counted from its first record on stays unknown.
            self.last_records += u32::from(self.last_records > 0);
        } else if *number < self.first {
            self.first = *number;
        }
    }
}

/// How often a record may have been stored without our knowing, by cause. A record that was sent twice
/// without a certain answer counts twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubts {
    /// No answer came in time.
    pub timeout: u64,
    /// The connection broke.
    pub connection: u64,
    /// The service said 5xx.
    pub server_error: u64,
    /// The service said `InternalFailure` for the record.
    pub internal_failure: u64,
    /// The answer did not match the request.
    pub bad_answer: u64,
    /// An earlier process was stopped before it could note the answer.
    pub earlier_process: u64,
    /// An aggregate was stored in a shard where not all of its records belong: a consumer drops it whole.
    #[serde(default)]
    pub misplaced: u64,
}

impl Doubts {
    /// The counter of `cause`.
    pub fn by_cause(&mut self, cause: UnknownCause) -> &mut u64 {
        match cause {
            UnknownCause::Timeout => &mut self.timeout,
            UnknownCause::Connection => &mut self.connection,
            UnknownCause::ServerError => &mut self.server_error,
            UnknownCause::InternalFailure => &mut self.internal_failure,
            UnknownCause::BadAnswer => &mut self.bad_answer,
        }
    }

    /// All causes together.
    pub fn total(&self) -> u64 {
        let Self { timeout, connection, server_error, internal_failure, .. } = self;
        let Self { bad_answer, earlier_process, misplaced, .. } = self;
        let lost = timeout + connection + server_error + internal_failure;
        lost + bad_answer + earlier_process + misplaced
    }
}

/// The counters that belong to a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Records that the stream acknowledged.
    pub delivered: u64,
    /// Their data and partition keys, in bytes.
    pub delivered_bytes: u64,
    /// Records that were set aside.
    pub quarantined: u64,
    /// Records that the user's own flags left out.
    pub filtered: u64,
    /// Objects of which every record is settled.
    pub objects_settled: u64,
    /// Objects that were set aside whole.
    pub objects_quarantined: u64,
    /// Copies that may stand in the stream beside those that were acknowledged.
    pub possible_duplicates: Doubts,
    /// Entries sent, again and again ones included.
    pub entries_sent: u64,
    /// Entries that were acknowledged: records that share one count once.
    #[serde(default)]
    pub entries_acked: u64,
    /// What is billed for them: payload units.
    #[serde(default)]
    pub put_units: u64,
    /// Entries that a shard refused for being over its limit.
    pub entries_throttled: u64,
    /// Acknowledgements whose sequence number did not exceed an earlier one of the same lane and shard.
    pub order_violations: u64,
    /// With order `relaxed`: records that a later one of their key has passed.
    pub inversions: u64,
    /// With order `relaxed`: records that a later one of their key may have passed, in a lost answer.
    pub possible_inversions: u64,
    /// Records that another shard took than the one they were sent to.
    pub elsewhere: u64,
}

/// Adds `value` to ascending, disjoint, closed intervals, joining those that now touch.
pub fn interval_insert(intervals: &mut Vec<(u32, u32)>, value: u32) {
    let at = intervals.partition_point(|&(_, last)| last < value);
    if intervals.get(at).is_some_and(|&(first, _)| first <= value) {
        return;
    }
    let joins_left = at > 0 && intervals[at - 1].1.checked_add(1) == Some(value);
    let joins_right = intervals.get(at).is_some_and(|&(first, _)| value.checked_add(1) == Some(first));
    match (joins_left, joins_right) {
        (true, true) => intervals[at - 1].1 = intervals.remove(at).1,
        (true, false) => intervals[at - 1].1 = value,
        (false, true) => intervals[at].0 = value,
        (false, false) => intervals.insert(at, (value, value)),
    }
}

/// Whether `value` lies in one of the ascending, disjoint, closed intervals.
pub fn interval_contains<T: Ord + Copy>(intervals: &[(T, T)], value: T) -> bool {
    let at = intervals.partition_point(|&(_, last)| last < value);
    intervals.get(at).is_some_and(|&(first, _)| first <= value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::HashKey;

    #[test]
    fn intervals_grow_and_join() {
        let mut intervals = Vec::new();
        for value in [5, 7, 0, 6, 1, 6, u32::MAX] {
            interval_insert(&mut intervals, value);
        }
        assert_eq!(intervals, [(0, 1), (5, 7), (u32::MAX, u32::MAX)]);
        let inside: Vec<u32> = (0..9).filter(|&value| interval_contains(&intervals, value)).collect();
        assert_eq!(inside, [0, 1, 5, 6, 7]);
    }

    #[test]
    fn a_cut_lane_keeps_its_position_on_both_sides() {
        let mut checkpoint = Checkpoint::start([HashKeyRange::ALL]);
        checkpoint.lanes[0].position = Ordinal::new(3, 4);
        let middle = u128::MAX / 2;
        let halves = [
            HashKeyRange { first: HashKey(0), last: HashKey(middle) },
            HashKeyRange { first: HashKey(middle + 1), last: HashKey(u128::MAX) },
        ];
        let cut = checkpoint.cut(&halves);
        assert_eq!(cut.lanes.len(), 2);
        assert!(cut.lanes.iter().all(|lane| lane.position == Ordinal::new(3, 4)));
        assert_eq!(cut.cut(&[HashKeyRange::ALL]).lanes, cut.lanes, "a merge of shards keeps the lanes apart");
    }

    #[test]
    fn a_shard_knows_how_many_records_its_last_number_stands_for() {
        let number = |text: &str| SequenceNumber::new(text).unwrap();
        let mut shard = ShardLedger::new(10, &number("7"));
        shard.add(10, &number("7"));
        assert_eq!((shard.last_records, shard.records), (2, 2));
        shard.add(10, &number("6"));
        assert_eq!((shard.last_records, &shard.first), (2, &number("6")));
        shard.add(10, &number("8"));
        assert_eq!((shard.last_records, &shard.last), (1, &number("8")));
    }

    #[test]
    fn what_an_earlier_version_has_not_counted_stays_unknown_until_there_is_a_higher_number() {
        let mut shard: ShardLedger =
            serde_json::from_str(r#"{"records":3,"bytes":30,"first":"5","last":"7"}"#).unwrap();
        shard.add(10, &SequenceNumber::new("7").unwrap());
        assert_eq!(shard.last_records, 0);
        shard.add(10, &SequenceNumber::new("8").unwrap());
        assert_eq!(shard.last_records, 1);
    }

    #[test]
    fn json_round_trip() {
        let mut checkpoint = Checkpoint::start([HashKeyRange::ALL]);
        checkpoint.lanes[0].settled_above.push((Ordinal::new(1, 2), Ordinal::new(1, 9)));
        checkpoint.open_objects.insert(1, ObjectLedger { delivered: 8, ..ObjectLedger::default() });
        let text = serde_json::to_vec(&checkpoint).unwrap();
        assert_eq!(serde_json::from_slice::<Checkpoint>(&text).unwrap(), checkpoint);
    }
}
