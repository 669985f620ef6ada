//! The words of a command as they were typed, to be pasted elsewhere: what was named from this directory is named by its
//! whole path.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, Command};

use crate::config::ArchiveAddress;

/// The words of `args` behind the program's name, which `command` understands.
pub(super) fn pasteable(args: &[OsString], mut command: Command) -> Vec<String> {
    // Flags that every command takes are handed down.
    command.build();
    let (mut command, mut flags_end) = (&command, false);
    let mut words = Vec::new();
    let mut typed = args.iter().skip(1).map(|word| word.to_string_lossy());
    while let Some(word) = typed.next() {
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
            words.push(word.into_owned());
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

/// The value of `arg`, with its whole path if it is one.
fn whole(arg: &Arg, value: &str) -> String {
    let holds = arg.get_value_parser().type_id();
    let absolute =
        |path: &Path| std::path::absolute(path).ok().map(|path| path.to_string_lossy().into_owned());
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
    fn paths_are_whole_and_everything_else_is_as_it_was() {
        let here = std::env::current_dir().unwrap();
        let here = here.display();
        for (line, expected) in [
            ("replay --plan x.plan --yes", format!("replay --plan {here}/x.plan --yes")),
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
