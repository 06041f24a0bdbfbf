//! What happened, in C's form.
//!
//! Events are fetched when it suits the integrator; none is a callback. Owns the numbers of the
//! types and which fields each of them fills in.

use crate::RIT_KEY_LEN;
use crate::args::{Answer, Versioned};
use crate::error::{Error, RIT_OK, reason_code, refusal_code};
use crate::flow::rit_flow;
use crate::io::{Io, RIT_LOG_INFO, RIT_LOG_WARN};
use crate::node::{query, rit_node};
use crate::service::rit_service_id;
use crate::session::rit_session;
use crate::stream::rit_stream;
use alloc::format;
use rit_core::base::Path;
use rit_core::node::{Event, Reason};
use rit_core::tunnel::Refusal;
#[cfg(feature = "trust")]
use {crate::error::note_code, rit_core::node::TrustEvent, rit_core::trust::NoteError};

/// The broker answered and knows this node: sessions can be opened, peers can find it.
pub const RIT_EVENT_BROKER_ONLINE: u32 = 1;
/// The link to the broker is gone; sessions go on, and the node tries the broker again by itself.
/// error: TIMEOUT; DENIED (it does not hold the key it should); CLOSED; REPLACED (another process
/// with this identity took over); LIMIT; OFFLINE (its storage failed); PEER; INTERNAL.
pub const RIT_EVENT_BROKER_OFFLINE: u32 = 2;
/// The enrol code was accepted; it is used up. BROKER_ONLINE follows.
pub const RIT_EVENT_ENROLLED: u32 = 3;
/// The broker does not take this node, and the node does not try again until rit_broker_connect.
/// error: CODE (wrong, expired or used: get a new one); DENIED (not enrolled, and no code given).
pub const RIT_EVENT_ENROL_REFUSED: u32 = 4;
/// A session is up: the peer has proved to hold its key. session, peer, is_initiator (1: this node
/// opened it, and may open streams to the peer's services; 0: the peer did).
pub const RIT_EVENT_SESSION_UP: u32 = 5;
/// A session is over, or never came up; its handle and those of its streams and flows are stale.
/// session; error: RIT_OK (closed here); CLOSED (by the peer's application, code); TIMEOUT; UNKNOWN
/// and OFFLINE (the broker says so of the device, or is away itself); DENIED; LIMIT; PEER;
/// INTERNAL.
pub const RIT_EVENT_SESSION_DOWN: u32 = 6;
/// The peer asks for a service of this node: rit_stream_accept or rit_stream_refuse.
/// stream, session, service.
pub const RIT_EVENT_STREAM_INCOMING: u32 = 7;
/// The peer's service accepted the stream. stream.
pub const RIT_EVENT_STREAM_OPENED: u32 = 8;
/// The peer's service did not: rit_stream_release. stream; code: RIT_REFUSED_*; error:
/// the same as REFUSED, DENIED, UNKNOWN or LIMIT.
pub const RIT_EVENT_STREAM_REFUSED: u32 = 9;
/// There are bytes, or the end of the stream, to read: rit_stream_read until RIT_ERR_AGAIN; what is
/// left unread is not told again before more comes. stream.
pub const RIT_EVENT_STREAM_READABLE: u32 = 10;
/// There is room again, after a write that took less than it was given. stream.
pub const RIT_EVENT_STREAM_WRITABLE: u32 = 11;
/// The peer gave up its side as a TCP RST does; what was not read is lost. stream, code.
pub const RIT_EVENT_STREAM_RESET: u32 = 12;
/// The peer wants no more bytes; writing is over, reading is not. stream, code.
pub const RIT_EVENT_STREAM_STOPPED: u32 = 13;
/// The deadline that rit_stream_set_deadline gave this side passed before all had arrived: the rest
/// is given up, writing is over, reading is not. stream.
pub const RIT_EVENT_STREAM_EXPIRED: u32 = 14;
/// The peer asks for a UDP service of this node: rit_flow_accept or rit_flow_refuse.
/// flow, session, service.
pub const RIT_EVENT_FLOW_INCOMING: u32 = 15;
/// The peer's UDP service accepted the flow. flow.
pub const RIT_EVENT_FLOW_OPENED: u32 = 16;
/// The peer's UDP service did not: rit_flow_close. flow; code: RIT_REFUSED_*; error: the same as
/// REFUSED, DENIED, UNKNOWN or LIMIT.
pub const RIT_EVENT_FLOW_REFUSED: u32 = 17;
/// There is a message to receive: rit_datagram_recv until RIT_ERR_AGAIN. flow.
pub const RIT_EVENT_FLOW_READABLE: u32 = 18;
/// The flow is over and all of it was received: rit_flow_close. flow; error: CLOSED (by the peer),
/// TIMEOUT (no message either way for the service's flow_idle_ms).
pub const RIT_EVENT_FLOW_CLOSED: u32 = 19;

/// The session goes another way than before; streams and flows go on. session; code: RIT_PATH_*;
/// rit_session_info tells the address and the round-trip time.
pub const RIT_EVENT_SESSION_PATH: u32 = 20;

/// This device has an owner now; it is stored. peer: the owner; code: the epoch.
pub const RIT_EVENT_CLAIMED: u32 = 21;
/// This device has another owner now, or none any more (peer of zeros, after rit_factory_reset); it
/// is stored, and sessions that are no longer permitted have ended. peer: the owner; code: the
/// epoch.
pub const RIT_EVENT_OWNER_CHANGED: u32 = 22;
/// The owner took grants back; it is stored, and their sessions have ended. code: the list's
/// number.
pub const RIT_EVENT_REVOKED: u32 = 23;
/// What came of rit_device_claim or rit_owner_tell. request; peer: the device, where it answered;
/// error: RIT_OK (code: of a claim the epoch); from the device, with its own number as code: STATE
/// (it obeys no owner, has none yet, or shows no code), EXISTS (it is another's), DENIED (wrong
/// secret, not its owner, or wrong too often), GRANT (of another device or ownership, an older
/// number, or its time is over by the device's clock or has not come), AGAIN (busy), STORAGE (it
/// cannot store); from elsewhere: OFFLINE, UNKNOWN, TIMEOUT, LIMIT, CRYPTO, PEER.
pub const RIT_EVENT_OWNER_ANSWERED: u32 = 24;

/// What a session's pipe holds crossed a threshold of rit_session_watch. session; code: 1: delay_us
/// rose above the high one; 0: it fell below the low one. It says how it is when it is fetched.
pub const RIT_EVENT_SESSION_PIPE: u32 = 25;

/// The broker is away, and the gateway of rit_gateway_connect answered and knows this node:
/// sessions can be opened, and peers of the LAN can find it.
pub const RIT_EVENT_GATEWAY_ONLINE: u32 = 26;
/// The link to the gateway is gone, or could not be had; sessions go on. error: RIT_OK (closed
/// here: the broker is back, or rit_gateway_forget); CODE and DENIED (the gateway does not take
/// this node; it is asked again after 15 minutes, without the code); otherwise as of
/// BROKER_OFFLINE, and the node tries again by itself.
pub const RIT_EVENT_GATEWAY_OFFLINE: u32 = 27;

/// The owner lets this device be found: it answers who asks who is there (PROTOCOL.md, section 12),
/// at the node's ports and at RIT_IDENTIFY_PORT where the port opens that now. code: for so many
/// seconds; 0: it is over, and the device answers nobody any more. It ends by itself, and with a
/// restart.
pub const RIT_EVENT_CLOAK: u32 = 28;

/// The peer is reached at its own address.
pub const RIT_PATH_DIRECT: u32 = 0;
/// The peer is reached through a relay, which sees sealed packets.
pub const RIT_PATH_RELAY: u32 = 1;

/// What happened. Fields that the type's comment does not name are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct rit_event {
    /// sizeof(struct rit_event); set by the caller.
    pub struct_size: u32,
    /// RIT_EVENT_*. Types of later versions may come: ignore those you do not know.
    pub r#type: u32,
    /// RIT_OK or RIT_ERR_*.
    pub error: i32,
    /// 1 or 0.
    pub is_initiator: u32,
    /// Which session.
    pub session: rit_session,
    /// Which stream.
    pub stream: rit_stream,
    /// Which service of this node.
    pub service: rit_service_id,
    /// A number from the peer.
    pub code: u64,
    /// The peer's public key.
    pub peer: [u8; RIT_KEY_LEN],
    /// Which flow.
    pub flow: rit_flow,
    /// Which request.
    pub request: u64,
    /// 0.
    pub reserved: [u64; 2],
}

// SAFETY: repr(C), begins with struct_size, no padding, any bytes are a value.
unsafe impl Versioned for rit_event {
    const NAME: &'static str = "rit_event";
}

impl rit_event {
    fn new(r#type: u32) -> Self {
        rit_event {
            struct_size: 0,
            r#type,
            error: RIT_OK,
            is_initiator: 0,
            session: 0,
            stream: 0,
            service: 0,
            code: 0,
            peer: [0; 32],
            flow: 0,
            request: 0,
            reserved: [0; 2],
        }
    }

    fn because(self, reason: Reason) -> Self {
        let (error, code) = reason_code(reason);
        rit_event { error, code, ..self }
    }

    fn refused(self, refusal: Refusal) -> Self {
        rit_event { error: refusal_code(refusal), code: refusal.code().into(), ..self }
    }
}

impl From<&Event> for rit_event {
    fn from(event: &Event) -> Self {
        let new = rit_event::new;
        match *event {
            Event::BrokerOnline => new(RIT_EVENT_BROKER_ONLINE),
            Event::BrokerOffline(reason) => new(RIT_EVENT_BROKER_OFFLINE).because(reason),
            Event::Enrolled => new(RIT_EVENT_ENROLLED),
            Event::EnrolRefused(reason) => new(RIT_EVENT_ENROL_REFUSED).because(reason),
            Event::SessionUp { session, peer, is_initiator } => rit_event {
                session: session.0,
                peer: peer.0,
                is_initiator: is_initiator.into(),
                ..new(RIT_EVENT_SESSION_UP)
            },
            Event::SessionDown { session, reason } => {
                rit_event { session: session.0, ..new(RIT_EVENT_SESSION_DOWN).because(reason) }
            }
            Event::SessionMoved { session, path } => rit_event {
                session: session.0,
                code: path_kind(&path).into(),
                ..new(RIT_EVENT_SESSION_PATH)
            },
            Event::StreamIncoming { stream, session, service } => rit_event {
                stream: stream.0,
                session: session.0,
                service: service.0,
                ..new(RIT_EVENT_STREAM_INCOMING)
            },
            Event::StreamOpened { stream } => {
                rit_event { stream: stream.0, ..new(RIT_EVENT_STREAM_OPENED) }
            }
            Event::StreamRefused { stream, refusal } => {
                rit_event { stream: stream.0, ..new(RIT_EVENT_STREAM_REFUSED) }.refused(refusal)
            }
            Event::StreamReadable { stream } => {
                rit_event { stream: stream.0, ..new(RIT_EVENT_STREAM_READABLE) }
            }
            Event::StreamWritable { stream } => {
                rit_event { stream: stream.0, ..new(RIT_EVENT_STREAM_WRITABLE) }
            }
            Event::StreamReset { stream, code } => {
                rit_event { stream: stream.0, code, ..new(RIT_EVENT_STREAM_RESET) }
            }
            Event::StreamStopped { stream, code } => {
                rit_event { stream: stream.0, code, ..new(RIT_EVENT_STREAM_STOPPED) }
            }
            Event::StreamExpired { stream } => {
                rit_event { stream: stream.0, ..new(RIT_EVENT_STREAM_EXPIRED) }
            }
            Event::FlowIncoming { flow, session, service } => rit_event {
                flow: flow.0,
                session: session.0,
                service: service.0,
                ..new(RIT_EVENT_FLOW_INCOMING)
            },
            Event::FlowOpened { flow } => rit_event { flow: flow.0, ..new(RIT_EVENT_FLOW_OPENED) },
            Event::FlowRefused { flow, refusal } => {
                rit_event { flow: flow.0, ..new(RIT_EVENT_FLOW_REFUSED) }.refused(refusal)
            }
            Event::FlowReadable { flow } => {
                rit_event { flow: flow.0, ..new(RIT_EVENT_FLOW_READABLE) }
            }
            Event::FlowClosed { flow, reason } => {
                rit_event { flow: flow.0, ..new(RIT_EVENT_FLOW_CLOSED).because(reason) }
            }
            #[allow(unreachable_patterns)]
            _ => of_parts(event),
        }
    }
}

/// Of what the core tells only where it is built with the part that does.
fn of_parts(event: &Event) -> rit_event {
    match event {
        #[cfg(feature = "media")]
        Event::SessionPipe { session, is_full } => rit_event {
            session: session.0,
            code: (*is_full).into(),
            ..rit_event::new(RIT_EVENT_SESSION_PIPE)
        },
        #[cfg(feature = "trust")]
        Event::Trust(event) => owner_event(event),
        #[cfg(feature = "gateway")]
        Event::GatewayOnline => rit_event::new(RIT_EVENT_GATEWAY_ONLINE),
        #[cfg(feature = "gateway")]
        Event::GatewayOffline(reason) => rit_event::new(RIT_EVENT_GATEWAY_OFFLINE).because(*reason),
        // This library is built without, or it is none of those.
        _ => rit_event::new(0),
    }
}

#[cfg(feature = "trust")]
fn owner_event(event: &TrustEvent) -> rit_event {
    let new = rit_event::new;
    let answered = |request: u32, error: i32, code: u64| rit_event {
        request: request.into(),
        error,
        code,
        ..new(RIT_EVENT_OWNER_ANSWERED)
    };
    let refused =
        |request, error: NoteError| answered(request, note_code(error), error.code().into());
    match event {
        TrustEvent::Claimed { owner, epoch } => {
            rit_event { peer: owner.0, code: u64::from(*epoch), ..new(RIT_EVENT_CLAIMED) }
        }
        TrustEvent::OwnerChanged { owner, epoch } => {
            rit_event { peer: owner.0, code: u64::from(*epoch), ..new(RIT_EVENT_OWNER_CHANGED) }
        }
        TrustEvent::OwnerForgotten => new(RIT_EVENT_OWNER_CHANGED),
        TrustEvent::Revoked { number } => rit_event { code: *number, ..new(RIT_EVENT_REVOKED) },
        TrustEvent::Uncloaked { left_s } => {
            rit_event { code: (*left_s).into(), ..new(RIT_EVENT_CLOAK) }
        }
        TrustEvent::Cloaked => new(RIT_EVENT_CLOAK),
        TrustEvent::NoteAnswered { request, from, body, .. } => rit_event {
            peer: from.0,
            ..match NoteError::of_body(body) {
                Ok(()) => answered(*request, RIT_OK, 0),
                Err(error) => refused(*request, error),
            }
        },
        TrustEvent::NoteFailed { request, reason } => answered(*request, reason_code(*reason).0, 0),
        TrustEvent::DeviceClaimed { request, device, epoch } => {
            rit_event { peer: device.0, ..answered(*request, RIT_OK, (*epoch).into()) }
        }
        TrustEvent::ClaimRefused { request, device, error } => {
            rit_event { peer: device.0, ..refused(*request, *error) }
        }
    }
}

/// RIT_PATH_* of a path.
pub(crate) fn path_kind(path: &Path) -> u32 {
    if path.via == 0 { RIT_PATH_DIRECT } else { RIT_PATH_RELAY }
}

fn log(io: &Io, event: &Event) {
    match event {
        Event::BrokerOnline => io.log(RIT_LOG_INFO, || "broker: online".into()),
        Event::BrokerOffline(reason) => io.log(RIT_LOG_WARN, || format!("broker: {reason}")),
        Event::Enrolled => io.log(RIT_LOG_INFO, || "broker: enrolled".into()),
        Event::EnrolRefused(reason) => io.log(RIT_LOG_WARN, || format!("broker: {reason}")),
        Event::SessionUp { peer, .. } => {
            io.log(RIT_LOG_INFO, || format!("session with {peer:?}: up"));
        }
        Event::SessionMoved { path, .. } => {
            io.log(RIT_LOG_INFO, || format!("session: peer at {path:?}"));
        }
        Event::SessionDown { reason, .. } => {
            io.log(RIT_LOG_INFO, || format!("session: {reason}"));
        }
        #[cfg(feature = "gateway")]
        Event::GatewayOnline => io.log(RIT_LOG_INFO, || "gateway: online".into()),
        #[cfg(feature = "gateway")]
        Event::GatewayOffline(reason) => {
            let level = if *reason == Reason::Local { RIT_LOG_INFO } else { RIT_LOG_WARN };
            io.log(level, || format!("gateway: {reason}"));
        }
        #[cfg(feature = "trust")]
        Event::Trust(TrustEvent::Uncloaked { left_s }) => {
            io.log(RIT_LOG_INFO, || format!("cloak: off for {left_s} s"));
        }
        #[cfg(feature = "trust")]
        Event::Trust(TrustEvent::Cloaked) => io.log(RIT_LOG_INFO, || "cloak: on".into()),
        _ => {}
    }
}

/// Takes the next event. Call it until RIT_ERR_AGAIN, after every call or every turn of the main
/// loop; memory for events is bounded, as each stream and flow waits in the queue at most once.
///
/// The caller sets out->struct_size; out is written only with RIT_OK. Calls log.
/// Errors: AGAIN (none now), NULL, SIZE, REENTRY, INTERNAL. Not in a callback, not in an ISR.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rit_node_next_event(node: *mut rit_node, out: *mut rit_event) -> i32 {
    // SAFETY: as the header asks of the caller.
    unsafe {
        query(node, |inner| {
            let answer = Answer::new(out)?;
            let event = inner.node.poll_event().ok_or(Error::Nothing)?;
            log(&inner.io, &event);
            answer.write(rit_event::from(&event));
            Ok(())
        })
    }
}
