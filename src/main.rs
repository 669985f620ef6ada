//! The command: parse, dispatch, say what went wrong, exit.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use respool::cli::{Environment, Invocation, logging, parse};
use respool::config::{IamConfig, OutputConfig, ReplayConfig, RunSettings, SimulateConfig};
use respool::error::{About, Error, ExitCode as Code};
use respool::lifecycle;
use respool::plan;
use respool::record::many;
use respool::run::replay::Replayed;
use respool::run::report::{Report, RunState};
use respool::run::{cache_command, console, inspect, listing, now, quarantine, summary, warm};
use respool::sim;

fn main() -> ExitCode {
    let invocation = match parse(std::env::args_os(), &Environment::read()) {
        Ok(invocation) => invocation,
        Err(stop) => {
            stop.print();
            return exit(stop.exit_code());
        }
    };
    // A core dump would hold the users' records.
    respool::run::forbid_core_dumps();
    respool::run::allow_open_files();
    let outcome = catch_unwind(AssertUnwindSafe(|| execute(invocation)));
    // The panic itself was printed where it happened.
    let outcome = outcome.unwrap_or_else(|_| {
        Err(Error::internal(
            "this is a defect in respool; what was delivered is safe, and the run can be resumed",
        ))
    });
    match outcome {
        Ok(code) => exit(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {}", summary::chain(&error));
            exit(error.exit_code())
        }
    }
}

fn exit(code: Code) -> ExitCode {
    ExitCode::from(code as u8)
}

fn start_log(output: &OutputConfig) {
    logging::start(output, || console::AboveTheBar);
}

fn execute(invocation: Invocation) -> Result<Code, Error> {
    match invocation {
        Invocation::Print(text) => console::print(&String::from_utf8_lossy(&text)).map(|()| Code::Done),
        Invocation::Replay(config) => {
            start_log(&config.output);
            let outcome = runtime()?.block_on(run_replay(&config));
            let RunSettings { archive, target, .. } = &config.settings;
            told_as_json(outcome, &config.output, &archive.to_string(), &target.to_string())
        }
        Invocation::Inspect(config) => {
            start_log(&config.output);
            let found = runtime()?.block_on(inspect::inspect(&config));
            let text = found.map(|found| if config.output.json { found.to_json() } else { found.render() });
            let told = text.and_then(|text| console::print(&text));
            failed_as_json(told.map(|()| Code::Done), &config.output)
        }
        Invocation::Plan(config) => {
            start_log(&config.output);
            let plan = match runtime()?.block_on(plan::plan(&config, now())) {
                Ok(plan) => plan,
                Err(error) => return failed_as_json(Err(error), &config.output),
            };
            let OutputConfig { json, width, color, .. } = config.output;
            console::print(&if json { plan.to_json() } else { plan.render(width, color) })?;
            has_something_to_send(&plan)
        }
        Invocation::Iam(config) => iam(&config),
        Invocation::Resume(config) => {
            start_log(&config.output);
            let outcome = runtime()?.block_on(lifecycle::replay::resume(&config, now()));
            let outcome = outcome.and_then(|report| show_report(&report, &config.output));
            told_as_json(outcome, &config.output, "", "")
        }
        Invocation::Verify(config) => {
            start_log(&config.output);
            let verified = runtime()?.block_on(respool::verify::verify(&config, now()));
            let told = verified.and_then(|report| {
                let text = if config.output.json { report.to_json() + "\n" } else { report.render() };
                console::print(&text).map(|()| Code::from_number(report.exit_code))
            });
            failed_as_json(told, &config.output)
        }
        Invocation::Stream(config) => {
            start_log(&config.output);
            let outcome = runtime()?.block_on(lifecycle::command::stream(&config, now()));
            failed_as_json(outcome.map(|()| Code::Done), &config.output)
        }
        Invocation::Drained(config) => {
            start_log(&config.output);
            let outcome = runtime()?.block_on(lifecycle::watch::drained(&config, now()));
            failed_as_json(outcome, &config.output)
        }
        Invocation::Guide(config) => {
            start_log(&config.output);
            let outcome = runtime()?.block_on(lifecycle::command::guide(&config, now()));
            failed_as_json(outcome.map(|()| Code::Done), &config.output)
        }
        Invocation::Runs(config) => {
            let told = listing::runs(&config).and_then(|text| console::print(&text));
            failed_as_json(told.map(|()| Code::Done), &config.output)
        }
        Invocation::Quarantine(config) => failed_as_json(quarantine::run(&config), &config.output),
        Invocation::Retry(config) => {
            start_log(&config.output);
            let outcome = runtime()?.block_on(lifecycle::replay::retry(&config, now()));
            let outcome = outcome.and_then(|(replay, replayed)| show_replayed(&replayed, &replay.output));
            told_as_json(outcome, &config.output, "", "")
        }
        Invocation::Fill(config) => {
            start_log(&config.output);
            runtime()?.block_on(warm::run(&config))
        }
        Invocation::Cache(config) => cache_command::run(&config, now()),
        Invocation::Bench(config) => {
            start_log(&config.output);
            runtime()?.block_on(respool::bench::run(&config))
        }
        Invocation::Simulate(config) => {
            start_log(&config.output);
            runtime()?.block_on(simulate(config))
        }
    }
}

/// A plan of nothing is no plan: a replay would end the same way.
fn has_something_to_send(plan: &plan::report::Plan) -> Result<Code, Error> {
    plan.in_vain().map_or(Ok(Code::Done), |why| Err(Error::new(Code::Quarantine, why)))
}

fn iam(config: &IamConfig) -> Result<Code, Error> {
    match plan::iam::policy(config) {
        Some(policy) => console::print(&format!("{policy:#}\n")).map(|()| Code::Done),
        None => Err(Error::usage("neither the archive nor the target lies in AWS: no permission is needed")),
    }
}

async fn run_replay(config: &ReplayConfig) -> Result<Code, Error> {
    show_replayed(&Box::pin(lifecycle::replay::replay(config, now())).await?, &config.output)
}

fn show_replayed(replayed: &Replayed, output: &OutputConfig) -> Result<Code, Error> {
    match replayed {
        Replayed::Report(report) => show_report(report, output),
        Replayed::Forecast(forecast) if output.json => {
            console::print(&format!("{}\n", forecast.to_json())).map(|()| Code::Done)
        }
        Replayed::Forecast(forecast) => {
            console::print(&format!("{}\nNothing was sent (--dry-run).\n", forecast.render()))
                .map(|()| Code::Done)
        }
    }
}

/// With `--json` a failure before there was a run has its object on stdout too.
fn told_as_json(
    outcome: Result<Code, Error>,
    output: &OutputConfig,
    archive: &str,
    target: &str,
) -> Result<Code, Error> {
    if let (Err(error), true) = (&outcome, output.json) {
        let code = error.exit_code();
        let state = if code == Code::Incomplete { RunState::Incomplete } else { RunState::Refused };
        let message = Some(summary::chain(error));
        let report = match error.about() {
            Some(About { run, archive, target }) => Report::new(run, archive, target),
            None => Report::new("", archive, target),
        };
        let next_command = error.next_command().map(str::to_owned);
        let report = Report { state, exit_code: code as u8, message, next_command, ..report };
        console::print(&format!("{}\n", report.to_json()))?;
    }
    outcome
}

/// With `--json` a failure of what has no report has its object on stdout too.
fn failed_as_json(outcome: Result<Code, Error>, output: &OutputConfig) -> Result<Code, Error> {
    if let (Err(error), true) = (&outcome, output.json) {
        let mut failed =
            serde_json::json!({ "exit_code": error.exit_code() as u8, "message": summary::chain(error) });
        if let (Some(About { run, target, .. }), Some(fields)) = (error.about(), failed.as_object_mut()) {
            fields.insert("run".into(), run.as_str().into());
            fields.insert("target".into(), target.as_str().into());
            fields.insert("next_command".into(), error.next_command().into());
        }
        console::print(&format!("{failed:#}\n"))?;
    }
    outcome
}

fn show_report(report: &Report, output: &OutputConfig) -> Result<Code, Error> {
    if output.json {
        console::print(&format!("{}\n", report.to_json()))?;
    } else {
        console::print(&report.render(output.width, output.color))?;
    }
    Ok(Code::from_number(report.exit_code))
}

async fn simulate(config: SimulateConfig) -> Result<Code, Error> {
    let cannot = |error: std::io::Error| {
        Error::refused(format!("cannot listen on 127.0.0.1:{}", config.port)).with_source(error)
    };
    let shards = NonZeroU32::new(config.shards).ok_or_else(|| Error::usage("--shards must be 1 or more"))?;
    let mut serve = sim::ServeConfig::with_shards(shards);
    if config.unlimited {
        serve.burst_rule = sim::BurstRule::Unlimited;
    }
    serve.transition = config.transition;
    serve.faults = config.faults.parse().map_err(|error| Error::usage(format!("--faults: {error}")))?;
    let shutdown = respool::run::signals::first_signal()?;
    let (address, server) = sim::simulate(serve, config.port, shutdown).await.map_err(cannot)?;
    console::print(&format!("http://{address}\n"))?;
    if !config.output.quiet {
        console::say(&format!(
            "A stream named demo with {} is there. Clients need this endpoint, any region and any credentials. \
             Ctrl-C ends it.",
            many(config.shards, "shard")
        ));
    }
    server.await;
    Ok(Code::Done)
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::refused("cannot start the runtime's threads").with_source(error))
}
