//! The glue that lets rustls compute with a [`Provider`] of ours: two suites, record protection,
//! SHA-256 and HMAC.
//!
//! The record AEADs are the lent provider's packet keys: a TLS 1.3 record nonce (RFC 8446 §5.3) is
//! made as a packet's is. The transcript's hash is software always: it goes on from call to call
//! and is forked on the way, which no accelerator can be asked for.

use super::with_rustcrypto::RustCrypto;
use super::{PacketKey, Provider, Suite, TAG_LEN, lend, sized};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{CipherSuiteCommon, hash, hmac};
use rustls::{
    CipherSuite, ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};
use sha2::{Digest, Sha256};

/// The suites of `provider`, which computes them while it is lent.
pub(super) fn suites(provider: &dyn Provider) -> Vec<SupportedCipherSuite> {
    match (provider.has_aes(), provider.fast_aes()) {
        (false, _) => vec![TLS_CHACHA20_POLY1305],
        (true, false) => vec![TLS_CHACHA20_POLY1305, TLS_AES_128_GCM],
        (true, true) => vec![TLS_AES_128_GCM, TLS_CHACHA20_POLY1305],
    }
}

/// rustls asks for keys only while one is lent; if it ever did else, software is right too.
fn lent() -> &'static dyn Provider {
    lend::provider().unwrap_or(&RustCrypto)
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

impl hmac::Hmac for TlsHmacSha256 {
    fn with_key(&self, key: &[u8]) -> Box<dyn hmac::Key> {
        lent().tls_hmac(key)
    }

    fn hash_output_len(&self) -> usize {
        32
    }
}

struct TlsAead(Suite);

impl TlsAead {
    fn record_key(&self, key: &AeadKey, iv: &Iv) -> Box<RecordKey> {
        let iv = sized::<12>(iv.as_ref());
        Box::new(RecordKey(lent().packet_key(self.0, key.as_ref(), &iv)))
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
        if self.0.seal(seq, &make_tls13_aad(total_len), payload.as_mut()).is_err() {
            // rustls panics at an error here. The handshake learns of it by the provider's
            // `take_failure`, and throws away what it was about to send.
            payload.as_mut().fill(0);
        }
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
