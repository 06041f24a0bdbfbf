//! The node's links: to its broker and, where there is one, to the gateway of its LAN, which is
//! broker there for as long as the outer one cannot be reached (PROTOCOL.md, section 7).
//!
//! Owns both, which of them is asked, and what is told to both. When the gateway is called and left
//! is in `gateway`. Invariants: an answer counts only if it comes from whom was asked; without the
//! feature `gateway` there is one link, and nothing here costs more than that one.

#[cfg(feature = "gateway")]
mod gateway;
#[cfg(not(feature = "gateway"))]
mod no_gateway;

#[cfg(feature = "gateway")]
pub use self::gateway::{FALLBACK_AFTER, RETURN_AFTER};

#[cfg(feature = "gateway")]
use self::gateway::Gateway;
#[cfg(not(feature = "gateway"))]
use self::no_gateway::Gateway;
use super::endpoint::Endpoint;
use super::keep_alive::KeepAlive;
use super::link::Link;
use super::{BrokerAddress, Config, Event, Node, NodeError, Owner, Reason};
use crate::base::{Path, Time};
use crate::traverse::TlsUse;

/// How many there are.
const LINKS: usize = if cfg!(feature = "gateway") { 2 } else { 1 };

/// One of the node's links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Which {
    /// The outer broker.
    #[default]
    Broker,
    /// The gateway of this LAN.
    #[cfg(feature = "gateway")]
    Gateway,
}

impl Which {
    /// All, the one to ask before the other first.
    #[cfg(feature = "gateway")]
    pub(super) const ALL: [Which; 2] = [Which::Broker, Which::Gateway];

    /// What is told of a link that is up.
    pub(super) fn online(self) -> Event {
        match self {
            Which::Broker => Event::BrokerOnline,
            #[cfg(feature = "gateway")]
            Which::Gateway => Event::GatewayOnline,
        }
    }

    /// What is told of one that is not any more.
    pub(super) fn offline(self, reason: Reason) -> Event {
        match self {
            Which::Broker => Event::BrokerOffline(reason),
            #[cfg(feature = "gateway")]
            Which::Gateway => Event::GatewayOffline(reason),
        }
    }
}

/// All links of a node.
pub(super) struct Links {
    broker: Link,
    /// Nothing without the feature.
    #[cfg_attr(not(feature = "gateway"), expect(dead_code))]
    gateway: Gateway,
}

impl Links {
    pub(super) fn new(config: &Config, now: Time) -> Self {
        let keep_alive = KeepAlive::new(config.link_keep_alive, config.sockets);
        Links { broker: Link::new(Which::Broker, keep_alive), gateway: Gateway::new(config, now) }
    }

    pub(super) fn of(&self, which: Which) -> &Link {
        match which {
            Which::Broker => &self.broker,
            #[cfg(feature = "gateway")]
            Which::Gateway => self.gateway.link(),
        }
    }

    pub(super) fn of_mut(&mut self, which: Which) -> &mut Link {
        match which {
            Which::Broker => &mut self.broker,
            #[cfg(feature = "gateway")]
            Which::Gateway => self.gateway.link_mut(),
        }
    }

    /// Whom this node looks to: whom it would ask, or the broker.
    pub(super) fn leading(&self) -> Which {
        self.to_ask().unwrap_or_default()
    }

    /// The addresses that the brokers are told of.
    pub(super) fn local_paths(&self) -> &[Path] {
        &self.broker.local_paths
    }

    pub(super) fn take_shortage(&mut self) -> bool {
        let mut is_short = false;
        self.each(|link| is_short |= link.take_shortage());
        is_short
    }

    /// Asks whoever is called whether it is there.
    pub(super) fn ask(&mut self, endpoint: &mut Endpoint<Owner>, now: Time) {
        self.each(|link| link.ask(endpoint, now));
    }

    /// What the broker is told of this node's owner.
    #[cfg(feature = "trust")]
    pub(super) fn set_ownership(&mut self, ownership: Option<crate::wire::message::Ownership>) {
        self.each(|link| link.owner.ownership = ownership);
    }
}

impl Node {
    /// Connects to a broker and stays connected, with backoff, until the broker refuses this node.
    /// `enrol_code` is needed the first time. `State` while a link is up or being made.
    pub fn broker_connect(
        &mut self,
        address: BrokerAddress,
        enrol_code: Option<&str>,
        now: Time,
    ) -> Result<(), NodeError> {
        let address = self.reachable(address);
        self.links.broker.start(address, enrol_code, &mut self.endpoint, now)
    }

    /// The same, without what this node cannot call.
    fn reachable(&self, mut address: BrokerAddress) -> BrokerAddress {
        let has_tcp = self.has_tcp();
        // Not `is_tls`, which says no where the library has no TCP: such paths go then, too.
        address.paths.retain(|path| has_tcp || path.socket != Path::TLS);
        address
    }

    /// Tells the broker at which addresses of its own this node may be reached. `Memory`: the
    /// former ones stay.
    pub fn set_local_paths(&mut self, paths: &[Path], now: Time) -> Result<(), NodeError> {
        self.check_memory(size_of_val(paths) * LINKS)?;
        self.links.each(|link| link.local_paths = paths.to_vec());
        self.announce(now);
        Ok(())
    }

    /// The system says that addresses or routes changed, or that it was asleep: asks the broker,
    /// the relays and every peer at once whether they are there, from wherever this node is now.
    pub fn network_changed(&mut self, now: Time) {
        #[cfg(feature = "tcp")]
        self.carriers.restart();
        self.relays.restart(now);
        for handle in self.sessions.handles() {
            if let Some(session) = self.sessions.get_mut(handle) {
                session.network_changed(now);
                self.process_session(handle, now);
            }
        }
        self.links.each(|link| link.network_changed(now));
        self.announce(now);
    }

    pub(super) fn announce(&mut self, now: Time) {
        let services = &self.services;
        self.links.each(|link| {
            link.services = services.iter().map(|(_, offered)| offered.info.clone()).collect();
            link.announce(now);
        });
        self.process_link(Which::Broker, now);
        #[cfg(feature = "gateway")]
        self.process_link(Which::Gateway, now);
    }

    /// Does what is due of links and is not a connection's.
    pub(super) fn do_links_due(&mut self, now: Time) {
        if let Some(turned) = self.links.turn(&mut self.endpoint, &mut self.events, now) {
            self.process_link(turned, now);
        }
        let (links, endpoint) = (&mut self.links, &mut self.endpoint);
        links.each(|link| {
            link.do_due(endpoint, now);
            link.ask_udp_if_due(endpoint, now);
        });
    }

    /// Looks at what happened on a link.
    pub(super) fn process_link(&mut self, which: Which, now: Time) {
        self.links.of_mut(which).process(&mut self.endpoint, &mut self.events, now);
        self.links.look(now);
        self.on_link(which, now);
        for message in core::mem::take(&mut self.links.of_mut(which).inbox) {
            self.on_session_message(message, which, now);
        }
        if self.links.of(which).is_online() {
            self.ask_anew(which, now);
        } else {
            self.fail_requests(which, now);
        }
    }

    /// How far relays that this broker names may be reached by TCP.
    pub(super) fn tls_use(&self, named_by: Which) -> TlsUse {
        match (self.has_tcp(), self.links.of(named_by).is_by_tls()) {
            (false, _) => TlsUse::Never,
            (true, false) => TlsUse::Reserve,
            (true, true) => TlsUse::AtOnce,
        }
    }
}
