//! Whether a session's peer is to be searched for by trying many ports, and with what.

use super::{Node, Which};
use crate::base::{Handle, Path};
use crate::traverse::PortSearch;
use crate::wire::message::{self, MAPPING_DEPENDENT, MAPPING_UNKNOWN};

impl Node {
    /// How our own NAT maps, as far as known: by what two sockets of the broker see, and, as a NAT
    /// may look at addresses alone, by what relays see that are elsewhere.
    pub(super) fn own_mapping(&self) -> u8 {
        // A gateway sees nothing of it: it is on this side of the NAT.
        let broker = self.links.of(Which::Broker);
        let Some((seen, other)) = broker.observed else { return MAPPING_UNKNOWN };
        if broker.is_by_tls() {
            return MAPPING_UNKNOWN;
        }
        let is_v4 = |path: &Path| path.socket_addr().is_ipv4();
        let differs = |by_relay: &Path| !by_relay.is_same_address(&seen);
        let mut comparable = self.relays.seen().filter(|(_, by)| is_v4(by) == is_v4(&seen));
        if comparable.any(|(_, by_relay)| differs(&by_relay)) {
            return MAPPING_DEPENDENT;
        }
        other.map_or(MAPPING_UNKNOWN, |other| message::mapping(&seen, &other))
    }

    /// The session is up: what both ends are to do if there is but a relay for it.
    pub(super) fn plan_port_search(&mut self, session: Handle) {
        let own = self.own_mapping();
        let Some(session) = self.sessions.get_mut(session) else { return };
        let Some(peer) = session.peer_seen.filter(|_| session.port_search.is_none()) else {
            return;
        };
        // The last one is kept for the link.
        let sockets = self.sockets.saturating_sub(1);
        session.port_search =
            PortSearch::new(own, session.mapping, peer, sockets, &mut self.endpoint.rng);
    }
}
