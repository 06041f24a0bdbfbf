//! rustls alone, and the configuration that quinn-proto runs on: TLS 1.3 with AES-128-GCM, X25519
//! and raw Ed25519 keys both ways (RFC 7250), as our handshake has it; no tickets, no resumption.
//!
//! What differs from ours: keys, shares and signatures are ring's here and dalek's there; the
//! configuration is made once here and for each connection there; the contact key and the QUIC
//! packets are ours and quinn's alone.

use crate::clock::timed;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::crypto::ring::kx_group::X25519;
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, ConfigBuilder, ConfigSide,
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, ServerConnection,
    SignatureScheme, WantsVerifier, WantsVersions,
};
use std::sync::Arc;
use std::time::Duration;

/// A private Ed25519 key in PKCS #8 (RFC 8410 §7) is these bytes and the seed's 32.
const PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The name a client gives; nobody checks it.
pub const NAME: &str = "bench";

/// Both ends' configuration.
#[derive(Clone)]
pub struct Configs {
    /// The initiator's.
    pub client: Arc<ClientConfig>,
    /// The responder's.
    pub server: Arc<ServerConfig>,
}

impl Configs {
    /// Two ends that expect each other's key.
    pub fn new() -> Configs {
        let (client_key, server_key) = (key(1), key(2));
        let mut client = builder(ClientConfig::builder_with_provider(provider()))
            .dangerous()
            .with_custom_certificate_verifier(Exactly::the(&server_key))
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                client_key.clone(),
            )));
        client.alpn_protocols = vec![b"bench".to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        let mut server = builder(ServerConfig::builder_with_provider(provider()))
            .with_client_cert_verifier(Exactly::the(&client_key))
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(server_key)));
        server.alpn_protocols = vec![b"bench".to_vec()];
        server.send_tls13_tickets = 0;
        Configs { client: Arc::new(client), server: Arc::new(server) }
    }

    /// A whole handshake in TLS records. Adds the CPU time that the responder took to `responder`.
    pub fn handshake(&self, responder: &mut Duration) {
        let name = ServerName::try_from(NAME).expect("a DNS name");
        let mut client = ClientConnection::new(self.client.clone(), name).expect("it opens");
        let mut server =
            timed(responder, || ServerConnection::new(self.server.clone())).expect("it accepts");
        let mut records = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            records.clear();
            while client.wants_write() {
                client.write_tls(&mut records).expect("memory takes all");
            }
            timed(responder, || {
                let mut rest = records.as_slice();
                while !rest.is_empty() {
                    server.read_tls(&mut rest).expect("memory gives all");
                    server.process_new_packets().expect("the client is honest");
                }
                records.clear();
                while server.wants_write() {
                    server.write_tls(&mut records).expect("memory takes all");
                }
            });
            let mut rest = records.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("memory gives all");
                client.process_new_packets().expect("the server is honest");
            }
        }
    }
}

impl Default for Configs {
    fn default() -> Self {
        Configs::new()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![X25519],
        ..ring::default_provider()
    })
}

fn builder<S: ConfigSide>(
    builder: ConfigBuilder<S, WantsVersions>,
) -> ConfigBuilder<S, WantsVerifier> {
    builder.with_protocol_versions(&[&TLS13]).expect("the suite is of TLS 1.3")
}

fn key(seed: u8) -> Arc<CertifiedKey> {
    let der = [&PKCS8_PREFIX[..], &[seed; 32]].concat();
    let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(der)).expect("an Ed25519 key");
    let public = key.public_key().expect("ring knows it");
    let public = CertificateDer::from(public.as_ref().to_vec());
    Arc::new(CertifiedKey::new(vec![public], key))
}

/// Lets the peer pass that holds this key.
#[derive(Debug)]
struct Exactly(CertificateDer<'static>);

impl Exactly {
    fn the(key: &CertifiedKey) -> Arc<Exactly> {
        Arc::new(Exactly(key.cert[0].clone()))
    }

    fn check_key(&self, key: &CertificateDer<'_>) -> Result<(), Error> {
        if *key == self.0 { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
    }
}

fn check_signature(
    message: &[u8],
    key: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let key = SubjectPublicKeyInfoDer::from(key.as_ref());
    let algorithms = ring::default_provider().signature_verification_algorithms;
    verify_tls13_signature_with_raw_key(message, &key, signed, &algorithms)
}

impl ServerCertVerifier for Exactly {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(key).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Exactly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(key).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 alone".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        check_signature(message, key, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
