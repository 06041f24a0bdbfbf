//! Sessions of a node: asking the broker, taking offers, the tunnel's life.
//!
//! A session's handle is good until its `SessionDown`; its connection may linger behind it to say
//! goodbye. What is large on the stack is never inlined, for TLS may run below those who call it.

use super::endpoint::First;
use super::meet::{Met, Offer, Way};
use super::trust::Right;
use super::{Event, Node, NodeError, Owner, Reason, SessionId, Which};
use crate::base::{Ecn, Handle, Map, Path, PublicKey, Side, Time};
use crate::crypto::Secret;
use crate::handshake::{Contact, PeerPolicy};
use crate::transport::{Connection, PathEvent, StreamId, Transmit};
use crate::traverse::{FirstFlight, Lan, PortSearch, Search, Traffic, by_nat64, is_by_nat64};
use crate::tunnel::{Tunnel, TunnelEvent};
use crate::wire::message::{SERVICE_UDP, ServiceInfo, ToNode};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// However long a broker says that a contact may be used.
const MAX_LIFETIME: Duration = Duration::from_secs(600);

enum Phase {
    /// The broker was asked.
    Asking { request: u32 },
    /// A connection is being made or is up.
    Active(Box<Tunnel>),
}

pub(super) struct Session {
    phase: Phase,
    pub(super) first_flight: FirstFlight,
    pub(super) search: Search,
    pub(super) traffic: Traffic,
    /// Paths through relays.
    relays: Vec<Path>,
    /// How the peer's NAT maps, as the broker says.
    pub(super) mapping: u8,
    /// Where the broker saw the peer.
    pub(super) peer_seen: Option<Path>,
    /// What to do where there is but a relay.
    pub(super) port_search: Option<PortSearch>,
    /// Asks for the peer on our own network, where the port can.
    lan: Option<Lan>,
    pub(super) peer: PublicKey,
    pub(super) is_initiator: bool,
    /// Whose introduction it was.
    pub(super) introduced_by: Which,
    /// Why the peer may be here, if it came.
    pub(super) right: Right,
    pub(super) is_up: bool,
    /// `SessionDown` was told: the handle is stale, the connection lingers.
    is_over: bool,
    pub(super) services: Vec<ServiceInfo>,
    pub(super) streams: Map<StreamId, Handle>,
    pub(super) flows: Map<StreamId, Handle>,
    #[cfg(feature = "attest")]
    pub(super) attest: super::attest::Attest,
    #[cfg(feature = "media")]
    pub(super) watch: Option<Box<super::pipe::Watch>>,
}

impl Session {
    fn new(phase: Phase, peer: PublicKey, is_initiator: bool) -> Self {
        let side = if is_initiator { Side::Initiator } else { Side::Responder };
        Session {
            search: Search::new(side),
            traffic: Traffic::default(),
            relays: Vec::new(),
            mapping: 0,
            peer_seen: None,
            port_search: None,
            lan: None,
            phase,
            first_flight: FirstFlight::default(),
            peer,
            is_initiator,
            introduced_by: Which::default(),
            right: Right::default(),
            is_up: false,
            is_over: false,
            services: Vec::new(),
            streams: Map::new(),
            flows: Map::new(),
            #[cfg(feature = "attest")]
            attest: super::attest::Attest::default(),
            #[cfg(feature = "media")]
            watch: None,
        }
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        match &self.phase {
            Phase::Active(tunnel) => Some(&tunnel.connection),
            Phase::Asking { .. } => None,
        }
    }

    /// The tunnel, as long as the application may use it.
    pub(super) fn tunnel(&mut self) -> Option<&mut Tunnel> {
        match &mut self.phase {
            Phase::Active(tunnel) if !self.is_over => Some(tunnel),
            _ => None,
        }
    }

    /// The tunnel, to open something in: not before the peer was let in.
    pub(super) fn tunnel_to_open(&mut self) -> Result<&mut Tunnel, NodeError> {
        #[cfg(feature = "attest")]
        if self.attest.is_pending() {
            return Err(NodeError::State);
        }
        self.tunnel().ok_or(NodeError::State)
    }

    pub(super) fn handle_datagram(&mut self, path: Path, ecn: Ecn, datagram: &mut [u8], now: Time) {
        let Phase::Active(tunnel) = &mut self.phase else { return };
        self.traffic.on_received(path, datagram.len());
        tunnel.connection.handle_datagram(path, ecn, datagram, now);
        // The end that responds answers by the relays too, until it is sure to be heard.
        let is_heard = self.is_initiator || tunnel.connection.is_established();
        if is_heard && tunnel.connection.is_path_latched() {
            self.first_flight.clear();
        }
    }

    pub(super) fn handle_reset(&mut self, now: Time) {
        if let Phase::Active(tunnel) = &mut self.phase {
            tunnel.connection.handle_reset(now);
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        if let Phase::Active(tunnel) = &mut self.phase {
            tunnel.handle_timeout(now);
        }
    }

    /// Nothing known of paths counts any more; the peer is told at once where we are.
    pub(super) fn network_changed(&mut self, now: Time) {
        self.search.restart(now);
        if let Some(lan) = &mut self.lan {
            lan.begin(now);
        }
        if let Phase::Active(tunnel) = &mut self.phase {
            tunnel.connection.advance(now);
            tunnel.connection.ping();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        match &self.phase {
            Phase::Active(tunnel) if tunnel.connection.is_established() => {
                let ports = self.port_search.as_ref().and_then(PortSearch::poll_timeout);
                let lan = self.lan.as_ref().and_then(Lan::poll_timeout);
                #[cfg(feature = "attest")]
                let attest = self.attest.poll_timeout();
                #[cfg(not(feature = "attest"))]
                let attest = None;
                let own = [tunnel.poll_timeout(), self.search.poll_timeout(), ports, lan, attest];
                own.into_iter().flatten().min()
            }
            Phase::Active(tunnel) => tunnel.poll_timeout(),
            Phase::Asking { .. } => None,
        }
    }

    /// The way all goes; `None` as long as what is sent may go several.
    pub(super) fn path(&self) -> Option<Path> {
        self.connection().filter(|c| c.is_established()).map(Connection::path)
    }

    pub(super) fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        let transmit = self.poll_uncounted(buf, now)?;
        self.traffic.on_sent(transmit.path, transmit.len);
        Some(transmit)
    }

    fn poll_uncounted(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        if let Some(copy) = self.first_flight.poll_transmit(buf) {
            return Some(copy);
        }
        let Phase::Active(tunnel) = &mut self.phase else { return None };
        if tunnel.connection.is_established() {
            while let Some(path) = self.search.poll_probe(now) {
                tunnel.connection.probe_path(path);
            }
            while let Some(path) = self.port_search.as_mut().and_then(|p| p.poll_probe(now)) {
                match path.socket {
                    0 => tunnel.connection.probe_path(path),
                    _ => tunnel.connection.open_path(path),
                }
            }
            while let Some(group) = self.lan.as_mut().and_then(|lan| lan.poll_probe(now)) {
                tunnel.connection.open_path(group);
            }
        }
        let transmit = tunnel.connection.poll_transmit(buf, now)?;
        self.first_flight.on_transmit(buf.get(..transmit.len)?, now);
        Some(transmit)
    }
}

impl Node {
    /// Ends a session with an application code; `SessionDown` follows.
    pub fn session_close(
        &mut self,
        session: SessionId,
        code: u64,
        now: Time,
    ) -> Result<(), NodeError> {
        let handle = Handle(session.0);
        self.live_session(handle)?;
        self.close_session(handle, code, now);
        Ok(())
    }

    /// Goes to fresh packet keys, both ways (RFC 9001 §6). It happens by itself long before a key
    /// is used up.
    pub fn session_update_keys(&mut self, session: SessionId) -> Result<(), NodeError> {
        let session = self.live_session(Handle(session.0))?;
        let tunnel = session.tunnel().ok_or(NodeError::State)?;
        tunnel.connection.update_keys();
        Ok(())
    }

    #[inline(never)]
    pub(super) fn insert_session(
        &mut self,
        request: u32,
        peer: PublicKey,
        is_initiator: bool,
    ) -> Result<Handle, NodeError> {
        let session = Session::new(Phase::Asking { request }, peer, is_initiator);
        self.sessions.insert(session).map_err(|_| NodeError::Limit)
    }

    pub(super) fn peek_session(&self, handle: Handle) -> Result<&Session, NodeError> {
        self.sessions.get(handle).filter(|s| !s.is_over).ok_or(NodeError::StaleHandle)
    }

    pub(super) fn live_session(&mut self, handle: Handle) -> Result<&mut Session, NodeError> {
        self.sessions.get_mut(handle).filter(|s| !s.is_over).ok_or(NodeError::StaleHandle)
    }

    pub(super) fn close_session(&mut self, handle: Handle, code: u64, now: Time) {
        let Some(session) = self.sessions.get_mut(handle) else { return };
        match &mut session.phase {
            Phase::Active(tunnel) => {
                tunnel.close(code, now);
                self.process_session(handle, now);
            }
            Phase::Asking { .. } => self.end_session(handle, Reason::Local),
        }
    }

    pub(super) fn close_sessions_of(&mut self, key: &PublicKey, now: Time) {
        for handle in self.sessions.handles() {
            let is_theirs = |s: &Session| {
                s.peer == *key && !s.is_initiator && !s.is_over && s.right.is_by_list()
            };
            if self.sessions.get(handle).is_some_and(is_theirs) {
                self.close_session(handle, 0, now);
            }
        }
    }

    // ---- what a broker says

    pub(super) fn on_session_message(&mut self, message: ToNode, from: Which, now: Time) {
        match message {
            ToNode::Refused { request, reason } => match self.find_request(request, from) {
                Some(handle) => self.on_refused(request, handle, reason.into(), now),
                None => self.on_note_refused(request, from, reason),
            },
            ToNode::Offer {
                request,
                role,
                contact_id,
                contact_key,
                lifetime_s,
                peer,
                candidates,
                services,
                relays,
                mapping,
                chain,
            } => {
                let way = Way { from, candidates, relays, mapping, services };
                let way = self.callable(way);
                let contact = Contact { id: contact_id, key: Secret::new(contact_key.0) };
                match role {
                    Side::Initiator => self.on_offer(request, &contact, peer, way, now),
                    Side::Responder => {
                        let life = Duration::from_secs(lifetime_s.into()).min(MAX_LIFETIME);
                        let offer = Offer { contact, peer, expires: now + life, way, chain };
                        if let Some((offer, right)) = self.admit(offer, now) {
                            self.await_peer(offer, right, now);
                        }
                    }
                }
            }
            message => self.on_trust_message(message, from, now),
        }
    }

    /// The same, with addresses as they are called from this node's network, and none that is no
    /// one node's.
    fn callable(&self, mut way: Way) -> Way {
        way.candidates.retain(|path| !path.is_multicast());
        let link = self.links.of(way.from).connection();
        if link.is_some_and(|link| is_by_nat64(&link.path())) {
            let call = |path: &mut Path| *path = by_nat64(*path);
            way.candidates.iter_mut().for_each(call);
            for relay in &mut way.relays {
                relay.paths.iter_mut().chain(&mut relay.tls).for_each(call);
            }
        }
        way
    }

    /// We asked; here is the way.
    #[inline(never)]
    fn on_offer(&mut self, request: u32, contact: &Contact, peer: PublicKey, way: Way, now: Time) {
        let tls_use = self.tls_use(way.from);
        let Some(handle) = self.find_request(request, way.from) else { return };
        let Some(session) = self.sessions.get_mut(handle) else { return };
        // The broker does not choose whom we talk to.
        if session.peer != peer {
            return self.on_refused(request, handle, Reason::Untrusted, now);
        }
        if !self.endpoint.local.config.reserve.allows_connection() {
            return self.end_session(handle, Reason::Memory);
        }
        // First where the broker sees it and by the relays: few copies are sent.
        let relays = self.relays.add(&way.relays, tls_use, now);
        let (seen, others) = way.candidates.split_at(way.candidates.len().min(1));
        let paths = [seen, &relays, others].concat();
        session.relays = relays;
        let Some((path, others)) = FirstFlight::new(&paths, false) else {
            return self.end_session(handle, Reason::Offline);
        };
        let owner = Owner::Session(handle);
        match self.endpoint.open(contact, peer, path, owner, now) {
            Ok(connection) => {
                self.requests.remove(request, handle);
                session.phase = Phase::Active(Box::new(Tunnel::new(connection)));
                session.first_flight = others;
                session.services = way.services;
                session.mapping = way.mapping;
                session.introduced_by = way.from;
                session.peer_seen = seen.first().copied();
                paths.iter().for_each(|path| session.search.add(*path, now));
                self.endpoint.await_probes(contact, owner);
                self.process_session(handle, now);
            }
            Err(error) => self.end_session(handle, error.into()),
        }
    }

    /// A first packet opened under a contact we hold.
    #[inline(never)]
    pub(super) fn accept_session(
        &mut self,
        first: &First,
        path: Path,
        datagram: &mut [u8],
        now: Time,
    ) {
        let PeerPolicy::Exactly(peer) = first.peer else { return };
        // Taken back since the offer came.
        if !self.is_welcome(&first.contact.id, &peer, now) {
            return;
        }
        if !self.has_room_for_connection() {
            return; // as if the packet were lost: it comes again
        }
        // A slot first: the connection's routes name it.
        let Ok(handle) = self.insert_session(0, peer, false) else { return };
        let owner = Owner::Session(handle);
        let contact = first.contact.id;
        match self.endpoint.accept(first, owner, path, datagram, now) {
            Ok(connection) => {
                let met = self.meetings.remove(&contact);
                if let Some(session) = self.sessions.get_mut(handle) {
                    session.phase = Phase::Active(Box::new(Tunnel::new(connection)));
                    if let Some(Met { by, search, relays, mapping, seen, right }) = met {
                        session.first_flight = FirstFlight::beside(path, relays.clone());
                        (session.search, session.relays) = (search, relays);
                        (session.mapping, session.peer_seen) = (mapping, seen);
                        (session.right, session.introduced_by) = (right, by);
                    }
                }
                self.check_permits(now);
                self.process_session(handle, now);
            }
            Err(_) => self.remove_session(handle),
        }
    }

    // ---- what the tunnel says

    /// Looks at what happened on a session's tunnel.
    pub(super) fn process_session(&mut self, handle: Handle, now: Time) {
        let owner = Owner::Session(handle);
        #[cfg(feature = "attest")]
        self.check_attest_deadline(handle, now);
        while let Some(event) = self.next_tunnel_event(handle) {
            #[cfg(feature = "attest")]
            let Some(event) = self.filter_attest(handle, event, now) else { continue };
            match event {
                TunnelEvent::Connected => self.on_session_up(handle, now),
                TunnelEvent::Closed(reason) => self.end_session(handle, Reason::from(&reason)),
                TunnelEvent::Incoming { id, kind, service } => {
                    self.on_incoming(handle, id, kind, &service);
                }
                TunnelEvent::Path(event) => self.on_path_event(handle, event, now),
                // What is no stream's is a flow's, and the other way round.
                TunnelEvent::Accepted(id) => {
                    self.on_stream_accepted(handle, id);
                    self.on_flow_accepted(handle, id);
                }
                TunnelEvent::Refused(id, refusal) => {
                    self.on_stream_refused(handle, id, refusal);
                    self.on_flow_refused(handle, id, refusal);
                }
                TunnelEvent::Changed(id) => {
                    self.on_stream_changed(handle, id);
                    self.on_flow_changed(handle, id);
                }
            }
        }
        let Some(session) = self.sessions.get_mut(handle) else { return };
        let Phase::Active(tunnel) = &mut session.phase else { return };
        let (active, unanswered) = (tunnel.connection.path(), tunnel.connection.unanswered());
        let was_in_trouble = session.search.is_in_trouble();
        let choice = session.search.choose(active, unanswered, now);
        if !was_in_trouble && session.search.is_in_trouble() {
            // Perhaps our own address is another one now, or the network takes no UDP any more.
            self.relays.restart_of(&session.relays, now);
            self.links.ask(&mut self.endpoint, now);
        }
        if let Some(path) = choice {
            tunnel.connection.migrate(path, now);
            let moved = Event::SessionMoved { session: SessionId(handle.0), path };
            self.events.push_back(moved);
        }
        let (active, search) = (tunnel.connection.path(), &session.search);
        if let Some(ports) = &mut session.port_search {
            ports.set_relayed(active.via != 0 && !search.knows_direct(), now);
        }
        if let Some(lan) = &mut session.lan {
            lan.look(active, search.is_in_trouble(), self.links.local_paths(), now);
        }
        self.endpoint.keep_cids(&mut tunnel.connection, owner);
        if tunnel.connection.is_closed() {
            let never_up = !session.is_over;
            self.endpoint.forget(&tunnel.connection, owner);
            if never_up {
                self.end_session(handle, Reason::Internal);
            }
            return self.remove_session(handle);
        }
        // Its deadline is looked at once it has had its turn to send.
        self.endpoint.touch(owner);
        #[cfg(feature = "media")]
        self.check_watch(handle, now);
    }

    pub(super) fn on_incoming(&mut self, handle: Handle, id: StreamId, kind: u8, service: &str) {
        match kind {
            SERVICE_UDP => self.on_flow_incoming(handle, id, service),
            _ => self.on_stream_incoming(handle, id, service),
        }
    }

    fn next_tunnel_event(&mut self, handle: Handle) -> Option<TunnelEvent> {
        match &mut self.sessions.get_mut(handle)?.phase {
            Phase::Active(tunnel) => tunnel.poll_event(),
            Phase::Asking { .. } => None,
        }
    }

    fn on_session_up(&mut self, handle: Handle, now: Time) {
        self.plan_port_search(handle);
        let Some(session) = self.sessions.get_mut(handle) else { return };
        session.lan = Lan::if_wanted(self.multicast, now);
        self.endpoint.await_no_probes(Owner::Session(handle));
        // All it knows is asked now: the peer is there to answer.
        session.search.restart(now);
        if let Phase::Active(tunnel) = &session.phase {
            session.search.add(tunnel.connection.path(), now);
        }
        #[cfg(feature = "attest")]
        if self.demand_attestation(handle, now) {
            return;
        }
        self.announce_session(handle);
    }

    /// From now on the application may use it.
    pub(super) fn announce_session(&mut self, handle: Handle) {
        let Some(session) = self.sessions.get_mut(handle) else { return };
        session.is_up = true;
        self.events.push_back(Event::SessionUp {
            session: SessionId(handle.0),
            peer: session.peer,
            is_initiator: session.is_initiator,
        });
    }

    fn on_path_event(&mut self, handle: Handle, event: PathEvent, now: Time) {
        // How our NAT maps may not have been known when the session came up.
        self.plan_port_search(handle);
        let Some(session) = self.sessions.get_mut(handle) else { return };
        let Phase::Active(tunnel) = &session.phase else { return };
        match event {
            PathEvent::Moved => {
                let path = tunnel.connection.path();
                if !session.is_over {
                    let moved = Event::SessionMoved { session: SessionId(handle.0), path };
                    self.events.push_back(moved);
                }
            }
            PathEvent::Answered { path, rtt } => session.search.on_answered(path, rtt, now),
            PathEvent::Asked(path) => session.search.on_asked(path, now),
        }
    }

    /// Tells that a session is over and makes its handles stale. A responder's session that never
    /// came up was never told of, and ends untold.
    pub(super) fn end_session(&mut self, handle: Handle, reason: Reason) {
        let Some(session) = self.sessions.get_mut(handle) else { return };
        if core::mem::replace(&mut session.is_over, true) {
            return;
        }
        for (_, stream) in core::mem::take(&mut session.streams) {
            self.streams.remove(stream);
        }
        if cfg!(feature = "udp") {
            for (_, flow) in core::mem::take(&mut session.flows) {
                self.flows.remove(flow);
            }
        }
        if session.is_up || session.is_initiator {
            self.events.push_back(Event::SessionDown { session: SessionId(handle.0), reason });
        }
        if matches!(session.phase, Phase::Asking { .. }) {
            self.remove_session(handle);
        }
    }

    pub(super) fn remove_session(&mut self, handle: Handle) {
        if let Some(session) = self.sessions.remove(handle) {
            if let Phase::Asking { request } = session.phase {
                self.requests.remove(request, handle);
            }
            self.relays.release(&session.relays);
        }
    }
}
