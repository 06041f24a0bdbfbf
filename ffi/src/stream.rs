//! Streams: one TCP connection of a service each, never blocking.

use crate::args;
use crate::crypto::rit_bytes;
use crate::error::Error;
use crate::node::{command, rit_node};
use crate::service::service_name;
use crate::session::{code, rit_session};
use core::ffi::c_char;
use core::time::Duration;
use rit_core::node::{SessionId, StreamHandle};
use rit_core::transport::Priority;
use rit_core::tunnel::{CODE_DEADLINE, Refusal};

/// Handle of a stream, of whichever session; 0 is none. A generation is inside: a stale one is
/// RIT_ERR_HANDLE.
pub type rit_stream = u64;

/// The service itself refused, as a closed TCP port does.
pub const RIT_REFUSED_SERVICE: i32 = 1;
/// This peer may not use it.
pub const RIT_REFUSED_DENIED: i32 = 2;
/// There is no such service.
pub const RIT_REFUSED_UNKNOWN: i32 = 3;
/// A limit of the device is reached.
pub const RIT_REFUSED_LIMIT: i32 = 4;

/// The last urgency of rit_stream_set_priority.
pub const RIT_URGENCY_MAX: u8 = 7;
/// STREAM_RESET's code when the peer's deadline for what it sends passed.
pub const RIT_CODE_DEADLINE: u64 = 3;

const _: () = assert!(RIT_URGENCY_MAX as usize == Priority::LEVELS - 1);
const _: () = assert!(RIT_CODE_DEADLINE == CODE_DEADLINE);

/// Opens a stream to a service of the device at the other end of a session that is up. Bytes may be
/// written at once. STREAM_OPENED or STREAM_REFUSED follows.
///
/// service: the name, not kept. out: gets the handle, good until rit_stream_release or
/// SESSION_DOWN. Errors: NULL, NAME, HANDLE, STATE (the session is not up), LIMIT (the peer's
/// max_streams are open), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_open(
    node: *mut rit_node,
    session: rit_session,
    service: *const c_char,
    out: *mut rit_stream,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let service = service_name(service)?;
            let out = args::place(out, "out")?;
            out.write_unaligned(inner.node.stream_open(SessionId(session), service, now)?.0);
            Ok(())
        })
    }
}

/// Accepts a stream of STREAM_INCOMING, once the service behind it is connected. From then on it
/// can be written to; it can be read before.
///
/// Errors: NULL, HANDLE, STATE (not an incoming one, or answered already), REENTRY, INTERNAL. Not
/// in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_accept(node: *mut rit_node, stream: rit_stream) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, now| Ok(inner.node.stream_accept(StreamHandle(stream), now)?)) }
}

/// Refuses a stream of STREAM_INCOMING; its handle is stale from then on.
///
/// refusal: RIT_REFUSED_*, told to the peer. Errors: NULL, ARG (refusal), HANDLE (stale, not an
/// incoming one, or answered already), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_refuse(
    node: *mut rit_node,
    stream: rit_stream,
    refusal: i32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let refusal = refusal_of(refusal)?;
            Ok(inner.node.stream_refuse(StreamHandle(stream), refusal, now)?)
        })
    }
}

pub(crate) fn refusal_of(refusal: i32) -> Result<Refusal, Error> {
    match refusal {
        RIT_REFUSED_SERVICE => Ok(Refusal::Service),
        RIT_REFUSED_DENIED => Ok(Refusal::Denied),
        RIT_REFUSED_UNKNOWN => Ok(Refusal::Unknown),
        RIT_REFUSED_LIMIT => Ok(Refusal::Limit),
        _ => Err(Error::Argument("refusal")),
    }
}

/// Takes bytes to send, as many as there is room for.
///
/// buf: len bytes, copied. written: gets how many were taken, 1 to len; if fewer than len,
/// STREAM_WRITABLE follows when there is room again. len 0 takes none and is fine.
/// Errors: AGAIN (no room: STREAM_WRITABLE follows), NULL, HANDLE, STATE (not accepted yet, or
/// finished), RESET or CLOSED (the peer wants no more: see STREAM_STOPPED), TIMEOUT (its deadline
/// passed), REENTRY, INTERNAL; *written is 0 then. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_write(
    node: *mut rit_node,
    stream: rit_stream,
    buf: *const u8,
    len: usize,
    written: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let written = args::place(written, "written")?;
            written.write_unaligned(0);
            let data = args::bytes(buf, len, "buf")?;
            written.write_unaligned(inner.node.stream_write(StreamHandle(stream), data, now)?);
            Ok(())
        })
    }
}

/// Takes bytes to send that lie in several places, such as a chain of network buffers: the same as
/// rit_stream_write of all of them end to end, without copying them together first. They leave in
/// as few datagrams as they fit into, where a call for each piece may leave one for each.
///
/// parts: count of them, copied. written: as there, of all bytes together.
/// Errors: as of rit_stream_write. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_write_parts(
    node: *mut rit_node,
    stream: rit_stream,
    parts: *const rit_bytes,
    count: usize,
    written: *mut usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let written = args::place(written, "written")?;
            written.write_unaligned(0);
            if parts.is_null() && count > 0 {
                return Err(Error::Null("parts"));
            }
            let mut all = 0;
            for index in 0..count {
                let part = parts.add(index).read_unaligned();
                let data = args::bytes(part.data, part.len, "parts")?;
                match inner.node.stream_write(StreamHandle(stream), data, now) {
                    Ok(taken) => {
                        all += taken;
                        written.write_unaligned(all);
                        if taken < data.len() {
                            break;
                        }
                    }
                    Err(_) if all > 0 => break,
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
    }
}

/// Gives bytes that came, in order. Reading makes room for the peer to send more; a stream that is
/// not read stops its sender, and nobody else.
///
/// buf: room for cap bytes, at least 1. len: gets how many there are; RIT_OK with 0 is the end of
/// the stream. Errors: AGAIN (none now: STREAM_READABLE follows), NULL, ARG (cap 0), HANDLE, STATE
/// (the end was read before), RESET (the peer gave up; what was not read is lost), REENTRY,
/// INTERNAL; *len is 0 then. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_read(
    node: *mut rit_node,
    stream: rit_stream,
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
            if out.is_empty() {
                return Err(Error::Argument("cap"));
            }
            len.write_unaligned(inner.node.stream_read(StreamHandle(stream), out, now)?);
            Ok(())
        })
    }
}

/// Ends this side after what was written, as a TCP FIN does; the other side goes on.
///
/// Errors: NULL, HANDLE, STATE (not accepted yet, or finished before), RESET, CLOSED, REENTRY,
/// INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_finish(node: *mut rit_node, stream: rit_stream) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, now| Ok(inner.node.stream_finish(StreamHandle(stream), now)?)) }
}

/// Gives this side up, as a TCP RST does: what was not sent yet never will be. The peer gets
/// STREAM_RESET with the code; its bytes still come.
///
/// code: 0 to 2^62 - 1. Errors: NULL, ARG (code), HANDLE, STATE, REENTRY, INTERNAL. Not in a
/// callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_reset(
    node: *mut rit_node,
    stream: rit_stream,
    code: u64,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let code = self::code(code)?;
            Ok(inner.node.stream_reset(StreamHandle(stream), code, now)?)
        })
    }
}

/// Asks the peer to send no more. The peer gets STREAM_STOPPED with the code; this side may write
/// on.
///
/// code: 0 to 2^62 - 1. Errors: NULL, ARG (code), HANDLE, STATE, REENTRY, INTERNAL. Not in a
/// callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_stop(
    node: *mut rit_node,
    stream: rit_stream,
    code: u64,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let code = self::code(code)?;
            Ok(inner.node.stream_stop(StreamHandle(stream), code, now)?)
        })
    }
}

/// How the stream's data stands to that of the session's other streams (RFC 9218), on its way from
/// here: the peer is not told and sets its own. A stream begins with urgency 3, incremental.
///
/// urgency: 0, first, to 7, last. Nothing of a lower level is sent as long as a more urgent one has
/// data that the peer takes: a lower level can starve. Limits, resets and requests to stop do not
/// wait. is_incremental: 1, takes turns with others of its level; 0, goes before those, the streams
/// opened first first, each to its end.
/// Errors: NULL, ARG (urgency, is_incremental), HANDLE, STATE, REENTRY, INTERNAL. Not in a
/// callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_set_priority(
    node: *mut rit_node,
    stream: rit_stream,
    urgency: u32,
    is_incremental: u32,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let urgency = u8::try_from(urgency).ok().filter(|urgency| *urgency <= RIT_URGENCY_MAX);
            let urgency = urgency.ok_or(Error::Argument("urgency"))?;
            let is_incremental = match is_incremental {
                0 | 1 => is_incremental == 1,
                _ => return Err(Error::Argument("is_incremental")),
            };
            let stream = StreamHandle(stream);
            Ok(inner.node.stream_set_priority(stream, urgency, is_incremental, now)?)
        })
    }
}

/// Sets until when what is written is worth sending. What has not arrived by then, the end of the
/// stream included, is given up: STREAM_EXPIRED follows here, and STREAM_RESET with
/// RIT_CODE_DEADLINE at the peer. If nothing is on its way then, nothing happens, and there is no
/// deadline any more. The last call counts.
///
/// us: microseconds from now; UINT64_MAX: no deadline, as at first.
/// Errors: NULL, HANDLE, STATE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_set_deadline(
    node: *mut rit_node,
    stream: rit_stream,
    us: u64,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let deadline = (us != u64::MAX).then(|| now + Duration::from_micros(us));
            Ok(inner.node.stream_set_deadline(StreamHandle(stream), deadline, now)?)
        })
    }
}

/// Gives the handle back; every stream wants this in the end, but for refused incoming ones and
/// those of a session that is down. What is finished still arrives at the peer; what is not is
/// reset.
///
/// Errors: NULL, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_stream_release(node: *mut rit_node, stream: rit_stream) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe { command(node, |inner, now| Ok(inner.node.stream_release(StreamHandle(stream), now)?)) }
}
