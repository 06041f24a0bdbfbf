//! What every node has, whatever its role: which datagram belongs to which connection, the contacts
//! it holds, and whose turn it is to send or to wake.
//!
//! A datagram that opens under no contact or connection known here is dropped without an answer.
//! `O` names the owner of a connection.

use super::reset::Resets;
use crate::base::{ContactId, Deadlines, Ecn, Map, Path, PublicKey, Rng, Set, Time};
use crate::crypto::Provider;
use crate::handshake::{Contact, HandshakeError, PeerPolicy};
use crate::transport::protect::{self, Opened};
use crate::transport::{Accept, CidEvent, Connection, Local, Open, Transmit, is_contact_probe};
use crate::wire::cid::Cid;
use crate::wire::packet::{FIRST_DCID_LEN, Header};
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// First packets of a lasting contact remembered against replay.
const RECENT_FIRST_PACKETS: usize = 4096;

/// Probes taken under one contact.
const MAX_PROBES: usize = 64;

/// A contact held: who may come by it, and until when.
pub(super) struct HeldContact {
    pub(super) contact: Contact,
    pub(super) peer: PeerPolicy,
    /// Lasting contacts serve many connections; others one, until this moment.
    pub(super) expires: Option<Time>,
}

/// A contact whose holder may show itself by probes.
struct Awaited<O> {
    contact: Contact,
    owner: O,
    nonces: Set<Cid>,
}

/// A first packet that opened.
pub(super) struct First {
    is_lasting: bool,
    pub(super) contact: Contact,
    pub(super) peer: PeerPolicy,
    header: Header,
    opened: Opened,
}

/// Where a datagram goes.
pub(super) enum Route<O> {
    Known(O),
    /// The owner's peer has forgotten its connection.
    Reset(O),
    First(Box<First>),
    /// The end we look for shows where it is.
    Probe(O),
    Nowhere,
    /// It cannot be told for lack of memory.
    NoMemory,
}

pub(super) struct Endpoint<O> {
    pub(super) local: Local,
    pub(super) rng: Rng,
    routes: Map<Cid, O>,
    contacts: Map<ContactId, HeldContact>,
    expiries: Deadlines<ContactId>,
    recent: Set<Cid>,
    recent_order: VecDeque<Cid>,
    /// Whose probes are awaited, and the nonces of those that came.
    awaited: Map<ContactId, Awaited<O>>,
    /// Owners that may have something to send.
    pub(super) dirty: VecDeque<O>,
    is_dirty: Set<O>,
    deadlines: Deadlines<O>,
    resets: Resets<O>,
    pub(super) datagrams_dropped: u64,
}

impl<O: Copy + Ord> Endpoint<O> {
    pub(super) fn new(local: Local, mut rng: Rng) -> Self {
        let resets = Resets::new(local.provider, &*local.signer, &mut rng);
        Endpoint {
            resets,
            local,
            rng,
            routes: Map::new(),
            contacts: Map::new(),
            expiries: Deadlines::default(),
            recent: Set::new(),
            recent_order: VecDeque::new(),
            awaited: Map::new(),
            dirty: VecDeque::new(),
            is_dirty: Set::new(),
            deadlines: Deadlines::default(),
            datagrams_dropped: 0,
        }
    }

    /// See [`Resets::set_per_second`].
    #[cfg(feature = "broker")]
    pub(super) fn set_resets_per_second(&mut self, per_second: u32) {
        self.resets.set_per_second(per_second);
    }

    pub(super) fn provider(&self) -> &'static dyn Provider {
        self.local.provider
    }

    pub(super) fn public_key(&self) -> PublicKey {
        self.local.signer.public_key()
    }

    // ---- contacts

    pub(super) fn hold(&mut self, held: HeldContact) {
        self.expiries.set(held.contact.id, held.expires);
        self.contacts.insert(held.contact.id, held);
    }

    pub(super) fn drop_contact(&mut self, id: ContactId) {
        self.contacts.remove(&id);
        self.expiries.set(id, None);
    }

    pub(super) fn contact_count(&self) -> usize {
        self.contacts.len()
    }

    /// The contacts that exactly `peer` may come by: how many, and the one to expire first.
    pub(super) fn contacts_of(&self, peer: &PublicKey) -> (usize, Option<ContactId>) {
        let is_theirs =
            |held: &&HeldContact| matches!(held.peer, PeerPolicy::Exactly(key) if key == *peer);
        let theirs = || self.contacts.values().filter(is_theirs);
        (theirs().count(), theirs().min_by_key(|held| held.expires).map(|held| held.contact.id))
    }

    /// The earliest moment at which a contact expires.
    pub(super) fn next_expiry(&self) -> Option<Time> {
        self.expiries.next()
    }

    /// Drops a contact that may not be used any more; which.
    pub(super) fn expire_contact(&mut self, now: Time) -> Option<ContactId> {
        let id = self.expiries.due(now)?;
        self.drop_contact(id);
        Some(id)
    }

    // ---- datagrams

    /// Finds out where a datagram belongs. A first packet is opened in place.
    pub(super) fn route(&mut self, path: Path, datagram: &mut [u8], now: Time) -> Route<O> {
        let header = Header::parse(datagram);
        if let Some(owner) = header.as_ref().ok().and_then(|header| self.routes.get(&header.dcid)) {
            return Route::Known(*owner);
        }
        // A reset may be too short for a packet.
        if let Some(owner) = self.resets.owner(datagram) {
            return Route::Reset(owner);
        }
        let Ok(header) = header else { return self.nowhere() };
        if !header.is_long() {
            self.resets.on_unknown(path, &header.dcid, datagram.len(), now);
            return self.nowhere();
        }
        if header.dcid.len() != FIRST_DCID_LEN {
            return self.nowhere();
        }
        // The keys of a contact are made for the one packet.
        if !self.local.config.reserve.allows_step() {
            return Route::NoMemory;
        }
        if let Some(first) = self.open_first(header, datagram) {
            return Route::First(first);
        }
        match self.open_probe(&header, datagram) {
            Some(owner) => Route::Probe(owner),
            None => self.nowhere(),
        }
    }

    /// The end that `owner` looks for may show itself by probes under `contact`.
    pub(super) fn await_probes(&mut self, contact: &Contact, owner: O) {
        let awaited = Awaited { contact: contact.clone(), owner, nonces: Set::new() };
        self.awaited.insert(contact.id, awaited);
    }

    /// It was found, or is looked for no more.
    pub(super) fn await_no_probes(&mut self, owner: O) {
        self.awaited.retain(|_, awaited| awaited.owner != owner);
    }

    /// Each probe counts once: a copy from elsewhere shows nothing.
    fn open_probe(&mut self, header: &Header, datagram: &mut [u8]) -> Option<O> {
        let id = ContactId(*header.dcid.as_bytes().first_chunk()?);
        let awaited = self.awaited.get_mut(&id)?;
        let is_news = awaited.nonces.len() < MAX_PROBES && !awaited.nonces.contains(&header.dcid);
        if !is_news || !is_contact_probe(self.local.provider, &awaited.contact, header, datagram) {
            return None;
        }
        awaited.nonces.insert(header.dcid);
        Some(awaited.owner)
    }

    fn nowhere(&mut self) -> Route<O> {
        self.datagrams_dropped += 1;
        Route::Nowhere
    }

    fn open_first(&mut self, header: Header, datagram: &mut [u8]) -> Option<Box<First>> {
        let id = ContactId(*header.dcid.as_bytes().first_chunk()?);
        let held = self.contacts.get(&id)?;
        let provider = self.local.provider;
        let keys = Connection::first_packet_keys(provider, &held.contact, &header.dcid);
        let opened = protect::open(&keys, &header, datagram.get_mut(..header.len)?, 0).ok()?;
        if held.expires.is_none() && self.recent.contains(&header.dcid) {
            return None;
        }
        Some(Box::new(First {
            is_lasting: held.expires.is_none(),
            contact: held.contact.clone(),
            peer: held.peer.clone(),
            header,
            opened,
        }))
    }

    /// Makes the responder's connection for a first packet and feeds it the datagram.
    pub(super) fn accept(
        &mut self,
        first: &First,
        owner: O,
        path: Path,
        datagram: &mut [u8],
        now: Time,
    ) -> Result<Box<Connection>, HandshakeError> {
        let header = first.header;
        let dcid = header.dcid;
        let Some(scid) = header.scid else { return Err(HandshakeError::Malformed) };
        let cid = self.fresh_cid();
        let reset_token = self.resets.token(&cid);
        let accept =
            Accept { contact: &first.contact, dcid, path, peer: first.peer.clone(), reset_token };
        let local = self.local.clone();
        let mut connection = Connection::accept(local, accept, scid, cid, &mut self.rng, now)?;
        if first.is_lasting {
            self.remember(dcid);
        } else {
            self.drop_contact(first.contact.id);
        }
        self.routes.insert(cid, owner);
        self.routes.insert(dcid, owner);
        let total = datagram.len();
        let (packet, rest) = datagram.split_at_mut(header.len.min(total));
        connection.handle_first_packet(&header, &first.opened, packet, now);
        if !rest.is_empty() {
            connection.handle_datagram(path, Ecn::NotEct, rest, now);
        }
        Ok(connection)
    }

    /// Makes an initiator's connection.
    pub(super) fn open(
        &mut self,
        contact: &Contact,
        peer: PublicKey,
        path: Path,
        owner: O,
        now: Time,
    ) -> Result<Box<Connection>, HandshakeError> {
        self.open_with(self.local.clone(), contact, peer, path, owner, now)
    }

    /// The same, with other limits.
    pub(super) fn open_with(
        &mut self,
        local: Local,
        contact: &Contact,
        peer: PublicKey,
        path: Path,
        owner: O,
        now: Time,
    ) -> Result<Box<Connection>, HandshakeError> {
        let mut dcid = [0; FIRST_DCID_LEN];
        let (id, nonce) = dcid.split_at_mut(FIRST_DCID_LEN / 2);
        id.copy_from_slice(&contact.id.0);
        self.rng.fill(nonce);
        let Some(dcid) = Cid::new(&dcid) else { return Err(HandshakeError::Internal) };
        let cid = self.fresh_cid();
        let reset_token = self.resets.token(&cid);
        let peer = PeerPolicy::Exactly(peer);
        let open = Open { contact, dcid, path, peer, reset_token };
        let connection = Connection::open(local, open, cid, &mut self.rng, now)?;
        self.routes.insert(cid, owner);
        Ok(connection)
    }

    fn fresh_cid(&mut self) -> Cid {
        loop {
            let cid = self.resets.fresh_cid(&mut self.rng);
            if !self.routes.contains_key(&cid) {
                return cid;
            }
        }
    }

    fn remember(&mut self, dcid: Cid) {
        if self.recent.insert(dcid) {
            self.recent_order.push_back(dcid);
        }
        if self.recent_order.len() > RECENT_FIRST_PACKETS {
            if let Some(oldest) = self.recent_order.pop_front() {
                self.recent.remove(&oldest);
            }
        }
    }

    /// Forgets a connection that is closed.
    pub(super) fn forget(&mut self, connection: &Connection, owner: O) {
        connection.local_cids().for_each(|cid| {
            self.routes.remove(&cid);
        });
        self.routes.remove(&connection.original_dcid());
        self.resets.forget(owner);
        self.await_no_probes(owner);
        self.set_deadline(owner, None);
    }

    /// Gives the connection the IDs it wants and routes by those it has.
    pub(super) fn keep_cids(&mut self, connection: &mut Connection, owner: O) {
        while connection.wants_cid() {
            let cid = self.fresh_cid();
            self.routes.insert(cid, owner);
            connection.issue_cid(cid, self.resets.token(&cid));
        }
        while let Some(event) = connection.poll_cid_event() {
            match event {
                CidEvent::Retired(cid) => {
                    self.routes.remove(&cid);
                }
                CidEvent::Token(token) => self.resets.set_token(owner, &token),
            }
        }
    }

    /// A stateless reset to send.
    pub(super) fn poll_reset(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        self.resets.poll_transmit(buf, &mut self.rng)
    }

    // ---- turns

    /// The owner's connection was touched: it may have something to send.
    pub(super) fn touch(&mut self, owner: O) {
        if self.is_dirty.insert(owner) {
            self.dirty.push_back(owner);
        }
    }

    /// The owner whose turn it is; it stays in line until [`Self::end_turn`].
    pub(super) fn turn(&self) -> Option<O> {
        self.dirty.front().copied()
    }

    /// The owner at the front sent a datagram (and goes to the end of the line) or had none.
    pub(super) fn end_turn(&mut self, has_sent: bool) {
        let Some(owner) = self.dirty.pop_front() else { return };
        if has_sent {
            self.dirty.push_back(owner);
        } else {
            self.is_dirty.remove(&owner);
        }
    }

    pub(super) fn set_deadline(&mut self, owner: O, deadline: Option<Time>) {
        self.deadlines.set(owner, deadline);
    }

    /// The earliest deadline of any connection.
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Takes an owner whose deadline is over.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<O> {
        let owner = self.deadlines.due(now)?;
        self.set_deadline(owner, None);
        Some(owner)
    }
}
