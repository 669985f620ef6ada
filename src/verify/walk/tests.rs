//! Streams that hold more, less or other than the archive, and what is found of them.

use proptest::prelude::*;

use super::*;

const ORDERED: Rules = Rules { ordered: true, expired: false };

fn digest(content: u8) -> Digest {
    Digest([content; 16])
}

/// A key's records by content; those above 200 are not due.
fn expected(contents: &[u8]) -> Vec<Expected> {
    let record = |(number, &content): (usize, &u8)| Expected {
        hash: HashKey(7),
        digest: digest(content),
        ordinal: Ordinal::new(0, u32::try_from(number).unwrap()),
        standing: if content <= 200 { Standing::Due } else { Standing::Open },
    };
    contents.iter().enumerate().map(record).collect()
}

fn seen(contents: &[u8]) -> Vec<Seen> {
    let record = |&content| Seen {
        hash: HashKey(7),
        digest: digest(content),
        shard: 0,
        form: Form::Plain,
        era: Era::Own,
    };
    contents.iter().map(record).collect()
}

/// Differences, then copies, then foreign records.
fn find(archive: &[u8], stream: &[u8], rules: Rules) -> (Vec<(u32, Difference)>, u64, u64) {
    let mut findings = Findings::default();
    walk(expected(archive), seen(stream), rules, &mut findings);
    let count = findings.shards.get(&0).copied().unwrap_or_default();
    let mut differences: Vec<_> =
        findings.differences.iter().map(|&(ordinal, difference)| (ordinal.record(), difference)).collect();
    differences.sort_unstable();
    (differences, count.duplicates, count.foreign)
}

#[test]
fn copies_and_strangers_are_no_differences() {
    assert_eq!(find(&[1, 2, 3], &[1, 2, 3], ORDERED), (vec![], 0, 0));
    assert_eq!(find(&[1, 2, 3], &[1, 2, 1, 2, 3, 1], ORDERED), (vec![], 3, 0));
    assert_eq!(find(&[1, 2, 3], &[9, 1, 2, 8, 3], ORDERED), (vec![], 0, 2));
    assert_eq!(find(&[1, 201, 3], &[1, 3], ORDERED), (vec![], 0, 0));
    assert_eq!(find(&[1, 201, 3], &[1, 201, 3], ORDERED), (vec![], 0, 0));
}

#[test]
fn what_is_missing_or_late_is_named() {
    assert_eq!(find(&[1, 2, 3], &[1, 3], ORDERED).0, [(1, Difference::Missing)]);
    assert_eq!(find(&[1, 2, 3], &[1, 3, 2], ORDERED).0, [(1, Difference::Late)]);
    assert_eq!(find(&[1, 2, 3], &[3, 2, 1], ORDERED).0, [(0, Difference::Late), (1, Difference::Late)]);
    assert_eq!(find(&[1, 2], &[], ORDERED).0, [(0, Difference::Missing), (1, Difference::Missing)]);
    let any = Rules { ordered: false, ..ORDERED };
    assert_eq!(find(&[1, 2, 3], &[3, 2, 1], any), (vec![], 0, 0));
    assert_eq!(find(&[1, 2, 3], &[3, 2, 2], any), (vec![(0, Difference::Missing)], 1, 0));
}

#[test]
fn equal_records_count_as_often_as_the_archive_has_them() {
    assert_eq!(find(&[1, 1, 2, 1], &[1, 1, 2, 1], ORDERED), (vec![], 0, 0));
    assert_eq!(find(&[1, 1, 2, 1], &[1, 1, 2], ORDERED).0, [(3, Difference::Missing)]);
    assert_eq!(find(&[1, 2, 1], &[1, 1, 2, 1], ORDERED), (vec![], 1, 0));
    assert_eq!(find(&[1, 2, 1], &[1, 1, 2], ORDERED).0, [(2, Difference::Late)]);
}

#[test]
fn what_retention_may_have_taken_is_not_called_missing() {
    let rules = Rules { expired: true, ..ORDERED };
    let unprovable = Difference::NotProvable;
    assert_eq!(find(&[1, 2, 3, 4], &[3, 4], rules).0, [(0, unprovable), (1, unprovable)]);
    assert_eq!(find(&[1, 2, 3, 4], &[2, 4], rules).0, [(0, unprovable), (2, Difference::Missing)]);
    assert_eq!(find(&[1, 2], &[], rules).0, [(0, unprovable), (1, unprovable)]);
}

#[test]
fn what_others_have_brought_proves_nothing() {
    let find = |era: Era| {
        let mut stream = seen(&[1, 2]);
        for record in &mut stream {
            record.era = era;
        }
        stream.extend(seen(&[2]));
        let mut findings = Findings::default();
        walk(expected(&[1, 2]), stream, ORDERED, &mut findings);
        let count = findings.shards[&0];
        (findings.differences, count.ours, count.duplicates, count.before)
    };
    let missing = vec![(Ordinal::new(0, 0), Difference::Missing)];
    assert_eq!(find(Era::Before), (missing.clone(), 1, 0, 2));
    assert_eq!(find(Era::Since), (missing, 1, 2, 0));
    assert_eq!(find(Era::Own), (vec![], 2, 1, 0));
}

#[test]
fn what_a_retry_has_sent_is_of_the_run_and_proves_nothing_of_the_rest() {
    // The second was set aside; the third is the same once more, as a retry has sent it.
    let archive = |contents: &[u8], retried: &[u8]| {
        let mut all = expected(contents);
        let behind = Expected { standing: Standing::Retried, ..expected(&[0])[0] };
        let number = |at: usize| Ordinal::new(9, u32::try_from(at).unwrap());
        all.extend(retried.iter().enumerate().map(|(at, &content)| Expected {
            digest: digest(content),
            ordinal: number(at),
            ..behind
        }));
        all
    };
    let stream = |own: &[u8], retry: &[u8], since: &[u8]| {
        let of = |contents: &[u8], era| seen(contents).into_iter().map(move |seen| Seen { era, ..seen });
        of(own, Era::Own).chain(of(retry, Era::Retry)).chain(of(since, Era::Since)).collect::<Vec<_>>()
    };
    let find = |archive: Vec<Expected>, stream: Vec<Seen>| {
        let mut findings = Findings::default();
        walk(archive, stream, ORDERED, &mut findings);
        let count = findings.shards[&0];
        let counts = [findings.expected, findings.present, findings.retried];
        (counts, findings.differences, [count.ours, count.duplicates, count.foreign])
    };
    let whole = || archive(&[1, 201, 3], &[201, 7]);
    assert_eq!(find(whole(), stream(&[1, 3], &[201, 7], &[])), ([4, 4, 2], vec![], [4, 0, 0]));
    let lost = vec![(Ordinal::new(9, 0), Difference::Missing)];
    assert_eq!(find(whole(), stream(&[1, 3], &[7], &[9])), ([4, 3, 2], lost, [3, 0, 1]));
    let twice = stream(&[1, 3], &[201, 7, 7], &[7, 3]);
    assert_eq!(find(whole(), twice), ([4, 4, 2], vec![], [4, 3, 0]));
    // What the run itself has lost, its retry cannot have brought.
    let equal = archive(&[1, 2], &[2]);
    let missing = vec![(Ordinal::new(0, 1), Difference::Missing)];
    assert_eq!(find(equal, stream(&[1], &[2, 2], &[])), ([3, 2, 1], missing, [2, 1, 0]));
}

#[test]
fn keys_are_walked_each_for_itself() {
    let mut archive = expected(&[1, 2]);
    archive.push(Expected { hash: HashKey(9), ..archive[0] });
    let mut stream = seen(&[1, 2]);
    stream.insert(0, Seen { hash: HashKey(8), shard: 3, ..stream[0] });
    let mut findings = Findings::default();
    walk(archive, stream, ORDERED, &mut findings);
    assert_eq!((findings.expected, findings.present, findings.differences.len()), (3, 2, 1));
    assert_eq!(findings.shards[&3].foreign, 1);
}

proptest! {
    #[test]
    fn stale_copies_never_hide_or_fake_anything(
        count in 1..40_usize,
        copies in proptest::collection::vec((0..40_usize, 0..40_usize), 0..20),
        dropped in proptest::option::of(0..40_usize),
    ) {
        let archive: Vec<u8> = (0..u8::try_from(count).unwrap()).collect();
        let mut stream: Vec<u8> =
            archive.iter().copied().filter(|&content| Some(usize::from(content)) != dropped).collect();
        for (what, whereto) in copies {
            // A copy comes after its first occurrence.
            let what = u8::try_from(what % count).unwrap();
            if let Some(at) = stream.iter().position(|&content| content == what) {
                stream.insert((at + 1 + whereto).min(stream.len()), what);
            }
        }
        let missing = dropped.filter(|&dropped| dropped < count);
        let (differences, duplicates, foreign) = find(&archive, &stream, ORDERED);
        let expected: Vec<_> = missing.iter().map(|&at| (u32::try_from(at).unwrap(), Difference::Missing)).collect();
        prop_assert_eq!(differences, expected);
        prop_assert_eq!(duplicates, (stream.len() + missing.iter().count() - count) as u64);
        prop_assert_eq!(foreign, 0);
    }

    #[test]
    fn whatever_is_in_the_stream_the_counts_add_up(
        archive in proptest::collection::vec(0..6_u8, 0..30),
        stream in proptest::collection::vec(0..8_u8, 0..40),
    ) {
        let mut findings = Findings::default();
        walk(expected(&archive), seen(&stream), ORDERED, &mut findings);
        let count = findings.shards.get(&0).copied().unwrap_or_default();
        prop_assert_eq!(count.ours + count.duplicates + count.foreign, stream.len() as u64);
        // Whatever the order, a record is missing if the stream has it too seldom.
        let few = |content: u8| {
            let times = |records: &[u8]| records.iter().map(|&other| usize::from(other == content)).sum::<usize>();
            times(&archive).saturating_sub(times(&stream))
        };
        let missing: usize = (0..8).map(few).sum();
        let found = findings.differences.iter().filter(|(_, what)| *what == Difference::Missing).count();
        prop_assert_eq!(found, missing);
    }
}
