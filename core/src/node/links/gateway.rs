//! When the gateway of this LAN is called, and when it is left again.
//!
//! Owns how long the broker has been online, or away, without a break. Does not own who is asked
//! for what. Invariants: nothing that happens on the gateway's link touches the broker's; a node
//! that knows no gateway does as if there could be none.

use super::super::endpoint::Endpoint;
use super::super::keep_alive::KeepAlive;
use super::super::link::Link;
use super::super::{BrokerAddress, Config, Event, Node, NodeError, Owner};
use super::{Links, Which};
use crate::base::Time;
use crate::transport::Connection;
use alloc::collections::VecDeque;
use core::time::Duration;

/// So long after the broker was lost, or the node made, without it the gateway is called: most
/// breaks are shorter.
pub const FALLBACK_AFTER: Duration = Duration::from_secs(3);
/// So long after the broker is back to stay the gateway is left: the others of the LAN do not all
/// notice at the same time, and are to be found meanwhile.
pub const RETURN_AFTER: Duration = Duration::from_secs(60);

/// A broker that is lost sooner than this was not there: somebody who lets it through for moments
/// would else keep the node from the gateway.
const STEADY: Duration = Duration::from_secs(10);

pub(super) struct Gateway {
    link: Link,
    /// Whether the broker was online when last looked at, and since when it is so.
    is_broker_online: bool,
    since: Time,
    /// Since when it was away before it came online.
    away_since: Time,
}

impl Gateway {
    pub(super) fn new(config: &Config, now: Time) -> Self {
        // Nothing is to be found out of NATs, for there is none on the way. And the sockets that
        // this is done with are the broker's.
        let mut keep_alive = KeepAlive::new(config.link_keep_alive, 0);
        keep_alive.set_watchful(true);
        let link = Link::new(Which::Gateway, keep_alive);
        Gateway { link, is_broker_online: false, since: now, away_since: now }
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }
}

impl Links {
    pub(in super::super) fn connections(&self) -> impl Iterator<Item = &Connection> {
        [&self.broker, &self.gateway.link].into_iter().filter_map(Link::connection)
    }

    /// When something is due that is not a connection's.
    pub(in super::super) fn poll_timeout(&self) -> Option<Time> {
        let due = |link: &Link| [link.poll_timeout(), link.ask_udp_at()];
        let [broker, gateway] = [&self.broker, &self.gateway.link].map(due);
        broker.into_iter().chain(gateway).chain([self.turn_at()]).flatten().min()
    }

    pub(super) fn each(&mut self, mut act: impl FnMut(&mut Link)) {
        act(&mut self.broker);
        act(&mut self.gateway.link);
    }

    /// Whom to ask now; `None`: nobody is online.
    pub(in super::super) fn to_ask(&self) -> Option<Which> {
        Which::ALL.into_iter().find(|which| self.of(*which).is_online())
    }

    /// Whether a gateway is known.
    pub(in super::super) fn has_gateway(&self) -> bool {
        self.gateway.link.is_known()
    }

    /// Whether it may be online soon: it is called, or will be.
    #[cfg_attr(not(feature = "initiator"), expect(dead_code))]
    pub(in super::super) fn may_have_gateway(&self) -> bool {
        self.has_gateway() && !self.gateway.link.is_refused()
    }

    /// Takes note of whether the broker is online.
    pub(super) fn look(&mut self, now: Time) {
        let is_online = self.broker.is_online();
        if core::mem::replace(&mut self.gateway.is_broker_online, is_online) == is_online {
            return;
        }
        let since = core::mem::replace(&mut self.gateway.since, now);
        if is_online {
            self.gateway.away_since = since;
        } else if now < since + STEADY {
            self.gateway.since = self.gateway.away_since;
        }
    }

    /// When the gateway is to be called, or left.
    pub(super) fn turn_at(&self) -> Option<Time> {
        let Gateway { link, is_broker_online, since, .. } = &self.gateway;
        match (is_broker_online, link.is_idle()) {
            _ if !link.is_known() => None,
            (false, true) => Some(*since + FALLBACK_AFTER),
            (true, false) => Some(*since + RETURN_AFTER),
            _ => None,
        }
    }

    /// Does so if it is time to; which link is another one now.
    pub(super) fn turn(
        &mut self,
        endpoint: &mut Endpoint<Owner>,
        events: &mut VecDeque<Event>,
        now: Time,
    ) -> Option<Which> {
        self.turn_at().filter(|at| *at <= now)?;
        let link = &mut self.gateway.link;
        if link.is_idle() {
            link.call(endpoint, now)
        } else {
            link.rest(endpoint, events, now)
        }
        Some(Which::Gateway)
    }
}

impl Node {
    /// The gateway of this LAN is broker and relay for this node while its own broker is away: it
    /// is called [`FALLBACK_AFTER`] without the broker, and left [`RETURN_AFTER`] with it. To be
    /// called again whenever other paths are known; they are used from the next attempt on. Another
    /// key takes the place of the one before. `enrol_code`: for a gateway that does not know this
    /// node yet. `Argument`: no path.
    pub fn gateway_connect(
        &mut self,
        address: BrokerAddress,
        enrol_code: Option<&str>,
        now: Time,
    ) -> Result<(), NodeError> {
        let address = self.reachable(address);
        if address.paths.iter().all(|path| path.port == 0) {
            return Err(NodeError::Argument);
        }
        if self.links.gateway.link.key().is_some_and(|key| key != address.key) {
            self.gateway_forget(now);
        }
        self.links.gateway.link.set_address(address, enrol_code, now);
        self.links.broker.set_watchful(true, now);
        self.process_link(Which::Broker, now);
        Ok(())
    }

    /// There is no gateway any more. A link to it is closed; sessions go on.
    pub fn gateway_forget(&mut self, now: Time) {
        let link = &mut self.links.gateway.link;
        link.rest(&mut self.endpoint, &mut self.events, now);
        link.forget_address();
        self.links.broker.set_watchful(false, now);
        self.process_link(Which::Gateway, now);
    }
}
