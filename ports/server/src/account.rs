//! `rit-server account`: accounts are made and closed by who runs the server.
//!
//! Owns how a password comes in: from a terminal without being shown, or from standard input, its
//! first line. Never as an argument, which everybody on the machine could read.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{Args, Subcommand, ValueEnum};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::http::{is_name, password};
use crate::store::{Account, AccountRole, Db};
use crate::{CommonArgs, say, wall_unix_s};

/// The command's arguments.
#[derive(Args)]
pub(crate) struct AccountArgs {
    #[command(flatten)]
    pub(crate) common: CommonArgs,
    #[command(subcommand)]
    command: AccountCommand,
}

#[derive(Subcommand)]
enum AccountCommand {
    /// Make an account; its password comes from the terminal or from standard input.
    Add {
        name: String,
        /// What the account may do.
        #[arg(long, value_enum, default_value_t = RoleArg::User)]
        role: RoleArg,
        /// No password: its user logs in by the company's provider, or not at all.
        #[arg(long)]
        no_password: bool,
    },
    /// Print the accounts.
    List,
    /// Let nobody log in to an account any more, and end what is logged in.
    Disable { name: String },
    /// Let an account's user log in again.
    Enable { name: String },
    /// Set a password; all that is logged in by the old one must log in again.
    Password { name: String },
}

#[derive(Clone, Copy, ValueEnum)]
enum RoleArg {
    /// Sees and touches devices of its own, and those shared with it.
    User,
    /// Sees all devices, and provisions.
    Admin,
}

/// Does what the command says.
pub(crate) async fn run(args: AccountArgs) -> Result<(), Error> {
    let db = crate::open_existing(&args.common).await?;
    let result = act(&db, args.command).await;
    db.close().await;
    result
}

async fn act(db: &Db, command: AccountCommand) -> Result<(), Error> {
    let failed = |error| db.failed(error);
    match command {
        AccountCommand::Add { name, role, no_password } => {
            if !is_name(&name) {
                return Err(Error::AccountName);
            }
            let hash = if no_password { None } else { Some(hash(&read_password()?)?) };
            let role = match role {
                RoleArg::User => AccountRole::User,
                RoleArg::Admin => AccountRole::Admin,
            };
            let added = db.add_account(&name, hash.as_deref(), None, role, wall_unix_s()).await;
            added.map_err(failed)?.ok_or(Error::AccountExists)?;
            say("account", &name)
        }
        AccountCommand::List => {
            for account in db.accounts().await.map_err(failed)? {
                say("account", &line(&account))?;
            }
            Ok(())
        }
        AccountCommand::Disable { name } => set_disabled(db, &name, true).await,
        AccountCommand::Enable { name } => set_disabled(db, &name, false).await,
        AccountCommand::Password { name } => {
            let account = named(db, &name).await?;
            let hash = hash(&read_password()?)?;
            db.set_password(account.id, &hash).await.map_err(failed)
        }
    }
}

fn line(account: &Account) -> String {
    let role = if account.role == AccountRole::Admin { "admin" } else { "user" };
    let state = if account.is_disabled { " disabled" } else { "" };
    let totp = if account.totp_is_on { " totp" } else { "" };
    format!("{} {role}{totp}{state}", account.name)
}

async fn set_disabled(db: &Db, name: &str, is_disabled: bool) -> Result<(), Error> {
    let account = named(db, name).await?;
    db.disable(account.id, is_disabled).await.map_err(|error| db.failed(error))
}

async fn named(db: &Db, name: &str) -> Result<Account, Error> {
    let found = db.account_named(name).await.map_err(|error| db.failed(error))?;
    found.ok_or(Error::NoAccount)
}

fn hash(password: &str) -> Result<String, Error> {
    if !password::is_acceptable(password) {
        return Err(Error::PasswordLength);
    }
    password::hash(password).map_err(|_| Error::Start("the password cannot be hashed".into()))
}

fn read_password() -> Result<Zeroizing<String>, Error> {
    let is_terminal = io::stdin().is_terminal();
    let first = if is_terminal { ask("Password: ")? } else { read_line()? };
    if is_terminal && *ask("Again: ")? != *first {
        return Err(Error::PasswordTwice);
    }
    Ok(first)
}

/// Asks without showing what is typed.
fn ask(prompt: &str) -> Result<Zeroizing<String>, Error> {
    let _ = write!(io::stderr(), "{prompt}");
    let stdin = io::stdin();
    let shown = tcgetattr(&stdin).map_err(|error| Error::Input(error.into()))?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden).map_err(|e| Error::Input(e.into()))?;
    let line = read_line();
    let _ = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    let _ = writeln!(io::stderr());
    line
}

fn read_line() -> Result<Zeroizing<String>, Error> {
    let mut line = Zeroizing::new(String::new());
    io::stdin().lock().read_line(&mut line).map_err(Error::Input)?;
    let text = line.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Zeroizing::new(text))
}
