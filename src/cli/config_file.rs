//! The configuration file: defaults for flags, by the flags' own names.
//!
//! There is no second list of settings. A key of the file is a flag without its dashes, its value becomes that
//! flag's default, and clap checks it as if it had been typed; so whatever can be typed can be kept, and nothing
//! else. Keys at the top hold for every command that knows the flag, those in a table (`[replay]`,
//! `[cache.warm]`) for one command. The command line goes before the variable, the variable before the file.
//!
//! Commands that go on with a run ([`KEEPS_ITS_RUN`]) keep what it was started with: of the top's keys they take
//! only where things are and how the user is spoken to.
//!
//! A file is forgotten sooner than what was typed. So what answers a question ([`OF_ONE_COMMAND`]) counts only in the
//! table of the command that asks it, and what overrules a refusal ([`ALWAYS_TYPED`]) never; nor does an answer for a
//! command that deletes or scales something ([`ASKED_EACH_TIME`]).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::Stop;
use super::environment::Environment;
use crate::error::Error;
use crate::shown::in_quotes;

/// No configuration is larger, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Commands whose settings are those of a run.
const KEEPS_ITS_RUN: [&str; 3] = ["resume", "verify", "retry"];
/// The top's keys that hold for them too.
const OF_THE_USER: [&str; 4] = ["state-dir", "json", "quiet", "verbose"];
/// Flags that no file can set.
const NEVER_KEPT: [&str; 3] = ["config", "help", "version"];
/// Flags that overrule a refusal, each for the one thing that is refused: they are typed.
const ALWAYS_TYPED: [&str; 3] = ["force", "with-consumers", "no-plan"];
/// Flags that answer a question. What is answered for one command is not answered for another.
const OF_ONE_COMMAND: [&str; 3] = ["yes", "allow-loop", "accept-refusals"];

/// Commands whose question is answered where it is asked, or by what is typed.
const ASKED_EACH_TIME: [&str; 3] = ["delete", "scale", "purge"];

/// Values by the flags' names.
type Defaults = BTreeMap<String, Value>;

/// A file that was read.
#[derive(Debug)]
pub(super) struct ConfigFile {
    path: PathBuf,
    table: Table,
}

impl ConfigFile {
    /// The file that the command line or its variable names, else the one in its usual place, if there is one.
    pub(super) fn find(
        command: Command,
        args: &[OsString],
        environment: &Environment,
    ) -> Result<Option<Self>, Error> {
        // Whatever else is wrong with the command line, or only completed by the file, is told by the real parse.
        let command = nothing_required(command).ignore_errors(true);
        let Ok(matches) = command.try_get_matches_from(args) else { return Ok(None) };
        let mut innermost = &matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        let named = innermost.try_get_one::<PathBuf>("config").ok().flatten();
        match named.cloned().or_else(|| environment.config_file()) {
            None => Ok(None),
            Some(path) if named.is_none() && is_missing(&path) => Ok(None),
            Some(path) => Self::read(&path).map(Some),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let shown = path.display();
        let mut text = String::new();
        let read = std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| Error::usage(format!("cannot read {shown}: {error}")))?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(Error::usage(format!("{shown} is larger than a configuration can be (1 MiB)")));
        }
        let table = text.parse().map_err(|error| Error::usage(format!("{shown}: {error}")))?;
        Ok(Self { path: path.to_owned(), table })
    }

    /// `command` with the file's values as defaults.
    pub(super) fn apply(&self, command: Command) -> Result<Command, Error> {
        layer(command, &Defaults::new(), Some(&self.table))
            .map_err(|why| Error::usage(format!("{}: {why}", self.path.display())))
    }

    /// Says of a value that clap refuses where it stands, if it was not typed.
    pub(super) fn blame(&self, error: clap::Error, args: &[OsString]) -> Stop {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.as_str(),
            _ => "",
        };
        let flag = text(ContextKind::InvalidArg).split_whitespace().next().unwrap_or_default();
        let (name, value) = (flag.trim_start_matches('-'), text(ContextKind::InvalidValue));
        let typed = args.iter().filter_map(|arg| arg.to_str()).any(|arg| arg.split('=').next() == Some(flag));
        if name.is_empty() || typed || !holds(&self.table, name) {
            return error.into();
        }
        let why = std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
        Error::usage(format!("{}: {name} = {}{why}", self.path.display(), in_quotes(value))).into()
    }
}

/// What is there and cannot be read is not missing.
fn is_missing(path: &Path) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    path.metadata().is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

fn nothing_required(command: Command) -> Command {
    command.mut_args(|arg| arg.required(false)).mut_subcommands(nothing_required)
}

fn holds(table: &Table, name: &str) -> bool {
    table.iter().any(|(key, value)| key == name || value.as_table().is_some_and(|inner| holds(inner, name)))
}

/// Gives `command` and all below it their defaults: what `inherited` holds, and what is in `own` besides.
fn layer(command: Command, inherited: &Defaults, own: Option<&Table>) -> Result<Command, String> {
    let mut defaults = inherited.clone();
    let mut tables = BTreeMap::new();
    for (key, value) in own.into_iter().flatten() {
        if let Value::Table(table) = value {
            if command.find_subcommand(key).is_none() {
                return Err(format!("[{key}]: `{}` has no such command", command.get_name()));
            }
            tables.insert(key.clone(), table);
        } else {
            if NEVER_KEPT.contains(&key.as_str()) || !knows(&command, key) {
                return Err(format!("{key}: there is no flag --{key}{}", similar(&command, key)));
            }
            if ALWAYS_TYPED.contains(&key.as_str()) {
                return Err(format!("{key}: what overrules a refusal is taken from no file, type --{key}"));
            }
            if OF_ONE_COMMAND.contains(&key.as_str()) && command.has_subcommands() {
                return Err(format!(
                    "{key}: what answers a question counts for one command, in its own table, as in [replay]"
                ));
            }
            if is_answered_by_typing(&command, key) {
                return Err(format!(
                    "{key}: what deletes or scales is answered for by no file and no variable, type --{key}"
                ));
            }
            defaults.insert(key.clone(), value.clone());
        }
    }
    let mut refused = None;
    let mut command = command.mut_args(|arg| {
        let Some(value) = arg.get_long().and_then(|long| defaults.get(long)) else { return arg };
        with_default(arg.clone().required(false), value).unwrap_or_else(|why| {
            refused = Some(why);
            arg
        })
    });
    let names: Vec<_> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    for name in names {
        let keeps_its_run = KEEPS_ITS_RUN.contains(&name.as_str());
        let holds = |key: &str| !keeps_its_run || OF_THE_USER.contains(&key);
        let handed: Defaults = defaults
            .iter()
            .filter(|(key, _)| holds(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let own = tables.get(&name).copied();
        command = command.mut_subcommand(&name, |inner| {
            layer(inner.clone(), &handed, own).unwrap_or_else(|why| {
                refused = Some(why);
                inner
            })
        });
    }
    refused.map_or(Ok(command), Err)
}

fn with_default(arg: Arg, value: &Value) -> Result<Arg, String> {
    let name = arg.get_long().unwrap_or_default().to_owned();
    let wanted = |what: &str| Err(format!("{name}: {what} is wanted here, not {value}"));
    match (arg.get_action(), value) {
        (ArgAction::SetTrue, Value::Boolean(set)) => {
            Ok(arg.default_value(if *set { "true" } else { "false" }))
        }
        (ArgAction::SetTrue, _) => wanted("true or false"),
        (ArgAction::Count, Value::Integer(count)) => Ok(arg.default_value(count.to_string())),
        (ArgAction::Count, _) => wanted("a number"),
        (ArgAction::Append, Value::Array(values)) => {
            let values: Option<Vec<_>> = values.iter().map(text).collect();
            values.map_or_else(
                || wanted("a list of strings or numbers"),
                |values| Ok(arg.default_values(values)),
            )
        }
        _ => text(value).map_or_else(|| wanted("a string or a number"), |value| Ok(arg.default_value(value))),
    }
}

/// A single value as it would be typed.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(_) | Value::Table(_) => None,
        other => Some(other.to_string()),
    }
}

/// Every flag of `command` and of all below it.
fn flags(command: &Command) -> BTreeSet<&str> {
    let own = command.get_arguments().filter_map(Arg::get_long);
    own.chain(command.get_subcommands().flat_map(flags)).collect()
}

fn knows(command: &Command, name: &str) -> bool {
    flags(command).contains(name)
}

fn similar(command: &Command, name: &str) -> String {
    let dashed = name.replace('_', "-");
    if knows(command, &dashed) { format!("; it is written {dashed}") } else { String::new() }
}

/// A file with every flag in it, commented out: each command's table with the flags that are its own.
pub(super) fn example(command: &Command) -> String {
    let mut text = "\
# respool's configuration: defaults for its flags, by their names. `respool config` prints this file with all of
# them. Keys above the first table hold for every command that knows the flag; a table holds for one command.
# `resume`, `verify` and `quarantine retry` keep what their run was started with: of the keys above the first
# table they take only state-dir, json, quiet and verbose. `stream drained` and `guide` reach the stream as their run did.
# What answers a question (yes, allow-loop, accept-refusals) stands in a command's own table only; the yes of
# `stream delete`, `stream scale` and `cache purge` is typed.
# The command line goes before the variable (RESPOOL_SHARE), the variable before this file.
"
    .to_owned();
    let mut shared: BTreeMap<&str, (usize, &Arg)> = BTreeMap::new();
    let all: Vec<_> = command.get_subcommands().flat_map(|inner| leaves(inner, "")).collect();
    for arg in all.iter().flat_map(|(_, leaf)| kept(leaf)).chain(kept(command)) {
        shared.entry(arg.get_long().unwrap_or_default()).or_insert((0, arg)).0 += 1;
    }
    let everywhere = |name: &str| {
        if OF_ONE_COMMAND.contains(&name) {
            return false;
        }
        let global = command.get_arguments().any(|arg| arg.get_long() == Some(name));
        global || shared.get(name).is_some_and(|(count, _)| *count > 1)
    };
    for (name, (_, arg)) in &shared {
        if everywhere(name) {
            write_key(&mut text, arg);
        }
    }
    for (path, leaf) in &all {
        let own: Vec<_> = kept(leaf).filter(|arg| !everywhere(arg.get_long().unwrap_or_default())).collect();
        if !own.is_empty() {
            let _ = write!(text, "\n[{path}]\n");
            for arg in own {
                write_key(&mut text, arg);
            }
        }
    }
    text
}

/// The commands that have no commands below them, with their tables' names.
fn leaves<'a>(command: &'a Command, above: &str) -> Vec<(String, &'a Command)> {
    let path = if above.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{above}.{}", command.get_name())
    };
    if command.has_subcommands() {
        let below = |inner| leaves(inner, &path);
        return command.get_subcommands().flat_map(below).collect();
    }
    vec![(path, command)]
}

/// Whether `name` is the answer to what `command` asks each time.
fn is_answered_by_typing(command: &Command, name: &str) -> bool {
    name == "yes" && ASKED_EACH_TIME.contains(&command.get_name())
}

fn kept(command: &Command) -> impl Iterator<Item = &Arg> {
    let may_be_kept = |arg: &&Arg| {
        arg.get_long().is_some_and(|long| {
            let is_typed = ALWAYS_TYPED.contains(&long) || is_answered_by_typing(command, long);
            !NEVER_KEPT.contains(&long) && !is_typed
        })
    };
    command.get_arguments().filter(may_be_kept)
}

fn write_key(text: &mut String, arg: &Arg) {
    let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let value = match arg.get_action() {
        ArgAction::SetTrue => "true".to_owned(),
        ArgAction::Count => "1".to_owned(),
        action => {
            let names = arg.get_value_names().unwrap_or_default();
            let name = format!("\"{}\"", names.first().map_or("VALUE", |name| name.as_str()));
            if matches!(action, ArgAction::Append) { format!("[{name}]") } else { name }
        }
    };
    let _ = write!(
        text,
        "\n# {}\n# {} = {value}\n",
        about.replace('\n', "\n# "),
        arg.get_long().unwrap_or_default()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn file(text: &str) -> ConfigFile {
        ConfigFile { path: "respool.toml".into(), table: text.parse().unwrap() }
    }

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn value(text: &str, line: &str, name: &str) -> Option<String> {
        let command = file(text).apply(command()).unwrap();
        let mut matches = command.try_get_matches_from(words(line)).unwrap();
        while let Some((_, inner)) = matches.remove_subcommand() {
            matches = inner;
        }
        let raw = matches.get_raw(name)?.map(|value| value.to_string_lossy().into_owned());
        Some(raw.collect::<Vec<_>>().join(" "))
    }

    const REPLAY: &str = "respool replay s3://events --into sim:4";

    #[test]
    fn a_key_is_a_flags_default_and_what_is_typed_goes_before_it() {
        let text = "share = 0.5\njson = true\nmax-rate = [\"5MB/s\", \"100rec/s\"]\n[replay]\nshare = 0.4\n";
        let of = |line: &str, name: &str| value(text, line, name);
        assert_eq!(of(REPLAY, "share").as_deref(), Some("0.4"), "the command's own table counts");
        assert_eq!(of("respool cache warm s3://events", "json").as_deref(), Some("true"));
        assert_eq!(of(REPLAY, "max_rate").as_deref(), Some("5MB/s 100rec/s"));
        assert_eq!(of(&format!("{REPLAY} --share 0.9"), "share").as_deref(), Some("0.9"));
    }

    #[test]
    fn what_goes_on_with_a_run_keeps_what_it_was_started_with() {
        let text = "share = 0.5\nstate-dir = \"/runs\"\n";
        assert_eq!(value(text, "respool resume", "share"), None);
        assert_eq!(value(text, "respool resume", "state_dir").as_deref(), Some("/runs"));
        assert_eq!(value("[resume]\nshare = 0.3", "respool resume", "share").as_deref(), Some("0.3"));
    }

    #[test]
    fn what_no_flag_is_called_is_refused() {
        for (text, said) in [
            ("cache_size = \"1GB\"", "it is written cache-size"),
            ("speed = 1", "there is no flag --speed"),
            ("config = \"other\"", "there is no flag --config"),
            ("[reply]\nshare = 1", "[reply]: `respool` has no such command"),
            ("[cache]\ninto = \"sim:1\"", "there is no flag --into"),
            ("json = \"yes\"", "true or false is wanted here"),
            ("share = [1]", "a string or a number is wanted here"),
            ("yes = true", "as in [replay]"),
            ("[stream]\nyes = true", "counts for one command"),
            ("allow-loop = true", "as in [replay]"),
            ("accept-refusals = false", "counts for one command"),
            ("force = true", "taken from no file"),
            ("[stream.delete]\nforce = true", "type --force"),
            ("[stream.delete]\nwith-consumers = true", "type --with-consumers"),
            ("[stream.delete]\nyes = true", "type --yes"),
            ("[stream.scale]\nyes = true", "type --yes"),
            ("[cache.purge]\nyes = true", "type --yes"),
        ] {
            let error = file(text).apply(command()).unwrap_err().to_string();
            assert!(error.starts_with("respool.toml: ") && error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn an_answer_counts_for_the_command_in_whose_table_it_stands() {
        let text = "[replay]\nyes = true\nallow-loop = true\n";
        assert_eq!(value(text, REPLAY, "yes").as_deref(), Some("true"));
        assert_eq!(value(text, REPLAY, "allow_loop").as_deref(), Some("true"));
        assert_eq!(value(text, "respool stream delete orders", "yes").as_deref(), Some("false"));
        assert_eq!(value(text, "respool resume", "allow_loop").as_deref(), Some("false"));
    }

    #[test]
    fn a_file_that_is_there_and_cannot_be_read_is_not_taken_for_none() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment { xdg_config_home: Some(home.path().into()), ..Environment::default() };
        let find = || ConfigFile::find(command(), &words(REPLAY), &environment).map(|file| file.is_some());
        assert!(!find().unwrap());
        std::fs::create_dir(home.path().join("respool")).unwrap();
        assert!(!find().unwrap());
        // Whatever else keeps it from being read would do: this does for the superuser as well.
        let path = home.path().join("respool/config.toml");
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(find().unwrap_err().to_string().contains("cannot read"));
    }

    #[test]
    fn a_bad_value_is_told_with_the_file_it_stands_in_unless_it_was_typed() {
        let config = file("share = 7");
        let blamed = |line: &str| {
            let error = config.apply(command()).unwrap().try_get_matches_from(words(line)).unwrap_err();
            config.blame(error, &words(line)).to_string()
        };
        let own = blamed(REPLAY);
        assert!(own.starts_with("respool.toml: share = \"7\": a share is a number above 0"), "{own}");
        let typed = blamed(&format!("{REPLAY} --share 8"));
        assert!(typed.contains("'8' for '--share"), "{typed}");
    }

    #[test]
    fn the_example_names_every_flag_and_is_itself_a_configuration() {
        let (command, text) = (command(), example(&command()));
        for flag in flags(&command).into_iter().filter(|flag| !NEVER_KEPT.contains(flag)) {
            let is_there = text.contains(&format!("\n# {flag} = "));
            assert_eq!(is_there, !ALWAYS_TYPED.contains(&flag), "{flag}");
        }
        file(&text).apply(command).unwrap();
        let top = text.split("\n[").next().unwrap_or_default();
        assert!(OF_ONE_COMMAND.iter().all(|flag| !top.contains(&format!("\n# {flag} = "))), "{top}");
        let deletes = text.split("\n[stream.delete]").nth(1).and_then(|rest| rest.split("\n[").next());
        assert!(!deletes.unwrap_or_default().contains("# yes = "), "{text}");
    }
}
