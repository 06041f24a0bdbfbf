//! What every provider gives to rustls alike: lent randomness, X25519 from it by the lent provider,
//! no certificate machinery.

use super::{CryptoFailed, Provider, constant_time_eq, lend};
use alloc::boxed::Box;
use alloc::string::String;
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
use zeroize::{Zeroize, Zeroizing};

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
        let mut private = Zeroizing::new([0; 32]);
        let (Some(provider), true) = (lend::provider(), lend::fill(&mut *private)) else {
            return Err(Error::FailedToGetRandomBytes);
        };
        Ok(Box::new(X25519Exchange::new(provider, private).map_err(failed)?))
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// The handshake tells by the provider what it was.
fn failed(CryptoFailed: CryptoFailed) -> Error {
    Error::General(String::new())
}

struct X25519Exchange {
    provider: &'static dyn Provider,
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl X25519Exchange {
    fn new(
        provider: &'static dyn Provider,
        private: Zeroizing<[u8; 32]>,
    ) -> Result<Self, CryptoFailed> {
        let public = provider.x25519_base(&private)?;
        Ok(X25519Exchange { provider, private, public })
    }
}

impl ActiveKeyExchange for X25519Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let Ok(peer) = <[u8; 32]>::try_from(peer) else {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        };
        let mut shared = self.provider.x25519(&self.private, &peer).map_err(failed)?;
        // RFC 8446 §7.4.2: the all-zero secret of a small-order point is refused.
        if constant_time_eq(&shared, &[0; 32]) {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let secret = SharedSecret::from(shared.as_slice());
        shared.zeroize();
        Ok(secret)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        None
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(all(test, any(feature = "ring", feature = "rustcrypto")))]
mod tests {
    use super::*;
    use crate::base::Rng;
    use crate::crypto::default_provider;
    use data_encoding::HEXLOWER;

    fn exchange(private: [u8; 32]) -> Box<X25519Exchange> {
        Box::new(X25519Exchange::new(default_provider(), Zeroizing::new(private)).unwrap())
    }

    fn hex(text: &str) -> [u8; 32] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn rfc_7748_section_6_1() {
        let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
        let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
        let [alice, bob] = [alice, bob].map(|key| exchange(hex(key)));
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
            assert!(exchange([7; 32]).complete(share).is_err());
        }
    }

    #[test]
    fn without_a_lent_generator_there_is_no_key() {
        assert!(X25519.start().is_err());
        assert!(LentRandom.fill(&mut [0; 8]).is_err());
        let start =
            || lend::lend(default_provider(), &mut Rng::from_seed([3; 32]), || X25519.start());
        assert_eq!(start().unwrap().pub_key(), start().unwrap().pub_key());
    }
}
