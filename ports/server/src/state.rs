//! The state folder: where it is, who may use it, the broker's identity in it, and what it shares
//! with its relays.
//!
//! Owns `identity` and `relay-secret` (mode 0600), and `lock`. Does not own the database beside
//! them (`store`). What exists is never made over: a damaged identity ends the program, for nodes
//! know the broker by it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rit_core::base::PublicKey;
use rit_core::crypto::{self, Secret};
use rit_core::trust::{IDENTITY_LEN, Identity};
use rustix::fs::FlockOperation;
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::error::Error;

/// Bytes of the secret that a broker and its relays share.
pub(crate) const RELAY_SECRET_LEN: usize = 32;

/// Of the browser face's node.
const FACE_IDENTITY: &str = "face-identity";

/// The state folder of a running server, locked against a second one.
pub(crate) struct State {
    dir: PathBuf,
    _lock: File,
}

impl State {
    /// Makes the folder where it is missing, and locks it for as long as the value lives.
    pub(crate) fn open(dir: PathBuf) -> Result<Self, Error> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        made.map_err(|source| Error::File {
            action: "make the state folder",
            path: dir.clone(),
            source,
        })?;
        let lock = lock_file(&dir.join("lock"), FlockOperation::NonBlockingLockExclusive).map_err(
            |error| match error {
                Error::File { source, .. } if source.kind() == io::ErrorKind::WouldBlock => {
                    Error::InUse(dir.clone())
                }
                other => other,
            },
        )?;
        if is_open_to_others(&dir) {
            tracing::warn!(folder = %dir.display(), "others may look into the state folder");
        }
        Ok(State { dir, _lock: lock })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The broker's identity: out of `file`, or out of the state folder, made and stored there the
    /// first time.
    pub(crate) fn identity(&self, given: Option<&Path>) -> Result<Identity, Error> {
        self.identity_in("identity", given)
    }

    /// That of the browser face's node, likewise.
    pub(crate) fn face_identity(&self) -> Result<Identity, Error> {
        self.identity_in(FACE_IDENTITY, None)
    }

    fn identity_in(&self, name: &str, given: Option<&Path>) -> Result<Identity, Error> {
        let path = given.map_or_else(|| self.dir.join(name), Path::to_owned);
        let file = |action| {
            let path = path.clone();
            move |source| Error::File { action, path, source }
        };
        match File::open(&path) {
            Ok(stored) => read_identity(stored, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && given.is_none() => {
                let identity = Identity::from_seed(random_seed()?);
                let bytes = identity.encode(crypto::default_provider());
                write_new(&self.dir, &path, &*bytes).map_err(file("write"))?;
                tracing::info!(file = %path.display(), "made an identity");
                Ok(identity)
            }
            Err(error) => Err(file("read")(error)),
        }
    }

    /// What the broker and its relays share: out of `file`, or out of the state folder, made and
    /// stored there the first time.
    pub(crate) fn relay_secret(&self, file: Option<&Path>) -> Result<Secret, Error> {
        let path = file.map_or_else(|| self.dir.join("relay-secret"), Path::to_owned);
        let failed = |action| {
            let path = path.clone();
            move |source| Error::File { action, path, source }
        };
        match File::open(&path) {
            Ok(stored) => {
                let bytes = read_private(stored, &path, RELAY_SECRET_LEN)?;
                let secret = bytes.as_slice().try_into().map(Secret::new);
                secret.map_err(|_| Error::RelaySecret(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => {
                let bytes = Zeroizing::new(random_seed()?);
                write_new(&self.dir, &path, &*bytes).map_err(failed("write"))?;
                Ok(Secret::new(*bytes))
            }
            Err(error) => Err(failed("read")(error)),
        }
    }
}

/// Longer files are none of ours.
const KEPT_LEN_MAX: usize = 64 * 1024;

impl State {
    /// What was kept under a name, if anything.
    pub(crate) fn read_kept(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let path = self.dir.join(name);
        match File::open(&path) {
            Ok(stored) => read_private(stored, &path, KEPT_LEN_MAX).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::File { action: "read", path, source }),
        }
    }

    /// Keeps something under a name, where nobody else reads it.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.dir.join(name);
        write_new(&self.dir, &path, bytes).map_err(|source| Error::File {
            action: "write",
            path,
            source,
        })
    }
}

/// The key of the browser face's node in a state folder that a server may be using; none if it
/// never had a face.
pub(crate) fn face_key(dir: &Path) -> Result<Option<PublicKey>, Error> {
    let path = dir.join(FACE_IDENTITY);
    match File::open(&path) {
        Ok(stored) => Ok(Some(read_identity(stored, &path)?.public_key())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { action: "read", path, source }),
    }
}

/// 32 bytes of the system's randomness.
pub(crate) fn random_seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Error::Entropy)?;
    Ok(seed)
}

/// The state folder of who does not name one.
pub(crate) fn default_dir() -> Result<PathBuf, Error> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/rit-server"));
    }
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .map(|dir| dir.join("rit-server"))
        .ok_or(Error::NoHome)
}

/// Opens a file, made where missing, and locks it until it is dropped.
pub(crate) fn lock_file(path: &Path, operation: FlockOperation) -> Result<File, Error> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    let locked = file.and_then(|file| {
        loop {
            match rustix::fs::flock(&file, operation) {
                Err(Errno::INTR) => {}
                result => return Ok(result.map(|()| file)?),
            }
        }
    });
    locked.map_err(|source| Error::File { action: "lock", path: path.to_owned(), source })
}

fn read_identity(stored: File, path: &Path) -> Result<Identity, Error> {
    let bytes = read_private(stored, path, IDENTITY_LEN)?;
    Identity::decode(crypto::default_provider(), &bytes)
        .map_err(|source| Error::Identity { path: path.to_owned(), source })
}

/// Reads a file that is nobody else's to read, and at most one byte more than it should have, so
/// that a longer one is found out.
fn read_private(stored: File, path: &Path, len: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::File { action: "read", path: path.to_owned(), source };
    if stored.metadata().map_err(failed)?.mode() & 0o077 != 0 {
        return Err(Error::FileMode(path.to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(len + 1));
    stored.take(len as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Writes a file that is either whole or not there, whatever happens meanwhile.
fn write_new(dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        File::open(dir)?.sync_all()
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&unfinished);
    })
}

fn is_open_to_others(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|metadata| metadata.mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn state(dir: &Path) -> State {
        State::open(dir.join("a/b")).unwrap()
    }

    #[test]
    fn an_identity_is_made_once_and_nobody_else_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let key = state(dir.path()).identity(None).unwrap().public_key();
        let again = state(dir.path());
        assert_eq!(again.identity(None).unwrap().public_key(), key);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(again.dir()), 0o700);
        assert_eq!(mode(&again.dir().join("identity")), 0o600);
        assert!(!again.dir().join("identity.new").exists());
    }

    #[test]
    fn the_face_s_key_is_read_while_a_server_runs() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        assert_eq!(face_key(state.dir()).unwrap(), None);
        let key = state.face_identity().unwrap().public_key();
        assert_eq!(face_key(state.dir()).unwrap(), Some(key));
        fs::write(state.dir().join(FACE_IDENTITY), b"damaged").unwrap();
        assert!(matches!(face_key(state.dir()), Err(Error::Identity { .. })));
    }

    #[test]
    fn a_second_server_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let first = state(dir.path());
        assert!(matches!(State::open(first.dir().to_owned()), Err(Error::InUse(_))));
        let path = first.dir().to_owned();
        drop(first);
        assert!(State::open(path).is_ok());
    }

    #[test]
    fn an_identity_may_be_given() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let key = state.identity(None).unwrap().public_key();
        let given = dir.path().join("given");
        let error = state.identity(Some(&given)).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::File { action: "read", .. }), "not made");
        fs::copy(state.dir().join("identity"), &given).unwrap();
        fs::remove_file(state.dir().join("identity")).unwrap();
        assert_eq!(state.identity(Some(&given)).unwrap().public_key(), key);
        assert!(!state.dir().join("identity").exists());
    }

    #[test]
    fn a_damaged_identity_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        state.identity(None).unwrap();
        let path = state.dir().join("identity");
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        flipped[20] ^= 1;
        for damaged in [&flipped[..], &good[..10], &[], &[&good[..], b"\n"].concat()] {
            fs::write(&path, damaged).unwrap();
            let error = state.identity(None).map(|_| ()).unwrap_err();
            assert!(matches!(error, Error::Identity { .. }), "{error}");
            assert_eq!(fs::read(&path).unwrap(), damaged);
        }
    }

    #[test]
    fn an_identity_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        state.identity(None).unwrap();
        let path = state.dir().join("identity");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = state.identity(None).map(|_| ()).unwrap_err();
        assert!(matches!(error, Error::FileMode(_)), "{error}");
    }

    #[test]
    fn a_relays_secret_is_made_once_or_given() {
        let dir = tempfile::tempdir().unwrap();
        let state = state(dir.path());
        let made = *state.relay_secret(None).unwrap().as_bytes();
        assert_eq!(*state.relay_secret(None).unwrap().as_bytes(), made);
        let path = state.dir().join("relay-secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let given = dir.path().join("given");
        let failed = |file: &Path| state.relay_secret(Some(file)).map(|_| ()).unwrap_err();
        assert!(matches!(failed(&given), Error::File { action: "read", .. }), "not made");
        fs::copy(&path, &given).unwrap();
        assert_eq!(*state.relay_secret(Some(&given)).unwrap().as_bytes(), made);
        fs::set_permissions(&given, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(failed(&given), Error::FileMode(_)));
        fs::set_permissions(&given, fs::Permissions::from_mode(0o600)).unwrap();
        for len in [0, 31, 33] {
            fs::write(&given, vec![1; len]).unwrap();
            assert!(matches!(failed(&given), Error::RelaySecret(_)), "{len}");
        }
    }
}
