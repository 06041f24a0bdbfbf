//! Fuzz body over one established connection: a peer with valid keys says whatever the script
//! holds, while the application above reads, writes and closes.
//!
//! Checked: no panic, polls come to an end, timers do not stand still, buffers stay bounded.

use crate::sim::endpoint::Endpoint;
use crate::sim::raw_peer::RawPeer;
use rit_core::base::{ContactId, Ecn, Path, Side, Time};
use rit_core::crypto::Secret;
use rit_core::handshake::{Contact, PeerPolicy};
use rit_core::transport::{Config, Connection, Event, StreamId};
use rit_core::wire::codec::{Reader, Writer};
use rit_core::wire::frame;
use std::time::Duration;

const SESSION_WINDOW: u64 = 64 * 1024;
const DATAGRAM_BUFFER: u64 = 2000;
const ROUNDS_MAX: usize = 2000;

struct Driver {
    endpoint: Endpoint,
    peer: RawPeer,
    streams: Vec<StreamId>,
    now: Time,
}

/// Frames under valid session keys, from either side.
pub fn connection(data: &[u8]) {
    let mut r = Reader::new(data);
    let Ok(mode) = r.u8() else { return };
    let side = if mode & 1 == 0 { Side::Initiator } else { Side::Responder };
    let mut driver = Driver::new(side);
    // An odd script starts before the handshake is over.
    for _ in 0..if mode & 2 == 0 { 8 } else { mode >> 4 } {
        driver.exchange();
    }
    while let Ok(op) = r.u8() {
        if driver.run(op, &mut r).is_none() {
            break;
        }
        driver.drain();
    }
    driver.rest();
}

impl Driver {
    /// `side` is the raw peer's.
    fn new(side: Side) -> Driver {
        let config = Config {
            stream_window: SESSION_WINDOW / 4,
            session_window: SESSION_WINDOW,
            stream_send_buffer: SESSION_WINDOW / 4,
            max_streams: 16,
            datagram_send_buffer: DATAGRAM_BUFFER as usize,
            datagram_recv_buffer: DATAGRAM_BUFFER as usize,
            datagram_queue: 8,
            ..Config::default()
        };
        let mut endpoint = Endpoint::new([1; 32], config);
        let contact = Contact { id: ContactId([7; 8]), key: Secret::new([3; 32]) };
        let peer = RawPeer::new(side, [2; 32], contact.clone());
        let now = Time::from_micros(1_000_000);
        if side == Side::Initiator {
            endpoint.invite(contact, PeerPolicy::Anyone);
        } else {
            let policy = PeerPolicy::Exactly(peer.public_key());
            endpoint.open(&contact, path(), policy, now);
        }
        Driver { endpoint, peer, streams: Vec::new(), now }
    }

    fn connection(&mut self) -> Option<&mut Connection> {
        self.endpoint.connections.first_mut()
    }

    /// Everything each has to say, to the other.
    fn exchange(&mut self) {
        while let Some(mut datagram) = self.peer.poll_transmit() {
            self.hand_over(&mut datagram);
        }
        for mut datagram in self.drain() {
            self.peer.handle_datagram(&mut datagram);
        }
    }

    /// Takes everything out; fails if it never ends.
    fn drain(&mut self) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        let mut buf = [0; 1500];
        let now = self.now;
        while let Some(transmit) = self.endpoint.poll_transmit(&mut buf, now) {
            sent.push(buf[..transmit.len].to_vec());
            assert!(sent.len() < ROUNDS_MAX, "sends without end");
        }
        let Some(connection) = self.endpoint.connections.first_mut() else { return sent };
        let mut events = 0;
        while let Some(event) = connection.poll_event() {
            if let Event::Opened(id) = event {
                self.streams.push(id);
            }
            events += 1;
            assert!(events < ROUNDS_MAX, "events without end");
        }
        let stats = connection.stats();
        assert!(stats.buffered_bytes <= 2 * SESSION_WINDOW, "{stats:?}");
        // Streams opened by us and by the peer, and those that wait for their last ACK.
        assert!(stats.streams <= 2 * 1024, "{stats:?}");
        assert!(stats.datagram_bytes <= 2 * DATAGRAM_BUFFER, "{stats:?}");
        sent
    }

    /// One step of the script; none at its end.
    fn run(&mut self, op: u8, r: &mut Reader<'_>) -> Option<()> {
        match op % 8 {
            0 | 1 => {
                let len = usize::from(r.u8().ok()?).min(r.remaining());
                let frames = r.bytes(len).ok()?;
                self.hear(frames, op >= 0xf0);
            }
            2 => {
                let (id, offset) = (r.varint().ok()?, r.varint().ok()?);
                let (len, fin) = (usize::from(r.u16().ok()?) % 1200, r.u8().ok()? & 1 != 0);
                let mut buf = [0; 1300];
                let mut w = Writer::new(&mut buf);
                let _ = frame::write_stream(&mut w, id, offset, len, fin);
                let len = w.len();
                self.hear(&buf[..len], false);
            }
            3 => self.pass(Duration::from_millis(r.varint().ok()? % 100_000)),
            4 => self.exchange(),
            5 => self.wake()?,
            _ => self.command(r)?,
        }
        Some(())
    }

    fn hand_over(&mut self, datagram: &mut [u8]) {
        // A script has no byte for the mark: the length says it.
        let ecn = Ecn::from_bits(datagram.len() as u8);
        self.endpoint.handle_datagram(path(), ecn, datagram, self.now);
    }

    fn hear(&mut self, frames: &[u8], contact: bool) {
        if let Some(mut datagram) = self.peer.say(frames, contact) {
            self.hand_over(&mut datagram);
        }
    }

    fn pass(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.endpoint.handle_timeout(self.now);
    }

    /// Sleeps until the next deadline, as a port would.
    fn wake(&mut self) -> Option<()> {
        let deadline = self.endpoint.poll_timeout()?;
        self.now = self.now.max(deadline);
        self.endpoint.handle_timeout(self.now);
        Some(())
    }

    fn command(&mut self, r: &mut Reader<'_>) -> Option<()> {
        let (what, which, len) = (r.u8().ok()?, r.u8().ok()?, usize::from(r.u8().ok()?));
        let now = self.now;
        let id = self.streams.get(usize::from(which) % self.streams.len().max(1)).copied();
        let id = id.unwrap_or(StreamId(u64::from(which)));
        let mut buf = vec![0; len * 64];
        let connection = self.connection()?;
        match what % 9 {
            0 | 1 => {
                if let Ok(id) = connection.stream_open() {
                    self.streams.push(id);
                }
            }
            2 => drop(connection.stream_write(id, &buf)),
            3 => drop(connection.stream_read(id, &mut buf)),
            4 => drop(connection.stream_finish(id)),
            5 => drop(connection.stream_reset(id, 1)),
            6 => drop(connection.stream_stop(id, 2)),
            7 => drop(connection.stream_release(id, 3)),
            _ if which > 250 => connection.close(4, now),
            _ if which > 240 => connection.update_keys(),
            _ if which > 230 => {
                let expires = Some(now + Duration::from_millis(u64::from(which)));
                let _ = connection.datagram_send([&[which], &buf], expires);
            }
            _ if which > 220 => {
                connection.datagram_sort(|head| Some((u64::from(*head.first()?), 1)));
                let _ = connection.datagram_read(len as u64, &mut [0; 64]);
            }
            _ => drop(connection.stream_state(id)),
        }
        Some(())
    }

    /// Left alone, it comes to rest: timers move on until it is closed.
    fn rest(&mut self) {
        let mut stuck = 0;
        for _ in 0..ROUNDS_MAX {
            self.drain();
            if self.wake().is_none() {
                return;
            }
            self.drain();
            // Several things may be due at one moment, but not without end.
            let is_stuck = self.endpoint.poll_timeout().is_some_and(|at| at <= self.now);
            stuck = if is_stuck { stuck + 1 } else { 0 };
            assert!(stuck < 8, "a timer stands still at {:?}", self.now);
        }
        panic!("never comes to rest");
    }
}

/// The peer's address, and, to the raw peer, ours.
fn path() -> Path {
    Path::v4([10, 0, 0, 9], 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peer_gets_past_the_handshake_from_either_side() {
        for side in [Side::Initiator, Side::Responder] {
            let mut driver = Driver::new(side);
            (0..4).for_each(|_| driver.exchange());
            assert!(driver.peer.is_up);
            assert!(driver.connection().is_some_and(|connection| connection.is_established()));
            let id = if side == Side::Initiator { 0 } else { 1 };
            let frames = [0x0f, id, 0, 5, b'h', b'e', b'l', b'l', b'o'];
            driver.hear(&frames, false);
            driver.drain();
            assert_eq!(driver.streams, [StreamId(u64::from(id))]);
        }
    }
}
