//! Certificates that the operator gives, read again when their files change: renewing one needs no
//! restart.
//!
//! Owns when the files are looked at. Invariant: what does not fit together, as while only one of
//! two files is new, changes nothing, and is tried again.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::rustls;

use crate::error::Error;

/// How often the files are looked at, where connections come.
const LOOK: Duration = Duration::from_secs(10);

/// Certificate and key that the operator gives, PEM.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

/// What is in the files, as of a moment ago.
#[derive(Debug)]
pub(crate) struct Renewed {
    files: Files,
    every: Duration,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    key: Arc<CertifiedKey>,
    of: [Stamp; 2],
    /// The newest files that were of no use; that is said once.
    bad: Option<[Stamp; 2]>,
    looked: Instant,
}

/// What a file was when it was read: inode, time of change, length.
type Stamp = Option<(u64, i64, i64, u64)>;

impl Renewed {
    pub(crate) fn open(files: &Files) -> Result<Self, Error> {
        Self::open_every(files, LOOK)
    }

    fn open_every(files: &Files, every: Duration) -> Result<Self, Error> {
        let of = files.stamps();
        let (key, looked) = (Arc::new(files.read()?), Instant::now());
        let now = Mutex::new(Now { key, of, bad: None, looked });
        Ok(Renewed { files: files.clone(), every, now })
    }

    fn get(&self) -> Arc<CertifiedKey> {
        // Nobody panics while holding it.
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= self.every {
            now.looked = Instant::now();
            let of = self.files.stamps();
            if of != now.of {
                match self.files.read() {
                    Ok(key) => {
                        tracing::info!(file = %self.files.cert.display(), "a new certificate");
                        (now.key, now.of, now.bad) = (Arc::new(key), of, None);
                    }
                    Err(error) if now.bad != Some(of) => {
                        now.bad = Some(of);
                        tracing::warn!(%error, "the old certificate stays");
                    }
                    Err(_) => {}
                }
            }
        }
        now.key.clone()
    }
}

impl ResolvesServerCert for Renewed {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Files {
    fn stamps(&self) -> [Stamp; 2] {
        [&self.cert, &self.key].map(|path| {
            let of = std::fs::metadata(path).ok()?;
            Some((of.ino(), of.mtime(), of.mtime_nsec(), of.len()))
        })
    }

    fn read(&self) -> Result<CertifiedKey, Error> {
        let failed = |path: &Path, reason: String| Error::Pem { path: path.to_owned(), reason };
        let certs = CertificateDer::pem_file_iter(&self.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| failed(&self.cert, error.to_string()))?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| failed(&self.key, error.to_string()))?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key)
            .map_err(|error| failed(&self.key, error.to_string()))?;
        if certs.is_empty() {
            return Err(failed(&self.cert, "there is no certificate in it".into()));
        }
        let certified = CertifiedKey::new(certs, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(certified)
            }
            Err(_) => Err(failed(&self.key, "the key is not the certificate's".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new certificate in place of what is there, and its bytes.
    fn renew(files: &Files, parts: &[&Path]) -> Vec<u8> {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        for (path, text) in
            [(&files.cert, made.cert.pem()), (&files.key, made.key_pair.serialize_pem())]
        {
            // As programs that renew do it: the file is whole, whenever it is looked at.
            if parts.contains(&path.as_path()) {
                let new = path.with_extension("new");
                std::fs::write(&new, text).unwrap();
                std::fs::rename(&new, path).unwrap();
            }
        }
        made.cert.der().to_vec()
    }

    #[test]
    fn a_new_certificate_is_taken_once_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
        let both = [files.cert.as_path(), files.key.as_path()];
        assert!(Renewed::open(&files).is_err(), "not there");
        let first = renew(&files, &both);
        let renewed = Renewed::open_every(&files, Duration::ZERO).unwrap();
        let shown = || renewed.get().cert[0].to_vec();
        assert_eq!(shown(), first);
        let second = renew(&files, &both);
        assert_eq!(shown(), second);
        renew(&files, &both[..1]);
        assert_eq!((shown(), shown()), (second.clone(), second.clone()), "the key is another's");
        std::fs::remove_file(&files.cert).unwrap();
        assert_eq!(shown(), second);
        let third = renew(&files, &both);
        assert_eq!(shown(), third);
        // Not more often than it is to be.
        let seldom = Renewed::open_every(&files, Duration::from_secs(3600)).unwrap();
        renew(&files, &both);
        assert_eq!(seldom.get().cert[0].to_vec(), third);
    }
}
