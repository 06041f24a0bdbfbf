//! Ours: two `rit_core::transport::Connection`s, through their public interface alone.

use crate::bulk::{BLOCK, BURST, DELAY, Pair, WINDOW};
use crate::clock::timed;
use rit_core::base::{ContactId, Ecn, Path, PublicKey, Rng, Time};
use rit_core::crypto::{self, Ed25519Signer, Secret, Signer};
use rit_core::handshake::{Contact, PeerPolicy};
use rit_core::transport::{
    Accept, Config, Connection, Local, MAX_DATAGRAM, Open, StreamId, protect,
};
use rit_core::wire::cid::Cid;
use rit_core::wire::packet::Header;
use std::sync::Arc;
use std::time::Duration;

const CONTACT: [u8; 8] = [9; 8];

/// What connections between the two ends are made of.
pub struct Ends {
    contact: Contact,
    a: Local,
    b: Local,
    a_key: PublicKey,
    b_key: PublicKey,
    rng: Rng,
}

impl Ends {
    /// Two ends that wish for datagrams of `datagram` bytes.
    pub fn new(datagram: usize) -> Ends {
        Ends::with_window(datagram, WINDOW)
    }

    /// The same with other windows and send buffers.
    pub(crate) fn with_window(datagram: usize, window: u64) -> Ends {
        let config = Config {
            max_datagram: datagram,
            stream_window: window,
            session_window: window,
            stream_send_buffer: window,
            ..Config::default()
        };
        let [(a, a_key), (b, b_key)] = [1, 2].map(|seed| {
            let signer = Ed25519Signer::from_seed(&[seed; 32]);
            let (key, config) = (signer.public_key(), config.clone());
            (Local { config, provider: crypto::ring(), signer: Arc::new(signer) }, key)
        });
        let contact = Contact { id: ContactId(CONTACT), key: Secret::new([3; 32]) };
        Ends { contact, a, b, a_key, b_key, rng: Rng::from_seed([5; 32]) }
    }

    /// A whole handshake: initiator and responder, both established. Adds the CPU time that the
    /// responder took to `responder`.
    pub fn connect(&mut self, now: Time, responder: &mut Duration) -> (Connection, Connection) {
        let mut a = self.open(now);
        let mut b: Option<Connection> = None;
        let mut buf = [0; MAX_DATAGRAM];
        loop {
            while let Some(sent) = a.poll_transmit(&mut buf, now) {
                let datagram = &mut buf[..sent.len];
                timed(responder, || match &mut b {
                    Some(b) => b.handle_datagram(a_path(), sent.ecn, datagram, now),
                    None => b = Some(self.accept(datagram, now)),
                });
            }
            let b = b.as_mut().expect("the first datagram was sent");
            if a.is_established() && b.is_established() {
                break;
            }
            let mut has_moved = false;
            while let Some(sent) = timed(responder, || b.poll_transmit(&mut buf, now)) {
                a.handle_datagram(b_path(), sent.ecn, &mut buf[..sent.len], now);
                has_moved = true;
            }
            assert!(has_moved, "the handshake stands still");
        }
        (a, b.expect("established"))
    }

    /// The initiator, which has sent nothing yet.
    pub(crate) fn open(&mut self, now: Time) -> Connection {
        let mut dcid = [0; 16];
        dcid[..8].copy_from_slice(&CONTACT);
        self.rng.fill(&mut dcid[8..]);
        let open = Open {
            contact: &self.contact,
            dcid: Cid::new(&dcid).expect("sixteen bytes"),
            path: b_path(),
            peer: PeerPolicy::Exactly(self.b_key),
            reset_token: [4; 16],
        };
        let cid = Cid::local(self.rng.array());
        *Connection::open(self.a.clone(), open, cid, &mut self.rng, now).expect("it opens")
    }

    /// The responder to a first datagram.
    pub(crate) fn accept(&mut self, datagram: &mut [u8], now: Time) -> Connection {
        let header = Header::parse(datagram).expect("a first packet");
        let keys = Connection::first_packet_keys(self.b.provider, &self.contact, &header.dcid);
        let packet = &mut datagram[..header.len];
        let opened = protect::open(&keys, &header, packet, 0).expect("it opens");
        let accept = Accept {
            contact: &self.contact,
            dcid: header.dcid,
            path: a_path(),
            peer: PeerPolicy::Exactly(self.a_key),
            reset_token: [6; 16],
        };
        let remote = header.scid.expect("a long header");
        let cid = Cid::local(self.rng.array());
        let mut b = *Connection::accept(self.b.clone(), accept, remote, cid, &mut self.rng, now)
            .expect("it accepts");
        b.handle_first_packet(&header, &opened, packet, now);
        b
    }
}

pub(crate) fn a_path() -> Path {
    Path::v4([127, 0, 0, 1], 7001)
}

pub(crate) fn b_path() -> Path {
    Path::v4([127, 0, 0, 2], 7002)
}

/// Two connected ends and a stream.
pub struct Ours {
    /// What the connections share with others.
    _ends: Ends,
    a: Connection,
    b: Connection,
    now: Time,
    stream: StreamId,
    wire: Wire,
    block: Vec<u8>,
    largest: usize,
}

/// What connections do not own.
pub struct Prepared {
    ends: Ends,
    wire: Wire,
    block: Vec<u8>,
}

/// One burst's datagrams, back to back.
struct Wire {
    bytes: Vec<u8>,
    /// Length and mark of each.
    sent: Vec<(usize, Ecn)>,
}

impl Ours {
    /// Bytes of one end's struct.
    pub const CONNECTION_BYTES: usize = size_of::<Connection>();

    /// Connected, with an open stream.
    pub fn new(datagram: usize) -> Ours {
        Ours::connect(Ours::prepare(datagram))
    }

    /// All but the connections.
    pub fn prepare(datagram: usize) -> Prepared {
        let wire = Wire { bytes: vec![0; BURST * MAX_DATAGRAM], sent: Vec::with_capacity(BURST) };
        Prepared { ends: Ends::new(datagram), wire, block: vec![7; BLOCK] }
    }

    /// The connections, with an open stream.
    pub fn connect(prepared: Prepared) -> Ours {
        let Prepared { mut ends, wire, block } = prepared;
        let (mut a, b) = ends.connect(Time::ZERO, &mut Duration::default());
        let stream = a.stream_open().expect("the peer lets us");
        Ours { _ends: ends, a, b, now: Time::ZERO, stream, wire, block, largest: 0 }
    }
}

/// A burst of one end's datagrams, taken in by the other.
fn burst(from: &mut Connection, to: &mut Connection, path: Path, wire: &mut Wire, now: Time) {
    wire.sent.clear();
    let mut start = 0;
    while wire.sent.len() < BURST {
        let Some(sent) = from.poll_transmit(&mut wire.bytes[start..], now) else { break };
        wire.sent.push((sent.len, sent.ecn));
        start += sent.len;
    }
    let mut rest = &mut wire.bytes[..start];
    for (len, ecn) in &wire.sent {
        let (datagram, more) = rest.split_at_mut(*len);
        to.handle_datagram(path, *ecn, datagram, now);
        rest = more;
    }
    settle(from, now);
    settle(to, now);
}

/// What whoever drives a connection does after each batch.
fn settle(end: &mut Connection, now: Time) {
    while end.poll_event().is_some() {}
    if end.poll_timeout().is_some_and(|at| at <= now) {
        end.handle_timeout(now);
    }
}

impl Pair for Ours {
    fn write(&mut self, room: usize) -> usize {
        self.a.stream_write(self.stream, &self.block[..room]).unwrap_or(0)
    }

    fn forward(&mut self) -> usize {
        burst(&mut self.a, &mut self.b, a_path(), &mut self.wire, self.now);
        self.now = self.now + DELAY;
        self.largest = self.wire.sent.iter().map(|sent| sent.0).fold(self.largest, usize::max);
        self.wire.sent.len()
    }

    fn read(&mut self) -> usize {
        let mut read = 0;
        while let Ok(n @ 1..) = self.b.stream_read(self.stream, &mut self.block) {
            read += n;
        }
        read
    }

    fn backward(&mut self) -> usize {
        burst(&mut self.b, &mut self.a, b_path(), &mut self.wire, self.now);
        self.now = self.now + DELAY;
        self.wire.sent.len()
    }

    fn wait(&mut self) {
        let next = [self.a.poll_timeout(), self.b.poll_timeout()].into_iter().flatten().min();
        self.now = self.now.max(next.expect("a connection has a timer"));
        settle(&mut self.a, self.now);
        settle(&mut self.b, self.now);
    }

    fn take_largest(&mut self) -> usize {
        std::mem::take(&mut self.largest)
    }
}
