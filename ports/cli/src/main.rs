//! `rit`: the command with which people use librit.
//!
//! Owns the start: folders, configuration, which command, and the exit status. Connections are made
//! by the POSIX port (`port`), what is signed is signed by `rit_core::trust`, and the rest is the
//! server's HTTP API (`api`).
#![deny(unsafe_code)]

mod account;
mod api;
mod args;
mod chain;
mod claim;
mod cloak;
mod config;
mod connect;
mod control;
mod devices;
mod enrol;
mod error;
mod files;
mod gateway;
mod hostnames;
mod hosts;
mod live;
mod log;
mod manual;
mod names;
mod owned;
mod port;
mod prompt;
mod renew;
mod resolver;
mod revoke;
mod secret;
mod share;
mod state;
#[cfg(test)]
mod tests;
mod text;
mod tls;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use crate::api::Api;
use crate::args::{Cli, Command};
use crate::config::Config;
use crate::error::{Error, Exit};
use crate::state::State;

/// What every command has.
#[derive(Clone)]
struct App {
    json: bool,
    config_path: PathBuf,
    config: Config,
    state: State,
}

impl App {
    /// The state is `below` the usual folder.
    fn open(common: &args::Common, below: &str) -> Result<App, Error> {
        let config_path = match &common.config {
            Some(path) => path.clone(),
            None => files::xdg("XDG_CONFIG_HOME", ".config")?.join("config.toml"),
        };
        let config = Config::read(&config_path)?;
        let dir = match &common.state {
            Some(dir) => dir.clone(),
            None => files::xdg("XDG_STATE_HOME", ".local/state")?.join(below),
        };
        let state = State::open(dir)?;
        Ok(App { json: common.json, config_path, config, state })
    }

    /// The API of the server that somebody is logged in to.
    fn api(&self) -> Result<Api, Error> {
        let login = self.state.read()?.login.ok_or_else(|| {
            Error::new(Exit::LoggedOut, "nobody is logged in")
                .advice("Log in: rit login rit://KEY@HOST")
        })?;
        Api::new(&self.state, &login)
    }

    fn print_json(&self, value: &serde_json::Value) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(value).map_err(error::other)?;
        println!("{text}");
        Ok(())
    }
}

fn run(cli: Cli) -> Result<(), Error> {
    // These need no folders: a package is built with them.
    match &cli.command {
        Command::Completions { shell } => return manual::completions(*shell),
        Command::Man { dir } => return manual::pages(dir),
        Command::Secret(command) => return secret::run(command, cli.common.json),
        Command::Hosts(args) => {
            if let Some(done) = hosts::without_folders(args) {
                return done;
            }
        }
        _ => {}
    }
    let below = if matches!(cli.command, Command::Gateway(_)) { "gateway" } else { "" };
    dispatch(&App::open(&cli.common, below)?, &cli.command)
}

fn dispatch(app: &App, command: &Command) -> Result<(), Error> {
    match command {
        Command::Login(args) => account::login(app, args),
        Command::Logout => account::logout(app),
        Command::Status => connect::status(app),
        Command::Devices(args) => devices::list(app, args),
        Command::Services { device } => devices::services(app, device),
        Command::Hosts(args) => hosts::hosts(app, args),
        Command::Connect(args) => connect::connect(app, args),
        Command::Disconnect { target } => connect::disconnect(app, target),
        Command::Up(args) => connect::up(app, args),
        Command::Gateway(args) => gateway::gateway(app, args),
        Command::Share(args) => share::share(app, args),
        Command::Grants(args) => share::list(app, args),
        Command::Revoke(args) => revoke::revoke(app, args),
        Command::Transfer(args) => revoke::transfer(app, args),
        Command::Claim(args) => claim::claim(app, args),
        Command::Cloak(command) => cloak::cloak(app, command),
        Command::Enrol(command) => enrol::run(app, command),
        Command::Log(args) => log::show(app, args),
        Command::Rename { device, name } => devices::rename(app, device, name),
        Command::Forget { name } => names::forget(app, name),
        Command::Completions { .. } | Command::Man { .. } | Command::Secret(_) => Ok(()),
    }
}

fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rit: {error}");
            ExitCode::from(error.exit as u8)
        }
    }
}
