//! Scenario: the uplink of an idle device is dead for a while, and its router may have rebooted or
//! got another address meanwhile. Nobody tells the device. When can a new user reach it, and how
//! much did it send in vain?

use rit_core::node::{Config, Event, NodeError};
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::seeds;
use rit_tests::sim::trio::{DEVICE_CODE, Trio, USER_CODE};
use std::sync::Mutex;
use std::time::Duration;

const SEEDS: u64 = 12;
const SECOND: Duration = Duration::from_secs(1);
/// Between the packets that keep the link, behind a NAT of unknown memory, and a little.
const KEEP_ALIVE: Duration = Duration::from_secs(29);
/// The longest wait between two calls at the broker, and a little.
const BACKOFF: Duration = Duration::from_secs(64);

/// What becomes of the router meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Router {
    Stays,
    Reboots,
    GetsAnotherAddress,
}

fn links(up: bool) -> LinkConfig {
    LinkConfig { up, loss_ppm: 10_000, ..LinkConfig::clean(Duration::from_millis(25)) }
}

/// How long after the outage the page came, and how many datagrams went out during it.
fn outage(seed: u64, dead: Duration, router: Router) -> (Duration, u64) {
    let nat = NatConfig {
        timeout: Duration::from_secs(30),
        ..NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent)
    };
    let mut trio = Trio::behind_with(seed, links(true), Config::default(), &[nat], &[]);
    trio.connect_host(trio.device, Some(DEVICE_CODE));
    trio.expect(trio.device, SECOND * 10, "the link", |e| matches!(e, Event::BrokerOnline));
    // At any moment of the time between two packets.
    trio.world.run_for(Duration::from_millis(100_000 + seed * 2_537));
    trio.world.net.set_default(links(false));
    let sent = trio.world.net.stats.sent;
    trio.world.run_for(dead);
    let sent = trio.world.net.stats.sent - sent;
    let site = trio.world.host(trio.device).site;
    match router {
        Router::Stays => {}
        Router::Reboots => trio.world.boxes(site)[0].reboot(),
        Router::GetsAnotherAddress => trio.world.boxes(site)[0].readdress([203, 0, 113, 77]),
    }
    trio.world.net.set_default(links(true));
    let start = trio.world.now;
    trio.connect_host(trio.user, Some(USER_CODE));
    trio.expect(trio.user, SECOND * 10, "the user's link", |e| matches!(e, Event::BrokerOnline));
    let user = trio.user;
    loop {
        let asked = trio.world.now;
        let session = trio.ask_for_session();
        let is_up = trio.world.run_until(SECOND * 2, |world| {
            world.node(user).session_info(session).is_ok_and(|info| info.is_up)
        });
        if is_up {
            trio.check_alive(session, 1);
            return (trio.world.now.since(start), sent);
        }
        assert!(asked.since(start) < SECOND * 200, "seed {seed}: {}", trio.events());
        let closed = trio.world.with(user, |node, _, now| node.session_close(session, 0, now));
        assert!(matches!(closed, Ok(()) | Err(NodeError::StaleHandle)), "or it was refused");
    }
}

fn check(dead: Duration, limit: Duration, most_sent: u64) {
    for router in [Router::Stays, Router::Reboots, Router::GetsAnotherAddress] {
        let worst = Mutex::new((Duration::ZERO, 0));
        seeds::run("recovery", SEEDS, |seed| {
            let (took, sent) = outage(seed, dead, router);
            assert!(took <= limit, "seed {seed}: {took:?} after {dead:?}, {router:?}");
            assert!(sent <= most_sent, "seed {seed}: {sent} datagrams in {dead:?}");
            let mut worst = worst.lock().expect("nobody panics with it");
            *worst = (worst.0.max(took), worst.1.max(sent));
        });
        let (took, sent) = worst.into_inner().expect("nobody panics with it");
        println!("dead for {dead:?}, the router {router:?}: a page within {took:?}");
        println!("    and {sent} datagrams at most in vain");
    }
}

#[test]
fn one_second() {
    check(SECOND, KEEP_ALIVE + SECOND * 3, 10);
}

#[test]
fn half_a_minute() {
    check(SECOND * 30, KEEP_ALIVE + SECOND * 3, 60);
}

#[test]
fn ten_minutes() {
    check(SECOND * 600, BACKOFF, 600);
}
