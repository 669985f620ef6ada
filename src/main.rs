//! The command: parse, dispatch, say what went wrong, exit.

use std::process::ExitCode;

use respool::cli::{Environment, Stop, parse};
use respool::error::Error;

fn main() -> ExitCode {
    let stop = match parse(std::env::args_os(), &Environment::read()) {
        Err(stop) => stop,
        Ok(_) => Stop::Usage(Error::usage("this command is not wired yet")),
    };
    stop.print();
    ExitCode::from(stop.exit_code() as u8)
}
