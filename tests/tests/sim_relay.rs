//! Scenario: two ends whose NATs let no direct path through, and a relay.

use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::relay::{RelayHost, add_relay};
use rit_tests::sim::seeds;
use rit_tests::sim::trio::{self, Trio};
use std::time::Duration;

const SEEDS: u64 = 40;
const DELAY: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(120);
const BYTES: u64 = 100_000;
/// UDP payload on an IPv4 link of 576 bytes, and what a relay's header leaves of it.
const SMALL: usize = 548;
const SMALL_WITHIN_RELAY: usize = SMALL - 9;

fn closed() -> NatConfig {
    NatConfig::v4(Mapping::AddressAndPortDependent, Filtering::AddressAndPortDependent)
}

#[test]
fn what_no_direct_path_carries_the_relay_does() {
    seeds::run("relayed", SEEDS, |seed| {
        let mut trio = Trio::behind(seed, LinkConfig::clean(DELAY), &[closed()], &[closed()]);
        let relay = add_relay(&mut trio.world, trio.broker);
        trio.online();
        let session = trio.session();
        trio.open_flow(session, 1, BYTES, BYTES);
        let user = trio.user;
        let is_met = trio.world.run_until(LIMIT, |world| !world.app_ref(user).done.is_empty());
        assert!(is_met, "seed {seed}: {}", trio.events());
        assert_eq!(trio.world.app(user).done[0].received, BYTES, "seed {seed}");
        let stats = trio.world.actor::<RelayHost>(relay).relay.stats();
        assert!(stats.forwarded_bytes > 2 * BYTES, "seed {seed}: {stats:?}");
        assert_eq!((stats.channels, stats.over_rate), (1, 0), "seed {seed}: {stats:?}");
    });
}

#[test]
fn a_relay_goes_where_its_header_would_be_too_much() {
    seeds::run("small and relayed", SEEDS, |seed| {
        let links = LinkConfig { mtu: SMALL, ..LinkConfig::clean(DELAY) };
        let config = trio::config(|config| config.transport.max_datagram = SMALL_WITHIN_RELAY);
        let mut trio = Trio::behind_with(seed, links, config, &[closed()], &[closed()]);
        for host in [trio.device, trio.user] {
            trio.world.host_mut(host).room = SMALL;
        }
        trio.online();
        let session = trio.session();
        trio.open_flow(session, 1, BYTES, BYTES);
        let user = trio.user;
        let is_met = trio.world.run_until(LIMIT, |world| !world.app_ref(user).done.is_empty());
        assert!(is_met, "seed {seed}: {}", trio.events());
        assert_eq!(trio.world.app(user).done[0].received, BYTES, "seed {seed}");
    });
}
