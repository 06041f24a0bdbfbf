//! The list by which an owner takes grants back: signed, numbered, always whole.
//!
//! ```cddl
//! revoked = [device: bstr .size 32, epoch: uint .size 4, number: uint, issued: uint,
//!            floor: uint, ids: [0*64 bstr .size 16], keys: [0*16 bstr .size 32]]
//! ```
//!
//! Ids and keys stand in ascending order of bytes. `floor` refuses every grant that was issued
//! before it: so an owner whose list is full makes the grants anew that are still wanted, raises
//! the floor, and begins with an empty list. `issued` tells a device that it is at least so late.

use alloc::vec::Vec;

use super::cbor::{CborError, Reader, Writer};
use super::cose::{Kind, Signed, StatementError, sign};
use super::grant::GrantId;
use crate::base::PublicKey;
use crate::crypto::{SignError, Signer};
use thiserror::Error;

/// The longest list, in bytes, that a device looks at.
pub const REVOCATION_LEN_MAX: usize = 2048;
/// Grants in a list.
pub const REVOKED_IDS_MAX: usize = 64;
/// Keys in a list.
pub const REVOKED_KEYS_MAX: usize = 16;

/// Why a list was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RevocationError {
    /// It is not the CBOR that belongs there.
    #[error(transparent)]
    Cbor(#[from] CborError),
    /// It is not a statement of that kind, or not signed.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// An entry has a wrong length.
    #[error("the revocation list has an entry of a wrong length")]
    Length,
    /// An entry stands twice, or behind a greater one.
    #[error("the revocation list has its entries out of order")]
    Order,
    /// There are more entries than a device must take.
    #[error("the revocation list has too many entries")]
    TooMany,
    /// There is no memory for it.
    #[error("there is no memory for the revocation list")]
    NoMemory,
    /// Nobody owns the device.
    #[error("the device has no owner whose list it could take")]
    Unclaimed,
    /// Not the owner's.
    #[error("the revocation list is not the owner's")]
    NotOwner,
    /// For another device.
    #[error("the revocation list is for another device")]
    Device,
    /// Of another ownership of this device.
    #[error("the revocation list is of another ownership of the device")]
    Epoch,
    /// The device has a newer one.
    #[error("the device has a newer revocation list")]
    Older,
}

/// What an owner has taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Higher in each list of one ownership; 0: there was none yet.
    pub number: u64,
    /// Grants that were issued before this second are no longer good.
    pub floor_s: u64,
    /// Grants, in order.
    pub ids: Vec<GrantId>,
    /// Keys that nothing is granted to any more, nor through them, in order.
    pub keys: Vec<PublicKey>,
}

impl Revocations {
    /// The list that says so, for one device and its ownership of this epoch. Entries may be in any
    /// order; none may stand twice.
    pub fn sign(
        &self,
        device: &PublicKey,
        epoch: u32,
        issued_s: u64,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, RevocationSignError> {
        let (mut ids, mut keys) = (self.ids.clone(), self.keys.clone());
        ids.sort_unstable();
        keys.sort_unstable();
        let mut w = Writer::default();
        w.array(7).bytes(&device.0).uint(epoch.into()).uint(self.number).uint(issued_s);
        w.uint(self.floor_s).array(ids.len());
        for id in &ids {
            w.bytes(&id.0);
        }
        w.array(keys.len());
        for key in &keys {
            w.bytes(&key.0);
        }
        let list = sign(Kind::Revoked, &w.out, signer)?;
        RevocationList::decode(&list)?;
        Ok(list)
    }
}

/// Why no list was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RevocationSignError {
    /// The signer gave no signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// That is no list that a device would take.
    #[error(transparent)]
    List(#[from] RevocationError),
}

/// A list as it came. Nobody has checked the signature yet.
pub struct RevocationList<'a> {
    pub(super) signed: Signed<'a>,
    /// The device that it is for.
    pub device: PublicKey,
    /// The ownership that it is of.
    pub epoch: u32,
    /// When it was made, in seconds since 1970.
    pub issued_s: u64,
    /// What it says.
    pub revocations: Revocations,
}

impl<'a> RevocationList<'a> {
    /// The list that all of `bytes` is.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RevocationError> {
        let signed = Signed::decode(bytes, Kind::Revoked, REVOCATION_LEN_MAX)?;
        let mut r = Reader::new(signed.payload);
        r.array_of(7)?;
        let device = PublicKey(r.sized()?.ok_or(RevocationError::Length)?);
        let epoch = u32::try_from(r.uint()?).map_err(|_| RevocationError::Epoch)?;
        let (number, issued_s, floor_s) = (r.uint()?, r.uint()?, r.uint()?);
        let ids = entries(&mut r, REVOKED_IDS_MAX, GrantId)?;
        let keys = entries(&mut r, REVOKED_KEYS_MAX, PublicKey)?;
        r.end()?;
        let revocations = Revocations { number, floor_s, ids, keys };
        Ok(RevocationList { signed, device, epoch, issued_s, revocations })
    }
}

/// A list of entries in order.
fn entries<T: Ord, const N: usize>(
    r: &mut Reader<'_>,
    max: usize,
    wrap: fn([u8; N]) -> T,
) -> Result<Vec<T>, RevocationError> {
    let count = r.array()?;
    let count = usize::try_from(count).ok().filter(|count| *count <= max);
    let count = count.ok_or(RevocationError::TooMany)?;
    let mut entries = Vec::new();
    entries.try_reserve_exact(count).map_err(|_| RevocationError::NoMemory)?;
    for _ in 0..count {
        let entry = wrap(r.sized()?.ok_or(RevocationError::Length)?);
        if entries.last().is_some_and(|last| *last >= entry) {
            return Err(RevocationError::Order);
        }
        entries.push(entry);
    }
    Ok(entries)
}
