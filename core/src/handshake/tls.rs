//! rustls as this protocol uses it: TLS 1.3 alone, raw public keys both ways (RFC 7250), one ALPN
//! name, no tickets, no resumption, no early data; driven through the unbuffered API.
//!
//! Owns the configuration, the check of the peer's key, and the way of the exporter secret out of
//! rustls. Does not own what the bytes travel in.

#[cfg(feature = "tls-client")]
use super::client;
use super::{HandshakeError, PeerPolicy, TlsRole};
use crate::base::PublicKey;
use crate::crypto::{Provider, RawKey, Secret, Signer, Suite, verify_schemes};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
#[cfg(feature = "tls-client")]
use rustls::client::UnbufferedClientConnection;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, UnbufferedServerConnection};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::time_provider::TimeProvider;
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::version::TLS13;
use rustls::{
    CertificateError, CipherSuite, CommonState, DigitallySignedStruct, DistinguishedName, Error,
    KeyLog, PeerMisbehaved, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use spin::Mutex;
use zeroize::Zeroize;

pub(super) const ALPN: &[u8] = b"rit/1";

/// One TLS connection, of either side.
pub(super) enum Tls {
    #[cfg(feature = "tls-client")]
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What comes out of rustls by its callbacks while it runs.
#[derive(Default)]
pub(super) struct Taps(Mutex<TapState>);

#[derive(Default)]
struct TapState {
    exporter_secret: Option<Secret>,
    peer: Option<PublicKey>,
    has_sign_failed: bool,
}

impl Taps {
    /// The exporter secret, once, as soon as rustls has it.
    pub(super) fn take_exporter_secret(&self) -> Option<Secret> {
        self.0.lock().exporter_secret.take()
    }

    /// The key that the peer claims, which the policy allows. Its own only once TLS is complete.
    pub(super) fn peer(&self) -> Option<PublicKey> {
        self.0.lock().peer
    }

    /// Whether it was our own key that made the handshake fail.
    pub(super) fn has_sign_failed(&self) -> bool {
        self.0.lock().has_sign_failed
    }
}

impl fmt::Debug for Taps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taps")
    }
}

impl KeyLog for Taps {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if let (true, Ok(mut bytes)) = (self.will_log(label), <[u8; 32]>::try_from(secret)) {
            self.0.lock().exporter_secret = Some(Secret::new(bytes));
            bytes.zeroize();
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == "EXPORTER_SECRET"
    }
}

impl Tls {
    /// A connection that has done nothing yet. Randomness must be lent.
    pub(super) fn new(
        provider: &'static dyn Provider,
        role: TlsRole,
        signer: Arc<dyn Signer>,
        policy: PeerPolicy,
        taps: &Arc<Taps>,
    ) -> Result<Tls, Error> {
        match role {
            #[cfg(feature = "tls-client")]
            TlsRole::Client => client::start(client::config(provider, signer, policy, taps)?),
            #[cfg(not(feature = "tls-client"))]
            TlsRole::Client => {
                let no_client = rustls::PeerIncompatible::NoCipherSuitesInCommon;
                Err(Error::PeerIncompatible(no_client))
            }
            TlsRole::Server => {
                let config = server_config(provider, signer, policy, taps)?;
                let connection = UnbufferedServerConnection::new(Arc::new(config))?;
                Ok(Tls::Server(Box::new(connection)))
            }
        }
    }

    /// Runs TLS as far as it goes: takes from `incoming` what it has used, appends to `output`.
    /// Randomness must be lent.
    #[inline(never)]
    pub(super) fn advance(
        &mut self,
        incoming: &mut Vec<u8>,
        output: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        loop {
            let (used, step) = match self {
                #[cfg(feature = "tls-client")]
                Tls::Client(tls) => step(tls.process_tls_records(incoming), output),
                Tls::Server(tls) => step(tls.process_tls_records(incoming), output),
            };
            incoming.drain(..used.min(incoming.len()));
            if let Step::Blocked = step? {
                return Ok(());
            }
        }
    }

    /// Whether both Finished messages are exchanged and the peer is authenticated.
    pub(super) fn is_complete(&self) -> bool {
        !self.common().is_handshaking()
    }

    /// The negotiated suite.
    pub(super) fn suite(&self) -> Option<Suite> {
        match self.common().negotiated_cipher_suite()?.suite() {
            CipherSuite::TLS13_AES_128_GCM_SHA256 => Some(Suite::Aes128Gcm),
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some(Suite::ChaCha20Poly1305),
            _ => None,
        }
    }

    /// Whether this protocol was agreed on. rustls itself lets a peer without ALPN pass.
    pub(super) fn has_agreed_protocol(&self) -> bool {
        self.common().alpn_protocol() == Some(ALPN)
    }

    fn common(&self) -> &CommonState {
        match self {
            #[cfg(feature = "tls-client")]
            Tls::Client(tls) => tls,
            Tls::Server(tls) => tls,
        }
    }
}

fn server_config(
    provider: &'static dyn Provider,
    signer: Arc<dyn Signer>,
    policy: PeerPolicy,
    taps: &Arc<Taps>,
) -> Result<ServerConfig, Error> {
    let key = certified_key(signer, taps.clone());
    let verifier = Arc::new(PeerVerifier { provider, policy, taps: taps.clone() });
    let mut config = ServerConfig::builder_with_details(Arc::new(provider.tls()), Arc::new(NoTime))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    config.key_log = taps.clone();
    config.cert_compressors.clear();
    config.cert_decompressors.clear();
    // AES only if it is fast at both ends: the initiator says so by its order.
    config.ignore_client_order = !provider.fast_aes();
    Ok(config)
}

pub(super) enum Step {
    Again,
    Blocked,
}

/// Does what rustls asks for. Returns how much of the input it is done with.
pub(super) fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    output: &mut Vec<u8>,
) -> (usize, Result<Step, HandshakeError>) {
    let UnbufferedStatus { discard, state } = status;
    let step = match state {
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            encode(|room| data.encode(room).map_err(missing), output).map(|()| Step::Again)
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
            Ok(Step::Blocked)
        }
        // Application data and closing belong to the packets that TLS has made keys for.
        Ok(_) => Err(HandshakeError::UnexpectedMessage),
        Err(error) => Err(error.into()),
    };
    (discard, step)
}

fn missing(error: EncodeError) -> Option<InsufficientSizeError> {
    if let EncodeError::InsufficientSize(size) = error { Some(size) } else { None }
}

/// Appends records, asking first how long they are.
pub(super) fn encode(
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<InsufficientSizeError>>,
    output: &mut Vec<u8>,
) -> Result<(), HandshakeError> {
    let start = output.len();
    let Err(Some(InsufficientSizeError { required_size })) = encode(&mut []) else {
        return Err(HandshakeError::Internal);
    };
    output.resize(start + required_size, 0);
    let room = output.get_mut(start..).unwrap_or_default();
    encode(room).map_err(|_| HandshakeError::Internal)?;
    Ok(())
}

/// Raw keys have no dates, so nothing depends on the wall clock, which the core does not know.
#[derive(Debug)]
pub(super) struct NoTime;

impl TimeProvider for NoTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(core::time::Duration::ZERO))
    }
}

pub(super) fn certified_key(signer: Arc<dyn Signer>, taps: Arc<Taps>) -> Arc<CertifiedKey> {
    let raw = signer.raw_key();
    let spki = raw.to_spki();
    let key = TlsKey { raw, spki: spki.clone(), signer, taps };
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], Arc::new(key)))
}

/// The node's key as rustls wants it.
#[derive(Clone)]
struct TlsKey {
    raw: RawKey,
    spki: Vec<u8>,
    signer: Arc<dyn Signer>,
    taps: Arc<Taps>,
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsKey")
    }
}

impl SigningKey for TlsKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        if !offered.contains(&self.raw.scheme()) {
            return None;
        }
        Some(Box::new(self.clone()))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.spki.as_slice()))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.raw {
            RawKey::Ed25519(_) => SignatureAlgorithm::ED25519,
            RawKey::P256(_) => SignatureAlgorithm::ECDSA,
        }
    }
}

impl rustls::sign::Signer for TlsKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        match self.signer.sign(message) {
            Ok(signature) => Ok(self.raw.tls_signature(&signature)),
            Err(_) => {
                self.taps.0.lock().has_sign_failed = true;
                Err(Error::General(String::new()))
            }
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.raw.scheme()
    }
}

/// Lets those peers pass whose raw key the policy allows.
pub(super) struct PeerVerifier {
    pub(super) provider: &'static dyn Provider,
    pub(super) policy: PeerPolicy,
    pub(super) taps: Arc<Taps>,
}

impl PeerVerifier {
    pub(super) fn check_key(
        &self,
        spki: &CertificateDer<'_>,
        more: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let key = raw_key(spki)?.name(self.provider);
        if !more.is_empty() {
            return Err(CertificateError::BadEncoding.into());
        }
        if !self.policy.allows(&key) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        self.taps.0.lock().peer = Some(key);
        Ok(())
    }

    pub(super) fn check_signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if !verify_schemes().contains(&signed.scheme) {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        if raw_key(spki)?.verify(message, signed.scheme, signed.signature()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

fn raw_key(spki: &[u8]) -> Result<RawKey, Error> {
    RawKey::from_spki(spki).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerVerifier")
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General(String::new()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        verify_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
