//! How an unclaimed device gets its owner: who knows the claim secret, and proves it.
//!
//! ```text
//! device → owner   nonce, 16 bytes
//! owner → device   claim, signed by the owner's key
//! device → owner   claimed
//! ```
//! ```cddl
//! claim   = [device: bstr .size 32, nonce: bstr .size 16, proof: bstr .size 32]
//! claimed = [epoch: uint .size 4, proof: bstr .size 32]
//! ```
//!
//! Owns both ends' parts of it, on whatever way the three messages go. A proof is an HMAC under a
//! key that follows from the secret, over both keys and the nonce: it is good for this device, this
//! owner and this time. The device proves that it knows the secret too, or whoever stands in
//! between could hand out another device. Whoever sees proofs could try secrets against them, which
//! 120 random bits do not allow.

use alloc::vec::Vec;

use super::cbor::{CborError, Reader, Writer};
use super::claim_secret::ClaimSecret;
use super::cose::{Kind, Signed, StatementError, sign};
use super::state::{OwnerError, TrustState};
use crate::base::{PublicKey, Rng};
use crate::crypto::{Provider, SignError, Signer, constant_time_eq};
use thiserror::Error;

/// Length of what a device asks with.
pub const CLAIM_NONCE_LEN: usize = 16;
/// The longest claim, in bytes, that a device looks at.
pub const CLAIM_LEN_MAX: usize = 256;
/// Wrong proofs that a device takes before it takes no more.
pub const CLAIM_FAILURES_MAX: u8 = 10;

const PROOF_LEN: usize = 32;

/// Why a claim came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ClaimError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not a statement of that kind, or not signed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// An entry has a wrong length.
    #[error("the claim has an entry of a wrong length")]
    Length,
    /// The device cannot have another owner.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// For another device.
    #[error("the claim is for another device")]
    Device,
    /// The device did not ask, or asked with another nonce.
    #[error("the claim answers no question of the device")]
    Nonce,
    /// Whoever made it does not know the secret.
    #[error("the claim secret is wrong")]
    Proof,
    /// Too many were wrong; only a local call or a restart lets go on.
    #[error("the claim secret was wrong too often")]
    Locked,
    /// The epoch is not a number of four bytes.
    #[error("the epoch in the answer is out of its limits")]
    Epoch,
}

/// A device's part. Each nonce is good for one try; tries that fail are counted.
#[derive(Default)]
pub struct Claiming {
    nonce: Option<[u8; CLAIM_NONCE_LEN]>,
    failures: u8,
}

impl Claiming {
    /// Nobody has tried yet.
    pub fn new() -> Self {
        Claiming::default()
    }

    /// Lets go on after too many failures: for a local call, which shows that somebody is there.
    pub fn unlock(&mut self) {
        self.failures = 0;
    }

    /// What to ask the claimant with. Ends an earlier question.
    pub fn ask(
        &mut self,
        state: &TrustState,
        rng: &mut Rng,
    ) -> Result<[u8; CLAIM_NONCE_LEN], ClaimError> {
        self.check(state)?;
        let nonce = rng.array();
        self.nonce = Some(nonce);
        Ok(nonce)
    }

    /// Takes a claim by any of these secrets, and the claimant for the owner. Gives the answer, to
    /// be sent once the state is stored.
    pub fn accept<'a>(
        &mut self,
        p: &dyn Provider,
        state: &mut TrustState,
        device: &PublicKey,
        secrets: impl IntoIterator<Item = &'a ClaimSecret>,
        claim: &[u8],
    ) -> Result<Vec<u8>, ClaimError> {
        self.check(state)?;
        let claim = Claim::decode(claim)?;
        if claim.device != *device {
            return Err(ClaimError::Device);
        }
        let nonce = self.nonce.ok_or(ClaimError::Nonce)?;
        if !constant_time_eq(&claim.nonce, &nonce) {
            return Err(ClaimError::Nonce);
        }
        self.nonce = None;
        let proof = Proof { p, device, owner: &claim.signed.name(p), nonce: &nonce };
        let is_right =
            |secret: &&ClaimSecret| constant_time_eq(&proof.of_owner(secret), &claim.proof);
        let Some(secret) = secrets.into_iter().find(is_right) else {
            self.failures += 1;
            return Err(ClaimError::Proof);
        };
        claim.signed.verify()?;
        let epoch = state.accept_owner(*proof.owner)?;
        let mut w = Writer::default();
        w.array(2).uint(epoch.into()).bytes(&proof.of_device(secret, epoch));
        Ok(w.out)
    }

    fn check(&self, state: &TrustState) -> Result<(), ClaimError> {
        if state.owner().is_some() {
            return Err(OwnerError::Claimed.into());
        }
        if self.failures >= CLAIM_FAILURES_MAX { Err(ClaimError::Locked) } else { Ok(()) }
    }
}

/// Makes a claim; `signer` is of the owner to be.
pub fn sign_claim(
    p: &dyn Provider,
    device: &PublicKey,
    nonce: &[u8; CLAIM_NONCE_LEN],
    secret: &ClaimSecret,
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    let proof = Proof { p, device, owner: &signer.public_key(), nonce };
    let mut w = Writer::default();
    w.array(3).bytes(&device.0).bytes(nonce).bytes(&proof.of_owner(secret));
    sign(Kind::Claim, &w.out, signer)
}

/// Checks a device's answer to a claim with this nonce; gives the epoch to put into grants.
pub fn verify_claimed(
    p: &dyn Provider,
    device: &PublicKey,
    owner: &PublicKey,
    nonce: &[u8; CLAIM_NONCE_LEN],
    secret: &ClaimSecret,
    answer: &[u8],
) -> Result<u32, ClaimError> {
    let mut r = Reader::new(answer);
    r.array_of(2)?;
    let epoch = u32::try_from(r.uint()?).map_err(|_| ClaimError::Epoch)?;
    let proof: [u8; PROOF_LEN] = r.sized()?.ok_or(ClaimError::Length)?;
    r.end()?;
    let right = Proof { p, device, owner, nonce }.of_device(secret, epoch);
    if constant_time_eq(&right, &proof) { Ok(epoch) } else { Err(ClaimError::Proof) }
}

/// What a proof binds together.
struct Proof<'a> {
    p: &'a dyn Provider,
    device: &'a PublicKey,
    owner: &'a PublicKey,
    nonce: &'a [u8; CLAIM_NONCE_LEN],
}

impl Proof<'_> {
    fn of_owner(&self, secret: &ClaimSecret) -> [u8; PROOF_LEN] {
        self.of(secret, b"owner", &[])
    }

    fn of_device(&self, secret: &ClaimSecret, epoch: u32) -> [u8; PROOF_LEN] {
        self.of(secret, b"device", &epoch.to_be_bytes())
    }

    fn of(&self, secret: &ClaimSecret, side: &[u8], epoch: &[u8]) -> [u8; PROOF_LEN] {
        let key = secret.key(self.p);
        let parts = [side, &self.device.0, &self.owner.0, self.nonce, epoch];
        self.p.hmac_sha256(key.as_bytes(), &parts)
    }
}

/// A claim as it came. Nobody has checked anything yet but its form.
pub struct Claim<'a> {
    signed: Signed<'a>,
    /// The device that it is for.
    pub device: PublicKey,
    /// What the device asked with.
    pub nonce: [u8; CLAIM_NONCE_LEN],
    proof: [u8; PROOF_LEN],
}

impl<'a> Claim<'a> {
    /// The claim that all of `bytes` is.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ClaimError> {
        let signed = Signed::decode(bytes, Kind::Claim, CLAIM_LEN_MAX)?;
        let mut r = Reader::new(signed.payload);
        r.array_of(3)?;
        let device = r.sized()?.map(PublicKey).ok_or(ClaimError::Length)?;
        let nonce = r.sized()?.ok_or(ClaimError::Length)?;
        let proof = r.sized()?.ok_or(ClaimError::Length)?;
        r.end()?;
        Ok(Claim { signed, device, nonce, proof })
    }

    /// Who wants to be the owner.
    pub fn owner(&self, provider: &dyn Provider) -> PublicKey {
        self.signed.name(provider)
    }
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
