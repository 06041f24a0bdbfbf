//! Keys of both kinds for the tests of this module, and grants by them.

use alloc::vec::Vec;

use super::{GrantId, Rights, Services, Terms, append_grant};
use crate::base::PublicKey;
use crate::crypto::{Ed25519Signer, RawKey, SignError, Signer, default_provider};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

/// A key on P-256, which gives high and low S alike.
pub(super) struct P256Signer(SigningKey);

impl Signer for P256Signer {
    fn public_key(&self) -> PublicKey {
        self.raw_key().name(default_provider())
    }

    fn raw_key(&self) -> RawKey {
        let point = self.0.verifying_key().to_encoded_point(false);
        RawKey::P256(point.as_bytes().try_into().unwrap())
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let signature: Signature = self.0.sign(message);
        Ok(signature.to_bytes().into())
    }
}

pub(super) fn p256(n: u8) -> P256Signer {
    P256Signer(SigningKey::from_slice(&[n; 32]).unwrap())
}

pub(super) fn ed25519(n: u8) -> Ed25519Signer {
    Ed25519Signer::from_seed(&[n; 32])
}

/// Number `n` of a row of keys that has both kinds.
pub(super) fn key(n: u8) -> &'static dyn Signer {
    let signer: alloc::boxed::Box<dyn Signer> = match n % 3 {
        0 => alloc::boxed::Box::new(p256(n + 1)),
        _ => alloc::boxed::Box::new(ed25519(n + 1)),
    };
    alloc::boxed::Box::leak(signer)
}

pub(super) fn name(n: u8) -> PublicKey {
    key(n).public_key()
}

pub(super) const DEVICE: PublicKey = PublicKey([0xdd; 32]);
pub(super) const EPOCH: u32 = 3;
pub(super) const NOW_S: u64 = 1_800_000_000;

/// All of the device for key `subject`, to be passed on, without limit in time.
pub(super) fn terms(subject: u8) -> Terms<'static> {
    Terms {
        device: DEVICE,
        subject: name(subject),
        id: GrantId([subject; 16]),
        issued_s: NOW_S,
        not_before_s: None,
        expires_s: None,
        epoch: EPOCH,
        rights: Rights::ALL,
        depth: 3,
        must_be_fresh: false,
        services: Services::ALL,
    }
}

/// The chain of the grants of these terms, by these keys.
pub(super) fn chain(links: &[(u8, Terms<'_>)]) -> Vec<u8> {
    links.iter().fold(Vec::new(), |chain, (issuer, terms)| {
        append_grant(&chain, &terms.sign(key(*issuer)).unwrap()).unwrap()
    })
}
