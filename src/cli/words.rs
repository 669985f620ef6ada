//! The words of a command as they were typed, to be pasted elsewhere: what was named from this directory is named by its
//! whole path.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::options::whole_path;
use crate::config::ArchiveAddress;

/// What is said to the shell that it is typed in: how the user is spoken to, and what is answered before it is asked.
const OF_THE_SHELL: [&str; 4] = ["json", "quiet", "verbose", "yes"];

/// The words that would have said what variables have, beside what was typed.
pub(super) fn of_variables(matches: &ArgMatches, mut command: Command) -> Vec<String> {
    command.build();
    let (mut command, mut matches) = (&command, matches);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(below) = command.find_subcommand(name) else { break };
        (command, matches) = (below, inner);
    }
    let by_variable = |arg: &&Arg| {
        let id = arg.get_id();
        matches.ids().any(|known| known == id)
            && matches.value_source(id.as_str()) == Some(ValueSource::EnvVariable)
            && !OF_THE_SHELL.contains(&id.as_str())
    };
    let mut words = Vec::new();
    for arg in command.get_arguments().filter(by_variable) {
        let (id, flag) = (arg.get_id().as_str(), arg.get_long().map(|long| format!("--{long}")));
        if arg.get_action().takes_values() {
            for value in matches.get_raw(id).into_iter().flatten() {
                words.extend(flag.clone());
                words.push(whole(arg, &value.to_string_lossy()));
            }
        } else if matches!(arg.get_action(), ArgAction::SetTrue) && matches.get_flag(id) {
            words.extend(flag);
        }
    }
    words
}

/// The words of `args` behind the program's name, which `command` understands.
pub(super) fn pasteable(args: &[OsString], mut command: Command) -> Vec<String> {
    // Flags that every command takes are handed down.
    command.build();
    let (mut command, mut flags_end) = (&command, false);
    let mut words = Vec::new();
    let mut typed = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = typed.next() {
        if !flags_end && answers(&word) {
            continue;
        }
        if let Some(flag) = word.strip_prefix("--").filter(|_| !flags_end) {
            let (name, value) =
                flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(name));
            match (arg.filter(|arg| arg.get_action().takes_values()), value) {
                (Some(arg), Some(value)) => words.push(format!("--{name}={}", whole(arg, value))),
                (Some(arg), None) => {
                    words.push(word.clone().into_owned());
                    words.extend(typed.next().map(|value| whole(arg, &value)));
                }
                (None, _) => {
                    flags_end |= flag.is_empty();
                    words.push(word.into_owned());
                }
            }
        } else if word.starts_with('-') && !flags_end {
            // The short flags take no values, and may stand together.
            words.push(word.replace('y', ""));
        } else if let Some(inner) = command.find_subcommand(word.as_ref()) {
            command = inner;
            words.push(word.into_owned());
        } else {
            let arg = command.get_positionals().next();
            words.push(arg.map_or_else(|| word.clone().into_owned(), |arg| whole(arg, &word)));
        }
    }
    words
}

/// Whether `word` answers what would be asked, and says nothing else: whoever pastes it is asked.
fn answers(word: &str) -> bool {
    word == "--yes"
        || word
            .strip_prefix('-')
            .is_some_and(|flags| !flags.is_empty() && flags.bytes().all(|flag| flag == b'y'))
}

/// The value of `arg`, with its whole path if it is one.
fn whole(arg: &Arg, value: &str) -> String {
    let holds = arg.get_value_parser().type_id();
    let absolute = |path: &Path| whole_path(path).ok().map(|path| path.to_string_lossy().into_owned());
    let path = if holds == TypeId::of::<PathBuf>() {
        absolute(Path::new(value))
    } else if holds == TypeId::of::<ArchiveAddress>() {
        match value.parse() {
            Ok(ArchiveAddress::Directory { path }) => absolute(&path),
            _ => None,
        }
    } else {
        None
    };
    path.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_variable_says_is_said_by_words() {
        // The variables of this process are not touched: a flag has another one's name here.
        let variable = |arg: Arg| arg.env("PATH").hide_env(true);
        let command = || {
            Command::new("respool").subcommand(
                Command::new("replay")
                    .arg(Arg::new("archive"))
                    .arg(variable(Arg::new("region").long("region")))
                    .arg(variable(Arg::new("yes").long("yes")))
                    .arg(Arg::new("limit").long("limit")),
            )
        };
        let path = |line: &str| {
            let matches = command().try_get_matches_from(line.split(' ')).unwrap();
            of_variables(&matches, command())
        };
        let [flag, value] = <[String; 2]>::try_from(path("respool replay a --limit 7")).unwrap();
        assert!(flag == "--region" && value.contains("bin"), "{flag} {value}");
        assert!(path("respool replay a --region x").is_empty());
    }

    #[test]
    fn paths_are_whole_and_everything_else_is_as_it_was() {
        let here = std::env::current_dir().unwrap();
        let here = here.display();
        for (line, expected) in [
            ("replay --plan x.plan --yes -y -qy", format!("replay --plan {here}/x.plan -q")),
            ("replay --into -y -- -y", format!("replay --into -y -- {here}/-y")),
            ("replay --plan=x.plan --into archive", format!("replay --plan={here}/x.plan --into archive")),
            (
                "-q replay --into archive archive --objects list --config c.toml",
                format!(
                    "-q replay --into archive {here}/archive --objects {here}/list --config {here}/c.toml"
                ),
            ),
            ("replay --into x -- archive", format!("replay --into x -- {here}/archive")),
            ("replay s3://b/p --plan /x --order none", "replay s3://b/p --plan /x --order none".to_owned()),
            (
                "quarantine retry r1 --state-dir s --key-fallback hash",
                format!("quarantine retry r1 --state-dir {here}/s --key-fallback hash"),
            ),
        ] {
            let args: Vec<OsString> = format!("respool {line}").split(' ').map(OsString::from).collect();
            assert_eq!(pasteable(&args, super::super::command()).join(" "), expected);
        }
    }
}
