//! Why a node did not do what a note asked for, as a number of one byte on the wire.

use super::claim::ClaimError;
use super::cloak::CloakError;
use super::revocation::RevocationError;
use super::state::OwnerError;
use super::transfer::TransferError;
use thiserror::Error;

/// Why a note was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoteError {
    /// It is not what belongs there (1).
    #[error("the other end did not understand it")]
    Malformed,
    /// The node obeys no owner (2).
    #[error("the other end obeys no owner")]
    NoOwners,
    /// It has none (3).
    #[error("the device has no owner")]
    Unclaimed,
    /// It has one already (4).
    #[error("the device has an owner already")]
    Claimed,
    /// The owner did not sign it (5).
    #[error("it is not signed by the device's owner")]
    NotOwner,
    /// It is for another device (6).
    #[error("it is for another device")]
    Device,
    /// It is of another ownership of the device (7).
    #[error("it is of another ownership of the device")]
    Epoch,
    /// The device has a newer one (8).
    #[error("the device has a newer one")]
    Older,
    /// The device did not ask, or asked with something else (9).
    #[error("it answers no question of the device")]
    Nonce,
    /// The claim secret is wrong (10).
    #[error("the claim secret is wrong")]
    Proof,
    /// It was wrong too often (11).
    #[error("the claim secret was wrong too often")]
    Locked,
    /// Another change is not stored yet; again later (12).
    #[error("the device is busy with another change")]
    Busy,
    /// The device could not store it (13).
    #[error("the device could not store it")]
    Store,
    /// The device has no claim secret and shows no code (14).
    #[error("the device is not to be claimed now")]
    Closed,
    /// Its time is over by the device's clock, or has not come (15).
    #[error("its time is over by the device's clock, or has not come")]
    Time,
    /// A reason of a later version.
    #[error("the other end refused with number {0}")]
    Other(u8),
}

impl NoteError {
    /// The number on the wire, never 0.
    pub fn code(self) -> u8 {
        match self {
            NoteError::Malformed => 1,
            NoteError::NoOwners => 2,
            NoteError::Unclaimed => 3,
            NoteError::Claimed => 4,
            NoteError::NotOwner => 5,
            NoteError::Device => 6,
            NoteError::Epoch => 7,
            NoteError::Older => 8,
            NoteError::Nonce => 9,
            NoteError::Proof => 10,
            NoteError::Locked => 11,
            NoteError::Busy => 12,
            NoteError::Store => 13,
            NoteError::Closed => 14,
            NoteError::Time => 15,
            NoteError::Other(code) => code,
        }
    }

    /// What the body of a note of kind "done" says.
    pub fn of_body(body: &[u8]) -> Result<(), NoteError> {
        Err(match body {
            [0] => return Ok(()),
            [2] => NoteError::NoOwners,
            [3] => NoteError::Unclaimed,
            [4] => NoteError::Claimed,
            [5] => NoteError::NotOwner,
            [6] => NoteError::Device,
            [7] => NoteError::Epoch,
            [8] => NoteError::Older,
            [9] => NoteError::Nonce,
            [10] => NoteError::Proof,
            [11] => NoteError::Locked,
            [12] => NoteError::Busy,
            [13] => NoteError::Store,
            [14] => NoteError::Closed,
            [15] => NoteError::Time,
            [code] if *code > 15 => NoteError::Other(*code),
            _ => NoteError::Malformed,
        })
    }
}

impl From<OwnerError> for NoteError {
    fn from(_: OwnerError) -> Self {
        NoteError::Claimed
    }
}

impl From<ClaimError> for NoteError {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Owner(error) => error.into(),
            ClaimError::Device => NoteError::Device,
            ClaimError::Nonce => NoteError::Nonce,
            ClaimError::Proof => NoteError::Proof,
            ClaimError::Locked => NoteError::Locked,
            ClaimError::Cbor(_)
            | ClaimError::Statement(_)
            | ClaimError::Length
            | ClaimError::Epoch => NoteError::Malformed,
        }
    }
}

impl From<RevocationError> for NoteError {
    fn from(error: RevocationError) -> Self {
        match error {
            RevocationError::Unclaimed => NoteError::Unclaimed,
            RevocationError::NotOwner => NoteError::NotOwner,
            RevocationError::Device => NoteError::Device,
            RevocationError::Epoch => NoteError::Epoch,
            RevocationError::Older => NoteError::Older,
            RevocationError::NoMemory => NoteError::Busy,
            RevocationError::Cbor(_)
            | RevocationError::Statement(_)
            | RevocationError::Length
            | RevocationError::Order
            | RevocationError::TooMany => NoteError::Malformed,
        }
    }
}

impl From<TransferError> for NoteError {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Unclaimed => NoteError::Unclaimed,
            TransferError::NotOwner => NoteError::NotOwner,
            TransferError::Device => NoteError::Device,
            TransferError::Epoch => NoteError::Epoch,
            TransferError::Owner(error) => error.into(),
            TransferError::Cbor(_) | TransferError::Statement(_) | TransferError::Length => {
                NoteError::Malformed
            }
        }
    }
}

impl From<CloakError> for NoteError {
    fn from(error: CloakError) -> Self {
        match error {
            CloakError::Unclaimed => NoteError::Unclaimed,
            CloakError::NotOwner => NoteError::NotOwner,
            CloakError::Device => NoteError::Device,
            CloakError::Epoch => NoteError::Epoch,
            CloakError::Older => NoteError::Older,
            CloakError::Over | CloakError::Ahead => NoteError::Time,
            CloakError::Cbor(_)
            | CloakError::Statement(_)
            | CloakError::Length
            | CloakError::TooLong => NoteError::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        assert_eq!(NoteError::of_body(&[0]), Ok(()));
        for code in 1..=u8::MAX {
            assert_eq!(NoteError::of_body(&[code]).map_err(NoteError::code), Err(code));
        }
        assert_eq!(NoteError::of_body(&[]), Err(NoteError::Malformed));
        assert_eq!(NoteError::of_body(&[0, 0]), Err(NoteError::Malformed));
    }
}
