//! What can end the program, in words for the person who started it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rit_core::trust::IdentityError;
use rit_core::wire::text::TextError;
use thiserror::Error;

use crate::state::RELAY_SECRET_LEN;
use crate::store::BackupError;

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("no state folder: neither XDG_STATE_HOME nor HOME is set; give one with --state")]
    NoHome,
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("another rit-server is using {}", .0.display())]
    InUse(PathBuf),
    #[error("no rit-server has used {} yet; start one with this state folder first", .0.display())]
    NoState(PathBuf),
    #[error("no browser face has used {} yet; start one with this state folder first (--face)",
            .0.display())]
    NoFace(PathBuf),
    #[error("{}: {source}. Put back a copy, or remove it to become another broker, which every \
             node must then be told", path.display())]
    Identity { path: PathBuf, source: IdentityError },
    #[error("{path} can be read by others; if none did: chmod 600 {path}", path = .0.display())]
    FileMode(PathBuf),
    #[error("{} does not hold a relay's secret, {RELAY_SECRET_LEN} bytes", .0.display())]
    RelaySecret(PathBuf),
    #[error("--relay {relay}: {reason}")]
    Relay { relay: String, reason: String },
    #[error("the database {name}: {source}")]
    Store { name: String, source: sqlx::Error },
    #[error("the database {name}: {source}")]
    Migrate { name: String, source: sqlx::migrate::MigrateError },
    #[error("{}: {source}", path.display())]
    Backup { path: PathBuf, source: BackupError },
    #[error("--database, --database-file or RIT_DATABASE: not a postgres:// address")]
    Database,
    #[error("{}: {reason}", path.display())]
    Pem { path: PathBuf, reason: String },
    #[error("the geolocation database {}: {reason}", path.display())]
    Geo { path: PathBuf, reason: String },
    #[error("{} is empty", .0.display())]
    EmptySecret(PathBuf),
    #[error("--http and --metrics are a broker's; this process is a relay alone")]
    HttpOfRelay,
    #[error("an account's name is of 1 to 64 letters, digits and -_.@+")]
    AccountName,
    #[error("there is an account of this name")]
    AccountExists,
    #[error("there is no account of this name")]
    NoAccount,
    #[error("there is no member {0}")]
    NoMember(String),
    #[error("a password has 10 to 256 bytes")]
    PasswordLength,
    #[error("that was not the same password")]
    PasswordTwice,
    #[error("cannot read the password: {0}")]
    Input(io::Error),
    #[error("cannot listen on UDP {address}: {source}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot listen on TCP {address}: {source}")]
    ListenTcp { address: SocketAddr, source: io::Error },
    #[error("--public: {0}")]
    Public(TextError),
    #[error("the system gives no randomness: {0}")]
    Entropy(getrandom::Error),
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    #[error("cannot start: {0}")]
    Start(String),
}
