//! What is set aside is the exception: a run that sets aside most of what it reads stops and says so.

use crate::foreign::repository;
use crate::sandbox::Sandbox;

#[test]
fn a_mistyped_key_stops_the_run_before_everything_is_set_aside() {
    let sandbox = Sandbox::new();
    let archive = repository("tests/fixtures/archive");
    let line = format!("replay {} --into null: --partition-key /tailnumm --json", archive.display());
    let report = sandbox.run(&line).json(4);
    assert_eq!((&report["state"], &report["records"]["delivered"]), (&"incomplete".into(), &0.into()));
    let quarantined = report["records"]["quarantined"].as_u64().unwrap();
    assert!((10_000..39_999).contains(&quarantined), "{quarantined}");
    assert!(report["message"].as_str().unwrap().contains("quarantine"), "{report}");

    // Whoever resumes means it.
    let report = sandbox.run("resume --json").json(3);
    assert_eq!((&report["state"], &report["records"]["quarantined"]), (&"done".into(), &39_999.into()));
    assert_eq!(report["quarantine"]["reasons"]["missing"], 39_999);
}
