//! What an integrator holds: links to brokers, sessions, services and streams composed, datagrams
//! routed.
//!
//! Input: `handle_datagram`, `handle_timeout`, commands. Output: `poll_transmit`, `poll_event`,
//! `poll_timeout`. Invariant: after any call, drain `poll_transmit` and `poll_event` until empty,
//! then sleep until `poll_timeout`. Handles carry a generation; a stale one is an error.

#[cfg(feature = "attest")]
mod attest;
#[cfg(feature = "broker")]
mod broker_node;
#[cfg(feature = "tcp")]
mod carriers;
mod config;
mod control;
mod endpoint;
mod error;
mod event;
mod explain;
mod flows;
mod keep_alive;
mod link;
mod links;
mod meet;
mod memory;
mod news;
mod paths;
#[cfg(feature = "media")]
mod pipe;
mod relays;
#[cfg(not(feature = "initiator"))]
#[path = "no_requests.rs"]
mod requests;
#[cfg(feature = "initiator")]
mod requests;
mod reset;
mod search_ports;
mod services;
mod session;
mod session_info;
mod streams;
#[cfg(not(feature = "trust"))]
#[path = "no_trust.rs"]
mod trust;
#[cfg(feature = "trust")]
mod trust;

#[cfg(all(test, feature = "broker", feature = "ring", feature = "rustcrypto"))]
mod tests;

#[cfg(feature = "attest")]
pub use attest::{ATTESTATION_LEN_MAX, AttestTask, Attestation};
#[cfg(feature = "broker")]
pub use broker_node::BrokerNode;
#[cfg(feature = "tcp")]
pub use carriers::{MAX_CARRIERS, TcpAction};
pub use config::Config;
pub use error::{ConfigError, NodeError, Reason};
pub use event::{Event, NodeStats};
#[cfg(feature = "gateway")]
pub use links::{FALLBACK_AFTER, RETURN_AFTER};
pub use paths::PathInfo;
pub use session_info::SessionInfo;
#[cfg(feature = "trust")]
pub use trust::{CLAIM_CODE_TIME, NOTES_MAX, Stored, TrustEvent};

use self::endpoint::{Endpoint, Route};
use self::flows::FlowEntry;
use self::links::{Links, Which};
use self::meet::Meetings;
use self::news::NewsLine;
use self::relays::{Relays, Unwrapped};
use self::requests::Requests;
use self::session::Session;
use self::streams::StreamEntry;
use self::trust::Trust;
use crate::base::{Ecn, Handle, Path, PublicKey, Rng, Slab, Time};
use crate::crypto::{Provider, Signer};
use crate::transport::{Connection, Local, Transmit};
use crate::trust::AllowList;
use crate::wire::message::ServiceInfo;
use crate::wire::relay::is_relays;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

/// Where a broker is and who it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Its key.
    pub key: PublicKey,
    /// Its addresses; all are tried at once, but those of TCP ([`Path::TLS`]) only where the others
    /// do not answer, or did not the last time.
    pub paths: Vec<Path>,
}

/// Names a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Names a stream of any session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamHandle(pub u64);

/// Names a UDP flow of any session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlowHandle(pub u64);

/// Names a service offered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u64);

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Link(Which),
    Session(Handle),
}

/// A service offered here.
struct Offered {
    info: ServiceInfo,
    /// Its flows end after so long without a message.
    flow_idle: Duration,
    /// How its streams begin.
    #[cfg(feature = "media")]
    quality: Option<pipe::Quality>,
    /// A permit for it must have been fresh.
    #[cfg(feature = "trust")]
    must_be_fresh: bool,
}

/// A node: device, user, or both.
pub struct Node {
    endpoint: Endpoint<Owner>,
    links: Links,
    allowed: AllowList,
    trust: Trust,
    services: Slab<Offered>,
    sessions: Slab<Session>,
    meetings: Meetings,
    relays: Relays,
    #[cfg(feature = "tcp")]
    carriers: carriers::Carriers,
    streams: Slab<StreamEntry>,
    flows: Slab<FlowEntry>,
    max_flows: usize,
    sockets: u16,
    multicast: bool,
    stream_news: NewsLine,
    flow_news: NewsLine,
    events: VecDeque<Event>,
    requests: Requests,
    #[cfg(feature = "attest")]
    attest: attest::Tasks,
    stats: NodeStats,
    /// Something that came since this was asked was not taken for lack of memory.
    is_short_of_memory: bool,
}

impl Node {
    /// A node that is not connected to anything. `seed` is its only source of randomness and must
    /// come from a true one; the same seed and inputs give the same bytes.
    pub fn new(
        mut config: Config,
        provider: &'static dyn Provider,
        signer: Arc<dyn Signer>,
        seed: [u8; 32],
        now: Time,
    ) -> Result<Node, ConfigError> {
        config.check()?;
        if !cfg!(feature = "udp") {
            // Nor does the peer hear that there could be any.
            (config.transport.datagram_recv_buffer, config.transport.datagram_queue) = (0, 0);
        }
        let local = Local { config: config.transport.clone(), provider, signer };
        let max_streams = usize::try_from(config.transport.max_streams).unwrap_or(usize::MAX);
        Ok(Node {
            endpoint: Endpoint::new(local, Rng::from_seed(seed)),
            links: Links::new(&config, now),
            allowed: AllowList::new(config.max_peers),
            trust: Trust::default(),
            services: Slab::new(config.max_services),
            sessions: Slab::new(config.max_sessions),
            meetings: Meetings::default(),
            relays: Relays::default(),
            #[cfg(feature = "tcp")]
            carriers: carriers::Carriers::default(),
            // Each end of each session may open `max_streams`.
            streams: Slab::new(max_streams.saturating_mul(2).saturating_mul(config.max_sessions)),
            flows: Slab::new(
                (config.max_flows * flows::WITH_THOSE_OVER).saturating_mul(config.max_sessions),
            ),
            max_flows: config.max_flows,
            sockets: config.sockets,
            multicast: config.multicast,
            stream_news: NewsLine::default(),
            flow_news: NewsLine::default(),
            events: VecDeque::new(),
            requests: Requests::default(),
            #[cfg(feature = "attest")]
            attest: attest::Tasks::default(),
            stats: NodeStats::default(),
            is_short_of_memory: false,
        })
    }

    /// Who this node is.
    pub fn public_key(&self) -> PublicKey {
        self.endpoint.public_key()
    }

    /// The crypto that it was made with.
    pub fn provider(&self) -> &'static dyn Provider {
        self.endpoint.provider()
    }

    /// What signs for this node.
    pub fn signer(&self) -> &dyn Signer {
        &*self.endpoint.local.signer
    }

    /// Random bytes from the node's own source.
    pub fn draw<const N: usize>(&mut self) -> [u8; N] {
        self.endpoint.rng.array()
    }

    // ---- network

    /// Takes a datagram that came from `path`, its IP packet marked with `ecn`; it is decrypted in
    /// place. One that belongs to nothing known here is dropped without an answer.
    pub fn handle_datagram(&mut self, path: Path, ecn: Ecn, datagram: &mut [u8], now: Time) {
        let mut touched = None;
        self.take(path, ecn, datagram, &mut touched, now);
        self.process(touched, now);
    }

    /// Takes datagrams of `size` bytes each, end to end, the last perhaps shorter: as one after the
    /// other, at less cost.
    pub fn handle_datagrams(
        &mut self,
        path: Path,
        ecn: Ecn,
        datagrams: &mut [u8],
        size: usize,
        now: Time,
    ) {
        let mut touched = None;
        for datagram in datagrams.chunks_mut(size.max(1)) {
            self.take(path, ecn, datagram, &mut touched, now);
        }
        self.process(touched, now);
    }

    /// Hands a datagram to whom it belongs, who is then the one `touched`, to be processed once
    /// others are.
    fn take(
        &mut self,
        path: Path,
        ecn: Ecn,
        datagram: &mut [u8],
        touched: &mut Option<Owner>,
        now: Time,
    ) {
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.len() as u64;
        if !self.reserve().allows_datagram() || !self.has_room_for_events() {
            self.is_short_of_memory = true;
            return;
        }
        if self.take_probe(path, datagram, now) {
            return;
        }
        let (path, datagram) = if is_relays(datagram) {
            let provider = self.endpoint.provider();
            match self.relays.unwrap(provider, path, datagram, now) {
                Some(Unwrapped::Through(path, datagram)) => (path, datagram),
                Some(Unwrapped::Bound) => return,
                None => return self.endpoint.datagrams_dropped += 1,
            }
        } else {
            (path, datagram)
        };
        let route = self.endpoint.route(path, datagram, now);
        let owner = if let Route::Known(owner) = route { Some(owner) } else { None };
        if owner != *touched {
            self.process(core::mem::replace(touched, owner), now);
        }
        match route {
            Route::Known(Owner::Link(which)) => {
                self.links.of_mut(which).handle_datagram(path, ecn, datagram, now);
            }
            Route::Known(Owner::Session(handle)) => {
                if let Some(session) = self.sessions.get_mut(handle) {
                    session.handle_datagram(path, ecn, datagram, now);
                    self.is_short_of_memory |= session.take_shortage();
                }
            }
            Route::Reset(owner) => self.handle_reset(owner, now),
            Route::First(first) => self.accept_session(&first, path, datagram, now),
            Route::Probe(owner) => self.on_peer_shown(owner, path),
            Route::Nowhere => {}
            Route::NoMemory => self.is_short_of_memory = true,
        }
    }

    /// Looks at what happened on a connection.
    fn process(&mut self, owner: Option<Owner>, now: Time) {
        match owner {
            Some(Owner::Link(which)) => self.process_link(which, now),
            Some(Owner::Session(handle)) => self.process_session(handle, now),
            None => {}
        }
    }

    fn handle_reset(&mut self, owner: Owner, now: Time) {
        match owner {
            Owner::Link(which) => self.links.of_mut(which).handle_reset(now),
            Owner::Session(handle) => {
                if let Some(session) = self.sessions.get_mut(handle) {
                    session.handle_reset(now);
                }
            }
        }
        self.process(Some(owner), now);
    }

    /// Does what is due; early calls are harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(owner) = self.endpoint.pop_due(now) {
            match owner {
                Owner::Link(which) => self.links.of_mut(which).handle_timeout(now),
                Owner::Session(handle) => {
                    if let Some(session) = self.sessions.get_mut(handle) {
                        session.handle_timeout(now);
                    }
                }
            }
            self.process(Some(owner), now);
        }
        self.do_links_due(now);
        #[cfg(feature = "tcp")]
        self.carriers.handle_timeout(now);
        while let Some(contact) = self.endpoint.expire_contact(now) {
            self.forget_meeting(&contact);
        }
        self.expire_requests(now);
        self.on_trust_timeout(now);
    }

    /// The next datagram to send, written into `buf`. With `max_datagram` and
    /// [`RELAY_OVERHEAD`](crate::traverse::RELAY_OVERHEAD) bytes of room none is shorter than it
    /// could be; with less, what a relay may carry is built shorter.
    pub fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        loop {
            let transmit = self.poll_datagram(buf, now)?;
            self.count_sent(transmit);
            if !transmit.path.is_tls() {
                return Some(transmit);
            }
            #[cfg(feature = "tcp")]
            self.send_by_tcp(transmit, buf, now);
        }
    }

    fn poll_datagram(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        let provider = self.endpoint.provider();
        if let Some(bind) = self.relays.poll_transmit(provider, buf, now) {
            return Some(bind);
        }
        loop {
            let transmit = self.poll_unwrapped(buf, now)?;
            if let Some(wrapped) = self.relays.wrap(provider, transmit, buf) {
                return Some(wrapped);
            }
        }
    }

    fn poll_unwrapped(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        if let Some(reset) = self.endpoint.poll_reset(buf) {
            return Some(reset);
        }
        if let Some(answer) = self.poll_identification(buf) {
            return Some(answer);
        }
        let endpoint = &mut self.endpoint;
        let provider = endpoint.provider();
        if let Some(probe) = self.meetings.poll_transmit(buf, provider, &mut endpoint.rng, now) {
            return Some(probe);
        }
        while let Some(owner) = self.endpoint.turn() {
            let transmit = match owner {
                Owner::Link(which) => self.links.of_mut(which).poll_transmit(buf, now),
                Owner::Session(handle) => self.sessions.get_mut(handle).and_then(|session| {
                    let header = self.relays.overhead(session.path());
                    let room = buf.len().saturating_sub(header);
                    session.poll_transmit(&mut buf[..room], now)
                }),
            };
            self.endpoint.end_turn(transmit.is_some());
            if let Some(transmit) = transmit {
                return Some(transmit);
            }
            self.refresh_deadline(owner);
        }
        None
    }

    #[cfg(feature = "tcp")]
    fn next_tcp_deadline(&self) -> Option<Time> {
        self.carriers.poll_timeout()
    }

    #[cfg(feature = "tcp")]
    fn has_tcp(&self) -> bool {
        self.carriers.is_enabled()
    }

    #[cfg(not(feature = "tcp"))]
    fn next_tcp_deadline(&self) -> Option<Time> {
        None
    }

    #[cfg(not(feature = "tcp"))]
    fn has_tcp(&self) -> bool {
        false
    }

    fn count_sent(&mut self, transmit: Transmit) {
        self.stats.datagrams_sent += 1;
        self.stats.bytes_sent += transmit.len as u64;
    }

    /// When to call [`Node::handle_timeout`]. Valid once `poll_transmit` has been drained.
    pub fn poll_timeout(&self) -> Option<Time> {
        let own = [
            self.endpoint.next_deadline(),
            self.endpoint.next_expiry(),
            self.links.poll_timeout(),
            self.requests.next_deadline(),
            self.meetings.poll_timeout(),
            self.relays.poll_timeout(),
            self.trust.poll_timeout(),
            self.next_tcp_deadline(),
        ];
        own.into_iter().flatten().min()
    }

    /// What happened; drain until `None`.
    pub fn poll_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        #[cfg(feature = "media")]
        let event = event.map(|mut event| {
            self.refresh_pipe_event(&mut event);
            event
        });
        event.or_else(|| self.poll_stream_event()).or_else(|| self.poll_flow_event())
    }

    /// Counters.
    pub fn stats(&self) -> NodeStats {
        let mut stats = self.stats;
        stats.datagrams_dropped = self.endpoint.datagrams_dropped;
        stats.sessions = self.sessions.len() as u64;
        stats.streams = self.streams.len() as u64;
        stats.flows = self.flows.len() as u64;
        let sessions = self.sessions.iter().filter_map(|(_, session)| session.connection());
        for connection in sessions.chain(self.links.connections()) {
            let own = connection.stats();
            stats.packets_lost += own.packets_lost;
            stats.buffered_bytes += own.buffered_bytes;
            stats.buffer_memory += own.buffer_memory;
            stats.messages_unsent += own.datagrams_unsent;
            stats.messages_unread += own.datagrams_unread;
        }
        stats
    }

    fn refresh_deadline(&mut self, owner: Owner) {
        let deadline = match owner {
            Owner::Link(which) => {
                self.links.of(which).connection().and_then(Connection::poll_timeout)
            }
            Owner::Session(handle) => self.sessions.get(handle).and_then(Session::poll_timeout),
        };
        self.endpoint.set_deadline(owner, deadline);
    }

    // ---- trust

    /// Lets a peer open sessions to this node.
    pub fn peer_allow(&mut self, key: PublicKey) -> Result<(), NodeError> {
        if !self.allowed.contains(&key) {
            self.check_memory(self.allowed.growth())?;
        }
        Ok(self.allowed.allow(key)?)
    }

    /// Takes that back; sessions of the peer that it opened end. Tells whether it was allowed.
    pub fn peer_forbid(&mut self, key: &PublicKey, now: Time) -> bool {
        let was_allowed = self.allowed.forbid(key);
        self.close_sessions_of(key, now);
        was_allowed
    }
}
