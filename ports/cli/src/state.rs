//! What the program keeps between runs: who this person is, the login, what they own and granted.
//!
//! Owns the state folder: `node/` is the POSIX port's (identity and lock), `state.json` is ours,
//! `grants/` has the chains of grants that others gave. Invariants: the folder is one person's;
//! `state.json` is read and written again under one lock. Secrets in it: identity, token.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rit_core::base::{PublicKey, Rng};
use rit_core::crypto::default_provider;
use rit_core::trust::Identity;
use rit_core::wire::text::key_to_text;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{self, Error};
use crate::files;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct State {
    dir: PathBuf,
}

/// `state.json`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) login: Option<Login>,
    /// Devices by the names they had when they were first used: a server cannot rename one later.
    #[serde(default)]
    pub(crate) names: BTreeMap<String, String>,
    /// What this person owns, by the device's key.
    #[serde(default)]
    pub(crate) devices: BTreeMap<String, Owned>,
}

/// Where somebody is logged in, or the node enrolled.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The broker's `rit://` address.
    pub(crate) broker: String,
    /// The API's address; none: there is a broker only.
    pub(crate) http: Option<String>,
    /// Its certificate is one of the public authorities', instead of the broker's own.
    #[serde(default)]
    pub(crate) is_public: bool,
    pub(crate) user: Option<String>,
    pub(crate) token: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.broker, self.http)
    }
}

/// A device of one's own. `list` has been signed here, and is the newest: the server cannot make
/// one go back by forgetting it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Owned {
    pub(crate) epoch: u32,
    pub(crate) list: Option<String>,
    #[serde(default)]
    pub(crate) grants: Vec<Given>,
    /// That of the last statement by which the device was to be found, or no more.
    #[serde(default)]
    pub(crate) cloak_number: u64,
}

/// A grant that was signed here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) services: Option<Vec<String>>,
    pub(crate) depth: u8,
    pub(crate) issued_s: u64,
    pub(crate) expires_s: Option<u64>,
}

impl State {
    /// The folder, made if it is not there.
    pub(crate) fn open(dir: PathBuf) -> Result<State, Error> {
        files::make_private(&dir)?;
        Ok(State { dir })
    }

    /// The folder of the node.
    pub(crate) fn node_dir(&self) -> PathBuf {
        self.dir.join("node")
    }

    /// A file of ours in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What is stored.
    pub(crate) fn read(&self) -> Result<Stored, Error> {
        let path = self.path("state.json");
        let Some(text) = files::read(&path)? else { return Ok(Stored::default()) };
        let text = Zeroizing::new(text);
        serde_json::from_str(&text).map_err(|error| {
            Error::failed(format!("{} is damaged: {error}", path.display()))
                .advice("Move it away and log in again; grants and lists are on the server too.")
        })
    }

    /// Changes what is stored.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Stored) -> T) -> Result<T, Error> {
        let _lock = files::lock(&self.path("state.lock"))?;
        let mut stored = self.read()?;
        let result = change(&mut stored);
        let text = Zeroizing::new(serde_json::to_vec_pretty(&stored).map_err(error::other)?);
        files::write(&self.path("state.json"), &text)?;
        Ok(result)
    }

    /// Who this person is; made the first time, under the lock that the node takes.
    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        let dir = self.node_dir();
        files::make_private(&dir)?;
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(identity) = read_identity(&dir)? {
                return Ok(identity);
            }
            let path = dir.join("lock");
            let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path);
            let lock = lock.map_err(|error| error::io("write", &path, &error))?;
            if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                return match read_identity(&dir)? {
                    Some(identity) => Ok(identity),
                    None => make_identity(&dir),
                };
            }
            // Whoever has the lock makes one now.
            if Instant::now() > end {
                return Err(Error::failed(format!("{} is locked", dir.display())));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The chain of grants for a device that was kept here.
    pub(crate) fn chain(&self, device: &PublicKey) -> Result<Option<Vec<u8>>, Error> {
        match files::read(&self.chain_path(device))? {
            Some(text) => crate::chain::from_text(&text).map(Some),
            None => Ok(None),
        }
    }

    /// Keeps a chain of grants.
    pub(crate) fn keep_chain(&self, device: &PublicKey, chain: &[u8]) -> Result<(), Error> {
        files::make_private(&self.path("grants"))?;
        files::write(&self.chain_path(device), crate::chain::to_text(chain).as_bytes())
    }

    fn chain_path(&self, device: &PublicKey) -> PathBuf {
        self.path("grants").join(key_to_text(device))
    }
}

fn read_identity(dir: &Path) -> Result<Option<Identity>, Error> {
    let path = dir.join("identity");
    let stored = match fs::read(&path) {
        Ok(stored) => Zeroizing::new(stored),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error::io("read", &path, &error)),
    };
    Identity::decode(default_provider(), &stored)
        .map(Some)
        .map_err(|error| Error::failed(format!("{}: {error}", path.display())))
}

fn make_identity(dir: &Path) -> Result<Identity, Error> {
    let identity = Identity::generate(&mut rng()?);
    files::write(&dir.join("identity"), &*identity.encode(default_provider()))?;
    Ok(identity)
}

/// Randomness of the system.
pub(crate) fn rng() -> Result<Rng, Error> {
    let mut seed = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *seed)
        .map_err(|error| Error::failed(format!("no randomness: {error}")))?;
    Ok(Rng::from_seed(*seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Port;

    #[test]
    fn identity_is_the_node_s_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path().join("rit")).unwrap();
        let key = state.identity().unwrap().public_key();
        let port = Port::open(&state.node_dir(), 0, false).unwrap();
        // While the node runs it can be read.
        assert_eq!(state.identity().unwrap().public_key(), key);
        drop(port);
        assert_eq!(state.identity().unwrap().public_key(), key);
    }

    #[test]
    fn changes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path().join("rit")).unwrap();
        assert!(state.read().unwrap().login.is_none());
        let login = Login {
            broker: "rit://".into(),
            http: None,
            is_public: false,
            user: None,
            token: Some("secret".into()),
        };
        state.change(|stored| stored.login = Some(login)).unwrap();
        let login = state.read().unwrap().login.unwrap();
        assert_eq!(login.token.as_deref(), Some("secret"));
        assert!(!format!("{login:?}").contains("secret"));
        fs::write(state.path("state.json"), "{").unwrap();
        assert!(state.read().unwrap_err().to_string().contains("damaged"));
    }
}
