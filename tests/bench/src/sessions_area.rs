//! Area `sessions`: what a datagram costs a node that has 1000 sessions, each with a relay's
//! channel beside it, and one that has a single one.
//!
//! Timed is the way of a small message from one node to the other, with the calls that the driver
//! makes for each datagram; all other sessions are up and silent. The links are instant.

use crate::clock::timed;
use crate::report::Row;
use crate::settings::{Settings, median};
use rit_core::base::{Ecn, Path, Time};
use rit_core::broker::{Answer, RelayService};
use rit_core::crypto::{self, Ed25519Signer, Secret};
use rit_core::node::{BrokerAddress, BrokerNode, Config, Event, FlowHandle, Node, SessionId};
use rit_core::wire::message::{SERVICE_UDP, ServiceInfo};
use std::sync::Arc;
use std::time::Duration;

const MANY: usize = 1000;
/// Messages of one run.
const MESSAGES: u32 = 20_000;
const MESSAGE: [u8; 64] = [7; 64];
const SERVICE: &str = "bench";

/// Measures both nodes.
pub fn rows(settings: &Settings) -> Vec<Row> {
    let mut worlds = [World::new(MANY), World::new(1)];
    let mut runs = [Vec::new(), Vec::new()];
    for round in 0..=settings.rounds {
        for (world, runs) in worlds.iter_mut().zip(&mut runs) {
            let cost = world.run();
            eprintln!("sessions round {round}: {} sessions: {cost:.0} ns", world.sessions);
            // The first round is for caches and branch predictors.
            if round > 0 {
                runs.push(cost);
            }
        }
    }
    let [ours, peer] = runs.map(median);
    let name = format!("a datagram in one of {MANY} sessions (smaller is better)");
    vec![Row { name, unit: "ns", ours, peer, peer_name: "librit, 1 session" }]
}

/// A broker, a device and a user.
struct World {
    broker: BrokerNode,
    nodes: [Node; 2],
    sessions: usize,
    flows: [Option<FlowHandle>; 2],
    up: Vec<SessionId>,
    now: Time,
}

const BROKER: u8 = 2;
/// Nobody is there: its ends soon ask no more.
const RELAY: u8 = 3;

/// The nodes are at 0 and 1.
fn path(n: u8) -> Path {
    Path::v4([10, 0, 0, n], 1)
}

impl World {
    fn new(sessions: usize) -> World {
        let now = Time::ZERO;
        let mut config = Config { max_sessions: sessions + 1, ..Config::default() };
        // So that what is silent stays so.
        config.transport.keep_alive = Duration::ZERO;
        config.transport.idle_timeout = Duration::from_secs(1 << 20);
        let signer = |seed| Arc::new(Ed25519Signer::from_seed(&[seed; 32]));
        let node =
            |seed: u8| Node::new(config.clone(), crypto::ring(), signer(seed), [seed; 32], now);
        let node = |seed: u8| node(seed).expect("the limits are sound");
        let broker = BrokerNode::new(config.clone(), crypto::ring(), signer(1), [1; 32], now);
        let broker = broker.expect("the limits are sound");
        let (nodes, flows) = ([node(2), node(3)], [None; 2]);
        let mut world = World { broker, nodes, sessions, flows, up: Vec::new(), now };
        world.connect();
        world
    }

    fn connect(&mut self) {
        let relay =
            RelayService { paths: vec![path(RELAY)], secret: Secret::new([9; 32]), rate: 0 };
        self.broker.set_relays(vec![relay]);
        let keys = self.nodes.each_ref().map(Node::public_key);
        let info = ServiceInfo { name: SERVICE.to_owned(), kind: SERVICE_UDP, port: 1 };
        self.nodes[0].service_add(info, self.now).expect("there is room");
        self.nodes[0].peer_allow(keys[1]).expect("there is room");
        for node in &mut self.nodes {
            let address =
                BrokerAddress { key: self.broker.public_key(), paths: vec![path(BROKER)] };
            node.broker_connect(address, None, self.now).expect("it was not connected");
        }
        for _ in 0..3 {
            self.pass(Duration::from_secs(1));
        }
        while self.up.len() < self.sessions {
            self.nodes[1].session_open(keys[0], self.now).expect("the broker is there");
            let before = self.up.len();
            self.settle();
            assert!(self.up.len() > before, "a session is up");
            // The broker introduces one a second.
            self.pass(Duration::from_secs(1));
        }
        // Beyond all that is asked, and asked again, at the start.
        for _ in 0..120 {
            self.pass(Duration::from_secs(1));
        }
        self.open_flow();
    }

    fn open_flow(&mut self) {
        // One in the middle, for lists that are searched from an end.
        let session = self.up[self.up.len() / 2];
        let flow = self.nodes[1].flow_open(session, SERVICE, self.now).expect("it is up");
        self.flows[1] = Some(flow);
        self.settle();
        assert!(self.flows[0].is_some(), "the device has the flow too");
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.broker.handle_timeout(self.now);
        self.nodes.iter_mut().for_each(|node| node.handle_timeout(self.now));
        self.settle();
    }

    /// Hands over datagrams until there are none.
    fn settle(&mut self) {
        let mut buf = [0; 2000];
        let mut has_moved = true;
        while core::mem::take(&mut has_moved) {
            while let Some((id, _)) = self.broker.poll_ask() {
                has_moved = true;
                self.broker.handle_answer(id, Answer::Enrolled(true), 1_700_000_000, self.now);
            }
            while let Some(sent) = self.broker.poll_transmit(&mut buf, self.now) {
                has_moved = true;
                let datagram = &mut buf[..sent.len];
                if let Some(node) = self.nodes.get_mut(usize::from(sent.path.ip[15])) {
                    node.handle_datagram(path(BROKER), sent.ecn, datagram, self.now);
                }
            }
            has_moved |= self.exchange(&mut buf);
        }
    }

    /// The same between the nodes, and from them to the broker, once round.
    fn exchange(&mut self, buf: &mut [u8]) -> bool {
        let mut has_moved = false;
        let at_broker = path(BROKER);
        for at in 0..self.nodes.len() {
            let (own, other) = (path(at as u8), path(1 - at as u8));
            while let Some(sent) = self.nodes[at].poll_transmit(buf, self.now) {
                let datagram = &mut buf[..sent.len];
                has_moved = true;
                if sent.path == at_broker {
                    self.broker.handle_datagram(own, datagram, self.now);
                } else if sent.path == other {
                    self.nodes[1 - at].handle_datagram(own, Ecn::NotEct, datagram, self.now);
                }
            }
            while let Some(event) = self.nodes[at].poll_event() {
                self.on_event(at, &event);
            }
            let _ = self.nodes[at].poll_timeout();
        }
        has_moved
    }

    fn on_event(&mut self, at: usize, event: &Event) {
        match event {
            Event::SessionUp { session, .. } if at == 1 => self.up.push(*session),
            Event::FlowIncoming { flow, .. } => {
                self.nodes[at].flow_accept(*flow, self.now).expect("it came");
                self.flows[at] = Some(*flow);
            }
            Event::SessionDown { .. } | Event::BrokerOffline(_) => panic!("{event:?}"),
            _ => {}
        }
    }

    /// Nanoseconds for a datagram.
    fn run(&mut self) -> f64 {
        let [Some(to), Some(from)] = self.flows else { panic!("there is a flow") };
        let (mut buf, mut took) = ([0; 2000], Duration::ZERO);
        let datagrams = |world: &World| {
            world.nodes.iter().map(|node| node.stats().datagrams_sent).sum::<u64>() as f64
        };
        let before = datagrams(self);
        timed(&mut took, || {
            for _ in 0..MESSAGES {
                self.now = self.now + Duration::from_micros(100);
                self.nodes[1].datagram_send(from, &MESSAGE, None, self.now).expect("there is room");
                while self.exchange(&mut buf) {}
                let len = self.nodes[0].datagram_recv(to, &mut buf, self.now);
                assert_eq!(len.expect("it came"), MESSAGE.len());
            }
        });
        took.as_nanos() as f64 / (datagrams(self) - before)
    }
}
