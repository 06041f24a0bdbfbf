//! The provider on top of the RustCrypto crates.
//!
//! Builds for every target.

use super::chacha_mask::ChaChaHeaderKey;
use super::{
    AeadError, HeaderKey, PacketKey, Provider, Suite, TAG_LEN, has_aes_instructions,
    lent_randomness_provider, nonce, sized, soft_aes, tls_suites,
};
use alloc::boxed::Box;
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::aead::consts::{U12, U16};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hmac::{Hmac, Mac};
use rustls::crypto::{CryptoProvider, hmac as tls_hmac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(super) struct RustCrypto;

impl Provider for RustCrypto {
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
        match suite {
            Suite::Aes128Gcm => soft_aes::packet_key(key, iv),
            Suite::ChaCha20Poly1305 => {
                let aead = ChaCha20Poly1305::new((&*sized::<32>(key)).into());
                Box::new(SoftPacketKey { aead, iv: *iv })
            }
        }
    }

    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
        match suite {
            Suite::Aes128Gcm => soft_aes::header_key(key),
            Suite::ChaCha20Poly1305 => Box::new(ChaChaHeaderKey::new(key)),
        }
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hash = Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        hash.finalize().into()
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = keyed_hmac(key);
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    fn has_aes(&self) -> bool {
        soft_aes::IS_THERE
    }

    fn fast_aes(&self) -> bool {
        // Elsewhere the `aes` crate computes AES in software unless asked at build time.
        self.has_aes()
            && cfg!(any(target_arch = "x86", target_arch = "x86_64"))
            && has_aes_instructions()
    }

    fn tls(&self) -> CryptoProvider {
        lent_randomness_provider(tls_suites::suites(self))
    }
}

/// Keyed once, for many uses.
pub(super) fn tls_hmac(key: &[u8]) -> Box<dyn tls_hmac::Key> {
    Box::new(TlsHmacKey(keyed_hmac(key)))
}

/// HMAC takes keys of any length: a longer one than a block is hashed first (RFC 2104 §2).
fn keyed_hmac(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; 64]);
    match block.get_mut(..key.len()) {
        Some(start) => start.copy_from_slice(key),
        None => block[..32].copy_from_slice(&Sha256::digest(key)),
    }
    <Hmac<Sha256> as Mac>::new((&*block).into())
}

pub(super) struct SoftPacketKey<A> {
    pub(super) aead: A,
    pub(super) iv: [u8; 12],
}

impl<A> PacketKey for SoftPacketKey<A>
where
    A: AeadInPlace<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn seal(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<(), AeadError> {
        let (plain, room) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError::Unauthentic)?;
        let nonce = nonce(&self.iv, pn).into();
        let tag = self
            .aead
            .encrypt_in_place_detached(&nonce, aad, plain)
            .map_err(|_| AeadError::Unauthentic)?;
        *room = tag.into();
        Ok(())
    }

    fn open(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<usize, AeadError> {
        let (sealed, tag) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError::Unauthentic)?;
        let nonce = nonce(&self.iv, pn).into();
        let tag = (*tag).into();
        self.aead
            .decrypt_in_place_detached(&nonce, aad, sealed, &tag)
            .map_err(|_| AeadError::Unauthentic)?;
        Ok(sealed.len())
    }
}

struct TlsHmacKey(Hmac<Sha256>);

impl tls_hmac::Key for TlsHmacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> tls_hmac::Tag {
        let mut mac = self.0.clone();
        mac.update(first);
        middle.iter().for_each(|part| mac.update(part));
        mac.update(last);
        tls_hmac::Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use rustls::CipherSuite;

    /// So that any two ends have one in common.
    #[test]
    fn chacha_is_offered_always_and_aes_where_it_is_built_in() {
        let mut offered: Vec<_> =
            RustCrypto.tls().cipher_suites.iter().map(|s| s.suite()).collect();
        offered.sort_by_key(|suite| *suite != CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        let all =
            [CipherSuite::TLS13_CHACHA20_POLY1305_SHA256, CipherSuite::TLS13_AES_128_GCM_SHA256];
        assert_eq!(offered, all[..if cfg!(feature = "aes") { 2 } else { 1 }]);
    }
}
