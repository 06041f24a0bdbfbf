//! TCP of the simulated world, for carriers: connections through the boxes, in order and without
//! loss; a link that is cut takes what is on it, and with that the connection.
//!
//! Owns the connections of each host: those that its node opens, and, at brokers and actors that
//! listen, core's carriers of those that come in. A segment is a datagram between two paths of
//! [`Path::TLS`], so that boxes translate it as they do any.

use super::host::{Host, HostId, Machine};
use super::net::Datagram;
use super::world::World;
use rit_core::base::{Ecn, Path, Rng, Time};
use rit_core::carrier::{Carrier, DATAGRAM_MAX};
use rit_core::crypto::{self, Ed25519Signer};
use rit_core::node::TcpAction;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where servers listen.
pub const PORT: u16 = 443;
const SYN: u8 = 0;
const SYN_ACK: u8 = 1;
const DATA: u8 = 2;
const RESET: u8 = 3;
/// Bytes that a socket takes at once.
const TAKEN_MAX: usize = 4000;
const PORT_MIN: u16 = 50_000;

/// A host's connections.
#[derive(Default)]
pub struct Tcp {
    /// Whether it takes connections.
    pub is_listening: bool,
    opened: BTreeMap<Path, Opened>,
    served: BTreeMap<Path, Served>,
    opened_so_far: u16,
}

/// A connection that the host made.
struct Opened {
    local: Path,
    is_up: bool,
    /// Bytes for when it is.
    waiting: Vec<u8>,
}

/// A connection made to the host.
struct Served {
    local: Path,
    carrier: Carrier,
}

impl Tcp {
    /// When something is due, by the host's clock.
    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.served.values().filter_map(|served| served.carrier.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.served.values_mut().for_each(|served| served.carrier.handle_timeout(now));
    }

    /// Takes a datagram of the host for one of the connections made to it.
    pub(super) fn send(&mut self, to: Path, datagram: &[u8], now: Time) {
        if let Some(served) = self.served.get_mut(&to) {
            served.carrier.send_datagram(datagram, now);
        }
    }

    fn accept(&mut self, local: Path, from: Path, now: Time) {
        let rng = Rng::from_seed([from.port as u8; 32]);
        let signer = Arc::new(Ed25519Signer::from_seed(&[0x54; 32]));
        let carrier = Carrier::server(crypto::default_provider(), signer, rng, now);
        let carrier = carrier.expect("the provider is ours");
        self.served.insert(from, Served { local, carrier });
    }
}

/// The host's addresses for those who come by TCP.
pub fn tls_paths(host: &Host) -> Vec<Path> {
    let mut paths = host.addresses.clone();
    paths.iter_mut().for_each(|path| (path.port, path.socket) = (PORT, Path::TLS));
    paths.dedup();
    paths
}

impl World {
    /// Writes what the connections of a host have to write; whether there was something.
    pub(super) fn drain_tcp(&mut self, id: HostId) -> bool {
        let segments = match &self.host(id).machine {
            Machine::Node(..) => self.drain_opened(id),
            Machine::Broker(..) | Machine::Actor(_) => self.drain_served(id),
        };
        let is_busy = !segments.is_empty();
        for (src, dst, bytes) in segments {
            self.send_segment(id, src, dst, bytes);
        }
        is_busy
    }

    fn drain_opened(&mut self, id: HostId) -> Vec<(Path, Path, Vec<u8>)> {
        let (host, mut segments) = (self.host_mut(id), Vec::new());
        let addresses = host.addresses.clone();
        let Machine::Node(node, _) = &mut host.machine else { return segments };
        let mut buf = [0; 8192];
        while let Some((path, action)) = node.poll_tcp(&mut buf) {
            let TcpAction::Write(len) = action else {
                if let Some(gone) = host.tcp.opened.remove(&path) {
                    segments.push((gone.local, path, vec![RESET]));
                }
                continue;
            };
            let bytes = &buf[..len.min(TAKEN_MAX)];
            node.tcp_taken(path, bytes.len(), len);
            node.tcp_writable(path);
            if let Some(opened) = host.tcp.opened.get_mut(&path) {
                match opened.is_up {
                    true => segments.push((opened.local, path, [&[DATA], bytes].concat())),
                    false => opened.waiting.extend_from_slice(bytes),
                }
                continue;
            }
            let is_same_family = |own: &&Path| super::nat::is_v4(own) == super::nat::is_v4(&path);
            let Some(own) = addresses.iter().find(is_same_family) else {
                node.tcp_closed(path);
                continue;
            };
            host.tcp.opened_so_far += 1;
            let port = PORT_MIN + host.tcp.opened_so_far;
            let local = Path { port, socket: Path::TLS, ..*own };
            segments.push((local, path, vec![SYN]));
            host.tcp.opened.insert(path, Opened { local, is_up: false, waiting: bytes.to_vec() });
        }
        segments
    }

    fn drain_served(&mut self, id: HostId) -> Vec<(Path, Path, Vec<u8>)> {
        let mut segments = Vec::new();
        self.host_mut(id).tcp.served.retain(|path, served| {
            loop {
                let bytes = served.carrier.poll_bytes();
                if bytes.is_empty() {
                    break;
                }
                segments.push((served.local, *path, [&[DATA], bytes].concat()));
                let len = bytes.len();
                served.carrier.consume(len);
            }
            if served.carrier.is_closed() {
                segments.push((served.local, *path, vec![RESET]));
            }
            !served.carrier.is_closed()
        });
        segments
    }

    fn send_segment(&mut self, id: HostId, src: Path, dst: Path, bytes: Vec<u8>) {
        if self.host(id).is_running {
            let site = self.host(id).site;
            self.launch(Datagram { site, src, dst, ecn: Ecn::NotEct, bytes });
        }
    }

    /// A segment came to a host.
    pub(super) fn deliver_tcp(&mut self, id: HostId, segment: Datagram) {
        let (kind, bytes) = segment.bytes.split_first().expect("a segment has a kind");
        let now = self.local_time(id);
        let (from, local) = (segment.src, segment.dst);
        let host = self.host_mut(id);
        match (&mut host.machine, *kind) {
            (Machine::Node(node, _), DATA) => node.handle_tcp(from, bytes, now),
            (Machine::Node(node, _), RESET) => {
                host.tcp.opened.remove(&from);
                node.tcp_closed(from);
            }
            (Machine::Node(..), SYN_ACK) => {
                let Some(opened) = host.tcp.opened.get_mut(&from) else { return };
                opened.is_up = true;
                let waiting = std::mem::take(&mut opened.waiting);
                self.send_segment(id, local, from, [vec![DATA], waiting].concat());
            }
            (Machine::Node(..), _) => {}
            (_, SYN) if host.tcp.is_listening => {
                host.tcp.accept(local, from, now);
                self.send_segment(id, local, from, vec![SYN_ACK]);
            }
            (_, RESET) => drop(host.tcp.served.remove(&from)),
            (_, DATA) if host.tcp.served.contains_key(&from) => self.serve(id, from, bytes, now),
            _ => self.send_segment(id, local, from, vec![RESET]),
        }
        self.drain(id);
    }

    fn serve(&mut self, id: HostId, from: Path, bytes: &[u8], now: Time) {
        let host = self.host_mut(id);
        let Some(served) = host.tcp.served.get_mut(&from) else { return };
        served.carrier.handle_bytes(bytes, now);
        let mut buf = [0; DATAGRAM_MAX];
        while let Some(len) = served.carrier.poll_datagram(&mut buf) {
            match &mut host.machine {
                Machine::Broker(broker, _) => broker.handle_datagram(from, &mut buf[..len], now),
                Machine::Actor(actor) => actor.handle_datagram(from, &mut buf[..len], now),
                Machine::Node(..) => {}
            }
        }
    }
}
