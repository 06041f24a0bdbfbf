//! The provider on top of the RustCrypto crates, and the glue that lets rustls use them.
//!
//! Builds for every target. The TLS record AEADs are this provider's packet keys: a TLS 1.3 record
//! nonce (RFC 8446 §5.3) is made as a packet's is.

use super::{
    AeadError, HeaderKey, PacketKey, Provider, Suite, TAG_LEN, has_aes_instructions,
    lent_randomness_provider, nonce, sized,
};
use aes::Aes128;
use aes::cipher::{BlockEncrypt, KeyInit};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInPlace;
use alloc::boxed::Box;
use alloc::vec;
use chacha20::ChaChaCore;
use chacha20::cipher::consts::U10;
use chacha20::cipher::{KeyIvInit, StreamCipherCore, StreamCipherSeekCore};
use chacha20poly1305::ChaCha20Poly1305;
use hmac::{Hmac, Mac};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{CipherSuiteCommon, CryptoProvider, hash, hmac as tls_hmac};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub(super) struct RustCrypto;

impl Provider for RustCrypto {
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
        match suite {
            Suite::Aes128Gcm => {
                let aead = Aes128Gcm::new((&*sized::<16>(key)).into());
                Box::new(SoftPacketKey { aead, iv: *iv })
            }
            Suite::ChaCha20Poly1305 => {
                let aead = ChaCha20Poly1305::new((&*sized::<32>(key)).into());
                Box::new(SoftPacketKey { aead, iv: *iv })
            }
        }
    }

    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
        match suite {
            Suite::Aes128Gcm => Box::new(AesHeaderKey(Aes128::new((&*sized::<16>(key)).into()))),
            Suite::ChaCha20Poly1305 => Box::new(ChaChaHeaderKey(sized(key))),
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

    fn fast_aes(&self) -> bool {
        // Elsewhere the `aes` crate computes AES in software unless asked at build time.
        cfg!(any(target_arch = "x86", target_arch = "x86_64")) && has_aes_instructions()
    }

    fn tls(&self) -> CryptoProvider {
        let mut suites = vec![TLS_AES_128_GCM, TLS_CHACHA20_POLY1305];
        if !self.fast_aes() {
            suites.reverse();
        }
        lent_randomness_provider(suites)
    }
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

struct SoftPacketKey<A> {
    aead: A,
    iv: [u8; 12],
}

impl<A> PacketKey for SoftPacketKey<A>
where
    A: AeadInPlace<NonceSize = aes_gcm::aead::consts::U12, TagSize = aes_gcm::aead::consts::U16>
        + Send
        + Sync,
{
    fn seal(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<(), AeadError> {
        let (plain, room) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        let nonce = nonce(&self.iv, pn).into();
        let tag = self.aead.encrypt_in_place_detached(&nonce, aad, plain).map_err(|_| AeadError)?;
        *room = tag.into();
        Ok(())
    }

    fn open(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<usize, AeadError> {
        let (sealed, tag) = buf.split_last_chunk_mut::<TAG_LEN>().ok_or(AeadError)?;
        let nonce = nonce(&self.iv, pn).into();
        let tag = (*tag).into();
        self.aead.decrypt_in_place_detached(&nonce, aad, sealed, &tag).map_err(|_| AeadError)?;
        Ok(sealed.len())
    }
}

/// RFC 9001 §5.4.3.
struct AesHeaderKey(Aes128);

impl HeaderKey for AesHeaderKey {
    fn mask(&self, sample: &[u8; 16]) -> [u8; 5] {
        let mut block = (*sample).into();
        self.0.encrypt_block(&mut block);
        [block[0], block[1], block[2], block[3], block[4]]
    }
}

/// RFC 9001 §5.4.4.
struct ChaChaHeaderKey(Zeroizing<[u8; 32]>);

impl HeaderKey for ChaChaHeaderKey {
    fn mask(&self, sample: &[u8; 16]) -> [u8; 5] {
        let [c0, c1, c2, c3, nonce @ ..] = *sample;
        let mut core = ChaChaCore::<U10>::new((&*self.0).into(), &nonce.into());
        core.set_block_pos(u32::from_le_bytes([c0, c1, c2, c3]));
        // The core, not the cipher: that one refuses the last counter, which a peer can choose.
        let mut block = Default::default();
        core.write_keystream_block(&mut block);
        [block[0], block[1], block[2], block[3], block[4]]
    }
}

const TLS_AES_128_GCM: SupportedCipherSuite = SupportedCipherSuite::Tls13(&Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_AES_128_GCM_SHA256,
        hash_provider: &TlsSha256,
        // RFC 8446 §5.5.
        confidentiality_limit: 1 << 24,
    },
    hkdf_provider: &HkdfUsingHmac(&TlsHmacSha256),
    aead_alg: &TlsAead(Suite::Aes128Gcm),
    quic: None,
});

const TLS_CHACHA20_POLY1305: SupportedCipherSuite =
    SupportedCipherSuite::Tls13(&Tls13CipherSuite {
        common: CipherSuiteCommon {
            suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
            hash_provider: &TlsSha256,
            confidentiality_limit: u64::MAX,
        },
        hkdf_provider: &HkdfUsingHmac(&TlsHmacSha256),
        aead_alg: &TlsAead(Suite::ChaCha20Poly1305),
        quic: None,
    });

struct TlsSha256;

impl hash::Hash for TlsSha256 {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(TlsSha256Context(Sha256::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&Sha256::digest(data))
    }

    fn output_len(&self) -> usize {
        32
    }

    fn algorithm(&self) -> hash::HashAlgorithm {
        hash::HashAlgorithm::SHA256
    }
}

struct TlsSha256Context(Sha256);

impl hash::Context for TlsSha256Context {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(TlsSha256Context(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

struct TlsHmacSha256;

impl tls_hmac::Hmac for TlsHmacSha256 {
    fn with_key(&self, key: &[u8]) -> Box<dyn tls_hmac::Key> {
        Box::new(TlsHmacKey(keyed_hmac(key)))
    }

    fn hash_output_len(&self) -> usize {
        32
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

struct TlsAead(Suite);

impl TlsAead {
    fn record_key(&self, key: &AeadKey, iv: &Iv) -> Box<RecordKey> {
        let iv = sized::<12>(iv.as_ref());
        Box::new(RecordKey(RustCrypto.packet_key(self.0, key.as_ref(), &iv)))
    }
}

impl Tls13AeadAlgorithm for TlsAead {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        self.record_key(&key, &iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.record_key(&key, &iv)
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// Protects TLS 1.3 records (RFC 8446 §5.2).
struct RecordKey(Box<dyn PacketKey>);

impl MessageEncrypter for RecordKey {
    fn encrypt(
        &mut self,
        msg: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let total_len = self.encrypted_payload_len(msg.payload.len());
        let mut payload = PrefixedPayload::with_capacity(total_len);
        payload.extend_from_chunks(&msg.payload);
        payload.extend_from_slice(&[u8::from(msg.typ)]);
        payload.extend_from_slice(&[0; TAG_LEN]);
        self.0
            .seal(seq, &make_tls13_aad(total_len), payload.as_mut())
            .map_err(|_| Error::EncryptError)?;
        let typ = ContentType::ApplicationData;
        Ok(OutboundOpaqueMessage::new(typ, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, payload_len: usize) -> usize {
        payload_len + 1 + TAG_LEN
    }
}

impl MessageDecrypter for RecordKey {
    fn decrypt<'a>(
        &mut self,
        mut msg: InboundOpaqueMessage<'a>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let aad = make_tls13_aad(msg.payload.len());
        let len = self.0.open(seq, &aad, &mut msg.payload).map_err(|_| Error::DecryptError)?;
        msg.payload.truncate(len);
        msg.into_tls13_unpadded_message()
    }
}
