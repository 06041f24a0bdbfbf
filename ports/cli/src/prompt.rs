//! Questions to the person at the terminal; a secret is not shown while it is typed.
//!
//! Where standard input is no terminal, the next line of it is the answer.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::{Error, other};

/// The terminal as it was before, again when this goes.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Whether somebody can be asked.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// A secret.
pub(crate) fn secret(question: &str) -> Result<Zeroizing<String>, Error> {
    if !is_possible() {
        return line();
    }
    // First, because what is typed before would be shown, and then forgotten.
    let _silence = Silence::begin().map_err(other)?;
    ask(question)?;
    line()
}

/// Anything else.
pub(crate) fn text(question: &str) -> Result<Zeroizing<String>, Error> {
    if is_possible() {
        ask(question)?;
    }
    line()
}

fn ask(question: &str) -> Result<(), Error> {
    let mut out = io::stderr().lock();
    write!(out, "{} ", crate::text::escape_line(question)).and_then(|()| out.flush()).map_err(other)
}

fn line() -> Result<Zeroizing<String>, Error> {
    let mut line = Zeroizing::new(String::new());
    let len = io::stdin().lock().read_line(&mut line).map_err(other)?;
    if len == 0 {
        return Err(Error::usage("there is nothing to read at standard input"));
    }
    Ok(Zeroizing::new(line.trim_end_matches(['\n', '\r']).to_owned()))
}
