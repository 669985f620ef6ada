//! Objects that are arrays: all of an archive, or some of it beside objects of lines.

use serde_json::Value;

use crate::events::{gzip, put};
use crate::reader::read_stream;
use crate::sandbox::Sandbox;

const LINES: &[u8] = b"{\"k\":\"a\",\"n\":1}\n{\"k\":\"b\",\"n\":2}\n";
const ARRAY: &[u8] = b"[{\"k\":\"a\",\"n\":3},{\"k\":\"c\",\"n\":4},{\"k\":\"c\",\"n\":5}]";

fn commands(report: &Value) -> Vec<&str> {
    let steps = report["next_steps"].as_array().unwrap();
    steps.iter().map(|step| step["command"].as_str().unwrap()).collect()
}

fn typed(command: &str) -> &str {
    command.strip_prefix("respool ").unwrap()
}

#[test]
fn an_archive_of_arrays_is_begun_anew_before_anything_else_is_tried() {
    let sandbox = Sandbox::new();
    (0..3).for_each(|hour| drop(put(&sandbox.path("archive"), hour, &gzip(ARRAY))));
    let report = sandbox.run("replay archive --into null: --partition-key /k --json").json(3);
    assert_eq!((&report["state"], &report["records"]["delivered"]), (&"done".into(), &0.into()));
    let anew = commands(&report)[1];
    assert!(anew.contains(" --framing json-array --new") && !anew.contains("retry"), "{report}");
    let listed = sandbox.run("quarantine ls").stdout;
    assert!(listed.ends_with(&format!("each element of an array a record:\n  {anew}\n")), "{listed}");
    assert!(!listed.contains("--key-fallback"), "{listed}");
    let sent = sandbox.run(typed(anew)).json(0);
    assert_eq!(sent["records"]["delivered"], 9);
    // In the same run only its arrays are named, and not another key.
    let id = report["run"].as_str().unwrap();
    let refused = sandbox.run(&format!("quarantine retry {id}"));
    let framing = format!("`respool quarantine retry {id} --framing json-array`");
    assert!(refused.sentence(5).contains(&framing), "{refused:?}");
    // It is not offered once more.
    let listed = sandbox.run(&format!("quarantine ls {id}")).stdout;
    let instead = format!(
        "\nRun {} was begun anew in its place and has delivered 9 records, so nothing is to be done about this one\n",
        sent["run"].as_str().unwrap()
    );
    assert!(listed.ends_with(&instead) && !listed.contains("--new"), "{listed}");
}

#[test]
fn what_begins_anew_is_not_said_to_list_and_asks_before_it_sends() {
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, &gzip(ARRAY));
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let line = format!("replay archive --into demo --partition-key /k --endpoint-url {url} --json --yes");
    let report = sandbox.run(&line).json(3);
    let anew = commands(&report)[1];
    assert!(anew.ends_with(" --framing json-array --new") && !anew.contains("--yes"), "{report}");
    let guide = sandbox.run("guide").stdout;
    assert!(guide.contains(&format!("`{anew}` begins anew with it")), "{guide}");
}

#[test]
fn arrays_beside_lines_are_sent_by_a_retry_of_their_own_and_the_rest_by_the_next() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    put(&archive, 0, &gzip(LINES));
    put(&archive, 1, &gzip(ARRAY));
    put(&archive, 2, &gzip(b"{\"k\":\"a\",\"n\":6}\n{\"x\":\"no key\"}\n"));
    let (_simulator, url) = sandbox.simulate("--shards 2");
    let line = format!("replay archive --into demo --partition-key /k --endpoint-url {url} --json");
    let report = sandbox.run(&line).json(3);
    let id = report["run"].as_str().unwrap();
    let (apart, rest) = (
        format!("respool quarantine retry {id} --framing json-array"),
        format!("respool quarantine retry {id} --key-fallback hash"),
    );
    assert_eq!(commands(&report)[1..], [&apart, &rest], "{report}");
    let remedies = report["quarantine"]["remedies"]["missing"].as_str().unwrap();
    let html = std::fs::read_to_string(sandbox.path(format!("state/respool/runs/{id}/report.html"))).unwrap();
    for said in ["retry --framing json-array takes the array", "; retry --partition-key names another field"]
    {
        assert!(remedies.contains(said) && html.contains(&said.replace('\'', "&#39;")), "{said}: {report}");
    }
    let listed = sandbox.run("quarantine ls").stdout;
    assert!(remedies.split("; ").all(|remedy| listed.contains(remedy)), "{remedies}: {listed}");
    for said in [
        format!("To send the elements of the 1 object that is an array:\n  {apart}\nThen to "),
        format!(":\n  {rest}\n"),
        "retry --framing json-array takes the array's elements for the records".to_owned(),
    ] {
        assert!(listed.contains(&said), "{said}\n{listed}");
    }

    let arrays = sandbox.run(&format!("{} --json", typed(&apart)));
    assert!(
        arrays.stderr.contains("1 other entry in quarantine waits for a retry without --framing"),
        "{arrays:?}"
    );
    let left = arrays.json(3);
    assert_eq!((&left["records"]["delivered"], &left["left"]["records"]), (&3.into(), &1.into()), "{left}");
    assert_eq!(left["next_command"], rest.as_str());
    let page = std::fs::read_to_string(left["page"].as_str().unwrap()).unwrap();
    assert!(page.contains(&format!("Done, but 1 record stays in the quarantine of run {id}.")), "{page}");
    let again = sandbox.run(&format!("{} --json", typed(&apart)));
    assert!(again.sentence(5).contains("leave out --framing"), "{again:?}");
    let listed = sandbox.run(&format!("quarantine ls {id}")).stdout;
    assert!(
        listed.contains("has tried some of it again") && listed.ends_with(&format!(":\n  {rest}\n")),
        "{listed}"
    );
    let guide = sandbox.run("guide").stdout;
    assert!(
        guide.contains("1 record was set aside") && guide.contains(&format!("`{rest}` sends it")),
        "{guide}"
    );
    assert_eq!(sandbox.run(&format!("{} --json", typed(&rest))).json(0)["records"]["delivered"], 1);
    assert!(sandbox.run(typed(&rest)).sentence(5).contains("has tried that"));

    let found: usize = read_stream(&url, "demo").values().map(Vec::len).sum();
    assert_eq!(found, 7, "each once");
    let verified = sandbox.run(&format!("verify {id} --json --read-share 1"));
    assert!(
        !verified.stderr.contains("is one JSON value with an array"),
        "the run has said so: {verified:?}"
    );
    let verified = verified.json(0);
    let counts = ["expected", "present", "retried", "foreign"].map(|field| verified[field].as_u64().unwrap());
    assert_eq!(counts, [7, 7, 4, 0], "{verified}");
}

#[test]
fn a_broken_object_beside_arrays_waits_for_the_retry_that_salvages_it() {
    let sandbox = Sandbox::new();
    let archive = sandbox.path("archive");
    let lines = gzip(LINES);
    put(&archive, 0, &lines);
    put(&archive, 1, &gzip(ARRAY));
    put(&archive, 2, &[&lines[..], &lines[..lines.len() - 4]].concat());
    let report = sandbox.run("replay archive --into null: --partition-key /k --json").json(3);
    let id = report["run"].as_str().unwrap();
    let steps =
        ["--framing json-array", "--salvage"].map(|flag| format!("respool quarantine retry {id} {flag}"));
    assert_eq!(commands(&report)[1..], steps, "{report}");
    let sent = steps.each_ref().map(|step| sandbox.run(&format!("{} --json", typed(step))));
    let apart = sent[0].json(3);
    assert_eq!(
        (&apart["records"]["delivered"], &apart["left"]["objects"]),
        (&3.into(), &1.into()),
        "{sent:?}"
    );
    assert_eq!(apart["next_command"], steps[1].as_str(), "{sent:?}");
    let salvaged = sent[1].json(3);
    assert_eq!(salvaged["records"]["delivered"], 4, "{sent:?}");
    assert_eq!(salvaged["quarantine"]["reasons"]["salvaged"], 1, "{sent:?}");
}

#[test]
fn what_a_retry_of_everything_sets_aside_is_told_although_one_of_a_part_has_sent_all_of_it() {
    let sandbox = Sandbox::new();
    let (archive, lines) = (sandbox.path("archive"), gzip(LINES));
    put(&archive, 0, &lines);
    put(&archive, 1, &gzip(ARRAY));
    put(&archive, 2, &lines[..lines.len() - 4]);
    let (_simulator, url) = sandbox.simulate("--shards 1");
    let line = format!("replay archive --into demo --partition-key /k --endpoint-url {url} --json");
    let report = sandbox.run(&line).json(3);
    let retry = format!("quarantine retry {} --yes --json", report["run"].as_str().unwrap());
    assert_eq!(sandbox.run(&format!("{retry} --framing json-array")).json(3)["records"]["delivered"], 3);
    let again = sandbox.run(&format!("{retry} --again")).json(3);
    let told =
        format!("1 record and 1 whole object of run {} are in quarantine", again["run"].as_str().unwrap());
    let guide = sandbox.run("guide").stdout;
    assert!(guide.contains(&told), "{told}\n{guide}");
}

#[test]
fn lines_among_arrays_are_read_as_what_they_are() {
    let sandbox = Sandbox::new();
    put(&sandbox.path("archive"), 0, &gzip(ARRAY));
    put(&sandbox.path("archive"), 1, &gzip(LINES));
    let line = "replay archive --into null: --partition-key /k --framing json-array --json";
    let report = sandbox.run(line).json(3);
    assert_eq!((&report["records"]["delivered"], &report["objects"]["quarantined"]), (&3.into(), &1.into()));
    let id = report["run"].as_str().unwrap();
    let retry = format!("respool quarantine retry {id} --framing auto");
    assert_eq!(commands(&report)[1..], [&retry], "{report}");
    assert_eq!(sandbox.run(&format!("{} --json", typed(&retry))).json(0)["records"]["delivered"], 2);
}
