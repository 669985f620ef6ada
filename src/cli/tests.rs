//! What `cli` must hold.

use std::time::Duration;

use super::*;
use crate::config::{
    BenchSource, BenchSubject, BurstModel, CacheAction, CacheMode, ExportFormat, FramingChoice, Order,
    RateCap, Share,
};
use crate::route::key::KeyFallback;

fn environment() -> Environment {
    Environment {
        home: Some("/home/ada".into()),
        seed: 7,
        now: "2026-11-09T12:00:00Z".parse().unwrap(),
        ..Environment::default()
    }
}

fn run(line: &str) -> Result<Invocation, Stop> {
    parse(std::iter::once("respool").chain(line.split_whitespace()), &environment())
}

fn replay(flags: &str) -> ReplayConfig {
    match run(&format!("replay s3://events/live --into sim:4 --partition-key /id {flags}")) {
        Ok(Invocation::Replay(config)) => *config,
        other => panic!("{flags}: {other:?}"),
    }
}

/// The message of a command line that must end with 2.
fn refusal(line: &str) -> String {
    match run(line) {
        Err(stop) => {
            assert_eq!(stop.exit_code(), ExitCode::Usage, "{line}");
            stop.to_string()
        }
        Ok(_) => panic!("'{line}' was taken"),
    }
}

#[test]
fn the_command_is_consistent() {
    command().debug_assert();
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = replay("");
    assert_eq!(config.settings.order, Order::Key);
    assert_eq!(config.settings.input.decoding.framing, FramingChoice::Auto);
    assert_eq!(config.settings.seed, 7);
    assert_eq!(config.tuning.share, Share::DEFAULT);
    assert_eq!(config.tuning.max_rate, RateCap::default());
    assert_eq!(config.tuning.cache.mode, CacheMode::Keep);
    assert_eq!(config.tuning.cache.dir.to_str(), Some("/home/ada/.cache/respool"));
    assert_eq!(config.state_dir.to_str(), Some("/home/ada/.local/state/respool"));
    assert!(!config.yes && !config.dry_run && !config.new_run && !config.output.json);
}

#[test]
fn an_export_is_compressed_as_its_name_says_unless_it_is_said_otherwise() {
    for (flags, expected) in [
        ("--out x.ndjson", ExportFormat::Plain),
        ("--out -", ExportFormat::Plain),
        ("--out x.ndjson.gz", ExportFormat::Gzip),
        ("--out X.GZ", ExportFormat::Gzip),
        ("--out x.zst", ExportFormat::Zstd),
        ("--out x.ndjson.gz --format plain", ExportFormat::Plain),
        ("--out x.ndjson.gz --format zstd", ExportFormat::Zstd),
        ("--out gz", ExportFormat::Plain),
    ] {
        let Ok(Invocation::Fill(config)) = run(&format!("cache export s3://events {flags}")) else {
            panic!("{flags}")
        };
        assert_eq!(config.export.map(|export| export.format), Some(expected), "{flags}");
    }
}

#[test]
fn a_prune_by_itself_is_told_of_both_commands() {
    let said = refusal("cache prune");
    for command in ["`respool cache prune --older-than 30d`", "prune --to-size 20GB`"] {
        assert!(said.contains(command), "{said}");
    }
    let elsewhere = refusal("cache prune --cache-dir /c");
    assert!(elsewhere.contains("prune --cache-dir /c --older-than"), "{elsewhere}");
    assert!(run("cache prune --to-size 1GB").is_ok() && run("cache prune --older-than 30d").is_ok());
}

#[test]
fn every_flag_arrives() {
    let config = replay(
        "--from 3d --until 2026-11-09 --slack 2h --limit 10 --framing json --key-fallback hash --order none \
         --share 0.5 --max-rate 20MB/s --max-rate 5000rec/s --cache-size 20GiB --no-cache --anonymous \
         --s3-addressing host --dry-run --json -vv --yes --new",
    );
    let settings = &config.settings;
    let window = &settings.input.selection.window;
    assert_eq!(window.from().unwrap().to_string(), "2026-11-06T12:00:00Z");
    assert_eq!(window.until().unwrap().to_string(), "2026-11-09T00:00:00Z");
    assert_eq!((window.slack().as_secs(), settings.limit), (7_200, Some(10)));
    assert_eq!(
        (settings.input.decoding.framing, settings.order),
        (FramingChoice::ConcatenatedJson, Order::None)
    );
    assert_eq!(settings.key_fallback, Some(KeyFallback::Hash));
    let both = RateCap { records_per_second: Some(5_000), bytes_per_second: Some(20_000_000) };
    assert_eq!(config.tuning.max_rate, both);
    assert_eq!(config.tuning.cache.size.map(|size| size.0), Some(20 << 30));
    assert_eq!(config.tuning.cache.mode, CacheMode::Discard);
    assert!(
        config.tuning.s3_anonymous && config.dry_run && config.yes && config.new_run && config.output.json
    );
    assert_eq!(config.output.verbosity, 2);
}

#[test]
fn what_is_meant_for_one_service_goes_before_what_is_meant_for_both() {
    let tuning = replay(
        "--region eu-west-1 --kinesis-region us-east-1 --profile a --s3-profile b \
         --endpoint-url http://127.0.0.1:1 --s3-endpoint-url https://minio.example",
    )
    .tuning;
    assert_eq!(tuning.s3.region.as_deref(), Some("eu-west-1"));
    assert_eq!(tuning.kinesis.region.as_deref(), Some("us-east-1"));
    assert_eq!((tuning.s3.profile.as_deref(), tuning.kinesis.profile.as_deref()), (Some("b"), Some("a")));
    assert_eq!(tuning.s3.endpoint_url.unwrap().as_str(), "https://minio.example");
    assert_eq!(tuning.kinesis.endpoint_url.unwrap().as_str(), "http://127.0.0.1:1");
}

#[test]
fn an_arn_knows_its_region() {
    let line = "replay s3://events --into arn:aws:kinesis:eu-west-1:123456789012:stream/orders";
    let Ok(Invocation::Replay(config)) = run(&format!("{line} --region us-east-1")) else { panic!() };
    assert_eq!(config.tuning.kinesis.region.as_deref(), Some("eu-west-1"));
    assert_eq!(config.tuning.s3.region.as_deref(), Some("us-east-1"));
    let message = refusal(&format!("{line} --kinesis-region us-east-1"));
    assert_eq!(message, "the stream's ARN lies in eu-west-1, --kinesis-region says us-east-1");
}

#[test]
fn what_can_be_told_without_a_service_ends_with_2() {
    let to = "replay s3://events/live --into sim:4 --partition-key /id";
    for (flags, said) in [
        ("--share 0", "above 0"),
        ("--share -1", "above 0"),
        ("--share 1.5", "at most 1"),
        ("--share NaN", "above 0"),
        ("--max-rate 0rec/s", "never end"),
        ("--max-rate -5MB/s", "a rate is"),
        ("--max-rate 1MB/s --max-rate 2MB/s", "twice"),
        ("--cache-size 9223372036854775808B", "too large"),
        ("--cache-size 0GB", "size of 0"),
        ("--from 2026-11-09 --until 2026-11-02", "reversed"),
        ("--from 1d --until 3d", "reversed"),
        ("--from 1d --until 1d", "empty"),
        ("--from yesterday", "is no time"),
        ("--from -3d", "is no time"),
        ("--limit 0", "1 or more"),
        ("--limit -3", "1 or more"),
        ("--limit 9223372036854775808", "1 or more"),
        ("--slack -1h", "a duration is"),
        ("--offline --no-cache", "give one of them"),
        ("--quiet -v", "give one of them"),
        ("--region EU/west", "a region looks like"),
        ("--endpoint-url http://10.0.0.1:4566", "in clear"),
        ("--s3-endpoint-url http://user:pw@localhost", "an endpoint is"),
        ("--order strict", "possible values: key, relaxed, shard, none"),
        ("--framing csv", "possible values: auto"),
        ("--share 0.5 --share 0.6", "cannot be used multiple times"),
    ] {
        let message = refusal(&format!("{to} {flags}"));
        assert!(message.contains(said), "{flags}: {message}");
    }
}

#[test]
fn places_that_are_none_end_with_2() {
    for (line, said) in [
        ("replay s3://events --into file:x", "sim:SHARDS or null:"),
        ("replay s3://events --into sim:0", "1 to 4096 shards"),
        ("replay s3://events --into arn:aws:kinesis:x", "arn:aws:kinesis:REGION"),
        ("replay gs://events --into null:", "s3://BUCKET/PREFIX"),
        ("replay Cargo.toml --into null:", "is a file"),
        ("replay events/live --into null:", "a bucket is written s3://"),
        ("replay s3://events", "--into"),
        ("replay s3://events --into null: --partition-key user", "give a JSON pointer"),
        ("replay s3://events --into null: --partition-key hash --key-fallback random", "never miss"),
        ("resume --order none", "unexpected argument"),
        ("simulate --shards 0", "a number of shards is a whole number, 1 to 4,096"),
        ("simulate --port 70000", "a port is a whole number, 0 to 65,535"),
        ("cache prune", "--older-than"),
        ("cache", "Usage"),
        ("", "Usage"),
    ] {
        let message = refusal(line);
        assert!(message.contains(said), "{line}: {message}");
    }
}

#[test]
fn http_to_another_machine_needs_a_word() {
    let tuning = replay("--endpoint-url http://10.0.0.1 --allow-insecure-endpoint").tuning;
    assert!(tuning.s3.endpoint_url.unwrap().is_exposed());

    let aws = Environment { aws_endpoint_s3: Some("http://10.0.0.1".into()), ..environment() };
    let args = ["respool", "replay", "s3://events", "--into", "null:"];
    let stop = parse(args, &aws).unwrap_err();
    assert!(stop.to_string().contains("in clear"), "{stop}");
}

#[test]
fn a_key_may_be_chosen_later() {
    let Ok(Invocation::Replay(config)) = run("replay s3://events --into null:") else { panic!() };
    assert_eq!(config.settings.partition_key, None);
}

#[test]
fn without_a_home_the_directories_must_be_given() {
    let nowhere = Environment::default();
    let line = ["respool", "replay", "s3://events", "--into", "null:"];
    assert!(parse(line, &nowhere).unwrap_err().to_string().contains("--cache-dir"));
    let flags = ["--cache-dir", "/c", "--state-dir", "/s"];
    let Ok(Invocation::Replay(config)) = parse(line.iter().chain(&flags), &nowhere) else { panic!() };
    assert_eq!((config.tuning.cache.dir.to_str(), config.state_dir.to_str()), (Some("/c"), Some("/s")));
    let xdg = Environment { xdg_state_home: Some("/x/state".into()), ..environment() };
    let Ok(Invocation::Runs(config)) = parse(["respool", "runs"], &xdg) else { panic!() };
    assert_eq!(config.state_dir.to_str(), Some("/x/state/respool"));
}

#[test]
fn the_other_commands_arrive() {
    let Ok(Invocation::Resume(config)) = run("resume r1 --share 0.3 --profile live") else { panic!() };
    assert_eq!((config.run.as_deref(), config.changes.share), (Some("r1"), Some(Share::new(0.3).unwrap())));
    assert_eq!(config.changes.cache_mode, None);
    let Ok(Invocation::Runs(config)) = run("runs show r1 --json") else { panic!() };
    assert_eq!((config.show.as_deref(), config.output.json), (Some("r1"), true));
    let Ok(Invocation::Cache(config)) = run("cache purge --cache-dir /c --yes") else { panic!() };
    assert_eq!((config.action, config.dir.to_str()), (CacheAction::Purge { yes: true }, Some("/c")));
    let Ok(Invocation::Cache(config)) = run("cache ls") else { panic!() };
    assert_eq!(config.dir.to_str(), Some("/home/ada/.cache/respool"));
    let Ok(Invocation::Simulate(config)) = run("simulate --shards 8 --port 4567 --unlimited") else {
        panic!()
    };
    assert_eq!((config.shards, config.port, config.unlimited), (8, 4_567, true));
}

#[test]
fn a_benchmark_is_a_sweep_a_stream_or_stages() {
    let bench = |flags: &str| {
        let Ok(Invocation::Bench(config)) = run(&format!("bench --out /tmp/x {flags}")) else {
            panic!("{flags}")
        };
        config
    };
    let config = bench("--burst-model tenth,windows --record-size 200,1000 --latency 5ms");
    let sweep = BenchSubject::Sweep {
        shards: vec![1, 2, 4, 8, 16, 32, 64, 128],
        burst_models: vec![BurstModel::Tenth, BurstModel::Windows],
        latency: Duration::from_millis(5),
    };
    assert_eq!(config.subject, sweep);
    assert_eq!(config.source, BenchSource::Generated { record_sizes: vec![200, 1_000] });
    assert_eq!((config.keys.0.to_string().as_str(), config.order), ("/user/id", Order::Key));
    let config = bench("s3://events/live/ --partition-key /k --order none --share 0.5 --into orders --yes");
    assert!(matches!(config.subject, BenchSubject::Stream { yes: true, .. }));
    assert!(matches!(config.source, BenchSource::Archive { .. }));
    assert_eq!((config.order, config.tuning.share), (Order::None, Share::new(0.5).unwrap()));
    let Ok(Invocation::Bench(config)) = run("bench --null") else { panic!() };
    assert_eq!(config.subject, BenchSubject::Stages);
}

#[test]
fn made_up_events_cannot_be_selected_and_need_no_key() {
    for flag in ["--from 1d", "--include live/*", "--framing newline", "--event-time /ts --from 1d"] {
        let refused = refusal(&format!("bench --out /tmp/x {flag}"));
        let name = if flag.contains("--from") { "--from" } else { flag.split(' ').next().unwrap() };
        assert!(refused.contains(&format!("leave {name} out")), "{refused}");
        assert!(
            run(&format!("bench s3://events/live --partition-key /k --out /tmp/x {flag}")).is_ok(),
            "{flag}"
        );
    }
    assert!(refusal("bench s3://events/live --partition-key /k --null --objects x").contains("--objects"));
    let Err(stop) = run("bench --help") else { panic!() };
    let help = stop.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        !help.contains("the first record is shown") && help.contains("made-up events: /user/id"),
        "{help}"
    );
}

#[test]
fn help_is_grouped_names_the_exit_codes_and_no_variables() {
    let Err(stop) = run("replay --help") else { panic!() };
    assert_eq!(stop.exit_code(), ExitCode::Done);
    let help = stop.to_string();
    let headings = [
        HEADING_WHAT,
        HEADING_INTO,
        HEADING_ORDER,
        HEADING_SPEED,
        HEADING_CACHE,
        HEADING_AWS,
        HEADING_OUTPUT,
        "Exit codes",
    ];
    for heading in headings {
        assert_eq!(help.matches(&format!("\n{heading}:\n")).count(), 1, "{heading} in {help}");
    }
    assert!(!help.contains("[env:"), "{help}");
}

/// A plan in a file, made with these flags.
fn plan_file(folder: &std::path::Path, flags: &str) -> std::path::PathBuf {
    let line = format!("plan s3://events/live --into orders --partition-key /id {flags}");
    let Ok(Invocation::Plan(plan)) = run(&line) else { panic!("{line}") };
    let figures = crate::config::PlanFigures {
        objects: 1,
        bytes_stored: 1,
        records: 1,
        bytes: 1,
        shards: 1,
        seconds: 1.0,
        binding_limit: "records/s".into(),
        cost_usd: 0.0,
        shard_hour_usd: None,
        put_unit_usd: None,
    };
    let saved = crate::config::SavedPlan {
        version: crate::config::SAVED_PLAN_VERSION,
        created: environment().now,
        what: plan.what,
        tuning: plan.said,
        figures,
        others: Vec::new(),
        stream: crate::config::PlannedStream::default(),
        live: crate::config::PlannedLive::default(),
    };
    let path = folder.join("plan.json");
    std::fs::write(&path, serde_json::to_vec(&saved).unwrap()).unwrap();
    path
}

#[test]
fn what_is_typed_counts_beside_a_plan_as_without_one_and_a_plan_as_if_it_were_typed() {
    const FLAGS: &str = "--share 0.5 --max-rate 20MB/s --send sdk --max-quarantine 7 --accept-refusals --cache-dir /c \
        --cache-size 1GB --no-cache --region eu-west-1 --profile p --endpoint-url http://127.0.0.1:1 --s3-region us-east-1 \
        --s3-profile s --s3-endpoint-url http://127.0.0.1:2 --s3-addressing host --anonymous --request-payer \
        --expected-bucket-owner 123456789012 --kinesis-region us-east-2 --kinesis-profile k \
        --kinesis-endpoint-url http://127.0.0.1:3";
    let folder = tempfile::tempdir().unwrap();
    let tuning = |line: &str| match run(line) {
        Ok(Invocation::Replay(config)) => config.tuning,
        other => panic!("{line}: {other:?}"),
    };
    let alone = tuning(&format!("replay s3://events/live --into orders --partition-key /id {FLAGS}"));
    let bare = plan_file(folder.path(), "");
    assert_eq!(tuning(&format!("replay --plan {} {FLAGS}", bare.display())), alone);
    let full = plan_file(folder.path(), FLAGS);
    assert_eq!(tuning(&format!("replay --plan {}", full.display())), alone);
    // The file that keeps defaults goes behind the plan, the command line before it.
    let kept = folder.path().join("kept.toml");
    std::fs::write(&kept, "share = 0.1\nkinesis-profile = \"kept\"\n").unwrap();
    let line = format!("replay --plan {} --config {}", full.display(), kept.display());
    assert_eq!(tuning(&line), alone);
    let typed = tuning(&format!("{line} --kinesis-profile typed"));
    assert_eq!(typed.kinesis.profile.as_deref(), Some("typed"));
    assert_eq!(typed.share, alone.share);
    let resumed = run("resume --offline --online").ok();
    let Some(Invocation::Resume(resumed)) = resumed else { panic!() };
    assert_eq!((resumed.changes.cache_mode, resumed.changes.online), (None, true));
}

#[test]
fn a_resume_can_be_answered_beforehand() {
    for (line, expected) in [("resume", false), ("resume --yes", true), ("resume -y 20261127-120000", true)] {
        let Ok(Invocation::Resume(resumed)) = run(line) else { panic!("{line}") };
        assert_eq!(resumed.yes, expected, "{line}");
    }
}

#[test]
fn online_ends_offline_and_brings_no_cache_back() {
    let Ok(Invocation::Resume(resumed)) = run("resume --online") else { panic!() };
    for (begun, goes_on) in
        [("--offline", CacheMode::Keep), ("--no-cache", CacheMode::Discard), ("", CacheMode::Keep)]
    {
        let begun = replay(begun).tuning;
        assert_eq!(resumed.changes.clone().apply(begun).cache.mode, goes_on);
    }
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_file(folder.path(), "--no-cache");
    let line = format!("replay --plan {} --online", plan.display());
    let Ok(Invocation::Replay(replayed)) = run(&line) else { panic!("{line}") };
    assert_eq!(replayed.tuning.cache.mode, CacheMode::Discard);
    // What only the file says goes behind what is typed.
    let kept = folder.path().join("kept.toml");
    std::fs::write(&kept, "offline = true\n").unwrap();
    let line = format!("{line} --config {}", kept.display());
    let Ok(Invocation::Replay(replayed)) = run(&line) else { panic!("{line}") };
    assert_eq!(replayed.tuning.cache.mode, CacheMode::Discard);
}

#[test]
fn a_plans_endpoint_in_clear_is_refused_wherever_the_plan_is_used() {
    const ALLOW: &str = "--allow-insecure-endpoint";
    let folder = tempfile::tempdir().unwrap();
    let plan = plan_file(folder.path(), &format!("--kinesis-endpoint-url http://10.0.0.1 {ALLOW}"));
    let plan = plan.display();
    for line in [
        format!("guide {plan}"),
        format!("stream create orders --plan {plan}"),
        format!("replay --plan {plan}"),
    ] {
        assert!(refusal(&line).contains("http://10.0.0.1"), "{line}");
        assert!(run(&format!("{line} {ALLOW}")).is_ok(), "{line}");
        assert!(run(&format!("{line} --kinesis-endpoint-url https://10.0.0.1")).is_ok(), "{line}");
    }
}

#[test]
fn settings_are_said_by_flags_that_give_them_again_on_another_day() {
    let another_day = Environment { now: "2027-01-01T00:00:00Z".parse().unwrap(), ..environment() };
    for flags in [
        "",
        "--key-fallback hash --order relaxed --aggregate --limit 9",
        "--from 3d --until 2026-11-09 --slack 2h --layout dt={yyyy-MM-dd} --timezone Asia/Tokyo",
        "--include */a/* --include b* --exclude *.tmp --skip-archived --salvage",
        "--from 3d --until 6h --event-time /ts --event-time-format ms --framing json-array --slack 0s",
        "--layout all --event-time /ts --from 2h --delimiter \\x1e --restore bulk",
        "--error-output --layout modified",
    ] {
        let settings = replay(flags).settings;
        let words = ["respool", "replay", "s3://events/live", "--into", "sim:4"].map(str::to_owned);
        let said = words.into_iter().chain(settings.flags());
        match parse(said, &another_day) {
            Ok(Invocation::Replay(again)) => assert_eq!(again.settings, settings, "{flags}"),
            other => panic!("{flags}: {other:?}"),
        }
    }
    let bucket = "--anonymous --request-payer --expected-bucket-owner 123456789012 --s3-addressing path";
    assert_eq!(replay(&replay(bucket).tuning.bucket_flags().join(" ")).tuning, replay(bucket).tuning);
}
