//! What is said to the person at the terminal: results to stdout, everything else to stderr.

use std::io::{self, BufRead, Write};

use crate::error::Error;

/// Prints a result. A reader that has gone away wants no more of it, which is no error.
pub fn print(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::incomplete("cannot write to stdout").with_source(error))
        }
        _ => Ok(()),
    }
}

/// Prints a line of news.
pub fn say(line: &str) {
    // Nobody is left to be told that stderr is closed.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Asks a question that only `y` or `yes` answers with yes.
pub fn ask(question: &str) -> Result<bool, Error> {
    let cannot = |error| Error::refused("cannot ask on this terminal: say --yes").with_source(error);
    let mut stderr = io::stderr().lock();
    stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).map_err(cannot)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(cannot)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
