//! Scenario: the path changes under a session, a thousand seeds: it carries shorter datagrams and
//! says nothing, it carries nothing for up to 20 s, it sets, clears or drops marks of congestion,
//! either end is moved to another address, and either end takes fresh packet keys.
//!
//! Every byte arrives in its place and nothing hangs.

use rit_core::base::Rng;
use rit_core::node::Config;
use rit_tests::sim::net::EcnTreatment::{Clear, Drop, MarkAbove, MarkAll, Pass};
use rit_tests::sim::net::LinkConfig;
use rit_tests::sim::seeds;
use rit_tests::sim::trio::Trio;
use std::time::Duration;

const SEEDS: u64 = 1000;
const SEEDS_TWICE: u64 = 20;
const STREAMS: u64 = 4;

/// Runs the scenario; its trace hash.
fn scenario(seed: u64) -> u64 {
    let mut rng = Rng::from_seed([seed as u8; 32]);
    rng.fill(&mut [0; 8][..(seed >> 8) as usize % 8]);
    let mut trio = Trio::with_config(seed, LinkConfig::hostile(), Config::default());
    trio.online();
    let session = trio.session();
    let device_session = trio.session_of(trio.device);
    let len = |i: u64, way: u64| 64 * 1024 + (seed * 7919 + i * 2741 + way * 104_729) % 65_536;
    for i in 0..STREAMS {
        trio.open_flow(session, seed << 8 | i, len(i, 0), len(i, 1));
    }
    let mut link = LinkConfig::hostile();
    for _ in 0..6 {
        trio.run_until_idle(Duration::from_millis(100 + rng.below(900)));
        match rng.below(7) {
            0 => link.mtu = [1472, 1400, 1280, 1200][rng.below(4) as usize],
            1 => {
                trio.world.net.set_default(LinkConfig { up: false, ..link.clone() });
                trio.world.run_for(Duration::from_millis(rng.below(20_000)));
                // Two outages in a row would be one of twice the length.
                trio.world.net.set_default(link.clone());
                trio.world.run_for(Duration::from_secs(6));
            }
            n @ 2..=3 => {
                trio.world.move_host(if n == 2 { trio.device } else { trio.user });
                // Longer than a keep-alive: who moves before the other has heard of it is lost.
                trio.world.run_for(Duration::from_secs(15));
            }
            4 => {
                let all = [Pass, MarkAbove(10_000), MarkAll, Clear, Drop];
                link.ecn = all[rng.below(all.len() as u64) as usize];
            }
            5 => update(&mut trio, true, device_session),
            _ => update(&mut trio, false, session),
        }
        trio.world.net.set_default(link.clone());
    }
    let is_idle = trio.run_until_idle(Duration::from_secs(300));
    assert!(is_idle, "seed {seed}: bytes are missing after 300 s of virtual time");
    let received = |host| trio.world.app_ref(host).done.iter().map(|f| f.received).sum::<u64>();
    let sum = |way| (0..STREAMS).map(|i| len(i, way)).sum::<u64>();
    assert_eq!((received(trio.device), received(trio.user)), (sum(0), sum(1)), "seed {seed}");
    trio.world.trace_hash()
}

fn update(trio: &mut Trio, is_device: bool, session: rit_core::node::SessionId) {
    let host = if is_device { trio.device } else { trio.user };
    trio.world.with(host, |node, _, _| node.session_update_keys(session)).expect("it is up");
}

#[test]
fn a_thousand_seeds_survive_a_changing_path() {
    seeds::run("changes", SEEDS, |seed| {
        scenario(seed);
    });
}

#[test]
fn the_same_seed_gives_the_same_changes() {
    seeds::run("changes twice", SEEDS_TWICE, |seed| {
        assert_eq!(scenario(seed), scenario(seed), "the trace differs");
    });
}
