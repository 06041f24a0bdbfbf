//! The statement by which an owner lets a device be found for a while, or no more; and what a
//! device keeps so that it works once.
//!
//! ```cddl
//! cloak = [device: bstr .size 32, epoch: uint .size 4, number: uint, issued: uint, for: 0..86400]
//! ```
//!
//! Owns the decision whether a statement is taken. Does not own what a device does then (`node`).
//! `for` is in seconds, 0: cloaked at once. Invariant: in one ownership the numbers of those taken
//! rise, so that a statement that was seen, kept back or replayed opens nothing twice. The stored
//! form, which has the epoch in it, is
//!
//! ```text
//! "RITc", version u8 = 1, epoch 4, number 8, checksum 8
//! ```

use alloc::vec::Vec;

use super::cbor::{CborError, Reader, Writer};
use super::cose::{Kind, Signed, StatementError, sign};
use super::state::{TrustState, TrustStateError};
use super::stored::{self, CHECKSUM_LEN};
use super::wall_time::WallTime;
use crate::base::PublicKey;
use crate::crypto::{Provider, SignError, Signer};
use thiserror::Error;

/// The longest statement, in bytes, that a device looks at.
pub const CLOAK_LEN_MAX: usize = 256;
/// The longest time for which one lets a device be found, in seconds: a day.
pub const CLOAK_FOR_MAX_S: u32 = 86_400;
/// A statement may be from so many seconds ahead: clocks differ.
pub const CLOAK_AHEAD_MAX_S: u64 = 300;
/// Bytes of the stored form.
pub const CLOAK_STATE_LEN: usize = 4 + 1 + 4 + 8 + CHECKSUM_LEN;

const MAGIC: [u8; 4] = *b"RITc";
const VERSION: u8 = 1;

/// Why a device did not do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloakError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not a statement of that kind, or not signed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A key has a wrong length.
    #[error("the statement has a key of a wrong length")]
    Length,
    /// For longer than [`CLOAK_FOR_MAX_S`].
    #[error("that is too long: a day at most")]
    TooLong,
    /// Nobody owns the device.
    #[error("the device has no owner who could let it be found")]
    Unclaimed,
    /// Not the owner's.
    #[error("the statement is not the owner's")]
    NotOwner,
    /// For another device.
    #[error("the statement is for another device")]
    Device,
    /// Of another ownership of this device.
    #[error("the statement is of another ownership of the device")]
    Epoch,
    /// The device took it, or a later one.
    #[error("the device has taken this statement, or a later one")]
    Older,
    /// Its time is over.
    #[error("the statement's time is over")]
    Over,
    /// It is from the future.
    #[error("the statement is from a later time")]
    Ahead,
}

/// Why no statement was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CloakSignError {
    /// The signer gave no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// For longer than [`CLOAK_FOR_MAX_S`].
    #[error("that is too long: a day at most")]
    TooLong,
}

/// A statement as it came. Nobody has checked the signature yet.
pub struct CloakStatement<'a> {
    signed: Signed<'a>,
    /// The device that it is for.
    pub device: PublicKey,
    /// The ownership that it is of.
    pub epoch: u32,
    /// Higher in each of one ownership, from 1 on.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub issued_s: u64,
    /// For so long the device may be found; 0: no more.
    pub for_s: u32,
}

impl<'a> CloakStatement<'a> {
    /// The statement that all of `bytes` is.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CloakError> {
        let signed = Signed::decode(bytes, Kind::Cloak, CLOAK_LEN_MAX)?;
        let mut r = Reader::new(signed.payload);
        r.array_of(5)?;
        let device = r.sized()?.map(PublicKey).ok_or(CloakError::Length)?;
        let epoch = u32::try_from(r.uint()?).map_err(|_| CloakError::Epoch)?;
        let (number, issued_s, for_s) = (r.uint()?, r.uint()?, r.uint()?);
        r.end()?;
        let for_s = u32::try_from(for_s).ok().filter(|for_s| *for_s <= CLOAK_FOR_MAX_S);
        let for_s = for_s.ok_or(CloakError::TooLong)?;
        Ok(CloakStatement { signed, device, epoch, number, issued_s, for_s })
    }

    /// When its time is over, in seconds since 1970.
    pub fn ends_s(&self) -> u64 {
        self.issued_s.saturating_add(self.for_s.into())
    }

    /// Whether it is good at this time. What closes is good at any: it takes nothing from anybody.
    fn check_time(&self, seen_s: u64, time: WallTime) -> Result<(), CloakError> {
        if self.for_s == 0 {
            return Ok(());
        }
        let latest_s = time.unix_s.map_or(seen_s, |unix_s| unix_s.max(seen_s));
        if latest_s >= self.ends_s() {
            return Err(CloakError::Over);
        }
        let is_ahead =
            |unix_s: u64| self.issued_s > unix_s.max(seen_s).saturating_add(CLOAK_AHEAD_MAX_S);
        if time.unix_s.is_some_and(is_ahead) {
            return Err(CloakError::Ahead);
        }
        Ok(())
    }
}

/// Makes the statement; `signer` is the owner's.
pub fn sign_cloak(
    device: &PublicKey,
    epoch: u32,
    number: u64,
    issued_s: u64,
    for_s: u32,
    signer: &dyn Signer,
) -> Result<Vec<u8>, CloakSignError> {
    if for_s > CLOAK_FOR_MAX_S {
        return Err(CloakSignError::TooLong);
    }
    let mut w = Writer::default();
    w.array(5).bytes(&device.0).uint(epoch.into()).uint(number).uint(issued_s).uint(for_s.into());
    Ok(sign(Kind::Cloak, &w.out, signer)?)
}

/// The last statement that a device took. Whoever changes it stores it before acting on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CloakState {
    epoch: u32,
    number: u64,
}

impl CloakState {
    /// That of a device which took none.
    pub fn new() -> Self {
        CloakState::default()
    }

    /// That of a device which cannot tell any more: it takes none in this ownership.
    pub fn lost(epoch: u32) -> Self {
        CloakState { epoch, number: u64::MAX }
    }

    /// Looks whether a statement is to be taken: it, and what is true once that is stored.
    pub fn take<'a>(
        &self,
        p: &dyn Provider,
        state: &TrustState,
        device: &PublicKey,
        statement: &'a [u8],
        time: WallTime,
    ) -> Result<(CloakStatement<'a>, CloakState), CloakError> {
        let owner = state.owner().ok_or(CloakError::Unclaimed)?;
        let statement = CloakStatement::decode(statement)?;
        if statement.signed.name(p) != *owner {
            return Err(CloakError::NotOwner);
        }
        statement.signed.verify()?;
        if statement.device != *device {
            return Err(CloakError::Device);
        }
        let (epoch, number) = (statement.epoch, statement.number);
        if epoch != state.epoch() {
            return Err(CloakError::Epoch);
        }
        // Those of another ownership are no good any more, so their numbers do not count.
        let last = if self.epoch == epoch { self.number } else { 0 };
        if number <= last {
            return Err(CloakError::Older);
        }
        statement.check_time(state.seen_s(), time)?;
        Ok((statement, CloakState { epoch, number }))
    }

    /// The bytes to store.
    pub fn encode(&self, p: &dyn Provider) -> Vec<u8> {
        let mut out = Vec::with_capacity(CLOAK_STATE_LEN);
        out.extend_from_slice(&MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&self.number.to_be_bytes());
        stored::close(p, out)
    }

    /// Reads what [`CloakState::encode`] made.
    pub fn decode(p: &dyn Provider, stored: &[u8]) -> Result<Self, TrustStateError> {
        let mut r = stored::open(p, stored, MAGIC, VERSION)?;
        let (epoch, number) = (r.u32()?, r.u64()?);
        if !r.is_empty() {
            return Err(TrustStateError::Length);
        }
        Ok(CloakState { epoch, number })
    }
}

#[cfg(all(test, feature = "p256", any(feature = "ring", feature = "rustcrypto")))]
mod tests;
