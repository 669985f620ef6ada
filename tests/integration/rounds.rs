//! Kill rounds: the real binary, killed again and again, and a verdict by a foreign client.
//!
//! A round is a seed: a server (ours with a plan of faults, or ferrokinesis), an archive (a folder, or a bucket
//! behind rclone), and a run that is killed or interrupted at random moments until nobody does any more. Then
//! boto3 and an independent decoder say whether every record is there, each key in order, and no more copies
//! than the report admits. `RESPOOL_TEST_KILL_ROUNDS` says how many rounds, `RESPOOL_TEST_KILL_SEED` where to
//! begin; `scripts/kill-rounds` does both.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::events;
use crate::foreign::{KEYS, Server, script, tools, variable};
use crate::s3::rclone_server;
use crate::sandbox::{Process, Sandbox, until};

const STREAM_PY: &str = "tests/integration/stream.py";
const OBJECTS: usize = 8;
const RECORDS: usize = 150;
/// Kills and interruptions that a round tries.
const BLOWS: u64 = 3;
/// A run that is left alone is done by then.
const ATTEMPTS_MAX: u64 = BLOWS + 30;

/// What the rounds came to.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    kills: u64,
    interruptions: u64,
    records: u64,
    surplus: u64,
    possible: u64,
    surplus_per_kill_max: u64,
}

#[test]
fn killed_under_a_plan_of_faults_nothing_is_lost() {
    let Some([python, rclone]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_RCLONE"]) else { return };
    let (first, rounds) = seeds(22);
    let mut tally = Tally::default();
    for seed in first..first + rounds {
        let mut dice = Dice(seed);
        let plan = format!(
            "seed={seed},lose_answer={},apply_late={},stall={},drip={},server_error={},disconnect={},expire={},\
             throttle_call={},throttle_entry={},fail_entry={},fail_stored_entry={},garble_entry={},miscount={}",
            dice.below(60),
            dice.below(30),
            dice.below(30),
            dice.below(30),
            dice.below(40),
            dice.below(40),
            dice.below(20),
            dice.below(5),
            dice.below(5),
            dice.below(20),
            dice.below(20),
            dice.below(10),
            dice.below(20),
        );
        let server = Server::simulate(&format!("--shards 3 --faults {plan}"));
        let bucket = seed.is_multiple_of(3).then_some(rclone.as_path());
        round(seed, &server, "demo", &python, bucket, &mut tally);
    }
    println!("{tally:?}");
    assert!(tally.kills >= rounds, "{tally:?}");
}

#[test]
fn killed_in_front_of_ferrokinesis_nothing_is_lost() {
    let Some([python, ferrokinesis]) = tools(["RESPOOL_TEST_PYTHON", "RESPOOL_TEST_FERROKINESIS"]) else {
        return;
    };
    let (first, rounds) = seeds(10);
    let mut tally = Tally::default();
    let server = Server::ferrokinesis(&ferrokinesis);
    for seed in first..first + rounds {
        let stream = format!("round-{seed}");
        script(&python, STREAM_PY, &["create", &server.url, &stream, "3"]);
        round(seed, &server, &stream, &python, None, &mut tally);
    }
    println!("{tally:?}");
    assert!(tally.kills >= rounds, "{tally:?}");
}

/// The first seed and the number of rounds.
fn seeds(rounds: u64) -> (u64, u64) {
    let number =
        |name, otherwise| variable(name).map_or(otherwise, |text| text.to_string_lossy().parse().unwrap());
    (number("RESPOOL_TEST_KILL_SEED", 0), number("RESPOOL_TEST_KILL_ROUNDS", rounds))
}

fn round(
    seed: u64,
    server: &Server,
    stream: &str,
    python: &Path,
    bucket_server: Option<&Path>,
    tally: &mut Tally,
) {
    println!(
        "seed {seed}: RESPOOL_TEST_KILL_SEED={seed} RESPOOL_TEST_KILL_ROUNDS=1 cargo test rounds -- --nocapture"
    );
    let mut dice = Dice(seed ^ 0xb10);
    let sandbox = Sandbox::new();
    let folder = sandbox.path("buckets/events");
    events::make_archive(&folder, OBJECTS, RECORDS);
    let bucket_server = bucket_server.map(|rclone| rclone_server(rclone, &sandbox.path("buckets")));
    let archive = match &bucket_server {
        Some(server) => format!("s3://events --s3-endpoint-url {}", server.url),
        None => folder.display().to_string(),
    };
    // Three shards at a fifth of their rate: some seconds of work.
    let replay = format!(
        "replay {archive} --into {stream} --kinesis-endpoint-url {} --partition-key /k --share 0.2 --yes --json",
        server.url
    );
    let (mut kills, mut report) = (0, None);
    for attempt in 0..ATTEMPTS_MAX {
        let line = if sandbox.runs().is_empty() { replay.clone() } else { "resume --json".to_owned() };
        let process = start(&sandbox, &line);
        report = if attempt < BLOWS {
            let moment = Duration::from_millis(60 + dice.below(700));
            blow(process, moment, &mut dice, &mut kills, tally)
        } else {
            finished(&process.wait())
        };
        if report.is_some() {
            break;
        }
    }
    let report = report.unwrap_or_else(|| panic!("seed {seed}: the run does not end"));
    let possible = report["possible_duplicates"].as_u64().unwrap();
    assert_eq!(report["records"]["delivered"], OBJECTS * RECORDS, "seed {seed}: {report}");
    assert_eq!(report["order_violations"], 0, "seed {seed}: {report}");
    let folder = folder.to_string_lossy();
    let arguments = ["compare", &server.url, stream, &folder, "/k", &possible.to_string()];
    let verdict: Value = serde_json::from_str(&script(python, STREAM_PY, &arguments)).unwrap();
    let surplus = verdict["surplus"].as_u64().unwrap();
    tally.rounds += 1;
    tally.kills += kills;
    tally.records += verdict["records"].as_u64().unwrap();
    tally.surplus += surplus;
    tally.possible += possible;
    tally.surplus_per_kill_max = tally.surplus_per_kill_max.max(surplus / kills.max(1));
}

/// Kills or interrupts the process at `moment`; gives the report if the run was done before.
fn blow(
    mut process: Process,
    moment: Duration,
    dice: &mut Dice,
    kills: &mut u64,
    tally: &mut Tally,
) -> Option<Value> {
    let began = Instant::now();
    let ended = until("the moment", || {
        let ended = process.has_ended();
        (ended || began.elapsed() >= moment).then_some(ended)
    });
    if ended {
        return finished(&process.wait());
    }
    if dice.below(5) == 0 {
        tally.interruptions += 1;
        process.signal(Signal::TERM);
        // On a busy machine it may not have come so far that it listens to signals: then it is a kill.
        if let Ok(outcome) = process.wait_unless_killed() {
            return finished(&outcome);
        }
        *kills += 1;
        return None;
    }
    *kills += 1;
    process.kill();
    None
}

/// The report of a run that is done; nothing but that or an orderly end is right.
fn finished(outcome: &crate::sandbox::Outcome) -> Option<Value> {
    let report = outcome.json(if outcome.code == 0 { 0 } else { 4 });
    (outcome.code == 0).then_some(report)
}

fn start(sandbox: &Sandbox, line: &str) -> Process {
    let mut command = sandbox.command(line);
    command.env("AWS_ACCESS_KEY_ID", KEYS.0).env("AWS_SECRET_ACCESS_KEY", KEYS.1);
    sandbox.start_command(command)
}

/// A few numbers that follow from a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 33) % bound
    }
}
