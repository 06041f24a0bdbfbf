//! A host of the simulated world: a machine, its addresses, its clock.
//!
//! Owns what one host is and has heard. `world` feeds and drains it.

use super::app::App;
use super::clock::Clock;
use super::nat::is_v4;
use super::sites::{INTERNET, SiteId};
use super::store::Store;
use super::tcp::Tcp;
use rit_core::base::{Path, PublicKey, Time};
use rit_core::broker::BrokerEvent;
use rit_core::node::{BrokerNode, Event, Node};
use rit_core::transport::Transmit;
use std::any::Any;

/// The ports of a node's further sockets begin behind this one.
const FURTHER_PORTS: u16 = 40_000;
/// Room for any datagram that a host sends.
pub(super) const ROOM: usize = 2048;

/// Names a host of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// What runs on a host.
pub enum Machine {
    /// A device's or a user's node, and the application above it.
    Node(Box<Node>, Box<App>),
    /// A broker and its database.
    Broker(Box<BrokerNode>, Box<Store>),
    /// Somebody who is neither.
    Actor(Box<dyn Actor>),
}

/// How a node's storage does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disk {
    /// At once.
    #[default]
    Works,
    /// It says that it could not.
    Fails,
    /// It has not finished; the scenario calls `handle_stored`.
    Waits,
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
    /// The site it is at.
    pub site: SiteId,
    /// Its addresses there; a broker's are of one socket each, in the order of their numbers.
    pub addresses: Vec<Path>,
    /// Its clock, which may drift.
    pub clock: Clock,
    /// Its connections.
    pub tcp: Tcp,
    /// What runs there.
    pub machine: Machine,
    pub(super) identity: [u8; 32],
    /// Whether it runs; a stopped host neither hears nor says anything.
    pub is_running: bool,
    /// Whether it hears what goes to the groups of its site's network.
    pub is_in_groups: bool,
    /// How it stores what its node wants stored.
    pub disk: Disk,
    /// What its node had it store last.
    pub stored: Option<Vec<u8>>,
    /// The same of what its owner said of its cloak.
    pub stored_cloak: Option<Vec<u8>>,
    /// Node events so far, with their time.
    pub events: Vec<(Time, Event)>,
    /// Broker events so far, with their time.
    pub broker_events: Vec<(Time, BrokerEvent)>,
    /// Bytes of UDP payload that it can send at once.
    pub room: usize,
    /// Datagrams sent so far.
    pub sent: u64,
    /// Largest `buffered_bytes` seen.
    pub buffered_bytes_max: u64,
}

impl Host {
    /// A host that is on and has heard nothing yet.
    pub(super) fn new(machine: Machine, address: Path) -> Self {
        Host {
            site: INTERNET,
            addresses: vec![address],
            clock: Clock::default(),
            tcp: Tcp::default(),
            machine,
            identity: [0; 32],
            is_running: true,
            is_in_groups: false,
            disk: Disk::default(),
            stored: None,
            stored_cloak: None,
            events: Vec::new(),
            broker_events: Vec::new(),
            room: ROOM,
            sent: 0,
            buffered_bytes_max: 0,
        }
    }

    /// Its first address.
    pub fn path(&self) -> Path {
        self.addresses[0]
    }

    /// When something is due, in the world's time.
    pub(super) fn next_due(&self) -> Option<Time> {
        if !self.is_running {
            return None;
        }
        let due = match &self.machine {
            Machine::Node(node, app) => [node.poll_timeout(), app.next_turn()],
            Machine::Broker(broker, store) => [broker.poll_timeout(), store.next_answer_at()],
            Machine::Actor(actor) => [actor.poll_timeout(), None],
        };
        let due = due.into_iter().chain([self.tcp.poll_timeout()]);
        due.flatten().min().map(|local| self.clock.when(local))
    }

    /// Whether its sockets have numbers, those of [`Path::ifindex`].
    fn is_numbering(&self) -> bool {
        matches!(self.machine, Machine::Broker(..)) && self.addresses.len() > 1
    }

    /// The address that a datagram to `dst` is sent from; none if it has none of that family.
    pub(super) fn source(&self, dst: &Path) -> Option<Path> {
        let is_same_family = |address: &&Path| is_v4(address) == is_v4(dst);
        let numbered = (dst.ifindex as usize).checked_sub(1).filter(|_| self.is_numbering());
        let by_number = numbered.and_then(|at| self.addresses.get(at)).filter(is_same_family);
        let own = by_number.or_else(|| self.addresses.iter().find(is_same_family)).copied()?;
        Some(match dst.socket {
            0 => own,
            socket => Path { port: FURTHER_PORTS + socket, ..own },
        })
    }

    /// The interface and the socket with this address; none if it has no such address.
    pub(super) fn socket(&self, address: &Path) -> Option<(u32, u16)> {
        if let Some(at) = self.addresses.iter().position(|own| own == address) {
            return Some((if self.is_numbering() { at as u32 + 1 } else { 0 }, 0));
        }
        let socket = address.port.checked_sub(FURTHER_PORTS).filter(|socket| *socket > 0)?;
        self.addresses.iter().find(|own| own.ip == address.ip).map(|_| (0, socket))
    }

    /// Whether an event like this has come.
    pub fn has_event(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(|(_, event)| is_it(event))
    }
}
