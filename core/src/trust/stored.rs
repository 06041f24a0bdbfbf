//! The frame of what a device stores about its owner: what it is, a version, and behind the values
//! a checksum, which finds damage and no more.
//!
//! ```text
//! magic 4, version u8, values, checksum 8: the beginning of SHA-256 over all before it
//! ```

use alloc::vec::Vec;

use super::state::TrustStateError;
use crate::crypto::Provider;
use crate::wire::codec::Reader;

/// Bytes of the checksum.
pub(super) const CHECKSUM_LEN: usize = 8;

/// Puts the checksum behind all that is there.
pub(super) fn close(p: &dyn Provider, mut out: Vec<u8>) -> Vec<u8> {
    let hash = p.sha256(&[&out]);
    out.extend_from_slice(&hash[..CHECKSUM_LEN]);
    out
}

/// The values of what is stored.
pub(super) fn open<'a>(
    p: &dyn Provider,
    stored: &'a [u8],
    magic: [u8; 4],
    version: u8,
) -> Result<Reader<'a>, TrustStateError> {
    let (body, checksum) =
        stored.split_last_chunk::<CHECKSUM_LEN>().ok_or(TrustStateError::Length)?;
    let mut r = Reader::new(body);
    if r.array()? != magic {
        return Err(TrustStateError::Magic);
    }
    let found = r.u8()?;
    if found != version {
        return Err(TrustStateError::Version(found));
    }
    if p.sha256(&[body])[..CHECKSUM_LEN] != *checksum {
        return Err(TrustStateError::Checksum);
    }
    Ok(r)
}
