//! Sessions: opened by a user's node to a device, each a tunnel for streams.

use crate::RIT_KEY_LEN;
use crate::args::{self, Answer, Versioned};
use crate::error::Error;
use crate::event::{RIT_PATH_DIRECT, path_kind};
use crate::io::rit_path;
use crate::memory;
use crate::node::{command, query, rit_node};
use crate::service::rit_service_info;
use crate::text::copy_cut;
use core::ffi::c_char;
use core::time::Duration;
use rit_core::base::{Ecn, PublicKey};
use rit_core::node::{PathInfo, SessionId};

/// Handle of a session; 0 is none. A generation is inside: a stale one is RIT_ERR_HANDLE.
pub type rit_session = u64;

/// Largest code that fits the wire's variable-length numbers.
const CODE_MAX: u64 = (1 << 62) - 1;

/// Memory for the words of [`rit_node_explain`], which grow as they are put together.
const EXPLAIN_ROOM: usize = 4096;

/// Whom to reach.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_target {
    /// sizeof(struct rit_target).
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// The device's public key.
    pub device: [u8; RIT_KEY_LEN],
    /// The chain of grants by which this node may use it, as whoever granted it handed it over;
    /// null for the device's owner, and where the device has this node on its list.
    pub chain: *const u8,
    /// Its bytes, at most RIT_CHAIN_MAX; 0 without one.
    pub chain_len: usize,
}

/// What is known of a session.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_session_info {
    /// sizeof(struct rit_session_info); set by the caller.
    pub struct_size: u32,
    /// 1: opened here; 0: by the peer.
    pub is_initiator: u32,
    /// 1: streams can be opened; 0: not yet.
    pub is_up: u32,
    /// Services the device offers; 0 at the device itself. See rit_session_service.
    pub service_count: u32,
    /// The public key at the other end.
    pub peer: [u8; RIT_KEY_LEN],
    /// Where the peer is; port 0 before it has answered.
    pub path: rit_path,
    /// RIT_PATH_DIRECT or RIT_PATH_RELAY; path is the relay's then.
    pub path_kind: u32,
    /// Paths that rit_session_path tells of.
    pub path_count: u32,
    /// Smoothed round-trip time in microseconds; 0 before it is known.
    pub rtt_us: u64,
    /// 0.
    pub reserved: [u64; 3],
}

/// A path of a session, and what is known of it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_path_info {
    /// sizeof(struct rit_path_info); set by the caller.
    pub struct_size: u32,
    /// RIT_PATH_DIRECT or RIT_PATH_RELAY; path is the relay's then.
    pub kind: u32,
    /// Where the peer may be.
    pub path: rit_path,
    /// Questions sent there since the last answer.
    pub asked: u32,
    /// RIT_PATH_UNKNOWN, RIT_PATH_ANSWERS or RIT_PATH_SILENT.
    pub state: u32,
    /// Microseconds: the least of its last round trips, of the path in use the smoothed one; 0: the
    /// peer never answered there.
    pub rtt_us: u64,
    /// RIT_PATH_SILENT: microseconds since the last answer; otherwise 0.
    pub silent_us: u64,
    /// Datagrams of this session sent there. Of paths that carried little it may be forgotten.
    pub datagrams_sent: u64,
    /// Their bytes of UDP payload, without what a relay adds.
    pub bytes_sent: u64,
    /// Datagrams of this session that came from there, bogus ones included.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// 0.
    pub reserved: [u64; 2],
}

/// rit_path_info.state: the peer never answered there.
pub const RIT_PATH_UNKNOWN: u32 = 0;
/// rit_path_info.state: the peer answers there.
pub const RIT_PATH_ANSWERS: u32 = 1;
/// rit_path_info.state: it did, and does not any more.
pub const RIT_PATH_SILENT: u32 = 2;

impl From<&PathInfo> for rit_path_info {
    fn from(info: &PathInfo) -> Self {
        let us = |time: Option<Duration>| time.map_or(0, |time| time.as_micros() as u64);
        rit_path_info {
            struct_size: 0,
            kind: path_kind(&info.path),
            path: rit_path::new(&info.path, Ecn::NotEct),
            asked: info.asked,
            state: match (info.rtt, info.silent_for) {
                (None, _) => RIT_PATH_UNKNOWN,
                (Some(_), None) => RIT_PATH_ANSWERS,
                (Some(_), Some(_)) => RIT_PATH_SILENT,
            },
            rtt_us: us(info.rtt),
            silent_us: us(info.silent_for),
            datagrams_sent: info.counts.datagrams_sent,
            bytes_sent: info.counts.bytes_sent,
            datagrams_received: info.counts.datagrams_received,
            bytes_received: info.counts.bytes_received,
            reserved: [0; 2],
        }
    }
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_path_info {
    const NAME: &'static str = "rit_path_info";
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_target {
    const NAME: &'static str = "rit_target";
}

// SAFETY: as above.
unsafe impl Versioned for rit_session_info {
    const NAME: &'static str = "rit_session_info";
}

/// A code that the wire can carry.
pub(crate) fn code(code: u64) -> Result<u64, Error> {
    if code <= CODE_MAX { Ok(code) } else { Err(Error::Argument("code")) }
}

/// Asks the broker, or the gateway while that is away, for a session with a device. SESSION_UP or
/// SESSION_DOWN follows with the handle. Opening is not waiting for: other sessions go on
/// meanwhile.
///
/// target: copied with all it points to. out: gets the handle, good until SESSION_DOWN.
/// Errors: NULL, ARG (this node's own key; chain_len), SIZE, OFFLINE (neither is online: wait for
/// BROKER_ONLINE or GATEWAY_ONLINE), STATE (the library is built without `initiator`), LIMIT
/// (max_sessions), REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_open(
    node: *mut rit_node,
    target: *const rit_target,
    out: *mut rit_session,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let target = args::read(target)?;
            let out = args::place(out, "out")?;
            if target.reserved != 0 {
                return Err(Error::Argument("rit_target.reserved"));
            }
            let chain = args::bytes(target.chain, target.chain_len, "rit_target.chain")?;
            let device = PublicKey(target.device);
            out.write_unaligned(inner.node.session_open_with(device, chain, now)?.0);
            Ok(())
        })
    }
}

/// Ends a session and resets its streams. SESSION_DOWN follows with error RIT_OK; the peer gets its
/// own with error CLOSED and this code.
///
/// code: 0 to 2^62 - 1, meaning what the two applications agree on; 0 for "done".
/// Errors: NULL, ARG (code), HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_close(
    node: *mut rit_node,
    session: rit_session,
    code: u64,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let code = self::code(code)?;
            Ok(inner.node.session_close(SessionId(session), code, now)?)
        })
    }
}

/// What is known of a session. The caller sets out->struct_size.
///
/// Errors: NULL, SIZE, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_info(
    node: *const rit_node,
    session: rit_session,
    out: *mut rit_session_info,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            let answer = Answer::new(out)?;
            let info = inner.node.session_info(SessionId(session))?;
            answer.write(rit_session_info {
                struct_size: 0,
                is_initiator: info.is_initiator.into(),
                is_up: info.is_up.into(),
                service_count: u32::try_from(info.services).unwrap_or(u32::MAX),
                peer: info.peer.0,
                path: info
                    .path
                    .as_ref()
                    .map_or_else(rit_path::empty, |path| rit_path::new(path, Ecn::NotEct)),
                path_kind: info.path.as_ref().map_or(RIT_PATH_DIRECT, path_kind),
                rtt_us: info.rtt_us,
                path_count: info.paths as u32,
                reserved: [0; 3],
            });
            Ok(())
        })
    }
}

/// A service of the device at the other end, by its index from 0 to service_count - 1; as the
/// device told the broker when it was asked. The caller sets out->struct_size.
///
/// Errors: NULL, ARG (no such index), SIZE, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an
/// ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_service(
    node: *const rit_node,
    session: rit_session,
    index: u32,
    out: *mut rit_service_info,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            let answer = Answer::new(out)?;
            let services = inner.node.session_services(SessionId(session))?;
            let service = services.get(index as usize).ok_or(Error::Argument("index"))?;
            answer.write(rit_service_info::from(service));
            Ok(())
        })
    }
}

/// A path of a session by its index from 0 to path_count - 1: 0 is the one in use, once the peer
/// answered; the others are those that were tried, in an order that may change from call to call.
/// The caller sets out->struct_size.
///
/// Errors: NULL, ARG (no such index), SIZE, HANDLE, REENTRY, INTERNAL. Not in a callback, not in an
/// ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_session_path(
    node: *mut rit_node,
    session: rit_session,
    index: u32,
    out: *mut rit_path_info,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let answer = Answer::new(out)?;
            let paths = inner.node.session_paths(SessionId(session), now)?;
            let path = paths.get(index as usize).ok_or(Error::Argument("index"))?;
            answer.write(rit_path_info::from(path));
            Ok(())
        })
    }
}

/// Writes why a session goes the way it does, in words, for people and logs: how each side's NAT
/// maps, the addresses that were tried and what came of it, and why the path is a relay, if it is.
/// The words may change with each version.
///
/// out: gets the text, cut to cap - 1 bytes, and a NUL. A kilobyte holds most of them.
/// Errors: NULL, ARG (cap 0), HANDLE, NOMEM, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_explain(
    node: *mut rit_node,
    session: rit_session,
    out: *mut c_char,
    cap: usize,
) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        command(node, |inner, now| {
            let out = args::bytes_mut(out.cast(), cap, "out")?;
            if out.is_empty() {
                return Err(Error::Argument("cap"));
            }
            memory::check(EXPLAIN_ROOM)?;
            copy_cut(&inner.node.explain(SessionId(session), now)?, out);
            Ok(())
        })
    }
}
