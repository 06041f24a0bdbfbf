//! A carrier against a carrier: handshake, framing, limits, and what a stranger may send.

use super::*;
use crate::crypto::{Ed25519Signer, default_provider};
use alloc::vec;
use alloc::vec::Vec;

fn at(ms: u64) -> Time {
    Time::ZERO + Duration::from_millis(ms)
}

fn pair() -> [Carrier; 2] {
    let (provider, rng) = (default_provider(), |n| Rng::from_seed([n; 32]));
    let signer = Arc::new(Ed25519Signer::from_seed(&[3; 32]));
    let client = Carrier::client(provider, rng(1), at(0)).unwrap();
    [client, Carrier::server(provider, signer, rng(2), at(0)).unwrap()]
}

/// Takes what one end has to write, `step` bytes at a time, to the other.
fn carry(from: &mut Carrier, to: &mut Carrier, step: usize, now: Time) -> usize {
    let mut carried = 0;
    loop {
        let bytes = from.poll_bytes();
        let bytes = bytes[..bytes.len().min(step)].to_vec();
        if bytes.is_empty() {
            return carried;
        }
        from.consume(bytes.len());
        to.handle_bytes(&bytes, now);
        carried += bytes.len();
    }
}

fn settle(ends: &mut [Carrier; 2], step: usize, now: Time) {
    let [client, server] = ends;
    while carry(client, server, step, now) + carry(server, client, step, now) > 0 {}
}

fn open() -> [Carrier; 2] {
    let mut ends = pair();
    settle(&mut ends, usize::MAX, at(0));
    assert!(ends.iter().all(Carrier::is_open));
    ends
}

fn received(end: &mut Carrier) -> Vec<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), [0; DATAGRAM_MAX]);
    while let Some(len) = end.poll_datagram(&mut buf) {
        all.push(buf[..len].to_vec());
    }
    all
}

#[test]
fn datagrams_go_both_ways_from_the_first_moment() {
    for step in [1, 2, 3, 7, 100, 1000, usize::MAX] {
        let mut ends = pair();
        assert!(ends[0].send_datagram(&[1; 300], at(0)), "before there is a connection");
        settle(&mut ends, step, at(0));
        assert_eq!(received(&mut ends[1]), [vec![1; 300]]);
        let sizes = [1, 2, 1200, DATAGRAM_MAX];
        for (from, to) in [(0, 1), (1, 0)] {
            assert!(sizes.iter().all(|len| ends[from].send_datagram(&vec![7; *len], at(1))));
            settle(&mut ends, step, at(1));
            let lens: Vec<usize> = received(&mut ends[to]).iter().map(Vec::len).collect();
            assert_eq!(lens, sizes);
        }
        assert!(ends.iter().all(Carrier::is_open));
    }
}

#[test]
fn the_first_flight_looks_like_that_of_a_web_client() {
    let [mut client, _] = pair();
    let hello = client.poll_bytes();
    assert_eq!((hello[0], hello[5]), (22, 1), "a handshake record, a ClientHello");
    assert!(hello.windows(8).any(|name| name == b"http/1.1"));
    assert!(!hello.windows(3).any(|name| name == b"rit"));
}

#[test]
fn limits_at_and_over() {
    let [mut client, mut server] = open();
    assert!(!client.send_datagram(&[], at(0)));
    assert!(client.send_datagram(&[0; DATAGRAM_MAX], at(0)));
    assert!(!client.send_datagram(&[0; DATAGRAM_MAX + 1], at(0)));
    let mut sent = 1;
    while client.send_datagram(&[0; DATAGRAM_MAX], at(0)) {
        sent += 1;
    }
    let rest = WAITING_MAX - sent * (DATAGRAM_MAX + HEAD_LEN);
    assert!(!client.send_datagram(&vec![0; rest - HEAD_LEN + 1], at(0)));
    assert!(client.send_datagram(&vec![0; rest - HEAD_LEN], at(0)));
    assert_eq!(client.frames.len(), WAITING_MAX);
    carry(&mut client, &mut server, usize::MAX, at(0));
    // One that there is no room for is lost, and it alone.
    let mut small = [0; DATAGRAM_MAX - 1];
    assert_eq!(server.poll_datagram(&mut small), Some(rest - HEAD_LEN));
    assert_eq!(server.poll_datagram(&mut small), None);
    assert!(!server.is_closed());
}

/// What a peer that holds the keys may write.
fn forge(frames: &[u8]) -> Carrier {
    let [mut client, mut server] = open();
    client.frames.extend_from_slice(frames);
    carry(&mut client, &mut server, usize::MAX, at(0));
    server
}

#[test]
fn a_frame_of_no_length_or_too_long_closes() {
    let longest = [&[6, 64][..], &[1; DATAGRAM_MAX]].concat();
    let mut server = forge(&longest);
    assert_eq!(received(&mut server).len(), 1);
    for bad in [&[0, 0][..], &[6, 65], &[0xff, 0xff, 1]] {
        let mut server = forge(&[&[0, 1, 9][..], bad, &[0, 1, 9]].concat());
        assert_eq!(received(&mut server), [[9]], "{bad:?}");
        assert!(server.is_closed() && server.poll_bytes().is_empty());
        assert!(!server.send_datagram(&[1], at(0)));
        assert_eq!(server.poll_timeout(), None);
    }
    // Part of a frame is no harm.
    let mut server = forge(&[6, 64, 1]);
    assert!(received(&mut server).is_empty() && !server.is_closed());
}

#[test]
fn garbage_closes_and_is_not_kept() {
    let mut rng = Rng::from_seed([9; 32]);
    for len in [5, 100, 20_000] {
        let [mut client, mut server] = pair();
        let mut garbage = vec![0; len];
        rng.fill(&mut garbage);
        server.handle_bytes(&garbage, at(0));
        client.handle_bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n", at(0));
        assert!(server.is_closed() && client.is_closed());
    }
    // A record that never ends.
    let [_, mut server] = pair();
    server.handle_bytes(&[22, 3, 1, 0x3f, 0xff, 1, 0, 0xff, 0xff], at(0));
    assert!(!server.is_closed());
    server.handle_bytes(&vec![0; 64 * 1024], at(0));
    assert!(server.is_closed());
}

#[test]
fn one_byte_altered_closes() {
    let [mut client, mut server] = open();
    client.send_datagram(&[5; 40], at(0));
    let mut bytes = client.poll_bytes().to_vec();
    bytes[20] ^= 1;
    server.handle_bytes(&bytes, at(0));
    assert!(server.is_closed() && received(&mut server).is_empty());
}

#[test]
fn what_nobody_takes_does_not_grow_for_ever() {
    let [mut client, mut server] = open();
    while !server.is_closed() {
        assert!(server.input.len() <= UNREAD_MAX);
        assert!(client.send_datagram(&[0; DATAGRAM_MAX], at(0)));
        carry(&mut client, &mut server, usize::MAX, at(0));
    }
}

#[test]
fn a_handshake_has_its_time_and_silence_too() {
    let [mut client, mut server] = pair();
    for end in [&mut client, &mut server] {
        assert_eq!(end.poll_timeout(), Some(at(0) + HANDSHAKE_TIME));
        end.handle_timeout(at(9_999));
        assert!(!end.is_closed());
        end.handle_timeout(at(10_000));
        assert!(end.is_closed());
    }
    let [mut client, mut server] = open();
    assert_eq!(client.poll_timeout(), Some(at(0) + IDLE_CLIENT));
    assert_eq!(server.poll_timeout(), Some(at(0) + STRANGER_TIME));
    // Each datagram is a sign of life, but the client wants an answer.
    client.send_datagram(&[1], at(1000));
    carry(&mut client, &mut server, usize::MAX, at(1000));
    assert_eq!(client.poll_timeout(), Some(at(1000) + UNANSWERED_TIME));
    assert_eq!(server.poll_timeout(), Some(at(0) + STRANGER_TIME), "for who is answered");
    server.send_datagram(&[1], at(2000));
    carry(&mut server, &mut client, usize::MAX, at(2000));
    assert_eq!(client.poll_timeout(), Some(at(2000) + IDLE_CLIENT));
    assert_eq!(server.poll_timeout(), Some(at(2000) + IDLE_SERVER));
    server.handle_timeout(at(2000) + IDLE_SERVER);
    assert!(server.is_closed());
}

#[test]
fn the_same_seeds_give_the_same_bytes() {
    let transcript = || {
        let [mut client, mut server] = pair();
        let hello = client.poll_bytes().to_vec();
        client.consume(hello.len());
        server.handle_bytes(&hello, at(0));
        (hello, server.poll_bytes().to_vec())
    };
    assert_eq!(transcript(), transcript());
}
