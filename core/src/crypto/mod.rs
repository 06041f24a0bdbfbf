//! What the protocol needs of a crypto library, behind one trait, with a provider each for ring
//! (hosted targets), RustCrypto (everywhere), and what an integrator brings along.
//!
//! Owns: packet protection keys (RFC 9001 §5), the key schedule, software signing keys, and what
//! rustls is told to compute with. Does not own: the TLS handshake, packet formats, when keys are
//! updated.
//! Invariants: no entropy but what [`lend()`] hands over; secrets are zeroized and never printed;
//! all providers give the same bytes.

#[cfg(any(feature = "ring", feature = "rustcrypto"))]
mod chacha_mask;
mod known_answers;
mod lend;
mod raw_key;
mod schedule;
mod sign;
#[cfg(all(feature = "rustcrypto", not(feature = "aes")))]
#[path = "no_soft_aes.rs"]
mod soft_aes;
#[cfg(feature = "aes")]
mod soft_aes;
mod tls;
#[cfg(feature = "rustcrypto")]
mod tls_suites;
#[cfg(feature = "ring")]
mod with_ring;
#[cfg(feature = "rustcrypto")]
mod with_rustcrypto;
#[cfg(feature = "own-crypto")]
pub(crate) mod with_table;

#[cfg(all(test, feature = "ring", feature = "own-crypto"))]
mod tests;

pub use known_answers::{Primitive, is_right};
pub use lend::lend;
pub use raw_key::{P256_POINT_LEN, RawKey, verify_schemes};
#[cfg(feature = "attest")]
pub(crate) use schedule::session_binding;
pub use schedule::{
    DirectionKeys, broker_contact, contact_secrets, expand_label, extract, next_secret, packet_key,
    session_secrets,
};
pub use sign::{Ed25519Signer, Signer, verify};
pub use tls::lent_randomness_provider;
#[cfg(feature = "own-crypto")]
pub use with_table::{Entry, MAX_PARTS, Table, WithTable};

use alloc::boxed::Box;
use subtle::ConstantTimeEq;
use thiserror::Error;
#[cfg(any(feature = "ring", feature = "rustcrypto"))]
use zeroize::Zeroizing;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes an authenticated packet is longer than its plaintext.
pub const TAG_LEN: usize = 16;

/// The AEAD of a connection. Its hash is SHA-256 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// AES-128-GCM: fast where the processor has AES instructions.
    Aes128Gcm,
    /// ChaCha20-Poly1305: fast everywhere else.
    ChaCha20Poly1305,
}

impl Suite {
    /// What seals contact packets, before anything is agreed on: the one that every device has.
    pub const CONTACT: Suite = Suite::ChaCha20Poly1305;

    /// Length of the AEAD's key, and of the header protection key, in bytes.
    pub fn key_len(self) -> usize {
        match self {
            Suite::Aes128Gcm => 16,
            Suite::ChaCha20Poly1305 => 32,
        }
    }
}

/// 32 bytes nobody else may learn. Zeroized on drop, never printed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes over; the caller zeroizes its own copy.
    pub fn new(bytes: [u8; 32]) -> Self {
        Secret(bytes)
    }

    /// The bytes themselves.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Why a packet was not sealed or opened. Says no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AeadError {
    /// It does not authenticate, or a buffer has no room for the tag.
    #[error("packet protection failed")]
    Unauthentic,
    /// The integrator's crypto failed: nothing is known of the packet.
    #[error(transparent)]
    Failed(#[from] CryptoFailed),
}

/// The integrator's crypto did not do what it was asked to: an accelerator is busy, say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the integrator's crypto failed")]
pub struct CryptoFailed;

/// The signing key gave no signature: a secure element is busy, locked or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signing key gave no signature")]
pub struct SignError;

/// Seals and opens packets: the nonce is the IV XOR the packet number (RFC 9001 §5.3).
pub trait PacketKey: Send + Sync {
    /// Seals in place. `buf` is the plaintext, then [`TAG_LEN`] bytes of room for the tag.
    fn seal(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<(), AeadError>;

    /// Opens in place and returns the plaintext's length. On failure `buf` holds nothing of use.
    fn open(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<usize, AeadError>;
}

/// Makes header protection masks (RFC 9001 §5.4).
pub trait HeaderKey: Send + Sync {
    /// The mask for a sample of ciphertext.
    fn mask(&self, sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed>;
}

/// What a crypto library has to do for us.
pub trait Provider: Send + Sync + 'static {
    /// A packet key. `key` has [`Suite::key_len`] bytes.
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey>;

    /// A header protection key. `key` has [`Suite::key_len`] bytes.
    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey>;

    /// SHA-256 of the concatenated parts.
    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32];

    /// HMAC-SHA-256 (RFC 2104) of the concatenated parts.
    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32];

    /// X25519 (RFC 7748 §5). x25519-dalek's with every provider of this crate, because ring takes
    /// no private key from outside, and the node's generator is the only source there is.
    fn x25519(&self, scalar: &[u8; 32], point: &[u8; 32]) -> Result<[u8; 32], CryptoFailed> {
        Ok(x25519_dalek::x25519(*scalar, *point))
    }

    /// X25519 with the base point: the public key of a private one.
    fn x25519_base(&self, scalar: &[u8; 32]) -> Result<[u8; 32], CryptoFailed> {
        let secret = x25519_dalek::StaticSecret::from(*scalar);
        Ok(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }

    /// HMAC-SHA-256 for TLS, with a key that serves many times.
    #[cfg(feature = "rustcrypto")]
    fn tls_hmac(&self, key: &[u8]) -> Box<dyn rustls::crypto::hmac::Key> {
        with_rustcrypto::tls_hmac(key)
    }

    /// Whether the integrator's crypto has failed since the last time this was asked. What had to
    /// have a result nevertheless, as a hash has, was computed here.
    fn take_failure(&self) -> bool {
        false
    }

    /// Whether there is AES-128-GCM at all: a build may leave it out.
    fn has_aes(&self) -> bool {
        true
    }

    /// Whether AES-GCM runs on instructions made for it; where not, ChaCha20-Poly1305 is preferred.
    fn fast_aes(&self) -> bool;

    /// What rustls computes with: TLS 1.3 suites in order of preference, X25519 and randomness from
    /// what [`lend()`] lends. Signatures are not its business: [`verify`] and [`Signer`] are.
    fn tls(&self) -> rustls::crypto::CryptoProvider;
}

/// The provider on top of ring.
#[cfg(feature = "ring")]
pub fn ring() -> &'static dyn Provider {
    &with_ring::Ring
}

/// The provider on top of the RustCrypto crates.
#[cfg(feature = "rustcrypto")]
pub fn rustcrypto() -> &'static dyn Provider {
    &with_rustcrypto::RustCrypto
}

/// ring where it is built in, RustCrypto else.
#[cfg(any(feature = "ring", feature = "rustcrypto"))]
pub fn default_provider() -> &'static dyn Provider {
    #[cfg(feature = "ring")]
    return ring();
    #[cfg(not(feature = "ring"))]
    return rustcrypto();
}

/// Compares without telling by its duration where the first difference is. Lengths are public.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// The nonce of packet `pn` (RFC 9001 §5.3).
#[cfg(any(feature = "ring", feature = "rustcrypto"))]
fn nonce(iv: &[u8; 12], pn: u64) -> [u8; 12] {
    let mut nonce = *iv;
    for (byte, pn) in nonce[4..].iter_mut().zip(pn.to_be_bytes()) {
        *byte ^= pn;
    }
    nonce
}

/// `key` as an array. A wrong length is a mistake in this crate, never input: it is caught in
/// debug builds, and in release builds gives a key that the peer does not have.
#[cfg(any(feature = "ring", feature = "rustcrypto"))]
fn sized<const N: usize>(key: &[u8]) -> Zeroizing<[u8; N]> {
    debug_assert_eq!(key.len(), N);
    let mut out = Zeroizing::new([0; N]);
    for (to, from) in out.iter_mut().zip(key) {
        *to = *from;
    }
    out
}

/// Whether this processor has AES instructions.
#[cfg(any(feature = "ring", feature = "rustcrypto"))]
#[allow(clippy::needless_return)]
fn has_aes_instructions() -> bool {
    #[cfg(all(feature = "std", any(target_arch = "x86", target_arch = "x86_64")))]
    return std::is_x86_feature_detected!("aes") && std::is_x86_feature_detected!("pclmulqdq");
    #[cfg(all(feature = "std", target_arch = "aarch64"))]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[cfg(not(all(
        feature = "std",
        any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")
    )))]
    return cfg!(target_feature = "aes");
}
