//! The same seed gives the same bytes on every machine: of each scenario the hash over all that was
//! sent is printed as `trace NAME SEED HASH`, and `tests/foreign.sh` compares those of this machine
//! with those of one with 32 bits and of one that is big-endian.

use rit_core::node::Config;
use rit_tests::sim::nat::{Filtering, Mapping, NatConfig};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::provider::without_aes;
use rit_tests::sim::trio::Trio;
use rit_tests::sim::world::World;
use std::time::Duration;

const SEEDS: std::ops::Range<u64> = 1..4;
const STREAMS: u64 = 4;

fn world(seed: u64, links: LinkConfig) -> World {
    let mut world = World::new(seed, links);
    world.set_provider(without_aes());
    world
}

/// Streams both ways until nothing is on its way any more; the hash of all that was sent.
fn carry(mut trio: Trio, seed: u64) -> u64 {
    trio.online();
    let session = trio.session();
    for i in 0..STREAMS {
        trio.open_flow(session, seed << 8 | i, 20_000 + i * 3000, 30_000 + seed * 1000);
    }
    assert!(trio.run_until_idle(Duration::from_secs(300)), "seed {seed}: bytes are missing");
    let received = |host| trio.world.app_ref(host).done.iter().map(|f| f.received).sum::<u64>();
    assert_eq!(received(trio.user), STREAMS * (30_000 + seed * 1000));
    trio.world.trace_hash()
}

fn told(name: &str, scenario: impl Fn(u64) -> u64) {
    for seed in SEEDS {
        let hash = scenario(seed);
        println!("trace {name} {seed} {hash:016x}");
        assert_ne!(hash, scenario(seed + 1000), "the seed does not matter");
    }
}

#[test]
fn streams_over_bad_links() {
    told("links", |seed| {
        carry(Trio::in_world(world(seed, LinkConfig::hostile()), Config::default()), seed)
    });
}

#[test]
fn sessions_through_nats() {
    told("nats", |seed| {
        let links = LinkConfig::clean(Duration::from_millis(20));
        let a_box = NatConfig::v4(Mapping::EndpointIndependent, Filtering::AddressAndPortDependent);
        let trio = Trio::in_world(world(seed, links), Config::default());
        carry(trio.behind_boxes(std::slice::from_ref(&a_box), std::slice::from_ref(&a_box)), seed)
    });
}

#[test]
fn small_windows() {
    told("windows", |seed| {
        let mut config = Config::default();
        config.transport.max_datagram = 548;
        config.transport.stream_window = 2048;
        config.transport.session_window = 4096;
        config.transport.stream_send_buffer = 1024;
        carry(Trio::in_world(world(seed, LinkConfig::hostile()), config), seed)
    });
}
