//! A node's public key as TLS shows it: a raw key (RFC 7250) of one of two kinds, and the name that
//! follows from it.
//!
//! Owns the encodings of both kinds, names, and verification. A SubjectPublicKeyInfo of ours is a
//! fixed prefix and the key, so nothing is parsed. Does not own whom a name is trusted as.
//! Invariants: a signature is verified by the scheme of the key's own kind alone; a name is either
//! an Ed25519 key or a hash, and nobody knows a key of one kind for a name of the other.

use super::{Provider, verify};
use crate::base::PublicKey;
use alloc::vec;
use alloc::vec::Vec;
use rustls::SignatureScheme;

/// A SubjectPublicKeyInfo of an Ed25519 key (RFC 8410 §4) is these bytes and the key's 32.
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// One of a key on P-256 (RFC 5480 §2) is these and the uncompressed point.
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Bytes of an uncompressed point (SEC 1 §2.3.3): 4, then x and y.
pub const P256_POINT_LEN: usize = 65;
const UNCOMPRESSED: u8 = 4;

/// What a P-256 key's name is a hash of, before the point.
const P256_NAME: &[u8] = b"rit/1 p256";

/// A public key, of either kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawKey {
    /// It is its own name.
    Ed25519([u8; 32]),
    /// For secure elements that have nothing else; an uncompressed point.
    P256([u8; P256_POINT_LEN]),
}

impl RawKey {
    /// The key of a SubjectPublicKeyInfo. `None`: of neither kind, or not in its one encoding.
    pub fn from_spki(spki: &[u8]) -> Option<RawKey> {
        if let Some(key) = spki.strip_prefix(&ED25519_SPKI_PREFIX) {
            return Some(RawKey::Ed25519(key.try_into().ok()?));
        }
        let point = spki.strip_prefix(&P256_SPKI_PREFIX)?;
        let point: [u8; P256_POINT_LEN] = point.try_into().ok()?;
        (point[0] == UNCOMPRESSED).then_some(RawKey::P256(point))
    }

    /// The key as SubjectPublicKeyInfo.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            RawKey::Ed25519(key) => [&ED25519_SPKI_PREFIX[..], key].concat(),
            RawKey::P256(point) => [&P256_SPKI_PREFIX[..], point].concat(),
        }
    }

    /// What the node is called.
    pub fn name(&self, provider: &dyn Provider) -> PublicKey {
        match self {
            RawKey::Ed25519(key) => PublicKey(*key),
            RawKey::P256(point) => PublicKey(provider.sha256(&[P256_NAME, point])),
        }
    }

    /// The one scheme that it signs by.
    pub fn scheme(&self) -> SignatureScheme {
        match self {
            RawKey::Ed25519(_) => SignatureScheme::ED25519,
            RawKey::P256(_) => SignatureScheme::ECDSA_NISTP256_SHA256,
        }
    }

    /// Whether `signature`, in the form that TLS gives it, is the key's for `message`.
    pub fn verify(&self, message: &[u8], scheme: SignatureScheme, signature: &[u8]) -> bool {
        if scheme != self.scheme() {
            return false;
        }
        match self {
            RawKey::Ed25519(key) => signature
                .try_into()
                .is_ok_and(|signature| verify(&PublicKey(*key), message, signature)),
            RawKey::P256(point) => verify_p256(point, message, signature),
        }
    }

    /// A signature of this key, 64 bytes, in the form that TLS gives it (RFC 8446 §4.2.3).
    pub fn tls_signature(&self, signature: &[u8; 64]) -> Vec<u8> {
        match self {
            RawKey::Ed25519(_) => signature.to_vec(),
            RawKey::P256(_) => ecdsa_sig_value(signature),
        }
    }
}

/// The schemes that can be verified here, the better one first.
pub fn verify_schemes() -> Vec<SignatureScheme> {
    if cfg!(any(feature = "ring", feature = "p256")) {
        vec![SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256]
    } else {
        vec![SignatureScheme::ED25519]
    }
}

#[cfg(feature = "ring")]
fn verify_p256(point: &[u8; P256_POINT_LEN], message: &[u8], signature: &[u8]) -> bool {
    use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature).is_ok()
}

#[cfg(all(feature = "p256", not(feature = "ring")))]
use verify_p256_soft as verify_p256;

#[cfg(not(any(feature = "ring", feature = "p256")))]
fn verify_p256(_: &[u8; P256_POINT_LEN], _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(all(feature = "p256", any(test, not(feature = "ring"))))]
fn verify_p256_soft(point: &[u8; P256_POINT_LEN], message: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::signature::Verifier;
    use p256::ecdsa::{DerSignature, VerifyingKey};
    let Ok(key) = VerifyingKey::from_sec1_bytes(point) else { return false };
    DerSignature::from_bytes(signature)
        .is_ok_and(|signature| key.verify(message, &signature).is_ok())
}

/// ECDSA-Sig-Value (RFC 3279 §2.2.3) of r ‖ s, in DER.
fn ecdsa_sig_value(signature: &[u8; 64]) -> Vec<u8> {
    const SEQUENCE: u8 = 0x30;
    let (r, s) = signature.split_at(32);
    let mut out = vec![SEQUENCE, 0];
    for number in [r, s] {
        der_integer(number, &mut out);
    }
    // At most 2 × 35, so one byte says it.
    let len = out.len() - 2;
    if let Some(place) = out.get_mut(1) {
        *place = len as u8;
    }
    out
}

/// A positive INTEGER of at most 32 bytes: no byte more than it takes, the first bit clear.
fn der_integer(number: &[u8], out: &mut Vec<u8>) {
    const INTEGER: u8 = 0x02;
    let zeros = number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1);
    let number = number.get(zeros..).unwrap_or_default();
    let is_high = number.first().is_some_and(|byte| byte & 0x80 != 0);
    out.extend([INTEGER, number.len() as u8 + u8::from(is_high)]);
    out.extend(is_high.then_some(0));
    out.extend(number);
}

#[cfg(all(test, feature = "ring", feature = "p256"))]
mod tests;
