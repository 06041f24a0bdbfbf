//! Sessions: reaching a device, and what is known of a session.

use crate::error::{RIT_ERR_ARG, RIT_ERR_NULL, RIT_ERR_SIZE, from_node};
use crate::io::rit_path;
use crate::node::{RIT_KEY_LEN, enter, rit_node};
use crate::structs::{self, Sized32};
use core::ffi::c_char;
use rit_core::base::{Path, PublicKey};
use rit_core::node::SessionId;

/// Handle of a session; 0 is never one. Stale after RIT_EVENT_SESSION_DOWN.
pub type rit_session = u64;

/// Bytes of a service's name with its NUL.
pub const RIT_SERVICE_NAME_MAX: usize = 64;

/// Whom to reach.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_target {
    /// sizeof(struct rit_target)
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// The device's public key.
    pub device: [u8; RIT_KEY_LEN],
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_target {}

/// Asks the broker for a session with a device. RIT_EVENT_SESSION_UP or RIT_EVENT_SESSION_DOWN
/// follows. A device that does not allow this node does not answer: that is RIT_ERR_TIMEOUT.
///
/// RIT_ERR_OFFLINE (no broker), RIT_ERR_LIMIT (max_sessions), RIT_ERR_ARG (it is this node),
/// RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_REENTRY. *out is written only on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_session_open(
    node: *mut rit_node,
    target: *const rit_target,
    out: *mut rit_session,
) -> i32 {
    enter(node, |inner, now| {
        if out.is_null() {
            return Err(RIT_ERR_NULL);
        }
        let target = structs::read(target)?;
        if target.reserved != 0 {
            return Err(RIT_ERR_SIZE);
        }
        let session = inner.node.session_open(PublicKey(target.device), now).map_err(from_node)?;
        structs::put(out, session.0)
    })
}

/// Ends a session; code reaches the peer. RIT_EVENT_SESSION_DOWN follows. What streams have not sent
/// yet is lost.
///
/// RIT_ERR_HANDLE, RIT_ERR_ARG (code above 2^62 - 1), RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_session_close(node: *mut rit_node, session: rit_session, code: u64) -> i32 {
    enter(node, |inner, now| {
        if code > rit_core::wire::codec::VARINT_MAX {
            return Err(RIT_ERR_ARG);
        }
        inner.node.session_close(SessionId(session), code, now).map_err(from_node)
    })
}

/// What is known of a session.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_session_info {
    /// sizeof(struct rit_session_info), set by the caller
    pub struct_size: u32,
    /// 1: this node asked for it.
    pub is_initiator: u32,
    /// Who is, or shall be, at the other end.
    pub peer: [u8; RIT_KEY_LEN],
    /// Where the peer answered from; port 0 before it did.
    pub path: rit_path,
    /// 1: streams can be opened.
    pub is_up: u32,
    /// Smoothed round-trip time in microseconds; 0 before it is known.
    pub rtt_us: u64,
    /// Services the device offers, as the broker told the initiator; 0 at the device.
    pub service_count: u32,
    /// Zero.
    pub reserved0: u32,
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_session_info {}

/// Fills what is known of a session. The caller sets out->struct_size.
///
/// RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_session_info(
    node: *const rit_node,
    session: rit_session,
    out: *mut rit_session_info,
) -> i32 {
    enter(node, |inner, _| {
        let info = inner.node.session_info(SessionId(session)).map_err(from_node)?;
        let nowhere = Path { ip: [0; 16], port: 0, ifindex: 0 };
        let value = rit_session_info {
            struct_size: 0,
            is_initiator: u32::from(info.is_initiator),
            peer: info.peer.0,
            path: rit_path::new(&info.path.unwrap_or(nowhere)),
            is_up: u32::from(info.is_up),
            rtt_us: info.rtt_us,
            service_count: info.services as u32,
            reserved0: 0,
            reserved: [0; 4],
        };
        structs::write(out, &value)
    })
}

/// A service the device of a session offers.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_service_info {
    /// sizeof(struct rit_service_info), set by the caller
    pub struct_size: u32,
    /// RIT_SERVICE_TCP
    pub kind: u16,
    /// The port people know it by.
    pub port: u16,
    /// NUL-ended.
    pub name: [c_char; RIT_SERVICE_NAME_MAX],
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_service_info {}

/// Fills the index-th service of a session's device, from 0. The caller sets out->struct_size.
///
/// RIT_ERR_ARG (index), RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_session_service(
    node: *const rit_node,
    session: rit_session,
    index: u32,
    out: *mut rit_service_info,
) -> i32 {
    enter(node, |inner, _| {
        let services = inner.node.session_services(SessionId(session)).map_err(from_node)?;
        let service = services.get(index as usize).ok_or(RIT_ERR_ARG)?;
        let mut name = [0; RIT_SERVICE_NAME_MAX];
        for (to, from) in name[..RIT_SERVICE_NAME_MAX - 1].iter_mut().zip(service.name.bytes()) {
            *to = from as c_char;
        }
        let kind = u16::from(service.kind);
        let value = rit_service_info { struct_size: 0, kind, port: service.port, name };
        structs::write(out, &value)
    })
}
