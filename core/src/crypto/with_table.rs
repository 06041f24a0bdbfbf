//! The provider on top of what an integrator brings along: accelerators, a secure element, another
//! crypto library. What is not there is computed by this crate, entry by entry.
//!
//! Owns the way from the protocol's needs to such a table: nonces, HMAC out of SHA-256, header
//! masks out of block ciphers. Does not own signatures: see [`Signer`](super::Signer).
//! Invariants: a failed entry is remembered until [`Provider::take_failure`]; what must have a
//! result nevertheless is computed here, so that no key is ever made of nothing.

use super::{
    AeadError, CryptoFailed, HeaderKey, PacketKey, Provider, Suite, TAG_LEN, default_provider,
    lent_randomness_provider, nonce, sized, tls_suites,
};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use rustls::crypto::{CryptoProvider, hmac as tls_hmac};
use zeroize::Zeroizing;

/// Parts that [`Table::sha256`] is given at most.
pub const MAX_PARTS: usize = 16;
/// Bytes of SHA-256's input block.
const BLOCK_LEN: usize = 64;

/// What a table may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// [`Table::seal`] of this suite.
    Seal(Suite),
    /// [`Table::open`] of this suite.
    Open(Suite),
    /// [`Table::aes_block`] or [`Table::chacha_block`].
    Block(Suite),
    /// [`Table::sha256`].
    Sha256,
    /// [`Table::x25519`].
    X25519,
}

/// Crypto that somebody else computes. Entries that it does not [have](Self::has) are not called.
pub trait Table: Send + Sync {
    /// Whether it has this entry; the same each time.
    fn has(&self, entry: Entry) -> bool;

    /// Whether AES is fast here: it is preferred then.
    fn fast_aes(&self) -> bool;

    /// Seals in place. `buf` is the plaintext, then [`TAG_LEN`] bytes of room for the tag.
    fn seal(
        &self,
        suite: Suite,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<(), CryptoFailed>;

    /// Opens in place. `buf` is the ciphertext, then the tag.
    fn open(
        &self,
        suite: Suite,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<(), AeadError>;

    /// AES-128 of one block.
    fn aes_block(&self, key: &[u8; 16], block: &[u8; 16]) -> Result<[u8; 16], CryptoFailed>;

    /// One block of ChaCha20's key stream (RFC 8439 §2.3).
    fn chacha_block(
        &self,
        key: &[u8; 32],
        counter: u32,
        nonce: &[u8; 12],
    ) -> Result<[u8; 64], CryptoFailed>;

    /// SHA-256 of the concatenated parts, at most [`MAX_PARTS`].
    fn sha256(&self, parts: &[&[u8]]) -> Result<[u8; 32], CryptoFailed>;

    /// X25519 (RFC 7748 §5); the scalar is not clamped yet.
    fn x25519(&self, scalar: &[u8; 32], point: &[u8; 32]) -> Result<[u8; 32], CryptoFailed>;
}

/// The provider. Keys that it makes may outlive it, but are of no use to anybody then.
pub struct WithTable(Arc<Shared>);

struct Shared {
    table: Box<dyn Table>,
    has_failed: AtomicBool,
}

impl Shared {
    /// The table, if it has the entry.
    fn with(&self, entry: Entry) -> Option<&dyn Table> {
        self.table.has(entry).then_some(&*self.table)
    }

    /// Remembers a failure.
    fn note<T, E>(&self, result: Result<T, E>, is_failure: impl Fn(&E) -> bool) -> Result<T, E> {
        if result.as_ref().is_err_and(is_failure) {
            self.has_failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn failed<T>(&self, result: Result<T, CryptoFailed>) -> Result<T, CryptoFailed> {
        self.note(result, |_| true)
    }

    /// `None`: to be computed here.
    fn sha256(&self, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let table = self.with(Entry::Sha256).filter(|_| parts.len() <= MAX_PARTS)?;
        self.failed(table.sha256(parts)).ok()
    }

    /// RFC 2104; `first` and `last` go around the parts. `None`: to be computed here.
    fn hmac_sha256(&self, key: &[u8], lists: [&[&[u8]]; 3]) -> Option<[u8; 32]> {
        let mut block = Zeroizing::new([0; BLOCK_LEN]);
        match block.get_mut(..key.len()) {
            Some(start) => start.copy_from_slice(key),
            None => block[..32].copy_from_slice(&self.sha256(&[key])?),
        }
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        let mut parts: [&[u8]; MAX_PARTS] = [&[]; MAX_PARTS];
        let mut count = 0;
        for part in core::iter::once(&block[..]).chain(lists.into_iter().flatten().copied()) {
            *parts.get_mut(count)? = part;
            count += 1;
        }
        let inner = Zeroizing::new(self.sha256(parts.get(..count)?)?);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5c);
        self.sha256(&[&*block, &*inner])
    }
}

impl WithTable {
    /// A provider of what `table` has, completed by this crate's own.
    pub fn new(table: Box<dyn Table>) -> Self {
        WithTable(Arc::new(Shared { table, has_failed: AtomicBool::new(false) }))
    }
}

impl Provider for WithTable {
    fn packet_key(&self, suite: Suite, key: &[u8], iv: &[u8; 12]) -> Box<dyn PacketKey> {
        let has = [Entry::Seal(suite), Entry::Open(suite)].map(|entry| self.0.table.has(entry));
        let soft = (has != [true; 2]).then(|| default_provider().packet_key(suite, key, iv));
        match soft {
            Some(soft) if has == [false; 2] => soft,
            soft => {
                let mut whole = Zeroizing::new([0; 32]);
                whole.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
                Box::new(TableKey { shared: self.0.clone(), suite, key: whole, iv: *iv, soft })
            }
        }
    }

    fn header_key(&self, suite: Suite, key: &[u8]) -> Box<dyn HeaderKey> {
        if self.0.with(Entry::Block(suite)).is_none() {
            return default_provider().header_key(suite, key);
        }
        let shared = self.0.clone();
        match suite {
            Suite::Aes128Gcm => Box::new(TableAesHeader { shared, key: sized(key) }),
            Suite::ChaCha20Poly1305 => Box::new(TableChaChaHeader { shared, key: sized(key) }),
        }
    }

    fn sha256(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.0.sha256(parts).unwrap_or_else(|| default_provider().sha256(parts))
    }

    fn hmac_sha256(&self, key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let own = self.0.hmac_sha256(key, [parts, &[], &[]]);
        own.unwrap_or_else(|| default_provider().hmac_sha256(key, parts))
    }

    fn x25519(&self, scalar: &[u8; 32], point: &[u8; 32]) -> Result<[u8; 32], CryptoFailed> {
        match self.0.with(Entry::X25519) {
            Some(table) => self.0.failed(table.x25519(scalar, point)),
            None => default_provider().x25519(scalar, point),
        }
    }

    fn x25519_base(&self, scalar: &[u8; 32]) -> Result<[u8; 32], CryptoFailed> {
        match self.0.with(Entry::X25519) {
            Some(table) => self.0.failed(table.x25519(scalar, &BASE_POINT)),
            None => default_provider().x25519_base(scalar),
        }
    }

    fn tls_hmac(&self, key: &[u8]) -> Box<dyn tls_hmac::Key> {
        let soft = default_provider().tls_hmac(key);
        if self.0.with(Entry::Sha256).is_none() {
            return soft;
        }
        Box::new(TableHmac { shared: self.0.clone(), key: Zeroizing::new(key.to_vec()), soft })
    }

    fn take_failure(&self) -> bool {
        self.0.has_failed.swap(false, Ordering::Relaxed)
    }

    fn has_aes(&self) -> bool {
        let suite = Suite::Aes128Gcm;
        let entries = [Entry::Seal(suite), Entry::Open(suite), Entry::Block(suite)];
        default_provider().has_aes() || entries.iter().all(|entry| self.0.table.has(*entry))
    }

    fn fast_aes(&self) -> bool {
        let has_own = self.0.table.has(Entry::Seal(Suite::Aes128Gcm));
        if has_own { self.0.table.fast_aes() } else { default_provider().fast_aes() }
    }

    fn tls(&self) -> CryptoProvider {
        lent_randomness_provider(tls_suites::suites(self))
    }
}

const BASE_POINT: [u8; 32] = {
    let mut point = [0; 32];
    point[0] = 9;
    point
};

struct TableKey {
    shared: Arc<Shared>,
    suite: Suite,
    key: Zeroizing<[u8; 32]>,
    iv: [u8; 12],
    /// Does what the table has no entry for.
    soft: Option<Box<dyn PacketKey>>,
}

impl TableKey {
    fn key(&self) -> &[u8] {
        self.key.get(..self.suite.key_len()).unwrap_or_default()
    }
}

impl PacketKey for TableKey {
    fn seal(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<(), AeadError> {
        if buf.len() < TAG_LEN {
            return Err(AeadError::Unauthentic);
        }
        match (self.shared.with(Entry::Seal(self.suite)), &self.soft) {
            (None, Some(soft)) => soft.seal(pn, aad, buf),
            (None, None) => Err(CryptoFailed.into()),
            (Some(table), _) => {
                let sealed = table.seal(self.suite, self.key(), &nonce(&self.iv, pn), aad, buf);
                Ok(self.shared.failed(sealed)?)
            }
        }
    }

    fn open(&self, pn: u64, aad: &[u8], buf: &mut [u8]) -> Result<usize, AeadError> {
        let len = buf.len().checked_sub(TAG_LEN).ok_or(AeadError::Unauthentic)?;
        match (self.shared.with(Entry::Open(self.suite)), &self.soft) {
            (None, Some(soft)) => soft.open(pn, aad, buf),
            (None, None) => Err(CryptoFailed.into()),
            (Some(table), _) => {
                let opened = table.open(self.suite, self.key(), &nonce(&self.iv, pn), aad, buf);
                let is_failure = |error: &AeadError| *error != AeadError::Unauthentic;
                self.shared.note(opened, is_failure).map(|()| len)
            }
        }
    }
}

/// RFC 9001 §5.4.3.
struct TableAesHeader {
    shared: Arc<Shared>,
    key: Zeroizing<[u8; 16]>,
}

impl HeaderKey for TableAesHeader {
    fn mask(&self, sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed> {
        let block = self.shared.failed(self.shared.table.aes_block(&self.key, sample))?;
        Ok([block[0], block[1], block[2], block[3], block[4]])
    }
}

/// RFC 9001 §5.4.4.
struct TableChaChaHeader {
    shared: Arc<Shared>,
    key: Zeroizing<[u8; 32]>,
}

impl HeaderKey for TableChaChaHeader {
    fn mask(&self, sample: &[u8; 16]) -> Result<[u8; 5], CryptoFailed> {
        let [c0, c1, c2, c3, nonce @ ..] = *sample;
        let counter = u32::from_le_bytes([c0, c1, c2, c3]);
        let block = self.shared.table.chacha_block(&self.key, counter, &nonce);
        let block = self.shared.failed(block)?;
        Ok([block[0], block[1], block[2], block[3], block[4]])
    }
}

struct TableHmac {
    shared: Arc<Shared>,
    key: Zeroizing<alloc::vec::Vec<u8>>,
    /// For a call that the table fails.
    soft: Box<dyn tls_hmac::Key>,
}

impl tls_hmac::Key for TableHmac {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> tls_hmac::Tag {
        match self.shared.hmac_sha256(&self.key, [&[first], middle, &[last]]) {
            Some(tag) => tls_hmac::Tag::new(&tag),
            None => self.soft.sign_concat(first, middle, last),
        }
    }

    fn tag_len(&self) -> usize {
        32
    }
}

#[cfg(all(test, feature = "ring"))]
pub(crate) mod tests;
