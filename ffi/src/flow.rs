//! UDP flows: messages of a UDP service, kept whole, never blocking.

use crate::args;
use crate::error::Error;
use crate::node::{command, rit_node};
use crate::service::service_name;
use crate::session::rit_session;
use crate::stream::refusal_of;
use core::ffi::c_char;
use core::time::Duration;
use rit_core::node::{FlowHandle, NodeError, SessionId};

/// Handle of a UDP flow, of whichever session; 0 is none. A generation is inside: a stale one is
/// RIT_ERR_HANDLE.
pub type rit_flow = u64;

/// Bytes of the longest message of a flow; less where the windows of either end are smaller.
pub const RIT_MESSAGE_MAX: usize = 65527;

/// Opens a flow to a UDP service of the device at the other end of a session that is up: one for
/// each address that UDP comes from here. Messages may be sent at once. FLOW_OPENED or FLOW_REFUSED
/// follows.
///
/// service: the name, not kept. out: gets the handle, good until rit_flow_close or SESSION_DOWN.
/// Errors: NULL, NAME, HANDLE, STATE (the session is not up), LIMIT (max_flows here, or the peer's
/// max_streams), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_flow_open(
    node: *mut rit_node,
    session: rit_session,
    service: *const c_char,
    out: *mut rit_flow,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let service = service_name(service)?;
            let out = args::place(out, "out")?;
            out.write_unaligned(inner.node.flow_open(SessionId(session), service, now)?.0);
            Ok(())
        })
    }
}

/// Accepts a flow of FLOW_INCOMING. From then on messages can be sent and received.
///
/// Errors: AGAIN (no room for the answer now: try later), NULL, HANDLE, STATE (not an incoming one,
/// or answered already), RESET or CLOSED (the peer gave it up: rit_flow_close), REENTRY, INTERNAL.
/// Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_flow_accept(node: *mut rit_node, flow: rit_flow) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, now| Ok(inner.node.flow_accept(FlowHandle(flow), now)?)) }
}

/// Refuses a flow of FLOW_INCOMING; its handle is stale from then on.
///
/// refusal: RIT_REFUSED_*, told to the peer. Errors: NULL, ARG (refusal), HANDLE (stale, not an
/// incoming one, or answered already), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_flow_refuse(node: *mut rit_node, flow: rit_flow, refusal: i32) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let refusal = refusal_of(refusal)?;
            Ok(inner.node.flow_refuse(FlowHandle(flow), refusal, now)?)
        })
    }
}

/// Sends a message, whole or not at all. As with UDP it may be lost, and messages may overtake each
/// other. Up to rit_datagram_max bytes it is one datagram, sent once or never; longer ones, and
/// those sent before FLOW_OPENED, go on the flow's stream, which repeats what is lost.
///
/// buf: len bytes, copied; 0 to RIT_MESSAGE_MAX. expiry_us: microseconds from now after which it is
/// not worth sending any more and is dropped if it is still here; 0: none. On the stream there is
/// none.
/// Errors: LIMIT (too much waits to be sent; no event follows: drop the message, as UDP would),
/// TOO_LARGE, NULL, HANDLE, STATE (not accepted, or over), REENTRY, INTERNAL. Not in a callback,
/// not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_datagram_send(
    node: *mut rit_node,
    flow: rit_flow,
    buf: *const u8,
    len: usize,
    expiry_us: u64,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let message = args::bytes(buf, len, "buf")?;
            let expiry = (expiry_us > 0).then(|| Duration::from_micros(expiry_us));
            Ok(inner.node.datagram_send(FlowHandle(flow), message, expiry, now)?)
        })
    }
}

/// Gives the next message that came, whole.
///
/// buf: room for cap bytes. len: gets how many there are, 0 for an empty message.
/// Errors: AGAIN (none now: FLOW_READABLE follows), BUFFER (it has more than cap bytes; it stays,
/// and *len says how many), NULL, HANDLE, REENTRY, INTERNAL; *len is 0 but with BUFFER. Not in a
/// callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_datagram_recv(
    node: *mut rit_node,
    flow: rit_flow,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let len = args::place(len, "len")?;
            len.write_unaligned(0);
            let out = args::bytes_mut(buf, cap, "buf")?;
            let received = inner.node.datagram_recv(FlowHandle(flow), out, now);
            if let Ok(needed) | Err(NodeError::Buffer(needed)) = received {
                len.write_unaligned(needed);
            }
            received.map(|_| ()).map_err(Error::from)
        })
    }
}

/// How long a message may be to go as one datagram now; it changes with the path. 0: the peer takes
/// none, and all go on the flow's stream.
///
/// Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_datagram_max(
    node: *mut rit_node,
    flow: rit_flow,
    out: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let out = args::place(out, "out")?;
            out.write_unaligned(inner.node.datagram_max(FlowHandle(flow), now)?);
            Ok(())
        })
    }
}

/// Ends a flow and gives the handle back; every flow wants this in the end, but for refused
/// incoming ones and those of a session that is down. The peer gets FLOW_CLOSED.
///
/// Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_flow_close(node: *mut rit_node, flow: rit_flow) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, now| Ok(inner.node.flow_close(FlowHandle(flow), now)?)) }
}
