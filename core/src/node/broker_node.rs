//! A node that is a broker: links of nodes, each a connection with a control stream, around core's
//! broker state machine. Feature `broker`.
//!
//! Owns connections and framing. Does not own who is enrolled: that is asked for by
//! [`BrokerNode::poll_ask`] and answered in any order.

use super::control::{CODE_CONTROL, CONTROL_STREAM, Control};
use super::endpoint::{Endpoint, First, HeldContact, Route};
use super::link::LINK_IDLE;
use super::{Config, ConfigError};
use crate::base::{Ecn, Path, PublicKey, Rng, Time};
use crate::broker::{
    Answer, AskId, Broker, BrokerEvent, InstanceId, Limits, LinkId, Output, Query, RelayService,
};
use crate::crypto::{Provider, Signer, broker_contact};
use crate::handshake::{Contact, PeerPolicy};
use crate::transport::{self, Connection, Event, Local, PathEvent, Transmit};
use crate::wire::message::{RefuseReason, ToNode};
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use zeroize::Zeroizing;

/// Application close code base of a refused link; the reason's number is added.
const CODE_REFUSED: u64 = 0x10;
/// Application close code: the broker goes away; come back soon.
const CODE_GOING_AWAY: u64 = 4;
/// How long a refused node may take to read why.
const FAREWELL_TIME: Duration = Duration::from_secs(5);
/// What a node's silence may last that said nothing about it, and how much longer before the broker
/// asks; then the node has so long to answer.
const SILENCE: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(2);
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Of so many nodes, one may be told in one second that it was forgotten, by a broker that takes
/// over from another: no faster than they can come back.
const RESETS_SHARE: usize = 50;
/// One in so many links may be half open, but at least this many.
const HALF_OPEN_SHARE: usize = 8;
const MIN_HALF_OPEN: usize = 8;

pub(super) struct NodeLink {
    pub(super) connection: Box<Connection>,
    control: Control,
    /// Close with this code once everything is delivered, or at this time if it is not.
    pub(super) closing: Option<(u64, Time)>,
    /// Where the node last asked from that is not where the link leads.
    elsewhere: Option<Path>,
    /// When to ask where.
    ask_back: Option<(Time, Path)>,
}

impl NodeLink {
    fn new(mut connection: Box<Connection>, silence: Duration) -> Self {
        connection.set_keep_alive(silence + GRACE);
        let control = Control::default();
        NodeLink { connection, control, closing: None, elsewhere: None, ask_back: None }
    }

    fn ask_back_if_due(&mut self, now: Time) {
        if let Some((_, path)) = self.ask_back.take_if(|(at, _)| *at <= now) {
            self.connection.probe_path(path);
        }
    }
}

/// A broker.
pub struct BrokerNode {
    endpoint: Endpoint<LinkId>,
    broker: Broker,
    pub(super) links: BTreeMap<LinkId, NodeLink>,
    max_links: usize,
    /// Links whose handshake is not complete. Anyone can begin one, so they take no more than a
    /// part of the places; the oldest makes room.
    half_open: BTreeSet<LinkId>,
    max_half_open: usize,
    next_link: u64,
    asks: VecDeque<(AskId, Query)>,
    posts: VecDeque<(InstanceId, Zeroizing<Vec<u8>>)>,
    /// No silence is believed that lasts longer.
    longest_silence: Duration,
}

impl BrokerNode {
    /// A broker without links. `config.max_sessions` is how many connections it takes at once.
    pub fn new(
        config: Config,
        provider: &'static dyn Provider,
        signer: Arc<dyn Signer>,
        seed: [u8; 32],
        _now: Time,
    ) -> Result<BrokerNode, ConfigError> {
        config.check()?;
        let mut rng = Rng::from_seed(seed);
        let (id, key) = broker_contact(provider, &signer.public_key());
        let limits = Limits { links: config.max_sessions, ..Limits::default() };
        let broker = Broker::new(provider, signer.clone(), limits, rng.fork());
        // What nodes say to a broker, they say on a stream. When they are gone follows from what
        // they say, too.
        let transport = transport::Config {
            datagram_recv_buffer: 0,
            idle_timeout: LINK_IDLE,
            ack_timeout: Some(ANSWER_TIME),
            ..config.transport
        };
        let local = Local { config: transport, provider, signer };
        let mut endpoint = Endpoint::new(local, rng);
        let contact = Contact { id, key };
        let per_second = u32::try_from(config.max_sessions / RESETS_SHARE).unwrap_or(u32::MAX);
        endpoint.set_resets_per_second(per_second);
        endpoint.hold(HeldContact { contact, peer: PeerPolicy::Anyone, expires: None });
        Ok(BrokerNode {
            endpoint,
            broker,
            links: BTreeMap::new(),
            half_open: BTreeSet::new(),
            max_half_open: (config.max_sessions / HALF_OPEN_SHARE).max(MIN_HALF_OPEN),
            max_links: config.max_sessions,
            next_link: 0,
            asks: VecDeque::new(),
            posts: VecDeque::new(),
            longest_silence: Duration::MAX,
        })
    }

    /// Who this broker is.
    pub fn public_key(&self) -> PublicKey {
        self.endpoint.public_key()
    }

    /// Connections there are now.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// The relays that offers name from now on, the first the one to prefer.
    pub fn set_relays(&mut self, relays: Vec<RelayService>) {
        self.broker.set_relays(relays);
    }

    /// Where else this broker is reached, on sockets with another `ifindex` than the one that
    /// nodes know: nodes ask there, so that both learn how their NAT maps.
    pub fn set_others(&mut self, others: Vec<Path>) {
        self.broker.set_others(others);
    }

    /// How long nodes that come from now on may be silent: after that, 12 s at most, the broker
    /// knows that a node is gone. In seconds, at most 600; 0: as long as their NATs bear.
    pub fn set_longest_silence(&mut self, silence_max_s: u32) {
        self.broker.set_longest_silence(silence_max_s);
        let said = Duration::from_secs(silence_max_s.into());
        self.longest_silence = if said.is_zero() { Duration::MAX } else { said };
    }

    /// The next letter to another instance, sealed against everyone else.
    pub fn poll_post(&mut self) -> Option<(InstanceId, Zeroizing<Vec<u8>>)> {
        self.posts.pop_front()
    }

    /// A letter of another instance, which certainly is from there.
    pub fn handle_post(&mut self, from: InstanceId, letter: &[u8], now: Time) {
        self.broker.handle_post(from, letter, now);
        self.drain_broker(now);
    }

    /// Takes a note of this broker to a device at another instance; see [`BrokerNode::send_note`].
    pub fn post_note(
        &mut self,
        to: InstanceId,
        device: &PublicKey,
        note: (u32, u8, Vec<u8>),
        now: Time,
    ) {
        self.broker.post_note(to, device, note);
        self.drain_broker(now);
    }

    /// Devices that nodes here want to hear of and that have no link here.
    pub fn watched_elsewhere(&self) -> impl Iterator<Item = &PublicKey> + '_ {
        self.broker.watched_elsewhere()
    }

    /// A device came or went at another instance.
    pub fn on_presence_elsewhere(&mut self, key: PublicKey, is_online: bool, now: Time) {
        self.broker.on_presence_elsewhere(key, is_online);
        self.drain_broker(now);
    }

    /// Closes a node's link; whether it had one.
    pub fn disconnect(&mut self, key: &PublicKey, reason: RefuseReason, now: Time) -> bool {
        let had = self.broker.disconnect(key, reason);
        self.drain_broker(now);
        had
    }

    /// Nodes that are online here, as [`BrokerEvent::NodeOnline`] told.
    pub fn online(&self) -> impl Iterator<Item = BrokerEvent> + '_ {
        self.broker.online_nodes()
    }

    /// Closes all links, so that nodes need not find out by silence. Drain `poll_transmit` once
    /// more.
    pub fn close(&mut self, now: Time) {
        let ids: Vec<LinkId> = self.links.keys().copied().collect();
        for id in ids {
            if let Some(link) = self.links.get_mut(&id) {
                link.connection.close(CODE_GOING_AWAY, now);
            }
            self.process(id, now);
        }
    }

    /// Takes a datagram; one that does not open is dropped without an answer. How its IP packet was
    /// marked does not matter: too little is said here for congestion.
    pub fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time) {
        match self.endpoint.route(path, datagram, now) {
            Route::Known(id) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.connection.handle_datagram(path, Ecn::NotEct, datagram, now);
                    self.process(id, now);
                }
            }
            Route::Reset(id) => {
                if let Some(link) = self.links.get_mut(&id) {
                    link.connection.handle_reset(now);
                    self.process(id, now);
                }
            }
            Route::First(first) => self.accept(&first, path, datagram, now),
            Route::Probe(_) | Route::Nowhere | Route::NoMemory => {}
        }
    }

    fn accept(&mut self, first: &First, path: Path, datagram: &mut [u8], now: Time) {
        if self.half_open.len() >= self.max_half_open || self.links.len() >= self.max_links {
            if let Some(oldest) = self.half_open.first().copied() {
                self.remove(oldest);
            }
        }
        if self.links.len() >= self.max_links {
            return;
        }
        let id = LinkId(self.next_link);
        self.next_link += 1;
        if let Ok(connection) = self.endpoint.accept(first, id, path, datagram, now) {
            let silence = SILENCE.min(self.longest_silence);
            self.links.insert(id, NodeLink::new(connection, silence));
            self.half_open.insert(id);
            self.process(id, now);
        }
    }

    /// Does what is due; early calls are harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(id) = self.endpoint.pop_due(now) {
            if let Some(link) = self.links.get_mut(&id) {
                link.connection.handle_timeout(now);
                link.ask_back_if_due(now);
                self.process(id, now);
            }
        }
        self.broker.handle_timeout(now);
        self.drain_broker(now);
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit> {
        if let Some(reset) = self.endpoint.poll_reset(buf) {
            return Some(reset);
        }
        while let Some(id) = self.endpoint.turn() {
            let link = self.links.get_mut(&id);
            let transmit = link.and_then(|link| link.connection.poll_transmit(buf, now));
            self.endpoint.end_turn(transmit.is_some());
            if transmit.is_some() {
                return transmit;
            }
            self.refresh_deadline(id);
        }
        None
    }

    /// When to call [`BrokerNode::handle_timeout`]. Valid once `poll_transmit` has been drained.
    pub fn poll_timeout(&self) -> Option<Time> {
        [self.endpoint.next_deadline(), self.broker.poll_timeout()].into_iter().flatten().min()
    }

    /// The next question to the store.
    pub fn poll_ask(&mut self) -> Option<(AskId, Query)> {
        self.asks.pop_front()
    }

    /// What the store says; `wall_unix_s` is the wall clock.
    pub fn handle_answer(&mut self, id: AskId, answer: Answer, wall_unix_s: u64, now: Time) {
        self.broker.handle_answer(id, answer, wall_unix_s, now);
        self.drain_broker(now);
    }

    /// Says something to a device, as the broker. Its answer comes as [`BrokerEvent::Note`] with
    /// this request, which is 1 to 4 294 967 294, or none does.
    pub fn send_note(
        &mut self,
        device: &PublicKey,
        request: u32,
        kind: u8,
        body: Vec<u8>,
        now: Time,
    ) -> Result<(), RefuseReason> {
        let sent = self.broker.send_note(device, request, kind, body);
        self.drain_broker(now);
        sent
    }

    /// What happened, for people and logs, and for the host to store.
    pub fn poll_event(&mut self) -> Option<BrokerEvent> {
        self.broker.poll_event()
    }

    // ---- links

    fn process(&mut self, id: LinkId, now: Time) {
        while let Some(event) = self.links.get_mut(&id).and_then(|l| l.connection.poll_event()) {
            match event {
                Event::Connected => self.on_connected(id, now),
                Event::Path(PathEvent::Moved) => self.on_moved(id, now),
                Event::Path(PathEvent::Asked(path)) => self.on_asked(id, path, now),
                Event::Closed(_) => self.broker.on_disconnected(id, now),
                Event::Opened(CONTROL_STREAM) => {
                    if let Some(link) = self.links.get_mut(&id) {
                        link.control.on_open();
                        link.control.flush(&mut link.connection);
                    }
                    self.read(id, now);
                }
                Event::Stream(CONTROL_STREAM) => self.read(id, now),
                // Nodes open no other streams to a broker: let go of it.
                Event::Opened(stream) => {
                    if let Some(link) = self.links.get_mut(&id) {
                        let _ = link.connection.stream_release(stream, CODE_CONTROL);
                    }
                }
                Event::Stream(_) | Event::Datagrams | Event::Path(_) => {}
            }
        }
        self.drain_broker(now);
        self.settle(id, now);
    }

    fn on_connected(&mut self, id: LinkId, now: Time) {
        self.half_open.remove(&id);
        let Some(link) = self.links.get(&id) else { return };
        if let Some(key) = link.connection.peer_key() {
            self.broker.on_connected(id, key, link.connection.path(), now);
        }
    }

    /// The next offers tell where the node is now.
    fn on_moved(&mut self, id: LinkId, now: Time) {
        if let Some(link) = self.links.get(&id) {
            self.broker.on_observed(id, link.connection.path(), now);
        }
    }

    /// The node asked from `path`: if it did at another socket, that tells how its NAT maps.
    fn on_asked(&mut self, id: LinkId, path: Path, now: Time) {
        let Some(link) = self.links.get_mut(&id) else { return };
        let known = link.connection.path();
        link.elsewhere = Some(path);
        let is_v4 = |path: Path| path.socket_addr().is_ipv4();
        // By TCP and by UDP it comes from different ports, whatever its NAT does.
        let is_tls = [path, known].iter().any(Path::is_tls);
        if !is_tls && path.ifindex != known.ifindex && is_v4(path) == is_v4(known) {
            self.broker.on_observed_elsewhere(id, path, now);
        }
    }

    fn read(&mut self, id: LinkId, now: Time) {
        // What a refused node says does not count.
        let Some(link) = self.links.get_mut(&id).filter(|link| link.closing.is_none()) else {
            return;
        };
        let mut messages = VecDeque::new();
        let end = link.control.receive(&mut link.connection, &mut messages);
        link.control.flush(&mut link.connection);
        for message in messages {
            self.broker.on_message(id, message, now);
        }
        if end.is_err() {
            self.broker.on_malformed(id, now);
        }
    }

    fn drain_broker(&mut self, now: Time) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Ask { id, query } => self.asks.push_back((id, query)),
                Output::Post { instance, letter } => self.posts.push_back((instance, letter)),
                Output::Send { link: id, message } => {
                    let Some(link) = self.links.get_mut(&id) else { continue };
                    let is_others = matches!(message, ToNode::Offer { .. } | ToNode::Note(_));
                    if is_others && !link.control.has_room_for_others() {
                        continue;
                    }
                    if link.control.send(&mut link.connection, &message).is_err() {
                        link.closing = Some((CODE_CONTROL, now));
                        self.broker.on_disconnected(id, now);
                    }
                    self.settle(id, now);
                }
                Output::Quiet { link: id, silence, ask_back } => {
                    let Some(link) = self.links.get_mut(&id) else { continue };
                    let silence = silence.min(self.longest_silence);
                    link.connection.set_keep_alive(silence + GRACE);
                    link.ask_back = ask_back.and_then(|after| Some((now + after, link.elsewhere?)));
                    self.refresh_deadline(id);
                }
                Output::Close { link: id, reason } => {
                    let Some(link) = self.links.get_mut(&id) else { continue };
                    let code = CODE_REFUSED + u64::from(reason.code());
                    link.closing = Some((code, now + FAREWELL_TIME));
                    // What was refused is read before the stream ends.
                    if link.control.is_flushed() {
                        let _ = link.connection.stream_finish(CONTROL_STREAM);
                    }
                    self.settle(id, now);
                }
            }
        }
    }

    /// Closes a link whose last words are delivered, forgets a closed one, and takes note of the
    /// others' deadlines.
    fn settle(&mut self, id: LinkId, now: Time) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if let Some((code, at)) = link.closing {
            let state = link.connection.stream_state(CONTROL_STREAM);
            let is_told = state.is_none_or(|s| s.is_delivered || s.stopped.is_some());
            if is_told || at <= now {
                link.closing = None;
                link.connection.close(code, now);
                while link.connection.poll_event().is_some() {}
            }
        }
        if link.connection.is_closed() {
            return self.remove(id);
        }
        self.endpoint.keep_cids(&mut link.connection, id);
        self.endpoint.touch(id);
        self.refresh_deadline(id);
    }

    fn remove(&mut self, id: LinkId) {
        self.half_open.remove(&id);
        if let Some(link) = self.links.remove(&id) {
            self.endpoint.forget(&link.connection, id);
        }
    }

    fn refresh_deadline(&mut self, id: LinkId) {
        let deadline = self.links.get(&id).and_then(|link| {
            let farewell = link.closing.map(|(_, at)| at);
            let ask_back = link.ask_back.map(|(at, _)| at);
            [farewell, ask_back, link.connection.poll_timeout()].into_iter().flatten().min()
        });
        self.endpoint.set_deadline(id, deadline);
    }
}
