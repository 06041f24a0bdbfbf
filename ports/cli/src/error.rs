//! What went wrong, in words that say what to do, and the exit status that scripts go by.
//!
//! Owns the numbers; `rit --help` lists them. Invariant: a number keeps its meaning.

use std::fmt;

/// The exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Anything that is not below.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nobody is logged in, or the server does not take this login.
    LoggedOut = 3,
    /// There is no such device, name, grant or service.
    Unknown = 4,
    /// Not permitted: no grant, an expired or revoked one, or somebody else's device.
    Refused = 5,
    /// The server or the device cannot be reached now.
    Unreachable = 6,
    /// Another process has the state folder.
    Busy = 7,
}

/// What went wrong.
#[derive(Debug)]
pub(crate) struct Error {
    pub(crate) exit: Exit,
    what: String,
    advice: Option<String>,
}

impl Error {
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Error {
        Error { exit, what: what.into(), advice: None }
    }

    pub(crate) fn failed(what: impl Into<String>) -> Error {
        Error::new(Exit::Failed, what)
    }

    pub(crate) fn usage(what: impl Into<String>) -> Error {
        Error::new(Exit::Usage, what)
    }

    /// What to do about it.
    pub(crate) fn advice(mut self, advice: impl Into<String>) -> Error {
        self.advice = Some(advice.into());
        self
    }
}

/// Texts of strangers are in some of them: made harmless here, once.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", crate::text::escape_line(&self.what))?;
        match &self.advice {
            Some(advice) => write!(f, "\n     {}", crate::text::escape(advice)),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// Says what could not be done with a file or folder.
pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
    Error::failed(format!("cannot {what} {}: {error}", path.display()))
}

/// Errors of the core and the port, where nothing better is to be said.
pub(crate) fn other(error: impl fmt::Display) -> Error {
    Error::failed(error.to_string())
}
