//! Very many nodes of the real core in one process, each a task, several on one socket.
//!
//! They know their broker by one address, and a network that can change its mind takes what they
//! send there to one of its instances, as a load balancer does.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rit_core::base::{Ecn, Path, PublicKey, Time};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::{BrokerAddress, Config, Event, Node, SessionId};
use rit_core::transport;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

/// Where nodes think that the broker is (RFC 5737).
const BROKER: [u8; 4] = [192, 0, 2, 1];
const BROKER_PORT: u16 = 7480;

/// Longer than anything here takes, on a machine that does much else.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// Where the broker's instances are; nodes are spread over them.
#[derive(Clone, Default)]
pub(crate) struct Network {
    instances: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Network {
    pub(crate) fn set(&self, instances: &[SocketAddr]) {
        *self.instances.lock().unwrap() = instances.to_vec();
    }

    fn route(&self, node: usize) -> Option<SocketAddr> {
        let instances = self.instances.lock().unwrap();
        instances.get(node % instances.len().max(1)).copied()
    }
}

/// What a node is to do.
pub(crate) enum Order {
    Connect(Option<String>),
    Open(PublicKey),
    Allow(PublicKey),
    /// Forget everything but the key, as a node does that lost power.
    Restart,
}

/// Nodes, and what happens to them.
pub(crate) struct Fleet {
    pub(crate) network: Network,
    pub(crate) keys: Vec<PublicKey>,
    orders: Vec<mpsc::UnboundedSender<(usize, Order)>>,
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    sender: mpsc::UnboundedSender<(usize, Event)>,
    broker: PublicKey,
    per_socket: usize,
}

/// Nodes know their broker's key; everything else is as small as it can be.
fn config() -> Config {
    let transport = transport::Config {
        stream_window: 16 * 1024,
        session_window: 16 * 1024,
        stream_send_buffer: 16 * 1024,
        max_streams: 1,
        ..transport::Config::default()
    };
    Config { transport, max_sessions: 8, ..Config::default() }
}

impl Fleet {
    /// Nothing happens yet. `per_socket`: so many nodes share one.
    pub(crate) fn new(broker: PublicKey, per_socket: usize) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let (network, keys, orders) = (Network::default(), Vec::new(), Vec::new());
        Fleet { network, keys, orders, events, sender, broker, per_socket }
    }

    /// `count` nodes more; inside a runtime.
    pub(crate) async fn grow(&mut self, count: usize) {
        let mut left = count;
        while left > 0 {
            let some = left.min(self.per_socket);
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let (order, orders) = mpsc::unbounded_channel();
            let first = self.keys.len();
            let mut nodes = Vec::new();
            for id in first..first + some {
                let node = Simulated::new(id);
                self.keys.push(node.node.public_key());
                self.orders.push(order.clone());
                nodes.push(node);
            }
            let (network, events) = (self.network.clone(), self.sender.clone());
            let broker = self.broker;
            tokio::spawn(Group { nodes, socket, network, events, broker }.run(orders));
            left -= some;
        }
    }

    pub(crate) fn order(&self, node: usize, order: Order) {
        self.orders[node].send((node, order)).unwrap();
    }

    /// The next thing that happens; fails when nothing does for too long.
    pub(crate) async fn next(&mut self) -> (usize, Event) {
        let next = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        next.expect("nothing happens any more").unwrap()
    }

    /// What has happened by now.
    pub(crate) fn try_next(&mut self) -> Option<(usize, Event)> {
        self.events.try_recv().ok()
    }

    /// Waits until each of so many nodes has had the event.
    pub(crate) async fn until_all(
        &mut self,
        nodes: impl Iterator<Item = usize>,
        is_it: impl Fn(&Event) -> bool,
    ) {
        let mut missing: std::collections::HashSet<usize> = nodes.collect();
        let give_up = Instant::now() + PATIENCE;
        while !missing.is_empty() {
            assert!(Instant::now() < give_up, "{} nodes are missing", missing.len());
            let (node, event) = self.next().await;
            if is_it(&event) {
                missing.remove(&node);
            }
        }
    }
}

struct Simulated {
    id: usize,
    node: Node,
    due: Option<Time>,
}

/// A process knows its time from here; nodes count from it.
fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn now() -> Time {
    Time::ZERO + start().elapsed()
}

impl Simulated {
    fn new(id: usize) -> Self {
        let mut seed = [0x5e; 32];
        seed[..8].copy_from_slice(&(id as u64).to_be_bytes());
        let signer = Arc::new(Ed25519Signer::from_seed(&seed));
        // Never the same twice: a repeated first packet is a replay.
        static MADE: AtomicU64 = AtomicU64::new(0);
        let mut randomness = [0; 32];
        let process = u64::from(std::process::id()) << 32;
        let n = MADE.fetch_add(1, Ordering::Relaxed) + process;
        randomness[..8].copy_from_slice(&n.to_be_bytes());
        let node = Node::new(config(), crypto::default_provider(), signer, randomness, now());
        Simulated { id, node: node.unwrap(), due: None }
    }
}

/// Nodes that share a socket. Each gets what comes, and drops what is not its own.
struct Group {
    nodes: Vec<Simulated>,
    socket: UdpSocket,
    network: Network,
    events: mpsc::UnboundedSender<(usize, Event)>,
    broker: PublicKey,
}

impl Group {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<(usize, Order)>) {
        let mut buf = [0; 2048];
        loop {
            let due = self.nodes.iter().filter_map(|one| one.due).min();
            let at = due.map_or_else(
                || Instant::now() + Duration::from_secs(3600),
                |due| start() + Duration::from_micros(due.as_micros()),
            );
            tokio::select! {
                order = orders.recv() => {
                    let Some((id, order)) = order else { return };
                    self.obey(id, order);
                }
                () = tokio::time::sleep_until(at.into()) => {
                    for at in 0..self.nodes.len() {
                        if self.nodes[at].due.is_some_and(|due| due <= now()) {
                            self.nodes[at].node.handle_timeout(now());
                            self.drain(at);
                        }
                    }
                }
                received = self.socket.recv_from(&mut buf) => {
                    let Ok((len, from)) = received else { continue };
                    self.receive(&buf[..len], from);
                }
            }
        }
    }

    fn receive(&mut self, datagram: &[u8], from: SocketAddr) {
        for at in 0..self.nodes.len() {
            let is_brokers = self.network.route(self.nodes[at].id) == Some(from);
            let is_old = self.network.instances.lock().unwrap().contains(&from);
            let path = match (is_brokers, is_old) {
                (true, _) => Path::v4(BROKER, BROKER_PORT),
                (false, true) => continue,
                (false, false) => from.into(),
            };
            let mut copy = datagram.to_vec();
            self.nodes[at].node.handle_datagram(path, Ecn::NotEct, &mut copy, now());
            self.drain(at);
        }
    }

    fn obey(&mut self, id: usize, order: Order) {
        let at = self.nodes.iter().position(|one| one.id == id).unwrap();
        let one = &mut self.nodes[at];
        match order {
            Order::Connect(code) => {
                let paths = vec![Path::v4(BROKER, BROKER_PORT)];
                let address = BrokerAddress { key: self.broker, paths };
                one.node.broker_connect(address, code.as_deref(), now()).unwrap();
            }
            Order::Open(device) => {
                let _ = one.node.session_open(device, now());
            }
            Order::Allow(key) => one.node.peer_allow(key).unwrap(),
            Order::Restart => *one = Simulated::new(id),
        }
        self.drain(at);
    }

    fn drain(&mut self, at: usize) {
        let one = &mut self.nodes[at];
        let mut buf = [0; 2048];
        while let Some(transmit) = one.node.poll_transmit(&mut buf, now()) {
            let to = transmit.path.socket_addr();
            let is_brokers = to == SocketAddr::from((BROKER, BROKER_PORT));
            let to = if is_brokers { self.network.route(one.id) } else { Some(to) };
            // Lost, as datagrams may be.
            to.into_iter().for_each(|to| {
                let _ = self.socket.try_send_to(&buf[..transmit.len], to);
            });
        }
        while let Some(event) = one.node.poll_event() {
            let _ = self.events.send((one.id, event));
        }
        one.due = one.node.poll_timeout();
    }
}

/// Sessions of users with devices: which are up, by the user.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) up: HashMap<usize, SessionId>,
    pub(crate) lost: Vec<(usize, Event)>,
    pub(crate) failed: Vec<usize>,
}

impl Sessions {
    /// Takes note of what an event says of a user's session.
    pub(crate) fn on_event(&mut self, node: usize, event: &Event) {
        match event {
            Event::SessionUp { session, .. } => {
                self.up.insert(node, *session);
            }
            Event::SessionDown { session, .. } if self.up.get(&node) == Some(session) => {
                self.lost.push((node, event.clone()));
            }
            Event::SessionDown { .. } => self.failed.push(node),
            _ => {}
        }
    }
}
