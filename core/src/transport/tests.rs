//! A pair of connections joined by a lossy pipe in virtual time.

mod deadlines;
mod ecn;
#[cfg(feature = "media")]
mod pipe;
mod priority;

use super::*;
use crate::base::{ContactId, PublicKey, Rng, Side, Time};
use crate::crypto::{self, Ed25519Signer, Provider, Secret, Signer};
use crate::handshake::{Contact, PeerPolicy, TlsRole};
use crate::wire::ack;
use crate::wire::cid::Cid;
use crate::wire::codec::Writer;
use crate::wire::frame;
use crate::wire::packet::{Header, TruncatedPn, write_short};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use std::vec::Vec;

mod datagrams;
mod moves;
mod outage;

struct Pair {
    a: Connection,
    b: Option<Connection>,
    contact: Contact,
    b_local: Local,
    b_peer: PeerPolicy,
    rng: Rng,
    now: Time,
    wire: VecDeque<(Time, bool, Vec<u8>, Ecn)>,
    loss_percent: u64,
    /// Longer datagrams are lost.
    path_mtu: usize,
    /// What the path makes of marks; `None`: it loses the datagram.
    marks: fn(Ecn) -> Option<Ecn>,
    /// Where A's datagrams come from.
    a_path: Path,
    delay: Duration,
    /// Time between two datagrams of one direction.
    gap: Duration,
    a_events: Vec<Event>,
    b_events: Vec<Event>,
    datagrams: usize,
}

fn path(last: u8) -> Path {
    Path::v4([127, 0, 0, last], 7000 + u16::from(last))
}

fn local(seed: u8, config: Config, provider: &'static dyn Provider) -> Local {
    Local { config, provider, signer: Arc::new(Ed25519Signer::from_seed(&[seed; 32])) }
}

impl Pair {
    fn new(config: Config) -> Pair {
        let key = |seed| Ed25519Signer::from_seed(&[seed; 32]).public_key();
        Pair::with_peers(config, PeerPolicy::Exactly(key(2)), PeerPolicy::Exactly(key(1)))
    }

    fn with_peers(config: Config, a_expects: PeerPolicy, b_peer: PeerPolicy) -> Pair {
        let contact = Contact { id: ContactId([9; 8]), key: Secret::new([3; 32]) };
        let mut rng = Rng::from_seed([5; 32]);
        let mut dcid = [9; 16];
        rng.fill(&mut dcid[8..]);
        let open = Open {
            contact: &contact,
            dcid: Cid::new(&dcid).unwrap(),
            path: path(2),
            peer: a_expects,
            reset_token: [1; 16],
        };
        let a_local = local(1, config.clone(), crypto::ring());
        let a = *Connection::open(a_local, open, Cid::local([1; 8]), &mut rng, Time::ZERO).unwrap();
        Pair {
            a,
            b: None,
            contact,
            b_local: local(2, config, crypto::rustcrypto()),
            b_peer,
            rng,
            now: Time::ZERO,
            wire: VecDeque::new(),
            loss_percent: 0,
            path_mtu: usize::MAX,
            marks: Some,
            a_path: path(1),
            delay: Duration::from_millis(10),
            gap: Duration::ZERO,
            a_events: Vec::new(),
            b_events: Vec::new(),
            datagrams: 0,
        }
    }

    fn deliver(&mut self, to_b: bool, mut datagram: Vec<u8>, ecn: Ecn) {
        if !to_b {
            return self.a.handle_datagram(path(2), ecn, &mut datagram, self.now);
        }
        if let Some(b) = &mut self.b {
            return b.handle_datagram(self.a_path, ecn, &mut datagram, self.now);
        }
        let header = Header::parse(&datagram).unwrap();
        let provider = self.b_local.provider;
        let keys = Connection::first_packet_keys(provider, &self.contact, &header.dcid);
        let packet = &mut datagram[..header.len];
        let opened = protect::open(&keys, &header, packet, 0).unwrap();
        let accept = Accept {
            contact: &self.contact,
            dcid: header.dcid,
            path: path(1),
            peer: self.b_peer.clone(),
            reset_token: [2; 16],
        };
        let (scid, cid) = (header.scid.unwrap(), Cid::local([2; 8]));
        let local = self.b_local.clone();
        let mut b = *Connection::accept(local, accept, scid, cid, &mut self.rng, self.now).unwrap();
        b.handle_first_packet(&header, &opened, packet, self.now);
        self.b = Some(b);
    }

    /// One round: send all, then jump to the next moment at which something happens.
    fn step(&mut self) -> bool {
        let mut buf = [0; MAX_DATAGRAM];
        let now = self.now;
        self.issue_cids();
        while let Some(transmit) = self.a.poll_transmit(&mut buf, now) {
            self.send(true, &buf[..transmit.len], transmit.ecn);
        }
        while let Some(transmit) = self.b.as_mut().and_then(|b| b.poll_transmit(&mut buf, now)) {
            // Nobody is at other addresses.
            if transmit.path == self.a_path {
                self.send(false, &buf[..transmit.len], transmit.ecn);
            }
        }
        let timers = [self.a.poll_timeout(), self.b.as_ref().and_then(|b| b.poll_timeout())];
        let next = timers.into_iter().flatten().chain(self.wire.front().map(|x| x.0)).min();
        let Some(next) = next else { return false };
        self.now = self.now.max(next);
        while self.wire.front().is_some_and(|x| x.0 <= self.now) {
            let (_, to_b, datagram, ecn) = self.wire.pop_front().unwrap();
            self.deliver(to_b, datagram, ecn);
        }
        self.a.handle_timeout(self.now);
        if let Some(b) = &mut self.b {
            b.handle_timeout(self.now);
        }
        self.drain_events();
        true
    }

    /// What a node does for its connections.
    fn issue_cids(&mut self) {
        for connection in core::iter::once(&mut self.a).chain(&mut self.b) {
            while connection.wants_cid() {
                let (cid, token) = (Cid::local(self.rng.array()), self.rng.array());
                connection.issue_cid(cid, token);
            }
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.a.poll_event() {
            self.a_events.push(event);
        }
        while let Some(event) = self.b.as_mut().and_then(|b| b.poll_event()) {
            self.b_events.push(event);
        }
    }

    fn send(&mut self, to_b: bool, datagram: &[u8], ecn: Ecn) {
        self.datagrams += 1;
        let Some(ecn) = (self.marks)(ecn) else { return };
        if self.rng.below(100) >= self.loss_percent && datagram.len() <= self.path_mtu {
            let last = self.wire.iter().rfind(|(_, other, ..)| *other == to_b);
            let free = last.map_or(Time::ZERO, |(at, ..)| *at + self.gap);
            let at = free.max(self.now + self.delay);
            let index = self.wire.partition_point(|(other, ..)| *other <= at);
            self.wire.insert(index, (at, to_b, datagram.to_vec(), ecn));
        }
    }

    fn run_until(&mut self, mut done: impl FnMut(&mut Pair) -> bool) {
        for _ in 0..200_000 {
            if done(self) {
                return;
            }
            assert!(self.step(), "nothing left to happen");
        }
        panic!("no end in sight at {:?}", self.now);
    }

    fn connected(config: Config) -> Pair {
        let mut pair = Pair::new(config);
        pair.run_until(|p| p.b.as_ref().is_some_and(|b| b.is_established()));
        pair
    }
}

/// A pair that has settled, and a stream on which a byte of A's was acknowledged and read.
fn settled() -> (Pair, StreamId) {
    let mut pair = Pair::connected(Config::default());
    let id = pair.a.stream_open().unwrap();
    pair.a.stream_write(id, b"x").unwrap();
    pair.run_until(|p| p.a.is_confirmed && p.a.stats().buffered_bytes == 0);
    assert_eq!(pair.b.as_mut().unwrap().stream_read(id, &mut [0; 2]), Ok(1));
    (pair, id)
}

fn no_keep_alive() -> Config {
    Config { keep_alive: Duration::ZERO, ..Config::default() }
}

#[test]
fn first_datagram_fits_512_bytes_and_data_flows_after_one_round_trip() {
    let mut pair = Pair::new(Config::default());
    let mut buf = [0; MAX_DATAGRAM];
    let first = pair.a.poll_transmit(&mut buf, pair.now).unwrap();
    assert!(first.len <= 512, "{}", first.len);
    pair.send(true, &buf[..first.len], first.ecn);
    pair.run_until(|p| p.a.is_established());
    assert_eq!(pair.now, Time::from_micros(20_000));
    let id = pair.a.stream_open().unwrap();
    assert_eq!(pair.a.stream_write(id, b"hello"), Ok(5));
    pair.run_until(|p| p.b_events.contains(&Event::Opened(id)));
    assert_eq!(pair.now, Time::from_micros(30_000));
    let b = pair.b.as_mut().unwrap();
    let mut out = [0; 10];
    assert_eq!(b.stream_read(id, &mut out), Ok(5));
    assert_eq!(&out[..5], b"hello");
    assert_eq!(b.peer_key(), Some(Ed25519Signer::from_seed(&[1; 32]).public_key()));
    pair.run_until(|p| p.a.is_confirmed);
}

#[test]
fn a_mebibyte_each_way_arrives_over_bad_links_whoever_is_the_client_of_tls() {
    for (seed, loss) in [(1u8, 0), (2, 5), (3, 20), (4, 20), (5, 30), (6, 0), (7, 5), (8, 30)] {
        let role = if seed < 6 { TlsRole::Client } else { TlsRole::Server };
        let mut pair = Pair::new(Config { role, ..Config::default() });
        pair.rng = Rng::from_seed([seed; 32]);
        pair.loss_percent = loss;
        pair.run_until(|p| p.b.as_ref().is_some_and(|b| b.is_established()));
        pair.run_until(|p| p.a.is_established());
        let id = pair.a.stream_open().unwrap();
        let data: Vec<u8> = (0..1u32 << 20).map(|i| ((i * 31) >> 3) as u8).collect();
        let (mut wrote, mut read) = ([0, 0], [Vec::new(), Vec::new()]);
        pair.run_until(|p| {
            let mut is_over = true;
            for side in 0..2 {
                let b = p.b.as_mut().unwrap();
                let end = if side == 0 { &mut p.a } else { b };
                while wrote[side] < data.len() {
                    match end.stream_write(id, &data[wrote[side]..]) {
                        Ok(n) => wrote[side] += n,
                        Err(StreamError::Blocked | StreamError::Unknown) => break,
                        Err(error) => panic!("{error}"),
                    }
                    if wrote[side] == data.len() {
                        end.stream_finish(id).unwrap();
                    }
                }
                let mut out = [0; 5000];
                while let Ok(n) = end.stream_read(id, &mut out) {
                    read[side].extend_from_slice(&out[..n]);
                }
                is_over &= read[side].len() == data.len();
                assert!(end.stats().buffered_bytes <= 2 * end.config.session_window);
            }
            is_over
        });
        assert!(read[0] == data && read[1] == data, "seed {seed}");
    }
}

#[test]
fn an_unexpected_peer_ends_the_handshake_on_both_sides() {
    let stranger = PublicKey([7; 32]);
    let any = PeerPolicy::Anyone;
    let mut pair = Pair::with_peers(no_keep_alive(), PeerPolicy::Exactly(stranger), any.clone());
    while pair.step() {}
    assert!(matches!(pair.a_events[..], [Event::Closed(CloseReason::Untrusted(_))]));
    assert!(matches!(pair.b_events[..], [Event::Closed(CloseReason::PeerTransport { .. })]));
    let mut pair = Pair::with_peers(no_keep_alive(), any, PeerPolicy::Exactly(stranger));
    while pair.step() {}
    assert!(matches!(pair.b_events[..], [Event::Closed(CloseReason::Untrusted(_))]));
    assert!(matches!(pair.a_events.last(), Some(Event::Closed(_))), "{:?}", pair.a_events);
    assert!(pair.a.is_closed() && pair.b.unwrap().is_closed());
}

#[test]
fn close_reaches_the_peer_and_both_ends_drain() {
    let mut pair = Pair::connected(no_keep_alive());
    pair.a.close(42, pair.now);
    pair.drain_events();
    while pair.step() {}
    assert!(pair.a_events.contains(&Event::Closed(CloseReason::Local(42))));
    assert!(pair.b_events.contains(&Event::Closed(CloseReason::Peer(42))));
}

#[test]
fn silence_ends_by_idle_timeout_and_keep_alive_prevents_it() {
    let mut pair = Pair::connected(no_keep_alive());
    while pair.step() {}
    assert!(pair.a_events.contains(&Event::Closed(CloseReason::TimedOut)));
    assert!(pair.now.as_micros() < 31_000_000, "{:?}", pair.now);
    let mut pair = Pair::connected(Config::default());
    let end = Time::from_micros(300_000_000);
    pair.run_until(|p| p.now > end);
    assert!(pair.a.is_established() && pair.b.as_ref().unwrap().is_established());
    assert!(pair.datagrams < 200, "{}", pair.datagrams);
}

#[test]
fn a_dead_peer_is_given_up_in_the_handshake() {
    let mut pair = Pair::new(Config::default());
    pair.loss_percent = 100;
    while pair.step() {}
    assert_eq!(pair.a_events, [Event::Closed(CloseReason::TimedOut)]);
    assert_eq!(pair.now, Time::from_micros(10_000_000));
}

#[test]
fn a_slow_reader_holds_the_writer_at_the_window() {
    let config = Config { stream_window: 10_000, stream_send_buffer: 5_000, ..Config::default() };
    let mut pair = Pair::connected(config);
    let id = pair.a.stream_open().unwrap();
    let end = pair.now + Duration::from_secs(20);
    let mut wrote = 0;
    pair.run_until(|p| {
        while let Ok(n) = p.a.stream_write(id, &[7; 1000]) {
            wrote += n;
        }
        p.now > end
    });
    assert_eq!(wrote, 15_000);
    let b = pair.b.as_mut().unwrap();
    assert_eq!(b.stats().buffered_bytes, 10_000);
    pair.b_events.clear();
    pair.a_events.clear();
    let mut out = [0; 20_000];
    assert_eq!(b.stream_read(id, &mut out).unwrap(), 10_000);
    pair.run_until(|p| p.a_events.contains(&Event::Stream(id)));
    assert!(pair.a.stream_state(id).unwrap().is_writable);
}

#[test]
fn reset_stop_and_release_free_streams_and_raise_the_limit() {
    let mut pair = Pair::connected(Config { max_streams: 2, ..Config::default() });
    for round in 0..10 {
        let id = pair.a.stream_open().unwrap();
        let other = pair.a.stream_open().unwrap();
        assert_eq!(pair.a.stream_open(), Err(StreamError::Limit), "round {round}");
        pair.a.stream_write(id, b"x").unwrap();
        pair.a.stream_write(other, b"y").unwrap();
        pair.run_until(|p| p.b_events.contains(&Event::Opened(other)));
        pair.a.stream_reset(id, 5).unwrap();
        let b = pair.b.as_mut().unwrap();
        b.stream_stop(other, 6).unwrap();
        pair.run_until(|p| {
            let b = p.b.as_ref().unwrap();
            b.stream_state(id).is_some_and(|s| s.reset == Some(5))
                && p.a.stream_state(other).is_some_and(|s| s.stopped == Some(6))
        });
        for id in [id, other] {
            pair.a.stream_release(id, 0).unwrap();
            pair.b.as_mut().unwrap().stream_release(id, 0).unwrap();
        }
        pair.run_until(|p| p.a.stats().streams == 0 && p.b.as_ref().unwrap().stats().streams == 0);
        for _ in 0..10 {
            pair.step();
        }
    }
    assert_eq!(pair.a.side(), Side::Initiator);
}

/// A 1-RTT packet of `from` with these frames, which it knows nothing of.
fn packet_of(from: &mut Connection, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buf = [0; BASE_DATAGRAM];
    let pn = from.spaces.data.sent.next_pn();
    from.spaces.data.sent.push_packet(from.now, 0, false, false);
    let keys = &from.spaces.data.keys.as_ref().unwrap().local;
    let mut w = Writer::new(&mut buf);
    let short = TruncatedPn { value: pn as u32, len: 4 };
    write_short(&mut w, from.control.cids.remote(), short, false).unwrap();
    let pn_offset = w.len() - 4;
    write(&mut w);
    let len = w.len() + 16;
    protect::seal(keys, &mut buf[..len], pn_offset, 4, pn).unwrap();
    buf[..len].to_vec()
}

/// As if so many packets had been sent.
fn skip_packets(connection: &mut Connection, to: u64) {
    let now = connection.now;
    let space = &mut connection.spaces.data;
    while space.sent.next_pn() < to {
        space.sent.push_packet(now, 0, false, false);
    }
}

#[test]
fn used_up_keys_end_the_connection_and_the_peer_is_told() {
    let mut pair = Pair::connected(no_keep_alive());
    pair.a.key_update.as_mut().unwrap().limit_as_aes();
    // The peer acknowledges nothing, so the keys cannot be updated.
    pair.a.spaces.data.largest_acked = None;
    skip_packets(&mut pair.a, (1 << 23) - 64);
    assert!(pair.a.is_key_used_up((1 << 23) - 64) && !pair.a.is_key_used_up((1 << 23) - 65));
    let id = pair.a.stream_open().unwrap();
    pair.a.stream_write(id, b"x").unwrap();
    while pair.step() {}
    let code = TransportCode::AEAD_LIMIT.0;
    let is_told = |e: &Event| match e {
        Event::Closed(CloseReason::PeerTransport { code: told, .. }) => *told == code,
        _ => false,
    };
    assert!(pair.b_events.iter().any(is_told), "{:?}", pair.b_events);
}

#[test]
fn keys_are_updated_by_either_side_under_loss() {
    let mut pair = Pair::connected(no_keep_alive());
    pair.loss_percent = 10;
    let id = pair.a.stream_open().unwrap();
    let mut out = [0; 100];
    for round in 0..20u8 {
        let phases = |p: &Pair| {
            [&p.a, p.b.as_ref().unwrap()].map(|c| c.key_update.as_ref().unwrap().phase())
        };
        let before = phases(&pair);
        if round % 3 == 0 {
            pair.b.as_mut().unwrap().update_keys()
        } else {
            pair.a.update_keys()
        }
        pair.run_until(|p| {
            let _ = p.a.stream_write(id, &[round; 100]);
            let b = p.b.as_mut().unwrap();
            let _ = b.stream_write(id, &[round; 100]);
            let read = [b.stream_read(id, &mut out), p.a.stream_read(id, &mut out)];
            assert!(
                read.iter().all(|r| matches!(
                    r,
                    Ok(1..) | Err(StreamError::Blocked | StreamError::Unknown)
                ))
            );
            let now = phases(p);
            now[0] != before[0] && now[1] != before[1]
        });
    }
    assert!(pair.a.is_established() && pair.b.as_ref().unwrap().is_established());
}

#[test]
fn keys_are_updated_before_they_are_used_up() {
    let (mut pair, id) = settled();
    for round in 0..4 {
        let next = pair.a.spaces.data.sent.next_pn();
        skip_packets(&mut pair.a, next + (1 << 22));
        let phase = pair.a.key_update.as_ref().unwrap().phase();
        pair.a.stream_write(id, b"x").unwrap();
        let end = pair.now + Duration::from_secs(2);
        pair.run_until(|p| p.now >= end);
        assert_ne!(pair.a.key_update.as_ref().unwrap().phase(), phase, "round {round}");
        assert_eq!(pair.a.stats().buffered_bytes, 0, "round {round}");
    }
}

#[test]
fn what_was_under_way_at_an_update_still_opens() {
    let (mut pair, id) = settled();
    let mut late = [0; MAX_DATAGRAM];
    pair.a.stream_write(id, b"early").unwrap();
    let len = pair.a.poll_transmit(&mut late, pair.now).unwrap().len;
    pair.a.update_keys();
    pair.a.stream_write(id, b" late").unwrap();
    let wait = pair.now + pair.delay;
    pair.run_until(|p| p.now >= wait);
    let b = pair.b.as_mut().unwrap();
    assert!(b.key_update.as_ref().unwrap().phase());
    let mut out = [0; 20];
    assert_eq!(b.stream_read(id, &mut out), Err(StreamError::Blocked));
    b.handle_datagram(path(1), Ecn::NotEct, &mut late[..len], pair.now);
    assert_eq!(b.stream_read(id, &mut out), Ok(10));
    assert_eq!(&out[..10], b"early late");
}

#[test]
fn acknowledging_new_keys_under_old_ones_is_an_error() {
    let (mut pair, id) = settled();
    pair.a.update_keys();
    pair.a.stream_write(id, b"x").unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    pair.a.poll_transmit(&mut buf, pair.now).expect("the first under new keys");
    let newest = pair.a.spaces.data.sent.next_pn() - 1;
    let all = core::iter::once(newest..=newest);
    let mut packet = packet_of(pair.b.as_mut().unwrap(), |w| {
        ack::write_ack(w, 0, all, None).unwrap();
    });
    pair.a.handle_datagram(path(2), Ecn::NotEct, &mut packet, pair.now);
    pair.drain_events();
    let is_meant = |e: &Event| match e {
        Event::Closed(CloseReason::Violation { code, .. }) => *code == TransportCode::KEY_UPDATE.0,
        _ => false,
    };
    assert!(pair.a_events.iter().any(is_meant), "{:?}", pair.a_events);
}

/// Moves so many bytes from A to B.
fn transfer(pair: &mut Pair, id: StreamId, total: usize) {
    let (mut wrote, mut read) = (0, 0);
    let mut out = [0; 5000];
    pair.run_until(|p| {
        while wrote < total {
            let Ok(len) = p.a.stream_write(id, &[7; 5000][..5000.min(total - wrote)]) else {
                break;
            };
            wrote += len;
        }
        while let Ok(len) = p.b.as_mut().unwrap().stream_read(id, &mut out) {
            read += len;
        }
        read == total
    });
}

#[test]
fn datagrams_grow_to_what_the_path_carries_and_shrink_with_it() {
    for (path_mtu, at_least) in [(9000, 1452), (1300, 1285), (1200, 1200)] {
        let (mut pair, id) = settled();
        pair.path_mtu = path_mtu;
        transfer(&mut pair, id, 5_000_000);
        let found = pair.a.recovery.mtu.current();
        assert!(found >= at_least && found <= path_mtu.min(1452), "{path_mtu}: {found}");
        // The path changes in the middle and says nothing.
        pair.path_mtu = 1250;
        transfer(&mut pair, id, 5_000_000);
        assert!(pair.a.recovery.mtu.current() <= 1250);
    }
}

#[test]
fn a_window_leaves_over_a_round_trip_not_at_once() {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 1_000_000);
    assert!(pair.a.recovery.controller.window() > 100_000);
    pair.a.stream_write(id, &[7; 100_000]).unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    let mut burst = 0;
    while let Some(transmit) = pair.a.poll_transmit(&mut buf, pair.now) {
        burst += transmit.len;
    }
    assert!((10_000..60_000).contains(&burst), "{burst}");
    let next = pair.a.poll_timeout().unwrap();
    assert!(next > pair.now && next.since(pair.now) < pair.delay);
}

#[test]
fn a_large_window_is_acknowledged_less_often() {
    let acks = |is_asked: bool| {
        let (mut pair, id) = settled();
        if !is_asked {
            pair.a.control.ack_frequency = Default::default();
        }
        pair.gap = Duration::from_micros(100);
        transfer(&mut pair, id, 5_000_000);
        let sent = |pair: &Pair| pair.b.as_ref().unwrap().spaces.data.sent.next_pn();
        let (before, began) = (sent(&pair), pair.now);
        transfer(&mut pair, id, 5_000_000);
        (sent(&pair) - before, pair.now.since(began))
    };
    let (few, fast) = acks(true);
    let (many, slow) = acks(false);
    assert!(few * 8 < many, "{few} and {many}");
    assert!(fast < slow + slow / 20, "{fast:?} and {slow:?}");
}

#[test]
fn a_long_outage_makes_the_sender_begin_again() {
    let (mut pair, id) = settled();
    transfer(&mut pair, id, 1_000_000);
    pair.run_until(|p| p.a.stats().buffered_bytes == 0);
    let before = pair.a.recovery.controller.window();
    pair.loss_percent = 100;
    pair.a.stream_write(id, &[7; 100_000]).unwrap();
    let end = pair.now + Duration::from_secs(5);
    pair.run_until(|p| p.now >= end);
    assert_eq!(pair.a.recovery.controller.window(), before, "nothing is known yet");
    pair.loss_percent = 0;
    pair.run_until(|p| p.a.recovery.controller.window() <= 2 * 1452);
}

#[test]
fn a_writer_waiting_for_the_connection_is_told_even_if_others_were_faster() {
    let config = Config { session_window: 10_000, stream_window: 10_000, ..Config::default() };
    let mut pair = Pair::connected(config);
    let first = pair.a.stream_open().unwrap();
    assert_eq!(pair.a.stream_write(first, &[1; 20_000]), Ok(10_000));
    let second = pair.a.stream_open().unwrap();
    assert_eq!(pair.a.stream_write(second, &[2; 300]), Ok(256), "the first bytes are free");
    assert_eq!(pair.a.stream_write(second, &[2; 300]), Err(StreamError::Blocked));
    pair.a_events.clear();
    pair.run_until(|p| {
        // The first takes all the room there is before anybody is asked.
        let _ = p.a.stream_write(first, &[1; 20_000]);
        p.a_events.contains(&Event::Stream(second))
    });
    assert!(pair.a.stream_state(second).unwrap().is_writable);
}

#[test]
fn a_piece_too_many_is_not_acknowledged_and_comes_again() {
    let mut pair = Pair::connected(no_keep_alive());
    let id = pair.a.stream_open().unwrap();
    pair.a.stream_write(id, b"x").unwrap();
    pair.run_until(|p| p.b_events.contains(&Event::Opened(id)));
    let streams = &mut pair.b.as_mut().unwrap().streams;
    let frame = |offset, data| frame::Stream { id: id.0, offset, data, fin: false };
    for i in 0..100 {
        streams.on_stream(&frame(11 + 2 * i, b"x")).unwrap();
    }
    assert!(core::mem::take(&mut streams.has_declined));
    let mut buf = [0; MAX_DATAGRAM];
    pair.a.stream_write(id, b"y").unwrap();
    pair.a.poll_transmit(&mut buf, pair.now).expect("a packet that is lost");
    pair.a.stream_write(id, b"z").unwrap();
    let pn = pair.a.spaces.data.sent.next_pn();
    let wait = pair.now + pair.delay;
    pair.run_until(|p| p.now >= wait);
    assert!(!pair.b.as_ref().unwrap().spaces.data.acks.is_duplicate(pn));
    pair.run_until(|p| p.a.stats().buffered_bytes == 0);
    let mut out = [0; 10];
    assert_eq!(pair.b.as_mut().unwrap().stream_read(id, &mut out), Ok(3));
    assert_eq!(&out[..3], b"xyz");
}

#[test]
fn flipped_and_repeated_packets_change_nothing() {
    let mut pair = Pair::connected(no_keep_alive());
    let id = pair.a.stream_open().unwrap();
    pair.a.stream_write(id, b"hello").unwrap();
    let mut buf = [0; MAX_DATAGRAM];
    let len = pair.a.poll_transmit(&mut buf, pair.now).unwrap().len;
    let b = pair.b.as_mut().unwrap();
    let mut probe = [0; MAX_DATAGRAM];
    while b.poll_transmit(&mut probe, pair.now).is_some() {}
    for bit in 0..len * 8 {
        let mut bad = buf[..len].to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        b.handle_datagram(path(1), Ecn::NotEct, &mut bad, pair.now);
    }
    for cut in 0..len {
        b.handle_datagram(path(1), Ecn::NotEct, &mut buf[..cut].to_vec(), pair.now);
    }
    assert_eq!(b.poll_transmit(&mut probe, pair.now), None);
    for _ in 0..3 {
        b.handle_datagram(path(1), Ecn::NotEct, &mut buf[..len].to_vec(), pair.now);
    }
    let mut out = [0; 10];
    assert_eq!(b.stream_read(id, &mut out), Ok(5));
    assert_eq!(b.stream_read(id, &mut out), Err(StreamError::Blocked));
    assert!(b.is_established());
}
