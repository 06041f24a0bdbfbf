//! Flow handles of a node: messages of UDP services by handle, and events coalesced per flow.
//!
//! What is no longer true when fetched is not told. Owns handles, the limit on flows and which
//! service a flow is of; `tunnel` owns what they carry.

use super::news::{News, Newsworthy};
use super::{Event, FlowHandle, Node, NodeError, Owner, Reason, ServiceId, SessionId};
use crate::base::{Handle, Time};
use crate::transport::StreamId;
use crate::tunnel::{FLOW_IDLE_DEFAULT, FLOW_IDLE_MIN, FlowEnd, FlowState, Refusal, Tunnel};
use crate::wire::message::{SERVICE_UDP, is_service_name};
use core::time::Duration;

/// Flows that are over and not closed yet may be as many as those that live: who closes one and
/// opens another is not refused because the other end is not told of the first in time.
pub(super) const WITH_THOSE_OVER: usize = 2;

/// Things to tell of a flow, in the order they are told.
const INCOMING: u8 = 1;
const OPENED: u8 = 2;
const REFUSED: u8 = 4;
const READABLE: u8 = 8;
const CLOSED: u8 = 16;

pub(super) struct FlowEntry {
    session: Handle,
    id: StreamId,
    service: ServiceId,
    news: News,
    refusal: Option<Refusal>,
    has_told_closed: bool,
}

impl Newsworthy for FlowEntry {
    fn news(&mut self) -> &mut News {
        &mut self.news
    }
}

impl Node {
    /// Asks the device for a UDP service. Messages may be sent at once. `FlowOpened` or
    /// `FlowRefused` follows.
    pub fn flow_open(
        &mut self,
        session: SessionId,
        service: &str,
        now: Time,
    ) -> Result<FlowHandle, NodeError> {
        if !cfg!(feature = "udp") {
            return Err(NodeError::State);
        }
        if !is_service_name(service) {
            return Err(NodeError::Name);
        }
        let owner = Handle(session.0);
        let max_flows = self.max_flows;
        self.check_memory(self.flows.growth())?;
        let session = self.live_session(owner)?;
        let handles = session.flows.len();
        let tunnel = session.tunnel_to_open()?;
        tunnel.connection.advance(now);
        if !has_room(tunnel, handles, 0, max_flows) {
            return Err(NodeError::Limit);
        }
        let id = tunnel.flow_open(service, now)?;
        let handle = self.add_flow(owner, id, ServiceId(0)).ok_or(NodeError::Limit)?;
        self.process_session(owner, now);
        Ok(FlowHandle(handle.0))
    }

    /// Accepts an incoming flow.
    pub fn flow_accept(&mut self, flow: FlowHandle, now: Time) -> Result<(), NodeError> {
        let entry = self.flows.get(Handle(flow.0)).ok_or(NodeError::StaleHandle)?;
        let idle = self.service_flow_idle(entry.service);
        self.with_flow(flow, now, |tunnel, id| Ok(tunnel.flow_accept(id, idle, now)?))
    }

    /// Refuses an incoming flow; its handle is stale from then on.
    pub fn flow_refuse(
        &mut self,
        flow: FlowHandle,
        refusal: Refusal,
        now: Time,
    ) -> Result<(), NodeError> {
        self.with_flow(flow, now, |tunnel, id| Ok(tunnel.refuse(id, refusal)?))?;
        self.drop_flow(Handle(flow.0));
        Ok(())
    }

    /// Sends a message whole or not at all: `Limit` if too much waits, `TooLarge` if it can never
    /// go. It may be lost; one that fits into a datagram is given up if it has not left after
    /// `expiry`.
    pub fn datagram_send(
        &mut self,
        flow: FlowHandle,
        message: &[u8],
        expiry: Option<Duration>,
        now: Time,
    ) -> Result<(), NodeError> {
        let expires = expiry.map(|expiry| now + expiry);
        self.with_flow(flow, now, |tunnel, id| Ok(tunnel.flow_send(id, message, expires, now)?))
    }

    /// Copies the next message out, whole. `Blocked` if there is none; `FlowReadable` follows.
    /// `Buffer` if it does not fit; it stays.
    pub fn datagram_recv(
        &mut self,
        flow: FlowHandle,
        out: &mut [u8],
        now: Time,
    ) -> Result<usize, NodeError> {
        self.with_flow(flow, now, |tunnel, id| {
            tunnel.flow_read(id, out).ok_or(NodeError::Blocked)?.map_err(NodeError::from)
        })
    }

    /// The longest message that goes as one datagram now; longer ones go on a stream. 0: all go
    /// there.
    pub fn datagram_max(&mut self, flow: FlowHandle, now: Time) -> Result<usize, NodeError> {
        self.with_flow(flow, now, |tunnel, id| Ok(tunnel.flow_datagram_max(id).unwrap_or(0)))
    }

    /// Ends a flow and gives the handle back.
    pub fn flow_close(&mut self, flow: FlowHandle, now: Time) -> Result<(), NodeError> {
        let closed = self.with_flow(flow, now, |tunnel, id| {
            tunnel.flow_close(id);
            Ok(())
        });
        self.drop_flow(Handle(flow.0));
        closed
    }

    /// Flows of a UDP service end after so long without a message either way; at least
    /// [`FLOW_IDLE_MIN`]. Those accepted before keep their time.
    pub fn service_set_flow_idle(
        &mut self,
        service: ServiceId,
        idle: Duration,
    ) -> Result<(), NodeError> {
        if idle < FLOW_IDLE_MIN {
            return Err(NodeError::Argument);
        }
        let offered = self.services.get_mut(Handle(service.0)).ok_or(NodeError::StaleHandle)?;
        offered.flow_idle = idle;
        Ok(())
    }

    fn service_flow_idle(&self, service: ServiceId) -> Duration {
        self.services.get(Handle(service.0)).map_or(FLOW_IDLE_DEFAULT, |s| s.flow_idle)
    }

    fn with_flow<T>(
        &mut self,
        flow: FlowHandle,
        now: Time,
        act: impl FnOnce(&mut Tunnel, StreamId) -> Result<T, NodeError>,
    ) -> Result<T, NodeError> {
        if !cfg!(feature = "udp") {
            return Err(NodeError::StaleHandle);
        }
        let entry = self.flows.get(Handle(flow.0)).ok_or(NodeError::StaleHandle)?;
        let (owner, id) = (entry.session, entry.id);
        let session = self.live_session(owner)?;
        let tunnel = session.tunnel().ok_or(NodeError::State)?;
        tunnel.connection.advance(now);
        let result = act(tunnel, id);
        // The command may have given the connection something to send, or uncovered the next
        // message or the end.
        self.endpoint.touch(Owner::Session(owner));
        #[cfg(feature = "media")]
        self.check_watch(owner, now);
        if result.is_ok() {
            self.on_flow_changed(owner, id);
        }
        result
    }

    fn add_flow(&mut self, owner: Handle, id: StreamId, service: ServiceId) -> Option<Handle> {
        let entry = FlowEntry {
            session: owner,
            id,
            service,
            news: News::default(),
            refusal: None,
            has_told_closed: false,
        };
        let handle = self.flows.insert(entry).ok()?;
        self.sessions.get_mut(owner)?.flows.insert(id, handle);
        Some(handle)
    }

    fn drop_flow(&mut self, handle: Handle) {
        if let Some(entry) = self.flows.remove(handle) {
            if let Some(session) = self.sessions.get_mut(entry.session) {
                session.flows.remove(&entry.id);
            }
        }
    }

    // ---- what the tunnel says

    pub(super) fn on_flow_incoming(&mut self, owner: Handle, id: StreamId, service: &str) {
        let name = service;
        let service = self.find_service(SERVICE_UDP, name).filter(|_| cfg!(feature = "udp"));
        let may_use = self.may_use(owner, service, name);
        let max_flows = self.max_flows;
        let has_memory = self.check_memory(self.flows.growth()).is_ok();
        self.is_short_of_memory |= !has_memory;
        let Some(session) = self.sessions.get_mut(owner) else { return };
        let handles = session.flows.len();
        let Some(tunnel) = session.tunnel() else { return };
        let refusal = match service {
            _ if !may_use => Refusal::Denied,
            None => Refusal::Unknown,
            Some(_) if !has_memory || !has_room(tunnel, handles, 1, max_flows) => Refusal::Limit,
            Some(service) => {
                if let Some(handle) = self.add_flow(owner, id, service) {
                    self.tell_of_flow(handle, INCOMING);
                }
                return;
            }
        };
        let _ = tunnel.refuse(id, refusal);
    }

    pub(super) fn on_flow_accepted(&mut self, owner: Handle, id: StreamId) {
        if !cfg!(feature = "udp") {
            return;
        }
        if let Some(handle) = self.find_flow(owner, id) {
            self.tell_of_flow(handle, OPENED);
            self.on_flow_changed(owner, id);
        }
    }

    pub(super) fn on_flow_refused(&mut self, owner: Handle, id: StreamId, refusal: Refusal) {
        if !cfg!(feature = "udp") {
            return;
        }
        let Some(handle) = self.find_flow(owner, id) else { return };
        if let Some(entry) = self.flows.get_mut(handle) {
            entry.refusal = Some(refusal);
        }
        self.tell_of_flow(handle, REFUSED);
    }

    pub(super) fn on_flow_changed(&mut self, owner: Handle, id: StreamId) {
        if !cfg!(feature = "udp") {
            return;
        }
        let Some(handle) = self.find_flow(owner, id) else { return };
        let state = self.flow_state(handle);
        let Some(entry) = self.flows.get_mut(handle) else { return };
        let mut bits = 0;
        if state.is_readable {
            bits |= READABLE;
        }
        if state.end.is_some() && !core::mem::replace(&mut entry.has_told_closed, true) {
            bits |= CLOSED;
        }
        self.tell_of_flow(handle, bits);
    }

    fn find_flow(&self, owner: Handle, id: StreamId) -> Option<Handle> {
        self.sessions.get(owner)?.flows.get(&id).copied()
    }

    fn flow_state(&mut self, handle: Handle) -> FlowState {
        let Some(entry) = self.flows.get(handle) else { return FlowState::default() };
        let (owner, id) = (entry.session, entry.id);
        let tunnel = self.sessions.get_mut(owner).and_then(|session| session.tunnel());
        tunnel.and_then(|tunnel| tunnel.flow_state(id)).unwrap_or_default()
    }

    fn tell_of_flow(&mut self, handle: Handle, bits: u8) {
        self.flow_news.tell(&mut self.flows, handle, bits);
    }

    // ---- events

    pub(super) fn poll_flow_event(&mut self) -> Option<Event> {
        if !cfg!(feature = "udp") {
            return None;
        }
        while let Some((handle, bit)) = self.flow_news.next(&mut self.flows) {
            if let Some(event) = self.flow_event(handle, bit) {
                return Some(event);
            }
        }
        None
    }

    fn flow_event(&mut self, handle: Handle, bit: u8) -> Option<Event> {
        let state = self.flow_state(handle);
        let entry = self.flows.get(handle)?;
        let flow = FlowHandle(handle.0);
        match bit {
            INCOMING => Some(Event::FlowIncoming {
                flow,
                session: SessionId(entry.session.0),
                service: entry.service,
            }),
            OPENED => Some(Event::FlowOpened { flow }),
            REFUSED => entry.refusal.map(|refusal| Event::FlowRefused { flow, refusal }),
            READABLE => state.is_readable.then_some(Event::FlowReadable { flow }),
            CLOSED => {
                let reason = match state.end? {
                    FlowEnd::Peer => Reason::Peer(0),
                    FlowEnd::Idle => Reason::TimedOut,
                };
                Some(Event::FlowClosed { flow, reason })
            }
            _ => None,
        }
    }
}

/// Whether a session that has `handles` flows may have another; the tunnel knows `new` more.
fn has_room(tunnel: &mut Tunnel, handles: usize, new: usize, max_flows: usize) -> bool {
    let is_bounded = handles < max_flows * WITH_THOSE_OVER;
    is_bounded && (handles < max_flows || tunnel.live_flows() < max_flows + new)
}
