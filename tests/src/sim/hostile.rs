//! A broker that lies: takes nodes in as an honest one would, and introduces them wrongly.
//!
//! Owns its links and what it tells on them. What nodes make of it is the scenario's business.

use super::endpoint::Endpoint;
use super::host::Actor;
use super::store::wall_unix_s;
use rit_core::base::{ContactId, Ecn, Path, PublicKey, Side, Time};
use rit_core::broker::RelayService;
use rit_core::crypto::{self, Ed25519Signer, Secret, broker_contact};
use rit_core::handshake::{Contact, PeerPolicy};
use rit_core::transport::{Config, Connection, Event, StreamId, Transmit};
use rit_core::trust::{issue_relay_token, relay_end_key, sign_time};
use rit_core::wire::message::{self, ContactKey, Message, Note, RelayOffer, ToBroker, ToNode};
use rit_core::wire::relay::{ChannelId, Claims};
use std::any::Any;
use std::collections::BTreeMap;

/// What the broker does wrong.
#[derive(Clone, Debug, Default)]
pub struct Lies {
    /// The responder is told that this key calls.
    pub peer_at_responder: Option<PublicKey>,
    /// The initiator is told that this is the device's key.
    pub peer_at_initiator: Option<PublicKey>,
    /// The initiator is sent here instead of to the device.
    pub path_at_initiator: Option<Path>,
    /// The two ends are given different contact keys.
    pub has_two_keys: bool,
    /// These bytes follow the first offer on the control stream.
    pub garbage: Vec<u8>,
    /// The responder is shown this chain of grants.
    pub chain: Option<Vec<u8>>,
    /// Notes go to nobody.
    pub keeps_notes: bool,
    /// It is so late, in seconds since 1970, by its signed word.
    pub time_unix_s: Option<u64>,
    /// The newest list has this number, by its signed word.
    pub list: u64,
    /// Questions for the time are not answered.
    pub keeps_time: bool,
}

/// A broker that lies.
pub struct HostileBroker {
    endpoint: Endpoint,
    /// What it does wrong.
    pub lies: Lies,
    /// Relays it names, truly, in each introduction.
    pub relays: Vec<RelayService>,
    /// The contact of every introduction: the broker knows it, and may tell others.
    pub contacts: Vec<Contact>,
    /// All that it was told, and by whom.
    pub heard: Vec<(PublicKey, ToBroker)>,
    signer: Ed25519Signer,
    inboxes: BTreeMap<usize, Vec<u8>>,
}

const CONTROL: StreamId = StreamId(0);

impl HostileBroker {
    /// A broker whose key follows from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        let mut endpoint = Endpoint::new(seed, Config::default());
        let (id, key) = broker_contact(crypto::default_provider(), &endpoint.public_key());
        endpoint.invite(Contact { id, key }, PeerPolicy::Anyone);
        HostileBroker {
            endpoint,
            lies: Lies::default(),
            relays: Vec::new(),
            contacts: Vec::new(),
            heard: Vec::new(),
            signer: Ed25519Signer::from_seed(&seed),
            inboxes: BTreeMap::new(),
        }
    }

    fn pump(&mut self, now: Time) {
        for link in 0..self.endpoint.connections.len() {
            let connection = &mut self.endpoint.connections[link];
            while let Some(event) = connection.poll_event() {
                if event == Event::Opened(CONTROL) {
                    let observed = connection.path();
                    let time_unix_s = self.lies.time_unix_s.unwrap_or(wall_unix_s(now));
                    self.tell(
                        link,
                        &ToNode::Welcome {
                            observed,
                            enrolled: true,
                            time_unix_s,
                            others: vec![],
                            silence_max_s: 0,
                        },
                    );
                    break;
                }
            }
            self.listen(link, now);
        }
    }

    fn listen(&mut self, link: usize, now: Time) {
        let inbox = self.inboxes.entry(link).or_default();
        let mut chunk = [0; 1024];
        while let Ok(len) = self.endpoint.connections[link].stream_read(CONTROL, &mut chunk) {
            inbox.extend_from_slice(&chunk[..len]);
        }
        while let Ok(Some((body, used))) = message::split(&self.inboxes[&link]) {
            let message = ToBroker::decode(body);
            self.inboxes.entry(link).or_default().drain(..used);
            let Ok(Some(message)) = message else { continue };
            if let Some(key) = self.endpoint.connections[link].peer_key() {
                self.heard.push((key, message.clone()));
            }
            match message {
                ToBroker::Connect { request, device, chain } => {
                    self.introduce(link, request, (device, chain), now);
                }
                ToBroker::Note(note) if !self.lies.keeps_notes => self.hand_on(link, note),
                ToBroker::TimeQuery { nonce } if !self.lies.keeps_time => {
                    self.tell_time(link, &nonce, now);
                }
                _ => {}
            }
        }
    }

    fn hand_on(&mut self, from: usize, note: Note) {
        let sender = self.endpoint.connections[from].peer_key();
        if let Some(key) = sender {
            self.say(&note.key, &ToNode::Note(Note { key, ..note.clone() }));
        }
    }

    fn tell_time(&mut self, link: usize, nonce: &[u8; 16], now: Time) {
        let Some(device) = self.endpoint.connections[link].peer_key() else { return };
        let unix_s = self.lies.time_unix_s.unwrap_or(wall_unix_s(now));
        let statement = sign_time(&device, nonce, unix_s, self.lies.list, &self.signer);
        self.tell(link, &ToNode::Time { statement: statement.expect("the broker signs") });
    }

    /// Says this to a node, whatever it is; whether the node has a link.
    pub fn say(&mut self, to: &PublicKey, message: &ToNode) -> bool {
        let is_theirs = |c: &Connection| c.peer_key() == Some(*to) && !c.is_closed();
        let link = self.endpoint.connections.iter().rposition(is_theirs);
        if let Some(link) = link {
            self.tell(link, message);
        }
        link.is_some()
    }

    /// An offer to a responder, in which all is as the broker pleases; it knows the contact.
    pub fn offer(&mut self, peer: PublicKey, path: Path, chain: Vec<u8>) -> (Contact, ToNode) {
        let n = self.contacts.len() as u8 + 1;
        let contact = Contact { id: ContactId([n; 8]), key: Secret::new([n; 32]) };
        self.contacts.push(contact.clone());
        let offer = ToNode::Offer {
            request: 0,
            role: Side::Responder,
            contact_id: contact.id,
            contact_key: ContactKey([n; 32]),
            lifetime_s: 600,
            peer,
            candidates: vec![path],
            services: Vec::new(),
            relays: Vec::new(),
            mapping: 0,
            chain,
        };
        (contact, offer)
    }

    fn introduce(
        &mut self,
        initiator: usize,
        request: u32,
        (device, chain): (PublicKey, Vec<u8>),
        now: Time,
    ) {
        let connections = &self.endpoint.connections;
        let Some(responder) = connections.iter().position(|c| c.peer_key() == Some(device)) else {
            return;
        };
        let n = self.contacts.len() as u8 + 1;
        let contact = Contact { id: ContactId([n; 8]), key: Secret::new([n; 32]) };
        let path_of = |link: usize| connections[link].path();
        let shown = self.lies.chain.clone().unwrap_or(chain);
        let initiator_key = connections[initiator].peer_key().unwrap_or(device);
        let relays = |side| self.relays.iter().map(|relay| offer_of(relay, n, side)).collect();
        let offer = |request, role, key: u8, peer, path| ToNode::Offer {
            request,
            role,
            contact_id: contact.id,
            contact_key: ContactKey([key; 32]),
            lifetime_s: 120,
            peer,
            candidates: vec![path],
            services: Vec::new(),
            relays: relays(role),
            mapping: 0,
            chain: if role == Side::Responder { shown.clone() } else { Vec::new() },
        };
        let caller = self.lies.peer_at_responder.unwrap_or(initiator_key);
        let callee = self.lies.peer_at_initiator.unwrap_or(device);
        let place = self.lies.path_at_initiator.unwrap_or(path_of(responder));
        let other_key = if self.lies.has_two_keys { n + 100 } else { n };
        let to_responder = offer(0, Side::Responder, other_key, caller, path_of(initiator));
        let to_initiator = offer(request, Side::Initiator, n, callee, place);
        self.contacts.push(contact);
        self.tell(responder, &to_responder);
        self.tell(initiator, &to_initiator);
        if !self.lies.garbage.is_empty() {
            let garbage = self.lies.garbage.clone();
            for link in [initiator, responder] {
                let _ = self.endpoint.connections[link].stream_write(CONTROL, &garbage);
            }
        }
        self.endpoint.handle_timeout(now);
    }

    fn tell(&mut self, link: usize, message: &ToNode) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).expect("the message is within its limits");
        let written = self.endpoint.connections[link].stream_write(CONTROL, &bytes);
        assert_eq!(written, Ok(bytes.len()), "the control stream takes a message");
    }
}

/// The right to use a relay in the `n`th introduction.
fn offer_of(relay: &RelayService, n: u8, side: Side) -> RelayOffer {
    let p = crypto::default_provider();
    let (channel, expires_min) = (ChannelId([n; 8]), u32::MAX);
    let claims = Claims { channel, side, rate: relay.rate, expires_min, node: [side as u8; 8] };
    let token = issue_relay_token(p, &relay.secret, &claims);
    let key = ContactKey(*relay_end_key(p, &relay.secret, &token).as_bytes());
    RelayOffer { paths: relay.paths.clone(), token, key, tls: Vec::new() }
}

impl Actor for HostileBroker {
    fn public_key(&self) -> PublicKey {
        self.endpoint.public_key()
    }

    fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        self.endpoint.handle_datagram(path, Ecn::NotEct, datagram, now);
        self.pump(now);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.endpoint.handle_timeout(now);
        self.pump(now);
    }

    fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        self.endpoint.poll_transmit(buf, now)
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.endpoint.poll_timeout()
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}

impl Actor for Endpoint {
    fn public_key(&self) -> PublicKey {
        Endpoint::public_key(self)
    }

    fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        Endpoint::handle_datagram(self, path, Ecn::NotEct, datagram, now);
    }

    fn handle_timeout(&mut self, now: Time) {
        Endpoint::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        Endpoint::poll_transmit(self, buf, now)
    }

    fn poll_timeout(&self) -> Option<Time> {
        Endpoint::poll_timeout(self)
    }

    fn as_any(&mut self) -> &mut dyn Any {
        self
    }
}
