//! How a command ends when it cannot end well: one sentence, its causes, an exit code.
//!
//! Stages have typed errors of their own; here they meet the four ways a command can fail. A cause is
//! kept as `source` and printed once, by `main`.

use std::error::Error as StdError;
use std::fmt;

/// What the process tells its caller. The numbers are part of the interface and never change meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done and clean.
    Done = 0,
    /// Done, but the proof found differences or the order was violated.
    Differs = 1,
    /// The command line is wrong, as can be told without asking a service.
    Usage = 2,
    /// Done, with records or objects in quarantine.
    Quarantine = 3,
    /// Not done yet: `respool resume` goes on with a run; before there is one, what failed may work in a minute.
    Incomplete = 4,
    /// Refused by a service, or by us for safety.
    Refused = 5,
    /// A defect of respool itself; the run can be resumed.
    Internal = 70,
}

impl ExitCode {
    /// The code of this number, as a report holds it; an unknown one is a defect.
    pub fn from_number(number: u8) -> Self {
        let all = [Self::Done, Self::Differs, Self::Usage, Self::Quarantine, Self::Incomplete, Self::Refused];
        all.into_iter().find(|code| *code as u8 == number).unwrap_or(Self::Internal)
    }
}

/// The run that a failure is about, for a script.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Its name.
    pub run: String,
    /// Its archive.
    pub archive: String,
    /// Where it writes to.
    pub target: String,
}

/// A command's failure: its kind, a sentence for the user, and the cause.
#[derive(Debug)]
pub struct Error {
    code: ExitCode,
    sentence: String,
    about: Option<Box<About>>,
    next_command: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure that ends the process with `code`; `sentence` is printed to the user as it stands.
    pub fn new(code: ExitCode, sentence: impl Into<String>) -> Self {
        Self { code, sentence: sentence.into(), about: None, next_command: None, source: None }
    }

    /// The command line is wrong.
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, sentence)
    }

    /// A service, or our own caution, says no.
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::Refused, sentence)
    }

    /// A defect of respool itself.
    pub fn internal(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::Internal, sentence)
    }

    /// The run stopped and can be resumed.
    pub fn incomplete(sentence: impl Into<String>) -> Self {
        Self::new(ExitCode::Incomplete, sentence)
    }

    /// Adds what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Names the run that it is about, unless that is known.
    #[must_use]
    pub fn about_run(mut self, about: impl FnOnce() -> About) -> Self {
        self.about.get_or_insert_with(|| Box::new(about()));
        self
    }

    /// Adds what is to be typed next.
    #[must_use]
    pub fn with_next(mut self, command: Option<String>) -> Self {
        self.next_command = command;
        self
    }

    /// The run that it is about, if it is about one.
    #[must_use]
    pub fn about(&self) -> Option<&About> {
        self.about.as_deref()
    }

    /// What is to be typed next, if that is one command.
    #[must_use]
    pub fn next_command(&self) -> Option<&str> {
        self.next_command.as_deref()
    }

    /// How the process ends.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
