//! `rit completions` and `rit man`: what a package installs beside the program.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::{self, Error};

/// Prints a shell's completions.
pub(crate) fn completions(shell: Shell) -> Result<(), Error> {
    clap_complete::generate(shell, &mut Cli::command(), "rit", &mut io::stdout());
    Ok(())
}

/// Writes a page for the program and one for each command.
pub(crate) fn pages(dir: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(dir).map_err(|error| error::io("make the folder", dir, &error))?;
    clap_mangen::generate_to(Cli::command(), dir)
        .map_err(|error| error::io("write man pages into", dir, &error))
}
