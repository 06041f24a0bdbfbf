//! AES-128 by the RustCrypto crates: of packets with GCM, of headers block by block.

use super::with_rustcrypto::SoftPacketKey;
use super::{CryptoFailed, HeaderKey, PacketKey, sized};
use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use alloc::boxed::Box;

pub(super) const IS_THERE: bool = true;

pub(super) fn packet_key(key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
    let aead = Aes128Gcm::new((&*sized::<16>(key)).into());
    Box::new(SoftPacketKey { aead, iv: *iv })
}

pub(super) fn header_key(key: &[u8]) -> Box<dyn HeaderKey> {
    Box::new(AesHeaderKey(Aes128::new((&*sized::<16>(key)).into())))
}

/// RFC 9001 §5.4.3.
struct AesHeaderKey(Aes128);

impl HeaderKey for AesHeaderKey {
    fn mask(&self, sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed> {
        let mut block = (*sample).into();
        self.0.encrypt_block(&mut block);
        Ok([block[0], block[1], block[2], block[3], block[4]])
    }
}
