//! Events: what happened, fetched when it suits the integrator.

use crate::error::{RIT_ERR_AGAIN, RIT_OK, from_reason, from_refusal};
use crate::node::{RIT_KEY_LEN, enter, rit_node};
use crate::service::rit_service_id;
use crate::session::rit_session;
use crate::stream::rit_stream;
use crate::structs::{self, Sized32};
use rit_core::node::Event;

/// The broker answered and knows this node.
pub const RIT_EVENT_BROKER_ONLINE: u32 = 1;
/// The link to the broker is gone: error says why. The node tries again by itself; sessions go on.
pub const RIT_EVENT_BROKER_OFFLINE: u32 = 2;
/// The enrol code was accepted.
pub const RIT_EVENT_ENROLLED: u32 = 3;
/// The broker will not have this node: error says why. Call rit_broker_connect again.
pub const RIT_EVENT_ENROL_REFUSED: u32 = 4;
/// A session is up: session, peer, is_initiator.
pub const RIT_EVENT_SESSION_UP: u32 = 5;
/// A session is over: session, error, code if the peer closed it. Its handle and those of its streams
/// are stale.
pub const RIT_EVENT_SESSION_DOWN: u32 = 6;
/// A peer asks for a service: stream, session, service. Accept or refuse it.
pub const RIT_EVENT_STREAM_INCOMING: u32 = 7;
/// The device's service accepted: stream.
pub const RIT_EVENT_STREAM_OPENED: u32 = 8;
/// It refused: stream, error, code (RIT_REFUSED_*). Release the stream.
pub const RIT_EVENT_STREAM_REFUSED: u32 = 9;
/// Bytes, or the end, can be read: stream. Read until RIT_ERR_AGAIN or you are full; the event comes
/// again only when more arrives.
pub const RIT_EVENT_STREAM_READABLE: u32 = 10;
/// There is room again after a write that took less than given: stream.
pub const RIT_EVENT_STREAM_WRITABLE: u32 = 11;
/// The peer gave up its side: stream, code. What was not read is lost.
pub const RIT_EVENT_STREAM_RESET: u32 = 12;
/// The peer wants no more: stream, code.
pub const RIT_EVENT_STREAM_STOPPED: u32 = 13;

/// What happened. Fields an event does not name are zero.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct rit_event {
    /// sizeof(struct rit_event), set by the caller
    pub struct_size: u32,
    /// RIT_EVENT_*; skip those you do not know.
    pub r#type: u32,
    /// A rit_err.
    pub error: i32,
    /// 1: this node asked for the session.
    pub is_initiator: u32,
    /// The session.
    pub session: rit_session,
    /// The stream.
    pub stream: rit_stream,
    /// The service asked for.
    pub service: rit_service_id,
    /// The peer's code.
    pub code: u64,
    /// The peer's public key.
    pub peer: [u8; RIT_KEY_LEN],
    /// Zero.
    pub reserved: [u64; 4],
}

// SAFETY: integers only.
unsafe impl Sized32 for rit_event {}

/// Fetches the next event. The caller sets out->struct_size. Fetch until RIT_ERR_AGAIN after each call
/// that may cause events; those of one stream are merged, so the queue is bounded.
///
/// RIT_ERR_AGAIN (there is none), RIT_ERR_NULL, RIT_ERR_SIZE, RIT_ERR_REENTRY.
#[unsafe(no_mangle)]
pub extern "C" fn rit_node_next_event(node: *mut rit_node, out: *mut rit_event) -> i32 {
    let mut is_empty = false;
    let err = enter(node, |inner, _| {
        // Checked before the event is taken, or it would be lost.
        structs::write(out, &rit_event::default())?;
        match inner.node.poll_event() {
            Some(event) => structs::write(out, &to_c(event)),
            None => {
                is_empty = true;
                Ok(())
            }
        }
    });
    // No error worth remembering.
    if err == RIT_OK && is_empty { RIT_ERR_AGAIN } else { err }
}

fn to_c(event: Event) -> rit_event {
    let mut out = rit_event::default();
    match event {
        Event::BrokerOnline => out.r#type = RIT_EVENT_BROKER_ONLINE,
        Event::BrokerOffline(reason) => {
            out.r#type = RIT_EVENT_BROKER_OFFLINE;
            (out.error, out.code) = from_reason(reason);
        }
        Event::Enrolled => out.r#type = RIT_EVENT_ENROLLED,
        Event::EnrolRefused(reason) => {
            out.r#type = RIT_EVENT_ENROL_REFUSED;
            (out.error, out.code) = from_reason(reason);
        }
        Event::SessionUp { session, peer, is_initiator } => {
            out.r#type = RIT_EVENT_SESSION_UP;
            (out.session, out.peer) = (session.0, peer.0);
            out.is_initiator = u32::from(is_initiator);
        }
        Event::SessionDown { session, reason } => {
            out.r#type = RIT_EVENT_SESSION_DOWN;
            out.session = session.0;
            (out.error, out.code) = from_reason(reason);
        }
        Event::StreamIncoming { stream, session, service } => {
            out.r#type = RIT_EVENT_STREAM_INCOMING;
            (out.stream, out.session, out.service) = (stream.0, session.0, service.0);
        }
        Event::StreamOpened { stream } => {
            (out.r#type, out.stream) = (RIT_EVENT_STREAM_OPENED, stream.0);
        }
        Event::StreamRefused { stream, refusal } => {
            (out.r#type, out.stream) = (RIT_EVENT_STREAM_REFUSED, stream.0);
            (out.error, out.code) = (from_refusal(refusal), u64::from(refusal.code()));
        }
        Event::StreamReadable { stream } => {
            (out.r#type, out.stream) = (RIT_EVENT_STREAM_READABLE, stream.0);
        }
        Event::StreamWritable { stream } => {
            (out.r#type, out.stream) = (RIT_EVENT_STREAM_WRITABLE, stream.0);
        }
        Event::StreamReset { stream, code } => {
            (out.r#type, out.stream, out.code) = (RIT_EVENT_STREAM_RESET, stream.0, code);
        }
        Event::StreamStopped { stream, code } => {
            (out.r#type, out.stream, out.code) = (RIT_EVENT_STREAM_STOPPED, stream.0, code);
        }
    }
    out
}
