//! The client's side of TLS, which a device may be built without.
//!
//! Owns the client's configuration and its check of the server's key. Does not own anything that
//! both sides have: see `tls`.

use super::PeerPolicy;
use super::tls::{ALPN, NoTime, PeerVerifier, Taps, Tls, certified_key};
use crate::crypto::{Provider, Signer, verify_schemes};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption, UnbufferedClientConnection};
use rustls::pki_types::{CertificateDer, IpAddr, Ipv4Addr, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

pub(super) fn start(config: ClientConfig) -> Result<Tls, Error> {
    // rustls wants a name; it is neither sent nor checked.
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0, 0, 0, 0])));
    let connection = UnbufferedClientConnection::new(Arc::new(config), name)?;
    Ok(Tls::Client(Box::new(connection)))
}

pub(super) fn config(
    provider: &'static dyn Provider,
    signer: Arc<dyn Signer>,
    policy: PeerPolicy,
    taps: &Arc<Taps>,
) -> Result<ClientConfig, Error> {
    let key = certified_key(signer, taps.clone());
    let verifier = Arc::new(PeerVerifier { provider, policy, taps: taps.clone() });
    let mut config = ClientConfig::builder_with_details(Arc::new(provider.tls()), Arc::new(NoTime))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.key_log = taps.clone();
    // Another crate of the build may have turned compression on in rustls.
    config.cert_compressors.clear();
    config.cert_decompressors.clear();
    Ok(config)
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
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
