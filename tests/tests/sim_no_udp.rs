//! Scenario: UDP is blocked at one end, from the start or for a while. Broker and relay are reached
//! by TCP with TLS, and by UDP as soon as that is possible.

use rit_core::base::Path;
use rit_core::node::Event;
use rit_tests::sim::host::HostId;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::seeds;
use rit_tests::sim::trio::Trio;
use std::time::Duration;

const SEEDS: u64 = 20;
const DELAY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(120);
const BYTES: u64 = 1_000_000;

fn home(is_udp_blocked: bool) -> NatConfig {
    let nat = NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
    NatConfig { is_udp_blocked, ..nat }
}

fn explain(trio: &mut Trio, host: HostId) -> String {
    let session = trio.session_of(host);
    trio.world.with(host, |node, _, now| node.explain(session, now).expect("there is a session"))
}

fn block(trio: &mut Trio, host: HostId, is_udp_blocked: bool) {
    let site = trio.world.host(host).site;
    trio.world.boxes(site).iter_mut().for_each(|nat| nat.config.is_udp_blocked = is_udp_blocked);
}

#[test]
fn blocked_from_the_start_all_goes_by_tls() {
    seeds::run("no udp", SEEDS, |seed| {
        let is_device = seed % 2 == 0;
        let boxes = [home(is_device), home(!is_device)];
        let links = LinkConfig { loss_ppm: 10_000, ..LinkConfig::clean(DELAY) };
        let mut trio = Trio::behind(seed, links, &boxes[..1], &boxes[1..]);
        let blocked = if is_device { trio.device } else { trio.user };
        trio.online();
        let start = trio.world.now;
        let session = trio.session();
        let took = trio.world.now.since(start);
        assert!(took < Duration::from_secs(3), "seed {seed}: a session took {took:?}");
        trio.world.capture = Some(Vec::new());
        trio.open_flow(session, 1, BYTES, BYTES);
        let user = trio.user;
        let is_done = trio.world.run_until(LIMIT, |world| !world.app_ref(user).done.is_empty());
        assert!(is_done, "seed {seed}: {}", trio.events());
        assert_eq!(trio.world.app(user).done[0].received, BYTES);
        let sent = trio.world.capture.take().unwrap_or_default();
        assert!(sent.iter().any(|(_, segment)| segment.dst.socket == Path::TLS));
        let text = explain(&mut trio, blocked);
        assert!(text.contains("UDP is blocked: the broker"), "seed {seed}: {text}");
        assert!(text.contains("UDP is blocked: the relay"), "seed {seed}: {text}");
    });
}

#[test]
fn blocked_for_a_while_the_transfer_goes_on_and_finds_back_to_udp() {
    seeds::run("no udp for a while", SEEDS, |seed| {
        let links = LinkConfig { rate_bytes_per_s: Some(500_000), ..LinkConfig::clean(DELAY) };
        let mut trio = Trio::behind(seed, links, &[home(false)], &[home(false)]);
        trio.online();
        let session = trio.session();
        let (user, device) = (trio.user, trio.device);
        let blocked = if seed % 2 == 0 { user } else { device };
        trio.world.run_for(Duration::from_secs(5));
        trio.open_flow(session, 1, BYTES, BYTES);
        trio.world.run_for(Duration::from_secs(1));
        assert!(trio.world.app(user).done.is_empty(), "it is under way");
        block(&mut trio, blocked, true);
        let start = trio.world.now;
        let is_done = trio.world.run_until(LIMIT, |world| world.app_ref(user).done.len() == 1);
        assert!(is_done, "seed {seed}: {}", trio.events());
        let took = trio.world.now.since(start);
        assert!(took < Duration::from_secs(10), "seed {seed}: it stood still for {took:?}");
        // The broker is noticed to be away by its silence, and found by TCP.
        trio.world.run_for(Duration::from_secs(60));
        let text = explain(&mut trio, blocked);
        assert!(text.contains("UDP is blocked: the broker"), "seed {seed}: {text}");
        assert!(text.contains("UDP is blocked: the relay"), "seed {seed}: {text}");
        trio.check_alive(session, 2);
        block(&mut trio, blocked, false);
        trio.world.run_for(Duration::from_secs(240));
        let text = explain(&mut trio, blocked);
        assert!(!text.contains("UDP is blocked"), "seed {seed}: {text}");
        assert!(text.contains("(direct)"), "seed {seed}: {text}");
        trio.check_alive(session, 3);
        let is_down = |event: &Event| matches!(event, Event::SessionDown { .. });
        assert!(!trio.world.host(user).has_event(is_down), "seed {seed}: the session lasted");
    });
}
