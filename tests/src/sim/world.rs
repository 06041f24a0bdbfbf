//! The simulated world: hosts with real nodes and brokers, one network, one virtual clock.
//!
//! Owns the event loop: it takes the earliest of arrivals, timeouts and application turns, feeds
//! the machine it belongs to, drains that machine completely, and puts its datagrams on the net.
//!
//! Invariants: the seed decides everything; every datagram handed to the net goes into the trace
//! hash; a world that takes too many steps fails with its seed instead of hanging.

use super::app::App;
use super::host::{Actor, Disk, Host, HostId, Machine, ROOM};
use super::nat::{NatBox, NatConfig, is_v4, with_prefix};
use super::net::{Datagram, LinkConfig, Net};
use super::sites::{SiteId, Sites};
use super::store::{Store, wall_unix_s};
use super::tcp::tls_paths;
use super::trace::Fnv;
use rit_core::base::{Ecn, Path, PublicKey, Rng, Time};
use rit_core::broker::BrokerEvent;
use rit_core::crypto::{self, Ed25519Signer, Provider};
use rit_core::node::{BrokerAddress, BrokerNode, Config, ConfigError, Node, Stored};
use rit_core::traverse::LAN_PORT;
use std::sync::Arc;
use std::time::Duration;

/// Steps of one world after which it counts as hung.
const STEPS_MAX: u64 = 20_000_000;
/// Steps without time passing after which it counts as hung.
const STEPS_AT_ONCE_MAX: u64 = 100_000;
/// Rounds of draining one machine after one input.
const DRAIN_ROUNDS_MAX: u32 = 100_000;
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
    sites: Sites,
    rng: Rng,
    trace: Fnv,
    provider: &'static dyn Provider,
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
            sites: Sites::default(),
            rng,
            trace: Fnv::new(),
            provider: crypto::default_provider(),
            steps: 0,
            steps_at_once: 0,
        }
    }

    /// What nodes and brokers compute with from now on, instead of the default.
    pub fn set_provider(&mut self, provider: &'static dyn Provider) {
        self.provider = provider;
    }

    /// Adds a node with a fresh identity.
    pub fn add_node(&mut self, config: Config) -> HostId {
        let identity = self.rng.array();
        let is_in_groups = config.multicast;
        let node = self.node_of(config, &identity).expect("the configuration is sound");
        let id = self.add_host(Machine::Node(Box::new(node), Box::default()));
        self.hosts[id.0].identity = identity;
        self.hosts[id.0].is_in_groups = is_in_groups;
        id
    }

    /// A node with this identity, on no host yet.
    pub fn node_of(&mut self, config: Config, identity: &[u8; 32]) -> Result<Node, ConfigError> {
        let signer = Arc::new(Ed25519Signer::from_seed(identity));
        let seed = self.rng.array();
        let mut node = Node::new(config, self.provider, signer, seed, self.now)?;
        node.set_tcp(true);
        Ok(node)
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
            store.forget_questions();
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
        self.hosts[id.0].is_in_groups = config.multicast;
        let node = self.node_of(config, &identity).expect("the configuration is sound");
        self.hosts[id.0].machine = Machine::Node(Box::new(node), Box::default());
        self.hosts[id.0].events.clear();
    }

    fn broker_node(&mut self, config: Config, identity: &[u8; 32]) -> Box<BrokerNode> {
        let signer = Arc::new(Ed25519Signer::from_seed(identity));
        let seed = self.rng.array();
        let broker = BrokerNode::new(config, self.provider, signer, seed, self.now)
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
        self.hosts.push(Host::new(machine, path));
        HostId(id)
    }

    /// Gives a host another address, as a NAT that forgot does: it notices nothing.
    pub fn move_host(&mut self, id: HostId) {
        self.hosts[id.0].addresses.iter_mut().for_each(|address| address.port += 100);
    }

    /// Adds a site whose way to `outer` leads through boxes like these, one for each family.
    pub fn add_site(&mut self, outer: SiteId, boxes: &[NatConfig]) -> SiteId {
        self.sites.add(outer, boxes, &mut self.rng)
    }

    /// The boxes of a site, to look at or to change.
    pub fn boxes(&mut self, site: SiteId) -> &mut [NatBox] {
        self.sites.boxes(site)
    }

    /// Takes a host to a site behind boxes, where it gets addresses of its own.
    pub fn place(&mut self, id: HostId, site: SiteId) {
        let port = self.path(id).port;
        self.hosts[id.0].addresses = self.sites.addresses(site, port);
        self.hosts[id.0].site = site;
    }

    /// Lets a host's clock run fast, or slow below zero, from now on.
    pub fn set_drift(&mut self, id: HostId, drift_ppm: i32) {
        let now = self.now;
        self.hosts[id.0].clock.set_drift(drift_ppm, now);
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
        self.hosts[id.0].path()
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

    /// What signs for a node or a broker.
    pub fn signer(&self, id: HostId) -> Ed25519Signer {
        Ed25519Signer::from_seed(&self.hosts[id.0].identity)
    }

    /// Where a broker is found.
    pub fn broker_address(&self, id: HostId) -> BrokerAddress {
        BrokerAddress { key: self.key(id), paths: vec![self.path(id)] }
    }

    /// Where `host` finds a broker: its addresses of the families that the host has, and behind a
    /// NAT64 what a DNS64 makes of the others.
    pub fn broker_address_for(&self, id: HostId, host: HostId) -> BrokerAddress {
        let host = &self.hosts[host.0];
        let is_nat64 = self.sites.is_nat64(host.site);
        let seen = |path: &Path| match host.addresses.iter().any(|own| is_v4(own) == is_v4(path)) {
            true => Some(*path),
            false => with_prefix(path).filter(|_| is_nat64),
        };
        let broker = &self.hosts[id.0];
        let mut all = broker.addresses.clone();
        // Its further sockets are for it to tell of.
        all.dedup_by_key(|path| path.ip);
        if broker.tcp.is_listening {
            all.extend(tls_paths(broker));
        }
        let paths = all.iter().filter_map(seen).collect();
        BrokerAddress { key: self.key(id), paths }
    }

    /// Calls a node and its application, then drains the node.
    pub fn with<T>(&mut self, id: HostId, call: impl FnOnce(&mut Node, &mut App, Time) -> T) -> T {
        let now = self.local_time(id);
        let Machine::Node(node, app) = &mut self.hosts[id.0].machine else {
            panic!("host {} is no node", id.0)
        };
        let result = call(node, app, now);
        self.drain(id);
        result
    }

    /// What a host's clock shows.
    pub fn local_time(&self, id: HostId) -> Time {
        self.hosts[id.0].clock.local(self.now)
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
        let (site, dst, bytes) = (self.hosts[dst.0].site, self.path(dst), bytes.to_vec());
        let datagram = Datagram { site, src, dst, ecn: Ecn::NotEct, bytes };
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
        let Some(datagram) = self.net.pop(self.now) else { return };
        let hosts = &self.hosts;
        let arrived = self.sites.arrive(datagram, &is_there(hosts), self.now);
        let Some(mut datagram) = arrived else { return };
        if datagram.dst.socket == Path::TLS {
            let is_its = |host: &Host| host.addresses.iter().any(|own| own.ip == datagram.dst.ip);
            let is_there = |host: &Host| host.site == datagram.site && host.is_running;
            let receiver = hosts.iter().position(|host| is_there(host) && is_its(host));
            return receiver
                .into_iter()
                .for_each(|i| self.deliver_tcp(HostId(i), datagram.clone()));
        }
        let receiver = |(i, host): (usize, &Host)| {
            let is_there = host.site == datagram.site && host.is_running;
            host.socket(&datagram.dst).filter(|_| is_there).map(|socket| (i, socket))
        };
        let Some((i, (ifindex, socket))) = hosts.iter().enumerate().find_map(receiver) else {
            return;
        };
        let now = self.local_time(HostId(i));
        let src = Path { ifindex, socket, ..datagram.src };
        match &mut self.hosts[i].machine {
            Machine::Node(node, _) => {
                node.handle_datagram(src, datagram.ecn, &mut datagram.bytes, now);
            }
            Machine::Broker(broker, _) => {
                broker.handle_datagram(src, &mut datagram.bytes, now);
            }
            Machine::Actor(actor) => {
                actor.handle_datagram(src, &mut datagram.bytes, now);
            }
        }
        self.drain(HostId(i));
    }

    /// Fires what is due at a host.
    fn fire(&mut self, id: HostId) {
        let now = self.local_time(id);
        self.hosts[id.0].tcp.handle_timeout(now);
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
            let is_busy = self.drain_transmits(id) | self.drain_events(id) | self.drain_tcp(id);
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
        let now = self.local_time(id);
        let mut buf = [0; ROOM];
        let mut is_busy = false;
        loop {
            let host = &mut self.hosts[id.0];
            let buf = &mut buf[..host.room];
            let transmit = match &mut host.machine {
                Machine::Node(node, _) => node.poll_transmit(buf, now),
                Machine::Broker(broker, _) => broker.poll_transmit(buf, now),
                Machine::Actor(actor) => actor.poll_transmit(buf, now),
            };
            let Some(transmit) = transmit else { return is_busy };
            is_busy = true;
            host.sent += 1;
            if transmit.path.socket == Path::TLS {
                host.tcp.send(transmit.path, &buf[..transmit.len], now);
                continue;
            }
            let source = host.source(&transmit.path).filter(|_| host.is_running);
            let Some(src) = source else { continue };
            let dst = Path { ifindex: 0, socket: 0, via: 0, ..transmit.path };
            let bytes = buf[..transmit.len].to_vec();
            let datagram = Datagram { site: host.site, src, dst, ecn: transmit.ecn, bytes };
            self.launch(datagram);
        }
    }

    /// Takes a host's datagram through its boxes to a link.
    pub(super) fn launch(&mut self, datagram: Datagram) {
        if datagram.dst.is_multicast() {
            return self.launch_to_group(&datagram);
        }
        let (hosts, now) = (&self.hosts, self.now);
        let Some(datagram) = self.sites.leave(datagram, &is_there(hosts), now) else { return };
        self.record(&datagram);
        match datagram.dst.socket {
            Path::TLS => self.net.send_reliably(datagram, now),
            _ => self.net.send(datagram, now),
        }
    }

    /// Takes it to all hosts of the sender's site that listen, itself among them, as to their own
    /// addresses; no box lets it out.
    fn launch_to_group(&mut self, datagram: &Datagram) {
        self.record(datagram);
        let is_there = |host: &&Host| {
            host.site == datagram.site && host.is_in_groups && datagram.dst.port == LAN_PORT
        };
        let own = |host: &Host| {
            host.addresses.iter().find(|own| is_v4(own) == is_v4(&datagram.dst)).copied()
        };
        let copies: Vec<Path> = self.hosts.iter().filter(is_there).filter_map(own).collect();
        for dst in copies {
            self.net.send(Datagram { dst, ..datagram.clone() }, self.now);
        }
    }

    fn record(&mut self, datagram: &Datagram) {
        self.trace.add(datagram, self.now);
        if let Some(capture) = &mut self.capture {
            capture.push((self.now, datagram.clone()));
        }
    }

    fn drain_events(&mut self, id: HostId) -> bool {
        let (now, local) = (self.now, self.local_time(id));
        let host = &mut self.hosts[id.0];
        let mut is_busy = false;
        match &mut host.machine {
            Machine::Node(node, app) => {
                while let Some(event) = node.poll_event() {
                    is_busy = true;
                    app.on_event(node, &event, local);
                    host.events.push((now, event));
                }
                while let Some(to_store) = node.poll_store() {
                    is_busy = true;
                    let (place, bytes) = match to_store {
                        Stored::Trust(bytes) => (&mut host.stored, bytes),
                        Stored::Cloak(bytes) => (&mut host.stored_cloak, bytes),
                    };
                    if host.disk != Disk::Fails {
                        *place = Some(bytes);
                    }
                    if host.disk != Disk::Waits {
                        node.handle_stored(host.disk == Disk::Works, local);
                    }
                }
            }
            Machine::Broker(broker, store) => {
                while let Some(event) = broker.poll_event() {
                    is_busy = true;
                    if let BrokerEvent::Ownership { key, ownership } = event {
                        store.on_ownership(key, ownership);
                    }
                    host.broker_events.push((now, event));
                }
                while let Some((ask, query)) = broker.poll_ask() {
                    is_busy = true;
                    store.ask(ask, query, local);
                }
            }
            Machine::Actor(_) => {}
        }
        is_busy
    }
}

/// Who has an address at a site, whatever the port.
fn is_there(hosts: &[Host]) -> impl Fn(SiteId, &Path) -> bool {
    |site, path| {
        let has = |host: &Host| host.addresses.iter().any(|own| own.ip == path.ip);
        hosts.iter().any(|host| host.site == site && has(host))
    }
}
