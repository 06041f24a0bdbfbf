//! What owners sign: grants, what is taken back, transfers, that a device may be found. It is made
//! here and needs no network; `rit_session_open` takes grants to the device, `rit_owner_tell` the
//! rest.

use crate::RIT_KEY_LEN;
use crate::args::{self, Versioned};
use crate::error::Error;
use crate::node::{command, rit_node};
use core::ffi::c_char;

/// Bytes of a grant's ID.
pub const RIT_GRANT_ID_LEN: usize = 16;
/// No chain of grants is longer.
pub const RIT_CHAIN_MAX: usize = 2048;
/// No revocation list is longer.
pub const RIT_REVOKED_MAX: usize = 2048;
/// No transfer is longer.
pub const RIT_TRANSFER_MAX: usize = 256;
/// No statement of rit_cloak_sign is longer.
pub const RIT_CLOAK_MAX: usize = 256;
/// For no longer than this lets an owner a device be found, in seconds: a day.
pub const RIT_CLOAK_FOR_MAX_S: u32 = 86400;

/// rit_grant.rights: to use the services.
pub const RIT_RIGHT_USE: u32 = 1;
/// rit_grant.rights: to pass them on, as often as depth says.
pub const RIT_RIGHT_SHARE: u32 = 2;
/// rit_grant.rights: to manage the device, whatever that is to its application.
pub const RIT_RIGHT_MANAGE: u32 = 4;

/// What a grant says: who may do what with a device, until when.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_grant {
    /// sizeof(struct rit_grant).
    pub struct_size: u32,
    /// Sum of RIT_RIGHT_*, not 0.
    pub rights: u32,
    /// The device's key.
    pub device: [u8; RIT_KEY_LEN],
    /// Who may: the key of the node that will open sessions.
    pub subject: [u8; RIT_KEY_LEN],
    /// By this it is taken back; keep it. All zero: a random one is drawn, and rit_grant_sign
    /// writes it here.
    pub id: [u8; RIT_GRANT_ID_LEN],
    /// When it is made, in seconds since 1970; 0 where nobody knows. A list with a floor takes back
    /// what was made before.
    pub issued_s: u64,
    /// Not good before this second; 0: at once.
    pub not_before_s: u64,
    /// No longer good from this second on; 0: for ever, or until it is taken back.
    pub expires_s: u64,
    /// The ownership that it belongs to: the epoch of rit_ownership, as the claim told it.
    pub epoch: u32,
    /// How often it may be passed on, 0 to 3, each time once less.
    pub depth: u8,
    /// 1: the device lets nobody in by it without a fresh word of its broker; 0 otherwise.
    pub must_be_fresh: u8,
    /// Names in services, at most 32; 0: all services, those that come later included.
    pub service_count: u16,
    /// The services, by name; null for all.
    pub services: *const *const c_char,
    /// 0.
    pub reserved: usize,
}

/// What an owner has taken back: the whole list, which takes the place of the one before.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_revoked {
    /// sizeof(struct rit_revoked).
    pub struct_size: u32,
    /// The ownership that it belongs to.
    pub epoch: u32,
    /// The device's key.
    pub device: [u8; RIT_KEY_LEN],
    /// Higher than in the list before, from 1 on.
    pub number: u64,
    /// Now, in seconds since 1970.
    pub issued_s: u64,
    /// Grants made before this second are no longer good; 0: none for that.
    pub floor_s: u64,
    /// IDs of grants, RIT_GRANT_ID_LEN bytes each, end to end; null if there are none.
    pub ids: *const u8,
    /// How many, at most 64.
    pub id_count: usize,
    /// Keys that nothing is granted to any more, nor through them, RIT_KEY_LEN bytes each, end to
    /// end; null if there are none.
    pub keys: *const u8,
    /// How many, at most 16.
    pub key_count: usize,
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_grant {
    const NAME: &'static str = "rit_grant";
}

// SAFETY: as above.
unsafe impl Versioned for rit_revoked {
    const NAME: &'static str = "rit_revoked";
}

/// Where an answer of unknown length goes.
struct Out<'a> {
    bytes: &'a mut [u8],
    len: *mut usize,
}

impl<'a> Out<'a> {
    /// # Safety
    /// As for `args::bytes_mut`; `len` is null or writable.
    unsafe fn new(out: *mut u8, cap: usize, len: *mut usize) -> Result<Self, Error> {
        let len = args::place(len, "len")?;
        // SAFETY: the caller's promise.
        Ok(Out { bytes: unsafe { args::bytes_mut(out, cap, "out")? }, len })
    }

    #[cfg_attr(not(feature = "trust"), expect(dead_code))]
    fn write(self, bytes: &[u8]) -> Result<(), Error> {
        let room = self.bytes.get_mut(..bytes.len()).ok_or(Error::Buffer("out"))?;
        room.copy_from_slice(bytes);
        // SAFETY: not null, and the caller's.
        unsafe { self.len.write_unaligned(bytes.len()) };
        Ok(())
    }
}

/// Signs a grant with this node's key, and gives the chain to hand to whom it is for, who gives it
/// to rit_session_open.
///
/// grant: copied; an id of zeros gets the drawn one. chain: the chain_len bytes of the chain that
/// this node was given itself, which the new grant narrows; null and 0 for the device's owner. out:
/// room for cap bytes, RIT_CHAIN_MAX always do; len: gets the length.
/// Errors: NULL, SIZE, ARG (a text or a number out of its range), GRANT (that is no grant, or no
/// chain; rit_node_last_error says why), BUFFER, CRYPTO (the key gave no signature), STATE (a
/// library built without `trust`), NOMEM, REENTRY, INTERNAL. Whether the chain lets this node pass
/// on so much, the device decides. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_grant_sign(
    node: *mut rit_node,
    grant: *mut rit_grant,
    chain: *const u8,
    chain_len: usize,
    out: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let terms = args::read(grant)?;
            if terms.reserved != 0 {
                return Err(Error::Argument("rit_grant.reserved"));
            }
            let chain = args::bytes(chain, chain_len, "chain")?;
            let out = Out::new(out, cap, len)?;
            let id = imp::sign_grant(inner, &terms, chain, out)?;
            (&raw mut (*grant).id).write_unaligned(id);
            Ok(())
        })
    }
}

/// Signs a revocation list with this node's key, the device's owner's. rit_owner_tell takes it to
/// the device; whoever holds it may.
///
/// list: copied with all it points to. out: room for cap bytes, RIT_REVOKED_MAX always do; len:
/// gets the length. Errors: NULL, SIZE, GRANT (too long, or no such list), BUFFER, CRYPTO, STATE (a
/// library built without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_revoked_sign(
    node: *mut rit_node,
    list: *const rit_revoked,
    out: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let list = args::read(list)?;
            let bytes_of = |count: usize, each: usize| {
                count.checked_mul(each).ok_or(Error::Argument("rit_revoked"))
            };
            let (ids, keys) = (
                bytes_of(list.id_count, RIT_GRANT_ID_LEN)?,
                bytes_of(list.key_count, RIT_KEY_LEN)?,
            );
            let ids = args::bytes(list.ids, ids, "rit_revoked.ids")?;
            let keys = args::bytes(list.keys, keys, "rit_revoked.keys")?;
            imp::sign_revoked(inner, &list, ids, keys, Out::new(out, cap, len)?)
        })
    }
}

/// Signs that a device of this node's goes to a new owner. It works once; rit_owner_tell takes it
/// to the device. Grants and revocations of this ownership end with it.
///
/// device, new_owner: RIT_KEY_LEN bytes each. epoch: of the ownership that ends. out: room for cap
/// bytes, RIT_TRANSFER_MAX always do; len: gets the length. Errors: NULL, BUFFER, CRYPTO, STATE (a
/// library built without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[device; RIT_KEY_LEN], [new_owner; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_transfer_sign(
    node: *mut rit_node,
    device: *const u8,
    epoch: u32,
    new_owner: *const u8,
    out: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let (device, new_owner) =
                (args::key(device, "device")?, args::key(new_owner, "new_owner")?);
            imp::sign_transfer(inner, device, epoch, new_owner, Out::new(out, cap, len)?)
        })
    }
}

/// What rit_cloak_sign signs: that a device answers who asks who is there, or no more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_cloak {
    /// sizeof(struct rit_cloak).
    pub struct_size: u32,
    /// The ownership that it belongs to.
    pub epoch: u32,
    /// The device's key.
    pub device: [u8; RIT_KEY_LEN],
    /// Higher than in any before for this device, from 1 on; such as the time in seconds.
    pub number: u64,
    /// Now, in seconds since 1970.
    pub issued_s: u64,
    /// For so many seconds, at most RIT_CLOAK_FOR_MAX_S; 0: no more, at once.
    pub for_s: u32,
    /// 0.
    pub reserved: u32,
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_cloak {
    const NAME: &'static str = "rit_cloak";
}

/// Signs with this node's key, the device's owner's, that the device may be found for a while, or
/// no more. rit_owner_tell takes it to the device, where it works once.
///
/// cloak: copied. out: room for cap bytes, RIT_CLOAK_MAX always do; len: gets the length.
/// Errors: NULL, SIZE, ARG (number 0, for_s, reserved), BUFFER, CRYPTO, STATE (a library built
/// without `trust`), NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_cloak_sign(
    node: *mut rit_node,
    cloak: *const rit_cloak,
    out: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| {
            let cloak = args::read(cloak)?;
            if cloak.reserved != 0 {
                return Err(Error::Argument("rit_cloak.reserved"));
            }
            if cloak.number == 0 {
                return Err(Error::Argument("rit_cloak.number"));
            }
            imp::sign_cloak(inner, &cloak, Out::new(out, cap, len)?)
        })
    }
}

#[cfg(feature = "trust")]
mod imp {
    use super::{Out, RIT_GRANT_ID_LEN, RIT_KEY_LEN, rit_cloak, rit_grant, rit_revoked};
    use crate::args;
    use crate::error::Error;
    use crate::memory;
    use crate::node::Inner;
    use alloc::vec::Vec;
    use core::ffi::c_char;
    use rit_core::base::PublicKey;
    use rit_core::trust::{
        CHAIN_LEN_MAX, CLOAK_FOR_MAX_S, CLOAK_LEN_MAX, GRANT_SERVICES_MAX, GrantId,
        REVOCATION_LEN_MAX, REVOKED_IDS_MAX, REVOKED_KEYS_MAX, Revocations, Rights, ServiceList,
        TRANSFER_LEN_MAX, Terms, append_grant, sign_cloak as cloak, sign_transfer as sign,
    };
    use rit_core::wire::message::SERVICE_NAME_LEN_MAX;

    const _: () = assert!(
        CHAIN_LEN_MAX == super::RIT_CHAIN_MAX
            && REVOCATION_LEN_MAX == super::RIT_REVOKED_MAX
            && TRANSFER_LEN_MAX == super::RIT_TRANSFER_MAX
            && CLOAK_LEN_MAX == super::RIT_CLOAK_MAX
            && CLOAK_FOR_MAX_S == super::RIT_CLOAK_FOR_MAX_S
    );

    /// Memory for making a statement, which grows as it is put together, is copied into its
    /// signature's input and checked.
    const ROOM: usize = 8 * CHAIN_LEN_MAX;

    /// # Safety
    /// `grant.services` points to as many texts as `service_count` says.
    pub(super) unsafe fn sign_grant(
        inner: &mut Inner,
        grant: &rit_grant,
        chain: &[u8],
        out: Out<'_>,
    ) -> Result<[u8; RIT_GRANT_ID_LEN], Error> {
        memory::check(ROOM)?;
        // SAFETY: the caller's promise.
        let services = unsafe { services(grant)? };
        let is_given = grant.id != [0; RIT_GRANT_ID_LEN];
        let id = if is_given { grant.id } else { inner.node.draw() };
        let given = |time: u64| Some(time).filter(|time| *time != 0);
        let terms = Terms {
            device: PublicKey(grant.device),
            subject: PublicKey(grant.subject),
            id: GrantId(id),
            issued_s: grant.issued_s,
            not_before_s: given(grant.not_before_s),
            expires_s: given(grant.expires_s),
            epoch: grant.epoch,
            rights: Rights::from_bits(grant.rights.into())
                .ok_or(Error::Argument("rit_grant.rights"))?,
            depth: grant.depth,
            must_be_fresh: match grant.must_be_fresh {
                0 => false,
                1 => true,
                _ => return Err(Error::Argument("rit_grant.must_be_fresh")),
            },
            services: services.services(),
        };
        let signed = terms.sign(inner.node.signer())?;
        out.write(&append_grant(chain, &signed)?)?;
        Ok(id)
    }

    /// # Safety
    /// As for `sign_grant`.
    unsafe fn services(grant: &rit_grant) -> Result<ServiceList, Error> {
        let count = usize::from(grant.service_count);
        if count == 0 {
            return Ok(ServiceList::all());
        }
        if grant.services.is_null() {
            return Err(Error::Null("rit_grant.services"));
        }
        if count > GRANT_SERVICES_MAX {
            return Err(Error::Argument("rit_grant.service_count"));
        }
        let mut names = Vec::with_capacity(count);
        for index in 0..count {
            // SAFETY: inside the caller's array.
            let name: *const c_char = unsafe { grant.services.add(index).read_unaligned() };
            // SAFETY: the caller's promise.
            names.push(unsafe { args::text(name, SERVICE_NAME_LEN_MAX, "rit_grant.services")? });
        }
        ServiceList::of(&names).map_err(|_| Error::Argument("rit_grant.services"))
    }

    pub(super) fn sign_revoked(
        inner: &mut Inner,
        list: &rit_revoked,
        ids: &[u8],
        keys: &[u8],
        out: Out<'_>,
    ) -> Result<(), Error> {
        if list.id_count > REVOKED_IDS_MAX || list.key_count > REVOKED_KEYS_MAX {
            return Err(Error::Argument("rit_revoked.id_count or key_count"));
        }
        memory::check(ROOM)?;
        let revocations = Revocations {
            number: list.number,
            floor_s: list.floor_s,
            ids: pieces(ids).map(GrantId).collect(),
            keys: pieces(keys).map(PublicKey).collect(),
        };
        let device = PublicKey(list.device);
        out.write(&revocations.sign(&device, list.epoch, list.issued_s, inner.node.signer())?)
    }

    fn pieces<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
        bytes.chunks_exact(N).filter_map(|piece| piece.try_into().ok())
    }

    pub(super) fn sign_transfer(
        inner: &mut Inner,
        device: [u8; RIT_KEY_LEN],
        epoch: u32,
        new_owner: [u8; RIT_KEY_LEN],
        out: Out<'_>,
    ) -> Result<(), Error> {
        memory::check(ROOM)?;
        let signed = sign(&PublicKey(device), epoch, &PublicKey(new_owner), inner.node.signer());
        out.write(&signed?)
    }

    pub(super) fn sign_cloak(
        inner: &mut Inner,
        said: &rit_cloak,
        out: Out<'_>,
    ) -> Result<(), Error> {
        memory::check(ROOM)?;
        let (device, signer) = (PublicKey(said.device), inner.node.signer());
        out.write(&cloak(&device, said.epoch, said.number, said.issued_s, said.for_s, signer)?)
    }
}

#[cfg(not(feature = "trust"))]
mod imp {
    use super::{Out, RIT_GRANT_ID_LEN, RIT_KEY_LEN, rit_cloak, rit_grant, rit_revoked};
    use crate::error::Error;
    use crate::node::Inner;

    /// # Safety
    /// None is needed here.
    pub(super) unsafe fn sign_grant(
        _: &mut Inner,
        _: &rit_grant,
        _: &[u8],
        _: Out<'_>,
    ) -> Result<[u8; RIT_GRANT_ID_LEN], Error> {
        Err(Error::NoTrust)
    }

    pub(super) fn sign_revoked(
        _: &mut Inner,
        _: &rit_revoked,
        _: &[u8],
        _: &[u8],
        _: Out<'_>,
    ) -> Result<(), Error> {
        Err(Error::NoTrust)
    }

    pub(super) fn sign_transfer(
        _: &mut Inner,
        _: [u8; RIT_KEY_LEN],
        _: u32,
        _: [u8; RIT_KEY_LEN],
        _: Out<'_>,
    ) -> Result<(), Error> {
        Err(Error::NoTrust)
    }

    pub(super) fn sign_cloak(_: &mut Inner, _: &rit_cloak, _: Out<'_>) -> Result<(), Error> {
        Err(Error::NoTrust)
    }
}
