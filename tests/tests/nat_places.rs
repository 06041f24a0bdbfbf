//! Scenarios: where hosts are, beyond one box each: behind two boxes, behind one box together, with
//! and without hairpinning; and what boxes do later: forget, restart, get another address.

use rit_core::node::Event;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::sites::{INTERNET, SiteId};
use rit_tests::sim::trio::Trio;
use std::time::Duration;

const DELAY: Duration = Duration::from_millis(25);

/// What most homes have.
fn home() -> NatConfig {
    NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent)
}

/// A device and a user on the internet, and sites for them to be taken to.
fn stage() -> Trio {
    Trio::behind(1, LinkConfig::clean(DELAY), &[], &[])
}

fn put(trio: &mut Trio, device: SiteId, user: SiteId) {
    for (host, site) in [(trio.device, device), (trio.user, user)] {
        trio.world.place(host, site);
        trio.tell_addresses(host);
    }
}

/// The round trips that the two have of each other, in milliseconds, once they know their way.
fn meet(trio: &mut Trio) -> u64 {
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
    trio.world.run_for(Duration::from_secs(20));
    trio.check_alive(session, 2);
    trio.world.node(trio.user).session_info(session).expect("it is up").rtt_us / 1000
}

#[test]
fn two_homes_of_one_carrier_meet_by_its_hairpin() {
    let mut trio = stage();
    let carrier = trio.world.add_site(INTERNET, &[home()]);
    let [device, user] = [(); 2].map(|()| trio.world.add_site(carrier, &[home()]));
    put(&mut trio, device, user);
    meet(&mut trio);
    let seen = trio.world.boxes(carrier)[0].stats;
    assert!(seen.inbound > 10 && seen.unturned == 0, "{seen:?}");
}

#[test]
fn a_home_behind_a_carrier_meets_one_that_is_not() {
    let mut trio = stage();
    let carrier = trio.world.add_site(INTERNET, &[home()]);
    let device = trio.world.add_site(carrier, &[home()]);
    let user = trio.world.add_site(INTERNET, &[home()]);
    put(&mut trio, device, user);
    meet(&mut trio);
}

#[test]
fn two_of_one_home_meet_on_its_own_network_though_the_box_does_not_hairpin() {
    let mut trio = stage();
    let plain = NatConfig { is_hairpinning: false, ..home() };
    let site = trio.world.add_site(INTERNET, &[plain]);
    trio.world.net.set_site_default(site, LinkConfig::clean(Duration::from_millis(1)));
    put(&mut trio, site, site);
    assert!(meet(&mut trio) < 10, "not by the way round");
}

#[test]
fn two_of_one_home_go_the_short_way_though_the_box_hairpins() {
    let mut trio = stage();
    let site = trio.world.add_site(INTERNET, &[home()]);
    trio.world.net.set_site_default(site, LinkConfig::clean(Duration::from_millis(1)));
    put(&mut trio, site, site);
    assert!(meet(&mut trio) < 10, "not by the way round");
}

#[test]
fn two_families_meet_over_one_of_them() {
    let both = [home(), NatConfig::v6(Filtering::AddressAndPortDependent)];
    let mut trio = Trio::behind(2, LinkConfig::clean(DELAY), &both, &both);
    meet(&mut trio);
    // One of the two has lost its IPv4 before they met.
    let mut trio = Trio::behind(3, LinkConfig::clean(DELAY), &both, &both);
    let site = trio.world.host(trio.device).site;
    trio.world.boxes(site)[0].config.is_udp_blocked = true;
    meet(&mut trio);
}

#[test]
fn a_session_outlives_a_box_that_restarts_and_one_that_gets_another_address() {
    for is_device in [true, false] {
        let open = [NatConfig { filtering: Filtering::EndpointIndependent, ..home() }];
        let mut trio = Trio::behind(4, LinkConfig::clean(DELAY), &open, &open);
        trio.online();
        let session = trio.session();
        trio.check_alive(session, 1);
        let host = if is_device { trio.device } else { trio.user };
        let site = trio.world.host(host).site;
        trio.world.boxes(site)[0].reboot();
        trio.world.run_for(Duration::from_secs(20));
        trio.check_alive(session, 2);
        trio.world.boxes(site)[0].readdress([203, 0, 113, 200]);
        trio.world.run_for(Duration::from_secs(20));
        trio.check_alive(session, 3);
        let is_down = |event: &Event| matches!(event, Event::SessionDown { .. });
        assert!(!trio.world.host(host).has_event(is_down), "{}", trio.events());
    }
}

#[test]
fn a_device_whose_box_restarted_is_reached_by_a_new_session() {
    let mut trio = Trio::behind(5, LinkConfig::clean(DELAY), &[home()], &[home()]);
    trio.online();
    trio.world.run_for(Duration::from_secs(5));
    let site = trio.world.host(trio.device).site;
    trio.world.boxes(site)[0].reboot();
    trio.world.run_for(Duration::from_secs(30));
    let session = trio.session();
    trio.check_alive(session, 1);
}

#[test]
fn mappings_of_thirty_seconds_are_kept() {
    let short = [NatConfig { timeout: Duration::from_secs(30), ..home() }];
    let mut trio = Trio::behind(6, LinkConfig::clean(DELAY), &short, &short);
    trio.online();
    let session = trio.session();
    trio.check_alive(session, 1);
    trio.world.run_for(Duration::from_secs(600));
    trio.check_alive(session, 2);
    // And of the broker: a new session is introduced at once.
    trio.forget();
    let again = trio.session();
    trio.check_alive(again, 3);
}
