//! What is wrong with a command line, told by the real binary: exit code 2, one sentence, nothing done.

use std::path::Path;
use std::process::Output;

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
        ("resume --into null:", &[][..], "unexpected argument"),
    ] {
        let output = respool(line, variables).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}: {errors}");
        assert!(output.stdout.is_empty(), "{line}");
        assert!(errors.starts_with("error: ") && errors.contains(said), "{line}: {errors}");
        assert!(
            !Path::new(env!("CARGO_TARGET_TMPDIR")).join("nobody").exists(),
            "{line} left something behind"
        );
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
