//! Plans by the real binary: what they say, that they can be run, and what they refuse.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::events::{gzip, put};
use crate::foreign::tools;
use crate::s3::moto_server;
use crate::sandbox::Sandbox;

fn fixture() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/archive").display().to_string()
}

fn codes(plan: &Value) -> Vec<&str> {
    plan["warnings"].as_array().unwrap().iter().filter_map(|warning| warning["code"].as_str()).collect()
}

#[test]
fn a_plan_of_the_shipped_archive_is_exact_and_sends_nothing() {
    let sandbox = Sandbox::new();
    let line = format!("plan {} --partition-key /tailnum --shards 1,4,16 --json", fixture());
    let plan = sandbox.run(&line).json(0);
    assert_eq!(
        (&plan["objects"], &plan["records"], &plan["records_error"]),
        (&36.into(), &39_999.into(), &0.into())
    );
    assert_eq!((&plan["sample"]["whole"], &plan["keys"]["distinct"]), (&true.into(), &3_342.into()));
    let by_shards = plan["by_shards"].as_array().unwrap();
    assert_eq!(by_shards.iter().map(|one| one["shards"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 4, 16]);
    // One shard takes 980 a second; four have unequal parts of the keys.
    let seconds = |at: usize| by_shards[at]["seconds"].as_f64().unwrap();
    assert!((40.0..42.0).contains(&seconds(0)) && (10.0..13.0).contains(&seconds(1)), "{by_shards:?}");
    assert!(by_shards[0]["aggregated"]["seconds"].as_f64().unwrap() < seconds(0) / 2.0, "{by_shards:?}");
    assert_eq!(plan["binding_limit"], "records");
    assert!(plan["cost_usd"].as_f64().unwrap() > 0.0);
    assert!(sandbox.runs().is_empty(), "a plan is no run");
    // What was read is in the cache.
    let again = sandbox.run(&line).json(0);
    assert_eq!(again["records"], plan["records"]);
}

#[test]
fn a_deadline_asks_for_shards_and_the_page_fits_a_terminal() {
    let sandbox = Sandbox::new();
    let line = format!("plan {} --partition-key /tailnum --deadline 15s", fixture());
    let outcome = sandbox.run(&line);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("To be done within 15.0 s it takes 3 shards"), "{}", outcome.stdout);
    for line in outcome.stdout.lines().filter(|line| !line.contains("replay")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    assert!(outcome.stdout.lines().count() <= 40, "{}", outcome.stdout);
    let hopeless = sandbox.run(&format!("plan {} --partition-key /carrier --deadline 1s --json", fixture()));
    let hopeless = hopeless.json(0);
    assert_eq!(hopeless["deadline"]["shards"], Value::Null);
    assert_eq!(hopeless["deadline"]["binding_limit"], "hot_key");
}

#[test]
fn without_a_key_the_fields_that_would_work_are_named() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&format!("plan {} --shards 4", fixture()));
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(outcome.stdout.contains("--partition-key /tailnum"), "{}", outcome.stdout);
    let plan = sandbox.run(&format!("plan {} --shards 4 --json", fixture())).json(0);
    assert_eq!((&plan["records"], &plan["keys"]["distinct"]), (&39_999.into(), &Value::Null));
    let candidates = plan["candidates"].as_array().unwrap();
    let place = |pointer: &str| candidates.iter().position(|field| field["pointer"] == pointer).unwrap();
    // Flights that were cancelled have no time of arrival, and all are of one year.
    assert_eq!(candidates[place("/tailnum")]["present"], 1.0);
    assert!(candidates[place("/arr_time")]["present"].as_f64().unwrap() < 1.0, "{plan}");
    assert!(place("/tailnum") < place("/arr_time") && place("/arr_time") < place("/year"), "{plan}");
    assert_eq!(plan["candidates_whole"], false, "of each object some were looked at");
    assert!(outcome.stdout.contains("In a sample of"), "{}", outcome.stdout);
    // The others recommend no other.
    let first = |text: &str| {
        text.split("--partition-key ")
            .find_map(|rest| rest.split_whitespace().next()?.strip_prefix('/').map(str::to_owned))
    };
    let asked = sandbox.run(&format!("replay {} --into sim:1", fixture()));
    let inspected = sandbox.run(&format!("inspect {}", fixture()));
    let said = [&outcome.stdout, &asked.stderr, &inspected.stdout].map(|text| first(text));
    assert!(said.iter().all(|key| key.as_deref() == Some("tailnum")), "{said:?}");
    assert!(asked.code == 2 && !asked.stderr.contains("/year"), "{}", asked.stderr);
}

#[test]
fn a_saved_plan_is_carried_out_and_may_not_be_contradicted() {
    let sandbox = Sandbox::new();
    let made = format!(
        "plan {} --partition-key /tailnum --until 2013-04-10 --into sim:64 --save week.json --html week.html --json",
        fixture()
    );
    let plan = sandbox.run(&made).json(0);
    let shown = sandbox.run(&made.replace(" --json", ""));
    let named = shown.stdout.split("most frequent: ").nth(1).unwrap();
    let aircraft = named.split_whitespace().find(|word| word.starts_with('N') && word.len() == 6).unwrap();
    let saved = fs::read_to_string(sandbox.path("week.json")).unwrap();
    let page = fs::read_to_string(sandbox.path("week.html")).unwrap();
    for (what, text) in [("plan", &saved), ("page", &page), ("JSON", &plan.to_string())] {
        assert!(!text.contains(aircraft), "the {what} names the key {aircraft}");
    }
    assert!(page.contains("<svg") && page.contains("Record sizes"));
    for (flags, said) in [
        ("--order none", "--order is none, the plan says key"),
        ("--partition-key /carrier", "--partition-key is /carrier, the plan says /tailnum"),
        ("--into sim:2", "--into is sim:2, the plan says sim:64"),
        ("--until 2013-04-11", "make a new plan"),
        ("--framing json", "make a new plan"),
    ] {
        let outcome = sandbox.run(&format!("replay --plan week.json {flags}"));
        assert!(outcome.sentence(2).contains(said), "{flags}: {}", outcome.stderr);
    }
    let report = sandbox.run("replay --plan week.json --share 0.9 --json").json(0);
    assert_eq!(report["records"]["delivered"], plan["records"]);
    assert_eq!(report["bytes_delivered"], plan["bytes"]);
    assert_eq!(report["window"]["until"], "2013-04-10T00:00:00Z");
    let run = report["run"].as_str().unwrap();
    assert!(sandbox.path(format!("state/respool/runs/{run}/plan.json")).is_file());
}

#[test]
fn wrong_command_lines_end_with_2() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("broken.json"), "{}").unwrap();
    fs::write(sandbox.path("prices.toml"), "date = 1").unwrap();
    let archive = fixture();
    for (line, said) in [
        (format!("plan {archive} --shards 0"), "a number of shards is a whole number, 1 to 10,000"),
        (format!("plan {archive} --deadline 0s"), "a duration of 0"),
        (format!("plan {archive} --offline"), "leave out --offline"),
        (format!("plan {archive} --since 3h"), "--live-stream"),
        (format!("plan {archive} --round-trip 0"), "1 to 60,000"),
        (format!("plan {archive} --prices prices.toml"), "--prices"),
        (format!("plan {archive} --prices nowhere.toml"), "nowhere.toml"),
        ("plan no/such/place".to_owned(), "does not exist"),
        ("replay --plan broken.json".to_owned(), "this is no plan"),
        ("replay --plan nowhere.json".to_owned(), "nowhere.json"),
        ("iam events --into sim:4".to_owned(), "no permission is needed"),
    ] {
        let outcome = sandbox.run(&line);
        assert_eq!(outcome.code, 2, "{line}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{line}: {}", outcome.stderr);
    }
}

#[test]
fn the_policy_of_a_plan_names_its_archive_and_its_stream() {
    let sandbox = Sandbox::new();
    let policy = sandbox.run("iam s3://events/live/ --into orders --region eu-west-1").json(0);
    assert_eq!(policy["Statement"][1]["Resource"], "arn:aws:s3:::events/live/*");
    assert_eq!(policy["Statement"][2]["Resource"], "arn:aws:kinesis:eu-west-1:*:stream/orders");
}

#[test]
fn a_stream_that_seems_to_feed_the_archive_is_refused_without_a_word() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("");
    let object = sandbox.path("events/2026/11/02/06/demo-1-2026-11-02-06-00-00-uuid");
    fs::create_dir_all(object.parent().unwrap()).unwrap();
    fs::write(&object, "{\"k\":1}\n{\"k\":2}\n").unwrap();
    let line = format!("--partition-key /k --into demo --kinesis-endpoint-url {url}");
    let refused = sandbox.run(&format!("replay events {line} --yes"));
    assert!(refused.sentence(5).contains("--allow-loop"), "{}", refused.stderr);
    let plan = sandbox.run(&format!("plan events {line} --json")).json(0);
    assert_eq!(codes(&plan), ["loop", "few_keys"]);
    let report = sandbox.run(&format!("replay events {line} --yes --allow-loop --json")).json(0);
    assert_eq!(report["records"]["delivered"], 2);
}

#[test]
fn of_a_bucket_only_the_beginnings_are_read_and_what_lies_in_glacier_is_named() {
    let Some([python]) = tools(["RESPOOL_TEST_PYTHON"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut records = 0;
    for hour in 10..22 {
        let line =
            |n: u32| format!("{{\"k\":{hour}{n},\"text\":\"{}\"}}\n", "x".repeat(400 + (n % 200) as usize));
        let text: String = (0..1_500 + hour * 20).map(line).collect();
        records += 1_500 + hour * 20;
        let path = folder.path().join(format!("live/2026/07/01/{hour}/a"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(folder.path().join("live/2026/07/01/10/glacier"), "{\"k\":1}\n").unwrap();
    let server = moto_server(&python, folder.path());
    let sandbox = Sandbox::new();
    let flags = "--partition-key /k --shards 4 --region us-east-1 --json";
    let plan =
        sandbox.run(&format!("plan s3://events/live/ --s3-endpoint-url {} {flags}", server.url)).json(0);
    let planned = plan["records"].as_f64().unwrap();
    assert!((planned / f64::from(records) - 1.0).abs() < 0.02, "{planned} instead of {records}");
    assert!(plan["sample"]["share"].as_f64().unwrap() < 0.8, "{}", plan["sample"]);
    assert_eq!(codes(&plan), ["archived"]);
}

#[test]
fn a_saved_plan_is_a_checklist_a_stream_and_a_replay() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("");
    let line =
        format!("plan {} --partition-key /tailnum --shards 3 --retention 50h --save plan.json", fixture());
    sandbox.run(&line).ended_with(0);
    let door = format!("--kinesis-region eu-west-1 --kinesis-endpoint-url {url}");
    let guide = sandbox.run(&format!("guide plan.json {door} --json")).json(0);
    let command = |number: usize| guide["steps"][number]["command"].as_str().unwrap();
    // Named by its whole path, since what is printed may be pasted elsewhere.
    let whole = sandbox.path("plan.json");
    assert_eq!(command(0), format!("respool stream create NAME --plan {} {door}", whole.display()));
    assert_eq!(command(1), format!("respool replay --plan {} --into NAME {door}", whole.display()));
    let drained = guide["steps"][4]["notes"].to_string();
    assert!(drained.contains("within 50 h of the replay's start"), "{drained}");
    let mut by_variable = sandbox.command(&format!("guide {door} --json"));
    by_variable.env("RESPOOL_PLAN", "plan.json");
    assert_eq!(sandbox.start_command(by_variable).wait().json(0), guide);
    let mut named = sandbox.command("guide none");
    named.env("RESPOOL_PLAN", "plan.json");
    assert!(sandbox.start_command(named).wait().sentence(5).contains("there is no run none"));
    fs::create_dir(sandbox.path("beside")).unwrap();
    let page = sandbox.run(&format!("guide ./beside//../plan.json {door}")).stdout;
    assert!(page.contains(&format!("--plan {} ", whole.display())), "{page}");
    assert!(
        page.contains("3 shards, records kept for 50 h") && page.contains("39,999 records in about"),
        "{page}"
    );
    // What the plan was told of the live stream counts here, too, unless it is said otherwise.
    let away = line.replace("plan.json", "away.json") + " --live-retention 48h --since 60h";
    assert!(sandbox.run(&away).stdout.contains("the live stream has forgotten already"));
    let late = sandbox.run(&format!("guide away.json {door}")).stdout;
    assert!(late.contains("keeps records for 48 h") && late.contains("has forgotten already"), "{late}");
    assert!(late.contains("[ ] 3. Restart"), "nobody reads what is not there yet: {late}");
    let raised = sandbox.run(&format!("guide away.json --live-retention 168h {door}")).stdout;
    assert!(raised.contains("keeps records for 168 h") && !raised.contains("TOO LATE"), "{raised}");
    // What it says is typed, with a name.
    let typed = |number: usize| command(number).replace("NAME", "backfill").replace("respool ", "");
    let created = sandbox.run(&format!("{} --json", typed(0))).json(0);
    assert_eq!((&created["shards"], &created["retention_hours"]), (&3.into(), &50.into()));
    let report = sandbox.run(&format!("{} --yes --json", typed(1))).json(0);
    assert_eq!(
        (&report["records"]["delivered"], &report["plan"]["records"]),
        (&39_999.into(), &39_999.into())
    );
    let begun = sandbox.run(&format!("guide plan.json {door}")).stdout;
    assert!(
        begun.contains(report["run"].as_str().unwrap()) && begun.contains(": 39,999 records delivered"),
        "{begun}"
    );
    let of_away = typed(1).replace("plan.json", "away.json");
    let away = sandbox.run(&format!("{of_away} --yes --json --new --limit 9")).json(0);
    let away = away["run"].as_str().unwrap();
    for line in ["guide away.json".to_owned(), "guide".to_owned(), format!("guide {away}")] {
        let told = sandbox.run(&format!("{line} {door}")).stdout;
        for words in [away, "keeps records for 48 h", "(TOO LATE)", "[x] 3. Restart"] {
            assert!(told.contains(words), "{line}: {words}: {told}");
        }
    }
    // A flag goes before the plan, and what no plan has is asked for.
    let wider =
        sandbox.run(&format!("stream create wider --plan plan.json --shards 4 {door} --json")).json(0);
    assert_eq!((&wider["shards"], &wider["retention_hours"]), (&4.into(), &50.into()));
    for (line, said) in [
        ("stream create --plan plan.json", "STREAM is missing"),
        ("stream create other", "--shards"),
        ("stream create other --plan none.json", "--plan none.json"),
        ("guide none.json", "PLAN none.json"),
        ("guide --plan none", "--plan none"),
        ("guide plan.json --plan plan.json", "cannot be used with"),
    ] {
        let outcome = sandbox.run(line);
        assert_eq!(outcome.code, 2, "{line}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{line}: {}", outcome.stderr);
    }
    assert!(sandbox.run("guide none").sentence(5).contains("there is no run none"));
}

#[test]
fn a_key_that_no_record_has_is_no_plan() {
    let sandbox = Sandbox::new();
    for (key, said, next) in [
        ("/tailnumm", "is /tailnum meant?", "plan it again with --partition-key /tailnum\n"),
        ("/nothing/like/it", "is that where they have it?", "with one of these as --partition-key\n"),
    ] {
        let line = format!("plan {} --shards 4 --partition-key {key} --save p.json", fixture());
        let outcome = sandbox.run(&line);
        assert_eq!(outcome.code, 3, "{outcome:?}");
        let said = format!("None of 39,999 records has its key at {key} (missing): {said}\n");
        let page = outcome.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(page.starts_with(said.trim_end()), "{}", outcome.stdout);
        assert!(outcome.stderr.ends_with(&said.replacen('N', "n", 1)), "{}", outcome.stderr);
        assert!(outcome.stdout.contains("  --partition-key /tailnum  "), "{}", outcome.stdout);
        assert!(outcome.stdout.ends_with(next), "{}", outcome.stdout);
        assert!(!sandbox.path("p.json").exists(), "there is nothing to carry out");
    }
}

#[test]
fn a_plan_keeps_the_name_of_a_stream_that_is_still_to_be_made() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("");
    let made = format!(
        "plan {} --partition-key /tailnum --into later --endpoint-url {url} --save plan.json --shards 3",
        fixture()
    );
    let page = sandbox.run(&made).stdout;
    assert!(page.contains(&format!("later at {url}, which is not there yet\n")), "{page}");
    let plan = sandbox.run(&format!("{made} --json")).json(0);
    assert_eq!((&plan["target"], &plan["target_exists"]), (&"later".into(), &false.into()));
    let guide = sandbox.run("guide plan.json").stdout;
    assert!(guide.contains("stream create later --plan") && !guide.contains("NAME"), "{guide}");
    let policy = sandbox.run("iam --plan plan.json").json(0).to_string();
    assert!(policy.contains("kinesis:CreateStream"), "{policy}");
    let other = sandbox.run("iam --plan plan.json --into other");
    assert!(other.sentence(2).contains("--into is other, the plan says later"), "{}", other.stderr);
    // Without one it says which word stands for it.
    let open = made.replace(" --into later", "").replace("plan.json", "open.json");
    let next = sandbox.run(&open).stdout;
    assert!(next.contains(" --into STREAM --create\n  (put the new stream's name for STREAM)\n"), "{next}");
    let guide = sandbox.run("guide open.json").stdout;
    assert!(guide.contains("put the stream's name for NAME, here and below"), "{guide}");
    // What is printed next does it.
    let command = plan["next_command"].as_str().unwrap().strip_prefix("respool ").unwrap();
    assert!(command.ends_with("plan.json --create"), "{command}");
    let report = sandbox.run(&format!("{command} --limit 9 --json")).json(0);
    assert_eq!((&report["records"]["delivered"], &report["stream_shards"]), (&9.into(), &3.into()));
    assert_eq!(sandbox.run(&format!("{made} --json")).json(0)["target_exists"], true);
}

#[test]
fn a_mistyped_key_of_a_plan_is_said_otherwise_by_the_printed_command() {
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, &gzip(b"{\"kye\":\"a\"}\n{\"kye\":\"b\"}\n"));
    let plan = "plan archive --into sim:1 --partition-key /kye --until 2030-01-01 --save plan.json";
    sandbox.run(plan).ended_with(0);
    // Whoever wrote the events has mended his mistake since.
    put(&sandbox.path("archive"), 0, &gzip(b"{\"key\":\"a\"}\n{\"key\":\"b\"}\n"));
    let planned = |line: &str| {
        let mut command = sandbox.command(line);
        command.env("RESPOOL_PLAN", "plan.json");
        sandbox.start_command(command).wait()
    };
    let report = planned("replay --json").json(3);
    let step = |number: usize| report["next_steps"][number]["command"].as_str().unwrap().to_owned();
    let anew = step(1);
    for said in
        ["respool replay ", "--partition-key /key ", "--until 2030-01-01T00:00:00Z", " --no-plan ", " --new"]
    {
        assert!(format!("{anew} ").contains(said), "{anew}");
    }
    let sent = planned(&format!("{} --json", &anew["respool ".len()..])).json(0);
    assert_eq!(sent["records"]["delivered"], 2);
}

#[test]
fn a_report_is_held_against_the_plan_for_its_own_number_of_shards() {
    let sandbox = Sandbox::new();
    let archive = fixture();
    let made = format!(
        "plan {archive} --partition-key /tailnum --until 2013-04-03 --shards 8,16 --save p.json --json"
    );
    let plan = sandbox.run(&made).json(0);
    for shards in [8, 16, 3] {
        let report = sandbox.run(&format!("replay --plan p.json --into sim:{shards} --json")).json(0);
        let planned = &report["plan"];
        // Of a number that was not planned with, the nearest is shown.
        let of = &serde_json::json!(if shards == 3 { 8 } else { shards });
        assert_eq!(&planned["shards"], of, "{planned}");
        let one = plan["by_shards"].as_array().unwrap().iter().find(|one| &one["shards"] == of).unwrap();
        assert_eq!(planned["seconds"], one["seconds"], "{planned}");
    }
}

#[test]
fn a_plan_leads_to_where_it_was_made_for_unless_it_is_said_otherwise() {
    let sandbox = Sandbox::new();
    let ((_here, url), (_there, elsewhere)) =
        (sandbox.simulate("--unlimited"), sandbox.simulate("--unlimited"));
    let made = format!("plan {} --partition-key /tailnum --until 2013-04-02 --into demo", fixture());
    let page = sandbox.run(&format!("{made} --endpoint-url {url} --region eu-central-1 --save typed.json"));
    assert!(page.stdout.contains(&format!("demo at {url}")), "{}", page.stdout);
    // An endpoint that stood in the environment is as good as typed, and the region that was found is kept.
    let mut command = sandbox.command(&format!("{made} --save found.json"));
    command.env("AWS_ENDPOINT_URL", &url);
    sandbox.start_command(command).wait().ended_with(0);
    for (plan, region) in [("typed.json", "eu-central-1"), ("found.json", "eu-west-1")] {
        let door = format!("--kinesis-region {region} --kinesis-endpoint-url {url}");
        let guide = sandbox.run(&format!("guide {plan} --json")).json(0);
        let commands: Vec<&str> =
            guide["steps"].as_array().unwrap().iter().filter_map(|step| step["command"].as_str()).collect();
        // The stream is there, so it need not be made.
        assert_eq!(commands.len(), 4, "{commands:?}");
        let to_delete = door.replace("kinesis-", "");
        assert!(commands[..3].iter().all(|command| command.contains(&door)), "{commands:?}");
        assert!(commands[3].ends_with(&to_delete), "{commands:?}");
        let report = sandbox.run(&format!("replay --plan {plan} --limit 9 --json"));
        assert_eq!(report.json(0)["records"]["delivered"], 9);
        assert!(!report.stderr.contains("unlike the plan"), "{}", report.stderr);
    }
    // What a configuration file keeps goes behind the plan, what is typed before it, and that is told.
    fs::write(sandbox.path("kept.toml"), format!("endpoint-url = \"{elsewhere}\"\n")).unwrap();
    let kept = sandbox.run("replay --plan typed.json --limit 9 --json --config kept.toml");
    assert!(!kept.stderr.contains("unlike the plan"), "{}", kept.stderr);
    let told =
        format!("unlike the plan, the stream is elsewhere: its endpoint is {elsewhere}, the plan says {url}");
    let typed = sandbox.run(&format!("replay --plan typed.json --limit 9 --json --endpoint-url {elsewhere}"));
    assert!(typed.stderr.contains(&told), "{}", typed.stderr);
    assert_eq!(typed.json(0)["records"]["delivered"], 9);
    let policy = sandbox.run("iam --plan typed.json").json(0).to_string();
    assert!(policy.contains("kinesis:eu-central-1:"), "{policy}");
}

#[test]
fn a_stream_is_made_where_its_plan_was_made_for() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("");
    let plan = format!(
        "plan {} --partition-key /tailnum --shards 3 --endpoint-url {url} --save plan.json",
        fixture()
    );
    sandbox.run(&plan).ended_with(0);
    let next = sandbox.run(&plan).stdout;
    let command = next.split("Next:\n  respool ").nth(1).unwrap().lines().next().unwrap();
    let run = format!("{} --limit 9 --json --retention 30h", command.replace("STREAM", "on-the-way"));
    assert_eq!(sandbox.run(&run).json(0)["records"]["delivered"], 9, "{command}");
    let made = sandbox.run(&format!("stream status on-the-way --json --endpoint-url {url}"));
    let made = made.json(0);
    assert!(made["shards"] == 3 && made["retention_hours"] == 30, "{made}");
    let created = sandbox.run("stream create backfill --plan plan.json --json");
    assert_eq!(created.json(0)["shards"], 3);
    let elsewhere = "--kinesis-endpoint-url http://127.0.0.1:1";
    let other = sandbox.run(&format!("stream create other --plan plan.json {elsewhere}"));
    assert!(other.stderr.contains("unlike the plan, the stream other is elsewhere"), "{}", other.stderr);
    // A plan of before has forgotten it all, and is not guessed at.
    let text = fs::read_to_string(sandbox.path("plan.json")).unwrap();
    fs::write(sandbox.path("old.json"), text.replacen("\"version\": 2", "\"version\": 1", 1)).unwrap();
    let old = sandbox.run("replay --plan old.json --into backfill");
    assert!(old.sentence(2).contains("it has version 1"), "{}", old.stderr);
    // What would send records in clear is asked for again: a plan may come from elsewhere.
    fs::write(sandbox.path("exposed.json"), text.replace(&url, "http://10.0.0.1")).unwrap();
    let exposed = sandbox.run("replay --plan exposed.json --into backfill");
    assert!(exposed.sentence(2).contains("--allow-insecure-endpoint"), "{}", exposed.stderr);
}

/// The commands of a guide.
fn commands(guide: &Value) -> Vec<String> {
    let steps = guide["steps"].as_array().unwrap();
    steps.iter().filter_map(|step| step["command"].as_str()).map(str::to_owned).collect()
}

#[test]
fn a_region_that_only_the_environment_knew_goes_along() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--unlimited");
    let of_variable = |line: &str| {
        let mut command = sandbox.command(line);
        command.env("AWS_REGION", "ap-south-1");
        sandbox.start_command(command).wait().ended_with(0);
    };
    fs::create_dir(sandbox.path(".aws")).unwrap();
    let profiles = "[profile there]\nregion = us-east-2\n[default]\nregion = ca-central-1\n";
    fs::write(sandbox.path(".aws/config"), profiles).unwrap();
    let of_profile = |line: &str| {
        let mut command = sandbox.command(line);
        command.env_remove("AWS_REGION");
        sandbox.start_command(command).wait().ended_with(0);
    };
    let plan = format!("plan {} --partition-key /tailnum --until 2013-04-02", fixture());
    of_variable(&format!("{plan} --save variable.json"));
    of_profile(&format!("{plan} --save default.json"));
    of_profile(&format!("{plan} --kinesis-profile there --save there.json"));
    for (file, region) in
        [("variable.json", "ap-south-1"), ("default.json", "ca-central-1"), ("there.json", "us-east-2")]
    {
        let commands = commands(&sandbox.run(&format!("guide {file} --json")).json(0));
        let said = format!(" --kinesis-region {region}");
        assert!(
            commands.len() == 5 && commands.iter().all(|command| command.contains(&said)),
            "{commands:?}"
        );
    }
    // A run knows its region, wherever it is gone on with.
    let replay =
        format!("replay {} --partition-key /tailnum --limit 9 --into demo --endpoint-url {url}", fixture());
    of_variable(&replay);
    let commands = commands(&sandbox.run("guide --json").json(0));
    assert!(!commands.is_empty());
    for command in commands {
        assert!(command.contains("-region ap-south-1 "), "{command}");
    }
    let run = sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    let shown = sandbox.run(&format!("runs show {run} --json")).json(0);
    assert_eq!(shown["settings"]["tuning"]["kinesis"]["region"], "ap-south-1");
    sandbox.run(&format!("verify {run}")).ended_with(0);
}

#[test]
fn what_is_printed_can_be_pasted_elsewhere() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--unlimited");
    let state = sandbox.path("my state");
    let replay = format!("replay {} --into demo --endpoint-url {url} --json", fixture());
    let mut command = sandbox.command(&format!("{replay} --partition-key /tailnm --limit 9"));
    command.args(["--state-dir", "my state"]);
    let report = sandbox.start_command(command).wait().json(3);
    let flag = format!(" --state-dir '{}'", state.display());
    let steps = report["next_steps"].as_array().unwrap();
    assert!(!steps.is_empty());
    for step in steps {
        assert!(step["command"].as_str().unwrap().contains(&flag), "{step}");
    }
    // Without the variables of this shell and from another folder, the words reach the same runs.
    let paste = |command: &str| {
        let binary = env!("CARGO_BIN_EXE_respool");
        let command = command.strip_prefix("respool").unwrap();
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("exec {binary}{command}")]).current_dir("/").env_clear();
        shell.env("HOME", sandbox.path("elsewhere"));
        shell.env("AWS_ACCESS_KEY_ID", "nobody").env("AWS_SECRET_ACCESS_KEY", "nothing");
        sandbox.start_command(shell).wait()
    };
    for step in steps.iter().map(|step| step["command"].as_str().unwrap()) {
        let pasted = paste(step);
        assert!(!pasted.stderr.contains("there is no run"), "{step}: {}", pasted.stderr);
    }
    let mut guide = sandbox.command("guide --json");
    guide.args(["--state-dir", "my state"]);
    let guide = sandbox.start_command(guide).wait().json(0);
    for command in commands(&guide).iter().filter(|command| command.starts_with("respool ")) {
        assert!(command.contains(&flag), "{command}");
    }
    let status = commands(&guide).into_iter().find(|command| command.contains(" stream status ")).unwrap();
    let shown = paste(&status);
    assert!(shown.stdout.contains(&format!("at {url})")), "{}", shown.stdout);
    assert!(shown.stdout.lines().any(|line| line.starts_with("run ")), "{}", shown.stdout);
    let mut missing = sandbox.command("resume 20200101-000000");
    missing.args(["--state-dir", "my state"]);
    let missing = sandbox.start_command(missing).wait();
    assert!(missing.sentence(5).contains(&format!("`respool runs{flag}`")), "{}", missing.stderr);
}

#[test]
fn a_dry_run_says_where_it_would_go() {
    let sandbox = Sandbox::new();
    let (_simulator, url) = sandbox.simulate("--unlimited");
    let line =
        format!("replay {} --into demo --endpoint-url {url} --partition-key /tailnum --dry-run", fixture());
    let said = sandbox.run(&line).stdout;
    assert!(
        said.contains(&format!("into       demo, account 123456789012, eu-west-1, at {url}\n")),
        "{said}"
    );
    let forecast = sandbox.run(&format!("{line} --json")).json(0);
    assert_eq!(
        (&forecast["target_endpoint"], &forecast["archive_endpoint"]),
        (&Value::from(url), &Value::Null)
    );
}
