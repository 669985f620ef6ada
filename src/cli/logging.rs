//! What goes to the log: ours by `-v`, the libraries' only when something is wrong there.
//!
//! Libraries below us print requests at their lower levels, and requests hold the users' records. So no
//! flag turns them up.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::OutputConfig;

/// Starts to write the log to stderr, which `stderr` stands for.
pub fn start<W>(output: &OutputConfig, stderr: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let level = match (output.quiet, output.verbosity) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let filter = EnvFilter::new(format!("error,respool={level}"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(output.color && std::io::stderr().is_terminal())
        .with_target(false)
        // Else it tells stderr itself that stderr cannot be written, and panics.
        .log_internal_errors(false);
    // A second start in one process keeps the first.
    let _ = log.try_init();
}
