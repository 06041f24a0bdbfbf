//! Crypto providers for scenarios that must not depend on the machine they run on.
//!
//! A node prefers AES-GCM where the processor has instructions for it, so that the bytes of a seed
//! differ from machine to machine. The provider here has none, on any.

use rit_core::crypto::{self, HeaderKey, PacketKey, Provider, Suite};
use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

struct WithoutAes;

impl Provider for WithoutAes {
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
        crypto::rustcrypto().packet_key(suite, key, iv)
    }

    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
        crypto::rustcrypto().header_key(suite, key)
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        crypto::rustcrypto().sha256(parts)
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        crypto::rustcrypto().hmac_sha256(key, parts)
    }

    fn fast_aes(&self) -> bool {
        false
    }

    fn tls(&self) -> CryptoProvider {
        let mut tls = crypto::rustcrypto().tls();
        tls.cipher_suites
            .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        tls
    }
}

/// RustCrypto as on a processor without AES instructions.
pub fn without_aes() -> &'static dyn Provider {
    &WithoutAes
}
