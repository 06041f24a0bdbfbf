//! Bare connections without a node: for tests of the transport alone, and for actors who do what
//! an honest node never would.
//!
//! Owns a table of connections and the contacts it answers to. Does not check what a node checks.

use rit_core::base::{ContactId, Ecn, Path, PublicKey, Rng, Time};
use rit_core::crypto::{self, Ed25519Signer, Signer};
use rit_core::handshake::{Contact, PeerPolicy};
use rit_core::transport::{
    Accept, Config, Connection, Local, Open, Transmit,
    protect::{self},
};
use rit_core::wire::cid::Cid;
use rit_core::wire::packet::{FIRST_DCID_LEN, Header};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Connections of one key.
pub struct Endpoint {
    /// Its connections, oldest first; closed ones stay.
    pub connections: Vec<Connection>,
    /// Contacts it answers to, and whom.
    pub contacts: BTreeMap<ContactId, (Contact, PeerPolicy)>,
    local: Local,
    key: PublicKey,
    rng: Rng,
}

impl Endpoint {
    /// An endpoint whose key and randomness follow from `seed`.
    pub fn new(seed: [u8; 32], config: Config) -> Self {
        let signer = Ed25519Signer::from_seed(&seed);
        let key = signer.public_key();
        let provider = crypto::default_provider();
        Endpoint {
            connections: Vec::new(),
            contacts: BTreeMap::new(),
            local: Local { config, provider, signer: Arc::new(signer) },
            key,
            rng: Rng::from_seed(seed).fork(),
        }
    }

    /// Its public key.
    pub fn public_key(&self) -> PublicKey {
        self.key
    }

    /// Answers to `contact` from now on.
    pub fn invite(&mut self, contact: Contact, peer: PeerPolicy) {
        self.contacts.insert(contact.id, (contact, peer));
    }

    /// Opens a connection; its index.
    pub fn open(&mut self, contact: &Contact, path: Path, peer: PeerPolicy, now: Time) -> usize {
        let mut dcid = [0; FIRST_DCID_LEN];
        dcid[..8].copy_from_slice(&contact.id.0);
        self.rng.fill(&mut dcid[8..]);
        let dcid = Cid::new(&dcid).expect("sixteen bytes");
        let open = Open { contact, dcid, path, peer, reset_token: [0; 16] };
        let cid = Cid::local(self.rng.array());
        let connection = Connection::open(self.local.clone(), open, cid, &mut self.rng, now);
        self.connections.push(*connection.expect("a connection can be opened"));
        self.connections.len() - 1
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, path: Path, ecn: Ecn, datagram: &mut [u8], now: Time) {
        let Ok(header) = Header::parse(datagram) else { return };
        let is_mine = |c: &&mut Connection| {
            c.local_cids().chain([c.original_dcid()]).any(|cid| cid == header.dcid)
        };
        if let Some(connection) = self.connections.iter_mut().find(is_mine) {
            connection.handle_datagram(path, ecn, datagram, now);
        } else if header.is_long() {
            self.accept(path, &header, datagram, now);
        }
    }

    fn accept(&mut self, path: Path, header: &Header, datagram: &mut [u8], now: Time) {
        let Some(id) = header.dcid.as_bytes().first_chunk::<8>() else { return };
        let (Some((contact, peer)), Some(remote)) =
            (self.contacts.get(&ContactId(*id)), header.scid)
        else {
            return;
        };
        let keys = Connection::first_packet_keys(self.local.provider, contact, &header.dcid);
        let packet = &mut datagram[..header.len];
        let Ok(opened) = protect::open(&keys, header, packet, 0) else { return };
        let (dcid, peer) = (header.dcid, peer.clone());
        let accept = Accept { contact, dcid, path, peer, reset_token: [0; 16] };
        let cid = Cid::local(self.rng.array());
        let accepted =
            Connection::accept(self.local.clone(), accept, remote, cid, &mut self.rng, now);
        let Ok(mut connection) = accepted else { return };
        connection.handle_first_packet(header, &opened, packet, now);
        self.connections.push(*connection);
    }

    /// The next datagram of any connection.
    pub fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        self.connections.iter_mut().find_map(|connection| connection.poll_transmit(buf, now))
    }

    /// The earliest deadline of any connection.
    pub fn poll_timeout(&self) -> Option<Time> {
        self.connections.iter().filter_map(Connection::poll_timeout).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        self.connections.iter_mut().for_each(|connection| connection.handle_timeout(now));
    }
}
