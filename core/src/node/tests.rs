//! A broker, a device and a user in one process, joined by a loss-free wire in virtual time.

mod cloak;
mod trust;

use super::*;
use crate::tunnel::Refusal;
use alloc::boxed::Box;

use crate::base::{ContactId, Ecn, Side};
use crate::broker::{Answer, Query, code_hash};
use crate::crypto::{self, Ed25519Signer, Secret, broker_contact};
use crate::handshake::Contact;
use crate::transport::{Connection, StreamId};
use crate::trust::{issue_relay_token, relay_end_key};
use crate::wire::message::{ContactKey, RelayOffer, ToNode};
use crate::wire::relay::{ChannelId, Claims};
use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use std::string::String;
use std::vec;

const DELAY_US: u64 = 10_000;

pub(super) struct World {
    broker: BrokerNode,
    nodes: Vec<Node>,
    now: Time,
    wire: VecDeque<(Time, Path, Path, Vec<u8>)>,
    events: Vec<Vec<Event>>,
    enrolled: BTreeSet<PublicKey>,
    codes: BTreeSet<[u8; 32]>,
    is_broker_dead: bool,
    /// A NAT: what the first address sends comes from the second, and the other way round.
    moved: Option<(Path, Path)>,
}

fn path(last: u8) -> Path {
    Path::v4([10, 0, 0, last], 7480)
}

impl World {
    fn new(nodes: usize) -> World {
        let signer = |n: u8| Arc::new(Ed25519Signer::from_seed(&[n; 32]));
        let provider = crypto::default_provider();
        let new = |n: usize| {
            let n = n as u8 + 1;
            Node::new(Config::default(), provider, signer(n), [n; 32], Time::ZERO).unwrap()
        };
        let broker =
            BrokerNode::new(Config::default(), provider, signer(200), [200; 32], Time::ZERO);
        let codes = (0..8).map(|i| code_hash(provider, &std::format!("CODE-{i}"))).collect();
        World {
            broker: broker.unwrap(),
            nodes: (0..nodes).map(new).collect(),
            now: Time::ZERO,
            wire: VecDeque::new(),
            events: vec![Vec::new(); nodes],
            enrolled: BTreeSet::new(),
            codes,
            is_broker_dead: false,
            moved: None,
        }
    }

    fn connect(&mut self, node: usize, code: &str) {
        let address = BrokerAddress { key: self.broker.public_key(), paths: vec![path(0)] };
        self.nodes[node].broker_connect(address, Some(code), self.now).unwrap();
    }

    fn answer_asks(&mut self) {
        while let Some((id, query)) = self.broker.poll_ask() {
            let is_enrolled = match query {
                Query::Trust { .. } => {
                    let none = Answer::Trust(None);
                    self.broker.handle_answer(id, none, 1_700_000_000, self.now);
                    continue;
                }
                Query::Lookup { key } => self.enrolled.contains(&key),
                Query::Enrol { key, code_hash } => {
                    self.codes.remove(&code_hash) && self.enrolled.insert(key)
                }
            };
            self.broker.handle_answer(id, Answer::Enrolled(is_enrolled), 1_700_000_000, self.now);
        }
    }

    fn step(&mut self) -> bool {
        let mut buf = [0; 2000];
        let arrival = Time::from_micros(self.now.as_micros() + DELAY_US);
        self.answer_asks();
        while let Some(t) = self.broker.poll_transmit(&mut buf, self.now) {
            self.wire.push_back((arrival, path(0), t.path, buf[..t.len].to_vec()));
        }
        for (i, node) in self.nodes.iter_mut().enumerate() {
            while let Some(t) = node.poll_transmit(&mut buf, self.now) {
                let own = path(i as u8 + 1);
                let moved = self.moved.filter(|(before, _)| *before == own);
                let from = moved.map_or(own, |(_, after)| after);
                self.wire.push_back((arrival, from, t.path, buf[..t.len].to_vec()));
            }
        }
        let timers = self.nodes.iter().filter_map(Node::poll_timeout);
        let timers = timers.chain(self.broker.poll_timeout());
        let Some(next) = timers.chain(self.wire.front().map(|x| x.0)).min() else { return false };
        self.now = self.now.max(next);
        while self.wire.front().is_some_and(|x| x.0 <= self.now) {
            let (_, from, to, mut datagram) = self.wire.pop_front().unwrap();
            let to = match self.moved {
                Some((before, after)) if to == after => before,
                // The NAT forgot what it had.
                Some((before, _)) if to == before => continue,
                _ => to,
            };
            match to.ip[15] {
                0 if self.is_broker_dead => {}
                0 => self.broker.handle_datagram(from, &mut datagram, self.now),
                n if usize::from(n) <= self.nodes.len() => {
                    self.nodes[usize::from(n) - 1].handle_datagram(
                        from,
                        Ecn::NotEct,
                        &mut datagram,
                        self.now,
                    );
                }
                _ => {}
            }
        }
        self.broker.handle_timeout(self.now);
        for (node, events) in self.nodes.iter_mut().zip(&mut self.events) {
            node.handle_timeout(self.now);
            while let Some(event) = node.poll_event() {
                events.push(event);
            }
        }
        true
    }

    fn run_until(&mut self, mut done: impl FnMut(&mut World) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            assert!(self.step(), "nothing left to happen: {:?}", self.events);
        }
        panic!("no end in sight at {:?}: {:?}", self.now, self.events);
    }

    fn until(&mut self, node: usize, is_meant: impl Fn(&Event) -> bool) -> Event {
        self.run_until(|w| w.events[node].iter().any(&is_meant));
        let at = self.events[node].iter().position(&is_meant).unwrap();
        self.events[node].remove(at)
    }

    /// Node 0 is the device, node 1 the user; node 2 looks on.
    fn introduced() -> (World, SessionId) {
        let mut world = World::new(3);
        let user = world.nodes[1].public_key();
        world.nodes[0].peer_allow(user).unwrap();
        let www = ServiceInfo { name: String::from("www"), kind: 0, port: 80 };
        world.nodes[0].service_add(www, world.now).unwrap();
        for node in 0..2 {
            world.connect(node, &std::format!("CODE-{node}"));
            world.until(node, |e| *e == Event::BrokerOnline);
        }
        let device = world.nodes[0].public_key();
        let session = world.nodes[1].session_open(device, world.now).unwrap();
        (world, session)
    }

    fn session_up() -> (World, SessionId) {
        let (mut world, session) = World::introduced();
        for node in 0..2 {
            world.until(node, |e| matches!(e, Event::SessionUp { .. }));
        }
        (world, session)
    }

    fn stream(&mut self, session: SessionId) -> (StreamHandle, StreamHandle) {
        let now = self.now;
        let user = self.nodes[1].stream_open(session, "www", now).unwrap();
        let event = self.until(0, |e| matches!(e, Event::StreamIncoming { .. }));
        let Event::StreamIncoming { stream: device, .. } = event else { panic!() };
        self.nodes[0].stream_accept(device, self.now).unwrap();
        self.until(1, |e| *e == Event::StreamOpened { stream: user });
        (user, device)
    }
}

#[test]
fn a_session_carries_bytes_and_survives_the_broker() {
    let (mut world, session) = World::session_up();
    assert_eq!(world.nodes[1].session_services(session).unwrap()[0].name, "www");
    world.is_broker_dead = true;
    let (user, device) = world.stream(session);
    let now = world.now;
    assert_eq!(world.nodes[1].stream_write(user, b"GET /", now), Ok(5));
    world.nodes[1].stream_finish(user, now).unwrap();
    world.until(0, |e| *e == Event::StreamReadable { stream: device });
    let mut out = [0; 10];
    let read = world.nodes[0].stream_read(device, &mut out, world.now).unwrap();
    assert_eq!((read, &out[..5]), (5, &b"GET /"[..]));
    assert_eq!(world.nodes[0].stream_read(device, &mut out, world.now), Ok(0));
    assert_eq!(world.nodes[0].stream_write(device, b"200", world.now), Ok(3));
    world.nodes[0].stream_finish(device, world.now).unwrap();
    world.until(1, |e| *e == Event::StreamReadable { stream: user });
    let read = world.nodes[1].stream_read(user, &mut out, world.now).unwrap();
    assert_eq!((read, &out[..3]), (3, &b"200"[..]));
    world.nodes[0].stream_release(device, world.now).unwrap();
    world.nodes[1].stream_release(user, world.now).unwrap();
    assert_eq!(world.nodes[1].stream_release(user, world.now), Err(NodeError::StaleHandle));
    world.until(1, |e| matches!(e, Event::BrokerOffline(Reason::TimedOut)));
    let info = world.nodes[1].session_info(session).unwrap();
    assert!(info.is_up && info.path == Some(path(1)) && info.rtt_us >= 2 * DELAY_US);
}

#[test]
fn refusals_are_told_apart() {
    let (mut world, session) = World::session_up();
    let unknown = world.nodes[1].stream_open(session, "ssh", world.now).unwrap();
    let refusal = Refusal::Unknown;
    world.until(1, |e| *e == Event::StreamRefused { stream: unknown, refusal });
    let refused = world.nodes[1].stream_open(session, "www", world.now).unwrap();
    let event = world.until(0, |e| matches!(e, Event::StreamIncoming { .. }));
    let Event::StreamIncoming { stream, .. } = event else { panic!() };
    world.nodes[0].stream_refuse(stream, Refusal::Service, world.now).unwrap();
    assert_eq!(world.nodes[0].stream_accept(stream, world.now), Err(NodeError::StaleHandle));
    let refusal = Refusal::Service;
    world.until(1, |e| *e == Event::StreamRefused { stream: refused, refusal });
    assert_eq!(world.nodes[1].stream_open(session, "a b", world.now), Err(NodeError::Name));
}

#[test]
fn enrol_codes_work_once() {
    let mut world = World::new(3);
    world.connect(0, "CODE-1");
    world.until(0, |e| *e == Event::Enrolled);
    world.until(0, |e| *e == Event::BrokerOnline);
    world.connect(1, "CODE-1");
    world.until(1, |e| *e == Event::EnrolRefused(Reason::BadCode));
    world.connect(2, "nonsense");
    world.until(2, |e| *e == Event::EnrolRefused(Reason::BadCode));
    // Told once, and no longer tried.
    for _ in 0..200 {
        world.step();
    }
    assert!(world.events[1].is_empty() && world.events[2].is_empty(), "{:?}", world.events);
}

#[test]
fn unknown_offline_and_unwilling_devices() {
    let (mut world, session) = World::introduced();
    world.nodes[0].peer_forbid(&Ed25519Signer::from_seed(&[2; 32]).public_key(), world.now);
    let down = |session, reason| Event::SessionDown { session, reason };
    world.until(1, |e| *e == down(session, Reason::TimedOut));
    let nobody = world.nodes[1].session_open(PublicKey([9; 32]), world.now).unwrap();
    world.until(1, |e| *e == down(nobody, Reason::Unknown));
    assert_eq!(world.nodes[1].session_info(nobody), Err(NodeError::StaleHandle));
}

#[test]
fn closing_a_session_is_seen_by_both_ends() {
    let (mut world, session) = World::session_up();
    let (user, _) = world.stream(session);
    world.nodes[1].session_close(session, 7, world.now).unwrap();
    world.until(1, |e| matches!(e, Event::SessionDown { reason: Reason::Local, .. }));
    world.until(0, |e| matches!(e, Event::SessionDown { reason: Reason::Peer(7), .. }));
    assert_eq!(world.nodes[1].stream_finish(user, world.now), Err(NodeError::StaleHandle));
    world.run_until(|w| w.nodes.iter().all(|n| n.stats().sessions + n.stats().streams == 0));
}

#[test]
fn a_restart_is_noticed_at_the_first_packet() {
    let (mut world, session) = World::session_up();
    let (user, _) = world.stream(session);
    let again = |n: u8| (Arc::new(Ed25519Signer::from_seed(&[n; 32])), [n + 50; 32]);
    let provider = crypto::default_provider();
    let (signer, seed) = again(1);
    world.nodes[0] = Node::new(Config::default(), provider, signer, seed, world.now).unwrap();
    world.run_until(|w| w.wire.is_empty());
    let since = world.now;
    world.nodes[1].stream_write(user, b"x", since).unwrap();
    let down = Event::SessionDown { session, reason: Reason::Forgotten };
    world.until(1, |e| *e == down);
    assert!(world.now.since(since) <= Duration::from_micros(2 * DELAY_US));
    // The broker, too: it hears from the user when that keeps the link alive.
    let (signer, seed) = again(200);
    let broker = BrokerNode::new(Config::default(), provider, signer, seed, world.now);
    world.broker = broker.unwrap();
    world.until(1, |e| *e == Event::BrokerOffline(Reason::Forgotten));
    assert!(world.now.since(since) < Duration::from_secs(30));
    world.until(1, |e| *e == Event::BrokerOnline);
}

#[test]
fn a_node_may_be_a_member_of_the_broker_that_has_its_key() {
    let mut world = World::new(1);
    let signer = Arc::new(Ed25519Signer::from_seed(&[200; 32]));
    let provider = crypto::default_provider();
    world.nodes[0] = Node::new(Config::default(), provider, signer, [9; 32], world.now).unwrap();
    world.connect(0, "CODE-1");
    world.until(0, |e| *e == Event::BrokerOnline);
}

#[test]
fn a_node_that_moves_keeps_its_session_and_is_found_again() {
    let (mut world, session) = World::session_up();
    let (user, device) = world.stream(session);
    // The user is behind a NAT that gives it another address now.
    world.moved = Some((path(2), path(42)));
    let now = world.now;
    world.nodes[1].stream_write(user, b"hello", now).unwrap();
    world.until(0, |e| *e == Event::StreamReadable { stream: device });
    let now = world.now;
    world.nodes[0].stream_write(device, &[7; 5000], now).unwrap();
    let (mut out, mut read) = ([0; 5000], 0);
    world.run_until(|w| {
        read += w.nodes[1].stream_read(user, &mut out, w.now).unwrap_or(0);
        read == out.len()
    });
    let seen = world.nodes[0].sessions.iter().next().unwrap().1.connection().unwrap();
    assert_eq!(seen.path(), path(42));
    assert!(world.nodes[1].session_info(session).unwrap().is_up);
    // The device's NAT, too: whoever asks the broker for it next is told where it is now.
    world.moved = Some((path(1), path(41)));
    let links = |w: &World| w.broker.links.values().map(|link| link.connection.path()).collect();
    world.run_until(|w| {
        let paths: Vec<Path> = links(w);
        paths.contains(&path(41))
    });
    world.connect(2, "CODE-2");
    world.until(2, |e| *e == Event::BrokerOnline);
    let third = world.nodes[2].public_key();
    world.nodes[0].peer_allow(third).unwrap();
    let device_key = world.nodes[0].public_key();
    world.nodes[2].session_open(device_key, world.now).unwrap();
    world.until(2, |e| matches!(e, Event::SessionUp { .. }));
}

#[test]
fn strangers_get_no_answer() {
    let (mut world, _) = World::session_up();
    let mut rng = Rng::from_seed([4; 32]);
    let mut buf = [0; 2000];
    for node in &mut world.nodes {
        while node.poll_transmit(&mut buf, world.now).is_some() {}
        for len in 0..200 {
            let mut datagram = vec![0; len];
            rng.fill(&mut datagram);
            if let Some(first) = datagram.first_mut() {
                *first |= 0x40;
            }
            node.handle_datagram(path(77), Ecn::NotEct, &mut datagram, world.now);
            assert_eq!(node.poll_transmit(&mut buf, world.now), None);
        }
        assert_eq!(node.stats().datagrams_dropped, 200);
    }
}

#[test]
fn an_end_that_comes_with_the_answer_is_readable() {
    let (mut world, session) = World::session_up();
    let now = world.now;
    let user = world.nodes[1].stream_open(session, "www", now).unwrap();
    world.nodes[1].stream_finish(user, now).unwrap();
    let event = world.until(0, |e| matches!(e, Event::StreamIncoming { .. }));
    let Event::StreamIncoming { stream: device, .. } = event else { panic!() };
    world.until(0, |e| *e == Event::StreamReadable { stream: device });
    let mut out = [0; 10];
    assert_eq!(world.nodes[0].stream_read(device, &mut out, world.now), Ok(0));
    world.nodes[0].stream_accept(device, world.now).unwrap();
    world.nodes[0].stream_finish(device, world.now).unwrap();
    world.until(1, |e| *e == Event::StreamOpened { stream: user });
    world.until(1, |e| *e == Event::StreamReadable { stream: user });
    assert_eq!(world.nodes[1].stream_read(user, &mut out, world.now), Ok(0));
    assert_eq!(world.nodes[1].stream_read(user, &mut out, world.now), Err(NodeError::State));
}

#[test]
fn who_refused_cannot_accept_any_more() {
    let (mut world, session) = World::session_up();
    let user = world.nodes[1].stream_open(session, "www", world.now).unwrap();
    let event = world.until(0, |e| matches!(e, Event::StreamIncoming { .. }));
    let Event::StreamIncoming { session: owner, .. } = event else { panic!() };
    for answer in [1, 0] {
        let device = &mut world.nodes[0];
        let connection =
            &mut device.live_session(Handle(owner.0)).unwrap().tunnel().unwrap().connection;
        connection.stream_write(StreamId(0), &[answer]).unwrap();
        device.endpoint.touch(Owner::Session(Handle(owner.0)));
        for _ in 0..10 {
            world.step();
        }
    }
    let refusal = Refusal::Service;
    world.until(1, |e| *e == Event::StreamRefused { stream: user, refusal });
    assert!(!world.events[1].contains(&Event::StreamOpened { stream: user }));
}

#[test]
fn one_peer_cannot_take_the_contacts_of_others() {
    let (mut world, _) = World::session_up();
    let user = world.nodes[1].public_key();
    let offer = |n: u8, lifetime_s: u32| ToNode::Offer {
        request: 0,
        role: Side::Responder,
        contact_id: ContactId([n; 8]),
        contact_key: ContactKey([n; 32]),
        lifetime_s,
        peer: user,
        candidates: vec![],
        services: vec![],
        relays: vec![],
        mapping: 0,
        chain: Vec::new(),
    };
    for n in 0..100 {
        world.nodes[0].on_session_message(offer(n, 60), Which::Broker, world.now);
    }
    assert_eq!(world.nodes[0].endpoint.contact_count(), 8);
    assert!(world.nodes[0].endpoint.contacts_of(&user).1 == Some(ContactId([92; 8])));
    // Nor for as long as the broker likes.
    for n in 100..108 {
        world.nodes[0].on_session_message(offer(n, u32::MAX), Which::Broker, world.now);
    }
    assert_eq!(world.nodes[0].endpoint.next_expiry(), Some(world.now + Duration::from_secs(600)));
}

#[test]
fn a_contact_offered_again_takes_the_place_of_the_first() {
    let mut world = World::new(1);
    let (device, user) = (0, PublicKey([7; 32]));
    world.connect(device, "CODE-1");
    world.until(device, |e| *e == Event::BrokerOnline);
    world.nodes[device].peer_allow(user).unwrap();
    let (provider, secret, relay) = (crypto::default_provider(), Secret::new([1; 32]), path(99));
    for n in 1..=100 {
        let (channel, side) = (ChannelId([n; 8]), Side::Responder);
        let claims = Claims { channel, side, rate: 0, expires_min: 9, node: [0; 8] };
        let token = issue_relay_token(provider, &secret, &claims);
        let key = ContactKey(*relay_end_key(provider, &secret, &token).as_bytes());
        let offer = ToNode::Offer {
            request: 0,
            role: Side::Responder,
            contact_id: ContactId([5; 8]),
            contact_key: ContactKey([5; 32]),
            lifetime_s: 60,
            peer: user,
            candidates: vec![],
            services: vec![],
            relays: vec![RelayOffer { paths: vec![relay], tls: vec![], token, key }],
            mapping: 0,
            chain: Vec::new(),
        };
        world.nodes[device].on_session_message(offer, Which::Broker, world.now);
    }
    let (mut buf, mut binds) = ([0; 2000], 0);
    while let Some(sent) = world.nodes[device].poll_transmit(&mut buf, world.now) {
        binds += usize::from(sent.path.port == relay.port && sent.path.ip == relay.ip);
    }
    assert!((1..=2).contains(&binds), "one channel, and a probe through it: {binds}");
}

/// A connection to the broker without a node's manners.
struct Rude {
    endpoint: Endpoint<u8>,
    connection: Box<Connection>,
}

impl Rude {
    fn new(world: &World, seed: u8) -> Rude {
        let provider = crypto::default_provider();
        let signer = Arc::new(Ed25519Signer::from_seed(&[seed; 32]));
        let local = Local { config: Config::default().transport, provider, signer };
        let mut endpoint = Endpoint::new(local, Rng::from_seed([seed; 32]));
        let broker = world.broker.public_key();
        let (id, key) = broker_contact(provider, &broker);
        let contact = Contact { id, key };
        let connection = endpoint.open(&contact, broker, path(0), 0, world.now).unwrap();
        Rude { endpoint, connection }
    }

    fn send(&mut self, world: &mut World) {
        let mut buf = [0; 2000];
        while let Some(t) = self.connection.poll_transmit(&mut buf, world.now) {
            let from = path(self.endpoint.public_key().0[0]);
            world.broker.handle_datagram(from, &mut buf[..t.len], world.now);
        }
    }

    fn receive(&mut self, world: &mut World) {
        let mut buf = [0; 2000];
        while let Some(t) = world.broker.poll_transmit(&mut buf, world.now) {
            self.connection.handle_datagram(path(0), Ecn::NotEct, &mut buf[..t.len], world.now);
        }
    }
}

#[test]
fn a_refused_node_that_talks_on_is_not_heard_and_soon_gone() {
    let mut world = World::new(0);
    let mut rude = Rude::new(&world, 50);
    while !rude.connection.is_established() {
        rude.send(&mut world);
        rude.receive(&mut world);
    }
    let control = rude.connection.stream_open().unwrap();
    let start = world.now;
    // No such message, over and over, and nothing that comes is taken or acknowledged.
    let mut buf = [0; 2000];
    while world.broker.links() > 0 {
        let _ = rude.connection.stream_write(control, &[0, 1, 0xff].repeat(30));
        rude.send(&mut world);
        while world.broker.poll_transmit(&mut buf, world.now).is_some() {}
        world.now = world.now + Duration::from_millis(100);
        world.broker.handle_timeout(world.now);
        let refused = world.broker.links.values().find(|link| link.closing.is_some());
        if let Some(link) = refused.filter(|_| world.now > start + Duration::from_secs(2)) {
            assert!(link.connection.stats().buffered_bytes > 1000, "what it says is not read");
        }
        assert!(world.now < start + Duration::from_secs(10));
    }
    assert!(world.now > start + Duration::from_secs(2), "it had time to read why");
}

#[test]
fn half_open_links_make_room() {
    let mut world = World::new(1);
    let config = super::Config { max_sessions: 128, ..Config::default() };
    let signer = Arc::new(Ed25519Signer::from_seed(&[200; 32]));
    let provider = crypto::default_provider();
    world.broker = BrokerNode::new(config, provider, signer, [1; 32], world.now).unwrap();
    for seed in 50..100 {
        Rude::new(&world, seed).send(&mut world);
        assert!(world.broker.links() <= 16);
    }
    world.connect(0, "CODE-1");
    world.until(0, |e| *e == Event::BrokerOnline);
}
