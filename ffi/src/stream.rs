//! Streams: one TCP connection of a service each. Nothing here blocks.

use crate::error::{RIT_ERR_ARG, RIT_ERR_NULL, from_node};
use crate::node::{enter, rit_node};
use crate::session::rit_session;
use crate::structs;
use core::ffi::c_char;
use rit_core::node::{NodeError, SessionId, StreamHandle};
use rit_core::tunnel::Refusal;

/// Handle of a stream; 0 is never one. Good until rit_stream_release, rit_stream_refuse, or
/// RIT_EVENT_SESSION_DOWN of its session.
pub type rit_stream = u64;

/// Refusal: the service itself, as a closed TCP port does.
pub const RIT_REFUSED_SERVICE: i32 = 1;
/// Refusal: this peer may not use it.
pub const RIT_REFUSED_DENIED: i32 = 2;
/// Refusal: no such service.
pub const RIT_REFUSED_UNKNOWN: i32 = 3;
/// Refusal: a limit of the device.
pub const RIT_REFUSED_LIMIT: i32 = 4;

fn act(
    node: *mut rit_node,
    stream: rit_stream,
    act: impl FnOnce(
        &mut rit_core::node::Node,
        StreamHandle,
        rit_core::base::Time,
    ) -> Result<(), NodeError>,
) -> i32 {
    enter(node, |inner, now| act(&mut inner.node, StreamHandle(stream), now).map_err(from_node))
}

fn check_code(code: u64) -> Result<(), NodeError> {
    if code > rit_core::wire::codec::VARINT_MAX { Err(NodeError::Argument) } else { Ok(()) }
}

/// Opens a stream to a service of the session's device. Bytes may be written at once.
/// RIT_EVENT_STREAM_OPENED or RIT_EVENT_STREAM_REFUSED follows; release it in both cases.
///
/// RIT_ERR_NAME, RIT_ERR_STATE (the session is not up), RIT_ERR_LIMIT (streams, or buffers are full),
/// RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY. *out is written only on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_open(
    node: *mut rit_node,
    session: rit_session,
    service: *const c_char,
    out: *mut rit_stream,
) -> i32 {
    enter(node, |inner, now| {
        if out.is_null() {
            return Err(RIT_ERR_NULL);
        }
        let service = structs::text(service)?;
        let opened = inner.node.stream_open(SessionId(session), service, now);
        structs::put(out, opened.map_err(from_node)?.0)
    })
}

/// Accepts an incoming stream: the service is open.
///
/// RIT_ERR_STATE (answered already), RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_accept(node: *mut rit_node, stream: rit_stream) -> i32 {
    act(node, stream, |node, stream, now| node.stream_accept(stream, now))
}

/// Refuses an incoming stream with one of RIT_REFUSED_*; its handle is stale from then on.
///
/// RIT_ERR_ARG (refusal), RIT_ERR_HANDLE (also: answered already), RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_refuse(node: *mut rit_node, stream: rit_stream, refusal: i32) -> i32 {
    enter(node, |inner, now| {
        if !(RIT_REFUSED_SERVICE..=RIT_REFUSED_LIMIT).contains(&refusal) {
            return Err(RIT_ERR_ARG);
        }
        let refusal = Refusal::from_code(refusal as u8);
        inner.node.stream_refuse(StreamHandle(stream), refusal, now).map_err(from_node)
    })
}

/// Buffers up to len bytes to send; *written tells how many were taken. If that is fewer than len,
/// RIT_EVENT_STREAM_WRITABLE follows. buf is copied.
///
/// RIT_ERR_AGAIN: none were taken. RIT_ERR_CLOSED: the peer wants no more. RIT_ERR_STATE: finished, or
/// not accepted yet. RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY. *written is written only on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_write(
    node: *mut rit_node,
    stream: rit_stream,
    buf: *const u8,
    len: usize,
    written: *mut usize,
) -> i32 {
    enter(node, |inner, now| {
        if written.is_null() {
            return Err(RIT_ERR_NULL);
        }
        let data = structs::bytes(buf, len)?;
        let taken = inner.node.stream_write(StreamHandle(stream), data, now).map_err(from_node)?;
        structs::put(written, taken)
    })
}

/// Reads up to cap bytes; *len tells how many. RIT_OK with *len 0 is the end of the stream (or cap
/// was 0). What is not read stays in the peer's window: it stops sending.
///
/// RIT_ERR_AGAIN: nothing now; RIT_EVENT_STREAM_READABLE follows. RIT_ERR_RESET: the peer gave it up.
/// RIT_ERR_STATE, RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY. *len is written only on success.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_read(
    node: *mut rit_node,
    stream: rit_stream,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    enter(node, |inner, now| {
        if len.is_null() {
            return Err(RIT_ERR_NULL);
        }
        let out = structs::bytes_mut(buf, cap)?;
        if out.is_empty() {
            return structs::put(len, 0);
        }
        let read = inner.node.stream_read(StreamHandle(stream), out, now).map_err(from_node)?;
        structs::put(len, read.len)
    })
}

/// Ends our side after what was written, as a TCP FIN does. Reading goes on.
///
/// RIT_ERR_STATE (finished or reset already), RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_finish(node: *mut rit_node, stream: rit_stream) -> i32 {
    act(node, stream, |node, stream, now| node.stream_finish(stream, now))
}

/// Gives our side up, as a TCP RST does; code (below 2^62) reaches the peer.
///
/// RIT_ERR_ARG, RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_reset(node: *mut rit_node, stream: rit_stream, code: u64) -> i32 {
    act(node, stream, |node, stream, now| {
        check_code(code)?;
        node.stream_reset(stream, code, now)
    })
}

/// Asks the peer to send no more; what still comes is dropped. code (below 2^62) reaches the peer.
///
/// RIT_ERR_ARG, RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_stop(node: *mut rit_node, stream: rit_stream, code: u64) -> i32 {
    act(node, stream, |node, stream, now| {
        check_code(code)?;
        node.stream_stop(stream, code, now)
    })
}

/// Gives the handle back. What was finished is still delivered; a side that was not is reset.
///
/// RIT_ERR_HANDLE, RIT_ERR_NULL, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_stream_release(node: *mut rit_node, stream: rit_stream) -> i32 {
    act(node, stream, |node, stream, now| node.stream_release(stream, now))
}
