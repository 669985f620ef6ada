//! Where a variable and a flag exclude each other the flag counts, and the variable says nothing.
//!
//! A variable is set once for many commands, so it is no mistake that one of them has no use for it. To clap its value is as
//! good as a typed one, and would be refused beside what was typed. Of two variables the one counts whose flag declares that
//! it excludes the other.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// What asks for another flag beside it, as far as it has a variable; clap does not tell.
const NEEDS: [(&str, &str); 2] = [("shards", "create"), ("event_time_format", "event_time")];

/// `command`, in which no variable is left that what was typed in `args` excludes.
pub(super) fn that_count(command: Command, args: &[OsString]) -> Command {
    let Ok(matches) = sources_only(command.clone()).try_get_matches_from(args) else { return command };
    without_overruled(command, &matches)
}

/// The same flags, of which any value is taken: only where it comes from is asked for.
fn sources_only(command: Command) -> Command {
    let open = |arg: Arg| {
        let flag = !arg.get_action().takes_values();
        let arg = arg.required(false);
        if flag { arg } else { arg.value_parser(clap::value_parser!(OsString)) }
    };
    command.ignore_errors(true).mut_args(open).mut_subcommands(sources_only)
}

fn without_overruled(command: Command, matches: &ArgMatches) -> Command {
    if let Some((name, inner)) = matches.subcommand() {
        return command.mut_subcommand(name, |command| without_overruled(command, inner));
    }
    let overruled = overruled(&command, matches);
    command.mut_args(|arg| {
        if !overruled.contains(arg.get_id().as_str()) {
            return arg;
        }
        let arg = arg.env(Resettable::Reset);
        // Nor does a switch count that only the file has turned on, behind the variable.
        if matches!(arg.get_action(), ArgAction::SetTrue) { arg.default_value("false") } else { arg }
    })
}

/// The flags of `command` whose variables do not count.
fn overruled(command: &Command, matches: &ArgMatches) -> BTreeSet<String> {
    let said = |arg: &Arg| Said::of(arg, matches);
    let mut overruled = BTreeSet::new();
    for arg in command.get_arguments() {
        let id = |arg: &Arg| arg.get_id().to_string();
        for other in command.get_arg_conflicts_with(arg) {
            let loser = match (said(arg), said(other)) {
                (Said::Nothing, _) | (_, Said::Nothing) | (Said::Typed, Said::Typed) => continue,
                (Said::Off, _) | (Said::ByVariable, Said::Typed) => arg,
                (Said::Typed | Said::ByVariable, Said::ByVariable | Said::Off) => other,
            };
            overruled.insert(id(loser));
        }
        let needed = NEEDS.iter().find(|(needs, _)| arg.get_id() == needs);
        let needed =
            needed.and_then(|(_, needed)| command.get_arguments().find(|arg| arg.get_id() == needed));
        if needed.is_some_and(|needed| said(needed) == Said::Nothing) && said(arg) == Said::ByVariable {
            overruled.insert(id(arg));
        }
    }
    overruled
}

/// How a flag was given.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Typed,
    ByVariable,
    /// By a variable that says no.
    Off,
    Nothing,
}

impl Said {
    fn of(arg: &Arg, matches: &ArgMatches) -> Self {
        let id = arg.get_id().as_str();
        match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Self::Typed,
            Some(ValueSource::EnvVariable) => {
                let off = matches!(arg.get_action(), ArgAction::SetTrue) && !matches.get_flag(id);
                if off { Self::Off } else { Self::ByVariable }
            }
            _ => Self::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_gives_way_to_what_is_typed_and_is_refused_by_none() {
        // The variables of this process are not touched: a flag has another one's name here.
        let command = || {
            let flag = |name: &'static str| Arg::new(name).long(name);
            let variable = |name| flag(name).env("PATH").value_parser(clap::value_parser!(OsString));
            Command::new("respool").subcommand(
                Command::new("bench")
                    .arg(flag("null").action(ArgAction::SetTrue).conflicts_with_all(["into", "share"]))
                    .arg(variable("into").conflicts_with("share"))
                    .arg(variable("share").value_parser(clap::value_parser!(u32)))
                    .arg(variable("shards").requires("create"))
                    .arg(flag("create").action(ArgAction::SetTrue)),
            )
        };
        let said = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let matches = that_count(command(), &args).try_get_matches_from(&args);
            let matches = matches.map_err(|error| error.kind());
            matches.map(|matches| {
                let (_, matches) = matches.subcommand().unwrap();
                ["null", "into", "share", "shards"].map(|id| match matches.value_source(id) {
                    Some(ValueSource::CommandLine) => 't',
                    Some(ValueSource::EnvVariable) => 'v',
                    _ => '-',
                })
            })
        };
        assert_eq!(said("respool bench --null"), Ok(['t', '-', '-', '-']));
        assert_eq!(said("respool bench --share 7"), Ok(['-', '-', 't', '-']));
        assert_eq!(said("respool bench --create"), Ok(['-', 'v', '-', 'v']));
        let conflict = Err(clap::error::ErrorKind::ArgumentConflict);
        assert_eq!(said("respool bench --null --share 7"), conflict, "both were typed");
        let missing = Err(clap::error::ErrorKind::MissingRequiredArgument);
        assert_eq!(said("respool bench --shards 7"), missing);
    }
}
