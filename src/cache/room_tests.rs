//! What holds between processes that share a cache: a second handle is as good as a second process, because locks
//! belong to open files.

use std::fs::{self, File};
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use super::tests::{fill, identity, lines, open, path, scratch, temporaries};
use super::*;

const ROUNDS: usize = 10;

fn bytes_in(dir: &TempDir) -> u64 {
    let folders = fs::read_dir(dir.path().join("v1")).unwrap();
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn claims(dir: &TempDir) -> usize {
    fs::read_dir(dir.path().join("claims")).unwrap().count()
}

/// A segment of the usual size, under the name of `key`.
fn put(cache: &Cache, key: &str) -> u64 {
    let (data, spans) = lines(100, 99);
    fill(cache, key, &data, &spans, Placement::Kept).file_bytes()
}

fn segment_bytes() -> u64 {
    put(&open(&scratch()), "a")
}

#[test]
fn what_one_has_claimed_another_does_not_take() {
    let (dir, size) = (scratch(), segment_bytes());
    let limit = ByteCount(4 * size);
    let (one, other) = (Cache::open(dir.path(), limit).unwrap(), Cache::open(dir.path(), limit).unwrap());
    let reserve = |cache: &Cache, bytes| cache.make_room(ByteCount(bytes), &|_| true).unwrap();
    assert_eq!(claims(&dir), 0, "who only looks claims nothing");
    let two = reserve(&one, 2 * size).unwrap();
    assert!(reserve(&other, 3 * size).is_none());
    assert!(other.kept_for_others().0 >= 2 * size);
    let third = reserve(&other, size).unwrap();
    // What is published is counted from the disk, and not twice.
    put(&one, "a");
    put(&one, "b");
    drop(two);
    let more = reserve(&other, size / 2).expect("about as much is left");
    assert!(reserve(&other, size).is_none() && reserve(&one, size).is_none());
    // With a run its claim goes.
    drop((third, more, other));
    assert_eq!(claims(&dir), 1);
    let rest = reserve(&one, 2 * size).expect("all that was left");
    assert!(reserve(&one, 1).is_none());
    drop((rest, one));
    assert_eq!((claims(&dir), bytes_in(&dir)), (0, 2 * size));
}

#[test]
fn processes_together_stay_below_the_limit_that_each_of_them_has() {
    const PROCESSES: usize = 4;
    let (dir, size) = (scratch(), segment_bytes());
    let limit = ByteCount(10 * size);
    let (barrier, published) = (Barrier::new(PROCESSES), AtomicUsize::new(0));
    let run = |process: usize| {
        let cache = Cache::open(dir.path(), limit).unwrap();
        for round in 0..ROUNDS {
            barrier.wait();
            for n in 0..4 {
                // Every second round nothing may be evicted.
                let kept = |_: &SegmentId| round % 2 == 0;
                if let Some(room) = cache.make_room(ByteCount(size), &kept).unwrap() {
                    put(&cache, &format!("{process} {round} {n}"));
                    published.fetch_add(1, Ordering::Relaxed);
                    drop(room);
                }
            }
            // What is evicted while another counts would be counted beside what has taken its place.
            barrier.wait();
            let found = bytes_in(&dir);
            assert!(found <= limit.0, "{found} B of {limit} in round {round}");
        }
    };
    thread::scope(|scope| {
        for process in 0..PROCESSES {
            let run = &run;
            scope.spawn(move || run(process));
        }
    });
    // The claims of the others hold back less than a segment each.
    assert!(bytes_in(&dir) >= limit.0 - PROCESSES as u64 * size);
    assert!(published.into_inner() > 10 + ROUNDS, "others went for them");
    assert_eq!((temporaries(&dir), claims(&dir)), (0, 0));
}

#[test]
fn what_a_killed_process_had_claimed_is_free_and_what_it_was_writing_is_gone() {
    let (dir, size) = (scratch(), segment_bytes());
    let cache = Cache::open(dir.path(), ByteCount(4 * size)).unwrap();
    let killed = Cache::open(dir.path(), ByteCount(4 * size)).unwrap();
    let room = killed.make_room(ByteCount(3 * size), &|_| true).unwrap();
    let claim = fs::read_dir(dir.path().join("claims")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&claim).unwrap();
    drop((room, killed));
    // A process that is killed leaves files and no locks.
    fs::write(claim, bytes).unwrap();
    fs::write(dir.path().join("tmp/torn"), vec![0; 100_000]).unwrap();
    assert!(cache.make_room(ByteCount(3 * size), &|_| true).unwrap().is_some());
    assert_eq!((temporaries(&dir), claims(&dir)), (0, 1));
}

#[test]
fn what_a_killed_process_was_writing_goes_before_any_segment() {
    let (dir, size) = (scratch(), segment_bytes());
    let cache = Cache::open(dir.path(), ByteCount(size)).unwrap();
    put(&cache, "a");
    File::create(dir.path().join("tmp/torn")).unwrap();
    assert!(cache.make_room(ByteCount(size), &|_| true).unwrap().is_none());
    assert_eq!(temporaries(&dir), 0);
    File::create(dir.path().join("tmp/torn")).unwrap();
    assert!(!cache.evict(ByteCount(1), &|_| true).unwrap());
    assert_eq!(temporaries(&dir), 0);
}

#[test]
fn nothing_is_evicted_where_another_process_has_made_room() {
    let (dir, size) = (scratch(), segment_bytes());
    let filler = open(&dir);
    for key in ["a", "b", "c", "d"] {
        put(&filler, key);
    }
    let cache = Cache::open(dir.path(), ByteCount(4 * size)).unwrap();
    filler.remove(&identity("d").id()).unwrap();
    let room = cache.make_room(ByteCount(size), &|_| false).unwrap();
    assert!(room.is_some());
    assert_eq!(["a", "b", "c"].map(|key| path(&dir, key).exists()), [true; 3]);
}

#[test]
fn the_directory_is_read_a_bounded_number_of_times_however_small_the_objects() {
    const OBJECTS: u64 = 1_280;
    let dir = scratch();
    let cache = Cache::open(dir.path(), ByteCount(OBJECTS * 100)).unwrap();
    let mut looks = 0;
    let mut held = Vec::new();
    for object in 0..OBJECTS {
        // Each look finds what was put there behind its back.
        let id = identity(&object.to_string()).id();
        let file = cache.directory.path_of(&id);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        File::create(file).unwrap();
        let before = cache.usage().segments;
        held.push(cache.make_room(ByteCount(100), &|_| false).unwrap().expect("it fits"));
        looks += usize::from(cache.usage().segments != before);
    }
    assert!((2..=64).contains(&looks), "{looks}");
    drop(held);
    let room = cache.make_room(cache.limit(), &|_| true).unwrap();
    assert!(room.is_some(), "what was given up is free");
}

/// Ends the other thread, however this one ends.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn what_is_pinned_and_was_looked_up_stays_whoever_evicts_at_that_moment() {
    let dir = scratch();
    let (reader, evictor) = (open(&dir), open(&dir));
    let id = identity("a").id();
    put(&reader, "a");
    let whole = fs::read(path(&dir, "a")).unwrap();
    let ended = AtomicBool::new(false);
    let (mut found, mut refilled) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                evictor.evict(ByteCount(1), &|_| false).unwrap();
            }
        });
        let _end = Ended(&ended);
        while found.min(refilled) < 200 {
            let pin = reader.pin([id].into_iter()).unwrap();
            if reader.lookup(&id).unwrap().is_some() {
                found += 1;
            } else {
                // As a fill does it, but for the wait until it is on the disk.
                fs::write(dir.path().join("refilled"), &whole).unwrap();
                fs::rename(dir.path().join("refilled"), path(&dir, "a")).unwrap();
                refilled += 1;
            }
            for _ in 0..3 {
                assert!(reader.lookup(&id).unwrap().is_some(), "found {found}, refilled {refilled}");
                thread::yield_now();
            }
            drop(pin);
        }
    });
}

#[test]
fn what_another_run_needs_is_not_given_up_for_a_full_disk() {
    let dir = scratch();
    let (ours, theirs) = (open(&dir), open(&dir));
    put(&ours, "a");
    let id = identity("a").id();
    let pin = theirs.pin([id].into_iter()).unwrap();
    assert!(!ours.give_up(&id).unwrap() && ours.holds(&id));
    drop(pin);
    assert!(ours.give_up(&id).unwrap() && !ours.holds(&id));
}

#[cfg(target_os = "linux")]
#[test]
fn who_has_had_the_cache_alone_waits_for_the_next_one_to_share_it_again() {
    let dir = scratch();
    let cache = open(&dir);
    let next = File::open(dir.path().join("lock")).unwrap();
    let ended = AtomicBool::new(false);
    let inode = format!(":{} ", next.metadata().unwrap().ino());
    let is_waiting = |line: &str| line.contains("-> FLOCK") && line.contains(&inode);
    let waits = || fs::read_to_string("/proc/locks").is_ok_and(|locks| locks.lines().any(is_waiting));
    thread::scope(|scope| {
        let _end = Ended(&ended);
        let action = || {
            // As another purge wins in the moment between two locks.
            cache.directory.unlock()?;
            next.try_lock()?;
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) && !waits() {
                    thread::yield_now();
                }
                next.unlock().unwrap();
            });
            Ok(())
        };
        cache.directory.alone(action).unwrap();
    });
    assert!(matches!(open(&dir).purge(), Err(CacheError::Busy { .. })), "it is shared again");
}
