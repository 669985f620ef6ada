//! What the user typed: the only place that knows clap, the environment and the terminal.
//!
//! One file per command. Each has `…Args` as they are typed and turns them once into a `…Config`, in which
//! nothing is left to check that can be told without asking a service or the archive. What is wrong is
//! told in one sentence, and the process ends with 2 before anything else has happened.
//!
//! ```
//! use respool::cli::{Environment, Invocation, parse};
//!
//! let args = ["respool", "replay", "s3://events/live", "--into", "sim:4", "--partition-key", "/user/id"];
//! let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
//! let Ok(Invocation::Replay(replay)) = parse(args, &environment) else { panic!() };
//! assert_eq!(replay.settings.target.to_string(), "sim:4");
//! assert_eq!(replay.state_dir.to_str(), Some("/home/ada/.local/state/respool"));
//! ```

mod bench;
mod cache;
mod config_file;
mod door;
mod environment;
mod exposure;
mod generate;
mod iam;
mod inspect;
pub mod logging;
mod options;
mod plan;
mod quarantine;
mod replay;
mod resume;
mod runs;
mod saved_plan;
mod select;
mod simulate;
mod stream;
#[cfg(test)]
mod tests;
mod variables;
mod verify;
mod whole;
mod words;

use std::ffi::OsString;
use std::fmt;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use environment::Environment;

use crate::config::{
    BenchConfig, CacheCommandConfig, DrainedConfig, FillConfig, GuideConfig, IamConfig, InspectConfig,
    PlanConfig, QuarantineConfig, ReplayConfig, ResumeConfig, RetryConfig, RunsConfig, SimulateConfig,
    StreamConfig, Typed, VerifyConfig,
};
use crate::error::{Error, ExitCode};
use config_file::ConfigFile;
use options::OutputArgs;
use saved_plan::Given;

const HEADING_WHAT: &str = "What to replay";
const HEADING_BENCH: &str = "What to measure";
const HEADING_INTO: &str = "Into what";
const HEADING_ORDER: &str = "Keys and order";
const HEADING_SPEED: &str = "Speed";
const HEADING_CACHE: &str = "Cache and state";
const HEADING_AWS: &str = "AWS access";
const HEADING_OUTPUT: &str = "Output and safety";

const EXIT_CODES: &str = "\
Exit codes:
   0  done and clean
   1  done, but the stream differs from the archive, or order was violated; cache verify: damage found and removed
   2  the command line is wrong
   3  done, with records or objects in quarantine
   4  not done yet: `respool resume` goes on; where no run was begun, try again; cache warm: not all had room
   5  refused by a service, or by respool for safety
  70  a defect in respool; the run can be resumed

Every flag can be set by a variable as well: --cache-dir by RESPOOL_CACHE_DIR, and so on; and in a configuration \
file, ~/.config/respool/config.toml (`respool config` prints one). The command line goes before the variable, the \
variable before the file. Only typed: --force, --with-consumers, and the --yes of what deletes or scales.";

const EXAMPLES: &str = "\
Examples:
  Try it, with an embedded stream of four shards that has Kinesis' limits:
    respool replay tests/fixtures/archive --into sim:4 --partition-key /tailnum

  See what a week of a bucket would mean for a stream, and send nothing:
    respool replay s3://events/live/ --into orders-backfill --partition-key /order/id \\
      --from 2026-11-02 --until 2026-11-09 --dry-run

  Leave half of each shard to the live producers, with two accounts:
    respool replay s3://events/live/ --into orders --partition-key /order/id --from 3d \\
      --share 0.5 --s3-profile archive --kinesis-profile live --region eu-west-1
";

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Replay archived events into a Kinesis stream: in order per key, at the shards' full limit, resumable.
#[derive(Debug, Parser)]
#[command(name = "respool", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 110)]
#[command(disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replay an archive into a stream
    #[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
    Replay(Box<replay::ReplayArgs>),
    /// Look at an archive: its layout, formats, records, and the flags that would select it
    #[command(after_help = EXIT_CODES)]
    Inspect(Box<inspect::InspectArgs>),
    /// Plan a replay: how long, how much, which limit binds, for several numbers of shards
    #[command(after_help = EXIT_CODES)]
    Plan(Box<plan::PlanArgs>),
    /// Print the smallest IAM policy for a plan or a replay
    Iam(Box<iam::IamArgs>),
    /// Go on with an interrupted run
    #[command(after_help = EXIT_CODES)]
    Resume(Box<resume::ResumeArgs>),
    /// Read the stream back and compare it with the archive, record by record
    #[command(after_help = EXIT_CODES)]
    Verify(Box<verify::VerifyArgs>),
    /// Make, scale, watch and delete the stream of a backfill, and know when the worker has read it
    #[command(after_help = EXIT_CODES)]
    Stream(stream::StreamArgs),
    /// Print the switch-over of a backfill as a checklist, with its own names, commands and times
    #[command(after_help = EXIT_CODES)]
    Guide(Box<stream::GuideArgs>),
    /// List runs: state, progress, rates
    #[command(args_conflicts_with_subcommands = true)]
    Runs(runs::RunsArgs),
    /// See what a run has set aside, and try it again
    Quarantine(quarantine::QuarantineArgs),
    /// See, check and clear the local cache
    Cache(cache::CacheArgs),
    /// Measure how fast this machine fills how many shards, and draw it
    #[command(after_help = EXIT_CODES, mut_arg("partition_key", bench::with_its_own_key))]
    Bench(Box<bench::BenchArgs>),
    /// Serve the embedded stream on a loopback port, for any Kinesis client
    Simulate(simulate::SimulateArgs),
    /// Print a configuration file with every flag in it
    Config,
    /// Print completions for a shell
    Completions(generate::CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(generate::ManArgs),
}

/// What is to be done, checked as far as it can be without asking anyone.
#[derive(Debug)]
pub enum Invocation {
    /// `respool replay`.
    Replay(Box<ReplayConfig>),
    /// `respool inspect`.
    Inspect(Box<InspectConfig>),
    /// `respool plan`.
    Plan(Box<PlanConfig>),
    /// `respool iam`.
    Iam(Box<IamConfig>),
    /// `respool resume`.
    Resume(Box<ResumeConfig>),
    /// `respool verify`.
    Verify(Box<VerifyConfig>),
    /// `respool stream create`, `scale`, `status` and `delete`.
    Stream(Box<StreamConfig>),
    /// `respool stream drained`.
    Drained(Box<DrainedConfig>),
    /// `respool guide`.
    Guide(Box<GuideConfig>),
    /// `respool runs`.
    Runs(RunsConfig),
    /// `respool quarantine ls` and `show`.
    Quarantine(QuarantineConfig),
    /// `respool quarantine retry`.
    Retry(Box<RetryConfig>),
    /// `respool cache warm` and `export`.
    Fill(Box<FillConfig>),
    /// `respool cache`.
    Cache(CacheCommandConfig),
    /// `respool bench`.
    Bench(Box<BenchConfig>),
    /// `respool simulate`.
    Simulate(SimulateConfig),
    /// Text that follows from the flags: completions, a manual page, a configuration.
    Print(Vec<u8>),
}

impl Invocation {
    /// What begins a run keeps the words by which it does, and what variables have said besides.
    fn typed_as(mut self, args: &[OsString], matches: &ArgMatches) -> Self {
        let typed = |retries, follows_a_plan| {
            let mut typed = Typed { words: words::pasteable(args, command()), retries, follows_a_plan };
            typed.add(words::of_variables(matches, command()));
            typed
        };
        match &mut self {
            Self::Replay(config) => {
                config.typed = typed(false, config.plan.is_some());
                if config.plan.is_none() {
                    config.typed.stands_alone();
                }
            }
            Self::Retry(config) => config.typed = typed(true, false),
            _ => {}
        }
        self
    }
}

/// Why there is nothing to do: help was asked for, or the command line is wrong.
#[derive(Debug)]
pub enum Stop {
    /// Help, the version, or what clap found wrong.
    Clap(Box<clap::Error>),
    /// What we found wrong.
    Usage(Error),
}

impl Stop {
    /// How the process ends.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Clap(error) if !error.use_stderr() => ExitCode::Done,
            Self::Clap(_) => ExitCode::Usage,
            Self::Usage(error) => error.exit_code(),
        }
    }

    /// Prints help to stdout, everything else to stderr. A reader that has gone away is no error.
    pub fn print(&self) {
        use std::io::Write as _;
        let _ = match self {
            Self::Clap(error) => error.print(),
            Self::Usage(error) => writeln!(std::io::stderr(), "error: {error}"),
        };
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clap(error) => fmt::Display::fmt(error, f),
            Self::Usage(error) => fmt::Display::fmt(error, f),
        }
    }
}

impl From<clap::Error> for Stop {
    fn from(mut error: clap::Error) -> Self {
        // Whoever mistypes a flag does not want it for a value.
        if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
            tips.retain(|tip| !tip.to_string().contains("as a value, use"));
            if !tips.is_empty() {
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
            }
        }
        Self::Clap(Box::new(error))
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Usage(error)
    }
}

/// Turns a command line, the program's name first, into what is to be done.
pub fn parse<I, T>(args: I, environment: &Environment) -> Result<Invocation, Stop>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let file = ConfigFile::find(command(), &args, environment)?;
    let matches = match &file {
        None => variables::that_count(command(), &command(), &args)?.try_get_matches_from(&args)?,
        Some(file) => {
            let command = variables::that_count(file.apply(command())?, &command(), &args)?;
            let parsed = command.try_get_matches_from(&args);
            parsed.map_err(|error| file.blame(error, &args))?
        }
    };
    let Cli { command, output } = Cli::from_arg_matches(&matches)?;
    let output = output.resolve(environment)?;
    let invocation = match command {
        Command::Replay(args) => {
            let given = Given::of(matches.subcommand_matches("replay"));
            Invocation::Replay(Box::new(args.resolve(&given, environment, output)?))
        }
        Command::Plan(args) => Invocation::Plan(Box::new(args.resolve(environment, output)?)),
        Command::Iam(args) => {
            let given = Given::of(matches.subcommand_matches("iam"));
            Invocation::Iam(Box::new(args.resolve(&given)?))
        }
        Command::Inspect(args) => Invocation::Inspect(Box::new(args.resolve(environment, output)?)),
        Command::Resume(args) => Invocation::Resume(Box::new(args.resolve(environment, output)?)),
        Command::Verify(args) => Invocation::Verify(Box::new(args.resolve(environment, output)?)),
        Command::Stream(args) => args.resolve(&Given::of(Some(innermost(&matches))), environment, output)?,
        Command::Guide(args) => {
            let given = Given::of(matches.subcommand_matches("guide"));
            Invocation::Guide(Box::new(args.resolve(&given, environment, output)?))
        }
        Command::Runs(args) => Invocation::Runs(args.resolve(environment, output)?),
        Command::Quarantine(args) => args.resolve(environment, output)?,
        Command::Cache(args) => args.resolve(environment, output)?,
        Command::Bench(args) => {
            let given = Given::of(matches.subcommand_matches("bench"));
            Invocation::Bench(Box::new(args.resolve(&given, environment, output)?))
        }
        Command::Simulate(args) => Invocation::Simulate(args.resolve(output)),
        Command::Config => Invocation::Print(config_file::example(&self::command()).into_bytes()),
        Command::Completions(args) => Invocation::Print(args.render()),
        Command::Man(args) => Invocation::Print(args.render()?),
    };
    Ok(invocation.typed_as(&args, &matches))
}

/// The matches of the command that has none below it.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    std::iter::successors(Some(matches), |matches| matches.subcommand().map(|(_, inner)| inner))
        .last()
        .unwrap_or(matches)
}

/// The whole command, for completions and manual pages.
pub fn command() -> clap::Command {
    quiet_variables(Cli::command())
}

/// Help says once that every flag has a variable, not at each flag; and a variable's value never.
fn quiet_variables(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| arg.hide_env(true).hide_env_values(true)).mut_subcommands(quiet_variables)
}
