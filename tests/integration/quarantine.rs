//! What is set aside is the exception: a run that sets aside most of what it reads stops and says so.

use crate::events::{gzip, put};
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
    let message = report["message"].as_str().unwrap();
    assert!(
        message.starts_with("no record of ") && message.contains(" has /tailnumm (is /tailnum meant?)"),
        "{message}"
    );
    let id = report["run"].as_str().unwrap();
    let show = format!("respool quarantine show 0:0 {id}");
    let anew = format!(
        "respool {} --no-plan --partition-key /tailnum --new",
        line.replace(" --partition-key /tailnumm", "")
    );
    let steps = report["next_steps"].as_array().unwrap().iter().map(|step| step["command"].as_str().unwrap());
    assert_eq!(steps.collect::<Vec<_>>(), [&show, &anew, &format!("respool resume {id}")]);
    assert_eq!(report["next_command"], *show);
    // Where it is pasted a variable names a plan.
    let typed = |command: &str| {
        let mut command = sandbox.command(command.strip_prefix("respool ").unwrap());
        command.env("RESPOOL_PLAN", "other.json");
        sandbox.start_command(command).wait()
    };
    assert!(typed(&show).stdout.contains("tailnum"));

    // Whoever resumes means it.
    let report = sandbox.run("resume --json").json(3);
    assert_eq!((&report["state"], &report["records"]["quarantined"]), (&"done".into(), &39_999.into()));
    assert_eq!(report["quarantine"]["reasons"]["missing"], 39_999);
    let retry = format!("respool quarantine retry {id} --partition-key /tailnum");
    assert_eq!(report["next_steps"][1]["command"], anew, "nothing was sent");
    assert_eq!(report["next_steps"][2]["command"], retry);
    let listed = sandbox.run(&format!("quarantine ls {id}")).stdout;
    let both =
        format!("To begin anew with another key:\n  {anew}\nOr to send them by another key:\n  {retry}\n");
    assert!(listed.ends_with(&both), "{listed}");
    assert_eq!(typed(&anew).json(0)["records"]["delivered"], 39_999);
    let listed = sandbox.run(&format!("quarantine ls {id}")).stdout;
    assert!(listed.contains(" was begun anew in its place and ") && !listed.contains(&anew), "{listed}");
    assert_eq!(report["brake"], serde_json::Value::Null, "nothing was sent");
    let page = std::fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(!page.contains("limited by") && !page.contains("What was the brake"), "{page}");

    // The same key is named, and so is one that is wrong again; what a retry has begun can be resumed.
    for wrong in ["", " --partition-key /tailnumm"] {
        let refused = sandbox.run(&format!("quarantine retry {id} --again{wrong}"));
        assert!(
            refused
                .sentence(5)
                .contains(&format!("at /tailnumm (is /tailnum meant?); name another one: `{retry}`"))
        );
    }
    let report =
        sandbox.run(&format!("quarantine retry {id} --partition-key /tailnummm --json --yes")).json(4);
    let anew = format!("respool quarantine retry {id} --json --partition-key /tailnum --again");
    assert_eq!(report["next_steps"][1]["command"], anew);
    let again = report["run"].as_str().unwrap();
    let refused = sandbox.run(&format!("quarantine retry {again}"));
    let other = format!("`respool quarantine retry {id} --partition-key /tailnum --again`");
    assert!(refused.sentence(5).contains(&other), "{refused:?}");
    assert_eq!(sandbox.run(&format!("resume {again} --json")).json(3)["records"]["quarantined"], 39_999);
    assert_eq!(typed(&anew).json(0)["records"]["delivered"], 39_999);
}

#[test]
fn another_key_takes_a_new_run_and_is_told_so() {
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, &gzip(&b"{\"k\":\"a\"}\n".repeat(20)));
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let line = format!("replay archive --into demo --endpoint-url {url} --json --max-quarantine 10");
    let report = sandbox.run(&format!("{line} --partition-key /kk")).json(4);
    assert!(
        report["message"].as_str().unwrap().contains("20 of them have no key at /kk (is /k meant?)"),
        "{report}"
    );
    let steps = report["next_steps"].as_array().unwrap();
    assert!(steps[2]["command"].as_str().unwrap().ends_with(" --max-quarantine COUNT"), "{report}");
    let refused = sandbox.run(&format!("{line} --partition-key /k"));
    for said in ["keeps its key, /kk", "--new", "respool resume"] {
        assert!(refused.sentence(5).contains(said), "{refused:?}");
    }
    assert!(!sandbox.run(&format!("{line} --partition-key /kk")).sentence(5).contains("keeps its key"));
    sandbox.run(&format!("{line} --partition-key /k --new")).json(0);
}

#[test]
fn what_is_set_aside_is_listed_by_reason_and_not_tried_again_with_the_same_key() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let lines = "{\"k\":\"a\"}\n{\"k\":null}\n".to_owned() + &"{\"x\":1}\n".repeat(30);
    put(&archive, 0, &gzip(lines.as_bytes()));
    put(&archive, 1, &gzip(b"{\"k\":\"a\"}\n{\"x\":\"the only one\"}\n"));
    let report = sandbox.run("replay archive --into sim:1 --partition-key /k --json").json(3);
    assert_eq!(report["records"]["delivered"], 2);

    let list = sandbox.run("quarantine ls").stdout;
    assert!(
        list.starts_with("missing: 31\n  retry --partition-key names another field")
            && list.contains("11 more (--limit 0 names all)"),
        "{list}"
    );
    assert!(list.contains("null: 1\n") && list.contains("0 objects and 32 records"), "{list}");
    assert_eq!(sandbox.run("quarantine ls --limit 0").stdout.matches("  archive").count(), 0);
    assert_eq!(sandbox.run("quarantine ls --limit 0").stdout.lines().count(), 32 + 2 * 2 + 1 + 2);
    let named = |flags: &str| {
        let list = sandbox.run(&format!("quarantine ls --json {flags}")).stdout;
        serde_json::from_str::<Vec<serde_json::Value>>(&list).unwrap().len()
    };
    assert_eq!((named(""), named("--limit 3")), (32, 3));

    assert_eq!(sandbox.run("quarantine show 1").stdout, "{\"x\":\"the only one\"}");
    for wrong in ["0", "0:0", "7"] {
        let refused = sandbox.run(&format!("quarantine show {wrong}"));
        assert!(refused.sentence(5).contains("there are 0:1, 0:2, 0:3"), "{refused:?}");
        assert!(refused.stderr.contains("and 22 more"), "{refused:?}");
    }

    let refused = sandbox.run("quarantine retry --json --yes");
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!([refused.stdout, refused.stderr].concat().contains("--partition-key"));
    sandbox.run("quarantine retry --json --yes --partition-key hash").json(0);
}

#[test]
fn without_a_name_the_last_run_is_meant_of_which_something_is_left() {
    let sandbox = Sandbox::new();
    assert!(sandbox.run("quarantine ls").stdout.contains("no run has anything in quarantine"));
    let run = |archive: &str| {
        put(&sandbox.path(archive), 0, &gzip(b"{\"k\":\"a\"}\n{\"x\":1}\n"));
        let report = sandbox.run(&format!("replay {archive} --into sim:1 --partition-key /k --json")).json(3);
        report["run"].as_str().unwrap().to_owned()
    };
    let (first, last) = (run("first"), run("last"));
    let retry = |named: &str| sandbox.run(&format!("quarantine retry {named} --key-fallback hash --json"));
    assert_eq!(retry("").json(0)["retries"], last.as_str());
    let listed = sandbox.run("quarantine ls").stdout;
    assert!(listed.contains(&format!("run {first}: ")), "{listed}");
    let of_last = sandbox.run(&format!("quarantine ls {last}")).stdout;
    assert!(of_last.contains(" has tried it again, and nothing of that is left\n"), "{of_last}");
    let again = retry(&last);
    assert!(
        again.sentence(5).contains("nothing of it is left. --again sends all of it once more"),
        "{again:?}"
    );
    assert_eq!(retry("").json(0)["retries"], first.as_str());
    // A list of nothing is no failure, and there is nothing to be sent.
    let none = sandbox.run("quarantine ls");
    assert!(none.code == 0 && none.stdout.starts_with("nothing is left in quarantine"), "{none:?}");
    assert_eq!(sandbox.run("quarantine ls --json").stdout, "[]\n");
    assert!(retry("").sentence(5).contains("nothing is left in quarantine"));
    assert!(sandbox.run("quarantine show 0").stdout.contains("\"x\""), "what was set aside is still there");
}

#[test]
fn a_retry_that_did_not_end_does_not_stand_before_the_run_that_is_meant() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    put(&archive, 0, &gzip(&[&b"{\"k\":\"a\"}\n"[..], &b"{\"x\":1}\n".repeat(20)].concat()));
    let line = "replay archive --into sim:1 --partition-key /k --json";
    sandbox.run(line).json(3);
    let meant = sandbox.run(&format!("{line} --max-quarantine 10")).json(4);
    let first = sandbox.runs()[0]["run"].as_str().unwrap().to_owned();
    let retry = format!("quarantine retry {first} --partition-key /y --max-quarantine 10 --json --yes");
    let retried = sandbox.run(&retry).json(4);
    let resumed = sandbox.run("resume --json --max-quarantine 100");
    assert!(resumed.stderr.contains(retried["run"].as_str().unwrap()), "{resumed:?}");
    assert_eq!(resumed.json(3)["run"], meant["run"]);
    assert_eq!(sandbox.run("resume --json --max-quarantine 100").json(3)["run"], retried["run"]);
}

#[test]
fn an_archive_with_nothing_in_it_is_no_finding() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.path("archive")).unwrap();
    assert!(sandbox.run("inspect archive").sentence(5).contains("nothing is selected"));
    let missing = sandbox.run("replay --into null:");
    assert!(missing.sentence(2).contains("--plan"), "{missing:?}");
}

#[test]
fn a_broken_object_says_what_can_be_done_and_its_whole_records_can_be_had() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let whole = gzip(&b"{\"k\":\"a\"}\n".repeat(3));
    put(&archive, 0, &whole);
    put(&archive, 1, &[&whole[..], &whole[..whole.len() - 4]].concat());
    let report = sandbox.run("replay archive --into sim:1 --partition-key /k --json").json(3);
    let id = report["run"].as_str().unwrap();
    let steps: Vec<_> = report["next_steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["command"].as_str().unwrap())
        .collect();
    let salvage = format!("respool quarantine retry {id} --salvage");
    let expected = [format!("respool quarantine ls {id}"), salvage];
    assert_eq!(steps, expected, "{report}");
    let remedy = report["quarantine"]["remedies"]["truncated"].as_str().unwrap();
    assert!(remedy.contains("retry --salvage"), "{remedy}");
    assert!(sandbox.run("quarantine ls").stdout.contains(remedy));
    let listed = sandbox.run("quarantine ls --json").stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).unwrap()[0]["remedy"], remedy);
    assert!(sandbox.run("quarantine show 1").sentence(5).ends_with(remedy));
    let page = std::fs::read_to_string(report["page"].as_str().unwrap()).unwrap();
    assert!(page.contains(remedy), "the page for a browser names it too");

    assert!(sandbox.run("quarantine ls").stdout.ends_with(&format!(":\n  {}\n", expected[1])));
    let salvaged = sandbox.run(&expected[1]["respool ".len()..]);
    assert!(salvaged.code == 3 && salvaged.stdout.contains("6 delivered"), "{salvaged:?}");
    assert!(sandbox.run("quarantine ls").stdout.contains("put a whole copy in its place"));
    let (runs, tried) = (sandbox.runs().len(), sandbox.run("quarantine retry"));
    let retry = sandbox.runs().pop().unwrap()["run"].as_str().unwrap().to_owned();
    assert!(
        tried.sentence(5).ends_with(&format!("; then `respool quarantine retry {retry}` sends it")),
        "{tried:?}"
    );
    assert_eq!(sandbox.runs().len(), runs);
    let tried = sandbox.run(&format!("quarantine ls {id}")).stdout;
    assert!(tried.contains(" has tried it again; what it could not send: respool quarantine ls "), "{tried}");
    assert_eq!(sandbox.run(&format!("quarantine retry {retry}")).code, 3, "whoever names it has mended it");
}

#[test]
fn one_command_does_what_can_be_done_for_every_reason() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let whole = gzip(&b"{\"k\":\"a\",\"kk\":1}\n".repeat(3));
    put(&archive, 0, &gzip(b"{\"k\":\"a\"}\n{\"kk\":\"no key\"}\n{\"kk\":\"none\"}\n"));
    put(&archive, 1, &[&whole[..], &whole[..whole.len() - 4]].concat());
    let replay = "replay archive --into sim:1 --partition-key /k --json";
    sandbox.run(replay).json(3);
    let report = sandbox.run(&format!("{replay} --offline")).json(3);
    let id = report["run"].as_str().unwrap();
    let retry = format!("respool quarantine retry {id} --key-fallback hash --salvage --online");
    let steps = report["next_steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[1]["command"]), (2, &retry.as_str().into()), "{report}");
    let listed = sandbox.run("quarantine ls").stdout;
    assert!(listed.ends_with(&format!("up to the damage:\n  {retry}\n")), "{listed}");
    let tried = sandbox.run(&format!("{} --json", &retry["respool ".len()..])).json(3);
    assert_eq!(tried["records"]["delivered"], 8, "{tried}");
}
