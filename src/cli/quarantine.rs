//! `respool quarantine`: what a run has set aside, and another try.

use clap::builder::{FalseyValueParser, NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::environment::Environment;
use super::options::{LoopArgs, StateArgs, TuningArgs};
use super::whole::whole;
use super::{HEADING_ORDER, HEADING_OUTPUT, HEADING_WHAT, Invocation};
use crate::config::{FramingChoice, OutputConfig, QuarantineAction, QuarantineConfig, RetryConfig, Typed};
use crate::error::Error;
use crate::route::key::{KeyFallback, KeyRule};

/// Entries of each reason that a person is shown unasked.
const ENTRIES_SHOWN: usize = 20;

/// What was typed after `respool quarantine`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what was set aside, by reason: object or object:record, key, and why
    Ls {
        /// Name so many entries of each reason, with --json so many in all; 0 for all [default: 20, with --json all]
        #[arg(long, value_name = "COUNT", env = "RESPOOL_QUARANTINE_LIMIT", allow_negative_numbers = true)]
        #[arg(value_parser = parse_count)]
        limit: Option<usize>,
        /// The run, as `respool runs` names it [default: the last one of whose quarantine something is left]
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        run: Option<String>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Print the bytes of a record that was set aside
    Show {
        /// The record, as `quarantine ls` names it: OBJECT:RECORD
        #[arg(value_name = "OBJECT:RECORD", value_parser = parse_entry)]
        entry: (u32, Option<u32>),
        /// The run, as `respool runs` names it [default: the last one of whose quarantine something is left]
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        run: Option<String>,
        #[command(flatten)]
        state: StateArgs,
    },
    /// Send what was set aside once more, as a run of its own into the same stream
    Retry(Box<RetryArgs>),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches, each a flag of its own")]
struct RetryArgs {
    /// The run, as `respool runs` names it [default: the last one of whose quarantine something is left]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    run: Option<String>,
    /// Take another field for the key
    #[arg(long, value_name = "KEY", env = "RESPOOL_PARTITION_KEY", help_heading = HEADING_ORDER)]
    partition_key: Option<KeyRule>,
    /// Give a record without the key one of these
    #[arg(long, value_name = "KEY", env = "RESPOOL_KEY_FALLBACK", help_heading = HEADING_ORDER)]
    #[arg(value_parser = PossibleValuesParser::new(["random", "hash"]).try_map(|word| word.parse::<KeyFallback>()))]
    key_fallback: Option<KeyFallback>,
    /// Read in this way the arrays that were taken for one record and the objects that are no array, or where there are
    /// neither what was set aside whole, and try nothing else
    // No variable: what the next replay is to do says nothing of this run.
    #[arg(long, value_name = "HOW", help_heading = HEADING_WHAT)]
    #[arg(value_parser = PossibleValuesParser::new(FramingChoice::WORDS).try_map(|word| word.parse::<FramingChoice>()))]
    framing: Option<FramingChoice>,
    /// Of an object that is still damaged, send the whole records before the damage
    #[arg(long, env = "RESPOOL_SALVAGE", value_parser = FalseyValueParser::new(), help_heading = HEADING_WHAT)]
    salvage: bool,
    /// Although it was tried before: what was delivered then is sent twice
    #[arg(long, env = "RESPOOL_AGAIN", value_parser = FalseyValueParser::new(), help_heading = HEADING_OUTPUT)]
    again: bool,
    #[command(flatten)]
    tuning: TuningArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    may: LoopArgs,
    /// Say what would be sent, where, and how long it takes; send nothing
    #[arg(long, env = "RESPOOL_DRY_RUN", value_parser = FalseyValueParser::new(), help_heading = HEADING_OUTPUT)]
    dry_run: bool,
    /// Do not ask before the first record goes to Kinesis (behind an endpoint on this machine nothing is asked)
    #[arg(long, short, env = "RESPOOL_YES", value_parser = FalseyValueParser::new(), help_heading = HEADING_OUTPUT)]
    yes: bool,
}

impl QuarantineArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<Invocation, Error> {
        let look = |action, run, state: StateArgs| {
            let state_dir = state.resolve(environment)?;
            Ok(Invocation::Quarantine(QuarantineConfig { action, run, state_dir, output }))
        };
        match self.action {
            Action::Ls { limit, run, state } => {
                let limit = match limit {
                    Some(0) => None,
                    Some(limit) => Some(limit),
                    None if output.json => None,
                    None => Some(ENTRIES_SHOWN),
                };
                look(QuarantineAction::Ls { limit }, run, state)
            }
            Action::Show { entry: (object, record), run, state } => {
                look(QuarantineAction::Show { object, record }, run, state)
            }
            Action::Retry(args) => Ok(Invocation::Retry(Box::new(RetryConfig {
                run: args.run,
                partition_key: args.partition_key,
                key_fallback: args.key_fallback,
                framing: args.framing,
                salvage: args.salvage,
                again: args.again,
                typed: Typed::default(),
                firehose: args.tuning.firehose(environment)?,
                changes: args.tuning.changes(environment)?,
                allow_loop: args.may.allow_loop,
                state_dir: args.state.resolve(environment)?,
                dry_run: args.dry_run,
                yes: args.yes,
                output,
            }))),
        }
    }
}

fn parse_count(text: &str) -> Result<usize, String> {
    whole("a number of entries (0 for all of them)", 0..=u64::MAX)(text)
}

fn parse_entry(text: &str) -> Result<(u32, Option<u32>), &'static str> {
    let parsed = match text.split_once(':') {
        Some((object, record)) => object.parse().ok().zip(record.parse().ok().map(Some)),
        None => text.parse().ok().map(|object| (object, None)),
    };
    parsed.ok_or("a record is named as 3:120, by its object's number and its own")
}
