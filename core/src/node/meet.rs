//! Introductions at the end that responds, until the initiator's first packet comes: it asks for
//! the initiator wherever it may be, so that the NATs on the way let that packet in.

use super::endpoint::HeldContact;
use super::trust::Right;
use super::{Node, Owner, Which};
use crate::base::{ContactId, Deadlines, Ecn, Map, Path, PublicKey, Rng, Side, Time};
use crate::crypto::Provider;
use crate::handshake::{Contact, PeerPolicy};
use crate::transport::{Transmit, write_contact_probe};
use crate::traverse::Search;
use crate::wire::message::{RelayOffer, ServiceInfo};
use alloc::vec::Vec;

/// Probes to one introduction's candidates together: what a broker that lies about them can have
/// sent to others.
const MAX_PROBES: u32 = 48;

/// Offers held at once that no first packet has come for.
const MAX_CONTACTS: usize = 256;
/// The same, of one peer: what it asks for anew takes the place of what it has not used.
const MAX_CONTACTS_OF_PEER: usize = 8;
/// How the peer may be reached, as the broker says, and what it offers.
pub(super) struct Way {
    /// Who says so.
    pub(super) from: Which,
    pub(super) candidates: Vec<Path>,
    pub(super) relays: Vec<RelayOffer>,
    pub(super) mapping: u8,
    pub(super) services: Vec<ServiceInfo>,
}

/// Somebody wants to come.
pub(super) struct Offer {
    pub(super) contact: Contact,
    pub(super) peer: PublicKey,
    pub(super) expires: Time,
    pub(super) way: Way,
    /// What it shows of its right.
    #[cfg_attr(not(feature = "trust"), expect(dead_code))]
    pub(super) chain: Vec<u8>,
}

struct Meeting {
    contact: Contact,
    met: Met,
    probes_left: u32,
}

/// What an introduction leaves to the session.
pub(super) struct Met {
    /// Whose introduction it is.
    pub(super) by: Which,
    /// The initiator's candidates.
    pub(super) search: Search,
    /// Paths through relays, to be released at some time.
    pub(super) relays: Vec<Path>,
    /// How the initiator's NAT maps, as the broker says.
    pub(super) mapping: u8,
    /// Where the broker saw the initiator.
    pub(super) seen: Option<Path>,
    /// Why the initiator may come.
    pub(super) right: Right,
}

impl Meeting {
    fn next_probe(&self) -> Option<Time> {
        self.met.search.poll_timeout().filter(|_| self.probes_left > 0)
    }
}

/// All of them, by contact.
#[derive(Default)]
pub(super) struct Meetings {
    by_contact: Map<ContactId, Meeting>,
    /// When each asks next.
    deadlines: Deadlines<ContactId>,
}

impl Meetings {
    /// Memory of one, without its candidates.
    pub(super) const ENTRY_LEN: usize = size_of::<(ContactId, Meeting)>();

    /// The holder of `contact` may be at any of the way's candidates, or come by `relays`.
    pub(super) fn add(
        &mut self,
        contact: &Contact,
        way: &Way,
        relays: Vec<Path>,
        right: Right,
        now: Time,
    ) {
        let mut search = Search::new(Side::Responder);
        relays.iter().chain(&way.candidates).for_each(|path| search.add(*path, now));
        let (by, seen) = (way.from, way.candidates.first().copied());
        let met = Met { by, search, relays, mapping: way.mapping, seen, right };
        let meeting = Meeting { contact: contact.clone(), met, probes_left: MAX_PROBES };
        self.deadlines.set(contact.id, meeting.next_probe());
        self.by_contact.insert(contact.id, meeting);
    }

    /// Why whoever comes by this contact may.
    #[cfg(feature = "trust")]
    pub(super) fn right(&self, id: &ContactId) -> Option<&Right> {
        self.by_contact.get(id).map(|meeting| &meeting.met.right)
    }

    /// It came, or will not.
    pub(super) fn remove(&mut self, id: &ContactId) -> Option<Met> {
        self.deadlines.set(*id, None);
        self.by_contact.remove(id).map(|meeting| meeting.met)
    }

    /// When the next probe is due.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// The next probe that is due.
    pub(super) fn poll_transmit(
        &mut self,
        buf: &mut [u8],
        provider: &'static dyn Provider,
        rng: &mut Rng,
        now: Time,
    ) -> Option<Transmit> {
        let id = self.deadlines.due(now)?;
        let meeting = self.by_contact.get_mut(&id)?;
        let path = meeting.met.search.poll_probe(now)?;
        meeting.probes_left -= 1;
        self.deadlines.set(id, meeting.next_probe());
        let len = write_contact_probe(provider, &meeting.contact, rng, buf)?;
        Some(Transmit { path, len, ecn: Ecn::NotEct })
    }
}

impl Node {
    /// Someone asked for us who may come: the first packet may.
    #[inline(never)]
    pub(super) fn await_peer(&mut self, offer: Offer, right: Right, now: Time) {
        let Offer { contact, peer, expires, way, .. } = offer;
        if let (MAX_CONTACTS_OF_PEER.., Some(oldest)) = self.endpoint.contacts_of(&peer) {
            self.endpoint.drop_contact(oldest);
            self.forget_meeting(&oldest);
        }
        if self.endpoint.contact_count() >= MAX_CONTACTS {
            return;
        }
        if !self.has_room_for_meeting() {
            return;
        }
        self.forget_meeting(&contact.id);
        let relays = self.relays.add(&way.relays, self.tls_use(way.from), now);
        self.meetings.add(&contact, &way, relays, right, now);
        let (peer, expires) = (PeerPolicy::Exactly(peer), Some(expires));
        self.endpoint.hold(HeldContact { contact, peer, expires });
    }

    /// Nobody will come by the contact any more.
    pub(super) fn forget_meeting(&mut self, contact: &ContactId) {
        if let Some(met) = self.meetings.remove(contact) {
            self.relays.release(&met.relays);
        }
    }

    /// The end we look for showed itself at `path`.
    pub(super) fn on_peer_shown(&mut self, owner: Owner, path: Path) {
        let Owner::Session(handle) = owner else { return };
        if let Some(session) = self.sessions.get_mut(handle) {
            session.first_flight.add(path);
            self.endpoint.touch(owner);
        }
    }
}
