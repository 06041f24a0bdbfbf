//! Scenario: how long a session does without its way. The direct path dies, or an end gets another
//! address, while data flows: when does data go another way?

use rit_core::base::{Path, Time};
use rit_core::node::SessionId;
use rit_tests::sim::host::HostId;
use rit_tests::sim::net::{Datagram, LinkConfig};
use rit_tests::sim::trio::Trio;
use rit_tests::sim::world::World;
use std::time::Duration;

const SEEDS: u64 = 40;
const DELAY: Duration = Duration::from_millis(25);
/// Enough to last.
const BYTES: u64 = 50_000_000;
/// Of the direct path and of those to the relay.
const RATE: u64 = 1_000_000;
/// A datagram with data, not only a question or an acknowledgement.
const DATA_LEN: usize = 500;
/// What the peer may hold an acknowledgement back for (RFC 9000 §18.2).
const ACK_DELAY: Duration = Duration::from_millis(25);

/// Both ends on the internet, with a relay, and data that flows from the user or to it.
fn stage(seed: u64, is_from_user: bool) -> (Trio, SessionId) {
    let link = LinkConfig {
        rate_bytes_per_s: Some(RATE),
        queue_bytes: 30_000,
        ..LinkConfig::clean(DELAY)
    };
    let mut trio = Trio::behind(seed, link, &[], &[]);
    trio.online();
    let session = trio.session();
    trio.world.run_for(Duration::from_secs(3));
    let (send, back) = if is_from_user { (BYTES, 0) } else { (0, BYTES) };
    trio.open_flow(session, 1, send, back);
    trio.world.run_for(Duration::from_millis(3_000 + seed * 17));
    (trio, session)
}

fn direct(trio: &Trio) -> (Path, Path) {
    (trio.world.path(trio.device), trio.world.path(trio.user))
}

/// The time from now until `host` sends data that is not from and to these addresses.
fn goes_elsewhere(trio: &mut Trio, host: HostId, (a, b): (Path, Path)) -> Duration {
    let (own, start) = (trio.world.path(host), trio.world.now);
    let is_it = |d: &Datagram| {
        let is_old = [(a, b), (b, a)].iter().any(|(from, to)| (d.src, d.dst) == (*from, *to));
        d.src == own && !is_old && d.bytes.len() > DATA_LEN
    };
    trio.world.capture = Some(Vec::new());
    let first = |capture: &[(Time, Datagram)]| {
        capture.iter().find(|(_, datagram)| is_it(datagram)).map(|(at, _)| at.since(start))
    };
    let is_met = trio.world.run_until(Duration::from_secs(20), |world| {
        world.capture.as_deref().and_then(first).is_some()
    });
    assert!(is_met, "it never does: {}", trio.world.seed);
    let capture = trio.world.capture.take().unwrap_or_default();
    first(&capture).unwrap_or_default()
}

fn quantiles(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what}: median {:?}, 90 % {:?}, worst {:?}", at(50), at(90), at(100));
}

#[test]
fn a_dead_path_is_left_within_three_round_trips_and_a_probe_timeout() {
    for is_from_user in [true, false] {
        let mut times = Vec::new();
        for seed in 0..SEEDS {
            let (mut trio, session) = stage(seed, is_from_user);
            let host = if is_from_user { trio.user } else { trio.device };
            let session = if is_from_user { session } else { trio.session_of(trio.device) };
            let info = trio.world.node(host).session_info(session).expect("it is up");
            assert_eq!(info.path.map(|path| path.via), Some(0), "it is direct");
            let rtt = Duration::from_micros(info.rtt_us);
            let ends = direct(&trio);
            trio.world.net.set_up(ends.0, ends.1, false);
            let took = goes_elsewhere(&mut trio, host, ends);
            // The variation of the round trip comes on top; it is little here.
            let bound = rtt * 3 + rtt + ACK_DELAY;
            assert!(took <= bound, "seed {seed}: {took:?}, more than {bound:?}, rtt {rtt:?}");
            times.push(took);
        }
        let who = if is_from_user { "initiator" } else { "responder" };
        quantiles(&format!("{who} leaves a dead path"), times);
    }
}

/// Bytes of data that a capture has from one end's `from` to the other's `to`.
fn data(capture: &[(Time, Datagram)], from: Path, to: Path) -> usize {
    let is_it = |d: &&Datagram| (d.src, d.dst) == (from, to) && d.bytes.len() > DATA_LEN;
    capture.iter().map(|(_, datagram)| datagram).filter(is_it).map(|d| d.bytes.len()).sum()
}

/// Nobody tells the one that moves: it has to find out, as behind a NAT that got another address.
#[test]
fn an_address_change_costs_one_flight_at_most() {
    for (is_from_user, does_user_move) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let mut times = Vec::new();
        for seed in 0..SEEDS {
            let (mut trio, _) = stage(seed, is_from_user);
            let (device, user) = direct(&trio);
            let (from, to) = if is_from_user { (user, device) } else { (device, user) };
            trio.world.capture = Some(Vec::new());
            // What is on the way, with what a queue of 30 ms holds.
            trio.world.run_for(2 * DELAY + Duration::from_millis(30));
            let flight = data(&trio.world.capture.take().unwrap_or_default(), from, to);
            let receiver = if is_from_user { trio.device } else { trio.user };
            let host = if does_user_move { trio.user } else { trio.device };
            trio.world.move_host(host);
            let (start, had) = (trio.world.now, trio.world.app_ref(receiver).received());
            trio.world.capture = Some(Vec::new());
            let is_on = |world: &World| world.app_ref(receiver).received() > had + flight as u64;
            assert!(trio.world.run_until(Duration::from_secs(20), is_on), "seed {seed}: it ends");
            times.push(trio.world.now.since(start));
            let lost = match is_from_user == does_user_move {
                // The sender goes on from its new address: nothing it sends is lost.
                true => 0,
                false => data(&trio.world.capture.take().unwrap_or_default(), from, to),
            };
            let most = flight + flight / 4 + 4 * 1452;
            assert!(lost <= most, "seed {seed}: {lost} bytes lost, of {flight} in a flight");
        }
        let name = |is_user: bool| if is_user { "the user" } else { "the device" };
        let (sender, mover) = (name(is_from_user), name(does_user_move));
        quantiles(&format!("{mover} moves, {sender} sends: a flight later"), times);
    }
}
