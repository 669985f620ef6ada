//! Where two flags exclude each other, what was typed counts before a variable, and a variable before the configuration file.
//!
//! A variable or a key of the file is set once for many commands, so it is no mistake that one of them has no use for it. To clap
//! a variable's value is as good as a typed one, and would be refused beside what was typed; a key of the file is a default, and
//! would not be noticed. So whatever is overruled is taken away before the command line is read. Of two variables, or two keys, the
//! one counts whose flag declares that it excludes the other; but those that contradict each other in every command
//! ([`CONTRADICT`]) are named. What is overruled itself overrules nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;

use clap::builder::Resettable;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::error::Error;

/// What asks for one of other flags beside it. Where it is typed alone its command refuses it; clap would not know the file's.
const NEEDS: [(&str, &[&str]); 8] = [
    ("shards", &["create"]),
    ("retention", &["create"]),
    ("record_size", &["create"]),
    ("encryption", &["create"]),
    ("tag", &["create"]),
    ("event_time", &["from", "until"]),
    ("event_time_format", &["event_time"]),
    ("lease_table", &["backfill"]),
];
/// A command and its flag for which a plan may do as well: it looks itself.
const OR_A_PLAN: (&str, &str) = ("iam", "retention");
/// What excludes each other although clap does not know it: typed together, it is refused in words of its own.
const CONTRADICT: [(&str, &str); 2] = [("offline", "no_cache"), ("quiet", "verbose")];
/// Where the first goes before the second, if they were said in the same way.
const GO_BEFORE: [(&str, &str); 1] = [("online", "offline")];

/// `command`, which has the file's values as defaults, without the variables and defaults that are overruled; `plain` has none of
/// the file.
pub(super) fn that_count(command: Command, plain: &Command, args: &[OsString]) -> Result<Command, Error> {
    let Ok(matches) = sources_only(command.clone()).try_get_matches_from(args) else { return Ok(command) };
    without_overruled(command, plain, &matches, &matches)
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

fn without_overruled(
    command: Command,
    plain: &Command,
    matches: &ArgMatches,
    all: &ArgMatches,
) -> Result<Command, Error> {
    let mut refused = None;
    let command = match matches.subcommand() {
        Some((name, inner)) => command.mut_subcommand(name, |command| {
            let plain = plain.find_subcommand(name).unwrap_or(plain);
            without_overruled(command.clone(), plain, inner, all).unwrap_or_else(|error| {
                refused = Some(error);
                command
            })
        }),
        None => command,
    };
    if let Some(error) = refused {
        return Err(error);
    }
    let overruled = Sources { plain, matches, all }.overruled(&command)?;
    Ok(command.mut_args(|arg| {
        if !overruled.contains(arg.get_id().as_str()) {
            return arg;
        }
        // Nor does what the file says count, behind the variable.
        named(plain, arg.get_id().as_str()).unwrap_or(&arg).clone().env(Resettable::Reset)
    }))
}

fn named<'a>(command: &'a Command, id: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_id() == id)
}

/// Where the values of one command's flags come from.
struct Sources<'a> {
    plain: &'a Command,
    matches: &'a ArgMatches,
    all: &'a ArgMatches,
}

impl Sources<'_> {
    /// The flags of `command` whose variables and defaults do not count.
    fn overruled(&self, command: &Command) -> Result<BTreeSet<String>, Error> {
        let said = |arg: &Arg| self.said(arg);
        let mut beats = Vec::new();
        let mut meet = |one: &Arg, other: &Arg| {
            if let Some(first) = loser(said(one), said(other)) {
                let (winner, loser) = if first { (other, one) } else { (one, other) };
                beats.push((id(winner), id(loser)));
            }
        };
        for arg in command.get_arguments() {
            for other in command.get_arg_conflicts_with(arg) {
                meet(arg, other);
            }
        }
        let pair = |(one, other): &(&str, &str)| named(command, one).zip(named(command, other));
        for (arg, other) in GO_BEFORE.iter().filter_map(pair) {
            meet(arg, other);
        }
        let contradictory = || CONTRADICT.iter().filter_map(pair);
        let (equal, unequal): (Vec<_>, Vec<_>) =
            contradictory().partition(|(arg, other)| said(arg) == said(other));
        for (arg, other) in unequal {
            meet(arg, other);
        }
        let mut overruled = losers(beats);
        for (arg, other) in equal {
            if overruled.contains(&id(arg)) || overruled.contains(&id(other)) {
                continue;
            }
            match said(arg) {
                Said::ByVariable => return Err(contradiction("the variables", [arg, other].map(variable))),
                Said::ByFile => return Err(contradiction("the configuration file's", [arg, other].map(key))),
                Said::Nothing | Said::Off | Said::Typed => {}
            }
        }
        for (arg, needed) in NEEDS.iter().filter_map(|(arg, needed)| named(command, arg).zip(Some(needed))) {
            let mut needed = needed.iter().filter_map(|needed| named(command, needed)).peekable();
            let looks_itself = (command.get_name(), arg.get_id().as_str()) == OR_A_PLAN;
            if looks_itself || needed.peek().is_none() {
                continue;
            }
            let is_missing = |needed: &Arg| {
                overruled.contains(&id(needed)) || matches!(said(needed), Said::Nothing | Said::Off)
            };
            if needed.all(is_missing) && matches!(said(arg), Said::ByVariable | Said::ByFile) {
                overruled.insert(id(arg));
            }
        }
        Ok(overruled)
    }

    fn said(&self, arg: &Arg) -> Said {
        let id = arg.get_id().as_str();
        // What holds for all commands may have been typed behind any of them.
        let innermost = super::innermost(self.all);
        let matches = if innermost.try_contains_id(id).is_ok() { innermost } else { self.matches };
        let on = match arg.get_action() {
            ArgAction::SetTrue => matches!(matches.try_get_one(id), Ok(Some(true))),
            ArgAction::Count => matches!(matches.try_get_one::<u8>(id), Ok(Some(1..))),
            _ => true,
        };
        match matches.value_source(id) {
            Some(ValueSource::CommandLine) => Said::Typed,
            Some(ValueSource::EnvVariable) if on => Said::ByVariable,
            Some(ValueSource::EnvVariable) => Said::Off,
            Some(ValueSource::DefaultValue) if on && self.is_of_the_file(arg) => Said::ByFile,
            _ => Said::Nothing,
        }
    }

    fn is_of_the_file(&self, arg: &Arg) -> bool {
        let plain = named(self.plain, arg.get_id().as_str());
        plain.is_some_and(|plain| plain.get_default_values() != arg.get_default_values())
    }
}

/// Which of two that exclude each other does not count: whether it is the first.
fn loser(one: Said, other: Said) -> Option<bool> {
    match (one, other) {
        (Said::Nothing, _) | (_, Said::Nothing) | (Said::Typed, Said::Typed) => None,
        // What a variable switches off is not on because the file says so.
        (Said::Off, _) => Some(true),
        (_, Said::Off) => Some(false),
        (one, other) => Some(one < other),
    }
}

/// Those that do not count, of pairs of a winner and a loser: whatever is beaten by what counts itself.
fn losers(mut beats: Vec<(String, String)>) -> BTreeSet<String> {
    let mut losers = BTreeSet::new();
    let stands = |beats: &[(String, String)]| {
        let is_beaten = |one: &String| beats.iter().any(|(_, loser)| loser == one);
        beats.iter().find(|(winner, _)| !is_beaten(winner)).map(|(_, loser)| loser.clone())
    };
    while let Some(loser) = stands(&beats) {
        beats.retain(|(winner, beaten)| *winner != loser && *beaten != loser);
        losers.insert(loser);
    }
    losers
}

fn id(arg: &Arg) -> String {
    arg.get_id().to_string()
}

fn contradiction(whose: &str, [one, other]: [String; 2]) -> Error {
    Error::usage(format!(
        "{whose} {one} and {other} exclude each other: leave one of them out, or type the flag that is meant"
    ))
}

fn variable(arg: &Arg) -> String {
    arg.get_env().unwrap_or_default().to_string_lossy().into_owned()
}

fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().to_owned()
}

/// How a flag was given; what counts more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    /// By a variable that says no.
    Off,
    ByFile,
    ByVariable,
    Typed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Environment, Invocation};
    use crate::config::CacheMode;

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
                    .arg(variable("shards"))
                    .arg(flag("create").action(ArgAction::SetTrue)),
            )
        };
        let said = |line: &str| {
            let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let matches = that_count(command(), &command(), &args).unwrap().try_get_matches_from(&args);
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
        assert_eq!(said("respool bench --shards 7"), Ok(['-', 'v', '-', 't']), "the command refuses it");
    }

    #[test]
    fn a_variable_whose_other_flag_the_file_says_goes_before_the_files_value() {
        let plain = || {
            let shards = Arg::new("shards").long("shards").env("PATH");
            let create = Arg::new("create").long("create").action(ArgAction::SetTrue);
            Command::new("respool").subcommand(Command::new("replay").args([shards, create]))
        };
        let by_file = |create: &'static str| {
            plain().mut_subcommand("replay", |replay| {
                replay
                    .mut_arg("create", |arg| arg.default_value(create))
                    .mut_arg("shards", |arg| arg.default_value("4"))
            })
        };
        let source = |command: Command| {
            let args = ["respool", "replay"].map(OsString::from);
            let matches = that_count(command, &plain(), &args).unwrap().get_matches_from(&args);
            matches.subcommand_matches("replay").unwrap().value_source("shards")
        };
        assert_eq!(source(by_file("true")), Some(ValueSource::EnvVariable));
        assert_eq!(source(by_file("false")), None, "neither has a use");
        assert_eq!(source(plain()), None);
    }

    /// The flags that count of those that exclude each other.
    fn counted(text: &str, line: &str) -> Result<Invocation, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        let environment = Environment { home: Some("/home/ada".into()), ..Environment::default() };
        let words = line.split(' ').map(OsString::from).chain(["--config".into(), path.into_os_string()]);
        crate::cli::parse(words, &environment).map_err(|stop| stop.to_string())
    }

    #[test]
    fn a_key_of_the_file_is_refused_for_no_other_that_it_needs() {
        let replay = |text: &str, flags: &str| {
            counted(text, &format!("respool replay s3://events --into orders --partition-key /id{flags}"))
        };
        let shape = "shards = 4\nretention = \"48h\"\ntag = [\"team=orders\"]\nevent-time-format = \"ms\"\n";
        match replay(shape, "") {
            Ok(Invocation::Replay(config)) => assert_eq!(config.create, None),
            other => panic!("{other:?}"),
        }
        match replay("[replay]\ncreate = true\n", " --shards 8") {
            Ok(Invocation::Replay(config)) => {
                let create = config.create.unwrap();
                assert_eq!(create.shards, crate::config::ShardsWish::Exactly(8));
            }
            other => panic!("{other:?}"),
        }
        for (flags, said) in [
            (" --shards 8", "say --create"),
            (" --retention 48h", "say --create"),
            (" --event-time-format ms", "for the field of --event-time"),
            (" --event-time /ts", "leaves nothing out"),
        ] {
            let error = replay("event-time = \"/ts\"\n", flags).unwrap_err();
            assert!(error.contains(said), "{flags}: {error}");
        }
    }

    #[test]
    fn what_is_typed_goes_before_a_key_that_excludes_it() {
        let bench = |text: &str, line: &str| match counted(text, line) {
            Ok(Invocation::Bench(config)) => format!("{:?}", config.subject),
            other => panic!("{other:?}"),
        };
        let null = "[bench]\nnull = true\n";
        let stages = bench(null, "respool bench");
        assert_ne!(bench(null, "respool bench --into sim:2"), stages);
        assert_ne!(bench(null, "respool bench --shards 2"), stages);
        assert_eq!(bench("[bench]\nshards = [1, 2]\n", "respool bench --null"), stages);
        let duration = |text: &str, flags: &str| match counted(text, &format!("respool bench{flags}")) {
            Ok(Invocation::Bench(config)) => config.duration.as_secs(),
            other => panic!("{other:?}"),
        };
        let both = "[bench]\nnull = true\nduration = \"30s\"\n";
        assert_eq!(duration(both, " --shards 2"), 30, "what is overruled overrules nothing");
        assert_ne!(duration(both, ""), 30);
        let mode = |text: &str, flags: &str| match counted(
            text,
            &format!("respool replay s3://events --into sim:4{flags}"),
        ) {
            Ok(Invocation::Replay(config)) => Ok((config.tuning.cache.mode, config.output.quiet)),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        };
        let (keep, offline, discard) = (CacheMode::Keep, CacheMode::Offline, CacheMode::Discard);
        assert_eq!(mode("no-cache = true", ""), Ok((discard, false)));
        assert_eq!(mode("no-cache = true", " --offline"), Ok((offline, false)));
        assert_eq!(mode("offline = true", " --no-cache"), Ok((discard, false)));
        assert_eq!(mode("online = true", " --offline"), Ok((offline, false)));
        assert_eq!(mode("offline = true", " --online"), Ok((keep, false)));
        assert_eq!(mode("quiet = true", " -v"), Ok((keep, false)));
        assert_eq!(mode("verbose = 2", " --quiet"), Ok((keep, true)));
        // In one file, as typed together, they are a contradiction, and it is said where.
        let both = mode("offline = true\nno-cache = true", "").unwrap_err();
        assert!(both.contains("the configuration file's offline and no-cache exclude each other"), "{both}");
        assert_eq!(mode("offline = true\nno-cache = true", " --no-cache"), Ok((discard, false)));
        let typed = mode("", " --quiet -v").unwrap_err();
        assert!(typed.contains("--quiet and --verbose contradict each other"), "{typed}");
    }
}
