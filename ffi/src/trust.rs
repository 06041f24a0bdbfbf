//! Owners: a device obeys one, an owner claims devices and sends them what it signed.
//!
//! Owns the trust state's way to and from storage. In a library built without `trust` every
//! function here answers STATE.
#![cfg_attr(
    not(all(feature = "trust", feature = "initiator")),
    allow(unused_variables, unused_imports)
)]

use crate::RIT_KEY_LEN;
use crate::args::{self, Answer, Versioned};
use crate::error::Error;
use crate::guard;
use crate::node::{command, query, rit_node};
use core::ffi::c_char;
#[cfg(feature = "trust")]
use {
    crate::io::{RIT_LOG_ERROR, RIT_SLOT_CLOAK, RIT_SLOT_MAX, RIT_SLOT_TRUST, RIT_SLOT_TRUST_MAX},
    crate::memory,
    crate::node::Inner,
    crate::text::copy_cut,
    alloc::format,
    alloc::vec,
    rit_core::base::{PublicKey, Time},
    rit_core::node::Stored,
    rit_core::trust::{
        CLAIM_CODE_TEXT_LEN, CLAIM_SECRET_LEN, CLAIM_SECRET_TEXT_LEN, CLOAK_STATE_LEN, ClaimCode,
        ClaimSecret, CloakState, TRUST_STATE_LEN_MAX, TrustState,
    },
    rit_core::wire::message::{NOTE_CLOAK, NOTE_REVOKED, NOTE_TRANSFER},
    zeroize::Zeroizing,
};

/// Bytes of a claim secret.
pub const RIT_CLAIM_SECRET_LEN: usize = 15;
/// Bytes of a claim secret's text, with a NUL.
pub const RIT_CLAIM_SECRET_TEXT_LEN: usize = 30;
/// Bytes of a claim code's text, with a NUL.
pub const RIT_CLAIM_CODE_LEN: usize = 17;

/// What rit_owner_tell takes: what rit_revoked_sign made.
pub const RIT_TELL_REVOKED: u32 = 5;
/// What rit_owner_tell takes: what rit_transfer_sign made.
pub const RIT_TELL_TRANSFER: u32 = 6;
/// What rit_owner_tell takes: what rit_cloak_sign made.
pub const RIT_TELL_CLOAK: u32 = 8;

#[cfg(feature = "trust")]
const _: () = assert!(
    CLAIM_SECRET_LEN == RIT_CLAIM_SECRET_LEN
        && CLAIM_SECRET_TEXT_LEN + 1 == RIT_CLAIM_SECRET_TEXT_LEN
        && CLAIM_CODE_TEXT_LEN + 1 == RIT_CLAIM_CODE_LEN
        && TRUST_STATE_LEN_MAX == RIT_SLOT_TRUST_MAX
        && NOTE_REVOKED as u32 == RIT_TELL_REVOKED
        && NOTE_TRANSFER as u32 == RIT_TELL_TRANSFER
        && NOTE_CLOAK as u32 == RIT_TELL_CLOAK
        && CLOAK_STATE_LEN <= RIT_SLOT_MAX
);

/// Longest text of a claim secret or code that is read, however it is spaced.
const CLAIM_TEXT_MAX: usize = 64;
/// Significant characters of a claim code; a claim secret has more.
#[cfg(all(feature = "trust", feature = "initiator"))]
const CODE_CHARACTERS: usize = 13;

/// Whom a device obeys.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_ownership {
    /// sizeof(struct rit_ownership); set by the caller.
    pub struct_size: u32,
    /// 1: it has an owner; 0: whoever knows its claim secret may become it.
    pub is_claimed: u32,
    /// The owner's key; zero where there is none.
    pub owner: [u8; RIT_KEY_LEN],
    /// The number of this ownership, or of the last one.
    pub epoch: u32,
    /// 0.
    pub reserved: u32,
    /// The number of the newest revocation list; 0: there was none.
    pub list: u64,
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_ownership {
    const NAME: &'static str = "rit_ownership";
}

/// The body where there is trust; without it, that.
macro_rules! with_trust {
    ($($body:tt)*) => {{
        #[cfg(feature = "trust")]
        { $($body)* }
        #[cfg(not(feature = "trust"))]
        { Err(Error::NoTrust) }
    }};
}

/// The same of an owner, who asks devices.
macro_rules! with_owner {
    ($($body:tt)*) => {{
        #[cfg(all(feature = "trust", feature = "initiator"))]
        { $($body)* }
        #[cfg(not(all(feature = "trust", feature = "initiator")))]
        { Err(Error::NoTrust) }
    }};
}

#[cfg(feature = "trust")]
impl Inner {
    /// Has stored what is to be, and only then lets it become true.
    pub(crate) fn drain_store(&mut self, now: Time) {
        while let Some(to_store) = self.node.poll_store() {
            let (slot, what, bytes) = match &to_store {
                Stored::Trust(bytes) => (RIT_SLOT_TRUST, "owner", bytes),
                Stored::Cloak(bytes) => (RIT_SLOT_CLOAK, "cloak", bytes),
            };
            let stored = self.io.store(slot, bytes);
            if let Err(error) = stored {
                self.io.log(RIT_LOG_ERROR, || format!("{what} not changed: {error}"));
            }
            self.node.handle_stored(stored.is_ok(), now);
        }
    }

    /// What the cloak slot holds. A device whose storage has no such slot, or whose slot is
    /// damaged, goes on without.
    fn load_cloak(&self, epoch: u32) -> CloakState {
        let mut slot = [0; RIT_SLOT_MAX];
        let loaded = self.io.load(RIT_SLOT_CLOAK, &mut slot).and_then(|len| match len {
            0 => Ok(CloakState::new()),
            len => {
                let stored = slot.get(..len).unwrap_or_default();
                Ok(CloakState::decode(self.node.provider(), stored)?)
            }
        });
        loaded.unwrap_or_else(|error| {
            self.io.log(RIT_LOG_ERROR, || format!("this owner cannot uncloak: {error}"));
            CloakState::lost(epoch)
        })
    }

    /// What the trust slot holds.
    fn load_trust(&self) -> Result<TrustState, Error> {
        memory::check(4 * RIT_SLOT_TRUST_MAX)?;
        let mut slot = vec![0; RIT_SLOT_TRUST_MAX];
        match self.io.load(RIT_SLOT_TRUST, &mut slot)? {
            0 => Ok(TrustState::new()),
            len => {
                let stored = slot.get(..len).unwrap_or_default();
                Ok(TrustState::decode(self.node.provider(), stored)?)
            }
        }
    }
}

/// A claim secret, or what a claim code stands for.
#[cfg(all(feature = "trust", feature = "initiator"))]
fn secret_of_text(inner: &Inner, text: &str) -> Result<ClaimSecret, Error> {
    let significant = text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).count();
    if significant == CODE_CHARACTERS {
        return Ok(ClaimCode::from_text(text)?.secret(inner.node.provider()));
    }
    Ok(ClaimSecret::from_text(text)?)
}

// ---- the device

/// From now on the node obeys an owner, and lets in whom the owner granted it, beside the peers of
/// rit_peer_allow. Loads RIT_SLOT_TRUST: without an owner there, whoever proves to know the claim
/// secret, or a code that rit_claim_code_show made, becomes it. To be called once, before
/// rit_broker_connect. Events: CLAIMED, OWNER_CHANGED, REVOKED, CLOAK; each comes once it is
/// stored. Loads RIT_SLOT_CLOAK, too; what is wrong there only keeps this owner from uncloaking it.
///
/// claim_secret: the RIT_CLAIM_SECRET_LEN bytes that this device was made with, and that its label
/// shows; copied. null: it can be claimed by a shown code alone.
/// Errors: NULL, STATE (called before; a library built without `trust`), STORAGE, TRUST (what is
/// stored is damaged: only rit_io.store of an empty state gets out of that), NOMEM, REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_trust_start(node: *mut rit_node, claim_secret: *const u8) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            with_trust! {
                if inner.node.trust_state().is_some() {
                    return Err(Error::TrustStarted);
                }
                let secret = if claim_secret.is_null() {
                    None
                } else {
                    let bytes = claim_secret.cast::<[u8; RIT_CLAIM_SECRET_LEN]>().read();
                    Some(ClaimSecret::new(bytes))
                };
                let state = inner.load_trust()?;
                let cloak = inner.load_cloak(state.epoch());
                inner.node.set_trust(state, secret, now)?;
                Ok(inner.node.set_cloak_state(cloak)?)
            }
        })
    }
}

/// Whom this node obeys. The caller sets out->struct_size.
///
/// Errors: NULL, SIZE, STATE (rit_trust_start was not called; a library built without `trust`),
/// REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_owner_info(node: *const rit_node, out: *mut rit_ownership) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            let answer = Answer::new(out)?;
            with_trust! {
                let state = inner.node.trust_state().ok_or(Error::NoTrust)?;
                answer.write(rit_ownership {
                    struct_size: 0,
                    is_claimed: state.owner().is_some().into(),
                    owner: state.owner().map_or([0; RIT_KEY_LEN], |owner| owner.0),
                    epoch: state.epoch(),
                    reserved: 0,
                    list: state.revoked().number,
                });
                Ok(())
            }
        })
    }
}

/// Makes the device forget its owner and what was taken back: nobody may use it, and it can be
/// claimed anew. To be called only where somebody showed to be at the device, by a button that is
/// held or the like; nothing from the network can do it. OWNER_CHANGED follows, with a peer of
/// zeros.
///
/// Errors: NULL, STATE (rit_trust_start was not called, or another change is not stored yet; a
/// library built without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_factory_reset(node: *mut rit_node) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, _| with_trust! { Ok(inner.node.factory_reset()?) }) }
}

/// Makes a code for the device to show, on its display, its console or how it can: with it, and
/// within ten minutes, whoever sees it can claim the device once. It ends the one before, and lets
/// claims go on that were wrong too often.
///
/// out: gets RIT_CLAIM_CODE_LEN bytes, a text with its NUL.
/// Errors: NULL, STATE (there is an owner, or rit_trust_start was not called; a library built
/// without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[out; RIT_CLAIM_CODE_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_claim_code_show(node: *mut rit_node, out: *mut c_char) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let out = args::bytes_mut(out.cast(), RIT_CLAIM_CODE_LEN, "out")?;
            with_trust! {
                copy_cut(&inner.node.show_claim_code(now)?, out);
                Ok(())
            }
        })
    }
}

/// The code is shown no more, and good for nothing. Errors: NULL, STATE (a library built without
/// `trust`), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_claim_code_hide(node: *mut rit_node) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            with_trust! {
                inner.node.hide_claim_code();
                Ok(())
            }
        })
    }
}

/// Tells the node the time of day, which it then believes before what its broker says. Where
/// nobody tells it, grants that expire need a broker that says the time. Sessions end whose grants
/// are over by it. Tell it again after the clock was set, not regularly.
///
/// unix_s: seconds since 1970. Errors: NULL, STATE (a library built without `trust`), REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_time_set(node: *mut rit_node, unix_s: u64) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            with_trust! {
                inner.node.set_wall_time(unix_s, now);
                Ok(())
            }
        })
    }
}

// ---- the owner

/// Claims a device, which makes this node's key its owner's. OWNER_ANSWERED follows with the
/// request: error RIT_OK and code the epoch, which goes into grants; or why not.
///
/// device: RIT_KEY_LEN bytes. text: the claim secret of its label, or the code that it shows, as
/// people type them. request: gets the number.
/// Errors: NULL, ARG (text: too long, a character or the check character is wrong), OFFLINE, LIMIT
/// (8 wait for an answer), STATE (a library built without `trust` or `initiator`), NOMEM, REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[device; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_device_claim(
    node: *mut rit_node,
    device: *const u8,
    text: *const c_char,
    request: *mut u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let device = args::key(device, "device")?;
            let text = args::text(text, CLAIM_TEXT_MAX, "text")?;
            let request = args::place(request, "request")?;
            with_owner! {
                let secret = secret_of_text(inner, text)?;
                let asked = inner.node.claim_device(PublicKey(device), secret, now)?;
                request.write_unaligned(asked);
                Ok(())
            }
        })
    }
}

/// Sends a device what its owner signed. OWNER_ANSWERED follows with the request: error RIT_OK once
/// the device stored it, or why it did not.
///
/// device: RIT_KEY_LEN bytes. what: RIT_TELL_*. statement: its len bytes. request: gets the number.
/// Errors: NULL, ARG (what; longer than 2048 bytes), OFFLINE, LIMIT (8 wait for an answer), STATE
/// (a library built without `trust` or `initiator`), NOMEM, REENTRY, INTERNAL. Not in a callback,
/// not in an ISR.
/// cbindgen:ptrs-as-arrays=[[device; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_owner_tell(
    node: *mut rit_node,
    device: *const u8,
    what: u32,
    statement: *const u8,
    len: usize,
    request: *mut u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let device = args::key(device, "device")?;
            let statement = args::bytes(statement, len, "statement")?;
            let request = args::place(request, "request")?;
            let what = match what {
                RIT_TELL_REVOKED | RIT_TELL_TRANSFER | RIT_TELL_CLOAK => what as u8,
                _ => return Err(Error::Argument("what")),
            };
            with_owner! {
                let told = inner.node.send_note(PublicKey(device), what, statement, now)?;
                request.write_unaligned(told);
                Ok(())
            }
        })
    }
}

// ---- claim secrets as text

/// The claim secret of a text as people type it: 24 characters and a check character, in whatever
/// case, with or without hyphens and spaces.
///
/// out: gets RIT_CLAIM_SECRET_LEN bytes. Errors: NULL, ARG (it is none), STATE (a library built
/// without `trust`). Callable anywhere but in an ISR.
/// cbindgen:ptrs-as-arrays=[[out; RIT_CLAIM_SECRET_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_claim_secret_from_text(text: *const c_char, out: *mut u8) -> i32 {
    // SAFETY: as the header asks of the caller.
    let convert = || unsafe {
        let text = args::text(text, CLAIM_TEXT_MAX, "text")?;
        let out = args::bytes_mut(out, RIT_CLAIM_SECRET_LEN, "out")?;
        with_trust! {
            out.copy_from_slice(ClaimSecret::from_text(text)?.as_bytes());
            Ok(())
        }
    };
    answer(convert)
}

/// The text of a claim secret, for a label or a QR code.
///
/// secret: RIT_CLAIM_SECRET_LEN bytes. out: gets RIT_CLAIM_SECRET_TEXT_LEN bytes, with a NUL.
/// Errors: NULL, NOMEM, STATE (a library built without `trust`). Callable anywhere but in an ISR.
/// cbindgen:ptrs-as-arrays=[[secret; RIT_CLAIM_SECRET_LEN], [out; RIT_CLAIM_SECRET_TEXT_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_claim_secret_to_text(secret: *const u8, out: *mut c_char) -> i32 {
    // SAFETY: as the header asks of the caller.
    let convert = || unsafe {
        let secret = args::bytes(secret, RIT_CLAIM_SECRET_LEN, "secret")?;
        let out = args::bytes_mut(out.cast(), RIT_CLAIM_SECRET_TEXT_LEN, "out")?;
        with_trust! {
            memory::check(2 * RIT_CLAIM_SECRET_TEXT_LEN)?;
            let mut bytes = Zeroizing::new([0; RIT_CLAIM_SECRET_LEN]);
            bytes.copy_from_slice(secret);
            copy_cut(&ClaimSecret::new(*bytes).to_text(), out);
            Ok(())
        }
    };
    answer(convert)
}

fn answer(convert: impl FnOnce() -> Result<(), Error>) -> i32 {
    let result = guard::run(convert).unwrap_or(Err(Error::Internal));
    result.map_or_else(Error::code, |()| crate::error::RIT_OK)
}
