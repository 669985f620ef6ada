//! Lists of many keys, from a server of a few lines: one that fails, and one whose client is killed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::gateway::{Request, decode, line, response, serve, whole};
use crate::sandbox::{Outcome, Sandbox, until};

/// Hours that are listed side by side by one process.
const AT_ONCE: usize = 16;

/// What is asked of a listing.
struct Asked {
    prefix: String,
    /// The first key of the page.
    from: usize,
    by_directory: bool,
}

/// What `request` asks of a listing, if it is about one.
fn asked_for(request: &Request) -> Option<Asked> {
    let query = request.target.split_once('?').map_or("", |(_, query)| query);
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decode(value))
    };
    (request.method == "GET" && value("list-type").is_some()).then(|| Asked {
        prefix: value("prefix").unwrap_or_default(),
        from: value("continuation-token").map_or(0, |token| token.parse().unwrap()),
        by_directory: value("delimiter").is_some(),
    })
}

/// A page of the keys of one day, so many of each hour.
fn page(asked: &Asked, page_keys: usize, of_each_hour: usize) -> Vec<u8> {
    let page = if asked.by_directory {
        directories(&asked.prefix)
    } else {
        page_of_keys(&asked.prefix, asked.from..of_each_hour.min(asked.from + page_keys), of_each_hour)
    };
    response("200 OK", "content-type: application/xml\r\n", page.as_bytes())
}

fn object(request: &Request) -> Vec<u8> {
    whole(request, if request.method == "HEAD" { b"" } else { b"{\"k\":\"a\"}\n" })
}

/// Years, months, days and hours below each other, all of one day.
fn directories(prefix: &str) -> String {
    let below: Vec<String> = match prefix.matches('/').count() {
        0 => vec!["2026".to_owned()],
        1 => vec!["07".to_owned()],
        2 => vec!["01".to_owned()],
        _ => (0..24).map(|hour| format!("{hour:02}")).collect(),
    };
    let mut dirs = String::new();
    for dir in below {
        write!(dirs, "<CommonPrefixes><Prefix>{prefix}{dir}/</Prefix></CommonPrefixes>").unwrap();
    }
    format!("<ListBucketResult><IsTruncated>false</IsTruncated>{dirs}</ListBucketResult>")
}

fn page_of_keys(prefix: &str, numbers: std::ops::Range<usize>, keys: usize) -> String {
    let hour = prefix.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let until = numbers.end;
    let mut page = format!("<ListBucketResult><IsTruncated>{}</IsTruncated>", until < keys);
    if until < keys {
        write!(page, "<NextContinuationToken>{until}</NextContinuationToken>").unwrap();
    }
    for number in numbers {
        write!(
            page,
            "<Contents><Key>{prefix}events-1-2026-07-01-{hour}-{:02}-{:02}-{number:08x}-6aaf-51e0-918c-6c9d94197abc.gz</Key>\
             <Size>10</Size><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>\
             <LastModified>2026-07-01T06:00:00.000Z</LastModified></Contents>",
            number / 60 % 60,
            number % 60
        )
        .unwrap();
    }
    page.push_str("</ListBucketResult>");
    page
}

/// `RESPOOL_TEST_LISTED_KEYS=1000000` for a real one.
#[cfg(target_os = "linux")]
#[test]
fn a_long_list_takes_a_bounded_memory_for_each_key_and_a_page_that_fails_is_asked_for_again() {
    let keys = crate::foreign::variable("RESPOOL_TEST_LISTED_KEYS")
        .map_or(36_000, |keys| keys.to_str().unwrap().parse().unwrap());
    let of_each_hour = keys / 24;
    let outage = Mutex::new(0);
    let (url, asked) = serve(move |request| {
        let Some(asked) = asked_for(request) else { return object(request) };
        // One page fails more often than the SDK tries.
        if asked.from == 1_000 && asked.prefix.ends_with("/05/") {
            let mut failed = outage.lock().unwrap();
            *failed += 1;
            if *failed <= 12 {
                return response("503 Slow Down", "", b"<Error><Code>SlowDown</Code></Error>");
            }
        }
        page(&asked, 1_000, of_each_hour)
    });
    let sandbox = Sandbox::new();
    let line = line(&url).replace("--json", "--json --dry-run --from 2026-07-01 --until 2026-07-02");
    let (peak, outcome) = crate::memory::peak_of(sandbox.start(&line));
    let plan = outcome.json(0);
    assert_eq!(plan["objects"], of_each_hour * 24, "{plan}");
    let told = outcome.stderr.matches("is waited for: SlowDown").count();
    assert_eq!(told, 1, "not one for each attempt: {}", outcome.stderr);
    println!("{keys} keys: RssAnon at most {peak} kB");
    assert!(peak < 64 * 1024 + keys as u64 * 200 / 1024, "{peak} kB");
    let listings = asked.lock().unwrap().iter().filter(|request| request.contains("list-type=2")).count();
    assert!(listings < 24 * of_each_hour.div_ceil(1_000) + 40, "{listings}");
}

#[test]
fn a_process_that_is_killed_while_it_lists_leaves_what_it_has_found_to_the_next_one() {
    const ANSWERED: usize = 30;
    let (left, waiting) = (Arc::new(AtomicUsize::new(usize::MAX)), Arc::new(AtomicUsize::new(0)));
    let (url, asked) = {
        let (left, waiting) = (left.clone(), waiting.clone());
        serve(move |request| {
            let Some(asked) = asked_for(request) else { return object(request) };
            let answers = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if answers.is_err() {
                waiting.fetch_add(1, Ordering::SeqCst);
                loop {
                    thread::park();
                }
            }
            page(&asked, 10, 30)
        })
    };
    let line = line(&url).replace("--json", "--json --from 2026-07-01 --until 2026-07-02");
    let listings = || {
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        asked.iter().filter(|request| request.contains("list-type=2")).count()
    };
    let undisturbed = Sandbox::new();
    let expected = manifest(&undisturbed, &undisturbed.run(&line));
    let in_all = listings();

    let sandbox = Sandbox::new();
    left.store(ANSWERED, Ordering::SeqCst);
    let process = sandbox.start(&line);
    // Each asks for its next page when the last one is noted.
    until("the hours side by side", || (waiting.load(Ordering::SeqCst) == AT_ONCE).then_some(()));
    process.kill();
    left.store(usize::MAX, Ordering::SeqCst);
    listings();
    let outcome = sandbox.run(&line);
    assert!(outcome.stderr.contains("listing goes on: "), "{}", outcome.stderr);
    assert_eq!(manifest(&sandbox, &outcome), expected);
    assert_eq!(listings(), in_all - ANSWERED);
    let logs = fs::read_dir(sandbox.path("cache/respool/listings")).unwrap().count();
    assert_eq!(logs, 0, "the list is frozen: nobody has to go on with it");
}

/// The manifest of the run that `outcome` reports.
fn manifest(sandbox: &Sandbox, outcome: &Outcome) -> String {
    let run: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    let runs = Path::new("state/respool/runs").join(run["run"].as_str().unwrap());
    fs::read_to_string(sandbox.path(runs.join("manifest.jsonl"))).unwrap()
}
