//! `rit-server`: the librit broker and relay as a service.
//!
//! Owns the command line and standard output, where each line is a word and its value, for people
//! and scripts: `address rit://…`, of a LAN's gateway `gateway rit://…`, `enrol-code …`, `face
//! ADDR:PORT` and `face-key …` where there is a browser face, of a relay alone `relay HOST:PORT`,
//! `ready`. Logs go to standard error, without secrets.

mod account;
mod asks;
mod batches;
mod cluster;
mod code;
mod control;
mod desk;
mod error;
mod face;
mod http;
mod lan;
mod members;
mod records;
mod relays;
mod renew;
mod serve;
mod sockets;
mod state;
mod store;
mod thread;
mod tls;

use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand, ValueEnum};
use rit_core::wire::text;
use tracing::level_filters::LevelFilter;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::face::start::FaceArgs;
use crate::lan::LanArgs;
use crate::store::{Db, Location};

/// The librit broker and relay: enrols nodes, introduces one to another, and passes on what two of
/// them say to each other where no direct path is found. It cannot read that.
///
/// Without arguments it makes its identity and database in a state folder, listens on UDP port
/// 7480, prints its address and a one-time enrol code, and serves until it is interrupted.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one of it, once")]
enum Command {
    /// Serve; the same as without a command.
    Serve(ServeArgs),
    /// Print one-time enrol codes, also while the server runs.
    Code(CodeArgs),
    /// Make, list and close accounts, also while the server runs.
    Account(account::AccountArgs),
    /// Let nodes in by their keys, take that back, and list them, also while the server runs.
    Members(members::MembersArgs),
    /// What the browser face needs of others.
    #[command(subcommand)]
    Face(FaceCommand),
    /// Write all rows of the database to a file, also while the server runs. The file holds
    /// secrets; the identity and the relay secret are not in it.
    Backup(FileArgs),
    /// Fill an empty database, SQLite or PostgreSQL, with what a backup of either holds.
    Restore(FileArgs),
}

#[derive(Subcommand)]
enum FaceCommand {
    /// Print the key of the face's node, for which owners sign grants, also while the server runs.
    Key(CommonArgs),
}

#[derive(Args)]
struct FileArgs {
    #[command(flatten)]
    common: CommonArgs,
    file: PathBuf,
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Where to listen [default: all addresses, UDP port 7480].
    #[arg(long, value_name = "ADDR:PORT", num_args = 1..)]
    listen: Vec<SocketAddr>,
    /// Where nodes reach this server, if it is behind a name or a port forwarding.
    #[arg(long, value_name = "HOST[:PORT]")]
    public: Option<String>,
    /// What this process is.
    #[arg(long, value_enum, default_value_t = Role::Both)]
    role: Role,
    /// A relay beside or instead of this process; it needs the same secret. Repeat for more.
    #[arg(long, value_name = "HOST[:PORT]")]
    relay: Vec<String>,
    /// The secret that broker and relays share, 32 bytes [default: relay-secret in the state
    /// folder, made at the first start].
    #[arg(long, value_name = "FILE")]
    relay_secret: Option<PathBuf>,
    /// The broker's identity, the same for all instances of one broker [default: identity in the
    /// state folder, made at the first start].
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Seconds that a node may be silent, 0 to 600: within 15 more, others see that it is gone; 0:
    /// as long as its NAT bears, at most 115.
    #[arg(long, value_name = "SECONDS", default_value_t = 45,
          value_parser = clap::value_parser!(u32).range(0..=600))]
    longest_silence: u32,
    /// A second UDP port, by which nodes learn how their NAT maps; 0: none [default: the one after
    /// the first, if it is free].
    #[arg(long, value_name = "PORT")]
    second_port: Option<u16>,
    /// TCP port for nodes whose network blocks UDP, at the addresses of --listen; 0: none [default:
    /// 443, if the system permits it]. Nodes try 443 unless they are told another.
    #[arg(long, value_name = "PORT")]
    tls_port: Option<u16>,
    /// IP addresses to listen at for them instead.
    #[arg(long, value_name = "ADDR")]
    tls: Vec<IpAddr>,
    #[command(flatten)]
    lan: LanArgs,
    #[command(flatten)]
    face: FaceArgs,
    #[command(flatten)]
    http: http::HttpArgs,
}

/// What a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Enrols and introduces.
    Broker,
    /// Passes datagrams on.
    Relay,
    /// Both, on the same sockets.
    Both,
}

impl Role {
    fn is_broker(self) -> bool {
        self != Role::Relay
    }

    fn is_relay(self) -> bool {
        self != Role::Broker
    }
}

#[derive(Args)]
struct CodeArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// Minutes until the codes expire.
    #[arg(long, value_name = "MINUTES", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..=525_600))]
    valid: u32,
    /// How many codes to make.
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
}

#[derive(Args)]
struct CommonArgs {
    /// The state folder [default: $XDG_STATE_HOME/rit-server, ~/.local/state/rit-server, or for
    /// root /var/lib/rit-server].
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// A PostgreSQL database, postgres://USER:PASSWORD@HOST/NAME, which several servers can share
    /// [default: SQLite in the state folder]. Others see a command line: a password is better kept
    /// in the environment, or in a file.
    #[arg(long, value_name = "URL", env = "RIT_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// A file with the address of the database.
    #[arg(long, value_name = "FILE", conflicts_with = "database")]
    database_file: Option<PathBuf>,
    /// What is logged: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: LevelFilter,
}

impl CommonArgs {
    fn state_dir(&self) -> Result<PathBuf, Error> {
        self.state.clone().map_or_else(state::default_dir, Ok)
    }

    /// Where the rows are.
    fn location(&self) -> Result<Location, Error> {
        let failed =
            |path: &PathBuf, source| Error::File { action: "read", path: path.clone(), source };
        match (&self.database, &self.database_file) {
            (Some(url), _) => Location::parse(url),
            (None, Some(path)) => {
                let url = std::fs::read_to_string(path).map_err(|source| failed(path, source))?;
                Location::parse(&Zeroizing::new(url))
            }
            (None, None) => Ok(Location::Folder(self.state_dir()?)),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The database's files get their mode from SQLite; nobody else shall read any of ours.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    let level = match &command {
        Command::Serve(args) => args.common.log,
        Command::Code(args) => args.common.log,
        Command::Backup(args) | Command::Restore(args) => args.common.log,
        Command::Account(args) => args.common.log,
        Command::Members(args) => args.common.log,
        Command::Face(FaceCommand::Key(args)) => args.log,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not by `eprintln!`, which panics where standard error is closed.
            let _ = writeln!(io::stderr(), "rit-server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::Start(error.to_string()))?;
    runtime.block_on(async {
        match command {
            Command::Serve(args) => serve(args).await,
            Command::Code(args) => codes(args).await,
            Command::Backup(args) => backup(args).await,
            Command::Restore(args) => restore(args).await,
            Command::Account(args) => account::run(args).await,
            Command::Members(args) => members::run(args).await,
            Command::Face(FaceCommand::Key(args)) => face_key(&args),
        }
    })
}

async fn serve(args: ServeArgs) -> Result<(), Error> {
    let server = serve::Server::start(args.common.state_dir()?, &args).await?;
    if let Some((uri, db)) = server.broker() {
        say("address", &uri.to_string())?;
        if let Some(gateway) = server.gateway() {
            say("gateway", &gateway)?;
        }
        for code in code::make(db, code::VALID, 1, None).await? {
            say("enrol-code", &code)?;
        }
    }
    if let Some(face) = server.face() {
        say("face", &face.address.to_string())?;
        say("face-key", &text::key_to_text(&face.face.key()))?;
    }
    if let Some(relay) = server.relay() {
        say("relay", &relay)?;
    }
    for url in server.http_urls() {
        say("http", url)?;
    }
    say("ready", "")?;
    server.run().await
}

async fn codes(args: CodeArgs) -> Result<(), Error> {
    let db = open_existing(&args.common).await?;
    let valid = Duration::from_secs(u64::from(args.valid) * 60);
    for code in code::make(&db, valid, args.count, None).await? {
        say("enrol-code", &code)?;
    }
    db.close().await;
    Ok(())
}

async fn backup(args: FileArgs) -> Result<(), Error> {
    let db = open_existing(&args.common).await?;
    let failed = |source| Error::Backup { path: args.file.clone(), source };
    // Whole or not there.
    let unfinished = args.file.with_extension("unfinished");
    let write = async {
        let mut out = BufWriter::new(File::create(&unfinished)?);
        let rows = db.backup(&mut out).await?;
        out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&unfinished, &args.file)?;
        Ok(rows)
    };
    let rows = write.await.inspect_err(|_| {
        let _ = std::fs::remove_file(&unfinished);
    });
    db.close().await;
    say("rows", &rows.map_err(failed)?.to_string())
}

async fn restore(args: FileArgs) -> Result<(), Error> {
    let failed = |source| Error::Backup { path: args.file.clone(), source };
    let file = File::open(&args.file).map_err(|error| failed(error.into()))?;
    // A server that runs would take what comes for its own.
    let dir = args.common.state_dir()?;
    let state = state::State::open(dir)?;
    let db = Db::open(&args.common.location()?).await?;
    let rows = db.restore(&mut BufReader::new(file)).await;
    db.close().await;
    drop(state);
    say("rows", &rows.map_err(failed)?.to_string())
}

fn face_key(args: &CommonArgs) -> Result<(), Error> {
    let dir = args.state_dir()?;
    let key = state::face_key(&dir)?.ok_or(Error::NoFace(dir))?;
    say("face-key", &text::key_to_text(&key))
}

/// The database of a server that has run.
async fn open_existing(common: &CommonArgs) -> Result<Db, Error> {
    let location = common.location()?;
    if !location.exists() {
        return Err(Error::NoState(common.state_dir()?));
    }
    Db::open(&location).await
}

/// One line on standard output, at once, so that who reads a pipe sees it.
fn say(word: &str, value: &str) -> Result<(), Error> {
    let line = format!("{word} {value}");
    let mut out = io::stdout().lock();
    writeln!(out, "{}", line.trim_end()).and_then(|()| out.flush()).map_err(Error::Output)
}

/// The wall clock; a clock before 1970 counts as 1970.
fn wall_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn serving_needs_no_command() {
        let parse = |line: &str| Cli::try_parse_from(line.split_whitespace());
        assert!(parse("rit-server").unwrap().command.is_none());
        let cli = parse("rit-server --state /x --listen 127.0.0.1:1 [::1]:2").unwrap();
        assert_eq!((cli.command.is_none(), cli.serve.listen.len()), (true, 2));
        let cli = parse("rit-server serve --listen 127.0.0.1:1 --listen [::1]:2").unwrap();
        assert!(matches!(cli.command, Some(Command::Serve(args)) if args.listen.len() == 2));
        let role = |line: &str| parse(line).unwrap().serve.role;
        assert!(role("rit-server").is_broker() && role("rit-server").is_relay());
        assert!(parse("rit-server --lan --no-announce").unwrap().serve.lan.no_announce);
        assert!(!role("rit-server --role relay").is_broker());
        assert!(!role("rit-server --role broker").is_relay());
        for bad in [
            "code --valid 0",
            "code --count 0",
            "--listen 127.0.0.1",
            "bogus",
            "--role x",
            "--lan --role relay",
            "--no-announce",
            "members add",
            "members remove",
            "members",
        ] {
            assert!(parse(&format!("rit-server {bad}")).is_err(), "{bad}");
        }
    }
}
