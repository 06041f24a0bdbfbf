//! The statement by which an owner makes somebody else the owner.
//!
//! ```cddl
//! transfer = [device: bstr .size 32, epoch: uint .size 4, new-owner: bstr .size 32]
//! ```
//!
//! It is of the epoch that it ends, so it works once.

use alloc::vec::Vec;

use super::cbor::{CborError, Reader, Writer};
use super::cose::{Kind, Signed, StatementError, sign};
use super::state::OwnerError;
use crate::base::PublicKey;
use crate::crypto::{SignError, Signer};
use thiserror::Error;

/// The longest statement, in bytes, that a device looks at.
pub const TRANSFER_LEN_MAX: usize = 256;

/// Why a device did not go over to another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TransferError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not a statement of that kind, or not signed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// A key has a wrong length.
    #[error("the transfer has a key of a wrong length")]
    Length,
    /// Nobody owns the device.
    #[error("the device has no owner who could pass it on")]
    Unclaimed,
    /// Not the owner's.
    #[error("the transfer is not the owner's")]
    NotOwner,
    /// For another device.
    #[error("the transfer is for another device")]
    Device,
    /// Of another ownership of this device: it was used, or is not its turn.
    #[error("the transfer is of another ownership of the device")]
    Epoch,
    /// The device cannot have another owner.
    #[error(transparent)]
    Owner(#[from] OwnerError),
}

/// A transfer as it came. Nobody has checked the signature yet.
pub struct Transfer<'a> {
    pub(super) signed: Signed<'a>,
    /// The device that it is for.
    pub device: PublicKey,
    /// The ownership that it ends.
    pub epoch: u32,
    /// Who owns the device from then on.
    pub new_owner: PublicKey,
}

impl<'a> Transfer<'a> {
    /// The transfer that all of `bytes` is.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, TransferError> {
        let signed = Signed::decode(bytes, Kind::Transfer, TRANSFER_LEN_MAX)?;
        let mut r = Reader::new(signed.payload);
        r.array_of(3)?;
        let device = r.sized()?.map(PublicKey).ok_or(TransferError::Length)?;
        let epoch = u32::try_from(r.uint()?).map_err(|_| TransferError::Epoch)?;
        let new_owner = r.sized()?.map(PublicKey).ok_or(TransferError::Length)?;
        r.end()?;
        Ok(Transfer { signed, device, epoch, new_owner })
    }
}

/// Makes the statement; `signer` is the owner's.
pub fn sign_transfer(
    device: &PublicKey,
    epoch: u32,
    new_owner: &PublicKey,
    signer: &dyn Signer,
) -> Result<Vec<u8>, SignError> {
    let mut w = Writer::default();
    w.array(3).bytes(&device.0).uint(epoch.into()).bytes(&new_owner.0);
    sign(Kind::Transfer, &w.out, signer)
}
