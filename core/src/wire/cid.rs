//! Connection IDs (RFC 9000 §5.1): up to 20 bytes, ours always 8.

use core::fmt;

/// Length of the connection IDs this library issues.
pub const LOCAL_CID_LEN: usize = 8;
/// Longest connection ID accepted (RFC 9000 §17.2).
pub const MAX_CID_LEN: usize = 20;

/// A connection ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    bytes: [u8; MAX_CID_LEN],
    len: u8,
}

impl Cid {
    /// From its bytes; `None` if there are more than [`MAX_CID_LEN`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut cid = Cid { bytes: [0; MAX_CID_LEN], len: bytes.len() as u8 };
        cid.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(cid)
    }

    /// One of ours.
    pub fn local(bytes: [u8; LOCAL_CID_LEN]) -> Self {
        let mut cid = Cid { bytes: [0; MAX_CID_LEN], len: LOCAL_CID_LEN as u8 };
        cid.bytes[..LOCAL_CID_LEN].copy_from_slice(&bytes);
        cid
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether it is the empty ID.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}
