//! Scenario: a device that nobody uses, behind boxes that forget. What its link to the broker costs
//! in a month, how often it sends, and whether it can be reached at any time.

use rit_core::broker::BrokerEvent;
use rit_core::node::Config;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::seeds;
use rit_tests::sim::trio::{Trio, service_info};
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);
const DRIFT_PPM: i32 = 100;
/// Headers of IPv4 and UDP.
const HEADERS: usize = 20 + 8;
const DAY: Duration = Duration::from_secs(24 * 3600);
const DAYS_OF_MONTH: f64 = 30.0;
/// After the link came up: enrolment, the handshake, and what is found out once.
const SETTLING: Duration = Duration::from_secs(10);

/// What a device sends and gets, all headers counted.
struct Traffic {
    bytes_a_month: f64,
    /// The least time between two packets sent.
    least_gap: Duration,
    /// And the greatest.
    greatest_gap: Duration,
}

fn nat(timeout_s: u64) -> NatConfig {
    NatConfig {
        timeout: Duration::from_secs(timeout_s),
        ..NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent)
    }
}

/// A device with so many services and sockets behind a box that forgets after so long.
fn stage(seed: u64, services: usize, sockets: u16, timeout_s: u64) -> Trio {
    let config = Config { sockets, ..Config::default() };
    let links = LinkConfig::clean(DELAY);
    let mut trio = Trio::behind_with(seed, links, config, &[nat(timeout_s)], &[]);
    trio.world.set_drift(trio.device, DRIFT_PPM);
    for n in 1..services {
        trio.world.with(trio.device, |node, _, now| {
            node.service_add(service_info(&format!("service-{n}")), now).expect("there is room");
        });
    }
    trio.online();
    trio.world.run_for(SETTLING);
    trio
}

/// A day of it.
fn measure(trio: &mut Trio) -> Traffic {
    let outer = trio.world.boxes(trio.world.host(trio.device).site)[0].outer_ip();
    trio.world.capture = Some(Vec::new());
    trio.world.run_for(DAY);
    let capture = trio.world.capture.take().unwrap_or_default();
    let is_out = |d: &rit_tests::sim::net::Datagram| d.src.ip == outer;
    let times: Vec<_> = capture.iter().filter(|(_, d)| is_out(d)).map(|(at, _)| *at).collect();
    let gaps = || times.windows(2).map(|pair| pair[1].since(pair[0]));
    let its = capture.iter().filter(|(_, d)| is_out(d) || d.dst.ip == outer);
    let bytes: usize = its.map(|(_, datagram)| datagram.bytes.len() + HEADERS).sum();
    Traffic {
        bytes_a_month: bytes as f64 * DAYS_OF_MONTH,
        least_gap: gaps().min().expect("it sent"),
        greatest_gap: gaps().max().expect("it sent"),
    }
}

/// Somebody who was not there before reaches the device in half a second.
fn is_reachable(trio: &mut Trio) -> bool {
    let session = trio.ask_for_session();
    let user = trio.user;
    trio.world.run_until(Duration::from_millis(500), |world| {
        world.node(user).session_info(session).is_ok_and(|info| info.is_up)
    })
}

#[test]
fn half_a_minute_costs_6_mb_a_month_at_most_however_many_services() {
    for services in [1, 16] {
        let mut trio = stage(services as u64, services, 0, 30);
        let Traffic { bytes_a_month, least_gap, greatest_gap } = measure(&mut trio);
        println!("30 s, {services} services: {:.2} MB a month", bytes_a_month / 1e6);
        println!("    a packet each {least_gap:?} to {greatest_gap:?}");
        assert!(bytes_a_month <= 6e6, "{bytes_a_month}");
        assert!(least_gap >= Duration::from_secs(25), "{least_gap:?}");
        assert!(greatest_gap < Duration::from_secs(30), "{greatest_gap:?}");
        assert!(is_reachable(&mut trio));
    }
}

#[test]
fn two_minutes_are_found_out_and_cost_2_mb_a_month_at_most() {
    for (timeout_s, is_long) in [(120, true), (90, false)] {
        let mut trio = stage(timeout_s, 3, 8, timeout_s);
        // What it takes to find out is done by then, and is done anew four times a day.
        trio.world.run_for(Duration::from_secs(400));
        let Traffic { bytes_a_month, least_gap, greatest_gap } = measure(&mut trio);
        println!("{timeout_s} s: {:.2} MB a month", bytes_a_month / 1e6);
        println!("    a packet each {least_gap:?} to {greatest_gap:?}");
        let (most, gap_s) = if is_long { (2e6, 115) } else { (6e6, 29) };
        assert!(bytes_a_month <= most, "{bytes_a_month}");
        assert!(greatest_gap <= Duration::from_secs(gap_s), "{greatest_gap:?}");
        assert!(is_reachable(&mut trio));
    }
}

/// It had found out that two minutes are possible, and is taken to another network unnoticed.
#[test]
fn who_is_behind_a_shorter_nat_all_of_a_sudden_finds_that_out_too() {
    let mut trio = stage(1, 1, 8, 120);
    trio.world.run_for(Duration::from_secs(1000));
    let site = trio.world.host(trio.device).site;
    trio.world.boxes(site)[0].config.timeout = Duration::from_secs(30);
    trio.world.boxes(site)[0].reboot();
    trio.world.run_for(Duration::from_secs(300));
    let traffic = measure(&mut trio);
    assert!(traffic.greatest_gap < Duration::from_secs(30), "{:?}", traffic.greatest_gap);
    assert!(is_reachable(&mut trio));
}

/// At any moment of the time between two packets.
#[test]
fn an_idle_device_is_reachable_at_any_time() {
    seeds::run("idle", 30, |seed| {
        let mut trio = stage(seed, 1, 0, 30);
        trio.world.run_for(Duration::from_millis(300_000 + seed * 1_013));
        assert!(is_reachable(&mut trio), "seed {seed}");
    });
}

/// Whenever it goes, whatever it said of its silence by default.
#[test]
fn a_broker_notices_within_a_minute_that_a_device_is_gone() {
    seeds::run("gone", 30, |seed| {
        let mut trio = stage(seed, 1, 0, 30);
        trio.world.run_for(Duration::from_millis(300_000 + seed * 1_013));
        let (device, broker) = (trio.device, trio.broker);
        trio.world.host_mut(device).is_running = false;
        let key = trio.world.key(device);
        let is_noticed = trio.world.run_until(Duration::from_secs(60), |world| {
            let gone = BrokerEvent::NodeOffline { key };
            world.host(broker).broker_events.iter().any(|(_, event)| *event == gone)
        });
        assert!(is_noticed, "seed {seed}");
    });
}
