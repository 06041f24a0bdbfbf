//! How the API's server is known: by the broker's key, or by the public authorities.
//!
//! Owns the check of a certificate against a pinned Ed25519 key. The certificate is a wrapping of
//! that key alone: its names and dates say nothing here. TLS 1.3 (RFC 8446), RFC 8410 for the form
//! of the key. Invariant: with a pinned key no authority can vouch for another server.

use std::sync::Arc;

use rit_core::base::PublicKey;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// `SubjectPublicKeyInfo` of Ed25519, before the key's 32 bytes.
const SPKI_HEAD: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Lets in the holder of one key.
#[derive(Debug)]
struct Pinned {
    key: PublicKey,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let cert = webpki::EndEntityCert::try_from(end_entity)
            .map_err(|_form| Error::InvalidCertificate(CertificateError::BadEncoding))?;
        let spki = cert.subject_public_key_info();
        let key = spki.as_ref().strip_prefix(&SPKI_HEAD);
        if key != Some(&self.key.0) {
            return Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::ServerDoesNotSupportTls12Or13))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// TLS 1.3 with whoever holds this key.
pub(crate) fn pinned(key: PublicKey) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Pinned { key, provider: provider.clone() });
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// TLS with whom the system's authorities vouch for.
pub(crate) fn public() -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Self-signed, of Ed25519: `openssl req -x509 -newkey ed25519 -nodes -subj /CN=broker`.
    const CERTIFICATE: &str = include_str!("tls/certificate.hex");
    const KEY: &str = include_str!("tls/key.hex");

    fn check(der: &[u8], key: [u8; 32]) -> Result<ServerCertVerified, Error> {
        let provider = Arc::new(ring::default_provider());
        let pinned = Pinned { key: PublicKey(key), provider };
        let name = ServerName::try_from("elsewhere.example").unwrap();
        let now = UnixTime::since_unix_epoch(std::time::Duration::ZERO);
        pinned.verify_server_cert(&CertificateDer::from(der), &[], &name, &[], now)
    }

    #[test]
    fn the_pinned_key_and_no_other() {
        let hex = |text: &str| data_encoding::HEXLOWER.decode(text.trim().as_bytes()).unwrap();
        let der = hex(CERTIFICATE);
        let mut key: [u8; 32] = hex(KEY).try_into().unwrap();
        assert!(check(&der, key).is_ok());
        assert!(check(&der[..40], key).is_err());
        key[31] ^= 1;
        assert!(check(&der, key).is_err());
    }
}
