//! Fuzz body over whole nodes: a node, its broker, a relay, and two peers without manners who hold
//! valid keys, all driven by one script of datagrams, times, commands and answers of the store.
//!
//! The script is read byte by byte, so that a small change of it stays a small change of what
//! happens. Checked: no panic, polls come to an end, timers do not stand still, buffers stay
//! bounded, a stranger is never answered.

mod gateway;
mod owners;

use crate::sim::raw_peer::RawPeer;
use rit_core::base::{ContactId, Ecn, Path, PublicKey, Rng, Side, Time};
use rit_core::broker::{Answer, AskId};
use rit_core::crypto::{self, Ed25519Signer, Secret, Signer, broker_contact};
use rit_core::handshake::Contact;
use rit_core::node::{
    BrokerAddress, BrokerNode, Config, Event, FlowHandle, Node, ServiceId, SessionId, StreamHandle,
};
use rit_core::relay::{Limits, Relay};
use rit_core::trust::{issue_relay_token, relay_end_key};
use rit_core::tunnel::Refusal;
use rit_core::wire::codec::{Reader, Writer};
use rit_core::wire::frame;
use rit_core::wire::message::{
    ContactKey, Message, RelayOffer, SERVICE_UDP, ServiceInfo, ToBroker, ToNode,
};
use rit_core::wire::relay::{ChannelId, Claims};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const ROUNDS_MAX: usize = 3000;
/// Longer than any timeout and any wait.
const REST: Duration = Duration::from_secs(70);
const BUFFERED_MAX: u64 = 1024 * 1024;

/// The addresses of the cast. A raw peer may call from any but the stranger's.
const NODE: u8 = 1;
const BROKER: u8 = 2;
const LIAR: u8 = 3;
const CALLER: u8 = 4;
const RELAY: u8 = 5;
const STRANGER: u8 = 9;

fn path(n: u8) -> Path {
    Path::v4([10, 0, 0, n], u16::from(n) + 1000)
}

struct Stage {
    node: Node,
    broker: BrokerNode,
    /// Of the liar's offers.
    relay: Relay,
    /// Poses as the node's broker, with the key of one.
    liar: RawPeer,
    /// Calls the true broker, and once introduced the node.
    caller: RawPeer,
    /// Datagrams under way: from, to, bytes.
    flying: VecDeque<(u8, u8, Vec<u8>)>,
    asks: VecDeque<AskId>,
    sessions: Vec<SessionId>,
    streams: Vec<StreamHandle>,
    flows: Vec<FlowHandle>,
    services: Vec<ServiceId>,
    stream_sent: u64,
    /// Bytes of the stranger's last datagram.
    stranger_len: usize,
    now: Time,
}

/// A whole node and a broker, fed with arbitrary datagrams and times.
pub fn node(data: &[u8]) {
    let mut r = Reader::new(data);
    let Ok(mode) = r.u8() else { return };
    let mut stage = Stage::new(mode & 1 == 0);
    if mode & 2 == 0 {
        // Start with links up, so that short scripts get somewhere.
        (0..6).for_each(|_| stage.deliver_all());
    }
    while let Ok(op) = r.u8() {
        if stage.run(op, &mut r).is_none() {
            break;
        }
        stage.drain();
    }
    stage.rest();
}

fn small_config() -> Config {
    let mut config = Config { max_sessions: 4, max_services: 4, max_peers: 3, ..Config::default() };
    config.max_flows = 3;
    config.transport.datagram_send_buffer = 4096;
    config.transport.datagram_recv_buffer = 4096;
    config.transport.datagram_queue = 8;
    config.transport.stream_window = 16 * 1024;
    config.transport.session_window = 64 * 1024;
    config.transport.stream_send_buffer = 16 * 1024;
    config.transport.max_streams = 8;
    config
}

fn contact_of(key: &PublicKey) -> Contact {
    let (id, key) = broker_contact(crypto::default_provider(), key);
    Contact { id, key }
}

fn relay_secret() -> Secret {
    Secret::new([8; 32])
}

/// The node's end of a channel of the relay, which is also said to be where nobody is.
fn relay_offer(side: Side, n: u8) -> RelayOffer {
    let (channel, provider) = (ChannelId([n; 8]), crypto::default_provider());
    let claims = Claims { channel, side, rate: n & 15, expires_min: 9, node: [1; 8] };
    let token = issue_relay_token(provider, &relay_secret(), &claims);
    let key = ContactKey(*relay_end_key(provider, &relay_secret(), &token).as_bytes());
    RelayOffer { paths: vec![path(RELAY), path(RELAY + 1)], tls: Vec::new(), token, key }
}

/// The session contact that the liar hands out.
fn session_contact() -> Contact {
    Contact { id: ContactId([5; 8]), key: Secret::new([6; 32]) }
}

impl Stage {
    /// `is_honest`: the node talks to the true broker; otherwise to the liar.
    fn new(is_honest: bool) -> Stage {
        let provider = crypto::default_provider();
        let now = Time::from_micros(1_000_000);
        let signer = |n: u8| Arc::new(Ed25519Signer::from_seed(&[n; 32]));
        let node = Node::new(small_config(), provider, signer(NODE), [11; 32], now);
        let broker = BrokerNode::new(small_config(), provider, signer(BROKER), [12; 32], now);
        let (mut node, broker) = (node.expect("sound"), broker.expect("sound"));
        let broker_key = signer(BROKER).public_key();
        let liar_key = signer(LIAR).public_key();
        let liar = RawPeer::new(Side::Responder, [LIAR; 32], contact_of(&liar_key));
        let caller = RawPeer::new(Side::Initiator, [CALLER; 32], contact_of(&broker_key));
        let (key, at) = if is_honest { (broker_key, BROKER) } else { (liar_key, LIAR) };
        let address = BrokerAddress { key, paths: vec![path(at)] };
        node.broker_connect(address, Some("code"), now).expect("nothing is connected yet");
        node.peer_allow(caller.public_key()).expect("there is room");
        node.set_trust(owners::state(), None, now).expect("memory is not counted here");
        let service = ServiceInfo { name: "web".to_owned(), kind: 0, port: 80 };
        let udp = ServiceInfo { kind: SERVICE_UDP, ..service.clone() };
        let services = vec![node.service_add(service, now).expect("there is room")];
        node.service_add(udp, now).expect("the kinds do not mix");
        let (limits, rng) = (Limits::default(), Rng::from_seed([13; 32]));
        let relay = Relay::new(provider, relay_secret(), limits, rng, 0, now);
        Stage {
            node,
            broker,
            relay,
            liar,
            caller,
            flying: VecDeque::new(),
            asks: VecDeque::new(),
            sessions: Vec::new(),
            streams: Vec::new(),
            flows: Vec::new(),
            services,
            stream_sent: 0,
            stranger_len: 0,
            now,
        }
    }

    /// One step of the script; none at its end.
    fn run(&mut self, op: u8, r: &mut Reader<'_>) -> Option<()> {
        match op % 12 {
            0 => self.deliver_all(),
            1 => self.damage(r)?,
            2 => {
                let to = if op & 0x80 == 0 { NODE } else { BROKER };
                let mut bytes = take(r)?.to_vec();
                self.stranger_len = bytes.len();
                self.hand_over(STRANGER, to, &mut bytes);
            }
            3 | 4 => self.raw_frames(op & 0x80 == 0, op & 0x40 != 0, take(r)?),
            5 => self.raw_stream(op & 0x80 == 0, take(r)?),
            6 => self.raw_message(op & 0x80 == 0, r)?,
            7 => self.pass(Duration::from_millis(r.varint().ok()? % 200_000)),
            8 => self.wake(),
            9 => self.answer(r.u8().ok()?),
            10 => self.node_command(r)?,
            _ => self.stream_command(r)?,
        }
        Some(())
    }

    // ---- the net

    /// Hands a datagram to whoever has the address.
    fn hand_over(&mut self, from: u8, to: u8, bytes: &mut [u8]) {
        match to {
            NODE => {
                // A script has no byte for the mark: the length says it.
                let ecn = Ecn::from_bits(bytes.len() as u8);
                self.node.handle_datagram(path(from), ecn, bytes, self.now);
            }
            BROKER => self.broker.handle_datagram(path(from), bytes, self.now),
            LIAR => self.liar.handle_datagram(bytes),
            CALLER => self.caller.handle_datagram(bytes),
            RELAY => {
                let forward = self.relay.handle_datagram(path(from), bytes, self.now);
                if let Some(forward) = forward {
                    self.fly(RELAY, forward.to.ip[15], bytes[forward.range].to_vec());
                }
            }
            _ => {}
        }
    }

    fn deliver_all(&mut self) {
        self.drain();
        for _ in 0..self.flying.len() {
            let Some((from, to, mut bytes)) = self.flying.pop_front() else { return };
            self.hand_over(from, to, &mut bytes);
            self.drain();
        }
    }

    /// Loses, doubles, replays from elsewhere or alters the next datagram under way.
    fn damage(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let (what, at, xor) = (r.u8().ok()?, usize::from(r.u16().ok()?), r.u8().ok()?);
        let (from, to, mut bytes) = self.flying.pop_front()?;
        match what % 5 {
            0 => return Some(()),
            1 => {
                let i = at % bytes.len();
                bytes[i] ^= xor;
            }
            2 => bytes.truncate(at % bytes.len()),
            3 => self.hand_over(from, to, &mut bytes.clone()),
            _ => self.hand_over(CALLER, to, &mut bytes.clone()),
        }
        self.hand_over(from, to, &mut bytes);
        Some(())
    }

    /// Takes everything out of everybody; fails if it never ends.
    fn drain(&mut self) {
        let mut buf = [0; 2048];
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "sends without end");
            let node = self.node.poll_transmit(&mut buf, self.now).map(|t| (NODE, t));
            let sent =
                node.or_else(|| self.broker.poll_transmit(&mut buf, self.now).map(|t| (BROKER, t)));
            let sent = sent.or_else(|| self.relay.poll_transmit(&mut buf).map(|t| (RELAY, t)));
            let Some((from, transmit)) = sent else { break };
            if transmit.path == path(STRANGER) {
                // A fuzzer sees what is compared, connection IDs of forgotten connections too. Who
                // knows one may be told so by a stateless reset, and nothing else.
                let is_reset = buf[0] & 0xc0 == 0x40 && (21..=43).contains(&transmit.len);
                assert!(is_reset && transmit.len < self.stranger_len, "a stranger is answered");
            }
            let to = transmit.path.ip[15];
            self.fly(from, to, buf[..transmit.len].to_vec());
        }
        while let Some(bytes) = self.liar.poll_transmit() {
            self.fly(LIAR, NODE, bytes);
        }
        let to = self.caller_target();
        while let Some(bytes) = self.caller.poll_transmit() {
            self.fly(CALLER, to, bytes);
        }
        self.store();
        self.drain_events();
        let stats = self.node.stats();
        assert!(stats.buffered_bytes <= BUFFERED_MAX, "{stats:?}");
        assert!(stats.sessions <= 4 && stats.streams <= 64 && stats.flows <= 12, "{stats:?}");
    }

    fn fly(&mut self, from: u8, to: u8, bytes: Vec<u8>) {
        // What nobody delivers is lost, oldest first.
        if self.flying.len() >= 256 {
            self.flying.pop_front();
        }
        self.flying.push_back((from, to, bytes));
    }

    fn drain_events(&mut self) {
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "events without end");
            match self.node.poll_event() {
                Some(Event::SessionUp { session, .. }) => self.sessions.push(session),
                Some(Event::StreamIncoming { stream, .. }) => self.streams.push(stream),
                Some(Event::FlowIncoming { flow, .. }) => self.flows.push(flow),
                Some(_) => {}
                None => break,
            }
        }
        while self.broker.poll_event().is_some() {}
        while let Some((ask, _)) = self.broker.poll_ask() {
            self.asks.push_back(ask);
        }
    }

    // ---- peers without manners

    fn caller_target(&self) -> u8 {
        // A peer that was made anew for the session contact calls the node.
        if self.stream_sent & 1 == 1 { NODE } else { BROKER }
    }

    fn say(&mut self, is_liar: bool, contact: bool, frames: &[u8]) {
        let (peer, from, to) = match is_liar {
            true => (&mut self.liar, LIAR, NODE),
            false => {
                let to = if self.stream_sent & 1 == 1 { NODE } else { BROKER };
                (&mut self.caller, CALLER, to)
            }
        };
        if let Some(mut bytes) = peer.say(frames, contact) {
            self.hand_over(from, to, &mut bytes);
        }
    }

    fn raw_frames(&mut self, is_liar: bool, contact: bool, frames: &[u8]) {
        self.say(is_liar, contact, frames);
    }

    /// The next bytes of the control stream.
    fn raw_stream(&mut self, is_liar: bool, data: &[u8]) {
        let mut buf = [0; 1400];
        let mut w = Writer::new(&mut buf);
        let offset = self.stream_sent >> 1;
        let len = data.len().min(1200);
        let Ok(room) = frame::write_stream(&mut w, 0, offset, len, false) else { return };
        room.copy_from_slice(&data[..len]);
        let used = w.len();
        self.stream_sent += (len as u64) << 1;
        self.say(is_liar, false, &buf[..used]);
    }

    /// A well-formed message on the control stream.
    fn raw_message(&mut self, is_liar: bool, r: &mut Reader<'_>) -> Option<()> {
        let (what, a) = (r.u8().ok()?, r.u8().ok()?);
        let contact = session_contact();
        let node_key = self.node.public_key();
        let role = if what % 9 == 3 { Side::Responder } else { Side::Initiator };
        if what >= 200 {
            return self.raw_encoded(is_liar, &owners::message(node_key, what, a));
        }
        let message = match what % 9 {
            0 => ToNode::Welcome {
                observed: path(NODE),
                enrolled: a & 1 == 0,
                time_unix_s: 1,
                others: vec![],
                silence_max_s: 0,
            },
            1 => ToNode::Enrolled,
            2 => ToNode::Refused { request: u32::from(a), reason: refuse_reason(a) },
            3 | 4 => ToNode::Offer {
                request: u32::from(a & 0x0f),
                role,
                contact_id: contact.id,
                contact_key: ContactKey(*contact.key.as_bytes()),
                lifetime_s: u32::from(a),
                peer: if a & 0x10 == 0 { self.caller.public_key() } else { PublicKey([a; 32]) },
                candidates: vec![path(CALLER), path(a | 0x40)],
                services: Vec::new(),
                relays: (0..a >> 5 & 3).map(|n| relay_offer(role, a.wrapping_add(n))).collect(),
                mapping: 0,
                chain: match role {
                    Side::Responder => owners::chain(node_key, PublicKey([a; 32]), a),
                    Side::Initiator => Vec::new(),
                },
            },
            5..=7 => {
                // Of the other direction.
                let connect = ToBroker::Connect {
                    request: u32::from(a),
                    device: node_key,
                    chain: Vec::new(),
                };
                return self.raw_encoded(is_liar, &connect);
            }
            _ => {
                self.call_node();
                return Some(());
            }
        };
        self.raw_encoded(is_liar, &message)
    }

    fn raw_encoded(&mut self, is_liar: bool, message: &impl Message) -> Option<()> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes).ok()?;
        self.raw_stream(is_liar, &bytes);
        Some(())
    }

    /// From now on the caller calls the node, by the session contact.
    fn call_node(&mut self) {
        self.caller = RawPeer::new(Side::Initiator, [CALLER; 32], session_contact());
        self.stream_sent |= 1;
        if let Some(mut bytes) = self.caller.poll_transmit() {
            self.hand_over(CALLER, NODE, &mut bytes);
        }
    }

    // ---- time and store

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.node.handle_timeout(self.now);
        self.broker.handle_timeout(self.now);
        self.relay.handle_timeout(self.now);
    }

    fn next_due(&self) -> Option<Time> {
        let nodes = [self.node.poll_timeout(), self.broker.poll_timeout()];
        nodes.into_iter().chain([self.relay.poll_timeout()]).flatten().min()
    }

    fn wake(&mut self) {
        if let Some(at) = self.next_due() {
            self.now = self.now.max(at);
            self.pass(Duration::ZERO);
        }
    }

    fn answer(&mut self, what: u8) {
        let Some(ask) = self.asks.pop_front() else { return };
        let answer = match what % 4 {
            _ if what >= 0xc0 => owners::row(self.node.public_key(), what),
            0 | 1 => Answer::Enrolled(true),
            2 => Answer::Enrolled(false),
            _ => Answer::Failed,
        };
        self.broker.handle_answer(ask, answer, 1, self.now);
        if what & 0x80 != 0 {
            self.broker.handle_answer(ask, Answer::Failed, 1, self.now);
        }
    }

    // ---- the integrator

    fn node_command(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let (what, a, now) = (r.u8().ok()?, r.u8().ok()?, self.now);
        let key = if a & 1 == 0 { self.caller.public_key() } else { PublicKey([a; 32]) };
        let session = pick(&self.sessions, a).unwrap_or(SessionId(u64::from(a)));
        if what >= 243 {
            if what >= 246 {
                self.owner_command(a)
            } else {
                self.gateway_command(a)
            }
            return Some(());
        }
        if what >= 240 {
            // All ways are asked anew.
            self.node.network_changed(now);
            return Some(());
        }
        match what % 9 {
            0 => self.sessions.extend(self.node.session_open(key, now)),
            1 => drop(self.node.session_close(session, u64::from(a), now)),
            2 => drop(self.node.peer_allow(key)),
            3 => drop(self.node.peer_forbid(&key, now)),
            4 => {
                let name = char::from(b'a' + a % 26).to_string();
                let service = ServiceInfo { name, kind: 0, port: 1 };
                self.services.extend(self.node.service_add(service, now));
            }
            5 => {
                let service = pick(&self.services, a)?;
                let _ = self.node.service_remove(service, now);
            }
            6 => {
                let paths = vec![path(a); usize::from(a % 20)];
                self.node.set_local_paths(&paths, now).expect("memory is not counted here");
            }
            7 => {
                let key =
                    if a & 1 == 0 { self.broker.public_key() } else { self.liar.public_key() };
                let at = if a & 1 == 0 { BROKER } else { LIAR };
                let address = BrokerAddress { key, paths: vec![path(at)] };
                let _ = self.node.broker_connect(address, Some("code"), now);
            }
            _ => drop((self.node.session_info(session), self.node.stats())),
        }
        Some(())
    }

    fn stream_command(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let (what, a, now) = (r.u8().ok()?, r.u8().ok()?, self.now);
        if what >= 200 {
            return self.flow_command(what, a);
        }
        let stream = pick(&self.streams, a).unwrap_or(StreamHandle(u64::from(a)));
        let mut buf = vec![a; usize::from(a) * 32];
        let node = &mut self.node;
        match what % 10 {
            _ if what >= 190 => {
                let at = now + 64 * Duration::from_millis(a.into());
                let _ = node.stream_set_deadline(stream, Some(at).filter(|_| a > 0), now);
            }
            _ if what >= 180 => {
                let _ = node.stream_set_priority(stream, a >> 4, a & 1 == 0, now);
            }
            0 => {
                let session = pick(&self.sessions, a)?;
                self.streams.extend(node.stream_open(session, "web", now));
            }
            1 => drop(node.stream_accept(stream, now)),
            2 => drop(node.stream_refuse(stream, Refusal::Service, now)),
            3 => drop(node.stream_write(stream, &buf, now)),
            4 => drop(node.stream_read(stream, &mut buf, now)),
            5 => drop(node.stream_finish(stream, now)),
            6 => drop(node.stream_reset(stream, u64::from(a), now)),
            7 => drop(node.stream_stop(stream, u64::from(a), now)),
            _ => drop(node.stream_release(stream, now)),
        }
        Some(())
    }

    fn flow_command(&mut self, what: u8, a: u8) -> Option<()> {
        let now = self.now;
        let flow = pick(&self.flows, a).unwrap_or(FlowHandle(u64::from(a)));
        let mut buf = vec![a; usize::from(a) * 32];
        let node = &mut self.node;
        match what % 7 {
            0 => {
                let session = pick(&self.sessions, a)?;
                self.flows.extend(node.flow_open(session, "web", now));
            }
            1 => drop(node.flow_accept(flow, now)),
            2 => drop(node.flow_refuse(flow, Refusal::Denied, now)),
            3 => {
                let expiry = (a & 1 == 0).then(|| Duration::from_millis(u64::from(a)));
                let _ = node.datagram_send(flow, &buf, expiry, now);
            }
            4 => drop(node.datagram_recv(flow, &mut buf, now)),
            5 => drop(node.datagram_max(flow, now)),
            _ => drop(node.flow_close(flow, now)),
        }
        Some(())
    }

    /// Left alone for as long as any timer runs, nothing spins.
    fn rest(&mut self) {
        let end = self.now + REST;
        let mut stuck = 0;
        for _ in 0..ROUNDS_MAX {
            self.drain();
            if self.next_due().is_none_or(|at| at > end) {
                return;
            }
            self.wake();
            self.drain();
            let is_stuck = self.next_due().is_some_and(|at| at <= self.now);
            stuck = if is_stuck { stuck + 1 } else { 0 };
            assert!(stuck < 16, "a timer stands still at {:?}", self.now);
        }
        panic!("wakes too often");
    }
}

fn pick<T: Copy>(from: &[T], which: u8) -> Option<T> {
    from.get(usize::from(which) % from.len().max(1)).copied()
}

fn take<'a>(r: &mut Reader<'a>) -> Option<&'a [u8]> {
    let len = usize::from(r.u8().ok()?).min(r.remaining());
    r.bytes(len).ok()
}

fn refuse_reason(a: u8) -> rit_core::wire::message::RefuseReason {
    rit_core::wire::message::RefuseReason::from_code(a >> 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_honest_start_gets_online_and_the_liar_opens_a_session() {
        let mut stage = Stage::new(true);
        for _ in 0..10 {
            stage.deliver_all();
            stage.answer(0);
        }
        assert!(stage.caller.is_up, "the caller has no link");
        assert!(stage.node.session_open(PublicKey([1; 32]), stage.now).is_ok(), "not online");

        let mut stage = Stage::new(false);
        (0..6).for_each(|_| stage.deliver_all());
        assert!(stage.liar.is_up, "the node does not talk to the liar");
        // Welcome, an offer to respond, then the caller calls.
        for script in [[0, 0], [3, 0xe0], [8, 0]] {
            stage.raw_message(true, &mut Reader::new(&script));
            stage.drain();
        }
        (0..6).for_each(|_| stage.deliver_all());
        assert!(stage.caller.is_up, "the node does not answer the caller");
        assert_eq!(stage.sessions.len(), 1, "no session");
    }
}
