//! Scenarios: a peer with valid keys that breaks the protocol is closed with the right error; one
//! that keeps to it, but chatters for hours to no end, costs bounded memory and hardly more
//! datagrams than it sends.

use rit_core::base::{ContactId, Ecn, Path, Side, Time};
use rit_core::crypto::Secret;
use rit_core::handshake::{Contact, PeerPolicy};
use rit_core::transport::{CloseReason, Config, Connection, Event, StreamId, TransportCode};
use rit_core::wire::ack;
use rit_core::wire::codec::Writer;
use rit_core::wire::frame::{self, Close};
use rit_tests::heap::{Counting, most_bytes};
use rit_tests::sim::endpoint::Endpoint;
use rit_tests::sim::raw_peer::RawPeer;
use std::time::Duration;

#[global_allocator]
static HEAP: Counting = Counting;

const MAX_STREAMS: u64 = 16;
const STREAM_WINDOW: u64 = 16 * 1024;
const SESSION_WINDOW: u64 = 64 * 1024;

/// An established connection with a rude initiator at its other end.
struct Victim {
    endpoint: Endpoint,
    peer: RawPeer,
    now: Time,
    sent: u64,
    /// It acknowledges nothing.
    peer_is_deaf: bool,
    events: Vec<Event>,
}

fn peer_path() -> Path {
    Path::v4([10, 0, 0, 9], 9)
}

/// The payload of a packet.
fn frames(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0; 1300];
    let mut w = Writer::new(&mut buf);
    write(&mut w);
    let len = w.len();
    buf[..len].to_vec()
}

fn stream(id: u64, offset: u64, data: &[u8], fin: bool) -> Vec<u8> {
    frames(|w| {
        let room = frame::write_stream(w, id, offset, data.len(), fin).expect("it fits");
        room.copy_from_slice(data);
    })
}

impl Victim {
    fn new() -> Victim {
        let config = Config {
            stream_window: STREAM_WINDOW,
            session_window: SESSION_WINDOW,
            stream_send_buffer: STREAM_WINDOW,
            max_streams: MAX_STREAMS,
            ..Config::default()
        };
        let mut endpoint = Endpoint::new([1; 32], config);
        let contact = Contact { id: ContactId([7; 8]), key: Secret::new([3; 32]) };
        let peer = RawPeer::new(Side::Initiator, [2; 32], contact.clone());
        endpoint.invite(contact, PeerPolicy::Anyone);
        let now = Time::from_micros(1_000_000);
        let mut victim =
            Victim { endpoint, peer, now, sent: 0, peer_is_deaf: false, events: Vec::new() };
        while !victim.peer.is_up || !victim.connection().is_established() {
            victim.exchange();
        }
        victim.exchange();
        assert_eq!(victim.connection().poll_event(), Some(Event::Connected));
        victim
    }

    fn connection(&mut self) -> &mut Connection {
        &mut self.endpoint.connections[0]
    }

    fn exchange(&mut self) {
        while let Some(mut datagram) = self.peer.poll_transmit() {
            self.endpoint.handle_datagram(peer_path(), Ecn::NotEct, &mut datagram, self.now);
        }
        let mut buf = [0; 1500];
        while let Some(transmit) = self.endpoint.poll_transmit(&mut buf, self.now) {
            self.peer.handle_datagram(&mut buf[..transmit.len]);
        }
    }

    /// Hears a packet of these frames, answers, and reads what there is to read.
    fn hear(&mut self, frames: &[u8]) {
        let mut datagram = self.peer.say(frames, false).expect("it can be sealed");
        self.endpoint.handle_datagram(peer_path(), Ecn::NotEct, &mut datagram, self.now);
        self.endpoint.handle_timeout(self.now);
        let mut buf = [0; 1500];
        while let Some(transmit) = self.endpoint.poll_transmit(&mut buf, self.now) {
            self.sent += 1;
            if !self.peer_is_deaf {
                self.peer.handle_datagram(&mut buf[..transmit.len]);
            }
        }
        let connection = &mut self.endpoint.connections[0];
        while let Some(event) = connection.poll_event() {
            if let Event::Stream(id) | Event::Opened(id) = event {
                while matches!(connection.stream_read(id, &mut buf), Ok(1..)) {}
                if connection.stream_state(id).is_some_and(|state| state.reset.is_some()) {
                    let _ = connection.stream_release(id, 0);
                }
            } else if event != Event::Datagrams {
                self.events.push(event);
            }
        }
    }

    #[track_caller]
    fn expect_closed(&mut self, code: TransportCode) {
        let is_meant = |event: &Event| match event {
            Event::Closed(CloseReason::Violation { code: given, .. }) => *given == code.0,
            _ => false,
        };
        assert!(self.events.iter().any(is_meant), "{:?}, not {code:?}", self.events);
        assert!(self.sent > 0, "the peer is not told");
    }
}

#[test]
fn what_breaks_the_protocol_is_closed_with_its_error() {
    let over = MAX_STREAMS << 2;
    let cases: Vec<(&str, TransportCode, Vec<Vec<u8>>)> = vec![
        ("an ACK of the future", TransportCode::PROTOCOL, vec![ack(1 << 20..=1 << 20)]),
        ("a stream too many", TransportCode::STREAM_LIMIT, vec![stream(over, 0, b"x", false)]),
        ("a one-way stream", TransportCode::STREAM_LIMIT, vec![stream(2, 0, b"x", false)]),
        (
            "a stream of ours, not open",
            TransportCode::STREAM_STATE,
            vec![stream(1, 0, b"x", false)],
        ),
        (
            "credit for a stream not open",
            TransportCode::STREAM_STATE,
            vec![frames(|w| frame::write_max_stream_data(w, 1, 1 << 20).expect("it fits"))],
        ),
        (
            "more than a stream's window",
            TransportCode::FLOW_CONTROL,
            vec![stream(0, STREAM_WINDOW, b"x", false)],
        ),
        (
            "more than the session's window",
            TransportCode::FLOW_CONTROL,
            (0..5).map(|i| stream(i << 2, STREAM_WINDOW - 1, b"x", false)).collect(),
        ),
        (
            "bytes behind the end",
            TransportCode::FINAL_SIZE,
            vec![stream(0, 5, b"", true), stream(0, 9, b"x", false)],
        ),
        (
            "a reset before the end of what came",
            TransportCode::FINAL_SIZE,
            vec![stream(0, 5, b"x", false), reset(0, 3)],
        ),
        (
            "HANDSHAKE_DONE from the initiator",
            TransportCode::PROTOCOL,
            vec![frames(|w| frame::write_handshake_done(w).expect("it fits"))],
        ),
        ("an unknown frame", TransportCode::FRAME_ENCODING, vec![vec![0x3f, 0, 0, 0]]),
        ("half a frame", TransportCode::FRAME_ENCODING, vec![vec![0, 0, 0, 0x0e, 0]]),
    ];
    for (what, code, packets) in cases {
        println!("{what}");
        let mut victim = Victim::new();
        for packet in packets {
            victim.hear(&packet);
        }
        victim.expect_closed(code);
    }
}

fn ack(range: std::ops::RangeInclusive<u64>) -> Vec<u8> {
    frames(|w| ack::write_ack(w, 0, std::iter::once(range), None).expect("it fits"))
}

fn reset(id: u64, size: u64) -> Vec<u8> {
    frames(|w| frame::write_reset_stream(w, id, 0, size).expect("it fits"))
}

/// What the peer says over and over; the number is the round's.
type Chatter = (&'static str, fn(u64) -> Vec<u8>);

const CHATTERS: &[Chatter] = &[
    ("PING", |_| frames(|w| frame::write_ping(w).expect("it fits"))),
    ("PADDING", |_| vec![0; 4]),
    ("PATH_CHALLENGE", |n| {
        frames(|w| frame::write_path_challenge(w, &n.to_be_bytes()).expect("it fits"))
    }),
    ("shrinking MAX_DATA", |n| {
        frames(|w| frame::write_max_data(w, 10_000_u64.saturating_sub(n)).expect("it fits"))
    }),
    ("shrinking MAX_STREAMS", |n| {
        frames(|w| frame::write_max_streams(w, 10_000_u64.saturating_sub(n)).expect("it fits"))
    }),
    ("DATA_BLOCKED", |n| frames(|w| frame::write_data_blocked(w, n).expect("it fits"))),
    ("late CRYPTO", |n| {
        frames(|w| {
            let room = frame::write_crypto(w, n * 100, 10).expect("it fits");
            room.fill(7);
        })
    }),
    ("one byte after the other", |n| stream(0, n, b"x", false)),
    ("every second byte, for ever", |n| stream(0, (n * 2 + 1) % STREAM_WINDOW, b"x", false)),
    ("the same byte", |_| stream(0, 3, b"x", false)),
    ("empty STREAM frames", |n| stream((n % MAX_STREAMS) << 2, 0, b"", false)),
    ("a stream opened and reset", |n| reset(n << 2, 0)),
    ("STOP_SENDING", |n| {
        frames(|w| frame::write_stop_sending(w, (n % MAX_STREAMS) << 2, n).expect("it fits"))
    }),
    ("ACKs with holes", |_| {
        frames(|w| ack::write_ack(w, 0, std::iter::once(0..=0), None).expect("it fits"))
    }),
    ("datagrams nobody reads", |n| {
        frames(|w| frame::write_datagram(w, (n % 1000) as usize).expect("it fits").fill(7))
    }),
    ("empty datagrams", |_| vec![0x31, 0, 0x31, 0, 0x31, 0, 0x30]),
];

#[test]
fn chatter_for_hours_costs_what_it_is_worth() {
    const ROUNDS: u64 = 20_000;
    for (what, say) in CHATTERS {
        let mut victim = Victim::new();
        let (sent, heap) = most_bytes(|| {
            for n in 0..ROUNDS {
                // Almost four hours.
                victim.now = victim.now + Duration::from_millis(700);
                victim.hear(&say(n));
            }
            victim.sent
        });
        println!("{what}: {sent} datagrams for {ROUNDS}, {heap} bytes of heap");
        assert!(victim.events.is_empty(), "{what}: {:?}", victim.events);
        assert!(victim.connection().is_established(), "{what}");
        assert!(sent <= ROUNDS + ROUNDS / 2, "{what}: {sent} datagrams");
        assert!(heap <= 256 * 1024, "{what}: {heap} bytes of heap");
    }
}

#[test]
fn a_peer_that_acknowledges_nothing_is_given_up() {
    let mut victim = Victim::new();
    victim.peer_is_deaf = true;
    let start = victim.now;
    while victim.events.is_empty() {
        assert!(victim.now < start + Duration::from_secs(90), "it goes on for ever");
        victim.now = victim.now + Duration::from_millis(700);
        victim.hear(&frames(|w| frame::write_path_challenge(w, &[7; 8]).expect("it fits")));
    }
    assert_eq!(victim.events, [Event::Closed(CloseReason::TimedOut)]);
    assert!(victim.now > start + Duration::from_secs(60));
}

#[test]
fn a_peer_that_closes_is_believed_once() {
    let mut victim = Victim::new();
    let close = Close { is_application: true, code: 9, reason: b"" };
    let close = frames(|w| frame::write_close(w, &close).expect("it fits"));
    victim.hear(&close);
    assert_eq!(victim.events, [Event::Closed(CloseReason::Peer(9))]);
    for _ in 0..100 {
        victim.hear(&close);
        victim.hear(&stream(0, 0, b"x", false));
    }
    assert_eq!((victim.events.len(), victim.sent), (1, 0));
    assert!(victim.connection().stream_state(StreamId(0)).is_none());
}
