use std::collections::BTreeMap;

use super::*;
use crate::record::{HashKeyRange, Ordinal};
use crate::route::SetAsideReason;

fn line(record: u32) -> QuarantineLine {
    QuarantineLine::of(1, Some(record), "a\nb.gz", "missing")
}

fn aside(record: u32) -> SetAside {
    SetAside { ordinal: Ordinal::new(1, record), reason: SetAsideReason::NoEventTime }
}

fn looked_up(aside: &SetAside, with_bytes: bool) -> Quarantined {
    let record = aside.ordinal.record();
    let bytes = with_bytes.then(|| format!("record {record}").into_bytes());
    Quarantined { line: line(record), bytes }
}

fn ends() -> Ends {
    Ends { look_up: Box::new(looked_up), settled: Box::new(drop), durable: Box::new(drop) }
}

#[test]
fn a_checkpoint_is_reported_after_what_it_counts_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (sender, durable) = crossbeam_channel::unbounded();
    let path = directory.path().to_owned();
    let report = move |sequence: io::Result<u64>| {
        let lines = quarantine_lines(&path).unwrap().count();
        sender.send((sequence.unwrap(), lines)).unwrap();
    };
    let ends = Ends { durable: Box::new(report), ..ends() };
    let mut journal = Journal::start(directory.path(), ends).unwrap();
    journal.write(Entry::SetAside(vec![aside(1), aside(2)]));
    journal.write(Entry::Checkpoint(Box::new(Checkpoint {
        sequence: 5,
        ..Checkpoint::start([HashKeyRange::ALL])
    })));
    journal.close();
    assert_eq!(durable.iter().collect::<Vec<_>>(), [(5, 2)]);
    let stored = quarantine_lines(directory.path()).unwrap().last().unwrap().stored.unwrap();
    let bytes = fs::read(directory.path().join(RECORDS_FILE)).unwrap();
    assert_eq!((stored.at, stored.len, bytes.as_slice()), (8, 8, &b"record 1record 2"[..]));
}

#[test]
fn nobody_waits_for_a_disk_that_stalls() {
    let directory = tempfile::tempdir().unwrap();
    let (let_go, stalled) = bounded::<()>(0);
    let look_up = move |aside: &SetAside, with_bytes| {
        let _ = stalled.recv();
        looked_up(aside, with_bytes)
    };
    let mut journal =
        Journal::start(directory.path(), Ends { look_up: Box::new(look_up), ..ends() }).unwrap();
    assert!(journal.has_room());
    let records = 3 * u32::try_from(QUEUE).unwrap();
    (0..records).for_each(|record| journal.write(Entry::SetAside(vec![aside(record)])));
    assert!(!journal.has_room(), "no more input is taken");
    drop(let_go);
    journal.close();
    assert_eq!(quarantine_lines(directory.path()).unwrap().count(), records as usize);
}

#[test]
fn no_record_is_read_that_its_file_has_no_room_for() {
    let directory = tempfile::tempdir().unwrap();
    let (read, bytes_read) = crossbeam_channel::unbounded();
    let look_up = move |aside: &SetAside, with_bytes| {
        read.send(with_bytes).unwrap();
        looked_up(aside, with_bytes)
    };
    let mut journal =
        Journal::start(directory.path(), Ends { look_up: Box::new(look_up), ..ends() }).unwrap();
    journal.write(Entry::SetAside((0..10).map(aside).chain([aside(11)]).collect()));
    journal.close();
    let read: Vec<bool> = bytes_read.iter().collect();
    assert_eq!(read, [vec![true; 9], vec![false; 2]].concat(), "the ninth is the first one too many");
    assert_eq!(quarantine_lines(directory.path()).unwrap().filter(|line| line.stored.is_some()).count(), 8);
}

#[test]
fn a_segment_is_given_up_when_what_was_set_aside_of_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (sender, settled) = crossbeam_channel::unbounded();
    let path = directory.path().to_owned();
    let give_up = move |object| {
        sender.send((object, quarantine_lines(&path).unwrap().count())).unwrap();
    };
    let mut journal =
        Journal::start(directory.path(), Ends { settled: Box::new(give_up), ..ends() }).unwrap();
    journal.write(Entry::SetAside(vec![aside(1), aside(2)]));
    let ledger = ObjectLedger { quarantined: 2, ..ObjectLedger::default() };
    journal.write(Entry::Ledger(LedgerLine { object: 1, ledger }));
    journal.close();
    assert_eq!(settled.iter().collect::<Vec<_>>(), [(1, 2)]);
}

#[test]
fn entries_written_twice_count_once_and_a_torn_line_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(QUARANTINE_FILE);
    fs::create_dir(directory.path().join(QUARANTINE_DIR)).unwrap();
    let mut file = open_for_append(&path).unwrap();
    write_lines(&mut file, &[line(1), line(2), line(1)]).unwrap();
    file.write_all(b"{\"object\":").unwrap();
    let mut again = open_for_append(&path).unwrap();
    write_lines(&mut again, &[line(3)]).unwrap();
    let reasons = quarantine_reasons(directory.path()).unwrap();
    assert_eq!(reasons, BTreeMap::from([("missing".to_owned(), 3)]));
}
