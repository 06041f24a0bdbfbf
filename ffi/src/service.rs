//! What a device offers, and to whom.

use crate::args::{self, Versioned};
use crate::error::Error;
use crate::node::{command, rit_node};
use core::ffi::c_char;
use core::time::Duration;
use rit_core::base::PublicKey;
use rit_core::node::{NodeError, ServiceId};
use rit_core::tunnel::{FLOW_IDLE_DEFAULT, FLOW_IDLE_MIN};
use rit_core::wire::message::{SERVICE_NAME_LEN_MAX, SERVICE_TCP, SERVICE_UDP, ServiceInfo};

/// Handle of a service offered here; 0 is none.
pub type rit_service_id = u64;

/// rit_service.kind: a TCP service. Each stream is one connection.
pub const RIT_SERVICE_TCP: u16 = 0;
/// rit_service.kind: a UDP service. Each flow is one remote address.
pub const RIT_SERVICE_UDP: u16 = 1;

/// Bytes of the longest service name with its NUL.
pub const RIT_SERVICE_NAME_MAX: usize = 64;

/// A service to offer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_service {
    /// sizeof(struct rit_service).
    pub struct_size: u32,
    /// RIT_SERVICE_TCP or RIT_SERVICE_UDP.
    pub kind: u16,
    /// The port people know such a service by, such as 80; told to the peer. 0: none.
    pub port: u16,
    /// Its name: 1 to 63 characters of a-z 0-9 - _ and dot, with a NUL.
    pub name: *const c_char,
    /// A flow of a UDP service ends after so many milliseconds without a message either way, at
    /// least 30000; 0: 120000 (RFC 4787, REQ-5).
    pub flow_idle_ms: u32,
    /// 1: it may be used by a grant only if the broker said just before the session that it still
    /// holds, so that a list that is on its way cannot be kept from the device; the peers of
    /// rit_peer_allow are not concerned. 0 otherwise, and in a library built without `trust`.
    pub must_be_fresh: u32,
}

/// A service that the device at the other end of a session offers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_service_info {
    /// sizeof(struct rit_service_info); set by the caller.
    pub struct_size: u32,
    /// RIT_SERVICE_TCP or RIT_SERVICE_UDP; ignore services of other kinds.
    pub kind: u16,
    /// The port people know it by; 0: none.
    pub port: u16,
    /// Its name, with a NUL.
    pub name: [c_char; RIT_SERVICE_NAME_MAX],
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_service {
    const NAME: &'static str = "rit_service";
}

// SAFETY: as above.
unsafe impl Versioned for rit_service_info {
    const NAME: &'static str = "rit_service_info";
}

impl From<&ServiceInfo> for rit_service_info {
    fn from(service: &ServiceInfo) -> Self {
        let mut name = [0; RIT_SERVICE_NAME_MAX];
        let bytes = service.name.bytes().take(RIT_SERVICE_NAME_MAX - 1);
        for (to, from) in name.iter_mut().zip(bytes) {
            *to = from as c_char;
        }
        rit_service_info { struct_size: 0, kind: service.kind.into(), port: service.port, name }
    }
}

/// Lets a peer open sessions to this node and use all its services. Without it nobody may.
///
/// key: the peer's public key, 32 bytes. Not stored: call it at each start. Allowing twice
/// is fine.
/// Errors: NULL, LIMIT (max_peers), REENTRY, INTERNAL. Not in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[key; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_peer_allow(node: *mut rit_node, key: *const u8) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, _| Ok(inner.node.peer_allow(PublicKey(args::key(key, "key")?))?))
    }
}

/// Takes rit_peer_allow back. Sessions that the peer has opened end: SESSION_DOWN follows for each.
///
/// key: the peer's public key, 32 bytes.
/// Errors: NULL, UNKNOWN (it was not allowed), REENTRY, INTERNAL. Not in a callback, not in an ISR.
/// cbindgen:ptrs-as-arrays=[[key; RIT_KEY_LEN]]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_peer_forbid(node: *mut rit_node, key: *const u8) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let was_allowed = inner.node.peer_forbid(&PublicKey(args::key(key, "key")?), now);
            if was_allowed { Ok(()) } else { Err(Error::NotAllowed) }
        })
    }
}

/// Offers a service, online or not. Peers that are allowed open streams or flows to it by its name,
/// each of which is told as STREAM_INCOMING or FLOW_INCOMING with this handle.
///
/// service: copied with its name. out: gets the handle, good until rit_service_remove.
/// Errors: NULL, ARG (kind, flow_idle_ms, reserved), SIZE, NAME, EXISTS (the name, among services
/// of this kind), LIMIT (max_services), REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_service_add(
    node: *mut rit_node,
    service: *const rit_service,
    out: *mut rit_service_id,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let service = args::read(service)?;
            let out = args::place(out, "out")?;
            let kind = match service.kind {
                RIT_SERVICE_TCP => SERVICE_TCP,
                RIT_SERVICE_UDP => SERVICE_UDP,
                _ => return Err(Error::Argument("rit_service.kind")),
            };
            let name = service_name(service.name)?;
            let idle = match service.flow_idle_ms {
                0 => FLOW_IDLE_DEFAULT,
                ms => Duration::from_millis(ms.into()),
            };
            if idle < FLOW_IDLE_MIN {
                return Err(Error::Argument("rit_service.flow_idle_ms"));
            }
            let fresh_max = u32::from(cfg!(feature = "trust"));
            if service.must_be_fresh > fresh_max {
                return Err(Error::Argument("rit_service.must_be_fresh"));
            }
            let info = ServiceInfo { name: name.into(), kind, port: service.port };
            let id = inner.node.service_add(info, now)?;
            inner.node.service_set_flow_idle(id, idle)?;
            #[cfg(feature = "trust")]
            inner.node.service_demand_fresh(id, service.must_be_fresh == 1)?;
            out.write_unaligned(id.0);
            Ok(())
        })
    }
}

/// Withdraws a service; streams and flows that are open go on.
///
/// Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_service_remove(node: *mut rit_node, service: rit_service_id) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, now| Ok(inner.node.service_remove(ServiceId(service), now)?)) }
}

/// A text that may be a service's name; core says whether it is one.
///
/// # Safety
/// As for `args::text`.
pub(crate) unsafe fn service_name<'a>(name: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: the caller's promise.
    match unsafe { args::text(name, SERVICE_NAME_LEN_MAX, "name") } {
        Err(Error::Argument(_)) => Err(Error::Node(NodeError::Name)),
        result => result,
    }
}
