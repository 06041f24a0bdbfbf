//! Introductions at the end that responds, until the initiator's first packet comes: it asks for
//! the initiator wherever it may be, so that the NATs on the way let that packet in.

use super::{Node, Owner};
use crate::base::{ContactId, Deadlines, Ecn, Map, Path, Rng, Side, Time};
use crate::crypto::Provider;
use crate::handshake::Contact;
use crate::transport::{Transmit, write_contact_probe};
use crate::traverse::Search;
use alloc::vec::Vec;

/// Probes to one introduction's candidates together: what a broker that lies about them can have
/// sent to others.
const MAX_PROBES: u32 = 48;

struct Meeting {
    contact: Contact,
    met: Met,
    probes_left: u32,
}

/// What an introduction leaves to the session.
pub(super) struct Met {
    /// The initiator's candidates.
    pub(super) search: Search,
    /// Paths through relays, to be released at some time.
    pub(super) relays: Vec<Path>,
    /// How the initiator's NAT maps, as the broker says.
    pub(super) mapping: u8,
    /// Where the broker saw the initiator.
    pub(super) seen: Option<Path>,
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

    /// The holder of `contact` may be at any of `candidates`, or come by `relays`.
    pub(super) fn add(
        &mut self,
        contact: &Contact,
        candidates: &[Path],
        relays: Vec<Path>,
        mapping: u8,
        now: Time,
    ) {
        let mut search = Search::new(Side::Responder);
        relays.iter().chain(candidates).for_each(|path| search.add(*path, now));
        let met = Met { search, relays, mapping, seen: candidates.first().copied() };
        let meeting = Meeting { contact: contact.clone(), met, probes_left: MAX_PROBES };
        self.deadlines.set(contact.id, meeting.next_probe());
        self.by_contact.insert(contact.id, meeting);
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
    /// The end we look for showed itself at `path`.
    pub(super) fn on_peer_shown(&mut self, owner: Owner, path: Path) {
        let Owner::Session(handle) = owner else { return };
        if let Some(session) = self.sessions.get_mut(handle) {
            session.first_flight.add(path);
            self.endpoint.touch(owner);
        }
    }
}
