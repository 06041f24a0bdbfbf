//! What a node tells its owner: events, and counters.

#[cfg(feature = "trust")]
use super::TrustEvent;
use super::{FlowHandle, Reason, ServiceId, SessionId, StreamHandle};
use crate::base::{Path, PublicKey};
use crate::tunnel::Refusal;

/// What happened; fetched with [`Node::poll_event`](super::Node::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The broker answered and knows this node.
    BrokerOnline,
    /// The link to the broker is gone; the node tries again by itself.
    BrokerOffline(Reason),
    /// The enrol code was accepted.
    Enrolled,
    /// The broker will not have this node; it does not try again by itself.
    EnrolRefused(Reason),
    /// The gateway of this LAN knows this node, and introduces it while the broker is away.
    #[cfg(feature = "gateway")]
    GatewayOnline,
    /// The link to the gateway is gone, or could not be had. `Local`: the broker is back, and the
    /// gateway not needed. Otherwise the node tries again by itself if it has to.
    #[cfg(feature = "gateway")]
    GatewayOffline(Reason),
    /// A session is up: the peer is authenticated.
    SessionUp {
        /// Which.
        session: SessionId,
        /// Who is at the other end.
        peer: PublicKey,
        /// Whether this node asked for it.
        is_initiator: bool,
    },
    /// A session goes another way: the peer was found nearer, or the way in use does not lead
    /// there any more. Bytes that were under way come again.
    SessionMoved {
        /// Which.
        session: SessionId,
        /// Where the peer is now.
        path: Path,
    },
    /// What a session's pipe holds crossed a threshold of [`Node::session_watch`].
    ///
    /// [`Node::session_watch`]: super::Node::session_watch
    #[cfg(feature = "media")]
    SessionPipe {
        /// Which.
        session: SessionId,
        /// Whether it rose above the high one; otherwise it fell below the low one.
        is_full: bool,
    },
    /// A session is over; its handle and those of its streams and flows are stale from now on.
    SessionDown {
        /// Which.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// The peer asks for a service: accept or refuse.
    StreamIncoming {
        /// The new stream.
        stream: StreamHandle,
        /// Its session.
        session: SessionId,
        /// The service asked for.
        service: ServiceId,
    },
    /// The peer's service accepted.
    StreamOpened {
        /// Which stream.
        stream: StreamHandle,
    },
    /// The peer's service refused; release the stream.
    StreamRefused {
        /// Which stream.
        stream: StreamHandle,
        /// Why.
        refusal: Refusal,
    },
    /// Bytes, or the end of the stream, can be read.
    StreamReadable {
        /// Which stream.
        stream: StreamHandle,
    },
    /// There is room again after a write that took less than it was given.
    StreamWritable {
        /// Which stream.
        stream: StreamHandle,
    },
    /// The peer gave up its side; what was not read is lost.
    StreamReset {
        /// Which stream.
        stream: StreamHandle,
        /// Its code.
        code: u64,
    },
    /// The peer wants no more bytes.
    StreamStopped {
        /// Which stream.
        stream: StreamHandle,
        /// Its code.
        code: u64,
    },
    /// The deadline of our side passed; what had not arrived is given up, writing is over.
    StreamExpired {
        /// Which stream.
        stream: StreamHandle,
    },
    /// The peer asks for a UDP service: accept or refuse.
    FlowIncoming {
        /// The new flow.
        flow: FlowHandle,
        /// Its session.
        session: SessionId,
        /// The service asked for.
        service: ServiceId,
    },
    /// The peer's UDP service accepted.
    FlowOpened {
        /// Which flow.
        flow: FlowHandle,
    },
    /// The peer's UDP service refused; close the flow.
    FlowRefused {
        /// Which flow.
        flow: FlowHandle,
        /// Why.
        refusal: Refusal,
    },
    /// A message can be received.
    FlowReadable {
        /// Which flow.
        flow: FlowHandle,
    },
    /// The flow is over and all of it was received; close it.
    FlowClosed {
        /// Which flow.
        flow: FlowHandle,
        /// By the peer, or timed out for want of messages.
        reason: Reason,
    },
    /// Of owners.
    #[cfg(feature = "trust")]
    Trust(TrustEvent),
}

/// Counters of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Datagrams handed in.
    pub datagrams_received: u64,
    /// Datagrams handed out.
    pub datagrams_sent: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Datagrams that belong to nothing known here; never answered.
    pub datagrams_dropped: u64,
    /// Packets declared lost, on the connections there are now.
    pub packets_lost: u64,
    /// Sessions there are now.
    pub sessions: u64,
    /// Stream handles there are now.
    pub streams: u64,
    /// Unread and unacknowledged stream bytes.
    pub buffered_bytes: u64,
    /// Memory of stream and datagram buffers.
    pub buffer_memory: u64,
    /// Flow handles there are now.
    pub flows: u64,
    /// Messages taken and never sent: expired, or outgrown by the path; on the connections there
    /// are now.
    pub messages_unsent: u64,
    /// Messages that came as datagrams and were never received: too many waited, or their flow was
    /// over; on the connections there are now.
    pub messages_unread: u64,
}
