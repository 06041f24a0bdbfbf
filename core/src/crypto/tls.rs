//! What every provider gives to rustls alike: lent randomness, X25519 from it, no certificate
//! machinery.
//!
//! X25519 (RFC 7748) is x25519-dalek's with every provider, because ring takes no private key from
//! outside, and the node's generator is the only source there is.

use super::lend;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms,
};
use rustls::ffdhe_groups::FfdheGroup;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::SigningKey;
use rustls::{Error, NamedGroup, PeerMisbehaved, SupportedCipherSuite};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4) is these bytes and the key's 32.
pub const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A rustls provider of the given TLS 1.3 suites, in order of preference, that takes all its
/// randomness from what [`lend`](super::lend()) lends.
pub fn lent_randomness_provider(cipher_suites: Vec<SupportedCipherSuite>) -> CryptoProvider {
    CryptoProvider {
        cipher_suites,
        kx_groups: vec![&X25519],
        // The handshake brings its own verifier, for raw public keys alone.
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &LentRandom,
        key_provider: &NoKeyFiles,
    }
}

#[derive(Debug)]
struct LentRandom;

impl SecureRandom for LentRandom {
    fn fill(&self, buf: &mut [u8]) -> Result<(), GetRandomFailed> {
        if lend::fill(buf) { Ok(()) } else { Err(GetRandomFailed) }
    }
}

/// Keys come as [`Signer`](super::Signer)s, never as files.
#[derive(Debug)]
struct NoKeyFiles;

impl KeyProvider for NoKeyFiles {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General("keys are not loaded from files".into()))
    }
}

#[derive(Debug)]
struct X25519;

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        if !lend::fill(&mut *bytes) {
            return Err(Error::FailedToGetRandomBytes);
        }
        Ok(Box::new(X25519Exchange::new(*bytes)))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct X25519Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl X25519Exchange {
    fn new(private: [u8; 32]) -> Self {
        let secret = StaticSecret::from(private);
        let public = PublicKey::from(&secret);
        X25519Exchange { secret, public }
    }
}

impl ActiveKeyExchange for X25519Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let Ok(peer) = <[u8; 32]>::try_from(peer) else {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        };
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        // RFC 8446 §7.4.2: the all-zero secret of a small-order point is refused.
        if !shared.was_contributory() {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(shared.as_bytes().as_slice()))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Rng;
    use data_encoding::HEXLOWER;

    fn hex(text: &str) -> [u8; 32] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn rfc_7748_section_6_1() {
        let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
        let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
        let [alice, bob] = [alice, bob].map(|key| Box::new(X25519Exchange::new(hex(key))));
        let alice_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        assert_eq!(alice.pub_key(), hex(alice_public));
        assert_eq!(bob.pub_key(), hex(bob_public));
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(alice.complete(&hex(bob_public)).unwrap().secret_bytes(), hex(shared));
        assert_eq!(bob.complete(&hex(alice_public)).unwrap().secret_bytes(), hex(shared));
    }

    #[test]
    fn small_order_and_misshapen_shares_are_refused() {
        for share in [&[0; 32][..], &[1; 31], &[1; 33], &[]] {
            assert!(Box::new(X25519Exchange::new([7; 32])).complete(share).is_err());
        }
    }

    #[test]
    fn without_a_lent_generator_there_is_no_key() {
        assert!(X25519.start().is_err());
        assert!(LentRandom.fill(&mut [0; 8]).is_err());
        let start = || lend::lend(&mut Rng::from_seed([3; 32]), || X25519.start());
        assert_eq!(start().unwrap().pub_key(), start().unwrap().pub_key());
    }
}
