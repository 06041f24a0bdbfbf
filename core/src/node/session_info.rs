//! What the application is told of a session when it asks.

use super::{Node, NodeError, SessionId};
use crate::base::{Handle, Path, PublicKey, Time};
use crate::transport::Connection;
use crate::wire::message::ServiceInfo;

/// What is known of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Who is, or shall be, at the other end.
    pub peer: PublicKey,
    /// Whether this node asked for it.
    pub is_initiator: bool,
    /// Whether streams can be opened.
    pub is_up: bool,
    /// Where the peer is, once it answered.
    pub path: Option<Path>,
    /// Smoothed round-trip time, microseconds; 0 before it is known.
    pub rtt_us: u64,
    /// Services the device offers; known to the initiator.
    pub services: usize,
    /// Paths that [`Node::session_paths`] tells of.
    pub paths: usize,
}

impl Node {
    /// What is known of a session.
    pub fn session_info(&self, session: SessionId) -> Result<SessionInfo, NodeError> {
        let paths = self.session_paths(session, Time::ZERO)?.len();
        let session = self.peek_session(Handle(session.0))?;
        let connection = session.connection();
        Ok(SessionInfo {
            peer: session.peer,
            is_initiator: session.is_initiator,
            is_up: session.is_up,
            path: connection.filter(|c| c.is_path_latched()).map(Connection::path),
            rtt_us: connection
                .filter(|c| c.rtt().has_sample())
                .map_or(0, |c| c.rtt().smoothed().as_micros() as u64),
            services: session.services.len(),
            paths,
        })
    }

    /// The services the device offers, as the offer told; empty at the device itself.
    pub fn session_services(&self, session: SessionId) -> Result<&[ServiceInfo], NodeError> {
        Ok(&self.peek_session(Handle(session.0))?.services)
    }
}
