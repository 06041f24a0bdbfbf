//! TLS of the HTTP face: certificates that the operator gives, or self-signed ones.
//!
//! Owns the choice of the certificate. A self-signed one is made with the broker's own Ed25519 key,
//! so whoever knows `rit://KEY@…` knows whom to expect. Browsers do not know Ed25519; they get one
//! with a P-256 key, which is made once and kept in the state folder (`http-key.pem`, mode 0600).
//! Invariant: TLS 1.3 and HTTP/1.1 alone.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, KeyPair, RemoteKeyPair, SanType};
use rit_core::crypto::Signer;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use tokio_rustls::rustls;

use crate::error::Error;
use crate::renew::{Files, Renewed};
use crate::state::State;

/// The P-256 key of self-signed certificates.
const KEY_FILE: &str = "http-key.pem";

/// TLS with the operator's certificate, or with self-signed ones for `host`.
pub(crate) fn config(
    files: Option<&Files>,
    state: &State,
    signer: &Arc<dyn Signer>,
    host: &str,
) -> Result<Arc<ServerConfig>, Error> {
    let certs: Arc<dyn ResolvesServerCert> = match files {
        Some(files) => Arc::new(Renewed::open(files)?),
        None => Arc::new(self_signed(state, signer, host)?),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(start)?
        .with_no_client_auth()
        .with_cert_resolver(certs);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Self-signed: what those get who can check Ed25519, and the others.
#[derive(Debug)]
struct Certs {
    ed25519: Arc<CertifiedKey>,
    other: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Certs {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let knows = hello.signature_schemes().contains(&SignatureScheme::ED25519);
        Some(if knows { self.ed25519.clone() } else { self.other.clone() })
    }
}

fn self_signed(state: &State, signer: &Arc<dyn Signer>, host: &str) -> Result<Certs, Error> {
    let key = BrokerKey { key: signer.public_key().0, signer: signer.clone() };
    let pair = KeyPair::from_remote(Box::new(key.clone())).map_err(start)?;
    let cert = params(host).self_signed(&pair).map_err(start)?;
    let ed25519 = CertifiedKey::new(vec![cert.der().clone()], Arc::new(key));

    let pair = browsers_key(state)?;
    let cert = params(host).self_signed(&pair).map_err(start)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(start)?;
    let other = CertifiedKey::new(vec![cert.der().clone()], key);
    Ok(Certs { ed25519: Arc::new(ed25519), other: Arc::new(other) })
}

fn params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "rit-server");
    // A host that fits no certificate is named in none: pins are what counts.
    let name = match host.parse() {
        Ok(ip) => Some(SanType::IpAddress(ip)),
        Err(_) => host.to_owned().try_into().ok().map(SanType::DnsName),
    };
    params.subject_alt_names.extend(name);
    params
}

fn browsers_key(state: &State) -> Result<KeyPair, Error> {
    let path = state.dir().join(KEY_FILE);
    let bad = |error: rcgen::Error| Error::Pem { path: path.clone(), reason: error.to_string() };
    if let Some(stored) = state.read_kept(KEY_FILE)? {
        let text = std::str::from_utf8(&stored).unwrap_or_default();
        return KeyPair::from_pem(text).map_err(bad);
    }
    let pair = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(bad)?;
    state.keep(KEY_FILE, pair.serialize_pem().as_bytes())?;
    Ok(pair)
}

fn start(error: impl fmt::Display) -> Error {
    Error::Start(error.to_string())
}

/// The broker's key as rcgen and rustls want it.
#[derive(Clone)]
struct BrokerKey {
    key: [u8; 32],
    signer: Arc<dyn Signer>,
}

impl fmt::Debug for BrokerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerKey")
    }
}

impl RemoteKeyPair for BrokerKey {
    fn public_key(&self) -> &[u8] {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.signer.sign(message);
        signature.map(|bytes| bytes.to_vec()).map_err(|_| rcgen::Error::RemoteKeyError)
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl SigningKey for BrokerKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        let known = offered.contains(&SignatureScheme::ED25519);
        known.then(|| Box::new(self.clone()) as Box<dyn rustls::sign::Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl rustls::sign::Signer for BrokerKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature = self.signer.sign(message).map(|bytes| bytes.to_vec());
        signature.map_err(|_| rustls::Error::General("the signer failed".into()))
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}
