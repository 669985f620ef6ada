//! What is made from the definition of the flags: completions and manual pages.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::command;
use crate::error::Error;

/// What was typed after `respool completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// For which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// What was typed after `respool man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Write the pages of all commands into this directory, which is made if it is not there, as respool.1, respool-replay.1, and so on
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl CompletionsArgs {
    pub(super) fn render(&self) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "respool", &mut script);
        script
    }
}

impl ManArgs {
    /// The page; nothing if the pages were written.
    pub(super) fn render(&self) -> Result<Vec<u8>, Error> {
        let Some(dir) = &self.dir else {
            let mut page = Vec::new();
            clap_mangen::Man::new(command())
                .render(&mut page)
                .map_err(|error| Error::internal("cannot write the manual page").with_source(error))?;
            return Ok(page);
        };
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command(), dir)).map_err(
            |error| {
                let dir = dir.display();
                Error::usage(format!(
                    "--dir: cannot write into {dir}: {error}; name a directory that you may make or write to"
                ))
            },
        )?;
        Ok(Vec::new())
    }
}
