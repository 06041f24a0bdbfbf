//! The provider on top of ring: its AEADs, its QUIC header keys, rustls's own suites for it.
//!
//! Hosted targets only: ring's assembly does not exist for Cortex-M.

use super::chacha_mask::ChaChaHeaderKey;
use super::{
    AeadError, CryptoFailed, HeaderKey, PacketKey, Provider, Suite, TAG_LEN, has_aes_instructions,
    lent_randomness_provider, nonce, sized,
};
use alloc::boxed::Box;
use alloc::vec;
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, quic};
use ring::{digest, hmac};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256,
};

/// Whether ring has ChaCha20 in assembly. Elsewhere it counts blocks by an addition that a build
/// with overflow checks ends at the last number, which is the peer's choice in a header.
const HAS_CHACHA: bool = cfg!(all(
    target_endian = "little",
    any(target_arch = "x86", target_arch = "x86_64", target_arch = "arm", target_arch = "aarch64")
));

pub(super) struct Ring;

impl Provider for Ring {
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
        let key = match suite {
            Suite::Aes128Gcm => UnboundKey::new(&aead::AES_128_GCM, &*sized::<16>(key)),
            Suite::ChaCha20Poly1305 => {
                UnboundKey::new(&aead::CHACHA20_POLY1305, &*sized::<32>(key))
            }
        };
        // ring refuses a key for its length alone, which `sized` has made right.
        Box::new(RingPacketKey { key: key.ok().map(LessSafeKey::new), iv: *iv })
    }

    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
        let key = match suite {
            Suite::Aes128Gcm => quic::HeaderProtectionKey::new(&quic::AES_128, &*sized::<16>(key)),
            Suite::ChaCha20Poly1305 if !HAS_CHACHA => {
                return Box::new(ChaChaHeaderKey::new(key));
            }
            Suite::ChaCha20Poly1305 => {
                quic::HeaderProtectionKey::new(&quic::CHACHA20, &*sized::<32>(key))
            }
        };
        Box::new(RingHeaderKey(key.ok()))
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        array(context.finish().as_ref())
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        parts.iter().for_each(|part| context.update(part));
        array(context.sign().as_ref())
    }

    fn fast_aes(&self) -> bool {
        has_aes_instructions()
    }

    fn tls(&self) -> CryptoProvider {
        let mut suites = vec![TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256];
        if !self.fast_aes() {
            suites.reverse();
        }
        lent_randomness_provider(suites)
    }
}

/// SHA-256's output, which has 32 bytes.
fn array(bytes: &[u8]) -> [u8; 32] {
    *sized(bytes)
}

struct RingPacketKey {
    key: Option<LessSafeKey>,
    iv: [u8; 12],
}

impl PacketKey for RingPacketKey {
    fn seal(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<(), AeadError> {
        let key = self.key.as_ref().ok_or(AeadError::Unauthentic)?;
        let (plain, room) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError::Unauthentic)?;
        let nonce = Nonce::assume_unique_for_key(nonce(&self.iv, pn));
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(aad), plain)
            .map_err(|_| AeadError::Unauthentic)?;
        *room = tag.as_ref().try_into().map_err(|_| AeadError::Unauthentic)?;
        Ok(())
    }

    fn open(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<usize, AeadError> {
        let key = self.key.as_ref().ok_or(AeadError::Unauthentic)?;
        let nonce = Nonce::assume_unique_for_key(nonce(&self.iv, pn));
        let plain =
            key.open_in_place(nonce, Aad::from(aad), buf).map_err(|_| AeadError::Unauthentic)?;
        Ok(plain.len())
    }
}

struct RingHeaderKey(Option<quic::HeaderProtectionKey>);

impl HeaderKey for RingHeaderKey {
    fn mask(&self, sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed> {
        // Never an error: the key and the sample have the right lengths by their types.
        self.0.as_ref().and_then(|key| key.new_mask(sample).ok()).ok_or(CryptoFailed)
    }
}
