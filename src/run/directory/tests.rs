//! What must hold of run directories.

use super::*;

fn run_with(file: &str) -> (tempfile::TempDir, RunDirectory) {
    let state = tempfile::tempdir().unwrap();
    let directory = RunDirectory::create(&StateDir::usual(state.path()), Timestamp::UNIX_EPOCH).unwrap();
    fs::write(directory.path().join(RUN_FILE), file).unwrap();
    (state, directory)
}

#[test]
fn a_run_of_another_layout_is_named_and_not_called_damaged() {
    let file = r#"{"version":9,"news":true,"stream":{"name":"orders","arn":null,"created_ms":7}}"#;
    let (state, directory) = run_with(file);
    let error = read_run_file(&directory).unwrap_err();
    let said = format!("has layout 9, this respool reads {RUN_FILE_VERSION}");
    assert!(error.to_string().contains(&said), "{error}");
    let stream = StreamIdentity { name: "orders".into(), arn: None, created_ms: 7 };
    let unreadable = unreadable_runs(state.path()).unwrap();
    assert_eq!(unreadable, [("19700101-000000".to_owned(), Layout { version: 9, stream: Some(stream) })]);
    fs::write(directory.path().join(RUN_FILE), r#"{"version":9,"stream":"elsewhere"}"#).unwrap();
    assert_eq!(unreadable_runs(state.path()).unwrap()[0].1.stream, None);
    fs::write(directory.path().join(REPORT_FILE), r#"{"state":"done"}"#).unwrap();
    assert_eq!(unreadable_runs(state.path()).unwrap(), [], "it is done, so nothing can be sent twice");
}

#[test]
fn a_run_that_cannot_be_read_is_named_with_what_can_be_told() {
    let file = r#"{"version":9,"stream":{"name":"orders","arn":null,"created_ms":7}}"#;
    let (state, directory) = run_with(file);
    fs::write(directory.path().join(REPORT_FILE), r#"{"state":"done"}"#).unwrap();
    let unread = || {
        let (runs, mut unread) = look_at_all(state.path()).unwrap();
        assert!(runs.is_empty());
        unread.pop()
    };
    let found = unread().unwrap();
    assert_eq!(found.id, "19700101-000000");
    assert!(found.why.contains("layout 9") && found.owner.is_some(), "{found:?}");
    let stream = |created_ms| StreamIdentity { name: "orders".into(), arn: None, created_ms };
    assert!(found.may_be_into(&stream(7)) && !found.may_be_into(&stream(8)));
    fs::write(directory.path().join(RUN_FILE), "{").unwrap();
    let found = unread().unwrap();
    assert!(found.why.contains("damaged") && found.may_be_into(&stream(8)), "{found:?}");
    fs::remove_file(directory.path().join(RUN_FILE)).unwrap();
    assert_eq!(unread(), None, "it was never begun");
    fs::write(directory.path().join("checkpoint-00000001.log"), "").unwrap();
    assert!(unread().unwrap().why.contains("is missing"));
}

#[test]
fn a_lock_that_tells_no_process_is_held_all_the_same() {
    let (_state, directory) = run_with("{}");
    let lock = directory.path().join(LOCK_FILE);
    fs::write(&lock, [0xff]).unwrap();
    assert!(owner(&lock).is_some());
    fs::write(&lock, "").unwrap();
    assert_eq!(owner(&lock).as_deref(), Some("?"));
    drop(directory);
    assert_eq!(owner(&lock), None);
}

#[test]
fn who_looks_at_a_run_for_a_moment_does_not_keep_its_owner_out() {
    let (state, directory) = run_with("{}");
    let id = directory.id().to_owned();
    let lock = File::open(directory.path().join(LOCK_FILE)).unwrap();
    drop(directory);
    lock.try_lock_shared().unwrap();
    let (tell, begun) = std::sync::mpsc::channel();
    let state_dir = state.path().to_owned();
    let owner = std::thread::spawn(move || {
        tell.send(()).unwrap();
        RunDirectory::open(&StateDir::usual(&state_dir), &id).map(drop)
    });
    begun.recv().unwrap();
    drop(lock);
    owner.join().unwrap().unwrap();
}

#[test]
fn a_plan_is_compared_by_the_shards_that_there_were_or_those_nearest_to_them() {
    let (_state, directory) = run_with("{}");
    assert_eq!(directory.planned(4), None);
    let figures = |shards: u32| {
        serde_json::json!({"objects": 1, "bytes_stored": 1, "records": 1, "bytes": 1, "shards": shards, "seconds": 1.0,
            "binding_limit": "records/s", "cost_usd": 0.1})
    };
    let plan = serde_json::json!({"figures": figures(1), "others": [figures(4), figures(16)]});
    fs::write(directory.path().join(PLAN_FILE), plan.to_string()).unwrap();
    for (had, nearest) in [(1, 1), (2, 1), (3, 4), (4, 4), (7, 4), (9, 16), (1_000, 16), (0, 1)] {
        assert_eq!(directory.planned(had).unwrap().shards, nearest, "{had}");
    }
}
