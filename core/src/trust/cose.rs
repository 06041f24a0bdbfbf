//! Statements that a key has signed: COSE_Sign1 (RFC 9052 §4.2), of one shape only.
//!
//! ```cddl
//! statement = #6.18([protected: bstr .cbor header, unprotected: {}, payload: bstr,
//!                    signature: bstr .size 64])
//! header    = {1: -8, 4: bstr .size 32, 16: kind}        ; EdDSA by an Ed25519 key
//!           / {1: -7, 4: bstr .size 65, 16: kind}        ; ES256 by an uncompressed point
//! kind      = "rit-grant" / "rit-revoked" / "rit-transfer" / "rit-claim" / "rit-time"
//!           / "rit-cloak"
//! ```
//!
//! The key ID is the key, so that whoever knows a name can check who signed. The type (RFC 9596)
//! keeps a statement of one kind from passing for one of another. Invariants: each statement has
//! one encoding, and for each text that was signed there is one signature that a holder of nothing
//! but that signature can show: Ed25519 is checked strictly, and S of ES256 is the lower one.

use alloc::vec::Vec;

use super::cbor::{CborError, Keys, Reader, Writer};
use crate::base::PublicKey;
use crate::crypto::{P256_POINT_LEN, Provider, RawKey, SignError, Signer, verify_schemes};
use thiserror::Error;

const TAG_SIGN1: u64 = 18;
const ALG: u64 = 1;
const CRIT: u64 = 2;
const KID: u64 = 4;
const TYP: u64 = 16;
const EDDSA: i8 = -8;
const ES256: i8 = -7;
const SIGNATURE_LEN: usize = 64;

/// Half the order of P-256, rounded down: the largest S that is taken.
const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xde, 0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Grant,
    Revoked,
    Transfer,
    Claim,
    Time,
    Cloak,
}

impl Kind {
    fn text(self) -> &'static [u8] {
        match self {
            Kind::Grant => b"rit-grant",
            Kind::Revoked => b"rit-revoked",
            Kind::Transfer => b"rit-transfer",
            Kind::Claim => b"rit-claim",
            Kind::Time => b"rit-time",
            Kind::Cloak => b"rit-cloak",
        }
    }
}

/// Why bytes are not a statement of the kind that belongs there, signed by the key they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StatementError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is longer than its kind may be.
    #[error("a signed statement is too long")]
    TooLong,
    /// It has the tag of something else.
    #[error("it is no COSE_Sign1")]
    NotSign1,
    /// Neither EdDSA nor ES256, or one that this build cannot check.
    #[error("a statement is signed by an algorithm that is not supported")]
    Algorithm,
    /// The key ID is missing, or is no key of the algorithm.
    #[error("a statement names no key of its algorithm")]
    Key,
    /// A grant where a list belongs, or the like.
    #[error("a statement is of another kind than belongs there")]
    Kind,
    /// The header says that something must be understood.
    #[error("a statement has a critical header")]
    Critical,
    /// The header has something that nobody here knows.
    #[error("a statement has an unknown header")]
    Header,
    /// There is a header that is not signed.
    #[error("a statement has a header that is not signed")]
    Unprotected,
    /// S of ES256 is the higher of the two that would do.
    #[error("a signature of ECDSA has a high S")]
    HighS,
    /// The signature is not the key's.
    #[error("a signature is wrong")]
    Signature,
    /// There is no memory to check it.
    #[error("there is no memory to check a signature")]
    NoMemory,
}

/// A statement in the bytes that it came in. Nobody has checked the signature yet.
#[derive(Clone)]
pub(super) struct Signed<'a> {
    pub(super) key: RawKey,
    pub(super) payload: &'a [u8],
    protected: &'a [u8],
    signature: [u8; SIGNATURE_LEN],
}

impl<'a> Signed<'a> {
    /// The statement that all of `bytes` is.
    pub(super) fn decode(bytes: &'a [u8], kind: Kind, max: usize) -> Result<Self, StatementError> {
        if bytes.len() > max {
            return Err(StatementError::TooLong);
        }
        let mut r = Reader::new(bytes);
        let signed = Self::read(&mut r, kind)?;
        r.end()?;
        Ok(signed)
    }

    /// The next statement.
    pub(super) fn read(r: &mut Reader<'a>, kind: Kind) -> Result<Self, StatementError> {
        if r.tag()? != TAG_SIGN1 {
            return Err(StatementError::NotSign1);
        }
        r.array_of(4)?;
        let protected = r.bytes()?;
        let key = read_header(protected, kind)?;
        if r.map()? != 0 {
            return Err(StatementError::Unprotected);
        }
        let payload = r.bytes()?;
        let signature = r.sized()?.ok_or(StatementError::Signature)?;
        Ok(Signed { key, payload, protected, signature })
    }

    /// Whose statement it is.
    pub(super) fn name(&self, p: &dyn Provider) -> PublicKey {
        self.key.name(p)
    }

    /// Checks the signature.
    pub(super) fn verify(&self) -> Result<(), StatementError> {
        if !verify_schemes().contains(&self.key.scheme()) {
            return Err(StatementError::Algorithm);
        }
        if is_p256(&self.key) && self.signature[32..] > P256_HALF_ORDER[..] {
            return Err(StatementError::HighS);
        }
        let message = to_be_signed(self.protected, self.payload)?;
        let signature = self.key.tls_signature(&self.signature);
        if self.key.verify(&message, self.key.scheme(), &signature) {
            Ok(())
        } else {
            Err(StatementError::Signature)
        }
    }
}

/// Makes a statement.
pub(super) fn sign(kind: Kind, payload: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, SignError> {
    let key = signer.raw_key();
    let (alg, kid) = match &key {
        RawKey::Ed25519(key) => (EDDSA, &key[..]),
        RawKey::P256(point) => (ES256, &point[..]),
    };
    let mut header = Writer::default();
    header.map(3).uint(ALG).small_int(alg).uint(KID).bytes(kid).uint(TYP).text(kind.text());
    let message = to_be_signed(&header.out, payload).map_err(|_no_memory| SignError)?;
    let mut signature = signer.sign(&message)?;
    if is_p256(&key) {
        lower_s(&mut signature);
    }
    let mut out = Writer::default();
    out.tag(TAG_SIGN1).array(4).bytes(&header.out).map(0).bytes(payload).bytes(&signature);
    Ok(out.out)
}

fn read_header(header: &[u8], kind: Kind) -> Result<RawKey, StatementError> {
    let mut r = Reader::new(header);
    let (mut alg, mut kid, mut typ) = (None, None, None);
    let pairs = r.map()?;
    let mut keys = Keys::default();
    for _ in 0..pairs {
        match keys.next(&mut r)? {
            Some(ALG) => alg = r.small_int()?,
            Some(CRIT) => return Err(StatementError::Critical),
            Some(KID) => kid = Some(r.bytes()?),
            Some(TYP) => typ = Some(r.text()?),
            _ => return Err(StatementError::Header),
        }
    }
    r.end()?;
    let kid = kid.ok_or(StatementError::Key);
    let key = match alg {
        Some(EDDSA) => RawKey::Ed25519(kid?.try_into().map_err(|_| StatementError::Key)?),
        Some(ES256) => RawKey::P256(point(kid?).ok_or(StatementError::Key)?),
        _ => return Err(StatementError::Algorithm),
    };
    if typ != Some(kind.text()) {
        return Err(StatementError::Kind);
    }
    Ok(key)
}

/// An uncompressed point, as far as its length and its first byte tell.
fn point(bytes: &[u8]) -> Option<[u8; P256_POINT_LEN]> {
    const UNCOMPRESSED: u8 = 4;
    bytes.try_into().ok().filter(|point: &[u8; P256_POINT_LEN]| point[0] == UNCOMPRESSED)
}

fn is_p256(key: &RawKey) -> bool {
    matches!(key, RawKey::P256(_))
}

/// The Sig_structure (RFC 9052 §4.4), with no external data.
fn to_be_signed(protected: &[u8], payload: &[u8]) -> Result<Vec<u8>, StatementError> {
    const OVERHEAD: usize = 24;
    let mut w = Writer::default();
    let len = protected.len() + payload.len() + OVERHEAD;
    w.out.try_reserve_exact(len).map_err(|_| StatementError::NoMemory)?;
    w.array(4).text(b"Signature1").bytes(protected).bytes(&[]).bytes(payload);
    Ok(w.out)
}

/// Of S and the order less S, both of which are right, the lower one. Secure elements give either.
fn lower_s(signature: &mut [u8; SIGNATURE_LEN]) {
    const P256_ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63,
        0x25, 0x51,
    ];
    let s = &mut signature[32..];
    if *s <= P256_HALF_ORDER[..] {
        return;
    }
    let mut borrow = 0;
    for (byte, order) in s.iter_mut().zip(P256_ORDER).rev() {
        let difference = i16::from(order) - i16::from(*byte) - borrow;
        *byte = difference as u8;
        borrow = i16::from(difference < 0);
    }
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
