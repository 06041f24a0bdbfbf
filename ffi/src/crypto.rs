//! The integrator's crypto: the callback table. Who calls into it is a part that can be left out.

#[cfg(not(feature = "own-crypto"))]
#[path = "crypto/no_own.rs"]
mod own;
#[cfg(feature = "own-crypto")]
mod own;

pub(crate) use own::Used;

use crate::args::Versioned;
use core::ffi::c_void;

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

/// Crypto that the integrator computes: by an accelerator, a secure element, another library. Each
/// entry is OPTIONAL; what is null the library computes itself, and a library built without `aes`
/// uses AES only if aes_gcm_seal, aes_gcm_open and aes_block are all there. For each the answer is
/// 0 for done; anything else is a failure, of which nothing else is believed. A packet that could
/// not be sealed or opened counts as lost and is repeated in time. A failure in a handshake ends
/// that handshake: the session ends with RIT_ERR_CRYPTO, the link to the broker is tried again. A
/// session that times out while packets fail here ends with RIT_ERR_CRYPTO too. A hash that fails
/// outside of a handshake is computed by the library.
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
