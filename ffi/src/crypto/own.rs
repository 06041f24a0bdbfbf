//! The calls into the integrator's crypto.
//!
//! Owns the copied table, as core's [`Table`] and as a [`Signer`] whose key is held elsewhere. Its
//! callbacks are called by core while it computes, so inside a call of a node, which is busy.

use super::{
    RIT_CRYPTO_FAST_AES, RIT_CRYPTO_FORGED, RIT_KEY_ED25519, RIT_KEY_P256, RIT_SHA256_PARTS_MAX,
    rit_bytes, rit_crypto,
};
use crate::args;
use crate::error::Error;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ffi::c_void;
use rit_core::base::PublicKey;
use rit_core::crypto::{
    self, AeadError, CryptoFailed, Entry, MAX_PARTS, P256_POINT_LEN, Provider, RawKey, SignError,
    Signer, Suite, TAG_LEN, Table, WithTable,
};
use zeroize::Zeroizing;

const _: () = assert!(RIT_SHA256_PARTS_MAX == MAX_PARTS);

/// The integrator's table, checked.
pub(crate) struct Crypto(rit_crypto);

// SAFETY: the table is used only inside a call of the node that it was given to, or in
// rit_node_new; the header promises the integrator no more than one thread at a time for these.
unsafe impl Send for Crypto {}
// SAFETY: as above.
unsafe impl Sync for Crypto {}

/// Seals or opens.
type Aead = unsafe extern "C" fn(
    *mut c_void,
    *const u8,
    *const u8,
    *const u8,
    usize,
    *mut u8,
    usize,
) -> i32;

fn done(answer: i32) -> Result<(), CryptoFailed> {
    if answer == 0 { Ok(()) } else { Err(CryptoFailed) }
}

impl Crypto {
    /// Reads and checks the table.
    ///
    /// # Safety
    /// `crypto` points to `struct_size` readable bytes.
    pub(crate) unsafe fn read(crypto: *const rit_crypto) -> Result<Crypto, Error> {
        // SAFETY: the caller's promise.
        let raw = unsafe { args::read(crypto)? };
        if raw.flags & !RIT_CRYPTO_FAST_AES != 0 || raw.reserved != 0 {
            return Err(Error::Argument("rit_crypto.flags or rit_crypto.reserved"));
        }
        if raw.public_key.is_some() != raw.sign.is_some() {
            let which = "rit_crypto.sign without public_key, or public_key without sign,";
            return Err(Error::Argument(which));
        }
        let kinds = if raw.sign.is_some() { RIT_KEY_ED25519..=RIT_KEY_P256 } else { 0..=0 };
        if !kinds.contains(&raw.key_kind) {
            return Err(Error::Argument("rit_crypto.key_kind"));
        }
        Ok(Crypto(raw))
    }

    fn seal_entry(&self, suite: Suite) -> Option<Aead> {
        match suite {
            Suite::Aes128Gcm => self.0.aes_gcm_seal,
            Suite::ChaCha20Poly1305 => self.0.chacha_seal,
        }
    }

    fn open_entry(&self, suite: Suite) -> Option<Aead> {
        match suite {
            Suite::Aes128Gcm => self.0.aes_gcm_open,
            Suite::ChaCha20Poly1305 => self.0.chacha_open,
        }
    }

    /// Calls one of them; what it answers.
    fn run_aead(
        &self,
        entry: Option<Aead>,
        (suite, key): (Suite, &[u8]),
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<i32, CryptoFailed> {
        let (Some(entry), Some(len)) = (entry, buf.len().checked_sub(TAG_LEN)) else {
            return Err(CryptoFailed);
        };
        if key.len() != suite.key_len() {
            return Err(CryptoFailed);
        }
        let (nonce, ctx) = (nonce.as_ptr(), self.0.ctx);
        // SAFETY: the integrator promised by the table that the entry may be called so; pointers
        // and lengths are those of live slices, and behind `len` there is room for the tag.
        Ok(unsafe {
            entry(ctx, key.as_ptr(), nonce, aad.as_ptr(), aad.len(), buf.as_mut_ptr(), len)
        })
    }
}

// In each method below: SAFETY: the integrator promised by the table that the entry may be called
// with its ctx; pointers and lengths are those of live arrays or slices.
impl Table for Crypto {
    fn has(&self, entry: Entry) -> bool {
        match entry {
            Entry::Seal(suite) => self.seal_entry(suite).is_some(),
            Entry::Open(suite) => self.open_entry(suite).is_some(),
            Entry::Block(Suite::Aes128Gcm) => self.0.aes_block.is_some(),
            Entry::Block(Suite::ChaCha20Poly1305) => self.0.chacha_block.is_some(),
            Entry::Sha256 => self.0.sha256.is_some(),
            Entry::X25519 => self.0.x25519.is_some(),
        }
    }

    fn fast_aes(&self) -> bool {
        self.0.flags & RIT_CRYPTO_FAST_AES != 0
    }

    fn seal(
        &self,
        suite: Suite,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<(), CryptoFailed> {
        done(self.run_aead(self.seal_entry(suite), (suite, key), nonce, aad, buf)?)
    }

    fn open(
        &self,
        suite: Suite,
        key: &[u8],
        nonce: &[u8; 12],
        aad: &[u8],
        buf: &mut [u8],
    ) -> Result<(), AeadError> {
        match self.run_aead(self.open_entry(suite), (suite, key), nonce, aad, buf)? {
            RIT_CRYPTO_FORGED => Err(AeadError::Unauthentic),
            answer => Ok(done(answer)?),
        }
    }

    fn aes_block(&self, key: &[u8; 16], block: &[u8; 16]) -> Result<[u8; 16], CryptoFailed> {
        let (entry, mut out) = (self.0.aes_block.ok_or(CryptoFailed)?, [0; 16]);
        // SAFETY: see above.
        done(unsafe { entry(self.0.ctx, key.as_ptr(), block.as_ptr(), out.as_mut_ptr()) })?;
        Ok(out)
    }

    fn chacha_block(
        &self,
        key: &[u8; 32],
        counter: u32,
        nonce: &[u8; 12],
    ) -> Result<[u8; 64], CryptoFailed> {
        let (entry, mut out) = (self.0.chacha_block.ok_or(CryptoFailed)?, [0; 64]);
        let (key, nonce) = (key.as_ptr(), nonce.as_ptr());
        // SAFETY: see above.
        done(unsafe { entry(self.0.ctx, key, counter, nonce, out.as_mut_ptr()) })?;
        Ok(out)
    }

    fn sha256(&self, parts: &[&[u8]]) -> Result<[u8; 32], CryptoFailed> {
        let (entry, mut out) = (self.0.sha256.ok_or(CryptoFailed)?, [0; 32]);
        let mut list = [rit_bytes { data: core::ptr::null(), len: 0 }; MAX_PARTS];
        let list = list.get_mut(..parts.len()).ok_or(CryptoFailed)?;
        for (to, part) in list.iter_mut().zip(parts) {
            *to = rit_bytes { data: part.as_ptr(), len: part.len() };
        }
        // SAFETY: see above.
        done(unsafe { entry(self.0.ctx, list.as_ptr(), list.len(), out.as_mut_ptr()) })?;
        Ok(out)
    }

    fn x25519(&self, scalar: &[u8; 32], point: &[u8; 32]) -> Result<[u8; 32], CryptoFailed> {
        let (entry, mut out) = (self.0.x25519.ok_or(CryptoFailed)?, [0; 32]);
        // SAFETY: see above.
        done(unsafe { entry(self.0.ctx, scalar.as_ptr(), point.as_ptr(), out.as_mut_ptr()) })?;
        Ok(out)
    }
}

/// A private key that the integrator holds.
struct HeldElsewhere {
    table: rit_crypto,
    key: RawKey,
    name: PublicKey,
    /// Of the node that this signs for: see [`Used::provider`].
    provider: &'static dyn Provider,
}

// SAFETY: as for `Crypto`.
unsafe impl Send for HeldElsewhere {}
// SAFETY: as for `Crypto`.
unsafe impl Sync for HeldElsewhere {}

impl Signer for HeldElsewhere {
    fn public_key(&self) -> PublicKey {
        self.name
    }

    fn raw_key(&self) -> RawKey {
        self.key
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let (sign, mut out) = (self.table.sign.ok_or(SignError)?, [0; 64]);
        let digest;
        let message = match self.key {
            RawKey::Ed25519(_) => message,
            RawKey::P256(_) => {
                digest = self.provider.sha256(&[message]);
                &digest
            }
        };
        // SAFETY: the integrator promised by the table that it may be called with its ctx; pointers
        // and lengths are those of a live slice and array.
        match unsafe { sign(self.table.ctx, message.as_ptr(), message.len(), out.as_mut_ptr()) } {
            0 => Ok(out),
            _ => Err(SignError),
        }
    }
}

/// What a node computes with, and what of it must live as long as the node.
pub(crate) struct Used(Option<(Arc<WithTable>, rit_crypto)>);

impl Used {
    /// The table, or what is built in for null.
    ///
    /// # Safety
    /// `crypto` is null or points to `struct_size` readable bytes.
    pub(crate) unsafe fn read(crypto: *const rit_crypto) -> Result<Used, Error> {
        if crypto.is_null() {
            return Ok(Used(None));
        }
        // SAFETY: the caller's promise.
        let crypto = unsafe { Crypto::read(crypto)? };
        let raw = crypto.0;
        Ok(Used(Some((Arc::new(WithTable::new(Box::new(crypto))), raw))))
    }

    /// The provider.
    ///
    /// # Safety
    /// What is given it must be gone before `self` is.
    pub(crate) unsafe fn provider(&self) -> &'static dyn Provider {
        match &self.0 {
            None => crypto::default_provider(),
            // SAFETY: the Arc keeps it where it is for as long as `self` lives; the caller promises
            // that nobody asks for longer.
            Some((provider, _)) => unsafe { &*Arc::as_ptr(provider) },
        }
    }

    /// The key that is held elsewhere, if one is.
    ///
    /// # Safety
    /// As for [`Used::provider`].
    pub(crate) unsafe fn signer(&self) -> Result<Option<Arc<dyn Signer>>, Error> {
        let Some((_, table)) = &self.0 else { return Ok(None) };
        let Some(public_key) = table.public_key else { return Ok(None) };
        let mut point = Zeroizing::new([0; P256_POINT_LEN]);
        // SAFETY: the integrator promised by the table that it may be called with its ctx; there is
        // room for a key of either kind.
        let answer = unsafe { public_key(table.ctx, point.as_mut_ptr()) };
        if answer != 0 {
            return Err(Error::Crypto("public_key", answer));
        }
        let key = match table.key_kind {
            RIT_KEY_P256 if point[0] == 4 => RawKey::P256(*point),
            RIT_KEY_P256 => return Err(Error::Argument("what rit_crypto.public_key wrote")),
            _ => RawKey::Ed25519(*point.first_chunk().ok_or(Error::Internal)?),
        };
        // SAFETY: the caller's promise.
        let provider = unsafe { self.provider() };
        let name = key.name(provider);
        Ok(Some(Arc::new(HeldElsewhere { table: *table, key, name, provider })))
    }
}
