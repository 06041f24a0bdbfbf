//! In place of `soft_aes` where AES is left out: it is never offered, so that no such key is used.

use super::{AeadError, CryptoFailed, HeaderKey, PacketKey};
use alloc::boxed::Box;

pub(super) const IS_THERE: bool = false;

pub(super) fn packet_key(_key: &[u8], _iv: &[u8; 12]) -> Box<dyn PacketKey> {
    Box::new(NoKey)
}

pub(super) fn header_key(_key: &[u8]) -> Box<dyn HeaderKey> {
    Box::new(NoKey)
}

struct NoKey;

impl PacketKey for NoKey {
    fn seal(&self, _pn: u64, _aad: &[u8], _buf: &mut [u8]) -> Result<(), AeadError> {
        Err(CryptoFailed.into())
    }

    fn open(&self, _pn: u64, _aad: &[u8], _buf: &mut [u8]) -> Result<usize, AeadError> {
        Err(CryptoFailed.into())
    }
}

impl HeaderKey for NoKey {
    fn mask(&self, _sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed> {
        Err(CryptoFailed)
    }
}
