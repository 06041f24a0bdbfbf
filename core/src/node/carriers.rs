//! A node's TCP connections with TLS, to its broker and to relays, where UDP does not get through.
//!
//! Owns the carriers by address. A datagram to a path of [`Path::TLS`] goes into one, which is
//! opened for it; the port connects when there is something to write. What it closes or loses, the
//! next datagram opens anew.

use super::Node;
use crate::base::{Ecn, Path, Rng, Time};
use crate::carrier::{Carrier, DATAGRAM_MAX};
use crate::transport::{Local, Transmit};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Carriers at once: to a broker, and to the relays of its sessions.
pub const MAX_CARRIERS: usize = 8;
/// Connections that the port is still to be told of as over.
const MAX_OVER: usize = MAX_CARRIERS;

/// What the port is to do for a connection, after [`Node::poll_tcp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpAction {
    /// Write these first bytes of the buffer, as many as it can, and say so by
    /// [`Node::tcp_taken`]. The first time: connect.
    Write(usize),
    /// Close it, if there is one.
    Close,
}

struct Entry {
    path: Path,
    carrier: Carrier,
    /// The port took less than all: it has to say when it can write again.
    is_blocked: bool,
}

#[derive(Default)]
pub(super) struct Carriers {
    entries: Vec<Entry>,
    over: VecDeque<Path>,
    /// The port can do TCP.
    is_enabled: bool,
}

/// What one connection is known by, whatever interface it takes.
fn key(path: Path) -> Path {
    Path { via: 0, ifindex: 0, ..path }
}

impl Carriers {
    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled
    }

    /// Takes a datagram. It may be lost, as all datagrams may.
    pub(super) fn send(
        &mut self,
        path: Path,
        datagram: &[u8],
        local: &Local,
        rng: &mut Rng,
        now: Time,
    ) {
        if !self.is_enabled {
            return;
        }
        let path = key(path);
        if self.find(path).is_none() {
            if !local.config.reserve.allows_connection() {
                return;
            }
            let made = Carrier::client(local.provider, rng.fork(), now);
            let Some(carrier) = made else { return };
            if self.entries.len() >= MAX_CARRIERS {
                self.close(0);
            }
            self.entries.push(Entry { path, carrier, is_blocked: false });
        }
        if let Some(entry) = self.find(path) {
            let needed = entry.carrier.memory_to_send(datagram.len());
            if local.config.reserve.allows(needed) {
                entry.carrier.send_datagram(datagram, now);
            }
        }
    }

    fn find(&mut self, path: Path) -> Option<&mut Entry> {
        let path = key(path);
        self.entries.iter_mut().find(|entry| entry.path == path)
    }

    fn close(&mut self, at: usize) {
        if at < self.entries.len() {
            let entry = self.entries.remove(at);
            self.tell_over(entry.path);
        }
    }

    fn tell_over(&mut self, path: Path) {
        if self.over.len() >= MAX_OVER {
            self.over.pop_front();
        }
        self.over.push_back(path);
    }

    /// All of them lead from addresses that this node may not have any more.
    pub(super) fn restart(&mut self) {
        while !self.entries.is_empty() {
            self.close(0);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Time> {
        self.entries.iter().filter_map(|entry| entry.carrier.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.entries.iter_mut().for_each(|entry| entry.carrier.handle_timeout(now));
        self.close_ended();
    }

    fn close_ended(&mut self) {
        while let Some(at) = self.entries.iter().position(|e| e.carrier.is_closed()) {
            self.close(at);
        }
    }

    fn poll(&mut self, buf: &mut [u8]) -> Option<(Path, TcpAction)> {
        self.close_ended();
        if let Some(path) = self.over.pop_front() {
            return Some((path, TcpAction::Close));
        }
        for entry in self.entries.iter_mut().filter(|entry| !entry.is_blocked) {
            let bytes = entry.carrier.poll_bytes();
            let len = bytes.len().min(buf.len());
            if let (1.., Some(bytes), Some(out)) = (len, bytes.get(..len), buf.get_mut(..len)) {
                out.copy_from_slice(bytes);
                // Until the port says how much it took.
                entry.is_blocked = true;
                return Some((entry.path, TcpAction::Write(len)));
            }
        }
        None
    }
}

impl Node {
    /// Takes a datagram into the connection that it goes by.
    pub(super) fn send_by_tcp(&mut self, transmit: Transmit, buf: &[u8], now: Time) {
        let datagram = buf.get(..transmit.len).unwrap_or_default();
        let (local, rng) = (&self.endpoint.local, &mut self.endpoint.rng);
        self.carriers.send(transmit.path, datagram, local, rng, now);
    }

    /// Whether the port can do TCP; without, which is how a node begins, paths of [`Path::TLS`] are
    /// not used. To be told before [`Node::broker_connect`].
    pub fn set_tcp(&mut self, is_possible: bool) {
        self.carriers.is_enabled = is_possible;
    }

    /// The next thing to do for a TCP connection, known by its path; bytes to write are copied into
    /// `buf`. Drain as [`Node::poll_transmit`], and after it; whatever is written is answered by
    /// [`Node::tcp_taken`] before the next.
    pub fn poll_tcp(&mut self, buf: &mut [u8]) -> Option<(Path, TcpAction)> {
        self.carriers.poll(buf)
    }

    /// The port took `len` bytes of what [`Node::poll_tcp`] said last for this connection. If these
    /// were not all, nothing more comes before [`Node::tcp_writable`]: `offered` are those there
    /// were.
    pub fn tcp_taken(&mut self, path: Path, len: usize, offered: usize) {
        if let Some(entry) = self.carriers.find(path) {
            entry.carrier.consume(len.min(offered));
            entry.is_blocked = len < offered;
        }
    }

    /// The connection takes bytes again.
    pub fn tcp_writable(&mut self, path: Path) {
        if let Some(entry) = self.carriers.find(path) {
            entry.is_blocked = false;
        }
    }

    /// The connection is over, or could not be made. The port has closed it.
    pub fn tcp_closed(&mut self, path: Path) {
        let path = key(path);
        self.carriers.entries.retain(|entry| entry.path != path);
    }

    /// Takes bytes that came by the connection, 64 KiB at most.
    pub fn handle_tcp(&mut self, path: Path, bytes: &[u8], now: Time) {
        let reserve = self.reserve();
        if let Some(entry) = self.carriers.find(path) {
            // A stream with a hole in it is of no use.
            let needed = entry.carrier.memory_to_take(bytes.len());
            if !reserve.allows(needed + reserve.step) {
                self.is_short_of_memory = true;
                let at = self.carriers.entries.iter().position(|entry| entry.path == key(path));
                return self.carriers.close(at.unwrap_or(usize::MAX));
            }
            entry.carrier.handle_bytes(bytes, now);
        }
        let mut datagram = [0; DATAGRAM_MAX];
        let mut touched = None;
        while let Some(len) =
            self.carriers.find(path).and_then(|entry| entry.carrier.poll_datagram(&mut datagram))
        {
            let datagram = datagram.get_mut(..len).unwrap_or_default();
            self.take(key(path), Ecn::NotEct, datagram, &mut touched, now);
        }
        self.process(touched, now);
        self.carriers.close_ended();
    }
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use super::*;
    use crate::crypto::{Ed25519Signer, default_provider};
    use crate::transport::Config;
    use alloc::sync::Arc;

    fn path(n: u16) -> Path {
        Path { socket: Path::TLS, ..Path::v4([10, 0, 0, 1], n) }
    }

    fn local() -> Local {
        let signer = Arc::new(Ed25519Signer::from_seed(&[1; 32]));
        Local { config: Config::default(), provider: default_provider(), signer }
    }

    fn carriers() -> (Carriers, Rng) {
        (Carriers { is_enabled: true, ..Carriers::default() }, Rng::from_seed([1; 32]))
    }

    #[test]
    fn the_oldest_makes_room_at_the_limit() {
        let (mut carriers, mut rng) = carriers();
        let mut buf = [0; 2000];
        let send = |carriers: &mut Carriers, n, rng: &mut Rng| {
            carriers.send(path(n), &[1], &local(), rng, Time::ZERO);
        };
        (0..MAX_CARRIERS as u16).for_each(|n| send(&mut carriers, n, &mut rng));
        send(&mut carriers, 0, &mut rng);
        assert_eq!((carriers.entries.len(), carriers.over.len()), (MAX_CARRIERS, 0));
        send(&mut carriers, 99, &mut rng);
        assert_eq!(carriers.entries.len(), MAX_CARRIERS);
        assert_eq!(carriers.poll(&mut buf), Some((path(0), TcpAction::Close)));
        // Each has its ClientHello to write, once.
        let mut written = 0;
        while let Some((_, TcpAction::Write(1..))) = carriers.poll(&mut buf) {
            written += 1;
        }
        assert_eq!(written, MAX_CARRIERS);
        // Nobody answers.
        carriers.handle_timeout(carriers.poll_timeout().unwrap());
        assert_eq!((carriers.entries.len(), carriers.over.len()), (0, MAX_OVER));
        assert_eq!(carriers.poll_timeout(), None);
    }

    #[test]
    fn without_tcp_nothing_is_opened() {
        let (mut carriers, mut rng) = carriers();
        carriers.is_enabled = false;
        carriers.send(path(1), &[1], &local(), &mut rng, Time::ZERO);
        assert!(carriers.entries.is_empty() && carriers.poll(&mut [0; 2000]).is_none());
    }
}
