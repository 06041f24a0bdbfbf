//! The integrator's crypto: the callback table, and the calls into it.
//!
//! Owns the copied table, as core's [`Table`] and as a [`Signer`] whose key is held elsewhere. Its
//! callbacks are called by core while it computes, so inside a call of a node, which is busy.

use crate::args::{self, Versioned};
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

/// Bytes that lie together: a piece of what is hashed, or of what is written to a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_bytes {
    /// Null only if len is 0.
    pub data: *const u8,
    /// How many bytes.
    pub len: usize,
}

/// rit_crypto.flags: AES-GCM is faster than ChaCha20-Poly1305 here, as with an accelerator; it is
/// used where the other end says the same.
pub const RIT_CRYPTO_FAST_AES: u32 = 1;

/// Answer of aes_gcm_open and chacha_open: the tag is wrong. Anybody can send such packets.
pub const RIT_CRYPTO_FORGED: i32 = 1;

/// rit_crypto.key_kind: the key is of Ed25519 (RFC 8032).
pub const RIT_KEY_ED25519: u32 = 1;
/// rit_crypto.key_kind: the key is on P-256, for secure elements that have nothing else. The node's
/// name is then a hash of it. Other ends can tell such a node's signature if they are a hosted
/// build, or a firmware build with P-256.
pub const RIT_KEY_P256: u32 = 2;

/// struct rit_bytes in one call of rit_crypto.sha256 at the most.
pub const RIT_SHA256_PARTS_MAX: usize = 16;

const _: () = assert!(RIT_SHA256_PARTS_MAX == MAX_PARTS);

/// Crypto that the integrator computes: by an accelerator, a secure element, another library. Each
/// entry is OPTIONAL; what is null the library computes itself. For each the answer is 0 for done;
/// anything else is a failure, of which nothing else is believed. A packet that could not be sealed
/// or opened counts as lost and is repeated in time. A failure in a handshake ends that handshake:
/// the session ends with RIT_ERR_CRYPTO, the link to the broker is tried again. A session that
/// times out while packets fail here ends with RIT_ERR_CRYPTO too. A hash that fails outside of a
/// handshake is computed by the library.
///
/// The rules of rit_io hold: called on your thread, inside a call of the node, which answers
/// RIT_ERR_REENTRY meanwhile; no blocking, throwing, or jumping out. Pointers are good only during
/// the call; keys are secret and not to be kept. Buffers may have any alignment, and aad, parts and
/// buf never overlap.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_crypto {
    /// sizeof(struct rit_crypto).
    pub struct_size: u32,
    /// RIT_CRYPTO_FAST_AES or 0; without aes_gcm_seal it is ignored.
    pub flags: u32,
    /// Handed back in every call; the library does not look at it. Must outlive the node.
    pub ctx: *mut c_void,
    /// OPTIONAL. AES-128-GCM (RFC 5116): encrypts the len bytes of buf in place and writes the 16
    /// bytes of the tag behind them, to buf + len. key: 16 bytes, nonce: 12, aad: aad_len bytes,
    /// 1 to 64; len may be 0. For each packet; no nonce comes twice with a key.
    pub aes_gcm_seal: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const u8,
            nonce: *const u8,
            aad: *const u8,
            aad_len: usize,
            buf: *mut u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL. The reverse: decrypts the len bytes of buf in place, if the tag at buf + len is
    /// right; else RIT_CRYPTO_FORGED, and buf may hold anything. It compares tags in constant time.
    pub aes_gcm_open: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const u8,
            nonce: *const u8,
            aad: *const u8,
            aad_len: usize,
            buf: *mut u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL. ChaCha20-Poly1305 (RFC 8439): as aes_gcm_seal, with a key of 32 bytes.
    pub chacha_seal: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const u8,
            nonce: *const u8,
            aad: *const u8,
            aad_len: usize,
            buf: *mut u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL. As aes_gcm_open, with a key of 32 bytes.
    pub chacha_open: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const u8,
            nonce: *const u8,
            aad: *const u8,
            aad_len: usize,
            buf: *mut u8,
            len: usize,
        ) -> i32,
    >,
    /// OPTIONAL. AES-128 encryption of one block (ECB), for header protection: in and out have 16
    /// bytes, as the key has. Once for each packet under AES-GCM.
    pub aes_block: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const u8,
            block: *const u8,
            out: *mut u8,
        ) -> i32,
    >,
    /// OPTIONAL. One block of ChaCha20's key stream (RFC 8439 section 2.3), for header protection:
    /// key 32 bytes, any counter, nonce 12, out 64. Once for each packet under ChaCha20-Poly1305.
    pub chacha_block: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            key: *const u8,
            counter: u32,
            nonce: *const u8,
            out: *mut u8,
        ) -> i32,
    >,
    /// OPTIONAL. SHA-256 of the count parts one after the other, 0 to RIT_SHA256_PARTS_MAX, in one
    /// go; 32 bytes to out. HMAC is made of it too, so parts may be secret. The hash of the
    /// handshake's transcript, taken several times while it grows, is always the library's.
    pub sha256: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            parts: *const rit_bytes,
            count: usize,
            out: *mut u8,
        ) -> i32,
    >,
    /// OPTIONAL. X25519 (RFC 7748): scalar, point and out have 32 bytes, little-endian; the scalar
    /// is to be clamped, the highest bit of the point is to be ignored. Twice for each handshake,
    /// once of them with the base point, 9. It takes the same time for each scalar.
    pub x25519: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            scalar: *const u8,
            point: *const u8,
            out: *mut u8,
        ) -> i32,
    >,
    /// OPTIONAL, together with sign: the node's private key is held elsewhere. Then neither load
    /// nor store of rit_io are called for RIT_SLOT_IDENTITY. Writes the public key to out: of
    /// RIT_KEY_ED25519 32 bytes, of RIT_KEY_P256 65, the uncompressed point (4, x, y). Called only
    /// by rit_node_new, once.
    pub public_key: Option<unsafe extern "C" fn(ctx: *mut c_void, out: *mut u8) -> i32>,
    /// OPTIONAL, together with public_key. Writes the 64 bytes of a signature to out. For
    /// RIT_KEY_ED25519 msg is the message; for RIT_KEY_P256 it is the message's SHA-256, 32 bytes,
    /// and the signature is r and s of ECDSA, 32 bytes each, big-endian. Once for each handshake;
    /// 0.1 s is not too long, for what comes meanwhile waits in your stack.
    pub sign: Option<
        unsafe extern "C" fn(ctx: *mut c_void, msg: *const u8, len: usize, out: *mut u8) -> i32,
    >,
    /// RIT_KEY_ED25519 or RIT_KEY_P256; 0 without sign.
    pub key_kind: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with struct_size, no padding; pointers and nullable function pointers of
// any value.
unsafe impl Versioned for rit_crypto {
    const NAME: &'static str = "rit_crypto";
}

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
