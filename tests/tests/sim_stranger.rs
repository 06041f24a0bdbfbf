//! Scenarios: strangers get no answer, and what an attacker on the path does costs nothing but
//! the datagrams it ate.

use rit_core::base::{Path, Rng, Time};
use rit_core::node::Event;
use rit_tests::sim::host::HostId;
use rit_tests::sim::net::{Datagram, LinkConfig};
use rit_tests::sim::trio::Trio;
use std::time::Duration;

fn stranger() -> Path {
    Path::v4([203, 0, 113, 9], 4444)
}

fn trio(seed: u64) -> Trio {
    let mut trio = Trio::new(seed, LinkConfig::clean(Duration::from_millis(20)));
    trio.world.capture = Some(Vec::new());
    trio
}

fn captured(trio: &Trio) -> Vec<Datagram> {
    let capture = trio.world.capture.as_ref().expect("captures");
    capture.iter().map(|(_, datagram)| datagram.clone()).collect()
}

/// Fails if anything was ever sent to the stranger.
fn assert_silent(trio: &Trio) {
    let answered = captured(trio).iter().filter(|d| d.dst == stranger()).count();
    assert_eq!(answered, 0, "a stranger was answered");
}

/// Datagrams as a scanner sends them.
fn probes(rng: &mut Rng) -> Vec<Vec<u8>> {
    let mut probes = Vec::new();
    for len in [0, 1, 2, 8, 20, 21, 37, 64, 100, 548, 1200, 1452, 1472] {
        for first in [0x00, 0x40, 0x5f, 0x80, 0xc0, 0xc3, 0xff] {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            if let Some(byte) = bytes.first_mut() {
                *byte = first | *byte & 0x0f;
            }
            probes.push(bytes);
        }
    }
    // Long headers of QUIC version 1 (an Initial), of no version (which asks for Version
    // Negotiation elsewhere), of our version, with random IDs and lengths that fit.
    for version in [1_u32, 0, 0x0a0a_0a0a, 0x7269_7401, 0x7269_7402] {
        for first in [0xc0, 0xd3, 0xe1, 0xf2] {
            let mut bytes = vec![0; 1200];
            rng.fill(&mut bytes);
            bytes[0] = first;
            bytes[1..5].copy_from_slice(&version.to_be_bytes());
            bytes[5] = 16;
            bytes[22] = 8;
            bytes[31] = 0;
            bytes[32..34].copy_from_slice(&(0x4000_u16 | 1166).to_be_bytes());
            probes.push(bytes);
        }
    }
    probes
}

#[test]
fn a_scan_gets_no_answer_from_anyone() {
    let mut trio = trio(1);
    trio.online();
    let session = trio.session();
    let mut rng = Rng::from_seed([5; 32]);
    for probe in probes(&mut rng) {
        for host in [trio.broker, trio.device, trio.user] {
            trio.world.inject(stranger(), host, &probe);
        }
    }
    trio.world.run_for(Duration::from_secs(30));
    assert_silent(&trio);
    trio.check_alive(session, 1);
}

#[test]
fn altered_first_packets_get_no_answer() {
    let mut trio = trio(2);
    trio.online();
    let session = trio.session();
    let mut rng = Rng::from_seed([6; 32]);
    // Long-header datagrams are the contact packets, to the broker and to the device.
    let first: Vec<Datagram> =
        captured(&trio).into_iter().filter(|d| d.bytes[0] & 0x80 != 0).collect();
    assert!(first.iter().any(|d| d.dst == trio.world.path(trio.broker)));
    assert!(first.iter().any(|d| d.dst == trio.world.path(trio.device)));
    for datagram in &first {
        let host = host_of(&trio, datagram.dst);
        for _ in 0..50 {
            let mut bytes = datagram.bytes.clone();
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << rng.below(8);
            trio.world.inject(stranger(), host, &bytes);
            bytes.truncate(at);
            trio.world.inject(stranger(), host, &bytes);
        }
    }
    trio.world.run_for(Duration::from_secs(30));
    assert_silent(&trio);
    trio.check_alive(session, 1);
}

#[test]
fn replayed_datagrams_get_no_answer_and_cost_nothing() {
    let mut trio = trio(3);
    trio.online();
    let session = trio.session();
    trio.open_flow(session, 1, 100_000, 100_000);
    assert!(trio.run_until_idle(Duration::from_secs(30)));
    // Whoever is ahead of the original is another matter: see the copies sent ahead below.
    trio.world.run_for(Duration::from_secs(1));
    let recorded = captured(&trio);
    for datagram in &recorded {
        let host = host_of(&trio, datagram.dst);
        trio.world.inject(stranger(), host, &datagram.bytes);
        trio.world.inject(datagram.src, host, &datagram.bytes);
    }
    trio.world.run_for(Duration::from_secs(30));
    assert_silent(&trio);
    trio.check_alive(session, 2);
    let sessions = |host| trio.world.node(host).stats().sessions;
    assert_eq!((sessions(trio.user), sessions(trio.device)), (1, 1));
    let ups = |host: HostId| {
        let events = &trio.world.host(host).events;
        events.iter().filter(|(_, e)| matches!(e, Event::SessionUp { .. })).count()
    };
    assert_eq!((ups(trio.user), ups(trio.device)), (1, 1));
}

#[test]
fn packets_of_a_session_sent_ahead_by_another_draw_it_nowhere() {
    let mut trio = trio(6);
    trio.online();
    let session = trio.session();
    trio.open_flow(session, 1, 300_000, 300_000);
    let mut sent = 0;
    for _ in 0..50 {
        trio.world.run_for(Duration::from_millis(5));
        let ends = [trio.world.path(trio.user), trio.world.path(trio.device)];
        let is_theirs = |d: &Datagram| ends.contains(&d.src) && ends.contains(&d.dst);
        let Some(newest) = captured(&trio).into_iter().rfind(is_theirs) else { continue };
        let host = host_of(&trio, newest.dst);
        trio.world.inject(stranger(), host, &newest.bytes);
        sent += newest.bytes.len();
    }
    assert!(trio.run_until_idle(Duration::from_secs(60)), "the session was drawn away");
    let to_stranger = captured(&trio).into_iter().filter(|d| d.dst == stranger());
    let answered: usize = to_stranger.map(|d| d.bytes.len()).sum();
    assert!(answered > 0 && answered <= 3 * sent, "{answered} bytes for {sent}");
    trio.check_alive(session, 2);
}

/// The stranger copies the first packet that goes from one host to the other, and delivers it from
/// his own address ahead of the original. A device answers him at most three times what he sent; he
/// gets no session, and the two get theirs.
fn a_copy_sent_ahead(trio: &mut Trio, from: HostId, to: HostId) {
    trio.online();
    trio.ask_for_session();
    let (src, dst) = (trio.world.path(from), trio.world.path(to));
    let is_first = |d: &Datagram| d.src == src && d.dst == dst && d.bytes[0] & 0x80 != 0;
    while !captured(trio).iter().any(is_first) {
        let end = trio.world.now + Duration::from_secs(10);
        assert!(trio.world.step(end), "nobody calls: {}", trio.events());
    }
    let first = captured(trio).into_iter().find(is_first).expect("it was seen");
    trio.world.inject(stranger(), to, &first.bytes);
    trio.world.run_for(Duration::from_secs(20));
    let to_stranger = captured(trio).into_iter().filter(|d| d.dst == stranger());
    let answered: usize = to_stranger.map(|d| d.bytes.len()).sum();
    let most = if to == trio.device { 3 * first.bytes.len() } else { 10_000 };
    assert!(answered <= most, "{answered} bytes for {}", first.bytes.len());
    let session = trio.session_of(trio.user);
    trio.check_alive(session, 1);
}

#[test]
fn the_callers_first_packet_sent_ahead_by_another_opens_nothing_for_him() {
    let mut trio = trio(4);
    let (user, device) = (trio.user, trio.device);
    a_copy_sent_ahead(&mut trio, user, device);
}

#[test]
fn the_answers_first_packet_sent_ahead_by_another_opens_nothing_for_him() {
    let mut trio = trio(6);
    let (user, device) = (trio.user, trio.device);
    a_copy_sent_ahead(&mut trio, device, user);
}

#[test]
fn bit_flips_truncation_and_reordering_lose_nothing() {
    let mut trio = trio(5);
    trio.online();
    let session = trio.session();
    trio.open_flow(session, 1, 200_000, 200_000);
    let mut rng = Rng::from_seed([8; 32]);
    let mut seen = captured(&trio).len();
    let end = trio.world.now + Duration::from_secs(120);
    let (user, device) = (trio.user, trio.device);
    let is_busy =
        |trio: &Trio| !(trio.world.app_ref(user).is_idle() && trio.world.app_ref(device).is_idle());
    while is_busy(&trio) && trio.world.step(end) {
        let capture = trio.world.capture.as_ref().expect("captures");
        let fresh: Vec<Datagram> = capture[seen..].iter().map(|(_, d)| d.clone()).collect();
        seen = capture.len();
        for datagram in fresh {
            attack(&mut trio, &datagram, &mut rng);
        }
    }
    assert!(!is_busy(&trio), "{}", trio.events());
    assert_silent(&trio);
    trio.check_alive(session, 2);
}

/// Delivers damaged copies ahead of the datagram itself, and late and doubled true ones.
fn attack(trio: &mut Trio, datagram: &Datagram, rng: &mut Rng) {
    let now = trio.world.now;
    let mut put = |bytes: Vec<u8>, src: Path, when: Time| {
        trio.world.net.inject(Datagram { src, bytes, ..datagram.clone() }, when);
    };
    let mut flipped = datagram.bytes.clone();
    let at = rng.below(flipped.len() as u64) as usize;
    flipped[at] ^= 1 << rng.below(8);
    let truncated = datagram.bytes[..at].to_vec();
    let mut extended = datagram.bytes.clone();
    extended.extend_from_slice(&[0; 20]);
    for bytes in [flipped, truncated, extended] {
        put(bytes.clone(), datagram.src, now + Duration::from_millis(1));
        put(bytes, stranger(), now + Duration::from_millis(2));
    }
    let late = Duration::from_millis(30 + rng.below(300));
    put(datagram.bytes.clone(), datagram.src, now + late);
}

fn host_of(trio: &Trio, path: Path) -> HostId {
    [trio.broker, trio.device, trio.user]
        .into_iter()
        .find(|&host| trio.world.path(host) == path)
        .expect("one of the three")
}
