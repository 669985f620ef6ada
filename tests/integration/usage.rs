//! What is wrong with a command line, told by the real binary: exit code 2, one sentence, nothing done.

use std::path::Path;
use std::process::Output;

use crate::events::{gzip, put};
use crate::sandbox::Sandbox;

/// Runs the binary in the package's folder, in an environment of its own.
fn respool(line: &str, variables: &[(&str, &str)]) -> std::io::Result<Output> {
    assert_cmd::Command::new(env!("CARGO_BIN_EXE_respool"))
        .args(line.split_whitespace())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_clear()
        .env("HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("nobody"))
        .envs(variables.iter().copied())
        .output()
}

#[test]
fn a_wrong_command_line_ends_with_2_and_one_sentence() {
    for (line, variables, said) in [
        ("replay s3://events --into sim:4 --share 2", &[][..], "a share is a number above 0"),
        ("replay s3://events --into sim:4", &[("RESPOOL_SHARE", "NaN")][..], "a share is a number above 0"),
        ("replay s3://events --into sim:4 --from 1d --until 2d", &[][..], "reversed"),
        ("replay s3://events --into kafka:topic", &[][..], "a target is a Kinesis stream's name or ARN"),
        ("replay README.md --into null:", &[][..], "README.md is a file"),
        ("replay no/such/place --into null:", &[][..], "no/such/place does not exist"),
        ("replay s3://events --into null: --offline --no-cache", &[][..], "give one of them"),
        (
            "replay s3://events --into null:",
            &[("RESPOOL_OFFLINE", "1"), ("RESPOOL_NO_CACHE", "1")][..],
            "the variables RESPOOL_OFFLINE and RESPOOL_NO_CACHE exclude each other",
        ),
        (
            "runs",
            &[("RESPOOL_QUIET", "1"), ("RESPOOL_VERBOSE", "2")][..],
            "the variables RESPOOL_QUIET and RESPOOL_VERBOSE exclude each other",
        ),
        ("resume --into null:", &[][..], "unexpected argument"),
        (
            "guide --away-since 20:00",
            &[][..],
            "2026-11-01T06:00 (UTC), 2026-11-01T06:00:00+01:00, or 90m, 6h",
        ),
    ] {
        let output = respool(line, variables).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {errors}");
        assert!(output.stdout.is_empty(), "{line}");
        assert!(!errors.contains("as a value, use"), "a mistyped flag is no value: {errors}");
        assert!(errors.starts_with("error: ") && errors.contains(said), "{line}: {errors}");
        assert!(
            !Path::new(env!("CARGO_TARGET_TMPDIR")).join("nobody").exists(),
            "{line} left something behind"
        );
    }
}

#[test]
fn a_variable_that_needs_another_flag_says_nothing_without_it() {
    let iam = "iam s3://events --into orders";
    let worker = [("RESPOOL_LEASE_TABLE", "worker"), ("RESPOOL_RETENTION", "48h")];
    let policy = |line: &str, variables: &[(&str, &str)]| {
        let output = respool(line, variables).unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(policy(iam, &worker), policy(iam, &[]));
    assert!(policy(&format!("{iam} --backfill"), &worker).contains("table/worker"));
    assert!(policy(&format!("{iam} --create"), &worker).contains("IncreaseStreamRetentionPeriod"));
    let typed = respool(&format!("{iam} --lease-table worker"), &[]).unwrap();
    assert_eq!(typed.status.code(), Some(2));
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, &gzip(b"{\"k\":1}\n"));
    let shape = [("RESPOOL_SHARDS", "8"), ("RESPOOL_TAG", "team=orders"), ("RESPOOL_RETENTION", "48h")];
    for variables in [&shape[..], &[("RESPOOL_EVENT_TIME", "/ts"), ("RESPOOL_EVENT_TIME_FORMAT", "ms")]] {
        let mut replay = sandbox.command("replay archive --into null: --partition-key /k --json");
        replay.envs(variables.iter().copied());
        assert_eq!(sandbox.start_command(replay).wait().json(0)["records"]["delivered"], 1);
    }
}

#[test]
fn help_goes_to_stdout_and_ends_with_0() {
    for line in ["--help", "--version", "replay -h", "replay --help", "cache prune --help"] {
        let output = respool(line, &[]).unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{line}");
    }
}

#[test]
fn a_variable_never_shows_its_value_in_help() {
    let output = respool("replay --help", &[("RESPOOL_PROFILE", "canary")]).unwrap();
    assert!(!String::from_utf8(output.stdout).unwrap().contains("canary"));
}

#[test]
fn what_is_typed_goes_before_the_variable_that_excludes_it() {
    for (line, variables) in [
        ("runs -v", [("RESPOOL_QUIET", "1"), ("RESPOOL_VERBOSE", "0")]),
        ("-v runs", [("RESPOOL_QUIET", "1"), ("RESPOOL_JSON", "0")]),
        ("runs --quiet", [("RESPOOL_QUIET", "1"), ("RESPOOL_VERBOSE", "2")]),
        ("runs", [("RESPOOL_QUIET", "1"), ("RESPOOL_VERBOSE", "0")]),
    ] {
        let output = respool(line, &variables).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{line} {variables:?}: {errors}");
    }
}

#[test]
fn a_configuration_holds_defaults_and_its_mistakes_are_told_with_its_name() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = folder.path().join("respool.toml");
    let run = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let output = respool(&format!("replay s3://events --config {}", file.display()), &[]).unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, errors) = run("[replay]\ninto = \"kafka:topic\"\n");
    assert!(
        code == Some(2) && errors.contains("respool.toml: into = \"kafka:topic\": a target is"),
        "{errors}"
    );
    let (code, errors) = run("into = \"sim:2\"\nfrom = 2026-11-03\nuntil = 2026-11-02\n");
    assert!(code == Some(2) && errors.contains("reversed"), "{errors}");
    let (code, errors) = run("speed = 9\n");
    assert!(code == Some(2) && errors.contains("respool.toml: speed: there is no flag --speed"), "{errors}");
}

#[test]
fn completions_manual_pages_and_a_configuration_follow_from_the_flags() {
    for (line, part) in [
        ("completions bash", "--partition-key"),
        ("completions fish", "partition-key"),
        ("man", "respool"),
        ("config", "# share = "),
    ] {
        let output = respool(line, &[]).unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.contains(part), "{line}: {text}");
    }
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let pages = folder.path().join("share/man/man1");
    let output = respool(&format!("man --dir {}", pages.display()), &[]).unwrap();
    assert!(output.status.success() && pages.join("respool-replay.1").exists());
}
