//! `respool cache`: what lies in the cache, whether it is whole, and how to be rid of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, Args, Subcommand};

use super::environment::Environment;
use super::options::{AccessArgs, directory};
use super::replay::resolve_archive;
use super::select::SelectArgs;
use super::{EXIT_CODES, HEADING_CACHE, HEADING_OUTPUT, HEADING_WHAT, Invocation};
use crate::config::{
    ArchiveAddress, CacheAction, CacheCommandConfig, CacheMode, ExportConfig, ExportFormat, FillConfig,
    OutputConfig, parse_duration, parse_size, quoted,
};
use crate::error::Error;
use crate::record::ByteCount;

/// What was typed after `respool cache`.
#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct CacheArgs {
    #[command(subcommand)]
    action: Action,
    /// The cache's directory [default: ~/.cache/respool]
    #[arg(long, global = true, value_name = "DIR", env = "RESPOOL_CACHE_DIR", help_heading = HEADING_CACHE)]
    cache_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what lies in the cache, by archive and day
    Ls {
        /// Each segment: size, records, when it was used last, archive and key
        #[arg(long, help_heading = HEADING_WHAT)]
        long: bool,
    },
    /// Read segments and check every block; what is damaged is named and deleted, and fetched again when it is needed
    #[command(after_help = EXIT_CODES)]
    Verify {
        /// Every block of every segment (the default)
        #[arg(long, help_heading = HEADING_WHAT, conflicts_with_all = ["sample", "quick"])]
        full: bool,
        /// Headers, footers and lengths only
        #[arg(long, help_heading = HEADING_WHAT)]
        quick: bool,
        /// One part of them, as in 3/30: every day another, and all are checked in a month
        #[arg(long, value_name = "N/PARTS", value_parser = parse_part, help_heading = HEADING_WHAT)]
        sample: Option<(u32, u32)>,
    },
    /// Fill the cache with an archive, and send nothing
    #[command(after_help = EXIT_CODES)]
    #[command(mut_arg("no_cache", hidden), mut_arg("offline", hidden), mut_arg("online", hidden))]
    Warm(Box<FillArgs>),
    /// Write an archive's records to a file, a line each, through the cache
    #[command(after_help = EXIT_CODES, mut_arg("offline", hidden), mut_arg("online", hidden))]
    Export {
        #[command(flatten)]
        fill: Box<FillArgs>,
        /// The file, which must not be there yet; - for stdout
        #[arg(long, short, value_name = "FILE", help_heading = HEADING_OUTPUT)]
        out: PathBuf,
        /// How it is compressed [default: as the file's name ends: .gz gzip, .zst zstd, else plain]
        #[arg(long, value_name = "HOW", help_heading = HEADING_OUTPUT)]
        #[arg(value_parser = PossibleValuesParser::new(ExportFormat::WORDS).try_map(|word| word.parse::<ExportFormat>()))]
        format: Option<ExportFormat>,
    },
    /// Delete the segments that were not used for longest and that no run needs
    Prune {
        /// Those unused for this long, as in 30d
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        older_than: Option<Duration>,
        /// Until no more than this is left, as in 20GB
        #[arg(long, value_name = "SIZE", value_parser = parse_size)]
        to_size: Option<ByteCount>,
    },
    /// Delete the whole cache
    Purge {
        /// Do not ask
        // No variable: an answer that was given for other commands deletes nothing.
        #[arg(long, short, help_heading = HEADING_OUTPUT)]
        yes: bool,
    },
}

/// Which part of an archive goes into the cache.
#[derive(Debug, Args)]
struct FillArgs {
    #[arg(help = "Where the events lie: s3://BUCKET/PREFIX or a local directory", env = "RESPOOL_ARCHIVE")]
    archive: ArchiveAddress,
    #[command(flatten)]
    select: SelectArgs,
    #[command(flatten)]
    access: AccessArgs,
}

/// A flag that every command with a cache takes, and this one refuses.
fn hidden(flag: Arg) -> Arg {
    flag.hide(true)
}

impl FillArgs {
    fn resolve(
        self,
        environment: &Environment,
        export: Option<ExportConfig>,
        output: OutputConfig,
    ) -> Result<Invocation, Error> {
        let tuning = self.access.resolve(environment)?;
        let refused = match tuning.cache.mode {
            CacheMode::Offline => {
                Some("--offline asks the archive for nothing, not even for its list of objects")
            }
            CacheMode::Discard if export.is_none() => {
                Some("--no-cache keeps nothing, and to warm the cache is to keep")
            }
            CacheMode::Discard | CacheMode::Keep => None,
        };
        if let Some(why) = refused {
            return Err(Error::usage(format!("{why}: leave it out")));
        }
        Ok(Invocation::Fill(Box::new(FillConfig {
            archive: resolve_archive(self.archive, tuning.cache.mode)?,
            input: self.select.resolve(environment)?,
            tuning,
            export,
            output,
        })))
    }
}

impl CacheArgs {
    pub(super) fn resolve(
        self,
        environment: &Environment,
        output: OutputConfig,
    ) -> Result<Invocation, Error> {
        let named = self.cache_dir.is_some();
        let dir = match self.cache_dir {
            Some(dir) => directory("--cache-dir", &dir)?,
            None => environment.cache_dir()?,
        };
        let action = match self.action {
            Action::Ls { long } => CacheAction::Ls { long },
            Action::Verify { full: _, quick, sample } => {
                CacheAction::Verify { full: !quick, part: sample.unwrap_or((1, 1)) }
            }
            Action::Warm(fill) => return fill.resolve(environment, None, output),
            Action::Export { fill, out, format } => {
                let path = if out.as_os_str() == "-" { out } else { directory("--out", &out)? };
                let format = format.unwrap_or_else(|| ExportFormat::of_name(&path));
                return fill.resolve(environment, Some(ExportConfig { path, format }), output);
            }
            Action::Prune { older_than: None, to_size: None } => {
                return Err(what_to_prune(&dir, environment));
            }
            Action::Prune { older_than, to_size } => CacheAction::Prune { older_than, to_size },
            Action::Purge { yes } => CacheAction::Purge { yes },
        };
        Ok(Invocation::Cache(CacheCommandConfig { action, dir, named, output }))
    }
}

/// By itself a prune would delete nothing or everything: each run keeps the cache within its bound anyway.
fn what_to_prune(dir: &Path, environment: &Environment) -> Error {
    let usual = environment.cache_dir().is_ok_and(|usual| usual == dir);
    let of = if usual { String::new() } else { format!(" --cache-dir {}", quoted(&dir.to_string_lossy())) };
    Error::usage(format!(
        "say what is to go: `respool cache prune{of} --older-than 30d` deletes what was unused for so long, `respool cache \
         prune{of} --to-size 20GB` what was unused for longest, until no more than that is left (a run keeps the cache within \
         --cache-size by itself)"
    ))
}

fn parse_part(text: &str) -> Result<(u32, u32), &'static str> {
    let parsed =
        text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    parsed
        .filter(|(part, parts)| (1..=*parts).contains(part))
        .ok_or("a part is written as 3/30: the third of thirty")
}
