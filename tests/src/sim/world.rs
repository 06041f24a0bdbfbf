//! The simulated world: hosts with real nodes and brokers, one network, one virtual clock.
//!
//! Owns the event loop: it takes the earliest of arrivals, timeouts and application turns, feeds
//! the machine it belongs to, drains that machine completely, and puts its datagrams on the net.
//!
//! Invariants: the seed decides everything; every datagram handed to the net goes into the trace
//! hash; a world that takes too many steps fails with its seed instead of hanging.

use super::app::App;
use super::net::{Datagram, LinkConfig, Net};
use rit_core::base::{Ecn, Path, PublicKey, Rng, Time};
use rit_core::broker::{Answer, AskId, BrokerEvent, Query, code_hash};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::{BrokerAddress, BrokerNode, Config, ConfigError, Event, Node};
use rit_core::transport::Transmit;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Steps of one world after which it counts as hung.
const STEPS_MAX: u64 = 20_000_000;
/// Steps without time passing after which it counts as hung.
const STEPS_AT_ONCE_MAX: u64 = 100_000;
/// Rounds of draining one machine after one input.
const DRAIN_ROUNDS_MAX: u32 = 100_000;
/// What the store's wall clock says when virtual time starts.
pub const WALL_START_UNIX_S: u64 = 1_750_000_000;

/// Names a host of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// A one-time code in the store.
#[derive(Clone, Debug)]
pub struct Code {
    /// After this it enrols nobody.
    pub expires_unix_s: u64,
    /// Whether it enrolled somebody.
    pub is_used: bool,
}

/// The broker's database, in memory.
#[derive(Default)]
pub struct Store {
    /// By [`code_hash`].
    pub codes: BTreeMap<[u8; 32], Code>,
    /// Keys that may connect.
    pub enrolled: BTreeSet<PublicKey>,
    /// Answers every question with a failure.
    pub is_broken: bool,
    /// How long an answer takes.
    pub delay: Duration,
    pending: BTreeMap<(Time, u64), Query>,
    ids: BTreeMap<u64, AskId>,
    asked: u64,
}

impl Store {
    /// Adds a one-time code that lives for `lifetime_s` from the start of virtual time.
    pub fn add_code(&mut self, code: &str, lifetime_s: u64) {
        let hash = code_hash(crypto::default_provider(), code);
        let expires_unix_s = WALL_START_UNIX_S + lifetime_s;
        self.codes.insert(hash, Code { expires_unix_s, is_used: false });
    }

    fn ask(&mut self, id: AskId, query: Query, now: Time) {
        self.pending.insert((now + self.delay, self.asked), query);
        self.ids.insert(self.asked, id);
        self.asked += 1;
    }

    fn next_answer_at(&self) -> Option<Time> {
        self.pending.keys().next().map(|&(time, _)| time)
    }

    fn answer(&mut self, now: Time) -> Option<(AskId, Answer)> {
        let entry = self.pending.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, number), query) = entry.remove_entry();
        let id = self.ids.remove(&number)?;
        if self.is_broken {
            return Some((id, Answer::Failed));
        }
        let is_enrolled = match query {
            Query::Lookup { key } => self.enrolled.contains(&key),
            Query::Enrol { key, code_hash } => self.enrol(key, &code_hash, now),
        };
        Some((id, Answer::Enrolled(is_enrolled)))
    }

    fn enrol(&mut self, key: PublicKey, code_hash: &[u8; 32], now: Time) -> bool {
        if self.enrolled.contains(&key) {
            return true;
        }
        let Some(code) = self.codes.get_mut(code_hash) else { return false };
        if code.is_used || code.expires_unix_s <= wall_unix_s(now) {
            return false;
        }
        code.is_used = true;
        self.enrolled.insert(key)
    }
}

/// What runs on a host.
pub enum Machine {
    /// A device's or a user's node, and the application above it.
    Node(Box<Node>, Box<App>),
    /// A broker and its database.
    Broker(Box<BrokerNode>, Box<Store>),
    /// Somebody who is neither.
    Actor(Box<dyn Actor>),
}

/// Something that sends and receives datagrams, and is no honest node.
pub trait Actor {
    /// Its public key.
    fn public_key(&self) -> PublicKey;
    /// Takes a datagram.
    fn handle_datagram(&mut self, path: Path, datagram: &mut [u8], now: Time);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Time);
    /// The next datagram to send.
    fn poll_transmit(&mut self, buf: &mut [u8], now: Time) -> Option<Transmit>;
    /// When to call `handle_timeout`.
    fn poll_timeout(&self) -> Option<Time>;
    /// For the scenario to get at it.
    fn as_any(&mut self) -> &mut dyn Any;
}

/// A machine with an address.
pub struct Host {
    /// Its address on the net.
    pub path: Path,
    /// What runs there.
    pub machine: Machine,
    identity: [u8; 32],
    /// Whether it runs; a stopped host neither hears nor says anything.
    pub is_running: bool,
    /// Node events so far, with their time.
    pub events: Vec<(Time, Event)>,
    /// Broker events so far, with their time.
    pub broker_events: Vec<(Time, BrokerEvent)>,
    /// Datagrams sent so far.
    pub sent: u64,
    /// Largest `buffered_bytes` seen.
    pub buffered_bytes_max: u64,
}

/// Everything.
pub struct World {
    /// Virtual time.
    pub now: Time,
    /// The links.
    pub net: Net,
    /// All datagrams handed to the net, if captured.
    pub capture: Option<Vec<(Time, Datagram)>>,
    /// The seed, for messages.
    pub seed: u64,
    hosts: Vec<Host>,
    rng: Rng,
    trace: Fnv,
    steps: u64,
    steps_at_once: u64,
}

impl World {
    /// An empty world.
    pub fn new(seed: u64, links: LinkConfig) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let net = Net::new(links, rng.fork());
        World {
            // Not zero, so that a machine which takes zero for "never" shows.
            now: Time::from_micros(1_000_000),
            net,
            capture: None,
            seed,
            hosts: Vec::new(),
            rng,
            trace: Fnv::new(),
            steps: 0,
            steps_at_once: 0,
        }
    }

    /// Adds a node with a fresh identity.
    pub fn add_node(&mut self, config: Config) -> HostId {
        let identity = self.rng.array();
        let node = self.node_of(config, &identity).expect("the configuration is sound");
        let id = self.add_host(Machine::Node(Box::new(node), Box::default()));
        self.hosts[id.0].identity = identity;
        id
    }

    /// A node with this identity, on no host yet.
    pub fn node_of(&mut self, config: Config, identity: &[u8; 32]) -> Result<Node, ConfigError> {
        let signer = Arc::new(Ed25519Signer::from_seed(identity));
        let seed = self.rng.array();
        Node::new(config, crypto::default_provider(), signer, seed, self.now)
    }

    /// Adds a broker with a fresh identity and an empty database.
    pub fn add_broker(&mut self, config: Config) -> HostId {
        let identity = self.rng.array();
        let broker = self.broker_node(config, &identity);
        let id = self.add_host(Machine::Broker(broker, Box::default()));
        self.hosts[id.0].identity = identity;
        id
    }

    /// Puts a fresh broker process with the same identity and database in the old one's place.
    pub fn restart_broker(&mut self, id: HostId, config: Config) {
        let identity = self.hosts[id.0].identity;
        let fresh = self.broker_node(config, &identity);
        if let Machine::Broker(broker, store) = &mut self.hosts[id.0].machine {
            *broker = fresh;
            store.pending.clear();
        }
        self.hosts[id.0].is_running = true;
    }

    /// Adds a second process with the identity of `id`, at an address of its own.
    pub fn add_twin(&mut self, id: HostId, config: Config) -> HostId {
        let identity = self.hosts[id.0].identity;
        let node = self.node_of(config, &identity).expect("the configuration is sound");
        self.add_host(Machine::Node(Box::new(node), Box::default()))
    }

    /// Puts a fresh process with the same identity, and an application that knows of nothing, in a
    /// node's place.
    pub fn restart_node(&mut self, id: HostId, config: Config) {
        let identity = self.hosts[id.0].identity;
        let node = self.node_of(config, &identity).expect("the configuration is sound");
        self.hosts[id.0].machine = Machine::Node(Box::new(node), Box::default());
        self.hosts[id.0].events.clear();
    }

    fn broker_node(&mut self, config: Config, identity: &[u8; 32]) -> Box<BrokerNode> {
        let signer = Arc::new(Ed25519Signer::from_seed(identity));
        let seed = self.rng.array();
        let broker = BrokerNode::new(config, crypto::default_provider(), signer, seed, self.now)
            .expect("the configuration is sound");
        Box::new(broker)
    }

    /// Adds somebody who is neither node nor broker.
    pub fn add_actor(&mut self, actor: impl Actor + 'static) -> HostId {
        self.add_host(Machine::Actor(Box::new(actor)))
    }

    /// An actor, to change; whoever changes it calls `drain` afterwards.
    pub fn actor<T: 'static>(&mut self, id: HostId) -> &mut T {
        match &mut self.hosts[id.0].machine {
            Machine::Actor(actor) => actor.as_any().downcast_mut().expect("an actor of this type"),
            _ => panic!("host {} is no actor", id.0),
        }
    }

    fn add_host(&mut self, machine: Machine) -> HostId {
        let id = self.hosts.len();
        let path = Path::v4([10, 0, 0, id as u8 + 1], 7480 + id as u16);
        self.hosts.push(Host {
            path,
            machine,
            identity: [0; 32],
            is_running: true,
            events: Vec::new(),
            broker_events: Vec::new(),
            sent: 0,
            buffered_bytes_max: 0,
        });
        HostId(id)
    }

    /// Gives a host another address, as a NAT that forgot does: it notices nothing.
    pub fn move_host(&mut self, id: HostId) {
        self.hosts[id.0].path.port += 100;
    }

    /// A host.
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.0]
    }

    /// A host, to change; whoever changes its machine calls `drain` afterwards.
    pub fn host_mut(&mut self, id: HostId) -> &mut Host {
        &mut self.hosts[id.0]
    }

    /// The address of a host.
    pub fn path(&self, id: HostId) -> Path {
        self.hosts[id.0].path
    }

    /// The node of a host.
    pub fn node(&self, id: HostId) -> &Node {
        match &self.hosts[id.0].machine {
            Machine::Node(node, _) => node,
            _ => panic!("host {} is no node", id.0),
        }
    }

    /// The application of a host.
    pub fn app(&mut self, id: HostId) -> &mut App {
        match &mut self.hosts[id.0].machine {
            Machine::Node(_, app) => app,
            _ => panic!("host {} is no node", id.0),
        }
    }

    /// The application of a host, to look at.
    pub fn app_ref(&self, id: HostId) -> &App {
        match &self.hosts[id.0].machine {
            Machine::Node(_, app) => app,
            _ => panic!("host {} is no node", id.0),
        }
    }

    /// The database of a broker host.
    pub fn store(&mut self, id: HostId) -> &mut Store {
        match &mut self.hosts[id.0].machine {
            Machine::Broker(_, store) => store,
            _ => panic!("host {} is no broker", id.0),
        }
    }

    /// The public key of a host.
    pub fn key(&self, id: HostId) -> PublicKey {
        match &self.hosts[id.0].machine {
            Machine::Node(node, _) => node.public_key(),
            Machine::Broker(broker, _) => broker.public_key(),
            Machine::Actor(actor) => actor.public_key(),
        }
    }

    /// Where a broker is found.
    pub fn broker_address(&self, id: HostId) -> BrokerAddress {
        BrokerAddress { key: self.key(id), paths: vec![self.path(id)] }
    }

    /// Calls a node and its application, then drains the node.
    pub fn with<T>(&mut self, id: HostId, call: impl FnOnce(&mut Node, &mut App, Time) -> T) -> T {
        let now = self.now;
        let Machine::Node(node, app) = &mut self.hosts[id.0].machine else {
            panic!("host {} is no node", id.0)
        };
        let result = call(node, app, now);
        self.drain(id);
        result
    }

    /// Runs until `is_met`, at most for `limit`; whether it was met.
    pub fn run_until(&mut self, limit: Duration, is_met: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit;
        while !is_met(self) {
            if !self.step(end) {
                return is_met(self);
            }
        }
        true
    }

    /// Lets `duration` pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
    }

    /// Hash over time, source, destination and bytes of every datagram sent so far.
    pub fn trace_hash(&self) -> u64 {
        self.trace.0
    }

    /// Puts a datagram before a host as if it had come from `src`.
    pub fn inject(&mut self, src: Path, dst: HostId, bytes: &[u8]) {
        let (dst, bytes) = (self.path(dst), bytes.to_vec());
        let datagram = Datagram { src, dst, ecn: Ecn::NotEct, bytes };
        self.net.inject(datagram, self.now);
    }

    /// Does the next thing that is due by `end`; false if there is none, and it is `end` then.
    pub fn step(&mut self, end: Time) -> bool {
        let arrival = self.net.next_arrival();
        let due = (0..self.hosts.len())
            .filter_map(|i| self.hosts[i].next_due().map(|time| (time, i)))
            .min();
        let Some(at) = [arrival, due.map(|(time, _)| time)].into_iter().flatten().min() else {
            self.now = end;
            return false;
        };
        if at > end {
            self.now = end;
            return false;
        }
        self.count_step(at);
        self.now = self.now.max(at);
        match due {
            Some((time, i)) if arrival.is_none_or(|arrival| time < arrival) => self.fire(HostId(i)),
            _ => self.deliver(),
        }
        true
    }

    fn count_step(&mut self, at: Time) {
        self.steps += 1;
        self.steps_at_once = if at > self.now { 0 } else { self.steps_at_once + 1 };
        let (seed, now) = (self.seed, self.now);
        assert!(self.steps < STEPS_MAX, "seed {seed}: hung, too many steps at {now:?}");
        if self.steps_at_once >= STEPS_AT_ONCE_MAX {
            let due: Vec<_> = self.hosts.iter().map(Host::next_due).collect();
            panic!("seed {seed}: hung, time stands still at {now:?}; due {due:?}");
        }
    }

    fn deliver(&mut self) {
        let now = self.now;
        let Some(mut datagram) = self.net.pop(now) else { return };
        let Some(i) = self.hosts.iter().position(|host| host.path == datagram.dst) else { return };
        if !self.hosts[i].is_running {
            return;
        }
        match &mut self.hosts[i].machine {
            Machine::Node(node, _) => {
                node.handle_datagram(datagram.src, datagram.ecn, &mut datagram.bytes, now);
            }
            Machine::Broker(broker, _) => {
                broker.handle_datagram(datagram.src, &mut datagram.bytes, now);
            }
            Machine::Actor(actor) => {
                actor.handle_datagram(datagram.src, &mut datagram.bytes, now);
            }
        }
        self.drain(HostId(i));
    }

    /// Fires what is due at a host.
    fn fire(&mut self, id: HostId) {
        let now = self.now;
        match &mut self.hosts[id.0].machine {
            Machine::Node(node, app) => {
                if app.next_turn().is_some_and(|time| time <= now) {
                    app.on_turn(node, now);
                }
                node.handle_timeout(now);
            }
            Machine::Broker(broker, store) => {
                while let Some((ask, answer)) = store.answer(now) {
                    broker.handle_answer(ask, answer, wall_unix_s(now), now);
                }
                broker.handle_timeout(now);
            }
            Machine::Actor(actor) => actor.handle_timeout(now),
        }
        self.drain(id);
    }

    /// Takes everything out of a machine: datagrams, events, questions.
    pub fn drain(&mut self, id: HostId) {
        for _ in 0..DRAIN_ROUNDS_MAX {
            let is_busy = self.drain_transmits(id) | self.drain_events(id);
            if !is_busy {
                let host = &mut self.hosts[id.0];
                if let Machine::Node(node, _) = &host.machine {
                    let buffered = node.stats().buffered_bytes;
                    host.buffered_bytes_max = host.buffered_bytes_max.max(buffered);
                }
                return;
            }
        }
        panic!("seed {}: host {} never runs dry at {:?}", self.seed, id.0, self.now);
    }

    fn drain_transmits(&mut self, id: HostId) -> bool {
        let now = self.now;
        let mut buf = [0; 2048];
        let mut is_busy = false;
        loop {
            let host = &mut self.hosts[id.0];
            let transmit = match &mut host.machine {
                Machine::Node(node, _) => node.poll_transmit(&mut buf, now),
                Machine::Broker(broker, _) => broker.poll_transmit(&mut buf, now),
                Machine::Actor(actor) => actor.poll_transmit(&mut buf, now),
            };
            let Some(transmit) = transmit else { return is_busy };
            is_busy = true;
            host.sent += 1;
            let bytes = buf[..transmit.len].to_vec();
            let Transmit { path: dst, ecn, .. } = transmit;
            let datagram = Datagram { src: host.path, dst, ecn, bytes };
            if host.is_running {
                self.trace.add(&datagram, now);
                if let Some(capture) = &mut self.capture {
                    capture.push((now, datagram.clone()));
                }
                self.net.send(datagram, now);
            }
        }
    }

    fn drain_events(&mut self, id: HostId) -> bool {
        let now = self.now;
        let host = &mut self.hosts[id.0];
        let mut is_busy = false;
        match &mut host.machine {
            Machine::Node(node, app) => {
                while let Some(event) = node.poll_event() {
                    is_busy = true;
                    app.on_event(node, &event, now);
                    host.events.push((now, event));
                }
            }
            Machine::Broker(broker, store) => {
                while let Some(event) = broker.poll_event() {
                    is_busy = true;
                    host.broker_events.push((now, event));
                }
                while let Some((ask, query)) = broker.poll_ask() {
                    is_busy = true;
                    store.ask(ask, query, now);
                }
            }
            Machine::Actor(_) => {}
        }
        is_busy
    }
}

impl Host {
    fn next_due(&self) -> Option<Time> {
        if !self.is_running {
            return None;
        }
        let due = match &self.machine {
            Machine::Node(node, app) => [node.poll_timeout(), app.next_turn()],
            Machine::Broker(broker, store) => [broker.poll_timeout(), store.next_answer_at()],
            Machine::Actor(actor) => [actor.poll_timeout(), None],
        };
        due.into_iter().flatten().min()
    }

    /// Whether an event like this has come.
    pub fn has_event(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| is_it(event))
    }
}

fn wall_unix_s(now: Time) -> u64 {
    WALL_START_UNIX_S + now.as_micros() / 1_000_000
}

/// FNV-1a, 64 bits: enough to tell two traces apart.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, datagram: &Datagram, now: Time) {
        self.bytes(&now.as_micros().to_le_bytes());
        for path in [&datagram.src, &datagram.dst] {
            self.bytes(&path.ip);
            self.bytes(&path.port.to_le_bytes());
        }
        self.bytes(&[datagram.ecn as u8]);
        self.bytes(&(datagram.bytes.len() as u64).to_le_bytes());
        self.bytes(&datagram.bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
