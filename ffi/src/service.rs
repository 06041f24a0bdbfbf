//! Services a device offers.

use crate::error::{RIT_ERR_ARG, RIT_ERR_NULL, from_node};
use crate::node::{enter, rit_node};
use crate::structs::{self, Sized32};
use core::ffi::c_char;
use rit_core::node::ServiceId;
use rit_core::wire::message::ServiceInfo;

/// Handle of a service offered here; 0 is never one.
pub type rit_service_id = u64;

/// Kind of a service: TCP connections.
pub const RIT_SERVICE_TCP: u16 = 0;

/// A service to offer.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rit_service {
    /// sizeof(struct rit_service)
    pub struct_size: u32,
    /// RIT_SERVICE_TCP
    pub kind: u16,
    /// The port people know it by; users' loopback listeners take the same.
    pub port: u16,
    /// 1 to 63 of a-z 0-9 - _ . ; NUL-ended; copied.
    pub name: *const c_char,
}

// SAFETY: integers and a pointer only.
unsafe impl Sized32 for rit_service {}

/// Offers a service. Peers that ask for it appear as RIT_EVENT_STREAM_INCOMING.
///
/// RIT_ERR_NAME, RIT_ERR_EXISTS, RIT_ERR_LIMIT (max_services), RIT_ERR_ARG (kind), RIT_ERR_NULL,
/// RIT_ERR_SIZE, RIT_ERR_REENTRY. *out is written only on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_service_add(
    node: *mut rit_node,
    service: *const rit_service,
    out: *mut rit_service_id,
) -> i32 {
    enter(node, |inner, now| {
        if out.is_null() {
            return Err(RIT_ERR_NULL);
        }
        let service = structs::read(service)?;
        if service.kind != RIT_SERVICE_TCP {
            return Err(RIT_ERR_ARG);
        }
        let name = structs::text(service.name)?.into();
        let info = ServiceInfo { name, kind: service.kind as u8, port: service.port };
        let id = inner.node.service_add(info, now).map_err(from_node)?;
        structs::put(out, id.0)
    })
}

/// Withdraws a service; streams already open go on.
///
/// RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_service_remove(node: *mut rit_node, service: rit_service_id) -> i32 {
    enter(node, |inner, now| inner.node.service_remove(ServiceId(service), now).map_err(from_node))
}
