//! What a device knows of its owner, and keeps: who it is, since when, and what was taken back.
//!
//! Owns the stored form, and every change of ownership. Each ownership has a number, the epoch; it
//! counts up when an owner is accepted and is in everything that an owner signs, so that nothing
//! signed for an earlier ownership is good in a later one, be the owner the same. Invariant: the
//! epoch never goes down, not by a factory reset either.
//!
//! ```text
//! "RITt", version u8 = 1, has-owner u8, owner 32, epoch 4, seen 8, number 8, floor 8,
//! ids u8, 16 each, keys u8, 32 each, checksum 8
//! ```
//!
//! `seen` is the latest time that an owner's list has told. The checksum is the beginning of
//! SHA-256 over all before it: it finds damage, and is no protection against writing.

use alloc::vec::Vec;

use super::grant::GrantId;
use super::revocation::{
    REVOKED_IDS_MAX, REVOKED_KEYS_MAX, RevocationError, RevocationList, Revocations,
};
use super::stored::{self, CHECKSUM_LEN};
use super::transfer::{Transfer, TransferError};
use crate::base::PublicKey;
use crate::crypto::Provider;
use crate::wire::codec::{Reader, Truncated};
use thiserror::Error;

const MAGIC: [u8; 4] = *b"RITt";
const VERSION: u8 = 1;
const NOBODY: [u8; 32] = [0; 32];
const FIXED_LEN: usize = 4 + 1 + 1 + 32 + 4 + 8 + 8 + 8 + 1 + 1 + CHECKSUM_LEN;

/// The most bytes that a stored state has.
pub const TRUST_STATE_LEN_MAX: usize = FIXED_LEN + 16 * REVOKED_IDS_MAX + 32 * REVOKED_KEYS_MAX;

/// Why stored bytes are not a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrustStateError {
    /// Cut short, or something was added.
    #[error("the stored trust state has a wrong length")]
    Length,
    /// It is something else.
    #[error("what is stored is not a trust state")]
    Magic,
    /// A later version wrote it.
    #[error("the stored trust state has version {0}, which this program does not know")]
    Version(u8),
    /// Some bits of it changed.
    #[error("the stored trust state is damaged")]
    Checksum,
    /// It says what no state says.
    #[error("the stored trust state has a value out of its limits")]
    Value,
}

impl From<Truncated> for TrustStateError {
    fn from(_: Truncated) -> Self {
        TrustStateError::Length
    }
}

/// Why an owner was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OwnerError {
    /// The device has one.
    #[error("the device has an owner already")]
    Claimed,
    /// It had 4 294 967 295.
    #[error("the device had all the owners that it can count")]
    Epoch,
}

/// What a device knows of its owner. Whoever changes it stores it before acting on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustState {
    owner: Option<PublicKey>,
    epoch: u32,
    seen_s: u64,
    revoked: Revocations,
}

impl TrustState {
    /// That of a device which never had an owner.
    pub fn new() -> Self {
        TrustState::default()
    }

    /// That of a device with this owner: for those who check a device's grants in its place.
    pub fn owned(owner: PublicKey, epoch: u32) -> Self {
        TrustState { owner: Some(owner), epoch, ..TrustState::default() }
    }

    /// Whose device it is; `None`: it is unclaimed.
    pub fn owner(&self) -> Option<&PublicKey> {
        self.owner.as_ref()
    }

    /// The number of this ownership, or of the last one.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// What the owner has taken back.
    pub fn revoked(&self) -> &Revocations {
        &self.revoked
    }

    /// It is at least so late, in seconds since 1970.
    pub fn seen_s(&self) -> u64 {
        self.seen_s
    }

    /// Accepts an owner of an unclaimed device, whom the caller has reason to; gives the epoch.
    pub fn accept_owner(&mut self, owner: PublicKey) -> Result<u32, OwnerError> {
        if self.owner.is_some() {
            return Err(OwnerError::Claimed);
        }
        self.set_owner(owner)
    }

    /// Makes the device unclaimed. For a local call alone, which shows that somebody is there.
    pub fn factory_reset(&mut self) {
        *self = TrustState { epoch: self.epoch, ..TrustState::default() };
    }

    /// Takes the owner's list. `false`: it is the one that the device has.
    pub fn revoke(
        &mut self,
        p: &dyn Provider,
        device: &PublicKey,
        list: &[u8],
    ) -> Result<bool, RevocationError> {
        let owner = self.owner.ok_or(RevocationError::Unclaimed)?;
        let list = RevocationList::decode(list)?;
        if list.signed.name(p) != owner {
            return Err(RevocationError::NotOwner);
        }
        list.signed.verify()?;
        if list.device != *device {
            return Err(RevocationError::Device);
        }
        if list.epoch != self.epoch {
            return Err(RevocationError::Epoch);
        }
        if list.revocations.number < self.revoked.number {
            return Err(RevocationError::Older);
        }
        let is_new = list.revocations.number > self.revoked.number;
        if is_new {
            self.revoked = list.revocations;
            self.seen_s = self.seen_s.max(list.issued_s);
        }
        Ok(is_new)
    }

    /// Goes over to the owner whom the owner's statement names; gives the epoch.
    pub fn transfer(
        &mut self,
        p: &dyn Provider,
        device: &PublicKey,
        statement: &[u8],
    ) -> Result<u32, TransferError> {
        let owner = self.owner.ok_or(TransferError::Unclaimed)?;
        let transfer = Transfer::decode(statement)?;
        if transfer.signed.name(p) != owner {
            return Err(TransferError::NotOwner);
        }
        transfer.signed.verify()?;
        if transfer.device != *device {
            return Err(TransferError::Device);
        }
        if transfer.epoch != self.epoch {
            return Err(TransferError::Epoch);
        }
        Ok(self.set_owner(transfer.new_owner)?)
    }

    fn set_owner(&mut self, owner: PublicKey) -> Result<u32, OwnerError> {
        let epoch = self.epoch.checked_add(1).ok_or(OwnerError::Epoch)?;
        *self = TrustState::owned(owner, epoch);
        Ok(epoch)
    }

    /// The bytes to store.
    pub fn encode(&self, p: &dyn Provider) -> Vec<u8> {
        let Revocations { number, floor_s, ids, keys } = &self.revoked;
        let mut out = Vec::with_capacity(FIXED_LEN + 16 * ids.len() + 32 * keys.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, self.owner.is_some().into()]);
        out.extend_from_slice(&self.owner.map_or(NOBODY, |owner| owner.0));
        out.extend_from_slice(&self.epoch.to_be_bytes());
        for number in [self.seen_s, *number, *floor_s] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        // Both lists come from `revoke` or `decode`, which bound them.
        out.push(ids.len() as u8);
        ids.iter().for_each(|id| out.extend_from_slice(&id.0));
        out.push(keys.len() as u8);
        keys.iter().for_each(|key| out.extend_from_slice(&key.0));
        stored::close(p, out)
    }

    /// Reads what [`TrustState::encode`] made.
    pub fn decode(p: &dyn Provider, stored: &[u8]) -> Result<Self, TrustStateError> {
        let mut r = stored::open(p, stored, MAGIC, VERSION)?;
        let owner = match (r.u8()?, r.array()?) {
            (0, NOBODY) => None,
            (1, owner) => Some(PublicKey(owner)),
            _ => return Err(TrustStateError::Value),
        };
        let (epoch, seen_s, number, floor_s) = (r.u32()?, r.u64()?, r.u64()?, r.u64()?);
        let ids = entries(&mut r, REVOKED_IDS_MAX, GrantId)?;
        let keys = entries(&mut r, REVOKED_KEYS_MAX, PublicKey)?;
        if !r.is_empty() {
            return Err(TrustStateError::Length);
        }
        let revoked = Revocations { number, floor_s, ids, keys };
        Ok(TrustState { owner, epoch, seen_s, revoked })
    }
}

fn entries<T: Ord, const N: usize>(
    r: &mut Reader<'_>,
    max: usize,
    wrap: fn([u8; N]) -> T,
) -> Result<Vec<T>, TrustStateError> {
    let count = usize::from(r.u8()?);
    if count > max {
        return Err(TrustStateError::Value);
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = wrap(r.array()?);
        // The search of a list rests on its order.
        if entries.last().is_some_and(|last| *last >= entry) {
            return Err(TrustStateError::Value);
        }
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
